//! Clocks by the host's vDSO, and futexes.

use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};
use core::time::Duration;

use litebox::platform::{Clock, ClockId, Futex, FutexWake, Instant};

use crate::LinuxHost;
use crate::host::call::{host_call, nr, raw};
use crate::host::published::Published;
use crate::host::thread_block::{asleep, current};
use crate::host::usage;

/// struct timespec of the host.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Timespec {
    pub(crate) sec: i64,
    pub(crate) nsec: i64,
}

impl Timespec {
    pub(crate) fn from_duration(d: Duration) -> Self {
        Self { sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX), nsec: i64::from(d.subsec_nanos()) }
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::new(u64::try_from(self.sec).unwrap_or(0), u32::try_from(self.nsec).unwrap_or(0))
    }
}

/// A function of the vDSO that answers about a clock.
pub(crate) type ClockFunction = unsafe extern "C" fn(i32, *mut Timespec) -> i32;

/// `clock_gettime` and `clock_getres` of the host's vDSO.
pub(crate) struct VdsoClock(Option<ClockFunction>, Option<ClockFunction>);

/// The host's.
pub(crate) static CLOCK: Published<VdsoClock> = Published::nothing();

const AT_SYSINFO_EHDR: u64 = 33;

fn vdso_base(aux: &[(u64, u64)]) -> Option<usize> {
    aux.iter().find(|(key, _)| *key == AT_SYSINFO_EHDR).map(|&(_, value)| value as usize).filter(|&v| v != 0)
}

/// Addresses of the vDSO with its data pages: guests may point there.
pub(crate) fn vdso_span(aux: &[(u64, u64)]) -> (usize, usize) {
    const PAGES_BEHIND: usize = 2;
    vdso_base(aux).map_or((0, 0), |base| (base, base + PAGES_BEHIND * 4096))
}

impl VdsoClock {
    /// Its `clock_gettime`. For clocks that it cannot read it makes the call.
    pub(crate) fn reader(&self) -> Option<ClockFunction> {
        self.0
    }

    /// Looks the function up in the vDSO's symbol table (vdso(7)).
    pub(crate) fn find(aux: &[(u64, u64)]) -> Self {
        let Some(base) = vdso_base(aux) else { return Self(None, None) };
        let function = |name| {
            // SAFETY: the host's vDSO is a well-formed ELF image mapped at `base`; both functions have this type
            // (vdso(7)).
            unsafe { find_symbol(base, name).map(|at| core::mem::transmute::<usize, ClockFunction>(at)) }
        };
        Self(function(b"__vdso_clock_gettime"), function(b"__vdso_clock_getres"))
    }
}

/// # Safety
/// `base` is the address of a mapped ELF image with a dynamic section.
unsafe fn find_symbol(base: usize, name: &[u8]) -> Option<usize> {
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    // SAFETY: all reads are inside the image, at offsets its own headers give (the caller's promise).
    unsafe {
        let read = |at: usize| (at as *const u64).read_unaligned();
        let headers = base + read(base + 32) as usize;
        let entry = ((base + 54) as *const u16).read_unaligned() as usize;
        let count = ((base + 56) as *const u16).read_unaligned() as usize;
        let (mut load, mut dynamic) = (None, None);
        for i in 0..count {
            let header = headers + i * entry;
            match (header as *const u32).read_unaligned() {
                PT_LOAD if load.is_none() => load = Some(base + read(header + 8) as usize - read(header + 16) as usize),
                PT_DYNAMIC => dynamic = Some(base + read(header + 8) as usize),
                _ => {}
            }
        }
        let (bias, mut dynamic) = (load?, dynamic?);
        let (mut strings, mut symbols, mut hash, mut gnu_hash) = (0, 0, 0, 0);
        loop {
            let (tag, value) = (read(dynamic), read(dynamic + 8) as usize);
            match tag {
                0 => break,
                4 => hash = bias + value,
                5 => strings = bias + value,
                6 => symbols = bias + value,
                0x6fff_fef5 => gnu_hash = bias + value,
                _ => {}
            }
            dynamic += 16;
        }
        if strings == 0 || symbols == 0 {
            return None;
        }
        let total = if hash != 0 {
            ((hash + 4) as *const u32).read_unaligned() as usize
        } else if gnu_hash != 0 {
            gnu_symbol_count(gnu_hash)
        } else {
            return None;
        };
        (0..total).map(|i| symbols + i * 24).find_map(|symbol| {
            let text = strings + (symbol as *const u32).read_unaligned() as usize;
            let same = name.iter().enumerate().all(|(i, &c)| *((text + i) as *const u8) == c);
            let ends = same && *((text + name.len()) as *const u8) == 0;
            let value = read(symbol + 8) as usize;
            (ends && value != 0).then_some(bias + value)
        })
    }
}

/// # Safety
/// `table` is the address of a well-formed GNU hash table.
unsafe fn gnu_symbol_count(table: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        let word = |i: usize| ((table + i * 4) as *const u32).read_unaligned() as usize;
        let (buckets, first, bloom) = (word(0), word(1), word(2));
        let bucket_start = 4 + bloom * 2;
        let last = (0..buckets).map(|i| word(bucket_start + i)).max().unwrap_or(0);
        if last < first {
            return first;
        }
        let mut index = last;
        while word(bucket_start + buckets + index - first) & 1 == 0 {
            index += 1;
        }
        index + 1
    }
}

fn host_clock(id: ClockId) -> i32 {
    match id {
        ClockId::Realtime => 0,
        ClockId::Monotonic => 1,
        ClockId::ProcessCpu => 2,
        ClockId::ThreadCpu => 3,
        ClockId::MonotonicRaw => 4,
        ClockId::RealtimeCoarse => 5,
        ClockId::MonotonicCoarse => 6,
        ClockId::Boottime => 7,
        ClockId::Tai => 11,
    }
}

/// The clock as the host's kernel has it.
pub(crate) fn by_host(id: ClockId) -> Duration {
    let mut time = Timespec::default();
    // SAFETY: the host writes one timespec.
    let _ = unsafe { host_call!(nr::CLOCK_GETTIME, host_clock(id), &raw mut time) };
    time.duration()
}

/// Calls the vDSO. Its code is not the program's, so a host signal that hits it could be taken for one of guest code.
fn in_vdso<T>(call: impl FnOnce() -> T) -> T {
    let Some(block) = current() else { return call() };
    block.fast.in_vdso = true;
    compiler_fence(Ordering::SeqCst);
    let result = call();
    compiler_fence(Ordering::SeqCst);
    block.fast.in_vdso = false;
    result
}

impl Clock for LinuxHost {
    fn now(&self, id: ClockId) -> Duration {
        let mut time = Timespec::default();
        let clock = host_clock(id);
        let by_vdso = CLOCK.try_get().and_then(VdsoClock::reader);
        let answered = match (by_vdso, id) {
            (_, ClockId::ProcessCpu | ClockId::ThreadCpu) | (None, _) => false,
            // SAFETY: the vDSO's function writes one timespec.
            (Some(function), _) => in_vdso(|| unsafe { function(clock, &raw mut time) == 0 }),
        };
        match id {
            _ if answered => time.duration(),
            ClockId::ProcessCpu => by_host(id).saturating_sub(usage::process_cpu_before()),
            ClockId::ThreadCpu => by_host(id).saturating_sub(usage::thread_cpu_before()),
            _ => by_host(id),
        }
    }

    fn resolution(&self, id: ClockId) -> Duration {
        let mut step = Timespec { sec: 0, nsec: 1 };
        if let Some(function) = CLOCK.try_get().and_then(|clock| clock.1) {
            // All others count in nanoseconds, and for some the function would make a call of its own.
            if matches!(id, ClockId::RealtimeCoarse | ClockId::MonotonicCoarse) {
                // SAFETY: the vDSO's function writes one timespec.
                unsafe { function(host_clock(id), &raw mut step) };
            }
        }
        step.duration()
    }
}

const FUTEX_WAKE: usize = 1;
const FUTEX_WAIT_BITSET: usize = 9;
const ANY_BIT: usize = 0xffff_ffff;
const ETIMEDOUT: isize = -110;

impl Futex for LinuxHost {
    fn futex_wait(&self, word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> FutexWake {
        if word.load(Ordering::Acquire) != expected {
            return FutexWake::Look;
        }
        // FUTEX_WAIT_BITSET takes an absolute time of the monotonic clock.
        let time = deadline.map(|d| Timespec::from_duration(Duration::from_nanos(d.0)));
        let time_at = time.as_ref().map_or(0, |t| core::ptr::from_ref(t) as usize);
        // SAFETY: the word outlives the call; the host only reads it and the time.
        let wait = || unsafe {
            raw(nr::FUTEX, [word.as_ptr() as usize, FUTEX_WAIT_BITSET, expected as usize, time_at, 0, ANY_BIT])
        };
        let result = asleep(wait);
        if result == ETIMEDOUT { FutexWake::TimedOut } else { FutexWake::Look }
    }

    fn futex_wake(&self, word: &AtomicU32, count: u32) {
        // SAFETY: the address is only a key.
        let _ = unsafe { host_call!(nr::FUTEX, word.as_ptr(), FUTEX_WAKE, count.min(i32::MAX as u32)) };
    }
}
