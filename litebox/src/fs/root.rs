//! The directory at the bottom of the tree: empty, nobody's, unchangeable. Everything a guest sees is mounted over it.

use alloc::sync::Arc;
use core::any::Any;

use super::{DirEntry, FileSystem, FileType, Inode, InodeId, Metadata, StatFs, Time};
use crate::{Error, Result};

const ROOT_DEV: u64 = 1;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// The file system that holds nothing but its root.
#[derive(Default)]
pub struct EmptyRoot;

impl FileSystem for EmptyRoot {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(Self)
    }
    fn type_name(&self) -> &'static str {
        "rootfs"
    }
}

impl Inode for EmptyRoot {
    fn id(&self) -> InodeId {
        InodeId { dev: ROOT_DEV, ino: 1 }
    }
    fn file_type(&self) -> FileType {
        FileType::Directory
    }
    fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata {
            id: self.id(),
            mode: FileType::Directory.mode_bits() | 0o755,
            nlink: 2,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: Time::default(),
            mtime: Time::default(),
            ctime: Time::default(),
            btime: None,
        })
    }
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>> {
        Err(Error::NotFound)
    }
    fn read_dir(&self, _cookie: u64, _sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        Ok(())
    }
    fn stat_fs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: RAMFS_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
    fn immutable(&self) -> bool {
        true
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
