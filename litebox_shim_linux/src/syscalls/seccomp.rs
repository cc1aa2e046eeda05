//! seccomp(2), and its part of prctl(2).

use alloc::vec::Vec;

use litebox::{Error, Result};
use litebox_common_linux::abi::process::FilterProgram;
use litebox_common_linux::argument::UserRef;
use litebox_common_linux::seccomp::bpf::{Instruction, MOST_INSTRUCTIONS, Program};
use litebox_common_linux::seccomp::{Action, SeccompFlags, SeccompOperation};
use zerocopy::IntoBytes;

use crate::Task;
use crate::seccomp::{Filter, Mode};
use crate::task::Capability;
use crate::user::{UserRead, read_bytes, read_into};

/// Flags that are served. What asks another program (`SECCOMP_FILTER_FLAG_NEW_LISTENER`) is not.
const SERVED: SeccompFlags = SeccompFlags::SECCOMP_FILTER_FLAG_TSYNC
    .union(SeccompFlags::SECCOMP_FILTER_FLAG_LOG)
    .union(SeccompFlags::SECCOMP_FILTER_FLAG_SPEC_ALLOW)
    .union(SeccompFlags::SECCOMP_FILTER_FLAG_TSYNC_ESRCH);

impl Task<'_, '_> {
    /// seccomp(2)
    pub(crate) fn seccomp(
        &mut self,
        operation: SeccompOperation,
        flags: SeccompFlags,
        arguments: UserRef<()>,
    ) -> Result<usize> {
        match operation {
            SeccompOperation::SECCOMP_SET_MODE_STRICT if flags.is_empty() && arguments.is_null() => {
                self.enter_strict_mode()
            }
            SeccompOperation::SECCOMP_SET_MODE_FILTER => self.set_filter(flags, arguments.at(arguments.address())),
            SeccompOperation::SECCOMP_GET_ACTION_AVAIL if flags.is_empty() => {
                let number = u32::from_le_bytes(read_bytes(arguments.address() as u64)?);
                // What asks another program is no action without a listener.
                let action = Action::of(number).filter(|action| *action != Action::UserNotif);
                action.map(|_| 0).ok_or(Error::NotSupported)
            }
            _ => Err(Error::Invalid),
        }
    }

    /// `PR_SET_SECCOMP`
    pub(crate) fn set_seccomp_mode(&mut self, mode: u64, program: UserRef<FilterProgram>) -> Result<usize> {
        const STRICT: u64 = Mode::Strict as u64;
        const FILTER: u64 = Mode::Filter as u64;
        match mode {
            STRICT => self.enter_strict_mode(),
            FILTER => self.set_filter(SeccompFlags::empty(), program),
            _ => Err(Error::Invalid),
        }
    }

    fn set_filter(&mut self, flags: SeccompFlags, program: UserRef<FilterProgram>) -> Result<usize> {
        if !SERVED.contains(flags) {
            return Err(Error::Invalid);
        }
        let filter = Filter::new(self.read_program(program)?);
        self.process().attach_filter(self.thread, filter, flags)
    }

    /// Reads and checks a program, in Linux's order.
    fn read_program(&self, program: UserRef<FilterProgram>) -> Result<Program> {
        let FilterProgram { len, instructions, .. } = program.read()?;
        let len = usize::from(len);
        if !(1..=MOST_INSTRUCTIONS).contains(&len) {
            return Err(Error::Invalid);
        }
        let no_new = self.thread.no_new_privileges.load(core::sync::atomic::Ordering::Relaxed);
        if !no_new && !self.creds().can(Capability::SysAdmin) {
            return Err(Error::Access);
        }
        if instructions.0 == 0 {
            return Err(Error::Invalid);
        }
        let mut read: Vec<Instruction> = Vec::new();
        read.try_reserve_exact(len).map_err(|_| Error::NoMemory)?;
        read.resize(len, Instruction::default());
        read_into(instructions.0, read.as_mut_bytes())?;
        Program::new(&read).ok_or(Error::NoMemory)?.map_err(|_| Error::Invalid)
    }
}
