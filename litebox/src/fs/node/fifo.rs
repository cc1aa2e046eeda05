//! Named pipes: where the pipe of a fifo inode hangs while somebody has it open.

use alloc::sync::{Arc, Weak};

use crate::Result;
use crate::fs::{File, Inode, OpenHow};
use crate::pipe::Pipe;
use crate::sync::Mutex;

/// The pipe of a fifo, kept by the files that opened it.
#[derive(Default)]
pub(in crate::fs) struct FifoSlot(Mutex<Weak<Pipe>>);

impl FifoSlot {
    /// Opens the end of the fifo `inode` that `how` asks for. It may have to wait for the other side:
    /// [`crate::pipe::PipeEnd::meets_partner`].
    pub(in crate::fs) fn open(&self, inode: Arc<dyn Inode>, how: OpenHow) -> Result<Arc<dyn File>> {
        let pipe = {
            let mut kept = self.0.lock();
            kept.upgrade().unwrap_or_else(|| {
                let fresh = Pipe::new();
                *kept = Arc::downgrade(&fresh);
                fresh
            })
        };
        Ok(pipe.open(inode, &how, true)?)
    }
}
