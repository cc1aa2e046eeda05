//! The user's terminal, which the sandbox may not read itself: the broker reads it and changes its settings, by the
//! rules of job control.

use alloc::vec::Vec;

use zerocopy::{FromBytes, IntoBytes};

use super::HostFd;
use crate::{Error, Result};
use litebox_protocol::{MAX_TYPED, Op, Reply, Request, TERMIOS_SIZE, TerminalFlags};

/// Head of a request that concerns the terminal behind `fd`.
fn head(op: Op, fd: HostFd) -> Request {
    Request { op: op as u32, grant: fd.0.unsigned_abs(), ..Request::default() }
}

fn ask(
    call: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<Option<HostFd>>,
    request: &[u8],
    most: usize,
) -> Result<(Reply, Vec<u8>)> {
    let mut reply = Vec::new();
    reply.try_reserve_exact(size_of::<Reply>() + most).map_err(|_| Error::NoMemory)?;
    call(request, &mut reply)?;
    let (head, body) = Reply::read_from_prefix(&reply).map_err(|_| Error::Io)?;
    if head.error != 0 {
        return Err(Error::from_errno(head.error));
    }
    let body = body.to_vec();
    Ok((head, body))
}

pub(super) fn read(
    call: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<Option<HostFd>>,
    fd: HostFd,
    buf: &mut [u8],
    reader: bool,
) -> Result<usize> {
    let wanted = buf.len().min(MAX_TYPED);
    let flags = if reader { TerminalFlags::READER } else { TerminalFlags::empty() };
    let request = Request { value: wanted as u64, flags: flags.bits(), ..head(Op::ReadTerminal, fd) };
    let (_, typed) = ask(call, request.as_bytes(), wanted)?;
    let (to, from) = buf.get_mut(..typed.len()).map(|to| (to, typed)).ok_or(Error::Io)?;
    to.copy_from_slice(&from);
    Ok(from.len())
}

pub(super) fn set(
    call: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<Option<HostFd>>,
    fd: HostFd,
    settings: Option<&[u8; TERMIOS_SIZE]>,
    when: u32,
) -> Result<()> {
    let extra = settings.map_or(&[][..], |settings| settings);
    let request =
        Request { value: when.into(), extra_len: u32::try_from(extra.len()).unwrap_or(0), ..head(Op::SetTerminal, fd) };
    let mut bytes = [0u8; size_of::<Request>() + TERMIOS_SIZE];
    let message = bytes.get_mut(..size_of::<Request>() + extra.len()).ok_or(Error::TooBig)?;
    let (front, back) = message.split_at_mut(size_of::<Request>());
    front.copy_from_slice(request.as_bytes());
    back.copy_from_slice(extra);
    ask(call, message, 0).map(drop)
}
