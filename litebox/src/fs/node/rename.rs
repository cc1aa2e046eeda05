//! Renaming, as rename(2) says.

use alloc::sync::Arc;

use super::Node;
use crate::fs::{FileType, NewAttr, NewNode, RenameFlags, Time};
use crate::{Error, Result};

fn is_directory(node: &Arc<Node>) -> bool {
    node.kind() == FileType::Directory
}

/// Whether `node` is `ancestor` or lies below it. The names are locked.
fn lies_in(node: &Arc<Node>, ancestor: &Arc<Node>) -> bool {
    let mut at = Some(node.clone());
    while let Some(node) = at {
        if Arc::ptr_eq(&node, ancestor) {
            return true;
        }
        let above = node.parent.lock().clone();
        at = above;
    }
    false
}

impl Node {
    pub(in crate::fs) fn rename_child(
        &self,
        name: &[u8],
        new_dir: &Arc<Node>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        if flags.contains(RenameFlags::RENAME_EXCHANGE)
            && flags.intersects(RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_WHITEOUT)
        {
            return Err(Error::Invalid);
        }
        let dir = self.me()?;
        let _names = self.tree.change_names();
        let source = self.child(name)?;
        let target = match new_dir.child(new_name) {
            Ok(target) => Some(target),
            Err(Error::NotFound) => None,
            Err(error) => return Err(error),
        };
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && target.is_some() {
            return Err(Error::Exists);
        }
        if flags.contains(RenameFlags::RENAME_EXCHANGE) && target.is_none() {
            return Err(Error::NotFound);
        }
        if is_directory(&source) && lies_in(new_dir, &source) {
            return Err(Error::Invalid);
        }
        self.complete()?;
        self.own_attr()?;
        new_dir.living_entries().map(drop)?;
        new_dir.own_attr()?;
        source.own_attr()?;
        match target {
            None => dir.move_to(name, new_dir, new_name, &source, flags),
            Some(target) if flags.contains(RenameFlags::RENAME_EXCHANGE) => {
                if is_directory(&target) && lies_in(&dir, &target) {
                    return Err(Error::Invalid);
                }
                dir.exchange(name, new_dir, new_name, &source, &target)
            }
            Some(target) => {
                if is_directory(&target) && !Arc::ptr_eq(&target, &source) && lies_in(&dir, &target) {
                    return Err(Error::NotEmpty);
                }
                dir.replace(name, new_dir, new_name, &source, &target, flags)
            }
        }
    }

    fn move_to(
        &self,
        name: &[u8],
        new_dir: &Arc<Node>,
        new_name: &[u8],
        source: &Arc<Node>,
        flags: RenameFlags,
    ) -> Result<()> {
        let now = Time::now();
        new_dir.put_name(new_name, source)?;
        self.leave(name, flags)?;
        let moved = i64::from(is_directory(source));
        self.names_changed(now, -moved)?;
        new_dir.names_changed(now, moved)?;
        source.renamed(now)
    }

    fn replace(
        &self,
        name: &[u8],
        new_dir: &Arc<Node>,
        new_name: &[u8],
        source: &Arc<Node>,
        target: &Arc<Node>,
        flags: RenameFlags,
    ) -> Result<()> {
        // Two names of one inode: nothing happens.
        if Arc::ptr_eq(source, target) {
            return Ok(());
        }
        match (is_directory(source), is_directory(target)) {
            (true, false) => return Err(Error::NotDirectory),
            (false, true) => return Err(Error::IsDirectory),
            _ => {}
        }
        let now = Time::now();
        if is_directory(target) {
            target.mark_removed(now)?;
            new_dir.names_changed(now, -1)?;
        } else {
            target.drop_link(now, 1)?;
        }
        self.move_to(name, new_dir, new_name, source, flags)
    }

    fn exchange(
        &self,
        name: &[u8],
        new_dir: &Arc<Node>,
        new_name: &[u8],
        source: &Arc<Node>,
        target: &Arc<Node>,
    ) -> Result<()> {
        if Arc::ptr_eq(source, target) {
            return Ok(());
        }
        let now = Time::now();
        target.own_attr()?;
        new_dir.put_name(new_name, source)?;
        self.put_name(name, target)?;
        let moved = i64::from(is_directory(source)) - i64::from(is_directory(target));
        self.names_changed(now, -moved)?;
        new_dir.names_changed(now, moved)?;
        source.renamed(now)?;
        target.renamed(now)
    }

    /// Takes `name` away, leaving a whiteout (a character device 0:0) when that is asked for.
    fn leave(&self, name: &[u8], flags: RenameFlags) -> Result<()> {
        if flags.contains(RenameFlags::RENAME_WHITEOUT) {
            let whiteout = self.make(NewNode::CharDevice(0), NewAttr::default())?;
            self.put_name(name, &whiteout)
        } else {
            self.take_name(name)
        }
    }

    fn renamed(&self, now: Time) -> Result<()> {
        self.change(|attr| {
            attr.ctime = now;
            Ok(())
        })
    }
}
