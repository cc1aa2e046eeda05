//! An open file of the host, used directly through its descriptor.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};
use litebox_common_linux::abi::ioctl::{FIONREAD, TCGETS, TCSETS, TCSETSF, TCSETSW, TIOCGWINSZ};

use super::Streams;
use super::node::HostNode;
use super::streams::PassedStream;
use crate::event::{Events, Observer};
use crate::fs::dev::major_minor;
use crate::fs::{File, FileType, Inode, InodeId, Mapping, Metadata, OpenHow, Seekable, SetAttr, StatFs, Time};
use crate::io::{Dest, Source};
use crate::platform::{HostFd, HostStat, host};
use crate::sync::Mutex;
use crate::{Error, Result};
use litebox_protocol::{MAX_TYPED, TERMIOS_SIZE};

/// `struct winsize` of the host.
const WINSIZE_SIZE: usize = 8;

/// Major number of /dev/null and its kin (mem(4)).
const MEMORY_DEVICES: u32 = 1;

/// Most bytes that are gathered to be appended in one step, when they do not lie together.
const MOST_GATHERED: usize = 1 << 20;

/// A host file behind one descriptor. What the broker opened and has offsets (a regular file, a block device) is read
/// and written at them. A stream (pipe, terminal, socket) blocks in the host, where a signal to the thread interrupts
/// it. The standard streams are streams even when they lead to regular files: their offset is the one the user's other
/// programs share.
pub struct HostFile {
    fd: HostFd,
    /// Who waits for the standard streams, of which it is one; `None`: it is none, and is closed with the last
    /// reference.
    streams: Option<Arc<Streams>>,
    /// It was passed to us later: what closes it.
    passed: Option<Arc<PassedStream>>,
    file_type: FileType,
    /// A stream that has an offset: a regular file, or a device of memory (/dev/null, /dev/zero), whose offset stays 0.
    has_offset: bool,
    inode: Arc<dyn Inode>,
    /// What the inode says of itself is true for ever (an image): no need to ask the host.
    unchanging: bool,
    /// It is the user's terminal, which the broker alone reads and changes.
    terminal: bool,
    /// Somebody opened it since [`HostFile::used_since`] was asked last.
    used: AtomicBool,
    /// How a file that the sandbox may change is appended to.
    appends: Appends,
}

/// Appending is the host's matter, which finds the end and writes in one step: to a descriptor that was opened for that
/// (`O_APPEND`), and that cannot be used to write elsewhere.
#[derive(Default)]
struct Appends {
    /// The file's own descriptor is such a one.
    own: bool,
    /// Who opens the other kind; `None`: nobody does.
    node: Option<Weak<HostNode>>,
    /// A descriptor of the other kind. Locked while it is used to append: the host's offset tells where that was.
    other: Mutex<Option<HostFd>>,
}

/// The inode of a standard stream, which stays open as long as the sandbox lives, or of one that was passed later: what
/// fstat(2) of the descriptor says.
struct HostInode {
    fd: HostFd,
    passed: Option<Arc<PassedStream>>,
    id: InodeId,
    file_type: FileType,
    /// [`HostFile::has_offset`]
    has_offset: bool,
    terminal: bool,
    streams: Arc<Streams>,
}

pub(super) fn metadata_of(stat: &HostStat) -> Metadata {
    let time = |(sec, nsec): (i64, u32)| Time { sec, nsec };
    Metadata {
        id: InodeId { dev: stat.dev, ino: stat.ino },
        mode: stat.mode,
        nlink: u64::from(stat.nlink),
        uid: stat.uid,
        gid: stat.gid,
        rdev: stat.rdev,
        size: stat.size,
        blocks: stat.blocks,
        blksize: stat.blksize,
        atime: time(stat.atime),
        mtime: time(stat.mtime),
        ctime: time(stat.ctime),
        btime: None,
    }
}

impl HostFile {
    /// The standard stream `fd`, which stays open. Errors: those of fstat(2).
    pub fn stream(fd: HostFd, streams: &Arc<Streams>) -> Result<Arc<Self>> {
        Self::stream_of(fd, streams, None)
    }
    /// The stream `fd`, which was passed to the sandbox and is closed with its last user. Errors: those of fstat(2).
    pub fn passed_stream(fd: HostFd, streams: &Arc<Streams>) -> Result<Arc<Self>> {
        Self::stream_of(fd, streams, Some(PassedStream::new(fd, streams)))
    }
    fn stream_of(fd: HostFd, streams: &Arc<Streams>, passed: Option<Arc<PassedStream>>) -> Result<Arc<Self>> {
        let stat = host().host_fstat(fd)?;
        let file_type = FileType::from_mode(stat.mode).ok_or(Error::Invalid)?;
        let id = InodeId { dev: stat.dev, ino: stat.ino };
        let terminal = file_type == FileType::CharDevice && is_terminal(fd);
        let of_memory = file_type == FileType::CharDevice && major_minor(stat.rdev).0 == MEMORY_DEVICES;
        let has_offset = file_type == FileType::Regular || of_memory;
        let inode =
            HostInode { fd, passed: passed.clone(), id, file_type, has_offset, terminal, streams: streams.clone() };
        let inode = Arc::new(inode);
        Ok(Arc::new(Self {
            fd,
            streams: Some(streams.clone()),
            passed,
            file_type,
            has_offset,
            inode,
            unchanging: false,
            terminal,
            used: AtomicBool::new(false),
            appends: Appends::default(),
        }))
    }
    /// A regular file of a granted tree, open behind `fd`, which it owns.
    pub(super) fn of_node(fd: HostFd, inode: Arc<HostNode>, unchanging: bool) -> Arc<Self> {
        Arc::new(Self::build(fd, inode, unchanging, Appends::default()))
    }
    /// As [`HostFile::of_node`], of a file that the sandbox may change; `appends`: it was opened for appending.
    pub(super) fn changeable(fd: HostFd, inode: Arc<HostNode>, appends: bool) -> Arc<Self> {
        let node = Some(Arc::downgrade(&inode));
        Arc::new(Self::build(fd, inode, false, Appends { own: appends, node, other: Mutex::new(None) }))
    }
    fn build(fd: HostFd, inode: Arc<HostNode>, unchanging: bool, appends: Appends) -> Self {
        let (terminal, used) = (false, AtomicBool::new(false));
        let (streams, passed, file_type) = (None, None, FileType::Regular);
        let has_offset = false;
        Self { fd, streams, passed, file_type, has_offset, inode, unchanging, terminal, used, appends }
    }
    /// Its descriptor, which is open as long as it.
    pub(super) fn descriptor(&self) -> HostFd {
        self.fd
    }
}

/// Whether a descriptor leads to a terminal.
pub(crate) fn is_terminal(fd: HostFd) -> bool {
    let mut settings = [0u8; TERMIOS_SIZE];
    // SAFETY: the request writes `struct termios` into kernel memory with room for it.
    unsafe { host().host_ioctl(fd, TCGETS, settings.as_mut_ptr() as usize) }.is_ok()
}

impl HostFile {
    /// Reads what was typed. In the background the sandbox stops for it, as a program of the host would.
    fn read_typed(&self, dest: &mut Dest<'_>) -> Result<usize> {
        let mut typed = [0u8; MAX_TYPED];
        let wanted = dest.remaining().min(typed.len());
        let Some(room) = typed.get_mut(..wanted).filter(|room| !room.is_empty()) else { return Ok(0) };
        let n = host().read_terminal(self.fd, room, true)?;
        dest.put(room.get(..n).unwrap_or_default())
    }
    /// tcsetattr(3), which stops in the background: once it goes on, it is tried again.
    fn set_terminal(&self, arg: usize, when: u32) -> Result<usize> {
        let mut settings = [0u8; TERMIOS_SIZE];
        if Source::user(arg, TERMIOS_SIZE).take(&mut settings)? < TERMIOS_SIZE {
            return Err(Error::Fault);
        }
        match host().set_terminal(self.fd, Some(&settings), when) {
            // As Linux restarts the call.
            Err(Error::WouldBlock) => Err(Error::Interrupted),
            other => other.map(|()| 0),
        }
    }
    /// Reads from `offset`, or from where the host's descriptor is.
    fn read_pieces(&self, dest: &mut Dest<'_>, offset: Option<u64>) -> Result<usize> {
        let mut done = 0;
        while let Some(piece) = dest.piece()? {
            // SAFETY: a piece is checked guest memory, or kernel memory that the cursor borrows.
            let n = unsafe {
                match offset {
                    None => host().host_read(self.fd, piece.addr, piece.len),
                    Some(at) => host().host_pread(self.fd, piece.addr, piece.len, at.saturating_add(done as u64)),
                }
            };
            let Ok(n) = n else { return if done > 0 { Ok(done) } else { n } };
            dest.advance(n);
            done += n;
            if n < piece.len {
                break;
            }
        }
        Ok(done)
    }
    /// The descriptor for appending, or the one for writing elsewhere.
    fn for_writing(&self, append: bool, other: &mut Option<HostFd>) -> Result<HostFd> {
        let Some(node) = self.appends.node.as_ref().filter(|_| append != self.appends.own) else { return Ok(self.fd) };
        if let Some(fd) = *other {
            return Ok(fd);
        }
        let opened = node.upgrade().ok_or(Error::Io)?.open_again(self.fd, append)?;
        Ok(*other.insert(opened))
    }
    /// Writes at the end. What comes in several pieces is gathered, so that nobody else's bytes get between them.
    fn append_pieces(&self, source: &mut Source<'_>) -> Result<(usize, u64)> {
        let mut other = self.appends.other.lock();
        let fd = self.for_writing(true, &mut other)?;
        let (mut done, mut end) = (0, 0);
        while let Some(piece) = source.piece()? {
            let lies_together = piece.len == source.remaining() || piece.len >= MOST_GATHERED;
            let wanted = if lies_together { piece.len } else { source.remaining().min(MOST_GATHERED) };
            let written = if lies_together {
                // SAFETY: a piece is checked guest memory, or kernel memory that the cursor borrows.
                unsafe { host().host_append(fd, piece.addr, piece.len) }
            } else {
                append_gathered(fd, source, wanted)
            };
            match written {
                Ok((n, behind)) => {
                    source.advance(n);
                    (done, end) = (done + n, behind);
                    if n < wanted {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok((done, end))
    }
    /// Writes at `offset`, or where the host's descriptor is.
    fn write_pieces(&self, source: &mut Source<'_>, offset: Option<u64>) -> Result<usize> {
        let fd = match &self.appends {
            Appends { own: true, other, .. } => self.for_writing(false, &mut other.lock())?,
            Appends { own: false, .. } => self.fd,
        };
        let mut done = 0;
        while let Some(piece) = source.piece()? {
            // SAFETY: a piece is checked guest memory, or kernel memory that the cursor borrows.
            let n = unsafe {
                match offset {
                    None => host().host_write(fd, piece.addr, piece.len),
                    Some(at) => host().host_pwrite(fd, piece.addr, piece.len, at.saturating_add(done as u64)),
                }
            };
            let Ok(n) = n else { return if done > 0 { Ok(done) } else { n } };
            source.advance(n);
            done += n;
            if n < piece.len {
                break;
            }
        }
        Ok(done)
    }
    /// It is opened once more.
    pub(super) fn note_use(&self) {
        self.used.store(true, Ordering::Relaxed);
    }
    /// Whether it was opened since the last question.
    pub(super) fn used_since(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

/// Appends the next `wanted` bytes, which lie in several pieces, in one step; fewer where the guest's memory ends.
fn append_gathered(fd: HostFd, source: &Source<'_>, wanted: usize) -> Result<(usize, u64)> {
    let mut gathered = Vec::new();
    gathered.try_reserve_exact(wanted).map_err(|_| Error::NoMemory)?;
    gathered.resize(wanted, 0);
    let len = source.peek(&mut gathered)?;
    // SAFETY: the buffer holds at least `len` bytes.
    unsafe { host().host_append(fd, gathered.as_ptr() as usize, len) }
}

impl Seekable for HostFile {
    fn seek(&self, offset: i64, whence: i32) -> Result<u64> {
        host().host_seek(self.fd, offset, whence)
    }
    fn pread(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        self.read_pieces(dest, Some(offset))
    }
    fn pwrite(&self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        self.write_pieces(source, Some(offset))
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        if self.streams.is_none() && self.passed.is_none() {
            host().host_close(self.fd);
        }
        if let Some(node) = self.appends.node.as_ref().and_then(Weak::upgrade) {
            node.closed();
        }
        if let Some(other) = self.appends.other.get_mut().take() {
            host().host_close(other);
        }
    }
}

impl Inode for HostInode {
    fn id(&self) -> InodeId {
        self.id
    }
    fn file_type(&self) -> FileType {
        self.file_type
    }
    fn metadata(&self) -> Result<Metadata> {
        host().host_fstat(self.fd).map(|stat| metadata_of(&stat))
    }
    fn open(self: Arc<Self>, how: &OpenHow) -> Result<Arc<dyn File>> {
        // Another way to a standard stream (/dev/stdin). The host opens nothing anew, so the offset is the stream's.
        if how.truncate && self.file_type == FileType::Regular {
            host().host_truncate(self.fd, 0)?;
        }
        let streams = Some(self.streams.clone());
        Ok(Arc::new(HostFile {
            fd: self.fd,
            streams,
            passed: self.passed.clone(),
            file_type: self.file_type,
            has_offset: self.has_offset,
            terminal: self.terminal,
            inode: self,
            unchanging: false,
            used: AtomicBool::new(false),
            appends: Appends::default(),
        }))
    }
    fn stat_fs(&self) -> Result<StatFs> {
        Err(Error::NotImplemented)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl File for HostFile {
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn metadata(&self) -> Result<Metadata> {
        if self.unchanging {
            return self.inode.metadata();
        }
        // Of the open file, whatever became of its name.
        let stat = host().host_fstat(self.fd)?;
        Ok(Metadata { id: self.inode.id(), ..metadata_of(&stat) })
    }
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        let SetAttr { size: Some(size), .. } = *attr else { return self.inode.set_attr(attr) };
        host().host_truncate(self.fd, size)?;
        let rest = SetAttr { size: None, ..*attr };
        if rest == SetAttr::default() { Ok(()) } else { self.inode.set_attr(&rest) }
    }
    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64> {
        // The host's offset of the descriptor is nobody's: all transfers name theirs.
        let offset = i64::try_from(offset).map_err(|_| Error::NoSuchDevice)?;
        host().host_seek(self.fd, offset, if hole { 4 } else { 3 })
    }
    fn allocate(&self, mode: i32, offset: u64, len: u64) -> Result<()> {
        host().host_fallocate(self.fd, mode, offset, len)
    }
    fn sync(&self, _data_only: bool) -> Result<()> {
        host().host_sync(self.fd)
    }
    fn is_stream(&self) -> bool {
        self.streams.is_some() || !matches!(self.file_type, FileType::Regular | FileType::BlockDevice)
    }
    fn stream_position(&self) -> Option<u64> {
        let regular = self.streams.is_some() && self.file_type == FileType::Regular;
        if regular { host().host_seek(self.fd, 0, 1).ok() } else { None }
    }
    fn as_seekable(&self) -> Option<&dyn Seekable> {
        if self.has_offset { Some(self) } else { None }
    }
    fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        if self.terminal {
            return self.read_typed(dest);
        }
        self.read_pieces(dest, (!self.is_stream()).then_some(offset))
    }
    fn write_at(&self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        self.write_pieces(source, (!self.is_stream()).then_some(offset))
    }
    fn append(&self, source: &mut Source<'_>) -> Result<(usize, u64)> {
        self.append_pieces(source)
    }
    /// The requests that the boundary lets through. Input that nobody typed (TIOCSTI) is refused as Linux refuses it by
    /// default since 6.2.
    fn ioctl(&self, request: u32, arg: usize) -> Result<usize> {
        let len = match (self.file_type, request) {
            (_, TCSETS | TCSETSW | TCSETSF) if self.terminal => return self.set_terminal(arg, request - TCSETS),
            (FileType::CharDevice, TCGETS) => TERMIOS_SIZE,
            (FileType::CharDevice, TIOCGWINSZ) => WINSIZE_SIZE,
            (FileType::CharDevice | FileType::Fifo | FileType::Socket, FIONREAD) => size_of::<i32>(),
            _ => return Err(Error::NotTerminal),
        };
        if !host().is_user_range(arg, len) {
            return Err(Error::Fault);
        }
        // SAFETY: the request reads or writes `len` bytes there, which is guest memory.
        unsafe { host().host_ioctl(self.fd, request, arg) }
    }
    fn mapping(&self) -> Result<Mapping> {
        match self.file_type {
            FileType::Regular => Ok(Mapping::Host { fd: self.fd, fixed: self.unchanging }),
            _ => Err(Error::NoDevice),
        }
    }
    fn ready(&self) -> Events {
        let wanted = Events::IN | Events::OUT | Events::PRI;
        host()
            .host_poll(self.fd, wanted.bits() as u16)
            .map_or(Events::ERR, |bits| Events::from_bits_truncate(bits.into()))
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.streams.as_ref().is_some_and(|streams| streams.observe(self.fd, observer, interest))
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        if let Some(streams) = &self.streams {
            streams.unobserve(self.fd, observer);
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
