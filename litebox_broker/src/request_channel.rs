//! Where requests come from and replies go: a socket, and beside it a page while both sides are awake.
//!
//! Who asks has its reply before it asks again, so of requests that want a reply there is one at a time in the two ways
//! together. What wants none may be overtaken by one in the page.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox_protocol::adaptive_spin::AdaptiveSpin;
use rustix::io::Errno;

use crate::replies::Replies;
use crate::request_page::MappedPage;
use crate::socket::{BUFFER, receive};
use crate::spin::{Apart, OwnProcessor, look_for_a_while};

/// How often the page is looked into before the socket is: a fraction of a microsecond,
const FEW_LOOKS: usize = 16;
/// and some of them when the last request came by the page.
const MANY_LOOKS: usize = 200;

/// The ways of requests.
pub struct RequestChannel {
    socket: OwnedFd,
    page: MappedPage,
    replies: Replies,
    buffer: Vec<u8>,
    /// Whether the next request is looked for before we fall asleep.
    spin: AdaptiveSpin,
    /// On which processor we do that.
    processor: OwnProcessor,
    /// How often the page is looked into before the socket is.
    looks: usize,
}

/// A request, without its bytes ([`RequestChannel::bytes`]).
pub struct Incoming {
    len: usize,
    /// The descriptor that came along.
    pub passed: Option<OwnedFd>,
    /// It came by the page, and this goes with its reply.
    ticket: Option<u32>,
}

impl Incoming {
    /// The other end of the socket is closed.
    pub fn is_end(&self) -> bool {
        self.len == 0 && self.ticket.is_none()
    }
}

impl RequestChannel {
    /// Those of a socket, to which this page belongs.
    pub fn new(socket: OwnedFd, page: MappedPage) -> Self {
        Self {
            socket,
            page,
            replies: Replies::default(),
            buffer: vec![0; BUFFER],
            spin: AdaptiveSpin::eager(),
            processor: OwnProcessor::of_this_thread(),
            looks: FEW_LOOKS,
        }
    }
    /// The socket, to wait for.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
    /// Whether a request is in the page. Who does not look there any more sees what came before that.
    pub fn is_posted(&self) -> bool {
        self.page.is_posted()
    }
    /// Whether a reply waits to be sent.
    pub fn owe_reply(&self) -> bool {
        self.replies.are_owed()
    }
    /// Sends what is owed. `false`: not possible yet.
    pub fn settle(&mut self) -> bool {
        self.replies.settle(self.socket.as_fd())
    }

    /// The next request; with `look`, also one that comes soon, if looking for it is likely to pay. Who does not come
    /// again says so ([`RequestChannel::look_no_more`]).
    pub fn next(&mut self, look: bool) -> Result<Incoming, Errno> {
        let mut got = self.receive();
        if look && matches!(got, Err(Errno::AGAIN)) {
            got = self.look_for_next();
        }
        if let Ok(came) = &got {
            self.looks = if came.ticket.is_some() { MANY_LOOKS } else { FEW_LOOKS };
            self.processor.note_request();
        }
        got
    }
    fn receive(&mut self) -> Result<Incoming, Errno> {
        if let Some(taken) = self.page.take(&mut self.buffer) {
            return Ok(Incoming { len: taken.len, passed: None, ticket: Some(taken.ticket) });
        }
        receive(self.socket.as_fd(), &mut self.buffer, false).map(|(len, passed)| Incoming {
            len,
            passed,
            ticket: None,
        })
    }
    fn look_for_next(&mut self) -> Result<Incoming, Errno> {
        let apart = self.processor.apart_from(self.page.asked_on());
        if matches!(apart, Apart::Moved(_)) {
            self.spin = AdaptiveSpin::eager();
        }
        let mut got = Err(Errno::AGAIN);
        // Taken out, because looking needs all the rest.
        let spin = std::mem::take(&mut self.spin);
        let outcome = spin.try_spin_for(|| {
            self.page.look(apart.processor());
            look_for_a_while(|| {
                let may_come = apart.processor().is_some();
                (0..if may_come { self.looks } else { 0 }).any(|_| {
                    std::hint::spin_loop();
                    self.page.is_posted()
                });
                got = self.receive();
                !matches!(got, Err(Errno::AGAIN))
            })
        });
        self.spin = spin;
        if let (Some(outcome), Some(_)) = (outcome, apart.processor()) {
            self.processor.learn(apart, outcome);
        }
        got
    }
    /// From here on requests come by the socket, but for one that may be in the page already.
    pub fn look_no_more(&self) {
        self.page.look(None);
    }

    /// The bytes of a request that came.
    pub fn bytes(&self, came: &Incoming) -> &[u8] {
        self.buffer.get(..came.len).unwrap_or_default()
    }
    /// Answers the request that came last: by the page, as long as somebody looks there and it can carry the reply.
    pub fn answer(&mut self, came: &Incoming, reply: Option<&[u8]>, passed: Option<BorrowedFd<'_>>) {
        if let Some(reply) = reply {
            let by_page = came.ticket.filter(|_| passed.is_none());
            if !by_page.is_some_and(|ticket| self.page.answer(ticket, reply)) {
                self.replies.send(self.socket.as_fd(), reply, passed);
                if let Some(ticket) = came.ticket {
                    self.page.sent(ticket);
                }
            }
        }
        self.processor.note_answer();
    }
}
