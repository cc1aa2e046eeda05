//! The process of a container: it waits until the container is started, and becomes `litebox`.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

/// Options of the hidden command.
#[derive(Args)]
pub struct Options {
    /// A fifo: the container is started when somebody writes to it.
    #[arg(long)]
    fifo: Option<PathBuf>,
    /// Stdin is a terminal of its own.
    #[arg(long)]
    terminal: bool,
    /// It stays in the session of who started it, and at that terminal.
    #[arg(long)]
    here: bool,
    /// Arguments of `litebox`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<OsString>,
}

/// Never returns but with the reason why it cannot go on.
pub fn init(options: &Options) -> String {
    // Who started it may be gone when it is started itself.
    let own = if options.here { Ok(()) } else { rustix::process::setsid().map(drop) };
    if let Err(e) = own {
        return format!("setsid: {e}");
    }
    // SAFETY: the host reads nothing of ours.
    if options.terminal && unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } < 0 {
        return format!("the container's terminal: {}", std::io::Error::last_os_error());
    }
    if let Some(fifo) = &options.fifo {
        let mut told = [0];
        match File::open(fifo).and_then(|mut fifo| fifo.read(&mut told)) {
            Ok(1) => {}
            Ok(_) => return "the container was not started".into(),
            Err(e) => return format!("{}: {e}", fifo.display()),
        }
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(e) => return format!("/proc/self/exe: {e}"),
    };
    let failed = Command::new(program).args(&options.arguments).exec();
    format!("litebox: {failed}")
}
