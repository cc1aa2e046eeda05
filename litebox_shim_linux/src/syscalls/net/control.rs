//! What comes along with messages (cmsg(3)): descriptors and credentials of local sockets, facts of packets, errors.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use litebox::fs::OpenFile;
use litebox::net::unix::{Rights, UnixSocket};
use litebox::net::{Credentials, Family, PacketInfo, PacketOptions, QueuedError, Received, Setting, Socket, address};
use litebox::{Error, Result};
use litebox_common_linux::abi::layout::{Field, Layout, Layouts, UserWord};
use litebox_common_linux::abi::socket::{CMsgHdr, CMsgHdrX86, CMsgHdrX86_64};
use litebox_common_linux::abi::socket::{SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP, SOL_UDP};
use litebox_common_linux::abi::socket_option::{
    IP_ORIGDSTADDR, IP_PKTINFO, IP_RECVERR, IP_RETOPTS, IP_TOS, IP_TTL, IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_RECVERR,
    IPV6_TCLASS, SCM_CREDENTIALS, SCM_RIGHTS, SO_MARK, SO_TIMESTAMP_OLD, SO_TIMESTAMPING_OLD, SO_TIMESTAMPNS_OLD,
    TCP_INQ, UDP_GRO, UDP_SEGMENT,
};
use litebox_common_linux::argument::UserMut;
use zerocopy::{FromBytes, IntoBytes};

use super::address::address_bytes;
use super::{ENOBUFS, ETOOMANYREFS};
use crate::Task;
use crate::task::credentials::Capability;
use crate::user::{UserWrite, read_into, word, write_bytes};

/// Size of `struct ucred`.
const UCRED: usize = 12;
/// The most descriptors one message carries (SCM_MAX_FD).
const MOST_RIGHTS: usize = 253;
/// The most bytes of control messages (net.core.optmem_max).
const MOST_CONTROL: u64 = 131_072;

/// What comes along with a message that is sent.
pub(super) struct Ancillary {
    pub credentials: Credentials,
    /// The sender said who he is.
    pub signed: bool,
    pub rights: Rights,
    pub packet: PacketOptions,
}

/// One control message of a sender.
struct Message<'a> {
    level: i32,
    kind: i32,
    data: &'a [u8],
}

impl Message<'_> {
    fn number(&self) -> Result<i32> {
        if self.data.len() == 4 { Ok(i32::from_le_bytes(word(self.data, 0))) } else { Err(Error::Invalid) }
    }
    fn small(&self) -> Result<u8> {
        u8::try_from(self.number()?).map_err(|_| Error::Invalid)
    }
}

/// What each control message ends at a multiple of: a `long` of the program.
fn alignment(layouts: Layouts) -> usize {
    UserWord::size(layouts)
}

/// The head of the first control message of `raw`.
fn head_of(layouts: Layouts, raw: &[u8]) -> Option<CMsgHdr> {
    Some(match layouts {
        Layouts::X86_64 => CMsgHdr::of(CMsgHdrX86_64::read_from_prefix(raw).ok()?.0),
        Layouts::X86 | Layouts::X86Time64 => CMsgHdr::of(CMsgHdrX86::read_from_prefix(raw).ok()?.0),
    })
}

/// Splits the control data of a sender; EINVAL for a message that ends behind them.
fn messages(layouts: Layouts, mut rest: &[u8], mut each: impl FnMut(Message<'_>) -> Result<()>) -> Result<()> {
    while let Some(CMsgHdr { len, level, kind }) = head_of(layouts, rest) {
        let size = usize::try_from(len).map_err(|_| Error::Invalid)?;
        let data = rest.get(CMsgHdr::size(layouts)..size).ok_or(Error::Invalid)?;
        each(Message { level, kind, data })?;
        rest = rest.get(size.next_multiple_of(alignment(layouts))..).unwrap_or_default();
    }
    Ok(())
}

/// What a message asks for the packet it goes with; `six`: the socket is one of IPv6.
fn packet_option(message: &Message<'_>, six: bool, packet: &mut PacketOptions) -> Result<()> {
    match (message.level, message.kind) {
        (SOL_SOCKET, SCM_RIGHTS | SCM_CREDENTIALS | SO_TIMESTAMPING_OLD) | (SOL_IP, IP_RETOPTS) => {}
        (SOL_SOCKET, SO_MARK) => return Err(Error::NotPermitted),
        (SOL_IP, IP_PKTINFO) if message.data.len() == 12 => {
            packet.interface = u32::from_le_bytes(word(message.data, 0));
            let source = Ipv4Addr::from(word::<4>(message.data, 4));
            packet.source = (!source.is_unspecified()).then_some(source.into());
        }
        (SOL_IPV6, IPV6_PKTINFO) if six && message.data.len() >= 20 => {
            packet.interface = u32::from_le_bytes(word(message.data, 16));
            let source = Ipv6Addr::from(word::<16>(message.data, 0));
            packet.source = (!source.is_unspecified()).then_some(address::canonical(source.into()));
        }
        (SOL_IP, IP_TTL) => packet.ttl = Some(message.small().ok().filter(|ttl| *ttl > 0).ok_or(Error::Invalid)?),
        (SOL_IPV6, IPV6_HOPLIMIT) if six => match message.number()? {
            -1 => packet.ttl = None,
            _ => packet.ttl = Some(message.small()?),
        },
        (SOL_IP, IP_TOS) if message.data.len() == 1 => packet.tos = message.data.first().copied(),
        (SOL_IP, IP_TOS) => packet.tos = Some(message.small()?),
        (SOL_IPV6, IPV6_TCLASS) if six => match message.number()? {
            -1 => packet.tos = None,
            _ => packet.tos = Some(message.small()?),
        },
        (SOL_UDP, UDP_SEGMENT) if message.data.len() == 2 => {
            packet.segment = Some(u16::from_le_bytes(word(message.data, 0)));
        }
        (SOL_SOCKET | SOL_IP | SOL_IPV6 | SOL_UDP, _) => return Err(Error::Invalid),
        _ => {}
    }
    Ok(())
}

/// How a time is named whose seconds have 64 bits also for 32-bit programs (`SO_TIMESTAMP_NEW`).
const fn stamp_with_64_bits(kind: i32) -> i32 {
    match kind {
        SO_TIMESTAMPNS_OLD => 64,
        _ => 63,
    }
}

/// The control messages of a receiver as they are laid out in his memory.
pub(super) struct Control {
    at: UserMut<CMsgHdr>,
    room: usize,
    used: usize,
    /// Something did not fit.
    pub cut: bool,
}

impl Control {
    pub fn new(at: UserMut<CMsgHdr>, len: u64) -> Self {
        let room = if at.is_null() { 0 } else { usize::try_from(len).unwrap_or(usize::MAX) };
        Self { at, room, used: 0, cut: false }
    }
    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used
    }
    fn left(&self) -> usize {
        self.room - self.used
    }
    /// Bytes of the head of a message.
    fn head(&self) -> usize {
        CMsgHdr::size(self.at.layouts())
    }
    /// Writes one message, cut to the room there is.
    fn put(&mut self, level: i32, kind: i32, data: &[u8]) -> Result<()> {
        let head = self.head();
        if self.left() < head {
            self.cut = true;
            return Ok(());
        }
        let len = (head + data.len()).min(self.left());
        self.cut |= len < head + data.len();
        let at = self.at.address().checked_add(self.used).ok_or(Error::Fault)?;
        self.at.at::<CMsgHdr>(at).write(CMsgHdr { len: len as u64, level, kind })?;
        write_bytes((at + head) as u64, data.get(..len - head).unwrap_or_default())?;
        self.used += len.next_multiple_of(alignment(self.at.layouts())).min(self.left());
        Ok(())
    }

    fn put_stamp(&mut self, socket: &dyn Socket, info: &PacketInfo) -> Result<()> {
        let options = socket.options();
        let (kind, fraction) = if options.is_on(Setting::TimestampNanos) {
            (SO_TIMESTAMPNS_OLD, info.stamp.subsec_nanos())
        } else if options.is_on(Setting::Timestamp) {
            (SO_TIMESTAMP_OLD, info.stamp.subsec_micros())
        } else {
            return Ok(());
        };
        // Seconds and a fraction, each as wide as the program wants it.
        let parts = [info.stamp.as_secs(), fraction.into()];
        let new = options.is_on(Setting::TimestampNew);
        if new || self.at.layouts() == Layouts::X86_64 {
            let kind = if new { stamp_with_64_bits(kind) } else { kind };
            return self.put(SOL_SOCKET, kind, parts.as_bytes());
        }
        self.put(SOL_SOCKET, kind, parts.map(|part| part as u32).as_bytes())
    }

    /// What the receiver wants to know of a packet.
    fn put_packet(&mut self, socket: &dyn Socket, info: &PacketInfo) -> Result<()> {
        self.put_stamp(socket, info)?;
        let options = socket.options();
        if let Some(segment) = info.segment.filter(|_| options.is_on(Setting::Gro)) {
            self.put(SOL_UDP, UDP_GRO, &i32::from(segment).to_le_bytes())?;
        }
        match (socket.family(), info.to.ip()) {
            (Family::Inet6, ip) => self.put_packet_six(socket, info, ip),
            (_, IpAddr::V4(ip)) => self.put_packet_four(socket, info, ip),
            _ => Ok(()),
        }
    }

    fn put_packet_four(&mut self, socket: &dyn Socket, info: &PacketInfo, to: Ipv4Addr) -> Result<()> {
        let options = socket.options();
        if options.is_on(Setting::PacketInfo) {
            let own = if to.is_multicast() || to.is_broadcast() { Ipv4Addr::LOCALHOST } else { to };
            let raw = [info.interface.to_le_bytes(), own.octets(), to.octets()].concat();
            self.put(SOL_IP, IP_PKTINFO, &raw)?;
        }
        if options.is_on(Setting::ReceiveTtl) {
            self.put(SOL_IP, IP_TTL, &i32::from(info.ttl).to_le_bytes())?;
        }
        if options.is_on(Setting::ReceiveTos) {
            self.put(SOL_IP, IP_TOS, &[info.tos])?;
        }
        if options.is_on(Setting::ReceiveOriginal) {
            let raw = address_bytes(&litebox::net::Address::Inet(info.to), Family::Inet);
            self.put(SOL_IP, IP_ORIGDSTADDR, &raw)?;
        }
        Ok(())
    }

    fn put_packet_six(&mut self, socket: &dyn Socket, info: &PacketInfo, to: IpAddr) -> Result<()> {
        let options = socket.options();
        if options.is_on(Setting::PacketInfoSix) {
            let SocketAddr::V6(six) = address::shown(info.to, true) else { return Ok(()) };
            let mut raw = six.ip().octets().to_vec();
            raw.extend_from_slice(&info.interface.to_le_bytes());
            self.put(SOL_IPV6, IPV6_PKTINFO, &raw)?;
        }
        let IpAddr::V6(_) = to else {
            let IpAddr::V4(four) = to else { return Ok(()) };
            return self.put_packet_four(socket, info, four);
        };
        if options.is_on(Setting::ReceiveHopLimit) {
            self.put(SOL_IPV6, IPV6_HOPLIMIT, &i32::from(info.ttl).to_le_bytes())?;
        }
        if options.is_on(Setting::ReceiveTrafficClass) {
            self.put(SOL_IPV6, IPV6_TCLASS, &i32::from(info.tos).to_le_bytes())?;
        }
        Ok(())
    }

    /// `struct sock_extended_err`, and who says so.
    fn put_error(&mut self, socket: &dyn Socket, error: &QueuedError) -> Result<()> {
        let mut raw = error.number.to_le_bytes().to_vec();
        raw.extend_from_slice(&[error.origin, error.kind.0, error.kind.1, 0]);
        raw.extend_from_slice(&error.info.0.to_le_bytes());
        raw.extend_from_slice(&error.info.1.to_le_bytes());
        let six = socket.family() == Family::Inet6;
        match error.offender {
            Some(ip) => {
                let offender = litebox::net::Address::Inet(SocketAddr::new(ip, 0));
                raw.extend_from_slice(&address_bytes(&offender, socket.family()));
            }
            None => raw.resize(raw.len() + if six { 28 } else { 16 }, 0),
        }
        let (level, kind) = if six { (SOL_IPV6, IPV6_RECVERR) } else { (SOL_IP, IP_RECVERR) };
        self.put(level, kind, &raw)
    }
}

impl Task<'_, '_> {
    /// What goes along when the sender says nothing.
    pub(super) fn no_ancillary(&self) -> Ancillary {
        let (credentials, packet) = (self.socket_credentials(), PacketOptions::default());
        Ancillary { credentials, signed: false, rights: Rights::new(), packet }
    }

    /// Reads control messages: descriptors and credentials to send along, wishes for the packet.
    pub(super) fn read_control(&self, socket: &dyn Socket, at: UserMut<CMsgHdr>, len: u64) -> Result<Ancillary> {
        let mut ancillary = self.no_ancillary();
        if len == 0 {
            return Ok(ancillary);
        }
        let len = usize::try_from(len).ok().filter(|_| len <= MOST_CONTROL).ok_or(ENOBUFS)?;
        let layouts = at.layouts();
        if at.is_null() && layouts != Layouts::X86_64 {
            // Of 32-bit programs, Linux looks for the first message before it reads any.
            return Err(Error::Invalid);
        }
        let mut raw = Vec::new();
        raw.try_reserve_exact(len).map_err(|_| ENOBUFS)?;
        raw.resize(len, 0);
        read_into(at.address() as u64, &mut raw)?;
        match socket.family() {
            Family::Unix => messages(layouts, &raw, |message| match (message.level, message.kind) {
                (SOL_SOCKET, SCM_RIGHTS) => self.add_rights(&mut ancillary.rights, message.data),
                (SOL_SOCKET, SCM_CREDENTIALS) => {
                    ancillary.credentials = self.claimed_credentials(message.data)?;
                    ancillary.signed = true;
                    Ok(())
                }
                (SOL_SOCKET, _) => Err(Error::Invalid),
                _ => Ok(()),
            })?,
            Family::Netlink => messages(layouts, &raw, |_| Ok(()))?,
            family => {
                messages(layouts, &raw, |message| {
                    packet_option(&message, family == Family::Inet6, &mut ancillary.packet)
                })?;
            }
        }
        self.check_in_flight(socket, ancillary.rights.len())?;
        Ok(ancillary)
    }

    fn add_rights(&self, rights: &mut Rights, data: &[u8]) -> Result<()> {
        let fds = data.chunks_exact(4).map(|raw| i32::from_le_bytes(word(raw, 0)));
        if rights.len() + fds.len() > MOST_RIGHTS {
            return Err(Error::Invalid);
        }
        for fd in fds {
            rights.push(self.file_or_path(fd)?);
        }
        Ok(())
    }

    /// ETOOMANYREFS: as many descriptors as the caller may have open already lie in messages.
    fn check_in_flight(&self, socket: &dyn Socket, more: usize) -> Result<()> {
        let Some(local) = socket.as_any().downcast_ref::<UnixSocket>().filter(|_| more > 0) else { return Ok(()) };
        let limit = usize::try_from(self.descriptor_limit()).unwrap_or(usize::MAX);
        if local.files_in_flight(limit) > limit { Err(ETOOMANYREFS) } else { Ok(()) }
    }

    /// Credentials that the caller says are his: who is not privileged may not lie.
    fn claimed_credentials(&self, data: &[u8]) -> Result<Credentials> {
        if data.len() != UCRED {
            return Err(Error::Invalid);
        }
        let pid = i32::from_le_bytes(word(data, 0));
        let (uid, gid) = (u32::from_le_bytes(word(data, 4)), u32::from_le_bytes(word(data, 8)));
        let own = self.creds();
        // Whose process it is, nobody may lie about in a sandbox.
        let honest = pid == self.process().pid
            && ([own.uid, own.euid, own.suid].contains(&uid) || own.can(Capability::SetUid))
            && ([own.gid, own.egid, own.sgid].contains(&gid) || own.can(Capability::SetGid));
        if !honest {
            return Err(Error::NotPermitted);
        }
        Ok(Credentials { pid, uid, gid })
    }

    /// Gives the receiver what came along with a message, as far as he has room for it.
    pub(super) fn write_control(
        &self,
        socket: &dyn Socket,
        received: &mut Received,
        control: &mut Control,
        close_on_exec: bool,
    ) -> Result<()> {
        if let Some(error) = &received.error {
            control.put_error(socket, error)?;
        }
        if let Some(info) = &received.packet {
            control.put_packet(socket, info)?;
        }
        if let Some(left) = received.left {
            control.put(SOL_TCP, TCP_INQ, &left.to_le_bytes())?;
        }
        let shows = socket.options().is_on(Setting::PassCredentials);
        if let Some(who) = received.credentials.filter(|_| shows) {
            let mut raw = [0u8; UCRED];
            for (slot, value) in raw.chunks_exact_mut(4).zip([who.pid as u32, who.uid, who.gid]) {
                slot.copy_from_slice(&value.to_le_bytes());
            }
            control.put(SOL_SOCKET, SCM_CREDENTIALS, &raw)?;
        }
        self.give_rights(core::mem::take(&mut received.rights), control, close_on_exec)
    }

    fn give_rights(&self, rights: Vec<Arc<OpenFile>>, control: &mut Control, close_on_exec: bool) -> Result<()> {
        if rights.is_empty() {
            return Ok(());
        }
        let fit = control.left().saturating_sub(control.head()) / 4;
        let mut fds = Vec::new();
        let count = rights.len();
        for file in rights.into_iter().take(fit) {
            match self.install(file, close_on_exec) {
                Ok(fd) => fds.extend_from_slice(&(fd as u32).to_le_bytes()),
                Err(_) => break,
            }
        }
        let installed = fds.len() / 4;
        if installed > 0 {
            control.put(SOL_SOCKET, SCM_RIGHTS, &fds)?;
        }
        control.cut |= installed < count;
        Ok(())
    }
}
