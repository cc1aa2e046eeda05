//! The way back to the sandbox. A reply always arrives, as long as somebody is there to take it: whoever asked waits
//! for it, and would wait for ever.
//!
//! The host may refuse to carry a descriptor (`ETOOMANYREFS`: the user's programs have too many in flight, unix(7)):
//! the reply then goes without it. It may have no memory for a long message (`ENOBUFS`), or find the queue full
//! (`EAGAIN`): then its error goes, now or later, and until then no further request is taken from that socket.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use litebox_protocol::Reply;
use litebox_protocol::net::NetReply;
use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use crate::socket::send;

/// After so long an owed reply is sent again.
pub const PAUSE: Duration = Duration::from_millis(5);

/// What is said on a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A [`Reply`], which is good without its descriptor, too.
    #[default]
    Files,
    /// A [`NetReply`]. One that comes with a socket says that there is one.
    Network,
}

impl Kind {
    /// In place of `reply`, to the same request: an error.
    fn refusal(self, reply: &[u8], error: Errno) -> Vec<u8> {
        let error = error.raw_os_error();
        match self {
            Self::Files => {
                let number = Reply::read_from_prefix(reply).map_or(0, |(head, _)| head.number);
                Reply { error, number, ..Reply::default() }.as_bytes().to_vec()
            }
            Self::Network => {
                let number = NetReply::read_from_prefix(reply).map_or(0, |(head, _)| head.number);
                NetReply { error, number, ..NetReply::default() }.as_bytes().to_vec()
            }
        }
    }
}

/// The replies of one socket.
#[derive(Debug, Default)]
pub struct Replies {
    kind: Kind,
    /// The error that is still to be told.
    owed: Option<Vec<u8>>,
}

impl Replies {
    /// Those of a socket on which this is said.
    pub fn new(kind: Kind) -> Self {
        Self { kind, owed: None }
    }
    /// Sends a reply and what goes with it.
    pub fn send(&mut self, socket: BorrowedFd<'_>, reply: &[u8], passed: Option<BorrowedFd<'_>>) {
        self.owed = deliver(self.kind, reply, passed, |reply, passed| send(socket, reply, passed));
    }
    /// Sends what is owed. `false`: not possible yet.
    pub fn settle(&mut self, socket: BorrowedFd<'_>) -> bool {
        if let Some(owed) = self.owed.take() {
            self.send(socket, &owed, None);
        }
        self.owed.is_none()
    }
    /// Whether a reply waits to be sent.
    pub fn are_owed(&self) -> bool {
        self.owed.is_some()
    }
}

/// Sends by `send`; returns what is owed afterwards.
fn deliver(
    kind: Kind,
    reply: &[u8],
    passed: Option<BorrowedFd<'_>>,
    send: impl Fn(&[u8], Option<BorrowedFd<'_>>) -> Result<(), Errno>,
) -> Option<Vec<u8>> {
    let mut sent = send(reply, passed);
    if passed.is_some() && is_worth_another(sent) {
        sent = match kind {
            Kind::Files => send(reply, None),
            Kind::Network => send(&kind.refusal(reply, Errno::NOBUFS), None),
        };
    }
    if !is_worth_another(sent) {
        return None;
    }
    let error = kind.refusal(reply, Errno::NOMEM);
    is_worth_another(send(&error, None)).then_some(error)
}

/// Whether it was not sent although somebody is there.
fn is_worth_another(sent: Result<(), Errno>) -> bool {
    matches!(sent, Err(error) if !matches!(error, Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs::File;
    use std::os::fd::{AsFd, BorrowedFd};

    use litebox_protocol::Reply;
    use rustix::io::Errno;
    use zerocopy::{FromBytes, IntoBytes};

    use super::{Kind, Replies, deliver};

    /// Bytes of a reply that says nothing but whether it worked.
    const REPLY: usize = size_of::<Reply>();

    /// What was tried, when the host answers with `answers` one after the other: lengths, and whether a descriptor was
    /// there. And whether a reply is owed.
    fn tried(kind: Kind, answers: &[Result<(), Errno>]) -> (Vec<(usize, bool)>, bool) {
        let file = File::open("/dev/null").unwrap_or_else(|e| panic!("{e}"));
        let tried = RefCell::new(Vec::new());
        let send = |reply: &[u8], passed: Option<BorrowedFd<'_>>| {
            let mut tried = tried.borrow_mut();
            tried.push((reply.len(), passed.is_some()));
            answers[tried.len() - 1]
        };
        let owed = deliver(kind, &[0; 120], Some(file.as_fd()), send).is_some();
        (tried.into_inner(), owed)
    }

    #[test]
    fn a_reply_goes_without_its_descriptor_or_as_an_error_or_later() {
        let (refused, full) = (Err(Errno::TOOMANYREFS), Err(Errno::NOBUFS));
        let files = |answers: &[_]| tried(Kind::Files, answers);
        assert_eq!(files(&[Ok(())]), (vec![(120, true)], false));
        assert_eq!(files(&[refused, Ok(())]), (vec![(120, true), (120, false)], false));
        assert_eq!(files(&[refused, full, Ok(())]), (vec![(120, true), (120, false), (REPLY, false)], false));
        assert_eq!(files(&[full, full, full]), (vec![(120, true), (120, false), (REPLY, false)], true));
        // Nobody is there any more.
        assert_eq!(files(&[Err(Errno::PIPE)]), (vec![(120, true)], false));
        // Without its socket a reply about the network would be wrong.
        let network = |answers: &[_]| tried(Kind::Network, answers);
        assert_eq!(network(&[refused, Ok(())]), (vec![(120, true), (20, false)], false));
        assert_eq!(network(&[refused, full, full]), (vec![(120, true), (20, false), (20, false)], true));
    }

    #[test]
    fn a_full_queue_is_waited_for() {
        let (near, far) = crate::socket::pair().unwrap_or_else(|e| panic!("{e}"));
        let mut replies = Replies::default();
        let mut sent = 0;
        let mut reply = [0; 1000];
        reply[..REPLY].copy_from_slice(Reply { number: 77, ..Reply::default() }.as_bytes());
        while !replies.are_owed() {
            replies.send(near.as_fd(), &reply, None);
            sent += 1;
        }
        assert!(!replies.settle(near.as_fd()));
        let mut buffer = [0; 1000];
        for _ in 1..sent {
            rustix::net::recv(&far, &mut buffer[..], rustix::net::RecvFlags::DONTWAIT)
                .unwrap_or_else(|e| panic!("{e}"));
        }
        assert!(replies.settle(near.as_fd()) && !replies.are_owed());
        let (len, _) = rustix::net::recv(&far, &mut buffer[..], rustix::net::RecvFlags::DONTWAIT)
            .unwrap_or_else(|e| panic!("{e}"));
        let said = Reply::read_from_prefix(&buffer).map(|(head, _)| (head.error, head.number)).ok();
        assert_eq!((len, said), (REPLY, Some((Errno::NOMEM.raw_os_error(), 77))));
        drop(far);
        replies.send(near.as_fd(), &reply, None);
        assert!(!replies.are_owed());
    }
}
