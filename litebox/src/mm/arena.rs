//! The page arena: file data of the memory and overlay file systems, and shared anonymous memory.

/// A growable object whose bytes lie in pages of the arena.
#[derive(Debug)]
pub struct PagedFile {}
