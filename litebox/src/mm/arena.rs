//! The page arena: file data of the memory and overlay file systems, and shared anonymous memory.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{Error, Result};

/// A growable object whose bytes lie in pages of the arena.
#[derive(Debug)]
pub struct PagedFile {}

/// A run of pages of a [`PagedFile`] that lie together in the arena. All fields are multiples of the page size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where the run starts in the file.
    pub offset: u64,
    /// Where it starts in the arena.
    pub arena: u64,
    /// Its length in bytes.
    pub len: u64,
}

impl PagedFile {
    /// A fresh object of `size` bytes of zeros (shared anonymous memory).
    pub fn with_size(_size: u64) -> Result<Arc<Self>> {
        Err(Error::NoMemory)
    }
    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        0
    }
    /// The extents that hold `[offset, offset + len)`, ascending and without gaps, cut at the end of the file rounded up to pages: holes
    /// get their (zero) pages now. Fewer than asked for when the file ends before; an error when the arena is full.
    pub fn extents(&self, _offset: u64, _len: u64) -> Result<Vec<Extent>> {
        Err(Error::NoMemory)
    }
    /// One more mapping shows these pages. While there is one, no page of the file goes back to the arena: what truncation or
    /// punching cuts off becomes zeros in place, and a file that grows again gets the same pages.
    pub fn add_mapping(&self) {}
    /// A mapping is gone.
    pub fn drop_mapping(&self) {}
}
