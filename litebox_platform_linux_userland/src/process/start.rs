//! The first instructions of the program, whoever executes it.
//!
//! When root starts a sandbox, a helper makes its network namespace meanwhile: that takes the host half a millisecond,
//! as long as everything that the broker does before it starts the supervisor. The helper is a process that shares the
//! broker's memory and only makes system calls; the supervisor joins its namespace.
//!
//! Relocation writes to some fifty pages; they are brought in by one call instead of by a fault each. Then the ways
//! part. A user's `litebox` goes to the C library's `_start`. The supervisor, which has no use for that library, goes
//! on here: what the library does at its start, above all the questions it asks the processor (each one traps on a
//! virtual machine), takes a quarter of a millisecond. It needs two things of it: the relocations, and storage for the
//! thread-locals that the standard library's panics use.
//!
//! The program links with `-e litebox_entry`, and defines what the supervisor goes on with ([`start_supervisor!`]).
//!
//! [`start_supervisor!`]: crate::start_supervisor

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use litebox_common_linux::abi::memory::PAGE;

/// What the broker calls the supervisor with.
pub const SANDBOX_ARGUMENT: &str = "--litebox-sandbox";

/// Names the function that the supervisor goes on with: it is given who knows the auxiliary vector, and what the start
/// used.
#[macro_export]
macro_rules! start_supervisor {
    ($run:path) => {
        #[used]
        #[unsafe(link_section = "litebox_supervisor")]
        static START_SUPERVISOR: extern "C" fn() -> ! = start_supervisor;

        extern "C" fn start_supervisor() -> ! {
            $run($crate::start::aux, $crate::start::used())
        }
    };
}

// What the linker may leave to the start of a static-pie are relative relocations and those of functions with several
// versions. Everything else is libc's business, which then does all of it (again): the addends are in the table, so
// that twice is as good as once.
global_asm!(
    ".section .text.litebox_entry, \"ax\", @progbits",
    ".globl litebox_entry",
    ".type litebox_entry, @function",
    "litebox_entry:",
    "xor ebp, ebp",
    "mov r12, rsp",
    "mov r13, rdx",
    // `litebox run ...`, by root (geteuid)?
    "cmp qword ptr [r12], 3",
    "jb 1f",
    "mov rax, [r12 + 16]",
    "cmp dword ptr [rax], 0x6e7572",
    "jne 1f",
    "mov eax, 107",
    "syscall",
    "test eax, eax",
    "jnz 1f",
    "mov eax, 39",
    "syscall",
    "mov ebx, eax",
    // clone(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND, stack)
    "lea rbp, [rip + {helper}]",
    "mov edi, 0xf00",
    "lea rsi, [rbp + {stack_end}]",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, 56",
    "syscall",
    "test eax, eax",
    "jz 2f",
    "mov [rbp + {pid}], eax",
    "jmp 1f",
    // The helper. prctl(PR_SET_PDEATHSIG, SIGKILL), and if the broker is gone already, exit(0).
    "2: mov edi, 1",
    "mov esi, 9",
    "mov eax, 157",
    "syscall",
    "mov eax, 110",
    "syscall",
    "cmp eax, ebx",
    "mov edi, 0",
    "mov eax, 60",
    "jne 3f",
    // unshare(CLONE_NEWNET); 1: made, 2: refused.
    "mov edi, 0x40000000",
    "mov eax, 272",
    "syscall",
    "cmp eax, 1",
    "mov eax, 2",
    "sbb eax, 0",
    "mov [rbp + {state}], eax",
    // futex(&state, FUTEX_WAKE, all), then pause() until it is killed.
    "lea rdi, [rbp + {state}]",
    "mov esi, 1",
    "mov edx, 0x7fffffff",
    "mov eax, 202",
    "2: syscall",
    "mov eax, 34",
    "jmp 2b",
    "3: syscall",
    "ud2",
    "1: xor ebp, ebp",
    // madvise(pages of relocated and other data, MADV_POPULATE_WRITE); a host that does not know it refuses, which does
    // no harm.
    "lea rdi, [rip + __init_array_start]",
    "and rdi, -4096",
    "lea rsi, [rip + _end]",
    "sub rsi, rdi",
    "mov edx, 23",
    "mov eax, 28",
    "syscall",
    // The linker leaves a hole between both, where the call ends.
    "lea rdi, [rip + __data_start]",
    "and rdi, -4096",
    "lea rsi, [rip + _end]",
    "sub rsi, rdi",
    "mov eax, 28",
    "syscall",
    // Two arguments, the second that of the supervisor?
    "cmp qword ptr [r12], 2",
    "jne 9f",
    "mov rdi, [r12 + 16]",
    "lea rsi, [rip + {argument}]",
    "mov ecx, {length}",
    "repe cmpsb",
    "jne 9f",
    // The table of relocations: DT_RELA and DT_RELASZ. DT_RELR (36) is another kind.
    "lea rbx, [rip + __executable_start]",
    "lea rcx, [rip + _DYNAMIC]",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "2: mov rax, [rcx]",
    "test rax, rax",
    "jz 5f",
    "cmp rax, 36",
    "je 9f",
    "cmp rax, 7",
    "jne 3f",
    "mov r14, [rcx + 8]",
    "3: cmp rax, 8",
    "jne 4f",
    "mov r15, [rcx + 8]",
    "4: add rcx, 16",
    "jmp 2b",
    "5: add r14, rbx",
    "add r15, r14",
    // R_X86_64_RELATIVE (8): base and addend; R_X86_64_IRELATIVE (37) waits until the code it calls is relocated.
    "mov rsi, r14",
    "6: cmp rsi, r15",
    "jae 7f",
    "mov eax, [rsi + 8]",
    "mov rdx, [rsi]",
    "mov rcx, [rsi + 16]",
    "add rsi, 24",
    "cmp eax, 37",
    "je 6b",
    "cmp eax, 8",
    "jne 9f",
    "add rcx, rbx",
    "mov [rbx + rdx], rcx",
    "jmp 6b",
    // A function with several versions: what is at base and addend says which. Nobody asked the processor, so it is the
    // plainest.
    "7: cmp r14, r15",
    "jae 8f",
    "mov eax, [r14 + 8]",
    "add r14, 24",
    "cmp eax, 37",
    "jne 7b",
    "mov rax, [r14 - 8]",
    "add rax, rbx",
    "call rax",
    "mov rdx, [r14 - 24]",
    "mov [rbx + rdx], rax",
    "jmp 7b",
    "8: mov rdi, r12",
    "call {begin}",
    // Tests of this crate have none.
    // What `start_supervisor!` left in that section, if the program has it.
    ".weak __start_litebox_supervisor",
    "mov rax, [rip + __start_litebox_supervisor@GOTPCREL]",
    "call [rax]",
    "ud2",
    "9: mov rsp, r12",
    "mov rdx, r13",
    "jmp _start",
    ".size litebox_entry, . - litebox_entry",
    begin = sym begin,
    argument = sym ARGUMENT,
    helper = sym HELPER,
    state = const offset_of!(Helper, state),
    pid = const offset_of!(Helper, pid),
    stack_end = const size_of::<Helper>(),
    length = const SANDBOX_ARGUMENT.len() + 1,
);

/// The argument by which the supervisor is known, as it stands in memory.
static ARGUMENT: [u8; SANDBOX_ARGUMENT.len() + 1] = {
    let mut with_zero = [0; SANDBOX_ARGUMENT.len() + 1];
    let mut at = 0;
    while at < SANDBOX_ARGUMENT.len() {
        with_zero[at] = SANDBOX_ARGUMENT.as_bytes()[at];
        at += 1;
    }
    with_zero
};

/// The helper that makes the network namespace.
#[repr(C, align(16))]
struct Helper {
    state: AtomicU32,
    pid: AtomicI32,
    /// It never pushes anything.
    stack: UnsafeCell<[u8; 120]>,
}

// SAFETY: nobody touches the stack but the helper.
unsafe impl Sync for Helper {}

static HELPER: Helper = Helper { state: AtomicU32::new(0), pid: AtomicI32::new(0), stack: UnsafeCell::new([0; 120]) };

/// The helper that makes a network namespace, if there is one: its process, and the word that tells how far it is (0, 1
/// made, 2 refused). To be asked once.
pub fn network_helper() -> Option<(i32, &'static AtomicU32)> {
    let _ = &HELPER.stack;
    let pid = HELPER.pid.swap(0, Ordering::Relaxed);
    (pid > 0).then_some((pid, &HELPER.state))
}

/// The auxiliary vector: pairs of key and value, up to the key 0.
static AUX: AtomicPtr<[u64; 2]> = AtomicPtr::new(core::ptr::null_mut());

/// What the host said at the start under a key of the auxiliary vector; 0: nothing.
pub fn aux(key: u64) -> u64 {
    let mut at = AUX.load(Ordering::Relaxed);
    if at.is_null() {
        return 0;
    }
    // SAFETY: the host wrote the vector and its end; it stays where it is.
    unsafe {
        while (*at)[0] != 0 {
            if (*at)[0] == key {
                return (*at)[1];
            }
            at = at.add(1);
        }
    }
    0
}

/// One entry of the table of program headers.
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_size: u64,
    size: u64,
    align: u64,
}

/// Thread-locals end where FS leads; there, and behind, is what the C library keeps of a thread (its first and third
/// word are FS itself).
#[repr(C, align(64))]
struct Storage(UnsafeCell<[u8; STORAGE]>);

const STORAGE: usize = 8192;
const POINTER: usize = STORAGE / 2;

// SAFETY: written once, by the only thread there is.
unsafe impl Sync for Storage {}

static THREAD: Storage = Storage(UnsafeCell::new([0; STORAGE]));

unsafe extern "C" {
    static __executable_start: u8;
}

/// Gives the only thread its thread-locals.
fn make_thread_locals() {
    const AT_PHDR: u64 = 3;
    const AT_PHNUM: u64 = 5;
    const PT_TLS: u32 = 7;
    const ARCH_PRCTL: usize = 158;
    const ARCH_SET_FS: usize = 0x1002;
    let headers = aux(AT_PHDR) as *const ProgramHeader;
    let base = &raw const __executable_start;
    // SAFETY: the host says where the headers are; the linker says what is in them. The image of the thread-locals is
    // far smaller than the storage, or nothing starts (`copy_from_slice` checks).
    unsafe {
        let storage = &mut *THREAD.0.get();
        let pointer = (&raw const storage[POINTER]) as u64;
        for at in 0..aux(AT_PHNUM) as usize {
            let header = &*headers.add(at);
            if header.kind == PT_TLS {
                let padding = (header.address + header.size).wrapping_neg() & (header.align - 1);
                let start = POINTER - (header.size + padding) as usize;
                let len = header.file_size as usize;
                let image = core::slice::from_raw_parts(base.add(header.address as usize), len);
                storage[start..start + len].copy_from_slice(image);
            }
        }
        storage[POINTER..POINTER + 8].copy_from_slice(&pointer.to_ne_bytes());
        storage[POINTER + 16..POINTER + 24].copy_from_slice(&pointer.to_ne_bytes());
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => _,
            in("rdi") ARCH_SET_FS,
            in("rsi") pointer,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
}

fn program_break() -> usize {
    const BRK: usize = 12;
    let now;
    // SAFETY: asks, and changes nothing.
    unsafe {
        asm!("syscall", inlateout("rax") BRK => now, in("rdi") 0, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    now
}

/// The host puts the program's name at the end of the stack, and a word behind it.
fn stack_end() -> usize {
    const AT_EXECFN: u64 = 31;
    let name = aux(AT_EXECFN) as *const core::ffi::c_char;
    if name.is_null() {
        return 0;
    }
    // `CStr` may call the C library's `strlen`, which is one of the functions with several versions.
    // SAFETY: the host says where the name is, and ends it with a zero.
    let len = (0..PAGE).take_while(|at| unsafe { *name.add(*at) } != 0).count();
    (name as usize + len + 1 + size_of::<usize>()).next_multiple_of(PAGE)
}

/// What the start of the supervisor used, as [`Settings`](crate::Settings) has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Where the program's break is.
    pub program_break: usize,
    /// Where the stack ends.
    pub stack_end: usize,
}

/// What it has used until now.
pub fn used() -> Used {
    Used { program_break: program_break(), stack_end: stack_end() }
}

/// The supervisor's start. `stack`: number of arguments, arguments, 0, environment, 0, auxiliary vector.
unsafe extern "C" fn begin(stack: *const u64) {
    // SAFETY: the host laid it out so.
    unsafe {
        let mut at = stack.add(*stack as usize + 2);
        while *at != 0 {
            at = at.add(1);
        }
        AUX.store(at.add(1).cast_mut().cast(), Ordering::Relaxed);
    }
    make_thread_locals();
}
