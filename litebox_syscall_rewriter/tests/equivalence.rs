//! Patched code does what the original does: code around a `syscall` is executed as it is and patched, from its
//! beginning, from the call and from every instruction behind it, and all registers, flags and memory are compared.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what is not there is a failed test")]
#![expect(clippy::unused_self, reason = "who has the machine may use what there is once")]

mod side_by_side;

use std::sync::atomic::{AtomicU32, Ordering};

use litebox_syscall_rewriter::{PatchKind, Refusal};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use side_by_side::{Done, compare};

#[test]
fn patched_code_behaves_as_the_original() {
    let (before, after, refused) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let mut runner = TestRunner::new(Config { cases: 20_000, failure_persistence: None, ..Config::default() });
    let result = runner.run(&proptest::collection::vec(any::<u8>(), 0..200), |bytes| {
        let count = match compare(&bytes) {
            Done::Same(PatchKind::Before) => &before,
            Done::Same(PatchKind::After) => &after,
            Done::Same(PatchKind::Cpuid | PatchKind::CpuidLoad) => unreachable!("nobody asked for one"),
            Done::Refused(why) => {
                prop_assert_ne!(why, Refusal::NotSyscall);
                &refused
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    result.unwrap();
    let counts = [before, after, refused].map(AtomicU32::into_inner);
    assert!(counts.into_iter().all(|n| n > 1000), "before, after, refused: {counts:?}");
}
