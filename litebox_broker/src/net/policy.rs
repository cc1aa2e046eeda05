//! What the sandbox may reach: names when it asks for their addresses, addresses when it asks for them, and once more
//! when it connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use litebox_protocol::net::{HOST_NAME, HOST_V4, HOST_V6};

use super::names::Names;
use super::ranges::{Class, canonical, class, stands_for};
use super::rules::{Pass, Rule, Transport};

/// What is reached without a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Nothing.
    #[default]
    Rules,
    /// Every public address.
    Public,
    /// Every address that the host reaches, but its loopback: the host is a network namespace that somebody made for
    /// the sandbox, or all of the host's network was asked for by name.
    Namespace,
}

/// The rules of a sandbox.
#[derive(Debug, Default)]
pub struct Policy {
    /// Without a rule.
    pub mode: Mode,
    /// What is allowed.
    pub allow: Vec<Rule>,
    /// What is not, whatever is allowed.
    pub deny: Vec<Rule>,
}

/// A connection that may be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permit {
    /// Where to.
    pub to: SocketAddr,
    /// The name by whose rule it passes.
    pub name: Option<String>,
    /// Which rules the name in the first flight has to match; `None`: nobody looks.
    pub hello: Option<Vec<usize>>,
}

/// One that may not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What was asked for, as a user would write it.
    pub what: String,
    /// The option that would allow it, or the one that denies it.
    pub option: String,
}

impl Refusal {
    /// The line for the user.
    pub fn line(&self) -> String {
        format!("network: {} not allowed ({})", self.what, self.option)
    }
}

/// What the host knows of an address.
pub trait Routes {
    /// Whether it is one of the host's own.
    fn is_own(&self, address: IpAddr) -> bool;
}

impl Policy {
    /// Whether the addresses of a name may be asked for. It is in its one form.
    pub fn permits_name(&self, name: &str) -> Result<(), Refusal> {
        let all_denied = self.deny.iter().find(|rule| rule.denies_everything() && rule.matches_name(name));
        if let Some(rule) = all_denied {
            return Err(denied(name.to_string(), rule));
        }
        if self.mode != Mode::Rules || self.allow.iter().any(|rule| rule.matches_name(name)) {
            return Ok(());
        }
        Err(Refusal { what: name.to_string(), option: format!("--allow-net {name}") })
    }

    /// Whether a rule opens the host's loopback, so that its name has addresses.
    pub fn opens_host(&self) -> bool {
        self.allow.iter().any(Rule::is_for_host)
    }

    /// Whether a name may lead to this address.
    pub fn permits_answer(&self, name: &str, address: IpAddr, routes: &dyn Routes) -> bool {
        let own = [Some(address), stands_for(address)].into_iter().flatten().any(|form| routes.is_own(form));
        match class(address) {
            Class::Never => false,
            _ if self.mode == Mode::Namespace => true,
            Class::Global => !own,
            Class::Private(_) => self.allow.iter().any(|rule| rule.is_private() && rule.matches_name(name)) && !own,
            Class::Special(_) => false,
        }
    }

    /// Whether and how a connection may be made.
    pub fn permits(
        &self,
        to: SocketAddr,
        transport: Transport,
        names: &Names,
        routes: &dyn Routes,
        now: Instant,
    ) -> Result<Permit, Refusal> {
        let (address, port) = (canonical(to.ip()), to.port());
        let to = SocketAddr::new(address, port);
        if let Some(loopback) = behind_host(address) {
            return self.permits_host(SocketAddr::new(loopback, port), transport);
        }
        let shown = format!("{to}");
        let denies = |rule: &&Rule| rule.denies(port, transport);
        let forms = [Some(address), stands_for(address)];
        let named = |rule: &&Rule| forms.into_iter().flatten().any(|form| rule.has_address(form));
        if let Some(rule) = self.deny.iter().filter(denies).find(named) {
            return Err(denied(shown, rule));
        }
        let own = forms.into_iter().flatten().any(|form| routes.is_own(form));
        let class = class(address);
        let mut rules = self.allow.iter().filter(|rule| rule.allows(port, transport).is_some());
        if rules.any(|rule| rule.opens_address(address, class, own)) {
            return Ok(Permit { to, name: None, hello: None });
        }
        if let Some(permit) = self.permits_by_name(to, transport, names, (class, own), now) {
            return Ok(permit);
        }
        let open = match self.mode {
            Mode::Rules => false,
            Mode::Public => class == Class::Global && !own,
            Mode::Namespace => class != Class::Never,
        };
        if open {
            return Ok(Permit { to, name: None, hello: None });
        }
        Err(self.refusal(to, transport, names, class, now))
    }

    /// By the rules for names that led to the address.
    fn permits_by_name(
        &self,
        to: SocketAddr,
        transport: Transport,
        names: &Names,
        (class, own): (Class, bool),
        now: Instant,
    ) -> Option<Permit> {
        let reachable = |rule: &Rule| match class {
            Class::Global => !own,
            Class::Private(_) => rule.is_private() && !own,
            Class::Special(_) | Class::Never => false,
        };
        let (mut checked, mut by) = (Vec::new(), None);
        for name in names.of(to.ip(), now) {
            if self.denied_by(name, to.port(), transport).is_some() {
                continue;
            }
            for (number, rule) in self.allow.iter().enumerate() {
                if !rule.matches_name(name) || !reachable(rule) {
                    continue;
                }
                match rule.allows(to.port(), transport) {
                    Some(Pass::Plain) => return Some(Permit { to, name: Some(name.into()), hello: None }),
                    Some(Pass::Tls) => {
                        checked.push(number);
                        by.get_or_insert(name);
                    }
                    None => {}
                }
            }
        }
        checked.dedup();
        by.map(|name| Permit { to, name: Some(name.into()), hello: Some(checked) })
    }

    fn denied_by(&self, name: &str, port: u16, transport: Transport) -> Option<&Rule> {
        self.deny.iter().find(|rule| rule.denies(port, transport) && rule.matches_name(name))
    }

    /// Whether the name in the first flight of a connection to `port`, which passed by these rules, is one of theirs.
    pub fn permits_hello(&self, name: &str, port: u16, rules: &[usize]) -> Result<(), Refusal> {
        if let Some(rule) = self.denied_by(name, port, Transport::Tcp) {
            return Err(denied(format!("{name}:{port}"), rule));
        }
        if rules.iter().filter_map(|number| self.allow.get(*number)).any(|rule| rule.matches_name(name)) {
            return Ok(());
        }
        Err(Refusal { what: format!("{name}:{port}"), option: allowing(name, port, Transport::Tcp, false) })
    }

    fn permits_host(&self, to: SocketAddr, transport: Transport) -> Result<Permit, Refusal> {
        let what = format!("{HOST_NAME}:{}", to.port());
        let denying = self.deny.iter().find(|rule| rule.is_for_host() && rule.denies(to.port(), transport));
        if let Some(rule) = denying {
            return Err(denied(what, rule));
        }
        if self.allow.iter().any(|rule| rule.is_for_host() && rule.allows(to.port(), transport).is_some()) {
            return Ok(Permit { to, name: None, hello: None });
        }
        let udp = if transport == Transport::Udp { "/udp" } else { "" };
        Err(Refusal { option: format!("--allow-net {what}{udp}"), what: format!("{what}{udp}") })
    }

    fn refusal(&self, to: SocketAddr, transport: Transport, names: &Names, class: Class, now: Instant) -> Refusal {
        let udp = if transport == Transport::Udp { "/udp" } else { "" };
        if let Some(name) = names.of(to.ip(), now).next() {
            let what = format!("{name}:{}{udp}", to.port());
            if let Some(rule) = self.denied_by(name, to.port(), transport) {
                return denied(what, rule);
            }
            let private = matches!(class, Class::Private(_));
            return Refusal { what, option: allowing(name, to.port(), transport, private) };
        }
        let what = format!("{to}{udp}");
        match class {
            Class::Never => Refusal { what, option: format!("the host is reached as {HOST_NAME}:PORT") },
            _ => Refusal { option: format!("--allow-net {what}"), what },
        }
    }
}

/// The option that would allow it.
fn allowing(name: &str, port: u16, transport: Transport, private: bool) -> String {
    let private = if private { "?private" } else { "" };
    match (transport, port) {
        (Transport::Tcp, 80 | 443) => format!("--allow-net {name}{private}"),
        (Transport::Tcp, _) => format!("--allow-net {name}:{port}{private}"),
        (Transport::Udp, _) => format!("--allow-net {name}:{port}/udp{private}"),
    }
}

fn denied(what: String, rule: &Rule) -> Refusal {
    Refusal { what, option: format!("--deny-net {rule}") }
}

/// The loopback address behind one of the sandbox's addresses of the host.
fn behind_host(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) if v4.octets() == HOST_V4 => Some(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(v6) if v6.octets() == HOST_V6 => Some(Ipv6Addr::LOCALHOST.into()),
        _ => None,
    }
}

/// A peer's address as the sandbox is shown it: the host's loopback under its own name.
pub fn shown_peer(address: IpAddr) -> IpAddr {
    match canonical(address) {
        IpAddr::V4(v4) if v4.is_loopback() => Ipv4Addr::from(HOST_V4).into(),
        IpAddr::V6(v6) if v6.is_loopback() => Ipv6Addr::from(HOST_V6).into(),
        other => other,
    }
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;
