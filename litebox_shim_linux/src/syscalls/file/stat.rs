//! Metadata: the stat family, statx, statfs.

use litebox::fs::{FileType, InodeId, Metadata, StatFs as StatFsFigures};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{AtFlags, Stat, StatFs, StatxMask};
use litebox_common_linux::abi::layout::Layouts;
use litebox_common_linux::argument::{UserMut, UserStr};

use super::AT_FDCWD;
use super::place::{NOFOLLOW_OR_EMPTY, PathTarget, follow_flag, read_path_or_null};
use crate::Task;
use crate::user::{UserWrite, write_bytes};

/// What newfstatat(2) takes.
const KNOWN: AtFlags = NOFOLLOW_OR_EMPTY.union(AtFlags::AT_NO_AUTOMOUNT);
/// How statx(2) should keep up with a server: no matter here, but both at once are an error.
const AT_STATX_SYNC_TYPE: AtFlags = AtFlags::AT_STATX_FORCE_SYNC.union(AtFlags::AT_STATX_DONT_SYNC);
const STATX_RESERVED: StatxMask = StatxMask(0x8000_0000);
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
const STATX_SIZE: usize = 256;
/// The longest file that programs without O_LARGEFILE know.
pub(crate) const MAX_SMALL_FILE: u64 = 0x7fff_ffff;

/// Puts little-endian fields at their offsets.
struct Fields<const N: usize>([u8; N]);

impl<const N: usize> Fields<N> {
    fn put<const L: usize>(&mut self, at: usize, bytes: [u8; L]) {
        if let Some(slot) = self.0.get_mut(at..at + L) {
            slot.copy_from_slice(&bytes);
        }
    }
    fn put64(&mut self, at: usize, n: u64) {
        self.put(at, n.to_le_bytes());
    }
    fn put32(&mut self, at: usize, n: u32) {
        self.put(at, n.to_le_bytes());
    }
    fn put16(&mut self, at: usize, n: u16) {
        self.put(at, n.to_le_bytes());
    }
}

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

/// `struct statx`.
fn statx_bytes(m: &Metadata, mount: Option<(u32, bool)>) -> [u8; STATX_SIZE] {
    let mut f = Fields([0; STATX_SIZE]);
    let mut mask = StatxMask::STATX_BASIC_STATS;
    f.put32(4, m.blksize);
    f.put32(16, u32::try_from(m.nlink).unwrap_or(u32::MAX));
    f.put32(20, m.uid);
    f.put32(24, m.gid);
    f.put16(28, m.mode as u16);
    f.put64(32, m.id.ino);
    f.put64(40, m.size);
    f.put64(48, m.blocks);
    let times = [(64, Some(m.atime)), (80, m.btime), (96, Some(m.ctime)), (112, Some(m.mtime))];
    for (at, time) in times {
        let Some(time) = time else { continue };
        f.put64(at, time.sec as u64);
        f.put32(at + 8, time.nsec);
    }
    if m.btime.is_some() {
        mask |= StatxMask::STATX_BTIME;
    }
    for (at, dev) in [(128, m.rdev), (136, m.id.dev)] {
        let (major, minor) = litebox::fs::dev::major_minor(dev);
        f.put32(at, major);
        f.put32(at + 4, minor);
    }
    f.put64(56, STATX_ATTR_MOUNT_ROOT);
    if let Some((id, is_root)) = mount {
        mask |= StatxMask::STATX_MNT_ID;
        f.put64(144, id.into());
        if is_root {
            f.put64(8, STATX_ATTR_MOUNT_ROOT);
        }
    }
    f.put32(0, mask.bits());
    f.0
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
        buf: u64,
    ) -> Result<usize> {
        let is_known = (KNOWN | AT_STATX_SYNC_TYPE).contains(flags);
        if mask.contains(STATX_RESERVED) || flags.contains(AT_STATX_SYNC_TYPE) || !is_known {
            return Err(Error::Invalid);
        }
        let (metadata, mount) = self.metadata_and_mount(dirfd, path, flags)?;
        write_bytes(buf, &statx_bytes(&metadata, mount))?;
        Ok(0)
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
