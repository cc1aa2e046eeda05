//! Operations that change files of the host. All of them need a writable grant.
//!
//! What could hand a privilege of this process to somebody on the host is left out: set-id bits of regular files are dropped
//! (as on a `nosuid` mount), device nodes and attributes outside `user.` are refused.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use litebox_protocol::AttrFlags;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::beneath::{Grant, Result, check_path, stat_at, stat_of};
use crate::lookup::{check_attribute, open_for_attributes};
use crate::message::{ParsedRequest, ReplyBuilder};

fn reply_with_stat(dir: BorrowedFd<'_>, name: &[u8], reply: &mut ReplyBuilder) -> Result<()> {
    reply.push(stat_at(dir, name)?.as_bytes())
}

/// `Op::Mkdir`.
pub fn mkdir(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    let (dir, name) = grant.locate_for_change(request.path)?;
    rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(request.head.mode & 0o1777))?;
    reply_with_stat(dir.as_fd(), name, reply)
}

/// `Op::Unlink` and, with `directory`, `Op::Rmdir`.
pub fn remove(grant: &Grant, request: &ParsedRequest<'_>, directory: bool) -> Result<()> {
    let (dir, name) = grant.locate_for_change(request.path)?;
    rustix::fs::unlinkat(&dir, name, if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() })
}

/// `Op::Rename`.
pub fn rename(grant: &Grant, request: &ParsedRequest<'_>) -> Result<()> {
    let flags = match request.head.flags {
        0 => RenameFlags::empty(),
        1 => RenameFlags::NOREPLACE,
        2 => RenameFlags::EXCHANGE,
        _ => return Err(Errno::INVAL),
    };
    let (from, old) = grant.locate_for_change(request.path)?;
    let (to, new) = grant.locate_for_change(request.extra)?;
    if flags.is_empty() {
        rustix::fs::renameat(&from, old, &to, new)
    } else {
        rustix::fs::renameat_with(&from, old, &to, new, flags)
    }
}

/// `Op::Link`.
pub fn link(grant: &Grant, request: &ParsedRequest<'_>) -> Result<()> {
    let (from, old) = grant.locate_for_change(request.path)?;
    let (to, new) = grant.locate_for_change(request.extra)?;
    rustix::fs::linkat(&from, old, &to, new, AtFlags::empty())
}

/// `Op::Symlink`. The target is any text: it is never followed here.
pub fn symlink(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    if request.extra.is_empty() {
        return Err(Errno::NOENT);
    }
    if request.extra.contains(&0) {
        return Err(Errno::INVAL);
    }
    let (dir, name) = grant.locate_for_change(request.path)?;
    rustix::fs::symlinkat(request.extra, &dir, name)?;
    reply_with_stat(dir.as_fd(), name, reply)
}

/// `Op::Mknod`.
pub fn mknod(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    let kind = FileType::from_raw_mode(request.head.mode);
    if !matches!(kind, FileType::RegularFile | FileType::Fifo | FileType::Socket) {
        return Err(Errno::PERM);
    }
    let (dir, name) = grant.locate_for_change(request.path)?;
    rustix::fs::mknodat(&dir, name, kind, Mode::from_raw_mode(request.head.mode & 0o777), 0)?;
    reply_with_stat(dir.as_fd(), name, reply)
}

/// `Op::SetAttr`.
pub fn set_attr(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    grant.writable()?;
    let what = AttrFlags::from_bits(request.head.flags).ok_or(Errno::INVAL)?;
    let (dir, name) = grant.locate(request.path)?;
    let dir = dir.as_fd();
    // Everything happens to this one file, whatever becomes of its name meanwhile.
    let file = rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    grant.refuse_foreign(file.as_fd())?;
    let kind = FileType::from_raw_mode(stat_of(file.as_fd())?.mode);
    if what.contains(AttrFlags::SIZE) {
        resize(dir, name, kind, request.head.value)?;
    }
    if what.intersects(AttrFlags::UID | AttrFlags::GID) {
        let id = |flag, value| if what.contains(flag) && value != u32::MAX { Some(value) } else { None };
        let uid = id(AttrFlags::UID, request.head.uid).map(Uid::from_raw);
        let gid = id(AttrFlags::GID, request.head.gid).map(Gid::from_raw);
        rustix::fs::chownat(&file, "", uid, gid, AtFlags::EMPTY_PATH)?;
    }
    if what.contains(AttrFlags::MODE) {
        let allowed = if kind == FileType::Directory { 0o7777 } else { 0o1777 };
        chmod(file.as_fd(), kind, Mode::from_raw_mode(request.head.mode & allowed))?;
    }
    if what.intersects(AttrFlags::ATIME | AttrFlags::MTIME) {
        let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let time = |flag, sec, nsec: u32| {
            if what.contains(flag) { Timespec { tv_sec: sec, tv_nsec: i64::from(nsec) } } else { omit }
        };
        if request.head.atime_nsec >= 1_000_000_000 || request.head.mtime_nsec >= 1_000_000_000 {
            return Err(Errno::INVAL);
        }
        let times = Timestamps {
            last_access: time(AttrFlags::ATIME, request.head.atime_sec, request.head.atime_nsec),
            last_modification: time(AttrFlags::MTIME, request.head.mtime_sec, request.head.mtime_nsec),
        };
        rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    reply.push(stat_of(file.as_fd())?.as_bytes())
}

fn resize(dir: BorrowedFd<'_>, name: &[u8], kind: FileType, size: u64) -> Result<()> {
    match kind {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR),
        _ => return Err(Errno::INVAL),
    }
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    rustix::fs::ftruncate(&file, size)
}

/// chmod of an `O_PATH` descriptor: by the new call, or through /proc.
fn chmod(file: BorrowedFd<'_>, kind: FileType, mode: Mode) -> Result<()> {
    if kind == FileType::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    // SAFETY: fchmodat2(2) reads the empty string and touches no other memory.
    let done = unsafe {
        libc::syscall(libc::SYS_fchmodat2, file.as_raw_fd(), c"".as_ptr(), mode.as_raw_mode(), libc::AT_EMPTY_PATH)
    };
    if done == 0 {
        return Ok(());
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::chmodat(rustix::fs::CWD, path, mode, AtFlags::empty())
        }
        Some(code) => Err(Errno::from_raw_os_error(code)),
        None => Err(Errno::IO),
    }
}

/// `Op::SetXattr`.
pub fn set_xattr(grant: &Grant, request: &ParsedRequest<'_>) -> Result<()> {
    grant.writable()?;
    let flags = match request.head.flags {
        0 => XattrFlags::empty(),
        1 => XattrFlags::CREATE,
        2 => XattrFlags::REPLACE,
        _ => return Err(Errno::INVAL),
    };
    let end = request.extra.iter().position(|&b| b == 0).ok_or(Errno::INVAL)?;
    let (name, value) = (&request.extra[..end], &request.extra[end + 1..]);
    check_attribute(name)?;
    let fd = open_for_attributes(grant, request.path)?;
    rustix::fs::fsetxattr(&fd, name, value, flags)
}

/// `Op::RemoveXattr`.
pub fn remove_xattr(grant: &Grant, request: &ParsedRequest<'_>) -> Result<()> {
    grant.writable()?;
    check_path(request.path)?;
    check_attribute(request.extra)?;
    let fd = open_for_attributes(grant, request.path)?;
    rustix::fs::fremovexattr(&fd, request.extra)
}
