//! Connected pairs of local sockets: streams, datagrams, sequenced packets.
//!
//! A pair is two `Channel`s, one for each direction; each end reads one and writes the other.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::event::{Events, Observer, WaitQueue};
use crate::fs::{AnonInode, File, Inode};
use crate::io::{Dest, Source};
use crate::platform::host;
use crate::sync::Mutex;
use crate::{Error, Result};

const ECONNRESET: i32 = 104;
const ECONNREFUSED: i32 = 111;
const EMSGSIZE: i32 = 90;
const FIONREAD: u32 = 0x541b;
const TIOCOUTQ: u32 = 0x5411;

/// Bytes one direction holds (Linux's default for SO_SNDBUF).
pub const CAPACITY: usize = 212_992;
/// What a queued message costs beside its bytes.
const MESSAGE_COST: usize = 256;

/// How a socket transfers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Bytes without borders.
    Stream,
    /// Messages, each alone.
    Datagram,
    /// Messages in a connection.
    SeqPacket,
}

/// Who is at the other end (SO_PEERCRED).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of struct ucred")]
pub struct PeerCredentials {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// One direction.
#[derive(Default)]
struct Channel {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    messages: VecDeque<Vec<u8>>,
    used: usize,
    /// Nobody will write any more.
    write_shut: bool,
    /// Nobody will read any more.
    read_shut: bool,
}

/// One end of a pair.
pub struct UnixSocket {
    kind: Kind,
    inode: Arc<AnonInode>,
    incoming: Arc<Channel>,
    outgoing: Arc<Channel>,
    queue: Arc<WaitQueue>,
    peer_queue: Arc<WaitQueue>,
    error: Arc<AtomicI32>,
    peer_error: Arc<AtomicI32>,
    /// The other end's owner.
    pub peer: PeerCredentials,
}

/// What [`UnixSocket::receive`] got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Bytes copied.
    pub copied: usize,
    /// Length of the message (for streams: the same).
    pub full: usize,
}

/// Makes a connected pair. `inodes` are numbers unique in the sandbox.
pub fn pair(kind: Kind, inodes: (u64, u64), owner: PeerCredentials) -> (Arc<UnixSocket>, Arc<UnixSocket>) {
    let (a, b) = (Arc::new(Channel::default()), Arc::new(Channel::default()));
    let (qa, qb) = (Arc::new(WaitQueue::new()), Arc::new(WaitQueue::new()));
    let (ea, eb) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicI32::new(0)));
    let first = UnixSocket {
        kind,
        inode: AnonInode::socket(inodes.0),
        incoming: a.clone(),
        outgoing: b.clone(),
        queue: qa.clone(),
        peer_queue: qb.clone(),
        error: ea.clone(),
        peer_error: eb.clone(),
        peer: owner,
    };
    let second = UnixSocket {
        kind,
        inode: AnonInode::socket(inodes.1),
        incoming: b,
        outgoing: a,
        queue: qb,
        peer_queue: qa,
        error: eb,
        peer_error: ea,
        peer: owner,
    };
    (Arc::new(first), Arc::new(second))
}

/// Copies the front of `bytes` out without removing it.
fn copy_front(bytes: &VecDeque<u8>, dest: &mut Dest<'_>) -> Result<usize> {
    let (a, b) = bytes.as_slices();
    let n = dest.put(a)?;
    if n < a.len() || b.is_empty() || dest.remaining() == 0 {
        return Ok(n);
    }
    match dest.put(b) {
        Ok(m) => Ok(n + m),
        Err(e) if n == 0 => Err(e),
        Err(_) => Ok(n),
    }
}

impl UnixSocket {
    /// How it transfers.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// The pending error, by its Linux number, which is thereby taken (SO_ERROR); 0: none.
    pub fn take_error(&self) -> i32 {
        self.error.swap(0, Ordering::AcqRel)
    }
    fn check_error(&self) -> Result<()> {
        match self.take_error() {
            0 => Ok(()),
            e => Err(Error::Host(e)),
        }
    }

    /// Receives; with `peek`, what was received stays. `WouldBlock` when there is nothing; 0 when nothing will come.
    pub fn receive(&self, dest: &mut Dest<'_>, peek: bool) -> Result<Received> {
        self.check_error()?;
        let mut state = self.incoming.state.lock();
        if state.used == 0 {
            let ended = state.read_shut || (state.write_shut && self.kind != Kind::Datagram);
            return if ended { Ok(Received { copied: 0, full: 0 }) } else { Err(Error::WouldBlock) };
        }
        let got = if self.kind == Kind::Stream {
            let copied = copy_front(&state.bytes, dest)?;
            if !peek {
                state.bytes.drain(..copied);
                state.used = state.bytes.len();
                if state.bytes.is_empty() && state.bytes.capacity() > CAPACITY / 4 {
                    state.bytes = VecDeque::new();
                }
            }
            Received { copied, full: copied }
        } else {
            let Some(message) = state.messages.front() else { return Err(Error::WouldBlock) };
            let full = message.len();
            let copied = if full == 0 { 0 } else { dest.put(message)? };
            if !peek {
                state.messages.pop_front();
                state.used = state.used.saturating_sub(full + MESSAGE_COST);
            }
            Received { copied, full }
        };
        drop(state);
        if !peek {
            self.peer_queue.notify(Events::OUT | Events::WRNORM);
        }
        Ok(got)
    }

    /// Sends: what fits of a stream, or one whole message.
    pub fn send(&self, source: &mut Source<'_>) -> Result<usize> {
        self.check_error()?;
        let mut state = self.outgoing.state.lock();
        if state.write_shut {
            return Err(Error::BrokenPipe);
        }
        if state.read_shut {
            let refused = self.kind == Kind::Datagram;
            return Err(if refused { Error::Host(ECONNREFUSED) } else { Error::BrokenPipe });
        }
        let sent =
            if self.kind == Kind::Stream { send_bytes(&mut state, source)? } else { send_message(&mut state, source)? };
        drop(state);
        self.peer_queue.notify(Events::IN | Events::RDNORM);
        Ok(sent)
    }

    /// shutdown(2).
    pub fn shutdown(&self, reading: bool, writing: bool) {
        if reading {
            self.incoming.state.lock().read_shut = true;
        }
        if writing {
            self.outgoing.state.lock().write_shut = true;
        }
        self.announce_end();
    }
    fn announce_end(&self) {
        let all = Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM | Events::RDHUP | Events::HUP;
        self.peer_queue.notify(all);
        self.queue.notify(all);
    }

    /// Bytes that can be read now (of the first message, for messages).
    pub fn readable(&self) -> usize {
        let state = self.incoming.state.lock();
        if self.kind == Kind::Stream { state.bytes.len() } else { state.messages.front().map_or(0, Vec::len) }
    }
}

fn send_bytes(state: &mut State, source: &mut Source<'_>) -> Result<usize> {
    let room = CAPACITY.saturating_sub(state.used);
    if source.remaining() == 0 {
        return Ok(0);
    }
    if room == 0 {
        return Err(Error::WouldBlock);
    }
    let mut left = room.min(source.remaining());
    let mut sent = 0;
    let mut chunk = [0u8; 1024];
    while left > 0 {
        let want = left.min(chunk.len());
        let Some(part) = chunk.get_mut(..want) else { break };
        let n = match source.take(part) {
            Ok(n) => n,
            Err(e) if sent == 0 => return Err(e),
            Err(_) => break,
        };
        if n == 0 {
            break;
        }
        state.bytes.try_reserve(n).map_err(|_| Error::NoMemory)?;
        state.bytes.extend(chunk.iter().take(n));
        sent += n;
        left -= n;
        if n < want {
            break;
        }
    }
    state.used = state.bytes.len();
    Ok(sent)
}

fn send_message(state: &mut State, source: &mut Source<'_>) -> Result<usize> {
    let len = source.remaining();
    if len > CAPACITY - MESSAGE_COST {
        return Err(Error::Host(EMSGSIZE));
    }
    if state.used + len + MESSAGE_COST > CAPACITY {
        return Err(Error::WouldBlock);
    }
    let mut message = Vec::new();
    message.try_reserve_exact(len).map_err(|_| Error::NoMemory)?;
    message.resize(len, 0);
    if source.take(&mut message)? < len {
        return Err(Error::Fault);
    }
    state.messages.try_reserve(1).map_err(|_| Error::NoMemory)?;
    state.messages.push_back(message);
    state.used += len + MESSAGE_COST;
    Ok(len)
}

impl File for UnixSocket {
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        self.receive(dest, false).map(|r| r.copied)
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        self.send(source)
    }
    fn ready(&self) -> Events {
        let mut events = Events::empty();
        let (incoming_ended, incoming_shut) = {
            let state = self.incoming.state.lock();
            let ended = state.read_shut || state.write_shut;
            if state.used > 0 || ended {
                events |= Events::IN | Events::RDNORM;
            }
            (ended, state.read_shut)
        };
        let outgoing = self.outgoing.state.lock();
        if outgoing.used < CAPACITY {
            events |= Events::OUT | Events::WRNORM | Events::WRBAND;
        }
        if incoming_ended && self.kind != Kind::Datagram || incoming_shut {
            events |= Events::RDHUP;
        }
        if incoming_ended && (outgoing.write_shut || outgoing.read_shut) && self.kind != Kind::Datagram {
            events |= Events::HUP;
        }
        if self.error.load(Ordering::Acquire) != 0 {
            events |= Events::ERR;
        }
        events
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
    }
    fn ioctl(&self, request: u32, arg: usize) -> Result<usize> {
        let value = match request {
            FIONREAD => self.readable(),
            TIOCOUTQ => self.outgoing.state.lock().used,
            _ => return Err(Error::NotTerminal),
        };
        let bytes = i32::try_from(value).unwrap_or(i32::MAX).to_ne_bytes();
        // SAFETY: `bytes` is valid for reads of its length.
        let copied = unsafe { host().copy_to_user(arg, bytes.as_ptr(), bytes.len()) };
        if copied == bytes.len() { Ok(0) } else { Err(Error::Fault) }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let unread = {
            let mut state = self.incoming.state.lock();
            state.read_shut = true;
            // What nobody will read frees its memory now, not when the other end goes.
            state.bytes = VecDeque::new();
            state.messages = VecDeque::new();
            core::mem::take(&mut state.used) > 0
        };
        if unread && self.kind == Kind::Stream {
            self.peer_error.store(ECONNRESET, Ordering::Release);
        }
        self.outgoing.state.lock().write_shut = true;
        self.announce_end();
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Kind, PeerCredentials, Received, pair};
    use crate::Error;
    use crate::event::Events;
    use crate::fs::File;
    use crate::io::{Dest, Source};

    const OWNER: PeerCredentials = PeerCredentials { pid: 1, uid: 2, gid: 3 };

    #[test]
    fn a_stream_joins_writes_and_ends() {
        let (a, b) = pair(Kind::Stream, (1, 2), OWNER);
        let mut buf = [0u8; 8];
        assert_eq!(b.receive(&mut Dest::kernel(&mut buf), false), Err(Error::WouldBlock));
        assert_eq!(a.send(&mut Source::kernel(b"he")), Ok(2));
        assert_eq!(a.send(&mut Source::kernel(b"llo")), Ok(3));
        assert!(b.ready().contains(Events::IN | Events::OUT));
        assert_eq!(b.receive(&mut Dest::kernel(&mut buf), true).map(|r| r.copied), Ok(5));
        assert_eq!(b.receive(&mut Dest::kernel(&mut buf), false).map(|r| r.copied), Ok(5));
        assert_eq!(&buf[..5], b"hello");
        drop(a);
        assert_eq!(b.receive(&mut Dest::kernel(&mut buf), false).map(|r| r.copied), Ok(0));
        assert_eq!(b.send(&mut Source::kernel(b"x")), Err(Error::BrokenPipe));
        assert!(b.ready().contains(Events::HUP));
    }

    #[test]
    fn a_full_stream_blocks() {
        let (a, _b) = pair(Kind::Stream, (1, 2), OWNER);
        let big = alloc::vec![1u8; CAPACITY + 10];
        assert_eq!(a.send(&mut Source::kernel(&big)), Ok(CAPACITY));
        assert_eq!(a.send(&mut Source::kernel(b"x")), Err(Error::WouldBlock));
        assert!(!a.ready().contains(Events::OUT));
    }

    #[test]
    fn messages_keep_their_borders() {
        let (a, b) = pair(Kind::Datagram, (1, 2), OWNER);
        assert_eq!(a.send(&mut Source::kernel(b"first")), Ok(5));
        assert_eq!(a.send(&mut Source::kernel(b"")), Ok(0));
        let mut buf = [0u8; 3];
        assert_eq!(b.receive(&mut Dest::kernel(&mut buf), false), Ok(Received { copied: 3, full: 5 }));
        assert_eq!(b.receive(&mut Dest::kernel(&mut buf), false), Ok(Received { copied: 0, full: 0 }));
        assert_eq!(b.receive(&mut Dest::kernel(&mut buf), false), Err(Error::WouldBlock));
        assert_eq!(a.send(&mut Source::kernel(&alloc::vec![0; CAPACITY])), Err(Error::Host(90)));
    }
}
