//! What leads out by packets: a TUN device of the host, whose descriptor the sandbox has from its start. Whoever owns
//! the device decides what passes behind it; here nothing is decided.
//!
//! - `packet`: what frames hold. `device`: smoltcp's view of the device. `stream`: connections,
//!   `machine`: their state. `timers`: when they are looked at.
//! - `outlet`: what sockets have outside: datagrams, echo requests. `control`: ICMP. `pieces`: datagrams that came in
//!   fragments.
//!
//! The supervisor reads frames and looks up whose each is; connections are in shards by a hash of their ends. A thread
//! of the program writes the frames it sends itself. smoltcp serves TCP only, and nothing else knows of it: of each
//! connection there is one interface, so it never searches.

mod control;
mod device;
mod machine;
mod outlet;
mod packet;
mod pieces;
mod resting;
mod stream;
#[cfg(test)]
mod tests;
mod timers;
mod urgent;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use litebox_common_linux::Errno;

use litebox_protocol::net::Tun;

use super::{Inlet, Outlet, Outside, Port, StreamCarrier};
use crate::event::{Events, WaitQueue};
use crate::net::inet::routes::OUTWARD;
use crate::net::{PacketInfo, Setting, Settings};
use crate::platform::{ClockId, HostFd, Instant, host};
use crate::sync::{Mutex, RwLock};
use crate::{Error, Result};

use device::Way;
use outlet::{Bound, WireOutlet};
use packet::{ACK, ICMP, ICMP_SIX, MOST_FRAME, Packet, RST, SYN, TCP, Tcp, UDP};
use pieces::Pieces;
use resting::{Answer, Resting};
use stream::WireStream;
use timers::Timers;

/// The token of the device among those that the supervisor watches.
const TOKEN: u64 = 1 << 41;
/// Frames that the supervisor reads in a row.
const MOST_IN_A_ROW: usize = 512;
const SHARDS: usize = 32;
/// Most connections that somebody asked for and did not confirm. The oldest makes room.
const MOST_EMBRYOS: usize = 512;
/// Frames' buffers that are kept.
const MOST_SCRATCH: usize = 8;
const NO_BUFFERS: Error = Error::from_errno(Errno::ENOBUFS.0);

/// Both ends of a connection: the own one, and the peer's.
type Ends = (SocketAddr, SocketAddr);

type Shard = hashbrown::HashMap<Ends, Arc<WireStream>, foldhash::quality::FixedState>;

/// The network behind a TUN device.
pub struct WireNetwork {
    own: Weak<Self>,
    fd: HostFd,
    mtu: usize,
    addresses: Vec<(IpAddr, u8)>,
    hash: foldhash::quality::FixedState,
    streams: [Mutex<Shard>; SHARDS],
    /// How many connections there are.
    count: AtomicUsize,
    /// Those that nobody confirmed yet, the oldest first, by their numbers.
    embryos: Mutex<VecDeque<(u64, Weak<WireStream>)>>,
    /// Sockets that have a port, by it.
    bound: RwLock<BTreeMap<(Port, u16), Vec<Bound>>>,
    pieces: Mutex<Pieces>,
    resting: Resting,
    timers: Timers,
    next: AtomicU64,
    /// The frame that is being read.
    incoming: Mutex<Vec<u8>>,
    scratch: Mutex<Vec<Vec<u8>>>,
    /// What is left of the answers of this second that peers did not ask for (ICMP errors).
    errors: AtomicU64,
}

impl WireNetwork {
    /// The network behind the device that `tun` describes.
    pub fn new(tun: &Tun) -> Arc<Self> {
        let mut addresses: Vec<(IpAddr, u8)> = Vec::new();
        if tun.v4 != [0; 4] {
            addresses.push((Ipv4Addr::from(tun.v4).into(), tun.prefix_v4.min(32) as u8));
        }
        if tun.v6 != [0; 16] {
            addresses.push((Ipv6Addr::from(tun.v6).into(), tun.prefix_v6.min(128) as u8));
        }
        let mut seed = [0u8; 8];
        host().random(&mut seed);
        let hash = foldhash::quality::FixedState::with_seed(u64::from_ne_bytes(seed));
        Arc::new_cyclic(|own| Self {
            own: own.clone(),
            fd: HostFd(tun.fd),
            mtu: (tun.mtu as usize).clamp(576, packet::MOST_PACKET),
            addresses,
            hash: hash.clone(),
            streams: core::array::from_fn(|_| Mutex::new(Shard::with_hasher(hash.clone()))),
            count: AtomicUsize::new(0),
            embryos: Mutex::default(),
            bound: RwLock::default(),
            pieces: Mutex::default(),
            resting: Resting::default(),
            timers: Timers::default(),
            next: AtomicU64::new(1),
            incoming: Mutex::default(),
            scratch: Mutex::default(),
            errors: AtomicU64::new(0),
        })
    }

    /// The supervisor begins to watch it.
    pub fn watch(&self) -> Result<()> {
        host().host_watch(self.fd, Events::IN.bits() as u16, TOKEN)
    }

    /// In the supervisor: until when it may sleep.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// In the supervisor: those whose time has come are looked at.
    pub fn due(&self) {
        for stream in self.timers.take_due(host().instant()) {
            if let Some(stream) = stream.upgrade() {
                stream.due();
            }
        }
    }

    /// In the supervisor: a descriptor with this token is ready. `false`: it is not the device.
    pub fn socket_ready(&self, token: u64) -> bool {
        if token != TOKEN {
            return false;
        }
        let mut frame = self.incoming.lock();
        frame.resize(MOST_FRAME, 0);
        for _ in 0..MOST_IN_A_ROW {
            // SAFETY: the buffer has so many bytes.
            let read = unsafe { host().host_read(self.fd, frame.as_mut_ptr() as usize, frame.len()) };
            match read {
                Ok(n) => {
                    let end = n.min(frame.len());
                    self.take(frame.get_mut(..end).unwrap_or_default());
                }
                Err(Error::Interrupted) => {}
                Err(_) => return true,
            }
        }
        drop(frame);
        // More is there than is read in a row: the host says so again. Refused only when it is not watched any more.
        let _ = host().host_rewatch(self.fd, Events::IN.bits() as u16, TOKEN);
        true
    }

    /// In the supervisor: a frame came, the device's header first.
    pub fn take(&self, frame: &mut [u8]) {
        let Some(packet) = packet::parse(frame) else { return };
        if !self.is_own(packet.ip.to) || !is_peer(packet.ip.from) || self.is_own(packet.ip.from) {
            return;
        }
        let Some(bytes) = frame.get_mut(packet::DEVICE_HEADER..) else { return };
        if let Some(fragment) = packet.ip.fragment {
            let (start, end) = packet.payload;
            let piece = bytes.get(start..end).unwrap_or_default();
            let whole = self.pieces.lock().add(&packet.ip, fragment, piece, host().instant());
            if let Some(mut whole) = whole {
                let payload = (0, whole.len());
                let packet = Packet { ip: packet::Ip { fragment: None, ..packet.ip }, payload, is_checked: false };
                // Nobody sends TCP in pieces, and its state machine wants the header of IP.
                if packet.ip.protocol != TCP {
                    self.deliver(&packet, &mut whole);
                }
            }
            return;
        }
        self.deliver(&packet, bytes);
    }

    fn deliver(&self, packet: &Packet, bytes: &mut [u8]) {
        let (start, end) = packet.payload;
        let ip = &packet.ip;
        let payload = bytes.get(start..end).unwrap_or_default();
        // Datagrams of IPv4 may come without one.
        let has_sum = ip.protocol != UDP || packet::word(payload, 6).is_none_or(|sum| sum != 0) || ip.to.is_ipv6();
        let sums = matches!(ip.protocol, TCP | UDP | ICMP_SIX);
        if sums
            && has_sum
            && !packet.is_checked
            && packet::transport_checksum(ip.from, ip.to, ip.protocol, payload) != 0
        {
            return;
        }
        match ip.protocol {
            TCP => self.take_segment(packet, bytes),
            UDP => outlet::take_datagram(self, packet, bytes),
            ICMP if ip.to.is_ipv4() => control::take_four(self, packet, bytes),
            ICMP_SIX if ip.to.is_ipv6() => control::take_six(self, packet, bytes),
            _ => {}
        }
    }

    fn take_segment(&self, packet: &Packet, bytes: &mut [u8]) {
        let (start, end) = packet.payload;
        let Some(tcp) = bytes.get(start..end).and_then(Tcp::parse).filter(|tcp| tcp.from != 0) else { return };
        let ends = (SocketAddr::new(packet.ip.to, tcp.to), SocketAddr::new(packet.ip.from, tcp.from));
        // What lies behind the packet in its frame is nobody's.
        let Some(bytes) = bytes.get_mut(..end) else { return };
        let found = self.shard(&ends).lock().get(&ends).cloned();
        if let Some(stream) = found {
            return stream.take(packet, &tcp, bytes);
        }
        let len = end - start - tcp.header;
        match self.resting.look(&ends, &tcp, len, host().instant()) {
            Some(Answer::Nothing) => return,
            Some(Answer::Acknowledge(next, acknowledged)) => {
                return control::acknowledge(self, &packet.ip, &tcp, next, acknowledged);
            }
            Some(Answer::MakeWay) | None => {}
        }
        if tcp.flags & (SYN | ACK | RST) == SYN {
            match self.listener(ends) {
                // One that has no room does not answer: who asks tries again.
                Some(listener) if listener.room() == 0 => return,
                Some(listener) => return self.conceive(ends, &listener, packet, &tcp, bytes),
                None => {}
            }
        }
        if tcp.flags & RST == 0 {
            control::refuse(self, &packet.ip, &tcp, len);
        }
    }

    /// Somebody asks for a connection.
    fn conceive(&self, ends: Ends, listener: &Arc<dyn Inlet>, packet: &Packet, tcp: &Tcp, bytes: &mut [u8]) {
        let Some(network) = self.own.upgrade() else { return };
        // Without memory there is no answer, as without room.
        let Ok(stream) = WireStream::asked(&network, ends, listener, listener.options()) else { return };
        let mut embryos = self.embryos.lock();
        embryos.push_back((stream.number(), Arc::downgrade(&stream)));
        let oldest = if embryos.len() > MOST_EMBRYOS { embryos.pop_front() } else { None };
        drop(embryos);
        if let Some(oldest) = oldest.and_then(|(_, oldest)| oldest.upgrade()) {
            oldest.give_up(0);
        }
        stream.take(packet, tcp, bytes);
    }

    /// A connection that was asked for is confirmed, or has ended.
    fn born(&self, number: u64) {
        self.embryos.lock().retain(|(other, _)| *other != number);
    }

    fn shard(&self, ends: &Ends) -> &Mutex<Shard> {
        // There are as many as the remainder can be. The table looks at other bits.
        &self.streams[(self.hash.hash_one(ends) >> 32) as usize % SHARDS]
    }

    /// Keeps a connection until it is over. One between the same ends that nobody has open any more makes room.
    fn keep(&self, stream: &Arc<WireStream>) {
        self.resting.forget(&stream.ends());
        let before = self.shard(&stream.ends()).lock().insert(stream.ends(), stream.clone());
        drop(before);
    }

    /// A connection is over but for its last word, which the peer may not have heard: its next numbers, own and peer's.
    fn rest(&self, stream: &WireStream, numbers: (u32, u32)) {
        self.resting.keep(stream.ends(), numbers, host().instant());
        self.forget(stream);
    }

    /// A connection is over.
    fn forget(&self, stream: &WireStream) {
        let mut shard = self.shard(&stream.ends()).lock();
        let own = shard.get(&stream.ends()).is_some_and(|kept| core::ptr::eq(&raw const **kept, stream));
        let kept = if own { shard.remove(&stream.ends()) } else { None };
        drop(shard);
        drop(kept);
        stream.unfile();
        if stream.was_embryo() {
            self.born(stream.number());
        }
    }

    #[cfg(test)]
    fn streams_kept(&self) -> usize {
        self.streams.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The connection between these ends.
    fn stream(&self, ends: &Ends) -> Option<Arc<WireStream>> {
        self.shard(ends).lock().get(ends).cloned()
    }

    fn count_stream(&self, more: bool) {
        if more {
            self.count.fetch_add(1, Ordering::Relaxed);
        } else {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Forgets all connections. They hold the network and it holds them, so whoever makes one network after the other,
    /// as a fuzz target does, has to say when one has come to its end.
    pub fn forget_all(&self) {
        for shard in &self.streams {
            let gone = core::mem::take(&mut *shard.lock());
            drop(gone);
        }
        self.embryos.lock().clear();
    }

    /// How long the buffers of one more connection may be, each of the two: the more connections, the shorter. All
    /// together they take less than half a gigabyte. `None`: there are too many.
    fn buffer_size(&self) -> Option<usize> {
        match self.count.load(Ordering::Relaxed) {
            0..8 => Some(2 << 20),
            8..64 => Some(512 << 10),
            64..1024 => Some(64 << 10),
            1024..16384 => Some(8 << 10),
            _ => None,
        }
    }

    fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn way(&self, segment: u16, tos: u8) -> Way {
        Way { fd: self.fd, mtu: self.mtu, segment, tos }
    }

    fn with_scratch(&self, work: impl FnOnce(&mut Vec<u8>)) {
        let kept = self.scratch.lock().pop();
        let mut scratch = kept.unwrap_or_default();
        work(&mut scratch);
        let mut all = self.scratch.lock();
        if all.len() < MOST_SCRATCH && all.try_reserve(1).is_ok() {
            all.push(scratch);
        }
    }

    /// Writes a whole frame. What finds no room is lost, as on any wire.
    fn write(&self, frame: &[u8]) {
        // SAFETY: the frame is so long.
        let _ = unsafe { host().host_send(self.fd, frame.as_ptr() as usize, frame.len()) };
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == ip)
    }

    /// The sandbox's own address of a family.
    fn own_address(&self, six: bool) -> Option<IpAddr> {
        self.addresses.iter().map(|(own, _)| *own).find(|own| own.is_ipv6() == six)
    }

    /// Whether no router is between.
    fn is_near(&self, ip: IpAddr) -> bool {
        let same = |own: u128, other: u128, bits: u32, prefix: u8| {
            let host_bits = bits.saturating_sub(prefix.into());
            own.checked_shr(host_bits).unwrap_or(0) == other.checked_shr(host_bits).unwrap_or(0)
        };
        self.addresses.iter().any(|(own, prefix)| match (own, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => same(own.to_bits().into(), ip.to_bits().into(), 32, *prefix),
            (IpAddr::V6(own), IpAddr::V6(ip)) => same(own.to_bits(), ip.to_bits(), 128, *prefix),
            _ => false,
        })
    }

    /// The listener that a connection is for.
    fn listener(&self, (local, peer): Ends) -> Option<Arc<dyn Inlet>> {
        self.inlets(Port::Stream, local, peer).into_iter().next()
    }

    /// The sockets of a port that what comes from `peer` to `local` is for, the one that is meant most first.
    fn inlets(&self, kind: Port, local: SocketAddr, peer: SocketAddr) -> Vec<Arc<dyn Inlet>> {
        let bound = self.bound.read();
        let Some(there) = bound.get(&(kind, local.port())) else { return Vec::new() };
        let mut found: Vec<(u32, Arc<dyn Inlet>)> =
            there.iter().filter_map(|bound| Some((bound.matches(local.ip())?, bound.inlet.upgrade()?))).collect();
        drop(bound);
        found.sort_by_key(|(score, _)| core::cmp::Reverse(*score));
        let best = found.first().map_or(0, |(score, _)| *score);
        let equals =
            found.iter().take_while(|(score, inlet)| *score == best && inlet.options().is_on(Setting::ReusePort));
        // Of those that share the port always the same one is meant by somebody.
        let equals = equals.count();
        if equals > 1 {
            found.swap(0, crate::net::inet::share_of(peer, equals));
        }
        found.into_iter().map(|(_, inlet)| inlet).collect()
    }

    fn info(packet: &Packet, to: SocketAddr) -> PacketInfo {
        let (ttl, tos) = (packet.ip.ttl, packet.ip.tos);
        PacketInfo { to, interface: OUTWARD, ttl, tos, stamp: host().now(ClockId::Realtime), segment: None }
    }
}

/// Whether somebody can have an address.
fn is_peer(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(four) if four.is_broadcast());
    !(broadcast || ip.is_unspecified() || ip.is_multicast() || ip.is_loopback())
}

impl Outside for WireNetwork {
    fn addresses(&self) -> &[(IpAddr, u8)] {
        &self.addresses
    }
    fn mtu(&self) -> u32 {
        self.mtu as u32
    }
    fn connect(&self, ends: Ends, queue: &Arc<WaitQueue>, options: &Settings) -> Result<Arc<dyn StreamCarrier>> {
        let network = self.own.upgrade().ok_or(Error::Invalid)?;
        if ends.1.port() == 0 || !is_peer(ends.1.ip()) {
            return Err(Error::from_errno(Errno::ECONNREFUSED.0));
        }
        Ok(WireStream::connect(&network, ends, queue, options)?)
    }
    fn open(&self, kind: Port, local: SocketAddr, inlet: &Arc<dyn Inlet>) -> Result<Arc<dyn Outlet>> {
        let network = self.own.upgrade().ok_or(Error::Invalid)?;
        WireOutlet::open(&network, kind, local, inlet).map(|outlet| outlet as Arc<dyn Outlet>).ok_or(NO_BUFFERS)
    }
}
