//! Questions and replies of DNS. The names in a reply come from anybody: `hickory-proto` takes it apart.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use litebox_protocol::net::MAX_ADDRESSES;

/// Which addresses are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn record(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

/// What a server says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// The addresses of the name, perhaps none, and for how many seconds they may be kept.
    Addresses(Vec<IpAddr>, u32),
    /// There is no such name.
    NoName,
    /// It does not know, or does not say.
    Failure,
    /// It says more over TCP.
    Truncated,
}

/// Largest reply by UDP that is asked for: what no network breaks into pieces.
pub const UDP_SIZE: u16 = 1232;
/// How many aliases are followed.
const MOST_ALIASES: usize = 16;

/// The message that asks for the addresses of `name`; `None`: it cannot be asked for.
pub fn question(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let name = Name::from_ascii(format!("{name}.")).ok()?;
    let mut message = Message::new();
    message.set_id(id).set_message_type(MessageType::Query).set_op_code(OpCode::Query).set_recursion_desired(true);
    message.add_query(Query::query(name, family.record()));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_SIZE);
    message.set_edns(edns);
    message.to_vec().ok()
}

/// Reads the reply to that question; `None`: it is none, and the right one may still come.
pub fn reply(bytes: &[u8], id: u16, name: &str, family: Family) -> Option<Said> {
    let message = Message::from_vec(bytes).ok()?;
    let asked = Name::from_ascii(format!("{name}.")).ok()?;
    let [query] = message.queries() else { return None };
    let ours = message.id() == id
        && message.message_type() == MessageType::Response
        && query.name() == &asked
        && query.query_type() == family.record()
        && query.query_class() == DNSClass::IN;
    if !ours {
        return None;
    }
    Some(match message.response_code() {
        _ if message.truncated() => Said::Truncated,
        ResponseCode::NoError => addresses(&message, asked, family),
        ResponseCode::NXDomain => Said::NoName,
        _ => Said::Failure,
    })
}

/// The addresses of the name and of what it is an alias of. Records of other names are nobody's business.
fn addresses(message: &Message, asked: Name, family: Family) -> Said {
    let (mut name, mut ttl) = (asked, u32::MAX);
    for _ in 0..MOST_ALIASES {
        let mut found = Vec::new();
        let mut alias = None;
        for record in message.answers().iter().filter(|r| r.name() == &name && r.dns_class() == DNSClass::IN) {
            match (record.data(), family) {
                (RData::A(a), Family::V4) => found.push(IpAddr::V4(a.0)),
                (RData::AAAA(a), Family::V6) => found.push(IpAddr::V6(a.0)),
                (RData::CNAME(to), _) => alias = Some(to.0.clone()),
                _ => continue,
            }
            ttl = ttl.min(record.ttl());
        }
        found.truncate(MAX_ADDRESSES);
        match alias {
            Some(next) if found.is_empty() => name = next,
            _ => return Said::Addresses(found, if ttl == u32::MAX { 0 } else { ttl }),
        }
    }
    Said::Failure
}

#[cfg(test)]
#[path = "dns/tests.rs"]
mod tests;
