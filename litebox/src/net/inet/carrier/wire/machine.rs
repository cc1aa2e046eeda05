//! The state machine of a connection by packets: smoltcp's, and what it does not know.

use alloc::sync::Weak;
use alloc::vec::Vec;
use core::time::Duration;

use litebox_common_linux::Errno;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::{HardwareAddress, IpCidr};

use super::Ends;
use super::device::{Way, Wire};
use super::urgent::{Receiving, Sending};
use crate::Result;
use crate::error::errno::ENOBUFS;
use crate::event::Events;
use crate::net::inet::carrier::Inlet;
use crate::net::{Setting, Settings, Shut};
use crate::platform::{Instant, host};

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);

/// How long somebody who asked for a connection may take to confirm it.
const EMBRYO_LIFE: Duration = Duration::from_secs(63);
/// How long data may wait for their acknowledgement (net.ipv4.tcp_retries2).
const PATIENCE: Duration = Duration::from_secs(924);
/// How long a connection that nobody has open waits for its peer's end (net.ipv4.tcp_fin_timeout).
const ORPHAN_LIFE: Duration = Duration::from_secs(60);
/// How often a peer without room is asked.
const PROBE: Duration = Duration::from_millis(500);
/// How long an incomplete segment is held back (TCP_CORK).
const CORKED: Duration = Duration::from_millis(200);
/// What a peer takes that does not say what it takes (RFC 9293).
pub(super) const SEGMENT_UNSAID: u16 = 536;

/// What the program asked of the connection.
#[derive(Clone, Copy)]
pub(super) struct Wishes {
    /// Before the first probe, between probes, and how many are not answered (SO_KEEPALIVE).
    pub keep_alive: Option<(Duration, Duration, u32)>,
    /// TCP_USER_TIMEOUT.
    pub patience: Duration,
    /// How long it waits to be established (TCP_SYNCNT).
    pub establish: Duration,
    pub corked: bool,
    pub nodelay: bool,
    pub tos: u8,
    pub lowat: usize,
}

impl Wishes {
    fn of(options: &Settings, six: bool) -> Self {
        let number = |of| u64::try_from(options.get(of)).unwrap_or(0);
        let seconds = |of| Duration::from_secs(number(of));
        let probes = u32::try_from(options.get(Setting::KeepCount)).unwrap_or(0);
        let keep_alive = (seconds(Setting::KeepIdle), seconds(Setting::KeepInterval), probes);
        let patience = Some(number(Setting::UserTimeout)).filter(|ms| *ms > 0).map_or(PATIENCE, Duration::from_millis);
        // Each wait is twice as long as the one before it.
        let tries = options.get(Setting::SynCount).clamp(0, 20) as u32;
        let tos = options.get(if six { Setting::TrafficClass } else { Setting::Tos });
        Self {
            keep_alive: options.is_on(Setting::KeepAlive).then_some(keep_alive),
            patience,
            establish: Duration::from_secs((2u64 << tries) - 1),
            nodelay: options.is_on(Setting::NoDelay),
            corked: options.is_on(Setting::Cork),
            tos: u8::try_from(tos).unwrap_or(0),
            lowat: usize::try_from(options.get(Setting::ReceiveLowat)).unwrap_or(1).max(1),
        }
    }
}

/// The state machine, and what it does not know.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Core {
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    pub handle: SocketHandle,
    /// Bytes that the peer takes in one segment.
    pub segment: u16,
    pub error: i32,
    pub shut: Shut,
    /// It was established.
    pub met: bool,
    /// The peer sends nothing more.
    pub finished: bool,
    /// Nobody has it open.
    pub closed: bool,
    /// The program found no room to send.
    pub starved: bool,
    /// Whom it is for, until it is established.
    pub inlet: Option<Weak<dyn Inlet>>,
    pub wishes: Wishes,
    /// More is to follow what was sent last (MSG_MORE).
    pub more: bool,
    pub began: Instant,
    /// When the peer was last heard.
    pub heard: Instant,
    /// When nobody had it open any more.
    pub left: Instant,
    /// What is urgent of what is sent, and of what comes.
    pub sending: Sending,
    pub receiving: Receiving,
    /// Since when what was sent waits, and how much of it there was then.
    pub waits: Option<(Instant, usize)>,
}

/// What those who wait may see of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub state: tcp::State,
    pub readable: usize,
    pub unsent: usize,
}

/// The time as smoltcp has it.
pub(super) fn tick(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now.0 / 1000).unwrap_or(i64::MAX))
}

fn room(size: usize) -> Result<tcp::SocketBuffer<'static>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| ENOBUFS)?;
    bytes.resize(size, 0u8);
    Ok(tcp::SocketBuffer::new(bytes))
}

impl Core {
    pub fn new(ends: Ends, options: &Settings, most_buffer: usize, way: Way, now: Instant) -> Result<Self> {
        let six = ends.0.is_ipv6();
        let size = |of| {
            let set = usize::try_from(options.get(of)).unwrap_or(0) / 2;
            if set > 0 { set.clamp(4096, most_buffer) } else { most_buffer }
        };
        let mut socket = tcp::Socket::new(room(size(Setting::ReceiveBuffer))?, room(size(Setting::SendBuffer))?);
        socket.set_ack_delay(None);
        let mut config = Config::new(HardwareAddress::Ip);
        let mut seed = [0u8; 8];
        host().random(&mut seed);
        config.random_seed = u64::from_ne_bytes(seed);
        let mut sending = Sending::default();
        let mut device = Wire { incoming: None, scratch: &mut Vec::new(), way, sending: &mut sending };
        let mut interface = Interface::new(config, &mut device, tick(now));
        interface.update_ip_addrs(|own| {
            // There is room for one.
            let _ = own.push(IpCidr::new(ends.0.ip().into(), if six { 128 } else { 32 }));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        let mut core = Self {
            interface,
            sockets,
            handle,
            segment: SEGMENT_UNSAID,
            error: 0,
            shut: Shut::empty(),
            met: false,
            finished: false,
            closed: false,
            starved: false,
            inlet: None,
            wishes: Wishes::of(options, six),
            began: now,
            heard: now,
            left: now,
            more: false,
            sending,
            receiving: Receiving::default(),
            waits: None,
        };
        core.heed(options, six);
        Ok(core)
    }
    pub fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
    pub fn look(&self) -> &tcp::Socket<'static> {
        self.sockets.get(self.handle)
    }
    /// The byte that comes next is left out.
    pub fn skip(&mut self) {
        // An empty queue leaves nothing out.
        if self.socket().recv(|bytes| (bytes.len().min(1), bytes.is_empty())) == Ok(false) {
            self.receiving.advance(1);
        }
    }
    pub fn heed(&mut self, options: &Settings, six: bool) {
        self.wishes = Wishes::of(options, six);
        self.receiving.inline = options.is_on(Setting::OobInline);
        let nagle = !self.wishes.nodelay;
        let hops = options.get(if six { Setting::UnicastHops } else { Setting::Ttl });
        let hops = u8::try_from(hops).ok().filter(|hops| *hops > 0);
        let socket = self.socket();
        socket.set_nagle_enabled(nagle);
        socket.set_hop_limit(hops);
        self.set_probes();
    }
    pub fn view(&self) -> View {
        let socket = self.look();
        View { state: socket.state(), readable: socket.recv_queue(), unsent: socket.send_queue() }
    }
    /// Lets smoltcp ask a silent peer: one that has no room, or whom the program wants to be asked.
    pub fn set_probes(&mut self) {
        let heard = self.heard;
        let blocked = self.look().send_queue() > 0;
        let interval = match self.wishes.keep_alive {
            _ if blocked => Some(PROBE),
            Some((idle, between, _)) => {
                let silent = host().instant().saturating_since(heard);
                Some(if silent < idle { idle } else { between })
            }
            None => None,
        };
        let interval = interval.map(|interval| smoltcp::time::Duration::from_micros(interval.as_micros() as u64));
        let socket = self.socket();
        if socket.keep_alive() != interval {
            socket.set_keep_alive(interval);
        }
    }
    /// Whether the program can send: as much is free as half of what waits.
    pub fn is_writable(&self) -> bool {
        let socket = self.look();
        let (waits, all) = (socket.send_queue(), socket.send_capacity());
        all > waits && all - waits >= waits / 2
    }
    pub fn is_readable(&self) -> bool {
        let socket = self.look();
        let hidden = usize::from(self.receiving.skips());
        let waits = socket.recv_queue();
        waits >= self.wishes.lowat.saturating_add(hidden) || waits > hidden && waits == socket.recv_capacity()
    }
    pub fn fail(&mut self, error: i32) {
        if self.error == 0 {
            self.error = error;
        }
        self.shut = Shut::all();
    }
    pub fn ready(&self) -> Events {
        let state = self.look().state();
        let mut events = Events::empty();
        let closed = state == tcp::State::Closed;
        events.set(Events::HUP, closed || self.shut == Shut::all());
        events.set(Events::ERR, self.error != 0);
        if matches!(state, tcp::State::SynSent | tcp::State::SynReceived | tcp::State::Listen) {
            return events;
        }
        events.set(READABLE | Events::RDHUP, self.shut.contains(Shut::READ));
        if self.is_readable() {
            events |= READABLE;
        }
        events.set(Events::PRI, self.receiving.is_there());
        if self.shut.contains(Shut::WRITE) || self.is_writable() {
            events |= WRITABLE;
        }
        events
    }
    /// Notes what became of the state machine.
    pub fn follow(&mut self, before: tcp::State) {
        let now = self.look().state();
        match now {
            tcp::State::Established | tcp::State::FinWait1 | tcp::State::FinWait2 => self.met = true,
            tcp::State::CloseWait | tcp::State::LastAck | tcp::State::Closing | tcp::State::TimeWait => {
                (self.met, self.finished) = (true, true);
                self.shut |= Shut::READ;
            }
            _ => {}
        }
        if now == before || now != tcp::State::Closed {
            return;
        }
        match before {
            tcp::State::LastAck | tcp::State::TimeWait => self.shut = Shut::all(),
            tcp::State::SynSent => self.fail(Errno::ECONNREFUSED.0),
            tcp::State::CloseWait => self.fail(Errno::EPIPE.0),
            _ => self.fail(Errno::ECONNRESET.0),
        }
    }
    /// What was sent moves on, or not.
    pub fn note_progress(&mut self, now: Instant) {
        let unsent = self.look().send_queue();
        self.waits = match self.waits {
            _ if unsent == 0 => None,
            Some((since, before)) if unsent >= before => Some((since, unsent)),
            _ => Some((now, unsent)),
        };
        self.set_probes();
    }
    /// Why it has to end now, if it has to.
    pub fn overdue(&self, now: Instant) -> Option<i32> {
        let since = |then: Instant| now.saturating_since(then);
        let state = self.look().state();
        match state {
            tcp::State::SynReceived | tcp::State::Listen => {
                (since(self.began) >= EMBRYO_LIFE).then_some(Errno::ETIMEDOUT.0)
            }
            tcp::State::SynSent => (since(self.began) >= self.wishes.establish).then_some(Errno::ETIMEDOUT.0),
            tcp::State::FinWait2 if self.closed && since(self.left) >= ORPHAN_LIFE => Some(0),
            _ => {
                let stuck = self.waits.is_some_and(|(then, _)| since(then) >= self.wishes.patience);
                let silent = self.wishes.keep_alive.is_some_and(|(idle, between, probes)| {
                    since(self.heard) >= idle.saturating_add(between.saturating_mul(probes))
                });
                (self.met && state != tcp::State::Closed && (stuck || silent)).then_some(Errno::ETIMEDOUT.0)
            }
        }
    }
    /// When it may have to end.
    pub fn deadline(&self) -> Option<Instant> {
        match self.look().state() {
            tcp::State::Closed => None,
            tcp::State::SynReceived | tcp::State::Listen => Some(self.began.saturating_add(EMBRYO_LIFE)),
            tcp::State::SynSent => Some(self.began.saturating_add(self.wishes.establish)),
            tcp::State::FinWait2 if self.closed => Some(self.left.saturating_add(ORPHAN_LIFE)),
            _ => {
                let stuck = self.waits.map(|(then, _)| then.saturating_add(self.wishes.patience));
                let silent = self.wishes.keep_alive.map(|(idle, between, probes)| {
                    self.heard.saturating_add(idle.saturating_add(between.saturating_mul(probes)))
                });
                [stuck, silent].into_iter().flatten().min()
            }
        }
    }

    /// Whether what fills no segment is kept back.
    pub fn keeps_back(&self) -> bool {
        (self.wishes.corked || self.more) && !self.shut.contains(Shut::WRITE) && !self.closed
    }

    /// When it wants to be looked at next.
    pub fn next_look(&mut self, now: Instant) -> Option<Instant> {
        let deadline = self.deadline();
        let corked = (self.keeps_back() && self.look().send_queue() > 0).then(|| now.saturating_add(CORKED));
        let Core { interface, sockets, .. } = self;
        let asked = interface.poll_at(tick(now), sockets).map(|at| {
            let at = Instant(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000));
            at.max(now.saturating_add(Duration::from_millis(1)))
        });
        // What is held back would be asked for at once.
        let asked = asked.filter(|_| corked.is_none());
        [deadline, corked, asked].into_iter().flatten().min()
    }
}
