//! What the sandbox tells of its changes when it ends is taken by a thread: the broker itself goes on serving it.
//!
//! The thread reads a pipe that the sandbox holds from the start, and takes what comes as it must take anything from
//! there. It bounds how long it waits and how much it takes; whoever has it sees here how far it is.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a sandbox whose time is over may take until it begins to tell, and to end when it has told.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far it is.
#[derive(Debug, Default)]
pub struct Stage {
    begun: AtomicBool,
    over: AtomicBool,
}

impl Stage {
    /// The first bytes have come.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }
}

/// What takes the changes: says whether they were kept, or why not. It ends by itself when nobody can write to its pipe
/// any more, and bounds how long it waits once it has told the [`Stage`] that something has come.
pub struct Keeper(pub Box<Work>);

/// What a [`Keeper`] does.
pub type Work = dyn FnOnce(&Stage) -> Result<(), String> + Send;

/// Its thread.
pub struct Keeping {
    stage: Arc<Stage>,
    thread: Option<JoinHandle<Result<(), String>>>,
    /// Until when it is waited for.
    moment: Option<Instant>,
}

/// What becomes of a sandbox whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWill {
    /// Its program is to be killed, and to tell what it changed.
    Ask,
    /// That is under way.
    Wait,
    /// It is over, or takes too long.
    Refused,
}

impl Keeping {
    /// Starts the thread. No signal is for it.
    pub fn start(keeper: Keeper) -> Self {
        let stage = Arc::new(Stage::default());
        let theirs = stage.clone();
        let work = move || {
            let kept = keeper.0(&theirs);
            theirs.over.store(true, Ordering::Release);
            kept
        };
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: both sets are filled in before they are read. The mask is the calling thread's, and is given back.
        let thread = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::sigemptyset(before.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            let thread = std::thread::Builder::new().spawn(work).ok();
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
            thread
        };
        Self { stage, thread, moment: None }
    }

    /// The time of the sandbox is over.
    pub fn at_the_end(&mut self, now: Instant) -> LastWill {
        let is_under_way = self.stage.begun.load(Ordering::Acquire) && !self.stage.over.load(Ordering::Acquire);
        match self.moment {
            // The thread itself waits only so long.
            _ if is_under_way => {
                self.moment = now.checked_add(PATIENCE);
                LastWill::Wait
            }
            None => {
                self.moment = now.checked_add(PATIENCE);
                LastWill::Ask
            }
            Some(moment) if now < moment => LastWill::Wait,
            Some(_) => LastWill::Refused,
        }
    }

    /// Waits for its end: nothing of the sandbox is left.
    pub fn finish(self) -> Result<(), String> {
        let Some(thread) = self.thread else { return Err("no room for a thread".into()) };
        thread.join().unwrap_or_else(|_| Err("it broke".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Keeper, Keeping, LastWill, PATIENCE};

    #[test]
    fn a_sandbox_that_tells_nothing_is_not_waited_for_long() {
        let mut keeping = Keeping::start(Keeper(Box::new(|_| Err("nothing came".into()))));
        let now = Instant::now();
        assert_eq!(keeping.at_the_end(now), LastWill::Ask);
        assert_eq!(keeping.at_the_end(now + Duration::from_secs(1)), LastWill::Wait);
        assert_eq!(keeping.at_the_end(now + PATIENCE), LastWill::Refused);
        assert_eq!(keeping.finish(), Err("nothing came".into()));
    }

    #[test]
    fn one_that_tells_is_waited_for() {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let (begun, is_begun) = std::sync::mpsc::channel::<()>();
        let mut keeping = Keeping::start(Keeper(Box::new(move |stage| {
            stage.begin();
            let _ = begun.send(());
            let _ = gone.recv();
            Ok(())
        })));
        assert_eq!(is_begun.recv(), Ok(()));
        let now = Instant::now();
        assert_eq!(keeping.at_the_end(now), LastWill::Wait);
        assert_eq!(keeping.at_the_end(now + Duration::from_secs(3600)), LastWill::Wait);
        drop(go);
        assert_eq!(keeping.finish(), Ok(()));
    }
}
