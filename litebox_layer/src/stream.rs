//! What a sandbox tells of its changes, taken apart. It may say anything: paths lead nowhere else, sizes are bounded,
//! and what is no record ends it.

use std::io::{self, BufRead, ErrorKind, Read};

use litebox_protocol::layer::{Extent, Kind, MAX_EXTENTS, MAX_PATH, MAX_XATTRS, Record, Xattr, flag};
use zerocopy::{FromBytes, IntoBytes};

use crate::is_plain;

/// What is known of one change. Of what is gone, the path alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where, from the root of the sandbox and without a leading slash.
    pub path: Vec<u8>,
    /// Something was there before.
    pub existed: bool,
    /// A directory of which nothing is left that it held before.
    pub opaque: bool,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change, in seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Size of a regular file.
    pub size: u64,
    /// Where a symbolic link leads, or the other name of a hard link.
    pub target: Vec<u8>,
    /// Names and values of extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where a regular file has bytes; everything else in it is zeros.
    pub extents: Vec<Extent>,
}

/// Who is told.
pub trait Taker {
    /// The root of a tree is here.
    fn tree(&mut self, at: &[u8]) -> io::Result<()>;
    /// A change. `bytes` are those of all extents, of which none need be read.
    fn change(&mut self, kind: Kind, entry: &Entry, bytes: &mut dyn Read) -> io::Result<()>;
}

/// What came to its end without.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Option<(Vec<u8>, String)>,
}

impl LeftOut {
    fn add(&mut self, path: &[u8], why: String) {
        self.count += 1;
        self.first.get_or_insert_with(|| (path.to_vec(), why));
    }

    /// In a line; `None`: nothing was left out.
    pub fn line(&self) -> Option<String> {
        let (path, why) = self.first.as_ref()?;
        let path = String::from_utf8_lossy(path);
        Some(match self.count {
            1 => format!("left out: /{path}: {why}"),
            n => format!("left out: /{path}: {why}, and {} more", n - 1),
        })
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// Takes all that is told, to its end. What is to be written may be `most` bytes at most.
pub fn receive(from: &mut dyn BufRead, most: u64, taker: &mut dyn Taker) -> io::Result<LeftOut> {
    let mut left_out = LeftOut::default();
    let mut budget = most;
    loop {
        let mut record = Record::default();
        from.read_exact(record.as_mut_bytes()).map_err(cut_off)?;
        let kind = Kind::from_number(record.kind).ok_or_else(|| broken("a record of no kind"))?;
        let entry = entry_of(from, kind, &record).map_err(cut_off)?;
        match kind {
            Kind::End => return Ok(left_out),
            Kind::Tree if entry.path.is_empty() || is_plain(&entry.path) => taker.tree(&entry.path)?,
            Kind::LeftOut => {
                let errno = i32::try_from(record.size).unwrap_or(i32::MAX);
                left_out.add(&entry.path, text_of(errno));
            }
            _ => {
                let data: u64 = entry.extents.iter().map(|extent| extent.len).sum();
                spend(&mut budget, size_of_headers(&entry))?;
                spend(&mut budget, data)?;
                let mut bytes = from.take(data);
                if is_plain(&entry.path) {
                    taker.change(kind, &entry, &mut bytes)?;
                } else if has_hidden_meaning(&entry.path) {
                    left_out.add(&entry.path, "its name means something else in a layer".into());
                } else {
                    return Err(broken("a path that leads elsewhere"));
                }
                // Whoever did not want them.
                io::copy(&mut bytes, &mut io::sink()).map_err(cut_off)?;
                if bytes.limit() > 0 {
                    return Err(cut_off(ErrorKind::UnexpectedEof.into()));
                }
            }
        }
    }
}

/// An error of the host in words.
fn text_of(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn cut_off(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => {
            io::Error::new(ErrorKind::UnexpectedEof, "the sandbox ended before it had told all")
        }
        _ => error,
    }
}

fn spend(budget: &mut u64, bytes: u64) -> io::Result<()> {
    let left = budget.checked_sub(bytes);
    *budget =
        left.ok_or_else(|| io::Error::new(ErrorKind::QuotaExceeded, "the changes take more than --disk allows"))?;
    Ok(())
}

/// About what an entry takes beside the bytes of its file.
fn size_of_headers(entry: &Entry) -> u64 {
    let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    (2048 + entry.path.len() + entry.target.len() + xattrs + 32 * entry.extents.len()) as u64
}

/// Plain but for names that a layer uses for itself.
fn has_hidden_meaning(path: &[u8]) -> bool {
    let names: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').map(|name| name.strip_prefix(b".").unwrap_or(name)).collect();
    is_plain(&names.join(&b'/'))
}

/// So many bytes, which the caller has bounded.
fn bytes(from: &mut dyn BufRead, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bounded(len: u32, most: usize) -> io::Result<usize> {
    usize::try_from(len).ok().filter(|len| *len <= most).ok_or_else(|| broken("a length out of bounds"))
}

fn entry_of(from: &mut dyn BufRead, kind: Kind, record: &Record) -> io::Result<Entry> {
    let (path, target) = (bounded(record.path_len, MAX_PATH)?, bounded(record.target_len, MAX_PATH)?);
    let xattrs = bounded(record.xattr_len, MAX_XATTRS + MAX_PATH)?;
    let extents = bounded(record.extents, MAX_EXTENTS as usize)?;
    if (extents > 0 && kind != Kind::Regular) || record.mtime_nsec >= 1_000_000_000 || record.size > i64::MAX as u64 {
        return Err(broken("a record that says too much"));
    }
    let path = bytes(from, path)?;
    let target = bytes(from, target)?;
    let has_target = matches!(kind, Kind::Symlink | Kind::HardLink);
    if has_target == target.is_empty() && kind != Kind::Symlink || target.contains(&0) {
        return Err(broken("a link that leads nowhere"));
    }
    if kind == Kind::HardLink && !is_plain(&target) && !has_hidden_meaning(&target) {
        return Err(broken("a hard link that leads elsewhere"));
    }
    let xattrs = xattrs_of(&bytes(from, xattrs)?)?;
    let extents = extents_of(&bytes(from, extents * size_of::<Extent>())?, record.size)?;
    Ok(Entry {
        path,
        existed: record.flags & flag::EXISTED != 0,
        opaque: record.flags & flag::OPAQUE != 0 && kind == Kind::Directory,
        mode: record.mode & 0o7777,
        uid: record.uid,
        gid: record.gid,
        mtime: (record.mtime_sec, record.mtime_nsec),
        size: record.size,
        target,
        xattrs,
        extents,
    })
}

fn xattrs_of(mut rest: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut xattrs = Vec::new();
    while !rest.is_empty() {
        let wrong = || broken("extended attributes that end too early");
        let (head, behind) = Xattr::read_from_prefix(rest).map_err(|_| wrong())?;
        let (name, behind) = behind.split_at_checked(head.name_len as usize).ok_or_else(wrong)?;
        let (value, behind) = behind.split_at_checked(head.value_len as usize).ok_or_else(wrong)?;
        if name.is_empty() || name.contains(&0) || name.contains(&b'=') {
            return Err(broken("an extended attribute without a name"));
        }
        xattrs.push((name.to_vec(), value.to_vec()));
        rest = behind;
    }
    Ok(xattrs)
}

fn extents_of(bytes: &[u8], size: u64) -> io::Result<Vec<Extent>> {
    let mut extents = Vec::new();
    let mut reached = 0;
    for bytes in bytes.chunks_exact(size_of::<Extent>()) {
        let extent = Extent::read_from_bytes(bytes).map_err(|_| broken("no extent"))?;
        let end = extent.offset.checked_add(extent.len).filter(|end| *end <= size);
        let end = end.filter(|_| extent.offset >= reached && extent.len > 0);
        reached = end.ok_or_else(|| broken("extents that are not in their order"))?;
        extents.push(extent);
    }
    Ok(extents)
}
