//! Requests of a hostile sandbox about the network: `cargo fuzz run -s none network` in `litebox_broker`.
//!
//! The input is a row of messages, all served by one service, whose rules allow one name and no address. Some are any
//! bytes; most are requests whose parts fit each other.
#![no_main]

use std::net::{SocketAddr, UdpSocket};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use litebox_broker::net::policy::{Mode, Policy};
use litebox_broker::net::rules::Rule;
use litebox_broker::net::{Service, Setup};
use litebox_protocol::net::{HOST_V4, HOST_V6, MAX_NET_REPLY, NetReply, NetRequest, TCP, UDP, mapped};
use zerocopy::IntoBytes;

#[derive(Arbitrary, Debug)]
enum Target {
    /// The host's loopback, as the sandbox knows it.
    Host(bool),
    Loopback,
    Metadata,
    Any([u8; 16]),
}

#[derive(Arbitrary, Debug)]
enum Extra {
    Nothing,
    Allowed,
    Name(Vec<u8>),
    /// Options to make before a connection is: level, name, value.
    Settings(Vec<[u8; 3]>),
    Number(u32),
    Any(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
struct Fields {
    op: u8,
    id: u8,
    target: Target,
    port: u16,
    protocol: Option<bool>,
    level: u8,
    name: u8,
    value: u16,
    extra: Extra,
    socket: bool,
}

#[derive(Arbitrary, Debug)]
enum Message {
    Fields(Fields),
    Any(Vec<u8>),
}

impl Target {
    fn address(&self) -> [u8; 16] {
        match self {
            Self::Host(true) => mapped(HOST_V4),
            Self::Host(false) => HOST_V6,
            Self::Loopback => mapped([127, 0, 0, 1]),
            Self::Metadata => mapped([169, 254, 169, 254]),
            Self::Any(address) => *address,
        }
    }
}

impl Extra {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Allowed => b"only.example.org".to_vec(),
            Self::Name(bytes) => [bytes, b".example.org".as_slice()].concat(),
            Self::Settings(all) => all.iter().flatten().flat_map(|part| i32::from(*part).to_ne_bytes()).collect(),
            Self::Number(value) => value.to_ne_bytes().to_vec(),
            Self::Any(bytes) => bytes.clone(),
        }
    }
}

impl Fields {
    fn bytes(&self) -> Vec<u8> {
        let extra = self.extra.bytes();
        let head = NetRequest {
            op: u32::from(self.op % 13),
            extra_len: extra.len() as u32,
            id: self.id.into(),
            address: self.target.address(),
            port: self.port,
            protocol: self.protocol.map_or(1, |udp| if udp { UDP } else { TCP }),
            level: self.level.into(),
            name: self.name.into(),
            value: self.value.into(),
            ..NetRequest::default()
        };
        [head.as_bytes(), &extra].concat()
    }
}

fuzz_target!(|messages: Vec<Message>| {
    let policy = Policy { mode: Mode::Rules, allow: Rule::parse_list("only.example.org").unwrap(), deny: Vec::new() };
    // Nobody answers there.
    let servers = vec![SocketAddr::from(([127, 0, 0, 1], 9))];
    let mut service = Service::new(Setup { policy, servers, ..Setup::default() });
    for message in &messages {
        let (bytes, wants) = match message {
            Message::Fields(fields) => (fields.bytes(), fields.socket),
            Message::Any(bytes) => (bytes.clone(), false),
        };
        let came = wants.then(|| UdpSocket::bind("127.0.0.1:0").unwrap().into());
        let (reply, passed) = service.serve(&bytes, came);
        assert!((size_of::<NetReply>()..=MAX_NET_REPLY).contains(&reply.len()));
        // No rule allows an address.
        assert!(passed.is_none());
    }
});
