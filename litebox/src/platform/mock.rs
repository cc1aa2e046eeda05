//! A host for tests: guest memory is memory of the test process, mapped for real; files do not exist.
//!
//! `litebox::register_host!(litebox::platform::mock::MockHost)` in a test crate binds it.

extern crate std;

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use litebox_common_linux::abi::memory::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, MREMAP_DONTUNMAP,
    MREMAP_FIXED, MREMAP_MAYMOVE,
};

use super::north::{Fault, GuestFrame, North};
use super::{
    AddressSpace, Advice, AlarmClock, ArenaMemory, AtomicOp, Backing, Broker, Clock, ClockId, Futex, FutexWake, HostFd,
    HostFiles, HostStat, HostThread, Instant, MapMode, Prot, System, ThreadSpec, Threads, Usage, UserAccess,
};
use crate::sync::Mutex;
use crate::{Error, Result};

/// See the [module](self).
pub struct MockHost;

/// The number of a process that is gone ([`begin_process`](crate::sync::begin_process)).
pub const LOST_PROCESS: u32 = 0x2b3c_4d5e;

/// A North for tests of the core: there is no guest.
pub struct MockNorth;

impl North for MockNorth {
    fn syscall(&self, _frame: &mut GuestFrame<'_>) {}
    fn fault(&self, _frame: &mut GuestFrame<'_>, _fault: Fault) {}
    fn kicked(&self, _frame: &mut GuestFrame<'_>) {}
    fn resolve_fault(&self, _addr: usize, _write: bool) -> bool {
        false
    }
    fn host_ready(&self, _token: u64, _events: u16) {}
    fn outside_signal(&self, _signal: i32) {}
}

static TICKS: AtomicU64 = AtomicU64::new(0);
static SEED: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
static ARENA: AtomicUsize = AtomicUsize::new(0);
static ARENA_FD: AtomicU32 = AtomicU32::new(0);
const ARENA_SIZE: usize = 96 << 20;

impl Clock for MockHost {
    fn now(&self, _id: ClockId) -> Duration {
        // Every look at the clock moves it by a microsecond: deadlines pass without waiting.
        Duration::from_nanos(TICKS.fetch_add(1000, Ordering::Relaxed))
    }
}

impl Futex for MockHost {
    fn futex_wait(&self, word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> FutexWake {
        for _ in 0..1000 {
            if word.load(Ordering::Acquire) != expected {
                return FutexWake::Look;
            }
            core::hint::spin_loop();
        }
        if deadline.is_some_and(|d| self.instant() >= d) { FutexWake::TimedOut } else { FutexWake::Look }
    }
    fn futex_wake(&self, _word: &AtomicU32, _count: u32) {}
}

impl UserAccess for MockHost {
    fn copy_from_user(&self, dst: &mut [u8], src: usize) -> usize {
        let len = dst.len();
        if !self.is_user_range(src, len) {
            return 0;
        }
        let (local, remote) = (libc::IoVec { base: dst.as_mut_ptr().addr(), len }, libc::IoVec { base: src, len });
        // SAFETY: `dst` has `len` bytes; the host checks `src` and stops at a bad page.
        let n = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
        usize::try_from(n).unwrap_or(0)
    }
    fn copy_to_user(&self, dst: usize, src: &[u8]) -> usize {
        let len = src.len();
        if !self.is_user_range(dst, len) {
            return 0;
        }
        let (local, remote) = (libc::IoVec { base: src.as_ptr().addr(), len }, libc::IoVec { base: dst, len });
        // SAFETY: `src` has `len` bytes; the host checks `dst` and stops at a bad page.
        let n = unsafe { libc::process_vm_writev(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
        usize::try_from(n).unwrap_or(0)
    }
    fn zero_user(&self, dst: usize, len: usize) -> usize {
        let zeros = [0u8; 4096];
        let mut done = 0;
        while done < len {
            let n = (len - done).min(zeros.len());
            let copied = self.copy_to_user(dst + done, &zeros[..n]);
            done += copied;
            if copied < n {
                break;
            }
        }
        done
    }
    fn user_atomic_u32(&self, addr: usize, op: AtomicOp) -> Result<u32> {
        if !self.is_user_range(addr, 4) || addr % 4 != 0 {
            return Err(Error::Fault);
        }
        // SAFETY: as above; alignment was checked.
        let word = unsafe { AtomicU32::from_ptr(addr as *mut u32) };
        let order = Ordering::SeqCst;
        Ok(match op {
            AtomicOp::Load => word.load(order),
            AtomicOp::Swap(v) => word.swap(v, order),
            AtomicOp::Add(v) => word.fetch_add(v, order),
            AtomicOp::Or(v) => word.fetch_or(v, order),
            AtomicOp::And(v) => word.fetch_and(v, order),
            AtomicOp::Xor(v) => word.fetch_xor(v, order),
            AtomicOp::CompareExchange { expected, new } => {
                word.compare_exchange(expected, new, order, order).unwrap_or_else(|v| v)
            }
        })
    }
    fn is_user_range(&self, addr: usize, len: usize) -> bool {
        addr >= 0x1_0000 && addr.checked_add(len).is_some_and(|end| end <= 1 << 47)
    }
}

impl AddressSpace for MockHost {
    fn user_span(&self) -> (usize, usize) {
        // Where neither the test program nor its libraries, heap or stacks are.
        (0x10_0000_0000, 0x4000_0000_0000)
    }
    fn map(&self, addr: usize, len: usize, prot: Prot, mode: MapMode, backing: Backing) -> Result<()> {
        let (fd, offset) = match backing {
            Backing::Anonymous => (-1, 0),
            Backing::File { fd, offset } => (fd.0, offset),
            Backing::Arena { offset } => (Self::arena_memory().1, offset),
        };
        let sharing = if mode.contains(MapMode::SHARED) { MAP_SHARED } else { MAP_PRIVATE };
        let anonymous = if fd < 0 { MAP_ANONYMOUS } else { 0 };
        let fixed = if mode.contains(MapMode::REPLACE) { MAP_FIXED } else { MAP_FIXED_NOREPLACE };
        let flags = (sharing | anonymous | fixed | MAP_NORESERVE) as i32;
        // SAFETY: `user_span` lies apart from everything the test program uses.
        let got = unsafe { libc::mmap(addr, len, i32::from(prot.bits()), flags, fd, offset as i64) };
        libc::check(if got == usize::MAX { -1 } else { 0 })
    }
    fn unmap(&self, addr: usize, len: usize) -> Result<()> {
        // SAFETY: as above.
        libc::check(unsafe { libc::munmap(addr, len) })
    }
    fn protect(&self, addr: usize, len: usize, prot: Prot) -> Result<()> {
        // SAFETY: as above.
        libc::check(unsafe { libc::mprotect(addr, len, i32::from(prot.bits())) })
    }
    fn remap(&self, addr: usize, old_len: usize, new_len: usize, new_addr: usize, keep_old: bool) -> Result<()> {
        let flags = if addr == new_addr {
            0
        } else {
            MREMAP_MAYMOVE | MREMAP_FIXED | if keep_old { MREMAP_DONTUNMAP } else { 0 }
        };
        // SAFETY: as above.
        let got = unsafe { libc::mremap(addr, old_len, new_len, flags as i32, new_addr) };
        libc::check(if got == usize::MAX { -1 } else { 0 })
    }
    fn advise(&self, addr: usize, len: usize, advice: Advice) -> Result<()> {
        let advice = match advice {
            Advice::DontNeed => 4,
            Advice::Free => 8,
            Advice::WillNeed => 3,
            Advice::HugePage => 14,
            Advice::NoHugePage => 15,
            Advice::PopulateRead => 22,
            Advice::PopulateWrite => 23,
            Advice::Hint(n) => n,
        };
        // SAFETY: as above.
        libc::check(unsafe { libc::madvise(addr, len, advice) })
    }
    fn sync(&self, _: usize, _: usize, _: bool) -> Result<()> {
        Ok(())
    }
}

/// The few calls of the C library that this host needs; the program that binds it has std, and so a C library.
mod libc {
    use crate::{Error, Result};

    /// `struct iovec`.
    #[repr(C)]
    pub struct IoVec {
        pub base: usize,
        pub len: usize,
    }

    unsafe extern "C" {
        pub fn mmap(addr: usize, len: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> usize;
        pub fn munmap(addr: usize, len: usize) -> i32;
        pub fn mprotect(addr: usize, len: usize, prot: i32) -> i32;
        pub fn mremap(addr: usize, old_len: usize, new_len: usize, flags: i32, ...) -> usize;
        pub fn madvise(addr: usize, len: usize, advice: i32) -> i32;
        pub fn memfd_create(name: *const u8, flags: u32) -> i32;
        pub fn ftruncate(fd: i32, len: i64) -> i32;
        pub fn getpid() -> i32;
        pub fn process_vm_readv(
            pid: i32,
            local: *const IoVec,
            locals: usize,
            remote: *const IoVec,
            remotes: usize,
            flags: usize,
        ) -> isize;
        pub fn process_vm_writev(
            pid: i32,
            local: *const IoVec,
            locals: usize,
            remote: *const IoVec,
            remotes: usize,
            flags: usize,
        ) -> isize;
        fn __errno_location() -> *const i32;
    }

    /// The errno of a call that returned -1.
    pub fn check(outcome: i32) -> Result<()> {
        if outcome == 0 {
            return Ok(());
        }
        // SAFETY: the C library's pointer to the calling thread's errno.
        Err(match unsafe { *__errno_location() } {
            12 => Error::NoMemory,
            13 => Error::Access,
            14 => Error::Fault,
            17 => Error::Exists,
            22 => Error::Invalid,
            other => Error::from_errno(other),
        })
    }
}

impl MockHost {
    /// Address and descriptor of the arena.
    fn arena_memory() -> (usize, i32) {
        loop {
            match ARENA.load(Ordering::Acquire) {
                0 => {
                    if ARENA.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).is_err() {
                        continue;
                    }
                    // SAFETY: a fresh memory object, mapped where the C library likes.
                    let base = unsafe {
                        let fd = libc::memfd_create(c"arena".as_ptr().cast(), 0);
                        libc::ftruncate(fd, ARENA_SIZE as i64);
                        ARENA_FD.store(fd as u32, Ordering::Release);
                        libc::mmap(0, ARENA_SIZE, 3, MAP_SHARED as i32, fd, 0)
                    };
                    ARENA.store(base, Ordering::Release);
                }
                1 => core::hint::spin_loop(),
                base => return (base, ARENA_FD.load(Ordering::Acquire) as i32),
            }
        }
    }
}

impl ArenaMemory for MockHost {
    fn arena(&self) -> (*mut u8, usize) {
        (Self::arena_memory().0 as *mut u8, ARENA_SIZE)
    }
    fn arena_release(&self, offset: u64, len: u64) {
        let (base, size) = self.arena();
        let (offset, len) = (offset as usize, len as usize);
        if offset.checked_add(len).is_some_and(|end| end <= size) {
            // SAFETY: the range lies inside the arena block.
            unsafe { core::ptr::write_bytes(base.add(offset), 0, len) };
        }
    }
}

impl HostFiles for MockHost {
    unsafe fn host_read(&self, _: HostFd, _: usize, _: usize) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    unsafe fn host_write(&self, _: HostFd, _: usize, _: usize) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    unsafe fn host_append(&self, _: HostFd, _: usize, _: usize) -> Result<(usize, u64)> {
        Err(Error::BadDescriptor)
    }
    unsafe fn host_pread(&self, _: HostFd, _: usize, _: usize, _: u64) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    unsafe fn host_pwrite(&self, _: HostFd, _: usize, _: usize, _: u64) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    fn host_fstat(&self, _: HostFd) -> Result<HostStat> {
        Err(Error::BadDescriptor)
    }
    fn host_truncate(&self, _: HostFd, _: u64) -> Result<()> {
        Err(Error::BadDescriptor)
    }
    fn host_fallocate(&self, _: HostFd, _: i32, _: u64, _: u64) -> Result<()> {
        Err(Error::BadDescriptor)
    }
    fn host_sync(&self, _: HostFd) -> Result<()> {
        Err(Error::BadDescriptor)
    }
    fn host_seek(&self, _: HostFd, _: i64, _: i32) -> Result<u64> {
        Err(Error::BadDescriptor)
    }
    fn host_getdents(&self, _: HostFd, _: &mut [u8]) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    fn host_close(&self, _: HostFd) {}
    unsafe fn host_ioctl(&self, _: HostFd, _: u32, _: usize) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    fn host_poll(&self, _: HostFd, _: u16) -> Result<u16> {
        Err(Error::BadDescriptor)
    }
    fn host_watch(&self, _: HostFd, _: u16, _: u64) -> Result<()> {
        Err(Error::BadDescriptor)
    }
    unsafe fn host_send(&self, fd: HostFd, addr: usize, len: usize) -> Result<usize> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { core::slice::from_raw_parts(addr as *const u8, len) };
        if let Some((_, sent)) = SENT.lock().iter_mut().find(|(of, _)| *of == fd) {
            sent.push(bytes.to_vec());
        }
        Ok(len)
    }
}

type Sent = (HostFd, alloc::vec::Vec<alloc::vec::Vec<u8>>);

/// What was sent by descriptors that somebody looks at.
static SENT: Mutex<alloc::vec::Vec<Sent>> = Mutex::new(alloc::vec::Vec::new());

impl MockHost {
    /// What was sent by a descriptor since this was asked before.
    pub fn take_sent(&self, fd: HostFd) -> alloc::vec::Vec<alloc::vec::Vec<u8>> {
        let mut all = SENT.lock();
        if let Some((_, sent)) = all.iter_mut().find(|(of, _)| *of == fd) {
            return core::mem::take(sent);
        }
        all.push((fd, alloc::vec::Vec::new()));
        alloc::vec::Vec::new()
    }
}

/// Answers a request to the broker: with bytes that go behind what is there.
pub type BrokerStub = dyn FnMut(&[u8], &mut alloc::vec::Vec<u8>) + Send;

static BROKER: Mutex<Option<alloc::boxed::Box<BrokerStub>>> = Mutex::new(None);

impl MockHost {
    /// From now on requests to the broker, of all tests of the process, are answered like this.
    pub fn serve_broker_with(&self, stub: alloc::boxed::Box<BrokerStub>) {
        *BROKER.lock() = Some(stub);
    }
}

impl Broker for MockHost {
    fn broker_call(
        &self,
        request: &[u8],
        _: Option<HostFd>,
        reply: &mut alloc::vec::Vec<u8>,
        _: bool,
    ) -> Result<Option<HostFd>> {
        let mut broker = BROKER.lock();
        broker.as_mut().ok_or(Error::Access)?(request, reply);
        Ok(None)
    }
}

impl Threads for MockHost {
    fn spawn_thread(&self, _: &ThreadSpec<'_>) -> Result<()> {
        Err(Error::WouldBlock)
    }
    #[expect(clippy::panic, reason = "a test host fails the test")]
    fn enter_first(&self, _spec: &ThreadSpec<'_>) -> ! {
        panic!("the mock host runs no guest code")
    }
    fn exit_thread(&self) -> ! {
        panic!("exit_thread")
    }
    fn spawn_program(&self, _: &ThreadSpec<'_>) -> Result<()> {
        Err(Error::NotSupported)
    }
    fn began_as_copy(&self) -> bool {
        false
    }
    fn hand_off_thread(&self, _: &ThreadSpec<'_>, _: &ThreadSpec<'_>) -> Result<()> {
        Err(Error::WouldBlock)
    }
    fn split_from_vfork_parent(&self) -> Result<()> {
        Err(Error::WouldBlock)
    }
    fn spawn_process(&self, _: &ThreadSpec<'_>) -> Result<()> {
        Err(Error::WouldBlock)
    }
    #[expect(clippy::panic, reason = "a test host fails the test")]
    fn exit_process(&self) -> ! {
        panic!("exit_process")
    }
    #[expect(clippy::panic, reason = "a test host fails the test")]
    fn end_sandbox(&self, wait_status: i32) -> ! {
        panic!("end_sandbox({wait_status})")
    }
    fn kick(&self, _: &HostThread) {}
    fn current_north(&self) -> *const () {
        core::ptr::null()
    }
    fn fs_base(&self) -> u64 {
        0
    }
    fn set_fs_base(&self, _: u64) {}
    fn gs_base(&self) -> u64 {
        0
    }
    fn set_gs_base(&self, _: u64) {}
    fn set_alarm(&self, _: AlarmClock, _: Option<Duration>) {}
    fn rseq(&self, _: usize, _: u32, _: i32, _: u32) -> Result<()> {
        Err(Error::NotImplemented)
    }
    fn aux_vector(&self, _: &mut [(u64, u64)]) -> usize {
        0
    }
    fn affinity(&self, out: &mut [u8]) -> usize {
        out.iter_mut().take(1).map(|b| *b = 3).count()
    }
    fn usage(&self, _: bool) -> Usage {
        Usage::default()
    }
    fn current_cpu(&self) -> (u32, u32) {
        (0, 0)
    }
    fn thread_cpu(&self, _: &HostThread) -> Option<Duration> {
        None
    }
    fn process_cpu(&self, _: &HostThread) -> Option<(Duration, Duration)> {
        None
    }
}

impl System for MockHost {
    fn random(&self, buf: &mut [u8]) {
        for byte in buf {
            let x = SEED.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            *byte = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes()[7];
        }
    }
    fn report(&self, _: &str) {}
    fn write_trace(&self, _fd: HostFd, _text: &[u8]) {}
    #[expect(clippy::panic, reason = "a test host fails the test")]
    fn fatal(&self, reason: &str) -> ! {
        panic!("{reason}")
    }
    fn are_lost(&self, count: u32, sum: u32) -> bool {
        count > 0 && LOST_PROCESS.wrapping_mul(count) == sum
    }
    fn yield_now(&self) {
        core::hint::spin_loop();
    }
    #[cfg(debug_assertions)]
    fn held_locks(&self) -> Option<(&crate::sync::LockOrder, &crate::sync::HeldLocks)> {
        static ORDER: crate::sync::LockOrder = crate::sync::LockOrder::new();
        std::thread_local! {
            static HELD: &'static crate::sync::HeldLocks = alloc::boxed::Box::leak(alloc::boxed::Box::default());
        }
        HELD.try_with(|held| (&ORDER, *held)).ok()
    }
    fn memory_barrier(&self, _command: u32) -> Result<usize> {
        Err(Error::NotImplemented)
    }
    fn keep_kernel(&self, _kernel: *const ()) {}
    fn kept_kernel(&self) -> *const () {
        core::ptr::null()
    }
    fn announce_stop(&self) {}
}
