//! The network as it is used: programs that people run, through the broker, to servers on the host's loopback
//! (`clients`); peers that misbehave, and more of everything than anybody needs (`load`); much traffic (`bulk`).

#[path = "network_in_use/bulk.rs"]
mod bulk;
#[path = "network_in_use/clients.rs"]
mod clients;
#[path = "network_in_use/load.rs"]
mod load;

use std::io;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use litebox_test_support::{ProgramResult, Result, find_program, program_result};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);
const PYTHON: [&str; 2] = ["/usr/bin/python3", "/usr/local/bin/python3"];

/// The path of python3, if there is one.
fn python() -> Option<String> {
    find_program(&PYTHON).map(|path| path.display().to_string())
}

fn run(options: &[&str], program: &[&str]) -> io::Result<ProgramResult> {
    let mut command = litebox_test_support::litebox();
    command.arg("run").args(options).arg("--").args(program);
    program_result::run(command, b"", LIMIT)
}

/// Fails unless the outcome is this output and status 0.
fn prints(outcome: &ProgramResult, expected: &str) -> Result {
    if outcome.status == 0 && outcome.out() == expected {
        return Ok(());
    }
    Err(format!("expected {expected:?}\n{outcome}").into())
}

/// Something that is ended with the test.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().map(Self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Waits until somebody listens on a port of the loopback.
fn wait_for(port: u16) -> Result {
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begin.elapsed() > LIMIT {
            return Err(format!("nobody listens on port {port}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn main() {
    litebox_test_support::run_table(&[bulk::TESTS, clients::TESTS, load::TESTS].concat());
}
