//! What is known of containers: a directory each, below that of `--root`.
//!
//! - `state.json`: [`Record`]. It is there when the container is.
//! - `start`: the fifo that its process waits at, until it is started.
//! - `ready`: a fifo that it writes to when its program runs.
//! - `litebox`: the directory of its sandbox ([`crate::named`]).
//! - `paused`: it was paused.
//! - `masked`: an empty file, which its maskedPaths show.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cgroup::Cgroup;
use super::config::Spec;
use super::pod::Pod;
use super::resources::Kept;
use super::{NAME, SPECIFICATION, hooks, litebox};
use crate::named::connection::Connection;
use crate::named::directory::Directory;

/// How long a container's process may take to come to its fifo, or to end when it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(2);

/// What is kept of a container.
#[derive(Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    pub pid: i32,
    /// When that process began, by its /proc/PID/stat: another may have its number later.
    pub since: String,
    pub bundle: PathBuf,
    /// When the container was made.
    pub created: String,
    pub annotations: BTreeMap<String, String>,
    /// Its control group, where the host lets it have one.
    #[serde(default)]
    pub cgroup: Option<String>,
    /// The first container of its pod, if it is in that one's sandbox.
    #[serde(default)]
    pub pod: Option<Pod>,
    /// Limits that its sandbox keeps.
    #[serde(default)]
    pub limits: Kept,
}

/// A container.
pub struct Container {
    /// Where it is kept.
    pub directory: PathBuf,
    pub record: Record,
}

/// How it is with a container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It waits for its start.
    Created,
    /// Its program runs.
    Running,
    /// Its processes stand still.
    Paused,
    /// Its program has ended.
    Stopped,
}

impl Status {
    /// As the specification has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Where containers are when nobody says it.
pub fn usual_root() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if !rustix::process::geteuid().is_root() => PathBuf::from(dir).join("litebox-oci"),
        _ => "/run/litebox-oci".into(),
    }
}

/// All containers, by name.
pub fn all(root: &Path) -> Vec<Container> {
    let names = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    names.iter().filter_map(|name| Container::open(root, name).ok()).collect()
}

/// When a process began; `None`: there is none, or it waits to be waited for.
pub fn began(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let dead = ["Z", "X"].contains(fields.first()?);
    fields.get(19).filter(|_| !dead).map(|since| (*since).to_string())
}

impl Container {
    /// The one of this name.
    pub fn open(root: &Path, id: &str) -> Result<Self, String> {
        let none = |_: std::io::Error| format!("container {id} does not exist");
        if !crate::named::directory::is_name(id) {
            return Err(none(std::io::ErrorKind::NotFound.into()));
        }
        let directory = root.join(id);
        let text = fs::read_to_string(directory.join("state.json")).map_err(none)?;
        let record = serde_json::from_str(&text).map_err(|e| format!("container {id}: state.json: {e}"))?;
        Ok(Self { directory, record })
    }

    /// Keeps what is known of it.
    pub fn store(&self) -> Result<(), String> {
        let (new, file) = (self.directory.join(".state.json"), self.directory.join("state.json"));
        let text = serde_json::to_string(&self.record).map_err(|e| e.to_string())?;
        fs::write(&new, text).and_then(|()| fs::rename(&new, &file)).map_err(|e| format!("{}: {e}", file.display()))
    }

    fn is_alive(&self) -> bool {
        began(self.record.pid).is_some_and(|since| since == self.record.since)
    }

    /// How it is with it.
    pub fn status(&self) -> Status {
        let has = |name: &str| self.directory.join(name).exists();
        match () {
            () if !self.is_alive() => Status::Stopped,
            () if has("start") => Status::Created,
            () if has("paused") => Status::Paused,
            () => Status::Running,
        }
    }

    /// As the specification has it.
    pub fn state(&self) -> Value {
        let (record, status) = (&self.record, self.status());
        json!({
            "ociVersion": SPECIFICATION,
            "id": record.id,
            "status": status.name(),
            "pid": if status == Status::Stopped { 0 } else { record.pid },
            "bundle": record.bundle,
            "rootfs": Spec::read(&record.bundle).ok().and_then(|spec| spec.root(&record.bundle).ok()),
            "created": record.created,
            "annotations": record.annotations,
        })
    }

    fn wants(&self, wanted: &[Status], what: &str) -> Result<(), String> {
        let status = self.status();
        if wanted.contains(&status) {
            return Ok(());
        }
        Err(format!("cannot {what} the container {}: it is {}", self.record.id, status.name()))
    }

    /// Refuses to do something to a container that has stopped.
    pub fn wants_life(&self, what: &str) -> Result<(), String> {
        self.wants(&[Status::Created, Status::Running, Status::Paused], what)
    }

    /// Lets its process go on.
    pub fn start(&self) -> Result<(), String> {
        self.wants(&[Status::Created], "start")?;
        let spec = Spec::read(&self.record.bundle)?;
        hooks::run(&spec, "startContainer", &self.state())?;
        let fifo = self.directory.join("start");
        let open = || fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&fifo);
        let opened = until(PATIENCE, || match open() {
            Err(_) if self.is_alive() => None,
            opened => Some(opened),
        });
        let opened = opened.ok_or("the container's process does not wait for its start")?;
        let mut writer = opened.map_err(|e| format!("{}: {e}", fifo.display()))?;
        let place = self.directory.join("ready");
        let ready = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&place);
        let ready = ready.map_err(|e| format!("{}: {e}", place.display()))?;
        fs::remove_file(&fifo).map_err(|e| format!("{}: {e}", fifo.display()))?;
        writer.write_all(b"s").map_err(|e| format!("{}: {e}", fifo.display()))?;
        self.wait_for_program(&ready);
        hooks::run(&spec, "poststart", &self.state())
    }

    /// Waits until its program runs, or has ended: more can be done with it from then on. Why it cannot run is said by
    /// itself, where its output goes.
    fn wait_for_program(&self, ready: &File) {
        const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let since = std::time::Instant::now();
        while since.elapsed() < PATIENCE && self.is_alive() {
            // Nobody has ended who has not begun: the fifo is hung up only after a first writer.
            match rustix::event::poll(&mut [PollFd::new(ready, PollFlags::IN)], Some(&LOOK)) {
                Ok(0) | Err(Errno::INTR) => {}
                _ => return,
            }
        }
    }

    /// Sends a signal to its program.
    pub fn kill(&self, signal: i32) -> Result<(), String> {
        if self.status() == Status::Stopped {
            // The last words are those that engines know.
            return Err(format!("cannot kill the container {}: container not running", self.record.id));
        }
        if self.status() == Status::Created {
            return self.kill_process(signal);
        }
        // There is somebody to be told as soon as the sandbox is.
        let told = until(PATIENCE, || {
            if self.record.pod.is_some() {
                let mut connection = Connection::to(&self.sandbox()?).ok()?;
                let sent = connection.signal_container(&self.record.id, signal);
                return (matches!(sent, Ok(Ok(()))) || !self.is_alive()).then_some(());
            }
            let mut command = litebox(self).ok()?;
            command.args(["kill", "-s", &signal.to_string(), NAME]).stdout(std::process::Stdio::null());
            let output = command.output().ok()?;
            (output.status.success() || !self.is_alive()).then_some(())
        });
        told.ok_or_else(|| format!("cannot kill the container {}: its sandbox does not answer", self.record.id))
    }

    fn kill_process(&self, signal: i32) -> Result<(), String> {
        let pid = Pid::from_raw(self.record.pid).ok_or("no process")?;
        let signal = Signal::from_named_raw(signal).ok_or("kill: this signal is only for a container that runs")?;
        kill_process(pid, signal).map_err(|e| format!("kill {}: {e}", self.record.id))
    }

    /// The directory of its pod's sandbox.
    fn sandbox(&self) -> Option<Directory> {
        Directory::below(&self.record.pod.as_ref()?.directory, NAME)
    }

    /// Stops all its processes, or has them go on.
    pub fn pause(&self, paused: bool) -> Result<(), String> {
        if self.record.pod.is_some() {
            return Err(format!("the container {} is in the sandbox of its pod, and pauses with it", self.record.id));
        }
        let (wanted, what) = if paused { (Status::Running, "pause") } else { (Status::Paused, "resume") };
        self.wants(&[wanted], what)?;
        let command = if paused { "pause" } else { "unpause" };
        let output = litebox(self)?.args([command, NAME]).output().map_err(|e| format!("{what}: {e}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_string());
        }
        let mark = self.directory.join("paused");
        let marked = if paused { fs::write(&mark, "") } else { fs::remove_file(&mark) };
        marked.map_err(|e| format!("{}: {e}", mark.display()))
    }

    /// Forgets it.
    pub fn delete(&self, force: bool) -> Result<(), String> {
        match self.status() {
            Status::Stopped => {}
            Status::Running | Status::Paused if !force => return self.wants(&[Status::Stopped], "delete"),
            _ => {
                // In a pod its program ends first: what it has open is closed when the engine takes its root away.
                if self.record.pod.is_none() || self.kill(libc::SIGKILL).is_err() {
                    self.kill_process(Signal::KILL.as_raw())?;
                }
                until(PATIENCE, || (!self.is_alive()).then_some(())).ok_or("the container does not end")?;
            }
        }
        let state = self.state();
        if let Some(group) = &self.record.cgroup {
            Cgroup::open(group)?.remove();
        }
        fs::remove_dir_all(&self.directory).map_err(|e| format!("{}: {e}", self.directory.display()))?;
        match Spec::read(&self.record.bundle) {
            Ok(spec) => hooks::run(&spec, "poststop", &state),
            // The engine has removed it already.
            Err(_) => Ok(()),
        }
    }
}

/// Asks until there is an answer.
fn until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let since = std::time::Instant::now();
    loop {
        match ask() {
            None if since.elapsed() < patience => std::thread::sleep(STEP),
            answer => return answer,
        }
    }
}
