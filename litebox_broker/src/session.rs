//! One sandbox's requests: dispatch, and what they leave behind in the broker.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use litebox_protocol::plain::Plain;
use litebox_protocol::{MAX_REPORT, MAX_SLOTS, MAX_TYPED, Op, Request, STAT_FIGURES, TerminalFlags};
use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use crate::ahead::Learning;
use crate::beneath::{Grant, Result};
use crate::files::{Files, GrantRef};
use crate::message::{ParsedRequest, ReplyBuilder};
use crate::signals::is_ignored;
use crate::terminal::{Place, Terminal, can_stop};
use crate::{change, process};

/// What the sandbox wants of the one who serves it, besides a reply.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Wish {
    /// Nothing.
    None,
    /// End: the first guest process ended with this wait status.
    Exit(i32),
    /// End: the sandbox is broken.
    Fatal(String),
    /// The guest stopped by job control.
    Stop,
    /// It wants the terminal in the background: it stops by this signal (SIGTTIN, SIGTTOU).
    Background(i32),
    /// The supervisor has taken the event of this signal.
    Heard(i32),
    /// A line for the user.
    Report(String),
    /// The sandbox killed this process because of its memory limit.
    Killed(String),
    /// The program with this number runs, as this process of the sandbox.
    ProgramStarted(u32, i32),
    /// The program with this number ended with this wait status, or why it was not started.
    ProgramEnded(u32, i32, String),
}

/// State of one sandbox's requests.
pub struct Session {
    files: Arc<Files>,
    slots: BTreeMap<u64, OwnedFd>,
    most_slots: usize,
    /// Host process id of the supervisor; 0 while there is none.
    pub supervisor: i32,
    /// Signal that makes a thread of the sandbox enter its kernel.
    pub kick_signal: i32,
    /// The listener of the sandbox's filter.
    pub listener: Option<OwnedFd>,
    /// Its files in memory: those that were sent before any guest ran.
    pub objects: Vec<OwnedFd>,
    /// The user's terminal, if the sandbox has it.
    pub terminal: Option<Terminal>,
    /// What the sandbox reported for `--stats`.
    pub figures: Option<[u64; STAT_FIGURES]>,
    /// What is learned for the next start, if anything.
    pub learning: Option<Learning>,
    lines: LineLimit,
    reply: ReplyBuilder,
}

impl Session {
    /// A session over `grants`, which are numbered as they stand.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self {
            files: Arc::new(Files::new(grants)),
            slots: BTreeMap::new(),
            most_slots: most_processes(),
            supervisor: 0,
            kick_signal: libc::SIGURG,
            listener: None,
            objects: Vec::new(),
            terminal: None,
            figures: None,
            learning: None,
            lines: LineLimit::new(),
            reply: ReplyBuilder::default(),
        }
    }

    /// What the sandbox may reach.
    pub fn files(&self) -> Arc<Files> {
        self.files.clone()
    }

    /// Serves one message of those that only read. Returns the reply, and a descriptor to go with it.
    pub fn serve_reader(&mut self, message: &[u8]) -> (&[u8], Option<OwnedFd>) {
        self.files.serve(message, &mut self.reply)
    }

    /// Descriptors of the registered processes.
    pub fn processes(&self) -> impl Iterator<Item = &OwnedFd> {
        self.slots.values()
    }

    /// Serves one message. Returns the reply (`None`: there is none), a descriptor to go with it, and what else is to
    /// be done.
    pub fn serve(&mut self, message: &[u8], came: Option<OwnedFd>) -> (Option<&[u8]>, Option<OwnedFd>, Wish) {
        self.reply.begin(message);
        let mut wish = Wish::None;
        let mut request = ParsedRequest::parse(message, came);
        let result = match &mut request {
            Ok(request) => self.perform(request, &mut wish),
            Err(error) => Err(*error),
        };
        let without_reply = request.is_ok_and(|request| matches!(request.op, Op::Listener | Op::Memory | Op::Heard));
        if without_reply || matches!(wish, Wish::Exit(_) | Wish::Fatal(_)) {
            return (None, None, wish);
        }
        let (result, passed) = match result {
            Ok(passed) => (Ok(()), passed),
            Err(e) => (Err(e), None),
        };
        (Some(self.reply.finish(result)), passed, wish)
    }

    fn perform(&mut self, request: &mut ParsedRequest<'_>, wish: &mut Wish) -> Result<Option<OwnedFd>> {
        let reply = &mut self.reply;
        let grant = || self.files.grant(request);
        match request.op {
            Op::Walk | Op::Open | Op::List | Op::StatFs | Op::GetXattr | Op::ListXattr => {
                if let (Some(learning), Ok(GrantRef::First(grant))) = (&mut self.learning, self.files.grant(request)) {
                    learning.note(request, grant);
                }
                return self.files.read(request, reply);
            }
            Op::Temporary => return change::temporary(&*grant()?, request, reply).map(Some),
            Op::Changes => {
                let (queue, mark) = grant()?.changes()?;
                reply.head.value = u64::from(mark.unsigned_abs());
                return Ok(Some(queue));
            }
            Op::LowerFlag => reply.head.value = grant()?.lower_flag()?,
            Op::Mkdir => change::mkdir(&*grant()?, request, reply)?,
            Op::Unlink => change::remove(&*grant()?, request, false)?,
            Op::Rmdir => change::remove(&*grant()?, request, true)?,
            Op::Rename => change::rename(&*grant()?, request)?,
            Op::Link => change::link(&*grant()?, request)?,
            Op::Symlink => change::symlink(&*grant()?, request, reply)?,
            Op::Mknod => change::mknod(&*grant()?, request, reply)?,
            Op::SetAttr => change::set_attr(&*grant()?, request, reply)?,
            Op::SetXattr => change::set_xattr(&*grant()?, request)?,
            Op::RemoveXattr => change::remove_xattr(&*grant()?, request)?,
            Op::Register => self.register(request.head.value, request.came.take().ok_or(Errno::BADF)?)?,
            Op::Unregister => {
                self.slots.remove(&request.head.value).ok_or(Errno::SRCH)?;
            }
            Op::Kick => {
                let shown = request.came.take();
                if let Some(process) = &shown {
                    process::check_descends(process.as_fd(), self.supervisor)?;
                }
                let process = shown.as_ref().or_else(|| self.slots.get(&request.head.value)).ok_or(Errno::SRCH)?;
                process::send_signal(process.as_fd(), self.kick_signal)?;
            }
            Op::Exit => {
                *wish = Wish::Exit(i32::try_from(request.head.value).map_err(|_| Errno::INVAL)?);
                if let Some(learning) = &mut self.learning {
                    learning.note_used(request.extra);
                }
            }
            Op::Fatal => *wish = Wish::Fatal(plain_text(request.extra)),
            Op::Stopped => *wish = Wish::Stop,
            Op::Report => {
                if request.extra.len() > MAX_REPORT {
                    return Err(Errno::MSGSIZE);
                }
                *wish = self.lines.admit().map_or(Wish::None, |note| Wish::Report(note + &plain_text(request.extra)));
            }
            Op::Killed => {
                let name = plain_text(request.extra.get(..MOST_NAME).unwrap_or(request.extra));
                *wish = Wish::Killed(format!("process {} ({name})", request.head.value));
            }
            Op::Memory => {
                let came = request.came.take();
                self.objects.extend(came.filter(|_| self.listener.is_none() && self.objects.len() < 2));
            }
            Op::Stats => {
                self.figures = Some(<[u64; STAT_FIGURES]>::read_from_bytes(request.extra).map_err(|_| Errno::INVAL)?);
            }
            Op::ReadTerminal => {
                let typed = self.read_terminal(&request.head, wish)?;
                self.reply.head.value = typed.len() as u64;
                self.reply.push(&typed)?;
            }
            Op::SetTerminal => self.set_terminal(request, wish)?,
            Op::ProgramStarted => {
                *wish = Wish::ProgramStarted(program(&request.head)?, request.head.flags as i32);
            }
            Op::ProgramEnded => {
                let status = request.head.flags as i32;
                *wish = Wish::ProgramEnded(program(&request.head)?, status, plain_text(request.extra));
            }
            Op::Heard => *wish = Wish::Heard(i32::try_from(request.head.value).map_err(|_| Errno::INVAL)?),
            Op::Listener => {
                // Nobody waits for an answer. The supervisor sends one, before any guest runs.
                let listener = request.came.take();
                let listener =
                    listener.filter(|fd| self.listener.is_none() && process::check_listener(fd.as_fd()).is_ok());
                *wish = match listener {
                    Some(_) => Wish::None,
                    None => Wish::Fatal("the listener of the filter is none".into()),
                };
                self.listener = self.listener.take().or(listener);
            }
        }
        Ok(None)
    }

    /// [`Op::ReadTerminal`].
    fn read_terminal(&mut self, head: &Request, wish: &mut Wish) -> Result<Vec<u8>> {
        let readable = |terminal: &&mut Terminal| terminal.may_be_read() && terminal.is_behind(head.grant);
        let terminal = self.terminal.as_mut().filter(readable).ok_or(Errno::IO)?;
        if terminal.place() == Place::Foreground {
            // The shell tells nobody that a job which runs has come to the foreground.
            terminal.claim();
            let most = usize::try_from(head.value).unwrap_or(usize::MAX).min(MAX_TYPED);
            return terminal.read(most);
        }
        if TerminalFlags::from_bits_truncate(head.flags).contains(TerminalFlags::READER) {
            if !can_stop(libc::SIGTTIN) {
                return Err(Errno::IO);
            }
            *wish = Wish::Background(libc::SIGTTIN);
        }
        Err(Errno::AGAIN)
    }

    /// [`Op::SetTerminal`].
    fn set_terminal(&mut self, request: &ParsedRequest<'_>, wish: &mut Wish) -> Result<()> {
        let number = request.head.grant;
        let terminal = self.terminal.as_mut().filter(|terminal| terminal.is_behind(number)).ok_or(Errno::IO)?;
        // As on Linux, it may where the signal is ignored.
        if terminal.place() == Place::Background && !is_ignored(libc::SIGTTOU) {
            if !can_stop(libc::SIGTTOU) {
                return Err(Errno::IO);
            }
            *wish = Wish::Background(libc::SIGTTOU);
            return Err(Errno::AGAIN);
        }
        if request.extra.is_empty() {
            return Ok(());
        }
        let settings = request.extra.try_into().map_err(|_| Errno::INVAL)?;
        terminal.change(settings, request.head.value)
    }

    /// What the sandbox is told of the grants at its start (`start_fd::CONFIG`).
    pub fn describe_grants(&self) -> Vec<u8> {
        let mut described = Vec::new();
        for grant in self.files.grants() {
            let (info, root) = grant.describe();
            described.extend_from_slice(info.as_bytes());
            described.extend_from_slice(root.as_bytes());
        }
        described
    }

    fn register(&mut self, slot: u64, process: OwnedFd) -> Result<()> {
        if slot >= MAX_SLOTS {
            return Err(Errno::INVAL);
        }
        if self.slots.len() >= self.most_slots && !self.slots.contains_key(&slot) {
            return Err(Errno::MFILE);
        }
        process::check_descends(process.as_fd(), self.supervisor)?;
        self.slots.insert(slot, process);
        Ok(())
    }
}

/// Which of the programs that clients started a request is about.
fn program(head: &Request) -> Result<u32> {
    u32::try_from(head.value).map_err(|_| Errno::INVAL)
}

/// Bytes of a process's name that are shown (TASK_COMM_LEN).
const MOST_NAME: usize = 16;

/// Descriptors that the broker keeps free of the sandbox's processes: without any it could neither open files nor look
/// at the memory in use.
const OWN_DESCRIPTORS: u64 = 128;
/// How many processes may be registered whatever the limit is.
const FEW_PROCESSES: u64 = 64;

fn most_processes() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(OWN_DESCRIPTORS).clamp(FEW_PROCESSES, MAX_SLOTS)).unwrap_or(usize::MAX)
}

/// Text fit for a terminal ([`Plain`]), one line, of at most [`MAX_REPORT`] bytes of the sandbox's.
fn plain_text(bytes: &[u8]) -> String {
    let bytes = bytes.get(..MAX_REPORT).unwrap_or(bytes);
    Plain(&String::from_utf8_lossy(bytes)).to_string()
}

/// Lets at most [`LineLimit::PER_SECOND`] lines a second through.
struct LineLimit {
    since: Instant,
    lines: u32,
    dropped: u32,
}

impl LineLimit {
    const PER_SECOND: u32 = 200;

    fn new() -> Self {
        Self { since: Instant::now(), lines: 0, dropped: 0 }
    }
    /// `None`: drop the line. Else what to write in front of it.
    fn admit(&mut self) -> Option<String> {
        if self.since.elapsed() >= Duration::from_secs(1) {
            self.since = Instant::now();
            self.lines = 0;
        }
        if self.lines >= Self::PER_SECOND {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(match std::mem::take(&mut self.dropped) {
            0 => String::new(),
            n => format!("({n} lines dropped) "),
        })
    }
}
