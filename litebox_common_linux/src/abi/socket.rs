//! Sockets: socket(2), send(2), setsockopt(2).

use super::named;

named! {
    /// socket(2)
    choice SocketFamily(i32, u32) { AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16, AF_PACKET = 17, AF_VSOCK = 40 }
    /// socket(2), with its flags
    flags SocketKind(i32, u32) {
        SOCK_STREAM = 1 in 0xf, SOCK_DGRAM = 2 in 0xf, SOCK_RAW = 3 in 0xf, SOCK_SEQPACKET = 5 in 0xf, SOCK_NONBLOCK = 0o4000, SOCK_CLOEXEC = 0o2_000_000
    }
    /// setsockopt(2)
    choice SocketLevel(i32, u32) { SOL_IP = 0, SOL_SOCKET = 1, SOL_TCP = 6, SOL_UDP = 17, SOL_IPV6 = 41, SOL_NETLINK = 270 }
    /// send(2), recv(2)
    flags MessageFlags(i32, u32) {
        MSG_OOB = 1, MSG_PEEK = 2, MSG_DONTROUTE = 4, MSG_CTRUNC = 8, MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40, MSG_EOR = 0x80, MSG_WAITALL = 0x100,
        MSG_CONFIRM = 0x800, MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000, MSG_MORE = 0x8000, MSG_WAITFORONE = 0x1_0000, MSG_CMSG_CLOEXEC = 0x4000_0000
    }
    /// shutdown(2)
    choice ShutdownHow(i32, u32) { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 }
}
