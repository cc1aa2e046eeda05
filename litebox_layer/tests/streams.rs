//! What a sandbox may say, and what becomes of it: an archive that reads back as it was told, or an error.

#![expect(clippy::unwrap_used, reason = "a failing test may end anyhow")]

use std::io::Read;

use litebox_layer::archive::Archive;
use litebox_layer::read::{self, Item, Layer};
use litebox_layer::stream::{LeftOut, receive};
use litebox_protocol::layer::{Extent, Kind, Record, Xattr, flag};
use proptest::prelude::*;
use zerocopy::IntoBytes;

const PLENTY: u64 = 1 << 30;

/// A record with what comes behind it.
fn told(kind: Kind, record: Record, path: &[u8], target: &[u8], xattrs: &[u8], extents: &[Extent]) -> Vec<u8> {
    let record = Record {
        kind: kind as u32,
        path_len: path.len() as u32,
        target_len: target.len() as u32,
        xattr_len: xattrs.len() as u32,
        extents: extents.len() as u32,
        ..record
    };
    let data: u64 = extents.iter().map(|extent| extent.len).sum();
    let data = vec![b'x'; usize::try_from(data).unwrap_or(0).min(1 << 20)];
    [record.as_bytes(), path, target, xattrs, extents.as_bytes(), &data].concat()
}

fn plain(kind: Kind, path: &[u8]) -> Vec<u8> {
    told(kind, Record::default(), path, b"", b"", &[])
}

fn end() -> Vec<u8> {
    plain(Kind::End, b"")
}

/// The archive of what was told.
fn archive(stream: &[u8], most: u64) -> std::io::Result<(Vec<u8>, LeftOut)> {
    let mut archive = Archive::new(Vec::new());
    let left_out = receive(&mut &*stream, most, &mut archive)?;
    Ok((archive.finish()?, left_out))
}

fn items(layer: &[u8]) -> std::io::Result<Vec<(Item, Vec<u8>)>> {
    let mut layer = Layer::new(layer)?;
    let mut all = Vec::new();
    while let Some(item) = layer.next_item()? {
        let mut bytes = Vec::new();
        layer.by_ref().take(1 << 20).read_to_end(&mut bytes)?;
        all.push((item, bytes));
    }
    Ok(all)
}

#[test]
fn an_archive_says_what_was_told() {
    let long = [vec![b'd'; 120], b"/".to_vec(), vec![b'e'; 200]].concat();
    let xattr = Xattr { name_len: 6, value_len: 4 };
    let xattrs = [xattr.as_bytes(), b"user.a", b"\n=\0\n"].concat();
    let record = Record {
        flags: flag::EXISTED,
        mode: 0o4755,
        uid: 3_000_000_000,
        gid: 2_097_152,
        mtime_sec: -7,
        mtime_nsec: 250_000_000,
        size: 3 << 33,
        ..Record::default()
    };
    let extents = [Extent { offset: 4096, len: 5 }, Extent { offset: 2 << 33, len: 4096 }];
    let stream = [told(Kind::Regular, record, &long, b"", &xattrs, &extents), end()].concat();
    let (layer, left_out) = archive(&stream, PLENTY).unwrap();
    assert_eq!(left_out, LeftOut::default());
    let expected = Item {
        kind: read::Kind::Regular,
        path: long,
        target: Vec::new(),
        mode: 0o4755,
        uid: 3_000_000_000,
        gid: 2_097_152,
        mtime: (-7, 250_000_000),
        size: 3 << 33,
        extents: Some(vec![(4096, 5), (2 << 33, 4096), (3 << 33, 0)]),
        xattrs: vec![(b"user.a".to_vec(), b"\n=\0\n".to_vec())],
        added: Some(false),
    };
    assert_eq!(items(&layer).unwrap(), [(expected, vec![b'x'; 4101])]);
}

#[test]
fn what_a_sandbox_says_is_plain() {
    let file = |path: &[u8]| [plain(Kind::Regular, path), end()].concat();
    for path in [&b"../x"[..], b"a/../../x", b"/x", b"", b".", b"a//b", b"a/", b"a\0b", &[b'n'; 256]] {
        assert!(archive(&file(path), PLENTY).is_err(), "{path:?}");
    }
    // Names that say something else in a layer are left out, and said.
    let (layer, left_out) = archive(&file(b"a/.wh.b"), PLENTY).unwrap();
    assert_eq!((items(&layer).unwrap().len(), left_out.count), (0, 1));
    let link = |target: &[u8]| told(Kind::HardLink, Record::default(), b"link", target, b"", &[]);
    for target in [&b"../x"[..], b"/etc/passwd", b""] {
        assert!(archive(&[link(target), end()].concat(), PLENTY).is_err(), "{target:?}");
    }
    // A symbolic link leads where it likes.
    let link = told(Kind::Symlink, Record::default(), b"link", b"../../etc/passwd", b"", &[]);
    assert!(archive(&[link, end()].concat(), PLENTY).is_ok());
}

#[test]
fn lies_about_sizes_are_found() {
    let sized = |size: u64, extents: &[Extent]| {
        let record = Record { size, ..Record::default() };
        archive(&[told(Kind::Regular, record, b"f", b"", b"", extents), end()].concat(), 1 << 16)
    };
    assert!(sized(10, &[Extent { offset: 0, len: 10 }]).is_ok());
    assert!(sized(u64::MAX, &[]).is_err());
    assert!(sized(10, &[Extent { offset: 5, len: 6 }]).is_err());
    assert!(sized(10, &[Extent { offset: 5, len: 2 }, Extent { offset: 4, len: 2 }]).is_err());
    assert!(sized(10, &[Extent { offset: 5, len: u64::MAX }]).is_err());
    assert!(sized(10, &[Extent { offset: 5, len: 0 }]).is_err());
    // More than there may be, of bytes and of names.
    let much = sized(1 << 20, &[Extent { offset: 0, len: 1 << 20 }]);
    assert_eq!(much.unwrap_err().kind(), std::io::ErrorKind::QuotaExceeded);
    let names: Vec<u8> = (0..100).flat_map(|n| plain(Kind::Directory, format!("d{n}").as_bytes())).collect();
    assert!(archive(&[names, end()].concat(), 1 << 16).is_err());
    // It ends too early.
    let whole = [plain(Kind::Directory, b"d"), end()].concat();
    for len in 0..whole.len() {
        assert!(archive(&whole[..len], PLENTY).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_ends(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = archive(&bytes, 1 << 16);
        let _ = items(&bytes);
    }

    #[test]
    fn changed_bytes_of_layers_end(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let record = Record { size: 1 << 20, mtime_nsec: 5, ..Record::default() };
        let file = told(Kind::Regular, record, b"dir/file", b"", b"", &[Extent { offset: 4096, len: 100 }]);
        let stream = [plain(Kind::Tree, b"dir"), plain(Kind::Removed, b"dir/gone"), file, end()].concat();
        let (mut layer, _) = archive(&stream, PLENTY).unwrap();
        let at = at.index(layer.len());
        layer[at] = value;
        let _ = items(&layer);
    }
}
