//! A socket that asked for a connection and has no answer yet, or was not told of it.

use alloc::sync::Arc;
use core::time::Duration;

use super::connected::Connected;
use super::fresh::Fresh;
use super::{BoundName, Ends, State, TcpSocket};
use crate::error::errno::{EALREADY, ECONNABORTED};
use crate::net::inet::carrier::local::LocalEnd;
use crate::net::inet::carrier::{StreamCarrier, TcpState};
use crate::net::{Setting, Settings};
use crate::platform::{Instant, host};
use crate::{Error, Result};

/// A connection that comes about.
pub(super) struct Connecting {
    pub carrier: Arc<dyn StreamCarrier>,
    /// The carrier, when it is one of this sandbox.
    pub local: Option<Arc<LocalEnd>>,
    pub ends: Ends,
    pub place: BoundName,
    /// What the socket was bound to before.
    pub bound: Option<BoundName>,
    /// When it gives up, where nobody outside does.
    pub until: Option<Instant>,
}

impl Connecting {
    /// When it gives up, if there is no answer until then.
    fn patient_until(&self) -> Option<(Instant, &Arc<LocalEnd>)> {
        self.until.zip(self.local.as_ref()).filter(|(_, local)| local.is_waiting())
    }
    /// Whether it may give up yet. One that is connected is here until somebody asks.
    pub fn is_timed(&self) -> bool {
        self.patient_until().is_some()
    }
    /// Gives up when it is time to; when it will be.
    pub fn expire(&self) -> Option<Instant> {
        let (until, local) = self.patient_until()?;
        if host().instant() < until {
            return Some(until);
        }
        local.time_out();
        None
    }
    fn into_connected(self) -> Connected {
        let Self { carrier, local, ends, place, bound, until: _ } = self;
        let ends = (carrier.local_address().unwrap_or(ends.0), ends.1);
        Connected { carrier, local, ends, place, bound, untold: true }
    }
}

/// How long a connection is asked for: until the answer to the last SYN should have come (TCP_SYNCNT), or as long as
/// TCP_USER_TIMEOUT says.
pub(super) fn patience(options: &Settings) -> Duration {
    /// From so many on, each is waited for as long as the one before.
    const LONGEST_STEP: u32 = 6;
    const STEP: Duration = Duration::from_secs(120);
    if let Ok(millis @ 1..) = u64::try_from(options.get(Setting::UserTimeout)) {
        return Duration::from_millis(millis);
    }
    let again = u32::try_from(options.get(Setting::SynCount)).unwrap_or(0);
    let doubled = Duration::from_secs((2 << again.min(LONGEST_STEP)) - 1);
    doubled + STEP * again.saturating_sub(LONGEST_STEP)
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
            Err(if error == 0 { ECONNABORTED } else { Error::reported(error) })
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
