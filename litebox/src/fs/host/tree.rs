//! The file system over a granted tree.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use crate::Result;
use crate::fs::{FileSystem, FileType, Inode, InodeId, InodeMap};
use crate::platform::GrantId;
use crate::platform::north::north;
use crate::sync::Mutex;
use litebox_protocol::{Stat, WalkFlags};

use super::attributes::Known;
use super::changes::{Changes, Forgotten};
use super::client::{Client, Granted};
use super::file::HostFile;
use super::listing::Credit;
use super::node::HostNode;

/// Open files that are kept after their last use.
const MOST_IDLE: usize = 128;
/// Names that were found before they were looked up; more where one request found more.
const MOST_AHEAD: usize = 64;
/// Directories that were listed before anybody looked into them.
const MOST_LISTED: usize = 128;

/// A granted tree (or one granted file) of the host.
pub struct HostFs {
    pub(super) client: Client,
    dev: u64,
    root_dev: u64,
    /// Nobody changes the tree: what was learned of it stays true.
    pub(super) image: bool,
    /// The sandbox may change the tree.
    changeable: bool,
    /// Nodes in use, so that one file is one node.
    nodes: Mutex<InodeMap<(u64, u64), Weak<HostNode>>>,
    /// Open files that readers share; those at the front are closed first, unless they were used since they got there.
    idle: Mutex<VecDeque<Arc<HostFile>>>,
    /// What was found before it was looked up, the latest last.
    ahead: Mutex<VecDeque<FoundAhead>>,
    /// Directories that were listed with others beside them, the latest last.
    listed: Mutex<VecDeque<Arc<HostNode>>>,
    /// What metadata of an image may be fetched on suspicion.
    pub(super) credit: Credit,
    /// What is heard of changes of a tree that others change, too.
    pub(super) changes: Changes,
    me: Weak<HostFs>,
    root: Mutex<Option<Arc<HostNode>>>,
}

/// What a request found of a name that nobody has looked up yet.
pub(super) struct FoundAhead {
    dir: Arc<HostNode>,
    name: Box<[u8]>,
    found: Option<Arc<HostNode>>,
    /// For which call it was found out; 0: it stays true.
    call: u64,
}

impl FoundAhead {
    /// `name` in `dir` is `found`, or absent, in this call.
    pub(super) fn new(dir: Arc<HostNode>, name: &[u8], found: Option<Arc<HostNode>>, call: u64) -> Self {
        Self { dir, name: name.into(), found, call }
    }
}

impl HostFs {
    /// The tree behind `grant`; its files show device number `dev` (and numbers derived from it where the tree spans
    /// several file systems of the host).
    pub fn new(grant: GrantId, dev: u64, granted: &Granted) -> Result<Arc<Self>> {
        let client = Client::new(grant, granted);
        let (info, stat) = (granted.info, granted.root);
        let fs = Arc::new_cyclic(|me| Self {
            client,
            dev,
            root_dev: stat.dev,
            image: info.image == 1 && info.access != 1,
            changeable: info.access == 1,
            nodes: Mutex::new(InodeMap::default()),
            idle: Mutex::new(VecDeque::new()),
            ahead: Mutex::new(VecDeque::new()),
            listed: Mutex::new(VecDeque::new()),
            credit: Credit::new(),
            changes: Changes::new(info.access == 1),
            me: me.clone(),
            root: Mutex::new(None),
        });
        let root = fs.node(None, b"", stat, None)?;
        *fs.root.lock() = Some(root);
        Ok(fs)
    }
    /// Whether the sandbox may change the tree.
    pub(super) fn changeable(&self) -> bool {
        self.changeable
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
        target: Option<Vec<u8>>,
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
    /// Whether there are nodes of the files with this metadata.
    pub(super) fn have_nodes(&self, stats: impl Iterator<Item = Option<Stat>>) -> Vec<bool> {
        let nodes = self.nodes.lock();
        stats.map(|stat| stat.is_some_and(|stat| nodes.contains_key(&(stat.dev, stat.ino)))).collect()
    }
    /// The node of a file that was just made as `name` in `parent`. A file that is gone may have had its number; who
    /// still has that open keeps the other node.
    pub(super) fn fresh_node(
        &self,
        parent: &Arc<HostNode>,
        name: &[u8],
        stat: Stat,
        target: Option<Vec<u8>>,
    ) -> Result<Arc<HostNode>> {
        let before = self.nodes.lock().remove(&(stat.dev, stat.ino));
        drop(before);
        self.node(Some(parent), name, stat, target)
    }
    /// The node of a file that was just made without a name.
    pub(super) fn nameless_node(&self, stat: Stat) -> Result<Arc<HostNode>> {
        let before = self.nodes.lock().remove(&(stat.dev, stat.ino));
        drop(before);
        self.node(None, b"", stat, None)
    }
    /// The node of a file that was opened by the name that `before` had a moment ago.
    pub(super) fn replaced(&self, before: &HostNode, stat: Stat) -> Result<Arc<HostNode>> {
        let (parent, name) = before.parent_and_name();
        self.node(parent.as_ref(), &name, stat, None)
    }
    /// The last handle of a node is gone.
    pub(super) fn node_dropped(&self, stat: &Stat) {
        let mut nodes = self.nodes.lock();
        if nodes.get(&(stat.dev, stat.ino)).is_some_and(|weak| weak.strong_count() == 0) {
            nodes.remove(&(stat.dev, stat.ino));
        }
    }
    /// The call for which what is found out now is true; 0: it stays true. `None`: it may be wrong at once.
    pub(super) fn true_for(&self) -> Option<u64> {
        if self.image { Some(0) } else { Some(north().call_under_way()).filter(|call| *call != 0) }
    }
    /// Keeps an open file for a while.
    pub(super) fn keep_open(&self, file: Arc<HostFile>) {
        let mut idle = self.idle.lock();
        idle.push_back(file);
        let mut oldest = None;
        for _ in 0..MOST_IDLE {
            if idle.len() <= MOST_IDLE {
                break;
            }
            oldest = idle.pop_front();
            // Used since: it gets another turn.
            match oldest.take() {
                Some(file) if file.used_since() => idle.push_back(file),
                unused => {
                    oldest = unused;
                    break;
                }
            }
        }
        drop(idle);
        drop(oldest);
    }
    /// Whether what is remembered of the tree is true, as of the call under way.
    pub(super) fn look(&self) -> bool {
        self.changes.look(&self.client, &|directory, name| self.find_links(directory, name))
    }
    /// Somebody made `name`: where it is another name of a file that is known, what is known of that is true no longer.
    fn find_links(&self, directory: &HostNode, name: &[u8]) -> Result<()> {
        let path = directory.path_with(name)?;
        let known = path.split(|&b| b == b'/').count() - 1;
        let walked = self.client.walk(&path, known, WalkFlags::empty())?;
        let stat = walked.stats.first().ok_or(crate::Error::NotFound)?;
        if stat.nlink > 1 {
            let node = self.nodes.lock().get(&(stat.dev, stat.ino)).and_then(Weak::upgrade);
            if let Some(node) = node {
                node.lower(Known::Nothing);
            }
        }
        Ok(())
    }
    /// Keeps that open file no longer.
    pub(super) fn let_go(&self, file: &Arc<HostFile>, forgotten: &mut Forgotten) {
        let mut idle = self.idle.lock();
        if let Some(at) = idle.iter().position(|kept| Arc::ptr_eq(kept, file)) {
            forgotten.files.extend(idle.remove(at));
        }
    }
    /// Keeps what one request found for the lookups that are likely to come, the nearest first. All of it stays, a path
    /// as long as paths can be: the first that is looked up would be the first to go.
    pub(super) fn keep_ahead(&self, found: Vec<FoundAhead>) {
        let mut ahead = self.ahead.lock();
        let others = MOST_AHEAD.saturating_sub(found.len());
        let too_many = ahead.len().saturating_sub(others);
        let oldest: Vec<FoundAhead> = ahead.drain(..too_many).collect();
        ahead.extend(found);
        drop(ahead);
        drop(oldest);
    }
    /// Keeps a directory that was listed ahead until somebody is likely to have looked into it.
    pub(super) fn keep_listed(&self, dir: Arc<HostNode>) {
        let mut listed = self.listed.lock();
        listed.push_back(dir);
        let oldest = if listed.len() > MOST_LISTED { listed.pop_front() } else { None };
        drop(listed);
        drop(oldest);
    }
    /// What is known of `name` in `dir` before it is looked up in this call; it is told once.
    pub(super) fn found_ahead(&self, dir: &Arc<HostNode>, name: &[u8], call: u64) -> Option<Result<Arc<HostNode>>> {
        let mut ahead = self.ahead.lock();
        let is_it = |kept: &FoundAhead| kept.call == call && Arc::ptr_eq(&kept.dir, dir) && *kept.name == *name;
        let at = ahead.iter().position(is_it)?;
        let kept = ahead.remove(at)?;
        drop(ahead);
        Some(kept.found.ok_or(crate::Error::NotFound))
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
    fn unmounted(&self) {
        // The root keeps the tree, and the tree the root. What goes is dropped with no lock held.
        let root = self.root.lock().take();
        let idle = core::mem::take(&mut *self.idle.lock());
        let ahead = core::mem::take(&mut *self.ahead.lock());
        let listed = core::mem::take(&mut *self.listed.lock());
        drop((root, idle, ahead, listed));
    }
}
