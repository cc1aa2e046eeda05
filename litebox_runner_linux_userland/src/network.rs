//! The options of the network: `--net`, `--allow-net`, `--deny-net`, `--net-proxy`, `--dns`, `-p`, and `--net-file`,
//! which holds the same.

mod namespace;
mod tun;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use litebox_broker::net::Setup;
use litebox_broker::net::policy::{Mode, Policy};
use litebox_broker::net::proxy::Proxy;
use litebox_broker::net::publish::{Port, Publish};
use litebox_broker::net::rules::Rule;
use litebox_protocol::net::{GUEST_V4, GUEST_V6, MAX_PUBLISHED, OwnAddresses, Published};
use serde::Deserialize;

use tun::Opened;

/// The options.
#[derive(Args, Default)]
#[command(next_help_heading = "Network")]
pub struct NetworkOptions {
    /// What the program may reach: none (the default); public: every public address, but no private one and not the
    /// host; namespace: whatever this network namespace reaches, but its loopback; tun=NAME: whatever the host does
    /// with the packets of this TUN device.
    #[arg(long, visible_alias = "network", value_name = "none|public|namespace|tun=NAME")]
    pub net: Option<String>,
    /// Let the program reach these, and nothing else: HOST[:PORTS][/tcp|/udp|/tls][?private], such as github.com,
    /// *.example.org, git.example.org:22, 10.1.0.0/16:5432, or host:5432 for a port of this machine.
    #[arg(long, value_name = "RULE,...")]
    allow_net: Vec<String>,
    /// Keep the program from these, whatever else is allowed.
    #[arg(long, value_name = "RULE,...")]
    deny_net: Vec<String>,
    /// Make all connections by way of this HTTP proxy.
    #[arg(long, value_name = "http://HOST:PORT")]
    net_proxy: Option<String>,
    /// Ask this name server instead of those of the host.
    #[arg(long, value_name = "ADDR[:PORT]")]
    pub dns: Vec<String>,
    /// Read rules from a file (TOML): [net] with mode, allow, deny, publish, proxy, dns, report.
    #[arg(long, value_name = "FILE")]
    net_file: Option<PathBuf>,
    /// Let a port of this machine lead to a port of the sandbox; ADDR is 127.0.0.1 unless it is named.
    #[arg(short, long, value_name = "[ADDR:]HOST:PORT[/udp]")]
    pub publish: Vec<String>,
}

/// What the file holds.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    net: Section,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Section {
    mode: Option<String>,
    allow: Vec<String>,
    deny: Vec<String>,
    publish: Vec<String>,
    proxy: Option<String>,
    dns: Vec<String>,
    report: Option<bool>,
}

/// What the sandbox is told of its network.
#[derive(Default)]
pub struct Network {
    /// What the broker does; `None`: nothing leaves the sandbox, and nothing comes in.
    pub setup: Option<Setup>,
    /// The published ports, in the order of their numbers.
    pub published: Vec<Published>,
    /// Its addresses, where it is in a network namespace of its own.
    pub own: Option<OwnAddresses>,
    /// The TUN device that it has instead.
    pub tun: Option<Opened>,
}

impl Network {
    /// The sandbox's own addresses, which its name stands for.
    pub fn addresses(&self) -> Vec<IpAddr> {
        match (self.setup.as_ref(), self.own) {
            (Some(_), Some(own)) if own.v4 != [0; 4] => vec![Ipv4Addr::from(own.v4).into()],
            (Some(_), _) => vec![Ipv4Addr::from(GUEST_V4).into(), Ipv6Addr::from(GUEST_V6).into()],
            (None, _) => self.addresses_of_device(),
        }
    }
    fn addresses_of_device(&self) -> Vec<IpAddr> {
        let Some(Opened { tun, .. }) = &self.tun else { return vec![Ipv4Addr::LOCALHOST.into()] };
        let both: [IpAddr; 2] = [Ipv4Addr::from(tun.v4).into(), Ipv6Addr::from(tun.v6).into()];
        both.into_iter().filter(|own| !own.is_unspecified()).collect()
    }
}

/// How far a sandbox reaches.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Reach {
    None,
    Rules,
    Public,
    /// Whatever the host reaches, itself included: it is a network namespace that an engine made.
    Namespace,
    /// As far as the packets of a TUN device.
    Tun(String),
}

fn parse_reach(option: &str, text: &str) -> Result<Reach, String> {
    match text {
        "none" => Ok(Reach::None),
        "allow" => Ok(Reach::Rules),
        "public" => Ok(Reach::Public),
        "namespace" => Ok(Reach::Namespace),
        _ => match text.strip_prefix("tun=") {
            Some(name) => Ok(Reach::Tun(name.into())),
            None => Err(format!("{option} {text}: there are none, public, namespace and tun=NAME")),
        },
    }
}

fn rules(option: &str, lists: &[String]) -> Result<Vec<Rule>, String> {
    let each = lists.iter().map(|list| Rule::parse_list(list).map_err(|why| format!("{option}: {why}")));
    each.collect::<Result<Vec<_>, _>>().map(|lists| lists.into_iter().flatten().collect())
}

/// `ADDR[:PORT]`.
pub fn parse_server(text: &str) -> Result<SocketAddr, String> {
    const PORT: u16 = 53;
    let plain = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    plain
        .or_else(|_| text.parse())
        .map_err(|_| format!("--dns {text}: not an address such as 10.0.0.1 or 10.0.0.1:5353"))
}

fn read_file(path: &Path) -> Result<Section, String> {
    let failed = |why: String| format!("--net-file {}: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|e| {
        let line = e.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
        let place = line.map_or(String::new(), |line| format!("line {line}: "));
        failed(format!("{place}{}", e.message().lines().next().unwrap_or("not TOML")))
    })?;
    Ok(file.net)
}

/// Lists of the file and of the command line, one behind the other.
fn both(file: &[String], options: &[String]) -> Vec<String> {
    [file, options].concat()
}

/// Puts together what the user asked for, and takes the ports.
pub fn prepare(options: &NetworkOptions) -> Result<Network, String> {
    let file = options.net_file.as_deref().map(read_file).transpose()?.unwrap_or_default();
    let allow = rules("--allow-net", &both(&file.allow, &options.allow_net))?;
    let deny = rules("--deny-net", &both(&file.deny, &options.deny_net))?;
    let reach = match (&options.net, &file.mode) {
        (Some(text), _) => Some(parse_reach("--net", text)?),
        (None, Some(text)) => Some(parse_reach("--net-file: mode", text)?),
        (None, None) => None,
    };
    let reach = reach.unwrap_or(if allow.is_empty() { Reach::None } else { Reach::Rules });
    if reach == Reach::None && !allow.is_empty() {
        return Err("--net none and --allow-net exclude each other".into());
    }
    let proxy = options.net_proxy.as_deref().or(file.proxy.as_deref()).filter(|url| !url.is_empty());
    let proxy = proxy.map(|url| Proxy::parse(url).map_err(|why| format!("--net-proxy: {why}"))).transpose()?;
    let servers = both(&file.dns, &options.dns).iter().map(|text| parse_server(text)).collect::<Result<_, _>>()?;
    let publish = both(&file.publish, &options.publish);
    if publish.len() > MAX_PUBLISHED {
        return Err(format!("--publish: more than {MAX_PUBLISHED} ports"));
    }
    if let Reach::Tun(name) = &reach {
        let decided = !allow.is_empty() || !deny.is_empty() || !publish.is_empty() || proxy.is_some();
        if decided {
            return Err(format!(
                "--net tun={name}: the host decides what passes, so --allow-net, --deny-net, --net-proxy and --publish have no meaning"
            ));
        }
        return Ok(Network { tun: Some(tun::open(name)?), ..Network::default() });
    }
    let ports = publish.iter().map(|text| take_port(text)).collect::<Result<Vec<_>, _>>()?;
    let published = ports.iter().map(|port| port.what().describe()).collect();
    if reach == Reach::None && ports.is_empty() {
        return Ok(Network::default());
    }
    let mode = match reach {
        Reach::Public => Mode::Public,
        Reach::Namespace => Mode::Namespace,
        _ => Mode::Rules,
    };
    let policy = Policy { mode, allow, deny };
    let setup = Setup { policy, ports, servers, proxy, report: file.report.unwrap_or(true) };
    let own = (reach == Reach::Namespace).then(namespace::own_addresses);
    Ok(Network { setup: Some(setup), published, own, tun: None })
}

fn take_port(text: &str) -> Result<Port, String> {
    let what = Publish::parse(text).map_err(|why| format!("--publish: {why}"))?;
    Port::bind(what).map_err(|e| {
        format!("--publish {text}: port {} of {}: {}", what.outside.port(), what.outside.ip(), std::io::Error::from(e))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use super::{Network, NetworkOptions, prepare};

    fn options(change: impl FnOnce(&mut NetworkOptions)) -> Result<Network, String> {
        let mut options = NetworkOptions::default();
        change(&mut options);
        prepare(&options)
    }

    fn with_file(text: &str) -> Result<Network, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        options(|o| o.net_file = Some(file.path().into()))
    }

    #[test]
    fn nothing_is_reached_unless_somebody_says_so() {
        assert!(options(|_| ()).expect("good").setup.is_none());
        assert!(options(|o| o.net = Some("none".into())).expect("good").setup.is_none());
        assert!(options(|o| o.net = Some("public".into())).expect("good").setup.is_some());
        assert!(
            options(|o| o.allow_net.push("a.org,b.org".into())).expect("good").setup.is_some_and(|s| s
                .policy
                .allow
                .len()
                == 2)
        );
        let both = |o: &mut NetworkOptions| {
            o.net = Some("none".into());
            o.allow_net.push("a.org".into());
        };
        assert!(options(both).is_err_and(|why| why.contains("exclude")));
        let with_rules = |o: &mut NetworkOptions| {
            o.net = Some("tun=tun99".into());
            o.deny_net.push("a.org".into());
        };
        assert!(options(with_rules).is_err_and(|why| why.contains("tun=tun99") && why.contains("the host decides")));
        assert!(options(|o| o.net = Some("wormhole".into())).is_err_and(|why| why.contains("wormhole")));
        assert!(options(|o| o.deny_net.push("a b".into())).is_err_and(|why| why.contains("--deny-net")));
        assert!(options(|o| o.dns.push("nowhere".into())).is_err_and(|why| why.contains("--dns nowhere")));
    }

    #[test]
    fn a_file_holds_the_same() {
        let text = "[net]\nmode = \"allow\"\nallow = [\"github.com\", \"*.pkgs.example.org\"]\ndeny = [\"gist.github.com\"]\n\
            proxy = \"\"\nreport = false\ndns = [\"127.0.0.1:5353\"]\n";
        let setup = with_file(text).expect("good").setup.expect("a network");
        assert_eq!((setup.policy.allow.len(), setup.policy.deny.len()), (2, 1));
        assert!(!setup.report && setup.proxy.is_none() && setup.servers.len() == 1);
    }

    #[test]
    fn a_file_is_refused_with_its_line() {
        for (text, why) in [
            ("[net]\nallow = [\"a.org\"]\nallows = 1\n", "line 3"),
            ("[network]\n", "line 1"),
            ("[net]\nallow = \"a.org\"\n", "line 2"),
            ("[net]\nallow = [\"a b\"]\n", "a b"),
            ("[net]\nmode = \"open\"\n", "open"),
            ("[net\n", "line 1"),
        ] {
            let error = with_file(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
