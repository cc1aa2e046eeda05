//! One stretch of a guest's address space with equal properties.

use alloc::sync::Arc;

use crate::fs::{InodeId, OpenFile};
use crate::platform::compat::CpuMode;
use crate::platform::north::Code;
use crate::platform::{Backing, HostFd, MapMode, Prot};

use super::PAGE;
use super::pages::MappedPages;

/// Size of a stack that was hardly used.
const STACK_AT_START: usize = 33 * PAGE;

bitflags::bitflags! {
    /// Properties of a vma besides its protection.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct VmaFlags: u32 {
        /// Writes reach the object.
        const SHARED = 1;
        /// Extends downwards when the page below it is touched.
        const GROWSDOWN = 2;
        /// Memory for a stack: no huge pages, reserved lazily.
        const STACK = 4;
        /// No swap space is reserved.
        const NORESERVE = 8;
        /// Counted as locked in memory.
        const LOCKED = 0x10;
        /// A forked child does not get it.
        const DONTFORK = 0x20;
        /// A forked child gets it empty.
        const WIPEONFORK = 0x40;
        /// Not part of a core dump.
        const DONTDUMP = 0x80;
        /// Access is random (madvise(2)).
        const RANDOM = 0x100;
        /// Access is sequential (madvise(2)).
        const SEQUENTIAL = 0x200;
        /// Huge pages wanted.
        const HUGEPAGE = 0x400;
        /// Huge pages not wanted.
        const NOHUGEPAGE = 0x800;
        /// Locked pages come when touched.
        const LOCKONFAULT = 0x1000;
        /// Code of a file that nobody changes, and that the guest could not change here.
        const UNCHANGED = 0x2000;
        /// The host shows its copy of such code, in which calls are patched.
        const PATCHED = 0x4000;
        /// Its place and protection stay as they are (mseal(2)).
        const SEALED = 0x8000;
        /// The loader of programs mapped it, so that its code runs as it is: nobody reads it to translate it.
        const LOADED = 0x1_0000;
        /// Memory of a 32-bit program.
        const COMPAT = 0x2_0000;
    }
}

/// What a vma is called where its object has no name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum VmaName {
    /// Nothing.
    #[default]
    None,
    /// `[heap]`
    Heap,
    /// `[stack]`
    Stack,
    /// `[vdso]`
    Vdso,
    /// `[anon:...]` or `[anon_shmem:...]` (PR_SET_VMA_ANON_NAME).
    Given(Arc<[u8]>),
}

/// What the bytes of a vma are.
#[derive(Clone, Default)]
pub enum Object {
    /// Private zero pages.
    #[default]
    Anonymous,
    /// A file of the host.
    Host {
        /// The open file; holding it keeps the descriptor.
        file: Arc<OpenFile>,
        /// Its descriptor.
        fd: HostFd,
        /// Its identity.
        id: InodeId,
        /// Nobody changes it.
        fixed: bool,
    },
    /// Pages of the arena: a file of the memory or overlay file system, or shared anonymous memory (no file).
    Pages {
        /// The pages.
        pages: MappedPages,
        /// The open file.
        file: Option<Arc<OpenFile>>,
    },
}

/// Identity of a shared object, for futexes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectId {
    /// An inode.
    Inode(InodeId),
    /// Pages of the arena, by the address of their object.
    Pages(usize),
}

impl Object {
    /// The open file behind it.
    pub fn file(&self) -> Option<&Arc<OpenFile>> {
        match self {
            Self::Anonymous => None,
            Self::Host { file, .. } => Some(file),
            Self::Pages { file, .. } => file.as_ref(),
        }
    }
    /// Its identity; `None` for private anonymous memory.
    pub fn id(&self) -> Option<ObjectId> {
        match self {
            Self::Anonymous => None,
            Self::Host { id, .. } => Some(ObjectId::Inode(*id)),
            Self::Pages { pages, .. } => Some(ObjectId::Pages(pages.identity())),
        }
    }
    /// Whether it is private anonymous memory.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Host { file: a, .. }, Self::Host { file: b, .. }) => Arc::ptr_eq(a, b),
            (Self::Pages { pages: a, file: fa }, Self::Pages { pages: b, file: fb }) => {
                a.identity() == b.identity()
                    && match (fa, fb) {
                        (None, None) => true,
                        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                        _ => false,
                    }
            }
            _ => false,
        }
    }
}

/// One stretch of a guest's address space with equal properties.
#[derive(Clone)]
pub struct Vma {
    /// First byte, page aligned.
    pub start: usize,
    /// Behind the last byte, page aligned.
    pub end: usize,
    /// Protection.
    pub prot: Prot,
    /// What mprotect(2) may add: a shared mapping of a file opened for reading never becomes writable.
    pub max_prot: Prot,
    /// Other properties.
    pub flags: VmaFlags,
    /// What its bytes are.
    pub object: Object,
    /// Offset in the object of `start`; for private anonymous memory 0.
    pub offset: u64,
    /// Its name.
    pub name: VmaName,
    /// Up to which address the object's pages are mapped on the host. Behind it lie inaccessible pages: the end of the
    /// arena file was before them, or it is mostly holes and nobody has touched it there. Equal to `end` for anything
    /// but pages of the arena.
    pub filled: usize,
}

impl Vma {
    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an area is never empty")]
    pub fn len(&self) -> usize {
        self.end - self.start
    }
    /// Whether writes reach the object.
    pub fn shared(&self) -> bool {
        self.flags.contains(VmaFlags::SHARED)
    }
    /// The same for the host.
    pub fn map_mode(&self) -> MapMode {
        if self.shared() { MapMode::SHARED } else { MapMode::empty() }
    }
    /// Offset in the object of the byte at `addr`, which lies in the vma.
    pub fn offset_of(&self, addr: usize) -> u64 {
        if self.object.is_anonymous() { 0 } else { self.offset.wrapping_add((addr - self.start) as u64) }
    }
    /// Whether it counts as data (RLIMIT_DATA): private, writable, no stack.
    pub fn is_data(&self) -> bool {
        self.prot.contains(Prot::WRITE) && !self.flags.intersects(VmaFlags::SHARED | VmaFlags::GROWSDOWN)
    }
    /// What it counts when it is locked. A growing stack counts as Linux's does at the start: here it is mapped as a
    /// whole at once, there it has grown as far as it was used (setup_arg_pages() in fs/exec.c).
    pub fn lockable(&self) -> usize {
        if self.flags.contains(VmaFlags::GROWSDOWN) { self.len().min(STACK_AT_START) } else { self.len() }
    }
    /// Whether it is code that runs as it is, of a file that nobody changes, and the guest cannot change what it sees
    /// of it.
    pub(super) fn is_fixed_code(&self) -> bool {
        self.flags.contains(VmaFlags::LOADED)
            && self.prot.contains(Prot::EXEC)
            && !self.prot.contains(Prot::WRITE)
            && !self.shared()
            && matches!(self.object, Object::Host { fixed: true, .. })
    }
    /// It as the host sees code.
    pub fn code(&self) -> Code {
        const INODE: u64 = 1;
        const PAGES: u64 = 2;
        let file = self.object.id().map(|id| match id {
            ObjectId::Inode(id) => [INODE, id.dev, id.ino],
            ObjectId::Pages(identity) => [PAGES, identity as u64, 0],
        });
        Code {
            start: self.start,
            end: self.filled,
            prot: self.prot,
            shared: self.shared(),
            file: file.map(|key| (key, self.offset)),
            mode: if self.flags.contains(VmaFlags::COMPAT) { CpuMode::Compat } else { CpuMode::Long },
            fixed: matches!(self.object, Object::Host { fixed: true, .. }),
        }
    }
    /// What the host maps for a piece starting at `addr`; `None` when it is made of several (arena pages).
    pub(super) fn host_backing(&self, addr: usize) -> Option<Backing> {
        match &self.object {
            Object::Anonymous => Some(Backing::Anonymous),
            Object::Host { fd, .. } => Some(Backing::File { fd: *fd, offset: self.offset_of(addr) }),
            Object::Pages { .. } => None,
        }
    }
    /// The part of this vma inside `[start, end)`, which must overlap it.
    pub(super) fn part(&self, start: usize, end: usize) -> Self {
        let (start, end) = (start.max(self.start), end.min(self.end));
        let mut part = self.clone();
        part.offset = self.offset_of(start);
        part.filled = self.filled.clamp(start, end);
        part.start = start;
        part.end = end;
        part
    }
    /// Whether `next` continues this vma, so that both can be one.
    pub(super) fn joins(&self, next: &Self) -> bool {
        self.continues(next) && (self.filled == self.end || next.filled == next.start)
    }
    /// Whether `next` continues this vma for whoever looks at them: they may differ in how much of them is on the host.
    pub fn continues(&self, next: &Self) -> bool {
        self.end == next.start
            && self.prot == next.prot
            && self.max_prot == next.max_prot
            && self.flags == next.flags
            && self.name == next.name
            && self.object.same(&next.object)
            && (self.object.is_anonymous() || self.offset.checked_add(self.len() as u64) == Some(next.offset))
    }
}
