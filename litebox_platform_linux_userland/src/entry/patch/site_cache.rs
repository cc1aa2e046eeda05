//! What the sandbox knows of sites in files: a site that was patched in one process is patched in the others when they
//! first trap in that file.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use litebox::platform::north::FileKey;
use litebox::sync::Mutex;
use litebox_syscall_rewriter::{CodeMode, PatchKind};

use super::waiting_sites::WaitingSites;
use crate::host::published::Published;

/// Bytes before a site that are compared.
pub(super) const BEFORE: usize = 8;
/// The bytes around a site by which it is recognised: a file may have changed.
pub(super) type Context = [u8; 24];
/// Sites that are remembered.
const MOST: usize = 1 << 15;

/// A site of a file, as one mapping of it shows it.
#[derive(Clone, Copy)]
pub(super) struct CachedSite {
    /// From the start of the mapping.
    pub(super) distance: u64,
    pub(super) shape: SiteShape,
}

/// What is known of a site wherever it is mapped.
#[derive(Clone, Copy)]
pub(super) struct SiteShape {
    /// With which number it trapped.
    pub(super) number: u64,
    /// Which instructions make room for the jump.
    pub(super) kind: PatchKind,
    /// In which code it is one.
    pub(super) mode: CodeMode,
    /// The bytes around it.
    pub(super) context: Context,
}

/// All of them.
#[derive(Default)]
pub(crate) struct SiteCache {
    files: BTreeMap<FileKey, BTreeMap<u64, SiteShape>>,
    count: usize,
    /// How often files were executed.
    executions: BTreeMap<FileKey, u32>,
    /// Sites that are not among them yet.
    pub(super) waiting: WaitingSites,
}

/// What this sandbox knows of sites in files.
pub(crate) static SITE_CACHE: Published<Mutex<SiteCache>> = Published::nothing();

impl SiteCache {
    /// The sites in `len` bytes of `file` from `offset` on, for code of that mode.
    pub(super) fn of(&self, file: FileKey, offset: u64, len: usize, mode: CodeMode) -> Vec<CachedSite> {
        let Some(sites) = self.files.get(&file) else { return Vec::new() };
        let known = |(at, shape): (&u64, &SiteShape)| CachedSite { distance: at - offset, shape: *shape };
        let inside = sites.range(offset..offset.saturating_add(len as u64));
        inside.filter(|(_, shape)| shape.mode == mode).map(known).collect()
    }

    /// How many of `file` are known. Grows whenever something is learned of it.
    pub(super) fn count_of(&self, file: FileKey) -> usize {
        self.files.get(&file).map_or(0, BTreeMap::len)
    }

    /// How many there are. Grows whenever something is learned.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether the site at `at` is among them.
    pub(super) fn knows(&self, file: FileKey, at: u64) -> bool {
        self.files.get(&file).is_some_and(|sites| sites.contains_key(&at))
    }

    /// A program is executed: how often it was by now. Zero when no more files are counted.
    pub(super) fn executed(&mut self, file: FileKey) -> u32 {
        if self.executions.len() >= MOST && !self.executions.contains_key(&file) {
            return 0;
        }
        let times = self.executions.entry(file).or_default();
        *times = times.saturating_add(1);
        *times
    }

    /// A site trapped.
    pub(super) fn add(&mut self, file: FileKey, at: u64, shape: SiteShape) {
        if self.count < MOST && self.files.entry(file).or_default().insert(at, shape).is_none() {
            self.count += 1;
        }
    }
}
