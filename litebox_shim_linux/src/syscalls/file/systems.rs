//! What file systems there are and what is free in them: sysfs(2), ustat(2).

use alloc::sync::Arc;
use litebox_common_linux::abi::layout::Layouts;
use litebox_common_linux::argument::UserStr;

use litebox::fs::{Mount, PATH_MAX};
use litebox::{Error, Result};

use crate::Task;
use crate::proc::machine::FILE_SYSTEMS;
use crate::user::{read_string, write_bytes};

/// Size of `struct ustat`: free blocks, free inodes (C's `long`), two names that stay empty.
const USTAT_SIZE: usize = 32;
const USTAT_SIZE_X86: usize = 20;

impl Task<'_, '_> {
    /// sysfs(2)
    #[expect(clippy::unused_self, reason = "handlers are methods of the task")]
    pub(crate) fn sysfs(&mut self, option: i32, first: usize, second: usize) -> Result<usize> {
        match option {
            1 => {
                let name = read_string(UserStr(first), PATH_MAX, Error::NameTooLong)?;
                FILE_SYSTEMS.iter().position(|known| known.as_bytes() == name).ok_or(Error::Invalid)
            }
            2 => {
                let name = FILE_SYSTEMS.get(first as u32 as usize).ok_or(Error::Invalid)?;
                write_bytes(second as u64, &[name.as_bytes(), &[0]].concat()).map(|()| 0)
            }
            3 => Ok(FILE_SYSTEMS.len()),
            _ => Err(Error::Invalid),
        }
    }

    /// ustat(2)
    pub(crate) fn ustat(&mut self, device: u32, buf: u64) -> Result<usize> {
        let mounts = self.kernel().vfs.mounts();
        let is_meant = |mount: &&Arc<Mount>| mount.root.inode().id().dev == u64::from(device);
        let figures = mounts.iter().find(is_meant).ok_or(Error::Invalid)?.root.inode().stat_fs()?;
        let (blocks, inodes) = ((figures.free as u32).to_le_bytes(), figures.files_free.to_le_bytes());
        if Layouts::from(self.abi()) == Layouts::X86_64 {
            let mut raw = [0u8; USTAT_SIZE];
            raw[..4].copy_from_slice(&blocks);
            raw[8..16].copy_from_slice(&inodes);
            return write_bytes(buf, &raw).map(|()| 0);
        }
        let mut raw = [0u8; USTAT_SIZE_X86];
        raw[..4].copy_from_slice(&blocks);
        raw[4..8].copy_from_slice(&inodes[..4]);
        write_bytes(buf, &raw).map(|()| 0)
    }
}
