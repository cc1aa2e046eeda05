//! What a program changed in copy-on-write trees, as the sandbox tells it: a stream of [`Record`]s over a pipe.
//!
//! Behind each record come, without gaps: `path_len` bytes of path; `target_len` bytes, the target of a symbolic link
//! or the path of the other name of a hard link; `xattr_len` bytes of extended attributes, each an [`Xattr`], its name
//! and its value; of a regular file `extents` [`Extent`]s, in their order and apart from each other, and then the bytes
//! of all of them. Bytes of a file that lie in no extent are zeros.
//!
//! Paths are from the root of the sandbox, without a leading slash: components joined by single slashes, no `.` or
//! `..`. What lies in a directory comes behind it; names are sorted. All numbers are in machine byte order.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest path, and longest target.
pub const MAX_PATH: usize = 4095;
/// Most bytes of extended attributes of one file.
pub const MAX_XATTRS: usize = 1 << 20;
/// Most extents of one file.
pub const MAX_EXTENTS: u64 = 32 << 10;

/// What a record is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// A tree begins, whose root is at the path.
    Tree = 1,
    /// A directory.
    Directory = 2,
    /// A regular file.
    Regular = 3,
    /// A symbolic link.
    Symlink = 4,
    /// A named pipe.
    Fifo = 5,
    /// A socket or a device: they are told, and not kept.
    Other = 6,
    /// One more name of a file that came before.
    HardLink = 7,
    /// Something is gone.
    Removed = 8,
    /// Something could not be read, for the reason `size` (an errno), and is left out.
    LeftOut = 9,
    /// That was all.
    End = 10,
}

impl Kind {
    /// From the number in a record.
    pub const fn from_number(n: u32) -> Option<Self> {
        Some(match n {
            1 => Self::Tree,
            2 => Self::Directory,
            3 => Self::Regular,
            4 => Self::Symlink,
            5 => Self::Fifo,
            6 => Self::Other,
            7 => Self::HardLink,
            8 => Self::Removed,
            9 => Self::LeftOut,
            10 => Self::End,
            _ => return None,
        })
    }
}

/// Bits of [`Record::flags`].
pub mod flag {
    /// Something was there under this path before.
    pub const EXISTED: u32 = 1;
    /// A directory hides all that was in the one there before.
    pub const OPAQUE: u32 = 2;
}

/// Head of a record. Fields that a kind does not need are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Record {
    /// A [`Kind`].
    pub kind: u32,
    /// See [`flag`].
    pub flags: u32,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length of the path.
    pub path_len: u32,
    /// Length of what comes behind it.
    pub target_len: u32,
    /// Length of the extended attributes.
    pub xattr_len: u32,
    /// Number of extents.
    pub extents: u32,
    /// Nanoseconds of the time of the last change.
    pub mtime_nsec: u32,
    /// Seconds of it since 1970.
    pub mtime_sec: i64,
    /// Size of a regular file.
    pub size: u64,
}

/// Head of an extended attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Xattr {
    /// Length of its name.
    pub name_len: u32,
    /// Length of its value.
    pub value_len: u32,
}

/// Bytes of a file that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Extent {
    /// Where they are in the file.
    pub offset: u64,
    /// How many.
    pub len: u64,
}

#[cfg(test)]
mod tests {
    use super::{Kind, Record};

    #[test]
    fn layouts_have_no_padding_and_numbers_round_trip() {
        assert_eq!(size_of::<Record>(), 56);
        for n in 0..16 {
            if let Some(kind) = Kind::from_number(n) {
                assert_eq!(kind as u32, n);
            }
        }
    }
}
