//! seccomp(2), and its part of prctl(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::event::{Events, wait_until_ready};
use litebox::fs::{Access, OpenFile, StatusFlags};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::OpenFlags;
use litebox_common_linux::abi::process::FilterProgram;
use litebox_common_linux::argument::UserRef;
use litebox_common_linux::seccomp::bpf::{Instruction, MOST_INSTRUCTIONS, Program};
use litebox_common_linux::seccomp::{Action, SeccompFlags, SeccompOperation};
use zerocopy::IntoBytes;

use crate::seccomp::notify::{Answer, Listener, Notifier, Received};
use crate::seccomp::{Filter, Mode};
use crate::syscalls::limits::Resource;
use crate::task::Capability;
use crate::user::{UserRead, read_bytes, read_into, read_u64, word, write_bytes};
use crate::{Task, Thread};

const TSYNC: SeccompFlags = SeccompFlags::SECCOMP_FILTER_FLAG_TSYNC;
const TSYNC_ESRCH: SeccompFlags = SeccompFlags::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
const NEW_LISTENER: SeccompFlags = SeccompFlags::SECCOMP_FILTER_FLAG_NEW_LISTENER;
const WAIT_KILLABLE: SeccompFlags = SeccompFlags::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

/// Requests of ioctl(2) on a listener.
const RECV: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const ID_VALID: u32 = 0x4008_2102;
/// The same with the direction that its first version had.
const ID_VALID_AT_FIRST: u32 = 0x8008_2102;
const SET_FLAGS: u32 = 0x4008_2104;
/// Whatever the size of its structure is, which lies in these bits, and whatever the direction.
const ADDFD: u32 = 0x2103;
const SIZE_BITS: u32 = 0x3fff_0000;
const DIRECTION_BITS: u32 = 0xc000_0000;
/// Sizes of `struct seccomp_notif`, `seccomp_notif_resp` and `seccomp_data`.
const SIZES: [u16; 3] = [80, 24, 64];
/// Size of `struct seccomp_notif_addfd` in its first version, and what no version has.
const ADDFD_SIZE: usize = 24;
const ADDFD_TOO_LARGE: usize = 4096;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`
const CONTINUE: u32 = 1;
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`: a hint on where the one who asks goes on.
const SYNC_WAKE_UP: u64 = 1;
/// `SECCOMP_ADDFD_FLAG_SETFD`, `SECCOMP_ADDFD_FLAG_SEND`
const SETFD: u32 = 1;
const AND_SEND: u32 = 2;

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
                Action::of(number).map(|_| 0).ok_or(Error::NotSupported)
            }
            SeccompOperation::SECCOMP_GET_NOTIF_SIZES if flags.is_empty() => {
                write_bytes(arguments.address() as u64, SIZES.as_bytes()).map(|()| 0)
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
        let listens = flags.contains(NEW_LISTENER);
        // A result cannot tell a thread from a descriptor; and only who is heard can be waited for so.
        let senseless = listens && flags.contains(TSYNC) && !flags.contains(TSYNC_ESRCH)
            || flags.contains(WAIT_KILLABLE) && !listens;
        if !SeccompFlags::all().contains(flags) || senseless {
            return Err(Error::Invalid);
        }
        let mut filter = Filter::new(self.read_program(program)?);
        if !listens {
            return self.process().attach_filter(self.thread, filter, flags);
        }
        let notifier = Notifier::new(flags.contains(WAIT_KILLABLE));
        filter.notify(notifier.clone());
        let file = self.nameless(Listener::new(notifier), Access::READ | Access::WRITE, StatusFlags::empty());
        let fd = self.install(file.clone(), true)?;
        self.process().attach_filter(self.thread, filter, flags).map(|_| fd).inspect_err(|_| {
            // Unless another thread has put something else there.
            if self.thread.files.get(fd as i32).is_ok_and(|there| Arc::ptr_eq(&there, &file)) {
                let _ = self.thread.files.remove(fd as i32);
            }
        })
    }

    /// ioctl(2) on a listener (seccomp_unotify(2)).
    pub(crate) fn listener_ioctl(
        &mut self,
        file: &OpenFile,
        notifier: &Notifier<Thread>,
        request: u32,
        at: u64,
    ) -> Result<usize> {
        match request {
            RECV => self.receive_call(file, notifier, at),
            SEND => answer_call(notifier, at),
            ID_VALID | ID_VALID_AT_FIRST => notifier.check(read_u64(at)?).map(|()| 0),
            // The argument itself, not what lies there.
            SET_FLAGS if at & !SYNC_WAKE_UP == 0 => Ok(0),
            _ if request & !(SIZE_BITS | DIRECTION_BITS) == ADDFD => {
                self.add_descriptor(notifier, ((request & SIZE_BITS) >> 16) as usize, at)
            }
            _ => Err(Error::Invalid),
        }
    }

    /// `SECCOMP_IOCTL_NOTIF_RECV`: waits, however the file is open.
    fn receive_call(&mut self, file: &OpenFile, notifier: &Notifier<Thread>, at: u64) -> Result<usize> {
        let before: [u8; SIZES[0] as usize] = read_bytes(at)?;
        if before.iter().any(|byte| *byte != 0) {
            return Err(Error::Invalid);
        }
        let received = wait_until_ready(self.waiter(), file, Events::IN, None, || notifier.receive());
        let Received { id, tid, data } = received.map_err(|error| self.restartable(error))?;
        let mut told = [0u8; SIZES[0] as usize];
        told[..8].copy_from_slice(&id.to_le_bytes());
        told[8..12].copy_from_slice(&tid.to_le_bytes());
        told[16..].copy_from_slice(data.words().as_bytes());
        write_bytes(at, &told).inspect_err(|_| notifier.return_question(id)).map(|()| 0)
    }

    /// `SECCOMP_IOCTL_NOTIF_ADDFD`
    fn add_descriptor(&mut self, notifier: &Notifier<Thread>, size: usize, at: u64) -> Result<usize> {
        if !(ADDFD_SIZE..ADDFD_TOO_LARGE).contains(&size) {
            return Err(Error::Invalid);
        }
        let mut rest = alloc::vec![0u8; size - ADDFD_SIZE];
        read_into(at.wrapping_add(ADDFD_SIZE as u64), &mut rest)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(Error::TooBig);
        }
        let raw: [u8; ADDFD_SIZE] = read_bytes(at)?;
        let id = u64::from_le_bytes(word(&raw, 0));
        let [flags, from, to, to_flags] = [8, 12, 16, 20].map(|at| u32::from_le_bytes(word(&raw, at)));
        let close_on_exec = OpenFlags::O_CLOEXEC.bits() as u32;
        if to_flags & !close_on_exec != 0 || flags & !(SETFD | AND_SEND) != 0 || to != 0 && flags & SETFD == 0 {
            return Err(Error::Invalid);
        }
        let file = self.file(from as i32)?;
        let mut replaced = None;
        let fd = notifier.give(id, flags & AND_SEND != 0, |thread| {
            let limit = thread.process.limits.soft(Resource::Descriptors);
            let closes = to_flags & close_on_exec != 0;
            if flags & SETFD == 0 {
                return thread.files.install(file, closes, limit);
            }
            let before = thread.files.install_at(to as i32, file, closes, limit)?;
            replaced = before.map(|before| (thread.files.shared(), before));
            Ok(to as i32)
        })?;
        if let Some((Some(table), before)) = replaced {
            // The errors of closing it silently are lost on Linux, too.
            let _ = self.closed_in(&table, before);
        }
        Ok(fd as usize)
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

/// `SECCOMP_IOCTL_NOTIF_SEND`
fn answer_call(notifier: &Notifier<Thread>, at: u64) -> Result<usize> {
    let raw: [u8; SIZES[1] as usize] = read_bytes(at)?;
    let (id, value) = (u64::from_le_bytes(word(&raw, 0)), u64::from_le_bytes(word(&raw, 8)));
    let (error, flags) = (i32::from_le_bytes(word(&raw, 16)), u32::from_le_bytes(word(&raw, 20)));
    let continues = flags & CONTINUE != 0;
    if flags & !CONTINUE != 0 || continues && (error != 0 || value != 0) {
        return Err(Error::Invalid);
    }
    let answer = match error {
        _ if continues => Answer::Continue,
        0 => Answer::Result(value),
        error => Answer::Result(i64::from(error) as u64),
    };
    notifier.answer(id, answer).map(|()| 0)
}
