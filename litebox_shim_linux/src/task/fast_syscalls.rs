//! Calls that are answered where they enter, because one word is the answer: ids, and the file mode mask.
//!
//! The table is filled in when a thread is made. The ids are words of the thread, which follow its credentials; the mask belongs to its places, which
//! the thread alone exchanges. While calls are printed the table stays empty: printing wants to see them all.

use core::sync::atomic::{AtomicU32, Ordering};

use litebox::platform::fast_syscalls::FastSyscalls;

use super::{Credentials, Thread};

/// Numbers of these calls (x86-64).
mod nr {
    pub(super) const GETPID: u32 = 39;
    pub(super) const UMASK: u32 = 95;
    pub(super) const GETUID: u32 = 102;
    pub(super) const GETGID: u32 = 104;
    pub(super) const GETEUID: u32 = 107;
    pub(super) const GETEGID: u32 = 108;
    pub(super) const GETPPID: u32 = 110;
    pub(super) const GETTID: u32 = 186;
}

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
    /// Its calls that words answer, up to date: to be called by whoever makes the thread, and by itself when its places are others.
    pub(crate) fn fast_syscalls(&self) -> &FastSyscalls {
        let (process, ids) = (&self.process, &self.ids);
        if !self.traced {
            let mask = self.fs.umask.as_ptr();
            let set = |number, word: *const u32, taken| {
                // SAFETY: words of the thread, of its process, which it keeps, and of places, which its part keeps.
                unsafe { self.fast_syscalls.set(number, word, taken) };
            };
            set(nr::GETPID, (&raw const process.pid).cast(), 0);
            set(nr::GETPPID, process.parent.as_ptr().cast(), 0);
            set(nr::GETTID, self.tid.as_ptr().cast(), 0);
            set(nr::UMASK, mask, MODE_MASK);
            for (number, word) in
                [(nr::GETUID, &ids.uid), (nr::GETEUID, &ids.euid), (nr::GETGID, &ids.gid), (nr::GETEGID, &ids.egid)]
            {
                set(number, word.as_ptr(), 0);
            }
        }
        &self.fast_syscalls
    }
}
