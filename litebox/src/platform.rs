//! The South boundary: what a host must provide, as small traits.
//!
//! There is exactly one host in a program. It is bound at link time ([`register_host!`](crate::register_host)), so
//! nothing here is a mutable static and no function carries a type parameter for it. Tests bind `mock::MockHost`
//! (feature `mock`).
//!
//! Rules for an implementation: no thread-local storage, no allocation inside [`Futex`] and [`UserAccess`], never a
//! panic.

mod address_space;
pub mod compat;
pub mod fast_syscalls;
#[cfg(any(test, feature = "mock"))]
pub mod mock;
pub mod north;
mod terminal;

use core::sync::atomic::AtomicU32;
use core::time::Duration;

use crate::{Error, Result};

use litebox_protocol::TERMIOS_SIZE;

pub use address_space::{AddressSpace, Advice, Backing, FaultAccess, MapMode, Prot};
use compat::{CpuMode, Segments, Vdso32};

/// A point on the host's monotonic clock, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Instant(pub u64);

impl Instant {
    /// This instant moved by `d`, saturating at the end of time.
    #[must_use]
    pub fn saturating_add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
    /// Time from now until `self`; zero when it has passed.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Which clock to read. Raw Linux clock numbers stay in the North.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockId {
    /// Wall clock since 1970.
    Realtime,
    /// Never set, counts from an arbitrary start.
    Monotonic,
    /// Monotonic without NTP slewing.
    MonotonicRaw,
    /// Monotonic including suspend.
    Boottime,
    /// TAI.
    Tai,
    /// Cheap, coarse wall clock.
    RealtimeCoarse,
    /// Cheap, coarse monotonic clock.
    MonotonicCoarse,
    /// CPU time of the calling host process.
    ProcessCpu,
    /// CPU time of the calling host thread.
    ThreadCpu,
}

/// Clocks.
pub trait Clock {
    /// Reads `id`, as time since its epoch.
    fn now(&self, id: ClockId) -> Duration;
    /// How finely `id` counts.
    fn resolution(&self, _id: ClockId) -> Duration {
        Duration::from_nanos(1)
    }
    /// Monotonic now, for deadlines.
    fn instant(&self) -> Instant {
        Instant(u64::try_from(self.now(ClockId::Monotonic).as_nanos()).unwrap_or(u64::MAX))
    }
}

/// How a futex wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FutexWake {
    /// Woken, or the word did not hold the expected value: look again.
    Look,
    /// The deadline passed.
    TimedOut,
}

/// The one primitive of blocking: words in shared memory that all processes of the sandbox see.
pub trait Futex {
    /// Sleeps while `*word == expected`, until woken or `deadline`. May wake spuriously.
    fn futex_wait(&self, word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> FutexWake;
    /// Wakes up to `count` sleepers on `word`.
    fn futex_wake(&self, word: &AtomicU32, count: u32);
}

/// Operations on a 32-bit word of guest memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtomicOp {
    /// Read it.
    Load,
    /// Store the operand.
    Swap(u32),
    /// Add the operand (wrapping).
    Add(u32),
    /// Or the operand in.
    Or(u32),
    /// And with the operand.
    And(u32),
    /// Exclusive or.
    Xor(u32),
    /// Store `new` when it holds `expected`.
    CompareExchange {
        /// What it must hold.
        expected: u32,
        /// What is stored then.
        new: u32,
    },
}

/// Access to guest memory with fault recovery. Addresses are checked against the kernel's own ranges first, so a
/// guest pointer into the kernel is a [`Fault`](crate::Error::Fault) like any other bad pointer.
pub trait UserAccess {
    /// Fills `dst` from guest address `src`; returns how many bytes were copied (short: a fault at that byte).
    fn copy_from_user(&self, dst: &mut [u8], src: usize) -> usize;
    /// Copies `src` to guest address `dst`; returns how many bytes were copied.
    fn copy_to_user(&self, dst: usize, src: &[u8]) -> usize;
    /// Fills `len` bytes at guest address `dst` with zeros; returns how many were written.
    fn zero_user(&self, dst: usize, len: usize) -> usize;
    /// Writes numbers of 16 bits, one every `stride` bytes from guest address `dst` on; returns how many were written
    /// (short: a fault at that one).
    fn put_halves(&self, dst: usize, stride: usize, halves: &[u16]) -> usize {
        let put = |(i, half): (usize, &u16)| {
            self.copy_to_user(dst.wrapping_add(i * stride), &half.to_ne_bytes()) == size_of::<u16>()
        };
        halves.iter().enumerate().take_while(|each| put((each.0, each.1))).count()
    }
    /// One atomic operation on an aligned guest word; returns the value before. `Err(Fault)` when not accessible.
    fn user_atomic_u32(&self, addr: usize, op: AtomicOp) -> Result<u32>;
    /// Whether `[addr, addr+len)` lies wholly in the part of the address space that guests may use.
    fn is_user_range(&self, addr: usize, len: usize) -> bool;
}

/// A descriptor of the host: a capability that the broker handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct HostFd(pub i32);

/// The page arena: one shared memory object mapped whole into every process of the sandbox.
pub trait ArenaMemory {
    /// Kernel address of arena byte 0, and the arena's size in bytes.
    fn arena(&self) -> (*mut u8, usize);
    /// Gives the pages back to the host; they read as zeros afterwards. Page aligned.
    fn arena_release(&self, offset: u64, len: u64);
    /// Has the host copy `len` bytes from `addr` to pages that it has not given yet, which is faster than a fault for
    /// each of them. How many it copied.
    ///
    /// # Safety
    /// `addr` is a checked range of guest memory, or valid for reads of `len` bytes; the bytes of the arena are the
    /// caller's.
    unsafe fn arena_write(&self, _offset: u64, _addr: usize, _len: usize) -> Result<usize> {
        Err(Error::NotSupported)
    }
}

/// What the host knows of an open file (from fstat).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStat {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Type and permission bits as in POSIX `st_mode`.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner as the host sees it.
    pub uid: u32,
    /// Group as the host sees it.
    pub gid: u32,
    /// Device number of a device node.
    pub rdev: u64,
    /// Size in bytes.
    pub size: u64,
    /// 512-byte blocks.
    pub blocks: u64,
    /// Preferred I/O size.
    pub blksize: u32,
    /// Times as (seconds, nanoseconds).
    pub atime: (i64, u32),
    /// Last data change.
    pub mtime: (i64, u32),
    /// Last status change.
    pub ctime: (i64, u32),
}

/// Direct use of descriptors the sandbox holds. Buffers are addresses (guest or kernel): the host checks guest ones
/// itself and answers `Fault`. Calls marked *may block* return `Interrupted` when the thread is kicked.
pub trait HostFiles {
    /// read(2); may block.
    ///
    /// # Safety
    /// `addr` is a checked user range, or kernel memory valid for writes of `len` bytes.
    unsafe fn host_read(&self, fd: HostFd, addr: usize, len: usize) -> Result<usize>;
    /// write(2); may block. Never raises SIGPIPE: a closed reader is `BrokenPipe`.
    ///
    /// # Safety
    /// `addr` is a checked user range, or kernel memory valid for reads of `len` bytes.
    unsafe fn host_write(&self, fd: HostFd, addr: usize, len: usize) -> Result<usize>;
    /// pread(2).
    ///
    /// # Safety
    /// As for [`HostFiles::host_read`].
    unsafe fn host_pread(&self, fd: HostFd, addr: usize, len: usize, offset: u64) -> Result<usize>;
    /// pwrite(2).
    ///
    /// # Safety
    /// As for [`HostFiles::host_write`].
    unsafe fn host_pwrite(&self, fd: HostFd, addr: usize, len: usize, offset: u64) -> Result<usize>;
    /// write(2) to a regular file that was opened for appending: at its end, which is found and passed in one step. It
    /// does not block. Returns how much was written and the offset behind it.
    ///
    /// # Safety
    /// As for [`HostFiles::host_write`].
    unsafe fn host_append(&self, fd: HostFd, addr: usize, len: usize) -> Result<(usize, u64)>;
    /// fstat(2).
    fn host_fstat(&self, fd: HostFd) -> Result<HostStat>;
    /// ftruncate(2).
    fn host_truncate(&self, fd: HostFd, len: u64) -> Result<()>;
    /// fallocate(2) with a Linux mode.
    fn host_fallocate(&self, fd: HostFd, mode: i32, offset: u64, len: u64) -> Result<()>;
    /// fsync(2).
    fn host_sync(&self, fd: HostFd) -> Result<()>;
    /// lseek(2); `whence` is 0 set, 1 cur, 2 end, 3 data, 4 hole.
    fn host_seek(&self, fd: HostFd, offset: i64, whence: i32) -> Result<u64>;
    /// getdents64(2) into kernel memory; raw records.
    fn host_getdents(&self, fd: HostFd, buf: &mut [u8]) -> Result<usize>;
    /// close(2).
    fn host_close(&self, fd: HostFd);
    /// ioctl(2); only terminal requests pass the filter. `arg` is a number or an address as the request says.
    ///
    /// # Safety
    /// `arg` must suit the request: a checked user range or kernel memory of the right size.
    unsafe fn host_ioctl(&self, fd: HostFd, request: u32, arg: usize) -> Result<usize>;
    /// Receives from a socket without waiting, by recvmsg(2): `flags` are its flags.
    ///
    /// # Safety
    /// As [`HostFiles::host_read`].
    unsafe fn host_receive(&self, _fd: HostFd, _addr: usize, _len: usize, _flags: i32) -> Result<usize> {
        Err(Error::NotSupported)
    }
    /// write(2) to a socket that never blocks.
    ///
    /// # Safety
    /// As [`HostFiles::host_write`].
    unsafe fn host_send(&self, _fd: HostFd, _addr: usize, _len: usize) -> Result<usize> {
        Err(Error::NotSupported)
    }
    /// Sleeps until a descriptor is ready for any of `events` (poll bits): what it is ready for. `Interrupted`,
    /// `TimedOut` past `deadline`.
    fn host_wait(&self, _fd: HostFd, _events: u16, _deadline: Option<Instant>) -> Result<u16> {
        Err(Error::NotSupported)
    }
    /// poll(2) of one descriptor without waiting: returned poll bits (POLLIN 1, POLLOUT 4, ERR 8, HUP 16). It is never
    /// `Interrupted`: an interruption says nothing of the descriptor.
    fn host_poll(&self, fd: HostFd, events: u16) -> Result<u16>;
    /// Asks the supervisor to watch `fd` for `events`: whenever it becomes ready anew, the guest kernel is told with
    /// `token` in the supervisor. No events: not any more. `Err(NotPermitted)`: this kind of file is always ready.
    fn host_watch(&self, fd: HostFd, events: u16, token: u64) -> Result<()>;
    /// Changes for which events the supervisor watches `fd`. What it is ready for already is told once more.
    fn host_rewatch(&self, _fd: HostFd, _events: u16, _token: u64) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// Has the supervisor look again until when it may sleep ([`north::North::deadline`]).
    fn wake_supervisor(&self) {}
}

/// A directory tree of the host that was granted to the sandbox, by the number the broker gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct GrantId(pub u32);

/// One request to the broker and its answer, both fixed-layout (see `litebox_broker::protocol`). Paths in a request are
/// relative to the grant, without `..`, resolved beneath it, no magic links, last component not followed.
pub trait Broker {
    /// Sends `request`, with the descriptor `file` if there is one, waits for the answer, which replaces what is in
    /// `reply` and is at most as long as there is room in it; returns the descriptor that came with it. `reads`: it
    /// only reads, and a tree that nobody changes; it may be served beside another one.
    fn broker_call(
        &self,
        request: &[u8],
        file: Option<HostFd>,
        reply: &mut alloc::vec::Vec<u8>,
        reads: bool,
    ) -> Result<Option<HostFd>>;
    /// The flag that the broker named by this offset (`litebox_protocol::Op::LowerFlag`), for as long as the sandbox
    /// lives.
    fn change_flag(&self, _offset: u64) -> Option<&'static core::sync::atomic::AtomicU32> {
        None
    }
    /// Sends a request about the network (`litebox_protocol::net`): its head, what follows it, and a descriptor; waits
    /// for the reply, which comes at once. Returns its length and the descriptor that came with it.
    fn network_call(
        &self,
        _head: &[u8],
        _extra: &[u8],
        _sent: Option<HostFd>,
        _reply: &mut [u8],
    ) -> Result<(usize, Option<HostFd>)> {
        Err(Error::NotSupported)
    }

    /// Reads the user's terminal, to which the standard stream `fd` leads, without waiting. `reader`: a program waits
    /// for it, and stops where the user has put the sandbox into the background. Zero bytes: its end. Errors:
    /// `WouldBlock`, nothing was typed; `Io`, it may not be read.
    fn read_terminal(&self, fd: HostFd, buf: &mut [u8], reader: bool) -> Result<usize> {
        terminal::read(|request, reply| self.broker_call(request, None, reply, false), fd, buf, reader)
    }

    /// Changes the settings of the user's terminal (`struct termios` of the host) `when` tcsetattr(3) says: 0 now, 1
    /// after output, 2 and without waiting input. Without settings it only stops the sandbox where that is in the
    /// background. Errors: `WouldBlock`, it has stopped and goes on, to be tried again; `Io`, it may not change them.
    fn set_terminal(&self, fd: HostFd, settings: Option<&[u8; TERMIOS_SIZE]>, when: u32) -> Result<()> {
        terminal::set(|request, reply| self.broker_call(request, None, reply, false), fd, settings, when)
    }
}

/// Which clock an alarm counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlarmClock {
    /// Time passes.
    Monotonic,
    /// CPU time of the calling process.
    ProcessCpu,
}

/// The part of a guest thread that the host owns. Lives in the shared heap inside the North's thread object.
#[derive(Debug, Default)]
#[repr(C)]
pub struct HostThread {
    /// Mode: 0 in the kernel, 1 in guest code, 2 in a blocking host call.
    pub mode: AtomicU32,
    /// Nonzero while the host thread exists.
    pub alive: AtomicU32,
    /// Which host process of the sandbox it runs in.
    pub process: AtomicU32,
    /// Host's handle for kicking it; 0: nobody has yet.
    pub kick_handle: core::sync::atomic::AtomicI32,
    /// The host's id of the thread, for its clock; 0 before it started.
    pub tid: core::sync::atomic::AtomicI32,
    /// CPU time in nanoseconds that the host's thread had used for others before.
    pub cpu_before: core::sync::atomic::AtomicU64,
}

/// What a process or thread has used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the host's kernel.
    pub system: Duration,
    /// The most memory that was resident, in KiB.
    pub max_resident: u64,
    /// Page faults served from memory.
    pub minor_faults: u64,
    /// Page faults that read from a device.
    pub major_faults: u64,
    /// Blocks read.
    pub blocks_in: u64,
    /// Blocks written.
    pub blocks_out: u64,
    /// Times it waited.
    pub voluntary_switches: u64,
    /// Times it had to make room.
    pub involuntary_switches: u64,
}

impl Usage {
    /// What was used since `before`; the most memory is the most there ever was.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            max_resident: self.max_resident,
            minor_faults: self.minor_faults.saturating_sub(before.minor_faults),
            major_faults: self.major_faults.saturating_sub(before.major_faults),
            blocks_in: self.blocks_in.saturating_sub(before.blocks_in),
            blocks_out: self.blocks_out.saturating_sub(before.blocks_out),
            voluntary_switches: self.voluntary_switches.saturating_sub(before.voluntary_switches),
            involuntary_switches: self.involuntary_switches.saturating_sub(before.involuntary_switches),
        }
    }
    /// What both have used together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
            max_resident: self.max_resident.max(other.max_resident),
            minor_faults: self.minor_faults + other.minor_faults,
            major_faults: self.major_faults + other.major_faults,
            blocks_in: self.blocks_in + other.blocks_in,
            blocks_out: self.blocks_out + other.blocks_out,
            voluntary_switches: self.voluntary_switches + other.voluntary_switches,
            involuntary_switches: self.involuntary_switches + other.involuntary_switches,
        }
    }
}

/// What a new guest thread needs.
pub struct ThreadSpec<'a> {
    /// The North's thread object (a leaked reference); [`Threads::current_north`] gives it back on that thread.
    pub north: *const (),
    /// The host's part of that object. Must live as long as the thread.
    pub host: &'a HostThread,
    /// The word it sleeps on.
    pub waiter: &'a crate::event::Waiter,
    /// Its first registers.
    pub regs: &'a north::Registers,
    /// Floating-point state to start from (a copy of the parent's); `None`: the initial state.
    pub fp: Option<&'a [u8]>,
    /// FS base.
    pub fs_base: u64,
    /// GS base.
    pub gs_base: u64,
    /// How its first code is decoded.
    pub mode: CpuMode,
    /// The segments of a thread of a 32-bit program, in place of both bases.
    pub segments: Option<Segments>,
    /// Calls that the host may answer without the North. Must live as long as the thread.
    pub fast_syscalls: &'a fast_syscalls::FastSyscalls,
}

/// Guest threads.
pub trait Threads {
    /// Starts a thread of the calling process in guest code.
    fn spawn_thread(&self, spec: &ThreadSpec<'_>) -> Result<()>;
    /// Starts a process: a copy of the calling one with one thread, which is that of `spec`. Guest memory and kernel
    /// stacks are copied, the kernel's memory and all descriptors shared. To be called where nobody else changes the
    /// caller's address space.
    fn spawn_process(&self, spec: &ThreadSpec<'_>) -> Result<()>;
    /// As [`Threads::spawn_process`], for a thread that needs nothing of the caller's memory: guest memory of the new
    /// process is empty, or a copy that the thread has to unmap.
    fn spawn_program(&self, spec: &ThreadSpec<'_>) -> Result<()>;
    /// Whether the calling thread's process began as a copy of another guest's.
    fn began_as_copy(&self) -> bool;
    /// The calling thread goes on as `child`, a thread of another process with the same memory, from its return to
    /// guest code on: its frame is to hold that one's registers and object by then. When the child's thread ends it
    /// goes on as `parent` says, which is the caller until now. `WouldBlock` when it is lent already, or the host
    /// cannot do this.
    fn hand_off_thread(&self, parent: &ThreadSpec<'_>, child: &ThreadSpec<'_>) -> Result<()>;
    /// The parent of the calling thread gets a thread of its own now and goes on.
    fn split_from_vfork_parent(&self) -> Result<()>;
    /// Turns the calling host process, which runs no guest code yet, into the first thread of `spec`: never returns.
    fn enter_first(&self, spec: &ThreadSpec<'_>) -> !;
    /// Ends the calling host thread. `alive` becomes zero and is woken when its stack is no longer in use.
    fn exit_thread(&self) -> !;
    /// Ends the calling host process once its other threads, which are all on their way out, are out of the kernel's
    /// locks.
    fn exit_process(&self) -> !;
    /// Ends the calling host process at once and the sandbox with it. `wait_status` is what wait(2) would report for
    /// the guest.
    fn end_sandbox(&self, wait_status: i32) -> !;
    /// Makes a thread of the calling process that runs guest code (or a blocking host call) enter the kernel.
    /// [`Waiter::interrupt`](crate::event::Waiter::interrupt) first.
    fn kick(&self, thread: &HostThread);
    /// The North's object of the calling thread; null outside guest threads.
    fn current_north(&self) -> *const ();
    /// Reads the guest's FS base.
    fn fs_base(&self) -> u64;
    /// Sets the guest's FS base; the caller checked that it is canonical and in the user range.
    fn set_fs_base(&self, base: u64);
    /// Reads the guest's GS base.
    fn gs_base(&self) -> u64;
    /// Sets the guest's GS base (takes effect when guest code continues).
    fn set_gs_base(&self, base: u64);
    /// The segments of the calling thread, if it is one of a 32-bit program.
    fn segments(&self) -> Option<Segments> {
        None
    }
    /// The calling thread is one of a 32-bit program with these segments, or of a 64-bit one, from its return to guest
    /// code on. A selector that cannot be loaded is none.
    fn set_segments(&self, _segments: Option<Segments>) {}
    /// The vDSO of 32-bit programs; `None` where the host cannot run them, which the user is told once.
    fn vdso32(&self) -> Option<Vdso32> {
        None
    }
    /// Arms or disarms the calling process's one alarm of this clock: from `deadline` (time of that clock) on, a thread
    /// of the process is interrupted as by [`Threads::kick`], again and again until the alarm is set anew: the thread
    /// may have been leaving.
    fn set_alarm(&self, clock: AlarmClock, deadline: Option<Duration>);
    /// Registers (or with `unregister` unregisters) a restartable-sequences area of the calling thread with the host
    /// (rseq(2)).
    fn rseq(&self, addr: usize, len: u32, flags: i32, signature: u32) -> Result<()>;
    /// The part of the auxiliary vector that describes machine and host: `(key, value)` for AT_HWCAP, AT_HWCAP2,
    /// AT_MINSIGSTKSZ, AT_SYSINFO_EHDR, AT_CLKTCK, AT_PAGESZ and the like; returns how many were written.
    fn aux_vector(&self, out: &mut [(u64, u64)]) -> usize;
    /// CPU affinity mask as the host grants it, little-endian bits; returns bytes written.
    fn affinity(&self, out: &mut [u8]) -> usize;
    /// What the calling process, or the calling thread, has used.
    fn usage(&self, thread_only: bool) -> Usage;
    /// The processor that the caller runs on, and its node.
    fn current_cpu(&self) -> (u32, u32);
    /// CPU time of another thread of the calling process; `None` when it is not one or has gone.
    fn thread_cpu(&self, thread: &HostThread) -> Option<Duration>;
    /// CPU time of the host process that a thread is in, which need not be the calling one: all of it, and that in user
    /// mode. `None` when it has gone, or has not run yet.
    fn process_cpu(&self, thread: &HostThread) -> Option<(Duration, Duration)>;
}

/// Entropy and diagnostics.
pub trait System {
    /// Fills `buf` with random bytes from the host.
    fn random(&self, buf: &mut [u8]);
    /// A line for the user who runs the sandbox (to litebox's stderr), never to the guest's stdout.
    fn report(&self, line: &str);
    /// Writes all of `text` to a descriptor that the user gave for it, whatever is pending for the thread. Errors are
    /// not reported: nobody reads.
    fn write_trace(&self, fd: HostFd, text: &[u8]);
    /// Ends the whole sandbox with exit code 70 and this reason. Used for broken invariants only.
    fn fatal(&self, reason: &str) -> !;
    /// Whether a process of the sandbox ended without the kernel's doing, and may have held locks.
    fn has_lost_process(&self) -> bool {
        false
    }
    /// Whether one of those processes has a number ([`begin_process`](crate::sync::begin_process)) that is, `count`
    /// times and as far as 32 bits go, `sum`.
    fn are_lost(&self, _count: u32, _sum: u32) -> bool {
        false
    }
    /// Signals that somebody outside of the sandbox sent to the calling process, or its host for a limit (RLIMIT_CPU),
    /// and that nobody has asked for yet: bit n - 1 for signal n. Whoever is interrupted asks.
    fn arrived_signals(&self) -> u64 {
        0
    }
    /// Lets another thread run.
    fn yield_now(&self);
    /// The order of locks in this sandbox, and the locks that the calling thread holds; `None` where nobody counts
    /// them.
    #[cfg(debug_assertions)]
    fn held_locks(&self) -> Option<(&crate::sync::LockOrder, &crate::sync::HeldLocks)> {
        None
    }
    /// One of the host's memory barriers, by the command's number in membarrier(2); 0 asks which there are.
    fn memory_barrier(&self, command: u32) -> Result<usize>;
    /// Keeps the North's kernel object, which every process of the sandbox can then find.
    fn keep_kernel(&self, kernel: *const ());
    /// The kernel object; null before one was kept.
    fn kept_kernel(&self) -> *const ();
    /// The guest stopped (job control): tells the user's shell. Returns when the user has it go on.
    fn announce_stop(&self);
}

/// Everything a host is.
pub trait Host:
    Clock + Futex + UserAccess + AddressSpace + ArenaMemory + HostFiles + Broker + Threads + System + Sync
{
}

impl<T: Clock + Futex + UserAccess + AddressSpace + ArenaMemory + HostFiles + Broker + Threads + System + Sync> Host
    for T
{
}

unsafe extern "Rust" {
    static LITEBOX_HOST: &'static dyn Host;
}

/// The host of this program.
#[inline]
pub fn host() -> &'static dyn Host {
    // SAFETY: the symbol is an immutable static defined once by `register_host!`; the linker refuses none or two.
    unsafe { LITEBOX_HOST }
}

/// Binds the one host of a program: `litebox::register_host!(MyHost)` where `MyHost` is a unit-like constant
/// expression.
#[macro_export]
macro_rules! register_host {
    ($host:expr) => {
        #[unsafe(no_mangle)]
        static LITEBOX_HOST: &'static dyn $crate::platform::Host = &$host;
    };
}
