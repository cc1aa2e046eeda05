//! Signals read from a file: signalfd(2).
//!
//! A signal file has a mask and no signals of its own: whoever reads it takes signals that are pending for himself, and
//! it is ready when such signals are pending for whoever asks. So it is observed at the process that asks.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use litebox::event::{Events, Observer, WaitQueue};
use litebox::fs::{Access, AnonInode, File, Inode, StatusFlags};
use litebox::io::Dest;
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_common_linux::abi::signal::SignalFdFlags;
use litebox_common_linux::argument::{self, UserRef};

use super::set::{SI_KERNEL, SI_USER, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGIO, SIGSEGV, SIGTRAP, SigSet, SignalInfo};
use crate::proc::current_thread;
use crate::user::word;
use crate::{Process, Task, Thread};

/// Size of `struct signalfd_siginfo`.
const RECORD: usize = 128;
/// `si_code` of a POSIX timer and of SIGIO.
const SI_TIMER: i32 = -2;
const SI_SIGIO: i32 = -5;

/// A file that shows pending signals.
pub(crate) struct SignalFile {
    mask: AtomicU64,
    queue: WaitQueue,
    inode: Arc<AnonInode>,
    myself: Weak<SignalFile>,
}

/// The signal files that somebody observes in one process.
#[derive(Default)]
pub(crate) struct SignalFiles {
    any: AtomicBool,
    files: Mutex<Vec<Weak<SignalFile>>>,
}

impl SignalFiles {
    /// A signal became pending. Costs one load when there is no such file.
    pub(crate) fn notify(&self, signal: i32) {
        if !self.any.load(Ordering::SeqCst) {
            return;
        }
        let files: Vec<_> = self.files.lock().iter().filter_map(Weak::upgrade).collect();
        for file in files.iter().filter(|file| file.mask().has(signal)) {
            file.queue.notify(Events::IN);
        }
    }
    fn add(&self, file: &Weak<SignalFile>) {
        let mut files = self.files.lock();
        files.retain(|other| other.strong_count() > 0);
        if !files.iter().any(|other| Weak::ptr_eq(other, file)) {
            files.push(file.clone());
        }
        self.any.store(true, Ordering::SeqCst);
    }
}

impl Thread {
    /// Takes the next signal of `wanted` that is pending for this thread or its process.
    fn take_pending(&self, wanted: SigSet) -> Option<SignalInfo> {
        let mut shared = self.process.signals.shared.lock();
        let own = self.signals.own.lock().pending.take(wanted);
        own.or_else(|| shared.pending.take(wanted))
    }
    fn has_pending(&self, wanted: SigSet) -> bool {
        let shared = self.process.signals.shared.lock();
        let own = self.signals.own.lock();
        shared.pending.set().union(own.pending.set()).0 & wanted.0 != 0
    }
}

impl Process {
    /// A signal became pending for it or one of its threads: whoever watches it as a file hears of it.
    pub(crate) fn tell_signal_files(&self, signal: i32) {
        self.signals.files.notify(signal);
    }
}

/// Which fields of a signal mean something.
enum Details {
    Sender,
    Timer,
    Poll,
    Fault,
    Child,
    Value,
}

fn details(info: &SignalInfo) -> Details {
    match (info.code, info.signal) {
        (code, signal) if code > SI_USER && code < SI_KERNEL => match signal {
            SIGCHLD => Details::Child,
            SIGIO => Details::Poll,
            SIGILL | SIGFPE | SIGSEGV | SIGBUS | SIGTRAP => Details::Fault,
            _ => Details::Sender,
        },
        (SI_TIMER, _) => Details::Timer,
        (SI_SIGIO, _) => Details::Poll,
        (code, _) if code < 0 => Details::Value,
        _ => Details::Sender,
    }
}

/// `struct signalfd_siginfo`: the pieces of a `siginfo_t`, each with a place of its own.
fn record(info: &SignalInfo) -> [u8; RECORD] {
    const PID: usize = 12;
    const UID: usize = 16;
    const FD: usize = 20;
    const TID: usize = 24;
    const BAND: usize = 28;
    const OVERRUN: usize = 32;
    const STATUS: usize = 40;
    const INT: usize = 44;
    const PTR: usize = 48;
    const UTIME: usize = 56;
    const STIME: usize = 64;
    const ADDR: usize = 72;
    // (to, from, bytes)
    let pieces: &[(usize, usize, usize)] = match details(info) {
        Details::Sender => &[(PID, 0, 4), (UID, 4, 4)],
        Details::Timer => &[(TID, 0, 4), (OVERRUN, 4, 4), (INT, 8, 4), (PTR, 8, 8)],
        Details::Poll => &[(BAND, 0, 4), (FD, 8, 4)],
        Details::Fault => &[(ADDR, 0, 8)],
        Details::Child => &[(PID, 0, 4), (UID, 4, 4), (STATUS, 8, 4), (UTIME, 16, 8), (STIME, 24, 8)],
        Details::Value => &[(PID, 0, 4), (UID, 4, 4), (INT, 8, 4), (PTR, 8, 8)],
    };
    let mut raw = [0u8; RECORD];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(slot) = raw.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    };
    for (at, value) in [(0, info.signal), (4, info.errno), (8, info.code)] {
        put(at, &value.to_le_bytes());
    }
    for (to, from, len) in pieces {
        put(*to, word::<8>(&info.fields, *from).get(..*len).unwrap_or_default());
    }
    raw
}

impl SignalFile {
    fn new(mask: SigSet) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            mask: AtomicU64::new(mask.0),
            queue: WaitQueue::new(),
            inode: AnonInode::shared("signalfd"),
            myself: myself.clone(),
        })
    }
    /// The signals it shows.
    pub(crate) fn mask(&self) -> SigSet {
        SigSet(self.mask.load(Ordering::Relaxed))
    }
}

impl File for SignalFile {
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn offset_stays(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        if dest.remaining() < RECORD {
            return Err(Error::Invalid);
        }
        let thread = current_thread().ok_or(Error::WouldBlock)?;
        let mut done = 0;
        while dest.remaining() >= RECORD {
            let Some(info) = thread.take_pending(self.mask()) else { break };
            match dest.put_whole(&record(&info)) {
                Ok(()) => done += RECORD,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if done == 0 { Err(Error::WouldBlock) } else { Ok(done) }
    }
    fn ready(&self) -> Events {
        let pending = current_thread().is_some_and(|thread| thread.has_pending(self.mask()));
        if pending { Events::IN } else { Events::empty() }
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        if let Some(thread) = current_thread() {
            thread.process.signals.files.add(&self.myself);
        }
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Task<'_, '_> {
    /// signalfd(2) without flags.
    pub(crate) fn signalfd(&mut self, fd: i32, mask: UserRef<argument::SigSet>, size: u64) -> Result<usize> {
        self.signalfd4(fd, mask, size, SignalFdFlags::empty())
    }

    /// signalfd4(2)
    pub(crate) fn signalfd4(
        &mut self,
        fd: i32,
        mask: UserRef<argument::SigSet>,
        size: u64,
        flags: SignalFdFlags,
    ) -> Result<usize> {
        let mask = crate::syscalls::signal::read_set(mask, size)?;
        if !SignalFdFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        if fd != -1 {
            let file = self.file(fd)?;
            let signals = file.file.as_any().downcast_ref::<SignalFile>().ok_or(Error::Invalid)?;
            signals.mask.store(mask.0, Ordering::Relaxed);
            // More may be pending for those who wait.
            signals.queue.notify(Events::IN);
            return Ok(fd as usize);
        }
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::NONBLOCK, flags.contains(SignalFdFlags::SFD_NONBLOCK));
        let file = self.nameless(SignalFile::new(mask), Access::READ | Access::WRITE, status);
        self.install(file, flags.contains(SignalFdFlags::SFD_CLOEXEC))
    }
}

#[cfg(test)]
mod tests {
    use super::super::set::{SI_TKILL, SIGUSR1, SignalInfo};
    use super::record;

    #[test]
    fn records_keep_sender_and_value() {
        let mut info = SignalInfo::sent(SIGUSR1, SI_TKILL, 7, 1000);
        info.fields[8..12].copy_from_slice(&99u32.to_le_bytes());
        let raw = record(&info);
        assert_eq!((raw[0], raw[12], raw[16], raw[44], raw[48]), (10, 7, 232, 99, 99));
    }
}
