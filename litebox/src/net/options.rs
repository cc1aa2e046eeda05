//! Options of sockets, by what they mean. The North knows their numbers and what values they take; sockets look at
//! those they heed, and the rest is kept and told.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::sync::Mutex;

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
const WORDS: usize = COUNT.div_ceil(64);

/// The options of one socket. Those that nobody set take no memory: most sockets have none.
#[derive(Default)]
pub struct Settings {
    /// Which were set, a bit each.
    changed: [AtomicU64; WORDS],
    /// What they were set to.
    values: Mutex<Vec<(Setting, i32)>>,
    /// SO_RCVTIMEO and SO_SNDTIMEO in microseconds; 0: none.
    io_timeout: [AtomicU64; 2],
}

impl Settings {
    fn is_changed(&self, of: Setting) -> bool {
        let at = of as usize;
        self.changed.get(at / 64).is_some_and(|word| word.load(Ordering::Acquire) >> (at % 64) & 1 != 0)
    }
    /// What an option is.
    pub fn get(&self, of: Setting) -> i32 {
        let set = || self.values.lock().iter().find(|(other, _)| *other == of).map(|(_, value)| *value);
        let value = if self.is_changed(of) { set() } else { None };
        value.unwrap_or_else(|| DEFAULTS.get(of as usize).copied().unwrap_or(0))
    }
    /// Whether an option is on.
    pub fn is_on(&self, of: Setting) -> bool {
        self.get(of) != 0
    }
    /// Sets an option.
    pub fn set(&self, of: Setting, to: i32) {
        self.swap(of, to);
    }
    /// Sets an option and returns what it was.
    pub fn swap(&self, of: Setting, to: i32) -> i32 {
        let mut values = self.values.lock();
        if let Some((_, value)) = values.iter_mut().find(|(other, _)| *other == of) {
            return core::mem::replace(value, to);
        }
        values.push((of, to));
        let at = of as usize;
        if let Some(word) = self.changed.get(at / 64) {
            word.fetch_or(1 << (at % 64), Ordering::Release);
        }
        DEFAULTS.get(at).copied().unwrap_or(0)
    }
    /// As `other`'s: what an accepted connection has of its listener.
    pub fn copy(&self, other: &Self) {
        let values = other.values.lock().clone();
        let mut changed = [0; WORDS];
        for (of, _) in &values {
            let at = *of as usize;
            if let Some(word) = changed.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        }
        let mut own = self.values.lock();
        *own = values;
        for (word, bits) in self.changed.iter().zip(changed) {
            word.store(bits, Ordering::Release);
        }
        drop(own);
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
