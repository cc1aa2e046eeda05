//! Tells what the program changed in copy-on-write trees (`litebox_protocol::layer`): to the broker, in the supervisor,
//! when the program has ended; and to whoever asks for it while it runs.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::fs::overlay::OverlayFs;
use litebox::fs::overlay::changes::{Change, ChangeKind};
use litebox::fs::{Access, File, FileType, Inode, Metadata, OpenHow};
use litebox::io::Dest;
use litebox::platform::{HostFd, host};
use litebox::{Error, Result};
use litebox_protocol::layer::{Extent, Kind, MAX_EXTENTS, MAX_PATH, MAX_XATTRS, Record, Xattr, flag};
use zerocopy::IntoBytes;

use crate::Kernel;
use crate::signal::SignalInfo;
use crate::signal::set::SIGKILL;
use crate::task::process_table::FIRST_PID;

/// How much goes to the broker at once.
const CHUNK: usize = 256 << 10;
/// Holes that are told as bytes where a file has too many extents; four times as long when it still has.
const FIRST_GAP: u64 = 64 << 10;

/// Whom changes are told, and what of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerConfig {
    /// A pipe that the broker reads.
    pub to: HostFd,
    /// Bytes and attributes, too.
    pub contents: bool,
}

/// A copy-on-write tree of the view.
#[derive(Clone)]
pub(crate) struct Tree {
    /// Where it is mounted, without a leading slash.
    pub(crate) at: Vec<u8>,
    pub(crate) fs: Arc<OverlayFs>,
}

impl Kernel {
    /// What was changed in copy-on-write trees so far is not the program's doing.
    pub(crate) fn settle_trees(&self) -> Result<()> {
        self.trees.lock().iter().try_for_each(|tree| tree.fs.settle())
    }

    /// Kills what is left of the program, where that is to be told what it changed. `true`: nothing is left.
    pub(crate) fn end_all(&self) -> bool {
        if self.config.layer.is_none() {
            return true;
        }
        let mut none_left = true;
        for process in self.processes() {
            if process.pid != FIRST_PID && process.thread_count() > 0 {
                none_left = false;
                // Refused only for a full queue of real-time signals.
                let _ = process.send_signal(SignalInfo::kernel(SIGKILL));
            }
        }
        none_left
    }

    /// Tells all changes. The broker hears of a failure by the end that is missing.
    pub(crate) fn tell_changes(&self) {
        let Some(LayerConfig { to, contents }) = self.config.layer else { return };
        let _ = self.tell_changes_to(contents, &mut |bytes| write_all(to, bytes));
    }

    /// Tells all changes to `write`, which takes all bytes that it is given.
    pub(crate) fn tell_changes_to(&self, contents: bool, write: &mut Write<'_>) -> Result<()> {
        let mut teller = Teller { write, failed: None, contents, waiting: Vec::new() };
        let trees = self.trees.lock().clone();
        let told = trees.iter().try_for_each(|tree| teller.tree(tree));
        let told = told.and_then(|()| teller.head(Kind::End, &Record::default(), b"")).and_then(|()| teller.flush());
        told.map_err(|error| teller.failed.unwrap_or(error))
    }
}

/// Writes bytes to where they go: all of them, or why not.
pub(crate) type Write<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// Writes all bytes to a pipe of the host.
fn write_all(to: HostFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the bytes are memory of the kernel.
        match unsafe { host().host_write(to, bytes.as_ptr() as usize, bytes.len()) } {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Error::Interrupted) => {}
            Err(_) => return Err(Error::BrokenPipe),
        }
    }
    Ok(())
}

struct Teller<'a, 'b> {
    write: &'a mut Write<'b>,
    /// Why no more can be written.
    failed: Option<Error>,
    contents: bool,
    waiting: Vec<u8>,
}

impl Teller<'_, '_> {
    fn flush(&mut self) -> Result<()> {
        (self.write)(&self.waiting).map_err(|error| {
            self.failed = Some(error);
            Error::BrokenPipe
        })?;
        self.waiting.clear();
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < CHUNK { Ok(()) } else { self.flush() }
    }

    fn head(&mut self, kind: Kind, record: &Record, path: &[u8]) -> Result<()> {
        let record = Record { kind: kind as u32, path_len: path.len() as u32, ..*record };
        self.put(record.as_bytes())?;
        self.put(path)
    }

    fn tree(&mut self, tree: &Tree) -> Result<()> {
        let longest = MAX_PATH.saturating_sub(tree.at.len() + 1);
        let mut is_told = false;
        tree.fs.changes(longest, &mut |change| {
            if !core::mem::replace(&mut is_told, true) {
                self.head(Kind::Tree, &Record::default(), &tree.at)?;
            }
            self.change(&tree.at, &change)
        })
    }

    fn change(&mut self, at: &[u8], change: &Change<'_>) -> Result<()> {
        let path = joined(at, change.path);
        match &change.kind {
            // The root of the sandbox has no name that could be told.
            _ if path.is_empty() => Ok(()),
            ChangeKind::Removed => self.head(Kind::Removed, &Record::default(), &path),
            ChangeKind::Unreadable(error) => self.left_out(&path, *error),
            ChangeKind::Link { inode, first, existed } => {
                let first = joined(at, first);
                let meta = match inode.metadata() {
                    Ok(meta) => meta,
                    Err(error) => return self.left_out(&path, error),
                };
                let (flags, target_len) = (flags(*existed, false), first.len() as u32);
                let record = Record { flags, target_len, ..attributes(&meta) };
                self.head(Kind::HardLink, &record, &path)?;
                self.put(&first)
            }
            ChangeKind::Present { inode, existed, opaque } => {
                let flags = flags(*existed, *opaque);
                match self.present(&path, inode, flags) {
                    Err(Unsaid::Before(error)) => self.left_out(&path, error),
                    Err(Unsaid::Midway) => Err(Error::BrokenPipe),
                    Ok(()) => Ok(()),
                }
            }
        }
    }

    /// A path may be too long even to be said.
    fn left_out(&mut self, path: &[u8], error: Error) -> Result<()> {
        let path = path.get(..MAX_PATH).unwrap_or(path);
        let size = u64::from(error.errno().unsigned_abs());
        self.head(Kind::LeftOut, &Record { size, ..Record::default() }, path)
    }

    fn present(&mut self, path: &[u8], inode: &Arc<dyn Inode>, flags: u32) -> core::result::Result<(), Unsaid> {
        let meta = inode.metadata()?;
        let kind = match inode.file_type() {
            FileType::Directory => Kind::Directory,
            FileType::Regular => Kind::Regular,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            _ => Kind::Other,
        };
        if !self.contents {
            let record = Record { flags, ..Record::default() };
            return self.head(kind, &record, path).map_err(|_| Unsaid::Midway);
        }
        let target = if kind == Kind::Symlink { inode.read_link()? } else { Vec::new() };
        let xattrs = xattrs(&**inode)?;
        let file = if kind == Kind::Regular { Some(open(inode)?) } else { None };
        let extents = file.as_ref().map(|file| extents(&**file, meta.size)).unwrap_or_default();
        let record = Record {
            flags,
            target_len: target.len() as u32,
            xattr_len: xattrs.len() as u32,
            extents: extents.len() as u32,
            size: if file.is_some() { meta.size } else { 0 },
            ..attributes(&meta)
        };
        let head = self.head(kind, &record, path).and_then(|()| self.put(&target)).and_then(|()| self.put(&xattrs));
        head.and_then(|()| self.put(extents.as_bytes())).map_err(|_| Unsaid::Midway)?;
        for extent in &extents {
            let Some(file) = &file else { continue };
            if let Err(error) = self.bytes(&**file, *extent) {
                if error != Error::BrokenPipe {
                    let path = alloc::string::String::from_utf8_lossy(path);
                    host().report(&alloc::format!("/{path} cannot be read (errno {})", error.errno()));
                }
                return Err(Unsaid::Midway);
            }
        }
        Ok(())
    }

    /// The bytes of an extent.
    fn bytes(&mut self, file: &dyn File, extent: Extent) -> Result<()> {
        let mut done = 0;
        while done < extent.len {
            if self.waiting.len() >= CHUNK {
                self.flush()?;
            }
            let had = self.waiting.len();
            let want = usize::try_from(extent.len - done).map_or(CHUNK, |left| left.min(CHUNK));
            self.waiting.resize(had + want, 0);
            let room = self.waiting.get_mut(had..).ok_or(Error::Io)?;
            let n = file.read_at(&mut Dest::kernel(room), extent.offset + done)?;
            // It ended earlier than it said: what was promised is zeros.
            let n = if n == 0 { want } else { n };
            self.waiting.truncate(had + n);
            done += n as u64;
        }
        Ok(())
    }
}

/// Why something was not told.
enum Unsaid {
    /// Nothing of it was said yet.
    Before(Error),
    /// No more can be said.
    Midway,
}

impl From<Error> for Unsaid {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

fn joined(at: &[u8], path: &[u8]) -> Vec<u8> {
    if at.is_empty() || path.is_empty() { [at, path].concat() } else { [at, path].join(&b'/') }
}

fn flags(existed: bool, opaque: bool) -> u32 {
    if existed { flag::EXISTED | if opaque { flag::OPAQUE } else { 0 } } else { 0 }
}

fn attributes(meta: &Metadata) -> Record {
    Record {
        mode: meta.permissions(),
        uid: meta.uid,
        gid: meta.gid,
        mtime_sec: meta.mtime.sec,
        mtime_nsec: meta.mtime.nsec,
        ..Record::default()
    }
}

fn open(inode: &Arc<dyn Inode>) -> Result<Arc<dyn File>> {
    inode.clone().open(&OpenHow { access: Access::READ, ..OpenHow::default() })
}

/// All extended attributes, as they are told.
fn xattrs(inode: &dyn Inode) -> Result<Vec<u8>> {
    let mut told = Vec::new();
    let names = match inode.list_xattr() {
        // A file system that has none.
        Err(Error::NotSupported) => return Ok(told),
        names => names?,
    };
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let value = match inode.get_xattr(name) {
            Err(Error::NoData | Error::NotSupported) => continue,
            value => value?,
        };
        let head = Xattr { name_len: name.len() as u32, value_len: value.len() as u32 };
        told.extend_from_slice(head.as_bytes());
        told.extend_from_slice(name);
        told.extend_from_slice(&value);
        if told.len() > MAX_XATTRS {
            return Err(Error::TooBig);
        }
    }
    Ok(told)
}

/// Where a file has bytes. One with too many holes is told without the short ones.
fn extents(file: &dyn File, size: u64) -> Vec<Extent> {
    let mut gap = 0;
    loop {
        if let Some(extents) = extents_apart(file, size, gap) {
            return extents;
        }
        gap = gap.saturating_mul(4).max(FIRST_GAP);
    }
}

/// Extents with holes longer than `gap` between them; `None`: too many.
fn extents_apart(file: &dyn File, size: u64, gap: u64) -> Option<Vec<Extent>> {
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match file.seek_data(at, false) {
            Ok(start) if start < size => start,
            Ok(_) | Err(Error::NoSuchDevice) => break,
            // It cannot tell.
            Err(_) => at,
        };
        let end = file.seek_data(start, true).unwrap_or(size).min(size);
        let end = if end <= start { size } else { end };
        match extents.last_mut() {
            Some(last) if start - (last.offset + last.len) <= gap => last.len = end - last.offset,
            _ => extents.push(Extent { offset: start, len: end - start }),
        }
        if extents.len() as u64 > MAX_EXTENTS {
            return None;
        }
        at = end;
    }
    Some(extents)
}
