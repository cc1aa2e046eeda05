//! Rules as a file may hold them: `cargo fuzz run -s none rules` in `litebox_broker`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litebox_broker::net::publish::Publish;
use litebox_broker::net::rules::Rule;

fuzz_target!(|text: &str| {
    if let Ok(rule) = Rule::parse(text) {
        assert_eq!(rule.to_string(), text);
    }
    if let Ok(what) = Publish::parse(text) {
        assert_eq!(Publish::parse(&what.to_string()), Ok(what));
    }
});
