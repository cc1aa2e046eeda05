//! Opening files of a granted tree.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering;

use super::attributes::Known;
use super::changes::Forgotten;
use super::client::Subject;
use super::file::HostFile;
use super::node::{HostNode, OPEN, READER};
use crate::Result;
use crate::fs::{Access, File, OpenHow};
use crate::platform::HostFd;
use litebox_protocol::OpenFlags;

impl HostNode {
    /// An open file of an image that readers share from now on.
    pub(super) fn opened(self: &Arc<Self>, fd: HostFd) -> Arc<HostFile> {
        let file = HostFile::of_node(fd, self.clone(), true);
        self.share_reader(&file);
        file
    }
    fn share_reader(&self, file: &Arc<HostFile>) {
        let mut reader = self.reader().lock();
        self.may_be_open().fetch_or(READER, Ordering::Release);
        let before = core::mem::replace(&mut *reader, Arc::downgrade(file));
        drop(reader);
        drop(before);
        self.fs().keep_open(file.clone());
    }
    /// One of the files that are open behind this node, where the sandbox may change it.
    pub(super) fn open_file(&self) -> Option<Arc<HostFile>> {
        let may_be_open = self.may_be_open().load(Ordering::Acquire);
        // Most files that are looked at are not open.
        if may_be_open == 0 {
            return None;
        }
        self.open_among(may_be_open)
    }
    /// As [`HostNode::open_file`]; where none is found, none is looked for until there is one again.
    fn open_among(&self, may_be_open: u8) -> Option<Arc<HostFile>> {
        if may_be_open & OPEN != 0 {
            let open = self.open_files().lock();
            if let Some(file) = open.iter().rev().find_map(Weak::upgrade) {
                return Some(file);
            }
            self.may_be_open().fetch_and(!OPEN, Ordering::Relaxed);
        }
        let reader = self.reader().lock();
        let file = reader.upgrade();
        if file.is_none() {
            self.may_be_open().fetch_and(!READER, Ordering::Relaxed);
        }
        file
    }
    pub(super) fn note_open(&self, file: &Arc<HostFile>) {
        let mut open = self.open_files().lock();
        self.may_be_open().fetch_or(OPEN, Ordering::Release);
        // Those that were closed go when the list would grow.
        if open.len() == open.capacity() {
            open.retain(|file| file.strong_count() > 0);
        }
        open.push(Arc::downgrade(file));
    }
    /// Asks something about this file: by an open one of it, or by its path.
    pub(super) fn ask_about<T>(&self, ask: impl FnOnce(Subject<'_>) -> Result<T>) -> Result<T> {
        // The broker takes descriptors of trees that may change alone: where none may, a path stays what it is.
        match self.open_file().filter(|_| self.fs().changeable()) {
            Some(file) => ask(Subject::Open(file.descriptor())),
            None => ask(Subject::Path(&self.path()?)),
        }
    }
    /// A second descriptor for writing to a file that is open behind `fd`: for appending, or for writing where one
    /// likes.
    pub(super) fn open_again(&self, fd: HostFd, append: bool) -> Result<HostFd> {
        let mut flags = OpenFlags::WRITE;
        flags.set(OpenFlags::APPEND, append);
        self.fs().client.open(Subject::Open(fd), flags).map(|(_, fd)| fd)
    }
    /// Opens a file of a tree that the sandbox may change.
    fn open_changeable(self: &Arc<Self>, how: OpenHow, flags: OpenFlags) -> Result<Arc<dyn File>> {
        if !how.append {
            if let Some(file) = self.made_open().lock().take() {
                return Ok(file);
            }
        }
        let named = self.has_its_name();
        if named && flags == OpenFlags::READ {
            if let Some(open) = self.reader().lock().upgrade() {
                open.note_use();
                return Ok(open);
            }
        }
        // Without its name, the file is reached through /proc/PID/fd, and may have no name any more.
        let open = if named { None } else { self.open_file() };
        let (parent, name) = self.parent_and_name();
        let asked = parent.as_ref().map(|parent| parent.moment());
        let (stat, fd) = match &open {
            Some(file) => self.fs().client.open(Subject::Open(file.descriptor()), flags)?,
            None => self.fs().client.open(Subject::Path(&self.path()?), flags)?,
        };
        let node = if self.is(&stat) { self.clone() } else { self.fs().replaced(self, stat)? };
        node.note_stat(stat);
        if let (Some(parent), Some(asked), None) = (parent, asked, open) {
            parent.refresh(&name, &node, stat, asked);
        }
        let file = HostFile::changeable(fd, node.clone(), how.append);
        if named && flags == OpenFlags::READ && node.known() >= Known::Rights {
            node.share_reader(&file);
        } else {
            node.note_open(&file);
        }
        Ok(file)
    }
    /// The open file that readers share goes: the name that it was opened by may lead elsewhere, or those who could
    /// read it may not any more.
    pub(super) fn let_reader_go(&self, forgotten: &mut Forgotten) {
        let Some(file) = core::mem::take(&mut *self.reader().lock()).upgrade() else { return };
        // Who has it open is still to be found by it.
        self.note_open(&file);
        self.fs().let_go(&file, forgotten);
        forgotten.files.push(file);
    }
    pub(super) fn open_regular(self: &Arc<Self>, how: OpenHow) -> Result<Arc<dyn File>> {
        let writes = how.access.contains(Access::WRITE) || how.truncate;
        if self.fs().image && !writes {
            if let Some(open) = self.reader().lock().upgrade() {
                open.note_use();
                return Ok(open);
            }
        }
        let mut flags = OpenFlags::empty();
        // A file that is only written may have to be read by us too (mapping it needs both): asked for first.
        flags.set(OpenFlags::READ, how.access.contains(Access::READ) || !writes);
        flags.set(OpenFlags::WRITE, writes);
        flags.set(OpenFlags::TRUNCATE, how.truncate);
        if self.fs().changeable() {
            flags.set(OpenFlags::APPEND, how.append && writes);
            return self.open_changeable(OpenHow { append: how.append && writes, ..how }, flags);
        }
        let (stat, fd) = self.fs().client.open(Subject::Path(&self.path()?), flags)?;
        self.note_stat(stat);
        if self.fs().image { Ok(self.opened(fd)) } else { Ok(HostFile::of_node(fd, self.clone(), false)) }
    }
    /// An open file of it was closed for good: its time of last access may be another.
    pub(super) fn closed(&self) {
        self.lower(Known::Rights);
    }
}
