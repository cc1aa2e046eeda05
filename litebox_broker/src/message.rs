//! Taking requests apart and putting replies together. Nothing here trusts a length.

use std::os::fd::OwnedFd;

use litebox_protocol::{MAX_PATH, MAX_REPLY, MAX_REQUEST, Op, Reply, Request};
use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use crate::beneath::Result;

/// A request whose lengths have been checked.
pub struct ParsedRequest<'a> {
    /// What for.
    pub op: Op,
    /// The head.
    pub head: Request,
    /// The path, not yet checked.
    pub path: &'a [u8],
    /// The rest.
    pub extra: &'a [u8],
    /// The descriptor that came along.
    pub came: Option<OwnedFd>,
}

impl<'a> ParsedRequest<'a> {
    /// From the bytes of one message, and the descriptor that came along.
    pub fn parse(message: &'a [u8], came: Option<OwnedFd>) -> Result<Self> {
        if message.len() > MAX_REQUEST {
            return Err(Errno::MSGSIZE);
        }
        let (head, rest) = Request::read_from_prefix(message).map_err(|_| Errno::INVAL)?;
        let op = Op::from_number(head.op).ok_or(Errno::NOSYS)?;
        let (path_len, extra_len) = (head.path_len as usize, head.extra_len as usize);
        if path_len > MAX_PATH {
            return Err(Errno::NAMETOOLONG);
        }
        if path_len.checked_add(extra_len) != Some(rest.len()) {
            return Err(Errno::INVAL);
        }
        let (path, extra) = rest.split_at(path_len);
        Ok(Self { op, head, path, extra, came })
    }
}

/// Whether this message may come with a descriptor: that of a process, of the filter's listener, of a file in memory,
/// or of the open file that it is about.
pub fn may_carry_descriptor(message: &[u8]) -> bool {
    let op = message.first_chunk().and_then(|op| Op::from_number(u32::from_ne_bytes(*op)));
    op.is_some_and(|op| {
        let about_open_file = matches!(
            op,
            Op::Open | Op::Link | Op::SetAttr | Op::GetXattr | Op::ListXattr | Op::SetXattr | Op::RemoveXattr
        );
        about_open_file || matches!(op, Op::Register | Op::Kick | Op::Listener | Op::Memory)
    })
}

/// A reply in the making.
pub struct ReplyBuilder {
    /// The head, written in front at the end.
    pub head: Reply,
    bytes: Vec<u8>,
}

impl Default for ReplyBuilder {
    fn default() -> Self {
        Self { head: Reply::default(), bytes: vec![0; size_of::<Reply>()] }
    }
}

impl ReplyBuilder {
    /// Starts anew, keeping the buffer: the reply to `message`.
    pub fn begin(&mut self, message: &[u8]) {
        self.clear();
        let number = message.get(core::mem::offset_of!(Request, number)..).and_then(|rest| rest.first_chunk());
        self.head.number = number.map_or(0, |number| u32::from_ne_bytes(*number));
    }
    /// Says nothing but whose reply it is.
    fn clear(&mut self) {
        self.head = Reply { number: self.head.number, ..Reply::default() };
        self.bytes.truncate(size_of::<Reply>());
    }
    /// Whether `more` bytes fit.
    pub fn has_room(&self, more: usize) -> bool {
        self.bytes.len() + more <= MAX_REPLY
    }
    /// Adds bytes behind the head.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.has_room(bytes.len()) {
            return Err(Errno::OVERFLOW);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
    /// Adds zeros up to a multiple of eight.
    pub fn pad_to_8(&mut self) -> Result<()> {
        let over = self.bytes.len() % 8;
        if over == 0 { Ok(()) } else { self.push(&[0; 7][..8 - over]) }
    }
    /// The finished message; a failed operation carries nothing but its error.
    pub fn finish(&mut self, result: Result<()>) -> &[u8] {
        if let Err(e) = result {
            self.clear();
            self.head.error = e.raw_os_error();
        }
        let head = self.head;
        if let Some(front) = self.bytes.get_mut(..size_of::<Reply>()) {
            front.copy_from_slice(head.as_bytes());
        }
        &self.bytes
    }
}
