//! Files: stat(2), statfs(2), locks, ways to open.

use core::fmt::{self, Write};

use super::structures::{field, raw};
use super::{Context, Shown, address, argument, choice, flags, octal};
use crate::abi::file::{OpenFlags, StatFs, StatxMask, Whence};
use crate::abi::{Named, Names, alone, name};

const FILE_KINDS: Names = &[
    alone("S_IFSOCK", 0o140_000),
    alone("S_IFLNK", 0o120_000),
    alone("S_IFREG", 0o100_000),
    alone("S_IFBLK", 0o060_000),
    alone("S_IFDIR", 0o040_000),
    alone("S_IFCHR", 0o020_000),
    alone("S_IFIFO", 0o010_000),
];
const LOCK_KINDS: Names = &[alone("F_RDLCK", 0), alone("F_WRLCK", 1), alone("F_UNLCK", 2)];
const FILE_SYSTEMS: Names = &[
    alone("TMPFS_MAGIC", 0x0102_1994),
    alone("EXT2_SUPER_MAGIC", 0xef53),
    alone("PROC_SUPER_MAGIC", 0x9fa0),
    alone("SYSFS_MAGIC", 0x6265_6572),
    alone("OVERLAYFS_SUPER_MAGIC", 0x794c_7630),
    alone("BTRFS_SUPER_MAGIC", 0x9123_683e),
    alone("XFS_SUPER_MAGIC", 0x5846_5342),
    alone("DEVPTS_SUPER_MAGIC", 0x1cd1),
];
const FILE_SYSTEM_FLAGS: Names = &[
    name("ST_VALID", 0x20),
    name("ST_RDONLY", 1),
    name("ST_NOSUID", 2),
    name("ST_NODEV", 4),
    name("ST_NOEXEC", 8),
    name("ST_SYNCHRONOUS", 0x10),
    name("ST_MANDLOCK", 0x40),
    name("ST_NOATIME", 0x400),
    name("ST_NODIRATIME", 0x800),
    name("ST_RELATIME", 0x1000),
];
const STATX_ATTRIBUTES: Names = &[
    name("STATX_ATTR_COMPRESSED", 4),
    name("STATX_ATTR_IMMUTABLE", 0x10),
    name("STATX_ATTR_APPEND", 0x20),
    name("STATX_ATTR_NODUMP", 0x40),
    name("STATX_ATTR_ENCRYPTED", 0x800),
    name("STATX_ATTR_AUTOMOUNT", 0x1000),
    name("STATX_ATTR_MOUNT_ROOT", 0x2000),
    name("STATX_ATTR_VERITY", 0x10_0000),
    name("STATX_ATTR_DAX", 0x20_0000),
];
const RESOLVE_FLAGS: Names = &[
    name("RESOLVE_NO_XDEV", 1),
    name("RESOLVE_NO_MAGICLINKS", 2),
    name("RESOLVE_NO_SYMLINKS", 4),
    name("RESOLVE_BENEATH", 8),
    name("RESOLVE_IN_ROOT", 0x10),
    name("RESOLVE_CACHED", 0x20),
];

pub(super) fn file_lock(
    out: &mut dyn Write,
    kind: i16,
    whence: i16,
    start: i64,
    len: i64,
    holder: Option<i32>,
) -> fmt::Result {
    out.write_str("{l_type=")?;
    choice(out, LOCK_KINDS, kind.into())?;
    out.write_str(", l_whence=")?;
    choice(out, Whence::NAMES, whence.into())?;
    write!(out, ", l_start={start}, l_len={len}")?;
    if let Some(pid) = holder {
        write!(out, ", l_pid={pid}")?;
    }
    out.write_char('}')
}

pub(super) fn open_how(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    let Some(bytes) = raw::<[u8; 24]>(context.memory, at) else { return address(out, at) };
    let [how, mode, resolve] = [0, 8, 16].map(|at| u64::from_le_bytes(field(&bytes, at)));
    out.write_str("{flags=")?;
    flags(out, OpenFlags::NAMES, how)?;
    if mode != 0 {
        out.write_str(", mode=")?;
        octal(out, mode as u32)?;
    }
    out.write_str(", resolve=")?;
    flags(out, RESOLVE_FLAGS, resolve)?;
    out.write_char('}')
}

/// Kind and permissions.
pub(super) fn file_mode(out: &mut dyn Write, mode: u32) -> fmt::Result {
    const S_IFMT: u32 = 0o170_000;
    const SPECIAL: [(u32, &str); 3] = [(0o4000, "S_ISUID|"), (0o2000, "S_ISGID|"), (0o1000, "S_ISVTX|")];
    let Some(kind) = FILE_KINDS.iter().find(|kind| kind.bits == u64::from(mode & S_IFMT)) else {
        return octal(out, mode);
    };
    write!(out, "{}|", kind.text)?;
    for (_, text) in SPECIAL.iter().filter(|(bit, _)| mode & bit != 0) {
        out.write_str(text)?;
    }
    octal(out, mode & 0o777)
}

/// The beginning of `struct stat`.
pub(super) fn file(out: &mut dyn Write, mode: u32, rdev: u64, size: u64) -> fmt::Result {
    out.write_str("{st_mode=")?;
    file_mode(out, mode)?;
    if is_device(mode) {
        let (major, minor) = (rdev >> 8 & 0xfff | rdev >> 32 & !0xfff, rdev & 0xff | rdev >> 12 & 0xffff_ff00);
        out.write_str(", st_rdev=")?;
        device(out, major, minor)?;
        out.write_str(", ...}")
    } else {
        write!(out, ", st_size={size}, ...}}")
    }
}

fn is_device(mode: u32) -> bool {
    [0o020_000, 0o060_000].contains(&(mode & 0o170_000))
}

fn device(out: &mut dyn Write, major: u64, minor: u64) -> fmt::Result {
    out.write_str("makedev(")?;
    argument(out, Shown::Hex(major))?;
    out.write_str(", ")?;
    argument(out, Shown::Hex(minor))?;
    out.write_char(')')
}

pub(super) fn file_system(out: &mut dyn Write, s: StatFs) -> fmt::Result {
    out.write_str("{f_type=")?;
    match FILE_SYSTEMS.iter().find(|name| name.bits == s.kind) {
        Some(name) => out.write_str(name.text)?,
        None => write!(out, "{:#x}", s.kind)?,
    }
    write!(out, ", f_bsize={}, f_blocks={}, f_bfree={}", s.block_size, s.blocks, s.free)?;
    write!(out, ", f_bavail={}, f_files={}, f_ffree={}", s.available, s.files, s.files_free)?;
    write!(out, ", f_fsid={{val=[{:#x}, {:#x}]}}", s.id as u32, s.id >> 32)?;
    write!(out, ", f_namelen={}, f_frsize={}, f_flags=", s.name_max, s.fragment_size)?;
    flags(out, FILE_SYSTEM_FLAGS, s.flags)?;
    out.write_char('}')
}

/// `struct statx`, whose layout is the same for all programs.
pub(super) fn statx(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    let Some(bytes) = raw::<[u8; 256]>(context.memory, at) else { return address(out, at) };
    let word = |at: usize| u32::from_le_bytes(field(&bytes, at));
    let long = |at: usize| u64::from_le_bytes(field(&bytes, at));
    let mode = u32::from(u16::from_le_bytes(field(&bytes, 28)));
    out.write_str("{stx_mask=")?;
    flags(out, StatxMask::NAMES, word(0).into())?;
    out.write_str(", stx_attributes=")?;
    flags(out, STATX_ATTRIBUTES, long(8))?;
    out.write_str(", stx_mode=")?;
    file_mode(out, mode)?;
    write!(out, ", stx_size={}, ...}}", long(40))
}
