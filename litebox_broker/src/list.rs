//! Listing directories.

use std::ffi::{CStr, CString};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox_protocol::{Beside, FEW_BESIDE, ListFlags, ListRecord, MAX_BESIDE, MAX_NAME, Stat};
use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::beneath::{Grant, Result, check_name, stat_at, stat_of};
use crate::message::{ParsedRequest, ReplyBuilder};

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
    /// Where its name stands, the zero behind it included.
    name: Range<usize>,
}

/// Entries that were read and not told yet.
#[derive(Default)]
struct Waiting {
    names: Vec<u8>,
    found: Vec<Found>,
}

impl Waiting {
    fn clear(&mut self) {
        self.names.clear();
        self.found.clear();
    }
    fn name_of(&self, found: &Found) -> &CStr {
        self.names.get(found.name.clone()).and_then(|name| CStr::from_bytes_with_nul(name).ok()).unwrap_or_default()
    }
    /// Takes the next entry down that is shown, and neither the directory nor the one above it; `false`: there are no
    /// more.
    fn take(&mut self, entries: &mut RawDir<'_, &OwnedFd>, from: &Listed<'_>) -> Result<bool> {
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes_with_nul();
            if name != b".\0" && name != b"..\0" && name.len() <= MAX_NAME + 1 && from.shows(entry.file_name()) {
                let start = self.names.len();
                self.names.extend_from_slice(name);
                let (ino, next, file_type) = (entry.ino(), entry.next_entry_cookie(), entry.file_type());
                self.found.push(Found { ino, next, file_type, name: start..self.names.len() });
                return Ok(true);
            }
        }
        Ok(false)
    }
    /// Takes down one more than `few`, which says whether there are more, or all; `true`: these are all.
    fn take_few(&mut self, entries: &mut RawDir<'_, &OwnedFd>, from: &Listed<'_>, few: usize) -> Result<bool> {
        while self.found.len() <= few {
            if !self.take(entries, from)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
    /// How much they take up in an answer, with metadata.
    fn len_told(&self) -> usize {
        let names: usize = self.found.iter().map(|found| found.name.len().next_multiple_of(8)).sum();
        self.found.len() * (size_of::<ListRecord>() + size_of::<Stat>()) + names
    }
}

/// An open directory, as a grant shows it.
struct Listed<'a> {
    grant: &'a Grant,
    dir: &'a OwnedFd,
    /// Its path beneath the grant: the directory it lies in, and its name there.
    path: [&'a [u8]; 2],
    /// Whether its entries may be looked at. Without that their names are all that is told.
    may_search: bool,
}

impl<'a> Listed<'a> {
    fn new(grant: &'a Grant, dir: &'a OwnedFd, path: [&'a [u8]; 2]) -> Self {
        let may_search = grant.check_search(dir.as_fd()).is_ok();
        Self { grant, dir, path, may_search }
    }
    fn shows(&self, name: &CStr) -> bool {
        let hidden = &self.grant.visibility.hidden;
        if hidden.is_empty() {
            return true;
        }
        let [above, own] = self.path;
        let parts: Vec<&[u8]> = [above, own, name.to_bytes()].into_iter().filter(|part| !part.is_empty()).collect();
        !hidden.hides(&parts.join(&b'/'))
    }
}

/// `Op::List`.
pub fn list(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<()> {
    let how = ListFlags::from_bits(request.head.flags).ok_or(Errno::INVAL)?;
    let few = usize::try_from(request.head.mode).map_err(|_| Errno::INVAL)?;
    if few > MOST_FEW && how.intersects(ListFlags::STAT_IF_FEW | ListFlags::ONLY_FEW) {
        return Err(Errno::INVAL);
    }
    check_beside(request)?;
    let dir = grant.open_for_listing(request.path)?;
    if how.contains(ListFlags::WATCH) {
        reply.head.watch = grant.watch(dir.as_fd()).unsigned_abs();
        reply.push(stat_of(dir.as_fd())?.as_bytes())?;
    }
    if request.head.value != 0 {
        rustix::fs::seek(&dir, rustix::fs::SeekFrom::Start(request.head.value))?;
    }
    let piece = if how.contains(ListFlags::ONLY_FEW) { SMALL_PIECE } else { PIECE };
    let mut buffer = Vec::with_capacity(piece);
    let mut waiting = Waiting::default();
    let listed = Listed::new(grant, &dir, [b"", request.path]);
    let Some(told) = list_open(&listed, how, few, &mut buffer, &mut waiting, reply)? else { return Ok(()) };
    reply.head.stop = 1;
    // Those beside one that cannot be watched cannot be either.
    let is_wanted = !how.contains(ListFlags::WATCH) || reply.head.watch != 0;
    if told.with_stat && is_wanted && !request.extra.is_empty() {
        list_beside(grant, request, how.contains(ListFlags::WATCH), &mut buffer, &mut waiting, reply)?;
    }
    Ok(())
}

/// How all entries of a directory were told.
struct All {
    with_stat: bool,
}

/// Tells the entries of an open directory; `None`: not all of them.
fn list_open(
    listed: &Listed<'_>,
    how: ListFlags,
    few: usize,
    buffer: &mut Vec<u8>,
    waiting: &mut Waiting,
    reply: &mut ReplyBuilder,
) -> Result<Option<All>> {
    let dir = listed.dir;
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    let mut with_stat = how.contains(ListFlags::STAT) && listed.may_search;
    let of_directories = how.contains(ListFlags::STAT_OF_DIRECTORIES) && listed.may_search;
    let is_wanted = |found: &Found| of_directories && found.file_type == FileType::Directory;
    let mut ended = false;
    if how.intersects(ListFlags::STAT_IF_FEW | ListFlags::ONLY_FEW) {
        ended = waiting.take_few(&mut entries, listed, few)?;
        with_stat &= ended || !how.contains(ListFlags::STAT_IF_FEW);
        if how.contains(ListFlags::ONLY_FEW) && !ended {
            return Ok(None);
        }
    }
    loop {
        for found in &waiting.found {
            if !has_room(reply) {
                return Ok(None);
            }
            tell(dir.as_fd(), found, waiting.name_of(found), with_stat || is_wanted(found), reply)?;
            reply.head.count += 1;
        }
        waiting.clear();
        if ended {
            return Ok(Some(All { with_stat }));
        }
        if !has_room(reply) {
            return Ok(None);
        }
        ended = !waiting.take(&mut entries, listed)?;
    }
}

/// The names of the directories beside the one that is listed.
fn names_beside<'a>(request: &ParsedRequest<'a>) -> impl Iterator<Item = &'a [u8]> {
    request.extra.split_inclusive(|&b| b == 0).map(|name| name.strip_suffix(b"\0").unwrap_or_default())
}

/// Refuses what are not a few names of directories beside the one that is listed.
fn check_beside(request: &ParsedRequest<'_>) -> Result<()> {
    if request.extra.is_empty() {
        return Ok(());
    }
    if request.path.is_empty() || names_beside(request).count() > MAX_BESIDE {
        return Err(Errno::INVAL);
    }
    names_beside(request).try_for_each(check_name)
}

/// Tells the entries of the directories beside the one at the path, as long as they fit; with `watch` they are watched
/// from before that.
fn list_beside(
    grant: &Grant,
    request: &ParsedRequest<'_>,
    watch: bool,
    buffer: &mut Vec<u8>,
    waiting: &mut Waiting,
    reply: &mut ReplyBuilder,
) -> Result<()> {
    let above = request.path.iter().rposition(|&b| b == b'/').unwrap_or(0);
    let path = request.path.get(..above).unwrap_or_default();
    let above = grant.open_directory(path)?;
    let parent = Listed::new(grant, &above, [b"", path]);
    for (which, name) in (0..).zip(names_beside(request)) {
        // Whoever is watched is told of, so nothing is watched without room for that.
        if !reply.has_room(size_of::<Beside>() + size_of::<Stat>()) {
            break;
        }
        let Ok(dir) = open_beside(&parent, name) else { continue };
        let beside = Listed::new(grant, &dir, [path, name]);
        if !beside.may_search {
            continue;
        }
        let seen = if watch { Some((grant.watch(dir.as_fd()).unsigned_abs(), stat_of(dir.as_fd())?)) } else { None };
        waiting.clear();
        let all = waiting.take_few(&mut RawDir::new(&dir, buffer.spare_capacity_mut()), &beside, FEW_BESIDE);
        let fits = reply.has_room(size_of::<Beside>() + size_of::<Stat>() + waiting.len_told());
        let is_told = all == Ok(true) && fits;
        if is_told || seen.is_some() {
            tell_beside((which, is_told), seen, &dir, waiting, reply)?;
        }
        // What does not fit is not looked at either.
        if !fits {
            break;
        }
    }
    Ok(())
}

/// Tells of a directory beside: the number of its watch and its metadata, if it is watched (`seen`), and its entries.
fn tell_beside(
    (which, is_told): (u32, bool),
    seen: Option<(u32, Stat)>,
    dir: &OwnedFd,
    waiting: &Waiting,
    reply: &mut ReplyBuilder,
) -> Result<()> {
    let found = if is_told { waiting.found.as_slice() } else { &[] };
    let watch = seen.map_or(0, |(watch, _)| watch);
    let head = Beside { which, count: found.len() as u32, watch, is_told: u32::from(is_told) };
    reply.push(head.as_bytes())?;
    if let Some((_, stat)) = seen {
        reply.push(stat.as_bytes())?;
    }
    for found in found {
        tell(dir.as_fd(), found, waiting.name_of(found), true, reply)?;
    }
    reply.head.value += 1;
    Ok(())
}

/// Opens the directory `name` in `above` for listing, whose name was checked.
fn open_beside(above: &Listed<'_>, name: &[u8]) -> Result<OwnedFd> {
    if !CString::new(name).is_ok_and(|name| above.shows(&name)) {
        return Err(Errno::NOENT);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(above.dir, name, flags, Mode::empty())?;
    above.grant.refuse_foreign(dir.as_fd())?;
    above.grant.check_read(dir.as_fd())?;
    Ok(dir)
}

/// Whether any entry fits.
fn has_room(reply: &ReplyBuilder) -> bool {
    reply.has_room(size_of::<ListRecord>() + size_of::<Stat>() + MAX_NAME + 1 + 7)
}

/// Puts an entry into the answer, where there is room for it.
fn tell(dir: BorrowedFd<'_>, found: &Found, name: &CStr, with_stat: bool, reply: &mut ReplyBuilder) -> Result<()> {
    let stat = if with_stat { stat_at(dir, name).ok() } else { None };
    let kind = match (&stat, found.file_type) {
        (Some(s), _) => s.mode >> 12,
        (None, FileType::Unknown) => stat_at(dir, name).map_or(0, |s| s.mode >> 12),
        (None, known) => known.as_raw_mode() >> 12,
    };
    let name = name.to_bytes();
    let head = ListRecord {
        ino: found.ino,
        next: found.next,
        kind: (kind & 0xf) as u8,
        has_stat: u8::from(stat.is_some()),
        name_len: name.len() as u16,
        reserved: 0,
    };
    reply.push(head.as_bytes())?;
    if let Some(stat) = stat {
        reply.push(stat.as_bytes())?;
    }
    reply.push(name)?;
    reply.pad_to_8()
}

/// Whether nothing is in a directory, as far as that can be found out.
pub fn is_empty(dir: BorrowedFd<'_>) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::openat(dir, ".", flags, Mode::empty()) else { return false };
    let mut buffer = Vec::with_capacity(SMALL_PIECE);
    let mut entries = RawDir::new(&dir, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        if !entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")) {
            return false;
        }
    }
    true
}
