//! What lies around a site.

use litebox::platform::UserAccess;
use litebox::platform::north::Code;
use litebox_syscall_rewriter::{BYTES_AFTER, BYTES_BEFORE, CodeMode, JUMP_LEN, PatchKind, Plan, Site};

use super::site_cache::{self, SiteShape};
use super::{PatchState, first_jump};
use crate::LinuxHost;
use crate::entry::patch::SITE_CACHE;

/// The bytes around a site.
pub(super) struct SiteBytes {
    bytes: [u8; BYTES_BEFORE + BYTES_AFTER],
    start: u64,
    len: usize,
    syscall: u64,
}

/// From where to where a site's surroundings are looked at.
fn span(code: &Code, syscall: u64) -> (usize, usize) {
    let start = (syscall as usize).saturating_sub(BYTES_BEFORE).max(code.start);
    (start, (syscall as usize).saturating_add(BYTES_AFTER).min(code.end))
}

impl SiteBytes {
    /// The guest's own, also where they are patched: sites lie close together, and everywhere the same bytes have to be
    /// found.
    pub(super) fn read(code: &Code, syscall: u64, state: &PatchState) -> Self {
        let (start, end) = span(code, syscall);
        let mut bytes = [0; BYTES_BEFORE + BYTES_AFTER];
        let wanted = end.saturating_sub(start).min(bytes.len());
        let len = LinuxHost.copy_from_user(bytes.get_mut(..wanted).unwrap_or_default(), start);
        let (from, to) = (first_jump(start as u64), end as u64);
        let own = state.active.range(from..to).map(|(jump, patch)| (*jump, patch.original.as_slice()));
        let shared = state.text_patches(from, to).map(|(jump, _, original)| (jump, original));
        for (jump, original) in own.chain(shared) {
            for (at, byte) in (jump..).zip(original).take(JUMP_LEN) {
                let slot = at.checked_sub(start as u64).and_then(|at| bytes.get_mut(at as usize));
                if let Some(slot) = slot {
                    *slot = *byte;
                }
            }
        }
        Self { bytes, start: start as u64, len, syscall }
    }

    /// The same of `text`, which is what lies at `code`.
    pub(super) fn of(code: &Code, syscall: u64, text: &[u8]) -> Self {
        let (start, end) = span(code, syscall);
        let mut bytes = [0; BYTES_BEFORE + BYTES_AFTER];
        let found = start.checked_sub(code.start).and_then(|from| text.get(from..end.checked_sub(code.start)?));
        let found = found.unwrap_or_default();
        if let Some(room) = bytes.get_mut(..found.len()) {
            room.copy_from_slice(found);
        }
        Self { bytes, start: start as u64, len: found.len(), syscall }
    }

    pub(super) fn site(&self, number: u64, known: Option<PatchKind>, mode: CodeMode) -> Site<'_> {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        Site { bytes, start: self.start, mode, syscall: self.syscall, number, known }
    }
    /// The site is known from now on wherever the file is mapped.
    pub(super) fn remember(&self, code: &Code, number: u64, plan: &Plan) {
        if let Some((file, offset)) = code.file {
            let shape = SiteShape { number, kind: plan.kind(), mode: plan.mode(), context: self.context() };
            SITE_CACHE.lock().add(file, offset + (self.syscall - code.start as u64), shape);
        }
    }
    /// The bytes by which a site is recognised: those before and behind it that a patch may overwrite.
    pub(super) fn context(&self) -> site_cache::Context {
        let mut context = site_cache::Context::default();
        let from = (self.syscall - self.start) as usize;
        let bytes = from.checked_sub(site_cache::BEFORE).and_then(|at| self.bytes.get(at..at + context.len()));
        if let Some(bytes) = bytes {
            context.copy_from_slice(bytes);
        }
        context
    }
}
