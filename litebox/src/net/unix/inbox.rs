//! What a socket has received and not yet read, and the account of what a socket has sent.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::names::BoundName;
use super::rights::Rights;
use super::{Credentials, WRITABLE};
use crate::event::WaitQueue;
use crate::io::Source;
use crate::net::account::Charges;
use crate::sync::Mutex;
use crate::{Error, Result};

/// Bytes that one piece of a stream has room for at least.
const PIECE: usize = 4096;
/// Messages a socket keeps of senders it is not connected to (net.unix.max_dgram_qlen).
const MOST_STRANGE: usize = 10;

/// The account of what a socket sent that was not read yet, and those who wait for the socket.
pub(super) struct Outbox {
    used: AtomicUsize,
    /// SO_SNDBUF.
    pub limit: AtomicUsize,
    pub queue: WaitQueue,
    /// What the sender is called, for who reads what it sent.
    pub address: Mutex<Option<Arc<BoundName>>>,
}

impl Outbox {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            queue: WaitQueue::new(),
            address: Mutex::default(),
        })
    }
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
    /// Whether anything may be sent now.
    pub fn has_room(&self) -> bool {
        self.used() < self.limit.load(Ordering::Relaxed)
    }
    /// How many of `most` bytes of a stream may be sent now, and what they are charged.
    pub fn admit(&self, most: usize) -> (usize, Charges) {
        Charges::stream(most, self.used(), self.limit.load(Ordering::Relaxed))
    }
    /// Whether poll(2) says that it can be written: three quarters are free.
    pub fn writable(&self) -> bool {
        self.used() * 4 <= self.limit.load(Ordering::Relaxed)
    }
    fn charge(&self, cost: usize) {
        self.used.fetch_add(cost, Ordering::Relaxed);
    }
    /// Something was read. Tells those who wait for room when there is a good deal of it.
    fn refund(&self, cost: usize) {
        self.used.fetch_sub(cost, Ordering::Relaxed);
        if cost > 0 && self.writable() {
            self.queue.notify(WRITABLE);
        }
    }
}

/// A message, or a piece of a stream.
pub(super) struct Message {
    bytes: Vec<u8>,
    start: usize,
    sender: Arc<Outbox>,
    charges: Charges,
    pub credentials: Credentials,
    pub rights: Rights,
}

impl Message {
    /// What the sender is called now.
    pub fn from(&self) -> Option<Arc<BoundName>> {
        self.sender.address.lock().clone()
    }
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// Who sends, and what comes with the bytes.
pub(super) struct Envelope<'a> {
    pub sender: &'a Arc<Outbox>,
    pub credentials: Credentials,
    pub rights: Rights,
}

/// What was received and not yet read.
#[derive(Default)]
pub(super) struct Inbox {
    pub messages: VecDeque<Message>,
    /// An emptied piece of a stream, for the next bytes.
    spare: Vec<u8>,
    /// Senders that found the queue full.
    stalled: Vec<Weak<Outbox>>,
}

impl Inbox {
    /// Adds `n` bytes of a stream, which cost so much. `Fault` when none could be taken; the files stay with the
    /// envelope then.
    pub fn add_bytes(
        &mut self,
        source: &mut Source<'_>,
        (n, charges): (usize, Charges),
        envelope: &mut Envelope<'_>,
    ) -> Result<usize> {
        let fits = |last: &&mut Message| {
            // What came with files is read alone.
            envelope.rights.is_empty()
                && last.rights.is_empty()
                && last.credentials == envelope.credentials
                && last.bytes.capacity() - last.bytes.len() >= n
        };
        if let Some(last) = self.messages.back_mut().filter(fits) {
            take_bytes(&mut last.bytes, source, n)?;
            last.charges.append(&charges);
            envelope.sender.charge(charges.total());
        } else {
            let mut bytes = core::mem::take(&mut self.spare);
            bytes.clear();
            bytes.try_reserve(n.max(PIECE)).map_err(|_| Error::NoMemory)?;
            self.messages.try_reserve(1).map_err(|_| Error::NoMemory)?;
            take_bytes(&mut bytes, source, n)?;
            self.push(bytes, charges, envelope);
        }
        Ok(n)
    }
    /// Adds a message of `n` bytes.
    pub fn add_message(&mut self, source: &mut Source<'_>, n: usize, envelope: &mut Envelope<'_>) -> Result<usize> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(n).map_err(|_| Error::NoMemory)?;
        self.messages.try_reserve(1).map_err(|_| Error::NoMemory)?;
        take_bytes(&mut bytes, source, n)?;
        self.push(bytes, Charges::message(n), envelope);
        Ok(n)
    }
    fn push(&mut self, bytes: Vec<u8>, charges: Charges, envelope: &mut Envelope<'_>) {
        let (sender, credentials) = (envelope.sender, envelope.credentials);
        let rights = core::mem::take(&mut envelope.rights);
        sender.charge(charges.total());
        self.messages.push_back(Message { bytes, start: 0, sender: sender.clone(), charges, credentials, rights });
    }
    /// Whether strangers have to wait. `sender` is told when they need not any more.
    pub fn is_full(&mut self, sender: &Arc<Outbox>) -> bool {
        let full = self.messages.len() > MOST_STRANGE;
        if full && !self.stalled.iter().any(|there| core::ptr::eq(there.as_ptr(), Arc::as_ptr(sender))) {
            self.stalled.push(Arc::downgrade(sender));
        }
        full
    }
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.messages.iter().map(|message| message.bytes().len()).sum()
    }
    /// Takes `n` bytes of the first message away; with the last, the message.
    pub fn consume(&mut self, n: usize) {
        let Some(first) = self.messages.front_mut() else { return };
        first.start += n;
        first.sender.refund(first.charges.give_back(n));
        if first.start >= first.bytes.len() {
            if let Some(message) = self.messages.pop_front() {
                if message.bytes.capacity() == PIECE && self.spare.capacity() == 0 {
                    self.spare = message.bytes;
                }
            }
        }
    }
    /// Takes the first message out.
    pub fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        message.sender.refund(message.charges.total());
        Some(message)
    }
    /// Those who wait for room in the queue.
    pub fn take_stalled(&mut self) -> Vec<Arc<Outbox>> {
        core::mem::take(&mut self.stalled).iter().filter_map(Weak::upgrade).collect()
    }
}

/// Adds `n` bytes of `source`, for which there is room.
fn take_bytes(bytes: &mut Vec<u8>, source: &mut Source<'_>, n: usize) -> Result<()> {
    let before = bytes.len();
    bytes.resize(before + n, 0);
    let taken = source.take_whole(bytes.get_mut(before..).unwrap_or_default());
    if taken.is_err() {
        bytes.truncate(before);
    }
    taken
}
