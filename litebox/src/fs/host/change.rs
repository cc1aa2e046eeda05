//! Changes of names in a directory of a granted tree. Each is one request to the broker, and what is remembered stays
//! true without another.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::attributes::{Attributes, Known};
use super::changes::event;
use super::client::Subject;
use super::file::HostFile;
use super::node::HostNode;
use crate::fs::{Ahead, FileType, NewAttr, NewNode, RenameFlags};
use crate::platform::HostFd;
use crate::{Error, Result};
use litebox_protocol::{OpenFlags, Stat};

/// What was made.
struct Made {
    stat: Stat,
    target: Option<Vec<u8>>,
    /// A file that is to be opened, open for reading and writing.
    open: Option<HostFd>,
    /// The number of a directory's watch, and whether nothing was in it after that.
    watch: (i32, bool),
}

impl Made {
    fn new(stat: Stat) -> Self {
        Self { stat, target: None, open: None, watch: (0, false) }
    }
}

impl HostNode {
    /// mkdir(2), mknod(2), symlink(2), and open(2) with `O_CREAT`.
    pub(super) fn make_name(&self, name: &[u8], node: NewNode<'_>, attr: NewAttr) -> Result<Arc<Self>> {
        let me = self.handle()?;
        let change = self.expect(event::CREATE, name);
        let Made { stat, target, open, watch: (watch, is_empty) } = match self.create_node(name, node, attr) {
            Ok(made) => made,
            Err(error) => {
                self.give_up(&change, name);
                return Err(error);
            }
        };
        let made = self.fs().fresh_node(&me, name, stat, target)?;
        if let Some(fd) = open {
            let file = HostFile::changeable(fd, made.clone(), false);
            made.note_open(&file);
            *made.made_open().lock() = Some(file);
        }
        let given = match open {
            Some(fd) => self.give_away(Subject::Open(fd), stat, (attr.uid, attr.gid)),
            None if (stat.uid, stat.gid) == (attr.uid, attr.gid) => stat,
            None => self.give_away(Subject::Path(&self.path_with(name)?), stat, (attr.uid, attr.gid)),
        };
        if given != stat {
            made.note_stat(given);
        }
        self.finish(&change, name, Some((&made, Attributes::all(given, change.moment))));
        if watch > 0 {
            made.begin(given, watch, is_empty, change.moment);
        }
        Ok(made)
    }
    fn create_node(&self, name: &[u8], node: NewNode<'_>, attr: NewAttr) -> Result<Made> {
        let path = self.path_with(name)?;
        let client = &self.fs().client;
        let given = |file_type: FileType| (file_type.mode_bits() | attr.permissions, attr.umask);
        let permissions = (attr.permissions, attr.umask);
        match node {
            NewNode::Regular if attr.to_be_opened && self.fs().changeable() => {
                let how = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
                let (stat, fd) = client.create(&path, how, permissions)?;
                Ok(Made { open: Some(fd), ..Made::new(stat) })
            }
            NewNode::Directory => {
                let (stat, watch, is_empty) = client.mkdir(&path, permissions, self.watch().is_some())?;
                Ok(Made { watch: (watch, is_empty), ..Made::new(stat) })
            }
            NewNode::Symlink(target) => {
                Ok(Made { target: Some(target.to_vec()), ..Made::new(client.symlink(&path, target)?) })
            }
            NewNode::Regular => client.mknod(&path, given(FileType::Regular)).map(Made::new),
            NewNode::Fifo => client.mknod(&path, given(FileType::Fifo)).map(Made::new),
            NewNode::Socket => client.mknod(&path, given(FileType::Socket)).map(Made::new),
            NewNode::CharDevice(_) | NewNode::BlockDevice(_) => Err(Error::NotPermitted),
        }
    }
    /// open(2) with `O_TMPFILE`.
    pub(super) fn make_unnamed(&self, attr: NewAttr, linkable: bool) -> Result<Arc<Self>> {
        if !self.fs().changeable() {
            return Err(Error::ReadOnly);
        }
        let (stat, fd) = self.fs().client.temporary(&self.path()?, (attr.permissions, attr.umask), linkable)?;
        let stat = self.give_away(Subject::Open(fd), stat, (attr.uid, attr.gid));
        let node = self.fs().nameless_node(stat)?;
        let file = HostFile::changeable(fd, node.clone(), false);
        node.note_open(&file);
        *node.made_open().lock() = Some(file);
        Ok(node)
    }
    /// unlink(2), rmdir(2).
    pub(super) fn remove_name(&self, name: &[u8], directory: bool) -> Result<()> {
        let path = self.path_with(name)?;
        let change = self.expect(event::DELETE, name);
        let client = &self.fs().client;
        let removed = if directory { client.rmdir(&path) } else { client.unlink(&path) };
        match removed {
            Ok(()) => self.finish(&change, name, None),
            Err(_) => self.give_up(&change, name),
        }
        removed
    }
    /// link(2): another name for `target`.
    pub(super) fn link_name(&self, name: &[u8], target: &Arc<Self>) -> Result<()> {
        let new = self.path_with(name)?;
        let change = self.expect(event::CREATE, name);
        // From now on changes by the other name are told elsewhere.
        target.lower(Known::Nothing);
        let linked = match target.open_file().filter(|_| !target.is_checked()) {
            Some(file) => self.fs().client.link(Subject::Open(file.descriptor()), &new),
            None => target.path().and_then(|path| self.fs().client.link(Subject::Path(&path), &new)),
        };
        if let Err(error) = linked {
            self.give_up(&change, name);
            return Err(error);
        }
        if target.is_nameless() {
            target.move_to(self.handle()?, name);
        }
        let nothing = Attributes::of_before(target.stat());
        self.finish(&change, name, Some((target, nothing)));
        target.lower(Known::Nothing);
        Ok(())
    }
    /// rename(2).
    pub(super) fn move_name(&self, name: &[u8], there: &Arc<Self>, new_name: &[u8], flags: RenameFlags) -> Result<()> {
        let moved = self.look_up(name, Ahead::default())?;
        let (old, new) = (self.path_with(name)?, there.path_with(new_name)?);
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return self.exchange(&moved, name, there, new_name);
        }
        let known = moved.known();
        let kept = *moved.attributes().read();
        let [left, came] = [self.expect(event::MOVED_FROM, name), there.expect(event::MOVED_TO, new_name)];
        let itself = self.fs().changes.expect(moved.watch(), event::MOVE_SELF, b"");
        let renamed = self.fs().client.rename(&old, &new, flags.bits());
        self.fs().changes.finish(&[itself], renamed.is_ok());
        if renamed.is_err() {
            self.give_up(&left, name);
            there.give_up(&came, new_name);
            return renamed;
        }
        moved.move_to(there.handle()?, new_name);
        self.finish(&left, name, None);
        // The time of its last change is another.
        let rights = Attributes { known: known.min(Known::Rights), ..kept };
        there.finish(&came, new_name, Some((&moved, rights)));
        moved.lower(Known::Rights);
        Ok(())
    }
    fn exchange(&self, moved: &Arc<Self>, name: &[u8], there: &Arc<Self>, new_name: &[u8]) -> Result<()> {
        let swapped = there.look_up(new_name, Ahead::default())?;
        let (old, new) = (self.path_with(name)?, there.path_with(new_name)?);
        let exchanged = self.fs().client.rename(&old, &new, RenameFlags::RENAME_EXCHANGE.bits());
        if exchanged.is_ok() {
            moved.move_to(there.handle()?, new_name);
            swapped.move_to(self.handle()?, name);
        }
        self.forget_name(name);
        there.forget_name(new_name);
        exchanged
    }
}
