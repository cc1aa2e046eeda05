//! Connections by way of an HTTP proxy (RFC 9110, section 9.3.6): `CONNECT`, and what the proxy says to it.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use data_encoding::BASE64;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::rules::normal_name;

/// Where the proxy is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// At an address.
    Address(IpAddr),
    /// At a name.
    Name(String),
}

/// A proxy as `--net-proxy` names it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its host.
    pub place: Place,
    /// Its port.
    pub port: u16,
    /// `user:password`, encoded.
    credentials: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("place", &self.place).field("port", &self.port).finish_non_exhaustive()
    }
}

const USUAL_PORT: u16 = 80;

impl Proxy {
    /// From `http://[USER:PASSWORD@]HOST[:PORT][/]`.
    pub fn parse(url: &str) -> Result<Self, String> {
        // A password must not be shown.
        let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
        let wrong = |why: &str| format!("proxy {shown}: {why}");
        let rest = url.strip_prefix("http://").ok_or_else(|| wrong("must be http://HOST:PORT"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(wrong("must be http://HOST:PORT, without a path"));
        }
        let (credentials, host) = match rest.rsplit_once('@') {
            Some((credentials, host)) => (Some(BASE64.encode(&percent_decoded(credentials))), host),
            None => (None, rest),
        };
        let (host, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(|| wrong("the port is not one"))?)),
            None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => USUAL_PORT,
            Some(port) => port.parse().ok().filter(|n| *n != 0).ok_or_else(|| wrong("the port is not one"))?,
        };
        let place = match host.parse::<IpAddr>() {
            Ok(address) => Place::Address(address),
            Err(_) => Place::Name(normal_name(host).map_err(|why| wrong(&why))?),
        };
        Ok(Self { place, port, credentials })
    }

    /// The request for a connection to `target` (`NAME:PORT`, `ADDRESS:PORT`).
    pub fn request(&self, target: &str) -> Vec<u8> {
        let credentials =
            self.credentials.as_ref().map_or(String::new(), |c| format!("Proxy-Authorization: Basic {c}\r\n"));
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n").into_bytes()
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |b: u8| char::from(b).to_digit(16);
        if let (b'%', [high, low, after @ ..]) = (byte, tail) {
            if let (Some(high), Some(low)) = (hex(*high), hex(*low)) {
                out.push((high * 16 + low) as u8);
                rest = after;
                continue;
            }
        }
        out.push(byte);
        rest = tail;
    }
    out
}

/// Where the talk with the proxy is.
#[derive(Debug)]
pub struct Talk {
    request: Vec<u8>,
    sent: usize,
}

/// Longest head of the proxy's answer.
const MOST_HEAD: usize = 8 << 10;

impl Talk {
    /// Nothing was sent yet.
    pub fn new(request: Vec<u8>) -> Self {
        Self { request, sent: 0 }
    }
    /// Whether it waits for room to write.
    pub fn writes(&self) -> bool {
        self.sent < self.request.len()
    }
    /// Goes on; `Ok(true)`: the proxy has made the connection.
    pub fn go_on(&mut self, socket: BorrowedFd<'_>) -> Result<bool, Errno> {
        if let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match rustix::net::send(socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(n) => self.sent += n,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(e) => return Err(e),
            }
            return Ok(false);
        }
        let mut buffer = [0u8; MOST_HEAD];
        let len = match rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::PEEK) {
            Ok((0, _)) => return Err(Errno::CONNREFUSED),
            Ok((len, _)) => len,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(e) => return Err(e),
        };
        let (head, made) = head_of(buffer.get(..len).unwrap_or_default())?;
        // What is behind the head belongs to the connection.
        let taken = if head == 0 { len } else { head };
        if head == 0 {
            return if len == MOST_HEAD { Err(Errno::CONNREFUSED) } else { Ok(false) };
        }
        rustix::net::recv(socket, buffer.get_mut(..taken).unwrap_or_default(), RecvFlags::DONTWAIT)?;
        if made { Ok(true) } else { Err(Errno::CONNREFUSED) }
    }
}

/// Length of the head of an answer (0: it is not whole), and whether it says yes.
fn head_of(bytes: &[u8]) -> Result<(usize, bool), Errno> {
    let start = b"HTTP/1.";
    if !bytes.iter().zip(start).all(|(a, b)| a == b) {
        return Err(Errno::CONNREFUSED);
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok((0, false)) };
    // `HTTP/1.1 200 ...`
    let made = bytes.get(start.len() + 1..start.len() + 3) == Some(b" 2".as_slice());
    Ok((end + 4, made))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use rustix::io::Errno;

    use super::{Place, Proxy, Talk, head_of};

    #[test]
    fn urls_are_taken_apart() {
        let proxy = Proxy::parse("http://User:p%40ss@Proxy.corp:3128/").expect("a proxy");
        assert_eq!((&proxy.place, proxy.port), (&Place::Name("proxy.corp".into()), 3128));
        let request = String::from_utf8(proxy.request("example.org:443")).expect("text");
        assert!(request.starts_with("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n"));
        assert!(request.contains("Proxy-Authorization: Basic VXNlcjpwQHNz\r\n") && request.ends_with("\r\n\r\n"));
        assert_eq!(Proxy::parse("http://10.0.0.1").map(|p| p.port), Ok(80));
        assert_eq!(Proxy::parse("http://[2001:db8::1]:8080").map(|p| p.port), Ok(8080));
        for bad in ["https://a", "a:3128", "http://", "http://a:0", "http://a/x", "http://a:b", "http://[::1"] {
            assert!(Proxy::parse(bad).is_err(), "{bad}");
        }
        assert!(!Proxy::parse("http://u:secret@bad host").expect_err("no proxy").contains("secret"));
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(head_of(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nrest"), Ok((25, true)));
        assert_eq!(head_of(b"HTTP/1.0 407 Who\r\n\r\n"), Ok((20, false)));
        assert_eq!(head_of(b"HTTP/1.1 200 OK\r\n"), Ok((0, false)));
        assert_eq!(head_of(b"HT"), Ok((0, false)));
        assert_eq!(head_of(b"SSH-2.0"), Err(Errno::CONNREFUSED));
    }

    #[test]
    fn bytes_behind_the_head_stay() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let mut near = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (mut far, _) = listener.accept().expect("a connection");
        let mut talk = Talk::new(b"CONNECT x:1 HTTP/1.1\r\n\r\n".to_vec());
        assert_eq!(talk.go_on(near.as_fd()), Ok(false));
        far.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").expect("written");
        let made = loop {
            near.peek(&mut [0; 24]).expect("bytes");
            if talk.go_on(near.as_fd()).expect("a proxy") {
                break true;
            }
        };
        let mut rest = [0; 5];
        near.read_exact(&mut rest).expect("bytes");
        assert!(made && &rest == b"hello");
    }
}
