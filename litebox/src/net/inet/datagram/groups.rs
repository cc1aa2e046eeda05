//! Multicast: which groups a socket hears, and where it sends to them. The loopback device is where all of them are.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{DatagramSocket, ENETUNREACH};
use crate::Result;
use crate::net::Setting;
use crate::net::inet::routes::{LOOPBACK, Route};
use crate::net::socket::Group;

impl Drop for DatagramSocket {
    fn drop(&mut self) {
        self.state.get_mut().memberships.leave_all(&self.network);
    }
}

impl DatagramSocket {
    fn chosen_device(&self, group: IpAddr) -> u32 {
        let setting = if group.is_ipv4() { Setting::MulticastInterface } else { Setting::MulticastInterfaceSix };
        let chosen = self.options.get(setting).max(self.options.get(Setting::Interface));
        u32::try_from(chosen).unwrap_or(0)
    }
    /// Joins a group or leaves it.
    pub(super) fn change_membership(&self, group: &Group, joins: bool) -> Result<()> {
        let chosen = self.chosen_device(group.address);
        self.state.lock().memberships.change(&self.network, group, chosen, joins)
    }
    /// Whether it hears what is sent to a group: it is in it, or wants to hear of all.
    pub(super) fn listens_to(&self, group: IpAddr) -> bool {
        let all = if group.is_ipv4() { Setting::MulticastAll } else { Setting::MulticastAllSix };
        let state = self.state.lock();
        state.memberships.contains(group) || self.options.is_on(all) && self.network.has_members(group)
    }
    /// What leads to a group: the loopback device, where the socket sends there.
    pub(super) fn group_route(&self, asked: u32, group: IpAddr, bound: Option<IpAddr>) -> Result<Route> {
        let device = if asked == 0 { self.chosen_device(group) } else { asked };
        let bound = bound.is_some_and(|ip| ip.is_loopback());
        let narrow = match group {
            IpAddr::V6(six) => six.segments()[0] & 0xf <= 1,
            IpAddr::V4(_) => false,
        };
        if device != LOOPBACK && !bound && !narrow {
            return Err(ENETUNREACH);
        }
        let source: IpAddr = if group.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        Ok(Route::Here { source })
    }
}
