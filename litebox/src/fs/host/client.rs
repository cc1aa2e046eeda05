//! Typed requests to the broker about one grant. Replies are not trusted to be well-formed: what does not fit is an I/O
//! error.

use alloc::sync::Arc;
use alloc::vec::Vec;

use zerocopy::{FromBytes, IntoBytes};

use crate::fs::{DirEntry, FileType, StatFs, XattrFlags};
use crate::platform::{GrantId, HostFd, HostStat, host};
use crate::sync::Mutex;
use crate::{Error, Result};
use litebox_protocol::{
    Beside, FsStat, GrantInfo, ListFlags, ListRecord, MAX_PATH, MAX_REPLY, Op, OpenFlags, Reply, Request, Stat,
    WalkFlags,
};

/// The way to the broker for one grant.
pub(super) struct Client {
    grant: GrantId,
    /// The sandbox may not change the tree: requests that read can be served beside others.
    read_only: bool,
    /// For requests and replies, those that nobody uses; shared by the clients of all grants.
    buffers: Arc<Mutex<Vec<Buffers>>>,
}

/// Buffers that are kept: at most so many requests are under way at a time.
const MOST_BUFFERS: usize = 2;

#[derive(Default)]
pub(super) struct Buffers {
    request: Vec<u8>,
    reply: Vec<u8>,
}

/// A grant, as the broker describes it.
#[derive(Clone)]
pub struct Granted {
    pub(super) info: GrantInfo,
    /// Metadata of its root.
    pub(super) root: Stat,
    pub(super) buffers: Arc<Mutex<Vec<Buffers>>>,
}

/// All that is granted, in the order of grant numbers, from what the broker says of it at the start: for each a
/// [`GrantInfo`] and the [`Stat`] of its root.
pub fn grants(mut described: &[u8]) -> Result<Vec<Granted>> {
    let buffers = Arc::<Mutex<Vec<Buffers>>>::default();
    let mut granted = Vec::new();
    while !described.is_empty() {
        let (info, root) = (take(&mut described)?, take(&mut described)?);
        granted.push(Granted { info, root, buffers: buffers.clone() });
    }
    Ok(granted)
}

/// What a request is about.
#[derive(Clone, Copy)]
pub(super) enum Subject<'s> {
    /// What has this path.
    Path(&'s [u8]),
    /// The open file, whatever became of its names.
    Open(HostFd),
}

impl<'s> Subject<'s> {
    fn parts(self) -> (&'s [u8], Option<HostFd>) {
        match self {
            Self::Path(path) => (path, None),
            Self::Open(fd) => (b"", Some(fd)),
        }
    }
}

impl<'s> From<&'s [u8]> for Subject<'s> {
    fn from(path: &'s [u8]) -> Self {
        Self::Path(path)
    }
}

/// What a walk found.
pub(super) struct Walked {
    /// Metadata of the directory that the known components lead to, if it was asked for.
    pub(super) known: Option<Stat>,
    /// One for each component found.
    pub(super) stats: Vec<Stat>,
    /// Target of the link at which the walk ended.
    pub(super) target: Option<Vec<u8>>,
    /// Why the component after those was not found.
    pub(super) stop: Option<Error>,
    /// The file the whole path leads to, when it was asked for and could be opened.
    pub(super) opened: Option<HostFd>,
    /// Watches of the directories in which components were looked up.
    pub(super) watches: Vec<i32>,
}

/// What is wanted of a directory's entries.
#[derive(Clone, Copy)]
pub(super) enum ListWish {
    /// Names and types.
    Names,
    /// These, and the metadata of directories.
    NamesForWalking,
    /// The metadata of each, too.
    Metadata,
    /// The metadata of directories, and of all when there are at most so many entries.
    MetadataIfFew(u32),
    /// All entries and their metadata, or none when there are more than so many.
    OnlyFew(u32),
    /// All entries without metadata, or none when there are more than so many.
    OnlyFewNames(u32),
    /// As `MetadataIfFew`, of a directory that is watched from before.
    Watched(u32),
    /// As `OnlyFew`, of a directory that is watched from before.
    WatchedOnlyFew(u32),
}

impl ListWish {
    /// As it stands in a request.
    fn coded(self) -> (ListFlags, u32) {
        match self {
            Self::Names => (ListFlags::empty(), 0),
            Self::Metadata => (ListFlags::STAT, 0),
            Self::NamesForWalking => (ListFlags::STAT_OF_DIRECTORIES, 0),
            Self::MetadataIfFew(most) => {
                (ListFlags::STAT | ListFlags::STAT_IF_FEW | ListFlags::STAT_OF_DIRECTORIES, most)
            }
            Self::Watched(most) => (ListFlags::STAT | ListFlags::STAT_IF_FEW | ListFlags::WATCH, most),
            Self::WatchedOnlyFew(most) => {
                (ListFlags::STAT | ListFlags::STAT_IF_FEW | ListFlags::ONLY_FEW | ListFlags::WATCH, most)
            }
            Self::OnlyFew(most) => (ListFlags::STAT | ListFlags::STAT_IF_FEW | ListFlags::ONLY_FEW, most),
            Self::OnlyFewNames(most) => (ListFlags::ONLY_FEW, most),
        }
    }
}

impl From<&Stat> for HostStat {
    fn from(stat: &Stat) -> Self {
        Self {
            dev: stat.dev,
            ino: stat.ino,
            mode: stat.mode,
            nlink: stat.nlink,
            uid: stat.uid,
            gid: stat.gid,
            rdev: stat.rdev,
            size: stat.size,
            blocks: stat.blocks,
            blksize: stat.blksize,
            atime: (stat.atime_sec, stat.atime_nsec),
            mtime: (stat.mtime_sec, stat.mtime_nsec),
            ctime: (stat.ctime_sec, stat.ctime_nsec),
        }
    }
}

/// Who gets the entries of a directory.
pub(super) trait Sink {
    /// So many come now, with names of so many bytes in all, and metadata of so many.
    fn expect(&mut self, _entries: usize, _names: usize, _stats: usize) {}
    /// One entry; `false`: no more are wanted.
    fn entry(&mut self, entry: DirEntry<'_>, stat: Option<Stat>) -> bool;
    /// What is known of a directory beside it comes now.
    fn beside(&mut self, _directory: BesideTold) {}
}

impl<F: FnMut(DirEntry<'_>) -> bool> Sink for F {
    fn entry(&mut self, entry: DirEntry<'_>, _stat: Option<Stat>) -> bool {
        self(entry)
    }
}

/// A directory beside the one that is listed.
pub(super) struct BesideTold {
    /// Which of those that were named.
    pub(super) which: usize,
    /// Its metadata and the number of its watch, if it was to be watched.
    pub(super) directory: Option<(Stat, i32)>,
    /// All its entries come now.
    pub(super) is_told: bool,
}

/// A piece of a listing.
pub(super) struct ListPiece {
    /// Metadata of the directory and the number of its watch, if it was to be watched.
    pub(super) directory: Option<(Stat, i32)>,
    /// Whether there are no more entries.
    pub(super) end: bool,
    /// Whether whoever got the entries wants more.
    pub(super) wanted: bool,
}

struct ReplyBody<'b> {
    head: Reply,
    body: &'b [u8],
    fd: Option<HostFd>,
}

/// No answer to this request is longer.
fn longest_reply(head: &Request, path: &[u8]) -> usize {
    const FIXED: usize = size_of::<Reply>() + size_of::<Stat>() + size_of::<FsStat>();
    match Op::from_number(head.op) {
        Some(Op::List | Op::GetXattr | Op::ListXattr) => MAX_REPLY,
        // A record for each component, and one target.
        Some(Op::Walk) => {
            let components = path.split(|b| *b == b'/').count();
            (FIXED + components * (size_of::<Stat>() + size_of::<i32>()) + size_of::<i32>() + MAX_PATH).min(MAX_REPLY)
        }
        _ => FIXED,
    }
}

/// The number of a watch as a reply has it; 0: none.
fn watch_number(told: u32) -> i32 {
    i32::try_from(told).unwrap_or(0)
}

fn take<T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable>(body: &mut &[u8]) -> Result<T> {
    let (value, rest) = T::read_from_prefix(body).map_err(|_| Error::Io)?;
    *body = rest;
    Ok(value)
}

fn take_entry<'b>(body: &mut &'b [u8]) -> Result<(DirEntry<'b>, Option<Stat>)> {
    let before = body.len();
    let entry: ListRecord = take(body)?;
    let stat = if entry.has_stat == 1 { Some(take::<Stat>(body)?) } else { None };
    let (name, rest) = body.split_at_checked(entry.name_len.into()).ok_or(Error::Io)?;
    let used = before - rest.len();
    *body = rest.get(used.next_multiple_of(8) - used..).ok_or(Error::Io)?;
    let file_type = FileType::from_mode(u32::from(entry.kind) << 12).unwrap_or(FileType::Regular);
    Ok((DirEntry { name, ino: entry.ino, file_type, next: entry.next }, stat))
}

/// Hands `count` entries to `sink`; `false`: it wants no more.
fn take_entries(count: u32, body: &mut &[u8], sink: &mut dyn Sink) -> Result<bool> {
    let (mut ahead, mut names, mut stats) = (*body, 0, 0);
    for _ in 0..count {
        let (entry, stat) = take_entry(&mut ahead)?;
        names += entry.name.len();
        stats += usize::from(stat.is_some());
    }
    sink.expect(count as usize, names, stats);
    for _ in 0..count {
        let (entry, stat) = take_entry(body)?;
        if !sink.entry(entry, stat) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Client {
    pub(super) fn new(grant: GrantId, granted: &Granted) -> Self {
        Self { grant, read_only: granted.info.access != 1, buffers: granted.buffers.clone() }
    }

    /// Sends a request and hands the reply to `read`. A descriptor that `read` does not take is closed. Most replies
    /// are small, and memory that is asked for costs time even if nothing is written there.
    fn ask<'s, T>(
        &self,
        mut head: Request,
        subject: impl Into<Subject<'s>>,
        extra: &[u8],
        read: impl FnOnce(&mut ReplyBody<'_>) -> Result<T>,
    ) -> Result<T> {
        let (path, file) = subject.into().parts();
        if path.len() > MAX_PATH {
            return Err(Error::NameTooLong);
        }
        head.grant = self.grant.0;
        head.path_len = u32::try_from(path.len()).map_err(|_| Error::NameTooLong)?;
        head.extra_len = u32::try_from(extra.len()).map_err(|_| Error::TooBig)?;
        // Taken out while in use: `read` may do anything, another request included.
        let mut buffers = self.buffers.lock().pop().unwrap_or_default();
        let outcome = self.exchange(&mut buffers, &head, (path, file), extra, read);
        let mut kept = self.buffers.lock();
        if kept.len() < MOST_BUFFERS {
            kept.push(buffers);
        }
        outcome
    }

    fn exchange<T>(
        &self,
        Buffers { request, reply }: &mut Buffers,
        head: &Request,
        (path, file): (&[u8], Option<HostFd>),
        extra: &[u8],
        read: impl FnOnce(&mut ReplyBody<'_>) -> Result<T>,
    ) -> Result<T> {
        request.clear();
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(path);
        request.extend_from_slice(extra);
        reply.clear();
        reply.reserve_exact(longest_reply(head, path));
        // The socket for readers takes no descriptors.
        let op = Op::from_number(head.op).filter(|op| file.is_none() && op.reads());
        let reads = op.is_some_and(|op| self.read_only || op == Op::List);
        let fd = host().broker_call(request, file, reply, reads)?;
        let mut body = reply.as_slice();
        let head: Reply = take(&mut body)?;
        let mut body = ReplyBody { head, body, fd };
        let outcome = if head.error == 0 { read(&mut body) } else { Err(Error::from_errno(head.error)) };
        if let Some(unused) = body.fd.take() {
            host().host_close(unused);
        }
        outcome
    }

    fn stat_of<'s>(&self, head: Request, subject: impl Into<Subject<'s>>, extra: &[u8]) -> Result<Stat> {
        self.ask(head, subject, extra, |a| take(&mut a.body))
    }

    fn nothing<'s>(&self, head: Request, subject: impl Into<Subject<'s>>, extra: &[u8]) -> Result<()> {
        self.ask(head, subject, extra, |_| Ok(()))
    }

    /// Looks up the components of `path` behind the first `known`.
    pub(super) fn walk(&self, path: &[u8], known: usize, how: WalkFlags) -> Result<Walked> {
        let head = Request { op: Op::Walk as u32, value: known as u64, flags: how.bits(), ..Request::default() };
        self.ask(head, path, b"", |a| {
            let known = if how.contains(WalkFlags::STAT_KNOWN) { Some(take::<Stat>(&mut a.body)?) } else { None };
            let mut stats = Vec::new();
            for _ in 0..a.head.count {
                stats.push(take::<Stat>(&mut a.body)?);
            }
            let is_link = stats.last().is_some_and(|s| FileType::from_mode(s.mode) == Some(FileType::Symlink));
            let target = if is_link && a.head.stop == 0 {
                let len = usize::try_from(a.head.value).map_err(|_| Error::Io)?;
                let (target, rest) = a.body.split_at_checked(len).ok_or(Error::Io)?;
                a.body = rest;
                Some(target.to_vec())
            } else {
                None
            };
            let number = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_ne_bytes);
            let watches = a.body.chunks_exact(size_of::<i32>()).map(number).collect();
            let stop = i32::try_from(a.head.stop).map_err(|_| Error::Io)?;
            let stop = (stop != 0).then(|| Error::from_errno(stop));
            Ok(Walked { known, stats, target, stop, opened: a.fd.take(), watches })
        })
    }

    /// The queue in which changes of the watched directories come, and the number of the watch whose events are marks.
    pub(super) fn changes(&self) -> Result<(HostFd, i32)> {
        self.ask(Request { op: Op::Changes as u32, ..Request::default() }, b"".as_slice(), b"", |a| {
            let mark = i32::try_from(a.head.value).map_err(|_| Error::Io)?;
            Ok((a.fd.take().ok_or(Error::TooManyFilesInSystem)?, mark))
        })
    }

    /// Lowers the flag of that queue; where it is.
    pub(super) fn lower_flag(&self) -> Result<u64> {
        self.ask(Request { op: Op::LowerFlag as u32, ..Request::default() }, b"".as_slice(), b"", |a| Ok(a.head.value))
    }

    /// Opens a regular file.
    pub(super) fn open(&self, subject: Subject<'_>, flags: OpenFlags) -> Result<(Stat, HostFd)> {
        self.opened(Request { op: Op::Open as u32, flags: flags.bits(), ..Request::default() }, subject)
    }
    /// Makes a regular file and opens it.
    pub(super) fn create(&self, path: &[u8], how: OpenFlags, (mode, umask): (u32, u32)) -> Result<(Stat, HostFd)> {
        let head = Request { op: Op::Open as u32, flags: how.bits(), mode, value: umask.into(), ..Request::default() };
        self.opened(head, Subject::Path(path))
    }
    /// Makes a regular file without a name where the directory at `path` lies.
    pub(super) fn temporary(&self, path: &[u8], (mode, umask): (u32, u32), linkable: bool) -> Result<(Stat, HostFd)> {
        let (op, flags) = (Op::Temporary as u32, u32::from(!linkable));
        let head = Request { op, flags, mode, value: umask.into(), ..Request::default() };
        self.opened(head, Subject::Path(path))
    }
    fn opened(&self, head: Request, subject: Subject<'_>) -> Result<(Stat, HostFd)> {
        self.ask(head, subject, b"", |a| {
            let stat = take(&mut a.body)?;
            // The host could not carry the descriptor, or we cannot have another one: both are limits of more than one
            // process.
            Ok((stat, a.fd.take().ok_or(Error::TooManyFilesInSystem)?))
        })
    }

    /// Entries of a directory from `cookie` on, as many as fit into one message, until `sink` says `false`. Then those
    /// of the directories `beside` it (names, each ended by a zero byte), when all of its own are told with their
    /// metadata.
    pub(super) fn list(
        &self,
        path: &[u8],
        cookie: u64,
        wanted: ListWish,
        beside: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<ListPiece> {
        let (flags, mode) = wanted.coded();
        let head = Request { op: Op::List as u32, value: cookie, flags: flags.bits(), mode, ..Request::default() };
        self.ask(head, path, beside, |a| {
            let watched = flags.contains(ListFlags::WATCH);
            let directory = if watched { Some((take::<Stat>(&mut a.body)?, watch_number(a.head.watch))) } else { None };
            if !take_entries(a.head.count, &mut a.body, sink)? {
                return Ok(ListPiece { directory, end: false, wanted: false });
            }
            for _ in 0..a.head.value {
                let next: Beside = take(&mut a.body)?;
                let directory =
                    if watched { Some((take::<Stat>(&mut a.body)?, watch_number(next.watch))) } else { None };
                sink.beside(BesideTold { which: next.which as usize, directory, is_told: next.is_told == 1 });
                if !take_entries(next.count, &mut a.body, sink)? {
                    return Err(Error::Io);
                }
            }
            Ok(ListPiece { directory, end: a.head.stop == 1, wanted: true })
        })
    }

    /// Makes a directory. Its metadata and, with `watch`, the number of its watch, and whether it was empty after that.
    pub(super) fn mkdir(&self, path: &[u8], (mode, umask): (u32, u32), watch: bool) -> Result<(Stat, i32, bool)> {
        let (op, flags) = (Op::Mkdir as u32, watch.into());
        let head = Request { op, mode, flags, value: umask.into(), ..Request::default() };
        self.ask(head, path, b"", |a| Ok((take(&mut a.body)?, watch_number(a.head.watch), a.head.value == 1)))
    }
    pub(super) fn mknod(&self, path: &[u8], (mode, umask): (u32, u32)) -> Result<Stat> {
        let head = Request { op: Op::Mknod as u32, mode, value: umask.into(), ..Request::default() };
        self.stat_of(head, path, b"")
    }
    pub(super) fn symlink(&self, path: &[u8], target: &[u8]) -> Result<Stat> {
        self.stat_of(Request { op: Op::Symlink as u32, ..Request::default() }, path, target)
    }
    pub(super) fn unlink(&self, path: &[u8]) -> Result<()> {
        self.nothing(Request { op: Op::Unlink as u32, ..Request::default() }, path, b"")
    }
    pub(super) fn rmdir(&self, path: &[u8]) -> Result<()> {
        self.nothing(Request { op: Op::Rmdir as u32, ..Request::default() }, path, b"")
    }
    pub(super) fn rename(&self, old: &[u8], new: &[u8], flags: u32) -> Result<()> {
        self.nothing(Request { op: Op::Rename as u32, flags, ..Request::default() }, old, new)
    }
    pub(super) fn link(&self, old: Subject<'_>, new: &[u8]) -> Result<()> {
        self.nothing(Request { op: Op::Link as u32, ..Request::default() }, old, new)
    }
    /// `head` says what changes. The metadata afterwards, and whether a mark stands before that in the queue of
    /// changes.
    pub(super) fn set_attr(&self, subject: Subject<'_>, head: Request) -> Result<(Stat, bool)> {
        self.ask(Request { op: Op::SetAttr as u32, ..head }, subject, b"", |a| {
            Ok((take(&mut a.body)?, a.head.value == 1))
        })
    }
    pub(super) fn get_xattr(&self, subject: Subject<'_>, name: &[u8]) -> Result<Vec<u8>> {
        self.bytes(Op::GetXattr, subject, name)
    }
    pub(super) fn list_xattr(&self, subject: Subject<'_>) -> Result<Vec<u8>> {
        self.bytes(Op::ListXattr, subject, b"")
    }
    fn bytes(&self, op: Op, subject: Subject<'_>, extra: &[u8]) -> Result<Vec<u8>> {
        self.ask(Request { op: op as u32, ..Request::default() }, subject, extra, |a| {
            let len = usize::try_from(a.head.value).map_err(|_| Error::Io)?;
            a.body.get(..len).map(<[u8]>::to_vec).ok_or(Error::Io)
        })
    }
    pub(super) fn set_xattr(&self, subject: Subject<'_>, name: &[u8], value: &[u8], how: XattrFlags) -> Result<()> {
        let extra = [name, value].join(&0);
        self.nothing(
            Request { op: Op::SetXattr as u32, flags: how.bits() as u32, ..Request::default() },
            subject,
            &extra,
        )
    }
    pub(super) fn remove_xattr(&self, subject: Subject<'_>, name: &[u8]) -> Result<()> {
        self.nothing(Request { op: Op::RemoveXattr as u32, ..Request::default() }, subject, name)
    }
    pub(super) fn stat_fs(&self, path: &[u8]) -> Result<StatFs> {
        let s: FsStat =
            self.ask(Request { op: Op::StatFs as u32, ..Request::default() }, path, b"", |a| take(&mut a.body))?;
        Ok(StatFs {
            magic: s.magic,
            block_size: s.block_size,
            blocks: s.blocks,
            free: s.free,
            available: s.available,
            files: s.files,
            files_free: s.files_free,
            name_max: s.name_max,
        })
    }
}
