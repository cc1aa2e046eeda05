//! What goes over sockets: send and receive in all their forms.

use litebox::event::{Events, wait_until_ready};
use litebox::fs::OpenFile;
use litebox::io::{Dest, Source};
use litebox::net::{Address, Family, MessageFlags, Outgoing, Received, Socket, SocketKind};
use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::abi::file::IoVec;
use litebox_common_linux::abi::layout::UserWord;
use litebox_common_linux::abi::socket::{CMsgHdr, MMsgHdr, MMsgHdrX86, MMsgHdrX86_64, MsgHdr, MsgHdrX86, MsgHdrX86_64};
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::{UserMut, UserRef};

use super::super::file::{MAX_RW_COUNT, Vectors};
use super::address::{LONGEST_ADDRESS, Purpose, address_bytes, read_address, write_address};
use super::control::{Ancillary, Control};
use super::{EMSGSIZE, socket_of};
use crate::Task;
use crate::signal::set::SIGPIPE;
use crate::syscalls::file::check_range;
use crate::user::{UserRead, UserWrite, duration_at, field_at};

/// The most messages one sendmmsg(2) or recvmmsg(2) handles.
const MOST_MESSAGES: u32 = 1024;

/// `struct msghdr`, looked at.
struct Header {
    name: u64,
    name_len: u32,
    vectors: UserRef<IoVec>,
    vector_count: usize,
    control: UserMut<CMsgHdr>,
    control_len: u64,
}

impl Header {
    fn read(message: UserRef<MsgHdr>) -> Result<Self> {
        let MsgHdr { name, name_len, vectors, vector_count, control, control_len, .. } = message.read()?;
        let name_len = if name == 0 { 0 } else { u32::try_from(name_len).map_err(|_| Error::Invalid)? };
        let vector_count = usize::try_from(vector_count).ok().filter(|n| *n <= 1024).ok_or(EMSGSIZE)?;
        let name_len = name_len.min(LONGEST_ADDRESS);
        let vectors = message.at(vectors as usize);
        let control = UserMut::with_layouts(message.layouts(), control as usize);
        Ok(Self { name, name_len, vectors, vector_count, control, control_len })
    }
}

/// The flags of a call; those that nobody knows mean nothing.
fn known(flags: MessageFlags) -> MessageFlags {
    flags & MessageFlags::all()
}

/// What a call that receives returns.
fn count_of(got: &Received, flags: MessageFlags) -> usize {
    if flags.contains(MessageFlags::MSG_TRUNC) { got.full.max(got.copied) } else { got.copied }
}

/// A flag that only the kernel sets for itself (`MSG_CMSG_COMPAT`) is refused before anything is looked at.
fn check_flags(flags: MessageFlags) -> Result<()> {
    if flags.bits() < 0 { Err(Error::Invalid) } else { Ok(()) }
}

impl Task<'_, '_> {
    /// Where a message is to go, if the caller says so.
    fn destination(&self, socket: &dyn Socket, address: u64, len: u32, flags: MessageFlags) -> Result<Option<Address>> {
        if address == 0 || len == 0 {
            return Ok(None);
        }
        let raw = read_address(address, len)?;
        match socket.kind() {
            SocketKind::Stream if flags.contains(MessageFlags::MSG_FASTOPEN) && socket.family() != Family::Unix => {
                self.address_for(socket, &raw, Purpose::Connect).map(Some)
            }
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
        let patient = !file.nonblocking() && !flags.contains(MessageFlags::MSG_DONTWAIT);
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
        let sent_a_part = stream && source.moved() > 0;
        if result == Err(Error::BrokenPipe) && !sent_a_part && !flags.contains(MessageFlags::MSG_NOSIGNAL) {
            self.send_self(SIGPIPE);
        }
        match (result, source.moved()) {
            // What was sent of a stream is; a message is sent whole or not at all, however much of it was looked at.
            (result, moved) if result.is_ok() || stream && moved > 0 => {
                self.thread.count_written(moved);
                Ok(moved)
            }
            (Ok(_), moved) => Ok(moved),
            (Err(error), _) => Err(self.gave_up(file, error, true)),
        }
    }

    fn receive_on(&mut self, file: &OpenFile, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<Received> {
        let socket = socket_of(file)?;
        let peek = flags.contains(MessageFlags::MSG_PEEK);
        // Urgent data and errors are there, or nobody waits for them.
        let never_waits =
            flags.intersects(MessageFlags::MSG_DONTWAIT | MessageFlags::MSG_ERRQUEUE | MessageFlags::MSG_OOB);
        let patient = !file.nonblocking() && !never_waits;
        let flags = if patient { flags } else { flags | MessageFlags::MSG_DONTWAIT };
        let all = flags.contains(MessageFlags::MSG_WAITALL) && !peek && patient && socket.kind() == SocketKind::Stream;
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
        flags: MessageFlags,
        address: u64,
        address_len: u32,
    ) -> Result<usize> {
        check_range(buf, len.min(MAX_RW_COUNT))?;
        let file = self.fd_guard(fd)?;
        let to = self.destination(socket_of(&file)?, address, address_len, flags)?;
        let ancillary = self.no_ancillary();
        let mut source = Source::user(buf, len.min(MAX_RW_COUNT));
        self.send_on(&file, &mut source, ancillary, to.as_ref(), known(flags))
    }

    /// recvfrom(2)
    pub(crate) fn recvfrom(
        &mut self,
        fd: i32,
        buf: usize,
        len: usize,
        flags: MessageFlags,
        address: u64,
        address_len: u64,
    ) -> Result<usize> {
        check_range(buf, len.min(MAX_RW_COUNT))?;
        let file = self.fd_guard(fd)?;
        let flags = known(flags);
        let got = self.receive_on(&file, &mut Dest::user(buf, len.min(MAX_RW_COUNT)), flags)?;
        if address != 0 {
            let from = got.from.clone().unwrap_or_default();
            write_address(&address_bytes(&from, socket_of(&file)?.family()), address, address_len)?;
        }
        Ok(count_of(&got, flags))
    }

    /// sendmsg(2)
    pub(crate) fn sendmsg(&mut self, fd: i32, message: UserRef<MsgHdr>, flags: MessageFlags) -> Result<usize> {
        check_flags(flags)?;
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        let header = Header::read(message)?;
        let vectors = Vectors::read(header.vectors, header.vector_count)?;
        let ancillary = self.read_control(socket, header.control, header.control_len)?;
        let to = self.destination(socket, header.name, header.name_len, flags)?;
        let mut source = Source::user_vec(vectors.spans());
        self.send_on(&file, &mut source, ancillary, to.as_ref(), known(flags))
    }

    /// recvmsg(2)
    pub(crate) fn recvmsg(&mut self, fd: i32, message: UserMut<MsgHdr>, flags: MessageFlags) -> Result<usize> {
        check_flags(flags)?;
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        let flags = known(flags);
        let header = Header::read(message.to_ref())?;
        let vectors = Vectors::read(header.vectors, header.vector_count)?;
        let mut got = self.receive_on(&file, &mut Dest::user_vec(vectors.spans()), flags)?;
        let mut control = Control::new(header.control, header.control_len);
        self.write_control(socket, &mut got, &mut control, flags.contains(MessageFlags::MSG_CMSG_CLOEXEC))?;
        let mut told = flags & MessageFlags::MSG_CMSG_CLOEXEC | got.flags;
        told.set(MessageFlags::MSG_TRUNC, got.full > got.copied && socket.kind() != SocketKind::Stream);
        told.set(MessageFlags::MSG_CTRUNC, control.cut);
        if header.name != 0 {
            let from = got.from.clone().unwrap_or_default();
            let name_len = field_at!(message, MsgHdrX86_64 MsgHdrX86.name_len: i32);
            write_address(&address_bytes(&from, socket.family()), header.name, name_len.address() as u64)?;
        }
        field_at!(message, MsgHdrX86_64 MsgHdrX86.flags: i32).write(told.bits())?;
        let control_len = field_at!(message, MsgHdrX86_64 MsgHdrX86.control_len: UserWord);
        control_len.write(UserWord(control.used() as u64))?;
        Ok(count_of(&got, flags))
    }

    /// sendmmsg(2)
    pub(crate) fn sendmmsg(
        &mut self,
        fd: i32,
        messages: UserMut<MMsgHdr>,
        count: u32,
        flags: MessageFlags,
    ) -> Result<usize> {
        check_flags(flags)?;
        let mut done = 0;
        while done < count.min(MOST_MESSAGES) {
            let at = messages.nth(done as usize);
            let sent = at.and_then(|at| {
                let len = self.sendmsg(fd, at.to_ref().cast(), flags)?;
                field_at!(at, MMsgHdrX86_64 MMsgHdrX86.len: u32).write(len as u32)
            });
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
    pub(crate) fn recvmmsg(
        &mut self,
        fd: i32,
        messages: UserMut<MMsgHdr>,
        count: u32,
        flags: MessageFlags,
        timeout: UserMut<Timespec>,
    ) -> Result<usize> {
        check_flags(flags)?;
        let limit = duration_at(timeout)?;
        let deadline = limit.map(|limit| host().instant().saturating_add(limit));
        let mut flags = flags;
        let mut done = 0;
        socket_of(&*self.file(fd)?)?;
        while done < count.min(MOST_MESSAGES) {
            let at = messages.nth(done as usize);
            let got = at.and_then(|at| {
                let len = self.recvmsg(fd, at.cast(), flags - MessageFlags::MSG_WAITFORONE)?;
                field_at!(at, MMsgHdrX86_64 MMsgHdrX86.len: u32).write(len as u32)
            });
            match got {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += 1,
            }
            if flags.contains(MessageFlags::MSG_WAITFORONE) {
                flags |= MessageFlags::MSG_DONTWAIT;
            }
            // The limit counts from message to message: one that never comes is waited for.
            if deadline.is_some_and(|deadline| host().instant() >= deadline) {
                break;
            }
        }
        if let Some(deadline) = deadline {
            let left = deadline.saturating_since(host().instant());
            timeout.write(left.into())?;
        }
        Ok(done as usize)
    }
}
