//! Local sockets (unix(7)): streams, datagrams, sequenced packets.
//!
//! - `names`: the names of all sockets of a sandbox ([`Domain`]).
//! - `connect`: binding, listening, connecting, parting. `transfer`: sending and receiving.
//! - `inbox`: what was received; `rights`: open files in messages.
//!
//! A [`UnixSocket`] is the open file, a `Core` what other sockets know of it. What a socket sends goes into the queue
//! of the receiver and is charged to the sender until it is read.
//!
//! Locks: `Domain::connecting`, one core's link, another's link, an inbox, `Domain::names`; `InFlight::sockets` before
//! inboxes.

mod connect;
mod inbox;
mod names;
mod rights;
mod socket;
#[cfg(test)]
mod tests;
mod transfer;

pub use connect::pair;
pub use names::{Address, BoundName, Domain, Name};
pub use rights::Rights;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use litebox_common_linux::abi::ioctl::{FIONREAD, TIOCOUTQ};

use crate::event::{Events, WaitQueue};
use crate::fs::{AnonInode, Inode};
use crate::io::{Dest, Source};
use crate::net::file::SocketFile;
use crate::net::{Credentials, MessageFlags, Outgoing, Setting, Settings, Shut, Socket, SocketKind};
use crate::sync::Mutex;
use crate::{Error, Result};

use connect::Link;
use inbox::{Inbox, Outbox};

/// Bytes a socket may have sent that were not read (Linux's default for SO_SNDBUF).
pub const CAPACITY: usize = 212_992;

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND);
const ALL: Events = READABLE.union(WRITABLE).union(Events::RDHUP).union(Events::HUP).union(Events::ERR);

/// Who sent what nobody asked the sender of.
const NOBODY: Credentials = Credentials { pid: 0, uid: 65534, gid: 65534 };

/// What other sockets know of a socket.
struct Core {
    domain: Arc<Domain>,
    kind: SocketKind,
    link: Mutex<Link>,
    inbox: Mutex<Inbox>,
    outbox: Arc<Outbox>,
    shut: AtomicU8,
    error: AtomicI32,
    dead: AtomicBool,
    /// Whoever receives wants to know who sent (SO_PASSCRED), or may still come to want it: nobody accepted the
    /// connection yet.
    curious: AtomicBool,
}

/// An open local socket.
pub struct UnixSocket {
    core: Arc<Core>,
    inode: Arc<AnonInode>,
    options: Settings,
}

impl Core {
    fn new(domain: &Arc<Domain>, kind: SocketKind) -> Arc<Self> {
        Arc::new(Self {
            domain: domain.clone(),
            kind,
            link: Mutex::default(),
            inbox: Mutex::default(),
            outbox: Outbox::new(CAPACITY),
            shut: AtomicU8::new(0),
            error: AtomicI32::new(0),
            dead: AtomicBool::new(false),
            curious: AtomicBool::new(false),
        })
    }
    fn is_shut(&self, how: Shut) -> bool {
        Shut::from_bits_retain(self.shut.load(Ordering::Acquire)).contains(how)
    }
    fn shut(&self, how: Shut) {
        self.shut.fetch_or(how.bits(), Ordering::AcqRel);
        self.outbox.queue.notify(ALL);
    }
}

impl UnixSocket {
    /// A socket that is connected to nothing.
    pub fn new(domain: &Arc<Domain>, kind: SocketKind, ino: u64) -> Arc<Self> {
        Self::of(Core::new(domain, kind), ino)
    }
    fn of(core: Arc<Core>, ino: u64) -> Arc<Self> {
        core.domain.sockets.lock().insert(ino, Arc::downgrade(&core));
        Arc::new(Self { core, inode: AnonInode::socket(ino), options: Settings::default() })
    }
    fn check_error(&self) -> Result<()> {
        match self.take_error() {
            0 => Ok(()),
            e => Err(Error::reported(e)),
        }
    }
    /// Whether whoever receives wants to know who sent (SO_PASSCRED).
    pub fn passes_credentials(&self) -> bool {
        self.options.is_on(Setting::PassCredentials)
    }
    fn writable(&self) -> bool {
        let core = &self.core;
        if !core.outbox.writable() {
            return false;
        }
        let link = core.link.lock();
        if link.backlog.is_some() {
            return false;
        }
        let Some(peer) = link.peer.clone().filter(|_| core.kind == SocketKind::Datagram) else { return true };
        drop(link);
        let friends = peer.link.lock().peer.as_ref().is_some_and(|other| Arc::ptr_eq(other, core));
        friends || !peer.inbox.lock().is_full(&core.outbox)
    }
}

impl SocketFile for UnixSocket {
    fn node(&self) -> &Arc<AnonInode> {
        &self.inode
    }
    fn waiters(&self) -> &WaitQueue {
        &self.core.outbox.queue
    }
    fn writes_all(&self) -> bool {
        self.core.kind == SocketKind::Stream
    }
    fn read_some(&self, dest: &mut Dest<'_>) -> Result<usize> {
        // Files that come along are lost to who does not ask for them.
        self.receive(dest, MessageFlags::empty()).map(|got| got.copied)
    }
    fn write_some(&self, source: &mut Source<'_>) -> Result<usize> {
        let caller = crate::platform::north::north().caller();
        self.send_message_or_bytes(source, &mut Outgoing::plain(caller.unwrap_or(NOBODY)))
    }
    fn readiness(&self) -> Events {
        let core = &self.core;
        let mut events = Events::empty();
        let (connected, waiting) = {
            let link = core.link.lock();
            (link.connected, link.backlog.as_ref().map(|backlog| !backlog.waiting.is_empty()))
        };
        let ended = core.is_shut(Shut::READ);
        let has_messages = waiting.unwrap_or_else(|| !core.inbox.lock().messages.is_empty());
        events.set(READABLE, ended || has_messages);
        events.set(Events::RDHUP, ended);
        let unconnected = core.kind != SocketKind::Datagram && !connected && waiting.is_none();
        events.set(Events::HUP, core.is_shut(Shut::all()) || unconnected);
        events.set(WRITABLE, self.writable());
        events.set(Events::ERR, core.error.load(Ordering::Acquire) != 0);
        events
    }
    fn number(&self, request: u32) -> Result<usize> {
        match request {
            FIONREAD => self.readable(),
            TIOCOUTQ => Ok(self.core.outbox.used()),
            _ => Err(Error::NotTerminal),
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        self.core.domain.sockets.lock().remove(&self.inode.id().ino);
        self.core.close(false);
    }
}
