//! Sending and receiving.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use litebox_common_linux::Errno;

use super::inbox::{Envelope, Inbox};
use super::rights::Rights;
use super::socket::name_of;
use super::{Core, NOBODY, READABLE, UnixSocket};
use crate::error::errno::{EMSGSIZE, ENOTCONN};
use crate::fs::OpenFile;
use crate::io::{Dest, Source};
use crate::net::{Address, Outgoing, Received, Shut, Socket, SocketKind};
use crate::{Error, Result};

/// How much shorter than SO_SNDBUF a message has to be.
const RESERVED: usize = 32;
/// A piece of a stream is no longer than half of SO_SNDBUF less this, and than a page's worth of head and 32 KiB.
const PIECE_OVERHEAD: usize = 64;
const LONGEST_PIECE: usize = 3776 + (32 << 10);

impl Core {
    /// Sends the pieces of a stream that can be read, as far as there is room: not all that is to be sent can be. They
    /// are as long as Linux makes them, so that what was sent before a fault is as much.
    fn add_pieces(&self, inbox: &mut Inbox, source: &mut Source<'_>, envelope: &mut Envelope<'_>) -> Result<usize> {
        let half = self.outbox.limit.load(Ordering::Relaxed) / 2;
        let piece = half.saturating_sub(PIECE_OVERHEAD).clamp(1, LONGEST_PIECE);
        let mut sent = 0;
        while source.remaining() > 0 && self.outbox.has_room() {
            let next = (piece - source.moved() % piece).min(source.remaining());
            let admitted = self.outbox.admit(next);
            match inbox.add_bytes(source, admitted, envelope) {
                Ok(n) => sent += n,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if sent == 0 { Err(Error::WouldBlock) } else { Ok(sent) }
    }
}

impl UnixSocket {
    /// Sends: what fits of a stream, or one whole message.
    ///
    /// Errors: `WouldBlock`; `BrokenPipe` on a stream that ended; those of sendmsg(2).
    pub(super) fn send_message_or_bytes(&self, source: &mut Source<'_>, outgoing: &mut Outgoing<'_>) -> Result<usize> {
        match self.core.kind {
            SocketKind::Stream => self.send_bytes(source, outgoing),
            SocketKind::SeqPacket => {
                let peer = self.core.link.lock().peer.clone().ok_or(ENOTCONN)?;
                self.check_message(source.remaining())?;
                self.send_message(source, outgoing, &peer)
            }
            SocketKind::Datagram | SocketKind::Raw => {
                if outgoing.to.is_none() && self.core.link.lock().peer.is_none() {
                    return Err(ENOTCONN);
                }
                self.check_message(source.remaining())?;
                let target = match outgoing.to {
                    Some(to) => self.core.domain.find(name_of(to)?)?,
                    None => self.core.destination()?,
                };
                if target.kind != SocketKind::Datagram {
                    return Err(Error::from_errno(Errno::EPROTOTYPE.0));
                }
                if !target.accepts_from(&self.core) {
                    return Err(Error::NotPermitted);
                }
                self.send_message(source, outgoing, &target)
            }
        }
    }

    fn send_bytes(&self, source: &mut Source<'_>, outgoing: &mut Outgoing<'_>) -> Result<usize> {
        let core = &self.core;
        let peer = core.link.lock().peer.clone().ok_or(ENOTCONN)?;
        if core.is_shut(Shut::WRITE) {
            return Err(Error::BrokenPipe);
        }
        if source.remaining() == 0 {
            return Ok(0);
        }
        if !core.outbox.has_room() {
            return Err(Error::WouldBlock);
        }
        let admitted = core.outbox.admit(source.remaining());
        self.with_envelope(outgoing, &peer, |envelope| {
            let mut inbox = peer.inbox.lock();
            if peer.is_shut(Shut::READ) {
                return Err(Error::BrokenPipe);
            }
            let n = match inbox.add_bytes(source, admitted, envelope) {
                Err(Error::Fault) => core.add_pieces(&mut inbox, source, envelope)?,
                added => added?,
            };
            drop(inbox);
            peer.outbox.queue.notify(READABLE);
            Ok(n)
        })
    }

    /// Whether a message of `n` bytes can be sent now, wherever it goes.
    fn check_message(&self, n: usize) -> Result<()> {
        let outbox = &self.core.outbox;
        if n > outbox.limit.load(Ordering::Relaxed).saturating_sub(RESERVED) {
            return Err(EMSGSIZE);
        }
        self.check_error()?;
        if self.core.is_shut(Shut::WRITE) {
            return Err(Error::SilentlyBrokenPipe);
        }
        // As on Linux, the last one may be longer than the room that is left.
        if outbox.has_room() { Ok(()) } else { Err(Error::WouldBlock) }
    }

    fn send_message(&self, source: &mut Source<'_>, outgoing: &mut Outgoing<'_>, peer: &Arc<Core>) -> Result<usize> {
        let core = &self.core;
        let n = source.remaining();
        let friends = peer.link.lock().peer.as_ref().is_some_and(|other| Arc::ptr_eq(other, core));
        self.with_envelope(outgoing, peer, |envelope| {
            let mut inbox = peer.inbox.lock();
            if peer.is_shut(Shut::READ) {
                return Err(Error::SilentlyBrokenPipe);
            }
            if !friends && inbox.is_full(&core.outbox) {
                return Err(Error::WouldBlock);
            }
            inbox.add_message(source, n, envelope)?;
            drop(inbox);
            peer.outbox.queue.notify(READABLE);
            Ok(n)
        })
    }

    /// Has `send` put a message into a queue. The files that go along count as under way before they are: whoever looks
    /// for garbage meanwhile finds them in no queue, and so alive.
    fn with_envelope(
        &self,
        outgoing: &mut Outgoing<'_>,
        peer: &Core,
        send: impl FnOnce(&mut Envelope<'_>) -> Result<usize>,
    ) -> Result<usize> {
        let core = &self.core;
        // Nobody is told who sent what was sent while neither end wanted to know.
        let known = outgoing.signed || self.passes_credentials() || peer.curious.load(Ordering::Acquire);
        let credentials = if known { outgoing.credentials } else { NOBODY };
        let rights = core::mem::take(&mut outgoing.rights);
        let in_flight = &core.domain.in_flight;
        if !rights.is_empty() {
            in_flight.sent(&rights);
        }
        let mut envelope = Envelope { sender: &core.outbox, credentials, rights };
        let sent = send(&mut envelope);
        if !envelope.rights.is_empty() {
            in_flight.taken(&envelope.rights);
            outgoing.rights = envelope.rights;
        }
        sent
    }

    /// How many files lie in messages of the whole sandbox. Garbage among them is found first when there are more than
    /// `most`.
    pub fn files_in_flight(&self, most: usize) -> usize {
        let in_flight = &self.core.domain.in_flight;
        if in_flight.count() > most {
            in_flight.collect();
        }
        in_flight.count()
    }

    /// Receives; with `peek`, what was received stays. `WouldBlock` when there is nothing; nothing when nothing will
    /// come.
    pub(super) fn receive_message_or_bytes(&self, dest: &mut Dest<'_>, peek: bool, ahead: usize) -> Result<Received> {
        match self.core.kind {
            SocketKind::Stream => self.receive_bytes(dest, peek, ahead),
            _ => self.receive_message(dest, peek, ahead),
        }
    }

    /// What a receiver finds in an empty queue.
    fn nothing_there(&self) -> Result<Received> {
        self.check_error()?;
        if self.core.is_shut(Shut::READ) { Ok(Received::default()) } else { Err(Error::WouldBlock) }
    }

    fn receive_message(&self, dest: &mut Dest<'_>, peek: bool, ahead: usize) -> Result<Received> {
        if self.core.kind == SocketKind::SeqPacket && !self.core.link.lock().connected {
            return Err(ENOTCONN);
        }
        let mut inbox = self.core.inbox.lock();
        let Some(first) = inbox.messages.front() else {
            drop(inbox);
            return self.nothing_there();
        };
        let bytes = first.bytes();
        let bytes = bytes.get(ahead.min(bytes.len())..).unwrap_or_default();
        let (full, copied) = (bytes.len(), bytes.len().min(dest.remaining()));
        dest.put_whole(bytes.get(..copied).unwrap_or_default())?;
        let mut got = Received {
            copied,
            full,
            from: first.from().map(|place| Address::Unix(Some(place))),
            credentials: Some(first.credentials),
            rights: if peek { first.rights.clone() } else { Rights::new() },
            ..Received::default()
        };
        let mut stalled = Vec::new();
        if !peek {
            if let Some(message) = inbox.pop() {
                got.rights = message.rights;
            }
            stalled = inbox.take_stalled();
        }
        drop(inbox);
        for sender in stalled {
            sender.queue.notify(super::WRITABLE);
        }
        self.arrived(&got.rights, peek);
        Ok(got)
    }

    fn receive_bytes(&self, dest: &mut Dest<'_>, peek: bool, mut ahead: usize) -> Result<Received> {
        if !self.core.link.lock().connected {
            return Err(Error::Invalid);
        }
        let mut inbox = self.core.inbox.lock();
        if inbox.messages.is_empty() {
            drop(inbox);
            return self.nothing_there();
        }
        let mut got = Received::default();
        // Looking leaves everything where it is: the next piece has another index then.
        let mut index = 0;
        // Even who wants no bytes gets the files that come with them.
        let mut first = true;
        while dest.remaining() > 0 || core::mem::take(&mut first) {
            first = false;
            let Some(piece) = inbox.messages.get_mut(index) else { break };
            let strangers = got.credentials.is_some_and(|before| before != piece.credentials);
            if strangers && self.passes_credentials() {
                break;
            }
            if peek && ahead > 0 && ahead >= piece.bytes().len() {
                ahead -= piece.bytes().len();
                index += 1;
                continue;
            }
            let bytes = piece.bytes().get(ahead..).unwrap_or_default();
            let n = bytes.len().min(dest.remaining());
            match dest.put_whole(bytes.get(..n).unwrap_or_default()) {
                Err(error) if got.copied == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
            got.copied += n;
            ahead = 0;
            got.credentials = Some(piece.credentials);
            got.from = piece.from().map(|place| Address::Unix(Some(place)));
            let rights = if peek { piece.rights.clone() } else { core::mem::take(&mut piece.rights) };
            if peek {
                index += 1;
            } else {
                inbox.consume(n);
            }
            if !rights.is_empty() {
                got.rights = rights;
                break;
            }
        }
        drop(inbox);
        if peek && got.copied == 0 && dest.remaining() > 0 {
            return self.nothing_there();
        }
        got.full = got.copied;
        self.arrived(&got.rights, peek);
        Ok(got)
    }

    /// The files are the receiver's now.
    fn arrived(&self, rights: &[Arc<OpenFile>], peek: bool) {
        if !peek && !rights.is_empty() {
            self.core.domain.in_flight.taken(rights);
        }
    }

    /// Bytes that can be read now (of the first message, for messages); EINVAL on a listening socket.
    pub fn readable(&self) -> Result<usize> {
        if self.is_listening() {
            return Err(Error::Invalid);
        }
        let inbox = self.core.inbox.lock();
        if self.core.kind == SocketKind::Stream {
            return Ok(inbox.len());
        }
        Ok(inbox.messages.front().map_or(0, |first| first.bytes().len()))
    }
}

impl Core {
    /// Empties the queue; the files that lay in it.
    pub(super) fn discard(&self) -> Rights {
        let mut files = Rights::new();
        let Some(mut inbox) = self.inbox_at_end() else { return files };
        while let Some(message) = inbox.pop() {
            files.extend(message.rights);
        }
        files
    }
    /// Takes the files out of the queue.
    pub(super) fn take_rights(&self) -> Rights {
        let mut files = Rights::new();
        for core in self.queues() {
            for message in &mut core.inbox.lock().messages {
                files.append(&mut message.rights);
            }
        }
        files.append(&mut self.inbox.lock().messages.iter_mut().flat_map(|m| core::mem::take(&mut m.rights)).collect());
        files
    }
    /// Which files lie in the queue, by address.
    pub(super) fn right_keys(&self) -> Vec<usize> {
        let keys = |core: &Self| -> Vec<usize> {
            let inbox = core.inbox.lock();
            inbox.messages.iter().flat_map(|m| m.rights.iter().map(|file| Arc::as_ptr(file) as usize)).collect()
        };
        let mut all = keys(self);
        for core in self.queues() {
            all.extend(keys(&core));
        }
        all
    }
    /// Connections that wait to be accepted here: their queues can be read through this socket alone.
    fn queues(&self) -> Vec<Arc<Self>> {
        let link = self.link.lock();
        link.backlog.as_ref().map_or_else(Vec::new, |backlog| backlog.waiting.iter().cloned().collect())
    }
}
