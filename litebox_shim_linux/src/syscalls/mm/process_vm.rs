//! Memory of a process by its id: process_vm_readv(2), process_vm_writev(2).

use alloc::vec::Vec;
use litebox_common_linux::abi::file::IoVec;
use litebox_common_linux::abi::memory::Advice;
use litebox_common_linux::argument::UserRef;

use litebox::{Error, Result};

use crate::Task;
use crate::task::Capability;
use crate::task::task_work::{self, Direction, Remote, move_bytes};
use crate::user::UserRead;

/// The most vectors of a call.
const MOST_VECTORS: usize = 1024;
/// The most bytes of a call.
const MOST_BYTES: u64 = 0x7fff_f000;
/// How much is on its way at once.
const CHUNK: usize = 64 * 1024;

/// Pieces of memory, one behind the other.
struct Pieces {
    /// The next one last; none of them empty.
    left: Vec<(u64, u64)>,
}

impl Pieces {
    fn read(vectors: UserRef<IoVec>, count: usize) -> Result<Self> {
        if count > MOST_VECTORS {
            return Err(Error::Invalid);
        }
        let mut left = Vec::new();
        left.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
        let mut total = 0u64;
        for i in 0..count {
            let IoVec { base, len } = vectors.nth(i)?.read()?;
            let len = u64::try_from(len).map_err(|_| Error::Invalid)?.min(MOST_BYTES - total);
            total += len;
            if len > 0 {
                left.push((base, len));
            }
        }
        left.reverse();
        Ok(Self { left })
    }
    fn len(&self) -> u64 {
        self.left.iter().map(|(_, len)| len).sum()
    }
    /// The next ones, `most` bytes at most.
    fn next(&self, mut most: usize) -> task_work::Pieces {
        let mut next = task_work::Pieces::new();
        for (base, len) in self.left.iter().rev() {
            let len = usize::try_from(*len).unwrap_or(usize::MAX).min(most);
            if len == 0 {
                break;
            }
            next.push((*base, len));
            most -= len;
        }
        next
    }
    fn advance(&mut self, by: usize) {
        let mut by = by as u64;
        while let Some((base, len)) = self.left.last_mut() {
            let step = by.min(*len);
            *base = base.wrapping_add(step);
            *len -= step;
            by -= step;
            if *len > 0 {
                break;
            }
            self.left.pop();
        }
    }
}

impl Task<'_, '_> {
    /// process_vm_readv(2)
    pub(crate) fn process_vm_readv(
        &mut self,
        pid: i32,
        local: UserRef<IoVec>,
        local_count: usize,
        remote: UserRef<IoVec>,
        remote_count: usize,
        flags: usize,
    ) -> Result<usize> {
        self.across(Direction::Read, pid, (local, local_count), (remote, remote_count), flags)
    }

    /// process_vm_writev(2)
    pub(crate) fn process_vm_writev(
        &mut self,
        pid: i32,
        local: UserRef<IoVec>,
        local_count: usize,
        remote: UserRef<IoVec>,
        remote_count: usize,
        flags: usize,
    ) -> Result<usize> {
        self.across(Direction::Write, pid, (local, local_count), (remote, remote_count), flags)
    }

    /// process_madvise(2): of the own process anything that madvise(2) knows, of another one what only says how memory
    /// will be used. The host is not told of another process's memory: such advice changes nothing that a program sees.
    pub(crate) fn process_madvise(
        &mut self,
        pidfd: i32,
        vectors: UserRef<IoVec>,
        count: usize,
        advice: Advice,
        flags: u32,
    ) -> Result<usize> {
        if flags != 0 {
            return Err(Error::Invalid);
        }
        // Linux takes the number of pieces as 32 bits.
        let pieces = Pieces::read(vectors, count as u32 as usize)?;
        let (target, _) = self.process_of(pidfd)?;
        if !self.may_inspect(&target) {
            return Err(Error::Access);
        }
        let own = target.pid == self.process().pid;
        if !own
            && !matches!(
                advice,
                Advice::MADV_WILLNEED | Advice::MADV_COLD | Advice::MADV_PAGEOUT | Advice::MADV_COLLAPSE
            )
        {
            return Err(Error::Invalid);
        }
        if !own && !self.creds().can(Capability::SysNice) {
            return Err(Error::NotPermitted);
        }
        let mut done = 0;
        for (start, len) in pieces.left.iter().rev() {
            let outcome =
                if own { target.mm.madvise(*start, *len, advice) } else { target.mm.check_covered(*start, *len) };
            match outcome {
                Ok(()) => done += *len as usize,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Moves bytes between the caller and another process once it is clear that they may be touched.
    fn across(
        &self,
        direction: Direction,
        pid: i32,
        local: (UserRef<IoVec>, usize),
        remote: (UserRef<IoVec>, usize),
        flags: usize,
    ) -> Result<usize> {
        if flags != 0 {
            return Err(Error::Invalid);
        }
        // Linux takes the number of local pieces as 32 bits, that of the others as it is.
        let local = Pieces::read(local.0, local.1 as u32 as usize)?;
        if local.left.is_empty() {
            // Linux looks no further.
            return Ok(0);
        }
        let remote = Pieces::read(remote.0, remote.1)?;
        if remote.left.is_empty() {
            return Ok(0);
        }
        let target = self.process_of_task(pid)?;
        // Who has ended has no memory, though others of its process may.
        if target.thread(pid).is_none() {
            return Err(Error::NoProcess);
        }
        if !self.may_inspect(&target) {
            return Err(Error::NotPermitted);
        }
        self.transfer(direction, local, &Remote::of(&target), remote)
    }

    /// Moves as much as both sides have; what was moved before a fault counts.
    fn transfer(&self, direction: Direction, mut here: Pieces, target: &Remote, mut there: Pieces) -> Result<usize> {
        let mut bytes = Vec::new();
        let most = usize::try_from(here.len().min(there.len())).unwrap_or(CHUNK).min(CHUNK);
        bytes.try_reserve_exact(most).map_err(|_| Error::NoMemory)?;
        let mut done = 0;
        loop {
            let size = usize::try_from(here.len().min(there.len())).unwrap_or(CHUNK).min(CHUNK);
            if size == 0 {
                return Ok(done);
            }
            bytes.resize(size, 0);
            let (near, far) = (here.next(size), there.next(size));
            let moved = match direction {
                Direction::Read => target.move_bytes(self.thread, direction, &far, &mut bytes).map(|n| {
                    let got = bytes.get_mut(..n).unwrap_or_default();
                    move_bytes(Direction::Write, &near, got)
                }),
                Direction::Write => {
                    let n = move_bytes(Direction::Read, &near, &mut bytes);
                    bytes.truncate(n);
                    target.move_bytes(self.thread, direction, &there.next(n), &mut bytes)
                }
            };
            let moved = match moved {
                Err(error) if done == 0 => return Err(error),
                Err(_) => 0,
                Ok(moved) => moved,
            };
            done += moved;
            if moved < size {
                return if done == 0 { Err(Error::Fault) } else { Ok(done) };
            }
            here.advance(moved);
            there.advance(moved);
        }
    }
}
