//! Files in memory: tmpfs, and memory files (memfd).

mod memfd;
#[cfg(test)]
mod tests;

pub use memfd::{MemoryFileSpec, memory_file, memory_file_name};

use alloc::sync::Arc;

use super::node::{Attr, Body, Entries, Node, TMPFS_MAGIC, Tree, dismantle};
use super::{FileSystem, Inode, NewAttr};
use crate::mm::arena::Arena;
use crate::sync::Mutex;

/// A file system in memory (tmpfs).
pub struct MemoryFs {
    root: Arc<Node>,
}

impl MemoryFs {
    /// An empty one. `dev` is the device number its files show, `limit` how many bytes of file data it takes at most
    /// (`None`: what the arena has), `root` the attributes of its root directory.
    pub fn new(dev: u64, arena: &Arc<Arena>, limit: Option<u64>, root: NewAttr) -> Arc<Self> {
        let tree = Arc::new(Tree::new(dev, TMPFS_MAGIC, arena, limit, 1));
        let attr = Attr::new(root, 2, 0);
        Arc::new(Self { root: Node::new(&tree, Body::Directory(Mutex::new(Entries::empty())), attr) })
    }
}

impl FileSystem for MemoryFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }
    fn type_name(&self) -> &'static str {
        "tmpfs"
    }
}

impl Drop for MemoryFs {
    fn drop(&mut self) {
        dismantle(self.root.clone());
    }
}
