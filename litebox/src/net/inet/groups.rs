//! Multicast groups, and which of them a socket is in.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::routes::{LOOPBACK, OUTWARD};
use super::{EADDRNOTAVAIL, Group, Network};
use crate::error::errno::{EADDRINUSE, ENOBUFS};
use crate::{Error, Result};

/// The most groups of one socket (net.ipv4.igmp_max_memberships).
const MOST_GROUPS: usize = 20;

/// A group that a socket is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Membership {
    group: IpAddr,
    /// The number of the device.
    interface: u32,
}

/// The groups that a socket is in. Whoever has them leaves them in the end ([`Memberships::leave_all`]).
#[derive(Default)]
pub(super) struct Memberships(Vec<Membership>);

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
    /// Whether any socket is in a group.
    pub(super) fn has_members(&self, group: IpAddr) -> bool {
        self.groups.lock().contains_key(&group)
    }
    /// The device that a group is meant on by a socket that chose one for groups (0: none): ENODEV.
    fn device_of(&self, group: &Group, chosen: u32) -> Result<u32> {
        let local = IpAddr::V4(group.local);
        let device = match group.interface {
            0 if local.is_loopback() => LOOPBACK,
            0 if !local.is_unspecified() && !self.is_own(local) => return Err(Error::NoDevice),
            0 if local.is_unspecified() && chosen != 0 => chosen,
            // A group of nobody's device is where the address of all groups leads: out, if there is a way.
            0 => OUTWARD,
            device => device,
        };
        let there = device == LOOPBACK || device == OUTWARD && self.outside().is_some();
        if there { Ok(device) } else { Err(Error::NoDevice) }
    }
}

impl Memberships {
    /// Joins a group or leaves it: EADDRINUSE, EADDRNOTAVAIL, ENODEV, ENOBUFS. `chosen`: the device that the socket
    /// chose for groups (0: none).
    pub fn change(&mut self, network: &Network, group: &Group, chosen: u32, joins: bool) -> Result<()> {
        if !group.address.is_multicast() {
            return Err(Error::Invalid);
        }
        if !joins {
            let there =
                |m: &Membership| m.group == group.address && (group.interface == 0 || group.interface == m.interface);
            let at = self.0.iter().position(there).ok_or(EADDRNOTAVAIL)?;
            let left = self.0.swap_remove(at);
            network.leave(left.group);
            return Ok(());
        }
        let new = Membership { group: group.address, interface: network.device_of(group, chosen)? };
        if self.0.contains(&new) {
            return Err(EADDRINUSE);
        }
        if self.0.len() >= MOST_GROUPS {
            return Err(ENOBUFS);
        }
        self.0.try_reserve(1).map_err(|_| ENOBUFS)?;
        self.0.push(new);
        *network.groups.lock().entry(new.group).or_default() += 1;
        Ok(())
    }
    /// Whether it is in a group.
    pub fn contains(&self, group: IpAddr) -> bool {
        self.0.iter().any(|m| m.group == group)
    }
    /// Leaves those of IPv6.
    pub fn leave_six(&mut self, network: &Network) {
        for membership in self.0.iter().filter(|m| m.group.is_ipv6()) {
            network.leave(membership.group);
        }
        self.0.retain(|m| m.group.is_ipv4());
    }
    /// Leaves all.
    pub fn leave_all(&mut self, network: &Network) {
        for membership in core::mem::take(&mut self.0) {
            network.leave(membership.group);
        }
    }
}
