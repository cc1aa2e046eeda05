//! Names of a watched directory that are known from its listing alone, with their metadata. Most files of a tree that
//! somebody walks over are looked at once: they need no inode.
//!
//! What the listing says of a name is true until an event or a change of ours speaks of it, or somebody makes an inode
//! of it: then the name is *touched*, and the listing is not asked about it any more.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::listing::{Entries, Index};
use litebox_protocol::Stat;

/// The names of one listing.
pub(super) struct Untouched {
    entries: Arc<Entries>,
    index: Index,
    /// True as long as no name was made that may be another of one of these files (`Changes::links`).
    links: u64,
    /// A bit for each entry.
    touched: Vec<u64>,
    /// How many are not touched.
    left: usize,
}

impl Untouched {
    pub(super) fn new(entries: Arc<Entries>, links: u64) -> Self {
        let left = entries.in_order().len();
        let touched = alloc::vec![0; left.div_ceil(64)];
        Self { index: Index::of(&entries), entries, links, touched, left }
    }
    /// How many names are not touched.
    pub(super) fn len(&self) -> usize {
        self.left
    }
    /// Whether the listing has this name, touched or not.
    pub(super) fn lists(&self, name: &[u8]) -> bool {
        self.index.find(&self.entries, name).is_some()
    }
    fn place(&self, name: &[u8]) -> Option<usize> {
        let at = self.index.find(&self.entries, name)?;
        let is_touched = self.touched.get(at / 64)? >> (at % 64) & 1 == 1;
        (!is_touched).then_some(at)
    }
    /// What the listing says of a name, if that is true; `links`: [`Changes::links`](super::changes::Changes::links).
    pub(super) fn stat(&self, name: &[u8], links: u64) -> Option<Stat> {
        if self.links != links {
            return None;
        }
        self.entries.stat_of(self.entries.in_order().get(self.place(name)?)?)
    }
    /// From now on the listing says nothing of the name. Whether it did before.
    pub(super) fn touch(&mut self, name: &[u8]) -> bool {
        let Some(at) = self.place(name) else { return false };
        if let Some(word) = self.touched.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::format;
    use alloc::sync::Arc;

    use super::Untouched;
    use crate::fs::host::client::Sink;
    use crate::fs::host::listing::Entries;
    use crate::fs::{DirEntry, FileType};
    use litebox_protocol::Stat;

    #[test]
    fn a_name_is_told_until_it_is_touched() {
        let mut entries = Entries::default();
        for number in 0..100u64 {
            let name = format!("f{number}");
            let entry = DirEntry { name: name.as_bytes(), ino: number, file_type: FileType::Regular, next: number + 1 };
            assert!(entries.entry(entry, Some(Stat { ino: number, ..Stat::default() })));
        }
        let mut names = Untouched::new(Arc::new(entries), 7);
        let ino = |names: &Untouched, name: &[u8]| names.stat(name, 7).map(|stat| stat.ino);
        assert_eq!((ino(&names, b"f99"), ino(&names, b"f64"), ino(&names, b"g")), (Some(99), Some(64), None));
        assert!(names.stat(b"f99", 8).is_none(), "somebody made names");
        assert!(names.touch(b"f64") && !names.touch(b"f64") && !names.touch(b"g"));
        assert_eq!((ino(&names, b"f64"), ino(&names, b"f63"), ino(&names, b"f0")), (None, Some(63), Some(0)));
        assert!(names.lists(b"f64") && !names.lists(b"g"));
        assert_eq!(names.len(), 99);
    }
}
