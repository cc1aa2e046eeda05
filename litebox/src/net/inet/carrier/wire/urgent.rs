//! Urgent data of a connection by packets: smoltcp knows nothing of them. What is sent is marked in the segments that
//! it makes, and what comes is looked at before it takes the segment.
//!
//! As on Linux, the pointer leads behind the urgent byte, one byte is urgent at a time, and it is not part of what is
//! read unless that was asked for (SO_OOBINLINE).

use super::packet::{self, FIN, SYN, Tcp};
use crate::io::Dest;
use crate::{Error, Result};

/// URG
const URG: u8 = 0x20;
/// Where the flags and the pointer lie in a header.
const FLAGS_AT: usize = 13;
const POINTER_AT: usize = 18;

/// So many bytes behind an urgent one it is forgotten: more than any window.
const FORGOTTEN: u32 = 1 << 30;

/// What is sent.
#[derive(Default)]
pub struct Sending {
    /// The number of the first byte of the stream.
    first: Option<u32>,
    /// Bytes that the program has sent.
    sent: u64,
    /// The number of the byte behind the last urgent one.
    behind: Option<u32>,
    /// The number behind the last segment, and what that acknowledged.
    numbers: (u32, u32),
}

impl Sending {
    /// The program sent `n` bytes, the last of them `urgent`.
    pub fn add(&mut self, n: usize, urgent: bool) {
        self.sent = self.sent.wrapping_add(n as u64);
        if urgent {
            self.behind = self.first.map(|first| first.wrapping_add(self.sent as u32));
        }
    }

    /// How far behind the number of a segment its pointer has to lead; `None`: nothing urgent follows.
    pub fn pointer(&self, sequence: u32) -> Option<u32> {
        let ahead = self.behind?.wrapping_sub(sequence);
        (1..1 << 31).contains(&ahead).then_some(ahead)
    }

    /// The number that comes next, as far as was sent, and the peer's.
    pub fn numbers(&self) -> (u32, u32) {
        self.numbers
    }

    /// Marks a segment that is about to be sent.
    pub fn mark(&mut self, segment: &mut [u8], tcp: &Tcp) {
        let counts = u32::from(tcp.flags & SYN != 0) + u32::from(tcp.flags & FIN != 0);
        let behind = tcp.sequence.wrapping_add((segment.len() - tcp.header) as u32).wrapping_add(counts);
        let is_later = behind.wrapping_sub(self.numbers.0) < 1 << 31;
        self.numbers = (if is_later || self.first.is_none() { behind } else { self.numbers.0 }, tcp.acknowledged);
        if tcp.flags & SYN != 0 {
            self.first = Some(tcp.sequence.wrapping_add(1));
            return;
        }
        // Numbers come again: one that lies so far behind is not sent again any more.
        let past = |behind: u32| tcp.sequence.wrapping_sub(behind);
        if self.behind.is_some_and(|behind| (FORGOTTEN..1 << 31).contains(&past(behind))) {
            self.behind = None;
        }
        let Some(ahead) = self.pointer(tcp.sequence) else { return };
        if let Some(flags) = segment.get_mut(FLAGS_AT) {
            *flags |= URG;
        }
        packet::put_word(segment, POINTER_AT, u16::try_from(ahead).unwrap_or(u16::MAX));
    }
}

/// An urgent byte.
#[derive(Clone, Copy)]
struct Mark {
    /// Its place in the stream.
    place: u64,
    /// `None`: it has not come yet.
    byte: Option<u8>,
    /// It was received by itself.
    taken: bool,
}

/// What comes.
#[derive(Default)]
pub struct Receiving {
    first: Option<u32>,
    /// How much was read of the stream.
    read: u64,
    mark: Option<Mark>,
    /// The byte is part of what is read.
    pub inline: bool,
}

impl Receiving {
    /// Looks at a segment that came, while `waits` bytes of the stream were not read, of `room` that there may be.
    /// Whether something urgent was announced.
    pub fn look(&mut self, tcp: &Tcp, segment: &[u8], waits: usize, room: usize) -> bool {
        if tcp.flags & SYN != 0 {
            self.first = self.first.or(Some(tcp.sequence.wrapping_add(1)));
            return false;
        }
        let is_new = tcp.flags & URG != 0 && self.is_near(tcp, waits, room) && self.announced(tcp, segment, waits);
        if let Some(mark) = self.mark.filter(|mark| mark.byte.is_none()) {
            let place =
                self.number(mark.place).and_then(|number| usize::try_from(number.wrapping_sub(tcp.sequence)).ok());
            let byte = place.and_then(|place| segment.get(tcp.header.checked_add(place)?).copied());
            self.mark = Some(Mark { byte, ..mark });
        }
        is_new
    }

    /// The number of the byte at a place of the stream.
    fn number(&self, place: u64) -> Option<u32> {
        self.first.map(|first| first.wrapping_add(place as u32))
    }

    /// Whether a segment is one that the peer may send now, or may have sent before.
    fn is_near(&self, tcp: &Tcp, waits: usize, room: usize) -> bool {
        let Some(next) = self.number(self.read.wrapping_add(waits as u64)) else { return false };
        let ahead = i64::from(tcp.sequence.wrapping_sub(next) as i32);
        (-(1 << 16)..=room as i64).contains(&ahead)
    }

    fn announced(&mut self, tcp: &Tcp, segment: &[u8], waits: usize) -> bool {
        let pointer = u32::from(packet::word(segment, POINTER_AT).unwrap_or(0));
        let number = tcp.sequence.wrapping_add(pointer.saturating_sub(1));
        let Some(next) = self.number(self.read) else { return false };
        // What is read or has come is not urgent any more; what lies further ahead than any window is nonsense.
        let ahead = number.wrapping_sub(next);
        if ahead >= 1 << 30 || (ahead as usize) < waits {
            return false;
        }
        let place = self.read.wrapping_add(ahead.into());
        if self.mark.is_some_and(|mark| mark.place == place) {
            return false;
        }
        self.mark = Some(Mark { place, byte: None, taken: false });
        true
    }

    /// Bytes up to the urgent one, if it is ahead.
    pub fn before_mark(&self) -> Option<usize> {
        usize::try_from(self.mark?.place.checked_sub(self.read)?).ok()
    }

    /// The urgent byte comes next.
    pub fn at_mark(&self) -> bool {
        self.before_mark() == Some(0)
    }

    /// The urgent byte comes next, and is left out.
    pub fn skips(&self) -> bool {
        self.at_mark() && !self.inline
    }

    /// It can be received by itself.
    pub fn is_there(&self) -> bool {
        self.mark.is_some_and(|mark| mark.byte.is_some() && !mark.taken)
    }

    /// `n` bytes of the stream were read.
    pub fn advance(&mut self, n: usize) {
        self.read = self.read.wrapping_add(n as u64);
        if self.mark.is_some_and(|mark| mark.place < self.read) {
            self.mark = None;
        }
    }

    /// Receives the byte by itself (MSG_OOB). `finished`: nothing more will come.
    pub fn take(&mut self, dest: &mut Dest<'_>, peek: bool, finished: bool) -> Result<usize> {
        let mark = self.mark.filter(|mark| !mark.taken && !self.inline).ok_or(Error::Invalid)?;
        let Some(byte) = mark.byte else {
            return if finished { Ok(0) } else { Err(Error::WouldBlock) };
        };
        let copied = dest.put(&[byte])?;
        if !peek {
            self.mark = Some(Mark { taken: true, ..mark });
        }
        Ok(copied)
    }
}

#[cfg(test)]
mod tests {
    use super::{FLAGS_AT, Sending, URG};
    use crate::net::inet::carrier::wire::packet::{SYN, Tcp};

    /// Whether the segment of one byte at this number is marked.
    fn is_marked(sending: &mut Sending, sequence: u32, flags: u8) -> bool {
        let mut segment = [0; 21];
        let tcp = Tcp { from: 1, to: 2, sequence, acknowledged: 0, flags, header: 20 };
        sending.mark(&mut segment, &tcp);
        segment[FLAGS_AT] & URG != 0
    }

    #[test]
    fn an_urgent_byte_is_announced_once_in_all_numbers() {
        let mut sending = Sending::default();
        assert!(!is_marked(&mut sending, 99, SYN));
        sending.add(1, true);
        assert!(is_marked(&mut sending, 100, 0) && !is_marked(&mut sending, 101, 0));
        for sequence in (101..u32::MAX - (1 << 29)).step_by(1 << 28).chain([98, 99, 100]) {
            assert!(!is_marked(&mut sending, sequence, 0), "{sequence}");
        }
    }
}
