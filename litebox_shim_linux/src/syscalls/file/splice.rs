//! splice, tee, vmsplice: moving what is in pipes.

use alloc::sync::Arc;
use litebox_common_linux::abi::file::{IoVec, SpliceFlags};
use litebox_common_linux::argument::UserRef;

use litebox::event::{Events, Pollable, wait_until_ready};
use litebox::fs::{Access, AnonInode, FileType, OpenFile, StatusFlags};
use litebox::io::{Dest, Source};
use litebox::pipe::{Pages, PipeEnd};
use litebox::{Error, Result};

use super::io::{IoMode, Vectors};
use super::{MAX_RW_COUNT, is_regular};
use crate::Task;
use crate::signal::set::SIGPIPE;
use crate::user::{read_bytes, write_bytes};

const PAGE: u64 = litebox::mm::PAGE as u64;

/// The pipe behind an open file, if there is one.
pub(super) fn pipe_of(file: &OpenFile) -> Option<&PipeEnd> {
    file.file.as_any().downcast_ref()
}

/// Whether bytes of the file can go through a pipe: not of eventfds, timers and their kin, nor of directories.
pub(super) fn can_be_spliced(file: &OpenFile) -> bool {
    let inode = file.file.inode();
    let nameless = inode.as_any().downcast_ref::<AnonInode>().is_some_and(|anon| anon.label() != "socket");
    !nameless && inode.file_type() != FileType::Directory
}

/// An offset of a call: where it lies in guest memory, and its value. `None` stands for the file's own.
#[derive(Clone, Copy)]
pub(crate) struct Offset {
    /// 0: whoever made it stores it himself.
    addr: u64,
    pub value: u64,
}

impl Offset {
    /// One that lies nowhere.
    pub fn at(value: u64) -> Self {
        Self { addr: 0, value }
    }
    /// Reads the offset at `addr`, if there is one. [`check_area`] finds negative ones.
    pub fn read(addr: u64) -> Result<Option<Self>> {
        if addr == 0 {
            return Ok(None);
        }
        Ok(Some(Self { addr, value: u64::from_le_bytes(read_bytes(addr)?) }))
    }
    /// Stores it, moved by `n`.
    pub fn store_moved(&self, n: usize) -> Result<()> {
        if self.addr == 0 {
            return Ok(());
        }
        write_bytes(self.addr, &(self.value.saturating_add(n as u64)).to_le_bytes())
    }
}

/// All but `SPLICE_F_NONBLOCK` are hints.
fn check_flags(flags: SpliceFlags) -> Result<()> {
    if SpliceFlags::all().contains(flags) { Ok(()) } else { Err(Error::Invalid) }
}

/// EINVAL for a range that no file has.
pub(super) fn check_area(offset: u64, len: usize) -> Result<()> {
    let end = i64::try_from(len).ok().and_then(|len| i64::try_from(offset).ok()?.checked_add(len));
    end.map(drop).ok_or(Error::Invalid)
}

impl Task<'_, '_> {
    /// Tries `op`, waiting for `file` unless the caller does not want to.
    fn try_on<T>(
        &self,
        file: &Arc<OpenFile>,
        interest: Events,
        patient: bool,
        mut op: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        if patient { wait_until_ready(self.waiter(), &**file as &dyn Pollable, interest, None, op) } else { op() }
    }

    /// The result of a transfer to a pipe or from one: SIGPIPE, and how an interrupted call goes on.
    pub(super) fn spliced(&mut self, result: Result<usize>) -> Result<usize> {
        result.map_err(|error| {
            if error == Error::BrokenPipe {
                self.send_self(SIGPIPE);
            }
            self.restartable(error)
        })
    }

    /// splice(2)
    pub(crate) fn splice(
        &mut self,
        from: i32,
        from_offset: u64,
        to: i32,
        to_offset: u64,
        len: usize,
        flags: SpliceFlags,
    ) -> Result<usize> {
        if len == 0 {
            return Ok(0);
        }
        check_flags(flags)?;
        let (from, to) = (self.file(from)?, self.file(to)?);
        let (source, sink) = (pipe_of(&from), pipe_of(&to));
        if source.is_some() && from_offset != 0 || sink.is_some() && to_offset != 0 {
            return Err(Error::NotSeekable);
        }
        let (to_offset, from_offset) = (Offset::read(to_offset)?, Offset::read(from_offset)?);
        if !from.access.contains(Access::READ) || !to.access.contains(Access::WRITE) {
            return Err(Error::BadDescriptor);
        }
        let quick = flags.contains(SpliceFlags::SPLICE_F_NONBLOCK);
        let result = match (source, sink) {
            (Some(source), Some(sink)) => {
                if source.same_pipe(sink) {
                    return Err(Error::Invalid);
                }
                let patient = !quick && !from.nonblocking() && !to.nonblocking();
                self.between_pipes(&from, &to, patient, |count| {
                    let pages = source.take(len, count)?;
                    let moved = pages.len();
                    sink.give(pages).map(|()| moved)
                })
            }
            (Some(_), None) => self.pipe_to_file(&from, &to, to_offset, len, !quick && !from.nonblocking()),
            (None, Some(_)) => self.file_to_pipe(&from, from_offset, &to, len, !quick && !to.nonblocking()),
            (None, None) => Err(Error::Invalid),
        };
        self.spliced(result)
    }

    /// tee(2)
    pub(crate) fn tee(&mut self, from: i32, to: i32, len: usize, flags: SpliceFlags) -> Result<usize> {
        check_flags(flags)?;
        if len == 0 {
            return Ok(0);
        }
        let (from, to) = (self.file(from)?, self.file(to)?);
        if !from.access.contains(Access::READ) || !to.access.contains(Access::WRITE) {
            return Err(Error::BadDescriptor);
        }
        let (Some(source), Some(sink)) = (pipe_of(&from), pipe_of(&to)) else { return Err(Error::Invalid) };
        if source.same_pipe(sink) {
            return Err(Error::Invalid);
        }
        let patient = !flags.contains(SpliceFlags::SPLICE_F_NONBLOCK) && !from.nonblocking() && !to.nonblocking();
        let result = self.between_pipes(&from, &to, patient, |count| {
            let pages = source.copy(len, count)?;
            let moved = pages.len();
            sink.give(pages).map(|()| moved)
        });
        self.spliced(result)
    }

    /// Has `carry` move at most as many pages as fit, once there is something in `from` and room in `to`.
    fn between_pipes(
        &self,
        from: &Arc<OpenFile>,
        to: &Arc<OpenFile>,
        patient: bool,
        carry: impl Fn(usize) -> Result<usize>,
    ) -> Result<usize> {
        let (Some(source), Some(sink)) = (pipe_of(from), pipe_of(to)) else { return Err(Error::Invalid) };
        loop {
            self.try_on(from, Events::IN, patient, || source.copy(1, 1).map(drop))?;
            let room = self.try_on(to, Events::OUT, patient, || sink.room())?;
            match carry(room) {
                // Somebody else was faster.
                Err(Error::WouldBlock) if patient => {}
                done => return done.inspect(|moved| self.thread.count_written(*moved)),
            }
        }
    }

    /// What `from` has, into a pipe: as much as fits now.
    pub(super) fn file_to_pipe(
        &mut self,
        from: &Arc<OpenFile>,
        offset: Option<Offset>,
        to: &Arc<OpenFile>,
        len: usize,
        patient: bool,
    ) -> Result<usize> {
        let Some(sink) = pipe_of(to) else { return Err(Error::Invalid) };
        let seekable = !from.file.is_stream();
        if offset.is_some() && !seekable || !can_be_spliced(from) || pipe_of(from).is_some() {
            return Err(Error::Invalid);
        }
        let start = offset.map_or_else(|| if seekable { *from.offset() } else { 0 }, |o| o.value);
        check_area(start, len)?;
        let room = self.try_on(to, Events::OUT, patient, || sink.room())?;
        let mut pages = Pages::default();
        let mut moved = 0;
        while pages.count() < room && moved < len {
            let at = start + moved as u64;
            let most = (len - moved).min((PAGE - at % PAGE) as usize);
            let wait = patient && !seekable && moved == 0 && !from.nonblocking();
            let read =
                pages.read_page(most, |dest| self.try_on(from, Events::IN, wait, || from.file.read_at(dest, at)));
            match read {
                Err(error) if moved == 0 => return Err(error),
                Err(_) | Ok(0) => break,
                Ok(n) => moved += n,
            }
        }
        if moved == 0 {
            return Ok(0);
        }
        sink.give(pages)?;
        self.thread.count_written(moved);
        match offset {
            Some(offset) => offset.store_moved(moved)?,
            None if seekable && !from.file.offset_stays() => *from.offset() = start + moved as u64,
            None => {}
        }
        Ok(moved)
    }

    /// What is in a pipe, into `to`. Waits for something to come, not for all of `len`.
    fn pipe_to_file(
        &mut self,
        from: &Arc<OpenFile>,
        to: &Arc<OpenFile>,
        offset: Option<Offset>,
        len: usize,
        patient: bool,
    ) -> Result<usize> {
        let Some(source) = pipe_of(from) else { return Err(Error::Invalid) };
        let unfit = offset.is_some() && to.file.is_stream() || to.flags().contains(StatusFlags::APPEND);
        if unfit || !can_be_spliced(to) {
            return Err(Error::Invalid);
        }
        let start = offset.map_or_else(|| if is_regular(to) { *to.offset() } else { 0 }, |o| o.value);
        check_area(start, len)?;
        let mut moved = 0;
        while moved < len {
            let taken = self.try_on(from, Events::IN, patient && moved == 0, || source.take(len - moved, usize::MAX));
            let mut pages = match taken {
                Err(error) if moved == 0 => return Err(error),
                Err(_) => break,
                Ok(pages) if pages.is_empty() => break,
                Ok(pages) => pages,
            };
            let (n, end) = self.write_pages(&mut pages, to, offset.map(|o| o.value + moved as u64));
            source.put_back(pages)?;
            moved += n;
            match end {
                Err(error) if moved == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
        }
        if let Some(offset) = offset.filter(|_| moved > 0) {
            offset.store_moved(moved)?;
        }
        Ok(moved)
    }

    /// Writes pages as long as everything goes in; how much it was, and why it ended.
    fn write_pages(&mut self, pages: &mut Pages, to: &Arc<OpenFile>, at: Option<u64>) -> (usize, Result<()>) {
        let mut moved = 0;
        while !pages.is_empty() {
            let bytes = pages.front();
            let mode = at.map_or(IoMode::PLAIN, |at| IoMode::at_offset(at + moved as u64));
            match self.write_from(to, &mut Source::kernel(bytes), mode) {
                Err(error) => return (moved, Err(error)),
                Ok(n) => {
                    let cut = n < bytes.len();
                    pages.advance(n);
                    moved += n;
                    if cut {
                        return (moved, Err(Error::WouldBlock));
                    }
                }
            }
        }
        (moved, Ok(()))
    }

    /// vmsplice(2)
    pub(crate) fn vmsplice(&mut self, fd: i32, iov: UserRef<IoVec>, count: usize, flags: SpliceFlags) -> Result<usize> {
        check_flags(flags)?;
        let file = self.file(fd)?;
        if file.access.is_empty() {
            return Err(Error::BadDescriptor);
        }
        let vectors = Vectors::read(iov, super::io::vector_count(count))?;
        let patient = !flags.contains(SpliceFlags::SPLICE_F_NONBLOCK);
        if vectors.is_empty() {
            return Ok(0);
        }
        let pipe = pipe_of(&file).ok_or(Error::BadDescriptor)?;
        let result = if file.access.contains(Access::WRITE) {
            self.memory_to_pipe(&file, pipe, &mut Source::user_vec(vectors.spans()), patient)
        } else {
            let mut dest = Dest::user_vec(vectors.spans());
            dest.limit(MAX_RW_COUNT);
            self.try_on(&file, Events::IN, patient, || file.read(&mut dest))
        };
        self.spliced(result)
    }

    fn memory_to_pipe(
        &self,
        file: &Arc<OpenFile>,
        pipe: &PipeEnd,
        source: &mut Source<'_>,
        patient: bool,
    ) -> Result<usize> {
        let room = self.try_on(file, Events::OUT, patient, || pipe.room())?;
        let mut pages = Pages::default();
        while pages.count() < room {
            match pages.take_piece(source) {
                Err(error) if pages.is_empty() => return Err(error),
                Err(_) | Ok(0) => break,
                Ok(_) => {}
            }
        }
        let moved = pages.len();
        pipe.give(pages)?;
        self.thread.count_written(moved);
        Ok(moved)
    }
}
