//! How sockets get names, find each other and part.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use litebox_common_linux::Errno;

use super::inbox::{Inbox, Outbox};
use super::names::{Address, BoundName, Domain, Name};
use super::{ALL, Core, READABLE, UnixSocket};
pub(super) use crate::error::errno::EISCONN;
use crate::error::errno::{ECONNREFUSED, ENOTCONN, EPROTOTYPE};
use crate::net::{Credentials, Shut, SocketKind};
use crate::sync::MutexGuard;
use crate::{Error, Result};

/// The most connections that may wait to be accepted (net.core.somaxconn).
const MOST_WAITING: usize = 4096;

/// Connections that wait to be accepted.
pub(super) struct Backlog {
    limit: usize,
    pub waiting: VecDeque<Arc<Core>>,
    stalled: Vec<Arc<Outbox>>,
}

/// With whom a socket is connected, and under which name it is found.
#[derive(Default)]
pub(super) struct Link {
    pub address: Option<Arc<BoundName>>,
    /// It is found by its address: it was given it, and did not get it with a connection.
    named: bool,
    pub peer: Option<Arc<Core>>,
    /// A stream that is or was connected.
    pub connected: bool,
    pub backlog: Option<Backlog>,
    /// Who is at the other end; of a listening socket: who listens.
    pub peer_credentials: Option<Credentials>,
}

impl UnixSocket {
    /// Gives the socket a name under which it is found. EINVAL when it has one.
    pub(super) fn bind_at(&self, place: Arc<BoundName>) -> Result<()> {
        let mut link = self.core.link.lock();
        if link.address.is_some() {
            return Err(Error::Invalid);
        }
        self.core.domain.take_name(place.name.clone(), &self.core)?;
        link.named = true;
        *self.core.outbox.address.lock() = Some(place.clone());
        link.address = Some(place);
        Ok(())
    }
    /// Gives it an abstract name that nobody else has, if it has none.
    pub(super) fn bind_free(&self) -> Result<()> {
        let mut link = self.core.link.lock();
        if link.address.is_none() {
            let name = self.core.domain.take_free_name(&self.core)?;
            link.named = true;
            let shown = Address::Abstract(name.clone());
            let place = Arc::new(BoundName { shown, name: Name::Abstract(self.core.kind, name) });
            *self.core.outbox.address.lock() = Some(place.clone());
            link.address = Some(place);
        }
        Ok(())
    }
    /// Its name.
    pub(super) fn address(&self) -> Option<Arc<BoundName>> {
        self.core.link.lock().address.clone()
    }
    /// Its peer's name; ENOTCONN.
    pub(super) fn peer_address(&self) -> Result<Option<Arc<BoundName>>> {
        let peer = self.core.link.lock().peer.clone().ok_or(ENOTCONN)?;
        let address = peer.link.lock().address.clone();
        Ok(address)
    }

    /// listen(2), by `owner`.
    pub(super) fn start_listening(&self, backlog: i32, owner: Credentials) -> Result<()> {
        if self.core.kind == SocketKind::Datagram {
            return Err(Error::NotSupported);
        }
        let mut link = self.core.link.lock();
        if link.address.is_none() || link.connected {
            return Err(Error::Invalid);
        }
        let limit = usize::try_from(backlog).unwrap_or(MOST_WAITING).min(MOST_WAITING);
        link.peer_credentials = Some(owner);
        let stalled = match &mut link.backlog {
            Some(there) => {
                there.limit = limit;
                core::mem::take(&mut there.stalled)
            }
            none => {
                *none = Some(Backlog { limit, waiting: VecDeque::new(), stalled: Vec::new() });
                Vec::new()
            }
        };
        drop(link);
        for outbox in stalled {
            outbox.queue.notify(ALL);
        }
        Ok(())
    }

    /// Takes the next connection; `ino` is the inode number of the new socket. `WouldBlock`: there is none.
    pub(super) fn take_waiting(&self, ino: u64) -> Result<Arc<UnixSocket>> {
        if self.core.kind == SocketKind::Datagram {
            return Err(Error::NotSupported);
        }
        let mut link = self.core.link.lock();
        let backlog = link.backlog.as_mut().ok_or(Error::Invalid)?;
        let Some(core) = backlog.waiting.pop_front() else {
            let ended = self.core.is_shut(Shut::READ);
            return Err(if ended { Error::Invalid } else { Error::WouldBlock });
        };
        let stalled = core::mem::take(&mut backlog.stalled);
        drop(link);
        for outbox in stalled {
            outbox.queue.notify(ALL);
        }
        Ok(UnixSocket::of(core, ino))
    }

    /// connect(2), by `owner`. `WouldBlock`: too many connections wait to be accepted.
    pub(super) fn connect_to(&self, to: &Name, owner: Credentials) -> Result<()> {
        let core = &self.core;
        let _order = core.domain.connecting.lock();
        let target = core.domain.find(to)?;
        if target.kind != core.kind {
            return Err(EPROTOTYPE);
        }
        if core.kind == SocketKind::Datagram {
            if !target.accepts_from(core) {
                return Err(Error::NotPermitted);
            }
            self.set_peer(Some(&target));
            return Ok(());
        }
        target.admits(core)?;
        let mut link = core.link.lock();
        if link.backlog.is_some() {
            return Err(Error::Invalid);
        }
        if link.connected {
            return Err(EISCONN);
        }
        let mut listener = target.link.lock();
        let (address, listens) = (listener.address.clone(), listener.peer_credentials);
        let backlog = listener.backlog.as_mut().ok_or(ECONNREFUSED)?;
        let server = Core::new(&core.domain, core.kind);
        server.curious.store(true, Ordering::Release);
        {
            let mut link = server.link.lock();
            (*server.outbox.address.lock()).clone_from(&address);
            link.address = address;
            link.peer = Some(core.clone());
            link.connected = true;
            link.peer_credentials = Some(owner);
        }
        link.peer = Some(server.clone());
        link.connected = true;
        link.peer_credentials = listens;
        backlog.waiting.push_back(server);
        drop(listener);
        drop(link);
        target.outbox.queue.notify(READABLE);
        Ok(())
    }

    /// A datagram socket goes back to sending to anybody (connect(2) with AF_UNSPEC).
    pub(super) fn disconnect(&self) -> Result<()> {
        if self.core.kind != SocketKind::Datagram {
            return Err(Error::Invalid);
        }
        self.set_peer(None);
        Ok(())
    }
    fn set_peer(&self, peer: Option<&Arc<Core>>) {
        let core = &self.core;
        let before = core::mem::replace(&mut core.link.lock().peer, peer.cloned());
        let same = |other: &Arc<Core>| peer.is_some_and(|peer| Arc::ptr_eq(peer, other));
        if let Some(before) = before.filter(|before| !same(before)) {
            // What the peer of before sent is lost, and it hears of that.
            let mutual = before.link.lock().peer.as_ref().is_some_and(|other| Arc::ptr_eq(other, core));
            if mutual && !before.dead.load(Ordering::Acquire) {
                before.error.store(Errno::ECONNRESET.0, Ordering::Release);
                before.outbox.queue.notify(ALL);
            }
            core.domain.in_flight.bury(core.discard());
        }
        core.outbox.queue.notify(ALL);
    }

    /// shutdown(2).
    pub(super) fn shut(&self, how: Shut) {
        let core = &self.core;
        core.shut(how);
        let peer = core.link.lock().peer.clone().filter(|_| core.kind != SocketKind::Datagram);
        if let Some(peer) = peer {
            let mut mirrored = Shut::empty();
            mirrored.set(Shut::WRITE, how.contains(Shut::READ));
            mirrored.set(Shut::READ, how.contains(Shut::WRITE));
            peer.shut(mirrored);
        }
    }
}

/// Makes a connected pair of `owner`'s. `inodes` are numbers unique in the sandbox.
pub fn pair(
    domain: &Arc<Domain>,
    kind: SocketKind,
    inodes: (u64, u64),
    owner: Credentials,
) -> (Arc<UnixSocket>, Arc<UnixSocket>) {
    let (a, b) = (Core::new(domain, kind), Core::new(domain, kind));
    for (one, other) in [(&a, &b), (&b, &a)] {
        let mut link = one.link.lock();
        link.peer = Some(other.clone());
        link.connected = kind != SocketKind::Datagram;
        link.peer_credentials = Some(owner);
    }
    (UnixSocket::of(a, inodes.0), UnixSocket::of(b, inodes.1))
}

impl Core {
    /// Whether messages of `sender` are let in: a connected datagram socket hears its peer alone.
    pub(super) fn accepts_from(&self, sender: &Arc<Self>) -> bool {
        self.link.lock().peer.as_ref().is_none_or(|peer| Arc::ptr_eq(peer, sender))
    }

    /// Whether one more connection may wait to be accepted here.
    fn admits(&self, client: &Arc<Self>) -> Result<()> {
        let mut link = self.link.lock();
        let backlog = link.backlog.as_mut().filter(|_| !self.is_shut(Shut::READ)).ok_or(ECONNREFUSED)?;
        if backlog.waiting.len() > backlog.limit {
            backlog.stalled.push(client.outbox.clone());
            return Err(Error::WouldBlock);
        }
        Ok(())
    }

    /// The end: nobody has it open any more. `unborn`: it was never accepted.
    pub(super) fn close(&self, unborn: bool) {
        self.dead.store(true, Ordering::Release);
        self.shut(Shut::all());
        let (peer, place, backlog) = {
            let mut link = self.link.lock();
            (
                link.peer.take(),
                core::mem::take(&mut link.named).then(|| link.address.clone()).flatten(),
                link.backlog.take(),
            )
        };
        if let Some(place) = place {
            self.domain.give_name_back(&place.name);
        }
        if let Some(backlog) = backlog {
            for outbox in backlog.stalled {
                outbox.queue.notify(ALL);
            }
            for core in backlog.waiting {
                core.close(true);
            }
        }
        let (unread, stalled) = self
            .inbox_at_end()
            .map_or((true, Vec::new()), |mut inbox| (!inbox.messages.is_empty(), inbox.take_stalled()));
        for outbox in stalled {
            outbox.queue.notify(ALL);
        }
        let files = self.discard();
        if let Some(peer) = peer {
            if self.kind != SocketKind::Datagram {
                if unread || unborn {
                    peer.error.store(Errno::ECONNRESET.0, Ordering::Release);
                }
                peer.shut(Shut::all());
            }
        }
        self.domain.in_flight.bury(files);
        self.domain.in_flight.collect();
    }

    /// What was not read when the socket ends; `None`: a process was killed that was changing it, and nobody else is to
    /// look at it. Strangers may wait for room in a queue of messages, so that must be whole.
    pub(super) fn inbox_at_end(&self) -> Option<MutexGuard<'_, Inbox>> {
        if self.kind == SocketKind::Datagram { Some(self.inbox.lock()) } else { self.inbox.lock_if_whole() }
    }

    /// The peer of a datagram socket, for a message without an address.
    pub(super) fn destination(&self) -> Result<Arc<Self>> {
        let mut link = self.link.lock();
        let peer = link.peer.clone().ok_or(ENOTCONN)?;
        if peer.dead.load(Ordering::Acquire) {
            link.peer = None;
            return Err(ECONNREFUSED);
        }
        Ok(peer)
    }
}
