//! What engines find of a container by its process: a mount namespace whose root is the container's.
//!
//! Engines copy files into a running container (`podman cp`) by joining the mount namespace of its process, and look at
//! /proc there. The sandbox has no need of one: without it they would find the host.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, openat2, statat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Something of the host in a container.
pub struct Bind {
    /// On the host.
    pub from: PathBuf,
    /// In the container.
    pub to: PathBuf,
    pub read_only: bool,
}

/// Moves this process, which must have one thread, into a mount namespace of its own that shows the container and
/// nothing else. `false`: the host allows it nobody, and then nobody can join it either.
pub fn enter(root: &Path, binds: &[Bind]) -> io::Result<bool> {
    // SAFETY: there are no other threads, which would lose the file-system context that they share; no descriptors are
    // shared or closed by it.
    match unsafe { unshare_unsafe(UnshareFlags::NEWNS) } {
        Err(Errno::PERM | Errno::NOSYS | Errno::NOSPC) => return Ok(false),
        done => done?,
    }
    // What is mounted here is nothing for others.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount_bind_recursive(root, root)?;
    let root = File::open(root)?;
    for bind in binds {
        let from = openat2(CWD, &bind.from, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::empty())?;
        let place = place(&root, &bind.to, is_directory(&from)?)?;
        mount_bind_recursive(by_number(&from), by_number(&place))?;
        if bind.read_only {
            let place = within(&root, &bind.to, OFlags::PATH)?;
            mount_remount(by_number(&place), MountFlags::BIND | MountFlags::RDONLY | kept(&place)?, "")?;
        }
    }
    // Processes of the host are nobody's business there, and those of the container are in the sandbox's own /proc.
    if let Ok(proc) = within(&root, Path::new("/proc"), OFlags::PATH | OFlags::DIRECTORY) {
        mount("tmpfs", by_number(&proc), "tmpfs", MountFlags::RDONLY, None)?;
    }
    fchdir(&root)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    Ok(true)
}

/// What a mount forbids already, and who is not the host's superuser may not change.
fn kept(mounted: &OwnedFd) -> io::Result<MountFlags> {
    use rustix::fs::StatVfsMountFlags as Has;
    let has = rustix::fs::fstatvfs(mounted)?.f_flag;
    let pairs = [
        (Has::NOSUID, MountFlags::NOSUID),
        (Has::NODEV, MountFlags::NODEV),
        (Has::NOEXEC, MountFlags::NOEXEC),
        (Has::NOATIME, MountFlags::NOATIME),
        (Has::NODIRATIME, MountFlags::NODIRATIME),
        (Has::RELATIME, MountFlags::RELATIME),
    ];
    let kept = pairs.into_iter().filter(|(flag, _)| has.contains(*flag));
    Ok(kept.fold(MountFlags::empty(), |all, (_, flag)| all | flag))
}

/// A path that leads to what is open.
pub fn by_number(open: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", open.as_fd().as_raw_fd())
}

fn is_directory(open: &OwnedFd) -> io::Result<bool> {
    let stat = statat(open, "", AtFlags::EMPTY_PATH)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// Opens what is at a path of the container: links there lead nowhere else.
pub fn within(root: &File, path: &Path, how: OFlags) -> Result<OwnedFd, Errno> {
    openat2(root, path, how | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Where something is mounted; made when it is missing, as engines expect.
fn place(root: &File, path: &Path, is_directory: bool) -> io::Result<OwnedFd> {
    let mut above = PathBuf::from("/");
    let mut parts = path.components().filter(|part| matches!(part, Component::Normal(_))).peekable();
    while let Some(part) = parts.next() {
        let parent = within(root, &above, OFlags::PATH | OFlags::DIRECTORY)?;
        above.push(part);
        match within(root, &above, OFlags::PATH) {
            Ok(_) => {}
            Err(Errno::NOENT) if parts.peek().is_some() || is_directory => {
                rustix::fs::mkdirat(&parent, part.as_os_str(), Mode::from_raw_mode(0o755))?;
            }
            Err(Errno::NOENT) => {
                let how = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::openat(&parent, part.as_os_str(), how, Mode::from_raw_mode(0o644))?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(within(root, &above, OFlags::PATH)?)
}
