//! What goes over sockets: send and receive in all their forms.

use litebox::event::{Events, wait_until_ready};
use litebox::fs::OpenFile;
use litebox::io::{Dest, Source};
use litebox::net::{Address, MessageFlags, Outgoing, Received, Socket, SocketKind};
use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::argument::{Arch, UserRef};

use super::super::file::{MAX_RW_COUNT, Vectors};
use super::address::{LONGEST_ADDRESS, Purpose, address_bytes, read_address, write_address};
use super::control::{Ancillary, Control};
use super::{EMSGSIZE, socket_of};
use crate::Task;
use crate::signal::set::SIGPIPE;
use crate::syscalls::file::check_range;
use crate::user::{read_bytes, read_timespec, word, write_bytes};

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

/// The flags of a call; those that nobody knows mean nothing.
fn message_flags(flags: i32) -> MessageFlags {
    MessageFlags::from_bits_truncate(flags as u32)
}

/// What a call that receives returns.
fn count_of(got: &Received, flags: MessageFlags) -> usize {
    if flags.contains(MessageFlags::TRUNC) { got.full.max(got.copied) } else { got.copied }
}

/// A flag that only the kernel sets for itself (`MSG_CMSG_COMPAT`) is refused before anything is looked at.
fn check_flags(flags: i32) -> Result<()> {
    if flags < 0 { Err(Error::Invalid) } else { Ok(()) }
}

impl Task<'_, '_> {
    /// Where a message is to go, if the caller says so.
    fn destination(&self, socket: &dyn Socket, address: u64, len: u32) -> Result<Option<Address>> {
        if address == 0 || len == 0 {
            return Ok(None);
        }
        let raw = read_address(address, len)?;
        match socket.kind() {
            SocketKind::Stream => socket.check_destination().map(|()| None),
            SocketKind::SeqPacket => Ok(None),
            SocketKind::Datagram | SocketKind::Raw => match self.address_for(socket, &raw, Purpose::Send)? {
                Address::Unspecified => Ok(None),
                address => Ok(Some(address)),
            },
        }
    }

    fn send_on(
        &mut self,
        file: &OpenFile,
        source: &mut Source<'_>,
        ancillary: Ancillary,
        to: Option<&Address>,
        flags: MessageFlags,
    ) -> Result<usize> {
        let socket = socket_of(file)?;
        let stream = socket.kind() == SocketKind::Stream;
        let patient = !file.nonblocking() && !flags.contains(MessageFlags::DONTWAIT);
        let Ancillary { credentials, signed, rights, packet } = ancillary;
        let mut outgoing = Outgoing { credentials, signed, rights, to, flags, packet };
        let mut once = || loop {
            let n = socket.send(source, &mut outgoing)?;
            if !(stream && patient && n > 0 && source.remaining() > 0) {
                return Ok(n);
            }
        };
        let limit = self.time_limit(file, true);
        let result = if patient { wait_until_ready(self.waiter(), file, Events::OUT, limit, once) } else { once() };
        if result == Err(Error::BrokenPipe) && !flags.contains(MessageFlags::NOSIGNAL) {
            self.send_self(SIGPIPE);
        }
        match (result, source.moved()) {
            (Ok(_), moved) => Ok(moved),
            // What was sent of a stream is; a message is sent whole or not at all, however much of it was looked at.
            (Err(_), moved @ 1..) if stream => Ok(moved),
            (Err(error), _) => Err(self.gave_up(file, error, true)),
        }
    }

    fn receive_on(&mut self, file: &OpenFile, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<Received> {
        let socket = socket_of(file)?;
        let peek = flags.contains(MessageFlags::PEEK);
        // Urgent data and errors are there, or nobody waits for them.
        let never_waits = flags.intersects(MessageFlags::DONTWAIT | MessageFlags::ERRQUEUE | MessageFlags::OOB);
        let patient = !file.nonblocking() && !never_waits;
        let flags = if patient { flags } else { flags | MessageFlags::DONTWAIT };
        let all = flags.contains(MessageFlags::WAITALL) && !peek && patient && socket.kind() == SocketKind::Stream;
        let mut total = Received::default();
        let mut once = || loop {
            let got = socket.receive(dest, flags)?;
            let (n, has_rights) = (got.copied, !got.rights.is_empty());
            total = Received { copied: total.copied + got.copied, full: total.copied + got.full, ..got };
            if !(all && n > 0 && !has_rights && dest.remaining() > 0) {
                return Ok(());
            }
        };
        let limit = self.time_limit(file, false);
        let result = if patient { wait_until_ready(self.waiter(), file, Events::IN, limit, once) } else { once() };
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
        check_range(buf, len.min(MAX_RW_COUNT))?;
        let file = self.fd_guard(fd)?;
        let to = self.destination(socket_of(&file)?, address, address_len)?;
        let ancillary = self.no_ancillary();
        let mut source = Source::user(buf, len.min(MAX_RW_COUNT));
        self.send_on(&file, &mut source, ancillary, to.as_ref(), message_flags(flags))
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
        check_range(buf, len.min(MAX_RW_COUNT))?;
        let file = self.fd_guard(fd)?;
        let flags = message_flags(flags);
        let got = self.receive_on(&file, &mut Dest::user(buf, len.min(MAX_RW_COUNT)), flags)?;
        if address != 0 {
            let from = got.from.clone().unwrap_or_default();
            write_address(&address_bytes(&from, socket_of(&file)?.family()), address, address_len)?;
        }
        Ok(count_of(&got, flags))
    }

    /// sendmsg(2)
    pub(crate) fn sendmsg(&mut self, fd: i32, message: u64, flags: i32) -> Result<usize> {
        check_flags(flags)?;
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        let header = Header::read(message)?;
        let vectors = Vectors::read(UserRef::new(Arch::X86_64, header.iov), header.iov_count)?;
        let ancillary = self.read_control(socket, header.control, header.control_len)?;
        let to = self.destination(socket, header.name, header.name_len)?;
        let mut source = Source::user_vec(vectors.spans());
        self.send_on(&file, &mut source, ancillary, to.as_ref(), message_flags(flags))
    }

    /// recvmsg(2)
    pub(crate) fn recvmsg(&mut self, fd: i32, message: u64, flags: i32) -> Result<usize> {
        check_flags(flags)?;
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        let flags = message_flags(flags);
        let header = Header::read(message)?;
        let vectors = Vectors::read(UserRef::new(Arch::X86_64, header.iov), header.iov_count)?;
        let mut got = self.receive_on(&file, &mut Dest::user_vec(vectors.spans()), flags)?;
        let mut control = Control::new(header.control, header.control_len);
        self.write_control(socket, &mut got, &mut control, flags.contains(MessageFlags::CMSG_CLOEXEC))?;
        let mut told = flags & MessageFlags::CMSG_CLOEXEC | got.flags;
        told.set(MessageFlags::TRUNC, got.full > got.copied && socket.kind() != SocketKind::Stream);
        told.set(MessageFlags::CTRUNC, control.cut);
        if header.name != 0 {
            let from = got.from.clone().unwrap_or_default();
            write_address(&address_bytes(&from, socket.family()), header.name, message.wrapping_add(NAME_LEN_AT))?;
        }
        write_bytes(message.wrapping_add(FLAGS_AT), &told.bits().to_le_bytes())?;
        write_bytes(message.wrapping_add(CONTROL_LEN_AT), &(control.used() as u64).to_le_bytes())?;
        Ok(count_of(&got, flags))
    }

    /// sendmmsg(2)
    pub(crate) fn sendmmsg(&mut self, fd: i32, messages: u64, count: u32, flags: i32) -> Result<usize> {
        check_flags(flags)?;
        let mut done = 0;
        while done < count.min(MOST_MESSAGES) {
            let at = messages.wrapping_add(u64::from(done) * MMSGHDR);
            let sent = self
                .sendmsg(fd, at, flags)
                .and_then(|n| write_bytes(at.wrapping_add(LEN_AT), &(n as u32).to_le_bytes()));
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
        check_flags(flags)?;
        let limit = if timeout == 0 { None } else { Some(read_timespec(timeout)?) };
        let deadline = limit.map(|limit| host().instant().saturating_add(limit));
        let mut flags = flags;
        let mut done = 0;
        socket_of(&*self.file(fd)?)?;
        while done < count.min(MOST_MESSAGES) {
            let at = messages.wrapping_add(u64::from(done) * MMSGHDR);
            let got = self
                .recvmsg(fd, at, flags & !(MessageFlags::WAITFORONE.bits() as i32))
                .and_then(|n| write_bytes(at.wrapping_add(LEN_AT), &(n as u32).to_le_bytes()));
            match got {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += 1,
            }
            if message_flags(flags).contains(MessageFlags::WAITFORONE) {
                flags |= MessageFlags::DONTWAIT.bits() as i32;
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
