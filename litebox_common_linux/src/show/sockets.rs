//! Sockets: addresses, messages, options, protocols.

use core::fmt::{self, Write};
use core::net::{Ipv4Addr, Ipv6Addr};

use super::structures::{field, read, vectors};
use super::{Context, Shown, address, flags, quoted};
use crate::abi::Named;
use crate::abi::layout::Layouts;
use crate::abi::socket::{
    self, CMsgHdr, MessageFlags, MsgHdr, SOL_IP, SOL_IPV6, SOL_NETLINK, SOL_SOCKET, SOL_TCP, SOL_UDP,
};
use crate::abi::socket_option::{
    IpOption, Ipv6Option, NetlinkOption, NetlinkProtocol, Protocol, SCM_RIGHTS, SocketOption, TcpOption, UdpOption,
};

const AF_UNIX: u16 = socket::AF_UNIX as u16;
const AF_INET: u16 = socket::AF_INET as u16;
const AF_INET6: u16 = socket::AF_INET6 as u16;
const AF_NETLINK: u16 = socket::AF_NETLINK as u16;
/// The longest address.
const MOST_ADDRESS: usize = 128;

/// A protocol, where those of the family have names.
pub(super) fn protocol(number: u64, family: i32) -> Option<Shown> {
    let names = match u16::try_from(family).ok()? {
        AF_INET | AF_INET6 => Protocol::NAMES,
        AF_NETLINK => NetlinkProtocol::NAMES,
        _ => return None,
    };
    Some(Shown::Choice(names, i64::from(number as i32)))
}

/// An option of setsockopt(2).
pub(super) fn option(level: i32, number: u64) -> Shown {
    let names = match level {
        SOL_IP => IpOption::NAMES,
        SOL_SOCKET => SocketOption::NAMES,
        SOL_TCP => TcpOption::NAMES,
        SOL_UDP => UdpOption::NAMES,
        SOL_IPV6 => Ipv6Option::NAMES,
        SOL_NETLINK => NetlinkOption::NAMES,
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
