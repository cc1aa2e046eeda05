//! The name server's side that needs no broker: questions taken apart.

use alloc::vec::Vec;

use super::names::{Asking, take};
use super::readiness::Readiness;
use crate::event::Events;

fn question(name: &str, kind: u16, extended: bool) -> Vec<u8> {
    let mut out = alloc::vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(extended)];
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    if extended {
        out.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }
    out
}

/// Code, and whether it was cut, of a reply that is well-formed.
fn code(asking: Asking) -> (u8, bool) {
    let Asking::Answered(reply) = asking else { panic!("not answered at once") };
    assert!(reply.len() >= 12 && reply[2] & 0x80 != 0);
    (reply[3] & 15, reply[2] & 2 != 0)
}

#[test]
fn questions_for_addresses_are_for_the_broker() {
    for (kind, extended) in [(1, false), (28, true)] {
        assert!(matches!(take(&question("a.example.org", kind, extended), false), Asking::Addresses(_)));
    }
}

#[test]
fn other_questions_are_answered_here() {
    // MX, TXT, HTTPS, SVCB: no such record; PTR: no such name.
    for kind in [15, 16, 65, 64, 255] {
        assert_eq!(code(take(&question("secret.example.org", kind, false), false)), (0, false), "{kind}");
    }
    assert_eq!(code(take(&question("1.0.0.127.in-addr.arpa", 12, false), false)).0, 3);
    let mut chaos = question("version.bind", 16, false);
    let end = chaos.len() - 1;
    chaos[end] = 3;
    assert_eq!(code(take(&chaos, false)).0, 5);
}

#[test]
fn broken_questions_are_answered_as_such() {
    let good = question("a.example.org", 1, true);
    for len in 0..good.len() {
        let asking = take(&good[..len], false);
        if len < 12 {
            assert_eq!(asking, Asking::Nobody);
        } else if len < good.len() - 11 {
            assert_eq!(code(asking).0, 1, "{len}");
        }
    }
    let mut reply = good.clone();
    reply[2] |= 0x80;
    assert_eq!(take(&reply, false), Asking::Nobody);
    let mut two = good.clone();
    two[5] = 2;
    assert_eq!(code(take(&two, false)).0, 1);
    let mut pointer = good;
    pointer[12] = 0xc0;
    assert_eq!(code(take(&pointer, false)).0, 1);
}

/// Whatever one byte becomes, nothing panics, and replies are well-formed.
#[test]
fn changed_questions() {
    let good = question("a.example.org", 1, true);
    for at in 0..good.len() {
        for value in 0..=255 {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Asking::Answered(reply) = take(&bytes, at % 2 == 0) {
                assert!(reply.len() >= 12);
            }
        }
    }
}

#[test]
fn readiness_is_not_cleared_by_who_looked_before_the_host_spoke() {
    let readiness = Readiness::default();
    assert!(readiness.learn(readiness.look(), Events::IN.bits() as u16));
    let before = readiness.look();
    assert!(readiness.learn(before, (Events::IN | Events::OUT).bits() as u16));
    assert!(!readiness.clear(before, Events::IN));
    assert_eq!(readiness.look().events(), Events::IN | Events::OUT);
    assert!(readiness.look().is_doubtful());
    assert!(readiness.clear(readiness.look(), Events::IN));
    assert_eq!(readiness.look().events(), Events::OUT);
    // What the host said before a call found nothing is not stored after it.
    let asked = readiness.look();
    assert!(readiness.clear(asked, Events::IN));
    assert!(!readiness.learn(asked, Events::IN.bits() as u16));
    let asked = readiness.look();
    readiness.doubt();
    assert!(!readiness.learn(asked, Events::IN.bits() as u16));
    assert!(readiness.learn(readiness.look(), Events::IN.bits() as u16));
    assert!(readiness.look().events() == Events::IN && !readiness.look().is_doubtful());
}
