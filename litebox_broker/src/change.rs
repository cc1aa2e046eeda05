//! Operations that change files of the host. All of them need a writable grant.
//!
//! What could hand a privilege of this process to somebody on the host is left out: set-id bits of regular files are
//! dropped (as on a `nosuid` mount), device nodes and attributes outside `user.` are refused, but for the lists of
//! acl(5), which say no more than permission bits may.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use litebox_protocol::AttrFlags;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::beneath::{Grant, Result, Subject, mark_opened, open_again, own_path, stat_at, stat_of};
use crate::list::is_empty;
use crate::lookup::{check_attribute, is_acl, new_mode, open_for_acl, open_for_attributes};
use crate::message::{ParsedRequest, ReplyBuilder};

fn reply_with_stat(dir: BorrowedFd<'_>, name: &[u8], reply: &mut ReplyBuilder) -> Result<()> {
    reply.push(stat_at(dir, name)?.as_bytes())
}

/// `Op::Mkdir`.
pub fn mkdir(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    if request.head.flags > 1 {
        return Err(Errno::INVAL);
    }
    let (dir, name) = grant.locate_new(request.path)?;
    rustix::fs::mkdirat(&dir, name, new_mode(dir.as_fd(), request, 0o1777))?;
    if request.head.flags == 1 {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&dir, name, flags, Mode::empty())?;
        reply.head.watch = grant.watch(made.as_fd()).unsigned_abs();
        reply.head.value = u64::from(is_empty(made.as_fd()));
        return reply.push(stat_of(made.as_fd())?.as_bytes());
    }
    reply_with_stat(dir.as_fd(), name, reply)
}

/// `Op::Unlink` and, with `directory`, `Op::Rmdir`.
pub fn remove(grant: &Grant, request: &ParsedRequest<'_>, directory: bool) -> Result<()> {
    let (dir, name) = grant.locate_for_change(request.path)?;
    rustix::fs::unlinkat(&dir, name, if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() })
}

/// `Op::Rename`.
pub fn rename(grant: &Grant, request: &ParsedRequest<'_>) -> Result<()> {
    let served = [RenameFlags::empty(), RenameFlags::NOREPLACE, RenameFlags::EXCHANGE];
    let flags = served.into_iter().find(|flags| flags.bits() == request.head.flags).ok_or(Errno::INVAL)?;
    let (from, old) = grant.locate_for_change(request.path)?;
    let (other, new) = if let Some(new) = grant.new_name_beside(request.path, request.extra)? {
        (None, new)
    } else {
        let (to, new) = grant.locate_new(request.extra)?;
        (Some(to), new)
    };
    let to = other.as_ref().unwrap_or(&from);
    check_keeps_hidden(grant, from.as_fd(), old, request.path)?;
    if flags == RenameFlags::EXCHANGE {
        check_keeps_hidden(grant, to.as_fd(), new, request.extra)?;
    }
    if flags.is_empty() {
        rustix::fs::renameat(&from, old, to, new)
    } else {
        rustix::fs::renameat_with(&from, old, to, new, flags)
    }
}

/// Refuses another name for the directory at `path` when something beneath it is hidden for where it lies. `EXDEV`: who
/// moves a tree then copies it, and gets what is shown of it.
fn check_keeps_hidden(grant: &Grant, dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<()> {
    if !grant.visibility.hidden.may_hide_beneath(path) {
        return Ok(());
    }
    match FileType::from_raw_mode(stat_at(dir, name)?.mode) {
        FileType::Directory => Err(Errno::XDEV),
        _ => Ok(()),
    }
}

/// `Op::Link`.
pub fn link(grant: &Grant, request: &ParsedRequest<'_>) -> Result<()> {
    let (to, new) = grant.locate_new(request.extra)?;
    match grant.subject(request)? {
        Subject::Open(file) => rustix::fs::linkat(rustix::fs::CWD, own_path(file), &to, new, AtFlags::SYMLINK_FOLLOW),
        Subject::Name(..) => {
            let (from, old) = grant.locate_for_change(request.path)?;
            rustix::fs::linkat(&from, old, &to, new, AtFlags::empty())
        }
    }
}

/// `Op::Symlink`. The target is any text: it is never followed here.
pub fn symlink(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    if request.extra.is_empty() {
        return Err(Errno::NOENT);
    }
    if request.extra.contains(&0) {
        return Err(Errno::INVAL);
    }
    let (dir, name) = grant.locate_new(request.path)?;
    rustix::fs::symlinkat(request.extra, &dir, name)?;
    reply_with_stat(dir.as_fd(), name, reply)
}

/// `Op::Mknod`.
pub fn mknod(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    let kind = FileType::from_raw_mode(request.head.mode);
    if !matches!(kind, FileType::RegularFile | FileType::Fifo | FileType::Socket) {
        return Err(Errno::PERM);
    }
    let (dir, name) = grant.locate_new(request.path)?;
    rustix::fs::mknodat(&dir, name, kind, new_mode(dir.as_fd(), request, 0o777), 0)?;
    reply_with_stat(dir.as_fd(), name, reply)
}

/// `Op::Temporary`.
pub fn temporary(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<OwnedFd> {
    grant.writable()?;
    let mut flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    match request.head.flags {
        0 => {}
        1 => flags |= OFlags::EXCL,
        _ => return Err(Errno::INVAL),
    }
    let dir = grant.open_directory(request.path)?;
    let file = rustix::fs::openat(&dir, ".", flags, new_mode(dir.as_fd(), request, 0o777))?;
    mark_opened(file.as_fd())?;
    reply.push(stat_of(file.as_fd())?.as_bytes())?;
    Ok(file)
}

/// `Op::SetAttr`.
pub fn set_attr(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    grant.writable()?;
    let what = AttrFlags::from_bits(request.head.flags).ok_or(Errno::INVAL)?;
    // Everything happens to this one file, whatever becomes of its name meanwhile.
    let opened = grant.open_subject(request)?;
    let file = opened.as_fd();
    let kind = FileType::from_raw_mode(stat_of(file)?.mode);
    if what.contains(AttrFlags::SIZE) {
        resize(file, kind, request.head.value)?;
    }
    if what.intersects(AttrFlags::UID | AttrFlags::GID) {
        let id = |flag, value| if what.contains(flag) && value != u32::MAX { Some(value) } else { None };
        let uid = id(AttrFlags::UID, request.head.uid).map(Uid::from_raw);
        let gid = id(AttrFlags::GID, request.head.gid).map(Gid::from_raw);
        rustix::fs::chownat(file, "", uid, gid, AtFlags::EMPTY_PATH)?;
    }
    if what.contains(AttrFlags::MODE) {
        let allowed = if kind == FileType::Directory { 0o7777 } else { 0o1777 };
        chmod(file, kind, Mode::from_raw_mode(request.head.mode & allowed))?;
    }
    if what.intersects(AttrFlags::ATIME | AttrFlags::MTIME) {
        let head = &request.head;
        let times = Timestamps {
            last_access: time(what, (AttrFlags::ATIME, AttrFlags::ATIME_NOW), (head.atime_sec, head.atime_nsec))?,
            last_modification: time(what, (AttrFlags::MTIME, AttrFlags::MTIME_NOW), (head.mtime_sec, head.mtime_nsec))?,
        };
        set_times(file, kind, &times)?;
    }
    reply.head.value = u64::from(grant.mark());
    reply.push(stat_of(file)?.as_bytes())
}

/// One time of a request: it stays, becomes the present (`now`), or what stands there.
fn time(what: AttrFlags, (flag, now): (AttrFlags, AttrFlags), (sec, nsec): (i64, u32)) -> Result<Timespec> {
    if !what.contains(flag) {
        return Ok(Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT });
    }
    if what.contains(now) {
        return Ok(Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW });
    }
    if nsec >= 1_000_000_000 {
        return Err(Errno::INVAL);
    }
    Ok(Timespec { tv_sec: sec, tv_nsec: i64::from(nsec) })
}

/// utimensat of a descriptor, also an `O_PATH` one: by itself, or, where the host is older than 5.8, through /proc.
fn set_times(file: BorrowedFd<'_>, kind: FileType, times: &Timestamps) -> Result<()> {
    match rustix::fs::utimensat(file, "", times, AtFlags::EMPTY_PATH) {
        Err(Errno::INVAL) if kind != FileType::Symlink => {
            rustix::fs::utimensat(rustix::fs::CWD, own_path(file), times, AtFlags::empty())
        }
        done => done,
    }
}

fn resize(file: BorrowedFd<'_>, kind: FileType, size: u64) -> Result<()> {
    match kind {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR),
        _ => return Err(Errno::INVAL),
    }
    rustix::fs::ftruncate(open_again(file, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?, size)
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
            rustix::fs::chmodat(rustix::fs::CWD, own_path(file), mode, AtFlags::empty())
        }
        Some(code) => Err(Errno::from_raw_os_error(code)),
        None => Err(Errno::IO),
    }
}

/// `Op::SetXattr`.
pub fn set_xattr(grant: &Grant, request: &ParsedRequest<'_>) -> Result<()> {
    grant.writable()?;
    // Both at once are Linux's to answer.
    let known = XattrFlags::CREATE | XattrFlags::REPLACE;
    let flags = XattrFlags::from_bits(request.head.flags).filter(|&flags| known.contains(flags)).ok_or(Errno::INVAL)?;
    let end = request.extra.iter().position(|&b| b == 0).ok_or(Errno::INVAL)?;
    let (name, value) = (&request.extra[..end], &request.extra[end + 1..]);
    if is_acl(name) {
        return rustix::fs::setxattr(own_path(open_for_acl(grant, request)?.as_fd()), name, value, flags);
    }
    check_attribute(name)?;
    let fd = open_for_attributes(grant, request)?;
    rustix::fs::fsetxattr(&fd, name, value, flags)
}

/// `Op::RemoveXattr`.
pub fn remove_xattr(grant: &Grant, request: &ParsedRequest<'_>) -> Result<()> {
    grant.writable()?;
    if is_acl(request.extra) {
        return rustix::fs::removexattr(own_path(open_for_acl(grant, request)?.as_fd()), request.extra);
    }
    check_attribute(request.extra)?;
    let fd = open_for_attributes(grant, request)?;
    rustix::fs::fremovexattr(&fd, request.extra)
}
