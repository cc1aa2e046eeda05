//! Named pipes: where the pipe of a fifo inode hangs while somebody has it open.

use alloc::sync::{Arc, Weak};

use super::Node;
use crate::Result;
use crate::fs::{File, OpenHow};
use crate::pipe::Pipe;
use crate::sync::Mutex;

/// The pipe of a fifo, kept by the files that opened it.
#[derive(Default)]
pub(in crate::fs) struct FifoSlot(Mutex<Weak<Pipe>>);

/// Opens the end of a fifo that `how` asks for. It may have to wait for the other side: [`crate::pipe::PipeEnd::meets_partner`].
pub(super) fn open_fifo(node: &Arc<Node>, slot: &FifoSlot, how: OpenHow) -> Result<Arc<dyn File>> {
    let pipe = {
        let mut kept = slot.0.lock();
        kept.upgrade().unwrap_or_else(|| {
            let fresh = Pipe::new();
            *kept = Arc::downgrade(&fresh);
            fresh
        })
    };
    Ok(pipe.open(node.clone(), &how, true)?)
}
