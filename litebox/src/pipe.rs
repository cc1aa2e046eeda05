//! Pipes: anonymous ones and the named ones behind fifos.
//!
//! A [`Pipe`] is a ring of pages and the count of those who have it open. A [`PipeEnd`] is an open file of it: for
//! reading, for writing, or (a fifo) for both. Opening a fifo waits for the other side: the end is counted as open from
//! the start, and [`PipeEnd::meets_partner`] says when somebody came.

mod budget;
mod ring;
mod transfer;

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};
use litebox_common_linux::abi::ioctl::FIONREAD;

use crate::event::{Events, Observer, WaitQueue};
use crate::fs::{
    Access, File, FileType, Inode, InodeId, Metadata, OpenHow, SetAttr, SetTime, StatFs, StatusFlags, Time,
};
use crate::io::{Dest, Source};
use crate::mm::PAGE;
use crate::platform::host;
use crate::sync::Mutex;
use crate::{Error, Result};

pub use budget::Budgets;
pub use transfer::Pages;

use budget::Share;
use ring::Ring;

/// Device number that pipes without a name show.
const PIPE_DEV: u64 = 0xd;
const PIPEFS_MAGIC: u64 = 0x5049_5045;
/// Pages a pipe can hold at first.
const DEFAULT_PAGES: usize = 16;
/// The most a pipe may be made to hold (Linux's /proc/sys/fs/pipe-max-size).
pub const MOST_BYTES: usize = 1 << 20;

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);

struct PipeState {
    ring: Ring,
    readers: u32,
    writers: u32,
    /// How often it was opened for reading and for writing, so that who waits for the other side sees even one that
    /// came and went.
    read_opens: u32,
    write_opens: u32,
}

/// What lies between the ends.
pub struct Pipe {
    state: Mutex<PipeState>,
    /// Those who wait for bytes.
    readable: WaitQueue,
    /// Those who wait for room.
    writable: WaitQueue,
    /// What it has of its owner's budget; of a fifo, nothing.
    share: Option<Share>,
}

/// An open file of a pipe.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    inode: Arc<dyn Inode>,
    access: Access,
    /// Each write makes a packet (`O_DIRECT`).
    packets: AtomicBool,
    /// Opened without waiting: the writers of before do not make it hung up.
    known_writers: u32,
    /// Waiting for the other side: how often that was opened when this one was.
    awaits: Option<u32>,
}

impl Pipe {
    /// The empty pipe of a fifo that nobody has open.
    pub fn new() -> Arc<Self> {
        Self::with(None)
    }
    fn with(share: Option<Share>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(PipeState {
                ring: Ring::new(share.as_ref().map_or(DEFAULT_PAGES, Share::pages)),
                readers: 0,
                writers: 0,
                read_opens: 0,
                write_opens: 0,
            }),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
            share,
        })
    }

    /// Both ends of a new pipe without a name, `owner`'s (user and group); the first is for reading. `ino` is unique in
    /// the sandbox.
    pub fn pair(budgets: &Arc<Budgets>, ino: u64, owner: (u32, u32)) -> Result<(Arc<PipeEnd>, Arc<PipeEnd>)> {
        let pipe = Self::with(Some(budgets.share(owner.0)?));
        let inode = PipeInode::new(ino, owner, pipe.clone());
        let end = |access| pipe.open(inode.clone(), &OpenHow { access, ..OpenHow::default() }, false);
        Ok((end(Access::READ)?, end(Access::WRITE)?))
    }

    /// One more open file. `inode` is what it shows; `named`: a fifo, whose openers wait for each other.
    ///
    /// Errors: `NoSuchDevice` for a writer of a fifo that does not want to wait for readers, `Invalid` for neither
    /// reading nor writing.
    pub fn open(self: &Arc<Self>, inode: Arc<dyn Inode>, how: &OpenHow, named: bool) -> Result<Arc<PipeEnd>> {
        let (reads, writes) = (how.access.contains(Access::READ), how.access.contains(Access::WRITE));
        if !reads && !writes {
            return Err(Error::Invalid);
        }
        let mut state = self.state.lock();
        let one_sided = named && reads != writes;
        if one_sided && writes && how.nonblocking && state.readers == 0 {
            return Err(Error::NoSuchDevice);
        }
        let mut awaits = None;
        if one_sided && !how.nonblocking {
            awaits = match () {
                () if reads && state.writers == 0 => Some(state.write_opens),
                () if writes && state.readers == 0 => Some(state.read_opens),
                () => None,
            };
        }
        let known_writers = if one_sided && reads && how.nonblocking { state.write_opens } else { 0 };
        if reads {
            state.readers += 1;
            state.read_opens = state.read_opens.wrapping_add(1);
        }
        if writes {
            state.writers += 1;
            state.write_opens = state.write_opens.wrapping_add(1);
        }
        drop(state);
        if named {
            self.readable.notify(READABLE);
            self.writable.notify(WRITABLE);
        }
        Ok(Arc::new(PipeEnd {
            pipe: self.clone(),
            inode,
            access: how.access,
            packets: AtomicBool::new(false),
            known_writers,
            awaits,
        }))
    }
}

impl PipeEnd {
    /// Whether opening is done: `WouldBlock` while a fifo has nobody on the other side. [`File::observe`] tells of a
    /// change.
    pub fn meets_partner(&self) -> Result<()> {
        let Some(before) = self.awaits else { return Ok(()) };
        let state = self.pipe.state.lock();
        let now = if self.access.contains(Access::READ) { state.write_opens } else { state.read_opens };
        if now == before { Err(Error::WouldBlock) } else { Ok(()) }
    }
    fn reads(&self) -> bool {
        self.access.contains(Access::READ)
    }
    fn writes(&self) -> bool {
        self.access.contains(Access::WRITE)
    }
}

impl File for PipeEnd {
    fn signals_owner(&self) -> bool {
        true
    }
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        if dest.remaining() == 0 {
            return Ok(0);
        }
        let mut state = self.pipe.state.lock();
        if state.ring.is_empty() {
            return if state.writers == 0 { Ok(0) } else { Err(Error::WouldBlock) };
        }
        let was_full = state.ring.is_full();
        let n = {
            let (state, mark) = state.with_mark();
            state.ring.read(dest, &mark)?
        };
        let has_room = was_full && !state.ring.is_full();
        drop(state);
        if has_room {
            self.pipe.writable.notify(WRITABLE);
        }
        Ok(n)
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        if source.remaining() == 0 {
            return Ok(0);
        }
        let mut state = self.pipe.state.lock();
        if state.readers == 0 {
            return Err(Error::BrokenPipe);
        }
        let n = {
            let (state, mark) = state.with_mark();
            state.ring.write(source, self.makes_packets(), &mark)?
        };
        drop(state);
        self.pipe.readable.notify(READABLE);
        Ok(n)
    }
    fn ready(&self) -> Events {
        let state = self.pipe.state.lock();
        let mut events = Events::empty();
        if self.reads() {
            events.set(READABLE, !state.ring.is_empty());
            events.set(Events::HUP, state.writers == 0 && state.write_opens != self.known_writers);
        }
        if self.writes() {
            events.set(WRITABLE, !state.ring.is_full());
            events.set(Events::ERR, state.readers == 0);
        }
        events
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        if self.reads() {
            self.pipe.readable.add(observer, interest);
        }
        if self.writes() {
            self.pipe.writable.add(observer, interest);
        }
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        if self.reads() {
            self.pipe.readable.remove(observer);
        }
        if self.writes() {
            self.pipe.writable.remove(observer);
        }
    }
    fn ioctl(&self, request: u32, arg: usize) -> Result<usize> {
        if request != FIONREAD {
            return Err(Error::NotTerminal);
        }
        let bytes = i32::try_from(self.pipe.state.lock().ring.len()).unwrap_or(i32::MAX).to_ne_bytes();
        let copied = host().copy_to_user(arg, &bytes);
        if copied == bytes.len() { Ok(0) } else { Err(Error::Fault) }
    }
    fn set_status(&self, flags: StatusFlags) -> Result<()> {
        self.packets.store(flags.contains(StatusFlags::DIRECT), Ordering::Relaxed);
        Ok(())
    }
    fn pipe_size(&self) -> Result<usize> {
        Ok(self.pipe.state.lock().ring.limit() * PAGE)
    }
    fn set_pipe_size(&self, size: usize) -> Result<usize> {
        let size = size.max(PAGE).checked_next_power_of_two().ok_or(Error::Invalid)?;
        if size > MOST_BYTES {
            return Err(Error::NotPermitted);
        }
        let mut state = self.pipe.state.lock();
        let was_full = state.ring.is_full();
        let before = state.ring.limit();
        state.ring.resize(size / PAGE)?;
        if let Some(Err(error)) = self.pipe.share.as_ref().map(|share| share.resize(size / PAGE)) {
            // It was to grow: nothing came in meanwhile.
            state.ring.resize(before)?;
            return Err(error);
        }
        drop(state);
        if was_full {
            self.pipe.writable.notify(WRITABLE);
        }
        Ok(size)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let Some(mut state) = self.pipe.state.lock_if_whole() else {
            // A process was killed that was changing it, this one most often. Whoever waits for the pipe sees for
            // himself.
            self.pipe.readable.notify(READABLE | Events::HUP);
            self.pipe.writable.notify(WRITABLE | Events::ERR);
            return;
        };
        state.readers -= u32::from(self.reads());
        state.writers -= u32::from(self.writes());
        let (readers, writers) = (state.readers, state.writers);
        // A fifo may be opened again at this very moment: it is a new pipe then.
        let left = (readers == 0 && writers == 0).then(|| state.ring.take());
        drop(state);
        drop(left);
        if self.writes() && writers == 0 {
            self.pipe.readable.notify(READABLE | Events::HUP);
        }
        if self.reads() && readers == 0 {
            self.pipe.writable.notify(WRITABLE | Events::ERR);
        }
    }
}

struct Attr {
    permissions: u32,
    uid: u32,
    gid: u32,
    atime: Time,
    mtime: Time,
    ctime: Time,
}

/// The inode of a pipe without a name. Opening it (through /proc) gives one more end.
struct PipeInode {
    ino: u64,
    attr: Mutex<Attr>,
    pipe: Arc<Pipe>,
}

impl PipeInode {
    fn new(ino: u64, (uid, gid): (u32, u32), pipe: Arc<Pipe>) -> Arc<Self> {
        let now = Time::now();
        let attr = Attr { permissions: 0o600, uid, gid, atime: now, mtime: now, ctime: now };
        Arc::new(Self { ino, attr: Mutex::new(attr), pipe })
    }
}

impl Inode for PipeInode {
    fn id(&self) -> InodeId {
        InodeId { dev: PIPE_DEV, ino: self.ino }
    }
    fn file_type(&self) -> FileType {
        FileType::Fifo
    }
    fn metadata(&self) -> Result<Metadata> {
        let attr = self.attr.lock();
        Ok(Metadata {
            id: self.id(),
            mode: FileType::Fifo.mode_bits() | attr.permissions,
            nlink: 1,
            uid: attr.uid,
            gid: attr.gid,
            rdev: 0,
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: attr.atime,
            mtime: attr.mtime,
            ctime: attr.ctime,
            btime: None,
        })
    }
    fn set_attr(&self, new: &SetAttr) -> Result<()> {
        if new.size.is_some() {
            return Err(Error::Invalid);
        }
        let mut attr = self.attr.lock();
        attr.permissions = new.permissions.map_or(attr.permissions, |p| p & 0o7777);
        attr.uid = new.uid.unwrap_or(attr.uid);
        attr.gid = new.gid.unwrap_or(attr.gid);
        attr.atime = new.atime.map_or(attr.atime, SetTime::value);
        attr.mtime = new.mtime.map_or(attr.mtime, SetTime::value);
        attr.ctime = Time::now();
        Ok(())
    }
    fn open(self: Arc<Self>, how: &OpenHow) -> Result<Arc<dyn File>> {
        let pipe = self.pipe.clone();
        Ok(pipe.open(self, how, false)?)
    }
    fn stat_fs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: PIPEFS_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use super::{Pipe, PipeEnd};
    use crate::Error;
    use crate::event::Events;
    use crate::fs::{Access, File, OpenHow};
    use crate::io::{Dest, Source};

    fn pair() -> (Arc<PipeEnd>, Arc<PipeEnd>) {
        Pipe::pair(&Arc::default(), 1, (0, 0)).unwrap_or_else(|e| panic!("{e:?}"))
    }
    fn read(end: &PipeEnd) -> crate::Result<usize> {
        end.read_at(&mut Dest::kernel(&mut [0; 64]), 0)
    }
    fn write(end: &PipeEnd) -> crate::Result<usize> {
        end.write_at(&mut Source::kernel(b"hello"), 0)
    }

    #[test]
    fn ends_know_of_each_other() {
        let (reader, writer) = pair();
        assert_eq!(read(&reader), Err(Error::WouldBlock));
        assert_eq!(writer.ready(), Events::OUT | Events::WRNORM);
        assert_eq!(write(&writer), Ok(5));
        drop(writer);
        assert_eq!(reader.ready(), Events::IN | Events::RDNORM | Events::HUP);
        assert_eq!((read(&reader), read(&reader)), (Ok(5), Ok(0)));
        let (reader, writer) = pair();
        drop(reader);
        assert_eq!(write(&writer), Err(Error::BrokenPipe));
        assert!(writer.ready().contains(Events::ERR));
    }

    #[test]
    fn openers_of_a_fifo_wait_for_each_other() {
        let pipe = Pipe::new();
        let inode = pair().0.inode();
        let open = |access, nonblocking| {
            pipe.open(inode.clone(), &OpenHow { access, nonblocking, truncate: false, append: false }, true)
        };
        assert!(matches!(open(Access::WRITE, true), Err(Error::NoSuchDevice)));
        let Ok(reader) = open(Access::READ, false) else { panic!("a reader cannot open") };
        assert_eq!(reader.meets_partner(), Err(Error::WouldBlock));
        assert!(!reader.ready().contains(Events::HUP));
        let Ok(writer) = open(Access::WRITE, true) else { panic!("a writer cannot open") };
        assert_eq!(writer.meets_partner(), Ok(()));
        drop(writer);
        assert_eq!(reader.meets_partner(), Ok(()));
        assert!(reader.ready().contains(Events::HUP));
    }
}
