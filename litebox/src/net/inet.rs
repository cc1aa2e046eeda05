//! IPv4 and IPv6.
//!
//! - `stream`: TCP sockets. `datagram`: UDP, and ping sockets (`ping`).
//! - `groups`: which multicast groups a socket is in. `ports`: who has which port. `routes`: which
//!   addresses are the sandbox's own.
//! - `carrier`: what leads to the other end. `list`: what /proc and netlink tell of sockets.
//!
//! Locks: a socket's state; its port's shard; what waits at a listener; a connection's ends; wait queues.

pub mod carrier;
mod datagram;
mod groups;
mod list;
mod ping;
mod ports;
mod routes;
mod stream;
#[cfg(test)]
mod tests;
mod zerocopy;

pub use super::socket::Group;
pub use carrier::TcpState;
pub use datagram::{DatagramSocket, Transport};
pub use list::Row;
pub use ports::FREE_PORTS;
pub use routes::{Device, LOOPBACK, OUTWARD};
pub use stream::TcpSocket;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};

use self::carrier::Outside;
use self::carrier::local::Memory;
use self::ports::{Claim, Ports};
use crate::error::errno::{EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH};
use crate::net::{Address, Family, Setting, Settings, address};
use crate::sync::Mutex;
use crate::{Error, Result};

/// What was counted of datagrams.
#[derive(Default)]
#[expect(missing_docs, reason = "the names are those of SNMP's tables, as RFC 4113 has them")]
pub struct DatagramCounters {
    pub received: Counter,
    pub no_ports: Counter,
    pub sent: Counter,
    pub lost: Counter,
}

/// What was counted (/proc/net/snmp).
#[derive(Default)]
#[expect(missing_docs, reason = "the names are those of SNMP's tables, as RFC 4022 and 4113 have them")]
pub struct Counters {
    pub tcp_active_opens: Counter,
    pub tcp_passive_opens: Counter,
    pub tcp_attempt_fails: Counter,
    pub tcp_resets: Counter,
    pub udp: DatagramCounters,
    pub udp_lite: DatagramCounters,
    pub icmp_echos: Counter,
}

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The network of a sandbox: its addresses, its ports, and what leads out, if anything.
#[derive(Default)]
pub struct Network {
    tcp: Arc<Ports<stream::Seat>>,
    udp: Arc<Ports<DatagramSocket>>,
    udp_lite: Arc<Ports<DatagramSocket>>,
    pings: Arc<Ports<DatagramSocket>>,
    pings_six: Arc<Ports<DatagramSocket>>,
    /// Groups that sockets are in, and how many are.
    groups: Mutex<BTreeMap<IpAddr, usize>>,
    memory: Arc<Memory>,
    outside: Option<Arc<dyn Outside>>,
    /// What was counted.
    pub counters: Counters,
}

impl Network {
    /// A network with a way out, or with the loopback device alone.
    pub fn new(outside: Option<Arc<dyn Outside>>) -> Arc<Self> {
        Arc::new(Self { outside, ..Self::default() })
    }
    /// What leads out.
    pub fn outside(&self) -> Option<&Arc<dyn Outside>> {
        self.outside.as_ref()
    }
}

/// The address of a socket of IPv4 (`six` false) or IPv6, from one that a caller gave it.
fn given(to: &Address) -> Result<SocketAddr> {
    match to {
        Address::Inet(inet) => Ok(*inet),
        _ => Err(EAFNOSUPPORT),
    }
}

/// Whether addresses of IPv4 mean something to a socket: EADDRNOTAVAIL, ENETUNREACH (`error`).
fn check_family(six: bool, options: &Settings, ip: IpAddr, error: Error) -> Result<()> {
    let foreign = if six { ip.is_ipv4() && options.is_on(Setting::V6Only) } else { ip.is_ipv6() };
    if foreign { Err(error) } else { Ok(()) }
}

/// What a socket says when it wants a port.
fn claim(six: bool, options: &Settings, ip: IpAddr, uid: u32, datagram: bool) -> Claim {
    Claim {
        ip,
        six,
        dual: six && !options.is_on(Setting::V6Only),
        reuse: options.is_on(Setting::ReuseAddress),
        share: options.is_on(Setting::ReusePort),
        uid,
        listens: false,
        datagram,
    }
}

/// Which of several that share a port is meant by somebody: always the same one.
fn share_of(from: SocketAddr, count: usize) -> usize {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = match from.ip() {
        IpAddr::V4(ip) => ip.octets().into_iter().fold(0xcbf2_9ce4_8422_2325, mix),
        IpAddr::V6(ip) => ip.octets().into_iter().fold(0xcbf2_9ce4_8422_2325, mix),
    };
    let hash = from.port().to_be_bytes().into_iter().fold(hash, mix);
    // The last byte has to count in all bits.
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    ((hash >> 33) as usize).checked_rem(count).unwrap_or(0)
}

fn family(six: bool) -> Family {
    if six { Family::Inet6 } else { Family::Inet }
}

/// The address that a socket without one shows.
fn nowhere(six: bool) -> Address {
    Address::Inet(SocketAddr::new(address::any(six), 0))
}
