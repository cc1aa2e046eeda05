//! `linux` of a config.json, but for the resources.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use litebox_shim_linux::boot::SANDBOX_CAPABILITIES;
use rustix::fs::OFlags;
use serde::Deserialize;
use serde_json::Value;

use super::config::{Arguments, How, OWN, Spec};
use super::resources::Resources;
use super::view::within;
use crate::seccomp::Profile;

/// The part of the file.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// Limits.
    #[serde(default)]
    pub resources: Resources,
    /// Its group on the host.
    pub cgroups_path: Option<String>,
    #[serde(default)]
    masked_paths: Vec<PathBuf>,
    #[serde(default)]
    readonly_paths: Vec<PathBuf>,
    #[serde(default)]
    namespaces: Vec<Namespace>,
    #[serde(default)]
    uid_mappings: Vec<Value>,
    #[serde(default)]
    devices: Vec<Device>,
    seccomp: Option<Value>,
    #[serde(default)]
    sysctl: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Device {
    path: PathBuf,
}

/// What network a container has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Network<'a> {
    /// The host's.
    Host,
    /// One of its own.
    New,
    /// That of the namespace with this path.
    Namespace(&'a Path),
}

/// Devices that every sandbox has.
const DEVICES: [&str; 8] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/console", "/dev/ptmx"];

/// Settings that engines make unasked, and what the sandbox's kernel has.
const SETTINGS: [(&str, &str); 3] = [
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ip_local_port_range", "32768 60999"),
    ("net.ipv6.conf.all.disable_ipv6", "0"),
];
/// Which groups may ping: all may in a sandbox, where nothing but its own network is reached so.
const PING: &str = "net.ipv4.ping_group_range";

/// Whether a setting is what the sandbox's kernel has anyway.
fn is_so(name: &str, value: &str) -> bool {
    let words = value.split_whitespace().collect::<Vec<_>>().join(" ");
    name == PING || SETTINGS.contains(&(name, words.as_str()))
}

impl Linux {
    /// What a container of a pod does not share with the pod's first, whose process is `pod`: where it has a namespace
    /// of its own, neither that process's nor the host's.
    pub fn separate(&self, pod: i32) -> Vec<&'static str> {
        let own = |kind: &str, name: &str| {
            let Some(namespace) = self.namespaces.iter().find(|namespace| namespace.kind == kind) else { return false };
            let Some(path) = namespace.path.as_deref().filter(|path| !path.as_os_str().is_empty()) else { return true };
            let inode = |path: &Path| fs::metadata(path).map(|meta| meta.ino()).ok();
            let theirs = PathBuf::from(format!("/proc/{pod}/ns/{name}"));
            path != theirs && (inode(path).is_none() || inode(path) != inode(&theirs))
        };
        let parts = [("pid", "pid", "processes"), ("ipc", "ipc", "ipc"), ("uts", "uts", "hostname")];
        parts.into_iter().filter(|(kind, name, _)| own(kind, name)).map(|(.., part)| part).collect()
    }

    /// Its network.
    pub fn network(&self) -> Network<'_> {
        let Some(network) = self.namespaces.iter().find(|namespace| namespace.kind == "network") else {
            return Network::Host;
        };
        let path = network.path.as_deref().filter(|path| !path.as_os_str().is_empty());
        path.map_or(Network::New, Network::Namespace)
    }

    /// Adds the arguments of `litebox run` that say the same.
    pub fn add_to(&self, out: &mut Arguments, spec: &Spec, bundle: &Path, how: &How<'_>) -> Result<(), String> {
        if !self.uid_mappings.is_empty() {
            return Err("linux.uidMappings: the container has users of its own, which are none of the host's".into());
        }
        if let Some(device) =
            self.devices.iter().find(|device| !DEVICES.iter().any(|own| device.path == Path::new(own)))
        {
            return Err(format!("linux.devices: {}: devices of the host are not given", device.path.display()));
        }
        // Who joins a pod has the network that its sandbox has.
        if how.pod.is_none() && self.network() != Network::New {
            network_options(out, spec, bundle);
        }
        if let Some((name, value)) = self.sysctl.iter().find(|(name, value)| !is_so(name, value)) {
            return Err(format!("linux.sysctl: {name}={value}: this setting of the sandbox's kernel is fixed"));
        }
        self.filter(out, how)?;
        self.resources.add_to(out, how.has_group);
        self.hide(out, spec, bundle, how.masked)
    }

    /// What filters its calls. Mistakes are said when it is created.
    fn filter(&self, out: &mut Arguments, how: &How<'_>) -> Result<(), String> {
        let Some(value) = &self.seccomp else { return Ok(()) };
        let profile: Profile = serde_json::from_value(value.clone()).map_err(|e| format!("linux.seccomp: {e}"))?;
        profile.filter(SANDBOX_CAPABILITIES).map_err(|why| format!("linux.seccomp: {why}"))?;
        fs::write(how.seccomp, value.to_string()).map_err(|e| format!("{}: {e}", how.seccomp.display()))?;
        let mut named = OsString::from("seccomp=");
        named.push(how.seccomp);
        out.option("--security-opt", named);
        Ok(())
    }

    /// What is to be read-only, or as if it were empty. What is not there needs nothing.
    fn hide(&self, out: &mut Arguments, spec: &Spec, bundle: &Path, masked: &Path) -> Result<(), String> {
        let root = spec.root(bundle)?;
        let open = File::open(&root).map_err(|e| format!("root.path {}: {e}", root.display()))?;
        // Where links lead, in the container; what the sandbox has of its own shows nothing of the host.
        let resolved = |path: &PathBuf| {
            if spec.is_in_mount(path) {
                return Some(path.clone())
                    .filter(|path| spec.on_host(path, bundle).is_some_and(|place| place.exists()));
            }
            let found = within(&open, path, OFlags::PATH).ok()?;
            let place = fs::read_link(super::view::by_number(&found)).ok()?;
            let inside = Path::new("/").join(place.strip_prefix(&root).ok()?);
            let own = OWN.iter().any(|own| path.starts_with(own) || inside.starts_with(own));
            (!own).then_some(inside)
        };
        for path in self.readonly_paths.iter().filter_map(resolved) {
            if let Some(source) = spec.on_host(&path, bundle) {
                let (source, to) = (source.display(), path.display());
                out.option("--mount", format!("type=bind,src={source},dst={to},ro"));
            }
        }
        for path in self.masked_paths.iter().filter_map(resolved) {
            let Some(source) = spec.on_host(&path, bundle) else { continue };
            let to = path.display();
            if source.is_dir() {
                out.option("--tmpfs", format!("{to}:ro"));
            } else {
                out.option("--mount", format!("type=bind,src={},dst={to},ro", masked.display()));
            }
        }
        Ok(())
    }
}

/// Options of `litebox run` for a program that has the network of the namespace it is started in.
pub fn network_options(out: &mut Arguments, spec: &Spec, bundle: &Path) {
    out.option("--net", "namespace");
    for server in name_servers(spec, bundle) {
        out.option("--dns", server);
    }
}

/// Who is asked for names: what the engine wrote for the container.
fn name_servers(spec: &Spec, bundle: &Path) -> Vec<String> {
    let file = spec.on_host(Path::new("/etc/resolv.conf"), bundle);
    let text = file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
    let servers = servers.map(str::trim).filter(|server| server.parse::<std::net::IpAddr>().is_ok());
    servers.map(String::from).collect()
}
