//! The loop of the broker: requests, signals, limits, refused host calls, until the sandbox ends.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use litebox_protocol::{Event, EventKind, figure};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::ahead;
use crate::confine::Network;
use crate::control::{Control, Order};
use crate::hearing::{Hearing, QUESTION};
use crate::keeping::{Keeping, LastWill};
use crate::limits::{Due, End, EndedBy, Limits, TimeLimit};
use crate::memory::{Meter, Verdict};
use crate::message::may_carry_descriptor;
use crate::net::Service;
use crate::process::Sandboxed;
use crate::replies::{PAUSE, Replies};
use crate::report::say;
use crate::request_channel::RequestChannel;
use crate::request_page::MappedPage;
use crate::session::{Session, Wish};
use crate::signals::Signals;
use crate::socket::{BUFFER, receive, send, serve_readers};
use crate::terminal::{Place, Terminal, job_is_in_foreground, stop_job};
use crate::{host_calls, process};

/// Exit status when the time limit was reached.
pub const STATUS_TIMEOUT: u8 = 124;
/// Exit status when the memory limit was reached: that of SIGKILL.
pub const STATUS_MEMORY: u8 = 137;
/// Exit status when the user had it killed: that of SIGKILL.
const STATUS_KILLED: u8 = 137;
/// Exit status when the sandbox made a refused host call: that of SIGSYS.
pub const STATUS_REFUSED: u8 = 159;
/// Exit status when the sandbox itself broke.
pub const STATUS_BROKEN: u8 = 70;
/// Exit status when no sandbox can be made here.
pub const STATUS_OURS: u8 = 125;
/// Exit status: the program is not there. What lies between cannot be executed.
const STATUS_NOT_FOUND: u8 = 127;
/// How long a sandbox that has closed its socket may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// How often a sandbox is looked at that tells of its changes when its time is over.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// How often a stopped sandbox's place is looked at.
const PLACE_TICK: Duration = Duration::from_millis(200);

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
    requests: RequestChannel,
    /// Those that only read, until they have a thread of their own.
    readers: Option<Arc<OwnedFd>>,
    /// The way back to them.
    reader_replies: Replies,
    /// Events for the sandbox.
    pub events: Arc<OwnedFd>,
    /// Its network and the socket for it, until it has a thread of its own.
    pub net: Option<(OwnedFd, Service)>,
    time: TimeLimit,
    /// Who takes what it tells of its changes.
    pub keeping: Option<Keeping>,
    /// Keeps `--memory`.
    pub memory: Option<Meter>,
    /// What SIGTERM becomes for the program.
    pub stop_signal: i32,
    /// How long it may take to end when it is asked to.
    pub stop_timeout: Duration,
    /// Who serves the user's other programs that want something of the sandbox.
    pub control: Option<Control>,
    /// All its processes were stopped by one of them.
    paused: bool,
    /// It was asked to end by one of them, and is killed then.
    stops_at: Option<Instant>,
    /// How its first program ended: a wait status.
    program_end: Option<i32>,
    /// Who made its network, and is waited for when nobody waits for us.
    pub helper: Option<Network>,
    /// Whether the sandbox still hears us.
    hearing: Hearing,
    /// It is stopped until it comes to the foreground.
    waits: bool,
    /// Somebody outside asked for a stop by SIGTSTP, SIGTTIN or SIGTTOU, and has not sent SIGCONT since.
    stop_asked: bool,
    buffer: Vec<u8>,
    /// The sandbox has closed its socket, and may take until then to end.
    last_moment: Option<Instant>,
}

/// The broker's ends of the sandbox's sockets.
pub struct Sockets {
    /// Requests and replies.
    pub requests: OwnedFd,
    /// The shorter way for these.
    pub page: MappedPage,
    /// Those that only read.
    pub readers: OwnedFd,
    /// Events for the sandbox.
    pub events: OwnedFd,
}

impl Server {
    /// A server of `sandboxed`. The time that it may take begins now.
    pub fn new(session: Session, sandboxed: Sandboxed, sockets: Sockets, limits: &Limits) -> Self {
        let Sockets { requests, page, readers, events } = sockets;
        Self {
            session,
            sandboxed,
            requests: RequestChannel::new(requests, page),
            readers: Some(Arc::new(readers)),
            reader_replies: Replies::default(),
            events: Arc::new(events),
            net: None,
            time: TimeLimit::begin(limits),
            keeping: None,
            memory: None,
            stop_signal: libc::SIGTERM,
            stop_timeout: limits.stop_timeout,
            control: None,
            paused: false,
            stops_at: None,
            program_end: None,
            hearing: Hearing::default(),
            waits: false,
            stop_asked: false,
            helper: None,
            buffer: vec![0; BUFFER],
            last_moment: None,
        }
    }

    /// Answers these requests on the socket for readers, before any comes there.
    pub fn answer_ahead(&mut self, requests: &ahead::Requests) {
        if let Some(socket) = &self.readers {
            requests.answer(&self.session.files(), socket.as_fd(), &mut self.reader_replies);
        }
    }

    /// Serves until the sandbox ends or is to be ended; the caller kills what is left, and then says why.
    pub fn run(&mut self, signals: &Signals) -> End {
        loop {
            if let Err(end) = self.turn(signals) {
                let end = self.because_of_memory(end);
                return self.time.end_of(end);
            }
        }
    }

    /// A sandbox that has no memory left may break before the broker kills it.
    fn because_of_memory(&mut self, end: End) -> End {
        let Some(meter) = self.memory.as_mut().filter(|_| end.status == STATUS_BROKEN) else { return end };
        if meter.explains_end() { End::saying(STATUS_MEMORY, &meter.says_all()) } else { end }
    }

    fn turn(&mut self, signals: &Signals) -> Result<(), End> {
        self.keep_limits()?;
        self.check_hearing()?;
        let deadline = self.hearing.deadline().filter(|_| !self.paused);
        let moments = [self.look_at_typed(), deadline, self.look_at_place(), self.stops_at];
        let ready = self.wait(signals, moments.into_iter().flatten().min())?;
        if ready.listener {
            return Err(self.refused());
        }
        if ready.typed {
            self.hearing.typed();
        }
        if ready.requests {
            if self.serve_waiting()? {
                self.helper = None;
            } else {
                self.last_moment = Instant::now().checked_add(GRACE);
            }
        }
        if ready.readers {
            self.serve_reader();
        }
        if ready.net {
            self.start_network();
        }
        while let Some(signal) = if ready.signals { signals.next() } else { None } {
            self.take_signal(signal)?;
        }
        if ready.orders {
            self.take_orders()?;
        }
        Ok(())
    }

    /// Does what is due because of a limit.
    fn keep_limits(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.last_moment.is_some_and(|moment| now >= moment) {
            return Err(End::saying(STATUS_BROKEN, "the sandbox has closed its socket: killed"));
        }
        if self.stops_at.is_some_and(|moment| now >= moment) {
            if !self.may_tell(now) {
                return Err(End { status: STATUS_KILLED, line: None });
            }
            self.stops_at = now.checked_add(LAST_LOOK);
        }
        match self.time.due(now) {
            Due::Nothing => {}
            Due::Ask => self.ask_to_end(),
            Due::Kill if self.may_tell(now) => self.time.look_again(LAST_LOOK),
            Due::Kill => {
                self.time.killed();
                return Err(End { status: STATUS_TIMEOUT, line: None });
            }
        }
        // Who is paused takes no more memory; and looking at all of it would have it go on.
        let Some(meter) = self.memory.as_mut().filter(|_| !self.paused) else { return Ok(()) };
        match meter.keep(&self.session.objects) {
            Ok(Verdict::Fine) => Ok(()),
            Ok(Verdict::Relieved) => {
                // A process that only the host knows, or that the host has killed at its wall.
                meter.says_killed("a process").iter().for_each(|line| say(line));
                Ok(())
            }
            Ok(Verdict::KillLargest(process)) => {
                self.send_event(EventKind::OutOfMemory, u64::from(process.unsigned_abs()));
                Ok(())
            }
            Ok(Verdict::KillAll) => Err(End::saying(STATUS_MEMORY, &meter.says_all())),
            Err(why) => Err(End::saying(STATUS_OURS, &format!("--memory cannot be kept any more: {why}"))),
        }
    }

    /// The program is to end. One that is stopped has to go on to hear of it.
    fn ask_to_end(&mut self) {
        self.pause(false);
        self.send_signal(libc::SIGTERM);
        self.send_signal(libc::SIGCONT);
    }

    /// Stops all processes of the sandbox, or has them go on.
    fn pause(&mut self, paused: bool) {
        if self.paused != paused {
            self.paused = paused;
            self.sandboxed.signal_all(if paused { libc::SIGSTOP } else { libc::SIGCONT });
            if let Some(control) = &self.control {
                control.paused(paused);
            }
        }
    }

    /// Does what the user's other programs want. `Err`: the sandbox ends so.
    fn take_orders(&mut self) -> Result<(), End> {
        let orders = self.control.as_ref().map(Control::take_orders).unwrap_or_default();
        for order in orders {
            match order {
                Order::Pause => self.pause(true),
                Order::Resume => self.pause(false),
                Order::Signal(libc::SIGKILL) if self.keeping.is_some() => {
                    // What the program changed is wanted all the same.
                    self.pause(false);
                    self.stops_at = Some(Instant::now());
                }
                Order::Signal(libc::SIGKILL) => return Err(End { status: STATUS_KILLED, line: None }),
                Order::Signal(signal) => {
                    // As it is sent: who names a signal means that one.
                    let sent = self.send_event(EventKind::Signal, u64::from(signal.unsigned_abs()));
                    self.hearing.told(signal, sent);
                }
                Order::Stop(patience) => {
                    let moment = Instant::now().checked_add(patience.unwrap_or(self.stop_timeout));
                    self.stops_at = moment.into_iter().chain(self.stops_at).min();
                    self.ask_to_end();
                }
            }
        }
        Ok(())
    }

    /// Whether a sandbox whose time is over lives on until it has told what it changed. Its program is killed.
    fn may_tell(&mut self, now: Instant) -> bool {
        let Some(keeping) = &mut self.keeping else { return false };
        let verdict = keeping.at_the_end(now);
        if verdict == LastWill::Ask {
            self.send_event(EventKind::Signal, libc::SIGKILL as u64);
            self.send_event(EventKind::Signal, libc::SIGCONT as u64);
        }
        verdict != LastWill::Refused
    }

    /// A sandbox that does not take what it was told for too long ends.
    fn check_hearing(&mut self) -> Result<(), End> {
        if self.paused {
            return Ok(());
        }
        let Some(signal) = self.hearing.deaf_to() else { return Ok(()) };
        if signal != QUESTION || self.session.terminal.as_ref().is_some_and(Terminal::was_told_to_end) {
            return Err(give_up(signal));
        }
        self.hearing.ask_no_more();
        Ok(())
    }

    /// A signal came. `Err`: the sandbox ends so.
    fn take_signal(&mut self, signal: i32) -> Result<(), End> {
        if signal == libc::SIGCHLD {
            if let Some(end) = self.supervisor_ended() {
                return Err(end);
            }
            if self.sandboxed.has_lost_guard() {
                let line = "the guard of the sandbox was killed, and so is the sandbox";
                return Err(End::saying(STATUS_BROKEN, line));
            }
            return Ok(());
        }
        if self.hearing.is_in_vain(signal) {
            return Err(give_up(signal));
        }
        match signal {
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => self.stop_asked = true,
            libc::SIGCONT => self.stop_asked = false,
            _ => {}
        }
        self.use_terminal_again(signal);
        self.send_signal(signal);
        Ok(())
    }

    /// Waits for something to do, at most until `moment`.
    fn wait(&self, signals: &Signals, moment: Option<Instant>) -> Result<Ready, End> {
        let requests_open = self.last_moment.is_none();
        let mut fds = vec![PollFd::from_borrowed_fd(signals.fd(), PollFlags::IN)];
        // Who is owed a reply asks for nothing more.
        let wanted = |owed: bool| if owed { PollFlags::empty() } else { PollFlags::IN };
        if requests_open {
            let socket = self.requests.socket();
            fds.push(PollFd::from_borrowed_fd(socket, wanted(self.requests.owe_reply())));
        }
        if let Some(readers) = &self.readers {
            fds.push(PollFd::new(&**readers, wanted(self.reader_replies.are_owed())));
        }
        if let Some((net, _)) = &self.net {
            fds.push(PollFd::new(net, PollFlags::IN));
        }
        if let Some(listener) = &self.session.listener {
            fds.push(PollFd::new(listener, PollFlags::IN));
        }
        let listener_at = fds.len() - 1;
        let terminal = self.session.terminal.as_ref();
        let input = terminal.and_then(Terminal::raw_input).filter(|_| self.hearing.typed_moment().is_none());
        if let Some(input) = input {
            fds.push(PollFd::from_borrowed_fd(input, PollFlags::IN));
        }
        let orders_at = fds.len();
        if let Some(control) = &self.control {
            fds.push(PollFd::from_borrowed_fd(control.orders_fd(), PollFlags::IN));
        }
        let counted = self.memory.as_ref().filter(|_| !self.paused).map(Meter::next);
        let next = [moment, self.last_moment, self.time.next(), counted];
        let mut pause = next.into_iter().flatten().min().map(|moment| moment.saturating_duration_since(Instant::now()));
        let owed = self.requests.owe_reply() || self.reader_replies.are_owed();
        // We look there no more: what is there now was left before that.
        let by_page = requests_open && self.requests.is_posted();
        if by_page && !owed {
            pause = Some(Duration::ZERO);
        } else if owed {
            pause = Some(pause.map_or(PAUSE, |p| p.min(PAUSE)));
        }
        let pause = pause.and_then(|p| rustix::fs::Timespec::try_from(p).ok());
        match rustix::event::poll(&mut fds, pause.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(End::saying(STATUS_BROKEN, &format!("poll: {e}"))),
        }
        let bits: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        let at = |i: usize| bits.get(i).copied().unwrap_or(PollFlags::empty());
        let listener = if self.session.listener.is_some() { at(listener_at) } else { PollFlags::empty() };
        Ok(Ready {
            signals: !at(0).is_empty(),
            requests: requests_open && (owed || by_page || !at(1).is_empty()),
            readers: self.readers.is_some() && (owed || !at(1 + usize::from(requests_open)).is_empty()),
            net: self.net.is_some()
                && !at(1 + usize::from(requests_open) + usize::from(self.readers.is_some())).is_empty(),
            listener: listener.contains(PollFlags::IN),
            typed: orders_at > listener_at + 1 && !at(listener_at + 1).is_empty(),
            orders: self.control.is_some() && !at(orders_at).is_empty(),
        })
    }

    /// Serves the requests that wait, at most a few hundred, and some that come soon after, so that signals and limits
    /// are looked at too. `Ok(false)`: the other end is closed. `Err`: the sandbox ends so.
    fn serve_waiting(&mut self) -> Result<bool, End> {
        let served = self.serve_some();
        self.requests.look_no_more();
        served
    }

    fn serve_some(&mut self) -> Result<bool, End> {
        // Who waits for a reply goes on with it, and perhaps asks again; one that wants none tells something.
        let mut replied = false;
        for served in 0..256 {
            if !self.requests.settle() {
                return Ok(true);
            }
            let mut came = match self.requests.next(replied && served < MOST_LOOKS) {
                Ok(came) if came.is_end() => return Ok(false),
                Ok(came) => came,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
                Err(Errno::PROTO) => return Err(unexpected_descriptors()),
                Err(_) => return Ok(false),
            };
            let passed = came.passed.take();
            let message = self.requests.bytes(&came);
            if passed.is_some() && !may_carry_descriptor(message) {
                return Err(unexpected_descriptors());
            }
            let (reply, passed, wish) = self.session.serve(message, passed);
            replied = reply.is_some();
            self.requests.answer(&came, reply, passed.as_ref().map(OwnedFd::as_fd));
            self.fulfil(wish)?;
        }
        Ok(true)
    }

    /// Serves the first reader there is, and leaves the others to a thread: most sandboxes never ask for two things at
    /// once.
    fn serve_reader(&mut self) {
        let Some(socket) = self.readers.take() else { return };
        if !self.reader_replies.settle(socket.as_fd()) {
            return self.readers = Some(socket);
        }
        let message = match receive(socket.as_fd(), &mut self.buffer, false) {
            Ok((0, _) | (_, Some(_))) => return,
            Ok((len, None)) => self.buffer.get(..len).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => return self.readers = Some(socket),
            Err(_) => return,
        };
        let (reply, passed) = self.session.serve_reader(message);
        self.reader_replies.send(socket.as_fd(), reply, passed.as_ref().map(OwnedFd::as_fd));
        if self.reader_replies.are_owed() {
            return self.readers = Some(socket);
        }
        let (files, theirs) = (self.session.files(), socket.clone());
        let thread = std::thread::Builder::new().stack_size(READERS_STACK);
        if thread.spawn(move || serve_readers(&files, &theirs, Replies::default())).is_err() {
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

    fn fulfil(&mut self, wish: Wish) -> Result<(), End> {
        match wish {
            Wish::None => {}
            Wish::Report(line) => say(&line),
            Wish::Exit(wait_status) => return Err(self.guest_ended(wait_status)),
            Wish::Fatal(reason) => {
                return Err(End::saying(STATUS_BROKEN, &format!("internal error: {reason}")));
            }
            Wish::Killed(who) => {
                if let Some(line) = self.memory.as_mut().and_then(|meter| meter.says_killed(&who)) {
                    say(&line);
                }
            }
            Wish::Stop => self.stop_along(),
            Wish::Background(signal) => {
                self.sandboxed.signal_all(libc::SIGSTOP);
                if self.time.next().is_some() {
                    // Whoever stops keeps no limit: the sandbox alone waits.
                    self.waits = true;
                } else {
                    let terminal = self.session.terminal.as_ref();
                    stop_job(signal, || terminal.map_or(Place::Foreground, Terminal::place));
                    self.sandboxed.signal_all(libc::SIGCONT);
                }
            }
            Wish::ProgramStarted(number, pid) => {
                if let Some(control) = &mut self.control {
                    control.started(number, pid);
                }
            }
            Wish::ProgramEnded(number, status, why) => {
                if let Some(control) = &self.control {
                    control.ended(number, status, why);
                }
            }
            Wish::Heard(signal) => {
                if let Some(again) = self.hearing.heard(signal) {
                    self.send_signal(again);
                }
            }
        }
        Ok(())
    }

    /// The first program ended by itself, or was killed for memory, which has not been said if nobody else did.
    fn guest_ended(&mut self, wait_status: i32) -> End {
        self.program_end = Some(wait_status);
        let killed = wait_status == libc::SIGKILL;
        let line = self.memory.as_mut().filter(|_| killed).and_then(|meter| meter.says_killed("the program"));
        End { status: exit_status(wait_status), line }
    }

    /// Who or what ended it, when it ended so.
    pub fn ended_by(&self, end: &End) -> EndedBy {
        match end.status {
            STATUS_REFUSED if self.program_end.is_none() => EndedBy::Refused,
            _ if self.time.is_over() => EndedBy::Timeout,
            // What the meter says of an end is that somebody was killed for memory.
            STATUS_MEMORY if self.memory.is_some() && end.line.is_some() => EndedBy::Memory,
            _ if self.stops_at.is_some() => EndedBy::User,
            // What the sandbox found missing before the program's first instruction.
            STATUS_OURS..=STATUS_NOT_FOUND if self.made_no_call() => EndedBy::Litebox,
            _ if self.program_end.is_some() => EndedBy::Program,
            STATUS_BROKEN | STATUS_OURS => EndedBy::Litebox,
            _ => EndedBy::User,
        }
    }

    /// Whether its figures say that no program of it did anything.
    fn made_no_call(&self) -> bool {
        self.session.figures.is_some_and(|figures| figures.get(figure::GUEST_CALLS) == Some(&0))
    }

    /// The signal that killed its first program.
    pub fn signal(&self) -> Option<i32> {
        self.program_end.filter(|status| libc::WIFSIGNALED(*status)).map(|status| libc::WTERMSIG(status))
    }

    /// The guest was stopped. A shell that waits for this process at a terminal is told so by its own stop; so is who
    /// asked for the stop. Nobody else would make it go on. A time limit does.
    fn stop_along(&mut self) {
        if !std::mem::take(&mut self.stop_asked) && !job_is_in_foreground() {
            return;
        }
        if let Some(terminal) = &mut self.session.terminal {
            terminal.pause();
        }
        let alarm = self.time.alarm();
        self.sandboxed.signal_all(libc::SIGSTOP);
        // SAFETY: raise(3) touches no memory. We go on here when somebody sends SIGCONT.
        unsafe { libc::raise(libc::SIGSTOP) };
        self.sandboxed.signal_all(libc::SIGCONT);
        drop(alarm);
    }

    /// After a stop the terminal is as the shell wants it, and its window may be another.
    fn use_terminal_again(&mut self, signal: i32) {
        if signal == libc::SIGCONT && std::mem::take(&mut self.waits) {
            self.sandboxed.signal_all(libc::SIGCONT);
        }
        let Some(terminal) = self.session.terminal.as_mut().filter(|_| signal == libc::SIGCONT) else { return };
        if terminal.place() == Place::Foreground {
            terminal.resume();
            self.send_signal(libc::SIGWINCH);
        }
    }

    fn send_event(&self, kind: EventKind, value: u64) -> bool {
        let event = Event { kind: kind as u32, reserved: 0, value };
        // A full queue means that the sandbox has hundreds of events still to look at.
        send(self.events.as_fd(), event.as_bytes(), None).is_ok()
    }

    fn send_signal(&mut self, signal: i32) {
        let as_sent = if signal == libc::SIGTERM { self.stop_signal } else { signal };
        let sent = self.send_event(EventKind::Signal, u64::from(as_sent.unsigned_abs()));
        // What is heard is what was sent.
        self.hearing.told(as_sent, sent);
    }

    /// When to look whether a sandbox that waits for that has come to the foreground: not every shell sends a job that
    /// runs SIGCONT.
    fn look_at_place(&mut self) -> Option<Instant> {
        let place = self.session.terminal.as_ref().filter(|_| self.waits)?.place();
        if place == Place::Foreground {
            self.use_terminal_again(libc::SIGCONT);
            return None;
        }
        Instant::now().checked_add(PLACE_TICK)
    }

    /// When to look whether what was typed at the console has been taken. Where it was not, the supervisor is asked
    /// whether it hears.
    fn look_at_typed(&mut self) -> Option<Instant> {
        let moment = self.hearing.typed_moment().filter(|_| !self.paused)?;
        if moment > Instant::now() {
            return Some(moment);
        }
        if self.session.terminal.as_ref().is_some_and(Terminal::has_input) {
            self.send_signal(QUESTION);
            self.hearing.typed();
        } else {
            self.hearing.taken();
        }
        self.hearing.typed_moment()
    }

    fn refused(&self) -> End {
        let listener = self.session.listener.as_ref().map(|l| process::refused_call(l.as_fd()));
        let line = match listener {
            Some(Ok(call)) => {
                format!("refused host call {}: sandbox killed", host_calls::describe(call.number, call.arch))
            }
            _ => "refused host call: sandbox killed".into(),
        };
        End::saying(STATUS_REFUSED, &line)
    }

    /// Whether the supervisor is gone, and how the sandbox ends then.
    fn supervisor_ended(&mut self) -> Option<End> {
        let status = self.sandboxed.reap()?;
        // What it still said is in the socket.
        if let Err(last) = self.serve_waiting() {
            return Some(last);
        }
        if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS {
            let line = "refused host call (its number is not known here): sandbox killed";
            return Some(End::saying(STATUS_REFUSED, line));
        }
        // The host offers too little, which the supervisor has said itself: no filter was in force yet, and no guest
        // ran.
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == STATUS_OURS.into() && self.session.listener.is_none()
        {
            return Some(End { status: STATUS_OURS, line: None });
        }
        let line = if libc::WIFSIGNALED(status) {
            Some(format!("the sandbox was killed by signal {}", libc::WTERMSIG(status)))
        } else if libc::WEXITSTATUS(status) == STATUS_BROKEN.into() {
            None
        } else {
            Some(format!("the sandbox ended unexpectedly with status {}", libc::WEXITSTATUS(status)))
        };
        Some(End { status: STATUS_BROKEN, line })
    }
}

/// A message came with descriptors that no kernel of ours sends. Kept in the queue, they would count against what all
/// programs of the user may have in flight together.
fn unexpected_descriptors() -> End {
    End::saying(STATUS_BROKEN, "the sandbox sent descriptors that nobody asked for: killed")
}

/// The sandbox does not hear `signal`. What was typed counts only when it is what ends programs.
fn give_up(signal: i32) -> End {
    let (name, signal) = match signal {
        QUESTION => ("^C", libc::SIGINT),
        libc::SIGINT => ("SIGINT", signal),
        libc::SIGHUP => ("SIGHUP", signal),
        libc::SIGQUIT => ("SIGQUIT", signal),
        _ => ("SIGTERM", signal),
    };
    End::saying(exit_status(signal), &format!("the sandbox does not answer {name}: killed"))
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
    orders: bool,
}

/// Exit status of a program with this wait status, as a shell shows it.
pub fn exit_status(wait_status: i32) -> u8 {
    if libc::WIFSIGNALED(wait_status) {
        128u8.wrapping_add(libc::WTERMSIG(wait_status) as u8)
    } else {
        libc::WEXITSTATUS(wait_status) as u8
    }
}
