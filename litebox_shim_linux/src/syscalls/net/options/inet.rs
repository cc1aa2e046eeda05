//! Options of TCP, IP and their kin that are more than one number kept.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use litebox::error::errno::{EADDRNOTAVAIL, EPROTO};
use litebox::net::inet::{Group, LOOPBACK, TcpSocket, TcpState};
use litebox::net::{Address, Setting, Socket, SocketKind};
use litebox::{Error, Result};
use litebox_common_linux::abi::layout::Layouts;
pub(super) use litebox_common_linux::abi::socket::SOL_NETLINK;
use litebox_common_linux::abi::socket_option::{
    IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MTU, IP_MULTICAST_IF, IP_OPTIONS, IP_PROTOCOL, IP_TOS, IP_UNICAST_IF,
    IPV6_ADD_MEMBERSHIP, IPV6_ADDR_PREFERENCES, IPV6_ADDRFORM, IPV6_DROP_MEMBERSHIP, IPV6_DSTOPTS, IPV6_HOPOPTS,
    IPV6_MTU, IPV6_MULTICAST_IF, IPV6_RTHDR, IPV6_RTHDRDSTOPTS, IPV6_TCLASS, IPV6_UNICAST_IF, IPV6_V6ONLY,
    MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP, NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP, TCP_CC_INFO, TCP_CONGESTION,
    TCP_DEFER_ACCEPT, TCP_FASTOPEN, TCP_INFO, TCP_LINGER2, TCP_MAXSEG, TCP_REPAIR, TCP_SAVED_SYN, TCP_TIMESTAMP,
    TCP_ULP, TCP_WINDOW_CLAMP, UDPLITE_RECV_CSCOV, UDPLITE_SEND_CSCOV,
};

use super::{
    ENOPROTOOPT, Given, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, Value, change, number,
    numbers, table,
};
use crate::syscalls::net::{AF_INET, AF_INET6, ENOTCONN};
use crate::user::{read_bytes, word};

const MOST_NETLINK_GROUPS: i32 = 39;
const LEAST_MTU_SIX: i32 = 1280;

const ENOENT: Error = Error::NotFound;
/// The most connections that may wait to be accepted (net.core.somaxconn).
const SOMAXCONN: i32 = 4096;
/// The longest packet of the loopback device.
const MTU: i32 = 65536;
/// Bytes of one segment on it, before and after a connection is there.
const SEGMENT_UNCONNECTED: i32 = 536;
const SEGMENT: i32 = 32741;
/// Bytes of a segment that timestamps take.
const TIMESTAMPS: i32 = 12;
/// How long a connection that is half closed is kept, in seconds (net.ipv4.tcp_fin_timeout), and the most that it can
/// be.
const FIN_TIMEOUT: i32 = 60;
const LONGEST_LINGER: i32 = 120;
/// The names of ways to control congestion there are; nothing is congested here.
const CONGESTION: [&[u8]; 2] = [b"cubic", b"reno"];
const CONGESTION_NAME: usize = 16;

/// The number of a network device.
pub(super) fn interface_of(name: &[u8]) -> Option<i32> {
    (name == b"lo").then_some(LOOPBACK as i32)
}

/// The name of a network device, with its zero; nothing of none.
pub(super) fn interface_name(index: i32) -> &'static [u8] {
    if index == LOOPBACK as i32 { b"lo\0" } else { b"" }
}

fn check_interface(index: i32, error: Error) -> Result<()> {
    if matches!(index, 0) || index == LOOPBACK as i32 { Ok(()) } else { Err(error) }
}

fn state_of(socket: &dyn Socket) -> TcpState {
    socket.as_any().downcast_ref::<TcpSocket>().map_or(TcpState::Closed, TcpSocket::tcp_state)
}

/// How often a SYN is sent again within so many seconds, and how many seconds that is: TCP_DEFER_ACCEPT is kept as the
/// first.
fn seconds_deferred(seconds: i32) -> i32 {
    if seconds <= 0 {
        return 0;
    }
    let (mut period, mut step) = (1, 1);
    for _ in 1..u8::MAX {
        if period >= seconds {
            break;
        }
        step = (step * 2).min(LONGEST_LINGER);
        period += step;
    }
    period
}

pub(super) fn set(socket: &dyn Socket, level: i32, name: i32, given: &Given) -> Result<()> {
    match level {
        IPPROTO_TCP => set_tcp(socket, name, given),
        IPPROTO_IP => set_ip(socket, name, given),
        IPPROTO_IPV6 => set_ipv6(socket, name, given),
        SOL_NETLINK if matches!(name, NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP) => {
            // Nothing is ever told to groups: nothing changes that they are about.
            if (1..=MOST_NETLINK_GROUPS).contains(&given.number()?) { Ok(()) } else { Err(Error::Invalid) }
        }
        IPPROTO_UDP | IPPROTO_UDPLITE => set_udp(socket, name, given.number()?),
        _ => set_number(socket, level, name, given.number()?),
    }
}

/// Of UDP and UDP-Lite, whichever of the two levels is named.
fn set_udp(socket: &dyn Socket, name: i32, value: i32) -> Result<()> {
    /// The header is always covered.
    const LEAST_COVERAGE: i32 = 8;
    let setting = match name {
        UDPLITE_SEND_CSCOV => Setting::SendCoverage,
        UDPLITE_RECV_CSCOV => Setting::ReceiveCoverage,
        _ => return set_number(socket, IPPROTO_UDP, name, value),
    };
    if socket.protocol() != IPPROTO_UDPLITE {
        return Err(ENOPROTOOPT);
    }
    change(socket, setting, if value == 0 { 0 } else { value.clamp(LEAST_COVERAGE, u16::MAX.into()) });
    Ok(())
}

fn set_number(socket: &dyn Socket, level: i32, name: i32, value: i32) -> Result<()> {
    let row = table::find(socket, level, name)?.ok_or(ENOPROTOOPT)?;
    change(socket, row.setting, row.kept(value)?);
    Ok(())
}

fn set_tcp(socket: &dyn Socket, name: i32, given: &Given) -> Result<()> {
    match name {
        TCP_CONGESTION if given.len < 1 => return Err(Error::Invalid),
        TCP_CONGESTION => {
            let raw = given.bytes()?;
            let name = raw.split(|byte| *byte == 0).next().unwrap_or_default();
            let at = CONGESTION.iter().position(|known| *known == name).ok_or(ENOENT)?;
            change(socket, Setting::Congestion, at as i32);
            return Ok(());
        }
        TCP_ULP => return Err(ENOENT),
        _ => {}
    }
    let value = given.number()?;
    let state = state_of(socket);
    match name {
        TCP_REPAIR => Err(Error::NotPermitted),
        TCP_LINGER2 => {
            let value = if value == 0 { FIN_TIMEOUT } else { value.clamp(-1, LONGEST_LINGER) };
            change(socket, Setting::LingerTwo, value);
            Ok(())
        }
        TCP_DEFER_ACCEPT => {
            change(socket, Setting::DeferAccept, seconds_deferred(value));
            Ok(())
        }
        TCP_WINDOW_CLAMP if value == 0 && state != TcpState::Closed => Err(Error::Invalid),
        TCP_FASTOPEN if !matches!(state, TcpState::Closed | TcpState::Listen) => Err(Error::Invalid),
        TCP_FASTOPEN => set_number(socket, IPPROTO_TCP, name, value.min(SOMAXCONN)),
        _ => set_number(socket, IPPROTO_TCP, name, value),
    }
}

/// What `struct ip_mreqn`, or one of its shorter forms, says: the group, the device's address, its number.
fn multicast_request(given: &Given) -> Result<Group> {
    let raw = given.bytes()?;
    let address = Ipv4Addr::from(word::<4>(&raw, 0));
    let local = if raw.len() >= 8 { Ipv4Addr::from(word::<4>(&raw, 4)) } else { Ipv4Addr::UNSPECIFIED };
    let interface = if raw.len() >= 12 { u32::from_le_bytes(word(&raw, 8)) } else { 0 };
    Ok(Group { address: address.into(), interface, local })
}

/// `struct group_req`: the number of a device, and a group's address, which has to be of IPv6 (`six`) or IPv4.
fn group_request(given: &Given, six: bool) -> Result<Group> {
    /// Of `struct sockaddr_storage`.
    const STORAGE: usize = 128;
    // It is aligned as a pointer.
    let at = if given.layouts == Layouts::X86_64 { 8 } else { 4 };
    if given.len < at + STORAGE {
        return Err(Error::Invalid);
    }
    let raw = given.bytes()?;
    let interface = u32::from_le_bytes(word(&raw, 0));
    let family = i32::from(u16::from_le_bytes(word(&raw, at)));
    let address: IpAddr = match family {
        AF_INET6 if six => Ipv6Addr::from(word::<16>(&raw, at + 8)).into(),
        _ if six => return Err(EADDRNOTAVAIL),
        AF_INET => Ipv4Addr::from(word::<4>(&raw, at + 4)).into(),
        _ => return Err(Error::Invalid),
    };
    Ok(Group { address, interface, local: Ipv4Addr::UNSPECIFIED })
}

fn set_ip(socket: &dyn Socket, name: i32, given: &Given) -> Result<()> {
    match name {
        IP_MULTICAST_IF if socket.kind() == SocketKind::Stream => Err(Error::Invalid),
        IP_MULTICAST_IF if given.len < 4 => Err(Error::Invalid),
        IP_MULTICAST_IF => {
            // An address alone, or as the request to join has it.
            let request = multicast_request(given)?;
            let local = if given.len < 8 { request.address } else { request.local.into() };
            let index = match (request.interface, local) {
                (0, local) if local.is_unspecified() => 0,
                (0, local) if local.is_loopback() => LOOPBACK,
                (index, _) if index == LOOPBACK => LOOPBACK,
                _ => return Err(EADDRNOTAVAIL),
            };
            change(socket, Setting::MulticastInterface, index as i32);
            Ok(())
        }
        IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP if socket.kind() == SocketKind::Stream => Err(EPROTO),
        IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP if given.len < 8 => Err(Error::Invalid),
        IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP => {
            socket.membership(&multicast_request(given)?, name == IP_ADD_MEMBERSHIP)
        }
        MCAST_JOIN_GROUP | MCAST_LEAVE_GROUP => {
            socket.membership(&group_request(given, false)?, name == MCAST_JOIN_GROUP)
        }
        IP_UNICAST_IF => {
            let index = i32::from_be(given.number()?);
            check_interface(index, EADDRNOTAVAIL)?;
            change(socket, Setting::UnicastInterface, index);
            Ok(())
        }
        IP_OPTIONS if given.len == 0 => Ok(()),
        // Routes of a sender's choice lead nowhere here.
        IP_OPTIONS => Err(Error::NotPermitted),
        IP_TOS => {
            let value = given.short_number()?;
            let ecn = if socket.kind() == SocketKind::Stream { 3 } else { 0 };
            change(socket, Setting::Tos, value & 0xff & !ecn);
            Ok(())
        }
        _ => set_number(socket, IPPROTO_IP, name, given.short_number()?),
    }
}

fn set_ipv6(socket: &dyn Socket, name: i32, given: &Given) -> Result<()> {
    match name {
        IPV6_ADD_MEMBERSHIP | IPV6_DROP_MEMBERSHIP => {
            if given.len < 20 {
                return Err(Error::Invalid);
            }
            if socket.kind() == SocketKind::Stream {
                return Err(EPROTO);
            }
            let raw = given.bytes()?;
            let address = Ipv6Addr::from(word::<16>(&raw, 0)).into();
            let interface = u32::from_le_bytes(word(&raw, 16));
            let group = Group { address, interface, local: Ipv4Addr::UNSPECIFIED };
            socket.membership(&group, name == IPV6_ADD_MEMBERSHIP)
        }
        MCAST_JOIN_GROUP | MCAST_LEAVE_GROUP => {
            socket.membership(&group_request(given, true)?, name == MCAST_JOIN_GROUP)
        }
        IPV6_MULTICAST_IF if socket.kind() == SocketKind::Stream => Err(ENOPROTOOPT),
        IPV6_MULTICAST_IF => {
            let index = given.number()?;
            check_interface(index, Error::NoDevice)?;
            change(socket, Setting::MulticastInterfaceSix, index);
            Ok(())
        }
        IPV6_UNICAST_IF => {
            let index = i32::from_be(given.number()?);
            check_interface(index, EADDRNOTAVAIL)?;
            change(socket, Setting::UnicastInterfaceSix, index);
            Ok(())
        }
        IPV6_TCLASS if socket.kind() == SocketKind::Stream => {
            let value = given.number()?;
            // What says of congestion is TCP's own matter.
            let kept = if (0..=255).contains(&value) { value & !3 } else { value };
            set_number(socket, IPPROTO_IPV6, name, kept)
        }
        IPV6_MTU => match given.number()? {
            0 | LEAST_MTU_SIX.. => Ok(()),
            _ => Err(Error::Invalid),
        },
        IPV6_V6ONLY if is_bound(socket) => Err(Error::Invalid),
        IPV6_ADDRFORM if given.number()? == AF_INET => socket.become_four(),
        IPV6_ADDRFORM => Err(Error::Invalid),
        IPV6_HOPOPTS | IPV6_RTHDRDSTOPTS | IPV6_DSTOPTS | IPV6_RTHDR => set_extension_header(name, given),
        IPV6_ADDR_PREFERENCES => Ok(()),
        _ => set_number(socket, IPPROTO_IPV6, name, given.number()?),
    }
}

/// A header of IPv6 that goes along with what is sent. None can be set: most need a privilege, and routes of a sender's
/// choice are none of the types that there are here. Taking back what was not set does nothing.
fn set_extension_header(name: i32, given: &Given) -> Result<()> {
    /// The longest that IPv6's options may be.
    const LONGEST_HEADER: usize = 8 * 255;
    if name != IPV6_RTHDR {
        return Err(Error::NotPermitted);
    }
    if given.len == 0 {
        return Ok(());
    }
    if given.at == 0 || given.len < 8 || given.len & 7 != 0 || given.len > LONGEST_HEADER {
        return Err(Error::Invalid);
    }
    read_bytes::<8>(given.at)?;
    Err(Error::Invalid)
}

fn is_bound(socket: &dyn Socket) -> bool {
    matches!(socket.name(), Address::Inet(own) if own.port() != 0)
}

pub(super) fn value(socket: &dyn Socket, level: i32, name: i32, room: usize) -> Result<Value> {
    let special = match level {
        IPPROTO_TCP => tcp_value(socket, name, room)?,
        IPPROTO_IP => ip_value(socket, name)?,
        IPPROTO_IPV6 => ipv6_value(socket, name)?,
        IPPROTO_UDP | IPPROTO_UDPLITE => udp_value(socket, name),
        _ => None,
    };
    if let Some(value) = special {
        return Ok(value);
    }
    let level = if level == IPPROTO_UDPLITE { IPPROTO_UDP } else { level };
    let row = table::find(socket, level, name)?.ok_or(ENOPROTOOPT)?;
    let value = match (row.setting, socket.options().get(row.setting)) {
        (Setting::Ttl | Setting::UnicastHops, -1) => 64,
        (Setting::TrafficClass, -1) => 0,
        (Setting::MulticastTtl | Setting::MulticastHops, -1) => 1,
        (_, value) => value,
    };
    // One byte, for who has room for no more.
    if level == IPPROTO_IP && (1..4).contains(&room) && (0..=255).contains(&value) {
        return Ok(Value::from_slice(&[value as u8]));
    }
    Ok(number(value))
}

fn segment(socket: &dyn Socket) -> i32 {
    let set = socket.options().get(Setting::MaxSegment);
    match (state_of(socket), set) {
        (TcpState::Closed | TcpState::Listen, 0) => SEGMENT_UNCONNECTED,
        (TcpState::Closed | TcpState::Listen, set) => set,
        (_, 0) => SEGMENT,
        (_, set) => (set - TIMESTAMPS).min(SEGMENT),
    }
}

/// `struct tcp_info`: what a connection without packets can say.
fn tcp_info(socket: &dyn Socket) -> Value {
    const SIZE: usize = 248;
    let mut raw = Value::from_elem(0, SIZE);
    let mut put = |at: usize, value: u32| {
        if let Some(slot) = raw.get_mut(at..at + 4) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
    };
    let state = state_of(socket);
    let connected = !matches!(state, TcpState::Closed | TcpState::Listen);
    let unsent = socket.as_any().downcast_ref::<TcpSocket>().map_or(0, |tcp| tcp.waiting().1);
    put(0, state as u32);
    // Retransmission after 200 ms, delayed acknowledgement after 40, segments sent and received.
    put(8, if connected { 200_000 } else { 1_000_000 });
    put(12, if connected { 40_000 } else { 0 });
    put(16, segment(socket) as u32);
    put(20, if connected { segment(socket) as u32 } else { 88 });
    // Longest packet, receiver's threshold, round trip and its deviation, no slow start, window of ten segments.
    put(60, if connected { MTU as u32 } else { 0 });
    put(64, 65_483);
    put(68, if connected { 10 } else { 0 });
    put(72, if connected { 5 } else { 250_000 });
    put(76, 0x7fff_ffff);
    put(80, 10);
    put(84, 65_483);
    put(88, 3);
    put(148, unsent.try_into().unwrap_or(u32::MAX));
    raw
}

fn tcp_value(socket: &dyn Socket, name: i32, room: usize) -> Result<Option<Value>> {
    Ok(Some(match name {
        TCP_MAXSEG => number(segment(socket)),
        TCP_INFO => tcp_info(socket),
        TCP_CONGESTION => {
            let chosen = socket.options().get(Setting::Congestion);
            let name = CONGESTION.get(chosen as usize).copied().unwrap_or_default();
            let mut raw = Value::from_slice(name);
            raw.resize(CONGESTION_NAME.min(room), 0);
            raw
        }
        TCP_TIMESTAMP => number((litebox::platform::host().instant().0 / 1_000_000) as i32),
        TCP_CC_INFO | TCP_SAVED_SYN | TCP_ULP => Value::new(),
        _ => return Ok(None),
    }))
}

fn udp_value(socket: &dyn Socket, name: i32) -> Option<Value> {
    let setting = match name {
        UDPLITE_SEND_CSCOV => Setting::SendCoverage,
        UDPLITE_RECV_CSCOV => Setting::ReceiveCoverage,
        _ => return None,
    };
    Some(number(socket.options().get(setting).max(0)))
}

fn ip_value(socket: &dyn Socket, name: i32) -> Result<Option<Value>> {
    Ok(Some(match name {
        IP_OPTIONS => Value::new(),
        IP_MTU => {
            socket.peer_name().map_err(|_| ENOTCONN)?;
            number(MTU)
        }
        IP_MULTICAST_IF => match socket.options().get(Setting::MulticastInterface) {
            0 => numbers(&[0]),
            _ => Value::from_slice(&Ipv4Addr::LOCALHOST.octets()),
        },
        IP_UNICAST_IF => number(socket.options().get(Setting::UnicastInterface).to_be()),
        IP_PROTOCOL => number(socket.protocol()),
        _ => return Ok(None),
    }))
}

fn ipv6_value(socket: &dyn Socket, name: i32) -> Result<Option<Value>> {
    Ok(Some(match name {
        IPV6_MTU => {
            socket.peer_name().map_err(|_| ENOTCONN)?;
            number(MTU)
        }
        IPV6_MULTICAST_IF => number(socket.options().get(Setting::MulticastInterfaceSix)),
        IPV6_UNICAST_IF => number(socket.options().get(Setting::UnicastInterfaceSix).to_be()),
        IPV6_ADDR_PREFERENCES => number(1280),
        IPV6_ADDRFORM if matches!(socket.protocol(), IPPROTO_TCP | IPPROTO_UDP | IPPROTO_UDPLITE) => {
            socket.peer_name().map_err(|_| ENOTCONN)?;
            if socket.kind() == SocketKind::Stream && state_of(socket) != TcpState::Established {
                return Err(ENOTCONN);
            }
            number(AF_INET6)
        }
        IPV6_HOPOPTS | IPV6_RTHDRDSTOPTS | IPV6_DSTOPTS | IPV6_RTHDR => Value::new(),
        _ => return Ok(None),
    }))
}
