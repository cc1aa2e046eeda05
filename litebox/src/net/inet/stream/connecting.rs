//! A socket that asked for a connection and has no answer yet, or was not told of it.

use alloc::sync::Arc;

use super::connected::Connected;
use super::fresh::Fresh;
use super::{BoundName, Ends, State, TcpSocket};
use crate::net::inet::carrier::local::LocalEnd;
use crate::net::inet::carrier::{StreamCarrier, TcpState};
use crate::{Error, Result};

const ECONNABORTED: Error = Error::Host(103);
const EALREADY: Error = Error::Host(114);

/// A connection that comes about.
pub(super) struct Connecting {
    pub carrier: Arc<dyn StreamCarrier>,
    /// The carrier, when it is one of this sandbox.
    pub local: Option<Arc<LocalEnd>>,
    pub ends: Ends,
    pub place: BoundName,
    /// What the socket was bound to before.
    pub bound: Option<BoundName>,
}

impl Connecting {
    fn into_connected(self) -> Connected {
        let Self { carrier, local, ends, place, bound } = self;
        let ends = (carrier.local_address().unwrap_or(ends.0), ends.1);
        Connected { carrier, local, ends, place, bound, untold: true }
    }
}

/// A connection that exists is one, whoever asks; connect(2) still says so once.
pub(super) fn settle(state: &mut State) {
    let State::Connecting(connecting) = state else { return };
    if !matches!(connecting.carrier.state(), TcpState::SynSent | TcpState::Closed) {
        let before = core::mem::replace(state, State::Fresh(Fresh::default()));
        if let State::Connecting(connecting) = before {
            *state = State::Connected(connecting.into_connected());
        }
    }
}

/// connect(2) once more: whether there is an answer.
pub(super) fn go_on(socket: &TcpSocket, state: &mut State, at_once: bool) -> Result<()> {
    let State::Connecting(connecting) = state else { return Err(Error::Invalid) };
    match connecting.carrier.state() {
        TcpState::SynSent if at_once => Err(EALREADY),
        TcpState::SynSent => Err(Error::WouldBlock),
        TcpState::Closed => {
            let error = connecting.carrier.take_error();
            socket.network.counters.tcp_attempt_fails.count();
            let before = core::mem::replace(state, State::Fresh(Fresh::default()));
            *state = State::Fresh(super::closed::part(socket, before));
            Err(if error == 0 { ECONNABORTED } else { Error::Host(error) })
        }
        _ => {
            settle(state);
            if let State::Connected(connected) = state {
                connected.untold = false;
            }
            Ok(())
        }
    }
}
