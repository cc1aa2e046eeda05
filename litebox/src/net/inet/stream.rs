//! TCP sockets. Each state is a file: what a socket in it does.

mod closed;
mod connected;
mod connecting;
mod fresh;
mod listening;

use alloc::sync::{Arc, Weak};
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use litebox_common_linux::abi::ioctl::{FIONREAD, SIOCATMARK, SIOCOUTQNSD, TIOCOUTQ};

use super::carrier::{Closing, StreamCarrier, TcpState};
use super::groups::Memberships;
use super::ports::Held;
use super::zerocopy::ZeroCopy;
use super::{Network, family, nowhere};
use crate::error::errno::{EISCONN, ENOTCONN};
use crate::event::{Events, WaitQueue};
use crate::fs::{AnonInode, File, Inode, StatusFlags};
use crate::io::{Dest, Source};
use crate::net::file::SocketFile;
use crate::net::socket::Group;
use crate::net::{
    Address, Credentials, Family, MessageFlags, Outgoing, Received, Setting, Settings, Shut, Socket, SocketKind,
};
use crate::platform::Instant;
use crate::sync::Mutex;
use crate::{Error, Result};

use connected::Connected;
use connecting::Connecting;
use fresh::Fresh;
use listening::{Listener, Listening};

/// What tcp_wmem and tcp_rmem say of buffers at first; a connection's grow.
const SEND_BUFFER: usize = 16384;
const CONNECTED_SEND_BUFFER: usize = 4 << 20;
const RECEIVE_BUFFER: usize = 131_072;

/// What a port leads to: the socket that has it, as others know it.
pub struct Seat {
    /// Whose it is.
    pub uid: u32,
    /// It is a socket of IPv6.
    pub six: AtomicBool,
    /// The socket's inode number; 0 while nobody accepted the connection.
    pub ino: AtomicU64,
    what: Mutex<Role>,
}

/// What the socket of a port does.
enum Role {
    Idle,
    Listening(Weak<Listener>),
    Connected(Weak<dyn StreamCarrier>),
}

impl Seat {
    fn new((six, uid): (bool, u32), ino: u64, what: Role) -> Arc<Self> {
        Arc::new(Self { uid, six: AtomicBool::new(six), ino: AtomicU64::new(ino), what: Mutex::new(what) })
    }
    fn listener(&self) -> Option<Arc<Listener>> {
        match &*self.what.lock() {
            Role::Listening(listener) => listener.upgrade(),
            _ => None,
        }
    }
    /// State, bytes to be received (of a listener: connections that wait), bytes not sent (of a listener: how many may
    /// wait).
    pub fn figures(&self) -> (TcpState, usize, usize) {
        let carrier = match &*self.what.lock() {
            Role::Idle => return (TcpState::Closed, 0, 0),
            Role::Listening(listener) => {
                let (waiting, limit) = listener.upgrade().map_or((0, 0), |listener| listener.figures());
                return (TcpState::Listen, waiting, limit);
            }
            Role::Connected(carrier) => carrier.upgrade(),
        };
        carrier.map_or((TcpState::Closed, 0, 0), |c| (c.state(), c.readable(), c.unsent()))
    }
}

/// A port, and what it leads to.
pub(super) struct BoundName {
    held: Held<Seat>,
    seat: Arc<Seat>,
}

enum State {
    /// Connected with nobody; it may be bound.
    Fresh(Fresh),
    Listening(Listening),
    Connecting(Connecting),
    Connected(Connected),
}

/// A TCP socket.
pub struct TcpSocket {
    network: Arc<Network>,
    six: AtomicBool,
    inode: Arc<AnonInode>,
    options: Settings,
    /// Those who wait for it. Shared with its carrier.
    queue: Arc<WaitQueue>,
    state: Mutex<State>,
    zero_copy: ZeroCopy,
    memberships: Mutex<Memberships>,
    uid: u32,
    /// O_NONBLOCK, as far as a receiver's low-water mark wants to know.
    hasty: AtomicBool,
}

impl TcpSocket {
    /// A socket of IPv4, or IPv6 (`six`), `uid`'s, with an inode of this number.
    pub fn new(network: &Arc<Network>, six: bool, uid: u32, ino: u64) -> Arc<Self> {
        Self::with(network, six, uid, ino, State::Fresh(Fresh::default()), Arc::default())
    }
    fn with(network: &Arc<Network>, six: bool, uid: u32, ino: u64, state: State, queue: Arc<WaitQueue>) -> Arc<Self> {
        Arc::new(Self {
            network: network.clone(),
            six: AtomicBool::new(six),
            inode: AnonInode::socket(ino),
            options: Settings::default(),
            queue,
            state: Mutex::new(state),
            zero_copy: ZeroCopy::default(),
            memberships: Mutex::default(),
            uid,
            hasty: AtomicBool::new(false),
        })
    }
    /// Whether it is one of IPv6.
    fn six(&self) -> bool {
        self.six.load(Ordering::Relaxed)
    }
    fn ino(&self) -> u64 {
        self.inode.id().ino
    }
    /// Runs `look` on the state; a connection that has come about meanwhile counts as one.
    fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        connecting::settle(&mut state);
        look(&mut state)
    }
    /// What carries it: EPIPE, ENOTCONN (`otherwise`) without a connection; the error of one that was thrown away,
    /// which is taken.
    fn carrier(&self, otherwise: Error) -> Result<Arc<dyn StreamCarrier>> {
        let mut state = self.state.lock();
        match &mut *state {
            State::Connected(connected) => Ok(connected.carrier.clone()),
            State::Connecting(connecting) => Ok(connecting.carrier.clone()),
            State::Fresh(fresh) if fresh.error != 0 => Err(Error::reported(core::mem::take(&mut fresh.error))),
            State::Fresh(_) | State::Listening(_) => Err(otherwise),
        }
    }
    /// What carries it, if anything.
    fn look(&self) -> Option<Arc<dyn StreamCarrier>> {
        match &*self.state.lock() {
            State::Connected(connected) => Some(connected.carrier.clone()),
            State::Connecting(connecting) => Some(connecting.carrier.clone()),
            State::Fresh(_) | State::Listening(_) => None,
        }
    }
    /// Where the connection stands.
    pub fn tcp_state(&self) -> TcpState {
        match &*self.state.lock() {
            State::Fresh(_) => TcpState::Closed,
            State::Listening(_) => TcpState::Listen,
            State::Connecting(connecting) => connecting.carrier.state(),
            State::Connected(connected) => connected.carrier.state(),
        }
    }
    /// Bytes that wait to be read; bytes that were sent and not taken.
    pub fn waiting(&self) -> (usize, usize) {
        self.look().map_or((0, 0), |carrier| (carrier.readable(), carrier.unsent()))
    }
    /// Bytes that were written and not sent yet. Within a sandbox, what is sent is taken at once; what a carrier that
    /// leads outside keeps is not known.
    fn not_sent_yet(&self) -> usize {
        match &*self.state.lock() {
            State::Connected(connected) => connected.local.as_ref().map_or(0, |local| local.unsent()),
            _ => 0,
        }
    }
    /// Whether as much is there as the receiver's low-water mark wants, for one who can wait.
    fn has_enough(&self, carrier: &dyn StreamCarrier, wanted: usize, flags: MessageFlags) -> bool {
        let lowat = usize::try_from(self.options.get(Setting::ReceiveLowat)).unwrap_or(1).min(wanted);
        let waits = !flags.intersects(MessageFlags::MSG_DONTWAIT | MessageFlags::MSG_OOB)
            && !self.hasty.load(Ordering::Relaxed);
        lowat <= 1 || !waits || carrier.ready().intersects(Events::IN | Events::HUP | Events::ERR) || {
            let readable = carrier.readable();
            readable == 0 || readable >= lowat
        }
    }
    /// Connects by the first message (MSG_FASTOPEN), to where it goes. Then it is a message as any other.
    fn open_fast(&self, outgoing: &mut Outgoing<'_>) -> Result<()> {
        let at_once = outgoing.flags.contains(MessageFlags::MSG_DONTWAIT) || self.hasty.load(Ordering::Relaxed);
        match outgoing.to {
            Some(Address::Unspecified) => return Err(Error::NotSupported),
            Some(to) => self.connect(to, outgoing.credentials, at_once)?,
            None if self.look().is_some() => return Err(EISCONN),
            None => return Err(Error::Invalid),
        }
        outgoing.flags.remove(MessageFlags::MSG_FASTOPEN);
        Ok(())
    }
}

/// What TCP_INQ tells: what may be read, and 1 where only the end of the stream is left.
fn queued_hint(carrier: &dyn StreamCarrier) -> i32 {
    match i32::try_from(carrier.readable()) {
        Ok(0) => carrier.ready().intersects(Events::RDHUP | Events::HUP).into(),
        readable => readable.unwrap_or(i32::MAX),
    }
}

impl Socket for TcpSocket {
    fn family(&self) -> Family {
        family(self.six())
    }
    fn kind(&self) -> SocketKind {
        SocketKind::Stream
    }
    fn protocol(&self) -> i32 {
        6
    }
    fn options(&self) -> &Settings {
        &self.options
    }
    fn option_changed(&self, of: Setting) {
        if matches!(of, Setting::ReuseAddress | Setting::ReusePort) {
            let state = self.state.lock();
            let place = match &*state {
                State::Fresh(fresh) => fresh.place.as_ref(),
                State::Listening(listening) => Some(&listening.place),
                State::Connecting(connecting) => connecting.bound.as_ref(),
                State::Connected(connected) => connected.bound.as_ref(),
            };
            if let Some(place) = place {
                let (reuse, share) = (Setting::ReuseAddress, Setting::ReusePort);
                place.held.set_reuse(self.options.is_on(reuse), self.options.is_on(share));
            }
            return;
        }
        if let State::Listening(listening) = &*self.state.lock() {
            return listening.listener.heed(&self.options);
        }
        if let Some(carrier) = self.look() {
            carrier.option_changed(of, &self.options);
        }
    }
    fn bind(&self, to: &Address) -> Result<()> {
        self.with_state(|state| match state {
            State::Fresh(fresh) => fresh.bind(self, to),
            _ => Err(Error::Invalid),
        })
    }
    fn listen(&self, backlog: i32, _owner: Credentials) -> Result<()> {
        self.with_state(|state| match state {
            State::Fresh(_) => fresh::listen(self, state, backlog),
            State::Listening(listening) => {
                listening.listener.set_limit(backlog);
                Ok(())
            }
            _ => Err(Error::Invalid),
        })
    }
    fn accept(&self, ino: u64) -> Result<Arc<dyn Socket>> {
        let (listener, outlet) = match &*self.state.lock() {
            State::Listening(listening) => (listening.listener.clone(), listening.outlet.clone()),
            _ => return Err(Error::Invalid),
        };
        let socket = listener.accept(self, outlet.as_ref(), ino)?;
        Ok(socket)
    }
    fn connect(&self, to: &Address, _owner: Credentials, at_once: bool) -> Result<()> {
        let mut state = self.state.lock();
        if *to == Address::Unspecified {
            let before = core::mem::replace(&mut *state, State::Fresh(Fresh::default()));
            *state = State::Fresh(closed::part(self, before));
            drop(state);
            self.queue.notify(closed::ALL);
            return Ok(());
        }
        match &mut *state {
            State::Fresh(_) => fresh::connect(self, &mut state, to, at_once),
            State::Connecting(_) => connecting::go_on(self, &mut state, at_once),
            State::Connected(connected) if connected.untold => {
                connected.untold = false;
                Ok(())
            }
            State::Connected(_) | State::Listening(_) => Err(EISCONN),
        }
    }
    fn shutdown(&self, how: Shut) -> Result<()> {
        self.with_state(|state| match state {
            State::Fresh(_) => Err(ENOTCONN),
            State::Connected(connected) => connected.carrier.shutdown(how),
            State::Listening(_) if !how.contains(Shut::READ) => Ok(()),
            State::Connecting(_) | State::Listening(_) => {
                closed::give_up(self, state);
                Ok(())
            }
        })?;
        self.queue.notify(closed::ALL);
        Ok(())
    }
    fn name(&self) -> Address {
        self.with_state(|state| {
            let local = match state {
                State::Fresh(fresh) => fresh.local(),
                State::Listening(listening) => Some(listening.place.held.local()),
                State::Connecting(connecting) => Some(connecting.ends.0),
                State::Connected(connected) => Some(connected.ends.0),
            };
            local.map_or_else(|| nowhere(self.six()), Address::Inet)
        })
    }
    fn peer_name(&self) -> Result<Address> {
        self.with_state(|state| match state {
            State::Connected(connected) if connected.carrier.state() != TcpState::Closed => {
                Ok(Address::Inet(connected.ends.1))
            }
            _ => Err(ENOTCONN),
        })
    }
    fn send(&self, source: &mut Source<'_>, outgoing: &mut Outgoing<'_>) -> Result<usize> {
        if outgoing.flags.contains(MessageFlags::MSG_FASTOPEN) {
            self.open_fast(outgoing)?;
        }
        let sent = self.carrier(Error::BrokenPipe)?.send(source, outgoing.flags)?;
        if outgoing.flags.contains(MessageFlags::MSG_ZEROCOPY) && self.options.is_on(Setting::ZeroCopy) {
            self.zero_copy.done();
        }
        Ok(sent)
    }
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<Received> {
        if flags.contains(MessageFlags::MSG_ERRQUEUE) {
            return self.zero_copy.take().ok_or(Error::WouldBlock);
        }
        let carrier = self.carrier(ENOTCONN)?;
        if !self.has_enough(&*carrier, dest.remaining(), flags) {
            return Err(Error::WouldBlock);
        }
        let copied = carrier.receive(dest, flags)?;
        let left = self.options.is_on(Setting::ReportQueued).then(|| queued_hint(&*carrier));
        Ok(Received { copied, full: copied, flags: flags & MessageFlags::MSG_OOB, left, ..Received::default() })
    }
    fn take_error(&self) -> i32 {
        match self.carrier(ENOTCONN) {
            Ok(carrier) => carrier.take_error(),
            Err(error) if error != ENOTCONN => error.errno(),
            Err(_) => 0,
        }
    }
    fn is_listening(&self) -> bool {
        matches!(&*self.state.lock(), State::Listening(_))
    }
    fn buffer(&self, sending: bool) -> usize {
        let setting = if sending { Setting::SendBuffer } else { Setting::ReceiveBuffer };
        let set = usize::try_from(self.options.get(setting)).unwrap_or(0);
        let connected = || matches!(&*self.state.lock(), State::Connected(_));
        match set {
            0 if !sending => RECEIVE_BUFFER,
            0 if connected() => CONNECTED_SEND_BUFFER,
            0 => SEND_BUFFER,
            set => set,
        }
    }
    fn membership(&self, group: &Group, joins: bool) -> Result<()> {
        let chosen = u32::try_from(self.options.get(Setting::Interface)).unwrap_or(0);
        self.memberships.lock().change(&self.network, group, chosen, joins)
    }
    fn become_four(&self) -> Result<()> {
        self.with_state(|state| match state {
            State::Connected(connected) => connected.become_four(self.options.is_on(Setting::V6Only)),
            _ => Err(ENOTCONN),
        })?;
        self.memberships.lock().leave_six(&self.network);
        self.six.store(false, Ordering::Relaxed);
        Ok(())
    }
    fn into_file(self: Arc<Self>) -> Arc<dyn File> {
        self
    }
}

impl SocketFile for TcpSocket {
    fn node(&self) -> &Arc<AnonInode> {
        &self.inode
    }
    fn waiters(&self) -> &WaitQueue {
        &self.queue
    }
    fn writes_all(&self) -> bool {
        true
    }
    fn read_some(&self, dest: &mut Dest<'_>) -> Result<usize> {
        self.receive(dest, MessageFlags::empty()).map(|got| got.copied)
    }
    fn write_some(&self, source: &mut Source<'_>) -> Result<usize> {
        self.carrier(Error::BrokenPipe)?.send(source, MessageFlags::empty())
    }
    fn readiness(&self) -> Events {
        let carrier = match &*self.state.lock() {
            State::Fresh(_) => return Events::OUT | Events::WRNORM | Events::HUP,
            State::Listening(listening) => return listening.listener.ready(),
            State::Connecting(connecting) => connecting.carrier.clone(),
            State::Connected(connected) => connected.carrier.clone(),
        };
        let told = if self.zero_copy.is_due() { Events::ERR } else { Events::empty() };
        carrier.ready() | told
    }
    fn number(&self, request: u32) -> Result<usize> {
        let listens = self.is_listening();
        let carrier = self.look();
        match request {
            FIONREAD | TIOCOUTQ | SIOCOUTQNSD if listens => Err(Error::Invalid),
            FIONREAD => Ok(carrier.map_or(0, |carrier| carrier.readable())),
            TIOCOUTQ => Ok(carrier.map_or(0, |carrier| carrier.unsent())),
            SIOCOUTQNSD => Ok(self.not_sent_yet()),
            SIOCATMARK => Ok(carrier.is_some_and(|carrier| carrier.at_mark()).into()),
            _ => Err(Error::NotTerminal),
        }
    }
    fn sleeps_outside(&self, interest: Events, deadline: Option<Instant>) -> Option<Result<()>> {
        // A host that has something does not know that it is less than wanted.
        if self.options.get(Setting::ReceiveLowat) > 1 {
            return None;
        }
        self.look()?.wait(interest, deadline)
    }
    fn is_observed(&self) {
        if let Some(carrier) = self.look() {
            carrier.observed();
        }
    }
    fn waits_for_time(&self) -> bool {
        match &*self.state.lock() {
            State::Listening(listening) => listening.listener.is_timed(),
            State::Connecting(connecting) => connecting.is_timed(),
            State::Connected(connected) => connected.more_arrives().is_some(),
            State::Fresh(_) => false,
        }
    }
    fn time_passes(&self) -> Option<Instant> {
        match &*self.state.lock() {
            State::Listening(listening) => listening.listener.expire(),
            State::Connecting(connecting) => connecting.expire(),
            State::Connected(connected) => connected.more_arrives(),
            State::Fresh(_) => None,
        }
    }
    fn status_is(&self, flags: StatusFlags) {
        self.hasty.store(flags.contains(StatusFlags::NONBLOCK), Ordering::Relaxed);
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        let lingers = self.options.is_on(Setting::LingerOn) && self.options.get(Setting::LingerSeconds) == 0;
        let how = if lingers { Closing::Reset } else { Closing::Orderly };
        let state = core::mem::replace(&mut *self.state.lock(), State::Fresh(Fresh::default()));
        closed::close(&self.network, state, how);
        self.memberships.get_mut().leave_all(&self.network);
    }
}

/// Both ends of a connection: the own address, and the peer's.
type Ends = (SocketAddr, SocketAddr);
