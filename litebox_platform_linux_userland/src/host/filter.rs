//! The boundary: which host calls the seccomp filter lets through, with which arguments.
//!
//! [`ALLOWED`] is the one list; the filter program is made from it, and a test compares it with the table in
//! `docs/security.md`. What is not listed is never executed: the broker is notified, names the call and ends the
//! sandbox; a host without notification kills.

use alloc::vec::Vec;
use litebox_common_linux::abi::ioctl::{FIONREAD, TCGETS, TIOCGWINSZ, TIOCOUTQ};

use litebox::platform::HostFd;
use litebox_protocol::{Op, TERMIOS_SIZE, start_fd};

use crate::host::call::{host_call, nr, place};
use crate::host::interception::{Interception, sud_available, use_seccomp};
use crate::host::start_error::StartError;

/// A condition on the arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Any arguments.
    Any,
    /// The argument is one of the values: all 64 bits of it.
    OneOf(usize, &'static [u32]),
    /// The argument is none of the values. Its low 32 bits count: of a descriptor the host looks at no more.
    NoneOf(usize, &'static [u32]),
    /// None of the bits is set in the argument (in its low 32 bits, which are all that the host looks at).
    Without(usize, u32),
    /// These bits are not set together in the argument (in its low 32 bits).
    NotTogether(usize, [u32; 2]),
    /// The argument is none of the standard streams that lead to a terminal.
    NoTerminal(usize),
    /// Argument 0 is one of the options; argument 1 is the value that stands beside it, all 64 bits of both.
    Options(&'static [(u32, Value)]),
}

/// Which of descriptors 0, 1 and 2 lead to a terminal.
pub type Terminals = [bool; 3];

/// What an option may be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// Anything.
    Any,
    /// This.
    Only(u32),
}

/// A host call that passes.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// Number on x86-64.
    pub number: usize,
    /// Name.
    pub name: &'static str,
    /// On which arguments.
    pub rule: Rule,
}

const fn any(number: usize, name: &'static str) -> Allowed {
    Allowed { number, name, rule: Rule::Any }
}

/// Namespaces (NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET), PTRACE and UNTRACED.
const CLONE_REFUSED: u32 =
    0x2_0000 | 0x200_0000 | 0x400_0000 | 0x800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000 | 0x2000 | 0x80_0000;
/// By which signal a process ended (`struct pidfd_info` as it first was).
pub(crate) const PIDFD_GET_INFO: u32 = 0xc040_ff0b;
/// FIONREAD first: each look at changes of a volume is one. TIOCOUTQ is SIOCOUTQ of sockets. Never TIOCSTI, and
/// settings are changed by the broker alone.
const IOCTL_REQUESTS: &[u32] = &[FIONREAD, TCGETS, TIOCOUTQ, TIOCGWINSZ, PIDFD_GET_INFO];
/// PR_SET_SYSCALL_USER_DISPATCH, and PR_SET_PDEATHSIG with SIGKILL: a process of the sandbox can tie itself to the
/// supervisor, and cannot undo it.
const PRCTL_OPTIONS: &[(u32, Value)] = &[(59, Value::Any), (1, Value::Only(9))];
/// Where messages may be sent. On any other socket a message could name an address, or carry descriptors out.
const REQUEST_SOCKETS: &[u32] = &[start_fd::REQUESTS as u32, start_fd::READERS as u32, start_fd::NET as u32];
/// What stays open: else another descriptor could come to stand where messages may be sent.
const BROKER_SOCKETS: &[u32] =
    &[start_fd::REQUESTS as u32, start_fd::READERS as u32, start_fd::EVENTS as u32, start_fd::NET as u32];

/// MAP_SHARED (a bit of MAP_SHARED_VALIDATE, too) and MAP_ANONYMOUS: such memory stays in use when no process shows it
/// any more, so nobody could count it. Guests get theirs from the arena.
const SHARED_ANONYMOUS: [u32; 2] = [0x1, 0x20];

/// QUERY, GLOBAL, and of PRIVATE_EXPEDITED and PRIVATE_EXPEDITED_SYNC_CORE the barrier and its registration.
const BARRIERS: &[u32] = &[0, 1, 8, 16, 32, 64];

/// Everything the host serves for the sandbox.
pub const ALLOWED: &[Allowed] = &[
    Allowed { number: nr::READ, name: "read", rule: Rule::NoTerminal(0) },
    any(nr::WRITE, "write"),
    Allowed { number: nr::CLOSE, name: "close", rule: Rule::NoneOf(0, BROKER_SOCKETS) },
    any(nr::FSTAT, "fstat"),
    any(nr::POLL, "poll"),
    any(nr::LSEEK, "lseek"),
    Allowed { number: nr::MMAP, name: "mmap", rule: Rule::NotTogether(3, SHARED_ANONYMOUS) },
    any(nr::MPROTECT, "mprotect"),
    any(nr::MUNMAP, "munmap"),
    any(nr::RT_SIGRETURN, "rt_sigreturn"),
    Allowed { number: nr::IOCTL, name: "ioctl", rule: Rule::OneOf(1, IOCTL_REQUESTS) },
    any(nr::PREAD64, "pread64"),
    any(nr::PWRITE64, "pwrite64"),
    any(nr::SCHED_YIELD, "sched_yield"),
    any(nr::MREMAP, "mremap"),
    any(nr::MSYNC, "msync"),
    any(nr::MADVISE, "madvise"),
    Allowed { number: nr::SENDMSG, name: "sendmsg", rule: Rule::OneOf(0, REQUEST_SOCKETS) },
    any(nr::RECVMSG, "recvmsg"),
    Allowed { number: nr::CLONE, name: "clone", rule: Rule::Without(0, CLONE_REFUSED) },
    any(nr::EXIT, "exit"),
    any(nr::FSYNC, "fsync"),
    any(nr::FTRUNCATE, "ftruncate"),
    any(nr::GETRUSAGE, "getrusage"),
    any(nr::SIGALTSTACK, "sigaltstack"),
    Allowed { number: nr::PRCTL, name: "prctl", rule: Rule::Options(PRCTL_OPTIONS) },
    any(nr::FUTEX, "futex"),
    any(nr::SCHED_GETAFFINITY, "sched_getaffinity"),
    any(nr::RESTART_SYSCALL, "restart_syscall"),
    any(nr::TIMER_CREATE, "timer_create"),
    any(nr::TIMER_SETTIME, "timer_settime"),
    any(nr::TIMER_DELETE, "timer_delete"),
    any(nr::CLOCK_GETTIME, "clock_gettime"),
    any(nr::EXIT_GROUP, "exit_group"),
    any(nr::EPOLL_WAIT, "epoll_wait"),
    any(nr::EPOLL_CTL, "epoll_ctl"),
    any(nr::FALLOCATE, "fallocate"),
    any(nr::GETRANDOM, "getrandom"),
    Allowed { number: nr::MEMBARRIER, name: "membarrier", rule: Rule::OneOf(0, BARRIERS) },
    any(nr::RSEQ, "rseq"),
];

/// One instruction of classic BPF.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ABOVE_OR_EQUAL: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const RET_ALLOW: u32 = 0x7fff_0000;
const RET_TRAP: u32 = 0x0003_0000;
const RET_NOTIFY: u32 = 0x7fc0_0000;
const RET_KILL: u32 = 0x8000_0000;
const ARCH_X86_64: u32 = 0xc000_003e;

/// Offsets in struct seccomp_data.
const DATA_NUMBER: u32 = 0;
const DATA_ARCH: u32 = 4;
const DATA_IP_LOW: u32 = 8;
const DATA_IP_HIGH: u32 = 12;
/// The low half of an argument.
const fn data_argument(index: usize) -> u32 {
    16 + 8 * index as u32
}
/// Its high half.
const fn data_argument_high(index: usize) -> u32 {
    data_argument(index) + 4
}

const fn op(code: u16, value: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, value }
}

const fn jump(code: u16, value: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code, if_true, if_false, value }
}

/// The page of old calls: code of the kernel's own, which makes three of them (`gettimeofday`, `time`, `getcpu`).
const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;
const VSYSCALL_LEN: u32 = 4096;

/// What happens to a call that is not served. Those of the old page go to our kernel, as those do that the guest makes
/// itself.
fn refusal(refuse: u32) -> [Instruction; 7] {
    let low = VSYSCALL as u32;
    [
        op(LOAD, DATA_IP_HIGH),
        jump(JUMP_EQUAL, (VSYSCALL >> 32) as u32, 0, 4),
        op(LOAD, DATA_IP_LOW),
        jump(JUMP_ABOVE_OR_EQUAL, low, 0, 2),
        jump(JUMP_ABOVE_OR_EQUAL, low + VSYSCALL_LEN, 1, 0),
        op(RETURN, RET_TRAP),
        op(RETURN, refuse),
    ]
}

/// How many comparisons stand in a row.
const GROUP: usize = 8;

/// The filter program; `refuse` is what happens to everything else.
pub fn program(refuse: u32, terminals: Terminals) -> Vec<Instruction> {
    // Where there is nothing to compare, the host need not run the program for the call.
    let rule_of = |call: &Allowed| match call.rule {
        Rule::NoTerminal(_) if terminals == Terminals::default() => Rule::Any,
        rule => rule,
    };
    let mut p = alloc::vec![
        op(LOAD, DATA_ARCH),
        jump(JUMP_EQUAL, ARCH_X86_64, 1, 0),
        op(RETURN, refuse),
        op(LOAD, DATA_NUMBER),
    ];
    // Groups of comparisons, one for each call, and the refusal; then what the comparisons lead to. The host runs the
    // program for each number there is when it is installed, so no number should pass many comparisons.
    let groups = ALLOWED.chunks(GROUP);
    let refusal = refusal(refuse);
    let allowed = p.len() + ALLOWED.len() + (1 + refusal.len()) * groups.len() - 1;
    let mut bodies = alloc::vec![op(RETURN, RET_ALLOW)];
    for (group, next) in groups.clone().zip(groups.skip(1).map(<[Allowed]>::first).chain([None])) {
        if let Some(next) = next {
            p.push(jump(JUMP_ABOVE_OR_EQUAL, next.number as u32, (group.len() + refusal.len()) as u8, 0));
        }
        for call in group {
            let rule = rule_of(call);
            let target = if rule == Rule::Any { allowed } else { allowed + bodies.len() };
            p.push(jump(JUMP_EQUAL, call.number as u32, (target - p.len() - 1) as u8, 0));
            if rule != Rule::Any {
                bodies.extend(rule_body(rule, refuse, terminals));
            }
        }
        p.extend(refusal);
    }
    p.extend(bodies);
    p
}

fn rule_body(rule: Rule, refuse: u32, terminals: Terminals) -> Vec<Instruction> {
    let mut body = Vec::new();
    match rule {
        Rule::Any => {}
        Rule::OneOf(argument, values) => {
            body.push(op(LOAD, data_argument_high(argument)));
            // Over all of the rest, the refusal at its end.
            body.push(jump(JUMP_EQUAL, 0, 0, values.len() as u8 + 1));
            body.push(op(LOAD, data_argument(argument)));
            for (i, value) in values.iter().enumerate() {
                // Over the remaining comparisons and the refusal.
                body.push(jump(JUMP_EQUAL, *value, (values.len() - i) as u8, 0));
            }
            body.push(op(RETURN, refuse));
        }
        Rule::NoneOf(argument, values) => {
            body.push(op(LOAD, data_argument(argument)));
            for (i, value) in values.iter().enumerate() {
                body.push(jump(JUMP_EQUAL, *value, (values.len() - i) as u8, 0));
            }
            body.push(op(RETURN, RET_ALLOW));
            body.push(op(RETURN, refuse));
        }
        Rule::Without(argument, bits) => {
            body.push(op(LOAD, data_argument(argument)));
            body.push(jump(JUMP_ANY_BIT, bits, 0, 1));
            body.push(op(RETURN, refuse));
        }
        Rule::NotTogether(argument, [first, second]) => {
            body.push(op(LOAD, data_argument(argument)));
            body.push(jump(JUMP_ANY_BIT, first, 0, 2));
            body.push(jump(JUMP_ANY_BIT, second, 0, 1));
            body.push(op(RETURN, refuse));
        }
        Rule::NoTerminal(argument) => {
            body.push(op(LOAD, data_argument(argument)));
            for (fd, _) in (0..).zip(terminals).filter(|(_, is_terminal)| *is_terminal) {
                body.push(jump(JUMP_EQUAL, fd, 0, 1));
                body.push(op(RETURN, refuse));
            }
        }
        Rule::Options(options) => {
            for (option, value) in options {
                body.extend(option_body(*option, *value));
            }
            body.push(op(RETURN, refuse));
        }
    }
    body.push(op(RETURN, RET_ALLOW));
    body
}

/// Lets the call pass when argument 0 is `option` and argument 1 fits; else what follows is next.
fn option_body(option: u32, value: Value) -> Vec<Instruction> {
    let mut wanted = alloc::vec![(data_argument_high(0), 0), (data_argument(0), option)];
    if let Value::Only(value) = value {
        wanted.extend([(data_argument_high(1), 0), (data_argument(1), value)]);
    }
    let mut body = Vec::new();
    for (i, (offset, value)) in wanted.iter().enumerate() {
        body.push(op(LOAD, *offset));
        // Over the comparisons that follow, and the permission.
        let rest = 2 * (wanted.len() - 1 - i) + 1;
        body.push(jump(JUMP_EQUAL, *value, 0, rest as u8));
    }
    body.push(op(RETURN, RET_ALLOW));
    body
}

/// A second filter for hosts without Syscall User Dispatch: calls from outside `[start, end)` raise SIGSYS. It decides
/// who serves a call, not whether it is harmless; the first filter does that.
fn trap_program(start: usize, end: usize) -> [Instruction; 6] {
    let high = (start >> 32) as u32;
    [
        op(LOAD, DATA_IP_HIGH),
        jump(JUMP_EQUAL, high, 0, 3),
        op(LOAD, DATA_IP_LOW),
        jump(JUMP_ABOVE_OR_EQUAL, start as u32, 0, 1),
        // The address a call reports is behind its `syscall`.
        jump(JUMP_ABOVE_OR_EQUAL, end as u32 + 1, 0, 1),
        op(RETURN, RET_TRAP),
    ]
}

/// struct sock_fprog of the host.
#[repr(C)]
struct Program {
    len: u16,
    instructions: *const Instruction,
}

const SET_MODE_FILTER: usize = 1;
const FLAG_NEW_LISTENER: usize = 1 << 3;

fn load(instructions: &[Instruction], flags: usize) -> litebox::Result<usize> {
    let program = Program { len: instructions.len() as u16, instructions: instructions.as_ptr() };
    // SAFETY: the host copies the program.
    unsafe { host_call!(nr::SECCOMP, SET_MODE_FILTER, flags, &raw const program) }
}

fn is_terminal(fd: usize) -> bool {
    let mut settings = [0u8; TERMIOS_SIZE];
    // SAFETY: the request writes `struct termios` into the array.
    unsafe { host_call!(nr::IOCTL, fd, TCGETS, settings.as_mut_ptr()) }.is_ok()
}

/// What becomes of calls that 32-bit code makes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls32 {
    /// They come to the kernel.
    Trapped,
    /// They end the process.
    Deadly,
}

/// Installs the filter for this process and all it will clone. Afterwards nothing but [`ALLOWED`] is served, for ever.
pub(crate) fn install(interception: Interception) -> Result<Calls32, StartError> {
    let error = |error| StartError { what: "installing the seccomp filter", error };
    let by_seccomp = interception == Interception::Seccomp || (interception == Interception::Auto && !sud_available());
    if by_seccomp {
        let mut trap = trap_program(place::gadget_start(), place::gadget_end()).to_vec();
        trap.push(op(RETURN, RET_ALLOW));
        load(&trap, 0).map_err(error)?;
        use_seccomp();
    }
    let terminals = [0, 1, 2].map(is_terminal);
    if let Ok(listener) = load(&program(RET_NOTIFY, terminals), FLAG_NEW_LISTENER) {
        let fd = HostFd(listener as i32);
        crate::host::broker::simple(Op::Listener, 0, &[], Some(fd)).map_err(error)?;
        // SAFETY: no pointers; the broker has its own now.
        let _ = unsafe { host_call!(nr::CLOSE, listener) };
        return Ok(Calls32::Trapped);
    }
    // Somebody outside listens already: the host kills, and cannot say which call it was.
    load(&program(RET_KILL, terminals), 0).map_err(error)?;
    // It kills for the calls of 32-bit code, too, before the other filter could say that they are ours.
    Ok(if by_seccomp { Calls32::Deadly } else { Calls32::Trapped })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{
        ALLOWED, Instruction, JUMP_ABOVE_OR_EQUAL, JUMP_ANY_BIT, JUMP_EQUAL, LOAD, PIDFD_GET_INFO, RET_ALLOW, RET_TRAP,
        RETURN, VSYSCALL, program,
    };

    const REFUSED: u32 = 0x8000_0000;

    /// Runs the program as the host would.
    fn verdict(p: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
        verdict_at(p, 0x40_0000, arch, number, args)
    }

    /// The same, for a call made at `ip`.
    fn verdict_at(p: &[Instruction], ip: u64, arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let (mut at, mut a) = (0usize, 0u32);
        loop {
            let i = p[at];
            at += 1;
            let taken = match i.code {
                LOAD => {
                    a = match i.value {
                        0 => number,
                        4 => arch,
                        8 => ip as u32,
                        12 => (ip >> 32) as u32,
                        v if v % 8 == 0 => args[(v as usize - 16) / 8] as u32,
                        v => (args[(v as usize - 20) / 8] >> 32) as u32,
                    };
                    continue;
                }
                RETURN => return i.value,
                JUMP_EQUAL => a == i.value,
                JUMP_ABOVE_OR_EQUAL => a >= i.value,
                JUMP_ANY_BIT => a & i.value != 0,
                other => panic!("unknown instruction {other:#x}"),
            };
            at += usize::from(if taken { i.if_true } else { i.if_false });
        }
    }

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;

    #[test]
    fn at_most_forty_calls_pass_and_no_other() {
        assert!(ALLOWED.len() <= 40 && ALLOWED.is_sorted_by_key(|call| call.number));
        let p = program(REFUSED, [false; 3]);
        for number in 0..700u32 {
            let listed = ALLOWED.iter().any(|c| c.number as u32 == number);
            // Arguments that satisfy every rule: a permitted prctl option, a permitted ioctl request, no clone flags, a
            // socket for messages.
            let first = match number {
                46 => 3,
                157 => 59,
                _ => 0,
            };
            let args = [first, 0x5401, 0, 0, 0, 0];
            assert_eq!(verdict(&p, X86_64, number, args) == RET_ALLOW, listed, "call {number}");
            assert_eq!(verdict(&p, I386, number, args), REFUSED);
            assert_eq!(verdict(&p, X86_64, number | 0x4000_0000, args), REFUSED);
        }
    }

    #[test]
    fn terminals_are_not_read() {
        for terminals in 0..8u32 {
            let held = [0, 1, 2].map(|fd| terminals & (1 << fd) != 0);
            let p = program(REFUSED, held);
            for fd in 0..8u64 {
                let expected = if held.get(fd as usize) == Some(&true) { REFUSED } else { RET_ALLOW };
                for half in [0, HIGH] {
                    assert_eq!(verdict(&p, X86_64, 0, [fd | half, 0, 0, 0, 0, 0]), expected, "{held:?}, {fd}");
                }
                assert_eq!(verdict(&p, X86_64, 1, [fd, 0, 0, 0, 0, 0]), RET_ALLOW, "writing");
            }
        }
    }

    #[test]
    fn allowed_calls_are_documented() {
        let page = include_str!("../../../docs/security.md");
        let cells = |line: &'static str| -> Option<(usize, &'static str)> {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?.parse().ok()?, cells.next()?.trim_matches('`')))
        };
        let documented: Vec<_> = page.lines().filter_map(cells).collect();
        let allowed: Vec<_> = ALLOWED.iter().map(|c| (c.number, c.name)).collect();
        assert_eq!(documented, allowed);
    }

    /// Whether `number` passes with these first two arguments.
    fn passes(number: u32, first: u64, second: u64) -> bool {
        match verdict(&program(REFUSED, [false; 3]), X86_64, number, [first, second, 0, 0, 0, 0]) {
            RET_ALLOW => true,
            REFUSED => false,
            other => panic!("verdict {other:#x}"),
        }
    }

    /// A bit of the half of a register that the host may not look at.
    const HIGH: u64 = 1 << 32;

    #[test]
    fn arguments_are_checked() {
        let clone = |flags| passes(56, flags, 0);
        assert!(clone(0x11));
        for namespace in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
            assert!(!clone(namespace) && !clone(namespace | HIGH));
        }
        let mmap = |flags| verdict(&program(REFUSED, [false; 3]), X86_64, 9, [0, 0, 0, flags, 0, 0]) == RET_ALLOW;
        assert_eq!([0x1, 0x20, 0x22, 0x11, 0x21, 0x23, 0x4021, 0x21 | HIGH].map(mmap), {
            [true, true, true, true, false, false, false, false]
        });
        let ioctl = |request| passes(16, 0, request);
        const TIOCSTI: u64 = 0x5412;
        const TCSETS: u64 = 0x5402;
        assert_eq!([0x5401, 0x541b, 0x5413, PIDFD_GET_INFO.into()].map(ioctl), [true; 4]);
        assert_eq!([TIOCSTI, TCSETS, 0, TIOCSTI | HIGH].map(ioctl), [false; 4]);
        let barrier = |command| passes(324, command, 0);
        assert_eq!([0, 8, 2, 4, 8 | HIGH].map(barrier), [true, true, false, false, false]);
    }

    /// Nothing is served there, and what is not refused either comes to our kernel.
    #[test]
    fn calls_of_the_old_page_are_ours() {
        let p = program(REFUSED, [false; 3]);
        for (number, ip) in [(96, VSYSCALL), (201, VSYSCALL + 0x400), (309, VSYSCALL + 0x800), (309, VSYSCALL + 0xfff)]
        {
            assert_eq!(verdict_at(&p, ip, X86_64, number, [0; 6]), RET_TRAP, "call {number} at {ip:#x}");
            for elsewhere in
                [VSYSCALL - 1, VSYSCALL + 0x1000, VSYSCALL & 0xffff_ffff, VSYSCALL & !0xffff_ffff, 0x40_0000]
            {
                assert_eq!(
                    verdict_at(&p, elsewhere, X86_64, number, [0; 6]),
                    REFUSED,
                    "call {number} at {elsewhere:#x}"
                );
            }
        }
        assert_eq!(verdict_at(&p, VSYSCALL, I386, 96, [0; 6]), REFUSED);
    }

    #[test]
    fn a_process_ties_itself_to_the_supervisor_and_cannot_untie_itself() {
        let prctl = |option, value| passes(157, option, value);
        assert!(prctl(59, 0) && prctl(59, 1) && prctl(1, 9));
        for other in [0, 1, 15, 19, 64, 9 | HIGH, u64::MAX] {
            assert!(!prctl(1, other), "PR_SET_PDEATHSIG of {other:#x}");
        }
        for option in [0, 2, 3, 4, 22, 35, 38, 1 | HIGH, 0x3b | HIGH] {
            assert!(!prctl(option, 9), "option {option:#x}");
        }
    }

    #[test]
    fn messages_go_to_the_broker_alone() {
        for fd in 0..64 {
            assert_eq!(passes(46, fd, 0), [3, 4, 6].contains(&fd), "sendmsg on {fd}");
            assert!(!passes(46, fd | HIGH, 0), "sendmsg on {fd} with a high half");
        }
        assert!(!passes(46, u64::MAX, 0) && !passes(46, 1 << 63 | 3, 0));
    }

    #[test]
    fn the_sockets_of_the_broker_stay_open() {
        for fd in (0..64).chain([1 << 31, 0xffff_ffff]) {
            for high in [0, HIGH, 1 << 63, 0xffff_ffff << 32] {
                assert_eq!(passes(3, fd | high, 0), !(3..=6).contains(&fd), "close of {:#x}", fd | high);
            }
        }
    }
}
