//! The floating-point state of a thread in a call that entered fast: how the host lays it out in its frames, and saving
//! it the same way.

use core::sync::atomic::{AtomicU64, Ordering};

use super::FP;
use crate::host::published::Published;
use crate::host::thread_block::{self, FP_ROOM};

const FX_SIZE: usize = 512;
const HEADER_LEN: usize = 64;
const MXCSR: usize = 24;
const SW_RESERVED: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// The components that are in the legacy area.
const SSE: u64 = 2;

/// How the host lays out an xsave area in its frames: learned from the first one.
#[derive(Debug, Default)]
pub(crate) struct FrameLayout {
    /// Mask of MXCSR, and the six words that describe the area.
    words: [AtomicU64; 7],
}

/// What this host's signal frames look like.
pub(crate) static FRAME_LAYOUT: Published<FrameLayout> = Published::nothing();

impl FrameLayout {
    /// Takes it from a frame of the host; `false` when this host's areas are not served here.
    pub(crate) fn learn(&self, fp: Option<&[u8]>) -> bool {
        if self.known() {
            return true;
        }
        let Some(fp) = fp else { return false };
        let word = |at: usize| fp.get(at..at + 8)?.first_chunk::<8>().map(|b| u64::from_le_bytes(*b));
        let Some(mxcsr) = word(MXCSR) else { return false };
        let mut words = [mxcsr >> 32; 7];
        for (i, to) in words.iter_mut().enumerate().skip(1) {
            let Some(found) = word(SW_RESERVED + (i - 1) * 8) else { return false };
            *to = found;
        }
        let [_, sizes, features, size, ..] = words;
        let (magic, extended, size) = (sizes as u32, (sizes >> 32) as usize, size as u32 as usize);
        if magic != MAGIC1 || extended > FP_ROOM || size + 4 > extended || size < FX_SIZE + HEADER_LEN {
            return false;
        }
        if features & 3 != 3 {
            return false;
        }
        for (to, word) in self.words.iter().zip(words).rev() {
            to.store(word, Ordering::Release);
        }
        true
    }
    /// Whether one was seen.
    pub(crate) fn known(&self) -> bool {
        self.words[1].load(Ordering::Acquire) != 0
    }
    fn get(&self) -> [u64; 7] {
        core::array::from_fn(|i| self.words[i].load(Ordering::Acquire))
    }
}

/// Saves the floating-point state of the calling thread's guest: xmm registers are in the area already, everything else
/// is still in the processor.
pub(super) fn save_state() -> &'static mut [u8] {
    let Some(block) = thread_block::current() else { return &mut [] };
    let [mask, described @ ..] = FRAME_LAYOUT.get();
    let [sizes, features, size, ..] = described;
    let (extended, size) = ((sizes >> 32) as usize, size as u32 as usize);
    let at = block.this.wrapping_add_signed(FP);
    block.fast.features = features;
    // SAFETY: the area above the block is this thread's, FP_ROOM long, 64-byte aligned; the layout fits (checked when
    // it was learned). The processor saves the components that the host itself has in its frames, but for xmm.
    unsafe {
        ((at + FX_SIZE) as *mut [u64; HEADER_LEN / 8]).write([0; HEADER_LEN / 8]);
        let saved = features & !SSE;
        core::arch::asm!(
            "xsave64 [{at}]",
            "stmxcsr [{at} + 24]",
            at = in(reg) at,
            in("eax") saved as u32,
            in("edx") (saved >> 32) as u32,
            options(nostack, preserves_flags)
        );
        *((at + FX_SIZE) as *mut u64) |= SSE;
        ((at + MXCSR + 4) as *mut u32).write(mask as u32);
        for (i, word) in described.into_iter().enumerate() {
            ((at + SW_RESERVED + i * 8) as *mut u64).write(word);
        }
        ((at + size) as *mut u32).write_unaligned(MAGIC2);
        core::slice::from_raw_parts_mut(at as *mut u8, extended)
    }
}
