//! Threads of 32-bit programs on x86-64: the processor's compatibility mode, and the segments that are the program's
//! own.

/// How the processor decodes the code of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CpuMode {
    /// As 64-bit code.
    #[default]
    Long,
    /// As 32-bit code.
    Compat,
}

/// The first entry of the global descriptor table that is a thread's own, and how many are (set_thread_area(2)).
pub const FIRST_TLS_ENTRY: u32 = 12;
/// How many such entries there are.
pub const TLS_ENTRIES: usize = 3;

/// Selector of the host's flat segment of data for programs.
pub const DATA: u16 = 0x2b;

/// The segments of a thread of a 32-bit program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segments {
    /// The selector in DS.
    pub ds: u16,
    /// The selector in ES.
    pub es: u16,
    /// The selector in FS.
    pub fs: u16,
    /// The selector in GS.
    pub gs: u16,
    /// Where the segments of the thread's own entries begin.
    pub tls: [u32; TLS_ENTRIES],
    /// Where the vDSO of its program lies.
    pub vdso: u32,
}

impl Default for Segments {
    /// What a program starts with, but for the vDSO.
    fn default() -> Self {
        Self { ds: DATA, es: DATA, fs: 0, gs: 0, tls: [0; TLS_ENTRIES], vdso: 0 }
    }
}

/// The vDSO of 32-bit programs (vdso(7)): an ELF image of one page, and what the North has to know of it. All numbers
/// are offsets.
#[derive(Clone, Copy, Debug)]
pub struct Vdso32 {
    /// The image; it fits a page.
    pub image: &'static [u8],
    /// The words to which the address of the image is added where it is mapped.
    pub relocations: [u32; 2],
    /// `__kernel_vsyscall`: AT_SYSINFO.
    pub vsyscall: u32,
    /// `__kernel_sigreturn`.
    pub sigreturn: u32,
    /// `__kernel_rt_sigreturn`.
    pub rt_sigreturn: u32,
}
