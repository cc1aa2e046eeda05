//! What of the host the sandbox gets to see: volumes, and the default view.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use litebox_broker::{Access, Grant};
use litebox_shim_linux::boot::{MountPlan, MountSpec, Source};
use rustix::fs::{Mode, OFlags};

/// Directories of the host that programs need, read-only.
const SYSTEM: [&str; 9] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt"];
/// Directories that programs expect, empty and the user's own.
const OWN: [(&str, u32); 9] = [
    ("/home", 0o755),
    ("/home/user", 0o755),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/var", 0o755),
    ("/var/tmp", 0o1777),
    ("/var/log", 0o755),
    ("/mnt", 0o755),
    ("/srv", 0o755),
];
/// HOME in the sandbox.
pub const HOME: &str = "/home/user";

/// A volume as `-v` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    from: PathBuf,
    to: PathBuf,
    access: Access,
}

/// `SRC[:DST][:ro|rw|cow]`.
pub fn parse_volume(text: &OsStr) -> Result<Volume, String> {
    let shown = text.to_string_lossy();
    let mut parts: Vec<&[u8]> = text.as_bytes().split(|&b| b == b':').collect();
    let access = match parts.last() {
        Some(&b"ro") => Some(Access::ReadOnly),
        Some(&b"rw") => Some(Access::ReadWrite),
        Some(&b"cow") => Some(Access::CopyOnWrite),
        _ => None,
    };
    if access.is_some() && parts.len() > 1 {
        parts.pop();
    }
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let from = parts.first().map(|p| path(p)).filter(|p| !p.as_os_str().is_empty());
    let from = from.ok_or_else(|| format!("--volume {shown}: no directory or file of the host is named"))?;
    let from = std::path::absolute(&from).map_err(|e| format!("--volume {shown}: {e}"))?;
    let to = match parts.as_slice() {
        [_] => from.clone(),
        [_, to] => path(to),
        _ => return Err(format!("--volume {shown}: must be SRC[:DST][:ro|rw|cow]")),
    };
    Ok(Volume { from, to: destination("--volume", &to)?, access: access.unwrap_or(Access::ReadWrite) })
}

/// A place in the sandbox: absolute, and free of `..`.
pub fn destination(option: &str, path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(format!("{option} {shown}: the place in the sandbox must be an absolute path"));
    }
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => plain.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(format!("{option} {shown}: the place in the sandbox must not contain .."));
            }
        }
    }
    Ok(plain)
}

/// What the user asks for.
pub struct MountRequest {
    pub volumes: Vec<Volume>,
    pub tmpfs: Vec<PathBuf>,
    pub rootfs: Option<PathBuf>,
    pub workdir: Option<PathBuf>,
    pub owner: (u32, u32),
}

/// Collects grants, numbered as they come.
#[derive(Default)]
struct Grants(Vec<Grant>);

impl Grants {
    fn add(&mut self, option: &str, path: &Path, access: Access) -> Result<Source, String> {
        let failed = |e: rustix::io::Errno| {
            let why = if e == rustix::io::Errno::ACCESS && lies_in_kernel(path) {
                "not on a file system with files of users, and others cannot be given to a sandbox".into()
            } else {
                std::io::Error::from(e).to_string()
            };
            format!("{option} {}: {why}", path.display())
        };
        let number = self.0.len() as u32;
        let grant = open_grant(path, access).map_err(failed)?;
        self.0.push(grant);
        Ok(if access == Access::CopyOnWrite { Source::CopyOnWrite(number) } else { Source::Grant(number) })
    }
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Whether it is on a file system that no grant leads to.
fn lies_in_kernel(path: &Path) -> bool {
    let opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    opened.is_ok_and(|fd| litebox_broker::file_systems::holds_files_of_users(fd.as_fd()) == Ok(false))
}

fn open_grant(path: &Path, access: Access) -> rustix::io::Result<Grant> {
    // What nobody may change through the sandbox is taken as it was found: it is cached there.
    let image = access != Access::ReadWrite;
    match open_directory(path) {
        Ok(root) => Grant::directory(root, access, image),
        Err(rustix::io::Errno::NOTDIR) => {
            // The file itself, wherever links lead.
            let real = std::fs::canonicalize(path).map_err(|_| rustix::io::Errno::NOENT)?;
            let (parent, name) = (real.parent(), real.file_name());
            let (Some(parent), Some(name)) = (parent, name) else { return Err(rustix::io::Errno::INVAL) };
            Grant::file(open_directory(parent)?, name.as_bytes(), access, image)
        }
        Err(other) => Err(other),
    }
}

fn mount(at: impl AsRef<OsStr>, source: Source, read_only: bool) -> MountSpec {
    MountSpec { at: at.as_ref().as_bytes().to_vec(), source, read_only }
}

/// Whether the current directory is one that is given to the sandbox unasked: not the root, nor one that holds the user's home.
fn gives_away_home(dir: &Path) -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|h| h.is_absolute() && h.components().count() > 1);
    dir == Path::new("/") || home.is_some_and(|home| home.starts_with(dir))
}

/// The view and the grants behind it.
pub fn make(wanted: &MountRequest) -> Result<(MountPlan, Vec<Grant>), String> {
    let mut grants = Grants::default();
    let mut mounts = MountPlan {
        root: Source::Memory(0o755),
        links: Vec::new(),
        directories: Vec::new(),
        mounts: Vec::new(),
        workdir: b"/".to_vec(),
        owner: wanted.owner,
        grants: Vec::new(),
    };
    let mut own_places = vec![mount("/dev", Source::Dev, false), mount("/dev/shm", Source::Memory(0o1777), false)];
    own_places.push(mount("/dev/pts", Source::Pts, false));
    own_places.push(mount("/proc", Source::Proc, false));
    own_places.push(mount("/sys", Source::Sys, true));
    own_places.push(mount("/tmp", Source::Memory(0o1777), false));
    if let Some(rootfs) = &wanted.rootfs {
        mounts.root = grants.add("--rootfs", rootfs, Access::CopyOnWrite)?;
        mounts.mounts = own_places;
    } else {
        system_directories(&mut mounts, &mut grants)?;
        mounts.mounts.extend(own_places);
        mounts.directories.extend(OWN.map(|(path, permissions)| (path.as_bytes().to_vec(), permissions)));
        current_directory(&mut mounts, &mut grants, wanted);
    }
    let mut volumes = Vec::new();
    for volume in &wanted.volumes {
        let option = format!("--volume {}:", volume.from.display());
        let source = grants.add(option.trim_end_matches(':'), &volume.from, volume.access)?;
        if volume.to == Path::new("/") {
            return Err("--volume: / cannot be a volume (see --rootfs)".into());
        }
        volumes.push(mount(&volume.to, source, volume.access == Access::ReadOnly));
    }
    volumes.extend(wanted.tmpfs.iter().map(|at| mount(at, Source::Memory(0o1777), false)));
    // What lies in another volume is mounted after it.
    volumes.sort_by_key(|spec| spec.at.split(|&b| b == b'/').count());
    mounts.mounts.extend(volumes);
    if let Some(workdir) = &wanted.workdir {
        mounts.workdir = destination("--workdir", workdir)?.into_os_string().into_vec();
    }
    Ok((mounts, grants.0))
}

/// The host's own programs, libraries and configuration, read-only; links stay links.
fn system_directories(mounts: &mut MountPlan, grants: &mut Grants) -> Result<(), String> {
    for name in SYSTEM {
        let path = Path::new("/").join(name);
        if let Ok(target) = std::fs::read_link(&path) {
            mounts.links.push((path.into_os_string().into_vec(), target.into_os_string().into_vec()));
        } else if path.is_dir() {
            let source = grants.add("the default view:", &path, Access::ReadOnly)?;
            mounts.mounts.push(mount(&path, source, true));
        }
    }
    Ok(())
}

/// The current directory, copy-on-write, unless that would show what is not meant or what is there anyway.
fn current_directory(mounts: &mut MountPlan, grants: &mut Grants, wanted: &MountRequest) {
    let Ok(dir) = std::env::current_dir() else { return };
    if gives_away_home(&dir) {
        return;
    }
    let path = dir.as_os_str().as_bytes();
    let mounted_in = |spec: &MountSpec| dir.starts_with(OsStr::from_bytes(&spec.at)) && spec.source != Source::Proc;
    let is_system = mounts.mounts.iter().any(|spec| spec.read_only && mounted_in(spec));
    let is_kernel = ["/proc", "/sys", "/dev"].iter().any(|own| dir.starts_with(own));
    if is_kernel {
        return;
    }
    let volume_there = wanted.volumes.iter().any(|v| v.to == dir);
    if !is_system && !volume_there {
        // What the user cannot read themselves is no reason not to start.
        let Ok(source) = grants.add("the current directory", &dir, Access::CopyOnWrite) else { return };
        mounts.mounts.push(mount(&dir, source, false));
    }
    mounts.workdir = path.to_vec();
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::PathBuf;

    use litebox_broker::Access;

    use super::{Volume, parse_volume};

    #[test]
    fn volumes_are_parsed() {
        let volume = |from: &str, to: &str, access| Volume { from: PathBuf::from(from), to: PathBuf::from(to), access };
        let good = [
            ("/a", volume("/a", "/a", Access::ReadWrite)),
            ("/a:ro", volume("/a", "/a", Access::ReadOnly)),
            ("/a:/b", volume("/a", "/b", Access::ReadWrite)),
            ("/a:/b//c/.:cow", volume("/a", "/b/c", Access::CopyOnWrite)),
        ];
        for (text, expected) in good {
            assert_eq!(parse_volume(OsStr::new(text)), Ok(expected), "{text}");
        }
        for bad in ["", ":/b", "/a:b", "/a:/b:/c", "/a:/b:sideways", "/a:/b/../c"] {
            assert!(parse_volume(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
