//! Code around a `syscall`, made from any bytes.

/// Numbers of calls that no host knows; it refuses them all in the same way.
const NUMBERS: std::ops::Range<u32> = 1000..1512;
/// Bytes of data that instructions refer to, at the beginning of the code's memory.
pub const DATA_LEN: usize = 256;
/// Where the code begins in its memory.
pub const CODE_AT: usize = 0x400;

/// Bytes to make decisions of; zeros once they are used up.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }
    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }
}

/// One instruction: its bytes, and what in it depends on addresses.
struct Piece {
    bytes: Vec<u8>,
    refers: Refers,
}

enum Refers {
    Nothing,
    /// Four bytes at a place of the instruction lead to a place of the data.
    Data {
        at: usize,
        to: usize,
    },
    /// The last byte, or the last four, lead to the piece that lies so many further.
    Piece {
        wide: bool,
        further: isize,
    },
}

fn plain(bytes: &[u8]) -> Piece {
    Piece { bytes: bytes.to_vec(), refers: Refers::Nothing }
}

fn with_data(bytes: &[u8], at: usize, to: usize) -> Piece {
    Piece { bytes: bytes.to_vec(), refers: Refers::Data { at, to } }
}

fn leads(bytes: &[u8], wide: bool, further: isize) -> Piece {
    Piece { bytes: bytes.to_vec(), refers: Refers::Piece { wide, further } }
}

/// A program: it lies at [`CODE_AT`] of its memory and ends by leaving it for the address behind its last piece.
pub struct Program {
    /// Its bytes.
    pub code: Vec<u8>,
    /// Where its `syscall` is in them.
    pub syscall: usize,
    /// The number it is called with.
    pub number: u32,
    /// Where instructions begin that it may be entered at: the first one, and those from the call on.
    pub entries: Vec<usize>,
    /// What the registers hold at the beginning, in the order of the encoding; `rsp` is not among what is used of it.
    pub registers: [u64; 16],
    /// The arithmetic flags at the beginning.
    pub flags: u64,
}

impl Program {
    /// What `bytes` say.
    pub fn new(bytes: &[u8]) -> Self {
        let mut choices = Choices(bytes);
        let number = NUMBERS.start + u32::from(choices.byte()) + u32::from(choices.byte() & 1) * 256;
        let mut pieces: Vec<Piece> = (0..choices.below(6)).map(|_| filler(&mut choices)).collect();
        pieces.extend(load(&mut choices, number));
        let call = pieces.len();
        pieces.push(plain(&[0x0f, 0x05]));
        let behind = 1 + choices.below(8);
        for n in 0..behind {
            let left = behind - n;
            pieces.push(follower(&mut choices, left));
        }
        // Back to the call or to what follows it, a few times.
        if choices.byte() & 1 == 1 {
            pieces.push(plain(&[0x41, 0xff, 0xcf]));
            let back = choices.below(pieces.len() - call) as isize + 1;
            pieces.push(leads(&[0x0f, 0x85, 0, 0, 0, 0], true, -back));
        }
        let mut registers = [0; 16];
        registers.fill_with(|| choices.word());
        registers[0] = number.into();
        registers[15] = 1 + choices.below(4) as u64;
        let flags = u64::from(choices.byte()) & 0xd5 | 2 | u64::from(choices.byte() & 1) << 11;
        let (code, starts) = place(&pieces);
        let entries = std::iter::once(0).chain(starts[call..].iter().copied()).collect();
        Self { code, syscall: starts[call], number, entries, registers, flags }
    }
}

/// The load of the number, or what looks like one.
fn load(choices: &mut Choices<'_>, number: u32) -> Option<Piece> {
    let number = number.to_le_bytes();
    let with = |opcode: &[u8]| plain(&[opcode, &number].concat());
    match choices.below(6) {
        0 | 1 => Some(with(&[0xb8])),
        2 => Some(with(&[0x48, 0xc7, 0xc0])),
        // mov $number,%r8d: its end looks like a load of eax.
        3 => Some(with(&[0x41, 0xb8])),
        4 => Some(with(&[0x49, 0xc7, 0xc0])),
        _ => None,
    }
}

/// An instruction that changes registers, memory or flags, but not `rax`, `rsp` and `r15`.
fn filler(choices: &mut Choices<'_>) -> Piece {
    let to = choices.below(DATA_LEN - 8);
    let value = choices.byte();
    match choices.below(14) {
        0 => plain(&[0x90]),
        1 => plain(&[0xff, 0xc3]),
        2 => plain(&[0x48, 0x89, 0xda]),
        3 => plain(&[0x01, 0xd6]),
        4 => plain(&[0x48, 0x83, 0xf7, value]),
        5 => with_data(&[0x48, 0x8d, 0x15, 0, 0, 0, 0], 3, to),
        6 => with_data(&[0x48, 0x8b, 0x35, 0, 0, 0, 0], 3, to),
        7 => with_data(&[0x48, 0x89, 0x3d, 0, 0, 0, 0], 3, to),
        8 => with_data(&[0x80, 0x05, 0, 0, 0, 0, value], 2, to),
        9 => with_data(&[0x81, 0x3d, 0, 0, 0, 0, value, 1, 2, 3], 2, to),
        10 => with_data(&[0xf3, 0x0f, 0x6f, 0x05, 0, 0, 0, 0], 4, to & !15),
        11 => plain(&[0x66, 0x0f, 0xef, 0xc1]),
        12 => plain(&[0x0f, 0x1f, 0x44, 0, value & 0x7f]),
        // The red zone.
        _ => plain(&[0x48, 0x89, 0x54, 0x24, 0xf8 - (value & 0x38)]),
    }
}

/// What may follow a call; `left`: so many pieces are there from this one on.
fn follower(choices: &mut Choices<'_>, left: usize) -> Piece {
    let further = 1 + choices.below(left) as isize;
    let condition = choices.byte() & 0xf;
    match choices.below(16) {
        0 => plain(&[0xff, 0xc0]),
        1 => plain(&[0x85, 0xc0]),
        2 => plain(&[0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff]),
        3 => plain(&[0x48, 0x89, 0xc2]),
        4 => plain(&[0x84, 0xc0]),
        5 => plain(&[0x89, 0xca]),
        6 => plain(&[0x4c, 0x89, 0xde]),
        7 => leads(&[0x70 | condition, 0], false, further),
        8 => leads(&[0x0f, 0x80 | condition, 0, 0, 0, 0], true, further),
        9 => leads(&[0xeb, 0], false, further),
        10 => leads(&[0xe9, 0, 0, 0, 0], true, further),
        // Another call, which cannot be moved. Nothing makes of `rax` the number of a call that exists.
        11 => plain(&[0x0f, 0x05]),
        _ => filler(choices),
    }
}

/// The bytes of all pieces one behind the other, and where each begins; at last the end.
fn place(pieces: &[Piece]) -> (Vec<u8>, Vec<usize>) {
    let mut starts = vec![0];
    for piece in pieces {
        starts.push(starts[starts.len() - 1] + piece.bytes.len());
    }
    let mut code = Vec::new();
    for (n, piece) in pieces.iter().enumerate() {
        let mut bytes = piece.bytes.clone();
        let end = starts[n + 1] as isize;
        match piece.refers {
            Refers::Nothing => {}
            Refers::Data { at, to } => {
                let distance = to as i32 - (CODE_AT as i32 + end as i32);
                bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
            }
            Refers::Piece { wide, further } => {
                let target = starts[(n as isize + further) as usize] as isize - end;
                let width = if wide { 4 } else { 1 };
                let from = bytes.len() - width;
                bytes[from..].copy_from_slice(&(target as i32).to_le_bytes()[..width]);
            }
        }
        code.extend(bytes);
    }
    starts.truncate(pieces.len());
    (code, starts)
}
