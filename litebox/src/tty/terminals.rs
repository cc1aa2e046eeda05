//! All terminals of a sandbox, and whose session each controls.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use crate::fs::host::Streams;
use crate::fs::{File, Inode};
use crate::platform::HostFd;
use crate::sync::Mutex;
use crate::{Error, Result};

use super::outside::Outside;
use super::pty::{Master, Pair};
use super::slave::Slave;
use super::{Caller, Jobs, TerminalSignal};

/// How many there may be (/proc/sys/kernel/pty/max).
const MOST_TERMINALS: u32 = 4096;

/// All terminals of a sandbox.
#[derive(Default)]
pub struct Terminals {
    pairs: Mutex<BTreeMap<u32, Weak<Pair>>>,
    jobs: Mutex<Option<Weak<dyn Jobs>>>,
    /// The terminal outside, when there is one.
    console: Mutex<Option<Arc<Pair>>>,
    /// The terminals of programs that were started from outside, by the ids of these.
    lent: Mutex<BTreeMap<i32, Arc<Pair>>>,
    /// Sessions that lost their terminals, and the groups that were in the foreground then.
    lost: Mutex<Vec<(i32, i32)>>,
    /// The standard streams, one of which may be a terminal too.
    pub streams: Arc<Streams>,
}

impl Terminals {
    /// Who knows the processes.
    pub fn set_jobs(&self, jobs: Weak<dyn Jobs>) {
        *self.jobs.lock() = Some(jobs);
    }
    pub(super) fn jobs(&self) -> Option<Arc<dyn Jobs>> {
        self.jobs.lock().as_ref().and_then(Weak::upgrade)
    }
    pub(super) fn caller(&self) -> Option<Caller> {
        self.jobs().and_then(|jobs| jobs.caller())
    }
    fn new_pair(self: &Arc<Self>, whose: ((u32, u32), Option<i32>), outside: Option<Outside>) -> Result<Arc<Pair>> {
        let mut pairs = self.pairs.lock();
        pairs.retain(|_, pair| pair.strong_count() > 0);
        let number = (0..MOST_TERMINALS).find(|n| !pairs.contains_key(n)).ok_or(Error::NoSpace)?;
        let pair = Arc::new(Pair::new(self, number, whose, outside));
        pairs.insert(number, Arc::downgrade(&pair));
        Ok(pair)
    }
    /// Opens a new master (/dev/ptmx). `node` is the inode that was opened.
    pub fn open_master(self: &Arc<Self>, node: Arc<dyn Inode>) -> Result<Arc<dyn File>> {
        let whose = self.caller().map_or(((0, 0), None), |c| ((c.uid, c.gid), c.container));
        let pair = self.new_pair(whose, None)?;
        Ok(Arc::new(Master { pair, node }))
    }
    /// Makes the console, whose other side is the terminal at `input` and `output`: it controls `session`, whose first
    /// group is in the foreground. Returns its number. The user has made the terminal raw.
    pub fn open_console(
        self: &Arc<Self>,
        input: HostFd,
        output: HostFd,
        session: i32,
        owner: (u32, u32),
    ) -> Result<u32> {
        let pair = self.open_outside(Outside::new(input, output), session, (owner, None))?;
        *self.console.lock() = Some(pair.clone());
        pair.watch_outside();
        Ok(pair.number)
    }
    /// As [`Terminals::open_console`], for a console whose other side is two pipes.
    pub fn open_piped_console(
        self: &Arc<Self>,
        input: HostFd,
        output: HostFd,
        session: i32,
        owner: (u32, u32),
    ) -> Result<u32> {
        let pair = self.open_outside(Outside::of_pipes(input, output), session, (owner, None))?;
        *self.console.lock() = Some(pair.clone());
        pair.watch_outside();
        Ok(pair.number)
    }
    fn open_outside(
        self: &Arc<Self>,
        outside: Outside,
        session: i32,
        whose: ((u32, u32), Option<i32>),
    ) -> Result<Arc<Pair>> {
        let pair = self.new_pair(whose, Some(outside))?;
        {
            let mut state = pair.state.lock();
            state.locked = false;
            state.session = Some(session);
            state.foreground = session;
        }
        Ok(pair)
    }
    /// Makes the terminal of a program that was started from outside, whose other side is two pipes, ours from now on;
    /// `whose`: its user and the container that sees it; `window`: rows and columns. It controls the session that the
    /// program, process `pid`, leads. Returns its number.
    pub fn lend(
        self: &Arc<Self>,
        (input, output): (HostFd, HostFd),
        pid: i32,
        whose: ((u32, u32), Option<i32>),
        window: (u16, u16),
    ) -> Result<u32> {
        let pair = self.open_outside(Outside::of_pipes(input, output), pid, whose)?;
        pair.state.lock().window = window_of(window);
        self.lent.lock().insert(pid, pair.clone());
        pair.watch_outside();
        Ok(pair.number)
    }
    /// The terminal of process `pid` outside has another size.
    pub fn resize_lent(&self, pid: i32, window: (u16, u16)) {
        let pair = self.lent.lock().get(&pid).cloned();
        if let Some(pair) = pair {
            pair.resize(window_of(window));
        }
    }
    /// Process `pid`, whose terminal was lent, has ended: what it wrote last still goes out, as far as somebody takes
    /// it.
    pub fn end_loan(&self, pid: i32) {
        let pair = self.lent.lock().remove(&pid);
        if let Some(pair) = pair {
            pair.flush_outside();
            pair.hang_up(false);
        }
    }
    pub(super) fn console(&self) -> Option<Arc<Pair>> {
        self.console.lock().clone()
    }
    /// Opens the console (/dev/console) with `node`; `None`: it is what the standard streams lead to. That of a further
    /// container is the terminal that its first process was lent.
    pub fn open_console_file(&self, node: &Arc<dyn Inode>) -> Result<Option<Arc<dyn File>>> {
        if let Some(first) = self.callers_container() {
            let lent = self.lent.lock().get(&first).cloned();
            return Slave::open(&lent.ok_or(Error::NoSuchDevice)?, node.clone()).map(Some);
        }
        Ok(self.console().and_then(|console| Slave::open(&console, node.clone()).ok()))
    }
    /// The further container that the caller is in: the sandbox's standard streams are not its own.
    pub(crate) fn callers_container(&self) -> Option<i32> {
        self.caller().and_then(|caller| caller.container)
    }
    /// The terminal /dev/pts/`number` of a container, while its master is open.
    pub(super) fn pair(&self, number: u32, container: Option<i32>) -> Option<Arc<Pair>> {
        let pair = self.pairs.lock().get(&number).and_then(Weak::upgrade);
        pair.filter(|p| p.container == container && p.state.lock().master)
    }
    fn all(&self) -> Vec<Arc<Pair>> {
        self.pairs.lock().values().filter_map(Weak::upgrade).collect()
    }
    /// Numbers of all terminals of a container.
    pub(super) fn numbers(&self, container: Option<i32>) -> Vec<u32> {
        let is_there = |pair: &Arc<Pair>| pair.container == container && pair.state.lock().master;
        self.all().into_iter().filter(is_there).map(|pair| pair.number).collect()
    }
    /// The controlling terminal of a session.
    pub(super) fn controlling(&self, session: i32) -> Option<Arc<Pair>> {
        self.all().into_iter().find(|p| p.state.lock().session == Some(session))
    }
    /// The controlling terminal of the caller's session (/dev/tty), opened with `node`; `None` when it has none here.
    pub fn open_controlling(&self, node: &Arc<dyn Inode>) -> Option<Arc<dyn File>> {
        let pair = self.controlling(self.caller()?.session)?;
        Slave::open(&pair, node.clone()).ok()
    }
    /// Device number and foreground group of the controlling terminal of a session, for /proc.
    pub fn of_session(&self, session: i32) -> Option<(u64, i32)> {
        let pair = self.controlling(session)?;
        let foreground = pair.state.lock().foreground;
        Some((pair.device(), foreground))
    }
    /// The leader of a session ended: another session can have its terminal. Its foreground group hears of that now,
    /// also when the terminal was lost before. A terminal with a user at it hangs up; a pair stays usable for whoever
    /// has it open.
    pub fn session_ended(&self, session: i32) {
        if let Some(pair) = self.controlling(session) {
            if pair.outside.is_some() {
                pair.hang_up(true);
            } else {
                pair.lose_session();
            }
        }
        let (groups, others): (Vec<_>, Vec<_>) =
            core::mem::take(&mut *self.lost.lock()).into_iter().partition(|(of, _)| *of == session);
        self.lost.lock().extend(others);
        let Some(jobs) = self.jobs().filter(|_| !groups.is_empty()) else { return };
        for (_, group) in groups {
            jobs.signal_group(group, TerminalSignal::HangUp);
            jobs.signal_group(group, TerminalSignal::Continue);
        }
    }
    /// In the supervisor: the host's descriptor with this token is ready. `false`: it is not the console's.
    pub fn host_ready(&self, token: u64) -> bool {
        let is_meant = |pair: &Arc<Pair>| pair.outside.as_ref().is_some_and(|outside| outside.has_token(token));
        let lent = || self.lent.lock().values().find(|pair| is_meant(pair)).cloned();
        let Some(console) = self.console().filter(is_meant).or_else(lent) else { return false };
        console.pump();
        true
    }
    /// The window of the terminal outside may have another size. `false`: there is none.
    pub fn window_changed_outside(&self) -> bool {
        let Some(console) = self.console() else { return false };
        console.take_window();
        // Perhaps because the sandbox is in the foreground again: what was typed meanwhile is for it.
        console.pump();
        true
    }
    /// the user sent SIGHUP. `true`: because the terminal is gone, and who used it has been told.
    pub fn hung_up_outside(&self) -> bool {
        let gone = |console: &Arc<Pair>| console.outside.as_ref().is_some_and(Outside::is_gone);
        let Some(console) = self.console().filter(gone) else { return false };
        console.hang_up(false);
        true
    }
    /// The sandbox ends: waits a moment until all output has reached the terminal outside.
    pub fn flush_outside(&self) {
        if let Some(console) = self.console() {
            console.flush_outside();
        }
    }
}

/// `struct winsize`.
fn window_of((rows, columns): (u16, u16)) -> [u8; 8] {
    let mut window = [0; 8];
    let (front, back) = window.split_at_mut(2);
    front.copy_from_slice(&rows.to_ne_bytes());
    if let Some(second) = back.get_mut(..2) {
        second.copy_from_slice(&columns.to_ne_bytes());
    }
    window
}

impl Pair {
    /// Sends a signal to the foreground group.
    pub(super) fn signal(&self, signal: TerminalSignal) {
        let group = self.state.lock().foreground;
        if group > 0 {
            if let Some(jobs) = self.terminals.upgrade().and_then(|t| t.jobs()) {
                jobs.signal_group(group, signal);
            }
        }
    }
    /// Its session ended: it controls nobody from now on.
    fn lose_session(&self) {
        let group = {
            let mut state = self.state.lock();
            state.session = None;
            core::mem::take(&mut state.foreground)
        };
        if let Some(jobs) = self.terminals.upgrade().and_then(|terminals| terminals.jobs()).filter(|_| group > 0) {
            jobs.signal_group(group, TerminalSignal::HangUp);
            jobs.signal_group(group, TerminalSignal::Continue);
        }
    }
    /// The terminal hangs up: whoever has it open reads its end, its session loses it and its leader is told. With
    /// `reopen` it can be opened anew, without, its other side is gone.
    pub(super) fn hang_up(&self, reopen: bool) {
        let (session, group) = {
            let mut state = self.state.lock();
            state.generation += 1;
            state.slaves = 0;
            state.slaves_gone = true;
            state.master &= reopen;
            (state.session.take(), core::mem::take(&mut state.foreground))
        };
        if let (Some(session), Some(terminals)) = (session, self.terminals.upgrade()) {
            if group > 0 {
                terminals.lost.lock().push((session, group));
            }
            if let Some(jobs) = terminals.jobs() {
                jobs.signal_process(session, TerminalSignal::HangUp);
                jobs.signal_process(session, TerminalSignal::Continue);
            }
        }
        self.slave_queue.notify(crate::event::Events::all());
        self.master_queue.notify(crate::event::Events::all());
    }
}
