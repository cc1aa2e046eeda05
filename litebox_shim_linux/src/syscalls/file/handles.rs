//! name_to_handle_at(2): what a file is called whatever becomes of its names. A handle is a means to tell files apart,
//! and the way to learn in which mount a path lies; opening one takes CAP_DAC_READ_SEARCH, which no guest has.

use litebox::{Error, Result};
use litebox_common_linux::abi::file::{AtFlags, FileHandle};
use litebox_common_linux::argument::{UserMut, UserStr};

use super::place::PathTarget;
use crate::Task;
use crate::user::{UserRead, UserWrite};

/// The handle need not be one that can be opened.
const AT_HANDLE_FID: AtFlags = AtFlags(0x200);
/// `MAX_HANDLE_SZ`.
const MOST: u32 = 128;
/// Size of a handle: a generation and the number of the inode, as tmpfs has it.
const SIZE: u32 = 12;
const TYPE: i32 = 1;
const NO_TYPE: i32 = 255;

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
        let handle: UserMut<FileHandle> = handle.cast();
        let room = handle.read()?.size;
        if room > MOST {
            return Err(Error::Invalid);
        }
        mount.write(at.mount.id as i32)?;
        if room < SIZE {
            handle.write(FileHandle { size: SIZE, kind: NO_TYPE })?;
            return Err(Error::Overflow);
        }
        handle.write(FileHandle { size: SIZE, kind: TYPE })?;
        let generation: UserMut<u32> = handle.nth(1)?.cast();
        generation.write(0)?;
        generation.nth(1)?.cast::<u64>().write(at.inode().id().ino)?;
        Ok(0)
    }
}
