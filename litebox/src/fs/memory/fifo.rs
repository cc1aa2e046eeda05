//! Named pipes: where the pipe of a fifo inode hangs while somebody has it open.

use alloc::sync::{Arc, Weak};
use core::any::Any;

use super::Node;
use crate::fs::{File, OpenHow};
use crate::sync::Mutex;
use crate::{Error, Result};

/// The pipe of a fifo, kept by the files that opened it.
#[derive(Default)]
pub(in crate::fs) struct FifoSlot(
    #[expect(dead_code, reason = "for the pipes")] Mutex<Option<Weak<dyn Any + Send + Sync>>>,
);

/// Opens the end of a fifo that `how` asks for.
pub(super) fn open_fifo(_node: &Arc<Node>, _slot: &FifoSlot, _how: OpenHow) -> Result<Arc<dyn File>> {
    Err(Error::NoSuchDevice)
}
