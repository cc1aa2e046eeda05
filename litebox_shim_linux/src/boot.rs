//! The first process, and what the supervisor is told.

/// A watched host descriptor became ready.
pub(crate) fn host_ready(_token: u64, _events: u16) {}

/// The person outside sent a signal.
pub(crate) fn outside_signal(_signal: i32) {}
