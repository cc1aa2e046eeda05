//! The bytes in a pipe: a ring of pages, filled and emptied as Linux does it.
//!
//! What a pipe can hold is counted in pages and not in bytes: a short write goes into the last page while there is room
//! for all of it, and takes a page of its own otherwise. So a write of at most one page goes in whole or not at all.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::io::{Dest, Source};
use crate::mm::PAGE;
use crate::sync::ChangeMark;
use crate::{Error, Result};

/// Empty pages that are kept for the next writes.
const MOST_SPARE: usize = 4;

/// Bytes of one page.
pub(super) type Page = Box<[u8]>;

/// A page of zeros.
pub(super) fn new_page() -> Result<Page> {
    let mut page = Vec::new();
    page.try_reserve_exact(PAGE).map_err(|_| Error::NoMemory)?;
    page.resize(PAGE, 0);
    Ok(page.into_boxed_slice())
}

/// How a page came to be here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// By a write: the next one may add to it.
    Bytes,
    /// By splice(2) and its kin: nothing is added.
    Foreign,
    /// A message of its own: nothing is added, and what one read leaves of it is lost.
    Packet,
}

/// A page with the bytes of it that were not read yet.
pub(super) struct RingSlot {
    pub page: Page,
    pub start: usize,
    pub len: usize,
    pub kind: PageKind,
}

impl RingSlot {
    pub fn bytes(&self) -> &[u8] {
        self.page.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

/// A copy of the first `n` bytes of a page.
fn part(slot: &RingSlot, n: usize) -> Result<RingSlot> {
    let mut page = new_page()?;
    for (to, from) in page.iter_mut().zip(slot.bytes().iter().take(n)) {
        *to = *from;
    }
    let kind = if slot.kind == PageKind::Packet { PageKind::Packet } else { PageKind::Foreign };
    Ok(RingSlot { page, start: 0, len: n, kind })
}

/// A ring of pages.
pub(super) struct Ring {
    slots: VecDeque<RingSlot>,
    limit: usize,
    spare: Vec<Page>,
}

impl Ring {
    /// An empty ring of at most `limit` pages.
    pub fn new(limit: usize) -> Self {
        Self { slots: VecDeque::new(), limit, spare: Vec::new() }
    }
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.limit
    }
    /// Pages it can hold.
    pub fn limit(&self) -> usize {
        self.limit
    }
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.len).sum()
    }
    /// Pages that still fit.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.slots.len())
    }
    /// Adds pages, whether or not they fit.
    pub fn append(&mut self, mut pages: VecDeque<RingSlot>) -> Result<()> {
        self.slots.try_reserve(pages.len()).map_err(|_| Error::NoMemory)?;
        self.slots.append(&mut pages);
        Ok(())
    }
    /// Puts pages before all others.
    pub fn prepend(&mut self, mut pages: VecDeque<RingSlot>) -> Result<()> {
        pages.try_reserve(self.slots.len()).map_err(|_| Error::NoMemory)?;
        pages.append(&mut self.slots);
        self.slots = pages;
        Ok(())
    }
    /// Takes the first `len` bytes out, in at most `count` pages. A page that is wanted in part is copied.
    pub fn detach(&mut self, len: usize, count: usize) -> Result<VecDeque<RingSlot>> {
        let mut out = VecDeque::new();
        let mut left = len;
        out.try_reserve(self.slots.len().min(count)).map_err(|_| Error::NoMemory)?;
        while out.len() < count && left > 0 {
            let Some(first) = self.slots.front_mut() else { break };
            if first.len > left {
                out.push_back(part(first, left)?);
                first.start += left;
                first.len -= left;
                break;
            }
            left -= first.len;
            out.extend(self.slots.pop_front());
        }
        Ok(out)
    }
    /// Copies of the first `len` bytes, in at most `count` pages.
    pub fn copy(&self, len: usize, count: usize) -> Result<VecDeque<RingSlot>> {
        let mut out = VecDeque::new();
        let mut left = len;
        out.try_reserve(self.slots.len().min(count)).map_err(|_| Error::NoMemory)?;
        for slot in self.slots.iter().take(count) {
            if left == 0 {
                break;
            }
            let copy = part(slot, slot.len.min(left))?;
            left -= copy.len;
            out.push_back(copy);
        }
        Ok(out)
    }
    /// What is in it; it is empty then.
    pub fn take(&mut self) -> Self {
        core::mem::replace(self, Self::new(self.limit))
    }
    /// Changes how many pages it can hold; `Busy` when there are more in it.
    pub fn resize(&mut self, limit: usize) -> Result<()> {
        if limit < self.slots.len() {
            return Err(Error::Busy);
        }
        self.limit = limit;
        Ok(())
    }

    fn keep(&mut self, page: Page) {
        if self.spare.len() < MOST_SPARE && self.spare.try_reserve(1).is_ok() {
            self.spare.push(page);
        }
    }
    fn push(&mut self, slot: RingSlot) -> Result<()> {
        self.slots.try_reserve(1).map_err(|_| Error::NoMemory)?;
        self.slots.push_back(slot);
        Ok(())
    }

    /// Moves bytes into `dest`, at most one packet. 0: there is nothing, or no room in `dest`. A page that cannot be
    /// copied as a whole stays.
    pub fn read(&mut self, dest: &mut Dest<'_>, mark: &ChangeMark<'_>) -> Result<usize> {
        let mut done = 0;
        while dest.remaining() > 0 {
            let Some(slot) = self.slots.front_mut() else { break };
            let n = slot.len.min(dest.remaining());
            let moved = slot.bytes().get(..n).map_or(Ok(()), |bytes| dest.put_whole(bytes));
            match moved {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
            done += n;
            if mark.change(|| self.consume(n)) {
                break;
            }
        }
        Ok(done)
    }

    /// The first `n` bytes of the first page were read, and that is all that is read of a packet. Whether it was one.
    fn consume(&mut self, n: usize) -> bool {
        let Some(slot) = self.slots.front_mut() else { return false };
        slot.start += n;
        slot.len -= n;
        let packet = slot.kind == PageKind::Packet;
        if packet || slot.len == 0 {
            if let Some(slot) = self.slots.pop_front() {
                self.keep(slot.page);
            }
        }
        packet
    }

    /// Takes bytes from `source` as long as there is room. `WouldBlock`: there is none; `Fault` when nothing could be
    /// taken.
    pub fn write(&mut self, source: &mut Source<'_>, packet: bool, mark: &ChangeMark<'_>) -> Result<usize> {
        let mut done = 0;
        if !packet {
            done = self.extend_last(source, mark)?;
        }
        while source.remaining() > 0 {
            if self.is_full() {
                return if done > 0 { Ok(done) } else { Err(Error::WouldBlock) };
            }
            match self.add_page(source, packet, mark) {
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// The part of a write that makes no full page goes behind the last bytes, if all of it fits there.
    fn extend_last(&mut self, source: &mut Source<'_>, mark: &ChangeMark<'_>) -> Result<usize> {
        let n = source.remaining() % PAGE;
        let Some(last) = self.slots.back_mut().filter(|last| n > 0 && last.kind == PageKind::Bytes) else {
            return Ok(0);
        };
        let end = last.start + last.len;
        let Some(room) = last.page.get_mut(end..end + n) else { return Ok(0) };
        source.take_whole(room)?;
        mark.change(|| last.len += n);
        Ok(n)
    }

    fn add_page(&mut self, source: &mut Source<'_>, packet: bool, mark: &ChangeMark<'_>) -> Result<usize> {
        let n = source.remaining().min(PAGE);
        // Its bytes are whatever they were.
        let spare = mark.change(|| self.spare.pop());
        let mut page = spare.map_or_else(new_page, Ok)?;
        let taken = page.get_mut(..n).map_or(Err(Error::Fault), |room| source.take_whole(room));
        if let Err(error) = taken {
            mark.change(|| self.keep(page));
            return Err(error);
        }
        let kind = if packet { PageKind::Packet } else { PageKind::Bytes };
        mark.change(|| self.push(RingSlot { page, start: 0, len: n, kind }))?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use crate::Error;
    use crate::io::{Dest, Source};
    use crate::mm::PAGE;
    use crate::sync::Mutex;

    fn write(ring: &mut Ring, bytes: &[u8], packet: bool) -> crate::Result<usize> {
        ring.write(&mut Source::kernel(bytes), packet, &Mutex::new(()).lock().with_mark().1)
    }
    fn read(ring: &mut Ring, most: usize) -> alloc::vec::Vec<u8> {
        let mut out = alloc::vec![0; most];
        let n = ring.read(&mut Dest::kernel(&mut out), &Mutex::new(()).lock().with_mark().1).unwrap_or(0);
        out.truncate(n);
        out
    }

    #[test]
    fn short_writes_share_pages_and_long_ones_do_not() {
        let mut ring = Ring::new(2);
        for _ in 0..2 * PAGE {
            assert_eq!(write(&mut ring, b"x", false), Ok(1));
        }
        assert_eq!(write(&mut ring, b"x", false), Err(Error::WouldBlock));
        assert_eq!(read(&mut ring, 2 * PAGE).len(), 2 * PAGE);
        let long = [1u8; PAGE - 1];
        assert_eq!(write(&mut ring, &long, false), Ok(PAGE - 1));
        assert_eq!(write(&mut ring, &long, false), Ok(PAGE - 1));
        assert_eq!(write(&mut ring, &long, false), Err(Error::WouldBlock));
        assert_eq!(write(&mut ring, b"x", false), Ok(1));
        assert_eq!(ring.len(), 2 * PAGE - 1);
        assert_eq!(ring.resize(1), Err(Error::Busy));
    }

    #[test]
    fn a_packet_is_read_alone_and_cut() {
        let mut ring = Ring::new(4);
        assert_eq!(write(&mut ring, b"hello", true), Ok(5));
        assert_eq!(write(&mut ring, b"bytes", false), Ok(5));
        assert_eq!(write(&mut ring, b" follow", false), Ok(7));
        assert_eq!(read(&mut ring, 3), b"hel");
        assert_eq!(read(&mut ring, 100), b"bytes follow");
        assert!(ring.is_empty());
    }
}
