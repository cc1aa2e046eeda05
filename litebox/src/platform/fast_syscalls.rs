//! Calls that a word answers.
//!
//! Some calls of a guest thread only ask for a number that the North keeps in one word (who it is), or exchange it
//! (umask(2)). The host may answer those where they enter, without saving what a call of the North may change and
//! without telling it. The table is the North's: it says which calls these are and where the words lie. Only the thread
//! itself, or whoever makes it, puts calls there; another thread may take them all away.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Slots of the table; a call's is that of the lowest bits of its number.
pub const SLOTS: usize = 16;

/// One call. Hosts read it in assembly.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    /// Its number; one that belongs to another slot when there is none.
    pub number: AtomicU32,
    /// The bits of the first argument that become the word's value; 0: it stays as it is.
    pub taken: AtomicU32,
    /// The word: what it held is the answer.
    pub word: AtomicPtr<u32>,
}

/// The calls of one thread that words answer, and how many calls it made.
#[derive(Debug)]
#[repr(C)]
pub struct FastSyscalls {
    /// Calls that the thread has made, the answered ones among them; counted by the thread alone.
    pub calls: AtomicU64,
    /// The table.
    pub slots: [Slot; SLOTS],
}

/// The number in a slot that nobody uses: one that belongs to another slot.
const fn unused(index: usize) -> u32 {
    index as u32 + 1
}

impl Default for FastSyscalls {
    fn default() -> Self {
        let empty = |i: usize| Slot {
            number: AtomicU32::new(unused(i)),
            taken: AtomicU32::new(0),
            word: AtomicPtr::new(core::ptr::null_mut()),
        };
        Self { calls: AtomicU64::new(0), slots: core::array::from_fn(empty) }
    }
}

impl FastSyscalls {
    /// From now on `word` answers the call `number`. Where another call has the slot already, that one keeps it.
    ///
    /// # Safety
    /// The word is aligned and can be read as long as the thread runs, or until the slot is given another one; written,
    /// too, if bits are taken.
    pub unsafe fn set(&self, number: u32, word: *const u32, taken: u32) {
        let index = number as usize % SLOTS;
        let slot = &self.slots[index];
        let held = slot.number.load(Ordering::Relaxed);
        if held != number && held as usize % SLOTS == index {
            return;
        }
        slot.word.store(word.cast_mut(), Ordering::Relaxed);
        slot.taken.store(taken, Ordering::Relaxed);
        slot.number.store(number, Ordering::Relaxed);
    }
    /// No call is answered by a word any more, but for one that is just being answered.
    pub fn clear(&self) {
        for (i, slot) in self.slots.iter().enumerate() {
            slot.number.store(unused(i), Ordering::Relaxed);
        }
    }
    /// Counts a call. Only the thread itself counts, so this needs no atomic addition.
    #[inline]
    pub fn count_call(&self) {
        self.calls.store(self.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_finds_an_empty_slot_and_none_takes_that_of_another() {
        let fast_syscalls = FastSyscalls::default();
        for (i, slot) in fast_syscalls.slots.iter().enumerate() {
            assert_ne!(slot.number.load(Ordering::Relaxed) as usize % SLOTS, i);
        }
        let (first, second) = (AtomicU32::new(1), AtomicU32::new(2));
        // SAFETY: the words outlive the table.
        unsafe {
            fast_syscalls.set(39, first.as_ptr(), 0);
            fast_syscalls.set(39 + SLOTS as u32, second.as_ptr(), 0);
        }
        let slot = &fast_syscalls.slots[39 % SLOTS];
        assert_eq!((slot.number.load(Ordering::Relaxed), slot.word.load(Ordering::Relaxed)), (39, first.as_ptr()));
    }
}
