#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::super::names::Names;
use super::super::rules::{Rule, Transport};
use super::{Mode, Permit, Policy, Routes};

use Transport::{Tcp, Udp};

/// A host with these addresses.
struct Own(&'static [&'static str]);

impl Routes for Own {
    fn is_own(&self, address: IpAddr) -> bool {
        self.0.iter().any(|own| own.parse::<IpAddr>().unwrap() == address)
    }
}

const OWN: Own = Own(&["203.0.113.5", "192.168.7.7"]);

struct Scene {
    policy: Policy,
    names: Names,
    now: Instant,
}

impl Scene {
    fn new(allow: &str, deny: &str) -> Self {
        let list = |text: &str| if text.is_empty() { Vec::new() } else { Rule::parse_list(text).unwrap() };
        let policy = Policy { mode: Mode::Rules, allow: list(allow), deny: list(deny) };
        Self { policy, names: Names::default(), now: Instant::now() }
    }
    fn public(deny: &str) -> Self {
        let mut scene = Self::new("", deny);
        scene.policy.mode = Mode::Public;
        scene
    }
    /// `name` has led to `address`.
    fn answered(mut self, name: &str, address: &str) -> Self {
        self.names.learn(name, address.parse().unwrap(), 60, self.now);
        self
    }
    fn ask(&self, to: &str, transport: Transport) -> Result<Permit, String> {
        let to: SocketAddr = to.parse().unwrap();
        self.policy.permits(to, transport, &self.names, &OWN, self.now).map_err(|refusal| refusal.line())
    }
    fn passes(&self, to: &str) -> bool {
        self.ask(to, Tcp).is_ok()
    }
    fn line(&self, to: &str, transport: Transport) -> String {
        self.ask(to, transport).unwrap_err()
    }
}

#[test]
fn nothing_passes_without_a_rule_and_the_line_names_the_one_to_add() {
    let scene = Scene::new("", "").answered("example.com", "198.51.100.1").answered("db.internal", "10.0.0.9");
    let line = |to, transport| scene.line(to, transport);
    assert_eq!(line("198.51.100.1:443", Tcp), "network: example.com:443 not allowed (--allow-net example.com)");
    assert_eq!(line("198.51.100.1:22", Tcp), "network: example.com:22 not allowed (--allow-net example.com:22)");
    assert_eq!(
        line("198.51.100.1:53", Udp),
        "network: example.com:53/udp not allowed (--allow-net example.com:53/udp)"
    );
    assert_eq!(line("9.9.9.9:443", Tcp), "network: 9.9.9.9:443 not allowed (--allow-net 9.9.9.9:443)");
    assert_eq!(line("[2606::1]:8", Udp), "network: [2606::1]:8/udp not allowed (--allow-net [2606::1]:8/udp)");
    assert_eq!(line("10.0.0.9:80", Tcp), "network: db.internal:80 not allowed (--allow-net db.internal?private)");
    assert_eq!(line("10.0.2.2:5432", Tcp), "network: host:5432 not allowed (--allow-net host:5432)");
    assert_eq!(line("10.0.2.2:53", Udp), "network: host:53/udp not allowed (--allow-net host:53/udp)");
    assert_eq!(line("127.0.0.1:80", Tcp), "network: 127.0.0.1:80 not allowed (the host is reached as host:PORT)");
}

/// What a line tells to add lets the same connection pass.
#[test]
fn the_rule_that_a_line_names_is_the_right_one() {
    let asked = [
        ("198.51.100.1:443", Tcp),
        ("198.51.100.1:80", Tcp),
        ("198.51.100.1:22", Tcp),
        ("198.51.100.1:443", Udp),
        ("10.0.0.9:80", Tcp),
        ("10.0.0.9:53", Udp),
        ("10.0.2.2:5432", Tcp),
        ("10.0.2.2:53", Udp),
        ("[fd00::2:2]:80", Tcp),
        ("9.9.9.9:443", Tcp),
        ("[2606::1]:8", Udp),
        ("10.9.9.9:1", Tcp),
        ("169.254.169.254:80", Tcp),
        ("203.0.113.5:80", Tcp),
    ];
    let known = |scene: Scene| scene.answered("example.com", "198.51.100.1").answered("db.internal", "10.0.0.9");
    for (to, transport) in asked {
        let line = known(Scene::new("", "")).line(to, transport);
        let rule = line.split_once("--allow-net ").unwrap().1.trim_end_matches(')');
        assert!(known(Scene::new(rule, "")).ask(to, transport).is_ok(), "{to} by {rule}");
    }
}

#[test]
fn a_rule_for_a_name_lets_pass_what_that_name_was_answered_with() {
    let scene = Scene::new("github.com,*.pkgs.org:8080", "").answered("github.com", "198.51.100.1");
    let scene = scene.answered("a.pkgs.org", "198.51.100.2").answered("other.org", "198.51.100.3");
    assert_eq!(scene.ask("198.51.100.1:80", Tcp).unwrap().hello, None);
    assert_eq!(scene.ask("198.51.100.1:443", Tcp).unwrap().hello, Some(vec![0]));
    assert_eq!(scene.ask("[::ffff:198.51.100.1]:80", Tcp).unwrap().to, "198.51.100.1:80".parse().unwrap());
    assert!(scene.passes("198.51.100.2:8080"));
    for other in ["198.51.100.1:22", "198.51.100.2:443", "198.51.100.3:443", "198.51.100.4:443"] {
        assert!(!scene.passes(other), "{other}");
    }
    assert!(scene.ask("198.51.100.1:443", Udp).is_err());
}

#[test]
fn the_name_in_the_first_flight_is_one_of_the_rules_by_which_it_passed() {
    let scene = Scene::new("github.com,*.cdn.org,elsewhere.org", "gist.cdn.org").answered("a.cdn.org", "198.51.100.1");
    let rules = scene.ask("198.51.100.1:443", Tcp).unwrap().hello.unwrap();
    let hello = |name: &str| scene.policy.permits_hello(name, 443, &rules).map_err(|refusal| refusal.line());
    assert_eq!(hello("a.cdn.org"), Ok(()));
    assert_eq!(hello("b.cdn.org"), Ok(()));
    assert_eq!(hello("gist.cdn.org").unwrap_err(), "network: gist.cdn.org:443 not allowed (--deny-net gist.cdn.org)");
    assert_eq!(hello("evil.org").unwrap_err(), "network: evil.org:443 not allowed (--allow-net evil.org)");
    // Allowed, but never answered with this address.
    assert!(hello("elsewhere.org").is_err() && hello("cdn.org").is_err());
}

#[test]
fn a_plain_rule_beside_a_tls_rule_wins() {
    let scene = Scene::new("ssh.org,ssh.org:443/tcp", "").answered("ssh.org", "198.51.100.1");
    assert_eq!(scene.ask("198.51.100.1:443", Tcp).unwrap().hello, None);
}

#[test]
fn rebinding_is_caught_when_connecting_and_in_the_answer() {
    let private = ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1", "64:ff9b::10.0.0.1", "203.0.113.5"];
    for address in private {
        let scene = Scene::new("evil.org:*", "").answered("evil.org", address);
        let to = SocketAddr::new(address.parse().unwrap(), 80).to_string();
        assert!(!scene.passes(&to), "{address}");
        assert!(!scene.policy.permits_answer("evil.org", address.parse().unwrap(), &OWN), "{address}");
        let public = Scene::public("").answered("evil.org", address);
        assert!(!public.passes(&to) && !public.policy.permits_answer("evil.org", address.parse().unwrap(), &OWN));
    }
    let scene = Scene::new("evil.org:*", "");
    assert!(scene.policy.permits_answer("evil.org", "198.51.100.1".parse().unwrap(), &OWN));
}

#[test]
fn private_names_lead_to_private_addresses_and_to_nothing_else() {
    let scene = Scene::new("*.internal:80?private", "").answered("db.internal", "10.0.0.1");
    let scene = scene.answered("db.internal", "127.0.0.1").answered("db.internal", "169.254.169.254");
    let scene = scene.answered("db.internal", "192.168.7.7").answered("db.internal", "198.51.100.1");
    assert!(scene.passes("10.0.0.1:80") && scene.passes("198.51.100.1:80"));
    for other in ["127.0.0.1:80", "169.254.169.254:80", "192.168.7.7:80", "10.0.0.2:80"] {
        assert!(!scene.passes(other), "{other}");
    }
}

#[test]
fn public_is_every_public_address_and_none_of_the_others() {
    let scene = Scene::public("198.51.100.0/24,gist.org,*.bad.org:22").answered("ok.org", "9.9.9.9");
    for to in ["9.9.9.9:443", "9.9.9.9:22", "[2606::1]:1"] {
        assert_eq!(scene.ask(to, Tcp).unwrap().hello, None);
        assert!(scene.ask(to, Udp).is_ok());
    }
    let denied = [
        "10.0.0.1:80",
        "100.64.0.1:80",
        "127.0.0.1:80",
        "0.0.0.0:80",
        "169.254.169.254:80",
        "172.16.0.1:80",
        "192.168.0.1:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[::]:80",
        "[::1]:80",
        "[fd00::1]:80",
        "[fe80::1]:80",
        "[ff02::1]:80",
        "[::ffff:10.0.0.1]:80",
        "[::ffff:127.0.0.1]:80",
        "[2002:0a00:0001::1]:80",
        "[64:ff9b::a00:1]:80",
        "[::ffff:203.0.113.5]:80",
        "203.0.113.5:80",
        "10.0.2.2:80",
        "198.51.100.7:80",
        // The same by NAT64 and 6to4, and one of the host's own.
        "[64:ff9b::c633:6407]:80",
        "[2002:c633:6407::1]:80",
        "[64:ff9b::cb00:7105]:80",
    ];
    for to in denied {
        assert!(!scene.passes(to) && scene.ask(to, Udp).is_err(), "{to}");
    }
    assert!(scene.policy.permits_name("ok.org").is_ok());
    assert_eq!(
        scene.policy.permits_name("gist.org").unwrap_err().line(),
        "network: gist.org not allowed (--deny-net gist.org)"
    );
    // Only one port of it is denied.
    assert!(scene.policy.permits_name("x.bad.org").is_ok());
}

#[test]
fn denying_wins() {
    let scene = Scene::new("*.github.com,10.0.0.0/8:80", "gist.github.com,10.1.0.0/16")
        .answered("gist.github.com", "198.51.100.1");
    assert!(!scene.passes("198.51.100.1:80"));
    assert!(
        scene.policy.permits_name("gist.github.com").is_err() && scene.policy.permits_name("api.github.com").is_ok()
    );
    assert!(scene.passes("10.2.0.1:80") && !scene.passes("10.1.0.1:80"));
    // The same address by another name.
    let scene = scene.answered("api.github.com", "198.51.100.1");
    assert_eq!(scene.ask("198.51.100.1:80", Tcp).unwrap().name.as_deref(), Some("api.github.com"));
    let scene = Scene::new("host:*", "host:22");
    assert!(scene.passes("10.0.2.2:80") && !scene.passes("10.0.2.2:22"));
}

#[test]
fn the_hosts_loopback_is_reached_by_its_own_rule_only() {
    let scene = Scene::new("host:5432,10.0.0.0/8:80,0.0.0.0/0:80", "");
    assert_eq!(scene.ask("10.0.2.2:5432", Tcp).unwrap().to, "127.0.0.1:5432".parse().unwrap());
    assert_eq!(scene.ask("[fd00::2:2]:5432", Tcp).unwrap().to, "[::1]:5432".parse().unwrap());
    assert!(scene.ask("10.0.2.2:5432", Udp).is_err());
    for to in ["10.0.2.2:80", "127.0.0.1:80", "127.0.0.1:5432", "[::1]:5432", "[::ffff:127.0.0.1]:80"] {
        assert!(!scene.passes(to), "{to}");
    }
}

#[test]
fn names_that_no_rule_is_for_are_not_asked_for() {
    let scene = Scene::new("github.com,*.example.org:22,host:1", "");
    for name in ["github.com", "a.example.org", "a.b.example.org"] {
        assert!(scene.policy.permits_name(name).is_ok(), "{name}");
    }
    for name in ["secret.github.com", "example.org", "exfiltrated.evil.org", "org", "localhost"] {
        assert!(scene.policy.permits_name(name).is_err(), "{name}");
    }
    assert!(scene.policy.opens_host() && !Scene::new("a.org", "").policy.opens_host());
}

/// In a namespace that an engine made everything is reached but the loopback, in whatever form it is asked for.
#[test]
fn a_namespace_is_reached_but_for_its_loopback() {
    let mut scene = Scene::new("", "10.9.0.0/16:80");
    scene.policy.mode = Mode::Namespace;
    for to in ["198.51.100.1:443", "10.0.0.9:5432", "169.254.169.254:80", "203.0.113.5:22", "[fd00::7]:1"] {
        assert!(scene.passes(to), "{to}");
    }
    for to in ["127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "10.0.2.2:5432", "10.9.1.1:80"] {
        assert!(!scene.passes(to), "{to}");
    }
    assert!(scene.policy.permits_name("db.internal").is_ok());
    let answer = |address: &str| scene.policy.permits_answer("db.internal", address.parse().unwrap(), &OWN);
    assert_eq!(["10.0.0.9", "203.0.113.5", "127.0.0.1"].map(answer), [true, true, false]);
}
