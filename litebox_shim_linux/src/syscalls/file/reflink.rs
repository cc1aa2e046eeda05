//! Sharing data between files: ioctl_ficlone(2), ioctl_fideduperange(2). No file system here can, so what is left is to
//! say why as Linux does.

use litebox::fs::{Access, FileType, OpenFile, StatusFlags};
use litebox::{Error, Result};

use crate::Task;
use crate::user::{read_bytes, read_into, word};

pub(super) const FICLONE: u32 = 0x4004_9409;
pub(super) const FICLONERANGE: u32 = 0x4020_940d;
pub(super) const FIDEDUPERANGE: u32 = 0xc018_9436;
/// `struct file_dedupe_range`: its head, and what follows for each destination. Together no more than a page.
const HEAD: usize = 24;
const ENTRY: usize = 32;
const MOST: usize = 4096;

/// Whether a file has data that could be shared.
fn check_type(file: &OpenFile) -> Result<()> {
    match file.file.inode().file_type() {
        FileType::Directory => Err(Error::IsDirectory),
        FileType::Regular => Ok(()),
        _ => Err(Error::Invalid),
    }
}

impl Task<'_, '_> {
    /// A request of ioctl(2) for the open file `to`.
    pub(super) fn reflink(&self, to: &OpenFile, request: u32, arg: u64) -> Result<usize> {
        match request {
            FICLONE => self.clone_range(arg as i32, to),
            FICLONERANGE => {
                let range: [u8; 32] = read_bytes(arg)?;
                self.clone_range(i64::from_le_bytes(word(&range, 0)) as i32, to)
            }
            _ => dedupe_range(to, arg),
        }
    }

    fn clone_range(&self, from: i32, to: &OpenFile) -> Result<usize> {
        let from = self.file(from)?;
        if from.file.inode().id().dev != to.file.inode().id().dev {
            return Err(Error::CrossDevice);
        }
        let types = [check_type(&from), check_type(to)];
        if types.contains(&Err(Error::IsDirectory)) {
            return Err(Error::IsDirectory);
        }
        types.into_iter().collect::<Result<()>>()?;
        let appends = to.flags().contains(StatusFlags::APPEND);
        if !from.access.contains(Access::READ) || !to.access.contains(Access::WRITE) || appends {
            return Err(Error::BadDescriptor);
        }
        Err(Error::NotSupported)
    }
}

fn dedupe_range(from: &OpenFile, at: u64) -> Result<usize> {
    const COUNT_AT: u64 = 16;
    const RESERVED_AT: usize = 18;
    let count = u16::from_le_bytes(read_bytes(at.wrapping_add(COUNT_AT))?);
    let size = HEAD + usize::from(count) * ENTRY;
    if size > MOST {
        return Err(Error::NoMemory);
    }
    let mut asked = alloc::vec![0u8; size];
    read_into(at, &mut asked)?;
    let is_reserved = asked.get(RESERVED_AT..HEAD).is_none_or(|reserved| reserved.iter().any(|byte| *byte != 0));
    if !from.access.contains(Access::READ) || is_reserved {
        return Err(Error::Invalid);
    }
    check_type(from)?;
    Err(Error::NotSupported)
}
