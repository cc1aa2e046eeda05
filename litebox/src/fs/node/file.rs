//! Open files and their bytes.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::partial::PartialCopy;
use super::{Body, Node, PAGE};
use crate::fs::vfs::{CAPABILITY, without_set_id};
use crate::fs::{Access, File, Inode, Mapping, Metadata, OpenHow, Seals, StatusFlags, Time};
use crate::io::{Dest, Source};
use crate::mm::arena::PageCache;
use crate::platform::north::north;
use crate::set_once::SetOnce;
use crate::sync::Mutex;
use crate::{Error, Result};

/// Where the bytes of a regular file are until it has pages in the arena.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) enum Content {
    /// Nothing was written yet.
    Empty,
    /// In the lower file.
    Lower,
}

/// The bytes of a file that may be changed.
#[derive(Clone, Copy)]
enum OwnBytes<'b> {
    Whole(&'b PageCache),
    Part(&'b PartialCopy),
}

impl OwnBytes<'_> {
    fn figures(self) -> (u64, u64) {
        match self {
            Self::Whole(pages) => pages.figures(),
            Self::Part(part) => part.figures(),
        }
    }
    fn size(self) -> u64 {
        match self {
            Self::Whole(pages) => pages.size(),
            Self::Part(part) => part.size(),
        }
    }
    fn set_size(self, size: u64) -> Result<()> {
        match self {
            Self::Whole(pages) => pages.set_size(size),
            Self::Part(part) => part.set_size(size),
        }
    }
    fn read_at(self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        match self {
            Self::Whole(pages) => pages.read_at(dest, offset),
            Self::Part(part) => part.read_at(dest, offset),
        }
    }
    fn write_at(self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        match self {
            Self::Whole(pages) => pages.write_at(source, offset),
            Self::Part(part) => part.write_at(source, offset),
        }
    }
    fn seek(self, offset: u64, hole: bool) -> Result<u64> {
        match self {
            Self::Whole(pages) => pages.seek(offset, hole),
            Self::Part(part) => part.seek(offset, hole),
        }
    }
    fn punch(self, offset: u64, len: u64) -> Result<()> {
        match self {
            Self::Whole(pages) => {
                pages.punch(offset, len);
                Ok(())
            }
            Self::Part(part) => part.punch(offset, len),
        }
    }
}

/// What a regular file has besides its attributes.
pub(in crate::fs) struct FileBody {
    /// Held by whoever writes or changes the size, also while guest memory is touched. Readers and page faults do not
    /// take it.
    writing: Mutex<()>,
    first: Content,
    /// The bytes in the arena: once there, they stay.
    pages: SetOnce<PageCache>,
    /// The bytes of a large lower file of which some were changed.
    part: SetOnce<PartialCopy>,
    /// Grow, with the writer's lock held.
    seals: AtomicU32,
    /// What a memory file is called; `None` for files that have, or had, a name in a directory.
    name: Option<Box<[u8]>>,
}

/// Of a file that is larger, only the pages that are changed are copied.
const COPIED_WHOLE: u64 = 1 << 20;

/// The set-id bits of permissions.
const SET_ID: u32 = 0o6000;

impl FileBody {
    pub fn new(first: Content, seals: Seals) -> Self {
        let (pages, part, seals) = (SetOnce::default(), SetOnce::default(), AtomicU32::new(seals.bits()));
        Self { writing: Mutex::new(()), first, pages, part, seals, name: None }
    }
    /// A file that lies in no directory.
    pub fn named(first: Content, seals: Seals, name: Box<[u8]>) -> Self {
        Self { name: Some(name), ..Self::new(first, seals) }
    }
    pub fn name(&self) -> Option<&[u8]> {
        self.name.as_deref()
    }
    /// A file of a file system: it cannot be sealed.
    pub fn empty() -> Self {
        Self::new(Content::Empty, Seals::SEAL)
    }
    /// The bytes, when they are in the arena or some of them are.
    fn own_bytes(&self) -> Option<OwnBytes<'_>> {
        let whole = self.pages.get().map(OwnBytes::Whole);
        whole.or_else(|| self.part.get().map(OwnBytes::Part))
    }
    /// Size, and bytes that they take, when they are in the arena or some of them are.
    pub fn figures(&self) -> Option<(u64, u64)> {
        self.own_bytes().map(OwnBytes::figures)
    }
    pub fn is_lower(&self) -> bool {
        self.first == Content::Lower && self.own_bytes().is_none()
    }
    pub fn seals(&self) -> Seals {
        Seals::from_bits_retain(self.seals.load(Ordering::Acquire))
    }
}

impl Node {
    /// The pages of a regular file, copied up when they still lie below: only the first `keep` bytes of them. The
    /// writer's lock is held.
    fn own_pages<'b>(&self, body: &'b FileBody, keep: u64) -> Result<&'b PageCache> {
        let pages = match body.own_bytes() {
            Some(OwnBytes::Whole(pages)) => return Ok(pages),
            Some(OwnBytes::Part(part)) => part.complete(self.tree.free_bytes())?,
            None => {
                let pages = self.tree.pages();
                if body.is_lower() {
                    self.own_attr()?;
                    self.copy_up(&pages, keep)?;
                }
                pages
            }
        };
        Ok(body.pages.get_or_set(pages))
    }
    /// As [`Node::own_pages`], but of a large file that lies below nothing is copied before it is changed.
    fn own_bytes<'b>(&self, body: &'b FileBody, keep: u64) -> Result<OwnBytes<'b>> {
        if let Some(bytes) = body.own_bytes() {
            return Ok(bytes);
        }
        let lower = if body.is_lower() { Some(self.lower_metadata()?) } else { None };
        let Some(meta) = lower.filter(|meta| meta.size.min(keep) > COPIED_WHOLE) else {
            return self.own_pages(body, keep).map(OwnBytes::Whole);
        };
        self.own_attr()?;
        let part = PartialCopy::new(self.open_lower()?, &meta, keep, self.tree.pages())?;
        Ok(OwnBytes::Part(body.part.get_or_set(part)))
    }
    pub(in crate::fs) fn truncate(&self, size: u64) -> Result<()> {
        let body = self.regular()?;
        if i64::try_from(size).is_err() {
            return Err(Error::FileTooBig);
        }
        let _writing = body.writing.lock();
        let bytes = self.own_bytes(body, size)?;
        let (seals, old) = (body.seals(), bytes.size());
        if (size < old && seals.contains(Seals::SHRINK)) || (size > old && seals.contains(Seals::GROW)) {
            return Err(Error::NotPermitted);
        }
        bytes.set_size(size)?;
        self.note_write()
    }
    fn note_write(&self) -> Result<()> {
        let mut is_capable = false;
        self.change(|attr| {
            attr.modified(Time::now());
            // Whoever may execute it with more rights than his own executes what somebody wrote now.
            if attr.permissions & SET_ID != 0 && !north().keeps_set_id() {
                attr.permissions = without_set_id(attr.permissions, false);
            }
            is_capable = attr.xattrs.contains_key(CAPABILITY);
            Ok(())
        })?;
        if is_capable { self.drop_xattr(CAPABILITY) } else { Ok(()) }
    }
    /// Writes at `offset`, or at the end; returns the count and the offset behind it.
    fn write(&self, source: &mut Source<'_>, offset: Option<u64>) -> Result<(usize, u64)> {
        let body = self.regular()?;
        let _writing = body.writing.lock();
        if source.remaining() == 0 {
            return Ok((0, offset.map_or_else(|| self.metadata().map(|m| m.size), Ok)?));
        }
        let bytes = self.own_bytes(body, u64::MAX)?;
        let offset = offset.unwrap_or_else(|| bytes.size());
        Self::check_write_seals(body, bytes, source, offset)?;
        let n = bytes.write_at(source, offset)?;
        if n > 0 {
            self.note_write()?;
        }
        Ok((n, offset.saturating_add(n as u64)))
    }
    /// As Linux, which goes by pages: one that would grow a file sealed against it is not written at all.
    fn check_write_seals(body: &FileBody, bytes: OwnBytes<'_>, source: &mut Source<'_>, offset: u64) -> Result<()> {
        let seals = body.seals();
        if seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE) {
            return Err(Error::NotPermitted);
        }
        let size = bytes.size();
        if seals.contains(Seals::GROW) && offset.saturating_add(source.remaining() as u64) > size {
            let whole = (size & !(PAGE - 1)).saturating_sub(offset);
            if whole == 0 {
                return Err(Error::NotPermitted);
            }
            source.limit(usize::try_from(whole).unwrap_or(usize::MAX));
        }
        Ok(())
    }
    /// fallocate(2).
    fn allocate(&self, mode: i32, offset: u64, len: u64) -> Result<()> {
        const KEEP_SIZE: i32 = 1;
        const PUNCH_HOLE: i32 = 2;
        const ZERO_RANGE: i32 = 16;
        let body = self.regular()?;
        match mode & !KEEP_SIZE {
            0 | ZERO_RANGE => {}
            PUNCH_HOLE if mode & KEEP_SIZE != 0 => {}
            _ => return Err(Error::NotSupported),
        }
        if len == 0 {
            return Err(Error::Invalid);
        }
        let end = offset.checked_add(len).filter(|end| i64::try_from(*end).is_ok()).ok_or(Error::FileTooBig)?;
        let _writing = body.writing.lock();
        let seals = body.seals();
        if mode & (PUNCH_HOLE | ZERO_RANGE) != 0 && seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE) {
            return Err(Error::NotPermitted);
        }
        if mode & PUNCH_HOLE != 0 {
            self.own_bytes(body, u64::MAX)?.punch(offset, len)?;
            return self.note_write();
        }
        let pages = self.own_pages(body, u64::MAX)?;
        let size = pages.size();
        if end > size && seals.contains(Seals::GROW) {
            return Err(Error::NotPermitted);
        }
        if mode & ZERO_RANGE != 0 {
            pages.punch(offset, len);
        }
        if mode & KEEP_SIZE == 0 && end > size {
            pages.set_size(end)?;
        }
        // A page for every byte, or none of the new ones.
        if pages.extents(offset, len).is_err() {
            if pages.size() > size {
                pages.set_size(size)?;
            }
            return Err(Error::NoSpace);
        }
        self.note_write()
    }
    fn add_seals(&self, more: Seals) -> Result<()> {
        let body = self.regular()?;
        let _writing = body.writing.lock();
        let pages = self.own_pages(body, u64::MAX)?;
        let executable = self.metadata()?.mode & 0o111 != 0;
        let seals = body.seals();
        if seals.contains(Seals::SEAL) {
            return Err(Error::NotPermitted);
        }
        let mut more = more;
        if more.contains(Seals::EXEC) && executable {
            more |= Seals::SHRINK | Seals::GROW | Seals::WRITE | Seals::FUTURE_WRITE;
        }
        if more.contains(Seals::WRITE) && !seals.contains(Seals::WRITE) && pages.writably_mapped() {
            return Err(Error::Busy);
        }
        body.seals.store((seals | more).bits(), Ordering::Release);
        Ok(())
    }
}

/// A regular file of a [`Node`], opened.
pub(in crate::fs) struct MemoryFile {
    node: Arc<Node>,
    access: Access,
    /// Reads leave the access time alone.
    quiet: AtomicBool,
    /// The lower file, for as long as the bytes lie there; kept after that, because mappings may show it.
    lower: Mutex<Option<Arc<dyn File>>>,
}

impl MemoryFile {
    pub fn open(node: Arc<Node>, how: OpenHow) -> Result<Arc<Self>> {
        let body = node.regular()?;
        if how.truncate {
            node.truncate(0)?;
        }
        let below = if body.is_lower() && how.access.intersects(Access::READ | Access::EXEC) {
            Some(node.open_lower()?)
        } else {
            None
        };
        Ok(Arc::new(Self { node, access: how.access, quiet: AtomicBool::new(false), lower: Mutex::new(below) }))
    }
    /// The lower file, for a file whose bytes lie there.
    fn below(&self) -> Result<Arc<dyn File>> {
        if let Some(file) = &*self.lower.lock() {
            return Ok(file.clone());
        }
        let file = self.node.open_lower()?;
        *self.lower.lock() = Some(file.clone());
        Ok(file)
    }
    fn body(&self) -> Result<&FileBody> {
        self.node.regular()
    }
}

impl File for MemoryFile {
    fn inode(&self) -> Arc<dyn Inode> {
        self.node.clone()
    }
    fn metadata(&self) -> Result<Metadata> {
        self.node.metadata()
    }
    fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        let body = self.body()?;
        let n = match body.own_bytes() {
            Some(bytes) => bytes.read_at(dest, offset)?,
            None if body.is_lower() => return self.below()?.read_at(dest, offset),
            // Written for the first time between the two looks, or still empty.
            None => body.own_bytes().map_or(Ok(0), |bytes| bytes.read_at(dest, offset))?,
        };
        self.note_read();
        Ok(n)
    }
    fn note_read(&self) {
        if !self.quiet.load(Ordering::Relaxed) {
            self.node.note_access();
        }
    }
    fn note_written(&self) {
        // A file that cannot have attributes of its own keeps those it has.
        let _ = self.node.change(|attr| {
            attr.modified(Time::now());
            Ok(())
        });
    }
    fn set_status(&self, flags: StatusFlags) -> Result<()> {
        self.quiet.store(flags.contains(StatusFlags::NOATIME), Ordering::Relaxed);
        Ok(())
    }
    fn write_at(&self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        self.node.write(source, Some(offset)).map(|(n, _)| n)
    }
    fn append(&self, source: &mut Source<'_>) -> Result<(usize, u64)> {
        self.node.write(source, None)
    }
    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64> {
        let body = self.body()?;
        match body.own_bytes() {
            Some(bytes) => bytes.seek(offset, hole),
            None if body.is_lower() => self.below()?.seek_data(offset, hole),
            None => Err(Error::NoSuchDevice),
        }
    }
    fn allocate(&self, mode: i32, offset: u64, len: u64) -> Result<()> {
        self.node.allocate(mode, offset, len)
    }
    fn sync(&self, _data_only: bool) -> Result<()> {
        Ok(())
    }
    fn mapping(&self) -> Result<Mapping> {
        let body = self.body()?;
        if body.is_lower() && !self.access.contains(Access::WRITE) {
            let mapping = self.below()?.mapping()?;
            if body.is_lower() {
                return Ok(mapping);
            }
        }
        // Who may write through the mapping gets pages of the arena.
        let _writing = body.writing.lock();
        self.node.own_pages(body, u64::MAX)?;
        body.pages.get_shared().map(Mapping::Arena).ok_or(Error::Io)
    }
    fn seals(&self) -> Result<Seals> {
        if self.node.tree.magic == super::TMPFS_MAGIC { Ok(self.body()?.seals()) } else { Err(Error::Invalid) }
    }
    fn add_seals(&self, seals: Seals) -> Result<()> {
        if self.node.tree.magic == super::TMPFS_MAGIC { self.node.add_seals(seals) } else { Err(Error::Invalid) }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Whether an open file is one of memory, for those who look for its name.
pub(in crate::fs) fn regular_node(inode: &dyn Inode) -> Option<&Node> {
    inode.as_any().downcast_ref::<Node>().filter(|node| matches!(node.body, Body::Regular(_)))
}
