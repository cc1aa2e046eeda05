//! `litebox logs`: what a sandbox in the background has written.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use clap::Args;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Timespec;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::connection::Connection;
use super::directory::{Directory, State};
use super::log::{self, Record, take_records};
use super::status_of;
use super::time::rfc3339;
use litebox_protocol::control::Call;

/// Options of `litebox logs`.
#[derive(Args)]
pub struct Options {
    /// Go on until the sandbox ends.
    #[arg(short, long)]
    follow: bool,
    /// Begin every line with its moment.
    #[arg(short, long)]
    timestamps: bool,
    /// Only so many lines of what there is, or all.
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", value_parser = parse_tail)]
    tail: Tail,
    /// The sandbox.
    name: String,
}

#[derive(Clone, Copy)]
struct Tail(Option<usize>);

fn parse_tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        number => number.parse().map(|lines| Tail(Some(lines))).map_err(|_| "not a number of lines, or all".into()),
    }
}

/// `litebox logs`.
pub fn logs(options: &Options) -> u8 {
    match show(options) {
        Ok(()) => 0,
        Err(why) => status_of(Err(why)),
    }
}

/// Writes records to the streams that they were written to.
struct Printer {
    timestamps: bool,
    /// The next byte of stdout and stderr begins a line.
    begins: [bool; 2],
}

impl Printer {
    /// `false`: nobody reads any more.
    fn print(&mut self, record: &Record) -> bool {
        let mut text = Vec::new();
        for line in record.bytes.split_inclusive(|b| *b == b'\n') {
            if let Some(begins) = self.begins.get_mut(usize::from(record.stream == 2)) {
                if self.timestamps && *begins {
                    text.extend_from_slice(format!("{} ", rfc3339(record.time)).as_bytes());
                }
                *begins = line.ends_with(b"\n");
            }
            text.extend_from_slice(line);
        }
        let written = |to: &mut dyn Write| to.write_all(&text).and_then(|()| to.flush());
        if record.stream == 2 { written(&mut io::stderr()) } else { written(&mut io::stdout()) }.is_ok()
    }
}

/// The last `lines` lines of all records. A line may have come in several, and the last one need not be ended.
fn last_lines(mut records: Vec<Record>, lines: usize) -> Vec<Record> {
    if lines == 0 {
        return Vec::new();
    }
    let (mut seen, mut is_last) = (0, true);
    for at in (0..records.len()).rev() {
        for i in (0..records[at].bytes.len()).rev() {
            if records[at].bytes[i] == b'\n' && !is_last {
                seen += 1;
            }
            is_last = false;
            if seen == lines {
                records[at].bytes.drain(..=i);
                return records.split_off(at);
            }
        }
    }
    records
}

fn show(options: &Options) -> Result<(), String> {
    let directory = Directory::open(&options.name)?;
    if directory.open_file(log::FILE).is_err() {
        return Err(format!("the sandbox {} keeps no log: it runs in the foreground", options.name));
    }
    let mut printer = Printer { timestamps: options.timestamps, begins: [true; 2] };
    if !options.follow {
        let records = log::read_all(&directory);
        let records = match options.tail.0 {
            Some(lines) => last_lines(records, lines),
            None => records,
        };
        let _ = records.iter().all(|record| printer.print(record));
        return Ok(());
    }
    follow(&directory, options, &mut printer).map_err(|e| format!("logs {}: {e}", options.name))
}

/// The file that is being written, and what of it was read but is no whole record yet.
struct Tailed {
    file: File,
    rest: Vec<u8>,
}

impl Tailed {
    fn read(&mut self) -> io::Result<Vec<Record>> {
        self.file.read_to_end(&mut self.rest)?;
        Ok(take_records(&mut self.rest))
    }
}

fn follow(directory: &Directory, options: &Options, printer: &mut Printer) -> io::Result<()> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, directory.file("."), WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
    // Told of the end by the end of the connection. Without one it has ended.
    let connection = Connection::to(directory).ok().filter(|connection| connection.tell(Call::Wait, 0, 0).is_ok());
    let mut before = Vec::new();
    if let Ok(mut file) = directory.open_file(log::BEFORE) {
        file.read_to_end(&mut before)?;
    }
    let mut tailed = Tailed { file: directory.open_file(log::FILE)?, rest: Vec::new() };
    let mut records = take_records(&mut before);
    records.extend(tailed.read()?);
    if let Some(lines) = options.tail.0 {
        records = last_lines(records, lines);
    }
    loop {
        if !records.iter().all(|record| printer.print(record)) {
            return Ok(());
        }
        // Looked at before the file is read the last time.
        let over = connection.is_none() || directory.state() != State::Running;
        records = tailed.read()?;
        if let Ok(now) = directory.open_file(log::FILE) {
            if now.metadata()?.ino() != tailed.file.metadata()?.ino() {
                // The old one is complete: what came between both reads is read first.
                records.extend(tailed.read()?);
                tailed = Tailed { file: now, rest: Vec::new() };
                records.extend(tailed.read()?);
            }
        }
        if !records.is_empty() {
            continue;
        }
        if over {
            return Ok(());
        }
        wait(&watch, connection.as_ref())?;
    }
}

/// Waits until something is written, or the sandbox ends.
fn wait(watch: &rustix::fd::OwnedFd, connection: Option<&Connection>) -> io::Result<()> {
    const SOON: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let mut fds = vec![PollFd::new(watch, PollFlags::IN)];
    fds.extend(connection.map(|connection| PollFd::from_borrowed_fd(connection.fd(), PollFlags::IN)));
    match rustix::event::poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    let ends = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
    let mut events = [0u8; 4096];
    while rustix::io::read(watch, &mut events).is_ok_and(|n| n > 0) {}
    if ends {
        // Its broker is about to go.
        let _ = rustix::event::poll(&mut [], Some(&SOON));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Record, last_lines};

    fn tail(pieces: &[&str], lines: usize) -> String {
        let record = |text: &&str| Record { stream: 1, time: 0, bytes: text.as_bytes().to_vec() };
        let kept = last_lines(pieces.iter().map(record).collect(), lines);
        String::from_utf8(kept.into_iter().flat_map(|record| record.bytes).collect()).unwrap_or_default()
    }

    #[test]
    fn the_last_lines() {
        assert_eq!(tail(&["one\ntwo\n", "three\n"], 2), "two\nthree\n");
        assert_eq!(tail(&["one\ntwo\n", "three\n"], 9), "one\ntwo\nthree\n");
        assert_eq!(tail(&["one\ntwo\nthree"], 1), "three");
        assert_eq!(tail(&["one\ntw", "o\nthree\n"], 2), "two\nthree\n");
        assert_eq!(tail(&["one\n"], 0), "");
        assert_eq!(tail(&[], 3), "");
    }
}
