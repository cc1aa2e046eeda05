//! ioctl requests of terminals: ioctl_tty(2).

use crate::io::{Dest, Source};
use crate::{Error, Result};
use litebox_common_linux::abi::ioctl::{
    FIONREAD, TCFLSH, TCGETA, TCGETS, TCSBRK, TCSBRKP, TCSETA, TCSETAF, TCSETAW, TCSETS, TCSETSF, TCSETSW, TCXONC,
    TIOCGETD, TIOCGPGRP, TIOCGPTPEER, TIOCGSID, TIOCGWINSZ, TIOCNOTTY, TIOCOUTQ, TIOCPKT, TIOCSCTTY, TIOCSETD,
    TIOCSPGRP, TIOCSTI, TIOCSWINSZ, TIOCVHANGUP,
};

use super::packet::Before;
use super::pty::Pair;
use super::settings::{CLOCAL, Settings, TERMIOS_SIZE};
use super::{Caller, TerminalSignal};

const TIOCEXCL: u32 = 0x540c;
const TIOCNXCL: u32 = 0x540d;
const TIOCGSOFTCAR: u32 = 0x5419;
const TIOCSSOFTCAR: u32 = 0x541a;
const TIOCGLCKTRMIOS: u32 = 0x5456;
const TIOCSLCKTRMIOS: u32 = 0x5457;
const TIOCGDEV: u32 = 0x8004_5432;
const TIOCGEXCL: u32 = 0x8004_5440;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSW2: u32 = 0x402c_542c;
const TCSETSF2: u32 = 0x402c_542d;
const TIOCGPTN: u32 = 0x8004_5430;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCGPKT: u32 = 0x8004_5438;
const TIOCGPTLCK: u32 = 0x8004_5439;

fn write(addr: usize, bytes: &[u8]) -> Result<usize> {
    if Dest::user(addr, bytes.len()).put(bytes)? == bytes.len() { Ok(0) } else { Err(Error::Fault) }
}

fn read<const N: usize>(addr: usize) -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    if Source::user(addr, N).take(&mut bytes)? == N { Ok(bytes) } else { Err(Error::Fault) }
}

fn write_int(addr: usize, value: usize) -> Result<usize> {
    write(addr, &i32::try_from(value).unwrap_or(i32::MAX).to_le_bytes())
}

fn read_int(addr: usize) -> Result<i32> {
    read(addr).map(i32::from_le_bytes)
}

impl Pair {
    /// A request at the master or the slave.
    pub(super) fn request(&self, request: u32, arg: usize, master: bool) -> Result<usize> {
        if !master
            && matches!(request, TCSETS..=TCSETSF | TCSETA..=TCFLSH | TIOCSPGRP | TCSBRKP | TCSETS2 | TCSETSW2 | TCSETSF2)
        {
            self.check_foreground(TerminalSignal::BackgroundWrite)?;
            self.claim_outside()?;
        }
        match request {
            TCGETS => write(arg, &self.settings().to_bytes()),
            TCGETS2 => write(arg, &self.settings().to_bytes2()),
            TCGETA => write(arg, &self.settings().to_termio()),
            TCSETS | TCSETSW | TCSETSF => {
                self.set(Settings::from_bytes(&read(arg)?), request == TCSETSF);
                Ok(0)
            }
            TCSETS2 | TCSETSW2 | TCSETSF2 => {
                self.set(Settings::from_bytes2(&read(arg)?), request == TCSETSF2);
                Ok(0)
            }
            TCSETA | TCSETAW | TCSETAF => {
                let raw = read(arg)?;
                self.set(self.settings().with_termio(&raw), request == TCSETAF);
                Ok(0)
            }
            TCFLSH => self.flush(arg, master),
            TCXONC => self.flow(arg),
            TCSBRK | TCSBRKP => Ok(0),
            TIOCGWINSZ => {
                let window = self.state.lock().window;
                write(arg, &window)
            }
            TIOCSWINSZ => {
                self.resize(read(arg)?);
                Ok(0)
            }
            FIONREAD => {
                let line = &self.state.lock().line;
                let count = if master { line.output_len() } else { line.input_len() };
                write_int(arg, count)
            }
            TIOCOUTQ => {
                let count = if master { 0 } else { self.state.lock().line.output_len() };
                write_int(arg, count)
            }
            TIOCGETD => write_int(arg, 0),
            TIOCEXCL | TIOCNXCL => {
                self.state.lock().exclusive[usize::from(master)] = request == TIOCEXCL;
                Ok(0)
            }
            TIOCGEXCL => {
                let exclusive = self.state.lock().exclusive[usize::from(master)];
                write_int(arg, exclusive.into())
            }
            TIOCGDEV => write(arg, &(self.device() as u32).to_le_bytes()),
            TIOCGSOFTCAR => write_int(arg, usize::from(self.settings().control & CLOCAL != 0)),
            TIOCSSOFTCAR => {
                let mut settings = self.settings();
                let on = if read_int(arg)? == 0 { 0 } else { CLOCAL };
                settings.control = settings.control & !CLOCAL | on;
                self.set(settings, false);
                Ok(0)
            }
            // No setting is locked, and who might lock one is not in a sandbox.
            TIOCGLCKTRMIOS => write(arg, &[0; TERMIOS_SIZE]),
            TIOCSLCKTRMIOS => Err(Error::NotPermitted),
            // There is one line discipline.
            TIOCSETD => (read_int(arg)? == 0).then_some(0).ok_or(Error::Invalid),
            // Input that nobody typed: refused, as Linux can be told since 6.2. The slave of a master needs the
            // caller's descriptors and is opened elsewhere; a slave has none.
            TIOCSTI | TIOCGPTPEER => Err(Error::Io),
            TIOCGPTN if master => write_int(arg, self.number as usize),
            TIOCSPTLCK if master => {
                self.state.lock().locked = read_int(arg)? != 0;
                Ok(0)
            }
            TIOCGPTLCK if master => {
                let locked = self.state.lock().locked;
                write_int(arg, usize::from(locked))
            }
            TIOCPKT if master => {
                let on = read_int(arg)? != 0;
                self.state.lock().packet.turn(on);
                Ok(0)
            }
            TIOCGPKT if master => {
                let on = self.state.lock().packet.on;
                write_int(arg, usize::from(on))
            }
            TIOCVHANGUP if !master => {
                let caller = self.terminals.upgrade().and_then(|t| t.caller());
                if caller.is_none_or(|c| c.uid != 0) {
                    return Err(Error::NotPermitted);
                }
                self.hang_up(true);
                Ok(0)
            }
            TIOCSCTTY | TIOCNOTTY | TIOCGPGRP | TIOCSPGRP | TIOCGSID => self.control(request, arg, master),
            _ => Err(Error::NotTerminal),
        }
    }

    fn settings(&self) -> Settings {
        self.state.lock().line.settings
    }

    fn set(&self, settings: Settings, flush: bool) {
        {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let before = Before::of(&state.line);
            if flush {
                state.line.flush_input();
                state.packet.input_flushed();
            }
            state.line.set(settings);
            state.packet.compare(before, &state.line);
        }
        self.changed();
    }

    /// tcflush(3): input, output, both, as the caller's side sees them.
    fn flush(&self, which: usize, master: bool) -> Result<usize> {
        if which > 2 {
            return Err(Error::Invalid);
        }
        {
            let mut state = self.state.lock();
            let (incoming, outgoing) = (which != 1, which != 0);
            let (input, output) = if master { (outgoing, incoming) } else { (incoming, outgoing) };
            if input {
                state.line.flush_input();
            }
            if output {
                state.line.flush_output();
            }
            if input && !master {
                state.packet.input_flushed();
            }
            if output && !master {
                state.packet.output_flushed();
            }
        }
        self.changed();
        Ok(0)
    }

    /// tcflow(3).
    fn flow(&self, action: usize) -> Result<usize> {
        match action {
            0 | 1 => {
                {
                    let mut guard = self.state.lock();
                    let state = &mut *guard;
                    let before = Before::of(&state.line);
                    state.line.stopped = action == 0;
                    state.packet.compare(before, &state.line);
                }
                self.changed();
            }
            2 | 3 => {}
            _ => return Err(Error::Invalid),
        }
        Ok(0)
    }

    /// The requests about sessions and groups.
    fn control(&self, request: u32, arg: usize, master: bool) -> Result<usize> {
        let terminals = self.terminals.upgrade().ok_or(Error::NotTerminal)?;
        let jobs = terminals.jobs().ok_or(Error::NotTerminal)?;
        let caller = jobs.caller().ok_or(Error::NotTerminal)?;
        if request == TIOCSCTTY {
            // Asked at the master, it is about the slave.
            return self.become_controlling(&caller);
        }
        let (session, foreground) = {
            let state = self.state.lock();
            (state.session, state.foreground)
        };
        if request == TIOCNOTTY && master {
            // A master controls nobody.
            return Err(Error::NotTerminal);
        }
        if session != Some(caller.session) && !(master && matches!(request, TIOCGPGRP | TIOCGSID)) {
            return Err(Error::NotTerminal);
        }
        match request {
            TIOCNOTTY => {
                if caller.pid == caller.session {
                    self.state.lock().session = None;
                    if foreground > 0 {
                        jobs.signal_group(foreground, TerminalSignal::HangUp);
                        jobs.signal_group(foreground, TerminalSignal::Continue);
                    }
                }
                Ok(0)
            }
            TIOCGPGRP => write(arg, &foreground.to_le_bytes()),
            TIOCSPGRP => {
                let group = read_int(arg)?;
                if group < 0 {
                    return Err(Error::Invalid);
                }
                if jobs.session_of(group).ok_or(Error::NoProcess)? != caller.session {
                    return Err(Error::NotPermitted);
                }
                self.state.lock().foreground = group;
                Ok(0)
            }
            _ => write(arg, &session.ok_or(Error::NotTerminal)?.to_le_bytes()),
        }
    }

    /// TIOCSCTTY: for the leader of a session that has no terminal, of one that controls none.
    pub(super) fn become_controlling(&self, caller: &Caller) -> Result<usize> {
        let terminals = self.terminals.upgrade().ok_or(Error::NotTerminal)?;
        if caller.pid != caller.session {
            return Err(Error::NotPermitted);
        }
        let other = terminals.controlling(caller.session);
        if other.is_some_and(|other| other.number != self.number) {
            return Err(Error::NotPermitted);
        }
        let mut state = self.state.lock();
        match state.session {
            Some(session) if session == caller.session => {}
            Some(_) => return Err(Error::NotPermitted),
            None => {
                state.session = Some(caller.session);
                state.foreground = caller.group;
            }
        }
        Ok(0)
    }
}
