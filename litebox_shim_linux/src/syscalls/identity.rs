//! Users and groups of a thread: the ids of credentials(7) and the calls that change them.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use litebox::{Error, Result};
use litebox_common_linux::argument::UserMut;

use crate::Task;
use crate::task::{Capability, Credentials};
use crate::user::{UserWrite, read_into, word, write_bytes};

/// "Leave it as it is".
const SAME: u32 = u32::MAX;
/// The most supplementary groups (NGROUPS_MAX).
pub(crate) const MOST_GROUPS: usize = 65_536;

/// `id`, if it is one of `allowed` or anything may be chosen.
fn choose(id: u32, current: u32, allowed: &[u32], privileged: bool) -> Result<u32> {
    if id == SAME {
        Ok(current)
    } else if privileged || allowed.contains(&id) {
        Ok(id)
    } else {
        Err(Error::NotPermitted)
    }
}

fn write_ids(to: [UserMut<u32>; 3], ids: [u32; 3]) -> Result<usize> {
    for (to, id) in to.into_iter().zip(ids) {
        to.write(id)?;
    }
    Ok(0)
}

impl Task<'_, '_> {
    fn change_uids(&mut self, change: impl FnOnce(&mut Credentials, bool) -> Result<()>) -> Result<usize> {
        let before = self.creds();
        let mut new = (*before).clone();
        change(&mut new, before.can(Capability::SetUid))?;
        new.follow_uids(&before);
        if new.uid != before.uid {
            // Many programs would not expect an error here: executing a program fails instead (execve(2)).
            let crowded = new.uid != 0 && self.exceeds_threads(new.uid);
            self.thread.crowded.store(crowded, Ordering::Relaxed);
        }
        self.set_creds(new);
        Ok(0)
    }

    fn change_gids(&mut self, change: impl FnOnce(&mut Credentials, bool) -> Result<()>) -> Result<usize> {
        let before = self.creds();
        let mut new = (*before).clone();
        change(&mut new, before.can(Capability::SetGid))?;
        new.fsgid = new.egid;
        self.set_creds(new);
        Ok(0)
    }

    /// setuid(2).
    pub(crate) fn setuid(&mut self, uid: u32) -> Result<usize> {
        if uid == SAME {
            return Err(Error::Invalid);
        }
        self.change_uids(|c, privileged| {
            if privileged {
                (c.uid, c.suid) = (uid, uid);
            } else if uid != c.uid && uid != c.suid {
                return Err(Error::NotPermitted);
            }
            c.euid = uid;
            Ok(())
        })
    }

    /// setgid(2).
    pub(crate) fn setgid(&mut self, gid: u32) -> Result<usize> {
        if gid == SAME {
            return Err(Error::Invalid);
        }
        self.change_gids(|c, privileged| {
            if privileged {
                (c.gid, c.sgid) = (gid, gid);
            } else if gid != c.gid && gid != c.sgid {
                return Err(Error::NotPermitted);
            }
            c.egid = gid;
            Ok(())
        })
    }

    /// setreuid(2).
    pub(crate) fn setreuid(&mut self, uid: u32, euid: u32) -> Result<usize> {
        self.change_uids(|c, privileged| {
            let old = (c.uid, c.euid, c.suid);
            c.uid = choose(uid, old.0, &[old.0, old.1], privileged)?;
            c.euid = choose(euid, old.1, &[old.0, old.1, old.2], privileged)?;
            if uid != SAME || euid != SAME && euid != old.0 {
                c.suid = c.euid;
            }
            Ok(())
        })
    }

    /// setregid(2).
    pub(crate) fn setregid(&mut self, gid: u32, egid: u32) -> Result<usize> {
        self.change_gids(|c, privileged| {
            let old = (c.gid, c.egid, c.sgid);
            c.gid = choose(gid, old.0, &[old.0, old.1], privileged)?;
            c.egid = choose(egid, old.1, &[old.0, old.1, old.2], privileged)?;
            if gid != SAME || egid != SAME && egid != old.0 {
                c.sgid = c.egid;
            }
            Ok(())
        })
    }

    /// setresuid(2).
    pub(crate) fn setresuid(&mut self, uid: u32, euid: u32, suid: u32) -> Result<usize> {
        self.change_uids(|c, privileged| {
            let old = [c.uid, c.euid, c.suid];
            c.uid = choose(uid, c.uid, &old, privileged)?;
            c.euid = choose(euid, c.euid, &old, privileged)?;
            c.suid = choose(suid, c.suid, &old, privileged)?;
            Ok(())
        })
    }

    /// setresgid(2).
    pub(crate) fn setresgid(&mut self, gid: u32, egid: u32, sgid: u32) -> Result<usize> {
        self.change_gids(|c, privileged| {
            let old = [c.gid, c.egid, c.sgid];
            c.gid = choose(gid, c.gid, &old, privileged)?;
            c.egid = choose(egid, c.egid, &old, privileged)?;
            c.sgid = choose(sgid, c.sgid, &old, privileged)?;
            Ok(())
        })
    }

    /// getresuid(2).
    pub(crate) fn getresuid(&mut self, uid: UserMut<u32>, euid: UserMut<u32>, suid: UserMut<u32>) -> Result<usize> {
        let c = self.creds();
        write_ids([uid, euid, suid], [c.uid, c.euid, c.suid])
    }

    /// getresgid(2).
    pub(crate) fn getresgid(&mut self, gid: UserMut<u32>, egid: UserMut<u32>, sgid: UserMut<u32>) -> Result<usize> {
        let c = self.creds();
        write_ids([gid, egid, sgid], [c.gid, c.egid, c.sgid])
    }

    /// setfsuid(2): tells the one before, whether or not it could be changed.
    #[expect(clippy::unnecessary_wraps, reason = "handlers of calls have one shape")]
    pub(crate) fn setfsuid(&mut self, uid: u32) -> Result<usize> {
        let before = self.creds();
        let allowed = [before.uid, before.euid, before.suid, before.fsuid].contains(&uid);
        if uid != SAME && uid != before.fsuid && (allowed || before.can(Capability::SetUid)) {
            let mut new = (*before).clone();
            new.fsuid = uid;
            new.follow_fsuid(before.fsuid);
            self.set_creds(new);
        }
        Ok(before.fsuid as usize)
    }

    /// setfsgid(2).
    #[expect(clippy::unnecessary_wraps, reason = "handlers of calls have one shape")]
    pub(crate) fn setfsgid(&mut self, gid: u32) -> Result<usize> {
        let before = self.creds();
        let allowed = [before.gid, before.egid, before.sgid, before.fsgid].contains(&gid);
        if gid != SAME && gid != before.fsgid && (allowed || before.can(Capability::SetGid)) {
            let mut new = (*before).clone();
            new.fsgid = gid;
            self.set_creds(new);
        }
        Ok(before.fsgid as usize)
    }

    /// getgroups(2).
    pub(crate) fn getgroups(&mut self, size: i32, list: u64) -> Result<usize> {
        let size = usize::try_from(size).map_err(|_| Error::Invalid)?;
        let creds = self.creds();
        if size != 0 {
            if creds.groups.len() > size {
                return Err(Error::Invalid);
            }
            let bytes: Vec<u8> = creds.groups.iter().flat_map(|group| group.to_le_bytes()).collect();
            write_bytes(list, &bytes)?;
        }
        Ok(creds.groups.len())
    }

    /// setgroups(2).
    pub(crate) fn setgroups(&mut self, size: usize, list: u64) -> Result<usize> {
        let size = self.check_groups(size)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size * 4).map_err(|_| Error::NoMemory)?;
        bytes.resize(size * 4, 0);
        read_into(list, &mut bytes)?;
        self.become_member(bytes.chunks_exact(4).map(|raw| u32::from_le_bytes(word(raw, 0))).collect())
    }

    /// Whether the caller may have `size` groups: an int to Linux.
    pub(crate) fn check_groups(&self, size: usize) -> Result<usize> {
        if !self.creds().can(Capability::SetGid) {
            return Err(Error::NotPermitted);
        }
        let size = size & 0xffff_ffff;
        if size > MOST_GROUPS { Err(Error::Invalid) } else { Ok(size) }
    }

    /// The groups of the caller from now on.
    pub(crate) fn become_member(&mut self, mut groups: Vec<u32>) -> Result<usize> {
        let before = self.creds();
        if groups.contains(&SAME) {
            return Err(Error::Invalid);
        }
        groups.sort_unstable();
        self.set_creds(Credentials { groups, ..(*before).clone() });
        Ok(0)
    }
}
