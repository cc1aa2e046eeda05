//! What the host's routes say of an address, asked of the host itself: its addresses change while a sandbox runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::policy::Routes;
use super::ranges::canonical;

/// Asks with sockets of UDP, which send nothing when they are connected.
#[derive(Default)]
pub struct HostRoutes {
    v4: Option<OwnedFd>,
    v6: Option<OwnedFd>,
}

fn probe(family: AddressFamily) -> Option<OwnedFd> {
    rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()
}

impl HostRoutes {
    /// Ready to ask.
    pub fn new() -> Self {
        Self { v4: probe(AddressFamily::INET), v6: probe(AddressFamily::INET6) }
    }

    /// The address from which the host would send to `address`; `None`: it has no route there.
    pub fn source(&self, address: IpAddr) -> Option<IpAddr> {
        // Any port does: nothing is sent.
        const PORT: u16 = 9;
        let socket = if address.is_ipv4() { self.v4.as_ref()? } else { self.v6.as_ref()? };
        // The source of the last question would be kept.
        rustix::net::connect_unspec(socket).ok()?;
        rustix::net::connect(socket, &SocketAddr::new(address, PORT)).ok()?;
        let source = SocketAddr::try_from(rustix::net::getsockname(socket).ok()?).ok()?;
        Some(canonical(source.ip()))
    }

    /// Whether the host can send to `address`.
    pub fn has_route(&self, address: IpAddr) -> bool {
        self.source(canonical(address)).is_some()
    }
}

impl Routes for HostRoutes {
    /// What the host sends to itself comes from the address it goes to, or from its loopback.
    fn is_own(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        match self.source(address) {
            None => false,
            Some(IpAddr::V4(source)) => source == address || source.is_loopback(),
            Some(IpAddr::V6(source)) => source == address || source.is_loopback(),
        }
    }
}

/// The address that means all of the host's.
pub fn any(of: IpAddr) -> IpAddr {
    if of.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use super::{HostRoutes, Routes};

    #[test]
    fn the_loopback_is_the_hosts_own_in_every_form() {
        let routes = HostRoutes::new();
        for address in ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1"] {
            assert!(routes.is_own(address.parse().expect("an address")), "{address}");
        }
        assert!(routes.has_route("127.0.0.1".parse().expect("an address")));
    }
}
