//! Extended attributes.

use alloc::vec::Vec;
use litebox_common_linux::abi::file::{AtFlags, XattrArgs, XattrArgsX86_64, XattrFlags};
use litebox_common_linux::argument::UserStr;

use litebox::fs::{Creds, FileType, Vfs};
use litebox::{Error, Result};

use super::AT_FDCWD;
use super::place::{NOFOLLOW_OR_EMPTY, PathTarget, creds_of};
use crate::Task;
use crate::user::{read_extensible, read_into, read_string, write_bytes};

/// Longest name, with its zero.
const NAME_SIZE: usize = 256;
/// Longest value, and longest list of names.
const SIZE_MAX: usize = 65_536;

/// Which file a call is about.
#[derive(Clone, Copy)]
enum XattrTarget {
    Path(UserStr),
    Link(UserStr),
    Fd(i32),
    /// A path from a directory, with `AT_` flags.
    At(i32, UserStr, AtFlags),
}

/// Where the value is, how large, and flags, of setxattrat(2) and getxattrat(2).
fn read_arguments(addr: u64, size: usize) -> Result<XattrArgs> {
    read_extensible(addr, size, size_of::<XattrArgsX86_64>())
}

fn check_at_flags(flags: AtFlags) -> Result<()> {
    if NOFOLLOW_OR_EMPTY.contains(flags) { Ok(()) } else { Err(Error::Invalid) }
}

fn read_name(addr: UserStr) -> Result<Vec<u8>> {
    let name = read_string(addr, NAME_SIZE, Error::Range)?;
    if name.is_empty() { Err(Error::Range) } else { Ok(name) }
}

/// Gives the guest what fits: with size 0, only how much there is.
fn give(buf: u64, size: usize, bytes: &[u8]) -> Result<usize> {
    if size != 0 {
        if bytes.len() > size {
            return Err(Error::Range);
        }
        write_bytes(buf, bytes)?;
    }
    Ok(bytes.len())
}

impl Task<'_, '_> {
    fn attribute_target(&self, which: XattrTarget) -> Result<PathTarget> {
        match which {
            XattrTarget::Path(path) => self.target(AT_FDCWD, path, AtFlags::empty()),
            XattrTarget::Link(path) => self.target(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW),
            XattrTarget::At(dirfd, path, flags) => self.target(dirfd, path, flags),
            XattrTarget::Fd(fd) => Ok(PathTarget::of(self.file(fd)?)),
        }
    }
    fn at_attributes<T>(
        &self,
        which: XattrTarget,
        nameless: impl FnOnce(&Creds<'_>) -> Error,
        call: impl FnOnce(&Vfs, &Creds<'_>, &litebox::fs::Location) -> Result<T>,
    ) -> Result<T> {
        let credentials = self.creds();
        let creds = creds_of(&credentials);
        match self.attribute_target(which)? {
            PathTarget::Place(at) => call(&self.kernel().vfs, &creds, &at),
            PathTarget::Nameless(_) => Err(nameless(&creds)),
        }
    }
    fn set_attribute(
        &self,
        which: XattrTarget,
        name: UserStr,
        value: u64,
        size: usize,
        flags: XattrFlags,
    ) -> Result<usize> {
        if !XattrFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        let name = read_name(name)?;
        if size > SIZE_MAX {
            return Err(Error::TooBig);
        }
        let mut bytes = alloc::vec![0; size];
        read_into(value, &mut bytes)?;
        let nameless = |creds: &Creds<'_>| Vfs::nameless_xattr(creds, &name, true);
        self.at_attributes(which, nameless, |vfs, creds, at| vfs.set_xattr(creds, at, &name, &bytes, flags))?;
        Ok(0)
    }
    fn get_attribute(&self, which: XattrTarget, name: UserStr, value: u64, size: usize) -> Result<usize> {
        let name = read_name(name)?;
        let nameless = |creds: &Creds<'_>| Vfs::nameless_xattr(creds, &name, false);
        let bytes = self.at_attributes(which, nameless, |vfs, creds, at| vfs.get_xattr(creds, at, &name))?;
        give(value, size, &bytes)
    }
    fn list_attributes(&self, which: XattrTarget, list: u64, size: usize) -> Result<usize> {
        const OF_SOCKETS: &[u8] = b"system.sockprotoname\0";
        if let PathTarget::Nameless(file) = self.attribute_target(which)? {
            // Pipes and the like have none; a socket tells its protocol.
            let is_socket = file.file.inode().file_type() == FileType::Socket;
            return give(list, size, if is_socket { OF_SOCKETS } else { b"" });
        }
        let names = self.at_attributes(which, |_| Error::NotSupported, Vfs::list_xattr)?;
        give(list, size, &names)
    }
    fn remove_attribute(&self, which: XattrTarget, name: UserStr) -> Result<usize> {
        let name = read_name(name)?;
        let nameless = |creds: &Creds<'_>| Vfs::nameless_xattr(creds, &name, true);
        self.at_attributes(which, nameless, |vfs, creds, at| vfs.remove_xattr(creds, at, &name))?;
        Ok(0)
    }

    /// setxattrat(2)
    pub(crate) fn setxattrat(
        &mut self,
        dirfd: i32,
        path: UserStr,
        flags: AtFlags,
        name: UserStr,
        arguments: u64,
        size: usize,
    ) -> Result<usize> {
        let given = read_arguments(arguments, size)?;
        check_at_flags(flags)?;
        self.set_attribute(
            XattrTarget::At(dirfd, path, flags),
            name,
            given.value,
            given.size as usize,
            XattrFlags(given.flags),
        )
    }
    /// getxattrat(2)
    pub(crate) fn getxattrat(
        &mut self,
        dirfd: i32,
        path: UserStr,
        flags: AtFlags,
        name: UserStr,
        arguments: u64,
        size: usize,
    ) -> Result<usize> {
        let given = read_arguments(arguments, size)?;
        if given.flags != 0 {
            return Err(Error::Invalid);
        }
        check_at_flags(flags)?;
        self.get_attribute(XattrTarget::At(dirfd, path, flags), name, given.value, given.size as usize)
    }
    /// listxattrat(2)
    pub(crate) fn listxattrat(
        &mut self,
        dirfd: i32,
        path: UserStr,
        flags: AtFlags,
        list: u64,
        size: usize,
    ) -> Result<usize> {
        check_at_flags(flags)?;
        self.list_attributes(XattrTarget::At(dirfd, path, flags), list, size)
    }
    /// removexattrat(2)
    pub(crate) fn removexattrat(&mut self, dirfd: i32, path: UserStr, flags: AtFlags, name: UserStr) -> Result<usize> {
        check_at_flags(flags)?;
        self.remove_attribute(XattrTarget::At(dirfd, path, flags), name)
    }
    /// setxattr(2)
    pub(crate) fn setxattr(
        &mut self,
        path: UserStr,
        name: UserStr,
        value: u64,
        size: usize,
        flags: XattrFlags,
    ) -> Result<usize> {
        self.set_attribute(XattrTarget::Path(path), name, value, size, flags)
    }
    /// lsetxattr(2)
    pub(crate) fn lsetxattr(
        &mut self,
        path: UserStr,
        name: UserStr,
        value: u64,
        size: usize,
        flags: XattrFlags,
    ) -> Result<usize> {
        self.set_attribute(XattrTarget::Link(path), name, value, size, flags)
    }
    /// fsetxattr(2)
    pub(crate) fn fsetxattr(
        &mut self,
        fd: i32,
        name: UserStr,
        value: u64,
        size: usize,
        flags: XattrFlags,
    ) -> Result<usize> {
        self.set_attribute(XattrTarget::Fd(fd), name, value, size, flags)
    }
    /// getxattr(2)
    pub(crate) fn getxattr(&mut self, path: UserStr, name: UserStr, value: u64, size: usize) -> Result<usize> {
        self.get_attribute(XattrTarget::Path(path), name, value, size)
    }
    /// lgetxattr(2)
    pub(crate) fn lgetxattr(&mut self, path: UserStr, name: UserStr, value: u64, size: usize) -> Result<usize> {
        self.get_attribute(XattrTarget::Link(path), name, value, size)
    }
    /// fgetxattr(2)
    pub(crate) fn fgetxattr(&mut self, fd: i32, name: UserStr, value: u64, size: usize) -> Result<usize> {
        self.get_attribute(XattrTarget::Fd(fd), name, value, size)
    }
    /// listxattr(2)
    pub(crate) fn listxattr(&mut self, path: UserStr, list: u64, size: usize) -> Result<usize> {
        self.list_attributes(XattrTarget::Path(path), list, size)
    }
    /// llistxattr(2)
    pub(crate) fn llistxattr(&mut self, path: UserStr, list: u64, size: usize) -> Result<usize> {
        self.list_attributes(XattrTarget::Link(path), list, size)
    }
    /// flistxattr(2)
    pub(crate) fn flistxattr(&mut self, fd: i32, list: u64, size: usize) -> Result<usize> {
        self.list_attributes(XattrTarget::Fd(fd), list, size)
    }
    /// removexattr(2)
    pub(crate) fn removexattr(&mut self, path: UserStr, name: UserStr) -> Result<usize> {
        self.remove_attribute(XattrTarget::Path(path), name)
    }
    /// lremovexattr(2)
    pub(crate) fn lremovexattr(&mut self, path: UserStr, name: UserStr) -> Result<usize> {
        self.remove_attribute(XattrTarget::Link(path), name)
    }
    /// fremovexattr(2)
    pub(crate) fn fremovexattr(&mut self, fd: i32, name: UserStr) -> Result<usize> {
        self.remove_attribute(XattrTarget::Fd(fd), name)
    }
}
