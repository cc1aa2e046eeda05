//! Patching of the guest's system call sites.
//!
//! The first trap of a site proves that its `syscall` is an instruction. It is patched at its fourth trap, and all
//! proven sites of that code with it: many are used once, and one change of protection serves many
//! ([`waiting_sites`]). Each process has its own patches ([`Patches`]); what was learned is shared by all.
//!
//! Code is written while it can not be executed: its pages are made writable and not executable, written, and made
//! executable again. That is never both at once, no other thread can be between two bytes of a change, and the host's
//! interrupts for the first change of protection make every other processor forget what it had decoded. A thread that
//! wanted to execute there meanwhile faults, waits for the lock of the process's patches and tries again.
//!
//! Threads of the guest may be anywhere: about to execute an overwritten instruction (its boundary is an invalid opcode
//! now; they go on at the copy), inside a trampoline (whatever looks at their registers is told the address in their
//! own code), or in the kernel with a way back into one. So trampolines of code that stays mapped stay, too.
//!
//! Of a 32-bit program only code of files is patched: its trampolines lead to the kernel through the [`gate`].

mod change;
mod cpuid_cache;
mod gate;
mod region;
mod site_bytes;
mod site_cache;
mod skip_reason;
mod text_cache;
mod waiting_sites;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use litebox_common_linux::abi::memory::PAGE;

use litebox::platform::compat::CpuMode;
use litebox::platform::north::{Code, PatchPolicy, Registers, north};
use litebox::platform::{Backing, Prot, UserAccess};
use litebox::sync::Mutex;
use litebox_syscall_rewriter::{CodeMode, JUMP_LEN, Patch, PatchKind, Plan, SYSCALL_LEN, Target, analyse};

use crate::LinuxHost;
use crate::entry::fast::FRAME_LAYOUT;
use crate::host::call::{host_call, nr};
use crate::host::published::Published;
use crate::host::thread_block::{ThreadBlock, current};

use change::first_jump;
pub(crate) use change::{Change, all_unmapped, before_change};
pub(crate) use cpuid_cache::{CPUID_CACHE, CpuidCache, program_mapped};
use gate::Doing;
pub(crate) use gate::{GATE, Gate};
use region::Region;
pub(crate) use region::{POOL, Pool};
use site_bytes::SiteBytes;
use site_cache::{CachedSite, SiteShape};
pub(crate) use site_cache::{SITE_CACHE, SiteCache};
use skip_reason::SkipReason;
pub(crate) use skip_reason::{PATCH_COUNTS, PatchCounts};
use text_cache::Shown;
pub(crate) use text_cache::{TEXT_CACHE, TextCache};
use waiting_sites::ProvenSite;

/// A site whose code was made writable this often after it was patched is not patched again.
const MOST_REPATCHES: u32 = 8;
/// How often a process was forked before its own code is copied for its children. A power of two.
const SHARING_PAYS: usize = 4;
/// New regions of trampolines keep this far from the code: the heap grows right behind the program, and libraries are
/// mapped right before its interpreter.
const KEEP: u64 = 32 << 20;
/// Those of copies keep farther: where a copy is mapped in place of code that was patched, that code's own trampolines
/// stay.
const KEEP_OF_TEXT_CACHE: u64 = 64 << 20;
/// Sites of a process that are remembered as refused.
const MOST_SKIPPED: usize = 1 << 16;

/// Whether sites that trapped are patched.
pub(crate) static PATCHING: Published<bool> = Published::nothing();

/// The patches of one process. A process that was forked shares the list until one of both changes it.
#[derive(Default)]
pub(crate) struct Patches {
    state: Mutex<Arc<PatchState>>,
    /// How many sites were known when the process was forked last.
    looked_at: AtomicUsize,
    /// How often it was.
    forks: AtomicUsize,
}

/// The calling process is about to be copied: its copies share the tables of the decoder, or each would make its own.
pub(crate) fn prepare_for_copies() {
    if *PATCHING {
        litebox_syscall_rewriter::prepare();
    }
}

/// Those of the process that a thread belongs to; `None` when nothing is patched at all.
fn of(block: &ThreadBlock) -> Option<&'static Patches> {
    if *PATCHING { block.home().map(|home| &home.patches) } else { None }
}

#[derive(Default, Clone)]
struct PatchState {
    /// Patches in force, by the address of the jump.
    active: BTreeMap<u64, Arc<Patch>>,
    /// Patches that were taken out; threads may still be in their trampolines.
    dormant: BTreeMap<u64, Arc<Patch>>,
    /// All of them, by the address of the trampoline.
    trampolines: BTreeMap<u64, Arc<Patch>>,
    regions: Vec<Region>,
    /// Copies of code that are mapped.
    text_cache: Vec<text_cache::MappedText>,
    /// Sites that keep trapping.
    skipped: BTreeSet<u64>,
    /// How often a site's patch was taken out because its code became writable.
    rewritten: BTreeMap<u64, u32>,
    /// Counts the changes of code.
    generation: u64,
    /// It is only there to plan the patches of a copy.
    is_of_copy: bool,
    /// The gate is mapped.
    has_gate: bool,
}

/// How code is decoded.
fn mode_of(code: &Code) -> CodeMode {
    match code.mode {
        CpuMode::Long => CodeMode::Long,
        CpuMode::Compat => CodeMode::Compat,
    }
}

/// Whether trampolines of `code` lead somewhere in the process of `state`: those of 32-bit code want the gate.
fn is_ready_for(state: &mut Arc<PatchState>, code: &Code) -> bool {
    code.mode == CpuMode::Long || state.has_gate || Arc::make_mut(state).open_gate()
}

/// What has to be done about a host signal of guest code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TrapOutcome {
    /// It is the guest's.
    Guest,
    /// It was ours: the registers say where to go on.
    GoOn,
    /// The thread was about to make a system call: to be served.
    Call,
    /// The same, a call of 32-bit x86.
    Call32,
}

/// A processor exception or call of guest code, as far as patching has to do with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CodeEvent {
    /// A `syscall` trapped.
    Call,
    /// An invalid opcode.
    Invalid,
    /// An instruction that only kernels may execute.
    Privileged,
    /// An instruction could not be fetched.
    Fetch,
    /// An instruction could not reach its memory.
    Memory,
    /// A single step.
    Step,
    /// Anything else.
    Other,
}

/// The guest's code was interrupted. Afterwards the registers name an address in its own code.
pub(crate) fn look(event: CodeEvent, mode: CpuMode, regs: &mut Registers, block: &mut ThreadBlock) -> TrapOutcome {
    let Some(patches) = of(block) else { return TrapOutcome::Guest };
    let state = patches.state.lock();
    let rip = regs.rip;
    let at_boundary = match mode {
        CpuMode::Long => event == CodeEvent::Invalid,
        CpuMode::Compat => event == CodeEvent::Privileged,
    };
    if at_boundary {
        if let Some(copy) = state.copy_of(rip) {
            regs.rip = copy;
            return TrapOutcome::GoOn;
        }
    }
    if (at_boundary || event == CodeEvent::Fetch) && state.generation > 0 {
        // Perhaps the code was just being changed, or there was a jump that is not there any more.
        let now = (rip as usize, state.generation);
        if core::mem::replace(&mut block.fast.retried, now) != now {
            return TrapOutcome::GoOn;
        }
    }
    let Some(patch) = state.trampoline_at(rip) else { return TrapOutcome::Guest };
    if event == CodeEvent::Step && rip == patch.trampoline {
        return step_in(&patch, regs);
    }
    if mode == CpuMode::Compat && event == CodeEvent::Memory && rip == patch.fallback {
        return without_stack(&patch, regs);
    }
    if let Some(original) = patch.original_of(rip) {
        regs.rip = original;
        regs.rcx = if event == CodeEvent::Call { original } else { regs.rcx };
    }
    TrapOutcome::Guest
}

/// A thread of a 32-bit program was interrupted in 64-bit code: if that is the gate's, it is in its own code
/// afterwards. `kicked`: not by something that the code did.
pub(crate) fn leave_gate(
    kicked: bool,
    regs: &mut Registers,
    mode: &mut CpuMode,
    block: &ThreadBlock,
) -> Option<TrapOutcome> {
    let has_gate = of(block).is_some_and(|patches| patches.state.lock().has_gate);
    if !has_gate {
        return None;
    }
    gate::leave(kicked, regs, mode).map(|doing| match doing {
        Doing::Nothing => TrapOutcome::Guest,
        Doing::Call => TrapOutcome::Call32,
    })
}

/// A far call found no stack. What it stands for needs none.
fn without_stack(patch: &Patch, regs: &mut Registers) -> TrapOutcome {
    regs.rip = patch.syscall + SYSCALL_LEN as u64;
    if patch.kind.is_cpuid() {
        cpuid_cache::step(regs);
        return TrapOutcome::GoOn;
    }
    TrapOutcome::Call32
}

/// A guest that steps through its own code made the jump to a trampoline; it expects to have executed the instruction
/// there.
fn step_in(patch: &Patch, regs: &mut Registers) -> TrapOutcome {
    regs.rip = patch.syscall;
    if patch.kind == PatchKind::Cpuid {
        regs.rip += SYSCALL_LEN as u64;
        cpuid_cache::step(regs);
        return TrapOutcome::Guest;
    }
    if patch.jump == patch.syscall {
        regs.rip += SYSCALL_LEN as u64;
        return match patch.mode {
            CodeMode::Long => TrapOutcome::Call,
            CodeMode::Compat => TrapOutcome::Call32,
        };
    }
    // The load of the number.
    if let Some(number) = patch.original.last_chunk::<4>().map(|b| i32::from_le_bytes(*b)) {
        let extended = i64::from(number) as u64;
        regs.rax = if patch.original.len() == JUMP_LEN { u64::from(number as u32) } else { extended };
    }
    TrapOutcome::Guest
}

/// Guest code is about to go on at `regs.rip`: in the trampoline, if the instruction there was moved.
pub(crate) fn go_on(regs: &mut Registers, block: &ThreadBlock) {
    if let Some(copy) = of(block).and_then(|patches| patches.state.lock().copy_of(regs.rip)) {
        regs.rip = copy;
    }
}

/// The call before `rip` trapped: patches it, unless it has to wait, and with it what was learned of the same
/// file.
pub(crate) fn trapped(regs: &Registers, fp: Option<&[u8]>, block: &ThreadBlock) {
    let Some(patches) = of(block).filter(|_| FRAME_LAYOUT.learn(fp)) else { return };
    let (address, number) = (regs.rip.wrapping_sub(SYSCALL_LEN as u64), regs.rax);
    {
        let state = patches.state.lock();
        if state.skipped.contains(&address) || state.is_patched(address) {
            return;
        }
    }
    north().with_code(address as usize, number, &mut |code, policy| {
        if code.mode == CpuMode::Compat && code.file.is_none() {
            return;
        }
        let proven = patches.proven(code, address, number);
        match policy {
            _ if proven.is_empty() => {}
            PatchPolicy::Now => patches.patch(code, &proven, false),
            PatchPolicy::Defer => patches.learn(code, &proven),
        }
    });
}

/// Code of a file is about to be mapped: maps a patched copy of it, if there is one.
pub(crate) fn map_text(code: &Code, replace: bool) -> litebox::Result<bool> {
    current().and_then(|block| of(block)).map_or(Ok(false), |patches| text_cache::map(patches, code, replace))
}

/// Code of a file was mapped: what was learned of it is patched at once. `true`: a copy is shown.
pub(crate) fn mapped(code: &Code, backing: Backing) -> bool {
    let Some(patches) = current().and_then(|block| of(block)) else { return false };
    patches.learn_waiting(code);
    let shown = text_cache::copy(patches, code, backing);
    if shown != Shown::PatchedText {
        patches.patch(code, &[], true);
    }
    shown != Shown::File
}

/// The guest is about to change code of which a copy is shown: the file itself is from now on.
pub(crate) fn map_original(code: &Code, backing: Backing) -> litebox::Result<()> {
    current().and_then(|block| of(block)).map_or(Ok(()), |patches| text_cache::map_original(patches, code, backing))
}

/// The process is about to be copied: what others learned of its code since it was mapped is patched now, or every
/// child would trap there. `true`: its code is worth sharing with them.
pub(crate) fn before_fork(code: &mut dyn Iterator<Item = Code>) -> bool {
    let Some(patches) = current().and_then(|block| of(block)) else { return false };
    let known = SITE_CACHE.lock().count();
    if patches.looked_at.swap(known, Ordering::Relaxed) != known {
        for code in code {
            patches.patch(&code, &[], false);
        }
    }
    let forks = patches.forks.fetch_add(1, Ordering::Relaxed);
    forks >= SHARING_PAYS && forks.is_power_of_two()
}

/// Shows a copy of code that may be executing, if there is one or can be.
pub(crate) fn share(code: &Code, backing: Backing) -> bool {
    let patches = current().and_then(|block| of(block));
    patches.is_some_and(|patches| text_cache::share(patches, code, backing))
}

impl PatchState {
    fn open_gate(&mut self) -> bool {
        self.has_gate = self.has_gate || GATE.map();
        self.has_gate
    }

    fn copy_of(&self, rip: u64) -> Option<u64> {
        let nearest = rip.checked_sub(JUMP_LEN as u64 - 1)?;
        let own = self.active.range(nearest..rip).find_map(|(_, patch)| patch.copy_of(rip));
        own.or_else(|| self.text_copy_of(rip))
    }

    fn trampoline_at(&self, rip: u64) -> Option<Arc<Patch>> {
        let own = self.trampolines.range(..=rip).next_back().map(|(_, patch)| patch);
        let own = own.filter(|patch| patch.original_of(rip).is_some()).cloned();
        own.or_else(|| self.text_trampoline_at(rip))
    }

    /// Whether the `syscall` at `address` has a patch. One with the jump before it is still there, and traps when it is
    /// jumped to.
    fn is_patched(&self, address: u64) -> bool {
        let from = address.saturating_sub(16);
        self.active.range(from..=address).any(|(_, patch)| patch.syscall == address)
            || self.text_patches(from, address + 1).any(|(_, syscall, _)| syscall == address)
    }

    fn overlaps(&self, start: u64, end: u64) -> bool {
        // No patch overwrites more than the instructions that five bytes reach into.
        let from = start.saturating_sub(32);
        self.active.range(from..end).any(|(jump, patch)| jump + patch.original.len() as u64 > start)
            || self.text_patches(from, end).any(|(jump, _, original)| jump + original.len() as u64 > start)
    }

    fn skip(&mut self, address: u64, reason: SkipReason) {
        if self.skipped.len() < MOST_SKIPPED && self.skipped.insert(address) {
            PATCH_COUNTS.skip(reason);
        }
    }
}

impl PatchState {
    /// Patches for sites that trapped, and for those learned of the same file. Their trampolines are written. `text`:
    /// the bytes of the code without any patches, if it is not to be read where it is mapped.
    fn plan_sites(
        &mut self,
        code: &Code,
        proven: &[ProvenSite],
        cached: Vec<CachedSite>,
        text: Option<&[u8]>,
    ) -> Vec<Arc<Patch>> {
        let mut patches = Vec::new();
        let learned = cached.into_iter().map(|CachedSite { distance, shape }| {
            let SiteShape { number, context, kind, .. } = shape;
            (ProvenSite { address: code.start as u64 + distance, number, context: Some(context) }, Some(kind))
        });
        for (site, kind) in proven.iter().map(|site| (*site, None)).chain(learned) {
            let ProvenSite { address, number, context } = site;
            if self.skipped.contains(&address) || self.is_patched(address) {
                continue;
            }
            let site_bytes = match text {
                Some(text) => SiteBytes::of(code, address, text),
                None => SiteBytes::read(code, address, self),
            };
            if context.is_some_and(|context| context != site_bytes.context()) {
                continue;
            }
            let planned = match analyse(&site_bytes.site(number, kind, mode_of(code))) {
                Ok(found) => {
                    if kind.is_none() {
                        site_bytes.remember(code, number, &found);
                    }
                    plan(self, &found, &patches)
                }
                Err(refusal) => SitePlan::Skip(SkipReason::Bytes(refusal)),
            };
            match planned {
                SitePlan::Patch(patch) => patches.push(patch),
                SitePlan::AlreadyPatched => {}
                SitePlan::Skip(reason) => self.skip(address, reason),
            }
        }
        patches
    }
}

/// What became of one site.
enum SitePlan {
    Patch(Arc<Patch>),
    /// It is patched already, or the bytes are those of somebody's patch.
    AlreadyPatched,
    Skip(SkipReason),
}

impl Patches {
    /// The same patches for a process that is about to be cloned. Nothing is patched until the guard is dropped.
    pub(crate) fn fork_into(&self, child: &Self) -> impl Drop + use<'_> {
        let state = self.state.lock();
        *child.state.lock() = state.clone();
        child.looked_at.store(self.looked_at.load(Ordering::Relaxed), Ordering::Relaxed);
        state
    }

    /// All of the process's memory has gone, or is about to.
    pub(crate) fn all_unmapped(&self) {
        drop(core::mem::take(&mut *self.state.lock()));
        self.looked_at.store(0, Ordering::Relaxed);
        self.forks.store(0, Ordering::Relaxed);
    }

    /// Patches sites that trapped, and those learned of the same file. `fresh`: nobody can have executed anything of
    /// the mapping yet.
    fn patch(&self, code: &Code, proven: &[ProvenSite], fresh: bool) {
        let mut state = self.state.lock();
        if code.prot.contains(Prot::WRITE) || code.shared {
            for ProvenSite { address, .. } in proven.iter().copied() {
                let reason = if code.shared { SkipReason::Shared } else { SkipReason::Writable };
                Arc::make_mut(&mut state).skip(address, reason);
            }
            return;
        }
        if !code.prot.contains(Prot::EXEC) {
            return;
        }
        let cached =
            code.file.map(|(file, offset)| SITE_CACHE.lock().of(file, offset, code.end - code.start, mode_of(code)));
        let cached = cached.unwrap_or_default();
        if proven.is_empty() && cached.is_empty() {
            return;
        }
        let new = |site: &CachedSite| {
            let address = code.start as u64 + site.distance;
            !state.is_patched(address) && !state.skipped.contains(&address)
        };
        if proven.is_empty() && !cached.iter().any(new) {
            return;
        }
        let ready = is_ready_for(&mut state, code);
        let state = Arc::make_mut(&mut state);
        if !ready {
            for site in proven {
                state.skip(site.address, SkipReason::NoRoom);
            }
            return;
        }
        let patches = state.plan_sites(code, proven, cached, None);
        install(state, code, &patches, fresh);
    }
}

fn plan(state: &mut PatchState, plan: &Plan, planned: &[Arc<Patch>]) -> SitePlan {
    let (start, end) = (plan.jump(), plan.jump() + plan.original().len() as u64);
    let taken = |patch: &Arc<Patch>| patch.jump < end && start < patch.jump + patch.original.len() as u64;
    if state.overlaps(start, end) || planned.iter().any(taken) {
        return SitePlan::AlreadyPatched;
    }
    if state.rewritten.get(&start).is_some_and(|times| *times >= MOST_REPATCHES) {
        return SitePlan::Skip(SkipReason::Rewritten);
    }
    if let Some(before) = state.dormant.get(&start) {
        if before.original.as_slice() == plan.original() && before.syscall == plan.syscall() {
            return SitePlan::Patch(before.clone());
        }
    }
    let Some((region, address)) = find_place(state, plan) else { return SitePlan::Skip(SkipReason::NoRoom) };
    let Some(region) = state.regions.get_mut(region) else { return SitePlan::Skip(SkipReason::NoRoom) };
    match plan.assemble(address, target_of(plan)) {
        Ok(patch) => {
            region.write(plan, &patch);
            SitePlan::Patch(Arc::new(patch))
        }
        Err(refusal) => {
            region.cancel(plan, address);
            SitePlan::Skip(SkipReason::Bytes(refusal))
        }
    }
}

/// Where the trampoline of `plan` leads.
fn target_of(plan: &Plan) -> Target {
    let cpuid = plan.kind().is_cpuid();
    match plan.mode() {
        CodeMode::Long => {
            Target { call: crate::entry::fast::entry(), cpuid: if cpuid { CPUID_CACHE.table() } else { 0 } }
        }
        CodeMode::Compat => {
            if cpuid {
                GATE.provide_table(CPUID_CACHE.leaves());
            }
            Target { call: gate::call_target(), cpuid: gate::cpuid_target() }
        }
    }
}

/// Takes room for a trampoline, in a region there is or in a new one: which region, and the address.
fn find_place(state: &mut PatchState, plan: &Plan) -> Option<(usize, u64)> {
    let room = state.regions.iter().enumerate().find_map(|(i, region)| Some((i, region.reserve(plan)?)));
    if room.is_some() {
        return room;
    }
    let keep = if state.is_of_copy { KEEP_OF_TEXT_CACHE } else { KEEP };
    let region = Region::map(plan, keep, state.regions.len())?;
    let address = region.reserve(plan);
    state.regions.push(region);
    Some((state.regions.len() - 1, address?))
}

/// Writes the jumps to trampolines that are there; `fresh` as for [`Patches::patch`].
fn install(state: &mut PatchState, code: &Code, patches: &[Arc<Patch>], fresh: bool) {
    let (Some(first), Some(last)) = (patches.iter().map(|p| p.jump).min(), patches.iter().map(|p| p.jump).max()) else {
        return;
    };
    state.generation += 1;
    for patch in patches {
        state.trampolines.insert(patch.trampoline, patch.clone());
    }
    // A whole mapping changes its protection without being split.
    let span = if fresh { (code.start, code.end) } else { (first as usize, last as usize + JUMP_LEN) };
    let done = while_writable(span.0, span.1, code.prot, || {
        for patch in patches {
            if write(patch.jump, &patch.jump_bytes) {
                state.dormant.remove(&patch.jump);
                state.active.insert(patch.jump, patch.clone());
                PATCH_COUNTS.patched.fetch_add(1, Ordering::Relaxed);
            } else {
                state.skip(patch.syscall, SkipReason::Host);
            }
        }
    });
    if !done {
        for patch in patches {
            state.skip(patch.syscall, SkipReason::Host);
        }
    }
}

fn write(address: u64, bytes: &[u8]) -> bool {
    LinuxHost.copy_to_user(address as usize, bytes) == bytes.len()
}

/// Makes the pages of `[start, end)` writable and not executable while `change` runs; afterwards they have `prot`
/// again. `false`: the host refused, nothing was done.
fn while_writable(start: usize, end: usize, prot: Prot, change: impl FnOnce()) -> bool {
    let from = start & !(PAGE - 1);
    let len = ((end + PAGE - 1) & !(PAGE - 1)) - from;
    let protect = |prot: Prot| {
        // SAFETY: guest code or trampolines, whose protection is changed under the locks of the address space and of
        // its patches.
        unsafe { host_call!(nr::MPROTECT, from, len, prot.bits()) }
    };
    if protect(Prot::READ | Prot::WRITE).is_err() {
        return false;
    }
    change();
    if protect(prot).is_err() {
        use litebox::platform::System;
        LinuxHost.fatal("the host does not make guest code executable again");
    }
    true
}
