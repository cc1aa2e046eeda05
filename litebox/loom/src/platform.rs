//! A host of futexes: who sleeps on a word stands in a queue, from which a wake-up takes as many as it says.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::sync::{Condvar, Mutex};

use crate::Result;

/// A point in time; there is none in a model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Instant(pub u64);

impl Instant {
    /// This instant moved by `d`.
    #[must_use]
    pub fn saturating_add(self, d: Duration) -> Self {
        Self(self.0 + d.as_nanos() as u64)
    }
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FutexWake {
    /// Look again.
    Look,
    /// Never in a model.
    TimedOut,
}

/// What is done with a guest's word: it is read.
#[derive(Clone, Copy, Debug)]
pub enum AtomicOp {
    /// Read it.
    Load,
}

struct Sleeper {
    word: usize,
    woken: Arc<Condvar>,
}

loom::lazy_static! {
    /// Who sleeps, in the order in which they came; anew in each execution of a model.
    static ref SLEEPERS: Mutex<Vec<Sleeper>> = Mutex::new(Vec::new());
}

/// The one host.
pub struct Host;

/// The host.
pub fn host() -> &'static Host {
    &Host
}

fn place(word: &AtomicU32) -> usize {
    core::ptr::from_ref(word) as usize
}

impl Host {
    /// Sleeps while `*word == expected`, until woken: compared under the lock of the queue, as Linux does.
    pub fn futex_wait(&self, word: &AtomicU32, expected: u32, _deadline: Option<Instant>) -> FutexWake {
        let woken = Arc::new(Condvar::new());
        let mut sleepers = SLEEPERS.lock().unwrap();
        if word.load(Ordering::SeqCst) != expected {
            return FutexWake::Look;
        }
        sleepers.push(Sleeper { word: place(word), woken: woken.clone() });
        while sleepers.iter().any(|sleeper| Arc::ptr_eq(&sleeper.woken, &woken)) {
            sleepers = woken.wait(sleepers).unwrap();
        }
        FutexWake::Look
    }

    /// Wakes up to `count` sleepers, longest first.
    pub fn futex_wake(&self, word: &AtomicU32, count: u32) {
        let mut left = count;
        let mut woken = Vec::new();
        SLEEPERS.lock().unwrap().retain(|sleeper| {
            let is_meant = left > 0 && sleeper.word == place(word);
            if is_meant {
                left -= 1;
                woken.push(sleeper.woken.clone());
            }
            !is_meant
        });
        woken.iter().for_each(|woken| woken.notify_one());
    }

    /// Now.
    pub fn instant(&self) -> Instant {
        Instant(0)
    }

    /// The guest's word at `addr`: one of the model's.
    pub fn user_atomic_u32(&self, addr: usize, op: AtomicOp) -> Result<u32> {
        let AtomicOp::Load = op;
        // Loom takes sequentially consistent accesses for weaker ones than they are. The table counted itself in by a
        // locked instruction, which on x86 is this barrier.
        fence(Ordering::SeqCst);
        // SAFETY: models pass addresses of words that outlive their threads.
        Ok(unsafe { &*(addr as *const AtomicU32) }.load(Ordering::SeqCst))
    }

    /// The same for each execution: a model is played again and again.
    pub fn random(&self, buf: &mut [u8]) {
        buf.fill(7);
    }
}

/// The North.
pub mod north {
    /// A North that has signals and nothing else.
    pub struct North;

    /// The North.
    pub fn north() -> &'static North {
        &North
    }

    impl North {
        /// Before a thread sleeps.
        pub fn before_sleep(&self) {}
        /// A thread is about to sleep.
        pub fn sleeping(&self) {}
        /// Whether what interrupted a sleep ends the call.
        pub fn ends_sleep(&self) -> bool {
            true
        }
    }
}
