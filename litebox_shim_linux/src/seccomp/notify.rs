//! Listeners (seccomp_unotify(2)): another program decides about a call, while the one who makes it waits.
//!
//! A [`Notifier`] belongs to a filter that was attached with `SECCOMP_FILTER_FLAG_NEW_LISTENER`, and to the file that
//! was made with it. The file is the listener: without it nobody is asked any more. Without the filter nobody asks.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use litebox::event::{Events, Observer, WaitQueue, Waiter};
use litebox::fs::{AnonInode, File, Inode};
use litebox::platform::host;
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_common_linux::Errno;
use litebox_common_linux::seccomp::Data;

/// `seccomp_notif` is there to be received, `seccomp_notif_resp` can be sent.
const TO_RECEIVE: Events = Events::IN.union(Events::RDNORM);
const TO_ANSWER: Events = Events::OUT.union(Events::WRNORM);

/// What becomes of a call that somebody was asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// It is made.
    Continue,
    /// This is its result, as it stands in a register.
    Result(u64),
}

/// How far a question is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Asked,
    /// Somebody has received it.
    Sent,
    Answered(Answer),
}

/// Who asks: a thread.
pub(crate) trait Asker: Send + Sync + 'static {
    /// What it sleeps on until the answer comes.
    fn waiter(&self) -> &Waiter;
    /// Its thread id.
    fn tid(&self) -> i32;
}

/// A call that waits for an answer.
struct Question<A> {
    /// Unique among those of its notifier.
    id: u64,
    asker: Arc<A>,
    data: Data,
    stage: Stage,
}

/// What is received of a question.
pub(crate) struct Received {
    pub id: u64,
    pub tid: i32,
    pub data: Data,
}

struct State<A> {
    /// In the order in which they were asked.
    questions: Vec<Question<A>>,
    next_id: u64,
    /// Somebody may answer.
    is_listened_to: bool,
    /// Somebody may ask.
    has_askers: bool,
}

impl<A> State<A> {
    fn find(&mut self, id: u64) -> Option<&mut Question<A>> {
        self.questions.iter_mut().find(|question| question.id == id)
    }
    fn take(&mut self, id: u64) -> Option<Question<A>> {
        let at = self.questions.iter().position(|question| question.id == id)?;
        Some(self.questions.remove(at))
    }
    /// One that was received and not answered.
    fn sent(&mut self, id: u64) -> Result<&mut Question<A>> {
        let question = self.find(id).ok_or(Error::NotFound)?;
        if question.stage == Stage::Sent { Ok(question) } else { Err(IN_PROGRESS) }
    }
}

const IN_PROGRESS: Error = Error::from_errno(Errno::EINPROGRESS.0);

/// Between those whose calls a filter leaves to somebody, and that somebody.
pub(crate) struct Notifier<A> {
    state: Mutex<State<A>>,
    queue: WaitQueue,
    /// Who was heard is interrupted by his end alone (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`).
    wait_killable: bool,
}

impl<A: Asker> Notifier<A> {
    pub(crate) fn new(wait_killable: bool) -> Arc<Self> {
        let mut first = [0; 8];
        host().random(&mut first);
        let next_id = u64::from_le_bytes(first);
        let state = State { questions: Vec::new(), next_id, is_listened_to: true, has_askers: true };
        Arc::new(Self { state: Mutex::new(state), queue: WaitQueue::new(), wait_killable })
    }

    /// Nobody's calls are filtered by its filter any more.
    pub(super) fn lose_askers(&self) {
        self.state.lock().has_askers = false;
        self.queue.notify(Events::HUP);
    }

    /// The listener was closed: who waits gets ENOSYS, as all will who ask from now on.
    fn close(&self) {
        let mut state = self.state.lock();
        state.is_listened_to = false;
        let mut asleep = Vec::new();
        for question in &mut state.questions {
            if !matches!(question.stage, Stage::Answered(_)) {
                question.stage = Stage::Answered(Answer::Result(Errno::ENOSYS.in_register()));
                asleep.push(question.asker.clone());
            }
        }
        drop(state);
        for asker in asleep {
            asker.waiter().wake();
        }
    }

    /// A new question; its id. `None`: nobody listens.
    pub(super) fn begin(&self, asker: &Arc<A>, data: Data) -> Option<u64> {
        let mut state = self.state.lock();
        if !state.is_listened_to || state.questions.try_reserve(1).is_err() {
            return None;
        }
        let id = state.next_id;
        state.next_id = id.wrapping_add(1);
        state.questions.push(Question { id, asker: asker.clone(), data, stage: Stage::Asked });
        drop(state);
        self.queue.notify(TO_RECEIVE);
        Some(id)
    }

    /// The answer, if it has come; then the question is over.
    pub(super) fn answer_to(&self, id: u64) -> Option<Answer> {
        let mut state = self.state.lock();
        match state.find(id)?.stage {
            Stage::Answered(answer) => state.take(id).map(|_| answer),
            _ => None,
        }
    }

    /// Who asks was interrupted, or `leaves` for ever. `true`: he goes on waiting. Else the question is over, and has
    /// this answer if one came in the last moment.
    pub(super) fn interrupted(&self, id: u64, leaves: bool) -> (bool, Option<Answer>) {
        let mut state = self.state.lock();
        let heard = state.find(id).is_some_and(|question| question.stage == Stage::Sent);
        let stays = self.wait_killable && heard && !leaves;
        if stays {
            return (true, None);
        }
        match state.take(id).map(|question| question.stage) {
            Some(Stage::Answered(answer)) => (false, Some(answer)),
            _ => (false, None),
        }
    }

    /// Who may have asked something is gone.
    pub(super) fn forget(&self, asker: &A) {
        let mut gone = Vec::new();
        let mut state = self.state.lock();
        while let Some(at) =
            state.questions.iter().position(|question| core::ptr::eq(&raw const *question.asker, asker))
        {
            let question = state.questions.remove(at);
            if gone.try_reserve(1).is_ok() {
                gone.push(question);
            }
        }
        drop(state);
        drop(gone);
    }

    /// The next question, which counts as received. `WouldBlock`: there is none; `NotFound`: and there will be none.
    pub(crate) fn receive(&self) -> Result<Received> {
        let mut state = self.state.lock();
        let none = if state.has_askers { Error::WouldBlock } else { Error::NotFound };
        let question = state.questions.iter_mut().find(|question| question.stage == Stage::Asked).ok_or(none)?;
        question.stage = Stage::Sent;
        let received = Received { id: question.id, tid: question.asker.tid(), data: question.data };
        drop(state);
        self.queue.notify(TO_ANSWER);
        Ok(received)
    }

    /// It was not received after all.
    pub(crate) fn return_question(&self, id: u64) {
        let mut state = self.state.lock();
        let Ok(question) = state.sent(id) else { return };
        question.stage = Stage::Asked;
        drop(state);
        self.queue.notify(TO_RECEIVE);
    }

    /// Whether a question that was received still waits: `NotFound`.
    pub(crate) fn check(&self, id: u64) -> Result<()> {
        self.state.lock().sent(id).map(drop).map_err(|_| Error::NotFound)
    }

    /// Answers a question.
    pub(crate) fn answer(&self, id: u64, answer: Answer) -> Result<()> {
        let mut state = self.state.lock();
        let question = state.sent(id)?;
        question.stage = Stage::Answered(answer);
        let asker = question.asker.clone();
        drop(state);
        asker.waiter().wake();
        Ok(())
    }

    /// Gives the one who asks a descriptor by `install`, whose result may be the answer, too.
    ///
    /// Until the lock is given back he waits, so that his table is changed while he has no file of it in use.
    pub(crate) fn give(&self, id: u64, answers: bool, install: impl FnOnce(&A) -> Result<i32>) -> Result<i32> {
        let mut state = self.state.lock();
        let question = state.sent(id)?;
        let fd = install(&question.asker)?;
        let asker = question.asker.clone();
        if answers {
            question.stage = Stage::Answered(Answer::Result(fd as u64));
        }
        drop(state);
        if answers {
            asker.waiter().wake();
        }
        Ok(fd)
    }

    fn ready(&self) -> Events {
        let state = self.state.lock();
        let any = |stage: Stage| state.questions.iter().any(|question| question.stage == stage);
        let mut events = Events::empty();
        events.set(TO_RECEIVE, any(Stage::Asked));
        events.set(TO_ANSWER, any(Stage::Sent));
        events.set(Events::HUP, !state.has_askers);
        events
    }
}

/// The file by which somebody listens.
pub(crate) struct Listener<A: Asker> {
    pub(crate) notifier: Arc<Notifier<A>>,
    inode: Arc<AnonInode>,
}

impl<A: Asker> Listener<A> {
    pub(crate) fn new(notifier: Arc<Notifier<A>>) -> Arc<Self> {
        Arc::new(Self { notifier, inode: AnonInode::shared("seccomp notify") })
    }
}

impl<A: Asker> Drop for Listener<A> {
    fn drop(&mut self) {
        self.notifier.close();
    }
}

impl<A: Asker> File for Listener<A> {
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn transfers(&self) -> bool {
        false
    }
    fn ready(&self) -> Events {
        self.notifier.ready()
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.notifier.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.notifier.queue.remove(observer);
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
