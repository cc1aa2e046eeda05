//! The directory that was opened last, while requests are served in a row.
//!
//! What a program asks for at its start lies in a few directories. Each request is resolved from the root of its grant,
//! component by component; in a row, the next one goes on from where the one before it was. It finds what it would have
//! found a moment ago.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// That of one grant.
#[derive(Debug, Default)]
pub struct LastDirectory(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// Requests come one by one: nothing is kept.
    #[default]
    Off,
    /// None was opened yet.
    None,
    /// At this path.
    Kept(Vec<u8>, OwnedFd),
}

impl LastDirectory {
    /// From now on requests come in a row, or one by one again.
    pub fn set_in_a_row(&self, in_a_row: bool) {
        *self.lock() = if in_a_row { State::None } else { State::Off };
    }

    /// A directory on the way to `path` or at its end, and what is left of the path.
    pub fn on_the_way_to<'p>(&self, path: &'p [u8]) -> Option<(OwnedFd, &'p [u8])> {
        let State::Kept(at, directory) = &*self.lock() else { return None };
        let rest = path.strip_prefix(at.as_slice()).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))?;
        Some((rustix::io::fcntl_dupfd_cloexec(directory, 0).ok()?, rest))
    }

    /// The directory at `path` was opened.
    pub fn keep(&self, path: &[u8], directory: BorrowedFd<'_>) {
        let mut state = self.lock();
        if matches!(*state, State::Off) {
            return;
        }
        let kept = rustix::io::fcntl_dupfd_cloexec(directory, 0);
        *state = kept.map_or(State::None, |kept| State::Kept(path.to_vec(), kept));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::LastDirectory;

    #[test]
    fn only_what_lies_beneath_goes_on_there() {
        let directory = File::open("/").unwrap_or_else(|e| panic!("{e}"));
        let last = LastDirectory::default();
        last.keep(b"usr/lib", directory.as_fd());
        assert!(last.on_the_way_to(b"usr/lib").is_none(), "nothing is kept for requests that come one by one");
        last.set_in_a_row(true);
        last.keep(b"usr/lib", directory.as_fd());
        let rest = |path| last.on_the_way_to(path).map(|(_, rest)| rest);
        assert_eq!(rest(b"usr/lib"), Some(b"".as_slice()));
        assert_eq!(rest(b"usr/lib/x/y"), Some(b"/x/y".as_slice()));
        assert_eq!(rest(b"usr/library"), None);
        assert_eq!(rest(b"usr"), None);
        last.set_in_a_row(false);
        assert!(last.on_the_way_to(b"usr/lib").is_none());
    }
}
