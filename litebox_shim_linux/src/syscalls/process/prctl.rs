//! prctl(2): what one process without privileges can ask for and be told honestly.

use core::sync::atomic::Ordering;

use litebox::{Error, Result};

use crate::Task;
use crate::syscalls::signal::set::MAX_SIGNAL;
use crate::user::{read_bytes, write_bytes};

const PR_SET_PDEATHSIG: i32 = 1;
const PR_GET_PDEATHSIG: i32 = 2;
const PR_GET_DUMPABLE: i32 = 3;
const PR_SET_NAME: i32 = 15;
const PR_GET_NAME: i32 = 16;
const PR_GET_SECCOMP: i32 = 21;
const PR_CAPBSET_READ: i32 = 23;
const PR_SET_CHILD_SUBREAPER: i32 = 36;
const PR_GET_CHILD_SUBREAPER: i32 = 37;
const PR_SET_VMA: i32 = 0x5356_4d41;
const PR_SET_VMA_ANON_NAME: u64 = 0;
const LAST_CAPABILITY: u64 = 40;
const ANON_NAME_MAX: usize = 80;

impl Task<'_, '_> {
    /// prctl(2).
    pub(crate) fn prctl(&mut self, option: i32, a2: u64, a3: u64, a4: u64, a5: u64) -> Result<usize> {
        match option {
            PR_SET_NAME => {
                let name = read_text::<15>(a2)?;
                let mut own = [0u8; 16];
                for (to, from) in own.iter_mut().zip(name.iter().take_while(|b| **b != 0)) {
                    *to = *from;
                }
                *self.thread.name.lock() = own;
                Ok(0)
            }
            PR_GET_NAME => {
                let name = *self.thread.name.lock();
                write_bytes(a2, &name).map(|()| 0)
            }
            PR_SET_PDEATHSIG => {
                let signal = i32::try_from(a2).ok().filter(|s| (0..=MAX_SIGNAL).contains(s)).ok_or(Error::Invalid)?;
                self.process().death_signal.store(signal, Ordering::Relaxed);
                Ok(0)
            }
            PR_GET_PDEATHSIG => {
                write_bytes(a2, &self.process().death_signal.load(Ordering::Relaxed).to_le_bytes()).map(|()| 0)
            }
            PR_SET_CHILD_SUBREAPER => {
                self.process().subreaper.store(a2 != 0, Ordering::Relaxed);
                Ok(0)
            }
            PR_GET_CHILD_SUBREAPER => {
                let is = i32::from(self.process().subreaper.load(Ordering::Relaxed));
                write_bytes(a2, &is.to_le_bytes()).map(|()| 0)
            }
            PR_GET_DUMPABLE => Ok(1),
            PR_GET_SECCOMP => Ok(0),
            PR_CAPBSET_READ if a2 <= LAST_CAPABILITY => Ok(0),
            PR_SET_VMA if a2 == PR_SET_VMA_ANON_NAME => {
                let text = if a5 == 0 { None } else { Some(read_text::<ANON_NAME_MAX>(a5)?) };
                let name = match &text {
                    None => None,
                    Some(t) => {
                        let end = t.iter().position(|b| *b == 0).ok_or(Error::Invalid)?;
                        Some(t.get(..end).unwrap_or_default())
                    }
                };
                self.process().mm.set_anonymous_name(a3, a4, name).map(|()| 0)
            }
            _ => Err(Error::Invalid),
        }
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
