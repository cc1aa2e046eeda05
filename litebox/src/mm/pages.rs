//! A mapping's hold on a file in the arena.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::Result;

use super::arena::{Extent, PagedFile};

/// A counted hold on a [`PagedFile`]: while one exists, none of its pages goes back to the arena.
pub struct MappedPages(Arc<PagedFile>);

impl MappedPages {
    /// Takes hold.
    pub fn new(pages: Arc<PagedFile>) -> Self {
        pages.add_mapping();
        Self(pages)
    }
    /// A number that no other living object has.
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
    /// The file.
    pub fn file(&self) -> &PagedFile {
        &self.0
    }
    /// Where `[offset, offset + len)` lies in the arena, as far as the file goes.
    pub(super) fn extents(&self, offset: u64, len: usize) -> Result<Vec<Extent>> {
        self.0.extents(offset, len as u64)
    }
}

impl Clone for MappedPages {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Drop for MappedPages {
    fn drop(&mut self) {
        self.0.drop_mapping();
    }
}
