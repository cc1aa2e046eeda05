//! The way back to the sandbox. A reply always arrives, as long as somebody is there to take it: whoever asked waits for it, and would wait for ever.
//!
//! The host may refuse to carry a descriptor (`ETOOMANYREFS`: the user's programs have too many in flight, unix(7)): the reply then goes without it. It may
//! have no memory for a long message (`ENOBUFS`), or find the queue full (`EAGAIN`): then its error goes, now or later, and until then no
//! further request is taken from that socket.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use litebox_protocol::Reply;
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::socket::send;

/// After so long an owed reply is sent again.
pub const PAUSE: Duration = Duration::from_millis(5);

/// The replies of one socket.
#[derive(Debug, Default)]
pub struct Replies {
    /// The error that is still to be told.
    owed: Option<Reply>,
}

impl Replies {
    /// Sends a reply and what goes with it.
    pub fn send(&mut self, socket: BorrowedFd<'_>, reply: &[u8], passed: Option<BorrowedFd<'_>>) {
        self.owed = deliver(reply, passed, |reply, passed| send(socket, reply, passed));
    }
    /// Sends what is owed. `false`: not possible yet.
    pub fn settle(&mut self, socket: BorrowedFd<'_>) -> bool {
        if let Some(owed) = self.owed.take() {
            self.send(socket, owed.as_bytes(), None);
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
    reply: &[u8],
    passed: Option<BorrowedFd<'_>>,
    send: impl Fn(&[u8], Option<BorrowedFd<'_>>) -> Result<(), Errno>,
) -> Option<Reply> {
    let mut sent = send(reply, passed);
    if passed.is_some() && is_worth_another(sent) {
        sent = send(reply, None);
    }
    if !is_worth_another(sent) {
        return None;
    }
    let error = Reply { error: Errno::NOMEM.raw_os_error(), ..Reply::default() };
    is_worth_another(send(error.as_bytes(), None)).then_some(error)
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

    use rustix::io::Errno;

    use super::{Replies, deliver};

    /// What was tried, when the host answers with `answers` one after the other: lengths, and whether a descriptor was there. And whether
    /// a reply is owed.
    fn tried(answers: &[Result<(), Errno>]) -> (Vec<(usize, bool)>, bool) {
        let file = File::open("/dev/null").unwrap_or_else(|e| panic!("{e}"));
        let tried = RefCell::new(Vec::new());
        let send = |reply: &[u8], passed: Option<BorrowedFd<'_>>| {
            let mut tried = tried.borrow_mut();
            tried.push((reply.len(), passed.is_some()));
            answers[tried.len() - 1]
        };
        let owed = deliver(&[0; 120], Some(file.as_fd()), send).is_some();
        (tried.into_inner(), owed)
    }

    #[test]
    fn a_reply_goes_without_its_descriptor_or_as_an_error_or_later() {
        let (refused, full) = (Err(Errno::TOOMANYREFS), Err(Errno::NOBUFS));
        assert_eq!(tried(&[Ok(())]), (vec![(120, true)], false));
        assert_eq!(tried(&[refused, Ok(())]), (vec![(120, true), (120, false)], false));
        assert_eq!(tried(&[refused, full, Ok(())]), (vec![(120, true), (120, false), (24, false)], false));
        assert_eq!(tried(&[full, full, full]), (vec![(120, true), (120, false), (24, false)], true));
        // Nobody is there any more.
        assert_eq!(tried(&[Err(Errno::PIPE)]), (vec![(120, true)], false));
    }

    #[test]
    fn a_full_queue_is_waited_for() {
        let (near, far) = crate::socket::pair().unwrap_or_else(|e| panic!("{e}"));
        let mut replies = Replies::default();
        let mut sent = 0;
        while !replies.are_owed() {
            replies.send(near.as_fd(), &[7; 1000], None);
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
        assert_eq!((len, buffer.first()), (24, Some(&(Errno::NOMEM.raw_os_error() as u8))));
        drop(far);
        replies.send(near.as_fd(), &[7; 1000], None);
        assert!(!replies.are_owed());
    }
}
