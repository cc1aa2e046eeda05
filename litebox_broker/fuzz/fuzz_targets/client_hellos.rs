//! First flights of a hostile guest: `cargo fuzz run -s none client_hellos` in `litebox_broker`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litebox_broker::net::hello::{Hello, look};
use litebox_broker::net::rules::normal_name;

fuzz_target!(|data: &[u8]| {
    if let Hello::Name(name) = look(data) {
        assert_eq!(normal_name(&name), Ok(name.clone()));
        // What follows changes nothing.
        assert_eq!(look(&[data, b"more"].concat()), Hello::Name(name));
    }
});
