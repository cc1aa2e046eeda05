#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record};
use proptest::prelude::*;

use super::{Family, Said, question, reply};

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A(Ipv4Addr::new(198, 51, 100, last))))
}

fn alias(owner: &str, to: &str) -> Record {
    Record::from_rdata(name(owner), 30, RData::CNAME(CNAME(name(to))))
}

/// The reply to a question for `example.org` with these records.
fn answered(family: Family, records: Vec<Record>, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::from_vec(&question(7, "example.org", family).unwrap()).unwrap();
    message.set_message_type(MessageType::Response);
    message.add_answers(records);
    change(&mut message);
    message.to_vec().unwrap()
}

fn read(bytes: &[u8]) -> Option<Said> {
    reply(bytes, 7, "example.org", Family::V4)
}

fn v4(last: &[u8]) -> Vec<IpAddr> {
    last.iter().map(|last| Ipv4Addr::new(198, 51, 100, *last).into()).collect()
}

#[test]
fn addresses_of_the_name_and_of_its_aliases_are_found() {
    let plain = answered(Family::V4, vec![a("example.org.", 300, 1), a("Example.ORG.", 200, 2)], |_| ());
    assert_eq!(read(&plain), Some(Said::Addresses(v4(&[1, 2]), 200)));
    let aliased = vec![alias("example.org.", "cdn.net."), alias("cdn.net.", "edge.net."), a("edge.net.", 60, 3)];
    assert_eq!(read(&answered(Family::V4, aliased, |_| ())), Some(Said::Addresses(v4(&[3]), 30)));
    let six = Record::from_rdata(name("example.org."), 5, RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)));
    let six = answered(Family::V6, vec![six], |_| ());
    assert_eq!(reply(&six, 7, "example.org", Family::V6), Some(Said::Addresses(vec![Ipv6Addr::LOCALHOST.into()], 5)));
}

#[test]
fn records_of_other_names_do_not_count() {
    let other = answered(Family::V4, vec![a("other.org.", 300, 1), alias("x.org.", "example.org.")], |_| ());
    assert_eq!(read(&other), Some(Said::Addresses(Vec::new(), 0)));
}

#[test]
fn aliases_that_lead_in_a_circle_are_a_failure() {
    let circle = vec![alias("example.org.", "a.org."), alias("a.org.", "example.org.")];
    assert_eq!(read(&answered(Family::V4, circle, |_| ())), Some(Said::Failure));
}

#[test]
fn replies_to_other_questions_are_none() {
    let good = answered(Family::V4, vec![a("example.org.", 300, 1)], |_| ());
    assert_eq!(reply(&good, 8, "example.org", Family::V4), None);
    assert_eq!(reply(&good, 7, "example.com", Family::V4), None);
    assert_eq!(reply(&good, 7, "example.org", Family::V6), None);
    assert_eq!(read(&question(7, "example.org", Family::V4).unwrap()), None);
    assert_eq!(read(b""), None);
}

#[test]
fn codes_are_told() {
    let with = |code| {
        answered(Family::V4, Vec::new(), |m| {
            m.set_response_code(code);
        })
    };
    assert_eq!(read(&with(ResponseCode::NXDomain)), Some(Said::NoName));
    assert_eq!(read(&with(ResponseCode::ServFail)), Some(Said::Failure));
    assert_eq!(read(&with(ResponseCode::Refused)), Some(Said::Failure));
    let cut = answered(Family::V4, Vec::new(), |m| {
        m.set_truncated(true);
    });
    assert_eq!(read(&cut), Some(Said::Truncated));
}

#[test]
fn no_more_addresses_than_are_told() {
    let many = (0..100).map(|n| a("example.org.", 300, n)).collect();
    let Some(Said::Addresses(found, _)) = read(&answered(Family::V4, many, |_| ())) else { panic!("no addresses") };
    assert_eq!(found.len(), 32);
}

proptest! {
    /// A reply of which bytes were changed, cut or repeated is read as something, and never with more addresses than
    /// can be told.
    #[test]
    fn changed_replies(changes in proptest::collection::vec((0usize..200, any::<u8>()), 0..6), len in 0usize..220) {
        let records = vec![alias("example.org.", "cdn.net."), a("cdn.net.", 60, 3), a("cdn.net.", 60, 4)];
        let mut bytes = answered(Family::V4, records, |_| ());
        for (at, value) in changes {
            let size = bytes.len();
            if let Some(byte) = bytes.get_mut(at % size) {
                *byte = value;
            }
        }
        bytes.truncate(len.max(12));
        if let Some(Said::Addresses(found, _)) = read(&bytes) {
            prop_assert!(found.len() <= 32);
        }
    }
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let said = read(&bytes);
        prop_assert!(said.is_none() || bytes.len() >= 12);
    }
}
