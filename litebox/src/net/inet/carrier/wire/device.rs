//! smoltcp's view of the device, for one connection: at most one packet comes in by it, and those that go out are
//! written to the host.

use alloc::vec::Vec;

use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use super::packet::{
    self, DEVICE_HEADER, FIN, MOST_PACKET, Offload, PSH, SYN, TCP, Tcp, edit_syn, header_length, partial_checksum,
    put_device_header,
};
use super::urgent::Sending;
use crate::platform::{HostFd, host};

/// How a connection sends.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// The device's descriptor.
    pub fd: HostFd,
    /// Its longest packet.
    pub mtu: usize,
    /// Bytes that the peer takes in one segment: longer ones are cut by the host.
    pub segment: u16,
    /// The type of service, or traffic class.
    pub tos: u8,
}

/// The device while a connection looks at it.
pub(super) struct Wire<'a> {
    /// The packet that came, IP header first.
    pub incoming: Option<&'a [u8]>,
    /// Room for a frame.
    pub scratch: &'a mut Vec<u8>,
    pub way: Way,
    /// What is urgent of what is sent.
    pub sending: &'a mut Sending,
}

pub(super) struct Incoming<'a>(&'a [u8]);

pub(super) struct Outgoing<'a> {
    scratch: &'a mut Vec<u8>,
    way: Way,
    sending: &'a mut Sending,
}

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        if self.scratch.len() < DEVICE_HEADER + len {
            self.scratch.resize(DEVICE_HEADER + len, 0);
        }
        let (frame, _) = self.scratch.split_at_mut(DEVICE_HEADER + len);
        let (_, packet) = frame.split_at_mut(DEVICE_HEADER);
        let result = f(packet);
        if is_to_be_cut(frame, self.way, self.sending) {
            for mut piece in cut(frame, self.way.segment.into()) {
                finish(&mut piece, self.way, self.sending);
                send(&piece, self.way);
            }
        } else {
            finish(frame, self.way, self.sending);
            send(frame, self.way);
        }
        result
    }
}

fn send(frame: &[u8], way: Way) {
    // SAFETY: the frame is so long. What finds no room is lost, as on any wire.
    let _ = unsafe { host().host_send(way.fd, frame.as_ptr() as usize, frame.len()) };
}

/// Where the transport and its payload begin in a frame, and its header.
fn parts(frame: &[u8]) -> Option<(usize, usize, Tcp)> {
    let six = frame.get(DEVICE_HEADER)? >> 4 == 6;
    let start = DEVICE_HEADER + header_length(six);
    let tcp = Tcp::parse(frame.get(start..)?)?;
    Some((start, start + tcp.header, tcp))
}

/// Whether a frame is one for the host to cut, which would mark all pieces alike: with something urgent ahead each has
/// a pointer of its own.
fn is_to_be_cut(frame: &[u8], way: Way, sending: &Sending) -> bool {
    parts(frame).is_some_and(|(_, payload, tcp)| {
        frame.len() - payload > usize::from(way.segment) && sending.pointer(tcp.sequence).is_some()
    })
}

/// The segments that a frame is cut into. Where there is no memory for one, it and what follows is lost.
fn cut(frame: &[u8], segment: usize) -> impl Iterator<Item = Vec<u8>> {
    let (start, payload, tcp) = parts(frame).unwrap_or((0, frame.len(), Tcp::default()));
    let (headers, bytes) = frame.split_at(payload);
    let last = bytes.len().saturating_sub(1) / segment.max(1);
    bytes.chunks(segment.max(1)).enumerate().map_while(move |(index, bytes)| {
        let mut piece = Vec::new();
        piece.try_reserve_exact(headers.len() + bytes.len()).ok()?;
        piece.extend_from_slice(headers);
        piece.extend_from_slice(bytes);
        set_length(piece.get_mut(DEVICE_HEADER..)?, start - DEVICE_HEADER);
        let sequence = tcp.sequence.wrapping_add((index * segment) as u32);
        let flags = if index == last { tcp.flags } else { tcp.flags & !(FIN | PSH) };
        let header = piece.get_mut(start..)?;
        header.get_mut(4..8)?.copy_from_slice(&sequence.to_be_bytes());
        *header.get_mut(13)? = flags;
        Some(piece)
    })
}

/// Has the IP header of a packet, which has `header` bytes, say how long it is.
fn set_length(packet: &mut [u8], header: usize) {
    let len = packet.len();
    if header == header_length(true) {
        packet::put_word(packet, 4, (len - header) as u16);
        return;
    }
    packet::put_word(packet, 2, len as u16);
    let Some(header) = packet.get_mut(..header) else { return };
    packet::put_word(header, 10, 0);
    let check = packet::checksum(header);
    packet::put_word(header, 10, check);
}

/// Puts in what is the device's business: the segments that the sandbox takes, where checksums lie, and into what the
/// packet is to be cut.
fn finish(frame: &mut [u8], way: Way, sending: &mut Sending) {
    let six = frame.get(DEVICE_HEADER).is_some_and(|first| first >> 4 == 6);
    let header = header_length(six);
    let (from, to) = ends(frame.get(DEVICE_HEADER..).unwrap_or_default(), six);
    set_tos(frame.get_mut(DEVICE_HEADER..).unwrap_or_default(), six, way.tos);
    let Some(segment) = frame.get_mut(DEVICE_HEADER + header..) else { return };
    let Some(tcp) = Tcp::parse(segment) else { return };
    if tcp.flags & SYN != 0 {
        let own = (way.mtu - (header + Tcp::LEAST).min(way.mtu)).min(MOST_PACKET) as u16;
        edit_syn(segment.get_mut(..tcp.header).unwrap_or_default(), |_| own);
    }
    sending.mark(segment, &tcp);
    packet::put_word(segment, Tcp::CHECKSUM.into(), partial_checksum(from, to, TCP, segment.len()));
    let is_long = segment.len() - tcp.header > usize::from(way.segment);
    let offload = Offload { checksum_at: Some(Tcp::CHECKSUM), segment: is_long.then_some(way.segment) };
    put_device_header(frame, six, header, tcp.header, offload);
}

fn ends(packet: &[u8], six: bool) -> (core::net::IpAddr, core::net::IpAddr) {
    use core::net::{Ipv4Addr, Ipv6Addr};
    let four = |at: usize| {
        let octets: [u8; 4] = packet.get(at..at + 4).and_then(|o| o.try_into().ok()).unwrap_or_default();
        Ipv4Addr::from(octets).into()
    };
    let long = |at: usize| {
        let octets: [u8; 16] = packet.get(at..at + 16).and_then(|o| o.try_into().ok()).unwrap_or_default();
        Ipv6Addr::from(octets).into()
    };
    if six { (long(8), long(24)) } else { (four(12), four(16)) }
}

fn set_tos(packet: &mut [u8], six: bool, tos: u8) {
    if tos == 0 {
        return;
    }
    if six {
        if let [first, second, ..] = packet {
            *first = 0x60 | tos >> 4;
            *second = *second & 0xf | tos << 4;
        }
        return;
    }
    let Some(header) = packet.get_mut(..header_length(false)) else { return };
    if let Some(slot) = header.get_mut(1) {
        *slot = tos;
    }
    packet::put_word(header, 10, 0);
    let check = packet::checksum(header);
    packet::put_word(header, 10, check);
}

impl Device for Wire<'_> {
    type RxToken<'b>
        = Incoming<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Outgoing<'b>
    where
        Self: 'b;

    fn receive(&mut self, _now: Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let packet = self.incoming.take()?;
        Some((Incoming(packet), Outgoing { scratch: self.scratch, way: self.way, sending: self.sending }))
    }
    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing { scratch: self.scratch, way: self.way, sending: self.sending })
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut own = DeviceCapabilities::default();
        own.medium = Medium::Ip;
        // The host cuts.
        own.max_transmission_unit = MOST_PACKET;
        // Those of IP have been looked at, and those of TCP are completed by the host.
        own.checksum.ipv4 = Checksum::Tx;
        own.checksum.tcp = Checksum::None;
        own
    }
}
