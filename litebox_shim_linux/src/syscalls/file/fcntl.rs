//! fcntl: what can be asked of and changed in a descriptor or an open file.

use litebox::fs::StatusFlags;
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{FD_CLOEXEC, FcntlCommand as Command};

use super::locks::LockCommand;
use litebox_common_linux::argument::Arch;

use crate::Task;
use crate::user::{read_u64, write_bytes};

const O_LARGEFILE: u32 = litebox_common_linux::abi::file::O_LARGEFILE as u32;

/// What F_SETFL may change.
const CHANGEABLE: StatusFlags = StatusFlags::APPEND
    .union(StatusFlags::NONBLOCK)
    .union(StatusFlags::ASYNC)
    .union(StatusFlags::DIRECT)
    .union(StatusFlags::NOATIME);

impl Task<'_, '_> {
    /// fcntl(2)
    pub(crate) fn fcntl(&mut self, fd: i32, command: Command, arg: usize) -> Result<usize> {
        let arch = self.abi();
        match command {
            Command::F_DUPFD => self.duplicate_from(fd, arg, false),
            Command::F_DUPFD_CLOEXEC => self.duplicate_from(fd, arg, true),
            Command::F_GETFD => Ok(usize::from(self.thread.files.entry(fd)?.close_on_exec)),
            Command::F_SETFD => {
                self.thread.files.set_close_on_exec(fd, arg as u64 & FD_CLOEXEC != 0)?;
                Ok(0)
            }
            Command::F_GETFL => self.status_flags(fd),
            Command::F_DUPFD_QUERY => self.same_description(fd, arg as i32),
            Command::F_SETFL => self.set_status_flags(fd, arg as u32),
            Command::F_GETLK | Command::F_OFD_GETLK => self.test_record_lock(fd, LockCommand::new(arch, command, arg)),
            Command::F_SETLK | Command::F_SETLKW | Command::F_OFD_SETLK | Command::F_OFD_SETLKW => {
                self.set_record_lock(fd, LockCommand::new(arch, command, arg))
            }
            Command::F_GETLK64 if arch == Arch::X86 => self.test_record_lock(fd, LockCommand::new(arch, command, arg)),
            Command::F_SETLK64 | Command::F_SETLKW64 if arch == Arch::X86 => {
                self.set_record_lock(fd, LockCommand::new(arch, command, arg))
            }
            Command::F_SETOWN | Command::F_SETOWN_EX | Command::F_SETSIG => self.set_owner(fd, command, arg),
            Command::F_GETOWN | Command::F_GETOWN_EX | Command::F_GETSIG | Command::F_GETOWNER_UIDS => {
                self.owner(fd, command, arg)
            }
            Command::F_NOTIFY => self.notify_owner(fd, arg as u32),
            Command::F_SETPIPE_SZ | Command::F_GETPIPE_SZ => self.pipe_size(fd, command == Command::F_SETPIPE_SZ, arg),
            Command::F_ADD_SEALS | Command::F_GET_SEALS => self.seals(fd, command == Command::F_ADD_SEALS, arg),
            Command::F_GETLEASE => self.lease(fd),
            Command::F_SETLEASE => self.set_lease(fd, arg),
            Command::F_GET_RW_HINT | Command::F_SET_RW_HINT => {
                self.write_hint(fd, command == Command::F_SET_RW_HINT, arg)
            }
            _ => {
                self.file_or_path(fd)?;
                Err(Error::Invalid)
            }
        }
    }

    fn duplicate_from(&mut self, fd: i32, from: usize, close_on_exec: bool) -> Result<usize> {
        let file = self.file_or_path(fd)?;
        let limit = self.descriptor_limit();
        // The argument is an int; a negative one is beyond every limit.
        let from = i32::try_from(from as u32).map_err(|_| Error::Invalid)?;
        if from as u64 >= limit {
            return Err(Error::Invalid);
        }
        Ok(self.thread.files.install_from(from, file, close_on_exec, limit)? as usize)
    }

    fn same_description(&self, fd: i32, other: i32) -> Result<usize> {
        let file = self.file_or_path(fd)?;
        let other = self.file_or_path(other)?;
        Ok(usize::from(file.id == other.id))
    }

    fn status_flags(&self, fd: i32) -> Result<usize> {
        use litebox::fs::Access;
        let file = self.file_or_path(fd)?;
        let flags = file.flags();
        if flags.contains(StatusFlags::PATH) {
            return Ok((flags - StatusFlags::SMALL).bits() as usize);
        }
        let mode: u32 = match (file.access.contains(Access::READ), file.access.contains(Access::WRITE)) {
            (true, true) => 2,
            (false, true) => 1,
            (true, false) => 0,
            (false, false) => 3,
        };
        // Programs of 64 bits have every named file opened with O_LARGEFILE.
        let large = if file.location.is_some() && !flags.contains(StatusFlags::SMALL) { O_LARGEFILE } else { 0 };
        Ok(((flags - StatusFlags::SMALL).bits() | mode | large) as usize)
    }

    fn set_status_flags(&self, fd: i32, new: u32) -> Result<usize> {
        let file = self.file(fd)?;
        let asked = StatusFlags::from_bits_retain(new) & CHANGEABLE;
        if asked.contains(StatusFlags::NOATIME) && !file.flags().contains(StatusFlags::NOATIME) {
            let creds = self.creds();
            if creds.fsuid != 0 && file.file.metadata()?.uid != creds.fsuid {
                return Err(Error::NotPermitted);
            }
        }
        self.change_flags(&file, fd, (file.flags() - CHANGEABLE) | asked)?;
        Ok(0)
    }

    /// F_SETPIPE_SZ, F_GETPIPE_SZ
    fn pipe_size(&self, fd: i32, set: bool, size: usize) -> Result<usize> {
        let file = self.file(fd)?;
        if set {
            // The argument is an unsigned int; a size of more than 2^31 is EINVAL.
            let size = u32::try_from(size).ok().filter(|s| *s <= 1 << 31).ok_or(Error::Invalid)?;
            file.file.pipe_size()?;
            return file.file.set_pipe_size(size as usize);
        }
        file.file.pipe_size()
    }

    /// F_ADD_SEALS, F_GET_SEALS
    fn seals(&self, fd: i32, add: bool, arg: usize) -> Result<usize> {
        let file = self.file(fd)?;
        if add {
            if !file.access.contains(litebox::fs::Access::WRITE) {
                return Err(Error::NotPermitted);
            }
            let seals = litebox::fs::Seals::from_bits(arg as u32).ok_or(Error::Invalid)?;
            file.file.add_seals(seals)?;
            return Ok(0);
        }
        Ok(file.file.seals()?.bits() as usize)
    }

    /// Expected lifetime of what is written: accepted and forgotten, as by a device that makes no use of it.
    fn write_hint(&self, fd: i32, set: bool, arg: usize) -> Result<usize> {
        self.file(fd)?;
        if set {
            let hint = read_u64(arg as u64)?;
            return if hint <= 5 { Ok(0) } else { Err(Error::Invalid) };
        }
        write_bytes(arg as u64, &[0; 8])?;
        Ok(0)
    }
}
