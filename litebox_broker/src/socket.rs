//! Messages on the sockets of the sandbox, and the thread that serves readers.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox_protocol::MAX_REQUEST;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::files::Files;
use crate::message::ReplyBuilder;
use crate::replies::{PAUSE, Replies};

/// Longer than any message, so that none is cut that could be right; and so long that the allocator gets it from the
/// host, which brings in only the pages that are used.
pub const BUFFER: usize = 256 << 10;
const _: () = assert!(BUFFER > MAX_REQUEST);

/// Two ends of a socket for messages.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Receives one message and at most one descriptor. A message too long for `buffer` is cut: its lengths then do not
/// fit. `PROTO`: it came with several descriptors, which no kernel of ours sends.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    flags.set(RecvFlags::DONTWAIT, !wait);
    let got = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut came = None;
    let mut several = false;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            // Every one is owned from here on; those too many are closed.
            for fd in descriptors {
                several |= came.is_some();
                came.get_or_insert(fd);
            }
        }
    }
    // The space has room for two. With none of them received it is we who cannot have more.
    if several || came.is_some() && got.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Errno::PROTO);
    }
    let len = if got.flags.contains(ReturnFlags::TRUNC) { buffer.len() } else { got.bytes };
    Ok((len, came))
}

/// Sends one message and at most one descriptor, without waiting.
pub fn send(socket: BorrowedFd<'_>, message: &[u8], passed: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = passed.map(|fd| [fd]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut control, flags).map(drop)
}

/// Serves readers until the other end is closed, or sends what no kernel of ours sends.
pub fn serve_readers(files: &Files, socket: &OwnedFd, mut replies: Replies) {
    let (mut buffer, mut reply) = (vec![0; BUFFER], ReplyBuilder::default());
    loop {
        if !replies.settle(socket.as_fd()) {
            std::thread::sleep(PAUSE);
            continue;
        }
        match receive(socket.as_fd(), &mut buffer, true) {
            Err(Errno::INTR) => {}
            Ok((0, _) | (_, Some(_))) | Err(_) => return,
            Ok((len, None)) => {
                let (bytes, passed) = files.serve(buffer.get(..len).unwrap_or_default(), &mut reply);
                replies.send(socket.as_fd(), bytes, passed.as_ref().map(OwnedFd::as_fd));
            }
        }
    }
}
