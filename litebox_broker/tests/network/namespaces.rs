//! Two network namespaces with a link between them, and servers in one of them.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A port of the loopback that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// One for the service (198.51.100.1), one for the servers, which is its way to everywhere.
pub struct Namespaces {
    service: String,
    servers: String,
}

fn ip(arguments: &str) -> bool {
    let command = Command::new("ip").args(arguments.split_whitespace()).stderr(Stdio::null()).status();
    command.is_ok_and(|status| status.success())
}

impl Namespaces {
    /// `None`, with a line: the kernel lets this user make none.
    pub fn make() -> Option<Self> {
        let allowed = Command::new("unshare").args(["--net", "--mount", "true"]).stderr(Stdio::null()).status();
        if !allowed.is_ok_and(|status| status.success()) {
            println!("skipped: this user may make no network namespace");
            return None;
        }
        let number = std::process::id();
        let (service, servers) = (format!("lb-{number}-a"), format!("lb-{number}-b"));
        assert!(ip(&format!("netns add {service}")), "a namespace");
        let this = Self { service, servers };
        let (a, b) = (&this.service, &this.servers);
        assert!(ip(&format!("netns add {b}")), "a second namespace");
        assert!(ip(&format!("link add veth0 netns {a} type veth peer name veth0 netns {b}")), "a link");
        for (space, address) in [(a, "198.51.100.1/24"), (b, "198.51.100.2/24")] {
            assert!(ip(&format!("-n {space} addr add {address} dev veth0")), "an address");
            assert!(ip(&format!("-n {space} link set veth0 up")) && ip(&format!("-n {space} link set lo up")), "links");
        }
        assert!(ip(&format!("-n {a} route add default via 198.51.100.2")), "a route");
        Some(this)
    }

    /// Runs `what` in a thread of that namespace; threads it starts are there too.
    fn inside<T: Send + 'static>(name: &str, what: impl FnOnce() -> T + Send + 'static) -> T {
        let space = File::open(format!("/run/netns/{name}")).expect("a namespace");
        let thread = std::thread::spawn(move || {
            // SAFETY: setns(2) touches no memory.
            assert_eq!(unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
            what()
        });
        thread.join().expect("a thread")
    }
    /// Runs it where the service is.
    pub fn inside_service<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        Self::inside(&self.service, what)
    }
    /// Runs it where the servers are.
    pub fn inside_servers<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        Self::inside(&self.servers, what)
    }

    /// A command in the service's namespace.
    pub fn command_of_service(&self, program: &str) -> Command {
        Self::command(&self.service, program)
    }
    /// A command in the servers' namespace.
    pub fn command_of_servers(&self, program: &str) -> Command {
        Self::command(&self.servers, program)
    }
    fn command(space: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", space, program]);
        command
    }

    /// The servers have one more address.
    pub fn give_servers(&self, address: &str) {
        assert!(ip(&format!("-n {} addr add {address}/32 dev lo", self.servers)), "{address}");
    }

    /// Servers at these addresses, on ports 80 and 443, that tell what connections brought until they ended.
    pub fn servers(&self, addresses: &[&str]) -> Servers {
        let (sender, receiver) = channel();
        for address in addresses {
            if *address != "198.51.100.2" {
                self.give_servers(address);
            }
            for port in [80, 443] {
                let at: SocketAddr = format!("{address}:{port}").parse().expect("an address");
                let sender = sender.clone();
                self.inside_servers(move || {
                    let listener = TcpListener::bind(at).expect("a listener");
                    std::thread::spawn(move || serve(&listener, at, &sender));
                });
            }
        }
        Servers(Mutex::new(receiver))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.service));
        ip(&format!("netns del {}", self.servers));
    }
}

type Brought = (SocketAddr, Vec<u8>);

fn serve(listener: &TcpListener, at: SocketAddr, sender: &Sender<Brought>) {
    while let Ok((mut stream, _)) = listener.accept() {
        let mut bytes = Vec::new();
        // A reset ends it too.
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        let _ = stream.read_to_end(&mut bytes);
        if sender.send((at, bytes)).is_err() {
            return;
        }
    }
}

/// What they were brought.
pub struct Servers(Mutex<Receiver<Brought>>);

impl Servers {
    /// By the next connection that ended.
    pub fn next(&self) -> Brought {
        self.0.lock().expect("a receiver").recv_timeout(Duration::from_secs(60)).expect("a connection")
    }
    /// Nobody is connected, and nobody was.
    pub fn nobody_came(&self) -> bool {
        let next = self.0.lock().expect("a receiver").recv_timeout(Duration::from_millis(50));
        matches!(next, Err(RecvTimeoutError::Timeout))
    }
}
