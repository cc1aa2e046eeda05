//! UDP sockets, and ping sockets, which differ in what they send ([`super::ping`]).
//!
//! `deliver`: finding who gets a datagram. `incoming`: what was received and not yet read. `groups`: multicast.

mod deliver;
mod groups;
mod incoming;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use litebox_common_linux::abi::ioctl::{FIONREAD, TIOCOUTQ};

use super::carrier::{self, Inlet, Outlet, StreamCarrier};
use super::groups::Memberships;
use super::ports::{Held, Ports};
use super::routes::{Route, is_broadcast};
use super::zerocopy::ZeroCopy;
use super::{
    DatagramCounters, EADDRNOTAVAIL, ENETUNREACH, FREE_PORTS, Network, check_family, claim, family, given, nowhere,
    ping,
};
use crate::error::errno::{EDESTADDRREQ, EMSGSIZE, ENOPROTOOPT, ENOTCONN};
use crate::event::{Events, WaitQueue};
use crate::fs::{AnonInode, File, Inode};
use crate::io::{Dest, Source};
use crate::net::file::SocketFile;
use crate::net::socket::Group;
use crate::net::{
    Address, Family, MessageFlags, Outgoing, PacketOptions, QueuedError, Received, Setting, Settings, Shut, Socket,
    SocketKind, address,
};
use crate::sync::Mutex;
use crate::{Error, Result};

use incoming::{Incoming, Packet};

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND);
const ALL: Events = READABLE.union(WRITABLE).union(Events::RDHUP).union(Events::HUP).union(Events::ERR);

/// What SO_SNDBUF and SO_RCVBUF are at first.
const BUFFER: usize = 212_992;
/// The longest datagram, with the headers of UDP and IPv4.
const LONGEST: usize = 65_535;
const UDP_HEADER: usize = 8;
const IP_HEADER: usize = 20;
/// The most datagrams that one call sends with UDP_SEGMENT.
const MOST_SEGMENTS: usize = 128;

/// What goes in the datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// What the program likes.
    Udp,
    /// The same, with checksums that need not cover all of it (udplite(7)).
    UdpLite,
    /// ICMP's echo requests; ports are their identifiers.
    Ping,
}

#[derive(Default)]
struct State {
    port: Option<Held<DatagramSocket>>,
    /// The program chose the address; the port.
    chosen: (bool, bool),
    peer: Option<SocketAddr>,
    /// Where it sends from while it is connected.
    source: Option<IpAddr>,
    shut: Shut,
    memberships: Memberships,
    /// A datagram that is put together (UDP_CORK, MSG_MORE), and where it goes.
    corked: Option<(Vec<u8>, SocketAddr)>,
    /// What it has outside, once it sent something there.
    outlet: Option<Arc<dyn Outlet>>,
}

/// A datagram socket.
pub struct DatagramSocket {
    own: Weak<Self>,
    network: Arc<Network>,
    transport: Transport,
    six: AtomicBool,
    inode: Arc<AnonInode>,
    options: Settings,
    queue: WaitQueue,
    state: Mutex<State>,
    incoming: Mutex<Incoming>,
    error: AtomicI32,
    zero_copy: ZeroCopy,
    uid: u32,
}

/// Where a datagram goes, and how.
pub(super) struct Way {
    pub from: SocketAddr,
    pub to: SocketAddr,
    packet: PacketOptions,
    pub route: Route,
}

impl DatagramSocket {
    /// A socket of IPv4, or IPv6 (`six`), `uid`'s, with an inode of this number.
    pub fn new(network: &Arc<Network>, transport: Transport, six: bool, uid: u32, ino: u64) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: own.clone(),
            network: network.clone(),
            transport,
            six: AtomicBool::new(six),
            inode: AnonInode::socket(ino),
            options: Settings::default(),
            queue: WaitQueue::new(),
            state: Mutex::default(),
            incoming: Mutex::default(),
            error: AtomicI32::new(0),
            zero_copy: ZeroCopy::default(),
            uid,
        })
    }
    pub(super) fn network(&self) -> &Network {
        &self.network
    }
    /// Whether it is one of IPv6.
    fn six(&self) -> bool {
        self.six.load(Ordering::Relaxed)
    }
    fn ports(&self) -> &Arc<Ports<Self>> {
        match self.transport {
            Transport::Udp => &self.network.udp,
            Transport::UdpLite => &self.network.udp_lite,
            Transport::Ping if self.six() => &self.network.pings_six,
            Transport::Ping => &self.network.pings,
        }
    }
    fn counters(&self) -> &DatagramCounters {
        match self.transport {
            Transport::UdpLite => &self.network.counters.udp_lite,
            Transport::Udp | Transport::Ping => &self.network.counters.udp,
        }
    }
    fn check_error(&self) -> Result<()> {
        match self.error.swap(0, Ordering::AcqRel) {
            0 => Ok(()),
            e => Err(Error::reported(e)),
        }
    }
    /// Whose it is, and its inode number.
    pub fn owner(&self) -> (u32, u64) {
        (self.uid, self.inode.id().ino)
    }
    /// Its own address; its peer's, if it is connected; bytes that wait to be read; datagrams that were lost.
    pub fn figures(&self) -> (Option<SocketAddr>, Option<SocketAddr>, usize, u32) {
        let (local, peer) = {
            let state = self.state.lock();
            (state.port.as_ref().map(Held::local), state.peer)
        };
        let incoming = self.incoming.lock();
        (local, peer, incoming.held(), incoming.lost)
    }
    fn bind_to(&self, state: &mut State, to: SocketAddr) -> Result<()> {
        let claim = claim(self.six(), &self.options, to.ip(), self.uid, true);
        let range = if self.transport == Transport::Ping { (1, u16::MAX) } else { FREE_PORTS };
        state.port = Some(self.ports().bind(to.port(), claim, range, &self.own)?);
        Ok(())
    }
    fn bind_any(&self, state: &mut State) -> Result<()> {
        match state.port {
            Some(_) => Ok(()),
            None => self.bind_to(state, SocketAddr::new(address::any(self.six()), 0)).map_err(|_| Error::WouldBlock),
        }
    }
    fn local(state: &State) -> Option<SocketAddr> {
        let local = state.port.as_ref()?.local();
        Some(SocketAddr::new(state.source.unwrap_or(local.ip()), local.port()))
    }

    /// Where a message goes: EDESTADDRREQ, EINVAL for port 0, ENETUNREACH, EACCES for broadcasts that were not asked
    /// for.
    fn destination(&self, state: &State, to: Option<&Address>) -> Result<SocketAddr> {
        let mut to = match to {
            Some(to) => given(to)?,
            None => return state.peer.ok_or(EDESTADDRREQ),
        };
        if to.port() == 0 && self.transport != Transport::Ping {
            return Err(Error::Invalid);
        }
        check_family(self.six(), &self.options, to.ip(), ENETUNREACH)?;
        to.set_ip(Network::destination(to.ip()));
        Ok(to)
    }
    fn way(&self, state: &State, to: SocketAddr, packet: PacketOptions) -> Result<Way> {
        if is_broadcast(to.ip()) && !self.options.is_on(Setting::Broadcast) {
            return Err(Error::Access);
        }
        let multicast = to.ip().is_multicast();
        let route = if multicast {
            self.group_route(packet.interface, to.ip(), Self::local(state).map(|own| own.ip()))?
        } else {
            self.network.route(to.ip())?
        };
        let bound = Self::local(state).ok_or(EDESTADDRREQ)?;
        let asked = packet.source.filter(|ip| ip.is_ipv4() == to.is_ipv4());
        if let Some(asked) = asked {
            self.network.check_bindable(asked).map_err(|_| ENETUNREACH)?;
        }
        let bound_ip = Some(bound.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_multicast());
        let ip = match (asked.or(bound_ip), route) {
            (Some(ip), _) if ip.is_ipv4() != to.is_ipv4() => return Err(ENETUNREACH),
            (Some(ip), _) => ip,
            (None, Route::Here { source }) => source,
            (None, Route::Out) => address::any(to.is_ipv6()),
        };
        Ok(Way { from: SocketAddr::new(ip, bound.port()), to, packet, route })
    }

    fn check_length(&self, len: usize, to: SocketAddr) -> Result<()> {
        let header = if self.transport == Transport::Ping { 0 } else { UDP_HEADER };
        let most = LONGEST - header - if to.is_ipv4() { IP_HEADER } else { 0 };
        if len <= most { Ok(()) } else { Err(EMSGSIZE) }
    }

    fn take_bytes(source: &mut Source<'_>) -> Result<Vec<u8>> {
        let len = source.remaining();
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Error::NoMemory)?;
        bytes.resize(len, 0);
        source.take_whole(&mut bytes)?;
        Ok(bytes)
    }

    /// Adds to a datagram that is put together. `Some`: it is complete.
    fn cork(
        &self,
        state: &mut State,
        mut bytes: Vec<u8>,
        to: SocketAddr,
        more: bool,
    ) -> Result<Option<(Vec<u8>, SocketAddr)>> {
        let more = more || self.options.is_on(Setting::UdpCork);
        if let Some((mut before, first)) = state.corked.take() {
            self.check_length(before.len().saturating_add(bytes.len()), first)?;
            before.append(&mut bytes);
            (bytes, state.corked) = (before, None);
            if more {
                state.corked = Some((bytes, first));
                return Ok(None);
            }
            return Ok(Some((bytes, first)));
        }
        if more {
            state.corked = Some((bytes, to));
            return Ok(None);
        }
        Ok(Some((bytes, to)))
    }

    /// UDP_CORK was taken off: what was put together goes.
    fn uncork(&self) {
        let mut state = self.state.lock();
        let Some((bytes, to)) = state.corked.take() else { return };
        let way = self.way(&state, to, PacketOptions::default());
        drop(state);
        if let Ok(way) = way {
            let _ = self.dispatch(&way, &bytes);
        }
    }

    fn send_bytes(&self, source: &mut Source<'_>, outgoing: &Outgoing<'_>) -> Result<usize> {
        let mut state = self.state.lock();
        let to = self.destination(&state, outgoing.to)?;
        self.check_length(source.remaining(), to)?;
        self.bind_any(&mut state)?;
        let way = self.way(&state, to, outgoing.packet)?;
        self.check_error()?;
        if state.shut.contains(Shut::WRITE) {
            return Err(Error::SilentlyBrokenPipe);
        }
        let len = source.remaining();
        let bytes = Self::take_bytes(source)?;
        let more = outgoing.flags.contains(MessageFlags::MSG_MORE);
        let Some((bytes, first)) = self.cork(&mut state, bytes, to, more)? else { return Ok(len) };
        let way = if first == to { way } else { self.way(&state, first, outgoing.packet)? };
        drop(state);
        let segment = outgoing
            .packet
            .segment
            .map_or_else(|| usize::try_from(self.options.get(Setting::Segment)).unwrap_or(0), usize::from);
        if self.transport == Transport::Ping {
            return ping::send(self, &way, bytes).map(|()| len);
        }
        if segment > 0 && bytes.len() > segment {
            return self.send_segments(&way, &bytes, segment).map(|()| len);
        }
        self.dispatch(&way, &bytes).map(|()| len)
    }

    /// Many datagrams in one call (UDP_SEGMENT).
    fn send_segments(&self, way: &Way, bytes: &[u8], segment: usize) -> Result<()> {
        if bytes.len().div_ceil(segment) > MOST_SEGMENTS {
            return Err(Error::Invalid);
        }
        let joined = Way { packet: PacketOptions { segment: u16::try_from(segment).ok(), ..way.packet }, ..*way };
        if self.reaches_one_that_joins(&joined) {
            return self.dispatch(&joined, bytes);
        }
        bytes.chunks(segment).try_for_each(|datagram| self.dispatch(way, datagram))
    }

    /// Tells of an error that a datagram to `to` led to, with the datagram for who wants it (IP_RECVERR).
    fn fail(&self, to: SocketAddr, number: i32, kind: (u8, u8), bytes: &[u8]) {
        let wants = if to.is_ipv4() && !self.six() { Setting::ReceiveErrors } else { Setting::ReceiveErrorsSix };
        let queued = self.options.is_on(wants);
        let connected = self.state.lock().peer.is_some();
        if !queued && !connected {
            return;
        }
        if queued {
            let origin = if to.is_ipv4() { 2 } else { 3 };
            let offender = Some(to.ip()).map(|ip| if ip.is_loopback() { ip } else { to.ip() });
            let error = QueuedError { number: number as u32, origin, kind, info: (0, 0), offender };
            self.incoming.lock().add_error(error, to, bytes);
        }
        self.error.store(number, Ordering::Release);
        self.queue.notify(ALL);
    }

    fn receive_error(&self, dest: &mut Dest<'_>) -> Result<Received> {
        let (error, to, bytes) = self.incoming.lock().errors.pop_front().ok_or(Error::WouldBlock)?;
        let n = bytes.len().min(dest.remaining());
        let copied = dest.put(bytes.get(..n).unwrap_or_default())?;
        // The next one is what poll(2) tells of now.
        let next = self.incoming.lock().errors.front().map_or(0, |(error, ..)| error.number as i32);
        self.error.store(next, Ordering::Release);
        Ok(Received {
            copied,
            full: bytes.len(),
            from: Some(Address::Inet(to)),
            flags: MessageFlags::MSG_ERRQUEUE,
            error: Some(error),
            ..Received::default()
        })
    }

    fn receive_packet(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<Received> {
        self.check_error()?;
        let mut incoming = self.incoming.lock();
        let Some(first) = incoming.packets.front() else {
            drop(incoming);
            let ended = self.state.lock().shut.contains(Shut::READ) && !flags.contains(MessageFlags::MSG_DONTWAIT);
            return if ended { Ok(Received::default()) } else { Err(Error::WouldBlock) };
        };
        let peek = flags.contains(MessageFlags::MSG_PEEK);
        let ahead = usize::try_from(self.options.get(Setting::PeekOffset)).ok().filter(|_| peek).unwrap_or(0);
        let bytes = first.bytes.get(ahead.min(first.bytes.len())..).unwrap_or_default();
        let (full, copied) = (bytes.len(), bytes.len().min(dest.remaining()));
        dest.put_whole(bytes.get(..copied).unwrap_or_default())?;
        let got = Received {
            copied,
            full,
            from: Some(Address::Inet(first.from)),
            packet: Some(first.info),
            ..Received::default()
        };
        if peek && self.options.get(Setting::PeekOffset) >= 0 {
            self.options.set(Setting::PeekOffset, i32::try_from(ahead + copied).unwrap_or(i32::MAX));
        } else if !peek {
            incoming.pop();
            if self.options.get(Setting::PeekOffset) > 0 {
                self.options.set(Setting::PeekOffset, 0);
            }
        }
        Ok(got)
    }

    fn disconnect(&self) {
        let mut state = self.state.lock();
        state.peer = None;
        state.source = None;
        let dropped = if state.chosen.1 { None } else { state.port.take() };
        let any = address::any(self.six());
        let chosen = state.chosen.0;
        if let Some(port) = state.port.as_mut().filter(|_| !chosen) {
            port.set_address(any);
        }
        drop(state);
        drop(dropped);
    }
}

impl Socket for DatagramSocket {
    fn family(&self) -> Family {
        family(self.six())
    }
    fn kind(&self) -> SocketKind {
        SocketKind::Datagram
    }
    fn protocol(&self) -> i32 {
        match (self.transport, self.six()) {
            (Transport::Udp, _) => 17,
            (Transport::UdpLite, _) => 136,
            (Transport::Ping, false) => 1,
            (Transport::Ping, true) => 58,
        }
    }
    fn options(&self) -> &Settings {
        &self.options
    }
    fn option_changed(&self, of: Setting) {
        match of {
            Setting::UdpCork if !self.options.is_on(of) => self.uncork(),
            Setting::ReuseAddress | Setting::ReusePort => {
                if let Some(port) = &self.state.lock().port {
                    port.set_reuse(self.options.is_on(Setting::ReuseAddress), self.options.is_on(Setting::ReusePort));
                }
            }
            _ => {}
        }
    }
    fn bind(&self, to: &Address) -> Result<()> {
        let to = given(to)?;
        check_family(self.six(), &self.options, to.ip(), EADDRNOTAVAIL)?;
        let free = if to.ip().is_ipv4() { Setting::FreeBind } else { Setting::FreeBindSix };
        if !self.options.is_on(free) {
            self.network.check_bindable(to.ip())?;
        }
        let mut state = self.state.lock();
        if state.port.is_some() {
            return Err(Error::Invalid);
        }
        self.bind_to(&mut state, to)?;
        state.chosen = (!to.ip().is_unspecified(), to.port() != 0);
        drop(state);
        if !to.ip().is_loopback() && self.network.outside().is_some() && self.transport != Transport::UdpLite {
            // A port that nobody published leads nowhere, which is no error here.
            let _ = self.outlet();
        }
        Ok(())
    }
    fn connect(&self, to: &Address, _owner: crate::net::Credentials, _at_once: bool) -> Result<()> {
        if *to == Address::Unspecified {
            self.disconnect();
            self.queue.notify(ALL);
            return Ok(());
        }
        let mut to = given(to)?;
        to.set_ip(Network::destination(to.ip()));
        check_family(self.six(), &self.options, to.ip(), ENETUNREACH)?;
        let mut state = self.state.lock();
        if is_broadcast(to.ip()) && !self.options.is_on(Setting::Broadcast) {
            return Err(Error::Access);
        }
        let route =
            if to.ip().is_multicast() { self.group_route(0, to.ip(), None)? } else { self.network.route(to.ip())? };
        self.bind_any(&mut state)?;
        let bound = state.port.as_ref().map(|port| port.local().ip()).filter(|ip| !ip.is_unspecified());
        if bound.is_some_and(|ip| ip.is_ipv4() != to.is_ipv4()) {
            return Err(ENETUNREACH);
        }
        state.source = match route {
            Route::Here { source } => bound.or(Some(source)),
            Route::Out => bound,
        };
        state.peer = Some(to);
        Ok(())
    }
    fn shutdown(&self, how: Shut) -> Result<()> {
        let mut state = self.state.lock();
        let connected = state.peer.is_some();
        if connected {
            state.shut |= how;
        }
        drop(state);
        // Who waits hears of it, even of a socket without a peer.
        self.queue.notify(ALL);
        if connected { Ok(()) } else { Err(ENOTCONN) }
    }
    fn name(&self) -> Address {
        Self::local(&self.state.lock()).map_or_else(|| nowhere(self.six()), Address::Inet)
    }
    fn peer_name(&self) -> Result<Address> {
        self.state.lock().peer.map(Address::Inet).ok_or(ENOTCONN)
    }
    fn send(&self, source: &mut Source<'_>, outgoing: &mut Outgoing<'_>) -> Result<usize> {
        if outgoing.flags.contains(MessageFlags::MSG_OOB) {
            return Err(Error::NotSupported);
        }
        let sent = self.send_bytes(source, outgoing)?;
        if outgoing.flags.contains(MessageFlags::MSG_ZEROCOPY) && self.options.is_on(Setting::ZeroCopy) {
            self.zero_copy.done();
        }
        Ok(sent)
    }
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<Received> {
        if flags.contains(MessageFlags::MSG_ERRQUEUE) {
            return self.zero_copy.take().map_or_else(|| self.receive_error(dest), Ok);
        }
        if flags.contains(MessageFlags::MSG_OOB) && self.transport == Transport::Ping {
            return Err(Error::NotSupported);
        }
        self.receive_packet(dest, flags)
    }
    fn take_error(&self) -> i32 {
        self.error.swap(0, Ordering::AcqRel)
    }
    fn buffer(&self, sending: bool) -> usize {
        let setting = if sending { Setting::SendBuffer } else { Setting::ReceiveBuffer };
        usize::try_from(self.options.get(setting)).ok().filter(|size| *size > 0).unwrap_or(BUFFER)
    }
    fn charged(&self, sending: bool) -> usize {
        if sending { 0 } else { self.incoming.lock().held() }
    }
    fn membership(&self, group: &Group, joins: bool) -> Result<()> {
        self.change_membership(group, joins)
    }
    fn become_four(&self) -> Result<()> {
        if self.transport == Transport::Ping {
            return Err(ENOPROTOOPT);
        }
        let mut state = self.state.lock();
        if state.corked.as_ref().is_some_and(|(_, to)| to.is_ipv6()) {
            return Err(Error::Busy);
        }
        let peer = state.peer.ok_or(ENOTCONN)?;
        if self.options.is_on(Setting::V6Only) || peer.is_ipv6() {
            return Err(EADDRNOTAVAIL);
        }
        state.memberships.leave_six(&self.network);
        self.six.store(false, Ordering::Relaxed);
        Ok(())
    }
    fn into_file(self: Arc<Self>) -> Arc<dyn File> {
        self
    }
}

impl SocketFile for DatagramSocket {
    fn node(&self) -> &Arc<AnonInode> {
        &self.inode
    }
    fn waiters(&self) -> &WaitQueue {
        &self.queue
    }
    fn writes_all(&self) -> bool {
        false
    }
    fn read_some(&self, dest: &mut Dest<'_>) -> Result<usize> {
        self.receive_packet(dest, MessageFlags::empty()).map(|got| got.copied)
    }
    fn write_some(&self, source: &mut Source<'_>) -> Result<usize> {
        let nobody = crate::net::Credentials { pid: 0, uid: 0, gid: 0 };
        self.send_bytes(source, &Outgoing::plain(nobody))
    }
    fn readiness(&self) -> Events {
        let shut = self.state.lock().shut;
        let incoming = self.incoming.lock();
        let mut events = WRITABLE;
        events.set(READABLE, !incoming.packets.is_empty() || shut.contains(Shut::READ));
        events.set(Events::RDHUP, shut.contains(Shut::READ));
        events.set(Events::HUP, shut == Shut::all());
        let errors = !incoming.errors.is_empty() || self.zero_copy.is_due();
        events.set(Events::ERR, self.error.load(Ordering::Acquire) != 0 || errors);
        let urgent = !incoming.errors.is_empty() && self.options.is_on(Setting::SelectErrorQueue);
        events.set(Events::PRI, urgent);
        events
    }
    fn number(&self, request: u32) -> Result<usize> {
        match request {
            FIONREAD => Ok(self.incoming.lock().packets.front().map_or(0, |first| first.bytes.len())),
            TIOCOUTQ => Ok(0),
            _ => Err(Error::NotTerminal),
        }
    }
}

impl Inlet for DatagramSocket {
    fn options(&self) -> &Settings {
        &self.options
    }
    fn hears(&self, from: SocketAddr, to: IpAddr) -> bool {
        Self::hears(self, from, to).is_some()
    }
    fn datagram(&self, datagram: &carrier::Datagram<'_>) {
        if Self::hears(self, datagram.from, datagram.info.to.ip()).is_some() {
            self.take_in(datagram.bytes, datagram.from, datagram.info);
        }
    }
    fn undeliverable(&self, to: SocketAddr, error: i32) {
        self.fail(to, error, (3, 3), &[]);
    }
    fn connection(
        &self,
        _local: SocketAddr,
        _peer: SocketAddr,
        _queue: &Arc<WaitQueue>,
        carrier: Arc<dyn StreamCarrier>,
    ) -> core::result::Result<(), Arc<dyn StreamCarrier>> {
        Err(carrier)
    }
    fn room(&self) -> usize {
        0
    }
}
