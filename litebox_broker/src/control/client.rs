//! One end of the control protocol: messages with up to [`STREAMS`] descriptors, sent and received without waiting.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox_protocol::control::{Head, STREAMS, Told};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use zerocopy::IntoBytes;

/// Receives one message into `buffer`. A message that does not fit, or with more descriptors than any has, is `PROTO`.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    flags.set(RecvFlags::DONTWAIT, !wait);
    let got = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut came = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            came.extend(descriptors);
        }
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::PROTO);
    }
    Ok((got.bytes, came))
}

/// Sends one message. With `wait` it waits for room in the other end's queue.
pub fn send(
    socket: BorrowedFd<'_>,
    head: Head,
    body: &[u8],
    passed: &[BorrowedFd<'_>],
    wait: bool,
) -> Result<(), Errno> {
    let head = Head { len: u32::try_from(body.len()).map_err(|_| Errno::MSGSIZE)?, ..head };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !passed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(passed)) {
        return Err(Errno::INVAL);
    }
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::DONTWAIT, !wait);
    let pieces = [IoSlice::new(head.as_bytes()), IoSlice::new(body)];
    rustix::net::sendmsg(socket, &pieces, &mut control, flags).map(drop)
}

/// A client of the broker.
pub(super) struct Client {
    pub socket: OwnedFd,
    /// It has said which protocol it speaks.
    pub greeted: bool,
    /// It wants to hear of the end of the sandbox.
    pub waits: bool,
}

impl Client {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, greeted: false, waits: false }
    }

    /// Says something. `false`: the client is gone, or does not listen, and is to be forgotten.
    pub(super) fn tell(&self, told: Told, head: Head, body: &[u8]) -> bool {
        send(self.socket.as_fd(), Head { kind: told as u32, ..head }, body, &[], false).is_ok()
    }
}

/// Whether a peer is the user of this process, or root.
pub fn is_same_user(socket: BorrowedFd<'_>) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(socket).is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
}
