//! Messages of a hostile sandbox: `cargo fuzz run -s none messages` in `litebox_broker`.
//!
//! The input is a row of messages, all served by one session over a read-only and a writable tree. Some are any bytes;
//! most are requests whose parts fit each other.
#![no_main]

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use litebox_broker::protocol::{MAX_REPLY, Reply, Request};
use litebox_broker::session::Session;
use litebox_broker::{Access, Grant};
use rustix::fs::{Mode, OFlags};
use zerocopy::IntoBytes;

const CONTENT: &[u8] = b"content";

#[derive(Arbitrary, Debug)]
enum Name {
    Root,
    File,
    Directory,
    Inside,
    /// One of a few that may be made.
    New(bool),
    Deep(u8),
    Any(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Extra {
    Nothing,
    Path(Name),
    Attribute { value: Vec<u8> },
    Any(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Value {
    Small(u8),
    Any(u64),
}

#[derive(Arbitrary, Debug)]
struct Fields {
    op: u8,
    grant: bool,
    flags: u16,
    mode: u16,
    path: Name,
    extra: Extra,
    value: Value,
    times: (i64, u32),
    /// Whether the descriptor of the last reply comes along, without a path.
    descriptor: bool,
}

#[derive(Arbitrary, Debug)]
enum Message {
    Fields(Fields),
    Any(Vec<u8>),
}

impl Name {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Root => Vec::new(),
            Self::File => b"file".to_vec(),
            Self::Directory => b"dir".to_vec(),
            Self::Inside => b"dir/file".to_vec(),
            Self::New(other) => if *other { b"dir/new" } else { b"new".as_slice() }.to_vec(),
            Self::Deep(depth) => vec!["dir"; usize::from(*depth)].join("/").into_bytes(),
            Self::Any(bytes) => bytes.clone(),
        }
    }
}

impl Extra {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Path(name) => name.bytes(),
            Self::Attribute { value } => [b"user.name\0", value.as_slice()].concat(),
            Self::Any(bytes) => bytes.clone(),
        }
    }
}

impl Fields {
    fn bytes(&self) -> Vec<u8> {
        let path = if self.descriptor { Vec::new() } else { self.path.bytes() };
        let extra = self.extra.bytes();
        let head = Request {
            op: u32::from(self.op % 64),
            grant: u32::from(self.grant),
            flags: u32::from(self.flags),
            mode: u32::from(self.mode),
            path_len: path.len() as u32,
            extra_len: extra.len() as u32,
            value: match self.value {
                Value::Small(value) => value.into(),
                Value::Any(value) => value,
            },
            mtime_sec: self.times.0,
            mtime_nsec: self.times.1,
            ..Request::default()
        };
        [head.as_bytes(), &path, &extra].concat()
    }
}

fn grant(top: &Path, name: &str, access: Access) -> Grant {
    let dir = top.join(name);
    fs::create_dir_all(dir.join("dir")).unwrap();
    fs::write(dir.join("file"), CONTENT).unwrap();
    fs::write(dir.join("dir/file"), CONTENT).unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Grant::directory(rustix::fs::open(&dir, flags, Mode::empty()).unwrap(), access, false).unwrap()
}

fn serve(session: &mut Session, message: &[u8], came: Option<OwnedFd>) -> Option<OwnedFd> {
    let (reply, passed, _) = session.serve(message, came);
    if let Some(reply) = reply {
        assert!((size_of::<Reply>()..=MAX_REPLY).contains(&reply.len()));
    }
    // The same by the socket for readers.
    let (reply, _) = session.serve_reader(message);
    assert!((size_of::<Reply>()..=MAX_REPLY).contains(&reply.len()));
    passed
}

fuzz_target!(|messages: Vec<Message>| {
    let top = tempfile::tempdir_in("/dev/shm").unwrap();
    let grants = vec![grant(top.path(), "ro", Access::ReadOnly), grant(top.path(), "rw", Access::ReadWrite)];
    let mut session = Session::new(grants);
    let mut kept: Option<OwnedFd> = None;
    for message in &messages {
        let (bytes, wants) = match message {
            Message::Fields(fields) => (fields.bytes(), fields.descriptor),
            Message::Any(bytes) => (bytes.clone(), false),
        };
        let came = kept.as_ref().filter(|_| wants).and_then(|fd| fd.try_clone().ok());
        if let Some(passed) = serve(&mut session, &bytes, came) {
            kept = Some(passed);
        }
    }
    for file in ["ro/file", "ro/dir/file"] {
        assert_eq!(fs::read(top.path().join(file)).unwrap(), CONTENT);
    }
    assert_eq!(fs::read_dir(top.path().join("ro")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(top.path()).unwrap().count(), 2);
});
