//! Whatever a sandbox sends, the broker answers with a well-formed message, hands out nothing but files of its grants,
//! and changes nothing but what lies in a writable one.
#![expect(clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use litebox_broker::protocol::{
    Beside, ListFlags, ListRecord, MAX_BESIDE, MAX_NAME, MAX_PATH, MAX_REPLY, Op, Reply, Request, Stat,
};
use litebox_broker::session::{Session, Wish};
use litebox_broker::{Access, Grant};
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fs::{Mode, OFlags};
use zerocopy::{FromBytes, IntoBytes};

/// Numbers of the grants of a [`Scene`]; those behind do not exist.
const READ_ONLY: usize = 0;
const READ_WRITE: usize = 1;
const COPY_ON_WRITE: usize = 2;
const SINGLE_FILE: usize = 3;

/// Granted trees, and what lies beside them.
struct Scene {
    top: tempfile::TempDir,
    session: Session,
}

/// All that can be told of the files beneath `dir`.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let meta = fs::symlink_metadata(&path).expect("metadata");
            let content = if meta.is_file() { fs::read(&path).expect("a file") } else { Vec::new() };
            if meta.is_dir() {
                open.push(path.clone());
            }
            found.insert(path, (meta.mode(), meta.nlink(), content));
        }
    }
    found
}

fn open_directory(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("a directory")
}

impl Scene {
    fn set() -> Self {
        let top = tempfile::tempdir().expect("a directory");
        let at = |name: &str| top.path().join(name);
        for name in ["ro", "rw", "cow", "outside"] {
            fs::create_dir_all(at(name).join("dir/deep")).expect("a directory");
            fs::write(at(name).join("file"), name).expect("a file");
            fs::write(at(name).join("dir/other"), "other").expect("a file");
            std::os::unix::fs::symlink("../outside", at(name).join("out")).expect("a link");
            std::os::unix::fs::symlink("/etc/passwd", at(name).join("passwd")).expect("a link");
            std::os::unix::fs::symlink("file", at(name).join("soft")).expect("a link");
        }
        let directory =
            |name: &str, access| Grant::directory(open_directory(&at(name)), access, false).expect("a grant");
        let grants = vec![
            directory("ro", Access::ReadOnly),
            directory("rw", Access::ReadWrite),
            directory("cow", Access::CopyOnWrite),
            Grant::file(open_directory(&at("outside")), b"file", Access::ReadOnly, false).expect("a grant"),
        ];
        let session = Session::new(grants);
        Self { top, session }
    }

    /// Serves one message and checks the answer.
    fn serve(&mut self, message: &[u8], came: Option<OwnedFd>) {
        let top = self.top.path().to_path_buf();
        let (reply, passed, wish) = self.session.serve(message, came);
        let Some(reply) = reply else {
            assert!(matches!(wish, Wish::Exit(_) | Wish::Fatal(_) | Wish::Heard(_)), "no reply");
            return;
        };
        if let Wish::Report(line) = &wish {
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        Self::check(&top, message, reply, passed);
    }

    /// Serves one message of the socket for readers: the answer is as good, and nothing changes.
    fn serve_reader(&mut self, message: &[u8]) {
        let top = self.top.path().to_path_buf();
        let before = snapshot(&top);
        let head = Request::read_from_prefix(message).map(|(head, _)| head).unwrap_or_default();
        let (reply, passed) = self.session.serve_reader(message);
        let (answer, _) = Reply::read_from_prefix(reply).expect("a head");
        let may_be_served = head.grant as usize != READ_WRITE || head.op == Op::List as u32;
        assert!(may_be_served || answer.error != 0, "served in a tree that can be changed");
        Self::check(&top, message, reply, passed);
        assert_eq!(before, snapshot(&top));
    }

    fn check(top: &Path, message: &[u8], reply: &[u8], passed: Option<OwnedFd>) {
        let head = Request::read_from_prefix(message).map(|(head, _)| head).unwrap_or_default();
        assert!(reply.len() <= MAX_REPLY, "a reply of {} bytes", reply.len());
        let (answer, _) = Reply::read_from_prefix(reply).expect("a head");
        assert!((0..4096).contains(&answer.error), "error {}", answer.error);
        let Some(passed) = passed else { return };
        let opens = [Op::Open as u32, Op::Temporary as u32, Op::Changes as u32].contains(&head.op);
        let asked = opens || head.op == Op::Walk as u32 && head.flags & 1 == 1;
        assert!(asked && answer.error == 0, "a descriptor with that answer");
        let path = fs::read_link(format!("/proc/self/fd/{}", passed.as_raw_fd())).expect("a path");
        let grant = head.grant as usize;
        if head.op == Op::Changes as u32 {
            assert!(path == Path::new("anon_inode:inotify") && grant == READ_WRITE, "{} for {grant}", path.display());
            return;
        }
        let beneath = ["ro", "rw", "cow", "outside/file"].get(grant).map(|name| top.join(name)).expect("a grant");
        assert!(path.starts_with(&beneath), "{} handed out for grant {grant}", path.display());
        let flags = rustix::fs::fcntl_getfl(&passed).expect("flags");
        let writable = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
        assert!(!writable || grant == READ_WRITE, "{} handed out for writing", path.display());
    }
}

/// Paths as they should be, and as they should not.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"",
        b"file",
        b"dir",
        b"dir/other",
        b"dir/deep",
        b"new",
        b"dir/new",
        b"soft",
        b"out",
        b"out/file",
        b"passwd",
        b"..",
        b"../outside/file",
        b"dir/../../outside/file",
        b"/etc/passwd",
        b"./file",
        b"dir//other",
        b"dir/",
        b"a\0b",
        b".",
        b"dir/.",
        b"file/x",
        b"out/../file",
        b"dir\0",
        b"deep\0dir\0out\0",
        b"..\0",
    ];
    prop_oneof![
        8 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..40),
        1 => (1..3usize).prop_map(|n| vec![b'n'; MAX_NAME + n - 1]),
        1 => Just(b"d/".repeat(MAX_PATH / 2 + 1)),
    ]
}

/// A message whose head fits its tail, mostly.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let op = prop_oneof![9 => 1..=18u32, 2 => 32..=40u32, 1 => any::<u32>()];
    let number = prop_oneof![3 => 0..4u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let mode = prop_oneof![1 => 0..5u32, 2 => any::<u32>()];
    let head = (op, 0..6u32, prop_oneof![3 => 0..64u32, 1 => any::<u32>()], mode, number);
    let times = (any::<i64>(), any::<u32>());
    (head, times, path(), path(), prop_oneof![9 => Just(0u32), 1 => any::<u32>()]).prop_map(
        |((op, grant, flags, mode, value), (seconds, nanos), path, extra, wrong)| {
            let head = Request {
                op,
                grant,
                flags,
                mode,
                uid: mode,
                gid: flags,
                path_len: (path.len() as u32) ^ wrong,
                extra_len: extra.len() as u32,
                value,
                atime_sec: seconds,
                mtime_sec: seconds,
                atime_nsec: nanos,
                mtime_nsec: nanos,
                number: wrong,
                reserved: 0,
            };
            [head.as_bytes(), &path, &extra].concat()
        },
    )
}

fn unlink_limits() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(unlink_limits())]

    #[test]
    fn messages_reach_nothing_else(messages in vec((message(), any::<bool>()), 1..150)) {
        let mut scene = Scene::set();
        let others = |scene: &Scene| ["ro", "cow", "outside"].map(|name| snapshot(&scene.top.path().join(name)));
        let before = others(&scene);
        for (message, with_descriptor) in &messages {
            let came = with_descriptor.then(|| OwnedFd::from(fs::File::open("/dev/null").expect("a device")));
            scene.serve(message, came);
        }
        prop_assert_eq!(before, others(&scene));
        // What is in nobody's way still works.
        let head = Request { op: Op::Walk as u32, grant: READ_ONLY as u32, path_len: 4, ..Request::default() };
        scene.serve(&[head.as_bytes(), b"file"].concat(), None);
    }

    #[test]
    fn readers_change_nothing(messages in vec(message(), 1..60)) {
        let mut scene = Scene::set();
        for message in &messages {
            scene.serve_reader(message);
        }
        let head = Request { op: Op::Walk as u32, grant: COPY_ON_WRITE as u32, path_len: 4, ..Request::default() };
        let (reply, _) = scene.session.serve_reader(&[head.as_bytes(), b"file"].concat());
        let (answer, _) = Reply::read_from_prefix(reply).expect("a head");
        prop_assert_eq!((answer.error, answer.count), (0, 1));
    }

    #[test]
    fn noise_is_refused(messages in vec(vec(any::<u8>(), 0..300), 1..100)) {
        let mut scene = Scene::set();
        for message in &messages {
            scene.serve(message, None);
        }
    }

    #[test]
    fn cut_and_changed_messages_are_refused(whole in message(), cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut scene = Scene::set();
        let mut message = whole.clone();
        *message.get_mut(at.index(whole.len())).expect("a byte") = byte;
        scene.serve(&message, None);
        message.truncate(cut.index(whole.len()));
        scene.serve(&message, None);
    }
}

#[test]
fn each_grant_is_what_it_was_given_as() {
    let mut scene = Scene::set();
    for (grant, write) in [(READ_ONLY, 0), (READ_WRITE, 2), (COPY_ON_WRITE, 0), (SINGLE_FILE, 0)] {
        let path: &[u8] = if grant == SINGLE_FILE { b"" } else { b"file" };
        let head = Request {
            op: Op::Open as u32,
            grant: grant as u32,
            flags: 1 | write,
            path_len: path.len() as u32,
            ..Request::default()
        };
        let (reply, passed, _) = scene.session.serve(&[head.as_bytes(), path].concat(), None);
        let (answer, _) = Reply::read_from_prefix(reply.expect("a reply")).expect("a head");
        assert_eq!((answer.error, passed.is_some()), (0, true), "grant {grant}");
    }
}

/// Serves a request about `path`, or about the file behind `came`; the error and the descriptor that comes back.
fn ask(scene: &mut Scene, head: Request, path: &[u8], extra: &[u8], came: Option<&OwnedFd>) -> (i32, Option<OwnedFd>) {
    let head = Request { path_len: path.len() as u32, extra_len: extra.len() as u32, ..head };
    let came = came.map(|fd| fd.try_clone().expect("a descriptor"));
    let (reply, passed, _) = scene.session.serve(&[head.as_bytes(), path, extra].concat(), came);
    let (answer, _) = Reply::read_from_prefix(reply.expect("a reply")).expect("a head");
    (answer.error, passed)
}

/// A file that the sandbox opened in a writable grant is changed through its descriptor, whatever became of its name.
#[test]
fn a_descriptor_stands_for_its_file() {
    let mut scene = Scene::set();
    let grant = READ_WRITE as u32;
    let open = Request { op: Op::Open as u32, grant, flags: 1 | 2, ..Request::default() };
    let (_, file) = ask(&mut scene, open, b"file", b"", None);
    let file = file.expect("a descriptor");
    fs::remove_file(scene.top.path().join("rw/file")).expect("a name");
    fs::write(scene.top.path().join("rw/file"), "another").expect("a file");
    let chmod = Request { op: Op::SetAttr as u32, grant, flags: 1, mode: 0o604, ..Request::default() };
    assert_eq!(ask(&mut scene, chmod, b"", b"", Some(&file)).0, 0);
    assert_eq!(rustix::fs::fstat(&file).expect("metadata").st_mode & 0o777, 0o604);
    let other = fs::metadata(scene.top.path().join("rw/file")).expect("metadata");
    assert_ne!(other.mode() & 0o777, 0o604);
    let append = Request { op: Op::Open as u32, grant, flags: 2 | 32, ..Request::default() };
    let (error, again) = ask(&mut scene, append, b"", b"", Some(&file));
    assert_eq!(error, 0);
    assert!(rustix::fs::fcntl_getfl(again.expect("a descriptor")).expect("flags").contains(OFlags::APPEND));
    // One that has lost its last name gets none again; one that was made without a name may get one.
    let link = Request { op: Op::Link as u32, grant, ..Request::default() };
    assert_eq!(ask(&mut scene, link, b"", b"named", Some(&file)).0, rustix::io::Errno::NOENT.raw_os_error());
    for (flags, error) in [(0, 0), (1, rustix::io::Errno::NOENT.raw_os_error())] {
        let make = Request { op: Op::Temporary as u32, grant, flags, mode: 0o600, ..Request::default() };
        let (made, temporary) = ask(&mut scene, make, b"dir", b"", None);
        // A file system that knows no such files says so.
        if made == 0 {
            let name = format!("dir/named{flags}");
            assert_eq!(ask(&mut scene, link, b"", name.as_bytes(), temporary.as_ref()).0, error);
        }
    }
}

/// No other descriptor stands for a file: what the sandbox may only read, what it got elsewhere, what is no file.
#[test]
fn descriptors_from_elsewhere_are_refused() {
    let mut scene = Scene::set();
    let (denied, read_only) = (rustix::io::Errno::PERM.raw_os_error(), rustix::io::Errno::ROFS.raw_os_error());
    let chmod = |grant: usize| Request {
        op: Op::SetAttr as u32,
        grant: grant as u32,
        flags: 1,
        mode: 0o777,
        ..Request::default()
    };
    let open = |grant: usize, flags| Request { op: Op::Open as u32, grant: grant as u32, flags, ..Request::default() };
    let (_, of_read_only) = ask(&mut scene, open(READ_ONLY, 1), b"file", b"", None);
    let (_, of_copy) = ask(&mut scene, open(COPY_ON_WRITE, 1), b"file", b"", None);
    let outside = OwnedFd::from(fs::File::open(scene.top.path().join("outside/file")).expect("a file"));
    let device = OwnedFd::from(fs::File::open("/dev/null").expect("a device"));
    for file in [of_read_only.expect("a file"), of_copy.expect("a file"), outside, device] {
        let before = rustix::fs::fstat(&file).expect("metadata").st_mode;
        assert_eq!(ask(&mut scene, chmod(READ_WRITE), b"", b"", Some(&file)).0, denied);
        assert_eq!(ask(&mut scene, open(READ_WRITE, 2), b"", b"", Some(&file)).0, denied);
        assert_eq!(rustix::fs::fstat(&file).expect("metadata").st_mode, before);
    }
    let (_, own) = ask(&mut scene, open(READ_WRITE, 1), b"file", b"", None);
    let own = own.expect("a file");
    assert_eq!(ask(&mut scene, chmod(READ_ONLY), b"", b"", Some(&own)).0, read_only);
    // Not beside a path, and not where no descriptor is taken.
    let invalid = rustix::io::Errno::INVAL.raw_os_error();
    assert_eq!(ask(&mut scene, chmod(READ_WRITE), b"dir/other", b"", Some(&own)).0, invalid);
}

/// Lists `path` of the read-only grant and directories beside it: the error, and name and number of entries of each
/// directory told.
fn list_beside(scene: &mut Scene, path: &[u8], beside: &[u8]) -> (i32, Vec<(usize, usize)>) {
    let head = Request {
        op: Op::List as u32,
        grant: READ_ONLY as u32,
        flags: ListFlags::STAT.bits(),
        path_len: path.len() as u32,
        extra_len: beside.len() as u32,
        ..Request::default()
    };
    let (reply, _, _) = scene.session.serve(&[head.as_bytes(), path, beside].concat(), None);
    let reply = reply.expect("a reply");
    assert!(reply.len() <= MAX_REPLY);
    let (answer, mut rest) = Reply::read_from_prefix(reply).expect("a head");
    let entries = |count: u32, rest: &mut &[u8]| {
        for _ in 0..count {
            let (entry, _) = ListRecord::read_from_prefix(rest).expect("an entry");
            let stat = if entry.has_stat == 1 { size_of::<Stat>() } else { 0 };
            let len = size_of::<ListRecord>() + stat + usize::from(entry.name_len);
            *rest = rest.get(len.next_multiple_of(8)..).expect("as long as it says");
        }
    };
    entries(answer.count, &mut rest);
    let mut told = Vec::new();
    for _ in 0..answer.value {
        let (next, behind) = Beside::read_from_prefix(rest).expect("a head");
        rest = behind;
        entries(next.count, &mut rest);
        told.push((next.which as usize, next.count as usize));
    }
    assert_eq!(rest, b"");
    (answer.error, told)
}

#[test]
fn directories_beside_are_told_when_they_are_few_and_fit() {
    let mut scene = Scene::set();
    let top = scene.top.path().join("ro/many");
    for (name, files) in [("a", 3), ("b", 257), ("c", 256), ("d", 256), ("e", 5), ("empty", 0)] {
        fs::create_dir_all(top.join(name)).expect("a directory");
        for file in 0..files {
            fs::write(top.join(name).join(format!("file{file}")), "").expect("a file");
        }
    }
    fs::write(top.join("file"), "").expect("a file");
    std::os::unix::fs::symlink("a", top.join("link")).expect("a link");
    // Too many in `b`; a file, a link and what is absent are left out.
    let told = list_beside(&mut scene, b"many/a", b"b\0file\0c\0link\0absent\0empty\0e\0");
    assert_eq!(told, (0, vec![(2, 256), (5, 0), (6, 5)]));
    // `d` does not fit behind `c`, and what comes behind that waits for another time.
    assert_eq!(list_beside(&mut scene, b"many/a", b"c\0d\0e\0"), (0, vec![(0, 256)]));
    // Nothing is told before all of the directory itself.
    let more = scene.top.path().join("ro/more");
    fs::create_dir_all(&more).expect("a directory");
    for file in 0..1000 {
        fs::write(more.join(format!("file{file}")), "").expect("a file");
    }
    assert_eq!(list_beside(&mut scene, b"more", b"many\0"), (0, vec![]));
}

/// In a tree that the sandbox may change they are watched, and told of with their metadata: also one that has too many
/// entries, because it is watched by then.
#[test]
fn directories_beside_are_watched_before_they_are_told() {
    let mut scene = Scene::set();
    let top = scene.top.path().join("rw/many");
    for (name, files) in [("a", 1), ("b", 257), ("c", 2)] {
        fs::create_dir_all(top.join(name)).expect("a directory");
        for file in 0..files {
            fs::write(top.join(name).join(format!("file{file}")), "").expect("a file");
        }
    }
    let changes = Request { op: Op::Changes as u32, grant: READ_WRITE as u32, ..Request::default() };
    let (error, queue) = ask(&mut scene, changes, b"", b"", None);
    assert_eq!(error, 0);
    let head = Request {
        op: Op::List as u32,
        grant: READ_WRITE as u32,
        flags: (ListFlags::STAT | ListFlags::WATCH).bits(),
        path_len: 6,
        extra_len: 11,
        ..Request::default()
    };
    let message = [head.as_bytes(), b"many/a", b"b\0absent\0c\0"].concat();
    let (reply, _, _) = scene.session.serve(&message[..message.len() - 1], None);
    assert_ne!(Reply::read_from_prefix(reply.expect("a reply")).expect("a head").0.error, 0, "its lengths do not fit");
    let (reply, _, _) = scene.session.serve(&message, None);
    let (answer, rest) = Reply::read_from_prefix(reply.expect("a reply")).expect("a head");
    if answer.watch == 0 {
        assert_eq!(answer.value, 0);
        println!("skipped: directories of temporary files cannot be watched here");
        return;
    }
    assert_eq!((answer.error, answer.count, answer.value), (0, 1, 2));
    let ino = |name: &str| std::os::unix::fs::MetadataExt::ino(&fs::metadata(top.join(name)).expect("metadata"));
    let (directory, rest) = Stat::read_from_prefix(rest).expect("metadata");
    assert_eq!(directory.ino, ino("a"));
    let record = size_of::<ListRecord>() + size_of::<Stat>() + 8;
    let (first, rest) = Beside::read_from_prefix(&rest[record..]).expect("a head");
    assert_eq!((first.which, first.count, first.is_told), (0, 0, 0));
    let (directory, rest) = Stat::read_from_prefix(rest).expect("metadata");
    assert_eq!(directory.ino, ino("b"));
    let (second, rest) = Beside::read_from_prefix(rest).expect("a head");
    assert_eq!((second.which, second.count, second.is_told), (2, 2, 1));
    let (directory, rest) = Stat::read_from_prefix(rest).expect("metadata");
    assert_eq!((directory.ino, rest.len()), (ino("c"), 2 * record));
    // Each is heard of by the number that was told.
    let mut numbers = Vec::new();
    for name in ["a", "b", "c"] {
        fs::write(top.join(name).join("new"), "").expect("a file");
        let mut event = [0; 4096];
        let len = rustix::io::read(queue.as_ref().expect("a queue"), &mut event).expect("an event");
        assert!(len > 16);
        numbers.push(u32::from_ne_bytes([event[0], event[1], event[2], event[3]]));
    }
    assert_eq!(numbers, [answer.watch, first.watch, second.watch]);
}

#[test]
fn directories_beside_lie_beside() {
    let mut scene = Scene::set();
    let invalid = rustix::io::Errno::INVAL.raw_os_error();
    for wrong in [b"..\0".as_slice(), b"dir\0../outside\0", b"\0", b".\0", b"/etc\0", b"dir/deep\0"] {
        assert_eq!(list_beside(&mut scene, b"dir", wrong).0, invalid, "{}", wrong.escape_ascii());
    }
    // Nothing lies beside the root, and a list of names has an end.
    assert_eq!(list_beside(&mut scene, b"", b"dir\0").0, invalid);
    assert_eq!(list_beside(&mut scene, b"dir", &b"x\0".repeat(MAX_BESIDE + 1)).0, invalid);
    // A link out of the tree is not followed.
    assert_eq!(list_beside(&mut scene, b"dir", b"out\0dir\0"), (0, vec![(1, 2)]));
}

/// However many processes a sandbox registers, the broker keeps descriptors for itself.
#[test]
fn processes_do_not_take_all_descriptors() {
    let before = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let few = rustix::process::Rlimit { current: Some(256), ..before };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).expect("a lower limit");
    let mut scene = Scene::set();
    scene.session.supervisor = std::process::id() as i32;
    let own = rustix::process::getpid();
    let mut register = |slot: u64| {
        let process = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).expect("a pidfd");
        let head = Request { op: Op::Register as u32, value: slot, ..Request::default() };
        let (reply, _, _) = scene.session.serve(head.as_bytes(), Some(process));
        Reply::read_from_prefix(reply.expect("a reply")).expect("a head").0.error
    };
    let registered = (0..256).take_while(|slot| register(*slot) == 0).count() as u64;
    assert_eq!(registered, 128);
    // One that is there already may be replaced.
    assert_eq!(register(5), 0);
    assert_eq!(register(registered), rustix::io::Errno::MFILE.raw_os_error());
    rustix::process::setrlimit(rustix::process::Resource::Nofile, before).expect("the limit of before");
}
