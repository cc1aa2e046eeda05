//! membarrier(2): barriers on all processors that run threads of a process, by the host's call of that name.
//!
//! Who may ask for which barrier is kept here, as a program that executes another one starts without permissions and
//! the host's process stays. The barrier that concerns other processes, too, is the host's slow one for everybody:
//! quicker ones would disturb processes outside of the sandbox.

use core::sync::atomic::Ordering;

use litebox::platform::host;
use litebox::{Error, Result};

use crate::Task;

const QUERY: i32 = 0;
const GLOBAL: i32 = 1;
const GLOBAL_EXPEDITED: i32 = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: i32 = 1 << 2;
const PRIVATE_EXPEDITED: i32 = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;
const PRIVATE_EXPEDITED_SYNC_CORE: i32 = 1 << 5;
const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: i32 = 1 << 6;
const GET_REGISTRATIONS: i32 = 1 << 9;

/// The host's commands that are used.
const PASSED_ON: i32 = GLOBAL
    | PRIVATE_EXPEDITED
    | REGISTER_PRIVATE_EXPEDITED
    | PRIVATE_EXPEDITED_SYNC_CORE
    | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;

/// What is served: what the host can, and what is made of that.
fn served() -> i32 {
    let host = host().memory_barrier(QUERY as u32).map_or(0, |commands| commands as i32) & PASSED_ON;
    if host == 0 {
        return 0;
    }
    let global = if host & GLOBAL == 0 { 0 } else { GLOBAL_EXPEDITED | REGISTER_GLOBAL_EXPEDITED };
    host | global | GET_REGISTRATIONS
}

impl Task<'_, '_> {
    /// membarrier(2)
    pub(crate) fn membarrier(&mut self, command: i32, flags: u32, _cpu: i32) -> Result<usize> {
        // The one flag that there is belongs to commands that are not served.
        if flags != 0 {
            return Err(Error::Invalid);
        }
        let is_private = matches!(command, PRIVATE_EXPEDITED | PRIVATE_EXPEDITED_SYNC_CORE);
        // The permission's bit is the next one. Who has it need not be told whether there is such a command: that is a
        // question to the host.
        if is_private && self.process().mm.barriers.load(Ordering::Acquire) & (command << 1) as u32 != 0 {
            return pass_on(command);
        }
        let served = served();
        if command == QUERY {
            return if served == 0 { Err(Error::NotImplemented) } else { Ok(served as usize) };
        }
        if command.count_ones() != 1 || command & served == 0 {
            return Err(Error::Invalid);
        }
        let mm = &self.process().mm;
        let allowed = &mm.barriers;
        match command {
            GET_REGISTRATIONS => return Ok(allowed.load(Ordering::Acquire) as usize),
            REGISTER_GLOBAL_EXPEDITED => {}
            GLOBAL | GLOBAL_EXPEDITED => return pass_on(GLOBAL),
            _ if is_private => return Err(Error::NotPermitted),
            _ => {
                pass_on(command)?;
            }
        }
        allowed.fetch_or(command as u32, Ordering::AcqRel);
        Ok(0)
    }
}

fn pass_on(command: i32) -> Result<usize> {
    host().memory_barrier(command as u32).map(|_| 0)
}
