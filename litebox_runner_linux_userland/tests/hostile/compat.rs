//! 32-bit programs at the boundary: `guests/compromised_compat.c` goes into 64-bit code by a far call, and jumps to the
//! host-call gadget from there.

use std::fs;

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{Result, skip};

use super::{LAST_NUMBER, Scene, Way, allowed, check_harmless, check_refused, refused_calls};

const GUEST: &str = "compromised_compat";

/// Calls that the filter must refuse.
const REFUSED: &[&str] = &[
    "clone-newuser",
    "prctl-dumpable",
    "prctl-seccomp",
    "set-thread-area",
    "modify-ldt",
    "i386-set-thread-area",
    "i386-modify-ldt",
    "execve-uncaught",
    "open-uncaught",
];
/// What such a program may do to itself: anything in `r15` and behind its segments, and nothing where memory was.
const HARMLESS: &[&str] = &[
    "far-uncaught",
    "r15-own",
    "r15-own-code",
    "r15-high",
    "r15-kernel",
    "bases-kernel",
    "bases-high",
    "bases-none",
    "fake-frame",
    "patched-gate",
    "no-data",
    "no-stack",
    "trap-flag",
];
const CRIPPLING: &str = "into-the-kernel";

fn scene(name: &str) -> std::result::Result<Scene, libtest_mimic::Failed> {
    let scene = Scene { guest: GUEST, ..Scene::set(name)? };
    fs::copy(compile::guest("compromised_compat.c", Variant::M32, &[])?, scene.dir.join("guests").join(GUEST))?;
    Ok(scene)
}

/// A sample: the filter is the one that the tests of all numbers ask.
pub fn refused_calls_of_32_bits() -> Result {
    if litebox_test_support::host_only() {
        return Ok(());
    }
    if let Some(why) = Variant::M32.missing() {
        return skip(&why);
    }
    let allowed = allowed()?;
    let sample = |from| (from..=LAST_NUMBER).step_by(37);
    refused_calls(scene("refused32")?, "64", Way::Plain, sample(2).filter(|number| !allowed.contains(number)))?;
    refused_calls(scene("refused32")?, "x32", Way::Plain, sample(1))?;
    refused_calls(scene("refused32")?, "i386", Way::WithoutNamespaces, sample(3))
}

/// What they do to themselves reaches nobody else.
pub fn attacks_of_32_bits() -> Result {
    if litebox_test_support::host_only() {
        return Ok(());
    }
    if let Some(why) = Variant::M32.missing() {
        return skip(&why);
    }
    let mut scene = scene("attacks32")?;
    let mut wrong = Vec::new();
    // Without dispatch calls by `int $0x80` are caught wherever they are made.
    for name in REFUSED {
        wrong.extend(check_refused(&scene, Way::Plain, name)?);
    }
    for way in [Way::Plain, Way::WithoutDispatch] {
        for name in HARMLESS {
            wrong.extend(check_harmless(&scene, way, name, false)?);
        }
    }
    wrong.extend(check_harmless(&scene, Way::Plain, CRIPPLING, true)?);
    scene.untouched()?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}
