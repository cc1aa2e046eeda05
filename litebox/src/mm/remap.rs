//! mremap(2): vmas that move, grow and shrink.

use alloc::vec::Vec;

use crate::platform::{Backing, MapMode, Prot, host};
use crate::{Error, Result};

use super::arena::{Extent, Extents};
use super::map::{Limits, Mm, Reach, populate_now};
use super::mirror::{Inner, extents_of, map_on_host};
use super::vma::{Object, Vma, VmaFlags};
use super::{PAGE, unmapped_area};

/// What to move where.
#[derive(Clone, Copy, Debug)]
pub struct RemapRequest {
    /// Where it is, page aligned.
    pub old: usize,
    /// How much of it, whole pages. 0: another mapping of the same shared object is made.
    pub old_len: usize,
    /// How long it becomes, whole pages, not 0.
    pub new_len: usize,
    /// It may go elsewhere.
    pub may_move: bool,
    /// Where it must go, page aligned; what is there goes.
    pub fixed: Option<usize>,
    /// Where it should go, if it is free, when it is not `fixed`.
    pub hint: usize,
    /// How far up it may go when it is not `fixed`.
    pub reach: Reach,
    /// The old range stays mapped, without its private pages.
    pub keep_old: bool,
}

impl Mm {
    /// Moves or resizes; returns the new address.
    pub fn remap(&self, request: &RemapRequest, limits: &Limits) -> Result<usize> {
        // Files in the arena are asked where their pages are before the space is locked.
        let extents = match self.vma_at(request.old) {
            None => Extents::new(),
            Some(vma) => {
                let (offset, len) = (vma.offset_of(request.old), request.new_len.max(request.old_len));
                match &vma.object {
                    // Where private pages are is known by the runs of pages that they are copies of.
                    Object::Pages { pages, .. } if !vma.shared() => pages.extents(offset, len)?,
                    object => extents_of(object, offset, len)?,
                }
            }
        };
        let mut dead = Vec::new();
        self.lock().join_windows(request.old, request.old.saturating_add(request.old_len));
        let outcome = self.lock().remap(request, &extents, limits, &mut dead);
        drop(dead);
        let (addr, fill) = outcome?;
        if let Some((start, len, prot)) = fill {
            populate_now(start, len, prot);
        }
        Ok(addr)
    }
}

/// What of a grown locked vma must be faulted in.
type Fill = Option<(usize, usize, Prot)>;

impl Inner {
    fn remap(
        &mut self,
        r: &RemapRequest,
        extents: &[Extent],
        limits: &Limits,
        dead: &mut Vec<Vma>,
    ) -> Result<(usize, Fill)> {
        let mut old_len = r.old_len;
        let moving = r.fixed.is_some() || r.keep_old;
        if let Some(new) = r.fixed {
            let end = self.check_range(new, r.new_len)?;
            if new < r.old.wrapping_add(old_len) && r.old < end {
                return Err(Error::Invalid);
            }
            if new < self.layout.lowest {
                return Err(Error::NotPermitted);
            }
            if self.vmas.count() + 4 > self.max_vmas {
                return Err(Error::NoMemory);
            }
        }
        let vma = self.vmas.find(r.old).ok_or(Error::Fault)?;
        if vma.flags.contains(VmaFlags::SEALED) {
            return Err(Error::NotPermitted);
        }
        // What is cut off may lie in others.
        if moving && old_len.min(r.new_len) > vma.end - r.old {
            return Err(Error::Fault);
        }
        if old_len == 0 && !vma.shared() {
            return Err(Error::Invalid);
        }
        if let Some(new) = r.fixed {
            dead.extend(self.unmap(new, new + r.new_len)?);
        }
        if old_len > r.new_len || (old_len == r.new_len && !moving) {
            // A shrinking range may span several vmas; what is kept must start in one.
            let cut = r.old + r.new_len;
            let end = r.old.checked_add(old_len).ok_or(Error::Invalid)?;
            if cut < end {
                dead.extend(self.unmap(cut, end)?);
            }
            if !moving {
                return Ok((r.old, None));
            }
            old_len = r.new_len;
        }
        self.show_original(r.old, r.old.saturating_add(old_len.max(1)))?;
        let vma = self.vmas.find(r.old).cloned().ok_or(Error::Fault)?;
        self.check_resize(&vma, r, old_len, limits)?;
        let grow = r.new_len - old_len.min(r.new_len);
        if !moving {
            let at_end = vma.end - r.old == old_len && old_len > 0;
            if at_end && self.grow_in_place(&vma, grow, extents, r.old)? {
                return Ok((r.old, fill(&vma, vma.end, grow)));
            }
            if !r.may_move {
                return Err(Error::NoMemory);
            }
        }
        let new = self.move_area(&vma, r, old_len, extents, dead)?;
        Ok((new, fill(&vma, new + old_len, grow)))
    }

    /// A file of which pages were touched here and there is several vmas, which one call may move: they become one
    /// again, whose pages come when they are touched.
    fn join_windows(&mut self, start: usize, end: usize) {
        let pieces: Vec<Vma> = self.vmas.overlapping(start, end).cloned().collect();
        for pair in pieces.windows(2) {
            let [before, next] = pair else { continue };
            if next.filled == next.start || !next.shared() || !before.continues(next) {
                continue;
            }
            let mapped = next.filled - next.start;
            if host().map(next.start, mapped, Prot::empty(), MapMode::REPLACE, Backing::Anonymous).is_ok() {
                self.vmas.update(next.start, next.end, |vma| vma.filled = vma.start);
            }
        }
    }

    fn check_resize(&self, vma: &Vma, r: &RemapRequest, old_len: usize, limits: &Limits) -> Result<()> {
        if old_len > vma.end - r.old {
            return Err(Error::Fault);
        }
        if r.new_len == old_len {
            return Ok(());
        }
        if vma.offset_of(r.old).checked_add(r.new_len as u64).is_none() {
            return Err(Error::Invalid);
        }
        let grow = r.new_len - old_len;
        if vma.flags.contains(VmaFlags::LOCKED) && (self.vmas.locked + grow) as u64 > limits.locked {
            return Err(Error::WouldBlock);
        }
        self.may_expand(grow, 0, vma.is_data(), limits)
    }

    /// Grows `vma` at its end if there is room.
    fn grow_in_place(&mut self, vma: &Vma, grow: usize, extents: &[Extent], base: usize) -> Result<bool> {
        if vma.end.checked_add(grow).is_none_or(|end| end > self.layout.highest)
            || !unmapped_area::is_free(&self.vmas, vma.end, grow)
        {
            return Ok(false);
        }
        let mut more = vma.clone();
        more.offset = vma.offset_of(vma.end);
        more.start = vma.end;
        more.end = vma.end + grow;
        let tail = tail_of(extents, vma.offset_of(base), vma.end - base);
        if vma.filled < vma.end && !tail.is_empty() {
            // The file grew meanwhile: the hole in the middle is left to the fault handler.
            more.filled = more.start;
            host().map(more.start, grow, Prot::empty(), MapMode::empty(), Backing::Anonymous).map_err(occupied)?;
            self.insert(more);
            return Ok(true);
        }
        match map_on_host(&mut more, &tail, false) {
            Ok(()) => {}
            Err(Error::Exists) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.insert(more);
        Ok(true)
    }

    fn move_area(
        &mut self,
        vma: &Vma,
        r: &RemapRequest,
        old_len: usize,
        extents: &[Extent],
        dead: &mut Vec<Vma>,
    ) -> Result<usize> {
        if self.vmas.count() + 3 > self.max_vmas {
            return Err(Error::NoMemory);
        }
        let mut moved = vma.clone();
        moved.offset = vma.offset_of(r.old);
        let target = match r.fixed {
            Some(new) => new,
            None => self.place(r.new_len, PAGE, r.hint, r.reach, |addr| {
                host().map(addr, r.new_len, Prot::empty(), MapMode::empty(), Backing::Anonymous)
            })?,
        };
        moved.start = target;
        moved.end = target + r.new_len;
        moved.filled = moved.end;
        let done = match &vma.object {
            Object::Pages { .. } if vma.shared() => map_on_host(&mut moved, extents, true),
            Object::Pages { .. } => move_private_pages(&mut moved, vma, r, old_len, extents),
            _ if old_len == 0 => map_on_host(&mut moved, &[], true),
            _ => move_on_host(r, old_len, target),
        };
        if let Err(error) = done {
            if r.fixed.is_none() {
                let _ = host().unmap(target, r.new_len);
            }
            return Err(error);
        }
        if !r.keep_old && old_len > 0 {
            if matches!(vma.object, Object::Pages { .. }) {
                let _ = host().unmap(r.old, old_len);
            }
            self.search.freed(r.old + old_len);
            dead.extend(self.vmas.remove(r.old, r.old + old_len));
        } else if r.keep_old {
            self.vmas.update(r.old, r.old + old_len, |a| a.flags.remove(VmaFlags::LOCKED | VmaFlags::LOCKONFAULT));
        }
        self.insert(moved);
        Ok(target)
    }
}

/// Moves what the host has at the old place. One vma of ours can be several mappings of the host, which does not join
/// what was moved, or was advised in part, with what is beside it, and refuses to move more than one at once (`Fault`):
/// then they go one after the other. Where each ends is found by halving.
fn move_on_host(r: &RemapRequest, old_len: usize, target: usize) -> Result<()> {
    let mut done = 0;
    let mut piece = old_len;
    while done < old_len {
        let is_last = done + piece == old_len;
        let new_len = if is_last { r.new_len - done } else { piece };
        match host().remap(r.old + done, piece, new_len, target + done, r.keep_old) {
            Ok(()) => {
                done += piece;
                piece = old_len - done;
            }
            Err(Error::Fault) if piece > PAGE => piece = (piece / 2).next_multiple_of(PAGE),
            Err(error) => {
                if !r.keep_old {
                    move_back(r.old, target, done);
                }
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Undoes a part of [`move_on_host`].
fn move_back(old: usize, target: usize, len: usize) {
    let mut done = 0;
    let mut piece = len;
    while done < len {
        match host().remap(target + done, piece, piece, old + done, false) {
            Ok(()) => {
                done += piece;
                piece = len - done;
            }
            Err(Error::Fault) if piece > PAGE => piece = (piece / 2).next_multiple_of(PAGE),
            // The host has no room for another mapping: what it could not take back is lost to both places.
            Err(_) => return,
        }
    }
}

/// Private pages of a file in the arena move with the host mappings they are in, one for each run of pages.
fn move_private_pages(moved: &mut Vma, vma: &Vma, r: &RemapRequest, old_len: usize, extents: &[Extent]) -> Result<()> {
    let target = moved.start;
    let filled = vma.filled.clamp(r.old, r.old + old_len) - r.old;
    host().map(target, r.new_len, Prot::empty(), MapMode::REPLACE, Backing::Anonymous)?;
    moved.filled = target;
    for extent in extents {
        let at = (extent.offset - moved.offset) as usize;
        let len = (extent.len as usize).min(r.new_len.saturating_sub(at));
        if target + at != moved.filled || len == 0 {
            break;
        }
        let keep = filled.saturating_sub(at).min(len);
        if keep > 0 {
            host().remap(r.old + at, keep, keep, target + at, r.keep_old)?;
        }
        if len > keep {
            let backing = Backing::Arena { offset: extent.arena + keep as u64 };
            host().map(target + at + keep, len - keep, moved.prot, MapMode::REPLACE, backing)?;
        }
        moved.filled = target + at + len;
    }
    Ok(())
}

fn occupied(error: Error) -> Error {
    if error == Error::Exists { Error::NoMemory } else { error }
}

/// The part of `extents` behind `skip` bytes from file offset `base`.
fn tail_of(extents: &[Extent], base: u64, skip: usize) -> Vec<Extent> {
    let from = base.saturating_add(skip as u64);
    extents
        .iter()
        .filter(|e| e.offset + e.len > from)
        .map(|e| {
            let cut = from.saturating_sub(e.offset);
            Extent { offset: e.offset + cut, arena: e.arena + cut, len: e.len - cut }
        })
        .collect()
}

fn fill(vma: &Vma, start: usize, grow: usize) -> Fill {
    let wanted = vma.flags.contains(VmaFlags::LOCKED) && !vma.flags.contains(VmaFlags::LOCKONFAULT);
    (wanted && grow > 0 && !vma.prot.is_empty()).then_some((start, grow, vma.prot))
}
