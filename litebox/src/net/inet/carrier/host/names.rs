//! The sandbox's name server: this kernel, at an address of its own. It takes questions apart (RFC 1035; RFC 6891 for
//! how long replies may be), asks the broker for addresses of names, which decides by its rules, and puts replies
//! together.
//!
//! Addresses are all there is: other kinds of records are answered as not there, so that no name leaves the sandbox by
//! them.

use alloc::string::String;
use alloc::sync::Weak;
use alloc::vec::Vec;
use core::net::SocketAddr;

use litebox_protocol::net::Answer;
use zerocopy::FromBytes;

use super::name_stream::NameStream;
use crate::net::PacketInfo;
use crate::net::inet::carrier::{Datagram, Inlet};
use crate::net::inet::routes::OUTWARD;
use crate::platform::{ClockId, host};

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;
const NO_ERROR: u8 = 0;
const FORMAT_ERROR: u8 = 1;
const SERVER_FAILURE: u8 = 2;
const NO_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
const REFUSED: u8 = 5;
/// Longest reply over UDP to who does not say that it takes more, and to who does.
const SHORT: usize = 512;
const LONG: usize = 1232;

/// A question for addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    /// Number and flags, as asked.
    id: [u8; 2],
    recursion: bool,
    /// Name, type and class, as asked.
    section: Vec<u8>,
    name: String,
    six: bool,
    /// The longest reply.
    limit: usize,
    /// It says how long replies may be.
    extended: bool,
}

/// What a message asks.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Asking {
    /// Nothing: it is no question.
    Nobody,
    /// What is answered without asking anybody.
    Answered(Vec<u8>),
    /// Addresses.
    Addresses(Question),
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*two))
}

/// The name at `at`, and where it ends. Names in questions are not compressed.
fn name_at(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1;
        if len == 0 {
            return Some((name, at));
        }
        if len > 63 || name.len() + len > 254 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in bytes.get(at..at + len)? {
            // What is no letter of a name of a host makes it none; the broker says so. A dot within would make it
            // another one.
            name.push(if byte.is_ascii_graphic() && *byte != b'.' { char::from(*byte) } else { ' ' });
        }
        at += len;
    }
}

/// How long replies may be, from the record behind the question, if there is one.
fn extension(bytes: &[u8], at: usize) -> Option<usize> {
    let root = *bytes.get(at)? == 0 && number(bytes, at + 1)? == TYPE_OPT;
    root.then(|| number(bytes, at + 3)).flatten().map(usize::from)
}

/// Takes a message apart; `stream`: it came over TCP.
pub(super) fn take(bytes: &[u8], stream: bool) -> Asking {
    let (Some(header), Some(flags)) = (bytes.get(..HEADER), number(bytes, 2)) else { return Asking::Nobody };
    // Replies are nobody's business here.
    if flags & 0x8000 != 0 {
        return Asking::Nobody;
    }
    let id = [header[0], header[1]];
    let mut question = Question {
        id,
        recursion: flags & 0x0100 != 0,
        section: Vec::new(),
        name: String::new(),
        six: false,
        limit: if stream { usize::from(u16::MAX) } else { SHORT },
        extended: false,
    };
    let plain = |question: &Question, code| Asking::Answered(question.reply(code, 0, &[]));
    if flags & 0x7800 != 0 {
        return plain(&question, NOT_IMPLEMENTED);
    }
    let whole = name_at(bytes, HEADER).and_then(|(name, end)| {
        let (kind, class) = (number(bytes, end)?, number(bytes, end + 2)?);
        Some((name, kind, class, end + 4))
    });
    let one = number(bytes, 4) == Some(1);
    let Some((name, kind, class, end)) = whole.filter(|_| one) else { return plain(&question, FORMAT_ERROR) };
    question.section = bytes.get(HEADER..end).unwrap_or_default().to_vec();
    let additional = number(bytes, 6) == Some(0) && number(bytes, 8) == Some(0) && number(bytes, 10) > Some(0);
    if let Some(size) = extension(bytes, end).filter(|_| additional) {
        question.extended = true;
        question.limit = question.limit.max(size.min(LONG));
    }
    question.name = name;
    question.six = kind == TYPE_AAAA;
    match (class, kind) {
        (CLASS_IN, TYPE_A | TYPE_AAAA) if !question.name.is_empty() => Asking::Addresses(question),
        (CLASS_IN, TYPE_PTR) => plain(&question, NO_NAME),
        (CLASS_IN, _) => plain(&question, NO_ERROR),
        _ => plain(&question, REFUSED),
    }
}

impl Question {
    /// The reply with these addresses (16 bytes each), as many as fit.
    fn reply(&self, code: u8, ttl: u32, addresses: &[[u8; 16]]) -> Vec<u8> {
        let record = if self.six { 28 } else { 16 };
        let options = if self.extended { 11 } else { 0 };
        let room = self.limit.saturating_sub(HEADER + self.section.len() + options) / record;
        let fits = addresses.len() <= room;
        let shown = if fits { addresses } else { &[] };
        let mut out = Vec::with_capacity(HEADER + self.section.len() + options + shown.len() * record);
        out.extend_from_slice(&self.id);
        // A reply; cut, if they do not fit; recursion as it was wanted, and available.
        out.push(0x80 | if fits { 0 } else { 2 } | u8::from(self.recursion));
        out.push(0x80 | code);
        let questions = u16::from(!self.section.is_empty());
        for count in [questions, shown.len() as u16, 0, u16::from(self.extended)] {
            out.extend_from_slice(&count.to_be_bytes());
        }
        out.extend_from_slice(&self.section);
        for address in shown {
            let (kind, bytes) = if self.six { (TYPE_AAAA, &address[..]) } else { (TYPE_A, &address[12..]) };
            // The name of the question.
            out.extend_from_slice(&[0xc0, HEADER as u8]);
            out.extend_from_slice(&kind.to_be_bytes());
            out.extend_from_slice(&CLASS_IN.to_be_bytes());
            out.extend_from_slice(&ttl.to_be_bytes());
            out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        if self.extended {
            out.extend_from_slice(&[0, 0, TYPE_OPT as u8, (LONG >> 8) as u8, LONG as u8, 0, 0, 0, 0, 0, 0]);
        }
        out
    }

    /// The reply to what the broker answered; nothing: it did not.
    fn reply_to(&self, answer: &[u8]) -> Vec<u8> {
        let Ok((head, rest)) = Answer::read_from_prefix(answer) else { return self.reply(SERVER_FAILURE, 0, &[]) };
        let addresses: Vec<[u8; 16]> =
            rest.chunks_exact(16).take(head.count as usize).filter_map(|a| a.try_into().ok()).collect();
        let code = match head.code {
            0 => NO_ERROR,
            3 => NO_NAME,
            _ => SERVER_FAILURE,
        };
        self.reply(code, head.ttl, &addresses)
    }
}

/// Who wants the reply.
enum Back {
    Datagram { local: SocketAddr, server: SocketAddr, inlet: Weak<dyn Inlet> },
    Stream(Weak<NameStream>),
}

/// A question, and who asks it.
pub(super) struct Asker {
    question: Question,
    back: Back,
}

impl Asker {
    /// It came to `server` from the socket of `inlet`, bound to `local`.
    pub fn datagram(question: Question, local: SocketAddr, server: SocketAddr, inlet: Weak<dyn Inlet>) -> Self {
        Self { question, back: Back::Datagram { local, server, inlet } }
    }
    /// It came by a connection.
    pub fn stream(question: Question, stream: Weak<NameStream>) -> Self {
        Self { question, back: Back::Stream(stream) }
    }
    /// The name.
    pub fn name(&self) -> String {
        self.question.name.clone()
    }
    /// Whether addresses of IPv6 are wanted.
    pub fn wants_six(&self) -> bool {
        self.question.six
    }
    /// The broker said this.
    pub fn answered(self, answer: &[u8]) {
        let reply = self.question.reply_to(answer);
        match self.back {
            Back::Datagram { local, server, inlet } => {
                let Some(inlet) = inlet.upgrade() else { return };
                let stamp = host().now(ClockId::Realtime);
                let info = PacketInfo { to: local, interface: OUTWARD, ttl: 64, tos: 0, stamp, segment: None };
                inlet.datagram(&Datagram { bytes: &reply, from: server, info });
            }
            Back::Stream(stream) => {
                if let Some(stream) = stream.upgrade() {
                    stream.reply(&reply);
                }
            }
        }
    }
}
