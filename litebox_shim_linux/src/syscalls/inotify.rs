//! Watching files and directories.

use litebox::fs::{Access, Inotify, LookupFlags, StatusFlags, WatchMask};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::InotifyFlags;
use litebox_common_linux::argument::UserStr;

use super::file::{AT_FDCWD, creds_of, read_path};
use crate::Task;

impl Task<'_, '_> {
    /// inotify_init(2)
    pub(crate) fn inotify_init(&mut self) -> Result<usize> {
        self.inotify_init1(InotifyFlags::empty())
    }

    /// inotify_init1(2)
    pub(crate) fn inotify_init1(&mut self, flags: InotifyFlags) -> Result<usize> {
        if !InotifyFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::NONBLOCK, flags.contains(InotifyFlags::IN_NONBLOCK));
        let file = Inotify::new(&self.kernel().vfs.watches)?;
        let file = self.nameless(file, Access::READ, status);
        self.install(file, flags.contains(InotifyFlags::IN_CLOEXEC))
    }

    /// inotify_add_watch(2)
    pub(crate) fn inotify_add_watch(&mut self, fd: i32, path: UserStr, mask: u32) -> Result<usize> {
        let mask = WatchMask::from_bits_truncate(mask);
        if mask.is_empty() || mask.contains(WatchMask::MASK_ADD | WatchMask::MASK_CREATE) {
            return Err(Error::Invalid);
        }
        let file = self.file(fd)?;
        let inotify = file.file.as_any().downcast_ref::<Inotify>().ok_or(Error::Invalid)?;
        let mut walk = LookupFlags::empty();
        walk.set(LookupFlags::FOLLOW, !mask.contains(WatchMask::DONT_FOLLOW));
        walk.set(LookupFlags::DIRECTORY, mask.contains(WatchMask::ONLYDIR));
        let at = self.walk(AT_FDCWD, &read_path(path)?, walk)?;
        let credentials = self.creds();
        litebox::fs::check_inode_permission(&**at.inode(), &at.rights()?, &creds_of(&credentials), Access::READ)?;
        Ok(inotify.watch(&**at.inode(), mask)? as usize)
    }

    /// inotify_rm_watch(2)
    pub(crate) fn inotify_rm_watch(&mut self, fd: i32, watch: i32) -> Result<usize> {
        let file = self.file(fd)?;
        let inotify = file.file.as_any().downcast_ref::<Inotify>().ok_or(Error::Invalid)?;
        inotify.unwatch(watch)?;
        Ok(0)
    }
}
