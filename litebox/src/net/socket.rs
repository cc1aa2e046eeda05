//! What every socket can do, whatever its family.

use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::address::Address;
use super::options::{Setting, Settings};
use super::unix::Rights;
use litebox_common_linux::abi::socket::MessageFlags;

use crate::fs::File;
use crate::io::{Dest, Source};
pub use crate::platform::north::Credentials;
use crate::{Error, Result};

/// How a socket transfers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SocketKind {
    /// Bytes without borders.
    Stream,
    /// Messages, each alone.
    Datagram,
    /// Messages in a connection.
    SeqPacket,
    /// Messages below a transport.
    Raw,
}

/// Which addresses a socket has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// Names in the sandbox.
    Unix,
    /// IPv4.
    Inet,
    /// IPv6, and IPv4 mapped into it.
    Inet6,
    /// The kernel.
    Netlink,
}

/// A group as a program names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its address.
    pub address: IpAddr,
    /// By the number of the device, or (0) by one of its addresses.
    pub interface: u32,
    /// An address of the device; unspecified: any.
    pub local: Ipv4Addr,
}

bitflags::bitflags! {
    /// Directions that ended.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Shut: u8 {
        /// Nothing more is received.
        const READ = 1;
        /// Nothing more is sent.
        const WRITE = 2;
    }
}

/// What a sender asks for a single packet (cmsg(3)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PacketOptions {
    /// Its source address.
    pub source: Option<IpAddr>,
    /// The interface it leaves by, by number; 0: whichever leads there.
    pub interface: u32,
    /// How many routers it may pass.
    pub ttl: Option<u8>,
    /// Its type of service, or traffic class.
    pub tos: Option<u8>,
    /// The bytes are many datagrams, each of this length but the last.
    pub segment: Option<u16>,
}

/// What a receiver can learn of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketInfo {
    /// Where it was sent to.
    pub to: SocketAddr,
    /// The interface it came by.
    pub interface: u32,
    /// How many more routers it might have passed.
    pub ttl: u8,
    /// Its type of service, or traffic class.
    pub tos: u8,
    /// When it came, since 1970.
    pub stamp: Duration,
    /// Several datagrams came as one, each of this length but the last.
    pub segment: Option<u16>,
}

/// An error that tells more than its number (`struct sock_extended_err`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueuedError {
    /// Its Linux number.
    pub number: u32,
    /// Who says so: `SO_EE_ORIGIN_*`.
    pub origin: u8,
    /// Type and code of ICMP.
    pub kind: (u8, u8),
    /// `ee_info`, `ee_data`.
    pub info: (u32, u32),
    /// Which node says so; `None`: this one.
    pub offender: Option<IpAddr>,
}

/// What comes with the bytes of a message.
pub struct Outgoing<'a> {
    /// Who sends.
    pub credentials: Credentials,
    /// The sender wants that to be known, whether the receiver asks or not (SCM_CREDENTIALS).
    pub signed: bool,
    /// Files that go along. Taken when the first bytes are sent.
    pub rights: Rights,
    /// Where it goes, if not to the peer.
    pub to: Option<&'a Address>,
    /// OOB, MORE, EOR, ZEROCOPY and kin.
    pub flags: MessageFlags,
    /// Of a packet.
    pub packet: PacketOptions,
}

impl Outgoing<'_> {
    /// Bytes alone, to the peer.
    pub fn plain(credentials: Credentials) -> Self {
        Self {
            credentials,
            signed: false,
            rights: Rights::new(),
            to: None,
            flags: MessageFlags::empty(),
            packet: PacketOptions::default(),
        }
    }
}

/// What [`Socket::receive`] got.
#[derive(Default)]
pub struct Received {
    /// Bytes copied.
    pub copied: usize,
    /// Length of the message (for streams: the same).
    pub full: usize,
    /// The sender's address.
    pub from: Option<Address>,
    /// Who sent it.
    pub credentials: Option<Credentials>,
    /// Files that came along.
    pub rights: Rights,
    /// What the message was: OOB, EOR, ERRQUEUE.
    pub flags: MessageFlags,
    /// What is known of the packet.
    pub packet: Option<PacketInfo>,
    /// An error from the queue of errors.
    pub error: Option<QueuedError>,
    /// Bytes of the stream that are still there, for who wants to know (TCP_INQ). At the end of one: 1.
    pub left: Option<i32>,
}

/// A socket: what the calls of socket(2) and its kin need. Reading, writing, readiness are those of its [`File`].
///
/// Nothing here waits: `WouldBlock` says that [`File::observe`] will tell.
pub trait Socket: File {
    /// Which addresses it has.
    fn family(&self) -> Family;
    /// How it transfers.
    fn kind(&self) -> SocketKind;
    /// Its protocol's number (SO_PROTOCOL).
    fn protocol(&self) -> i32;
    /// Its options. Whoever sets one tells [`Socket::option_changed`].
    fn options(&self) -> &Settings;
    /// An option was set.
    fn option_changed(&self, _of: Setting) {}
    /// bind(2). `Unix(None)`: a name of the kernel's choice.
    fn bind(&self, _to: &Address) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// listen(2), by `owner`.
    fn listen(&self, _backlog: i32, _owner: Credentials) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// Takes the next connection; `ino` is the inode number of the new socket. `WouldBlock`: there is none.
    fn accept(&self, _ino: u64) -> Result<Arc<dyn Socket>> {
        Err(Error::NotSupported)
    }
    /// connect(2), by `owner`; [`Address::Unspecified`] parts again. Called again it goes on with what it began.
    ///
    /// Errors: `WouldBlock` while it takes time. With `at_once`, connections that take time say EINPROGRESS, then
    /// EALREADY.
    fn connect(&self, _to: &Address, _owner: Credentials, _at_once: bool) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// shutdown(2)
    fn shutdown(&self, _how: Shut) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// getsockname(2)
    fn name(&self) -> Address;
    /// getpeername(2)
    fn peer_name(&self) -> Result<Address> {
        Err(Error::NotSupported)
    }
    /// Whether a stream lets an address come with what is sent: it goes to the peer all the same.
    fn check_destination(&self) -> Result<()> {
        Ok(())
    }
    /// Sends: what fits of a stream, or one whole message.
    ///
    /// Errors: `WouldBlock`; `BrokenPipe` on a stream that ended; those of sendmsg(2).
    fn send(&self, source: &mut Source<'_>, outgoing: &mut Outgoing<'_>) -> Result<usize>;
    /// Receives; of `flags`, PEEK, OOB, TRUNC, ERRQUEUE matter. `WouldBlock` when there is nothing; nothing when
    /// nothing will come.
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<Received>;
    /// The pending error, by its Linux number, which is thereby taken (SO_ERROR); 0: none.
    fn take_error(&self) -> i32 {
        0
    }
    /// Whether it accepts connections (SO_ACCEPTCONN).
    fn is_listening(&self) -> bool {
        false
    }
    /// Who is at the other end (SO_PEERCRED).
    fn peer_credentials(&self) -> Option<Credentials> {
        None
    }
    /// SO_SNDBUF (`sending`) or SO_RCVBUF, in bytes.
    fn buffer(&self, sending: bool) -> usize;
    /// What is charged for what it sent (`sending`) or received and that waits to be read, in bytes of memory.
    fn charged(&self, _sending: bool) -> usize {
        0
    }
    /// Notes who uses it now: what write(2) sends from here on comes from them.
    fn used_by(&self, _who: Credentials) {}
    /// Joins a multicast group, or leaves it.
    fn membership(&self, _group: &Group, _joins: bool) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// Makes a socket of IPv6 one of IPv4 (IPV6_ADDRFORM): ENOPROTOOPT, ENOTCONN, EADDRNOTAVAIL, EBUSY.
    fn become_four(&self) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// The same as an open file's file.
    fn into_file(self: Arc<Self>) -> Arc<dyn File>;
}
