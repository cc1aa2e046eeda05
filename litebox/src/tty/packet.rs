//! Packet mode (`TIOCPKT`, ioctl_tty(2)): each read of the master begins with a byte that says whether data follows, or
//! what happened at the slave.

use super::line::Line;

/// Data follows.
pub(super) const DATA: u8 = 0;
const FLUSHREAD: u8 = 1;
const FLUSHWRITE: u8 = 2;
const STOP: u8 = 4;
const START: u8 = 8;
const NOSTOP: u8 = 16;
const DOSTOP: u8 = 32;

/// What the master has not been told yet.
#[derive(Clone, Copy, Default)]
pub(super) struct Packet {
    /// The mode is on.
    pub on: bool,
    /// What happened since the master was told last.
    status: u8,
}

/// What of a line the master is told about, before something is done to it.
#[derive(Clone, Copy)]
pub(super) struct Before {
    stopped: bool,
    usual_keys: bool,
}

impl Before {
    pub fn of(line: &Line) -> Self {
        Self { stopped: line.stopped, usual_keys: line.settings.stops_by_usual_keys() }
    }
}

impl Packet {
    /// Turns the mode on or off; what happened before it is on is not told.
    pub fn turn(&mut self, on: bool) {
        if on && !self.on {
            self.status = 0;
        }
        self.on = on;
    }
    /// Whether there is something to tell.
    pub fn has_news(self) -> bool {
        self.on && self.status != 0
    }
    /// Takes what there is to tell.
    pub fn take_news(&mut self) -> Option<u8> {
        self.has_news().then(|| core::mem::take(&mut self.status))
    }
    fn note(&mut self, event: u8, instead_of: u8) {
        if self.on {
            self.status = self.status & !instead_of | event;
        }
    }
    /// Unread input of the slave was dropped.
    pub fn input_flushed(&mut self) {
        self.note(FLUSHREAD, 0);
    }
    /// Output that the master has not read was dropped.
    pub fn output_flushed(&mut self) {
        self.note(FLUSHWRITE, 0);
    }
    /// Something was done to `line`: whether its output was stopped or goes on by it, or the keys for that were
    /// changed.
    pub fn compare(&mut self, before: Before, line: &Line) {
        let now = Before::of(line);
        match (before.stopped, now.stopped) {
            (false, true) => self.note(STOP, START),
            (true, false) => self.note(START, STOP),
            _ => {}
        }
        match (before.usual_keys, now.usual_keys) {
            (false, true) => self.note(DOSTOP, NOSTOP),
            (true, false) => self.note(NOSTOP, DOSTOP),
            _ => {}
        }
    }
}
