//! The line discipline: echo, editing of lines, signals of characters, newline conversion. termios(3), N_TTY of Linux.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::TerminalSignal;
use super::settings::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP, IUTF8, IXANY, IXON, NOFLSH,
    OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, Settings, TABDLY, VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT,
    VQUIT, VREPRINT, VSTART, VSTOP, VSUSP, VWERASE, XTABS,
};

/// The longest line and the most unread input, as on Linux.
const MOST_INPUT: usize = 4095;
/// The most unread input of a terminal that edits no lines: Linux has its tty buffers before the line discipline's.
const MOST_RAW_INPUT: usize = 16_512;
/// Columns of a tabulator.
const TAB: usize = 8;
/// The most unread output.
const MOST_OUTPUT: usize = 64 << 10;

/// Bytes between a master and its slave, both ways.
#[derive(Default)]
pub(super) struct Line {
    pub settings: Settings,
    /// What the slave can read.
    input: VecDeque<u8>,
    /// Canonical: how long the lines at the front of `input` are. An empty one is an end of file.
    lines: VecDeque<usize>,
    /// Canonical: the line being edited.
    edited: Vec<u8>,
    /// What the master can read.
    output: VecDeque<u8>,
    /// The next character is taken as it is.
    literal: bool,
    /// Output is stopped (Ctrl-S).
    pub stopped: bool,
    /// Where the output is in its line.
    column: usize,
}

impl Line {
    /// Whether the master may write.
    pub fn takes_input(&self) -> bool {
        self.settings.canonical() || self.input.len() < MOST_RAW_INPUT
    }
    /// How many bytes the master may write without any of them being lost; of a line that is being edited those too
    /// many are, as on Linux.
    pub fn input_room(&self) -> usize {
        if self.settings.canonical() { usize::MAX } else { MOST_RAW_INPUT.saturating_sub(self.input.len()) }
    }
    /// Whether the slave may write.
    pub fn takes_output(&self) -> bool {
        !self.stopped && self.output.len() < MOST_OUTPUT
    }
    /// Bytes that wait for the master.
    pub fn output_len(&self) -> usize {
        self.output.len()
    }
    /// Bytes that the slave could read now (FIONREAD).
    pub fn input_len(&self) -> usize {
        if self.settings.canonical() { self.lines.iter().sum() } else { self.input.len() }
    }
    /// Whether a whole line, or an end of file, waits for the slave.
    pub fn has_line(&self) -> bool {
        !self.lines.is_empty()
    }
    /// Changes the settings. What was typed stays readable.
    pub fn set(&mut self, settings: Settings) {
        let before = self.settings.canonical();
        self.settings = settings;
        match (before, settings.canonical()) {
            (true, false) => {
                self.input.extend(self.edited.drain(..));
                self.lines.clear();
            }
            (false, true) if !self.input.is_empty() => self.lines.push_back(self.input.len()),
            _ => {}
        }
        if settings.input & IXON == 0 {
            self.stopped = false;
        }
    }
    /// Drops unread input.
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.lines.clear();
        self.edited.clear();
    }
    /// Drops unread output.
    pub fn flush_output(&mut self) {
        self.output.clear();
    }

    /// One byte typed at the master's side. A signal it means is returned.
    pub fn type_byte(&mut self, byte: u8) -> Option<TerminalSignal> {
        let s = self.settings;
        let mut byte = if s.input & ISTRIP != 0 { byte & 0x7f } else { byte };
        if core::mem::take(&mut self.literal) {
            self.keep(byte);
            return None;
        }
        if s.input & IXON != 0 {
            if s.is(byte, VSTOP) {
                self.stopped = true;
                return None;
            }
            let starts = s.is(byte, VSTART);
            if starts || (self.stopped && s.input & IXANY != 0) {
                self.stopped = false;
                if starts {
                    return None;
                }
            }
        }
        if s.on(ISIG) {
            if let Some(signal) = self.signal_of(byte) {
                return Some(signal);
            }
        }
        match byte {
            b'\r' if s.input & IGNCR != 0 => return None,
            b'\r' if s.input & ICRNL != 0 => byte = b'\n',
            b'\n' if s.input & INLCR != 0 => byte = b'\r',
            _ => {}
        }
        if s.canonical() {
            self.edit(byte);
        } else {
            self.keep(byte);
        }
        None
    }

    fn signal_of(&mut self, byte: u8) -> Option<TerminalSignal> {
        let s = self.settings;
        let signals =
            [(VINTR, TerminalSignal::Interrupt), (VQUIT, TerminalSignal::Quit), (VSUSP, TerminalSignal::Suspend)];
        let signal = signals.iter().find(|(place, _)| s.is(byte, *place)).map(|(_, signal)| *signal)?;
        self.stopped = false;
        if !s.on(NOFLSH) {
            self.flush_input();
            self.flush_output();
        }
        self.echo(byte);
        Some(signal)
    }

    /// Keeps a byte as input.
    fn keep(&mut self, byte: u8) {
        if self.settings.canonical() {
            if self.edited.len() + self.input.len() >= MOST_INPUT {
                return;
            }
            self.echo(byte);
            self.edited.push(byte);
        } else if self.input.len() < MOST_RAW_INPUT {
            self.echo(byte);
            self.input.push_back(byte);
        }
    }

    /// The edited line is complete.
    fn commit(&mut self) {
        self.lines.push_back(self.edited.len());
        self.input.extend(self.edited.drain(..));
    }

    fn edit(&mut self, byte: u8) {
        let s = self.settings;
        let extended = s.on(IEXTEN);
        if s.is(byte, VERASE) {
            let _ = self.erase_last();
        } else if s.is(byte, VKILL) {
            self.kill_line(byte);
        } else if extended && s.is(byte, VWERASE) {
            while self.edited.last().is_some_and(|b| !is_word(*b)) && self.erase_last() {}
            while self.edited.last().is_some_and(|b| is_word(*b)) && self.erase_last() {}
        } else if extended && s.is(byte, VREPRINT) {
            self.echo(byte);
            self.put_output(b'\n');
            for at in 0..self.edited.len() {
                self.echo(self.edited.get(at).copied().unwrap_or(0));
            }
        } else if extended && s.is(byte, VLNEXT) {
            self.literal = true;
            if s.on(ECHO | ECHOCTL) {
                self.output.extend(b"^\x08");
            }
        } else if s.is(byte, VEOF) {
            self.commit();
        } else if byte == b'\n' || s.is(byte, VEOL) || (extended && s.is(byte, VEOL2)) {
            if byte == b'\n' && s.local & (ECHO | ECHONL) != 0 {
                self.put_output(byte);
            } else {
                self.echo(byte);
            }
            // Always room for the end of a line.
            self.edited.push(byte);
            self.commit();
        } else {
            self.keep(byte);
        }
    }

    /// Takes the last character of the edited line away.
    /// `false`: there is none.
    fn erase_last(&mut self) -> bool {
        let continues = |byte: &u8| self.settings.input & IUTF8 != 0 && byte & 0xc0 == 0x80;
        // Of a character whose beginning is not there nothing goes.
        let Some(at) = self.edited.iter().rposition(|byte| !continues(byte)) else { return false };
        let Some(gone) = self.edited.drain(at..).next() else { return false };
        if self.settings.on(ECHO) {
            if self.settings.on(ECHOE) {
                let width = if self.settings.on(ECHOCTL) && is_shown_as_two(gone) { 2 } else { 1 };
                for _ in 0..width {
                    self.output.extend(b"\x08 \x08");
                }
            } else {
                let erase = self.settings.characters[VERASE];
                self.echo(erase);
            }
        }
        true
    }

    fn kill_line(&mut self, byte: u8) {
        if !self.settings.on(ECHO) {
            return self.edited.clear();
        }
        if self.settings.on(ECHOKE | ECHOE) {
            while self.erase_last() {}
            return;
        }
        self.edited.clear();
        self.echo(byte);
        if self.settings.on(ECHO | ECHOK) {
            self.put_output(b'\n');
        }
    }

    fn echo(&mut self, byte: u8) {
        if !self.settings.on(ECHO) || self.output.len() >= MOST_OUTPUT {
            return;
        }
        if self.settings.on(ECHOCTL) && is_shown_as_two(byte) {
            self.output.extend([b'^', byte ^ 0x40]);
        } else {
            self.put_output(byte);
        }
    }

    /// One byte of output, converted.
    pub fn put_output(&mut self, byte: u8) {
        let output = self.settings.output;
        if output & OPOST == 0 {
            return self.output.push_back(byte);
        }
        match byte {
            b'\n' if output & ONLCR != 0 => {
                self.column = 0;
                self.output.extend(b"\r\n");
            }
            b'\n' => {
                if output & ONLRET != 0 {
                    self.column = 0;
                }
                self.output.push_back(b'\n');
            }
            b'\r' if output & ONOCR != 0 && self.column == 0 => {}
            b'\r' => {
                let becomes_newline = output & OCRNL != 0;
                if !becomes_newline || output & ONLRET != 0 {
                    self.column = 0;
                }
                self.output.push_back(if becomes_newline { b'\n' } else { b'\r' });
            }
            b'\t' => {
                let spaces = TAB - self.column % TAB;
                self.column += spaces;
                if output & TABDLY == XTABS {
                    self.output.extend(core::iter::repeat_n(b' ', spaces));
                } else {
                    self.output.push_back(b'\t');
                }
            }
            b'\x08' => {
                self.column = self.column.saturating_sub(1);
                self.output.push_back(byte);
            }
            other => {
                let continues = self.settings.input & IUTF8 != 0 && other & 0xc0 == 0x80;
                if !other.is_ascii_control() && !continues {
                    self.column += 1;
                }
                self.output.push_back(if output & OLCUC != 0 { other.to_ascii_uppercase() } else { other });
            }
        }
    }

    /// What the master reads: at most `most` bytes, without taking them.
    pub fn peek_output(&self, most: usize) -> Vec<u8> {
        self.output.iter().take(most).copied().collect()
    }
    /// Puts back what was taken and could not be moved.
    pub fn give_back_output(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().rev() {
            self.output.push_front(*byte);
        }
    }
    /// Takes what was read away.
    pub fn take_output(&mut self, count: usize) {
        self.output.drain(..count.min(self.output.len()));
    }
    /// What the slave reads now: at most `most` bytes, in canonical mode at most a line.
    pub fn peek_input(&self, most: usize) -> Vec<u8> {
        let end = if self.settings.canonical() { self.lines.front().copied().unwrap_or(0) } else { self.input.len() };
        self.input.iter().take(most.min(end)).copied().collect()
    }
    /// Takes what was read away; an end of file goes with it.
    pub fn take_input(&mut self, count: usize) {
        let count = count.min(self.input.len());
        self.input.drain(..count);
        if self.settings.canonical() {
            match self.lines.front_mut() {
                Some(line) if *line > count => *line -= count,
                Some(_) => {
                    self.lines.pop_front();
                }
                None => {}
            }
        }
    }
}

/// Part of a word for Ctrl-W.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Shown as `^X`.
fn is_shown_as_two(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t' && byte != b'\n') || byte == 0x7f
}
