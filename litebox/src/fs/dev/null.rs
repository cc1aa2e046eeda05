//! The devices without content: null, zero and full.

use alloc::sync::Arc;
use core::any::Any;

use crate::fs::{File, Inode, Mapping};
use crate::io::{Dest, Source};
use crate::{Error, Result};

/// Counts all of `source` as written, unread; an address outside the guest's range is still a fault.
fn swallow(source: &mut Source<'_>) -> Result<usize> {
    let mut done = 0;
    while let Some(piece) = source.piece()? {
        source.advance(piece.len);
        done += piece.len;
    }
    Ok(done)
}

/// `/dev/null`.
pub(super) struct Null {
    pub node: Arc<dyn Inode>,
}

impl File for Null {
    fn inode(&self) -> Arc<dyn Inode> {
        self.node.clone()
    }
    fn offset_stays(&self) -> bool {
        true
    }
    fn read_at(&self, _dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        Ok(0)
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        swallow(source)
    }
    fn append(&self, source: &mut Source<'_>) -> Result<(usize, u64)> {
        Ok((swallow(source)?, 0))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// `/dev/zero`, and `/dev/full`, which has no room for anything.
pub(super) struct Zero {
    pub node: Arc<dyn Inode>,
    pub full: bool,
}

impl File for Zero {
    fn inode(&self) -> Arc<dyn Inode> {
        self.node.clone()
    }
    fn offset_stays(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        dest.put_zeros(dest.remaining())
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        if self.full {
            return Err(Error::NoSpace);
        }
        swallow(source)
    }
    fn append(&self, source: &mut Source<'_>) -> Result<(usize, u64)> {
        Ok((self.write_at(source, 0)?, 0))
    }
    fn mapping(&self) -> Result<Mapping> {
        if self.full { Err(Error::NoDevice) } else { Ok(Mapping::Anonymous) }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
