//! The same operations on a file system of ours and on the host's: same results, same trees.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may end anyhow")]

extern crate std;

use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use litebox_common_linux::abi::file::AT_FDCWD;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::prelude::*;

use super::{Access, File, FileType, Inode, NewAttr, NewNode, OpenHow, RenameFlags, SetAttr, XattrFlags};
use crate::Error;
use crate::io::{Dest, Source};
use crate::mm::arena::Arena;

/// The part of the arena that the tests of file systems share.
pub fn arena() -> Arc<Arena> {
    static ARENA: OnceLock<Arc<Arena>> = OnceLock::new();
    ARENA.get_or_init(|| Arena::part(32 << 20, 28 << 20)).clone()
}

/// Attributes of the test's own user.
pub fn attr(permissions: u32) -> NewAttr {
    NewAttr { permissions, ..NewAttr::default() }
}

const PATHS: [&str; 12] = ["a", "b", "c", "d", "a/a", "a/b", "b/a", "b/b", "a/a/a", "a/b/c", "b/a/c", "a/b/c/d"];
const SLOTS: usize = 3;

/// One operation. Paths are indices into [`PATHS`].
#[derive(Clone, Debug)]
pub enum Op {
    Mkdir(usize, u32),
    Create(usize, u32),
    Symlink(usize),
    Fifo(usize),
    Link(usize, usize),
    Unlink(usize),
    Rmdir(usize),
    Rename(usize, usize, u32),
    Truncate(usize, u64),
    Chmod(usize, u32),
    /// Opens for reading (and writing) into a slot.
    Open(usize, usize, bool),
    Read(usize, u64, usize),
    Write(usize, u64, usize, u8),
    Append(usize, usize, u8),
    Allocate(usize, i32, u64, u64),
    List(usize),
    /// Sets, replaces or creates an extended attribute: which one, how, how long.
    SetXattr(usize, usize, u8, usize),
    GetXattr(usize, usize),
    RemoveXattr(usize, usize),
    ListXattr(usize),
    /// A file without a name, written and then given one.
    Unnamed(usize, usize, usize, u8),
    /// Where data or a hole begins; asked only of what was written by whole pages.
    Sparse(usize, [bool; 6]),
}

const XATTRS: [&str; 3] = ["user.one", "user.two", "user.three"];

/// Any operation.
pub fn any_op() -> impl Strategy<Value = Op> {
    let path = || 0..PATHS.len();
    let slot = || 0..SLOTS;
    let offset = || prop_oneof![0u64..5000, 4000u64..4200, 0u64..100_000];
    let len = || prop_oneof![0usize..200, 4000usize..9000];
    let mode = || prop_oneof![Just(0o644u32), Just(0o755), Just(0o4711), Just(0o600)];
    prop_oneof![
        3 => (path(), mode()).prop_map(|(p, m)| Op::Mkdir(p, m | 0o700)),
        4 => (path(), mode()).prop_map(|(p, m)| Op::Create(p, m | 0o600)),
        1 => path().prop_map(Op::Symlink),
        1 => path().prop_map(Op::Fifo),
        2 => (path(), path()).prop_map(|(p, q)| Op::Link(p, q)),
        2 => path().prop_map(Op::Unlink),
        2 => path().prop_map(Op::Rmdir),
        6 => (path(), path(), 0u32..3).prop_map(|(p, q, f)| Op::Rename(p, q, f)),
        2 => (path(), offset()).prop_map(|(p, n)| Op::Truncate(p, n)),
        1 => (path(), mode()).prop_map(|(p, m)| Op::Chmod(p, m | 0o700)),
        4 => (slot(), path(), any::<bool>()).prop_map(|(s, p, w)| Op::Open(s, p, w)),
        3 => (slot(), offset(), len()).prop_map(|(s, o, n)| Op::Read(s, o, n)),
        4 => (slot(), offset(), len(), any::<u8>()).prop_map(|(s, o, n, b)| Op::Write(s, o, n, b)),
        2 => (slot(), len(), any::<u8>()).prop_map(|(s, n, b)| Op::Append(s, n, b)),
        2 => (slot(), prop_oneof![Just(0), Just(1), Just(3), Just(2), Just(64)], offset(), offset())
            .prop_map(|(s, m, o, n)| Op::Allocate(s, m, o, n)),
        1 => path().prop_map(Op::List),
        2 => (path(), 0..XATTRS.len(), 0u8..3, 0usize..300).prop_map(|(p, x, how, n)| Op::SetXattr(p, x, how, n)),
        1 => (path(), 0..XATTRS.len()).prop_map(|(p, x)| Op::GetXattr(p, x)),
        1 => (path(), 0..XATTRS.len()).prop_map(|(p, x)| Op::RemoveXattr(p, x)),
        1 => path().prop_map(Op::ListXattr),
        2 => (path(), path(), len(), any::<u8>()).prop_map(|(p, q, n, b)| Op::Unnamed(p, q, n, b)),
        1 => (path(), any::<[bool; 6]>()).prop_map(|(p, pages)| Op::Sparse(p, pages)),
    ]
}

/// What an operation gave: bytes or names, or an errno.
type Outcome = Result<Vec<u8>, i32>;

fn errno(error: Error) -> i32 {
    match error {
        Error::NotPermitted => 1,
        Error::NotFound => 2,
        Error::NoSuchDevice => 6,
        Error::BadDescriptor => 9,
        Error::Exists => 17,
        Error::CrossDevice => 18,
        Error::NoDevice => 19,
        Error::NotDirectory => 20,
        Error::IsDirectory => 21,
        Error::Invalid => 22,
        Error::FileTooBig => 27,
        Error::NoSpace => 28,
        Error::Range => 34,
        Error::NotEmpty => 39,
        Error::Loop => 40,
        Error::NoData => 61,
        Error::NotSupported => 95,
        other => panic!("{other:?}"),
    }
}

const PAGE: u64 = crate::mm::PAGE as u64;

/// The whole pages that [`Op::Sparse`] writes, and what it asks afterwards: offsets and whether for a hole.
fn sparse_questions() -> impl Iterator<Item = (u64, bool)> {
    (0..7).flat_map(|page| {
        [(page * PAGE, false), (page * PAGE, true), (page * PAGE + 100, false), (page * PAGE + 100, true)]
    })
}

fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| seed.wrapping_add((i / 7) as u8)).collect()
}

/// A thing operations are done to.
pub trait Side {
    fn apply(&mut self, op: &Op) -> Outcome;
    fn snapshot(&self) -> BTreeMap<String, String>;
}

/// A file system of ours.
pub struct Ours {
    root: Arc<dyn Inode>,
    slots: [Option<(Arc<dyn File>, bool)>; SLOTS],
}

impl Ours {
    pub fn new(root: Arc<dyn Inode>) -> Self {
        Self { root, slots: Default::default() }
    }
    fn walk(&self, path: &str) -> crate::Result<Arc<dyn Inode>> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(self.root.clone(), |dir, name| {
            // All links of these tests dangle.
            if dir.file_type() == FileType::Symlink { Err(Error::NotFound) } else { dir.lookup(name.as_bytes()) }
        })
    }
    fn followed(&self, path: &str) -> crate::Result<Arc<dyn Inode>> {
        let inode = self.walk(path)?;
        if inode.file_type() == FileType::Symlink { Err(Error::NotFound) } else { Ok(inode) }
    }
    fn slot_of(&self, path: &'static str) -> crate::Result<(Arc<dyn Inode>, &'static [u8])> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.followed(dir)?;
        if dir.file_type() == FileType::Directory { Ok((dir, name.as_bytes())) } else { Err(Error::NotDirectory) }
    }
    /// What may have attributes of users; the VFS looks at that.
    fn bearer(&self, path: usize, refusal: Error) -> crate::Result<Arc<dyn Inode>> {
        let inode = self.followed(PATHS[path])?;
        let may = matches!(inode.file_type(), FileType::Regular | FileType::Directory);
        if may { Ok(inode) } else { Err(refusal) }
    }
    fn make(&self, path: usize, node: NewNode<'_>, permissions: u32) -> crate::Result<Vec<u8>> {
        let (dir, name) = self.slot_of(PATHS[path])?;
        dir.create(name, node, attr(permissions)).map(|_| Vec::new())
    }
    fn writable(&self, slot: usize) -> crate::Result<&Arc<dyn File>> {
        self.slots[slot].as_ref().filter(|(_, writable)| *writable).map(|(f, _)| f).ok_or(Error::BadDescriptor)
    }
    fn perform(&mut self, op: &Op) -> crate::Result<Vec<u8>> {
        let done = Ok(Vec::new());
        match *op {
            Op::Mkdir(p, mode) => self.make(p, NewNode::Directory, mode & 0o777),
            Op::Create(p, mode) => self.make(p, NewNode::Regular, mode),
            Op::Symlink(p) => self.make(p, NewNode::Symlink(b"nowhere"), 0o777),
            Op::Fifo(p) => self.make(p, NewNode::Fifo, 0o600),
            Op::Link(p, q) => {
                let target = self.walk(PATHS[p])?;
                let (dir, name) = self.slot_of(PATHS[q])?;
                dir.link(name, &target).and(done)
            }
            Op::Unlink(p) => {
                let (dir, name) = self.slot_of(PATHS[p])?;
                dir.unlink(name).and(done)
            }
            Op::Rmdir(p) => {
                let (dir, name) = self.slot_of(PATHS[p])?;
                dir.rmdir(name).and(done)
            }
            Op::Rename(p, q, flags) => {
                let (dir, name) = self.slot_of(PATHS[p])?;
                let (new_dir, new_name) = self.slot_of(PATHS[q])?;
                dir.rename(name, &new_dir, new_name, RenameFlags::from_bits_retain(flags)).and(done)
            }
            Op::Truncate(p, size) => {
                let inode = self.followed(PATHS[p])?;
                inode.set_attr(&SetAttr { size: Some(size), ..SetAttr::default() }).and(done)
            }
            Op::Chmod(p, mode) => {
                let inode = self.followed(PATHS[p])?;
                inode.set_attr(&SetAttr { permissions: Some(mode), ..SetAttr::default() }).and(done)
            }
            Op::Open(slot, p, writes) => {
                let access = if writes { Access::READ | Access::WRITE } else { Access::READ };
                let inode = self.followed(PATHS[p])?;
                if !matches!(inode.file_type(), FileType::Regular) {
                    return Err(Error::Invalid);
                }
                let file = inode.open(&OpenHow { access, truncate: false, nonblocking: false, append: false })?;
                self.slots[slot] = Some((file, writes));
                done
            }
            Op::Read(slot, offset, len) => {
                let (file, _) = self.slots[slot].as_ref().ok_or(Error::BadDescriptor)?;
                let mut buffer = vec![0; len];
                let n = file.read_at(&mut Dest::kernel(&mut buffer), offset)?;
                buffer.truncate(n);
                Ok(buffer)
            }
            Op::Write(slot, offset, len, seed) => {
                let n = self.writable(slot)?.write_at(&mut Source::kernel(&pattern(seed, len)), offset)?;
                Ok(n.to_le_bytes().to_vec())
            }
            Op::Append(slot, len, seed) => {
                let (n, _) = self.writable(slot)?.append(&mut Source::kernel(&pattern(seed, len)))?;
                Ok(n.to_le_bytes().to_vec())
            }
            Op::Allocate(slot, mode, offset, len) => self.writable(slot)?.allocate(mode, offset, len).and(done),
            Op::List(p) => {
                let mut names = Vec::new();
                self.followed(PATHS[p])?.read_dir(0, &mut |entry| {
                    names.push(entry.name.to_vec());
                    true
                })?;
                names.sort();
                Ok(names.join(&b'\n'))
            }
            Op::SetXattr(p, x, how, len) => {
                let inode = self.bearer(p, Error::NotPermitted)?;
                inode.set_xattr(XATTRS[x].as_bytes(), &pattern(how, len), XattrFlags(how.into())).and(done)
            }
            Op::GetXattr(p, x) => self.bearer(p, Error::NoData)?.get_xattr(XATTRS[x].as_bytes()),
            Op::RemoveXattr(p, x) => self.bearer(p, Error::NotPermitted)?.remove_xattr(XATTRS[x].as_bytes()).and(done),
            Op::ListXattr(p) => self.followed(PATHS[p])?.list_xattr().map(|names| user_names(&names)),
            Op::Unnamed(p, q, len, seed) => {
                let dir = self.followed(PATHS[p])?;
                if dir.file_type() != FileType::Directory {
                    return Err(Error::NotDirectory);
                }
                let inode = dir.create_unnamed(attr(0o640), true)?;
                let file = inode.clone().open(&BOTH)?;
                file.write_at(&mut Source::kernel(&pattern(seed, len)), 0)?;
                let (dir, name) = self.slot_of(PATHS[q])?;
                dir.link(name, &inode).and(done)
            }
            Op::Sparse(p, pages) => {
                let (dir, name) = self.slot_of(PATHS[p])?;
                let file = dir.create(name, NewNode::Regular, attr(0o644))?.open(&BOTH)?;
                file.set_attr(&SetAttr { size: Some(7 * PAGE), ..SetAttr::default() })?;
                for page in (0..).zip(pages).filter(|(_, written)| *written).map(|(page, _)| page) {
                    file.write_at(&mut Source::kernel(&pattern(1, PAGE as usize)), page * PAGE)?;
                }
                let found = sparse_questions().map(|(at, hole)| file.seek_data(at, hole).unwrap_or(u64::MAX));
                Ok(found.flat_map(u64::to_le_bytes).collect())
            }
        }
    }
    fn visit(at: &Arc<dyn Inode>, path: &str, out: &mut BTreeMap<String, String>) {
        let meta = at.metadata().unwrap();
        let content = match at.file_type() {
            FileType::Regular => {
                let how = OpenHow { access: Access::READ, truncate: false, nonblocking: false, append: false };
                let mut bytes = vec![0; meta.size as usize + 1];
                let n = at.clone().open(&how).unwrap().read_at(&mut Dest::kernel(&mut bytes), 0).unwrap();
                bytes.truncate(n);
                digest(&bytes)
            }
            FileType::Symlink => String::from_utf8(at.read_link().unwrap()).unwrap(),
            FileType::Directory => {
                let mut names = Vec::new();
                at.read_dir(0, &mut |entry| {
                    names.push((entry.name.to_vec(), entry.ino, entry.file_type));
                    true
                })
                .unwrap();
                for (name, ino, kind) in names {
                    let child = at.lookup(&name).unwrap();
                    assert_eq!((child.id().ino, child.file_type()), (ino, kind));
                    let name = String::from_utf8(name).unwrap();
                    Self::visit(&child, &std::format!("{path}/{name}"), out);
                }
                String::new()
            }
            _ => String::new(),
        };
        let size = if at.file_type() == FileType::Directory { 0 } else { meta.size };
        let line = std::format!("{:o} links {} size {size} {content}", meta.mode, meta.nlink);
        out.insert(path.into(), line);
    }
}

const BOTH: OpenHow =
    OpenHow { access: Access::READ.union(Access::WRITE), truncate: false, nonblocking: false, append: false };

/// Names of the kind these tests set, sorted.
fn user_names(names: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = names.split(|b| *b == 0).filter(|name| name.starts_with(b"user.")).collect();
    names.sort_unstable();
    names.join(&b'\n')
}

fn digest(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    std::format!("{} bytes {hash:x}", bytes.len())
}

impl Side for Ours {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.perform(op).map_err(errno)
    }
    fn snapshot(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        Self::visit(&self.root, "", &mut out);
        out.remove("");
        out
    }
}

unsafe extern "C" {
    fn renameat2(old_dir: i32, old: *const i8, new_dir: i32, new: *const i8, flags: u32) -> i32;
    fn mkfifo(path: *const i8, mode: u32) -> i32;
    fn fallocate(fd: i32, mode: i32, offset: i64, len: i64) -> i32;
    fn link(old: *const i8, new: *const i8) -> i32;
    fn truncate(path: *const i8, len: i64) -> i32;
    fn unlink(path: *const i8) -> i32;
    fn umask(mask: u32) -> u32;
    fn setxattr(path: *const i8, name: *const i8, value: *const u8, size: usize, flags: i32) -> i32;
    fn getxattr(path: *const i8, name: *const i8, value: *mut u8, size: usize) -> isize;
    fn removexattr(path: *const i8, name: *const i8) -> i32;
    fn listxattr(path: *const i8, list: *mut u8, size: usize) -> isize;
    fn linkat(old_dir: i32, old: *const i8, new_dir: i32, new: *const i8, flags: i32) -> i32;
    fn lseek(fd: i32, offset: i64, whence: i32) -> i64;
}

/// A directory of the host.
pub struct Theirs {
    dir: tempfile::TempDir,
    slots: [Option<(fs::File, bool)>; SLOTS],
}

fn xattr(index: usize) -> CString {
    CString::new(XATTRS[index]).unwrap()
}

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).unwrap()
}

fn bytes(outcome: isize, mut buffer: Vec<u8>) -> std::io::Result<Vec<u8>> {
    buffer.truncate(usize::try_from(outcome).map_err(|_| std::io::Error::last_os_error())?);
    Ok(buffer)
}

fn checked(outcome: i32) -> std::io::Result<Vec<u8>> {
    if outcome == 0 { Ok(Vec::new()) } else { Err(std::io::Error::last_os_error()) }
}

impl Theirs {
    pub fn new() -> Self {
        // SAFETY: no memory is involved.
        unsafe { umask(0) };
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { dir, slots: Default::default() }
    }
    /// Closes the open files.
    pub fn close_all(&mut self) {
        self.slots = Default::default();
    }
    fn path(&self, index: usize) -> PathBuf {
        self.dir.path().join(PATHS[index])
    }
    fn writable(&self, slot: usize) -> std::io::Result<&fs::File> {
        let bad = || std::io::Error::from_raw_os_error(9);
        self.slots[slot].as_ref().filter(|(_, writable)| *writable).map(|(f, _)| f).ok_or_else(bad)
    }
    fn perform(&mut self, op: &Op) -> std::io::Result<Vec<u8>> {
        match *op {
            Op::Mkdir(p, mode) => {
                use std::os::unix::fs::DirBuilderExt;
                fs::DirBuilder::new().mode(mode & 0o777).create(self.path(p)).map(|()| Vec::new())
            }
            Op::Create(p, mode) => {
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true).mode(mode).open(self.path(p)).map(|_| Vec::new())
            }
            Op::Symlink(p) => std::os::unix::fs::symlink("nowhere", self.path(p)).map(|()| Vec::new()),
            // SAFETY: the string ends with a zero byte and lives through the call.
            Op::Fifo(p) => checked(unsafe { mkfifo(c(&self.path(p)).as_ptr(), 0o600) }),
            // SAFETY: as above.
            Op::Link(p, q) => checked(unsafe { link(c(&self.path(p)).as_ptr(), c(&self.path(q)).as_ptr()) }),
            // SAFETY: as above.
            Op::Unlink(p) => checked(unsafe { unlink(c(&self.path(p)).as_ptr()) }),
            Op::Rmdir(p) => fs::remove_dir(self.path(p)).map(|()| Vec::new()),
            Op::Rename(p, q, flags) => {
                let (old, new) = (c(&self.path(p)), c(&self.path(q)));
                // SAFETY: as above.
                checked(unsafe { renameat2(AT_FDCWD, old.as_ptr(), AT_FDCWD, new.as_ptr(), flags) })
            }
            // SAFETY: as above.
            Op::Truncate(p, size) => checked(unsafe { truncate(c(&self.path(p)).as_ptr(), size as i64) }),
            Op::Chmod(p, mode) => {
                fs::set_permissions(self.path(p), fs::Permissions::from_mode(mode)).map(|()| Vec::new())
            }
            Op::Open(slot, p, writes) => {
                if !fs::metadata(self.path(p))?.is_file() {
                    return Err(std::io::Error::from_raw_os_error(22));
                }
                let file = fs::OpenOptions::new().read(true).write(writes).open(self.path(p))?;
                self.slots[slot] = Some((file, writes));
                Ok(Vec::new())
            }
            Op::Read(slot, offset, len) => {
                let (file, _) = self.slots[slot].as_ref().ok_or_else(|| std::io::Error::from_raw_os_error(9))?;
                let mut buffer = vec![0; len];
                let n = file.read_at(&mut buffer, offset)?;
                buffer.truncate(n);
                Ok(buffer)
            }
            Op::Write(slot, offset, len, seed) => {
                Ok(self.writable(slot)?.write_at(&pattern(seed, len), offset)?.to_le_bytes().to_vec())
            }
            Op::Append(slot, len, seed) => {
                let file = self.writable(slot)?;
                let end = file.metadata()?.len();
                Ok(file.write_at(&pattern(seed, len), end)?.to_le_bytes().to_vec())
            }
            Op::Allocate(slot, mode, offset, len) => {
                use std::os::fd::AsRawFd;
                let fd = self.writable(slot)?.as_raw_fd();
                // SAFETY: no memory is involved.
                checked(unsafe { fallocate(fd, mode, offset as i64, len as i64) })
            }
            Op::List(p) => {
                let mut names: Vec<Vec<u8>> = Vec::new();
                for entry in fs::read_dir(self.path(p))? {
                    names.push(entry?.file_name().as_encoded_bytes().to_vec());
                }
                names.sort();
                Ok(names.join(&b'\n'))
            }
            Op::SetXattr(p, x, how, len) => {
                let (path, name, value) = (c(&self.path(p)), xattr(x), pattern(how, len));
                // SAFETY: as above; the value is `len` bytes.
                checked(unsafe { setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr(), len, how.into()) })
            }
            Op::GetXattr(p, x) => {
                let (path, name, mut value) = (c(&self.path(p)), xattr(x), vec![0; 1000]);
                // SAFETY: as above; there is room for 1000 bytes.
                let n = unsafe { getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr(), 1000) };
                bytes(n, value)
            }
            // SAFETY: as above.
            Op::RemoveXattr(p, x) => checked(unsafe { removexattr(c(&self.path(p)).as_ptr(), xattr(x).as_ptr()) }),
            Op::ListXattr(p) => {
                let (path, mut names) = (c(&self.path(p)), vec![0; 1000]);
                // SAFETY: as above; there is room for 1000 bytes.
                let n = unsafe { listxattr(path.as_ptr(), names.as_mut_ptr(), 1000) };
                bytes(n, names).map(|names| user_names(&names))
            }
            Op::Unnamed(p, q, len, seed) => {
                use std::os::fd::AsRawFd;
                const O_TMPFILE: i32 = 0o20_200_000;
                const AT_SYMLINK_FOLLOW: i32 = 0x400;
                let mut options = fs::OpenOptions::new();
                let file = options.read(true).write(true).mode(0o640).custom_flags(O_TMPFILE).open(self.path(p))?;
                file.write_at(&pattern(seed, len), 0)?;
                let old = CString::new(std::format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
                let new = c(&self.path(q));
                // SAFETY: as above.
                checked(unsafe { linkat(AT_FDCWD, old.as_ptr(), AT_FDCWD, new.as_ptr(), AT_SYMLINK_FOLLOW) })
            }
            Op::Sparse(p, pages) => {
                use std::os::fd::AsRawFd;
                let mut options = fs::OpenOptions::new();
                let file = options.read(true).write(true).create_new(true).mode(0o644).open(self.path(p))?;
                file.set_len(7 * PAGE)?;
                for page in (0..).zip(pages).filter(|(_, written)| *written).map(|(page, _)| page) {
                    file.write_at(&pattern(1, PAGE as usize), page * PAGE)?;
                }
                let fd = file.as_raw_fd();
                // SAFETY: no memory is involved.
                let found = sparse_questions()
                    .map(|(at, hole)| unsafe { lseek(fd, at as i64, if hole { 4 } else { 3 }) } as u64);
                Ok(found.flat_map(u64::to_le_bytes).collect())
            }
        }
    }
    fn visit(at: &Path, path: &str, out: &mut BTreeMap<String, String>) {
        let meta = fs::symlink_metadata(at).unwrap();
        let content = if meta.is_file() {
            digest(&fs::read(at).unwrap())
        } else if meta.is_symlink() {
            fs::read_link(at).unwrap().into_os_string().into_string().unwrap()
        } else if meta.is_dir() {
            for entry in fs::read_dir(at).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                Self::visit(&entry.path(), &std::format!("{path}/{name}"), out);
            }
            String::new()
        } else {
            String::new()
        };
        let size = if meta.is_dir() { 0 } else { meta.len() };
        out.insert(path.into(), std::format!("{:o} links {} size {size} {content}", meta.mode(), meta.nlink()));
    }
}

impl Side for Theirs {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.perform(op).map_err(|error| error.raw_os_error().unwrap())
    }
    fn snapshot(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        Self::visit(self.dir.path(), "", &mut out);
        out.remove("");
        out
    }
}

/// Does the same to both and compares.
pub fn compare(ours: &mut dyn Side, theirs: &mut dyn Side, ops: &[Op]) {
    for (step, op) in ops.iter().enumerate() {
        let (one, other) = (ours.apply(op), theirs.apply(op));
        let xattr = matches!(op, Op::SetXattr(..) | Op::GetXattr(..) | Op::RemoveXattr(..) | Op::ListXattr(_));
        if xattr && other == Err(errno(Error::NotSupported)) {
            // Linux before 6.6 keeps none of users in memory.
            continue;
        }
        assert_eq!(one, other, "step {step} {}", describe(op));
    }
    assert_eq!(ours.snapshot(), theirs.snapshot());
}

fn describe(op: &Op) -> String {
    let path = |p: usize| PATHS[p];
    match *op {
        Op::Rename(p, q, flags) => std::format!("rename {} {} {flags}", path(p), path(q)),
        Op::Link(p, q) => std::format!("link {} {}", path(p), path(q)),
        Op::Unlink(p) => std::format!("unlink {}", path(p)),
        ref other => std::format!("{other:?}"),
    }
}
