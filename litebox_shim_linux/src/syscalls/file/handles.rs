//! name_to_handle_at(2): what a file is called whatever becomes of its names. A handle is a means to tell files apart,
//! and the way to learn in which mount a path lies; opening one takes CAP_DAC_READ_SEARCH, which no guest has.

use litebox::{Error, Result};
use litebox_common_linux::abi::file::AtFlags;
use litebox_common_linux::argument::{UserMut, UserStr};

use super::place::PathTarget;
use crate::Task;
use crate::user::{UserWrite, read_bytes, write_bytes};

/// The handle need not be one that can be opened.
const AT_HANDLE_FID: AtFlags = AtFlags(0x200);
/// `MAX_HANDLE_SZ`.
const MOST: u32 = 128;
/// Size of a handle: a generation and the number of the inode, as tmpfs has it.
const SIZE: u32 = 12;
const TYPE: i32 = 1;
const NO_TYPE: i32 = 255;
/// Where the handle begins behind its size and its type.
const HEAD: u64 = 8;

impl Task<'_, '_> {
    /// name_to_handle_at(2)
    pub(crate) fn name_to_handle_at(
        &mut self,
        dirfd: i32,
        path: UserStr,
        handle: UserMut<()>,
        mount: UserMut<i32>,
        flags: AtFlags,
    ) -> Result<usize> {
        if !(AtFlags::AT_SYMLINK_FOLLOW | AtFlags::AT_EMPTY_PATH | AT_HANDLE_FID).contains(flags) {
            return Err(Error::Invalid);
        }
        let mut walk = flags & AtFlags::AT_EMPTY_PATH;
        walk.set(AtFlags::AT_SYMLINK_NOFOLLOW, !flags.contains(AtFlags::AT_SYMLINK_FOLLOW));
        let PathTarget::Place(at) = self.target(dirfd, path, walk)? else {
            return Err(Error::NotSupported);
        };
        if super::flags::is_of_tables(&**at.inode()) {
            return Err(Error::NotSupported);
        }
        let to = handle.address() as u64;
        let room = u32::from_le_bytes(read_bytes(to)?);
        if room > MOST {
            return Err(Error::Invalid);
        }
        mount.write(at.mount.id as i32)?;
        write_bytes(to, &SIZE.to_le_bytes())?;
        if room < SIZE {
            write_bytes(to + 4, &NO_TYPE.to_le_bytes())?;
            return Err(Error::Overflow);
        }
        write_bytes(to + 4, &TYPE.to_le_bytes())?;
        write_bytes(to + HEAD, &0u32.to_le_bytes())?;
        write_bytes(to + HEAD + 4, &at.inode().id().ino.to_le_bytes())?;
        Ok(0)
    }
}
