//! A name server of the test's own, over UDP and TCP, that keeps a list of what it was asked.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

/// What a name leads to (`true`: IPv6); `None`: there is no such name.
type Zone = dyn Fn(&str, bool) -> Option<Vec<IpAddr>> + Send + Sync;

pub struct Names {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Honest,
    /// Says over UDP that there is more over TCP.
    Cutting,
    /// Sends rubbish, wrong numbers and other names.
    Lying,
}

impl Names {
    pub fn start(address: &str, zone: impl Fn(&str, bool) -> Option<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self::run(address, Arc::new(zone), Manner::Honest)
    }
    pub fn start_cutting(
        address: &str,
        zone: impl Fn(&str, bool) -> Option<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self::run(address, Arc::new(zone), Manner::Cutting)
    }
    pub fn start_lying(address: &str) -> Self {
        Self::run(address, Arc::new(|_, _| Some(vec!["10.6.6.6".parse().expect("an address")])), Manner::Lying)
    }

    /// Both sockets have one number.
    fn sockets(address: &str) -> (UdpSocket, TcpListener) {
        loop {
            let udp = UdpSocket::bind((address, 0)).expect("a socket");
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")) {
                return (udp, tcp);
            }
        }
    }

    fn run(address: &str, zone: Arc<Zone>, manner: Manner) -> Self {
        let (udp, tcp) = Self::sockets(address);
        let at = udp.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, own) = (asked.clone(), zone.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((len, from)) = udp.recv_from(&mut buffer) {
                let question = &buffer[..len];
                for reply in replies(question, &*own, manner, &log) {
                    let _ = udp.send_to(&reply, from);
                }
            }
        });
        let log = asked.clone();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                let mut len = [0; 2];
                if stream.read_exact(&mut len).is_ok() {
                    let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
                    let _ = stream.read_exact(&mut question);
                    let reply = replies(&question, &*zone, Manner::Honest, &log).remove(0);
                    // In two pieces.
                    let bytes = [&(reply.len() as u16).to_be_bytes(), reply.as_slice()].concat();
                    let (head, tail) = bytes.split_at(5);
                    let _ = stream.write_all(head).and_then(|()| stream.write_all(tail));
                }
            }
        });
        Self { at, asked }
    }

    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// Every name that was asked for, once.
    pub fn asked(&self) -> Vec<String> {
        let mut names = self.asked.lock().expect("a list").clone();
        names.dedup();
        names
    }
}

/// The replies to one question.
fn replies(question: &[u8], zone: &Zone, manner: Manner, log: &Mutex<Vec<String>>) -> Vec<Vec<u8>> {
    let (name, end) = name_in(question);
    let v6 = question[end + 1] == 28;
    log.lock().expect("a list").push(name.clone());
    let found = zone(&name, v6);
    let good = reply(question, end + 4, found.as_deref(), manner == Manner::Cutting);
    if manner != Manner::Lying {
        return vec![good];
    }
    let mut number = good.clone();
    number[0] ^= 0x55;
    let mut other = good.clone();
    other[13] ^= 1;
    let mut query = good.clone();
    query[2] &= 0x7f;
    vec![b"rubbish".to_vec(), number, other, query, good[..20].to_vec()]
}

fn name_in(question: &[u8]) -> (String, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let len = usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..at + 1 + len]).to_lowercase());
        at += 1 + len;
    }
    (labels.join("."), at + 1)
}

fn reply(question: &[u8], end: usize, found: Option<&[IpAddr]>, cut: bool) -> Vec<u8> {
    let code = if found.is_some() { 0 } else { 3 };
    let shown = found.filter(|_| !cut).unwrap_or_default();
    let mut out = question[..end].to_vec();
    out[2] = 0x81 | if cut { 2 } else { 0 };
    out[3] = 0x80 | code;
    out[6..12].copy_from_slice(&[0, shown.len() as u8, 0, 0, 0, 0]);
    for address in shown {
        let (kind, bytes) = match address {
            IpAddr::V4(v4) => (1, v4.octets().to_vec()),
            IpAddr::V6(v6) => (28, v6.octets().to_vec()),
        };
        // The name of the question, class IN, 60 seconds.
        out.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, bytes.len() as u8]);
        out.extend_from_slice(&bytes);
    }
    out
}
