//! ELF executables: a strict reader of what execve(2) looks at. It sees bytes a guest may have written: everything is
//! checked.

use alloc::vec;
use alloc::vec::Vec;

use litebox::fs::File;
use litebox::io::Dest;
use litebox::mm::{PAGE, page_down, page_up};
use litebox::platform::Prot;
use litebox::{Error, Result};
use litebox_common_linux::Arch;

use super::compat::end_of;

/// Linux refuses program header tables longer than this.
const TABLE_MAX: usize = 65536;
const PATH_MAX: usize = 4096;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_386: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;

/// A `PT_LOAD` segment. `vaddr` and `offset` agree modulo the page size, where there are bytes in the file, and no sum
/// overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address in the image.
    pub vaddr: usize,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes of it in the file.
    pub file_size: usize,
    /// Bytes of it in memory; at least as many.
    pub mem_size: usize,
    /// Protection.
    pub prot: Prot,
}

impl Segment {
    /// First page.
    pub fn start(&self) -> usize {
        page_down(self.vaddr)
    }
    /// Behind the last page.
    pub fn end(&self) -> usize {
        page_up(self.vaddr + self.mem_size).unwrap_or(usize::MAX)
    }
}

/// The fields of a header or of a line of its table, where 64-bit files have them, or 32-bit ones.
struct Format {
    arch: Arch,
    /// Of the header.
    size: usize,
    entry: usize,
    phoff: usize,
    phentsize: usize,
    phnum: usize,
    /// Of a line.
    line: usize,
    flags: usize,
    offset: usize,
    vaddr: usize,
    file_size: usize,
    mem_size: usize,
    align: usize,
}

const FORMAT_64: Format = Format {
    arch: Arch::X86_64,
    size: 64,
    entry: 24,
    phoff: 32,
    phentsize: 54,
    phnum: 56,
    line: 56,
    flags: 4,
    offset: 8,
    vaddr: 16,
    file_size: 32,
    mem_size: 40,
    align: 48,
};

const FORMAT_32: Format = Format {
    arch: Arch::X86,
    size: 52,
    entry: 24,
    phoff: 28,
    phentsize: 42,
    phnum: 44,
    line: 32,
    flags: 24,
    offset: 4,
    vaddr: 8,
    file_size: 16,
    mem_size: 20,
    align: 28,
};

impl Format {
    /// That of a file which begins so; `None` when it is no executable for this machine.
    fn of(head: &[u8]) -> Option<&'static Self> {
        const CLASS_32: u8 = 1;
        const CLASS_64: u8 = 2;
        const LITTLE_ENDIAN: u8 = 1;
        let ident: [u8; 6] = *head.first_chunk()?;
        let format = match (ident[4], u16_at(head, 18)) {
            (CLASS_64, EM_X86_64) => &FORMAT_64,
            (CLASS_32, EM_386) => &FORMAT_32,
            _ => return None,
        };
        (ident[..4] == *b"\x7fELF" && ident[5] == LITTLE_ENDIAN && head.len() >= format.size).then_some(format)
    }
    /// An address or a size.
    fn word(&self, from: &[u8], at: usize) -> u64 {
        match self.arch {
            Arch::X86_64 => u64_at(from, at),
            Arch::X86 => u64::from(u32_at(from, at)),
        }
    }
}

/// What an executable says of its stack (`PT_GNU_STACK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackFlags {
    /// Nothing.
    Unsaid,
    /// It need not be executable.
    Plain,
    /// It wants to execute what is there.
    Executable,
}

/// What the loader needs of an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// Whose code it is.
    pub arch: Arch,
    /// It may be placed anywhere.
    pub relocatable: bool,
    /// Entry point in the image.
    pub entry: usize,
    /// Segments as they stand in the file.
    pub segments: Vec<Segment>,
    /// It cannot be mapped, or nothing of it can: as Linux finds that out when the old program is gone, whoever
    /// executes it dies.
    pub impossible: bool,
    /// Path of the interpreter, without the final zero.
    pub interpreter: Option<Vec<u8>>,
    /// What it says of its stack.
    pub stack: StackFlags,
    /// Offset in the file of the program headers.
    pub phoff: u64,
    /// Their number.
    pub phnum: usize,
    /// Alignment that segments ask for: a power of two, at least a page.
    pub align: usize,
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut out = [0u8; N];
    if let Some(source) = at.checked_add(N).and_then(|end| from.get(at..end)) {
        out.copy_from_slice(source);
    }
    out
}
fn u16_at(from: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(from, at))
}
fn u32_at(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(from, at))
}
fn u64_at(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(from, at))
}

/// Reads until `buf` is full or the file ends.
pub(super) fn read_up_to(file: &dyn File, buf: &mut [u8], offset: u64) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let at = offset.checked_add(done as u64).ok_or(Error::Invalid)?;
        let n = file.read_at(&mut Dest::kernel(&mut buf[done..]), at)?;
        if n == 0 {
            break;
        }
        done += n;
    }
    Ok(done)
}

/// The first bytes of a file: mostly all that is to be known of a program lies there.
pub(super) struct Head {
    bytes: [u8; Head::LEN],
    len: usize,
}

impl Head {
    const LEN: usize = 1024;

    /// Reads them.
    pub(super) fn read(file: &dyn File) -> Result<Self> {
        let mut bytes = [0u8; Self::LEN];
        let len = read_up_to(file, &mut bytes, 0)?;
        Ok(Self { bytes, len })
    }

    /// Those that there are.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The bytes of `file` from `offset` on, as many as `buf` has room for.
    fn read_exact(&self, file: &dyn File, buf: &mut [u8], offset: u64) -> Result<()> {
        let known = usize::try_from(offset).ok().and_then(|at| self.bytes().get(at..at.checked_add(buf.len())?));
        if let Some(known) = known {
            buf.copy_from_slice(known);
            return Ok(());
        }
        if read_up_to(file, buf, offset)? == buf.len() { Ok(()) } else { Err(Error::Io) }
    }
}

impl Elf {
    /// Reads the headers of `file`. `NotExecutable` when it is no executable for this machine. `span` is where guests
    /// may map.
    pub fn read(file: &dyn File, span: (usize, usize)) -> Result<Self> {
        Self::read_behind(&Head::read(file)?, file, span)
    }

    /// As [`Elf::read`], of a file whose first bytes are known.
    pub(super) fn read_behind(head: &Head, file: &dyn File, span: (usize, usize)) -> Result<Self> {
        let header = head.bytes();
        let format = Format::of(header).ok_or(Error::NotExecutable)?;
        let kind = u16_at(header, 16);
        if !matches!(kind, ET_EXEC | ET_DYN) {
            return Err(Error::NotExecutable);
        }
        let span = (span.0, span.1.min(end_of(format.arch)));
        let phnum = usize::from(u16_at(header, format.phnum));
        let table_size = phnum * format.line;
        if usize::from(u16_at(header, format.phentsize)) != format.line || table_size == 0 || table_size > TABLE_MAX {
            return Err(Error::NotExecutable);
        }
        let phoff = format.word(header, format.phoff);
        let mut table = vec![0u8; table_size];
        head.read_exact(file, &mut table, phoff).map_err(|_| Error::NotExecutable)?;

        let relocatable = kind == ET_DYN;
        let entry = format.word(header, format.entry) as usize;
        let mut elf = Self {
            arch: format.arch,
            relocatable,
            entry,
            segments: Vec::new(),
            impossible: false,
            interpreter: None,
            stack: StackFlags::Unsaid,
            phoff,
            phnum,
            align: PAGE,
        };
        for row in table.chunks_exact(format.line) {
            elf.add_row(row, format, head, file, span)?;
        }
        elf.impossible |= !elf.fits(span);
        Ok(elf)
    }

    fn add_row(
        &mut self,
        row: &[u8],
        format: &Format,
        head: &Head,
        file: &dyn File,
        span: (usize, usize),
    ) -> Result<()> {
        let flags = u32_at(row, format.flags);
        match u32_at(row, 0) {
            PT_LOAD => {
                let align = format.word(row, format.align) as usize;
                if align.is_power_of_two() && align <= 1 << 30 {
                    self.align = self.align.max(align);
                }
                match Self::segment(row, format, flags, span) {
                    Ok(segment) => self.segments.extend(segment),
                    Err(_) => self.impossible = true,
                }
            }
            PT_INTERP if self.interpreter.is_none() => {
                self.interpreter = Some(Self::read_interpreter(row, format, head, file)?);
            }
            PT_GNU_STACK => {
                self.stack = if flags & 1 == 0 { StackFlags::Plain } else { StackFlags::Executable };
            }
            _ => {}
        }
        Ok(())
    }

    fn segment(row: &[u8], format: &Format, flags: u32, span: (usize, usize)) -> Result<Option<Segment>> {
        let word = |at| format.word(row, at);
        let vaddr = word(format.vaddr) as usize;
        let (file_size, mem_size) = (word(format.file_size) as usize, word(format.mem_size) as usize);
        // Where nothing of the file is wanted, it does not matter where that would be.
        let offset = if file_size == 0 { (vaddr % PAGE) as u64 } else { word(format.offset) };
        let size_max = span.1 - span.0;
        let in_memory = vaddr.checked_add(mem_size).is_some_and(|end| end <= span.1) && mem_size <= size_max;
        let in_file = offset.checked_add(file_size as u64).is_some_and(|end| i64::try_from(end).is_ok());
        if file_size > mem_size || !in_memory || !in_file || (vaddr as u64 ^ offset) % PAGE as u64 != 0 {
            return Err(Error::NotExecutable);
        }
        if mem_size == 0 {
            return Ok(None);
        }
        let mut prot = Prot::empty();
        prot.set(Prot::READ, flags & 4 != 0);
        prot.set(Prot::WRITE, flags & 2 != 0);
        prot.set(Prot::EXEC, flags & 1 != 0);
        Ok(Some(Segment { vaddr, offset, file_size, mem_size, prot }))
    }

    fn read_interpreter(row: &[u8], format: &Format, head: &Head, file: &dyn File) -> Result<Vec<u8>> {
        let (offset, size) = (format.word(row, format.offset), format.word(row, format.file_size) as usize);
        if !(2..=PATH_MAX).contains(&size) {
            return Err(Error::NotExecutable);
        }
        let mut path = vec![0u8; size];
        head.read_exact(file, &mut path, offset)?;
        if path.pop() != Some(0) {
            return Err(Error::NotExecutable);
        }
        // Like a C string, it ends at the first zero.
        let end = path.iter().position(|b| *b == 0).unwrap_or(path.len());
        path.truncate(end);
        Ok(path)
    }

    /// Whether there is anything, and where it can be.
    fn fits(&self, span: (usize, usize)) -> bool {
        self.extent().is_some_and(|(start, end)| {
            end - start <= (span.1 - span.0) / 2 && (self.relocatable || start >= span.0) && end <= span.1
        })
    }

    /// The size of a line of the program headers.
    pub(super) fn line_size(&self) -> usize {
        match self.arch {
            Arch::X86_64 => FORMAT_64.line,
            Arch::X86 => FORMAT_32.line,
        }
    }

    /// Whether its stack is to be executable. For 32-bit programs that is the rule unless they say otherwise.
    pub(super) fn wants_exec_stack(&self) -> bool {
        self.stack == StackFlags::Executable || self.arch == Arch::X86 && self.stack == StackFlags::Unsaid
    }

    /// First page and end of the pages of all segments; `None` without segments.
    pub fn extent(&self) -> Option<(usize, usize)> {
        let start = self.segments.iter().map(Segment::start).min()?;
        let end = self.segments.iter().map(Segment::end).max()?;
        Some((start, end))
    }

    /// Address in the image of the program headers, when a segment holds them.
    pub fn program_headers(&self) -> Option<usize> {
        let holds = |s: &&Segment| self.phoff >= s.offset && self.phoff < s.offset + s.file_size as u64;
        let segment = self.segments.iter().find(holds)?;
        Some(segment.vaddr + (self.phoff - segment.offset) as usize)
    }
}
