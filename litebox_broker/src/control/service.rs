//! The thread that serves clients. It waits for nobody: a client that does not take what it is told is forgotten.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use litebox_protocol::control::{
    Call, FIRST_PROGRAM, Granted, Head, MAX_MESSAGE, Message, STATE_PAUSED, STATE_RUNNING, Told, VERSION,
};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use zerocopy::IntoBytes;

use super::client::{Client, is_same_user, receive};
use super::figures::Gauge;
use super::programs::{Owner, Programs};
use super::{Bell, News, Order};
use crate::beneath::{Access, Grant};
use crate::files::Files;

/// Clients that may be there at once: each costs a descriptor.
const MOST_CLIENTS: usize = 512;
/// Messages of a client that are served in a row.
const MOST_IN_A_ROW: usize = 16;
/// How long clients that come too many wait before they are looked at again, and events that the host did not take.
const REST: Duration = Duration::from_millis(20);

/// What the thread works with.
pub(super) struct Parts {
    pub listener: OwnedFd,
    pub events: Arc<OwnedFd>,
    pub files: Arc<Files>,
    pub news: Receiver<News>,
    pub bell: Bell,
    pub orders: Sender<Order>,
    pub orders_bell: Bell,
    pub gauge: Gauge,
}

/// The thread's state.
pub(super) struct Service {
    parts: Parts,
    clients: BTreeMap<u64, Client>,
    last_client: u64,
    programs: Programs,
    paused: bool,
    /// Events wait although the socket takes some: the host has no room for their descriptors.
    rests: bool,
    buffer: Vec<u8>,
}

/// What was polled.
#[derive(Clone, Copy)]
enum Source {
    News,
    Clients,
    Events,
    Client(u64),
}

impl Service {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            programs: Programs::new(parts.files.clone()),
            parts,
            clients: BTreeMap::new(),
            last_client: 0,
            paused: false,
            rests: false,
            buffer: vec![0; MAX_MESSAGE],
        }
    }

    /// Serves until the sandbox is over.
    pub(super) fn run(mut self) {
        loop {
            let Some(ready) = self.wait() else { return };
            for source in ready {
                match source {
                    Source::News => {
                        if !self.hear() {
                            return;
                        }
                    }
                    Source::Clients => self.accept(),
                    Source::Events => {}
                    Source::Client(key) => self.serve(key),
                }
            }
            self.rests = !self.programs.flush(&self.parts.events);
        }
    }

    fn wait(&self) -> Option<Vec<Source>> {
        let full = self.clients.len() >= MOST_CLIENTS;
        let mut polled: Vec<(Source, BorrowedFd<'_>, PollFlags)> =
            vec![(Source::News, self.parts.bell.0.as_fd(), PollFlags::IN)];
        if !full {
            polled.push((Source::Clients, self.parts.listener.as_fd(), PollFlags::IN));
        }
        if self.programs.has_news() && !self.rests {
            polled.push((Source::Events, self.parts.events.as_fd(), PollFlags::OUT));
        }
        let clients = self.clients.iter();
        polled.extend(clients.map(|(key, client)| (Source::Client(*key), client.socket.as_fd(), PollFlags::IN)));
        let mut fds: Vec<_> = polled.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let pause = (self.rests || full).then(|| Timespec::try_from(REST).ok()).flatten();
        match rustix::event::poll(&mut fds, pause.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
        let ready = polled.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Some(ready.map(|((source, ..), _)| *source).collect())
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while self.clients.len() < MOST_CLIENTS {
            match accept_with(&self.parts.listener, flags) {
                Ok(socket) if is_same_user(socket.as_fd()) => {
                    self.last_client += 1;
                    self.clients.insert(self.last_client, Client::new(socket));
                }
                Ok(_) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    // No descriptors are left: not at once again.
                    std::thread::sleep(REST);
                    return;
                }
            }
        }
    }

    /// Serves what a client has sent.
    fn serve(&mut self, key: u64) {
        for _ in 0..MOST_IN_A_ROW {
            let Some(client) = self.clients.get(&key) else { return };
            let received = receive(client.socket.as_fd(), &mut self.buffer, false);
            let (len, came) = match received {
                Ok((len, came)) if len > 0 => (len, came),
                Err(Errno::AGAIN | Errno::INTR) => return,
                // Gone, or it does not speak this protocol.
                _ => return self.forget(key),
            };
            let buffer = std::mem::take(&mut self.buffer);
            let message = Message::parse(buffer.get(..len).unwrap_or_default());
            let stays = message.is_some_and(|message| self.answer(key, &message, came));
            self.buffer = buffer;
            if !stays {
                return self.forget(key);
            }
        }
    }

    /// A client is gone, or has no place here.
    fn forget(&mut self, key: u64) {
        if self.clients.remove(&key).is_some() {
            self.programs.client_gone(key);
        }
    }

    /// Answers one message. `false`: the client is to be forgotten.
    fn answer(&mut self, key: u64, message: &Message<'_>, came: Vec<OwnedFd>) -> bool {
        let Some(call) = Call::from_number(message.head.kind) else { return false };
        let Some(client) = self.clients.get_mut(&key) else { return false };
        match call {
            Call::Hello => {
                client.greeted = message.head.value == VERSION.into();
                let state = if self.paused { STATE_PAUSED } else { STATE_RUNNING };
                let own = rustix::process::getpid().as_raw_nonzero().get();
                let head = Head { value: u64::from(own.unsigned_abs()), extra: state, ..Head::default() };
                client.tell(Told::Hello, head, &[]) && client.greeted
            }
            _ if !client.greeted => false,
            Call::Figures => client.tell(Told::Figures, Head::default(), self.parts.gauge.read().as_bytes()),
            Call::Wait => {
                client.waits = true;
                true
            }
            Call::Grant => {
                let id = message.head.id;
                match self.grant(key, message, came) {
                    Ok(granted) => self.reply(key, Told::Granted, Head { id, ..Head::default() }, granted.as_bytes()),
                    Err(error) => self.done(key, call, id, Err(error)),
                }
            }
            _ => {
                let done = self.perform(key, call, message, came);
                self.done(key, call, message.head.id, done)
            }
        }
    }

    /// Tells a client that a call was done, or refused. `false`: it is to be forgotten.
    fn done(&self, key: u64, call: Call, id: u32, done: Result<(), Errno>) -> bool {
        let error = done.err().map_or(0, |error| error.raw_os_error().unsigned_abs());
        let head = Head { id, value: u64::from(call as u32), extra: error, ..Head::default() };
        self.reply(key, Told::Done, head, &[])
    }

    fn reply(&self, key: u64, told: Told, head: Head, body: &[u8]) -> bool {
        self.clients.get(&key).is_some_and(|client| client.tell(told, head, body))
    }

    /// [`Call::Grant`]. Nothing is opened here: what a client grants it has opened itself.
    fn grant(&mut self, key: u64, message: &Message<'_>, came: Vec<OwnedFd>) -> Result<Granted, Errno> {
        let Head { id, value, extra, .. } = message.head;
        let access = u32::try_from(value).ok().and_then(Access::of_number).ok_or(Errno::INVAL)?;
        let (directory, image) = match (<[OwnedFd; 1]>::try_from(came), extra) {
            (Ok([directory]), 0 | 1) if id != FIRST_PROGRAM => (directory, extra == 1),
            (Err(_), _) => return Err(Errno::BADF),
            _ => return Err(Errno::INVAL),
        };
        let grant = match message.body {
            [] => Grant::directory(directory, access, image),
            name => Grant::file(directory, name, access, image),
        };
        self.programs.grant(Owner { client: key, id }, grant?)
    }

    /// Does what a call asks for.
    fn perform(&mut self, key: u64, call: Call, message: &Message<'_>, came: Vec<OwnedFd>) -> Result<(), Errno> {
        let Head { id, value, .. } = message.head;
        let owner = Owner { client: key, id };
        match call {
            Call::Start if self.paused => self.programs.refuse(owner, Errno::BUSY),
            Call::Start if id == FIRST_PROGRAM => Err(Errno::INVAL),
            Call::Start => self.programs.start(owner, message.body, came),
            Call::Signal if id == FIRST_PROGRAM && !message.body.is_empty() => {
                self.programs.signal_container(message.body, value)
            }
            Call::Signal if id == FIRST_PROGRAM => {
                let signal =
                    i32::try_from(value).ok().filter(|signal| (1..=64).contains(signal)).ok_or(Errno::INVAL)?;
                self.order(Order::Signal(signal))
            }
            Call::Signal => self.programs.signal(owner, value),
            Call::Resize => self.programs.resize(owner, value),
            Call::Stop => self.order(Order::Stop((value != u64::MAX).then(|| Duration::from_millis(value)))),
            Call::Pause if self.paused => Err(Errno::ALREADY),
            Call::Pause => self.order(Order::Pause),
            Call::Resume if !self.paused => Err(Errno::ALREADY),
            Call::Resume => self.order(Order::Resume),
            Call::Hello | Call::Figures | Call::Wait | Call::Grant => Err(Errno::INVAL),
        }
    }

    fn order(&mut self, order: Order) -> Result<(), Errno> {
        match order {
            Order::Pause => self.paused = true,
            Order::Resume => self.paused = false,
            _ => {}
        }
        self.parts.orders.send(order).map_err(|_| Errno::SRCH)?;
        self.parts.orders_bell.ring();
        Ok(())
    }

    /// Hears what the broker's loop has to tell. `false`: the sandbox is over.
    fn hear(&mut self) -> bool {
        self.parts.bell.silence();
        loop {
            match self.parts.news.try_recv() {
                Ok(News::Started(number, pid)) => {
                    if let Some(owner) = self.programs.owner(number) {
                        let head = Head { id: owner.id, value: u64::from(pid.unsigned_abs()), ..Head::default() };
                        self.tell(owner.client, Told::Started, head, &[]);
                    }
                }
                Ok(News::Ended(number, status, why)) => {
                    if let Some(owner) = self.programs.forget(number) {
                        let head = Head { id: owner.id, value: u64::from(status as u32), ..Head::default() };
                        self.tell(owner.client, Told::Ended, head, why.as_bytes());
                    }
                }
                Ok(News::Paused(paused)) => self.paused = paused,
                Ok(News::Over(status, line)) => {
                    self.say_over(status, &line);
                    return false;
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// The sandbox has ended, and with it everything that ran there.
    fn say_over(&mut self, status: u8, line: &str) {
        let over = Head { value: status.into(), ..Head::default() };
        let owners: std::collections::BTreeSet<u64> = self.programs.take_all().map(|owner| owner.client).collect();
        for (key, client) in &self.clients {
            if client.waits || owners.contains(key) {
                client.tell(Told::Over, over, line.as_bytes());
            }
        }
    }

    fn tell(&mut self, key: u64, told: Told, head: Head, body: &[u8]) {
        if self.clients.get(&key).is_some_and(|client| !client.tell(told, head, body)) {
            self.forget(key);
        }
    }
}
