//! An open directory. Its entries are read through the [`Vfs`](super::Vfs), which knows what `..` is.

use alloc::sync::Arc;
use core::any::Any;

use super::{File, Inode, Metadata};
use crate::io::{Dest, Source};
use crate::{Error, Result};

/// An open directory of any file system.
pub struct DirectoryFile(Arc<dyn Inode>);

impl DirectoryFile {
    /// The directory `inode`, open.
    pub fn new(inode: Arc<dyn Inode>) -> Arc<Self> {
        Arc::new(Self(inode))
    }
}

impl File for DirectoryFile {
    /// Behind every entry there can be, as ext4 has it.
    fn end(&self) -> Result<u64> {
        Ok(i64::MAX as u64)
    }
    fn inode(&self) -> Arc<dyn Inode> {
        self.0.clone()
    }
    fn metadata(&self) -> Result<Metadata> {
        self.0.metadata()
    }
    fn read_at(&self, _dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        Err(Error::IsDirectory)
    }
    fn write_at(&self, _source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    /// Nothing of a directory waits to be written back.
    fn sync(&self, _data_only: bool) -> Result<()> {
        Ok(())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
