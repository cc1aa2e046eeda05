//! Executes code as it is and patched, and compares.

pub mod machine;
pub mod program;

use litebox_syscall_rewriter::{CodeMode, Patch, PatchKind, Plan, Refusal, Site, Target, analyse};

use machine::{Machine, MachineState, Memory};
use program::{CODE_AT, DATA_LEN, Program};

const PAGE: usize = 4096;
const STACK_LEN: usize = 512;
/// Where the stack ends in the memory of the code.
const STACK_END: usize = 2 * PAGE;
const LEN: usize = 2 * PAGE;
const REGION_LEN: usize = 64 << 10;
/// Where AddressSanitizer keeps nothing.
const FIRST_PLACE: u64 = 0x2000_0000_0000;

/// What was done with a program.
pub enum Done {
    /// It behaves the same.
    Same(PatchKind),
    /// It is not patched.
    Refused(Refusal),
}

/// Where the trampoline can be, and memory for it.
fn region(plan: &Plan) -> Option<(Memory, u64)> {
    for stretch in plan.stretches(1 << 20, 1 << 20).take(100) {
        let base = stretch.start() & !(PAGE as u64 - 1);
        let Some(memory) = Memory::map(base, REGION_LEN) else { continue };
        let last = base + (REGION_LEN - plan.room()) as u64;
        let place = plan.windows(base, last).find_map(|window| {
            let address = window.start().next_multiple_of(16);
            window.contains(&address).then_some(address)
        });
        return Some((memory, place?));
    }
    None
}

/// Everything a program can change.
#[derive(PartialEq, Debug)]
struct RunResult {
    state: MachineState,
    data: Vec<u8>,
    stack: Vec<u8>,
}

/// Writes the program and what it works on.
fn write(memory: &mut Memory, program: &Program) {
    let bytes = memory.bytes();
    bytes.fill(0xcc);
    for (i, byte) in bytes[..DATA_LEN].iter_mut().enumerate() {
        *byte = (i * 37) as u8;
    }
    bytes[STACK_END - STACK_LEN..].fill(0x5a);
    // jmp *(%rip) to the end.
    let code = [&program.code[..], &[0xff, 0x25, 0, 0, 0, 0], &machine::finish().to_le_bytes()].concat();
    bytes[CODE_AT..CODE_AT + code.len()].copy_from_slice(&code);
}

fn run(machine: &Machine, memory: &mut Memory, program: &Program, entry: usize, patch: Option<&Patch>) -> RunResult {
    write(memory, program);
    let boundaries = patch.map(|patch| {
        let jump = (patch.jump - memory.at) as usize;
        memory.bytes()[jump..jump + patch.jump_bytes.len()].copy_from_slice(&patch.jump_bytes);
        patch.moved.iter().filter_map(|(at, _)| Some((*at, patch.copy_of(*at)?))).collect()
    });
    let boundaries: Vec<_> = boundaries.unwrap_or_default();
    let mut state = MachineState { registers: program.registers, flags: program.flags, ..MachineState::default() };
    state.registers[4] = memory.at + (STACK_END - STACK_LEN / 2) as u64;
    state.vectors = [u128::MAX / 7, u128::MAX / 11];
    let start = memory.at + (CODE_AT + entry) as u64;
    // SAFETY: the program's instructions touch the data, the stack and registers, and lead to its end.
    let state = unsafe { machine.run(start, state, &boundaries) };
    let bytes = memory.bytes();
    RunResult { state, data: bytes[..DATA_LEN].to_vec(), stack: bytes[STACK_END - STACK_LEN..].to_vec() }
}

/// Executes the program from each of its entries with and without the patch.
fn run_both(machine: &Machine, memory: &mut Memory, program: &Program, patch: &Patch) {
    for &entry in &program.entries {
        let (calls, recovered) = (machine.calls(), machine.recovered());
        let original = run(machine, memory, program, entry, None);
        assert_eq!((machine.calls(), machine.recovered()), (calls, recovered), "the original was patched");
        let patched = run(machine, memory, program, entry, Some(patch));
        assert!(
            original == patched,
            "entered at {entry} of {:02x?}, call at {}:\n{:x?}\n{:x?}",
            program.code,
            program.syscall,
            original.state,
            patched.state
        );
        assert!(entry > 0 || machine.calls() > calls, "the patch is not used");
    }
}

/// Patches the program that `bytes` describe, and executes it from each of its entries before and after.
///
/// # Panics
/// When it behaves differently.
pub fn compare(bytes: &[u8]) -> Done {
    let program = Program::new(bytes);
    let machine = Machine::take();
    let mut memory = (0..64).find_map(|n| Memory::map(FIRST_PLACE + n * (1 << 33), LEN)).expect("there is room");
    write(&mut memory, &program);
    let (start, number) = (memory.at, u64::from(program.number));
    let syscall = start + (CODE_AT + program.syscall) as u64;
    let plan = match analyse(&Site { bytes: memory.bytes(), start, mode: CodeMode::Long, syscall, number, known: None })
    {
        Ok(plan) => plan,
        Err(refusal) => return Done::Refused(refusal),
    };
    let known = Some(plan.kind());
    let again = analyse(&Site { bytes: memory.bytes(), start, mode: CodeMode::Long, syscall, number, known })
        .expect("it was patched before");
    assert_eq!((again.jump(), again.original()), (plan.jump(), plan.original()), "a known site is patched differently");
    let Some((mut trampolines, place)) = region(&plan) else { return Done::Refused(Refusal::TooFar) };
    let patch = match plan.assemble(place, Target { call: machine::called(), cpuid: 0 }) {
        Ok(patch) => patch,
        Err(refusal) => return Done::Refused(refusal),
    };
    assert!(patch.trampoline_bytes.len() <= plan.room(), "the trampoline is longer than was said");
    let at = (place - trampolines.at) as usize;
    trampolines.bytes()[at..at + patch.trampoline_bytes.len()].copy_from_slice(&patch.trampoline_bytes);
    run_both(&machine, &mut memory, &program, &patch);
    // The same bytes, elsewhere.
    for by in (1..64).map(|n: u64| n << 30) {
        let moved = Memory::map(memory.at + by, LEN).zip(Memory::map(trampolines.at + by, REGION_LEN));
        let Some((mut memory, mut moved)) = moved else { continue };
        moved.bytes().copy_from_slice(trampolines.bytes());
        run_both(&machine, &mut memory, &program, &patch.moved_by(by));
        break;
    }
    Done::Same(plan.kind())
}
