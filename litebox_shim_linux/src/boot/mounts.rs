//! What the guest sees at the start: file systems and where they are mounted.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use litebox::fs::dev;
use litebox::fs::host::{Granted, HostFs};
use litebox::fs::memory::MemoryFs;
use litebox::fs::overlay::OverlayFs;
use litebox::fs::{
    Access, Creds, FileSystem, FileType, Inode, Location, LookupFlags, MountFlags, NewAttr, NewNode, OpenHow, Origin,
    Vfs,
};
use litebox::mm::arena::Arena;
use litebox::platform::GrantId;
use litebox::{Error, Result, io};

use super::{UserSpec, user};

/// First device number of our file systems; those below belong to files without a name. The minor numbers count up from
/// it, as those of Linux's own nameless devices do.
pub(crate) const FIRST_DEV: u64 = 0x20;

/// A file system to be mounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A tree of the host that the broker granted, as it is.
    Grant(u32),
    /// The same, with a layer in memory that takes all changes.
    CopyOnWrite(u32),
    /// Empty, in memory; permissions of its root, and how many bytes it takes at most (0: what the arena has).
    Memory(u32, u64),
    /// One file: that of [`MountPlan::texts`].
    Text(u32),
    /// Devices.
    Dev,
    /// Pseudo-terminals.
    Pts,
    /// Processes and the kernel.
    Proc,
    /// The machine.
    Sys,
}

impl Source {
    /// As the first column of /proc/mounts.
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::Grant(_) => b"host",
            Self::CopyOnWrite(_) => b"overlay",
            Self::Memory(..) | Self::Text(_) => b"tmpfs",
            Self::Dev => b"dev",
            Self::Pts => b"devpts",
            Self::Proc => b"proc",
            Self::Sys => b"sysfs",
        }
    }
}

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountSpec {
    /// Where, from the root.
    pub at: Vec<u8>,
    /// What.
    pub source: Source,
    /// Nothing may change there.
    pub read_only: bool,
    /// Nothing may be executed there.
    pub no_exec: bool,
    /// Devices in it are not opened.
    pub no_dev: bool,
}

/// The whole view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountPlan {
    /// The root of the tree.
    pub root: Source,
    /// Nothing may change in the root's own file system.
    pub read_only: bool,
    /// Symbolic links to be made: path and target.
    pub links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Directories to be made: path and permissions. The user owns them.
    pub directories: Vec<(Vec<u8>, u32)>,
    /// What is mounted, in this order.
    pub mounts: Vec<MountSpec>,
    /// The first program's working directory.
    pub workdir: Vec<u8>,
    /// Who the first program runs as, and what is made in memory for them belongs to.
    pub user: UserSpec,
    /// Contents of files that are made for the sandbox ([`Source::Text`]).
    pub texts: Vec<Vec<u8>>,
    /// What the broker says of the grants.
    pub grants: Vec<u8>,
}

/// Why a view cannot be made.
#[derive(Debug)]
pub struct Failure {
    /// What was being done, or all there is to say.
    pub what: String,
    /// What stopped it.
    pub error: Option<Error>,
}

impl Failure {
    /// That says all.
    pub fn plain(what: String) -> Self {
        Self { what, error: None }
    }
    /// Of what was being done at a path.
    pub fn at(what: &str, path: &[u8], error: Error) -> Self {
        Self { what: format!("{what} {}", String::from_utf8_lossy(path)), error: Some(error) }
    }
}

/// An error in words.
pub fn in_words(error: Error) -> &'static str {
    match error {
        Error::NotFound => "no such file or directory",
        Error::NotDirectory => "not a directory",
        Error::Access | Error::NotPermitted => "permission denied",
        Error::ReadOnly => "the file system is read-only",
        Error::NameTooLong => "the path is too long",
        Error::Loop => "too many symbolic links",
        Error::NoMemory | Error::NoSpace => "not enough memory",
        Error::Exists => "it exists already",
        Error::NotSupported | Error::NotImplemented => "this host has none (see litebox doctor)",
        Error::TooManyFiles => "too many open files (ulimit -n)",
        Error::WouldBlock => "too many processes (ulimit -u)",
        _ => "the host refuses it",
    }
}

/// Makes file systems, each with a device number of its own.
pub(super) struct Maker<'a> {
    pub(super) arena: &'a Arc<Arena>,
    last_dev: &'a AtomicU64,
    /// What is granted, in the order in which the plan numbers it, and the broker's own numbers.
    grants: Vec<(GrantId, Granted)>,
    /// The further container that it is for, as terminals know it.
    pub(super) container: Option<i32>,
    /// The copy-on-write tree that was made last.
    pub(super) overlay: Option<Arc<OverlayFs>>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(arena: &'a Arc<Arena>, last_dev: &'a AtomicU64, grants: Vec<(GrantId, Granted)>) -> Self {
        Self { arena, last_dev, grants, container: None, overlay: None }
    }
    pub(super) fn dev(&mut self) -> u64 {
        self.last_dev.fetch_add(1, Ordering::Relaxed) + 1
    }
    fn granted(&mut self, number: u32) -> Result<Arc<HostFs>> {
        let index = usize::try_from(number).map_err(|_| Error::Invalid)?;
        let (id, granted) = self.grants.get(index).cloned().ok_or(Error::NotFound)?;
        HostFs::new(id, self.dev(), &granted)
    }
    fn memory(&mut self, permissions: u32, limit: Option<u64>) -> Arc<MemoryFs> {
        MemoryFs::new(self.dev(), self.arena, limit, NewAttr { permissions, ..NewAttr::default() })
    }
    /// A file system that is one file with this content.
    pub(super) fn text(&mut self, content: Option<&Vec<u8>>) -> Result<Arc<dyn FileSystem>> {
        const NAME: &[u8] = b"file";
        let content = content.ok_or(Error::NotFound)?;
        let fs = self.memory(0o755, None);
        let file = fs.root().create(NAME, NewNode::Regular, NewAttr { permissions: 0o644, ..NewAttr::default() })?;
        let open = file.clone().open(&OpenHow { access: Access::WRITE, ..OpenHow::default() })?;
        let mut written = 0;
        while let Some(rest) = content.get(written..).filter(|rest| !rest.is_empty()) {
            written += open.write_at(&mut io::Source::kernel(rest), written as u64)?;
        }
        Ok(Arc::new(FileOf { _tree: fs, file }))
    }
    pub(super) fn make(&mut self, source: Source) -> Result<Arc<dyn FileSystem>> {
        Ok(match source {
            Source::Grant(number) => self.granted(number)?,
            Source::CopyOnWrite(number) => {
                let lower: Arc<dyn FileSystem> = self.granted(number)?;
                let overlay = OverlayFs::new(self.dev(), lower, self.arena);
                self.overlay = Some(overlay.clone());
                overlay
            }
            Source::Memory(permissions, limit) => self.memory(permissions, (limit != 0).then_some(limit)),
            Source::Dev => {
                let fs = self.memory(0o755, None);
                dev::populate(&fs.root())?;
                fs
            }
            // These need the kernel object, or the view.
            Source::Pts | Source::Proc | Source::Sys | Source::Text(_) => return Err(Error::Invalid),
        })
    }
}

/// One file of a file system in memory, to be mounted by itself.
struct FileOf {
    /// Keeps it.
    _tree: Arc<MemoryFs>,
    file: Arc<dyn Inode>,
}

impl FileSystem for FileOf {
    fn root(&self) -> Arc<dyn Inode> {
        self.file.clone()
    }
    fn type_name(&self) -> &'static str {
        "tmpfs"
    }
}

/// A tree that is being made: where its root is, and who walks there, whom nothing stops.
pub(crate) struct View<'a> {
    pub(crate) vfs: &'a Vfs,
    pub(crate) root: Location,
}

impl View<'_> {
    pub(crate) fn superuser(&self) -> Origin<'static> {
        Origin { creds: Creds::ROOT, root: self.root.clone(), start: self.root.clone(), umask: 0 }
    }

    /// Makes every directory of `path` that is missing.
    fn make_directories(&self, path: &[u8], permissions: u32) -> Result<()> {
        let from = self.superuser();
        let ends = path.iter().enumerate().filter(|(at, b)| **b == b'/' && *at > 0).map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let part = path.get(..end).unwrap_or_default();
            let last = end == path.len();
            match self.vfs.make(&from, part, NewNode::Directory, if last { permissions } else { 0o755 }) {
                Ok(_) | Err(Error::Exists) => {}
                // It may be there although nothing can be made beside it.
                Err(error) => {
                    self.vfs.walk(&from, part, LookupFlags::FOLLOW | LookupFlags::DIRECTORY).map_err(|_| error)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the directories that lead to `path`.
    fn make_parents(&self, path: &[u8]) -> Result<()> {
        let parent = path.iter().rposition(|&b| b == b'/').and_then(|at| path.get(..at)).unwrap_or_default();
        if parent.is_empty() { Ok(()) } else { self.make_directories(parent, 0o755) }
    }

    /// Makes the place where `fs` is to be mounted.
    fn make_mount_point(&self, path: &[u8], fs: &Arc<dyn FileSystem>) -> Result<()> {
        if fs.root().file_type() == FileType::Directory {
            return self.make_directories(path, 0o755);
        }
        let from = self.superuser();
        self.make_parents(path)?;
        match self.vfs.make(&from, path, NewNode::Regular, 0o644) {
            Ok(_) | Err(Error::Exists) => Ok(()),
            Err(error) => self.vfs.walk(&from, path, LookupFlags::FOLLOW).map(drop).map_err(|_| error),
        }
    }

    /// Mounts a file system.
    pub(super) fn mount(&self, spec: &MountSpec, fs: Arc<dyn FileSystem>) -> Result<(), Failure> {
        let failed = |error| Failure::at("cannot mount at", &spec.at, error);
        self.make_mount_point(&spec.at, &fs).map_err(failed)?;
        let at = self.vfs.walk(&self.superuser(), &spec.at, LookupFlags::FOLLOW).map_err(failed)?;
        let mut flags = MountFlags::RELATIME | MountFlags::NOSUID;
        flags.set(MountFlags::RDONLY, spec.read_only);
        flags.set(MountFlags::NOEXEC, spec.no_exec);
        if spec.no_dev
            || !matches!(spec.source, Source::Dev | Source::Pts | Source::CopyOnWrite(_) | Source::Memory(..))
        {
            flags |= MountFlags::NODEV;
        }
        self.vfs.mount(&at, fs, flags, spec.source.name()).map_err(failed)?;
        Ok(())
    }

    /// Lets /etc/resolv.conf name the sandbox's own name server, whatever the host's says, or leads to.
    /// With `keeps`, what else it says of looking for names stays.
    pub(super) fn name_server(&self, maker: &mut Maker<'_>, keeps: bool) -> Result<(), Failure> {
        const PATH: &[u8] = b"/etc/resolv.conf";
        let failed = |error| Failure::at("cannot mount at", PATH, error);
        let mut text = format!("nameserver {}\n", litebox::net::inet::carrier::host::resolver()).into_bytes();
        if keeps {
            text.extend(user::lookup_lines(self, PATH));
        }
        let fs = maker.text(Some(&text)).map_err(failed)?;
        let from = self.superuser();
        // A view that has none and cannot be changed does without: then names are asked for at 127.0.0.1, where nobody
        // is.
        if self.vfs.walk(&from, PATH, LookupFlags::empty()).is_err() && self.make_mount_point(PATH, &fs).is_err() {
            return Ok(());
        }
        // Over the link itself, if it is one: where it leads may not be there.
        let at = self.vfs.walk(&from, PATH, LookupFlags::empty()).map_err(failed)?;
        let flags = MountFlags::RELATIME | MountFlags::NOSUID | MountFlags::NODEV;
        self.vfs.mount(&at, fs, flags, b"tmpfs").map_err(failed)?;
        Ok(())
    }

    /// Links of the view, as far as they are missing.
    pub(super) fn make_links(&self, mounts: &MountPlan) -> Result<(), Failure> {
        let from = self.superuser();
        for (name, target) in &mounts.links {
            let failed = |error| Failure::at("cannot make the link", name, error);
            self.make_parents(name).map_err(failed)?;
            match self.vfs.make(&from, name, NewNode::Symlink(target), 0o777) {
                Ok(_) | Err(Error::Exists) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Directories of the view, as far as they are missing.
    pub(super) fn make_directories_of(&self, mounts: &MountPlan, owner: (u32, u32)) -> Result<(), Failure> {
        let from = self.superuser();
        for (path, permissions) in &mounts.directories {
            let failed = |error| Failure::at("cannot make the directory", path, error);
            if self.vfs.walk(&from, path, LookupFlags::FOLLOW).is_ok() {
                continue;
            }
            self.make_directories(path, *permissions).map_err(failed)?;
            let at = self.vfs.walk(&from, path, LookupFlags::FOLLOW).map_err(failed)?;
            // The sticky ones are everybody's.
            if permissions & 0o1000 == 0 {
                self.vfs.set_owner(&Creds::ROOT, &at, Some(owner.0), Some(owner.1)).map_err(failed)?;
            }
        }
        Ok(())
    }
}
