//! ICMP: echo requests are answered, answers go to who asked, and errors to whose packet they are about. What nobody
//! wants is refused.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::Ordering;

use litebox_common_linux::Errno;

use super::WireNetwork;
use super::packet::{
    ACK, FIN, ICMP, ICMP_SIX, Ip, Packet, RST, SYN, TCP, Tcp, UDP, checksum, new_frame, put_word, transport_checksum,
    word,
};
use crate::net::inet::carrier::{Datagram, Port};
use crate::platform::host;

const HEADER: usize = 8;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TOO_OLD: u8 = 11;
const UNREACHABLE_SIX: u8 = 1;
const TOO_BIG_SIX: u8 = 2;
const TOO_OLD_SIX: u8 = 3;
const ECHO_REQUEST_SIX: u8 = 128;
const ECHO_REPLY_SIX: u8 = 129;

/// How many routers an answer may pass.
const HOPS: u8 = 64;
/// As much of a packet that was not wanted goes back (RFC 1812).
const MOST_RETURNED: usize = 548;
/// Errors that are sent in one second.
const ERRORS_A_SECOND: u64 = 1000;

/// Puts the checksum into a message.
pub(super) fn seal(ip: &Ip, message: &mut [u8]) {
    put_word(message, 2, 0);
    let sum = match ip.to {
        IpAddr::V4(_) => checksum(message),
        IpAddr::V6(_) => transport_checksum(ip.from, ip.to, ICMP_SIX, message),
    };
    put_word(message, 2, sum);
}

/// The header of an answer to a packet.
fn answer_to(ip: &Ip, protocol: u8) -> Ip {
    Ip { from: ip.to, to: ip.from, protocol, ttl: HOPS, tos: 0, fragment: None }
}

/// A message of ICMP came.
pub(super) fn take_four(network: &WireNetwork, packet: &Packet, bytes: &[u8]) {
    let (start, end) = packet.payload;
    let Some(message) = bytes.get(start..end).filter(|message| message.len() >= HEADER) else { return };
    let [kind, code, ..] = message else { return };
    // The checksum of one that came in pieces, or whole, is all here.
    if checksum(message) != 0 {
        return;
    }
    match *kind {
        ECHO_REQUEST if *code == 0 => echo(network, &packet.ip, message, ECHO_REPLY),
        ECHO_REPLY => give_reply(network, packet, message),
        UNREACHABLE | TOO_OLD => {
            let quoted = message.get(HEADER..).unwrap_or_default();
            let Some(quoted) = Quoted::four(quoted) else { return };
            const PORT: u8 = 3;
            const TOO_LONG: u8 = 4;
            let hard = *kind == UNREACHABLE && matches!(*code, 2 | PORT);
            let error = match (*kind, *code) {
                (UNREACHABLE, 0 | 6 | 11) => Errno::ENETUNREACH.0,
                (UNREACHABLE, 2) => Errno::ENOPROTOOPT.0,
                (UNREACHABLE, PORT) => Errno::ECONNREFUSED.0,
                (UNREACHABLE, TOO_LONG) => {
                    return narrow(network, &quoted, word(message, 6).map_or(0, usize::from));
                }
                _ => Errno::EHOSTUNREACH.0,
            };
            tell(network, &quoted, error, hard);
        }
        _ => {}
    }
}

/// A message of ICMPv6 came, whose checksum is right.
pub(super) fn take_six(network: &WireNetwork, packet: &Packet, bytes: &[u8]) {
    let (start, end) = packet.payload;
    let Some(message) = bytes.get(start..end).filter(|message| message.len() >= HEADER) else { return };
    let [kind, code, ..] = message else { return };
    match *kind {
        ECHO_REQUEST_SIX if *code == 0 => echo(network, &packet.ip, message, ECHO_REPLY_SIX),
        ECHO_REPLY_SIX => give_reply(network, packet, message),
        UNREACHABLE_SIX | TOO_BIG_SIX | TOO_OLD_SIX => {
            let Some(quoted) = message.get(HEADER..).and_then(Quoted::six) else { return };
            const PORT: u8 = 4;
            let hard = *kind == UNREACHABLE_SIX && *code == PORT;
            let error = match (*kind, *code) {
                (TOO_BIG_SIX, _) => {
                    let mtu = word(message, 6).filter(|_| word(message, 4) == Some(0)).map_or(0, usize::from);
                    return narrow(network, &quoted, mtu);
                }
                (UNREACHABLE_SIX, 0) => Errno::ENETUNREACH.0,
                (UNREACHABLE_SIX, 1) => Errno::EACCES.0,
                (UNREACHABLE_SIX, PORT) => Errno::ECONNREFUSED.0,
                _ => Errno::EHOSTUNREACH.0,
            };
            tell(network, &quoted, error, hard);
        }
        _ => {}
    }
}

fn echo(network: &WireNetwork, ip: &Ip, request: &[u8], kind: u8) {
    let ip = answer_to(ip, if ip.to.is_ipv4() { ICMP } else { ICMP_SIX });
    let Some((mut frame, start)) = new_frame(&ip, 0, request.len()) else { return };
    let Some(reply) = frame.get_mut(start..) else { return };
    reply.copy_from_slice(request);
    if let Some(first) = reply.first_mut() {
        *first = kind;
    }
    seal(&ip, reply);
    network.write(&frame);
}

/// An answer to an echo request: it goes to the socket whose identifier it has.
fn give_reply(network: &WireNetwork, packet: &Packet, message: &[u8]) {
    let Some(id) = word(message, 4) else { return };
    let (from, to) = (SocketAddr::new(packet.ip.from, 0), SocketAddr::new(packet.ip.to, id));
    let datagram = Datagram { bytes: message, from, info: WireNetwork::info(packet, to) };
    for inlet in network.inlets(Port::Echo, to, from) {
        inlet.datagram(&datagram);
    }
}

/// The packet of ours that an error is about.
struct Quoted {
    protocol: u8,
    /// The own end; of an echo request its identifier is the port.
    local: SocketAddr,
    peer: SocketAddr,
}

impl Quoted {
    fn four(packet: &[u8]) -> Option<Self> {
        let header = usize::from(packet.first()? & 0xf) * 4;
        let address = |at: usize| -> Option<IpAddr> {
            let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        };
        Self::new(*packet.get(9)?, address(12)?, address(16)?, packet.get(header.max(20)..)?)
    }
    fn six(packet: &[u8]) -> Option<Self> {
        let address = |at: usize| -> Option<IpAddr> {
            let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        };
        Self::new(*packet.get(6)?, address(8)?, address(24)?, packet.get(40..)?)
    }
    fn new(protocol: u8, from: IpAddr, to: IpAddr, transport: &[u8]) -> Option<Self> {
        let (local, peer) = match protocol {
            TCP | UDP => (word(transport, 0)?, word(transport, 2)?),
            ICMP | ICMP_SIX => (word(transport, 4)?, 0),
            _ => return None,
        };
        Some(Self { protocol, local: SocketAddr::new(from, local), peer: SocketAddr::new(to, peer) })
    }
}

/// Tells the socket that an error is about. Those that may pass (`hard` false) end connections that are being made, and
/// nothing else.
fn tell(network: &WireNetwork, quoted: &Quoted, error: i32, hard: bool) {
    match quoted.protocol {
        TCP => {
            if let Some(stream) = network.stream(&(quoted.local, quoted.peer)) {
                stream.unreachable(error);
            }
        }
        UDP if hard => {
            let inlets = network.inlets(Port::Datagram, quoted.local, quoted.peer);
            if let Some(inlet) = inlets.iter().find(|inlet| inlet.hears(quoted.peer, quoted.local.ip())) {
                inlet.undeliverable(quoted.peer, error);
            }
        }
        _ => {}
    }
}

fn narrow(network: &WireNetwork, quoted: &Quoted, mtu: usize) {
    if quoted.protocol == TCP {
        if let Some(stream) = network.stream(&(quoted.local, quoted.peer)) {
            stream.narrow(mtu);
        }
    }
}

/// Whether one more error may be sent in this second.
fn may_complain(network: &WireNetwork) -> bool {
    const BITS: u32 = 16;
    let second = host().instant().0 / 1_000_000_000;
    let next = |old: u64| {
        let (then, count) = (old >> BITS, old & ((1 << BITS) - 1));
        let count = if then == second { count } else { 0 };
        (count < ERRORS_A_SECOND).then_some(second << BITS | (count + 1))
    };
    network.errors.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
}

/// Nobody has the port that a datagram was sent to. `bytes`: the packet, as [`super::outlet::take_datagram`] has it.
pub(super) fn no_such_port(network: &WireNetwork, packet: &Packet, bytes: &[u8]) {
    const PORT: u8 = 3;
    const PORT_SIX: u8 = 4;
    let (start, end) = packet.payload;
    // One that came in pieces has no header any more.
    if start == 0 || !may_complain(network) {
        return;
    }
    let returned = bytes.get(..end.min(MOST_RETURNED)).unwrap_or_default();
    let four = packet.ip.to.is_ipv4();
    let (protocol, kind) = if four { (ICMP, [UNREACHABLE, PORT]) } else { (ICMP_SIX, [UNREACHABLE_SIX, PORT_SIX]) };
    let ip = answer_to(&packet.ip, protocol);
    let Some((mut frame, start)) = new_frame(&ip, 0, HEADER + returned.len()) else { return };
    let Some(message) = frame.get_mut(start..) else { return };
    let (head, rest) = message.split_at_mut(HEADER.min(message.len()));
    if let Some(first) = head.get_mut(..2) {
        first.copy_from_slice(&kind);
    }
    rest.copy_from_slice(returned);
    seal(&ip, message);
    network.write(&frame);
}

/// The sender of a segment hears once more which numbers come next, the own one and his.
pub(super) fn acknowledge(network: &WireNetwork, ip: &Ip, tcp: &Tcp, next: u32, acknowledged: u32) {
    answer_segment(network, ip, tcp, (next, acknowledged), ACK);
}

/// Nobody wants a segment that has `len` bytes of data: its sender hears of that (RFC 9293, 3.10.7.1).
pub(super) fn refuse(network: &WireNetwork, ip: &Ip, tcp: &Tcp, len: usize) {
    let counts = len as u32 + u32::from(tcp.flags & SYN != 0) + u32::from(tcp.flags & FIN != 0);
    let (sequence, acknowledged, flags) = if tcp.flags & ACK != 0 {
        (tcp.acknowledged, 0, RST)
    } else {
        (0, tcp.sequence.wrapping_add(counts), RST | ACK)
    };
    answer_segment(network, ip, tcp, (sequence, acknowledged), flags);
}

/// Sends a segment without data, and without room for any, to who sent one.
fn answer_segment(network: &WireNetwork, ip: &Ip, tcp: &Tcp, (sequence, acknowledged): (u32, u32), flags: u8) {
    let ip = answer_to(ip, TCP);
    let Some((mut frame, start)) = new_frame(&ip, 0, Tcp::LEAST) else { return };
    let Some(segment) = frame.get_mut(start..) else { return };
    put_word(segment, 0, tcp.to);
    put_word(segment, 2, tcp.from);
    if let Some(numbers) = segment.get_mut(4..12) {
        numbers.copy_from_slice(&[sequence.to_be_bytes(), acknowledged.to_be_bytes()].concat());
    }
    if let Some(rest) = segment.get_mut(12..14) {
        rest.copy_from_slice(&[(Tcp::LEAST as u8 / 4) << 4, flags]);
    }
    let sum = transport_checksum(ip.from, ip.to, TCP, segment);
    put_word(segment, Tcp::CHECKSUM.into(), sum);
    network.write(&frame);
}
