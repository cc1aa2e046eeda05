//! Listing directories.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox::platform::broker_protocol::{Entry, ListFlags, MAX_NAME, Stat};
use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::beneath::{Grant, Result, stat_at};
use crate::message::{Answer, Asked};

/// Most entries that are looked at before it is decided whether their metadata is told.
const MOST_FEW: usize = 4096;
/// How much of a directory the host tells at once: finding out costs it about as much as what it tells.
const PIECE: usize = 32 * 1024;
const SMALL_PIECE: usize = 8 * 1024;

/// An entry as the host names it.
struct Found {
    ino: u64,
    next: u64,
    file_type: FileType,
    name: Vec<u8>,
}

/// `Op::List`.
pub fn list(grant: &Grant, asked: &Asked<'_>, answer: &mut Answer) -> Result<()> {
    let how = ListFlags::from_bits(asked.head.flags).ok_or(Errno::INVAL)?;
    let few = usize::try_from(asked.head.mode).map_err(|_| Errno::INVAL)?;
    if few > MOST_FEW && how.intersects(ListFlags::STAT_IF_FEW | ListFlags::ONLY_FEW) {
        return Err(Errno::INVAL);
    }
    let dir = grant.open_for_listing(asked.path)?;
    if asked.head.value != 0 {
        rustix::fs::seek(&dir, rustix::fs::SeekFrom::Start(asked.head.value))?;
    }
    let piece = if how.contains(ListFlags::ONLY_FEW) { SMALL_PIECE } else { PIECE };
    let mut buffer = Vec::with_capacity(piece);
    let mut entries = RawDir::new(&dir, buffer.spare_capacity_mut());
    let mut with_stat = how.contains(ListFlags::STAT);
    let is_wanted =
        |found: &Found| how.contains(ListFlags::STAT_OF_DIRECTORIES) && found.file_type == FileType::Directory;
    let mut first = Vec::new();
    let mut ended = false;
    if how.intersects(ListFlags::STAT_IF_FEW | ListFlags::ONLY_FEW) {
        // One more than few says whether there are more.
        while first.len() <= few && !ended {
            match next(&mut entries)? {
                Some(found) => first.push(found),
                None => ended = true,
            }
        }
        with_stat &= ended || !how.contains(ListFlags::STAT_IF_FEW);
        if how.contains(ListFlags::ONLY_FEW) && !ended {
            return Ok(());
        }
    }
    for found in &first {
        if !tell(dir.as_fd(), found, with_stat || is_wanted(found), answer)? {
            return Ok(());
        }
    }
    while !ended && has_room(answer) {
        match next(&mut entries)? {
            Some(found) => _ = tell(dir.as_fd(), &found, with_stat || is_wanted(&found), answer)?,
            None => ended = true,
        }
    }
    answer.head.stop = u32::from(ended);
    Ok(())
}

/// The next entry that is neither the directory nor the one above it.
fn next(entries: &mut RawDir<'_, &OwnedFd>) -> Result<Option<Found>> {
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && name.len() <= MAX_NAME {
            let (ino, next, file_type) = (entry.ino(), entry.next_entry_cookie(), entry.file_type());
            return Ok(Some(Found { ino, next, file_type, name: name.to_vec() }));
        }
    }
    Ok(None)
}

/// Whether any entry fits.
fn has_room(answer: &Answer) -> bool {
    answer.has_room(size_of::<Entry>() + size_of::<Stat>() + MAX_NAME + 1 + 7)
}

/// Puts an entry into the answer; `false`: it did not fit.
fn tell(dir: BorrowedFd<'_>, found: &Found, with_stat: bool, answer: &mut Answer) -> Result<bool> {
    if !has_room(answer) {
        return Ok(false);
    }
    let stat = if with_stat { stat_at(dir, &found.name).ok() } else { None };
    let kind = match (&stat, found.file_type) {
        (Some(s), _) => s.mode >> 12,
        (None, FileType::Unknown) => stat_at(dir, &found.name).map_or(0, |s| s.mode >> 12),
        (None, known) => known.as_raw_mode() >> 12,
    };
    let head = Entry {
        ino: found.ino,
        next: found.next,
        kind: (kind & 0xf) as u8,
        has_stat: u8::from(stat.is_some()),
        name_len: found.name.len() as u16,
        reserved: 0,
    };
    answer.push(head.as_bytes())?;
    if let Some(stat) = stat {
        answer.push(stat.as_bytes())?;
    }
    answer.push(&found.name)?;
    answer.pad_to_8()?;
    answer.head.count += 1;
    Ok(true)
}
