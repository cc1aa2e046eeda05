//! Names of local sockets: paths, which are inodes, and abstract names.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use litebox_common_linux::Errno;

use super::Core;
use super::rights::InFlight;
use crate::fs::InodeId;
use crate::net::SocketKind;
use crate::platform::host;
use crate::sync::Mutex;
use crate::{Error, Result};

/// How often a free name is looked for.
const MOST_TRIES: u32 = 4096;

/// What a socket is called, as getsockname(2) shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Address {
    /// The path it was bound to, without its zero. Which file that is, its inode says.
    Path(Vec<u8>),
    /// A name of no file.
    Abstract(Vec<u8>),
}

/// A name of a socket: what it shows, and how it is found by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BoundName {
    /// As getsockname(2) shows it.
    pub shown: Address,
    /// By what it is found.
    pub name: Name,
}

/// How a socket is found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Name {
    /// By the inode its path leads to.
    Inode(InodeId),
    /// By its abstract name, of which each kind of sockets has its own.
    Abstract(SocketKind, Vec<u8>),
}

/// All local sockets of a sandbox.
#[derive(Default)]
pub struct Domain {
    names: Mutex<BTreeMap<Name, Weak<Core>>>,
    /// All of them, by inode number.
    pub(super) sockets: Mutex<BTreeMap<u64, Weak<Core>>>,
    /// Held while a socket is connected, so that no two connect each other.
    pub(super) connecting: Mutex<()>,
    /// Descriptors that lie in messages.
    pub(super) in_flight: InFlight,
}

/// What others are told of a socket (/proc/net/unix).
#[derive(Clone, Debug)]
pub struct Row {
    /// Its inode.
    pub ino: u64,
    /// How it transfers.
    pub kind: SocketKind,
    /// It accepts connections.
    pub listens: bool,
    /// It is or was connected.
    pub connected: bool,
    /// Its name; an abstract one begins with `@`.
    pub name: Option<Vec<u8>>,
}

impl Domain {
    /// All sockets.
    pub fn rows(&self) -> Vec<Row> {
        let sockets: Vec<_> =
            self.sockets.lock().iter().filter_map(|(ino, core)| Some((*ino, core.upgrade()?))).collect();
        let row = |(ino, core): (u64, Arc<Core>)| {
            let link = core.link.lock();
            let name = link.address.as_ref().map(|place| match &place.shown {
                Address::Path(path) => path.clone(),
                Address::Abstract(name) => [b"@", &**name].concat(),
            });
            let (listens, connected) = (link.backlog.is_some(), link.connected || link.peer.is_some());
            Row { ino, kind: core.kind, listens, connected, name }
        };
        sockets.into_iter().map(row).collect()
    }
    /// The socket of this name; ECONNREFUSED when nobody has it (any more).
    pub(super) fn find(&self, name: &Name) -> Result<Arc<Core>> {
        self.names.lock().get(name).and_then(Weak::upgrade).ok_or(Error::from_errno(Errno::ECONNREFUSED.0))
    }
    pub(super) fn take_name(&self, name: Name, socket: &Arc<Core>) -> Result<()> {
        let mut names = self.names.lock();
        if names.get(&name).is_some_and(|there| there.strong_count() > 0) {
            return Err(Error::from_errno(Errno::EADDRINUSE.0));
        }
        names.insert(name, Arc::downgrade(socket));
        Ok(())
    }
    /// Gives a socket an abstract name that nobody has: five hexadecimal digits.
    pub(super) fn take_free_name(&self, socket: &Arc<Core>) -> Result<Vec<u8>> {
        for _ in 0..MOST_TRIES {
            let mut raw = [0u8; 4];
            host().random(&mut raw);
            let name = alloc::format!("{:05x}", u32::from_ne_bytes(raw) & 0xf_ffff).into_bytes();
            if self.take_name(Name::Abstract(socket.kind, name.clone()), socket).is_ok() {
                return Ok(name);
            }
        }
        Err(Error::NoSpace)
    }
    pub(super) fn give_name_back(&self, name: &Name) {
        self.names.lock().remove(name);
    }
}
