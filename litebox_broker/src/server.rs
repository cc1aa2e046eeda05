//! The loop of the broker: requests, signals, limits, refused host calls, until the sandbox ends.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use litebox_protocol::plain::Plain;
use litebox_protocol::{Event, EventKind};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::confine::Network;
use crate::hearing::{Hearing, QUESTION};
use crate::looks::Looks;
use crate::net::Service;
use crate::process::Sandboxed;
use crate::session::{Session, Wish};
use crate::socket::{BUFFER, receive, send, serve_readers};
use crate::terminal::{Place, Terminal, line_end, stop_job};
use crate::{host_calls, process};

/// Exit status when the time limit was reached.
pub const STATUS_TIMEOUT: u8 = 124;
/// Exit status when the memory limit was reached: that of SIGKILL.
pub const STATUS_MEMORY: u8 = 137;
/// Exit status when the sandbox made a refused host call: that of SIGSYS.
pub const STATUS_REFUSED: u8 = 159;
/// Exit status when the sandbox itself broke.
pub const STATUS_BROKEN: u8 = 70;
/// Exit status when no sandbox can be made here.
pub const STATUS_OURS: u8 = 125;
/// How long a sandbox that has closed its socket may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// Signals that are passed on to the guest.
const FORWARDED: [i32; 11] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTTIN,
    libc::SIGALRM,
];

/// How often memory is looked at.
const MEMORY_TICK: Duration = Duration::from_millis(10);

/// How often a stopped sandbox's place is looked at.
const PLACE_TICK: Duration = Duration::from_millis(200);

/// A line for the user.
pub fn say(line: &str) {
    use std::io::Write;
    // One write, so that lines of several writers do not mix. Nothing can be done when stderr is gone.
    let _ = std::io::stderr().write_all(format!("litebox: {}{}", Plain(line), line_end()).as_bytes());
}

/// Signals received through a descriptor instead of handlers.
pub struct Signals {
    fd: OwnedFd,
    before: libc::sigset_t,
}

/// Whether whoever started this process had it ignore a signal (nohup(1), `trap '' INT`).
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: fills one struct, which was zeroed.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

impl Signals {
    /// Blocks the forwarded signals and SIGCHLD, and receives them from now on. Those that are ignored stay so: nobody hears of them.
    pub fn take() -> Result<Self, Errno> {
        let mut set = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are initialised by the calls that come first; signalfd returns a fresh descriptor.
        unsafe {
            // Who ignores it never hears of the ends of children, and cannot wait for them.
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::sigemptyset(set.as_mut_ptr());
            for signal in FORWARDED.into_iter().filter(|signal| !is_ignored(*signal)).chain([libc::SIGCHLD]) {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            libc::sigemptyset(before.as_mut_ptr());
            libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(Errno::MFILE);
            }
            Ok(Self { fd: OwnedFd::from_raw_fd(fd), before: before.assume_init() })
        }
    }
    /// The mask as it was.
    pub fn mask_before(&self) -> &libc::sigset_t {
        &self.before
    }
    fn next(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` has room for `size` bytes; it is read only when all of them were written.
        unsafe {
            let n = libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (n == size as isize).then(|| info.assume_init().ssi_signo as i32)
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: sets the mask that was there.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// Limits of a sandbox.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Time until it is killed.
    pub timeout: Option<Duration>,
    /// Bytes of memory at which it is killed.
    pub memory: Option<u64>,
}

/// After so many requests in a row signals and limits are looked at before another is looked for.
const MOST_LOOKS: usize = 64;

/// Stack of the thread that serves readers.
const READERS_STACK: usize = 256 << 10;

/// Stack of the thread that serves the network.
const NETWORK_STACK: usize = 512 << 10;

/// A running sandbox and the ends of its sockets.
pub struct Server {
    /// What serves its requests.
    pub session: Session,
    /// Its processes.
    sandboxed: Sandboxed,
    /// Requests and replies.
    pub requests: OwnedFd,
    /// Those that only read, until they have a thread of their own.
    readers: Option<Arc<OwnedFd>>,
    /// Events for the sandbox.
    pub events: Arc<OwnedFd>,
    /// Its network and the socket for it, until it has a thread of its own.
    pub net: Option<(OwnedFd, Service)>,
    /// Limits.
    pub limits: Limits,
    /// Who made its network, and is waited for when nobody waits for us.
    pub helper: Option<Network>,
    /// Whether the sandbox still hears us.
    hearing: Hearing,
    /// It is stopped until it comes to the foreground.
    waits: bool,
    buffer: Vec<u8>,
    /// Whether the next request is looked for before we fall asleep.
    looks: Looks,
}

/// The broker's ends of the sandbox's sockets.
pub struct Sockets {
    /// Requests and replies.
    pub requests: OwnedFd,
    /// Those that only read.
    pub readers: OwnedFd,
    /// Events for the sandbox.
    pub events: OwnedFd,
}

impl Server {
    /// A server of `sandboxed`.
    pub fn new(session: Session, sandboxed: Sandboxed, sockets: Sockets, limits: Limits) -> Self {
        let Sockets { requests, readers, events } = sockets;
        let readers = Some(Arc::new(readers));
        let (buffer, looks, events) = (vec![0; BUFFER], Looks::default(), Arc::new(events));
        Self {
            session,
            sandboxed,
            requests,
            readers,
            events,
            net: None,
            limits,
            hearing: Hearing::default(),
            waits: false,
            helper: None,
            buffer,
            looks,
        }
    }

    /// Serves until the sandbox ends or is ended; returns the exit status. The caller kills what is left.
    pub fn run(&mut self, signals: &Signals) -> u8 {
        let deadline = self.limits.timeout.and_then(|t| Instant::now().checked_add(t));
        let mut requests_open = true;
        let mut last_moment: Option<Instant> = None;
        loop {
            if last_moment.is_some_and(|moment| Instant::now() >= moment) {
                say("the sandbox has closed its socket: killed");
                return STATUS_BROKEN;
            }
            if let Some(signal) = self.hearing.deaf_to() {
                if signal != QUESTION || self.session.terminal.as_ref().is_some_and(Terminal::was_told_to_end) {
                    return give_up(signal);
                }
                self.hearing.ask_no_more();
            }
            let moments = [deadline, last_moment, self.look_at_typed(), self.hearing.deadline(), self.look_at_place()];
            let next = moments.into_iter().flatten().min();
            let ready = match self.wait(signals, requests_open, deadline, next) {
                Ok(ready) => ready,
                Err(status) => return status,
            };
            if ready.listener {
                return self.report_refused();
            }
            if ready.typed {
                self.hearing.typed();
            }
            if ready.requests {
                match self.serve_waiting() {
                    Ok(true) => self.helper = None,
                    Ok(false) => {
                        requests_open = false;
                        last_moment = Instant::now().checked_add(GRACE);
                    }
                    Err(status) => return status,
                }
            }
            if ready.readers {
                self.serve_reader();
            }
            if ready.net {
                self.start_network();
            }
            while let Some(signal) = if ready.signals { signals.next() } else { None } {
                if let Err(status) = self.take_signal(signal) {
                    return status;
                }
            }
        }
    }

    /// A signal came. `Err`: the sandbox ends with this status.
    fn take_signal(&mut self, signal: i32) -> Result<(), u8> {
        if signal == libc::SIGCHLD {
            if let Some(status) = self.supervisor_ended() {
                return Err(status);
            }
            if self.sandboxed.has_lost_guard() {
                say("the guard of the sandbox was killed, and so is the sandbox");
                return Err(STATUS_BROKEN);
            }
            return Ok(());
        }
        if self.hearing.is_in_vain(signal) {
            return Err(give_up(signal));
        }
        self.use_terminal_again(signal);
        self.send_event(signal);
        Ok(())
    }

    /// Waits for something to do, or for `next`; `Err`: a limit was reached.
    fn wait(
        &self,
        signals: &Signals,
        requests_open: bool,
        deadline: Option<Instant>,
        next: Option<Instant>,
    ) -> Result<Ready, u8> {
        let mut fds = vec![PollFd::new(&signals.fd, PollFlags::IN)];
        if requests_open {
            fds.push(PollFd::new(&self.requests, PollFlags::IN));
        }
        if let Some(readers) = &self.readers {
            fds.push(PollFd::new(&**readers, PollFlags::IN));
        }
        if let Some((net, _)) = &self.net {
            fds.push(PollFd::new(net, PollFlags::IN));
        }
        if let Some(listener) = &self.session.listener {
            fds.push(PollFd::new(listener, PollFlags::IN));
        }
        let listener_at = fds.len() - 1;
        if let Some(input) = self
            .session
            .terminal
            .as_ref()
            .and_then(Terminal::raw_input)
            .filter(|_| self.hearing.typed_moment().is_none())
        {
            fds.push(PollFd::from_borrowed_fd(input, PollFlags::IN));
        }
        let now = Instant::now();
        let mut pause = next.map(|d| d.saturating_duration_since(now));
        if deadline.is_some_and(|d| d <= now) {
            say("time limit reached: sandbox killed");
            return Err(STATUS_TIMEOUT);
        }
        if let Some(limit) = self.limits.memory {
            if process::memory_in_use(self.session.supervisor, limit) >= limit {
                say(&format!("memory limit of {} MiB reached: sandbox killed", limit >> 20));
                return Err(STATUS_MEMORY);
            }
            pause = Some(pause.map_or(MEMORY_TICK, |p| p.min(MEMORY_TICK)));
        }
        let pause = pause.and_then(|p| rustix::fs::Timespec::try_from(p).ok());
        match rustix::event::poll(&mut fds, pause.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => {
                say(&format!("poll: {e}"));
                return Err(STATUS_BROKEN);
            }
        }
        let bits: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        let at = |i: usize| bits.get(i).copied().unwrap_or(PollFlags::empty());
        let listener = if self.session.listener.is_some() { at(listener_at) } else { PollFlags::empty() };
        Ok(Ready {
            signals: !at(0).is_empty(),
            requests: requests_open && !at(1).is_empty(),
            readers: self.readers.is_some() && !at(1 + usize::from(requests_open)).is_empty(),
            net: self.net.is_some()
                && !at(1 + usize::from(requests_open) + usize::from(self.readers.is_some())).is_empty(),
            listener: listener.contains(PollFlags::IN),
            typed: fds.len() > listener_at + 1 && !at(listener_at + 1).is_empty(),
        })
    }

    /// Serves the requests that wait, at most a few hundred, and some that come soon after, so that signals and limits are looked at too.
    /// `Ok(false)`: the other end is closed. `Err`: the sandbox ends with this status.
    fn serve_waiting(&mut self) -> Result<bool, u8> {
        for served in 0..256 {
            let (len, came) = match self.next_request((1..MOST_LOOKS).contains(&served)) {
                Ok((0, _)) => return Ok(false),
                Ok(got) => got,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
                Err(_) => return Ok(false),
            };
            let message = self.buffer.get(..len).unwrap_or_default();
            let (reply, passed, wish) = self.session.serve(message, came);
            if let Some(reply) = reply {
                // A sandbox that does not take its replies loses them: we wait for nobody.
                let _ = send(self.requests.as_fd(), reply, passed.as_ref().map(OwnedFd::as_fd));
            }
            self.fulfil(wish)?;
        }
        Ok(true)
    }

    /// The next request; with `look`, also one that comes soon, if looking for it is likely to pay.
    fn next_request(&mut self, look: bool) -> Result<(usize, Option<OwnedFd>), Errno> {
        let (socket, buffer) = (self.requests.as_fd(), &mut self.buffer);
        let mut got = receive(socket, buffer, false);
        if look && matches!(got, Err(Errno::AGAIN)) {
            self.looks.try_looking(|| {
                got = receive(socket, buffer, false);
                !matches!(got, Err(Errno::AGAIN))
            });
        }
        got
    }

    /// Serves the first reader there is, and leaves the others to a thread: most sandboxes never ask for two things at once.
    fn serve_reader(&mut self) {
        let Some(socket) = self.readers.take() else { return };
        let message = match receive(socket.as_fd(), &mut self.buffer, false) {
            Ok((0, _)) => return,
            Ok((len, _)) => self.buffer.get(..len).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => return self.readers = Some(socket),
            Err(_) => return,
        };
        let (reply, passed) = self.session.serve_reader(message);
        let _ = send(socket.as_fd(), reply, passed.as_ref().map(OwnedFd::as_fd));
        let (files, theirs) = (self.session.files(), socket.clone());
        let thread = std::thread::Builder::new().stack_size(READERS_STACK);
        if thread.spawn(move || serve_readers(&files, &theirs)).is_err() {
            // No room for a thread: they take their turns here.
            self.readers = Some(socket);
        }
    }

    /// The first request about the network came: from now on a thread serves them, and many programs never make one.
    fn start_network(&mut self) {
        let Some((socket, service)) = self.net.take() else { return };
        let events = self.events.clone();
        let thread = std::thread::Builder::new().stack_size(NETWORK_STACK);
        if thread.spawn(move || service.run(&socket, &events)).is_err() {
            say("network: no room for its thread: the sandbox has none");
        }
    }

    fn fulfil(&mut self, wish: Wish) -> Result<(), u8> {
        match wish {
            Wish::None => {}
            Wish::Report(line) => say(&line),
            Wish::Exit(wait_status) => return Err(exit_status(wait_status)),
            Wish::Fatal(reason) => {
                say(&format!("internal error: {reason}"));
                return Err(STATUS_BROKEN);
            }
            Wish::Stop => {
                if let Some(terminal) = &mut self.session.terminal {
                    terminal.pause();
                }
                self.sandboxed.signal_all(libc::SIGSTOP);
                // SAFETY: raise(3) touches no memory. We go on here when somebody sends SIGCONT.
                unsafe { libc::raise(libc::SIGSTOP) };
                self.sandboxed.signal_all(libc::SIGCONT);
            }
            Wish::Background(signal) => {
                self.sandboxed.signal_all(libc::SIGSTOP);
                if self.limits.timeout.is_some() {
                    // Whoever stops keeps no limit: the sandbox alone waits.
                    self.waits = true;
                } else {
                    stop_job(signal);
                    self.sandboxed.signal_all(libc::SIGCONT);
                }
            }
            Wish::Heard(signal) => {
                if let Some(again) = self.hearing.heard(signal) {
                    self.send_event(again);
                }
            }
        }
        Ok(())
    }

    /// After a stop the terminal is as the shell wants it, and its window may be another.
    fn use_terminal_again(&mut self, signal: i32) {
        if signal == libc::SIGCONT && std::mem::take(&mut self.waits) {
            self.sandboxed.signal_all(libc::SIGCONT);
        }
        let Some(terminal) = self.session.terminal.as_mut().filter(|_| signal == libc::SIGCONT) else { return };
        if terminal.place() == Place::Foreground {
            terminal.resume();
            self.send_event(libc::SIGWINCH);
        }
    }

    fn send_event(&mut self, signal: i32) {
        let event = Event { kind: EventKind::Signal as u32, reserved: 0, value: u64::from(signal.unsigned_abs()) };
        // A full queue means that the sandbox has hundreds of signals still to look at.
        let sent = send(self.events.as_fd(), event.as_bytes(), None).is_ok();
        self.hearing.told(signal, sent);
    }

    /// When to look whether a sandbox that waits for that has come to the foreground: not every shell sends a job that runs SIGCONT.
    fn look_at_place(&mut self) -> Option<Instant> {
        let place = self.session.terminal.as_ref().filter(|_| self.waits)?.place();
        if place == Place::Foreground {
            self.use_terminal_again(libc::SIGCONT);
            return None;
        }
        Instant::now().checked_add(PLACE_TICK)
    }

    /// When to look whether what was typed at the console has been taken. Where it was not, the supervisor is asked whether it hears.
    fn look_at_typed(&mut self) -> Option<Instant> {
        let moment = self.hearing.typed_moment()?;
        if moment > Instant::now() {
            return Some(moment);
        }
        if self.session.terminal.as_ref().is_some_and(Terminal::has_input) {
            self.send_event(QUESTION);
            self.hearing.typed();
        } else {
            self.hearing.taken();
        }
        self.hearing.typed_moment()
    }

    fn report_refused(&self) -> u8 {
        let listener = self.session.listener.as_ref().map(|l| process::refused_call(l.as_fd()));
        match listener {
            Some(Ok(call)) => {
                say(&format!("refused host call {}: sandbox killed", host_calls::describe(call.number, call.arch)));
            }
            _ => say("refused host call: sandbox killed"),
        }
        STATUS_REFUSED
    }

    /// Whether the supervisor is gone, and with which status the sandbox ends then.
    fn supervisor_ended(&mut self) -> Option<u8> {
        let status = self.sandboxed.reap()?;
        // What it still said is in the socket.
        if let Err(last) = self.serve_waiting() {
            return Some(last);
        }
        if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS {
            say("refused host call (its number is not known here): sandbox killed");
            return Some(STATUS_REFUSED);
        }
        // The host offers too little, which the supervisor has said itself: no filter was in force yet, and no guest ran.
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == STATUS_OURS.into() && self.session.listener.is_none()
        {
            return Some(STATUS_OURS);
        }
        if libc::WIFSIGNALED(status) {
            say(&format!("the sandbox was killed by signal {}", libc::WTERMSIG(status)));
        } else if libc::WEXITSTATUS(status) != STATUS_BROKEN.into() {
            say(&format!("the sandbox ended unexpectedly with status {}", libc::WEXITSTATUS(status)));
        }
        Some(STATUS_BROKEN)
    }
}

/// The sandbox does not hear `signal`. What was typed counts only when it is what ends programs.
fn give_up(signal: i32) -> u8 {
    let (name, signal) = match signal {
        QUESTION => ("^C", libc::SIGINT),
        libc::SIGINT => ("SIGINT", signal),
        libc::SIGHUP => ("SIGHUP", signal),
        libc::SIGQUIT => ("SIGQUIT", signal),
        _ => ("SIGTERM", signal),
    };
    say(&format!("the sandbox does not answer {name}: killed"));
    exit_status(signal)
}

/// Which descriptors have something.
#[expect(clippy::struct_excessive_bools, reason = "one for each descriptor that is polled")]
struct Ready {
    signals: bool,
    requests: bool,
    readers: bool,
    net: bool,
    listener: bool,
    typed: bool,
}

/// Exit status of a program with this wait status, as a shell shows it.
pub fn exit_status(wait_status: i32) -> u8 {
    if libc::WIFSIGNALED(wait_status) {
        128u8.wrapping_add(libc::WTERMSIG(wait_status) as u8)
    } else {
        libc::WEXITSTATUS(wait_status) as u8
    }
}
