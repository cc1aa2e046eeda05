//! The network: real clients to servers of the test's own, published ports, names, and everything that has to be
//! refused.
//!
//! Servers are on the host's loopback, or in network namespaces that the test makes (root only), and nowhere else.
#![expect(clippy::expect_used, reason = "tests")]

#[path = "../../litebox_broker/tests/network/names.rs"]
#[expect(dead_code, reason = "the broker's own tests use all of it")]
mod names;
#[path = "../../litebox_broker/tests/network/namespaces.rs"]
#[expect(dead_code, reason = "the broker's own tests use all of it")]
mod namespaces;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{NamedTest, ProgramResult, Result, find_program, fresh_dir, program_result, skip};
use names::Names;
use namespaces::{Namespaces, free_port};

const LIMIT: Duration = Duration::from_secs(60);
const PYTHON: [&str; 2] = ["/usr/bin/python3", "/usr/local/bin/python3"];

fn sandbox(options: &[&str], program: &[&str]) -> Command {
    let mut command = litebox_test_support::litebox();
    command.arg("run").args(options).arg("--").args(program);
    command
}

fn run(options: &[&str], program: &[&str]) -> std::io::Result<ProgramResult> {
    program_result::run(sandbox(options, program), b"", LIMIT)
}

/// Fails unless the outcome is this output and status 0.
fn prints(outcome: &ProgramResult, expected: &str) -> Result {
    if outcome.status == 0 && outcome.out() == expected {
        return Ok(());
    }
    Err(format!("expected {expected:?}\n{outcome}").into())
}

/// Something that takes every byte value, too long for one write.
fn body() -> Vec<u8> {
    (0..1_500_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// An HTTP server on the loopback that answers everything with [`body`].
fn http_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let body = body();
                let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&body);
            });
        }
    });
    port
}

/// curl, wget and Python's urllib read the same from a server of the host as on the host.
fn clients() -> Result {
    let port = http_server();
    let (rule, url) = (format!("host:{port}"), format!("http://host:{port}/"));
    let script = format!("import sys,urllib.request; sys.stdout.buffer.write(urllib.request.urlopen('{url}').read())");
    let python = find_program(&PYTHON).map(|path| path.display().to_string()).unwrap_or_default();
    let programs: [&[&str]; 3] =
        [&["/usr/bin/curl", "-sS", &url], &["/usr/bin/wget", "-q", "-O", "-", &url], &[&python, "-c", &script]];
    for program in programs.into_iter().filter(|p| std::path::Path::new(p[0]).exists()) {
        let outcome = run(&["--allow-net", &rule], program)?;
        if outcome.status != 0 || outcome.stdout != body() {
            return Err(format!("{program:?}: {} bytes\n{}", outcome.stdout.len(), outcome.err()).into());
        }
    }
    Ok(())
}

/// Connects to each of these by TCP and sends to each by UDP; prints the errors.
const TRY: &str = r"
import errno, socket, sys
for place in sys.argv[1:]:
    host, port = place.rsplit(' ', 1)
    said = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, kind)
        s.settimeout(20)
        try:
            if kind == socket.SOCK_STREAM: s.connect((host, int(port)))
            else: s.sendto(b'x', (host, int(port)))
            said.append('reached')
        except OSError as e: said.append(errno.errorcode.get(e.errno, str(e)))
    print(place, *said)
";

fn attempts(options: &[&str], places: &[&str]) -> std::result::Result<ProgramResult, libtest_mimic::Failed> {
    let Some(python) = find_program(&PYTHON) else { return Err("no python3".into()) };
    let python = python.display().to_string();
    Ok(run(options, &[&[python.as_str(), "-c", TRY], places].concat())?)
}

/// Whatever is not allowed is refused at once, with one line that names the rule to add.
fn refusals() -> Result {
    if find_program(&PYTHON).is_none() {
        return skip("no python3 on this machine");
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let begin = Instant::now();
    let host_place = format!("10.0.2.2 {port}");
    let places: Vec<&str> = vec![
        &host_place,
        "192.168.1.1 80",
        "172.16.0.1 80",
        "100.64.0.1 80",
        "169.254.169.254 80",
        "10.0.0.1 80",
        "198.18.0.1 80",
        "240.0.0.1 80",
        "9.9.9.9 443",
        "fd00::1 80",
        "fd00:ec2::254 80",
        "::ffff:10.0.0.1 80",
        "::ffff:169.254.169.254 80",
        "64:ff9b::7f00:1 80",
        "64:ff9b::a00:1 80",
        "2002:7f00:1::1 80",
        "2002:a00:1::1 80",
        "2606:4700::1 443",
    ];
    for options in
        [&["--allow-net", "host:1,0.0.0.0/0:81,[::/0]:81"][..], &["--net", "public", "--deny-net", "9.9.9.9,2606::/16"]]
    {
        let outcome = attempts(options, &places)?;
        let expected: Vec<String> = places.iter().map(|place| format!("{place} EACCES EACCES\n")).collect();
        prints(&outcome, &expected.concat())?;
        for line in [format!("host:{port} not allowed (--allow-net host:{port})"), "10.0.0.1:80/udp not allowed".into()]
        {
            if !outcome.err().lines().any(|said| said.starts_with("litebox: network: ") && said.contains(&line)) {
                return Err(format!("no line {line}\n{outcome}").into());
            }
        }
    }
    if begin.elapsed() > LIMIT {
        return Err("a refusal takes long".into());
    }
    listener.set_nonblocking(true)?;
    if listener.accept().is_ok() { Err("the host's loopback was reached".into()) } else { Ok(()) }
}

/// Without a network there is the loopback device and nothing else, and nobody is told.
fn none() -> Result {
    if find_program(&PYTHON).is_none() {
        return skip("no python3 on this machine");
    }
    let outcome = attempts(&[], &["10.0.2.2 80", "9.9.9.9 53", "2606:4700::1 80", "127.0.0.1 9"])?;
    let expected = "10.0.2.2 80 ENETUNREACH ENETUNREACH\n9.9.9.9 53 ENETUNREACH ENETUNREACH\n\
        2606:4700::1 80 ENETUNREACH ENETUNREACH\n127.0.0.1 9 ECONNREFUSED reached\n";
    prints(&outcome, expected)?;
    if outcome.stderr.is_empty() { Ok(()) } else { Err(format!("{outcome}").into()) }
}

/// A sandbox that is ended with the test.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> std::io::Result<Self> {
        command.stdout(Stdio::null()).spawn().map(Self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Tries until it works, for a minute at most.
fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> std::result::Result<T, libtest_mimic::Failed> {
    let begin = Instant::now();
    loop {
        if let Some(done) = attempt() {
            return Ok(done);
        }
        if begin.elapsed() > LIMIT {
            return Err("it does not come about".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Answers each line of each connection; ends when a line says so. Two processes accept.
const LINES: &str = r"
import os, socket, sys
port = int(sys.argv[1])
l = socket.create_server(('0.0.0.0', port), backlog=4)
os.fork()
while True:
    c, peer = l.accept()
    for line in c.makefile('rb'):
        if line == b'end\n': l.close(); os.kill(0, 15)
        c.sendall(peer[0].encode() + b' ' + str(peer[1]).encode() + b' ' + line)
    c.close()
";

fn ask(port: u16, line: &str) -> Option<(String, u16)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let own = stream.local_addr().ok()?.port();
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.write_all(line.as_bytes()).ok()?;
    stream.shutdown(std::net::Shutdown::Write).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some((answer, own))
}

/// A published port refuses until somebody listens, then leads in, with the peer's own port; other ports do not.
fn published() -> Result {
    let Some(python) = find_program(&PYTHON) else { return skip("no python3 on this machine") };
    let (outside, other) = (free_port(), free_port());
    let publish = format!("{outside}:8000");
    let program = [&python.display().to_string(), "-c", LINES, "8000"];
    {
        let _running = Running::start(sandbox(&["-p", &publish, "-p", &format!("{other}:8001")], &program))?;
        until(|| ask(outside, "hello\n").filter(|(answer, _)| !answer.is_empty()))?;
        for round in 0..40 {
            let (answer, own) = ask(outside, &format!("{round}\n")).ok_or("refused")?;
            if answer != format!("10.0.2.2 {own} {round}\n") {
                return Err(format!("{answer:?} for {round} from {own}").into());
            }
        }
        // Nobody listens there.
        if TcpStream::connect(("127.0.0.1", other)).is_ok() {
            return Err("a port that nobody listens on takes connections".into());
        }
        drop(ask(outside, "end\n"));
        until(|| TcpStream::connect(("127.0.0.1", outside)).err())?;
    }
    // A port that is taken is said before anything starts.
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let publish = format!("{}:80", taken.local_addr()?.port());
    let outcome = run(&["-p", &publish], &["/usr/bin/true"])?;
    if outcome.status != 125 || !outcome.err().contains(&format!("--publish {publish}")) {
        return Err(format!("{outcome}").into());
    }
    Ok(())
}

const TWO_LISTENERS: &str = r"
import socket, threading
def serve(name):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(('0.0.0.0', 8000))
    s.listen()
    served = 0
    while True:
        c, _ = s.accept()
        c.sendall(name)
        c.close()
        served += 1
        if name == b'a' and served == 20:
            break
    s.close()
threading.Thread(target=serve, args=(b'a',)).start()
serve(b'b')
";

/// Listeners that share a published port get connections both, and one goes on when the other has ended.
fn published_by_two() -> Result {
    let Some(python) = find_program(&PYTHON) else { return skip("no python3 on this machine") };
    let outside = free_port();
    let publish = format!("{outside}:8000");
    let program = [&python.display().to_string(), "-c", TWO_LISTENERS];
    let _running = Running::start(sandbox(&["-p", &publish], &program))?;
    let answer = || {
        let mut text = String::new();
        TcpStream::connect(("127.0.0.1", outside)).ok()?.read_to_string(&mut text).ok()?;
        Some(text).filter(|text| !text.is_empty())
    };
    let mut served = [0; 2];
    while served[0] < 20 || served[1] < 20 {
        let text = until(answer)?;
        *served.get_mut(usize::from(text == "b")).ok_or("neither")? += 1;
    }
    for _ in 0..5 {
        let text = until(answer)?;
        if text != "b" {
            return Err(format!("{text:?} from a listener that has ended").into());
        }
    }
    Ok(())
}

const ECHO: &str = r"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 5353))
while True:
    data, peer = s.recvfrom(70000)
    s.sendto(data.upper(), peer)
";

/// The same by UDP: every peer is answered.
fn published_udp() -> Result {
    let Some(python) = find_program(&PYTHON) else { return skip("no python3 on this machine") };
    let outside = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let program = [&python.display().to_string(), "-c", ECHO];
    let _running = Running::start(sandbox(&["-p", &format!("{outside}:5353/udp")], &program))?;
    let peers: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a socket")).collect();
    let mut buffer = vec![0; 70_000];
    for (round, peer) in peers.iter().cycle().take(9).enumerate() {
        peer.connect(("127.0.0.1", outside))?;
        peer.set_read_timeout(Some(Duration::from_millis(200)))?;
        let question = format!("round {round}").repeat(1 + round * 400);
        let answer = until(|| {
            // Until it listens, the host refuses, or nobody hears.
            peer.send(question.as_bytes()).ok()?;
            peer.recv(&mut buffer).ok().map(|len| String::from_utf8_lossy(&buffer[..len]).into_owned())
        })?;
        if answer != question.to_uppercase() && !answer.starts_with("ROUND") {
            return Err(format!("{answer:?} for round {round}").into());
        }
    }
    Ok(())
}

const QUERY: &str = r"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
for size in (0, 5, 1400, 60000):
    s.sendto(b'q' * size, ('10.0.2.2', int(sys.argv[1])))
    data, peer = s.recvfrom(70000)
    print(len(data), peer[0])
";

/// Datagrams to a server of the host, of any length, and back.
fn udp_to_the_host() -> Result {
    let Some(python) = find_program(&PYTHON) else { return skip("no python3 on this machine") };
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let port = server.local_addr()?.port().to_string();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok((len, from)) = server.recv_from(&mut buffer) {
            let _ = server.send_to(&buffer[..len], from);
        }
    });
    let outcome =
        run(&["--allow-net", &format!("host:{port}/udp")], &[&python.display().to_string(), "-c", QUERY, &port])?;
    prints(&outcome, "0 10.0.2.2\n5 10.0.2.2\n1400 10.0.2.2\n60000 10.0.2.2\n")
}

const URGENT: &str = r"
import socket, sys
s = socket.create_connection(('10.0.2.2', int(sys.argv[1])), 20)
print(s.send(b'abc!', socket.MSG_OOB))
s.sendall(b'more')
print(s.recv(100))
";

/// Urgent data go out as such.
fn urgent_to_the_host() -> Result {
    let Some(python) = find_program(&PYTHON) else { return skip("no python3 on this machine") };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut byte = 0u8;
        // SAFETY: one byte may be written.
        while unsafe { libc::recv(stream.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_OOB) } != 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut rest = [0; 7];
        let _ = stream.read_exact(&mut rest);
        let _ = stream.write_all(&[&[byte], &rest[..]].concat());
    });
    let outcome =
        run(&["--allow-net", &format!("host:{port}")], &[&python.display().to_string(), "-c", URGENT, &port])?;
    prints(&outcome, "4\nb'!abcmore'\n")
}

/// Waits for the same connection by turns in every way there is. After some blocking reads nobody else is told of it.
const WAITS: &str = r"
import select, socket, sys
s = socket.create_connection(('10.0.2.2', int(sys.argv[1])), 20)
s.settimeout(None)
def block():
    for n in range(20):
        s.sendall(b'x')
        assert s.recv(1) == b'x'
def fill(n):
    s.sendall(b'y' * n)
    assert len(s.recv(n, socket.MSG_PEEK | socket.MSG_WAITALL)) == n
block()
poll = select.poll()
poll.register(s, select.POLLIN | select.POLLRDHUP)
print('nothing', poll.poll(0))
fill(2)
print('two', [e for _, e in poll.poll(0)], s.recv(1), [e for _, e in poll.poll(0)], s.recv(1), poll.poll(0))
s.sendall(b'z')
print('later', [e for _, e in poll.poll(20000)], s.recv(9))
block()
fill(1)
epoll = select.epoll()
epoll.register(s, select.EPOLLIN | select.EPOLLET)
print('edge', [e for _, e in epoll.poll(0)], epoll.poll(0), s.recv(9))
s.sendall(b'z')
print('next edge', [e for _, e in epoll.poll(20)], s.recv(9))
block()
s.sendall(b'z')
print('and again', [e for _, e in epoll.poll(20)][:1], s.recv(9))
epoll.close()
block()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3)
s.sendall(b'abc')
print('three', s.recv(9))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
block()
s.sendall(b'q')
print('end', s.recv(9), [e & ~select.POLLHUP for _, e in poll.poll(20000)])
";

/// Whoever waits for a connection of the host is woken, however others waited before.
fn waits_by_turns() -> Result {
    let Some(python) = find_program(&PYTHON) else { return skip("no python3 on this machine") };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut bytes = [0; 100];
        while let Ok(n @ 1..) = stream.read(&mut bytes) {
            if bytes[..n].contains(&b'q') || stream.write_all(&bytes[..n]).is_err() {
                return;
            }
        }
    });
    let outcome = run(&["--allow-net", &format!("host:{port}")], &[&python.display().to_string(), "-c", WAITS, &port])?;
    let expected = "nothing []\ntwo [1] b'y' [1] b'y' []\nlater [1] b'z'\nedge [1] [] b'y'\nnext edge [1] b'z'\n\
                    and again [1] b'z'\nthree b'abc'\nend b'' [8193]\n";
    prints(&outcome, expected)
}

const LOOK_UP: &str = r"
import socket, struct, sys
for name in sys.argv[1:]:
    try: print(name, *sorted({a[4][0] for a in socket.getaddrinfo(name, 80)}))
    except socket.gaierror as e: print(name, e.errno)
s = socket.create_connection(('10.0.2.3', 53), 20)
q = b'\1\2\1\0\0\1\0\0\0\0\0\0' + b''.join(bytes([len(l)]) + l.encode() for l in 'many.example.org'.split('.')) + b'\0\0\1\0\1'
s.sendall(struct.pack('>H', len(q)) + q)
f = s.makefile('rb')
r = f.read(struct.unpack('>H', f.read(2))[0])
print('tcp', r[3] & 15, struct.unpack('>H', r[6:8])[0])
";

/// Names are answered by the rules; what they do not allow is not asked for, and private addresses are not told.
fn name_lookups() -> Result {
    let Some(python) = find_program(&PYTHON) else { return skip("no python3 on this machine") };
    let names = Names::start("127.0.0.1", |name, v6| {
        let list: Vec<String> = match name {
            "a.example.org" if !v6 => vec!["198.51.100.77".into()],
            "rebind.example.org" if v6 => vec!["::1".into(), "fd00::1".into(), "::ffff:10.0.0.1".into()],
            "rebind.example.org" => vec!["127.0.0.1".into(), "10.0.0.1".into(), "169.254.169.254".into()],
            "many.example.org" if !v6 => (1..=30).map(|n| format!("198.51.100.{n}")).collect(),
            "none.example.org" => return None,
            _ => Vec::new(),
        };
        Some(list.iter().map(|text| text.parse::<IpAddr>().expect("an address")).collect())
    });
    let server = names.at().to_string();
    let asked = [
        "a.example.org",
        "A.EXAMPLE.ORG",
        "rebind.example.org",
        "secret.evil.org",
        "none.example.org",
        "x.localhost",
        "litebox",
    ];
    let program = [&[python.to_str().unwrap_or_default(), "-c", LOOK_UP][..], &asked].concat();
    let outcome = run(&["--dns", &server, "--allow-net", "*.example.org"], &program)?;
    // EAI_NODATA is -5, EAI_NONAME -2.
    let expected = "a.example.org 198.51.100.77\nA.EXAMPLE.ORG 198.51.100.77\nrebind.example.org -5\nsecret.evil.org -2\n\
        none.example.org -2\nx.localhost 127.0.0.1 ::1\nlitebox 10.0.2.15 fd00::2:15\ntcp 0 30\n";
    if outcome.status != 0 || outcome.out() != expected {
        return Err(format!("expected {expected}\n{outcome}").into());
    }
    if names.asked().iter().any(|name| !name.ends_with(".example.org")) {
        return Err(format!("asked for {:?}", names.asked()).into());
    }
    Ok(())
}

/// Makes a certificate for a name, signed by itself.
fn certificate(name: &str) -> std::result::Result<std::path::PathBuf, libtest_mimic::Failed> {
    let dir = fresh_dir("network_certificate")?;
    let subject = format!("/CN={name}");
    let alternative = format!("subjectAltName=DNS:{name}");
    let arguments =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "key.pem", "-out", "cert.pem"];
    let made = Command::new("openssl")
        .args(arguments)
        .args(["-subj", &subject, "-addext", &alternative])
        .current_dir(&dir)
        .stderr(Stdio::null())
        .status()?;
    if made.success() { Ok(dir) } else { Err("no certificate".into()) }
}

/// Names, TLS and public addresses as on the internet, between two namespaces: the name in the handshake is what
/// counts.
fn public_network() -> Result {
    let Some(spaces) = Namespaces::make() else { return skip("no network namespaces here") };
    let have = |path: &str| std::path::Path::new(path).exists();
    if !have("/usr/bin/curl") || !have("/usr/bin/openssl") {
        return skip("no curl or openssl on this machine");
    }
    let dir = certificate("a.example.org")?;
    let plain = spaces.servers(&["198.51.100.2", "203.0.113.66"]);
    spaces.give_servers("203.0.113.10");
    let mut server = spaces.command_of_servers("openssl");
    server.args(["s_server", "-accept", "203.0.113.10:443", "-cert", "cert.pem", "-key", "key.pem", "-www"]);
    server.current_dir(&dir).stdin(Stdio::null()).stderr(Stdio::null());
    let _server = Running::start(server)?;
    let answers = |_: &str, v6: bool| {
        let list: &[&str] = if v6 { &[] } else { &["203.0.113.10"] };
        Some(list.iter().map(|text| text.parse().expect("an address")).collect())
    };
    let names = spaces.inside_servers(move || Names::start("198.51.100.2", answers));
    let dns = names.at().to_string();
    let share = format!("{}:/ca:ro", dir.display());
    let curl = |rule: &[&str], url: &str, more: &[&str]| {
        let mut command = spaces.command_of_service(env!("CARGO_BIN_EXE_litebox"));
        command.arg("run").args(["--dns", &dns, "-v", &share]).args(rule).arg("--");
        command.args([
            "/usr/bin/curl",
            "-sS",
            "-m",
            "30",
            "--cacert",
            "/ca/cert.pem",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ]);
        command.args(more).arg(url).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        program_result::run(command, b"", LIMIT)
    };
    let allowed = ["--allow-net", "a.example.org"];
    let outcome = until(|| curl(&allowed, "https://a.example.org/", &[]).ok().filter(|o| o.status != 7))?;
    prints(&outcome, "200")?;
    prints(&curl(&["--net", "public"], "https://a.example.org/", &[])?, "200")?;
    // Another name in the handshake, at the address of an allowed one.
    let other = curl(&allowed, "https://b.example.org/", &["--resolve", "b.example.org:443:203.0.113.10", "-k"])?;
    // Nobody was told of the address yet, so the connection itself is refused; after it was, the handshake is.
    let after = ["--resolve", "b.example.org:443:203.0.113.10", "-k", "https://a.example.org/", "-o", "/dev/null"];
    let both = curl(&allowed, "https://b.example.org/", &after)?;
    if other.status != 7
        || both.out() == "200200"
        || !both.err().contains("b.example.org:443 not allowed (--allow-net b.example.org)")
    {
        return Err(format!("the wrong name\n{other}\n{both}").into());
    }
    // The link's other end is a public address; the host's own and one that is denied are not.
    for (rule, url, reached) in [
        (&["--net", "public"][..], "http://198.51.100.2/", true),
        (&["--net", "public"], "http://198.51.100.1/", false),
        (&["--net", "public", "--deny-net", "203.0.113.66"], "http://203.0.113.66/", false),
        (&["--net", "public", "--deny-net", "203.0.113.66"], "http://[::ffff:203.0.113.66]/", false),
        (&["--allow-net", "198.51.100.0/24:80"], "http://198.51.100.2/", true),
        (&["--allow-net", "198.51.100.0/24:80"], "http://203.0.113.66/", false),
    ] {
        // The server says nothing: whoever reaches it waits in vain.
        let outcome = curl(rule, url, &["-m", "2"])?;
        let came = outcome.status == 28;
        if came != reached || (reached && plain.next().1.is_empty()) || (!reached && outcome.status != 7) {
            return Err(format!("{rule:?} {url}\n{outcome}").into());
        }
    }
    if plain.nobody_came() { Ok(()) } else { Err("somebody was reached who must not be".into()) }
}

/// The kernel of the sandbox is the attacker's: it asks the broker itself, and aims sockets that it was given anew.
fn hostile() -> Result {
    let dir = fresh_dir("network_hostile")?;
    std::fs::copy(compile::guest("compromised_kernel.c", Variant::Static, &[])?, dir.join("compromised_kernel"))?;
    let share = format!("{}:/guests:ro", dir.display());
    // Two ports in a row: one is allowed.
    let (allowed, forbidden) = until(|| {
        let first = TcpListener::bind("127.0.0.1:0").ok()?;
        let next = SocketAddr::from(([127, 0, 0, 1], first.local_addr().ok()?.port().checked_add(1)?));
        Some((first, TcpListener::bind(next).ok()?))
    })?;
    let port = allowed.local_addr()?.port();
    let attack = |options: &[&str], name: &str, port: u16| {
        let options = [&["--test-hostile", "-v", &share][..], options].concat();
        run(&options, &["/guests/compromised_kernel", "attack", name, &port.to_string()])
    };
    let rule = format!("host:{port}");
    let outcome = attack(&["--allow-net", &rule], "ask-network", port + 1)?;
    prints(&outcome, "ready\nasked 24 refused 24\nresult 0\n")?;
    let outcome = attack(&["--allow-net", &rule], "re-aim", port)?;
    if outcome.status != 159
        || outcome.out() != "ready\nconnected 0\n"
        || !outcome.err().contains("sendmsg (46, x86_64)")
    {
        return Err(format!("{outcome}").into());
    }
    // Without a network nobody is there to be asked.
    let outcome = attack(&[], "ask-network", port)?;
    prints(&outcome, "ready\nasked 24 refused 0\nresult 0\n")?;
    forbidden.set_nonblocking(true)?;
    if forbidden.accept().is_ok() { Err("the sandbox reached another port".into()) } else { Ok(()) }
}

const TESTS: &[NamedTest] = &[
    ("clients", clients),
    ("refusals", refusals),
    ("none", none),
    ("published", published),
    ("published_by_two", published_by_two),
    ("published_udp", published_udp),
    ("udp_to_the_host", udp_to_the_host),
    ("urgent_to_the_host", urgent_to_the_host),
    ("waits_by_turns", waits_by_turns),
    ("name_lookups", name_lookups),
    ("public_network", public_network),
    ("hostile", hostile),
];

fn main() {
    litebox_test_support::run_table(TESTS);
}
