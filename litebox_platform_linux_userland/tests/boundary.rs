//! The whole way of a guest without a Linux around it: the broker starts this program again as a supervisor, which
//! clones a guest process whose few instructions call the smallest possible North. What the host refuses must end the
//! sandbox with one line.
//!
//! Each case runs as a process of its own (`boundary case NAME`), whose output and status are compared.
#![expect(clippy::expect_used, reason = "a test")]

use std::alloc::System;
use std::arch::global_asm;
use std::ffi::CString;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use litebox::event::Waiter;
use litebox::platform::compat::CpuMode;
use litebox::platform::fast_syscalls::FastSyscalls;
use litebox::platform::north::{Fault, GuestFrame, North, Registers};
use litebox::platform::{Backing, HostFd, HostThread, MapMode, Prot, ThreadSpec, host};
use litebox_platform_linux_userland::host::call;
use litebox_platform_linux_userland::host::filter::ALLOWED;
use litebox_platform_linux_userland::host::interception::Interception;
use litebox_platform_linux_userland::memory::heap::Allocator;
use litebox_platform_linux_userland::{Counted, FirstProcess, Patching, Settings, start, supervise};
use litebox_protocol::start_fd;

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator(System);

/// Where guest code and its stack lie.
const CODE: usize = 0x40_0000;
const CODE_LEN: usize = 0x1000;
const STACK: usize = 0x50_0000;
const STACK_LEN: usize = 0x1_0000;

// Guest code, position-independent; r15 holds the gadget's address.
global_asm!(
    ".section .rodata.guest, \"a\", @progbits",
    ".globl guest_hello",
    "guest_hello:",
    "mov eax, 1",
    "mov edi, 1",
    "lea rsi, [rip + 2f]",
    "mov edx, 6",
    "syscall",
    "mov edi, eax",
    "mov eax, 60",
    "syscall",
    "2: .ascii \"hello\\n\"",
    // Every register a call preserves has a value; the exit status is the number of those that changed.
    ".globl guest_registers",
    "guest_registers:",
    "mov rbx, 0x1111111111111111",
    "mov rbp, 0x2222222222222222",
    "mov r12, 0x3333333333333333",
    "mov r13, 0x4444444444444444",
    "movq xmm0, rbx",
    "movq xmm15, rbp",
    "mov [rsp - 8], rbx",
    "mov [rsp - 128], r12",
    "mov eax, 39",
    "lea r14, [rip + 3f]",
    "syscall",
    "3:",
    "xor edi, edi",
    "cmp rcx, r14",
    "setne dil",
    "mov rdx, 0x1111111111111111",
    "cmp rbx, rdx",
    "setne al",
    "movzx eax, al",
    "add edi, eax",
    "movq rsi, xmm0",
    "cmp rsi, rdx",
    "setne al",
    "add edi, eax",
    "cmp [rsp - 8], rdx",
    "setne al",
    "add edi, eax",
    "mov rdx, 0x2222222222222222",
    "cmp rbp, rdx",
    "setne al",
    "add edi, eax",
    "movq rsi, xmm15",
    "cmp rsi, rdx",
    "setne al",
    "add edi, eax",
    "mov rdx, 0x3333333333333333",
    "cmp [rsp - 128], rdx",
    "setne al",
    "add edi, eax",
    "cmp r12, rdx",
    "setne al",
    "add edi, eax",
    "mov eax, 60",
    "syscall",
    // Reads address 8.
    ".globl guest_fault",
    "guest_fault:",
    "mov rax, [8]",
    "ud2",
    // A bad pointer: the call answers EFAULT (14), which is the exit status.
    ".globl guest_bad_pointer",
    "guest_bad_pointer:",
    "mov eax, 1",
    "mov edi, 1",
    "mov esi, 64",
    "mov edx, 6",
    "syscall",
    "neg eax",
    "mov edi, eax",
    "mov eax, 60",
    "syscall",
    // Runs for ever until the alarm the North set interrupts it.
    ".globl guest_spin",
    "guest_spin:",
    "mov eax, 37",
    "syscall",
    "4: jmp 4b",
    // Starts a thread (its entry is the next instruction with rbx = 1) that ends the process.
    ".globl guest_thread",
    "guest_thread:",
    "xor ebx, ebx",
    "mov eax, 56",
    "syscall",
    "test ebx, ebx",
    "jnz 6f",
    "5: mov eax, 24",
    "syscall",
    "jmp 5b",
    "6: mov edi, 9",
    "mov eax, 60",
    "syscall",
    // Behaves as if it had taken over the kernel: calls the host's socket, i386 entry, and mount through the gadget.
    ".globl guest_socket",
    "guest_socket:",
    "mov eax, 41",
    "mov edi, 2",
    "mov esi, 1",
    "xor edx, edx",
    "call r15",
    "ud2",
    ".globl guest_tiocsti",
    "guest_tiocsti:",
    "mov eax, 16",
    "mov edi, 0",
    "mov esi, 0x5412",
    "mov rdx, rsp",
    "call r15",
    "ud2",
    ".globl guest_x32",
    "guest_x32:",
    "mov eax, 0x40000001",
    "call r15",
    "ud2",
    // Makes the host call whose number is in r14 with no arguments, through the gadget.
    ".globl guest_number",
    "guest_number:",
    "mov eax, r14d",
    "xor edi, edi",
    "xor esi, esi",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "call r15",
    "mov eax, 60",
    "xor edi, edi",
    "syscall",
    ".globl guest_end",
    "guest_end:",
    ".text",
);

unsafe extern "C" {
    static guest_hello: u8;
    static guest_registers: u8;
    static guest_fault: u8;
    static guest_bad_pointer: u8;
    static guest_spin: u8;
    static guest_thread: u8;
    static guest_socket: u8;
    static guest_tiocsti: u8;
    static guest_x32: u8;
    static guest_number: u8;
    static guest_end: u8;
}

/// A case: its guest code, and what it must print and return.
struct Case {
    name: &'static str,
    code: *const u8,
    output: &'static str,
    error: &'static str,
    status: i32,
}

fn cases() -> Vec<Case> {
    let case = |name, code, output, error, status| Case { name, code, output, error, status };
    vec![
        case("hello", &raw const guest_hello, "hello\n", "", 6),
        case("registers", &raw const guest_registers, "", "", 0),
        case("fault", &raw const guest_fault, "", "", 128 + 11),
        case("bad_pointer", &raw const guest_bad_pointer, "", "", 14),
        case("spin", &raw const guest_spin, "", "", 128 + 14),
        case("thread", &raw const guest_thread, "", "", 9),
        case("socket", &raw const guest_socket, "", "litebox: refused host call socket (41, x86_64)", 159),
        case("tiocsti", &raw const guest_tiocsti, "", "litebox: refused host call ioctl (16, x86_64)", 159),
        case("x32", &raw const guest_x32, "", "litebox: refused host call write (1, x32)", 159),
    ]
}

struct Thread {
    host: HostThread,
    waiter: Waiter,
    fast_syscalls: FastSyscalls,
}

/// write, getpid, exit; sched_yield, alarm and clone with meanings of their own.
struct TinyNorth;

litebox::register_north!(TinyNorth);

static ALARMED: AtomicU32 = AtomicU32::new(0);

fn new_thread() -> &'static Thread {
    Box::leak(Box::new(Thread {
        host: HostThread::default(),
        waiter: Waiter::default(),
        fast_syscalls: FastSyscalls::default(),
    }))
}

impl North for TinyNorth {
    fn syscall(&self, frame: &mut GuestFrame<'_>) {
        let r = &mut *frame.regs;
        let (a, b, c) = (r.rdi as usize, r.rsi as usize, r.rdx as usize);
        r.rax = match r.rax {
            1 => {
                let mut bytes = vec![0u8; c];
                if host().copy_from_user(&mut bytes, b) < c {
                    14u64.wrapping_neg()
                } else {
                    // SAFETY: the buffer is valid.
                    unsafe { host().host_write(HostFd(a as i32), bytes.as_ptr() as usize, c) }.unwrap_or(0) as u64
                }
            }
            24 => {
                host().yield_now();
                0
            }
            37 => {
                ALARMED.store(1, Ordering::Relaxed);
                let soon = host().now(litebox::platform::ClockId::Monotonic) + Duration::from_millis(20);
                host().set_alarm(litebox::platform::AlarmClock::Monotonic, Some(soon));
                0
            }
            39 => 1,
            56 => {
                let mut regs = *r;
                regs.rbx = 1;
                regs.rsp -= 4096;
                let thread = new_thread();
                let spec = ThreadSpec {
                    north: core::ptr::from_ref(thread).cast(),
                    host: &thread.host,
                    waiter: &thread.waiter,
                    regs: &regs,
                    fp: None,
                    fs_base: 0,
                    gs_base: 0,
                    mode: CpuMode::Long,
                    segments: None,
                    fast_syscalls: &thread.fast_syscalls,
                };
                host().spawn_thread(&spec).map_or(11u64.wrapping_neg(), |()| 0)
            }
            60 => host().end_sandbox((a as i32 & 0xff) << 8),
            _ => 38u64.wrapping_neg(),
        };
    }
    fn fault(&self, _frame: &mut GuestFrame<'_>, fault: Fault) {
        host().end_sandbox(if fault.addr == 8 { 11 } else { 4 })
    }
    fn kicked(&self, _frame: &mut GuestFrame<'_>) {
        // SAFETY: the thread object that was given to the host.
        let thread = unsafe { &*host().current_north().cast::<Thread>() };
        thread.waiter.clear_interrupt();
        if ALARMED.load(Ordering::Relaxed) == 1 {
            host().end_sandbox(14);
        }
    }
    fn resolve_fault(&self, _addr: usize, _write: bool) -> bool {
        false
    }
    fn host_ready(&self, _token: u64, _events: u16) {}
    fn outside_signal(&self, _signal: i32) {}
}

/// The guest process: maps the case's code and goes there.
struct Guest {
    code: *const u8,
    /// Value of r14: the number of a host call to make.
    number: u64,
}

impl FirstProcess for Guest {
    fn run(&self) -> ! {
        let rwx = Prot::READ | Prot::WRITE | Prot::EXEC;
        let rw = Prot::READ | Prot::WRITE;
        host().map(CODE, CODE_LEN, rwx, MapMode::empty(), Backing::Anonymous).expect("code");
        host().map(STACK, STACK_LEN, rw, MapMode::empty(), Backing::Anonymous).expect("stack");
        let len = (&raw const guest_end) as usize - self.code as usize;
        // SAFETY: the code lies in this program up to `guest_end`.
        let code = unsafe { core::slice::from_raw_parts(self.code, len.min(CODE_LEN)) };
        assert_eq!(host().copy_to_user(CODE, code), code.len());
        let regs = Registers {
            rip: CODE as u64,
            rsp: (STACK + STACK_LEN) as u64,
            r14: self.number,
            r15: call::gadget() as u64,
            eflags: 0x202,
            ..Registers::default()
        };
        let thread = new_thread();
        host().enter_first(&ThreadSpec {
            north: core::ptr::from_ref(thread).cast(),
            host: &thread.host,
            waiter: &thread.waiter,
            regs: &regs,
            fp: None,
            fs_base: 0,
            gs_base: 0,
            mode: CpuMode::Long,
            segments: None,
            fast_syscalls: &thread.fast_syscalls,
        })
    }
}

unsafe extern "C" {
    fn getauxval(key: u64) -> u64;
}

fn supervisor() -> ! {
    // SAFETY: the broker leaves the configuration there and nobody else uses it.
    let mut config = unsafe { std::fs::File::from_raw_fd(start_fd::CONFIG) };
    let mut text = String::new();
    config.read_to_string(&mut text).expect("configuration");
    drop(config);
    // There are no grants to be described.
    let text = text.trim_start_matches('\0');
    let (name, interception) = text.split_once(' ').expect("configuration");
    let number = name.parse().ok();
    let code = match number {
        Some(_) => &raw const guest_number,
        None => cases().into_iter().find(|c| c.name == name).expect("a known case").code,
    };
    let interception = if interception == "seccomp" { Interception::Seccomp } else { Interception::Sud };
    let settings = Settings {
        arena_size: 64 << 20,
        interception,
        patching: Patching::Auto,
        broker: start_fd::REQUESTS,
        readers: start_fd::READERS,
        page: start_fd::PAGE,
        flags: start_fd::FLAGS,
        ahead: false,
        events: start_fd::EVENTS,
        stats: false,
        counted: Counted::No,
        console: false,
        tells: false,
        // SAFETY: reads the library's copy of the vector.
        aux: |key| unsafe { getauxval(key) },
        // The C library keeps what it needs there.
        program_break: 0,
        stack_end: 0,
    };
    if let Err(e) = start(settings) {
        eprintln!("litebox: {}: {:?}", e.what, e.error);
        std::process::exit(125);
    }
    supervise(&Guest { code, number: number.unwrap_or(0) })
}

fn run_case(name: &str, interception: &str, namespaces: bool) -> u8 {
    let arguments = ["boundary", "--litebox-sandbox"].map(|a| CString::new(a).expect("no zero byte")).to_vec();
    let mut launch = litebox_broker::Launch::new(arguments);
    launch.config = format!("{name} {interception}").into_bytes();
    launch.limits.timeout = Some(Duration::from_secs(10));
    launch.no_namespaces = !namespaces;
    launch.kick_signal = 62;
    litebox_broker::run(launch).status
}

fn check_all() -> bool {
    let mut good = true;
    let this = std::env::current_exe().expect("own path");
    for case in cases() {
        for interception in ["sud", "seccomp"] {
            for namespaces in ["with", "without"] {
                let output = Command::new(&this)
                    .args(["case", case.name, interception, namespaces])
                    .output()
                    .expect("running a case");
                let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                let fine = out == case.output
                    && output.status.code() == Some(case.status)
                    && if case.error.is_empty() { err.is_empty() } else { err.starts_with(case.error) };
                good &= fine;
                let verdict = if fine { "ok" } else { "FAILED" };
                println!("{} ({interception}, {namespaces} namespaces): {verdict}", case.name);
                if !fine {
                    println!(
                        "  status {:?}, wanted {}\n  stdout {out:?}\n  stderr {err:?}",
                        output.status, case.status
                    );
                }
            }
        }
    }
    good & check_numbers(&this)
}

/// Every host call from 0 to 600, made by a guest that found the gadget: what the filter does not list, or lists for
/// other arguments than zeros, ends the sandbox with its line; the rest neither hangs nor is reported as refused.
fn check_numbers(this: &std::path::Path) -> bool {
    const NOT_WITH_ZEROS: [usize; 3] = [16, 46, 157];
    /// uretprobe and uprobe: newer kernels serve them before any filter, and refuse whoever is not in their own
    /// trampoline.
    const BEFORE_FILTERS: [usize; 2] = [335, 336];
    const HIGHEST: usize = 600;
    let check = |number: usize| {
        let namespaces = if number % 2 == 0 { "with" } else { "without" };
        let output = Command::new(this)
            .args(["case", &number.to_string(), "sud", namespaces])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("running a case");
        let err = String::from_utf8_lossy(&output.stderr);
        let listed = ALLOWED.iter().any(|c| c.number == number) && !NOT_WITH_ZEROS.contains(&number);
        let said = err.lines().count() == 1
            && err.starts_with("litebox: refused host call ")
            && err.contains(&format!("({number}, x86_64)"));
        let refused = output.status.code() == Some(159) && said;
        let fine = (refused != listed || BEFORE_FILTERS.contains(&number)) && output.status.code() != Some(124);
        if !fine {
            println!("host call {number}: FAILED, status {:?}, stderr {err:?}", output.status);
        }
        fine
    };
    std::thread::scope(|s| {
        let halves: Vec<_> = [0, 1]
            .map(|half| s.spawn(move || (0..=HIGHEST).filter(|n| n / 2 % 2 == half).filter(|&n| !check(n)).count()))
            .into_iter()
            .collect();
        halves.into_iter().map(|h| h.join().expect("a checker")).sum::<usize>() == 0
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["--litebox-sandbox"] => supervisor(),
        ["case", name, interception, namespaces] => ExitCode::from(run_case(name, interception, *namespaces == "with")),
        // What cargo-nextest asks of a test program.
        words if words.contains(&"--list") => {
            if !words.contains(&"--ignored") {
                println!("boundary: test");
            }
            ExitCode::SUCCESS
        }
        _ if check_all() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
