//! Between the user's streams and those of a program in a sandbox: pipes, so that the sandbox is never given the user's
//! own.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use litebox_protocol::control::Call;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::connection::{Connection, Heard};

const CHUNK: usize = 16 << 10;
/// Signals that are for the program. A terminal makes its own of what is typed, so then they are not.
pub const FORWARDED: [i32; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Signals that come through a descriptor.
struct Signals(OwnedFd);

impl Signals {
    fn take(forwarded: &[i32]) -> Result<Self, Errno> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the set is initialised first; signalfd returns a fresh descriptor.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in forwarded.iter().copied().chain([libc::SIGWINCH]) {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 { Err(Errno::MFILE) } else { Ok(Self(OwnedFd::from_raw_fd(fd))) }
        }
    }

    fn next(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` has room for `size` bytes; it is read only when all of them were written.
        unsafe {
            let n = libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (n == size as isize).then(|| info.assume_init().ssi_signo as i32)
        }
    }
}

fn descriptor(fd: i32) -> BorrowedFd<'static> {
    // SAFETY: descriptors 0 to 2 stay open: the standard library opens them where the user did not.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Whether a standard stream is a terminal.
pub fn is_terminal(fd: i32) -> bool {
    // SAFETY: isatty(3) touches no memory.
    unsafe { libc::isatty(fd) == 1 }
}

/// The user's terminal, raw until this is dropped.
pub struct Raw(libc::termios);

impl Raw {
    /// Makes the terminal that stdin is raw.
    pub fn begin() -> Option<Self> {
        let mut before = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the struct is filled in before it is read; the others are copies.
        unsafe {
            if libc::tcgetattr(0, before.as_mut_ptr()) != 0 {
                return None;
            }
            let before = before.assume_init();
            let mut raw = before;
            libc::cfmakeraw(&raw mut raw);
            (libc::tcsetattr(0, libc::TCSANOW, &raw const raw) == 0).then_some(Self(before))
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: reads one struct.
        unsafe { libc::tcsetattr(0, libc::TCSADRAIN, &raw const self.0) };
    }
}

/// Rows and columns of the terminal that stdin is.
pub fn window() -> (u16, u16) {
    // SAFETY: plain data, filled in by the call.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes one struct.
    unsafe { libc::ioctl(0, libc::TIOCGWINSZ, &raw mut size) };
    (size.ws_row, size.ws_col)
}

/// The streams of a program: what it is given, and the other ends.
pub struct Streams {
    theirs: [OwnedFd; 3],
    input: Option<OwnedFd>,
    output: OwnedFd,
    errors: OwnedFd,
}

impl Streams {
    /// Pipes; without `interactive` there is nothing to read.
    pub fn new(interactive: bool) -> Result<Self, Errno> {
        let (output, their_output) = pipe_with(PipeFlags::CLOEXEC)?;
        let (errors, their_errors) = pipe_with(PipeFlags::CLOEXEC)?;
        let (their_input, input) = if interactive {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&write, true)?;
            (read, Some(write))
        } else {
            (null(rustix::fs::OFlags::RDONLY)?, None)
        };
        for ours in [&output, &errors] {
            rustix::io::ioctl_fionbio(ours, true)?;
        }
        Ok(Self { theirs: [their_input, their_output, their_errors], input, output, errors })
    }

    /// What the program is given.
    pub fn theirs(&self) -> [BorrowedFd<'_>; 3] {
        self.theirs.each_ref().map(OwnedFd::as_fd)
    }
}

/// /dev/null.
pub fn null(flags: rustix::fs::OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open("/dev/null", flags | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())
}

/// How a program ended.
pub enum Outcome {
    /// With this wait(2) status.
    Ended(i32),
    /// It was not started: the status that says so, and why.
    Refused(i32, String),
    /// The sandbox ended first.
    Over,
}

/// What is carried to a program beside its streams, and to whom it is told that it runs.
pub struct Carried<'a> {
    /// The size of the terminal that stdin is.
    pub window: bool,
    /// Signals.
    pub signals: &'a [i32],
    /// Gets a byte when the program runs.
    pub ready: Option<OwnedFd>,
}

/// Carries what is typed or read to the program and what it writes back, until it ends.
pub fn run(connection: &mut Connection, id: u32, streams: Streams, carried: &Carried<'_>) -> Result<Outcome, String> {
    let Streams { theirs, input, output, errors } = streams;
    // The ends are those of the program from now on.
    drop(theirs);
    let signals = Signals::take(carried.signals).map_err(|e| format!("signals: {e}"))?;
    let mut relay = Relay {
        reads: input.is_some(),
        input,
        typed: VecDeque::new(),
        outputs: [Some(output), Some(errors)],
        buffer: vec![0; CHUNK],
    };
    loop {
        if let Some(outcome) = heard(connection, carried.ready.as_ref())? {
            relay.drain();
            return Ok(outcome);
        }
        while let Some(signal) = signals.next() {
            if signal != libc::SIGWINCH {
                connection.tell(Call::Signal, id, u64::from(signal.unsigned_abs()))?;
            } else if carried.window {
                let (rows, columns) = window();
                connection.tell(Call::Resize, id, u64::from(rows) << 16 | u64::from(columns))?;
            }
        }
        for source in relay.wait(connection, &signals)? {
            relay.serve(source);
        }
    }
}

/// The ends of the pipes that are ours, and what is on its way.
struct Relay {
    /// There is more to read from stdin.
    reads: bool,
    /// `None`: the program does not read any more, or has been told that nothing comes any more.
    input: Option<OwnedFd>,
    typed: VecDeque<u8>,
    /// What the program writes; `None`: it has closed it.
    outputs: [Option<OwnedFd>; 2],
    buffer: Vec<u8>,
}

impl Relay {
    /// Waits until there is something to do.
    fn wait(&mut self, connection: &Connection, signals: &Signals) -> Result<Vec<Source>, String> {
        if self.typed.is_empty() && !self.reads {
            // That nothing comes any more is told by the end of the pipe.
            self.input = None;
        }
        let mut polled: Vec<(Source, BorrowedFd<'_>, PollFlags)> =
            vec![(Source::Broker, connection.fd(), PollFlags::IN), (Source::Signals, signals.0.as_fd(), PollFlags::IN)];
        if self.reads && self.typed.is_empty() {
            polled.push((Source::Typed, descriptor(0), PollFlags::IN));
        }
        if let Some(input) = &self.input {
            let flags = if self.typed.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            polled.push((Source::Input, input.as_fd(), flags));
        }
        for (which, output) in self.outputs.iter().enumerate() {
            polled.extend(output.iter().map(|output| (Source::Written(which), output.as_fd(), PollFlags::IN)));
        }
        let mut fds: Vec<_> = polled.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(format!("poll: {e}")),
        }
        let ready = polled.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|((source, ..), _)| *source).collect())
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Broker | Source::Signals => {}
            Source::Typed => match rustix::io::read(descriptor(0), &mut self.buffer) {
                Ok(0) => self.reads = false,
                Ok(n) => self.typed.extend(self.buffer.get(..n).unwrap_or_default()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => self.reads = false,
            },
            Source::Input => self.pass_typed(),
            Source::Written(which) => {
                if self.copy(which) == Copied::End {
                    self.outputs[which] = None;
                }
            }
        }
    }

    fn pass_typed(&mut self) {
        let Some(input) = &self.input else { return };
        let written = match self.typed.as_slices().0 {
            // Ready although nothing is to be written: its reader is gone.
            [] => Err(Errno::PIPE),
            typed => rustix::io::write(input, typed),
        };
        match written {
            Ok(n) => drop(self.typed.drain(..n)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Nobody reads it any more.
            Err(_) => {
                self.typed.clear();
                (self.input, self.reads) = (None, false);
            }
        }
    }

    /// The program has ended: whatever it wrote is in the pipes.
    fn drain(&mut self) {
        for which in [0, 1] {
            while self.copy(which) == Copied::Some {}
        }
    }

    /// Copies what there is to the user's stream. When the user does not take it, the program is told by the end of the
    /// pipe.
    fn copy(&mut self, which: usize) -> Copied {
        let Some(from) = &self.outputs[which] else { return Copied::End };
        match rustix::io::read(from, &mut self.buffer) {
            Ok(0) => Copied::End,
            Ok(n) => {
                let bytes = self.buffer.get(..n).unwrap_or_default();
                let written =
                    if which == 0 { write_all(&mut io::stdout(), bytes) } else { write_all(&mut io::stderr(), bytes) };
                if written.is_ok() { Copied::Some } else { Copied::End }
            }
            Err(Errno::INTR) => Copied::Some,
            Err(_) => Copied::Nothing,
        }
    }
}

/// What was polled.
#[derive(Clone, Copy)]
enum Source {
    Broker,
    Signals,
    Typed,
    Input,
    Written(usize),
}

/// What the broker has told of the end.
fn heard(connection: &mut Connection, ready: Option<&OwnedFd>) -> Result<Option<Outcome>, String> {
    while let Some(heard) = connection.next_now()? {
        match heard {
            Heard::Started => {
                // Who waits for it has gone, perhaps.
                let _ = ready.map(|ready| rustix::io::write(ready, b"+"));
            }
            Heard::Ended(status, why) if why.is_empty() => return Ok(Some(Outcome::Ended(status))),
            Heard::Ended(status, why) => return Ok(Some(Outcome::Refused(status, why))),
            Heard::Over(_) => return Ok(Some(Outcome::Over)),
            _ => {}
        }
    }
    Ok(None)
}

#[derive(PartialEq, Eq)]
enum Copied {
    Some,
    Nothing,
    End,
}

fn write_all(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
