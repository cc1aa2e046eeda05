//! /proc/PID and /proc/PID/task/TID.

use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::Ordering;

use litebox::fs::{File, FileType, FsContext, Inode, OpenFile};
use litebox::io::{Dest, Source};
use litebox::{Error, Result};

use crate::syscalls::process::prctl::TIMER_SLACK;
use crate::task::errands::{self, Direction, Remote};
use crate::{Kernel, Process, Thread};

use super::tree::{Entry, Kind, Made, Node, Subject, Target, Text, put};
use super::{Global, current_thread, decimal, descriptors, is_own, maps, mounts, net, number, reader_root, status};

/// The most that is read of a program's arguments, as its stack allows at most.
const MOST_ARGUMENTS: usize = 6 << 20;
/// Longest name of a thread.
const NAME_LEN: usize = 15;
/// Bytes of another's memory that pass through the kernel at a time.
const CHUNK: usize = 16 * 1024;

/// A process, or one thread of it, as what a tree is about.
#[derive(Clone)]
pub(crate) struct OfProcess {
    global: Global,
    process: Weak<Process>,
    /// The thread under task/; `None`: the process.
    tid: Option<i32>,
}

/// A process for the functions of the tables.
pub(crate) struct ProcessView {
    pub kernel: Arc<Kernel>,
    pub process: Arc<Process>,
    /// The thread under task/, else the first; `None`: it has ended.
    pub thread: Option<Arc<Thread>>,
    /// Only the thread is meant.
    pub alone: bool,
}

impl ProcessView {
    /// Root, working directory and mask; one that has ended has none.
    fn places(&self) -> Result<&FsContext> {
        self.thread.as_ref().map(|thread| &**thread.fs).ok_or(Error::NotFound)
    }
}

impl OfProcess {
    pub fn new(global: &Global, process: &Arc<Process>) -> Self {
        Self { global: global.clone(), process: Arc::downgrade(process), tid: None }
    }
    /// The process, unless it is gone.
    pub fn process(&self) -> Option<Arc<Process>> {
        self.process.upgrade()
    }
}

impl Subject for OfProcess {
    type View = ProcessView;
    fn view(&self) -> Result<ProcessView> {
        let kernel = self.global.view()?;
        let process = self.process.upgrade().ok_or(Error::NoProcess)?;
        if kernel.process(process.pid).is_none_or(|p| !Arc::ptr_eq(&p, &process)) {
            return Err(Error::NoProcess);
        }
        let thread = match self.tid {
            Some(tid) => Some(process.thread(tid).ok_or(Error::NoProcess)?),
            None => process.thread(process.pid).or_else(|| process.threads().into_iter().next()),
        };
        Ok(ProcessView { kernel, process, thread, alone: self.tid.is_some() })
    }
    fn dev(&self) -> u64 {
        self.global.dev
    }
    fn magic(&self) -> u64 {
        self.global.magic
    }
    fn owner(&self) -> (u32, u32) {
        self.process.upgrade().map_or((0, 0), |p| {
            let creds = p.creds();
            (creds.euid, creds.egid)
        })
    }
    fn cacheable(&self) -> bool {
        false
    }
}

/// /proc/PID.
pub(super) static DIRECTORY: Entry<OfProcess> =
    Entry { name: "", permissions: 0o555, kind: Kind::Directory(ENTRIES, None) };

/// /proc/PID/task/TID, which has no threads below it.
static THREAD: Entry<OfProcess> =
    Entry { name: "", permissions: 0o555, kind: Kind::Directory(ENTRIES.split_at(ENTRIES.len() - 1).0, None) };

const ENTRIES: &[Entry<OfProcess>] = &[
    Entry::text("arch_status", |_, _| {}),
    Entry::directory("attr", ATTRIBUTES),
    Entry::file("auxv", 0o400, auxv),
    Entry::text("cgroup", |_, out| {
        put!(out, "0::/\n");
    }),
    Entry::text("cmdline", cmdline),
    Entry::setting("comm", 0o644, comm, set_comm),
    Entry::file("coredump_filter", 0o644, |_, out| {
        put!(out, "00000033\n");
    }),
    Entry::text("cpuset", |_, out| {
        put!(out, "/\n");
    }),
    Entry::magic("cwd", |view| Ok(place(view, view.places()?.cwd.read().clone()))),
    Entry::file("environ", 0o400, environ),
    Entry::magic("exe", exe),
    descriptors::LINKS,
    descriptors::FACTS,
    Entry::file("gid_map", 0o644, id_map),
    Entry::file("io", 0o400, status::io),
    Entry::text("limits", status::limits),
    Entry::text("maps", maps::maps),
    Entry { name: "mem", permissions: 0o600, kind: Kind::Special(open_memory) },
    Entry::text("mountinfo", mounts::mountinfo),
    Entry::text("mounts", mounts::mounts),
    Entry::file("mountstats", 0o400, mounts::mountstats),
    Entry::directory("net", net::TABLES),
    Entry { name: "ns", permissions: 0o511, kind: Kind::Directory(NAMESPACES, None) },
    Entry::text("oom_score", |_, out| {
        put!(out, "0\n");
    }),
    Entry::setting("oom_score_adj", 0o644, oom_score_adj, set_oom_score_adj),
    Entry { name: "pagemap", permissions: 0o400, kind: Kind::Special(|_, _| Err(Error::NotPermitted)) },
    Entry::file("personality", 0o400, |_, out| {
        put!(out, "00000000\n");
    }),
    Entry::magic("root", |view| Ok(place(view, view.places()?.root.read().clone()))),
    Entry::text("schedstat", status::schedstat),
    Entry::file("setgroups", 0o644, |_, out| {
        put!(out, "allow\n");
    }),
    Entry::text("smaps", maps::smaps),
    Entry::text("smaps_rollup", maps::smaps_rollup),
    Entry::text("stat", status::stat),
    Entry::text("statm", status::statm),
    Entry::text("status", status::status),
    Entry::file("timerslack_ns", 0o666, |view: &ProcessView, out: &mut Text| {
        let slack = view.thread.as_ref().map_or(TIMER_SLACK, |t| t.timer_slack.load(Ordering::Relaxed));
        put!(out, "{slack}\n");
    }),
    Entry::file("uid_map", 0o644, id_map),
    Entry::text("wchan", |_, out| {
        put!(out, "0");
    }),
    // The last one: threads do not have it.
    Entry {
        name: "task",
        permissions: 0o555,
        kind: Kind::Directory(
            &[],
            Some(Made { lookup: thread_called, list: list_threads, file_type: FileType::Directory }),
        ),
    },
];

/// Security attributes: no security module gives them a meaning.
const ATTRIBUTES: &[Entry<OfProcess>] = &[
    Entry { name: "current", permissions: 0o666, kind: Kind::Special(|_, _| Err(Error::Invalid)) },
    Entry { name: "exec", permissions: 0o666, kind: Kind::Special(|_, _| Err(Error::Invalid)) },
    Entry { name: "fscreate", permissions: 0o666, kind: Kind::Special(|_, _| Err(Error::Invalid)) },
    Entry { name: "prev", permissions: 0o444, kind: Kind::Special(|_, _| Err(Error::Invalid)) },
];

macro_rules! namespace {
    ($name:literal, $number:literal) => {
        namespace!($name, $name, $number)
    };
    ($name:literal, $kind:literal, $number:literal) => {
        Entry::magic($name, |_| {
            Ok(Target { location: None, text: concat!($kind, ":[", $number, "]").as_bytes().to_vec() })
        })
    };
}

/// The only namespaces there are.
const NAMESPACES: &[Entry<OfProcess>] = &[
    namespace!("cgroup", 4_026_531_835_u32),
    namespace!("ipc", 4_026_531_839_u32),
    namespace!("mnt", 4_026_531_841_u32),
    namespace!("net", 4_026_531_840_u32),
    namespace!("pid", 4_026_531_836_u32),
    namespace!("pid_for_children", "pid", 4_026_531_836_u32),
    namespace!("time", 4_026_531_834_u32),
    namespace!("time_for_children", "time", 4_026_531_834_u32),
    namespace!("user", 4_026_531_837_u32),
    namespace!("uts", 4_026_531_838_u32),
];

fn thread_called(subject: &OfProcess, name: &[u8], ino: u64) -> Result<Arc<dyn Inode>> {
    let tid = number(name).ok_or(Error::NotFound)?;
    let view = subject.view().map_err(|_| Error::NotFound)?;
    view.process.thread(tid).ok_or(Error::NotFound)?;
    Ok(Node::new(OfProcess { tid: Some(tid), ..subject.clone() }, &THREAD, ino))
}

fn list_threads(subject: &OfProcess, from: u64, sink: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
    let mut ids: Vec<i32> = subject.view()?.process.threads().iter().map(|t| t.tid()).collect();
    ids.sort_unstable();
    for tid in ids {
        let key = u64::try_from(tid).unwrap_or(0);
        if key >= from && !sink(key, &decimal(tid)) {
            break;
        }
    }
    Ok(())
}

/// The name of a thread, without the zeros behind it.
pub(super) fn name_of(view: &ProcessView) -> Vec<u8> {
    match &view.thread {
        Some(thread) => thread.name.lock().iter().copied().take_while(|b| *b != 0).collect(),
        None => view.process.image.read().name.clone(),
    }
}

fn comm(view: &ProcessView, out: &mut Text) {
    out.put(&name_of(view));
    out.put(b"\n");
}

fn set_comm(view: &ProcessView, bytes: &[u8]) -> Result<()> {
    if !is_own(&view.process) {
        return Err(Error::Invalid);
    }
    let thread = view.thread.as_ref().ok_or(Error::NoProcess)?;
    let mut name = [0u8; NAME_LEN + 1];
    for (to, from) in name.iter_mut().zip(bytes.iter().take(NAME_LEN).take_while(|b| **b != 0)) {
        *to = *from;
    }
    *thread.name.lock() = name;
    Ok(())
}

/// What lies in the memory of the process at `range` now, or `kept` when it cannot be read from here.
fn memory_or(view: &ProcessView, range: (usize, usize), kept: &[u8], out: &mut Text) {
    let len = range.1.saturating_sub(range.0).min(MOST_ARGUMENTS);
    if is_own(&view.process) && len > 0 {
        let mut bytes = vec![0u8; len];
        if crate::user::read_into(range.0 as u64, &mut bytes).is_ok() {
            return out.put(&bytes);
        }
    }
    out.put(kept);
}

fn cmdline(view: &ProcessView, out: &mut Text) {
    if view.thread.is_some() {
        let image = view.process.image.read().clone();
        memory_or(view, image.argument_range, &image.cmdline, out);
    }
}

fn environ(view: &ProcessView, out: &mut Text) {
    if view.thread.is_some() {
        let image = view.process.image.read().clone();
        memory_or(view, image.environment_range, &image.environ, out);
    }
}

fn auxv(view: &ProcessView, out: &mut Text) {
    for word in &view.process.image.read().auxv {
        out.put(&word.to_le_bytes());
    }
}

fn exe(view: &ProcessView) -> Result<Target> {
    let file: Arc<OpenFile> = view.process.image.read().exe.clone().ok_or(Error::NotFound)?;
    Ok(descriptors::target_of(view, &file))
}

fn place(view: &ProcessView, location: litebox::fs::Location) -> Target {
    let text = descriptors::path_text(&view.kernel, &location, &reader_root(&view.kernel));
    Target { location: Some(location), text }
}

fn id_map(_: &ProcessView, out: &mut Text) {
    put!(out, "{:>10} {:>10} {:>10}\n", 0, 0, u32::MAX);
}

fn oom_score_adj(view: &ProcessView, out: &mut Text) {
    put!(out, "{}\n", view.process.oom_score_adj.load(Ordering::Relaxed));
}

fn set_oom_score_adj(view: &ProcessView, bytes: &[u8]) -> Result<()> {
    let text = core::str::from_utf8(bytes).map_err(|_| Error::Invalid)?;
    let value: i32 = text.trim().parse().map_err(|_| Error::Invalid)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Error::Invalid);
    }
    // Lower than before needs CAP_SYS_RESOURCE.
    let mine = &view.process.oom_score_adj;
    if value < mine.load(Ordering::Relaxed) {
        return Err(Error::Access);
    }
    mine.store(value, Ordering::Relaxed);
    Ok(())
}

/// The memory of a process, as it was when this was opened.
struct Memory {
    node: Arc<dyn Inode>,
    remote: Remote,
}

fn open_memory(subject: &OfProcess, node: Arc<dyn Inode>) -> Result<Arc<dyn File>> {
    let view = subject.view()?;
    if !current_thread().is_some_and(|asker| asker.may_inspect(&view.process)) {
        return Err(Error::Access);
    }
    Ok(Arc::new(Memory { node, remote: Remote::of(&view.process) }))
}

impl Memory {
    /// Moves bytes between `offset` of the memory and the caller in small pieces; `Io` when nothing is there.
    fn pieces(
        &self,
        direction: Direction,
        wanted: usize,
        offset: u64,
        mut own_side: impl FnMut(&mut Vec<u8>, Option<usize>) -> Result<usize>,
    ) -> Result<usize> {
        let Some(asker) = current_thread() else { return Err(Error::Io) };
        let mut bytes = Vec::new();
        let mut done = 0;
        while done < wanted {
            let size = (wanted - done).min(CHUNK);
            let at = offset.checked_add(done as u64).ok_or(Error::Io)?;
            bytes.resize(size, 0);
            if direction == Direction::Write {
                let n = own_side(&mut bytes, None)?;
                bytes.truncate(n);
            }
            let piece = errands::Pieces::from_iter([(at, bytes.len())]);
            let moved = match self.remote.move_bytes(&asker, direction, &piece, &mut bytes) {
                // Nobody has that memory any more.
                Err(Error::NoProcess) => return Ok(done),
                Err(error) => return if done == 0 { Err(error) } else { Ok(done) },
                Ok(moved) => moved,
            };
            let moved = if direction == Direction::Read { own_side(&mut bytes, Some(moved))? } else { moved };
            done += moved;
            if moved < size {
                break;
            }
        }
        if done == 0 && wanted > 0 { Err(Error::Io) } else { Ok(done) }
    }
}

impl File for Memory {
    fn inode(&self) -> Arc<dyn Inode> {
        self.node.clone()
    }
    fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        self.pieces(Direction::Read, dest.remaining(), offset, |bytes, moved| {
            dest.put(bytes.get(..moved.unwrap_or(0)).unwrap_or_default())
        })
    }
    fn write_at(&self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        self.pieces(Direction::Write, source.remaining(), offset, |bytes, _| source.take(bytes))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
