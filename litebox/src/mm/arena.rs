//! The page arena: file data of the memory and overlay file systems, and shared anonymous memory.
//!
//! [`Arena`] hands out runs of pages; a [`PageCache`] is a growable object made of them. No lock is held while guest
//! memory is touched: a fault there may ask the same file for its pages.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use smallvec::SmallVec;

use crate::io::{Dest, Source};
use crate::platform::host;
use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Result};

use super::PAGE;
use super::free_pages::FreePages;

const PAGE64: u64 = PAGE as u64;
/// So many bytes of holes are filled at once, whatever is free, and one in so many of what is.
const FEW: u64 = 64 << 20;
const SMALL_PART: u64 = 8;
/// How much one transfer looks up at once.
const CHUNK: u64 = 16 << 20;
/// From here on the host writes to pages that nobody has written to: it copies into them without making them zeros
/// first, and without a fault for each.
const DIRECT: u64 = 32 << 10;

/// The begin of the page that holds byte `n`.
pub(crate) fn down(n: u64) -> u64 {
    n & !(PAGE64 - 1)
}
/// The end of the pages that hold the first `n` bytes.
pub(crate) fn up(n: u64) -> u64 {
    down(n.saturating_add(PAGE64 - 1))
}

/// Which pages of the arena are free.
pub struct Arena {
    free: Mutex<FreePages>,
    /// What files may have together, when that is less than there is.
    files: Option<Arc<Budget>>,
}

impl Arena {
    /// The arena of the host, all free. There must be only one.
    pub fn new() -> Arc<Self> {
        Self::for_files(None)
    }
    /// The same, of which files in memory may have `limit` bytes together. The rest is for shared memory.
    pub fn for_files(limit: Option<u64>) -> Arc<Self> {
        let size = down(host().arena().1 as u64);
        Arc::new(Self { free: Mutex::new(FreePages::new(0, size)), files: limit.map(Budget::new) })
    }
    /// What files in memory may have together.
    pub fn files(&self) -> Option<&Arc<Budget>> {
        self.files.as_ref()
    }
    /// A part of the host's arena, for tests that run side by side.
    #[cfg(test)]
    pub fn part(offset: u64, len: u64) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(FreePages::new(offset, len)), files: None })
    }
    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        self.free.lock().bytes()
    }
    /// Takes a run of `len` bytes (whole pages), or the longest there is when none is that long.
    fn take(&self, len: u64) -> Result<(u64, u64)> {
        if len == 0 {
            return Err(Error::NoSpace);
        }
        let mut free = self.free.lock();
        if let Some(offset) = free.take_warm(len) {
            return Ok((offset, len));
        }
        if let Some(taken) = free.take(len) {
            return Ok(taken);
        }
        free.give_up_warm();
        free.take(len).ok_or(Error::NoSpace)
    }
    /// Gives a run back. Its pages become zeros.
    fn give_back(&self, offset: u64, len: u64) {
        if self.free.lock().may_keep(len) {
            zero(offset, len);
            if self.free.lock().keep_warm(offset, len) {
                return;
            }
        }
        host().arena_release(offset, len);
        self.free.lock().insert(offset, len);
    }
}

/// How many bytes of pages some files may have together: those of one file system, or all.
pub struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of which nothing is used.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }
    /// Bytes it allows.
    pub fn limit(&self) -> u64 {
        self.limit
    }
    /// Bytes that are left of it.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }
    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
    /// Counts up to `len` more bytes (whole pages) as used; how many the budget allows.
    fn charge(&self, len: u64) -> u64 {
        let mut granted = 0;
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            granted = down(self.limit.saturating_sub(used)).min(len);
            Some(used.saturating_add(granted))
        });
        granted
    }
    fn refund(&self, len: u64) {
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(len)));
    }
}

/// Where a file's pages come from.
struct Supply {
    arena: Arc<Arena>,
    budget: Option<Arc<Budget>>,
}

impl Supply {
    /// Takes a run of at most `len` bytes.
    fn take(&self, len: u64) -> Result<(u64, u64)> {
        let Some(budget) = &self.budget else { return self.arena.take(len) };
        let granted = budget.charge(len);
        if granted == 0 {
            return Err(Error::NoSpace);
        }
        let taken = self.arena.take(granted);
        let unused = granted - taken.as_ref().map_or(0, |(_, got)| *got);
        budget.refund(unused);
        taken
    }
    /// Bytes that may still be taken.
    fn free_bytes(&self) -> u64 {
        let free = self.arena.free_bytes();
        self.budget.as_ref().map_or(free, |budget| free.min(budget.left()))
    }
    fn give_back(&self, offset: u64, len: u64) {
        self.arena.give_back(offset, len);
        if let Some(budget) = &self.budget {
            budget.refund(len);
        }
    }
}

/// A run of pages of a [`PageCache`] that lie together in the arena. All fields are multiples of the page size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where the run starts in the file.
    pub offset: u64,
    /// Where it starts in the arena.
    pub arena: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// Extents of a range; most ranges lie in one or two.
pub type Extents = SmallVec<[Extent; 2]>;

#[derive(Default)]
struct Runs {
    size: u64,
    /// Bytes of all runs together.
    allocated: u64,
    /// Pages there are, by offset in the file: (offset in the arena, length).
    by_offset: BTreeMap<u64, (u64, u64)>,
}

/// A growable object whose bytes lie in pages of the arena.
pub struct PageCache {
    supply: Supply,
    runs: Mutex<Runs>,
    /// What `runs` says of these, for those who only want to know.
    size: AtomicU64,
    allocated: AtomicU64,
    /// Mappings and transfers under way: while there is one, no page goes back to the arena.
    holders: AtomicUsize,
    /// There may be pages behind the end, which go with the last holder.
    has_pages_behind: AtomicBool,
    /// Shared mappings that may be written through.
    writable: AtomicUsize,
}

impl core::fmt::Debug for PageCache {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PageCache").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Runs {
    /// The run that holds `at`: (start in the file, start in the arena, length).
    fn find(&self, at: u64) -> Option<(u64, u64, u64)> {
        let (start, (arena, len)) = self.by_offset.range(..=at).next_back()?;
        (at < start + len).then_some((*start, *arena, *len))
    }
    fn insert(&mut self, offset: u64, arena: u64, len: u64) {
        self.allocated += len;
        if let Some((start, (before, have))) = self.by_offset.range_mut(..offset).next_back() {
            if *start + *have == offset && *before + *have == arena {
                *have += len;
                return;
            }
        }
        self.by_offset.insert(offset, (arena, len));
    }
    /// The first hole of `[offset, end)`.
    fn first_hole(&self, offset: u64, end: u64) -> Option<(u64, u64)> {
        let mut at = offset;
        while let Some((start, _, len)) = self.find(at) {
            at = start + len;
        }
        let next = self.by_offset.range(at..).next().map_or(end, |(start, _)| (*start).min(end));
        (at < end).then_some((at, next))
    }
    /// Pages of `[offset, end)`, without the holes.
    fn extents(&self, offset: u64, end: u64) -> Extents {
        let mut out = Extents::new();
        let mut at = offset;
        while at < end {
            let Some((start, from, len)) = self.find(at) else {
                at = self.by_offset.range(at..).next().map_or(end, |(start, _)| (*start).min(end));
                continue;
            };
            let (from, len) = (from + (at - start), (start + len).min(end) - at);
            match out.last_mut() {
                Some(last) if last.offset + last.len == at && last.arena + last.len == from => last.len += len,
                _ => out.push(Extent { offset: at, arena: from, len }),
            }
            at += len;
        }
        out
    }
    /// Takes the whole pages of `[offset, end)` out.
    fn cut(&mut self, offset: u64, end: u64) -> Vec<(u64, u64)> {
        let extents = self.extents(offset, end);
        for extent in &extents {
            let stop = extent.offset + extent.len;
            let mut at = extent.offset;
            while at < stop {
                let Some((start, arena, len)) = self.find(at) else { break };
                self.by_offset.remove(&start);
                if start < at {
                    self.by_offset.insert(start, (arena, at - start));
                }
                let behind = start + len;
                if behind > stop {
                    self.by_offset.insert(stop, (arena + (stop - start), behind - stop));
                }
                at = behind.min(stop);
            }
        }
        self.allocated -= extents.iter().map(|e| e.len).sum::<u64>();
        extents.iter().map(|e| (e.arena, e.len)).collect()
    }
}

/// Kernel address of an arena byte.
fn address(offset: u64) -> *mut u8 {
    host().arena().0.wrapping_add(offset as usize)
}

fn zero(offset: u64, len: u64) {
    // SAFETY: the range belongs to a file of the arena, so it lies inside it.
    unsafe { core::ptr::write_bytes(address(offset), 0, len as usize) };
}

/// Has the host map pages that it has given and nobody has touched: a fault to read maps all in a block of this size,
/// one to write a single page.
fn touch(offset: u64, len: u64) {
    const BLOCK: u64 = 64 << 10;
    let mut at = offset;
    while at < offset + len {
        // SAFETY: the byte belongs to a file of the arena. Guests may change it at the same time.
        unsafe { address(at).read_volatile() };
        at = (at | (BLOCK - 1)) + 1;
    }
}

impl PageCache {
    /// An empty file.
    pub fn new(arena: &Arc<Arena>) -> Arc<Self> {
        Self::with_budget(arena, None)
    }
    /// An empty file whose pages count against `budget`.
    pub fn with_budget(arena: &Arc<Arena>, budget: Option<&Arc<Budget>>) -> Arc<Self> {
        let supply = Supply { arena: arena.clone(), budget: budget.cloned() };
        Arc::new(Self {
            supply,
            runs: Mutex::default(),
            size: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
            holders: AtomicUsize::new(0),
            has_pages_behind: AtomicBool::new(false),
            writable: AtomicUsize::new(0),
        })
    }
    /// A fresh object of `size` bytes of zeros (shared anonymous memory). Its pages come when they are asked for.
    pub fn with_size(arena: &Arc<Arena>, size: u64) -> Result<Arc<Self>> {
        let file = Self::new(arena);
        file.set_size(size)?;
        Ok(file)
    }
    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }
    /// Bytes in the file, and bytes of pages it has.
    pub fn figures(&self) -> (u64, u64) {
        (self.size(), self.allocated.load(Ordering::Acquire))
    }
    /// The runs have changed.
    fn note_figures(&self, runs: &Runs) {
        self.size.store(runs.size, Ordering::Release);
        self.allocated.store(runs.allocated, Ordering::Release);
    }
    /// The extents that hold `[offset, offset + len)`, ascending and without gaps, cut at the end of the file rounded
    /// up to pages: holes get their (zero) pages now. Fewer than asked for when the file ends before; an error when the
    /// arena is full.
    pub fn extents(&self, offset: u64, len: u64) -> Result<Extents> {
        let mut runs = self.runs.lock();
        let end = up(offset.saturating_add(len)).min(up(runs.size));
        self.fill(&mut runs, down(offset), end).map_err(|_| Error::NoMemory)
    }
    /// Whether the holes of `[offset, offset + len)` are to get their pages all at once: they are few, or a small part
    /// of what is free. A sparse file can be longer than the arena.
    pub fn is_dense(&self, offset: u64, len: u64) -> bool {
        if len <= FEW {
            return true;
        }
        let missing = {
            let runs = self.runs.lock();
            let end = up(offset.saturating_add(len)).min(up(runs.size));
            let there: u64 = runs.extents(down(offset), end).iter().map(|extent| extent.len).sum();
            end.saturating_sub(down(offset)).saturating_sub(there)
        };
        missing <= FEW || missing <= self.supply.free_bytes() / SMALL_PART
    }
    /// Pages of `[offset, end)`, for each hole too.
    fn fill(&self, runs: &mut MutexGuard<'_, Runs>, offset: u64, end: u64) -> Result<Extents> {
        let found = runs.extents(offset, end);
        if found.iter().map(|extent| extent.len).sum::<u64>() >= end.saturating_sub(offset) {
            return Ok(found);
        }
        let mut filled = offset;
        while let Some((at, next)) = runs.first_hole(filled, end) {
            let (from, len) = self.supply.take(next - at)?;
            runs.insert(at, from, len);
            self.note_figures(runs);
            runs.settle();
            filled = at + len;
        }
        Ok(runs.extents(offset, end))
    }
    /// One more mapping shows these pages. While there is one, no page of the file goes back to the arena: what
    /// truncation or punching cuts off becomes zeros in place, and a file that grows again gets the same pages.
    pub fn add_mapping(&self) {
        self.holders.fetch_add(1, Ordering::AcqRel);
    }
    /// One more shared mapping through which it may be written (besides [`Self::add_mapping`]).
    pub fn add_writable(&self) {
        self.writable.fetch_add(1, Ordering::AcqRel);
    }
    /// Such a mapping is gone.
    pub fn drop_writable(&self) {
        self.writable.fetch_sub(1, Ordering::AcqRel);
    }
    /// Whether somebody may write through a shared mapping.
    pub fn writably_mapped(&self) -> bool {
        self.writable.load(Ordering::Acquire) > 0
    }
    /// Whether a mapping shows it, or somebody reads or writes it right now.
    pub fn is_held(&self) -> bool {
        self.holders.load(Ordering::Acquire) > 0
    }
    /// A mapping is gone.
    pub fn drop_mapping(&self) {
        let is_last = self.holders.fetch_sub(1, Ordering::SeqCst) == 1;
        // Whoever leaves pages behind the end says so before he looks for holders.
        if is_last && self.has_pages_behind.load(Ordering::SeqCst) {
            let mut runs = self.runs.lock();
            // Somebody who came meanwhile may be writing behind the end, which moves only when the bytes are there.
            if self.holders.load(Ordering::SeqCst) == 0 {
                self.has_pages_behind.store(false, Ordering::SeqCst);
                let behind = up(runs.size);
                let gone = self.discard(&mut runs, behind, u64::MAX);
                drop(runs);
                self.give_back(gone);
            }
        }
    }
    /// Empties the whole pages of `[offset, end)`. They are to be given back to the arena, or are zeros where somebody
    /// still shows them.
    fn discard(&self, runs: &mut MutexGuard<'_, Runs>, offset: u64, end: u64) -> Vec<(u64, u64)> {
        if self.holders.load(Ordering::SeqCst) > 0 {
            for extent in runs.extents(offset, end) {
                zero(extent.arena, extent.len);
            }
            return Vec::new();
        }
        // Most often there is nothing.
        if runs.by_offset.range(..end).next_back().is_none_or(|(start, (_, len))| start + len <= offset) {
            return Vec::new();
        }
        let gone = runs.cut(offset, end);
        self.note_figures(runs);
        gone
    }
    fn give_back(&self, gone: Vec<(u64, u64)>) {
        for (arena, len) in gone {
            self.supply.give_back(arena, len);
        }
    }
    /// Makes `[from, to)`, part of one page, zeros.
    fn zero_part(runs: &Runs, from: u64, to: u64) {
        if let Some((start, arena, _)) = runs.find(from) {
            zero(arena + (from - start), to - from);
        }
    }
    /// Sets the size: cuts, or grows with zeros.
    pub fn set_size(&self, size: u64) -> Result<()> {
        if i64::try_from(size).is_err() {
            return Err(Error::FileTooBig);
        }
        let mut runs = self.runs.lock();
        if size < runs.size {
            if size < up(size) {
                Self::zero_part(&runs, size, up(size));
            }
            self.has_pages_behind.store(true, Ordering::SeqCst);
            let gone = self.discard(&mut runs, up(size), u64::MAX);
            runs.size = size;
            self.note_figures(&runs);
            drop(runs);
            self.give_back(gone);
            return Ok(());
        }
        runs.size = size;
        self.note_figures(&runs);
        Ok(())
    }
    /// Makes `[offset, offset + len)` read as zeros without pages; the size stays.
    pub fn punch(&self, offset: u64, len: u64) {
        let mut runs = self.runs.lock();
        let end = offset.saturating_add(len).min(up(runs.size));
        if offset >= end {
            return;
        }
        let (first, last) = (up(offset), down(end));
        if first > last {
            return Self::zero_part(&runs, offset, end);
        }
        if offset < first {
            Self::zero_part(&runs, offset, first);
        }
        if last < end {
            Self::zero_part(&runs, last, end);
        }
        let gone = self.discard(&mut runs, first, last);
        drop(runs);
        self.give_back(gone);
    }
    /// The first byte at or behind `offset` that has a page (`hole` false) or has none (`hole`: the end of the file at
    /// the latest). `NoSuchDevice` when there is none before the end.
    pub fn seek(&self, offset: u64, hole: bool) -> Result<u64> {
        let runs = self.runs.lock();
        if offset >= runs.size {
            return Err(Error::NoSuchDevice);
        }
        if !hole {
            let next =
                runs.find(offset).map(|_| offset).or_else(|| runs.by_offset.range(offset..).next().map(|(s, _)| *s));
            return next.filter(|at| *at < runs.size).ok_or(Error::NoSuchDevice);
        }
        let mut at = offset;
        while let Some((start, _, len)) = runs.find(at) {
            at = start + len;
        }
        Ok(at.min(runs.size))
    }
    /// Reads from `offset`; 0 at the end.
    pub fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        self.add_mapping();
        let outcome = self.read_held(dest, offset);
        self.drop_mapping();
        outcome
    }
    fn read_held(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        let mut done = 0;
        while dest.remaining() > 0 {
            let at = offset.saturating_add(done as u64);
            let (extents, end) = {
                let runs = self.runs.lock();
                let end = runs.size.min(at.saturating_add((dest.remaining() as u64).min(CHUNK)));
                (runs.extents(down(at), up(end)), end)
            };
            if at >= end {
                break;
            }
            match Self::copy_out(dest, &extents, at, end) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(n) => {
                    done += n;
                    if (n as u64) < end - at {
                        break;
                    }
                }
            }
        }
        Ok(done)
    }
    fn copy_out(dest: &mut Dest<'_>, extents: &[Extent], from: u64, end: u64) -> Result<usize> {
        let mut at = from;
        let mut left = extents.iter();
        let mut extent = left.next();
        while at < end {
            while extent.is_some_and(|e| e.offset + e.len <= at) {
                extent = left.next();
            }
            let (wanted, moved) = match extent {
                Some(e) if e.offset <= at => {
                    let len = (e.offset + e.len).min(end) - at;
                    // SAFETY: pages of this file, which do not go back to the arena while the transfer holds them.
                    let bytes =
                        unsafe { core::slice::from_raw_parts(address(e.arena + (at - e.offset)), len as usize) };
                    (len, dest.put(bytes))
                }
                next => {
                    let len = next.map_or(end, |e| e.offset.min(end)) - at;
                    (len, dest.put_zeros(len as usize))
                }
            };
            let n = match moved {
                Err(error) if at == from => return Err(error),
                Err(_) => break,
                Ok(n) => n,
            };
            at += n as u64;
            if (n as u64) < wanted {
                break;
            }
        }
        Ok((at - from) as usize)
    }
    /// Writes at `offset`, growing the file.
    pub fn write_at(&self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        if i64::try_from(offset.saturating_add(source.remaining() as u64)).is_err() {
            return Err(Error::FileTooBig);
        }
        self.add_mapping();
        let outcome = self.write_held(source, offset);
        self.drop_mapping();
        outcome
    }
    fn write_held(&self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        let mut done = 0;
        while source.remaining() > 0 {
            let at = offset + done as u64;
            let mut end = at + (source.remaining() as u64).min(CHUNK);
            let pages = self.pages_to_write(at, &mut end);
            let moved = pages.and_then(|(pages, fresh)| Self::copy_in(source, &pages, (at, end), fresh));
            if !moved.as_ref().is_ok_and(|n| *n as u64 == end - at) {
                self.has_pages_behind.store(true, Ordering::SeqCst);
            }
            let n = match moved {
                Err(error) if done == 0 => return Err(error),
                Err(_) | Ok(0) => break,
                Ok(n) => n,
            };
            done += n;
            let mut runs = self.runs.lock();
            if runs.size < at + n as u64 {
                runs.size = at + n as u64;
                self.note_figures(&runs);
            }
            if (n as u64) < end - at {
                break;
            }
        }
        Ok(done)
    }
    /// The pages of `[at, end)`, and from where on nobody has written to them; when there is no room for all of them,
    /// `end` moves down to what there is.
    fn pages_to_write(&self, at: u64, end: &mut u64) -> Result<(Extents, u64)> {
        let mut runs = self.runs.lock();
        let behind = runs.by_offset.range(..up(*end)).next_back().map_or(0, |(start, (_, len))| start + len);
        let pages = self.fill(&mut runs, down(at), up(*end)).or_else(|error| {
            let have = runs.extents(down(at), up(*end));
            // What lies behind the first gap cannot be reached now.
            let reach = have.iter().fold(down(at), |reach, e| if e.offset == reach { reach + e.len } else { reach });
            if reach <= at {
                return Err(error);
            }
            *end = reach.min(*end);
            Ok(have)
        });
        Ok((pages?, behind))
    }
    /// Has the host write to `len` bytes of pages that it has not given yet, as far as it does.
    fn write_directly(source: &mut Source<'_>, offset: u64, len: u64) -> u64 {
        let mut done = 0;
        while let Ok(Some(piece)) = source.piece() {
            let wanted = (piece.len as u64).min(len - done);
            if wanted < DIRECT {
                break;
            }
            // SAFETY: a piece is checked guest memory, or kernel memory that the cursor borrows; the pages are those of
            // the file, as in `copy_in`.
            let written = unsafe { host().arena_write(offset + done, piece.addr, wanted as usize) };
            let n = written.unwrap_or(0).min(wanted as usize);
            source.advance(n);
            done += n as u64;
            if (n as u64) < wanted {
                break;
            }
        }
        done
    }
    /// Copies to `len` bytes of the arena.
    fn copy_to(source: &mut Source<'_>, offset: u64, len: u64) -> Result<usize> {
        touch(offset, len);
        // SAFETY: pages of this file, as in `copy_out`; guests may see and change the bytes at the same time, which is
        // theirs to order.
        source.take(unsafe { core::slice::from_raw_parts_mut(address(offset), len as usize) })
    }
    /// Copies to `[from, end)`. From `fresh` on nobody has written to the pages.
    fn copy_in(source: &mut Source<'_>, extents: &[Extent], (from, end): (u64, u64), fresh: u64) -> Result<usize> {
        let mut at = from;
        for extent in extents {
            let stop = (extent.offset + extent.len).min(end);
            for part in [fresh.min(stop), stop] {
                let place = |at: u64| extent.arena + (at - extent.offset);
                if at >= fresh && part > at && part - at >= DIRECT {
                    at += Self::write_directly(source, place(at), part - at);
                }
                if part <= at {
                    continue;
                }
                match Self::copy_to(source, place(at), part - at) {
                    Err(error) if at == from => return Err(error),
                    Err(_) => return Ok((at - from) as usize),
                    Ok(n) => at += n as u64,
                }
                if at < part {
                    return Ok((at - from) as usize);
                }
            }
        }
        Ok((at - from) as usize)
    }
}

impl Drop for PageCache {
    fn drop(&mut self) {
        for (arena, len) in self.runs.get_mut().by_offset.values() {
            self.supply.give_back(*arena, *len);
        }
    }
}
