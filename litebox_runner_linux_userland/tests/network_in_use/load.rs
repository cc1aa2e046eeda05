//! Peers that misbehave, and more of everything than anybody needs.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{NamedTest, Result, fresh_dir, skip};

use super::bulk::{MOST_GROWTH, memory_at_two_times};
use super::{Running, prints, python, run, wait_for};

/// As much as a slow reader reads.
const SLOW: usize = 1 << 20;

/// Ends a connection by a reset.
fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (at, len) = ((&raw const linger).cast(), size_of_val(&linger) as u32);
    // SAFETY: `linger` is valid for reads of its length, and lives as long as the call.
    unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, at, len) };
    drop(stream);
}

/// Does what the first byte of a connection says.
fn serve(mut stream: TcpStream) {
    let mut first = [0];
    if stream.read_exact(&mut first).is_err() {
        return;
    }
    match first[0] {
        b'r' => reset(stream),
        // Half of an answer, and then the end.
        b'c' => drop(stream.write_all(b"half")),
        // It sends no more, and goes on reading.
        b'w' => {
            drop(stream.write_all(b"all"));
            drop(stream.shutdown(std::net::Shutdown::Write));
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest));
        }
        // It takes a little at a time.
        b's' => {
            let (mut piece, mut sum, mut read) = (vec![0; 20_000], 0u64, 0);
            while read < SLOW {
                let Ok(n @ 1..) = stream.read(&mut piece) else { return };
                sum += piece.iter().take(n).map(|byte| u64::from(*byte)).sum::<u64>();
                read += n;
                std::thread::yield_now();
            }
            drop(write!(stream, "{sum}"));
        }
        // It says nothing until the other end does away with it.
        _ => drop(stream.read(&mut first)),
    }
}

fn server() -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(port)
}

const PEERS: &str = r"
import errno, os, socket, sys
place = (sys.argv[1], int(sys.argv[2]))
def said(call):
    try: return call()
    except TimeoutError: return 'timed out'
    except OSError as e: return errno.errorcode.get(e.errno)
def open_with(what):
    s = socket.create_connection(place, 20)
    s.sendall(what)
    return s
s = open_with(b'r')
print('reset:', said(lambda: s.recv(9)), said(lambda: s.recv(9)), said(lambda: s.send(b'x')))
s = open_with(b'c')
print('closed:', said(lambda: s.recv(9, socket.MSG_WAITALL)), said(lambda: s.recv(9)))
s = open_with(b'w')
print('half open:', said(lambda: s.recv(9, socket.MSG_WAITALL)), said(lambda: s.sendall(bytes(1000))))
s = open_with(b'h')
s.settimeout(.05)
print('silent:', said(lambda: s.recv(9)))
s.close()
s = open_with(b's')
data = bytes(range(256)) * (1 << 12)
print('slow:', said(lambda: s.sendall(data)), said(lambda: s.recv(99)) == str(sum(data)).encode())
";

/// Resets, ends, half-open connections, silence and slow readers look as they do on the host.
fn peers() -> Result {
    let Some(python) = python() else { return skip("no python3 on this machine") };
    let port = server()?.to_string();
    let host = Command::new(&python).args(["-c", PEERS, "127.0.0.1", &port]).output()?;
    let expected = String::from_utf8_lossy(&host.stdout).into_owned();
    if !expected.ends_with("slow: None True\n") {
        return Err(format!("on the host: {expected}").into());
    }
    prints(&run(&["--allow-net", &format!("host:{port}")], &[&python, "-c", PEERS, "host", &port])?, &expected)
}

/// A port that a socket is bound to and does not listen on: nobody else gets it.
fn closed_port() -> io::Result<(OwnedFd, u16)> {
    let mut at = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    };
    let mut len = size_of_val(&at) as libc::socklen_t;
    // SAFETY: no memory is passed; the descriptor is nobody else's.
    let socket =
        unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)) };
    // SAFETY: `at` is valid for reads of its length.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const at).cast(), len) };
    // SAFETY: `at` is valid for writes of its length, `len` for both.
    let told = unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut at).cast(), &raw mut len) };
    if bound != 0 || told != 0 { Err(io::Error::last_os_error()) } else { Ok((socket, u16::from_be(at.sin_port))) }
}

const REFUSED: &str = r"
import collections, errno, os, socket, sys
closed, forbidden, good = map(int, sys.argv[1:])
def attempt(port, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET, kind)
    try: s.connect(('10.0.2.2', port)); return 'reached'
    except OSError as e: return errno.errorcode[e.errno]
    finally: s.close()
def count(times, what): return dict(collections.Counter(what(i) for i in range(times)))
before = len(os.listdir('/proc/self/fd'))
print(count(1000, lambda i: attempt(closed)))
print(count(1000, lambda i: attempt(forbidden)))
print(count(20, lambda i: attempt(good)))
def lookup(name):
    try: return socket.getaddrinfo(name, 80)[0][4][0]
    except socket.gaierror as e: return e.errno == socket.EAI_NONAME
print(count(200, lambda i: lookup(f'name{i}.example.org')))
print(lookup('host'), len(os.listdir('/proc/self/fd')) - before)
";

/// Thousands of connections that are refused, by the host and by the rules, and a flood of names: each gets its error,
/// nothing is used up, and what is allowed goes on.
fn refused() -> Result {
    let Some(python) = python() else { return skip("no python3 on this machine") };
    let good = server()?.to_string();
    let forbidden = TcpListener::bind("127.0.0.1:0")?;
    let (_kept, closed) = closed_port()?;
    let (closed, forbidden) = (closed.to_string(), forbidden.local_addr()?.port().to_string());
    let rules = format!("host:{good},host:{closed}");
    let outcome = run(&["--allow-net", &rules], &[&python, "-c", REFUSED, &closed, &forbidden, &good])?;
    let expected = "{'ECONNREFUSED': 1000}\n{'EACCES': 1000}\n{'reached': 20}\n{True: 200}\n10.0.2.2 0\n";
    prints(&outcome, expected)
}

/// A flood of questions about names, many of them none, for a few rounds or for as many seconds as `LITEBOX_TEST_NAMES`
/// says: each that is waited for is answered, and nothing grows.
fn name_flood() -> Result {
    let Some(python) = python() else { return skip("no python3 on this machine") };
    let seconds = std::env::var("LITEBOX_TEST_NAMES").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut command = litebox_test_support::litebox();
    command.args([
        "run",
        "--allow-net",
        "host:80",
        "--",
        &python,
        "-c",
        include_str!("flood.py"),
        &seconds.to_string(),
    ]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let seen = if seconds > 0 { memory_at_two_times(child.id(), seconds) } else { [0; 2] };
    let outcome = child.wait_with_output()?;
    let (out, error) = (String::from_utf8_lossy(&outcome.stdout), String::from_utf8_lossy(&outcome.stderr));
    println!("{}: {out}memory: {seen:?}", outcome.status);
    if !outcome.status.success() || out != "all answered 0\n" {
        return Err(format!("{}: {out}{error}", outcome.status).into());
    }
    // Who refuses says so, but not for ever.
    let lines = error.lines().count();
    if lines > 200 || seen[1] > seen[0] + MOST_GROWTH {
        return Err(format!("{lines} lines, memory {seen:?}").into());
    }
    Ok(())
}

const USED_UP: &str = r"
import errno, socket, sys
def fill():
    there = []
    try:
        while True: there.append(socket.create_connection(('host', int(sys.argv[1])), 20))
    except OSError as e: return there, errno.errorcode[e.errno]
first, error = fill()
print(len(first) > 20, error)
def closed(): [s.close() for s in first]; return len(first)
n = closed()
first, error = fill()
print(abs(len(first) - n) < 4, error)
closed()
socket.create_connection(('host', int(sys.argv[1])), 20).sendall(b'h')
print('goes on')
";

/// Where the host gives no more descriptors, a connection fails with ENOBUFS, and the next one after another's end does
/// not.
fn used_up() -> Result {
    let Some(python) = python() else { return skip("no python3 on this machine") };
    let port = server()?.to_string();
    let litebox = litebox_test_support::litebox();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 256; exec \"$@\"", "sh"]).arg(litebox.get_program()).arg("run");
    command.args(["--ulimit", "nofile=4096:4096", "--allow-net", &format!("host:{port}"), "--"]);
    command.args([python.as_str(), "-c", USED_UP, &port]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = litebox_test_support::program_result::run(command, b"", super::LIMIT)?;
    prints(&outcome, "True ENOBUFS\nTrue ENOBUFS\ngoes on\n")
}

/// A listener in each of several sandboxes, all at once.
fn listeners() -> Result {
    const SANDBOXES: usize = 6;
    let Some(python) = python() else { return skip("no python3 on this machine") };
    let script = "import socket, sys\nl = socket.create_server(('', 80))\nwhile True:\n    c, _ = l.accept()\n    \
        c.sendall(sys.argv[1].encode())\n    c.close()";
    let mut all = Vec::new();
    for number in 0..SANDBOXES {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = litebox_test_support::litebox();
        command.args(["run", "-p", &format!("{port}:80"), "--", &python, "-c", script, &number.to_string()]);
        all.push((port, Running::start(command)?));
    }
    for (port, _) in &all {
        wait_for(*port)?;
    }
    for round in 0..3 {
        for (number, (port, _)) in all.iter().enumerate() {
            let mut answer = String::new();
            TcpStream::connect(("127.0.0.1", *port))?.read_to_string(&mut answer)?;
            if answer != number.to_string() {
                return Err(format!("round {round}, sandbox {number}: {answer:?}").into());
            }
        }
    }
    Ok(())
}

/// What connections cost that do nothing: at most 4 KiB each, both ends together.
fn idle() -> Result {
    const COUNT: u64 = 10_000;
    const MOST: u64 = 4096;
    let dir = fresh_dir("network_idle")?;
    fs::copy(compile::guest("idle_connections.c", Variant::Static, &[])?, dir.join("idle"))?;
    let share = format!("{}:/guests:ro", dir.display());
    let peak = |count: u64| -> std::result::Result<u64, libtest_mimic::Failed> {
        let options = ["--stats=json", "--ulimit", "nofile=30000:30000", "-v", &share];
        let outcome = run(&options, &["/guests/idle", &count.to_string()])?;
        if outcome.out() != format!("{count} connections\n") {
            return Err(format!("{outcome}").into());
        }
        let error = outcome.err();
        let (_, told) = error.split_once("\"peak_memory\":").ok_or("no peak_memory")?;
        let digits: String = told.chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    };
    let (without, with) = (peak(0)?, peak(COUNT)?);
    let each = with.saturating_sub(without) / COUNT;
    println!("{each} bytes each");
    if each <= MOST { Ok(()) } else { Err(format!("{each} bytes each").into()) }
}

pub const TESTS: &[NamedTest] = &[
    ("peers_that_misbehave", peers),
    ("refused_in_thousands", refused),
    ("flood_of_names", name_flood),
    ("descriptors_used_up", used_up),
    ("listeners_in_many", listeners),
    ("idle_connections", idle),
];
