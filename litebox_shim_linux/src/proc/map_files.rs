//! /proc/PID/map_files: a link for each mapping of a file, named by its addresses.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::fs::{Access, FileType, Inode};
use litebox::mm::Vma;
use litebox::{Error, Result};

use super::descriptors;
use super::process::{OfProcess, ProcessView};
use super::tree::{DynamicNames, LinkTarget, Node, Subject, TableEntry};

pub(super) const NAMES: DynamicNames<OfProcess> =
    DynamicNames { lookup: mapping_called, list: list_mappings, file_type: FileType::Symlink };

static LINK: TableEntry<OfMapping> = TableEntry::magic("", target);

/// A mapping as what an entry is about.
#[derive(Clone)]
struct OfMapping {
    process: OfProcess,
    start: usize,
    end: usize,
}

impl Subject for OfMapping {
    type Snapshot = (ProcessView, Vma);
    fn view(&self) -> Result<Self::Snapshot> {
        let view = self.process.view()?;
        let vma = mappings(&view).into_iter().find(|vma| (vma.start, vma.end) == (self.start, self.end));
        Ok((view, vma.ok_or(Error::NotFound)?))
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
    fn permissions(&self, _entry: &TableEntry<Self>) -> u32 {
        let Ok((_, vma)) = self.view() else { return 0 };
        // What the file was opened for.
        let access = vma.object.file().map_or(Access::empty(), |file| file.access);
        let read = if access.contains(Access::READ) { 0o400 } else { 0 };
        let write = if access.contains(Access::WRITE) { 0o200 } else { 0 };
        read | write
    }
    fn link_size(&self) -> u64 {
        64
    }
    fn cacheable(&self) -> bool {
        false
    }
}

/// The mappings of files of the process; one that has ended has none.
fn mappings(view: &ProcessView) -> Vec<Vma> {
    if view.thread.is_none() {
        return Vec::new();
    }
    let mut vmas = view.process.mm.seen_vmas();
    vmas.retain(|vma| vma.object.file().is_some());
    vmas
}

/// Two addresses in hexadecimal, as they are listed.
fn range_of(name: &[u8]) -> Option<(usize, usize)> {
    let (start, end) = core::str::from_utf8(name).ok()?.split_once('-')?;
    let number = |text: &str| {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let value = usize::from_str_radix(text, 16).ok()?;
        (plain && (text == "0" || !text.starts_with('0'))).then_some(value)
    };
    Some((number(start)?, number(end)?))
}

fn mapping_called(process: &OfProcess, name: &[u8], ino: u64) -> Result<Arc<dyn Inode>> {
    let (start, end) = range_of(name).ok_or(Error::NotFound)?;
    let subject = OfMapping { process: process.clone(), start, end };
    subject.view().map_err(|_| Error::NotFound)?;
    Ok(Node::new(subject, &LINK, ino))
}

fn list_mappings(process: &OfProcess, from: u64, sink: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
    // By their places, as on Linux: 32-bit programs cannot be told of positions as large as addresses.
    for (key, vma) in (0..).zip(mappings(&process.view()?)) {
        if key >= from && !sink(key, alloc::format!("{:x}-{:x}", vma.start, vma.end).as_bytes()) {
            break;
        }
    }
    Ok(())
}

/// It leads to the file also when that has no name any more.
fn target((view, vma): &(ProcessView, Vma)) -> Result<LinkTarget> {
    let file = vma.object.file().ok_or(Error::NotFound)?;
    Ok(descriptors::target_of(view, file))
}
