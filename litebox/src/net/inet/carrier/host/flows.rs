//! Datagrams by sockets of the host, and ports that lead in.
//!
//! A socket of the guest has one connected socket of the host for each peer, made when the first datagram goes there,
//! or the first comes to a published port. One that was not used for a minute is closed when another is made.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use litebox_protocol::net::{MAX_DATAGRAM, NetOp, NetRequest, UDP};

use super::names::{self, Asker, Asking};
use super::stream::HostStream;
use super::{DNS, HostNetwork, Passed, Watcher, client, resolver, to_bytes};
use crate::error::errno::ENOBUFS;
use crate::event::WaitQueue;
use crate::io::Source;
use crate::net::inet::carrier::{Closing, Datagram, Inlet, Outlet};
use crate::net::inet::routes::OUTWARD;
use crate::net::{PacketInfo, PacketOptions};
use crate::platform::{ClockId, HostFd, Instant, host};
use crate::sync::Mutex;
use crate::{Error, Result};

/// Most peers of one socket of the guest. The one that was not used for longest makes room.
pub(super) const MOST_PEERS: u32 = 256;
/// After so long without use a flow may be closed.
const IDLE: Duration = Duration::from_secs(60);
/// Datagrams that the supervisor reads in a row from one socket.
const MOST_IN_A_ROW: usize = 64;
/// How many routers a datagram from outside might still have passed: nobody knows.
const HOPS: u8 = 64;

/// One socket of the host.
pub(super) struct Flow {
    peer: SocketAddr,
    /// The guest's own address and port.
    local: SocketAddr,
    fd: HostFd,
    network: Weak<HostNetwork>,
    token: AtomicU64,
    inlet: Weak<dyn Inlet>,
    /// When it was used last, in nanoseconds.
    used: AtomicU64,
}

/// What a bound socket of the guest has outside.
pub(super) struct HostOutlet {
    network: Weak<HostNetwork>,
    stream: bool,
    local: SocketAddr,
    inlet: Weak<dyn Inlet>,
    flows: Mutex<BTreeMap<SocketAddr, Arc<Flow>>>,
    /// The number of the published port that it is.
    index: Option<u64>,
    /// Room that was made since the broker was told.
    room: AtomicU32,
}

/// What is known of a datagram from outside.
fn info(to: SocketAddr) -> PacketInfo {
    PacketInfo { to, interface: OUTWARD, ttl: HOPS, tos: 0, stamp: host().now(ClockId::Realtime), segment: None }
}

impl Flow {
    fn new(
        network: &Arc<HostNetwork>,
        (local, peer): (SocketAddr, SocketAddr),
        fd: Passed,
        inlet: &Weak<dyn Inlet>,
    ) -> Result<Arc<Self>> {
        let flow = Arc::new(Self {
            peer,
            local,
            fd: fd.take().ok_or(Error::Io)?,
            network: Arc::downgrade(network),
            token: AtomicU64::new(0),
            inlet: inlet.clone(),
            used: AtomicU64::new(host().instant().0),
        });
        flow.token
            .store(network.watch(flow.fd, super::ALL_EVENTS, Watcher::Flow(Arc::downgrade(&flow)))?, Ordering::Release);
        Ok(flow)
    }

    fn touch(&self) {
        self.used.store(host().instant().0, Ordering::Relaxed);
    }

    /// In the supervisor: something came.
    pub fn changed(&self) {
        let Some(inlet) = self.inlet.upgrade() else { return };
        let mut buffer = vec![0u8; MAX_DATAGRAM];
        for _ in 0..MOST_IN_A_ROW {
            // SAFETY: the buffer has so many bytes.
            let got = unsafe { host().host_receive(self.fd, buffer.as_mut_ptr() as usize, buffer.len(), 0) };
            match got {
                Ok(n) => {
                    self.touch();
                    let bytes = buffer.get(..n).unwrap_or_default();
                    inlet.datagram(&Datagram { bytes, from: self.peer, info: info(self.local) });
                }
                Err(Error::WouldBlock) => return,
                Err(error) => return inlet.undeliverable(self.peer, error.errno()),
            }
        }
        self.watch_anew();
    }

    /// More is there than is read in a row: the host says so again.
    fn watch_anew(&self) {
        let token = self.token.load(Ordering::Acquire);
        // Refused only when it is not watched any more.
        let _ = host().host_rewatch(self.fd, super::ALL_EVENTS.bits() as u16, token);
    }

    fn send(&self, source: &mut Source<'_>) -> Result<usize> {
        self.touch();
        let len = source.remaining();
        let mut bytes = vec![0u8; len.min(MAX_DATAGRAM)];
        source.take_whole(&mut bytes)?;
        // SAFETY: the buffer has so many bytes.
        match unsafe { host().host_send(self.fd, bytes.as_ptr() as usize, bytes.len()) } {
            // What finds no room is lost, as on any way.
            Ok(_) | Err(Error::WouldBlock) => Ok(len),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if let Some(network) = self.network.upgrade() {
            network.forget_watch(*self.token.get_mut());
        }
        host().host_close(self.fd);
    }
}

impl HostOutlet {
    pub fn new(
        network: &Arc<HostNetwork>,
        stream: bool,
        local: SocketAddr,
        inlet: &Arc<dyn Inlet>,
        index: Option<u64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            network: Arc::downgrade(network),
            stream,
            local,
            inlet: Arc::downgrade(inlet),
            flows: Mutex::default(),
            index,
            room: AtomicU32::new(0),
        })
    }

    /// The guest's own address towards a peer.
    fn local_to(&self, network: &HostNetwork, peer: SocketAddr) -> SocketAddr {
        let own = |ip: IpAddr| network.own_address(ip.is_ipv4());
        let ip = if self.local.ip().is_unspecified() { own(peer.ip()) } else { self.local.ip() };
        SocketAddr::new(ip, self.local.port())
    }

    /// In the supervisor: somebody came to the published port; with the first datagram, if it is one of UDP.
    pub fn came(&self, peer: SocketAddr, passed: Passed, bytes: &[u8]) {
        let (Some(network), Some(inlet)) = (self.network.upgrade(), self.inlet.upgrade()) else { return };
        let local = self.local_to(&network, peer);
        if self.stream {
            let queue = Arc::<WaitQueue>::default();
            let Ok(stream) = HostStream::accepted(&network, &queue, passed) else { return self.give_room(1) };
            if let Err(refused) = inlet.connection(local, peer, &queue, stream) {
                refused.close(Closing::Reset);
                self.give_room(1);
            }
            return;
        }
        if let Ok(flow) = Flow::new(&network, (local, peer), passed, &self.inlet) {
            self.keep(flow);
            inlet.datagram(&Datagram { bytes, from: peer, info: info(local) });
        }
        self.give_room(1);
    }

    /// The broker hears of room when there is some of it, or (at the end of a row) of what there is.
    pub fn give_room(&self, more: u32) {
        const BATCH: u32 = 8;
        let Some(index) = self.index else { return };
        let room = self.room.fetch_add(more, Ordering::AcqRel).saturating_add(more);
        let waits = self.inlet.upgrade().is_some_and(|inlet| inlet.has_waiting());
        if room >= BATCH || !waits {
            let room = self.room.swap(0, Ordering::AcqRel);
            if room > 0 {
                client::tell(NetOp::Credit, index, room);
            }
        }
    }

    /// Keeps a flow; those that nobody used for long make room.
    fn keep(&self, flow: Arc<Flow>) {
        let mut flows = self.flows.lock();
        let now = host().instant();
        let idle = |flow: &Flow| now.saturating_since(Instant(flow.used.load(Ordering::Relaxed))) > IDLE;
        let mut closed = alloc::vec::Vec::new();
        let old: alloc::vec::Vec<SocketAddr> =
            flows.iter().filter(|(_, flow)| idle(flow)).map(|(peer, _)| *peer).collect();
        closed.extend(old.iter().filter_map(|peer| flows.remove(peer)));
        if flows.len() >= MOST_PEERS as usize {
            let longest = flows.iter().min_by_key(|(_, flow)| flow.used.load(Ordering::Relaxed)).map(|(peer, _)| *peer);
            closed.extend(longest.and_then(|peer| flows.remove(&peer)));
        }
        closed.extend(flows.insert(flow.peer, flow));
        drop(flows);
        drop(closed);
    }

    fn flow_to(&self, to: SocketAddr) -> Result<Arc<Flow>> {
        if let Some(flow) = self.flows.lock().get(&to) {
            return Ok(flow.clone());
        }
        let network = self.network.upgrade().ok_or(Error::Io)?;
        let head = NetRequest {
            op: NetOp::Connect as u32,
            id: network.next_number(),
            address: to_bytes(to.ip()),
            port: to.port(),
            protocol: UDP,
            ..NetRequest::default()
        };
        let passed = client::ask(head, &[], None)?.passed.ok_or(ENOBUFS)?;
        let flow = Flow::new(&network, (self.local_to(&network, to), to), passed, &self.inlet)?;
        self.keep(flow.clone());
        Ok(flow)
    }

    /// A question for the sandbox's name server.
    fn ask_names(&self, source: &mut Source<'_>) -> Result<usize> {
        let network = self.network.upgrade().ok_or(Error::Io)?;
        let len = source.remaining();
        let mut bytes = vec![0u8; len.min(MAX_DATAGRAM)];
        source.take_whole(&mut bytes)?;
        let server = SocketAddr::new(resolver(), DNS);
        let local = self.local_to(&network, server);
        let inlet = &self.inlet;
        let deliver = |reply: &[u8]| {
            if let Some(inlet) = inlet.upgrade() {
                inlet.datagram(&Datagram { bytes: reply, from: server, info: info(local) });
            }
        };
        match names::take(&bytes, false) {
            Asking::Nobody => {}
            Asking::Answered(reply) => deliver(&reply),
            Asking::Addresses(question) => {
                network.ask_broker(Asker::datagram(question, local, server, self.inlet.clone()));
            }
        }
        Ok(len)
    }
}

impl Outlet for HostOutlet {
    fn send(&self, to: SocketAddr, source: &mut Source<'_>, _packet: &PacketOptions) -> Result<usize> {
        if to == SocketAddr::new(resolver(), DNS) {
            return self.ask_names(source);
        }
        self.flow_to(to)?.send(source)
    }
    fn accepted(&self) {
        self.give_room(1);
    }
}

impl Drop for HostOutlet {
    fn drop(&mut self) {
        if let (Some(index), Some(network)) = (self.index, self.network.upgrade()) {
            network.listener_gone(index);
        }
    }
}
