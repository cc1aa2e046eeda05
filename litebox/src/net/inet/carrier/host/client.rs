//! Requests to the broker. Replies are not trusted to be well-formed: what does not fit is an I/O error.

use litebox_protocol::net::{MAX_NET_REPLY, NetOp, NetReply, NetRequest, STATE_DONE};
use zerocopy::{FromBytes, IntoBytes};

use super::Passed;
use crate::platform::{HostFd, host};
use crate::{Error, Result};

/// What the broker said.
pub(super) struct Reply {
    /// One of the `STATE_` constants.
    pub state: u32,
    /// A descriptor that came along.
    pub passed: Option<Passed>,
    bytes: [u8; MAX_NET_REPLY],
    len: usize,
}

impl Reply {
    /// What came behind the head.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(size_of::<NetReply>()..self.len).unwrap_or_default()
    }
}

/// Asks for something. `extra` goes behind the head, `sent` along with it.
pub(super) fn ask(head: NetRequest, extra: &[u8], sent: Option<HostFd>) -> Result<Reply> {
    let extra_len = u32::try_from(extra.len()).map_err(|_| Error::TooBig)?;
    let head = NetRequest { extra_len, ..head };
    let mut bytes = [0; MAX_NET_REPLY];
    let (len, passed) = host().network_call(head.as_bytes(), extra, sent, &mut bytes)?;
    let passed = passed.map(Passed::new);
    let (reply, rest) = NetReply::read_from_prefix(bytes.get(..len).ok_or(Error::Io)?).map_err(|_| Error::Io)?;
    if reply.error != 0 {
        return Err(Error::from_errno(reply.error));
    }
    if reply.len as usize != rest.len() {
        return Err(Error::Io);
    }
    Ok(Reply { state: reply.state, passed, bytes, len })
}

/// A request with a number and a value, of which only the error matters.
pub(super) fn tell(op: NetOp, id: u64, value: u32) {
    // The broker is gone, or knows better: nothing is to be done here.
    let _ = ask(NetRequest { op: op as u32, id, value, ..NetRequest::default() }, &[], None);
}

/// Sets an option of a socket of the host.
pub(super) fn set_option(fd: HostFd, level: i32, name: i32, value: &[u8]) -> Result<()> {
    let head = NetRequest { op: NetOp::SetOption as u32, level, name, ..NetRequest::default() };
    ask(head, value, Some(fd)).map(drop)
}

/// An option of a socket of the host that is a number.
pub(super) fn number_option(fd: HostFd, level: i32, name: i32) -> Result<i32> {
    let head = NetRequest { op: NetOp::GetOption as u32, level, name, value: 4, ..NetRequest::default() };
    let reply = ask(head, &[], Some(fd))?;
    reply.bytes().try_into().map(i32::from_ne_bytes).map_err(|_| Error::Io)
}

/// Sends one urgent byte by a socket of the host.
pub(super) fn send_urgent(fd: HostFd, byte: u8) -> Result<()> {
    let head = NetRequest { op: NetOp::SendUrgent as u32, ..NetRequest::default() };
    ask(head, &[byte], Some(fd)).map(drop)
}

/// shutdown(2) of a socket of the host; `how` as there.
pub(super) fn shut(fd: HostFd, how: u32) -> Result<()> {
    let head = NetRequest { op: NetOp::Shutdown as u32, value: how, ..NetRequest::default() };
    let reply = ask(head, &[], Some(fd))?;
    if reply.state == STATE_DONE { Ok(()) } else { Err(Error::Io) }
}
