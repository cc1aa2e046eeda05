//! Ports: who has which, who may have one too, and which are free.
//!
//! A port is taken by sockets that were bound to it, by connections, and for a while by connections that ended
//! (TIME_WAIT), of which nothing else is left.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use crate::Result;
use crate::error::errno::{EADDRINUSE, EADDRNOTAVAIL};
use crate::platform::{Instant, host};
use crate::sync::Mutex;

/// Ports of the kernel's choice (net.ipv4.ip_local_port_range).
pub const FREE_PORTS: (u16, u16) = (32768, 60999);
/// How long a connection that ended keeps its port.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// After this, a new connection between the same ends may have it (net.ipv4.tcp_tw_reuse of loopback).
const REUSED_AFTER: Duration = Duration::from_secs(1);
/// Ended connections that are remembered in one shard; the oldest go first.
const MOST_ENDED: usize = 4096;
const SHARDS: usize = 16;

/// What a socket says when it wants a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the socket")]
pub struct Claim {
    /// Its address; unspecified: all of its family.
    pub ip: IpAddr,
    /// It is a socket of IPv6.
    pub six: bool,
    /// An unspecified IPv6 address means those of IPv4 too.
    pub dual: bool,
    /// SO_REUSEADDR.
    pub reuse: bool,
    /// SO_REUSEPORT.
    pub share: bool,
    /// Its user: only sockets of one user share a port.
    pub uid: u32,
    /// It listens: nobody else can have the port by SO_REUSEADDR.
    pub listens: bool,
    /// Datagram sockets with SO_REUSEADDR have it together, whatever they do.
    pub datagram: bool,
}

impl Claim {
    /// Whether what is sent to `to` is for it; the higher the number, the more it is meant.
    pub fn matches(&self, to: IpAddr) -> Option<u32> {
        match (self.ip, to) {
            (own, to) if own == to => Some(3),
            (IpAddr::V4(own), IpAddr::V4(_)) if own.is_unspecified() => Some(2),
            (IpAddr::V6(own), IpAddr::V6(_)) if own.is_unspecified() => Some(2),
            (IpAddr::V6(own), IpAddr::V4(_)) if own.is_unspecified() && self.dual => Some(1),
            _ => None,
        }
    }
    fn overlaps(&self, other: &Self) -> bool {
        let unspecified = |claim: &Self, ip: IpAddr| claim.ip.is_unspecified() && claim.matches(ip).is_some();
        self.ip == other.ip || unspecified(self, other.ip) || unspecified(other, self.ip)
    }
    /// Whether it cannot have what `other` has.
    fn conflicts(&self, other: &Self) -> bool {
        if !self.overlaps(other) {
            return false;
        }
        let shared = self.share && other.share && self.uid == other.uid;
        let reused = self.reuse && other.reuse && (self.datagram || !other.listens);
        !(shared || reused)
    }
}

struct Bound<T: ?Sized> {
    id: u64,
    claim: Claim,
    socket: Weak<T>,
}

enum Connection<T: ?Sized> {
    Living(Weak<T>),
    Ended(Instant),
}

struct Connected<T: ?Sized> {
    claim: Claim,
    what: Connection<T>,
}

/// A connection: its port, its own address, its peer's.
type Ends = (u16, IpAddr, SocketAddr);

struct Shard<T: ?Sized> {
    bound: BTreeMap<u16, Vec<Bound<T>>>,
    connected: BTreeMap<Ends, Connected<T>>,
    /// Connections that ended, the oldest first.
    ended: alloc::collections::VecDeque<(Instant, SocketAddr, SocketAddr)>,
}

/// All ports of one transport. `T` is what is found there.
pub struct Ports<T: ?Sized> {
    shards: [Mutex<Shard<T>>; SHARDS],
    next: AtomicU32,
    next_id: core::sync::atomic::AtomicU64,
}

/// Somebody's right to a port, which ends with it.
pub struct Held<T: ?Sized + Send + Sync> {
    ports: Arc<Ports<T>>,
    local: SocketAddr,
    /// Of a connection: its other end. Of a bound socket: the number of its entry.
    of: Of,
}

enum Of {
    Bound(u64),
    Connected(SocketAddr),
}

/// What is told of each that has a port.
pub enum Listed<T: ?Sized> {
    /// A bound socket.
    Bound(SocketAddr, Arc<T>),
    /// A connection.
    Connected(SocketAddr, SocketAddr, Arc<T>),
    /// One that ended, of IPv6 or not, and for how long it still has the port.
    Ended(SocketAddr, SocketAddr, bool, Duration),
}

impl<T: ?Sized> Default for Ports<T> {
    fn default() -> Self {
        let mut raw = [0u8; 4];
        host().random(&mut raw);
        let shards = core::array::from_fn(|_| {
            let ended = alloc::collections::VecDeque::new();
            Mutex::new(Shard { bound: BTreeMap::new(), connected: BTreeMap::new(), ended })
        });
        Self { shards, next: AtomicU32::new(u32::from_ne_bytes(raw)), next_id: core::sync::atomic::AtomicU64::new(1) }
    }
}

impl<T: ?Sized> Shard<T> {
    fn bound(&self, port: u16) -> &[Bound<T>] {
        self.bound.get(&port).map_or(&[], Vec::as_slice)
    }
    fn bound_mut(&mut self, port: u16, id: u64) -> Option<&mut Bound<T>> {
        self.bound.get_mut(&port)?.iter_mut().find(|bound| bound.id == id)
    }
    fn connections(&self, port: u16) -> impl Iterator<Item = &Connected<T>> {
        let least = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let from = (port, least, SocketAddr::new(least, 0));
        self.connected.range(from..).take_while(move |(ends, _)| ends.0 == port).map(|(_, connected)| connected)
    }
    /// Whether a new socket, or the one with this entry, cannot have a port.
    fn refuses(&self, port: u16, claim: &Claim, own: u64) -> bool {
        let mut bound = self.bound(port).iter().filter(|there| there.id != own);
        bound.any(|there| claim.conflicts(&there.claim))
            || self.connections(port).any(|there| claim.conflicts(&there.claim))
    }
    fn forget_ended(&mut self, now: Instant) {
        while let Some((until, local, peer)) = self.ended.front().copied() {
            if until > now && self.ended.len() <= MOST_ENDED {
                return;
            }
            self.ended.pop_front();
            if let Entry::Occupied(there) = self.connected.entry((local.port(), local.ip(), peer)) {
                // It may have been taken over, or ended once more, meanwhile.
                if matches!(there.get().what, Connection::Ended(ends) if ends == until) {
                    there.remove();
                }
            }
        }
    }
}

impl<T: ?Sized + Send + Sync> Ports<T> {
    fn shard(&self, port: u16) -> &Mutex<Shard<T>> {
        // There are as many as the remainder can be.
        &self.shards[usize::from(port) % SHARDS]
    }
    fn candidates(&self, range: (u16, u16)) -> impl Iterator<Item = u16> + use<T> {
        let (low, high) = range;
        let count = u32::from(high - low) + 1;
        // Odd steps from place to place: neighbours are not alike.
        let first = self.next.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b1) >> 8;
        (0..count).map(move |step| low + ((first.wrapping_add(step)) % count) as u16)
    }

    /// Gives a socket a port, or one of `range` where it wants port 0: EADDRINUSE.
    pub fn bind(self: &Arc<Self>, port: u16, claim: Claim, range: (u16, u16), socket: &Weak<T>) -> Result<Held<T>> {
        if port != 0 {
            return self.bind_at(port, claim, socket).ok_or(EADDRINUSE);
        }
        // A port of the kernel's choice is nobody else's, whatever the socket allows.
        let alone = Claim { reuse: false, share: false, ..claim };
        self.candidates(range)
            .find_map(|port| {
                let held = self.free(port, &alone).then(|| self.bind_at(port, claim, socket));
                held.flatten()
            })
            .ok_or(EADDRINUSE)
    }
    fn free(&self, port: u16, claim: &Claim) -> bool {
        let mut shard = self.shard(port).lock();
        shard.forget_ended(host().instant());
        !shard.refuses(port, claim, 0)
    }
    fn bind_at(self: &Arc<Self>, port: u16, claim: Claim, socket: &Weak<T>) -> Option<Held<T>> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shard(port).lock();
        shard.forget_ended(host().instant());
        if shard.refuses(port, &claim, 0) {
            return None;
        }
        shard.bound.entry(port).or_default().push(Bound { id, claim, socket: socket.clone() });
        drop(shard);
        Some(Held { ports: self.clone(), local: SocketAddr::new(claim.ip, port), of: Of::Bound(id) })
    }

    /// Takes the port of a connection. `port` 0: one of `range`. EADDRNOTAVAIL when there is such a connection already,
    /// or no port is left.
    pub fn connect(
        self: &Arc<Self>,
        port: u16,
        claim: Claim,
        peer: SocketAddr,
        range: (u16, u16),
        socket: &Weak<T>,
    ) -> Result<Held<T>> {
        if port != 0 {
            return self.connect_at(port, claim, peer, true, socket).ok_or(EADDRNOTAVAIL);
        }
        let mut candidates = self.candidates(range);
        candidates.find_map(|port| self.connect_at(port, claim, peer, false, socket)).ok_or(EADDRNOTAVAIL)
    }
    fn connect_at(
        self: &Arc<Self>,
        port: u16,
        claim: Claim,
        peer: SocketAddr,
        beside_bound: bool,
        socket: &Weak<T>,
    ) -> Option<Held<T>> {
        let now = host().instant();
        let mut shard = self.shard(port).lock();
        shard.forget_ended(now);
        if !beside_bound && !shard.bound(port).is_empty() {
            return None;
        }
        let connected = Connected { claim, what: Connection::Living(socket.clone()) };
        match shard.connected.entry((port, claim.ip, peer)) {
            Entry::Occupied(mut ended) => {
                let Connection::Ended(until) = ended.get().what else { return None };
                if now.saturating_add(TIME_WAIT) < until.saturating_add(REUSED_AFTER) {
                    return None;
                }
                ended.insert(connected);
            }
            Entry::Vacant(free) => {
                free.insert(connected);
            }
        }
        drop(shard);
        Some(Held { ports: self.clone(), local: SocketAddr::new(claim.ip, port), of: Of::Connected(peer) })
    }

    /// Those bound to a port that what is sent to `to` is for, the one that is meant most first; among equals, the
    /// youngest.
    pub fn find(&self, to: SocketAddr, want: impl Fn(&Claim, &T) -> bool) -> Vec<(Claim, Arc<T>)> {
        let mut found: Vec<(u32, u64, Claim, Arc<T>)> = Vec::new();
        let shard = self.shard(to.port()).lock();
        for there in shard.bound(to.port()) {
            let Some(score) = there.claim.matches(to.ip()) else { continue };
            let Some(socket) = there.socket.upgrade() else { continue };
            found.push((score, there.id, there.claim, socket));
        }
        drop(shard);
        found.retain(|(_, _, claim, socket)| want(claim, socket));
        found.sort_by_key(|(score, id, ..)| core::cmp::Reverse((*score, *id)));
        found.into_iter().map(|(_, _, claim, socket)| (claim, socket)).collect()
    }

    /// All that have ports.
    pub fn list(&self) -> Vec<Listed<T>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let now = host().instant();
            let mut shard = shard.lock();
            shard.forget_ended(now);
            for (number, bound) in &shard.bound {
                let listed =
                    |b: &Bound<T>| Some(Listed::Bound(SocketAddr::new(b.claim.ip, *number), b.socket.upgrade()?));
                all.extend(bound.iter().filter_map(listed));
            }
            all.extend(shard.connected.iter().filter_map(|((port, ip, peer), connected)| {
                let local = SocketAddr::new(*ip, *port);
                match &connected.what {
                    Connection::Living(socket) => Some(Listed::Connected(local, *peer, socket.upgrade()?)),
                    Connection::Ended(until) => {
                        let left = until.saturating_since(now);
                        Some(Listed::Ended(local, *peer, connected.claim.six, left))
                    }
                }
            }));
        }
        all
    }
}

impl<T: ?Sized + Send + Sync> Held<T> {
    /// The address and port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
    /// Has a bound socket listen, or no more: EADDRINUSE when somebody else does.
    pub fn set_listening(&self, claim: Claim) -> Result<()> {
        let Of::Bound(id) = self.of else { return Ok(()) };
        let mut shard = self.ports.shard(self.local.port()).lock();
        if claim.listens && shard.refuses(self.local.port(), &claim, id) {
            return Err(EADDRINUSE);
        }
        if let Some(own) = shard.bound_mut(self.local.port(), id) {
            own.claim = claim;
        }
        Ok(())
    }
    /// SO_REUSEADDR and SO_REUSEPORT of a bound socket were set: what others may have beside it from now on.
    pub fn set_reuse(&self, reuse: bool, share: bool) {
        let Of::Bound(id) = self.of else { return };
        let mut shard = self.ports.shard(self.local.port()).lock();
        if let Some(own) = shard.bound_mut(self.local.port(), id) {
            (own.claim.reuse, own.claim.share) = (reuse, share);
        }
    }
    /// The claim of a bound socket changed its address: what is sent elsewhere is not for it (connected datagram
    /// sockets).
    pub fn set_address(&mut self, ip: IpAddr) {
        let Of::Bound(id) = self.of else { return };
        let mut shard = self.ports.shard(self.local.port()).lock();
        if let Some(own) = shard.bound_mut(self.local.port(), id) {
            own.claim.ip = ip;
        }
        self.local.set_ip(ip);
    }
    /// The connection ended at `ended`, and its port stays taken for a while.
    pub fn outlive(self, ended: Instant) {
        let Of::Connected(peer) = self.of else { return };
        let until = ended.saturating_add(TIME_WAIT);
        let mut shard = self.ports.shard(self.local.port()).lock();
        if let Some(own) = shard.connected.get_mut(&(self.local.port(), self.local.ip(), peer)) {
            own.what = Connection::Ended(until);
            shard.ended.push_back((until, self.local, peer));
        }
        drop(shard);
    }
}

impl<T: ?Sized + Send + Sync> Drop for Held<T> {
    fn drop(&mut self) {
        let number = self.local.port();
        let mut shard = self.ports.shard(number).lock();
        match self.of {
            Of::Bound(id) => {
                if let Entry::Occupied(mut port) = shard.bound.entry(number) {
                    port.get_mut().retain(|bound| bound.id != id);
                    if port.get().is_empty() {
                        port.remove();
                    }
                }
            }
            Of::Connected(peer) => {
                if let Entry::Occupied(own) = shard.connected.entry((number, self.local.ip(), peer)) {
                    if matches!(own.get().what, Connection::Living(_)) {
                        own.remove();
                    }
                }
            }
        }
    }
}
