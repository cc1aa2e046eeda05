//! wait4(2) and waitid(2). There are no child processes yet: what remains are the errors of the arguments, and ECHILD.

use litebox::{Error, Result};

use crate::Task;

const NO_CHILD: Error = Error::Host(10);
const WAIT4_OPTIONS: u32 = 0xe000_000b;
const WAITID_OPTIONS: u32 = 0xe100_000f;
/// What waitid(2) must be asked for at least one of: exits, stops, continuations.
const WAITID_EVENTS: u32 = 14;

impl Task<'_, '_> {
    /// wait4(2).
    pub(crate) fn wait4(&mut self, pid: i32, _status: u64, options: u32, _usage: u64) -> Result<usize> {
        if options & !WAIT4_OPTIONS != 0 {
            return Err(Error::Invalid);
        }
        Err(if pid == i32::MIN { Error::NoProcess } else { NO_CHILD })
    }

    /// waitid(2).
    pub(crate) fn waitid(&mut self, kind: i32, id: i32, _info: u64, options: u32, _usage: u64) -> Result<usize> {
        if options & !WAITID_OPTIONS != 0 || options & WAITID_EVENTS == 0 {
            return Err(Error::Invalid);
        }
        Err(match kind {
            0 => NO_CHILD,
            1 if id > 0 => NO_CHILD,
            2 if id >= 0 => NO_CHILD,
            3 if id >= 0 => Error::BadDescriptor,
            _ => Error::Invalid,
        })
    }
}
