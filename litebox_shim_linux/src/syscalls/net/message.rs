//! What goes over sockets: send and receive in all their forms.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::event::{Events, wait_until_ready};
use litebox::fs::OpenFile;
use litebox::io::{Dest, Source};
use litebox::net::netlink::NetlinkSocket;
use litebox::net::unix::{Kind, Name, Outgoing, Received, Rights};
use litebox::platform::host;
use litebox::{Error, Result};

use super::super::file::{MAX_RW_COUNT, Vectors};
use super::super::unix::{Ancillary, Control, address_bytes, parse};
use super::{AF_NETLINK, EISCONN, EMSGSIZE, LONGEST_ADDRESS, netlink_of, read_address, socket_of, write_address};
use crate::Task;
use crate::syscalls::signal::set::SIGPIPE;
use crate::user::{read_bytes, read_timespec, word, write_bytes};

const MSG_OOB: i32 = 1;
const MSG_PEEK: i32 = 2;
const MSG_CTRUNC: i32 = 8;
const MSG_TRUNC: i32 = 0x20;
const MSG_DONTWAIT: i32 = 0x40;
const MSG_WAITALL: i32 = 0x100;
const MSG_NOSIGNAL: i32 = 0x4000;
const MSG_WAITFORONE: i32 = 0x10000;
const MSG_CMSG_CLOEXEC: i32 = 0x4000_0000;

/// The most messages one sendmmsg(2) or recvmmsg(2) handles.
const MOST_MESSAGES: u32 = 1024;
/// Size of `struct msghdr`, and of `struct mmsghdr`.
const MSGHDR: usize = 56;
const MMSGHDR: u64 = 64;
const NAME_LEN_AT: u64 = 8;
const CONTROL_LEN_AT: u64 = 40;
const FLAGS_AT: u64 = 48;
/// Where the length lies in `struct mmsghdr`.
const LEN_AT: u64 = 56;

/// `struct msghdr`, as far as it is read.
struct Header {
    name: u64,
    name_len: u32,
    iov: usize,
    iov_count: usize,
    control: u64,
    control_len: u64,
}

impl Header {
    fn read(addr: u64) -> Result<Self> {
        let raw: [u8; MSGHDR] = read_bytes(addr)?;
        let field = |at| u64::from_le_bytes(word(&raw, at));
        let name_len = i32::from_le_bytes(word(&raw, 8));
        let iov_count = field(24) as usize;
        let name = field(0);
        let name_len = if name == 0 { 0 } else { u32::try_from(name_len).map_err(|_| Error::Invalid)? };
        if iov_count > 1024 {
            return Err(EMSGSIZE);
        }
        let name_len = name_len.min(LONGEST_ADDRESS);
        Ok(Self { name, name_len, iov: field(16) as usize, iov_count, control: field(32), control_len: field(40) })
    }
}

/// The address of who sent a message.
fn sender_bytes(file: &OpenFile, got: &Received) -> Vec<u8> {
    if netlink_of(file).is_some() {
        // `struct sockaddr_nl` of the kernel.
        let mut raw = AF_NETLINK.to_le_bytes().to_vec();
        raw.resize(12, 0);
        return raw;
    }
    got.from.as_deref().map(|from| address_bytes(Some(from))).unwrap_or_default()
}

impl Task<'_, '_> {
    /// Where a message is to go, if the caller says so.
    fn destination(&self, file: &OpenFile, address: u64, len: u32) -> Result<Option<Name>> {
        let socket = socket_of(file)?;
        if address == 0 || len == 0 {
            return Ok(None);
        }
        let raw = read_address(address, len)?;
        match socket.kind() {
            Kind::Stream => {
                let connected = socket.peer_address().is_ok();
                Err(if connected { EISCONN } else { Error::NotSupported })
            }
            Kind::SeqPacket => Ok(None),
            Kind::Datagram => self.find_address(parse(&raw)?).map(Some),
        }
    }

    fn send_on(
        &mut self,
        file: &Arc<OpenFile>,
        source: &mut Source<'_>,
        ancillary: Ancillary,
        to: Option<&Name>,
        flags: i32,
    ) -> Result<usize> {
        let socket = socket_of(file)?;
        if flags & MSG_OOB != 0 {
            return Err(Error::NotSupported);
        }
        let stream = socket.kind() == Kind::Stream;
        let patient = !file.nonblocking() && flags & MSG_DONTWAIT == 0;
        let mut outgoing = Outgoing { credentials: ancillary.credentials, rights: ancillary.rights, to };
        let mut once = || loop {
            let n = socket.send(source, &mut outgoing)?;
            if !(stream && patient && n > 0 && source.remaining() > 0) {
                return Ok(n);
            }
        };
        let limit = self.time_limit(file, true);
        let result = if patient { wait_until_ready(self.waiter(), &**file, Events::OUT, limit, once) } else { once() };
        if result == Err(Error::BrokenPipe) && flags & MSG_NOSIGNAL == 0 {
            self.send_self(SIGPIPE);
        }
        match (result, source.moved()) {
            (Ok(_), moved) | (Err(_), moved @ 1..) => Ok(moved),
            (Err(error), 0) => Err(self.gave_up(file, error, true)),
        }
    }

    /// Receives what the kernel said.
    fn receive_from_kernel(
        &mut self,
        file: &Arc<OpenFile>,
        socket: &NetlinkSocket,
        dest: &mut Dest<'_>,
        flags: i32,
    ) -> Result<Received> {
        if flags & MSG_OOB != 0 {
            return Err(Error::NotSupported);
        }
        let mut once = || socket.receive(dest, flags & MSG_PEEK != 0);
        let patient = !file.nonblocking() && flags & MSG_DONTWAIT == 0;
        let result = if patient { wait_until_ready(self.waiter(), &**file, Events::IN, None, once) } else { once() };
        let (copied, full) = result.map_err(|error| self.gave_up(file, error, false))?;
        Ok(Received { copied, full, ..Received::default() })
    }

    fn receive_on(&mut self, file: &Arc<OpenFile>, dest: &mut Dest<'_>, flags: i32) -> Result<Received> {
        if let Some(socket) = netlink_of(file) {
            return self.receive_from_kernel(file, socket, dest, flags);
        }
        let socket = socket_of(file)?;
        if flags & MSG_OOB != 0 {
            return Err(if socket.kind() == Kind::Stream { Error::Invalid } else { Error::NotSupported });
        }
        let peek = flags & MSG_PEEK != 0;
        let patient = !file.nonblocking() && flags & MSG_DONTWAIT == 0;
        let all = flags & MSG_WAITALL != 0 && !peek && patient && socket.kind() == Kind::Stream;
        let mut total = Received::default();
        let mut once = || loop {
            let got = socket.receive(dest, peek)?;
            let (n, has_rights) = (got.copied, !got.rights.is_empty());
            total = Received { copied: total.copied + got.copied, full: total.copied + got.full, ..got };
            if !(all && n > 0 && !has_rights && dest.remaining() > 0) {
                return Ok(());
            }
        };
        let limit = self.time_limit(file, false);
        let result = if patient { wait_until_ready(self.waiter(), &**file, Events::IN, limit, once) } else { once() };
        match result {
            Err(error) if total.copied == 0 => Err(self.gave_up(file, error, false)),
            _ => Ok(total),
        }
    }

    /// sendto(2)
    pub(crate) fn sendto(
        &mut self,
        fd: i32,
        buf: usize,
        len: usize,
        flags: i32,
        address: u64,
        address_len: u32,
    ) -> Result<usize> {
        let file = self.file(fd)?;
        let to = self.destination(&file, address, address_len)?;
        let ancillary = Ancillary { credentials: self.socket_credentials(), rights: Rights::new() };
        self.send_on(&file, &mut Source::user(buf, len.min(MAX_RW_COUNT)), ancillary, to.as_ref(), flags)
    }

    /// recvfrom(2)
    pub(crate) fn recvfrom(
        &mut self,
        fd: i32,
        buf: usize,
        len: usize,
        flags: i32,
        address: u64,
        address_len: u64,
    ) -> Result<usize> {
        let file = self.file(fd)?;
        let got = self.receive_on(&file, &mut Dest::user(buf, len.min(MAX_RW_COUNT)), flags)?;
        if address != 0 {
            let raw = sender_bytes(&file, &got);
            write_address(&raw, address, address_len)?;
        }
        Ok(if flags & MSG_TRUNC != 0 { got.full.max(got.copied) } else { got.copied })
    }

    /// sendmsg(2)
    pub(crate) fn sendmsg(&mut self, fd: i32, message: u64, flags: i32) -> Result<usize> {
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        let header = Header::read(message)?;
        let vectors = Vectors::read(header.iov, header.iov_count)?;
        let ancillary = self.read_control(socket, header.control, header.control_len)?;
        let to = self.destination(&file, header.name, header.name_len)?;
        self.send_on(&file, &mut Source::user_vec(vectors.spans()), ancillary, to.as_ref(), flags)
    }

    /// recvmsg(2)
    pub(crate) fn recvmsg(&mut self, fd: i32, message: u64, flags: i32) -> Result<usize> {
        let file = self.file(fd)?;
        let local = if netlink_of(&file).is_some() { None } else { Some(socket_of(&file)?) };
        let header = Header::read(message)?;
        let vectors = Vectors::read(header.iov, header.iov_count)?;
        let mut got = self.receive_on(&file, &mut Dest::user_vec(vectors.spans()), flags)?;
        let mut control = Control::new(header.control, header.control_len);
        if let Some(socket) = local {
            self.write_control(socket, &mut got, &mut control, flags & MSG_CMSG_CLOEXEC != 0)?;
        }
        let mut out_flags = flags & MSG_CMSG_CLOEXEC;
        if got.full > got.copied {
            out_flags |= MSG_TRUNC;
        }
        if control.cut {
            out_flags |= MSG_CTRUNC;
        }
        if header.name != 0 {
            let raw = sender_bytes(&file, &got);
            write_address(&raw, header.name, message + NAME_LEN_AT)?;
        }
        write_bytes(message + FLAGS_AT, &out_flags.to_le_bytes())?;
        write_bytes(message + CONTROL_LEN_AT, &(control.used() as u64).to_le_bytes())?;
        Ok(if flags & MSG_TRUNC != 0 { got.full.max(got.copied) } else { got.copied })
    }

    /// sendmmsg(2)
    pub(crate) fn sendmmsg(&mut self, fd: i32, messages: u64, count: u32, flags: i32) -> Result<usize> {
        let mut done = 0;
        while done < count.min(MOST_MESSAGES) {
            let at = messages + u64::from(done) * MMSGHDR;
            let sent = self.sendmsg(fd, at, flags).and_then(|n| write_bytes(at + LEN_AT, &(n as u32).to_le_bytes()));
            match sent {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += 1,
            }
        }
        if done == 0 {
            socket_of(&*self.file(fd)?)?;
        }
        Ok(done as usize)
    }

    /// recvmmsg(2)
    pub(crate) fn recvmmsg(&mut self, fd: i32, messages: u64, count: u32, flags: i32, timeout: u64) -> Result<usize> {
        let limit = if timeout == 0 { None } else { Some(read_timespec(timeout)?) };
        let deadline = limit.map(|limit| host().instant().saturating_add(limit));
        let mut flags = flags;
        let mut done = 0;
        socket_of(&*self.file(fd)?)?;
        while done < count.min(MOST_MESSAGES) {
            let at = messages + u64::from(done) * MMSGHDR;
            let got = self
                .recvmsg(fd, at, flags & !MSG_WAITFORONE)
                .and_then(|n| write_bytes(at + LEN_AT, &(n as u32).to_le_bytes()));
            match got {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += 1,
            }
            if flags & MSG_WAITFORONE != 0 {
                flags |= MSG_DONTWAIT;
            }
            // The limit counts from message to message: one that never comes is waited for.
            if deadline.is_some_and(|deadline| host().instant() >= deadline) {
                break;
            }
        }
        if let Some(deadline) = deadline {
            let left = deadline.saturating_since(host().instant());
            let mut raw = [0u8; 16];
            for (slot, value) in raw.chunks_exact_mut(8).zip([left.as_secs(), left.subsec_nanos().into()]) {
                slot.copy_from_slice(&value.to_le_bytes());
            }
            write_bytes(timeout, &raw)?;
        }
        Ok(done as usize)
    }
}
