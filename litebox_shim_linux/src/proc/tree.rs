//! Trees made of tables: directories whose entries are listed in statics, files whose text a function makes when they
//! are read.
//!
//! A [`Subject`] says what a tree is about (the kernel, a process, a descriptor); its view is what the functions of the
//! table look at. A file's text is made at the first read and again at each read from offset 0, so that one pass over
//! it sees one moment.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use litebox::event::{Events, Observer};
use litebox::fs::{
    Access, DirEntry, File, FileType, Inode, InodeId, Location, Metadata, OpenHow, SetAttr, StatFs, Time,
};
use litebox::io::{Dest, Source};
use litebox::sync::Mutex;
use litebox::{Error, Result};

use super::PROC_MAGIC;

/// The longest text of one file; what is behind it is cut off.
const MOST_TEXT: usize = 32 << 20;
/// The longest write that a setting looks at.
const MOST_WRITTEN: usize = 4096;
/// Where the numbers of made entries start; below it are those of the table.
const FIRST_MADE: u64 = 0x100;

/// The text of a file while it is made.
#[derive(Default)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    /// Adds bytes that need not be UTF-8.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.0.len() + bytes.len() <= MOST_TEXT && self.0.try_reserve(bytes.len()).is_ok() {
            self.0.extend_from_slice(bytes);
        }
    }
    /// Adds spaces until the line that starts at `from` has `width` bytes.
    pub fn pad_to(&mut self, from: usize, width: usize) {
        while self.0.len() < from + width {
            self.put(b" ");
        }
    }
    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl core::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// Adds formatted text to a [`Text`], which never fails.
macro_rules! put {
    ($text:expr, $($arg:tt)*) => {{
        let _ = core::fmt::Write::write_fmt($text, format_args!($($arg)*));
    }};
}
pub(crate) use put;

/// What a tree is about.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    /// What its functions look at.
    type Snapshot;
    /// The view now; `NoProcess` when the process is gone.
    fn view(&self) -> Result<Self::Snapshot>;
    /// Device number of the file system.
    fn dev(&self) -> u64;
    /// Magic number of the file system.
    fn magic(&self) -> u64;
    /// Owner and group of the files.
    fn owner(&self) -> (u32, u32) {
        (0, 0)
    }
    /// Permission bits of an entry, where they are not the table's.
    fn permissions(&self, entry: &TableEntry<Self>) -> u32 {
        entry.permissions
    }
    /// Size of a link as stat(2) shows it.
    fn link_size(&self) -> u64 {
        0
    }
    /// Whether there is still something to be read in the file `entry`.
    fn check_open(&self, _entry: &TableEntry<Self>) -> Result<()> {
        self.view().map(drop)
    }
    /// Whether the text of `entry`, which is open, may be read now.
    fn check_read(&self, _entry: &TableEntry<Self>) -> Result<()> {
        Ok(())
    }
    /// What the file `entry` is ready for; `None`: epoll(7) takes it no more than a file on a disk.
    fn polled(&self, _entry: &TableEntry<Self>) -> Option<Events> {
        None
    }
    /// What the names of a directory that no table lists add to its metadata.
    fn made(&self, _entry: &TableEntry<Self>) -> MadeCount {
        MadeCount::default()
    }
    /// What an open file shows something of: when that is another at a read, the file has become empty. `None`: it is
    /// always the same.
    fn shown(&self, _entry: &TableEntry<Self>) -> Option<Shown> {
        None
    }
    /// Whether what was looked up may be kept.
    fn cacheable(&self) -> bool {
        true
    }
}

/// What an open file shows something of; kept, so that nothing else can be taken for it.
pub(crate) type Shown = Arc<dyn Any + Send + Sync>;

/// What names that no table lists add to the metadata of their directory.
#[derive(Clone, Copy, Default)]
pub(crate) struct MadeCount {
    /// How many of them are directories.
    pub directories: u64,
    /// Size of the directory.
    pub size: u64,
}

/// Where a magic link leads, and what readlink(2) says of it.
pub(crate) struct LinkTarget {
    pub location: Option<Location>,
    pub text: Vec<u8>,
}

#[expect(clippy::type_complexity, reason = "signatures of functions")]
/// Names of a directory that no table lists: processes, descriptors.
pub(crate) struct DynamicNames<S: Subject> {
    /// The child called so; `ino` is its number.
    pub lookup: fn(&S, name: &[u8], ino: u64) -> Result<Arc<dyn Inode>>,
    /// Reports children by ascending key, from the given one on.
    pub list: fn(&S, from: u64, sink: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()>,
    /// Their type.
    pub file_type: FileType,
}

/// What an entry is.
#[expect(clippy::type_complexity, reason = "signatures of functions")]
pub(crate) enum EntryKind<S: Subject> {
    /// A file with text.
    Text(fn(&S::Snapshot, &mut Text)),
    /// A file with text that can be written.
    Setting(fn(&S::Snapshot, &mut Text), fn(&S::Snapshot, &[u8]) -> Result<()>),
    /// A symbolic link.
    Link(fn(&S::Snapshot) -> Result<Vec<u8>>),
    /// A link that leads where its text need not.
    Magic(fn(&S::Snapshot) -> Result<LinkTarget>),
    /// A directory.
    Directory(&'static [TableEntry<S>], Option<DynamicNames<S>>),
    /// A file with operations of its own.
    Special(fn(&S, Arc<dyn Inode>) -> Result<Arc<dyn File>>),
}

/// One name of a table.
pub(crate) struct TableEntry<S: Subject> {
    pub name: &'static str,
    pub permissions: u32,
    pub kind: EntryKind<S>,
}

impl<S: Subject> TableEntry<S> {
    /// A file that all may read.
    pub const fn text(name: &'static str, make: fn(&S::Snapshot, &mut Text)) -> Self {
        Self { name, permissions: 0o444, kind: EntryKind::Text(make) }
    }
    /// A file with permissions.
    pub const fn file(name: &'static str, permissions: u32, make: fn(&S::Snapshot, &mut Text)) -> Self {
        Self { name, permissions, kind: EntryKind::Text(make) }
    }
    /// A file that its owner may write.
    pub const fn setting(
        name: &'static str,
        permissions: u32,
        make: fn(&S::Snapshot, &mut Text),
        set: fn(&S::Snapshot, &[u8]) -> Result<()>,
    ) -> Self {
        Self { name, permissions, kind: EntryKind::Setting(make, set) }
    }
    /// A directory with the entries of a table.
    pub const fn directory(name: &'static str, entries: &'static [Self]) -> Self {
        Self { name, permissions: 0o555, kind: EntryKind::Directory(entries, None) }
    }
    /// A symbolic link.
    pub const fn link(name: &'static str, target: fn(&S::Snapshot) -> Result<Vec<u8>>) -> Self {
        Self { name, permissions: 0o777, kind: EntryKind::Link(target) }
    }
    /// A magic link.
    pub const fn magic(name: &'static str, target: fn(&S::Snapshot) -> Result<LinkTarget>) -> Self {
        Self { name, permissions: 0o777, kind: EntryKind::Magic(target) }
    }
    fn file_type(&self) -> FileType {
        match self.kind {
            EntryKind::Directory(..) => FileType::Directory,
            EntryKind::Link(_) | EntryKind::Magic(_) => FileType::Symlink,
            _ => FileType::Regular,
        }
    }
}

/// Number of the inode called `name` in the directory number `parent`: the same for the same path, in all likelihood no
/// other's. It has 32 bits: no more can be told to a 32-bit program that does not know of large files.
pub(crate) fn ino_of(parent: u64, name: &[u8]) -> u64 {
    // FNV-1a, folded.
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ parent;
    for byte in name {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    (hash ^ (hash >> 32)) & 0xffff_ffff | 2
}

/// An inode of a tree.
pub(crate) struct Node<S: Subject> {
    subject: S,
    entry: &'static TableEntry<S>,
    ino: u64,
    born: Time,
}

impl<S: Subject> Node<S> {
    /// The inode of `entry` for `subject`.
    pub fn new(subject: S, entry: &'static TableEntry<S>, ino: u64) -> Arc<Self> {
        Arc::new(Self { subject, entry, ino, born: Time::now() })
    }
    /// What it is about.
    pub fn subject(&self) -> &S {
        &self.subject
    }
    /// Whether it is what `entry` describes.
    pub fn is(&self, entry: &'static TableEntry<S>) -> bool {
        core::ptr::eq(self.entry, entry)
    }
    fn links(&self) -> u64 {
        match &self.entry.kind {
            EntryKind::Directory(entries, _) => {
                let listed = entries.iter().filter(|e| e.file_type() == FileType::Directory).count() as u64;
                2 + listed + self.subject.made(self.entry).directories
            }
            _ => 1,
        }
    }
}

impl<S: Subject> Inode for Node<S> {
    fn id(&self) -> InodeId {
        InodeId { dev: self.subject.dev(), ino: self.ino }
    }
    fn file_type(&self) -> FileType {
        self.entry.file_type()
    }
    fn metadata(&self) -> Result<Metadata> {
        let (uid, gid) = self.subject.owner();
        let file_type = self.file_type();
        Ok(Metadata {
            id: self.id(),
            mode: file_type.mode_bits() | self.subject.permissions(self.entry),
            nlink: self.links(),
            uid,
            gid,
            rdev: 0,
            size: match file_type {
                FileType::Symlink => self.subject.link_size(),
                FileType::Directory => self.subject.made(self.entry).size,
                _ => 0,
            },
            blocks: 0,
            blksize: 1024,
            atime: self.born,
            mtime: self.born,
            ctime: self.born,
            btime: None,
        })
    }
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        // Truncation by opening with O_TRUNC and new times change nothing; modes and owners are not anybody's to
        // change.
        if attr.permissions.is_some() || attr.uid.is_some() || attr.gid.is_some() {
            return Err(Error::NotPermitted);
        }
        Ok(())
    }
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let EntryKind::Directory(entries, made) = &self.entry.kind else { return Err(Error::NotDirectory) };
        let ino = ino_of(self.ino, name);
        if let Some(entry) = entries.iter().find(|e| e.name.as_bytes() == name) {
            self.subject.view().map_err(|_| Error::NotFound)?;
            return Ok(Node::new(self.subject.clone(), entry, ino));
        }
        match made {
            Some(made) => (made.lookup)(&self.subject, name, ino),
            None => Err(Error::NotFound),
        }
    }
    fn create(
        &self,
        _name: &[u8],
        _node: litebox::fs::NewNode<'_>,
        _attr: litebox::fs::NewAttr,
    ) -> Result<Arc<dyn Inode>> {
        // proc(5): nothing can be made there; Linux says so with ENOENT.
        Err(Error::NotFound)
    }
    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<()> {
        Err(Error::NotPermitted)
    }
    fn unlink(&self, _name: &[u8]) -> Result<()> {
        Err(Error::NotPermitted)
    }
    fn rmdir(&self, _name: &[u8]) -> Result<()> {
        Err(Error::NotPermitted)
    }
    fn rename(
        &self,
        _name: &[u8],
        _new_dir: &Arc<dyn Inode>,
        _new_name: &[u8],
        _flags: litebox::fs::RenameFlags,
    ) -> Result<()> {
        Err(Error::NotPermitted)
    }
    fn read_dir(&self, cookie: u64, sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        let EntryKind::Directory(entries, made) = &self.entry.kind else { return Err(Error::NotDirectory) };
        self.subject.view().map_err(|_| Error::NotFound)?;
        for (number, entry) in (0u64..).zip(entries.iter()).skip(usize::try_from(cookie).unwrap_or(usize::MAX)) {
            let name = entry.name.as_bytes();
            let ino = ino_of(self.ino, name);
            if !sink(DirEntry { name, ino, file_type: entry.file_type(), next: number + 1 }) {
                return Ok(());
            }
        }
        let Some(made) = made else { return Ok(()) };
        (made.list)(&self.subject, cookie.saturating_sub(FIRST_MADE), &mut |key, name| {
            let next = key.saturating_add(FIRST_MADE + 1);
            sink(DirEntry { name, ino: ino_of(self.ino, name), file_type: made.file_type, next })
        })
    }
    fn read_link(&self) -> Result<Vec<u8>> {
        match &self.entry.kind {
            EntryKind::Link(target) => target(&self.subject.view().map_err(|_| Error::NotFound)?),
            EntryKind::Magic(target) => target(&self.subject.view().map_err(|_| Error::NotFound)?).map(|t| t.text),
            _ => Err(Error::Invalid),
        }
    }
    fn magic_link(&self) -> Option<Location> {
        let EntryKind::Magic(target) = &self.entry.kind else { return None };
        let view = self.subject.view().ok()?;
        target(&view).ok()?.location
    }
    fn open(self: Arc<Self>, how: &OpenHow) -> Result<Arc<dyn File>> {
        match &self.entry.kind {
            EntryKind::Text(_) | EntryKind::Directory(..) => {
                if how.access.contains(Access::WRITE) && self.file_type() == FileType::Regular {
                    // The permission bits of no such file allow it; the superuser gets as far as here.
                    return Err(Error::NotPermitted);
                }
                Ok(Open::new(self)?)
            }
            EntryKind::Setting(..) => Ok(Open::new(self)?),
            EntryKind::Special(open) => open(&self.subject, self.clone()),
            EntryKind::Link(_) | EntryKind::Magic(_) => Err(Error::Loop),
        }
    }
    fn stat_fs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: self.subject.magic(), block_size: 4096, name_max: 255, ..StatFs::default() })
    }
    fn cacheable(&self) -> bool {
        self.subject.cacheable() && !matches!(self.entry.kind, EntryKind::Directory(_, Some(_)) | EntryKind::Link(_))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// An open file or directory of a tree.
struct Open<S: Subject> {
    node: Arc<Node<S>>,
    text: Mutex<Option<Arc<Vec<u8>>>>,
    shown: Option<Shown>,
}

impl<S: Subject> Open<S> {
    fn new(node: Arc<Node<S>>) -> Result<Arc<Self>> {
        node.subject.check_open(node.entry)?;
        let shown = node.subject.shown(node.entry);
        Ok(Arc::new(Self { node, text: Mutex::new(None), shown }))
    }
    /// Whether what it shows something of is another by now.
    fn has_changed(&self) -> bool {
        let Some(before) = &self.shown else { return false };
        self.node.subject.shown(self.node.entry).is_none_or(|now| !Arc::ptr_eq(&now, before))
    }
    fn make(&self) -> Result<Arc<Vec<u8>>> {
        if self.has_changed() {
            return Ok(Arc::default());
        }
        let (EntryKind::Text(make) | EntryKind::Setting(make, _)) = &self.node.entry.kind else {
            return Err(Error::IsDirectory);
        };
        self.node.subject.check_read(self.node.entry)?;
        let mut text = Text::default();
        make(&self.node.subject.view()?, &mut text);
        Ok(Arc::new(text.0))
    }
    /// What a read at `offset` is served from: made anew at the start.
    fn text_at(&self, offset: u64) -> Result<Arc<Vec<u8>>> {
        if offset > 0 {
            if let Some(text) = &*self.text.lock() {
                return Ok(text.clone());
            }
        }
        let text = self.make()?;
        *self.text.lock() = Some(text.clone());
        Ok(text)
    }
}

impl<S: Subject> File for Open<S> {
    fn ready(&self) -> Events {
        let usual = Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        self.node.subject.polled(self.node.entry).unwrap_or(usual)
    }
    /// It is never told: nothing changes.
    fn observe(&self, _observer: &Arc<dyn Observer>, _interest: Events) -> bool {
        self.node.file_type() == FileType::Regular && self.node.subject.polled(self.node.entry).is_some()
    }
    fn inode(&self) -> Arc<dyn Inode> {
        self.node.clone()
    }
    /// A text that is made when it is read has no end to count from, as Linux's `seq_file` has none.
    fn end(&self) -> Result<u64> {
        let is_made = matches!(self.node.entry.kind, EntryKind::Text(_)) && self.node.subject.magic() == PROC_MAGIC;
        if is_made { Err(Error::Invalid) } else { self.metadata().map(|metadata| metadata.size) }
    }
    fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        let text = self.text_at(offset)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        dest.put(text.get(from..).unwrap_or_default())
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        let EntryKind::Setting(_, set) = &self.node.entry.kind else { return Err(Error::Invalid) };
        if source.remaining() > MOST_WRITTEN {
            return Err(Error::Invalid);
        }
        let mut bytes = [0u8; MOST_WRITTEN];
        let wanted = source.remaining();
        let n = source.take(&mut bytes)?;
        if n < wanted {
            return Err(Error::Fault);
        }
        set(&self.node.subject.view()?, bytes.get(..n).unwrap_or_default())?;
        Ok(n)
    }
    fn append(&self, source: &mut Source<'_>) -> Result<(usize, u64)> {
        let n = self.write_at(source, 0)?;
        Ok((n, n as u64))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
