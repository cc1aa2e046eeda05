//! Where the data of a file lies (`FS_IOC_FIEMAP`): its holes are told, places on a device are not, for there is none.

use litebox::fs::{FileType, OpenFile};
use litebox::mm::PAGE;
use litebox::{Error, Result};

use crate::user::{read_bytes, word, write_bytes};

/// Sizes of `struct fiemap`, without extents, and of `struct fiemap_extent`.
const HEAD: usize = 32;
const EXTENT: usize = 56;
const MOST_EXTENTS: u32 = u32::MAX / EXTENT as u32;
const FIEMAP_FLAG_SYNC: u32 = 1;
const FIEMAP_EXTENT_LAST: u32 = 1;
/// Where on a device it lies is not known.
const FIEMAP_EXTENT_UNKNOWN: u32 = 2;
const EBADR: Error = Error::Host(53);
/// The longest file.
const MOST: u64 = i64::MAX as u64;

/// What is asked for, and how much was told.
struct Request {
    at: u64,
    start: u64,
    end: u64,
    flags: u32,
    room: u32,
    told: u32,
}

impl Request {
    fn read(at: u64) -> Result<Self> {
        let head: [u8; HEAD] = read_bytes(at)?;
        let (start, len) = (u64::from_le_bytes(word(&head, 0)), u64::from_le_bytes(word(&head, 8)));
        let half = |from| u32::from_le_bytes(word(&head, from));
        Ok(Self { at, start, end: start.saturating_add(len), flags: half(16), room: half(24), told: 0 })
    }
    /// One extent; whether there is room for more. Without any room they are counted.
    fn tell(&mut self, (start, end): (u64, u64), flags: u32) -> Result<bool> {
        if self.room > 0 {
            let mut extent = [0u8; EXTENT];
            let words = [start, 0, end - start];
            for (place, value) in extent.chunks_exact_mut(8).zip(words) {
                place.copy_from_slice(&value.to_le_bytes());
            }
            if let Some(place) = extent.get_mut(40..44) {
                place.copy_from_slice(&(flags | FIEMAP_EXTENT_UNKNOWN).to_le_bytes());
            }
            write_bytes(self.at + (HEAD + EXTENT * self.told as usize) as u64, &extent)?;
        }
        self.told += 1;
        Ok(self.room == 0 || self.told < self.room)
    }
    fn finish(&self) -> Result<()> {
        write_bytes(self.at + 16, &self.flags.to_le_bytes())?;
        write_bytes(self.at + 20, &self.told.to_le_bytes())
    }
}

/// Tells the extents of a file as the request at `at` asks.
pub(super) fn tell(file: &OpenFile, at: u64) -> Result<()> {
    let is_regular = file.file.inode().file_type() == FileType::Regular;
    if !is_regular || !file.has_place() || !super::flags::keeps_flags(&*file.file.inode()) {
        return Err(Error::NotSupported);
    }
    let mut request = Request::read(at)?;
    if request.room > MOST_EXTENTS || request.start == request.end {
        return Err(Error::Invalid);
    }
    if request.start >= MOST {
        return Err(Error::FileTooBig);
    }
    let unknown = request.flags & !FIEMAP_FLAG_SYNC;
    if unknown != 0 {
        request.flags = unknown;
        request.finish()?;
        return Err(EBADR);
    }
    tell_all(file, &mut request)?;
    request.finish()
}

fn tell_all(file: &OpenFile, request: &mut Request) -> Result<()> {
    // From the page on that holds the start.
    let mut found = next(file, request.start & !(PAGE as u64 - 1))?;
    while let Some((start, end)) = found.filter(|(start, _)| *start < request.end) {
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
