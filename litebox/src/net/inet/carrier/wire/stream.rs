//! A connection by packets: smoltcp's state machine, with an interface of its own, so that nothing is looked for among
//! others.
//!
//! smoltcp has no zero-window probe, no backlog and no limits of time; those are here. What frames bring is done in the
//! supervisor, what the program does in its own thread; both hold the connection's lock.

use alloc::sync::{Arc, Weak};
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};

use litebox_common_linux::Errno;

use smoltcp::iface::PollResult;
use smoltcp::socket::tcp;

use super::device::Wire;
use super::machine::{Core, SEGMENT_UNSAID, View, tick};
use super::packet::{Packet, SYN, Tcp, edit_syn};
use super::{Ends, WireNetwork};
use crate::error::errno::{ENOBUFS, ENOTCONN};
use crate::event::{Events, WaitQueue};
use crate::io::{Dest, Source};
use crate::net::inet::carrier::{Closing, Inlet, StreamCarrier, TcpState};
use crate::net::{MessageFlags, Setting, Settings, Shut};
use crate::platform::{Instant, host};
use crate::sync::Mutex;
use crate::{Error, Result};

const EPIPE: i32 = Errno::EPIPE.0;

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);

/// No peer is sent shorter segments, whatever it says (net.ipv4.tcp_min_snd_mss).
const LEAST_SEGMENT: u16 = 48;
/// Bytes of the largest segment that the host cuts: a packet of IP, less the headers.
const LONG_SEGMENT: u16 = 65_400;
/// Segments that a peer behind routers gets in a row, as many as a connection begins with (RFC 6928).
const SEGMENTS_AT_ONCE: u16 = 10;
/// Most rounds of sending without looking at anything else.
const MOST_ROUNDS: usize = 256;
const NEVER: u64 = u64::MAX;

/// One end of a connection; the other is behind the device.
pub(super) struct WireStream {
    own: Weak<Self>,
    network: Arc<WireNetwork>,
    number: u64,
    queue: Arc<WaitQueue>,
    ends: Ends,
    /// It began with the peer.
    asked: bool,
    core: Mutex<Core>,
    /// When the supervisor looks at it next.
    filed: AtomicU64,
}

impl WireStream {
    fn new(
        network: &Arc<WireNetwork>,
        ends: Ends,
        queue: &Arc<WaitQueue>,
        options: &Settings,
        asked: bool,
    ) -> Result<Arc<Self>> {
        let number = network.next_number();
        let most = network.buffer_size().ok_or(ENOBUFS)?;
        let core = Core::new(ends, options, most, network.way(SEGMENT_UNSAID, 0), host().instant())?;
        network.count_stream(true);
        Ok(Arc::new_cyclic(|own| Self {
            own: own.clone(),
            network: network.clone(),
            number,
            queue: queue.clone(),
            ends,
            asked,
            core: Mutex::new(core),
            filed: AtomicU64::new(NEVER),
        }))
    }

    /// Begins a connection.
    pub fn connect(
        network: &Arc<WireNetwork>,
        ends: Ends,
        queue: &Arc<WaitQueue>,
        options: &Settings,
    ) -> Result<Arc<Self>> {
        let stream = Self::new(network, ends, queue, options, false)?;
        let mut core = stream.core.lock();
        let (local, remote) = (endpoint(ends.0), endpoint(ends.1));
        let Core { interface, sockets, handle, .. } = &mut *core;
        let socket = sockets.get_mut::<tcp::Socket<'_>>(*handle);
        socket.connect(interface.context(), remote, local).map_err(|_| Error::from_errno(Errno::EADDRNOTAVAIL.0))?;
        drop(core);
        network.keep(&stream);
        stream.run(None, false);
        Ok(stream)
    }

    /// In the supervisor: somebody asks for a connection with a listener.
    pub fn asked(
        network: &Arc<WireNetwork>,
        ends: Ends,
        inlet: &Arc<dyn Inlet>,
        options: &Settings,
    ) -> Result<Arc<Self>> {
        let stream = Self::new(network, ends, &Arc::default(), options, true)?;
        let mut core = stream.core.lock();
        core.inlet = Some(Arc::downgrade(inlet));
        core.socket().listen(endpoint(ends.0)).map_err(|_| Error::Invalid)?;
        drop(core);
        network.keep(&stream);
        Ok(stream)
    }

    pub fn ends(&self) -> Ends {
        self.ends
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// It began with somebody who asked for it.
    pub fn was_embryo(&self) -> bool {
        self.asked
    }

    /// In the supervisor: a segment came.
    pub fn take(&self, packet: &Packet, tcp: &Tcp, bytes: &mut [u8]) {
        if tcp.flags & SYN != 0 {
            let header = packet.payload.0..packet.payload.0 + tcp.header;
            let near = self.network.is_near(self.ends.1.ip());
            let mut segment = SEGMENT_UNSAID;
            edit_syn(bytes.get_mut(header).unwrap_or_default(), |said| {
                segment = said.clamp(LEAST_SEGMENT, LONG_SEGMENT);
                if near { LONG_SEGMENT } else { segment.saturating_mul(SEGMENTS_AT_ONCE).min(LONG_SEGMENT) }
            });
            let mut core = self.core.lock();
            if !core.met {
                core.segment = segment;
            }
        }
        let mut core = self.core.lock();
        let waits = core.look().recv_queue();
        let segment = bytes.get(packet.payload.0..packet.payload.1).unwrap_or_default();
        let (skipped, is_there) = (core.receiving.skips() && waits > 0, core.receiving.is_there());
        let mut told = Events::empty();
        let room = core.look().recv_capacity();
        if core.receiving.look(tcp, segment, waits, room) {
            if skipped {
                // The one before comes next: it is over.
                core.skip();
            }
            told = Events::PRI;
        }
        if core.receiving.is_there() && !is_there {
            told = Events::PRI;
        }
        drop(core);
        self.run(Some(bytes), true);
        if !told.is_empty() {
            self.queue.notify(told);
        }
    }

    /// In the supervisor: what was filed is due.
    pub fn due(&self) {
        let now = host().instant();
        // Unless somebody filed a later time meanwhile.
        let past = |filed: u64| (filed <= now.0).then_some(NEVER);
        let _ = self.filed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, past);
        let overdue = self.core.lock().overdue(now);
        if let Some(error) = overdue {
            self.give_up(error);
        } else {
            self.run(None, true);
        }
    }

    /// Ends it for a reason of our own: the peer hears of it.
    pub fn give_up(&self, error: i32) {
        let mut core = self.core.lock();
        core.socket().abort();
        core.fail(error);
        drop(core);
        self.run(None, true);
        self.queue.notify(READABLE | WRITABLE | Events::RDHUP | Events::HUP | Events::ERR);
    }

    /// In the supervisor: a router, or the peer, says that what was sent did not arrive.
    pub fn unreachable(&self, error: i32) {
        let mut core = self.core.lock();
        let waits = core.look().state() == tcp::State::SynSent;
        if waits {
            core.socket().abort();
            core.fail(error);
        }
        drop(core);
        if waits {
            self.run(None, true);
            self.queue.notify(WRITABLE | Events::HUP | Events::ERR);
        }
    }

    /// In the supervisor: a router takes no packets longer than `mtu`.
    pub fn narrow(&self, mtu: usize) {
        let header = super::packet::header_length(self.ends.0.is_ipv6()) + Tcp::LEAST;
        let mut core = self.core.lock();
        let room = mtu.saturating_sub(header).max(usize::from(SEGMENT_UNSAID));
        core.segment = core.segment.min(u16::try_from(room).unwrap_or(u16::MAX));
    }

    /// Lets the state machine work: on what came, on what is to be sent, and (in the supervisor) on what is due.
    fn run(&self, incoming: Option<&[u8]>, timed: bool) {
        let mut core = self.core.lock();
        let (before, could_send) = (core.view(), core.is_writable());
        let now = host().instant();
        let heard = incoming.is_some();
        if heard {
            core.heard = now;
        }
        self.poll(&mut core, incoming, now, timed);
        core.follow(before.state);
        core.note_progress(now);
        let after = core.view();
        let inlet = if after.state == tcp::State::Established || core.finished { core.inlet.take() } else { None };
        let mut told = Events::empty();
        if after.readable > before.readable {
            told |= READABLE;
        }
        if core.starved && core.is_writable() && (!could_send || after.unsent < before.unsent) {
            core.starved = false;
            told |= WRITABLE;
        }
        if after.state != before.state {
            told |= core.ready();
        }
        let over = Self::is_over(&core, after);
        let numbers = core.sending.numbers();
        let next = core.next_look(now);
        drop(core);
        if over && after.state == tcp::State::TimeWait {
            self.network.rest(self, numbers);
        } else if over {
            self.network.forget(self);
        } else if let Some(next) = next {
            self.file(next, now);
        }
        if let Some(inlet) = inlet {
            self.introduce(&inlet);
        }
        if !told.is_empty() {
            self.queue.notify(told);
        }
    }

    fn poll(&self, core: &mut Core, incoming: Option<&[u8]>, now: Instant, timed: bool) {
        // A thread of the program sees no time at which something would be due: frames that wait unread may have the
        // acknowledgement.
        let filed = self.filed.load(Ordering::SeqCst);
        let now = if timed { now } else { now.min(Instant(filed.saturating_sub(1_000_000))) };
        let way = self.network.way(core.segment, core.wishes.tos);
        let held = core.keeps_back() && !timed && core.look().send_queue() < usize::from(core.segment);
        let Core { interface, sockets, sending, .. } = core;
        self.network.with_scratch(|scratch| {
            let mut device = Wire { incoming, scratch, way, sending };
            if device.incoming.is_some() {
                interface.poll_ingress_single(tick(now), &mut device, sockets);
            }
            for _ in 0..MOST_ROUNDS {
                if held || interface.poll_egress(tick(now), &mut device, sockets) == PollResult::None {
                    return;
                }
            }
        });
    }

    /// Whether nothing is to be done or remembered any more.
    fn is_over(core: &Core, view: View) -> bool {
        match view.state {
            tcp::State::Closed => true,
            // Somebody who asked for a connection took that back.
            tcp::State::Listen => core.inlet.is_some() && core.heard > core.began,
            tcp::State::TimeWait => core.closed,
            _ => false,
        }
    }

    /// Has the supervisor look at it then, unless it looks earlier anyway.
    fn file(&self, next: Instant, now: Instant) {
        // Those that move with each segment need not be exact: who is early looks again.
        let filed = self.filed.load(Ordering::SeqCst);
        if next.0 < filed || filed <= now.0 {
            self.network.timers.file(next, now, (self.number, &self.filed), &self.own);
        }
    }

    /// It is over: nobody looks at it.
    pub fn unfile(&self) {
        if self.filed.load(Ordering::SeqCst) != NEVER {
            self.network.timers.forget(self.number, &self.filed);
        }
    }

    /// A connection that was asked for came about: its listener takes it, or it ends.
    fn introduce(&self, inlet: &Weak<dyn Inlet>) {
        self.network.born(self.number);
        let Some(own) = self.own.upgrade() else { return };
        let taken =
            inlet.upgrade().is_some_and(|inlet| inlet.connection(self.ends.0, self.ends.1, &self.queue, own).is_ok());
        if !taken {
            self.close(Closing::Reset);
        }
    }
}

fn endpoint(address: SocketAddr) -> smoltcp::wire::IpEndpoint {
    smoltcp::wire::IpEndpoint::new(address.ip().into(), address.port())
}

impl StreamCarrier for WireStream {
    fn state(&self) -> TcpState {
        match self.core.lock().look().state() {
            tcp::State::Closed => TcpState::Closed,
            tcp::State::Listen | tcp::State::SynReceived => TcpState::SynReceived,
            tcp::State::SynSent => TcpState::SynSent,
            tcp::State::Established => TcpState::Established,
            tcp::State::FinWait1 => TcpState::FinWait1,
            tcp::State::FinWait2 => TcpState::FinWait2,
            tcp::State::CloseWait => TcpState::CloseWait,
            tcp::State::Closing => TcpState::Closing,
            tcp::State::LastAck => TcpState::LastAck,
            tcp::State::TimeWait => TcpState::TimeWait,
        }
    }
    fn send(&self, source: &mut Source<'_>, flags: MessageFlags) -> Result<usize> {
        let mut core = self.core.lock();
        if core.error != 0 || core.shut.contains(Shut::WRITE) {
            return match core::mem::take(&mut core.error) {
                0 | EPIPE => Err(Error::BrokenPipe),
                error => Err(Error::reported(error)),
            };
        }
        if matches!(core.look().state(), tcp::State::SynSent | tcp::State::SynReceived) {
            return Err(Error::WouldBlock);
        }
        let mut done = 0;
        while source.remaining() > 0 {
            let moved = core.socket().send(|room| match source.take(room) {
                Ok(n) => (n, Ok(n)),
                Err(error) => (0, Err(error)),
            });
            match moved {
                Ok(Ok(0)) => break,
                Ok(Ok(n)) => done += n,
                Ok(Err(error)) if done == 0 => return Err(error),
                Ok(Err(_)) => break,
                Err(_) => return Err(Error::BrokenPipe),
            }
        }
        core.starved |= source.remaining() > 0;
        let urgent = flags.contains(MessageFlags::MSG_OOB) && source.remaining() == 0;
        core.sending.add(done, urgent && done > 0);
        // Who has no room left keeps nothing back, and nobody what is urgent.
        core.more = flags.contains(MessageFlags::MSG_MORE) && source.remaining() == 0 && !urgent;
        if urgent {
            core.socket().set_nagle_enabled(false);
        }
        drop(core);
        if done == 0 && source.remaining() > 0 {
            return Err(Error::WouldBlock);
        }
        self.run(None, false);
        if urgent {
            let mut core = self.core.lock();
            // As it is wanted now.
            let waits = !core.wishes.nodelay;
            core.socket().set_nagle_enabled(waits);
        }
        Ok(done)
    }
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<usize> {
        let mut core = self.core.lock();
        if flags.contains(MessageFlags::MSG_OOB) {
            let finished = core.finished || core.shut.contains(Shut::READ);
            return core.receiving.take(dest, flags.contains(MessageFlags::MSG_PEEK), finished);
        }
        // The urgent byte is not part of what is read, even if nobody received it. Who peeks leaves it there.
        let peek = flags.contains(MessageFlags::MSG_PEEK);
        let mut hidden = usize::from(core.receiving.skips() && core.look().recv_queue() > 0);
        if hidden > 0 && !peek {
            core.skip();
            hidden = 0;
        }
        if core.look().recv_queue() == hidden {
            return match core::mem::take(&mut core.error) {
                _ if core.finished => Ok(0),
                0 if core.shut.contains(Shut::READ) => Ok(0),
                0 if core.look().state() == tcp::State::Closed => Err(ENOTCONN),
                0 => Err(Error::WouldBlock),
                error => Err(Error::reported(error)),
            };
        }
        let done = Self::copy_out(&mut core, dest, flags, hidden);
        drop(core);
        if !peek {
            // The peer may send more now.
            self.run(None, false);
        }
        done
    }
    fn ready(&self) -> Events {
        let mut core = self.core.lock();
        let ready = core.ready();
        if !ready.contains(Events::OUT) {
            core.starved = true;
        }
        ready
    }
    fn shutdown(&self, how: Shut) -> Result<()> {
        let mut core = self.core.lock();
        if core.look().state() == tcp::State::Closed {
            return Err(ENOTCONN);
        }
        core.shut |= how;
        if how.contains(Shut::WRITE) {
            core.socket().close();
        }
        drop(core);
        self.run(None, false);
        Ok(())
    }
    fn close(&self, how: Closing) {
        let mut core = self.core.lock();
        core.closed = true;
        core.left = host().instant();
        let unread = core.look().recv_queue() > 0;
        let pending = matches!(core.look().state(), tcp::State::SynSent | tcp::State::Listen);
        if how == Closing::Reset || unread || pending {
            core.socket().abort();
        } else {
            core.socket().close();
        }
        drop(core);
        self.run(None, false);
    }
    fn lingers(&self) -> bool {
        let state = self.core.lock().look().state();
        matches!(state, tcp::State::FinWait1 | tcp::State::FinWait2 | tcp::State::Closing | tcp::State::TimeWait)
    }
    fn take_error(&self) -> i32 {
        core::mem::take(&mut self.core.lock().error)
    }
    fn readable(&self) -> usize {
        let core = self.core.lock();
        let waits = core.look().recv_queue();
        let before_mark = core.receiving.before_mark().filter(|_| !core.receiving.inline);
        before_mark.unwrap_or(waits).min(waits)
    }
    fn at_mark(&self) -> bool {
        self.core.lock().receiving.at_mark()
    }
    fn unsent(&self) -> usize {
        self.core.lock().look().send_queue()
    }
    fn option_changed(&self, of: Setting, options: &Settings) {
        let mut core = self.core.lock();
        core.heed(options, self.ends.0.is_ipv6());
        core.more &= !(of == Setting::Cork || of == Setting::NoDelay && options.is_on(of));
        drop(core);
        self.run(None, false);
    }
}

impl WireStream {
    /// Copies what there is, when it is peeked at but for the first `hidden` bytes.
    fn copy_out(core: &mut Core, dest: &mut Dest<'_>, flags: MessageFlags, hidden: usize) -> Result<usize> {
        let peek = flags.contains(MessageFlags::MSG_PEEK);
        let unwanted = flags.contains(MessageFlags::MSG_TRUNC);
        let mut done = 0;
        // What is before something urgent is read by itself.
        let before_mark = core.receiving.before_mark().filter(|n| *n > 0).unwrap_or(usize::MAX);
        while dest.remaining() > 0 && done < before_mark && core.look().recv_queue() > 0 {
            let mut put = |bytes: &[u8]| {
                let bytes = bytes.get(..before_mark - done).unwrap_or(bytes);
                if unwanted {
                    let n = bytes.len().min(dest.remaining());
                    dest.advance(n);
                    return Ok(n);
                }
                dest.put(bytes)
            };
            let moved = if peek {
                let all = core.look().recv_queue();
                core.socket().peek(all).map(|bytes| put(bytes.get(hidden..).unwrap_or_default()))
            } else {
                core.socket().recv(|bytes| match put(bytes) {
                    Ok(n) => (n, Ok(n)),
                    Err(error) => (0, Err(error)),
                })
            };
            match moved {
                Ok(Ok(n)) => {
                    core.receiving.advance(if peek { 0 } else { n });
                    done += n;
                }
                Ok(Err(error)) if done == 0 => return Err(error),
                Ok(Err(_)) | Err(_) => break,
            }
            if peek {
                break;
            }
        }
        Ok(done)
    }
}

impl Drop for WireStream {
    fn drop(&mut self) {
        self.network.count_stream(false);
    }
}
