//! Paths, mounts and permissions over file systems in memory.

#![expect(clippy::unwrap_used, reason = "a failing test may end anyhow")]

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::fs::compare::{arena, attr};
use crate::fs::dev::CharDevices;
use crate::fs::memory::MemoryFs;
use crate::fs::{Creds, LookupFlags, MountFlags, NewNode, Origin, Vfs};

fn tree() -> Vfs {
    let devices = Arc::new(CharDevices { terminals: Arc::default() });
    Vfs::new(MemoryFs::new(11, &arena(), None, attr(0o755)), MountFlags::empty(), devices)
}

fn origin(vfs: &Vfs) -> Origin<'static> {
    Origin { creds: Creds::ROOT, root: vfs.root(), start: vfs.root(), umask: 0 }
}

#[test]
fn a_deep_place_that_was_removed_ends_on_a_small_stack() {
    let vfs = tree();
    let mut from = origin(&vfs);
    let mut above = Vec::new();
    for _ in 0..5000 {
        vfs.make(&from, b"d", NewNode::Directory, 0o755).unwrap();
        above.push(from.start.clone());
        from.start = vfs.walk(&from, b"d", LookupFlags::empty()).unwrap();
    }
    let deepest = from.start.clone();
    while let Some(dir) = above.pop() {
        from.start = dir;
        vfs.rmdir(&from, b"d").unwrap();
    }
    std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(deepest)).unwrap().join().unwrap();
}
