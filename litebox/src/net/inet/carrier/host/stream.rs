//! A connection that a socket of the host carries.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use litebox_common_linux::Errno;
use litebox_common_linux::abi::ioctl::FIONREAD;
use litebox_common_linux::abi::socket::SOL_SOCKET;
use litebox_common_linux::abi::socket_option::{SO_ERROR, SO_LINGER};

use litebox_protocol::net::{MAX_FIRST, NetOp, NetRequest, STATE_DONE, STATE_PENDING, TCP};
use zerocopy::IntoBytes;

use super::client;
use super::made::{made_before, numbers_of, value_of};
use super::readiness::Readiness;
use super::{ALL_EVENTS, HostNetwork, Passed, QUIET_EVENTS, Waiting, Watcher, to_bytes};
use crate::error::errno::{ENOBUFS, ENOTCONN};
use crate::event::{Events, WaitQueue};
use crate::io::{Dest, Source};
use crate::net::inet::carrier::{Closing, StreamCarrier, TcpState};
use crate::net::{MessageFlags, Setting, Settings, Shut};
use crate::platform::{HostFd, Instant, host};
use crate::sync::Mutex;
use crate::{Error, Result};

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);
const ALL: Events =
    READABLE.union(WRITABLE).union(Events::PRI).union(Events::RDHUP).union(Events::HUP).union(Events::ERR);
const TIOCOUTQ: u32 = 0x5411;
/// After so many bytes written it is asked again whether there is room.
const MUCH: usize = 16 << 10;

/// A socket that others read and write all the time is asked so often what it is ready for.
const MOST_LOOKS: usize = 3;
/// So many events that nobody waited for make the supervisor rest.
const MOST_UNHEARD: u8 = 4;

/// How far the connection is the sandbox's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The broker makes it.
    Asked,
    /// It exists; the broker wants to see what is sent first.
    First,
    /// The broker sends that.
    Handing,
    /// It is ours.
    Open,
    /// It is none any more.
    Gone,
}

/// Bits of [`HostStream::shut`].
const SHUT_READ: u8 = 1;
const SHUT_WRITE: u8 = 2;

/// One end of a connection; the other is outside.
pub(super) struct HostStream {
    own: Weak<Self>,
    network: Weak<HostNetwork>,
    queue: Arc<WaitQueue>,
    /// The number under which the broker knows it, until it is ours.
    id: u64,
    phase: Mutex<Phase>,
    /// Its descriptor, once it is ours; below 0 before. Closed with the last reference.
    fd: AtomicI32,
    token: AtomicU64,
    readiness: Readiness,
    /// The supervisor hears of ends and urgent data alone: whoever waits does so in the host's poll.
    resting: AtomicBool,
    /// How often it heard in vain, in a row.
    unheard: AtomicU8,
    /// It was established.
    met: AtomicBool,
    error: AtomicI32,
    shut: AtomicU8,
    /// Bytes written since the host said that there is room.
    written: AtomicUsize,
}

impl HostStream {
    fn new(network: &Arc<HostNetwork>, queue: &Arc<WaitQueue>, phase: Phase) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: own.clone(),
            network: Arc::downgrade(network),
            queue: queue.clone(),
            id: network.next_number(),
            phase: Mutex::new(phase),
            fd: AtomicI32::new(-1),
            token: AtomicU64::new(0),
            readiness: Readiness::default(),
            resting: AtomicBool::new(false),
            unheard: AtomicU8::new(0),
            met: AtomicBool::new(false),
            error: AtomicI32::new(0),
            shut: AtomicU8::new(0),
            written: AtomicUsize::new(0),
        })
    }

    /// Begins a connection.
    pub fn connect(
        network: &Arc<HostNetwork>,
        to: SocketAddr,
        queue: &Arc<WaitQueue>,
        options: &Settings,
    ) -> Result<Arc<Self>> {
        let stream = Self::new(network, queue, Phase::Asked);
        let head = NetRequest {
            op: NetOp::Connect as u32,
            id: stream.id,
            address: to_bytes(to.ip()),
            port: to.port(),
            protocol: TCP,
            ..NetRequest::default()
        };
        // Before it is asked for: the event may come before the reply.
        network.waiting.lock().insert(stream.id, Waiting::Stream(Arc::downgrade(&stream)));
        let reply = client::ask(head, made_before(options).as_bytes(), None);
        if !matches!(&reply, Ok(reply) if reply.state == STATE_PENDING) {
            network.waiting.lock().remove(&stream.id);
        }
        match reply {
            Ok(reply) if reply.state == STATE_DONE => {
                // It was made, and the host had no descriptor left for us.
                let fd = reply.passed.and_then(Passed::take).ok_or(ENOBUFS)?;
                stream.open(fd)?;
                Ok(stream)
            }
            Ok(_) => Ok(stream),
            // Refused at once by a host that answers for itself.
            Err(error) if is_answer(error) => {
                stream.fail(error.errno());
                Ok(stream)
            }
            Err(error) => Err(error),
        }
    }

    /// A connection that came from outside.
    pub fn accepted(network: &Arc<HostNetwork>, queue: &Arc<WaitQueue>, passed: Passed) -> Result<Arc<Self>> {
        let stream = Self::new(network, queue, Phase::Asked);
        stream.met.store(true, Ordering::Release);
        stream.open(passed.take().ok_or(Error::Io)?)?;
        Ok(stream)
    }

    /// The descriptor is ours from here on.
    fn open(&self, fd: HostFd) -> Result<()> {
        let passed = Passed::new(fd);
        let network = self.network.upgrade().ok_or(Error::Io)?;
        {
            let mut phase = self.phase.lock();
            if *phase == Phase::Gone {
                return Err(ENOTCONN);
            }
            if let Some(fd) = passed.take() {
                self.fd.store(fd.0, Ordering::Release);
            }
            *phase = Phase::Open;
        }
        // It may be there already, or refused.
        self.look_again();
        // Many connections are only ever waited for in the host's poll.
        let rests = self.met.load(Ordering::Acquire);
        let events = if rests { QUIET_EVENTS } else { ALL_EVENTS };
        let token = network.watch(fd, events, Watcher::Stream(self.own.clone()));
        let token = token.inspect_err(|_| self.fail(Errno::ECONNRESET.0))?;
        self.token.store(token, Ordering::Release);
        if rests {
            self.begin_rest();
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<HostFd> {
        Some(HostFd(self.fd.load(Ordering::Acquire))).filter(|fd| fd.0 >= 0)
    }

    fn fail(&self, error: i32) {
        self.error.store(error, Ordering::Release);
        *self.phase.lock() = Phase::Gone;
        self.shut.store(SHUT_READ | SHUT_WRITE, Ordering::Release);
        self.queue.notify(ALL);
    }

    /// In the supervisor: the broker says what became of it. `true`: it will say more.
    pub fn told(&self, error: i32, passed: Option<Passed>) -> bool {
        if error != 0 {
            self.fail(error);
            return false;
        }
        let Some(fd) = passed.and_then(Passed::take) else {
            let mut phase = self.phase.lock();
            if *phase == Phase::Asked {
                *phase = Phase::First;
                self.met.store(true, Ordering::Release);
            }
            drop(phase);
            self.queue.notify(WRITABLE);
            return true;
        };
        self.met.store(true, Ordering::Release);
        if self.open(fd).is_err() {
            self.fail(Errno::ECONNRESET.0);
        }
        false
    }

    /// In the supervisor: the host says what its socket is ready for.
    pub fn changed(&self, events: u16) {
        self.look_again();
        let observed = !self.queue.is_empty();
        self.queue.notify(widened(Events::from_bits_truncate(events.into())));
        self.rest(observed);
    }

    /// Changes what the supervisor hears of.
    fn rewatch(&self, fd: HostFd, events: Events) {
        // Refused only when it is not watched any more.
        let _ = host().host_rewatch(fd, events.bits() as u16, self.token.load(Ordering::Acquire));
    }

    /// In the supervisor: when nobody waited to be told, time and again, it does not want to hear of each message any
    /// more. It would wake up for every one, and take a processor from whoever waits in the host's poll.
    fn rest(&self, observed: bool) {
        if observed {
            self.unheard.store(0, Ordering::Relaxed);
            return;
        }
        if self.unheard.fetch_add(1, Ordering::Relaxed) < MOST_UNHEARD {
            return;
        }
        let Some(fd) = self.descriptor() else { return };
        self.rewatch(fd, QUIET_EVENTS);
        self.begin_rest();
    }

    /// The supervisor hears of quiet events alone.
    fn begin_rest(&self) {
        self.resting.store(true, Ordering::SeqCst);
        // Who came before that line did not see it.
        if !self.queue.is_empty() {
            self.observed();
        }
    }

    /// Asks the host what its socket is ready for.
    fn look_again(&self) {
        let Some(fd) = self.descriptor() else { return };
        let learned = (0..MOST_LOOKS).any(|_| {
            let seen = self.readiness.look();
            let now = host().host_poll(fd, ALL_EVENTS.bits() as u16);
            now.is_ok_and(|now| self.readiness.learn(seen, now))
        });
        if learned {
            self.written.store(0, Ordering::Relaxed);
        } else {
            self.readiness.doubt();
        }
        self.settle();
    }

    /// Whether a connection that was asked for exists now, or failed.
    fn settle(&self) {
        if self.met.load(Ordering::Acquire) {
            return;
        }
        let (events, Some(fd)) = (self.readiness.look().events(), self.descriptor()) else { return };
        if events.intersects(Events::ERR | Events::HUP) {
            let error = client::number_option(fd, SOL_SOCKET, SO_ERROR).unwrap_or(Errno::ECONNRESET.0);
            if error != 0 {
                self.error.store(error, Ordering::Release);
            }
            self.shut.store(SHUT_READ | SHUT_WRITE, Ordering::Release);
            *self.phase.lock() = Phase::Gone;
        } else if events.contains(Events::OUT) {
            self.met.store(true, Ordering::Release);
        }
    }

    /// What is kept of its readiness, true now.
    fn fresh_events(&self) -> Events {
        if self.readiness.look().is_doubtful() || self.resting.load(Ordering::SeqCst) {
            self.look_again();
        }
        self.readiness.look().events()
    }

    fn is_shut(&self, bit: u8) -> bool {
        self.shut.load(Ordering::Acquire) & bit != 0
    }

    /// Why nothing can be sent or received, if that is so.
    fn check(&self, otherwise: Error) -> Result<()> {
        match self.take_pending() {
            0 => {}
            error => return Err(Error::reported(error)),
        }
        if *self.phase.lock() == Phase::Gone { Err(otherwise) } else { Ok(()) }
    }

    fn take_pending(&self) -> i32 {
        self.error.swap(0, Ordering::AcqRel)
    }

    /// Sends what the broker wants to see.
    fn send_first(&self, source: &mut Source<'_>) -> Result<usize> {
        // Held while guest memory is touched, so that what is written first stays in order; never taken by a fault.
        let mut phase = self.phase.lock();
        match *phase {
            Phase::First => {}
            // One that has just become ours is sent to by the next try.
            Phase::Asked | Phase::Handing | Phase::Open => return Err(Error::WouldBlock),
            Phase::Gone => return Err(Error::BrokenPipe),
        }
        let len = source.remaining().min(MAX_FIRST);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Error::NoMemory)?;
        bytes.resize(len, 0);
        source.take_whole(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let head = NetRequest { op: NetOp::First as u32, id: self.id, ..NetRequest::default() };
        let reply = match client::ask(head, &bytes, None) {
            Ok(reply) => reply,
            Err(error) => {
                *phase = Phase::Gone;
                drop(phase);
                self.shut.store(SHUT_READ | SHUT_WRITE, Ordering::Release);
                self.forget();
                // What is written here is taken; the peer's reset is heard of by the next call.
                self.error.store(error.errno(), Ordering::Release);
                self.queue.notify(ALL);
                return Ok(len);
            }
        };
        match (reply.state, reply.passed.and_then(Passed::take)) {
            (STATE_DONE, Some(fd)) => {
                *phase = Phase::Handing;
                drop(phase);
                self.forget();
                self.open(fd)?;
            }
            (STATE_PENDING, _) => *phase = Phase::Handing,
            _ => {}
        }
        Ok(len)
    }

    /// The broker tells nothing of it any more.
    fn forget(&self) {
        if let Some(network) = self.network.upgrade() {
            network.waiting.lock().remove(&self.id);
        }
    }

    fn receive_pieces(&self, fd: HostFd, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<usize> {
        let peek = flags.contains(MessageFlags::MSG_PEEK);
        let mut done = 0;
        while let Some(piece) = dest.piece()? {
            let seen = self.readiness.look();
            // SAFETY: a piece is checked guest memory, or kernel memory that the cursor borrows.
            let got = unsafe { host().host_receive(fd, piece.addr, piece.len, flags.bits()) };
            let n = match got {
                Ok(n) => n.min(piece.len),
                Err(Error::WouldBlock) => {
                    if !flags.contains(MessageFlags::MSG_OOB) && !self.readiness.clear(seen, Events::IN) && done == 0 {
                        continue;
                    }
                    return if done > 0 { Ok(done) } else { Err(Error::WouldBlock) };
                }
                Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
            };
            dest.advance(n);
            done += n;
            if n < piece.len {
                if n == 0 || peek {
                    self.readiness.doubt();
                } else if !seen.events().intersects(Events::RDHUP | Events::HUP | Events::ERR) {
                    self.readiness.clear(seen, Events::IN);
                }
                return Ok(done);
            }
            self.readiness.doubt();
            if peek {
                return Ok(done);
            }
        }
        Ok(done)
    }

    /// Sends all but the last byte as ever, and that one, urgent, by the broker.
    fn send_urgent(&self, fd: HostFd, source: &mut Source<'_>) -> Result<usize> {
        let done = self.send_pieces(fd, source, 1)?;
        if source.remaining() != 1 {
            return Ok(done);
        }
        let mut last = [0];
        let sent = source.peek_whole(&mut last).and_then(|()| client::send_urgent(fd, last[0]));
        match sent {
            Ok(()) => {
                source.advance(1);
                Ok(done + 1)
            }
            Err(_) if done > 0 => Ok(done),
            Err(error) => Err(error),
        }
    }

    /// Sends what fits, but for the last bytes, which are `kept`.
    fn send_pieces(&self, fd: HostFd, source: &mut Source<'_>, kept: usize) -> Result<usize> {
        let mut done = 0;
        while let Some(piece) = source.piece()? {
            let len = piece.len.min(source.remaining().saturating_sub(kept));
            if len == 0 {
                return Ok(done);
            }
            let seen = self.readiness.look();
            // SAFETY: a piece is checked guest memory, or kernel memory that the cursor borrows.
            let sent = unsafe { host().host_send(fd, piece.addr, len) };
            let n = match sent {
                Ok(n) => n.min(len),
                Err(Error::WouldBlock) => {
                    if !self.readiness.clear(seen, Events::OUT) && done == 0 {
                        continue;
                    }
                    return if done > 0 { Ok(done) } else { Err(Error::WouldBlock) };
                }
                Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
            };
            source.advance(n);
            done += n;
            if n < len {
                self.readiness.clear(seen, Events::OUT);
                return Ok(done);
            }
            if self.written.fetch_add(n, Ordering::Relaxed).saturating_add(n) > MUCH {
                self.readiness.doubt();
            }
        }
        Ok(done)
    }

    fn queued(&self, request: u32) -> usize {
        let Some(fd) = self.descriptor() else { return 0 };
        let mut count = 0i32;
        // SAFETY: both requests write one `int`.
        let asked = unsafe { host().host_ioctl(fd, request, (&raw mut count) as usize) };
        asked.map_or(0, |_| usize::try_from(count).unwrap_or(0))
    }
}

/// Whether an error is the other end's, or the network's: the socket has it then.
fn is_answer(error: Error) -> bool {
    const ECONNREFUSED: i32 = 111;
    const EHOSTUNREACH: i32 = 113;
    matches!(error.errno(), ECONNREFUSED | EHOSTUNREACH)
}

/// The poll bits of the host, with those that Linux says beside them.
fn widened(events: Events) -> Events {
    let mut all = events;
    all.set(Events::RDNORM, events.contains(Events::IN));
    all.set(Events::WRNORM, events.contains(Events::OUT));
    all
}

impl StreamCarrier for HostStream {
    fn state(&self) -> TcpState {
        let phase = *self.phase.lock();
        if phase == Phase::Gone {
            return TcpState::Closed;
        }
        if !self.met.load(Ordering::Acquire) {
            return TcpState::SynSent;
        }
        let events = self.readiness.look().events();
        if events.contains(Events::HUP) {
            TcpState::Closed
        } else if self.is_shut(SHUT_WRITE) {
            TcpState::FinWait2
        } else if events.contains(Events::RDHUP) && !self.is_shut(SHUT_READ) {
            TcpState::CloseWait
        } else {
            TcpState::Established
        }
    }
    fn send(&self, source: &mut Source<'_>, flags: MessageFlags) -> Result<usize> {
        self.check(Error::BrokenPipe)?;
        if self.is_shut(SHUT_WRITE) {
            return Err(Error::BrokenPipe);
        }
        match self.descriptor() {
            Some(fd) if flags.contains(MessageFlags::MSG_OOB) => self.send_urgent(fd, source),
            Some(fd) => self.send_pieces(fd, source, 0),
            // Nothing is urgent before the connection is ours.
            None if flags.contains(MessageFlags::MSG_OOB) => Err(Error::WouldBlock),
            None => self.send_first(source),
        }
    }
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<usize> {
        const HEEDED: MessageFlags = MessageFlags::MSG_PEEK.union(MessageFlags::MSG_OOB).union(MessageFlags::MSG_TRUNC);
        let Some(fd) = self.descriptor().filter(|_| self.met.load(Ordering::Acquire)) else {
            return match self.check(ENOTCONN) {
                Err(ENOTCONN) => Ok(0),
                Err(error) => Err(error),
                Ok(()) if self.is_shut(SHUT_READ) => Ok(0),
                Ok(()) => Err(Error::WouldBlock),
            };
        };
        self.receive_pieces(fd, dest, flags & HEEDED)
    }
    fn ready(&self) -> Events {
        match *self.phase.lock() {
            Phase::Asked | Phase::Handing => return Events::empty(),
            Phase::First => return WRITABLE,
            Phase::Gone => {
                let mut all = ALL - Events::PRI;
                all.set(Events::ERR, self.error.load(Ordering::Acquire) != 0);
                return all;
            }
            Phase::Open => {}
        }
        let events = widened(self.fresh_events());
        if self.met.load(Ordering::Acquire) { events } else { events & (Events::ERR | Events::HUP) }
    }
    fn shutdown(&self, how: Shut) -> Result<()> {
        let bits =
            (u8::from(how.contains(Shut::READ)) * SHUT_READ) | (u8::from(how.contains(Shut::WRITE)) * SHUT_WRITE);
        let Some(fd) = self.descriptor() else {
            // Without a first flight there will be no connection.
            if *self.phase.lock() == Phase::Gone {
                return Err(ENOTCONN);
            }
            if bits & SHUT_WRITE != 0 {
                self.close(Closing::Reset);
            }
            self.shut.fetch_or(bits, Ordering::AcqRel);
            return Ok(());
        };
        let how = match bits {
            SHUT_READ => 0,
            SHUT_WRITE => 1,
            _ => 2,
        };
        client::shut(fd, how)?;
        self.shut.fetch_or(bits, Ordering::AcqRel);
        self.look_again();
        Ok(())
    }
    fn close(&self, how: Closing) {
        let mut phase = self.phase.lock();
        let before = core::mem::replace(&mut *phase, Phase::Gone);
        drop(phase);
        match before {
            Phase::Asked | Phase::First | Phase::Handing => {
                self.forget();
                client::tell(NetOp::Forget, self.id, 0);
            }
            Phase::Open if how == Closing::Reset => {
                const ON_AND_AT_ONCE: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];
                if let Some(fd) = self.descriptor() {
                    // Without it the other end sees an end.
                    let _ = client::set_option(fd, SOL_SOCKET, SO_LINGER, &ON_AND_AT_ONCE);
                }
            }
            Phase::Open | Phase::Gone => {}
        }
    }
    fn take_error(&self) -> i32 {
        match self.take_pending() {
            0 => {}
            error => return error,
        }
        let failing = self.readiness.look().events().contains(Events::ERR);
        let fd = self.descriptor().filter(|_| failing && self.met.load(Ordering::Acquire));
        fd.map_or(0, |fd| client::number_option(fd, SOL_SOCKET, SO_ERROR).unwrap_or(0))
    }
    fn readable(&self) -> usize {
        self.queued(FIONREAD)
    }
    fn unsent(&self) -> usize {
        self.queued(TIOCOUTQ)
    }
    fn option_changed(&self, of: Setting, options: &Settings) {
        if let (Some(fd), Some((level, name))) = (self.descriptor(), numbers_of(of)) {
            // What the host refuses is kept here, and told.
            let _ = client::set_option(fd, level, name, &value_of(of, options).to_ne_bytes());
        }
    }
    fn observed(&self) {
        if !self.resting.load(Ordering::SeqCst) {
            return;
        }
        let Some(fd) = self.descriptor() else { return };
        self.unheard.store(0, Ordering::Relaxed);
        // In this order: a process that is killed in between leaves a socket that is watched.
        self.rewatch(fd, ALL_EVENTS);
        self.readiness.doubt();
        self.resting.store(false, Ordering::SeqCst);
    }
    fn wait(&self, interest: Events, deadline: Option<Instant>) -> Option<Result<()>> {
        let fd = self.descriptor().filter(|_| self.met.load(Ordering::Acquire))?;
        let asked = interest & (Events::IN | Events::OUT | Events::PRI | Events::RDHUP);
        Some(host().host_wait(fd, asked.bits() as u16, deadline).map(drop))
    }
}

impl Drop for HostStream {
    fn drop(&mut self) {
        if let Some(network) = self.network.upgrade() {
            network.forget_watch(*self.token.get_mut());
        }
        if let Some(fd) = self.descriptor() {
            host().host_close(fd);
        }
    }
}
