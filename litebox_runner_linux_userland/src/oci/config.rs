//! `config.json` of a bundle, and the options of `litebox run` that say the same.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use litebox_shim_linux::boot::SANDBOX_CAPABILITIES;
use serde::Deserialize;

use super::linux::{Linux, Network};
use super::pod::Pod;
use super::scheduling::{IoPriority, Scheduler, scheduling};
use super::view::Bind;
use crate::options::process::CAPABILITIES as KNOWN_CAPABILITIES;

/// Capabilities by name, as `features` tells them.
pub const CAPABILITIES: &[&str] = &KNOWN_CAPABILITIES;

/// The file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    root: Option<Root>,
    #[serde(default)]
    mounts: Vec<Mount>,
    /// The first program.
    pub process: Option<Process>,
    hostname: Option<String>,
    /// Hooks by their moments.
    #[serde(default)]
    pub hooks: BTreeMap<String, Vec<Hook>>,
    /// What the engine keeps with it.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// What is Linux's.
    #[serde(default)]
    pub linux: Linux,
}

#[derive(Deserialize)]
struct Root {
    path: PathBuf,
    #[serde(default)]
    readonly: bool,
}

#[derive(Deserialize)]
struct Mount {
    destination: PathBuf,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    source: PathBuf,
    #[serde(default)]
    options: Vec<String>,
}

/// A program.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// It has a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// All of its environment.
    #[serde(default)]
    pub env: Vec<String>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Who it runs as.
    #[serde(default)]
    pub user: User,
    #[serde(default)]
    rlimits: Vec<Rlimit>,
    capabilities: Option<Capabilities>,
    #[serde(default)]
    no_new_privileges: bool,
    #[serde(default)]
    oom_score_adj: Option<i32>,
    scheduler: Option<Scheduler>,
    io_priority: Option<IoPriority>,
}

/// A user of the container.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct User {
    uid: u32,
    gid: u32,
    #[serde(default)]
    additional_gids: Vec<u32>,
}

impl User {
    /// As `-u` has it.
    pub fn option(&self) -> String {
        format!("{}:{}", self.uid, self.gid)
    }
    /// As a program that is started later has it, with the other groups.
    pub fn with_groups(&self) -> String {
        let more: Vec<String> = self.additional_gids.iter().map(u32::to_string).collect();
        let mark = if more.is_empty() { "" } else { ":" };
        format!("{}{mark}{}", self.option(), more.join(","))
    }
}

#[derive(Deserialize)]
struct Rlimit {
    #[serde(rename = "type")]
    kind: String,
    soft: u64,
    hard: u64,
}

#[derive(Deserialize)]
struct Capabilities {
    #[serde(default)]
    bounding: Vec<String>,
    #[serde(default)]
    inheritable: Vec<String>,
    #[serde(default)]
    ambient: Vec<String>,
}

/// A program of the host.
#[derive(Deserialize)]
pub struct Hook {
    /// Where it is.
    pub path: PathBuf,
    /// Its arguments, its name first.
    #[serde(default)]
    pub args: Vec<String>,
    /// All of its environment.
    #[serde(default)]
    pub env: Vec<String>,
    /// How many seconds it may take.
    pub timeout: Option<u32>,
}

/// Places that every sandbox has of its own.
pub const OWN: [&str; 4] = ["/proc", "/sys", "/dev", "/dev/pts"];

impl Spec {
    /// Reads that of a bundle.
    pub fn read(bundle: &Path) -> Result<Self, String> {
        let file = bundle.join("config.json");
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
    }

    /// Whether its program has a terminal.
    pub fn has_terminal(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.terminal)
    }

    /// Its root on the host.
    pub fn root(&self, bundle: &Path) -> Result<PathBuf, String> {
        let root = self.root.as_ref().ok_or("config.json: root is missing")?;
        let path = bundle.join(&root.path);
        if path.is_dir() { Ok(path) } else { Err(format!("root.path {}: not a directory", path.display())) }
    }

    /// Where on the host a path of the container is, and whether nothing changes there; `None`: it is the sandbox's
    /// own.
    pub fn on_host(&self, path: &Path, bundle: &Path) -> Option<PathBuf> {
        // Of two at one place, the last is seen.
        let below = |mount: &&Mount| path.starts_with(&mount.destination);
        let Some(mount) = self.mounts.iter().filter(below).max_by_key(|mount| mount.destination.components().count())
        else {
            return Some(self.root(bundle).ok()?.join(path.strip_prefix("/").ok()?));
        };
        let rest = path.strip_prefix(&mount.destination).ok()?;
        // A file has nothing below it, not even with a slash.
        let source = bundle.join(&mount.source);
        mount.is_bind().then(|| if rest.as_os_str().is_empty() { source } else { source.join(rest) })
    }

    /// Whether a path of the container is in something that is mounted.
    pub fn is_in_mount(&self, path: &Path) -> bool {
        self.mounts.iter().any(|mount| path.starts_with(&mount.destination))
    }

    /// What of the host is mounted in its root; in places of the sandbox's own nothing can be made there.
    pub fn binds(&self, bundle: &Path) -> Vec<Bind> {
        let own = |mount: &&Mount| OWN.iter().any(|own| mount.destination.starts_with(own));
        let binds = self.mounts.iter().filter(|mount| mount.is_bind() && !own(mount));
        binds
            .map(|mount| Bind {
                from: bundle.join(&mount.source),
                to: mount.destination.clone(),
                read_only: mount.has("ro"),
            })
            .collect()
    }

    /// Its network.
    pub fn network(&self) -> Network<'_> {
        self.linux.network()
    }

    /// Arguments of `litebox run`.
    pub fn arguments(&self, bundle: &Path, how: &How<'_>) -> Result<Vec<OsString>, String> {
        let process = self.process.as_ref().ok_or("config.json: process is missing")?;
        if process.args.is_empty() {
            return Err("config.json: process.args is empty".into());
        }
        let mut out = Arguments(Vec::new());
        out.word("run").option("--name", how.name);
        if let Some((id, pod)) = how.pod {
            out.option("--join", id);
            if how.preserved > 0 {
                return Err("--preserve-fds: a container of a pod is given no descriptors but 0 to 2".into());
            }
            for part in self.linux.separate(pod.pid) {
                out.option("--separate", part);
            }
        }
        out.option("--rootfs", self.root(bundle)?);
        if self.root.as_ref().is_some_and(|root| root.readonly) {
            out.word("--read-only");
        } else {
            out.word("--rootfs-rw");
        }
        if how.preserved > 0 {
            out.option("--preserve-fds", how.preserved.to_string());
        }
        out.option("--hostname", self.hostname.as_deref().unwrap_or("litebox"));
        for mount in &self.mounts {
            out.mount(mount, bundle)?;
        }
        self.linux.add_to(&mut out, self, bundle, how)?;
        process.add_to(&mut out)?;
        Ok(out.0)
    }
}

impl Mount {
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|given| given == option)
    }
    fn is_bind(&self) -> bool {
        self.kind == "bind" || self.has("bind") || self.has("rbind")
    }
}

/// What the runtime adds to the file.
pub struct How<'a> {
    /// The name of the sandbox.
    pub name: &'a str,
    /// An empty file.
    pub masked: &'a Path,
    /// Where its profile of calls is written, if it has one.
    pub seccomp: &'a Path,
    /// The container has a control group.
    pub has_group: bool,
    /// So many descriptors from 3 on are the program's.
    pub preserved: u32,
    /// The name that it has in the sandbox of its pod, and that pod.
    pub pod: Option<(&'a str, &'a Pod)>,
}

/// Arguments that are being made.
#[derive(Default)]
pub struct Arguments(pub Vec<OsString>);

impl Arguments {
    /// One word.
    pub fn word(&mut self, word: impl Into<OsString>) -> &mut Self {
        self.0.push(word.into());
        self
    }
    /// An option and its value.
    pub fn option(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.word(name).word(value)
    }

    fn mount(&mut self, mount: &Mount, bundle: &Path) -> Result<(), String> {
        let to = mount.destination.display();
        match mount.kind.as_str() {
            _ if mount.is_bind() => {
                let source = bundle.join(&mount.source);
                let asked = ["ro", "noexec", "nodev"].into_iter().filter(|option| mount.has(option));
                let mode: String = asked.flat_map(|option| [",", option]).collect();
                self.option("--mount", format!("type=bind,src={},dst={to}{mode}", source.display()));
            }
            // What every sandbox has.
            _ if OWN.iter().any(|own| mount.destination == Path::new(own)) => {}
            "proc" | "sysfs" | "devpts" | "mqueue" | "cgroup" | "cgroup2" => {}
            "tmpfs" => {
                let options = mount.options.iter().filter(|option| {
                    ["ro", "noexec", "nodev"].contains(&option.as_str())
                        || option.starts_with("size=")
                        || option.starts_with("mode=")
                });
                let options: Vec<&str> = options.map(String::as_str).collect();
                let more = if options.is_empty() { String::new() } else { format!(":{}", options.join(",")) };
                self.option("--tmpfs", format!("{to}{more}"));
            }
            other => {
                return Err(format!("mounts: {to}: type {other} is none of bind, tmpfs, and what every sandbox has"));
            }
        }
        Ok(())
    }
}

impl Process {
    fn add_to(&self, out: &mut Arguments) -> Result<(), String> {
        out.option("--scheduling", scheduling(self.scheduler.as_ref(), self.io_priority.as_ref())?);
        out.option("-w", &self.cwd).option("-u", self.user.option());
        for group in &self.user.additional_gids {
            out.option("--group-add", group.to_string());
        }
        for variable in &self.env {
            out.option("-e", variable);
        }
        for limit in &self.rlimits {
            let name = limit.kind.trim_start_matches("RLIMIT_").to_lowercase();
            let value = |value: u64| if value == u64::MAX { "unlimited".into() } else { value.to_string() };
            out.option("--ulimit", format!("{name}={}:{}", value(limit.soft), value(limit.hard)));
        }
        if let Some(capabilities) = &self.capabilities {
            // What is effective and permitted follows from these when the program is executed.
            let is_in = |set: &[String], name: &str| set.iter().any(|given| given.trim_start_matches("CAP_") == name);
            for (bit, name) in CAPABILITIES.iter().enumerate() {
                let given = SANDBOX_CAPABILITIES >> bit & 1 != 0;
                if !is_in(&capabilities.bounding, name) {
                    out.option("--cap-drop", *name);
                }
                if given && is_in(&capabilities.inheritable, name) {
                    out.option("--cap-inherit", *name);
                }
                if given && is_in(&capabilities.ambient, name) {
                    out.option("--cap-ambient", *name);
                }
            }
        }
        if let Some(number) = self.oom_score_adj {
            out.option("--oom-score-adj", number.to_string());
        }
        if self.no_new_privileges {
            out.option("--security-opt", "no-new-privileges");
        }
        if self.terminal {
            out.word("-t");
        }
        out.word("--");
        for argument in &self.args {
            out.word(argument);
        }
        Ok(())
    }
}
