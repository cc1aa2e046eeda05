//! Waiting for many files: poll(2), select(2), epoll(7).

use core::fmt::{self, Write};

use super::structures::{field, raw, read, shown};
use super::{Context, GuestMemory, MOST_ELEMENTS, address, flags};
use crate::abi::layout::{Layout, Layouts};
use crate::abi::poll::EpollEvent;
use crate::abi::{Names, name};

/// How much of a list is looked at.
const MOST_COUNTED: u64 = 4096;

const POLL_EVENTS: Names = &[
    name("POLLIN", 1),
    name("POLLPRI", 2),
    name("POLLOUT", 4),
    name("POLLRDNORM", 0x40),
    name("POLLRDBAND", 0x80),
    name("POLLWRNORM", 0x100),
    name("POLLWRBAND", 0x200),
    name("POLLERR", 8),
    name("POLLHUP", 0x10),
    name("POLLNVAL", 0x20),
    name("POLLRDHUP", 0x2000),
];
const EPOLL_EVENTS: Names = &[
    name("EPOLLIN", 1),
    name("EPOLLPRI", 2),
    name("EPOLLOUT", 4),
    name("EPOLLRDNORM", 0x40),
    name("EPOLLRDBAND", 0x80),
    name("EPOLLWRNORM", 0x100),
    name("EPOLLWRBAND", 0x200),
    name("EPOLLMSG", 0x400),
    name("EPOLLERR", 8),
    name("EPOLLHUP", 0x10),
    name("EPOLLRDHUP", 0x2000),
    name("EPOLLEXCLUSIVE", 0x1000_0000),
    name("EPOLLWAKEUP", 0x2000_0000),
    name("EPOLLONESHOT", 0x4000_0000),
    name("EPOLLET", 0x8000_0000),
];

/// One `struct pollfd`: descriptor, events, and what came.
fn poll_entry(memory: &dyn GuestMemory, at: u64, index: u64) -> Option<(i32, u16, u16)> {
    let bytes: [u8; 8] = raw(memory, at.checked_add(8 * index)?)?;
    let half = |at: usize| u16::from_le_bytes(field(&bytes, at));
    Some((i32::from_le_bytes(field(&bytes, 0)), half(4), half(6)))
}

pub(super) fn poll(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    let count = context.count();
    if at == 0 || count > 0 && poll_entry(context.memory, at, 0).is_none() {
        return address(out, at);
    }
    out.write_char('[')?;
    for i in 0..count {
        if i > 0 {
            out.write_str(", ")?;
        }
        if i == MOST_ELEMENTS {
            out.write_str("...")?;
            break;
        }
        match poll_entry(context.memory, at, i) {
            Some((fd @ ..0, ..)) => write!(out, "{{fd={fd}}}")?,
            Some((fd, events, _)) => {
                write!(out, "{{fd={fd}, events=")?;
                flags(out, POLL_EVENTS, events.into())?;
                out.write_char('}')?;
            }
            None => {
                address(out, at.wrapping_add(8 * i))?;
                break;
            }
        }
    }
    out.write_char(']')
}

/// The descriptors that are ready, and what for.
pub(super) fn returned_events(out: &mut dyn Write, at: u64, count: u32, memory: &dyn GuestMemory) -> fmt::Result {
    out.write_char('[')?;
    let ready = (0..u64::from(count).min(MOST_COUNTED)).filter_map(|i| poll_entry(memory, at, i));
    let ready = ready.filter(|(fd, _, came)| *fd >= 0 && *came != 0);
    for (i, (fd, _, came)) in ready.take(MOST_ELEMENTS as usize).enumerate() {
        write!(out, "{}{{fd={fd}, revents=", if i > 0 { ", " } else { "" })?;
        flags(out, POLL_EVENTS, came.into())?;
        out.write_char('}')?;
    }
    out.write_char(']')
}

/// The descriptors in a set of select(2).
fn members(memory: &dyn GuestMemory, at: u64, count: u32) -> impl Iterator<Item = u32> + '_ {
    const MOST: u32 = 1024;
    (0..count.min(MOST)).filter(move |fd| {
        let mut byte = [0];
        at != 0 && memory.read(at.wrapping_add(u64::from(fd / 8)), &mut byte) == 1 && byte[0] & 1 << (fd % 8) != 0
    })
}

pub(super) fn set_of(out: &mut dyn Write, at: u64, count: u32, memory: &dyn GuestMemory) -> fmt::Result {
    out.write_char('[')?;
    for (i, fd) in members(memory, at, count).enumerate() {
        write!(out, "{}{fd}", if i > 0 { " " } else { "" })?;
    }
    out.write_char(']')
}

pub(super) fn descriptors(out: &mut dyn Write, at: u64, count: u32, context: Context<'_>) -> fmt::Result {
    let mut byte = [0];
    if at == 0 || context.memory.read(at, &mut byte) != 1 {
        return address(out, at);
    }
    set_of(out, at, count, context.memory)
}

/// `in [3], out [4]`: what is ready.
pub(super) fn returned_sets(out: &mut dyn Write, sets: [u64; 3], count: i32, memory: &dyn GuestMemory) -> fmt::Result {
    let count = u32::try_from(count).unwrap_or(0);
    let mut first = true;
    for (at, what) in sets.into_iter().zip(["in", "out", "except"]) {
        if members(memory, at, count).next().is_none() {
            continue;
        }
        write!(out, "{}{what} ", if first { "" } else { ", " })?;
        first = false;
        set_of(out, at, count, memory)?;
    }
    Ok(())
}

pub(super) fn epoll_events(
    out: &mut dyn Write,
    at: u64,
    layouts: Layouts,
    filled: bool,
    context: Context<'_>,
) -> fmt::Result {
    let show = |out: &mut dyn Write, event: EpollEvent| {
        out.write_str("{events=")?;
        flags(out, EPOLL_EVENTS, event.events.into())?;
        write!(out, ", data={{u32={}, u64={}}}}}", event.data as u32, event.data)
    };
    if !filled {
        return shown(out, at, read(context.memory, at, layouts), show);
    }
    let Some(Ok(count)) = context.result else { return address(out, at) };
    out.write_char('[')?;
    for i in 0..(count as u64).min(MOST_ELEMENTS) {
        if i > 0 {
            out.write_str(", ")?;
        }
        let place = at.wrapping_add(i * size_of::<<EpollEvent as Layout>::X86_64>() as u64);
        shown(out, place, read(context.memory, place, layouts), show)?;
    }
    out.write_char(']')
}
