//! What other processes ask a process to do: its memory is mapped in its own host process alone, so one of its threads has to read or write it
//! for them, and to take mappings away.
//!
//! Whoever asks hands an [`Errand`] in, interrupts one thread and sleeps. That thread runs it on its way to guest code, or between two looks of
//! the sleep it is in, which goes on afterwards as if nothing had been. A thread that leaves passes the duty on; the last one refuses
//! what is left.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use litebox::mm::arena::PagedFile;
use litebox::sync::Mutex;
use litebox::{Error, Result};
use smallvec::SmallVec;

use super::{Process, Thread};
use crate::user::{read_some, write_some};

/// Pieces of memory: first byte and length of each.
pub(crate) type Pieces = SmallVec<[(u64, usize); 8]>;

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// Out of the pieces.
    Read,
    /// Into them.
    Write,
}

/// Moves bytes between pieces of the calling process's memory and a buffer; how many, up to the first that cannot be accessed.
pub(crate) fn move_bytes(direction: Direction, pieces: &[(u64, usize)], mut bytes: &mut [u8]) -> usize {
    let mut moved = 0;
    for (addr, len) in pieces {
        let (part, rest) = bytes.split_at_mut((*len).min(bytes.len()));
        let n = match direction {
            Direction::Read => read_some(*addr, part),
            Direction::Write => write_some(*addr, part),
        };
        moved += n;
        if n < *len {
            break;
        }
        bytes = rest;
    }
    moved
}

const WAITING: u8 = 0;
const DONE: u8 = 1;
const REFUSED: u8 = 2;

/// What is to be done.
enum Work {
    /// Bytes are moved between pieces of memory and a buffer; how many were is counted.
    Move { direction: Direction, pieces: Pieces, bytes: Mutex<Vec<u8>>, moved: AtomicUsize },
    /// A file was cut: its pages behind the new end go.
    Cut { file: Arc<PagedFile>, size: u64 },
}

/// One request.
struct Errand {
    work: Work,
    /// Which address space is meant: the process may execute a program meanwhile.
    space: usize,
    state: AtomicU8,
    asker: Arc<litebox::event::Waiter>,
}

impl Errand {
    fn end(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        self.asker.wake();
    }
}

#[derive(Default)]
struct Queue {
    errands: VecDeque<Arc<Errand>>,
    /// The process has ended.
    closed: bool,
}

/// What a process was asked for and has not done yet.
#[derive(Default)]
pub(crate) struct Errands {
    queue: Mutex<Queue>,
    any: AtomicBool,
}

impl Errands {
    fn take(&self) -> Option<Arc<Errand>> {
        let mut queue = self.queue.lock();
        let errand = queue.errands.pop_front();
        self.any.store(!queue.errands.is_empty(), Ordering::SeqCst);
        errand
    }
}

impl Process {
    /// Does what others ask for, if they do. Called by its threads with no lock held that a fault wants.
    #[inline]
    pub(crate) fn run_errands(&self) {
        if self.errands.any.load(Ordering::SeqCst) {
            self.run_all_errands();
        }
    }
    #[cold]
    fn run_all_errands(&self) {
        while let Some(errand) = self.errands.take() {
            if errand.space != self.mm.identity() {
                errand.end(REFUSED);
                continue;
            }
            match &errand.work {
                Work::Move { direction, pieces, bytes, moved } => {
                    // The one who asked does not look before it is told.
                    let mut buffer = core::mem::take(&mut *bytes.lock());
                    moved.store(move_bytes(*direction, pieces, &mut buffer), Ordering::Relaxed);
                    *bytes.lock() = buffer;
                }
                Work::Cut { file, size } => self.mm.cut_pages(file, *size),
            }
            errand.end(DONE);
        }
    }
    /// A thread has left: another one sees to what is left to do.
    pub(crate) fn pass_errands_on(&self) {
        if self.errands.any.load(Ordering::SeqCst) {
            self.rouse_for_errands();
        }
    }
    fn rouse_for_errands(&self) {
        let threads = self.threads();
        let alive = |t: &&Arc<Thread>| !t.dead.load(Ordering::Acquire);
        let sleeper = threads.iter().filter(alive).find(|t| t.waiter.asleep());
        if let Some(thread) = sleeper.or_else(|| threads.iter().find(alive)) {
            thread.interrupt();
        }
    }
    /// The last thread leaves: nobody does anything here any more.
    pub(crate) fn refuse_errands(&self) {
        self.errands.queue.lock().closed = true;
        while let Some(errand) = self.errands.take() {
            errand.end(REFUSED);
        }
    }
    fn hand_in(&self, errand: &Arc<Errand>) -> bool {
        let mut queue = self.errands.queue.lock();
        if queue.closed {
            return false;
        }
        queue.errands.push_back(errand.clone());
        self.errands.any.store(true, Ordering::SeqCst);
        drop(queue);
        self.rouse_for_errands();
        true
    }
}

/// The memory of a process, for another one.
pub(crate) struct Remote {
    process: Arc<Process>,
    space: usize,
}

impl Remote {
    /// What `process` has mapped now, and only while it has that.
    pub(crate) fn of(process: &Arc<Process>) -> Self {
        Self { process: process.clone(), space: process.mm.identity() }
    }
    /// Moves bytes between pieces of that memory and a buffer, for `asker`, the calling thread: how many, up to the first that cannot be
    /// accessed. `NoProcess`: there is no such memory any more. Sleeps, but only until a thread of the process has come by.
    pub(crate) fn move_bytes(
        &self,
        asker: &Arc<Thread>,
        direction: Direction,
        pieces: &Pieces,
        bytes: &mut Vec<u8>,
    ) -> Result<usize> {
        if asker.process.mm.identity() == self.space {
            return Ok(move_bytes(direction, pieces, bytes));
        }
        let moved = AtomicUsize::new(0);
        let work = Work::Move { direction, pieces: pieces.clone(), bytes: Mutex::new(core::mem::take(bytes)), moved };
        let (errand, state) = self.ask(asker, work)?;
        if let Work::Move { bytes: buffer, moved, .. } = &errand.work {
            *bytes = core::mem::take(&mut *buffer.lock());
            if state == DONE {
                return Ok(moved.load(Ordering::Relaxed));
            }
        }
        // Refused, or the asker is on its way out.
        Err(if state == REFUSED { Error::NoProcess } else { Error::Interrupted })
    }
    /// `file` was cut to `size` bytes: what it shows of the pages behind goes.
    fn cut(&self, asker: &Arc<Thread>, file: &Arc<PagedFile>, size: u64) {
        // Who has no such memory any more shows nothing of it.
        let _ = self.ask(asker, Work::Cut { file: file.clone(), size });
    }
    /// Has a thread of the process do something.
    fn ask(&self, asker: &Arc<Thread>, work: Work) -> Result<(Arc<Errand>, u8)> {
        let (state, asker_waiter) = (AtomicU8::new(WAITING), asker.waiter.clone());
        let errand = Arc::new(Errand { work, space: self.space, state, asker: asker_waiter });
        if !self.process.hand_in(&errand) {
            return Err(Error::NoProcess);
        }
        let state = wait_for(asker, &errand);
        Ok((errand, state))
    }
}

impl Thread {
    /// `file` was cut to `size` bytes by the calling thread: its pages behind that go wherever they are mapped. Called with no lock held.
    pub(crate) fn cut_mappings(self: &Arc<Self>, file: &Arc<PagedFile>, size: u64) {
        if !file.is_held() {
            return;
        }
        self.process.mm.cut_pages(file, size);
        let mut done: SmallVec<[usize; 8]> = SmallVec::from_elem(self.process.mm.identity(), 1);
        for process in self.process.kernel.processes() {
            let space = process.mm.identity();
            if !process.ended() && !done.contains(&space) && process.mm.shows_behind(file, size) {
                done.push(space);
                Remote { process, space }.cut(self, file, size);
            }
        }
    }
}

/// Sleeps until the errand has been run. Only the end of the caller is a reason to go on earlier.
fn wait_for(asker: &Thread, errand: &Errand) -> u8 {
    let mut interrupted = false;
    let state = loop {
        if asker.waiter.clear_interrupt() {
            asker.process.pass_kick_on(asker);
            interrupted = true;
        }
        let ticket = asker.waiter.ticket();
        let state = errand.state.load(Ordering::Acquire);
        if state != WAITING || asker.process.must_leave(asker) {
            break state;
        }
        let _ = asker.waiter.sleep(ticket, None);
    };
    if interrupted {
        asker.waiter.interrupt();
    }
    state
}
