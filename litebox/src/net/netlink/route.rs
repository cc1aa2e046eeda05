//! NETLINK_ROUTE: devices, their addresses, and what leads where (rtnetlink(7)).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use litebox_common_linux::abi::socket;

use super::Kernel;
use super::message::{Answer, Part, Question, number};
use crate::error::errno::ENETUNREACH;
use crate::net::inet::{Device, Network};
use crate::{Error, Result};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;
/// Of each four kinds of messages the third asks, the others change something.
const ASKS: u16 = 2;
/// The last kind there is.
const RTM_MAX: u16 = 123;

const AF_INET: u8 = socket::AF_INET as u8;
const AF_INET6: u8 = socket::AF_INET6 as u8;
/// Sizes of `struct ifinfomsg`, `struct rtmsg`.
const IFINFOMSG: usize = 16;
const RTMSG: usize = 12;

const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
const TABLE_DEFAULT: u8 = 253;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
const BY_KERNEL: u8 = 2;
const TYPE_UNICAST: u8 = 1;
const TYPE_LOCAL: u8 = 2;

pub(super) fn answer(kernel: &Kernel, question: &Question<'_>, answer: &mut Answer) -> Result<()> {
    let network = &kernel.network;
    match question.kind {
        RTM_GETLINK => links(network, question, answer),
        RTM_GETADDR => {
            addresses(network, question, answer);
            Ok(())
        }
        RTM_GETROUTE if question.wants_all() => {
            routes(network, question, answer);
            Ok(())
        }
        RTM_GETROUTE => route_to(network, question, answer),
        RTM_GETRULE => {
            rules(question, answer);
            Ok(())
        }
        RTM_GETNEIGH if question.wants_all() => Ok(()),
        kind if kind > RTM_MAX => Err(Error::NotSupported),
        kind if kind & 3 == ASKS => Err(Error::NotSupported),
        _ => Err(Error::NotPermitted),
    }
}

fn put_link(device: &Device, answer: &mut Answer) {
    let mut fixed = [0u8, 0].to_vec();
    fixed.extend_from_slice(&device.hardware.to_le_bytes());
    fixed.extend_from_slice(&device.index.to_le_bytes());
    fixed.extend_from_slice(&device.flags.to_le_bytes());
    fixed.extend_from_slice(&[0; 4]);
    answer.part(RTM_NEWLINK, &fixed, |part| {
        // IFLA_IFNAME, TXQLEN, OPERSTATE, LINKMODE, MTU, GROUP, PROMISCUITY, queues, CARRIER, QDISC, ADDRESS,
        // BROADCAST, STATS.
        let operating = if device.is_loopback() { 0 } else { 6 };
        part.attribute(3, &[device.name.as_bytes(), b"\0"].concat())
            .number(13, 1000)
            .attribute(16, &[operating])
            .attribute(17, &[0])
            .number(4, device.mtu)
            .number(27, 0)
            .number(30, 0)
            .number(31, 1)
            .number(32, 1)
            .attribute(33, &[1])
            .attribute(6, b"noqueue\0")
            .attribute(1, &device.address)
            .attribute(2, if device.is_loopback() { &[0; 6] } else { &[0xff; 6] })
            .attribute(7, &[0; 96])
            .attribute(23, &[0; 192]);
    });
}

/// RTM_GETLINK: all devices, or one by number or name; ENODEV.
fn links(network: &Network, question: &Question<'_>, answer: &mut Answer) -> Result<()> {
    const IFLA_IFNAME: u16 = 3;
    const IFLA_ALT_IFNAME: u16 = 53;
    let devices = network.devices();
    if question.wants_all() {
        for device in &devices {
            put_link(device, answer);
        }
        return Ok(());
    }
    let index = u32::from_le_bytes(number(question.body, 4));
    let name = [IFLA_IFNAME, IFLA_ALT_IFNAME].iter().find_map(|kind| question.attribute(IFINFOMSG, *kind));
    let name = name.map(|raw| raw.strip_suffix(b"\0").unwrap_or(raw));
    if index == 0 && name.is_none() {
        return Err(Error::Invalid);
    }
    let meant = |device: &&Device| {
        if index == 0 { name == Some(device.name.as_bytes()) } else { device.index == index }
    };
    put_link(devices.iter().find(meant).ok_or(Error::NoDevice)?, answer);
    Ok(())
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

fn family_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// RTM_GETADDR
fn addresses(network: &Network, question: &Question<'_>, answer: &mut Answer) {
    const PERMANENT: u8 = 0x80;
    let wanted = question.body.first().copied().unwrap_or(0);
    for device in network.devices() {
        for (ip, prefix) in device.addresses.iter().filter(|(ip, _)| wanted == 0 || family_of(*ip) == wanted) {
            let scope = if device.is_loopback() { SCOPE_HOST } else { SCOPE_UNIVERSE };
            let mut fixed = [family_of(*ip), *prefix, PERMANENT, scope].to_vec();
            fixed.extend_from_slice(&device.index.to_le_bytes());
            answer.part(RTM_NEWADDR, &fixed, |part| {
                // IFA_ADDRESS, LOCAL and LABEL (of IPv4), FLAGS, CACHEINFO: valid for ever.
                part.attribute(1, &octets(*ip));
                if ip.is_ipv4() {
                    part.attribute(2, &octets(*ip)).attribute(3, &[device.name.as_bytes(), b"\0"].concat());
                }
                let forever = [[0xff; 8], [0; 8]].concat();
                part.number(8, PERMANENT.into()).attribute(6, &forever);
            });
        }
    }
}

/// One route.
struct Route {
    to: Option<(IpAddr, u8)>,
    six: bool,
    table: u8,
    scope: u8,
    kind: u8,
    source: Option<IpAddr>,
    gateway: Option<IpAddr>,
    device: u32,
}

impl Route {
    fn put(&self, answer: &mut Answer) {
        let family = if self.six { AF_INET6 } else { AF_INET };
        let prefix = self.to.map_or(0, |(_, prefix)| prefix);
        let mut fixed = [family, prefix, 0, 0, self.table, BY_KERNEL, self.scope, self.kind].to_vec();
        fixed.extend_from_slice(&[0; 4]);
        answer.part(RTM_NEWROUTE, &fixed, |part| self.put_attributes(part));
    }
    fn put_attributes(&self, part: &mut Part) {
        // RTA_TABLE, DST, PREFSRC, GATEWAY, PRIORITY, OIF.
        part.number(15, self.table.into());
        if let Some((to, _)) = self.to {
            part.attribute(1, &octets(to));
        }
        if let Some(source) = self.source {
            part.attribute(7, &octets(source));
        }
        if let Some(gateway) = self.gateway {
            part.attribute(5, &octets(gateway));
        }
        if self.six {
            part.number(6, 256);
        }
        part.number(4, self.device);
    }
}

/// All routes: of each address one that leads to it, of each network of a device one; and where everything else goes.
fn all_routes(network: &Network) -> Vec<Route> {
    let mut routes = Vec::new();
    for device in network.devices() {
        for (ip, prefix) in &device.addresses {
            let (ip, prefix, six) = (*ip, *prefix, ip.is_ipv6());
            let source = (!six).then_some(ip);
            let host = if six { 128 } else { 32 };
            let scope = if six { SCOPE_UNIVERSE } else { SCOPE_HOST };
            let local = |to: IpAddr, prefix| Route {
                to: Some((to, prefix)),
                six,
                table: TABLE_LOCAL,
                scope,
                kind: TYPE_LOCAL,
                source,
                gateway: None,
                device: device.index,
            };
            if ip.is_loopback() && !six {
                routes.push(local(Ipv4Addr::new(127, 0, 0, 0).into(), prefix));
            }
            routes.push(local(ip, host));
            if !device.is_loopback() {
                let near = if six { SCOPE_UNIVERSE } else { SCOPE_LINK };
                let net = Some((masked(ip, prefix), prefix));
                routes.push(Route { to: net, table: TABLE_MAIN, scope: near, kind: TYPE_UNICAST, ..local(ip, prefix) });
                let far =
                    Route { to: None, table: TABLE_MAIN, scope: SCOPE_UNIVERSE, kind: TYPE_UNICAST, ..local(ip, 0) };
                let gateway = network.outside().and_then(|outside| outside.gateway(six));
                routes.push(Route { source: None, gateway, ..far });
            }
        }
    }
    routes
}

fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(four.to_bits() & mask).into()
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(six.to_bits() & mask).into()
        }
    }
}

/// RTM_GETROUTE of all.
fn routes(network: &Network, question: &Question<'_>, answer: &mut Answer) {
    let wanted = question.body.first().copied().unwrap_or(0);
    let table = question.body.get(4).copied().filter(|_| question.body.len() >= RTMSG).unwrap_or(0);
    for route in all_routes(network) {
        let family = if route.six { AF_INET6 } else { AF_INET };
        if (wanted == 0 || wanted == family) && (table == 0 || table == route.table) {
            route.put(answer);
        }
    }
}

/// RTM_GETROUTE of one address: ENETUNREACH.
fn route_to(network: &Network, question: &Question<'_>, answer: &mut Answer) -> Result<()> {
    const RTA_DST: u16 = 1;
    let raw = question.attribute(RTMSG, RTA_DST).ok_or(Error::Invalid)?;
    let to: IpAddr = match raw.len() {
        4 => Ipv4Addr::from(number::<4>(raw, 0)).into(),
        16 => Ipv6Addr::from(number::<16>(raw, 0)).into(),
        _ => return Err(Error::Invalid),
    };
    let host = if to.is_ipv6() { 128 } else { 32 };
    let own = network.is_own(to);
    let source = network.source_for(to).ok_or(ENETUNREACH)?;
    let outward = |device: &&Device| own == device.is_loopback();
    let devices = network.devices();
    let device = devices.iter().find(outward).ok_or(ENETUNREACH)?;
    let (table, kind) = if own { (TABLE_LOCAL, TYPE_LOCAL) } else { (TABLE_MAIN, TYPE_UNICAST) };
    Route {
        to: Some((to, host)),
        six: to.is_ipv6(),
        table,
        scope: SCOPE_UNIVERSE,
        kind,
        source: Some(source),
        gateway: None,
        device: device.index,
    }
    .put(answer);
    Ok(())
}

/// RTM_GETRULE: the table of own addresses first, then the others.
fn rules(question: &Question<'_>, answer: &mut Answer) {
    const LOOKS_IN_TABLE: u8 = 1;
    let wanted = question.body.first().copied().unwrap_or(0);
    for family in [AF_INET, AF_INET6].into_iter().filter(|family| wanted == 0 || wanted == *family) {
        for (table, priority) in [(TABLE_LOCAL, 0u32), (TABLE_MAIN, 32766), (TABLE_DEFAULT, 32767)] {
            if family == AF_INET6 && table == TABLE_DEFAULT {
                continue;
            }
            let mut fixed = [family, 0, 0, 0, table, 0, 0, LOOKS_IN_TABLE].to_vec();
            fixed.extend_from_slice(&[0; 4]);
            answer.part(RTM_NEWRULE, &fixed, |part| {
                // FRA_TABLE, SUPPRESS_PREFIXLEN, PROTOCOL, PRIORITY.
                part.number(15, table.into()).number(14, u32::MAX).attribute(21, &[BY_KERNEL]);
                if priority != 0 {
                    part.number(6, priority);
                }
            });
        }
    }
}
