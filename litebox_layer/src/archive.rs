//! Writing a layer.
//!
//! Entries are those of POSIX (ustar headers, and extended headers for what does not fit into them: times with
//! nanoseconds, long names, extended attributes). Files with holes have the form that GNU tar calls sparse format 1.0.
//! What `docker diff` needs to know stands in comments, which readers of tar archives pass over: where a tree's root
//! is, and what was there before.

use std::io::{self, Read, Write};

use litebox_protocol::layer::{Extent, Kind};
use tar::{Builder, EntryType, Header};

use crate::pax;
use crate::stream::{Entry, Taker};
use crate::{OPAQUE, WHITEOUT, join, split};

/// The comment of something that is new, and of something that took the place of what was there.
pub const ADDED: &[u8] = b"litebox: added";
/// See [`ADDED`].
pub const CHANGED: &[u8] = b"litebox: changed";
/// In front of the root of a tree, in the comment of a global header.
pub const TREE: &[u8] = b"litebox: tree /";
/// In front of the name of an extended attribute.
pub const XATTR: &[u8] = b"SCHILY.xattr.";

/// Longest name in a header.
const NAME: usize = 100;
/// The largest owner or group, and behind the largest size, in a header.
const MOST_ID: u32 = 0o777_7777;
const SIZE_END: u64 = 1 << 33;

/// Writes entries to an archive.
pub struct Archive<W: Write>(Builder<W>);

impl<W: Write> Archive<W> {
    /// An archive without entries.
    pub fn new(to: W) -> Self {
        Self(Builder::new(to))
    }

    /// Writes its end; returns what it was written to.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner()
    }

    /// Extended headers, if there are any.
    fn extended(&mut self, kind: EntryType, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        set_name(&mut header, b"pax");
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.0.append(&header, records)
    }

    /// An entry whose header says what this one says, with `data` of this length behind it.
    fn entry(&mut self, kind: EntryType, entry: &Entry, mut data: Data<'_>, more: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        let mut records = more.to_vec();
        let path =
            if kind == EntryType::Directory { [&entry.path, b"/".as_slice()].concat() } else { entry.path.clone() };
        if path.len() > NAME {
            pax::push(&mut records, b"path", &path);
        }
        set_name(&mut header, &path);
        if entry.target.len() > NAME {
            pax::push(&mut records, b"linkpath", &entry.target);
        }
        header.set_entry_type(kind);
        header.set_link_name_literal(entry.target.get(..NAME).unwrap_or(&entry.target))?;
        header.set_mode(entry.mode);
        for (key, id) in [(b"uid".as_slice(), entry.uid), (b"gid", entry.gid)] {
            if id > MOST_ID {
                pax::push(&mut records, key, id.to_string().as_bytes());
            }
        }
        header.set_uid(entry.uid.into());
        header.set_gid(entry.gid.into());
        if data.len >= SIZE_END {
            pax::push(&mut records, b"size", data.len.to_string().as_bytes());
        }
        header.set_size(data.len);
        header.set_mtime(u64::try_from(entry.mtime.0).unwrap_or(0));
        if entry.mtime.1 != 0 || entry.mtime.0 < 0 {
            pax::push(&mut records, b"mtime", time(entry.mtime).as_bytes());
        }
        for (name, value) in &entry.xattrs {
            pax::push(&mut records, &[XATTR, name].concat(), value);
        }
        header.set_cksum();
        self.extended(EntryType::XHeader, &records)?;
        self.0.append(&header, &mut data.bytes)
    }

    /// An empty file that says something about a name, or about its directory.
    fn mark(&mut self, path: Vec<u8>) -> io::Result<()> {
        self.entry(EntryType::Regular, &Entry { path, ..Entry::default() }, Data::none(), b"")
    }

    fn regular(&mut self, entry: &Entry, bytes: &mut dyn Read, comment: &[u8]) -> io::Result<()> {
        let whole = Extent { offset: 0, len: entry.size };
        if entry.size == 0 || entry.extents == [whole] {
            let data = Data { len: entry.size, bytes: Box::new(bytes) };
            return self.entry(EntryType::Regular, entry, data, comment);
        }
        let map = sparse_map(entry);
        let mut records = comment.to_vec();
        for (key, value) in [("major", "1"), ("minor", "0"), ("realsize", &entry.size.to_string())] {
            pax::push(&mut records, format!("GNU.sparse.{key}").as_bytes(), value.as_bytes());
        }
        pax::push(&mut records, b"GNU.sparse.name", &entry.path);
        let name = [b"GNUSparseFile.0/", split(&entry.path).1].concat();
        let len: u64 = entry.extents.iter().map(|extent| extent.len).sum();
        let len = len + map.len() as u64;
        let bytes = Box::new(io::Cursor::new(map).chain(bytes));
        // The path stands in its own record: one that knows nothing of sparse files unpacks under the other name.
        let renamed = Entry { path: name.get(..NAME).unwrap_or(&name).to_vec(), ..entry.clone() };
        self.entry(EntryType::Regular, &renamed, Data { len, bytes }, &records)
    }
}

impl<W: Write> Taker for Archive<W> {
    fn tree(&mut self, at: &[u8]) -> io::Result<()> {
        let mut records = Vec::new();
        pax::push(&mut records, b"comment", &[TREE, at].concat());
        self.extended(EntryType::XGlobalHeader, &records)
    }

    fn change(&mut self, kind: Kind, entry: &Entry, bytes: &mut dyn Read) -> io::Result<()> {
        let mut comment = Vec::new();
        pax::push(&mut comment, b"comment", if entry.existed { CHANGED } else { ADDED });
        let kind = match kind {
            Kind::Regular => return self.regular(entry, bytes, &comment),
            // Devices and sockets are not kept; what they took the place of is gone.
            Kind::Other if !entry.existed => return Ok(()),
            Kind::Removed | Kind::Other => {
                let (dir, name) = split(&entry.path);
                return self.mark(join(dir, &[WHITEOUT, name].concat()));
            }
            Kind::Directory => EntryType::Directory,
            Kind::Symlink => EntryType::Symlink,
            Kind::Fifo => EntryType::Fifo,
            Kind::HardLink => EntryType::Link,
            Kind::Tree | Kind::LeftOut | Kind::End => return Ok(()),
        };
        self.entry(kind, entry, Data::none(), &comment)?;
        if entry.opaque { self.mark(join(&entry.path, OPAQUE)) } else { Ok(()) }
    }
}

/// What comes behind a header.
struct Data<'a> {
    len: u64,
    bytes: Box<dyn Read + 'a>,
}

impl Data<'_> {
    fn none() -> Self {
        Self { len: 0, bytes: Box::new(io::empty()) }
    }
}

/// As much of a name as the header holds.
fn set_name(header: &mut Header, name: &[u8]) {
    let field = &mut header.as_old_mut().name;
    for (to, from) in field.iter_mut().zip(name) {
        *to = *from;
    }
}

/// Where a file has bytes, in front of these: how many extents, then offset and length of each, in whole blocks.
fn sparse_map(entry: &Entry) -> Vec<u8> {
    const BLOCK: usize = 512;
    let end = Extent { offset: entry.size, len: 0 };
    let closes = entry.extents.last().is_none_or(|last| last.offset + last.len < entry.size);
    let all: Vec<&Extent> = entry.extents.iter().chain(closes.then_some(&end)).collect();
    let numbers = all.iter().flat_map(|extent| [extent.offset, extent.len]);
    let lines: Vec<String> = std::iter::once(all.len() as u64).chain(numbers).map(|n| format!("{n}\n")).collect();
    let mut map = lines.concat().into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

/// Seconds with their fraction.
fn time((seconds, nanoseconds): (i64, u32)) -> String {
    if seconds >= 0 || nanoseconds == 0 {
        return format!("{seconds}.{nanoseconds:09}");
    }
    // Before 1970 the fraction counts the other way.
    let all = -(i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds));
    format!("-{}.{:09}", all / 1_000_000_000, all % 1_000_000_000)
}
