//! Multicast: which groups a socket is in. The loopback device is where all of them are.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{DatagramSocket, ENETUNREACH};
use crate::net::Setting;
use crate::net::inet::routes::{LOOPBACK, Route};
use crate::net::inet::{EADDRNOTAVAIL, Network};
use crate::net::socket::Group;
use crate::{Error, Result};

const EADDRINUSE: Error = Error::Host(98);
const ENOBUFS: Error = Error::Host(105);
/// The most groups of one socket (net.ipv4.igmp_max_memberships).
const MOST_GROUPS: usize = 20;

/// A group that a socket is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    /// Its address.
    pub group: IpAddr,
    /// The number of the device.
    pub interface: u32,
}

impl Network {
    /// One socket less is in a group.
    fn leave(&self, group: IpAddr) {
        let mut groups = self.groups.lock();
        if let Some(count) = groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                groups.remove(&group);
            }
        }
    }
}

impl Drop for DatagramSocket {
    fn drop(&mut self) {
        let left = core::mem::take(&mut self.state.get_mut().memberships);
        for membership in left {
            self.network.leave(membership.group);
        }
    }
}

impl DatagramSocket {
    /// The device that a group is meant on: ENODEV.
    fn device_of(&self, group: &Group) -> Result<u32> {
        match group.interface {
            0 if group.local.is_loopback() => Ok(LOOPBACK),
            0 if group.local.is_unspecified() && self.chosen_device(group.address) == LOOPBACK => Ok(LOOPBACK),
            // A group of nobody's device is where the address of all groups leads: nowhere, without a way out.
            LOOPBACK => Ok(LOOPBACK),
            _ => Err(Error::NoDevice),
        }
    }
    fn chosen_device(&self, group: IpAddr) -> u32 {
        let setting = if group.is_ipv4() { Setting::MulticastInterface } else { Setting::MulticastInterfaceSix };
        let chosen = self.options.get(setting).max(self.options.get(Setting::Interface));
        u32::try_from(chosen).unwrap_or(0)
    }
    /// Joins a group or leaves it: EADDRINUSE, EADDRNOTAVAIL, ENODEV, ENOBUFS.
    pub(super) fn change_membership(&self, group: &Group, joins: bool) -> Result<()> {
        if !group.address.is_multicast() {
            return Err(Error::Invalid);
        }
        let mut state = self.state.lock();
        let there = |m: &super::Membership| {
            m.group == group.address && (group.interface == 0 || group.interface == m.interface)
        };
        if !joins {
            let at = state.memberships.iter().position(there).ok_or(EADDRNOTAVAIL)?;
            let left = state.memberships.swap_remove(at);
            self.network.leave(left.group);
            return Ok(());
        }
        let interface = self.device_of(group)?;
        let new = Membership { group: group.address, interface };
        if state.memberships.contains(&new) {
            return Err(EADDRINUSE);
        }
        if state.memberships.len() >= MOST_GROUPS {
            return Err(ENOBUFS);
        }
        state.memberships.push(new);
        *self.network.groups.lock().entry(new.group).or_default() += 1;
        Ok(())
    }
    /// Whether it hears what is sent to a group: it is in it, or wants to hear of all.
    pub(super) fn listens_to(&self, group: IpAddr) -> bool {
        let all = if group.is_ipv4() { Setting::MulticastAll } else { Setting::MulticastAllSix };
        let state = self.state.lock();
        state.memberships.iter().any(|m| m.group == group)
            || self.options.is_on(all) && self.network.groups.lock().contains_key(&group)
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
