//! Frames of hostile peers behind a TUN device: `cargo fuzz run -s none frames` in `litebox`.
//!
//! The input is a row of frames, each behind its length in two bytes. A frame that begins with an odd byte is taken as
//! it is. Any other is a segment of TCP for a listener: its numbers count from where the sandbox stands, and its
//! checksums are right.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use litebox::io::{Dest, Source};
use litebox::net::inet::carrier::wire::WireNetwork;
use litebox::net::inet::{DatagramSocket, Network, TcpSocket, Transport};
use litebox::net::{Address, Credentials, MessageFlags, Outgoing, Socket};
use litebox::platform::HostFd;
use litebox::platform::mock::{MockHost, MockNorth};
use litebox_protocol::net::Tun;

litebox::register_host!(MockHost);
litebox::register_north!(MockNorth);

const OWNER: Credentials = Credentials { pid: 1, uid: 2, gid: 3 };
const FD: HostFd = HostFd(1000);
const OWN: [u8; 4] = [10, 0, 0, 1];
/// Length of the device's header, and where TCP begins.
const DEVICE: usize = 12;
const TCP: usize = DEVICE + 20;

/// A frame with a segment: ports, flags and whatever follows are the input's.
fn segment(input: &[u8], own: u32, theirs: u32) -> Vec<u8> {
    let mut head = [0u8; 8];
    let n = input.len().min(head.len());
    head[..n].copy_from_slice(&input[..n]);
    let rest = &input[n..];
    let mut frame = vec![0u8; TCP + 20];
    frame[0] = 2;
    frame.extend_from_slice(rest);
    let total = (frame.len() - DEVICE) as u16;
    frame[DEVICE..TCP].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    frame[DEVICE + 2..DEVICE + 4].copy_from_slice(&total.to_be_bytes());
    let sum = frame[DEVICE..TCP].chunks(2).fold(0u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    frame[DEVICE + 10..DEVICE + 12].copy_from_slice(&sum.to_be_bytes());
    frame[TCP + 1] = head[1] % 4;
    frame[TCP + 3] = 80;
    let sequence = own.wrapping_add_signed(i32::from(head[2] as i8));
    let acknowledged = theirs.wrapping_add_signed(i32::from(head[3] as i8));
    frame[TCP + 4..TCP + 8].copy_from_slice(&sequence.to_be_bytes());
    frame[TCP + 8..TCP + 12].copy_from_slice(&acknowledged.to_be_bytes());
    frame[TCP + 12..TCP + 16].copy_from_slice(&[head[4] | 0x50, head[5], head[6], head[7]]);
    frame
}

fuzz_target!(|data: &[u8]| {
    let wire = WireNetwork::new(&Tun { fd: FD.0, mtu: 1500, v4: OWN, prefix_v4: 24, ..Tun::default() });
    let network = Network::new(Some(wire.clone()));
    let at = Address::Inet(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 80));
    let listener = TcpSocket::new(&network, false, 0, 1);
    listener.bind(&at).unwrap();
    listener.listen(3, OWNER).unwrap();
    let datagrams = DatagramSocket::new(&network, Transport::Udp, false, 0, 2);
    datagrams.bind(&at).unwrap();
    MockHost.take_sent(FD);
    let (mut own, mut theirs) = (0u32, 0u32);
    let mut accepted = Vec::new();
    let mut rest = data;
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (input, tail) = tail.split_at(usize::from(u16::from_le_bytes(*len)).min(tail.len()));
        rest = tail;
        let raw = input.first().is_some_and(|first| first % 2 == 1);
        wire.take(&mut if raw { input.to_vec() } else { segment(input, own, theirs) });
        wire.due();
        accepted.extend(listener.accept(3));
        for socket in &accepted {
            let _ = socket.receive(&mut Dest::kernel(&mut [0; 100]), MessageFlags::empty());
            let _ = socket.send(&mut Source::kernel(input), &mut Outgoing::plain(OWNER));
        }
        for frame in MockHost.take_sent(FD) {
            if frame.len() >= TCP + 20 && frame[DEVICE + 9] == 6 {
                let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                (theirs, own) = (number(TCP + 4), number(TCP + 8));
                theirs = theirs.wrapping_add(u32::from(frame[TCP + 13] & 2 != 0));
            }
        }
    }
    wire.forget_all();
});
