//! Messages of a hostile sandbox: `cargo fuzz run -s none messages` in `litebox_broker`.
//!
//! The input is a row of messages, each behind its length in two bytes; all are served by one session over a read-only
//! and a writable tree.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use litebox_broker::protocol::{MAX_REPLY, Reply};
use litebox_broker::session::Session;
use litebox_broker::{Access, Grant};
use rustix::fs::{Mode, OFlags};

fn grant(top: &std::path::Path, name: &str, access: Access) -> Grant {
    let dir = top.join(name);
    fs::create_dir_all(dir.join("dir")).unwrap();
    fs::write(dir.join("file"), "content").unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Grant::directory(rustix::fs::open(&dir, flags, Mode::empty()).unwrap(), access, false).unwrap()
}

fuzz_target!(|data: &[u8]| {
    let top = tempfile::tempdir().unwrap();
    let grants = vec![grant(top.path(), "ro", Access::ReadOnly), grant(top.path(), "rw", Access::ReadWrite)];
    let mut session = Session::new(grants);
    let mut rest = data;
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (message, tail) = tail.split_at(usize::from(u16::from_le_bytes(*len)).min(tail.len()));
        rest = tail;
        let (reply, passed, _) = session.serve(message, None);
        if let Some(reply) = reply {
            assert!((size_of::<Reply>()..=MAX_REPLY).contains(&reply.len()));
        }
        drop(passed);
        // The same by the socket for readers.
        let (reply, passed) = session.serve_reader(message);
        assert!((size_of::<Reply>()..=MAX_REPLY).contains(&reply.len()));
        drop(passed);
    }
    assert_eq!(fs::read(top.path().join("ro/file")).unwrap(), b"content");
});
