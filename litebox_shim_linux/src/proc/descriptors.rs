//! /proc/PID/fd and /proc/PID/fdinfo.

use alloc::sync::Arc;
use alloc::vec::Vec;
use litebox_common_linux::abi::file::{O_CLOEXEC, O_LARGEFILE};

use litebox::epoll::EventSet;
use litebox::fs::dev::major_minor;
use litebox::fs::memory::memory_file_name;
use litebox::fs::{Access, AnonInode, FdEntry, FileType, Inode, Inotify, Location, OpenFile, Reach, StatusFlags};
use litebox::{Error, Result};

use crate::Kernel;

use super::process::{OfProcess, ProcessView};
use super::tree::{DynamicNames, EntryKind, LinkTarget, Node, Subject, TableEntry, Text, put};
use super::{decimal, number, reader_root};

/// A descriptor as what an entry is about.
#[derive(Clone)]
struct OfDescriptor {
    process: OfProcess,
    fd: i32,
}

impl Subject for OfDescriptor {
    type Snapshot = (ProcessView, FdEntry);
    fn view(&self) -> Result<Self::Snapshot> {
        let view = self.process.view()?;
        let thread = view.thread.as_ref().ok_or(Error::NotFound)?;
        let entry = thread.files.entry(self.fd).map_err(|_| Error::NotFound)?;
        Ok((view, entry))
    }
    fn dev(&self) -> u64 {
        self.process.dev()
    }
    fn magic(&self) -> u64 {
        self.process.magic()
    }
    fn owner(&self) -> (u32, u32) {
        self.process.owner()
    }
    fn permissions(&self, entry: &TableEntry<Self>) -> u32 {
        if !matches!(entry.kind, EntryKind::Magic(_)) {
            return entry.permissions;
        }
        // A link shows what the descriptor can be used for.
        let Ok((_, descriptor)) = self.view() else { return 0 };
        let access = descriptor.file.access;
        let read = if access.contains(Access::READ) { 0o500 } else { 0 };
        let write = if access.contains(Access::WRITE) { 0o300 } else { 0 };
        read | write
    }
    fn link_size(&self) -> u64 {
        64
    }
    fn cacheable(&self) -> bool {
        false
    }
}

/// The directory fd.
pub(super) const LINKS: TableEntry<OfProcess> = TableEntry {
    name: "fd",
    permissions: 0o500,
    kind: EntryKind::Directory(
        &[],
        Some(DynamicNames {
            lookup: |process, name, ino| descriptor_called(process, name, ino, &LINK),
            list: list_descriptors,
            file_type: FileType::Symlink,
        }),
    ),
};

/// The directory fdinfo.
pub(super) const FACTS: TableEntry<OfProcess> = TableEntry {
    name: "fdinfo",
    permissions: 0o555,
    kind: EntryKind::Directory(
        &[],
        Some(DynamicNames {
            lookup: |process, name, ino| descriptor_called(process, name, ino, &FACT),
            list: list_descriptors,
            file_type: FileType::Regular,
        }),
    ),
};

static LINK: TableEntry<OfDescriptor> = TableEntry::magic("", target);
static FACT: TableEntry<OfDescriptor> = TableEntry::text("", facts);

fn descriptor_called(
    process: &OfProcess,
    name: &[u8],
    ino: u64,
    entry: &'static TableEntry<OfDescriptor>,
) -> Result<Arc<dyn Inode>> {
    let fd = number(name).ok_or(Error::NotFound)?;
    let subject = OfDescriptor { process: process.clone(), fd };
    subject.view().map_err(|_| Error::NotFound)?;
    Ok(Node::new(subject, entry, ino))
}

fn list_descriptors(process: &OfProcess, from: u64, sink: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
    let Some(thread) = process.view()?.thread else { return Ok(()) };
    for fd in thread.files.descriptors() {
        let key = u64::try_from(fd).unwrap_or(0);
        if key >= from && !sink(key, &decimal(fd)) {
            break;
        }
    }
    Ok(())
}

/// The path of a place as links of /proc show it.
pub(super) fn path_text(kernel: &Kernel, location: &Location, root: &Location) -> Vec<u8> {
    match kernel.vfs.path_of(location, root) {
        Ok((mut path, Reach::Deleted)) => {
            path.extend_from_slice(b" (deleted)");
            path
        }
        Ok((path, _)) => path,
        Err(_) => b"/".to_vec(),
    }
}

/// What a file without a name is called.
pub(super) fn nameless_text(inode: &dyn Inode) -> Vec<u8> {
    let ino = inode.id().ino;
    if let Some(name) = memory_file_name(inode) {
        return [b"/", &*name, b" (deleted)"].concat();
    }
    if let Some(anonymous) = inode.as_any().downcast_ref::<AnonInode>() {
        return match anonymous.label() {
            "socket" => alloc::format!("socket:[{ino}]"),
            // Without brackets, as Linux has these two.
            label @ ("inotify" | "seccomp notify") => alloc::format!("anon_inode:{label}"),
            label => alloc::format!("anon_inode:[{label}]"),
        }
        .into_bytes();
    }
    let rdev = inode.metadata().map_or(0, |m| m.rdev);
    match inode.file_type() {
        FileType::Fifo => alloc::format!("pipe:[{ino}]"),
        FileType::Socket => alloc::format!("socket:[{ino}]"),
        // The standard streams, by what they are outside.
        FileType::CharDevice if major_minor(rdev) == (1, 3) => "/dev/null".into(),
        FileType::CharDevice => "/dev/tty".into(),
        _ => alloc::format!("file:[{ino}]"),
    }
    .into_bytes()
}

/// Where a link to an open file leads, and what it shows.
pub(super) fn target_of(view: &ProcessView, file: &OpenFile) -> LinkTarget {
    if let Some(location) = &file.location {
        let text = path_text(&view.kernel, location, &reader_root(&view.kernel));
        return LinkTarget { location: Some(location.clone()), text };
    }
    let inode = file.file.inode();
    let text = nameless_text(&*inode);
    LinkTarget { location: Some(view.kernel.vfs.nameless(inode)), text }
}

#[expect(clippy::unnecessary_wraps, reason = "functions of links have one shape")]
fn target((view, entry): &(ProcessView, FdEntry)) -> Result<LinkTarget> {
    Ok(target_of(view, &entry.file))
}

fn facts((_, entry): &(ProcessView, FdEntry), out: &mut Text) {
    let file = &entry.file;
    let access = match (file.access.contains(Access::READ), file.access.contains(Access::WRITE)) {
        (true, true) => 2,
        (false, true) => 1,
        _ => 0,
    };
    let status = file.flags();
    let mut flags = (status - StatusFlags::SMALL).bits() | access;
    if file.location.is_some() && !status.contains(StatusFlags::SMALL) {
        flags |= O_LARGEFILE as u32;
    }
    if entry.close_on_exec {
        flags |= O_CLOEXEC as u32;
    }
    let mount = file.location.as_ref().map_or(0, |l| l.mount.id);
    let of_stream = || file.file.stream_position().unwrap_or(0);
    let position = if file.file.is_stream() { of_stream() } else { *file.offset() };
    put!(out, "pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{}\n", file.file.inode().id().ino);
    if let Some(inotify) = file.file.as_any().downcast_ref::<Inotify>() {
        inotify.for_each(&mut |wd, inode, mask| {
            let (ino, dev) = (inode.ino, kernel_device(inode.dev));
            put!(out, "inotify wd:{wd:x} ino:{ino:x} sdev:{dev:x} mask:{:x} ignored_mask:0 \n", mask.bits());
        });
    }
    if let Some(set) = file.file.as_any().downcast_ref::<EventSet>() {
        set.for_each(&mut |fd, interest| {
            let events = interest.events.bits() | interest.mode.bits();
            put!(out, "tfd: {fd:>8} events: {events:>8x} data: {:>16x} \n", interest.data);
        });
    }
}

/// A device number as Linux keeps it inside.
fn kernel_device(dev: u64) -> u64 {
    let (major, minor) = major_minor(dev);
    u64::from(major) << 20 | u64::from(minor)
}
