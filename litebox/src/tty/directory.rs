//! /dev/pts: a name for every slave, and the way to new masters.

use alloc::format;
use alloc::sync::Arc;
use core::any::Any;

use crate::fs::dev::device_number;
use crate::fs::{DirEntry, File, FileSystem, FileType, Inode, InodeId, Metadata, OpenHow, SetAttr, StatFs, Time};
use crate::{Error, Result};

use super::Terminals;
use super::pty::Pair;
use super::slave::Slave;

const DEVPTS_MAGIC: u64 = 0x1cd1;
const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
/// Inode numbers of slaves start here, as on Linux.
const SLAVE_INO: u64 = 3;
const BLOCK: u32 = 1024;

/// The file system of /dev/pts.
pub struct PtsFs {
    terminals: Arc<Terminals>,
    container: Option<i32>,
    dev: u64,
    born: Time,
}

impl PtsFs {
    /// Those slaves of `terminals` that are a container's, named by its first process (`None`: the sandbox's own);
    /// `dev` is the file system's device number.
    pub fn new(terminals: &Arc<Terminals>, container: Option<i32>, dev: u64) -> Arc<Self> {
        Arc::new(Self { terminals: terminals.clone(), container, dev, born: Time::now() })
    }
    fn node(&self, what: What) -> Arc<dyn Inode> {
        Arc::new(Node {
            terminals: self.terminals.clone(),
            container: self.container,
            dev: self.dev,
            born: self.born,
            what,
        })
    }
}

impl FileSystem for PtsFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.node(What::Root)
    }
    fn type_name(&self) -> &'static str {
        "devpts"
    }
}

enum What {
    Root,
    Ptmx,
    Slave(Arc<Pair>),
}

struct Node {
    terminals: Arc<Terminals>,
    container: Option<i32>,
    dev: u64,
    born: Time,
    what: What,
}

fn number_of(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let number: u32 = text.parse().ok()?;
    (format!("{number}") == text).then_some(number)
}

impl Inode for Node {
    fn id(&self) -> InodeId {
        let ino = match &self.what {
            What::Root => ROOT_INO,
            What::Ptmx => PTMX_INO,
            What::Slave(pair) => SLAVE_INO + u64::from(pair.number),
        };
        InodeId { dev: self.dev, ino }
    }
    fn file_type(&self) -> FileType {
        if matches!(self.what, What::Root) { FileType::Directory } else { FileType::CharDevice }
    }
    fn metadata(&self) -> Result<Metadata> {
        let (uid, gid, permissions, rdev) = match &self.what {
            What::Root => (0, 0, 0o755, 0),
            What::Ptmx => (0, 0, 0o666, device_number(5, 2)),
            What::Slave(pair) => {
                let (uid, gid, permissions) = *pair.owner.lock();
                (uid, gid, permissions, pair.device())
            }
        };
        Ok(Metadata {
            id: self.id(),
            mode: self.file_type().mode_bits() | permissions,
            nlink: if matches!(self.what, What::Root) { 2 } else { 1 },
            uid,
            gid,
            rdev,
            size: 0,
            blocks: 0,
            blksize: BLOCK,
            atime: self.born,
            mtime: self.born,
            ctime: self.born,
            btime: None,
        })
    }
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        let What::Slave(pair) = &self.what else { return Err(Error::NotPermitted) };
        let mut owner = pair.owner.lock();
        owner.0 = attr.uid.unwrap_or(owner.0);
        owner.1 = attr.gid.unwrap_or(owner.1);
        owner.2 = attr.permissions.unwrap_or(owner.2);
        Ok(())
    }
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if !matches!(self.what, What::Root) {
            return Err(Error::NotDirectory);
        }
        let what = if name == b"ptmx" {
            What::Ptmx
        } else {
            let pair = number_of(name).and_then(|number| self.terminals.pair(number, self.container));
            What::Slave(pair.ok_or(Error::NotFound)?)
        };
        let (terminals, container) = (self.terminals.clone(), self.container);
        Ok(Arc::new(Self { terminals, container, dev: self.dev, born: self.born, what }))
    }
    fn read_dir(&self, cookie: u64, sink: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<()> {
        if !matches!(self.what, What::Root) {
            return Err(Error::NotDirectory);
        }
        let file_type = FileType::CharDevice;
        if cookie == 0 && !sink(DirEntry { name: b"ptmx", ino: PTMX_INO, file_type, next: 1 }) {
            return Ok(());
        }
        for number in self.terminals.numbers(self.container) {
            let next = u64::from(number) + 2;
            let name = format!("{number}");
            if next > cookie && !sink(DirEntry { name: name.as_bytes(), ino: next + 1, file_type, next }) {
                break;
            }
        }
        Ok(())
    }
    fn open(self: Arc<Self>, _how: &OpenHow) -> Result<Arc<dyn File>> {
        match &self.what {
            What::Root => Ok(crate::fs::DirectoryFile::new(self)),
            What::Ptmx => self.terminals.clone().open_master(self),
            What::Slave(pair) => Slave::open(&pair.clone(), self),
        }
    }
    fn stat_fs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: DEVPTS_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
    fn cacheable(&self) -> bool {
        false
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
