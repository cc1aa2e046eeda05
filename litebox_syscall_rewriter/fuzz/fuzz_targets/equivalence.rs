//! Patched code does what the original does: `cargo fuzz run -s none equivalence` in `litebox_syscall_rewriter`.
//!
//! The input describes code around a `syscall`, which is executed as it is and patched (`tests/side_by_side`).
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/side_by_side/mod.rs"]
mod side_by_side;

fuzz_target!(|data: &[u8]| {
    let _ = side_by_side::compare(data);
});
