//! Settings of a terminal, and the shapes that programs give and take them in: termios(3), struct termio of System V,
//! struct termios2.

// c_iflag
pub(super) const ISTRIP: u32 = 0o40;
pub(super) const INLCR: u32 = 0o100;
pub(super) const IGNCR: u32 = 0o200;
pub(super) const ICRNL: u32 = 0o400;
pub(super) const IXON: u32 = 0o2000;
pub(super) const IXANY: u32 = 0o4000;
pub(super) const IUTF8: u32 = 0o40000;
// c_oflag
pub(super) const OPOST: u32 = 1;
pub(super) const OLCUC: u32 = 2;
pub(super) const ONLCR: u32 = 4;
pub(super) const OCRNL: u32 = 0o10;
pub(super) const ONOCR: u32 = 0o20;
pub(super) const ONLRET: u32 = 0o40;
pub(super) const TABDLY: u32 = 0o14000;
pub(super) const XTABS: u32 = 0o14000;
// c_cflag
pub(super) const CLOCAL: u32 = 0o4000;
// c_lflag
pub(super) const ISIG: u32 = 1;
pub(super) const ICANON: u32 = 2;
/// Background groups may not write.
pub(super) const TOSTOP: u32 = 0o400;
pub(super) const ECHO: u32 = 0o10;
pub(super) const ECHOE: u32 = 0o20;
pub(super) const ECHOK: u32 = 0o40;
pub(super) const ECHONL: u32 = 0o100;
pub(super) const NOFLSH: u32 = 0o200;
pub(super) const ECHOCTL: u32 = 0o1000;
pub(super) const ECHOKE: u32 = 0o4000;
pub(super) const IEXTEN: u32 = 0o100_000;
// c_cc
pub(super) const VINTR: usize = 0;
pub(super) const VQUIT: usize = 1;
pub(super) const VERASE: usize = 2;
pub(super) const VKILL: usize = 3;
pub(super) const VEOF: usize = 4;
pub(super) const VTIME: usize = 5;
pub(super) const VMIN: usize = 6;
pub(super) const VSTART: usize = 8;
pub(super) const VSTOP: usize = 9;
pub(super) const VSUSP: usize = 10;
pub(super) const VEOL: usize = 11;
pub(super) const VREPRINT: usize = 12;
pub(super) const VWERASE: usize = 14;
pub(super) const VLNEXT: usize = 15;
pub(super) const VEOL2: usize = 16;

/// Bytes of `struct termios` of the kernel.
pub(super) const TERMIOS_SIZE: usize = 36;
/// Bytes of `struct termio`: flags of 16 bits and eight characters.
pub(super) const TERMIO_SIZE: usize = 18;
const TERMIO_CONTROLS: usize = 8;
/// Bytes of the two speeds at the end of `struct termios2`.
pub(super) const SPEEDS: usize = 8;
const CONTROLS: usize = 19;
/// The code of the output speed in `c_cflag`; that of the input speed lies higher.
const CBAUD: u32 = 0o10017;
const IBSHIFT: u32 = 16;
/// The speeds stand beside the flags.
const BOTHER: u32 = 0o10000;
/// Speeds by their codes: below 0o20, and from 0o10001 on.
const SLOW: [u32; 16] = [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
const FAST: [u32; 15] = [
    57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000,
    2_500_000, 3_000_000, 3_500_000, 4_000_000,
];
/// Settings of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    pub input: u32,
    pub output: u32,
    pub control: u32,
    pub local: u32,
    pub discipline: u8,
    /// Output and input, in bits a second.
    pub speeds: [u32; 2],
    pub characters: [u8; CONTROLS],
}

impl Default for Settings {
    fn default() -> Self {
        let mut characters = [0u8; CONTROLS];
        for (to, from) in
            characters.iter_mut().zip(*b"\x03\x1c\x7f\x15\x04\x00\x01\x00\x11\x13\x1a\x00\x12\x0f\x17\x16\x00")
        {
            *to = from;
        }
        let local = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
        // 38400 baud, 8 bits, receiver on.
        let (input, output) = (ICRNL | IXON, OPOST | ONLCR);
        Self { input, output, control: 0o277, local, discipline: 0, speeds: [38400; 2], characters }
    }
}

impl Settings {
    /// As `struct termios`.
    pub fn to_bytes(self) -> [u8; TERMIOS_SIZE] {
        let mut raw = [0u8; TERMIOS_SIZE];
        let words = [self.input, self.output, self.control, self.local];
        for (to, from) in raw.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        raw[16] = self.discipline;
        raw[17..].copy_from_slice(&self.characters);
        raw
    }
    /// From `struct termios`.
    pub fn from_bytes(raw: &[u8; TERMIOS_SIZE]) -> Self {
        let word = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let mut characters = [0u8; CONTROLS];
        characters.copy_from_slice(&raw[17..]);
        let [input, output, control, local] = [word(0), word(4), word(8), word(12)];
        let speeds = speeds_of(control, [0; 2]);
        Self { input, output, control, local, discipline: raw[16], speeds, characters }
    }
    /// As `struct termios2`.
    pub fn to_bytes2(self) -> [u8; TERMIOS_SIZE + SPEEDS] {
        let mut raw = [0u8; TERMIOS_SIZE + SPEEDS];
        raw[..TERMIOS_SIZE].copy_from_slice(&self.to_bytes());
        for (to, speed) in raw[TERMIOS_SIZE..].chunks_exact_mut(4).zip([self.speeds[1], self.speeds[0]]) {
            to.copy_from_slice(&speed.to_le_bytes());
        }
        raw
    }
    /// From `struct termios2`.
    pub fn from_bytes2(raw: &[u8; TERMIOS_SIZE + SPEEDS]) -> Self {
        let mut plain = [0u8; TERMIOS_SIZE];
        plain.copy_from_slice(&raw[..TERMIOS_SIZE]);
        let word = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let settings = Self::from_bytes(&plain);
        let given = [word(TERMIOS_SIZE + 4), word(TERMIOS_SIZE)];
        Self { speeds: speeds_of(settings.control, given), ..settings }
    }
    /// As `struct termio`: the lower half of each word, the first characters.
    pub fn to_termio(self) -> [u8; TERMIO_SIZE] {
        let mut raw = [0u8; TERMIO_SIZE];
        for (to, from) in raw.chunks_exact_mut(2).zip([self.input, self.output, self.control, self.local]) {
            to.copy_from_slice(&from.to_le_bytes()[..2]);
        }
        raw[8] = self.discipline;
        raw[9..9 + TERMIO_CONTROLS].copy_from_slice(&self.characters[..TERMIO_CONTROLS]);
        raw
    }
    /// Changed as `struct termio` says; what it does not name stays.
    pub fn with_termio(self, raw: &[u8; TERMIO_SIZE]) -> Self {
        let half = |at: usize, old: u32| (old & 0xffff_0000) | u32::from(u16::from_le_bytes([raw[at], raw[at + 1]]));
        let mut characters = self.characters;
        characters[..TERMIO_CONTROLS].copy_from_slice(&raw[9..9 + TERMIO_CONTROLS]);
        let control = half(4, self.control);
        Self {
            input: half(0, self.input),
            output: half(2, self.output),
            control,
            local: half(6, self.local),
            discipline: raw[8],
            speeds: speeds_of(control, self.speeds),
            characters,
        }
    }
    pub fn on(&self, local: u32) -> bool {
        self.local & local == local
    }
    /// Whether background groups may not write.
    pub fn stops_background(&self) -> bool {
        self.on(TOSTOP)
    }
    /// Whether Ctrl-S and Ctrl-Q stop output and let it go on.
    pub fn stops_by_usual_keys(&self) -> bool {
        const CTRL_Q: u8 = 0x11;
        const CTRL_S: u8 = 0x13;
        self.input & IXON != 0 && self.is(CTRL_S, VSTOP) && self.is(CTRL_Q, VSTART)
    }
    /// Whether signals leave input and output alone.
    pub fn keeps_on_signal(&self) -> bool {
        self.on(NOFLSH)
    }
    pub fn canonical(&self) -> bool {
        self.on(ICANON)
    }
    /// Whether `byte` is the special character at `place`; zero disables one.
    pub fn is(&self, byte: u8, place: usize) -> bool {
        byte != 0 && self.characters.get(place) == Some(&byte)
    }
}

/// The speeds that a `c_cflag` means; `given` are those that stand beside it.
fn speeds_of(control: u32, given: [u32; 2]) -> [u32; 2] {
    let speed = |code: u32, given: u32| match code {
        BOTHER => Some(given),
        _ if code & BOTHER != 0 => FAST.get((code & 0o17) as usize - 1).copied(),
        _ => SLOW.get(code as usize).copied(),
    };
    let output = speed(control & CBAUD, given[0]).unwrap_or(0);
    let input_code = (control >> IBSHIFT) & CBAUD;
    let input = if input_code == 0 { output } else { speed(input_code, given[1]).unwrap_or(output) };
    [output, input]
}
