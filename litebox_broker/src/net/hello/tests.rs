use proptest::prelude::*;

use super::{Hello, look};

/// A vector behind its length.
fn vector(len: usize, bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u64).to_be_bytes()[8 - len..].to_vec();
    out.extend_from_slice(bytes);
    out
}

fn server_names(names: &[&str]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|n| [vec![0], vector(2, n.as_bytes())].concat()).collect();
    [vec![0, 0], vector(2, &vector(2, &list))].concat()
}

/// The handshake message with these extensions, `padding` bytes among them.
fn message(extensions: &[u8], padding: usize) -> Vec<u8> {
    let pad = [vec![0, 21], vector(2, &vec![0; padding])].concat();
    let body = [
        vec![3, 3],
        vec![7; 32],
        vector(1, &[9; 32]),
        vector(2, &[0x13, 1, 0x13, 2]),
        vector(1, &[0]),
        vector(2, &[pad.as_slice(), extensions].concat()),
    ]
    .concat();
    [vec![1], vector(3, &body)].concat()
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [vec![22, 3, 1], vector(2, part)].concat()).collect()
}

fn hello(names: &[&str]) -> Vec<u8> {
    records(&message(&server_names(names), 0), 1 << 14)
}

#[test]
fn the_name_is_found_in_its_one_form() {
    assert_eq!(look(&hello(&["GitHub.com"])), Hello::Name("github.com".into()));
}

#[test]
fn the_name_may_lie_anywhere_and_come_in_pieces() {
    for (padding, size) in [(0, 1), (1500, 700), (9000, 1 << 14), (16_000, 5000)] {
        let bytes = records(&message(&server_names(&["a.example.org"]), padding), size);
        assert_eq!(look(&bytes), Hello::Name("a.example.org".into()), "{padding} {size}");
        for len in (0..bytes.len()).step_by(97) {
            assert_eq!(look(&bytes[..len]), Hello::Incomplete, "{padding} {size} {len}");
        }
    }
}

#[test]
fn every_prefix_is_incomplete() {
    let bytes = hello(&["example.org"]);
    for len in 0..bytes.len() {
        assert_eq!(look(&bytes[..len]), Hello::Incomplete, "{len}");
    }
    let more = [bytes, b"\x14\x03\x03\x00\x01\x01".to_vec()].concat();
    assert_eq!(look(&more), Hello::Name("example.org".into()));
}

#[test]
fn what_is_no_hello_is_unfit_at_once() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"SSH-2.0-x",
        b"\x16\x02",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x01\x02",
        b"\x15",
    ] {
        assert_eq!(look(bytes), Hello::Unfit, "{bytes:?}");
    }
}

#[test]
fn without_a_name_with_two_or_with_none_that_is_one_it_is_unfit() {
    assert_eq!(look(&records(&message(&[], 0), 4096)), Hello::Unfit);
    for names in [&["a.org", "b.org"][..], &[""], &["10.0.0.1"], &["a b.org"], &["b\u{fc}\0.org"], &[]] {
        assert_eq!(look(&hello(names)), Hello::Unfit, "{names:?}");
    }
    // Two extensions with a name each.
    let twice = [server_names(&["a.org"]), server_names(&["b.org"])].concat();
    assert_eq!(look(&records(&message(&twice, 0), 4096)), Hello::Unfit);
    // A name of another kind.
    let other = [vec![0, 0], vector(2, &vector(2, &[vec![1], vector(2, b"a.org")].concat()))].concat();
    assert_eq!(look(&records(&message(&other, 0), 4096)), Hello::Unfit);
}

#[test]
fn a_hello_longer_than_is_looked_at_is_unfit() {
    let long = [vec![1], vector(3, &vec![0; 20_000])].concat();
    assert_eq!(look(&records(&long, 1 << 14)), Hello::Unfit);
}

proptest! {
    /// Whatever one byte of a hello becomes: no name comes out that is not in its one form, and nothing panics.
    #[test]
    fn changed_hellos(at in 0usize..400, value: u8, size in 1usize..300) {
        let mut bytes = records(&message(&server_names(&["a.example.org"]), 60), size);
        let len = bytes.len();
        if let Some(byte) = bytes.get_mut(at % len) {
            *byte = value;
        }
        if let Hello::Name(name) = look(&bytes) {
            prop_assert!(super::super::rules::normal_name(&name).is_ok_and(|normal| normal == name));
        }
    }
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(!matches!(look(&bytes), Hello::Name(name) if name.is_empty()));
    }
}
