//! The answer to a `cpuid`, looked up by the program's own thread.

use crate::Code;

/// What a processor answers to one leaf (`eax`) and, where it matters, subleaf (`ecx`). Tables of them are looked
/// through in their order; the last entry has `more` zero and is looked at like the others.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuidLeaf {
    /// `eax` before.
    pub leaf: u32,
    /// Which bits of `ecx` matter: all or none.
    pub mask: u32,
    /// Those of `ecx` before.
    pub subleaf: u32,
    /// `eax`, `ebx`, `ecx`, `edx` after.
    pub registers: [u32; 4],
    /// Nonzero: another entry follows.
    pub more: u32,
}

/// Offset of the table's address in the lookup.
const TABLE_AT: usize = 9;
/// The registers other than the four and the flags stay, and so does the stack below the red zone. What is not in the
/// table is asked of the processor.
const LOOKUP: [u8; 77] = [
    0x48, 0x8d, 0x64, 0x24, 0x80, // lea -0x80(%rsp),%rsp
    0x9c, // pushfq
    0x56, // push %rsi
    0x48, 0xbe, 0, 0, 0, 0, 0, 0, 0, 0, // movabs $TABLE,%rsi
    0x39, 0x06, // 1: cmp %eax,(%rsi)
    0x75, 0x0a, // jne 2f
    0x8b, 0x56, 0x04, // mov 4(%rsi),%edx
    0x21, 0xca, // and %ecx,%edx
    0x3b, 0x56, 0x08, // cmp 8(%rsi),%edx
    0x74, 0x18, // je 3f
    0x83, 0x7e, 0x1c, 0x00, // 2: cmpl $0,28(%rsi)
    0x48, 0x8d, 0x76, 0x20, // lea 32(%rsi),%rsi
    0x75, 0xe8, // jne 1b
    0x5e, // pop %rsi
    0x9d, // popfq
    0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0, // lea 0x80(%rsp),%rsp
    0x0f, 0xa2, // cpuid
    0xeb, 0x16, // jmp 4f
    0x8b, 0x46, 0x0c, // 3: mov 12(%rsi),%eax
    0x8b, 0x5e, 0x10, // mov 16(%rsi),%ebx
    0x8b, 0x4e, 0x14, // mov 20(%rsi),%ecx
    0x8b, 0x56, 0x18, // mov 24(%rsi),%edx
    0x5e, // pop %rsi
    0x9d, // popfq
    0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0, // lea 0x80(%rsp),%rsp
       // 4:
];
pub(crate) const LOOKUP_LEN: usize = LOOKUP.len();

/// Appends the lookup in the table at `table`.
pub(crate) fn append_lookup(code: &mut Code, table: u64) {
    let start = code.len();
    code.extend_from_slice(&LOOKUP);
    if let Some(slot) = code.get_mut(start + TABLE_AT..start + TABLE_AT + 8) {
        slot.copy_from_slice(&table.to_le_bytes());
    }
}
