//! What was changed in an overlay: its tree compared with the one below.
//!
//! Only directories are looked at that something changed in. They are known: what was changed is kept by the table of
//! origins, and each node knows the directory it was found in. Hard links are told as such, so a first walk counts
//! names. A file below that was changed and has names nobody has looked at is the one reason to look at all
//! directories.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::OverlayFs;
use crate::fs::node::{Attr, Body, Node, Origin};
use crate::fs::{FileType, Inode, InodeMap, Time};
use crate::{Error, Result};

/// One change. The path is from the root of the file system, without a leading slash; that of the root is empty.
pub struct Change<'a> {
    /// Where.
    pub path: &'a [u8],
    /// What.
    pub kind: ChangeKind<'a>,
}

/// What a [`Change`] is. `existed`: something was there under this path before.
pub enum ChangeKind<'a> {
    /// This is there now. `opaque`: a directory that took the place of another one, of which nothing is left in it.
    Present {
        /// What it is.
        inode: Arc<dyn Inode>,
        /// See above.
        existed: bool,
        /// See above.
        opaque: bool,
    },
    /// One more name of a file that was told under the path `first`.
    Link {
        /// What it is.
        inode: Arc<dyn Inode>,
        /// Which.
        first: &'a [u8],
        /// See above.
        existed: bool,
    },
    /// Nothing is there any more.
    Removed,
    /// What is there now cannot be found out.
    Unreadable(Error),
}

/// Is told of changes: directories before what lies in them, names in their order. `Err` ends it.
pub type Sink<'a> = &'a mut dyn FnMut(Change<'_>) -> Result<()>;

/// What was changed before the first program ran: inode numbers and times of change.
pub(super) type Baseline = InodeMap<u64, Time>;

impl OverlayFs {
    /// What was changed until now was not the program's doing.
    pub fn settle(&self) -> Result<()> {
        let mut made = Baseline::default();
        self.changes(usize::MAX, &mut |change| {
            if let ChangeKind::Present { inode, .. } = change.kind {
                made.insert(inode.id().ino, inode.metadata()?.ctime);
            }
            Ok(())
        })?;
        *self.made.lock() = made;
        Ok(())
    }

    /// Tells what was changed. Nobody else should be changing anything. Paths longer than `longest` are unreadable.
    pub fn changes(&self, longest: usize, sink: Sink<'_>) -> Result<()> {
        let mut walk =
            Walk { fs: self, longest, visited: Some(self.changed_directories()), links: InodeMap::default() };
        if walk.visited.as_ref().is_some_and(InodeMap::is_empty) {
            return Ok(());
        }
        walk.run(None)?;
        if walk.links.values().any(|link| link.told && link.names < link.count) {
            walk.visited = None;
            walk.links.clear();
            walk.run(None)?;
        }
        walk.run(Some(sink))
    }

    /// The directories that hold something changed, however deep.
    fn changed_directories(&self) -> InodeMap<u64, ()> {
        let origins = self.root.tree.origins.lock();
        let changed = origins.values().filter_map(|origin| match origin {
            Origin::Changed(node) => Some(node.clone()),
            Origin::Clean(_) => None,
        });
        let changed: Vec<Arc<Node>> = changed.collect();
        drop(origins);
        let mut found = InodeMap::default();
        for node in changed {
            let mut at = Some(node);
            while let Some(node) = at {
                if found.insert(node.ino, ()).is_some() && node.kind() == FileType::Directory {
                    break;
                }
                let above = node.parent.lock().clone();
                at = above;
            }
        }
        found
    }
}

/// A file with several names.
struct Link {
    /// Names that were found.
    names: u64,
    /// Names there are; 0: it need not be known.
    count: u64,
    /// One of them is a change.
    told: bool,
    /// The first one that was told.
    first: Option<Vec<u8>>,
}

/// A directory that is being looked at.
struct Frame {
    node: Arc<Node>,
    /// The directory that was there before.
    base: Option<Arc<dyn Inode>>,
    /// It is the same one.
    same: bool,
    names: alloc::collections::btree_map::IntoIter<Vec<u8>, Name>,
    /// Length of its path.
    path_len: usize,
    /// It is to be told before the first change in it.
    owed: bool,
}

/// Whether a name is there now, and was before.
#[derive(Clone, Copy, Default)]
struct Name {
    ino: Option<u64>,
    before: bool,
}

struct Walk<'a> {
    fs: &'a OverlayFs,
    longest: usize,
    /// The directories to be looked at; `None`: all.
    visited: Option<InodeMap<u64, ()>>,
    links: InodeMap<u64, Link>,
}

/// What a place holds now.
struct Found<'a> {
    node: &'a Arc<Node>,
    existed: bool,
    /// It is what was there before, and nothing about it differs.
    unchanged: bool,
}

impl Walk<'_> {
    /// Looks at all of it; without a sink, names are counted.
    fn run(&mut self, mut sink: Option<Sink<'_>>) -> Result<()> {
        let root = self.fs.root.clone();
        let below = self.fs.lower.root();
        let mut path = Vec::new();
        if root.kind() != FileType::Directory {
            let found = Found { unchanged: !differs(&root, &below, None)?, node: &root, existed: true };
            return self.file(&mut sink, &path, &mut [], &found);
        }
        let mut stack = Vec::new();
        self.enter(&mut sink, &path, &mut stack, root, Some((below, true)))?;
        while let Some(frame) = stack.last_mut() {
            path.truncate(frame.path_len);
            let Some((name, what)) = frame.names.next() else {
                stack.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            if path.len() > self.longest {
                tell(&mut sink, &path, &mut stack, ChangeKind::Unreadable(Error::NameTooLong))?;
                continue;
            }
            match self.look(&mut sink, &path, &mut stack, &name, what) {
                // Who listens has had enough.
                Err(Error::BrokenPipe) => return Err(Error::BrokenPipe),
                Err(error) => tell(&mut sink, &path, &mut stack, ChangeKind::Unreadable(error))?,
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Looks at one name of the directory that is on top.
    fn look(
        &mut self,
        sink: &mut Option<Sink<'_>>,
        path: &[u8],
        stack: &mut Vec<Frame>,
        name: &[u8],
        what: Name,
    ) -> Result<()> {
        let Some(frame) = stack.last() else { return Ok(()) };
        if what.ino.is_none() {
            return tell(sink, path, stack, ChangeKind::Removed);
        }
        let node = frame.node.locked_child(name)?;
        let before = match &frame.base {
            Some(base) if what.before => Some(base.lookup(name)?),
            _ => None,
        };
        let same = frame.same && before.as_ref().is_some_and(|before| is_lower_of(&node, before));
        if node.kind() == FileType::Directory {
            let is_visited = self.visited.as_ref().is_none_or(|visited| visited.contains_key(&node.ino));
            if same && !is_visited {
                return Ok(());
            }
            return self.enter(sink, path, stack, node, before.map(|before| (before, same)));
        }
        let unchanged = match &before {
            Some(before) if same => !differs(&node, before, None)?,
            _ => before.is_none() && self.fs.made.lock().contains_key(&node.ino),
        };
        self.file(sink, path, stack, &Found { node: &node, existed: before.is_some(), unchanged })
    }

    /// Goes into a directory, and tells of it. `before`: what was there before, and whether it is the same.
    fn enter(
        &mut self,
        sink: &mut Option<Sink<'_>>,
        path: &[u8],
        stack: &mut Vec<Frame>,
        node: Arc<Node>,
        before: Option<(Arc<dyn Inode>, bool)>,
    ) -> Result<()> {
        let existed = before.is_some();
        let (base, same) = match before {
            Some((before, same)) if before.file_type() == FileType::Directory => (Some(before), same),
            _ => (None, false),
        };
        let names = names_of(&node, base.as_ref(), same)?;
        let settled = self.fs.made.lock().get(&node.ino).copied();
        let is_changed = match &base {
            Some(base) if same => {
                let is_made = |ino: u64| self.fs.made.lock().contains_key(&ino);
                let moved = |name: &Name| name.ino.is_none_or(|ino| !name.before && !is_made(ino));
                names.values().any(moved) || differs(&node, base, settled)?
            }
            _ => settled.is_none(),
        };
        let opaque = base.is_some() && !same;
        if is_changed {
            let kind = ChangeKind::Present { inode: node.clone(), existed, opaque };
            tell(sink, path, stack, kind)?;
        }
        let owed = !is_changed && !existed;
        stack.push(Frame { node, base, same, names: names.into_iter(), path_len: path.len(), owed });
        Ok(())
    }

    /// Tells of what is no directory.
    fn file(&mut self, sink: &mut Option<Sink<'_>>, path: &[u8], stack: &mut [Frame], found: &Found<'_>) -> Result<()> {
        let Found { node, existed, unchanged } = *found;
        let links = node.metadata()?.nlink;
        let link = (links > 1).then(|| {
            let count = if node.lower.is_some() { links } else { 0 };
            self.links.entry(node.ino).or_insert(Link { names: 0, count, told: false, first: None })
        });
        let Some(sink) = sink.as_mut() else {
            if let Some(link) = link {
                link.names += 1;
                link.told |= !unchanged;
            }
            return Ok(());
        };
        if unchanged && !link.as_ref().is_some_and(|link| link.told) {
            return Ok(());
        }
        pay(sink, path, stack)?;
        let kind = match &link {
            Some(Link { first: Some(first), .. }) => ChangeKind::Link { inode: (*node).clone(), first, existed },
            _ => ChangeKind::Present { inode: (*node).clone(), existed, opaque: false },
        };
        sink(Change { path, kind })?;
        if let Some(link) = link.filter(|link| link.first.is_none()) {
            link.first = Some(path.to_vec());
        }
        Ok(())
    }
}

/// The names that are or were in a directory.
fn names_of(node: &Arc<Node>, base: Option<&Arc<dyn Inode>>, same: bool) -> Result<BTreeMap<Vec<u8>, Name>> {
    let mut names: BTreeMap<Vec<u8>, Name> = BTreeMap::new();
    // Nobody has changed the names of one that has not learned them.
    let untouched = same && !node.entries()?.is_complete();
    node.list(0, &mut |entry| {
        names.insert(entry.name.to_vec(), Name { ino: Some(entry.ino), before: untouched });
        true
    })?;
    if let Some(base) = base.filter(|_| !untouched) {
        base.read_dir(0, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                names.entry(entry.name.to_vec()).or_default().before = true;
            }
            true
        })?;
    }
    names.remove(b".".as_slice());
    names.remove(b"..".as_slice());
    Ok(names)
}

/// Tells of a change, if anybody listens.
fn tell(sink: &mut Option<Sink<'_>>, path: &[u8], stack: &mut [Frame], kind: ChangeKind<'_>) -> Result<()> {
    let Some(sink) = sink.as_mut() else { return Ok(()) };
    pay(sink, path, stack)?;
    sink(Change { path, kind })
}

/// Tells of the directories above that were to be told of only when there is something in them.
fn pay(sink: &mut Sink<'_>, path: &[u8], stack: &mut [Frame]) -> Result<()> {
    for frame in stack.iter_mut().filter(|frame| frame.owed) {
        frame.owed = false;
        let kind = ChangeKind::Present { inode: frame.node.clone(), existed: false, opaque: false };
        sink(Change { path: path.get(..frame.path_len).unwrap_or_default(), kind })?;
    }
    Ok(())
}

fn is_lower_of(node: &Node, below: &Arc<dyn Inode>) -> bool {
    node.lower.as_ref().is_some_and(|lower| lower.id() == below.id())
}

/// Whether a node shows anything else than the inode below it. `settled`: its time of change when the program began.
fn differs(node: &Node, below: &Arc<dyn Inode>, settled: Option<Time>) -> Result<bool> {
    if let Body::Regular(body) = &node.body {
        if !body.is_lower() {
            return Ok(true);
        }
    }
    let Some(own) = node.attr.lock().clone() else { return Ok(false) };
    let meta = below.metadata()?;
    let is_moved = own.mtime != meta.mtime && settled != Some(own.ctime);
    let attributes = (own.permissions, own.uid, own.gid) != (meta.permissions(), meta.uid, meta.gid);
    // Another name below a new one: both are told, and so the link.
    let linked = node.kind() != FileType::Directory && own.nlink > meta.nlink;
    Ok(is_moved || attributes || linked || xattrs_differ(node, below, &own)?)
}

fn xattrs_differ(node: &Node, below: &Arc<dyn Inode>, own: &Attr) -> Result<bool> {
    let mut before = Attr { xattrs: BTreeMap::new(), ..own.clone() };
    node.lower_xattrs(&**below, &mut before)?;
    node.refund_xattrs(Some(&before));
    Ok(before.xattrs != own.xattrs)
}
