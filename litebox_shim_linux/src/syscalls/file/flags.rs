//! Flags of files, as chattr(1) sets them: files have none here, and get none. file_getattr(2), file_setattr(2), and
//! the requests of ioctl(2) that came before them.

use litebox::fs::{FileType, Inode};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::AtFlags;
use litebox_common_linux::argument::UserStr;

use super::place::{NOFOLLOW_OR_EMPTY, PathTarget};
use crate::Task;
use crate::task::Capability;
use crate::user::{read_into, write_bytes};

/// Size of `struct file_attr`: flags, sizes of extents, project.
const ATTRIBUTES_SIZE: usize = 24;
/// The largest size of such a structure that the caller may say.
const MOST: usize = 4096;

/// Whether a file that has a place is of a kind that has flags.
pub(super) fn keeps_flags(inode: &dyn Inode) -> bool {
    matches!(inode.file_type(), FileType::Regular | FileType::Directory) && !is_of_tables(inode)
}

/// Whether it is one of /proc.
pub(super) fn is_of_tables(inode: &dyn Inode) -> bool {
    const PROC_MAGIC: u64 = 0x9fa0;
    inode.stat_fs().is_ok_and(|figures| figures.magic == PROC_MAGIC)
}

fn check(size: usize, flags: AtFlags) -> Result<()> {
    if !NOFOLLOW_OR_EMPTY.contains(flags) {
        return Err(Error::Invalid);
    }
    if size > MOST {
        return Err(Error::TooBig);
    }
    if size < ATTRIBUTES_SIZE { Err(Error::Invalid) } else { Ok(()) }
}

impl Task<'_, '_> {
    /// file_getattr(2)
    pub(crate) fn file_getattr(
        &mut self,
        dirfd: i32,
        path: UserStr,
        attributes: u64,
        size: usize,
        flags: AtFlags,
    ) -> Result<usize> {
        check(size, flags)?;
        match self.target(dirfd, path, flags)? {
            PathTarget::Place(at) if keeps_flags(&**at.inode()) => {}
            _ => return Err(Error::NotSupported),
        }
        // What a later version of the structure holds more is zero too.
        write_bytes(attributes, &alloc::vec![0; size]).map(|()| 0)
    }

    /// file_setattr(2)
    pub(crate) fn file_setattr(
        &mut self,
        dirfd: i32,
        path: UserStr,
        attributes: u64,
        size: usize,
        flags: AtFlags,
    ) -> Result<usize> {
        check(size, flags)?;
        let mut raw = alloc::vec![0; size];
        read_into(attributes, &mut raw)?;
        if raw.iter().skip(ATTRIBUTES_SIZE).any(|byte| *byte != 0) {
            return Err(Error::TooBig);
        }
        let at = match self.target(dirfd, path, flags)? {
            PathTarget::Place(at) if keeps_flags(&**at.inode()) => at,
            _ => return Err(Error::NotSupported),
        };
        let creds = self.creds();
        if at.metadata()?.uid != creds.fsuid && !creds.can(Capability::FileOwner) {
            return Err(Error::NotPermitted);
        }
        if raw.iter().all(|byte| *byte == 0) { Ok(0) } else { Err(Error::NotSupported) }
    }
}
