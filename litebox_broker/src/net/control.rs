//! What the sandbox may do to a socket besides reading and writing: it sends the socket back, and what it wants of it
//! is looked up in a list.
//!
//! Nothing here can make a socket lead somewhere else: there is no connect, no bind, no listen, and of the options none
//! that changes where a packet goes, what may be heard, or what is put around the bytes (TCP_FASTOPEN_CONNECT,
//! TCP_REPAIR, TCP_ULP, SO_BINDTODEVICE, SO_MARK, SO_ATTACH_*, IP_OPTIONS, IP_TRANSPARENT, groups of multicast).

use std::os::fd::BorrowedFd;

use litebox_protocol::net::{MAX_OPTION, Setting};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

use super::sockets;

/// What may be done with an option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    /// A number, to be set and read.
    Number,
    /// A size of a buffer, bounded.
    Size,
    /// A pair of numbers, of which the second must be zero: a close that waits would make us wait.
    Linger,
    /// Only to be read.
    Read,
}

const MOST_BUFFERED: i32 = 4 << 20;

/// Level, name, use. All else is refused.
const OPTIONS: &[(i32, i32, Use)] = &[
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, Use::Number),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE, Use::Number),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT, Use::Number),
    (libc::SOL_SOCKET, libc::SO_SNDBUF, Use::Size),
    (libc::SOL_SOCKET, libc::SO_RCVBUF, Use::Size),
    (libc::SOL_SOCKET, libc::SO_LINGER, Use::Linger),
    (libc::SOL_SOCKET, libc::SO_ERROR, Use::Read),
    (libc::SOL_SOCKET, libc::SO_TYPE, Use::Read),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_CORK, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, Use::Number),
    (libc::IPPROTO_TCP, libc::TCP_INFO, Use::Read),
    (libc::IPPROTO_TCP, libc::TCP_CONGESTION, Use::Read),
    (libc::IPPROTO_IP, libc::IP_TOS, Use::Number),
    (libc::IPPROTO_IP, libc::IP_TTL, Use::Number),
    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, Use::Number),
    (libc::IPPROTO_IP, libc::IP_RECVTOS, Use::Number),
    (libc::IPPROTO_IP, libc::IP_RECVTTL, Use::Number),
    (libc::IPPROTO_IP, libc::IP_MTU, Use::Read),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, Use::Number),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, Use::Number),
    (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, Use::Number),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, Use::Number),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, Use::Number),
    (libc::IPPROTO_IPV6, libc::IPV6_MTU, Use::Read),
    (libc::SOL_UDP, libc::UDP_SEGMENT, Use::Number),
    (libc::SOL_UDP, libc::UDP_GRO, Use::Number),
];

fn use_of(level: i32, name: i32) -> Result<Use, Errno> {
    let found = OPTIONS.iter().find(|(l, n, _)| (*l, *n) == (level, name));
    found.map(|(_, _, what)| *what).ok_or(Errno::NOPROTOOPT)
}

/// What of a value reaches the host; `Err`: nothing may be set.
fn checked(level: i32, name: i32, value: &[u8]) -> Result<Vec<u8>, Errno> {
    let number = || value.try_into().map(i32::from_ne_bytes).map_err(|_| Errno::INVAL);
    match use_of(level, name)? {
        Use::Number => number().map(|n| n.to_ne_bytes().to_vec()),
        Use::Size => number().map(|n| n.min(MOST_BUFFERED).to_ne_bytes().to_vec()),
        Use::Linger => match value.split_at_checked(4) {
            Some((on, seconds)) if on == [0; 4] || seconds == [0; 4] => {
                Ok(value.get(..8).ok_or(Errno::INVAL)?.to_vec())
            }
            Some((_, seconds)) if seconds.len() == 4 => Err(Errno::PERM),
            _ => Err(Errno::INVAL),
        },
        Use::Read => Err(Errno::NOPROTOOPT),
    }
}

/// Refuses what is no TCP or UDP socket: the sandbox can send any descriptor it holds.
fn check_kind(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    let family = sockets::get_number(socket, libc::SOL_SOCKET, libc::SO_DOMAIN)?;
    let protocol = sockets::get_number(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)?;
    let good =
        [libc::AF_INET, libc::AF_INET6].contains(&family) && [libc::IPPROTO_TCP, libc::IPPROTO_UDP].contains(&protocol);
    if good { Ok(()) } else { Err(Errno::OPNOTSUPP) }
}

/// setsockopt(2) as far as the list allows.
pub fn set(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    let value = checked(level, name, value)?;
    check_kind(socket)?;
    sockets::set_option(socket, level, name, &value)
}

/// Settings of a new socket of ours. What the host refuses is left out: the connection is worth more.
pub fn prepare(socket: BorrowedFd<'_>, settings: &[Setting]) {
    for setting in settings {
        if let Ok(value) = checked(setting.level, setting.name, &setting.value.to_ne_bytes()) {
            let _ = sockets::set_option(socket, setting.level, setting.name, &value);
        }
    }
}

/// getsockopt(2) as far as the list allows.
pub fn get(socket: BorrowedFd<'_>, level: i32, name: i32, room: u32) -> Result<Vec<u8>, Errno> {
    use_of(level, name)?;
    check_kind(socket)?;
    sockets::get_option(socket, level, name, (room as usize).min(MAX_OPTION))
}

/// shutdown(2) of what is connected: a socket that is still connecting would become one that can be connected anew.
pub fn shut(socket: BorrowedFd<'_>, how: u32) -> Result<(), Errno> {
    let how = match how {
        0 => Shutdown::Read,
        1 => Shutdown::Write,
        2 => Shutdown::Both,
        _ => return Err(Errno::INVAL),
    };
    check_kind(socket)?;
    if sockets::get_number(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)? == libc::IPPROTO_TCP {
        const SYN_SENT: u8 = 2;
        const SYN_RECEIVED: u8 = 3;
        const CLOSE: u8 = 7;
        const LISTEN: u8 = 10;
        let state = sockets::get_option(socket, libc::IPPROTO_TCP, libc::TCP_INFO, 1)?;
        if state.first().is_none_or(|state| [SYN_SENT, SYN_RECEIVED, CLOSE, LISTEN].contains(state)) {
            return Err(Errno::NOTCONN);
        }
    }
    rustix::net::shutdown(socket, how)
}

/// send(2) of one urgent byte, to the peer that the socket has: without an address there is no other.
pub fn send_urgent(socket: BorrowedFd<'_>, byte: &[u8]) -> Result<(), Errno> {
    let [_] = byte else { return Err(Errno::INVAL) };
    check_kind(socket)?;
    if sockets::get_number(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL)? != libc::IPPROTO_TCP {
        return Err(Errno::OPNOTSUPP);
    }
    rustix::net::send(socket, byte, SendFlags::OOB | SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(drop)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;

    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketFlags, SocketType};

    use super::{OPTIONS, Use, get, send_urgent, set, shut};
    use crate::net::sockets;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        (near, listener.accept().expect("a connection").0)
    }

    #[test]
    fn options_of_the_list_pass() {
        let (near, _far) = pair();
        let one = 1i32.to_ne_bytes();
        assert_eq!(set(near.as_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, &one), Ok(()));
        assert!(near.nodelay().expect("an option"));
        assert_eq!(get(near.as_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 4), Ok(one.to_vec()));
        assert_eq!(get(near.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR, 4), Ok(vec![0; 4]));
        assert!(get(near.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, 9999).is_ok_and(|info| info.len() > 100));
        assert_eq!(set(near.as_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]), Ok(()));
    }

    #[test]
    fn options_that_lead_elsewhere_are_refused() {
        let (near, _far) = pair();
        const TCP_FASTOPEN_CONNECT: i32 = 30;
        let bad = [
            (libc::IPPROTO_TCP, TCP_FASTOPEN_CONNECT),
            (libc::IPPROTO_TCP, libc::TCP_REPAIR),
            (libc::IPPROTO_TCP, libc::TCP_ULP),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
            (libc::IPPROTO_TCP, libc::TCP_MD5SIG),
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
            (libc::SOL_SOCKET, libc::SO_MARK),
            (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER),
            (libc::SOL_SOCKET, libc::SO_ATTACH_BPF),
            (libc::SOL_SOCKET, libc::SO_BROADCAST),
            (libc::SOL_SOCKET, libc::SO_REUSEADDR),
            (libc::SOL_SOCKET, libc::SO_REUSEPORT),
            (libc::SOL_SOCKET, libc::SO_DONTROUTE),
            (libc::IPPROTO_IP, libc::IP_OPTIONS),
            (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
            (libc::IPPROTO_IP, libc::IP_FREEBIND),
            (libc::IPPROTO_IP, libc::IP_HDRINCL),
            (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP),
            (libc::IPPROTO_IP, libc::IP_MULTICAST_IF),
            (libc::IPPROTO_IPV6, libc::IPV6_RTHDR),
            (libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO),
        ];
        for (level, name) in bad {
            assert_eq!(set(near.as_fd(), level, name, &[1, 0, 0, 0]), Err(Errno::NOPROTOOPT), "{level} {name}");
            assert!(!OPTIONS.iter().any(|(l, n, _)| (*l, *n) == (level, name)));
        }
        for (level, name, _) in OPTIONS.iter().filter(|(_, _, what)| *what == Use::Read) {
            assert_eq!(set(near.as_fd(), *level, *name, &[1, 0, 0, 0]), Err(Errno::NOPROTOOPT));
        }
        assert_eq!(set(near.as_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 9, 0, 0, 0]), Err(Errno::PERM));
        assert_eq!(set(near.as_fd(), libc::SOL_SOCKET, libc::SO_KEEPALIVE, &[1]), Err(Errno::INVAL));
    }

    #[test]
    fn buffers_are_bounded() {
        let (near, _far) = pair();
        assert_eq!(set(near.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, &i32::MAX.to_ne_bytes()), Ok(()));
        let size = get(near.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, 4).expect("a size");
        assert!(i32::from_ne_bytes(size.try_into().expect("four bytes")) <= 8 << 20);
    }

    #[test]
    fn other_descriptors_are_refused() {
        let (unix, _other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .expect("a pair");
        let file = std::fs::File::open("/proc/self/exe").expect("a file");
        for fd in [unix.as_fd(), file.as_fd()] {
            assert!(set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &[1, 0, 0, 0]).is_err());
            assert!(get(fd, libc::SOL_SOCKET, libc::SO_ERROR, 4).is_err());
            assert!(shut(fd, 2).is_err());
            assert!(send_urgent(fd, b"x").is_err());
        }
    }

    #[test]
    fn urgent_bytes_go_to_the_peer_alone() {
        let (near, far) = pair();
        assert_eq!(send_urgent(near.as_fd(), b"ab"), Err(Errno::INVAL));
        assert_eq!(send_urgent(near.as_fd(), b"!"), Ok(()));
        let mut byte = [0; 4];
        let got = loop {
            match rustix::net::recv(&far, &mut byte[..], rustix::net::RecvFlags::OOB) {
                Err(Errno::INVAL | Errno::AGAIN) => std::thread::yield_now(),
                got => break got,
            }
        };
        assert_eq!((got.map(|(len, _)| len), byte[0]), (Ok(1), b'!'));
        let fresh = sockets::new("127.0.0.1".parse().expect("an address"), SocketType::STREAM).expect("a socket");
        assert!(send_urgent(fresh.as_fd(), b"x").is_err());
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        assert_eq!(send_urgent(udp.as_fd(), b"x"), Err(Errno::OPNOTSUPP));
    }

    #[test]
    fn only_what_is_connected_is_shut_down() {
        let (near, far) = pair();
        assert_eq!(shut(near.as_fd(), 3), Err(Errno::INVAL));
        assert_eq!(shut(near.as_fd(), 1), Ok(()));
        assert_eq!(std::io::Read::read(&mut &far, &mut [0; 4]).expect("an end"), 0);
        let fresh = sockets::new("127.0.0.1".parse().expect("an address"), SocketType::STREAM).expect("a socket");
        assert_eq!(shut(fresh.as_fd(), 2), Err(Errno::NOTCONN));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        assert_eq!(shut(listener.as_fd(), 2), Err(Errno::NOTCONN));
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        assert_eq!(shut(udp.as_fd(), 2), Err(Errno::NOTCONN));
    }
}
