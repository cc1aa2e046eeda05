//! Telling a process of an open file by a signal: readiness (`O_ASYNC`), urgent data, a lease that is broken, a change
//! in a directory (`F_NOTIFY`).
//!
//! What happens is noted under whatever locks its cause holds: an [`FAsyncEntry`] is marked, nothing more. The North
//! sends the signals soon after, with no lock held: at the end of the call that caused it, before that call goes to
//! sleep, or when a host event was served.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use super::OpenFile;
use super::notify::Watched;
use crate::event::{Events, Observer, WakeResult};
use crate::sync::Mutex;

/// Whom an open file signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OwnerTarget {
    /// Nobody.
    #[default]
    Nobody,
    /// One thread.
    Thread(i32),
    /// A process.
    Process(i32),
    /// All processes of a group.
    Group(i32),
}

/// Whom an open file signals, how, and on whose behalf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileOwner {
    /// Who is told (`F_SETOWN`).
    pub target: OwnerTarget,
    /// By which signal (`F_SETSIG`); 0: by SIGIO without details.
    pub signal: i32,
    /// Real user of who set it.
    pub uid: u32,
    /// Effective user of who set it.
    pub euid: u32,
    /// Pid namespace of who set it: nobody outside of it is told.
    pub pid_namespace: i32,
}

/// What one open file has to tell.
pub struct FAsyncEntry {
    file: Weak<OpenFile>,
    /// The descriptor it was asked for by.
    fd: AtomicI32,
    /// What happened and was not told yet.
    due: AtomicU32,
    /// What it observes its file for; nothing: it is not among the observers.
    observing: AtomicU32,
    /// The owner hears of urgent data, whether it is told of readiness or not.
    urgent: AtomicBool,
    /// Of a directory: what is watched for.
    pub(super) watched: Mutex<Option<Watched>>,
    fasync: Arc<FAsync>,
}

impl FAsyncEntry {
    /// Something happened. Takes no lock.
    pub(super) fn raise(&self, what: Events) {
        self.due.fetch_or(what.bits(), Ordering::AcqRel);
        self.fasync.any.store(true, Ordering::Release);
    }
}

impl FAsyncEntry {
    /// Observes its file for these events, and for no others.
    fn observe(self: &Arc<Self>, file: &OpenFile, interest: Events) {
        let before = self.observing.swap(interest.bits(), Ordering::AcqRel);
        if before == interest.bits() {
            return;
        }
        let observer: Arc<dyn Observer> = self.clone();
        if before != 0 {
            file.file.unobserve(&observer);
        }
        if !interest.is_empty() {
            file.file.observe(&observer, interest);
        }
    }
}

impl Observer for FAsyncEntry {
    fn on_ready(&self, events: Events) -> WakeResult {
        self.raise(events);
        WakeResult::NOBODY
    }
}

/// All notices of a sandbox.
#[derive(Default)]
pub struct FAsync {
    any: AtomicBool,
    all: Mutex<Vec<Weak<FAsyncEntry>>>,
}

impl FAsync {
    /// Whether something is to be told.
    #[inline]
    pub fn due(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }
    /// Takes what is to be told: the open file, its descriptor, what happened.
    pub fn take(&self) -> Vec<(Arc<OpenFile>, i32, Events)> {
        if !self.any.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let fasync: Vec<Arc<FAsyncEntry>> = self.all.lock().iter().filter_map(Weak::upgrade).collect();
        let taken = fasync.iter().filter_map(|fasync_entry| {
            let what = fasync_entry.due.swap(0, Ordering::AcqRel);
            let file = fasync_entry.file.upgrade().filter(|_| what != 0)?;
            Some((file, fasync_entry.fd.load(Ordering::Relaxed), Events::from_bits_retain(what)))
        });
        taken.collect()
    }
    /// The notice of an open file, asked for by the descriptor `fd`.
    pub fn of(self: &Arc<Self>, file: &Arc<OpenFile>, fd: i32) -> Arc<FAsyncEntry> {
        let mut kept = file.fasync_entry.lock();
        if let Some(fasync_entry) = &*kept {
            fasync_entry.fd.store(fd, Ordering::Relaxed);
            return fasync_entry.clone();
        }
        let fasync_entry = Arc::new(FAsyncEntry {
            file: Arc::downgrade(file),
            fd: AtomicI32::new(fd),
            due: AtomicU32::new(0),
            observing: AtomicU32::new(0),
            urgent: AtomicBool::new(false),
            watched: Mutex::new(None),
            fasync: self.clone(),
        });
        *kept = Some(fasync_entry.clone());
        drop(kept);
        let mut all = self.all.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&fasync_entry));
        fasync_entry
    }
    /// Tells of the readiness of `file` from now on, or no more (`O_ASYNC`).
    pub fn follow(self: &Arc<Self>, file: &Arc<OpenFile>, fd: i32, on: bool) {
        let fasync_entry = self.of(file, fd);
        let urgent = if fasync_entry.urgent.load(Ordering::Acquire) { Events::PRI } else { Events::empty() };
        fasync_entry.observe(file, if on { Events::all() - Events::EXCLUSIVE } else { urgent });
    }
    /// The owner of `file`, a socket, hears of urgent data from now on (SIGURG).
    pub fn follow_urgent(self: &Arc<Self>, file: &Arc<OpenFile>, fd: i32) {
        let fasync_entry = self.of(file, fd);
        fasync_entry.urgent.store(true, Ordering::Release);
        if fasync_entry.observing.load(Ordering::Acquire) == 0 {
            fasync_entry.observe(file, Events::PRI);
        }
    }
}
