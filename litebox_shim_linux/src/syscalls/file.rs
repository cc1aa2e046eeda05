//! Files: the calls that take descriptors and paths, one room per meaning below this one.
//!
//! Here is what they share: from a descriptor to an open file, who may use it, and where bytes come from.

mod attributes;
mod copy;
mod descriptors;
mod directory;
mod extents;
mod fcntl;
mod flags;
mod handles;
mod io;
mod ioctl;
mod locks;
mod memfd;
mod names;
mod open;
mod owner;
mod place;
mod reflink;
mod splice;
mod stat;
mod sync;
mod systems;
mod xattr;

use alloc::sync::Arc;

use litebox::fs::{FileType, OpenFile, StatusFlags};
use litebox::{Error, Result};

pub(crate) use litebox_common_linux::abi::file::AT_FDCWD;

pub(in crate::syscalls) use io::{IoMode, check_transfer};
pub(crate) use io::{Vectors, check_range};
pub(crate) use place::{creds_of, read_path};
pub(crate) use splice::Offset;
pub(crate) use stat::stat_of;

use crate::Task;
use crate::syscalls::limits::Resource;

/// The most one read or write moves (Linux's MAX_RW_COUNT).
pub(crate) const MAX_RW_COUNT: usize = 0x7fff_f000;

impl Task<'_, '_> {
    /// The open file behind `fd`, for calls that use what it holds: not one opened with `O_PATH`.
    #[inline]
    pub(crate) fn file(&self, fd: i32) -> Result<Arc<OpenFile>> {
        let file = self.thread.files.get(fd)?;
        if file.flags().contains(StatusFlags::PATH) {
            return Err(Error::BadDescriptor);
        }
        Ok(file)
    }
    /// The open file behind `fd`, for calls that only need its name or identity.
    #[inline]
    pub(crate) fn file_or_path(&self, fd: i32) -> Result<Arc<OpenFile>> {
        self.thread.files.get(fd)
    }
    /// RLIMIT_NOFILE.
    pub(crate) fn descriptor_limit(&self) -> u64 {
        self.process().limits.soft(Resource::Descriptors)
    }
    /// RLIMIT_FSIZE; `u64::MAX` for none.
    pub(crate) fn file_size_limit(&self) -> u64 {
        self.process().limits.soft(Resource::FileSize)
    }
    /// Puts an open file at the lowest free descriptor.
    pub(crate) fn install(&self, file: Arc<OpenFile>, close_on_exec: bool) -> Result<usize> {
        let fd = self.thread.files.install(file, close_on_exec, self.descriptor_limit())?;
        Ok(fd as usize)
    }
    /// A new open file description without a name.
    pub(crate) fn nameless(
        &self,
        file: Arc<dyn litebox::fs::File>,
        access: litebox::fs::Access,
        flags: StatusFlags,
    ) -> Arc<OpenFile> {
        OpenFile::new(file, access, flags, None, self.kernel().vfs.next_open_id())
    }
}

impl<'a> Task<'a, '_> {
    /// As [`Task::file`], for the time of one call that leaves the descriptors alone.
    #[inline]
    pub(crate) fn fd_guard(&self, fd: i32) -> Result<FdGuard<'a>> {
        let file = self.fd_guard_or_path(fd)?;
        if file.flags().contains(StatusFlags::PATH) {
            return Err(Error::BadDescriptor);
        }
        Ok(file)
    }
    /// As [`Task::file_or_path`], for the time of one call that leaves the descriptors alone: while nobody else can
    /// change them, neither is the table locked nor a reference counted.
    #[inline]
    pub(crate) fn fd_guard_or_path(&self, fd: i32) -> Result<FdGuard<'a>> {
        let files = &self.thread.files;
        let file = if files.is_shared() {
            FdGuard::Counted(files.get(fd)?)
        } else {
            // SAFETY: only its users change the table, this thread is the only one, and it alone could share it. Calls
            // that use this change no descriptors before they end; a table that a thread has had is kept while the
            // thread lives.
            FdGuard::Lent(unsafe { files.lend(fd)? })
        };
        Ok(file)
    }
}

/// An open file that a call uses.
pub(crate) enum FdGuard<'a> {
    /// Kept by the table of descriptors.
    Lent(&'a OpenFile),
    /// Kept by the call.
    Counted(Arc<OpenFile>),
}

impl core::ops::Deref for FdGuard<'_> {
    type Target = OpenFile;
    #[inline]
    fn deref(&self) -> &OpenFile {
        match self {
            Self::Lent(file) => file,
            Self::Counted(file) => file,
        }
    }
}

/// Whether it is a regular file.
pub(crate) fn is_regular(file: &OpenFile) -> bool {
    file.file_type() == FileType::Regular
}
