//! Packets as they lie in frames of a TUN device: the header of the device, IP, and the pieces of TCP, UDP and ICMP
//! that are looked at here. Whatever a peer sends is taken apart without a fault; what is not well-formed is nothing.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of the device's own header (`struct virtio_net_hdr_v1`).
pub const DEVICE_HEADER: usize = 12;
/// The longest packet of IP.
pub const MOST_PACKET: usize = 65_535;
/// The longest frame.
pub const MOST_FRAME: usize = DEVICE_HEADER + MOST_PACKET;

/// Protocol numbers.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMPv6.
pub const ICMP_SIX: u8 = 58;
/// The fragment header of IPv6.
const FRAGMENT_SIX: u8 = 44;

const HEADER_FOUR: usize = 20;
const HEADER_SIX: usize = 40;
const HEADER_FRAGMENT: usize = 8;
/// The checksum is to be completed by whoever sends the packet on.
const NEEDS_CHECKSUM: u8 = 1;
/// Somebody has looked at the checksum already.
const CHECKED: u8 = 2;
const GSO_TCP_FOUR: u8 = 1;
const GSO_TCP_SIX: u8 = 4;

/// Which piece of a datagram a packet holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// The datagram's number.
    pub id: u32,
    /// Where the piece belongs.
    pub offset: usize,
    /// More follows.
    pub more: bool,
}

/// The header of an IP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ip {
    /// Who sends.
    pub from: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// What it holds.
    pub protocol: u8,
    /// How many more routers it may pass.
    pub ttl: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// It is one of several pieces.
    pub fragment: Option<Fragment>,
}

/// A packet taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Its header.
    pub ip: Ip,
    /// Where its payload begins and ends, counted from where IP begins.
    pub payload: (usize, usize),
    /// The checksum of the transport need not be looked at.
    pub is_checked: bool,
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_be_bytes)
}

fn double(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

pub(super) fn put_word(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(slot) = bytes.get_mut(at..at.saturating_add(2)) {
        slot.copy_from_slice(&value.to_be_bytes());
    }
}

/// The sum that Internet checksums are made of, of `bytes` behind an even number of others whose sum is `start`.
fn sum(start: u64, bytes: &[u8]) -> u64 {
    let mut quads = bytes.chunks_exact(4);
    let total = quads.by_ref().fold(start, |total, quad| {
        let quad: [u8; 4] = quad.try_into().unwrap_or_default();
        total + u64::from(u32::from_be_bytes(quad))
    });
    let mut last = [0u8; 4];
    let rest = quads.remainder();
    if let Some(slot) = last.get_mut(..rest.len()) {
        slot.copy_from_slice(rest);
    }
    total + u64::from(u32::from_be_bytes(last))
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The Internet checksum (RFC 1071).
pub fn checksum(bytes: &[u8]) -> u16 {
    !folded(sum(0, bytes))
}

/// The sum of the pseudo header that a transport's checksum begins with.
fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, len: usize) -> u64 {
    let of = |start, ip| match ip {
        IpAddr::V4(four) => sum(start, &Ipv4Addr::octets(&four)),
        IpAddr::V6(six) => sum(start, &Ipv6Addr::octets(&six)),
    };
    of(of(u64::from(protocol) + len as u64, from), to)
}

/// The checksum of a transport's packet, of which the field is zero; what a good packet gives with its field is 0.
pub fn transport_checksum(from: IpAddr, to: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    !folded(sum(pseudo(from, to, protocol, bytes.len()), bytes))
}

/// Takes apart what came: the device's header, and the packet behind it. `None`: it is not well-formed.
pub fn parse(frame: &[u8]) -> Option<Packet> {
    let (device, packet) = frame.split_at_checked(DEVICE_HEADER)?;
    let flags = *device.first()?;
    let (ip, payload) = match packet.first()? >> 4 {
        4 => parse_four(packet)?,
        6 => parse_six(packet)?,
        _ => return None,
    };
    let is_checked = flags & (NEEDS_CHECKSUM | CHECKED) != 0;
    Some(Packet { ip, payload, is_checked })
}

fn parse_four(packet: &[u8]) -> Option<(Ip, (usize, usize))> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let total = usize::from(word(packet, 2)?);
    if header < HEADER_FOUR || total < header || total > packet.len() || checksum(packet.get(..header)?) != 0 {
        return None;
    }
    let pieces = word(packet, 6)?;
    let (more, offset) = (pieces & 0x2000 != 0, usize::from(pieces & 0x1fff) * 8);
    let id = u32::from(word(packet, 4)?);
    let ip = Ip {
        from: Ipv4Addr::from(double(packet, 12)?).into(),
        to: Ipv4Addr::from(double(packet, 16)?).into(),
        protocol: *packet.get(9)?,
        ttl: *packet.get(8)?,
        tos: *packet.get(1)?,
        fragment: (more || offset > 0).then_some(Fragment { id, offset, more }),
    };
    Some((ip, (header, total)))
}

fn parse_six(packet: &[u8]) -> Option<(Ip, (usize, usize))> {
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    };
    let end = HEADER_SIX + usize::from(word(packet, 4)?);
    if end > packet.len() {
        return None;
    }
    let mut ip = Ip {
        from: address(8)?,
        to: address(24)?,
        protocol: *packet.get(6)?,
        ttl: *packet.get(7)?,
        tos: (double(packet, 0)? >> 20) as u8,
        fragment: None,
    };
    let mut start = HEADER_SIX;
    if ip.protocol == FRAGMENT_SIX {
        let pieces = word(packet, start + 2)?;
        let (offset, more) = (usize::from(pieces & 0xfff8), pieces & 1 != 0);
        ip.protocol = *packet.get(start)?;
        ip.fragment = Some(Fragment { id: double(packet, start + 4)?, offset, more });
        start += HEADER_FRAGMENT;
    }
    (start <= end).then_some((ip, (start, end)))
}

/// What follows the device's header of a packet that is sent: who completes the checksum, and who cuts it into
/// segments.
#[derive(Clone, Copy, Default)]
pub struct Offload {
    /// Where the transport's checksum lies in its header.
    pub checksum_at: Option<u16>,
    /// The packet is one of TCP, to be cut into segments of so many bytes.
    pub segment: Option<u16>,
}

/// Writes the device's header for a packet whose IP header has `header` bytes and whose transport's has `transport`.
pub fn put_device_header(frame: &mut [u8], six: bool, header: usize, transport: usize, offload: Offload) {
    let Some(device) = frame.get_mut(..DEVICE_HEADER) else { return };
    device.fill(0);
    let [flags, kind, len, len_high, size, size_high, start, start_high, offset, offset_high, ..] = device else {
        return;
    };
    if let Some(at) = offload.checksum_at {
        *flags = NEEDS_CHECKSUM;
        [*start, *start_high] = (header as u16).to_le_bytes();
        [*offset, *offset_high] = at.to_le_bytes();
    }
    if let Some(segment) = offload.segment {
        *kind = if six { GSO_TCP_SIX } else { GSO_TCP_FOUR };
        [*len, *len_high] = ((header + transport) as u16).to_le_bytes();
        [*size, *size_high] = segment.to_le_bytes();
    }
}

/// What a transport's checksum begins with, for whoever completes it.
pub fn partial_checksum(from: IpAddr, to: IpAddr, protocol: u8, len: usize) -> u16 {
    folded(pseudo(from, to, protocol, len))
}

/// Length of the header of IP.
pub fn header_length(six: bool) -> usize {
    if six { HEADER_SIX } else { HEADER_FOUR }
}

/// A frame with an IP header for `len` bytes of payload, which the caller fills in: the frame, and where the payload
/// begins.
pub fn new_frame(ip: &Ip, id: u16, len: usize) -> Option<(Vec<u8>, usize)> {
    let six = ip.from.is_ipv6();
    let start = DEVICE_HEADER + header_length(six);
    let mut frame = Vec::new();
    frame.try_reserve_exact(start + len).ok()?;
    frame.resize(start + len, 0);
    let header = frame.get_mut(DEVICE_HEADER..start)?;
    match (ip.from, ip.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = u16::try_from(HEADER_FOUR + len).ok()?;
            let ([total, total_low], [id, id_low]) = (total.to_be_bytes(), id.to_be_bytes());
            header.get_mut(..HEADER_FOUR - 8)?.copy_from_slice(&[
                0x45,
                ip.tos,
                total,
                total_low,
                id,
                id_low,
                0,
                0,
                ip.ttl,
                ip.protocol,
                0,
                0,
            ]);
            header.get_mut(12..16)?.copy_from_slice(&from.octets());
            header.get_mut(16..20)?.copy_from_slice(&to.octets());
            let check = checksum(header);
            put_word(header, 10, check);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let first = 0x6000_0000 | u32::from(ip.tos) << 20;
            header.get_mut(..4)?.copy_from_slice(&first.to_be_bytes());
            put_word(header, 4, u16::try_from(len).ok()?);
            header.get_mut(6..8)?.copy_from_slice(&[ip.protocol, ip.ttl]);
            header.get_mut(8..24)?.copy_from_slice(&from.octets());
            header.get_mut(24..40)?.copy_from_slice(&to.octets());
        }
        _ => return None,
    }
    Some((frame, start))
}

/// The header of a TCP segment, as far as it is looked at.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tcp {
    /// Port of who sends.
    pub from: u16,
    /// Port to which.
    pub to: u16,
    /// Its number.
    pub sequence: u32,
    /// What it acknowledges.
    pub acknowledged: u32,
    /// FIN 1, SYN 2, RST 4, ACK 16.
    pub flags: u8,
    /// Length of the header.
    pub header: usize,
}

/// FIN
pub const FIN: u8 = 1;
/// SYN
pub const SYN: u8 = 2;
/// RST
pub const RST: u8 = 4;
/// PSH
pub const PSH: u8 = 8;
/// ACK
pub const ACK: u8 = 16;

impl Tcp {
    /// The length of a header without options.
    pub const LEAST: usize = 20;
    /// Where its checksum lies.
    pub const CHECKSUM: u16 = 16;

    /// Takes a segment apart.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = usize::from(bytes.get(12)? >> 4) * 4;
        if header < Self::LEAST || header > bytes.len() {
            return None;
        }
        Some(Self {
            from: word(bytes, 0)?,
            to: word(bytes, 2)?,
            sequence: double(bytes, 4)?,
            acknowledged: double(bytes, 8)?,
            flags: *bytes.get(13)?,
            header,
        })
    }
}

/// Goes through the options of the header of a SYN: tells `mss` what segments the peer takes, puts in its place what
/// that says, and takes the offer of selective acknowledgements away. What is not well-formed ends the list.
pub fn edit_syn(header: &mut [u8], mut mss: impl FnMut(u16) -> u16) {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const SEGMENT: u8 = 2;
    const SELECTIVE: u8 = 4;
    let mut at = Tcp::LEAST;
    while let Some(kind) = header.get(at).copied() {
        if kind == NOTHING {
            at += 1;
            continue;
        }
        let len = header.get(at + 1).copied().map_or(0, usize::from);
        if kind == END || len < 2 || at + len > header.len() {
            // The rest means nothing, to whoever reads on as well.
            header.get_mut(at..).unwrap_or_default().fill(END);
            return;
        }
        match (kind, len) {
            (SEGMENT, 4) => {
                let new = mss(word(header, at + 2).unwrap_or(0));
                put_word(header, at + 2, new);
            }
            (SELECTIVE | SEGMENT, _) => header.get_mut(at..at + len).unwrap_or_default().fill(NOTHING),
            _ => {}
        }
        at += len;
    }
}
