//! How questions and answers are laid out (netlink(7), rtnetlink(7)).

use alloc::vec::Vec;

use crate::{Error, Result};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_MULTI: u16 = 2;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
/// The lowest number of a message that is a question.
const FIRST_QUESTION: u16 = 0x10;
/// Size of `struct nlmsghdr`, and of an attribute's head.
const HEADER: usize = 16;
const ATTRIBUTE: usize = 4;
/// The most bytes of one message that carries parts of an answer.
const MOST_AT_ONCE: usize = 3700;

fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// The number at a place; 0 behind the end.
pub(super) fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// What a program asks.
pub(super) struct Question<'a> {
    pub kind: u16,
    flags: u16,
    sequence: u32,
    /// The head as it came, for errors.
    raw: &'a [u8],
    /// What follows the head.
    pub body: &'a [u8],
}

impl<'a> Question<'a> {
    /// The first one in `bytes`, and what follows it.
    pub fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let len = u32::from_le_bytes(number(bytes, 0)) as usize;
        let raw = bytes.get(..len).filter(|_| len >= HEADER)?;
        let question = Self {
            kind: u16::from_le_bytes(number(raw, 4)),
            flags: u16::from_le_bytes(number(raw, 6)),
            sequence: u32::from_le_bytes(number(raw, 8)),
            raw,
            body: raw.get(HEADER..).unwrap_or_default(),
        };
        Some((question, bytes.get(align(len)..).unwrap_or_default()))
    }
    /// It asks for everything there is.
    pub fn wants_all(&self) -> bool {
        self.flags & NLM_F_DUMP == NLM_F_DUMP
    }
    fn is_question(&self) -> bool {
        self.flags & NLM_F_REQUEST != 0 && self.kind >= FIRST_QUESTION
    }
    /// The attribute of a number, behind a fixed part of `fixed` bytes.
    pub fn attribute(&self, fixed: usize, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.body.get(align(fixed)..)?;
        while rest.len() >= ATTRIBUTE {
            let len = usize::from(u16::from_le_bytes(number(rest, 0)));
            let value = rest.get(ATTRIBUTE..len)?;
            if u16::from_le_bytes(number(rest, 2)) & 0x3fff == wanted {
                return Some(value);
            }
            rest = rest.get(align(len)..)?;
        }
        None
    }
}

/// One part of an answer while it is put together.
pub(super) struct Part(Vec<u8>);

impl Part {
    /// Adds an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let len = (ATTRIBUTE + value.len()) as u16;
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(&kind.to_le_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(align(self.0.len()), 0);
        self
    }
    /// Adds an attribute that is a number.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_le_bytes())
    }
}

/// What a program is answered: messages of several parts each.
pub(super) struct Answer {
    messages: Vec<Vec<u8>>,
    sequence: u32,
    port: u32,
    multi: bool,
    any: bool,
}

impl Answer {
    /// An empty answer to a question of the socket at `port`.
    pub fn to(question: &Question<'_>, port: u32) -> Self {
        Self { messages: Vec::new(), sequence: question.sequence, port, multi: question.wants_all(), any: false }
    }
    fn header(&self, kind: u16, flags: u16, body: usize) -> Vec<u8> {
        let mut raw = ((HEADER + body) as u32).to_le_bytes().to_vec();
        raw.extend_from_slice(&kind.to_le_bytes());
        raw.extend_from_slice(&flags.to_le_bytes());
        raw.extend_from_slice(&self.sequence.to_le_bytes());
        raw.extend_from_slice(&self.port.to_le_bytes());
        raw
    }
    /// Adds a part: its fixed bytes, and the attributes that `fill` adds.
    pub fn part(&mut self, kind: u16, fixed: &[u8], fill: impl FnOnce(&mut Part)) {
        let mut part = Part(fixed.to_vec());
        part.0.resize(align(part.0.len()), 0);
        fill(&mut part);
        let flags = if self.multi { NLM_F_MULTI } else { 0 };
        let mut raw = self.header(kind, flags, part.0.len());
        raw.append(&mut part.0);
        self.push(raw);
        self.any = true;
    }
    fn push(&mut self, mut raw: Vec<u8>) {
        match self.messages.last_mut() {
            Some(last) if last.len() + raw.len() <= MOST_AT_ONCE => last.append(&mut raw),
            _ => self.messages.push(raw),
        }
    }
    /// The messages to send, once the question was served with this result.
    pub fn finish(mut self, question: &Question<'_>, result: Result<()>) -> Vec<Vec<u8>> {
        if !question.is_question() {
            // Nothing that is no question has an answer, but for who wants to hear that it came.
            if question.flags & NLM_F_ACK != 0 {
                self.error(question, 0);
            }
            return self.messages;
        }
        match result {
            Err(error) => {
                self.messages.clear();
                self.error(question, error_number(error));
            }
            Ok(()) if self.multi => {
                let mut raw = self.header(NLMSG_DONE, NLM_F_MULTI, 4);
                raw.extend_from_slice(&[0; 4]);
                self.push(raw);
            }
            Ok(()) if question.flags & NLM_F_ACK != 0 || !self.any && question.flags & NLM_F_DUMP == 0 => {
                self.error(question, 0);
            }
            Ok(()) => {}
        }
        self.messages
    }
    /// `struct nlmsgerr`: the error, and the question (its head alone when nothing is wrong).
    fn error(&mut self, question: &Question<'_>, number: i32) {
        const CAPPED: u16 = 0x100;
        let quoted = if number == 0 { question.raw.get(..HEADER) } else { Some(question.raw) };
        let quoted = quoted.unwrap_or_default();
        let flags = if number == 0 { CAPPED } else { 0 };
        let mut raw = self.header(NLMSG_ERROR, flags, 4 + quoted.len());
        raw.extend_from_slice(&(-number).to_le_bytes());
        raw.extend_from_slice(quoted);
        raw.resize(align(raw.len()), 0);
        self.messages.push(raw);
    }
}

fn error_number(error: Error) -> i32 {
    error.errno()
}
