//! From the path arguments of a call to a place: strings, directory descriptors, who walks.

use alloc::sync::Arc;
use litebox_common_linux::abi::file::AtFlags;
use litebox_common_linux::argument::UserStr;

use litebox::fs::{Creds, FileType, Location, LookedUp, LookupFlags, OpenFile, Origin};
use litebox::{Error, Result};

use super::AT_FDCWD;
use crate::Task;
use crate::task::Credentials;
use crate::user::{ShortString, read_short_string};

/// Longest path, with its zero.
const PATH_MAX: usize = 4096;

/// `AT_` flags of most calls.
pub(super) const NOFOLLOW_OR_EMPTY: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW.union(AtFlags::AT_EMPTY_PATH);

/// Credentials for file access, as the tree asks for them.
pub(crate) fn creds_of(credentials: &Credentials) -> Creds<'_> {
    credentials.for_files()
}

/// Reads a path: without its zero, `NameTooLong` from 4096 bytes on.
pub(crate) fn read_path(addr: UserStr) -> Result<ShortString> {
    read_short_string(addr, PATH_MAX, Error::NameTooLong)
}

/// As [`read_path`]; a null pointer is an empty path where that may be.
pub(super) fn read_path_or_null(addr: UserStr, flags: AtFlags) -> Result<ShortString> {
    if addr.is_null() && flags.contains(AtFlags::AT_EMPTY_PATH) { Ok(ShortString::new()) } else { read_path(addr) }
}

/// Whether a walk follows a link at its end, by the `AT_` flags.
pub(super) fn follow_flag(flags: AtFlags) -> LookupFlags {
    if flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW) { LookupFlags::empty() } else { LookupFlags::FOLLOW }
}

/// What a call about a file is about: a place in the tree, or an open file that has none (a pipe, a socket).
pub(super) enum PathTarget {
    Place(Location),
    Nameless(Arc<OpenFile>),
}

impl PathTarget {
    pub(super) fn of(file: Arc<OpenFile>) -> Self {
        match &file.location {
            Some(at) => Self::Place(at.clone()),
            None => Self::Nameless(file),
        }
    }
}

impl Task<'_, '_> {
    /// Where a walk of `path` starts, and who walks.
    pub(crate) fn origin<'c>(&self, creds: Creds<'c>, dirfd: i32, path: &[u8]) -> Result<Origin<'c>> {
        let fs = &self.thread.fs;
        if path.is_empty() && dirfd != AT_FDCWD {
            // Looked at before the descriptor is; calls that take an empty path do not walk.
            return Err(Error::NotFound);
        }
        let start = if path.first() == Some(&b'/') || dirfd == AT_FDCWD {
            fs.cwd.read().clone()
        } else {
            let file = self.file_or_path(dirfd)?;
            let start = file.location.clone().ok_or(Error::NotDirectory)?;
            if !path.is_empty() && start.inode().file_type() != FileType::Directory {
                return Err(Error::NotDirectory);
            }
            start
        };
        let umask = fs.umask.load(core::sync::atomic::Ordering::Relaxed);
        let root = fs.root.read().clone();
        Ok(Origin { creds, root, start, umask })
    }

    /// Runs `call` with the walk's origin for `path`.
    pub(crate) fn with_origin<T>(
        &self,
        dirfd: i32,
        path: &[u8],
        call: impl FnOnce(&litebox::fs::Vfs, &Origin<'_>) -> Result<T>,
    ) -> Result<T> {
        let from = self.origin(creds_of(self.own_creds()), dirfd, path)?;
        call(&self.kernel().vfs, &from)
    }

    /// Where `path` leads, when that is known without asking any file system ([`litebox::fs::Vfs::walk_known`]), and
    /// what `then` makes of it.
    pub(super) fn with_known<T>(
        &self,
        dirfd: i32,
        path: &[u8],
        flags: LookupFlags,
        then: impl FnOnce(&Creds<'_>, Location) -> Result<T>,
    ) -> Option<Result<T>> {
        let creds = creds_of(self.own_creds());
        let found = self.with_start(dirfd, path, |vfs, start| vfs.walk_known(start, &creds, path, flags))?;
        Some(found.and_then(|at| then(&creds, at)))
    }

    /// What `path` leads to, when that can be said at once ([`litebox::fs::Vfs::lookup_fast`]).
    pub(super) fn lookup_fast(&self, dirfd: i32, path: &[u8], flags: LookupFlags) -> Option<Result<LookedUp>> {
        self.lookup_fast_as(&creds_of(self.own_creds()), dirfd, path, flags)
    }

    /// As [`Task::lookup_fast`], but `creds` pass through the directories on the way.
    pub(super) fn lookup_fast_as(
        &self,
        creds: &Creds<'_>,
        dirfd: i32,
        path: &[u8],
        flags: LookupFlags,
    ) -> Option<Result<LookedUp>> {
        self.with_start(dirfd, path, |vfs, start| vfs.lookup_fast(start, creds, path, flags))
    }

    /// Runs `walk` with where a quick walk of `path` starts. Nothing in it may wait: the place is locked for reading,
    /// where others may change it.
    fn with_start<T>(
        &self,
        dirfd: i32,
        path: &[u8],
        walk: impl FnOnce(&litebox::fs::Vfs, &Location) -> Option<T>,
    ) -> Option<T> {
        let (fs, vfs) = (&self.thread.fs, &self.kernel().vfs);
        let place = match path.first()? {
            b'/' => &fs.root,
            _ if dirfd == AT_FDCWD => &fs.cwd,
            _ => return walk(vfs, self.fd_guard_or_path(dirfd).ok()?.location.as_ref()?),
        };
        if fs.is_shared() {
            return walk(vfs, &place.read());
        }
        // SAFETY: only its users change where they are, this thread is the only one, and a walk changes nothing. It
        // alone could share it.
        walk(vfs, unsafe { place.unlocked() })
    }

    /// Where `path` leads from `dirfd`.
    pub(crate) fn walk(&self, dirfd: i32, path: &[u8], flags: LookupFlags) -> Result<Location> {
        if let Some(found) = self.with_known(dirfd, path, flags, |_, at| Ok(at)) {
            return found;
        }
        self.with_origin(dirfd, path, |vfs, from| vfs.walk(from, path, flags))
    }

    /// What the path at `path` and the `AT_` flags name; with `AT_EMPTY_PATH` and an empty (or null) path, the
    /// descriptor itself.
    pub(super) fn target(&self, dirfd: i32, path: UserStr, flags: AtFlags) -> Result<PathTarget> {
        self.target_named(dirfd, &read_path_or_null(path, flags)?, flags)
    }

    /// As [`Task::target`], of a path that was read.
    pub(super) fn target_named(&self, dirfd: i32, path: &[u8], flags: AtFlags) -> Result<PathTarget> {
        let empty_allowed = flags.contains(AtFlags::AT_EMPTY_PATH);
        if path.is_empty() && empty_allowed && dirfd != AT_FDCWD {
            return Ok(PathTarget::of(self.file_or_path(dirfd)?));
        }
        let mut walk = follow_flag(flags);
        walk.set(LookupFlags::EMPTY_OK, empty_allowed);
        self.walk(dirfd, path, walk).map(PathTarget::Place)
    }

    /// As [`Task::target_named`], but `creds` pass through the directories on the way.
    pub(super) fn target_for(&self, creds: Creds<'_>, dirfd: i32, path: &[u8], flags: AtFlags) -> Result<PathTarget> {
        let empty_allowed = flags.contains(AtFlags::AT_EMPTY_PATH);
        if path.is_empty() && empty_allowed && dirfd != AT_FDCWD {
            return Ok(PathTarget::of(self.file_or_path(dirfd)?));
        }
        let mut walk = follow_flag(flags);
        walk.set(LookupFlags::EMPTY_OK, empty_allowed);
        if let Some(found) = self.with_start(dirfd, path, |vfs, start| vfs.walk_known(start, &creds, path, walk)) {
            return found.map(PathTarget::Place);
        }
        let from = self.origin(creds, dirfd, path)?;
        self.kernel().vfs.walk(&from, path, walk).map(PathTarget::Place)
    }
}
