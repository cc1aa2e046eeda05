//! Taking a layer apart, whoever wrote it: plain tar, or compressed by zstd.
//!
//! The headers of tar are blocks of 512 bytes with what they describe behind them. What comes in front of an entry
//! (extended headers, GNU's long names) counts for it and for nothing else.

use std::io::{self, BufRead, ErrorKind, Read};

use tar::{EntryType, GnuExtSparseHeader, Header};

use crate::archive::{ADDED, TREE, XATTR};
use crate::pax;

const BLOCK: usize = 512;
/// Most bytes that come in front of one entry.
const MOST_AHEAD: u64 = 4 << 20;
/// Most extents of a sparse file.
const MOST_EXTENTS: usize = 1 << 20;
/// What a compressed file begins with.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// One more name of a file.
    HardLink,
    /// A named pipe.
    Fifo,
    /// A device, or what nobody knows.
    Other,
}

/// Where a file has bytes: offsets and lengths, in their order.
pub type Extents = Vec<(u64, u64)>;

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// As it was written, without slashes in front and behind.
    pub path: Vec<u8>,
    /// Target of a link.
    pub target: Vec<u8>,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change.
    pub mtime: (i64, u32),
    /// Size of a regular file.
    pub size: u64,
    /// Where it has bytes, as offset and length; `None`: everywhere.
    pub extents: Option<Extents>,
    /// Names and values of extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether it was new, where the layer tells.
    pub added: Option<bool>,
}

/// The entries of a layer.
pub struct Layer<'a> {
    from: Box<dyn BufRead + 'a>,
    /// Bytes of the present entry that nobody has read, and what fills its last block.
    left: u64,
    padding: u64,
    /// Roots of trees that were named so far.
    pub trees: Vec<Vec<u8>>,
}

/// What came in front of an entry.
#[derive(Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Ahead {
    fn record(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_slice())
    }
    fn number<T: std::str::FromStr>(&self, key: &[u8]) -> io::Result<Option<T>> {
        let Some(value) = self.record(key) else { return Ok(None) };
        let value = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        value.map(Some).ok_or_else(|| broken("a number that is none"))
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not a layer: {why}"))
}

impl<'a> Layer<'a> {
    /// A layer in these bytes, compressed or not.
    pub fn new(mut from: impl BufRead + 'a) -> io::Result<Self> {
        let is_compressed = from.fill_buf()?.starts_with(&ZSTD);
        let from: Box<dyn BufRead + 'a> = if is_compressed {
            Box::new(io::BufReader::new(zstd::Decoder::with_buffer(from)?))
        } else {
            Box::new(from)
        };
        Ok(Self { from, left: 0, padding: 0, trees: Vec::new() })
    }

    /// The next entry; `None` at the end. Its bytes are read by [`Layer::read`].
    pub fn next_item(&mut self) -> io::Result<Option<Item>> {
        let mut ahead = Ahead::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.take_on(header.entry_size()?)?;
            match header.entry_type() {
                EntryType::XHeader => {
                    let records = self.all()?;
                    let records = pax::parse(&records).ok_or_else(|| broken("extended headers that are none"))?;
                    ahead.records.extend(records.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
                }
                EntryType::XGlobalHeader => {
                    let records = self.all()?;
                    let records = pax::parse(&records).ok_or_else(|| broken("extended headers that are none"))?;
                    let comments = records.iter().filter(|(key, _)| *key == b"comment");
                    self.trees.extend(comments.filter_map(|(_, text)| text.strip_prefix(TREE)).map(<[u8]>::to_vec));
                }
                EntryType::GNULongName => ahead.path = Some(without_zeros(self.all()?)),
                EntryType::GNULongLink => ahead.target = Some(without_zeros(self.all()?)),
                _ => return self.item(&header, &ahead).map(Some),
            }
        }
    }

    fn item(&mut self, header: &Header, ahead: &Ahead) -> io::Result<Item> {
        if let Some(size) = ahead.number::<u64>(b"size")? {
            self.take_on(size)?;
        }
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::Regular,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Link => Kind::HardLink,
            EntryType::Fifo => Kind::Fifo,
            _ => Kind::Other,
        };
        let name = ahead.record(b"GNU.sparse.name").or(ahead.record(b"path"));
        let path = name.map(<[u8]>::to_vec).or_else(|| ahead.path.clone());
        let target = ahead.record(b"linkpath").map(<[u8]>::to_vec).or_else(|| ahead.target.clone());
        let target = target.or_else(|| header.link_name_bytes().map(|name| name.to_vec()));
        // What follows is part of what counts as its bytes.
        let (size, extents) = self.sparse(header, ahead)?;
        let xattrs = ahead
            .records
            .iter()
            .filter_map(|(key, value)| key.strip_prefix(XATTR).map(|name| (name.to_vec(), value.clone())));
        let is_added = |text: &[u8]| text.starts_with(b"litebox: ").then(|| text == ADDED);
        Ok(Item {
            kind,
            path: trimmed(&path.unwrap_or_else(|| header.path_bytes().to_vec())),
            target: target.unwrap_or_default(),
            mode: header.mode()? & 0o7777,
            uid: ahead.number(b"uid")?.or(u32::try_from(header.uid()?).ok()).ok_or_else(|| broken("an owner"))?,
            gid: ahead.number(b"gid")?.or(u32::try_from(header.gid()?).ok()).ok_or_else(|| broken("a group"))?,
            mtime: match ahead.record(b"mtime") {
                Some(text) => time(text).ok_or_else(|| broken("a time that is none"))?,
                None => (i64::try_from(header.mtime()?).unwrap_or(i64::MAX), 0),
            },
            size,
            extents,
            xattrs: xattrs.collect(),
            added: ahead.record(b"comment").and_then(is_added),
        })
    }

    /// Size of a file, and where it has bytes.
    fn sparse(&mut self, header: &Header, ahead: &Ahead) -> io::Result<(u64, Option<Extents>)> {
        if header.entry_type() == EntryType::GNUSparse {
            return self.old_sparse(header);
        }
        if ahead.record(b"GNU.sparse.major") != Some(b"1") {
            if ahead.records.iter().any(|(key, _)| key.starts_with(b"GNU.sparse.")) {
                return Err(broken("a sparse file of a kind that is not known"));
            }
            return Ok((self.left, None));
        }
        let size = ahead.number(b"GNU.sparse.realsize")?.ok_or_else(|| broken("a sparse file without its size"))?;
        let before = self.left;
        let count = usize::try_from(self.line()?).ok().filter(|count| *count <= MOST_EXTENTS);
        let mut extents = Vec::new();
        for _ in 0..count.ok_or_else(|| broken("too many extents"))? {
            extents.push((self.line()?, self.line()?));
        }
        let fill = (BLOCK as u64 - (before - self.left) % BLOCK as u64) % BLOCK as u64;
        io::copy(&mut self.by_ref().take(fill), &mut io::sink())?;
        self.checked(size, extents)
    }

    /// A number and the end of a line, of what counts as bytes of the file.
    fn line(&mut self) -> io::Result<u64> {
        let mut number = 0u64;
        loop {
            let mut byte = [0];
            self.read_exact(&mut byte)?;
            number = match byte[0] {
                b'\n' => return Ok(number),
                digit @ b'0'..=b'9' => number.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0'))),
                _ => None,
            }
            .ok_or_else(|| broken("an extent that is none"))?;
        }
    }

    fn old_sparse(&mut self, header: &Header) -> io::Result<(u64, Option<Extents>)> {
        let gnu = header.as_gnu().ok_or_else(|| broken("a sparse file of no kind"))?;
        let mut extents = Vec::new();
        let mut add = |entries: &[tar::GnuSparseHeader]| -> io::Result<()> {
            for entry in entries.iter().filter(|entry| !entry.is_empty()) {
                extents.push((entry.offset()?, entry.length()?));
            }
            if extents.len() > MOST_EXTENTS { Err(broken("too many extents")) } else { Ok(()) }
        };
        add(&gnu.sparse)?;
        let mut goes_on = gnu.is_extended();
        while goes_on {
            let mut more = GnuExtSparseHeader::new();
            self.from.read_exact(more.as_mut_bytes())?;
            add(more.sparse())?;
            goes_on = more.is_extended();
        }
        self.checked(gnu.real_size()?, extents)
    }

    /// Extents have to be in their order, in the file, and as long as what is there.
    fn checked(&self, size: u64, extents: Extents) -> io::Result<(u64, Option<Extents>)> {
        let mut reached = 0u64;
        let mut bytes = 0u64;
        for (offset, len) in &extents {
            let end = offset.checked_add(*len).filter(|end| *offset >= reached && *end <= size);
            reached = end.ok_or_else(|| broken("extents that are not in their order"))?;
            bytes += len;
        }
        if bytes > self.left {
            return Err(broken("extents without bytes"));
        }
        Ok((size, Some(extents)))
    }

    /// So many bytes come behind the header.
    fn take_on(&mut self, size: u64) -> io::Result<()> {
        if size > i64::MAX as u64 {
            return Err(broken("a size that is none"));
        }
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(())
    }

    /// Passes over what is left of an entry.
    fn skip(&mut self) -> io::Result<()> {
        let all = self.left + self.padding;
        if io::copy(&mut self.from.by_ref().take(all), &mut io::sink())? < all {
            return Err(broken("it ends too early"));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// All bytes of what comes in front of an entry.
    fn all(&mut self) -> io::Result<Vec<u8>> {
        if self.left > MOST_AHEAD {
            return Err(broken("too much in front of an entry"));
        }
        let mut bytes = Vec::new();
        self.by_ref().take(MOST_AHEAD).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The next header; `None` at the end, which is a block of zeros, or nothing.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            match self.from.read(block.get_mut(have..).unwrap_or_default())? {
                0 if have == 0 => return Ok(None),
                0 => return Err(broken("it ends too early")),
                n => have += n,
            }
        }
        if block == [0; BLOCK] {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        if header.cksum().is_ok_and(|told| told == sum) {
            Ok(Some(header))
        } else {
            Err(broken("a header that is none"))
        }
    }
}

impl Read for Layer<'_> {
    /// Bytes of the present entry.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let n = self.from.read(buffer.get_mut(..most).unwrap_or_default())?;
        if n == 0 && most > 0 {
            return Err(broken("it ends too early"));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

fn without_zeros(mut name: Vec<u8>) -> Vec<u8> {
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
    name
}

/// Without `./` and slashes in front, and slashes behind.
fn trimmed(path: &[u8]) -> Vec<u8> {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"./").or(path.strip_prefix(b"/")).or(path.strip_suffix(b"/")) {
        path = rest;
    }
    if path == b"." { Vec::new() } else { path.to_vec() }
}

/// Seconds with a fraction, as extended headers have them.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (is_before, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    Some(match (is_before, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}
