//! `litebox run --join`: a container of a sandbox that runs (`docs/oci.md`). It is prepared as a sandbox of its own
//! would be; then the broker of the other one is given its directories, and has it started there.

use std::os::fd::OwnedFd;

use litebox_protocol::control::{MAX_GRANTS, Separate, StartFlags, StartHead, ViewHead, What};
use zerocopy::IntoBytes;

use litebox_broker::beneath::Grant;

use crate::message::say;
use crate::named::connection::{Connection, Start};
use crate::named::exec::status_of;
use crate::named::relay::{self, Carried, Raw, Streams};
use crate::options::Options;
use crate::{STATUS_OURS, run};

/// The number of the container's first program on its connection: there is one.
const PROGRAM: u32 = 1;
/// Signals that stay with this process: those that nobody can take, and those that are its own.
const OWN_SIGNALS: [i32; 5] = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGPIPE, libc::SIGWINCH];

/// Runs the container to its end; returns the exit status of its first program. `ready` gets a byte when that runs.
pub fn join(options: &Options, sandbox: &str, container: &str, ready: Option<OwnedFd>) -> u8 {
    match run(options, sandbox, container, ready) {
        Ok(status) => status,
        Err(why) => {
            say(&why);
            STATUS_OURS
        }
    }
}

fn run(options: &Options, sandbox: &str, container: &str, ready: Option<OwnedFd>) -> Result<u8, String> {
    let (config, grants) = run::container_config(options)?;
    // The broker of the sandbox is told nothing of what a grant does not show.
    let shows_all = |grant: &Grant| !grant.visibility.others_only && grant.visibility.hidden.is_empty();
    if options.files.rootfs.is_none() || !grants.iter().all(shows_all) {
        return Err("--join needs --rootfs, and goes with no --hide".into());
    }
    if grants.len() > MAX_GRANTS {
        return Err(format!("more than {MAX_GRANTS} volumes"));
    }
    let mut connection = Connection::open(sandbox)?;
    let separate = options.process.separate.iter().fold(Separate::empty(), |all, part| all | *part);
    let head = ViewHead { separate: separate.bits(), grants: grants.len() as u32 };
    let mut view = head.as_bytes().to_vec();
    for grant in &grants {
        view.extend_from_slice(connection.grant(PROGRAM, grant)?.as_bytes());
    }
    // The broker has them now.
    drop(grants);
    view.extend_from_slice(&config);
    let terminal = options.process.tty;
    let window = terminal && relay::is_terminal(0);
    let (rows, columns) = if window { relay::window() } else { (24, 80) };
    let mut flags = StartFlags::IN_CONTAINER;
    flags.set(StartFlags::TERMINAL, terminal);
    let head = StartHead { what: What::Container as u32, flags: flags.bits(), rows, columns, ..StartHead::default() };
    let start = Start {
        head,
        container: container.as_bytes(),
        arguments: &[container.as_bytes().to_vec()],
        view: &view,
        ..Start::default()
    };
    let streams = Streams::new(true).map_err(|e| format!("the container's streams: {e}"))?;
    connection.start(PROGRAM, &start, streams.theirs())?;
    let raw = window.then(Raw::begin).flatten();
    let signals: Vec<i32> = (1..=libc::SIGRTMAX()).filter(|signal| !OWN_SIGNALS.contains(signal)).collect();
    let outcome = relay::run(&mut connection, PROGRAM, streams, &Carried { window, signals: &signals, ready });
    drop(raw);
    Ok(status_of(outcome?, sandbox))
}
