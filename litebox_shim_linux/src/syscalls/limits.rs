//! Resource limits.

/// The limits of a process.
#[derive(Default)]
pub struct Limits {}
