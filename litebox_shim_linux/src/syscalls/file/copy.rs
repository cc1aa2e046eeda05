//! From one file to another without the guest's memory: sendfile and copy_file_range.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::fs::{Access, FileType, OpenFile, StatusFlags, WatchMask};
use litebox::io::{Dest, Source};
use litebox::{Error, Result};

use super::MAX_RW_COUNT;
use super::io::{IoMode, MAX_FILE_SIZE};
use super::splice::{Offset, can_be_spliced, check_area, pipe_of};
use super::stat::MAX_SMALL_FILE;
use litebox_common_linux::abi::layout::Layouts;
use litebox_common_linux::argument::UserMut;

use crate::Task;
use crate::user::{UserRead, UserWrite};

/// Bytes carried at once.
const CHUNK: usize = 64 << 10;

fn chunk(len: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len.min(CHUNK)).map_err(|_| Error::NoMemory)?;
    buffer.resize(len.min(CHUNK), 0);
    Ok(buffer)
}

impl Task<'_, '_> {
    /// sendfile(2)
    pub(crate) fn sendfile(&mut self, to: i32, from: i32, offset: UserMut<isize>, len: usize) -> Result<usize> {
        if offset.layouts() == Layouts::X86_64 || offset.is_null() {
            return self.send_file(to, from, Offset::read(offset.address() as u64)?, len);
        }
        // An offset of 32 bits: no further than it can say.
        let start = offset.read()? as i64;
        let room = MAX_SMALL_FILE.saturating_sub(start as u64);
        if start >= 0 && room == 0 && len > 0 {
            return Err(Error::Overflow);
        }
        let mut place = Offset::at(start as u64);
        let moved = self.send_file(to, from, Some(place), len.min(usize::try_from(room).unwrap_or(len)))?;
        place.value += moved as u64;
        offset.write(place.value as isize)?;
        Ok(moved)
    }

    /// sendfile(2), from an offset of 64 bits.
    pub(crate) fn send_file(&mut self, to: i32, from: i32, offset: Option<Offset>, len: usize) -> Result<usize> {
        let from = self.file(from)?;
        if !from.access.contains(Access::READ) {
            return Err(Error::BadDescriptor);
        }
        let stream = from.file.is_stream();
        if offset.is_some() && stream {
            return Err(Error::NotSeekable);
        }
        let start = offset.map_or_else(|| if stream { 0 } else { *from.offset() }, |o| o.value);
        check_area(start, len)?;
        let to = self.file(to)?;
        if !to.access.contains(Access::WRITE) {
            return Err(Error::BadDescriptor);
        }
        let len = len.min(MAX_RW_COUNT);
        if pipe_of(&to).is_some() {
            let moved = self.file_to_pipe(&from, offset, &to, len, !from.nonblocking() && !to.nonblocking());
            return self.spliced(moved);
        }
        if to.flags().contains(StatusFlags::APPEND) || stream || !can_be_spliced(&from) || !can_be_spliced(&to) {
            return Err(Error::Invalid);
        }
        let moved = self.carry(&from, start, &to, None, len)?;
        if moved > 0 {
            from.tell(WatchMask::ACCESS);
        }
        match offset {
            Some(offset) => offset.store_moved(moved)?,
            None if !from.file.offset_stays() => *from.offset() = start + moved as u64,
            _ => {}
        }
        Ok(moved)
    }

    /// Copies `len` bytes from `start` of one file to another, at its own offset or at `at`, until either stops.
    fn carry(
        &mut self,
        from: &Arc<OpenFile>,
        start: u64,
        to: &Arc<OpenFile>,
        at: Option<u64>,
        len: usize,
    ) -> Result<usize> {
        let mut buffer = chunk(len)?;
        let mut moved = 0;
        while moved < len {
            let room = buffer.get_mut(..CHUNK.min(len - moved)).unwrap_or_default();
            let got = match from.file.read_at(&mut Dest::kernel(room), start + moved as u64) {
                Err(error) if moved == 0 => return Err(error),
                Err(_) | Ok(0) => break,
                Ok(n) => n,
            };
            let mode = at.map_or(IoMode::PLAIN, |at| IoMode::at_offset(at + moved as u64));
            let bytes = buffer.get(..got).unwrap_or_default();
            match self.write_from(to, &mut Source::kernel(bytes), mode) {
                Err(error) if moved == 0 => return Err(error),
                Err(_) => break,
                Ok(n) => {
                    moved += n;
                    if n < got {
                        break;
                    }
                }
            }
        }
        Ok(moved)
    }

    /// copy_file_range(2)
    pub(crate) fn copy_file_range(
        &mut self,
        from: i32,
        from_offset: u64,
        to: i32,
        to_offset: u64,
        len: usize,
        flags: u32,
    ) -> Result<usize> {
        let (from, to) = (self.file(from)?, self.file(to)?);
        let (from_offset, to_offset) = (Offset::read(from_offset)?, Offset::read(to_offset)?);
        if flags != 0 {
            return Err(Error::Invalid);
        }
        check_copied(&from, &to)?;
        let source = from_offset.map_or_else(|| *from.offset(), |o| o.value);
        let target = to_offset.map_or_else(|| *to.offset(), |o| o.value);
        if source.checked_add(len as u64).is_none() || target.checked_add(len as u64).is_none() {
            return Err(Error::Overflow);
        }
        let size = from.file.metadata()?.size;
        let len = len.min(usize::try_from(size.saturating_sub(source)).unwrap_or(usize::MAX)).min(MAX_RW_COUNT);
        if target >= MAX_FILE_SIZE {
            return Err(Error::FileTooBig);
        }
        let same = from.file.inode().id() == to.file.inode().id();
        if same && target < source + len as u64 && source < target + len as u64 {
            return Err(Error::Invalid);
        }
        check_area(source, len)?;
        check_area(target, len)?;
        if len == 0 {
            return Ok(0);
        }
        let moved = self.carry(&from, source, &to, Some(target), len)?;
        for (file, offset, start) in [(&from, from_offset, source), (&to, to_offset, target)] {
            match offset {
                Some(offset) => offset.store_moved(moved)?,
                None => *file.offset() = start + moved as u64,
            }
        }
        Ok(moved)
    }
}

/// Whether a range of `from` may be copied to `to`.
fn check_copied(from: &OpenFile, to: &OpenFile) -> Result<()> {
    let (source, target) = (from.file.inode(), to.file.inode());
    let kinds = [source.file_type(), target.file_type()];
    if kinds.contains(&FileType::Directory) {
        return Err(Error::IsDirectory);
    }
    if kinds != [FileType::Regular; 2] || !from.file.transfers() || !to.file.transfers() {
        return Err(Error::Invalid);
    }
    let appends = to.flags().contains(StatusFlags::APPEND);
    if !from.access.contains(Access::READ) || !to.access.contains(Access::WRITE) || appends {
        return Err(Error::BadDescriptor);
    }
    if source.id().dev == target.id().dev { Ok(()) } else { Err(Error::CrossDevice) }
}
