//! What a sandbox in the background writes: a file of records, and the thread that fills it.
//!
//! A record is its length in bytes (32 bits), the stream (32 bits: 1 or 2), the moment (64 bits: nanoseconds since
//! 1970), all in machine byte order, and the bytes. A file that has become long is renamed and a new one begun, so both
//! together stay below a bound, whatever the program writes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::io::Errno;

use super::directory::Directory;
use super::time::now;

/// The file that is written.
pub const FILE: &str = "log";
/// The one before it.
pub const BEFORE: &str = "log.1";
/// How long one becomes.
const MOST_BYTES: u64 = 8 << 20;
/// Bytes of a record at most.
const CHUNK: usize = 16 << 10;
const HEAD: usize = 16;

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// 1 or 2.
    pub stream: u32,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// Takes records out of `bytes`, as far as they are whole.
pub fn take_records(bytes: &mut Vec<u8>) -> Vec<Record> {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some((head, rest)) = bytes.get(at..).and_then(|rest| rest.split_first_chunk::<HEAD>()) {
        let word = |from: usize| head.get(from..from + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_ne_bytes);
        let len = word(0) as usize;
        let Some(content) = rest.get(..len) else { break };
        let time = u64::from(word(8)) | u64::from(word(12)) << 32;
        records.push(Record { stream: word(4), time, bytes: content.to_vec() });
        at += HEAD + len;
    }
    bytes.drain(..at);
    records
}

/// All records of a sandbox that has ended, or so far.
pub fn read_all(directory: &Directory) -> Vec<Record> {
    let mut all = Vec::new();
    for name in [BEFORE, FILE] {
        let mut bytes = Vec::new();
        if directory.open_file(name).and_then(|mut file| file.read_to_end(&mut bytes)).is_ok() {
            all.extend(take_records(&mut bytes));
        }
    }
    all
}

/// The file, and how long it is.
struct Writer {
    file: File,
    len: u64,
    path: PathBuf,
    before: PathBuf,
}

fn create(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
}

impl Writer {
    fn new(directory: &Directory) -> io::Result<Self> {
        let path = directory.file(FILE);
        Ok(Self { file: create(&path)?, len: 0, path, before: directory.file(BEFORE) })
    }

    /// Writes a record. One that the disk has no room for is lost; the program goes on.
    fn write(&mut self, stream: u32, bytes: &[u8]) {
        if self.len >= MOST_BYTES && std::fs::rename(&self.path, &self.before).is_ok() {
            if let Ok(file) = create(&self.path) {
                (self.file, self.len) = (file, 0);
            }
        }
        let len = u32::try_from(bytes.len()).unwrap_or(0);
        let head = [len.to_ne_bytes(), stream.to_ne_bytes()].concat();
        let record = [head.as_slice(), &now().to_ne_bytes(), bytes].concat();
        if self.file.write_all(&record).is_ok() {
            self.len += record.len() as u64;
        } else {
            // No half record is left where others follow.
            let _ = self.file.set_len(self.len);
            let _ = io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.len));
        }
    }
}

/// The thread that writes.
pub struct Log {
    stop: OwnedFd,
    thread: JoinHandle<()>,
}

impl Log {
    /// Begins to write what comes out of both pipes. No signal is for the thread.
    pub fn start(directory: &Directory, streams: [OwnedFd; 2]) -> io::Result<Self> {
        let mut writer = Writer::new(directory)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let stopped = stop.try_clone()?;
        for stream in &streams {
            rustix::io::ioctl_fionbio(stream, true)?;
        }
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: both sets are filled in before they are read. The mask is the calling thread's, and is given back.
        let thread = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::sigemptyset(before.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            let spawned = std::thread::Builder::new().name("litebox-log".into()).stack_size(128 << 10);
            let thread = spawned.spawn(move || copy(&mut writer, &streams, &stopped));
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
            thread?
        };
        Ok(Self { stop, thread })
    }

    /// Nobody writes any more: what is in the pipes is still written.
    pub fn finish(self) {
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        let _ = self.thread.join();
    }
}

/// Copies until it is told to stop, and then what is there.
fn copy(writer: &mut Writer, streams: &[OwnedFd; 2], stop: &OwnedFd) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let [output, errors] = streams.each_ref().map(|fd| PollFd::new(fd, PollFlags::IN));
        let mut polled = [output, errors, PollFd::new(stop, PollFlags::IN)];
        match rustix::event::poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let last = !polled[2].revents().is_empty();
        loop {
            let mut some = false;
            for (number, stream) in (1u32..).zip(streams) {
                if let Ok(n @ 1..) = rustix::io::read(stream.as_fd(), &mut buffer) {
                    writer.write(number, buffer.get(..n).unwrap_or_default());
                    some = true;
                }
            }
            if !some {
                break;
            }
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, take_records};

    #[test]
    fn records_are_whole_or_wait() {
        let record = |text: &str, stream: u32| {
            let head = [(text.len() as u32).to_ne_bytes(), stream.to_ne_bytes()].concat();
            [head.as_slice(), &77u64.to_ne_bytes(), text.as_bytes()].concat()
        };
        let mut bytes = [record("one\n", 1), record("", 2)].concat();
        bytes.extend(&record("three", 2)[..18]);
        let expected = [(1, "one\n"), (2, "")].map(|(stream, text)| Record { stream, time: 77, bytes: text.into() });
        assert_eq!(take_records(&mut bytes), expected);
        assert_eq!(bytes.len(), 18);
        bytes.extend(&record("three", 2)[18..]);
        assert_eq!(take_records(&mut bytes), [Record { stream: 2, time: 77, bytes: b"three".to_vec() }]);
        assert!(bytes.is_empty());
    }
}
