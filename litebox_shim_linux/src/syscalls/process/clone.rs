//! clone(2), clone3(2), fork(2), vfork(2): what is asked for, checked; then threads. Processes are made in
//! [`fork`](super::fork).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use litebox_common_linux::abi::process::{CloneArgs, CloneArgsX86_64, CloneFlags};

use litebox::platform::{ThreadSpec, host};
use litebox::{Error, Result};
use litebox_common_linux::Arch;

use crate::task::VforkWait;
use crate::user::{read_bytes, read_extensible, write_bytes};
use crate::{Task, Thread};

bitflags::bitflags! {
    /// What the new task shares and which words are written, as clone(2) has it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) struct Flags: u64 {
        const NEWTIME = 0x80;
        const VM = 0x100;
        const FS = 0x200;
        const FILES = 0x400;
        const SIGHAND = 0x800;
        const PIDFD = 0x1000;
        const PTRACE = 0x2000;
        const VFORK = 0x4000;
        const PARENT = 0x8000;
        const THREAD = 0x1_0000;
        const NEWNS = 0x2_0000;
        const SYSVSEM = 0x4_0000;
        const SETTLS = 0x8_0000;
        const PARENT_SETTID = 0x10_0000;
        const CHILD_CLEARTID = 0x20_0000;
        const DETACHED = 0x40_0000;
        const UNTRACED = 0x80_0000;
        const CHILD_SETTID = 0x100_0000;
        const NEWCGROUP = 0x200_0000;
        const NEWUTS = 0x400_0000;
        const NEWIPC = 0x800_0000;
        const NEWUSER = 0x1000_0000;
        const NEWPID = 0x2000_0000;
        const NEWNET = 0x4000_0000;
        const IO = 0x8000_0000;
        const CLEAR_SIGHAND = 0x1_0000_0000;
        const INTO_CGROUP = 0x2_0000_0000;
        /// Anything that makes a namespace.
        const NEW = 0x80 | 0x2_0000 | 0x200_0000 | 0x400_0000 | 0x800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;
    }
}

const EXIT_SIGNAL: u64 = 0xff;
const MAX_SIGNAL: u64 = 64;
/// Threads of one process at most.
const MAX_THREADS: u32 = 4096;
/// Size of the first `struct clone_args`.
const ARGS_MIN: usize = 64;
/// Nested namespaces at most.
const MAX_LEVELS: u64 = 32;

/// What is asked for.
pub(super) struct Request {
    pub(super) flags: Flags,
    pub(super) exit_signal: i32,
    /// Its stack pointer; 0: the caller's.
    pub(super) stack: u64,
    pub(super) pidfd: u64,
    pub(super) parent_tid: u64,
    pub(super) child_tid: u64,
    pub(super) tls: u64,
    /// The id it wants.
    pub(super) id: Option<i32>,
}

impl Request {
    /// FS base of the new thread.
    pub(super) fn fs_base(&self) -> u64 {
        if self.flags.contains(Flags::SETTLS) { self.tls } else { host().fs_base() }
    }
}

impl Task<'_, '_> {
    /// unshare(2)
    pub(crate) fn unshare(&mut self, flags: CloneFlags) -> Result<usize> {
        let parts = Flags::FILES | Flags::FS | Flags::SYSVSEM;
        let alone = Flags::THREAD | Flags::SIGHAND | Flags::VM;
        let flags = Flags::from_bits(flags.bits() as u64).ok_or(Error::Invalid)?;
        if !(parts | alone | Flags::NEW).contains(flags) {
            return Err(Error::Invalid);
        }
        let process = self.process();
        let shares_actions = flags.intersects(Flags::SIGHAND | Flags::VM) && process.signals.actions.is_shared();
        let shares_memory = flags.contains(Flags::VM) && process.mm.is_shared();
        if flags.intersects(alone) && (process.thread_count() > 1 || shares_actions || shares_memory) {
            return Err(Error::Invalid);
        }
        if flags.intersects(Flags::NEW) {
            return Err(Error::NotPermitted);
        }
        if flags.contains(Flags::FILES) {
            self.own_descriptors();
        }
        if flags.contains(Flags::FS) {
            self.own_places();
        }
        if flags.contains(Flags::SYSVSEM) {
            // What it would undo at its end is undone now (semop(2)).
            self.ipc_objects().system_v.process_ended(self.process().pid);
        }
        Ok(0)
    }

    /// fork(2).
    pub(crate) fn fork(&mut self) -> Result<usize> {
        self.clone(CloneFlags::SIGCHLD, 0, 0, 0, 0)
    }

    /// vfork(2).
    pub(crate) fn vfork(&mut self) -> Result<usize> {
        self.clone(CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK | CloneFlags::SIGCHLD, 0, 0, 0, 0)
    }

    /// clone(2).
    pub(crate) fn clone(
        &mut self,
        flags: CloneFlags,
        stack: u64,
        parent: u64,
        fourth: u64,
        fifth: u64,
    ) -> Result<usize> {
        // The last two change places.
        let (child, tls) = match self.abi() {
            Arch::X86_64 => (fourth, fifth),
            Arch::X86 => (fifth, fourth),
        };
        let flags = flags.bits() as u64;
        let request = Request {
            flags: Flags::from_bits_retain(flags & 0xffff_ffff & !EXIT_SIGNAL),
            exit_signal: (flags & EXIT_SIGNAL) as i32,
            stack,
            pidfd: parent,
            parent_tid: parent,
            child_tid: child,
            tls,
            id: None,
        };
        self.perform_clone(&request)
    }

    /// clone3(2).
    pub(crate) fn clone3(&mut self, args: u64, size: u64) -> Result<usize> {
        let request = read_request(args, size)?;
        let flags = request.flags;
        if flags.intersects(Flags::DETACHED)
            || flags.bits() & EXIT_SIGNAL & !Flags::NEWTIME.bits() != 0
            || flags.bits() >> 34 != 0
            || flags.contains(Flags::SIGHAND | Flags::CLEAR_SIGHAND)
            || flags.intersects(Flags::THREAD | Flags::PARENT) && request.exit_signal != 0
        {
            return Err(Error::Invalid);
        }
        if flags.contains(Flags::INTO_CGROUP) {
            // No descriptor can be one of a control group's directory that may be written.
            return Err(Error::BadDescriptor);
        }
        self.perform_clone(&request)
    }

    fn perform_clone(&mut self, request: &Request) -> Result<usize> {
        let flags = request.flags;
        let has = |wanted| flags.contains(wanted);
        if has(Flags::PIDFD | Flags::PARENT_SETTID) && request.pidfd == request.parent_tid
            || has(Flags::NEWNS | Flags::FS)
            || has(Flags::NEWUSER | Flags::FS)
            || has(Flags::THREAD) && !has(Flags::SIGHAND)
            || has(Flags::SIGHAND) && !has(Flags::VM)
            || has(Flags::THREAD) && flags.intersects(Flags::NEWUSER | Flags::NEWPID | Flags::PIDFD)
            || has(Flags::VM) && has(Flags::NEWTIME)
            || has(Flags::PARENT) && self.process().pid == 1
            || has(Flags::PIDFD | Flags::DETACHED)
        {
            return Err(Error::Invalid);
        }
        if flags.intersects(Flags::NEW) {
            // Namespaces are for those with the right to make them; nobody in here has it.
            return Err(Error::NotPermitted);
        }
        if has(Flags::SETTLS) && request.tls >= 1 << 47 {
            return Err(Error::NotPermitted);
        }
        if has(Flags::THREAD) { self.start_thread(request) } else { self.start_process(request) }
    }

    fn start_thread(&mut self, request: &Request) -> Result<usize> {
        let flags = request.flags;
        let crowded = {
            let process_table = self.kernel().process_table.lock();
            self.has_most_threads(&process_table) || self.kernel().has_most_tasks(&process_table, 0)
        };
        if crowded || self.process().thread_count() >= MAX_THREADS {
            return Err(Error::WouldBlock);
        }
        let id = self.id_for(request)?;
        let thread = Thread::new(self.process(), id, *self.thread.name.lock(), self.shares_for(request)?);
        let vfork = flags.contains(Flags::VFORK).then(|| VforkWait::new(self.waiter()));
        (*thread.vfork_parent.lock()).clone_from(&vfork);
        thread.inherit_identity(self.thread);
        thread.signals.inherit(&self.thread.signals);
        thread.scheduling.inherit(&self.thread.scheduling);
        self.give_tls(&thread, request)?;
        if flags.contains(Flags::CHILD_CLEARTID) {
            thread.clear_child_tid.store(request.child_tid as usize, Ordering::Relaxed);
        }
        let tid = thread.tid().to_le_bytes();
        // As on Linux, a bad address for the child's word is not an error of the caller.
        if flags.contains(Flags::CHILD_SETTID) {
            let _ = write_bytes(request.child_tid, &tid);
        }
        if flags.contains(Flags::PARENT_SETTID) {
            let _ = write_bytes(request.parent_tid, &tid);
        }
        if !self.process().add_thread_of(self.thread, &thread) {
            return Err(Error::WouldBlock);
        }
        let started = self.launch(&thread, request.stack, request.fs_base(), |spec| host().spawn_thread(spec));
        if started.is_err() {
            self.process().remove_thread(&thread);
            return Err(Error::WouldBlock);
        }
        if let Some(vfork) = vfork {
            self.wait_for_vfork(&vfork);
        }
        Ok(thread.tid() as usize)
    }

    /// The segments of a new thread: the caller's, but for the one that is given for it.
    pub(super) fn give_tls(&self, thread: &Thread, request: &Request) -> Result<()> {
        thread.inherit_tls(self.thread);
        let given = self.abi() == Arch::X86 && request.flags.contains(Flags::SETTLS);
        if given { thread.set_tls(request.tls) } else { Ok(()) }
    }

    /// The id asked for, or a fresh one.
    pub(super) fn id_for(&self, request: &Request) -> Result<i32> {
        let Some(id) = request.id else { return self.kernel().allocate_id().ok_or(Error::WouldBlock) };
        if !(1..self.kernel().settings.pid_max.load(Ordering::Relaxed)).contains(&id) {
            return Err(Error::Invalid);
        }
        if self.creds().euid != 0 {
            return Err(Error::NotPermitted);
        }
        if self.kernel().claim_id(id) { Ok(id) } else { Err(Error::Exists) }
    }

    /// Has the host start `thread`, which goes on with the caller's registers, but for its stack pointer if one is
    /// given.
    pub(super) fn launch(
        &mut self,
        thread: &Arc<Thread>,
        stack: u64,
        fs_base: u64,
        start: impl FnOnce(&ThreadSpec<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut regs = *self.frame.regs;
        regs.rax = 0;
        if stack != 0 {
            regs.rsp = stack;
        }
        // The host gives this reference back when the thread ends.
        let north = Arc::into_raw(thread.clone());
        let mode = self.frame.mode;
        let spec = ThreadSpec {
            north: north.cast(),
            host: &thread.host,
            waiter: &thread.waiter,
            regs: &regs,
            fp: self.frame.fp().map(|fp| &*fp),
            fs_base,
            gs_base: host().gs_base(),
            mode,
            segments: host().segments().map(|segments| thread.segments_from(segments)),
            fast_syscalls: thread.fast_syscalls(),
        };
        let started = start(&spec);
        if started.is_err() {
            // SAFETY: the reference leaked above; no thread was started that could use it.
            drop(unsafe { Arc::from_raw(north) });
        }
        started
    }
}

/// Reads a `struct clone_args`.
fn read_request(args: u64, size: u64) -> Result<Request> {
    let size = usize::try_from(size).map_err(|_| Error::TooBig)?;
    let asked: CloneArgs = read_extensible(args, size, ARGS_MIN)?;
    let CloneArgs { exit_signal, stack, stack_size, set_tid: ids, set_tid_size: levels, cgroup, .. } = asked;
    let flags = Flags::from_bits_retain(asked.flags);
    if levels > MAX_LEVELS || (ids == 0) != (levels == 0) || exit_signal > MAX_SIGNAL {
        return Err(Error::Invalid);
    }
    if flags.contains(Flags::INTO_CGROUP) && (i32::try_from(cgroup).is_err() || size < size_of::<CloneArgsX86_64>()) {
        return Err(Error::Invalid);
    }
    let id = if levels == 0 { None } else { Some(i32::from_le_bytes(read_bytes(ids)?)) };
    let end = stack.checked_add(stack_size).ok_or(Error::Invalid)?;
    if (stack == 0) != (stack_size == 0) || levels > 1 || end > 1 << 47 {
        return Err(Error::Invalid);
    }
    Ok(Request {
        flags,
        exit_signal: exit_signal as i32,
        stack: end,
        pidfd: asked.pidfd,
        parent_tid: asked.parent_tid,
        child_tid: asked.child_tid,
        tls: asked.tls,
        id,
    })
}
