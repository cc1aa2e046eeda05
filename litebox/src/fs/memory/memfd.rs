//! Memory files (memfd_create(2)): regular files that no directory knows, which can be sealed.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::Result;
use crate::fs::node::{Attr, Body, Content, FileBody, MemoryFile, Node, TMPFS_MAGIC, Tree, regular_node};
use crate::fs::{Access, File, Inode, NewAttr, OpenHow, Seals};
use crate::mm::arena::Arena;

/// Device number of memory files (Linux's internal tmpfs).
const MEMFD_DEV: u64 = 0x5;

/// What a memory file is made of.
#[derive(Clone, Copy, Debug)]
pub struct MemoryFileSpec<'a> {
    /// What it is called, for /proc: `memfd:NAME`, `SYSV00000000`.
    pub name: &'a [u8],
    /// Inode number, unique among memory files.
    pub ino: u64,
    /// Owner and permissions.
    pub attr: NewAttr,
    /// Its first seals; [`Seals::SEAL`] when it cannot be sealed.
    pub seals: Seals,
}

/// A new, empty memory file, open for reading and writing.
pub fn memory_file(arena: &Arc<Arena>, spec: &MemoryFileSpec<'_>) -> Result<Arc<dyn File>> {
    let tree = Arc::new(Tree::new(MEMFD_DEV, TMPFS_MAGIC, arena, None, spec.ino));
    let body = Body::Regular(FileBody::named(Content::Empty, spec.seals, Box::from(spec.name)));
    let node = Node::new(&tree, body, Attr::new(spec.attr, 0, 0));
    let how = OpenHow { access: Access::READ | Access::WRITE, truncate: false, nonblocking: false, append: false };
    Ok(MemoryFile::open(node, how)?)
}

/// What /proc shows for a memory file. `None` for any other inode.
pub fn memory_file_name(inode: &dyn Inode) -> Option<Vec<u8>> {
    Some(regular_node(inode)?.regular().ok()?.name()?.to_vec())
}
