//! /proc/PID and /proc/PID/task/TID.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::Ordering;

use litebox::event::Events;
use litebox::fs::{File, FileType, FsContext, Inode, OpenFile};
use litebox::io::{Dest, Source};
use litebox::mm::PAGE;
use litebox::{Error, Result};

use crate::loader::compat::word_size;
use crate::task::task_work::{self, Direction, Remote};
use crate::{Kernel, Process, Thread};

use super::map_files;
use super::tree::{DynamicNames, EntryKind, LinkTarget, MadeCount, Node, Shown, Subject, TableEntry, Text, put};
use super::{
    Global, current_thread, decimal, descriptors, is_own, login, maps, mounts, net, number, reader_root, scheduler,
    status, timers,
};

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
    /// The thread under task/, or by whose id the process is seen; `None`: the process, by its first.
    tid: Option<i32>,
    /// Only the thread is meant.
    alone: bool,
}

/// A process for the functions of the tables.
pub(crate) struct ProcessView {
    pub kernel: Arc<Kernel>,
    pub process: Arc<Process>,
    /// The thread under task/, else the first; `None`: it has ended.
    pub thread: Option<Arc<Thread>>,
    /// The same, and what is left of the first one after its end.
    pub remains: Option<Arc<Thread>>,
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
        Self { global: global.clone(), process: Arc::downgrade(process), tid: None, alone: false }
    }
    /// The process, seen by the id of one of its threads.
    pub fn seen_from(global: &Global, process: &Arc<Process>, tid: i32) -> Self {
        Self { tid: Some(tid), ..Self::new(global, process) }
    }
    /// The process, unless it is gone.
    pub fn process(&self) -> Option<Arc<Process>> {
        self.process.upgrade()
    }
}

impl Subject for OfProcess {
    type Snapshot = ProcessView;
    fn view(&self) -> Result<ProcessView> {
        let kernel = self.global.view()?;
        let process = self.process.upgrade().ok_or(Error::NoProcess)?;
        if kernel.process(process.pid).is_none_or(|p| !Arc::ptr_eq(&p, &process)) {
            return Err(Error::NoProcess);
        }
        let id = self.tid.unwrap_or(process.pid);
        let thread = process.thread(id);
        let remains = thread.clone().or_else(|| process.thread_or_ended_first(id));
        if self.tid.is_some() && remains.is_none() {
            return Err(Error::NoProcess);
        }
        Ok(ProcessView { kernel, process, thread, remains, alone: self.alone })
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
    fn made(&self, entry: &TableEntry<Self>) -> MadeCount {
        let Ok(view) = self.view() else { return MadeCount::default() };
        match entry.name {
            "task" => MadeCount { directories: u64::from(view.process.told_threads()), size: 0 },
            "fd" => {
                let count = view.thread.map_or(0, |thread| thread.files.descriptors().len());
                MadeCount { directories: 0, size: count as u64 }
            }
            _ => MadeCount::default(),
        }
    }
    fn shown(&self, entry: &TableEntry<Self>) -> Option<Shown> {
        // These show the memory that the process had when they were opened.
        let of_memory = matches!(entry.name, "environ" | "maps" | "numa_maps" | "smaps" | "smaps_rollup");
        let process = self.process.upgrade().filter(|_| of_memory)?;
        let image = process.image.read().clone();
        Some(image)
    }
    fn check_open(&self, entry: &TableEntry<Self>) -> Result<()> {
        let view = self.view()?;
        let ended = view.thread.is_none();
        // Where memory lies is for those alone who may look into it.
        let private = matches!(entry.name, "auxv" | "environ" | "io" | "maps" | "numa_maps" | "smaps" | "smaps_rollup");
        if private && current_thread().is_some_and(|asker| !asker.may_inspect(&view.process)) {
            return Err(Error::Access);
        }
        match entry.name {
            "auxv" | "environ" if ended => Err(Error::NoProcess),
            "mountinfo" | "mounts" | "mountstats" if ended => Err(Error::Invalid),
            _ => Ok(()),
        }
    }
    fn polled(&self, entry: &TableEntry<Self>) -> Option<Events> {
        // For whoever follows the mounts, which stay as they are.
        matches!(entry.name, "mounts" | "mountinfo").then_some(Events::IN | Events::RDNORM)
    }
    fn check_read(&self, entry: &TableEntry<Self>) -> Result<()> {
        match entry.name {
            // What the kernel itself is at needs CAP_SYS_ADMIN, which nobody has here.
            "stack" => Err(Error::Access),
            "syscall" => {
                let process = self.view()?.process;
                let denied = current_thread().is_some_and(|asker| !asker.may_inspect(&process));
                if denied { Err(Error::NotPermitted) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

/// /proc/PID.
pub(super) static DIRECTORY: TableEntry<OfProcess> =
    TableEntry { name: "", permissions: 0o555, kind: EntryKind::Directory(ENTRIES.split_at(OF_THREADS).1, None) };

/// /proc/PID/task/TID.
static THREAD: TableEntry<OfProcess> = TableEntry {
    name: "",
    permissions: 0o555,
    kind: EntryKind::Directory(ENTRIES.split_at(ENTRIES.len() - OF_PROCESSES).0, None),
};

/// How many of the entries, at the beginning, only threads have, and how many, at the end, only processes.
const OF_THREADS: usize = 1;
const OF_PROCESSES: usize = 6;

const ENTRIES: &[TableEntry<OfProcess>] = &[
    TableEntry::text("children", children),
    TableEntry::text("arch_status", |_, _| {}),
    TableEntry::directory("attr", ATTRIBUTES),
    TableEntry::file("auxv", 0o400, auxv),
    TableEntry::text("cgroup", |_, out| {
        put!(out, "0::/\n");
    }),
    TableEntry::setting("clear_refs", 0o200, |_, _| {}, clear_refs),
    TableEntry::text("cmdline", cmdline),
    TableEntry::setting("comm", 0o644, comm, set_comm),
    TableEntry::setting("coredump_filter", 0o644, coredump_filter, set_coredump_filter),
    TableEntry::text("cpuset", |_, out| {
        put!(out, "/\n");
    }),
    TableEntry::magic("cwd", |view| Ok(place(view, view.places()?.cwd.read().clone()))),
    TableEntry::file("environ", 0o400, environ),
    TableEntry::magic("exe", exe),
    descriptors::LINKS,
    descriptors::FACTS,
    TableEntry::file("gid_map", 0o644, id_map),
    TableEntry::file("io", 0o400, status::io),
    TableEntry::text("limits", status::limits),
    TableEntry::setting("loginuid", 0o644, login::user, login::set_user),
    TableEntry::text("maps", maps::maps),
    TableEntry { name: "mem", permissions: 0o600, kind: EntryKind::Special(open_memory) },
    TableEntry::text("mountinfo", mounts::mountinfo),
    TableEntry::text("mounts", mounts::mounts),
    TableEntry::file("mountstats", 0o400, mounts::mountstats),
    TableEntry::directory("net", net::TABLES),
    TableEntry::text("numa_maps", maps::numa_maps),
    TableEntry { name: "ns", permissions: 0o511, kind: EntryKind::Directory(NAMESPACES, None) },
    TableEntry::text("oom_score", |_, out| {
        put!(out, "0\n");
    }),
    TableEntry::setting("oom_score_adj", 0o644, oom_score_adj, set_oom_score_adj),
    TableEntry { name: "pagemap", permissions: 0o400, kind: EntryKind::Special(|_, _| Err(Error::NotPermitted)) },
    TableEntry::file("personality", 0o400, |view: &ProcessView, out| {
        put!(out, "{:08x}\n", view.process.persona.load(Ordering::Relaxed));
    }),
    TableEntry::file("projid_map", 0o644, id_map),
    TableEntry::magic("root", |view| Ok(place(view, view.places()?.root.read().clone()))),
    TableEntry::setting("sched", 0o644, scheduler::sched, scheduler::reset_sched),
    TableEntry::text("schedstat", status::schedstat),
    TableEntry::text("sessionid", login::session),
    TableEntry::file("setgroups", 0o644, |_, out| {
        put!(out, "allow\n");
    }),
    TableEntry::text("smaps", maps::smaps),
    TableEntry::text("smaps_rollup", maps::smaps_rollup),
    TableEntry::file("stack", 0o400, |_, _| {}),
    TableEntry::text("stat", status::stat),
    TableEntry::text("statm", status::statm),
    TableEntry::text("status", status::status),
    TableEntry::file("syscall", 0o400, scheduler::syscall),
    TableEntry::file("uid_map", 0o644, id_map),
    TableEntry::text("wchan", |_, out| {
        put!(out, "0");
    }),
    // The rest threads do not have.
    TableEntry::setting("autogroup", 0o644, scheduler::autogroup, scheduler::set_autogroup),
    TableEntry { name: "map_files", permissions: 0o500, kind: EntryKind::Directory(&[], Some(map_files::NAMES)) },
    TableEntry {
        name: "task",
        permissions: 0o555,
        kind: EntryKind::Directory(
            &[],
            Some(DynamicNames { lookup: thread_called, list: list_threads, file_type: FileType::Directory }),
        ),
    },
    TableEntry::file("timens_offsets", 0o644, |_, out| {
        put!(out, "monotonic           0         0\nboottime            0         0\n");
    }),
    TableEntry::text("timers", timers::timers),
    TableEntry::setting("timerslack_ns", 0o666, timers::slack, timers::set_slack),
];

/// Security attributes: no security module gives them a meaning.
const ATTRIBUTES: &[TableEntry<OfProcess>] = &[
    TableEntry { name: "current", permissions: 0o666, kind: EntryKind::Special(|_, _| Err(Error::Invalid)) },
    TableEntry { name: "exec", permissions: 0o666, kind: EntryKind::Special(|_, _| Err(Error::Invalid)) },
    TableEntry { name: "fscreate", permissions: 0o666, kind: EntryKind::Special(|_, _| Err(Error::Invalid)) },
    TableEntry { name: "prev", permissions: 0o444, kind: EntryKind::Special(|_, _| Err(Error::Invalid)) },
];

macro_rules! namespace {
    ($name:literal, $number:literal) => {
        namespace!($name, $name, $number)
    };
    ($name:literal, $kind:literal, $number:literal) => {
        TableEntry::magic($name, |_| {
            Ok(LinkTarget { location: None, text: concat!($kind, ":[", $number, "]").as_bytes().to_vec() })
        })
    };
}

/// The only namespaces there are.
const NAMESPACES: &[TableEntry<OfProcess>] = &[
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
    view.process.thread_or_ended_first(tid).ok_or(Error::NotFound)?;
    Ok(Node::new(OfProcess { tid: Some(tid), alone: true, ..subject.clone() }, &THREAD, ino))
}

fn list_threads(subject: &OfProcess, from: u64, sink: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
    let process = subject.view()?.process;
    let first = process.thread_or_ended_first(process.pid);
    let mut ids: Vec<i32> = process.threads().iter().chain(&first).map(|t| t.tid()).collect();
    ids.sort_unstable();
    ids.dedup();
    for tid in ids {
        let key = u64::try_from(tid).unwrap_or(0);
        if key >= from && !sink(key, &decimal(tid)) {
            break;
        }
    }
    Ok(())
}

/// The children that the thread made.
fn children(view: &ProcessView, out: &mut Text) {
    let Some(thread) = &view.thread else { return };
    for child in view.kernel.process_table.lock().children(view.process.pid) {
        if child.parent_thread.load(Ordering::Relaxed) == thread.tid() {
            put!(out, "{} ", child.pid);
        }
    }
}

/// What was referenced is not known here: there is nothing to be forgotten.
fn clear_refs(_: &ProcessView, bytes: &[u8]) -> Result<()> {
    match core::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse::<i32>().ok()) {
        Some(1..=5) => Ok(()),
        _ => Err(Error::Invalid),
    }
}

/// The name of a thread, without the zeros behind it.
pub(super) fn name_of(view: &ProcessView) -> Vec<u8> {
    match &view.remains {
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

/// What lies in the memory of the process at `range` now; `None` when it cannot be read.
fn memory_at(view: &ProcessView, range: (usize, usize)) -> Option<Vec<u8>> {
    let len = range.1.saturating_sub(range.0).min(MOST_ARGUMENTS);
    let asker = current_thread()?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    let piece = task_work::Pieces::from_iter([(range.0 as u64, len)]);
    let moved = Remote::of(&view.process).move_bytes(&asker, Direction::Read, &piece, &mut bytes).ok()?;
    (moved == len && len > 0).then_some(bytes)
}

/// Its arguments, or what it has written over them to be called by (setproctitle(3)): that may go on into the
/// environment behind them.
fn cmdline(view: &ProcessView, out: &mut Text) {
    if view.thread.is_none() {
        return;
    }
    let image = view.process.image.read().clone();
    let (arguments, environment) = (image.argument_range, image.environment_range);
    let Some(bytes) = memory_at(view, arguments) else { return out.put(&image.cmdline) };
    if bytes.last().is_none_or(|last| *last == 0) {
        return out.put(&bytes);
    }
    let end = if environment.0 == arguments.1 { environment.1 } else { arguments.1 };
    let title = memory_at(view, (arguments.0, end.min(arguments.0 + PAGE))).unwrap_or(bytes);
    let len = title.iter().position(|byte| *byte == 0).map_or(title.len(), |at| at + 1);
    out.put(title.get(..len).unwrap_or_default());
}

fn environ(view: &ProcessView, out: &mut Text) {
    if view.thread.is_some() {
        let image = view.process.image.read().clone();
        match memory_at(view, image.environment_range) {
            Some(bytes) => out.put(&bytes),
            None => out.put(&image.environ),
        }
    }
}

fn auxv(view: &ProcessView, out: &mut Text) {
    if view.thread.is_some() {
        let image = view.process.image.read();
        for word in &image.auxv {
            out.put(word.to_le_bytes().get(..word_size(image.arch)).unwrap_or_default());
        }
    }
}

fn exe(view: &ProcessView) -> Result<LinkTarget> {
    let image = view.thread.as_ref().map(|thread| thread.process.image.read().clone());
    let file: Arc<OpenFile> = image.and_then(|image| image.exe.clone()).ok_or(Error::NotFound)?;
    Ok(descriptors::target_of(view, &file))
}

fn place(view: &ProcessView, location: litebox::fs::Location) -> LinkTarget {
    let text = descriptors::path_text(&view.kernel, &location, &reader_root(&view.kernel));
    LinkTarget { location: Some(location), text }
}

fn id_map(_: &ProcessView, out: &mut Text) {
    put!(out, "{:>10} {:>10} {:>10}\n", 0, 0, u32::MAX);
}

/// Which memory a core file holds (core(5)); kept and told, no core files are written.
fn coredump_filter(view: &ProcessView, out: &mut Text) {
    if view.thread.is_some() {
        put!(out, "{:08x}\n", view.process.coredump_filter.load(Ordering::Relaxed));
    }
}

fn set_coredump_filter(view: &ProcessView, bytes: &[u8]) -> Result<()> {
    const KNOWN: u32 = 0x1ff;
    let text = core::str::from_utf8(bytes).map_err(|_| Error::Invalid)?.trim();
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8),
        None => text.parse(),
    };
    view.process.coredump_filter.store(parsed.map_err(|_| Error::Invalid)? & KNOWN, Ordering::Relaxed);
    Ok(())
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
    process: Weak<Process>,
    image: Arc<crate::loader::ImageInfo>,
}

fn open_memory(subject: &OfProcess, node: Arc<dyn Inode>) -> Result<Arc<dyn File>> {
    let view = subject.view()?;
    if view.thread.is_none() {
        return Err(Error::NoProcess);
    }
    if !current_thread().is_some_and(|asker| asker.may_inspect(&view.process)) {
        return Err(Error::Access);
    }
    let (process, image) = (Arc::downgrade(&view.process), view.process.image.read().clone());
    Ok(Arc::new(Memory { node, remote: Remote::of(&view.process), process, image }))
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
        // The memory went with the program that it was of.
        let is_there = |process: Arc<Process>| Arc::ptr_eq(&process.image.read(), &self.image);
        if !self.process.upgrade().is_some_and(is_there) {
            return Ok(0);
        }
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
            let piece = task_work::Pieces::from_iter([(at, bytes.len())]);
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
