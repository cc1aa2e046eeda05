//! What a program asks of the system and of itself: identity, randomness, names.
#![expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "handlers of calls have one shape")]

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::abi::layout::Layouts;
use litebox_common_linux::abi::memory::PAGE;
use litebox_common_linux::abi::process::SysInfo;
use litebox_common_linux::abi::random::RandomFlags;
use litebox_common_linux::argument::UserMut;

use crate::Task;
use crate::proc::machine;
use crate::syscalls::file::check_range;
use crate::user::{UserWrite, write_bytes};

/// Most bytes of randomness that pass through the kernel at a time.
const RANDOM_CHUNK: usize = 256;
/// The most one call moves (`MAX_RW_COUNT`).
const MAX_COUNT: u64 = 0x7fff_f000;
/// Length of a field of `struct utsname`.
const NAME_LEN: usize = 65;
/// `uname -r`: the Linux whose behaviour programs get.
pub(crate) const RELEASE: &str = "6.1.0";
/// The same in the numbers of Linux 2.6, which has 60 more.
const RELEASE_OF_26: &str = "2.6.61";
/// `uname -v`.
pub(crate) const VERSION: &str = "#1 SMP LiteBox";

bitflags::bitflags! {
    /// What personality(2) changes here; the numbers are Linux's.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Personality: u32 {
        /// The execution domain, of which only [`PER_LINUX32`] differs.
        const DOMAIN = 0xff;
        /// uname(2) tells of Linux 2.6.
        const UNAME26 = 0x2_0000;
        /// Everything lies where it always lies.
        const ADDR_NO_RANDOMIZE = 0x4_0000;
        /// 32-bit programs that are executed have 3 GiB alone.
        const ADDR_LIMIT_3GB = 0x800_0000;
        /// What can be read can be executed.
        const READ_IMPLIES_EXEC = 0x40_0000;
    }
}

/// The domain whose machine is a 32-bit one.
const PER_LINUX32: u32 = 8;

impl crate::Process {
    /// personality(2), as far as it changes anything.
    pub(crate) fn personality(&self) -> Personality {
        Personality::from_bits_truncate(self.persona.load(Ordering::Relaxed))
    }
}

impl Task<'_, '_> {
    /// getrandom(2).
    pub(crate) fn getrandom(&mut self, buf: u64, len: u64, flags: RandomFlags) -> Result<usize> {
        let is_contradiction = flags.contains(RandomFlags::GRND_RANDOM | RandomFlags::GRND_INSECURE);
        if !RandomFlags::all().contains(flags) || is_contradiction {
            return Err(Error::Invalid);
        }
        let len = len.min(MAX_COUNT);
        check_range(buf as usize, len as usize)?;
        let mut done = 0u64;
        let mut chunk = [0u8; RANDOM_CHUNK];
        while done < len {
            let n = usize::try_from(len - done).unwrap_or(RANDOM_CHUNK).min(RANDOM_CHUNK);
            let part = chunk.get_mut(..n).unwrap_or_default();
            host().random(part);
            if write_bytes(buf.wrapping_add(done), part).is_err() {
                return if done == 0 { Err(Error::Fault) } else { Ok(done as usize) };
            }
            done += n as u64;
            if self.waiter().interrupted() {
                break;
            }
        }
        Ok(done as usize)
    }

    /// uname(2).
    pub(crate) fn uname(&mut self, buf: u64) -> Result<usize> {
        self.write_names(buf, NAME_LEN, 6)
    }

    /// The first `count` names of uname(2), in `len` bytes each with a zero behind.
    pub(crate) fn write_names(&self, buf: u64, len: usize, count: usize) -> Result<usize> {
        let host_name = self.process().container.hostname.lock().clone();
        let persona = self.process().personality();
        let domain = (persona & Personality::DOMAIN).bits();
        let machine: &[u8] = if domain == PER_LINUX32 { b"i686" } else { b"x86_64" };
        let release = if persona.contains(Personality::UNAME26) { RELEASE_OF_26 } else { RELEASE };
        let fields: [&[u8]; 6] = [b"Linux", &host_name, release.as_bytes(), VERSION.as_bytes(), machine, b"(none)"];
        let mut raw = Vec::with_capacity(len * count);
        for field in fields.iter().take(count) {
            let start = raw.len();
            raw.extend(field.iter().take(len - 1));
            raw.resize(start + len, 0);
        }
        write_bytes(buf, &raw)?;
        Ok(0)
    }

    /// reboot(2). Nobody restarts anything; who may ask for it is told first that the question is wrong.
    pub(crate) fn reboot(&mut self, magic: u32, magic2: u32, _command: u32, _argument: u64) -> Result<usize> {
        const MAGIC: u32 = 0xfee1_dead;
        const MAGIC2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
        if self.creds().euid == 0 && (magic != MAGIC || !MAGIC2.contains(&magic2)) {
            return Err(Error::Invalid);
        }
        Err(Error::NotPermitted)
    }

    /// sysinfo(2). There is no load average: nobody counts who waits for a processor.
    pub(crate) fn sysinfo(&mut self, out: UserMut<SysInfo>) -> Result<usize> {
        let kernel = self.kernel();
        // A second that has begun counts, as on Linux.
        let up = machine::since_boot(host().instant());
        let uptime = up.as_secs() + u64::from(up.subsec_nanos() > 0);
        let total = machine::memory_total(kernel);
        let free = total.saturating_sub(machine::memory_used(kernel));
        let threads: u32 = kernel.processes().iter().map(|p| p.thread_count()).sum();
        let threads = u16::try_from(threads).unwrap_or(u16::MAX);
        let mut told = SysInfo { uptime: uptime as i64, total, free, threads, unit: 1, ..SysInfo::default() };
        // Where bytes do not fit 32 bits they are counted in pages.
        let too_wide = out.layouts() != Layouts::X86_64 && u32::try_from(total).is_err();
        if too_wide {
            told.unit = PAGE as u32;
            told.total /= PAGE as u64;
            told.free /= PAGE as u64;
        }
        out.write(told).map(|()| 0)
    }

    /// personality(2): kept and told; see [`Personality`] for what changes by it.
    pub(crate) fn personality(&mut self, persona: u32) -> Result<usize> {
        const ASK: u32 = u32::MAX;
        let own = &self.process().persona;
        let before = if persona == ASK { own.load(Ordering::Relaxed) } else { own.swap(persona, Ordering::Relaxed) };
        Ok(before as usize)
    }

    /// sched_yield(2).
    pub(crate) fn sched_yield(&mut self) -> Result<usize> {
        host().yield_now();
        Ok(0)
    }

    /// getuid(2)
    pub(crate) fn getuid(&mut self) -> Result<usize> {
        Ok(self.thread.ids.uid.load(Ordering::Relaxed) as usize)
    }

    /// geteuid(2)
    pub(crate) fn geteuid(&mut self) -> Result<usize> {
        Ok(self.thread.ids.euid.load(Ordering::Relaxed) as usize)
    }

    /// getgid(2)
    pub(crate) fn getgid(&mut self) -> Result<usize> {
        Ok(self.thread.ids.gid.load(Ordering::Relaxed) as usize)
    }

    /// getegid(2)
    pub(crate) fn getegid(&mut self) -> Result<usize> {
        Ok(self.thread.ids.egid.load(Ordering::Relaxed) as usize)
    }
}
