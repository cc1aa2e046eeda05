//! `--net tun=NAME`, each test in a network namespace of its own. They are skipped only where the kernel refuses such
//! namespaces or TUN devices to this user.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use litebox_test_support::tun_space::{DEVICE, HOST, SANDBOX, TunSpace};
use litebox_test_support::{Result, find_program, program_result, skip};

const LIMIT: Duration = Duration::from_secs(90);
const SETUP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../litebox_platform_linux_userland/scripts/tun-setup.sh");
const SCRIPT: &str = include_str!("../programs/wire.py");
const PYTHON: &str = "/usr/bin/python3";

/// A server that was started and said that it is ready; it is killed with this.
struct Server(Child);

impl Server {
    fn start(mut command: Command, ready: &str) -> std::io::Result<Self> {
        let mut server = Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?);
        let mut lines = BufReader::new(server.0.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?);
        let mut line = String::new();
        while !line.contains(ready) {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                return Err(std::io::Error::other(format!("the server ended before it said {ready:?}")));
            }
        }
        // It goes on saying things that nobody reads.
        std::thread::spawn(move || drop(std::io::copy(&mut lines, &mut std::io::sink())));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).unwrap_or(0);
        // SAFETY: a signal to a child that was not waited for.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let _ = program_result::wait(&mut self.0, Duration::from_secs(10));
    }
}

/// The rate that iperf3's client tells for the receiver, as it prints it.
fn rate(told: &str) -> Option<&str> {
    let line = told.lines().rfind(|line| line.ends_with("receiver"))?;
    let start = line.find("Bytes")? + "Bytes".len();
    let rate = line.get(start..line.find("/sec")?)?.trim();
    (rate.split(' ').next()?.parse::<f64>().ok()? > 0.0).then_some(rate)
}

/// Real iperf3, its server in the sandbox: data to it and from it.
pub fn test_tun_and_runner_with_iperf3() -> Result {
    if find_program(&["/usr/bin/iperf3"]).is_none() {
        return skip("no iperf3 on this machine");
    }
    let space = match TunSpace::make(&[]) {
        Ok(space) => space,
        Err(none) => return none.end(),
    };
    let server = space.litebox(&["/usr/bin/iperf3", "--server", "--forceflush"]);
    let _server = Server::start(server, "Server listening")?;
    let seconds = if cfg!(debug_assertions) { "1" } else { "5" };
    for (way, options) in [("to the sandbox", &[][..]), ("from the sandbox", &["--reverse"])] {
        let mut client = space.command("/usr/bin/iperf3");
        client.args(["--client", SANDBOX, "--time", seconds]).args(options);
        client.stdout(Stdio::piped()).stderr(Stdio::piped());
        let outcome = program_result::run(client, b"", LIMIT)?;
        let told = outcome.out();
        let rate = rate(&told).filter(|_| outcome.status == 0).ok_or_else(|| outcome.to_string())?;
        println!("iperf3 {way}: {rate}/s");
    }
    Ok(())
}

/// Runs the client of `wire.py` on the host and in the sandbox, against the same server on the host.
fn same_by_packets(options: &[&str]) -> Result {
    let space = match TunSpace::make(options) {
        Ok(space) => space,
        Err(none) => return none.end(),
    };
    if !Path::new(PYTHON).exists() {
        return skip("no python3 on this machine");
    }
    let mut server = space.command(PYTHON);
    server.args(["-c", SCRIPT, "serve"]);
    let _server = Server::start(server, "ready")?;
    let mut on_host = space.command(PYTHON);
    on_host.args(["-c", SCRIPT, "client"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let host = program_result::run(on_host, b"", LIMIT)?;
    let sandbox = program_result::run(space.litebox(&[PYTHON, "-c", SCRIPT, "client"]), b"", LIMIT)?;
    if host.status != 0 {
        return Err(format!("on the host: {host}").into());
    }
    program_result::compare(&host, &sandbox, true)
}

pub fn connections_by_packets() -> Result {
    same_by_packets(&[])
}

/// Long segments are cut by the host, and datagrams come in pieces.
pub fn short_packets() -> Result {
    same_by_packets(&["--mtu", "1500"])
}

/// Servers in the sandbox: peers see their ends, refusals, and answers to pings; the program sees its peers.
pub fn servers_behind_a_device() -> Result {
    const SERVER: &str = "import socket, struct\n\
        s = socket.create_server(('', 7000), backlog=2)\n\
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        u.bind(('', 7001))\n\
        print('ready', flush=True)\n\
        c, peer = s.accept()\n\
        c.sendall(repr((peer[0], c.getsockname(), c.recv(5))).encode())\n\
        c.close()\n\
        d, peer = u.recvfrom(100000)\n\
        u.sendto(repr((peer[0], len(d))).encode(), peer)\n\
        c, _ = s.accept()\n\
        c.recv(1)\n\
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n\
        c.close()\n\
        u.recvfrom(1)\n";
    const CLIENT: &str = "import socket\n\
        at = '10.0.0.2'\n\
        s = socket.create_connection((at, 7000))\n\
        s.sendall(b'hello')\n\
        print(s.recv(1000).decode(), s.recv(1))\n\
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        u.settimeout(10)\n\
        u.sendto(b'x' * 60000, (at, 7001))\n\
        print(u.recv(1000).decode())\n\
        def tried(call, *arguments):\n\
        \x20   try: return call(*arguments)\n\
        \x20   except OSError as e: return e.strerror\n\
        print(tried(socket.create_connection, (at, 7005)))\n\
        n = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        n.settimeout(10)\n\
        n.connect((at, 7005))\n\
        n.send(b'x')\n\
        print(tried(n.recv, 1))\n\
        p = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\n\
        p.settimeout(10)\n\
        p.sendto(bytes([8, 0, 0xf7, 0xfd, 0, 1, 0, 1]), (at, 0))\n\
        print(p.recv(100)[20:].hex())\n\
        s = socket.create_connection((at, 7000))\n\
        s.sendall(b'x')\n\
        print(tried(s.recv, 1))\n\
        u.sendto(b'', (at, 7001))\n";
    const EXPECTED: &str = "('10.0.0.1', ('10.0.0.2', 7000), b'hello') b''\n\
        ('10.0.0.1', 60000)\n\
        Connection refused\n\
        Connection refused\n\
        0000fffd00010001\n\
        Connection reset by peer\n";
    let space = match TunSpace::make(&["--mtu", "1500"]) {
        Ok(space) => space,
        Err(none) => return none.end(),
    };
    let _server = Server::start(space.litebox(&[PYTHON, "-c", SERVER]), "ready")?;
    let mut client = space.command(PYTHON);
    client.args(["-c", CLIENT]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = program_result::run(client, b"", LIMIT)?;
    if outcome.status != 0 || outcome.out() != EXPECTED {
        return Err(format!("expected {EXPECTED}{outcome}").into());
    }
    Ok(())
}

/// The script says what it does, does it once, and undoes it.
pub fn the_device_is_made_once() -> Result {
    let space = match TunSpace::make(&[]) {
        Ok(space) => space,
        Err(none) => return none.end(),
    };
    let say = |arguments: &[&str]| -> std::io::Result<String> {
        let output = space.command(SETUP).args(arguments).output()?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let up = format!("tun-setup: {DEVICE} is up, with packets of up to 65535 bytes: litebox run --net tun={DEVICE}\n");
    let expected = [
        (&[][..], format!("tun-setup: {DEVICE} is there already\ntun-setup: {DEVICE} has {HOST}/24 already\n{up}")),
        (&["--down"], format!("tun-setup: took {DEVICE} away\n")),
        (&["--down"], format!("tun-setup: {DEVICE} is not there: nothing to do\n")),
        (&["a/b"], "tun-setup: a/b: not a name of a network device\n".to_owned()),
        (&["lo"], "tun-setup: lo is there, and is no TUN device\n".to_owned()),
        (&["--mtu", "70000"], "tun-setup: --mtu 70000: not between 1280 and 65535\n".to_owned()),
    ];
    for (arguments, expected) in expected {
        let said = say(arguments)?;
        if said != expected {
            return Err(format!("{arguments:?}: expected {expected:?}, found {said:?}").into());
        }
    }
    let refused = program_result::run(space.litebox(&["/bin/true"]), b"", LIMIT)?;
    let line = format!("litebox: --net tun={DEVICE}: there is no such TUN device");
    if refused.status != 125 || !refused.err().starts_with(&line) {
        return Err(format!("expected {line}: {refused}").into());
    }
    Ok(())
}
