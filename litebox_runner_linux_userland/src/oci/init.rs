//! The process of a container, and beside it the one that becomes `litebox` when the container is started.
//!
//! Engines know the first by its id. It is in the namespaces that they look for ([`view`], `network.path`), passes
//! signals on, and ends as the program does.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use rustix::io::Errno;
use rustix::io::FdFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use super::cgroup::Cgroup;
use super::config::{Arguments, Spec};
use super::hooks;
use super::linux::{Network, network_options};
use super::relay::{self, Held};
use super::view;
use crate::preserved;

/// Options of the hidden command.
#[derive(Args)]
#[group(skip)]
pub struct Options {
    /// A fifo: the container is started when somebody writes to it.
    #[arg(long)]
    fifo: Option<PathBuf>,
    /// The container's bundle.
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Its control group.
    #[arg(long)]
    group: Option<String>,
    /// A descriptor to which it is said that the container waits for its start, or why it does not.
    #[arg(long, default_value_t = -1)]
    ready: RawFd,
    /// Stdin is a terminal of its own.
    #[arg(long)]
    terminal: bool,
    /// It stays in the session of who started it, and at that terminal.
    #[arg(long)]
    here: bool,
    /// So many descriptors from 3 on are the program's.
    #[arg(long, default_value_t = 0)]
    preserved: u32,
    /// Arguments of `litebox`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<OsString>,
}

/// What is said when the container waits for its start.
pub const READY: &str = "ready";

/// Returns when the program has ended, with its exit status.
pub fn init(options: &Options) -> Result<u8, String> {
    // Who started it may be gone when it is started itself.
    let own = if options.here { Ok(()) } else { rustix::process::setsid().map(drop) };
    own.map_err(|e| format!("setsid: {e}"))?;
    // SAFETY: the host reads nothing of ours.
    if options.terminal && unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } < 0 {
        return Err(format!("the container's terminal: {}", std::io::Error::last_os_error()));
    }
    let Some(bundle) = &options.bundle else { return Err(become_litebox(&options.arguments)) };
    // SAFETY: whoever started this process left it open for this, and nobody else here knows of it.
    let mut ready = (options.ready > 2).then(|| unsafe { File::from_raw_fd(options.ready) });
    match prepare(options, bundle, &mut ready) {
        Ok((held, child)) => {
            tell(ready, READY);
            held.wait(child).map_err(|e| format!("the container's process: {e}"))
        }
        Err(why) => {
            tell(ready, &why);
            Err(why)
        }
    }
}

/// Nobody may listen any more.
fn tell(ready: Option<File>, what: &str) {
    let _ = ready.map(|mut ready| ready.write_all(what.as_bytes()));
}

/// Takes this process where engines look for it. The process beside it, which waits for the start.
fn prepare(options: &Options, bundle: &Path, ready: &mut Option<File>) -> Result<(Held, libc::pid_t), String> {
    let spec = Spec::read(bundle)?;
    if let Some(group) = &options.group {
        Cgroup::open(group)?.add(std::process::id())?;
    }
    let mut arguments = options.arguments.clone();
    match spec.network() {
        Network::Namespace(place) => {
            join_network(place).map_err(|e| format!("linux.namespaces: network {}: {e}", place.display()))?;
        }
        // Hooks bring devices there. Without them there is nothing but a loopback device, which the sandbox has anyway.
        Network::New
            if hooks::are_early(&spec) && new_network().map_err(|e| format!("linux.namespaces: network: {e}"))? =>
        {
            let mut network = Arguments::default();
            network_options(&mut network, &spec, bundle);
            // Behind the command.
            arguments.splice(1..1, network.0);
        }
        Network::New | Network::Host => {}
    }
    let failed = |e: std::io::Error| format!("the container's process: {e}");
    let (seen, shown) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let (mut seen, mut shown) = (File::from(seen), File::from(shown));
    let held = relay::hold().map_err(failed)?;
    // SAFETY: this process has one thread, so that nothing is half done in the other.
    match unsafe { libc::fork() } {
        -1 => Err(failed(std::io::Error::last_os_error())),
        0 => {
            drop((ready.take(), shown));
            // Nobody is left to be told but by stderr.
            crate::message::say(&second(options, &arguments, &held, &mut seen));
            std::process::exit(1)
        }
        child => {
            drop(seen);
            preserved::close(options.preserved);
            view::enter(&spec.root(bundle)?, &spec.binds(bundle)).map_err(|e| format!("the container's root: {e}"))?;
            shown.write_all(b"v").map_err(failed)?;
            Ok((held, child))
        }
    }
}

/// The process beside: it ends when the first does.
fn second(options: &Options, arguments: &[OsString], held: &Held, seen: &mut impl Read) -> String {
    if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("the container's process: {e}");
    }
    held.release();
    // Not before the first is where engines look for it.
    if seen.read_exact(&mut [0]).is_err() {
        // The first says why.
        std::process::exit(1);
    }
    let Some(fifo) = &options.fifo else { return become_litebox(arguments) };
    match wait_for_start(fifo).and_then(|()| with_ready(arguments, &fifo.with_file_name("ready"))) {
        Ok(arguments) => become_litebox(&arguments),
        Err(why) => why,
    }
}

/// The arguments, and that it is told when the program runs to whoever started it, if they are still there.
fn with_ready(arguments: &[OsString], fifo: &Path) -> Result<Vec<OsString>, String> {
    let mut all = arguments.to_vec();
    if let Ok(ready) = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(fifo) {
        // What this process becomes inherits it.
        rustix::io::fcntl_setfd(&ready, FdFlags::empty()).map_err(|e| format!("{}: {e}", fifo.display()))?;
        let number = ready.into_raw_fd().to_string();
        all.splice(1..1, ["--ready-fd".into(), number.into()]);
    }
    Ok(all)
}

fn wait_for_start(fifo: &Path) -> Result<(), String> {
    let mut told = [0];
    match File::open(fifo).and_then(|mut fifo| fifo.read(&mut told)) {
        Ok(1) => Ok(()),
        Ok(_) => Err("the container was not started".into()),
        Err(e) => Err(format!("{}: {e}", fifo.display())),
    }
}

fn join_network(place: &Path) -> std::io::Result<()> {
    Ok(move_into_link_name_space(File::open(place)?.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// A network namespace of its own, where nothing is but a loopback device. `false`: the host lets this user make none,
/// and the container has the loopback device of its sandbox alone.
fn new_network() -> std::io::Result<bool> {
    // SAFETY: there are no other threads; no descriptors are shared or closed by it.
    match unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        Err(Errno::PERM | Errno::NOSYS | Errno::NOSPC) => Ok(false),
        done => Ok(done.map(|()| true)?),
    }
}

/// Never returns but with the reason why it cannot go on.
fn become_litebox(arguments: &[OsString]) -> String {
    let failed = match std::env::current_exe() {
        Ok(program) => Command::new(program).arg0("litebox").args(arguments).exec(),
        Err(e) => e,
    };
    format!("litebox: {failed}")
}
