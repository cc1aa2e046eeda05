//! Answers of the broker that came before the request ([`litebox_protocol::Ahead`]): it remembers what the program
//! asked for when it was started last.
//!
//! They lie on the socket for readers, in the order in which they were asked for the last time. Who asks something
//! takes them from there until the answer is among them, or there are no more. Each is good once, and all are forgotten
//! when the start is over: a while later, or when many questions were not foreseen.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use core::time::Duration;

use litebox::platform::{Clock, HostFd, HostFiles, Instant};
use litebox::sync::Mutex;
use litebox_protocol::{Ahead, MAX_AHEAD, MAX_AHEAD_LEN};

use crate::LinuxHost;
use crate::host::broker::receive_to;
use crate::host::turn::Turn;

/// How long a program may start.
const START: Duration = Duration::from_secs(1);
/// When so many were not foreseen the program does something else than the last time.
const MOST_MISSES: u32 = 64;
/// Bytes with a bit for each answer.
const BITS: usize = MAX_AHEAD / 8;

/// What came with an answer that was of use.
pub(crate) struct CameAlong(pub(crate) Option<HostFd>);

struct Answer {
    /// In which place it came.
    place: usize,
    reply: Vec<u8>,
    fd: Option<HostFd>,
}

#[derive(Default)]
struct Came {
    answers: BTreeMap<Vec<u8>, Answer>,
    /// How many have come.
    count: usize,
    /// There are no more.
    complete: bool,
    misses: u32,
    /// When the start is over.
    until: Option<Instant>,
}

/// Those of this sandbox.
pub(crate) struct AnswersAhead {
    /// There are none, or no more.
    over: AtomicBool,
    /// The socket for readers.
    socket: i32,
    came: Mutex<Came>,
    used: [AtomicU8; BITS],
}

impl AnswersAhead {
    /// None when none are `expected`; else those on this socket.
    pub(crate) fn new(socket: i32, expected: bool) -> Self {
        Self {
            over: AtomicBool::new(!expected),
            socket,
            came: Mutex::new(Came::default()),
            used: [const { AtomicU8::new(0) }; BITS],
        }
    }

    /// Which were of use, a bit each.
    pub(crate) fn used(&self) -> [u8; BITS] {
        core::array::from_fn(|at| self.used.get(at).map_or(0, |byte| byte.load(Ordering::Relaxed)))
    }

    /// The answer to a request with the number 0, if it came ahead: puts the reply into the room of `reply`, and gives
    /// the descriptor that came along. `turn`: whose turn it is on the socket for readers.
    pub(crate) fn take(&self, turn: &Turn, request: &[u8], reply: &mut Vec<u8>) -> Option<CameAlong> {
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        loop {
            let mut came = self.came.lock();
            if let Some(answer) = came.answers.remove(request) {
                drop(came);
                return self.give(answer, reply);
            }
            if came.complete {
                came.misses += 1;
                let is_over = came.misses > MOST_MISSES || came.until.is_none_or(|until| LinuxHost.instant() > until);
                let forgotten = if is_over { core::mem::take(&mut came.answers) } else { BTreeMap::new() };
                self.over.fetch_or(is_over, Ordering::Relaxed);
                drop(came);
                for answer in forgotten.into_values() {
                    close(answer.fd);
                }
                return None;
            }
            let seen = came.count;
            drop(came);
            self.receive(turn, seen);
        }
    }

    fn give(&self, answer: Answer, reply: &mut Vec<u8>) -> Option<CameAlong> {
        if reply.capacity() < answer.reply.len() {
            close(answer.fd);
            return None;
        }
        reply.extend_from_slice(&answer.reply);
        if let Some(byte) = self.used.get(answer.place / 8) {
            byte.fetch_or(1 << (answer.place % 8), Ordering::Relaxed);
        }
        Some(CameAlong(answer.fd))
    }

    /// Waits for the next answer, unless somebody else has received one since there were `seen`.
    fn receive(&self, turn: &Turn, seen: usize) {
        let turn = turn.take();
        let is_waited_for = {
            let came = self.came.lock();
            came.count == seen && !came.complete
        };
        if !is_waited_for {
            return;
        }
        let mut message = Vec::with_capacity(MAX_AHEAD_LEN);
        // Nobody at the other end: there are no more.
        let fd = receive_to(self.socket, &mut message, 0).unwrap_or_default();
        drop(turn);
        let mut came = self.came.lock();
        let place = came.count;
        came.count += 1;
        let unused = if let Some((request, reply)) = Ahead::parts(&message).filter(|_| place < MAX_AHEAD) {
            let answer = Answer { place, reply: reply.to_vec(), fd };
            came.answers.insert(request.to_vec(), answer).and_then(|replaced| replaced.fd)
        } else {
            came.complete = true;
            came.until = Some(LinuxHost.instant().saturating_add(START));
            fd
        };
        drop(came);
        close(unused);
    }
}

fn close(fd: Option<HostFd>) {
    if let Some(fd) = fd {
        LinuxHost.host_close(fd);
    }
}
