//! A socket that accepts connections, and those that wait for that.
//!
//! Who finds no room waits as who got no answer to a SYN does. With TCP_DEFER_ACCEPT, a connection is the client's at
//! once and the listener's when it has something to read, or after as long as the option says.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;

use super::connected::Connected;
use super::fresh::server_options;
use super::{BoundName, Role, Seat, State, TcpSocket};
use crate::event::{Events, Observer, WaitQueue, WakeResult};
use crate::net::inet::carrier::local::LocalEnd;
use crate::net::inet::carrier::{Closing, Datagram, Inlet, Outlet, StreamCarrier, TcpState};
use crate::net::inet::{FREE_PORTS, Network, claim};
use crate::net::{Setting, Settings};
use crate::platform::{Instant, host};
use crate::sync::Mutex;
use crate::{Error, Result};

const READABLE: Events = Events::IN.union(Events::RDNORM);
/// The most connections that may wait to be accepted (net.core.somaxconn).
const MOST_WAITING: usize = 4096;

/// A socket that accepts connections.
pub(super) struct Listening {
    pub place: BoundName,
    pub listener: Arc<Listener>,
    /// What it has outside.
    pub outlet: Option<Arc<dyn Outlet>>,
}

/// A connection that nobody accepted yet.
struct Child {
    carrier: Arc<dyn StreamCarrier>,
    local: Option<Arc<LocalEnd>>,
    ends: (SocketAddr, SocketAddr),
    queue: Arc<WaitQueue>,
    place: BoundName,
}

/// Somebody who wants to be connected and found no room.
struct Stalled {
    server: Arc<LocalEnd>,
    client: Weak<LocalEnd>,
    ends: (SocketAddr, SocketAddr),
    queue: Arc<WaitQueue>,
}

/// A connection that has nothing to read yet (TCP_DEFER_ACCEPT).
struct Deferred {
    child: Child,
    /// It is accepted then even so.
    until: Instant,
}

struct Waiting {
    limit: usize,
    children: VecDeque<Child>,
    deferred: VecDeque<Deferred>,
    stalled: VecDeque<Stalled>,
    open: bool,
}

/// What connects ask.
pub(super) struct Listener {
    waiting: Mutex<Waiting>,
    /// Those who wait for the listening socket.
    queue: Arc<WaitQueue>,
    network: Arc<Network>,
    six: bool,
    uid: u32,
    /// The listening socket's options when it began.
    options: Settings,
}

fn limit_of(backlog: i32) -> usize {
    usize::try_from(backlog).unwrap_or(MOST_WAITING).min(MOST_WAITING)
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.children.len() > self.limit || self.deferred.len() > self.limit
    }
    /// Takes out a connection whose time to be accepted has come, if there is room for it.
    fn take_due(&mut self, now: Instant) -> Option<Child> {
        if self.children.len() > self.limit {
            return None;
        }
        let at = self.deferred.iter().position(|deferred| deferred.until <= now || deferred.child.has_something())?;
        self.deferred.remove(at).map(|deferred| deferred.child)
    }
}

impl Child {
    /// There is something to read, or nothing will come.
    fn has_something(&self) -> bool {
        self.carrier.readable() > 0 || self.carrier.ready().intersects(Events::RDHUP | Events::HUP | Events::ERR)
    }
}

impl Listener {
    pub fn new(socket: &TcpSocket, backlog: i32) -> Arc<Self> {
        let (children, deferred, stalled) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        let waiting = Mutex::new(Waiting { limit: limit_of(backlog), children, deferred, stalled, open: true });
        let (queue, network, options) = (socket.queue.clone(), socket.network.clone(), server_options(&socket.options));
        Arc::new(Self { waiting, queue, network, six: socket.six(), uid: socket.uid, options })
    }
    pub fn set_limit(&self, backlog: i32) {
        self.waiting.lock().limit = limit_of(backlog);
    }
    /// How many wait, and how many may.
    pub fn figures(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.children.len(), waiting.limit)
    }
    pub fn ready(&self) -> Events {
        let mut waiting = self.waiting.lock();
        Self::admit_due(&mut waiting);
        if waiting.children.is_empty() { Events::empty() } else { READABLE }
    }
    /// An option of the listening socket was set.
    pub fn heed(&self, options: &Settings) {
        self.options.copy(options);
    }
    /// Whether a connection may come to be accepted by the passing of time alone.
    pub fn is_timed(&self) -> bool {
        self.options.get(Setting::DeferAccept) > 0 || !self.waiting.lock().deferred.is_empty()
    }
    /// Has those accepted whose time has come; when the next one's will.
    pub fn expire(&self) -> Option<Instant> {
        let mut waiting = self.waiting.lock();
        let came = Self::admit_due(&mut waiting);
        let full = waiting.children.len() > waiting.limit;
        let next = waiting.deferred.iter().map(|deferred| deferred.until).min().filter(|_| !full);
        drop(waiting);
        if came {
            self.queue.notify(READABLE);
        }
        next
    }
    /// Whether any of those that had nothing to read can be accepted now.
    fn admit_due(waiting: &mut Waiting) -> bool {
        if waiting.deferred.is_empty() {
            return false;
        }
        let (before, now) = (waiting.children.len(), host().instant());
        while let Some(child) = waiting.take_due(now) {
            // One that was thrown away meanwhile never was.
            if let Some(local) = child.local.as_ref().filter(|local| local.state() != TcpState::Closed) {
                local.establish();
                waiting.children.push_back(child);
            }
        }
        waiting.children.len() > before
    }

    /// Somebody at `from` asks for a connection with `to`; his end of it.
    pub fn ask(
        self: &Arc<Self>,
        network: &Arc<Network>,
        client: (&Arc<WaitQueue>, &Settings),
        from: SocketAddr,
        to: SocketAddr,
    ) -> Arc<LocalEnd> {
        let queue = Arc::<WaitQueue>::default();
        let (own, server) = LocalEnd::pair(client, (&queue, &self.options), &network.memory);
        let ends = (to, from);
        let mut waiting = self.waiting.lock();
        if !waiting.open {
            drop(waiting);
            return LocalEnd::refused(client.0, client.1, &network.memory);
        }
        let stalled = Stalled { server, client: Arc::downgrade(&own), ends, queue };
        if waiting.is_full() {
            waiting.stalled.retain(|other| other.client.upgrade().is_some_and(|client| client.is_waiting()));
            waiting.stalled.push_back(stalled);
            return own;
        }
        let came = self.admit(&mut waiting, stalled);
        drop(waiting);
        if came {
            self.queue.notify(READABLE);
        }
        own
    }
    /// A connection comes about, unless there is one between these ends already. Whether it can be accepted now.
    fn admit(self: &Arc<Self>, waiting: &mut Waiting, asking: Stalled) -> bool {
        let Some(child) = self.child(asking) else { return false };
        self.network.counters.tcp_passive_opens.count();
        let seconds = u64::try_from(self.options.get(Setting::DeferAccept)).unwrap_or(0);
        let Some(local) = child.local.as_ref() else { return false };
        if seconds == 0 {
            local.establish();
            waiting.children.push_back(child);
            return true;
        }
        let observer: Arc<dyn Observer> = self.clone();
        child.queue.add(&observer, READABLE | Events::RDHUP);
        local.establish_other();
        let until = host().instant().saturating_add(Duration::from_secs(seconds));
        waiting.deferred.push_back(Deferred { child, until });
        false
    }
    /// The connection of somebody who asks. `None`: there is one between these ends already.
    fn child(&self, asking: Stalled) -> Option<Child> {
        let Stalled { server, client: _, ends, queue } = asking;
        let carrier: Arc<dyn StreamCarrier> = server.clone();
        let seat = Seat::new((self.six, self.uid), 0, Role::Connected(Arc::downgrade(&carrier)));
        let claim = claim(self.six, &self.options, ends.0.ip(), self.uid, false);
        let weak = Arc::downgrade(&seat);
        let Ok(held) = self.network.tcp.connect(ends.0.port(), claim, ends.1, FREE_PORTS, &weak) else {
            server.close(Closing::Reset);
            return None;
        };
        Some(Child { carrier, local: Some(server), ends, queue, place: BoundName { held, seat } })
    }

    /// accept(2) on `socket`; the new one gets this inode number.
    pub fn accept(
        self: &Arc<Self>,
        socket: &TcpSocket,
        outlet: Option<&Arc<dyn Outlet>>,
        ino: u64,
    ) -> Result<Arc<TcpSocket>> {
        let mut waiting = self.waiting.lock();
        let mut came = Self::admit_due(&mut waiting);
        let Some(child) = waiting.children.pop_front() else {
            return Err(if waiting.open { Error::WouldBlock } else { Error::Invalid });
        };
        came |= self.let_in(&mut waiting);
        drop(waiting);
        if came {
            self.queue.notify(READABLE);
        }
        let observer: Arc<dyn Observer> = self.clone();
        child.queue.remove(&observer);
        let Child { carrier, local, ends, queue, place } = child;
        if let Some(outlet) = outlet.filter(|_| local.is_none()) {
            outlet.accepted();
        }
        place.seat.ino.store(ino, Ordering::Relaxed);
        let connected = Connected { carrier, local, ends, place, bound: None, untold: false };
        let accepted = TcpSocket::with(&self.network, self.six, socket.uid, ino, State::Connected(connected), queue);
        accepted.options.copy(&socket.options);
        accepted.options.set(Setting::DeferAccept, 0);
        Ok(accepted)
    }
    /// Those who found no room and still want in come in now. Whether any can be accepted.
    fn let_in(self: &Arc<Self>, waiting: &mut Waiting) -> bool {
        let mut came = Self::admit_due(waiting);
        while !waiting.is_full() {
            let Some(stalled) = waiting.stalled.pop_front() else { break };
            if stalled.client.upgrade().is_some_and(|client| client.is_waiting()) {
                came |= self.admit(waiting, stalled);
            }
        }
        came
    }
    /// Nothing is accepted any more: those who wait are turned away.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.open = false;
        let mut children = core::mem::take(&mut waiting.children);
        children.extend(core::mem::take(&mut waiting.deferred).into_iter().map(|deferred| deferred.child));
        let stalled = core::mem::take(&mut waiting.stalled);
        drop(waiting);
        for child in children {
            child.carrier.close(Closing::Reset);
        }
        for asking in stalled {
            asking.server.close(Closing::Reset);
        }
        self.queue.notify(super::closed::ALL);
    }
}

/// It looks at connections that have nothing to read yet.
impl Observer for Listener {
    fn on_ready(&self, _events: Events) -> WakeResult {
        WakeResult { taken: true, asleep: true, leaves: false }
    }
    fn finish_wake(&self) {
        self.expire();
    }
}

impl Inlet for Listener {
    fn options(&self) -> &Settings {
        &self.options
    }
    fn datagram(&self, _datagram: &Datagram<'_>) {}
    fn undeliverable(&self, _to: SocketAddr, _error: i32) {}
    fn connection(
        &self,
        local: SocketAddr,
        peer: SocketAddr,
        queue: &Arc<WaitQueue>,
        carrier: Arc<dyn StreamCarrier>,
    ) -> core::result::Result<(), Arc<dyn StreamCarrier>> {
        let seat = Seat::new((self.six, self.uid), 0, Role::Connected(Arc::downgrade(&carrier)));
        let claim = claim(self.six, &self.options, local.ip(), self.uid, false);
        let held = self.network.tcp.connect(local.port(), claim, peer, FREE_PORTS, &Arc::downgrade(&seat));
        let Ok(held) = held else { return Err(carrier) };
        let mut waiting = self.waiting.lock();
        if !waiting.open || waiting.is_full() {
            return Err(carrier);
        }
        self.network.counters.tcp_passive_opens.count();
        let (place, queue) = (BoundName { held, seat }, queue.clone());
        waiting.children.push_back(Child { carrier, local: None, ends: (local, peer), queue, place });
        drop(waiting);
        self.queue.notify(READABLE);
        Ok(())
    }
    fn has_waiting(&self) -> bool {
        !self.waiting.lock().children.is_empty()
    }
    fn room(&self) -> usize {
        let waiting = self.waiting.lock();
        (waiting.limit + 1).saturating_sub(waiting.children.len())
    }
}
