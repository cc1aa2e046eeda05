//! /proc/sys: settings of the kernel. They are what this kernel does; those that only the sandbox feels can be changed
//! by its superuser.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use litebox::platform::host;
use litebox::{Error, Result};

use crate::Kernel;
use crate::ipc::IpcKind;
use crate::syscalls::system::{RELEASE, VERSION};
use crate::task::PID_LIMIT;

use super::Global;
use super::tree::{TableEntry, Text, put};

fn refuse(_: &Arc<Kernel>, _: &[u8]) -> Result<()> {
    Err(Error::NotPermitted)
}

/// A setting with a value that never changes; those that the superuser may write elsewhere look as there and refuse.
macro_rules! value {
    ($name:literal, $value:expr) => {
        TableEntry::setting(
            $name,
            0o644,
            |_: &Arc<Kernel>, out: &mut Text| {
                put!(out, "{}\n", $value);
            },
            refuse,
        )
    };
    (fixed $name:literal, $value:expr) => {
        TableEntry::text($name, |_: &Arc<Kernel>, out: &mut Text| {
            put!(out, "{}\n", $value);
        })
    };
}

/// A setting that can be changed: a number between two bounds, kept in an atomic of the kernel.
macro_rules! number {
    ($name:literal, $type:ty, $least:expr, $most:expr, $place:expr) => {
        TableEntry::setting(
            $name,
            0o644,
            |kernel: &Arc<Kernel>, out: &mut Text| {
                put!(out, "{}\n", at(kernel, $place).load(Ordering::Relaxed));
            },
            |kernel: &Arc<Kernel>, text: &[u8]| {
                let wanted: $type = parse(text)?;
                if !($least..=$most).contains(&wanted) {
                    return Err(Error::Invalid);
                }
                at(kernel, $place).store(wanted, Ordering::Relaxed);
                Ok(())
            },
        )
    };
}

/// Applies a place to a kernel; it says of which types the closure is.
fn at<T>(kernel: &Kernel, place: impl FnOnce(&Kernel) -> &T) -> &T {
    place(kernel)
}

/// The id that the next System V object of a kind gets; -1: any.
macro_rules! next_id {
    ($name:literal, $kind:ident) => {
        TableEntry::setting(
            $name,
            0o644,
            |kernel: &Arc<Kernel>, out: &mut Text| {
                put!(
                    out,
                    "{}\n",
                    super::reader_container(kernel).ipc.system_v.next_id(IpcKind::$kind).load(Ordering::Relaxed)
                );
            },
            |kernel: &Arc<Kernel>, text: &[u8]| {
                let wanted: i32 = parse(text)?;
                super::reader_container(kernel).ipc.system_v.next_id(IpcKind::$kind).store(wanted, Ordering::Relaxed);
                Ok(())
            },
        )
    };
}

/// A number as it is written to a setting: with blanks around it, or in hexadecimal.
fn parse<T: TryFrom<u64>>(text: &[u8]) -> Result<T> {
    let text = core::str::from_utf8(text).map_err(|_| Error::Invalid)?.trim_matches(['\0', '\n', ' ', '\t']);
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().and_then(|n| T::try_from(n).ok()).ok_or(Error::Invalid)
}

fn put_uuid(out: &mut Text, mut bytes: [u8; 16]) {
    // Version 4, variant 1: random.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.put(b"-");
        }
        put!(out, "{byte:02x}");
    }
    out.put(b"\n");
}

fn uuid(_: &Arc<Kernel>, out: &mut Text) {
    let mut bytes = [0u8; 16];
    host().random(&mut bytes);
    put_uuid(out, bytes);
}

fn boot_id(kernel: &Arc<Kernel>, out: &mut Text) {
    put_uuid(out, kernel.boot_id);
}

fn hostname(kernel: &Arc<Kernel>, out: &mut Text) {
    out.put(&super::reader_container(kernel).hostname.lock());
    out.put(b"\n");
}

fn core_pattern(kernel: &Arc<Kernel>, out: &mut Text) {
    out.put(&kernel.settings.core_pattern.lock());
    out.put(b"\n");
}

/// Up to the first end of line, as long as Linux keeps it.
#[expect(clippy::unnecessary_wraps, reason = "functions of settings have one shape")]
fn set_core_pattern(kernel: &Arc<Kernel>, text: &[u8]) -> Result<()> {
    const MOST: usize = 127;
    let line = text.iter().copied().take_while(|byte| !matches!(byte, b'\n' | 0)).take(MOST);
    *kernel.settings.core_pattern.lock() = line.collect();
    Ok(())
}

fn max_map_count(kernel: &Arc<Kernel>, out: &mut Text) {
    put!(out, "{}\n", kernel.settings.max_map_count.load(Ordering::Relaxed));
}

fn set_max_map_count(kernel: &Arc<Kernel>, text: &[u8]) -> Result<()> {
    let most = parse::<usize>(text).ok().filter(|n| *n <= MOST).ok_or(Error::Invalid)?;
    kernel.set_max_vmas(most);
    Ok(())
}

pub(super) const SETTINGS: &[TableEntry<Global>] = &[
    TableEntry::directory("fs", FS),
    TableEntry::directory("kernel", KERNEL),
    TableEntry::directory("net", NET),
    TableEntry::directory("vm", VM),
];

const KERNEL: &[TableEntry<Global>] = &[
    value!(fixed "cap_last_cap", 40),
    TableEntry::setting("core_pattern", 0o644, core_pattern, set_core_pattern),
    value!("core_uses_pid", 0),
    value!("dmesg_restrict", 1),
    value!("domainname", "(none)"),
    TableEntry::setting("hostname", 0o644, hostname, refuse),
    value!("kptr_restrict", 1),
    value!("msgmax", 8192),
    value!("msgmnb", 16384),
    next_id!("msg_next_id", Messages),
    value!("msgmni", 32000),
    value!(fixed "ngroups_max", 65536),
    value!(fixed "osrelease", RELEASE),
    value!(fixed "ostype", "Linux"),
    value!("overflowgid", 65534),
    value!("overflowuid", 65534),
    value!("perf_event_paranoid", 3),
    number!("pid_max", i32, 301, PID_LIMIT, |k| &k.settings.pid_max),
    value!("printk", "4\t4\t1\t7"),
    TableEntry::directory("pty", &[value!("max", 4096), value!(fixed "nr", 0), value!("reserve", 1024)]),
    TableEntry::directory(
        "random",
        &[
            TableEntry::text("boot_id", boot_id),
            value!(fixed "entropy_avail", 256),
            value!(fixed "poolsize", 256),
            value!("urandom_min_reseed_secs", 60),
            TableEntry::text("uuid", uuid),
            value!("write_wakeup_threshold", 256),
        ],
    ),
    value!("randomize_va_space", 2),
    value!("sched_rr_timeslice_ms", 100),
    value!("sched_rt_period_us", 1_000_000),
    value!("sched_rt_runtime_us", 950_000),
    TableEntry::directory(
        "seccomp",
        &[
            value!(fixed "actions_avail", "kill_process kill_thread trap errno user_notif trace log allow"),
            value!("actions_logged", "kill_process kill_thread trap errno user_notif trace log"),
        ],
    ),
    value!("sem", "32000\t1024000000\t500\t32000"),
    next_id!("sem_next_id", Semaphores),
    next_id!("shm_next_id", SharedMemory),
    value!("shmall", 18_446_744_073_692_774_399_u64),
    value!("shmmax", 18_446_744_073_692_774_399_u64),
    value!("shmmni", 4096),
    value!("tainted", 0),
    value!("threads-max", 65536),
    value!("unprivileged_bpf_disabled", 2),
    value!(fixed "version", VERSION),
    TableEntry::directory("yama", &[value!("ptrace_scope", 1)]),
];

const VM: &[TableEntry<Global>] = &[
    value!("dirty_background_ratio", 10),
    value!("dirty_ratio", 20),
    value!("legacy_va_layout", 0),
    TableEntry::setting("max_map_count", 0o644, max_map_count, set_max_map_count),
    value!("mmap_min_addr", 65536),
    value!("nr_hugepages", 0),
    value!("nr_overcommit_hugepages", 0),
    value!("oom_kill_allocating_task", 0),
    value!("overcommit_kbytes", 0),
    value!("overcommit_memory", 0),
    value!("overcommit_ratio", 50),
    value!("panic_on_oom", 0),
    value!("swappiness", 60),
];

/// The most of anything that a setting can allow.
const MOST: usize = i32::MAX as usize;

const FS: &[TableEntry<Global>] = &[
    value!("aio-max-nr", crate::aio::MOST_ASKED),
    TableEntry::text("aio-nr", |kernel: &Arc<Kernel>, out: &mut Text| {
        put!(out, "{}\n", kernel.aio.asked());
    }),
    value!("dir-notify-enable", 1),
    TableEntry::directory("epoll", &[value!("max_user_watches", 1_048_576)]),
    value!("file-max", 1_048_576),
    value!(fixed "file-nr", "0\t0\t1048576"),
    TableEntry::directory(
        "inotify",
        &[
            number!("max_queued_events", usize, 0, MOST, |k| &k.vfs.watches.limits.events),
            number!("max_user_instances", usize, 0, MOST, |k| &k.vfs.watches.limits.instances),
            number!("max_user_watches", usize, 0, MOST, |k| &k.vfs.watches.limits.watches),
        ],
    ),
    number!("lease-break-time", u32, 0, i32::MAX as u32, |k| &k.vfs.leases.break_time),
    value!("leases-enable", 1),
    TableEntry::directory(
        "mqueue",
        &[
            value!("msg_default", 10),
            value!("msg_max", 10),
            value!("msgsize_default", 8192),
            value!("msgsize_max", 8192),
            value!("queues_max", 256),
        ],
    ),
    value!("nr_open", 1_048_576),
    value!("overflowgid", 65534),
    value!("overflowuid", 65534),
    number!("pipe-max-size", u32, 4096, litebox::pipe::MOST_BYTES as u32, |k| &k.settings.pipes.most_bytes),
    number!("pipe-user-pages-hard", usize, 0, usize::MAX, |k| &k.settings.pipes.hard),
    number!("pipe-user-pages-soft", usize, 0, usize::MAX, |k| &k.settings.pipes.soft),
    value!("protected_fifos", 0),
    value!("protected_hardlinks", 0),
    value!("protected_regular", 0),
    value!("protected_symlinks", 0),
    value!("suid_dumpable", 0),
];

const NET: &[TableEntry<Global>] = &[
    TableEntry::directory(
        "core",
        &[
            value!("netdev_max_backlog", 1000),
            value!("optmem_max", 131_072),
            value!("rmem_default", 212_992),
            value!("rmem_max", 4_194_304),
            value!("somaxconn", 4096),
            value!("wmem_default", 212_992),
            value!("wmem_max", 4_194_304),
        ],
    ),
    TableEntry::directory(
        "ipv4",
        &[
            value!("ip_default_ttl", 64),
            value!("ip_forward", 0),
            value!("ip_local_port_range", "32768\t60999"),
            value!("ip_local_reserved_ports", ""),
            value!("ip_nonlocal_bind", 0),
            value!("ip_unprivileged_port_start", 0),
            value!("ping_group_range", "0\t2147483647"),
            value!("tcp_available_congestion_control", "cubic reno"),
            value!("tcp_congestion_control", "cubic"),
            value!("tcp_fastopen", 1),
            value!("tcp_fin_timeout", 60),
            value!("tcp_keepalive_intvl", 75),
            value!("tcp_keepalive_probes", 9),
            value!("tcp_keepalive_time", 7200),
            value!("tcp_max_syn_backlog", 4096),
            value!("tcp_rmem", "4096\t131072\t33554432"),
            value!("tcp_syn_retries", 6),
            value!("tcp_syncookies", 1),
            value!("tcp_tw_reuse", 2),
            value!("tcp_wmem", "4096\t16384\t4194304"),
        ],
    ),
    TableEntry::directory(
        "ipv6",
        &[
            value!("bindv6only", 0),
            TableEntry::directory(
                "conf",
                &[
                    TableEntry::directory("all", &[value!("disable_ipv6", 0), value!("forwarding", 0)]),
                    TableEntry::directory("default", &[value!("disable_ipv6", 0), value!("forwarding", 0)]),
                    TableEntry::directory("lo", &[value!("disable_ipv6", 0), value!("forwarding", 0)]),
                ],
            ),
        ],
    ),
    TableEntry::directory("unix", &[value!("max_dgram_qlen", 10)]),
];
