//! What of the host the sandbox gets to see: volumes, and the default view.
//!
//! - [`volume`] is what a user names, [`hide`] what they take out of it, [`home`] what nobody gives away by standing
//!   in it, [`made`] the files that are the sandbox's own, [`tools`] the toolchains of a home, [`hint`] what helps when
//!   a program is not there.

mod hide;
mod hint;
mod home;
mod made;
pub mod tools;
pub mod volume;

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use litebox_broker::{Access, Grant, Visibility};
use litebox_shim_linux::boot::{MountPlan, MountSpec, Source, UserSpec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::network::Network;
use crate::options::Options;
use hide::Patterns;
pub use hint::Seen;
use made::Names;
use tools::Tools;
use volume::{Bases, Volume, What};

/// Directories of the host that programs need, read-only. Of these and the next ones the sandbox sees what others may
/// read.
const SYSTEM: [&str; 9] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt"];
/// What packages keep outside of them, copy-on-write.
const STATE: [&str; 4] = ["/run", "/var/lib", "/var/cache", "/var/spool"];
/// Links that lead to those, where the host has them.
const STATE_LINKS: [&str; 3] = ["/var/run", "/var/lock", "/var/mail"];
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

/// What the user asks for.
pub struct MountRequest {
    volumes: Vec<Volume>,
    rootfs: Option<PathBuf>,
    /// It is written to.
    rootfs_rw: bool,
    workdir: Option<PathBuf>,
    hidden: Patterns,
    names: Names,
    user: UserSpec,
    read_only: bool,
    shm_size: u64,
    tools: Tools,
}

impl MountRequest {
    /// From the options; `user` is who the program runs as.
    pub fn new(options: &Options, network: &Network, user: UserSpec) -> Result<Self, String> {
        let files = &options.files;
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let root = || PathBuf::from("/");
        let sandbox = if files.rootfs.is_some() { root() } else { here.clone() };
        let tools = if files.tools { Tools::find(&here) } else { Tools::default() };
        let bases = Bases { host: here, sandbox };
        let volumes = files.volume.iter().map(|text| volume::parse_volume(text, &bases));
        let mounts = files.mount.iter().map(|text| volume::parse_mount(text, &bases));
        let memory = files.tmpfs.iter().map(|text| volume::parse_tmpfs(text, &bases));
        let volumes: Vec<Volume> = volumes.chain(mounts).chain(memory).collect::<Result<_, _>>()?;
        if let Some(over) = volumes.iter().find(|volume| volume.to == Path::new("/")) {
            return Err(format!("{}: / cannot be a volume (see --rootfs)", over.typed));
        }
        let workdir = options.process.workdir.as_ref();
        let place = |dir: &PathBuf| volume::destination(&format!("-w {}", dir.display()), dir, &bases.sandbox);
        Ok(Self {
            volumes,
            rootfs: files.rootfs.clone(),
            rootfs_rw: files.rootfs_rw,
            workdir: workdir.map(place).transpose()?,
            hidden: Patterns::parse(&files.hide, &bases)?,
            names: Names::of(&options.process, &options.network.dns, network.addresses()),
            user,
            read_only: files.read_only,
            shm_size: files.shm_size.unwrap_or(0),
            tools,
        })
    }
    /// The toolchains that are given.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }
}

/// What was made of it.
pub struct Made {
    pub mounts: MountPlan,
    pub grants: Vec<Grant>,
    /// Lines for the user.
    pub notes: Vec<String>,
    /// What it sees under the names of the host.
    pub seen: Seen,
}

/// Collects grants, numbered as they come.
struct Grants<'a> {
    all: Vec<Grant>,
    hidden: &'a Patterns,
}

impl Grants<'_> {
    /// Gives the file or directory at `path`, seen as `to`; `others_only`: what others may read of it.
    fn add(&mut self, path: &Path, to: &Path, access: Access, others_only: bool) -> rustix::io::Result<Source> {
        let number = self.all.len() as u32;
        let visibility = Visibility { others_only, hidden: self.hidden.of(path, to) };
        self.all.push(open_grant(path, access)?.showing(visibility));
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
        Err(Errno::NOTDIR) => {
            // The file itself, wherever links lead.
            let real = fs::canonicalize(path).map_err(|_| Errno::NOENT)?;
            let (parent, name) = (real.parent(), real.file_name());
            let (Some(parent), Some(name)) = (parent, name) else { return Err(Errno::INVAL) };
            Grant::file(open_directory(parent)?, name.as_bytes(), access, image)
        }
        Err(other) => Err(other),
    }
}

fn mount(at: impl AsRef<OsStr>, source: Source, read_only: bool) -> MountSpec {
    MountSpec { at: at.as_ref().as_bytes().to_vec(), source, read_only, no_exec: false, no_dev: false }
}

/// The view and the grants behind it.
pub fn make(wanted: MountRequest) -> Result<Made, String> {
    let mut grants = Grants { all: Vec::new(), hidden: &wanted.hidden };
    let mut mounts = MountPlan {
        root: Source::Memory(0o755, 0),
        read_only: wanted.read_only,
        links: Vec::new(),
        directories: Vec::new(),
        mounts: Vec::new(),
        workdir: b"/".to_vec(),
        user: wanted.user.clone(),
        texts: Vec::new(),
        grants: Vec::new(),
    };
    let mut notes = Vec::new();
    if let Some(rootfs) = &wanted.rootfs {
        let failed = |e| format!("--rootfs {}: {}", rootfs.display(), why_not(rootfs, e));
        let access = if wanted.rootfs_rw { Access::ReadWrite } else { Access::CopyOnWrite };
        mounts.root = grants.add(rootfs, Path::new("/"), access, false).map_err(failed)?;
        mounts.mounts = own_mounts(&wanted);
        if wanted.rootfs_rw {
            // What is written to it stays, too.
            mounts.mounts.retain(|spec| spec.at != b"/tmp");
        }
        if wanted.read_only {
            mounts.mounts.extend(["/run", "/var/tmp"].map(|at| mount(at, Source::Memory(0o1777, 0), false)));
        }
    } else {
        default_view(&mut mounts, &mut grants, &wanted)?;
        notes.extend(current_directory(&mut mounts, &mut grants, &wanted));
    }
    let made = wanted.names.add_to(&mut mounts, wanted.rootfs.as_deref())?;
    mounts.mounts.extend(made);
    let mut volumes = tool_mounts(&wanted, &mut grants);
    for one in &wanted.volumes {
        volumes.push(volume_mount(one, &mut grants)?);
    }
    // What lies in another volume is mounted after it.
    volumes.sort_by_key(|spec| spec.at.split(|&b| b == b'/').count());
    mounts.mounts.extend(volumes);
    if let Some(workdir) = wanted.workdir {
        mounts.workdir = workdir.into_os_string().into_vec();
    }
    let places = mounts.mounts.iter().filter(|spec| matches!(spec.source, Source::Grant(_) | Source::CopyOnWrite(_)));
    let places = places.map(|spec| PathBuf::from(OsStr::from_bytes(&spec.at))).collect();
    let seen = Seen { places, other_root: wanted.rootfs.is_some() };
    Ok(Made { mounts, grants: grants.all, notes, seen })
}

/// Devices, processes, the machine, and what is in memory.
fn own_mounts(wanted: &MountRequest) -> Vec<MountSpec> {
    vec![
        mount("/dev", Source::Dev, false),
        mount("/dev/shm", Source::Memory(0o1777, wanted.shm_size), false),
        mount("/dev/pts", Source::Pts, false),
        mount("/proc", Source::Proc, false),
        mount("/sys", Source::Sys, true),
        mount("/tmp", Source::Memory(0o1777, 0), false),
    ]
}

/// The host's own programs, libraries, configuration and state, as others may read them; links stay links.
fn default_view(mounts: &mut MountPlan, grants: &mut Grants<'_>, wanted: &MountRequest) -> Result<(), String> {
    let state = if wanted.read_only { Access::ReadOnly } else { Access::CopyOnWrite };
    let system = SYSTEM.map(|path| (path, Access::ReadOnly));
    for (path, access) in system.into_iter().chain(STATE.map(|path| (path, state))) {
        let place = Path::new(path);
        if wanted.hidden.hide(place) {
            continue;
        }
        if let Ok(target) = fs::read_link(place) {
            mounts.links.push((path.into(), target.into_os_string().into_vec()));
        } else if place.is_dir() {
            match grants.add(place, place, access, true) {
                Ok(source) => mounts.mounts.push(mount(path, source, access == Access::ReadOnly)),
                // Programs run without the state of packages.
                Err(_) if STATE.contains(&path) => {}
                Err(e) => return Err(format!("{path} of the default view: {}", std::io::Error::from(e))),
            }
        }
    }
    for path in STATE_LINKS {
        if let Ok(target) = fs::read_link(path) {
            mounts.links.push((path.into(), target.into_os_string().into_vec()));
        }
    }
    mounts.mounts.extend(own_mounts(wanted));
    if wanted.read_only {
        mounts.mounts.extend(["/run", "/var/tmp"].map(|at| mount(at, Source::Memory(0o1777, 0), false)));
    }
    mounts.directories.extend(OWN.map(|(path, permissions)| (path.as_bytes().to_vec(), permissions)));
    Ok(())
}

/// The current directory, copy-on-write, unless that would show what is not meant or what is there anyway. Returns a
/// line for the user who may have meant it.
fn current_directory(mounts: &mut MountPlan, grants: &mut Grants<'_>, wanted: &MountRequest) -> Option<String> {
    let dir = std::env::current_dir().ok()?;
    let beneath = |places: &[&str]| places.iter().any(|place| dir.starts_with(place));
    if wanted.volumes.iter().any(|volume| volume.to == dir) {
        mounts.workdir = dir.into_os_string().into_vec();
        return None;
    }
    let withheld = if beneath(&["/proc", "/sys", "/dev"]) {
        Some("the kernel's".to_string())
    } else if wanted.hidden.hide(&dir) {
        Some("hidden".to_string())
    } else if beneath(&SYSTEM) {
        if others_may_enter(&dir) {
            mounts.workdir = dir.into_os_string().into_vec();
            return None;
        }
        Some("not for others to read".to_string())
    } else {
        home::why_withheld(&dir)
    };
    if let Some(what) = withheld {
        // Whoever says where to start, or gives it by another name, knows.
        let named = wanted.workdir.is_some() || wanted.volumes.iter().any(|volume| volume.gives(&dir));
        let how = if dir == Path::new("/") { "give what the program needs by -v DIR" } else { "give it by -v ." };
        return (!named).then(|| format!("the current directory {} is {what}: not given ({how})", dir.display()));
    }
    let access = if wanted.read_only { Access::ReadOnly } else { Access::CopyOnWrite };
    // What the user cannot read themselves is no reason not to start.
    let source = grants.add(&dir, &dir, access, false).ok()?;
    mounts.mounts.push(mount(&dir, source, wanted.read_only));
    mounts.workdir = dir.into_os_string().into_vec();
    None
}

/// Whether everybody may go to a directory.
fn others_may_enter(dir: &Path) -> bool {
    dir.ancestors().all(|dir| fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

impl Volume {
    /// Whether it gives this directory of the host.
    fn gives(&self, dir: &Path) -> bool {
        matches!(&self.what, What::Host { path, .. } if dir.starts_with(path))
    }
}

/// The toolchains at their own places. One that cannot be opened is left out.
fn tool_mounts(wanted: &MountRequest, grants: &mut Grants<'_>) -> Vec<MountSpec> {
    let hidden = wanted.hidden.and(wanted.tools.secrets());
    let mut grants_of_tools = Grants { all: std::mem::take(&mut grants.all), hidden: &hidden };
    let access = if wanted.read_only { Access::ReadOnly } else { Access::CopyOnWrite };
    let mut mounts = Vec::new();
    for tree in wanted.tools.trees.iter().filter(|tree| !wanted.hidden.hide(tree)) {
        if let Ok(source) = grants_of_tools.add(tree, tree, access, false) {
            mounts.push(mount(tree, source, wanted.read_only));
        }
    }
    grants.all = grants_of_tools.all;
    mounts
}

fn volume_mount(volume: &Volume, grants: &mut Grants<'_>) -> Result<MountSpec, String> {
    let failed = |why: String| format!("{}: {why}", volume.typed);
    let (path, create) = match &volume.what {
        What::Memory { permissions, size } => {
            let source = Source::Memory(*permissions, *size);
            let read_only = volume.access == Access::ReadOnly;
            return Ok(MountSpec {
                no_exec: volume.no_exec,
                no_dev: volume.no_dev,
                ..mount(&volume.to, source, read_only)
            });
        }
        What::Host { path, create } => (path.clone(), *create),
        What::Kept(name) => (kept_volume(name).map_err(failed)?, false),
    };
    if grants.hidden.hide(&path) {
        return Err(failed(format!("{} is hidden by --hide", path.display())));
    }
    if create {
        fs::create_dir_all(&path)
            .or_else(|e| if path.exists() { Ok(()) } else { Err(e) })
            .map_err(|e| failed(format!("{} cannot be made: {e}", path.display())))?;
    }
    let source = grants.add(&path, &volume.to, volume.access, false).map_err(|e| failed(why_not(&path, e)))?;
    let read_only = volume.access == Access::ReadOnly;
    Ok(MountSpec { no_exec: volume.no_exec, no_dev: volume.no_dev, ..mount(&volume.to, source, read_only) })
}

/// Why something of the host cannot be given.
fn why_not(path: &Path, error: Errno) -> String {
    let shown = path.display();
    match error {
        Errno::NOENT => format!("{shown} does not exist (make it, or add :create)"),
        Errno::ACCESS if lies_in_kernel(path) => {
            format!("{shown}: not on a file system with files of users, and others cannot be given to a sandbox")
        }
        other => format!("{shown}: {}", std::io::Error::from(other)),
    }
}

/// The directory of a volume that is kept under a name, made when it is new.
fn kept_volume(name: &str) -> Result<PathBuf, String> {
    let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let base = base.or_else(|| home::own().map(|home| home.join(".local/share")));
    let base = base.ok_or("volumes are kept in $XDG_DATA_HOME or your home, and neither is known")?;
    let volumes = base.join("litebox/volumes");
    let failed = |path: &Path, e: std::io::Error| format!("{} cannot be made: {e}", path.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&volumes).map_err(|e| failed(&volumes, e))?;
    let path = volumes.join(name);
    match fs::create_dir(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(&path, e)),
        _ => Ok(path),
    }
}
