//! kcmp(2): whether two threads use the same thing.

use alloc::sync::Arc;
use core::cmp::Ordering;

use litebox::epoll::EventSet;
use litebox::{Error, Result};

use crate::user::{read_bytes, word};
use crate::{Process, Task, Thread};

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
fn open_file(thread: Option<&Thread>, fd: usize) -> Result<*const litebox::fs::OpenFile> {
    let fd = i32::try_from(fd as u32).map_err(|_| Error::BadDescriptor)?;
    Ok(Arc::as_ptr(&thread.ok_or(Error::BadDescriptor)?.files.get(fd)?))
}

/// The open file that a `struct kcmp_epoll_slot` names: an interest set's descriptor, the one it was registered as, and
/// which of several.
fn registered_file(thread: Option<&Thread>, slot: &[u8; 12]) -> Result<*const litebox::fs::OpenFile> {
    let [set, fd, nth] = [0, 4, 8].map(|at| u32::from_le_bytes(word(slot, at)));
    let set = i32::try_from(set).map_err(|_| Error::BadDescriptor)?;
    let set = thread.ok_or(Error::BadDescriptor)?.files.get(set)?;
    let set = set.file.as_any().downcast_ref::<EventSet>().ok_or(Error::Invalid)?;
    let fd = i32::try_from(fd).map_err(|_| Error::NotFound)?;
    Ok(Arc::as_ptr(&set.registered(fd, nth as usize).ok_or(Error::NotFound)?))
}

/// What a thread has; one that has ended has nothing.
fn part<T>(thread: Option<&Thread>, part: impl Fn(&Thread) -> *const T) -> *const T {
    thread.map_or(core::ptr::null(), part)
}

impl Task<'_, '_> {
    /// kcmp(2)
    pub(crate) fn kcmp(&mut self, pid1: i32, pid2: i32, kind: i32, index1: usize, index2: usize) -> Result<usize> {
        let (first, second) = (self.process_of_task(pid1)?, self.process_of_task(pid2)?);
        if !self.may_inspect(&first) || !self.may_inspect(&second) {
            return Err(Error::NotPermitted);
        }
        let threads = (first.thread(pid1), second.thread(pid2));
        let threads = (threads.0.as_deref(), threads.1.as_deref());
        match kind {
            FILE => Ok(order(open_file(threads.0, index1)?, open_file(threads.1, index2)?)),
            VM => Ok(order(&raw const *first.mm, &raw const *second.mm)),
            FILES => {
                let table = |t: &Thread| &raw const **t.files;
                Ok(order(part(threads.0, table), part(threads.1, table)))
            }
            FS => {
                let places = |t: &Thread| &raw const **t.fs;
                Ok(order(part(threads.0, places), part(threads.1, places)))
            }
            SIGHAND => Ok(order(&raw const *first.signals.actions, &raw const *second.signals.actions)),
            // There are no I/O contexts: nobody has one, which is the same.
            IO => Ok(0),
            SYSVSEM => {
                // Threads share the list of what is undone at their process's end. Who never asked for that has none,
                // which is the same.
                let sets = &self.ipc_objects().system_v;
                let list = |process: &Arc<Process>| {
                    if sets.has_undo(process.pid) { Arc::as_ptr(process) } else { core::ptr::null() }
                };
                Ok(order(list(&first), list(&second)))
            }
            EPOLL_TFD => {
                // The slot is read first, whatever else is wrong.
                let slot: [u8; 12] = read_bytes(index2 as u64)?;
                Ok(order(open_file(threads.0, index1)?, registered_file(threads.1, &slot)?))
            }
            _ => Err(Error::Invalid),
        }
    }
}
