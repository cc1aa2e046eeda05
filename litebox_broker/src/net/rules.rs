//! The language of `--allow-net` and `--deny-net`: `HOST[:PORTS][/tcp|/udp|/tls][?private]`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use litebox_protocol::net::HOST_NAME;

use super::ranges::{Class, canonical, class};

/// What a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Whose addresses a rule names.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    /// The host's own loopback.
    Loopback,
    /// One name.
    Name(String),
    /// All names below one, not itself.
    Below(String),
    /// Addresses.
    Net(IpNet),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Ports {
    /// None was named.
    Usual,
    Any,
    Range(RangeInclusive<u16>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    Tcp,
    Udp,
    Tls,
}

/// What a rule wants of a connection that it lets pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// Nothing.
    Plain,
    /// That it begins with a TLS ClientHello for a name of the rule.
    Tls,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    host: Host,
    ports: Ports,
    protocol: Option<Protocol>,
    private: bool,
    text: String,
}

const HTTP: u16 = 80;
const HTTPS: u16 = 443;

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Rule {
    /// From what a user typed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("rule \"{text}\": {why}");
        let (rest, private) = match text.split_once('?') {
            None => (text, false),
            Some((rest, "private")) => (rest, true),
            Some((_, other)) => return Err(wrong(&format!("?{other} is not known; there is ?private"))),
        };
        let (rest, protocol) = take_protocol(rest);
        let (host, ports) = split_ports(rest).map_err(|why| wrong(&why))?;
        let host = parse_host(host).map_err(|why| wrong(&why))?;
        let ports = ports.map_or(Ok(Ports::Usual), parse_ports).map_err(|why| wrong(&why))?;
        let named = matches!(host, Host::Name(_) | Host::Below(_));
        if protocol == Some(Protocol::Tls) && !named {
            return Err(wrong("/tls compares the name in the handshake, so the rule has to be of a name"));
        }
        if private && !named {
            return Err(wrong("?private is for names; an address says itself that it is private"));
        }
        if host == Host::Loopback && ports == Ports::Usual {
            return Err(wrong("which port of the host? (host:PORT)"));
        }
        Ok(Self { host, ports, protocol, private, text: text.to_string() })
    }

    /// Several rules, separated by commas.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(|rule| Self::parse(rule.trim())).collect()
    }

    /// Whether the rule is for this name. It is in lower case, without a dot at the end.
    pub fn matches_name(&self, name: &str) -> bool {
        match &self.host {
            Host::Name(own) => own == name,
            Host::Below(top) => {
                name.strip_suffix(top.as_str()).is_some_and(|head| head.len() > 1 && head.ends_with('.'))
            }
            Host::Loopback | Host::Net(_) => false,
        }
    }

    /// Whether the rule is for the host's own loopback.
    pub fn is_for_host(&self) -> bool {
        self.host == Host::Loopback
    }

    /// Whether an allowing rule opens this address, which is of `class`. A range that is not public is opened only by a
    /// rule that lies in it, and one of the host's own addresses (`own`) only by a rule that names it.
    pub fn opens_address(&self, address: IpAddr, class: Class, own: bool) -> bool {
        let Host::Net(net) = &self.host else { return false };
        net.contains(&address)
            && (!own || net.prefix_len() == net.max_prefix_len())
            && match class {
                Class::Global => true,
                Class::Private(range) | Class::Special(range) => range.contains(net),
                Class::Never => false,
            }
    }

    /// Whether a denying rule is for this address.
    pub fn has_address(&self, address: IpAddr) -> bool {
        matches!(&self.host, Host::Net(net) if net.contains(&address))
    }

    /// Whether its name may lead to private addresses.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// How the rule lets this port pass, as an allowing one.
    pub fn allows(&self, port: u16, transport: Transport) -> Option<Pass> {
        let in_range = match &self.ports {
            Ports::Any => true,
            Ports::Range(range) => range.contains(&port),
            Ports::Usual if self.protocol == Some(Protocol::Tls) => port == HTTPS,
            Ports::Usual => port == HTTP || port == HTTPS,
        };
        if !in_range {
            return None;
        }
        let named = matches!(self.host, Host::Name(_) | Host::Below(_));
        match (transport, self.protocol) {
            (Transport::Udp, Some(Protocol::Udp)) | (Transport::Tcp, Some(Protocol::Tcp)) => Some(Pass::Plain),
            (Transport::Tcp, Some(Protocol::Tls)) => Some(Pass::Tls),
            (Transport::Tcp, None) => Some(if named && port == HTTPS { Pass::Tls } else { Pass::Plain }),
            _ => None,
        }
    }

    /// Whether the rule is for this port, as a denying one: without a port it is for all of them, without a protocol
    /// for both.
    pub fn denies(&self, port: u16, transport: Transport) -> bool {
        let in_range = match &self.ports {
            Ports::Any | Ports::Usual => true,
            Ports::Range(range) => range.contains(&port),
        };
        in_range
            && match self.protocol {
                None => true,
                Some(Protocol::Tcp | Protocol::Tls) => transport == Transport::Tcp,
                Some(Protocol::Udp) => transport == Transport::Udp,
            }
    }

    /// Whether it denies its hosts as a whole.
    pub fn denies_everything(&self) -> bool {
        matches!(self.ports, Ports::Any | Ports::Usual) && self.protocol.is_none()
    }
}

fn take_protocol(text: &str) -> (&str, Option<Protocol>) {
    let known = [("/tcp", Protocol::Tcp), ("/udp", Protocol::Udp), ("/tls", Protocol::Tls)];
    for (ending, protocol) in known {
        if let Some(rest) = text.strip_suffix(ending) {
            return (rest, Some(protocol));
        }
    }
    (text, None)
}

/// Host and ports. An IPv6 address is in brackets when a port follows.
fn split_ports(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(inside) = text.strip_prefix('[') {
        let (host, rest) = inside.split_once(']').ok_or("the ] is missing")?;
        return match rest.strip_prefix(':') {
            Some(ports) => Ok((host, Some(ports))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(format!("\"{rest}\" behind the ] is not a port")),
        };
    }
    if text.matches(':').count() > 1 {
        return Ok((text, None));
    }
    Ok(text.split_once(':').map_or((text, None), |(host, ports)| (host, Some(ports))))
}

fn parse_ports(text: &str) -> Result<Ports, String> {
    let number = |t: &str| match t.parse::<u16>() {
        Ok(n) if n != 0 && t.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
        _ => Err(format!("\"{t}\" is not a port (1 to 65535, FIRST-LAST, or *)")),
    };
    if text == "*" {
        return Ok(Ports::Any);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("{first}-{last} is an empty range of ports"));
    }
    Ok(Ports::Range(first..=last))
}

fn parse_host(text: &str) -> Result<Host, String> {
    if text.is_empty() {
        return Err("no host is named".into());
    }
    if text.eq_ignore_ascii_case(HOST_NAME) {
        return Ok(Host::Loopback);
    }
    if let Some(net) = parse_net(text)? {
        return Ok(Host::Net(net));
    }
    if text == "*" {
        return Err("every public host is --net public".into());
    }
    if let Some(top) = text.strip_prefix("*.") {
        return Ok(Host::Below(normal_name(top)?));
    }
    if text.contains('*') {
        return Err("a * can only stand for whole names in front (*.example.org)".into());
    }
    Ok(Host::Name(normal_name(text)?))
}

/// An address, or a range of them (`10.1.0.0/16`); `None`: it is a name.
fn parse_net(text: &str) -> Result<Option<IpNet>, String> {
    let net = if let Ok(address) = text.parse::<IpAddr>() {
        IpNet::from(canonical(address))
    } else if let Some((address, len)) = text.split_once('/') {
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(format!("\"/{len}\" is not /tcp, /udp or /tls"));
        };
        let net = len.parse().ok().and_then(|len| IpNet::new(address, len).ok());
        net.ok_or_else(|| format!("/{len} is no length of a range of addresses"))?
    } else {
        return Ok(None);
    };
    if net.addr() != net.network() {
        return Err(format!("the range is written {}", net.trunc()));
    }
    if matches!(net, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() >= 96) {
        return Err("ranges of IPv4 are written as such (10.0.0.0/8)".into());
    }
    if class(net.addr()) == Class::Never && net.prefix_len() >= 8 && net.addr() != IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        return Err(format!(
            "{net} is not reached by an address; the host's loopback is called {HOST_NAME} ({HOST_NAME}:PORT)"
        ));
    }
    Ok(Some(net))
}

/// A name as it is compared: lower case, punycode, no dot at the end. Refuses what is no name of a host.
pub fn normal_name(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let ascii = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(text).map_err(|_| format!("\"{text}\" is not a name of a host"))?
    };
    let label_is_good = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // What ends in a number is an address to many programs (127.1, 0x7f.1), and no top-level domain.
    let last = ascii.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    if ascii.len() <= 253 && ascii.split('.').all(label_is_good) && !numeric {
        Ok(ascii)
    } else {
        Err(format!("\"{text}\" is not a name of a host or an address"))
    }
}

#[cfg(test)]
#[path = "rules/tests.rs"]
mod tests;
