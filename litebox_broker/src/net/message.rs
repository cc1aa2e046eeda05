//! Taking requests about the network apart. Nothing here trusts a length.

use std::mem::offset_of;

use litebox_protocol::net::{MAX_NET_REQUEST, MAX_SETTINGS, NetOp, NetReply, NetRequest, Setting};
use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

/// A request whose lengths have been checked.
pub struct Asked<'a> {
    /// What for.
    pub op: NetOp,
    /// The head.
    pub head: NetRequest,
    /// The rest.
    pub extra: &'a [u8],
}

impl<'a> Asked<'a> {
    /// From the bytes of one message.
    pub fn parse(message: &'a [u8]) -> Result<Self, Errno> {
        if message.len() > MAX_NET_REQUEST {
            return Err(Errno::MSGSIZE);
        }
        let (head, extra) = NetRequest::read_from_prefix(message).map_err(|_| Errno::INVAL)?;
        let op = NetOp::from_number(head.op).ok_or(Errno::NOSYS)?;
        if head.extra_len as usize != extra.len() {
            return Err(Errno::INVAL);
        }
        Ok(Self { op, head, extra })
    }

    /// The settings of a connection.
    pub fn settings(&self) -> Result<Vec<Setting>, Errno> {
        let pieces = self.extra.chunks_exact(size_of::<Setting>());
        if !pieces.remainder().is_empty() || pieces.len() > MAX_SETTINGS {
            return Err(Errno::INVAL);
        }
        pieces.map(|piece| Setting::read_from_bytes(piece).map_err(|_| Errno::INVAL)).collect()
    }
}

/// A reply with these bytes behind its head.
pub fn reply(state: u32, port: u16, bytes: &[u8]) -> Vec<u8> {
    let head = NetReply { state, len: bytes.len() as u32, port, ..NetReply::default() };
    [head.as_bytes(), bytes].concat()
}

/// Says whose reply it is: that to `message`.
pub fn address(reply: &mut [u8], message: &[u8]) {
    let number = message.get(offset_of!(NetRequest, number)..).and_then(|rest| rest.first_chunk::<4>());
    let place = reply.get_mut(offset_of!(NetReply, number)..).and_then(|rest| rest.first_chunk_mut::<4>());
    if let (Some(number), Some(place)) = (number, place) {
        *place = *number;
    }
}

/// A reply that says why nothing was done.
pub fn failed(error: Errno) -> Vec<u8> {
    NetReply { error: error.raw_os_error(), ..NetReply::default() }.as_bytes().to_vec()
}
