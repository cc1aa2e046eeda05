//! Programs that clients have started, and what the sandbox's kernel is told about them.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use litebox_protocol::control::{Granted, MAX_GRANTS, MAX_PROGRAMS, STREAMS, Start, What};
use litebox_protocol::{Event, EventKind};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::beneath::Grant;
use crate::files::Files;
use crate::socket::send;

/// Events that may wait for the sandbox to take them.
const MOST_WAITING: usize = 2 * MAX_PROGRAMS;

/// Whose a program is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Owner {
    /// Key of the client.
    pub client: u64,
    /// Its number of the program.
    pub id: u32,
}

/// All that run.
pub struct Programs {
    files: Arc<Files>,
    owners: BTreeMap<u32, Owner>,
    /// Those that are the first of containers, and the containers' names.
    containers: BTreeMap<u32, Vec<u8>>,
    /// Grants of containers that run, and of those that are about to be started.
    grants: BTreeMap<Owner, Vec<u32>>,
    last: u32,
    outbox: VecDeque<(Event, Option<OwnedFd>)>,
}

impl Programs {
    /// None yet. Containers are granted directories among `files`.
    pub fn new(files: Arc<Files>) -> Self {
        Self {
            files,
            owners: BTreeMap::new(),
            containers: BTreeMap::new(),
            grants: BTreeMap::new(),
            last: 0,
            outbox: VecDeque::new(),
        }
    }

    /// Grants something to a container that is about to be started.
    pub fn grant(&mut self, owner: Owner, grant: Grant) -> Result<Granted, Errno> {
        let theirs = self.grants.entry(owner).or_default();
        if theirs.len() >= MAX_GRANTS {
            return Err(Errno::MFILE);
        }
        let (info, root) = grant.describe();
        let number = self.files.add(grant)?;
        theirs.push(number);
        Ok(Granted { number, reserved: 0, info, root })
    }

    fn take_back(&mut self, owner: Owner) {
        for number in self.grants.remove(&owner).unwrap_or_default() {
            self.files.remove(number);
        }
    }

    /// A client is gone. Its programs go on without it; but its containers end, and what it was about to start is
    /// forgotten.
    pub fn client_gone(&mut self, client: u64) {
        const KILL: u64 = 9;
        let theirs = |owner: &Owner| owner.client == client;
        // At once: the sandbox has no say in what it may reach.
        let granted: Vec<Owner> = self.grants.keys().copied().filter(theirs).collect();
        for owner in granted {
            self.take_back(owner);
        }
        let begun = |number: &&u32| self.owners.get(number).is_some_and(theirs);
        let numbers: Vec<u32> = self.containers.keys().filter(begun).copied().collect();
        for number in numbers {
            self.tell(EventKind::ProgramSignal, u64::from(number) | KILL << 32, None);
        }
    }

    /// Has the sandbox start a program as `body` says, with these streams.
    pub fn start(&mut self, owner: Owner, body: &[u8], streams: Vec<OwnedFd>) -> Result<(), Errno> {
        self.start_as(owner, body, streams).or_else(|why| self.refuse(owner, why))
    }

    /// Does not start a program: what was granted for it is taken back.
    pub fn refuse(&mut self, owner: Owner, why: Errno) -> Result<(), Errno> {
        // Who asks for a number that is in use has no say in what that one has.
        if self.number_of(owner).is_none() {
            self.take_back(owner);
        }
        Err(why)
    }

    fn start_as(&mut self, owner: Owner, body: &[u8], streams: Vec<OwnedFd>) -> Result<(), Errno> {
        if self.number_of(owner).is_some() {
            return Err(Errno::EXIST);
        }
        let start = Start::parse(body).ok_or(Errno::INVAL)?;
        if streams.len() != STREAMS {
            return Err(Errno::BADF);
        }
        if self.owners.len() >= MAX_PROGRAMS {
            return Err(Errno::AGAIN);
        }
        self.check_outbox()?;
        let container = start.container.filter(|_| start.what == What::Container);
        if container.is_some_and(|name| self.container(name).is_some()) {
            return Err(Errno::EXIST);
        }
        let body = memory_file(body)?;
        let number = self.free_number();
        self.owners.insert(number, owner);
        match container {
            Some(name) => drop(self.containers.insert(number, name.to_vec())),
            // Only a container has something granted.
            None => self.take_back(owner),
        }
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

    /// The number of the first program of the container with this name.
    fn container(&self, name: &[u8]) -> Option<u32> {
        self.containers.iter().find(|(_, theirs)| *theirs == name).map(|(number, _)| *number)
    }

    /// Has it get a signal.
    pub fn signal(&mut self, owner: Owner, signal: u64) -> Result<(), Errno> {
        let number = self.number_of(owner).ok_or(Errno::SRCH)?;
        self.signal_to(number, signal)
    }

    /// Has the first program of a container get a signal.
    pub fn signal_container(&mut self, name: &[u8], signal: u64) -> Result<(), Errno> {
        let number = self.container(name).ok_or(Errno::SRCH)?;
        self.signal_to(number, signal)
    }

    fn signal_to(&mut self, number: u32, signal: u64) -> Result<(), Errno> {
        const LAST: u64 = 64;
        if signal > LAST {
            return Err(Errno::INVAL);
        }
        self.check_outbox()?;
        self.tell(EventKind::ProgramSignal, u64::from(number) | signal << 32, None);
        Ok(())
    }

    /// Its terminal has another size.
    pub fn resize(&mut self, owner: Owner, window: u64) -> Result<(), Errno> {
        let number = self.number_of(owner).ok_or(Errno::SRCH)?;
        let window = u32::try_from(window).map_err(|_| Errno::INVAL)?;
        self.check_outbox()?;
        self.tell(EventKind::ProgramWindow, u64::from(number) | u64::from(window) << 32, None);
        Ok(())
    }

    /// `EAGAIN` when the sandbox does not take what it is told.
    fn check_outbox(&self) -> Result<(), Errno> {
        if self.outbox.len() > MOST_WAITING { Err(Errno::AGAIN) } else { Ok(()) }
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
        let owner = self.owners.remove(&number)?;
        self.containers.remove(&number);
        self.take_back(owner);
        Some(owner)
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use litebox_protocol::control::{STREAMS, StartFlags, StartHead, ViewHead, What};
    use rustix::io::Errno;
    use zerocopy::IntoBytes;

    use super::{MOST_WAITING, Owner, Programs};
    use crate::beneath::{Access, Grant};
    use crate::files::Files;

    const OWNER: Owner = Owner { client: 1, id: 1 };

    fn granted() -> Programs {
        let mut programs = Programs::new(Arc::new(Files::new(Vec::new())));
        grant(&mut programs, OWNER);
        programs
    }

    fn grant(programs: &mut Programs, owner: Owner) {
        let directory = File::open("/").unwrap().into();
        programs.grant(owner, Grant::directory(directory, Access::ReadOnly, false).unwrap()).unwrap();
    }

    fn streams() -> Vec<OwnedFd> {
        (0..STREAMS).map(|_| File::open("/dev/null").unwrap().into()).collect()
    }

    /// The body of a start: a container, or a program of the sandbox.
    fn body(container: bool) -> Vec<u8> {
        let (what, flags) =
            if container { (What::Container, StartFlags::IN_CONTAINER) } else { (What::Program, StartFlags::empty()) };
        let head = StartHead { what: what as u32, flags: flags.bits(), arguments: 1, ..StartHead::default() };
        let names: &[&[u8]] = if container { &[b"", b"", b"one", b"true"] } else { &[b"", b"", b"true"] };
        let mut body = head.as_bytes().to_vec();
        for name in names {
            body.extend_from_slice(&(name.len() as u32).to_le_bytes());
            body.extend_from_slice(name);
        }
        if container {
            body.extend_from_slice(ViewHead::default().as_bytes());
        }
        body
    }

    #[test]
    fn what_is_refused_or_no_container_keeps_no_grants() {
        let mut programs = granted();
        assert_eq!(programs.start(OWNER, &[], streams()), Err(Errno::INVAL));
        assert!(programs.grants.is_empty());
        grant(&mut programs, OWNER);
        assert_eq!(programs.refuse(OWNER, Errno::BUSY), Err(Errno::BUSY));
        assert!(programs.grants.is_empty());
        grant(&mut programs, OWNER);
        assert_eq!(programs.start(OWNER, &body(false), streams()), Ok(()));
        assert!(programs.grants.is_empty());
    }

    #[test]
    fn a_second_start_takes_nothing_from_a_container() {
        let mut programs = granted();
        assert_eq!(programs.start(OWNER, &body(true), streams()), Ok(()));
        for bad in [&body(true)[..], &[]] {
            assert_eq!(programs.start(OWNER, bad, streams()), Err(Errno::EXIST));
        }
        assert_eq!(programs.refuse(OWNER, Errno::BUSY), Err(Errno::BUSY));
        assert_eq!(programs.grants.len(), 1);
        // One of the same name is not started, and has nothing.
        let other = Owner { id: 2, ..OWNER };
        grant(&mut programs, other);
        assert_eq!(programs.start(other, &body(true), streams()), Err(Errno::EXIST));
        assert_eq!(programs.grants.len(), 1);
        programs.forget(1);
        assert!(programs.grants.is_empty());
    }

    #[test]
    fn a_client_that_is_gone_leaves_no_grants() {
        let mut programs = granted();
        assert_eq!(programs.start(OWNER, &body(true), streams()), Ok(()));
        programs.client_gone(OWNER.client);
        assert!(programs.grants.is_empty());
        assert_eq!(programs.container(b"one"), Some(1));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut programs = granted();
        assert_eq!(programs.start(OWNER, &body(true), streams()), Ok(()));
        let told = (0..2 * MOST_WAITING).filter(|_| programs.signal(OWNER, 1).is_ok()).count();
        assert!(told <= MOST_WAITING);
        assert_eq!(programs.resize(OWNER, 0), Err(Errno::AGAIN));
        assert_eq!(programs.signal_container(b"one", 9), Err(Errno::AGAIN));
    }
}
