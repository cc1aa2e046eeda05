//! A large file that was changed in some places: these are pages of its own, all else is read where it lies below.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::PAGE;
use super::lower::copy_blocks;
use crate::fs::{File, Metadata};
use crate::io::{Dest, Source};
use crate::mm::arena::{PageCache, down, up};
use crate::sync::Mutex;
use crate::{Error, Result};

/// How much a copy moves at once.
const CHUNK: u64 = 256 << 10;
/// From so many runs of own pages on, whole pieces of this size become own. Tests have files of some MiB.
const MOST_RUNS: usize = if cfg!(test) { 8 } else { 16 << 10 };
const MERGED: u64 = 1 << 20;

/// The file. Who writes holds the writer's lock of the node; who reads does not.
pub(in crate::fs) struct PartialCopy {
    /// What was written. Its size is the file's.
    pages: Arc<PageCache>,
    lower: Arc<dyn File>,
    /// Bytes that the lower file takes.
    lower_bytes: u64,
    own: Mutex<OwnPages>,
}

/// Which pages are not read below any more.
struct OwnPages {
    /// What lies at and behind this place is own: zeros, where nothing was written.
    below: u64,
    /// Before that: the end of each run of whole pages, by its start. They never touch.
    runs: BTreeMap<u64, u64>,
    /// Bytes of these before `below`.
    bytes: u64,
}

/// Where bytes are, up to which place.
enum Piece {
    Own(u64),
    Below(u64),
}

impl OwnPages {
    fn piece(&self, at: u64) -> Piece {
        if at >= self.below {
            return Piece::Own(u64::MAX);
        }
        if let Some((_, end)) = self.runs.range(..=at).next_back().filter(|(_, end)| at < **end) {
            return Piece::Own(*end);
        }
        let next = self.runs.range(at..).next().map_or(self.below, |(start, _)| *start);
        Piece::Below(next.min(self.below))
    }
    /// How many bytes of a run lie before `below`.
    fn counted(&self, start: u64, end: u64) -> u64 {
        end.min(self.below).saturating_sub(start)
    }
    /// The pages of `[start, end)` are own from here on.
    fn add(&mut self, mut start: u64, mut end: u64) {
        if start >= end || start >= self.below {
            return;
        }
        if let Some((before, its_end)) = self.runs.range(..=start).next_back().map(|(at, end)| (*at, *end)) {
            if its_end >= start {
                self.remove(before);
                (start, end) = (before, end.max(its_end));
            }
        }
        while let Some((next, its_end)) = self.runs.range(start..=end).next().map(|(at, end)| (*at, *end)) {
            self.remove(next);
            end = end.max(its_end);
        }
        self.runs.insert(start, end);
        self.bytes += self.counted(start, end);
    }
    fn remove(&mut self, start: u64) {
        if let Some(end) = self.runs.remove(&start) {
            self.bytes -= self.counted(start, end);
        }
    }
    /// What lies at and behind `size` is not below any more.
    fn cut(&mut self, size: u64) {
        if size < self.below {
            self.below = size;
            self.runs.retain(|start, _| *start < size);
            self.bytes = self.runs.iter().map(|(start, end)| self.counted(*start, *end)).sum();
        }
    }
    /// Bytes that are read below.
    fn bytes_below(&self) -> u64 {
        self.below.saturating_sub(self.bytes)
    }
}

impl PartialCopy {
    /// The first `keep` bytes of `lower`. Nothing is copied; `pages` are empty.
    pub(super) fn new(lower: Arc<dyn File>, meta: &Metadata, keep: u64, pages: Arc<PageCache>) -> Result<Arc<Self>> {
        let (size, lower_bytes) = (meta.size.min(keep), meta.blocks.saturating_mul(512));
        pages.set_size(size)?;
        let own = Mutex::new(OwnPages { below: size, runs: BTreeMap::new(), bytes: 0 });
        Ok(Arc::new(Self { pages, lower, lower_bytes, own }))
    }
    /// Bytes in the file.
    pub(super) fn size(&self) -> u64 {
        self.pages.size()
    }
    /// Bytes in the file, and bytes that it takes, here or below.
    pub(super) fn figures(&self) -> (u64, u64) {
        let (size, allocated) = self.pages.figures();
        let below = up(self.own.lock().bytes_below()).min(self.lower_bytes);
        (size, allocated.saturating_add(below))
    }

    pub(super) fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        let mut done = 0usize;
        while dest.remaining() > 0 {
            let at = offset.saturating_add(done as u64);
            let left = self.size().saturating_sub(at).min(dest.remaining() as u64);
            if left == 0 {
                break;
            }
            let piece = self.own.lock().piece(at);
            let moved = match piece {
                Piece::Own(end) => dest.within(left.min(end - at), |dest| self.pages.read_at(dest, at)),
                Piece::Below(end) => dest.within(left.min(end - at), |dest| self.read_below(dest, at)),
            };
            match moved {
                Err(error) if done == 0 => return Err(error),
                Err(_) | Ok(0) => break,
                Ok(n) => done += n,
            }
        }
        Ok(done)
    }
    /// Reads below, where zeros follow when somebody made the file shorter there.
    fn read_below(&self, dest: &mut Dest<'_>, at: u64) -> Result<usize> {
        match self.lower.read_at(dest, at)? {
            0 => dest.put_zeros(dest.remaining()),
            n => Ok(n),
        }
    }

    /// The first byte at or behind `offset` that is data, or a hole.
    pub(super) fn seek(&self, offset: u64, hole: bool) -> Result<u64> {
        let size = self.size();
        if offset >= size {
            return Err(Error::NoSuchDevice);
        }
        let mut at = offset;
        while at < size {
            let piece = self.own.lock().piece(at);
            let (found, end) = match piece {
                Piece::Own(end) => (self.pages.seek(at, hole), end),
                Piece::Below(end) => (self.lower.seek_data(at, hole), end),
            };
            match found {
                Ok(place) if place < end.min(size) => return Ok(place),
                // The lower file became shorter.
                Err(Error::NoSuchDevice) if hole => return Ok(at),
                Ok(_) | Err(Error::NoSuchDevice) => at = end,
                Err(error) => return Err(error),
            }
        }
        if hole { Ok(size) } else { Err(Error::NoSuchDevice) }
    }

    /// Writes at `offset`, growing the file. A page is own when all of it is here.
    pub(super) fn write_at(&self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        let len = source.remaining() as u64;
        let Some(end) = offset.checked_add(len) else { return Err(Error::FileTooBig) };
        self.bring_edges(offset, end)?;
        let n = self.pages.write_at(source, offset)?;
        let written = offset.saturating_add(n as u64);
        if (n as u64) < len {
            // It stopped within a page of which the front is new now.
            self.copy(written, up(written))?;
        }
        self.add(down(offset), up(written));
        Ok(n)
    }
    /// Makes `[offset, offset + len)` zeros; the size stays.
    pub(super) fn punch(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.saturating_add(len).min(self.size());
        if offset < end {
            self.bring_edges(offset, end)?;
            self.pages.punch(offset, len);
            self.add(down(offset), up(end));
        }
        Ok(())
    }
    /// These pages are own. When the runs become too many, what lies between some of them is copied, too, as far as
    /// there is room: what was written is there without that.
    fn add(&self, start: u64, end: u64) {
        let merged = {
            let mut own = self.own.lock();
            own.add(start, end);
            if own.runs.len() <= MOST_RUNS {
                return;
            }
            start & !(MERGED - 1)
        };
        if self.copy(merged, merged + MERGED).is_ok() {
            self.own.lock().add(merged, merged + MERGED);
        }
    }
    /// Sets the size: cuts, or grows with zeros.
    pub(super) fn set_size(&self, size: u64) -> Result<()> {
        // In this order: who reads asks for the size first.
        self.pages.set_size(size)?;
        self.own.lock().cut(size);
        Ok(())
    }

    /// The pages in which `[offset, end)` begins and ends become own, where it leaves some of their bytes alone.
    fn bring_edges(&self, offset: u64, end: u64) -> Result<()> {
        if offset > down(offset) {
            self.bring(down(offset))?;
        }
        if end > down(end) { self.bring(down(end)) } else { Ok(()) }
    }
    fn bring(&self, page: u64) -> Result<()> {
        if matches!(self.own.lock().piece(page), Piece::Own(_)) {
            return Ok(());
        }
        self.copy(page, page + PAGE)?;
        self.own.lock().add(page, page + PAGE);
        Ok(())
    }
    /// Copies what of `[at, end)` lies below.
    fn copy(&self, mut at: u64, end: u64) -> Result<()> {
        let mut buffer = Vec::new();
        while at < end {
            let until = match self.own.lock().piece(at) {
                Piece::Own(until) => {
                    at = until;
                    continue;
                }
                Piece::Below(until) => until.min(end).min(at + CHUNK),
            };
            let len = usize::try_from(until - at).map_err(|_| Error::FileTooBig)?;
            buffer.clear();
            buffer.try_reserve_exact(len).map_err(|_| Error::NoMemory)?;
            buffer.resize(len, 0u8);
            let mut dest = Dest::kernel(&mut buffer);
            while dest.remaining() > 0 {
                let from = at + dest.moved() as u64;
                if self.read_below(&mut dest, from)? == 0 {
                    break;
                }
            }
            // What a write that failed left there is nobody's.
            self.pages.punch(at, until - at);
            copy_blocks(&self.pages, &buffer, at)?;
            at = until;
        }
        Ok(())
    }
    /// Copies all that still lies below; `room`: how many bytes may be copied. The pages are the file then.
    pub(super) fn complete(&self, room: u64) -> Result<Arc<PageCache>> {
        let (below, missing) = {
            let own = self.own.lock();
            (own.below, own.bytes_below())
        };
        // What surely does not fit is not begun: the room is everybody's.
        if missing.min(self.lower_bytes) > room {
            return Err(Error::NoSpace);
        }
        let mut at = 0;
        while at < below {
            let end = (at + CHUNK).min(below);
            self.copy(at, end)?;
            self.own.lock().add(at, up(end));
            at = end;
        }
        Ok(self.pages.clone())
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, BTreeSet};

    use super::{OwnPages, PAGE, Piece};

    #[test]
    fn own_pages_are_counted_as_they_come_and_go() {
        let mut seed = 7u64;
        let mut number = |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % bound
        };
        let mut own = OwnPages { below: 100 * PAGE - 5, runs: BTreeMap::new(), bytes: 0 };
        let mut model = BTreeSet::new();
        for turn in 0..2000 {
            let (start, len) = (number(110), number(6));
            own.add(start * PAGE, (start + len) * PAGE);
            model.extend((start..start + len).filter(|page| page * PAGE < own.below));
            if turn % 300 == 299 {
                own.cut(own.below - number(3 * PAGE));
                model.retain(|page| page * PAGE < own.below);
            }
            let below: u64 = (0..110)
                .filter(|page| !model.contains(page))
                .map(|page| own.below.saturating_sub(page * PAGE).min(PAGE))
                .sum();
            assert_eq!(own.bytes_below(), below);
            let page = number(110);
            let is_own = matches!(own.piece(page * PAGE), Piece::Own(_));
            assert_eq!(is_own, model.contains(&page) || page * PAGE >= own.below);
        }
    }
}
