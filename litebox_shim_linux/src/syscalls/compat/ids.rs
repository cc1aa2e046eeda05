//! Users and groups: the calls that have 16 bits for them, and their successors whose names end with 32.

use alloc::vec::Vec;

use litebox::{Error, Result};
use litebox_common_linux::abi::layout::{Field, Id16, Layout};
use litebox_common_linux::argument::{UserMut, UserStr};

use crate::Task;
use crate::syscalls::identity::MOST_GROUPS;
use crate::user::{UserRead, UserWrite};
use litebox_common_linux::argument::UserRef;

/// An id as a handler takes it, from an argument of 16 bits.
fn wide(id: u32) -> u32 {
    u32::of(Id16::from(id as u16))
}

/// An id as a call of 16 bits returns it.
fn narrow(id: usize) -> usize {
    let raw: Id16 = (id as u32).raw();
    u16::from(raw).into()
}

fn write_ids(to: [UserMut<Id16>; 3], ids: [u32; 3]) -> Result<usize> {
    for (to, id) in to.into_iter().zip(ids) {
        to.write(id.raw())?;
    }
    Ok(0)
}

/// `NAME = HANDLER;`: the same call by another name.
macro_rules! same {
    ($($name:ident = $call:ident($($argument:ident: $type:ty),*);)*) => {
        impl Task<'_, '_> {
            $(pub(crate) fn $name(&mut self, $($argument: $type),*) -> Result<usize> {
                self.$call($($argument),*)
            })*
        }
    };
}
same! {
    getuid32 = getuid();
    geteuid32 = geteuid();
    getgid32 = getgid();
    getegid32 = getegid();
    setuid32 = setuid(uid: u32);
    setgid32 = setgid(gid: u32);
    setreuid32 = setreuid(uid: u32, euid: u32);
    setregid32 = setregid(gid: u32, egid: u32);
    setresuid32 = setresuid(uid: u32, euid: u32, suid: u32);
    setresgid32 = setresgid(gid: u32, egid: u32, sgid: u32);
    getresuid32 = getresuid(uid: UserMut<u32>, euid: UserMut<u32>, suid: UserMut<u32>);
    getresgid32 = getresgid(gid: UserMut<u32>, egid: UserMut<u32>, sgid: UserMut<u32>);
    setfsuid32 = setfsuid(uid: u32);
    setfsgid32 = setfsgid(gid: u32);
    getgroups32 = getgroups(size: i32, list: u64);
    setgroups32 = setgroups(size: usize, list: u64);
    chown32 = chown(path: UserStr, uid: u32, gid: u32);
    lchown32 = lchown(path: UserStr, uid: u32, gid: u32);
    fchown32 = fchown(fd: i32, uid: u32, gid: u32);
}

/// `NAME = HANDLER(fixed; ids)`: the call with ids of 16 bits; its result is one, too, where it is `narrow`.
macro_rules! short {
    ($($name:ident = $call:ident($($fixed:ident: $type:ty),*; $($id:ident),*) $($narrow:ident)?;)*) => {
        impl Task<'_, '_> {
            $(pub(crate) fn $name(&mut self, $($fixed: $type,)* $($id: u32),*) -> Result<usize> {
                self.$call($($fixed,)* $(wide($id)),*)$(.map($narrow))?
            })*
        }
    };
}
short! {
    getuid16 = getuid(;) narrow;
    geteuid16 = geteuid(;) narrow;
    getgid16 = getgid(;) narrow;
    getegid16 = getegid(;) narrow;
    setuid16 = setuid(; uid);
    setgid16 = setgid(; gid);
    setreuid16 = setreuid(; uid, euid);
    setregid16 = setregid(; gid, egid);
    setresuid16 = setresuid(; uid, euid, suid);
    setresgid16 = setresgid(; gid, egid, sgid);
    setfsuid16 = setfsuid(; uid);
    setfsgid16 = setfsgid(; gid);
    chown16 = chown(path: UserStr; uid, gid);
    lchown16 = lchown(path: UserStr; uid, gid);
    fchown16 = fchown(fd: i32; uid, gid);
}

impl Task<'_, '_> {
    /// getresuid(2)
    pub(crate) fn getresuid16(
        &mut self,
        uid: UserMut<Id16>,
        euid: UserMut<Id16>,
        suid: UserMut<Id16>,
    ) -> Result<usize> {
        let creds = self.creds();
        write_ids([uid, euid, suid], [creds.uid, creds.euid, creds.suid])
    }
    /// getresgid(2)
    pub(crate) fn getresgid16(
        &mut self,
        gid: UserMut<Id16>,
        egid: UserMut<Id16>,
        sgid: UserMut<Id16>,
    ) -> Result<usize> {
        let creds = self.creds();
        write_ids([gid, egid, sgid], [creds.gid, creds.egid, creds.sgid])
    }
    /// getgroups(2)
    pub(crate) fn getgroups16(&mut self, size: i32, list: UserMut<Id16>) -> Result<usize> {
        let size = usize::try_from(size).map_err(|_| Error::Invalid)?;
        let creds = self.creds();
        if size != 0 {
            if creds.groups.len() > size {
                return Err(Error::Invalid);
            }
            for (i, group) in creds.groups.iter().enumerate() {
                list.nth(i)?.write(group.raw())?;
            }
        }
        Ok(creds.groups.len())
    }
    /// setgroups(2)
    pub(crate) fn setgroups16(&mut self, size: usize, list: UserRef<Id16>) -> Result<usize> {
        self.check_groups(size)?;
        let mut groups = Vec::new();
        groups.try_reserve_exact(size.min(MOST_GROUPS)).map_err(|_| Error::NoMemory)?;
        for i in 0..size & 0xffff_ffff {
            groups.push(u32::of(list.nth(i)?.read()?));
        }
        self.become_member(groups)
    }
}

/// Whether a layout of two bytes is what programs have.
const _: () = assert!(size_of::<<Id16 as Layout>::X86>() == 2);
