//! Patched copies of files' code.
//!
//! Patches make pages private: each process that maps a file pays for the change of protection, for a copy of every
//! page with a site, and again for the page table of all that when it forks. So code that is mapped again and again is
//! copied once, patches and all, into memory that all processes share ([`PatchedText`]), and mapped from there. Its
//! trampolines lie at the same distance everywhere, which is why they name no address of the guest. Only code of files
//! that nobody changes is copied, and a process that wants to change its code gets the file's own first.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use litebox_common_linux::abi::memory::{MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE};

use litebox::platform::north::{Code, FileKey};
use litebox::platform::{Backing, HostFd, HostFiles, Prot};
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_syscall_rewriter::{CodeMode, JUMP_LEN, Patch};

use super::region::Region;
use super::{PAGE, PatchState, first_jump, mode_of};
use crate::LinuxHost;
use crate::entry::patch::{PATCH_COUNTS, SITE_CACHE};
use crate::host::call::{MADV_REMOVE, host_call, map_at, nr};
use crate::host::published::Published;
use crate::memory::layout::{ARENA, LAYOUT, TEXT_CACHE_LEN};

/// The largest one.
const MOST_CODE: usize = 4 << 20;
/// Mappings of files that are counted.
const MOST_COUNTED: usize = 1 << 10;
/// How often code is mapped before it is copied. Later it is copied anew when it was mapped twice as often and more is
/// known of it.
const FIRST_COPY: u64 = 4;

/// Which code: of which file, from where, how much, decoded how.
type Key = (FileKey, u64, usize, CodeMode);

fn key(code: &Code) -> Option<Key> {
    code.file.map(|(file, offset)| (file, offset, code.end - code.start, mode_of(code)))
}

/// The copies there are.
#[derive(Default)]
pub(crate) struct TextCache {
    shelf: Mutex<BTreeMap<Key, Counted>>,
    /// What of the memory is in use, ascending.
    taken: Mutex<Vec<Range<usize>>>,
}

/// Patched copies of code.
pub(crate) static TEXT_CACHE: Published<TextCache> = Published::nothing();

/// Code that was mapped.
#[derive(Default)]
struct Counted {
    times: u64,
    /// How often it was when it was copied last.
    copied_at: u64,
    text: Option<Arc<PatchedText>>,
}

impl Counted {
    fn is_due(&self) -> bool {
        self.times >= FIRST_COPY.max(self.copied_at.saturating_mul(2))
    }
}

/// A patched copy of code.
pub(super) struct PatchedText {
    /// Where its code was mapped when it was made: to that place the addresses below belong.
    start: u64,
    place: TextSlot,
    /// By the address of the jump, and which of them by that of the trampoline.
    patches: Vec<Arc<Patch>>,
    trampolines: Vec<(u64, usize)>,
    regions: Vec<Region>,
    /// Sites of the file that were known.
    pub(super) known: usize,
}

/// Where in the sandbox's memory for copies one lies. It is given back when nobody has the copy.
struct TextSlot(Range<usize>);

impl TextSlot {
    /// Takes room for `len` bytes.
    fn take(len: usize) -> Option<Self> {
        let mut taken = TEXT_CACHE.taken.lock();
        let mut start = 0;
        let mut before = taken.len();
        for (i, used) in taken.iter().enumerate() {
            if used.start - start >= len {
                before = i;
                break;
            }
            start = used.end;
        }
        if len > TEXT_CACHE_LEN - start {
            return None;
        }
        taken.insert(before, start..start + len);
        Some(Self(start..start + len))
    }

    /// Where the kernel may write it.
    fn address(&self) -> usize {
        LAYOUT.text_cache.0 + self.0.start
    }
}

impl Drop for TextSlot {
    fn drop(&mut self) {
        // SAFETY: pages of a copy that nobody has mapped any more.
        let _ = unsafe { host_call!(nr::MADVISE, self.address(), self.0.len(), MADV_REMOVE) };
        TEXT_CACHE.taken.lock().retain(|used| *used != self.0);
    }
}

/// Maps what lies at `place` for guest code. The host's answer.
fn map_private(addr: usize, place: &TextSlot, prot: Prot, replace: bool) -> Result<()> {
    let flags = MAP_PRIVATE | MAP_NORESERVE | if replace { MAP_FIXED } else { MAP_FIXED_NOREPLACE };
    let offset = place.address() - LAYOUT.arena.0;
    let fd = ARENA.0;
    // SAFETY: guest memory, which the map of areas gives to this mapping.
    unsafe { map_at(addr, place.0.len(), usize::from(prot.bits()), flags, fd, offset as u64) }
}

impl TextCache {
    /// Code is about to be mapped: the copy of it, unless a better one is to be made.
    fn wanted(&self, key: Key, known: usize) -> Option<Arc<PatchedText>> {
        let mut shelf = self.shelf.lock();
        if shelf.len() >= MOST_COUNTED && !shelf.contains_key(&key) {
            shelf.retain(|_, counted| counted.text.is_some());
            if shelf.len() >= MOST_COUNTED {
                return None;
            }
        }
        let counted = shelf.entry(key).or_default();
        counted.times = counted.times.saturating_add(1);
        let due = counted.is_due();
        counted.text.clone().filter(|text| text.known >= known || !due)
    }

    /// The copy with all that is known.
    fn complete(&self, key: Key, known: usize) -> Option<Arc<PatchedText>> {
        self.shelf.lock().get(&key)?.text.clone().filter(|text| text.known >= known)
    }

    /// Whether code that was just mapped is to be copied.
    fn is_due(&self, key: Key) -> bool {
        self.shelf.lock().get(&key).is_some_and(Counted::is_due)
    }

    /// It is not to be tried again soon.
    fn tried(&self, key: Key, text: Option<Arc<PatchedText>>) {
        let mut before = None;
        if let Some(counted) = self.shelf.lock().get_mut(&key) {
            // It may have been mapped before anybody counted.
            counted.times = counted.times.max(1);
            counted.copied_at = counted.times;
            if text.is_some() {
                before = core::mem::replace(&mut counted.text, text);
            }
        }
        drop(before);
    }

    /// Gives up copies that no process has mapped.
    fn drop_unused(&self) {
        let unused = |counted: &mut Counted| counted.text.take_if(|text| Arc::strong_count(text) == 1);
        let dropped: Vec<_> = self.shelf.lock().values_mut().filter_map(unused).collect();
        drop(dropped);
    }
}

impl PatchedText {
    fn with_jumps_in(&self, start: u64, end: u64) -> &[Arc<Patch>] {
        let from = self.patches.partition_point(|patch| patch.jump < start);
        let to = self.patches.partition_point(|patch| patch.jump < end);
        self.patches.get(from..to).unwrap_or_default()
    }

    /// The patch with a trampoline that `rip` is in.
    fn trampoline_at(&self, rip: u64) -> Option<&Arc<Patch>> {
        let behind = self.trampolines.partition_point(|(at, _)| *at <= rip);
        let (_, patch) = self.trampolines.get(behind.checked_sub(1)?)?;
        self.patches.get(*patch).filter(|patch| patch.original_of(rip).is_some())
    }

    /// Maps its trampolines for code that lies `by` bytes higher. `false`: something is there.
    fn map_regions(&self, by: u64) -> bool {
        let done = self.regions.iter().take_while(|region| region.map_again(by)).count();
        if done < self.regions.len() {
            self.unmap_regions(by, done);
        }
        done == self.regions.len()
    }

    fn unmap_regions(&self, by: u64, count: usize) {
        for region in self.regions.iter().take(count) {
            region.unmap_copy(by);
        }
    }
}

/// A copy as one process has it mapped.
#[derive(Clone)]
pub(super) struct MappedText {
    text: Arc<PatchedText>,
    /// How much higher than where it was made.
    by: u64,
    /// Where its patches are in force.
    live: Vec<Range<u64>>,
    /// Where the file itself is shown by now. Threads may still be in trampolines.
    retired: Vec<Range<u64>>,
}

fn contain(ranges: &[Range<u64>], address: u64) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

fn overlap(ranges: &[Range<u64>], start: u64, end: u64) -> bool {
    ranges.iter().any(|range| range.start < end && start < range.end)
}

/// Takes `[start, end)` out of the ranges.
fn cut(ranges: &mut Vec<Range<u64>>, start: u64, end: u64) {
    if overlap(ranges, start, end) {
        let pieces = |range: &Range<u64>| [range.start..range.end.min(start), range.start.max(end)..range.end];
        *ranges = ranges.iter().flat_map(pieces).filter(|piece| piece.start < piece.end).collect();
    }
}

impl MappedText {
    fn new(text: Arc<PatchedText>, start: u64) -> Self {
        let by = start.wrapping_sub(text.start);
        let live = core::iter::once(start..start + text.place.0.len() as u64).collect();
        Self { text, by, live, retired: Vec::new() }
    }

    /// Patches in force whose jump begins in the range, as they were made, and how much higher they are.
    fn in_force(&self, start: u64, end: u64) -> impl Iterator<Item = &Arc<Patch>> {
        let down = |address: u64| address.wrapping_sub(self.by);
        let common = self.live.iter().map(move |range| range.start.max(start)..range.end.min(end));
        let common = common.filter(|range| range.start < range.end);
        common.flat_map(move |range| self.text.with_jumps_in(down(range.start), down(range.end)))
    }

    fn overlaps_regions(&self, start: u64, end: u64) -> bool {
        self.text.regions.iter().any(|region| region.copy_overlaps(self.by, start, end))
    }
}

/// What a process has mapped of copies.
impl PatchState {
    /// As [`PatchState::copy_of`], in copies.
    pub(super) fn text_copy_of(&self, rip: u64) -> Option<u64> {
        let mapped = self.text_cache.iter().find(|m| contain(&m.live, rip))?;
        let rip = rip.wrapping_sub(mapped.by);
        let patches = mapped.text.with_jumps_in(first_jump(rip), rip);
        patches.iter().find_map(|patch| patch.copy_of(rip)).map(|copy| copy.wrapping_add(mapped.by))
    }

    /// The patch of a copy with a trampoline that `rip` is in.
    pub(super) fn text_trampoline_at(&self, rip: u64) -> Option<Arc<Patch>> {
        let mapped = self.text_cache.iter().find(|m| m.overlaps_regions(rip, rip + 1))?;
        let patch = mapped.text.trampoline_at(rip.wrapping_sub(mapped.by))?;
        Some(Arc::new(patch.moved_by(mapped.by)))
    }

    /// Where patches of copies are whose jumps begin in the range: of the jump, of the call, and what they overwrite.
    pub(super) fn text_patches(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64, &[u8])> {
        self.text_cache.iter().flat_map(move |mapped| {
            let up = |address: u64| address.wrapping_add(mapped.by);
            mapped.in_force(start, end).map(move |patch| (up(patch.jump), up(patch.syscall), patch.original.as_slice()))
        })
    }

    pub(super) fn texts_touch(&self, start: u64, end: u64) -> bool {
        let touches = |m: &MappedText| {
            overlap(&m.live, start, end) || overlap(&m.retired, start, end) || m.overlaps_regions(start, end)
        };
        self.text_cache.iter().any(touches)
    }

    /// Guest memory goes: so do copies that were mapped there. Where the kernel's regions go, the guest's own bytes
    /// come back first.
    pub(super) fn cut_texts(&mut self, start: u64, end: u64) {
        self.text_cache.retain_mut(|mapped| {
            cut(&mut mapped.live, start, end);
            cut(&mut mapped.retired, start, end);
            let lost = mapped.overlaps_regions(start, end);
            if lost {
                restore(mapped);
            }
            let stays = !(lost || mapped.live.is_empty() && mapped.retired.is_empty());
            if !stays {
                mapped.text.unmap_regions(mapped.by, mapped.text.regions.len());
            }
            stays
        });
    }

    /// Guest memory becomes writable, or moves.
    pub(super) fn restore_texts(&mut self, start: u64, end: u64) {
        for mapped in self.text_cache.iter_mut().filter(|m| overlap(&m.live, start, end)) {
            restore(mapped);
            self.generation += 1;
        }
    }
}

/// Puts the guest's bytes back in pages of its own.
fn restore(mapped: &mut MappedText) {
    let live = core::mem::take(&mut mapped.live);
    for range in &live {
        let down = |address: u64| address.wrapping_sub(mapped.by);
        let patches = mapped.text.with_jumps_in(down(range.start), down(range.end));
        super::while_writable(range.start as usize, range.end as usize, Prot::READ | Prot::EXEC, || {
            for patch in patches {
                super::write(patch.jump.wrapping_add(mapped.by), patch.original.get(..JUMP_LEN).unwrap_or_default());
            }
        });
    }
    mapped.retired.extend(live);
}

/// Maps the copy of `code` if there is one. `false`: there is none, or its trampolines find no room.
pub(super) fn map(patches: &super::Patches, code: &Code, replace: bool) -> Result<bool> {
    let Some(key) = key(code).filter(|_| is_fit(code)) else { return Ok(false) };
    let known = SITE_CACHE.lock().count_of(key.0);
    let Some(text) = TEXT_CACHE.wanted(key, known) else { return Ok(false) };
    let mapped = MappedText::new(text, code.start as u64);
    let mut state = patches.state.lock();
    if !super::is_ready_for(&mut state, code) || !mapped.text.map_regions(mapped.by) {
        return Ok(false);
    }
    show(&mut state, mapped, code, replace).map(|()| true)
}

/// What code that was just mapped shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The file itself.
    File,
    /// A copy; more of its sites are known by now.
    OldText,
    /// A copy with all that is known.
    PatchedText,
}

/// `code` was just mapped, and nobody can have executed anything of it: it is copied if that pays, and the copy mapped.
pub(super) fn copy(patches: &super::Patches, code: &Code, backing: Backing) -> Shown {
    let Some(key) = key(code).filter(|_| is_fit(code)) else { return Shown::File };
    let known = SITE_CACHE.lock().count_of(key.0);
    let mut state = patches.state.lock();
    let start = code.start as u64;
    if let Some(mapped) = state.text_cache.iter().find(|m| m.live.first().is_some_and(|range| range.start == start)) {
        return if mapped.text.known >= known { Shown::PatchedText } else { Shown::OldText };
    }
    if known == 0 || !TEXT_CACHE.is_due(key) || !super::is_ready_for(&mut state, code) {
        return Shown::File;
    }
    let Some(text) = make(key, code, backing, known) else { return Shown::File };
    // In this process, the trampolines are mapped where they were made.
    if show(&mut state, MappedText::new(text, start), code, true).is_ok() { Shown::PatchedText } else { Shown::File }
}

/// Shows a copy of code that is mapped and that threads may be executing.
pub(super) fn share(patches: &super::Patches, code: &Code, backing: Backing) -> bool {
    let Some(key) = key(code).filter(|_| is_fit(code)) else { return false };
    let known = SITE_CACHE.lock().count_of(key.0);
    if known == 0 {
        return false;
    }
    let there_is = TEXT_CACHE.complete(key, known);
    let mut state = patches.state.lock();
    if !super::is_ready_for(&mut state, code) {
        return false;
    }
    let mapped = match there_is {
        Some(text) => {
            let mapped = MappedText::new(text, code.start as u64);
            if !mapped.text.map_regions(mapped.by) {
                return false;
            }
            mapped
        }
        None => match make(key, code, backing, known) {
            Some(text) => MappedText::new(text, code.start as u64),
            None => return false,
        },
    };
    if show(&mut state, mapped, code, true).is_err() {
        return false;
    }
    // Pages with patches of the process's own are gone. Threads may still be in trampolines.
    Arc::make_mut(&mut state).before_change(code.start as u64, code.end as u64, super::Change::Dropped);
    true
}

/// Maps a copy, whose trampolines are mapped; they go if that fails.
fn show(state: &mut Arc<PatchState>, mapped: MappedText, code: &Code, replace: bool) -> Result<()> {
    let text = &mapped.text;
    if let Err(error) = map_private(code.start, &text.place, code.prot, replace) {
        text.unmap_regions(mapped.by, text.regions.len());
        return Err(error);
    }
    PATCH_COUNTS.share(text.patches.len());
    let state = Arc::make_mut(state);
    state.generation += 1;
    state.text_cache.push(mapped);
    Ok(())
}

fn is_fit(code: &Code) -> bool {
    code.fixed && !code.shared && code.prot == Prot::READ | Prot::EXEC && code.end - code.start <= MOST_CODE
}

/// Makes a copy, with trampolines of its own mapped beside `code`, for all who map the same.
fn make(key: Key, code: &Code, backing: Backing, known: usize) -> Option<Arc<PatchedText>> {
    let Backing::File { fd, offset } = backing else { return None };
    let text = read(code, fd, offset).and_then(|place| patch(key, code, place, known)).map(Arc::new);
    TEXT_CACHE.tried(key, text.clone());
    text
}

/// Reads the code of the file. What the file does not fill of the last page is zeros.
fn read(code: &Code, fd: HostFd, offset: u64) -> Option<TextSlot> {
    let len = code.end - code.start;
    let place = TextSlot::take(len).or_else(|| {
        TEXT_CACHE.drop_unused();
        TextSlot::take(len)
    })?;
    let mut done = 0;
    while done < len {
        // SAFETY: the room is this copy's.
        match unsafe { LinuxHost.host_pread(fd, place.address() + done, len - done, offset + done as u64) } {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(Error::Interrupted) => {}
            Err(_) => return None,
        }
    }
    (len - done < PAGE).then_some(place)
}

/// Patches a copy.
fn patch(key: Key, code: &Code, place: TextSlot, known: usize) -> Option<PatchedText> {
    let (file, offset, len, mode) = key;
    let cached = SITE_CACHE.lock().of(file, offset, len, mode);
    let mut planner = PatchState { is_of_copy: true, ..PatchState::default() };
    // SAFETY: the room is this copy's, which nobody else knows yet.
    let bytes = unsafe { core::slice::from_raw_parts_mut(place.address() as *mut u8, len) };
    let mut patches = planner.plan_sites(code, &[], cached, Some(bytes));
    if patches.is_empty() {
        return None;
    }
    patches.sort_by_key(|patch| patch.jump);
    for patch in &patches {
        let jump = (patch.jump - code.start as u64) as usize;
        if let Some(room) = bytes.get_mut(jump..jump + JUMP_LEN) {
            room.copy_from_slice(&patch.jump_bytes);
        }
    }
    let mut trampolines: Vec<_> = patches.iter().enumerate().map(|(i, patch)| (patch.trampoline, i)).collect();
    trampolines.sort_unstable();
    Some(PatchedText { start: code.start as u64, place, patches, trampolines, regions: planner.regions, known })
}

/// Shows the file itself where a copy of its code is mapped.
pub(super) fn map_original(patches: &super::Patches, code: &Code, backing: Backing) -> Result<()> {
    const PRIVATE_FIXED_NORESERVE: usize = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
    let Backing::File { fd, offset } = backing else { return Ok(()) };
    let mut state = patches.state.lock();
    let (start, end) = (code.start as u64, code.end as u64);
    let len = code.end - code.start;
    // SAFETY: guest memory that shows a copy of these bytes.
    unsafe { map_at(code.start, len, usize::from(code.prot.bits()), PRIVATE_FIXED_NORESERVE, fd.0, offset) }?;
    let state = Arc::make_mut(&mut state);
    state.generation += 1;
    for mapped in &mut state.text_cache {
        let shown: Vec<_> =
            mapped.live.iter().filter(|range| range.start < end && start < range.end).cloned().collect();
        cut(&mut mapped.live, start, end);
        let shown = shown.into_iter().map(|range| range.start.max(start)..range.end.min(end));
        mapped.retired.extend(shown);
    }
    state.before_change(start, end, super::Change::Dropped);
    Ok(())
}

const _: () = assert!(MOST_CODE % PAGE == 0 && TEXT_CACHE_LEN % PAGE == 0);
