//! How the host finds addresses of names: /etc/resolv.conf and /etc/hosts. Read anew when they change.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::dns::Family;
use super::rules::normal_name;

const DNS_PORT: u16 = 53;
/// As in resolv.conf(5).
const MOST_SERVERS: usize = 3;
const MOST_SEARCHED: usize = 6;

/// What resolv.conf(5) says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolving {
    /// Servers, in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// Names that are put behind short ones.
    pub search: Vec<String>,
    /// A name with so many dots is tried as it is first.
    pub ndots: usize,
    /// For how long a reply is waited for.
    pub timeout: Duration,
    /// How often all servers are asked.
    pub attempts: u32,
}

impl Resolving {
    /// From the text of the file. What is not understood is left out, as the C library does.
    pub fn parse(text: &str) -> Self {
        let mut found =
            Self { servers: Vec::new(), search: Vec::new(), ndots: 1, timeout: Duration::from_secs(5), attempts: 2 };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    found.servers.extend(address.map(|address| SocketAddr::new(address, DNS_PORT)));
                }
                Some("search" | "domain") => {
                    found.search = words.filter_map(|word| normal_name(word).ok()).take(MOST_SEARCHED).collect();
                }
                Some("options") => words.for_each(|word| found.option(word)),
                _ => {}
            }
        }
        found.servers.truncate(MOST_SERVERS);
        if found.servers.is_empty() {
            found.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT));
        }
        found
    }

    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        match name {
            "ndots" => self.ndots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The full names that are tried for `name`, in this order.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        let searched = self.search.iter().map(|end| format!("{name}.{end}")).filter(|full| full.len() <= 253);
        if name.matches('.').count() >= self.ndots {
            // As the C library does, but a full name is not tried below other names: whoever answers there answers for
            // somebody else.
            vec![name.to_string()]
        } else {
            searched.chain([name.to_string()]).collect()
        }
    }
}

/// The addresses that hosts(5) gives a name.
pub fn in_hosts(text: &str, name: &str, family: Family) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        let named = words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name));
        if named && address.is_ipv4() == (family == Family::V4) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// Whether a name is in hosts(5) at all.
pub fn is_in_hosts(text: &str, name: &str) -> bool {
    !in_hosts(text, name, Family::V4).is_empty() || !in_hosts(text, name, Family::V6).is_empty()
}

/// Longest file that is read.
const MOST_BYTES: u64 = 1 << 20;

/// A small file, read again when it changed.
struct Watched {
    path: &'static str,
    changed: Option<SystemTime>,
    text: String,
}

impl Watched {
    fn new(path: &'static str) -> Self {
        Self { path, changed: None, text: String::new() }
    }
    /// The text; whether it was read anew.
    fn look(&mut self) -> bool {
        let path = Path::new(self.path);
        let meta = fs::metadata(path).ok().filter(|meta| meta.is_file() && meta.len() <= MOST_BYTES);
        let changed = meta.and_then(|meta| meta.modified().ok());
        if changed == self.changed {
            return false;
        }
        self.changed = changed;
        self.text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        true
    }
}

/// Both files, or the servers that the user named.
pub struct HostConfig {
    resolv: Watched,
    hosts: Watched,
    resolving: Resolving,
    named: Vec<SocketAddr>,
}

impl HostConfig {
    /// `named`: servers to ask instead of the host's.
    pub fn new(named: Vec<SocketAddr>) -> Self {
        let (resolv, hosts) = (Watched::new("/etc/resolv.conf"), Watched::new("/etc/hosts"));
        Self { resolv, hosts, resolving: Resolving::parse(""), named }
    }
    /// As it is now.
    pub fn resolving(&mut self) -> &Resolving {
        if self.resolv.look() {
            self.resolving = Resolving::parse(&self.resolv.text);
        }
        if !self.named.is_empty() {
            self.resolving.servers.clone_from(&self.named);
        }
        &self.resolving
    }
    /// The text of hosts(5).
    pub fn hosts(&mut self) -> &str {
        self.hosts.look();
        &self.hosts.text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Resolving, in_hosts, is_in_hosts};
    use crate::net::dns::Family;

    #[test]
    fn resolv_conf_is_read_as_the_c_library_does() {
        let text = "# comment\nnameserver 10.0.0.1\nnameserver fe80::1%eth0 \nnameserver 2001:db8::1 # two\n\
            nameserver nonsense\nsearch Example.org  b.example\noptions ndots:2 timeout:3 attempts:9 rotate\nnameserver 1.1.1.1\n\
            nameserver 8.8.8.8\n";
        let found = Resolving::parse(text);
        let servers: Vec<String> = found.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[2001:db8::1]:53", "1.1.1.1:53"]);
        assert_eq!(found.search, ["example.org", "b.example"]);
        assert_eq!((found.ndots, found.timeout, found.attempts), (2, Duration::from_secs(3), 5));
        assert_eq!(found.candidates("db"), ["db.example.org", "db.b.example", "db"]);
        assert_eq!(found.candidates("a.b.c"), ["a.b.c"]);
        assert_eq!(Resolving::parse("").servers.len(), 1);
    }

    #[test]
    fn hosts_are_read() {
        let text =
            "127.0.0.1 localhost\n::1 localhost ip6-localhost\n10.0.0.7\tDB.internal db # the database\nbad line\n";
        assert_eq!(in_hosts(text, "db", Family::V4).len(), 1);
        assert_eq!(in_hosts(text, "db.internal", Family::V4).len(), 1);
        assert!(in_hosts(text, "db", Family::V6).is_empty() && is_in_hosts(text, "db"));
        assert_eq!(in_hosts(text, "localhost", Family::V6).len(), 1);
        assert!(!is_in_hosts(text, "database"));
    }
}
