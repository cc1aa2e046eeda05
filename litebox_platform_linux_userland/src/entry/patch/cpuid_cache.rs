//! What the processor answers to `cpuid`, and where programs ask.
//!
//! A virtual machine leaves to its host at each `cpuid`, for microseconds, and a program of glibc executes some sixty
//! when it starts. The answers do not change, but for those that tell which processor the thread runs on: they are left
//! to the processor. A program and its interpreter are searched when they are executed the second time in a sandbox;
//! from then on their sites are learned ones like those of system calls.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU64, Ordering};

use litebox::platform::UserAccess;
use litebox::platform::north::{Code, Registers};
use litebox_syscall_rewriter::{CPUID, CpuidLeaf, Function, analyse, cpuids, functions};

use super::{Patches, SiteBytes, mode_of};
use crate::LinuxHost;
use crate::entry::patch::SITE_CACHE;
use crate::host::published::Published;

/// Code that is searched at most; what starts programs is small.
const MOST_CODE: usize = 1 << 20;
/// Table bytes that are looked through at most.
const MOST_TABLE: usize = 2 << 20;
/// The longest function that is decoded.
const LONGEST: u64 = 64 << 10;
/// `cpuid` instructions of one file.
const MOST_SITES: usize = 256;

/// The table, made when it is first wanted: the address of its first entry.
#[derive(Default)]
pub(crate) struct CpuidCache(AtomicU64);

/// What `cpuid` answers.
pub(crate) static CPUID_CACHE: Published<CpuidCache> = Published::nothing();

impl CpuidCache {
    /// The table.
    pub(super) fn leaves(&self) -> &'static [CpuidLeaf] {
        let first = self.table() as *const CpuidLeaf;
        let mut len = 1;
        // SAFETY: entries of the table, of which only the last says that no other follows; it is never freed.
        unsafe {
            while (*first.add(len - 1)).more != 0 {
                len += 1;
            }
            core::slice::from_raw_parts(first, len)
        }
    }

    /// Where the table is.
    pub(super) fn table(&self) -> u64 {
        let known = self.0.load(Ordering::Acquire);
        if known != 0 {
            return known;
        }
        let fresh = Box::into_raw(constant_leaves().into_boxed_slice());
        let at = fresh.cast::<CpuidLeaf>() as u64;
        match self.0.compare_exchange(0, at, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => at,
            Err(other) => {
                // SAFETY: the box made above, which nobody else knows.
                drop(unsafe { Box::from_raw(fresh) });
                other
            }
        }
    }
}

fn ask(leaf: u32, subleaf: u32) -> [u32; 4] {
    #[allow(unused_unsafe, reason = "a safe function only since Rust 1.94")]
    // SAFETY: every x86-64 processor has the instruction.
    let result = unsafe { __cpuid_count(leaf, subleaf) };
    [result.eax, result.ebx, result.ecx, result.edx]
}

/// Of the leaves that describe caches: the kind of the cache is zero.
fn is_no_cache([a, ..]: [u32; 4]) -> bool {
    a % (1 << 5) == 0
}

/// The leaves whose answers are the same on every processor of the machine.
fn constant_leaves() -> Vec<CpuidLeaf> {
    const EXTENDED: u32 = 0x8000_0000;
    /// In `edx` of leaf 7: the machine has processors of several kinds.
    const HYBRID: u32 = 1 << 15;
    const MOST_LEAVES: u32 = 64;
    const MOST_SUBLEAVES: u32 = 32;
    let mut table = Vec::new();
    let mut add = |leaf: u32, subleaf: Option<u32>| {
        let registers = ask(leaf, subleaf.unwrap_or(0));
        let mask = if subleaf.is_some() { u32::MAX } else { 0 };
        table.push(CpuidLeaf { leaf, mask, subleaf: subleaf.unwrap_or(0), registers, more: 1 });
        registers
    };
    let [highest, ..] = add(0, None);
    let highest = highest.min(MOST_LEAVES);
    let hybrid = highest >= 7 && ask(7, 0)[3] & HYBRID != 0;
    if !hybrid {
        for leaf in (2..=highest).filter(|leaf| matches!(leaf, 2 | 5 | 6 | 9 | 10 | 0x15 | 0x16)) {
            add(leaf, None);
        }
        if highest >= 4 {
            // Caches; the first that is none ends the list.
            let _ = (0..MOST_SUBLEAVES).find(|n| is_no_cache(add(4, Some(*n))));
        }
        if highest >= 7 {
            let [last, ..] = add(7, Some(0));
            for subleaf in 1..=last.min(MOST_SUBLEAVES) {
                add(7, Some(subleaf));
            }
        }
        if highest >= 0xd {
            for subleaf in 0..MOST_SUBLEAVES {
                add(0xd, Some(subleaf));
            }
        }
        let [highest, ..] = add(EXTENDED, None);
        let plain = |leaf: &u32| !matches!(leaf & 0xff, 0x1d..=0x20 | 0x26);
        for leaf in (EXTENDED + 1..=highest.min(EXTENDED + MOST_LEAVES)).filter(plain) {
            add(leaf, None);
        }
        if (EXTENDED + 0x1d..EXTENDED + MOST_LEAVES).contains(&highest) {
            let _ = (0..MOST_SUBLEAVES).find(|n| is_no_cache(add(EXTENDED + 0x1d, Some(*n))));
        }
    }
    if let Some(last) = table.last_mut() {
        last.more = 0;
    }
    table
}

/// A program steps over a patched `cpuid`.
pub(super) fn step(regs: &mut Registers) {
    let [a, b, c, d] = ask(regs.rax as u32, regs.rcx as u32).map(u64::from);
    (regs.rax, regs.rbx, regs.rcx, regs.rdx) = (a, b, c, d);
}

/// A program was mapped whole: `code`, and the areas of the same file that may hold its call frame tables.
pub(crate) fn program_mapped(code: &Code, tables: &[(usize, usize)]) {
    let Some(patches) = crate::host::thread_block::current().and_then(|block| super::of(block)) else { return };
    let Some((file, _)) = code.file.filter(|_| !code.shared && code.end - code.start <= MOST_CODE) else { return };
    if SITE_CACHE.lock().executed(file) != 2 {
        return;
    }
    let text = read(code.start, code.end);
    let mut sites: Vec<u64> = Vec::new();
    for at in candidates(&text).take(MOST_SITES) {
        sites.push(code.start as u64 + at as u64);
    }
    if sites.is_empty() {
        return;
    }
    for &(start, end) in tables {
        let table = read(start, end.min(start + MOST_TABLE));
        for function in functions(&table, start as u64) {
            if function.len <= LONGEST && sites.iter().any(|site| function.contains(*site)) {
                learn(patches, code, &text, &function);
            }
        }
    }
    patches.patch(code, &[], true);
}

fn candidates(text: &[u8]) -> impl Iterator<Item = usize> + '_ {
    text.windows(CPUID.len()).enumerate().filter(|(_, bytes)| *bytes == CPUID).map(|(at, _)| at)
}

fn read(start: usize, end: usize) -> Vec<u8> {
    let mut bytes = vec![0; end.saturating_sub(start)];
    let got = LinuxHost.copy_from_user(&mut bytes, start);
    bytes.truncate(got);
    bytes
}

/// The `cpuid` instructions of a function are sites from now on.
fn learn(patches: &Patches, code: &Code, text: &[u8], function: &Function) {
    let from = function.start.wrapping_sub(code.start as u64);
    let span = usize::try_from(from).ok().and_then(|from| text.get(from..from.checked_add(function.len as usize)?));
    let Some(found) = span.and_then(|bytes| cpuids(bytes, function.start, mode_of(code))) else { return };
    for (address, kind) in found {
        let site_bytes = SiteBytes::read(code, address, &patches.state.lock());
        if let Ok(plan) = analyse(&site_bytes.site(0, Some(kind), mode_of(code))) {
            site_bytes.remember(code, 0, &plan);
        }
    }
}
