//! seccomp(2): what a filter sees of a call, and what its result means.

pub mod bpf;

use crate::Arch;
use crate::abi::named;
use bpf::INPUT_WORDS;

named! {
    /// seccomp(2)
    choice SeccompOperation(u32) {
        SECCOMP_SET_MODE_STRICT = 0, SECCOMP_SET_MODE_FILTER = 1, SECCOMP_GET_ACTION_AVAIL = 2, SECCOMP_GET_NOTIF_SIZES = 3
    }
    /// seccomp(2)
    flags SeccompFlags(u32) {
        SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2, SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4,
        SECCOMP_FILTER_FLAG_NEW_LISTENER = 8, SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32
    }
}

/// Of a result: the part that says what is done, the other is a number for it.
const ACTION: u32 = 0xffff_0000;

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Action {
    /// The process dies of SIGSYS.
    KillProcess = 0x8000_0000,
    /// The thread ends.
    KillThread = 0,
    /// The thread gets SIGSYS.
    Trap = 0x0003_0000,
    /// The call fails.
    Errno = 0x0005_0000,
    /// Another program decides.
    UserNotif = 0x7fc0_0000,
    /// A tracer decides.
    Trace = 0x7ff0_0000,
    /// It is made, and logged.
    Log = 0x7ffc_0000,
    /// It is made.
    Allow = 0x7fff_0000,
}

impl Action {
    /// All there are with the names that /proc/sys/kernel/seccomp has for them, in its order.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::KillProcess, "kill_process"),
        (Self::KillThread, "kill_thread"),
        (Self::Trap, "trap"),
        (Self::Errno, "errno"),
        (Self::UserNotif, "user_notif"),
        (Self::Trace, "trace"),
        (Self::Log, "log"),
        (Self::Allow, "allow"),
    ];

    /// The action of that number, if there is one.
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().map(|(action, _)| action).find(|action| *action as u32 == number)
    }
}

/// The result of a filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict(pub u32);

impl Verdict {
    /// The call is made.
    pub const ALLOW: Self = Self(Action::Allow as u32);
    /// It is made, and told of.
    pub const LOG: Self = Self(Action::Log as u32);

    /// What is done. A result that means nothing kills the process.
    pub fn action(self) -> Action {
        Action::of(self.0 & ACTION).unwrap_or(Action::KillProcess)
    }
    /// The number that comes with it.
    pub fn data(self) -> u16 {
        self.0 as u16
    }
    /// Whether it counts rather than `other`: actions are ordered as signed numbers, the least wins.
    pub fn precedes(self, other: Self) -> bool {
        ((self.0 & ACTION) as i32) < (other.0 & ACTION) as i32
    }
}

/// `struct seccomp_data`: a call, as filters see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Data {
    /// Number of the call.
    pub number: u32,
    /// In whose manner it is made.
    pub arch: Arch,
    /// Where the program goes on behind it.
    pub instruction_pointer: u64,
    /// Its arguments. Those of 32-bit calls have no upper halves.
    pub arguments: [u64; 6],
}

/// Offset of `nr` in bytes.
pub const NUMBER_AT: u32 = 0;
/// Offset of `arch`.
pub const ARCH_AT: u32 = 4;
/// Offset of the low half of an argument; the high half is behind it.
pub const fn argument_at(index: u32) -> u32 {
    16 + 8 * index
}

/// What filters and SIGSYS call an architecture (`AUDIT_ARCH_X86_64`, `AUDIT_ARCH_I386`).
pub const fn audit_arch(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::X86 => 0x4000_0003,
    }
}

impl Data {
    /// The words of the structure.
    pub fn words(&self) -> [u32; INPUT_WORDS] {
        let mut words = [0; INPUT_WORDS];
        let wide = core::iter::once(self.instruction_pointer).chain(self.arguments);
        let halves = wide.flat_map(|word| [word as u32, (word >> 32) as u32]);
        let all = [self.number, audit_arch(self.arch)].into_iter().chain(halves);
        for (to, from) in words.iter_mut().zip(all) {
            *to = from;
        }
        words
    }
}

/// Numbers of calls.
const NUMBERS: usize = 512;

/// Numbers of calls of one architecture that pass whatever their arguments are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passing([u64; NUMBERS / 64]);

impl Passing {
    /// All that have a bit.
    pub const ALL: Self = Self([u64::MAX; NUMBERS / 64]);

    /// Its words, bit by bit from number 0 on.
    pub fn words(&self) -> &[u64; NUMBERS / 64] {
        &self.0
    }
    /// Whether a number is among them.
    pub fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 != 0)
    }
    /// Those that are among others, too.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|i| self.0.get(i).zip(other.0.get(i)).map_or(0, |(own, theirs)| own & theirs)))
    }
    /// Those of them that a program lets pass, too, when it knows nothing but number and architecture.
    #[must_use]
    pub fn narrowed_by(&self, program: &bpf::Program, arch: Arch) -> Self {
        let passes = |number: u32| {
            let known = |word| match word {
                0 => Some(number),
                1 => Some(audit_arch(arch)),
                _ => None,
            };
            program.run_with(known) == Some(Verdict::ALLOW.0)
        };
        let mut narrowed = [0u64; NUMBERS / 64];
        for number in (0..NUMBERS as u32).filter(|number| self.has(*number) && passes(*number)) {
            if let Some(word) = narrowed.get_mut(number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        }
        Self(narrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::bpf::{Compare, Instruction, Program};
    use super::*;

    #[test]
    fn the_least_action_wins_and_nonsense_kills() {
        let order = Action::ALL.map(|(action, _)| Verdict(action as u32 | 0xffff));
        assert!(order.windows(2).all(|pair| pair[0].precedes(pair[1]) && !pair[1].precedes(pair[0])));
        assert!(!Verdict(Action::Errno as u32 | 1).precedes(Verdict(Action::Errno as u32 | 2)));
        assert_eq!(Verdict(0x1234_5678).action(), Action::KillProcess);
        assert_eq!((Verdict(0x0005_0016).action(), Verdict(0x0005_0016).data()), (Action::Errno, 22));
    }

    #[test]
    fn the_words_are_those_of_the_structure() {
        let data = Data {
            number: 1,
            arch: Arch::X86_64,
            instruction_pointer: 0x1_0000_0002,
            arguments: [3 << 32 | 4, 0, 0, 0, 0, 5 << 32 | 6],
        };
        assert_eq!(data.words(), [1, 0xc000_003e, 2, 1, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, 6, 5]);
        assert_eq!(argument_at(5) / 4, 14);
    }

    #[test]
    fn calls_pass_ahead_only_where_no_argument_counts() {
        let allow = Instruction::ret(Verdict::ALLOW.0);
        let program = Program::new(&[
            Instruction::load(NUMBER_AT),
            Instruction::branch(Compare::Equal, 39, 3, 0),
            Instruction::branch(Compare::Equal, 1, 0, 3),
            Instruction::load(argument_at(0)),
            Instruction::branch(Compare::Equal, 1, 0, 1),
            allow,
            Instruction::ret(0),
        ]);
        let Some(Ok(program)) = program else { panic!("it is a program") };
        let passing = Passing::ALL.narrowed_by(&program, Arch::X86_64);
        assert!(passing.has(39) && !passing.has(1) && !passing.has(2) && !passing.has(600));
        assert_eq!(passing.words().iter().map(|word| word.count_ones()).sum::<u32>(), 1);
    }
}
