//! Sockets: addresses, messages, options, protocols.

use core::fmt::{self, Write};
use core::net::{Ipv4Addr, Ipv6Addr};

use super::structures::{field, read, vectors};
use super::{Context, Shown, address, flags, quoted};
use crate::abi::layout::Layouts;
use crate::abi::socket::{CMsgHdr, MessageFlags, MsgHdr};
use crate::abi::{Named, Names, alone};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
/// The longest address.
const MOST_ADDRESS: usize = 128;

const PROTOCOLS: Names = &[
    alone("IPPROTO_IP", 0),
    alone("IPPROTO_ICMP", 1),
    alone("IPPROTO_TCP", 6),
    alone("IPPROTO_UDP", 17),
    alone("IPPROTO_IPV6", 41),
    alone("IPPROTO_ICMPV6", 58),
    alone("IPPROTO_RAW", 255),
];
const NETLINK_PROTOCOLS: Names = &[
    alone("NETLINK_ROUTE", 0),
    alone("NETLINK_SOCK_DIAG", 4),
    alone("NETLINK_AUDIT", 9),
    alone("NETLINK_KOBJECT_UEVENT", 15),
    alone("NETLINK_GENERIC", 16),
];
const SOCKET_OPTIONS: Names = &[
    alone("SO_DEBUG", 1),
    alone("SO_REUSEADDR", 2),
    alone("SO_TYPE", 3),
    alone("SO_ERROR", 4),
    alone("SO_DONTROUTE", 5),
    alone("SO_BROADCAST", 6),
    alone("SO_SNDBUF", 7),
    alone("SO_RCVBUF", 8),
    alone("SO_KEEPALIVE", 9),
    alone("SO_OOBINLINE", 10),
    alone("SO_PRIORITY", 12),
    alone("SO_LINGER", 13),
    alone("SO_REUSEPORT", 15),
    alone("SO_PASSCRED", 16),
    alone("SO_PEERCRED", 17),
    alone("SO_RCVLOWAT", 18),
    alone("SO_SNDLOWAT", 19),
    alone("SO_RCVTIMEO_OLD", 20),
    alone("SO_SNDTIMEO_OLD", 21),
    alone("SO_BINDTODEVICE", 25),
    alone("SO_TIMESTAMP_OLD", 29),
    alone("SO_ACCEPTCONN", 30),
    alone("SO_PEERSEC", 31),
    alone("SO_SNDBUFFORCE", 32),
    alone("SO_RCVBUFFORCE", 33),
    alone("SO_PASSSEC", 34),
    alone("SO_MARK", 36),
    alone("SO_PROTOCOL", 38),
    alone("SO_DOMAIN", 39),
    alone("SO_PEERGROUPS", 59),
];
const TCP_OPTIONS: Names = &[
    alone("TCP_NODELAY", 1),
    alone("TCP_MAXSEG", 2),
    alone("TCP_CORK", 3),
    alone("TCP_KEEPIDLE", 4),
    alone("TCP_KEEPINTVL", 5),
    alone("TCP_KEEPCNT", 6),
    alone("TCP_SYNCNT", 7),
    alone("TCP_LINGER2", 8),
    alone("TCP_DEFER_ACCEPT", 9),
    alone("TCP_WINDOW_CLAMP", 10),
    alone("TCP_INFO", 11),
    alone("TCP_QUICKACK", 12),
    alone("TCP_CONGESTION", 13),
    alone("TCP_USER_TIMEOUT", 18),
    alone("TCP_FASTOPEN", 23),
];
const IP_OPTIONS: Names = &[
    alone("IP_TOS", 1),
    alone("IP_TTL", 2),
    alone("IP_PKTINFO", 8),
    alone("IP_MTU_DISCOVER", 10),
    alone("IP_RECVERR", 11),
    alone("IP_MTU", 14),
    alone("IP_BIND_ADDRESS_NO_PORT", 24),
    alone("IP_MULTICAST_IF", 32),
    alone("IP_MULTICAST_TTL", 33),
    alone("IP_MULTICAST_LOOP", 34),
    alone("IP_ADD_MEMBERSHIP", 35),
    alone("IP_DROP_MEMBERSHIP", 36),
];
const IPV6_OPTIONS: Names = &[
    alone("IPV6_UNICAST_HOPS", 16),
    alone("IPV6_MULTICAST_IF", 17),
    alone("IPV6_MULTICAST_HOPS", 18),
    alone("IPV6_MULTICAST_LOOP", 19),
    alone("IPV6_ADD_MEMBERSHIP", 20),
    alone("IPV6_MTU_DISCOVER", 23),
    alone("IPV6_MTU", 24),
    alone("IPV6_RECVERR", 25),
    alone("IPV6_V6ONLY", 26),
    alone("IPV6_RECVPKTINFO", 49),
];

/// A protocol, where those of the family have names.
pub(super) fn protocol(number: u64, family: i32) -> Option<Shown> {
    let names = match u16::try_from(family).ok()? {
        AF_INET | AF_INET6 => PROTOCOLS,
        AF_NETLINK => NETLINK_PROTOCOLS,
        _ => return None,
    };
    Some(Shown::Choice(names, i64::from(number as i32)))
}

/// An option of setsockopt(2).
pub(super) fn option(level: i32, number: u64) -> Shown {
    let names = match level {
        0 => IP_OPTIONS,
        1 => SOCKET_OPTIONS,
        6 => TCP_OPTIONS,
        41 => IPV6_OPTIONS,
        _ => return Shown::Signed(i64::from(number as i32)),
    };
    Shown::Choice(names, i64::from(number as i32))
}

/// An address of so many bytes.
pub(super) fn socket_address(out: &mut dyn Write, at: u64, len: u64, context: Context<'_>) -> fmt::Result {
    let mut bytes = [0; MOST_ADDRESS];
    let len = usize::try_from(len).unwrap_or(MOST_ADDRESS).min(MOST_ADDRESS);
    let room = bytes.get_mut(..len).unwrap_or_default();
    if at == 0 || len < 2 || context.memory.read(at, room) != len {
        return address(out, at);
    }
    let bytes = bytes.get(..len).unwrap_or_default();
    let family = u16::from_le_bytes(field(bytes, 0));
    let port = u16::from_be_bytes(field(bytes, 2));
    match family {
        AF_UNIX => {
            out.write_str("{sa_family=AF_UNIX")?;
            unix_name(out, bytes.get(2..).unwrap_or_default())?;
        }
        AF_INET if len >= 16 => {
            let ip = Ipv4Addr::from(field::<4>(bytes, 4));
            write!(out, "{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr(\"{ip}\")")?;
        }
        AF_INET6 if len >= 28 => {
            let flow = u32::from_be_bytes(field(bytes, 4));
            let (ip, scope) = (Ipv6Addr::from(field::<16>(bytes, 8)), u32::from_le_bytes(field(bytes, 24)));
            write!(out, "{{sa_family=AF_INET6, sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), ")?;
            write!(out, "inet_pton(AF_INET6, \"{ip}\", &sin6_addr), sin6_scope_id={scope}")?;
        }
        AF_NETLINK if len >= 12 => {
            let (pid, groups) = (u32::from_le_bytes(field(bytes, 4)), u32::from_le_bytes(field(bytes, 8)));
            write!(out, "{{sa_family=AF_NETLINK, nl_pid={pid}, nl_groups={groups:08x}")?;
        }
        0 => {
            out.write_str("{sa_family=AF_UNSPEC, sa_data=")?;
            quoted(out, bytes.get(2..).unwrap_or_default(), false)?;
        }
        other => {
            write!(out, "{{sa_family={other:#x}, sa_data=")?;
            quoted(out, bytes.get(2..).unwrap_or_default(), false)?;
        }
    }
    out.write_char('}')
}

/// A path, or a name that begins with a zero; nothing when there is none.
fn unix_name(out: &mut dyn Write, name: &[u8]) -> fmt::Result {
    match name.split_first() {
        None => Ok(()),
        Some((0, name)) => {
            out.write_str(", sun_path=@")?;
            quoted(out, name, false)
        }
        Some(_) => {
            out.write_str(", sun_path=")?;
            quoted(out, name.split(|byte| *byte == 0).next().unwrap_or_default(), false)
        }
    }
}

/// `struct msghdr`; of a message that came, as many bytes as the result says.
pub(super) fn message(
    out: &mut dyn Write,
    at: u64,
    layouts: Layouts,
    filled: bool,
    context: Context<'_>,
) -> fmt::Result {
    let Some(header) = read::<MsgHdr>(context.memory, at, layouts) else { return address(out, at) };
    let available = match context.result {
        Some(Ok(done)) if filled => done as u64,
        _ => u64::MAX,
    };
    out.write_str("{msg_name=")?;
    socket_address(out, header.name, u64::from(header.name_len.unsigned_abs()), context)?;
    write!(out, ", msg_namelen={}, msg_iov=", header.name_len)?;
    vectors(out, header.vectors, header.vector_count, layouts, available, context)?;
    write!(out, ", msg_iovlen={}", header.vector_count)?;
    if header.control != 0 && header.control_len != 0 {
        out.write_str(", msg_control=")?;
        control(out, header.control, header.control_len, layouts, context)?;
    }
    write!(out, ", msg_controllen={}, msg_flags=", header.control_len)?;
    flags(out, MessageFlags::NAMES, u64::from(header.flags as u32))?;
    out.write_char('}')
}

/// The first control message: descriptors by their numbers.
fn control(out: &mut dyn Write, at: u64, len: u64, layouts: Layouts, context: Context<'_>) -> fmt::Result {
    const SOL_SOCKET: i32 = 1;
    const SCM_RIGHTS: i32 = 1;
    const MOST_DESCRIPTORS: u64 = 8;
    let head = if layouts == Layouts::X86_64 { 16 } else { 12 };
    let Some(first) = read::<CMsgHdr>(context.memory, at, layouts) else { return address(out, at) };
    if first.level != SOL_SOCKET || first.kind != SCM_RIGHTS || first.len < head || first.len > len {
        return address(out, at);
    }
    write!(out, "[{{cmsg_len={}, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[", first.len)?;
    for i in 0..((first.len - head) / 4).min(MOST_DESCRIPTORS) {
        let fd = context.int(at.wrapping_add(head + 4 * i)).unwrap_or(u32::MAX) as i32;
        write!(out, "{}{fd}", if i > 0 { ", " } else { "" })?;
    }
    out.write_str("]}]")
}
