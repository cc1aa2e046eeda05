//! mq_notify(2): who is told when a message comes to an empty queue. By a signal, or over a netlink socket, at whose
//! end the C library starts a thread (`SIGEV_THREAD`).

use alloc::sync::Arc;

use litebox::fs::Access;
use litebox::net::netlink::NetlinkSocket;
use litebox::{Error, Result};
use litebox_common_linux::abi::signal::SigEvent;
use litebox_common_linux::argument::UserRef;

use crate::Task;
use crate::signal::SignalInfo;
use crate::signal::set::MAX_SIGNAL;
use crate::syscalls::net::netlink_at;
use crate::task::Kernel;
use crate::user::{UserRead, read_bytes};

const SI_MESGQ: i32 = -3;
/// What the kernel gives back over the socket; its last byte says why.
const COOKIE: usize = 32;
const WOKEN_UP: u8 = 1;
const REMOVED: u8 = 2;

/// How somebody is told.
#[derive(Clone)]
enum Means {
    /// Not at all.
    Nothing,
    Signal {
        number: i32,
        value: u64,
    },
    Socket {
        socket: Arc<NetlinkSocket>,
        cookie: [u8; COOKIE],
    },
}

impl Means {
    /// Over a socket, that `what` has happened.
    fn deliver(&self, what: u8) {
        if let Self::Socket { socket, cookie } = self {
            let mut message = *cookie;
            if let Some(last) = message.last_mut() {
                *last = what;
            }
            socket.deliver(&message);
        }
    }
}

/// Who is told, and how.
#[derive(Clone)]
pub(super) struct Registration {
    pub pid: i32,
    means: Means,
}

impl Registration {
    /// Tells of a message from `sender`.
    pub fn tell(&self, kernel: &Kernel, sender: (i32, u32)) {
        self.means.deliver(WOKEN_UP);
        let (Means::Signal { number, value }, Some(process)) = (&self.means, kernel.process(self.pid)) else { return };
        let mut info = SignalInfo::sent(*number, SI_MESGQ, sender.0, sender.1);
        if let Some(slot) = info.fields.get_mut(8..16) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        // A full queue of signals loses it, as on Linux.
        let _ = process.send_signal(info);
    }
    /// It holds no longer.
    pub fn removed(&self) {
        self.means.deliver(REMOVED);
    }
    /// The signal, for who reads the queue's file.
    pub fn signal(&self) -> i32 {
        if let Means::Signal { number, .. } = self.means { number } else { 0 }
    }
    /// `sigev_notify`.
    pub fn kind(&self) -> i32 {
        match self.means {
            Means::Signal { .. } => SIGEV_SIGNAL,
            Means::Nothing => SIGEV_NONE,
            Means::Socket { .. } => SIGEV_THREAD,
        }
    }
}

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;

impl Task<'_, '_> {
    /// What a `struct sigevent` asks for. Of a thread it names the socket and the cookie.
    fn means(&self, event: SigEvent) -> Result<Means> {
        let SigEvent { value, signal: number, notify, .. } = event;
        match notify {
            // Signal 0: as nobody, but for the name.
            SIGEV_SIGNAL if (0..=MAX_SIGNAL).contains(&number) => Ok(Means::Signal { number, value }),
            SIGEV_NONE => Ok(Means::Nothing),
            SIGEV_THREAD => {
                let cookie = read_bytes(value)?;
                Ok(Means::Socket { socket: netlink_at(&self.thread.files, number)?, cookie })
            }
            _ => Err(Error::Invalid),
        }
    }

    /// mq_notify(2).
    pub(crate) fn mq_notify(&mut self, fd: i32, event: UserRef<SigEvent>) -> Result<usize> {
        let pid = self.process().pid;
        let wanted = match event.read_if_given()? {
            None => None,
            Some(event) => Some(Registration { pid, means: self.means(event)? }),
        };
        let (_, queue) = self.queue_file(fd, Access::empty())?;
        let mut state = queue.state.lock();
        // A registration of a process that is gone means nothing.
        let other = state.registration.take().filter(|there| self.kernel().process(there.pid).is_some());
        let (now, removed, result) = match (wanted, other) {
            (Some(_), Some(other)) => (Some(other), None, Err(Error::Busy)),
            (None, Some(other)) if other.pid != pid => (Some(other), None, Ok(0)),
            (wanted, other) => (wanted, other, Ok(0)),
        };
        state.registration = now;
        drop(state);
        if let Some(removed) = removed {
            removed.removed();
        }
        result
    }
}
