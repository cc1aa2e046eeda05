//! Flags in memory that the host raises when an event comes into a queue of changes
//! ([`Watches`](crate::watches::Watches)), so that a look at the queue need not be a call.
//!
//! A ring of io_uring(7) polls the queue. Whoever brings an event leaves the ring work to do, and the host says so in
//! the ring's memory (`IORING_SQ_TASKRUN`) before the call that changed something returns. The work is done when this
//! thread enters the ring, and not before (`IORING_SETUP_DEFER_TASKRUN`): until then the flag stays up.
//!
//! The ring lies in a page of a memory file that the sandbox can map, but never for writing. One poll is all that is
//! ever submitted there. A host that has none of this (before Linux 6.5, or where io_uring is switched off) has no
//! flags, and the sandbox asks the queue.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use litebox_protocol::MAX_FLAGS;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::io_uring::{
    IoringCqeFlags, IoringEnterFlags, IoringOp, IoringPollFlags, IoringSetupFlags, io_uring_cqe, io_uring_enter,
    io_uring_params, io_uring_ptr, io_uring_setup, io_uring_sqe,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::beneath::{Access, Grant, Result};

const PAGE: usize = 4096;
/// Room for what the host says of the poll: one each time that the flag is lowered, and a few that come meanwhile.
const COMPLETIONS: u32 = 16;

/// A page of memory that stays mapped until this is dropped.
#[derive(Debug)]
struct MappedPage(NonNull<u64>);

// SAFETY: it is written to and read by atomics alone, but for the one entry that its owner submits.
unsafe impl Send for MappedPage {}

impl MappedPage {
    fn of(file: BorrowedFd<'_>, page: usize) -> Result<Self> {
        let (prot, offset) = (ProtFlags::READ | ProtFlags::WRITE, (page * PAGE) as u64);
        // SAFETY: the host chooses a place where nothing is.
        Self::at(unsafe { mmap(std::ptr::null_mut(), PAGE, prot, MapFlags::SHARED, file, offset) }?)
    }
    fn private() -> Result<Self> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the host chooses a place where nothing is.
        Self::at(unsafe { mmap_anonymous(std::ptr::null_mut(), PAGE, prot, MapFlags::PRIVATE) }?)
    }
    fn at(mapped: *mut core::ffi::c_void) -> Result<Self> {
        NonNull::new(mapped.cast()).map(Self).ok_or(Errno::NOMEM)
    }
    /// The word at `offset`, which the host named.
    fn word(&self, offset: u32) -> Result<&AtomicU32> {
        let offset = offset as usize;
        if offset % size_of::<u32>() != 0 || offset + size_of::<u32>() > PAGE {
            return Err(Errno::IO);
        }
        // SAFETY: aligned, within the page, which is mapped as long as `self`; the host uses it as an atomic, too.
        Ok(unsafe { AtomicU32::from_ptr(self.0.as_ptr().cast::<u32>().add(offset / size_of::<u32>())) })
    }
}

impl Drop for MappedPage {
    fn drop(&mut self) {
        // SAFETY: mapped by this type, and nobody has it any more.
        let unmapped = unsafe { munmap(self.0.as_ptr().cast(), PAGE) };
        debug_assert!(unmapped.is_ok());
    }
}

/// The flag of one queue.
#[derive(Debug)]
pub struct ChangeFlag {
    /// From the first time on that it is lowered; an error: there can be none. It ends before its page does.
    ring: Option<Result<Ring>>,
    page: MappedPage,
    /// Which one of the file it is.
    number: usize,
}

/// Gives a flag to the first grants that the sandbox may change. The file for the sandbox to map, which is empty where
/// there is no such grant.
pub fn give_flags(grants: &mut [Grant]) -> Result<OwnedFd> {
    let file = rustix::fs::memfd_create("litebox-flags", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let changeable = grants.iter_mut().filter(|grant| grant.access == Access::ReadWrite);
    for (number, grant) in changeable.take(MAX_FLAGS).enumerate() {
        if number == 0 {
            rustix::fs::ftruncate(&file, (MAX_FLAGS * PAGE) as u64)?;
        }
        grant.have_flag(ChangeFlag { page: MappedPage::of(file.as_fd(), number)?, number, ring: None });
    }
    // Who maps it from here on cannot write there.
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

impl ChangeFlag {
    /// Lowers the flag, which goes up when an event comes into `queue` from here on. Where it lies in the file.
    pub fn lower(&mut self, queue: BorrowedFd<'_>) -> Result<u64> {
        let page = &self.page;
        let ring = self.ring.get_or_insert_with(|| Ring::new(page)).as_mut().map_err(|error| *error)?;
        ring.attend(page, queue)?;
        Ok((self.number * PAGE) as u64 + u64::from(ring.places.flag))
    }
}

/// Where in the page of a ring things are.
#[derive(Debug)]
struct Places {
    flag: u32,
    /// How many entries were submitted.
    tail: u32,
    /// How much of what the host says was read, and how much there is.
    read: u32,
    said: u32,
    completions: u32,
}

/// The ring in a page.
#[derive(Debug)]
struct Ring {
    fd: OwnedFd,
    places: Places,
    /// The one entry that can be submitted; the sandbox does not see it.
    entry: MappedPage,
    /// The poll was submitted, and has not ended.
    polls: bool,
}

impl Ring {
    fn new(page: &MappedPage) -> Result<Self> {
        let entry = MappedPage::private()?;
        let pointer = |page: &MappedPage| io_uring_ptr::new(page.0.as_ptr().cast());
        let flags = IoringSetupFlags::NO_MMAP
            | IoringSetupFlags::NO_SQARRAY
            | IoringSetupFlags::SINGLE_ISSUER
            | IoringSetupFlags::DEFER_TASKRUN
            | IoringSetupFlags::TASKRUN_FLAG
            | IoringSetupFlags::CQSIZE;
        let mut params = io_uring_params::default();
        (params.flags, params.cq_entries) = (flags, COMPLETIONS);
        params.sq_off.user_addr = pointer(&entry);
        params.cq_off.user_addr = pointer(page);
        // SAFETY: both pages are mapped, and stay so longer than the ring.
        let fd = unsafe { io_uring_setup(1, &mut params) }?;
        let (sq, cq) = (&params.sq_off, &params.cq_off);
        let places = Places { flag: sq.flags, tail: sq.tail, read: cq.head, said: cq.tail, completions: cq.cqes };
        Ok(Self { fd, places, entry, polls: false })
    }

    /// Does what the ring has to do, which lowers the flag, and polls `queue`.
    fn attend(&mut self, page: &MappedPage, queue: BorrowedFd<'_>) -> Result<()> {
        if self.polls {
            self.enter(0)?;
            self.take_completions(page)?;
        }
        if !self.polls {
            self.submit_poll(page, queue)?;
        }
        Ok(())
    }

    fn submit_poll(&mut self, page: &MappedPage, queue: BorrowedFd<'_>) -> Result<()> {
        let mut poll = io_uring_sqe { opcode: IoringOp::PollAdd, fd: queue.as_raw_fd(), ..io_uring_sqe::default() };
        poll.len.poll_flags = IoringPollFlags::ADD_MULTI;
        poll.op_flags.poll32_events = u32::from(libc::POLLIN.unsigned_abs());
        // SAFETY: the page has room for the entry, and nobody else uses it now.
        unsafe { self.entry.0.as_ptr().cast::<io_uring_sqe>().write(poll) };
        page.word(self.places.tail)?.fetch_add(1, Ordering::Release);
        self.polls = self.enter(1)? == 1;
        // One that the host does not accept ends at once.
        self.take_completions(page)?;
        if self.polls { Ok(()) } else { Err(Errno::IO) }
    }

    fn enter(&self, submitted: u32) -> Result<u32> {
        // SAFETY: the one entry names a descriptor and no memory.
        rustix::io::retry_on_intr(|| unsafe { io_uring_enter(&self.fd, submitted, 0, IoringEnterFlags::GETEVENTS) })
    }

    /// Makes room for what the host says of the poll, and notes when that has ended.
    fn take_completions(&mut self, page: &MappedPage) -> Result<()> {
        let (read, said) = (page.word(self.places.read)?, page.word(self.places.said)?.load(Ordering::Acquire));
        let mut next = read.load(Ordering::Relaxed);
        while next != said {
            let at = (next % COMPLETIONS) * size_of::<io_uring_cqe>() as u32;
            let flags = self.places.completions + at + std::mem::offset_of!(io_uring_cqe, flags) as u32;
            let flags = IoringCqeFlags::from_bits_retain(page.word(flags)?.load(Ordering::Relaxed));
            self.polls &= flags.contains(IoringCqeFlags::MORE);
            next = next.wrapping_add(1);
        }
        read.store(next, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may end anyhow")]

    use std::fs;
    use std::os::fd::AsFd;
    use std::sync::atomic::Ordering;

    use rustix::fs::{Mode, OFlags, inotify};
    use rustix::mm::{MapFlags, ProtFlags, mmap};

    use super::{MAX_FLAGS, PAGE, give_flags};
    use crate::beneath::{Access, Grant};

    fn grant(at: &std::path::Path, access: Access) -> Grant {
        let root = rustix::fs::open(at, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        Grant::directory(root, access, false).unwrap()
    }

    #[test]
    fn the_flag_is_up_as_soon_as_something_has_changed() {
        let top = tempfile::tempdir().unwrap();
        let mut grants = [grant(top.path(), Access::ReadOnly), grant(top.path(), Access::ReadWrite)];
        let file = give_flags(&mut grants).unwrap();
        let (queue, _) = grants[1].changes().unwrap();
        let directory = rustix::fs::open(top.path(), OFlags::PATH, Mode::empty()).unwrap();
        let Ok(place) = grants[1].lower_flag() else {
            println!("skipped: this host has no flags");
            return;
        };
        if grants[1].watch(directory.as_fd()) == 0 {
            println!("skipped: directories of temporary files cannot be watched here");
            return;
        }
        // SAFETY: the host chooses the place.
        let mapped = unsafe { mmap(std::ptr::null_mut(), PAGE, ProtFlags::READ, MapFlags::SHARED, &file, 0) }.unwrap();
        // SAFETY: as mapped, within the page.
        let flag = unsafe { std::sync::atomic::AtomicU32::from_ptr(mapped.cast::<u32>().add(place as usize / 4)) };
        let mut buffer = [0; 4096];
        for turn in 0..2000 {
            assert_eq!(flag.load(Ordering::SeqCst), 0, "turn {turn}: nothing has changed");
            if turn % 3 == 0 {
                fs::write(top.path().join(format!("file{}", turn % 7)), "x").unwrap();
            } else {
                // Somebody else, on another processor perhaps.
                let path = top.path().join(format!("file{turn}"));
                std::thread::spawn(move || fs::write(path, "x")).join().unwrap().unwrap();
            }
            assert_ne!(flag.load(Ordering::SeqCst), 0, "turn {turn}: something has changed");
            // Sometimes what came is still there when the flag is lowered: it goes up for what comes then.
            if turn % 5 != 0 {
                while rustix::io::read(&queue, &mut buffer).is_ok() {}
            }
            assert_eq!(grants[1].lower_flag(), Ok(place));
        }
        assert!(inotify::init(inotify::CreateFlags::CLOEXEC).is_ok());
    }

    #[test]
    fn the_sandbox_cannot_write_there() {
        let top = tempfile::tempdir().unwrap();
        let mut grants: Vec<Grant> = (0..=MAX_FLAGS).map(|_| grant(top.path(), Access::ReadWrite)).collect();
        let file = give_flags(&mut grants).unwrap();
        let both = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the host chooses the place, if it maps anything.
        let mapped = unsafe { mmap(std::ptr::null_mut(), PAGE, both, MapFlags::SHARED, &file, 0) };
        assert_eq!(mapped.err(), Some(rustix::io::Errno::PERM));
        assert!(rustix::io::pwrite(&file, b"x", 0).is_err() && rustix::fs::ftruncate(&file, 0).is_err());
        // The last has none, and neither has one that was not asked for its changes.
        assert!(grants[0].lower_flag().is_err());
        for grant in &grants {
            grant.changes().unwrap();
        }
        assert!(grants[MAX_FLAGS].lower_flag().is_err());
    }
}
