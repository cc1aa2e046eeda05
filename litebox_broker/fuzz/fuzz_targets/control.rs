//! Messages of clients, and what reaches the sandbox's kernel of them: `cargo fuzz run -s none control` in
//! `litebox_broker`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litebox_broker::protocol::control::{Granted, MAX_MESSAGE, Message, Start, ViewHead};

fuzz_target!(|data: &[u8]| {
    let Some(message) = Message::parse(data) else { return };
    assert!(data.len() <= MAX_MESSAGE && message.body.len() == message.head.len as usize);
    let Some(start) = Start::parse(message.body) else { return };
    let strings = [start.user, start.workdir].into_iter().chain(start.container);
    let strings = strings.chain(start.arguments).chain(start.variables);
    let (mut count, mut bytes) = (0, 0);
    for string in strings {
        assert!(!string.contains(&0));
        (count, bytes) = (count + 1, bytes + string.len() + 4);
    }
    let view = start.view.map_or(0, |view| {
        assert_eq!(view.granted().count() * size_of::<Granted>(), view.grants.len());
        size_of::<ViewHead>() + view.grants.len() + view.config.len()
    });
    // Every byte behind the head belongs to one of them.
    assert_eq!(bytes + view + 24, message.body.len());
    assert!(count > 2);
});
