//! Ports of the host that lead into the sandbox: `-p [ADDR:]HOST:PORT[/udp]`.
//!
//! A port is bound from the start, so that one that is taken is known at once; it listens only while somebody in the
//! sandbox does, so that the host refuses connections that nobody would take. Meanwhile another program of the host may
//! take it as servers do (SO_REUSEADDR): then listening fails.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox_protocol::net::{MAX_DATAGRAM, Published, TCP, UDP};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, SocketFlags, SocketType, sockopt};

use super::rules::Transport;
use super::sockets;

/// Most connections that may wait for a guest, on one port.
const MOST_CREDIT: u32 = 4096;

/// What `-p` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish {
    /// Address and port of the host.
    pub outside: SocketAddr,
    /// Port in the sandbox.
    pub inside: u16,
    /// Of which protocol.
    pub transport: Transport,
    /// An IPv6 address stands for those of IPv4 as well, where nobody has those yet.
    pub dual: bool,
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let udp = if self.transport == Transport::Udp { "/udp" } else { "" };
        write!(f, "{}:{}{udp}", self.outside, self.inside)
    }
}

impl Publish {
    /// From `[ADDR:]HOST:PORT[/tcp|/udp]`; an IPv6 address is in brackets.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("port \"{text}\": {why}");
        let form = "must be [ADDR:]HOST:PORT[/udp], such as 8080:80 or 0.0.0.0:5353:53/udp";
        let (rest, transport) = match text.rsplit_once('/') {
            None | Some((_, "tcp")) => (text.strip_suffix("/tcp").unwrap_or(text), Transport::Tcp),
            Some((rest, "udp")) => (rest, Transport::Udp),
            Some((_, other)) => return Err(wrong(&format!("/{other} is not /tcp or /udp"))),
        };
        let (rest, inside) = rest.rsplit_once(':').ok_or_else(|| wrong(form))?;
        let (address, outside) = match rest.rsplit_once(':') {
            Some((address, outside)) => (address, outside),
            None => ("127.0.0.1", rest),
        };
        let plain = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        let address: IpAddr = match plain {
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            _ => plain.parse().map_err(|_| wrong(&format!("\"{address}\" is not an address of this host")))?,
        };
        let port = |text: &str| {
            let number = text.parse::<u16>().ok().filter(|n| *n != 0 && text.bytes().all(|b| b.is_ascii_digit()));
            number.ok_or_else(|| wrong(&format!("\"{text}\" is not a port (1 to 65535)")))
        };
        Ok(Self { outside: SocketAddr::new(address, port(outside)?), inside: port(inside)?, transport, dual: false })
    }

    /// For the configuration of the sandbox.
    pub fn describe(&self) -> Published {
        let protocol = if self.transport == Transport::Tcp { TCP } else { UDP };
        Published { port: self.inside, protocol, reserved: 0 }
    }
}

/// A published port.
pub struct Port {
    what: Publish,
    socket: OwnedFd,
    /// How many may still come; `None`: nobody listens.
    credit: Option<u32>,
}

/// Somebody came.
pub struct Came {
    /// Who.
    pub peer: SocketAddr,
    /// Connected to them.
    pub socket: OwnedFd,
    /// What they sent, if it is UDP.
    pub datagram: Option<Vec<u8>>,
}

impl Port {
    /// Takes the port.
    pub fn bind(what: Publish) -> Result<Self, Errno> {
        let socket = bound(&what)?;
        Ok(Self { what, socket, credit: None })
    }

    /// What it is.
    pub fn what(&self) -> &Publish {
        &self.what
    }

    /// Somebody listens, and takes so many.
    pub fn listen(&mut self, credit: u32) -> Result<(), Errno> {
        let credit = credit.clamp(1, MOST_CREDIT);
        if self.what.transport == Transport::Tcp {
            rustix::net::listen(&self.socket, credit as i32)?;
        } else if self.credit.is_none() {
            // What came while nobody listened was for nobody.
            while rustix::net::recv(&self.socket, &mut [0u8; 1][..], RecvFlags::DONTWAIT).is_ok() {}
        }
        self.credit = Some(credit);
        Ok(())
    }

    /// Nobody listens any more: the host refuses again.
    pub fn unlisten(&mut self) -> Result<(), Errno> {
        if self.credit.take().is_some() && self.what.transport == Transport::Tcp {
            // A socket that listens is as it was before by that (tcp(7) does not say so; inet_shutdown of Linux does
            // it).
            rustix::net::shutdown(&self.socket, Shutdown::Read)?;
        }
        Ok(())
    }

    /// So many more may come.
    pub fn add_credit(&mut self, more: u32) -> Result<(), Errno> {
        let credit = self.credit.as_mut().ok_or(Errno::INVAL)?;
        *credit = credit.saturating_add(more).min(MOST_CREDIT);
        Ok(())
    }

    /// What is to be polled.
    pub fn polled(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.credit.filter(|credit| *credit > 0).map(|_| (self.socket.as_fd(), PollFlags::IN))
    }

    /// Takes the next that comes, if there is one.
    pub fn take(&mut self) -> Result<Option<Came>, Errno> {
        let Some(credit) = self.credit.as_mut().filter(|credit| **credit > 0) else { return Ok(None) };
        let came = match self.what.transport {
            Transport::Tcp => accept(&self.socket),
            Transport::Udp => receive(&self.socket, &self.what),
        };
        match came {
            Ok(came) => {
                *credit -= 1;
                Ok(Some(came))
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn bound(what: &Publish) -> Result<OwnedFd, Errno> {
    match bound_as(what, !what.dual) {
        Err(Errno::ADDRINUSE) if what.dual => bound_as(what, true),
        done => done,
    }
}

fn bound_as(what: &Publish, six_only: bool) -> Result<OwnedFd, Errno> {
    let kind = if what.transport == Transport::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = sockets::new(what.outside.ip(), kind)?;
    if what.outside.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, six_only)?;
    }
    match what.transport {
        // As servers do: connections that have ended do not keep it.
        Transport::Tcp => sockopt::set_socket_reuseaddr(&socket, true)?,
        // For the sockets of single peers beside it.
        Transport::Udp => sockopt::set_socket_reuseport(&socket, true)?,
    }
    rustix::net::bind(&socket, &what.outside)?;
    Ok(socket)
}

fn accept(socket: &OwnedFd) -> Result<Came, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (accepted, peer) = rustix::net::acceptfrom_with(socket, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(Errno::CONNABORTED)?;
    Ok(Came { peer, socket: accepted, datagram: None })
}

/// The first datagram of a peer: those that follow go to a socket of its own.
fn receive(socket: &OwnedFd, what: &Publish) -> Result<Came, Errno> {
    let mut buffer = vec![0u8; MAX_DATAGRAM];
    let (len, _, peer) = rustix::net::recvfrom(socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(Errno::CONNABORTED)?;
    buffer.truncate(len);
    let own = bound(what)?;
    rustix::net::connect(&own, &peer)?;
    Ok(Came { peer, socket: own, datagram: Some(buffer) })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::{Came, Port, Publish, Transport};

    fn parse(text: &str) -> String {
        Publish::parse(text).expect(text).to_string()
    }

    #[test]
    fn ports_are_published_on_the_loopback_unless_an_address_says_otherwise() {
        assert_eq!(parse("8080:80"), "127.0.0.1:8080:80");
        assert_eq!(parse("8080:80/tcp"), "127.0.0.1:8080:80");
        assert_eq!(parse("0.0.0.0:8080:80"), "0.0.0.0:8080:80");
        assert_eq!(parse("5353:53/udp"), "127.0.0.1:5353:53/udp");
        assert_eq!(parse("[::1]:5353:53/udp"), "[::1]:5353:53/udp");
        assert_eq!(parse("localhost:1:2"), "127.0.0.1:1:2");
        for bad in
            ["", "80", ":80", "80:", "0:80", "80:0", "70000:80", "80:80/sctp", "example.org:80:80", "1:2:3:4", "+1:2"]
        {
            assert!(Publish::parse(bad).is_err(), "{bad}");
        }
    }

    /// A port of the loopback that is free, by its number: one that the host picks is given back with the end of
    /// listening.
    fn published(transport: Transport) -> Port {
        loop {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
            if let Ok(port) = Port::bind(Publish { outside: free, inside: 80, transport, dual: false }) {
                return port;
            }
        }
    }

    fn next(port: &mut Port) -> Came {
        loop {
            let (fd, flags) = port.polled().expect("credit");
            poll(&mut [PollFd::new(&fd, flags)], None).expect("poll");
            if let Some(came) = port.take().expect("somebody") {
                return came;
            }
        }
    }

    #[test]
    fn a_port_refuses_while_nobody_listens_and_listens_again() {
        let mut port = published(Transport::Tcp);
        let to = port.what.outside;
        let refused = || TcpStream::connect(to).expect_err("refused").kind() == ErrorKind::ConnectionRefused;
        assert!(refused() && port.polled().is_none());
        for _ in 0..2 {
            port.listen(2).expect("listening");
            let mut near = TcpStream::connect(to).expect("a connection");
            let came = next(&mut port);
            assert_eq!(came.peer, near.local_addr().expect("an address"));
            near.write_all(b"x").expect("written");
            let mut far = TcpStream::from(came.socket);
            far.set_nonblocking(false).expect("blocking");
            far.read_exact(&mut [0; 1]).expect("read");
            assert_eq!(TcpListener::bind(to).expect_err("taken").kind(), ErrorKind::AddrInUse);
            port.unlisten().expect("not listening");
            assert!(refused());
        }
        let other = TcpListener::bind(to).expect("free while nobody listens");
        assert_eq!(port.listen(1), Err(rustix::io::Errno::ADDRINUSE));
        drop(other);
        port.listen(1).expect("listening");
    }

    #[test]
    fn no_more_come_than_there_is_credit_for() {
        let mut port = published(Transport::Tcp);
        port.listen(2).expect("listening");
        let _near: Vec<_> = (0..3).map(|_| TcpStream::connect(port.what.outside).expect("a connection")).collect();
        let _far = [next(&mut port), next(&mut port)];
        assert!(port.polled().is_none() && port.take().expect("nobody").is_none());
        port.add_credit(1).expect("credit");
        next(&mut port);
        port.unlisten().expect("not listening");
        assert!(port.add_credit(1).is_err());
    }

    #[test]
    fn every_peer_of_udp_gets_a_socket_of_its_own() {
        let mut port = published(Transport::Udp);
        port.listen(8).expect("listening");
        let peers: Vec<UdpSocket> = (0..2).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket")).collect();
        for peer in &peers {
            peer.connect(port.what.outside).expect("connected");
            peer.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            peer.send(b"one").expect("sent");
            let came = next(&mut port);
            assert_eq!(
                (came.peer, came.datagram.as_deref()),
                (peer.local_addr().expect("an address"), Some(&b"one"[..]))
            );
            let own = UdpSocket::from(came.socket);
            own.send(b"back").expect("sent");
            let mut buffer = [0; 8];
            assert_eq!(peer.recv(&mut buffer).expect("a datagram"), 4);
            peer.send(b"two").expect("sent");
            poll(&mut [PollFd::new(&own, PollFlags::IN)], None).expect("poll");
            assert_eq!(own.recv(&mut buffer).expect("a datagram"), 3);
        }
        assert!(port.take().expect("nobody").is_none());
    }
}
