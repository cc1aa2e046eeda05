//! From a file to a running image.

use alloc::vec::Vec;

/// What /proc shows of a process's image.
#[derive(Clone, Debug, Default)]
pub struct ImageInfo {
    /// argv, as the strings are in memory at the start: each with its zero.
    pub cmdline: Vec<u8>,
    /// Environment, likewise.
    pub environ: Vec<u8>,
    /// The auxiliary vector as pushed.
    pub auxv: Vec<u64>,
}
