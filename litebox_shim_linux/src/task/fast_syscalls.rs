//! Calls that are answered where they enter, because one word is the answer: ids, and the file mode mask.
//!
//! The table is filled in when a thread is made. The ids are words of the thread, which follow its credentials; the
//! mask belongs to its places, which the thread alone exchanges. While calls are printed or filtered the table stays
//! empty: they are all looked at.

use core::sync::atomic::{AtomicU32, Ordering, fence};

use litebox::platform::fast_syscalls::FastSyscalls;
use litebox_common_linux::Arch;

use super::{Credentials, Thread};

/// Numbers of these calls.
struct Numbers {
    getpid: u32,
    umask: u32,
    getuid: u32,
    getgid: u32,
    geteuid: u32,
    getegid: u32,
    getppid: u32,
    gettid: u32,
}

const X86_64: Numbers =
    Numbers { getpid: 39, umask: 95, getuid: 102, getgid: 104, geteuid: 107, getegid: 108, getppid: 110, gettid: 186 };

/// The ids are those of the calls with 32 bits. gettid finds its slot taken.
const X86: Numbers =
    Numbers { getpid: 20, umask: 60, getuid: 199, getgid: 200, geteuid: 201, getegid: 202, getppid: 64, gettid: 224 };

/// What umask(2) takes of its argument.
pub(crate) const MODE_MASK: u32 = 0o777;

/// The ids of a thread's credentials that programs ask for.
#[derive(Default)]
pub(crate) struct Ids {
    pub(crate) uid: AtomicU32,
    pub(crate) euid: AtomicU32,
    pub(crate) gid: AtomicU32,
    pub(crate) egid: AtomicU32,
}

impl Ids {
    /// Those of `creds`.
    pub(super) fn follow(&self, creds: &Credentials) {
        let words =
            [(&self.uid, creds.uid), (&self.euid, creds.euid), (&self.gid, creds.gid), (&self.egid, creds.egid)];
        for (word, id) in words {
            word.store(id, Ordering::Relaxed);
        }
    }
}

impl Thread {
    /// Its calls that words answer, up to date: to be called by whoever makes the thread, and by itself when its places
    /// or its program are others.
    pub(crate) fn fast_syscalls(&self) -> &FastSyscalls {
        let (process, ids) = (&self.process, &self.ids);
        if self.syscall_work().is_empty() {
            let nr = match process.arch() {
                Arch::X86_64 => &X86_64,
                Arch::X86 => &X86,
            };
            self.fast_syscalls.clear();
            let mask = self.fs.umask.as_ptr();
            let set = |number, word: *const u32, taken| {
                // SAFETY: words of the thread, of its process, which it keeps, and of places, which its part keeps.
                unsafe { self.fast_syscalls.set(number, word, taken) };
            };
            set(nr.getpid, (&raw const process.pid).cast(), 0);
            set(nr.getppid, process.parent.as_ptr().cast(), 0);
            set(nr.gettid, self.tid.as_ptr().cast(), 0);
            set(nr.umask, mask, MODE_MASK);
            for (number, word) in
                [(nr.getuid, &ids.uid), (nr.geteuid, &ids.euid), (nr.getgid, &ids.gid), (nr.getegid, &ids.egid)]
            {
                set(number, word.as_ptr(), 0);
            }
            // Another thread may have begun to filter its calls meanwhile.
            fence(Ordering::SeqCst);
            if !self.syscall_work().is_empty() {
                self.fast_syscalls.clear();
            }
        }
        &self.fast_syscalls
    }
}
