//! Counters that are files (eventfd(2)).

use alloc::sync::Arc;
use core::any::Any;

use crate::event::{Events, Observer, WaitQueue};
use crate::fs::{AnonInode, File, Inode};
use crate::io::{Dest, Source};
use crate::sync::Mutex;
use crate::{Error, Result};

/// The counter never reaches this.
const NEVER: u64 = u64::MAX;

/// A counter.
pub struct EventFile {
    count: Mutex<u64>,
    /// A read takes one, not all.
    semaphore: bool,
    queue: WaitQueue,
    inode: Arc<AnonInode>,
}

impl EventFile {
    /// A counter that starts at `count`.
    pub fn new(count: u32, semaphore: bool) -> Arc<Self> {
        Arc::new(Self {
            count: Mutex::new(count.into()),
            semaphore,
            queue: WaitQueue::new(),
            inode: AnonInode::shared("eventfd"),
        })
    }
    /// The count now, and whether a read takes one of it (for /proc).
    pub fn state(&self) -> (u64, bool) {
        (*self.count.lock(), self.semaphore)
    }
    /// Counts one thing that happened; a full counter stays full.
    pub fn increment(&self) {
        let mut count = self.count.lock();
        *count = count.saturating_add(1).min(NEVER - 1);
        drop(count);
        self.queue.notify(Events::IN | Events::RDNORM);
    }
    /// Adds the number in the next buffer.
    fn add(&self, source: &mut Source<'_>) -> Result<usize> {
        let mut raw = [0u8; 8];
        if source.piece()?.is_none_or(|piece| piece.len != raw.len()) {
            return Err(Error::Invalid);
        }
        // The bytes stay with the source until they count: a write that has to wait comes again.
        source.peek_whole(&mut raw)?;
        let more = u64::from_ne_bytes(raw);
        if more == NEVER {
            return Err(Error::Invalid);
        }
        let mut count = self.count.lock();
        *count = count.checked_add(more).filter(|sum| *sum != NEVER).ok_or(Error::WouldBlock)?;
        drop(count);
        source.advance(raw.len());
        self.queue.notify(Events::IN | Events::RDNORM);
        Ok(raw.len())
    }
}

impl File for EventFile {
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn takes_everything(&self) -> bool {
        false
    }
    fn offset_stays(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        if dest.remaining() < 8 {
            return Err(Error::Invalid);
        }
        let mut count = self.count.lock();
        let taken = match *count {
            0 => return Err(Error::WouldBlock),
            _ if self.semaphore => 1,
            all => all,
        };
        *count -= taken;
        drop(count);
        self.queue.notify(Events::OUT | Events::WRNORM);
        dest.put_whole(&taken.to_ne_bytes())?;
        Ok(8)
    }
    /// Each buffer is a number.
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        let mut done = 0;
        loop {
            match self.add(source) {
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
            if source.remaining() == 0 {
                return Ok(done);
            }
        }
    }
    fn ready(&self) -> Events {
        let count = *self.count.lock();
        let mut events = Events::empty();
        events.set(Events::IN | Events::RDNORM, count > 0);
        events.set(Events::OUT | Events::WRNORM, count < NEVER - 1);
        events
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
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
    use super::{EventFile, NEVER};
    use crate::Error;
    use crate::event::Events;
    use crate::fs::File;
    use crate::io::{Dest, Source};

    fn read(file: &EventFile) -> crate::Result<u64> {
        let mut raw = [0; 8];
        file.read_at(&mut Dest::kernel(&mut raw), 0).map(|_| u64::from_ne_bytes(raw))
    }
    fn write(file: &EventFile, n: u64) -> crate::Result<usize> {
        file.write_at(&mut Source::kernel(&n.to_ne_bytes()), 0)
    }

    #[test]
    fn counts_and_never_overflows() {
        let file = EventFile::new(3, false);
        assert_eq!(write(&file, NEVER), Err(Error::Invalid));
        assert_eq!(write(&file, NEVER - 4), Ok(8));
        assert_eq!(file.ready(), Events::IN | Events::RDNORM);
        assert_eq!(write(&file, 1), Err(Error::WouldBlock));
        assert_eq!((read(&file), read(&file)), (Ok(NEVER - 1), Err(Error::WouldBlock)));
        let semaphore = EventFile::new(2, true);
        assert_eq!((read(&semaphore), read(&semaphore), read(&semaphore)), (Ok(1), Ok(1), Err(Error::WouldBlock)));
    }
}
