//! What carries a connection or datagrams: the other socket, where it is in this sandbox, or something that leads out.
//!
//! A stream asks its [`StreamCarrier`] for everything that depends on the other end; names, options and the port are
//! the socket's own. A carrier tells of changes by the wait queue that it was given when it was made. [`Outside`] makes
//! those that leave the sandbox: where there is none, only the sandbox's own addresses can be reached.

pub mod host;
pub mod local;
pub mod wire;

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use crate::Result;
use crate::event::{Events, WaitQueue};
use crate::io::{Dest, Source};
use crate::net::{MessageFlags, PacketInfo, PacketOptions, Setting, Settings, Shut};
use crate::platform::Instant;

/// The state of a connection. The numbers are those of `tcpi_state` (tcp(7)) and /proc/net/tcp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of RFC 9293")]
pub enum TcpState {
    Established = 1,
    SynSent = 2,
    SynReceived = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    Closed = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
}

/// How the last descriptor of a connection is closed (SO_LINGER).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// What was sent is still delivered.
    Orderly,
    /// What was sent and not read is thrown away, and the peer sees a reset.
    Reset,
}

/// What carries one stream.
///
/// Nothing here waits: `WouldBlock` says that the wait queue will be told.
pub trait StreamCarrier: Send + Sync {
    /// Where the connection stands. A carrier begins as `SynSent` (or `Established`); failing is `Closed` with an
    /// error.
    fn state(&self) -> TcpState;
    /// Sends what fits; of `flags`, OOB matters (the last byte is urgent then).
    ///
    /// Errors: `WouldBlock`; `BrokenPipe` when nothing can be sent any more; a pending error, which is thereby taken.
    fn send(&self, source: &mut Source<'_>, flags: MessageFlags) -> Result<usize>;
    /// Receives; of `flags`, PEEK, OOB and TRUNC (the bytes are not wanted) matter. 0: nothing will come.
    ///
    /// Errors: `WouldBlock`; a pending error, which is thereby taken.
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<usize>;
    /// What it is ready for now; a connection that is closed by both sides is hung up.
    fn ready(&self) -> Events;
    /// shutdown(2); ENOTCONN when it is closed already.
    fn shutdown(&self, how: Shut) -> Result<()>;
    /// Nobody has the socket open any more. Called once, last.
    fn close(&self, how: Closing);
    /// After its close: it goes on without the socket, and its port stays taken for a while, because this end was the
    /// first to close it (TIME_WAIT). Asked of what is carried outside, if it is this kernel that remembers it.
    fn lingers(&self) -> bool {
        false
    }
    /// The pending error, by its Linux number, which is thereby taken; 0: none.
    fn take_error(&self) -> i32;
    /// Bytes that can be read now (SIOCINQ).
    fn readable(&self) -> usize;
    /// Bytes sent that the other end did not take yet (SIOCOUTQ).
    fn unsent(&self) -> usize;
    /// Whether the next byte read is behind urgent data (SIOCATMARK).
    fn at_mark(&self) -> bool {
        false
    }
    /// An option of the socket was set.
    fn option_changed(&self, _of: Setting, _options: &Settings) {}
    /// Sleeps until it is likely to be ready for any of `interest`, where the host can do that better than the wait
    /// queue; `None`: it cannot.
    ///
    /// Errors: `Interrupted`; `TimedOut` past `deadline`.
    fn wait(&self, _interest: Events, _deadline: Option<Instant>) -> Option<Result<()>> {
        None
    }
    /// Somebody waits in the wait queue from now on.
    fn observed(&self) {}
    /// The address it leaves by, once that is known.
    fn local_address(&self) -> Option<SocketAddr> {
        None
    }
}

/// A datagram from outside.
pub struct Datagram<'a> {
    /// What it holds.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// What else is known.
    pub info: PacketInfo,
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Port {
    /// A listener's.
    Stream,
    /// A datagram socket's.
    Datagram,
    /// The identifier of a ping socket.
    Echo,
}

/// Where what comes from outside goes: a bound datagram socket, or a listener.
pub trait Inlet: Send + Sync {
    /// The socket's options.
    fn options(&self) -> &Settings;
    /// Whether a datagram from `from` to its address `to` is for it, connected as it is.
    fn hears(&self, _from: SocketAddr, _to: IpAddr) -> bool {
        false
    }
    /// A datagram came. What does not fit is lost.
    fn datagram(&self, datagram: &Datagram<'_>);
    /// What was sent to `to` could not be delivered, by its Linux number.
    fn undeliverable(&self, to: SocketAddr, error: i32);
    /// A connection came, from `peer` to `local`. It is given back when too many wait to be accepted.
    fn connection(
        &self,
        local: SocketAddr,
        peer: SocketAddr,
        queue: &Arc<WaitQueue>,
        carrier: Arc<dyn StreamCarrier>,
    ) -> core::result::Result<(), Arc<dyn StreamCarrier>>;
    /// How many more connections may wait to be accepted.
    fn room(&self) -> usize;
    /// Whether connections wait to be accepted.
    fn has_waiting(&self) -> bool {
        false
    }
}

/// What a bound socket has outside: kept while it is bound (a listener: while it listens).
pub trait Outlet: Send + Sync {
    /// Sends one datagram.
    fn send(&self, to: SocketAddr, source: &mut Source<'_>, packet: &PacketOptions) -> Result<usize>;
    /// One waiting connection was accepted: there is room for one more.
    fn accepted(&self) {}
    /// An option of the socket was set.
    fn option_changed(&self, _of: Setting, _options: &Settings) {}
}

/// What leads out of the sandbox.
pub trait Outside: Send + Sync {
    /// The sandbox's own addresses outside, with the lengths of their prefixes: those of its one device beside the
    /// loopback one.
    fn addresses(&self) -> &[(IpAddr, u8)];
    /// The longest packet.
    fn mtu(&self) -> u32 {
        1500
    }
    /// The address that the default route leads to, if it is another node's than whom it leads to.
    fn gateway(&self, _six: bool) -> Option<IpAddr> {
        None
    }
    /// Begins a connection from the first of `ends` to the second. Changes are told by `queue`.
    ///
    /// Errors: EACCES when it is not allowed; ENETUNREACH; ENOBUFS when there is no more room for connections.
    fn connect(
        &self,
        ends: (SocketAddr, SocketAddr),
        queue: &Arc<WaitQueue>,
        options: &Settings,
    ) -> Result<Arc<dyn StreamCarrier>>;
    /// A socket has the port `local`. `inlet` is told of what comes.
    ///
    /// Errors: EACCES when nothing of this kind is let out.
    fn open(&self, kind: Port, local: SocketAddr, inlet: &Arc<dyn Inlet>) -> Result<Arc<dyn Outlet>>;
}
