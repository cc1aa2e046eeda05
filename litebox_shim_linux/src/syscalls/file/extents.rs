//! Where the data of a file lies (`FS_IOC_FIEMAP`): its holes are told, places on a device are not, for there is none.

use litebox::error::errno::EBADR;
use litebox::fs::{FileType, OpenFile};
use litebox::mm::PAGE;
use litebox::{Error, Result};

use litebox_common_linux::abi::file::{Fiemap, FiemapExtent, FiemapExtentX86_64};
use litebox_common_linux::argument::UserMut;

use crate::user::{UserRead, UserWrite};

const MOST_EXTENTS: u32 = u32::MAX / size_of::<FiemapExtentX86_64>() as u32;
const FIEMAP_FLAG_SYNC: u32 = 1;
const FIEMAP_EXTENT_LAST: u32 = 1;
/// Where on a device it lies is not known.
const FIEMAP_EXTENT_UNKNOWN: u32 = 2;
/// The longest file.
const MOST: u64 = i64::MAX as u64;

/// What is asked for, and how much was told.
struct Request {
    at: UserMut<Fiemap>,
    head: Fiemap,
}

impl Request {
    fn end(&self) -> u64 {
        self.head.start.saturating_add(self.head.len)
    }
    /// One extent; whether there is room for more. Without any room they are counted.
    fn tell(&mut self, (start, end): (u64, u64), flags: u32) -> Result<bool> {
        if self.head.room > 0 {
            let extents: UserMut<FiemapExtent> = self.at.nth(1)?.cast();
            let flags = flags | FIEMAP_EXTENT_UNKNOWN;
            let extent = FiemapExtent { logical: start, len: end - start, flags, ..FiemapExtent::default() };
            extents.nth(self.head.told as usize)?.write(extent)?;
        }
        self.head.told += 1;
        Ok(self.head.room == 0 || self.head.told < self.head.room)
    }
    fn finish(&self) -> Result<()> {
        self.at.write(self.head)
    }
}

/// Tells the extents of a file as the request at `at` asks.
pub(super) fn tell(file: &OpenFile, at: UserMut<Fiemap>) -> Result<()> {
    let is_regular = file.file.inode().file_type() == FileType::Regular;
    if !is_regular || !file.has_place() || !super::flags::keeps_flags(&*file.file.inode()) {
        return Err(Error::NotSupported);
    }
    let head = Fiemap { told: 0, ..at.read()? };
    let mut request = Request { at, head };
    if head.room > MOST_EXTENTS || head.len == 0 {
        return Err(Error::Invalid);
    }
    if head.start >= MOST {
        return Err(Error::FileTooBig);
    }
    let unknown = head.flags & !FIEMAP_FLAG_SYNC;
    if unknown != 0 {
        request.head.flags = unknown;
        request.finish()?;
        return Err(EBADR);
    }
    tell_all(file, &mut request)?;
    request.finish()
}

fn tell_all(file: &OpenFile, request: &mut Request) -> Result<()> {
    // From the page on that holds the start.
    let mut found = next(file, request.head.start & !(PAGE as u64 - 1))?;
    while let Some((start, end)) = found.filter(|(start, _)| *start < request.end()) {
        found = next(file, end)?;
        let last = if found.is_none() { FIEMAP_EXTENT_LAST } else { 0 };
        if !request.tell((start, end), last)? {
            break;
        }
    }
    Ok(())
}

/// Data from `from` on, up to the next hole; `None`: there is no more.
fn next(file: &OpenFile, from: u64) -> Result<Option<(u64, u64)>> {
    let start = match file.file.seek_data(from, false) {
        Ok(start) => start,
        Err(Error::NoSuchDevice) => return Ok(None),
        Err(error) => return Err(error),
    };
    let end = file.file.seek_data(start, true)?;
    Ok((end > start).then_some((start, end)))
}
