//! The first stack of a program: strings, argument vectors, auxiliary vector.

use alloc::vec;
use alloc::vec::Vec;

use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::Arch;

use super::compat::word_size;

/// Longest argument or environment string, with its zero (`MAX_ARG_STRLEN`).
const STRING_MAX: usize = 128 << 10;
/// All strings together never exceed three quarters of Linux's default stack.
const TOTAL_MAX: u64 = 6 << 20;
/// They always may have this much.
const TOTAL_MIN: u64 = 128 << 10;
/// Room below the stack pointer that a program has to start with.
pub(super) const START_ROOM: usize = 128 << 10;

const AT_NULL: u64 = 0;
const AT_PLATFORM: u64 = 15;
const AT_RANDOM: u64 = 25;
const AT_EXECFN: u64 = 31;

/// Argument vectors of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Arguments, without final zeros.
    pub argv: Vec<Vec<u8>>,
    /// Environment, without final zeros.
    pub envp: Vec<Vec<u8>>,
    /// The path given to execve(2).
    pub path: Vec<u8>,
}

impl Arguments {
    /// How many bytes strings and vectors may take on a stack of at most `stack_limit` bytes.
    pub(crate) fn room(stack_limit: u64) -> u64 {
        (stack_limit / 4).clamp(TOTAL_MIN, TOTAL_MAX)
    }

    /// Whether all fit on a stack of at most `stack_limit` bytes, by Linux's rules.
    pub fn check(&self, stack_limit: u64) -> Result<()> {
        let allowed = Self::room(stack_limit);
        let mut total = (self.argv.len().max(1) as u64 + self.envp.len() as u64) * 8 + self.path.len() as u64 + 1;
        for string in self.argv.iter().chain(&self.envp) {
            if string.len() >= STRING_MAX {
                return Err(Error::TooBig);
            }
            total += string.len() as u64 + 1;
        }
        if total > allowed { Err(Error::TooBig) } else { Ok(()) }
    }

    /// Bytes that strings and vectors take at most.
    pub(super) fn size(&self) -> usize {
        let strings: usize = self.argv.iter().chain(&self.envp).map(|s| s.len() + 9).sum();
        strings + self.path.len() + 16 * 1024
    }
}

/// What lies on a first stack.
pub(super) struct StackImage {
    /// The stack pointer; the bytes start there.
    pub pointer: usize,
    pub bytes: Vec<u8>,
    pub cmdline: Vec<u8>,
    pub environ: Vec<u8>,
    pub auxv: Vec<u64>,
    /// Where argv's strings start and end, then the environment's.
    pub argument_range: (usize, usize),
    pub environment_range: (usize, usize),
}

fn joined(strings: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::with_capacity(strings.iter().map(|s| s.len() + 1).sum());
    for string in strings {
        all.extend_from_slice(string);
        all.push(0);
    }
    all
}

fn addresses(strings: &[Vec<u8>], mut at: usize, out: &mut Vec<u64>) {
    for string in strings {
        out.push(at as u64);
        at += string.len() + 1;
    }
    out.push(0);
}

/// What AT_PLATFORM leads to.
fn platform_name(arch: Arch) -> &'static [u8] {
    match arch {
        Arch::X86_64 => b"x86_64\0",
        Arch::X86 => b"i686\0",
    }
}

/// Builds the stack of a program of `arch` that ends at `top`, or, unless it is `fixed`, somewhat below. `auxv` are the
/// keys and values that do not depend on it.
pub(super) fn build(
    top: usize,
    arch: Arch,
    arguments: &Arguments,
    auxv: &[(u64, u64)],
    fixed: bool,
) -> Result<StackImage> {
    let word_size = word_size(arch);
    let cmdline = joined(&arguments.argv);
    let environ = joined(&arguments.envp);
    // From the top: a null word, the path, the environment, the arguments.
    let path = top.checked_sub(word_size + arguments.path.len() + 1).ok_or(Error::NoMemory)?;
    let environment = path.checked_sub(environ.len()).ok_or(Error::NoMemory)?;
    let argument = environment.checked_sub(cmdline.len()).ok_or(Error::NoMemory)?;

    let mut random = [0u8; 18];
    host().random(&mut random);
    let jitter = if fixed { 0 } else { usize::from(u16::from_le_bytes([random[16], random[17]]) & 0x1fff) };
    let platform = argument.checked_sub(jitter + 16).ok_or(Error::NoMemory)? & !15;
    let seed = platform.checked_sub(16).ok_or(Error::NoMemory)?;

    let mut vector = Vec::with_capacity(2 * auxv.len() + 8);
    for (key, value) in auxv {
        vector.extend([*key, *value]);
    }
    vector.extend([AT_RANDOM, seed as u64, AT_EXECFN, path as u64, AT_PLATFORM, platform as u64, AT_NULL, 0]);

    let mut words = vec![arguments.argv.len() as u64];
    addresses(&arguments.argv, argument, &mut words);
    addresses(&arguments.envp, environment, &mut words);
    words.extend_from_slice(&vector);
    let pointer = seed.checked_sub(words.len() * word_size).ok_or(Error::NoMemory)? & !15;

    let mut bytes = vec![0u8; top - pointer];
    let mut put = |at: usize, data: &[u8]| {
        let from = at - pointer;
        if let Some(room) = bytes.get_mut(from..from + data.len()) {
            room.copy_from_slice(data);
        }
    };
    for (i, word) in words.iter().enumerate() {
        put(pointer + i * word_size, word.to_le_bytes().get(..word_size).unwrap_or_default());
    }
    put(seed, &random[..16]);
    put(platform, platform_name(arch));
    put(argument, &cmdline);
    put(environment, &environ);
    put(path, &arguments.path);
    Ok(StackImage {
        pointer,
        bytes,
        auxv: vector,
        argument_range: (argument, environment),
        environment_range: (environment, path),
        cmdline,
        environ,
    })
}
