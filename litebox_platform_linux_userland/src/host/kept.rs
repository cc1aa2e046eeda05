//! What a guest thread starts with, kept until it does.

use alloc::vec::Vec;

use litebox::event::Waiter;
use litebox::platform::compat::{CpuMode, Segments};
use litebox::platform::fast_syscalls::FastSyscalls;
use litebox::platform::north::Registers;
use litebox::platform::{HostThread, ThreadSpec};

/// A [`ThreadSpec`] that outlives the call it was made for.
pub(crate) struct KeptSpec {
    north: *const (),
    host: *const HostThread,
    waiter: *const Waiter,
    regs: Registers,
    fp: Option<Vec<u8>>,
    fs_base: u64,
    gs_base: u64,
    mode: CpuMode,
    segments: Option<Segments>,
    fast_syscalls: *const FastSyscalls,
}

// SAFETY: the pointers lead to objects in the shared heap that live as long as the thread they describe.
unsafe impl Send for KeptSpec {}

impl KeptSpec {
    /// Keeps what `spec` says.
    pub(crate) fn of(spec: &ThreadSpec<'_>) -> Self {
        Self {
            north: spec.north,
            host: spec.host,
            waiter: spec.waiter,
            regs: *spec.regs,
            fp: spec.fp.map(<[u8]>::to_vec),
            fs_base: spec.fs_base,
            gs_base: spec.gs_base,
            mode: spec.mode,
            segments: spec.segments,
            fast_syscalls: spec.fast_syscalls,
        }
    }

    /// It again.
    pub(crate) fn spec(&self) -> ThreadSpec<'_> {
        // SAFETY: the North keeps them alive as long as the thread lives.
        let (host, waiter, fast_syscalls) = unsafe { (&*self.host, &*self.waiter, &*self.fast_syscalls) };
        ThreadSpec {
            north: self.north,
            host,
            waiter,
            regs: &self.regs,
            fp: self.fp.as_deref(),
            fs_base: self.fs_base,
            gs_base: self.gs_base,
            mode: self.mode,
            segments: self.segments,
            fast_syscalls,
        }
    }
}
