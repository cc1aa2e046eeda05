//! What a program asks for at its start, answered before it asks.
//!
//! A program begins with much the same requests each time: its interpreter, its libraries, names that are not there.
//! The runner keeps them ([`Requests`]) from one start to the next. While the supervisor still starts, the broker looks
//! all of them up anew and sends the answers on the socket for readers ([`litebox_protocol::Ahead`]), where the sandbox
//! finds them.
//!
//! Nothing that was kept is believed. It is requests, which any guest could make: each is taken apart, checked and
//! answered as one that came on that socket. They concern trees of the default view alone, which nobody named, and in
//! which nobody expects the change of a moment ago.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox_protocol::{Ahead, MAX_AHEAD, Reply, Request};
use zerocopy::IntoBytes;

use crate::beneath::{Access, Grant};
use crate::files::Files;
use crate::message::{ParsedRequest, ReplyBuilder};
use crate::replies::Replies;
use crate::socket::send;

/// What a file of requests begins with. Another layout of requests gets another number.
const MAGIC: &[u8] = b"litebox requests 1\n";
/// Most bytes of such a file.
pub const MAX_FILE: usize = 64 << 10;
/// Longer requests are not kept.
const LONGEST: usize = 1024;
/// When more than one in so many was not foreseen, what was kept is replaced.
const FORESEEN: usize = 8;

/// Requests in the order in which they are made, each with the number 0.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Requests(Vec<Vec<u8>>);

impl Requests {
    /// From the bytes of a file, which may be anybody's. One that is not well-formed has none.
    pub fn parse(file: &[u8]) -> Self {
        let parse = || {
            let mut rest = file.strip_prefix(MAGIC).filter(|_| file.len() <= MAX_FILE)?;
            let mut requests = Vec::new();
            while let Some((len, behind)) = rest.split_first_chunk() {
                let (request, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
                requests.push(request.to_vec());
                rest = behind;
            }
            let fit = requests.len() <= MAX_AHEAD && requests.iter().all(|request| grant_number(request).is_some());
            (rest.is_empty() && fit).then_some(requests)
        };
        Self(parse().unwrap_or_default())
    }

    /// As the bytes of a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        for request in &self.0 {
            file.extend_from_slice(&len_of(request).to_le_bytes());
            file.extend_from_slice(request);
        }
        file
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves out what may not be asked ahead of these grants.
    pub fn retain(&mut self, files: &Files) {
        let may = |request: &[u8]| grant_number(request).and_then(|n| files.grants().get(n)).is_some_and(may_be_ahead);
        self.0.retain(|request| may(request));
    }

    /// Answers them on the socket for readers, as far as that takes answers without waiting, and then says that there
    /// are no more.
    pub fn answer(&self, files: &Files, socket: BorrowedFd<'_>, replies: &mut Replies) {
        make_room(socket);
        files.in_a_row(|| self.send_answers(files, socket));
        replies.send(socket, Reply::default().as_bytes(), None);
    }

    fn send_answers(&self, files: &Files, socket: BorrowedFd<'_>) {
        let (mut builder, mut message) = (ReplyBuilder::default(), Vec::new());
        for request in &self.0 {
            let (reply, passed) = files.serve(request, &mut builder);
            let head = Ahead { request_len: len_of(request), reply_len: len_of(reply) };
            message.clear();
            for part in [head.as_bytes(), request, reply] {
                message.extend_from_slice(part);
            }
            if send(socket, &message, passed.as_ref().map(OwnedFd::as_fd)).is_err() {
                break;
            }
        }
    }
}

/// Has the socket take most answers although nobody reads yet. The host gives less to a user who may not have so much.
fn make_room(socket: BorrowedFd<'_>) {
    const ROOM: usize = 1 << 20;
    if rustix::net::sockopt::set_socket_send_buffer_size_force(socket, ROOM).is_err() {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(socket, ROOM);
    }
}

fn len_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Whether requests about it are answered ahead: it is a tree of the default view.
fn may_be_ahead(grant: &Grant) -> bool {
    grant.image && grant.access != Access::ReadWrite && grant.visibility.others_only
}

/// Which grant a request is about that may be kept.
fn grant_number(request: &[u8]) -> Option<usize> {
    let parsed = ParsedRequest::parse(request, None).ok()?;
    let kept = request.len() <= LONGEST && parsed.op.reads() && parsed.head.number == 0;
    kept.then_some(parsed.head.grant as usize)
}

/// What is learned in one start for the next.
#[derive(Debug, Default)]
pub struct Learning {
    /// What was answered ahead.
    foreseen: Requests,
    /// What was asked all the same.
    asked: Vec<Vec<u8>>,
    /// Which of `foreseen` were of use, a bit each; `None`: nobody said.
    used: Option<Vec<u8>>,
}

impl Learning {
    /// After these were answered ahead.
    pub fn new(foreseen: Requests) -> Self {
        Self { foreseen, asked: Vec::new(), used: None }
    }

    /// Notes a request that came, about `grant`.
    pub fn note(&mut self, request: &ParsedRequest<'_>, grant: &Grant) {
        if self.asked.len() >= MAX_AHEAD || !request.op.reads() || request.came.is_some() || !may_be_ahead(grant) {
            return;
        }
        let head = Request { number: 0, ..request.head };
        let whole = [head.as_bytes(), request.path, request.extra].concat();
        if whole.len() <= LONGEST {
            self.asked.push(whole);
        }
    }

    /// Notes which answers were of use.
    pub fn note_used(&mut self, bits: &[u8]) {
        self.used = Some(bits.get(..MAX_AHEAD / 8).unwrap_or(bits).to_vec());
    }

    /// What is to be kept for the next start; `None`: what is kept is good, or the program did not end by itself.
    pub fn outcome(self) -> Option<Requests> {
        let Self { foreseen, asked, used } = self;
        let used = used?;
        let is_used = |n: usize| used.get(n / 8).is_some_and(|byte| byte >> (n % 8) & 1 == 1);
        let mut kept: Vec<_> =
            foreseen.0.into_iter().enumerate().filter_map(|(n, request)| is_used(n).then_some(request)).collect();
        if asked.len() * FORESEEN <= kept.len() {
            return None;
        }
        kept.extend(asked);
        kept.truncate(MAX_AHEAD);
        let mut room = MAX_FILE - MAGIC.len();
        let mut fits = |request: &Vec<u8>| {
            let left = room.checked_sub(size_of::<u32>() + request.len());
            room = left.unwrap_or(0);
            left.is_some()
        };
        let count = kept.iter().take_while(|request| fits(request)).count();
        kept.truncate(count);
        Some(Requests(kept))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use litebox_protocol::{Ahead, Op, Reply, Request};
    use zerocopy::{FromBytes, IntoBytes};

    use super::{Learning, MAGIC, MAX_FILE, Requests};
    use crate::beneath::{Access, Grant};
    use crate::files::Files;
    use crate::message::ParsedRequest;
    use crate::replies::Replies;
    use crate::visibility::Visibility;

    fn request(op: Op, path: &str) -> Vec<u8> {
        let head = Request { op: op as u32, path_len: path.len() as u32, ..Request::default() };
        [head.as_bytes(), path.as_bytes()].concat()
    }

    fn requests(paths: &[&str]) -> Requests {
        Requests(paths.iter().map(|path| request(Op::Walk, path)).collect())
    }

    fn grant(others_only: bool, access: Access) -> Grant {
        let root = std::fs::File::open("/").unwrap_or_else(|e| panic!("{e}"));
        let grant = Grant::directory(root.into(), access, access != Access::ReadWrite);
        let grant = grant.unwrap_or_else(|e| panic!("{e}"));
        grant.showing(Visibility { others_only, ..Visibility::default() })
    }

    fn learned(foreseen: &[&str], used: Option<&[u8]>, asked: &[&str]) -> Option<Requests> {
        let mut learning = Learning::new(requests(foreseen));
        for path in asked {
            let message = request(Op::Walk, path);
            let parsed = ParsedRequest::parse(&message, None).unwrap_or_else(|e| panic!("{e}"));
            learning.note(&parsed, &grant(true, Access::ReadOnly));
        }
        if let Some(used) = used {
            learning.note_used(used);
        }
        learning.outcome()
    }

    #[test]
    fn a_file_is_what_was_kept_or_nothing() {
        let kept = requests(&["usr/bin", "lib/libc.so.6", ""]);
        let file = kept.encode();
        assert_eq!(Requests::parse(&file), kept);
        assert!(Requests::parse(b"").is_empty());
        for len in 0..file.len() {
            let part = Requests::parse(&file[..len]);
            assert!(part.is_empty() || part.encode() == file[..len]);
        }
        // Each byte changed: nothing that is longer, and nothing that changes a tree.
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                let parsed = Requests::parse(&changed);
                assert!(parsed.is_empty() || parsed.0.len() == kept.0.len());
                let reads = |r: &Vec<u8>| ParsedRequest::parse(r, None).is_ok_and(|r| r.op.reads());
                assert!(parsed.0.iter().all(reads));
            }
        }
        let removes = Requests(vec![request(Op::Unlink, "usr/bin")]);
        assert!(Requests::parse(&removes.encode()).is_empty());
        let mut numbered = request(Op::Walk, "a");
        numbered[64] = 1;
        assert!(Requests::parse(&Requests(vec![numbered]).encode()).is_empty());
        assert!(Requests::parse(&[MAGIC, &vec![0; MAX_FILE]].concat()).is_empty());
        assert!(Requests::parse(&requests(&["a"; 257]).encode()).is_empty());
    }

    #[test]
    fn what_was_not_foreseen_replaces_what_was_not_used() {
        assert_eq!(learned(&[], Some(&[]), &["a", "b"]), Some(requests(&["a", "b"])));
        // A program that was killed says nothing.
        assert_eq!(learned(&[], None, &["a", "b"]), None);
        assert_eq!(learned(&["a", "b", "c"], Some(&[0b101]), &["d"]), Some(requests(&["a", "c", "d"])));
        // Little is new: the file stays.
        assert_eq!(learned(&["a", "b", "c", "d", "e", "f", "g", "h"], Some(&[0xff]), &["i"]), None);
        assert_eq!(learned(&["a", "b"], Some(&[0b11]), &[]), None);
        // Bits for what was never sent.
        assert_eq!(learned(&["a"], Some(&[0xff; 100]), &["b"]), Some(requests(&["a", "b"])));
    }

    #[test]
    fn much_is_kept_as_far_as_it_can_be_read_again() {
        let long = "x".repeat(900);
        let kept = learned(&[], Some(&[]), &[long.as_str(); 300]).unwrap_or_default();
        assert!(kept.0.len() > 50 && kept.encode().len() <= MAX_FILE);
        assert_eq!(Requests::parse(&kept.encode()), kept);
        let longer = "x".repeat(1000);
        assert_eq!(learned(&[], Some(&[]), &[longer.as_str()]), None);
    }

    #[test]
    fn answers_are_of_now_and_end() {
        let directory = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        for name in ["there", "gone"] {
            std::fs::write(directory.path().join(name), name).unwrap_or_else(|e| panic!("{e}"));
        }
        let root = std::fs::File::open(directory.path()).unwrap_or_else(|e| panic!("{e}"));
        let grant = Grant::directory(root.into(), Access::ReadOnly, true).unwrap_or_else(|e| panic!("{e}"));
        let files = Files::new(vec![grant]);
        let open = |path: &str| {
            let head = Request { flags: 1, path_len: path.len() as u32, op: Op::Walk as u32, ..Request::default() };
            [head.as_bytes(), path.as_bytes()].concat()
        };
        let kept = Requests(vec![open("there"), open("gone")]);
        std::fs::remove_file(directory.path().join("gone")).unwrap_or_else(|e| panic!("{e}"));
        let (near, far) = crate::socket::pair().unwrap_or_else(|e| panic!("{e}"));
        kept.answer(&files, near.as_fd(), &mut Replies::default());
        let mut buffer = vec![0; 4096];
        let mut next =
            || crate::socket::receive(far.as_fd(), &mut buffer, false).map(|(n, fd)| (buffer[..n].to_vec(), fd));
        for (request, found) in kept.0.iter().zip([true, false]) {
            let (message, fd) = next().unwrap_or_else(|e| panic!("{e}"));
            let (asked, reply) = Ahead::parts(&message).unwrap_or_else(|| panic!("no answer"));
            let head = Reply::read_from_prefix(reply).unwrap_or_else(|e| panic!("{e}")).0;
            assert_eq!((asked, fd.is_some()), (request.as_slice(), found));
            assert_eq!((head.error, head.count, head.stop), (0, u32::from(found), if found { 0 } else { 2 }));
        }
        let (end, fd) = next().unwrap_or_else(|e| panic!("{e}"));
        assert!(Ahead::parts(&end).is_none() && fd.is_none());
        assert!(next().is_err());
    }

    #[test]
    fn only_the_default_view_is_asked_ahead() {
        for (others_only, access) in
            [(false, Access::ReadOnly), (false, Access::CopyOnWrite), (true, Access::ReadWrite)]
        {
            let grants = vec![grant(others_only, access)];
            let mut kept = requests(&["usr"]);
            kept.retain(&Files::new(grants));
            assert!(kept.is_empty(), "{others_only} {access:?}");
        }
        let mut kept = requests(&["usr"]);
        kept.retain(&Files::new(vec![grant(true, Access::ReadOnly)]));
        assert!(!kept.is_empty());
        kept.retain(&Files::new(Vec::new()));
        assert!(kept.is_empty());
    }
}
