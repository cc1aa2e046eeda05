//! A page of memory that broker and sandbox share. A request and its reply go through it while both are awake: a
//! message on a socket costs each side a call of the host, and whoever looks for one pays a call each time.
//!
//! The socket stays the way for everything else: while the broker sleeps, for messages that are longer than
//! [`MAX_BYTES`], and for all that a descriptor goes with. Whoever asks has a turn on that socket, and so on the page.
//!
//! The broker takes nothing here for true. It copies a request before it reads it, as it does from a socket, and waits
//! for nothing that the sandbox is to write.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::Request;
use zerocopy::IntoBytes;

/// Longest message.
pub const MAX_BYTES: usize = WORDS * size_of::<u64>();
const WORDS: usize = 239;

/// The page. Zeros are one through which nothing has gone.
#[repr(C, align(4096))]
pub struct RequestPage {
    /// The processor on which the broker looks whether a request is here, and one; 0: it does not look.
    looks_on: Line,
    /// The processor on which something was asked last, and one.
    asked_on: Line,
    /// Its state is 0 or a number with [`POSTED`] or [`TAKING`].
    request: Slot,
    /// Its state is the number of who waits, with [`AWAKE`], [`ASLEEP`], [`HERE`] or [`SENT`].
    reply: Slot,
}

const _: () = assert!(size_of::<RequestPage>() == 4096 && size_of::<Request>() % size_of::<u64>() == 0);

#[repr(C, align(64))]
struct Line(AtomicU32);

/// One message.
#[repr(C, align(64))]
struct Slot {
    /// Above the lowest two bits the number of the request.
    state: AtomicU32,
    len: AtomicU32,
    bytes: [AtomicU64; WORDS],
}

/// The request waits for the broker.
const POSTED: u32 = 1;
/// The broker copies it.
const TAKING: u32 = 2;

/// Who asked looks for the reply here.
const AWAKE: u32 = 0;
/// Who asked waits at the socket.
const ASLEEP: u32 = 1;
/// The reply is here.
const HERE: u32 = 2;
/// The reply is in the socket.
const SENT: u32 = 3;

fn state(number: u32, what: u32) -> u32 {
    number << 2 | what
}

/// How far a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing yet.
    Waiting,
    /// It is here, and so long.
    Here(usize),
    /// It is in the socket.
    Sent,
}

/// A request that the broker took, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of it.
    pub len: usize,
    /// What the reply to it is to be given with.
    pub ticket: u32,
}

impl Slot {
    fn write(&self, at: usize, bytes: &[u8]) {
        for (word, chunk) in self.bytes.iter().skip(at / size_of::<u64>()).zip(bytes.chunks(size_of::<u64>())) {
            let mut padded = [0; size_of::<u64>()];
            for (to, from) in padded.iter_mut().zip(chunk) {
                *to = *from;
            }
            word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
        }
    }
    fn read(&self, into: &mut [u8]) {
        for (chunk, word) in into.chunks_mut(size_of::<u64>()).zip(&self.bytes) {
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            for (to, from) in chunk.iter_mut().zip(bytes) {
                *to = from;
            }
        }
    }
    fn becomes(&self, before: u32, after: u32) -> bool {
        self.state.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// What the sandbox does.
impl RequestPage {
    /// Leaves a request for the broker. `false`: it will not see it, and the request goes by the socket.
    /// `cpu`: the processor that we are on. While the broker looks there too, one of us waits for the other to give it
    /// up.
    pub fn post(&self, cpu: u32, head: &Request, rest: &[u8]) -> bool {
        self.asked_on.0.store(cpu.wrapping_add(1), Ordering::Relaxed);
        let front = head.as_bytes();
        let Some(len) = front.len().checked_add(rest.len()).filter(|len| *len <= MAX_BYTES) else { return false };
        let looks_on = self.looks_on.0.load(Ordering::Relaxed);
        if looks_on == 0 || looks_on == cpu.wrapping_add(1) {
            return false;
        }
        // Who had the turn before may have been killed. What it left is not asked any more, unless the broker is about
        // to.
        let left = self.request.state.load(Ordering::Acquire);
        if left != 0 && (left & 3 != POSTED || !self.request.becomes(left, 0)) {
            return false;
        }
        self.reply.state.store(state(head.number, AWAKE), Ordering::Relaxed);
        self.request.write(0, front);
        self.request.write(front.len(), rest);
        self.request.len.store(len as u32, Ordering::Relaxed);
        // Either the broker sees this before it sleeps, or we see that it sleeps.
        self.request.state.store(state(head.number, POSTED), Ordering::SeqCst);
        self.looks_on.0.load(Ordering::SeqCst) != 0 || !self.request.becomes(state(head.number, POSTED), 0)
    }

    /// How far the reply to this request is.
    pub fn progress(&self, number: u32) -> Progress {
        match self.reply.state.load(Ordering::Acquire) {
            now if now == state(number, HERE) => {
                Progress::Here((self.reply.len.load(Ordering::Relaxed) as usize).min(MAX_BYTES))
            }
            now if now == state(number, SENT) => Progress::Sent,
            _ => Progress::Waiting,
        }
    }

    /// Looks no more: the reply is to come by the socket. `false`: it has come, one way or the other.
    pub fn fall_asleep(&self, number: u32) -> bool {
        self.reply.becomes(state(number, AWAKE), state(number, ASLEEP))
    }

    /// The bytes of a reply that is here.
    pub fn read_reply(&self, into: &mut [u8]) {
        self.reply.read(into);
    }
}

/// What the broker does.
impl RequestPage {
    /// Says whether the broker looks here, and on which processor. Who ends that looks once more afterwards
    /// ([`RequestPage::is_posted`]).
    pub fn look(&self, cpu: Option<u32>) {
        self.looks_on.0.store(cpu.map_or(0, |cpu| cpu.wrapping_add(1)), Ordering::SeqCst);
    }

    /// The processor on which something was asked last.
    pub fn asked_on(&self) -> Option<u32> {
        self.asked_on.0.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Whether a request waits.
    pub fn is_posted(&self) -> bool {
        self.request.state.load(Ordering::SeqCst) & 3 == POSTED
    }

    /// Copies the request that waits to `buffer`.
    pub fn take(&self, buffer: &mut [u8]) -> Option<Taken> {
        let before = self.request.state.load(Ordering::Relaxed);
        if before & 3 != POSTED || !self.request.becomes(before, before & !3 | TAKING) {
            return None;
        }
        let len = (self.request.len.load(Ordering::Relaxed) as usize).min(MAX_BYTES).min(buffer.len());
        if let Some(front) = buffer.get_mut(..len) {
            self.request.read(front);
        }
        self.request.state.store(0, Ordering::Release);
        Some(Taken { len, ticket: before >> 2 })
    }

    /// Leaves the reply here. `false`: nobody looks for it any more, and it goes by the socket.
    pub fn answer(&self, ticket: u32, reply: &[u8]) -> bool {
        if reply.len() > MAX_BYTES {
            return false;
        }
        self.reply.write(0, reply);
        self.reply.len.store(reply.len() as u32, Ordering::Relaxed);
        self.reply.becomes(state(ticket, AWAKE), state(ticket, HERE))
    }

    /// The reply was sent by the socket.
    pub fn sent(&self, ticket: u32) {
        self.reply.becomes(state(ticket, AWAKE), state(ticket, SENT));
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::vec::Vec;

    use core::sync::atomic::Ordering;

    use super::{MAX_BYTES, POSTED, Progress, RequestPage, Taken};
    use crate::Request;

    fn page() -> RequestPage {
        // SAFETY: atomics may be all zeros.
        unsafe { core::mem::zeroed() }
    }

    fn request(number: u32) -> Request {
        Request { number, ..Request::default() }
    }

    #[test]
    fn a_request_goes_there_and_its_reply_back() {
        let (page, mut buffer) = (page(), [0; 4096]);
        assert!(!page.post(0, &request(7), b"path"), "the broker sleeps");
        page.look(Some(1));
        assert!(!page.post(1, &request(7), b"path"), "on the same processor");
        assert!(page.post(0, &request(7), b"path") && page.is_posted());
        assert_eq!(page.take(&mut buffer), Some(Taken { len: 76, ticket: 7 }));
        assert_eq!(&buffer[72..76], b"path");
        assert_eq!(page.take(&mut buffer), None);
        assert_eq!(page.progress(7), Progress::Waiting);
        assert!(page.answer(7, b"0123456789"));
        assert_eq!((page.progress(7), page.progress(8)), (Progress::Here(10), Progress::Waiting));
        let mut reply = [0; 10];
        page.read_reply(&mut reply);
        assert_eq!(&reply, b"0123456789");
        assert!(!page.fall_asleep(7), "it has come");
    }

    #[test]
    fn who_sleeps_is_answered_by_the_socket() {
        let (page, mut buffer) = (page(), [0; 4096]);
        page.look(Some(1));
        assert!(page.post(0, &request(7), b"") && page.fall_asleep(7) && page.take(&mut buffer).is_some());
        assert!(!page.answer(7, b"reply"));
        page.sent(7);
        assert_eq!(page.progress(7), Progress::Waiting);
        assert!(page.post(0, &request(8), b"") && page.take(&mut buffer).is_some());
        page.sent(8);
        assert_eq!((page.progress(8), page.fall_asleep(8)), (Progress::Sent, false));
        // Longer than the page is.
        assert!(!page.post(0, &request(9), &[0; MAX_BYTES]) && !page.answer(8, &[0; MAX_BYTES + 1]));
    }

    #[test]
    fn what_the_killed_left_is_nobodys() {
        let (page, mut buffer) = (page(), [0; 4096]);
        page.look(Some(1));
        // Killed before the broker came: it is not asked any more.
        assert!(page.post(0, &request(7), b"first") && page.post(0, &request(8), b"second"));
        assert_eq!(page.take(&mut buffer).map(|taken| taken.ticket), Some(8));
        // Killed after that: the reply is not taken for the next one's.
        assert!(page.post(0, &request(9), b""));
        assert!(!page.answer(8, b"late"));
        assert_eq!(page.progress(9), Progress::Waiting);
        // The broker goes to sleep, and sees what came before.
        page.look(None);
        assert!(page.is_posted() && !page.post(0, &request(10), b""));
    }

    /// The broker's part: looks a few times, sleeps until the socket rings, answers everything.
    fn serve(page: &RequestPage, rings: &Receiver<Vec<u8>>, replies: &Sender<u32>) {
        let mut buffer = [0; 4096];
        loop {
            page.look(Some(1));
            for _ in 0..50 {
                if let Some(taken) = page.take(&mut buffer) {
                    answer(page, &buffer[72..taken.len], taken.ticket, replies);
                }
                core::hint::spin_loop();
            }
            page.look(None);
            if let Some(taken) = page.take(&mut buffer) {
                answer(page, &buffer[72..taken.len], taken.ticket, replies);
                continue;
            }
            match rings.recv() {
                Ok(by_socket) if by_socket.is_empty() => return,
                Ok(by_socket) => {
                    let sent = replies.send(u32::from_ne_bytes([by_socket[0], by_socket[1], by_socket[2], 0]));
                    assert_eq!(sent, Ok(()));
                }
                Err(_) => return,
            }
        }
    }

    fn answer(page: &RequestPage, rest: &[u8], ticket: u32, replies: &Sender<u32>) {
        let number = u32::from_ne_bytes([rest[0], rest[1], rest[2], 0]);
        assert_eq!(number, ticket);
        if ticket % 3 == 0 || !page.answer(ticket, rest) {
            assert_eq!(replies.send(number), Ok(()));
            page.sent(ticket);
        }
    }

    #[test]
    fn a_page_of_anything_harms_nobody() {
        let page = std::sync::Arc::new(page());
        let theirs = page.clone();
        let done = std::sync::Arc::new(core::sync::atomic::AtomicBool::new(false));
        let until = done.clone();
        // The sandbox's side writes whatever it likes, wherever it likes.
        let hostile = std::thread::spawn(move || {
            let mut seed = 1u32;
            while !until.load(Ordering::Relaxed) {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let words = [
                    &theirs.looks_on.0,
                    &theirs.asked_on.0,
                    &theirs.request.state,
                    &theirs.request.len,
                    &theirs.reply.state,
                ];
                words[(seed as usize >> 8) % 5].store(seed.rotate_left(9), Ordering::Relaxed);
                theirs.request.state.store(seed & !3 | POSTED, Ordering::Relaxed);
            }
        });
        let mut buffer = [0; 4096];
        let mut taken = 0;
        while taken < 1_000 {
            page.look(page.asked_on());
            if let Some(request) = page.take(&mut buffer) {
                assert!(request.len <= MAX_BYTES);
                page.answer(request.ticket, &buffer[..request.len]);
                page.sent(request.ticket);
                taken += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(hostile.join().is_ok());
    }

    #[test]
    fn no_request_and_no_reply_is_lost() {
        let page = std::sync::Arc::new(page());
        let (ring, rings) = channel();
        let (reply, replies) = channel();
        let theirs = page.clone();
        let broker = std::thread::spawn(move || serve(&theirs, &rings, &reply));
        let mut by_page = 0;
        for number in 1..20_000u32 {
            let rest = number.to_ne_bytes();
            if !page.post(0, &request(number), &rest) {
                assert_eq!(ring.send(rest.to_vec()), Ok(()));
                assert_eq!(replies.recv(), Ok(number));
                continue;
            }
            let looks = number % 100;
            let early = (0..looks).map(|_| page.progress(number)).find(|progress| *progress != Progress::Waiting);
            let progress = match early {
                Some(progress) => progress,
                None if page.fall_asleep(number) => Progress::Sent,
                None => page.progress(number),
            };
            match progress {
                Progress::Here(len) => {
                    let mut reply = [0; 4];
                    page.read_reply(&mut reply);
                    assert_eq!((len, u32::from_ne_bytes(reply)), (4, number));
                    by_page += 1;
                }
                Progress::Sent => assert_eq!(replies.recv(), Ok(number)),
                Progress::Waiting => panic!("the reply neither came nor is to come"),
            }
        }
        drop(ring);
        assert!(broker.join().is_ok());
        std::println!("{by_page} of 20000 by the page");
    }
}
