//! The memory file system against the host's, and what the host cannot show.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may end anyhow")]

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{MemoryFileSpec, MemoryFs, memory_file, memory_file_name};
use crate::Error;
use crate::fs::compare::{Ours, Theirs, any_op, arena, attr, compare};
use crate::fs::{
    Access, File, FileSystem, FileType, Inode, Mapping, NewNode, OpenHow, RenameFlags, Seals, SetAttr, SetTime, Time,
    XattrFlags,
};
use crate::io::{Dest, Source};

fn fresh() -> Arc<MemoryFs> {
    MemoryFs::new(7, &arena(), None, attr(0o755))
}

const BOTH: OpenHow =
    OpenHow { access: Access::READ.union(Access::WRITE), truncate: false, nonblocking: false, append: false };

fn names(dir: &Arc<dyn Inode>) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    dir.read_dir(0, &mut |entry| {
        names.push(entry.name.to_vec());
        true
    })
    .unwrap();
    names
}

fn write(file: &Arc<dyn File>, bytes: &[u8], offset: u64) -> crate::Result<usize> {
    file.write_at(&mut Source::kernel(bytes), offset)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_the_host(ops in prop::collection::vec(any_op(), 1..60)) {
        let fs = fresh();
        compare(&mut Ours::new(fs.root()), &mut Theirs::new(), &ops);
    }

    #[test]
    fn listings_show_what_stays_exactly_once(
        count in 1usize..200,
        steps in prop::collection::vec((0usize..200, any::<bool>(), 1usize..9), 1..80),
    ) {
        let fs = fresh();
        let root = fs.root();
        let name = |i: usize| std::format!("n{i}").into_bytes();
        for i in 0..count {
            root.create(&name(i), NewNode::Regular, attr(0o644)).unwrap();
        }
        let mut touched = std::collections::BTreeSet::new();
        let mut seen = Vec::new();
        let mut cookie = 0;
        for (i, add, read) in steps {
            touched.insert(name(i));
            let _ = if add { root.create(&name(i), NewNode::Regular, attr(0o644)).map(drop) } else { root.unlink(&name(i)) };
            let mut left = read;
            root.read_dir(cookie, &mut |entry| {
                if left == 0 {
                    return false;
                }
                left -= 1;
                seen.push(entry.name.to_vec());
                cookie = entry.next;
                true
            }).unwrap();
        }
        root.read_dir(cookie, &mut |entry| {
            seen.push(entry.name.to_vec());
            true
        }).unwrap();
        for i in (0..count).map(name).filter(|n| !touched.contains(n)) {
            prop_assert_eq!(seen.iter().filter(|n| **n == i).count(), 1);
        }
    }
}

#[test]
fn limits_are_kept_and_given_back() {
    let fs = MemoryFs::new(7, &arena(), Some(64 << 10), attr(0o755));
    let root = fs.root();
    let file = root.create(b"f", NewNode::Regular, attr(0o644)).unwrap().open(&BOTH).unwrap();
    let big = alloc::vec![1u8; 100_000];
    assert_eq!(write(&file, &big, 0), Ok(64 << 10));
    assert_eq!(write(&file, &big, 64 << 10), Err(Error::NoSpace));
    assert_eq!(root.stat_fs().unwrap().free, 0);
    assert_eq!(file.allocate(0, 0, 1 << 20), Err(Error::NoSpace));
    assert_eq!(file.metadata().unwrap().size, 64 << 10);
    file.set_attr(&SetAttr { size: Some(4096), ..SetAttr::default() }).unwrap();
    assert_eq!(root.stat_fs().unwrap().free, 15);
    root.unlink(b"f").unwrap();
    assert_eq!(root.stat_fs().unwrap().free, 15);
    drop(file);
    assert_eq!(root.stat_fs().unwrap().free, 16);
}

#[test]
fn holes_are_found() {
    let fs = fresh();
    let file = fs.root().create(b"f", NewNode::Regular, attr(0o644)).unwrap().open(&BOTH).unwrap();
    assert_eq!(file.seek_data(0, false), Err(Error::NoSuchDevice));
    write(&file, b"x", 8192).unwrap();
    write(&file, b"y", 40960).unwrap();
    assert_eq!(file.seek_data(0, false), Ok(8192));
    assert_eq!(file.seek_data(8200, false), Ok(8200));
    assert_eq!(file.seek_data(8200, true), Ok(12288));
    assert_eq!(file.seek_data(12288, false), Ok(40960));
    assert_eq!(file.seek_data(40960, true), Ok(40961));
    assert_eq!(file.seek_data(0, true), Ok(0));
    assert_eq!(file.seek_data(40961, true), Err(Error::NoSuchDevice));
    file.allocate(3, 8192, 4096).unwrap();
    assert_eq!(file.seek_data(0, false), Ok(40960));
    assert_eq!(file.metadata().unwrap().blocks, 8);
}

#[test]
fn zeroed_ranges_read_as_zeros() {
    let fs = fresh();
    let file = fs.root().create(b"f", NewNode::Regular, attr(0o644)).unwrap().open(&BOTH).unwrap();
    write(&file, &[7; 10000], 0).unwrap();
    file.allocate(16 | 1, 100, 20000).unwrap();
    assert_eq!(file.metadata().unwrap().size, 10000);
    file.allocate(16, 9000, 2000).unwrap();
    assert_eq!(file.metadata().unwrap().size, 11000);
    let mut bytes = [1; 12000];
    assert_eq!(file.read_at(&mut Dest::kernel(&mut bytes), 0), Ok(11000));
    assert!(bytes[..100].iter().all(|b| *b == 7) && bytes[100..11000].iter().all(|b| *b == 0));
}

#[test]
fn unlinked_files_live_as_long_as_they_are_open() {
    let fs = fresh();
    let root = fs.root();
    let inode = root.create(b"f", NewNode::Regular, attr(0o644)).unwrap();
    let file = inode.clone().open(&BOTH).unwrap();
    write(&file, b"hello", 0).unwrap();
    root.unlink(b"f").unwrap();
    assert_eq!(file.metadata().unwrap().nlink, 0);
    let mut bytes = [0; 5];
    assert_eq!(file.read_at(&mut Dest::kernel(&mut bytes), 0), Ok(5));
    assert_eq!(&bytes, b"hello");
    assert_eq!(root.link(b"again", &inode), Err(Error::NotFound));
    let nameless = root.create_unnamed(attr(0o600), true).unwrap();
    root.link(b"named", &nameless).unwrap();
    assert_eq!(nameless.metadata().unwrap().nlink, 1);
}

#[test]
fn removed_directories_take_no_names() {
    let fs = fresh();
    let root = fs.root();
    let dir = root.create(b"d", NewNode::Directory, attr(0o755)).unwrap();
    assert_eq!((root.metadata().unwrap().nlink, root.metadata().unwrap().size), (3, 60));
    root.rmdir(b"d").unwrap();
    assert_eq!(dir.create(b"x", NewNode::Regular, attr(0o644)).map(drop), Err(Error::NotFound));
    assert_eq!(dir.metadata().unwrap().nlink, 0);
    assert_eq!(root.metadata().unwrap().nlink, 2);
    root.create(b"f", NewNode::Regular, attr(0o644)).unwrap();
    assert_eq!(root.rename(b"f", &dir, b"f", RenameFlags::empty()), Err(Error::NotFound));
}

#[test]
fn a_tree_may_be_deep() {
    let fs = fresh();
    let mut dirs = alloc::vec![fs.root()];
    for _ in 0..20_000 {
        let next = dirs.last().unwrap().create(b"d", NewNode::Directory, attr(0o755)).unwrap();
        dirs.push(next);
    }
    let deepest = dirs.last().unwrap().clone();
    assert_eq!(dirs[1].rename(b"d", &deepest, b"x", RenameFlags::empty()), Err(Error::Invalid));
    for dir in dirs.iter().rev().skip(1).take(10_000) {
        dir.rmdir(b"d").unwrap();
    }
    drop(dirs);
    drop(deepest);
    drop(fs);
}

#[test]
fn a_whiteout_stays_where_it_is_asked_for() {
    let fs = fresh();
    let root = fs.root();
    root.create(b"f", NewNode::Regular, attr(0o644)).unwrap();
    root.rename(b"f", &root, b"g", RenameFlags::RENAME_WHITEOUT).unwrap();
    let whiteout = root.lookup(b"f").unwrap().metadata().unwrap();
    assert_eq!((whiteout.file_type(), whiteout.rdev), (FileType::CharDevice, 0));
    assert_eq!(names(&root).len(), 2);
}

#[test]
fn times_follow_what_is_done() {
    let fs = fresh();
    let root = fs.root();
    let inode = root.create(b"f", NewNode::Regular, attr(0o644)).unwrap();
    let old = Time { sec: 5, nsec: 6 };
    inode
        .set_attr(&SetAttr { atime: Some(SetTime::At(old)), mtime: Some(SetTime::At(old)), ..SetAttr::default() })
        .unwrap();
    let before = inode.metadata().unwrap();
    assert_eq!((before.atime, before.mtime), (old, old));
    let file = inode.clone().open(&BOTH).unwrap();
    file.read_at(&mut Dest::kernel(&mut [0; 4]), 0).unwrap();
    let read = inode.metadata().unwrap();
    assert!(read.atime != old && read.mtime == old && read.ctime == before.ctime);
    write(&file, b"x", 0).unwrap();
    let written = inode.metadata().unwrap();
    assert!(written.mtime != old && written.mtime == written.ctime && written.btime == before.btime);
}

#[test]
fn attributes_are_kept() {
    let fs = fresh();
    let root = fs.root();
    let file = root.create(b"f", NewNode::Regular, attr(0o644)).unwrap();
    file.set_xattr(b"user.one", b"1", XattrFlags::empty()).unwrap();
    assert_eq!(file.set_xattr(b"user.one", b"2", XattrFlags::XATTR_CREATE), Err(Error::Exists));
    assert_eq!(file.set_xattr(b"user.two", b"2", XattrFlags::XATTR_REPLACE), Err(Error::NoData));
    assert_eq!(file.set_xattr(b"system.other", b"", XattrFlags::empty()), Err(Error::NotSupported));
    assert_eq!(file.set_xattr(b"user.big", &alloc::vec![0; 65537], XattrFlags::empty()), Err(Error::TooBig));
    assert_eq!(file.get_xattr(b"user.one").unwrap(), b"1");
    file.set_xattr(b"trusted.t", b"", XattrFlags::empty()).unwrap();
    assert_eq!(file.list_xattr().unwrap(), b"trusted.t\0user.one\0");
    file.remove_xattr(b"user.one").unwrap();
    assert_eq!(file.get_xattr(b"user.one"), Err(Error::NoData));
    let link = root.create(b"l", NewNode::Symlink(b"f"), attr(0o777)).unwrap();
    assert_eq!(link.set_xattr(b"user.x", b"", XattrFlags::empty()), Err(Error::NotPermitted));
    assert_eq!(link.read_link().unwrap(), b"f");
}

#[test]
fn seals_hold() {
    let spec = MemoryFileSpec { name: b"memfd:x", ino: 9, attr: attr(0o777), seals: Seals::empty() };
    let file = memory_file(&arena(), &spec).unwrap();
    assert_eq!(memory_file_name(&*file.inode()).unwrap(), b"memfd:x");
    write(&file, &[1; 5000], 0).unwrap();
    let resize = |size| file.set_attr(&SetAttr { size: Some(size), ..SetAttr::default() });
    file.add_seals(Seals::SHRINK).unwrap();
    assert_eq!(resize(10), Err(Error::NotPermitted));
    resize(6000).unwrap();
    file.add_seals(Seals::GROW).unwrap();
    assert_eq!(resize(7000), Err(Error::NotPermitted));
    assert_eq!(write(&file, &[2; 8000], 0), Ok(4096));
    assert_eq!(write(&file, &[2; 2000], 5000), Err(Error::NotPermitted));
    assert_eq!(write(&file, &[2; 1000], 5000), Ok(1000));
    assert_eq!(file.allocate(0, 5000, 2000), Err(Error::NotPermitted));
    let Ok(Mapping::Arena(pages)) = file.mapping() else { panic!() };
    pages.add_writable();
    assert_eq!(file.add_seals(Seals::WRITE), Err(Error::Busy));
    pages.drop_writable();
    file.add_seals(Seals::WRITE).unwrap();
    assert_eq!(write(&file, &[2], 0), Err(Error::NotPermitted));
    assert_eq!(file.allocate(3, 0, 4096), Err(Error::NotPermitted));
    file.add_seals(Seals::EXEC | Seals::SEAL).unwrap();
    let chmod = |p| file.set_attr(&SetAttr { permissions: Some(p), ..SetAttr::default() });
    assert_eq!(chmod(0o666), Err(Error::NotPermitted));
    chmod(0o711).unwrap();
    assert_eq!(file.add_seals(Seals::empty()), Err(Error::NotPermitted));
    assert_eq!(file.seals(), Ok(Seals::all()));
}
