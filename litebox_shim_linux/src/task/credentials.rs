//! Who a thread is: ids, groups and capabilities of credentials(7) and capabilities(7), and what changing one does to
//! the others.

use alloc::vec::Vec;

use litebox::fs::{Creds, FileRights};

/// A capability by its number (capabilities(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of capabilities(7)")]
pub enum Capability {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    FileOwner = 3,
    FileSetId = 4,
    Kill = 5,
    SetGid = 6,
    SetUid = 7,
    SetPrivileges = 8,
    LinuxImmutable = 9,
    NetAdmin = 12,
    IpcLock = 14,
    IpcOwner = 15,
    SysChroot = 18,
    SysAdmin = 21,
    SysNice = 23,
    SysResource = 24,
    MakeNode = 27,
    Lease = 28,
    SetFileCapabilities = 31,
    MacOverride = 32,
}

impl Capability {
    /// Its bit in a set.
    pub const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// What of a set of capabilities concerns files.
fn file_rights(held: u64) -> FileRights {
    const RIGHTS: [(Capability, FileRights); 7] = [
        (Capability::Chown, FileRights::CHOWN),
        (Capability::DacOverride, FileRights::DAC_OVERRIDE),
        (Capability::DacReadSearch, FileRights::DAC_READ_SEARCH),
        (Capability::FileOwner, FileRights::FOWNER),
        (Capability::FileSetId, FileRights::FSETID),
        (Capability::MakeNode, FileRights::MKNOD),
        (Capability::SetFileCapabilities, FileRights::SETFCAP),
    ];
    RIGHTS.into_iter().filter(|(capability, _)| held & capability.bit() != 0).map(|(_, right)| right).collect()
}

/// The highest capability there is (/proc/sys/kernel/cap_last_cap).
pub const LAST_CAPABILITY: u64 = 40;
/// All there are.
pub const ALL_CAPABILITIES: u64 = (1 << (LAST_CAPABILITY + 1)) - 1;

/// What the superuser of a sandbox may do, all of it to the sandbox's own objects: the set that containers usually get.
/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD,
/// AUDIT_WRITE, SETFCAP.
pub const SANDBOX_CAPABILITIES: u64 = 0xa804_25fb;

/// Those that follow the file-system uid.
const FILE_CAPABILITIES: u64 = Capability::Chown.bit()
    | Capability::DacOverride.bit()
    | Capability::DacReadSearch.bit()
    | Capability::FileOwner.bit()
    | Capability::FileSetId.bit()
    | Capability::LinuxImmutable.bit()
    | Capability::MakeNode.bit()
    | Capability::MacOverride.bit();

/// SECBIT_NO_SETUID_FIXUP.
pub const NO_SETUID_FIXUP: u32 = 1 << 2;
/// SECBIT_KEEP_CAPS.
pub const KEEP_CAPS: u32 = 1 << 4;
/// SECBIT_KEEP_CAPS_LOCKED.
pub const KEEP_CAPS_LOCKED: u32 = 1 << 5;
/// SECBIT_NO_CAP_AMBIENT_RAISE.
pub const NO_AMBIENT_RAISE: u32 = 1 << 6;

/// The capability sets of a thread, named as in capabilities(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
    pub bounding: u64,
    pub ambient: u64,
}

/// What becomes of the capabilities of a sandbox, for programs that the user starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstCapabilities {
    /// They have none of these.
    pub dropped: u64,
    /// These they inherit.
    pub inheritable: u64,
    /// These of them are an ordinary user's, too.
    pub ambient: u64,
}

/// User and group ids, groups, capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of credentials(7)")]
pub struct Credentials {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Vec<u32>,
    pub capabilities: CapabilitySets,
    pub securebits: u32,
}

impl Credentials {
    /// Of the first process; the superuser has the capabilities of a sandbox, but for those that were dropped, which
    /// nobody there gets. Others have what is ambient.
    pub fn first(uid: u32, gid: u32, groups: Vec<u32>, given: &FirstCapabilities) -> Self {
        let bounding = SANDBOX_CAPABILITIES & !given.dropped;
        let inheritable = SANDBOX_CAPABILITIES & given.inheritable;
        let ambient = given.ambient & inheritable & bounding;
        let held = if uid == 0 { bounding | inheritable } else { ambient };
        let capabilities = CapabilitySets { inheritable, permitted: held, effective: held, bounding, ambient };
        Self {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups,
            capabilities,
            securebits: 0,
        }
    }

    /// Whether a capability is in effect.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.effective & capability.bit() != 0
    }

    /// As file systems ask for them.
    pub fn for_files(&self) -> Creds<'_> {
        let rights = file_rights(self.capabilities.effective);
        Creds { uid: self.fsuid, gid: self.fsgid, groups: &self.groups, rights }
    }

    /// As access(2) asks: by the real ids.
    pub fn for_access(&self) -> Creds<'_> {
        let held = if self.securebits & NO_SETUID_FIXUP != 0 {
            self.capabilities.effective
        } else if self.uid == 0 {
            self.capabilities.permitted
        } else {
            0
        };
        Creds { uid: self.uid, gid: self.gid, groups: &self.groups, rights: file_rights(held) }
    }

    /// After the real, effective or saved uid changed from those of `before`: what becomes of the capabilities.
    pub(crate) fn follow_uids(&mut self, before: &Self) {
        self.fsuid = self.euid;
        if self.securebits & NO_SETUID_FIXUP != 0 {
            return;
        }
        let sets = &mut self.capabilities;
        let was_root = [before.uid, before.euid, before.suid].contains(&0);
        let is_root = [self.uid, self.euid, self.suid].contains(&0);
        if was_root && !is_root {
            if self.securebits & KEEP_CAPS == 0 {
                sets.permitted = 0;
                sets.effective = 0;
            }
            sets.ambient = 0;
        }
        if before.euid == 0 && self.euid != 0 {
            sets.effective = 0;
        }
        if before.euid != 0 && self.euid == 0 {
            sets.effective = sets.permitted;
        }
    }

    /// After the file-system uid alone changed from `before`.
    pub(crate) fn follow_fsuid(&mut self, before: u32) {
        if self.securebits & NO_SETUID_FIXUP != 0 {
            return;
        }
        let sets = &mut self.capabilities;
        if before == 0 && self.fsuid != 0 {
            sets.effective &= !FILE_CAPABILITIES;
        }
        if before != 0 && self.fsuid == 0 {
            sets.effective |= sets.permitted & FILE_CAPABILITIES;
        }
    }

    /// After execve(2). No file here has privileges of its own, neither bits nor capabilities: what is ambient stays.
    pub(crate) fn follow_exec(&mut self) {
        /// SECBIT_NOROOT.
        const NOROOT: u32 = 1;
        self.suid = self.euid;
        self.sgid = self.egid;
        self.fsuid = self.euid;
        self.fsgid = self.egid;
        let root = self.securebits & NOROOT == 0;
        let sets = &mut self.capabilities;
        // What the file stands for: everything to the superuser, nothing to others.
        let (file_permitted, file_effective) = match (root, self.uid == 0, self.euid == 0) {
            (true, _, true) => (u64::MAX, true),
            (true, true, false) => (u64::MAX, false),
            _ => (0, false),
        };
        let from_file = if file_permitted == 0 { 0 } else { sets.inheritable | sets.bounding };
        sets.permitted = from_file | sets.ambient;
        sets.effective = if file_effective { sets.permitted } else { sets.ambient };
        self.securebits &= !KEEP_CAPS;
    }

    /// Whether ids or capabilities differ in a way that makes a process undumpable.
    pub(crate) fn differs_for_dumps(&self, before: &Self) -> bool {
        self.euid != before.euid
            || self.egid != before.egid
            || self.fsuid != before.fsuid
            || self.fsgid != before.fsgid
            || self.capabilities.permitted & !before.capabilities.permitted != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_root_drops_capabilities_unless_they_are_kept() {
        let root = Credentials::first(0, 0, Vec::new(), &FirstCapabilities::default());
        let mut user = Credentials { uid: 5, euid: 5, suid: 5, ..root.clone() };
        user.follow_uids(&root);
        assert_eq!((user.capabilities.permitted, user.capabilities.effective), (0, 0));
        let kept = Credentials { securebits: KEEP_CAPS, ..root.clone() };
        let mut user = Credentials { uid: 5, euid: 5, suid: 5, ..kept.clone() };
        user.follow_uids(&kept);
        assert_eq!((user.capabilities.permitted, user.capabilities.effective), (SANDBOX_CAPABILITIES, 0));
        let mut back = Credentials { euid: 5, ..root.clone() };
        back.follow_uids(&root);
        assert_eq!((back.capabilities.effective, back.fsuid), (0, 5));
        let before = back.clone();
        back.euid = 0;
        back.follow_uids(&before);
        assert_eq!(back.capabilities.effective, SANDBOX_CAPABILITIES);
    }
}
