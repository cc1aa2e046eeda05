//! What others are told of the sockets there are (/proc/net, sock_diag(7)).

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;

use super::datagram::DatagramSocket;
use super::ports::{Listed, Ports};
use super::stream::Seat;
use super::{Network, TcpState};
use crate::net::address;

/// One socket.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// It is one of IPv6.
    pub six: bool,
    /// Its own address.
    pub local: SocketAddr,
    /// Its peer's; nowhere, without one.
    pub peer: SocketAddr,
    /// Where it stands.
    pub state: TcpState,
    /// Bytes to be read; of a listener: connections that wait.
    pub receive: usize,
    /// Bytes not sent; of a listener: how many connections may wait.
    pub send: usize,
    /// Whose it is.
    pub uid: u32,
    /// Its inode; 0: no descriptor leads to it.
    pub ino: u64,
    /// How long it still is there.
    pub left: Option<Duration>,
    /// What was lost.
    pub lost: u32,
}

impl Network {
    /// All TCP sockets that have a port.
    pub fn tcp_rows(&self) -> Vec<Row> {
        let rows = self.tcp.list();
        // A bound socket that is connected or listens is told of once.
        rows.into_iter().filter_map(tcp_row).collect()
    }
    /// All UDP sockets that have a port.
    pub fn udp_rows(&self) -> Vec<Row> {
        datagram_rows(&self.udp)
    }
    /// All UDP-Lite sockets that have a port.
    pub fn udp_lite_rows(&self) -> Vec<Row> {
        datagram_rows(&self.udp_lite)
    }
    /// All ping sockets that have an identifier.
    pub fn ping_rows(&self) -> Vec<Row> {
        let mut rows = datagram_rows(&self.pings);
        rows.extend(datagram_rows(&self.pings_six));
        rows
    }
}

fn nowhere(six: bool) -> SocketAddr {
    SocketAddr::new(address::any(six), 0)
}

fn tcp_row(listed: Listed<Seat>) -> Option<Row> {
    let (local, peer, seat) = match listed {
        Listed::Bound(local, seat) => (local, nowhere(seat.six.load(Ordering::Relaxed)), seat),
        Listed::Connected(local, peer, seat) => (local, peer, seat),
        Listed::Ended(local, peer, six, left) => {
            let (state, left) = (TcpState::TimeWait, Some(left));
            return Some(Row { six, local, peer, state, receive: 0, send: 0, uid: 0, ino: 0, left, lost: 0 });
        }
    };
    let (state, receive, send) = seat.figures();
    if state == TcpState::Closed {
        return None;
    }
    let ino = seat.ino.load(Ordering::Relaxed);
    let six = seat.six.load(Ordering::Relaxed);
    Some(Row { six, local, peer, state, receive, send, uid: seat.uid, ino, left: None, lost: 0 })
}

fn datagram_rows(ports: &Ports<DatagramSocket>) -> Vec<Row> {
    let row = |listed: Listed<DatagramSocket>| {
        let Listed::Bound(_, socket) = listed else { return None };
        let (uid, ino) = socket.owner();
        let six = crate::net::Socket::family(&*socket) == crate::net::Family::Inet6;
        let (local, peer, receive, lost) = socket.figures();
        let state = if peer.is_some() { TcpState::Established } else { TcpState::Closed };
        let peer = peer.unwrap_or_else(|| nowhere(six));
        Some(Row { six, local: local?, peer, state, receive, send: 0, uid, ino, left: None, lost })
    };
    ports.list().into_iter().filter_map(row).collect()
}
