//! Netlink sockets (netlink(7)): asking the kernel, and hearing from it.
//!
//! `message`: how questions and answers are laid out. `route`: devices, addresses, routes; `diag`: sockets. What would
//! change something is refused: EPERM.

mod diag;
mod message;
mod route;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use litebox_common_linux::abi::ioctl::FIONREAD;

use super::file::SocketFile;
use super::inet::Network;
use super::unix::{CAPACITY, Domain};
use crate::error::errno::{EADDRINUSE, ECONNREFUSED, EMSGSIZE, ENOBUFS};
use crate::event::{Events, WaitQueue};
use crate::fs::{AnonInode, File};
use crate::io::{Dest, Source};
use crate::net::{
    Address, Credentials, Family, MessageFlags, Outgoing, Received, Setting, Settings, Shut, Socket, SocketKind,
};
use crate::sync::Mutex;
use crate::{Error, Result};

use message::{Answer, Question};

/// Messages that wait at most; what comes then is lost, as where a receive buffer is full.
const MOST_WAITING: usize = 4096;

/// Whom a socket talks with in the kernel, by protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// NETLINK_ROUTE: devices, addresses, routes.
    Route,
    /// NETLINK_SOCK_DIAG: sockets.
    Diag,
    /// NETLINK_KOBJECT_UEVENT: devices that come and go. None does.
    Events,
}

impl Protocol {
    /// The protocol of a number.
    pub fn of(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Route),
            4 => Some(Self::Diag),
            15 => Some(Self::Events),
            _ => None,
        }
    }
    fn number(self) -> i32 {
        match self {
            Self::Route => 0,
            Self::Diag => 4,
            Self::Events => 15,
        }
    }
}

/// All netlink sockets of a sandbox: who has which address.
#[derive(Default)]
pub struct Addresses {
    taken: Mutex<Vec<(i32, u32)>>,
    next: AtomicU32,
}

impl Addresses {
    fn take(&self, protocol: Protocol, port: u32) -> Result<u32> {
        let mut taken = self.taken.lock();
        let free = |port: &u32| !taken.contains(&(protocol.number(), *port));
        let port = if free(&port) { port } else { return Err(EADDRINUSE) };
        taken.push((protocol.number(), port));
        Ok(port)
    }
    /// An address like `wanted`, or some other.
    fn take_any(&self, protocol: Protocol, wanted: u32) -> Result<u32> {
        if let Ok(port) = self.take(protocol, wanted) {
            return Ok(port);
        }
        const FROM_ABOVE: u32 = 0xffff_f000;
        (0..FROM_ABOVE)
            .find_map(|_| self.take(protocol, FROM_ABOVE - self.next.fetch_add(1, Ordering::Relaxed)).ok())
            .ok_or(EADDRINUSE)
    }
    fn give_back(&self, protocol: Protocol, port: u32) {
        self.taken.lock().retain(|there| *there != (protocol.number(), port));
    }
    /// All that are taken: protocol and address.
    pub fn list(&self) -> Vec<(i32, u32)> {
        self.taken.lock().clone()
    }
}

/// What sockets ask about.
#[derive(Clone)]
pub struct Kernel {
    /// IPv4 and IPv6.
    pub network: Arc<Network>,
    /// Local sockets.
    pub local: Arc<Domain>,
    /// Who has which address.
    pub addresses: Arc<Addresses>,
}

#[derive(Default)]
struct State {
    port: Option<u32>,
    groups: u32,
    peer: Option<(u32, u32)>,
}

/// One such socket.
pub struct NetlinkSocket {
    kernel: Kernel,
    protocol: Protocol,
    kind: SocketKind,
    options: Settings,
    messages: Mutex<VecDeque<Vec<u8>>>,
    state: Mutex<State>,
    /// Whoever used it last.
    owner: Mutex<Credentials>,
    queue: WaitQueue,
    inode: Arc<AnonInode>,
}

impl NetlinkSocket {
    /// A socket of a kind (that makes no difference), with an inode of this number.
    pub fn new(kernel: Kernel, protocol: Protocol, kind: SocketKind, ino: u64) -> Arc<Self> {
        Arc::new(Self {
            kernel,
            protocol,
            kind,
            options: Settings::default(),
            messages: Mutex::default(),
            state: Mutex::default(),
            owner: Mutex::new(Credentials { pid: 0, uid: 0, gid: 0 }),
            queue: WaitQueue::new(),
            inode: AnonInode::socket(ino),
        })
    }
    /// The kernel says something.
    pub fn deliver(&self, message: &[u8]) {
        self.queue_message(message.to_vec());
    }
    fn queue_message(&self, message: Vec<u8>) {
        let mut messages = self.messages.lock();
        if messages.len() >= MOST_WAITING {
            return;
        }
        messages.push_back(message);
        drop(messages);
        self.queue.notify(Events::IN | Events::RDNORM);
    }
    /// Takes the oldest message, or with `peek` leaves it there: how much of it was copied, and its length.
    fn take(&self, dest: &mut Dest<'_>, peek: bool) -> Result<(usize, usize)> {
        let mut messages = self.messages.lock();
        let message = messages.front().ok_or(Error::WouldBlock)?;
        let room = message.len().min(dest.remaining());
        let copied = dest.put(message.get(..room).unwrap_or_default())?;
        let full = message.len();
        if !peek {
            messages.pop_front();
        }
        Ok((copied, full))
    }
    fn port(&self) -> Result<u32> {
        let mut state = self.state.lock();
        if let Some(port) = state.port {
            return Ok(port);
        }
        let wanted = self.owner.lock().pid as u32;
        let port = self.kernel.addresses.take_any(self.protocol, wanted)?;
        state.port = Some(port);
        Ok(port)
    }
    /// Answers what a message asks.
    fn ask(&self, bytes: &[u8]) -> Result<()> {
        let port = self.port()?;
        let mut rest = bytes;
        while let Some((question, behind)) = Question::first(rest) {
            let mut answer = Answer::to(&question, port);
            let result = match self.protocol {
                Protocol::Route => route::answer(&self.kernel, &question, &mut answer),
                Protocol::Diag => diag::answer(&self.kernel, &question, &mut answer),
                Protocol::Events => Ok(()),
            };
            for message in answer.finish(&question, result) {
                self.queue_message(message);
            }
            rest = behind;
        }
        Ok(())
    }
    fn send_bytes(&self, source: &mut Source<'_>, to: Option<&Address>) -> Result<usize> {
        let peer = self.state.lock().peer;
        let (port, groups) = match to {
            Some(Address::Netlink { port, groups }) => (*port, *groups),
            Some(_) => return Err(Error::Invalid),
            None => peer.unwrap_or((0, 0)),
        };
        if groups != 0 {
            return Err(Error::NotPermitted);
        }
        if port != 0 {
            // Programs do not talk with each other over it here.
            return Err(ECONNREFUSED);
        }
        let len = source.remaining();
        if len > CAPACITY - 32 {
            return Err(EMSGSIZE);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| ENOBUFS)?;
        bytes.resize(len, 0);
        source.take_whole(&mut bytes)?;
        self.ask(&bytes)?;
        Ok(len)
    }
}

impl Socket for NetlinkSocket {
    fn family(&self) -> Family {
        Family::Netlink
    }
    fn kind(&self) -> SocketKind {
        self.kind
    }
    fn protocol(&self) -> i32 {
        self.protocol.number()
    }
    fn options(&self) -> &Settings {
        &self.options
    }
    fn bind(&self, to: &Address) -> Result<()> {
        let Address::Netlink { port, groups } = to else { return Err(Error::Invalid) };
        let mut state = self.state.lock();
        match (state.port, *port) {
            (Some(own), port) if port != own => return Err(Error::Invalid),
            (None, 1..) => state.port = Some(self.kernel.addresses.take(self.protocol, *port)?),
            _ => {}
        }
        state.groups = *groups;
        drop(state);
        self.port().map(drop)
    }
    fn connect(&self, to: &Address, _owner: Credentials, _at_once: bool) -> Result<()> {
        let peer = match to {
            Address::Netlink { groups: 1.., .. } => return Err(Error::NotPermitted),
            Address::Netlink { port, groups } => Some((*port, *groups)),
            Address::Unspecified => None,
            _ => return Err(Error::Invalid),
        };
        if peer.is_some() {
            self.port()?;
        }
        self.state.lock().peer = peer;
        Ok(())
    }
    fn shutdown(&self, _how: Shut) -> Result<()> {
        Err(Error::NotSupported)
    }
    fn name(&self) -> Address {
        let state = self.state.lock();
        Address::Netlink { port: state.port.unwrap_or(0), groups: state.groups }
    }
    fn peer_name(&self) -> Result<Address> {
        let (port, groups) = self.state.lock().peer.unwrap_or((0, 0));
        Ok(Address::Netlink { port, groups })
    }
    fn send(&self, source: &mut Source<'_>, outgoing: &mut Outgoing<'_>) -> Result<usize> {
        if outgoing.flags.contains(MessageFlags::MSG_OOB) {
            return Err(Error::NotSupported);
        }
        self.send_bytes(source, outgoing.to)
    }
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<Received> {
        if flags.contains(MessageFlags::MSG_OOB) {
            return Err(Error::NotSupported);
        }
        let (copied, full) = self.take(dest, flags.contains(MessageFlags::MSG_PEEK))?;
        let from = Some(Address::Netlink { port: 0, groups: 0 });
        let kernel = Credentials { pid: 0, uid: 0, gid: 0 };
        Ok(Received { copied, full, from, credentials: Some(kernel), ..Received::default() })
    }
    fn buffer(&self, sending: bool) -> usize {
        let setting = if sending { Setting::SendBuffer } else { Setting::ReceiveBuffer };
        usize::try_from(self.options.get(setting)).ok().filter(|size| *size > 0).unwrap_or(CAPACITY)
    }
    fn used_by(&self, who: Credentials) {
        *self.owner.lock() = who;
    }
    fn into_file(self: Arc<Self>) -> Arc<dyn File> {
        self
    }
}

impl SocketFile for NetlinkSocket {
    fn node(&self) -> &Arc<AnonInode> {
        &self.inode
    }
    fn waiters(&self) -> &WaitQueue {
        &self.queue
    }
    fn writes_all(&self) -> bool {
        false
    }
    fn read_some(&self, dest: &mut Dest<'_>) -> Result<usize> {
        self.take(dest, false).map(|(copied, _)| copied)
    }
    fn write_some(&self, source: &mut Source<'_>) -> Result<usize> {
        self.send_bytes(source, None)
    }
    fn readiness(&self) -> Events {
        let mut events = Events::OUT | Events::WRNORM | Events::WRBAND;
        events.set(Events::IN | Events::RDNORM, !self.messages.lock().is_empty());
        events
    }
    fn number(&self, request: u32) -> Result<usize> {
        match request {
            FIONREAD => Ok(self.messages.lock().front().map_or(0, Vec::len)),
            _ => Err(Error::NotTerminal),
        }
    }
}

impl Drop for NetlinkSocket {
    fn drop(&mut self) {
        if let Some(port) = self.state.get_mut().port {
            self.kernel.addresses.give_back(self.protocol, port);
        }
    }
}
