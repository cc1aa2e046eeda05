//! /proc/locks: who holds advisory locks, and who waits for one (fs/locks.c).

use alloc::sync::Arc;

use litebox::fs::dev::major_minor;
use litebox::fs::{InodeId, KnownLock, LockOwner, Record};

use crate::Kernel;

use super::tree::{Text, put};

pub(super) fn locks(kernel: &Arc<Kernel>, out: &mut Text) {
    let mut number = 0;
    kernel.file_locks.for_each(&mut |id, lock| {
        // Who waits bears the number of the lock that it waits for.
        let waits = matches!(lock, KnownLock::Awaited(_) | KnownLock::AwaitedWhole(_));
        if !waits {
            number += 1;
        }
        put!(out, "{number}: {}", if waits { "-> " } else { "" });
        match lock {
            KnownLock::Record(record) | KnownLock::Awaited(record) => put_record(record, id, out),
            KnownLock::Whole(lock) | KnownLock::AwaitedWhole(lock) => {
                put_head("FLOCK ", lock.write, lock.pid, id, out);
                out.put(b"0 EOF\n");
            }
        }
    });
}

fn put_head(class: &str, write: bool, pid: i32, id: InodeId, out: &mut Text) {
    let (major, minor) = major_minor(id.dev);
    let kind = if write { "WRITE" } else { "READ" };
    put!(out, "{class} ADVISORY  {kind} {pid} {major:02x}:{minor:02x}:{} ", id.ino);
}

fn put_record(record: Record, id: InodeId, out: &mut Text) {
    let class = if matches!(record.owner, LockOwner::Description(_)) { "OFDLCK" } else { "POSIX " };
    put_head(class, record.write, record.pid, id, out);
    match record.range.end {
        u64::MAX => put!(out, "{} EOF\n", record.range.start),
        end => put!(out, "{} {}\n", record.range.start, end.saturating_sub(1)),
    }
}
