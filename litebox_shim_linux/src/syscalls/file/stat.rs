//! Metadata: the stat family, statx, statfs.

use litebox::fs::{FileType, InodeId, Metadata, StatFs as StatFsFigures, Time};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{AtFlags, Stat, StatFs, Statx, StatxMask, StatxTime};
use litebox_common_linux::abi::layout::Layouts;
use litebox_common_linux::argument::{UserMut, UserStr};

use super::AT_FDCWD;
use super::place::{NOFOLLOW_OR_EMPTY, PathTarget, follow_flag, read_path_or_null};
use crate::Task;
use crate::user::UserWrite;

/// What newfstatat(2) takes.
const KNOWN: AtFlags = NOFOLLOW_OR_EMPTY.union(AtFlags::AT_NO_AUTOMOUNT);
/// How statx(2) should keep up with a server: no matter here, but both at once are an error.
const AT_STATX_SYNC_TYPE: AtFlags = AtFlags::AT_STATX_FORCE_SYNC.union(AtFlags::AT_STATX_DONT_SYNC);
const STATX_RESERVED: StatxMask = StatxMask(0x8000_0000);
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
/// The longest file that programs without O_LARGEFILE know.
pub(crate) const MAX_SMALL_FILE: u64 = 0x7fff_ffff;

/// What stat(2) tells.
pub(crate) fn stat_of(m: &Metadata) -> Stat {
    Stat {
        dev: m.id.dev,
        ino: m.id.ino,
        mode16: m.mode,
        nlink: m.nlink,
        mode: m.mode,
        uid: m.uid,
        gid: m.gid,
        padding: (),
        rdev: m.rdev,
        size: m.size,
        blksize: m.blksize.into(),
        blocks: m.blocks,
        atime: m.atime.sec,
        atime_nsec: m.atime.nsec.into(),
        mtime: m.mtime.sec,
        mtime_nsec: m.mtime.nsec.into(),
        ctime: m.ctime.sec,
        ctime_nsec: m.ctime.nsec.into(),
        tail: (),
    }
}

/// Writes it, unless something does not fit.
pub(crate) fn write_stat(m: &Metadata, buf: UserMut<Stat>) -> Result<usize> {
    let fits = u32::try_from(m.id.ino).is_ok() && u16::try_from(m.nlink).is_ok() && m.size <= MAX_SMALL_FILE;
    if buf.layouts() != Layouts::X86_64 && !fits {
        return Err(Error::Overflow);
    }
    buf.write(stat_of(m)).map(|()| 0)
}

/// What statx(2) tells; of the mount it lies in the number, and whether it is that mount's root.
fn statx_of(m: &Metadata, mount: Option<(u32, bool)>) -> Statx {
    let time = |at: Time| StatxTime { sec: at.sec, nsec: at.nsec, tail: () };
    let device = |number| <[u32; 2]>::from(litebox::fs::dev::major_minor(number));
    let mut mask = StatxMask::STATX_BASIC_STATS;
    mask.set(StatxMask::STATX_BTIME, m.btime.is_some());
    mask.set(StatxMask::STATX_MNT_ID, mount.is_some());
    let is_root = mount.is_some_and(|(_, is_root)| is_root);
    Statx {
        mask: mask.bits(),
        blksize: m.blksize,
        attributes: if is_root { STATX_ATTR_MOUNT_ROOT } else { 0 },
        nlink: u32::try_from(m.nlink).unwrap_or(u32::MAX),
        uid: m.uid,
        gid: m.gid,
        mode: m.mode,
        ino: m.id.ino,
        size: m.size,
        blocks: m.blocks,
        attributes_mask: STATX_ATTR_MOUNT_ROOT,
        atime: time(m.atime),
        btime: m.btime.map(time).unwrap_or_default(),
        ctime: time(m.ctime),
        mtime: time(m.mtime),
        rdev: device(m.rdev),
        dev: device(m.id.dev),
        mount: mount.map_or(0, |(id, _)| id.into()),
        ..Statx::default()
    }
}

/// What statfs(2) tells.
fn statfs_of(s: &StatFsFigures, id: InodeId, flags: u64) -> StatFs {
    // ST_VALID: the flags mean something.
    const ST_VALID: u64 = 0x20;
    StatFs {
        kind: s.magic,
        block_size: s.block_size,
        blocks: s.blocks,
        free: s.free,
        available: s.available,
        files: s.files,
        files_free: s.files_free,
        id: id.dev,
        name_max: s.name_max,
        fragment_size: s.block_size,
        flags: flags | ST_VALID,
        tail: (),
    }
}

/// Writes it, unless a figure does not fit.
fn write_statfs(told: StatFs, buf: UserMut<StatFs>) -> Result<usize> {
    let figures = [told.blocks, told.free, told.available, told.block_size, told.files, told.files_free];
    // As many files as anybody wants.
    let fits = |figure: &u64| *figure == u64::MAX || u32::try_from(*figure).is_ok();
    if buf.layouts() != Layouts::X86_64 && !figures.iter().all(fits) {
        return Err(Error::Overflow);
    }
    buf.write(told).map(|()| 0)
}

impl PathTarget {
    /// Metadata of what it is; of an open file through it, so that nothing is looked up again.
    fn metadata(&self) -> Result<Metadata> {
        match self {
            Self::Place(at) => at.metadata(),
            Self::Nameless(file) => file.file.metadata(),
        }
    }
}

impl Task<'_, '_> {
    /// stat(2)
    pub(crate) fn stat(&mut self, path: UserStr, buf: UserMut<Stat>) -> Result<usize> {
        self.newfstatat(AT_FDCWD, path, buf, AtFlags::empty())
    }
    /// lstat(2)
    pub(crate) fn lstat(&mut self, path: UserStr, buf: UserMut<Stat>) -> Result<usize> {
        self.newfstatat(AT_FDCWD, path, buf, AtFlags::AT_SYMLINK_NOFOLLOW)
    }
    /// fstat(2)
    pub(crate) fn fstat(&mut self, fd: i32, buf: UserMut<Stat>) -> Result<usize> {
        write_stat(&self.metadata_of(fd)?, buf)
    }
    /// What an open file tells of itself.
    pub(crate) fn metadata_of(&self, fd: i32) -> Result<Metadata> {
        self.fd_guard_or_path(fd)?.file.metadata()
    }
    fn metadata_at(&self, dirfd: i32, path: UserStr, flags: AtFlags) -> Result<Metadata> {
        let path = read_path_or_null(path, flags)?;
        if let Some(seen) = self.lookup_fast(dirfd, &path, follow_flag(flags)) {
            return seen?.file.metadata();
        }
        self.target_named(dirfd, &path, flags)?.metadata()
    }
    /// newfstatat(2)
    pub(crate) fn newfstatat(
        &mut self,
        dirfd: i32,
        path: UserStr,
        buf: UserMut<Stat>,
        flags: AtFlags,
    ) -> Result<usize> {
        write_stat(&self.metadata_named(dirfd, path, flags)?, buf)
    }
    /// What newfstatat(2) tells, by its arguments.
    pub(crate) fn metadata_named(&self, dirfd: i32, path: UserStr, flags: AtFlags) -> Result<Metadata> {
        // Linux asks the descriptor before it looks at the other flags.
        let of_descriptor = flags.contains(AtFlags::AT_EMPTY_PATH)
            && dirfd >= 0
            && (path.is_null() || crate::user::read_bytes::<1>(path.0 as u64) == Ok([0]));
        if of_descriptor {
            // It knows its metadata even when its name is gone.
            return self.metadata_of(dirfd);
        }
        if !KNOWN.contains(flags) {
            return Err(Error::Invalid);
        }
        self.metadata_at(dirfd, path, flags & KNOWN)
    }
    /// statx(2)
    pub(crate) fn statx(
        &mut self,
        dirfd: i32,
        path: UserStr,
        flags: AtFlags,
        mask: StatxMask,
        buf: UserMut<Statx>,
    ) -> Result<usize> {
        let is_known = (KNOWN | AT_STATX_SYNC_TYPE).contains(flags);
        if mask.contains(STATX_RESERVED) || flags.contains(AT_STATX_SYNC_TYPE) || !is_known {
            return Err(Error::Invalid);
        }
        let (metadata, mount) = self.metadata_and_mount(dirfd, path, flags)?;
        buf.write(statx_of(&metadata, mount)).map(|()| 0)
    }
    /// Also the number of the mount it lies in, and whether it is that mount's root.
    fn metadata_and_mount(&self, dirfd: i32, path: UserStr, flags: AtFlags) -> Result<(Metadata, Option<(u32, bool)>)> {
        let name = read_path_or_null(path, flags)?;
        if let Some(seen) = self.lookup_fast(dirfd, &name, follow_flag(flags)) {
            let seen = seen?;
            return Ok((seen.file.metadata()?, Some((seen.mount, seen.is_root))));
        }
        let target = self.target_named(dirfd, &name, flags)?;
        let mount = match &target {
            PathTarget::Place(at) => Some((at.mount.id, alloc::sync::Arc::ptr_eq(&at.dentry, &at.mount.root))),
            PathTarget::Nameless(_) => None,
        };
        let is_descriptor = flags.contains(AtFlags::AT_EMPTY_PATH) && dirfd >= 0 && !path.is_null() && name.is_empty();
        let metadata = if is_descriptor { self.file_or_path(dirfd)?.file.metadata()? } else { target.metadata()? };
        Ok((metadata, mount))
    }

    /// statfs(2)
    pub(crate) fn statfs(&mut self, path: UserStr, buf: UserMut<StatFs>) -> Result<usize> {
        write_statfs(self.figures_named(path)?, buf)
    }
    /// fstatfs(2)
    pub(crate) fn fstatfs(&mut self, fd: i32, buf: UserMut<StatFs>) -> Result<usize> {
        write_statfs(self.figures_of(fd)?, buf)
    }
    /// What statfs(2) tells of a path.
    pub(crate) fn figures_named(&self, path: UserStr) -> Result<StatFs> {
        Self::figures(&self.target(AT_FDCWD, path, AtFlags::empty())?)
    }
    /// What fstatfs(2) tells of an open file.
    pub(crate) fn figures_of(&self, fd: i32) -> Result<StatFs> {
        Self::figures(&PathTarget::of(self.file_or_path(fd)?))
    }
    fn figures(target: &PathTarget) -> Result<StatFs> {
        let (inode, flags) = match target {
            PathTarget::Place(at) => (at.inode().clone(), at.mount.flags().bits()),
            PathTarget::Nameless(file) => (file.file.inode(), 0),
        };
        // ST_RELATIME and its kin have the numbers of mount(2), but for this one.
        const MS_RELATIME: u32 = 1 << 21;
        const ST_RELATIME: u64 = 4096;
        let relatime = if flags & MS_RELATIME != 0 { ST_RELATIME } else { 0 };
        let stat = inode.stat_fs()?;
        Ok(statfs_of(&stat, inode.id(), u64::from(flags & !MS_RELATIME) | relatime))
    }
}

/// Whether it is a directory, for the calls that need one.
pub(super) fn is_directory(file_type: FileType) -> Result<()> {
    if file_type == FileType::Directory { Ok(()) } else { Err(Error::NotDirectory) }
}
