//! What is said to the user, on stderr: never waited for.
//!
//! Whoever reads stderr may stop doing so (a full pipe, a terminal held by ^S), and the guest can fill it. The broker
//! keeps limits and ends sandboxes, so it writes only what goes at once; the rest is left to a thread, and lines beyond
//! `MOST_LINES` are dropped and counted.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use litebox_protocol::plain::Plain;
use rustix::io::{Errno, ReadWriteFlags};

use crate::terminal::line_end;

/// Texts that wait for somebody to read them.
const MOST_LINES: usize = 64;
/// How long the end of the program waits for them.
const PATIENCE: Duration = Duration::from_secs(1);
/// For pwritev2(2): where the descriptor stands.
const CURRENT: u64 = u64::MAX;
/// So many bytes go into a pipe whole or not at all (pipe(7)).
const PIPE_BUF: usize = 4096;
/// Stack of the thread that writes.
const STACK: usize = 64 << 10;

#[derive(Default)]
struct Waiting {
    texts: VecDeque<String>,
    dropped: u32,
    /// The thread that writes exists.
    started: bool,
    /// It has taken a text and not written all of it.
    writing: bool,
}

struct Voice {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

static VOICE: Voice = Voice {
    waiting: Mutex::new(Waiting { texts: VecDeque::new(), dropped: 0, started: false, writing: false }),
    changed: Condvar::new(),
};

impl Voice {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says one line.
pub fn say(line: &str) {
    write(format!("litebox: {}{}", Plain(line), line_end()));
}

/// Writes a text as it is: at once if that takes no waiting, else when somebody reads.
pub fn write(text: String) {
    let mut waiting = VOICE.waiting();
    if waiting.texts.is_empty() && !waiting.writing && is_written_at_once(text.as_bytes()) {
        return;
    }
    if waiting.texts.len() >= MOST_LINES {
        waiting.dropped = waiting.dropped.saturating_add(1);
        return;
    }
    waiting.texts.push_back(text);
    if !waiting.started {
        // Without room for a thread the text is lost, unless a later one finds room.
        waiting.started = start_thread();
    }
    VOICE.changed.notify_all();
}

/// Starts the thread. No signal is for it, whoever sets up signals later.
fn start_thread() -> bool {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both sets are filled in before they are read. The mask is the calling thread's, and is given back.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigemptyset(before.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let started = std::thread::Builder::new().stack_size(STACK).spawn(write_all).is_ok();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        started
    }
}

/// Waits for what was said to be written, a second at most.
pub fn finish() {
    let deadline = Instant::now() + PATIENCE;
    let mut waiting = VOICE.waiting();
    while waiting.started && (waiting.writing || !waiting.texts.is_empty()) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        waiting = VOICE.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Writes all bytes if that takes no waiting. Files that cannot tell (terminals) take none.
fn is_written_at_once(bytes: &[u8]) -> bool {
    let piece = [IoSlice::new(bytes)];
    let written = || rustix::io::pwritev2(std::io::stderr(), &piece, CURRENT, ReadWriteFlags::NOWAIT);
    bytes.len() <= PIPE_BUF && written() == Ok(bytes.len())
}

/// Writes all bytes, however long it takes. Nothing can be done when stderr is gone. The standard library's lock is not
/// held meanwhile.
fn write_patiently(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(std::io::stderr(), bytes) {
            Ok(0) => return,
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// The thread: writes one text after the other, for as long as the program lives.
fn write_all() {
    let mut waiting = VOICE.waiting();
    loop {
        let Some(text) = waiting.texts.pop_front() else {
            waiting = VOICE.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let dropped = std::mem::take(&mut waiting.dropped);
        waiting.writing = true;
        drop(waiting);
        write_patiently(text.as_bytes());
        if dropped > 0 {
            write_patiently(format!("litebox: {dropped} lines dropped{}", line_end()).as_bytes());
        }
        waiting = VOICE.waiting();
        waiting.writing = false;
        VOICE.changed.notify_all();
    }
}
