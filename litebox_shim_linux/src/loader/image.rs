//! The new address space: segments, heap, stack, first registers.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::fs::OpenFile;
use litebox::mm::{
    Layout, Limits, MapRequest, Mm, Object, PAGE, Placement, Reach, VmaFlags, VmaName, page_down, page_up,
};
use litebox::platform::compat::{CpuMode, Segments};
use litebox::platform::north::Registers;
use litebox::platform::{Prot, host};
use litebox::{Error, Result};
use litebox_common_linux::Arch;

use super::{AuxIds, Elf, ImageInfo, Loaded, Prepared, Segment, compat, mapping_of, stack};
use crate::mm::object_of;

const AT_PHDR: u64 = 3;
const AT_PHENT: u64 = 4;
const AT_PHNUM: u64 = 5;
const AT_PAGESZ: u64 = 6;
const AT_BASE: u64 = 7;
const AT_FLAGS: u64 = 8;
const AT_ENTRY: u64 = 9;
const AT_UID: u64 = 11;
const AT_EUID: u64 = 12;
const AT_GID: u64 = 13;
const AT_EGID: u64 = 14;
const AT_CLKTCK: u64 = 17;
const AT_SECURE: u64 = 23;
const AT_SYSINFO: u64 = 32;
const AT_SYSINFO_EHDR: u64 = 33;
/// Not a key of Linux; only for the tests of the boundary.
const AT_TEST_HOSTILE: u64 = 0x6c62_6f78;

const DEFAULT_STACK: usize = 8 << 20;
/// The heap starts up to this far behind the program.
const HEAP_JITTER: usize = 32 << 20;
const INITIAL_FLAGS: u64 = 0x202;

/// Replaces what `mm` holds by the prepared program. On an error the old image is gone: the process must die.
pub fn load_into(mm: &Mm, limits: &Limits, prepared: Prepared, ids: &AuxIds) -> Result<Loaded> {
    let Prepared { program, running, interpreter, arguments } = prepared;
    let (file, elf) = &program;
    mm.reset(match elf.arch {
        Arch::X86 => Layout::compat(limits.stack, ids.fixed_addresses, ids.three_gib),
        Arch::X86_64 if ids.fixed_addresses => Layout::fixed(limits.stack),
        Arch::X86_64 => Layout::random(limits.stack),
    });
    let layout = mm.layout();

    if elf.impossible || interpreter.as_ref().is_some_and(|(_, elf)| elf.impossible) {
        return Err(Error::NotExecutable);
    }
    let base = if elf.interpreter.is_some() { Base::At(layout.program_base) } else { Base::Anywhere };
    let bias = map_elf(mm, limits, file, elf, base)?;
    let at = |address: usize| bias.wrapping_add(address);
    let mut entry = at(elf.entry);
    let (mut interpreter_base, mut interpreter_range) = (0, (0, 0));
    if let Some((file, elf)) = &interpreter {
        let bias = map_elf(mm, limits, file, elf, Base::Anywhere)?;
        interpreter_base = bias;
        let (first, end) = elf.extent().ok_or(Error::NotExecutable)?;
        interpreter_range = (bias.wrapping_add(first), bias.wrapping_add(end));
        entry = bias.wrapping_add(elf.entry);
    }
    if !host().is_user_range(entry, 1) {
        return Err(Error::Fault);
    }
    tell_host(mm);
    let (mode, segments) = match elf.arch {
        Arch::X86_64 => (CpuMode::Long, None),
        Arch::X86 => {
            let vdso = u32::try_from(compat::map_vdso(mm, limits)?).map_err(|_| Error::NoMemory)?;
            (CpuMode::Compat, Some(Segments { vdso, ..Segments::default() }))
        }
    };
    place_heap(mm, &layout, elf, bias, ids.fixed_addresses);

    let auxv = [
        (AT_PHDR, elf.program_headers().map_or(0, at) as u64),
        (AT_PHENT, elf.line_size() as u64),
        (AT_PHNUM, elf.phnum as u64),
        (AT_BASE, interpreter_base as u64),
        (AT_FLAGS, 0),
        (AT_ENTRY, at(elf.entry) as u64),
    ];
    let auxv = auxiliary(&auxv, segments.as_ref(), ids);
    let size = map_stack(mm, limits, &layout, elf.wants_exec_stack(), arguments.size())?;
    let image = stack::build(layout.stack_top, elf.arch, &arguments, &auxv, ids.fixed_addresses)?;
    let fits = layout.stack_top - image.pointer < size;
    let copied = host().copy_to_user(image.pointer, &image.bytes);
    if !fits || copied < image.bytes.len() {
        return Err(Error::Fault);
    }
    let registers =
        Registers { rip: entry as u64, rsp: image.pointer as u64, eflags: INITIAL_FLAGS, ..Registers::default() };
    let name = arguments.path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let name = name.get(..name.len().min(15)).unwrap_or_default().to_vec();
    let info = ImageInfo {
        cmdline: image.cmdline,
        environ: image.environ,
        auxv: image.auxv,
        arch: elf.arch,
        exe: Some(file.clone()),
        running: Some(running),
        interpreter_range,
        argument_range: image.argument_range,
        environment_range: image.environment_range,
        stack_start: image.pointer,
        name,
    };
    Ok(Loaded { registers, fs_base: 0, mode, segments, image: info })
}

/// The host looks through programs: for each one their code, and what lies beside it for reading.
fn tell_host(mm: &Mm) {
    let vmas = mm.vmas();
    for code in vmas.iter().filter(|a| a.prot == Prot::READ | Prot::EXEC && a.object.id().is_some()) {
        let same = |a: &&litebox::mm::Vma| a.prot == Prot::READ && a.object.id() == code.object.id();
        let tables: Vec<_> = vmas.iter().filter(same).map(|a| (a.start, a.filled)).collect();
        host().program_mapped(&code.code(), &tables);
    }
}

/// Keys and values that do not lie on the stack themselves: the host's, then ours.
fn auxiliary(ours: &[(u64, u64)], segments: Option<&Segments>, ids: &AuxIds) -> Vec<(u64, u64)> {
    let mut from_host = [(0, 0); 32];
    let n = host().aux_vector(&mut from_host).min(from_host.len());
    let own = [
        (AT_UID, u64::from(ids.uid)),
        (AT_EUID, u64::from(ids.euid)),
        (AT_GID, u64::from(ids.gid)),
        (AT_EGID, u64::from(ids.egid)),
        (AT_SECURE, 0),
    ];
    let mut all: Vec<(u64, u64)> = Vec::new();
    // The host is asked for 32-bit programs alone: where it runs none, it says so.
    if let Some((segments, vdso)) = segments.and_then(|segments| Some((segments, host().vdso32()?))) {
        let at = u64::from(segments.vdso);
        all.extend([(AT_SYSINFO, at + u64::from(vdso.vsyscall)), (AT_SYSINFO_EHDR, at)]);
    }
    let from_host = from_host.get(..n).unwrap_or_default();
    let known: Vec<u64> = own.iter().chain(ours).chain(&all).map(|(key, _)| *key).collect();
    let machine = from_host.iter().filter(|(key, _)| !known.contains(key));
    all.extend(machine.filter(|(key, _)| *key != 0 && *key != AT_TEST_HOSTILE));
    for (key, value) in [(AT_PAGESZ, PAGE as u64), (AT_CLKTCK, 100)] {
        if !all.iter().any(|(k, _)| *k == key) {
            all.push((key, value));
        }
    }
    all.extend(ours);
    all.extend(own);
    all.extend(ids.test_hostile.map(|value| (AT_TEST_HOSTILE, value)));
    all
}

/// Where a relocatable image goes.
#[derive(Clone, Copy)]
enum Base {
    Anywhere,
    At(usize),
}

/// Maps all segments; returns what is added to addresses of the image.
fn map_elf(mm: &Mm, limits: &Limits, file: &Arc<OpenFile>, elf: &Elf, base: Base) -> Result<usize> {
    let (first, end) = elf.extent().ok_or(Error::NotExecutable)?;
    let len = end - first;
    // The whole range is taken first, so that it lies together.
    let start = if elf.relocatable {
        reserve(mm, limits, len, elf.align, base)?
    } else {
        let placement = Placement::Fixed { addr: first, replace: false };
        mm.map(MapRequest::anonymous(placement, len, Prot::empty()), limits)?
    };
    let bias = start.wrapping_sub(first);
    let object = object_of(file, mapping_of(&*file.file)?)?;
    for segment in &elf.segments {
        map_segment(mm, limits, &object, segment, bias)?;
    }
    unmap_gaps(mm, elf, start, len, bias)?;
    Ok(bias)
}

/// Takes `len` bytes at a multiple of `align`.
fn reserve(mm: &Mm, limits: &Limits, len: usize, align: usize, base: Base) -> Result<usize> {
    if let Base::At(base) = base {
        let placement = Placement::Fixed { addr: base & !(align - 1), replace: false };
        if let Ok(start) = mm.map(MapRequest::anonymous(placement, len, Prot::empty()), limits) {
            return Ok(start);
        }
    }
    let wanted = len.checked_add(align - PAGE).ok_or(Error::NoMemory)?;
    let placement = Placement::Anywhere { hint: 0, reach: Reach::Whole };
    let got = mm.map(MapRequest::anonymous(placement, wanted, Prot::empty()), limits)?;
    let start = got.checked_add(align - 1).ok_or(Error::NoMemory)? & !(align - 1);
    if start > got {
        mm.unmap(got, start - got)?;
    }
    let (end, got_end) = (start + len, got + wanted);
    if got_end > end {
        mm.unmap(end, got_end - end)?;
    }
    Ok(start)
}

fn map_segment(mm: &Mm, limits: &Limits, object: &Object, segment: &Segment, bias: usize) -> Result<()> {
    let start = bias.wrapping_add(segment.start());
    let end = bias.wrapping_add(segment.end());
    let file_end = bias.wrapping_add(segment.vaddr + segment.file_size);
    let file_pages_end = if segment.file_size == 0 { start } else { page_up(file_end).ok_or(Error::NoMemory)? };
    if file_pages_end > start {
        let placement = Placement::Fixed { addr: start, replace: true };
        let mut request = MapRequest::anonymous(placement, file_pages_end - start, segment.prot);
        request.object = object.clone();
        request.flags |= VmaFlags::LOADED;
        request.offset = segment.offset - (segment.vaddr - page_down(segment.vaddr)) as u64;
        mm.map(request, limits)?;
    }
    if end > file_pages_end {
        let placement = Placement::Fixed { addr: file_pages_end, replace: true };
        mm.map(MapRequest::anonymous(placement, end - file_pages_end, segment.prot), limits)?;
    }
    // What the file has behind the segment's data must read as zeros.
    let zeros = file_pages_end.saturating_sub(file_end);
    if segment.mem_size > segment.file_size && segment.file_size > 0 && segment.prot.contains(Prot::WRITE) {
        let zeroed = host().zero_user(file_end, zeros);
        if zeroed < zeros {
            return Err(Error::Fault);
        }
    }
    Ok(())
}

/// Gives back what of the reserved range no segment uses.
fn unmap_gaps(mm: &Mm, elf: &Elf, start: usize, len: usize, bias: usize) -> Result<()> {
    let mut used: Vec<(usize, usize)> =
        elf.segments.iter().map(|s| (bias.wrapping_add(s.start()), bias.wrapping_add(s.end()))).collect();
    used.sort_unstable();
    let mut at = start;
    for (from, to) in used {
        if from > at {
            mm.unmap(at, from - at)?;
        }
        at = at.max(to);
    }
    if at < start + len { mm.unmap(at, start + len - at) } else { Ok(()) }
}

fn place_heap(mm: &Mm, layout: &Layout, elf: &Elf, bias: usize, fixed: bool) {
    let mut random = [0u8; 4];
    host().random(&mut random);
    let jitter = if fixed { 0 } else { page_down(u32::from_le_bytes(random) as usize & (HEAP_JITTER - 1)) };
    let behind = elf.extent().map_or(0, |(_, end)| bias.wrapping_add(end));
    // A program without interpreter lies among the mapped vmas, where a heap could not grow.
    let among_areas = elf.relocatable && elf.interpreter.is_none();
    let start = if among_areas { layout.program_base } else { behind };
    mm.set_brk_start(start.saturating_add(jitter));
}

fn map_stack(mm: &Mm, limits: &Limits, layout: &Layout, exec: bool, arguments: usize) -> Result<usize> {
    let limit = usize::try_from(limits.stack).unwrap_or(usize::MAX);
    let needed = arguments.checked_add(stack::START_ROOM).ok_or(Error::NoMemory)?;
    let size = page_up(DEFAULT_STACK.min(limit).max(needed)).ok_or(Error::NoMemory)?;
    let addr = layout.stack_top.checked_sub(size).ok_or(Error::NoMemory)?;
    let mut prot = Prot::READ | Prot::WRITE;
    prot.set(Prot::EXEC, exec);
    let mut request = MapRequest::anonymous(Placement::Fixed { addr, replace: false }, size, prot);
    request.flags = VmaFlags::GROWSDOWN | VmaFlags::STACK;
    request.name = VmaName::Stack;
    mm.map(request, limits)?;
    Ok(size)
}
