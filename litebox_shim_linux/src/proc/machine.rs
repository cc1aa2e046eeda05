//! What /proc says of the machine: processors, memory, load, devices.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
#[cfg(target_arch = "x86")]
use core::arch::x86::{__cpuid, __cpuid_count};
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::fmt::Write;
use core::time::Duration;

use litebox::platform::{ClockId, Instant, host};

use crate::Kernel;
use crate::syscalls::system::{RELEASE, VERSION};

use super::Global;
use super::times::{Times, ticks};
use super::tree::{TableEntry, Text, put};

/// Bytes of an affinity mask.
const MASK_BYTES: usize = 128;
const KIB: u64 = 1024;

/// Time from the start of the host to `at`, as CLOCK_BOOTTIME counts it: every program can read that clock, and all
/// that is told must agree.
pub(crate) fn since_boot(at: Instant) -> Duration {
    let suspended = host().now(ClockId::Boottime).saturating_sub(host().now(ClockId::Monotonic));
    // Less is the time between the two questions.
    let suspended = if suspended < Duration::from_millis(100) { Duration::ZERO } else { suspended };
    Duration::from_nanos(at.0).saturating_add(suspended)
}

/// The processors that guests may use, by the host's numbers.
pub(super) struct Processors(Vec<u32>);

impl Processors {
    pub fn get() -> Self {
        let mut mask = [0u8; MASK_BYTES];
        let len = host().affinity(&mut mask).min(MASK_BYTES);
        let bits = mask.iter().take(len).enumerate();
        let mut numbers: Vec<u32> = bits
            .flat_map(|(i, byte)| (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| i as u32 * 8 + bit))
            .collect();
        if numbers.is_empty() {
            numbers.push(0);
        }
        Self(numbers)
    }
    /// Those of them in a mask of an affinity.
    pub fn within(&self, mask: &[u8]) -> Self {
        let is_in = |n: &&u32| mask.get(**n as usize / 8).is_some_and(|byte| byte & (1 << (**n % 8)) != 0);
        Self(self.0.iter().filter(is_in).copied().collect())
    }
    pub fn count(&self) -> usize {
        self.0.len()
    }
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }
    /// The one at this place.
    pub fn only(&self, place: usize) -> Self {
        Self(self.0.get(place).copied().into_iter().collect())
    }
    /// As a list of ranges: `0-3,8`.
    pub fn list(&self) -> String {
        let mut text = String::new();
        let mut at = 0;
        while let Some(first) = self.0.get(at) {
            let mut last = *first;
            at += 1;
            while self.0.get(at) == Some(&(last + 1)) {
                last += 1;
                at += 1;
            }
            let comma = if text.is_empty() { "" } else { "," };
            let _ = if *first == last { write!(text, "{comma}{first}") } else { write!(text, "{comma}{first}-{last}") };
        }
        text
    }
    /// As words of 32 bits in hexadecimal, the highest first.
    pub fn mask(&self) -> String {
        let highest = self.0.last().copied().unwrap_or(0);
        let mut text = String::new();
        for word in (0..=highest / 32).rev() {
            let bits = self.0.iter().filter(|n| **n / 32 == word).fold(0u32, |bits, n| bits | 1 << (n % 32));
            let _ = if text.is_empty() { write!(text, "{bits:x}") } else { write!(text, ",{bits:08x}") };
        }
        text
    }
}

/// Bytes of memory the sandbox may use.
pub(crate) fn memory_total(kernel: &Kernel) -> u64 {
    let machine = match kernel.config.machine_memory {
        0 => host().arena().1 as u64,
        bytes => bytes,
    };
    kernel.config.memory_limit.map_or(machine, |limit| limit.min(machine))
}

/// Bytes of memory that guests' mappings may take at most now.
pub(crate) fn memory_used(kernel: &Kernel) -> u64 {
    let data = |p: &Arc<crate::Process>| {
        let usage = p.mm.core().usage();
        (usage.data + usage.stack) as u64
    };
    kernel.processes().iter().map(data).sum()
}

pub(super) fn nothing(_: &Arc<Kernel>, _: &mut Text) {}

pub(super) fn cmdline(_: &Arc<Kernel>, out: &mut Text) {
    put!(out, "litebox\n");
}

pub(super) fn cgroups(_: &Arc<Kernel>, out: &mut Text) {
    put!(out, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    for name in ["cpuset", "cpu", "cpuacct", "memory", "pids"] {
        put!(out, "{name}\t0\t1\t1\n");
    }
}

pub(super) fn devices(_: &Arc<Kernel>, out: &mut Text) {
    put!(
        out,
        "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n"
    );
}

/// The file systems that there are, by their numbers in sysfs(2).
pub(crate) const FILE_SYSTEMS: [&str; 10] =
    ["sysfs", "tmpfs", "proc", "cgroup2", "devtmpfs", "sockfs", "pipefs", "devpts", "overlay", "mqueue"];

pub(super) fn filesystems(_: &Arc<Kernel>, out: &mut Text) {
    for name in FILE_SYSTEMS {
        put!(out, "nodev\t{name}\n");
    }
}

pub(super) fn interrupts(_: &Arc<Kernel>, out: &mut Text) {
    put!(out, "           ");
    for number in Processors::get().numbers() {
        put!(out, "{:<11}", alloc::format!("CPU{number}"));
    }
    put!(out, "\n");
}

pub(super) fn partitions(_: &Arc<Kernel>, out: &mut Text) {
    put!(out, "major minor  #blocks  name\n\n");
}

pub(super) fn swaps(_: &Arc<Kernel>, out: &mut Text) {
    put!(out, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
}

/// Threads there are, and of them those that run guest code now.
fn threads(kernel: &Kernel) -> (u32, u32) {
    let mut all = 0;
    let mut running = 0;
    for process in kernel.processes() {
        for thread in process.threads() {
            all += 1;
            running += u32::from(thread.host.mode.load(core::sync::atomic::Ordering::Relaxed) == 1);
        }
    }
    // Who asks runs too.
    (all, running + 1)
}

pub(super) fn loadavg(kernel: &Arc<Kernel>, out: &mut Text) {
    let (all, running) = threads(kernel);
    let last = kernel.processes().iter().flat_map(|p| p.threads()).map(|t| t.tid()).max().unwrap_or(0);
    put!(out, "0.00 0.00 0.00 {}/{all} {last}\n", running.min(all.max(1)));
}

pub(super) fn uptime(kernel: &Arc<Kernel>, out: &mut Text) {
    let up = since_boot(host().instant());
    let idle = Times::of_all(kernel).idle(kernel, up, Processors::get().count());
    let hundredths = |time: Duration| (time.as_secs(), time.subsec_millis() / 10);
    let (up, idle) = (hundredths(up), hundredths(idle));
    put!(out, "{}.{:02} {}.{:02}\n", up.0, up.1, idle.0, idle.1);
}

pub(super) fn version(_: &Arc<Kernel>, out: &mut Text) {
    put!(out, "Linux version {RELEASE} (litebox@litebox) (rustc) {VERSION}\n");
}

pub(super) fn stat(kernel: &Arc<Kernel>, out: &mut Text) {
    let processors = Processors::get();
    let up = since_boot(host().instant());
    let used = Times::of_all(kernel);
    let (user, system) = (ticks(used.user), ticks(used.system));
    let count = processors.count() as u64;
    let idle = ticks(used.idle(kernel, up, processors.count()));
    put!(out, "cpu  {user} 0 {system} {idle} 0 0 0 0 0 0\n");
    for number in processors.numbers() {
        put!(out, "cpu{number} {} 0 {} {} 0 0 0 0 0 0\n", user / count, system / count, idle / count);
    }
    let born = host().now(ClockId::Realtime).saturating_sub(up).as_secs();
    let (all, running) = threads(kernel);
    put!(out, "intr 0\nctxt 0\nbtime {born}\nprocesses {all}\nprocs_running {running}\nprocs_blocked 0\n");
    put!(out, "softirq 0 0 0 0 0 0 0 0 0 0 0\n");
}

pub(super) fn vmstat(kernel: &Arc<Kernel>, out: &mut Text) {
    let free = memory_total(kernel).saturating_sub(memory_used(kernel)) / 4096;
    put!(out, "nr_free_pages {free}\n");
    for name in
        ["nr_dirty", "nr_writeback", "pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault", "oom_kill"]
    {
        put!(out, "{name} 0\n");
    }
}

pub(super) fn meminfo(kernel: &Arc<Kernel>, out: &mut Text) {
    let total = memory_total(kernel) / KIB;
    let used = (memory_used(kernel) / KIB).min(total);
    let free = total - used;
    for (name, kib) in [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("Active(anon)", used),
        ("Inactive(anon)", 0),
        ("Active(file)", 0),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", used),
        ("Mapped", 0),
        ("Shmem", 0),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", total),
        ("Committed_AS", used),
        ("VmallocTotal", 34_359_738_367),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
        ("Percpu", 0),
        ("AnonHugePages", 0),
        ("ShmemHugePages", 0),
        ("ShmemPmdMapped", 0),
        ("FileHugePages", 0),
        ("FilePmdMapped", 0),
    ] {
        put!(out, "{:<15} {kib:>8} kB\n", alloc::format!("{name}:"));
    }
    for name in ["HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"] {
        put!(out, "{:<15} {:>8}\n", alloc::format!("{name}:"), 0);
    }
    put!(out, "{:<15} {:>8} kB\n{:<15} {:>8} kB\n", "Hugepagesize:", 2048, "Hugetlb:", 0);
}

/// Directory of System V objects.
pub(super) const SYSTEM_V: &[TableEntry<Global>] = &[
    TableEntry::text("msg", |kernel: &Arc<Kernel>, out| {
        put!(
            out,
            "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n"
        );
        let _ = super::reader_container(kernel).ipc.system_v.list_queues(out);
    }),
    TableEntry::text("sem", |kernel: &Arc<Kernel>, out| {
        put!(out, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
        let _ = super::reader_container(kernel).ipc.system_v.list_sets(out);
    }),
    TableEntry::text("shm", |kernel: &Arc<Kernel>, out| {
        put!(
            out,
            "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n"
        );
        let _ = super::reader_container(kernel).ipc.system_v.list_segments(out);
    }),
];

/// What the processor answers in eax, ebx, ecx, edx; zeros where it has no such leaf.
pub(super) fn cpuid(leaf: u32, sub: u32) -> [u32; 4] {
    let highest = |base| {
        #[allow(unused_unsafe, reason = "safe in newer compilers")]
        // SAFETY: every x86-64 processor has cpuid.
        unsafe { __cpuid(base) }.eax
    };
    if leaf > highest(leaf & 0x8000_0000) {
        return [0; 4];
    }
    #[allow(unused_unsafe, reason = "safe in newer compilers")]
    // SAFETY: as above.
    let r = unsafe { __cpuid_count(leaf, sub) };
    [r.eax, r.ebx, r.ecx, r.edx]
}

fn text_of(words: &[u32]) -> String {
    let bytes = words.iter().flat_map(|w| w.to_le_bytes()).take_while(|b| *b != 0);
    let text: String = bytes.map(|b| if b.is_ascii_graphic() { char::from(b) } else { ' ' }).collect();
    text.trim().into()
}

/// Names of feature bits by leaf, subleaf and register (1 ebx, 2 ecx, 3 edx): as Linux calls them, in Linux's order;
/// empty: not shown.
type FeatureNames = (u32, u32, usize, [&'static str; 32]);

#[rustfmt::skip]
const FEATURES: [FeatureNames; 7] = [
    (1, 0, 3, ["fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "", "sep", "mtrr", "pge", "mca", "cmov", "pat",
        "pse36", "pn", "clflush", "", "dts", "acpi", "mmx", "fxsr", "sse", "sse2", "ss", "ht", "tm", "ia64", "pbe"]),
    (0x8000_0001, 0, 3, ["", "", "", "", "", "", "", "", "", "", "", "syscall", "", "", "", "", "", "", "", "mp", "nx", "", "mmxext",
        "", "", "fxsr_opt", "pdpe1gb", "rdtscp", "", "lm", "3dnowext", "3dnow"]),
    (1, 0, 2, ["pni", "pclmulqdq", "dtes64", "monitor", "ds_cpl", "vmx", "smx", "est", "tm2", "ssse3", "cid", "sdbg", "fma", "cx16",
        "xtpr", "pdcm", "", "pcid", "dca", "sse4_1", "sse4_2", "x2apic", "movbe", "popcnt", "tsc_deadline_timer", "aes", "xsave", "",
        "avx", "f16c", "rdrand", "hypervisor"]),
    (0x8000_0001, 0, 2, ["lahf_lm", "cmp_legacy", "svm", "extapic", "cr8_legacy", "abm", "sse4a", "misalignsse", "3dnowprefetch",
        "osvw", "ibs", "xop", "skinit", "wdt", "", "lwp", "fma4", "tce", "", "nodeid_msr", "", "tbm", "topoext", "perfctr_core",
        "perfctr_nb", "", "bpext", "ptsc", "perfctr_llc", "mwaitx", "", ""]),
    (7, 0, 1, ["fsgsbase", "tsc_adjust", "", "bmi1", "hle", "avx2", "", "smep", "bmi2", "erms", "invpcid", "rtm", "cqm", "", "mpx",
        "rdt_a", "avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma", "", "clflushopt", "clwb", "intel_pt", "avx512pf",
        "avx512er", "avx512cd", "sha_ni", "avx512bw", "avx512vl"]),
    (7, 0, 2, ["", "avx512vbmi", "umip", "pku", "ospke", "waitpkg", "avx512_vbmi2", "", "gfni", "vaes", "vpclmulqdq", "avx512_vnni",
        "avx512_bitalg", "tme", "avx512_vpopcntdq", "", "la57", "", "", "", "", "", "rdpid", "", "bus_lock_detect", "cldemote", "",
        "movdiri", "movdir64b", "enqcmd", "", ""]),
    (7, 0, 3, ["", "", "avx512_4vnniw", "avx512_4fmaps", "fsrm", "", "", "", "avx512_vp2intersect", "", "md_clear", "", "", "",
        "serialize", "", "tsxldtrk", "", "pconfig", "arch_lbr", "ibt", "", "amx_bf16", "avx512_fp16", "amx_tile", "amx_int8", "", "",
        "flush_l1d", "arch_capabilities", "", ""]),
];

fn put_flags(out: &mut Text) {
    put!(out, "flags\t\t:");
    for (leaf, sub, register, names) in &FEATURES {
        let bits = cpuid(*leaf, *sub).get(*register).copied().unwrap_or(0);
        for (bit, name) in names.iter().enumerate() {
            if bits & (1 << bit) != 0 && !name.is_empty() {
                put!(out, " {name}");
            }
        }
    }
    put!(out, "\n");
}

/// Family, model and stepping, from the signature in leaf 1.
fn signature(eax: u32) -> (u32, u32, u32) {
    let (family, model) = ((eax >> 8) & 15, (eax >> 4) & 15);
    let full_family = if family == 15 { family + ((eax >> 20) & 255) } else { family };
    let full_model = if family == 6 || family == 15 { model | ((eax >> 12) & 0xf0) } else { model };
    (full_family, full_model, eax & 15)
}

pub(super) fn cpuinfo(_: &Arc<Kernel>, out: &mut Text) {
    let [highest, b, c, d] = cpuid(0, 0);
    let vendor = text_of(&[b, d, c]);
    let brand: Vec<u32> = (0x8000_0002..=0x8000_0004).flat_map(|leaf| cpuid(leaf, 0)).collect();
    let (family, model, stepping) = signature(cpuid(1, 0)[0]);
    let line_size = ((cpuid(1, 0)[1] >> 8) & 255) * 8;
    let cache = cpuid(0x8000_0006, 0)[2] >> 16;
    let sizes = cpuid(0x8000_0008, 0)[0];
    let mhz = cpuid(0x16, 0)[0] & 0xffff;
    let processors = Processors::get();
    for (core, number) in processors.numbers().iter().enumerate() {
        put!(out, "processor\t: {number}\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n");
        put!(out, "model name\t: {}\nstepping\t: {stepping}\n", text_of(&brand));
        put!(out, "cpu MHz\t\t: {mhz}.000\ncache size\t: {cache} KB\nphysical id\t: 0\n");
        put!(out, "siblings\t: {0}\ncore id\t\t: {core}\ncpu cores\t: {0}\n", processors.count());
        put!(out, "apicid\t\t: {core}\ninitial apicid\t: {core}\nfpu\t\t: yes\nfpu_exception\t: yes\n");
        put!(out, "cpuid level\t: {highest}\nwp\t\t: yes\n");
        put_flags(out);
        put!(out, "bugs\t\t:\nbogomips\t: {}.00\nclflush size\t: {line_size}\n", mhz * 2);
        put!(out, "cache_alignment\t: {line_size}\n");
        put!(out, "address sizes\t: {} bits physical, {} bits virtual\n", sizes & 255, (sizes >> 8) & 255);
        put!(out, "power management:\n\n");
    }
}
