//! Sets of calls, as `strace -e trace=` names them.

use alloc::format;
use alloc::string::String;

use crate::{Arch, Call, calls};

/// Numbers above this are in no set.
const MOST: usize = 512;
const WORDS: usize = MOST / 64;

/// Calls by number, of each architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallSet {
    x86_64: [u64; WORDS],
    x86: [u64; WORDS],
}

/// Calls of a class that no property of their rows tells.
const PROCESS: &[&str] = &[
    "clone",
    "clone3",
    "fork",
    "vfork",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "wait4",
    "waitid",
    "waitpid",
    "kill",
    "tkill",
    "tgkill",
    "pidfd_open",
    "pidfd_send_signal",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
];
const DESCRIPTORS_WITHOUT_ONE: &[&str] = &[
    "open",
    "creat",
    "pipe",
    "pipe2",
    "eventfd",
    "eventfd2",
    "epoll_create",
    "epoll_create1",
    "memfd_create",
    "mmap",
    "mmap2",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "_newselect",
    "inotify_init",
    "inotify_init1",
    "pidfd_open",
    "timerfd_create",
    "socket",
    "socketpair",
    "ppoll_time64",
    "pselect6_time64",
];
const CREDENTIALS: &[&str] = &["uid", "gid", "groups", "capget", "capset", "prctl"];

impl CallSet {
    /// No calls.
    pub const NONE: Self = Self { x86_64: [0; WORDS], x86: [0; WORDS] };
    /// All calls.
    pub const ALL: Self = Self { x86_64: [u64::MAX; WORDS], x86: [u64::MAX; WORDS] };

    const fn words(&self, arch: Arch) -> &[u64; WORDS] {
        match arch {
            Arch::X86_64 => &self.x86_64,
            Arch::X86 => &self.x86,
        }
    }
    fn words_mut(&mut self, arch: Arch) -> &mut [u64; WORDS] {
        match arch {
            Arch::X86_64 => &mut self.x86_64,
            Arch::X86 => &mut self.x86,
        }
    }
    /// Whether the call with this number is one of them. Numbers that no call has are in the set of all calls.
    pub fn has(&self, arch: Arch, number: u32) -> bool {
        match self.words(arch).get(number as usize / 64) {
            Some(word) => word & 1 << (number % 64) != 0,
            None => *self == Self::ALL,
        }
    }
    fn add(&mut self, call: &Call) {
        for arch in [Arch::X86_64, Arch::X86] {
            let Some(number) = call.number(arch) else { continue };
            if let Some(word) = self.words_mut(arch).get_mut(number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        }
    }
    /// As numbers, for [`CallSet::of`].
    pub fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        self.x86_64.into_iter().chain(self.x86)
    }
    /// From numbers; `None`: they are not as many as a set has.
    pub fn of(numbers: &[u64]) -> Option<Self> {
        let (first, second) = numbers.split_first_chunk()?;
        Some(Self { x86_64: *first, x86: second.try_into().ok()? })
    }
    /// `openat,read`, `%file`, `file`, `!futex`: names and classes, or all but these.
    pub fn named(list: &str) -> Result<Self, String> {
        let list = list.strip_prefix("trace=").unwrap_or(list);
        let (others, list) = list.strip_prefix('!').map_or((false, list), |list| (true, list));
        let mut set = Self::NONE;
        for word in list.split(',') {
            set.add_named(word)?;
        }
        if others {
            set.x86_64 = set.x86_64.map(|word| !word);
            set.x86 = set.x86.map(|word| !word);
        }
        Ok(set)
    }
    fn add_named(&mut self, word: &str) -> Result<(), String> {
        match word {
            "all" => *self = Self::ALL,
            "none" => {}
            _ => {
                let class = is_in_class(word.strip_prefix('%').unwrap_or(word));
                let is_meant = |call: &Call| class.map_or(call.name == word, |is_in| is_in(call));
                let mut known = false;
                for call in calls().filter(is_meant) {
                    self.add(&call);
                    known = true;
                }
                if !known {
                    return Err(format!(
                        "no call and no class of calls is named \"{word}\" (classes: file, process, network, signal, ipc, \
                         desc, memory, creds; `litebox syscalls` lists the calls)"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Which calls a class has.
fn is_in_class(class: &str) -> Option<fn(&Call) -> bool> {
    Some(match class {
        "file" => |call| {
            let is_path = |(name, kind): (&str, &str)| kind == "UserStr" && PATHS.contains(&name);
            call.arguments().any(is_path) || call.name == "getcwd"
        },
        "process" => |call| PROCESS.contains(&call.name),
        "network" | "net" => |call| call.family == "Networking" || call.name == "socketcall",
        "signal" => |call| {
            call.family == "Signals"
                || call.name.starts_with("signalfd")
                || call.arguments().any(|(_, kind)| kind == "Signal")
        },
        "ipc" => |call| call.family == "Interprocess communication" || call.name == "ipc",
        "desc" => |call| {
            let is_one = |(_, kind): (&str, &str)| kind == "RawFd" || kind == "DirFd";
            call.arguments().any(is_one) || DESCRIPTORS_WITHOUT_ONE.contains(&call.name)
        },
        "memory" => |call| call.family == "Memory" || ["mmap2", "old_mmap", "shmat", "shmdt"].contains(&call.name),
        "creds" => |call| CREDENTIALS.iter().any(|part| call.name.contains(part)) && !call.name.contains("pgid"),
        _ => return None,
    })
}

/// How arguments are called that are paths.
const PATHS: &[&str] = &["path", "old", "new", "target", "source", "new_root", "put_old", "from", "to", "special"];

#[cfg(test)]
mod tests {
    use super::CallSet;
    use crate::Arch;

    const OPENAT: u32 = 257;
    const READ: u32 = 0;
    const SOCKET: u32 = 41;

    fn has(list: &str) -> [bool; 3] {
        let Ok(set) = CallSet::named(list) else { panic!("{list}") };
        [OPENAT, READ, SOCKET].map(|number| set.has(Arch::X86_64, number))
    }

    #[test]
    fn names_and_classes() {
        assert_eq!(has("openat,socket"), [true, false, true]);
        assert_eq!(has("trace=!read"), [true, false, true]);
        assert_eq!(has("%file"), [true, false, false]);
        assert_eq!(has("file,network"), [true, false, true]);
        assert_eq!(has("desc"), [true, true, true]);
        assert_eq!(has("all"), [true; 3]);
        assert_eq!(has("none"), [false; 3]);
        assert!(CallSet::named("opnat").is_err() && CallSet::named("").is_err());
        // In the manner of 32-bit programs as well.
        assert!(CallSet::named("openat").is_ok_and(|set| set.has(Arch::X86, 295) && !set.has(Arch::X86, 5)));
        assert!(CallSet::ALL.has(Arch::X86_64, 9999) && !CallSet::NONE.has(Arch::X86_64, 9999));
    }

    #[test]
    fn survives_the_way() {
        let Ok(set) = CallSet::named("%memory") else { panic!() };
        let numbers: alloc::vec::Vec<u64> = set.numbers().collect();
        assert_eq!(CallSet::of(&numbers), Some(set));
        assert_eq!(CallSet::of(&numbers[1..]), None);
    }
}
