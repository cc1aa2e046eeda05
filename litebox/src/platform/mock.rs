//! A host for tests: guest memory is plain memory of the test process, files and mappings do not exist.
//!
//! `litebox::register_host!(litebox::platform::mock::MockHost)` in a test crate binds it.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use super::{
    AddressSpace, Advice, AlarmClock, ArenaMemory, AtomicOp, Backing, Broker, Clock, ClockId, Futex, FutexWake, HostFd,
    HostFiles, HostStat, HostThread, Instant, Prot, System, ThreadSpec, Threads, UserAccess,
};
use crate::{Error, Result};

/// See the [module](self).
pub struct MockHost;

static TICKS: AtomicU64 = AtomicU64::new(0);
static SEED: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
static ARENA: AtomicUsize = AtomicUsize::new(0);
const ARENA_SIZE: usize = 64 << 20;

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
    unsafe fn copy_from_user(&self, dst: *mut u8, src: usize, len: usize) -> usize {
        if !self.is_user_range(src, len) {
            return 0;
        }
        // SAFETY: in tests a user address is an address of the test's own memory.
        unsafe { core::ptr::copy(src as *const u8, dst, len) };
        len
    }
    unsafe fn copy_to_user(&self, dst: usize, src: *const u8, len: usize) -> usize {
        if !self.is_user_range(dst, len) {
            return 0;
        }
        // SAFETY: as above.
        unsafe { core::ptr::copy(src, dst as *mut u8, len) };
        len
    }
    fn zero_user(&self, dst: usize, len: usize) -> usize {
        if !self.is_user_range(dst, len) {
            return 0;
        }
        // SAFETY: as above.
        unsafe { core::ptr::write_bytes(dst as *mut u8, 0, len) };
        len
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
        (0x1_0000, 0x7000_0000_0000)
    }
    fn map(&self, _: usize, _: usize, _: Prot, _: bool, _: Backing, _: bool, _: bool) -> Result<()> {
        Ok(())
    }
    fn unmap(&self, _: usize, _: usize) -> Result<()> {
        Ok(())
    }
    fn protect(&self, _: usize, _: usize, _: Prot) -> Result<()> {
        Ok(())
    }
    fn remap(&self, _: usize, _: usize, _: usize, _: usize, _: bool) -> Result<()> {
        Ok(())
    }
    fn advise(&self, _: usize, _: usize, _: Advice) -> Result<()> {
        Ok(())
    }
    fn sync(&self, _: usize, _: usize, _: bool) -> Result<()> {
        Ok(())
    }
}

impl ArenaMemory for MockHost {
    fn arena(&self) -> (*mut u8, usize) {
        let mut base = ARENA.load(Ordering::Acquire);
        if base == 0 {
            let Ok(layout) = core::alloc::Layout::from_size_align(ARENA_SIZE, 4096) else {
                return (core::ptr::null_mut(), 0);
            };
            // SAFETY: the layout has a size; the block is never freed.
            let fresh = unsafe { alloc::alloc::alloc_zeroed(layout) } as usize;
            base = match ARENA.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => fresh,
                Err(other) => other,
            };
        }
        (base as *mut u8, ARENA_SIZE)
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
}

impl Broker for MockHost {
    fn broker_call(&self, _: &[u8], _: &mut [u8]) -> Result<(usize, Option<HostFd>)> {
        Err(Error::Access)
    }
}

impl Threads for MockHost {
    fn spawn_thread(&self, _: &ThreadSpec<'_>) -> Result<()> {
        Err(Error::WouldBlock)
    }
    #[expect(clippy::panic, reason = "a test host fails the test")]
    fn exit_thread(&self) -> ! {
        panic!("exit_thread")
    }
    #[expect(clippy::panic, reason = "a test host fails the test")]
    fn exit_process(&self, wait_status: i32) -> ! {
        panic!("exit_process({wait_status})")
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
    fn cpu_usage(&self, _: bool) -> (Duration, Duration) {
        (Duration::ZERO, Duration::ZERO)
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
    #[expect(clippy::panic, reason = "a test host fails the test")]
    fn fatal(&self, reason: &str) -> ! {
        panic!("{reason}")
    }
    fn yield_now(&self) {
        core::hint::spin_loop();
    }
}
