//! What other processes ask a process to do: its memory is mapped in its own host process alone, so one of its threads
//! has to read or write it for them, and to take mappings away.
//!
//! Whoever asks hands a [`TaskWork`] in, interrupts one thread and sleeps. That thread runs it on its way to guest
//! code, or between two looks of the sleep it is in, which goes on afterwards as if nothing had been. A thread that
//! leaves passes the duty on; the last one refuses what is left.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use litebox::mm::arena::PageCache;
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

/// Moves bytes between pieces of the calling process's memory and a buffer; how many, up to the first that cannot be
/// accessed.
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
enum TaskWorkOp {
    /// Bytes are moved between pieces of memory and a buffer; how many were is counted.
    Move { direction: Direction, pieces: Pieces, bytes: Mutex<Vec<u8>>, moved: AtomicUsize },
    /// A file was cut: its pages behind the new end go.
    Cut { file: Arc<PageCache>, size: u64 },
}

/// One request.
struct TaskWork {
    op: TaskWorkOp,
    /// Which address space is meant: the process may execute a program meanwhile.
    mm: usize,
    state: AtomicU8,
    asker: Arc<litebox::event::Waiter>,
}

impl TaskWork {
    fn end(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        self.asker.wake();
    }
}

#[derive(Default)]
struct Waiting {
    waiting: VecDeque<Arc<TaskWork>>,
    /// The process has ended.
    closed: bool,
}

/// What a process was asked for and has not done yet.
#[derive(Default)]
pub(crate) struct TaskWorkQueue {
    queue: Mutex<Waiting>,
    any: AtomicBool,
}

impl TaskWorkQueue {
    fn take(&self) -> Option<Arc<TaskWork>> {
        let mut queue = self.queue.lock();
        let work = queue.waiting.pop_front();
        self.any.store(!queue.waiting.is_empty(), Ordering::SeqCst);
        work
    }
}

impl Process {
    /// Does what others ask for, if they do. Called by its threads with no lock held that a fault wants.
    #[inline]
    pub(crate) fn run_task_work(&self) {
        if self.task_work.any.load(Ordering::SeqCst) {
            self.run_all_task_work();
        }
    }
    #[cold]
    fn run_all_task_work(&self) {
        while let Some(work) = self.task_work.take() {
            if work.mm != self.mm.identity() {
                work.end(REFUSED);
                continue;
            }
            match &work.op {
                TaskWorkOp::Move { direction, pieces, bytes, moved } => {
                    // The one who asked does not look before it is told.
                    let mut buffer = core::mem::take(&mut *bytes.lock());
                    moved.store(move_bytes(*direction, pieces, &mut buffer), Ordering::Relaxed);
                    *bytes.lock() = buffer;
                }
                TaskWorkOp::Cut { file, size } => self.mm.cut_pages(file, *size),
            }
            work.end(DONE);
        }
    }
    /// A thread has left: another one sees to what is left to do.
    pub(crate) fn pass_on_task_work(&self) {
        if self.task_work.any.load(Ordering::SeqCst) {
            self.wake_for_task_work();
        }
    }
    fn wake_for_task_work(&self) {
        let threads = self.threads();
        let alive = |t: &&Arc<Thread>| !t.dead.load(Ordering::Acquire);
        let sleeper = threads.iter().filter(alive).find(|t| t.waiter.asleep());
        if let Some(thread) = sleeper.or_else(|| threads.iter().find(alive)) {
            thread.interrupt();
        }
    }
    /// The last thread leaves: nobody does anything here any more.
    pub(crate) fn refuse_task_work(&self) {
        self.task_work.queue.lock().closed = true;
        while let Some(work) = self.task_work.take() {
            work.end(REFUSED);
        }
    }
    fn add_task_work(&self, work: &Arc<TaskWork>) -> bool {
        let mut queue = self.task_work.queue.lock();
        if queue.closed {
            return false;
        }
        queue.waiting.push_back(work.clone());
        self.task_work.any.store(true, Ordering::SeqCst);
        drop(queue);
        self.wake_for_task_work();
        true
    }
}

/// The memory of a process, for another one.
pub(crate) struct Remote {
    process: Arc<Process>,
    mm: usize,
}

impl Remote {
    /// What `process` has mapped now, and only while it has that.
    pub(crate) fn of(process: &Arc<Process>) -> Self {
        Self { process: process.clone(), mm: process.mm.identity() }
    }
    /// Moves bytes between pieces of that memory and a buffer, for `asker`, the calling thread: how many, up to the
    /// first that cannot be accessed. `NoProcess`: there is no such memory any more. Sleeps, but only until a thread of
    /// the process has come by.
    pub(crate) fn move_bytes(
        &self,
        asker: &Arc<Thread>,
        direction: Direction,
        pieces: &Pieces,
        bytes: &mut Vec<u8>,
    ) -> Result<usize> {
        if asker.process.mm.identity() == self.mm {
            return Ok(move_bytes(direction, pieces, bytes));
        }
        let moved = AtomicUsize::new(0);
        let op =
            TaskWorkOp::Move { direction, pieces: pieces.clone(), bytes: Mutex::new(core::mem::take(bytes)), moved };
        let (work, state) = self.ask(asker, op)?;
        if let TaskWorkOp::Move { bytes: buffer, moved, .. } = &work.op {
            *bytes = core::mem::take(&mut *buffer.lock());
            if state == DONE {
                return Ok(moved.load(Ordering::Relaxed));
            }
        }
        // Refused, or the asker is on its way out.
        Err(if state == REFUSED { Error::NoProcess } else { Error::Interrupted })
    }
    /// `file` was cut to `size` bytes: what it shows of the pages behind goes.
    fn cut(&self, asker: &Arc<Thread>, file: &Arc<PageCache>, size: u64) {
        // Who has no such memory any more shows nothing of it.
        let _ = self.ask(asker, TaskWorkOp::Cut { file: file.clone(), size });
    }
    /// Has a thread of the process do something.
    fn ask(&self, asker: &Arc<Thread>, op: TaskWorkOp) -> Result<(Arc<TaskWork>, u8)> {
        let (state, asker_waiter) = (AtomicU8::new(WAITING), asker.waiter.clone());
        let work = Arc::new(TaskWork { op, mm: self.mm, state, asker: asker_waiter });
        if !self.process.add_task_work(&work) {
            return Err(Error::NoProcess);
        }
        let state = wait_for(asker, &work);
        Ok((work, state))
    }
}

impl Thread {
    /// `file` was cut to `size` bytes by the calling thread: its pages behind that go wherever they are mapped. Called
    /// with no lock held.
    pub(crate) fn cut_mappings(self: &Arc<Self>, file: &Arc<PageCache>, size: u64) {
        if !file.is_held() {
            return;
        }
        self.process.mm.cut_pages(file, size);
        let mut done: SmallVec<[usize; 8]> = SmallVec::from_elem(self.process.mm.identity(), 1);
        for process in self.process.kernel.processes() {
            let mm = process.mm.identity();
            if !process.ended() && !done.contains(&mm) && process.mm.shows_behind(file, size) {
                done.push(mm);
                Remote { process, mm }.cut(self, file, size);
            }
        }
    }
}

/// Sleeps until the task work has been run. Only the end of the caller is a reason to go on earlier.
fn wait_for(asker: &Thread, work: &TaskWork) -> u8 {
    let mut interrupted = false;
    let state = loop {
        if asker.waiter.clear_interrupt() {
            asker.process.pass_kick_on(asker);
            interrupted = true;
        }
        let ticket = asker.waiter.ticket();
        let state = work.state.load(Ordering::Acquire);
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
