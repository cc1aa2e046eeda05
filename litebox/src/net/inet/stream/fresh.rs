//! A socket that is connected with nobody: binding it, having it listen, beginning a connection.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use super::connected::Connected;
use super::connecting::{Connecting, patience};
use super::listening::{Listener, Listening};
use super::{BoundName, Ends, Role, Seat, State, TcpSocket};
use crate::error::errno::{EADDRINUSE, ECONNREFUSED, EINPROGRESS};
use crate::net::inet::carrier::local::LocalEnd;
use crate::net::inet::carrier::{Inlet, Outlet, Port, StreamCarrier, TcpState};
use crate::net::inet::routes::{Route, is_broadcast};
use crate::net::inet::{EADDRNOTAVAIL, ENETUNREACH, FREE_PORTS, Network, check_family, claim, given};
use crate::net::{Address, Setting, Settings, address};
use crate::platform::host;
use crate::{Error, Result};

/// A socket that is connected with nobody.
#[derive(Default)]
pub(super) struct Fresh {
    /// Where it was bound to.
    pub place: Option<BoundName>,
    /// Why a connection of before ended, by its Linux number; 0: nothing to tell.
    pub error: i32,
}

impl Fresh {
    pub fn local(&self) -> Option<SocketAddr> {
        self.place.as_ref().map(|place| place.held.local())
    }
    /// bind(2)
    pub fn bind(&mut self, socket: &TcpSocket, to: &Address) -> Result<()> {
        let to = given(to)?;
        check_family(socket.six(), &socket.options, to.ip(), EADDRNOTAVAIL)?;
        let free = if to.ip().is_ipv4() { Setting::FreeBind } else { Setting::FreeBindSix };
        if !socket.options.is_on(free) {
            socket.network.check_bindable(to.ip())?;
        }
        if self.place.is_some() {
            return Err(Error::Invalid);
        }
        self.place = Some(take(socket, to)?);
        Ok(())
    }
}

/// Takes a port for a socket.
fn take(socket: &TcpSocket, at: SocketAddr) -> Result<BoundName> {
    let seat = Seat::new((socket.six(), socket.uid), socket.ino(), Role::Idle);
    let claim = claim(socket.six(), &socket.options, at.ip(), socket.uid, false);
    let held = socket.network.tcp.bind(at.port(), claim, FREE_PORTS, &Arc::downgrade(&seat))?;
    Ok(BoundName { held, seat })
}

/// listen(2)
pub(super) fn listen(socket: &TcpSocket, state: &mut State, backlog: i32) -> Result<()> {
    let State::Fresh(fresh) = state else { return Err(Error::Invalid) };
    let place = match fresh.place.take() {
        Some(place) => place,
        None => take(socket, SocketAddr::new(address::any(socket.six()), 0))?,
    };
    let own = claim(socket.six(), &socket.options, place.held.local().ip(), socket.uid, false);
    let listener = Listener::new(socket, backlog);
    *place.seat.what.lock() = Role::Listening(Arc::downgrade(&listener));
    if place.held.set_listening(super::super::ports::Claim { listens: true, ..own }).is_err() {
        *place.seat.what.lock() = Role::Idle;
        fresh.place = Some(place);
        return Err(EADDRINUSE);
    }
    let outlet = publish(socket, place.held.local(), &listener);
    *state = State::Listening(Listening { place, listener, outlet });
    Ok(())
}

/// What a listener has outside, if its port leads there.
fn publish(socket: &TcpSocket, local: SocketAddr, listener: &Arc<Listener>) -> Option<Arc<dyn Outlet>> {
    let outside = socket.network.outside().filter(|_| !local.ip().is_loopback())?;
    let inlet: Arc<dyn Inlet> = listener.clone();
    // Ports that nobody published lead nowhere, which is no error of the listener's.
    outside.open(Port::Stream, local, &inlet).ok()
}

/// Where a connection goes, and where it comes from: ENETUNREACH for what is no single node's address.
fn ends(socket: &TcpSocket, bound: Option<SocketAddr>, to: &Address) -> Result<(IpAddr, SocketAddr, Route)> {
    let mut to = given(to)?;
    to.set_ip(Network::destination(to.ip()));
    check_family(socket.six(), &socket.options, to.ip(), ENETUNREACH)?;
    if to.ip().is_multicast() || is_broadcast(to.ip()) {
        return Err(ENETUNREACH);
    }
    let route = socket.network.route(to.ip())?;
    let own = bound.map(|bound| bound.ip()).filter(|ip| !ip.is_unspecified());
    let from = match (own, route) {
        (Some(own), _) if own.is_ipv4() != to.is_ipv4() => return Err(ENETUNREACH),
        (Some(own), _) => own,
        (None, Route::Here { source }) => source,
        (None, Route::Out) => socket.network.source_for(to.ip()).ok_or(ENETUNREACH)?,
    };
    Ok((from, to, route))
}

/// connect(2): begins, and for the sandbox's own addresses ends as well.
pub(super) fn connect(socket: &TcpSocket, state: &mut State, to: &Address, at_once: bool) -> Result<()> {
    let State::Fresh(fresh) = state else { return Err(Error::Invalid) };
    fresh.error = 0;
    let bound = fresh.local();
    let (from, to, route) = ends(socket, bound, to)?;
    let network = &socket.network;
    network.counters.tcp_active_opens.count();
    let port = bound.map_or(0, |bound| bound.port());
    let seat = Seat::new((socket.six(), socket.uid), socket.ino(), Role::Idle);
    let own = claim(socket.six(), &socket.options, from, socket.uid, false);
    let held = network.tcp.connect(port, own, to, FREE_PORTS, &Arc::downgrade(&seat))?;
    let ends = (SocketAddr::new(from, held.local().port()), to);
    let place = BoundName { held, seat };
    let (carrier, local) = match route {
        Route::Out => (network.outside().ok_or(ENETUNREACH)?.connect(ends, &socket.queue, &socket.options)?, None),
        Route::Here { .. } => {
            let end = join(socket, ends);
            (end.clone() as Arc<dyn StreamCarrier>, Some(end))
        }
    };
    *place.seat.what.lock() = Role::Connected(Arc::downgrade(&carrier));
    let bound = fresh.place.take();
    let (stands, refused) = (carrier.state(), carrier.state() == TcpState::Closed);
    if stands == TcpState::Established && !at_once {
        *state = State::Connected(Connected { carrier, local, ends, place, bound, untold: false });
        return Ok(());
    }
    if refused && !at_once {
        network.counters.tcp_attempt_fails.count();
        fresh.place = bound;
        let error = carrier.take_error();
        return Err(if error == 0 { ECONNREFUSED } else { Error::reported(error) });
    }
    let until = local.as_ref().map(|_| host().instant().saturating_add(patience(&socket.options)));
    *state = State::Connecting(Connecting { carrier, local, ends, place, bound, until });
    Err(if at_once { EINPROGRESS } else { Error::WouldBlock })
}

/// A connection with a socket of this sandbox: established, waiting, or refused.
fn join(socket: &TcpSocket, ends: Ends) -> Arc<LocalEnd> {
    let (from, to) = ends;
    let (network, queue, options) = (&socket.network, &socket.queue, &socket.options);
    if from == to {
        return LocalEnd::looped(queue, options, &network.memory);
    }
    let listeners = network.tcp.find(to, |claim, _| claim.listens);
    let Some(listener) = choose(&listeners, from) else {
        return LocalEnd::refused(queue, options, &network.memory);
    };
    listener.ask(network, (queue, options), from, to)
}

/// The listener that is meant: the one whose address says more, and of those that share a port the one whose turn it
/// is.
fn choose(listeners: &[(super::super::ports::Claim, Arc<Seat>)], from: SocketAddr) -> Option<Arc<Listener>> {
    let (first, seat) = listeners.first()?;
    if !first.share {
        return seat.listener();
    }
    let sharing = || listeners.iter().filter(|(claim, _)| claim.share && claim.ip == first.ip);
    let turn = super::super::share_of(from, sharing().count());
    sharing().nth(turn).and_then(|(_, seat)| seat.listener())
}

/// The options that the other end of a connection starts with.
pub(super) fn server_options(listener: &Settings) -> Settings {
    let options = Settings::default();
    options.copy(listener);
    options
}
