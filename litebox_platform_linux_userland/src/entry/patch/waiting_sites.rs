//! Sites that trapped and are not patched yet.
//!
//! A patch by itself costs as much as seven traps, and half of the sites of a program's start are used once. So a site
//! waits until it traps for the fourth time, in whichever processes, until [`TOGETHER`] of its file wait, or until its
//! code is mapped for another program. Then all that wait in that code are patched: the changes of protection are what
//! a patch costs most.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use litebox::platform::Prot;
use litebox::platform::north::{Code, FileKey};
use litebox_syscall_rewriter::analyse;

use super::site_bytes::SiteBytes;
use super::site_cache::Context;
use super::{Patches, SITE_CACHE, mode_of};

/// A site that trapped so often waits no longer.
const ENOUGH: u8 = 4;
/// So many sites of a file wait at most.
const TOGETHER: usize = 32;
/// So many of all files.
const MOST: usize = 1 << 15;

/// A site that a trap proved, in one mapping of its code.
#[derive(Clone, Copy)]
pub(super) struct ProvenSite {
    /// Of the `syscall`.
    pub(super) address: u64,
    /// With which number it trapped.
    pub(super) number: u64,
    /// The bytes that were around it, if that is not now.
    pub(super) context: Option<Context>,
}

/// How a site trapped.
struct WaitingSite {
    times: u8,
    /// With which number, the last time.
    number: u64,
    /// What was around it then.
    context: Context,
}

/// The sites that wait, by file and offset.
#[derive(Default)]
pub(super) struct WaitingSites {
    files: BTreeMap<FileKey, BTreeMap<u64, WaitingSite>>,
    count: usize,
}

impl WaitingSites {
    /// The site at `at` trapped. `true`: it has to wait.
    fn waits(&mut self, file: FileKey, at: u64, number: u64, context: Context) -> bool {
        if self.count >= MOST {
            return false;
        }
        let sites = self.files.entry(file).or_default();
        let times = sites.get(&at).map_or(0, |site| site.times) + 1;
        if times >= ENOUGH || sites.len() + 1 >= TOGETHER {
            return false;
        }
        if sites.insert(at, WaitingSite { times, number, context }).is_none() {
            self.count += 1;
        }
        true
    }

    /// Takes those of `code`, which is `file` from `offset` on.
    fn take(&mut self, file: FileKey, offset: u64, code: &Code) -> Vec<ProvenSite> {
        let Some(sites) = self.files.get_mut(&file) else { return Vec::new() };
        let inside = offset..offset.saturating_add((code.end - code.start) as u64);
        let offsets: Vec<u64> = sites.range(inside).map(|(at, _)| *at).collect();
        let taken: Vec<ProvenSite> = offsets
            .into_iter()
            .filter_map(|at| {
                let WaitingSite { number, context, .. } = sites.remove(&at)?;
                Some(ProvenSite { address: code.start as u64 + (at - offset), number, context: Some(context) })
            })
            .collect();
        if sites.is_empty() {
            self.files.remove(&file);
        }
        self.count -= taken.len();
        taken
    }
}

impl Patches {
    /// The `syscall` at `address` trapped, and is not patched here. Returns what is to be done at once: that site, and
    /// those that waited in the same code; nothing, if it waits itself.
    pub(super) fn proven(&self, code: &Code, address: u64, number: u64) -> Vec<ProvenSite> {
        let own = ProvenSite { address, number, context: None };
        let Some((file, offset)) = code.file.filter(|_| !code.shared && !code.prot.contains(Prot::WRITE)) else {
            return vec![own];
        };
        let context = SiteBytes::read(code, address, &self.state.lock()).context();
        let at = offset + (address - code.start as u64);
        let mut cache = SITE_CACHE.lock();
        if !cache.knows(file, at) && cache.waiting.waits(file, at, number, context) {
            return Vec::new();
        }
        let waited = cache.waiting.take(file, offset, code);
        core::iter::once(own).chain(waited.into_iter().filter(|site| site.address != address)).collect()
    }

    /// Code was mapped again of which some sites trapped before: what waits is learned.
    pub(super) fn learn_waiting(&self, code: &Code) {
        let Some((file, offset)) = code.file else { return };
        let waited = SITE_CACHE.lock().waiting.take(file, offset, code);
        self.learn(code, &waited);
    }

    /// A call that does not come back was made: the trap was cheaper than a patch of which this process has no more
    /// use.
    pub(super) fn learn(&self, code: &Code, proven: &[ProvenSite]) {
        let Some((file, offset)) = code.file.filter(|_| !code.shared && !code.prot.contains(Prot::WRITE)) else {
            return;
        };
        for site in proven {
            if SITE_CACHE.lock().knows(file, offset + (site.address - code.start as u64)) {
                continue;
            }
            let site_bytes = SiteBytes::read(code, site.address, &self.state.lock());
            if site.context.is_some_and(|context| context != site_bytes.context()) {
                continue;
            }
            if let Ok(found) = analyse(&site_bytes.site(site.number, None, mode_of(code))) {
                site_bytes.remember(code, site.number, &found);
            }
        }
    }
}
