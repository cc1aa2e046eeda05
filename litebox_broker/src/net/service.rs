//! The thread that serves the network: requests of the sandbox, and everything that takes time, in one loop that waits
//! for nobody.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use litebox_protocol::EventKind;
use litebox_protocol::adaptive_spin::{AdaptiveSpin, SpinOutcome};
use litebox_protocol::net::{
    Answer, HOST_NAME, HOST_V4, MAX_HOST_NAME, MAX_PUBLISHED, NetEvent, NetOp, PublishedAs, STATE_DONE, STATE_MORE,
    STATE_PENDING, TCP, UDP,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::net::SocketType;
use zerocopy::IntoBytes;

use super::Setup;
use super::config::HostConfig;
use super::connect::{Connections, Taken, Told, Wanted};
use super::dns::Family;
use super::message::{Asked, address, failed, reply};
use super::names::Names;
use super::policy::{Mode, Permit, Policy, shown_peer};
use super::proxy::{Place, Proxy};
use super::publish::{Port, Publish};
use super::ranges::canonical;
use super::report::Reports;
use super::resolve::{self, Found, Resolver};
use super::routes::HostRoutes;
use super::rules::{Transport, normal_name};
use super::{control, sockets};
use crate::replies::{Kind, PAUSE, Replies};
use crate::socket::{BUFFER, receive, send};
use crate::spin::look_for_a_while;

/// Requests served in a row before something else is looked at.
const MOST_REQUESTS: usize = 64;
/// Connections accepted in a row.
const MOST_ACCEPTED: usize = 16;
/// Number of the question for the proxy's address; those of the sandbox are below [`OWN_NUMBERS`].
const PROXY_QUESTION: u64 = u64::MAX;
const OWN_NUMBERS: u64 = 1 << 63;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// How long ports rest when the broker has no descriptors left.
const REST: Duration = Duration::from_millis(100);
/// How long an answer for the host's own name may be kept.
const HOST_TTL: u32 = 60;

/// The network of one sandbox.
pub struct Service {
    policy: Policy,
    names: Names,
    routes: HostRoutes,
    resolver: Resolver,
    connections: Connections,
    ports: Vec<Port>,
    proxy: Option<Proxy>,
    proxy_at: Option<(SocketAddr, Instant)>,
    reports: Reports,
    /// Questions of the sandbox under way: the name, and which addresses.
    asked: std::collections::BTreeMap<u64, (String, Family)>,
    /// The way back to those who ask.
    replies: Replies,
    /// Events that the sandbox has not taken yet.
    outbox: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    /// Ports accept nothing until then.
    rests_until: Option<Instant>,
    /// Whether looking for what comes next has paid lately.
    spin: AdaptiveSpin,
}

/// The reply to a request.
type Replied = (Vec<u8>, Option<OwnedFd>);

/// What was polled.
#[derive(Clone, Copy)]
enum Source {
    Requests,
    Events,
    Lookup(u64),
    Connection(u64),
    Port(usize),
}

impl Service {
    /// As it was set up.
    pub fn new(setup: Setup) -> Self {
        Self {
            policy: setup.policy,
            names: Names::default(),
            routes: HostRoutes::new(),
            resolver: Resolver::new(HostConfig::new(setup.servers)),
            connections: Connections::default(),
            ports: setup.ports,
            proxy: setup.proxy,
            proxy_at: None,
            reports: Reports::new(setup.report),
            asked: std::collections::BTreeMap::new(),
            replies: Replies::new(Kind::Network),
            outbox: VecDeque::new(),
            rests_until: None,
            spin: AdaptiveSpin::eager(),
        }
    }

    /// Serves until the sandbox closes the socket.
    pub fn run(mut self, requests: &OwnedFd, events: &Arc<OwnedFd>) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let Some(ready) = self.wait(requests, events) else { return };
            let now = Instant::now();
            for (source, flags) in ready {
                match source {
                    Source::Requests => {
                        if !self.serve_waiting(requests, &mut buffer) {
                            return;
                        }
                    }
                    Source::Events => {}
                    Source::Lookup(key) => {
                        if let Some(found) = self.resolver.ready(key, now) {
                            self.found(key, found, now);
                        }
                    }
                    Source::Connection(id) => {
                        if let Some(told) = self.connections.ready(id, flags) {
                            self.tell(id, told);
                        }
                    }
                    Source::Port(index) => self.accept(index, now),
                }
            }
            self.expire(now);
            if !self.flush(events) {
                return;
            }
        }
    }

    /// Waits for something to do; `None`: nothing can be waited for.
    fn wait(&self, requests: &OwnedFd, events: &OwnedFd) -> Option<Vec<(Source, PollFlags)>> {
        // Who is owed a reply asks for nothing more.
        let owed = self.replies.are_owed();
        let wanted = if owed { PollFlags::empty() } else { PollFlags::IN };
        let mut polled: Vec<(Source, BorrowedFd<'_>, PollFlags)> = vec![(Source::Requests, requests.as_fd(), wanted)];
        if !self.outbox.is_empty() {
            polled.push((Source::Events, events.as_fd(), PollFlags::OUT));
        }
        polled.extend(self.resolver.polled().map(|(key, fd, flags)| (Source::Lookup(key), fd, flags)));
        polled.extend(self.connections.polled().map(|(id, fd, flags)| (Source::Connection(id), fd, flags)));
        // A sandbox that does not take its events gets no more connections.
        if self.outbox.is_empty() && self.rests_until.is_none() {
            let ports = self.ports.iter().enumerate();
            polled.extend(ports.filter_map(|(i, port)| port.polled().map(|(fd, flags)| (Source::Port(i), fd, flags))));
        }
        let mut fds: Vec<PollFd<'_>> =
            polled.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let deadlines = [self.resolver.deadline(), self.connections.deadline(), self.rests_until];
        let pause = deadlines.into_iter().flatten().min().map(|d| d.saturating_duration_since(Instant::now()));
        let pause = if owed { Some(pause.map_or(PAUSE, |pause| pause.min(PAUSE))) } else { pause };
        let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
        if owed || !self.comes_soon(&mut fds) {
            match poll(&mut fds, pause.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        let ready = polled.iter().zip(&fds).map(|((source, ..), fd)| (*source, fd.revents()));
        let tries = |source: &Source| owed && matches!(source, Source::Requests);
        Some(ready.filter(|(source, flags)| !flags.is_empty() || tries(source)).collect())
    }

    /// Looks for a while, if that is likely to pay; whether something came.
    fn comes_soon(&self, fds: &mut [PollFd<'_>]) -> bool {
        let look = || look_for_a_while(|| matches!(poll(fds, Some(&AT_ONCE)), Ok(1..)));
        self.spin.try_spin_for(look) == Some(SpinOutcome::Found)
    }

    /// Serves the requests that wait; `false`: the other end is closed.
    fn serve_waiting(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> bool {
        for _ in 0..MOST_REQUESTS {
            if !self.replies.settle(socket.as_fd()) {
                return true;
            }
            let (len, came) = match receive(socket.as_fd(), buffer, false) {
                Ok((0, _)) => return false,
                Ok(got) => got,
                Err(Errno::AGAIN | Errno::INTR) => return true,
                Err(_) => return false,
            };
            let (message, passed) = self.serve(buffer.get(..len).unwrap_or_default(), came);
            self.replies.send(socket.as_fd(), &message, passed.as_ref().map(OwnedFd::as_fd));
        }
        true
    }

    /// Serves one request.
    pub fn serve(&mut self, message: &[u8], came: Option<OwnedFd>) -> Replied {
        let now = Instant::now();
        let result = Asked::parse(message).and_then(|asked| self.perform(&asked, came, now));
        let (mut replied, passed) = result.unwrap_or_else(|error| (failed(error), None));
        address(&mut replied, message);
        (replied, passed)
    }

    fn perform(&mut self, asked: &Asked<'_>, came: Option<OwnedFd>, now: Instant) -> Result<Replied, Errno> {
        let head = &asked.head;
        let socket = || came.as_ref().map(OwnedFd::as_fd).ok_or(Errno::BADF);
        let done = || (reply(STATE_DONE, 0, &[]), None);
        match asked.op {
            NetOp::Connect => return self.connect(asked, now),
            NetOp::First => return self.first(head.id, asked.extra),
            NetOp::Resolve => return self.resolve(asked, now),
            NetOp::Forget => {
                self.connections.forget(head.id);
                if self.asked.remove(&head.id).is_some() {
                    self.resolver.forget(head.id);
                }
            }
            NetOp::SetOption => control::set(socket()?, head.level, head.name, asked.extra)?,
            NetOp::GetOption => {
                let value = control::get(socket()?, head.level, head.name, head.value)?;
                return Ok((reply(STATE_DONE, 0, &value), None));
            }
            NetOp::Shutdown => control::shut(socket()?, head.value)?,
            NetOp::SendUrgent => control::send_urgent(socket()?, asked.extra)?,
            NetOp::Publish => return self.publish(asked),
            NetOp::Listen => self.port(head.id)?.listen(head.value)?,
            NetOp::Unlisten => self.port(head.id)?.unlisten()?,
            NetOp::Credit => self.port(head.id)?.add_credit(head.value)?,
        }
        Ok(done())
    }

    fn port(&mut self, index: u64) -> Result<&mut Port, Errno> {
        usize::try_from(index).ok().and_then(|index| self.ports.get_mut(index)).ok_or(Errno::NOENT)
    }

    /// A port of the namespace that is the sandbox's.
    fn publish(&mut self, asked: &Asked<'_>) -> Result<Replied, Errno> {
        let head = &asked.head;
        if self.policy.mode != Mode::Namespace {
            return Err(Errno::ACCESS);
        }
        let transport = transport(head.protocol)?;
        let address = canonical(sockets::from_bytes(head.address));
        if head.port == 0 || address.is_loopback() || address.is_multicast() {
            return Err(Errno::ADDRNOTAVAIL);
        }
        let dual = address == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let what = Publish { outside: SocketAddr::new(address, head.port), inside: head.port, transport, dual };
        let index = match self.ports.iter().position(|port| *port.what() == what) {
            Some(index) => index,
            None if self.ports.len() >= MAX_PUBLISHED => return Err(Errno::NOBUFS),
            None => {
                self.ports.push(Port::bind(what)?);
                self.ports.len() - 1
            }
        };
        Ok((reply(STATE_DONE, 0, PublishedAs { index: index as u64 }.as_bytes()), None))
    }

    fn connect(&mut self, asked: &Asked<'_>, now: Instant) -> Result<Replied, Errno> {
        let head = &asked.head;
        let transport = transport(head.protocol)?;
        let settings = asked.settings()?;
        let to = SocketAddr::new(sockets::from_bytes(head.address), head.port);
        let permit = self.policy.permits(to, transport, &self.names, &self.routes, now).map_err(|refusal| {
            self.reports.refused(&refusal);
            Errno::ACCESS
        })?;
        if let Some(name) = &permit.name {
            self.names.used(name, permit.to.ip(), now);
        }
        let wanted = permit.hello.clone().map(|rules| Wanted { port: head.port, rules });
        if self.proxy.is_some() && !permit.to.ip().is_loopback() {
            return self.connect_by_proxy(head.id, &permit, transport, wanted, now);
        }
        if wanted.is_some() {
            self.check_number(head.id)?;
        }
        let kind = if transport == Transport::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
        let socket = sockets::new(permit.to.ip(), kind)?;
        control::prepare(socket.as_fd(), &settings);
        sockets::connect(socket.as_fd(), permit.to)?;
        let port = sockets::local_port(socket.as_fd());
        if wanted.is_some() {
            self.connections.begin(head.id, socket, None, wanted, now);
            return Ok((reply(STATE_PENDING, port, &[]), None));
        }
        Ok((reply(STATE_DONE, port, &[]), Some(socket)))
    }

    fn check_number(&self, id: u64) -> Result<(), Errno> {
        if id >= OWN_NUMBERS {
            return Err(Errno::INVAL);
        }
        self.connections.check_room(id)
    }

    fn connect_by_proxy(
        &mut self,
        id: u64,
        permit: &Permit,
        transport: Transport,
        wanted: Option<Wanted>,
        now: Instant,
    ) -> Result<Replied, Errno> {
        let Some(proxy) = &self.proxy else { return Err(Errno::INVAL) };
        if transport == Transport::Udp {
            self.reports.line(format!("network: {}/udp does not pass the proxy", permit.to));
            return Err(Errno::ACCESS);
        }
        self.check_number(id)?;
        // By its name where a rule for the name lets it pass: proxies have rules of their own.
        let target = permit.name.as_ref().map_or(permit.to.to_string(), |name| format!("{name}:{}", permit.to.port()));
        let request = proxy.request(&target);
        let pending = Ok((reply(STATE_PENDING, 0, &[]), None));
        let known = match &proxy.place {
            Place::Address(address) => Some(SocketAddr::new(*address, proxy.port)),
            Place::Name(_) => self.proxy_at.filter(|(_, until)| *until > now).map(|(at, _)| at),
        };
        if let Some(at) = known {
            let socket = sockets::connected(at, SocketType::STREAM)?;
            self.connections.begin(id, socket, Some(request), wanted, now);
            return pending;
        }
        let Place::Name(name) = proxy.place.clone() else { return pending };
        self.connections.begin_without_socket(id, request, wanted, now);
        match self.resolver.ask(PROXY_QUESTION, &name, Family::V4, now) {
            Ok(resolve::Asked::Done(found)) => self.proxy_found(&found, now),
            // It is being asked for already.
            Ok(resolve::Asked::Pending) | Err(Errno::EXIST) => {}
            Err(_) => self.proxy_found(&Found::Failure, now),
        }
        pending
    }

    fn proxy_found(&mut self, found: &Found, now: Instant) {
        let Some(proxy) = &self.proxy else { return };
        let address = match found {
            Found::Addresses(addresses, ttl) => addresses.first().map(|address| (*address, *ttl)),
            Found::NoName | Found::Failure => None,
        };
        let at = address.map(|(address, _)| SocketAddr::new(address, proxy.port));
        if at.is_none() {
            self.reports.line("network: the proxy's name has no address".into());
        }
        self.proxy_at =
            at.zip(address).map(|(at, (_, ttl))| (at, now + Duration::from_secs(u64::from(ttl.clamp(1, 600)))));
        for (id, error) in self.connections.proxy_found(at) {
            self.tell(id, Told::Failed(error));
        }
    }

    fn first(&mut self, id: u64, bytes: &[u8]) -> Result<Replied, Errno> {
        let mut refusal = None;
        let policy = &self.policy;
        let taken = self.connections.first(id, bytes, |name, wanted| {
            refusal = policy.permits_hello(name, wanted.port, &wanted.rules).err();
            refusal.is_none()
        })?;
        Ok(match taken {
            Taken::More => (reply(STATE_MORE, 0, &[]), None),
            Taken::Pending => (reply(STATE_PENDING, 0, &[]), None),
            Taken::Passed(socket) => (reply(STATE_DONE, 0, &[]), Some(socket)),
            Taken::Refused(name, port) => {
                match (refusal, name) {
                    (Some(refusal), _) => self.reports.refused(&refusal),
                    (None, name) => {
                        let what = name.map_or("it names nobody".into(), |name| format!("it is too long, for {name}"));
                        self.reports.line(format!(
                            "network: a connection to port {port} was reset: no TLS handshake, or {what} \
                             (--allow-net NAME:{port}/tcp lets anything pass)"
                        ));
                    }
                }
                return Err(Errno::CONNRESET);
            }
        })
    }

    fn resolve(&mut self, asked: &Asked<'_>, now: Instant) -> Result<Replied, Errno> {
        let family = match asked.head.value {
            4 => Family::V4,
            6 => Family::V6,
            _ => return Err(Errno::INVAL),
        };
        let id = asked.head.id;
        if id >= OWN_NUMBERS || self.asked.contains_key(&id) {
            return Err(Errno::INVAL);
        }
        if asked.extra.len() > MAX_HOST_NAME {
            return Err(Errno::NAMETOOLONG);
        }
        let done = |bytes: Vec<u8>| Ok((reply(STATE_DONE, 0, &bytes), None));
        let name = std::str::from_utf8(asked.extra).ok().and_then(|text| normal_name(text).ok());
        let Some(name) = name else { return done(encode(&Found::NoName)) };
        if name == HOST_NAME {
            return done(encode(&self.host_addresses(family)));
        }
        if let Err(refusal) = self.policy.permits_name(&name) {
            self.reports.refused(&refusal);
            return done(encode(&Found::NoName));
        }
        match self.resolver.ask(id, &name, family, now)? {
            resolve::Asked::Done(found) => {
                let found = self.admit(&name, found, now);
                done(encode(&found))
            }
            resolve::Asked::Pending => {
                self.asked.insert(id, (name, family));
                Ok((reply(STATE_PENDING, 0, &[]), None))
            }
        }
    }

    fn host_addresses(&self, family: Family) -> Found {
        if !self.policy.opens_host() {
            return Found::NoName;
        }
        // Servers listen on 127.0.0.1, few on ::1, and not every program tries a second address.
        let address = (family == Family::V4).then(|| IpAddr::from(Ipv4Addr::from(HOST_V4)));
        Found::Addresses(address.into_iter().collect(), HOST_TTL)
    }

    /// What of an answer the sandbox is told; what it is told may be connected to from now on.
    fn admit(&mut self, name: &str, found: Found, now: Instant) -> Found {
        let Found::Addresses(addresses, ttl) = found else { return found };
        let (policy, routes) = (&self.policy, &self.routes);
        let good = |address: &IpAddr| {
            policy.permits_answer(name, *address, routes) && (address.is_ipv4() || routes.has_route(*address))
        };
        let admitted: Vec<IpAddr> = addresses.iter().copied().filter(good).collect();
        if admitted.is_empty() && addresses.iter().any(|address| !policy.permits_answer(name, *address, routes)) {
            self.reports.line(format!(
                "network: {name} has only addresses that are not public (--allow-net {name}?private for private ones)"
            ));
        }
        for address in &admitted {
            self.names.learn(name, *address, ttl, now);
        }
        Found::Addresses(admitted, ttl)
    }

    /// A question was answered.
    fn found(&mut self, key: u64, found: Found, now: Instant) {
        if key == PROXY_QUESTION {
            return self.proxy_found(&found, now);
        }
        let Some((name, _)) = self.asked.remove(&key) else { return };
        let bytes = encode(&self.admit(&name, found, now));
        let event =
            NetEvent { kind: EventKind::Resolved as u32, id: key, len: bytes.len() as u32, ..NetEvent::default() };
        self.outbox.push_back(([event.as_bytes(), bytes.as_slice()].concat(), None));
    }

    /// Tells the sandbox of a connection.
    fn tell(&mut self, id: u64, told: Told) {
        let (kind, error, socket) = match told {
            Told::Connected(socket) => (EventKind::Connected, None, socket),
            Told::Handed(socket) => (EventKind::Handed, None, Some(socket)),
            Told::Failed(error) => (EventKind::Connected, Some(error), None),
            Told::Lost(error) => (EventKind::Handed, Some(error), None),
        };
        let port = socket.as_ref().map_or(0, |socket| sockets::local_port(socket.as_fd()));
        let error = error.map_or(0, Errno::raw_os_error);
        let event = NetEvent { kind: kind as u32, error, id, port, ..NetEvent::default() };
        self.outbox.push_back((event.as_bytes().to_vec(), socket));
    }

    /// Takes those who came to a published port.
    fn accept(&mut self, index: usize, now: Instant) {
        for _ in 0..MOST_ACCEPTED {
            let Some(port) = self.ports.get_mut(index) else { return };
            match port.take() {
                Ok(Some(came)) => {
                    let bytes = came.datagram.as_deref().unwrap_or_default();
                    let kind = if came.datagram.is_some() { EventKind::Datagram } else { EventKind::Accepted };
                    let event = NetEvent {
                        kind: kind as u32,
                        id: index as u64,
                        address: sockets::to_bytes(shown_peer(came.peer.ip())),
                        port: came.peer.port(),
                        len: bytes.len() as u32,
                        ..NetEvent::default()
                    };
                    self.outbox.push_back(([event.as_bytes(), bytes].concat(), Some(came.socket)));
                }
                Ok(None) => return,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.reports.line("network: no descriptors left for connections to published ports".into());
                    self.rests_until = Some(now + REST);
                    return;
                }
                // Of this one connection; the next may be good.
                Err(_) => {}
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
        }
        for (key, found) in self.resolver.expire(now) {
            self.found(key, found, now);
        }
        for id in self.connections.expire(now) {
            self.tell(id, Told::Failed(Errno::TIMEDOUT));
        }
    }

    /// Sends the events that the sandbox has room for; `false`: it is gone.
    fn flush(&mut self, events: &OwnedFd) -> bool {
        while let Some((bytes, socket)) = self.outbox.pop_front() {
            match send(events.as_fd(), &bytes, socket.as_ref().map(OwnedFd::as_fd)) {
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::INTR) => {
                    self.outbox.push_front((bytes, socket));
                    return true;
                }
                // Too many descriptors are under way to programs of this user: this one is lost.
                Err(Errno::TOOMANYREFS) => {
                    self.reports.line("network: too many descriptors on their way: a connection was dropped".into());
                }
                Err(_) => return false,
            }
        }
        true
    }
}

fn transport(protocol: u8) -> Result<Transport, Errno> {
    match protocol {
        TCP => Ok(Transport::Tcp),
        UDP => Ok(Transport::Udp),
        _ => Err(Errno::PROTONOSUPPORT),
    }
}

/// An answer as bytes.
fn encode(found: &Found) -> Vec<u8> {
    const NO_ERROR: u32 = 0;
    const SERVER_FAILURE: u32 = 2;
    const NO_NAME: u32 = 3;
    let (code, ttl, addresses) = match found {
        Found::Addresses(addresses, ttl) => (NO_ERROR, *ttl, addresses.as_slice()),
        Found::Failure => (SERVER_FAILURE, 0, [].as_slice()),
        Found::NoName => (NO_NAME, 0, [].as_slice()),
    };
    let mut bytes = Answer { code, ttl, count: addresses.len() as u32 }.as_bytes().to_vec();
    for address in addresses {
        bytes.extend_from_slice(&sockets::to_bytes(*address));
    }
    bytes
}
