//! A program in a sandbox whose streams are ours: what `litebox cp` and `top` are made of.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use litebox_broker::server::exit_status;
use litebox_protocol::control::{StartHead, What};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use super::connection::{Connection, Heard, Start};
use super::relay::null;

const PROGRAM: u32 = 1;
/// Bytes of what a program says of an error that are kept.
const MOST_SAID: u64 = 64 << 10;

/// A program that runs.
pub struct Piped {
    connection: Connection,
    /// What it reads; drop it to end that.
    pub input: Option<File>,
    /// What it writes.
    pub output: File,
    errors: JoinHandle<Vec<u8>>,
}

impl Piped {
    /// Starts a program. With `reads` it reads what is written to [`Piped::input`].
    pub fn start(name: &str, words: &[&[u8]], reads: bool) -> Result<Self, String> {
        let mut connection = Connection::open(name)?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| format!("pipe: {e}"));
        let (output, their_output) = pipe()?;
        let (errors, their_errors) = pipe()?;
        let (their_input, input) = if reads {
            let (read, write) = pipe()?;
            (read, Some(File::from(write)))
        } else {
            (null(OFlags::RDONLY).map_err(|e| format!("/dev/null: {e}"))?, None)
        };
        let arguments: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        let head = StartHead { what: What::Program as u32, ..StartHead::default() };
        let start = Start { head, arguments: &arguments, ..Start::default() };
        let theirs: [OwnedFd; 3] = [their_input, their_output, their_errors];
        connection.start(PROGRAM, &start, theirs.each_ref().map(AsFd::as_fd))?;
        drop(theirs);
        let errors = std::thread::spawn(move || {
            let mut said = Vec::new();
            let mut errors = File::from(errors);
            // What is too much is read all the same, or the program would wait.
            let _ = (&mut errors).take(MOST_SAID).read_to_end(&mut said);
            let _ = io::copy(&mut errors, &mut io::sink());
            said
        });
        Ok(Self { connection, input, output: File::from(output), errors })
    }

    /// Waits for its end. An error is what it said, or why it was not started.
    pub fn finish(mut self) -> Result<(), String> {
        self.input = None;
        let status = loop {
            match self.connection.next()? {
                Heard::Ended(_, why) if !why.is_empty() => return Err(why),
                Heard::Ended(status, _) => break exit_status(status),
                Heard::Over(_) => return Err("the sandbox has ended".into()),
                _ => {}
            }
        };
        drop(self.output);
        let said = self.errors.join().unwrap_or_default();
        if status == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        let first = said.lines().next().unwrap_or_default();
        Err(if first.is_empty() { format!("it ended with status {status}") } else { first.to_string() })
    }
}
