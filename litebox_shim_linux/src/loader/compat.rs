//! What 32-bit programs find that 64-bit ones do not: a vDSO of their own, and where they end.

use litebox::mm::{Limits, MapRequest, Mm, Placement, Reach, VmaName, page_up};
use litebox::platform::{Prot, host};
use litebox::{Error, Result};
use litebox_common_linux::Arch;

/// Behind the highest address that programs of an architecture have (`TASK_SIZE`).
pub(crate) fn end_of(arch: Arch) -> usize {
    const END_32: usize = 0xffff_e000;
    match arch {
        Arch::X86_64 => usize::MAX,
        Arch::X86 => END_32,
    }
}

/// The size of an address in memory.
pub(crate) fn word_size(arch: Arch) -> usize {
    match arch {
        Arch::X86_64 => 8,
        Arch::X86 => 4,
    }
}

/// Maps the vDSO of a 32-bit program; returns where it lies.
pub(super) fn map_vdso(mm: &Mm, limits: &Limits) -> Result<usize> {
    let vdso = host().vdso32().ok_or(Error::NotExecutable)?;
    let len = page_up(vdso.image.len()).ok_or(Error::NoMemory)?;
    let placement = Placement::Anywhere { hint: 0, reach: Reach::Whole };
    let mut request = MapRequest::anonymous(placement, len, Prot::READ | Prot::WRITE);
    request.name = VmaName::Vdso;
    let at = mm.map(request, limits)?;
    put(at, vdso.image)?;
    let base = u32::try_from(at).map_err(|_| Error::NoMemory)?;
    for from in vdso.relocations.map(|offset| offset as usize) {
        let relative = vdso.image.get(from..).and_then(<[u8]>::first_chunk).ok_or(Error::Fault)?;
        let absolute = u32::from_le_bytes(*relative).wrapping_add(base);
        put(at + from, &absolute.to_le_bytes())?;
    }
    mm.protect(at, len, Prot::READ | Prot::EXEC, false, limits)?;
    Ok(at)
}

fn put(at: usize, bytes: &[u8]) -> Result<()> {
    let done = host().copy_to_user(at, bytes);
    if done == bytes.len() { Ok(()) } else { Err(Error::Fault) }
}
