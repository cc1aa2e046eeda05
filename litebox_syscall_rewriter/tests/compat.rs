//! Sites of 32-bit code: what is moved, where trampolines may lie, and that they can be moved with their code.
#![expect(clippy::unwrap_used, reason = "what is not there is a failed test")]

use litebox_syscall_rewriter::{
    CodeMode, FAR_CALL_LEN, JUMP_LEN, PRIVILEGED_OPCODES, Patch, PatchKind, Plan, Refusal, Site, Target, analyse,
};

const START: u64 = 0xf7f3_4000;
const TARGET: Target = Target { call: 0xff00_0000, cpuid: 0xff00_0040 };

/// The plan for the `int $0x80` in `code`, which lies at `start` and loads number 20 if it loads one.
fn plan_at(code: &[u8], start: u64) -> Result<Plan, Refusal> {
    let at = code.windows(2).position(|bytes| bytes == CodeMode::Compat.call()).unwrap();
    let syscall = start + at as u64;
    analyse(&Site { bytes: code, start, mode: CodeMode::Compat, syscall, number: 20, known: None })
}

fn plan(code: &[u8]) -> Result<Plan, Refusal> {
    plan_at(code, START)
}

/// The first place of a trampoline below the code.
fn place(plan: &Plan) -> u64 {
    let stretch = plan.stretches(1 << 20, 1 << 20).next().unwrap();
    let mut windows = plan.windows(*stretch.start(), *stretch.end());
    windows.find_map(|w| Some(w.start().next_multiple_of(16)).filter(|at| w.contains(at))).unwrap()
}

fn patch(plan: &Plan) -> Patch {
    plan.assemble(place(plan), TARGET).unwrap()
}

fn distances(patch: &Patch, header: usize) -> [u64; 2] {
    let word = |at: usize| i32::from_le_bytes(*patch.trampoline_bytes[at..].first_chunk().unwrap());
    [0, 4].map(|at| (patch.trampoline + header as u64).wrapping_add_signed(word(header + at).into()))
}

#[test]
fn the_load_of_the_number_makes_room() {
    // mov $20,%eax; int $0x80; ret
    let patch = patch(&plan(&[0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]).unwrap());
    assert_eq!((patch.kind, patch.jump, patch.syscall), (PatchKind::Before, START, START + 5));
    assert!(patch.trampoline_bytes.starts_with(&[0xb8, 20, 0, 0, 0, 0x9a, 0, 0, 0, 0xff, 0x33, 0]));
    assert_eq!(distances(&patch, JUMP_LEN + FAR_CALL_LEN), [START + 7; 2]);
    assert_eq!(patch.original_of(patch.fallback), Some(patch.syscall));
    assert_eq!(patch.original_of(patch.trampoline), Some(patch.jump));
}

#[test]
fn instructions_behind_the_call_are_moved() {
    // int $0x80; test %eax,%eax; jle +2; ret
    let patch = patch(&plan(&[0x90, 0x90, 0xcd, 0x80, 0x85, 0xc0, 0x7e, 0x02, 0xc3, 0x90, 0x90]).unwrap());
    assert_eq!((patch.kind, patch.jump, patch.syscall), (PatchKind::After, START + 2, START + 2));
    let [next, resume] = distances(&patch, FAR_CALL_LEN);
    assert_eq!(next, START + 4);
    assert_eq!(patch.copy_of(START + 4), Some(resume), "the test");
    assert_eq!(patch.copy_of(START + 6), Some(resume + 2), "the branch");
    for boundary in [2, 4] {
        let byte = patch.jump_bytes[boundary];
        assert!(PRIVILEGED_OPCODES.contains(&byte), "{byte:#x} at {boundary}");
    }
}

#[test]
fn only_padding_may_follow_an_end() {
    // int $0x80; ret; lea 0(%esi,%eiz,1),%esi
    assert!(plan(&[0xcd, 0x80, 0xc3, 0x8d, 0x74, 0x26, 0x00]).is_ok());
    // ... lea 1(%esi),%esi; lea 0(%edi),%esi; mov
    for behind in [[0x8d, 0x76, 0x01, 0x90], [0x8d, 0x77, 0x00, 0x90], [0x89, 0xc0, 0x90, 0x90]] {
        let code = [&[0xcd, 0x80, 0xc3][..], &behind].concat();
        assert_eq!(plan(&code).err(), Some(Refusal::EndsEarly), "{behind:x?}");
    }
    // A call behind it, and 64-bit code.
    assert_eq!(plan(&[0xcd, 0x80, 0xe8, 0, 0, 0, 0]).err(), Some(Refusal::Unmovable));
    let long = Site {
        bytes: &[0xcd, 0x80, 0x90, 0x90, 0x90],
        start: START,
        mode: CodeMode::Long,
        syscall: START,
        number: 20,
        known: None,
    };
    assert_eq!(analyse(&long).err(), Some(Refusal::NotSyscall));
}

#[test]
fn a_trampoline_names_no_address_of_its_own() {
    let codes: [&[u8]; 3] = [
        &[0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3],
        &[0xcd, 0x80, 0x90, 0x90, 0x90, 0xc3],
        &[0xcd, 0x80, 0xeb, 0x02, 0x90, 0x90, 0xc3],
    ];
    for code in codes {
        let low = patch(&plan(code).unwrap());
        let by = 0x12_3000;
        let high = plan_at(code, START + by).unwrap().assemble(low.trampoline + by, TARGET).unwrap();
        assert_eq!(high, low.moved_by(by), "{code:x?}");
    }
}
