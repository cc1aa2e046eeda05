//! Two networks whose devices are one wire, and frames that nobody well-behaved sends.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use litebox_common_linux::Errno;

use litebox_protocol::net::Tun;
use proptest::prelude::*;

use super::WireNetwork;
use super::packet::{self, DEVICE_HEADER, Ip, TCP, Tcp, edit_syn, new_frame, parse};
use crate::event::Events;
use crate::fs::File;
use crate::io::{Dest, Source};
use crate::net::inet::{DatagramSocket, Network, TcpSocket, Transport};
use crate::net::{Address, Credentials, MessageFlags, Outgoing, Setting, Shut, Socket};
use crate::platform::mock::MockHost;
use crate::platform::{Clock, HostFd, Instant};
use crate::{Error, Result};

const OWNER: Credentials = Credentials { pid: 1, uid: 2, gid: 3 };
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A machine on the wire.
struct Node {
    wire: Arc<WireNetwork>,
    network: Arc<Network>,
    fd: HostFd,
}

fn node(own: Ipv4Addr, fd: i32) -> Node {
    let tun = Tun { fd, mtu: 1500, v4: own.octets(), prefix_v4: 24, ..Tun::default() };
    let wire = WireNetwork::new(&tun);
    MockHost.take_sent(HostFd(fd));
    Node { network: Network::new(Some(wire.clone())), wire, fd: HostFd(fd) }
}

/// Both ends of a wire. Each test has descriptors of its own.
fn wire(number: i32) -> (Node, Node) {
    (node(NEAR, 1000 + 2 * number), node(FAR, 1001 + 2 * number))
}

/// Carries frames until none is on its way; those that `lose` says get lost.
fn carry(near: &Node, far: &Node, mut lose: impl FnMut(&[u8]) -> bool) {
    loop {
        let mut moved = false;
        for (from, to) in [(near, far), (far, near)] {
            for mut frame in MockHost.take_sent(from.fd) {
                moved = true;
                if !lose(&frame) {
                    to.wire.take(&mut frame);
                }
            }
        }
        if !moved {
            return;
        }
    }
}

/// Lets time pass: the mock's clock moves when it is looked at.
fn pass(milliseconds: u64) {
    let end = MockHost.instant().0 + milliseconds * 1_000_000;
    while MockHost.instant() < Instant(end) {}
}

fn at(ip: Ipv4Addr, port: u16) -> Address {
    Address::Inet(SocketAddr::new(ip.into(), port))
}

fn listener(node: &Node, port: u16, backlog: i32) -> Arc<TcpSocket> {
    let listener = TcpSocket::new(&node.network, false, 0, 1);
    assert_eq!(listener.bind(&at(Ipv4Addr::UNSPECIFIED, port)), Ok(()));
    assert_eq!(listener.listen(backlog, OWNER), Ok(()));
    listener
}

fn send(socket: &dyn Socket, bytes: &[u8]) -> Result<usize> {
    socket.send(&mut Source::kernel(bytes), &mut Outgoing::plain(OWNER))
}

fn receive(socket: &dyn Socket) -> Result<Vec<u8>> {
    let mut room = alloc::vec![0; 1 << 16];
    let got = socket.receive(&mut Dest::kernel(&mut room), MessageFlags::empty())?;
    room.truncate(got.copied);
    Ok(room)
}

fn connected(near: &Node, far: &Node) -> (Arc<TcpSocket>, Arc<dyn Socket>) {
    let server = listener(far, 80, 4);
    let client = TcpSocket::new(&near.network, false, 0, 2);
    assert_eq!(client.connect(&at(FAR, 80), OWNER, true), Err(Error::from_errno(Errno::EINPROGRESS.0)));
    carry(near, far, |_| false);
    assert!(client.ready().contains(Events::OUT));
    assert_eq!(client.connect(&at(FAR, 80), OWNER, false), Ok(()));
    (client, server.accept(3).unwrap_or_else(|e| panic!("{e:?}")))
}

fn send_with(socket: &dyn Socket, bytes: &[u8], flags: MessageFlags) -> Result<usize> {
    socket.send(&mut Source::kernel(bytes), &mut Outgoing { flags, ..Outgoing::plain(OWNER) })
}

fn receive_urgent(socket: &dyn Socket) -> Result<Vec<u8>> {
    let mut room = alloc::vec![0; 4];
    let got = socket.receive(&mut Dest::kernel(&mut room), MessageFlags::MSG_OOB)?;
    room.truncate(got.copied);
    Ok(room)
}

/// What can be read, up to the mark and behind it.
fn receive_pieces(socket: &dyn Socket) -> Vec<Vec<u8>> {
    core::iter::from_fn(|| receive(socket).ok()).collect()
}

/// Moves `bytes` over the wire, of which one frame in `lost` is lost; 0: none.
fn transfer(near: &Node, far: &Node, bytes: &[u8], lost: u32) -> Vec<u8> {
    let (client, server) = connected(near, far);
    let (mut sent, mut got, mut frames) = (0, Vec::new(), 0u32);
    for _ in 0..2000 {
        match send(&*client, &bytes[sent..]) {
            Ok(n) => sent += n,
            Err(Error::WouldBlock) => {}
            Err(error) => panic!("{error:?}"),
        }
        carry(near, far, |_| {
            frames += 1;
            lost > 0 && frames % lost == 0
        });
        while let Ok(piece) = receive(&*server) {
            got.extend(piece);
        }
        if got.len() == bytes.len() {
            return got;
        }
        pass(50);
        near.wire.due();
        far.wire.due();
    }
    got
}

#[test]
fn bytes_cross_the_wire() {
    let (near, far) = wire(0);
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    assert!(transfer(&near, &far, &bytes, 0) == bytes);
}

#[test]
fn what_is_lost_is_sent_again() {
    let (near, far) = wire(1);
    let bytes: Vec<u8> = (0..400_000u32).map(|n| (n % 241) as u8).collect();
    assert!(transfer(&near, &far, &bytes, 7) == bytes);
}

#[test]
fn who_has_not_heard_the_last_word_hears_it_again() {
    let (near, far) = wire(23);
    let (client, server) = connected(&near, &far);
    let own = client.name();
    drop(client);
    let taken = TcpSocket::new(&near.network, false, 0, 4).bind(&own);
    assert_eq!(taken, Err(Error::from_errno(Errno::EADDRINUSE.0)));
    carry(&near, &far, |_| false);
    assert_eq!((near.wire.streams_kept(), far.wire.streams_kept()), (1, 1));
    drop(server);
    // The last word is lost.
    let flags = |frame: &[u8]| {
        let packet = parse(frame)?;
        Some(Tcp::parse(&frame[DEVICE_HEADER + packet.payload.0..])?.flags)
    };
    let from_near = |frame: &[u8]| parse(frame).is_some_and(|packet| packet.ip.from == IpAddr::from(NEAR));
    carry(&near, &far, from_near);
    assert_eq!((near.wire.streams_kept(), far.wire.streams_kept()), (0, 1));
    let mut said = Vec::new();
    for _ in 0..50 {
        pass(100);
        far.wire.due();
        carry(&near, &far, |frame| {
            said.extend(flags(frame).filter(|_| from_near(frame)));
            false
        });
    }
    assert_eq!(far.wire.streams_kept(), 0);
    assert!(!said.is_empty() && said.iter().all(|flags| *flags == packet::ACK), "{said:?}");
}

#[test]
fn urgent_bytes_are_apart() {
    let (near, far) = wire(20);
    let (client, server) = connected(&near, &far);
    assert_eq!(send(&*client, b"ab"), Ok(2));
    assert_eq!(send_with(&*client, b"cd!", MessageFlags::MSG_OOB), Ok(3));
    assert_eq!(send(&*client, b"ef"), Ok(2));
    assert_eq!(receive_urgent(&*server), Err(Error::Invalid));
    carry(&near, &far, |_| false);
    assert!(server.ready().contains(Events::PRI | Events::IN));
    assert_eq!((receive_urgent(&*server), receive_urgent(&*server)), (Ok(b"!".to_vec()), Err(Error::Invalid)));
    assert!(!server.ready().contains(Events::PRI));
    assert_eq!(receive_pieces(&*server), [b"abcd".to_vec(), b"ef".to_vec()]);
    // The other way, and nobody asks for the byte.
    assert_eq!(send_with(&*server, b"x!", MessageFlags::MSG_OOB), Ok(2));
    carry(&near, &far, |_| false);
    assert_eq!(receive_pieces(&*client), [b"x".to_vec()]);
    assert!(!client.ready().contains(Events::IN));
    // Part of what is read.
    client.options().set(Setting::OobInline, 1);
    client.option_changed(Setting::OobInline);
    assert_eq!(send_with(&*server, b"y!", MessageFlags::MSG_OOB), Ok(2));
    carry(&near, &far, |_| false);
    assert_eq!(receive_urgent(&*client), Err(Error::Invalid));
    assert_eq!(receive_pieces(&*client), [b"y".to_vec(), b"!".to_vec()]);
}

#[test]
fn urgent_bytes_come_behind_many_others() {
    let (near, far) = wire(21);
    let (client, server) = connected(&near, &far);
    let bytes: Vec<u8> = (0..150_000u32).map(|n| (n % 239) as u8).collect();
    assert_eq!(send_with(&*client, &bytes, MessageFlags::MSG_OOB), Ok(bytes.len()));
    let (mut got, mut announced, mut frames) = (Vec::new(), false, 0);
    for _ in 0..200 {
        carry(&near, &far, |_| {
            frames += 1;
            frames % 11 == 0
        });
        announced |= server.ready().contains(Events::PRI);
        got.extend(receive_pieces(&*server).concat());
        if got.len() + 1 == bytes.len() && announced {
            break;
        }
        pass(200);
        near.wire.due();
        far.wire.due();
    }
    assert!(announced && got[..] == bytes[..bytes.len() - 1]);
}

#[test]
fn what_more_is_to_follow_waits() {
    let (near, far) = wire(22);
    let (client, server) = connected(&near, &far);
    assert_eq!(send_with(&*client, b"one", MessageFlags::MSG_MORE), Ok(3));
    carry(&near, &far, |_| false);
    assert_eq!(receive(&*server), Err(Error::WouldBlock));
    let mut frames = 0;
    assert_eq!(send(&*client, b"two"), Ok(3));
    carry(&near, &far, |frame| {
        frames += u32::from(frame.windows(3).any(|bytes| bytes == b"one" || bytes == b"two"));
        false
    });
    assert_eq!((receive(&*server), frames), (Ok(b"onetwo".to_vec()), 1));
    // Nothing follows: it does not wait for ever.
    assert_eq!(send_with(&*client, b"three", MessageFlags::MSG_MORE), Ok(5));
    pass(300);
    near.wire.due();
    carry(&near, &far, |_| false);
    assert_eq!(receive(&*server), Ok(b"three".to_vec()));
}

#[test]
fn ends_are_heard_of() {
    let (near, far) = wire(2);
    let (client, server) = connected(&near, &far);
    assert_eq!(send(&*client, b"bye"), Ok(3));
    assert_eq!(client.shutdown(Shut::WRITE), Ok(()));
    carry(&near, &far, |_| false);
    assert_eq!((receive(&*server), receive(&*server)), (Ok(b"bye".to_vec()), Ok(Vec::new())));
    assert_eq!(send(&*server, b"good"), Ok(4));
    drop(server);
    carry(&near, &far, |_| false);
    assert_eq!((receive(&*client), receive(&*client)), (Ok(b"good".to_vec()), Ok(Vec::new())));
    drop(client);
    carry(&near, &far, |_| false);
    assert_eq!((near.wire.streams_kept(), far.wire.streams_kept()), (0, 0));
}

#[test]
fn what_is_not_read_resets() {
    let (near, far) = wire(3);
    let (client, server) = connected(&near, &far);
    assert_eq!(send(&*client, b"unread"), Ok(6));
    carry(&near, &far, |_| false);
    drop(server);
    carry(&near, &far, |_| false);
    assert!(client.ready().contains(Events::ERR | Events::HUP));
    assert_eq!((receive(&*client), receive(&*client)), (Err(Error::from_errno(Errno::ECONNRESET.0)), Ok(Vec::new())));
}

#[test]
fn ports_that_nobody_has_refuse() {
    let (near, far) = wire(4);
    let client = TcpSocket::new(&near.network, false, 0, 2);
    assert_eq!(client.connect(&at(FAR, 81), OWNER, false), Err(Error::WouldBlock));
    carry(&near, &far, |_| false);
    assert_eq!(client.connect(&at(FAR, 81), OWNER, false), Err(Error::from_errno(Errno::ECONNREFUSED.0)));
    let datagrams = DatagramSocket::new(&near.network, Transport::Udp, false, 0, 3);
    assert_eq!(datagrams.connect(&at(FAR, 81), OWNER, false), Ok(()));
    assert_eq!(send(&*datagrams, b"x"), Ok(1));
    carry(&near, &far, |_| false);
    assert_eq!(receive(&*datagrams), Err(Error::from_errno(Errno::ECONNREFUSED.0)));
}

#[test]
fn a_peer_without_room_is_asked() {
    let (near, far) = wire(5);
    let (client, server) = connected(&near, &far);
    let bytes = alloc::vec![7; 1 << 20];
    let mut sent = 0;
    while let Ok(n) = send(&*client, &bytes) {
        sent += n;
        carry(&near, &far, |_| false);
    }
    assert!(!client.ready().contains(Events::OUT));
    // Whatever says that there is room again gets lost.
    let mut got = 0;
    while let Ok(piece) = receive(&*server) {
        got += piece.len();
    }
    MockHost.take_sent(far.fd);
    for _ in 0..200 {
        pass(50);
        near.wire.due();
        carry(&near, &far, |_| false);
        while let Ok(piece) = receive(&*server) {
            got += piece.len();
        }
    }
    assert_eq!(got, sent);
}

/// Requests that nobody confirms take no more than their share, and none of it for ever.
#[test]
fn a_flood_of_requests_ends() {
    let (near, far) = wire(6);
    let server = listener(&far, 80, 4096);
    for port in 1..5000u16 {
        far.wire.take(&mut segment(port, 80, packet::SYN, 1, 0, &[]));
        MockHost.take_sent(far.fd);
    }
    assert!(far.wire.streams_kept() <= super::MOST_EMBRYOS);
    assert!(far.wire.timers.len() <= super::MOST_EMBRYOS);
    assert_eq!(server.accept(9).err(), Some(Error::WouldBlock));
    // Somebody honest still comes in.
    let client = TcpSocket::new(&near.network, false, 0, 2);
    assert_eq!(client.connect(&at(FAR, 80), OWNER, false), Err(Error::WouldBlock));
    carry(&near, &far, |_| false);
    assert_eq!(client.connect(&at(FAR, 80), OWNER, false), Ok(()));
}

#[test]
fn a_full_backlog_does_not_answer() {
    let (near, far) = wire(7);
    let _server = listener(&far, 80, 0);
    let clients: Vec<_> = (0..3).map(|ino| TcpSocket::new(&near.network, false, 0, ino)).collect();
    for client in &clients {
        assert_eq!(client.connect(&at(FAR, 80), OWNER, false), Err(Error::WouldBlock));
        carry(&near, &far, |_| false);
    }
    let states: Vec<_> = clients.iter().map(|client| client.connect(&at(FAR, 80), OWNER, false)).collect();
    assert_eq!(states, [Ok(()), Err(Error::WouldBlock), Err(Error::WouldBlock)]);
}

#[test]
fn datagrams_and_their_options_cross() {
    let (near, far) = wire(8);
    let server = DatagramSocket::new(&far.network, Transport::Udp, false, 0, 1);
    assert_eq!(server.bind(&at(Ipv4Addr::UNSPECIFIED, 53)), Ok(()));
    let client = DatagramSocket::new(&near.network, Transport::Udp, false, 0, 2);
    client.options().set(Setting::Ttl, 9);
    assert_eq!(client.connect(&at(FAR, 53), OWNER, false), Ok(()));
    for len in [0, 1, 1400, 65_507] {
        assert_eq!(send(&*client, &alloc::vec![5; len]), Ok(len));
        carry(&near, &far, |_| false);
        let mut room = alloc::vec![0; 1 << 16];
        let got = server.receive(&mut Dest::kernel(&mut room), MessageFlags::empty()).unwrap_or_default();
        assert_eq!((got.copied, got.packet.map(|info| info.ttl)), (len, Some(9)));
    }
}

/// A segment from the near end to the far one, with the right checksums.
fn segment(from: u16, to: u16, flags: u8, sequence: u32, acknowledged: u32, rest: &[u8]) -> Vec<u8> {
    let ip = Ip { from: NEAR.into(), to: FAR.into(), protocol: TCP, ttl: 64, tos: 0, fragment: None };
    let (mut frame, start) = new_frame(&ip, 1, Tcp::LEAST + rest.len()).unwrap_or_default();
    let bytes = &mut frame[start..];
    packet::put_word(bytes, 0, from);
    packet::put_word(bytes, 2, to);
    bytes[4..8].copy_from_slice(&sequence.to_be_bytes());
    bytes[8..12].copy_from_slice(&acknowledged.to_be_bytes());
    bytes[12..16].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
    bytes[Tcp::LEAST..].copy_from_slice(rest);
    let sum = packet::transport_checksum(ip.from, ip.to, TCP, bytes);
    packet::put_word(bytes, 16, sum);
    frame
}

#[test]
fn packets_of_others_are_nothing() {
    let (_, far) = wire(9);
    let _server = listener(&far, 80, 4);
    let mut foreign = segment(5, 80, packet::SYN, 1, 0, &[]);
    foreign[DEVICE_HEADER + 19] = 77;
    let mut broken = segment(5, 80, packet::SYN, 1, 0, &[]);
    broken[DEVICE_HEADER + 24] ^= 1;
    let mut reflected = segment(5, 80, packet::SYN, 1, 0, &[]);
    reflected[DEVICE_HEADER + 15] = 1;
    for mut frame in [foreign, broken, reflected] {
        far.wire.take(&mut frame);
        assert!(MockHost.take_sent(far.fd).is_empty() && far.wire.streams_kept() == 0);
    }
}

#[test]
fn offers_of_selective_acknowledgements_are_taken_away() {
    let mut header = [0u8; 32];
    header[20..32].copy_from_slice(&[2, 4, 0x05, 0xb4, 4, 2, 3, 3, 7, 1, 1, 0]);
    let mut told = 0;
    edit_syn(&mut header, |mss| {
        told = mss;
        9000
    });
    assert_eq!((told, &header[20..32]), (1460, &[2, 4, 0x23, 0x28, 1, 1, 3, 3, 7, 1, 1, 0][..]));
    // One that ends in the middle takes the rest along.
    header[20..24].copy_from_slice(&[1, 2, 40, 9]);
    edit_syn(&mut header, |_| 1);
    assert_eq!(header[20..], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// One thing that a peer does.
#[derive(Clone, Debug)]
enum Deed {
    Segment { port: u16, flags: u8, ahead: i32, behind: i32, rest: Vec<u8> },
    Changed { at: usize, to: u8, cut: usize },
    Raw(Vec<u8>),
    Datagram { protocol: u8, pieces: u16, bytes: Vec<u8> },
    Time(u16),
    Send(u16),
    Read,
    Accept,
    Close,
}

fn deeds() -> impl Strategy<Value = Deed> {
    let number = || prop_oneof![Just(0), -3..3i32, any::<i32>()];
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        6 => (1..4u16, any::<u8>(), number(), number(), bytes(80))
            .prop_map(|(port, flags, ahead, behind, rest)| Deed::Segment { port, flags, ahead, behind, rest }),
        3 => (any::<usize>(), any::<u8>(), 0..60usize).prop_map(|(at, to, cut)| Deed::Changed { at, to, cut }),
        1 => bytes(200).prop_map(Deed::Raw),
        2 => (prop_oneof![Just(1), Just(17), any::<u8>()], any::<u16>(), bytes(120))
            .prop_map(|(protocol, pieces, bytes)| Deed::Datagram { protocol, pieces, bytes }),
        1 => (0..900u16).prop_map(Deed::Time),
        1 => (0..5000u16).prop_map(Deed::Send),
        1 => Just(Deed::Read),
        1 => Just(Deed::Accept),
        1 => Just(Deed::Close),
    ]
}

/// A hostile peer of a program that accepts, reads and sends.
fn misbehave(number: i32, deeds: &[Deed]) {
    let far = node(FAR, 2000 + number);
    let server = listener(&far, 80, 3);
    let datagrams = DatagramSocket::new(&far.network, Transport::Udp, false, 0, 9);
    assert_eq!(datagrams.bind(&at(Ipv4Addr::UNSPECIFIED, 80)), Ok(()));
    let mut accepted: Vec<Arc<dyn Socket>> = Vec::new();
    // What the sandbox said last: where it stands.
    let mut last = segment(1, 80, packet::SYN, 1, 0, &[2, 4, 5, 180]);
    let (mut own, mut theirs) = (1u32, 0u32);
    for deed in deeds {
        match deed {
            Deed::Segment { port, flags, ahead, behind, rest } => {
                let (sequence, acknowledged) = (own.wrapping_add_signed(*ahead), theirs.wrapping_add_signed(*behind));
                last = segment(*port, 80, *flags, sequence, acknowledged, rest);
                // Options of every kind: the length of the header, too, is the peer's.
                if flags & 0xc0 == 0xc0 {
                    last[DEVICE_HEADER + 32] = flags << 2;
                    last[0] = 2;
                }
                far.wire.take(&mut last.clone());
            }
            Deed::Changed { at, to, cut } => {
                let mut frame = last.clone();
                let place = at % frame.len();
                frame[place] = *to;
                frame.truncate(frame.len() - cut.min(&frame.len()));
                if !frame.is_empty() {
                    frame[0] |= 2;
                }
                far.wire.take(&mut frame);
            }
            Deed::Raw(bytes) => far.wire.take(&mut bytes.clone()),
            Deed::Datagram { protocol, pieces, bytes } => {
                let ip = Ip { from: NEAR.into(), to: FAR.into(), protocol: *protocol, ttl: 64, tos: 0, fragment: None };
                let (mut frame, start) = new_frame(&ip, 7, bytes.len()).unwrap_or_default();
                frame[start..].copy_from_slice(bytes);
                packet::put_word(&mut frame, DEVICE_HEADER + 6, *pieces & 0x2007);
                packet::put_word(&mut frame, DEVICE_HEADER + 10, 0);
                let sum = packet::checksum(&frame[DEVICE_HEADER..DEVICE_HEADER + 20]);
                packet::put_word(&mut frame, DEVICE_HEADER + 10, sum);
                frame[0] = 2;
                far.wire.take(&mut frame);
            }
            Deed::Time(milliseconds) => {
                pass((*milliseconds).into());
                far.wire.due();
            }
            Deed::Send(len) => {
                if let Some(socket) = accepted.last() {
                    let _ = send(&**socket, &alloc::vec![1; (*len).into()]);
                }
            }
            Deed::Read => accepted.iter().for_each(|socket| drop(receive(&**socket))),
            Deed::Accept => accepted.extend(server.accept(10)),
            Deed::Close => drop(accepted.pop()),
        }
        for frame in MockHost.take_sent(far.fd) {
            let Some(said) = parse(&frame) else { panic!("the sandbox sends {frame:?}") };
            let payload = &frame[DEVICE_HEADER + said.payload.0..DEVICE_HEADER + said.payload.1];
            if let Some(tcp) = Tcp::parse(payload).filter(|_| said.ip.protocol == TCP) {
                (own, theirs) = (tcp.acknowledged, tcp.sequence.wrapping_add(u32::from(tcp.flags & 2 != 0)));
            }
            assert_eq!(said.ip.from, IpAddr::from(FAR));
        }
    }
    assert!(far.wire.streams_kept() < 64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn hostile_peers_break_nothing(deeds in proptest::collection::vec(deeds(), 1..60)) {
        misbehave(0, &deeds);
    }

    #[test]
    fn any_bytes_are_packets_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (_, far) = wire(10);
        let _ = parse(&bytes);
        far.wire.take(&mut bytes.clone());
    }
}
