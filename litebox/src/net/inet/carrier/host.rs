//! What leads out by sockets of the host. The broker makes them where its rules allow that, and passes them; here they
//! are read and written.
//!
//! - `client`: requests to the broker. `stream`: connections. `made`: their options. `flows`: datagrams, one socket of
//!   the host for each peer, and published ports.
//! - `names`: the sandbox's name server, which is this kernel: it takes questions apart and asks the broker.
//!   `name_stream`: the same over TCP.
//! - `readiness`: what a socket of the host is ready for, without asking the host.
//!
//! Sockets of the host never block. The supervisor watches each; what it hears ends here, in
//! [`HostNetwork::socket_ready`] and [`HostNetwork::event`].

mod client;
mod flows;
mod made;
mod name_stream;
mod names;
mod readiness;
mod stream;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};

use litebox_protocol::EventKind;
use litebox_protocol::net::{
    Answer, GUEST_V4, GUEST_V6, HOST_V4, HOST_V6, NetEvent, NetOp, NetRequest, OwnAddresses, Published, PublishedAs,
    RESOLVER_V4, STATE_PENDING, TCP, UDP, mapped,
};
use zerocopy::{FromBytes, IntoBytes};

use super::{Inlet, Outlet, Outside, Port, StreamCarrier};
use crate::event::{Events, WaitQueue};
use crate::net::{Settings, address};
use crate::platform::{HostFd, host};
use crate::sync::Mutex;
use crate::{Error, Result};

use flows::{Flow, HostOutlet};
use name_stream::NameStream;
use names::Asker;
use stream::HostStream;

/// For how many seconds the sandbox's own addresses may be kept.
const OWN_TTL: u32 = 60;
/// Port of a name server.
const DNS: u16 = 53;
/// Most connections that may wait on one port, here and at the broker.
const MOST_WAITING: u32 = 4096;
/// Tokens of watched sockets start here: those of the standard streams and terminals are small.
const FIRST_TOKEN: u64 = 1 << 40;

/// What the supervisor watches sockets for.
const ALL_EVENTS: Events = QUIET_EVENTS.union(Events::IN).union(Events::OUT);
/// The same while nobody waits to be told by it.
const QUIET_EVENTS: Events = Events::PRI.union(Events::RDHUP);

/// Who hears of a socket of the host.
#[derive(Clone)]
enum Watcher {
    Stream(Weak<HostStream>),
    Flow(Weak<Flow>),
}

/// Who hears of a request that takes time.
enum Waiting {
    Stream(Weak<HostStream>),
    Question(Asker),
}

/// The network of the host, as far as the broker lets it through.
pub struct HostNetwork {
    own: Weak<Self>,
    hostname: String,
    addresses: [(IpAddr, u8); 2],
    published: Vec<Published>,
    /// It is in a network namespace of its own, where any port can be published.
    publishes_all: bool,
    /// By token.
    watchers: Mutex<BTreeMap<u64, Watcher>>,
    /// By the number of the request.
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    /// Who is bound to a published port, by its number: several, if they share it (SO_REUSEPORT).
    listeners: Mutex<BTreeMap<u64, Vec<Weak<HostOutlet>>>>,
    next: AtomicU64,
}

/// The address of the sandbox's name server.
pub fn resolver() -> IpAddr {
    Ipv4Addr::from(RESOLVER_V4).into()
}

/// Where the default route leads.
pub fn gateway() -> Ipv4Addr {
    HOST_V4.into()
}

/// An address in the 16 bytes of a message.
fn to_bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(four) => mapped(four.octets()),
        IpAddr::V6(six) => six.octets(),
    }
}

impl HostNetwork {
    /// `published`: ports that lead in, as bytes. `hostname`: the sandbox's own. `own`: its addresses, where they are
    /// those of a network namespace.
    pub fn new(published: &[u8], hostname: &str, own: Option<&OwnAddresses>) -> Arc<Self> {
        let (mut four, mut six) = ((Ipv4Addr::from(GUEST_V4), 24), (Ipv6Addr::from(GUEST_V6), 64));
        if let Some(own) = own.filter(|own| own.v4 != [0; 4]) {
            four = (own.v4.into(), own.v4_bits.min(32));
        }
        if let Some(own) = own.filter(|own| own.v6 != [0; 16]) {
            six = (own.v6.into(), own.v6_bits.min(128));
        }
        let pieces = published.chunks_exact(size_of::<Published>());
        let published = pieces.filter_map(|piece| Published::read_from_bytes(piece).ok()).collect();
        Arc::new_cyclic(|this| Self {
            own: this.clone(),
            hostname: hostname.to_ascii_lowercase(),
            addresses: [(four.0.into(), four.1), (six.0.into(), six.1)],
            published,
            publishes_all: own.is_some(),
            watchers: Mutex::default(),
            waiting: Mutex::default(),
            listeners: Mutex::default(),
            next: AtomicU64::new(FIRST_TOKEN),
        })
    }

    /// A number that was never used before.
    fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Has the supervisor watch `fd` for `events`; returns the token.
    fn watch(&self, fd: HostFd, events: Events, watcher: Watcher) -> Result<u64> {
        let token = self.next_number();
        self.watchers.lock().insert(token, watcher);
        match host().host_watch(fd, events.bits() as u16, token) {
            Ok(()) => Ok(token),
            Err(error) => {
                self.watchers.lock().remove(&token);
                Err(error)
            }
        }
    }
    fn forget_watch(&self, token: u64) {
        self.watchers.lock().remove(&token);
    }

    /// In the supervisor: a socket with this token is ready for `events` anew. `false`: it is none of these.
    pub fn socket_ready(&self, token: u64, events: u16) -> bool {
        if token < FIRST_TOKEN {
            return false;
        }
        let watcher = self.watchers.lock().get(&token).cloned();
        match watcher {
            Some(Watcher::Stream(stream)) => {
                if let Some(stream) = stream.upgrade() {
                    stream.changed(events);
                }
            }
            Some(Watcher::Flow(flow)) => {
                if let Some(flow) = flow.upgrade() {
                    flow.changed();
                }
            }
            None => {}
        }
        true
    }

    /// In the supervisor: the broker tells something; `passed` comes along.
    pub fn event(&self, message: &[u8], passed: Option<HostFd>) {
        let passed = passed.map(Passed::new);
        let Ok((head, rest)) = NetEvent::read_from_prefix(message) else { return };
        let bytes = rest.get(..head.len as usize).unwrap_or_default();
        let is = |kind: EventKind| head.kind == kind as u32;
        if is(EventKind::Accepted) || is(EventKind::Datagram) {
            let peer = SocketAddr::new(address::canonical(IpAddr::from(head.address)), head.port);
            match (self.listener(head.id, peer), passed) {
                (Some(listener), Some(passed)) => listener.came(peer, passed, bytes),
                // The host had no descriptor left for us: another one may come instead.
                (Some(listener), None) => listener.give_room(1),
                (None, _) => {}
            }
            return;
        }
        let waiting = self.waiting.lock().remove(&head.id);
        match waiting {
            Some(Waiting::Question(asker)) if is(EventKind::Resolved) => asker.answered(bytes),
            Some(Waiting::Stream(stream)) if is(EventKind::Connected) || is(EventKind::Handed) => {
                let Some(stream) = stream.upgrade() else { return };
                if stream.told(head.error, passed) {
                    self.waiting.lock().insert(head.id, Waiting::Stream(Arc::downgrade(&stream)));
                }
            }
            _ => {}
        }
    }

    /// The sandbox's own address of a family.
    fn own_address(&self, four: bool) -> IpAddr {
        let [(of_four, _), (of_six, _)] = self.addresses;
        if four { of_four } else { of_six }
    }

    /// The one that is meant by somebody of those bound to a published port: always the same one.
    fn listener(&self, index: u64, peer: SocketAddr) -> Option<Arc<HostOutlet>> {
        let listeners = self.listeners.lock();
        let there: Vec<_> = listeners.get(&index)?.iter().filter_map(Weak::upgrade).collect();
        there.get(crate::net::inet::share_of(peer, there.len())).cloned()
    }

    /// Somebody is bound to a published port; whether it is the first one.
    fn add_listener(&self, index: u64, outlet: &Arc<HostOutlet>) -> bool {
        let mut listeners = self.listeners.lock();
        let there = listeners.entry(index).or_default();
        there.retain(|other| other.strong_count() > 0);
        there.push(Arc::downgrade(outlet));
        there.len() == 1
    }

    /// A listener has gone, unless there are others.
    fn listener_gone(&self, index: u64) {
        let mut listeners = self.listeners.lock();
        let Some(there) = listeners.get_mut(&index) else { return };
        there.retain(|other| other.strong_count() > 0);
        if there.is_empty() {
            listeners.remove(&index);
            drop(listeners);
            client::tell(NetOp::Unlisten, index, 0);
        }
    }

    /// The sandbox's own address under a name of its own.
    fn address_of(&self, name: &str, six: bool) -> Option<IpAddr> {
        let name = name.to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            let four = Ipv4Addr::LOCALHOST.into();
            return Some(if six { Ipv6Addr::LOCALHOST.into() } else { four });
        }
        (name == self.hostname).then(|| self.own_address(!six))
    }

    /// Asks for addresses; the answer goes to whoever asks, at once or later.
    fn ask_broker(&self, asker: Asker) {
        if let Some(own) = self.address_of(&asker.name(), asker.wants_six()) {
            let answer = Answer { code: 0, ttl: OWN_TTL, count: 1 };
            return asker.answered(&[answer.as_bytes(), &to_bytes(own)].concat());
        }
        let id = self.next_number();
        let value = if asker.wants_six() { 6 } else { 4 };
        let name = asker.name();
        self.waiting.lock().insert(id, Waiting::Question(asker));
        let head = NetRequest { op: NetOp::Resolve as u32, id, value, ..NetRequest::default() };
        let reply = client::ask(head, name.as_bytes(), None);
        if matches!(&reply, Ok(reply) if reply.state == STATE_PENDING) {
            return;
        }
        let asker = self.waiting.lock().remove(&id);
        if let Some(Waiting::Question(asker)) = asker {
            asker.answered(reply.as_ref().map_or(&[], |reply| reply.bytes()));
        }
    }

    /// The number of the published port that `local` is, or becomes.
    fn published_as(&self, stream: bool, local: SocketAddr) -> Result<Option<u64>> {
        let reachable = local.ip().is_unspecified() || self.addresses.iter().any(|(own, _)| *own == local.ip());
        let protocol = if stream { TCP } else { UDP };
        if self.publishes_all {
            // A client's own port is nobody's to come to.
            let wanted = reachable && (stream || !EPHEMERAL.contains(&local.port()));
            return if wanted { publish(protocol, local).map(Some) } else { Ok(None) };
        }
        let is_it = |port: &Published| port.port == local.port() && port.protocol == protocol;
        Ok(self.published.iter().position(is_it).filter(|_| reachable).map(|index| index as u64))
    }
}

/// Ports that sockets get which do not ask for one (/proc/sys/net/ipv4/ip_local_port_range).
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32768..=60999;

/// Lets a port of the namespace lead in.
fn publish(protocol: u8, local: SocketAddr) -> Result<u64> {
    let (address, port) = (to_bytes(local.ip()), local.port());
    let head = NetRequest { op: NetOp::Publish as u32, address, port, protocol, ..NetRequest::default() };
    let reply = client::ask(head, &[], None)?;
    PublishedAs::read_from_bytes(reply.bytes()).map(|done| done.index).map_err(|_| Error::Io)
}

/// A descriptor that came from the broker and is nobody's yet.
struct Passed(Option<HostFd>);

impl Passed {
    fn new(fd: HostFd) -> Self {
        Self(Some(fd))
    }
    /// The descriptor, which is the caller's now.
    fn take(mut self) -> Option<HostFd> {
        self.0.take()
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if let Some(fd) = self.0 {
            host().host_close(fd);
        }
    }
}

impl Outside for HostNetwork {
    fn addresses(&self) -> &[(IpAddr, u8)] {
        &self.addresses
    }
    fn gateway(&self, six: bool) -> Option<IpAddr> {
        Some(if six { Ipv6Addr::from(HOST_V6).into() } else { gateway().into() })
    }
    fn connect(
        &self,
        (_, to): (SocketAddr, SocketAddr),
        queue: &Arc<WaitQueue>,
        options: &Settings,
    ) -> Result<Arc<dyn StreamCarrier>> {
        let own = self.own.upgrade().ok_or(Error::Invalid)?;
        if to == SocketAddr::new(resolver(), DNS) {
            return Ok(NameStream::new(&own, queue));
        }
        Ok(HostStream::connect(&own, to, queue, options)?)
    }
    fn open(&self, kind: Port, local: SocketAddr, inlet: &Arc<dyn Inlet>) -> Result<Arc<dyn Outlet>> {
        if kind == Port::Echo {
            return Err(Error::Access);
        }
        let stream = kind == Port::Stream;
        let own = self.own.upgrade().ok_or(Error::Invalid)?;
        let index = self.published_as(stream, local)?;
        let outlet = HostOutlet::new(&own, stream, local, inlet, index);
        if let Some(index) = index {
            let room = if stream { u32::try_from(inlet.room()).unwrap_or(u32::MAX) } else { flows::MOST_PEERS };
            let credit = room.clamp(1, MOST_WAITING);
            // Another one brings room with it.
            let op = if self.add_listener(index, &outlet) { NetOp::Listen } else { NetOp::Credit };
            let request = NetRequest { op: op as u32, id: index, value: credit, ..NetRequest::default() };
            // Refused, the outlet is given back, and is none of them any more.
            client::ask(request, &[], None)?;
        }
        Ok(outlet)
    }
}
