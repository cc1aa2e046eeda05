//! Operations that change nothing: opening, attributes, figures.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox_protocol::{FsStat, MAX_NAME, MAX_REPLY, MAX_XATTR, OpenFlags, Reply};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::beneath::{Access, Grant, Result, Subject, mark_opened, open_again, own_path, stat_at, stat_of};
use crate::message::{ParsedRequest, ReplyBuilder};

/// Nothing is followed, nothing waits, nothing becomes a controlling terminal.
pub(crate) const OPEN_FLAGS: OFlags =
    OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// `Op::Open`.
pub fn open(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<OwnedFd> {
    let how = OpenFlags::from_bits(request.head.flags).ok_or(Errno::INVAL)?;
    let changes = how.intersects(OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::APPEND);
    if changes {
        grant.writable()?;
    }
    if how.contains(OpenFlags::CREATE) {
        grant.check_new(request.path)?;
    }
    let mut flags = OPEN_FLAGS;
    flags |= match (how.contains(OpenFlags::READ), how.contains(OpenFlags::WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        (true, false) => OFlags::RDONLY,
        (false, false) => return Err(Errno::INVAL),
    };
    flags.set(OFlags::TRUNC, how.contains(OpenFlags::TRUNCATE));
    flags.set(OFlags::APPEND, how.contains(OpenFlags::APPEND));
    let mut created = false;
    let file = match grant.subject(request)? {
        Subject::Open(file) => open_again(file, flags.difference(OFlags::NOFOLLOW))?,
        Subject::Name(dir, name) => open_named(grant, (dir.as_fd(), name), request, (how, flags), &mut created)?,
    };
    if grant.access == Access::ReadWrite {
        mark_opened(file.as_fd())?;
    }
    reply.push(stat_of(file.as_fd())?.as_bytes())?;
    reply.head.value = u64::from(created);
    Ok(file)
}

/// Opens `name`, or makes it when that is asked for.
fn open_named(
    grant: &Grant,
    (dir, name): (BorrowedFd<'_>, &[u8]),
    request: &ParsedRequest<'_>,
    (how, flags): (OpenFlags, OFlags),
    created: &mut bool,
) -> Result<OwnedFd> {
    if !how.contains(OpenFlags::CREATE) {
        return existing(grant, dir, name, flags);
    }
    // Who asks has not found it: somebody may have made it in between.
    let fresh = flags | OFlags::CREATE | OFlags::EXCL;
    match rustix::fs::openat(dir, name, fresh, new_mode(dir, request, 0o777)) {
        Err(Errno::EXIST) if !how.contains(OpenFlags::EXCLUSIVE) => existing(grant, dir, name, flags),
        made => {
            *created = made.is_ok();
            made
        }
    }
}

/// Opens `name` if it is a regular file: directories, devices, sockets and fifos are refused before they are touched.
fn existing(grant: &Grant, dir: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let regular = |mode: u32| match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Errno::ISDIR),
        FileType::Symlink => Err(Errno::LOOP),
        FileType::Socket => Err(Errno::NXIO),
        _ => Err(Errno::ACCESS),
    };
    let before = stat_at(dir, name)?;
    regular(before.mode)?;
    grant.visibility.check_read(before.mode)?;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let opened = stat_of(file.as_fd())?;
    regular(opened.mode)?;
    grant.visibility.check_read(opened.mode)?;
    grant.refuse_foreign(file.as_fd())?;
    Ok(file)
}

/// `Op::StatFs`.
pub fn stat_fs(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    let (dir, name) = grant.locate(request.path)?;
    let fd = rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let s = rustix::fs::fstatfs(&fd)?;
    let figures = FsStat {
        magic: s.f_type as u64,
        block_size: s.f_bsize as u64,
        blocks: s.f_blocks,
        free: s.f_bfree,
        available: s.f_bavail,
        files: s.f_files,
        files_free: s.f_ffree,
        name_max: s.f_namelen as u64,
    };
    reply.push(figures.as_bytes())
}

/// Opens a regular file or directory for its attributes.
pub fn open_for_attributes(grant: &Grant, request: &ParsedRequest<'_>) -> Result<OwnedFd> {
    let (dir, name) = match grant.subject(request)? {
        Subject::Open(file) => return file.try_clone_to_owned().map_err(|_| Errno::MFILE),
        Subject::Name(dir, name) => (dir, name),
    };
    match FileType::from_raw_mode(stat_at(dir.as_fd(), name)?.mode) {
        FileType::RegularFile | FileType::Directory => {}
        _ => return Err(Errno::PERM),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    grant.refuse_foreign(fd.as_fd())?;
    grant.check_read(fd.as_fd())?;
    Ok(fd)
}

/// Permissions of what is made in `dir`: those that are asked for, at most `allowed`. The umask of who asks does not
/// count where the directory has a default list.
pub fn new_mode(dir: BorrowedFd<'_>, request: &ParsedRequest<'_>, allowed: u32) -> Mode {
    let mode = request.head.mode & allowed;
    let masked = mode & !((request.head.value & 0o777) as u32);
    let nothing: &mut [u8] = &mut [];
    let has_default = masked != mode && rustix::fs::getxattr(own_path(dir), DEFAULT_ACL, nothing).is_ok();
    Mode::from_raw_mode(if has_default { mode } else { masked })
}

const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// Whether an attribute of this name is a list of acl(5).
pub fn is_acl(name: &[u8]) -> bool {
    [ACCESS_ACL, DEFAULT_ACL].contains(&name)
}

/// Opens anything but a link for its lists: as little as that takes, which is not the permission to read it.
pub fn open_for_acl(grant: &Grant, request: &ParsedRequest<'_>) -> Result<OwnedFd> {
    let (dir, name) = match grant.subject(request)? {
        Subject::Open(file) => return file.try_clone_to_owned().map_err(|_| Errno::MFILE),
        Subject::Name(dir, name) => (dir, name),
    };
    let fd = rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(stat_of(fd.as_fd())?.mode) == FileType::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    grant.refuse_foreign(fd.as_fd())?;
    grant.check_read(fd.as_fd())?;
    Ok(fd)
}

/// Attributes of the `user.` namespace only: the others (capabilities, security labels) are privileges of the host.
pub fn check_attribute(name: &[u8]) -> Result<()> {
    if name.len() > MAX_NAME {
        return Err(Errno::RANGE);
    }
    if name.contains(&0) {
        return Err(Errno::INVAL);
    }
    match name.strip_prefix(b"user.") {
        Some(rest) if !rest.is_empty() => Ok(()),
        _ => Err(Errno::OPNOTSUPP),
    }
}

/// `Op::GetXattr`.
pub fn get_xattr(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    let mut value = vec![0; MAX_XATTR];
    let len = if is_acl(request.extra) {
        let fd = open_for_acl(grant, request)?;
        rustix::fs::getxattr(own_path(fd.as_fd()), request.extra, value.as_mut_slice())?
    } else {
        check_attribute(request.extra)?;
        let fd = open_for_attributes(grant, request)?;
        rustix::fs::fgetxattr(&fd, request.extra, value.as_mut_slice())?
    };
    reply.head.value = len as u64;
    reply.push(value.get(..len).ok_or(Errno::IO)?)
}

/// `Op::ListXattr`.
pub fn list_xattr(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    let mut names = vec![0; MAX_XATTR];
    let len = match open_for_attributes(grant, request) {
        Ok(fd) => rustix::fs::flistxattr(&fd, names.as_mut_slice())?,
        // What is neither a file nor a directory has lists all the same.
        Err(Errno::PERM) => {
            rustix::fs::listxattr(own_path(open_for_acl(grant, request)?.as_fd()), names.as_mut_slice())?
        }
        Err(other) => return Err(other),
    };
    for name in names.get(..len).ok_or(Errno::IO)?.split_inclusive(|&b| b == 0) {
        let told = name.starts_with(b"user.") || name.strip_suffix(b"\0").is_some_and(is_acl);
        if told && reply.has_room(name.len()) {
            reply.push(name)?;
            reply.head.value += name.len() as u64;
        }
    }
    Ok(())
}

const _: () = assert!(MAX_REPLY >= size_of::<Reply>() + MAX_XATTR);
