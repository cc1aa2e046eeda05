//! Calls that know offsets, sizes and numbers of 64 bits where the old ones of 32-bit programs do not.

use litebox::fs::Metadata;
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{AtFlags, FcntlCommand, FileAdvice, Stat, Stat64, StatFs, StatFs64, Whence};
use litebox_common_linux::abi::layout::{Layout, Layouts};
use litebox_common_linux::abi::memory::PAGE;
use litebox_common_linux::argument::{Address, RawFd, UserMut, UserStr};
use litebox_common_linux::prelude::{MapFlags, Protection};

use crate::Task;
use crate::syscalls::file::{AT_FDCWD, Offset, stat_of};
use crate::user::UserWrite;

fn write_stat64(metadata: &Metadata, buf: UserMut<Stat64>) -> Result<usize> {
    let Stat { dev, ino, nlink, mode, uid, gid, rdev, size, blksize, blocks, .. } = stat_of(metadata);
    let Stat { atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec, .. } = stat_of(metadata);
    let (padding, padding2, ino32) = ((), (), ino);
    buf.write(Stat64 {
        dev,
        padding,
        ino32,
        mode,
        nlink,
        uid,
        gid,
        rdev,
        padding2,
        size,
        blksize,
        blocks,
        atime,
        atime_nsec,
        mtime,
        mtime_nsec,
        ctime,
        ctime_nsec,
        ino,
    })
    .map(|()| 0)
}

fn write_statfs64(told: StatFs, size: usize, buf: UserMut<StatFs64>) -> Result<usize> {
    let StatFs { kind, block_size, blocks, free, available, files, files_free, id, name_max, .. } = told;
    let StatFs { fragment_size, flags, tail, .. } = told;
    if size != StatFs64::size(buf.layouts()) {
        return Err(Error::Invalid);
    }
    buf.write(StatFs64 {
        kind,
        block_size,
        blocks,
        free,
        available,
        files,
        files_free,
        id,
        name_max,
        fragment_size,
        flags,
        tail,
    })
    .map(|()| 0)
}

/// EINVAL for another size than that of `struct statfs64`.
fn check_statfs64(size: usize) -> Result<()> {
    if size == StatFs64::size(Layouts::X86) { Ok(()) } else { Err(Error::Invalid) }
}

impl Task<'_, '_> {
    /// stat(2)
    pub(crate) fn stat64(&mut self, path: UserStr, buf: UserMut<Stat64>) -> Result<usize> {
        write_stat64(&self.metadata_named(AT_FDCWD, path, AtFlags::empty())?, buf)
    }
    /// lstat(2)
    pub(crate) fn lstat64(&mut self, path: UserStr, buf: UserMut<Stat64>) -> Result<usize> {
        write_stat64(&self.metadata_named(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)?, buf)
    }
    /// fstat(2)
    pub(crate) fn fstat64(&mut self, fd: i32, buf: UserMut<Stat64>) -> Result<usize> {
        write_stat64(&self.metadata_of(fd)?, buf)
    }
    /// fstatat(2)
    pub(crate) fn fstatat64(
        &mut self,
        dirfd: i32,
        path: UserStr,
        buf: UserMut<Stat64>,
        flags: AtFlags,
    ) -> Result<usize> {
        write_stat64(&self.metadata_named(dirfd, path, flags)?, buf)
    }
    /// statfs(2)
    pub(crate) fn statfs64(&mut self, path: UserStr, size: usize, buf: UserMut<StatFs64>) -> Result<usize> {
        check_statfs64(size)?;
        write_statfs64(self.figures_named(path)?, size, buf)
    }
    /// fstatfs(2)
    pub(crate) fn fstatfs64(&mut self, fd: i32, size: usize, buf: UserMut<StatFs64>) -> Result<usize> {
        check_statfs64(size)?;
        write_statfs64(self.figures_of(fd)?, size, buf)
    }
    /// llseek(2)
    pub(crate) fn _llseek(
        &mut self,
        fd: i32,
        high: usize,
        low: usize,
        result: UserMut<u64>,
        whence: Whence,
    ) -> Result<usize> {
        let offset = (high as u64) << 32 | low as u64 & 0xffff_ffff;
        let place = self.lseek(fd, offset as i64, whence)?;
        result.write(place as u64).map(|()| 0)
    }
    /// truncate(2)
    pub(crate) fn truncate64(&mut self, path: UserStr, len: i64) -> Result<usize> {
        self.truncate(path, len)
    }
    /// ftruncate(2)
    pub(crate) fn ftruncate64(&mut self, fd: i32, len: i64) -> Result<usize> {
        self.ftruncate(fd, len)
    }
    /// posix_fadvise(2)
    pub(crate) fn fadvise64_64(&mut self, fd: i32, offset: i64, len: i64, advice: FileAdvice) -> Result<usize> {
        self.fadvise64(fd, offset, len, advice)
    }
    /// sendfile(2)
    pub(crate) fn sendfile64(&mut self, out: i32, input: i32, offset: UserMut<u64>, count: usize) -> Result<usize> {
        self.send_file(out, input, Offset::read(offset.address() as u64)?, count)
    }
    /// fcntl(2)
    pub(crate) fn fcntl64(&mut self, fd: i32, command: FcntlCommand, argument: usize) -> Result<usize> {
        self.fcntl(fd, command, argument)
    }
    /// mmap(2), its offset in pages.
    pub(crate) fn mmap2(
        &mut self,
        address: Address,
        len: usize,
        protection: Protection,
        flags: MapFlags,
        fd: RawFd,
        page: usize,
    ) -> Result<usize> {
        let offset = page.checked_mul(PAGE).ok_or(Error::Overflow)?;
        self.mmap(address, len, protection, flags, fd, offset)
    }
}
