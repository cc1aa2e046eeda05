//! ipc(2): all calls of System V IPC behind one number.

use litebox::{Error, Result};
use litebox_common_linux::abi::ipc::{IpcGetFlags, MsgFlags, ShmAttachFlags};
use litebox_common_linux::abi::layout::UserWord;
use litebox_common_linux::argument::{UserMut, UserRef};

use crate::Task;
use crate::user::{UserRead, UserWrite};

/// Bit of a command: structures as Linux has had them since 2.4.
const IPC_64: i32 = 0x100;
const IPC_RMID: i32 = 0;

/// A command without that bit, of one that reads or writes no structure unless it is there.
fn command_of(command: i32, needs_structure: bool) -> Result<i32> {
    if needs_structure && command & IPC_64 == 0 { Err(Error::Invalid) } else { Ok(command & !IPC_64) }
}

impl Task<'_, '_> {
    /// ipc(2)
    pub(crate) fn ipc(
        &mut self,
        call: u32,
        first: i32,
        second: usize,
        third: usize,
        pointer: UserMut<()>,
        fifth: usize,
    ) -> Result<usize> {
        let (version, call) = (call >> 16, call & 0xffff);
        // Of messages.
        let size = second as i32 as isize;
        let address = pointer.address() as u64;
        let message_flags = MsgFlags(third as i32);
        match call {
            1 => self.semop(first, pointer.to_ref().cast(), second),
            2 => self.semget(first, second as i32, IpcGetFlags(third as i32)),
            3 => self.old_semctl(first, second as i32, third as i32, pointer.to_ref()),
            4 => self.semtimedop(first, pointer.to_ref().cast(), second, pointer.at(fifth).to_ref()),
            12 if first < 0 || size < 0 => Err(Error::Invalid),
            11 => self.msgsnd(first, pointer.to_ref(), size, message_flags),
            12 if version == 0 => self.old_msgrcv(first, size, message_flags, pointer),
            12 => self.msgrcv(first, pointer, size, i64::from(fifth as i32), message_flags),
            13 => self.msgget(first, IpcGetFlags(second as i32)),
            14 => {
                let command = command_of(second as i32, second as i32 & !IPC_64 != IPC_RMID)?;
                self.msgctl(first, command, pointer)
            }
            21 if version == 1 => Err(Error::Invalid),
            21 => {
                let at = self.shmat(first, address, ShmAttachFlags(second as i32))?;
                pointer.at::<u32>(third).write(at as u32).map(|()| 0)
            }
            22 => self.shmdt(address),
            23 => self.shmget(first, second, IpcGetFlags(third as i32)),
            24 => {
                const SHM_LOCK: i32 = 11;
                const SHM_UNLOCK: i32 = 12;
                let plain = matches!(second as i32 & !IPC_64, IPC_RMID | SHM_LOCK | SHM_UNLOCK);
                let command = command_of(second as i32, !plain)?;
                self.shmctl(first, command, pointer)
            }
            _ => Err(Error::NotImplemented),
        }
    }

    /// semctl(2), its last argument in memory.
    fn old_semctl(&mut self, id: i32, index: i32, command: i32, argument: UserRef<()>) -> Result<usize> {
        const IPC_SET: i32 = 1;
        const IPC_STAT: i32 = 2;
        const SEM_STAT: i32 = 18;
        const SEM_STAT_ANY: i32 = 20;
        if argument.is_null() {
            return Err(Error::Invalid);
        }
        let UserWord(argument) = argument.cast::<UserWord>().read()?;
        let plain = command & !IPC_64;
        let command = command_of(command, matches!(plain, IPC_SET | IPC_STAT | SEM_STAT | SEM_STAT_ANY))?;
        self.semctl(id, index, command, argument)
    }

    /// msgrcv(2) with more arguments than there was room for: two of them in memory.
    fn old_msgrcv(&mut self, id: i32, size: isize, flags: MsgFlags, pair: UserMut<()>) -> Result<usize> {
        if pair.is_null() {
            return Err(Error::Invalid);
        }
        let words: UserMut<u32> = pair.cast();
        let (message, kind) = (words.read()?, words.nth(1)?.read()?);
        self.msgrcv(id, pair.at(message as usize), size, i64::from(kind as i32), flags)
    }
}
