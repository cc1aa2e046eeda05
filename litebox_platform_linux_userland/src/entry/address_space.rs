//! Guest memory by host mappings, and what is patched in it.

use litebox::platform::north::Code;
use litebox::platform::{AddressSpace, Advice, Backing, MapMode, Prot};
use litebox::{Error, Result};
use litebox_common_linux::abi::memory::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, MREMAP_DONTUNMAP,
    MREMAP_FIXED, MREMAP_MAYMOVE, MS_ASYNC, MS_SYNC,
};

use crate::LinuxHost;
use crate::entry::patch::{Change, before_change};
use crate::host::call::{host_call, map_at, nr};
use crate::memory::layout::{ARENA, LAYOUT};

fn protection(prot: Prot) -> usize {
    usize::from(prot.bits())
}

/// Guests never map over the kernel: a call that would is a bug of ours, and refused here as well.
fn check_span(addr: usize, len: usize) -> Result<()> {
    let (start, end) = LAYOUT.user;
    match addr.checked_add(len) {
        Some(last) if addr >= start && last <= end => Ok(()),
        _ => Err(Error::NoMemory),
    }
}

const PAGE: usize = 4096;

/// mremap(2) of guest memory (checked by the caller).
fn remap(addr: usize, old_len: usize, new_len: usize, flags: usize, new_addr: usize) -> Result<()> {
    // SAFETY: guest memory on both sides.
    unsafe { host_call!(nr::MREMAP, addr, old_len, new_len, flags, new_addr) }.map(drop)
}

/// Moves what is at `addr` in as many pieces as the host has mappings there; the last page takes along what is added.
/// When one cannot be moved, those before it come back.
fn remap_pieces(addr: usize, old_len: usize, new_len: usize, flags: usize, new_addr: usize) -> Result<()> {
    let more = new_len.saturating_sub(old_len);
    let last = if more > 0 { PAGE.min(old_len) } else { 0 };
    let front = old_len - last;
    let moved = move_pieces(addr, front, flags, new_addr).and_then(|()| match last {
        0 => Ok(()),
        _ => remap(addr + front, last, last + more, flags, new_addr + front).map_err(|error| (front, error)),
    });
    moved.map_err(|(done, error)| {
        if flags & MREMAP_DONTUNMAP == 0 {
            // Where that fails there is less than before, and the guest's next access says so.
            let _ = move_pieces(new_addr, done, flags, addr);
        }
        error
    })
}

/// Moves `len` bytes; on failure tells how many were.
fn move_pieces(addr: usize, len: usize, flags: usize, new_addr: usize) -> core::result::Result<(), (usize, Error)> {
    let mut moved = 0;
    while moved < len {
        let mut piece = len - moved;
        loop {
            match remap(addr + moved, piece, piece, flags, new_addr + moved) {
                Err(Error::Fault) if piece > PAGE => piece = (piece / 2).next_multiple_of(PAGE),
                Err(error) => return Err((moved, error)),
                Ok(()) => break,
            }
        }
        moved += piece;
    }
    Ok(())
}

impl AddressSpace for LinuxHost {
    fn user_span(&self) -> (usize, usize) {
        LAYOUT.user
    }

    fn map(&self, addr: usize, len: usize, prot: Prot, mode: MapMode, backing: Backing) -> Result<()> {
        check_span(addr, len)?;
        let replace = mode.contains(MapMode::REPLACE);
        if replace {
            before_change(addr, len, Change::Replaced);
        }
        let sharing = if mode.contains(MapMode::SHARED) { MAP_SHARED } else { MAP_PRIVATE };
        let place = if replace { MAP_FIXED } else { MAP_FIXED_NOREPLACE };
        let (kind, fd, offset) = match backing {
            Backing::Anonymous => (MAP_ANONYMOUS, -1, 0),
            Backing::File { fd, offset } => (0, fd.0, offset),
            Backing::Arena { offset } => (0, ARENA.0, offset),
        };
        let flags = sharing | place | kind | MAP_NORESERVE;
        // SAFETY: the span is guest memory (checked above); the map of areas decides what may be replaced in it.
        unsafe { map_at(addr, len, protection(prot), flags, fd, offset) }
    }

    fn unmap(&self, addr: usize, len: usize) -> Result<()> {
        check_span(addr, len)?;
        before_change(addr, len, Change::Gone);
        // SAFETY: guest memory.
        unsafe { host_call!(nr::MUNMAP, addr, len) }.map(drop)
    }

    fn protect(&self, addr: usize, len: usize, prot: Prot) -> Result<()> {
        check_span(addr, len)?;
        if prot.contains(Prot::WRITE) {
            before_change(addr, len, Change::Kept);
        }
        // SAFETY: guest memory.
        unsafe { host_call!(nr::MPROTECT, addr, len, protection(prot)) }.map(drop)
    }

    fn remap(&self, addr: usize, old_len: usize, new_len: usize, new_addr: usize, keep_old: bool) -> Result<()> {
        check_span(addr, old_len)?;
        check_span(new_addr, new_len)?;
        before_change(addr, old_len, Change::Kept);
        if addr != new_addr {
            before_change(new_addr, new_len, Change::Replaced);
        }
        let moving = if addr == new_addr { 0 } else { MREMAP_MAYMOVE | MREMAP_FIXED };
        let flags = if keep_old { MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP } else { moving };
        match remap(addr, old_len, new_len, flags, new_addr) {
            // One area of the guest may be several mappings to the host: what was moved and grew, or was advised in
            // part.
            Err(Error::Fault) if flags & MREMAP_FIXED != 0 => remap_pieces(addr, old_len, new_len, flags, new_addr),
            other => other,
        }
    }

    fn advise(&self, addr: usize, len: usize, advice: Advice) -> Result<()> {
        check_span(addr, len)?;
        if matches!(advice, Advice::DontNeed | Advice::Free) {
            before_change(addr, len, Change::Dropped);
        }
        let number = match advice {
            Advice::WillNeed => 3,
            Advice::DontNeed => 4,
            Advice::Free => 8,
            Advice::HugePage => 14,
            Advice::NoHugePage => 15,
            Advice::PopulateRead => 22,
            Advice::PopulateWrite => 23,
            Advice::Hint(n) => n,
        };
        // SAFETY: guest memory.
        unsafe { host_call!(nr::MADVISE, addr, len, number) }.map(drop)
    }

    fn sync(&self, addr: usize, len: usize, wait: bool) -> Result<()> {
        check_span(addr, len)?;
        // SAFETY: guest memory.
        unsafe { host_call!(nr::MSYNC, addr, len, if wait { MS_SYNC } else { MS_ASYNC }) }.map(drop)
    }

    fn unmap_all(&self) -> bool {
        let (start, end) = LAYOUT.user;
        crate::entry::patch::all_unmapped();
        // SAFETY: guest memory, and trampolines that no code leads into any more.
        unsafe { host_call!(nr::MUNMAP, start, end - start) }.is_ok()
    }

    fn code_forks(&self, code: &mut dyn Iterator<Item = Code>) -> bool {
        crate::entry::patch::before_fork(code)
    }
    fn share_code(&self, code: &Code, backing: Backing) -> bool {
        check_span(code.start, code.end - code.start).is_ok() && crate::entry::patch::share(code, backing)
    }

    fn program_mapped(&self, code: &Code, tables: &[(usize, usize)]) {
        crate::entry::patch::program_mapped(code, tables);
    }
    fn map_patched(&self, code: &Code, replace: bool) -> Result<bool> {
        check_span(code.start, code.end - code.start)?;
        if replace {
            before_change(code.start, code.end - code.start, Change::Replaced);
        }
        crate::entry::patch::map_text(code, replace)
    }
    fn code_mapped(&self, code: &Code, backing: Backing) -> bool {
        crate::entry::patch::mapped(code, backing)
    }
    fn map_original(&self, code: &Code, backing: Backing) -> Result<()> {
        check_span(code.start, code.end - code.start)?;
        crate::entry::patch::map_original(code, backing)
    }
}
