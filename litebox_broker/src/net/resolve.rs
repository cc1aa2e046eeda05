//! Asking the host's name servers: one question at a time for each name, without waiting for anybody.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketType};

use super::config::{HostConfig, in_hosts, is_in_hosts};
use super::dns::{self, Family, Said};
use super::sockets;

/// Most questions that are under way.
pub const MOST_LOOKUPS: usize = 256;
/// How long hosts(5) is good for.
const HOSTS_TTL: u32 = 10;
/// Longest message over TCP: its length has two bytes.
const MOST_BYTES: usize = 2 + u16::MAX as usize;
/// Datagrams that are looked at in a row: a flood of wrong ones keeps nobody else waiting.
const MOST_DATAGRAMS: usize = 16;

/// How a question was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Addresses, perhaps none, and for how many seconds they may be kept.
    Addresses(Vec<IpAddr>, u32),
    /// There is no such name.
    NoName,
    /// Nobody could say.
    Failure,
}

/// What became of a new question.
pub enum Asked {
    /// It is answered.
    Done(Found),
    /// It will be, under its number.
    Pending,
}

enum Way {
    Udp(OwnedFd),
    Tcp { socket: OwnedFd, sent: usize, got: Vec<u8> },
}

/// A question under way.
struct Lookup {
    family: Family,
    /// Full names still to be tried; the first is being asked for.
    names: VecDeque<String>,
    servers: Vec<SocketAddr>,
    /// Questions sent for the name.
    asked: usize,
    most: usize,
    timeout: Duration,
    id: u16,
    question: Vec<u8>,
    way: Option<Way>,
    deadline: Instant,
    /// A server could not say: the name may be there after all.
    failed: bool,
}

/// What a look at a question brought.
enum Step {
    /// Nothing yet.
    Wait,
    /// What a server says.
    Said(Said),
    /// This server does not answer.
    Next,
}

/// All questions under way.
pub struct Resolver {
    config: HostConfig,
    lookups: BTreeMap<u64, Lookup>,
}

impl Resolver {
    /// Nothing is asked yet.
    pub fn new(config: HostConfig) -> Self {
        Self { config, lookups: BTreeMap::new() }
    }

    /// Asks for the addresses of `name`; `key` must not be in use. `Err`: too much is under way.
    pub fn ask(&mut self, key: u64, name: &str, family: Family, now: Instant) -> Result<Asked, Errno> {
        if self.lookups.contains_key(&key) {
            return Err(Errno::EXIST);
        }
        let hosts = self.config.hosts();
        if is_in_hosts(hosts, name) {
            return Ok(Asked::Done(Found::Addresses(in_hosts(hosts, name, family), HOSTS_TTL)));
        }
        if self.lookups.len() >= MOST_LOOKUPS {
            return Err(Errno::AGAIN);
        }
        let resolving = self.config.resolving();
        let servers = resolving.servers.clone();
        let mut lookup = Lookup {
            family,
            names: resolving.candidates(name).into(),
            most: servers.len() * resolving.attempts as usize,
            servers,
            asked: 0,
            timeout: resolving.timeout,
            id: 0,
            question: Vec::new(),
            way: None,
            deadline: now,
            failed: false,
        };
        if let Some(found) = lookup.go_on(now) {
            return Ok(Asked::Done(found));
        }
        self.lookups.insert(key, lookup);
        Ok(Asked::Pending)
    }

    /// A question is not wanted any more.
    pub fn forget(&mut self, key: u64) {
        self.lookups.remove(&key);
    }

    /// What is to be polled, by the numbers of the questions.
    pub fn polled(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>, PollFlags)> {
        self.lookups.iter().filter_map(|(key, lookup)| match lookup.way.as_ref()? {
            Way::Udp(socket) => Some((*key, socket.as_fd(), PollFlags::IN)),
            Way::Tcp { socket, sent, .. } => {
                let unsent = *sent < lookup.question.len() + 2;
                Some((*key, socket.as_fd(), if unsent { PollFlags::OUT } else { PollFlags::IN }))
            }
        })
    }

    /// When the next question has waited for too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.lookups.values().map(|lookup| lookup.deadline).min()
    }

    /// The socket of a question has something.
    pub fn ready(&mut self, key: u64, now: Instant) -> Option<Found> {
        let lookup = self.lookups.get_mut(&key)?;
        let found = lookup.look(now)?;
        self.lookups.remove(&key);
        Some(found)
    }

    /// Goes on with the questions that nobody answered in time.
    pub fn expire(&mut self, now: Instant) -> Vec<(u64, Found)> {
        let late = |(key, lookup): (&u64, &mut Lookup)| {
            (lookup.deadline <= now).then(|| lookup.go_on(now).map(|found| (*key, found))).flatten()
        };
        let done: Vec<_> = self.lookups.iter_mut().filter_map(late).collect();
        for (key, _) in &done {
            self.lookups.remove(key);
        }
        done
    }
}

impl Lookup {
    fn look(&mut self, now: Instant) -> Option<Found> {
        match self.step() {
            Step::Wait => None,
            Step::Next => self.go_on(now),
            Step::Said(Said::Addresses(addresses, ttl)) => {
                // Short names: the next full name may have what this one has not.
                if addresses.is_empty() && self.names.len() > 1 {
                    self.next_name(now)
                } else {
                    Some(Found::Addresses(addresses, ttl))
                }
            }
            Step::Said(Said::NoName) => self.next_name(now),
            Step::Said(Said::Failure) => {
                self.failed = true;
                self.go_on(now)
            }
            Step::Said(Said::Truncated) => match self.way.take() {
                Some(Way::Udp(_)) => self.ask_by_tcp(now),
                _ => self.go_on(now),
            },
        }
    }

    /// Reads, or sends what is left of the question.
    fn step(&mut self) -> Step {
        let (id, family) = (self.id, self.family);
        let Some(name) = self.names.front() else { return Step::Next };
        match &mut self.way {
            None => Step::Next,
            Some(Way::Udp(socket)) => {
                let mut buffer = [0u8; 4096];
                for _ in 0..MOST_DATAGRAMS {
                    match rustix::net::recv(&*socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                        Ok((len, _)) => {
                            let bytes = buffer.get(..len).unwrap_or_default();
                            if let Some(said) = dns::reply(bytes, id, name, family) {
                                return Step::Said(said);
                            }
                        }
                        Err(Errno::AGAIN | Errno::INTR) => return Step::Wait,
                        // Nobody is there.
                        Err(_) => return Step::Next,
                    }
                }
                Step::Wait
            }
            Some(Way::Tcp { socket, sent, got }) => {
                let whole = [&(self.question.len() as u16).to_be_bytes(), self.question.as_slice()].concat();
                if let Some(rest) = whole.get(*sent..).filter(|rest| !rest.is_empty()) {
                    return match rustix::net::send(&*socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                        Ok(n) => {
                            *sent += n;
                            Step::Wait
                        }
                        Err(Errno::AGAIN | Errno::INTR) => Step::Wait,
                        Err(_) => Step::Next,
                    };
                }
                read_by_tcp(socket.as_fd(), got).map_or_else(
                    |e| if matches!(e, Errno::AGAIN | Errno::INTR) { Step::Wait } else { Step::Next },
                    |message| match message {
                        Some(bytes) => dns::reply(&bytes, id, name, family).map_or(Step::Next, Step::Said),
                        None => Step::Wait,
                    },
                )
            }
        }
    }

    fn next_name(&mut self, now: Instant) -> Option<Found> {
        self.names.pop_front();
        self.asked = 0;
        self.go_on(now)
    }

    /// Asks the next server, or tells how it ended.
    fn go_on(&mut self, now: Instant) -> Option<Found> {
        loop {
            self.way = None;
            let Some(name) = self.names.front() else {
                return Some(if self.failed { Found::Failure } else { Found::NoName });
            };
            if self.asked >= self.most {
                // No server answers: the other names would find none either.
                return Some(Found::Failure);
            }
            let server = self.servers.get(self.asked % self.servers.len().max(1)).copied();
            self.asked += 1;
            self.id = random_id();
            let Some(question) = dns::question(self.id, name, self.family) else { return Some(Found::NoName) };
            self.question = question;
            let sent = server.and_then(|server| {
                let socket = sockets::connected(server, SocketType::DGRAM).ok()?;
                rustix::net::send(&socket, &self.question, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).ok()?;
                Some(socket)
            });
            if let Some(socket) = sent {
                self.way = Some(Way::Udp(socket));
                self.deadline = now + self.timeout;
                return None;
            }
            self.failed = true;
        }
    }

    fn ask_by_tcp(&mut self, now: Instant) -> Option<Found> {
        let server = self.servers.get((self.asked.max(1) - 1) % self.servers.len().max(1)).copied();
        match server.and_then(|server| sockets::connected(server, SocketType::STREAM).ok()) {
            Some(socket) => {
                self.way = Some(Way::Tcp { socket, sent: 0, got: Vec::new() });
                self.deadline = now + self.timeout;
                None
            }
            None => self.go_on(now),
        }
    }
}

/// Reads what is there; the message, once it is whole.
fn read_by_tcp(socket: BorrowedFd<'_>, got: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Errno> {
    let mut buffer = [0u8; 4096];
    let (len, _) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
    if len == 0 || got.len() + len > MOST_BYTES {
        return Err(Errno::PIPE);
    }
    got.extend_from_slice(buffer.get(..len).unwrap_or_default());
    let Some((size, rest)) = got.split_first_chunk::<2>() else { return Ok(None) };
    Ok(rest.get(..usize::from(u16::from_be_bytes(*size))).map(<[u8]>::to_vec))
}

fn random_id() -> u16 {
    let mut bytes = [0u8; 2];
    // It always gives a few bytes.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u16::from_ne_bytes(bytes)
}
