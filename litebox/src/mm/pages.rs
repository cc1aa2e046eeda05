//! A mapping's hold on a file in the arena.

use alloc::sync::Arc;

use crate::Result;

use super::arena::{Extents, PageCache};

/// A counted hold on a [`PageCache`]: while one exists, none of its pages goes back to the arena.
pub struct MappedPages {
    file: Arc<PageCache>,
    /// Shared, and may be written through: the file cannot be sealed against writing meanwhile.
    writable: bool,
}

impl MappedPages {
    /// Takes hold.
    pub fn new(pages: Arc<PageCache>) -> Self {
        pages.add_mapping();
        Self { file: pages, writable: false }
    }
    /// Takes hold for a shared mapping through which the file may be written.
    pub fn writable(pages: Arc<PageCache>) -> Self {
        pages.add_writable();
        pages.add_mapping();
        Self { file: pages, writable: true }
    }
    /// A number that no other living object has.
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.file).addr()
    }
    /// The file.
    pub fn file(&self) -> &PageCache {
        &self.file
    }
    /// Whether all pages of `[offset, offset + len)` are to be there at once ([`PageCache::is_dense`]).
    pub(super) fn is_dense(&self, offset: u64, len: usize) -> bool {
        self.file.is_dense(offset, len as u64)
    }
    /// Where `[offset, offset + len)` lies in the arena, as far as the file goes.
    pub(super) fn extents(&self, offset: u64, len: usize) -> Result<Extents> {
        self.file.extents(offset, len as u64)
    }
}

impl Clone for MappedPages {
    fn clone(&self) -> Self {
        if self.writable { Self::writable(self.file.clone()) } else { Self::new(self.file.clone()) }
    }
}

impl Drop for MappedPages {
    fn drop(&mut self) {
        if self.writable {
            self.file.drop_writable();
        }
        self.file.drop_mapping();
    }
}
