//! Sets against a simple model of epoll(7): which files are reported, in which order, after any sequence of calls.
#![expect(clippy::indexing_slicing, reason = "a failing test may end anyhow")]

extern crate std;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{EventSet, Interest, Mode};
use crate::Error;
use crate::event::Events;
use crate::eventfd::EventFile;
use crate::fs::{Access, File, OpenFile, StatusFlags};
use crate::io::{Dest, Source};

/// How many files there are: counters, readable while they are not zero, writable always.
const FILES: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(usize, Asked),
    Modify(usize, Asked),
    Remove(usize),
    /// The file becomes readable.
    Write(usize),
    /// It is no longer readable.
    Read(usize),
    /// Asks for so many reports.
    Take(usize),
}

/// What is asked for of a file.
#[derive(Clone, Copy, Debug)]
struct Asked {
    events: Events,
    mode: Mode,
}

impl Asked {
    fn interest(self, file: usize) -> Interest {
        Interest { events: self.events, mode: self.mode, data: file as u64 }
    }
}

/// What a set knows, without observers, weak references or locks.
#[derive(Default)]
struct Model {
    readable: [bool; FILES],
    /// `None`: not registered. Without events: reported once and not asked for again.
    asked: [Option<Asked>; FILES],
    /// Files that may have to be reported, in the order in which that came to be.
    queue: Vec<usize>,
}

impl Model {
    fn ready(&self, file: usize) -> Events {
        let asked = self.asked[file].map_or(Events::empty(), |asked| asked.events);
        let mut now = Events::OUT;
        now.set(Events::IN, self.readable[file]);
        now & asked
    }
    fn queue_up(&mut self, file: usize) {
        if !self.queue.contains(&file) {
            self.queue.push(file);
        }
    }
    /// Something happened to the file; whoever asked for it hears of it, also when nothing changed.
    fn happened(&mut self, file: usize, event: Events) {
        if self.asked[file].is_some_and(|asked| asked.events.intersects(event)) {
            self.queue_up(file);
        }
    }
    fn ask(&mut self, file: usize, asked: Asked) {
        self.asked[file] = Some(asked);
        if !self.ready(file).is_empty() {
            self.queue_up(file);
        }
    }
    fn take(&mut self, most: usize) -> Vec<(usize, Events)> {
        let mut reports = Vec::new();
        for _ in 0..self.queue.len() {
            if reports.len() == most {
                break;
            }
            let file = self.queue.remove(0);
            let (now, Some(asked)) = (self.ready(file), self.asked[file]) else { continue };
            if now.is_empty() {
                continue;
            }
            reports.push((file, now));
            if asked.mode.contains(Mode::ONESHOT) {
                self.asked[file] = Some(Asked { events: Events::empty(), ..asked });
            } else if !asked.mode.contains(Mode::EDGE) {
                self.queue.push(file);
            }
        }
        reports
    }
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let events = prop::sample::subsequence(vec![Events::IN, Events::OUT], 0..=2);
    let modes = prop::sample::subsequence(vec![Mode::EDGE, Mode::ONESHOT], 0..=2);
    (events, modes)
        .prop_map(|(events, modes)| Asked { events: events.into_iter().collect(), mode: modes.into_iter().collect() })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..FILES, any_asked()).prop_map(|(file, asked)| Step::Add(file, asked)),
        2 => (0..FILES, any_asked()).prop_map(|(file, asked)| Step::Modify(file, asked)),
        1 => (0..FILES).prop_map(Step::Remove),
        3 => (0..FILES).prop_map(Step::Write),
        3 => (0..FILES).prop_map(Step::Read),
        3 => (1..=FILES).prop_map(Step::Take),
    ]
}

fn write(file: &EventFile) {
    assert_eq!(file.write_at(&mut Source::kernel(&1u64.to_ne_bytes()), 0), Ok(8));
}

fn read(file: &EventFile) -> bool {
    file.read_at(&mut Dest::kernel(&mut [0; 8]), 0).is_ok()
}

proptest! {
    #[test]
    fn agrees_with_a_model(steps in proptest::collection::vec(any_step(), 1..60)) {
        let counters: Vec<Arc<EventFile>> = (0..FILES).map(|_| EventFile::new(0, false)).collect();
        let open = |(id, file): (usize, &Arc<EventFile>)| {
            OpenFile::new(file.clone(), Access::READ | Access::WRITE, StatusFlags::empty(), None, id as u64)
        };
        let files: Vec<Arc<OpenFile>> = counters.iter().enumerate().map(open).collect();
        let (set, mut model) = (EventSet::new(), Model::default());
        for step in steps {
            match step {
                Step::Add(file, asked) => {
                    let expected = if model.asked[file].is_some() { Err(Error::Exists) } else { Ok(()) };
                    prop_assert_eq!(set.add(file as i32, &files[file], asked.interest(file)), expected);
                    if expected.is_ok() {
                        model.ask(file, asked);
                    }
                }
                Step::Modify(file, asked) => {
                    let expected = if model.asked[file].is_none() { Err(Error::NotFound) } else { Ok(()) };
                    prop_assert_eq!(set.modify(file as i32, &files[file], asked.interest(file)), expected);
                    if expected.is_ok() {
                        model.ask(file, asked);
                    }
                }
                Step::Remove(file) => {
                    let expected = model.asked[file].take().map(drop).ok_or(Error::NotFound);
                    prop_assert_eq!(set.remove(file as i32, &files[file]), expected);
                    model.queue.retain(|queued| *queued != file);
                }
                Step::Write(file) => {
                    write(&counters[file]);
                    model.readable[file] = true;
                    model.happened(file, Events::IN);
                }
                Step::Read(file) => {
                    prop_assert_eq!(read(&counters[file]), model.readable[file]);
                    if core::mem::take(&mut model.readable[file]) {
                        model.happened(file, Events::OUT);
                    }
                }
                Step::Take(most) => {
                    let mut reports = Vec::new();
                    set.take(most, &mut |events, data| {
                        reports.push((data as usize, events));
                        true
                    });
                    prop_assert_eq!(reports, model.take(most));
                }
            }
        }
    }
}

/// What is watched and left again and again is not looked after for ever.
#[test]
fn timed_files_leave_with_their_items() {
    let (set, inner) = (EventSet::new(), EventSet::new());
    let file = OpenFile::new(inner, Access::READ, StatusFlags::empty(), None, 7);
    let interest = Interest { events: Events::IN, mode: Mode::empty(), data: 0 };
    for _ in 0..3 {
        assert_eq!(set.add(3, &file, interest), Ok(()));
        assert_eq!(set.add(4, &file, interest), Ok(()));
        assert_eq!(set.timed.lock().len(), 2);
        assert_eq!(set.remove(3, &file), Ok(()));
        assert_eq!(set.timed.lock().len(), 1);
        assert_eq!(set.remove(4, &file), Ok(()));
        assert!(set.timed.lock().is_empty());
    }
}
