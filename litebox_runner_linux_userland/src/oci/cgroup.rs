//! The control group of a container (cgroups(7)), versions 1 and 2: engines say where, read there what it uses, and
//! write limits there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::resources::Resources;

/// Processes of a sandbox that are none of the container's: two of each container, the broker, the supervisor, and
/// those that wait to become a program.
const OWN_PROCESSES: i64 = 32;

/// A group: a directory in each hierarchy.
pub struct Cgroup {
    /// Of version 1, by controller.
    by_controller: BTreeMap<String, PathBuf>,
    /// Of version 2, where there is no other.
    unified: Option<PathBuf>,
}

/// Where the hierarchies are.
struct Hierarchies {
    by_controller: BTreeMap<String, PathBuf>,
    unified: Option<PathBuf>,
}

impl Hierarchies {
    fn of_host() -> Self {
        Self::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    /// From the text of mountinfo (proc_pid_mountinfo(5)). Where there are both versions, the first has the
    /// controllers.
    fn parse(text: &str) -> Self {
        let mut found = Self { by_controller: BTreeMap::new(), unified: None };
        for line in text.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let place = before.split(' ').nth(4).map(PathBuf::from);
            let mut words = after.split(' ');
            match (words.next(), place) {
                (Some("cgroup2"), Some(place)) => found.unified = Some(place),
                (Some("cgroup"), Some(place)) => {
                    let options = words.nth(1).unwrap_or_default();
                    let controllers = options.split(',').filter(|word| !["rw", "ro", "xattr"].contains(word));
                    for controller in controllers.filter(|word| !word.contains('=')) {
                        found.by_controller.insert(controller.into(), place.clone());
                    }
                }
                _ => {}
            }
        }
        if !found.by_controller.is_empty() {
            found.unified = None;
        }
        found
    }

    fn at(self, path: &Path) -> Cgroup {
        let place = |root: PathBuf| root.join(path);
        Cgroup {
            by_controller: self.by_controller.into_iter().map(|(name, root)| (name, place(root))).collect(),
            unified: self.unified.map(place),
        }
    }
}

/// Where `linux.cgroupsPath` means below the root of a hierarchy: a path, or `SLICE:PREFIX:NAME` as systemd's managers
/// write it.
fn parse(text: &str) -> Result<PathBuf, String> {
    let path = match text.split(':').collect::<Vec<_>>().as_slice() {
        [slice, prefix, name] if !text.contains('/') => {
            let slice = if slice.is_empty() { "system.slice" } else { slice };
            let unit = if Path::new(name).extension().is_some_and(|end| end == "slice") {
                (*name).to_string()
            } else {
                format!("{prefix}-{name}.scope")
            };
            below_slices(slice).join(unit)
        }
        _ => PathBuf::from(text),
    };
    let parts: PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if climbs || parts.as_os_str().is_empty() {
        return Err(format!("linux.cgroupsPath {text}: not a path below the root of the groups"));
    }
    Ok(parts)
}

/// `a-b.slice` is below `a.slice`.
fn below_slices(slice: &str) -> PathBuf {
    let Some(name) = slice.strip_suffix(".slice").filter(|name| *name != "-") else { return PathBuf::new() };
    let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
    ends.filter_map(|end| name.get(..end)).map(|part| format!("{part}.slice")).collect()
}

impl Cgroup {
    /// The group that `linux.cgroupsPath` names, which need not be there.
    pub fn open(path: &str) -> Result<Self, String> {
        Ok(Hierarchies::of_host().at(&parse(path)?))
    }

    /// Makes it. `false`: groups are not this user's to make here.
    pub fn make(&self) -> Result<bool, String> {
        for place in self.places() {
            match fs::create_dir_all(place) {
                Ok(()) => {}
                Err(e) if not_ours(&e) => return Ok(false),
                Err(e) => return Err(format!("{}: {e}", place.display())),
            }
        }
        if let Some(place) = self.by_controller.get("cpuset") {
            inherit_sets(place);
        }
        if let Some(place) = &self.unified {
            hand_down_controllers(place);
        }
        Ok(self.places().next().is_some())
    }

    fn places(&self) -> impl Iterator<Item = &PathBuf> {
        self.by_controller.values().chain(&self.unified)
    }

    /// Puts a process into it, with those that it will start.
    pub fn add(&self, pid: u32) -> Result<(), String> {
        for place in self.places() {
            write(&place.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Sets its limits.
    pub fn limit(&self, wanted: &Resources) -> Result<(), String> {
        let list = if self.unified.is_some() { of_version_2(wanted) } else { of_version_1(wanted) };
        for (controller, file, value) in list {
            let place = self.unified.as_ref().or_else(|| self.by_controller.get(controller));
            let Some(place) = place else { continue };
            let file = place.join(file);
            match write(&file, &value) {
                // Not every host counts swap.
                Err(_) if file.to_string_lossy().contains("sw") => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// What it uses, as `runc events --stats` has it.
    pub fn figures(&self) -> Value {
        if let Some(place) = &self.unified { figures_of_version_2(place) } else { self.figures_of_version_1() }
    }

    fn figures_of_version_1(&self) -> Value {
        let read = |controller: &str, file: &str| {
            self.by_controller.get(controller).map_or(0, |place| number(&place.join(file)))
        };
        json!({
            "cpu": { "usage": { "total": read("cpuacct", "cpuacct.usage"), "user": read("cpuacct", "cpuacct.usage_user"),
                "kernel": read("cpuacct", "cpuacct.usage_sys") } },
            "memory": { "usage": { "usage": read("memory", "memory.usage_in_bytes"),
                "max": read("memory", "memory.max_usage_in_bytes"), "limit": read("memory", "memory.limit_in_bytes"),
                "failcnt": read("memory", "memory.failcnt") } },
            "pids": { "current": read("pids", "pids.current"), "limit": read("pids", "pids.max") },
        })
    }

    /// Removes it, once nobody is in it.
    pub fn remove(&self) {
        for place in self.places() {
            // An engine may have done it, or keep others there.
            let _ = fs::remove_dir(place);
        }
    }
}

fn not_ours(e: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    [PermissionDenied, ReadOnlyFilesystem].contains(&e.kind())
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|e| format!("{text} to {}: {e}", file.display()))
}

fn number(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    // "max" is as much as there can be.
    text.trim().parse().unwrap_or(if text.trim() == "max" { u64::MAX } else { 0 })
}

/// A new group of version 1 has no processors: it gets those of the one above, which gets its own so.
fn inherit_sets(place: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let mut above: Vec<&Path> = place.ancestors().collect();
        above.reverse();
        for pair in above.windows(2) {
            let [from, to] = pair else { continue };
            let (text, now) = (fs::read_to_string(from.join(file)), fs::read_to_string(to.join(file)));
            let (Ok(text), Ok(now)) = (text, now) else { continue };
            if now.trim().is_empty() {
                // The host says so when a process is put there.
                let _ = fs::write(to.join(file), text.trim());
            }
        }
    }
}

/// A group of version 2 has the controllers that the one above hands down.
fn hand_down_controllers(place: &Path) {
    let mut above: Vec<&Path> = place.ancestors().skip(1).collect();
    above.reverse();
    for group in above {
        for controller in ["+cpu", "+cpuset", "+memory", "+pids", "+io"] {
            // Where one is missing, its files are: that is said when one is needed.
            let _ = fs::write(group.join("cgroup.subtree_control"), controller);
        }
    }
}

/// Controller, file, value.
type Setting = (&'static str, String, String);

fn set(list: &mut Vec<Setting>, controller: &'static str, file: &str, value: Option<impl ToString>) {
    list.extend(value.map(|value| (controller, file.into(), value.to_string())));
}

fn of_version_1(wanted: &Resources) -> Vec<Setting> {
    let mut list = Vec::new();
    let (memory, cpu) = (&wanted.memory, &wanted.cpu);
    set(&mut list, "memory", "memory.limit_in_bytes", memory.limit);
    set(&mut list, "memory", "memory.soft_limit_in_bytes", memory.reservation);
    set(&mut list, "memory", "memory.memsw.limit_in_bytes", memory.swap);
    set(&mut list, "cpu", "cpu.shares", cpu.shares.filter(|shares| *shares > 0));
    set(&mut list, "cpu", "cpu.cfs_period_us", cpu.period.filter(|period| *period > 0));
    set(&mut list, "cpu", "cpu.cfs_quota_us", cpu.quota.filter(|quota| *quota != 0));
    set(&mut list, "cpuset", "cpuset.cpus", cpu.cpus.as_ref().filter(|cpus| !cpus.is_empty()));
    set(&mut list, "cpuset", "cpuset.mems", cpu.mems.as_ref().filter(|mems| !mems.is_empty()));
    set(&mut list, "pids", "pids.max", most_processes(wanted));
    list
}

fn most_processes(wanted: &Resources) -> Option<String> {
    let limit = wanted.pids.limit?;
    Some(if limit > 0 { limit.saturating_add(OWN_PROCESSES).to_string() } else { "max".into() })
}

fn of_version_2(wanted: &Resources) -> Vec<Setting> {
    let bytes = |value: i64| if value < 0 { "max".into() } else { value.to_string() };
    let mut list = Vec::new();
    let (memory, cpu) = (&wanted.memory, &wanted.cpu);
    set(&mut list, "memory", "memory.max", memory.limit.filter(|limit| *limit != 0).map(bytes));
    set(&mut list, "memory", "memory.low", memory.reservation.filter(|limit| *limit != 0).map(bytes));
    let swap = memory.swap.filter(|swap| *swap != 0).map(|swap| match memory.limit {
        Some(limit) if swap >= 0 => swap.saturating_sub(limit).max(0).to_string(),
        _ => bytes(swap),
    });
    set(&mut list, "memory", "memory.swap.max", swap);
    // Shares are 2 to 262144, weights 1 to 10000.
    let weight = cpu
        .shares
        .filter(|shares| *shares > 0)
        .map(|shares| 1 + shares.clamp(2, 262_144).saturating_sub(2) * 9999 / 262_142);
    set(&mut list, "cpu", "cpu.weight", weight);
    let quota = cpu.quota.filter(|quota| *quota != 0).map(|quota| {
        let period = cpu.period.filter(|period| *period > 0).unwrap_or(100_000);
        format!("{} {period}", bytes(quota))
    });
    set(&mut list, "cpu", "cpu.max", quota);
    set(&mut list, "cpuset", "cpuset.cpus", cpu.cpus.as_ref().filter(|cpus| !cpus.is_empty()));
    set(&mut list, "cpuset", "cpuset.mems", cpu.mems.as_ref().filter(|mems| !mems.is_empty()));
    set(&mut list, "pids", "pids.max", most_processes(wanted));
    for (file, value) in &wanted.unified {
        // Names of files alone.
        set(&mut list, "unified", file, Some(value).filter(|_| !file.contains('/')));
    }
    list
}

fn figures_of_version_2(place: &Path) -> Value {
    let read = |file: &str| number(&place.join(file));
    let stat = fs::read_to_string(place.join("cpu.stat")).unwrap_or_default();
    let of_stat = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0).saturating_mul(1000)
    };
    json!({
        "cpu": { "usage": { "total": of_stat("usage_usec"), "user": of_stat("user_usec"),
            "kernel": of_stat("system_usec") } },
        "memory": { "usage": { "usage": read("memory.current"), "max": read("memory.peak"), "limit": read("memory.max"),
            "failcnt": 0 } },
        "pids": { "current": read("pids.current"), "limit": read("pids.max") },
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Hierarchies, below_slices, of_version_1, of_version_2, parse};
    use crate::oci::resources::Resources;

    #[test]
    fn hierarchies_of_both_versions() {
        let first = "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            31 25 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse(first);
        assert_eq!(found.by_controller.keys().collect::<Vec<_>>(), ["cpu", "cpuacct"]);
        assert_eq!(found.unified, None);
        let group = found.at(Path::new("a/b"));
        assert_eq!(group.by_controller.get("cpu"), Some(&PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/a/b")));
        let second = Hierarchies::parse("32 25 0:28 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
        assert_eq!(second.unified, Some(PathBuf::from("/sys/fs/cgroup")));
    }

    #[test]
    fn paths_are_below_the_root() {
        assert_eq!(parse("/libpod_parent/one"), Ok(PathBuf::from("libpod_parent/one")));
        assert_eq!(parse("a-b.slice:docker:1f"), Ok(PathBuf::from("a.slice/a-b.slice/docker-1f.scope")));
        assert_eq!(parse(":docker:1f"), Ok(PathBuf::from("system.slice/docker-1f.scope")));
        assert_eq!(below_slices("-.slice"), PathBuf::new());
        assert!(["/", "", "../x", "a/../../b"].into_iter().all(|bad| parse(bad).is_err()));
    }

    #[test]
    fn limits_in_the_words_of_each_version() {
        let text = r#"{ "memory": { "limit": 1000, "swap": 1500 }, "pids": { "limit": 7 },
            "cpu": { "shares": 1024, "quota": 50000 }, "unified": { "memory.high": "9", "../x": "1" } }"#;
        let wanted: Resources = serde_json::from_str(text).unwrap_or_default();
        let shown = |list: Vec<super::Setting>| {
            list.iter().map(|(_, file, value)| format!("{file}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            shown(of_version_1(&wanted)),
            "memory.limit_in_bytes=1000 memory.memsw.limit_in_bytes=1500 cpu.shares=1024 cpu.cfs_quota_us=50000 pids.max=39"
        );
        assert_eq!(
            shown(of_version_2(&wanted)),
            "memory.max=1000 memory.swap.max=500 cpu.weight=39 cpu.max=50000 100000 pids.max=39 memory.high=9"
        );
    }
}
