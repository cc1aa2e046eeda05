//! Pages of a pipe on their way: what splice(2), tee(2) and vmsplice(2) move without a copy where they can.

use alloc::collections::VecDeque;
use core::sync::atomic::Ordering;

use super::ring::{PageKind, RingSlot, new_page};
use super::{PipeEnd, READABLE, WRITABLE};
use crate::io::{Dest, Source};
use crate::mm::PAGE;
use crate::{Error, Result};

/// Bytes on their way from or to a pipe.
#[derive(Default)]
pub struct Pages(VecDeque<RingSlot>);

impl Pages {
    /// How many pages there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|slot| slot.len).sum()
    }
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The first bytes.
    pub fn front(&self) -> &[u8] {
        self.0.front().map_or(&[], RingSlot::bytes)
    }
    /// Drops `n` of the first bytes.
    pub fn advance(&mut self, n: usize) {
        if let Some(slot) = self.0.front_mut() {
            slot.start += n.min(slot.len);
            slot.len -= n.min(slot.len);
            if slot.len == 0 {
                self.0.pop_front();
            }
        }
    }
    fn push(&mut self, slot: RingSlot) -> Result<()> {
        self.0.try_reserve(1).map_err(|_| Error::NoMemory)?;
        self.0.push_back(slot);
        Ok(())
    }
    /// Adds one page of at most `most` bytes that `read` fills; how many it read. Nothing is added when it read
    /// nothing.
    pub fn read_page(&mut self, most: usize, read: impl FnOnce(&mut Dest<'_>) -> Result<usize>) -> Result<usize> {
        let mut page = new_page()?;
        let room = page.get_mut(..most.min(PAGE)).unwrap_or_default();
        let n = read(&mut Dest::kernel(room))?;
        if n > 0 {
            self.push(RingSlot { page, start: 0, len: n, kind: PageKind::Foreign })?;
        }
        Ok(n)
    }
    /// Adds the next piece of `source`, up to the end of a page of the memory it lies in; how long it was.
    pub fn take_piece(&mut self, source: &mut Source<'_>) -> Result<usize> {
        let Some(piece) = source.piece()? else { return Ok(0) };
        let n = piece.len.min(PAGE - piece.addr % PAGE);
        let mut page = new_page()?;
        source.take_whole(page.get_mut(..n).unwrap_or_default())?;
        self.push(RingSlot { page, start: 0, len: n, kind: PageKind::Foreign })?;
        Ok(n)
    }
}

impl PipeEnd {
    /// Whether both are ends of one pipe.
    pub fn same_pipe(&self, other: &Self) -> bool {
        alloc::sync::Arc::ptr_eq(&self.pipe, &other.pipe)
    }
    /// Pages that fit now. `WouldBlock`: none; `BrokenPipe`: nobody would read them.
    pub fn room(&self) -> Result<usize> {
        let state = self.pipe.state.lock();
        match state.ring.room() {
            _ if state.readers == 0 => Err(Error::BrokenPipe),
            0 => Err(Error::WouldBlock),
            room => Ok(room),
        }
    }
    /// Adds pages. What others wrote since [`PipeEnd::room`] was asked does not keep them out.
    pub fn give(&self, pages: Pages) -> Result<()> {
        let mut state = self.pipe.state.lock();
        state.ring.append(pages.0)?;
        drop(state);
        self.pipe.readable.notify(READABLE);
        Ok(())
    }
    /// Takes at most `len` bytes in at most `count` pages out. `WouldBlock`: there is nothing yet; nothing: there never
    /// will be.
    pub fn take(&self, len: usize, count: usize) -> Result<Pages> {
        let mut state = self.pipe.state.lock();
        if state.ring.is_empty() && state.writers > 0 {
            return Err(Error::WouldBlock);
        }
        let was_full = state.ring.is_full();
        let pages = state.ring.detach(len, count)?;
        drop(state);
        if was_full {
            self.pipe.writable.notify(WRITABLE);
        }
        Ok(Pages(pages))
    }
    /// Puts what could not be used back to the front.
    pub fn put_back(&self, pages: Pages) -> Result<()> {
        if pages.is_empty() {
            return Ok(());
        }
        let mut state = self.pipe.state.lock();
        state.ring.prepend(pages.0)?;
        drop(state);
        self.pipe.readable.notify(READABLE);
        Ok(())
    }
    /// A copy of the first `len` bytes in at most `count` pages; they stay. `WouldBlock` as for [`PipeEnd::take`].
    pub fn copy(&self, len: usize, count: usize) -> Result<Pages> {
        let state = self.pipe.state.lock();
        if state.ring.is_empty() && state.writers > 0 {
            return Err(Error::WouldBlock);
        }
        state.ring.copy(len, count).map(Pages)
    }
    /// Whether each write makes a packet.
    pub(super) fn makes_packets(&self) -> bool {
        self.packets.load(Ordering::Relaxed)
    }
}
