//! Connections that are not the sandbox's yet: a proxy has to make them, or their first flight has to be looked at.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use litebox_protocol::net::MAX_FIRST;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketType};

use super::hello::{self, Hello};
use super::proxy::Talk;
use super::sockets;

/// Most of them. Each holds a descriptor of ours.
pub const MOST_CONNECTIONS: usize = 512;
/// How long a proxy may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the first flight of a connection has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The port that the guest connected to.
    pub port: u16,
    /// Numbers of rules.
    pub rules: Vec<usize>,
}

enum Stage {
    /// The name of the proxy is being asked for.
    Naming,
    Connecting,
    Proxy(Talk),
    /// For the first flight.
    Waiting,
    /// It is being sent; so much of it is.
    Sending(usize),
}

struct Connection {
    stage: Stage,
    socket: Option<OwnedFd>,
    /// What to ask the proxy for.
    request: Option<Vec<u8>>,
    wanted: Option<Wanted>,
    first: Vec<u8>,
    deadline: Option<Instant>,
}

/// What the sandbox is told of a connection.
#[derive(Debug)]
pub enum Told {
    /// It is made; with the descriptor, or the first flight is wanted.
    Connected(Option<OwnedFd>),
    /// It is the sandbox's.
    Handed(OwnedFd),
    /// It could not be made.
    Failed(Errno),
    /// It ended before it was the sandbox's.
    Lost(Errno),
}

/// What became of bytes of a first flight.
#[derive(Debug)]
pub enum Taken {
    /// There have to be more.
    More,
    /// All of it was sent: the connection is the sandbox's.
    Passed(OwnedFd),
    /// It is being sent.
    Pending,
    /// It is for this name (`None`: it is no TLS, or has no name), which is not allowed. The connection is gone.
    Refused(Option<String>, u16),
}

/// All of them, by their numbers.
#[derive(Default)]
pub struct Connections {
    all: BTreeMap<u64, Connection>,
}

impl Connections {
    /// Whether one more may be begun under this number.
    pub fn check_room(&self, id: u64) -> Result<(), Errno> {
        match self.all.len() {
            _ if self.all.contains_key(&id) => Err(Errno::EXIST),
            MOST_CONNECTIONS.. => Err(Errno::NOBUFS),
            _ => Ok(()),
        }
    }

    /// A socket that is connecting, to a server or (with what to ask it for) to the proxy.
    pub fn begin(&mut self, id: u64, socket: OwnedFd, request: Option<Vec<u8>>, wanted: Option<Wanted>, now: Instant) {
        let deadline = request.as_ref().map(|_| now + PATIENCE);
        let stage = Stage::Connecting;
        self.all.insert(id, Connection { stage, socket: Some(socket), request, wanted, first: Vec::new(), deadline });
    }

    /// A connection by way of a proxy whose addresses are being asked for.
    pub fn begin_without_socket(&mut self, id: u64, request: Vec<u8>, wanted: Option<Wanted>, now: Instant) {
        let (request, deadline) = (Some(request), Some(now + PATIENCE));
        let stage = Stage::Naming;
        self.all.insert(id, Connection { stage, socket: None, request, wanted, first: Vec::new(), deadline });
    }

    /// The proxy is at this address, or nowhere. Returns those that fail for it.
    pub fn proxy_found(&mut self, proxy: Option<SocketAddr>) -> Vec<(u64, Errno)> {
        let mut failed = Vec::new();
        for (id, connection) in &mut self.all {
            if !matches!(connection.stage, Stage::Naming) {
                continue;
            }
            let socket = proxy.ok_or(Errno::HOSTUNREACH).and_then(|to| sockets::connected(to, SocketType::STREAM));
            match socket {
                Ok(socket) => {
                    connection.socket = Some(socket);
                    connection.stage = Stage::Connecting;
                }
                Err(e) => failed.push((*id, e)),
            }
        }
        for (id, _) in &failed {
            self.all.remove(id);
        }
        failed
    }

    /// It is not wanted any more.
    pub fn forget(&mut self, id: u64) {
        self.all.remove(&id);
    }

    /// What is to be polled, by number.
    pub fn polled(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>, PollFlags)> {
        self.all.iter().filter_map(|(id, connection)| {
            let flags = match &connection.stage {
                Stage::Naming => return None,
                Stage::Connecting | Stage::Sending(_) => PollFlags::OUT,
                Stage::Proxy(talk) => {
                    if talk.writes() {
                        PollFlags::OUT
                    } else {
                        PollFlags::IN
                    }
                }
                // Only whether it ends.
                Stage::Waiting => PollFlags::empty(),
            };
            Some((*id, connection.socket.as_ref()?.as_fd(), flags))
        })
    }

    /// When the next one has waited for too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.all.values().filter_map(|connection| connection.deadline).min()
    }

    /// Gives up those that have.
    pub fn expire(&mut self, now: Instant) -> Vec<u64> {
        let late: Vec<u64> =
            self.all.iter().filter(|(_, c)| c.deadline.is_some_and(|d| d <= now)).map(|(id, _)| *id).collect();
        for id in &late {
            self.all.remove(id);
        }
        late
    }

    /// The socket of a connection has something.
    pub fn ready(&mut self, id: u64, flags: PollFlags) -> Option<Told> {
        let connection = self.all.get_mut(&id)?;
        let told = connection.go_on(flags)?;
        if !matches!(told, Told::Connected(None)) {
            self.all.remove(&id);
        }
        Some(told)
    }

    /// Bytes that the guest wrote first. `judge` says whether a name passes by these rules on this port.
    pub fn first(&mut self, id: u64, bytes: &[u8], judge: impl FnOnce(&str, &Wanted) -> bool) -> Result<Taken, Errno> {
        let connection = self.all.get_mut(&id).filter(|c| matches!(c.stage, Stage::Waiting)).ok_or(Errno::NOTCONN)?;
        let wanted = connection.wanted.clone().ok_or(Errno::INVAL)?;
        let room = MAX_FIRST - connection.first.len();
        connection.first.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let name = match hello::look(&connection.first) {
            Hello::Incomplete if bytes.len() < room => return Ok(Taken::More),
            Hello::Name(name) if judge(&name, &wanted) && bytes.len() <= room => return Ok(self.send(id)),
            Hello::Name(name) => Some(name),
            Hello::Incomplete | Hello::Unfit => None,
        };
        if let Some(socket) = self.all.remove(&id).and_then(|connection| connection.socket) {
            sockets::reset(&socket);
        }
        Ok(Taken::Refused(name, wanted.port))
    }

    /// Sends the first flight. Nothing of the guest's may come in between, so the descriptor is handed over after it.
    fn send(&mut self, id: u64) -> Taken {
        let Some(connection) = self.all.get_mut(&id) else { return Taken::Pending };
        connection.stage = Stage::Sending(0);
        match connection.go_on(PollFlags::OUT) {
            Some(Told::Handed(socket)) => {
                self.all.remove(&id);
                Taken::Passed(socket)
            }
            // It failed at once, which the next look at the socket finds again.
            _ => Taken::Pending,
        }
    }
}

impl Connection {
    fn go_on(&mut self, flags: PollFlags) -> Option<Told> {
        if flags.is_empty() {
            return None;
        }
        let socket = self.socket.as_ref()?;
        match &mut self.stage {
            Stage::Naming => None,
            Stage::Connecting => match (sockets::error_of(socket.as_fd()), self.request.take()) {
                (Err(e), _) => Some(Told::Failed(e)),
                (Ok(()), Some(request)) => {
                    self.stage = Stage::Proxy(Talk::new(request));
                    None
                }
                (Ok(()), None) => self.made(),
            },
            Stage::Proxy(talk) => match talk.go_on(socket.as_fd()) {
                Ok(false) => None,
                Ok(true) => self.made(),
                Err(e) => Some(Told::Failed(e)),
            },
            Stage::Waiting => Some(Told::Lost(Errno::CONNRESET)),
            Stage::Sending(sent) => {
                let rest = self.first.get(*sent..).unwrap_or_default();
                match rustix::net::send(socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(n) => *sent += n,
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(e) => return Some(Told::Lost(e)),
                }
                if *sent < self.first.len() { None } else { self.socket.take().map(Told::Handed) }
            }
        }
    }

    fn made(&mut self) -> Option<Told> {
        self.deadline = None;
        if self.wanted.is_some() {
            self.stage = Stage::Waiting;
            return Some(Told::Connected(None));
        }
        self.socket.take().map(|socket| Told::Connected(Some(socket)))
    }
}
