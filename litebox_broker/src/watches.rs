//! Directories of a tree that the sandbox may change, watched by inotify(7).
//!
//! The sandbox remembers what it was told of such a tree. The host puts an event into the queue before a call that
//! changes something returns, so a look at the queue tells whether what is remembered is still true. The sandbox has
//! the queue's descriptor; the broker only adds and removes watches and never reads there.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::MemfdFlags;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

use crate::beneath::{Result, own_path};
use crate::report::say;

/// Most directories that are watched for one grant. The host keeps about 1 KiB for each.
const MOST: usize = 16_384;
/// No sandbox takes more than this share of what its user may watch: editors watch, too.
const SHARE: usize = 4;
/// What a user may watch where the host does not say.
const USUAL: usize = 8192;

/// What changes names and metadata in a directory, and the directory itself.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// `f_type` of the file systems whose every change goes through this host's kernel, sorted. What others change on a
/// server (NFS, SMB, 9p, FUSE), or beneath (overlay), no event tells of.
const LOCAL: [u32; 13] = [
    0x0000_4d44, // vfat
    0x0000_ef53, // ext2, ext3, ext4
    0x0102_1994, // tmpfs
    0x2011_bab0, // exfat
    0x2fc1_2fc1, // zfs
    0x3153_464a, // jfs
    0x5265_4973, // reiserfs
    0x5846_5342, // xfs
    0x7366_746e, // ntfs3
    0x8584_58f6, // ramfs
    0x9123_683e, // btrfs
    0xca45_1a4e, // bcachefs
    0xf2f5_2010, // f2fs
];

/// The watches of one grant.
#[derive(Debug)]
pub struct Watches {
    inotify: OwnedFd,
    /// A file of our own that is watched, too, and the number of that watch.
    mark: (OwnedFd, i32),
    /// Numbers of the watches, the oldest first; some may have ended with their directories.
    order: VecDeque<i32>,
    most: usize,
}

impl Watches {
    /// None yet.
    pub fn new() -> Result<Self> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let file = rustix::fs::memfd_create("litebox-mark", MemfdFlags::CLOEXEC)?;
        let number = add_watch(&inotify, own_path(file.as_fd()), WatchFlags::MODIFY)?;
        Ok(Self { inotify, mark: (file, number), order: VecDeque::new(), most: MOST.min(user_limit() / SHARE) })
    }

    /// The queue, for who is to hear of changes, and the number of the watch whose events are marks.
    pub fn queue(&self) -> Result<(OwnedFd, i32)> {
        Ok((self.inotify.try_clone().map_err(|_| Errno::MFILE)?, self.mark.1))
    }

    /// The queue, for ourselves.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Puts a mark into the queue: no event of before and none of after are merged. `false`: it could not be put there.
    pub fn mark(&self) -> bool {
        rustix::io::pwrite(&self.mark.0, b"m", 0) == Ok(1)
    }

    /// Watches an open directory, instead of that which was watched first when there are too many: the queue says so.
    /// The number of the watch; 0 when changes of the directory cannot be heard of.
    pub fn add(&mut self, directory: BorrowedFd<'_>) -> i32 {
        if !rustix::fs::fstatfs(directory).is_ok_and(|figures| is_local(figures.f_type as u32)) {
            return 0;
        }
        let number = match add_watch(&self.inotify, own_path(directory), EVENTS) {
            Ok(number) => number,
            Err(error) => {
                if error == Errno::NOSPC {
                    say_once_used_up();
                }
                return 0;
            }
        };
        // Numbers grow: one that is not the largest was there before.
        if self.order.back().is_some_and(|&last| number <= last) {
            return number;
        }
        self.order.push_back(number);
        if self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                // It may have ended with its directory.
                let _ = remove_watch(self.inotify.as_fd(), oldest);
            }
        }
        number
    }
}

fn is_local(magic: u32) -> bool {
    LOCAL.binary_search(&magic).is_ok()
}

fn user_limit() -> usize {
    std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(USUAL)
}

/// One line for all volumes.
fn say_once_used_up() {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        say("rw volumes are slower from here on: the user's inotify watches are used up (fs.inotify.max_user_watches)");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may end anyhow")]

    use super::{LOCAL, Watches, is_local};
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::Path;

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    #[test]
    fn file_systems_that_others_change_are_not_local() {
        assert!(LOCAL.is_sorted());
        for (name, magic) in [("nfs", 0x6969), ("fuse", 0x6573_5546), ("9p", 0x0102_1997), ("overlay", 0x794c_7630)] {
            assert!(!is_local(magic), "{name}");
        }
    }

    #[test]
    fn the_oldest_watch_goes_when_there_are_too_many() {
        let top = tempfile::tempdir().unwrap();
        let mut watches = Watches::new().unwrap();
        if watches.add(open(top.path()).as_fd()) == 0 {
            println!("skipped: directories of temporary files cannot be watched here");
            return;
        }
        watches.most = 2;
        let at = |name: &str| {
            let path = top.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            open(&path)
        };
        let [one, two] = ["one", "two"].map(|name| watches.add(at(name).as_fd()));
        assert_eq!(watches.add(at("one").as_fd()), one, "watched already");
        assert_eq!(watches.order, [one, two]);
        let mut buffer = [0; 4096];
        let len = rustix::io::read(watches.queue().unwrap().0, &mut buffer).unwrap();
        let ignored = buffer[..len].windows(4).any(|mask| mask == 0x8000u32.to_ne_bytes());
        assert!(ignored, "the queue says that the first is watched no more");
    }
}
