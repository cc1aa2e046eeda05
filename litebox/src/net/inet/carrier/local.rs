//! A connection whose both ends are in this sandbox: two queues of bytes, and what TCP would have told of each end.
//! There are no packets: what one end does is the other's state at once.

mod kept_back;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use litebox_common_linux::Errno;

use super::{Closing, StreamCarrier, TcpState};
use crate::error::errno::ENOTCONN;
use crate::event::{Events, WaitQueue};
use crate::io::{Dest, Source};
use crate::net::queue::ByteQueue;
use crate::net::{MessageFlags, Setting, Settings, Shut};
use crate::platform::{Instant, host};
use crate::sync::Mutex;
use crate::{Error, Result};

use kept_back::KeptBack;

const EPIPE: i32 = Errno::EPIPE.0;

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);
const ALL: Events = READABLE.union(WRITABLE).union(Events::RDHUP).union(Events::HUP).union(Events::ERR);

/// Bytes that wait at a sender who never set SO_SNDBUF, and at a receiver who never set SO_RCVBUF.
const SEND_ROOM: usize = 1 << 20;
const RECEIVE_ROOM: usize = 64 << 10;
/// Bytes that all connections of a sandbox may hold before each gets less, and how much that is.
const PRESSURE: usize = 256 << 20;
const ROOM_UNDER_PRESSURE: usize = 32 << 10;
/// Bytes moved before the other end is told.
const AT_ONCE: usize = 256 << 10;

/// Bytes that wait in all connections.
#[derive(Default)]
pub struct Memory(AtomicUsize);

/// An urgent byte (MSG_OOB).
#[derive(Clone, Copy)]
struct Urgent {
    /// Its place in the stream.
    place: u64,
    /// It was not received yet.
    fresh: bool,
}

/// One end.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct End {
    state: TcpState,
    error: i32,
    /// What the other end sent.
    incoming: ByteQueue,
    /// Of that, what it keeps back.
    kept_back: KeptBack,
    /// How much was read of the stream before that.
    read: u64,
    urgent: Option<Urgent>,
    /// The other end sends nothing more.
    finished: bool,
    shut: Shut,
    /// Nobody has it open.
    closed: bool,
    /// It waits for room to send: tell when there is some.
    starved: bool,
    /// It sends nothing but whole segments (TCP_CORK).
    corks: bool,
    inline: bool,
    lowat: usize,
    send_room: usize,
    receive_room: usize,
    /// When it became its turn to remember the connection (TIME_WAIT).
    ended: Option<Instant>,
}

/// Both ends.
struct Connection {
    ends: Mutex<[End; 2]>,
    queues: [Arc<WaitQueue>; 2],
    memory: Arc<Memory>,
    /// It is connected with itself: there is one end only.
    looped: bool,
}

/// One end of a connection, for the socket that has it.
pub struct LocalEnd {
    connection: Arc<Connection>,
    side: usize,
}

impl End {
    fn new(options: &Settings, state: TcpState) -> Self {
        let mut end = Self {
            state,
            error: 0,
            incoming: ByteQueue::default(),
            kept_back: KeptBack::default(),
            read: 0,
            urgent: None,
            finished: false,
            shut: Shut::empty(),
            closed: false,
            starved: false,
            corks: false,
            inline: false,
            lowat: 1,
            send_room: SEND_ROOM,
            receive_room: RECEIVE_ROOM,
            ended: None,
        };
        end.heed(options);
        end
    }
    fn heed(&mut self, options: &Settings) {
        let size = |of, otherwise| {
            // Half of what is told is for the kernel's own needs.
            usize::try_from(options.get(of)).ok().filter(|size| *size > 0).map_or(otherwise, |size| size / 2)
        };
        self.send_room = size(Setting::SendBuffer, SEND_ROOM);
        self.receive_room = size(Setting::ReceiveBuffer, RECEIVE_ROOM);
        self.inline = options.is_on(Setting::OobInline);
        self.corks = options.is_on(Setting::Cork);
        self.lowat = usize::try_from(options.get(Setting::ReceiveLowat)).unwrap_or(1).max(1);
    }
    /// Bytes in the queue that the sender still has by Linux's account.
    fn held_back(&self) -> usize {
        self.incoming.len().saturating_sub(self.receive_room).max(self.kept_back.bytes())
    }
    /// Bytes that the receiver can see.
    fn arrived(&self) -> usize {
        self.incoming.len().saturating_sub(self.kept_back.bytes())
    }
    /// What the sender keeps back goes: what to tell the receiver.
    fn let_go(&mut self) -> Events {
        if self.kept_back.let_go() && self.is_readable() { READABLE } else { Events::empty() }
    }
    /// The sender added `n` bytes, and keeps the last ones back if `more` is to follow: what to tell the receiver.
    fn add(&mut self, n: usize, more: bool) -> Events {
        let begins = if more {
            self.kept_back.keep(n)
        } else {
            self.kept_back.let_go();
            false
        };
        // Whoever waits has to look at the clock from now on.
        if self.is_readable() || begins { READABLE } else { Events::empty() }
    }
    /// The connection is there.
    fn establish(&mut self) {
        if matches!(self.state, TcpState::SynSent | TcpState::SynReceived) {
            self.state = if self.finished { TcpState::CloseWait } else { TcpState::Established };
        }
    }
    /// Nothing can happen to it any more.
    fn end(&mut self) {
        self.state = TcpState::Closed;
        self.shut = Shut::all();
    }
    /// The other end threw the connection away.
    fn reset(&mut self) {
        if self.state == TcpState::Closed {
            return;
        }
        self.error = match self.state {
            TcpState::SynSent => Errno::ECONNREFUSED.0,
            TcpState::CloseWait => Errno::EPIPE.0,
            _ => Errno::ECONNRESET.0,
        };
        self.end();
    }
    /// The other end sends nothing more.
    fn finish(&mut self) {
        self.finished = true;
        self.kept_back.let_go();
        self.shut |= Shut::READ;
        match self.state {
            TcpState::Established => self.state = TcpState::CloseWait,
            TcpState::FinWait2 => {
                self.end();
                self.ended = Some(host().instant());
            }
            _ => {}
        }
    }
    /// It sends nothing more itself; whether the other end has to hear of that.
    fn stop_sending(&mut self) -> bool {
        self.shut |= Shut::WRITE;
        match self.state {
            TcpState::Established => self.state = TcpState::FinWait2,
            // The other end went first, and answers at once.
            TcpState::CloseWait => self.end(),
            _ => return false,
        }
        true
    }
    /// Whether it can send: the pending error, or EPIPE. One that comes after a part was sent is the next call's.
    fn may_send(&mut self, sent_a_part: bool) -> Result<()> {
        match self.state {
            _ if self.error != 0 && sent_a_part => Err(Error::reported(self.error)),
            _ if self.error != 0 || self.shut.contains(Shut::WRITE) => match self.take_error() {
                0 | EPIPE => Err(Error::BrokenPipe),
                error => Err(Error::reported(error)),
            },
            TcpState::SynSent | TcpState::SynReceived => Err(Error::WouldBlock),
            _ => Ok(()),
        }
    }
    /// The last byte that came is urgent.
    fn urge(&mut self) {
        let behind = self.read + self.incoming.len() as u64;
        self.urgent = behind.checked_sub(1).map(|place| Urgent { place, fresh: true });
    }
    fn take_error(&mut self) -> i32 {
        core::mem::take(&mut self.error)
    }
    /// Bytes up to the urgent one, if it is apart and ahead.
    fn before_mark(&self) -> Option<usize> {
        let ahead = self.urgent?.place.checked_sub(self.read)?;
        usize::try_from(ahead).ok()
    }
    /// The urgent byte comes next.
    fn at_mark(&self) -> bool {
        self.before_mark() == Some(0)
    }
    fn advance(&mut self, n: usize, memory: &Memory) {
        self.incoming.skip(n);
        self.read += n as u64;
        memory.0.fetch_sub(n, Ordering::Relaxed);
        if self.urgent.is_some_and(|urgent| urgent.place < self.read) {
            self.urgent = None;
        }
    }
    fn forget(&mut self, memory: &Memory) {
        memory.0.fetch_sub(self.incoming.len(), Ordering::Relaxed);
        self.incoming.clear();
        self.kept_back.let_go();
        self.urgent = None;
    }
    /// Whether there is as much to read as poll(2) wants.
    fn is_readable(&self) -> bool {
        let hidden = usize::from(self.at_mark() && !self.inline);
        let available = self.arrived();
        available >= self.lowat.saturating_add(hidden) || available > 0 && self.lowat > self.receive_room
    }
    fn ready(&self) -> Events {
        let mut events = Events::empty();
        events.set(Events::HUP, self.shut == Shut::all() || self.state == TcpState::Closed);
        events.set(READABLE | Events::RDHUP, self.shut.contains(Shut::READ));
        events.set(Events::ERR, self.error != 0);
        if self.state != TcpState::SynSent {
            if self.is_readable() {
                events |= READABLE;
            }
            events.set(Events::PRI, self.urgent.is_some_and(|urgent| urgent.fresh));
            events.set(Events::LATER, self.kept_back.bytes() > 0);
        }
        events
    }
}

/// What an operation changed, to be told with the lock given back.
#[derive(Clone, Copy, Default)]
struct Told {
    own: Events,
    other: Events,
}

impl Connection {
    fn other(&self, side: usize) -> usize {
        if self.looped { side } else { side ^ 1 }
    }
    /// Runs `change` on the ends, the one of `side` first, and tells those who wait.
    fn change<T>(&self, side: usize, change: impl FnOnce(&mut [End; 2], usize, usize, &mut Told) -> T) -> T {
        let other = self.other(side);
        let mut told = Told::default();
        let mut ends = self.ends.lock();
        let late = [other, side].map(|at| pick(&mut ends, at).kept_back.expire());
        let result = change(&mut ends, side, other, &mut told);
        drop(ends);
        told.other.set(READABLE, late[0] || told.other.contains(READABLE));
        told.own.set(READABLE, late[1] || told.own.contains(READABLE));
        for (at, events) in [(other, told.other), (side, told.own)] {
            if let Some(queue) = self.queues.get(at).filter(|_| !events.is_empty()) {
                queue.notify(events);
            }
        }
        result
    }
    /// How much one end may still send to the other.
    fn room(&self, ends: &[End; 2], from: usize, to: usize) -> usize {
        let (from, to) = (look(ends, from), look(ends, to));
        let limit = from.send_room.saturating_add(to.receive_room);
        let pressed = self.memory.0.load(Ordering::Relaxed) > PRESSURE;
        let limit = if pressed { limit.min(ROOM_UNDER_PRESSURE) } else { limit };
        limit.saturating_sub(to.incoming.len())
    }
    /// Whether poll(2) says that the one end can send: as much is free as half of what waits.
    fn is_writable(&self, ends: &[End; 2], from: usize, to: usize) -> bool {
        let waits = look(ends, to).held_back();
        self.room(ends, from, to) > 0 && look(ends, from).send_room.saturating_sub(waits) >= waits / 2
    }
    /// Room was made in the queue of `own`: what to tell the other, if it waits for that.
    fn room_made(&self, ends: &mut [End; 2], own: usize, other: usize) -> Events {
        if !look(ends, other).starved || !self.is_writable(ends, other, own) {
            return Events::empty();
        }
        pick(ends, other).starved = false;
        WRITABLE
    }
}

fn look(ends: &[End; 2], side: usize) -> &End {
    &ends[side & 1]
}

fn pick(ends: &mut [End; 2], side: usize) -> &mut End {
    // There are two sides.
    &mut ends[side & 1]
}

impl LocalEnd {
    /// A connection that the other end has to admit ([`LocalEnd::establish`]): the end that asks, and the end that is
    /// asked.
    pub fn pair(
        client: (&Arc<WaitQueue>, &Settings),
        server: (&Arc<WaitQueue>, &Settings),
        memory: &Arc<Memory>,
    ) -> (Arc<Self>, Arc<Self>) {
        let ends = [End::new(client.1, TcpState::SynSent), End::new(server.1, TcpState::SynReceived)];
        let queues = [client.0.clone(), server.0.clone()];
        let connection = Arc::new(Connection { ends: Mutex::new(ends), queues, memory: memory.clone(), looped: false });
        (Arc::new(Self { connection: connection.clone(), side: 0 }), Arc::new(Self { connection, side: 1 }))
    }
    /// A socket connected with itself.
    pub fn looped(queue: &Arc<WaitQueue>, options: &Settings, memory: &Arc<Memory>) -> Arc<Self> {
        let ends = [End::new(options, TcpState::Established), End::new(options, TcpState::Closed)];
        let queues = [queue.clone(), queue.clone()];
        let connection = Connection { ends: Mutex::new(ends), queues, memory: memory.clone(), looped: true };
        Arc::new(Self { connection: Arc::new(connection), side: 0 })
    }
    /// The end of a connection that nobody wanted.
    pub fn refused(queue: &Arc<WaitQueue>, options: &Settings, memory: &Arc<Memory>) -> Arc<Self> {
        let end = Self::looped(queue, options, memory);
        end.connection.change(0, |ends, own, _, _| {
            let end = pick(ends, own);
            end.state = TcpState::SynSent;
            end.reset();
        });
        end
    }
    /// The connection is admitted.
    pub fn establish(&self) {
        self.connection.change(self.side, |ends, own, other, told| {
            for side in [own, other] {
                let end = pick(ends, side);
                end.establish();
            }
            told.other = WRITABLE;
        });
    }
    /// It is admitted, but for this end, which has to wait for something to read (TCP_DEFER_ACCEPT).
    pub fn establish_other(&self) {
        self.connection.change(self.side, |ends, _, other, told| {
            pick(ends, other).establish();
            told.other = WRITABLE;
        });
    }
    /// Nobody answers it.
    pub fn time_out(&self) {
        self.connection.change(self.side, |ends, own, _, told| {
            let end = pick(ends, own);
            if end.state == TcpState::SynSent {
                end.error = Errno::ETIMEDOUT.0;
                end.end();
                told.own = ALL;
            }
        });
    }
    /// When the connection ended, if it is this end that has to remember it (TIME_WAIT).
    pub fn remembered(&self) -> Option<Instant> {
        let ends = self.connection.ends.lock();
        ends.get(self.side).and_then(|end| end.ended)
    }
    /// When what the other end keeps back arrives, if it keeps anything back.
    pub fn more_arrives(&self) -> Option<Instant> {
        self.connection.change(self.side, |ends, own, _, _| pick(ends, own).kept_back.until())
    }
    /// Whether it asks for a connection and still wants it.
    pub fn is_waiting(&self) -> bool {
        self.state() == TcpState::SynSent
    }

    fn receive_urgent(&self, dest: &mut Dest<'_>, peek: bool) -> Result<usize> {
        self.connection.change(self.side, |ends, own, _, _| {
            let end = pick(ends, own);
            let urgent = end.urgent.filter(|urgent| urgent.fresh && !end.inline).ok_or(Error::Invalid)?;
            let at = urgent.place.checked_sub(end.read).and_then(|at| usize::try_from(at).ok());
            let byte = at.and_then(|at| end.incoming.at(at)).ok_or(Error::Invalid)?;
            let copied = dest.put(&[byte])?;
            if !peek {
                end.urgent = Some(Urgent { fresh: false, ..urgent });
            }
            Ok(copied)
        })
    }

    /// What a receiver gets when nothing is in the queue.
    fn nothing_there(end: &mut End) -> Result<usize> {
        if end.finished {
            return Ok(0);
        }
        match end.take_error() {
            0 if end.shut.contains(Shut::READ) => Ok(0),
            0 if end.state == TcpState::Closed => Err(ENOTCONN),
            0 => Err(Error::WouldBlock),
            error => Err(Error::reported(error)),
        }
    }

    fn receive_once(&self, dest: &mut Dest<'_>, flags: MessageFlags, most: usize) -> Result<usize> {
        let memory = &self.connection.memory;
        self.connection.change(self.side, |ends, own, other, told| {
            let end = pick(ends, own);
            if end.at_mark() && !end.inline && end.arrived() > 0 {
                // The urgent byte is not part of what is read, even if nobody received it.
                end.advance(1, memory);
            }
            let arrived = end.arrived();
            if arrived == 0 {
                return Self::nothing_there(end);
            }
            let before_mark = end.before_mark().filter(|n| *n > 0).unwrap_or(usize::MAX).min(arrived);
            let n = if flags.contains(MessageFlags::MSG_TRUNC) {
                let n = before_mark.min(most).min(dest.remaining());
                dest.advance(n);
                n
            } else {
                end.incoming.copy(dest, 0, before_mark.min(most))?
            };
            if !flags.contains(MessageFlags::MSG_PEEK) {
                end.advance(n, memory);
                if n == arrived && end.kept_back.bytes() > 0 {
                    // Whoever waits has to look at the clock from now on.
                    told.own = READABLE;
                }
                told.other = self.connection.room_made(ends, own, other);
            }
            Ok(n)
        })
    }

    fn send_once(&self, source: &mut Source<'_>, most: usize, flags: MessageFlags) -> Result<usize> {
        let connection = &self.connection;
        let urgent = flags.contains(MessageFlags::MSG_OOB);
        connection.change(self.side, |ends, own, other, told| {
            let end = pick(ends, own);
            end.may_send(source.moved() > 0)?;
            if source.remaining() == 0 {
                return Ok(0);
            }
            if pick(ends, other).closed {
                // Nobody will read it. The sender hears of that, but not before something was sent.
                let n = source.remaining().min(most);
                source.advance(n);
                pick(ends, own).reset();
                told.own = ALL;
                return Ok(n);
            }
            let room = connection.room(ends, own, other);
            if room == 0 {
                pick(ends, own).starved = true;
                told.other = pick(ends, other).let_go();
                return Err(Error::WouldBlock);
            }
            let more = !urgent && (flags.contains(MessageFlags::MSG_MORE) || look(ends, own).corks);
            let to = pick(ends, other);
            let n = to.incoming.push(source, room.min(most))?;
            connection.memory.0.fetch_add(n, Ordering::Relaxed);
            told.other = to.add(n, more);
            told.other.set(READABLE, to.state == TcpState::SynReceived || told.other.contains(READABLE));
            if urgent && source.remaining() == 0 {
                if to.at_mark() && !to.inline {
                    // The one before comes next: it is over.
                    to.advance(1, &connection.memory);
                }
                to.urge();
                told.other |= Events::PRI;
            }
            Ok(n)
        })
    }
}

impl StreamCarrier for LocalEnd {
    fn state(&self) -> TcpState {
        self.connection.ends.lock().get(self.side).map_or(TcpState::Closed, |end| end.state)
    }
    fn send(&self, source: &mut Source<'_>, flags: MessageFlags) -> Result<usize> {
        let mut done = 0;
        loop {
            match self.send_once(source, AT_ONCE, flags) {
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
            if source.remaining() == 0 {
                return Ok(done);
            }
        }
    }
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<usize> {
        if flags.contains(MessageFlags::MSG_OOB) {
            return self.receive_urgent(dest, flags.contains(MessageFlags::MSG_PEEK));
        }
        let mut done = self.receive_once(dest, flags, AT_ONCE)?;
        // A look takes what there is in one; otherwise the sender is let in between.
        while done >= AT_ONCE && dest.remaining() > 0 && !flags.contains(MessageFlags::MSG_PEEK) && !self.at_mark() {
            match self.receive_once(dest, flags, AT_ONCE) {
                Ok(n @ 1..) => done += n,
                _ => break,
            }
        }
        Ok(done)
    }
    fn ready(&self) -> Events {
        let connection = &self.connection;
        connection.change(self.side, |ends, own, other, _| {
            let mut events = pick(ends, own).ready();
            let state = pick(ends, own).state;
            let writable = pick(ends, own).shut.contains(Shut::WRITE) || connection.is_writable(ends, own, other);
            if state != TcpState::SynSent {
                events.set(WRITABLE, writable);
                pick(ends, own).starved |= !writable;
            }
            events
        })
    }
    fn shutdown(&self, how: Shut) -> Result<()> {
        self.connection.change(self.side, |ends, own, other, told| {
            let end = pick(ends, own);
            if end.state == TcpState::Closed {
                return Err(ENOTCONN);
            }
            told.own = ALL;
            end.shut |= how & Shut::READ;
            if how.contains(Shut::WRITE) && end.stop_sending() {
                pick(ends, other).finish();
                told.other = READABLE | Events::RDHUP | hang_up(pick(ends, other));
            }
            Ok(())
        })
    }
    fn close(&self, how: Closing) {
        let memory = &self.connection.memory;
        self.connection.change(self.side, |ends, own, other, told| {
            let end = pick(ends, own);
            let unread = end.arrived() > 0;
            end.closed = true;
            end.forget(memory);
            if matches!(end.state, TcpState::SynSent | TcpState::Closed) {
                end.end();
            } else if unread || how == Closing::Reset || end.state == TcpState::SynReceived {
                end.end();
                pick(ends, other).reset();
                told.other = ALL;
            } else if end.stop_sending() {
                pick(ends, other).finish();
                told.other = READABLE | Events::RDHUP | hang_up(pick(ends, other));
            }
            let end = pick(ends, own);
            if end.state == TcpState::FinWait2 {
                end.ended = Some(host().instant());
            }
        });
    }
    fn take_error(&self) -> i32 {
        self.connection.change(self.side, |ends, own, _, _| pick(ends, own).take_error())
    }
    fn readable(&self) -> usize {
        self.connection.change(self.side, |ends, own, _, _| {
            let end = pick(ends, own);
            let before_mark = if end.inline { None } else { end.before_mark() };
            end.arrived().min(before_mark.unwrap_or(usize::MAX))
        })
    }
    fn unsent(&self) -> usize {
        self.connection.change(self.side, |ends, _, other, _| pick(ends, other).held_back())
    }
    fn at_mark(&self) -> bool {
        self.connection.change(self.side, |ends, own, _, _| pick(ends, own).at_mark())
    }
    fn option_changed(&self, of: Setting, options: &Settings) {
        self.connection.change(self.side, |ends, own, other, told| {
            pick(ends, own).heed(options);
            told.own = WRITABLE;
            told.other = self.connection.room_made(ends, own, other);
            if of == Setting::Cork && !options.is_on(of) || of == Setting::NoDelay && options.is_on(of) {
                told.other |= pick(ends, other).let_go();
            }
            if pick(ends, own).is_readable() {
                told.own |= READABLE;
            }
        });
    }
}

fn hang_up(end: &End) -> Events {
    if end.state == TcpState::Closed { Events::HUP } else { Events::empty() }
}
