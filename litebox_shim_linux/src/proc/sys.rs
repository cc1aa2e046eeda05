//! /sys: what runtimes ask of processors and memory; and the one control group.

mod caches;

use alloc::sync::{Arc, Weak};

use litebox::fs::{FileSystem, FileType, Inode};
use litebox::{Error, Result};

use crate::Kernel;

use super::machine::{Processors, memory_total};
use super::tree::{DynamicNames, EntryKind, Node, Subject, TableEntry, Text, put};
use super::{Global, ROOT_INO, number};

const SYSFS_MAGIC: u64 = 0x6265_6572;
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// /sys.
pub struct SysFs {
    global: Global,
}

impl SysFs {
    /// The machine as guests of `kernel` see it; `dev` is the file system's device number.
    pub fn new(kernel: Weak<Kernel>, dev: u64) -> Arc<Self> {
        Arc::new(Self { global: Global { kernel, dev, magic: SYSFS_MAGIC } })
    }
}

impl FileSystem for SysFs {
    fn root(&self) -> Arc<dyn Inode> {
        Node::new(self.global.clone(), &ROOT, ROOT_INO)
    }
    fn type_name(&self) -> &'static str {
        "sysfs"
    }
}

/// /sys/fs/cgroup: the control group that everything is in.
pub struct CgroupFs {
    global: Global,
}

impl CgroupFs {
    /// The limits of `kernel`; `dev` is the file system's device number.
    pub fn new(kernel: Weak<Kernel>, dev: u64) -> Arc<Self> {
        Arc::new(Self { global: Global { kernel, dev, magic: CGROUP2_MAGIC } })
    }
}

impl FileSystem for CgroupFs {
    fn root(&self) -> Arc<dyn Inode> {
        Node::new(self.global.clone(), &GROUP, ROOT_INO)
    }
    fn type_name(&self) -> &'static str {
        "cgroup2"
    }
}

/// A file that says always the same.
macro_rules! value {
    ($name:literal, $value:expr) => {
        TableEntry::text($name, |_, out: &mut Text| {
            put!(out, "{}\n", $value);
        })
    };
}

use value;

/// The loopback device: nothing is counted on it.
const LOOPBACK: &[TableEntry<Global>] = &[
    value!("addr_assign_type", 0),
    value!("addr_len", 6),
    value!("address", "00:00:00:00:00:00"),
    value!("broadcast", "00:00:00:00:00:00"),
    value!("carrier", 1),
    value!("dev_id", "0x0"),
    value!("dormant", 0),
    value!("flags", "0x9"),
    value!("ifindex", 1),
    value!("iflink", 1),
    value!("link_mode", 0),
    value!("mtu", 65536),
    value!("operstate", "unknown"),
    TableEntry::directory(
        "statistics",
        &[
            value!("rx_bytes", 0),
            value!("rx_dropped", 0),
            value!("rx_errors", 0),
            value!("rx_packets", 0),
            value!("tx_bytes", 0),
            value!("tx_dropped", 0),
            value!("tx_errors", 0),
            value!("tx_packets", 0),
        ],
    ),
    value!("tx_queue_len", 1000),
    value!("type", 772),
    value!("uevent", "INTERFACE=lo\nIFINDEX=1"),
];

static ROOT: TableEntry<Global> = TableEntry::directory(
    "",
    &[
        TableEntry::directory("block", &[]),
        TableEntry::directory("bus", &[]),
        TableEntry::directory(
            "class",
            &[
                TableEntry::directory("block", &[]),
                TableEntry::directory(
                    "net",
                    &[TableEntry::link("lo", |_| Ok(b"../../devices/virtual/net/lo".to_vec()))],
                ),
            ],
        ),
        TableEntry::directory(
            "devices",
            &[
                TableEntry::directory(
                    "system",
                    &[
                        TableEntry {
                            name: "cpu",
                            permissions: 0o755,
                            kind: EntryKind::Directory(
                                &[
                                    value!("isolated", ""),
                                    value!("kernel_max", 1023),
                                    TableEntry::text("offline", |_, out| {
                                        put!(out, "\n");
                                    }),
                                    TableEntry::text("online", processor_list),
                                    TableEntry::text("possible", processor_list),
                                    TableEntry::text("present", processor_list),
                                ],
                                Some(DynamicNames {
                                    lookup: processor_called,
                                    list: list_processors,
                                    file_type: FileType::Directory,
                                }),
                            ),
                        },
                        TableEntry::directory(
                            "node",
                            &[
                                value!("has_cpu", 0),
                                value!("has_memory", 0),
                                value!("has_normal_memory", 0),
                                TableEntry::directory(
                                    "node0",
                                    &[
                                        TableEntry::text("cpulist", processor_list),
                                        TableEntry::text("cpumap", processor_mask),
                                        value!("distance", 10),
                                        TableEntry::text("meminfo", node_memory),
                                    ],
                                ),
                                value!("online", 0),
                                value!("possible", 0),
                            ],
                        ),
                    ],
                ),
                TableEntry::directory(
                    "virtual",
                    &[TableEntry::directory("net", &[TableEntry::directory("lo", LOOPBACK)])],
                ),
            ],
        ),
        TableEntry::directory("dev", &[TableEntry::directory("block", &[]), TableEntry::directory("char", &[])]),
        TableEntry::directory("firmware", &[]),
        TableEntry::directory("fs", &[TableEntry::directory("cgroup", &[])]),
        TableEntry::directory(
            "kernel",
            &[TableEntry::directory(
                "mm",
                &[
                    TableEntry::directory("hugepages", &[]),
                    TableEntry::directory(
                        "transparent_hugepage",
                        &[
                            value!("defrag", "always defer defer+madvise [madvise] never"),
                            value!("enabled", "always [madvise] never"),
                            value!("hpage_pmd_size", 2_097_152),
                            value!("shmem_enabled", "always within_size advise [never] deny force"),
                            value!("use_zero_page", 1),
                        ],
                    ),
                ],
            )],
        ),
        TableEntry::directory("module", &[]),
    ],
);

fn processor_list(_: &Arc<Kernel>, out: &mut Text) {
    put!(out, "{}\n", Processors::get().list());
}

fn processor_mask(_: &Arc<Kernel>, out: &mut Text) {
    put!(out, "{}\n", Processors::get().mask());
}

fn node_memory(kernel: &Arc<Kernel>, out: &mut Text) {
    let total = memory_total(kernel) / 1024;
    put!(out, "Node 0 MemTotal:       {total:>8} kB\nNode 0 MemFree:        {total:>8} kB\n");
}

fn processor_called(global: &Global, name: &[u8], ino: u64) -> Result<Arc<dyn Inode>> {
    let cpu = name.strip_prefix(b"cpu").and_then(number).ok_or(Error::NotFound)?;
    let processors = Processors::get();
    let place = processors.numbers().iter().position(|n| i64::from(*n) == i64::from(cpu)).ok_or(Error::NotFound)?;
    let subject = OfProcessor { global: global.clone(), place };
    Ok(Node::new(subject, &PROCESSOR, ino))
}

#[expect(clippy::unnecessary_wraps, reason = "other directories' children may be gone")]
fn list_processors(_: &Global, from: u64, sink: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
    for cpu in Processors::get().numbers() {
        if u64::from(*cpu) >= from && !sink(u64::from(*cpu), alloc::format!("cpu{cpu}").as_bytes()) {
            break;
        }
    }
    Ok(())
}

/// One processor: the how-manieth it is.
#[derive(Clone)]
struct OfProcessor {
    global: Global,
    place: usize,
}

impl Subject for OfProcessor {
    type Snapshot = Self;
    fn view(&self) -> Result<Self> {
        Ok(self.clone())
    }
    fn dev(&self) -> u64 {
        self.global.dev
    }
    fn magic(&self) -> u64 {
        self.global.magic
    }
}

static PROCESSOR: TableEntry<OfProcessor> = TableEntry::directory(
    "",
    &[
        caches::DIRECTORY,
        value!("online", 1),
        TableEntry::directory(
            "topology",
            &[
                TableEntry::text("core_cpus", own_mask),
                TableEntry::text("core_cpus_list", own_list),
                TableEntry::text("core_id", |own: &OfProcessor, out| {
                    put!(out, "{}\n", own.place);
                }),
                TableEntry::text("core_siblings", all_mask),
                TableEntry::text("core_siblings_list", all_list),
                TableEntry::text("package_cpus", all_mask),
                TableEntry::text("package_cpus_list", all_list),
                value!("physical_package_id", 0),
                TableEntry::text("thread_siblings", own_mask),
                TableEntry::text("thread_siblings_list", own_list),
            ],
        ),
    ],
);

fn own_list(own: &OfProcessor, out: &mut Text) {
    put!(out, "{}\n", Processors::get().numbers().get(own.place).copied().unwrap_or(0));
}

fn own_mask(own: &OfProcessor, out: &mut Text) {
    put!(out, "{}\n", Processors::get().only(own.place).mask());
}

fn all_list(_: &OfProcessor, out: &mut Text) {
    put!(out, "{}\n", Processors::get().list());
}

fn all_mask(_: &OfProcessor, out: &mut Text) {
    put!(out, "{}\n", Processors::get().mask());
}

static GROUP: TableEntry<Global> = TableEntry::directory(
    "",
    &[
        value!("cgroup.controllers", "cpuset cpu memory pids"),
        TableEntry::text("cgroup.procs", |kernel: &Arc<Kernel>, out| {
            let reader = super::reader_container(kernel);
            for process in kernel.processes().iter().filter(|process| reader.sees(&process.container)) {
                put!(out, "{}\n", process.pid);
            }
        }),
        value!("cgroup.subtree_control", ""),
        value!("cgroup.type", "domain"),
        value!("cpu.max", "max 100000"),
        value!("cpu.weight", 100),
        TableEntry::text("cpuset.cpus.effective", processor_list),
        TableEntry::text("memory.current", |kernel: &Arc<Kernel>, out| {
            put!(out, "{}\n", super::machine::memory_used(kernel));
        }),
        value!("memory.high", "max"),
        TableEntry::text("memory.max", |kernel: &Arc<Kernel>, out| match kernel.config.memory_limit {
            Some(limit) => put!(out, "{limit}\n"),
            None => put!(out, "max\n"),
        }),
        value!("memory.swap.max", 0),
        TableEntry::text("pids.current", |kernel: &Arc<Kernel>, out| {
            put!(out, "{}\n", kernel.processes().iter().map(|p| p.thread_count()).sum::<u32>());
        }),
        TableEntry::text("pids.max", |kernel: &Arc<Kernel>, out| match kernel.config.most_tasks {
            0 => put!(out, "max\n"),
            most => put!(out, "{most}\n"),
        }),
    ],
);
