//! Options that a socket of the host is given: those that change what its peer or the host does.

use alloc::vec::Vec;

use litebox_common_linux::abi::socket::SOL_SOCKET;

use litebox_protocol::net::Setting as Made;

use crate::net::{Setting, Settings};

/// Level and name of an option that the broker sets.
pub(super) fn numbers_of(of: Setting) -> Option<(i32, i32)> {
    const IP: i32 = 0;
    const TCP: i32 = 6;
    const IPV6: i32 = 41;
    Some(match of {
        Setting::KeepAlive => (SOL_SOCKET, 9),
        Setting::OobInline => (SOL_SOCKET, 10),
        Setting::SendBuffer => (SOL_SOCKET, 7),
        Setting::ReceiveBuffer => (SOL_SOCKET, 8),
        Setting::NoDelay => (TCP, 1),
        Setting::MaxSegment => (TCP, 2),
        Setting::Cork => (TCP, 3),
        Setting::KeepIdle => (TCP, 4),
        Setting::KeepInterval => (TCP, 5),
        Setting::KeepCount => (TCP, 6),
        Setting::SynCount => (TCP, 7),
        Setting::LingerTwo => (TCP, 8),
        Setting::WindowClamp => (TCP, 10),
        Setting::QuickAck => (TCP, 12),
        Setting::UserTimeout => (TCP, 18),
        Setting::NotSentLowat => (TCP, 25),
        Setting::Tos => (IP, 1),
        Setting::Ttl => (IP, 2),
        Setting::MtuDiscover => (IP, 10),
        Setting::UnicastHops => (IPV6, 16),
        Setting::TrafficClass => (IPV6, 67),
        _ => return None,
    })
}

/// What of an option the host is told. Sizes of buffers are kept doubled, as getsockopt(2) tells them.
pub(super) fn value_of(of: Setting, options: &Settings) -> i32 {
    match of {
        Setting::SendBuffer | Setting::ReceiveBuffer => options.get(of) / 2,
        _ => options.get(of),
    }
}

/// The options that differ from what a new socket has, to be set before it connects.
pub(super) fn made_before(options: &Settings) -> Vec<Made> {
    const BEFORE: [Setting; 14] = [
        Setting::KeepAlive,
        Setting::SendBuffer,
        Setting::ReceiveBuffer,
        Setting::NoDelay,
        Setting::MaxSegment,
        Setting::KeepIdle,
        Setting::KeepInterval,
        Setting::KeepCount,
        Setting::SynCount,
        Setting::UserTimeout,
        Setting::Tos,
        Setting::Ttl,
        Setting::UnicastHops,
        Setting::TrafficClass,
    ];
    let fresh = Settings::default();
    let differ = BEFORE.into_iter().filter(|of| options.get(*of) != fresh.get(*of));
    differ
        .filter_map(|of| numbers_of(of).map(|(level, name)| Made { level, name, value: value_of(of, options) }))
        .collect()
}
