//! Addresses of all families.

use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::unix;

/// Where a socket is, or where a message goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Address {
    /// No address at all: `AF_UNSPEC`.
    #[default]
    Unspecified,
    /// A local one; `None`: the family alone.
    Unix(Option<Arc<unix::BoundName>>),
    /// An address and port of IPv4 or IPv6.
    Inet(SocketAddr),
    /// A netlink socket: its port (0: the kernel), and groups as bits.
    Netlink {
        /// Unicast address.
        port: u32,
        /// Multicast groups.
        groups: u32,
    },
}

/// An address as the kernel keeps it: IPv4 in IPv6's clothes (`::ffff:a.b.c.d`) is IPv4.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// An address as a socket shows it; `six`: it is one of IPv6, to which IPv4 is shown as `::ffff:a.b.c.d`.
pub fn shown(address: SocketAddr, six: bool) -> SocketAddr {
    match (address.ip(), six) {
        (IpAddr::V4(four), true) => SocketAddr::new(four.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

/// The address that stands for all of its family.
pub fn any(six: bool) -> IpAddr {
    if six { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}
