//! /proc/PID/stat, statm, status, limits, io, schedstat.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use litebox::fs::FsContext;
use litebox::mm::{PAGE, Usage};
use litebox::platform::host;

use crate::seccomp::Mode;
use crate::syscalls::limits::Limit;

use super::process::{ProcessView, name_of};
use super::times::{Times, ticks};
use super::tree::{Text, put};
use super::{current_thread, machine};

/// PF_RANDOMIZE: addresses are random.
const RANDOMIZED: u32 = 0x40_0000;
/// What priority a nice value of 0 is.
const USUAL_PRIORITY: i32 = 20;
/// What a thread's host part says during a host call that may sleep.
const BLOCKED_IN_HOST: u32 = 2;
/// `/proc/PID/status` counts descriptors in steps.
const FD_STEP: usize = 64;

/// What a process does, as a letter and in words.
fn state(view: &ProcessView) -> (char, &'static str) {
    let Some(thread) = &view.thread else {
        // The last thread has left, but nobody can wait for the process yet.
        let leaving = view.process.thread_count() == 0 && !view.process.ended();
        return if leaving { ('R', "running") } else { ('Z', "zombie") };
    };
    if current_thread().is_some_and(|t| t.tid() == thread.tid()) {
        return ('R', "running");
    }
    if view.process.stopped() {
        return ('T', "stopped");
    }
    if thread.is_handed_off() {
        // It waits for its child (vfork), and nothing but its end is a reason not to.
        return ('D', "disk sleep");
    }
    // The host's mode does not tell the program's own code from a call that came by a patched site.
    let blocked = thread.host.mode.load(Ordering::Relaxed) == BLOCKED_IN_HOST;
    if thread.waits_killably.load(Ordering::Relaxed) {
        return ('D', "disk sleep");
    }
    if blocked || thread.waiter.asleep() { ('S', "sleeping") } else { ('R', "running") }
}

/// Bytes that may be in memory: what is mapped accessibly is at most as much.
pub(super) fn resident(view: &ProcessView, usage: &Usage) -> usize {
    let inaccessible: usize =
        view.process.mm.vmas().iter().filter(|a| a.prot.is_empty()).map(litebox::mm::Vma::len).sum();
    usage.total.saturating_sub(inaccessible)
}

/// What is mapped; of what has ended, nothing.
fn usage_of(view: &ProcessView) -> Usage {
    if view.thread.is_some() { view.process.mm.core().usage() } else { Usage::default() }
}

pub(super) fn stat(view: &ProcessView, out: &mut Text) {
    let process = &view.process;
    let usage = usage_of(view);
    let sets = process.signal_sets(view.remains.as_deref());
    let image = process.image.read().clone();
    let own = Times::of(view);
    let children = process.children_usage();
    let nice = view.remains.as_ref().map_or(0, |t| t.scheduling.nice());
    let started = machine::since_boot(process.started);
    let terminal = view.kernel.terminals.of_session(process.session.load(Ordering::Relaxed)).unwrap_or((0, -1));
    let id = view.remains.as_ref().map_or(process.pid, |t| t.tid());
    let threads = process.told_threads();
    put!(out, "{id} (");
    out.put(&name_of(view));
    put!(
        out,
        ") {} {} {} {} {} {} {RANDOMIZED} 0 0 0 0 {} {} {} {} {} {nice} {threads} 0 {} {} {} {} ",
        state(view).0,
        process.parent.load(Ordering::Relaxed),
        process.group.load(Ordering::Relaxed),
        process.session.load(Ordering::Relaxed),
        terminal.0,
        terminal.1,
        ticks(own.user),
        ticks(own.system),
        ticks(children.user),
        ticks(children.system),
        USUAL_PRIORITY + nice,
        ticks(started),
        usage.total,
        resident(view, &usage) / PAGE,
        u64::MAX,
    );
    let ranges = Ranges::of(view);
    put!(
        out,
        "{} {} {} 0 0 {} {} {} {} 0 0 0 {} 0 0 {} 0 0 0 {} {} {} {} {} {} {} {}\n",
        ranges.code.0,
        ranges.code.1,
        image.stack_start,
        sets.pending & 0x7fff_ffff,
        sets.blocked & 0x7fff_ffff,
        sets.ignored & 0x7fff_ffff,
        sets.caught & 0x7fff_ffff,
        if id == process.pid { process.exit_signal.load(Ordering::Relaxed) } else { -1 },
        view.remains.as_ref().map_or(0, |t| t.scheduling.policy()),
        ranges.data.0,
        ranges.data.1,
        process.mm.core().brk_range().0,
        image.argument_range.0,
        image.argument_range.1,
        image.environment_range.0,
        image.environment_range.1,
        if view.thread.is_none() { process.exit_status() } else { 0 },
    );
}

/// Where the program's code and data lie.
#[derive(Default)]
struct Ranges {
    code: (usize, usize),
    data: (usize, usize),
}

impl Ranges {
    fn of(view: &ProcessView) -> Self {
        let mut ranges = Self::default();
        let Some(program) = view.process.image.read().exe.clone().filter(|_| view.thread.is_some()) else {
            return ranges;
        };
        for vma in view.process.mm.vmas() {
            if !vma.object.file().is_some_and(|f| alloc::sync::Arc::ptr_eq(f, &program)) {
                continue;
            }
            let range = if vma.prot.contains(litebox::platform::Prot::EXEC) {
                &mut ranges.code
            } else if vma.prot.contains(litebox::platform::Prot::WRITE) {
                &mut ranges.data
            } else {
                continue;
            };
            *range = (if range.0 == 0 { vma.start } else { range.0 }, vma.end);
        }
        ranges
    }
    fn code_size(&self) -> usize {
        self.code.1 - self.code.0
    }
}

pub(super) fn statm(view: &ProcessView, out: &mut Text) {
    let usage = usage_of(view);
    let code = Ranges::of(view).code_size();
    put!(
        out,
        "{} {} {} {} 0 {} 0\n",
        usage.total / PAGE,
        resident(view, &usage) / PAGE,
        usage.exec / PAGE,
        code / PAGE,
        (usage.data + usage.stack) / PAGE
    );
}

fn put_name(out: &mut Text, name: &[u8]) {
    for byte in name {
        match byte {
            b'\n' => out.put(b"\\n"),
            b'\\' => out.put(b"\\\\"),
            other => out.put(&[*other]),
        }
    }
}

fn put_identity(view: &ProcessView, out: &mut Text) {
    let process = &view.process;
    let creds = view.remains.as_ref().map_or_else(|| process.creds(), |t| t.creds());
    let pid = process.pid;
    let tid = view.remains.as_ref().map_or(pid, |t| t.tid());
    let (letter, word) = state(view);
    let umask = |fs: &FsContext| fs.umask.load(Ordering::Relaxed);
    put!(out, "Name:\t");
    put_name(out, &name_of(view));
    if let Some(thread) = &view.thread {
        put!(out, "\nUmask:\t{:04o}", umask(&thread.fs));
    }
    put!(out, "\nState:\t{letter} ({word})\n");
    put!(out, "Tgid:\t{pid}\nNgid:\t0\nPid:\t{tid}\nPPid:\t{}\n", process.parent.load(Ordering::Relaxed));
    put!(out, "TracerPid:\t0\n");
    put!(out, "Uid:\t{}\t{}\t{}\t{}\n", creds.uid, creds.euid, creds.suid, creds.fsuid);
    put!(out, "Gid:\t{}\t{}\t{}\t{}\n", creds.gid, creds.egid, creds.sgid, creds.fsgid);
    let descriptors = view.thread.as_ref().map(|t| t.files.descriptors()).unwrap_or_default();
    let highest = descriptors.last().map_or(0, |fd| usize::try_from(*fd).unwrap_or(0) + 1);
    put!(out, "FDSize:\t{}\nGroups:\t", highest.next_multiple_of(FD_STEP).max(FD_STEP).next_power_of_two());
    for group in &creds.groups {
        put!(out, "{group} ");
    }
    if creds.groups.is_empty() {
        put!(out, " ");
    }
    let (group, session) = (process.group.load(Ordering::Relaxed), process.session.load(Ordering::Relaxed));
    put!(out, "\nNStgid:\t{pid}\nNSpid:\t{tid}\nNSpgid:\t{group}\nNSsid:\t{session}\nKthread:\t0\n");
}

fn put_memory(view: &ProcessView, out: &mut Text) {
    let usage = usage_of(view);
    let code = Ranges::of(view).code_size();
    let resident = resident(view, &usage);
    for (name, bytes) in [
        ("VmPeak", usage.peak.max(usage.total)),
        ("VmSize", usage.total),
        ("VmLck", usage.locked),
        ("VmPin", 0),
        ("VmHWM", resident),
        ("VmRSS", resident),
        ("RssAnon", (usage.data + usage.stack).min(resident)),
        ("RssFile", resident.saturating_sub(usage.data + usage.stack)),
        ("RssShmem", 0),
        ("VmData", usage.data),
        ("VmStk", usage.stack),
        ("VmExe", code),
        ("VmLib", usage.exec.saturating_sub(code)),
        ("VmPTE", (usage.total / 512).next_multiple_of(PAGE)),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ] {
        put!(out, "{name}:\t{:>8} kB\n", bytes >> 10);
    }
    put!(out, "CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff\n");
}

pub(super) fn status(view: &ProcessView, out: &mut Text) {
    put_identity(view, out);
    if view.thread.is_some() {
        put_memory(view, out);
    }
    let sets = view.process.signal_sets(view.remains.as_deref());
    let held = view.remains.as_ref().map_or_else(|| view.process.creds(), |t| t.creds()).capabilities;
    put!(out, "Threads:\t{}\nSigQ:\t0/{}\n", view.process.told_threads(), view.process.pending_limit());
    for (name, set) in [
        ("SigPnd", sets.own_pending),
        ("ShdPnd", sets.pending & !sets.own_pending),
        ("SigBlk", sets.blocked),
        ("SigIgn", sets.ignored),
        ("SigCgt", sets.caught),
        ("CapInh", held.inheritable),
        ("CapPrm", held.permitted),
        ("CapEff", held.effective),
        ("CapBnd", held.bounding),
        ("CapAmb", held.ambient),
    ] {
        put!(out, "{name}:\t{set:016x}\n");
    }
    let no_new = view.remains.as_ref().is_some_and(|t| t.no_new_privileges.load(Ordering::Relaxed));
    let (mode, filters) = view.remains.as_ref().map_or((Mode::Disabled, 0), |thread| thread.seccomp.told());
    put!(out, "NoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t{filters}\n", u8::from(no_new), mode as u8);
    // What the host does about them, no call of the boundary tells.
    put!(out, "Speculation_Store_Bypass:\tunknown\nSpeculationIndirectBranch:\tunknown\n");
    let mut processors = machine::Processors::get();
    if let Some(mask) = view.remains.as_ref().and_then(|thread| thread.scheduling.affinity()) {
        processors = processors.within(&mask);
    }
    put!(out, "Cpus_allowed:\t{}\nCpus_allowed_list:\t{}\n", processors.mask(), processors.list());
    put!(out, "Mems_allowed:\t1\nMems_allowed_list:\t0\n");
    let (waited, gave_way) = switches(view);
    put!(out, "voluntary_ctxt_switches:\t{waited}\nnonvoluntary_ctxt_switches:\t{gave_way}\n");
}

/// How often a thread waited, and how often it had to give way: the host tells the latter to the thread itself alone.
fn switches(view: &ProcessView) -> (u64, u64) {
    let Some(thread) = view.remains.as_ref() else { return (0, 0) };
    let asks = current_thread().is_some_and(|asker| Arc::ptr_eq(&asker, thread));
    let gave_way = if asks { host().usage(true).involuntary_switches } else { 0 };
    (thread.call.sleeps(), gave_way)
}

pub(super) fn limits(view: &ProcessView, out: &mut Text) {
    put!(out, "{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (number, (name, unit)) in NAMES.into_iter().enumerate() {
        let Some(Limit { soft, hard }) = view.process.limits.get(number) else { continue };
        let text = |value: u64| if value == u64::MAX { "unlimited".into() } else { alloc::format!("{value}") };
        put!(out, "{name:<25} {:<20} {:<20} ", text(soft), text(hard));
        if unit.is_empty() {
            put!(out, "\n");
        } else {
            put!(out, "{unit:<10}\n");
        }
    }
}

/// The limits in the order of their numbers, as Linux calls them there.
const NAMES: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

pub(super) fn io(_: &ProcessView, out: &mut Text) {
    put!(out, "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
}

pub(super) fn schedstat(view: &ProcessView, out: &mut Text) {
    put!(out, "{} 0 1\n", Times::of(view).sum().as_nanos());
}
