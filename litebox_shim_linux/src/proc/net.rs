//! /proc/PID/net: the tables of a network of which there is only the loopback device.

use super::process::{OfProcess, ProcessView};
use super::tree::{TableEntry, Text};

macro_rules! table {
    ($name:literal, $header:expr) => {
        TableEntry::text($name, |_: &ProcessView, out: &mut Text| {
            out.put($header.as_bytes());
        })
    };
}

const DEV: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
";
const INET: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n";
const INET6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const DATAGRAM: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            \n";
const DATAGRAM6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const RAW: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n";
const SOCKSTAT: &str = "sockets: used 0
TCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0
UDP: inuse 0 mem 0
UDPLITE: inuse 0
RAW: inuse 0
FRAG: inuse 0 memory 0
";
const SNMP: &str = "Ip: Forwarding DefaultTTL
Ip: 2 64
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 0 0 0 0 0 0 0 0 0
";

pub(super) const TABLES: &[TableEntry<OfProcess>] = &[
    table!("arp", "IP address       HW type     Flags       HW address            Mask     Device\n"),
    table!("dev", DEV),
    table!("if_inet6", ""),
    table!("ipv6_route", ""),
    table!("netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"),
    table!("packet", "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"),
    table!("raw", RAW),
    table!("raw6", DATAGRAM6),
    table!("route", ROUTE),
    table!("snmp", SNMP),
    table!("sockstat", SOCKSTAT),
    table!("tcp", INET),
    table!("tcp6", INET6),
    table!("udp", DATAGRAM),
    table!("udp6", DATAGRAM6),
    table!("unix", "Num       RefCount Protocol Flags    Type St Inode Path\n"),
];
