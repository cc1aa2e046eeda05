//! What the user left to us: how descriptors 0, 1 and 2 are open, which of them are the terminal that becomes the
//! console, and which signals are ignored.
//!
//! The standard library opens /dev/null for those that are closed, and ignores SIGPIPE, before `main` runs, so the look
//! at them comes first.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use litebox_broker::Terminal;
use litebox_broker::signals::is_ignored;
use litebox_broker::terminal::controls_us;
use litebox_shim_linux::boot::Console;

static FLAGS: [AtomicI32; 3] = [const { AtomicI32::new(-1) }; 3];

static IGNORES_PIPES: AtomicBool = AtomicBool::new(false);

/// Descriptors 0 to 2 were put elsewhere.
pub fn look_again() {
    for (fd, slot) in (0..).zip(&FLAGS) {
        // SAFETY: fcntl(2) with F_GETFL reads nothing of ours; a closed descriptor is -1.
        slot.store(unsafe { libc::fcntl(fd, libc::F_GETFL) }, Ordering::Relaxed);
    }
}

extern "C" fn look() {
    look_again();
    IGNORES_PIPES.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
}

#[used]
#[unsafe(link_section = ".init_array")]
// SAFETY: an entry of .init_array is a function pointer that is called once, before `main`; the function needs no
// runtime.
static LOOK: extern "C" fn() = look;

/// `F_GETFL` of the three, plus one; 0: it is closed.
pub fn flags() -> [u64; 3] {
    [0, 1, 2].map(|fd: usize| FLAGS.get(fd).map_or(0, |flags| (flags.load(Ordering::Relaxed) + 1) as u64))
}

/// The signals that are ignored since before this program was executed: bit n - 1 for signal n.
pub fn ignored_signals() -> u64 {
    const LAST: i32 = 64;
    let ignored = |signal: i32| match signal {
        libc::SIGPIPE => IGNORES_PIPES.load(Ordering::Relaxed),
        other => is_ignored(other),
    };
    (1..=LAST).filter(|signal| ignored(*signal)).fold(0, |set, signal| set | 1 << (signal - 1))
}

/// In the configuration: bits of the descriptors, and above them the one to write to.
const OUTPUT_SHIFT: u32 = 8;
/// In the configuration: they are pipes.
const PIPES: u64 = 1 << 3;

/// In the configuration: the console of a sandbox in the background, whose output goes to the log. Nobody types.
pub const CONSOLE_IN_BACKGROUND: u64 = PIPES | 0b111 | 1 << OUTPUT_SHIFT;

/// The console as the configuration has it.
pub fn console_of(number: u64) -> Option<Console> {
    let descriptors = [0, 1, 2].map(|fd: u32| number & (1 << fd) != 0);
    let output = i32::try_from(number >> OUTPUT_SHIFT).ok()?;
    (number != 0).then_some(Console { descriptors, input: 0, output, pipes: number & PIPES != 0 })
}

fn descriptor(fd: i32) -> BorrowedFd<'static> {
    // SAFETY: descriptors 0 to 2 stay open: the standard library opens them where the user did not.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Which device a standard descriptor leads to, if it is a terminal.
fn terminal_at(fd: i32) -> Option<u64> {
    let flags = flags();
    let open = usize::try_from(fd).ok().and_then(|fd| flags.get(fd)).is_some_and(|flags| *flags != 0);
    // SAFETY: isatty(3) touches no memory.
    let is_terminal = open && unsafe { libc::isatty(fd) } == 1;
    is_terminal.then(|| rustix::fs::fstat(descriptor(fd)).ok().map(|stat| stat.st_rdev)).flatten()
}

fn may_write(fd: i32) -> bool {
    const O_ACCMODE: u64 = 3;
    let flags = usize::try_from(fd).ok().and_then(|fd| flags().get(fd).copied()).unwrap_or(0);
    flags != 0 && (flags - 1) & O_ACCMODE != 0
}

fn may_read(fd: i32) -> bool {
    const O_WRONLY: u64 = 1;
    const O_ACCMODE: u64 = 3;
    let flags = usize::try_from(fd).ok().and_then(|fd| flags().get(fd).copied()).unwrap_or(0);
    flags != 0 && (flags - 1) & O_ACCMODE != O_WRONLY
}

/// The user's terminal, and what the configuration says of it. It becomes the console when that is asked for (`-t`), or
/// when the program would talk to the user both ways; else programs use it as it is. What is typed is for the sandbox
/// only when stdin is the terminal.
pub fn take_terminal(wanted: bool) -> Result<(Option<Terminal>, u64), String> {
    let Some(input) = terminal_at(0) else {
        if wanted {
            return Err("--tty: stdin is not a terminal".into());
        }
        let shown = [2, 1].into_iter().find(|fd| terminal_at(*fd).is_some());
        return Ok((shown.and_then(|fd| Terminal::take(descriptor(fd), false, false).ok()), 0));
    };
    let same: Vec<i32> = [0, 1, 2].into_iter().filter(|fd| terminal_at(*fd) == Some(input)).collect();
    let output = [1, 2, 0].into_iter().find(|fd| same.contains(fd) && may_write(*fd));
    let output = match output {
        None if wanted => return Err("--tty: the terminal is not open for writing".into()),
        other => other,
    };
    let console = output.filter(|_| wanted || same.contains(&1) && controls_us(descriptor(0)));
    let terminal = Terminal::take(descriptor(0), may_read(0), console.is_some()).map_err(|e| format!("--tty: {e}"))?;
    let bits = same.iter().fold(0u64, |bits, fd| bits | 1 << fd);
    Ok((Some(terminal), console.map_or(0, |output| bits | (output as u64) << OUTPUT_SHIFT)))
}
