//! A socket that is or was connected.

use alloc::sync::Arc;

use super::{BoundName, Ends};
use crate::net::inet::carrier::StreamCarrier;
use crate::net::inet::carrier::local::LocalEnd;
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
    /// When what the other end keeps back arrives ([`LocalEnd::more_arrives`]).
    pub fn more_arrives(&self) -> Option<Instant> {
        self.local.as_ref()?.more_arrives()
    }
}
