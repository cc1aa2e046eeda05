//! Which locks are taken under which: a debug build ends the sandbox when two orders contradict each other.
//!
//! As Linux's lockdep does (Documentation/locking/lockdep-design.rst), it looks at classes of locks, not at single
//! locks. A class is all locks that one line of the sources makes of one type. An order is learned when it is seen for
//! the first time. So a contradiction is found when both orders happened, whenever that was, and not only when two
//! threads meet. Two locks of one class may be held at once: which of them comes first, their owner decides
//! (`docs/locks.md`).
//!
//! Who only reads waits for who writes alone. So what is noted is not "is taken under", but "is waited for under, and
//! held by whom": a class counts twice, held for writing and held for reading. Who holds `h` and wants to read `t`
//! waits for those who hold `t` for writing; who wants to write it, for all who hold it. A circle of such waits is a
//! deadlock.

use core::cell::Cell;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU64, AtomicUsize, Ordering};

use crate::platform::host;

/// How many classes there can be. Locks of further ones are not looked at.
const CLASSES: usize = 512;
const NODES: usize = 2 * CLASSES;
const WORDS: usize = NODES / 64;
/// How many locks one thread holds at most. Further ones are not looked at.
const DEPTH: usize = 24;
/// Of a lock that was never taken.
const UNKNOWN: u16 = u16::MAX;

/// Where locks of a class are made, and of what type their value is.
struct Class {
    place: AtomicPtr<Location<'static>>,
    value: AtomicPtr<u8>,
    value_len: AtomicUsize,
}

/// How a lock is taken. Mutexes are only written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Write,
    Read,
}

/// A class that is held in some way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Node(u16);

/// All classes and who is waited for under what. A sandbox has one, in the shared heap.
pub struct LockOrder {
    classes: [Class; CLASSES],
    count: AtomicUsize,
    /// Bit `t` of row `h`: who held `h` waited for who holds `t`, directly or by way of others.
    under: [[AtomicU64; WORDS]; NODES],
    changing: AtomicBool,
}

/// The locks that a thread holds, in the order in which they were taken.
#[derive(Default)]
pub struct HeldLocks {
    count: Cell<usize>,
    nodes: [Cell<Node>; DEPTH],
}

/// What a lock knows of its class.
pub(super) struct ClassOf {
    place: &'static Location<'static>,
    class: AtomicU16,
}

/// A lock was taken in an order that contradicts an earlier one.
#[derive(Debug)]
struct Contradiction {
    held: Node,
    wanted: u16,
}

impl Node {
    fn new(class: u16, way: Way) -> Self {
        Self(class.saturating_mul(2).saturating_add(u16::from(way == Way::Read)))
    }
    fn class(self) -> u16 {
        self.0 / 2
    }
}

impl Default for Node {
    fn default() -> Self {
        Self(UNKNOWN)
    }
}

impl Class {
    const fn empty() -> Self {
        Self {
            place: AtomicPtr::new(core::ptr::null_mut()),
            value: AtomicPtr::new(core::ptr::null_mut()),
            value_len: AtomicUsize::new(0),
        }
    }

    /// The place and the type; for a class that has a number.
    fn name(&self) -> (&'static Location<'static>, &'static str) {
        // SAFETY: who has the number of a class saw `count` after these fields were written, once, from a static place
        // and a static name.
        unsafe {
            let name =
                core::slice::from_raw_parts(self.value.load(Ordering::Relaxed), self.value_len.load(Ordering::Relaxed));
            (&*self.place.load(Ordering::Relaxed), core::str::from_utf8_unchecked(name))
        }
    }
}

impl Default for LockOrder {
    fn default() -> Self {
        Self::new()
    }
}

impl LockOrder {
    /// Nothing was taken yet.
    #[expect(clippy::large_stack_arrays, reason = "made once, where the shared heap is set up")]
    pub const fn new() -> Self {
        Self {
            classes: [const { Class::empty() }; CLASSES],
            count: AtomicUsize::new(0),
            under: [const { [const { AtomicU64::new(0) }; WORDS] }; NODES],
            changing: AtomicBool::new(false),
        }
    }

    /// The class of locks around a `value` that are made at `place`; [`UNKNOWN`] when there are too many.
    fn class(&self, place: &'static Location<'static>, value: &'static str) -> u16 {
        self.find(place, value).unwrap_or_else(|| self.exclusively(|| self.add_class(place, value)))
    }

    fn find(&self, place: &Location<'static>, value: &str) -> Option<u16> {
        let count = self.count.load(Ordering::Acquire);
        // One place has several addresses where it is compiled more than once.
        let same = |class: &Class| class.name() == (place, value);
        self.classes.iter().take(count).position(same).map(|index| index as u16)
    }

    fn add_class(&self, place: &'static Location<'static>, value: &'static str) -> u16 {
        if let Some(class) = self.find(place, value) {
            return class;
        }
        let count = self.count.load(Ordering::Relaxed);
        let Some(free) = self.classes.get(count) else { return UNKNOWN };
        free.place.store(core::ptr::from_ref(place).cast_mut(), Ordering::Relaxed);
        free.value.store(value.as_ptr().cast_mut(), Ordering::Relaxed);
        free.value_len.store(value.len(), Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Release);
        count as u16
    }

    fn exclusively<R>(&self, change: impl FnOnce() -> R) -> R {
        while self.changing.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        let result = change();
        self.changing.store(false, Ordering::Release);
        result
    }

    fn row(&self, node: Node) -> Option<&[AtomicU64; WORDS]> {
        self.under.get(usize::from(node.0))
    }

    fn is_known(&self, held: Node, other: Node) -> bool {
        let word = self.row(held).and_then(|row| row.get(usize::from(other.0) / 64));
        word.is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (other.0 % 64)) != 0)
    }

    /// Somebody who holds `held` wants a lock of class `wanted`.
    fn learn(&self, held: Node, wanted: u16, way: Way) -> Result<(), Contradiction> {
        let writers = Node::new(wanted, Way::Write);
        let readers = (way == Way::Write).then(|| Node::new(wanted, Way::Read));
        let mut waited_for = [Some(writers), readers].into_iter().flatten();
        if wanted == UNKNOWN || held.class() == wanted || waited_for.clone().all(|other| self.is_known(held, other)) {
            return Ok(());
        }
        self.exclusively(|| {
            waited_for.try_for_each(|other| {
                if self.is_known(other, held) {
                    return Err(Contradiction { held, wanted });
                }
                // Whatever leads to `held` leads to `other` and to all that is under it now.
                for above in (0..2 * self.count.load(Ordering::Relaxed) as u16).map(Node) {
                    if above == held || self.is_known(above, held) {
                        self.add(above, other);
                    }
                }
                Ok(())
            })
        })
    }

    fn add(&self, above: Node, other: Node) {
        let (Some(row), Some(below)) = (self.row(above), self.row(other)) else { return };
        for (word, more) in row.iter().zip(below) {
            word.fetch_or(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        if let Some(word) = row.get(usize::from(other.0) / 64) {
            word.fetch_or(1 << (other.0 % 64), Ordering::Relaxed);
        }
    }

    /// A class for a person: the type of the value, and where its locks are made.
    fn describe(&self, class: u16) -> alloc::string::String {
        let count = self.count.load(Ordering::Acquire);
        let class = self.classes.iter().take(count).nth(usize::from(class)).map(Class::name);
        class.map_or_else(Default::default, |(place, value)| alloc::format!("{value} ({place})"))
    }

    #[cold]
    fn report(&self, found: &Contradiction) -> ! {
        let (held, wanted) = (self.describe(found.held.class()), self.describe(found.wanted));
        host().report("lock order: somebody takes");
        host().report(&wanted);
        host().report("while holding");
        host().report(&held);
        host().fatal("and elsewhere it is the other way round, directly or by way of others")
    }
}

impl HeldLocks {
    /// None.
    pub const fn new() -> Self {
        Self { count: Cell::new(0), nodes: [const { Cell::new(Node(UNKNOWN)) }; DEPTH] }
    }

    /// Outermost first.
    fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        self.nodes.iter().take(self.count.get()).map(Cell::get)
    }

    fn push(&self, node: Node) {
        if let Some(free) = self.nodes.get(self.count.get()) {
            free.set(node);
            self.count.set(self.count.get() + 1);
        }
    }

    /// Locks need not be given back in the opposite order.
    fn remove(&self, node: Node) {
        let Some(at) = self.nodes().enumerate().filter(|&(_, held)| held == node).map(|(at, _)| at).last() else {
            return;
        };
        let count = self.count.get();
        for (slot, next) in self.nodes.iter().zip(self.nodes.iter().skip(1)).skip(at) {
            slot.set(next.get());
        }
        self.count.set(count.saturating_sub(1));
    }
}

impl ClassOf {
    #[track_caller]
    pub(super) const fn new() -> Self {
        Self { place: Location::caller(), class: AtomicU16::new(UNKNOWN) }
    }

    fn class(&self, order: &LockOrder, value: &'static str) -> u16 {
        let known = self.class.load(Ordering::Relaxed);
        if known != UNKNOWN {
            return known;
        }
        let class = order.class(self.place, value);
        self.class.store(class, Ordering::Relaxed);
        class
    }

    /// The calling thread is about to take the lock and may have to wait for it.
    pub(super) fn will_wait(&self, value: &'static str, way: Way) {
        let Some((order, held)) = host().held_locks() else { return };
        let class = self.class(order, value);
        for above in held.nodes() {
            if let Err(found) = order.learn(above, class, way) {
                order.report(&found);
            }
        }
    }

    /// The calling thread has it.
    pub(super) fn taken(&self, value: &'static str, way: Way) {
        if let Some((order, held)) = host().held_locks() {
            held.push(Node::new(self.class(order, value), way));
        }
    }

    /// The calling thread gives it back.
    pub(super) fn given_back(&self, way: Way) {
        if let Some((_, held)) = host().held_locks() {
            held.remove(Node::new(self.class.load(Ordering::Relaxed), way));
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{HeldLocks, LockOrder, Node, Way};
    use core::panic::Location;
    use std::boxed::Box;

    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }

    fn three(order: &LockOrder) -> [u16; 3] {
        [order.class(here(), "a"), order.class(here(), "b"), order.class(here(), "c")]
    }

    fn written(class: u16) -> Node {
        Node::new(class, Way::Write)
    }

    fn read(class: u16) -> Node {
        Node::new(class, Way::Read)
    }

    #[test]
    fn an_order_by_way_of_a_third_lock_contradicts() {
        let order = Box::new(LockOrder::new());
        let [a, b, c] = three(&order);
        assert!(order.learn(written(a), b, Way::Write).is_ok() && order.learn(written(b), c, Way::Write).is_ok());
        assert!(order.learn(written(a), c, Way::Write).is_ok() && order.learn(written(a), a, Way::Write).is_ok());
        assert!(order.learn(written(c), a, Way::Write).is_err(), "c is under a by way of b");
        assert!(order.learn(written(b), a, Way::Write).is_err());
    }

    #[test]
    fn an_order_learned_last_counts_for_all_above() {
        let order = Box::new(LockOrder::new());
        let [a, b, c] = three(&order);
        assert!(order.learn(written(b), c, Way::Write).is_ok() && order.learn(written(a), b, Way::Write).is_ok());
        assert!(order.learn(written(c), a, Way::Write).is_err());
    }

    #[test]
    fn readers_wait_for_writers_alone() {
        let order = Box::new(LockOrder::new());
        let [a, b, _] = three(&order);
        assert!(order.learn(read(a), b, Way::Read).is_ok());
        assert!(order.learn(read(b), a, Way::Read).is_ok(), "two readers do not wait for each other");
        assert!(order.learn(written(b), a, Way::Read).is_ok(), "nor does a writer who only reads the other");
        assert!(order.learn(written(b), a, Way::Write).is_err(), "but one who writes it");
        assert!(order.learn(written(a), b, Way::Read).is_err());
    }

    #[test]
    fn classes_differ_by_place_and_value() {
        let order = Box::new(LockOrder::new());
        let place = here();
        let first = order.class(place, "one");
        assert_eq!(first, order.class(place, "one"));
        assert_ne!(first, order.class(place, "two"));
        assert_ne!(first, order.class(here(), "one"));
        assert!(order.describe(first).starts_with("one (") && order.describe(first).contains("order.rs"));
    }

    #[test]
    fn locks_are_given_back_in_any_order() {
        let held = HeldLocks::default();
        for class in [1, 2, 1, 3] {
            held.push(written(class));
        }
        held.remove(written(1));
        assert!(held.nodes().eq([1, 2, 3].map(written)));
        held.remove(written(2));
        held.remove(read(3));
        assert!(held.nodes().eq([1, 3].map(written)));
    }

    #[test]
    fn locks_taken_both_ways_are_noticed() {
        let (one, two) = (crate::sync::Mutex::new(1u8), crate::sync::RwLock::new(2u16));
        let first = one.lock();
        drop(two.read());
        drop(first);
        let turned = std::thread::scope(|scope| {
            let other = || {
                let _second = two.write();
                drop(one.lock());
            };
            scope.spawn(other).join()
        });
        assert!(turned.is_err(), "the other way round");
    }
}
