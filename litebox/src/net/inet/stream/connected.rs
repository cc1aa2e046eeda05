//! A socket that is or was connected.

use alloc::sync::Arc;
use core::net::Ipv4Addr;
use core::sync::atomic::Ordering;

use super::{BoundName, ENOTCONN, Ends};
use crate::Result;
use crate::net::inet::EADDRNOTAVAIL;
use crate::net::inet::carrier::local::LocalEnd;
use crate::net::inet::carrier::{StreamCarrier, TcpState};
use crate::platform::Instant;

/// A connection.
pub(super) struct Connected {
    pub carrier: Arc<dyn StreamCarrier>,
    /// The carrier, when it is one of this sandbox.
    pub local: Option<Arc<LocalEnd>>,
    pub ends: Ends,
    pub place: BoundName,
    /// What the socket was bound to before.
    pub bound: Option<BoundName>,
    /// A connect(2) that did not wait for it has yet to say that it exists.
    pub untold: bool,
}

impl Connected {
    /// Makes it a connection of a socket of IPv4, whose peer has to be one, and to which the socket has to be open
    /// (`six_only`: IPV6_V6ONLY): ENOTCONN, EADDRNOTAVAIL.
    pub fn become_four(&mut self, six_only: bool) -> Result<()> {
        if self.carrier.state() != TcpState::Established {
            return Err(ENOTCONN);
        }
        if six_only || self.ends.1.is_ipv6() {
            return Err(EADDRNOTAVAIL);
        }
        if let Some(bound) = self.bound.as_mut().filter(|bound| bound.held.local().is_ipv6()) {
            bound.held.set_address(Ipv4Addr::UNSPECIFIED.into());
        }
        for place in self.bound.iter().chain([&self.place]) {
            place.seat.six.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
    /// When what the other end keeps back arrives ([`LocalEnd::more_arrives`]).
    pub fn more_arrives(&self) -> Option<Instant> {
        self.local.as_ref()?.more_arrives()
    }
}
