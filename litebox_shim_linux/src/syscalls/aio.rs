//! Asynchronous I/O: io_setup(2), io_submit(2), io_getevents(2).

use alloc::sync::Arc;
use core::time::Duration;

use litebox::event::{Events, wait_until_ready};
use litebox::eventfd::EventFile;
use litebox::fs::{Access, FileType, OpenFile};
use litebox::io::{Dest, Source, Span};
use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::abi::aio::{
    AioSigSet, IOCB_CMD_FDSYNC, IOCB_CMD_FSYNC, IOCB_CMD_PREAD, IOCB_CMD_PREADV, IOCB_CMD_PWRITE, IOCB_CMD_PWRITEV,
    IoEvent, Iocb, IocbFlags, IocbX86, IocbX86_64,
};
use litebox_common_linux::abi::file::{IoVec, ReadWriteFlags};
use litebox_common_linux::abi::layout::UserWord;
use litebox_common_linux::abi::memory::{MapFlags, PAGE, Protection};
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::{Address, UserMut, UserRef};

use super::file::{IoMode, MAX_RW_COUNT, Vectors, check_range, check_transfer};
use crate::Task;
use crate::aio::{AioContext, MOST_ASKED};
use crate::mm::MmapCall;
use crate::signal::RestartPolicy;
use crate::user::{UserRead, UserWrite, field_at};

/// More events are EINVAL: their bytes would not be counted in 28 bits.
const TOO_MANY: u32 = 0x1000_0000 / 32;
/// Of `Iocb::key`: what the kernel writes, and io_cancel(2) looks at.
const KEY: u32 = 0;
/// Classes of priorities (ioprio_set(2)), and the one that not everybody may have.
const CLASS_SHIFT: i16 = 13;
const CLASS_IDLE: i16 = 3;
const CLASS_REAL_TIME: i16 = 1;

/// What stands for the offset of the file itself (preadv2(2)).
const CURRENT: i64 = -1;

/// A transfer that is checked.
enum Transfer {
    Read(Vectors, IoMode),
    Write(Vectors, IoMode),
    Sync { data_only: bool },
}

fn ended(data: u64, request: u64, result: Result<usize>) -> IoEvent {
    let result = result.map_or_else(|error| -i64::from(error.errno()), |moved| moved as i64);
    IoEvent { data, request, result, result2: 0 }
}

/// EINVAL for a class that does not exist, EPERM for one that nobody here may have.
fn check_priority(iocb: &Iocb) -> Result<()> {
    let has_one = iocb.flags & IocbFlags::IOCB_FLAG_IOPRIO.bits() != 0;
    match iocb.priority >> CLASS_SHIFT {
        _ if !has_one => Ok(()),
        CLASS_REAL_TIME => Err(Error::NotPermitted),
        0..=CLASS_IDLE => Ok(()),
        _ => Err(Error::Invalid),
    }
}

impl Task<'_, '_> {
    /// io_setup(2)
    pub(crate) fn io_setup(&mut self, count: u32, context: UserMut<UserWord>) -> Result<usize> {
        if context.read()? != UserWord(0) || count == 0 || count > TOO_MANY {
            return Err(Error::Invalid);
        }
        if count as usize > MOST_ASKED {
            return Err(Error::WouldBlock);
        }
        let made = AioContext::new(count as usize, &self.kernel().aio)?;
        let at = self.map_context_page()?;
        self.process().mm.aio.add(at, made);
        context.write(UserWord(at)).map(|()| 0).inspect_err(|_| {
            // The program cannot be told of it.
            let _ = self.io_destroy(at);
        })
    }

    /// A page of the program's, by whose address it knows a context.
    fn map_context_page(&self) -> Result<u64> {
        let call = MmapCall {
            addr: 0,
            len: PAGE as u64,
            prot: Protection::PROT_READ | Protection::PROT_WRITE,
            flags: MapFlags::MAP_PRIVATE | MapFlags::MAP_ANONYMOUS,
            offset: 0,
            loads: false,
            reach: self.reach(),
        };
        self.process().mm.mmap(&call, || Err(Error::BadDescriptor)).map(|at| at as u64)
    }

    /// io_destroy(2)
    pub(crate) fn io_destroy(&mut self, context: u64) -> Result<usize> {
        self.process().mm.aio.remove(context)?;
        // As the program would do it, which may have done so, or have put something else there (rseq(2)).
        let _ = self.munmap(Address(context as usize), PAGE);
        Ok(0)
    }

    /// io_submit(2): how many were; an error only when none was.
    pub(crate) fn io_submit(&mut self, context: u64, count: i64, requests: UserRef<UserWord>) -> Result<usize> {
        let count = usize::try_from(count).map_err(|_| Error::Invalid)?;
        let context = self.process().mm.aio.find(context)?;
        let mut done = 0;
        while done < count.min(context.room()) {
            let submitted = requests.nth(done).and_then(UserRead::read).and_then(|at| self.submit(&context, at.0));
            match submitted {
                Ok(()) => done += 1,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn submit(&mut self, context: &Arc<AioContext>, at: u64) -> Result<()> {
        let request: UserMut<Iocb> = UserMut::new(self.abi(), usize::try_from(at).map_err(|_| Error::Fault)?);
        let iocb = request.read()?;
        if iocb.reserved != 0 || i64::try_from(iocb.len).is_err() {
            return Err(Error::Invalid);
        }
        context.begin()?;
        let submitted = self.do_request(request, &iocb);
        let event = submitted.as_ref().ok().map(|(result, _)| ended(iocb.data, at, *result));
        context.end(event);
        if let Some(counter) = submitted?.1 {
            counter.increment();
        }
        Ok(())
    }

    /// Does what is asked for: what came of it, and who else is told. An error: it was not begun.
    fn do_request(&mut self, request: UserMut<Iocb>, iocb: &Iocb) -> Result<(Result<usize>, Option<Arc<EventFile>>)> {
        let file = self.file(iocb.fd)?;
        let counter = if iocb.flags & IocbFlags::IOCB_FLAG_RESFD.bits() != 0 {
            let counter = self.file(iocb.result_fd)?.file.clone().into_any().downcast();
            Some(counter.map_err(|_| Error::Invalid)?)
        } else {
            None
        };
        field_at!(request, IocbX86_64 IocbX86.key: u32).write(KEY)?;
        let result = match self.prepare(&file, iocb)? {
            Transfer::Read(vectors, mode) => self.read_into(&file, &mut Dest::user_vec(vectors.spans()), mode),
            Transfer::Write(vectors, mode) => self.write_from(&file, &mut Source::user_vec(vectors.spans()), mode),
            Transfer::Sync { data_only } => match file.file.sync(data_only) {
                // Nothing of such a file is ever written back.
                Err(Error::Invalid) => return Err(Error::Invalid),
                synced => synced.map(|()| 0),
            },
        };
        // The call itself is not interrupted.
        self.forget_restart();
        Ok((result, counter))
    }

    fn prepare(&self, file: &OpenFile, iocb: &Iocb) -> Result<Transfer> {
        match iocb.opcode {
            IOCB_CMD_PREAD | IOCB_CMD_PREADV => {
                let flags = Self::check_file(file, iocb, Access::READ)?;
                Ok(Transfer::Read(self.buffers(iocb)?, Self::place(file, iocb, flags)?))
            }
            IOCB_CMD_PWRITE | IOCB_CMD_PWRITEV => {
                let flags = Self::check_file(file, iocb, Access::WRITE)?;
                Ok(Transfer::Write(self.buffers(iocb)?, Self::place(file, iocb, flags)?))
            }
            IOCB_CMD_FSYNC | IOCB_CMD_FDSYNC
                if iocb.buffer == 0 && iocb.len == 0 && iocb.offset == 0 && iocb.rw_flags == 0 =>
            {
                Ok(Transfer::Sync { data_only: iocb.opcode == IOCB_CMD_FDSYNC })
            }
            _ => Err(Error::Invalid),
        }
    }

    fn check_file(file: &OpenFile, iocb: &Iocb, access: Access) -> Result<ReadWriteFlags> {
        check_priority(iocb)?;
        let flags = ReadWriteFlags(iocb.rw_flags);
        IoMode::with_flags(CURRENT, flags)?;
        check_transfer(file, access)?;
        // Linux asks for another way to read than directories have.
        if file.file.inode().file_type() == FileType::Directory { Err(Error::Invalid) } else { Ok(flags) }
    }

    /// A stream has no places, but none below 0 is asked for either.
    fn place(file: &OpenFile, iocb: &Iocb, flags: ReadWriteFlags) -> Result<IoMode> {
        if iocb.offset < 0 {
            return Err(Error::Invalid);
        }
        IoMode::with_flags(if file.is_stream() { CURRENT } else { iocb.offset }, flags)
    }

    fn buffers(&self, iocb: &Iocb) -> Result<Vectors> {
        let addr = usize::try_from(iocb.buffer).map_err(|_| Error::Fault)?;
        let len = usize::try_from(iocb.len).map_err(|_| Error::Invalid)?;
        if matches!(iocb.opcode, IOCB_CMD_PREADV | IOCB_CMD_PWRITEV) {
            let vectors: UserRef<IoVec> = UserRef::new(self.abi(), addr);
            return Vectors::read(vectors, len);
        }
        let len = len.min(MAX_RW_COUNT);
        check_range(addr, len)?;
        Ok(Vectors::one(Span { addr, len }))
    }

    /// io_getevents(2)
    pub(crate) fn io_getevents(
        &mut self,
        context: u64,
        least: i64,
        most: i64,
        events: UserMut<IoEvent>,
        timeout: UserRef<Timespec>,
    ) -> Result<usize> {
        let limit = timeout.read_if_given()?.and_then(limit_of);
        self.take_events(context, (least, most), events, limit)
    }

    /// io_pgetevents(2)
    pub(crate) fn io_pgetevents(
        &mut self,
        context: u64,
        least: i64,
        most: i64,
        events: UserMut<IoEvent>,
        timeout: UserRef<Timespec>,
        mask: UserRef<AioSigSet>,
    ) -> Result<usize> {
        let number = self.frame.regs.rax;
        let limit = timeout.read_if_given()?.and_then(limit_of);
        let given = mask.read_if_given()?.unwrap_or_default();
        if given.set != 0 {
            self.set_temporary_mask(mask.at(given.set as usize), given.size)?;
        }
        let result = self.take_events(context, (least, most), events, limit);
        let result = self.unless_interrupted(result);
        result.map_err(|error| match error {
            Error::Interrupted => self.interrupted_call(RestartPolicy::NoHandler, number),
            other => other,
        })
    }

    fn take_events(
        &mut self,
        context: u64,
        (least, most): (i64, i64),
        events: UserMut<IoEvent>,
        limit: Option<Duration>,
    ) -> Result<usize> {
        let context = self.process().mm.aio.find(context)?;
        let (Ok(least), Ok(most)) = (usize::try_from(least), usize::try_from(most)) else { return Err(Error::Invalid) };
        if least > most {
            return Err(Error::Invalid);
        }
        let mut taken = 0;
        let once = || {
            while taken < most {
                let Some(event) = context.next()? else { break };
                if let Err(error) = events.nth(taken).and_then(|at| at.write(event)) {
                    context.put_back(event);
                    return if taken == 0 { Err(error) } else { Ok(()) };
                }
                taken += 1;
            }
            if taken >= least { Ok(()) } else { Err(Error::WouldBlock) }
        };
        let deadline = limit.map(|limit| host().instant().saturating_add(limit));
        match wait_until_ready(self.waiter(), &*context, Events::IN, deadline, once) {
            Ok(()) | Err(Error::TimedOut) => Ok(taken),
            Err(_) if taken > 0 => Ok(taken),
            Err(error) => Err(error),
        }
    }

    /// io_cancel(2): requests are done by the time that anybody could want that.
    pub(crate) fn io_cancel(
        &mut self,
        context: u64,
        request: UserRef<Iocb>,
        _result: UserMut<IoEvent>,
    ) -> Result<usize> {
        if field_at!(request, IocbX86_64 IocbX86.key: u32).read()? != KEY {
            return Err(Error::Invalid);
        }
        self.process().mm.aio.find(context)?;
        Err(Error::Invalid)
    }
}

/// How long that is; `None`: for ever, as for a time below 0.
fn limit_of(time: Timespec) -> Option<Duration> {
    let nanos = i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
    u64::try_from(nanos)
        .map_or_else(|_| (nanos > 0).then_some(Duration::MAX), |nanos| Some(Duration::from_nanos(nanos)))
}
