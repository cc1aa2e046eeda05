//! The messages about the network between the sandbox and the broker, on a `SOCK_SEQPACKET` socket of their own
//! (`start_fd::NET`).
//!
//! A request is a [`NetRequest`] followed by `extra_len` bytes; at most one descriptor comes with it. Every request has
//! one reply, which comes at once: a [`NetReply`] followed by `len` bytes, with at most one descriptor. What takes time
//! is answered [`STATE_PENDING`] and finishes as a [`NetEvent`] on the event socket, which carries the number that the
//! sandbox gave the request. Numbers are in machine byte order.
//!
//! Addresses have 16 bytes, those of IPv4 in their mapped form (`::ffff:a.b.c.d`); there is no other form of an IPv4
//! address here.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most bytes of the first flight of a TLS connection that the broker looks at.
pub const MAX_FIRST: usize = 16 << 10;
/// Longest name in a [`NetOp::Resolve`].
pub const MAX_HOST_NAME: usize = 255;
/// Most addresses that a name is answered with.
pub const MAX_ADDRESSES: usize = 32;
/// Longest value of a socket option.
pub const MAX_OPTION: usize = 256;
/// Most options that are set before a connection is made.
pub const MAX_SETTINGS: usize = 32;
/// Longest request.
pub const MAX_NET_REQUEST: usize = size_of::<NetRequest>() + MAX_FIRST;
/// Longest reply.
pub const MAX_NET_REPLY: usize = size_of::<NetReply>() + size_of::<Answer>() + 16 * MAX_ADDRESSES;
/// Longest datagram of UDP.
pub const MAX_DATAGRAM: usize = 65_507;
/// Longest event.
pub const MAX_NET_EVENT: usize = size_of::<NetEvent>() + MAX_DATAGRAM;
/// Most ports that are published.
pub const MAX_PUBLISHED: usize = 256;

/// The sandbox's own address on the network it sees.
pub const GUEST_V4: [u8; 4] = [10, 0, 2, 15];
/// The address under which the host's loopback can be reached, as far as rules (`host:PORT`) allow. It is also the
/// default route's.
pub const HOST_V4: [u8; 4] = [10, 0, 2, 2];
/// Where the sandbox's resolver is: our kernel answers there.
pub const RESOLVER_V4: [u8; 4] = [10, 0, 2, 3];
/// The sandbox's own IPv6 address.
pub const GUEST_V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x15];
/// The IPv6 address of the host's loopback.
pub const HOST_V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2];
/// The name that is answered with [`HOST_V4`].
pub const HOST_NAME: &str = "host";

/// TCP, as the protocol's number.
pub const TCP: u8 = 6;
/// UDP, as the protocol's number.
pub const UDP: u8 = 17;

/// Done; the descriptor, if the operation gives one, comes along.
pub const STATE_DONE: u32 = 0;
/// An event with the request's number follows.
pub const STATE_PENDING: u32 = 1;
/// More bytes of the first flight are needed.
pub const STATE_MORE: u32 = 2;

/// What is asked for. `R:` what the reply carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum NetOp {
    /// Makes a socket of `protocol` that is connected, or connecting, to `address` and `port`; `extra`: at most
    /// [`MAX_SETTINGS`] [`Setting`]s to make before. R: done, with the descriptor (not blocking) and its local port; or
    /// pending: [`EventKind::Connected`] follows. `EACCES`: no rule allows it.
    ///
    /// [`EventKind::Connected`]: super::EventKind::Connected
    Connect = 1,
    /// The next bytes (`extra`) that the guest wrote to the connection `id`, of which the broker wants to see the first
    /// flight. R: `STATE_MORE`; done, with the descriptor, all bytes sent; pending: [`EventKind::Handed`] follows.
    /// `ECONNRESET`: no rule allows the name in it, or there is none; the connection is gone.
    ///
    /// [`EventKind::Handed`]: super::EventKind::Handed
    First = 2,
    /// The connection or question `id` is not wanted any more. R: done, also when there is none.
    Forget = 3,
    /// The addresses of the name in `extra` (presentation form, ASCII, no dot at the end); `value`: 4 or 6. R: done,
    /// with an [`Answer`]; or pending: [`EventKind::Resolved`] follows.
    ///
    /// [`EventKind::Resolved`]: super::EventKind::Resolved
    Resolve = 4,
    /// Sets an option (`level`, `name`, value in `extra`) of the socket that comes along. `ENOPROTOOPT`: not on the
    /// list.
    SetOption = 5,
    /// R: the value of an option of the socket that comes along, at most `value` bytes.
    GetOption = 6,
    /// shutdown(2) of the connected socket that comes along; `value`: 0 reading, 1 writing, 2 both.
    Shutdown = 7,
    /// Somebody listens on the published port `id`; `value`: how many connections may come before [`NetOp::Credit`].
    Listen = 8,
    /// Nobody listens there any more.
    Unlisten = 9,
    /// `value` more connections, or peers of UDP, may come on the published port `id`.
    Credit = 10,
    /// Sends the one byte in `extra` as urgent data (MSG_OOB) by the TCP socket that comes along. `EAGAIN`: there is no
    /// room.
    SendUrgent = 11,
    /// Lets `port` of the host, at `address` (its own, or the unspecified one), lead to the same port of the sandbox,
    /// by `protocol`. R: done, with the number of the published port ([`PublishedAs`]); the same one when it is asked
    /// for again. `EACCES`: the host is no network namespace of the sandbox.
    Publish = 12,
}

impl NetOp {
    /// From the number in a request.
    pub const fn from_number(n: u32) -> Option<Self> {
        Some(match n {
            1 => Self::Connect,
            2 => Self::First,
            3 => Self::Forget,
            4 => Self::Resolve,
            5 => Self::SetOption,
            6 => Self::GetOption,
            7 => Self::Shutdown,
            8 => Self::Listen,
            9 => Self::Unlisten,
            10 => Self::Credit,
            11 => Self::SendUrgent,
            12 => Self::Publish,
            _ => return None,
        })
    }
}

/// Head of a request. Fields that an operation does not name are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "each operation says what its fields mean")]
pub struct NetRequest {
    pub op: u32,
    pub extra_len: u32,
    pub id: u64,
    pub address: [u8; 16],
    pub port: u16,
    pub protocol: u8,
    pub reserved: u8,
    pub level: i32,
    pub name: i32,
    pub value: u32,
    /// What the reply is known by.
    pub number: u32,
    pub reserved_too: u32,
}

/// An option with a number as value, to be set before a connection is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are those of setsockopt(2)")]
pub struct Setting {
    pub level: i32,
    pub name: i32,
    pub value: i32,
}

/// Head of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct NetReply {
    /// 0, or why it failed: a Linux errno.
    pub error: i32,
    /// One of the `STATE_` constants.
    pub state: u32,
    /// Bytes behind the head.
    pub len: u32,
    /// Local port of a new socket.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
    /// That of the request.
    pub number: u32,
}

/// What a name is answered with; `count` addresses follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Answer {
    /// The response code of DNS: 0 none, 2 the servers failed, 3 no such name.
    pub code: u32,
    /// Seconds for which it may be kept.
    pub ttl: u32,
    /// How many addresses follow.
    pub count: u32,
}

/// What the broker tells unasked, or later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct NetEvent {
    /// A kind of event ([`EventKind`](super::EventKind)).
    pub kind: u32,
    /// 0, or why it failed: a Linux errno.
    pub error: i32,
    /// The number of the request, or of the published port.
    pub id: u64,
    /// The peer of a published port.
    pub address: [u8; 16],
    /// The peer's port; of a connection the local one.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
    /// Bytes behind the head.
    pub len: u32,
}

/// A published port, as the sandbox is told of it at its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Published {
    /// Port in the sandbox.
    pub port: u16,
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}

/// What a [`NetOp::Publish`] is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct PublishedAs {
    /// The number of the port.
    pub index: u64,
}

/// Addresses of the sandbox that are those of its network namespace, where it is in one that an engine made: any port
/// there can be published. All zero: it has none of that family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct OwnAddresses {
    /// IPv4.
    pub v4: [u8; 4],
    /// IPv6.
    pub v6: [u8; 16],
    /// Bits of the IPv4 network.
    pub v4_bits: u8,
    /// Bits of the IPv6 network.
    pub v6_bits: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// The 16 bytes of an IPv4 address.
pub const fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]]
}

/// A TUN device, whose descriptor the sandbox has from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tun {
    /// The descriptor: packets without a protocol, each with a header of 12 bytes (`struct virtio_net_hdr_v1`).
    pub fd: i32,
    /// The longest packet.
    pub mtu: u32,
    /// The sandbox's own address, and how many bits of it are those of its network; all zeros: none.
    pub v4: [u8; 4],
    /// See [`Tun::v4`].
    pub prefix_v4: u32,
    /// The same of IPv6.
    pub v6: [u8; 16],
    /// See [`Tun::v6`].
    pub prefix_v6: u32,
}
