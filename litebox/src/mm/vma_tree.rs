//! The vmas of an address space in order, split and merged as they change.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::vma::{Vma, VmaFlags};

/// Vmas by start address. They never overlap.
#[derive(Clone, Default)]
pub(super) struct VmaTree {
    vmas: BTreeMap<usize, Vma>,
    /// Figures kept with every change.
    pub total: usize,
    pub data: usize,
    pub stack: usize,
    pub locked: usize,
}

impl VmaTree {
    /// Number of vmas.
    pub fn count(&self) -> usize {
        self.vmas.len()
    }
    /// The vma that holds `addr`.
    pub fn find(&self, addr: usize) -> Option<&Vma> {
        self.vmas.range(..=addr).next_back().map(|(_, a)| a).filter(|a| addr < a.end)
    }
    /// The first vma that ends behind `addr`.
    pub fn find_from(&self, addr: usize) -> Option<&Vma> {
        self.find(addr).or_else(|| self.vmas.range(addr..).next().map(|(_, a)| a))
    }
    /// Vmas that overlap `[start, end)`, ascending.
    pub fn overlapping(&self, start: usize, end: usize) -> impl DoubleEndedIterator<Item = &Vma> {
        let first = self.find(start).map_or(start, |a| a.start);
        self.vmas.range(first..end.max(first)).map(|(_, a)| a)
    }
    /// All vmas below `addr`, descending.
    pub fn below(&self, addr: usize) -> impl Iterator<Item = &Vma> {
        self.vmas.range(..addr).rev().map(|(_, a)| a)
    }
    /// All vmas, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &Vma> {
        self.vmas.values()
    }
    /// Whether `[start, end)` is covered without a hole.
    pub fn covered(&self, start: usize, end: usize) -> bool {
        let mut at = start;
        for vma in self.overlapping(start, end) {
            if vma.start > at {
                return false;
            }
            at = vma.end;
        }
        at >= end
    }
    /// Bytes of `[start, end)` that are mapped.
    pub fn mapped_bytes(&self, start: usize, end: usize) -> usize {
        self.overlapping(start, end).map(|a| a.end.min(end) - a.start.max(start)).sum()
    }
    /// How many vmas more there would be if `[start, end)` were cut out.
    pub fn splits(&self, start: usize, end: usize) -> usize {
        match self.find(start) {
            Some(vma) if vma.start < start && vma.end > end => 1,
            _ => 0,
        }
    }

    fn count_in(&mut self, vma: &Vma) {
        let len = vma.len();
        self.total += len;
        if vma.is_data() {
            self.data += len;
        }
        if vma.flags.contains(VmaFlags::GROWSDOWN) {
            self.stack += len;
        }
        if vma.flags.contains(VmaFlags::LOCKED) {
            self.locked += vma.lockable();
        }
    }
    fn count_out(&mut self, vma: &Vma) {
        let len = vma.len();
        self.total -= len;
        if vma.is_data() {
            self.data -= len;
        }
        if vma.flags.contains(VmaFlags::GROWSDOWN) {
            self.stack -= len;
        }
        if vma.flags.contains(VmaFlags::LOCKED) {
            self.locked -= vma.lockable();
        }
    }
    fn put(&mut self, vma: Vma) {
        self.count_in(&vma);
        self.vmas.insert(vma.start, vma);
    }
    fn take(&mut self, start: usize) -> Option<Vma> {
        let vma = self.vmas.remove(&start)?;
        self.count_out(&vma);
        Some(vma)
    }

    /// Cuts `[start, end)` out and returns what was there, ascending.
    pub fn remove(&mut self, start: usize, end: usize) -> Vec<Vma> {
        let keys: Vec<usize> = self.overlapping(start, end).map(|a| a.start).collect();
        let mut removed = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(vma) = self.take(key) else { continue };
            if vma.start < start {
                self.put(vma.part(vma.start, start));
            }
            if vma.end > end {
                self.put(vma.part(end, vma.end));
            }
            removed.push(if vma.start < start || vma.end > end { vma.part(start, end) } else { vma });
        }
        removed
    }

    /// Puts a vma where nothing is, joining it with its neighbours where they are alike.
    pub fn insert(&mut self, mut vma: Vma) {
        let left = self.below(vma.start).next().filter(|a| a.joins(&vma)).map(|a| a.start);
        if let Some(start) = left {
            if let Some(left) = self.take(start) {
                if left.filled < left.end {
                    vma.filled = left.filled;
                }
                vma.start = left.start;
                vma.offset = left.offset;
            }
        }
        if self.vmas.get(&vma.end).is_some_and(|next| vma.joins(next)) {
            if let Some(right) = self.take(vma.end) {
                if vma.filled == vma.end {
                    vma.filled = right.filled;
                }
                vma.end = right.end;
            }
        }
        self.put(vma);
    }

    /// Changes the vmas of `[start, end)` by `change`, splitting and joining as needed.
    pub fn update(&mut self, start: usize, end: usize, mut change: impl FnMut(&mut Vma)) {
        for mut vma in self.remove(start, end) {
            change(&mut vma);
            self.insert(vma);
        }
    }

    /// Takes all vmas out.
    pub fn clear(&mut self) -> Vec<Vma> {
        let all = core::mem::take(self);
        all.vmas.into_values().collect()
    }
}
