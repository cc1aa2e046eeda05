//! Benchmarks of connections that leave the sandbox or come into it: the other end is on the host's loopback.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::measure::Bench;
use crate::side::Side;
use crate::suite::WorkDir;

/// The host's loopback, as a sandbox reaches it.
const HOST: &str = "10.0.2.2";
const LOOPBACK: &str = "127.0.0.1";
/// How long a server may take to listen.
const LIMIT: Duration = Duration::from_secs(20);

/// A server that ends with the benchmark.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // A sandbox ends its programs when it is asked to.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::TERM);
        drop(self.0.wait());
    }
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((LOOPBACK, 0))?.local_addr()?.port())
}

fn wait_for(port: u16) -> Result<(), Failure> {
    let begin = Instant::now();
    while TcpStream::connect((LOOPBACK, port)).is_err() {
        if begin.elapsed() > LIMIT {
            return Err(format!("nobody listens on port {port}").into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn with_port(words: &[&str], port: u16) -> Vec<String> {
    words.iter().map(|word| word.replace("PORT", &port.to_string())).collect()
}

impl Bench {
    /// A client on `side` of a server on the host: what it measured.
    pub fn leaving(&self, side: Side, what: &str) -> Result<String, Failure> {
        let mut server = Command::new(self.program("net")).args(["serve", "0"]).stdout(Stdio::piped()).spawn()?;
        let output = server.stdout.take().ok_or("no stdout")?;
        let server = Server(server);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let port = line.trim();
        let address = if side == Side::Host { LOOPBACK } else { HOST };
        let options = ["--allow-net".to_string(), format!("host:{port}")];
        let printed = self.run_with(side, &options, WorkDir::Memory, &["@net", what, address, port])?.1;
        drop(server);
        Ok(printed)
    }

    /// A client on the host of a server on `side`, with `PORT` in both command lines: what it measured.
    pub fn coming(&self, side: Side, server: &[&str], client: &[&str]) -> Result<String, Failure> {
        let port = free_port()?;
        let words = |words| with_port(words, port);
        let (server, client) = (words(server), words(client));
        let options = ["-p".to_string(), format!("{port}:{port}")];
        let server: Vec<_> = server.iter().map(String::as_str).collect();
        let client: Vec<_> = client.iter().map(String::as_str).collect();
        let mut command = self.command(side, &options, WorkDir::Memory, &server);
        let running = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
        wait_for(port)?;
        let printed = self.run(Side::Host, WorkDir::Memory, &client)?.1;
        drop(running);
        Ok(printed)
    }
}
