//! The messages between the sandbox and the broker: fixed-layout, one request and one reply on a `SOCK_SEQPACKET`
//! socket.
//!
//! A request is a [`Request`] followed by `path_len` bytes of path and `extra_len` bytes that the operation names. A
//! reply is a [`Reply`] followed by what the operation says; at most one descriptor comes with it. All numbers are in
//! machine byte order: both ends are the same executable on the same machine.
//!
//! Paths are relative to the root of a grant: components joined by single slashes, no `.` or `..`, no leading or
//! trailing slash, no zero byte; the empty path is the root itself. No symbolic link is ever followed: the sandbox's
//! kernel walks links itself.
//!
//! Instead of a path, a descriptor can name the file, whatever became of its names: one that [`Op::Open`] or
//! [`Op::Temporary`] gave for a grant that may be changed. It comes along with the request, whose path is then empty.
//! [`Op::takes_descriptor`] says of which operations that is true.
//!
//! While both sides are awake, a request and its reply go through a page that they share ([`page`]), by the same rules.

#![no_std]

pub mod adaptive_spin;
pub mod control;
pub mod layer;
pub mod net;
pub mod page;
pub mod plain;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest path in a request.
pub const MAX_PATH: usize = 4096;
/// Longest component of a path.
pub const MAX_NAME: usize = 255;
/// Longest value of an extended attribute.
pub const MAX_XATTR: usize = 65_536;
/// Longest request: header, path, and a second path or an attribute's name and value.
pub const MAX_REQUEST: usize = size_of::<Request>() + MAX_PATH + MAX_NAME + 1 + MAX_XATTR;
/// Longest reply.
pub const MAX_REPLY: usize = size_of::<Reply>() + 65_536;
/// Most directories that an [`Op::List`] names beside its own.
pub const MAX_BESIDE: usize = 16;
/// Most entries that are told of one of them.
pub const FEW_BESIDE: usize = 256;
/// Most grants whose changes raise a flag ([`Op::LowerFlag`]).
pub const MAX_FLAGS: usize = 4;
/// Longest line of a [`Op::Report`].
pub const MAX_REPORT: usize = 1024;
/// Figures in a [`Op::Stats`].
pub const STAT_FIGURES: usize = 19;

/// Which figure is where in a [`Op::Stats`].
#[expect(missing_docs, reason = "what `--stats` prints beside them")]
pub mod figure {
    pub const GUEST_CALLS: usize = 0;
    pub const HOST_CALLS: usize = 1;
    pub const TRAPS: usize = 2;
    pub const FAULTS: usize = 3;
    pub const KICKS: usize = 4;
    /// Of the largest process, in bytes.
    pub const PEAK_MEMORY: usize = 5;
    pub const PATCHED_SITES: usize = 6;
    pub const SKIPPED_SITES: usize = 7;
    /// From here on: one figure for each of [`SKIP_REASONS`].
    pub const SKIPPED_BY_REASON: usize = 8;
    /// Why the sites of system calls that are not patched are not.
    pub const SKIP_REASONS: [&str; 8] = [
        "what follows is no code",
        "the code ends",
        "what follows cannot be moved",
        "no room in reach",
        "writable code",
        "shared code",
        "code that changes",
        "refused by the host",
    ];
    /// Mappings of code that show a patched copy which processes share.
    pub const SHARED_CODE: usize = SKIPPED_BY_REASON + SKIP_REASONS.len();
    /// Bytes that calls wrote or sent, wherever to.
    pub const BYTES_WRITTEN: usize = SHARED_CODE + 1;
    /// Calls that the sandbox does not serve, and those that the filter refused which the user gave it.
    pub const REFUSED_CALLS: usize = BYTES_WRITTEN + 1;
}

/// What is asked for. `R:` what the reply carries besides its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Op {
    /// Looks up every component of the path; `value`: how many leading components are known (existing directories) and
    /// get no answer. R: `count` [`Stat`]s, one for each component found (for the empty path: one, of the root). `stop`
    /// is 0, or why the component after those was not found (an errno). The walk also ends at a symbolic link: `value`
    /// bytes of its target follow. `flags`: [`WalkFlags`].
    Walk = 1,
    /// Opens a regular file; `flags`: [`OpenFlags`], `mode` and `value` for a new one, as [`Op::Mkdir`]. R: the
    /// [`Stat`] and the descriptor; `value` is 1 when the file was created.
    Open = 2,
    /// Entries of a directory from cookie `value` on (0: the first); `flags`: [`ListFlags`]. R: `count` records, each
    /// an [`ListRecord`], a [`Stat`] when it says so, the name, and zeros up to a multiple of 8 bytes; `stop` is 1 when
    /// there are no more. `extra`: names of at most [`MAX_BESIDE`] directories beside that one, each ended by a zero
    /// byte. When the metadata of all its entries is told, the entries of these follow as long as they fit, each a
    /// [`Beside`] and records with metadata; `value` says of how many. One that cannot be listed, or has more than
    /// [`FEW_BESIDE`] entries, is left out. With [`ListFlags::WATCH`] the [`Stat`] of the directory comes first, and
    /// `watch` is the number of its watch; so it is with those beside it, where the [`Stat`] comes behind the head, and
    /// where one that is watched by then is not left out, but told without entries.
    List = 3,
    /// Makes a directory with `mode`, less the umask `value` where the directory that it lies in has no default list
    /// (acl(5)); `flags`: 1: it is watched. R: its [`Stat`]; `watch` is the number of its watch, and `value` 1 when
    /// nothing was in it after that.
    Mkdir = 4,
    /// Removes a name that is not a directory.
    Unlink = 5,
    /// Removes an empty directory.
    Rmdir = 6,
    /// Renames to the path in `extra`; `flags`: none, or one of renameat2(2): `RENAME_NOREPLACE`, `RENAME_EXCHANGE`.
    Rename = 7,
    /// Gives the file the additional name in `extra`.
    Link = 8,
    /// Makes a symbolic link with the target in `extra`. R: its [`Stat`].
    Symlink = 9,
    /// Makes a node with `mode` (type and permissions) and `value` as [`Op::Mkdir`]: a regular file, fifo or socket,
    /// nothing else. R: its [`Stat`].
    Mknod = 10,
    /// Changes what `flags` ([`AttrFlags`]) names; the size is `value`. R: the [`Stat`] afterwards; `value` is 1 when a
    /// mark is in the queue of changes ([`Op::Changes`]), behind the change and before that [`Stat`] was taken.
    SetAttr = 11,
    /// R: `value` bytes of the attribute whose name is in `extra`. Attributes are those of the `user.` namespace, and
    /// the lists of acl(5).
    GetXattr = 12,
    /// Sets an attribute; `extra`: name, zero byte, value; `flags`: 1 must not exist, 2 must exist.
    SetXattr = 13,
    /// R: `value` bytes: names, each ended by a zero byte.
    ListXattr = 14,
    /// Removes the attribute whose name is in `extra`.
    RemoveXattr = 15,
    /// R: a [`FsStat`].
    StatFs = 16,
    /// Makes a regular file without a name in the file system of a directory, with `mode` and `value` as [`Op::Mkdir`],
    /// open for reading and writing; `flags`: 1: it never gets a name. R: its [`Stat`] and the descriptor.
    Temporary = 17,
    /// R: the descriptor of the queue of inotify(7) in which changes of the directories of the grant come that a
    /// [`Op::Walk`] watches. `value` is the number of the watch whose events mean nothing but that a [`Op::SetAttr`]
    /// was made before them: the host merges two events that are the same, and so none of before with one of after.
    /// EOPNOTSUPP: nothing of this grant can be watched.
    Changes = 18,
    /// Lowers the flag of that queue: one word in the file [`start_fd::FLAGS`], from byte `value` on, which is not 0
    /// from when an event comes into the queue until it is lowered again. R: nothing more. EOPNOTSUPP and others: this
    /// grant or this host has none.
    LowerFlag = 19,
    /// The descriptor that comes along is a pidfd of the process in slot `value` (of the sandbox's own numbering; below
    /// [`MAX_SLOTS`]).
    Register = 32,
    /// The process in slot `value` ended.
    Unregister = 33,
    /// Sends the kick signal to the process in slot `value`, or to the one whose pidfd comes along.
    Kick = 34,
    /// The first guest process ended with the wait status `value`: the sandbox is to end. `extra`: which of the answers
    /// that came ahead ([`Ahead`]) were of use, a bit for each, or nothing. There is no reply.
    Exit = 35,
    /// The guest stopped (job control): the broker stops itself, and sends [`EventKind::Signal`] with SIGCONT when it
    /// goes on.
    Stopped = 36,
    /// A line for the user who runs the sandbox, in `extra`; control characters are dropped, too many lines too.
    Report = 37,
    /// [`STAT_FIGURES`] 64-bit figures in `extra`, kept for `--stats`.
    Stats = 38,
    /// The descriptor that comes along is the listener of the sandbox's seccomp filter. There is no reply.
    Listener = 39,
    /// The sandbox is broken: the reason is in `extra`. Ends with status 70. There is no reply.
    Fatal = 40,
    /// The descriptor that comes along is one of the sandbox's two files in memory (the kernel's heap, the page arena):
    /// what they take counts for its memory limit. Sent before the listener. There is no reply.
    Memory = 41,
    /// An [`EventKind::OutOfMemory`] was followed: the guest process with the id `value` was killed. `extra`: its name.
    Killed = 42,
    /// Reads the user's terminal, which descriptor `grant` leads to, without waiting: at most `value` bytes. `flags`:
    /// [`TerminalFlags`]. R: `value` bytes, none at its end. EAGAIN: nothing was typed, or the sandbox is in the
    /// background; EIO: it may not read that terminal.
    ReadTerminal = 43,
    /// Changes the settings of the terminal that descriptor `grant` leads to, to those in `extra` ([`TERMIOS_SIZE`]
    /// bytes), when `value` (0 now, 1 after output, 2 and without waiting input). Without `extra` nothing is changed.
    /// In the background the sandbox stops, as a program that changes them does, and the answer is EAGAIN: to be tried
    /// again.
    SetTerminal = 44,
    /// The supervisor has taken event `value` of the event socket: it is alive. There is no reply.
    Heard = 45,
    /// Program `value` that somebody outside had started (0: the first) runs; `flags`: its process id.
    ProgramStarted = 46,
    /// Program `value` that somebody outside had started ended with the wait status in `flags`; `extra`: why it was not
    /// started, if it was not.
    ProgramEnded = 47,
}

/// `struct termios` of the host.
pub const TERMIOS_SIZE: usize = 36;
/// Most answers that come ahead ([`Ahead`]).
pub const MAX_AHEAD: usize = 256;
/// Longest of them, with its request.
pub const MAX_AHEAD_LEN: usize = size_of::<Ahead>() + MAX_REQUEST + MAX_REPLY;
/// Most bytes that an [`Op::ReadTerminal`] asks for.
pub const MAX_TYPED: usize = 4096;

/// Number of process slots.
pub const MAX_SLOTS: u64 = 32_768;

impl Op {
    /// Whether a descriptor may stand for its path.
    pub const fn takes_descriptor(self) -> bool {
        matches!(
            self,
            Self::Open
                | Self::Link
                | Self::SetAttr
                | Self::GetXattr
                | Self::SetXattr
                | Self::ListXattr
                | Self::RemoveXattr
        )
    }
    /// Whether it only reads the files of a grant that the sandbox may not change.
    pub const fn reads(self) -> bool {
        matches!(self, Self::Walk | Self::Open | Self::List | Self::StatFs | Self::GetXattr | Self::ListXattr)
    }
    /// From the number in a request.
    pub const fn from_number(n: u32) -> Option<Self> {
        Some(match n {
            1 => Self::Walk,
            2 => Self::Open,
            3 => Self::List,
            4 => Self::Mkdir,
            5 => Self::Unlink,
            6 => Self::Rmdir,
            7 => Self::Rename,
            8 => Self::Link,
            9 => Self::Symlink,
            10 => Self::Mknod,
            11 => Self::SetAttr,
            12 => Self::GetXattr,
            13 => Self::SetXattr,
            14 => Self::ListXattr,
            15 => Self::RemoveXattr,
            16 => Self::StatFs,
            17 => Self::Temporary,
            18 => Self::Changes,
            19 => Self::LowerFlag,
            32 => Self::Register,
            33 => Self::Unregister,
            34 => Self::Kick,
            35 => Self::Exit,
            36 => Self::Stopped,
            37 => Self::Report,
            38 => Self::Stats,
            39 => Self::Listener,
            40 => Self::Fatal,
            41 => Self::Memory,
            42 => Self::Killed,
            43 => Self::ReadTerminal,
            44 => Self::SetTerminal,
            45 => Self::Heard,
            46 => Self::ProgramStarted,
            47 => Self::ProgramEnded,
            _ => return None,
        })
    }
}

bitflags::bitflags! {
    /// What [`Op::Walk`] does besides.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct WalkFlags: u32 {
        /// When the whole path leads to a regular file that can be read, a descriptor for reading it comes along.
        const OPEN = 1;
        /// Each directory in which a component is looked up is watched from before that on ([`Op::Changes`]). The reply
        /// ends with the numbers of these watches, 32 bits each; 0: that one cannot be watched.
        const WATCH = 2;
        /// The [`Stat`] of the directory that the known components lead to comes first; all components may be known.
        const STAT_KNOWN = 4;
    }

    /// How [`Op::Open`] opens.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpenFlags: u32 {
        /// For reading.
        const READ = 1;
        /// For writing.
        const WRITE = 2;
        /// Make it when it does not exist.
        const CREATE = 4;
        /// It must not exist.
        const EXCLUSIVE = 8;
        /// Set its size to zero.
        const TRUNCATE = 16;
        /// Every write goes to the end.
        const APPEND = 32;
    }

    /// What of a directory [`Op::List`] tells.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct ListFlags: u32 {
        /// A [`Stat`] with each entry.
        const STAT = 1;
        /// But without, when there are more than `mode` entries.
        const STAT_IF_FEW = 2;
        /// All entries or, when there are more than `mode`, none.
        const ONLY_FEW = 4;
        /// A [`Stat`] with each directory.
        const STAT_OF_DIRECTORIES = 8;
        /// The directory is watched from before it is listed ([`Op::Changes`]).
        const WATCH = 16;
    }

    /// How [`Op::ReadTerminal`] reads.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct TerminalFlags: u32 {
        /// A program waits for it: in the background the sandbox stops, as a program that reads does.
        const READER = 1;
    }

    /// What [`Op::SetAttr`] changes.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct AttrFlags: u32 {
        /// Permissions, from `mode`.
        const MODE = 1;
        /// Owner.
        const UID = 2;
        /// Group.
        const GID = 4;
        /// Size, from `value`.
        const SIZE = 8;
        /// Time of last access.
        const ATIME = 16;
        /// Time of last change.
        const MTIME = 32;
        /// With `ATIME`: the present, by the clock of the file system.
        const ATIME_NOW = 64;
        /// With `MTIME`: the present, by the clock of the file system.
        const MTIME_NOW = 128;
    }
}

/// Head of a request. Fields that an operation does not name are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "each operation says what its fields mean")]
pub struct Request {
    pub op: u32,
    pub grant: u32,
    pub flags: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub path_len: u32,
    pub extra_len: u32,
    pub value: u64,
    pub atime_sec: i64,
    pub mtime_sec: i64,
    pub atime_nsec: u32,
    pub mtime_nsec: u32,
    /// What the reply is known by.
    pub number: u32,
    pub reserved: u32,
}

/// Head of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Reply {
    /// 0, or why it failed: a Linux errno.
    pub error: i32,
    /// See [`Op`].
    pub count: u32,
    /// See [`Op`].
    pub value: u64,
    /// See [`Op`].
    pub stop: u32,
    /// That of the request. Who asked may have been killed meanwhile: then the next reader finds a reply that is not
    /// for it.
    pub number: u32,
    /// See [`Op`].
    pub watch: u32,
    /// Zero.
    pub reserved: u32,
}

/// Head of an answer that nobody has asked for yet. When the broker remembers what a program asked for at its last
/// start, the first messages on the socket for readers are such: this head, the request with the number 0, and the
/// reply, with which a descriptor may come. The first message that is none ends them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Ahead {
    /// Bytes of the request.
    pub request_len: u32,
    /// Bytes of the reply.
    pub reply_len: u32,
}

impl Ahead {
    /// The request and the reply that lie in a message; `None`: the message is none of these.
    pub fn parts(message: &[u8]) -> Option<(&[u8], &[u8])> {
        let (head, rest) = Self::read_from_prefix(message).ok()?;
        let (request, reply) = rest.split_at_checked(head.request_len as usize)?;
        let is_whole = reply.len() == head.reply_len as usize && reply.len() >= size_of::<Reply>();
        is_whole.then_some((request, reply))
    }
}

/// Metadata of a file of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are those of stat(2)")]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub rdev: u64,
    pub size: u64,
    pub blocks: u64,
    pub atime_sec: i64,
    pub mtime_sec: i64,
    pub ctime_sec: i64,
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub blksize: u32,
    pub atime_nsec: u32,
    pub mtime_nsec: u32,
    pub ctime_nsec: u32,
}

/// Head of a directory entry in a [`Op::List`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ListRecord {
    /// Inode number.
    pub ino: u64,
    /// Cookie to continue behind this entry.
    pub next: u64,
    /// Type bits of `st_mode`, shifted down by 12 (`d_type`); 0 unknown.
    pub kind: u8,
    /// 1: a [`Stat`] follows.
    pub has_stat: u8,
    /// Length of the name.
    pub name_len: u16,
    /// Zero.
    pub reserved: u32,
}

/// Head of the entries of a directory beside the one that an [`Op::List`] asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Beside {
    /// Which of those that were named.
    pub which: u32,
    /// Number of its entries.
    pub count: u32,
    /// The number of its watch, if it was to be watched; 0: none.
    pub watch: u32,
    /// 1: its entries are told.
    pub is_told: u32,
}

/// Figures of a host file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are those of statfs(2)")]
pub struct FsStat {
    pub magic: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub free: u64,
    pub available: u64,
    pub files: u64,
    pub files_free: u64,
    pub name_max: u64,
}

/// What a grant allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct GrantInfo {
    /// 0 read-only, 1 read and write, 2 read-only beneath a copy-on-write layer.
    pub access: u32,
    /// 1: nobody changes it while the sandbox runs.
    pub image: u32,
    /// The user the broker runs as: files of this user are the guest user's own.
    pub uid: u32,
    /// The group the broker runs as.
    pub gid: u32,
}

/// What the broker tells the sandbox unasked, on the event socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventKind {
    /// The signal `value` was sent to `litebox`.
    Signal = 1,
    /// A [`NetEvent`](net::NetEvent): the connection `id` is made, or failed. Without a descriptor its first flight is
    /// wanted.
    Connected = 2,
    /// The same: the first flight of the connection `id` has passed; its descriptor comes along.
    Handed = 3,
    /// The same: the name of question `id` is answered; an [`Answer`](net::Answer) follows.
    Resolved = 4,
    /// The same: somebody connected to the published port `id`; the descriptor comes along.
    Accepted = 5,
    /// The same: a new peer sent a datagram, which follows, to the published port `id`; a socket that is connected to
    /// it comes along.
    Datagram = 6,
    /// The memory limit is reached: the guest that runs in the host process `value` (its id as the sandbox has it) is
    /// to be killed.
    OutOfMemory = 7,
    /// The descriptor that comes along is one of the streams of a program that is about to be started: `value` is its
    /// number, and above bit 32 which.
    Stream = 8,
    /// Program `value` is to be started, as the memory file that comes along says ([`Start`](control::Start)).
    Start = 9,
    /// Program `value` is to get the signal that stands above bit 32.
    ProgramSignal = 10,
    /// The window of program `value` has another size: rows above bit 48, columns above bit 32.
    ProgramWindow = 11,
}

/// A message on the event socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Event {
    /// An [`EventKind`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// What goes with it.
    pub value: u64,
}

/// Descriptors that the supervisor starts with, besides 0, 1 and 2.
pub mod start_fd {
    /// Requests and replies.
    pub const REQUESTS: i32 = 3;
    /// Requests that only read, of grants that the sandbox may not change, and listings of all grants, and their
    /// replies: they are served beside the others.
    pub const READERS: i32 = 4;
    /// Events of the broker.
    pub const EVENTS: i32 = 5;
    /// Requests about the network and their replies. Without a network nobody is at the other end.
    pub const NET: i32 = 6;
    /// A sealed memory file: how many bytes describe the grants (a 64-bit number); these, for each grant in the order
    /// of their numbers a [`GrantInfo`](super::GrantInfo) and the [`Stat`](super::Stat) of its root (all zeros when it
    /// is gone); then the configuration.
    pub const CONFIG: i32 = 7;
    /// A sealed memory file: the [`RequestPage`](super::page::RequestPage).
    pub const PAGE: i32 = 8;
    /// A memory file of [`MAX_FLAGS`](super::MAX_FLAGS) pages that only the broker's host writes to: flags of changes
    /// ([`Op::LowerFlag`](super::Op::LowerFlag)). It is empty where no grant may be changed.
    pub const FLAGS: i32 = 9;
    /// The first of the additional ones.
    pub const FIRST_EXTRA: i32 = 10;
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::{Ahead, Beside, ListRecord, Op, Reply, Request, Stat};

    #[test]
    fn an_answer_ahead_is_whole_or_none() {
        let head = Ahead { request_len: 2, reply_len: 32 };
        let mut message = [7; 8 + 2 + 32];
        message[..8].copy_from_slice(head.as_bytes());
        assert_eq!(Ahead::parts(&message).map(|(a, b)| (a.len(), b.len())), Some((2, 32)));
        assert_eq!(Ahead::parts(&message[..41]), None);
        assert_eq!(Ahead::parts(&[0xff; 100]), None);
        for error in [0, 12] {
            assert_eq!(Ahead::parts(Reply { error, ..Reply::default() }.as_bytes()), None);
        }
        assert_eq!(Ahead::parts(&[]), None);
    }

    #[test]
    fn layouts_have_no_padding_and_numbers_round_trip() {
        assert_eq!(size_of::<Request>(), 72);
        assert_eq!(size_of::<Reply>(), 32);
        assert_eq!(size_of::<Stat>(), 96);
        assert_eq!(size_of::<ListRecord>(), 24);
        assert_eq!(size_of::<Beside>(), 16);
        for n in 0..64 {
            if let Some(op) = Op::from_number(n) {
                assert_eq!(op as u32, n);
            }
        }
    }
}
