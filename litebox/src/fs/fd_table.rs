//! Descriptors of a process.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::sync::RwLock;
use crate::{Error, Result};

use super::OpenFile;

/// One descriptor.
#[derive(Clone)]
pub struct FdEntry {
    /// What it refers to.
    pub file: Arc<OpenFile>,
    /// `FD_CLOEXEC`.
    pub close_on_exec: bool,
}

/// The descriptors of a process. Shared between threads (and by `CLONE_FILES`).
#[derive(Default)]
pub struct FdTable {
    slots: RwLock<Slots>,
}

#[derive(Default)]
struct Slots {
    entries: Vec<Option<FdEntry>>,
    /// No free slot lies below this index.
    lowest_free: usize,
}

impl Slots {
    fn first_free(&self, from: usize) -> usize {
        let start = from.max(self.lowest_free);
        (start..self.entries.len())
            .find(|&i| matches!(self.entries.get(i), Some(None)))
            .unwrap_or(start.max(self.entries.len()))
    }
    fn put(&mut self, index: usize, entry: FdEntry) -> Result<Option<FdEntry>> {
        if index >= self.entries.len() {
            self.entries.try_reserve(index + 1 - self.entries.len()).map_err(|_| Error::NoMemory)?;
            self.entries.resize(index + 1, None);
        }
        if index == self.lowest_free {
            self.lowest_free = index + 1;
        }
        Ok(self.entries.get_mut(index).and_then(|slot| slot.replace(entry)))
    }
    fn take(&mut self, index: usize) -> Option<FdEntry> {
        let taken = self.entries.get_mut(index)?.take();
        if taken.is_some() {
            self.lowest_free = self.lowest_free.min(index);
        }
        taken
    }
}

fn index_of(fd: i32) -> Result<usize> {
    usize::try_from(fd).map_err(|_| Error::BadDescriptor)
}

impl FdTable {
    /// An empty table.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
    /// The open file behind `fd`; `BadDescriptor`.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>> {
        let index = index_of(fd)?;
        let slots = self.slots.read();
        slots.entries.get(index).and_then(Option::as_ref).map(|e| e.file.clone()).ok_or(Error::BadDescriptor)
    }
    /// As [`FdTable::get`], for a table that only the calling thread changes: nothing is locked or counted.
    ///
    /// # Safety
    /// While the reference is there, nobody takes an entry out of the table or exchanges one, and the table stays.
    #[inline]
    pub unsafe fn lend<'a>(&self, fd: i32) -> Result<&'a OpenFile> {
        let index = index_of(fd)?;
        // SAFETY: nobody else changes the table (the caller's promise), and this call does not.
        let slots = unsafe { self.slots.unlocked() };
        let entry = slots.entries.get(index).and_then(Option::as_ref).ok_or(Error::BadDescriptor)?;
        // SAFETY: the entry's reference keeps the file, and the entry stays (the caller's promise).
        Ok(unsafe { &*Arc::as_ptr(&entry.file) })
    }
    /// The whole entry.
    pub fn entry(&self, fd: i32) -> Result<FdEntry> {
        let index = index_of(fd)?;
        self.slots.read().entries.get(index).and_then(Clone::clone).ok_or(Error::BadDescriptor)
    }
    /// Puts `file` at the lowest free descriptor not below `from`; `limit` is RLIMIT_NOFILE (`TooManyFiles`).
    pub fn install_from(&self, from: i32, file: Arc<OpenFile>, close_on_exec: bool, limit: u64) -> Result<i32> {
        let from = index_of(from)?;
        let mut slots = self.slots.write();
        let index = slots.first_free(from);
        let fd = i32::try_from(index).map_err(|_| Error::TooManyFiles)?;
        if index as u64 >= limit {
            return Err(Error::TooManyFiles);
        }
        slots.put(index, FdEntry { file, close_on_exec })?;
        Ok(fd)
    }
    /// Whether a descriptor is free below `limit`: `TooManyFiles`.
    pub fn check_room(&self, limit: u64) -> Result<()> {
        let free = self.slots.read().first_free(0);
        if i32::try_from(free).is_ok() && (free as u64) < limit { Ok(()) } else { Err(Error::TooManyFiles) }
    }
    /// Puts `file` at the lowest free descriptor.
    pub fn install(&self, file: Arc<OpenFile>, close_on_exec: bool, limit: u64) -> Result<i32> {
        self.install_from(0, file, close_on_exec, limit)
    }
    /// Puts `file` at `fd`, returning what was there (to be closed by the caller, outside any lock); dup2(2).
    pub fn install_at(
        &self,
        fd: i32,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        limit: u64,
    ) -> Result<Option<Arc<OpenFile>>> {
        let index = index_of(fd)?;
        if index as u64 >= limit {
            return Err(Error::BadDescriptor);
        }
        Ok(self.slots.write().put(index, FdEntry { file, close_on_exec })?.map(|e| e.file))
    }
    /// Takes `fd` out. The caller drops it outside any lock.
    pub fn remove(&self, fd: i32) -> Result<Arc<OpenFile>> {
        let index = index_of(fd)?;
        self.slots.write().take(index).map(|e| e.file).ok_or(Error::BadDescriptor)
    }
    /// Sets `FD_CLOEXEC`.
    pub fn set_close_on_exec(&self, fd: i32, on: bool) -> Result<()> {
        let index = index_of(fd)?;
        let mut slots = self.slots.write();
        let entry = slots.entries.get_mut(index).and_then(Option::as_mut).ok_or(Error::BadDescriptor)?;
        entry.close_on_exec = on;
        Ok(())
    }
    /// Descriptors in use, ascending.
    pub fn descriptors(&self) -> Vec<i32> {
        let slots = self.slots.read();
        slots.entries.iter().enumerate().filter(|(_, e)| e.is_some()).map(|(i, _)| i as i32).collect()
    }
    /// Takes out every descriptor in `first..=last`; close_range(2).
    pub fn remove_range(&self, first: u32, last: u32) -> Vec<Arc<OpenFile>> {
        let mut slots = self.slots.write();
        let end = slots.entries.len().min((last as usize).saturating_add(1));
        (first as usize..end).filter_map(|i| slots.take(i)).map(|e| e.file).collect()
    }
    /// Takes out the first descriptor from `first` on; returns it and its file.
    pub fn remove_next(&self, first: usize) -> Option<(usize, Arc<OpenFile>)> {
        let mut slots = self.slots.write();
        let fd = (first..slots.entries.len()).find(|&fd| matches!(slots.entries.get(fd), Some(Some(_))))?;
        slots.take(fd).map(|entry| (fd, entry.file))
    }
    /// Takes out what execve(2) closes.
    pub fn remove_close_on_exec(&self) -> Vec<Arc<OpenFile>> {
        let mut slots = self.slots.write();
        let marked: Vec<usize> = slots
            .entries
            .iter()
            .enumerate()
            .filter(|(_, e)| e.as_ref().is_some_and(|e| e.close_on_exec))
            .map(|(i, _)| i)
            .collect();
        marked.into_iter().filter_map(|i| slots.take(i)).map(|e| e.file).collect()
    }
    /// Closes everything; the process ends.
    pub fn close_all(&self) {
        let all = core::mem::take(&mut *self.slots.write());
        drop(all);
    }
    /// A table of its own with the same entries (fork, `CLOSE_RANGE_UNSHARE`).
    pub fn duplicate(&self) -> Arc<Self> {
        let slots = self.slots.read();
        Arc::new(Self { slots: RwLock::new(Slots { entries: slots.entries.clone(), lowest_free: slots.lowest_free }) })
    }
}

#[cfg(test)]
mod tests;
