//! The areas of an address space in order, split and merged as they change.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::area::{Area, AreaFlags};

/// Areas by start address. They never overlap.
#[derive(Clone, Default)]
pub(super) struct AreaTree {
    areas: BTreeMap<usize, Area>,
    /// Figures kept with every change.
    pub total: usize,
    pub data: usize,
    pub stack: usize,
    pub locked: usize,
}

impl AreaTree {
    /// Number of areas.
    pub fn count(&self) -> usize {
        self.areas.len()
    }
    /// The area that holds `addr`.
    pub fn find(&self, addr: usize) -> Option<&Area> {
        self.areas.range(..=addr).next_back().map(|(_, a)| a).filter(|a| addr < a.end)
    }
    /// The first area that ends behind `addr`.
    pub fn find_from(&self, addr: usize) -> Option<&Area> {
        self.find(addr).or_else(|| self.areas.range(addr..).next().map(|(_, a)| a))
    }
    /// Areas that overlap `[start, end)`, ascending.
    pub fn overlapping(&self, start: usize, end: usize) -> impl DoubleEndedIterator<Item = &Area> {
        let first = self.find(start).map_or(start, |a| a.start);
        self.areas.range(first..end.max(first)).map(|(_, a)| a)
    }
    /// All areas below `addr`, descending.
    pub fn below(&self, addr: usize) -> impl Iterator<Item = &Area> {
        self.areas.range(..addr).rev().map(|(_, a)| a)
    }
    /// All areas, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &Area> {
        self.areas.values()
    }
    /// Whether `[start, end)` is covered without a hole.
    pub fn covered(&self, start: usize, end: usize) -> bool {
        let mut at = start;
        for area in self.overlapping(start, end) {
            if area.start > at {
                return false;
            }
            at = area.end;
        }
        at >= end
    }
    /// Bytes of `[start, end)` that are mapped.
    pub fn mapped_bytes(&self, start: usize, end: usize) -> usize {
        self.overlapping(start, end).map(|a| a.end.min(end) - a.start.max(start)).sum()
    }
    /// How many areas more there would be if `[start, end)` were cut out.
    pub fn splits(&self, start: usize, end: usize) -> usize {
        match self.find(start) {
            Some(area) if area.start < start && area.end > end => 1,
            _ => 0,
        }
    }

    fn count_in(&mut self, area: &Area) {
        let len = area.len();
        self.total += len;
        if area.is_data() {
            self.data += len;
        }
        if area.flags.contains(AreaFlags::GROWSDOWN) {
            self.stack += len;
        }
        if area.flags.contains(AreaFlags::LOCKED) {
            self.locked += len;
        }
    }
    fn count_out(&mut self, area: &Area) {
        let len = area.len();
        self.total -= len;
        if area.is_data() {
            self.data -= len;
        }
        if area.flags.contains(AreaFlags::GROWSDOWN) {
            self.stack -= len;
        }
        if area.flags.contains(AreaFlags::LOCKED) {
            self.locked -= len;
        }
    }
    fn put(&mut self, area: Area) {
        self.count_in(&area);
        self.areas.insert(area.start, area);
    }
    fn take(&mut self, start: usize) -> Option<Area> {
        let area = self.areas.remove(&start)?;
        self.count_out(&area);
        Some(area)
    }

    /// Cuts `[start, end)` out and returns what was there, ascending.
    pub fn remove(&mut self, start: usize, end: usize) -> Vec<Area> {
        let keys: Vec<usize> = self.overlapping(start, end).map(|a| a.start).collect();
        let mut removed = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(area) = self.take(key) else { continue };
            if area.start < start {
                self.put(area.part(area.start, start));
            }
            if area.end > end {
                self.put(area.part(end, area.end));
            }
            removed.push(if area.start < start || area.end > end { area.part(start, end) } else { area });
        }
        removed
    }

    /// Puts an area where nothing is, joining it with its neighbours where they are alike.
    pub fn insert(&mut self, mut area: Area) {
        let left = self.below(area.start).next().filter(|a| a.joins(&area)).map(|a| a.start);
        if let Some(start) = left {
            if let Some(left) = self.take(start) {
                if left.filled < left.end {
                    area.filled = left.filled;
                }
                area.start = left.start;
                area.offset = left.offset;
            }
        }
        if self.areas.get(&area.end).is_some_and(|next| area.joins(next)) {
            if let Some(right) = self.take(area.end) {
                if area.filled == area.end {
                    area.filled = right.filled;
                }
                area.end = right.end;
            }
        }
        self.put(area);
    }

    /// Changes the areas of `[start, end)` by `change`, splitting and joining as needed.
    pub fn update(&mut self, start: usize, end: usize, mut change: impl FnMut(&mut Area)) {
        for mut area in self.remove(start, end) {
            change(&mut area);
            self.insert(area);
        }
    }

    /// Takes all areas out.
    pub fn clear(&mut self) -> Vec<Area> {
        let all = core::mem::take(self);
        all.areas.into_values().collect()
    }
}
