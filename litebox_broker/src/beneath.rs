//! Grants, and how a path of the sandbox is resolved beneath one.
//!
//! Every component is checked before the host sees it: no `..`, no `.`, no empty one, no zero byte. The host then
//! resolves the directory part with `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS`, or, where it has
//! no openat2(2), one component at a time with `O_NOFOLLOW`, which can leave a tree no more than the former. The last
//! component is never followed: it is used as one name in its opened directory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use litebox_protocol::{GrantInfo, MAX_NAME, MAX_PATH, Stat};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::change_flag::ChangeFlag;
use crate::file_systems;
use crate::last_directory::LastDirectory;
use crate::message::ParsedRequest;
use crate::visibility::Visibility;
use crate::watches::Watches;

/// Result of an operation on the host.
pub type Result<T> = std::result::Result<T, Errno>;

/// What a sandbox may do beneath a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and change.
    ReadWrite,
    /// Read; the sandbox keeps its changes to itself.
    CopyOnWrite,
}

impl Access {
    /// As [`GrantInfo`] has it.
    pub fn number(self) -> u32 {
        match self {
            Self::ReadOnly => 0,
            Self::ReadWrite => 1,
            Self::CopyOnWrite => 2,
        }
    }
    /// And back.
    pub fn of_number(number: u32) -> Option<Self> {
        [Self::ReadOnly, Self::ReadWrite, Self::CopyOnWrite].into_iter().find(|access| access.number() == number)
    }
}

/// A directory tree, or one file, that the user gave to the sandbox.
#[derive(Debug)]
pub struct Grant {
    root: OwnedFd,
    file: Option<Vec<u8>>,
    dev: u64,
    /// What may be done.
    pub access: Access,
    /// Nobody changes the tree while the sandbox runs.
    pub image: bool,
    /// What of it is shown.
    pub visibility: Visibility,
    /// Its directories that are watched.
    watches: Mutex<Option<Watches>>,
    /// What is raised when something has changed there.
    flag: Mutex<Option<ChangeFlag>>,
    /// What is at hand while requests are served in a row.
    pub(crate) last: LastDirectory,
}

impl Grant {
    /// The tree below the directory `root`.
    pub fn directory(root: OwnedFd, access: Access, image: bool) -> Result<Self> {
        let stat = rustix::fs::fstat(&root)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        file_systems::require_files_of_users(root.as_fd())?;
        let (dev, visibility) = (stat.st_dev, Visibility::default());
        let (watches, flag, last) = (Mutex::default(), Mutex::default(), LastDirectory::default());
        Ok(Self { root, file: None, dev, access, image, visibility, watches, flag, last })
    }
    /// The one file `name` in the directory `parent`: the empty path names it, and no other path exists.
    pub fn file(parent: OwnedFd, name: &[u8], access: Access, image: bool) -> Result<Self> {
        check_name(name)?;
        let mut grant = Self::directory(parent, access, image)?;
        grant.file = Some(name.to_vec());
        Ok(grant)
    }
    /// The same, of which this is shown.
    #[must_use]
    pub fn showing(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// The directory that it is, or that its one file lies in; and the name of that file.
    pub fn parts(&self) -> (BorrowedFd<'_>, Option<&[u8]>) {
        (self.root.as_fd(), self.file.as_deref())
    }

    /// What it allows, and metadata of its root, as the sandbox is told.
    pub fn describe(&self) -> (GrantInfo, Stat) {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let info = GrantInfo { access: self.access.number(), image: u32::from(self.image), uid, gid };
        (info, self.root_stat().unwrap_or_default())
    }

    /// The directory that `path` names, opened `O_PATH` to be gone through.
    pub fn open_directory(&self, path: &[u8]) -> Result<OwnedFd> {
        self.check_directory(path)?;
        self.directory_at(path, OFlags::PATH)
    }

    /// The directory that `path` names, opened for listing.
    pub fn open_for_listing(&self, path: &[u8]) -> Result<OwnedFd> {
        self.check_directory(path)?;
        let opened = self.directory_at(path, OFlags::RDONLY)?;
        self.check_read(opened.as_fd())?;
        Ok(opened)
    }

    fn check_directory(&self, path: &[u8]) -> Result<()> {
        if self.file.is_some() {
            return Err(Errno::NOTDIR);
        }
        check_path(path)?;
        self.visibility.check_shown(path)
    }

    fn directory_at(&self, path: &[u8], access: OFlags) -> Result<OwnedFd> {
        let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.visibility.others_only {
            return self.directory_by_steps(path, flags);
        }
        let whole = if path.is_empty() { b".".as_slice() } else { path };
        let open = |resolve| rustix::fs::openat2(&self.root, whole, flags, Mode::empty(), resolve);
        match open(BENEATH | ResolveFlags::NO_XDEV) {
            // What lies in the mount of the root is of its file system.
            Ok(opened) => Ok(opened),
            Err(Errno::XDEV) => {
                let opened = open(BENEATH)?;
                self.refuse_foreign(opened.as_fd())?;
                Ok(opened)
            }
            // No such call, or a filter around us that does not know it.
            Err(Errno::NOSYS | Errno::PERM) => self.directory_by_steps(path, flags),
            Err(error) => Err(error),
        }
    }

    /// One component after the other. Each directory on the way must let through whom the grant is for; one that is
    /// opened `O_PATH` is on the way to what is wanted of it.
    fn directory_by_steps(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (mut here, rest) = match self.last.on_the_way_to(path) {
            Some((kept, rest)) => (HeldFd::Own(kept), rest),
            None => (HeldFd::Lent(self.root.as_fd()), path),
        };
        for name in rest.split(|&b| b == b'/').filter(|n| !n.is_empty()) {
            self.check_search(here.as_fd())?;
            here = HeldFd::Own(rustix::fs::openat(here.as_fd(), name, on_the_way, Mode::empty())?);
        }
        if let (HeldFd::Own(opened), false) = (&here, rest.is_empty()) {
            self.last.keep(path, opened.as_fd());
        }
        if !flags.contains(OFlags::PATH) {
            let opened = rustix::fs::openat(here.as_fd(), ".", flags, Mode::empty())?;
            self.refuse_foreign(opened.as_fd())?;
            return Ok(opened);
        }
        self.check_way(here.as_fd())?;
        match here {
            HeldFd::Own(opened) => Ok(opened),
            HeldFd::Lent(root) => rustix::fs::openat(root, ".", on_the_way, Mode::empty()),
        }
    }

    /// Refuses an open directory that may not be gone through by whom the grant is for, or is no file of users
    /// ([`Grant::refuse_foreign`]).
    pub fn check_way(&self, directory: BorrowedFd<'_>) -> Result<()> {
        let stat = rustix::fs::fstat(directory)?;
        self.refuse_foreign_device(directory, stat.st_dev)?;
        if self.visibility.others_only { self.visibility.check_search(stat.st_mode) } else { Ok(()) }
    }

    /// `EACCES` unless the open directory may be gone through by whom the grant is for.
    pub fn check_search(&self, directory: BorrowedFd<'_>) -> Result<()> {
        if !self.visibility.others_only {
            return Ok(());
        }
        self.visibility.check_search(rustix::fs::fstat(directory)?.st_mode)
    }

    /// `EACCES` unless the open file or directory may be read by whom the grant is for.
    pub fn check_read(&self, file: BorrowedFd<'_>) -> Result<()> {
        if !self.visibility.others_only {
            return Ok(());
        }
        self.visibility.check_read(rustix::fs::fstat(file)?.st_mode)
    }

    /// Metadata of what the empty path names.
    pub fn root_stat(&self) -> Result<Stat> {
        let (dir, name) = self.locate(b"")?;
        stat_at(dir.as_fd(), name)
    }

    /// The directory that holds `path`, and its last component.
    pub fn locate<'p>(&'p self, path: &'p [u8]) -> Result<(HeldFd<'p>, &'p [u8])> {
        check_path(path)?;
        match (&self.file, path.is_empty()) {
            (Some(name), true) => return Ok((HeldFd::Lent(self.root.as_fd()), name)),
            (Some(_), false) => return Err(Errno::NOTDIR),
            (None, true) => return Ok((HeldFd::Lent(self.root.as_fd()), b".")),
            (None, false) => {}
        }
        self.visibility.check_shown(path)?;
        match path.iter().rposition(|&b| b == b'/') {
            None => {
                self.check_search(self.root.as_fd())?;
                Ok((HeldFd::Lent(self.root.as_fd()), path))
            }
            Some(at) => Ok((HeldFd::Own(self.directory_at(&path[..at], OFlags::PATH)?), &path[at + 1..])),
        }
    }

    /// As [`Grant::locate`], for an operation that changes a name: the grant must be writable, and its root has no
    /// name.
    pub fn locate_for_change<'p>(&'p self, path: &'p [u8]) -> Result<(HeldFd<'p>, &'p [u8])> {
        self.writable()?;
        if path.is_empty() {
            return Err(Errno::BUSY);
        }
        self.locate(path)
    }

    /// What a request names: the file behind the descriptor that came along, or what its path leads to.
    pub fn subject<'a>(&'a self, request: &'a ParsedRequest<'_>) -> Result<Subject<'a>> {
        let Some(came) = &request.came else {
            let (dir, name) = self.locate(request.path)?;
            return Ok(Subject::Name(dir, name));
        };
        self.writable()?;
        if !request.path.is_empty() || !request.op.takes_descriptor() {
            return Err(Errno::INVAL);
        }
        if opened_for_change(came.as_fd())? { Ok(Subject::Open(came.as_fd())) } else { Err(Errno::PERM) }
    }
    /// What a request names, open (`O_PATH`): no file of a foreign file system.
    pub fn open_subject<'a>(&'a self, request: &'a ParsedRequest<'_>) -> Result<HeldFd<'a>> {
        if request.came.is_none() {
            if let Some(opened) = self.open_at_once(request.path)? {
                return Ok(HeldFd::Own(opened));
            }
        }
        match self.subject(request)? {
            Subject::Open(file) => Ok(HeldFd::Lent(file)),
            Subject::Name(dir, name) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(dir, name, flags, Mode::empty())?;
                self.refuse_foreign(opened.as_fd())?;
                Ok(HeldFd::Own(opened))
            }
        }
    }
    /// The file at `path`, by one call of the host; `None`: that takes more.
    fn open_at_once(&self, path: &[u8]) -> Result<Option<OwnedFd>> {
        if self.file.is_some() || path.is_empty() || self.visibility.others_only {
            return Ok(None);
        }
        check_path(path)?;
        self.visibility.check_shown(path)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), BENEATH | ResolveFlags::NO_XDEV) {
            Err(Errno::XDEV | Errno::NOSYS | Errno::PERM) => Ok(None),
            other => other.map(Some),
        }
    }
    /// As [`Grant::locate_for_change`], for a name that is to be made: what is hidden may be there, and is not to be
    /// replaced.
    pub fn locate_new<'p>(&'p self, path: &'p [u8]) -> Result<(HeldFd<'p>, &'p [u8])> {
        self.check_new(path)?;
        self.locate_for_change(path)
    }

    /// The name of `path` for [`Grant::locate_new`], when it lies in the directory that [`Grant::locate_for_change`]
    /// has found for the path `beside`. `None`: it lies elsewhere.
    pub fn new_name_beside<'p>(&self, beside: &[u8], path: &'p [u8]) -> Result<Option<&'p [u8]>> {
        let directory = |path: &[u8]| path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        let (theirs, (parent, name)) = (directory(beside), path.split_at(directory(path)));
        if path.is_empty() || beside.get(..theirs) != Some(parent) {
            return Ok(None);
        }
        self.check_new(path)?;
        check_path(path)?;
        self.visibility.check_shown(path)?;
        Ok(Some(name))
    }

    /// `EACCES` when `path` is hidden.
    pub fn check_new(&self, path: &[u8]) -> Result<()> {
        if self.visibility.hidden.hides(path) { Err(Errno::ACCESS) } else { Ok(()) }
    }

    /// `Op::Changes`: the queue of changes of a tree that the sandbox may change, and the number of the watch whose
    /// events are marks. One of which something is hidden has none, and one file neither: names would come there that
    /// are not shown.
    pub fn changes(&self) -> Result<(OwnedFd, i32)> {
        let mut watches = self.lock_watches();
        if self.access != Access::ReadWrite || self.file.is_some() || !self.visibility.hidden.is_empty() {
            return Err(Errno::OPNOTSUPP);
        }
        if watches.is_none() {
            *watches = Some(Watches::new()?);
        }
        watches.as_ref().ok_or(Errno::OPNOTSUPP)?.queue()
    }

    /// Watches an open directory beneath the grant; the number of the watch, 0 when it cannot be watched.
    pub fn watch(&self, directory: BorrowedFd<'_>) -> i32 {
        self.lock_watches().as_mut().map_or(0, |watches| watches.add(directory))
    }

    /// Puts a mark into the queue of changes, if there is one ([`Watches::mark`]).
    pub fn mark(&self) -> bool {
        self.lock_watches().as_ref().is_some_and(Watches::mark)
    }

    /// From now on changes can raise this flag.
    pub fn have_flag(&mut self, flag: ChangeFlag) {
        self.flag = Mutex::new(Some(flag));
    }

    /// `Op::LowerFlag`: where the flag lies in the file of flags.
    pub fn lower_flag(&self) -> Result<u64> {
        let watches = self.lock_watches();
        let queue = watches.as_ref().ok_or(Errno::OPNOTSUPP)?;
        let mut flag = self.flag.lock().unwrap_or_else(PoisonError::into_inner);
        flag.as_mut().ok_or(Errno::OPNOTSUPP)?.lower(queue.as_fd())
    }

    fn lock_watches(&self) -> MutexGuard<'_, Option<Watches>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `EROFS` unless the sandbox may change the tree.
    pub fn writable(&self) -> Result<()> {
        if self.access == Access::ReadWrite { Ok(()) } else { Err(Errno::ROFS) }
    }

    /// Refuses what lies in /proc, /sys and the like when such a file system is mounted beneath the grant: its files
    /// are not files of the user but switches of the kernel.
    pub fn refuse_foreign(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.refuse_foreign_device(fd, rustix::fs::fstat(fd)?.st_dev)
    }

    /// The same, of what lies on this device.
    pub fn refuse_foreign_device(&self, fd: BorrowedFd<'_>, dev: u64) -> Result<()> {
        if dev == self.dev { Ok(()) } else { file_systems::require_files_of_users(fd) }
    }
}

/// How paths are walked: no link is followed, and none leads out.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

/// What a request is about.
pub enum Subject<'a> {
    /// A name in a directory.
    Name(HeldFd<'a>, &'a [u8]),
    /// A file that the sandbox opened where it may change files.
    Open(BorrowedFd<'a>),
}

/// What [`mark_opened`] writes down: a signal that nobody asks for.
const MARK: libc::c_int = 63;
/// fcntl(2), Linux's.
const F_SETSIG: libc::c_int = 10;
const F_GETSIG: libc::c_int = 11;

/// Marks an open file of a tree that the sandbox may change, so that it is known when the sandbox sends it back. The
/// mark is the signal of `F_SETSIG`, which is never raised (`O_ASYNC` is off): it belongs to the open file, every
/// descriptor of it shows it, and the sandbox, which has no fcntl(2), can neither set it elsewhere nor take it off.
pub fn mark_opened(file: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no pointers.
    match unsafe { libc::fcntl(file.as_raw_fd(), F_SETSIG, MARK) } {
        0 => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// Whether it is an open file of a tree that the sandbox may change ([`mark_opened`]).
fn opened_for_change(file: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: no pointers.
    let mark = unsafe { libc::fcntl(file.as_raw_fd(), F_GETSIG) };
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
    Ok(mark == MARK && kind == rustix::fs::FileType::RegularFile)
}

/// Opens once more what is open behind `file`, whatever became of its names.
pub fn open_again(file: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(own_path(file), flags | OFlags::CLOEXEC, Mode::empty())
}

/// The path by which this process reaches an open file of its own.
pub fn own_path(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// A directory or file, open.
pub enum HeldFd<'a> {
    /// The root of the grant, or what came along with the request.
    Lent(BorrowedFd<'a>),
    /// Opened for this request.
    Own(OwnedFd),
}

impl AsFd for HeldFd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Lent(fd) => *fd,
            Self::Own(fd) => fd.as_fd(),
        }
    }
}

/// Refuses what is not one plain component.
pub fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        return Err(Errno::INVAL);
    }
    if name.len() > MAX_NAME { Err(Errno::NAMETOOLONG) } else { Ok(()) }
}

/// Refuses what is not a path in the form of the protocol. The empty path is the root.
pub fn check_path(path: &[u8]) -> Result<()> {
    if path.len() > MAX_PATH {
        return Err(Errno::NAMETOOLONG);
    }
    if path.is_empty() {
        return Ok(());
    }
    path.split(|&b| b == b'/').try_for_each(check_name)
}

/// Metadata of `name` in `dir`, without following it.
pub fn stat_at(dir: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<Stat> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|s| wire_stat(&s))
}

/// Metadata of an open file.
pub fn stat_of(fd: BorrowedFd<'_>) -> Result<Stat> {
    rustix::fs::fstat(fd).map(|s| wire_stat(&s))
}

fn wire_stat(s: &rustix::fs::Stat) -> Stat {
    Stat {
        dev: s.st_dev,
        ino: s.st_ino,
        rdev: s.st_rdev,
        size: s.st_size as u64,
        blocks: s.st_blocks as u64,
        atime_sec: s.st_atime,
        mtime_sec: s.st_mtime,
        ctime_sec: s.st_ctime,
        mode: s.st_mode,
        nlink: s.st_nlink as u32,
        uid: s.st_uid,
        gid: s.st_gid,
        blksize: s.st_blksize as u32,
        atime_nsec: s.st_atime_nsec as u32,
        mtime_nsec: s.st_mtime_nsec as u32,
        ctime_nsec: s.st_ctime_nsec as u32,
    }
}
