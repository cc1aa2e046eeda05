//! `exec`: one more program in a container.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use clap::Args;

use super::config::Process;
use super::container::{Container, Status};
use super::create::{exit_status, give, write_pid};
use super::{NAME, console, litebox};

/// Options of `exec`.
#[derive(Args)]
#[group(skip)]
pub struct Options {
    /// Do not wait for it.
    #[arg(short, long)]
    detach: bool,
    /// Give it a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Who listens on this socket is sent the terminal.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Write the id of the process that ends as the program does to this file.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// What to run, in a file: the process of a config.json.
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Set an environment variable.
    #[arg(short, long, value_name = "K=V")]
    env: Vec<String>,
    /// Where it starts.
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Run as this user and group.
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Accepted when it is 0.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    preserve_fds: u32,
    /// The container.
    pub id: String,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// A program as it was asked for, in a file or by options.
struct Wanted {
    terminal: bool,
    user: Option<String>,
    cwd: Option<PathBuf>,
    env: Vec<String>,
    command: Vec<String>,
}

impl Wanted {
    fn of(options: &Options) -> Result<Self, String> {
        let mut wanted = Self {
            terminal: options.tty,
            user: options.user.clone(),
            cwd: options.cwd.clone(),
            env: options.env.clone(),
            command: options.command.clone(),
        };
        if let Some(file) = &options.process {
            let failed = |why: String| format!("--process {}: {why}", file.display());
            let text = fs::read_to_string(file).map_err(|e| failed(e.to_string()))?;
            let process: Process = serde_json::from_str(&text).map_err(|e| failed(e.to_string()))?;
            wanted = Self {
                terminal: process.terminal,
                user: Some(process.user.with_groups()),
                cwd: Some(process.cwd),
                env: process.env,
                command: process.args,
            };
        }
        if wanted.command.is_empty() {
            return Err("exec: no program is given".into());
        }
        Ok(wanted)
    }

    /// Arguments of `litebox exec`, in a container of a pod if one is named.
    fn arguments(&self, container: Option<&str>) -> Vec<OsString> {
        let mut out: Vec<OsString> = vec!["exec".into(), "-i".into()];
        if let Some(container) = container {
            out.extend(["--container".into(), container.into()]);
        }
        let mut option = |name: &str, value: &OsString| out.extend([name.into(), value.clone()]);
        for variable in &self.env {
            option("-e", &variable.into());
        }
        if let Some(user) = &self.user {
            option("-u", &user.into());
        }
        if let Some(cwd) = &self.cwd {
            option("-w", &cwd.into());
        }
        if self.terminal {
            out.push("-t".into());
        }
        out.extend([NAME.into(), "--".into()]);
        out.extend(self.command.iter().map(OsString::from));
        out
    }
}

/// Runs it. The exit status is the program's, unless nobody waits.
pub fn exec(container: &Container, options: &Options) -> Result<u8, String> {
    if container.status() != Status::Running {
        return Err(format!("cannot exec in the container {}: it does not run", options.id));
    }
    if options.preserve_fds > 0 {
        return Err("--preserve-fds: a program that is started later is given no descriptors but 0 to 2".into());
    }
    let wanted = Wanted::of(options)?;
    let mut command = litebox(container)?;
    if let Some(socket) = &options.console_socket {
        if !wanted.terminal {
            return Err("--console-socket: the program has no terminal (-t)".into());
        }
        command.args(["oci", "init", "--terminal", "--"]);
        give(&mut command, &console::open(socket)?)?;
    } else if options.detach && wanted.terminal {
        command.stdin(Stdio::null());
    }
    let mut child = command
        .args(wanted.arguments(container.record.pod.as_ref().map(|_| options.id.as_str())))
        .spawn()
        .map_err(|e| format!("exec: {e}"))?;
    if let Some(file) = &options.pid_file {
        write_pid(file, &child)?;
    }
    if options.detach {
        return Ok(0);
    }
    child.wait().map(exit_status).map_err(|e| format!("exec: {e}"))
}
