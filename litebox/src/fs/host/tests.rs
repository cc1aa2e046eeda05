//! What is asked of the broker, and what is believed of its answers.

#![expect(clippy::unwrap_used, reason = "a failing test may end anyhow")]

extern crate std;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use zerocopy::{FromBytes, IntoBytes};

use super::{HostFs, grants};
use crate::Error;
use crate::fs::{Ahead, FileSystem, FileType, Inode};
use crate::platform::GrantId;
use crate::platform::mock::MockHost;
use crate::sync::{Mutex, MutexGuard};
use litebox_protocol::{Beside, GrantInfo, ListFlags, ListRecord, MAX_REPLY, Op, Reply, Request, Stat};

const DIRECTORIES: usize = 30;
const FILES: usize = 40;

/// Which request came for which path, and how many entries with metadata were told.
#[derive(Default)]
struct Asked {
    requests: Vec<(u32, String)>,
    stats: usize,
}

/// A broker with one tree: `DIRECTORIES` directories of `FILES` files each.
struct Scene {
    root: Arc<dyn Inode>,
    asked: Arc<Mutex<Asked>>,
    /// Directories that were looked into, which the tree of names keeps.
    kept: Mutex<Vec<Arc<dyn Inode>>>,
    /// There is one broker in a process.
    _only: MutexGuard<'static, ()>,
    _fs: Arc<HostFs>,
}

/// Whether this is a directory deep down: e/e/e.
fn is_deep(path: &str) -> bool {
    path.split('/').all(|name| name == "e")
}

fn stat_of(path: &str) -> Stat {
    let (mode, ino) = match path.split_once('/') {
        _ if is_deep(path) => (0o40755, 1_000_000 + path.len()),
        None if path.is_empty() => (0o40755, 1),
        None => (0o40755, 2 + number(path)),
        Some((dir, file)) => (0o100_644, 1000 + number(dir) * 1000 + number(file)),
    };
    Stat { dev: 7, ino: ino as u64, mode, nlink: 1, size: 4096, ..Stat::default() }
}

fn number(name: &str) -> usize {
    name.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn exists(path: &str) -> bool {
    match path.split_once('/') {
        _ if is_deep(path) => true,
        None => path.is_empty() || path.starts_with('d') && number(path) < DIRECTORIES,
        Some((dir, file)) => exists(dir) && file.starts_with('f') && number(file) < FILES,
    }
}

fn names_in(path: &str) -> Vec<String> {
    if path.is_empty() {
        (0..DIRECTORIES).map(|n| format!("d{n}")).collect()
    } else {
        (0..FILES).map(|n| format!("f{n}")).collect()
    }
}

/// The records of all entries of `path`.
fn records(path: &str, with_stat: impl Fn(&Stat) -> bool, asked: &mut Asked) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (next, name) in (1..).zip(names_in(path)) {
        let stat = stat_of(if path.is_empty() { name.clone() } else { format!("{path}/{name}") }.as_str());
        let has_stat = with_stat(&stat);
        let (kind, name_len) = ((stat.mode >> 12) as u8, name.len() as u16);
        let head = ListRecord { ino: stat.ino, next, kind, has_stat: has_stat.into(), name_len, reserved: 0 };
        bytes.extend_from_slice(head.as_bytes());
        if has_stat {
            asked.stats += 1;
            bytes.extend_from_slice(stat.as_bytes());
        }
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

fn list(head: &Request, path: &str, beside: &[u8], asked: &mut Asked) -> (Reply, Vec<u8>) {
    let how = ListFlags::from_bits(head.flags).unwrap();
    let count = names_in(path).len() as u32;
    if how.contains(ListFlags::ONLY_FEW) && count > head.mode {
        return (Reply::default(), Vec::new());
    }
    let all = how.contains(ListFlags::STAT) && (!how.contains(ListFlags::STAT_IF_FEW) || count <= head.mode);
    let directories = how.contains(ListFlags::STAT_OF_DIRECTORIES);
    let mut bytes = records(path, |stat| all || directories && stat.mode & 0o40000 != 0, asked);
    let mut reply = Reply { count, stop: 1, ..Reply::default() };
    let names = beside.split(|&b| b == 0).filter(|name| all && !name.is_empty());
    for (which, name) in (0..).zip(names) {
        let entries = records(core::str::from_utf8(name).unwrap(), |_| true, asked);
        if bytes.len() + entries.len() + size_of::<Reply>() > MAX_REPLY {
            break;
        }
        bytes.extend_from_slice(Beside { which, count: FILES as u32, watch: 0, is_told: 1 }.as_bytes());
        bytes.extend_from_slice(&entries);
        reply.value += 1;
    }
    (reply, bytes)
}

fn walk(head: &Request, path: &str) -> (Reply, Vec<u8>) {
    let mut reply = Reply::default();
    let mut bytes = Vec::new();
    let names: Vec<&str> = path.split('/').collect();
    for end in head.value as usize + 1..=names.len() {
        let here = names.get(..end).unwrap().join("/");
        if !exists(&here) {
            reply.stop = 2;
            break;
        }
        bytes.extend_from_slice(stat_of(&here).as_bytes());
        reply.count += 1;
    }
    (reply, bytes)
}

impl Scene {
    /// `change` may change a reply to a request for a listing, and its bytes.
    fn set(change: impl Fn(&mut Reply, &mut Vec<u8>) + Send + 'static) -> Self {
        static ONLY: Mutex<()> = Mutex::new(());
        let only = ONLY.lock();
        let asked = Arc::<Mutex<Asked>>::default();
        let counted = asked.clone();
        MockHost.serve_broker_with(Box::new(move |request, reply| {
            let (head, rest) = Request::read_from_prefix(request).unwrap();
            let (path, extra) = rest.split_at(head.path_len as usize);
            let path = core::str::from_utf8(path).unwrap();
            let mut asked = counted.lock();
            asked.requests.push((head.op, path.to_string()));
            let (mut answer, mut bytes) = match Op::from_number(head.op) {
                Some(Op::Walk) => walk(&head, path),
                Some(Op::List) => list(&head, path, extra, &mut asked),
                _ => (Reply { error: 38, ..Reply::default() }, Vec::new()),
            };
            if head.op == Op::List as u32 {
                change(&mut answer, &mut bytes);
            }
            reply.extend_from_slice(answer.as_bytes());
            reply.extend_from_slice(&bytes);
        }));
        let info = GrantInfo { access: 2, image: 1, ..GrantInfo::default() };
        let granted = grants(&[info.as_bytes(), stat_of("").as_bytes()].concat()).unwrap();
        let fs = HostFs::new(GrantId(0), 9, granted.first().unwrap()).unwrap();
        Self { root: fs.root(), asked, kept: Mutex::default(), _only: only, _fs: fs }
    }
    /// Looks at all files of the directory with this number, and at a name that is absent.
    fn look_into(&self, directory: usize) {
        let name = format!("d{directory}");
        let dir = self.root.lookup(name.as_bytes()).unwrap();
        assert_eq!(dir.file_type(), FileType::Directory);
        for file in 0..FILES {
            let file = format!("f{file}");
            let found = dir.lookup(file.as_bytes()).unwrap().metadata().unwrap();
            assert_eq!(found.id.ino, stat_of(&format!("{name}/{file}")).ino);
        }
        assert_eq!(dir.lookup(b"absent").err(), Some(Error::NotFound));
        self.kept.lock().push(dir);
    }
    fn requests(&self) -> usize {
        self.asked.lock().requests.len()
    }
}

#[test]
fn who_looks_at_a_whole_tree_gets_several_directories_at_once() {
    let scene = Scene::set(|_, _| ());
    for directory in 0..10 {
        scene.look_into(directory);
    }
    let at_first = scene.requests();
    for directory in 10..DIRECTORIES {
        scene.look_into(directory);
    }
    let then = scene.requests() - at_first;
    assert!(then <= (DIRECTORIES - 10) / 4, "{then} requests for {} directories", DIRECTORIES - 10);
    // Nothing is told twice, but for what was listed without metadata before it was known to be wanted.
    assert!(scene.asked.lock().stats <= DIRECTORIES * (FILES + 1) + FILES, "{} files", scene.asked.lock().stats);
}

#[test]
fn directories_that_nobody_looks_into_are_not_listed_on_and_on() {
    let scene = Scene::set(|_, _| ());
    for directory in 0..4 {
        scene.look_into(directory);
    }
    let told = scene.asked.lock().stats;
    // Looking at the same files again earns no more of the tree.
    for _ in 0..20 {
        scene.look_into(0);
    }
    assert_eq!(scene.asked.lock().stats, told);
    assert!(told <= DIRECTORIES + 8 * FILES, "{told} files");
}

#[test]
fn who_looks_at_one_file_in_each_directory_pays_for_no_other() {
    let scene = Scene::set(|_, _| ());
    for directory in 0..DIRECTORIES {
        let dir = scene.root.lookup(format!("d{directory}").as_bytes()).unwrap();
        dir.lookup(b"f1").unwrap();
    }
    assert!(scene.asked.lock().stats <= DIRECTORIES, "{} files", scene.asked.lock().stats);
}

#[test]
fn files_looked_at_one_after_the_other_soon_bring_the_others() {
    let scene = Scene::set(|_, _| ());
    scene.look_into(0);
    // Of the directory, two files, and all of them.
    assert_eq!(scene.requests(), 4);
}

#[test]
fn a_deep_path_is_asked_for_once() {
    const DEPTH: usize = 600;
    let scene = Scene::set(|_, _| ());
    let path = ["e"; DEPTH].join("/");
    let mut rest = path.as_str();
    let mut here = scene.root.clone();
    while let Some((name, behind)) = rest.split_once('/') {
        here = here.lookup_ahead(name.as_bytes(), Ahead { rest: behind.as_bytes(), open: false }).unwrap();
        rest = behind;
    }
    let last = here.lookup(rest.as_bytes()).unwrap().metadata().unwrap();
    assert_eq!(last.id.ino, 1_000_000 + path.len() as u64);
    assert_eq!(scene.requests(), 1);
}

#[test]
fn a_listing_that_is_cut_is_not_believed() {
    let scene = Scene::set(|reply, bytes| {
        if reply.value > 0 {
            let half = bytes.len() / 2;
            bytes.truncate(half);
        }
    });
    for directory in 0..DIRECTORIES {
        scene.look_into(directory);
    }
}

#[test]
fn directories_that_were_not_asked_for_are_not_believed() {
    let scene = Scene::set(|reply, bytes| {
        if reply.stop == 1 && reply.value == 0 {
            reply.value = 1;
            bytes.extend_from_slice(Beside { which: 3, count: 0, watch: 0, is_told: 1 }.as_bytes());
        }
    });
    for directory in 0..DIRECTORIES {
        scene.look_into(directory);
    }
}
