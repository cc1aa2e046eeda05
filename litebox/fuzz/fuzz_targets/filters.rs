//! Filters of calls that programs install: `cargo fuzz run -s none filters` in `litebox`.
//!
//! The input is what a filter sees, 64 bytes, and behind it the filter, 8 bytes for each instruction.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litebox_common_linux::Arch;
use litebox_common_linux::seccomp::Passing;
use litebox_common_linux::seccomp::bpf::{INPUT_WORDS, Instruction, Program};

fn instruction(bytes: &[u8]) -> Instruction {
    let [a, b, jt, jf, k @ ..] = <[u8; 8]>::try_from(bytes).unwrap();
    Instruction { code: u16::from_le_bytes([a, b]), jt, jf, k: u32::from_le_bytes(k) }
}

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_at_checked(4 * INPUT_WORDS) else { return };
    let mut words = head.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let input: [u32; INPUT_WORDS] = std::array::from_fn(|_| words.next().unwrap());
    let instructions: Vec<_> = rest.chunks_exact(8).map(instruction).collect();
    let Some(Ok(program)) = Program::new(&instructions) else { return };
    // Nothing but words of the input is read.
    let result = program.run_with(|word| Some(input[usize::from(word)]));
    assert_eq!(result, Some(program.run(&input)));
    // What passes ahead passes with any arguments.
    let passing = Passing::ALL.narrowed_by(&program, Arch::X86_64);
    let mut input = input;
    input[1] = 0xc000_003e;
    for number in (0..512).filter(|number| passing.has(*number)) {
        input[0] = number;
        assert_eq!(program.run(&input), 0x7fff_0000);
    }
});
