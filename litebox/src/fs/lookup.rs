//! What goes with the lookup of a name: what the walk wants next, and what is said of a name at once.

use alloc::sync::Arc;

use super::{FileType, Inode, Metadata};
use crate::{Error, Result};

/// What a lookup is a part of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ahead<'p> {
    /// What of the path comes behind the name; links are not followed in it.
    pub rest: &'p [u8],
    /// What the whole leads to will be opened for reading.
    pub open: bool,
}

/// What can be said of a name at once.
pub enum StatOnly {
    /// It leads to this inode.
    Inode(Arc<dyn Inode>),
    /// It leads to a file with this metadata, for which no inode had to be made.
    Metadata(Metadata),
    /// It leads nowhere.
    Absent,
}

impl StatOnly {
    /// Type of the file; `None` when there is none.
    pub fn file_type(&self) -> Option<FileType> {
        match self {
            Self::Inode(inode) => Some(inode.file_type()),
            Self::Metadata(metadata) => Some(metadata.file_type()),
            Self::Absent => None,
        }
    }
    /// Metadata of the file; `NotFound` when there is none.
    pub fn metadata(self) -> Result<Metadata> {
        match self {
            Self::Inode(inode) => inode.metadata(),
            Self::Metadata(metadata) => Ok(metadata),
            Self::Absent => Err(Error::NotFound),
        }
    }
}
