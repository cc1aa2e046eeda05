//! The options that are one number: their numbers, what values they take, and who has them.

use litebox::net::{Family, Setting, Socket, SocketKind};
use litebox::{Error, Result};

use super::inet::SOL_NETLINK;
use super::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, SOL_SOCKET};

/// What values an option takes.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// On or off: anything but 0 is 1.
    Switch,
    /// These, ends included; EINVAL.
    Within(i32, i32),
    /// These or 0.
    ZeroOr(i32, i32),
    /// As [`Rule::Within`], and -1 for what the kernel likes.
    OrDefault(i32, i32),
    /// At least 0; EINVAL.
    Positive,
    /// Anything.
    Any,
    /// Nothing that is on: EPERM.
    Privileged,
}

/// Who has an option; others say ENOPROTOOPT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Everybody,
    /// AF_UNIX and AF_NETLINK; others EOPNOTSUPP.
    Local,
    /// AF_INET and AF_INET6; others EOPNOTSUPP.
    Internet,
    /// All but streams.
    Messages,
}

/// One option.
pub(super) struct Row {
    pub level: i32,
    pub name: i32,
    pub setting: Setting,
    pub rule: Rule,
    pub who: Who,
}

const fn row(level: i32, name: i32, setting: Setting, rule: Rule, who: Who) -> Row {
    Row { level, name, setting, rule, who }
}

macro_rules! rows {
    ($($level:ident { $($name:literal $setting:ident $rule:expr, $who:ident;)* })*) => {
        &[$($(row($level, $name, Setting::$setting, $rule, Who::$who),)*)*]
    };
}

use Rule::{Any, OrDefault, Positive, Privileged, Switch, Within, ZeroOr};

const ROWS: &[Row] = rows! {
    SOL_SOCKET {
        2 ReuseAddress Switch, Everybody;
        5 DontRoute Switch, Everybody;
        6 Broadcast Switch, Everybody;
        9 KeepAlive Switch, Everybody;
        10 OobInline Switch, Everybody;
        11 NoCheck Switch, Everybody;
        15 ReusePort Switch, Internet;
        16 PassCredentials Switch, Local;
        34 PassSecurity Switch, Local;
        36 Mark Any, Everybody;
        40 ReceiveOverflow Switch, Everybody;
        41 WifiStatus Switch, Everybody;
        42 PeekOffset Any, Everybody;
        43 NoFcs Switch, Everybody;
        44 LockFilter Switch, Everybody;
        45 SelectErrorQueue Switch, Everybody;
        46 BusyPoll Positive, Everybody;
        49 IncomingCpu Any, Everybody;
        60 ZeroCopy Within(0, 1), Internet;
        69 PreferBusyPoll Switch, Everybody;
        75 ReceiveMark Switch, Everybody;
        76 PassPidfd Switch, Local;
    }
    IPPROTO_TCP {
        2 MaxSegment ZeroOr(88, 32767), Everybody;
        1 NoDelay Switch, Everybody;
        3 Cork Switch, Everybody;
        4 KeepIdle Within(1, 32767), Everybody;
        5 KeepInterval Within(1, 32767), Everybody;
        6 KeepCount Within(1, 127), Everybody;
        7 SynCount Within(1, 127), Everybody;
        8 LingerTwo Any, Everybody;
        9 DeferAccept Any, Everybody;
        10 WindowClamp Any, Everybody;
        12 QuickAck Switch, Everybody;
        16 ThinLinear Within(0, 1), Everybody;
        17 ThinDupack Within(0, 1), Everybody;
        18 UserTimeout Positive, Everybody;
        23 FastOpen Positive, Everybody;
        25 NotSentLowat Any, Everybody;
        27 SaveSyn Within(0, 2), Everybody;
        30 FastOpenConnect Within(0, 1), Everybody;
        34 FastOpenNoCookie Within(0, 1), Everybody;
        36 ReportQueued Within(0, 1), Everybody;
        37 TransmitDelay Any, Everybody;
    }
    IPPROTO_IP {
        1 Tos Any, Everybody;
        2 Ttl OrDefault(1, 255), Everybody;
        6 RecvOptions Switch, Everybody;
        7 RetOptions Switch, Everybody;
        8 PacketInfo Switch, Everybody;
        10 MtuDiscover Within(0, 5), Everybody;
        11 ReceiveErrors Switch, Everybody;
        12 ReceiveTtl Switch, Everybody;
        13 ReceiveTos Switch, Everybody;
        15 FreeBind Switch, Everybody;
        19 Transparent Privileged, Everybody;
        20 ReceiveOriginal Switch, Everybody;
        21 MinTtl Within(0, 255), Everybody;
        23 Checksum Switch, Everybody;
        24 BindNoPort Switch, Everybody;
        25 ReceiveFragmentSize Switch, Messages;
        33 MulticastTtl OrDefault(0, 255), Messages;
        34 MulticastLoop Switch, Everybody;
        49 MulticastAll Within(0, 1), Everybody;
        51 LocalPortRange Any, Everybody;
    }
    IPPROTO_IPV6 {
        11 FlowInfo Switch, Everybody;
        16 UnicastHops OrDefault(0, 255), Everybody;
        18 MulticastHops OrDefault(0, 255), Messages;
        19 MulticastLoopSix Within(0, 1), Everybody;
        23 MtuDiscoverSix Within(0, 5), Everybody;
        25 ReceiveErrorsSix Switch, Everybody;
        26 V6Only Switch, Everybody;
        29 MulticastAllSix Within(0, 1), Everybody;
        33 FlowInfoSend Switch, Everybody;
        49 PacketInfoSix Switch, Everybody;
        51 ReceiveHopLimit Switch, Everybody;
        53 ReceiveHopOptions Switch, Everybody;
        56 ReceiveRouting Switch, Everybody;
        58 ReceiveDestOptions Switch, Everybody;
        60 ReceivePathMtu Switch, Everybody;
        62 DontFragment Switch, Everybody;
        66 ReceiveTrafficClass Switch, Everybody;
        67 TrafficClass OrDefault(0, 255), Everybody;
        70 AutoFlowLabel Switch, Everybody;
        73 MinHopCount Within(0, 255), Everybody;
        74 ReceiveOriginalSix Switch, Everybody;
        75 TransparentSix Privileged, Everybody;
        77 ReceiveFragmentSizeSix Switch, Everybody;
        78 FreeBindSix Switch, Everybody;
    }
    SOL_NETLINK {
        3 NetlinkInfo Switch, Everybody;
        4 NetlinkBroadcastError Switch, Everybody;
        5 NetlinkNoBufs Switch, Everybody;
        10 NetlinkCapAck Switch, Everybody;
        11 NetlinkExtAck Switch, Everybody;
        12 NetlinkStrict Switch, Everybody;
    }
    IPPROTO_UDP {
        1 UdpCork Switch, Everybody;
        101 NoCheckSend Switch, Everybody;
        102 NoCheckReceive Switch, Everybody;
        103 Segment Within(0, 65535), Everybody;
        104 Gro Switch, Everybody;
    }
};

/// The row of an option, if the socket has it: EOPNOTSUPP when it is others'.
pub(super) fn find(socket: &dyn Socket, level: i32, name: i32) -> Result<Option<&'static Row>> {
    let Some(row) = ROWS.iter().find(|row| row.level == level && row.name == name) else { return Ok(None) };
    let inet = matches!(socket.family(), Family::Inet | Family::Inet6);
    match row.who {
        Who::Local if inet => Err(Error::NotSupported),
        Who::Internet if !inet => Err(Error::NotSupported),
        Who::Messages if socket.kind() == SocketKind::Stream => Ok(None),
        _ => Ok(Some(row)),
    }
}

impl Row {
    /// What is kept of a value: EINVAL, EPERM.
    pub fn kept(&self, value: i32) -> Result<i32> {
        let within = |low, high| if (low..=high).contains(&value) { Ok(value) } else { Err(Error::Invalid) };
        match self.rule {
            Switch => Ok((value != 0).into()),
            ZeroOr(_, _) if value == 0 => Ok(0),
            OrDefault(_, _) if value == -1 => Ok(-1),
            Within(low, high) | ZeroOr(low, high) | OrDefault(low, high) => within(low, high),
            Positive => within(0, i32::MAX),
            Any => Ok(value),
            Privileged if value != 0 => Err(Error::NotPermitted),
            Privileged => Ok(0),
        }
    }
}
