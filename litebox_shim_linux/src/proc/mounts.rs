//! /proc/PID/mounts, mountinfo and mountstats.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::fs::dev::major_minor;
use litebox::fs::{Location, Mount, MountFlags, Reach};

use super::process::ProcessView;
use super::tree::{Text, put};

/// Adds `bytes` with those of `special` as octal numbers.
pub(super) fn put_escaped(out: &mut Text, bytes: &[u8], special: &[u8]) {
    for byte in bytes {
        if special.contains(byte) {
            put!(out, "\\{byte:03o}");
        } else {
            out.put(&[*byte]);
        }
    }
}

const SPECIAL: &[u8] = b" \t\n\\#";

/// The mounts that the process can see, with their paths.
fn visible(view: &ProcessView) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let root = view.thread.as_ref().map_or_else(|| view.kernel.vfs.root(), |t| t.fs.root.read().clone());
    let path = |mount: Arc<Mount>| {
        let at = Location { mount: mount.clone(), dentry: mount.root.clone() };
        match view.kernel.vfs.path_of(&at, &root) {
            Ok((path, Reach::Normal)) => Some((mount, path)),
            _ => None,
        }
    };
    view.kernel.vfs.mounts().into_iter().filter_map(path).collect()
}

fn put_options(out: &mut Text, flags: MountFlags) {
    put!(out, "{}", if flags.contains(MountFlags::RDONLY) { "ro" } else { "rw" });
    for (flag, name) in [
        (MountFlags::NOSUID, "nosuid"),
        (MountFlags::NODEV, "nodev"),
        (MountFlags::NOEXEC, "noexec"),
        (MountFlags::NOATIME, "noatime"),
        (MountFlags::RELATIME, "relatime"),
    ] {
        if flags.contains(flag) {
            put!(out, ",{name}");
        }
    }
}

fn source(mount: &Mount) -> &[u8] {
    if mount.source.is_empty() { b"none" } else { &mount.source }
}

pub(super) fn mounts(view: &ProcessView, out: &mut Text) {
    for (mount, path) in visible(view) {
        put_escaped(out, source(&mount), SPECIAL);
        out.put(b" ");
        put_escaped(out, &path, SPECIAL);
        put!(out, " {} ", mount.fs.type_name());
        put_options(out, mount.flags());
        put!(out, " 0 0\n");
    }
}

pub(super) fn mountinfo(view: &ProcessView, out: &mut Text) {
    for (mount, path) in visible(view) {
        let parent = mount.at().map_or(0, |at| at.mount.id);
        let (major, minor) = major_minor(mount.root.inode().id().dev);
        put!(out, "{} {parent} {major}:{minor} / ", mount.id);
        put_escaped(out, &path, SPECIAL);
        out.put(b" ");
        put_options(out, mount.flags());
        put!(out, " - {} ", mount.fs.type_name());
        put_escaped(out, source(&mount), SPECIAL);
        put!(out, " {}\n", if mount.flags().contains(MountFlags::RDONLY) { "ro" } else { "rw" });
    }
}

pub(super) fn mountstats(view: &ProcessView, out: &mut Text) {
    for (mount, path) in visible(view) {
        put!(out, "device ");
        put_escaped(out, source(&mount), SPECIAL);
        put!(out, " mounted on ");
        put_escaped(out, &path, SPECIAL);
        put!(out, " with fstype {}\n", mount.fs.type_name());
    }
}
