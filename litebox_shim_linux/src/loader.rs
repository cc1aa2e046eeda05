//! From a file to a running image.
//!
//! [`prepare`] does everything that can fail while the old image lives: it opens the program, follows `#!` lines, reads
//! the headers of the program and its interpreter, and checks the argument vectors. [`load_into`] then replaces the
//! address space; an error there ends the process, as on Linux.

pub(crate) mod compat;
mod elf;
mod image;
mod script;
mod stack;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use elf::Head;
pub use elf::{Elf, Segment};
pub use image::load_into;
pub use stack::Arguments;

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::fs::{File, OpenFile, Running};
use litebox::platform::compat::{CpuMode, Segments};
use litebox::platform::host;
use litebox::platform::north::Registers;
use litebox::{Error, Result};
use litebox_common_linux::Arch;

/// How many times a `#!` line may lead to another script, as on Linux.
const SCRIPT_DEPTH: usize = 5;

/// What /proc shows of a process's image.
#[derive(Default)]
pub struct ImageInfo {
    /// argv, as the strings are in memory at the start: each with its zero.
    pub cmdline: Vec<u8>,
    /// Environment, likewise.
    pub environ: Vec<u8>,
    /// The auxiliary vector as pushed.
    pub auxv: Vec<u64>,
    /// Whose program it is.
    pub arch: Arch,
    /// The executable (`/proc/self/exe`): for a script, its interpreter.
    pub exe: Option<Arc<OpenFile>>,
    /// Keeps it from being written.
    pub running: Option<Running>,
    /// Where its interpreter lies in memory; 0 and 0 without one.
    pub interpreter_range: (usize, usize),
    /// Where the arguments lie in memory.
    pub argument_range: (usize, usize),
    /// Where the environment lies in memory.
    pub environment_range: (usize, usize),
    /// Stack pointer at the start.
    pub stack_start: usize,
    /// Last component of the path that was executed, at most 15 bytes (`comm`).
    pub name: Vec<u8>,
}

/// Opens a file for execution. The caller knows the working directory and the credentials; the errors are open(2)'s,
/// plus `Access` for what is no regular file or not executable, and `TextBusy`.
pub type OpenProgram<'a> = &'a dyn Fn(&[u8]) -> Result<Arc<OpenFile>>;

/// A program that is ready to be loaded.
pub struct Prepared {
    program: (Arc<OpenFile>, Elf),
    running: Running,
    interpreter: Option<(Arc<OpenFile>, Elf)>,
    arguments: Arguments,
}

impl Prepared {
    /// What the program was made for.
    pub(crate) fn arch(&self) -> Arch {
        self.program.1.arch
    }
    /// Whether all that it may read can be executed, too: 32-bit programs that say nothing of their stack
    /// (personality(2)).
    pub(crate) fn reading_implies_execution(&self) -> bool {
        let elf = &self.program.1;
        elf.arch == Arch::X86 && elf.stack == elf::StackFlags::Unsaid
    }
}

/// What the auxiliary vector says of the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of getauxval(3)")]
pub struct AuxIds {
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    pub egid: u32,
    /// Value for the boundary tests' own key (`KernelConfig::test_hostile`): `None` leaves the key away.
    pub test_hostile: Option<u64>,
    /// Everything lies where it always lies (`ADDR_NO_RANDOMIZE`).
    pub fixed_addresses: bool,
    /// A 32-bit program has 3 GiB alone (`ADDR_LIMIT_3GB`).
    pub three_gib: bool,
}

/// A loaded program.
pub struct Loaded {
    /// Registers to start with.
    pub registers: Registers,
    /// FS base to start with.
    pub fs_base: u64,
    /// How its code is decoded.
    pub mode: CpuMode,
    /// The segments of a 32-bit program.
    pub segments: Option<Segments>,
    /// What /proc shows of it.
    pub image: ImageInfo,
}

/// Opens and checks a program and its arguments. `stack_limit` is RLIMIT_STACK in bytes.
pub fn prepare(arguments: Arguments, stack_limit: u64, open: OpenProgram<'_>) -> Result<Prepared> {
    let file = open(&arguments.path)?;
    prepare_file(file, arguments, stack_limit, open)
}

/// As [`prepare`], for a program that is open already (execveat(2) with `AT_EMPTY_PATH`).
pub fn prepare_file(
    mut file: Arc<OpenFile>,
    mut arguments: Arguments,
    stack_limit: u64,
    open: OpenProgram<'_>,
) -> Result<Prepared> {
    if arguments.argv.is_empty() {
        // Programs rely on argv[0]; so does Linux since 5.18.
        arguments.argv.push(Vec::new());
    }
    arguments.check(stack_limit)?;
    let mut script = arguments.path.clone();
    let mut depth = 0;
    let head = loop {
        let head = Head::read(&*file.file)?;
        let line = head.bytes().get(..script::LINE_MAX).unwrap_or(head.bytes());
        let Some(interpreter) = script::parse(line)? else { break head };
        depth += 1;
        if depth > SCRIPT_DEPTH {
            return Err(Error::Loop);
        }
        file = open(&interpreter.path)?;
        let mut argv = Vec::with_capacity(arguments.argv.len() + 2);
        argv.push(interpreter.path.clone());
        argv.extend(interpreter.argument);
        argv.push(core::mem::replace(&mut script, interpreter.path));
        argv.extend(arguments.argv.drain(..).skip(1));
        arguments.argv = argv;
    };
    arguments.check(stack_limit)?;
    let running = Running::begin(&file)?;
    let span = host().user_span();
    let elf = Elf::read_behind(&head, &*file.file, span)?;
    if elf.arch == Arch::X86 && host().vdso32().is_none() {
        return Err(Error::NotExecutable);
    }
    let interpreter = match &elf.interpreter {
        None => None,
        Some(path) => Some(prepare_interpreter(path, elf.arch, span, open)?),
    };
    Ok(Prepared { program: (file, elf), running, interpreter, arguments })
}

fn prepare_interpreter(
    path: &[u8],
    arch: Arch,
    span: (usize, usize),
    open: OpenProgram<'_>,
) -> Result<(Arc<OpenFile>, Elf)> {
    if path.is_empty() {
        return Err(Error::Access);
    }
    let file = open(path)?;
    let head = Head::read(&*file.file)?;
    let head_size = match arch {
        Arch::X86_64 => 64,
        Arch::X86 => 52,
    };
    if head.bytes().len() < head_size {
        return Err(Error::Io);
    }
    let bad = |error| if error == Error::NotExecutable { Error::BadLibrary } else { error };
    let elf = Elf::read_behind(&head, &*file.file, span).map_err(bad)?;
    if elf.arch == arch { Ok((file, elf)) } else { Err(Error::BadLibrary) }
}

/// Whether a file begins like a script.
pub(crate) fn is_script(file: &dyn File) -> Result<bool> {
    let mut head = [0u8; 2];
    Ok(elf::read_up_to(file, &mut head, 0)? == head.len() && &head == b"#!")
}

fn mapping_of(file: &dyn File) -> Result<litebox::fs::Mapping> {
    file.mapping().map_err(|_| Error::NotExecutable)
}
