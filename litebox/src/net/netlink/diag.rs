//! NETLINK_SOCK_DIAG: which sockets there are (sock_diag(7)).

use core::net::IpAddr;

use litebox_common_linux::abi::{socket, socket_option};

use super::Kernel;
use super::message::{Answer, Question, number};
use crate::net::SocketKind;
use crate::net::address;
use crate::net::inet::Row;
use crate::{Error, Result};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const TCPDIAG_GETSOCK: u16 = 18;
const AF_UNIX: u8 = socket::AF_UNIX as u8;
const AF_INET: u8 = socket::AF_INET as u8;
const AF_INET6: u8 = socket::AF_INET6 as u8;
const AF_NETLINK: u8 = socket::AF_NETLINK as u8;
const AF_PACKET: u8 = socket::AF_PACKET as u8;
const IPPROTO_ICMP: u8 = socket_option::IPPROTO_ICMP as u8;
const IPPROTO_TCP: u8 = socket_option::IPPROTO_TCP as u8;
const IPPROTO_UDP: u8 = socket_option::IPPROTO_UDP as u8;
const IPPROTO_UDPLITE: u8 = socket_option::IPPROTO_UDPLITE as u8;
/// Size of `struct inet_diag_req_v2`.
const INET_REQUEST: usize = 56;
const UNIX_REQUEST: usize = 24;

pub(super) fn answer(kernel: &Kernel, question: &Question<'_>, answer: &mut Answer) -> Result<()> {
    match question.kind {
        SOCK_DIAG_BY_FAMILY => {}
        // The way of old: TCP alone, and its states elsewhere.
        TCPDIAG_GETSOCK => return Err(Error::NotFound),
        _ => return Err(Error::Invalid),
    }
    let (family, protocol) = (number::<1>(question.body, 0)[0], number::<1>(question.body, 1)[0]);
    match family {
        AF_INET | AF_INET6 => {
            if question.body.len() < INET_REQUEST {
                return Err(Error::Invalid);
            }
            let rows = match protocol {
                IPPROTO_TCP => kernel.network.tcp_rows(),
                IPPROTO_UDP => kernel.network.udp_rows(),
                IPPROTO_UDPLITE => kernel.network.udp_lite_rows(),
                IPPROTO_ICMP => kernel.network.ping_rows(),
                _ if question.wants_all() => return Ok(()),
                _ => return Err(Error::NotFound),
            };
            inet(&rows, question, family == AF_INET6, answer)
        }
        AF_UNIX if question.body.len() < UNIX_REQUEST => Err(Error::Invalid),
        AF_UNIX => unix(kernel, question, answer),
        AF_NETLINK | AF_PACKET if question.wants_all() => Ok(()),
        _ => Err(Error::NotFound),
    }
}

fn put_words(raw: &mut alloc::vec::Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(four) => {
            raw.extend_from_slice(&four.octets());
            raw.extend_from_slice(&[0; 12]);
        }
        IpAddr::V6(six) => raw.extend_from_slice(&six.octets()),
    }
}

/// `struct inet_diag_sockid` without the cookie.
fn put_ends(raw: &mut alloc::vec::Vec<u8>, row: &Row) {
    raw.extend_from_slice(&row.local.port().to_be_bytes());
    raw.extend_from_slice(&row.peer.port().to_be_bytes());
    put_words(raw, address::shown(row.local, row.six).ip());
    put_words(raw, address::shown(row.peer, row.six).ip());
    raw.extend_from_slice(&[0; 4]);
}

fn put_inet(row: &Row, answer: &mut Answer) {
    let family = if row.six { AF_INET6 } else { AF_INET };
    let timer = if row.left.is_some() { 3 } else { 0 };
    let mut raw = alloc::vec![family, row.state as u8, timer, 0];
    put_ends(&mut raw, row);
    raw.extend_from_slice(&row.ino.to_le_bytes());
    let left = row.left.map_or(0, |left| left.as_millis());
    for word in [left as u32, row.receive as u32, row.send as u32, row.uid, row.ino as u32] {
        raw.extend_from_slice(&word.to_le_bytes());
    }
    answer.part(SOCK_DIAG_BY_FAMILY, &raw, |part| {
        // INET_DIAG_SHUTDOWN, and INET_DIAG_SKV6ONLY for sockets of IPv6.
        part.attribute(8, &[0]);
        if row.six {
            part.attribute(11, &[0]);
        }
    });
}

/// Sockets of IPv4 or IPv6: all in states that are asked for, or the one with these ends; ENOENT.
fn inet(rows: &[Row], question: &Question<'_>, six: bool, answer: &mut Answer) -> Result<()> {
    let states = u32::from_le_bytes(number(question.body, 4));
    let ours = rows.iter().filter(|row| row.six == six);
    if question.wants_all() {
        let wanted = ours.filter(|row| states.checked_shr(row.state as u32).unwrap_or(0) & 1 != 0);
        wanted.for_each(|row| put_inet(row, answer));
        return Ok(());
    }
    let ends = question.body.get(8..44).unwrap_or_default();
    let same = |row: &&Row| {
        let mut raw = alloc::vec::Vec::new();
        put_ends(&mut raw, row);
        raw.get(..36) == Some(ends)
    };
    put_inet(ours.into_iter().find(same).ok_or(Error::NotFound)?, answer);
    Ok(())
}

/// Local sockets: all in states that are asked for, or one by its inode; ENOENT.
fn unix(kernel: &Kernel, question: &Question<'_>, answer: &mut Answer) -> Result<()> {
    const SHOW_NAME: u32 = 1;
    const LISTEN: u8 = 10;
    const ESTABLISHED: u8 = 1;
    const CLOSED: u8 = 7;
    let states = u32::from_le_bytes(number(question.body, 4));
    let ino = u32::from_le_bytes(number(question.body, 8));
    let show = u32::from_le_bytes(number(question.body, 12));
    let mut found = false;
    for row in kernel.local.rows() {
        let state = match (row.listens, row.connected) {
            (true, _) => LISTEN,
            (false, true) => ESTABLISHED,
            (false, false) => CLOSED,
        };
        let wanted = if question.wants_all() { states >> state & 1 != 0 } else { row.ino as u32 == ino };
        if !wanted {
            continue;
        }
        found = true;
        let kind = match row.kind {
            SocketKind::Stream => 1,
            SocketKind::Datagram | SocketKind::Raw => 2,
            SocketKind::SeqPacket => 5,
        };
        let mut raw = alloc::vec![AF_UNIX, kind, state, 0];
        raw.extend_from_slice(&(row.ino as u32).to_le_bytes());
        raw.extend_from_slice(&row.ino.to_le_bytes());
        answer.part(SOCK_DIAG_BY_FAMILY, &raw, |part| {
            if let Some(mut name) = row.name.clone().filter(|_| show & SHOW_NAME != 0) {
                if let Some(first) = name.first_mut().filter(|first| **first == b'@') {
                    *first = 0;
                }
                part.attribute(0, &name);
            }
        });
    }
    if found || question.wants_all() { Ok(()) } else { Err(Error::NotFound) }
}
