//! Capabilities of a thread: capget(2), capset(2), and their part of prctl(2).

use litebox::{Error, Result};
use litebox_common_linux::abi::process::{CapData, CapHeader};
use litebox_common_linux::argument::{UserMut, UserRef};

use crate::Task;
use crate::task::credentials::{
    ALL_CAPABILITIES, CapabilitySets, KEEP_CAPS, KEEP_CAPS_LOCKED, LAST_CAPABILITY, NO_AMBIENT_RAISE,
};
use crate::task::{Capability, Credentials};
use crate::user::{UserRead, UserWrite};

const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// The secure bits there are, each followed by its lock.
const SECURE_BITS: u32 = 0x55;
const SECURE_LOCKS: u32 = SECURE_BITS << 1;

/// What the head of a request says.
struct CapabilityHeader {
    /// Number of 32-bit words of a set.
    words: usize,
    pid: i32,
}

/// Reads the head; an unknown version is told which one to use.
fn read_header(header: UserMut<CapHeader>) -> Result<CapabilityHeader> {
    let CapHeader { version, pid } = header.read()?;
    let words = match version {
        VERSION_1 => 1,
        VERSION_2 | VERSION_3 => 2,
        _ => {
            header.cast::<u32>().write(VERSION_3)?;
            return Err(Error::Invalid);
        }
    };
    Ok(CapabilityHeader { words, pid })
}

fn bit(number: u64) -> Result<u64> {
    if number <= LAST_CAPABILITY { Ok(1 << number) } else { Err(Error::Invalid) }
}

impl Task<'_, '_> {
    fn capability_sets_of(&self, pid: i32) -> Result<CapabilitySets> {
        if pid < 0 {
            return Err(Error::Invalid);
        }
        if pid == 0 || pid == self.thread.tid() {
            return Ok(self.creds().capabilities);
        }
        let process = self.process_of_task(pid)?;
        let thread = process.thread_or_ended_first(pid).ok_or(Error::NoProcess)?;
        Ok(thread.creds().capabilities)
    }

    /// capget(2).
    pub(crate) fn capget(&mut self, header: UserMut<CapHeader>, data: UserMut<CapData>) -> Result<usize> {
        let CapabilityHeader { words, pid } = match read_header(header) {
            // Only the version was asked for.
            Err(Error::Invalid) if data.is_null() => return Ok(0),
            other => other?,
        };
        if data.is_null() {
            return Ok(0);
        }
        let sets = self.capability_sets_of(pid)?;
        for i in 0..words {
            let [effective, permitted, inheritable] =
                [sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> (32 * i)) as u32);
            data.nth(i)?.write(CapData { effective, permitted, inheritable })?;
        }
        Ok(0)
    }

    /// capset(2): of the calling thread only.
    pub(crate) fn capset(&mut self, header: UserMut<CapHeader>, data: UserRef<CapData>) -> Result<usize> {
        let CapabilityHeader { words, pid } = read_header(header)?;
        if pid != 0 && pid != self.thread.tid() {
            return Err(Error::NotPermitted);
        }
        let low = data.read()?;
        let high = if words > 1 { data.nth(1)?.read()? } else { CapData::default() };
        let set = |of: fn(&CapData) -> u32| (u64::from(of(&low)) | u64::from(of(&high)) << 32) & ALL_CAPABILITIES;
        let (effective, permitted, inheritable) = (set(|s| s.effective), set(|s| s.permitted), set(|s| s.inheritable));
        let before = self.creds();
        let old = before.capabilities;
        let capped = !before.can(Capability::SetPrivileges);
        if capped && inheritable & !(old.inheritable | old.permitted) != 0
            || inheritable & !(old.inheritable | old.bounding) != 0
            || permitted & !old.permitted != 0
            || effective & !permitted != 0
        {
            return Err(Error::NotPermitted);
        }
        let ambient = old.ambient & permitted & inheritable;
        let capabilities = CapabilitySets { inheritable, permitted, effective, ambient, ..old };
        self.set_creds(Credentials { capabilities, ..(*before).clone() });
        Ok(0)
    }

    /// PR_CAPBSET_READ.
    pub(crate) fn bounding_has(&self, number: u64) -> Result<usize> {
        Ok(usize::from(self.creds().capabilities.bounding & bit(number)? != 0))
    }

    /// PR_CAPBSET_DROP.
    pub(crate) fn drop_bounding(&mut self, number: u64) -> Result<usize> {
        let before = self.creds();
        if !before.can(Capability::SetPrivileges) {
            return Err(Error::NotPermitted);
        }
        let mut new = (*before).clone();
        new.capabilities.bounding &= !bit(number)?;
        self.set_creds(new);
        Ok(0)
    }

    /// PR_CAP_AMBIENT.
    pub(crate) fn ambient(&mut self, operation: u64, number: u64, rest: [u64; 2]) -> Result<usize> {
        const IS_SET: u64 = 1;
        const RAISE: u64 = 2;
        const LOWER: u64 = 3;
        const CLEAR_ALL: u64 = 4;
        let before = self.creds();
        let mut new = (*before).clone();
        let sets = &mut new.capabilities;
        if operation == CLEAR_ALL {
            if number != 0 || rest != [0, 0] {
                return Err(Error::Invalid);
            }
            sets.ambient = 0;
        } else {
            if rest != [0, 0] {
                return Err(Error::Invalid);
            }
            let bit = bit(number)?;
            match operation {
                IS_SET => return Ok(usize::from(sets.ambient & bit != 0)),
                RAISE if sets.permitted & sets.inheritable & bit == 0 || before.securebits & NO_AMBIENT_RAISE != 0 => {
                    return Err(Error::NotPermitted);
                }
                RAISE => sets.ambient |= bit,
                LOWER => sets.ambient &= !bit,
                _ => return Err(Error::Invalid),
            }
        }
        self.set_creds(new);
        Ok(0)
    }

    /// PR_SET_SECUREBITS.
    pub(crate) fn set_securebits(&mut self, bits: u64) -> Result<usize> {
        let before = self.creds();
        let old = before.securebits;
        let known = SECURE_BITS | SECURE_LOCKS;
        let new = u32::try_from(bits).ok().filter(|new| new & !known == 0).ok_or(Error::NotPermitted)?;
        let locked = (old & SECURE_LOCKS) >> 1;
        let unlocks = old & SECURE_LOCKS & !new != 0;
        if locked & (old ^ new) != 0 || unlocks || !before.can(Capability::SetPrivileges) {
            return Err(Error::NotPermitted);
        }
        self.set_creds(Credentials { securebits: new, ..(*before).clone() });
        Ok(0)
    }

    /// PR_SET_KEEPCAPS.
    pub(crate) fn set_keep_capabilities(&mut self, keep: u64) -> Result<usize> {
        if keep > 1 {
            return Err(Error::Invalid);
        }
        let before = self.creds();
        if before.securebits & KEEP_CAPS_LOCKED != 0 {
            return Err(Error::NotPermitted);
        }
        let securebits = if keep == 1 { before.securebits | KEEP_CAPS } else { before.securebits & !KEEP_CAPS };
        self.set_creds(Credentials { securebits, ..(*before).clone() });
        Ok(0)
    }

    /// PR_GET_KEEPCAPS.
    pub(crate) fn keeps_capabilities(&self) -> usize {
        usize::from(self.creds().securebits & KEEP_CAPS != 0)
    }
}
