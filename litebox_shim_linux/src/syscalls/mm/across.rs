//! Memory of a process by its id: process_vm_readv(2), process_vm_writev(2). What belongs to another process lies in another host process,
//! which no host call of ours reaches; to whoever asks it is as if it could not be traced.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::{Error, Result};

use crate::Task;
use crate::user::{read_bytes, read_into, word, write_bytes};

/// The most vectors of a call.
const MOST_VECTORS: usize = 1024;
/// The most bytes of a call.
const MOST_BYTES: u64 = 0x7fff_f000;
const CHUNK: usize = 1024;

/// Pieces of memory, one behind the other.
struct Pieces {
    left: Vec<(u64, u64)>,
}

impl Pieces {
    fn read(addr: u64, count: usize) -> Result<Self> {
        if count > MOST_VECTORS {
            return Err(Error::Invalid);
        }
        let mut left = Vec::new();
        left.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
        let mut total = 0u64;
        for i in 0..count as u64 {
            let raw: [u8; 16] = read_bytes(addr.checked_add(16 * i).ok_or(Error::Fault)?)?;
            let (base, len) = (u64::from_le_bytes(word(&raw, 0)), u64::from_le_bytes(word(&raw, 8)));
            if len > i64::MAX as u64 {
                return Err(Error::Invalid);
            }
            let len = len.min(MOST_BYTES - total);
            total += len;
            left.push((base, len));
        }
        left.reverse();
        Ok(Self { left })
    }
    /// The next piece, none of them empty.
    fn next(&mut self) -> Option<(u64, u64)> {
        while self.left.last().is_some_and(|(_, len)| *len == 0) {
            self.left.pop();
        }
        self.left.last().copied()
    }
    fn advance(&mut self, by: u64) {
        if let Some((base, len)) = self.left.last_mut() {
            *base = base.wrapping_add(by);
            *len = len.saturating_sub(by);
        }
    }
}

impl Task<'_, '_> {
    /// process_vm_readv(2)
    pub(crate) fn process_vm_readv(
        &mut self,
        pid: i32,
        local: u64,
        local_count: usize,
        remote: u64,
        remote_count: usize,
        flags: usize,
    ) -> Result<usize> {
        let (to, from) = self.across(pid, (local, local_count), (remote, remote_count), flags)?;
        copy(from, to)
    }

    /// process_vm_writev(2)
    pub(crate) fn process_vm_writev(
        &mut self,
        pid: i32,
        local: u64,
        local_count: usize,
        remote: u64,
        remote_count: usize,
        flags: usize,
    ) -> Result<usize> {
        let (from, to) = self.across(pid, (local, local_count), (remote, remote_count), flags)?;
        copy(from, to)
    }

    /// The pieces here and there, once it is clear that they may be touched.
    fn across(&self, pid: i32, local: (u64, usize), remote: (u64, usize), flags: usize) -> Result<(Pieces, Pieces)> {
        if flags != 0 {
            return Err(Error::Invalid);
        }
        let local = Pieces::read(local.0, local.1)?;
        let remote = Pieces::read(remote.0, remote.1)?;
        if local.left.iter().all(|(_, len)| *len == 0) {
            return Ok((local, Pieces { left: Vec::new() }));
        }
        let target = self.process_of_task(pid)?;
        if Arc::ptr_eq(&target, self.process()) { Ok((local, remote)) } else { Err(Error::NotPermitted) }
    }
}

/// Copies as much as both sides have; what was copied before a fault counts.
fn copy(mut from: Pieces, mut to: Pieces) -> Result<usize> {
    let mut chunk = [0u8; CHUNK];
    let mut done = 0usize;
    while let Some(((source, available), (target, room))) = from.next().zip(to.next()) {
        let len = available.min(room).min(CHUNK as u64);
        let part = chunk.get_mut(..len as usize).unwrap_or_default();
        if let Err(fault) = read_into(source, part).and_then(|()| write_bytes(target, part)) {
            return if done == 0 { Err(fault) } else { Ok(done) };
        }
        done += part.len();
        from.advance(len);
        to.advance(len);
    }
    Ok(done)
}
