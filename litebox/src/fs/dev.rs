//! Devices: what lies in /dev, and what opening a device node gives.
//!
//! A device node is an inode of any file system with a device number. The number decides what [`CharDevices`] opens;
//! the node stays the inode of the open file. /dev itself is a memory file system that [`populate`] fills at the start,
//! as containers do it.

mod null;
mod random;
mod terminal;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use alloc::sync::Arc;

use super::{Devices, File, Inode, NewAttr, NewNode};
use crate::tty::Terminals;
use crate::{Error, Result};

/// The device number of `st_rdev` for a major and a minor number, as Linux packs it.
pub const fn device_number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
}

/// Major and minor number of `st_rdev`.
pub const fn major_minor(rdev: u64) -> (u32, u32) {
    let major = ((rdev >> 8) & 0xfff) | ((rdev >> 32) & !0xfff & 0xffff_ffff);
    let minor = (rdev & 0xff) | ((rdev >> 12) & !0xff & 0xffff_ffff);
    (major as u32, minor as u32)
}

const NULL: u64 = device_number(1, 3);
const ZERO: u64 = device_number(1, 5);
const FULL: u64 = device_number(1, 7);
const RANDOM: u64 = device_number(1, 8);
const URANDOM: u64 = device_number(1, 9);
const TTY: u64 = device_number(5, 0);
const PTMX: u64 = device_number(5, 2);
const CONSOLE: u64 = device_number(5, 1);

/// Character devices of /dev: name, permissions, number.
const DEVICES: [(&[u8], u32, u64); 8] = [
    (b"null", 0o666, NULL),
    (b"zero", 0o666, ZERO),
    (b"full", 0o666, FULL),
    (b"random", 0o666, RANDOM),
    (b"urandom", 0o666, URANDOM),
    (b"tty", 0o666, TTY),
    (b"console", 0o600, CONSOLE),
    (b"ptmx", 0o666, PTMX),
];

/// Symbolic links of /dev: name and target.
const LINKS: [(&[u8], &[u8]); 5] = [
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
    (b"core", b"/proc/kcore"),
];

/// Directories of /dev, where other file systems are mounted: name and permissions.
const DIRECTORIES: [(&[u8], u32); 3] = [(b"shm", 0o1777), (b"pts", 0o755), (b"mqueue", 0o1777)];

/// Fills the root of an empty, writable file system with what belongs into /dev.
pub fn populate(root: &Arc<dyn Inode>) -> Result<()> {
    let attr = |permissions| NewAttr { permissions, ..NewAttr::default() };
    for (name, permissions, number) in DEVICES {
        root.create(name, NewNode::CharDevice(number), attr(permissions))?;
    }
    for (name, target) in LINKS {
        root.create(name, NewNode::Symlink(target), attr(0o777))?;
    }
    for (name, permissions) in DIRECTORIES {
        root.create(name, NewNode::Directory, attr(permissions))?;
    }
    Ok(())
}

/// The devices of a sandbox.
pub struct CharDevices {
    /// Its pseudo-terminals.
    pub terminals: Arc<Terminals>,
}

impl Devices for CharDevices {
    fn open_device(&self, node: &Arc<dyn Inode>, rdev: u64) -> Result<Arc<dyn File>> {
        open_device(node, rdev, &self.terminals)
    }
}

/// Opens a character device ([`Devices::open_device`]) of a sandbox with these pseudo-terminals.
pub fn open_device(node: &Arc<dyn Inode>, rdev: u64, terminals: &Arc<Terminals>) -> Result<Arc<dyn File>> {
    if let (TTY, Some(terminal)) = (rdev, terminals.open_controlling(node)) {
        return Ok(terminal);
    }
    let node = node.clone();
    Ok(match rdev {
        NULL => Arc::new(null::Null { node }),
        ZERO => Arc::new(null::Zero { node, full: false }),
        FULL => Arc::new(null::Zero { node, full: true }),
        RANDOM | URANDOM => Arc::new(random::Random { node }),
        PTMX => return terminals.open_master(node),
        CONSOLE => match terminals.open_console_file(&node)? {
            Some(console) => console,
            None => Arc::new(terminal::Terminal::open(node, &terminals.streams)?),
        },
        TTY if terminals.callers_container().is_some() => return Err(Error::NoSuchDevice),
        TTY => Arc::new(terminal::Terminal::open(node, &terminals.streams)?),
        _ => return Err(Error::NoSuchDevice),
    })
}
