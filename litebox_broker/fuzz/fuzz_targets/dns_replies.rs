//! Replies of hostile name servers: `cargo fuzz run -s none dns_replies` in `litebox_broker`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litebox_broker::net::dns::{Family, Said, reply};

fuzz_target!(|data: &[u8]| {
    let Some((id, _)) = data.split_first_chunk::<2>() else { return };
    for family in [Family::V4, Family::V6] {
        if let Some(Said::Addresses(found, _)) = reply(data, u16::from_be_bytes(*id), "example.org", family) {
            assert!(found.len() <= 32 && found.iter().all(|address| address.is_ipv4() == (family == Family::V4)));
        }
    }
});
