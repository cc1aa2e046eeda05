//! What the host's user does with a sandbox that runs: starts more programs in it, signals, stops and pauses it, asks
//! what it uses (`docs/protocol.md`).
//!
//! Clients come over a local socket in a directory of the user's, which the sandbox cannot reach: it can open none, and
//! this one is not among its descriptors. A thread serves them, so that nothing they do or leave undone holds up the
//! broker's own loop. Both talk by queues that nobody waits for.
//! - `service` is the thread; [`client`] one client's socket; [`programs`] what was started, and the events for the
//!   sandbox's kernel; `figures` what it uses.

pub mod client;
mod figures;
pub mod programs;
mod service;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::files::Files;
use crate::process::Sandboxed;

/// Stack of the thread.
const STACK: usize = 256 << 10;
/// How long the end of the sandbox waits for the thread to tell its clients.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// What the broker's loop tells the thread.
pub(crate) enum News {
    /// The program with this number runs; its process id. 0: the first.
    Started(u32, i32),
    /// It ended so, or why it was not started.
    Ended(u32, i32, String),
    /// The processes of the sandbox stand still, or go on.
    Paused(bool),
    /// The sandbox has ended.
    Over(u8, String),
}

/// What clients want of the broker's loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// A signal for the first program.
    Signal(i32),
    /// It is to end; how long it may take.
    Stop(Option<Duration>),
    /// All stand still.
    Pause,
    /// They go on.
    Resume,
}

/// A counter that one thread waits for and another one raises.
#[derive(Clone)]
struct Bell(Arc<OwnedFd>);

impl Bell {
    fn new() -> Result<Self, Errno> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(|fd| Self(Arc::new(fd)))
    }
    fn ring(&self) {
        // A full counter rings already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
    fn silence(&self) {
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

/// Where clients come from.
pub struct Setup {
    /// A listening `SOCK_SEQPACKET` socket.
    pub listener: OwnedFd,
    /// A descriptor that gets one byte when the first program runs.
    pub ready: Option<OwnedFd>,
}

/// The thread, as the broker's loop sees it.
pub struct Control {
    news: Sender<News>,
    bell: Bell,
    orders: Receiver<Order>,
    orders_bell: Bell,
    thread: Option<JoinHandle<()>>,
    ready: Option<OwnedFd>,
    first_ran: bool,
}

impl Control {
    /// Starts serving.
    pub fn start(
        setup: Setup,
        events: Arc<OwnedFd>,
        files: Arc<Files>,
        sandboxed: Sandboxed,
        memory: Option<u64>,
    ) -> Result<Self, Errno> {
        let (news, from_loop) = channel();
        let (to_loop, orders) = channel();
        let (bell, orders_bell) = (Bell::new()?, Bell::new()?);
        let parts = service::Parts {
            listener: setup.listener,
            events,
            files,
            news: from_loop,
            bell: bell.clone(),
            orders: to_loop,
            orders_bell: orders_bell.clone(),
            gauge: figures::Gauge::new(sandboxed, memory),
        };
        let thread = std::thread::Builder::new().name("litebox-control".into()).stack_size(STACK);
        let thread = thread.spawn(move || service::Service::new(parts).run()).map_err(|_| Errno::AGAIN)?;
        Ok(Self { news, bell, orders, orders_bell, thread: Some(thread), ready: setup.ready, first_ran: false })
    }

    fn tell(&self, news: News) {
        // A thread that has ended has nobody left to tell.
        let _ = self.news.send(news);
        self.bell.ring();
    }

    /// The program with this number runs.
    pub(crate) fn started(&mut self, number: u32, pid: i32) {
        if number == 0 {
            self.first_ran = true;
            if let Some(ready) = self.ready.take() {
                // Who started it has gone, perhaps.
                let _ = rustix::io::write(ready, b"+");
            }
        }
        self.tell(News::Started(number, pid));
    }

    /// Whether the first program ran.
    pub fn first_ran(&self) -> bool {
        self.first_ran
    }

    /// It ended so.
    pub(crate) fn ended(&self, number: u32, status: i32, why: String) {
        self.tell(News::Ended(number, status, why));
    }

    /// All stand still, or go on.
    pub(crate) fn paused(&self, paused: bool) {
        self.tell(News::Paused(paused));
    }

    /// What to wait for: an order.
    pub(crate) fn orders_fd(&self) -> BorrowedFd<'_> {
        self.orders_bell.0.as_fd()
    }

    /// The orders that came.
    pub(crate) fn take_orders(&self) -> Vec<Order> {
        self.orders_bell.silence();
        self.orders.try_iter().collect()
    }

    /// The sandbox has ended: clients are told, as far as they listen.
    pub fn over(&mut self, status: u8, line: &str) {
        self.tell(News::Over(status, line.into()));
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + LAST_WAIT;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
