//! What sockets of the sandbox have outside: a port at which they are found, and a way for datagrams and echo requests.

use alloc::sync::{Arc, Weak};
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU16, Ordering};

use super::packet::{self, DEVICE_HEADER, ICMP, ICMP_SIX, Ip, Offload, Packet, UDP, new_frame};
use super::{WireNetwork, control};
use crate::error::errno::{EMSGSIZE, ENETUNREACH};
use crate::io::Source;
use crate::net::inet::carrier::{Datagram, Inlet, Outlet, Port};
use crate::net::{PacketOptions, Setting};
use crate::{Error, Result};

const UDP_HEADER: usize = 8;
/// Where the checksum lies in the header of UDP.
const CHECKSUM: u16 = 6;
/// How many routers a packet may pass, where nobody says.
const HOPS: u8 = 64;

/// A socket that has a port.
pub(super) struct Bound {
    number: u64,
    local: IpAddr,
    pub inlet: Weak<dyn Inlet>,
}

impl Bound {
    /// Whether what is sent to `to` is for it; the higher the number, the more it is meant.
    pub fn matches(&self, to: IpAddr) -> Option<u32> {
        match (self.local, to) {
            (own, to) if own == to => Some(3),
            (own, to) if own.is_unspecified() && own.is_ipv4() == to.is_ipv4() => Some(2),
            (IpAddr::V6(own), IpAddr::V4(_)) if own.is_unspecified() => {
                let dual = |inlet: Arc<dyn Inlet>| !inlet.options().is_on(Setting::V6Only);
                self.inlet.upgrade().is_some_and(dual).then_some(1)
            }
            _ => None,
        }
    }
}

/// What a socket with a port has outside.
pub(super) struct WireOutlet {
    network: Arc<WireNetwork>,
    number: u64,
    kind: Port,
    local: SocketAddr,
    /// The number of the next packet.
    packets: AtomicU16,
}

impl WireOutlet {
    pub fn open(
        network: &Arc<WireNetwork>,
        kind: Port,
        local: SocketAddr,
        inlet: &Arc<dyn Inlet>,
    ) -> Option<Arc<Self>> {
        let number = network.next_number();
        let mut bound = network.bound.write();
        let there = bound.entry((kind, local.port())).or_default();
        there.try_reserve(1).ok()?;
        there.push(Bound { number, local: local.ip(), inlet: Arc::downgrade(inlet) });
        drop(bound);
        let packets = AtomicU16::new(number as u16);
        Some(Arc::new(Self { network: network.clone(), number, kind, local, packets }))
    }

    /// The header of a packet to somebody.
    fn header(&self, to: IpAddr, protocol: u8, packet: &PacketOptions) -> Result<Ip> {
        let asked = packet.source.filter(|own| own.is_ipv4() == to.is_ipv4());
        let bound = Some(self.local.ip()).filter(|own| !own.is_unspecified() && own.is_ipv4() == to.is_ipv4());
        let from = asked.or(bound).or_else(|| self.network.own_address(to.is_ipv6())).ok_or(ENETUNREACH)?;
        let (ttl, tos) = (packet.ttl.unwrap_or(HOPS), packet.tos.unwrap_or(0));
        Ok(Ip { from, to, protocol, ttl, tos, fragment: None })
    }

    fn next_packet(&self) -> u16 {
        self.packets.fetch_add(1, Ordering::Relaxed)
    }

    fn send_datagram(&self, to: SocketAddr, source: &mut Source<'_>, packet: &PacketOptions) -> Result<usize> {
        let ip = self.header(to.ip(), UDP, packet)?;
        let len = source.remaining();
        let whole = UDP_HEADER + len;
        let (mut frame, start) = new_frame(&ip, self.next_packet(), whole).ok_or(EMSGSIZE)?;
        let datagram = frame.get_mut(start..).unwrap_or_default();
        source.take_whole(datagram.get_mut(UDP_HEADER..).unwrap_or_default())?;
        packet::put_word(datagram, 0, self.local.port());
        packet::put_word(datagram, 2, to.port());
        packet::put_word(datagram, 4, u16::try_from(whole).map_err(|_| EMSGSIZE)?);
        packet::put_word(datagram, CHECKSUM.into(), packet::partial_checksum(ip.from, ip.to, UDP, whole));
        let offload = Offload { checksum_at: Some(CHECKSUM), segment: None };
        packet::put_device_header(&mut frame, to.is_ipv6(), start - DEVICE_HEADER, UDP_HEADER, offload);
        self.network.write(&frame);
        Ok(len)
    }

    /// An echo request, whose identifier is the port. It was looked at already.
    fn send_echo(&self, to: SocketAddr, source: &mut Source<'_>, packet: &PacketOptions) -> Result<usize> {
        let protocol = if to.is_ipv4() { ICMP } else { ICMP_SIX };
        let ip = self.header(to.ip(), protocol, packet)?;
        let len = source.remaining();
        let (mut frame, start) = new_frame(&ip, self.next_packet(), len).ok_or(EMSGSIZE)?;
        source.take_whole(frame.get_mut(start..).unwrap_or_default())?;
        control::seal(&ip, frame.get_mut(start..).unwrap_or_default());
        self.network.write(&frame);
        Ok(len)
    }
}

impl Outlet for WireOutlet {
    fn send(&self, to: SocketAddr, source: &mut Source<'_>, packet: &PacketOptions) -> Result<usize> {
        match self.kind {
            Port::Datagram => self.send_datagram(to, source, packet),
            Port::Echo => self.send_echo(to, source, packet),
            Port::Stream => Err(Error::NotSupported),
        }
    }
}

impl Drop for WireOutlet {
    fn drop(&mut self) {
        let mut bound = self.network.bound.write();
        let key = (self.kind, self.local.port());
        if let Some(there) = bound.get_mut(&key) {
            there.retain(|other| other.number != self.number);
            if there.is_empty() {
                bound.remove(&key);
            }
        }
    }
}

/// In the supervisor: a datagram came. `bytes`: the packet, IP header first, or the payload alone if it came in pieces.
pub(super) fn take_datagram(network: &WireNetwork, packet: &Packet, bytes: &[u8]) {
    let (start, end) = packet.payload;
    let Some(datagram) = bytes.get(start..end) else { return };
    let field = |at| packet::word(datagram, at);
    let (Some(from), Some(to), Some(len)) = (field(0), field(2), field(4)) else { return };
    let Some(payload) = datagram.get(UDP_HEADER..len.into()) else { return };
    let (from, to) = (SocketAddr::new(packet.ip.from, from), SocketAddr::new(packet.ip.to, to));
    let inlets = network.inlets(Port::Datagram, to, from);
    if inlets.is_empty() {
        return control::no_such_port(network, packet, bytes);
    }
    let datagram = Datagram { bytes: payload, from, info: WireNetwork::info(packet, to) };
    // One that is connected hears its peer alone; then it is for the next one.
    let heard = inlets.iter().find(|inlet| inlet.hears(from, to.ip()));
    if let Some(inlet) = heard {
        inlet.datagram(&datagram);
    } else {
        control::no_such_port(network, packet, bytes);
    }
}
