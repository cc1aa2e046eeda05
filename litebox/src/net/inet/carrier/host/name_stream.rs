//! A connection to the sandbox's name server: messages behind their length (RFC 7766).

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use super::HostNetwork;
use super::names::{self, Asker, Asking};
use crate::event::{Events, WaitQueue};
use crate::io::{Dest, Source};
use crate::net::inet::carrier::{Closing, StreamCarrier, TcpState};
use crate::net::{MessageFlags, Shut};
use crate::sync::Mutex;
use crate::{Error, Result};

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);
/// Longest message, with its length: that of a question and no more.
const MOST_ASKED: usize = 2 + 1024;
/// Replies that wait to be read.
const MOST_REPLIES: usize = 64 << 10;

#[derive(Default)]
struct State {
    /// What came of the next question.
    asked: Vec<u8>,
    replies: Vec<u8>,
    shut: Shut,
    closed: bool,
}

/// One connection.
pub(super) struct NameStream {
    own: Weak<Self>,
    network: Weak<HostNetwork>,
    queue: Arc<WaitQueue>,
    state: Mutex<State>,
}

impl NameStream {
    pub fn new(network: &Arc<HostNetwork>, queue: &Arc<WaitQueue>) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: own.clone(),
            network: Arc::downgrade(network),
            queue: queue.clone(),
            state: Mutex::default(),
        })
    }

    /// A reply for who reads here.
    pub fn reply(&self, message: &[u8]) {
        let mut state = self.state.lock();
        let len = u16::try_from(message.len()).unwrap_or(0);
        if state.replies.len() + message.len() > MOST_REPLIES || len == 0 {
            // Who asks and asks and reads nothing.
            state.closed = true;
        } else {
            state.replies.extend_from_slice(&len.to_be_bytes());
            state.replies.extend_from_slice(message);
        }
        drop(state);
        self.queue.notify(READABLE);
    }

    /// The next whole question of what came.
    fn next_question(state: &mut State) -> Option<Vec<u8>> {
        let (len, rest) = state.asked.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len));
        let question = rest.get(..len)?.to_vec();
        state.asked.drain(..2 + len);
        Some(question)
    }

    fn take_questions(&self) {
        loop {
            let Some(question) = Self::next_question(&mut self.state.lock()) else { return };
            match names::take(&question, true) {
                Asking::Nobody => self.state.lock().closed = true,
                Asking::Answered(reply) => self.reply(&reply),
                Asking::Addresses(question) => {
                    if let Some(network) = self.network.upgrade() {
                        network.ask_broker(Asker::stream(question, self.own.clone()));
                    }
                }
            }
        }
    }
}

impl StreamCarrier for NameStream {
    fn state(&self) -> TcpState {
        let state = self.state.lock();
        match (state.closed, state.shut.contains(Shut::WRITE)) {
            (true, _) => TcpState::Closed,
            (false, true) => TcpState::FinWait2,
            (false, false) => TcpState::Established,
        }
    }
    fn send(&self, source: &mut Source<'_>, flags: MessageFlags) -> Result<usize> {
        if flags.contains(MessageFlags::MSG_OOB) {
            return Err(Error::NotSupported);
        }
        // Guest memory is touched without the lock.
        let mut bytes = alloc::vec![0; source.remaining().min(MOST_ASKED)];
        source.take_whole(&mut bytes)?;
        let len = bytes.len();
        let mut state = self.state.lock();
        if state.closed || state.shut.contains(Shut::WRITE) {
            return Err(Error::BrokenPipe);
        }
        state.asked.append(&mut bytes);
        // A question that is longer than any is none.
        let wanted = state.asked.first_chunk::<2>().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
        state.closed = wanted + 2 > MOST_ASKED;
        drop(state);
        self.take_questions();
        Ok(len)
    }
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<usize> {
        let mut state = self.state.lock();
        let n = state.replies.len().min(dest.remaining());
        if n == 0 {
            let ended = state.closed || state.shut.contains(Shut::READ);
            return if ended { Ok(0) } else { Err(Error::WouldBlock) };
        }
        let bytes = state.replies.get(..n).unwrap_or_default().to_vec();
        drop(state);
        let copied = dest.put(&bytes)?;
        if !flags.contains(MessageFlags::MSG_PEEK) {
            state = self.state.lock();
            let copied = copied.min(state.replies.len());
            state.replies.drain(..copied);
        }
        Ok(copied)
    }
    fn ready(&self) -> Events {
        let state = self.state.lock();
        let mut events = WRITABLE;
        events.set(READABLE, !state.replies.is_empty() || state.closed || state.shut.contains(Shut::READ));
        events.set(Events::RDHUP, state.closed || state.shut.contains(Shut::READ));
        events.set(Events::HUP, state.closed || state.shut == Shut::all());
        events
    }
    fn shutdown(&self, how: Shut) -> Result<()> {
        self.state.lock().shut |= how;
        Ok(())
    }
    fn close(&self, _how: Closing) {
        self.state.lock().closed = true;
    }
    fn take_error(&self) -> i32 {
        0
    }
    fn readable(&self) -> usize {
        self.state.lock().replies.len()
    }
    fn unsent(&self) -> usize {
        0
    }
}
