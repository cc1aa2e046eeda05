//! Programs that clients have started, and what the sandbox's kernel is told about them.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};

use litebox_protocol::control::{MAX_PROGRAMS, STREAMS};
use litebox_protocol::{Event, EventKind};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::socket::send;

/// Events that may wait for the sandbox to take them.
const MOST_WAITING: usize = 2 * MAX_PROGRAMS;

/// Whose a program is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Key of the client.
    pub client: u64,
    /// Its number of the program.
    pub id: u32,
}

/// All that run.
#[derive(Default)]
pub struct Programs {
    owners: BTreeMap<u32, Owner>,
    last: u32,
    outbox: VecDeque<(Event, Option<OwnedFd>)>,
}

impl Programs {
    /// Has the sandbox start a program as `body` says, with these streams.
    pub fn start(&mut self, owner: Owner, body: &[u8], streams: Vec<OwnedFd>) -> Result<(), Errno> {
        if streams.len() != STREAMS {
            return Err(Errno::BADF);
        }
        if self.number_of(owner).is_some() {
            return Err(Errno::EXIST);
        }
        if self.owners.len() >= MAX_PROGRAMS || self.outbox.len() > MOST_WAITING {
            return Err(Errno::AGAIN);
        }
        let body = memory_file(body)?;
        let number = self.free_number();
        self.owners.insert(number, owner);
        for (which, stream) in (0u64..).zip(streams) {
            self.tell(EventKind::Stream, u64::from(number) | which << 32, Some(stream));
        }
        self.tell(EventKind::Start, number.into(), Some(body));
        Ok(())
    }

    /// A number that no program has. 0 is the first program's.
    fn free_number(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1).max(1);
            if !self.owners.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// Has it get a signal.
    pub fn signal(&mut self, owner: Owner, signal: u64) -> Result<(), Errno> {
        const LAST: u64 = 64;
        let number = self.number_of(owner).ok_or(Errno::SRCH)?;
        if signal > LAST {
            return Err(Errno::INVAL);
        }
        self.tell(EventKind::ProgramSignal, u64::from(number) | signal << 32, None);
        Ok(())
    }

    /// Its terminal has another size.
    pub fn resize(&mut self, owner: Owner, window: u64) -> Result<(), Errno> {
        let number = self.number_of(owner).ok_or(Errno::SRCH)?;
        let window = u32::try_from(window).map_err(|_| Errno::INVAL)?;
        self.tell(EventKind::ProgramWindow, u64::from(number) | u64::from(window) << 32, None);
        Ok(())
    }

    fn number_of(&self, owner: Owner) -> Option<u32> {
        self.owners.iter().find(|(_, theirs)| **theirs == owner).map(|(number, _)| *number)
    }

    /// Whose the program with this number is.
    pub fn owner(&self, number: u32) -> Option<Owner> {
        self.owners.get(&number).copied()
    }

    /// It has ended; whose it was.
    pub fn forget(&mut self, number: u32) -> Option<Owner> {
        self.owners.remove(&number)
    }

    /// Takes all of them out: the sandbox has ended.
    pub fn take_all(&mut self) -> impl Iterator<Item = Owner> + use<> {
        std::mem::take(&mut self.owners).into_values()
    }

    fn tell(&mut self, kind: EventKind, value: u64, passed: Option<OwnedFd>) {
        self.outbox.push_back((Event { kind: kind as u32, reserved: 0, value }, passed));
    }

    /// Whether events wait.
    pub fn has_news(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends what the sandbox takes now. `false`: its queue is full.
    pub fn flush(&mut self, events: &OwnedFd) -> bool {
        while let Some((event, passed)) = self.outbox.front() {
            match send(events.as_fd(), event.as_bytes(), passed.as_ref().map(OwnedFd::as_fd)) {
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR | Errno::TOOMANYREFS) => return false,
                // Sent, or nobody is there any more.
                _ => drop(self.outbox.pop_front()),
            }
        }
        true
    }
}

/// A memory file with these bytes.
fn memory_file(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file = rustix::fs::memfd_create("litebox-start", MemfdFlags::CLOEXEC)?;
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        written += rustix::io::pwrite(&file, rest, written as u64)?;
    }
    Ok(file)
}
