//! /proc/PID/net: the sockets of the sandbox, its devices and routes, what was counted.

use core::net::{IpAddr, SocketAddr};

use litebox::net::inet::{Counter, DatagramCounters, Row, TcpState};
use litebox::net::{SocketKind, address};

use super::process::{OfProcess, ProcessView};
use super::tree::{TableEntry, Text, put};

macro_rules! table {
    ($name:literal, $header:expr) => {
        TableEntry::text($name, |_: &ProcessView, out: &mut Text| {
            out.put($header.as_bytes());
        })
    };
}

const DEV: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";
const INET: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n";
const INET6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const DATAGRAM: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            \n";
const DATAGRAM6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const ROUTE6: &str = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo\n";
const RAW: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n";
const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
const NETLINK: &str = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n";
/// Widths that lines of /proc/net/tcp and /proc/net/udp are padded to.
const TCP_WIDTH: usize = 149;
const UDP_WIDTH: usize = 127;
const ROUTE_WIDTH: usize = 127;

/// An address as these tables write it: words in the processor's order.
fn put_address(out: &mut Text, at: SocketAddr, six: bool) {
    let mut put_word = |word: [u8; 4]| put!(out, "{:08X}", u32::from_le_bytes(word));
    match address::shown(at, six).ip() {
        IpAddr::V4(four) => put_word(four.octets()),
        IpAddr::V6(six) => {
            for word in six.octets().chunks_exact(4) {
                put_word(crate::user::word(word, 0));
            }
        }
    }
    put!(out, ":{:04X} ", at.port());
}

/// The columns that all of these tables have.
fn put_row(out: &mut Text, row: &Row) {
    put_address(out, row.local, row.six);
    put_address(out, row.peer, row.six);
    let send = if row.state == TcpState::Listen { 0 } else { row.send };
    let (timer, left) = row.left.map_or((0, 0), |left| (3, left.as_millis() / 10));
    put!(out, "{:02X} {send:08X}:{:08X} {timer:02X}:{left:08X} 00000000 ", row.state as u32, row.receive);
    put!(out, "{:>5} {:>8} {} ", row.uid, 0, row.ino);
}

fn put_tcp(view: &ProcessView, out: &mut Text, six: bool) {
    let rows = view.kernel.network.tcp_rows();
    for (at, row) in rows.iter().filter(|row| row.six == six).enumerate() {
        let from = out.len();
        put!(out, "{at:>4}: ");
        put_row(out, row);
        match row.state {
            TcpState::TimeWait => put!(out, "3 0000000000000000"),
            TcpState::Listen => put!(out, "1 0000000000000000 100 0 0 10 0"),
            _ => put!(out, "1 0000000000000000 20 4 30 10 -1"),
        }
        out.pad_to(from, TCP_WIDTH);
        put!(out, "\n");
    }
}

fn put_datagrams(out: &mut Text, rows: &[Row], six: bool) {
    for (at, row) in rows.iter().filter(|row| row.six == six).enumerate() {
        let from = out.len();
        put!(out, "{at:>5}: ");
        put_row(out, row);
        put!(out, "2 0000000000000000 {}", row.lost);
        out.pad_to(from, UDP_WIDTH);
        put!(out, "\n");
    }
}

fn put_devices(view: &ProcessView, out: &mut Text) {
    out.put(DEV.as_bytes());
    for device in view.kernel.network.devices() {
        put!(
            out,
            "{:>6}:       0       0    0    0    0     0          0         0        0       0    0    0    0     0",
            device.name
        );
        put!(out, "       0          0\n");
    }
}

/// The networks that devices lead to, and where everything else goes.
fn put_routes(view: &ProcessView, out: &mut Text) {
    out.put(ROUTE.as_bytes());
    for device in view.kernel.network.devices().iter().filter(|device| !device.is_loopback()) {
        for (ip, prefix) in &device.addresses {
            let IpAddr::V4(ip) = ip else { continue };
            let mask = u32::MAX.checked_shl(32 - u32::from((*prefix).min(32))).unwrap_or(0);
            let (net, word) = (ip.to_bits() & mask, u32::swap_bytes);
            let mut put_line = |to: u32, by: u32, flags: u32, mask: u32| {
                let from = out.len();
                put!(out, "{}\t{:08X}\t{:08X}\t{flags:04X}\t0\t0\t0\t", device.name, word(to), word(by));
                put!(out, "{:08X}\t0\t0\t0", word(mask));
                out.pad_to(from, ROUTE_WIDTH);
                put!(out, "\n");
            };
            put_line(0, net | 2, 3, 0);
            put_line(net, 0, 1, mask);
        }
    }
}

fn put_addresses_six(view: &ProcessView, out: &mut Text) {
    for device in view.kernel.network.devices() {
        for (ip, prefix) in &device.addresses {
            let IpAddr::V6(ip) = ip else { continue };
            let scope = if device.is_loopback() { 0x10 } else { 0 };
            put!(out, "{:032x} {:02x} {prefix:02x} {scope:02x} 80 {:>8}\n", ip.to_bits(), device.index, device.name);
        }
    }
}

fn put_netlink(view: &ProcessView, out: &mut Text) {
    out.put(NETLINK.as_bytes());
    for (protocol, port) in view.kernel.netlink.list() {
        put!(
            out,
            "0000000000000000 {protocol:<3} {port:<10} 00000000 0        0        0     2        0        0       \n"
        );
    }
}

fn put_unix(view: &ProcessView, out: &mut Text) {
    const LISTENS: u32 = 0x10000;
    for row in view.kernel.local_sockets.rows() {
        let kind = match row.kind {
            SocketKind::Stream => 1,
            SocketKind::Datagram | SocketKind::Raw => 2,
            SocketKind::SeqPacket => 5,
        };
        let (flags, state) = if row.listens { (LISTENS, 1) } else { (0, if row.connected { 3 } else { 1 }) };
        put!(out, "0000000000000000: 00000002 00000000 {flags:08X} {kind:04X} {state:02X} {:>5}", row.ino);
        if let Some(path) = row.name {
            put!(out, " ");
            out.put(&path);
        }
        put!(out, "\n");
    }
}

fn put_sockstat(view: &ProcessView, out: &mut Text, six: bool) {
    let network = &view.kernel.network;
    let (tcp, udp, pings) = (network.tcp_rows(), network.udp_rows(), network.ping_rows());
    let lite = network.udp_lite_rows();
    let of = |rows: &[Row], ended: bool| {
        rows.iter().filter(|row| row.six == six && (row.state == TcpState::TimeWait) == ended).count()
    };
    if six {
        put!(out, "TCP6: inuse {}\nUDP6: inuse {}\n", of(&tcp, false), of(&udp, false));
        put!(out, "UDPLITE6: inuse {}\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n", of(&lite, false));
        return;
    }
    let ended = tcp.iter().filter(|row| row.state == TcpState::TimeWait).count();
    let local = view.kernel.local_sockets.rows().len();
    put!(out, "sockets: used {}\n", tcp.len() - ended + udp.len() + lite.len() + pings.len() + local);
    put!(out, "TCP: inuse {} orphan 0 tw {ended} alloc {} mem 0\n", of(&tcp, false), tcp.len() - ended);
    put!(out, "UDP: inuse {} mem 0\nUDPLITE: inuse {}\n", of(&udp, false), of(&lite, false));
    put!(out, "RAW: inuse 0\nFRAG: inuse 0 memory 0\n");
}

fn put_snmp(view: &ProcessView, out: &mut Text) {
    let counters = &view.kernel.network.counters;
    let current = view.kernel.network.tcp_rows();
    let current = current.iter().filter(|row| matches!(row.state, TcpState::Established | TcpState::CloseWait));
    put!(
        out,
        "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards "
    );
    put!(out, "InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs ");
    put!(out, "FragFails FragCreates OutTransmits\nIp: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
    put!(out, "Icmp: InMsgs InErrors InCsumErrors InEchos OutEchoReps\n");
    let echos = counters.icmp_echos.get();
    put!(out, "Icmp: {echos} 0 0 {echos} {echos}\n");
    put!(out, "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab ");
    put!(out, "InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n");
    let [active, passive, fails, resets] =
        [&counters.tcp_active_opens, &counters.tcp_passive_opens, &counters.tcp_attempt_fails, &counters.tcp_resets]
            .map(Counter::get);
    put!(out, "Tcp: 1 200 120000 -1 {active} {passive} {fails} {resets} {} 0 0 0 0 {resets} 0\n", current.count());
    put!(
        out,
        "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\n"
    );
    put_counted(out, "Udp", &counters.udp);
    put!(
        out,
        "UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\n"
    );
    put_counted(out, "UdpLite", &counters.udp_lite);
}

fn put_counted(out: &mut Text, name: &str, counters: &DatagramCounters) {
    let DatagramCounters { received, no_ports, sent, lost } = counters;
    let [received, no_ports, sent, lost] = [received, no_ports, sent, lost].map(Counter::get);
    put!(out, "{name}: {received} {no_ports} {lost} {sent} {lost} 0 0 0 0\n");
}

pub(super) const TABLES: &[TableEntry<OfProcess>] = &[
    table!("arp", "IP address       HW type     Flags       HW address            Mask     Device\n"),
    TableEntry::text("dev", put_devices),
    TableEntry::text("icmp", |view: &ProcessView, out: &mut Text| {
        out.put(DATAGRAM.as_bytes());
        put_datagrams(out, &view.kernel.network.ping_rows(), false);
    }),
    TableEntry::text("icmp6", |view: &ProcessView, out: &mut Text| {
        out.put(DATAGRAM6.as_bytes());
        put_datagrams(out, &view.kernel.network.ping_rows(), true);
    }),
    TableEntry::text("if_inet6", put_addresses_six),
    table!("ipv6_route", ROUTE6),
    TableEntry::text("netlink", put_netlink),
    table!("packet", "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"),
    table!("raw", RAW),
    table!("raw6", DATAGRAM6),
    TableEntry::text("route", put_routes),
    TableEntry::text("snmp", put_snmp),
    TableEntry::text("sockstat", |view: &ProcessView, out: &mut Text| put_sockstat(view, out, false)),
    TableEntry::text("sockstat6", |view: &ProcessView, out: &mut Text| put_sockstat(view, out, true)),
    TableEntry::text("tcp", |view: &ProcessView, out: &mut Text| {
        out.put(INET.as_bytes());
        put_tcp(view, out, false);
    }),
    TableEntry::text("tcp6", |view: &ProcessView, out: &mut Text| {
        out.put(INET6.as_bytes());
        put_tcp(view, out, true);
    }),
    TableEntry::text("udp", |view: &ProcessView, out: &mut Text| {
        out.put(DATAGRAM.as_bytes());
        put_datagrams(out, &view.kernel.network.udp_rows(), false);
    }),
    TableEntry::text("udp6", |view: &ProcessView, out: &mut Text| {
        out.put(DATAGRAM6.as_bytes());
        put_datagrams(out, &view.kernel.network.udp_rows(), true);
    }),
    TableEntry::text("udplite", |view: &ProcessView, out: &mut Text| {
        out.put(DATAGRAM.as_bytes());
        put_datagrams(out, &view.kernel.network.udp_lite_rows(), false);
    }),
    TableEntry::text("udplite6", |view: &ProcessView, out: &mut Text| {
        out.put(DATAGRAM6.as_bytes());
        put_datagrams(out, &view.kernel.network.udp_lite_rows(), true);
    }),
    TableEntry::text("unix", |view: &ProcessView, out: &mut Text| {
        out.put(UNIX.as_bytes());
        put_unix(view, out);
    }),
];
