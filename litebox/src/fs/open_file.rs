//! Open file descriptions: what `dup` and fork share.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::event::{Events, Observer, Pollable};
use crate::io::{Dest, Source};
use crate::sync::Mutex;
use crate::{Error, Result};

use super::{Access, FAsyncEntry, File, FileOwner, FileType, Inode, Location, WatchMask};

bitflags::bitflags! {
    /// Status flags of an open file that fcntl(2) `F_SETFL` can change, and `O_PATH`. The numbers are x86 Linux's.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct StatusFlags: u32 {
        /// Write at the end.
        const APPEND = 0o2000;
        /// Do not block.
        const NONBLOCK = 0o4000;
        /// Data integrity after each write.
        const DSYNC = 0o10000;
        /// Signal when ready.
        const ASYNC = 0o20000;
        /// Bypass caches (a hint here).
        const DIRECT = 0o40000;
        /// Large file; kept for F_GETFL.
        const LARGEFILE = 0o100_000;
        /// A directory was asked for; kept for F_GETFL.
        const DIRECTORY = 0o200_000;
        /// Links were not followed; kept for F_GETFL.
        const NOFOLLOW = 0o400_000;
        /// Access times stay.
        const NOATIME = 0o1_000_000;
        /// File integrity after each write (with DSYNC).
        const SYNC = 0o4_000_000;
        /// A mere name: no reading, writing or ioctl.
        const PATH = 0o10_000_000;
        /// Made without a name.
        const TMPFILE = 0o20_000_000;
        /// Of a 32-bit program that did not say `O_LARGEFILE`: it cannot grow past 2 GiB. A bit of ours that no program
        /// sees.
        const SMALL = 1 << 31;
    }
}

/// What is being opened counts as used from before it is cut to nothing; given back when opening fails.
pub(super) struct Counted(Option<(Arc<dyn Inode>, Access)>);

impl Counted {
    /// `TextBusy` for what writes to a program that runs.
    pub fn begin(inode: &Arc<dyn Inode>, access: Access, truncate: bool) -> Result<Self> {
        let Some(usage) = inode.usage() else { return Ok(Self(None)) };
        if truncate {
            usage.check_changeable()?;
        }
        usage.open(access)?;
        Ok(Self(Some((inode.clone(), access))))
    }
    /// The open file gives it back.
    fn pass_on(mut self) {
        self.0 = None;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some((inode, access)) = self.0.take() {
            if let Some(usage) = inode.usage() {
                usage.close(access);
            }
        }
    }
}

/// An open file description.
pub struct OpenFile {
    /// The operations.
    pub file: Arc<dyn File>,
    /// Reading, writing, both, or neither (`O_PATH`).
    pub access: Access,
    /// Under which name it was opened; `None` for pipes and the like.
    pub location: Option<Location>,
    flags: AtomicU32,
    /// What its inode says.
    file_type: FileType,
    /// What [`File::is_stream`] and [`File::offset_stays`] say.
    stream: bool,
    offset_stays: bool,
    /// It is counted in its inode's [`Usage`](super::Usage).
    counted: bool,
    offset: Mutex<u64>,
    /// Identity for open-file-description locks and flock(2).
    pub id: u64,
    /// Locks that end with the last descriptor.
    pub held_locks: Mutex<Option<super::HeldLocks>>,
    /// A lease that ends with the last descriptor.
    pub held_lease: Mutex<Option<super::HeldLease>>,
    /// Who is signalled, if anybody.
    pub owner: Mutex<FileOwner>,
    /// What there is to tell the owner of.
    pub(super) fasync_entry: Mutex<Option<Arc<FAsyncEntry>>>,
}

impl OpenFile {
    /// A description at offset 0. `id` must be unique in the sandbox: take it from [`super::Vfs::next_open_id`].
    pub fn new(
        file: Arc<dyn File>,
        access: Access,
        flags: StatusFlags,
        location: Option<Location>,
        id: u64,
    ) -> Arc<Self> {
        Arc::new(Self::build(file, access, flags, location, id, false))
    }
    /// Of something with a name that was counted as used ([`Counted`]).
    pub(super) fn named(
        file: Arc<dyn File>,
        access: Access,
        flags: StatusFlags,
        location: Location,
        id: u64,
        counted: Counted,
    ) -> Arc<Self> {
        let opened = Arc::new(Self::build(file, access, flags, Some(location), id, true));
        counted.pass_on();
        opened
    }
    fn build(
        file: Arc<dyn File>,
        access: Access,
        flags: StatusFlags,
        location: Option<Location>,
        id: u64,
        counted: bool,
    ) -> Self {
        let (stream, offset_stays) = (file.is_stream(), file.offset_stays());
        Self {
            file_type: file.inode().file_type(),
            file,
            stream,
            offset_stays,
            access,
            location,
            flags: AtomicU32::new(flags.bits()),
            counted,
            offset: Mutex::new(0),
            id,
            held_locks: Mutex::new(None),
            held_lease: Mutex::new(None),
            owner: Mutex::default(),
            fasync_entry: Mutex::new(None),
        }
    }
    /// Status flags now.
    #[inline]
    pub fn flags(&self) -> StatusFlags {
        StatusFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }
    /// Replaces the status flags.
    pub fn set_flags(&self, flags: StatusFlags) -> Result<()> {
        self.file.set_status(flags)?;
        self.flags.store(flags.bits(), Ordering::Relaxed);
        Ok(())
    }
    /// Whether it is a file of the tree, and not one that the kernel made for a descriptor.
    pub fn has_place(&self) -> bool {
        self.location.is_some()
    }
    /// What kind of file it is.
    #[inline]
    pub fn file_type(&self) -> FileType {
        self.file_type
    }
    /// Whether it has no offsets ([`File::is_stream`]).
    #[inline]
    pub fn is_stream(&self) -> bool {
        self.stream
    }
    /// Whether its offset always is 0 ([`File::offset_stays`]).
    #[inline]
    pub fn offset_stays(&self) -> bool {
        self.offset_stays
    }
    /// Whether blocking calls must not block.
    #[inline]
    pub fn nonblocking(&self) -> bool {
        self.flags().contains(StatusFlags::NONBLOCK)
    }
    /// Something happened to the file: whoever watches it hears of it.
    #[inline]
    pub fn tell(&self, what: WatchMask) {
        if let Some(at) = &self.location {
            at.tell(what);
        }
    }
    #[inline]
    fn tell_moved(&self, n: usize, what: WatchMask) {
        if n > 0 {
            self.tell(what);
        }
    }
    fn may_read(&self) -> Result<()> {
        if self.access.contains(Access::READ) { Ok(()) } else { Err(Error::BadDescriptor) }
    }
    fn may_write(&self) -> Result<()> {
        if self.access.contains(Access::WRITE) { Ok(()) } else { Err(Error::BadDescriptor) }
    }
    /// read(2): from the offset, which moves. `WouldBlock` even when blocking is allowed.
    pub fn read(&self, dest: &mut Dest<'_>) -> Result<usize> {
        self.may_read()?;
        if self.stream || self.offset_stays {
            let n = self.file.read_at(dest, 0)?;
            self.tell_moved(n, WatchMask::ACCESS);
            return Ok(n);
        }
        let mut offset = self.offset.lock();
        let n = self.file.read_at(dest, *offset)?;
        *offset += n as u64;
        drop(offset);
        self.tell_moved(n, WatchMask::ACCESS);
        Ok(n)
    }
    /// write(2): at the offset, which moves, or at the end with `APPEND`.
    pub fn write(&self, source: &mut Source<'_>) -> Result<usize> {
        self.may_write()?;
        if self.stream || self.offset_stays {
            let n = self.file.write_at(source, 0)?;
            self.tell_moved(n, WatchMask::MODIFY);
            return Ok(n);
        }
        let mut offset = self.offset.lock();
        let flags = self.flags();
        let n = if flags.contains(StatusFlags::APPEND) {
            let (n, end) = self.file.append(source)?;
            if n > 0 {
                *offset = end;
            }
            n
        } else {
            let n = self.file.write_at(source, *offset)?;
            *offset += n as u64;
            n
        };
        drop(offset);
        self.tell_moved(n, WatchMask::MODIFY);
        self.sync_after_write(flags)?;
        Ok(n)
    }
    /// pread(2).
    pub fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        if self.stream {
            let stream = self.file.as_seekable().ok_or(Error::NotSeekable)?;
            self.may_read()?;
            return stream.pread(dest, offset);
        }
        self.may_read()?;
        let n = self.file.read_at(dest, offset)?;
        self.tell_moved(n, WatchMask::ACCESS);
        Ok(n)
    }
    /// pwrite(2). On Linux a file opened with `APPEND` is appended to whatever the offset.
    pub fn write_at(&self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        if self.stream {
            let stream = self.file.as_seekable().ok_or(Error::NotSeekable)?;
            self.may_write()?;
            return stream.pwrite(source, offset);
        }
        self.may_write()?;
        let flags = self.flags();
        let n = if flags.contains(StatusFlags::APPEND) {
            self.file.append(source)?.0
        } else {
            self.file.write_at(source, offset)?
        };
        self.tell_moved(n, WatchMask::MODIFY);
        self.sync_after_write(flags)?;
        Ok(n)
    }
    fn sync_after_write(&self, flags: StatusFlags) -> Result<()> {
        if flags.contains(StatusFlags::DSYNC) { self.file.sync(!flags.contains(StatusFlags::SYNC)) } else { Ok(()) }
    }
    /// The offset, locked: for lseek(2), getdents64(2), sendfile(2).
    pub fn offset(&self) -> crate::sync::MutexGuard<'_, u64> {
        self.offset.lock()
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let Some(at) = self.location.as_ref().filter(|_| !self.flags().contains(StatusFlags::PATH)) else { return };
        if let Some(usage) = at.inode().usage().filter(|_| self.counted) {
            usage.close(self.access);
        }
        let writes = self.access.contains(Access::WRITE);
        at.tell(if writes { WatchMask::CLOSE_WRITE } else { WatchMask::CLOSE_NOWRITE });
        at.tell_if_gone(&at.dentry);
    }
}

impl Pollable for OpenFile {
    fn ready(&self) -> Events {
        self.file.ready()
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.file.observe(observer, interest)
    }
    fn sleep_outside(&self, interest: Events, deadline: Option<crate::platform::Instant>) -> Option<crate::Result<()>> {
        self.file.sleep_outside(interest, deadline)
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.file.unobserve(observer);
    }
    fn expire(&self) -> Option<crate::platform::Instant> {
        if self.file.is_timed() { self.file.expire() } else { None }
    }
}
