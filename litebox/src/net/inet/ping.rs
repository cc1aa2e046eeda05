//! Ping sockets (icmp(7)): echo requests, which the sandbox's own addresses answer at once; what is behind
//! a TUN device answers for itself.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::datagram::{DatagramSocket, Way};
use super::routes::{LOOPBACK, Route};
use crate::net::PacketInfo;
use crate::platform::{ClockId, host};
use crate::{Error, Result};

const HEADER: usize = 8;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST_SIX: u8 = 128;
const ECHO_REPLY_SIX: u8 = 129;

/// Sends an echo request from a socket whose port is the request's identifier: EINVAL for what is none, EACCES to an
/// outside that lets none through.
pub(super) fn send(socket: &DatagramSocket, way: &Way, mut packet: Vec<u8>) -> Result<()> {
    let (from, to) = (way.from, way.to);
    let (request, reply) = if to.is_ipv4() { (ECHO_REQUEST, ECHO_REPLY) } else { (ECHO_REQUEST_SIX, ECHO_REPLY_SIX) };
    let Some(header) = packet.get_mut(..HEADER) else { return Err(Error::Invalid) };
    let [kind, code, sum, sum_low, id, id_low, ..] = header else { return Err(Error::Invalid) };
    if *kind != request || *code != 0 {
        return Err(Error::Invalid);
    }
    [*id, *id_low] = from.port().to_be_bytes();
    if way.route == Route::Out {
        // Whoever lets it out puts the checksum in.
        return socket.send_out(way, &packet);
    }
    *kind = reply;
    [*sum, *sum_low] = [0, 0];
    if to.is_ipv4() {
        let check = checksum(&packet).to_be_bytes();
        if let Some(slot) = packet.get_mut(2..4) {
            slot.copy_from_slice(&check);
        }
    }
    socket.network().counters.icmp_echos.count();
    let info = PacketInfo {
        to: from,
        interface: LOOPBACK,
        ttl: 64,
        tos: 0,
        stamp: host().now(ClockId::Realtime),
        segment: None,
    };
    socket.take_in(&packet, SocketAddr::new(to.ip(), 0), info);
    Ok(())
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let sum = bytes.chunks(2).fold(0u32, |sum, pair| {
        let pair = [pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)];
        sum + u32::from(u16::from_be_bytes(pair))
    });
    let folded = (sum & 0xffff) + (sum >> 16);
    !(folded as u16).wrapping_add((folded >> 16) as u16)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_checksum_as_rfc_1071_has_it() {
        assert_eq!(super::checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
