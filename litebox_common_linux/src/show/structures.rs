//! What lies at addresses.

use core::fmt::{self, Write};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::files::{file, file_lock, file_system, open_how, statx};
use super::ready::{descriptors, epoll_events, poll, set_of};
use super::{Context, GuestMemory, MOST_BYTES, MOST_ELEMENTS, address, calls, quoted, signals, sockets, text};
use crate::Errno;
use crate::abi::file::{Flock, Flock64, IoVec, Stat, Stat64};
use crate::abi::layout::{Field, Layout, Layouts, UserWord};
use crate::abi::process::{Rlimit, Rlimit64, Rusage, SysInfo};
use crate::abi::time::{Itimerspec, Itimerval, Timespec, Timeval};
use crate::argument::Form;

/// How much of a list is counted.
const MOST_COUNTED: u64 = 4096;

/// The bytes of a field; zeros when there are none.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Reads a structure in the layout of the program.
pub(super) fn read<T: Layout>(memory: &dyn GuestMemory, at: u64, layouts: Layouts) -> Option<T> {
    match layouts {
        Layouts::X86_64 => raw(memory, at).map(<T as Field<T::X86_64>>::of),
        Layouts::X86 => raw(memory, at).map(<T as Field<T::X86>>::of),
        Layouts::X86Time64 => raw(memory, at).map(<T as Field<T::Time64>>::of),
    }
}

pub(super) fn raw<R: FromBytes + IntoBytes + Immutable>(memory: &dyn GuestMemory, at: u64) -> Option<R> {
    let mut raw = R::new_zeroed();
    (at != 0 && memory.read(at, raw.as_mut_bytes()) == size_of::<R>()).then_some(raw)
}

/// What lies at `at`; the address, when it cannot be read.
pub(super) fn pointed(
    out: &mut dyn Write,
    at: u64,
    form: Form,
    layouts: Layouts,
    filled: bool,
    context: Context<'_>,
) -> fmt::Result {
    let memory = context.memory;
    let words = Words { memory, layouts };
    match form {
        Form::Bytes => bytes(out, at, context.available(filled), context),
        Form::Random => random(out, at, context.available(filled), context),
        Form::Path => bytes(out, at, context.available(filled).saturating_sub(1), context),
        Form::Int => int(out, at, context),
        Form::Length => length(out, at, context),
        Form::Long => match read::<UserWord>(memory, at, layouts) {
            Some(value) => write!(out, "[{}]", value.0 as i64),
            None => address(out, at),
        },
        Form::Pair => pair(out, at, context),
        Form::Timespec => shown(out, at, read(memory, at, layouts), timespec),
        Form::TimeLeft if context.result == Some(Err(Errno::EINTR)) => {
            shown(out, at, read(memory, at, layouts), timespec)
        }
        Form::Opaque | Form::TimeLeft => address(out, at),
        Form::Timeval => shown(out, at, read(memory, at, layouts), timeval),
        Form::Moments => moments(out, at, layouts, context),
        Form::Signals => match raw::<u64>(memory, at) {
            Some(set) => signals::set(out, set),
            None => address(out, at),
        },
        Form::Strings => words.strings(out, at),
        Form::Variables => words.variables(out, at),
        Form::WaitStatus => wait_status(out, at, context),
        Form::Poll => poll(out, at, context),
        Form::Vectors => vectors(out, at, context.count(), layouts, vector_bytes(filled, context), context),
        Form::Entries => entries(out, at, layouts, context),
        Form::Processors => processors(out, at, filled, context),
        Form::Descriptors(count) => descriptors(out, at, count, context),
        Form::CloneArgs => clone_arguments(out, at, context),
        Form::EpollEvents => epoll_events(out, at, layouts, filled, context),
        Form::Flock => shown(out, at, read(memory, at, layouts), |out, lock: Flock| {
            file_lock(out, lock.kind, lock.whence, lock.start, lock.len, filled.then_some(lock.pid))
        }),
        Form::Flock64 => shown(out, at, read(memory, at, layouts), |out, lock: Flock64| {
            file_lock(out, lock.kind, lock.whence, lock.start, lock.len, filled.then_some(lock.pid))
        }),
        Form::Itimerspec => shown(out, at, read(memory, at, layouts), |out, timer: Itimerspec| {
            timer_setting(out, |out| timespec(out, timer.interval), |out| timespec(out, timer.value))
        }),
        Form::Itimerval => shown(out, at, read(memory, at, layouts), |out, timer: Itimerval| {
            timer_setting(out, |out| timeval(out, timer.interval), |out| timeval(out, timer.value))
        }),
        Form::Message => sockets::message(out, at, layouts, filled, context),
        Form::OpenHow => open_how(out, at, context),
        Form::Rlimit => shown(out, at, read(memory, at, layouts), |out, limit: Rlimit| {
            limits(out, limit.soft, limit.hard, "RLIM_INFINITY")
        }),
        Form::Rlimit64 => shown(out, at, read(memory, at, layouts), |out, limit: Rlimit64| {
            limits(out, limit.soft, limit.hard, "RLIM64_INFINITY")
        }),
        Form::Rusage => shown(out, at, read(memory, at, layouts), |out, usage: Rusage| {
            out.write_str("{ru_utime=")?;
            timeval(out, usage.user)?;
            out.write_str(", ru_stime=")?;
            timeval(out, usage.system)?;
            out.write_str(", ...}")
        }),
        Form::SigAction => signals::action(out, at, layouts, context),
        Form::SigInfo => signals::info_at(out, at, layouts, context),
        Form::SigStack => signals::stack(out, at, layouts, context),
        Form::SockAddr => {
            let len = if filled { length_behind(context) } else { context.count() };
            sockets::socket_address(out, at, len, context)
        }
        Form::Stat => shown(out, at, read(memory, at, layouts), |out, stat: Stat| {
            let mode = if layouts == Layouts::X86_64 { stat.mode } else { stat.mode16 };
            file(out, mode, stat.rdev, stat.size)
        }),
        Form::Stat64 => {
            shown(out, at, read(memory, at, layouts), |out, stat: Stat64| file(out, stat.mode, stat.rdev, stat.size))
        }
        Form::StatFs => shown(out, at, read(memory, at, layouts), file_system),
        Form::Statx => statx(out, at, context),
        Form::SysInfo => shown(out, at, read(memory, at, layouts), system_information),
        Form::UtsName => system_names(out, at, context),
        Form::WindowSize => window_size(out, at, context),
    }
}

pub(super) fn shown<T>(
    out: &mut dyn Write,
    at: u64,
    value: Option<T>,
    show: impl Fn(&mut dyn Write, T) -> fmt::Result,
) -> fmt::Result {
    match value {
        Some(value) => show(out, value),
        None => address(out, at),
    }
}

fn bytes(out: &mut dyn Write, at: u64, len: u64, context: Context<'_>) -> fmt::Result {
    let mut bytes = [0; MOST_BYTES];
    let wanted = usize::try_from(len).unwrap_or(MOST_BYTES).min(MOST_BYTES);
    let room = bytes.get_mut(..wanted).unwrap_or_default();
    if at == 0 || context.memory.read(at, room) != wanted {
        return address(out, at);
    }
    quoted(out, bytes.get(..wanted).unwrap_or_default(), len > wanted as u64)
}

fn random(out: &mut dyn Write, at: u64, len: u64, context: Context<'_>) -> fmt::Result {
    let mut bytes = [0; MOST_BYTES];
    let wanted = usize::try_from(len).unwrap_or(MOST_BYTES).min(MOST_BYTES);
    let room = bytes.get_mut(..wanted).unwrap_or_default();
    if at == 0 || context.memory.read(at, room) != wanted {
        return address(out, at);
    }
    out.write_char('"')?;
    for byte in bytes.get(..wanted).unwrap_or_default() {
        write!(out, "\\x{byte:02x}")?;
    }
    out.write_str(if len > wanted as u64 { "\"..." } else { "\"" })
}

fn int(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    match context.int(at) {
        Some(value) => write!(out, "[{}]", value as i32),
        None => address(out, at),
    }
}

/// As it was given, and as it came back.
fn length(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    match (context.length, context.int(at)) {
        (Some(before), Some(now)) if before != now => write!(out, "[{before} => {now}]"),
        (_, Some(now)) => write!(out, "[{now}]"),
        _ => address(out, at),
    }
}

/// The length that stands at the address of the next argument.
fn length_behind(context: Context<'_>) -> u64 {
    match context.next {
        Some(super::Shown::Filled(at, Form::Length, _)) => context.int(at).unwrap_or(0).into(),
        _ => 0,
    }
}

fn pair(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    match (context.int(at), context.int(at.wrapping_add(4))) {
        (Some(a), Some(b)) => write!(out, "[{}, {}]", a as i32, b as i32),
        _ => address(out, at),
    }
}

fn timespec(out: &mut dyn Write, time: Timespec) -> fmt::Result {
    write!(out, "{{tv_sec={}, tv_nsec={}}}", time.sec, time.nsec)
}

fn timeval(out: &mut dyn Write, time: Timeval) -> fmt::Result {
    write!(out, "{{tv_sec={}, tv_usec={}}}", time.sec, time.usec)
}

fn timer_setting(
    out: &mut dyn Write,
    interval: impl Fn(&mut dyn Write) -> fmt::Result,
    value: impl Fn(&mut dyn Write) -> fmt::Result,
) -> fmt::Result {
    out.write_str("{it_interval=")?;
    interval(out)?;
    out.write_str(", it_value=")?;
    value(out)?;
    out.write_char('}')
}

/// Two moments; some of them have names.
fn moments(out: &mut dyn Write, at: u64, layouts: Layouts, context: Context<'_>) -> fmt::Result {
    const UTIME_NOW: i64 = 0x3fff_ffff;
    const UTIME_OMIT: i64 = 0x3fff_fffe;
    let step = if layouts == Layouts::X86 { 8 } else { 16 };
    let times = [at, at.wrapping_add(step)].map(|at| read::<Timespec>(context.memory, at, layouts));
    let [Some(first), Some(second)] = times else { return address(out, at) };
    out.write_char('[')?;
    for (i, time) in [first, second].into_iter().enumerate() {
        if i > 0 {
            out.write_str(", ")?;
        }
        match time.nsec {
            UTIME_NOW => out.write_str("UTIME_NOW")?,
            UTIME_OMIT => out.write_str("UTIME_OMIT")?,
            _ => {
                timespec(out, time)?;
                super::date::comment(out, time.sec, time.nsec)?;
            }
        }
    }
    out.write_char(']')
}

/// Words of the program, one after the other.
struct Words<'a> {
    memory: &'a dyn GuestMemory,
    layouts: Layouts,
}

impl Words<'_> {
    fn at(&self, at: u64, index: u64) -> Option<u64> {
        let size = if self.layouts == Layouts::X86_64 { 8 } else { 4 };
        read::<UserWord>(self.memory, at.wrapping_add(size * index), self.layouts).map(|word| word.0)
    }

    fn strings(&self, out: &mut dyn Write, at: u64) -> fmt::Result {
        if at == 0 || self.at(at, 0).is_none() {
            return address(out, at);
        }
        out.write_char('[')?;
        for i in 0.. {
            let Some(word) = self.at(at, i).filter(|word| *word != 0) else { break };
            if i > 0 {
                out.write_str(", ")?;
            }
            if i == MOST_ELEMENTS {
                out.write_str("...")?;
                break;
            }
            text(out, word, self.memory, MOST_BYTES)?;
        }
        out.write_char(']')
    }

    fn variables(&self, out: &mut dyn Write, at: u64) -> fmt::Result {
        address(out, at)?;
        if at == 0 || self.at(at, 0).is_none() {
            return Ok(());
        }
        let more = |i: &u64| self.at(at, *i).is_some_and(|word| word != 0);
        let count = (0..MOST_COUNTED).take_while(more).count();
        write!(out, " /* {count} var{} */", if count == 1 { "" } else { "s" })
    }
}

/// As the macros of wait(2) take it apart.
fn wait_status(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    let Some(status) = context.int(at).filter(|_| context.result != Some(Ok(0))) else { return address(out, at) };
    let (low, high) = (status & 0x7f, (status >> 8 & 0xff) as i32);
    if status == 0xffff {
        return out.write_str("[{WIFCONTINUED(s)}]");
    }
    if low == 0 {
        return write!(out, "[{{WIFEXITED(s) && WEXITSTATUS(s) == {high}}}]");
    }
    if low == 0x7f {
        out.write_str("[{WIFSTOPPED(s) && WSTOPSIG(s) == ")?;
        signals::signal(out, high)?;
    } else {
        out.write_str("[{WIFSIGNALED(s) && WTERMSIG(s) == ")?;
        signals::signal(out, low as i32)?;
        if status & 0x80 != 0 {
            out.write_str(" && WCOREDUMP(s)")?;
        }
    }
    out.write_str("}]")
}

fn vector_bytes(filled: bool, context: Context<'_>) -> u64 {
    match context.result {
        Some(Ok(done)) if filled => done as u64,
        _ => u64::MAX,
    }
}

/// Buffers, of which `available` bytes are there.
pub(super) fn vectors(
    out: &mut dyn Write,
    at: u64,
    count: u64,
    layouts: Layouts,
    available: u64,
    context: Context<'_>,
) -> fmt::Result {
    let size = if layouts == Layouts::X86_64 { 16 } else { 8 };
    if at == 0 || count > 0 && read::<IoVec>(context.memory, at, layouts).is_none() {
        return address(out, at);
    }
    let mut available = available;
    out.write_char('[')?;
    for i in 0..count {
        if i > 0 {
            out.write_str(", ")?;
        }
        if i == MOST_ELEMENTS {
            out.write_str("...")?;
            break;
        }
        let place = at.wrapping_add(size * i);
        let Some(part) = read::<IoVec>(context.memory, place, layouts) else {
            address(out, place)?;
            break;
        };
        let len = u64::try_from(part.len).unwrap_or(0).min(available);
        available -= len;
        out.write_str("{iov_base=")?;
        bytes(out, part.base, len, context)?;
        write!(out, ", iov_len={}}}", part.len as u64)?;
    }
    out.write_char(']')
}

/// Names of a directory, counted.
fn entries(out: &mut dyn Write, at: u64, layouts: Layouts, context: Context<'_>) -> fmt::Result {
    address(out, at)?;
    let Some(Ok(len)) = context.result else { return Ok(()) };
    if layouts != Layouts::X86_64 {
        return Ok(());
    }
    let (mut count, mut done) = (0_u32, 0);
    while done < len as u64 {
        let mut size = [0; 2];
        let place = at.wrapping_add(done + 16);
        if context.memory.read(place, &mut size) != size.len() || size == [0, 0] {
            break;
        }
        done += u64::from(u16::from_le_bytes(size));
        count += 1;
    }
    write!(out, " /* {count} entr{} */", if count == 1 { "y" } else { "ies" })
}

fn processors(out: &mut dyn Write, at: u64, filled: bool, context: Context<'_>) -> fmt::Result {
    const MOST: u64 = 128;
    // The size stands before the mask: a mask that was filled in has as many bytes as the result.
    let len = match context.result {
        Some(Ok(done)) if filled => (done as u64).min(MOST),
        _ => 8,
    };
    let mut byte = [0];
    if at == 0 || context.memory.read(at, &mut byte) != 1 {
        return address(out, at);
    }
    set_of(out, at, len as u32 * 8, context.memory)
}

/// `struct clone_args` of clone3(2), and whom the parent was told.
fn clone_arguments(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    let Some(bytes) = raw::<[u8; 64]>(context.memory, at) else { return address(out, at) };
    let word = |index: usize| u64::from_le_bytes(field(&bytes, 8 * index));
    let [bits, _, child, parent, signal, stack, stack_size, tls] = [0, 1, 2, 3, 4, 5, 6, 7].map(word);
    const SET_TLS: u64 = 0x8_0000;
    const CHILD: u64 = 0x120_0000;
    out.write_str("{flags=")?;
    calls::clone_flags(out, bits & !0xff)?;
    if bits & CHILD != 0 {
        out.write_str(", child_tid=")?;
        address(out, child)?;
    }
    if calls::tells_parent(bits) {
        out.write_str(", parent_tid=")?;
        address(out, parent)?;
    }
    out.write_str(", exit_signal=")?;
    signals::signal(out, signal as i32)?;
    out.write_str(", stack=")?;
    address(out, stack)?;
    out.write_str(", stack_size=")?;
    super::argument(out, super::Shown::Hex(stack_size))?;
    if bits & SET_TLS != 0 {
        out.write_str(", tls=")?;
        address(out, tls)?;
    }
    out.write_char('}')?;
    if let (true, Some(Ok(_)), Some(tid)) = (calls::tells_parent(bits), context.result, context.int(parent)) {
        write!(out, " => {{parent_tid=[{tid}]}}")?;
    }
    Ok(())
}

fn limits(out: &mut dyn Write, soft: u64, hard: u64, infinity: &str) -> fmt::Result {
    for (what, value) in [("{rlim_cur=", soft), (", rlim_max=", hard)] {
        out.write_str(what)?;
        match value {
            u64::MAX => out.write_str(infinity)?,
            value if value > 1024 && value % 1024 == 0 => write!(out, "{}*1024", value / 1024)?,
            value => write!(out, "{value}")?,
        }
    }
    out.write_char('}')
}

fn system_information(out: &mut dyn Write, s: SysInfo) -> fmt::Result {
    let [one, five, fifteen] = s.loads;
    write!(out, "{{uptime={}, loads=[{one}, {five}, {fifteen}], totalram={}", s.uptime, s.total)?;
    write!(out, ", freeram={}, sharedram={}, bufferram={}", s.free, s.shared, s.buffers)?;
    write!(out, ", totalswap={}, freeswap={}, procs={}", s.total_swap, s.free_swap, s.threads)?;
    write!(out, ", totalhigh={}, freehigh={}, mem_unit={}}}", s.total_high, s.free_high, s.unit)
}

/// `struct utsname`: system and machine's name.
fn system_names(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    const FIELD: u64 = 65;
    let mut byte = [0];
    if at == 0 || context.memory.read(at, &mut byte) != 1 {
        return address(out, at);
    }
    out.write_str("{sysname=")?;
    text(out, at, context.memory, FIELD as usize)?;
    out.write_str(", nodename=")?;
    text(out, at.wrapping_add(FIELD), context.memory, FIELD as usize)?;
    out.write_str(", ...}")
}

fn window_size(out: &mut dyn Write, at: u64, context: Context<'_>) -> fmt::Result {
    let Some(bytes) = raw::<[u8; 8]>(context.memory, at) else { return address(out, at) };
    let [rows, columns, x, y] = [0, 2, 4, 6].map(|at| u16::from_le_bytes(field(&bytes, at)));
    write!(out, "{{ws_row={rows}, ws_col={columns}, ws_xpixel={x}, ws_ypixel={y}}}")
}
