//! The addresses of the network namespace that this process is in.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use litebox_broker::net::routes::HostRoutes;
use litebox_protocol::net::OwnAddresses;

/// Addresses that nobody has (RFC 5737, RFC 3849): what leads there is the default route.
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
const V6_BITS: u8 = 64;

/// Those from which it is left. Without a default route, that of the first route.
pub fn own_addresses() -> OwnAddresses {
    let routes = HostRoutes::new();
    let table = Table::parse(&fs::read_to_string("/proc/net/route").unwrap_or_default());
    let [four, six] = ELSEWHERE.map(|to| routes.source(to));
    let neighbour =
        || table.networks.first().and_then(|(network, _)| routes.source(Ipv4Addr::from(network | 1).into()));
    let mut own = OwnAddresses::default();
    if let Some(IpAddr::V4(four)) = four.or_else(neighbour).filter(|address| !address.is_loopback()) {
        (own.v4, own.v4_bits) = (four.octets(), table.bits_of(four));
    }
    if let Some(IpAddr::V6(six)) = six.filter(|address| !address.is_loopback()) {
        (own.v6, own.v6_bits) = (six.octets(), V6_BITS);
    }
    own
}

/// The networks that are reached without a gateway, by address and mask.
struct Table {
    networks: Vec<(u32, u32)>,
}

impl Table {
    /// From the text of /proc/net/route: Iface, Destination, Gateway, five columns, Mask.
    fn parse(text: &str) -> Self {
        let number = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::from_be);
        let networks = text.lines().skip(1).filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [network, gateway, mask] = [1, 2, 7].map(|column| words.get(column).and_then(|word| number(word)));
            (gateway? == 0 && mask? != 0).then_some((network?, mask?))
        });
        Self { networks: networks.collect() }
    }

    /// How many bits name the network of an address of this machine.
    fn bits_of(&self, address: Ipv4Addr) -> u8 {
        let own = u32::from(address);
        let masks = self.networks.iter().filter(|(network, mask)| own & mask == *network);
        u8::try_from(masks.map(|(_, mask)| mask.leading_ones()).max().unwrap_or(u32::BITS)).unwrap_or(32)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::Table;

    #[test]
    fn networks_of_the_table() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0100580A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t0000580A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let table = Table::parse(text);
        assert_eq!(table.networks, [(0x0a58_0000, 0xffff_0000)]);
        assert_eq!(table.bits_of(Ipv4Addr::new(10, 88, 0, 5)), 16);
        assert_eq!(table.bits_of(Ipv4Addr::new(10, 89, 0, 5)), 32);
    }
}
