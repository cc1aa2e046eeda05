//! Changing metadata: permissions, owners, times, sizes; and asking what one may do.

use litebox::fs::{
    Access, Creds, File, FileType, Location, Mapping, Metadata, NewTime, OpenFile, OpenHow, SetAttr, Time, Vfs,
    WatchMask, check_permission, owner_change, permissions_change, times_change,
};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{AccessMode, AllocateMode, AtFlags, Utimbuf};
use litebox_common_linux::abi::layout::Layout;
use litebox_common_linux::abi::time::{Timespec, Timeval};
use litebox_common_linux::argument::{UserRef, UserStr};

use super::AT_FDCWD;
use super::io::MAX_FILE_SIZE;
use super::place::{NOFOLLOW_OR_EMPTY, PathTarget, creds_of, follow_flag, read_path_or_null};
use crate::Task;
use crate::signal::set::SIGXFSZ;
use crate::user::UserRead;

const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;
/// What fallocate(2) may be asked for; `FALLOC_FL_NO_HIDE_STALE` has a number and no effect.
const KNOWN_MODES: AllocateMode = AllocateMode::all().union(AllocateMode(4));

impl PathTarget {
    /// Applies a change: to the place by `at_place`, to a file without one by what `of` makes of its metadata.
    fn change(
        &self,
        at_place: impl FnOnce(&Location) -> Result<()>,
        of: impl FnOnce(&Metadata) -> Result<Option<SetAttr>>,
    ) -> Result<usize> {
        match self {
            Self::Place(at) => at_place(at)?,
            Self::Nameless(file) => {
                if let Some(change) = of(&file.file.metadata()?)? {
                    file.file.set_attr(&change)?;
                }
            }
        }
        Ok(0)
    }
}

/// -1 keeps.
fn id_of(raw: u32) -> Option<u32> {
    (raw != u32::MAX).then_some(raw)
}

/// A time of utimensat(2).
fn new_time(Timespec { sec, nsec }: Timespec) -> Result<NewTime> {
    Ok(match nsec {
        UTIME_NOW => NewTime::Now,
        UTIME_OMIT => NewTime::Keep,
        0..=999_999_999 => NewTime::At(Time { sec, nsec: nsec as u32 }),
        _ => return Err(Error::Invalid),
    })
}

/// A time of utimes(2).
fn time_of_timeval(Timeval { sec, usec }: Timeval) -> Result<NewTime> {
    let usec = u32::try_from(usec).ok().filter(|u| *u < 1_000_000).ok_or(Error::Invalid)?;
    Ok(NewTime::At(Time { sec, nsec: usec * 1000 }))
}

/// Of access and of change, one behind the other; no address: now.
fn both_times<T: Layout>(times: UserRef<T>, time: impl Fn(T) -> Result<NewTime>) -> Result<(NewTime, NewTime)> {
    if times.is_null() {
        return Ok((NewTime::Now, NewTime::Now));
    }
    let (access, change) = (times.read()?, times.nth(1)?.read()?);
    Ok((time(access)?, time(change)?))
}

impl Task<'_, '_> {
    fn with_creds<T>(&self, call: impl FnOnce(&Vfs, &Creds<'_>) -> Result<T>) -> Result<T> {
        let credentials = self.creds();
        call(&self.kernel().vfs, &creds_of(&credentials))
    }

    fn chmod_target(&self, target: &PathTarget, mode: u32) -> Result<usize> {
        self.with_creds(|vfs, creds| {
            target.change(
                |at| vfs.set_permissions(creds, at, mode & 0o7777),
                |metadata| permissions_change(creds, metadata, mode & 0o7777).map(Some),
            )
        })
    }
    /// chmod(2)
    pub(crate) fn chmod(&mut self, path: UserStr, mode: u32) -> Result<usize> {
        self.fchmodat2(AT_FDCWD, path, mode, AtFlags::empty())
    }
    /// fchmod(2)
    pub(crate) fn fchmod(&mut self, fd: i32, mode: u32) -> Result<usize> {
        let target = PathTarget::of(self.file(fd)?);
        self.chmod_target(&target, mode)
    }
    /// fchmodat(2)
    pub(crate) fn fchmodat(&mut self, dirfd: i32, path: UserStr, mode: u32) -> Result<usize> {
        self.fchmodat2(dirfd, path, mode, AtFlags::empty())
    }
    /// fchmodat2(2)
    pub(crate) fn fchmodat2(&mut self, dirfd: i32, path: UserStr, mode: u32, flags: AtFlags) -> Result<usize> {
        if !NOFOLLOW_OR_EMPTY.contains(flags) {
            return Err(Error::Invalid);
        }
        let target = self.target(dirfd, path, flags)?;
        self.chmod_target(&target, mode)
    }

    fn chown_target(&self, target: &PathTarget, uid: u32, gid: u32) -> Result<usize> {
        let (uid, gid) = (id_of(uid), id_of(gid));
        self.with_creds(|vfs, creds| {
            target.change(
                |at| vfs.set_owner(creds, at, uid, gid),
                |metadata| owner_change(creds, metadata, uid, gid).map(Some),
            )
        })
    }
    /// chown(2)
    pub(crate) fn chown(&mut self, path: UserStr, uid: u32, gid: u32) -> Result<usize> {
        self.fchownat(AT_FDCWD, path, uid, gid, AtFlags::empty())
    }
    /// lchown(2)
    pub(crate) fn lchown(&mut self, path: UserStr, uid: u32, gid: u32) -> Result<usize> {
        self.fchownat(AT_FDCWD, path, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
    }
    /// fchown(2)
    pub(crate) fn fchown(&mut self, fd: i32, uid: u32, gid: u32) -> Result<usize> {
        let target = PathTarget::of(self.file(fd)?);
        self.chown_target(&target, uid, gid)
    }
    /// fchownat(2)
    pub(crate) fn fchownat(&mut self, dirfd: i32, path: UserStr, uid: u32, gid: u32, flags: AtFlags) -> Result<usize> {
        if !NOFOLLOW_OR_EMPTY.contains(flags) {
            return Err(Error::Invalid);
        }
        let target = self.target(dirfd, path, flags)?;
        self.chown_target(&target, uid, gid)
    }

    fn set_times_of(&self, target: &PathTarget, atime: NewTime, mtime: NewTime) -> Result<usize> {
        self.with_creds(|vfs, creds| {
            target.change(
                |at| vfs.set_times(creds, at, atime, mtime),
                |metadata| {
                    let may_write = || check_permission(metadata, creds, Access::WRITE);
                    times_change(creds, metadata, (atime, mtime), may_write)
                },
            )
        })
    }
    /// utimensat(2); a null path means the descriptor itself.
    pub(crate) fn utimensat(
        &mut self,
        dirfd: i32,
        path: UserStr,
        times: UserRef<Timespec>,
        flags: AtFlags,
    ) -> Result<usize> {
        let (atime, mtime) = both_times(times, new_time)?;
        if (atime, mtime) == (NewTime::Keep, NewTime::Keep) {
            return Ok(0);
        }
        if path.is_null() && dirfd != AT_FDCWD {
            if !flags.is_empty() {
                return Err(Error::Invalid);
            }
            let target = PathTarget::of(self.file(dirfd)?);
            return self.set_times_of(&target, atime, mtime);
        }
        if !NOFOLLOW_OR_EMPTY.contains(flags) {
            return Err(Error::Invalid);
        }
        let target = self.target(dirfd, path, flags)?;
        self.set_times_of(&target, atime, mtime)
    }
    /// utimes(2)
    pub(crate) fn utimes(&mut self, path: UserStr, times: UserRef<Timeval>) -> Result<usize> {
        self.futimesat(AT_FDCWD, path, times)
    }
    /// futimesat(2)
    pub(crate) fn futimesat(&mut self, dirfd: i32, path: UserStr, times: UserRef<Timeval>) -> Result<usize> {
        let (atime, mtime) = both_times(times, time_of_timeval)?;
        let of_descriptor = path.is_null() && dirfd != AT_FDCWD;
        let target =
            if of_descriptor { PathTarget::of(self.file(dirfd)?) } else { self.target(dirfd, path, AtFlags::empty())? };
        self.set_times_of(&target, atime, mtime)
    }
    /// utime(2)
    pub(crate) fn utime(&mut self, path: UserStr, times: UserRef<Utimbuf>) -> Result<usize> {
        let (atime, mtime) = match times.read_if_given()? {
            None => (NewTime::Now, NewTime::Now),
            Some(Utimbuf { atime, mtime }) => {
                let at = |sec| NewTime::At(Time { sec, nsec: 0 });
                (at(atime), at(mtime))
            }
        };
        let target = self.target(AT_FDCWD, path, AtFlags::empty())?;
        self.set_times_of(&target, atime, mtime)
    }

    /// A length that a file may have: RLIMIT_FSIZE raises SIGXFSZ.
    fn check_length(&mut self, length: i64) -> Result<u64> {
        let length = u64::try_from(length).map_err(|_| Error::Invalid)?;
        if length > self.file_size_limit() {
            self.send_self(SIGXFSZ);
            return Err(Error::FileTooBig);
        }
        if length > MAX_FILE_SIZE { Err(Error::FileTooBig) } else { Ok(length) }
    }
    /// truncate(2)
    pub(crate) fn truncate(&mut self, path: UserStr, length: i64) -> Result<usize> {
        if length < 0 {
            return Err(Error::Invalid);
        }
        let PathTarget::Place(at) = self.target(AT_FDCWD, path, AtFlags::empty())? else { return Err(Error::Invalid) };
        match at.inode().file_type() {
            FileType::Regular => {}
            FileType::Directory => return Err(Error::IsDirectory),
            _ => return Err(Error::Invalid),
        }
        let size = self.check_length(length)?;
        let once = || self.with_creds(|vfs, creds| vfs.truncate(creds, &at, size));
        let result = match once() {
            Err(Error::WouldBlock) => self.despite_leases(once),
            other => other,
        };
        result.map_err(|e| self.restartable(e))?;
        // Only files in memory count who has them open, and only they can be cut under mappings of others.
        if at.inode().usage().is_some() {
            let how = OpenHow { access: Access::READ, truncate: false, nonblocking: true, append: false };
            if let Ok(file) = at.inode().clone().open(&how) {
                self.cut_mappings(&*file, size);
            }
        }
        Ok(0)
    }
    /// ftruncate(2)
    pub(crate) fn ftruncate(&mut self, fd: i32, length: i64) -> Result<usize> {
        if length < 0 {
            return Err(Error::Invalid);
        }
        let file = self.file(fd)?;
        if !regular_for_writing(&file) {
            return Err(Error::Invalid);
        }
        let size = self.check_length(length)?;
        file.file.set_attr(&SetAttr { size: Some(size), ..SetAttr::default() })?;
        file.tell(WatchMask::MODIFY);
        self.cut_mappings(&*file.file, size);
        Ok(0)
    }
    /// A file was cut: what is mapped behind its new end goes, in all processes.
    pub(super) fn cut_mappings(&self, file: &dyn File, size: u64) {
        if let Ok(Mapping::Arena(pages)) = file.mapping() {
            self.thread.cut_mappings(&pages, size);
        }
    }
    /// fallocate(2)
    pub(crate) fn fallocate(&mut self, fd: i32, mode: AllocateMode, offset: i64, len: i64) -> Result<usize> {
        let file = self.file(fd)?;
        let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else { return Err(Error::Invalid) };
        if len == 0 {
            return Err(Error::Invalid);
        }
        if !KNOWN_MODES.contains(mode) {
            return Err(Error::NotSupported);
        }
        if !file.access.contains(Access::WRITE) {
            return Err(Error::BadDescriptor);
        }
        match file.file.inode().file_type() {
            FileType::Regular if file.file.transfers() => {}
            FileType::Fifo => return Err(Error::NotSeekable),
            FileType::Directory => return Err(Error::IsDirectory),
            _ => return Err(Error::NoDevice),
        }
        let end = offset.checked_add(len).filter(|end| *end <= MAX_FILE_SIZE).ok_or(Error::FileTooBig)?;
        if !mode.contains(AllocateMode::FALLOC_FL_KEEP_SIZE) && end > self.file_size_limit() {
            self.send_self(SIGXFSZ);
            return Err(Error::FileTooBig);
        }
        file.file.allocate(mode.bits(), offset, len)?;
        file.tell(WatchMask::MODIFY);
        Ok(0)
    }

    /// access(2)
    pub(crate) fn access(&mut self, path: UserStr, mode: AccessMode) -> Result<usize> {
        self.faccessat2(AT_FDCWD, path, mode, AtFlags::empty())
    }
    /// faccessat(2), the system call: no flags.
    pub(crate) fn faccessat(&mut self, dirfd: i32, path: UserStr, mode: AccessMode) -> Result<usize> {
        self.faccessat2(dirfd, path, mode, AtFlags::empty())
    }
    /// faccessat2(2): with the real ids unless `AT_EACCESS`.
    pub(crate) fn faccessat2(&mut self, dirfd: i32, path: UserStr, mode: AccessMode, flags: AtFlags) -> Result<usize> {
        let known = NOFOLLOW_OR_EMPTY | AtFlags::AT_EACCESS;
        if !AccessMode::all().contains(mode) || !known.contains(flags) {
            return Err(Error::Invalid);
        }
        let credentials = self.creds();
        let creds = if flags.contains(AtFlags::AT_EACCESS) { creds_of(&credentials) } else { credentials.for_access() };
        let path = read_path_or_null(path, flags)?;
        let access = Access::from_bits_truncate(mode.bits() as u8);
        if let Some(seen) = self.lookup_fast_as(&creds, dirfd, &path, follow_flag(flags)) {
            if let Some(outcome) = self.kernel().vfs.check_access_fast(&creds, &seen?, access) {
                return outcome.map(|()| 0);
            }
        }
        let target = self.target_for(creds, dirfd, &path, flags)?;
        if mode == AccessMode::F_OK {
            return Ok(0);
        }
        match &target {
            PathTarget::Place(at) => self.kernel().vfs.check_access(&creds, at, access)?,
            PathTarget::Nameless(file) => check_permission(&file.file.metadata()?, &creds, access)?,
        }
        Ok(0)
    }
}

fn regular_for_writing(file: &OpenFile) -> bool {
    file.access.contains(Access::WRITE) && super::is_regular(file)
}
