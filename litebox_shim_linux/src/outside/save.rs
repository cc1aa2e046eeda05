//! `litebox save`: what was changed in copy-on-write trees is told while the sandbox runs, by a process that executes
//! no program. All others stand still meanwhile, so that what is told was so at one moment.

use alloc::sync::Arc;
use core::time::Duration;

use litebox::event::{Events, wait_until_ready};
use litebox::fs::OpenFile;
use litebox::io::Source;
use litebox::platform::host;
use litebox::{Error, Result};

use crate::Task;

/// The descriptor that it is written to.
const OUTPUT: i32 = 1;
/// How long whoever reads it may do nothing. The other programs wait for him.
const PATIENCE: Duration = Duration::from_secs(10);

impl Task<'_, '_> {
    /// Writes all changes to descriptor 1. Why that was not done, for the user.
    pub(super) fn save_changes(&mut self) -> core::result::Result<(), &'static str> {
        self.thread.name.lock()[..4].copy_from_slice(b"save");
        let output = self.file(OUTPUT).map_err(|_| "there is no place to write to")?;
        let kernel = self.kernel().clone();
        let frozen = kernel.freeze(self.thread).ok_or("somebody else is just saving")?;
        let told = kernel.tell_changes_to(true, &mut |bytes| self.write_out(&output, bytes));
        drop(frozen);
        told.map_err(|error| match error {
            Error::TimedOut => "nobody takes what is to be saved",
            _ => "not all of it could be told",
        })
    }

    fn write_out(&self, output: &Arc<OpenFile>, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let until = host().instant().saturating_add(PATIENCE);
            let mut source = Source::kernel(bytes);
            let write = || output.write(&mut source);
            let n = wait_until_ready(self.waiter(), &**output, Events::OUT, Some(until), write)?;
            bytes = bytes.get(n..).unwrap_or_default();
        }
        Ok(())
    }
}
