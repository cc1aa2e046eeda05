#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::IpAddr;

use super::super::ranges::class;
use super::{Pass, Rule, Transport, normal_name};

use Transport::{Tcp, Udp};

fn rule(text: &str) -> Rule {
    Rule::parse(text).unwrap()
}

fn opens(text: &str, address: &str, own: bool) -> bool {
    let address: IpAddr = address.parse().unwrap();
    rule(text).opens_address(address, class(address), own)
}

#[test]
fn a_name_without_a_port_is_https_and_http() {
    let rule = rule("github.com");
    assert_eq!(rule.allows(443, Tcp), Some(Pass::Tls));
    assert_eq!(rule.allows(80, Tcp), Some(Pass::Plain));
    for (port, transport) in [(22, Tcp), (443, Udp), (80, Udp), (8080, Tcp)] {
        assert_eq!(rule.allows(port, transport), None, "{port}");
    }
    assert!(rule.matches_name("github.com"));
    assert!(!rule.matches_name("gist.github.com") && !rule.matches_name("notgithub.com") && !rule.matches_name("com"));
}

#[test]
fn a_star_is_for_names_below_only() {
    let rule = rule("*.pkgs.example.org");
    assert!(rule.matches_name("a.pkgs.example.org") && rule.matches_name("a.b.pkgs.example.org"));
    for other in
        ["pkgs.example.org", "xpkgs.example.org", ".pkgs.example.org", "example.org", "a.pkgs.example.org.evil"]
    {
        assert!(!rule.matches_name(other), "{other}");
    }
    assert_eq!(rule.allows(443, Tcp), Some(Pass::Tls));
}

#[test]
fn one_port_is_tcp_unless_it_is_https() {
    assert_eq!(rule("github.com:22").allows(22, Tcp), Some(Pass::Plain));
    assert_eq!(rule("github.com:22").allows(443, Tcp), None);
    assert_eq!(rule("github.com:22").allows(22, Udp), None);
    assert_eq!(rule("github.com:443").allows(443, Tcp), Some(Pass::Tls));
    assert_eq!(rule("ssh.github.com:443/tcp").allows(443, Tcp), Some(Pass::Plain));
    assert_eq!(rule("mail.example.com:993/tls").allows(993, Tcp), Some(Pass::Tls));
}

#[test]
fn udp_is_always_said() {
    assert_eq!(rule("example.com:*/udp").allows(5000, Udp), Some(Pass::Plain));
    assert_eq!(rule("example.com:*/udp").allows(5000, Tcp), None);
    assert_eq!(rule("example.com:*").allows(5000, Udp), None);
    assert_eq!(rule("example.com:*").allows(5000, Tcp), Some(Pass::Plain));
    assert_eq!(rule("example.com:*").allows(443, Tcp), Some(Pass::Tls));
    assert_eq!(rule("example.com/udp").allows(443, Udp), Some(Pass::Plain));
    assert_eq!(rule("example.com/tls").allows(443, Tcp), Some(Pass::Tls));
    assert_eq!(rule("example.com/tls").allows(80, Tcp), None);
}

#[test]
fn ranges_of_ports() {
    let rule = rule("example.com:6000-6010");
    assert_eq!((rule.allows(6000, Tcp), rule.allows(6010, Tcp)), (Some(Pass::Plain), Some(Pass::Plain)));
    assert_eq!((rule.allows(5999, Tcp), rule.allows(6011, Tcp)), (None, None));
}

#[test]
fn the_host_is_a_host_of_its_own() {
    assert!(rule("host:5432").is_for_host() && rule("HOST:5432").is_for_host());
    assert_eq!(rule("host:5432").allows(5432, Tcp), Some(Pass::Plain));
    assert_eq!(rule("host:443").allows(443, Tcp), Some(Pass::Plain));
    assert_eq!(rule("host:53/udp").allows(53, Udp), Some(Pass::Plain));
    assert!(!rule("host:5432").matches_name("host") && !rule("host.example.org:1").is_for_host());
}

#[test]
fn addresses_are_opened_by_rules_for_them() {
    assert!(opens("10.1.0.0/16:5432", "10.1.255.1", false));
    assert!(!opens("10.1.0.0/16:5432", "10.2.0.1", false));
    assert!(opens("[2606:4700::1]:443", "2606:4700::1", false));
    assert!(opens("2606:4700::/32", "2606:4700::1", false));
    assert!(opens("1.1.1.1", "1.1.1.1", false));
    assert_eq!(rule("10.1.0.0/16:5432").allows(5432, Tcp), Some(Pass::Plain));
    assert_eq!(rule("1.1.1.1").allows(443, Tcp), Some(Pass::Plain));
    assert_eq!(rule("[2001:db8::1]:443").allows(443, Tcp), Some(Pass::Plain));
    assert_eq!(rule("::ffff:9.9.9.9"), Rule { text: "::ffff:9.9.9.9".into(), ..rule("9.9.9.9") });
}

#[test]
fn a_wide_range_does_not_open_what_is_not_public() {
    for address in ["10.0.0.1", "169.254.169.254", "192.168.0.1", "224.0.0.1", "127.0.0.1", "0.0.0.0"] {
        assert!(!opens("0.0.0.0/0", address, false), "{address}");
    }
    assert!(opens("0.0.0.0/0", "1.1.1.1", false));
    assert!(!opens("::/0", "fd00::1", false) && !opens("::/0", "::1", false) && opens("::/0", "2606:4700::1", false));
    assert!(opens("169.254.169.254", "169.254.169.254", false));
    assert!(opens("239.0.0.0/8", "239.1.2.3", false));
}

#[test]
fn the_hosts_own_addresses_are_opened_one_by_one() {
    assert!(!opens("10.1.0.0/16", "10.1.0.5", true) && opens("10.1.0.5", "10.1.0.5", true));
    assert!(!opens("0.0.0.0/0", "203.0.113.5", true) && opens("203.0.113.5/32", "203.0.113.5", true));
}

#[test]
fn names_may_be_private_when_the_rule_says_so() {
    let rule = rule("*.internal:8080?private");
    assert!(rule.is_private() && rule.matches_name("db.internal"));
    assert_eq!(rule.allows(8080, Tcp), Some(Pass::Plain));
    assert!(!Rule::parse("*.internal:8080/tcp").unwrap().is_private());
    assert!(Rule::parse("db.internal:8080/udp?private").unwrap().is_private());
}

#[test]
fn denying_rules_without_a_port_are_for_everything() {
    let all = rule("gist.github.com");
    assert!(all.denies(22, Tcp) && all.denies(443, Udp) && all.denies_everything());
    let one = rule("example.com:22");
    assert!(one.denies(22, Tcp) && one.denies(22, Udp) && !one.denies(23, Tcp) && !one.denies_everything());
    let udp = rule("example.com:*/udp");
    assert!(udp.denies(22, Udp) && !udp.denies(22, Tcp) && !udp.denies_everything());
    assert!(rule("10.0.0.0/8").has_address("10.1.1.1".parse().unwrap()));
}

#[test]
fn names_have_one_form() {
    assert_eq!(normal_name("GitHub.COM.").unwrap(), "github.com");
    assert_eq!(normal_name("bücher.example").unwrap(), "xn--bcher-kva.example");
    assert_eq!(normal_name("_xmpp._tcp.example.org").unwrap(), "_xmpp._tcp.example.org");
    assert!(rule("Bücher.Example").matches_name("xn--bcher-kva.example"));
    for bad in ["", ".", "a..b", "a b", "a/b", "127.1", "1.2.3.4.5", "0x7f.0x1", "256.1.1.1"] {
        assert!(normal_name(bad).is_err(), "{bad}");
    }
    assert!(normal_name(&format!("{}.example", "a".repeat(64))).is_err());
    assert!(normal_name(&"a.".repeat(128)).is_err() && normal_name(&format!("{}ab", "a.".repeat(125))).is_ok());
}

#[test]
fn what_is_no_rule_is_refused_with_a_reason() {
    let bad = [
        ("", "no host"),
        (":80", "no host"),
        ("*", "--net public"),
        ("a.*.org", "in front"),
        ("*example.org", "in front"),
        ("host", "host:PORT"),
        ("host:0", "not a port"),
        ("example.com:", "not a port"),
        ("example.com:70000", "not a port"),
        ("example.com:+80", "not a port"),
        ("example.com:90-80", "empty range"),
        ("example.com:80/sctp", "not a port"),
        ("example.com/sctp", "not /tcp"),
        ("example.com?public", "?private"),
        ("10.0.0.0/8?private", "for names"),
        ("10.0.0.0/8:443/tls", "of a name"),
        ("10.0.0.0/33", "no length"),
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("127.0.0.1:80", "host:PORT"),
        ("127.0.0.0/8", "host:PORT"),
        ("[::1]:80", "host:PORT"),
        ("::ffff:127.0.0.1", "host:PORT"),
        ("0.0.0.0", "host:PORT"),
        ("::ffff:10.0.0.0/104", "as such"),
        ("[::1:80", "]"),
        ("[2606::1]80", "not a port"),
        ("exa mple.com", "not a name"),
        ("http://example.com", "not a"),
    ];
    for (text, why) in bad {
        let error = Rule::parse(text).expect_err(text);
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn lists_are_separated_by_commas() {
    assert_eq!(Rule::parse_list("a.org, b.org:22,10.0.0.1").unwrap().len(), 3);
    assert!(Rule::parse_list("a.org,,b.org").is_err());
}
