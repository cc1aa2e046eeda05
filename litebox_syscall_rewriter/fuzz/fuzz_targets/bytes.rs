//! Any bytes around a call or a `cpuid`, of 64-bit or 32-bit code: `cargo fuzz run -s none bytes` in
//! `litebox_syscall_rewriter`.
//!
//! What comes out is not executed, but it is consistent: the jump goes to the trampoline, every boundary that it
//! overwrites reads as an opcode that raises an exception, and has a copy in the trampoline.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litebox_syscall_rewriter::{
    CPUID, CodeMode, INVALID_OPCODES, JUMP_LEN, PRIVILEGED_OPCODES, PatchKind, Site, Target, analyse,
};


fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<4>() else { return };
    let [at, number, known, place] = *head;
    let (mode, start) = if known & 0x80 == 0 {
        (CodeMode::Long, 0x7f12_3456_0000)
    } else {
        (CodeMode::Compat, 0xf7f3_4000)
    };
    let mut bytes = rest.to_vec();
    let at = usize::from(at) % (bytes.len() + 1);
    let kinds = [
        None, Some(PatchKind::Before), Some(PatchKind::After), Some(PatchKind::Cpuid), Some(PatchKind::CpuidLoad),
    ];
    let known = kinds[usize::from(known) % kinds.len()];
    if let Some(call) = bytes.get_mut(at..at + 2) {
        call.copy_from_slice(if known.is_some_and(PatchKind::is_cpuid) { &CPUID } else { &mode.call() });
    }
    let site = Site { bytes: &bytes, start, mode, syscall: start + at as u64, number: number.into(), known };
    let Ok(plan) = analyse(&site) else { return };
    let original = plan.original();
    assert!(original.len() >= JUMP_LEN);
    let from = (plan.jump() - start) as usize;
    assert_eq!(&bytes[from..from + original.len()], original);
    let Some(stretch) = plan.stretches(1 << 20, 1 << 20).nth(place.into()) else { return };
    let Some(window) = plan.windows(*stretch.start(), *stretch.end()).next() else { return };
    let address = window.start().next_multiple_of(16);
    if !window.contains(&address) {
        return;
    }
    let Ok(patch) = plan.assemble(address, Target { call: 0x1234, cpuid: 0x1238 }) else { return };
    assert!(patch.trampoline_bytes.len() <= plan.room());
    let distance = i32::from_le_bytes(*patch.jump_bytes.last_chunk().unwrap());
    assert_eq!(patch.jump.wrapping_add(5).wrapping_add_signed(distance.into()), address);
    for (boundary, copy) in &patch.moved {
        assert!((address..address + patch.trampoline_bytes.len() as u64).contains(copy));
        let inside = boundary.checked_sub(patch.jump).filter(|at| (1..JUMP_LEN as u64).contains(at));
        if let Some(at) = inside {
            let byte = patch.jump_bytes[at as usize];
            assert!(match mode {
                CodeMode::Long => INVALID_OPCODES.contains(&byte),
                CodeMode::Compat => PRIVILEGED_OPCODES.contains(&byte),
            });
        }
    }
});
