//! A socket that accepts connections, and those that wait for that.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use core::net::SocketAddr;
use core::sync::atomic::Ordering;

use super::connected::Connected;
use super::fresh::server_options;
use super::{BoundName, Role, Seat, State, TcpSocket};
use crate::event::{Events, WaitQueue};
use crate::net::Settings;
use crate::net::inet::carrier::local::LocalEnd;
use crate::net::inet::carrier::{Closing, Datagram, Inlet, Outlet, StreamCarrier};
use crate::net::inet::{FREE_PORTS, Network, claim};
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

struct Waiting {
    limit: usize,
    children: VecDeque<Child>,
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
        self.children.len() > self.limit
    }
}

impl Listener {
    pub fn new(socket: &TcpSocket, backlog: i32) -> Arc<Self> {
        let (children, stalled) = (VecDeque::new(), VecDeque::new());
        let waiting = Mutex::new(Waiting { limit: limit_of(backlog), children, stalled, open: true });
        let (queue, network, options) = (socket.queue.clone(), socket.network.clone(), server_options(&socket.options));
        Arc::new(Self { waiting, queue, network, six: socket.six, uid: socket.uid, options })
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
        if self.waiting.lock().children.is_empty() { Events::empty() } else { READABLE }
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
        let admitted = self.admit(stalled);
        if let Some(child) = admitted {
            waiting.children.push_back(child);
        }
        drop(waiting);
        self.queue.notify(READABLE);
        own
    }
    /// A connection comes about. `None`: there is one between these ends already.
    fn admit(&self, asking: Stalled) -> Option<Child> {
        let Stalled { server, client: _, ends, queue } = asking;
        let carrier: Arc<dyn StreamCarrier> = server.clone();
        let seat = Seat::new((self.six, self.uid), 0, Role::Connected(Arc::downgrade(&carrier)));
        let claim = claim(self.six, &self.options, ends.0.ip(), self.uid, false);
        let weak = Arc::downgrade(&seat);
        let Ok(held) = self.network.tcp.connect(ends.0.port(), claim, ends.1, FREE_PORTS, &weak) else {
            server.close(Closing::Reset);
            return None;
        };
        server.establish();
        self.network.counters.tcp_passive_opens.count();
        Some(Child { carrier, local: Some(server), ends, queue, place: BoundName { held, seat } })
    }

    /// accept(2) on `socket`; the new one gets this inode number.
    pub fn accept(&self, socket: &TcpSocket, outlet: Option<&Arc<dyn Outlet>>, ino: u64) -> Result<Arc<TcpSocket>> {
        let mut waiting = self.waiting.lock();
        let Some(child) = waiting.children.pop_front() else {
            return Err(if waiting.open { Error::WouldBlock } else { Error::Invalid });
        };
        self.let_in(&mut waiting);
        drop(waiting);
        let Child { carrier, local, ends, queue, place } = child;
        if let Some(outlet) = outlet.filter(|_| local.is_none()) {
            outlet.accepted();
        }
        place.seat.ino.store(ino, Ordering::Relaxed);
        let connected = Connected { carrier, local, ends, place, bound: None, untold: false };
        let accepted = TcpSocket::with(&self.network, self.six, socket.uid, ino, State::Connected(connected), queue);
        accepted.options.copy(&socket.options);
        Ok(accepted)
    }
    /// Those who found no room and still want in come in now.
    fn let_in(&self, waiting: &mut Waiting) {
        while !waiting.is_full() {
            let Some(stalled) = waiting.stalled.pop_front() else { return };
            let wants = stalled.client.upgrade().is_some_and(|client| client.is_waiting());
            if let Some(child) = wants.then(|| self.admit(stalled)).flatten() {
                waiting.children.push_back(child);
            }
        }
    }
    /// Nothing is accepted any more: those who wait are turned away.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.open = false;
        let children = core::mem::take(&mut waiting.children);
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
