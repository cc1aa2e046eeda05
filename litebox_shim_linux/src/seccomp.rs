//! Filters of calls (seccomp(2)): who has which, and what they make of a call.
//!
//! They are kept and run by this kernel, for the programs in it. The boundary to the host does not depend on them.

pub(crate) mod notify;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use litebox::event::Waiter;
use litebox::platform::compat::CpuMode;
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_common_linux::seccomp::bpf::Program;
use litebox_common_linux::seccomp::{Action, Data, Passing, SeccompFlags, Verdict, audit_arch};
use litebox_common_linux::{Arch, Errno};

use self::notify::{Answer, Asker, Notifier};
use crate::signal::set::{SIGKILL, SIGSYS};
use crate::signal::{SIG_DFL, SIG_IGN, SignalInfo};
use crate::task::SyscallWork;
use crate::{KernelConfig, Process, Task, Thread};

/// Instructions on the way from a task's last filter to its first, at most (`MAX_INSNS_PER_PATH`).
const MOST_ON_A_PATH: usize = 32768;
/// What each filter that another one follows counts beside its instructions.
const PENALTY: usize = 4;
/// The highest error that a filter can have a call fail with.
const MOST_ERROR: u16 = 4095;
/// `SYS_SECCOMP`, the code of SIGSYS.
const SIGSYS_OF_FILTER: i32 = 1;

/// Modes as /proc and prctl(2) number them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Mode {
    Disabled = 0,
    Strict = 1,
    Filter = 2,
}

/// A filter, and those that were there before it. Tasks that come of one share them.
pub(crate) struct Filter {
    program: Program,
    previous: Option<Arc<Self>>,
    /// Calls that all of them let pass whatever the arguments are, of both architectures.
    passing: [Passing; 2],
    /// How many there are.
    count: u32,
    /// Whom it leaves calls to.
    notifier: Option<Arc<Notifier<Thread>>>,
    /// What they count together towards the most that there can be, once another one follows.
    path_len: usize,
}

impl Drop for Filter {
    fn drop(&mut self) {
        if let Some(notifier) = &self.notifier {
            notifier.lose_askers();
        }
        // One after the other: thousands may follow each other, and stacks are short.
        let mut next = self.previous.take();
        while let Some(mut last) = next.and_then(Arc::into_inner) {
            next = last.previous.take();
        }
    }
}

impl Filter {
    /// A first filter.
    pub(crate) fn new(program: Program) -> Self {
        let passing = [Arch::X86_64, Arch::X86].map(|arch| Passing::ALL.narrowed_by(&program, arch));
        let path_len = program.kernel_len() + PENALTY;
        Self { program, previous: None, passing, count: 1, path_len, notifier: None }
    }

    /// Calls may be left to whoever listens there.
    pub(crate) fn notify(&mut self, notifier: Arc<Notifier<Thread>>) {
        self.notifier = Some(notifier);
    }

    /// Whether one of them leaves calls to somebody who listens.
    fn has_listener(&self) -> bool {
        let mut next = Some(self);
        while let Some(filter) = next {
            if filter.notifier.is_some() {
                return true;
            }
            next = filter.previous.as_deref();
        }
        false
    }

    /// The filter that the user wants for every program, if there is one.
    pub(crate) fn of_config(config: &KernelConfig) -> Result<Option<Arc<Self>>> {
        if config.filter.is_empty() {
            return Ok(None);
        }
        let program = Program::new(&config.filter).ok_or(Error::NoMemory)?.map_err(|_| Error::Invalid)?;
        Ok(Some(Arc::new(Self::new(program))))
    }

    /// It comes behind others.
    fn follow(&mut self, previous: Option<Arc<Self>>) -> Result<()> {
        let before = previous.as_ref().map_or(0, |previous| previous.path_len);
        if self.program.kernel_len() + before > MOST_ON_A_PATH {
            return Err(Error::NoMemory);
        }
        if let Some(previous) = &previous {
            self.path_len += before;
            self.count += previous.count;
            for (own, theirs) in self.passing.iter_mut().zip(&previous.passing) {
                *own = own.and(theirs);
            }
        }
        self.previous = previous;
        Ok(())
    }

    /// What they make of a call, and whose result that is: the strictest counts, of equal ones that of the last filter.
    fn run(&self, data: &Data) -> (Verdict, Option<&Self>) {
        let words = data.words();
        let mut verdict = (Verdict::ALLOW, None);
        let mut next = Some(self);
        while let Some(filter) = next {
            let result = Verdict(filter.program.run(&words));
            if result.precedes(verdict.0) {
                verdict = (result, Some(filter));
            }
            next = filter.previous.as_deref();
        }
        verdict
    }

    /// Whether a task with these may get `filter`, which comes behind `last`: it loses none.
    fn leads_to(own: Option<&Arc<Self>>, last: Option<&Arc<Self>>) -> bool {
        let Some(own) = own else { return true };
        let mut next = last;
        while let Some(filter) = next {
            if Arc::ptr_eq(filter, own) {
                return true;
            }
            next = filter.previous.as_ref();
        }
        false
    }
}

#[derive(Clone, Default)]
struct State {
    strict: bool,
    filter: Option<Arc<Filter>>,
    /// How many there were when its thread ended.
    left: u32,
}

/// What filters the calls of a thread.
#[derive(Default)]
pub(crate) struct Seccomp {
    state: Mutex<State>,
    /// [`Filter::passing`], for the thread to look at without a lock.
    passing: [[AtomicU64; 8]; 2],
}

impl Seccomp {
    fn passing_of(&self, arch: Arch) -> &[AtomicU64; 8] {
        let [x86_64, x86] = &self.passing;
        match arch {
            Arch::X86_64 => x86_64,
            Arch::X86 => x86,
        }
    }
    fn lets_pass(&self, arch: Arch, number: u32) -> bool {
        let word = self.passing_of(arch).get(number as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 != 0)
    }
    /// Mode, and number of filters.
    pub(crate) fn told(&self) -> (Mode, u32) {
        let state = self.state.lock();
        match &state.filter {
            _ if state.strict => (Mode::Strict, 0),
            Some(filter) => (Mode::Filter, filter.count),
            None if state.left > 0 => (Mode::Filter, state.left),
            None => (Mode::Disabled, 0),
        }
    }
    fn now(&self) -> State {
        self.state.lock().clone()
    }
    /// Its thread, `own`, makes no calls any more: whoever listens learns that, and of a question that it left.
    pub(crate) fn release(&self, own: &Thread) {
        let mut state = self.state.lock();
        let filter = state.filter.take();
        state.left = filter.as_ref().map_or(0, |filter| filter.count);
        drop(state);
        let mut next = filter.as_deref();
        while let Some(filter) = next {
            if let Some(notifier) = &filter.notifier {
                notifier.forget(own);
            }
            next = filter.previous.as_deref();
        }
        drop(filter);
    }
}

impl Asker for Thread {
    fn waiter(&self) -> &Waiter {
        &self.waiter
    }
    fn tid(&self) -> i32 {
        Self::tid(self)
    }
}

impl Thread {
    /// From now on its calls are filtered so.
    fn set_seccomp(&self, state: State) {
        for (words, passing) in self.seccomp.passing.iter().zip(state.filter.iter().flat_map(|filter| &filter.passing))
        {
            for (to, from) in words.iter().zip(passing.words()) {
                to.store(*from, Ordering::Relaxed);
            }
        }
        let before = core::mem::replace(&mut *self.seccomp.state.lock(), state);
        drop(before);
        self.add_syscall_work(SyscallWork::SECCOMP);
    }
    /// It is the first of a program that the user starts.
    pub(crate) fn confine(&self) {
        let container = &self.process.container;
        self.no_new_privileges.store(container.no_new_privileges, Ordering::Relaxed);
        if let Some(filter) = &container.filter {
            self.set_seccomp(State { filter: Some(filter.clone()), ..State::default() });
        }
    }
    /// It has the filters that its creator has.
    pub(crate) fn inherit_filters(&self, creator: &Self) {
        if creator.syscall_work().contains(SyscallWork::SECCOMP) {
            self.set_seccomp(creator.seccomp.now());
        }
    }
}

impl Process {
    /// Puts a filter before the calls of `caller`, or of all threads. What seccomp(2) returns.
    pub(crate) fn attach_filter(&self, caller: &Arc<Thread>, filter: Filter, flags: SeccompFlags) -> Result<usize> {
        // One that is refused is dropped without a lock: it tells its listener.
        let mut refused = Some(filter);
        self.with_threads(|threads| {
            let filter = refused.as_mut().ok_or(Error::Invalid)?;
            let State { strict, filter: last, .. } = caller.seccomp.now();
            if strict {
                return Err(Error::Invalid);
            }
            if filter.notifier.is_some() && last.as_ref().is_some_and(|last| last.has_listener()) {
                return Err(Error::Busy);
            }
            let everybody = flags.contains(SeccompFlags::SECCOMP_FILTER_FLAG_TSYNC);
            let others = || {
                let others = threads.iter().filter(|t| !Arc::ptr_eq(t, caller) && !t.dead.load(Ordering::Acquire));
                others.filter(|_| everybody)
            };
            filter.follow(last.clone())?;
            for thread in others() {
                let State { strict, filter: own, .. } = thread.seccomp.now();
                if strict || !Filter::leads_to(own.as_ref(), last.as_ref()) {
                    let only_error = flags.contains(SeccompFlags::SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
                    return if only_error { Err(Error::NoProcess) } else { Ok(thread.tid() as usize) };
                }
            }
            let state = State { filter: refused.take().map(Arc::new), ..State::default() };
            for thread in others() {
                thread.set_seccomp(state.clone());
                let no_new = caller.no_new_privileges.load(Ordering::Relaxed);
                thread.no_new_privileges.fetch_or(no_new, Ordering::Relaxed);
            }
            caller.set_seccomp(state);
            Ok(0)
        })
    }
}

impl Task<'_, '_> {
    /// `SECCOMP_SET_MODE_STRICT`.
    pub(crate) fn enter_strict_mode(&self) -> Result<usize> {
        // No other thread gives it a filter meanwhile.
        self.process().with_threads(|_| {
            if self.thread.seccomp.now().filter.is_some() {
                return Err(Error::Invalid);
            }
            self.thread.set_seccomp(State { strict: true, ..State::default() });
            Ok(0)
        })
    }

    /// Whether a call is made, of a thread whose calls are filtered. If not, its result is in the registers, or the
    /// thread has a signal to take.
    pub(crate) fn passes_filters(&mut self, number: u32) -> bool {
        self.thread.seccomp.lets_pass(self.abi(), number) || self.run_filters(number)
    }

    /// The call as filters see it: whole registers, also where a 64-bit program makes a 32-bit call.
    fn seen_by_filters(&self, number: u32) -> Data {
        let r = &self.frame.regs;
        let arguments = match self.abi() {
            Arch::X86_64 => [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9],
            Arch::X86 => [r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp],
        };
        let most = if self.frame.mode == CpuMode::Compat { u64::from(u32::MAX) } else { u64::MAX };
        let arguments = arguments.map(|argument| argument & most);
        Data { number, arch: self.abi(), instruction_pointer: r.rip & most, arguments }
    }

    #[cold]
    fn run_filters(&mut self, number: u32) -> bool {
        let arch = self.abi();
        let State { strict, filter, .. } = self.thread.seccomp.now();
        let Some(filter) = filter.filter(|_| !strict) else {
            if is_in_strict_mode(arch, number) {
                return true;
            }
            self.end_thread(SIGKILL);
        };
        let data = self.seen_by_filters(number);
        let (verdict, whose) = filter.run(&data);
        let notifier = whose.and_then(|filter| filter.notifier.clone());
        if verdict.precedes(Verdict::LOG) {
            self.count_refusal(&data);
        }
        // What ends the thread does not come back to drop it.
        drop(filter);
        let answer = match verdict.action() {
            Action::Allow | Action::Log => return true,
            Action::Errno => Errno(verdict.data().min(MOST_ERROR).into()),
            Action::UserNotif => return self.leave_call(notifier, data),
            // Nobody traces anybody.
            Action::Trace => Errno::ENOSYS,
            Action::Trap => return self.trap_call(&data, verdict),
            Action::KillThread if self.process().thread_count() > 1 => self.end_thread(SIGSYS),
            Action::KillThread | Action::KillProcess => self.die_of_call(&data, verdict),
        };
        self.frame.regs.rax = answer.in_register();
        false
    }

    /// Leaves a call to whoever listens. Whether it is made.
    fn leave_call(&mut self, notifier: Option<Arc<Notifier<Thread>>>, data: Data) -> bool {
        let answer = match notifier {
            Some(notifier) => self.ask(&notifier, data),
            None => Err(Error::NotImplemented),
        };
        self.frame.regs.rax = match answer {
            Ok(Answer::Continue) => return true,
            Ok(Answer::Result(result)) => result,
            Err(error) => Errno(self.restartable(error).errno()).in_register(),
        };
        false
    }

    /// Asks about the call that the calling thread is about to make, and waits for the answer. `Interrupted` when
    /// something else came first.
    fn ask(&mut self, notifier: &Notifier<Thread>, data: Data) -> Result<Answer> {
        let id = notifier.begin(self.thread, data).ok_or(Error::NotImplemented)?;
        let mut interrupted = false;
        let answer = loop {
            let ticket = self.waiter().ticket();
            if let Some(answer) = notifier.answer_to(id) {
                break Ok(answer);
            }
            if self.waiter().sleep(ticket, None).is_ok() {
                continue;
            }
            let leaves = self.process().must_leave(self.thread) || self.has_deadly_signal();
            match notifier.interrupted(id, leaves) {
                (true, _) => {
                    self.thread.waits_killably.store(true, Ordering::Relaxed);
                    interrupted |= self.take_interruption();
                }
                (false, answer) => break answer.ok_or(Error::Interrupted),
            }
        };
        self.thread.waits_killably.store(false, Ordering::Relaxed);
        if interrupted {
            self.waiter().interrupt();
        }
        answer
    }

    /// A call that a filter does not let pass was refused by the sandbox if the filter is the user's.
    fn count_refusal(&self, data: &Data) {
        let (kernel, container) = (self.kernel(), &self.process().container);
        if container.filter.as_ref().is_some_and(|filter| filter.run(data).0.precedes(Verdict::LOG)) {
            kernel.stats.refused_calls.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// SIGSYS is delivered before the thread goes on. The register with the number stays as it is.
    fn trap_call(&mut self, data: &Data, verdict: Verdict) -> bool {
        let info = signal_of(data, verdict);
        let handler = self.process().signal_action(SIGSYS).handler;
        let has_handler = handler != SIG_IGN && handler != SIG_DFL && !self.thread.signals.blocked().has(SIGSYS);
        // One of the kernel's own is never refused.
        if !has_handler || self.thread.send_signal(info).is_err() {
            self.die_of_call(data, verdict);
        }
        false
    }

    fn die_of_call(&mut self, data: &Data, verdict: Verdict) -> ! {
        if self.thread.traced {
            self.thread.trace_signal(&signal_of(data, verdict), &crate::signal::Action::default());
        }
        self.die_of(SIGSYS)
    }
}

/// What strict mode lets pass: read, write, exit, and the end of a signal handler.
fn is_in_strict_mode(arch: Arch, number: u32) -> bool {
    match arch {
        Arch::X86_64 => matches!(number, 0 | 1 | 60 | 15),
        Arch::X86 => matches!(number, 3 | 4 | 1 | 119),
    }
}

/// What SIGSYS tells of a call.
fn signal_of(data: &Data, verdict: Verdict) -> SignalInfo {
    let mut info = SignalInfo::fault(SIGSYS, SIGSYS_OF_FILTER, data.instruction_pointer);
    info.errno = verdict.data().into();
    info.fields[8..12].copy_from_slice(&data.number.to_le_bytes());
    info.fields[12..16].copy_from_slice(&audit_arch(data.arch).to_le_bytes());
    info
}
