//! Sockets among themselves.

use alloc::sync::Arc;

use litebox_common_linux::Errno;

use super::{Address, BoundName, CAPACITY, Domain, Name, Rights, UnixSocket, pair};
use crate::Error;
use crate::event::Events;
use crate::fs::{Access, File, OpenFile, StatusFlags};
use crate::io::{Dest, Source};
use crate::net::{Credentials, MessageFlags, Outgoing, Socket, SocketKind};

const OWNER: Credentials = Credentials { pid: 1, uid: 2, gid: 3 };

fn sockets(kind: SocketKind) -> (Arc<UnixSocket>, Arc<UnixSocket>) {
    pair(&Arc::default(), kind, (1, 2), OWNER)
}
fn send_with(socket: &UnixSocket, bytes: &[u8], rights: Rights) -> crate::Result<usize> {
    socket.send(&mut Source::kernel(bytes), &mut Outgoing { rights, ..Outgoing::plain(OWNER) })
}
fn send(socket: &UnixSocket, bytes: &[u8]) -> crate::Result<usize> {
    send_with(socket, bytes, Rights::new())
}
fn receive(socket: &UnixSocket, buf: &mut [u8], peek: bool) -> crate::Result<(usize, usize)> {
    let flags = if peek { MessageFlags::MSG_PEEK } else { MessageFlags::empty() };
    socket.receive(&mut Dest::kernel(buf), flags).map(|got| (got.copied, got.full))
}
fn opened(socket: Arc<UnixSocket>) -> Arc<OpenFile> {
    OpenFile::new(socket, Access::READ | Access::WRITE, StatusFlags::empty(), None, 1)
}

#[test]
fn a_stream_joins_writes_and_ends() {
    let (a, b) = sockets(SocketKind::Stream);
    let mut buf = [0u8; 8];
    assert_eq!(receive(&b, &mut buf, false), Err(Error::WouldBlock));
    assert_eq!(send(&a, b"he"), Ok(2));
    assert_eq!(send(&a, b"llo"), Ok(3));
    assert!(b.ready().contains(Events::IN | Events::OUT));
    assert_eq!(receive(&b, &mut buf, true), Ok((5, 5)));
    assert_eq!(receive(&b, &mut buf, false), Ok((5, 5)));
    assert_eq!(&buf[..5], b"hello");
    drop(a);
    assert_eq!(receive(&b, &mut buf, false), Ok((0, 0)));
    assert_eq!(send(&b, b"x"), Err(Error::BrokenPipe));
    assert!(b.ready().contains(Events::HUP));
}

#[test]
fn a_full_stream_blocks() {
    let (a, b) = sockets(SocketKind::Stream);
    // As many bytes, in as large buffers, as on Linux.
    const FITS: usize = 219_264;
    let big = alloc::vec![1u8; FITS + 10];
    assert_eq!(send(&a, &big), Ok(FITS));
    assert_eq!(send(&a, b"x"), Err(Error::WouldBlock));
    assert!(!a.ready().contains(Events::OUT));
    let mut out = alloc::vec![0u8; FITS];
    assert_eq!(receive(&b, &mut out, false), Ok((FITS, FITS)));
    assert!(a.ready().contains(Events::OUT));
}

#[test]
fn messages_keep_their_borders() {
    let (a, b) = sockets(SocketKind::Datagram);
    assert_eq!(send(&a, b"first"), Ok(5));
    assert_eq!(send(&a, b""), Ok(0));
    let mut buf = [0u8; 3];
    assert_eq!(receive(&b, &mut buf, false), Ok((3, 5)));
    assert_eq!(receive(&b, &mut buf, false), Ok((0, 0)));
    assert_eq!(receive(&b, &mut buf, false), Err(Error::WouldBlock));
    assert_eq!(send(&a, &alloc::vec![0; CAPACITY]), Err(Error::from_errno(Errno::EMSGSIZE.0)));
}

#[test]
fn a_listener_is_found_by_its_name() {
    let domain = Arc::<Domain>::default();
    let server = UnixSocket::new(&domain, SocketKind::Stream, 1);
    let place =
        BoundName { shown: Address::Abstract(b"x".to_vec()), name: Name::Abstract(SocketKind::Stream, b"x".to_vec()) };
    let name = crate::net::Address::Unix(Some(Arc::new(place)));
    assert_eq!(server.bind(&name), Ok(()));
    let client = UnixSocket::new(&domain, SocketKind::Stream, 2);
    assert_eq!(client.connect(&name, OWNER, false), Err(Error::from_errno(Errno::ECONNREFUSED.0)));
    assert_eq!(server.listen(0, OWNER), Ok(()));
    assert_eq!(client.connect(&name, OWNER, false), Ok(()));
    assert_eq!(send(&client, b"hi"), Ok(2));
    assert!(server.ready().contains(Events::IN));
    let other = UnixSocket::new(&domain, SocketKind::Stream, 3);
    assert_eq!(other.connect(&name, OWNER, false), Err(Error::WouldBlock));
    let Ok(accepted) = server.take_waiting(4) else { panic!("nothing to accept") };
    let mut buf = [0u8; 8];
    assert_eq!(receive(&accepted, &mut buf, false), Ok((2, 2)));
    drop(server);
    assert_eq!(other.connect(&name, OWNER, false), Err(Error::from_errno(Errno::ECONNREFUSED.0)));
}

#[test]
fn sockets_in_each_others_queues_are_found_when_closed() {
    let domain = Arc::<Domain>::default();
    let (a, b) = pair(&domain, SocketKind::Stream, (1, 2), OWNER);
    let (a, b) = (opened(a), opened(b));
    let watched = Arc::downgrade(&a);
    let socket = |file: &Arc<OpenFile>| file.file.clone().into_any().downcast::<UnixSocket>();
    let (Ok(one), Ok(other)) = (socket(&a), socket(&b)) else { panic!("they are sockets") };
    assert_eq!(send_with(&one, b"x", alloc::vec![a.clone()]), Ok(1));
    assert_eq!(send_with(&other, b"x", alloc::vec![b.clone()]), Ok(1));
    assert_eq!(one.files_in_flight(usize::MAX), 2);
    // A third one that holds a living socket must keep it.
    let (c, d) = pair(&domain, SocketKind::Stream, (3, 4), OWNER);
    let (kept, partner) = pair(&domain, SocketKind::Stream, (5, 6), OWNER);
    assert_eq!(send_with(&c, b"x", alloc::vec![opened(kept)]), Ok(1));
    drop((one, other, a, b));
    assert!(watched.upgrade().is_some());
    drop(UnixSocket::new(&domain, SocketKind::Stream, 7));
    assert!(watched.upgrade().is_none());
    assert_eq!(d.files_in_flight(usize::MAX), 1);
    assert!(!partner.ready().contains(Events::HUP));
    drop((c, d));
    assert!(partner.ready().contains(Events::HUP));
}

#[test]
fn a_long_chain_of_queues_ends_without_recursion() {
    let domain = Arc::<Domain>::default();
    let (mut outer, mut end) = pair(&domain, SocketKind::Stream, (1, 2), OWNER);
    for i in 0..20_000u64 {
        let (a, b) = pair(&domain, SocketKind::Stream, (2 * i + 3, 2 * i + 4), OWNER);
        assert_eq!(send_with(&a, b"x", alloc::vec![opened(outer), opened(end)]), Ok(1));
        (outer, end) = (a, b);
    }
    drop(outer);
    drop(end);
    assert_eq!(UnixSocket::new(&domain, SocketKind::Stream, 0).files_in_flight(usize::MAX), 0);
}
