//! From the number of a call to its handler, and from its result to `rax`.

mod files;

use litebox::{Error, Result};

use crate::Task;
use crate::syscalls::system::Id;

/// The Linux errno of a core error.
fn errno_of(error: Error) -> u64 {
    let errno = match error {
        Error::NotPermitted => 1,
        Error::NotFound => 2,
        Error::NoProcess => 3,
        Error::Interrupted => 4,
        Error::NoSuchDevice => 6,
        Error::TooBig => 7,
        Error::NotExecutable => 8,
        Error::BadDescriptor => 9,
        Error::WouldBlock => 11,
        Error::NoMemory => 12,
        Error::Access => 13,
        Error::Fault => 14,
        Error::Busy => 16,
        Error::Exists => 17,
        Error::CrossDevice => 18,
        Error::NoDevice => 19,
        Error::NotDirectory => 20,
        Error::IsDirectory => 21,
        Error::Invalid => 22,
        Error::TooManyFilesInSystem => 23,
        Error::TooManyFiles => 24,
        Error::NotTerminal => 25,
        Error::TextBusy => 26,
        Error::FileTooBig => 27,
        Error::NoSpace => 28,
        Error::NotSeekable => 29,
        Error::ReadOnly => 30,
        Error::TooManyLinks => 31,
        Error::BrokenPipe => 32,
        Error::Range => 34,
        Error::Deadlock => 35,
        Error::NameTooLong => 36,
        Error::NotImplemented => 38,
        Error::NotEmpty => 39,
        Error::Loop => 40,
        Error::NoData => 61,
        Error::Overflow => 75,
        Error::BadLibrary => 80,
        Error::NotSupported => 95,
        Error::TimedOut => 110,
        Error::Stale => 116,
        Error::Quota => 122,
        Error::Host(n) => n,
        // Io, and what a later core may add.
        _ => 5,
    };
    u64::from(errno.unsigned_abs())
}

impl Task<'_, '_> {
    /// Serves the system call in the registers and stores its result there.
    pub(crate) fn do_syscall(&mut self) {
        const RT_SIGRETURN: u64 = 15;
        let r = &self.frame.regs;
        let (number, args) = (r.rax, [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9]);
        if number == RT_SIGRETURN {
            self.rt_sigreturn();
            return;
        }
        self.frame.regs.rax = match self.dispatch(number, args) {
            Ok(value) => value as u64,
            Err(error) => errno_of(error).wrapping_neg(),
        };
    }

    #[expect(clippy::many_single_char_names, reason = "the six argument registers")]
    /// One arm a call. An `int` argument is the low half of its register.
    fn dispatch(&mut self, number: u64, [a, b, c, d, e, f]: [u64; 6]) -> Result<usize> {
        let (ai, bi, ci) = (a as i32, b as i32, c as i32);
        let privileged = self.process().creds().euid == 0;
        let mm = |task: &Self| task.process().clone();
        match number {
            9 => {
                let process = self.process().clone();
                let fd = e as i32;
                process.mm.mmap(a, b, c, d, f, || process.files.get(fd))
            }
            10 => mm(self).mm.mprotect(a, b, c).map(|()| 0),
            11 => mm(self).mm.munmap(a, b).map(|()| 0),
            12 => Ok(mm(self).mm.brk(a)),
            13 => self.rt_sigaction(ai, b, c, d),
            14 => self.rt_sigprocmask(ai, b, c, d),
            24 => self.sched_yield(),
            25 => mm(self).mm.mremap(a, b, c, d, e),
            26 => mm(self).mm.msync(a, b, c).map(|()| 0),
            28 => mm(self).mm.madvise(a, b, ci).map(|()| 0),
            34 => self.pause(),
            35 => self.nanosleep(a, b),
            36 => self.getitimer(ai, b),
            37 => self.alarm(a as u32),
            38 => self.setitimer(ai, b, c),
            39 => self.getpid(),
            56 => self.clone(a, b, c, d, e),
            59 => self.execve(a, b, c),
            60 => self.exit(ai),
            61 => self.wait4(ai, b, c as u32, d),
            62 => self.kill(ai, bi),
            63 => self.uname(a),
            96 => self.gettimeofday(a, b),
            97 => self.getrlimit(a as u32, b),
            98 => self.getrusage(ai, b),
            100 => self.times(a),
            102 => self.id(Id::Uid),
            104 => self.id(Id::Gid),
            107 => self.id(Id::Euid),
            108 => self.id(Id::Egid),
            109 => self.setpgid(ai, bi),
            110 => self.getppid(),
            111 => self.getpgid(0),
            112 => self.setsid(),
            121 => self.getpgid(ai),
            124 => self.getsid(ai),
            127 => self.rt_sigpending(a, b),
            128 => self.rt_sigtimedwait(a, b, c, d),
            129 => self.rt_sigqueueinfo(ai, bi, c),
            130 => self.rt_sigsuspend(a, b),
            131 => self.sigaltstack(a, b),
            149 => mm(self).mm.mlock(a, b, 0, privileged).map(|()| 0),
            150 => mm(self).mm.munlock(a, b).map(|()| 0),
            151 => mm(self).mm.mlockall(a, privileged).map(|()| 0),
            152 => mm(self).mm.munlockall().map(|()| 0),
            157 => self.prctl(ai, b, c, d, e),
            158 => self.arch_prctl(ai, b),
            159 => self.adjtimex(a),
            160 => self.setrlimit(a as u32, b),
            164 => self.settimeofday(a, b),
            186 => self.gettid(),
            200 => self.tkill(ai, bi),
            201 => self.time(a),
            202 => self.futex(a, bi, c as u32, d, e, f as u32),
            218 => self.set_tid_address(a),
            219 => self.restart_syscall(),
            222 => self.timer_create(ai, b, c),
            223 => self.timer_settime(ai, bi, c, d),
            224 => self.timer_gettime(ai, b),
            225 => self.timer_getoverrun(ai),
            226 => self.timer_delete(ai),
            227 => self.clock_settime(ai, b),
            228 => self.clock_gettime(ai, b),
            229 => self.clock_getres(ai, b),
            230 => self.clock_nanosleep(ai, bi, c, d),
            231 => self.exit_group(ai),
            234 => self.tgkill(ai, bi, ci),
            247 => self.waitid(ai, bi, c, d as u32, e),
            273 => self.set_robust_list(a, b),
            274 => self.get_robust_list(ai, b, c),
            297 => self.rt_tgsigqueueinfo(ai, bi, ci, d),
            302 => self.prlimit64(ai, b as u32, c, d),
            305 => self.clock_adjtime(ai, b),
            318 => self.getrandom(a, b, c as u32),
            322 => self.execveat(ai, b, c, d, e as i32),
            325 => mm(self).mm.mlock(a, b, c, privileged).map(|()| 0),
            334 => self.rseq(a, b as u32, ci, d as u32),
            449 => self.futex_waitv(a, b as u32, c as u32, d, e as i32),
            454 => self.futex2_wake(a, b, ci, d as u32),
            455 => self.futex2_wait(a, b, c, d as u32, e, f as i32),
            456 => self.futex2_requeue(a, b as u32, ci, d as i32),
            435 => self.clone3(a, b),
            _ => self.dispatch_files(number, [a, b, c, d, e, f]),
        }
    }
}
