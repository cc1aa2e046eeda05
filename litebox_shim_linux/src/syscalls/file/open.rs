//! Opening files: open, openat, openat2, creat.

use alloc::sync::Arc;

use litebox::event::{Events, wait_until_ready};
use litebox::fs::{Access, LookupFlags, OpenFile, OpenRequest, Origin, StatusFlags};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{OpenFlags, OpenHow, OpenHowX86_64};
use litebox_common_linux::argument::{Arch, UserStr};

use super::AT_FDCWD;
use super::place::{creds_of, read_path};
use super::stat::MAX_SMALL_FILE;
use crate::Task;
use crate::user::read_extensible;

/// The bit of `O_TMPFILE` that is not `O_DIRECTORY`.
const TMPFILE_BIT: OpenFlags = OpenFlags::O_TMPFILE.difference(OpenFlags::O_DIRECTORY);
const PERMISSIONS: u32 = 0o7777;

/// Flags of open(2) that are kept in the open file.
const STATUS: StatusFlags = StatusFlags::APPEND
    .union(StatusFlags::NONBLOCK)
    .union(StatusFlags::DSYNC)
    .union(StatusFlags::SYNC)
    .union(StatusFlags::ASYNC)
    .union(StatusFlags::DIRECT)
    .union(StatusFlags::LARGEFILE)
    .union(StatusFlags::DIRECTORY)
    .union(StatusFlags::NOFOLLOW)
    .union(StatusFlags::NOATIME);

/// Every flag openat2(2) knows.
const KNOWN: OpenFlags = OpenFlags::O_ACCMODE
    .union(OpenFlags::O_CREAT)
    .union(OpenFlags::O_EXCL)
    .union(OpenFlags::O_NOCTTY)
    .union(OpenFlags::O_TRUNC)
    .union(OpenFlags::O_CLOEXEC)
    .union(OpenFlags::O_PATH)
    .union(TMPFILE_BIT)
    .union(OpenFlags::from_bits_retain(STATUS.bits() as i32));

const RESOLVE: [(u64, LookupFlags); 5] = [
    (1, LookupFlags::NO_XDEV),
    (2, LookupFlags::NO_MAGICLINKS),
    (4, LookupFlags::NO_SYMLINKS),
    (8, LookupFlags::BENEATH),
    (16, LookupFlags::IN_ROOT),
];
const RESOLVE_CACHED: u64 = 32;

/// What `flags` and `mode` ask for, checked as Linux checks them.
fn request(flags: OpenFlags, mode: u32, walk: LookupFlags) -> Result<OpenRequest> {
    let creates = flags.contains(OpenFlags::O_CREAT);
    let follow = !flags.contains(OpenFlags::O_NOFOLLOW);
    if flags.contains(OpenFlags::O_PATH) {
        // Everything else is ignored.
        let mut status = StatusFlags::PATH;
        status.set(StatusFlags::DIRECTORY, flags.contains(OpenFlags::O_DIRECTORY));
        status.set(StatusFlags::NOFOLLOW, !follow);
        return Ok(OpenRequest { flags: status, follow, walk, ..OpenRequest::default() });
    }
    let access = match flags & OpenFlags::O_ACCMODE {
        OpenFlags::O_RDONLY => Access::READ,
        OpenFlags::O_WRONLY => Access::WRITE,
        OpenFlags::O_RDWR => Access::READ | Access::WRITE,
        // For ioctl alone: opening asks for both permissions, and neither reading nor writing is possible.
        _ => Access::empty(),
    };
    let mut status = StatusFlags::from_bits_truncate(flags.bits() as u32) & STATUS;
    let temporary = flags.contains(TMPFILE_BIT);
    if temporary {
        if !flags.contains(OpenFlags::O_DIRECTORY) || !access.contains(Access::WRITE) || creates {
            return Err(Error::Invalid);
        }
        status |= StatusFlags::TMPFILE;
    } else if flags.contains(OpenFlags::O_DIRECTORY | OpenFlags::O_CREAT) {
        return Err(Error::Invalid);
    }
    Ok(OpenRequest {
        access,
        flags: status,
        create: creates,
        exclusive: (creates || temporary) && flags.contains(OpenFlags::O_EXCL),
        truncate: flags.contains(OpenFlags::O_TRUNC),
        follow,
        mode: if creates || temporary { mode & PERMISSIONS } else { 0 },
        walk,
    })
}

/// EOVERFLOW for a file that is too long for a program that does not know of such.
fn check_small(file: &OpenFile) -> Result<()> {
    let small = file.flags().contains(StatusFlags::SMALL) && super::is_regular(file);
    if small && file.file.metadata()?.size > MAX_SMALL_FILE { Err(Error::Overflow) } else { Ok(()) }
}

impl Task<'_, '_> {
    /// open(2)
    pub(crate) fn open(&mut self, path: UserStr, flags: OpenFlags, mode: u32) -> Result<usize> {
        self.openat(AT_FDCWD, path, flags, mode)
    }

    /// creat(2)
    pub(crate) fn creat(&mut self, path: UserStr, mode: u32) -> Result<usize> {
        let flags = OpenFlags::O_CREAT | OpenFlags::O_TRUNC | OpenFlags::O_LARGEFILE | OpenFlags::O_WRONLY;
        self.openat(AT_FDCWD, path, flags, mode)
    }

    /// openat(2): flags that are not known are ignored.
    pub(crate) fn openat(&mut self, dirfd: i32, path: UserStr, flags: OpenFlags, mode: u32) -> Result<usize> {
        let flags = flags & KNOWN;
        let mut how = request(flags, mode, LookupFlags::empty())?;
        let small = self.abi() == Arch::X86 && !how.flags.intersects(StatusFlags::LARGEFILE | StatusFlags::PATH);
        how.flags.set(StatusFlags::SMALL, small);
        self.open_as(dirfd, path, &how, flags, false)
    }

    /// openat2(2)
    pub(crate) fn openat2(&mut self, dirfd: i32, path: UserStr, how: u64, size: usize) -> Result<usize> {
        let how: OpenHow = read_extensible(how, size, size_of::<OpenHowX86_64>())?;
        let narrow = |field: u64| u32::try_from(field).map_err(|_| Error::Invalid);
        let flags = OpenFlags::from_bits_retain(narrow(how.flags)? as i32);
        let (mode, resolve) = (narrow(how.mode)?, how.resolve);
        if !KNOWN.contains(flags) || mode & !PERMISSIONS != 0 {
            return Err(Error::Invalid);
        }
        if mode != 0 && !flags.intersects(OpenFlags::O_CREAT | TMPFILE_BIT) {
            return Err(Error::Invalid);
        }
        const WITH_PATH: OpenFlags =
            OpenFlags::O_PATH.union(OpenFlags::O_DIRECTORY).union(OpenFlags::O_NOFOLLOW).union(OpenFlags::O_CLOEXEC);
        if flags.contains(OpenFlags::O_PATH) && !WITH_PATH.contains(flags) {
            return Err(Error::Invalid);
        }
        let mut walk = LookupFlags::empty();
        let mut left = resolve;
        for (bit, flag) in RESOLVE {
            walk.set(flag, resolve & bit != 0);
            left &= !bit;
        }
        if left & !RESOLVE_CACHED != 0 || walk.contains(LookupFlags::BENEATH | LookupFlags::IN_ROOT) {
            return Err(Error::Invalid);
        }
        let how = request(flags, mode, walk)?;
        let cached = left & RESOLVE_CACHED != 0;
        if cached && flags.intersects(OpenFlags::O_TRUNC | OpenFlags::O_CREAT | TMPFILE_BIT) {
            return Err(Error::WouldBlock);
        }
        self.open_as(dirfd, path, &how, flags, cached)
    }

    /// `cached`: only where the way to it is known (`RESOLVE_CACHED`).
    fn open_as(
        &mut self,
        dirfd: i32,
        path: UserStr,
        how: &OpenRequest,
        flags: OpenFlags,
        cached: bool,
    ) -> Result<usize> {
        let path = read_path(path)?;
        let once = || match self.open_known(dirfd, &path, how) {
            Some(opened) => opened,
            None if cached => Err(Error::WouldBlock),
            None => self.open_unknown(dirfd, &path, how),
        };
        let waits = !cached && !how.flags.contains(StatusFlags::NONBLOCK);
        let file = match once() {
            Err(Error::WouldBlock) if waits => self.despite_leases(once),
            other => other,
        };
        let file = file.map_err(|e| self.restartable(e))?;
        check_small(&file)?;
        self.await_partner(&file)?;
        if how.truncate {
            self.cut_mappings(&*file.file, 0);
        }
        if !flags.intersects(OpenFlags::O_NOCTTY | OpenFlags::O_PATH) && file.access.contains(Access::READ) {
            litebox::tty::opened(&*file.file);
        }
        self.install(file, flags.contains(OpenFlags::O_CLOEXEC))
    }

    /// Opens the slave of a master (TIOCGPTPEER), whatever the caller can see of /dev/pts.
    pub(super) fn open_slave(&mut self, number: u32, flags: OpenFlags) -> Result<usize> {
        const USED: OpenFlags = OpenFlags::O_ACCMODE.union(OpenFlags::O_NOCTTY).union(OpenFlags::O_NONBLOCK);
        let how = request(flags & USED, 0, LookupFlags::empty())?;
        let path = alloc::format!("/dev/pts/{number}");
        let credentials = self.creds();
        let root = self.process().container.root(self.kernel()).ok_or(Error::NotFound)?;
        let from = Origin { creds: creds_of(&credentials), root: root.clone(), start: root, umask: 0 };
        let file = self.kernel().vfs.open(&from, path.as_bytes(), &how)?;
        if !flags.contains(OpenFlags::O_NOCTTY) && file.access.contains(Access::READ) {
            litebox::tty::opened(&*file.file);
        }
        self.install(file, flags.contains(OpenFlags::O_CLOEXEC))
    }

    /// Does what leases stand against, once their holders have given way.
    pub(super) fn despite_leases<T>(&self, once: impl FnMut() -> Result<T>) -> Result<T> {
        let leases = self.kernel().vfs.leases.clone();
        wait_until_ready(self.waiter(), &*leases, Events::IN, None, once)
    }

    /// Opens what has to be walked to. For `RESOLVE_IN_ROOT` the directory is the root of absolute paths too.
    fn open_unknown(&self, dirfd: i32, path: &[u8], how: &OpenRequest) -> Result<Arc<OpenFile>> {
        let from_directory = how.walk.contains(LookupFlags::IN_ROOT);
        let start: &[u8] = if from_directory && !path.is_empty() { b"." } else { path };
        self.with_origin(dirfd, start, |vfs, from| vfs.open(from, path, how))
    }

    /// Opens what is there already, when the way to it is known.
    fn open_known(&self, dirfd: i32, path: &[u8], how: &OpenRequest) -> Option<Result<Arc<OpenFile>>> {
        if how.create || how.flags.intersects(StatusFlags::PATH | StatusFlags::TMPFILE) {
            return None;
        }
        let mut walk = how.walk;
        walk.set(LookupFlags::FOLLOW, how.follow);
        walk.set(LookupFlags::DIRECTORY, how.flags.contains(StatusFlags::DIRECTORY));
        let vfs = &self.kernel().vfs;
        self.with_known(dirfd, path, walk, |creds, at| vfs.open_location(creds, at, how, false))
    }
}
