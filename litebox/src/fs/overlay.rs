//! A copy-on-write view of a read-only tree: what is changed stays in memory, the rest is found below.
//!
//! Every inode of the view is a node in memory (`fs/node`) that may have a *lower* inode:
//!
//! - **Names.** A directory that nobody changed or listed looks names up below. Before the first change, and for a
//!   listing, it learns all names of the lower directory; from then on its own entries are all there is. So nothing
//!   needs whiteouts or opaque marks, and renaming moves a node together with what lies below it.
//! - **Attributes** are the lower inode's until the first change of one of them; then they are copied, the bytes stay
//!   below.
//! - **Bytes** are copied before the first write. Files opened earlier read the copy from then on. Mappings made of the
//!   lower file before that keep showing the lower file.
//!
//! Inode numbers are the lower ones, so an inode stays the same inode when it is copied, and hard links below stay hard
//! links. What was changed is kept by the table of origins, since a lower name leads to it; what was not is forgotten
//! with its last user.

pub mod changes;
#[cfg(test)]
mod tests;

use super::node::{MADE_INOS, Node, Origin, Tree, dismantle};
use super::{FileSystem, Inode};
use crate::mm::arena::Arena;
use crate::sync::Mutex;
use alloc::sync::Arc;

const OVERLAY_MAGIC: u64 = 0x794c_7630;

/// A copy-on-write file system.
pub struct OverlayFs {
    root: Arc<Node>,
    /// What lies below: as long as its view.
    lower: Arc<dyn FileSystem>,
    /// What was changed before the first program ran.
    made: Mutex<changes::Baseline>,
}

impl OverlayFs {
    /// A changeable view of `lower`, which may be a directory or a single file. `dev` is the device number its files
    /// show.
    pub fn new(dev: u64, lower: Arc<dyn FileSystem>, arena: &Arc<Arena>) -> Arc<Self> {
        let below = lower.root();
        let mut tree = Tree::new(dev, OVERLAY_MAGIC, arena, None, *MADE_INOS.start());
        tree.lower_dev = below.id().dev;
        let root = Arc::new(tree).adopt(below, None);
        Arc::new(Self { root, lower, made: Mutex::default() })
    }
}

impl FileSystem for OverlayFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }
    fn type_name(&self) -> &'static str {
        "overlay"
    }
    fn unmounted(&self) {
        self.lower.unmounted();
    }
}

impl Drop for OverlayFs {
    fn drop(&mut self) {
        let changed = core::mem::take(&mut *self.root.tree.origins.lock());
        for origin in changed.into_values() {
            if let Origin::Changed(node) = origin {
                dismantle(node);
            }
        }
        dismantle(self.root.clone());
    }
}
