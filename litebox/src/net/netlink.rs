//! Sockets over which the kernel tells programs something of its own accord (netlink(7)). Requests are not served: there is nothing to send to.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use crate::event::{Events, Observer, WaitQueue};
use crate::fs::{AnonInode, File, Inode};
use crate::io::{Dest, Source};
use crate::net::{Address, Family, MessageFlags, Outgoing, Received, Settings, Socket, SocketKind};
use crate::sync::Mutex;
use crate::{Error, Result};

/// Messages that wait at most; what comes then is lost, as where a receive buffer is full.
const MOST_WAITING: usize = 256;

/// One such socket.
pub struct NetlinkSocket {
    messages: Mutex<VecDeque<Vec<u8>>>,
    queue: WaitQueue,
    inode: Arc<AnonInode>,
    kind: SocketKind,
    options: Settings,
}

impl NetlinkSocket {
    /// A socket of a kind (that makes no difference), with an inode of this number.
    pub fn new(kind: SocketKind, ino: u64) -> Arc<Self> {
        let (queue, inode) = (WaitQueue::new(), AnonInode::socket(ino));
        Arc::new(Self { messages: Mutex::default(), queue, inode, kind, options: Settings::default() })
    }
    /// The kernel says something.
    pub fn deliver(&self, message: &[u8]) {
        let mut messages = self.messages.lock();
        if messages.len() >= MOST_WAITING {
            return;
        }
        messages.push_back(message.to_vec());
        drop(messages);
        self.queue.notify(Events::IN | Events::RDNORM);
    }
    /// Takes the oldest message, or with `peek` leaves it there: how much of it was copied, and its length.
    fn take(&self, dest: &mut Dest<'_>, peek: bool) -> Result<(usize, usize)> {
        let mut messages = self.messages.lock();
        let message = if peek { messages.front().cloned() } else { messages.pop_front() };
        drop(messages);
        let message = message.ok_or(Error::WouldBlock)?;
        let room = message.len().min(dest.remaining());
        Ok((dest.put(message.get(..room).unwrap_or_default())?, message.len()))
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
        0
    }
    fn options(&self) -> &Settings {
        &self.options
    }
    fn name(&self) -> Address {
        Address::Netlink { port: 0, groups: 0 }
    }
    fn send(&self, _source: &mut Source<'_>, _outgoing: &mut Outgoing<'_>) -> Result<usize> {
        Err(Error::NotSupported)
    }
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<Received> {
        if flags.contains(MessageFlags::OOB) {
            return Err(Error::NotSupported);
        }
        let (copied, full) = self.take(dest, flags.contains(MessageFlags::PEEK))?;
        Ok(Received { copied, full, from: Some(Address::Netlink { port: 0, groups: 0 }), ..Received::default() })
    }
    fn buffer(&self, _sending: bool) -> usize {
        super::unix::CAPACITY
    }
    fn into_file(self: Arc<Self>) -> Arc<dyn File> {
        self
    }
}

impl File for NetlinkSocket {
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn takes_everything(&self) -> bool {
        false
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        self.take(dest, false).map(|(copied, _)| copied)
    }
    fn write_at(&self, _source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        Err(Error::NotSupported)
    }
    fn ready(&self) -> Events {
        let mut events = Events::OUT | Events::WRNORM;
        events.set(Events::IN | Events::RDNORM, !self.messages.lock().is_empty());
        events
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
    }
    fn as_socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
