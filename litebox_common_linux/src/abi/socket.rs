//! Sockets: socket(2), send(2), setsockopt(2).

use super::layout::structure;
use super::named;

named! {
    /// socket(2)
    number SocketFamily(i32) { AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16, AF_PACKET = 17, AF_VSOCK = 40 }
    /// socket(2), with its flags
    flags SocketKind(i32) {
        SOCK_STREAM = 1 in 0xf, SOCK_DGRAM = 2 in 0xf, SOCK_RAW = 3 in 0xf, SOCK_SEQPACKET = 5 in 0xf, SOCK_CLOEXEC = 0o2_000_000, SOCK_NONBLOCK = 0o4000
    }
    /// setsockopt(2)
    number SocketLevel(i32) { SOL_IP = 0, SOL_SOCKET = 1, SOL_TCP = 6, SOL_UDP = 17, SOL_IPV6 = 41, SOL_NETLINK = 270 }
    /// send(2), recv(2)
    flags MessageFlags(i32) {
        MSG_OOB = 1, MSG_PEEK = 2, MSG_DONTROUTE = 4, MSG_CTRUNC = 8, MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40, MSG_EOR = 0x80, MSG_WAITALL = 0x100,
        MSG_CONFIRM = 0x800, MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000, MSG_MORE = 0x8000, MSG_WAITFORONE = 0x1_0000, MSG_ZEROCOPY = 0x400_0000,
        MSG_FASTOPEN = 0x2000_0000, MSG_CMSG_CLOEXEC = 0x4000_0000
    }
    /// shutdown(2)
    choice ShutdownHow(i32) { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 }
}

structure! {
    /// `struct msghdr`
    MsgHdr [MsgHdrX86_64 MsgHdrX86] Message {
        /// Where the address is, or goes.
        name: u64 = u64, u32;
        /// Its length.
        name_len: i32 = i32, i32;
        /// Between the fields.
        padding: () = [u8; 4], [u8; 0];
        /// Where the buffers are.
        vectors: u64 = u64, u32;
        /// How many.
        vector_count: u64 = u64, u32;
        /// Where the control messages are, or go.
        control: u64 = u64, u32;
        /// How many bytes of them.
        control_len: u64 = u64, u32;
        /// MSG_ flags of what was received.
        flags: i32 = i32, i32;
        /// Behind the fields.
        tail: () = [u8; 4], [u8; 0];
    }
    /// `struct mmsghdr`
    MMsgHdr [MMsgHdrX86_64 MMsgHdrX86] Opaque {
        /// The message.
        header: MsgHdr = MsgHdrX86_64, MsgHdrX86;
        /// How many bytes it has.
        len: u32 = u32, u32;
        /// Behind the fields.
        tail: () = [u8; 4], [u8; 0];
    }
    /// `struct cmsghdr`
    CMsgHdr [CMsgHdrX86_64 CMsgHdrX86] Opaque {
        /// How many bytes, with this head.
        len: u64 = u64, u32;
        /// The protocol.
        level: i32 = i32, i32;
        /// What it is.
        kind: i32 = i32, i32;
    }
    /// `struct ifconf`
    IfConf [IfConfX86_64 IfConfX86] Opaque {
        /// How many bytes.
        len: i32 = i32, i32;
        /// Between the fields.
        padding: () = [u8; 4], [u8; 0];
        /// Where.
        buffer: u64 = u64, u32;
    }
}
