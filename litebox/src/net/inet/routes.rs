//! Which addresses are the sandbox's own, and what leads to the others.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Network;
use super::carrier::Outside;
use crate::Result;
use crate::error::errno::{EADDRNOTAVAIL, ENETUNREACH};

/// The number of the loopback device.
pub const LOOPBACK: u32 = 1;
/// The number of the device that leads out, where there is one.
pub const OUTWARD: u32 = 2;

/// A network device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub index: u32,
    /// What it is: `ARPHRD_*`.
    pub hardware: u16,
    /// `IFF_*`.
    pub flags: u32,
    /// The longest packet.
    pub mtu: u32,
    /// Its hardware address.
    pub address: [u8; 6],
    /// Its addresses, with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Device {
    /// Whether it leads to this node alone.
    pub fn is_loopback(&self) -> bool {
        self.index == LOOPBACK
    }
    fn loopback() -> Self {
        // UP, LOOPBACK, RUNNING, LOWER_UP.
        let (hardware, flags) = (772, 0x1_0049);
        let addresses = [(Ipv4Addr::LOCALHOST.into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)].to_vec();
        Self { name: "lo", index: LOOPBACK, hardware, flags, mtu: 65536, address: [0; 6], addresses }
    }
    fn outward(outside: &dyn Outside) -> Self {
        // UP, BROADCAST, RUNNING, MULTICAST, LOWER_UP.
        let (hardware, flags, address) = (1, 0x1_1043, [0x02, 0, 0, 0, 0x02, 0x0f]);
        let (addresses, mtu) = (outside.addresses().to_vec(), outside.mtu());
        Self { name: "eth0", index: OUTWARD, hardware, flags, mtu, address, addresses }
    }
}

/// What leads to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// It is here; what is sent there comes from `source`.
    Here {
        /// The address it comes from.
        source: IpAddr,
    },
    /// It is outside.
    Out,
}

/// Whether all of the local network is meant.
pub fn is_broadcast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_broadcast() || four == Ipv4Addr::new(127, 255, 255, 255),
        IpAddr::V6(_) => false,
    }
}

impl Network {
    /// The devices there are.
    pub fn devices(&self) -> Vec<Device> {
        let outward = self.outside().map(|outside| Device::outward(&**outside));
        core::iter::once(Device::loopback()).chain(outward).collect()
    }
    /// The address that what is sent to `to` comes from.
    pub fn source_for(&self, to: IpAddr) -> Option<IpAddr> {
        match self.route(to).ok()? {
            Route::Here { source } => Some(source),
            Route::Out => {
                let mut own = self.outside()?.addresses().iter().map(|(own, _)| *own);
                own.find(|own| own.is_ipv4() == to.is_ipv4())
            }
        }
    }
    /// Whether an address is the sandbox's own.
    pub fn is_own(&self, address: IpAddr) -> bool {
        address.is_loopback() && !is_broadcast(address)
            || self.outside().is_some_and(|outside| outside.addresses().iter().any(|(own, _)| *own == address))
    }
    /// Whether a socket may be bound to an address: EADDRNOTAVAIL.
    pub fn check_bindable(&self, address: IpAddr) -> Result<()> {
        let own = address.is_unspecified() || self.is_own(address);
        if own || address.is_multicast() || is_broadcast(address) { Ok(()) } else { Err(EADDRNOTAVAIL) }
    }
    /// What leads to an address: ENETUNREACH.
    pub fn route(&self, to: IpAddr) -> Result<Route> {
        if self.is_own(to) {
            let source = match to {
                IpAddr::V4(four) if four.is_loopback() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(six) if six.is_loopback() => Ipv6Addr::LOCALHOST.into(),
                own => own,
            };
            return Ok(Route::Here { source });
        }
        if is_broadcast(to) && to.is_loopback() {
            return Ok(Route::Here { source: Ipv4Addr::LOCALHOST.into() });
        }
        let reachable = self
            .outside()
            .is_some_and(|outside| outside.addresses().iter().any(|(own, _)| own.is_ipv4() == to.is_ipv4()));
        if reachable && !to.is_multicast() && !is_broadcast(to) { Ok(Route::Out) } else { Err(ENETUNREACH) }
    }
    /// Where an address that means no one in particular leads: to this node.
    pub fn destination(to: IpAddr) -> IpAddr {
        match to {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            to => to,
        }
    }
}
