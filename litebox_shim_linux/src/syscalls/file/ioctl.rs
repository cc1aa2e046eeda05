//! ioctl(2): what every descriptor understands; the rest is the file's own matter.

use litebox::fs::{FileType, OpenFile, StatusFlags};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::OpenFlags;
use litebox_common_linux::abi::ioctl::{
    FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, FIOQSIZE, IoctlRequest, TIOCGPTPEER,
};

use litebox_common_linux::argument::{Arch, UserMut};

use super::reflink::{FICLONE, FICLONERANGE, FIDEDUPERANGE};
use crate::seccomp::notify::Listener;
use crate::user::{read_bytes, write_bytes};
use crate::{Task, Thread};

const FIGETBSZ: u32 = 2;
const FIBMAP: u32 = 1;
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC32_GETFLAGS: u32 = 0x8004_6601;
const FS_IOC32_SETFLAGS: u32 = 0x4004_6602;

/// A request by the number that 64-bit programs have for it.
fn request_of(arch: Arch, request: u32) -> u32 {
    match (arch, request) {
        (Arch::X86, FS_IOC32_GETFLAGS) => FS_IOC_GETFLAGS,
        (Arch::X86, FS_IOC32_SETFLAGS) => FS_IOC_SETFLAGS,
        (_, same) => same,
    }
}

/// Whether it is a file that could have flags of ioctl_iflags(2): one of a tree that is not made of tables.
fn keeps_flags(file: &OpenFile) -> bool {
    file.has_place() && super::flags::keeps_flags(&*file.file.inode())
}

impl Task<'_, '_> {
    /// ioctl(2)
    pub(crate) fn ioctl(&mut self, fd: i32, request: IoctlRequest, arg: u64) -> Result<usize> {
        let file = self.file(fd)?;
        let file_type = file.file.inode().file_type();
        let request = request_of(self.abi(), request.0);
        match request {
            FIOCLEX | FIONCLEX => {
                self.thread.files.set_close_on_exec(fd, request == FIOCLEX)?;
                Ok(0)
            }
            FIONBIO | FIOASYNC => {
                let on = i32::from_le_bytes(read_bytes(arg)?) != 0;
                let mut flags = file.flags();
                flags.set(if request == FIONBIO { StatusFlags::NONBLOCK } else { StatusFlags::ASYNC }, on);
                if request == FIOASYNC && on && !file.file.signals_owner() {
                    return Err(Error::NotTerminal);
                }
                self.change_flags(&file, fd, flags)?;
                Ok(0)
            }
            FIONREAD if file_type == FileType::Regular && !file.file.is_stream() => {
                let size = file.file.metadata()?.size;
                let left = size.saturating_sub(*file.offset());
                write_bytes(arg, &(left as u32).to_le_bytes())?;
                Ok(0)
            }
            FIGETBSZ if matches!(file_type, FileType::Regular | FileType::Directory) => {
                write_bytes(arg, &file.file.metadata()?.blksize.to_le_bytes())?;
                Ok(0)
            }
            // It takes CAP_SYS_RAWIO, which nobody has here.
            FIBMAP if file_type == FileType::Regular => Err(Error::NotPermitted),
            FS_IOC_FIEMAP => super::extents::tell(&file, UserMut::new(self.abi(), arg as usize)).map(|()| 0),
            // Files have no such flags (chattr(1)) here, and get none.
            FS_IOC_GETFLAGS if keeps_flags(&file) => write_bytes(arg, &0u32.to_le_bytes()).map(|()| 0),
            FS_IOC_SETFLAGS if keeps_flags(&file) => {
                if read_bytes(arg)? == [0u8; 4] {
                    Ok(0)
                } else {
                    Err(Error::NotSupported)
                }
            }
            FICLONE | FICLONERANGE | FIDEDUPERANGE => self.reflink(&file, request, arg),
            FIOQSIZE if matches!(file_type, FileType::Regular | FileType::Directory | FileType::Symlink) => {
                write_bytes(arg, &file.file.metadata()?.size.to_le_bytes())?;
                Ok(0)
            }
            TIOCGPTPEER if litebox::tty::number_of_master(&*file.file).is_some() => {
                let number = litebox::tty::number_of_master(&*file.file).ok_or(Error::Io)?;
                self.open_slave(number, OpenFlags::from_bits_retain(arg as i32))
            }
            _ => {
                if let Some(listener) = file.file.as_any().downcast_ref::<Listener<Thread>>() {
                    return self.listener_ioctl(&file, &listener.notifier, request, arg);
                }
                if let Some(result) = self.socket_ioctl(fd, &file, request, arg) {
                    return result;
                }
                let arg = usize::try_from(arg).map_err(|_| Error::Fault)?;
                file.file.ioctl(request, arg).map_err(|error| self.restartable(error))
            }
        }
    }
}
