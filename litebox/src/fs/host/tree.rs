//! The file system over a granted tree.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};

use crate::Result;
use crate::fs::{FileSystem, FileType, Inode, InodeId};
use crate::platform::GrantId;
use crate::platform::broker_protocol::Stat;
use crate::sync::Mutex;

use super::client::Client;
use super::file::HostFile;
use super::node::HostNode;

/// Open files of an image that are kept after their last use.
const MOST_IDLE: usize = 96;

/// A granted tree (or one granted file) of the host.
pub struct HostFs {
    pub(super) client: Client,
    dev: u64,
    root_dev: u64,
    /// Nobody changes the tree: what was learned of it stays true.
    pub(super) image: bool,
    /// Nodes in use, so that one file is one node.
    nodes: Mutex<BTreeMap<(u64, u64), Weak<HostNode>>>,
    /// Open files of an image, the latest last.
    idle: Mutex<VecDeque<Arc<HostFile>>>,
    me: Weak<HostFs>,
    root: Mutex<Option<Arc<HostNode>>>,
}

impl HostFs {
    /// The tree behind `grant`; its files show device number `dev` (and numbers derived from it where the tree spans several file systems of
    /// the host).
    pub fn new(grant: GrantId, dev: u64) -> Result<Arc<Self>> {
        let client = Client::new(grant);
        let info = client.info()?;
        let stat = client.stat(b"")?;
        let fs = Arc::new_cyclic(|me| Self {
            client,
            dev,
            root_dev: stat.dev,
            image: info.image == 1 && info.access != 1,
            nodes: Mutex::new(BTreeMap::new()),
            idle: Mutex::new(VecDeque::new()),
            me: me.clone(),
            root: Mutex::new(None),
        });
        let root = fs.node(None, b"", stat, None)?;
        *fs.root.lock() = Some(root);
        Ok(fs)
    }
    pub(super) fn id_of(&self, stat: &Stat) -> InodeId {
        let dev =
            if stat.dev == self.root_dev { self.dev } else { self.dev.wrapping_add(stat.dev.wrapping_mul(0x1_0000)) };
        InodeId { dev, ino: stat.ino }
    }
    /// The node of the file that was found as `name` in `parent`.
    pub(super) fn node(
        &self,
        parent: Option<&Arc<HostNode>>,
        name: &[u8],
        stat: Stat,
        target: Option<alloc::vec::Vec<u8>>,
    ) -> Result<Arc<HostNode>> {
        let fs = self.me.upgrade().ok_or(crate::Error::Io)?;
        let file_type = FileType::from_mode(stat.mode).ok_or(crate::Error::Io)?;
        let mut nodes = self.nodes.lock();
        let known = nodes.get(&(stat.dev, stat.ino)).and_then(Weak::upgrade);
        if let Some(node) = known.as_ref().filter(|node| node.file_type() == file_type) {
            drop(nodes);
            node.found_as(parent, name, stat, target);
            return Ok(node.clone());
        }
        let node = HostNode::new(fs, parent.cloned(), name, stat, file_type, target);
        nodes.insert((stat.dev, stat.ino), Arc::downgrade(&node));
        drop(nodes);
        // A file of another type had this number: its last handle may go now, not while the nodes are locked.
        drop(known);
        Ok(node)
    }
    /// The last handle of a node is gone.
    pub(super) fn node_dropped(&self, stat: &Stat) {
        let mut nodes = self.nodes.lock();
        if nodes.get(&(stat.dev, stat.ino)).is_some_and(|weak| weak.strong_count() == 0) {
            nodes.remove(&(stat.dev, stat.ino));
        }
    }
    /// Keeps an open file of an image for a while.
    pub(super) fn keep_open(&self, file: Arc<HostFile>) {
        let mut idle = self.idle.lock();
        idle.push_back(file);
        let oldest = if idle.len() > MOST_IDLE { idle.pop_front() } else { None };
        drop(idle);
        drop(oldest);
    }
}

impl FileSystem for HostFs {
    fn root(&self) -> Arc<dyn Inode> {
        match &*self.root.lock() {
            Some(root) => root.clone(),
            // Set before anybody sees the file system.
            None => crate::fs::EmptyRoot.root(),
        }
    }
    fn type_name(&self) -> &'static str {
        "hostfs"
    }
}
