//! Inodes in memory, of which tmpfs, memory files (memfd) and the upper half of an overlay are made.
//!
//! - `inode`: an inode, its attributes and what kind of thing it is.
//! - `directory`, `rename`: names, and how they change.
//! - `file`: open files and their bytes, which lie in pages of the arena.
//! - `lower`: the inode below, of an overlay's. `partial`: a large file that has only changed pages here.
//! - `tree`: what the nodes of one file system share.
//! - `xattr`, `fifo`: what their names say.
//!
//! A node may have a *lower* inode (`fs/overlay`): what was not changed here is found there. A tmpfs has none.
//!
//! Locks, outermost first: `Tree::names`, then the entries of one directory; the writer's lock of a file, then its
//! content; the attributes of one node; the overlay's table of origins. No two directories' entries are locked at once.

mod directory;
mod fifo;
mod file;
mod inode;
mod lower;
mod partial;
mod rename;
mod tree;
mod xattr;

pub(super) use directory::{Entries, dismantle};
pub(super) use fifo::FifoSlot;
pub(super) use file::{Content, FileBody, MemoryFile, regular_node};
pub(super) use inode::{Attr, Body, Node};
pub(super) use lower::{MADE_INOS, Origin};
pub(super) use tree::Tree;

const PAGE: u64 = crate::mm::PAGE as u64;
/// `f_type` of tmpfs and of memory files (statfs(2)).
pub(super) const TMPFS_MAGIC: u64 = 0x0102_1994;
