//! `/dev/random` and `/dev/urandom`: the host's random bytes.

use alloc::sync::Arc;
use core::any::Any;

use crate::fs::{File, Inode};
use crate::io::{Dest, Source};
use crate::platform::host;
use crate::{Error, Result};

/// Bytes that pass through the kernel's stack at a time.
const CHUNK: usize = 1024;
/// The most one read returns (random(4)), so that none takes long.
const MOST: usize = (32 << 20) - 1;
/// ioctl: how many bits of entropy there are.
const RNDGETENTCNT: u32 = 0x8004_5200;
/// What a pool that has been seeded says.
const ENTROPY_BITS: u32 = 256;

/// `/dev/random` and `/dev/urandom`, which differ no longer.
pub(super) struct Random {
    pub node: Arc<dyn Inode>,
}

impl File for Random {
    fn inode(&self) -> Arc<dyn Inode> {
        self.node.clone()
    }
    fn offset_stays(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        dest.limit(MOST);
        let mut chunk = [0u8; CHUNK];
        let mut done = 0;
        while dest.remaining() > 0 {
            let part = chunk.get_mut(..dest.remaining().min(CHUNK)).unwrap_or_default();
            let wanted = part.len();
            host().random(part);
            match dest.put(part) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(n) => {
                    done += n;
                    if n < wanted {
                        break;
                    }
                }
            }
        }
        Ok(done)
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        // What the guest writes is read, but the host's pool is not its to stir.
        source.limit(MOST);
        let mut chunk = [0u8; CHUNK];
        let mut done = 0;
        while source.remaining() > 0 {
            match source.take(&mut chunk) {
                Err(error) if done == 0 => return Err(error),
                Err(_) | Ok(0) => break,
                Ok(n) => done += n,
            }
        }
        Ok(done)
    }
    fn append(&self, source: &mut Source<'_>) -> Result<(usize, u64)> {
        Ok((self.write_at(source, 0)?, 0))
    }
    fn ioctl(&self, request: u32, arg: usize) -> Result<usize> {
        match request {
            RNDGETENTCNT => {
                let bits = ENTROPY_BITS.to_le_bytes();
                let mut dest = Dest::user(arg, bits.len());
                if dest.put(&bits)? == bits.len() { Ok(0) } else { Err(Error::Fault) }
            }
            _ => Err(Error::Invalid),
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
