//! /proc and /sys: what programs learn of processes, of the machine and of the kernel. proc(5), sysfs(5).
//!
//! - `tree`: directories as tables; everything else here fills tables.
//! - `process`, `status`, `maps`, `descriptors`: /proc/PID. `mounts`: the tree of mounts. `net`: /proc/net.
//! - `login`, `timers`, `times`: single files of those. `machine`: processors, memory, load. `settings`: /proc/sys.
//!   [`sys`]: /sys and the control groups.
//!
//! Nothing of the host appears but what a program can measure anyway: the processor and how many of them it may use.

mod descriptors;
mod locks;
mod login;
pub(crate) mod machine;
mod map_files;
mod maps;
mod mounts;
mod net;
mod process;
mod scheduler;
mod settings;
mod status;
pub mod sys;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
mod timers;
mod times;
mod tree;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use litebox::event::Events;
use litebox::fs::{FileSystem, FileType, Inode, Location};
use litebox::platform::host;
use litebox::{Error, Result};

use crate::task::container::Container;
use crate::{Kernel, Process, Thread};
use process::OfProcess;
use tree::{DynamicNames, EntryKind, MadeCount, Node, Subject, TableEntry};

const PROC_MAGIC: u64 = 0x9fa0;
const ROOT_INO: u64 = 1;

/// /proc.
pub struct ProcFs {
    global: Global,
}

impl ProcFs {
    /// The processes of `kernel`; `dev` is the file system's device number.
    pub fn new(kernel: Weak<Kernel>, dev: u64) -> Arc<Self> {
        Arc::new(Self { global: Global { kernel, dev, magic: PROC_MAGIC } })
    }
}

impl FileSystem for ProcFs {
    fn root(&self) -> Arc<dyn Inode> {
        Node::new(self.global.clone(), &ROOT, ROOT_INO)
    }
    fn type_name(&self) -> &'static str {
        "proc"
    }
}

/// The kernel as what a tree is about.
#[derive(Clone)]
pub(crate) struct Global {
    pub kernel: Weak<Kernel>,
    pub dev: u64,
    pub magic: u64,
}

impl Subject for Global {
    type Snapshot = Arc<Kernel>;
    fn view(&self) -> Result<Arc<Kernel>> {
        self.kernel.upgrade().ok_or(Error::NoProcess)
    }
    fn dev(&self) -> u64 {
        self.dev
    }
    fn magic(&self) -> u64 {
        self.magic
    }
    fn polled(&self, _entry: &TableEntry<Self>) -> Option<Events> {
        Some(Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM)
    }
    fn made(&self, entry: &TableEntry<Self>) -> MadeCount {
        // A directory for each process lies in the root of /proc alone.
        let count = |kernel: Arc<Kernel>| {
            let reader = reader_container(&kernel);
            kernel.processes().iter().filter(|p| reader.sees(&p.container)).count()
        };
        let processes = if core::ptr::eq(entry, &raw const ROOT) { self.view().map_or(0, count) } else { 0 };
        MadeCount { directories: processes as u64, size: 0 }
    }
}

static ROOT: TableEntry<Global> = TableEntry {
    name: "",
    permissions: 0o555,
    kind: EntryKind::Directory(
        &[
            TableEntry::text("cgroups", machine::cgroups),
            TableEntry::text("cmdline", machine::cmdline),
            TableEntry::text("cpuinfo", machine::cpuinfo),
            TableEntry::text("crypto", machine::nothing),
            TableEntry::text("devices", machine::devices),
            TableEntry::text("diskstats", machine::nothing),
            TableEntry::text("filesystems", machine::filesystems),
            TableEntry::text("interrupts", machine::interrupts),
            TableEntry::text("loadavg", machine::loadavg),
            TableEntry::text("locks", locks::locks),
            TableEntry::text("meminfo", machine::meminfo),
            TableEntry::text("modules", machine::nothing),
            TableEntry::link("mounts", |_| Ok(b"self/mounts".to_vec())),
            TableEntry::link("net", |_| Ok(b"self/net".to_vec())),
            TableEntry::text("partitions", machine::partitions),
            TableEntry::link("self", |_| current_thread().map(|t| decimal(t.process.pid)).ok_or(Error::NotFound)),
            TableEntry::text("stat", machine::stat),
            TableEntry::text("swaps", machine::swaps),
            TableEntry::directory("sys", settings::SETTINGS),
            TableEntry::directory("sysvipc", machine::SYSTEM_V),
            TableEntry::link("thread-self", |_| {
                let thread = current_thread().ok_or(Error::NotFound)?;
                Ok(alloc::format!("{}/task/{}", thread.process.pid, thread.tid()).into_bytes())
            }),
            TableEntry::text("uptime", machine::uptime),
            TableEntry::text("version", machine::version),
            TableEntry::text("vmstat", machine::vmstat),
        ],
        Some(DynamicNames { lookup: process_called, list: list_processes, file_type: FileType::Directory }),
    ),
};

/// The directory of the process with this id; that of a thread too, though it is not listed.
fn process_called(global: &Global, name: &[u8], ino: u64) -> Result<Arc<dyn Inode>> {
    let id = number(name).ok_or(Error::NotFound)?;
    let kernel = global.view()?;
    let reader = reader_container(&kernel);
    let subject = if let Some(process) = kernel.process(id).filter(|p| reader.sees(&p.container)) {
        OfProcess::new(global, &process)
    } else {
        let has_thread = |p: &Arc<Process>| reader.sees(&p.container) && p.thread(id).is_some();
        let process = kernel.processes().into_iter().find(has_thread).ok_or(Error::NotFound)?;
        OfProcess::seen_from(global, &process, id)
    };
    Ok(Node::new(subject, &process::DIRECTORY, ino))
}

/// The process whose directory this is: EBADF if it is none, ESRCH if the process is gone.
pub(crate) fn process_of_directory(inode: &dyn Inode) -> Result<Arc<Process>> {
    let node = inode.as_any().downcast_ref::<Node<OfProcess>>().filter(|node| node.is(&process::DIRECTORY));
    node.ok_or(Error::BadDescriptor)?.subject().process().ok_or(Error::NoProcess)
}

fn list_processes(global: &Global, from: u64, sink: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
    let kernel = global.view()?;
    let reader = reader_container(&kernel);
    for process in kernel.processes().into_iter().filter(|p| reader.sees(&p.container)) {
        let key = u64::try_from(process.pid).unwrap_or(0);
        if key >= from && !sink(key, &decimal(process.pid)) {
            break;
        }
    }
    Ok(())
}

/// The thread that is in the kernel here; `None` in the supervisor.
pub(crate) fn current_thread() -> Option<Arc<Thread>> {
    let object = host().current_north().cast::<Thread>();
    if object.is_null() {
        return None;
    }
    // SAFETY: a guest thread's north pointer is one leaked reference of its `Arc<Thread>`, kept until the thread exits;
    // the handle made here is counted on top of it.
    unsafe {
        Arc::increment_strong_count(object);
        Some(Arc::from_raw(object))
    }
}

/// Whether `process` is the one that asks.
fn is_own(process: &Arc<Process>) -> bool {
    current_thread().is_some_and(|t| Arc::ptr_eq(&t.process, process))
}

/// The root directory of who asks.
fn reader_root(kernel: &Kernel) -> Location {
    current_thread().map_or_else(|| kernel.vfs.root(), |t| t.fs.root.read().clone())
}

/// The container of who asks.
fn reader_container(kernel: &Kernel) -> Arc<Container> {
    current_thread().map_or_else(|| kernel.sandbox.clone(), |t| t.process.container.clone())
}

/// A number as a name: decimal digits, no sign, no leading zeros.
fn number(name: &[u8]) -> Option<i32> {
    let text = core::str::from_utf8(name).ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn decimal(number: i32) -> Vec<u8> {
    alloc::format!("{number}").into_bytes()
}
