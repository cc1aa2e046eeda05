//! Random bytes of the host, some asked for ahead: programs and the kernel want a few at a time, and each question is a
//! host call.

use litebox::sync::Mutex;

use crate::host::call::{host_call, nr};
use crate::host::published::Published;

/// How many bytes are asked for at once.
const AHEAD: usize = 512;
/// More than this is asked for directly.
const SMALL: usize = 64;

/// Random bytes that nobody has had yet.
pub(crate) struct Entropy(Mutex<Ahead>);

/// This sandbox's.
pub(crate) static ENTROPY: Published<Entropy> = Published::nothing();

struct Ahead {
    bytes: [u8; AHEAD],
    left: usize,
}

impl Entropy {
    /// Nothing is there yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Ahead { bytes: [0; AHEAD], left: 0 }))
    }

    fn take(&self, out: &mut [u8]) {
        let mut ahead = self.0.lock();
        if ahead.left < out.len() {
            by_host(&mut ahead.bytes);
            ahead.left = AHEAD;
        }
        let left = ahead.left;
        ahead.left -= out.len();
        if let Some(bytes) = left.checked_sub(out.len()).and_then(|from| ahead.bytes.get_mut(from..left)) {
            out.copy_from_slice(bytes);
            // What somebody was given is nowhere else.
            bytes.fill(0);
        }
    }
}

/// Fills `out`.
pub(crate) fn fill(out: &mut [u8]) {
    match ENTROPY.try_get() {
        Some(entropy) if out.len() <= SMALL => entropy.take(out),
        _ => by_host(out),
    }
}

fn by_host(out: &mut [u8]) {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|r| !r.is_empty()) {
        // SAFETY: the host writes at most the rest's length.
        done += unsafe { host_call!(nr::GETRANDOM, rest.as_mut_ptr(), rest.len(), 0) }.unwrap_or(0);
    }
}
