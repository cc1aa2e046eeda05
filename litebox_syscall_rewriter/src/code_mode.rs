//! 64-bit and 32-bit code.

/// How the processor decodes code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum CodeMode {
    /// As 64-bit code, which makes its calls by `syscall`.
    #[default]
    Long,
    /// As 32-bit code, which makes them by `int $0x80`.
    Compat,
}

impl CodeMode {
    /// Bits of an address.
    pub(crate) fn bitness(self) -> u32 {
        match self {
            Self::Long => 64,
            Self::Compat => 32,
        }
    }

    /// The instruction that makes a call.
    pub fn call(self) -> [u8; crate::SYSCALL_LEN] {
        match self {
            Self::Long => [0x0f, 0x05],
            Self::Compat => [0xcd, 0x80],
        }
    }
}
