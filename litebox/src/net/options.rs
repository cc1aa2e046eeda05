//! Options of sockets, by what they mean. The North knows their numbers and what values they take; sockets look at
//! those they heed, and the rest is kept and told.

use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use core::time::Duration;

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident $(= $default:expr)?,)*) => {
        /// What can be set. Each is one number.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "the names are those of socket(7), tcp(7), ip(7), ipv6(7) and udp(7)")]
        pub enum Setting { $($(#[$doc])* $name,)* }
        /// What each is at first.
        const DEFAULTS: &[i32] = &[$(0 $(+ $default)?,)*];
    };
}

settings! {
    Debug, ReuseAddress, ReusePort, DontRoute, Broadcast, KeepAlive, OobInline, NoCheck, Priority, LingerOn, LingerSeconds,
    PassCredentials, PassSecurity, PassPidfd, Timestamp, TimestampNanos, TimestampNew, Mark, ReceiveMark, ReceiveOverflow, PeekOffset = -1, BusyPoll,
    PreferBusyPoll, ZeroCopy, IncomingCpu = -1, Interface, SelectErrorQueue, NoFcs, WifiStatus, LockFilter, TransmitRehash = 1,
    ReceiveLowat = 1,
    /// SO_SNDBUF and SO_RCVBUF as they were set, doubled; 0: as the kernel likes.
    SendBuffer, ReceiveBuffer,
    // tcp(7)
    MaxSegment, NoDelay, Cork, KeepIdle = 7200, KeepInterval = 75, KeepCount = 9, SynCount = 6, LingerTwo = 60, DeferAccept,
    WindowClamp, QuickAck = 1, UserTimeout, ThinLinear, ThinDupack, FastOpen, FastOpenConnect, FastOpenNoCookie, NotSentLowat,
    SaveSyn, ReportQueued, TransmitDelay, Congestion,
    // ip(7)
    Tos, Ttl = -1, HeaderIncluded, RecvOptions, RetOptions, PacketInfo, MtuDiscover = 1, ReceiveErrors, ReceiveTtl, ReceiveTos,
    FreeBind, ReceiveOriginal, MinTtl, NoDefrag, Checksum, BindNoPort, ReceiveFragmentSize, MulticastInterface, MulticastTtl = 1,
    MulticastLoop = 1, MulticastAll = 1, UnicastInterface, LocalPortRange, RouterAlert, Transparent,
    // ipv6(7)
    V6Only, UnicastHops = -1, MulticastHops = 1, MulticastLoopSix = 1, MulticastInterfaceSix, MulticastAllSix = 1, MtuDiscoverSix = 1,
    MtuSix, ReceiveErrorsSix, PacketInfoSix, ReceiveHopLimit, ReceiveTrafficClass, TrafficClass = -1, DontFragment,
    AutoFlowLabel = 1, FlowInfo, FlowInfoSend, ReceivePathMtu, FreeBindSix, UnicastInterfaceSix, AddressPreferences = 2,
    MinHopCount, ReceiveFragmentSizeSix, ReceiveOriginalSix, TransparentSix, ReceiveHopOptions, ReceiveRouting, ReceiveDestOptions,
    // netlink(7)
    NetlinkInfo, NetlinkBroadcastError, NetlinkNoBufs, NetlinkCapAck, NetlinkExtAck, NetlinkStrict,
    // udp(7)
    UdpCork, NoCheckSend, NoCheckReceive, Segment, Gro,
    // udplite(7)
    SendCoverage, ReceiveCoverage = -1,
    /// The highest of all; there is no such option.
    End,
}

const COUNT: usize = Setting::End as usize;

/// The options of one socket.
pub struct Settings {
    numbers: [AtomicI32; COUNT],
    /// SO_RCVTIMEO and SO_SNDTIMEO in microseconds; 0: none.
    io_timeout: [AtomicU64; 2],
}

impl Default for Settings {
    fn default() -> Self {
        let numbers = core::array::from_fn(|at| AtomicI32::new(DEFAULTS.get(at).copied().unwrap_or(0)));
        Self { numbers, io_timeout: [AtomicU64::new(0), AtomicU64::new(0)] }
    }
}

impl Settings {
    fn slot(&self, of: Setting) -> &AtomicI32 {
        // `End` is no option: whoever asks for it gets some other.
        self.numbers.get(of as usize).unwrap_or(&self.numbers[0])
    }
    /// What an option is.
    pub fn get(&self, of: Setting) -> i32 {
        self.slot(of).load(Ordering::Relaxed)
    }
    /// Whether an option is on.
    pub fn is_on(&self, of: Setting) -> bool {
        self.get(of) != 0
    }
    /// Sets an option.
    pub fn set(&self, of: Setting, to: i32) {
        self.slot(of).store(to, Ordering::Relaxed);
    }
    /// Takes one away from an option and returns what it was.
    pub fn swap(&self, of: Setting, to: i32) -> i32 {
        self.slot(of).swap(to, Ordering::Relaxed)
    }
    /// As `other`'s: what an accepted connection has of its listener.
    pub fn copy(&self, other: &Self) {
        for (to, from) in self.numbers.iter().zip(&other.numbers) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (to, from) in self.io_timeout.iter().zip(&other.io_timeout) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
    /// How long a call waits at most (SO_SNDTIMEO if `sending`, else SO_RCVTIMEO); `None`: for ever.
    pub fn io_timeout(&self, sending: bool) -> Option<Duration> {
        let micros = self.io_timeout[usize::from(sending)].load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }
    /// Sets how long a call waits; zero: for ever.
    pub fn set_io_timeout(&self, sending: bool, limit: Duration) {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        self.io_timeout[usize::from(sending)].store(micros, Ordering::Relaxed);
    }
}
