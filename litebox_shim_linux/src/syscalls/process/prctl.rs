//! prctl(2): what a process can ask for and be told honestly.

use core::sync::atomic::Ordering;

use litebox::{Error, Result};
use litebox_common_linux::abi::memory::Protection;
use litebox_common_linux::abi::process::PrctlOption;
use litebox_common_linux::argument::UserRef;

use crate::Task;
use crate::signal::set::MAX_SIGNAL;
use crate::user::{read_bytes, write_bytes};

const PR_SET_VMA_ANON_NAME: u64 = 0;
const ANON_NAME_MAX: usize = 80;
/// `PR_TSC_ENABLE`
const TSC_ENABLED: i32 = 1;
/// How late a thread is woken at first, in nanoseconds.
pub(crate) const TIMER_SLACK: u64 = 50_000;

/// `PR_MCE_KILL_DEFAULT`
pub(crate) const MCE_KILL_DEFAULT: i32 = 2;

/// Speculation as on a host that lets no program change anything about it: it is on where the processor has it.
fn speculation(option: PrctlOption, which: u64, rest: [u64; 3]) -> Result<usize> {
    const KINDS: u64 = 3;
    const ENABLED: usize = 2;
    let [_, fourth, fifth] = rest;
    let asks = option == PrctlOption::PR_GET_SPECULATION_CTRL;
    if fourth != 0 || fifth != 0 || asks && rest != [0; 3] {
        return Err(Error::Invalid);
    }
    match (which < KINDS, asks) {
        (false, _) => Err(Error::NoDevice),
        (true, true) => Ok(ENABLED),
        (true, false) => Err(Error::NoSuchDevice),
    }
}

bitflags::bitflags! {
    /// `PR_SET_MDWE`: memory that can be written or could be is not to be executed.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Denial: u32 {
        /// What could not be executed when it was mapped never can.
        const REFUSE_EXEC_GAIN = 1;
        /// But for children.
        const NO_INHERIT = 2;
    }
}

impl crate::Process {
    fn deny_execution(&self, flags: u64, rest: [u64; 3]) -> Result<()> {
        let wanted = u32::try_from(flags).ok().and_then(Denial::from_bits).filter(|_| rest == [0; 3]);
        let wanted = wanted.filter(|w| *w != Denial::NO_INHERIT).ok_or(Error::Invalid)?;
        let before = self.denied.load(Ordering::Relaxed);
        if before != 0 && before != wanted.bits() {
            return Err(Error::NotPermitted);
        }
        self.denied.store(wanted.bits(), Ordering::Relaxed);
        Ok(())
    }
    /// `Access` for a mapping that [`Denial`] forbids: with this protection, which it has not had before where `gains`.
    pub(crate) fn check_execution(&self, protection: Protection, gains: impl FnOnce() -> bool) -> Result<()> {
        if self.denied.load(Ordering::Relaxed) == 0 || !protection.contains(Protection::PROT_EXEC) {
            return Ok(());
        }
        if protection.contains(Protection::PROT_WRITE) || gains() { Err(Error::Access) } else { Ok(()) }
    }
}

impl Task<'_, '_> {
    /// prctl(2).
    pub(crate) fn prctl(&mut self, option: PrctlOption, a2: u64, a3: u64, a4: u64, a5: u64) -> Result<usize> {
        let no_more = |arguments: &[u64]| if arguments.iter().all(|a| *a == 0) { Ok(()) } else { Err(Error::Invalid) };
        match option {
            PrctlOption::PR_SET_NAME => self.set_thread_name(a2),
            PrctlOption::PR_GET_NAME => {
                let name = *self.thread.name.lock();
                write_bytes(a2, &name).map(|()| 0)
            }
            PrctlOption::PR_GET_SECCOMP => Ok(self.thread.seccomp.told().0 as usize),
            PrctlOption::PR_SET_SECCOMP => self.set_seccomp_mode(a2, UserRef::new(self.abi(), a3 as usize)),
            // There are no counters of events to be stopped.
            PrctlOption::PR_GET_TIMING
            | PrctlOption::PR_TASK_PERF_EVENTS_DISABLE
            | PrctlOption::PR_TASK_PERF_EVENTS_ENABLE => Ok(0),
            PrctlOption::PR_SET_TIMING if a2 == 0 => Ok(0),
            PrctlOption::PR_CAPBSET_READ => self.bounding_has(a2),
            PrctlOption::PR_CAPBSET_DROP => self.drop_bounding(a2),
            PrctlOption::PR_CAP_AMBIENT => self.ambient(a2, a3, [a4, a5]),
            PrctlOption::PR_GET_SECUREBITS => Ok(self.creds().securebits as usize),
            PrctlOption::PR_SET_SECUREBITS => self.set_securebits(a2),
            PrctlOption::PR_GET_KEEPCAPS => Ok(self.keeps_capabilities()),
            PrctlOption::PR_SET_KEEPCAPS => self.set_keep_capabilities(a2),
            PrctlOption::PR_GET_TSC => write_bytes(a2, &TSC_ENABLED.to_le_bytes()).map(|()| 0),
            PrctlOption::PR_SET_TSC if a2 == TSC_ENABLED as u64 => Ok(0),
            PrctlOption::PR_SET_TIMERSLACK => {
                let first = self.thread.first_timer_slack.load(Ordering::Relaxed);
                let slack = if a2 == 0 || a2 > i64::MAX as u64 { first } else { a2 };
                self.thread.timer_slack.store(slack, Ordering::Relaxed);
                Ok(0)
            }
            PrctlOption::PR_GET_TIMERSLACK => Ok(self.thread.timer_slack.load(Ordering::Relaxed) as usize),
            PrctlOption::PR_SET_NO_NEW_PRIVS => {
                no_more(&[a2 ^ 1, a3, a4, a5])?;
                self.thread.no_new_privileges.store(true, Ordering::Relaxed);
                Ok(0)
            }
            PrctlOption::PR_GET_NO_NEW_PRIVS => {
                no_more(&[a2, a3, a4, a5])?;
                Ok(usize::from(self.thread.no_new_privileges.load(Ordering::Relaxed)))
            }
            PrctlOption::PR_GET_TID_ADDRESS => {
                let address = self.thread.clear_child_tid.load(Ordering::Relaxed) as u64;
                write_bytes(a2, &address.to_le_bytes()).map(|()| 0)
            }
            // They need CAP_SYS_RESOURCE.
            PrctlOption::PR_SET_IO_FLUSHER | PrctlOption::PR_GET_IO_FLUSHER | PrctlOption::PR_SET_MM => {
                Err(Error::NotPermitted)
            }
            PrctlOption::PR_SET_SYSCALL_USER_DISPATCH => self.set_user_dispatch(a2, a3, a4, a5),
            PrctlOption::PR_SET_VMA if a2 == PR_SET_VMA_ANON_NAME => self.name_memory(a3, a4, a5),
            _ => self.prctl_of_process(option, a2, [a3, a4, a5]),
        }
    }

    /// What concerns the whole process.
    fn prctl_of_process(&mut self, option: PrctlOption, a2: u64, rest: [u64; 3]) -> Result<usize> {
        let process = self.process();
        match option {
            PrctlOption::PR_SET_PDEATHSIG => {
                let signal = i32::try_from(a2).ok().filter(|s| (0..=MAX_SIGNAL).contains(s)).ok_or(Error::Invalid)?;
                process.death_signal.store(signal, Ordering::Relaxed);
                Ok(0)
            }
            PrctlOption::PR_GET_PDEATHSIG => {
                let signal = process.death_signal.load(Ordering::Relaxed);
                write_bytes(a2, &signal.to_le_bytes()).map(|()| 0)
            }
            PrctlOption::PR_GET_DUMPABLE => Ok(usize::from(process.dumpable.load(Ordering::Relaxed))),
            PrctlOption::PR_SET_DUMPABLE if a2 <= 1 => {
                process.dumpable.store(a2 == 1, Ordering::Relaxed);
                Ok(0)
            }
            PrctlOption::PR_SET_CHILD_SUBREAPER => {
                process.subreaper.store(a2 != 0, Ordering::Relaxed);
                Ok(0)
            }
            PrctlOption::PR_GET_CHILD_SUBREAPER => {
                let value = i32::from(process.subreaper.load(Ordering::Relaxed));
                write_bytes(a2, &value.to_le_bytes()).map(|()| 0)
            }
            PrctlOption::PR_MCE_KILL => {
                const CLEAR: u64 = 0;
                const SET: u64 = 1;
                let policy = match (a2, rest) {
                    (CLEAR, [0, 0, 0]) => MCE_KILL_DEFAULT,
                    (SET, [policy @ 0..=2, 0, 0]) => policy as i32,
                    _ => return Err(Error::Invalid),
                };
                process.machine_check.store(policy, Ordering::Relaxed);
                Ok(0)
            }
            PrctlOption::PR_MCE_KILL_GET if a2 == 0 && rest == [0; 3] => {
                Ok(process.machine_check.load(Ordering::Relaxed) as usize)
            }
            PrctlOption::PR_GET_SPECULATION_CTRL | PrctlOption::PR_SET_SPECULATION_CTRL => {
                speculation(option, a2, rest)
            }
            PrctlOption::PR_SET_MDWE => process.deny_execution(a2, rest).map(|()| 0),
            PrctlOption::PR_GET_MDWE if a2 == 0 && rest == [0; 3] => {
                Ok(process.denied.load(Ordering::Relaxed) as usize)
            }
            // Huge pages are the host's business; the wish is kept and told.
            PrctlOption::PR_SET_THP_DISABLE if rest == [0; 3] => {
                process.no_huge_pages.store(a2 != 0, Ordering::Relaxed);
                Ok(0)
            }
            PrctlOption::PR_GET_THP_DISABLE if a2 == 0 && rest == [0; 3] => {
                Ok(usize::from(process.no_huge_pages.load(Ordering::Relaxed)))
            }
            _ => Err(Error::Invalid),
        }
    }

    fn set_thread_name(&mut self, addr: u64) -> Result<usize> {
        let name = read_text::<15>(addr)?;
        let mut own = [0u8; 16];
        for (to, from) in own.iter_mut().zip(name.iter().take_while(|b| **b != 0)) {
            *to = *from;
        }
        *self.thread.name.lock() = own;
        Ok(0)
    }

    fn name_memory(&mut self, addr: u64, len: u64, name: u64) -> Result<usize> {
        let text = if name == 0 { None } else { Some(read_text::<ANON_NAME_MAX>(name)?) };
        let name = match &text {
            None => None,
            Some(t) => {
                let end = t.iter().position(|b| *b == 0).ok_or(Error::Invalid)?;
                Some(t.get(..end).unwrap_or_default())
            }
        };
        self.process().mm.set_anonymous_name(addr, len, name).map(|()| 0)
    }
}

/// Up to `N` bytes of a string, zeros behind its end; reads no byte behind the end.
fn read_text<const N: usize>(addr: u64) -> Result<[u8; N]> {
    let mut out = [0u8; N];
    for (i, slot) in out.iter_mut().enumerate() {
        let [byte] = read_bytes::<1>(addr.wrapping_add(i as u64))?;
        if byte == 0 {
            break;
        }
        *slot = byte;
    }
    Ok(out)
}
