//! The overlay over a prepared tree, against the same tree on the host.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may end anyhow")]

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::OverlayFs;
use crate::Error;
use crate::fs::compare::{Op, Ours, Side, Theirs, any_op, arena, attr, compare};
use crate::fs::memory::MemoryFs;
use crate::fs::{
    Access, File, FileSystem, FileType, Inode, Mapping, NewNode, OpenHow, RenameFlags, SetAttr, XattrFlags,
};
use crate::io::{Dest, Source};
use crate::mm::arena::Arena;

const READ: OpenHow = OpenHow { access: Access::READ, truncate: false, nonblocking: false, append: false };
const BOTH: OpenHow =
    OpenHow { access: Access::READ.union(Access::WRITE), truncate: false, nonblocking: false, append: false };

fn lower() -> Arc<dyn FileSystem> {
    MemoryFs::new(3, &arena(), None, attr(0o755))
}

fn over(lower: &Arc<dyn FileSystem>) -> Arc<OverlayFs> {
    OverlayFs::new(4, lower.clone(), &arena())
}

fn put(dir: &Arc<dyn Inode>, name: &[u8], bytes: &[u8]) -> Arc<dyn Inode> {
    let inode = dir.create(name, NewNode::Regular, attr(0o644)).unwrap();
    write(&inode.clone().open(&BOTH).unwrap(), bytes, 0).unwrap();
    inode
}

fn write(file: &Arc<dyn File>, bytes: &[u8], offset: u64) -> crate::Result<usize> {
    file.write_at(&mut Source::kernel(bytes), offset)
}

fn read(file: &Arc<dyn File>) -> Vec<u8> {
    let mut bytes = alloc::vec![0; 1 << 20];
    let n = file.read_at(&mut Dest::kernel(&mut bytes), 0).unwrap();
    bytes.truncate(n);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_the_host(
        before in prop::collection::vec(any_op(), 1..60),
        after in prop::collection::vec(any_op(), 1..60),
    ) {
        let below = lower();
        let mut theirs = Theirs::new();
        compare(&mut Ours::new(below.root()), &mut theirs, &before);
        theirs.close_all();
        let untouched = Ours::new(below.root()).snapshot();
        let fs = over(&below);
        compare(&mut Ours::new(fs.root()), &mut theirs, &after);
        drop(fs);
        prop_assert_eq!(untouched, Ours::new(below.root()).snapshot());
    }
}

#[test]
fn an_inode_stays_the_same_when_it_is_copied() {
    let below = lower();
    let inode = put(&below.root(), b"f", b"hello");
    below.root().link(b"g", &inode).unwrap();
    let fs = over(&below);
    let root = fs.root();
    let before = root.lookup(b"f").unwrap().metadata().unwrap();
    assert_eq!((before.id.dev, before.nlink), (4, 2));
    let file = root.lookup(b"g").unwrap().open(&BOTH).unwrap();
    write(&file, b"J", 0).unwrap();
    drop(file);
    let after = root.lookup(b"f").unwrap();
    assert_eq!(after.id(), before.id);
    assert_eq!(read(&after.open(&READ).unwrap()), b"Jello");
    assert_eq!(read(&inode.open(&READ).unwrap()), b"hello");
}

#[test]
fn files_opened_for_reading_see_later_writes() {
    let below = lower();
    put(&below.root(), b"f", b"hello");
    let fs = over(&below);
    let inode = fs.root().lookup(b"f").unwrap();
    let reader = inode.clone().open(&READ).unwrap();
    assert_eq!(read(&reader), b"hello");
    let writer = inode.open(&BOTH).unwrap();
    write(&writer, b", world", 5).unwrap();
    assert_eq!(read(&reader), b"hello, world");
    writer.set_attr(&SetAttr { size: Some(4), ..SetAttr::default() }).unwrap();
    assert_eq!(read(&reader), b"hell");
}

#[test]
fn attributes_change_without_the_bytes() {
    let below = lower();
    let inode = put(&below.root(), b"f", b"hello");
    inode.set_xattr(b"user.below", b"1", XattrFlags::empty()).unwrap();
    let fs = over(&below);
    let file = fs.root().lookup(b"f").unwrap();
    file.set_attr(&SetAttr { permissions: Some(0o600), uid: Some(5), ..SetAttr::default() }).unwrap();
    file.set_xattr(b"user.above", b"2", XattrFlags::empty()).unwrap();
    drop(file);
    let file = fs.root().lookup(b"f").unwrap();
    let meta = file.metadata().unwrap();
    assert_eq!((meta.permissions(), meta.uid, meta.size), (0o600, 5, 5));
    assert_eq!(file.list_xattr().unwrap(), b"user.above\0user.below\0");
    assert_eq!(inode.list_xattr().unwrap(), b"user.below\0");
    // What only reads is shown the lower file itself.
    let Ok(Mapping::Arena(pages)) = inode.clone().open(&READ).unwrap().mapping() else { panic!() };
    let Ok(Mapping::Arena(shown)) = file.clone().open(&READ).unwrap().mapping() else { panic!() };
    assert!(Arc::ptr_eq(&pages, &shown));
    let Ok(Mapping::Arena(copied)) = file.open(&BOTH).unwrap().mapping() else { panic!() };
    assert!(!Arc::ptr_eq(&pages, &copied));
    assert_eq!(copied.size(), 5);
}

#[test]
fn holes_of_a_large_file_stay_holes() {
    let below = lower();
    let bytes: Vec<u8> = (0..3_000_000usize).map(|i| (i / 4096 % 251) as u8).collect();
    let inode = put(&below.root(), b"f", &bytes);
    inode.set_attr(&SetAttr { size: Some(5_000_000), ..SetAttr::default() }).unwrap();
    let fs = over(&below);
    let file = fs.root().lookup(b"f").unwrap().open(&BOTH).unwrap();
    write(&file, b"end", 4_999_999).unwrap();
    let meta = file.metadata().unwrap();
    assert_eq!(meta.size, 5_000_002);
    assert!(meta.blocks * 512 < 3_010_000);
    let mut copy = alloc::vec![0; 5_000_002];
    assert_eq!(file.read_at(&mut Dest::kernel(&mut copy), 0), Ok(5_000_002));
    assert_eq!(&copy[..3_000_000], &bytes[..]);
    assert!(copy[3_000_000..4_999_999].iter().all(|b| *b == 0));
    assert_eq!(&copy[4_999_999..], b"end");
    assert_eq!((file.seek_data(0, true), file.seek_data(3_500_000, false)), (Ok(3_002_368), Ok(4_997_120)));
    // Who maps it to write there gets all of it.
    let Ok(Mapping::Arena(pages)) = file.mapping() else { panic!() };
    assert!(pages.figures().1 < 3_010_000);
    assert!(whole(&file) == copy);
}

#[test]
fn directories_from_below_move_with_all_they_hold() {
    let below = lower();
    let dir = below.root().create(b"d", NewNode::Directory, attr(0o755)).unwrap();
    let sub = dir.create(b"s", NewNode::Directory, attr(0o755)).unwrap();
    put(&sub, b"f", b"deep");
    let fs = over(&below);
    let root = fs.root();
    let target = root.create(b"new", NewNode::Directory, attr(0o755)).unwrap();
    root.rename(b"d", &target, b"moved", RenameFlags::empty()).unwrap();
    assert_eq!(root.lookup(b"d").map(drop), Err(Error::NotFound));
    let moved = target.lookup(b"moved").unwrap();
    assert_eq!(read(&moved.lookup(b"s").unwrap().lookup(b"f").unwrap().open(&READ).unwrap()), b"deep");
    let inside = moved.lookup(b"s").unwrap();
    assert_eq!(target.rename(b"moved", &inside, b"x", RenameFlags::empty()), Err(Error::Invalid));
    // The old name is free; what is made there has nothing of the old.
    let again = root.create(b"d", NewNode::Directory, attr(0o755)).unwrap();
    again.read_dir(0, &mut |_| panic!()).unwrap();
    assert_eq!(root.rmdir(b"new"), Err(Error::NotEmpty));
}

#[test]
fn what_was_not_changed_is_forgotten() {
    let below = lower();
    let kept = put(&below.root(), b"kept", b"1");
    for i in 0..100 {
        put(&below.root(), std::format!("f{i}").as_bytes(), b"1");
    }
    let fs = over(&below);
    let root = fs.root();
    root.read_dir(0, &mut |entry| {
        let _ = root.lookup(entry.name).unwrap().metadata();
        true
    })
    .unwrap();
    root.lookup(b"kept").unwrap().set_attr(&SetAttr { uid: Some(1), ..SetAttr::default() }).unwrap();
    let origins = || {
        let mut all: Vec<_> = fs.root.tree.origins.lock().keys().copied().collect();
        all.sort_unstable();
        all
    };
    assert_eq!(origins(), [below.root().id(), kept.id()]);
    root.unlink(b"kept").unwrap();
    assert_eq!(origins(), [below.root().id()]);
}

#[test]
fn a_rename_keeps_what_is_open() {
    let ops = [Op::Create(0, 0o644), Op::Open(0, 0, true), Op::Write(0, 0, 100, 1), Op::Create(1, 0o600)];
    let below = lower();
    Ours::new(below.root()).apply(&ops[0]).unwrap();
    let fs = over(&below);
    let mut ours = Ours::new(fs.root());
    for op in ops.iter().skip(1) {
        ours.apply(op).unwrap();
    }
    ours.apply(&Op::Rename(1, 0, 0)).unwrap();
    assert_eq!(ours.apply(&Op::Read(0, 99, 5)), Ok(alloc::vec![1 + 99 / 7]));
}

#[test]
fn many_threads_change_names_at_once() {
    let below = lower();
    for dir in [b"a", b"b"] {
        let dir = below.root().create(dir, NewNode::Directory, attr(0o755)).unwrap();
        dir.create(b"a", NewNode::Directory, attr(0o755)).unwrap();
        put(&dir, b"b", b"1");
    }
    let fs = over(&below);
    std::thread::scope(|s| {
        for seed in 1..5u64 {
            let fs = &fs;
            s.spawn(move || {
                let mut ours = Ours::new(fs.root());
                let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                for _ in 0..4000 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let (p, q, kind) = (random as usize % 12, (random >> 8) as usize % 12, (random >> 16) % 9);
                    // What comes of it depends on the others.
                    let _ = ours.apply(&match kind {
                        0 => Op::Mkdir(p, 0o755),
                        1 => Op::Create(p, 0o644),
                        2 => Op::Unlink(p),
                        3 => Op::Rmdir(p),
                        4 => Op::Link(p, q),
                        5 => Op::List(p),
                        6 => Op::Open(0, p, true),
                        7 => Op::Write(0, random % 9000, 100, 1),
                        _ => Op::Rename(p, q, random as u32 >> 20 & 2),
                    });
                }
            });
        }
    });
    check_links(&fs.root());
}

/// The link count of every directory is that of its directories and its two own names.
fn check_links(dir: &Arc<dyn Inode>) {
    let mut directories = 0;
    let mut names = Vec::new();
    dir.read_dir(0, &mut |entry| {
        names.push(entry.name.to_vec());
        true
    })
    .unwrap();
    for name in names {
        let child = dir.lookup(&name).unwrap();
        if child.file_type() == FileType::Directory {
            directories += 1;
            check_links(&child);
        }
    }
    assert_eq!(dir.metadata().unwrap().nlink, directories + 2);
}

#[test]
fn a_single_file_can_be_overlaid() {
    struct Single(Arc<dyn Inode>);
    impl FileSystem for Single {
        fn root(&self) -> Arc<dyn Inode> {
            self.0.clone()
        }
        fn type_name(&self) -> &'static str {
            "single"
        }
    }
    let below = lower();
    let inode = put(&below.root(), b"f", b"hello");
    let single: Arc<dyn FileSystem> = Arc::new(Single(inode.clone()));
    let fs = over(&single);
    write(&fs.root().open(&BOTH).unwrap(), b"J", 0).unwrap();
    assert_eq!(read(&fs.root().open(&READ).unwrap()), b"Jello");
    assert_eq!(read(&inode.open(&READ).unwrap()), b"hello");
}

#[test]
fn a_file_too_large_to_copy_stays_as_it_is() {
    let below = lower();
    let inode = put(&below.root(), b"f", &alloc::vec![1; 2 << 20]);
    let fs = OverlayFs::new(4, below.clone(), &Arena::part(60 << 20, 1 << 20));
    let file = fs.root().lookup(b"f").unwrap().open(&BOTH).unwrap();
    assert_eq!(file.mapping().err(), Some(Error::NoSpace));
    let mut bytes = [0; 4];
    assert_eq!(file.read_at(&mut Dest::kernel(&mut bytes), 0), Ok(4));
    assert_eq!(bytes, [1; 4]);
    // What is changed fits.
    assert_eq!(write(&file, b"x", 2), Ok(1));
    assert_eq!(file.mapping().err(), Some(Error::NoSpace));
    assert_eq!(file.read_at(&mut Dest::kernel(&mut bytes), 0), Ok(4));
    assert_eq!(bytes, [1, 1, b'x', 1]);
    file.set_attr(&SetAttr { size: Some(8), ..SetAttr::default() }).unwrap();
    assert_eq!(write(&file, b"x", 0), Ok(1));
    assert_eq!(read(&file).len(), 8);
    assert_eq!(inode.metadata().unwrap().size, 2 << 20);
}

/// All bytes of a file.
fn whole(file: &Arc<dyn File>) -> Vec<u8> {
    let mut bytes = alloc::vec![0; file.metadata().unwrap().size as usize];
    assert_eq!(file.read_at(&mut Dest::kernel(&mut bytes), 0), Ok(bytes.len()));
    bytes
}

/// A small generator of numbers below a bound.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn a_large_file_has_only_its_changed_pages_here() {
    const LEN: u64 = 3 << 20;
    let below = lower();
    let inode = put(&below.root(), b"f", &alloc::vec![7; LEN as usize]);
    let arena = Arena::part(64 << 20, 8 << 20);
    let fs = OverlayFs::new(4, below.clone(), &arena);
    let file = fs.root().lookup(b"f").unwrap().open(&BOTH).unwrap();
    write(&file, b"x", LEN / 2 + 5).unwrap();
    assert_eq!((8 << 20) - arena.free_bytes(), 4096);
    let meta = file.metadata().unwrap();
    assert_eq!(meta.size, LEN);
    let mut bytes = [0; 8];
    file.read_at(&mut Dest::kernel(&mut bytes), LEN / 2).unwrap();
    assert_eq!(bytes, [7, 7, 7, 7, 7, b'x', 7, 7]);
    assert!(whole(&inode.open(&READ).unwrap()).iter().all(|b| *b == 7));
}

#[test]
fn a_partial_copy_is_what_a_whole_one_would_be() {
    const LEN: u64 = 2 << 20;
    for seed in 1..30 {
        let mut numbers = Numbers(seed);
        let below = lower();
        let original: Vec<u8> = (0..LEN).map(|at| (at / 7 % 251) as u8 + 1).collect();
        let inode = put(&below.root(), b"f", &original);
        let fs = OverlayFs::new(4, below.clone(), &Arena::part(72 << 20, 24 << 20));
        let file = fs.root().lookup(b"f").unwrap().open(&BOTH).unwrap();
        let mut model = original.clone();
        for turn in 0..60u64 {
            let at = numbers.below(model.len() as u64 + 5000) & if numbers.below(2) == 0 { !4095 } else { !0 };
            let most = if numbers.below(4) == 0 { 300_000 } else { 9000 };
            let len = numbers.below(most);
            match numbers.below(8) {
                0..=4 => {
                    let bytes = alloc::vec![turn as u8; len as usize];
                    assert_eq!(write(&file, &bytes, at), Ok(bytes.len()));
                    if len > 0 {
                        model.resize(model.len().max((at + len) as usize), 0);
                        model[at as usize..(at + len) as usize].copy_from_slice(&bytes);
                    }
                }
                5 => {
                    let size = numbers.below(LEN + 100_000);
                    file.set_attr(&SetAttr { size: Some(size), ..SetAttr::default() }).unwrap();
                    model.resize(size as usize, 0);
                }
                6 if len > 0 => {
                    file.allocate(3, at, len).unwrap();
                    let (from, to) = ((at as usize).min(model.len()), ((at + len) as usize).min(model.len()));
                    model[from..to].fill(0);
                }
                _ if turn == 50 => {
                    file.mapping().unwrap();
                }
                _ => {}
            }
            let from = (at as usize).min(model.len());
            let mut bytes = alloc::vec![0; 20_000.min(model.len() - from)];
            assert_eq!(file.read_at(&mut Dest::kernel(&mut bytes), from as u64), Ok(bytes.len()));
            assert!(bytes == model[from..from + bytes.len()], "seed {seed}, turn {turn}");
        }
        assert!(whole(&file) == model, "seed {seed}");
        assert!(whole(&inode.open(&READ).unwrap()) == original);
    }
}
