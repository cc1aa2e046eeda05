//! Names: linking, removing, renaming, symbolic links, nodes.

use litebox::fs::{FileType, LookupFlags, NewNode, RenameFlags};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{AtFlags, UnlinkFlags};
use litebox_common_linux::argument::UserStr;

use super::AT_FDCWD;
use super::place::{PathTarget, read_path};
use crate::Task;
use crate::user::write_bytes;

impl Task<'_, '_> {
    /// unlink(2)
    pub(crate) fn unlink(&mut self, path: UserStr) -> Result<usize> {
        self.unlinkat(AT_FDCWD, path, UnlinkFlags::empty())
    }
    /// unlinkat(2)
    pub(crate) fn unlinkat(&mut self, dirfd: i32, path: UserStr, flags: UnlinkFlags) -> Result<usize> {
        if !UnlinkFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        if flags.contains(UnlinkFlags::AT_REMOVEDIR) {
            return self.remove_directory(dirfd, path);
        }
        let path = read_path(path)?;
        self.with_origin(dirfd, &path, |vfs, from| vfs.unlink(from, &path))?;
        Ok(0)
    }

    /// rename(2)
    pub(crate) fn rename(&mut self, old: UserStr, new: UserStr) -> Result<usize> {
        self.renameat2(AT_FDCWD, old, AT_FDCWD, new, RenameFlags::empty())
    }
    /// renameat(2)
    pub(crate) fn renameat(&mut self, old_dir: i32, old: UserStr, new_dir: i32, new: UserStr) -> Result<usize> {
        self.renameat2(old_dir, old, new_dir, new, RenameFlags::empty())
    }
    /// renameat2(2)
    pub(crate) fn renameat2(
        &mut self,
        old_dir: i32,
        old: UserStr,
        new_dir: i32,
        new: UserStr,
        flags: RenameFlags,
    ) -> Result<usize> {
        if !RenameFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        if flags.contains(RenameFlags::RENAME_EXCHANGE)
            && flags.intersects(RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_WHITEOUT)
        {
            return Err(Error::Invalid);
        }
        if flags.contains(RenameFlags::RENAME_WHITEOUT) {
            // A whiteout is a device node, which nobody here may make.
            return Err(Error::NotPermitted);
        }
        let old = read_path(old)?;
        // Linux finds the first directory before it looks at the second name.
        self.with_origin(old_dir, &old, |_, _| if old.is_empty() { Err(Error::NotFound) } else { Ok(()) })?;
        let new = read_path(new)?;
        self.with_origin(old_dir, &old, |vfs, old_from| {
            self.with_origin(new_dir, &new, |_, new_from| vfs.rename(old_from, &old, new_from, &new, flags))
        })?;
        Ok(0)
    }

    /// link(2)
    pub(crate) fn link(&mut self, old: UserStr, new: UserStr) -> Result<usize> {
        self.linkat(AT_FDCWD, old, AT_FDCWD, new, AtFlags::empty())
    }
    /// linkat(2)
    pub(crate) fn linkat(
        &mut self,
        old_dir: i32,
        old: UserStr,
        new_dir: i32,
        new: UserStr,
        flags: AtFlags,
    ) -> Result<usize> {
        if !(AtFlags::AT_SYMLINK_FOLLOW | AtFlags::AT_EMPTY_PATH).contains(flags) {
            return Err(Error::Invalid);
        }
        let old = read_path(old)?;
        let target = if old.is_empty() && flags.contains(AtFlags::AT_EMPTY_PATH) {
            if old_dir == AT_FDCWD {
                self.thread.fs.cwd.read().clone()
            } else {
                let PathTarget::Place(at) = PathTarget::of(self.file_or_path(old_dir)?) else {
                    return Err(Error::CrossDevice);
                };
                at
            }
        } else {
            let mut walk = LookupFlags::empty();
            walk.set(LookupFlags::FOLLOW, flags.contains(AtFlags::AT_SYMLINK_FOLLOW));
            self.walk(old_dir, &old, walk)?
        };
        let new = read_path(new)?;
        self.with_origin(new_dir, &new, |vfs, from| vfs.link(from, &target, &new))?;
        Ok(0)
    }

    /// symlink(2)
    pub(crate) fn symlink(&mut self, target: UserStr, path: UserStr) -> Result<usize> {
        self.symlinkat(target, AT_FDCWD, path)
    }
    /// symlinkat(2)
    pub(crate) fn symlinkat(&mut self, target: UserStr, dirfd: i32, path: UserStr) -> Result<usize> {
        let target = read_path(target)?;
        if target.is_empty() {
            return Err(Error::NotFound);
        }
        let path = read_path(path)?;
        self.with_origin(dirfd, &path, |vfs, from| vfs.make(from, &path, NewNode::Symlink(&target), 0o777))?;
        Ok(0)
    }

    /// readlink(2)
    pub(crate) fn readlink(&mut self, path: UserStr, buf: u64, size: i32) -> Result<usize> {
        self.readlinkat(AT_FDCWD, path, buf, size)
    }
    /// readlinkat(2): no zero is written; the empty path names the descriptor's own link.
    pub(crate) fn readlinkat(&mut self, dirfd: i32, path: UserStr, buf: u64, size: i32) -> Result<usize> {
        let size = usize::try_from(size).ok().filter(|s| *s > 0).ok_or(Error::Invalid)?;
        let path = read_path(path)?;
        let at = if path.is_empty() && dirfd != AT_FDCWD {
            let at = self.file_or_path(dirfd)?.location.clone().ok_or(Error::NotFound)?;
            if at.inode().file_type() != FileType::Symlink {
                return Err(Error::NotFound);
            }
            at
        } else {
            self.walk(dirfd, &path, LookupFlags::empty())?
        };
        let target = self.kernel().vfs.read_link(&at)?;
        let shown = target.get(..target.len().min(size)).unwrap_or_default();
        write_bytes(buf, shown)?;
        Ok(shown.len())
    }

    /// mknod(2)
    pub(crate) fn mknod(&mut self, path: UserStr, mode: u32, dev: u32) -> Result<usize> {
        self.mknodat(AT_FDCWD, path, mode, dev)
    }
    /// mknodat(2)
    pub(crate) fn mknodat(&mut self, dirfd: i32, path: UserStr, mode: u32, dev: u32) -> Result<usize> {
        let node = match FileType::from_mode(mode) {
            None if mode & 0o170_000 == 0 => NewNode::Regular,
            Some(FileType::Regular) => NewNode::Regular,
            Some(FileType::Fifo) => NewNode::Fifo,
            Some(FileType::Socket) => NewNode::Socket,
            Some(FileType::CharDevice) => NewNode::CharDevice(dev.into()),
            Some(FileType::BlockDevice) => NewNode::BlockDevice(dev.into()),
            Some(FileType::Directory) => return Err(Error::NotPermitted),
            _ => return Err(Error::Invalid),
        };
        let path = read_path(path)?;
        self.with_origin(dirfd, &path, |vfs, from| vfs.make(from, &path, node, mode & 0o7777))?;
        Ok(0)
    }
}
