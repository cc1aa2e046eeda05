//! Timers as files.

use core::time::Duration;

use litebox::fs::{Access, StatusFlags};
use litebox::platform::{ClockId, host};
use litebox::timerfd::{Setting, TimerFile};
use litebox::{Error, Result};

use crate::Task;
use crate::user::{read_bytes, timespec_of, write_bytes};

const TFD_CLOEXEC: i32 = 0o2_000_000;
const TFD_NONBLOCK: i32 = 0o4000;

fn write_setting(addr: u64, setting: &Setting) -> Result<()> {
    let next = setting.next.unwrap_or_default();
    let words = [
        setting.interval.as_secs(),
        setting.interval.subsec_nanos().into(),
        next.as_secs(),
        next.subsec_nanos().into(),
    ];
    let mut raw = [0u8; 32];
    for (slot, value) in raw.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
    write_bytes(addr, &raw)
}

impl Task<'_, '_> {
    /// timerfd_create(2)
    pub(crate) fn timerfd_create(&mut self, clock: i32, flags: i32) -> Result<usize> {
        if flags & !(TFD_CLOEXEC | TFD_NONBLOCK) != 0 {
            return Err(Error::Invalid);
        }
        let clock = match clock {
            0 => ClockId::Realtime,
            1 => ClockId::Monotonic,
            7 => ClockId::Boottime,
            // The alarms that wake a sleeping machine need a privilege nobody has here.
            8 | 9 => return Err(Error::NotPermitted),
            _ => return Err(Error::Invalid),
        };
        let status = if flags & TFD_NONBLOCK != 0 { StatusFlags::NONBLOCK } else { StatusFlags::empty() };
        let file = self.nameless(TimerFile::new(clock), Access::READ | Access::WRITE, status);
        self.install(file, flags & TFD_CLOEXEC != 0)
    }

    /// timerfd_settime(2)
    pub(crate) fn timerfd_settime(&mut self, fd: i32, flags: i32, new: u64, old: u64) -> Result<usize> {
        const ABSTIME: i32 = 1;
        const CANCEL_ON_SET: i32 = 2;
        let raw: [u8; 32] = read_bytes(new)?;
        if flags & !(ABSTIME | CANCEL_ON_SET) != 0 {
            return Err(Error::Invalid);
        }
        let (interval, value) = (timespec_of(&raw, 0)?, timespec_of(&raw, 16)?);
        let file = self.file(fd)?;
        let timer = file.file.as_any().downcast_ref::<TimerFile>().ok_or(Error::Invalid)?;
        let next = match value {
            Duration::ZERO => None,
            at if flags & ABSTIME != 0 => Some(at),
            after => Some(host().now(timer.clock()).saturating_add(after)),
        };
        let before = timer.set(Setting { next, interval });
        if old != 0 {
            write_setting(old, &before)?;
        }
        Ok(0)
    }

    /// timerfd_gettime(2)
    pub(crate) fn timerfd_gettime(&mut self, fd: i32, current: u64) -> Result<usize> {
        let file = self.file(fd)?;
        let timer = file.file.as_any().downcast_ref::<TimerFile>().ok_or(Error::Invalid)?;
        write_setting(current, &timer.get())?;
        Ok(0)
    }
}
