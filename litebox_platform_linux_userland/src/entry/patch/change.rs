//! Guest memory changes: patches in it are forgotten, or taken out.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::platform::Prot;
use litebox_syscall_rewriter::{JUMP_LEN, Patch};

use super::region::REGION_LEN;
use super::{PatchState, gate, of, while_writable, write};

/// What happens to guest memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// It goes, with what it holds.
    Gone,
    /// Something else is mapped there, the kernel's regions included.
    Replaced,
    /// It becomes writable, or moves: the guest's own bytes must be there.
    Kept,
    /// Private pages are dropped; the file's show again.
    Dropped,
}

/// Guest memory is about to change: patches in it are forgotten.
pub(crate) fn before_change(start: usize, len: usize, change: Change) {
    let Some(patches) = crate::host::thread_block::current().and_then(|block| of(block)) else { return };
    let mut state = patches.state.lock();
    let (start, end) = (start as u64, start.saturating_add(len) as u64);
    if state.touches(start, end) {
        Arc::make_mut(&mut state).before_change(start, end, change);
    }
}

/// All guest memory of the process goes, and with it the regions of trampolines.
pub(crate) fn all_unmapped() {
    if let Some(patches) = crate::host::thread_block::current().and_then(|block| of(block)) {
        patches.all_unmapped();
    }
}

/// The first jump that can reach into a range starting at `start`.
pub(super) fn first_jump(start: u64) -> u64 {
    start.saturating_sub(JUMP_LEN as u64 - 1)
}

fn within(map: &BTreeMap<u64, Arc<Patch>>, start: u64, end: u64) -> Vec<Arc<Patch>> {
    map.range(first_jump(start)..end).map(|(_, p)| p.clone()).collect()
}

impl PatchState {
    /// Whether a change of the range concerns anything that is known.
    fn touches(&self, start: u64, end: u64) -> bool {
        let jumps = first_jump(start)..end;
        self.active.range(jumps.clone()).next().is_some()
            || self.dormant.range(jumps.clone()).next().is_some()
            || self.rewritten.range(jumps).next().is_some()
            || self.skipped.range(start..end).next().is_some()
            || self.regions.iter().any(|region| region.overlaps(start, end))
            || self.has_gate && gate::overlaps(start, end)
            || self.texts_touch(start, end)
    }

    pub(super) fn before_change(&mut self, start: u64, end: u64, change: Change) {
        if change == Change::Replaced {
            give_up_regions(self, start, end);
            if self.has_gate && gate::overlaps(start, end) {
                give_up_gate(self);
            }
        }
        match change {
            Change::Gone | Change::Replaced => self.cut_texts(start, end),
            Change::Kept => self.restore_texts(start, end),
            Change::Dropped => {}
        }
        self.skipped.retain(|site| !(start..end).contains(site));
        // A jump that reaches into the range is touched by it.
        for patch in within(&self.active, start, end) {
            take_out(self, &patch, change);
        }
        if matches!(change, Change::Gone | Change::Replaced) {
            for patch in within(&self.dormant, start, end) {
                self.dormant.remove(&patch.jump);
                drop_trampoline(self, &patch);
            }
            self.rewritten.retain(|jump, _| !(first_jump(start)..end).contains(jump));
        }
    }
}

fn take_out(state: &mut PatchState, patch: &Arc<Patch>, change: Change) {
    state.active.remove(&patch.jump);
    match change {
        Change::Gone | Change::Replaced => {
            drop_trampoline(state, patch);
            return;
        }
        Change::Kept => {
            state.generation += 1;
            restore(patch);
            *state.rewritten.entry(patch.jump).or_default() += 1;
        }
        Change::Dropped => {}
    }
    state.dormant.insert(patch.jump, patch.clone());
}

/// Puts the guest's bytes back. The caller changes the protection to what the guest wants; until then the code can be
/// executed as before.
fn restore(patch: &Patch) {
    let bytes = patch.original.get(..JUMP_LEN).unwrap_or_default();
    let start = patch.jump as usize;
    while_writable(start, start + JUMP_LEN, Prot::READ | Prot::EXEC, || {
        write(patch.jump, bytes);
    });
}

fn drop_trampoline(state: &mut PatchState, patch: &Patch) {
    state.trampolines.remove(&patch.trampoline);
    release(state, patch);
}

fn release(state: &mut PatchState, patch: &Patch) {
    for region in state.regions.iter_mut().filter(|r| r.contains(patch.trampoline)) {
        region.release(patch);
    }
    state.regions.retain(|region| {
        let used = region.used();
        if !used {
            region.unmap();
        }
        used
    });
}

/// The guest maps over the gate: its code is its own again first.
fn give_up_gate(state: &mut PatchState) {
    let patches: Vec<_> = state.active.values().cloned().collect();
    for patch in patches {
        take_out(state, &patch, Change::Kept);
    }
    state.restore_texts(0, u64::MAX);
    state.has_gate = false;
}

/// The guest maps over regions of trampolines: their patches go first.
fn give_up_regions(state: &mut PatchState, start: u64, end: u64) {
    let hit: Vec<u64> = state.regions.iter().filter(|r| r.overlaps(start, end)).map(|r| r.base).collect();
    for base in hit {
        let inside = |patch: &Patch| (base..base + REGION_LEN as u64).contains(&patch.trampoline);
        let patches: Vec<_> = state.active.values().filter(|p| inside(p)).cloned().collect();
        for patch in patches {
            take_out(state, &patch, Change::Kept);
        }
        state.dormant.retain(|_, patch| !inside(patch));
        state.trampolines.retain(|_, patch| !inside(patch));
        state.regions.retain(|region| {
            if region.base == base {
                region.unmap();
            }
            region.base != base
        });
    }
}
