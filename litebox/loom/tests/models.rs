//! The models. Each is small: two or three threads, one or two steps each.
#![cfg(loom)]

use std::sync::Arc;

use litebox::Error;
use litebox::event::{Events, Observer, WaitQueue, Waiter};
use litebox::futex_table::{FutexTable, Key, WaitSpec};
use litebox::sync::{Mutex, RwLock};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use loom::thread;

/// All orders with at most so many preemptions.
fn model(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(test);
}

/// What only one thread may touch at a time; loom notices two.
#[derive(Default)]
struct Guarded(UnsafeCell<u32>);

impl Guarded {
    fn add_one(&self) {
        // SAFETY: what the model is about; loom panics when somebody else touches it.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }
    fn value(&self) -> u32 {
        // SAFETY: as above.
        self.0.with(|value| unsafe { *value })
    }
}

#[test]
fn a_mutex_admits_one() {
    model(2, || {
        let lock = Arc::new(Mutex::new(Guarded::default()));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || lock.lock().add_one())
            })
            .collect();
        lock.lock().add_one();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(lock.lock().value(), 3);
    });
}

#[test]
fn a_mutex_that_is_tried_stays_the_holders() {
    model(3, || {
        let lock = Arc::new(Mutex::new(Guarded::default()));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || lock.lock().add_one())
        };
        if let Some(held) = lock.try_lock() {
            held.add_one();
        }
        other.join().unwrap();
        assert!(lock.lock().value() >= 1);
    });
}

#[test]
fn readers_share_and_writers_do_not() {
    model(2, || {
        let lock = Arc::new(RwLock::new(Guarded::default()));
        let writer = {
            let lock = lock.clone();
            thread::spawn(move || lock.write().add_one())
        };
        let reader = {
            let lock = lock.clone();
            thread::spawn(move || lock.read().value())
        };
        assert!(lock.read().value() <= 1);
        writer.join().unwrap();
        assert!(reader.join().unwrap() <= 1);
        assert_eq!(lock.read().value(), 1);
    });
}

#[test]
fn two_writers_and_a_reader_all_come_in() {
    model(1, || {
        let lock = Arc::new(RwLock::new(Guarded::default()));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || lock.write().add_one())
        };
        let reader = {
            let lock = lock.clone();
            thread::spawn(move || lock.read().value())
        };
        lock.write().add_one();
        other.join().unwrap();
        assert!(reader.join().unwrap() <= 2);
        assert_eq!(lock.read().value(), 2);
    });
}

#[test]
fn a_waiter_misses_no_wake_up() {
    model(4, || {
        let (waiter, done) = (Waiter::new(), Arc::new(AtomicBool::new(false)));
        let waker = {
            let (waiter, done) = (waiter.clone(), done.clone());
            thread::spawn(move || {
                done.store(true, Ordering::Release);
                waiter.wake();
            })
        };
        loop {
            let ticket = waiter.ticket();
            if done.load(Ordering::Acquire) {
                break;
            }
            assert_eq!(waiter.sleep(ticket, None), Ok(()));
        }
        waker.join().unwrap();
    });
}

#[test]
fn a_signal_ends_the_sleep_or_the_next_one() {
    model(4, || {
        let waiter = Waiter::new();
        let sender = {
            let waiter = waiter.clone();
            thread::spawn(move || waiter.interrupt())
        };
        while waiter.sleep(waiter.ticket(), None) != Err(Error::Interrupted) {}
        sender.join().unwrap();
    });
}

#[test]
fn a_wake_up_and_a_signal_at_once_are_both_heard() {
    model(2, || {
        let (waiter, done) = (Waiter::new(), Arc::new(AtomicBool::new(false)));
        let waker = {
            let (waiter, done) = (waiter.clone(), done.clone());
            thread::spawn(move || {
                done.store(true, Ordering::Release);
                waiter.wake();
            })
        };
        let sender = {
            let waiter = waiter.clone();
            thread::spawn(move || waiter.interrupt())
        };
        let (mut interrupted, mut ready) = (false, false);
        while !(interrupted && ready) {
            let ticket = waiter.ticket();
            ready = done.load(Ordering::Acquire);
            if ready && interrupted {
                break;
            }
            if waiter.sleep(ticket, None) == Err(Error::Interrupted) {
                interrupted = true;
                waiter.clear_interrupt();
            }
        }
        waker.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn who_stands_in_a_queue_is_told() {
    model(3, || {
        let (queue, ready) = (Arc::new(WaitQueue::new()), Arc::new(AtomicBool::new(false)));
        let notifier = {
            let (queue, ready) = (queue.clone(), ready.clone());
            thread::spawn(move || {
                ready.store(true, Ordering::Release);
                queue.notify(Events::IN);
            })
        };
        let waiter = Waiter::new();
        let observer: Arc<dyn Observer> = waiter.clone();
        queue.add(&observer, Events::IN);
        // Loom takes the queue's sequentially consistent count for a weaker one; on x86 its store is this barrier.
        fence(Ordering::SeqCst);
        loop {
            let ticket = waiter.ticket();
            if ready.load(Ordering::Acquire) {
                break;
            }
            assert_eq!(waiter.sleep(ticket, None), Ok(()));
        }
        queue.remove(&observer);
        assert!(queue.is_empty());
        notifier.join().unwrap();
    });
}

/// Its name is a number of the model's: an address, and with it a bucket, would differ from one execution to the next.
fn spec(word: &AtomicU32, name: usize) -> WaitSpec {
    WaitSpec { key: Key::Private(1, name), addr: core::ptr::from_ref(word) as usize, expected: 0, bitset: u32::MAX }
}

#[test]
fn a_futex_misses_no_wake_up() {
    model(3, || {
        let shared = Arc::new((FutexTable::new(), AtomicU32::new(0)));
        let waker = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (table, word) = &*shared;
                word.store(1, Ordering::SeqCst);
                assert!(table.wake(&spec(word, 1).key, 1, u32::MAX).is_ok());
            })
        };
        let (table, word) = &*shared;
        let outcome = table.wait(&Waiter::new(), &[spec(word, 1)], None);
        assert!(matches!(outcome, Ok(0) | Err(Error::WouldBlock)));
        waker.join().unwrap();
    });
}

#[test]
fn a_futex_that_is_moved_is_woken_where_it_is() {
    model(2, || {
        let shared = Arc::new((FutexTable::new(), AtomicU32::new(0), AtomicU32::new(0)));
        let mover = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (table, from, to) = &*shared;
                let (from, to) = (spec(from, 1), spec(to, 2));
                // Nobody is woken; whoever sleeps already is moved, and woken there.
                let (_, moved) = table.requeue(&from.key, &to.key, 0, 1, None).unwrap();
                let woken = table.wake(&to.key, 1, u32::MAX).unwrap();
                assert_eq!(woken, moved);
                if moved == 0 {
                    shared.1.store(1, Ordering::SeqCst);
                    assert!(table.wake(&from.key, 1, u32::MAX).is_ok());
                }
            })
        };
        let (table, from, _) = &*shared;
        let outcome = table.wait(&Waiter::new(), &[spec(from, 1)], None);
        assert!(matches!(outcome, Ok(0) | Err(Error::WouldBlock)));
        mover.join().unwrap();
    });
}
