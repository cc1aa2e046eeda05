//! How states end: by parting, giving up, and closing the last descriptor.

use super::fresh::Fresh;
use super::{BoundName, Closing, Role, State, TcpSocket};
use crate::event::Events;
use crate::net::inet::Network;
use crate::net::inet::carrier::{StreamCarrier, TcpState};
use crate::platform::host;
use litebox_common_linux::Errno;

pub(super) const ALL: Events = Events::IN
    .union(Events::RDNORM)
    .union(Events::OUT)
    .union(Events::WRNORM)
    .union(Events::RDHUP)
    .union(Events::HUP)
    .union(Events::ERR);

/// A socket parts from whatever it was connected with (connect(2) with AF_UNSPEC); what it was bound to, it keeps.
pub(super) fn part(socket: &TcpSocket, state: State) -> Fresh {
    let mut error = 0;
    let place = match state {
        State::Fresh(fresh) => fresh.place,
        State::Listening(listening) => {
            listening.listener.close();
            stop_listening(socket, &listening.place);
            Some(listening.place)
        }
        State::Connecting(connecting) => {
            error = reset(&*connecting.carrier);
            connecting.bound
        }
        State::Connected(connected) => {
            error = reset(&*connected.carrier);
            connected.bound
        }
    };
    Fresh { place, error }
}

/// Throws a connection away; the error that the socket remembers it by.
fn reset(carrier: &dyn StreamCarrier) -> i32 {
    let there = carrier.state() != TcpState::Closed;
    carrier.close(Closing::Reset);
    if there { Errno::ECONNRESET.0 } else { 0 }
}

fn stop_listening(socket: &TcpSocket, place: &BoundName) {
    *place.seat.what.lock() = Role::Idle;
    let claim = super::super::claim(socket.six(), &socket.options, place.held.local().ip(), socket.uid, false);
    // Without listening there is nothing to refuse.
    let _ = place.held.set_listening(claim);
}

/// Parts in place.
pub(super) fn give_up(socket: &TcpSocket, state: &mut State) {
    let before = core::mem::replace(state, State::Fresh(Fresh::default()));
    *state = State::Fresh(part(socket, before));
}

/// Nobody has it open any more.
pub(super) fn close(network: &Network, mut state: State, how: Closing) {
    super::connecting::settle(&mut state);
    match state {
        State::Fresh(_) => {}
        State::Listening(listening) => listening.listener.close(),
        State::Connecting(connecting) => connecting.carrier.close(Closing::Reset),
        State::Connected(connected) => {
            connected.carrier.close(how);
            let ended = match &connected.local {
                Some(local) => local.remembered(),
                // Others are remembered by the host.
                None => connected.carrier.lingers().then(|| host().instant()),
            };
            if let Some(ended) = ended {
                connected.place.held.outlive(ended);
            } else if how == Closing::Reset {
                network.counters.tcp_resets.count();
            }
        }
    }
}
