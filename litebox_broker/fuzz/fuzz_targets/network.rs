//! Requests of a hostile sandbox about the network: `cargo fuzz run -s none network` in `litebox_broker`.
//!
//! The input is a row of messages, each behind its length in two bytes; all are served by one service, whose rules
//! allow one name and no address.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use litebox_broker::net::policy::{Mode, Policy};
use litebox_broker::net::rules::Rule;
use litebox_broker::net::{Service, Setup};

fuzz_target!(|data: &[u8]| {
    let policy = Policy { mode: Mode::Rules, allow: Rule::parse_list("only.example.org").unwrap(), deny: Vec::new() };
    // Nobody answers there.
    let servers = vec![SocketAddr::from(([127, 0, 0, 1], 9))];
    let mut service = Service::new(Setup { policy, servers, ..Setup::default() });
    let mut rest = data;
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (message, tail) = tail.split_at(usize::from(u16::from_le_bytes(*len)).min(tail.len()));
        rest = tail;
        let (reply, passed) = service.serve(message, None);
        assert!(reply.len() >= 20 && passed.is_none());
    }
});
