//! Random bytes: getrandom(2).

use super::named;

named! {
    /// getrandom(2)
    flags RandomFlags(u32) { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 }
}
