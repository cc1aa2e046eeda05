//! `siginfo_t` of 32-bit programs. Where its fields lie depends on what the signal is about (`siginfo_layout` of
//! Linux).

use litebox_common_linux::Arch;

use super::SignalInfo;
use super::set::{SI_KERNEL, SI_TIMER, SI_USER, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
use crate::user::word;

/// `si_code` of O_ASYNC, when it is not told why.
const SI_SIGIO: i32 = -5;

/// What a signal tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    /// Who sent it.
    Sender,
    /// A timer.
    Timer,
    /// An open file.
    File,
    /// A fault; what is behind the address, if anything.
    Fault(Beyond),
    /// A child.
    Child,
    /// Who queued it, and a value.
    Queued,
    /// A call.
    Call,
}

/// What a fault tells beyond its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beyond {
    Nothing,
    /// How many low bits of the address mean nothing.
    Granularity,
    /// Two bounds.
    Bounds,
    /// A protection key.
    Key,
}

impl About {
    fn of(signal: i32, code: i32) -> Self {
        /// The reasons of SIGIO.
        const MOST_REASONS: i32 = 6;
        if !(SI_USER + 1..SI_KERNEL).contains(&code) {
            return match code {
                SI_TIMER => Self::Timer,
                SI_SIGIO => Self::File,
                ..SI_USER => Self::Queued,
                _ => Self::Sender,
            };
        }
        match (signal, code) {
            (SIGBUS, 4..=5) => Self::Fault(Beyond::Granularity),
            (SIGSEGV, 3) => Self::Fault(Beyond::Bounds),
            (SIGSEGV, 4) => Self::Fault(Beyond::Key),
            (SIGILL, ..=11) | (SIGFPE, ..=15) | (SIGSEGV, ..=10) | (SIGBUS, ..=5) | (SIGTRAP, ..=6) => {
                Self::Fault(Beyond::Nothing)
            }
            (SIGCHLD, ..=6) => Self::Child,
            (SIGSYS, ..=2) => Self::Call,
            (_, ..=MOST_REASONS) => Self::File,
            _ => Self::Sender,
        }
    }

    /// The words of both layouts that are the same: (index in the fields of a 64-bit program, index in those of a
    /// 32-bit one). Of wider fields it is the low half.
    fn words(self) -> &'static [(usize, usize)] {
        match self {
            Self::Sender => &[(0, 0), (1, 1)],
            Self::Timer | Self::Queued => &[(0, 0), (1, 1), (2, 2)],
            Self::File | Self::Fault(Beyond::Granularity) => &[(0, 0), (2, 1)],
            Self::Fault(Beyond::Nothing) => &[(0, 0)],
            Self::Fault(Beyond::Bounds) => &[(0, 0), (4, 2), (6, 3)],
            Self::Fault(Beyond::Key) => &[(0, 0), (4, 2)],
            Self::Child => &[(0, 0), (1, 1), (2, 2), (4, 3), (6, 4)],
            Self::Call => &[(0, 0), (2, 1), (3, 2)],
        }
    }

    /// Of those, which are the low halves of signed numbers.
    fn signed(self) -> &'static [usize] {
        match self {
            Self::File => &[0],
            Self::Child => &[4, 6],
            _ => &[],
        }
    }
}

impl SignalInfo {
    /// The image that a program of `arch` sees.
    pub(crate) fn image(&self, arch: Arch) -> [u8; Self::SIZE] {
        match arch {
            Arch::X86_64 => self.to_bytes(),
            Arch::X86 => self.as_bytes32(),
        }
    }

    /// From the image of a program of `arch`; the number is the caller's, as rt_sigqueueinfo(2) says.
    pub(crate) fn from_image(arch: Arch, signal: i32, raw: &[u8; Self::SIZE]) -> Self {
        match arch {
            Arch::X86_64 => Self::from_bytes(signal, raw),
            Arch::X86 => Self::from_bytes32(signal, raw),
        }
    }

    /// The image that a 32-bit program sees.
    pub(super) fn as_bytes32(&self) -> [u8; Self::SIZE] {
        let mut raw = [0u8; Self::SIZE];
        let (head, fields) = raw.split_at_mut(HEAD);
        for (to, number) in head.chunks_exact_mut(4).zip([self.signal, self.errno, self.code]) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        for (from, to) in About::of(self.signal, self.code).words() {
            let half: [u8; 4] = word(&self.fields, from * 4);
            if let Some(to) = fields.get_mut(to * 4..to * 4 + 4) {
                to.copy_from_slice(&half);
            }
        }
        raw
    }

    /// From a 32-bit program's image.
    fn from_bytes32(signal: i32, raw: &[u8; Self::SIZE]) -> Self {
        let number = |at: usize| i32::from_le_bytes(word(raw, at));
        let mut info = Self { signal, errno: number(4), code: number(8), fields: [0; 112], timer: 0 };
        let about = About::of(signal, info.code);
        for (to, from) in about.words() {
            let half = number(HEAD + from * 4);
            let wide = if about.signed().contains(to) { i64::from(half) as u64 } else { u64::from(half as u32) };
            let len = if about.signed().contains(to) { 8 } else { 4 };
            if let Some(to) = info.fields.get_mut(to * 4..to * 4 + len) {
                to.copy_from_slice(wide.to_le_bytes().get(..len).unwrap_or_default());
            }
        }
        info
    }
}

/// Number, errno, code.
const HEAD: usize = 12;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{About, Beyond, SignalInfo};
    use crate::signal::set::{SIGBUS, SIGCHLD, SIGSEGV, SIGSYS};

    #[test]
    fn a_code_says_what_a_signal_is_about() {
        for (signal, code, about) in [
            (10, 0, About::Sender),
            (10, -1, About::Queued),
            (10, -6, About::Queued),
            (14, 0x80, About::Sender),
            (34, -2, About::Timer),
            (SIGSEGV, 1, About::Fault(Beyond::Nothing)),
            (SIGSEGV, 3, About::Fault(Beyond::Bounds)),
            (SIGSEGV, 0x80, About::Sender),
            (SIGBUS, 4, About::Fault(Beyond::Granularity)),
            (SIGCHLD, 1, About::Child),
            (SIGSYS, 1, About::Call),
            (10, 1, About::File),
            (10, 7, About::Sender),
        ] {
            assert_eq!(About::of(signal, code), about, "{signal} {code}");
        }
    }

    #[test]
    fn fields_move_and_come_back() {
        let times = (Duration::from_millis(20), Duration::from_millis(30));
        let info = SignalInfo::child(SIGCHLD, 1, 7, 1000, 3, times);
        let raw = info.as_bytes32();
        let word = |at: usize| i32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        assert_eq!([0, 4, 8, 12, 16, 20, 24, 28, 32].map(word), [SIGCHLD, 0, 1, 7, 1000, 3, 2, 3, 0]);
        assert_eq!(SignalInfo::from_bytes32(SIGCHLD, &raw), info);
        let fault = SignalInfo::fault(SIGSEGV, 1, 0xf000_0000);
        assert_eq!(SignalInfo::from_bytes32(SIGSEGV, &fault.as_bytes32()), fault);
    }
}
