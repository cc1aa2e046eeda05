//! Local sockets: connected pairs, and the socket calls on them.

use alloc::sync::Arc;

use litebox::event::{Events, wait_until_ready};
use litebox::fs::{Access, OpenFile, StatusFlags};
use litebox::io::{Dest, Source};
use litebox::net::unix::{CAPACITY, Kind, PeerCredentials, UnixSocket, pair};
use litebox::{Error, Result};

use super::file::{MAX_RW_COUNT, Vectors};
use super::signal::set::SIGPIPE;
use crate::Task;
use crate::user::{read_bytes, word, write_bytes};

const AF_UNIX: i32 = 1;
const SOCK_TYPE_MASK: i32 = 0xf;
const SOCK_NONBLOCK: i32 = 0o4000;
const SOCK_CLOEXEC: i32 = 0o2_000_000;

const ENOTSOCK: Error = Error::Host(88);
const EAFNOSUPPORT: Error = Error::Host(97);
const EPROTONOSUPPORT: Error = Error::Host(93);
const ESOCKTNOSUPPORT: Error = Error::Host(94);
const ENOPROTOOPT: Error = Error::Host(92);
const EISCONN: Error = Error::Host(106);

const MSG_PEEK: i32 = 2;
const MSG_CTRUNC: i32 = 8;
const MSG_TRUNC: i32 = 0x20;
const MSG_DONTWAIT: i32 = 0x40;
const MSG_EOR: i32 = 0x80;
const MSG_WAITALL: i32 = 0x100;
const MSG_NOSIGNAL: i32 = 0x4000;
const MSG_OOB: i32 = 1;

/// `struct msghdr`, as far as it is read.
struct Message {
    name: u64,
    iov: usize,
    iov_count: usize,
    control: u64,
    control_len: u64,
}

const MSGHDR_SIZE: usize = 56;
const NAME_LEN_AT: u64 = 8;
const CONTROL_LEN_AT: u64 = 40;
const FLAGS_AT: u64 = 48;

impl Message {
    fn read(addr: u64) -> Result<Self> {
        let raw: [u8; MSGHDR_SIZE] = read_bytes(addr)?;
        let field = |at| u64::from_le_bytes(word(&raw, at));
        let iov_count = field(24) as usize;
        if iov_count > 1024 {
            return Err(Error::Host(90));
        }
        Ok(Self { name: field(0), iov: field(16) as usize, iov_count, control: field(32), control_len: field(40) })
    }
}

/// The socket behind an open file.
fn socket_of(file: &OpenFile) -> Result<&UnixSocket> {
    file.file.as_any().downcast_ref::<UnixSocket>().ok_or(ENOTSOCK)
}

/// How a socket's kind is numbered.
fn kind_number(kind: Kind) -> i32 {
    match kind {
        Kind::Stream => 1,
        Kind::Datagram => 2,
        Kind::SeqPacket => 5,
    }
}

impl Task<'_, '_> {
    fn socket_kind(kind: i32, protocol: i32) -> Result<Kind> {
        if kind & !(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
            return Err(Error::Invalid);
        }
        let kind = match kind & SOCK_TYPE_MASK {
            1 => Kind::Stream,
            // SOCK_RAW becomes SOCK_DGRAM in this family.
            2 | 3 => Kind::Datagram,
            5 => Kind::SeqPacket,
            _ => return Err(ESOCKTNOSUPPORT),
        };
        if protocol != 0 && protocol != AF_UNIX { Err(EPROTONOSUPPORT) } else { Ok(kind) }
    }

    /// socketpair(2)
    pub(crate) fn socketpair(&mut self, family: i32, kind: i32, protocol: i32, fds: u64) -> Result<usize> {
        if family != AF_UNIX {
            return Err(EAFNOSUPPORT);
        }
        let cloexec = kind & SOCK_CLOEXEC != 0;
        let status = if kind & SOCK_NONBLOCK != 0 { StatusFlags::NONBLOCK } else { StatusFlags::empty() };
        let kind = Self::socket_kind(kind, protocol)?;
        let creds = self.process().creds();
        let owner = PeerCredentials { pid: self.process().pid, uid: creds.euid, gid: creds.egid };
        let vfs = &self.kernel().vfs;
        let (a, b) = pair(kind, (vfs.next_open_id(), vfs.next_open_id()), owner);
        let both = Access::READ | Access::WRITE;
        let (a, b) = (self.nameless(a, both, status), self.nameless(b, both, status));
        self.install_two(a, b, cloexec, fds)
    }

    /// Puts two open files at the lowest descriptors and writes their numbers to `fds`; on failure none is left.
    pub(crate) fn install_two(
        &mut self,
        a: Arc<OpenFile>,
        b: Arc<OpenFile>,
        close_on_exec: bool,
        fds: u64,
    ) -> Result<usize> {
        let first = self.install(a, close_on_exec)?;
        let second = self.install(b, close_on_exec);
        let written = second.and_then(|second| {
            let both = (first as u64) | (second as u64) << 32;
            write_bytes(fds, &both.to_le_bytes()).map(|()| 0)
        });
        if written.is_err() {
            let files = &self.process().files;
            drop(files.remove(first as i32));
            if let Ok(second) = second {
                drop(files.remove(second as i32));
            }
        }
        written
    }

    fn send_on(&mut self, file: &Arc<OpenFile>, source: &mut Source<'_>, flags: i32) -> Result<usize> {
        let socket = socket_of(file)?;
        if flags & MSG_OOB != 0 {
            return Err(Error::NotSupported);
        }
        let stream = socket.kind() == Kind::Stream;
        let patient = !file.nonblocking() && flags & MSG_DONTWAIT == 0;
        let mut once = || loop {
            let n = socket.send(source)?;
            if !(stream && patient && n > 0 && source.remaining() > 0) {
                return Ok(n);
            }
        };
        let result = if patient { wait_until_ready(self.waiter(), &**file, Events::OUT, None, once) } else { once() };
        if result == Err(Error::BrokenPipe) && flags & MSG_NOSIGNAL == 0 && stream {
            self.send_self(SIGPIPE);
        }
        match (result, source.moved()) {
            (Ok(_), moved) | (Err(_), moved @ 1..) => Ok(moved),
            (Err(e), 0) => Err(self.restartable(e)),
        }
    }

    /// Receives; the second number is the message's full length.
    fn receive_on(&mut self, file: &Arc<OpenFile>, dest: &mut Dest<'_>, flags: i32) -> Result<(usize, usize)> {
        let socket = socket_of(file)?;
        if flags & MSG_OOB != 0 {
            return Err(if socket.kind() == Kind::Stream { Error::Invalid } else { Error::NotSupported });
        }
        let peek = flags & MSG_PEEK != 0;
        let patient = !file.nonblocking() && flags & MSG_DONTWAIT == 0;
        let all = flags & MSG_WAITALL != 0 && !peek && patient && socket.kind() == Kind::Stream;
        let mut full = 0;
        let mut once = || loop {
            let got = socket.receive(dest, peek)?;
            full = got.full;
            if !(all && got.copied > 0 && dest.remaining() > 0) {
                return Ok(got.copied);
            }
        };
        let result = if patient { wait_until_ready(self.waiter(), &**file, Events::IN, None, once) } else { once() };
        match (result, dest.moved()) {
            (Ok(_), moved) | (Err(_), moved @ 1..) => Ok((moved, full)),
            (Err(e), 0) => Err(self.restartable(e)),
        }
    }

    /// sendto(2): a pair is connected, so an address is EISCONN for streams and not supported for messages.
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
        let socket = socket_of(&file)?;
        if address != 0 && address_len != 0 {
            return Err(if socket.kind() == Kind::Stream { EISCONN } else { Error::Host(111) });
        }
        self.send_on(&file, &mut Source::user(buf, len.min(MAX_RW_COUNT)), flags)
    }

    /// recvfrom(2): the other end of a pair has no name.
    pub(crate) fn recvfrom(
        &mut self,
        fd: i32,
        buf: usize,
        len: usize,
        flags: i32,
        _address: u64,
        address_len: u64,
    ) -> Result<usize> {
        let file = self.file(fd)?;
        let (copied, full) = self.receive_on(&file, &mut Dest::user(buf, len.min(MAX_RW_COUNT)), flags)?;
        if address_len != 0 {
            write_bytes(address_len, &0u32.to_le_bytes())?;
        }
        Ok(if flags & MSG_TRUNC != 0 { full.max(copied) } else { copied })
    }

    /// sendmsg(2), without ancillary data.
    pub(crate) fn sendmsg(&mut self, fd: i32, message: u64, flags: i32) -> Result<usize> {
        let file = self.file(fd)?;
        socket_of(&file)?;
        let message = Message::read(message)?;
        if message.control != 0 && message.control_len != 0 {
            // Descriptors and credentials cannot be passed yet.
            return Err(Error::NotSupported);
        }
        let vectors = Vectors::read(message.iov, message.iov_count)?;
        self.send_on(&file, &mut Source::user_vec(vectors.spans()), flags)
    }

    /// recvmsg(2)
    pub(crate) fn recvmsg(&mut self, fd: i32, message: u64, flags: i32) -> Result<usize> {
        let file = self.file(fd)?;
        socket_of(&file)?;
        let header = Message::read(message)?;
        let vectors = Vectors::read(header.iov, header.iov_count)?;
        let room = vectors.spans().iter().map(|s| s.len).sum::<usize>();
        let (copied, full) = self.receive_on(&file, &mut Dest::user_vec(vectors.spans()), flags)?;
        let truncated = full > room;
        let mut out_flags = 0;
        if truncated {
            out_flags |= MSG_TRUNC;
        }
        if header.name != 0 {
            write_bytes(message + NAME_LEN_AT, &0u32.to_le_bytes())?;
        }
        write_bytes(message + CONTROL_LEN_AT, &0u64.to_le_bytes())?;
        write_bytes(message + FLAGS_AT, &u32::to_le_bytes(out_flags as u32 & !(MSG_CTRUNC | MSG_EOR) as u32))?;
        Ok(if flags & MSG_TRUNC != 0 { full.max(copied) } else { copied })
    }

    /// shutdown(2)
    pub(crate) fn shutdown(&mut self, fd: i32, how: i32) -> Result<usize> {
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        match how {
            0 => socket.shutdown(true, false),
            1 => socket.shutdown(false, true),
            2 => socket.shutdown(true, true),
            _ => return Err(Error::Invalid),
        }
        Ok(0)
    }

    /// getsockopt(2)
    pub(crate) fn getsockopt(&mut self, fd: i32, level: i32, name: i32, value: u64, len: u64) -> Result<usize> {
        const SOL_SOCKET: i32 = 1;
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        let room = i32::from_le_bytes(read_bytes(len)?);
        let room = usize::try_from(room).map_err(|_| Error::Invalid)?;
        if level != SOL_SOCKET {
            return Err(Error::NotSupported);
        }
        let mut raw = [0u8; 12];
        let used = if name == 17 {
            let peer = socket.peer;
            for (slot, v) in raw.chunks_exact_mut(4).zip([peer.pid as u32, peer.uid, peer.gid]) {
                slot.copy_from_slice(&v.to_le_bytes());
            }
            12
        } else {
            let number: i32 = match name {
                3 => kind_number(socket.kind()),
                4 => socket.take_error(),
                7 | 8 => CAPACITY as i32,
                39 => AF_UNIX,
                // SO_PROTOCOL is 0; SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST, SO_KEEPALIVE, SO_PASSCRED, SO_ACCEPTCONN: off.
                2 | 5 | 6 | 9 | 16 | 30 | 38 => 0,
                _ => return Err(ENOPROTOOPT),
            };
            raw.iter_mut().zip(number.to_le_bytes()).for_each(|(slot, b)| *slot = b);
            4
        };
        let used = room.min(used);
        write_bytes(value, raw.get(..used).unwrap_or_default())?;
        write_bytes(len, &(used as u32).to_le_bytes())?;
        Ok(0)
    }

    /// setsockopt(2): buffer sizes are hints; what changes nothing for a pair is checked and accepted.
    pub(crate) fn setsockopt(&mut self, fd: i32, level: i32, name: i32, value: u64, len: u32) -> Result<usize> {
        const SOL_SOCKET: i32 = 1;
        let file = self.file(fd)?;
        socket_of(&file)?;
        if level != SOL_SOCKET {
            return Err(Error::NotSupported);
        }
        if len < 4 {
            return Err(Error::Invalid);
        }
        read_bytes::<4>(value)?;
        match name {
            2 | 5 | 7 | 8 | 9 => Ok(0),
            _ => Err(ENOPROTOOPT),
        }
    }

    /// A nameless AF_UNIX address: its family alone.
    fn unnamed_address(&mut self, fd: i32, address: u64, len: u64) -> Result<usize> {
        let file = self.file(fd)?;
        socket_of(&file)?;
        let room = i32::from_le_bytes(read_bytes(len)?);
        let room = usize::try_from(room).map_err(|_| Error::Invalid)?;
        let family = (AF_UNIX as u16).to_le_bytes();
        write_bytes(address, family.get(..room.min(2)).unwrap_or_default())?;
        write_bytes(len, &2u32.to_le_bytes())?;
        Ok(0)
    }

    /// getsockname(2)
    pub(crate) fn getsockname(&mut self, fd: i32, address: u64, len: u64) -> Result<usize> {
        self.unnamed_address(fd, address, len)
    }

    /// getpeername(2)
    pub(crate) fn getpeername(&mut self, fd: i32, address: u64, len: u64) -> Result<usize> {
        self.unnamed_address(fd, address, len)
    }

    #[expect(clippy::unused_self, reason = "handlers of calls have one shape")]
    /// socket(2): nothing can be connected yet, so no family is offered.
    pub(crate) fn socket(&mut self, _family: i32, kind: i32, _protocol: i32) -> Result<usize> {
        if kind & !(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
            return Err(Error::Invalid);
        }
        Err(EAFNOSUPPORT)
    }

    /// The calls on sockets that a connected pair refuses: ENOTSOCK for other files.
    fn refused(&self, fd: i32, error: Error) -> Result<usize> {
        let file = self.file(fd)?;
        socket_of(&file)?;
        Err(error)
    }

    /// connect(2)
    pub(crate) fn connect(&mut self, fd: i32, _address: u64, _len: u32) -> Result<usize> {
        self.refused(fd, EISCONN)
    }
    /// bind(2)
    pub(crate) fn bind(&mut self, fd: i32, _address: u64, _len: u32) -> Result<usize> {
        self.refused(fd, Error::NotSupported)
    }
    /// listen(2)
    pub(crate) fn listen(&mut self, fd: i32, _backlog: i32) -> Result<usize> {
        self.refused(fd, Error::Invalid)
    }
    /// accept(2)
    pub(crate) fn accept(&mut self, fd: i32, _address: u64, _len: u64) -> Result<usize> {
        self.refused(fd, Error::Invalid)
    }
    /// accept4(2)
    pub(crate) fn accept4(&mut self, fd: i32, _address: u64, _len: u64, flags: i32) -> Result<usize> {
        if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
            return Err(Error::Invalid);
        }
        self.refused(fd, Error::Invalid)
    }
}
