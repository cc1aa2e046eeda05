//! How many pages the pipes of one user may hold together (pipe(7), "/proc/sys/fs/pipe-user-pages-*"). A fifo's pages
//! are nobody's.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::{DEFAULT_PAGES, MOST_BYTES};
use crate::mm::PAGE;
use crate::sync::Mutex;
use crate::{Error, Result};

/// What a new pipe can hold when its owner has too many already.
const FEW_PAGES: usize = 2;
/// From so many users on, those without pipes are forgotten.
const MANY_USERS: usize = 64;

/// The budgets of all users, and what bounds them.
pub struct Budgets {
    /// The most bytes that a pipe may be made to hold.
    pub most_bytes: AtomicU32,
    /// With more pages than this a user gets small pipes and cannot make them larger; 0: no limit.
    pub soft: AtomicUsize,
    /// With more pages than this a user gets no pipes; 0: no limit.
    pub hard: AtomicUsize,
    users: Mutex<BTreeMap<u32, Weak<AtomicUsize>>>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            most_bytes: AtomicU32::new(MOST_BYTES as u32),
            soft: AtomicUsize::new(16384),
            hard: AtomicUsize::new(0),
            users: Mutex::default(),
        }
    }
}

impl Budgets {
    /// The pages of a new pipe of user `uid`; `TooManyFilesInSystem`: there are none for it.
    pub(super) fn share(self: &Arc<Self>, uid: u32) -> Result<Share> {
        let used = self.used_by(uid);
        let most = self.most_bytes.load(Ordering::Relaxed) as usize / PAGE;
        let share = Share { budgets: self.clone(), used, pages: AtomicUsize::new(0) };
        let mut total = share.take(DEFAULT_PAGES.min(most).max(1));
        if exceeds(total, &self.soft) {
            total = share.take(FEW_PAGES);
        }
        if exceeds(total, &self.hard) { Err(Error::TooManyFilesInSystem) } else { Ok(share) }
    }
    fn used_by(&self, uid: u32) -> Arc<AtomicUsize> {
        let mut users = self.users.lock();
        if let Some(used) = users.get(&uid).and_then(Weak::upgrade) {
            return used;
        }
        if users.len() >= MANY_USERS {
            users.retain(|_, used| used.strong_count() > 0);
        }
        let used = Arc::default();
        users.insert(uid, Arc::downgrade(&used));
        used
    }
}

fn exceeds(pages: usize, limit: &AtomicUsize) -> bool {
    let limit = limit.load(Ordering::Relaxed);
    limit != 0 && pages > limit
}

/// What one pipe has of its owner's budget.
pub(super) struct Share {
    budgets: Arc<Budgets>,
    used: Arc<AtomicUsize>,
    pages: AtomicUsize,
}

impl Share {
    /// It has `pages` from now on; how many its owner has altogether. Called with the pipe locked, or before anybody
    /// knows it.
    fn take(&self, pages: usize) -> usize {
        let before = self.pages.swap(pages, Ordering::Relaxed);
        // Modulo 2^64: a smaller number of pages takes the difference away.
        let change = pages.wrapping_sub(before);
        self.used.fetch_add(change, Ordering::AcqRel).wrapping_add(change)
    }
    pub fn pages(&self) -> usize {
        self.pages.load(Ordering::Relaxed)
    }
    /// It is to have `pages`: `NotPermitted` when that is more than before and more than its owner may have.
    pub fn resize(&self, pages: usize) -> Result<()> {
        let before = self.pages();
        let total = self.take(pages);
        let grows = pages > before;
        let too_many = exceeds(total, &self.budgets.soft) || exceeds(total, &self.budgets.hard);
        if grows && (too_many || pages * PAGE > self.budgets.most_bytes.load(Ordering::Relaxed) as usize) {
            self.take(before);
            return Err(Error::NotPermitted);
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.take(0);
    }
}
