//! Open files that lie in messages (SCM_RIGHTS), and the garbage that they can become.
//!
//! A socket may lie in its own queue, or two in each other's: when their last descriptor is closed, nobody can ever
//! take them out. So whenever a socket is closed while others are under way, those are looked for: a socket all of
//! whose references lie in queues is alive only if one of these queues belongs to a living one. The queues of the
//! others are emptied.
//!
//! Files taken out of queues end one after the other and not by recursion: a queue in a queue in a queue may be deeper
//! than the kernel's stack.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Core, UnixSocket};
use crate::fs::OpenFile;
use crate::sync::Mutex;

/// Files of one message.
pub type Rights = Vec<Arc<OpenFile>>;

/// What is known of the files that lie in messages.
#[derive(Default)]
pub(super) struct InFlight {
    /// All of them.
    count: AtomicUsize,
    /// Sockets among them, by address: how often each lies in a queue.
    sockets: Mutex<BTreeMap<usize, usize>>,
    /// Files that nobody will receive.
    doomed: Mutex<Vec<Arc<OpenFile>>>,
    burying: AtomicBool,
}

fn key(file: &Arc<OpenFile>) -> usize {
    Arc::as_ptr(file) as usize
}

fn socket_of(file: &OpenFile) -> Option<&UnixSocket> {
    file.file.as_any().downcast_ref()
}

/// A socket all of whose references lie in queues.
struct Candidate {
    core: Arc<Core>,
    references: usize,
    /// References from the queues of other candidates.
    inner: usize,
    alive: bool,
}

impl InFlight {
    /// How many files lie in messages.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
    /// Files go into a message.
    pub fn sent(&self, files: &[Arc<OpenFile>]) {
        self.count.fetch_add(files.len(), Ordering::Relaxed);
        let mut sockets = self.sockets.lock();
        for file in files.iter().filter(|file| socket_of(file).is_some()) {
            *sockets.entry(key(file)).or_default() += 1;
        }
    }
    /// Files left a message.
    pub fn taken(&self, files: &[Arc<OpenFile>]) {
        self.count.fetch_sub(files.len(), Ordering::Relaxed);
        let mut sockets = self.sockets.lock();
        for file in files.iter().filter(|file| socket_of(file).is_some()) {
            if let Some(count) = sockets.get_mut(&key(file)) {
                *count -= 1;
                if *count == 0 {
                    sockets.remove(&key(file));
                }
            }
        }
    }
    /// Nobody will receive these. Whoever is here first ends them all.
    pub fn bury(&self, files: Rights) {
        if files.is_empty() {
            return;
        }
        self.taken(&files);
        self.doomed.lock().extend(files);
        while !self.doomed.lock().is_empty() {
            if self.burying.swap(true, Ordering::AcqRel) {
                return;
            }
            loop {
                let Some(file) = self.doomed.lock().pop() else { break };
                drop(file);
            }
            self.burying.store(false, Ordering::Release);
        }
    }

    /// Empties the queues that nobody can read any more.
    pub fn collect(&self) {
        // Who buries looks for garbage when everything under way is buried.
        if self.burying.load(Ordering::Acquire) || self.sockets.lock().is_empty() {
            return;
        }
        let dead = self.find_dead();
        for core in dead {
            let files = core.take_rights();
            self.bury(files);
        }
    }

    fn find_dead(&self) -> Vec<Arc<Core>> {
        // Nothing goes into a queue or leaves one unseen while this is held.
        let sockets = self.sockets.lock();
        let mut candidates: BTreeMap<usize, Candidate> = BTreeMap::new();
        for (&at, &references) in &*sockets {
            // SAFETY: the key is the address of an open file that lies in a queue: it lives at least until `taken`,
            // which waits for the lock.
            let file = unsafe {
                let pointer = at as *const OpenFile;
                Arc::increment_strong_count(pointer);
                Arc::from_raw(pointer)
            };
            // One reference is ours.
            if let Some(socket) = socket_of(&file).filter(|_| Arc::strong_count(&file) == references + 1) {
                let core = socket.core.clone();
                candidates.insert(at, Candidate { core, references, inner: 0, alive: false });
            }
        }
        let queues: Vec<(usize, Vec<usize>)> =
            candidates.iter().map(|(at, candidate)| (*at, candidate.core.right_keys())).collect();
        for inner in queues.iter().flat_map(|(_, inner)| inner) {
            if let Some(candidate) = candidates.get_mut(inner) {
                candidate.inner += 1;
            }
        }
        let mut reached: Vec<usize> =
            candidates.iter().filter(|(_, c)| c.inner < c.references).map(|(at, _)| *at).collect();
        let edges: BTreeMap<usize, Vec<usize>> = queues.into_iter().collect();
        while let Some(at) = reached.pop() {
            let Some(candidate) = candidates.get_mut(&at).filter(|c| !c.alive) else { continue };
            candidate.alive = true;
            reached.extend(edges.get(&at).into_iter().flatten());
        }
        candidates.into_values().filter(|c| !c.alive).map(|c| c.core).collect()
    }
}
