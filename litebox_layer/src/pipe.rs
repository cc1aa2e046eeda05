//! The pipe by which a sandbox tells its changes. Nobody waits long for it once it has begun.

use std::io::{Error, ErrorKind, Read, Result};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// How long the sandbox may keep us waiting in all, whatever it tells.
const PATIENCE: Duration = Duration::from_secs(10);
/// For so many bytes it may have a second more.
const BYTES_A_SECOND: u64 = 16 << 20;

/// What comes through the pipe.
pub struct Incoming<'a> {
    pipe: OwnedFd,
    /// Called when the first bytes come.
    begun: Option<&'a dyn Fn()>,
    waited: Duration,
    got: u64,
}

impl<'a> Incoming<'a> {
    /// What will come through `pipe`. Until something comes it is waited for without a limit; then `begun` is called.
    pub fn new(pipe: OwnedFd, begun: &'a dyn Fn()) -> Self {
        Self { pipe, begun: Some(begun), waited: Duration::ZERO, got: 0 }
    }

    /// Waits until there is something to read.
    fn wait(&mut self) -> Result<()> {
        loop {
            let start = Instant::now();
            let left = PATIENCE + Duration::from_secs(self.got / BYTES_A_SECOND);
            let left = self.begun.is_none().then(|| left.saturating_sub(self.waited));
            let left = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
            let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
            let ready = rustix::event::poll(&mut fds, left.as_ref());
            if self.begun.is_none() {
                self.waited += start.elapsed();
            }
            match ready {
                Ok(0) => return Err(Error::new(ErrorKind::TimedOut, "the sandbox does not go on telling")),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.wait()?;
        let n = rustix::io::read(&self.pipe, buffer)?;
        if let Some(begun) = self.begun.take_if(|_| n > 0) {
            begun();
        }
        self.got += n as u64;
        Ok(n)
    }
}
