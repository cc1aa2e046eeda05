//! The sandbox's ends of the sockets, in the hands of the test.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use litebox_broker::net::{Service, Setup};
use litebox_broker::socket::{receive, send};
use litebox_protocol::net::{
    Answer, MAX_ADDRESSES, MAX_NET_EVENT, MAX_NET_REPLY, MAX_OPTION, NetEvent, NetOp, NetReply, NetRequest,
    STATE_PENDING,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use zerocopy::{FromBytes, IntoBytes};

pub struct Sandbox {
    requests: OwnedFd,
    events: OwnedFd,
}

pub struct Reply {
    pub error: i32,
    pub state: u32,
    pub port: u16,
    pub extra: Vec<u8>,
    pub socket: Option<OwnedFd>,
}

pub struct Event {
    pub kind: u32,
    pub error: i32,
    pub id: u64,
    pub address: [u8; 16],
    pub port: u16,
    pub extra: Vec<u8>,
    pub socket: Option<OwnedFd>,
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair")
}

/// Whether something comes in this time.
fn comes(socket: BorrowedFd<'_>, time: Duration) -> bool {
    let time = Timespec::try_from(time).expect("a time");
    poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&time)).expect("poll") > 0
}

/// How long the service may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn is_well_formed(reply: &[u8]) -> bool {
    let Ok((head, rest)) = NetReply::read_from_prefix(reply) else { return false };
    reply.len() <= MAX_NET_REPLY.max(size_of::<NetReply>() + MAX_OPTION)
        && head.len as usize == rest.len()
        && (head.error == 0 || rest.is_empty())
        && head.error >= 0
}

pub fn connect_request(id: u64, protocol: u8, address: [u8; 16], port: u16) -> NetRequest {
    NetRequest { op: NetOp::Connect as u32, id, address, port, protocol, ..NetRequest::default() }
}

impl Sandbox {
    /// A service in a thread of its own.
    pub fn start(setup: Setup) -> Self {
        let ((requests, theirs), (events, events_out)) = (pair(), pair());
        std::thread::spawn(move || Service::new(setup).run(&theirs, &Arc::new(events_out)));
        Self { requests, events }
    }

    pub fn ask(&mut self, head: NetRequest, extra: &[u8], socket: Option<BorrowedFd<'_>>) -> Reply {
        let head = NetRequest { extra_len: extra.len() as u32, ..head };
        send(self.requests.as_fd(), &[head.as_bytes(), extra].concat(), socket).expect("sent");
        assert!(comes(self.requests.as_fd(), PATIENCE), "no reply to {head:?}");
        let mut buffer = vec![0; MAX_NET_REPLY];
        let (len, socket) = receive(self.requests.as_fd(), &mut buffer, true).expect("a reply");
        assert!(is_well_formed(&buffer[..len]));
        let (head, extra) = NetReply::read_from_prefix(&buffer[..len]).expect("a head");
        Reply { error: head.error, state: head.state, port: head.port, extra: extra.to_vec(), socket }
    }

    pub fn connect(&mut self, id: u64, protocol: u8, address: [u8; 16], port: u16) -> Reply {
        self.ask(connect_request(id, protocol, address, port), &[], None)
    }

    pub fn first(&mut self, id: u64, bytes: &[u8]) -> Reply {
        self.ask(NetRequest { op: NetOp::First as u32, id, ..NetRequest::default() }, bytes, None)
    }

    /// Code and addresses of a name.
    pub fn resolve(&mut self, id: u64, name: &str, family: u32) -> (u32, Vec<[u8; 16]>) {
        let head = NetRequest { op: NetOp::Resolve as u32, id, value: family, ..NetRequest::default() };
        let reply = self.ask(head, name.as_bytes(), None);
        assert_eq!(reply.error, 0, "{name}");
        let bytes = if reply.state == STATE_PENDING {
            let event = self.event();
            assert_eq!(event.id, id);
            event.extra
        } else {
            reply.extra
        };
        let (answer, addresses) = Answer::read_from_prefix(&bytes).expect("an answer");
        let addresses: Vec<[u8; 16]> = addresses.chunks_exact(16).map(|a| a.try_into().expect("an address")).collect();
        assert!(addresses.len() == answer.count as usize && addresses.len() <= MAX_ADDRESSES);
        (answer.code, addresses)
    }

    pub fn event(&mut self) -> Event {
        assert!(comes(self.events.as_fd(), PATIENCE), "no event");
        let mut buffer = vec![0; MAX_NET_EVENT];
        let (len, socket) = receive(self.events.as_fd(), &mut buffer, true).expect("an event");
        let (head, extra) = NetEvent::read_from_prefix(&buffer[..len]).expect("a head");
        assert_eq!(head.len as usize, extra.len());
        Event {
            kind: head.kind,
            error: head.error,
            id: head.id,
            address: head.address,
            port: head.port,
            extra: extra.to_vec(),
            socket,
        }
    }

    /// No event waits, and none follows a request that is served after everything else.
    pub fn has_no_event(&mut self) -> bool {
        for id in 0..3 {
            self.ask(NetRequest { op: NetOp::Forget as u32, id: u64::MAX - id, ..NetRequest::default() }, &[], None);
        }
        !comes(self.events.as_fd(), Duration::ZERO)
    }
}

fn vector(len: usize, bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_be_bytes()[8 - len..], bytes].concat()
}

/// A ClientHello for `name`, with so many bytes of padding.
pub fn client_hello(name: &str, padding: usize) -> Vec<u8> {
    let names = vector(2, &[vec![0], vector(2, name.as_bytes())].concat());
    let extensions = [vec![0, 21], vector(2, &vec![0; padding]), vec![0, 0], vector(2, &names)].concat();
    let body =
        [vec![3, 3], vec![7; 32], vector(1, &[]), vector(2, &[0x13, 1]), vector(1, &[0]), vector(2, &extensions)]
            .concat();
    let message = [vec![1], vector(3, &body)].concat();
    message.chunks(1 << 14).flat_map(|part| [vec![22, 3, 1], vector(2, part)].concat()).collect()
}
