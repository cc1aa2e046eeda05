//! The table against a simple model: a map from descriptors to files, of which the lowest free number is looked for by
//! counting.

extern crate std;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::FdTable;
use crate::eventfd::EventFile;
use crate::fs::{Access, OpenFile, StatusFlags};
use crate::{Error, Result};

/// Descriptors that are tried; the limits lie around it.
const MOST: i32 = 12;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// At the lowest number not below the first one, under a limit.
    Install(i32, bool, u64),
    InstallAt(i32, bool, u64),
    Remove(i32),
    CloseOnExec(i32, bool),
    RemoveRange(u32, u32),
    Execute,
    /// A fork: both tables go on with what there is; the copy is the one that is tried.
    Duplicate,
    CloseAll,
    CheckRoom(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    // A wrong descriptor and a number far above the others are among them.
    let fd = || prop_oneof![8 => 0..MOST, 1 => Just(-1), 1 => Just(300)];
    let limit = || prop_oneof![4 => Just(1024u64), 1 => 0..MOST as u64];
    let bound = || prop_oneof![4 => 0..MOST as u32, 1 => Just(u32::MAX)];
    prop_oneof![
        8 => (prop_oneof![3 => Just(0), 1 => fd()], any::<bool>(), limit()).prop_map(|(fd, on, most)| Step::Install(fd, on, most)),
        3 => (fd(), any::<bool>(), limit()).prop_map(|(fd, on, most)| Step::InstallAt(fd, on, most)),
        6 => fd().prop_map(Step::Remove),
        2 => (fd(), any::<bool>()).prop_map(|(fd, on)| Step::CloseOnExec(fd, on)),
        1 => (bound(), bound()).prop_map(|(first, last)| Step::RemoveRange(first, last)),
        1 => Just(Step::Execute),
        1 => Just(Step::Duplicate),
        1 => Just(Step::CloseAll),
        1 => limit().prop_map(Step::CheckRoom),
    ]
}

/// By the descriptor: which file, and whether execve(2) closes it.
#[derive(Default)]
struct Model(BTreeMap<i32, (u64, bool)>);

impl Model {
    fn lowest_free(&self, from: i32) -> i32 {
        (from..i32::MAX).find(|fd| !self.0.contains_key(fd)).unwrap_or(i32::MAX)
    }
    fn install(&mut self, from: i32, file: u64, on: bool, limit: u64) -> Result<i32> {
        if from < 0 {
            return Err(Error::BadDescriptor);
        }
        let fd = self.lowest_free(from);
        if fd as u64 >= limit {
            return Err(Error::TooManyFiles);
        }
        self.0.insert(fd, (file, on));
        Ok(fd)
    }
    fn install_at(&mut self, fd: i32, file: u64, on: bool, limit: u64) -> Result<Option<u64>> {
        if fd < 0 || fd as u64 >= limit {
            return Err(Error::BadDescriptor);
        }
        Ok(self.0.insert(fd, (file, on)).map(|(file, _)| file))
    }
    fn remove(&mut self, fd: i32) -> Result<u64> {
        self.0.remove(&fd).map(|(file, _)| file).ok_or(Error::BadDescriptor)
    }
    /// Takes out all of which that is true.
    fn remove_all(&mut self, wanted: impl Fn(i32, bool) -> bool) -> Vec<u64> {
        let gone: Vec<i32> = self.0.iter().filter(|(fd, entry)| wanted(**fd, entry.1)).map(|(fd, _)| *fd).collect();
        gone.into_iter().filter_map(|fd| self.remove(fd).ok()).collect()
    }
}

fn ids(files: Vec<Arc<OpenFile>>) -> Vec<u64> {
    files.iter().map(|file| file.id).collect()
}

proptest! {
    #[test]
    fn agrees_with_a_model(steps in proptest::collection::vec(any_step(), 1..80)) {
        let (mut table, mut model) = (FdTable::new(), Model::default());
        // Both go on after a fork, and neither sees what the other does.
        let mut parents: Vec<(Arc<FdTable>, Vec<i32>)> = vec![];
        for (id, step) in (1u64..).zip(steps) {
            let file = || {
                let rights = Access::READ | Access::WRITE;
                OpenFile::new(EventFile::new(0, false), rights, StatusFlags::empty(), None, id)
            };
            match step {
                Step::Install(from, on, limit) => {
                    prop_assert_eq!(table.install_from(from, file(), on, limit), model.install(from, id, on, limit));
                }
                Step::InstallAt(fd, on, limit) => {
                    let before = table.install_at(fd, file(), on, limit).map(|old| old.map(|file| file.id));
                    prop_assert_eq!(before, model.install_at(fd, id, on, limit));
                }
                Step::Remove(fd) => prop_assert_eq!(table.remove(fd).map(|file| file.id), model.remove(fd)),
                Step::CloseOnExec(fd, on) => {
                    let entry = model.0.get_mut(&fd).ok_or(Error::BadDescriptor).map(|entry| entry.1 = on);
                    prop_assert_eq!(table.set_close_on_exec(fd, on), entry);
                }
                Step::RemoveRange(first, last) => {
                    let gone = model.remove_all(|fd, _| (first..=last).contains(&(fd as u32)));
                    prop_assert_eq!(ids(table.remove_range(first, last)), gone);
                }
                Step::Execute => {
                    let gone = model.remove_all(|_, close_on_exec| close_on_exec);
                    prop_assert_eq!(ids(table.remove_close_on_exec()), gone);
                }
                Step::Duplicate => {
                    let copy = table.duplicate();
                    parents.push((core::mem::replace(&mut table, copy), model.0.keys().copied().collect()));
                }
                Step::CloseAll => {
                    table.close_all();
                    model.0.clear();
                }
                Step::CheckRoom(limit) => {
                    let has_room = (model.lowest_free(0) as u64) < limit;
                    prop_assert_eq!(table.check_room(limit).is_ok(), has_room);
                }
            }
            let there: Vec<i32> = model.0.keys().copied().collect();
            prop_assert_eq!(table.descriptors(), there);
            for fd in -1..MOST {
                let wanted = model.0.get(&fd).copied().ok_or(Error::BadDescriptor);
                prop_assert_eq!(table.entry(fd).map(|entry| (entry.file.id, entry.close_on_exec)), wanted);
                prop_assert_eq!(table.get(fd).map(|file| file.id), wanted.map(|(file, _)| file));
            }
        }
        for (parent, descriptors) in parents {
            prop_assert_eq!(parent.descriptors(), descriptors);
        }
    }
}
