//! Addresses that are no public ones: what is refused unless a rule opens it, in every form in which an address can be
//! written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// One of the public network.
    Global,
    /// One that an organisation gives out itself: of this range. A name may lead there when its rule says so.
    Private(IpNet),
    /// One with a meaning of its own (link-local, metadata, multicast, reserved): only a rule for addresses of this
    /// range opens it.
    Special(IpNet),
    /// Never reached by an address: the host's loopback, and IPv6 addresses that stand for an IPv4 address that is not
    /// public.
    Never,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len))
}

const fn v6(segments: [u16; 8], len: u8) -> IpNet {
    let s = segments;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), len))
}

/// Private use: RFC 1918, shared addresses of providers (RFC 6598), unique local addresses (RFC 4193).
const PRIVATE: [IpNet; 5] = [
    v4(10, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    v4(100, 64, 0, 0, 10),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
];

/// Inside of private ranges, or of the public one: where clouds keep what only a machine itself should see.
const METADATA: [IpNet; 3] =
    [v4(100, 100, 100, 200, 32), v4(168, 63, 129, 16, 32), v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32)];

/// Link-local (with the metadata servers of clouds), assignments of protocols, benchmarks, multicast, reserved; of IPv6
/// also the deprecated site-local and IPv4-compatible ones, the discard-only block, and local translation prefixes (RFC
/// 8215).
const SPECIAL: [IpNet; 10] = [
    v4(169, 254, 0, 0, 16),
    v4(192, 0, 0, 0, 24),
    v4(198, 18, 0, 0, 15),
    v4(224, 0, 0, 0, 3),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
];

/// This host, on this network.
const THIS_HOST: [IpNet; 4] =
    [v4(0, 0, 0, 0, 8), v4(127, 0, 0, 0, 8), v6([0; 8], 128), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)];

/// The one form of an address: IPv4 addresses in IPv6 clothes become what they are.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 address to which a gateway would translate this one: of 6to4 (2002::/16), of NAT64 (64:ff9b::/96), of
/// Teredo (2001::/32, the client's).
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d] = address.octets()[12..] else { return None };
    match address.segments() {
        [0x2002, high, low, ..] => Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(Ipv4Addr::new(a, b, c, d)),
        [0x2001, 0, ..] => Some(Ipv4Addr::new(!a, !b, !c, !d)),
        _ => None,
    }
}

/// The IPv4 address to which gateways translate an IPv6 address, if there is one.
pub fn stands_for(address: IpAddr) -> Option<IpAddr> {
    match canonical(address) {
        IpAddr::V6(v6) => translated(v6).map(IpAddr::V4),
        IpAddr::V4(_) => None,
    }
}

/// What an address is, whatever its form.
pub fn class(address: IpAddr) -> Class {
    let address = canonical(address);
    let within = |ranges: &[IpNet]| ranges.iter().find(|range| range.contains(&address)).copied();
    if within(&THIS_HOST).is_some() {
        return Class::Never;
    }
    if let IpAddr::V6(v6) = address {
        if let Some(v4) = translated(v6) {
            return if class(IpAddr::V4(v4)) == Class::Global { Class::Global } else { Class::Never };
        }
    }
    if let Some(range) = within(&METADATA).or_else(|| within(&SPECIAL)) {
        return Class::Special(range);
    }
    within(&PRIVATE).map_or(Class::Global, Class::Private)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use std::net::IpAddr;

    use super::{Class, class};

    fn class_of(text: &str) -> Class {
        class(text.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn public_addresses_are_global() {
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.1.1",
            "203.0.113.9",
            "223.255.255.255",
            "2606:4700::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:0101:0101::1",
        ];
        for text in public {
            assert_eq!(class_of(text), Class::Global, "{text}");
        }
    }

    #[test]
    fn private_addresses_are_private_in_their_own_and_in_mapped_form() {
        let private =
            ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.0.1"];
        for text in private {
            assert!(matches!(class_of(text), Class::Private(_)), "{text}");
            assert!(matches!(class_of(&format!("::ffff:{text}")), Class::Private(_)), "mapped {text}");
        }
        for text in ["fc00::1", "fdff::1", "fd00::2:15"] {
            assert!(matches!(class_of(text), Class::Private(_)), "{text}");
        }
    }

    #[test]
    fn special_addresses_are_special() {
        let special = [
            "169.254.0.1",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "192.0.0.192",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff05::2",
            "100::1",
            "64:ff9b:1::10.0.0.1",
            "::10.0.0.1",
            "::1.1.1.1",
        ];
        for text in special {
            assert!(matches!(class_of(text), Class::Special(_)), "{text}: {:?}", class_of(text));
        }
    }

    #[test]
    fn this_host_and_what_stands_for_it_is_never_reached() {
        let never =
            ["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0"];
        for text in never {
            assert_eq!(class_of(text), Class::Never, "{text}");
        }
    }

    #[test]
    fn gateways_do_not_lead_to_private_addresses() {
        let never = [
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::192.168.1.1",
            "2002:0a00:0001::",
            "2002:7f00:0001::1",
            "2002:a9fe:a9fe::",
            "2002:c0a8:0101::",
            // Teredo: the client's address is inverted.
            "2001:0:1:2:3:4:f5ff:fffe",
            "2001:0:1:2:3:4:80ff:fffe",
        ];
        for text in never {
            assert_eq!(class_of(text), Class::Never, "{text}");
        }
    }
}
