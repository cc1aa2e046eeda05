//! Moving bytes: read, write and their vectored, positioned forms; lseek.

use alloc::vec::Vec;

use litebox::event::{Events, wait_until_ready};
use litebox::fs::{Access, FileType, OpenFile};
use litebox::io::{Dest, Source, Span};
use litebox::platform::{Instant, host};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{IoVec, ReadWriteFlags, Whence};
use litebox_common_linux::argument::UserRef;

use super::MAX_RW_COUNT;
use super::stat::MAX_SMALL_FILE;
use crate::Task;
use crate::signal::RestartPolicy;
use crate::signal::set::{SIGPIPE, SIGXFSZ};
use crate::user::UserRead;

/// The most buffers one vectored call takes.
const IOV_MAX: usize = 1024;
/// End of what x86-64 lets a program address.
const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// No file is longer.
pub(super) const MAX_FILE_SIZE: u64 = i64::MAX as u64;

/// Where in the file a transfer happens.
#[derive(Clone, Copy)]
enum IoPosition {
    /// At the file's offset, which moves.
    Current,
    At(u64),
}

/// How a transfer behaves.
#[derive(Clone, Copy)]
pub(in crate::syscalls) struct IoMode {
    position: IoPosition,
    flags: ReadWriteFlags,
}

impl IoMode {
    pub(super) const PLAIN: Self = Self { position: IoPosition::Current, flags: ReadWriteFlags::empty() };

    pub(super) fn at_offset(offset: u64) -> Self {
        Self { position: IoPosition::At(offset), flags: ReadWriteFlags::empty() }
    }
    /// A place in what has none is refused before anything else is looked at.
    fn check_position(self, file: &OpenFile) -> Result<()> {
        let has_no_position = file.is_stream() && file.file.as_seekable().is_none();
        if has_no_position && matches!(self.position, IoPosition::At(_)) { Err(Error::NotSeekable) } else { Ok(()) }
    }
    /// No place of a file lies behind what an offset can tell.
    fn check_end(self, file: &OpenFile, count: usize) -> Result<()> {
        let IoPosition::At(offset) = self.position else { return Ok(()) };
        let reaches = offset.checked_add(count as u64).is_some_and(|end| i64::try_from(end).is_ok());
        if reaches || file.file.as_seekable().is_some() { Ok(()) } else { Err(Error::Invalid) }
    }
    fn at(offset: i64) -> Result<Self> {
        let offset = u64::try_from(offset).map_err(|_| Error::Invalid)?;
        Ok(Self { position: IoPosition::At(offset), flags: ReadWriteFlags::empty() })
    }
    pub(in crate::syscalls) fn with_flags(offset: i64, flags: ReadWriteFlags) -> Result<Self> {
        let position = if offset == -1 { Self::PLAIN } else { Self::at(offset)? };
        if !ReadWriteFlags::all().contains(flags) {
            return Err(Error::NotSupported);
        }
        if flags.contains(ReadWriteFlags::RWF_APPEND | ReadWriteFlags::RWF_NOAPPEND) {
            return Err(Error::Invalid);
        }
        Ok(Self { flags, ..position })
    }
}

/// Buffers of a vectored call: few lie on the stack, many on the heap.
pub(crate) struct Vectors {
    few: [Span; 8],
    many: Vec<Span>,
    count: usize,
}

impl Vectors {
    /// A single buffer.
    pub(crate) fn one(span: Span) -> Self {
        let mut few = [Span { addr: 0, len: 0 }; 8];
        few[0] = span;
        Self { few, many: Vec::new(), count: 1 }
    }
    pub(crate) fn spans(&self) -> &[Span] {
        if self.many.is_empty() { self.few.get(..self.count).unwrap_or(&[]) } else { &self.many }
    }
    /// Whether there is nothing to be moved: then the file is not asked.
    pub(super) fn is_empty(&self) -> bool {
        self.spans().iter().all(|span| span.len == 0)
    }
    /// Reads `count` buffers' descriptions at `iov`; EINVAL for too many or a negative length. Together they are cut to
    /// what one call moves.
    pub(crate) fn read(iov: impl UserRead<IoVec>, count: usize) -> Result<Self> {
        if count > IOV_MAX {
            return Err(Error::Invalid);
        }
        let mut vectors = Self { few: [Span { addr: 0, len: 0 }; 8], many: Vec::new(), count };
        if count > vectors.few.len() {
            vectors.many.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
        }
        let mut room = MAX_RW_COUNT;
        // Linux looks at all lengths before it looks at any address.
        let mut ranges = Ok(());
        for i in 0..count {
            let IoVec { base, len } = iov.nth(i)?.read()?;
            let (addr, len) = (base as usize, usize::try_from(len).map_err(|_| Error::Invalid)?);
            ranges = ranges.and(check_range(addr, len));
            let span = Span { addr, len: len.min(room) };
            room -= span.len;
            match vectors.few.get_mut(i) {
                Some(slot) if vectors.many.capacity() == 0 => *slot = span,
                _ => vectors.many.push(span),
            }
        }
        ranges.map(|()| vectors)
    }
}

/// EFAULT for a buffer that leaves the program's half of the address space.
pub(crate) fn check_range(addr: usize, len: usize) -> Result<()> {
    match addr.checked_add(len) {
        Some(end) if end as u64 <= TASK_SIZE => Ok(()),
        _ => Err(Error::Fault),
    }
}

/// Whether the file may be read, or written, and can be: looked at before the buffers are.
pub(in crate::syscalls) fn check_transfer(file: &OpenFile, access: Access) -> Result<()> {
    if !file.access.contains(access) {
        return Err(Error::BadDescriptor);
    }
    if file.file.transfers() { Ok(()) } else { Err(Error::Invalid) }
}

/// Linux takes the number of buffers as 32 bits.
pub(super) fn vector_count(count: usize) -> usize {
    count as u32 as usize
}

impl Task<'_, '_> {
    /// The error of a failed call that may be restarted: notes how, if it was interrupted.
    pub(crate) fn restartable(&mut self, error: Error) -> Error {
        if error == Error::Interrupted {
            let number = self.frame.regs.rax;
            return self.interrupted_call(RestartPolicy::Sys, number);
        }
        error
    }
    /// The error of a failed transfer.
    fn transfer_error(&mut self, file: &OpenFile, error: Error) -> Error {
        if error == Error::Invalid && file.file_type() == FileType::Directory {
            return Error::IsDirectory;
        }
        self.gave_up(file, error, false)
    }
    /// Until when a read or write of the file waits.
    #[expect(clippy::unused_self, reason = "the thread that waits")]
    pub(crate) fn time_limit(&self, file: &OpenFile, writing: bool) -> Option<Instant> {
        let limit = if file.is_stream() { file.file.io_timeout(writing) } else { None };
        limit.map(|limit| host().instant().saturating_add(limit))
    }
    /// The error of a call that waited for the file: out of patience is EAGAIN, and who had a limit does not start
    /// anew.
    pub(crate) fn gave_up(&mut self, file: &OpenFile, error: Error, writing: bool) -> Error {
        match error {
            Error::TimedOut => Error::WouldBlock,
            Error::Interrupted if file.file.io_timeout(writing).is_some() => error,
            _ => self.restartable(error),
        }
    }

    /// Reads into `dest`, waiting if the file may block.
    pub(in crate::syscalls) fn read_into(
        &mut self,
        file: &OpenFile,
        dest: &mut Dest<'_>,
        mode: IoMode,
    ) -> Result<usize> {
        let wanted = dest.remaining();
        let mut once = || match mode.position {
            IoPosition::Current => file.read(dest),
            IoPosition::At(offset) => file.read_at(dest, offset),
        };
        let patient = !file.nonblocking() && !mode.flags.contains(ReadWriteFlags::RWF_NOWAIT) && wanted > 0;
        let limit = self.time_limit(file, false);
        let result = if patient { wait_until_ready(self.waiter(), file, Events::IN, limit, once) } else { once() };
        match result {
            Ok(n) => Ok(n),
            Err(Error::WouldBlock) if wanted == 0 => Ok(0),
            Err(e) => match dest.moved() {
                0 => Err(self.transfer_error(file, e)),
                moved => Ok(moved),
            },
        }
    }

    /// Writes from `source`: all of it, unless the file may not block or something stops it.
    pub(in crate::syscalls) fn write_from(
        &mut self,
        file: &OpenFile,
        source: &mut Source<'_>,
        mode: IoMode,
    ) -> Result<usize> {
        if !file.access.contains(Access::WRITE) {
            return Err(Error::BadDescriptor);
        }
        let stream = file.is_stream();
        // A stream has a size only when it is a file of the user's, and what has no offsets has none.
        if !stream && !file.offset_stays() || self.file_size_limit() != u64::MAX && super::is_regular(file) {
            self.limit_file_size(file, source, mode)?;
        }
        let wanted = source.remaining();
        let patient = !file.nonblocking() && !mode.flags.contains(ReadWriteFlags::RWF_NOWAIT) && wanted > 0;
        // What a call took that then failed was not written: the file may have refused it as a whole.
        let mut moved = 0;
        let mut once = || loop {
            let n = match mode.position {
                _ if mode.flags.contains(ReadWriteFlags::RWF_APPEND) && !stream => file.file.append(source)?.0,
                IoPosition::Current => file.write(source)?,
                IoPosition::At(offset) => file.write_at(source, offset)?,
            };
            moved += n;
            // A blocking stream takes everything, piece by piece.
            if !(stream && patient && n > 0 && source.remaining() > 0 && file.file.takes_everything()) {
                return Ok(());
            }
        };
        let limit = self.time_limit(file, true);
        let result = if patient { wait_until_ready(self.waiter(), file, Events::OUT, limit, once) } else { once() };
        // Who wrote a part to a socket hears of it at the next call; to a pipe, at once.
        let hears_later = || moved > 0 && file.file.inode().file_type() == FileType::Socket;
        if matches!(result, Err(Error::BrokenPipe)) && !hears_later() {
            self.send_self(SIGPIPE);
        }
        match result {
            Err(Error::WouldBlock) if wanted == 0 => {}
            Err(error) if moved == 0 => return Err(self.transfer_error(file, error)),
            _ => {}
        }
        if mode.flags.intersects(ReadWriteFlags::RWF_DSYNC | ReadWriteFlags::RWF_SYNC) && moved > 0 {
            file.file.sync(!mode.flags.contains(ReadWriteFlags::RWF_SYNC))?;
        }
        self.thread.count_written(moved);
        Ok(moved)
    }

    /// RLIMIT_FSIZE and the longest possible file: cuts the transfer, or EFBIG (with SIGXFSZ for the limit).
    fn limit_file_size(&mut self, file: &OpenFile, source: &mut Source<'_>, mode: IoMode) -> Result<()> {
        if source.remaining() == 0 {
            return Ok(());
        }
        let limit = self.file_size_limit();
        let small = file.flags().contains(litebox::fs::StatusFlags::SMALL) && super::is_regular(file);
        let most = if small { MAX_SMALL_FILE } else { MAX_FILE_SIZE };
        let at = match mode.position {
            IoPosition::At(offset) => offset,
            // Without a limit the exact place of an ordinary write does not matter.
            IoPosition::Current if limit == u64::MAX && !small => return Ok(()),
            IoPosition::Current if file.flags().contains(litebox::fs::StatusFlags::APPEND) => {
                file.file.metadata()?.size
            }
            IoPosition::Current => file.file.stream_position().unwrap_or_else(|| *file.offset()),
        };
        if at >= limit && super::is_regular(file) {
            self.send_self(SIGXFSZ);
            return Err(Error::FileTooBig);
        }
        if at >= most {
            return Err(Error::FileTooBig);
        }
        if super::is_regular(file) {
            source.limit(usize::try_from(limit.min(most) - at).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    /// read(2)
    pub(crate) fn read(&mut self, fd: i32, buf: usize, count: usize) -> Result<usize> {
        let file = self.fd_guard(fd)?;
        check_transfer(&file, Access::READ)?;
        check_range(buf, count)?;
        self.read_into(&file, &mut Dest::user(buf, count.min(MAX_RW_COUNT)), IoMode::PLAIN)
    }
    /// write(2)
    pub(crate) fn write(&mut self, fd: i32, buf: usize, count: usize) -> Result<usize> {
        let file = self.fd_guard(fd)?;
        check_transfer(&file, Access::WRITE)?;
        check_range(buf, count)?;
        self.write_from(&file, &mut Source::user(buf, count.min(MAX_RW_COUNT)), IoMode::PLAIN)
    }
    /// pread64(2)
    pub(crate) fn pread64(&mut self, fd: i32, buf: usize, count: usize, offset: i64) -> Result<usize> {
        let mode = IoMode::at(offset)?;
        let file = self.fd_guard(fd)?;
        mode.check_position(&file)?;
        check_transfer(&file, Access::READ)?;
        check_range(buf, count)?;
        mode.check_end(&file, count)?;
        self.read_into(&file, &mut Dest::user(buf, count.min(MAX_RW_COUNT)), mode)
    }
    /// pwrite64(2)
    pub(crate) fn pwrite64(&mut self, fd: i32, buf: usize, count: usize, offset: i64) -> Result<usize> {
        let mode = IoMode::at(offset)?;
        let file = self.fd_guard(fd)?;
        mode.check_position(&file)?;
        check_transfer(&file, Access::WRITE)?;
        check_range(buf, count)?;
        mode.check_end(&file, count)?;
        self.write_from(&file, &mut Source::user(buf, count.min(MAX_RW_COUNT)), mode)
    }

    fn read_vectors(&mut self, fd: i32, iov: UserRef<IoVec>, count: usize, mode: IoMode) -> Result<usize> {
        let file = self.fd_guard(fd)?;
        mode.check_position(&file)?;
        check_transfer(&file, Access::READ)?;
        let vectors = Vectors::read(iov, vector_count(count))?;
        if vectors.is_empty() {
            return Ok(0);
        }
        self.read_into(&file, &mut Dest::user_vec(vectors.spans()), mode)
    }
    fn write_vectors(&mut self, fd: i32, iov: UserRef<IoVec>, count: usize, mode: IoMode) -> Result<usize> {
        let file = self.fd_guard(fd)?;
        mode.check_position(&file)?;
        check_transfer(&file, Access::WRITE)?;
        let vectors = Vectors::read(iov, vector_count(count))?;
        if vectors.is_empty() {
            return Ok(0);
        }
        self.write_from(&file, &mut Source::user_vec(vectors.spans()), mode)
    }
    /// readv(2)
    pub(crate) fn readv(&mut self, fd: i32, iov: UserRef<IoVec>, count: usize) -> Result<usize> {
        self.read_vectors(fd, iov, count, IoMode::PLAIN)
    }
    /// writev(2)
    pub(crate) fn writev(&mut self, fd: i32, iov: UserRef<IoVec>, count: usize) -> Result<usize> {
        self.write_vectors(fd, iov, count, IoMode::PLAIN)
    }
    /// preadv(2)
    pub(crate) fn preadv(&mut self, fd: i32, iov: UserRef<IoVec>, count: usize, offset: i64) -> Result<usize> {
        self.read_vectors(fd, iov, count, IoMode::at(offset)?)
    }
    /// pwritev(2)
    pub(crate) fn pwritev(&mut self, fd: i32, iov: UserRef<IoVec>, count: usize, offset: i64) -> Result<usize> {
        self.write_vectors(fd, iov, count, IoMode::at(offset)?)
    }
    /// preadv2(2)
    pub(crate) fn preadv2(
        &mut self,
        fd: i32,
        iov: UserRef<IoVec>,
        count: usize,
        offset: i64,
        flags: ReadWriteFlags,
    ) -> Result<usize> {
        self.read_vectors(fd, iov, count, IoMode::with_flags(offset, flags)?)
    }
    /// pwritev2(2)
    pub(crate) fn pwritev2(
        &mut self,
        fd: i32,
        iov: UserRef<IoVec>,
        count: usize,
        offset: i64,
        flags: ReadWriteFlags,
    ) -> Result<usize> {
        self.write_vectors(fd, iov, count, IoMode::with_flags(offset, flags)?)
    }

    /// lseek(2)
    pub(crate) fn lseek(&mut self, fd: i32, offset: i64, whence: Whence) -> Result<usize> {
        let file = self.fd_guard(fd)?;
        if !(Whence::SEEK_SET.0..=Whence::SEEK_HOLE.0).contains(&whence.0) {
            return Err(Error::Invalid);
        }
        if file.file.offset_stays() {
            return Ok(0);
        }
        if file.is_stream() {
            if let Some(stream) = file.file.as_seekable() {
                return stream.seek(offset, whence.0).map(|at| at as usize);
            }
            return Err(Error::NotSeekable);
        }
        let mut current = file.offset();
        let size = || file.file.end().map(|end| end as i64);
        let base = match whence {
            Whence::SEEK_SET => 0,
            Whence::SEEK_CUR => *current as i64,
            Whence::SEEK_END => size()?,
            _ if file.file_type() == FileType::Directory => return Err(Error::Invalid),
            _ => {
                let from = u64::try_from(offset).map_err(|_| Error::NoSuchDevice)?;
                *current = file.file.seek_data(from, whence == Whence::SEEK_HOLE)?;
                return Ok(*current as usize);
            }
        };
        let target = base.checked_add(offset).ok_or(Error::Overflow)?;
        *current = u64::try_from(target).map_err(|_| Error::Invalid)?;
        Ok(*current as usize)
    }
}
