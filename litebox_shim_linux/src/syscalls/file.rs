//! Files: reading and writing through descriptors.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::event::{Events, wait_until_ready};
use litebox::fs::OpenFile;
use litebox::io::{Dest, Source, Span};
use litebox::{Error, Result};

use crate::Task;
use crate::syscalls::signal::RestartPolicy;
use crate::user::read_bytes;

/// The most one call moves (`MAX_RW_COUNT`).
const MAX_COUNT: u64 = 0x7fff_f000;
/// The most buffers of one call (`IOV_MAX`).
const MAX_BUFFERS: u64 = 1024;
const SIGPIPE: i32 = 13;
const READ: u64 = 0;
const WRITE: u64 = 1;
const READV: u64 = 19;
const WRITEV: u64 = 20;

fn one_span(addr: u64, count: u64) -> Result<Span> {
    let addr = usize::try_from(addr).map_err(|_| Error::Fault)?;
    let len = usize::try_from(count.min(MAX_COUNT)).map_err(|_| Error::Invalid)?;
    Ok(Span { addr, len })
}

/// Reads an array of `struct iovec`; `Invalid` for too many and for lengths beyond `ssize_t`.
fn spans_at(addr: u64, count: u64) -> Result<Vec<Span>> {
    if count > MAX_BUFFERS {
        return Err(Error::Invalid);
    }
    let mut spans = Vec::new();
    let mut left = MAX_COUNT;
    for i in 0..count {
        let raw: [u8; 16] = read_bytes(addr.checked_add(i * 16).ok_or(Error::Fault)?)?;
        let base = u64::from_le_bytes(crate::user::word(&raw, 0));
        let len = u64::from_le_bytes(crate::user::word(&raw, 8));
        if i64::try_from(len).is_err() {
            return Err(Error::Invalid);
        }
        let span = one_span(base, len.min(left))?;
        left -= span.len as u64;
        spans.push(span);
    }
    Ok(spans)
}

impl Task<'_, '_> {
    /// Waits until `op` succeeds, unless the file must not block.
    fn blocking(
        &mut self,
        file: &Arc<OpenFile>,
        interest: Events,
        number: u64,
        op: impl FnMut() -> Result<usize>,
    ) -> Result<usize> {
        let mut op = op;
        let result = if file.nonblocking() {
            op()
        } else {
            let waiter = self.waiter().clone();
            wait_until_ready(&waiter, &**file, interest, None, op)
        };
        match result {
            Err(Error::Interrupted) => Err(self.interrupted_call(RestartPolicy::Sys, number)),
            Err(Error::BrokenPipe) => {
                self.send_self(SIGPIPE);
                Err(Error::BrokenPipe)
            }
            other => other,
        }
    }

    fn read_spans(&mut self, fd: i32, spans: &[Span], number: u64) -> Result<usize> {
        let file = self.process().files.get(fd)?;
        self.blocking(&file.clone(), Events::IN, number, || file.read(&mut Dest::user_vec(spans)))
    }

    fn write_spans(&mut self, fd: i32, spans: &[Span], number: u64) -> Result<usize> {
        let file = self.process().files.get(fd)?;
        self.blocking(&file.clone(), Events::OUT, number, || file.write(&mut Source::user_vec(spans)))
    }

    /// read(2).
    pub(crate) fn read(&mut self, fd: i32, buf: u64, count: u64) -> Result<usize> {
        self.process().files.get(fd)?;
        self.read_spans(fd, &[one_span(buf, count)?], READ)
    }

    /// write(2).
    pub(crate) fn write(&mut self, fd: i32, buf: u64, count: u64) -> Result<usize> {
        self.process().files.get(fd)?;
        self.write_spans(fd, &[one_span(buf, count)?], WRITE)
    }

    /// readv(2).
    pub(crate) fn readv(&mut self, fd: i32, vector: u64, count: u64) -> Result<usize> {
        self.process().files.get(fd)?;
        self.read_spans(fd, &spans_at(vector, count)?, READV)
    }

    /// writev(2).
    pub(crate) fn writev(&mut self, fd: i32, vector: u64, count: u64) -> Result<usize> {
        self.process().files.get(fd)?;
        self.write_spans(fd, &spans_at(vector, count)?, WRITEV)
    }

    /// close(2).
    pub(crate) fn close(&mut self, fd: i32) -> Result<usize> {
        let file = self.process().files.remove(fd)?;
        file.file.flush()?;
        Ok(0)
    }
}
