//! A user at a terminal: a program is started on a fresh pseudo-terminal, which is typed at and looked at.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::{program_result, standstill};

/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program on a terminal.
pub struct TerminalUser {
    master: File,
    child: Child,
    /// The settings of the terminal when nobody had changed them.
    pub before: Settings,
    /// Shown and not looked at yet.
    shown: Vec<u8>,
}

/// Settings of a terminal, to be compared.
pub type Settings = [u32; 4];

impl TerminalUser {
    /// Starts `command` on a terminal of 24 lines and 80 columns. `wires` are the descriptors that lead to it.
    pub fn start(mut command: Command, wires: &[i32]) -> io::Result<Self> {
        let (master, slave) = open_pair()?;
        for fd in 0..3 {
            let stdio = if wires.contains(&fd) { Stdio::from(slave.try_clone()?) } else { Stdio::null() };
            match fd {
                0 => command.stdin(stdio),
                1 => command.stdout(if wires.contains(&1) { stdio } else { Stdio::piped() }),
                _ => command.stderr(stdio),
            };
        }
        let terminal = slave.as_raw_fd();
        let lead = move || {
            // SAFETY: system calls alone. The session of the test binary is left, and the process leads its own group
            // there.
            let failed = unsafe { libc::setsid() < 0 || libc::ioctl(terminal, libc::TIOCSCTTY, 0) < 0 };
            if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
        };
        // SAFETY: the closure makes system calls alone.
        unsafe { command.pre_exec(lead) };
        let before = settings_of(master.as_raw_fd());
        let child = command.spawn()?;
        Ok(Self { master: File::from(master), child, before, shown: Vec::new() })
    }

    /// Types.
    pub fn types(&mut self, text: &str) -> io::Result<()> {
        self.master.write_all(text.as_bytes())
    }

    /// Changes the size of the window.
    pub fn resizes(&mut self, rows: u16, columns: u16) -> io::Result<()> {
        set_window(self.master.as_raw_fd(), rows, columns)
    }

    /// Takes what is there within `wait`; `false` at the end.
    fn look(&mut self, wait: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.master.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX).max(1);
        // SAFETY: one struct.
        if unsafe { libc::poll(&raw mut poll, 1, millis) } <= 0 {
            return Ok(true);
        }
        let mut chunk = [0u8; 4096];
        match self.master.read(&mut chunk) {
            Ok(n) => {
                self.shown.extend_from_slice(&chunk[..n]);
                Ok(n > 0)
            }
            // Nobody has the terminal open any more.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until `text` is shown; what was shown up to its end is returned.
    pub fn sees(&mut self, text: &str) -> Result<String, Failed> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown.windows(text.len()).position(|w| w == text.as_bytes()) {
                let seen: Vec<u8> = self.shown.drain(..at + text.len()).collect();
                return Ok(String::from_utf8_lossy(&seen).into_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.look(left)? {
                let shown = String::from_utf8_lossy(&self.shown);
                return Err(format!("{text:?} was never shown, but {shown:?}").into());
            }
        }
    }

    /// Waits until the program and all that it started do nothing more: they have taken what was typed, if they have
    /// shown some of it, and wait.
    pub fn rests(&self) -> Result<(), Failed> {
        if standstill::await_rest(self.child.id(), PATIENCE) {
            return Ok(());
        }
        Err(format!("it does not come to rest:\n{}", standstill::describe(self.child.id())).into())
    }

    /// The program, a shell, was told to start another one: waits until that is there and rests.
    pub fn starts(&self) -> Result<(), Failed> {
        let until = Instant::now() + PATIENCE;
        while standstill::descendants(self.child.id()).len() < 2 {
            if Instant::now() > until {
                return Err("nothing was started".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.rests()
    }

    /// Waits for the end; returns the exit status and what was shown since the last look.
    pub fn ends(&mut self) -> Result<(i32, String), Failed> {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            self.look(Duration::from_millis(10))?;
            if let Some(status) = self.child.try_wait()? {
                break program_result::status_code(status);
            }
            if Instant::now() > until {
                return Err(format!("did not end, shown: {:?}", String::from_utf8_lossy(&self.shown)).into());
            }
        };
        while self.look(Duration::from_millis(50))? && Instant::now() < until {
            if self.shown.is_empty() || !self.waits()? {
                break;
            }
        }
        Ok((status, String::from_utf8_lossy(&self.shown).into_owned()))
    }

    fn waits(&self) -> io::Result<bool> {
        let mut count = 0;
        // SAFETY: one integer.
        if unsafe { libc::ioctl(self.master.as_raw_fd(), libc::FIONREAD, &raw mut count) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(count > 0)
    }

    /// What the program writes to a stdout that is no terminal.
    pub fn piped(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// The process that was started.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The settings of the terminal: input, output, control and local flags.
    pub fn settings(&self) -> Settings {
        settings_of(self.master.as_raw_fd())
    }

    /// Looks at nothing any more: the terminal stays, and fills up. To be dropped at the end.
    pub fn stalls(self) -> (Child, File) {
        (self.child, self.master)
    }

    /// The terminal goes away.
    pub fn leaves(self) -> Child {
        self.child
    }
}

fn settings_of(terminal: i32) -> Settings {
    let mut termios = std::mem::MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: fills one struct, which was zeroed.
    let now = unsafe {
        libc::tcgetattr(terminal, termios.as_mut_ptr());
        termios.assume_init()
    };
    [now.c_iflag, now.c_oflag, now.c_cflag, now.c_lflag]
}

fn set_window(fd: i32, rows: u16, columns: u16) -> io::Result<()> {
    let window = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: one struct.
    if unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &raw const window) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn open_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: openpty(3) fills the two numbers, which are owned from there on.
    let (master, slave) = unsafe {
        if libc::openpty(&raw mut master, &raw mut slave, std::ptr::null_mut(), std::ptr::null(), std::ptr::null()) < 0
        {
            return Err(io::Error::last_os_error());
        }
        (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    };
    for fd in [&master, &slave] {
        // SAFETY: no pointers.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    set_window(master.as_raw_fd(), 24, 80)?;
    Ok((master, slave))
}
