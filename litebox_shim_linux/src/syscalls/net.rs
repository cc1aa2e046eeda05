//! Sockets: making, naming, connecting them. `address`: `struct sockaddr`; `message`: what goes over them, `control`:
//! what comes along; `options`: how they behave, `interface`: what they tell of devices.

pub(super) mod address;
mod control;
mod interface;
mod message;
mod options;

use alloc::sync::Arc;

pub(super) use litebox::error::errno::{EADDRINUSE, ECONNREFUSED, ENOBUFS, ETOOMANYREFS};
use litebox::error::errno::{
    EAFNOSUPPORT, EINPROGRESS, EMSGSIZE, ENOPROTOOPT, ENOTCONN, ENOTSOCK, EPROTONOSUPPORT, ESOCKTNOSUPPORT,
};
use litebox::event::{Events, wait_until_ready};
use litebox::fs::{Access, FdTable, OpenFile, StatusFlags};
use litebox::net::inet::{DatagramSocket, TcpSocket, Transport};
use litebox::net::netlink::{self, NetlinkSocket};
use litebox::net::unix::{UnixSocket, pair};
use litebox::net::{Family, Shut, Socket, SocketKind};
use litebox::{Error, Result};
use litebox_common_linux::abi::socket::{AF_INET, AF_INET6, AF_NETLINK, AF_PACKET};
use litebox_common_linux::abi::socket::{ShutdownHow, SocketKind as Type};
use litebox_common_linux::abi::socket_option::{
    IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE,
};

use self::address::{Purpose, address_bytes, read_address, write_address};
use super::unix::AF_UNIX;
use crate::Task;
use crate::user::{check_writable, write_bytes};

/// The bits that say which type of socket it is.
const SOCK_TYPE_MASK: Type = Type(0xf);
/// What comes with the type.
const SOCK_FLAGS: Type = Type::SOCK_NONBLOCK.union(Type::SOCK_CLOEXEC);
/// Types of sockets there are numbers for.
const SOCK_MAX: i32 = 11;

/// The socket behind an open file.
fn socket_of(file: &OpenFile) -> Result<&dyn Socket> {
    file.file.as_socket().ok_or(ENOTSOCK)
}

/// The netlink socket behind a descriptor: EBADF, ENOTSOCK; EINVAL for a socket of another family.
pub(crate) fn netlink_at(files: &FdTable, fd: i32) -> Result<Arc<NetlinkSocket>> {
    let file = files.get(fd)?;
    socket_of(&file)?;
    file.file.clone().into_any().downcast().map_err(|_| Error::Invalid)
}

/// How a socket is made: its kind, its status flags, whether execve(2) closes it.
struct SocketArgs {
    kind: SocketKind,
    status: StatusFlags,
    close_on_exec: bool,
}

fn status_of(flags: Type) -> StatusFlags {
    if flags.contains(Type::SOCK_NONBLOCK) { StatusFlags::NONBLOCK } else { StatusFlags::empty() }
}

impl SocketArgs {
    /// Of a local socket; EAFNOSUPPORT for families that do not exist here, EPERM for packets of devices.
    fn of(family: i32, kind: Type, protocol: i32) -> Result<Self> {
        if !(SOCK_TYPE_MASK | SOCK_FLAGS).contains(kind) {
            return Err(Error::Invalid);
        }
        let number = kind & SOCK_TYPE_MASK;
        if number.bits() >= SOCK_MAX {
            return Err(Error::Invalid);
        }
        match family {
            _ if family == i32::from(AF_UNIX) => {}
            AF_PACKET => return Err(Error::NotPermitted),
            _ => return Err(EAFNOSUPPORT),
        }
        if protocol != 0 && protocol != i32::from(AF_UNIX) {
            return Err(EPROTONOSUPPORT);
        }
        let of = match number {
            Type::SOCK_STREAM => SocketKind::Stream,
            // SOCK_RAW becomes Type::SOCK_DGRAM in this family.
            Type::SOCK_DGRAM | Type::SOCK_RAW => SocketKind::Datagram,
            Type::SOCK_SEQPACKET => SocketKind::SeqPacket,
            _ => return Err(ESOCKTNOSUPPORT),
        };
        Ok(Self { kind: of, status: status_of(kind), close_on_exec: kind.contains(Type::SOCK_CLOEXEC) })
    }
}

/// What a socket of IPv4 or IPv6 sends by; `None`: TCP. EPERM for those below TCP and UDP: nothing of the sandbox has
/// packets.
fn inet_transport(six: bool, kind: Type, protocol: i32) -> Result<Option<Transport>> {
    const IPPROTO_MAX: i32 = 263;
    if !(SOCK_TYPE_MASK | SOCK_FLAGS).contains(kind) || (kind & SOCK_TYPE_MASK).bits() >= SOCK_MAX {
        return Err(Error::Invalid);
    }
    if !(0..IPPROTO_MAX).contains(&protocol) {
        return Err(Error::Invalid);
    }
    let echo = if six { IPPROTO_ICMPV6 } else { IPPROTO_ICMP };
    match (kind & SOCK_TYPE_MASK, protocol) {
        (Type::SOCK_STREAM, 0 | IPPROTO_TCP) => Ok(None),
        (Type::SOCK_DGRAM, 0 | IPPROTO_UDP) => Ok(Some(Transport::Udp)),
        (Type::SOCK_DGRAM, IPPROTO_UDPLITE) => Ok(Some(Transport::UdpLite)),
        (Type::SOCK_DGRAM, ping) if ping == echo => Ok(Some(Transport::Ping)),
        (Type::SOCK_RAW, 1..) => Err(Error::NotPermitted),
        (Type::SOCK_STREAM | Type::SOCK_DGRAM | Type::SOCK_RAW, _) => Err(EPROTONOSUPPORT),
        _ => Err(ESOCKTNOSUPPORT),
    }
}

impl Task<'_, '_> {
    /// An open file of a socket.
    fn open_socket(&self, socket: Arc<dyn Socket>, status: StatusFlags) -> Arc<OpenFile> {
        socket.used_by(self.socket_credentials());
        let file = socket.into_file();
        // It only notes them.
        let _ = file.set_status(status);
        self.nameless(file, Access::READ | Access::WRITE, status)
    }

    /// A socket to ask the kernel by, and to hear from it.
    fn netlink_socket(&self, kind: Type, protocol: i32) -> Result<usize> {
        if !matches!(kind & SOCK_TYPE_MASK, Type::SOCK_DGRAM | Type::SOCK_RAW) {
            return Err(ESOCKTNOSUPPORT);
        }
        let protocol = netlink::Protocol::of(protocol).ok_or(EPROTONOSUPPORT)?;
        let kernel = self.kernel();
        let asked = netlink::Kernel {
            network: kernel.network.clone(),
            local: kernel.local_sockets.clone(),
            addresses: kernel.netlink.clone(),
        };
        let of = if kind & SOCK_TYPE_MASK == Type::SOCK_RAW { SocketKind::Raw } else { SocketKind::Datagram };
        let socket = NetlinkSocket::new(asked, protocol, of, self.kernel().vfs.next_open_id());
        let file = self.open_socket(socket, status_of(kind));
        self.install(file, kind.contains(Type::SOCK_CLOEXEC))
    }

    /// A socket of IPv4 or IPv6.
    fn inet_socket(&self, six: bool, kind: Type, protocol: i32) -> Result<usize> {
        let transport = inet_transport(six, kind, protocol)?;
        let (network, uid) = (&self.kernel().network, self.creds().euid);
        let ino = self.kernel().vfs.next_open_id();
        let socket: Arc<dyn Socket> = match transport {
            None => TcpSocket::new(network, six, uid, ino),
            Some(transport) => DatagramSocket::new(network, transport, six, uid, ino),
        };
        let file = self.open_socket(socket, status_of(kind));
        self.install(file, kind.contains(Type::SOCK_CLOEXEC))
    }

    /// socket(2)
    pub(crate) fn socket(&mut self, family: i32, kind: Type, protocol: i32) -> Result<usize> {
        if family == AF_NETLINK && (SOCK_TYPE_MASK | SOCK_FLAGS).contains(kind) {
            return self.netlink_socket(kind, protocol);
        }
        if matches!(family, AF_INET | AF_INET6) {
            return self.inet_socket(family == AF_INET6, kind, protocol);
        }
        let args = SocketArgs::of(family, kind, protocol)?;
        let kernel = self.kernel();
        let socket = UnixSocket::new(&kernel.local_sockets, args.kind, kernel.vfs.next_open_id());
        let file = self.open_socket(socket, args.status);
        self.install(file, args.close_on_exec)
    }

    /// socketpair(2)
    pub(crate) fn socketpair(&mut self, family: i32, kind: Type, protocol: i32, fds: u64) -> Result<usize> {
        if !(SOCK_TYPE_MASK | SOCK_FLAGS).contains(kind) {
            return Err(Error::Invalid);
        }
        // The descriptors are written, or cannot be, before the sockets are made.
        check_writable::<8>(fds)?;
        if matches!(family, AF_INET | AF_INET6) {
            // They are made before they are asked to be a pair.
            inet_transport(family == AF_INET6, kind, protocol)?;
            return Err(Error::NotSupported);
        }
        let args = SocketArgs::of(family, kind, protocol)?;
        let kernel = self.kernel();
        let inodes = (kernel.vfs.next_open_id(), kernel.vfs.next_open_id());
        let (a, b) = pair(&kernel.local_sockets, args.kind, inodes, self.socket_credentials());
        let (a, b) = (self.open_socket(a, args.status), self.open_socket(b, args.status));
        self.install_two(a, b, args.close_on_exec, fds)
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
            let files = &self.thread.files;
            drop(files.remove(first as i32));
            if let Ok(second) = second {
                drop(files.remove(second as i32));
            }
        }
        written
    }

    /// bind(2)
    pub(crate) fn bind(&mut self, fd: i32, address: u64, len: u32) -> Result<usize> {
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        let to = self.address_for(socket, &read_address(address, len)?, Purpose::Bind)?;
        socket.bind(&to)?;
        Ok(0)
    }

    /// listen(2)
    pub(crate) fn listen(&mut self, fd: i32, backlog: i32) -> Result<usize> {
        let file = self.file(fd)?;
        socket_of(&file)?.listen(backlog, self.socket_credentials())?;
        Ok(0)
    }

    /// accept(2)
    pub(crate) fn accept(&mut self, fd: i32, address: u64, len: u64) -> Result<usize> {
        self.accept4(fd, address, len, Type::empty())
    }

    /// accept4(2)
    pub(crate) fn accept4(&mut self, fd: i32, address: u64, len: u64, flags: Type) -> Result<usize> {
        let file = self.file(fd)?;
        if !SOCK_FLAGS.contains(flags) {
            return Err(Error::Invalid);
        }
        // A connection that finds no descriptor stays for whoever has one.
        self.thread.files.check_room(self.descriptor_limit())?;
        let listener = socket_of(&file)?;
        let ino = self.kernel().vfs.next_open_id();
        let once = || listener.accept(ino);
        let accepted = if file.nonblocking() {
            once()
        } else {
            let limit = self.time_limit(&file, false);
            wait_until_ready(self.waiter(), &*file, Events::IN | Events::EXCLUSIVE, limit, once)
        };
        let socket = match accepted {
            Ok(socket) => socket,
            Err(error) => return Err(self.gave_up(&file, error, false)),
        };
        if address != 0 {
            let peer = socket.peer_name().unwrap_or_default();
            write_address(&address_bytes(&peer, socket.family()), address, len)?;
        }
        let file = self.open_socket(socket, status_of(flags));
        self.install(file, flags.contains(Type::SOCK_CLOEXEC))
    }

    /// connect(2)
    pub(crate) fn connect(&mut self, fd: i32, address: u64, len: u32) -> Result<usize> {
        let file = self.file(fd)?;
        let raw = read_address(address, len)?;
        let socket = socket_of(&file)?;
        let to = self.address_for(socket, &raw, Purpose::Connect)?;
        let owner = self.socket_credentials();
        let at_once = file.nonblocking();
        let once = || socket.connect(&to, owner, at_once);
        let connected = if at_once {
            once()
        } else {
            wait_until_ready(self.waiter(), &*file, Events::OUT, self.time_limit(&file, true), once)
        };
        match connected {
            Ok(()) => Ok(0),
            // It goes on without the caller.
            Err(Error::TimedOut) if socket.family() != Family::Unix => Err(EINPROGRESS),
            Err(error) => Err(self.gave_up(&file, error, true)),
        }
    }

    /// shutdown(2)
    pub(crate) fn shutdown(&mut self, fd: i32, how: ShutdownHow) -> Result<usize> {
        let file = self.file(fd)?;
        let how = match how {
            ShutdownHow::SHUT_RD => Shut::READ,
            ShutdownHow::SHUT_WR => Shut::WRITE,
            ShutdownHow::SHUT_RDWR => Shut::all(),
            _ => return socket_of(&file).and(Err(Error::Invalid)),
        };
        socket_of(&file)?.shutdown(how)?;
        Ok(0)
    }

    /// getsockname(2)
    pub(crate) fn getsockname(&mut self, fd: i32, address: u64, len: u64) -> Result<usize> {
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        write_address(&address_bytes(&socket.name(), socket.family()), address, len)?;
        Ok(0)
    }

    /// getpeername(2)
    pub(crate) fn getpeername(&mut self, fd: i32, address: u64, len: u64) -> Result<usize> {
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        write_address(&address_bytes(&socket.peer_name()?, socket.family()), address, len)?;
        Ok(0)
    }
}
