//! Threads by clone(2) and clone3(2). Requests for a process of its own are not served yet (ENOSYS).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use litebox::platform::{ThreadSpec, host};
use litebox::{Error, Result};

use crate::user::{read_into, word, write_bytes};
use crate::{Task, Thread};

const VM: u64 = 0x100;
const FS: u64 = 0x200;
const FILES: u64 = 0x400;
const SIGHAND: u64 = 0x800;
const PIDFD: u64 = 0x1000;
const THREAD: u64 = 0x1_0000;
const NEWNS: u64 = 0x2_0000;
const SYSVSEM: u64 = 0x4_0000;
const SETTLS: u64 = 0x8_0000;
const PARENT_SETTID: u64 = 0x10_0000;
const CHILD_CLEARTID: u64 = 0x20_0000;
const DETACHED: u64 = 0x40_0000;
const CHILD_SETTID: u64 = 0x100_0000;
/// What a thread may ask for.
const THREAD_FLAGS: u64 =
    VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | SETTLS | PARENT_SETTID | CHILD_CLEARTID | DETACHED | CHILD_SETTID;
const EXIT_SIGNAL: u64 = 0xff;
/// Threads of one process at most.
const MAX_THREADS: u32 = 4096;
const ARGS_MIN: usize = 64;
const ARGS_KNOWN: usize = 88;
const PAGE: usize = 4096;

struct Request {
    flags: u64,
    stack: u64,
    parent_tid: u64,
    child_tid: u64,
    tls: u64,
}

impl Task<'_, '_> {
    /// clone(2).
    pub(crate) fn clone(&mut self, flags: u64, stack: u64, parent: u64, child: u64, tls: u64) -> Result<usize> {
        let flags = flags & 0xffff_ffff & !EXIT_SIGNAL;
        self.start_thread(&Request { flags, stack, parent_tid: parent, child_tid: child, tls })
    }

    /// clone3(2).
    pub(crate) fn clone3(&mut self, args: u64, size: u64) -> Result<usize> {
        let size = usize::try_from(size).ok().filter(|s| *s <= PAGE).ok_or(Error::TooBig)?;
        if size < ARGS_MIN {
            return Err(Error::Invalid);
        }
        let mut raw = [0u8; PAGE];
        let raw = &mut raw[..size];
        read_into(args, raw)?;
        if raw.iter().skip(ARGS_KNOWN).any(|b| *b != 0) {
            return Err(Error::TooBig);
        }
        let field = |i: usize| u64::from_le_bytes(word(raw, i * 8));
        let (flags, exit_signal, stack, stack_size) = (field(0), field(4), field(5), field(6));
        if (stack == 0) != (stack_size == 0) || flags & (EXIT_SIGNAL | DETACHED) != 0 || exit_signal > 64 {
            return Err(Error::Invalid);
        }
        if flags & THREAD != 0 && exit_signal != 0 || field(8) != 0 || field(9) != 0 {
            return Err(Error::Invalid);
        }
        let stack = stack.wrapping_add(stack_size);
        self.start_thread(&Request { flags, stack, parent_tid: field(3), child_tid: field(2), tls: field(7) })
    }

    fn start_thread(&mut self, request: &Request) -> Result<usize> {
        let flags = request.flags;
        if flags & THREAD != 0 && flags & SIGHAND == 0
            || flags & SIGHAND != 0 && flags & VM == 0
            || flags & (FS | NEWNS) == FS | NEWNS
            || flags & PIDFD != 0 && flags & DETACHED != 0
        {
            return Err(Error::Invalid);
        }
        // Processes of their own, half-shared ones, pidfds and namespaces.
        if flags & THREAD == 0 || flags & (FS | FILES) != FS | FILES || flags & !THREAD_FLAGS != 0 {
            return Err(Error::NotImplemented);
        }
        if self.process().thread_count() >= MAX_THREADS {
            return Err(Error::WouldBlock);
        }
        if flags & SETTLS != 0 && request.tls >= 1 << 47 {
            return Err(Error::NotPermitted);
        }
        let name = *self.thread.name.lock();
        let thread = Thread::new(self.process(), self.kernel().allocate_id(), name);
        thread.signals.inherit(&self.thread.signals);
        thread.scheduling.inherit(&self.thread.scheduling);
        if flags & CHILD_CLEARTID != 0 {
            thread.clear_child_tid.store(request.child_tid as usize, Ordering::Relaxed);
        }
        let tid = thread.tid().to_le_bytes();
        // As on Linux, a bad address for the child's word is not an error of the caller.
        if flags & CHILD_SETTID != 0 {
            let _ = write_bytes(request.child_tid, &tid);
        }
        if flags & PARENT_SETTID != 0 {
            let _ = write_bytes(request.parent_tid, &tid);
        }
        if !self.process().add_thread(&thread) {
            return Err(Error::WouldBlock);
        }
        self.launch(&thread, request)?;
        Ok(thread.tid() as usize)
    }

    fn launch(&mut self, thread: &Arc<Thread>, request: &Request) -> Result<()> {
        let mut regs = *self.frame.regs;
        regs.rax = 0;
        if request.stack != 0 {
            regs.rsp = request.stack;
        }
        let fs_base = if request.flags & SETTLS != 0 { request.tls } else { host().fs_base() };
        // The host gives this reference back through `current_north` for as long as the thread lives.
        let north = Arc::into_raw(thread.clone());
        let spec = ThreadSpec {
            north: north.cast(),
            host: &thread.host,
            waiter: &thread.waiter,
            regs: &regs,
            fp: self.frame.fp().map(|fp| &*fp),
            fs_base,
            gs_base: host().gs_base(),
        };
        let started = host().spawn_thread(&spec);
        if started.is_err() {
            // SAFETY: the reference leaked above; no thread was started that could use it.
            drop(unsafe { Arc::from_raw(north) });
            self.process().remove_thread(thread);
            return Err(Error::WouldBlock);
        }
        Ok(())
    }
}
