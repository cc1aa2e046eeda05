//! From a path to a place: path_resolution(7), and the restrictions of openat2(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{Error, Result};

use super::{
    Access, Ahead, Creds, Dentry, FileType, Inode, Location, LookupFlags, MAX_LINKS, Mount, MountFlags, NAME_MAX,
    Origin, PATH_MAX, StatOnly, Vfs, permission,
};

/// The last component of a path, not looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LastComponent {
    /// An ordinary name.
    Name(Vec<u8>),
    /// The path ends in `.`, or is the root.
    Here,
    /// The path ends in `..`.
    Up,
    /// The path is `/`, or leads through a magic link: there is no name.
    Root,
}

/// A place in a directory that a path names, whether there is something or not.
pub(super) struct NameSlot {
    /// The directory.
    pub(super) dir: Location,
    /// The name in it.
    pub(super) last: LastComponent,
    /// The path has slashes behind the name: it means a directory.
    pub(super) slashes: bool,
}

/// A walk under way.
pub(super) struct Walk<'w, 'o> {
    vfs: &'w Vfs,
    origin: &'w Origin<'o>,
    flags: LookupFlags,
    here: Location,
    links: u32,
}

/// Cuts the first component off; both parts without the slashes between them.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().position(|&b| b == b'/').unwrap_or(path.len());
    let (first, rest) = path.split_at(end);
    (first, without_leading(rest))
}

fn without_leading(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    path.get(start..).unwrap_or_default()
}

impl<'w, 'o> Walk<'w, 'o> {
    pub(super) fn new(vfs: &'w Vfs, origin: &'w Origin<'o>, flags: LookupFlags) -> Self {
        Self { vfs, origin, flags, here: origin.start.clone(), links: 0 }
    }
    fn root(&self) -> &Location {
        if self.flags.intersects(LookupFlags::IN_ROOT) { &self.origin.start } else { &self.origin.root }
    }
    /// To where an absolute path starts.
    fn go_to_root(&mut self) -> Result<()> {
        if self.flags.contains(LookupFlags::BENEATH) {
            return Err(Error::CrossDevice);
        }
        let root = self.root().clone();
        self.check_same_mount(&root)?;
        self.here = root;
        Ok(())
    }
    fn check_same_mount(&self, next: &Location) -> Result<()> {
        let crosses = !Arc::ptr_eq(&next.mount, &self.here.mount);
        if crosses && self.flags.contains(LookupFlags::NO_XDEV) { Err(Error::CrossDevice) } else { Ok(()) }
    }
    fn go_up(&mut self) -> Result<()> {
        let confined = self.flags.intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT);
        if confined && self.here.is(&self.origin.start) {
            return if self.flags.contains(LookupFlags::BENEATH) { Err(Error::CrossDevice) } else { Ok(()) };
        }
        if self.here.is(self.root()) {
            return Ok(());
        }
        let up = self.vfs.parent_of(&self.here);
        let up = self.vfs.topmost(up);
        self.check_same_mount(&up)?;
        self.here = up;
        Ok(())
    }
    /// The child of the present directory, with what is mounted over it.
    fn child(&self, name: &[u8], ahead: Ahead<'_>) -> Result<Location> {
        let dentry = self.vfs.child_ahead(&self.here.dentry, name, ahead)?;
        let below = Location { mount: self.here.mount.clone(), dentry };
        if !below.dentry.mounted() {
            return Ok(below);
        }
        let over = self.vfs.topmost(below);
        self.check_same_mount(&over)?;
        Ok(over)
    }
    /// Whether the present place is a directory the walker may pass.
    fn check_passable(&self) -> Result<()> {
        if !self.here.is_directory() {
            return Err(Error::NotDirectory);
        }
        permission::check_search(&self.here, &self.origin.creds)
    }
    /// Walks `path` up to its last component, which is left in the slot.
    pub(super) fn find_slot(mut self, path: &[u8]) -> Result<(Self, NameSlot)> {
        if path.is_empty() {
            return Err(Error::NotFound);
        }
        let slot = self.walk_on(path)?;
        Ok((self, slot))
    }
    /// Goes on with `path` from the present place.
    fn walk_on(&mut self, path: &[u8]) -> Result<NameSlot> {
        if path.first() == Some(&b'/') {
            self.go_to_root()?;
        }
        let mut owned: Vec<u8>;
        let mut rest = without_leading(path);
        loop {
            if rest.is_empty() {
                return Ok(NameSlot { dir: self.here.clone(), last: LastComponent::Root, slashes: true });
            }
            let (name, behind) = split(rest);
            self.check_passable()?;
            if behind.is_empty() {
                let slashes = rest.last() == Some(&b'/');
                let last = match name {
                    b"." => LastComponent::Here,
                    b".." => LastComponent::Up,
                    _ => LastComponent::Name(name.to_vec()),
                };
                return Ok(NameSlot { dir: self.here.clone(), last, slashes });
            }
            match name {
                b"." => {}
                b".." => self.go_up()?,
                _ => {
                    let next =
                        self.child(name, Ahead { rest: behind, open: self.flags.contains(LookupFlags::OPEN) })?;
                    match next.inode().file_type() {
                        FileType::Directory => self.here = next,
                        FileType::Symlink => {
                            if let Some(target) = self.follow(&next)? {
                                let mut joined = target;
                                if joined.len() + behind.len() + 1 > 2 * PATH_MAX {
                                    return Err(Error::NameTooLong);
                                }
                                joined.push(b'/');
                                joined.extend_from_slice(behind);
                                if joined.first() == Some(&b'/') {
                                    self.go_to_root()?;
                                }
                                owned = joined;
                                rest = without_leading(&owned);
                                continue;
                            }
                        }
                        _ => return Err(Error::NotDirectory),
                    }
                }
            }
            rest = behind;
        }
    }
    /// Follows a link in the present directory: its target is returned, or, for a magic link, gone to.
    fn follow(&mut self, link: &Location) -> Result<Option<Vec<u8>>> {
        self.links += 1;
        if self.links > MAX_LINKS || self.flags.contains(LookupFlags::NO_SYMLINKS) {
            return Err(Error::Loop);
        }
        if let Some(place) = link.inode().magic_link() {
            if self.flags.intersects(LookupFlags::NO_MAGICLINKS) {
                return Err(Error::Loop);
            }
            if self.flags.intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT) {
                return Err(Error::CrossDevice);
            }
            self.check_same_mount(&place)?;
            self.here = place;
            return Ok(None);
        }
        let target = link.inode().read_link()?;
        if target.is_empty() {
            return Err(Error::NotFound);
        }
        Ok(Some(target))
    }
    /// Follows the link that `slot` names; the slot that its target names, or where a magic link leads.
    pub(super) fn follow_last(&mut self, slot: &NameSlot, link: &Location) -> Result<NameSlot> {
        self.here = slot.dir.clone();
        match self.follow(link)? {
            Some(mut target) => {
                if slot.slashes {
                    target.push(b'/');
                }
                self.walk_on(&target)
            }
            None => Ok(NameSlot { dir: self.here.clone(), last: LastComponent::Root, slashes: slot.slashes }),
        }
    }
    /// What `slot` names, links not followed.
    pub(super) fn look(&mut self, slot: &NameSlot) -> Result<Location> {
        self.here = slot.dir.clone();
        match &slot.last {
            LastComponent::Root => {}
            LastComponent::Here => self.here = self.vfs.topmost(self.here.clone()),
            LastComponent::Up => self.go_up()?,
            LastComponent::Name(name) => {
                let ahead = Ahead { rest: b"", open: self.flags.contains(LookupFlags::OPEN) };
                self.here = self.child(name, ahead)?;
            }
        }
        Ok(self.here.clone())
    }
}

/// So many names are gone through without a reference to what they lead to.
const FAST_DEPTH: usize = 24;

/// What a fast lookup of a path finds.
pub struct LookedUp {
    /// What lies there.
    pub file: StatOnly,
    /// Number of the mount it lies in.
    pub mount: u32,
    /// What that mount forbids.
    pub forbidden: MountFlags,
    /// It is the root of that mount.
    pub is_root: bool,
}

/// Where a quick walk arrives.
enum WalkEnd {
    Place(Location),
    /// When the place is not wanted: the cache need not know the last name, if its directory does.
    LookedUp(LookedUp),
    /// So many bytes of the path are left.
    OnTheWay(Location, usize),
}

/// What a quick walk needs on all of its way.
struct FastWalk<'q, 'c> {
    vfs: &'q Vfs,
    creds: &'q Creds<'c>,
    flags: LookupFlags,
    /// Where the last name lies in the tree is not wanted, only what it leads to.
    placeless: bool,
}

impl Vfs {
    /// Where `path` leads from the directory `start`, when every name on the way is known and none is a link, `.` or
    /// `..`: no reference is taken of what is only passed through, and nothing is allocated. `None`: [`Vfs::walk`] has
    /// to find out.
    pub fn walk_known(
        &self,
        start: &Location,
        creds: &Creds<'_>,
        path: &[u8],
        flags: LookupFlags,
    ) -> Option<Result<Location>> {
        match (FastWalk { vfs: self, creds, flags, placeless: false }).walk(start, path)? {
            Ok(WalkEnd::Place(place)) => Some(Ok(place)),
            Ok(WalkEnd::LookedUp(_) | WalkEnd::OnTheWay(..)) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// What `path` leads to, when that can be said at once. No dentry is made for it: a program may look at more files
    /// of a directory than are kept.
    pub fn lookup_fast(
        &self,
        start: &Location,
        creds: &Creds<'_>,
        path: &[u8],
        flags: LookupFlags,
    ) -> Option<Result<LookedUp>> {
        match (FastWalk { vfs: self, creds, flags, placeless: true }).walk(start, path)? {
            Ok(WalkEnd::LookedUp(seen)) => Some(Ok(seen)),
            Ok(WalkEnd::Place(_) | WalkEnd::OnTheWay(..)) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// What `name` in a directory leads to, if the file system knows that now. What is no ordinary name, or no directory,
/// is for others.
fn known_child(dir: &dyn Inode, name: &[u8]) -> Option<Result<Arc<dyn Inode>>> {
    let is_plain = !matches!(name, b"." | b"..") && name.len() <= NAME_MAX;
    if is_plain && dir.file_type() == FileType::Directory { dir.lookup_known(name) } else { None }
}

impl FastWalk<'_, '_> {
    fn walk(&self, start: &Location, path: &[u8]) -> Option<Result<WalkEnd>> {
        if !(LookupFlags::FOLLOW | LookupFlags::DIRECTORY).contains(self.flags) || path.last() == Some(&b'/') {
            return None;
        }
        let mut rest = without_leading(path);
        if rest.is_empty() {
            return None;
        }
        let mut end = self.descend(&start.mount, &start.dentry, rest, FAST_DEPTH)?;
        while let Ok(WalkEnd::OnTheWay(place, left)) = end {
            rest = rest.get(rest.len().checked_sub(left)?..)?;
            end = self.descend(&place.mount, &place.dentry, rest, FAST_DEPTH)?;
        }
        Some(end)
    }

    /// The names of each directory stay locked for reading while those below are looked at.
    fn descend(&self, mount: &Arc<Mount>, dir: &Dentry, path: &[u8], depth: usize) -> Option<Result<WalkEnd>> {
        let (name, behind) = split(path);
        if depth == 0 || matches!(name, b"." | b"..") || !dir.is_directory() || dir.removed() {
            return None;
        }
        self.check_search(&**dir.inode())?;
        if self.placeless && !dir.keeps() {
            return self.descend_unkept(mount, dir, path, depth);
        }
        let known = dir.with_known(name, |known| match known {
            None => Some(Err(Error::NotFound)),
            Some(next) if next.mounted() => {
                let over = self.vfs.topmost(Location { mount: mount.clone(), dentry: next.clone() });
                if behind.is_empty() {
                    return self.arrived(&over.mount, &over.dentry);
                }
                self.descend(&over.mount, &over.dentry, behind, depth - 1)
            }
            Some(next) if behind.is_empty() => self.arrived(mount, next),
            Some(next) if depth == 1 => {
                let here = Location { mount: mount.clone(), dentry: next.clone() };
                Some(Ok(WalkEnd::OnTheWay(here, behind.len())))
            }
            Some(next) => self.descend(mount, next, behind, depth - 1),
        });
        match known {
            Some(found) => found,
            // Where names are not kept, one that is in use may be mounted over.
            None if self.placeless && behind.is_empty() && dir.keeps() && name.len() <= NAME_MAX => {
                let file = dir.inode().stat_only(name)?;
                if !file.file_type().is_none_or(|file_type| self.wants(file_type)) {
                    return None;
                }
                Some(Ok(WalkEnd::LookedUp(LookedUp {
                    file,
                    mount: mount.id,
                    forbidden: mount.flags(),
                    is_root: false,
                })))
            }
            None => None,
        }
    }

    /// `None` where the walker may not search, which is said by who finds out why.
    fn check_search(&self, dir: &dyn Inode) -> Option<()> {
        if self.creds.may_search() {
            return Some(());
        }
        permission::check_inode(dir, &dir.rights().ok()?, self.creds, Access::EXEC).ok()
    }

    /// Goes on in a tree whose names are not kept, as far as the file system knows now where they lead: no dentry is
    /// made.
    fn descend_unkept(&self, mount: &Arc<Mount>, dir: &Dentry, path: &[u8], depth: usize) -> Option<Result<WalkEnd>> {
        let (name, mut rest) = split(path);
        if rest.is_empty() && dir.in_use(name).is_none() {
            if let Some(seen) = self.look_only(mount, &**dir.inode(), name) {
                return Some(Ok(seen));
            }
        }
        let mut inode = match known_child(&**dir.inode(), name)? {
            Ok(inode) => inode,
            Err(error) => return Some(Err(error)),
        };
        if let Some(next) = dir.in_use(name) {
            // Something may be mounted over it or below it.
            if next.mounted() || !next.is_of(&*inode) {
                return None;
            }
            return if rest.is_empty() {
                self.arrived(mount, &next)
            } else {
                self.descend(mount, &next, rest, depth - 1)
            };
        }
        for _ in 1..depth {
            if rest.is_empty() {
                let file = Some(StatOnly::Inode(inode.clone())).filter(|_| self.wants(inode.file_type()))?;
                return Some(Ok(WalkEnd::LookedUp(LookedUp {
                    file,
                    mount: mount.id,
                    forbidden: mount.flags(),
                    is_root: false,
                })));
            }
            let (name, behind) = split(rest);
            self.check_search(&*inode)?;
            if behind.is_empty() {
                if let Some(seen) = self.look_only(mount, &*inode, name) {
                    return Some(Ok(seen));
                }
            }
            inode = match known_child(&*inode, name)? {
                Ok(inode) => inode,
                Err(error) => return Some(Err(error)),
            };
            rest = behind;
        }
        None
    }

    /// What `name` in a directory leads to, where the file system can say that without an inode.
    fn look_only(&self, mount: &Arc<Mount>, dir: &dyn Inode, name: &[u8]) -> Option<WalkEnd> {
        let is_plain = !matches!(name, b"." | b"..") && name.len() <= NAME_MAX;
        let file = if is_plain { dir.stat_only(name)? } else { return None };
        if !file.file_type().is_some_and(|file_type| self.wants(file_type)) {
            return None;
        }
        let (mount, forbidden) = (mount.id, mount.flags());
        Some(WalkEnd::LookedUp(LookedUp { file, mount, forbidden, is_root: false }))
    }

    /// Whether the walk ends at such a file: not at a link to be followed, nor at what is no directory where one is
    /// wanted.
    fn wants(&self, file_type: FileType) -> bool {
        let goes_on = file_type == FileType::Symlink && self.flags.contains(LookupFlags::FOLLOW);
        !goes_on && (file_type == FileType::Directory || !self.flags.contains(LookupFlags::DIRECTORY))
    }

    fn arrived(&self, mount: &Arc<Mount>, dentry: &Arc<Dentry>) -> Option<Result<WalkEnd>> {
        if !self.wants(dentry.inode().file_type()) {
            return None;
        }
        Some(Ok(if self.placeless {
            let is_root = Arc::ptr_eq(dentry, &mount.root);
            WalkEnd::LookedUp(LookedUp {
                file: StatOnly::Inode(dentry.inode().clone()),
                mount: mount.id,
                forbidden: mount.flags(),
                is_root,
            })
        } else {
            WalkEnd::Place(Location { mount: mount.clone(), dentry: dentry.clone() })
        }))
    }
}

impl Vfs {
    /// Where `path` leads. The path has no zero byte and is shorter than [`PATH_MAX`].
    pub fn walk(&self, from: &Origin<'_>, path: &[u8], flags: LookupFlags) -> Result<Location> {
        if path.is_empty() && flags.contains(LookupFlags::EMPTY_OK) {
            return Ok(from.start.clone());
        }
        let (mut walk, mut slot) = Walk::new(self, from, flags).find_slot(path)?;
        loop {
            let found = walk.look(&slot)?;
            let is_link = found.inode().file_type() == FileType::Symlink && slot.last != LastComponent::Root;
            if is_link && (flags.contains(LookupFlags::FOLLOW) || slot.slashes) {
                slot = walk.follow_last(&slot, &found)?;
                continue;
            }
            if (slot.slashes || flags.contains(LookupFlags::DIRECTORY)) && !found.is_directory() {
                return Err(Error::NotDirectory);
            }
            return Ok(found);
        }
    }
}
