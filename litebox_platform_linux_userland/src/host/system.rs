//! Entropy, diagnostics, and what the host told this process at its start.

use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use litebox::Error;
use litebox::platform::{HostFd, System};
use litebox_protocol::plain::Plain;

use crate::LinuxHost;
use crate::host::call::{host_call, nr};
use crate::host::published::Published;
use crate::host::thread_block;
use crate::host::turn::LOST;

/// Keys of the auxiliary vector that describe machine and host: AT_PAGESZ, AT_HWCAP, AT_CLKTCK, AT_HWCAP2, AT_RSEQ_*,
/// AT_HWCAP3/4, AT_SYSINFO_EHDR, AT_MINSIGSTKSZ (getauxval(3)).
pub(crate) const AUX_FOR_GUESTS: [u64; 10] = [6, 16, 17, 26, 27, 28, 29, 30, 33, 51];

/// What the host said of itself at the start.
pub(crate) static AUX: Published<Vec<(u64, u64)>> = Published::nothing();
/// The North's kernel object.
pub(crate) static KERNEL: Published<AtomicPtr<()>> = Published::nothing();
/// A broken invariant was reported: everything ends with 70.
pub(crate) static FATAL: Published<AtomicBool> = Published::nothing();
/// A process ended without the kernel's doing.
pub(crate) static LOST_PROCESS: Published<AtomicBool> = Published::nothing();
/// In which order locks were taken.
#[cfg(debug_assertions)]
pub(crate) static LOCK_ORDER: Published<litebox::sync::LockOrder> = Published::nothing();

/// A short list of auxiliary entries, made before there is a heap.
pub(crate) struct AuxVector {
    entries: [(u64, u64); AUX_FOR_GUESTS.len()],
    len: usize,
}

impl core::ops::Deref for AuxVector {
    type Target = [(u64, u64)];
    fn deref(&self) -> &Self::Target {
        self.entries.get(..self.len).unwrap_or_default()
    }
}

unsafe extern "C" {
    static __executable_start: u8;
    static _start: u8;
    static etext: u8;
    static _end: u8;
}

/// What the host said at the start of this process; `value` knows it.
pub(crate) fn read_aux_vector(value: fn(u64) -> u64) -> AuxVector {
    let mut vector = AuxVector { entries: [(0, 0); AUX_FOR_GUESTS.len()], len: 0 };
    for (slot, key) in vector.entries.iter_mut().zip(AUX_FOR_GUESTS) {
        *slot = (key, value(key));
    }
    vector.len = AUX_FOR_GUESTS.len();
    vector
}

/// Addresses of this program's code.
pub(crate) fn image_span() -> (usize, usize) {
    ((&raw const __executable_start) as usize, (&raw const etext) as usize)
}

/// Where everything of this program ends that was mapped with it.
pub(crate) fn image_end() -> usize {
    (&raw const _end) as usize
}

/// A part of this program that is never written.
pub(crate) struct Segment {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) executable: bool,
}

/// The parts of this program that are never written, as the headers at its start have them (elf(5)).
pub(crate) fn constant_segments() -> impl Iterator<Item = Segment> {
    const LOADED: u32 = 1;
    const EXECUTABLE: u32 = 1;
    const WRITABLE: u32 = 2;
    let image = image_span().0;
    // SAFETY: the image begins with its header, which says where those of its segments are. Nothing of that is ever
    // written.
    let (table, size, count) = unsafe {
        let half = |at: usize| usize::from(((image + at) as *const u16).read());
        (((image + 32) as *const usize).read(), half(54), half(56))
    };
    (0..count).filter_map(move |i| {
        // SAFETY: as above.
        let [kind, flags] = unsafe { ((image + table + i * size) as *const [u32; 2]).read() };
        // SAFETY: as above.
        let [_, address, _, _, len] = unsafe { ((image + table + i * size + 8) as *const [usize; 5]).read() };
        let (start, executable) = (image + address, flags & EXECUTABLE != 0);
        (kind == LOADED && flags & WRITABLE == 0).then_some(Segment { start, end: start + len, executable })
    })
}

/// The code in it.
pub(crate) fn code_span() -> (usize, usize) {
    // The linker puts the entry point first.
    ((&raw const _start) as usize, (&raw const etext) as usize)
}

/// A line of text without a heap; what does not fit is cut.
pub(crate) struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; 512], len: 0 }
    }
    pub(crate) fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        for byte in s.bytes() {
            let Some(slot) = self.bytes.get_mut(self.len) else { break };
            *slot = byte;
            self.len += 1;
        }
        Ok(())
    }
}

impl System for LinuxHost {
    fn random(&self, buf: &mut [u8]) {
        crate::host::entropy::fill(buf);
    }

    fn report(&self, line: &str) {
        let mut text = Line::new();
        let _ = writeln!(text, "litebox: {}", Plain(line));
        // SAFETY: a valid buffer.
        let _ = unsafe { host_call!(nr::WRITE, 2, text.bytes.as_ptr(), text.len) };
    }

    fn write_trace(&self, fd: HostFd, text: &[u8]) {
        let mut done = 0;
        while let Some(rest) = text.get(done..).filter(|r| !r.is_empty()) {
            // SAFETY: a valid buffer.
            match unsafe { host_call!(nr::WRITE, fd.0, rest.as_ptr(), rest.len()) } {
                Ok(n) => done += n,
                // A kick; it is noted and waits.
                Err(Error::Interrupted) => {}
                Err(_) => return,
            }
        }
    }

    fn fatal(&self, reason: &str) -> ! {
        const OUR_FAILURE: usize = 70;
        self.report(reason);
        if let Some(fatal) = FATAL.try_get() {
            fatal.store(true, Ordering::Release);
        }
        loop {
            // SAFETY: ends the process.
            let _ = unsafe { host_call!(nr::EXIT_GROUP, OUR_FAILURE) };
        }
    }

    fn has_lost_process(&self) -> bool {
        LOST_PROCESS.try_get().is_some_and(|lost| lost.load(Ordering::Acquire))
    }

    fn are_lost(&self, count: u32, sum: u32) -> bool {
        self.has_lost_process() && LOST.try_get().is_some_and(|lost| lost.have_sum(count, sum))
    }

    fn arrived_signals(&self) -> u64 {
        let home = thread_block::current().and_then(|block| block.process_block());
        // Mostly none: without a locked instruction.
        let came = home.filter(|home| home.arrived.load(Ordering::Acquire) != 0);
        came.map_or(0, |home| home.arrived.swap(0, Ordering::AcqRel))
    }

    fn yield_now(&self) {
        // SAFETY: no arguments.
        let _ = unsafe { host_call!(nr::SCHED_YIELD) };
    }
    #[cfg(debug_assertions)]
    fn held_locks(&self) -> Option<(&litebox::sync::LockOrder, &litebox::sync::HeldLocks)> {
        Some((LOCK_ORDER.try_get()?, &thread_block::current()?.held_locks))
    }
    fn memory_barrier(&self, command: u32) -> litebox::Result<usize> {
        // SAFETY: no memory is passed.
        unsafe { host_call!(nr::MEMBARRIER, command, 0, 0) }
    }

    fn keep_kernel(&self, kernel: *const ()) {
        KERNEL.store(kernel.cast_mut(), Ordering::Release);
    }

    fn kept_kernel(&self) -> *const () {
        KERNEL.try_get().map_or(core::ptr::null(), |kernel| kernel.load(Ordering::Acquire).cast_const())
    }

    fn announce_stop(&self) {
        // Without a broker there is nobody who could wait for it.
        let _ = crate::host::broker::simple(litebox_protocol::Op::Stopped, 0, &[], None);
    }
}

/// The processor that the caller runs on, and its node.
pub(crate) fn current_cpu() -> (u32, u32) {
    // What the vDSO's getcpu does: the limit of this segment holds the node above 12 bits of the processor's
    // number.
    const NODE_SEGMENT: u32 = 0x7b;
    let limit: u32;
    // SAFETY: `lsl` only reads a descriptor; a segment that is not there leaves the register as it was.
    unsafe {
        core::arch::asm!(
            "xor {0:e}, {0:e}",
            "lsl {0:e}, {1:e}",
            out(reg) limit,
            in(reg) NODE_SEGMENT,
            options(nomem, nostack)
        );
    }
    (limit & 0xfff, limit >> 12)
}
