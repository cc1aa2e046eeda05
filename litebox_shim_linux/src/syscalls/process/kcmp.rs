//! kcmp(2): whether two threads use the same thing.

use alloc::sync::Arc;
use core::cmp::Ordering;

use litebox::{Error, Result};

use crate::{Process, Task};

const FILE: i32 = 0;
const VM: i32 = 1;
const FILES: i32 = 2;
const FS: i32 = 3;
const SIGHAND: i32 = 4;
const IO: i32 = 5;
const SYSVSEM: i32 = 6;
const EPOLL_TFD: i32 = 7;

/// The order of two kernel objects, as kcmp(2) tells it.
fn order<T>(first: *const T, second: *const T) -> usize {
    match first.cmp(&second) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    }
}

/// The open file behind a descriptor that is a number of the call.
fn open_file(process: &Process, fd: usize) -> Result<*const litebox::fs::OpenFile> {
    let fd = i32::try_from(fd as u32).map_err(|_| Error::BadDescriptor)?;
    Ok(Arc::as_ptr(&process.files.get(fd)?))
}

impl Task<'_, '_> {
    /// kcmp(2)
    pub(crate) fn kcmp(&mut self, pid1: i32, pid2: i32, kind: i32, index1: usize, index2: usize) -> Result<usize> {
        let (first, second) = (self.process_of_task(pid1)?, self.process_of_task(pid2)?);
        if !self.may_inspect(&first) || !self.may_inspect(&second) {
            return Err(Error::NotPermitted);
        }
        match kind {
            FILE => Ok(order(open_file(&first, index1)?, open_file(&second, index2)?)),
            VM => Ok(order(&raw const *first.mm, &raw const *second.mm)),
            FILES => Ok(order(&raw const **first.files, &raw const **second.files)),
            FS => Ok(order(&raw const **first.fs, &raw const **second.fs)),
            SIGHAND => Ok(order(&raw const first.signals, &raw const second.signals)),
            // There are no I/O contexts: nobody has one, which is the same.
            IO => Ok(0),
            SYSVSEM | EPOLL_TFD => Err(Error::NotSupported),
            _ => Err(Error::Invalid),
        }
    }
}
