//! What is charged for what waits at a socket: the memory that Linux takes for it, not its bytes (`truesize`). So a
//! buffer of the size that socket(7) names holds as many messages here as there.

use smallvec::SmallVec;

/// What `struct sk_buff` takes.
const HEAD: usize = 256;
/// What lies behind the bytes of a buffer (`struct skb_shared_info`).
const TAIL: usize = 320;
const LINE: usize = 64;
const PAGE: usize = 4096;
/// The most bytes in one piece of memory; what is more lies in pages of its own (SKB_MAX_ALLOC).
const MOST_TOGETHER: usize = 4 * PAGE - TAIL;
/// The most bytes of pages that a buffer has (MAX_SKB_FRAGS).
const MOST_PAGES: usize = 17 * PAGE;
/// The most bytes of pages that a buffer of a stream has (UNIX_SKB_FRAGS_SZ).
const MOST_STREAM_PAGES: usize = 8 * PAGE;
/// What the smallest packet takes, and how long it may be with its headers.
const SMALL_PACKET: usize = 576;
/// Headers of UDP over IPv4, over IPv6, and of a device.
const HEADERS: usize = 28;
const HEADERS_SIX: usize = 48;
const DEVICE_HEADER: usize = 31;

/// A buffer whose bytes lie in one piece.
fn together(len: usize) -> usize {
    (len.next_multiple_of(LINE) + TAIL).next_power_of_two() + HEAD
}

/// A message of a local socket.
pub(super) fn message(len: usize) -> usize {
    let more = len.saturating_sub(MOST_TOGETHER).min(MOST_PAGES);
    let paged = more.next_multiple_of(PAGE);
    together(len.saturating_sub(paged)) + paged
}

/// What of `left` bytes of a stream goes into one buffer, where SO_SNDBUF is `limit`, and what that takes.
fn piece(left: usize, limit: usize) -> (usize, usize) {
    let len = left.min((limit / 2).saturating_sub(LINE).max(1)).min(PAGE - TAIL + MOST_STREAM_PAGES);
    let paged = len.saturating_sub(PAGE - TAIL).next_multiple_of(PAGE);
    (len, together(len.saturating_sub(paged)) + paged)
}

/// A datagram of UDP, over IPv6 (`six`) or IPv4.
pub(super) fn datagram(len: usize, six: bool) -> usize {
    let packet = len + if six { HEADERS_SIX } else { HEADERS };
    if packet >= MOST_TOGETHER {
        return SMALL_PACKET + HEAD + len;
    }
    let whole = packet + DEVICE_HEADER;
    if whole.next_multiple_of(LINE) + TAIL <= SMALL_PACKET { SMALL_PACKET + HEAD } else { together(whole) }
}

/// Buffers of the same kind, one behind the other.
#[derive(Clone, Copy)]
struct Run {
    len: usize,
    cost: usize,
    count: usize,
}

/// What was charged for bytes that wait, buffer by buffer. A buffer is given back when all of it was read.
#[derive(Default)]
pub(super) struct Charges {
    runs: SmallVec<[Run; 2]>,
    /// Runs that were given back.
    done: usize,
    /// Bytes read of the first buffer that was not.
    read: usize,
}

impl Charges {
    /// Of one message.
    pub fn message(len: usize) -> Self {
        let mut charges = Self::default();
        charges.push(len, message(len), 1);
        charges
    }
    /// Of what may be sent of `most` bytes of a stream, where buffers of `used` are taken of `limit`; and how many
    /// bytes that are. As on Linux, the last buffer may be larger than the room that is left.
    pub fn stream(most: usize, mut used: usize, limit: usize) -> (usize, Self) {
        let (mut charges, mut total) = (Self::default(), 0);
        while total < most && used < limit {
            let (len, cost) = piece(most - total, limit);
            charges.push(len, cost, 1);
            total += len;
            used += cost;
        }
        (total, charges)
    }
    fn push(&mut self, len: usize, cost: usize, count: usize) {
        match self.runs.last_mut() {
            Some(last) if last.len == len => last.count += count,
            _ => self.runs.push(Run { len, cost, count }),
        }
    }
    /// Adds those of the bytes behind.
    pub fn append(&mut self, behind: &Self) {
        for run in behind.left() {
            self.push(run.len, run.cost, run.count);
        }
    }
    fn left(&self) -> &[Run] {
        self.runs.get(self.done..).unwrap_or_default()
    }
    /// All that was not given back.
    pub fn total(&self) -> usize {
        self.left().iter().map(|run| run.cost * run.count).sum()
    }
    /// So many bytes more were read; what is given back.
    pub fn give_back(&mut self, mut bytes: usize) -> usize {
        let mut given = 0;
        while let Some(run) = self.runs.get_mut(self.done) {
            bytes += core::mem::take(&mut self.read);
            let whole = bytes.checked_div(run.len).unwrap_or(run.count).min(run.count);
            given += whole * run.cost;
            bytes -= whole * run.len;
            run.count -= whole;
            if run.count > 0 {
                self.read = bytes;
                break;
            }
            self.done += 1;
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_cost_what_linux_charges() {
        // As TIOCOUTQ tells on Linux 6.18.
        let messages = [(1, 768), (128, 768), (500, 1280), (1000, 2304), (4096, 8448), (10_000, 16640), (16384, 20736)];
        for (len, cost) in messages.into_iter().chain([(65536, 69888), (100_000, 102_656), (200_000, 200_960)]) {
            assert_eq!(message(len), cost, "{len}");
        }
        let streams = [(1, 768), (2000, 4352), (4096, 4864), (8192, 8960), (10_000, 12544), (65536, 67072)];
        for (len, cost) in streams.into_iter().chain([(100_000, 103_168), (200_000, 204_288)]) {
            let (sent, charges) = Charges::stream(len, 0, 212_992);
            assert_eq!((sent, charges.total()), (len, cost), "{len}");
        }
        let (sent, charges) = Charges::stream(200_000, 0, 16384);
        assert_eq!((sent, charges.total()), (16256, 17920));
        // As SO_MEMINFO does.
        for (len, cost) in [(0, 832), (100, 832), (500, 1280), (1400, 2304), (8000, 16640), (60_000, 60_832)] {
            assert_eq!(datagram(len, false), cost, "{len}");
        }
    }

    #[test]
    fn a_buffer_is_given_back_when_all_of_it_was_read() {
        let mut charges = Charges::default();
        for len in [10, 10, 500, 10] {
            charges.append(&Charges::stream(len, 0, 212_992).1);
        }
        assert_eq!(charges.total(), 3 * 768 + 1280);
        assert_eq!([9, 1, 15, 0].map(|n| charges.give_back(n)), [0, 768, 768, 0]);
        assert_eq!([494, 1, 10, 5].map(|n| charges.give_back(n)), [0, 1280, 768, 0]);
        assert_eq!(charges.total(), 0);
    }
}
