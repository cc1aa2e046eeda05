//! The way to the trusted process: one request, one reply, at most one descriptor each way.

use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};

use litebox::platform::{Broker, HostFd};
use litebox::sync::AdaptiveSpin;
use litebox::{Error, Result};
use litebox_common_linux::abi::memory::{MAP_FIXED_NOREPLACE, PAGE};
use litebox_common_linux::abi::socket::SOL_SOCKET;
use litebox_common_linux::abi::socket_option::SCM_RIGHTS;
use litebox_protocol::net::{NetReply, NetRequest};
use litebox_protocol::page::{Progress, RequestPage};
use litebox_protocol::{MAX_FLAGS, Op, Reply, Request, start_fd};
use zerocopy::{FromBytes, IntoBytes};

use crate::LinuxHost;
use crate::host::ahead::{AnswersAhead, CameAlong};
use crate::host::call::{host_call, map_at, nr};
use crate::host::published::Published;
use crate::host::system::current_cpu;
use crate::host::turn::{Turn, TurnGuard};

/// struct msghdr of the host.
#[repr(C)]
struct Message {
    name: usize,
    name_len: u64,
    pieces: usize,
    piece_count: usize,
    control: usize,
    control_len: usize,
    flags: u64,
}

/// A control message with one descriptor (cmsg(3)), padded as the host aligns it.
#[repr(C)]
struct Rights {
    len: usize,
    level: i32,
    kind: i32,
    fd: i32,
    pad: i32,
}

const RIGHTS_LEN: usize = 20;
const MSG_DONTWAIT: usize = 0x40;
const MSG_NOSIGNAL: usize = 0x4000;
const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;

/// Sends one message, with a descriptor if given.
pub(crate) fn send(socket: i32, bytes: &[u8], fd: Option<HostFd>) -> Result<()> {
    send_pieces(socket, &[bytes], fd)
}

/// Sends one message that lies in pieces, at most two.
fn send_pieces(socket: i32, bytes: &[&[u8]], fd: Option<HostFd>) -> Result<()> {
    let mut pieces = [[0usize; 2]; 2];
    for (piece, bytes) in pieces.iter_mut().zip(bytes) {
        *piece = [bytes.as_ptr() as usize, bytes.len()];
    }
    let rights = Rights { len: RIGHTS_LEN, level: SOL_SOCKET, kind: SCM_RIGHTS, fd: fd.map_or(-1, |f| f.0), pad: 0 };
    let message = Message {
        name: 0,
        name_len: 0,
        pieces: pieces.as_ptr() as usize,
        piece_count: bytes.len().min(pieces.len()),
        control: if fd.is_some() { (&raw const rights) as usize } else { 0 },
        control_len: if fd.is_some() { size_of::<Rights>() } else { 0 },
        flags: 0,
    };
    retry(|| {
        // SAFETY: everything the message points to is alive and only read.
        unsafe { host_call!(nr::SENDMSG, socket, &raw const message, MSG_NOSIGNAL) }
    })
    .map(drop)
}

/// Receives from a socket that is no broker's, into memory whose validity the caller vouches for.
///
/// # Safety
/// `addr` is a checked range of guest memory, or valid for writes of `len` bytes.
pub(crate) unsafe fn receive_bytes(socket: i32, addr: usize, len: usize, flags: usize) -> Result<usize> {
    let piece = [addr, len];
    let mut message = Message {
        name: 0,
        name_len: 0,
        pieces: piece.as_ptr() as usize,
        piece_count: 1,
        control: 0,
        control_len: 0,
        flags: 0,
    };
    // SAFETY: the caller's promise.
    unsafe { host_call!(nr::RECVMSG, socket, &raw mut message, MSG_DONTWAIT | flags) }
}

/// Receives one message; returns its length and the descriptor that came along.
pub(crate) fn receive(socket: i32, bytes: &mut [u8], flags: usize) -> Result<(usize, Option<HostFd>)> {
    // SAFETY: the host only writes bytes there.
    receive_into(socket, unsafe { &mut *(core::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }, flags)
}

fn receive_into(socket: i32, bytes: &mut [MaybeUninit<u8>], flags: usize) -> Result<(usize, Option<HostFd>)> {
    let piece = [bytes.as_mut_ptr() as usize, bytes.len()];
    let mut rights = Rights { len: 0, level: 0, kind: 0, fd: -1, pad: 0 };
    let mut message = Message {
        name: 0,
        name_len: 0,
        pieces: piece.as_ptr() as usize,
        piece_count: 1,
        control: (&raw mut rights) as usize,
        control_len: size_of::<Rights>(),
        flags: 0,
    };
    let len = retry(|| {
        // SAFETY: the host writes into the buffer and the control message, both alive.
        unsafe { host_call!(nr::RECVMSG, socket, &raw mut message, MSG_CMSG_CLOEXEC | flags) }
    })?;
    // SAFETY: plain data the host may have written.
    let got = unsafe { (&raw const rights).read_volatile() };
    let fd = (got.len >= RIGHTS_LEN && got.level == SOL_SOCKET && got.kind == SCM_RIGHTS).then_some(HostFd(got.fd));
    Ok((len, fd))
}

/// As [`receive`], into the room behind what is in `bytes`, which grows by the message.
pub(crate) fn receive_to(socket: i32, bytes: &mut Vec<u8>, flags: usize) -> Result<Option<HostFd>> {
    let (len, fd) = receive_into(socket, bytes.spare_capacity_mut(), flags)?;
    let len = bytes.len().saturating_add(len).min(bytes.capacity());
    // SAFETY: the host wrote so many bytes, of at most as many as there was room for.
    unsafe { bytes.set_len(len) };
    Ok(fd)
}

/// A message, and the descriptor that came along.
type Received = (usize, Option<HostFd>);

/// Looks for a message for a while; `None`: there was none.
fn look_for(mut receive: impl FnMut() -> Result<Received>) -> Option<Result<Received>> {
    for _ in 0..LOOKS {
        match receive() {
            Err(Error::WouldBlock) => core::hint::spin_loop(),
            received => return Some(received),
        }
    }
    None
}

/// A kick must not cut a message in two: the call is made again.
fn retry(mut call: impl FnMut() -> Result<usize>) -> Result<usize> {
    loop {
        match call() {
            Err(Error::Interrupted) => {}
            other => return other,
        }
    }
}

/// A request without paths whose reply is only an error number.
pub(crate) fn simple(op: Op, value: u64, extra: &[u8], fd: Option<HostFd>) -> Result<()> {
    const LONGEST: usize = 512;
    let mut head = Request { op: op as u32, value, extra_len: extra.len() as u32, ..Request::default() };
    if extra.len() > LONGEST {
        return Err(Error::TooBig);
    }
    let socket = CHANNELS.socket();
    if matches!(op, Op::Exit | Op::Fatal | Op::Listener | Op::Heard) {
        // No answer comes, so no turn is needed: a process that died may have been holding it.
        return send_pieces(socket, &[head.as_bytes(), extra], fd);
    }
    let turn = CHANNELS.take_first();
    head.number = turn.next_number();
    send_pieces(socket, &[head.as_bytes(), extra], fd)?;
    let mut reply = Reply::default();
    loop {
        let (len, passed) = receive(socket, reply.as_mut_bytes(), 0)?;
        if len == 0 || reply.number == head.number {
            break;
        }
        close(passed);
    }
    if reply.error == 0 { Ok(()) } else { Err(litebox::Error::from_errno(reply.error)) }
}

/// The program ended with this wait status, and the sandbox is to end.
pub(crate) fn exit(wait_status: i32) -> Result<()> {
    simple(Op::Exit, u64::from(wait_status as u32), &CHANNELS.ahead.used(), None)
}

/// Sends a descriptor that the broker does not answer for; before there is a sandbox.
pub(crate) fn announce(socket: i32, op: Op, fd: HostFd) -> Result<()> {
    let head = Request { op: op as u32, ..Request::default() };
    send(socket, head.as_bytes(), Some(fd))
}

/// Lets go what came with a reply that is for nobody.
fn close(fd: Option<HostFd>) {
    if let Some(fd) = fd {
        litebox::platform::HostFiles::host_close(&LinuxHost, fd);
    }
}

/// The number of a reply to a request about files.
fn number_of(reply: &[u8]) -> Option<u32> {
    number_at(reply, core::mem::offset_of!(Reply, number))
}

fn number_at(reply: &[u8], offset: usize) -> Option<u32> {
    reply.get(offset..)?.first_chunk().map(|number| u32::from_ne_bytes(*number))
}

/// How often a thread looks for a reply before it falls asleep: about as long as falling asleep and being woken take.
const LOOKS: u32 = 64;

/// The same, into the page: a look is some twenty nanoseconds.
const LOOKS_INTO_PAGE: u32 = 3000;

/// The two ways to the broker: what only reads can be served beside something else.
pub(crate) struct Channels {
    /// The socket for all requests, and the one for those that only read.
    sockets: (i32, i32),
    /// Whose turn it is on the socket for all requests.
    all: Turn,
    /// Whose turn it is on the socket for readers.
    readers: Turn,
    /// What was answered before it was asked.
    ahead: AnswersAhead,
    /// The shorter way for all requests; whose turn it is on the socket, has it.
    page: Option<&'static RequestPage>,
    /// Flags of changes.
    flags: Option<ChangeFlags>,
    /// Whose turn it is on the socket about the network.
    net: Turn,
    /// Readers that found both taken.
    waits: AtomicU32,
    /// Whether looking for replies has paid lately; the same of those about the network.
    spin: AdaptiveSpin,
    net_spin: AdaptiveSpin,
}

/// Those of this sandbox.
pub(crate) static CHANNELS: Published<Channels> = Published::nothing();

impl Channels {
    /// The sockets for all requests, and for those that only read; `ahead`: answers come on that one ahead.
    pub(crate) fn new(
        all: i32,
        readers: i32,
        ahead: bool,
        page: Option<&'static RequestPage>,
        flags: Option<ChangeFlags>,
    ) -> Self {
        Self {
            sockets: (all, readers),
            all: Turn::default(),
            readers: Turn::default(),
            ahead: AnswersAhead::new(readers, ahead),
            page,
            flags,
            net: Turn::default(),
            waits: AtomicU32::default(),
            spin: AdaptiveSpin::patient(4),
            net_spin: AdaptiveSpin::patient(4),
        }
    }

    /// The socket for all requests.
    pub(crate) fn socket(&self) -> i32 {
        self.sockets.0
    }
    /// A turn on it.
    fn take_first(&self) -> TurnGuard<'_> {
        self.all.take()
    }
    /// The socket to use, and a turn on it.
    fn take(&self, reads: bool) -> (i32, TurnGuard<'_>) {
        let (all, readers) = self.sockets;
        if let Some(turn) = self.all.try_take() {
            return (all, turn);
        }
        if !reads {
            return (all, self.take_first());
        }
        if let Some(turn) = self.readers.try_take() {
            return (readers, turn);
        }
        if self.waits.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
            (all, self.take_first())
        } else {
            (readers, self.readers.take())
        }
    }
}

impl Channels {
    /// Looks for the reply to what was left in the page, for a while. `false`: it comes by the socket.
    fn receive_by_page(&self, page: &RequestPage, number: u32, looks: bool, reply: &mut Vec<u8>) -> bool {
        let mut progress = Progress::Waiting;
        if looks {
            self.spin.try_spin(|| {
                (0..LOOKS_INTO_PAGE).any(|_| {
                    core::hint::spin_loop();
                    progress = page.progress(number);
                    progress != Progress::Waiting
                })
            });
        }
        if progress == Progress::Waiting && !page.fall_asleep(number) {
            progress = page.progress(number);
        }
        let Progress::Here(len) = progress else { return false };
        reply.clear();
        reply.resize(len.min(reply.capacity()), 0);
        page.read_reply(reply);
        true
    }
}

/// Maps the page for requests at `place`. Where that is taken they all go by the socket.
pub(crate) fn map_page(place: usize, file: i32) -> Option<&'static RequestPage> {
    const READ_WRITE: usize = 3;
    const SHARED: usize = 1;
    // SAFETY: NOREPLACE: nothing that exists is touched.
    let mapped = unsafe { map_at(place, PAGE, READ_WRITE, SHARED | MAP_FIXED_NOREPLACE, file, 0) };
    close(Some(HostFd(file)));
    // SAFETY: just mapped, for as long as the sandbox lives; all of it are atomics.
    mapped.is_ok().then(|| unsafe { &*(place as *const RequestPage) })
}

/// Memory in which the host says that something has changed, for as long as the sandbox lives.
pub(crate) struct ChangeFlags {
    start: usize,
}

impl ChangeFlags {
    const LEN: usize = MAX_FLAGS * PAGE;

    /// Maps those of `file` at `place`; `None`: that is taken.
    pub(crate) fn map(place: usize, file: i32) -> Option<Self> {
        const READ: usize = 1;
        const SHARED: usize = 1;
        // SAFETY: NOREPLACE: nothing that exists is touched.
        let mapped = unsafe { map_at(place, Self::LEN, READ, SHARED | MAP_FIXED_NOREPLACE, file, 0) };
        close(Some(HostFd(file)));
        mapped.is_ok().then_some(Self { start: place })
    }
    /// The one at `offset`, where the broker has said that one is.
    fn at(&self, offset: u64) -> Option<&'static AtomicU32> {
        let offset = usize::try_from(offset).ok().filter(|at| at % size_of::<u32>() == 0)?;
        let is_inside = offset.checked_add(size_of::<u32>()).is_some_and(|end| end <= Self::LEN);
        // SAFETY: mapped for as long as the sandbox lives, aligned, and only read from here.
        is_inside.then(|| unsafe { &*((self.start + offset) as *const AtomicU32) })
    }
}

impl Broker for LinuxHost {
    fn change_flag(&self, offset: u64) -> Option<&'static AtomicU32> {
        CHANNELS.flags.as_ref()?.at(offset)
    }

    fn broker_call(
        &self,
        request: &[u8],
        file: Option<HostFd>,
        reply: &mut Vec<u8>,
        reads: bool,
    ) -> Result<Option<HostFd>> {
        reply.clear();
        if reads {
            // Also before anything is asked on the socket for readers: the answers lie in front there.
            if let Some(CameAlong(fd)) = CHANNELS.ahead.take(&CHANNELS.readers, request, reply) {
                return Ok(fd);
            }
        }
        let (socket, turn) = CHANNELS.take(reads);
        let (mut head, rest) = Request::read_from_prefix(request).map_err(|_| Error::Invalid)?;
        head.number = turn.next_number();
        // The broker takes longer to list a directory.
        let mut looks = head.op != Op::List as u32;
        let page = CHANNELS.page.filter(|_| file.is_none() && socket == CHANNELS.socket());
        match page.filter(|page| page.post(current_cpu().0, &head, rest)) {
            Some(page) => {
                if CHANNELS.receive_by_page(page, head.number, looks, reply) {
                    return Ok(None);
                }
                // We have looked, or it is there.
                looks = false;
            }
            None => send_pieces(socket, &[head.as_bytes(), rest], file)?,
        }
        loop {
            reply.clear();
            let mut early = None;
            if looks {
                CHANNELS.spin.try_spin(|| {
                    early = look_for(|| receive_into(socket, reply.spare_capacity_mut(), MSG_DONTWAIT));
                    early.is_some()
                });
            }
            let (len, fd) = match early {
                Some(received) => received?,
                None => receive_into(socket, reply.spare_capacity_mut(), 0)?,
            };
            // SAFETY: the host wrote so many bytes, of at most as many as there was room for.
            unsafe { reply.set_len(len.min(reply.capacity())) };
            // One without a head is taken for what it is by the caller.
            if number_of(reply).is_none_or(|number| number == head.number) {
                return Ok(fd);
            }
            close(fd);
        }
    }

    fn network_call(
        &self,
        head: &[u8],
        extra: &[u8],
        sent: Option<HostFd>,
        reply: &mut [u8],
    ) -> Result<(usize, Option<HostFd>)> {
        let socket = start_fd::NET;
        let turn = CHANNELS.net.take();
        let mut head = NetRequest::read_from_bytes(head).map_err(|_| Error::Invalid)?;
        head.number = turn.next_number();
        send_pieces(socket, &[head.as_bytes(), extra], sent)?;
        loop {
            let mut early = None;
            CHANNELS.net_spin.try_spin(|| {
                early = look_for(|| receive(socket, reply, MSG_DONTWAIT));
                early.is_some()
            });
            let (len, passed) = match early {
                Some(received) => received?,
                None => receive(socket, reply, 0)?,
            };
            if len == 0 {
                // Nobody is there.
                return Err(Error::BrokenPipe);
            }
            let number = number_at(reply.get(..len).unwrap_or(reply), core::mem::offset_of!(NetReply, number));
            if number.is_none_or(|number| number == head.number) {
                return Ok((len, passed));
            }
            close(passed);
        }
    }
}
