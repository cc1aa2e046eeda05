//! A sandbox that asks the broker itself gets no more of a tree than is shown of it: what others may read, and nothing
//! that is hidden.
#![expect(clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use litebox_broker::protocol::{Op, Reply, Request};
use litebox_broker::session::Session;
use litebox_broker::{Access, Grant, Hidden, Visibility};
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fs::{Mode, OFlags};
use zerocopy::{FromBytes, IntoBytes};

const EACCES: i32 = 13;
const ENOENT: i32 = 2;
const EXDEV: i32 = 18;
const READ: u32 = 1;
const WRITE: u32 = 2;
const CREATE: u32 = 4;

/// Number of the grant that shows what others may read, and of the one that the sandbox may change.
const OTHERS: u32 = 0;
const CHANGED: u32 = 1;

struct Scene {
    top: tempfile::TempDir,
    session: Session,
}

fn open_directory(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("a directory")
}

impl Scene {
    fn set() -> Self {
        let top = tempfile::tempdir().expect("a directory");
        for (name, mode) in [
            ("open/file", 0o644),
            ("open/secret", 0o600),
            ("open/group", 0o660),
            ("closed/file", 0o644),
            ("listed/file", 0o644),
            ("passed/file", 0o644),
            (".env", 0o644),
            ("open/.env", 0o644),
            ("keys/one", 0o644),
            ("keys/deep/two", 0o644),
        ] {
            let path = top.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(&path, name).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        for (name, mode) in [("", 0o755), ("closed", 0o750), ("listed", 0o744), ("passed", 0o711)] {
            fs::set_permissions(top.path().join(name), fs::Permissions::from_mode(mode)).expect("a mode");
        }
        let hidden = Hidden::new(
            &[b".env".to_vec(), b"/w/keys/**".to_vec()],
            &[top.path().as_os_str().as_encoded_bytes(), b"/w"],
        );
        let grant = |access, visibility| {
            Grant::directory(open_directory(top.path()), access, false).expect("a grant").showing(visibility)
        };
        let grants = vec![
            grant(Access::ReadOnly, Visibility { others_only: true, hidden: hidden.clone() }),
            grant(Access::ReadWrite, Visibility { others_only: false, hidden }),
        ];
        let session = Session::new(grants);
        Self { top, session }
    }

    fn ask(&mut self, head: Request, path: &str, extra: &str) -> (i32, Vec<u8>, Option<PathBuf>) {
        let head = Request { path_len: path.len() as u32, extra_len: extra.len() as u32, ..head };
        let message = [head.as_bytes(), path.as_bytes(), extra.as_bytes()].concat();
        let (reply, passed, _) = self.session.serve(&message, None);
        let reply = reply.expect("a reply").to_vec();
        let (answer, rest) = Reply::read_from_prefix(&reply).expect("a head");
        let passed = passed.map(|fd| fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("a path"));
        let error = if head.op == Op::Walk as u32 && answer.error == 0 { answer.stop as i32 } else { answer.error };
        (error, rest.to_vec(), passed)
    }
    fn open(&mut self, grant: u32, path: &str, flags: u32) -> i32 {
        self.ask(Request { op: Op::Open as u32, grant, flags, mode: 0o600, ..Request::default() }, path, "").0
    }
    fn change(&mut self, op: Op, path: &str, extra: &str) -> i32 {
        self.ask(Request { op: op as u32, grant: CHANGED, mode: 0o100_600, ..Request::default() }, path, extra).0
    }
    fn list(&mut self, grant: u32, path: &str) -> (i32, String) {
        let (error, rest, _) = self.ask(Request { op: Op::List as u32, grant, ..Request::default() }, path, "");
        (error, String::from_utf8_lossy(&rest).into_owned())
    }
}

#[test]
fn others_read_what_their_bits_say() {
    let mut scene = Scene::set();
    for (path, error) in [
        ("open/file", 0),
        ("open/secret", EACCES),
        ("open/group", EACCES),
        ("closed/file", EACCES),
        ("listed/file", EACCES),
        ("passed/file", 0),
        ("closed/nothing", EACCES),
        ("open/nothing", ENOENT),
    ] {
        assert_eq!(scene.open(OTHERS, path, READ), error, "{path}");
        for (op, flags) in [(Op::Walk, 1), (Op::GetXattr, 0), (Op::ListXattr, 0)] {
            let extra = if op == Op::GetXattr { "user.none" } else { "" };
            let (found, _, passed) =
                scene.ask(Request { op: op as u32, grant: OTHERS, flags, ..Request::default() }, path, extra);
            assert!(error == 0 || passed.is_none(), "{path} was passed");
            // The walk itself needs no right to read.
            assert!(error == 0 || op == Op::Walk || found != 0, "{op:?} of {path}");
        }
    }
    assert_eq!(scene.list(OTHERS, "closed").0, EACCES);
    assert_eq!(scene.list(OTHERS, "passed").0, EACCES);
    let (error, names) = scene.list(OTHERS, "listed");
    assert!(error == 0 && names.contains("file"));
    // What was named shows all.
    assert_eq!(scene.open(CHANGED, "open/secret", READ), 0);
}

#[test]
fn hidden_is_not_there() {
    let mut scene = Scene::set();
    for grant in [OTHERS, CHANGED] {
        for path in [".env", "open/.env", "keys/one", "keys/deep", "keys/deep/two"] {
            assert_eq!(scene.open(grant, path, READ), ENOENT, "{path}");
            let walk = Request { op: Op::Walk as u32, grant, flags: 1, ..Request::default() };
            assert_eq!(scene.ask(walk, path, "").0, ENOENT, "{path}");
        }
        let (_, names) = scene.list(grant, "");
        assert!(names.contains("keys") && !names.contains(".env"), "{names}");
        assert!(!scene.list(grant, "keys").1.contains("one"));
        assert_eq!(scene.list(grant, "keys/deep").0, ENOENT);
    }
}

#[test]
fn hidden_is_not_replaced_moved_or_linked() {
    let mut scene = Scene::set();
    assert_eq!(scene.open(CHANGED, ".env", READ | WRITE | CREATE), EACCES);
    for (op, path, extra, error) in [
        (Op::Mkdir, "keys/deep", "", EACCES),
        (Op::Mknod, "open/.env", "", EACCES),
        (Op::Symlink, ".env", "open", EACCES),
        (Op::Unlink, ".env", "", ENOENT),
        (Op::Rmdir, "keys/deep", "", ENOENT),
        (Op::Rename, ".env", "e", ENOENT),
        (Op::Rename, "open/file", ".env", EACCES),
        (Op::Rename, "keys", "k", EXDEV),
        (Op::Link, "keys/one", "one", ENOENT),
        (Op::Link, "open/file", "keys/one", EACCES),
        (Op::SetAttr, ".env", "", ENOENT),
        (Op::Rename, "open", "opened", 0),
    ] {
        assert_eq!(scene.change(op, path, extra), error, "{op:?} {path} {extra}");
    }
    for name in [".env", "opened/.env", "keys/one", "keys/deep/two"] {
        let content = fs::read_to_string(scene.top.path().join(name)).expect("a file");
        assert_eq!(content, name.replace("opened", "open"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// Whatever is asked for in whatever order: no hidden file is passed or changed.
    #[test]
    fn no_order_of_requests_shows_what_is_hidden(
        asked in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u32..64, 0u32..2), 1..40)
    ) {
        const PATHS: [&str; 14] = [
            "", ".env", "open", "open/.env", "open/file", "keys", "keys/one", "keys/deep", "keys/deep/two", "k", "k/one", "k/deep/two", "e", "open/e",
        ];
        const OPS: [Op; 12] = [
            Op::Walk, Op::Open, Op::List, Op::Mkdir, Op::Unlink, Op::Rmdir, Op::Rename, Op::Link, Op::Symlink, Op::Mknod, Op::SetAttr, Op::GetXattr,
        ];
        let mut scene = Scene::set();
        let secrets = [".env", "open/.env", "keys/one", "keys/deep/two"];
        for (op, path, extra, flags, grant) in asked {
            let op = *op.get(&OPS);
            let takes_path = matches!(op, Op::Rename | Op::Link | Op::Symlink);
            let extra = if takes_path { *extra.get(&PATHS) } else { "" };
            let flags = match op {
                Op::Walk => flags & 1,
                Op::Rename => flags % 3,
                // Size, and nothing that would only change metadata.
                Op::SetAttr => 8,
                _ => flags,
            };
            let head = Request { op: op as u32, grant, flags, mode: 0o100_644, ..Request::default() };
            let (_, _, passed) = scene.ask(head, path.get::<&str>(&PATHS), extra);
            if let Some(passed) = passed {
                let content = fs::read_to_string(&passed).unwrap_or_default();
                prop_assert!(!secrets.contains(&content.as_str()), "{} was passed", passed.display());
            }
        }
        let mut left = 0;
        let mut open = vec![scene.top.path().to_path_buf()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_symlink() { continue; }
                if path.is_dir() { open.push(path); continue; }
                left += usize::from(secrets.contains(&fs::read_to_string(&path).unwrap_or_default().as_str()));
            }
        }
        prop_assert_eq!(left, secrets.len(), "a hidden file was changed");
    }
}
