//! Pauses of random length where threads meet, for tests of races (feature `jitter`).
//!
//! A window of a few instructions between a look and what follows from it is hit once in thousands of runs. With pauses
//! at the places where threads meet (locks, the words that threads sleep on) the same tests find it in a few. Without
//! the feature this is nothing.

/// A place where another thread may come in between.
#[inline]
pub fn jitter() {
    #[cfg(feature = "jitter")]
    pause();
}

#[cfg(feature = "jitter")]
#[cold]
fn pause() {
    /// One call in eight pauses, for up to so many looks.
    const MOST: u64 = 0x1ff;
    // SAFETY: reads a counter of the processor.
    let time = unsafe { core::arch::x86_64::_rdtsc() };
    let chance = time.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    if chance % 8 == 0 {
        for _ in 0..(chance >> 4) & MOST {
            core::hint::spin_loop();
        }
    }
}
