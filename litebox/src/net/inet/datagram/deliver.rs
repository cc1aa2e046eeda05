//! Who gets a datagram.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use litebox_common_linux::Errno;

use super::{DatagramSocket, Packet, READABLE, Transport, Way};
use crate::io::Source;
use crate::net::inet::carrier::Port;
use crate::net::inet::ports::Claim;
use crate::net::inet::routes::{LOOPBACK, Route, is_broadcast};
use crate::net::inet::share_of;
use crate::net::{PacketInfo, PacketOptions, Setting, Shut};
use crate::platform::{ClockId, host};
use crate::{Error, Result};

const PORT_UNREACHABLE: (u8, u8) = (3, 3);
const PORT_UNREACHABLE_SIX: (u8, u8) = (1, 4);
/// How many routers a packet may pass, where nobody says.
const HOPS: u8 = 64;

impl DatagramSocket {
    /// Sends one datagram.
    pub(super) fn dispatch(&self, way: &Way, bytes: &[u8]) -> Result<()> {
        self.counters().sent.count();
        if way.route == Route::Out {
            return self.send_out(way, bytes);
        }
        let info = self.info(way);
        if way.to.ip().is_multicast() || is_broadcast(way.to.ip()) {
            self.spread(way, bytes, info);
            return Ok(());
        }
        if let Some(receiver) = self.receiver(way) {
            if receiver.is_covered(self.coverage(bytes.len())) {
                receiver.take_in(bytes, way.from, info);
            }
        } else {
            self.counters().no_ports.count();
            let kind = if way.to.is_ipv4() { PORT_UNREACHABLE } else { PORT_UNREACHABLE_SIX };
            self.fail(way.to, Errno::ECONNREFUSED.0, kind, bytes);
        }
        Ok(())
    }
    pub(in crate::net::inet) fn send_out(&self, way: &Way, bytes: &[u8]) -> Result<()> {
        let outlet = self.outlet()?;
        let PacketInfo { ttl, tos, .. } = self.info(way);
        let packet = PacketOptions { ttl: Some(ttl), tos: Some(tos), ..way.packet };
        outlet.send(way.to, &mut Source::kernel(bytes), &packet).map(drop)
    }
    /// What the receiver can learn.
    fn info(&self, way: &Way) -> PacketInfo {
        let set = |setting| u8::try_from(self.options.get(setting)).ok();
        let multicast = way.to.ip().is_multicast();
        let (ttl, tos) = match (way.to.is_ipv4(), multicast) {
            (true, false) => (set(Setting::Ttl), set(Setting::Tos)),
            (true, true) => (Some(set(Setting::MulticastTtl).unwrap_or(1)), set(Setting::Tos)),
            (false, false) => (set(Setting::UnicastHops), set(Setting::TrafficClass)),
            (false, true) => (Some(set(Setting::MulticastHops).unwrap_or(1)), set(Setting::TrafficClass)),
        };
        PacketInfo {
            to: way.to,
            interface: LOOPBACK,
            ttl: way.packet.ttl.or(ttl).unwrap_or(HOPS),
            tos: way.packet.tos.or(tos).unwrap_or(0),
            stamp: host().now(ClockId::Realtime),
            segment: way.packet.segment,
        }
    }

    /// How much of a datagram of `len` bytes the checksum covers, with its header, if not all (UDPLITE_SEND_CSCOV).
    fn coverage(&self, len: usize) -> Option<i32> {
        if self.transport != Transport::UdpLite {
            return None;
        }
        let set = self.options.get(Setting::SendCoverage);
        (set > 0 && usize::try_from(set).is_ok_and(|set| set < len + super::UDP_HEADER)).then_some(set)
    }
    /// Whether the socket takes a datagram of which so much is covered (UDPLITE_RECV_CSCOV).
    fn is_covered(&self, coverage: Option<i32>) -> bool {
        let Some(coverage) = coverage else { return true };
        match self.options.get(Setting::ReceiveCoverage) {
            // Nobody asked for anything.
            -1 => true,
            // All of it has to be.
            0 => false,
            least => coverage >= least,
        }
    }

    /// Whether the socket hears what comes from `from`; a connected one is meant more.
    pub(super) fn hears(&self, from: SocketAddr, to: IpAddr) -> Option<bool> {
        let state = self.state.lock();
        match state.peer {
            Some(peer) if peer == from => state.source.is_none_or(|own| own == to || to.is_multicast()).then_some(true),
            Some(_) => None,
            None => Some(false),
        }
    }
    fn receiver(&self, way: &Way) -> Option<Arc<Self>> {
        let bound = self.ports().find(way.to, |_, _| true);
        let mut best: Option<(&Claim, &Arc<Self>, bool)> = None;
        for (claim, socket) in &bound {
            let Some(connected) = socket.hears(way.from, way.to.ip()) else { continue };
            if best.is_none_or(|(_, _, before)| connected && !before) {
                best = Some((claim, socket, connected));
            }
        }
        let (claim, socket, connected) = best?;
        if connected || !claim.share {
            return Some(socket.clone());
        }
        let alike = |other: &&(Claim, Arc<Self>)| {
            other.0.share && other.0.ip == claim.ip && other.1.hears(way.from, way.to.ip()) == Some(false)
        };
        let sharing: Vec<_> = bound.iter().filter(alike).collect();
        sharing.get(share_of(way.from, sharing.len())).map(|(_, socket)| socket.clone())
    }
    /// Whether the one receiver takes several datagrams as one (UDP_GRO).
    pub(super) fn reaches_one_that_joins(&self, way: &Way) -> bool {
        let single = !way.to.ip().is_multicast() && !is_broadcast(way.to.ip()) && way.route != Route::Out;
        single && self.receiver(way).is_some_and(|receiver| receiver.options.is_on(Setting::Gro))
    }

    /// Sends to all who listen to a group, or to everybody.
    fn spread(&self, way: &Way, bytes: &[u8], info: PacketInfo) {
        let group = way.to.ip();
        // What is sent to a group by the loopback device comes back by it, whatever IP_MULTICAST_LOOP says.
        let port = way.to.port();
        // Whoever is bound to all addresses, or to this one.
        let mut bound = self.ports().find(SocketAddr::new(group, port), |_, _| true);
        bound.retain(|(_, socket)| socket.hears(way.from, group).is_some());
        for (_, socket) in bound {
            let covered = || socket.is_covered(self.coverage(bytes.len()));
            if (!group.is_multicast() || socket.listens_to(group)) && covered() {
                socket.take_in(bytes, way.from, info);
            }
        }
    }

    /// A datagram comes.
    pub(in crate::net::inet) fn take_in(&self, bytes: &[u8], from: SocketAddr, info: PacketInfo) {
        if self.transport != Transport::Ping && self.state.lock().shut.contains(Shut::READ) {
            return;
        }
        let mut copy = Vec::new();
        if copy.try_reserve_exact(bytes.len()).is_err() {
            return;
        }
        copy.extend_from_slice(bytes);
        let limit = crate::net::Socket::buffer(self, false);
        let taken = self.incoming.lock().add(Packet { bytes: copy, from, info }, limit);
        let counters = self.counters();
        if taken {
            counters.received.count();
            self.queue.notify(READABLE);
        } else {
            counters.lost.count();
        }
    }

    pub(super) fn outlet(&self) -> Result<Arc<dyn crate::net::inet::carrier::Outlet>> {
        let mut state = self.state.lock();
        if let Some(outlet) = &state.outlet {
            return Ok(outlet.clone());
        }
        let local = state.port.as_ref().map(crate::net::inet::ports::Held::local).ok_or(Error::Invalid)?;
        let outside = self.network.outside().ok_or(Error::from_errno(Errno::ENETUNREACH.0))?;
        let kind = match self.transport {
            Transport::Udp => Port::Datagram,
            Transport::Ping => Port::Echo,
            // Nothing leads this out.
            Transport::UdpLite => return Err(Error::from_errno(Errno::ENETUNREACH.0)),
        };
        let inlet: Arc<dyn crate::net::inet::carrier::Inlet> = self.own.upgrade().ok_or(Error::Invalid)?;
        let outlet = outside.open(kind, local, &inlet)?;
        state.outlet = Some(outlet.clone());
        Ok(outlet)
    }
}
