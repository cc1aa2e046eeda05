//! Metadata of a node: kept true while the tree is watched, else asked for.

use core::sync::atomic::Ordering;

use super::changes::Moment;
use super::client::Subject;
use super::file::metadata_of;
use super::node::HostNode;
use crate::fs::acl::{Acl, AclKind};
use crate::fs::{FileType, Inode, Metadata, SetAttr, SetTime};
use crate::platform::north::north;
use crate::platform::{HostStat, host};
use crate::{Error, Result};
use litebox_protocol::{AttrFlags, Request, Stat, WalkFlags};

/// What of a node's metadata is true, once the queue of changes was looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Known {
    /// Nothing.
    #[default]
    Nothing,
    /// Type, owner and permissions.
    Rights,
    /// All of it.
    All,
}

/// Metadata of a node.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    pub(super) stat: Stat,
    pub(super) known: Known,
    /// Of a file: true as long as no name was made that may be another of it (`Changes::links`).
    pub(super) links: u64,
}

impl Attributes {
    /// All is true of what the broker said, asked at this moment.
    pub(super) fn all(stat: Stat, asked: Moment) -> Self {
        Self { stat, known: Known::All, links: asked.links }
    }
    /// What it was when the broker was asked.
    pub(super) fn of_before(stat: Stat) -> Self {
        Self { stat, known: Known::Nothing, links: 0 }
    }
}

impl HostNode {
    /// The broker said so just now.
    pub(super) fn note_stat(&self, stat: Stat) {
        self.set_attributes(Attributes::of_before(stat));
        let call = if self.fs().image { 0 } else { north().call_under_way() };
        self.checked().store(call, Ordering::Relaxed);
    }
    /// Whether it is the file with this metadata.
    pub(super) fn is(&self, stat: &Stat) -> bool {
        let kept = self.stat();
        (stat.dev, stat.ino) == (kept.dev, kept.ino)
    }
    /// Whether its metadata was asked for in this very call.
    pub(super) fn is_checked(&self) -> bool {
        let checked = self.checked().load(Ordering::Relaxed);
        checked != 0 && checked == north().call_under_way()
    }
    /// Whether the name that it was found by leads to it, as of this call.
    pub(super) fn has_its_name(&self) -> bool {
        self.is_checked() || self.fs().look() && self.known() >= Known::Rights
    }
    /// What is kept true of its metadata.
    pub(super) fn known(&self) -> Known {
        self.known_of(&self.attributes().read())
    }
    fn known_of(&self, kept: &Attributes) -> Known {
        let is_file = self.file_type() != FileType::Directory;
        if is_file && kept.links != self.fs().changes.links() { Known::Nothing } else { kept.known }
    }
    /// Its metadata, if as much of it is true.
    fn stat_if(&self, least: Known) -> Option<Stat> {
        let kept = self.attributes().read();
        (self.known_of(&kept) >= least).then_some(kept.stat)
    }
    pub(super) fn stat(&self) -> Stat {
        self.attributes().read().stat
    }
    pub(super) fn set_attributes(&self, attributes: Attributes) {
        *self.attributes().write() = attributes;
        self.forget_acl();
    }
    /// No more of its metadata is true than this.
    pub(super) fn lower(&self, most: Known) {
        let mut attributes = self.attributes().write();
        attributes.known = attributes.known.min(most);
        if most < Known::Rights {
            self.forget_acl();
        }
        // What was asked for in a call that goes on is of before.
        self.checked().store(0, Ordering::Relaxed);
    }
    /// What was found out about its list is of before. The lowest bit says that there is none, the others count.
    fn forget_acl(&self) {
        let _ = self.acl().fetch_update(Ordering::Relaxed, Ordering::Relaxed, |was| Some((was | 1).wrapping_add(1)));
    }
    /// Its list (acl(5)). That there is none is remembered as long as its permissions are.
    pub(super) fn acl_now(&self, mode_allows: bool) -> Option<Acl> {
        if self.fs().image && mode_allows || self.file_type() == FileType::Symlink {
            return None;
        }
        let state = self.acl().load(Ordering::Relaxed);
        let kept = self.fs().image || self.fs().look() && self.known() >= Known::Rights;
        if kept && state & 1 == 1 && self.acl().load(Ordering::Relaxed) == state {
            return None;
        }
        // An event that comes from here on counts on.
        let state = self.acl().load(Ordering::Relaxed) & !1;
        match self.ask_about(|subject| self.fs().client.get_xattr(subject, AclKind::Access.name())) {
            Ok(value) => Acl::from_xattr(&value).ok()?,
            Err(Error::NoData | Error::NotSupported) => {
                let _ = self.acl().compare_exchange(state, state | 1, Ordering::Relaxed, Ordering::Relaxed);
                None
            }
            Err(_) => None,
        }
    }
    fn metadata_from(&self, stat: &HostStat) -> Metadata {
        Metadata { id: self.id(), ..metadata_of(stat) }
    }
    /// What stat(2) says.
    pub(super) fn metadata_now(&self) -> Result<Metadata> {
        if !self.fs().image && !self.is_checked() {
            if let Some(file) = self.open_file() {
                return host().host_fstat(file.descriptor()).map(|stat| self.metadata_from(&stat));
            }
            if let Some(stat) = if self.fs().look() { self.stat_if(Known::All) } else { None } {
                return Ok(self.metadata_from(&HostStat::from(&stat)));
            }
            let stat = self.stat();
            if stat.nlink == 0 {
                // Without names and not open, it can only be told what it was.
                return Ok(self.metadata_from(&HostStat::from(&stat)));
            }
            self.ask_for_attributes()?;
        }
        Ok(self.metadata_from(&HostStat::from(&self.stat())))
    }
    /// Metadata of which type, owner and permissions are true.
    pub(super) fn rights_now(&self) -> Result<Metadata> {
        let known = if !self.fs().image && self.fs().look() { self.stat_if(Known::Rights) } else { None };
        match known {
            Some(stat) => Ok(self.metadata_from(&HostStat::from(&stat))),
            None => self.metadata_now(),
        }
    }
    fn ask_for_attributes(&self) -> Result<()> {
        if !self.fs().changes.is_heard(&self.fs().client) {
            let path = self.path()?;
            let known = path.split(|&b| b == b'/').count().saturating_sub(1);
            let walked = self.fs().client.walk(&path, known, WalkFlags::empty())?;
            return self.take_attributes(walked.stats.first().copied(), walked.stop);
        }
        if self.file_type() == FileType::Directory {
            return self.ask_for_directory();
        }
        let (parent, name) = self.parent_and_name();
        let parent = parent.ok_or(Error::NotFound)?;
        let path = self.path()?;
        let known = path.split(|&b| b == b'/').count().saturating_sub(1);
        let asked = parent.moment();
        let walked = self.fs().client.walk(&path, known, WalkFlags::STAT_KNOWN)?;
        let found = walked.stats.first().copied();
        self.take_attributes(found, walked.stop)?;
        if let (Some(stat), true) = (found, walked.known.is_some_and(|known| parent.is(&known))) {
            parent.remember(&name, Some((&self.handle()?, Attributes::all(stat, asked))), asked);
        }
        Ok(())
    }
    /// One that is asked for again and again is watched.
    fn ask_for_directory(&self) -> Result<()> {
        let me = self.handle()?;
        if self.learn_on_the_way() {
            return Ok(());
        }
        let path = self.path()?;
        let names = path.split(|&b| b == b'/').filter(|name| !name.is_empty()).count();
        let asked = self.moment();
        let again = self.was_asked() && asked.version.is_none();
        let how = if again { WalkFlags::STAT_KNOWN | WalkFlags::WATCH } else { WalkFlags::STAT_KNOWN };
        let walked = self.fs().client.walk(&path, names, how)?;
        self.take_attributes(walked.known, walked.stop)?;
        if let Some(stat) = walked.known {
            let watch = walked.watches.first().copied().or_else(|| self.watch()).unwrap_or(0);
            me.note_watch(stat, watch, asked);
        }
        Ok(())
    }
    fn take_attributes(&self, found: Option<Stat>, stop: Option<Error>) -> Result<()> {
        let Some(stat) = found else { return Err(stop.unwrap_or(Error::Io)) };
        // Under this name there may be another file by now: that of before is gone.
        if !self.is(&stat) {
            return Err(Error::NotFound);
        }
        self.note_stat(stat);
        Ok(())
    }
    /// chmod(2), chown(2), utimensat(2), truncate(2).
    pub(super) fn change_attributes(&self, attr: &SetAttr) -> Result<()> {
        if *attr == SetAttr::default() {
            return Ok(());
        }
        let (parent, name) = self.parent_and_name();
        let change =
            parent.filter(|_| brings_one_event(attr)).map(|parent| (parent.expect_attributes(&name, self), parent));
        let changed = self.ask_about(|subject| self.fs().client.set_attr(subject, attr_request(attr)));
        let found = changed.as_ref().ok().filter(|(stat, _)| self.is(stat)).copied();
        if let Some((stat, _)) = found {
            self.note_stat(stat);
        }
        if let Some((change, parent)) = change {
            parent.finish_attributes(&change, &name, self, found.filter(|(_, marked)| *marked).map(|(stat, _)| stat));
        }
        changed.map(drop)
    }
    /// Gives what was just made to its owner. Where the broker may not give files away, they stay its user's.
    pub(super) fn give_away(&self, subject: Subject<'_>, stat: Stat, (uid, gid): (u32, u32)) -> Stat {
        if (stat.uid, stat.gid) == (uid, gid) {
            return stat;
        }
        let owner = SetAttr { uid: Some(uid), gid: Some(gid), ..SetAttr::default() };
        self.fs().client.set_attr(subject, attr_request(&owner)).map_or(stat, |(stat, _)| stat)
    }
    /// One of its names was removed by us.
    pub(super) fn note_lost_name(&self) {
        let mut attributes = self.attributes().write();
        let links = attributes.stat.nlink;
        attributes.stat.nlink = if self.file_type() == FileType::Directory { 0 } else { links.saturating_sub(1) };
        // What else is known of it is of before.
        attributes.known = Known::Nothing;
        self.checked().store(0, Ordering::Relaxed);
    }
}

/// Whether a change is told by one event (`IN_ATTRIB`): one of permissions, of owners, or of both times.
fn brings_one_event(attr: &SetAttr) -> bool {
    let owner = attr.uid.is_some() || attr.gid.is_some();
    let times = (attr.atime.is_some(), attr.mtime.is_some());
    let kinds = [attr.permissions.is_some(), owner, times == (true, true)];
    attr.size.is_none()
        && matches!(times, (true, true) | (false, false))
        && kinds.iter().filter(|kind| **kind).count() == 1
}

/// The request that changes what `attr` names.
fn attr_request(attr: &SetAttr) -> Request {
    let mut flags = AttrFlags::empty();
    let mut head = Request::default();
    if let Some(permissions) = attr.permissions {
        flags |= AttrFlags::MODE;
        head.mode = permissions;
    }
    if let Some(uid) = attr.uid {
        flags |= AttrFlags::UID;
        head.uid = uid;
    }
    if let Some(gid) = attr.gid {
        flags |= AttrFlags::GID;
        head.gid = gid;
    }
    if let Some(size) = attr.size {
        flags |= AttrFlags::SIZE;
        head.value = size;
    }
    match attr.atime {
        Some(SetTime::At(time)) => {
            flags |= AttrFlags::ATIME;
            (head.atime_sec, head.atime_nsec) = (time.sec, time.nsec);
        }
        Some(SetTime::Now) => flags |= AttrFlags::ATIME | AttrFlags::ATIME_NOW,
        None => {}
    }
    match attr.mtime {
        Some(SetTime::At(time)) => {
            flags |= AttrFlags::MTIME;
            (head.mtime_sec, head.mtime_nsec) = (time.sec, time.nsec);
        }
        Some(SetTime::Now) => flags |= AttrFlags::MTIME | AttrFlags::MTIME_NOW,
        None => {}
    }
    head.flags = flags.bits();
    head
}
