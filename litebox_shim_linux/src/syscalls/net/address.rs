//! Addresses as `struct sockaddr` lays them out.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use litebox::net::{Address, Family, Socket, SocketKind, address};
use litebox::{Error, Result};
use smallvec::SmallVec;

use super::{AF_INET, AF_INET6, AF_NETLINK, EAFNOSUPPORT};
use crate::Task;
use crate::syscalls::unix::{self, AF_UNSPEC};
use crate::user::{read_bytes, read_into, word, write_bytes};

/// Size of `struct sockaddr_storage`.
pub(super) const LONGEST_ADDRESS: u32 = 128;
const SOCKADDR_IN: usize = 16;
/// Size of `struct sockaddr_in6` without its last field, which old programs do not know.
const SOCKADDR_IN6: usize = 24;
const SOCKADDR_NL: usize = 12;

/// The bytes of an address.
pub(in crate::syscalls) type Raw = SmallVec<[u8; 32]>;

/// What an address is given for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Bind,
    Connect,
    Send,
}

/// Reads the address at `at`: as many bytes as it is said to have.
pub(super) fn read_address(at: u64, len: u32) -> Result<Raw> {
    if len > LONGEST_ADDRESS {
        return Err(Error::Invalid);
    }
    let mut raw = Raw::from_elem(0, len as usize);
    read_into(at, &mut raw)?;
    Ok(raw)
}

/// Writes an address where the caller has room for `*len` bytes, and its full length to `len`.
pub(super) fn write_address(raw: &[u8], at: u64, len: u64) -> Result<()> {
    let room = i32::from_le_bytes(read_bytes(len)?);
    let room = usize::try_from(room).map_err(|_| Error::Invalid)?;
    write_bytes(at, raw.get(..room.min(raw.len())).unwrap_or_default())?;
    write_bytes(len, &(raw.len() as u32).to_le_bytes())
}

/// The family that the bytes of an address name.
fn family_of(raw: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes([*raw.first()?, *raw.get(1)?]))
}

fn port_of(raw: &[u8]) -> u16 {
    u16::from_be_bytes(word(raw, 2))
}

fn four_of(raw: &[u8]) -> SocketAddr {
    let ip = Ipv4Addr::from(word::<4>(raw, 4));
    SocketAddr::new(ip.into(), port_of(raw))
}

fn six_of(raw: &[u8]) -> SocketAddr {
    let scope = if raw.len() >= SOCKADDR_IN6 + 4 { u32::from_le_bytes(word(raw, 24)) } else { 0 };
    let ip = Ipv6Addr::from(word::<16>(raw, 8));
    match address::canonical(ip.into()) {
        IpAddr::V4(four) => SocketAddr::new(four.into(), port_of(raw)),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port_of(raw), u32::from_be_bytes(word(raw, 4)), scope).into(),
    }
}

/// What the bytes of an address say to a socket of IPv4.
fn parse_four(raw: &[u8], purpose: Purpose) -> Result<Address> {
    let family = family_of(raw).ok_or(Error::Invalid)?;
    if purpose == Purpose::Connect && family == AF_UNSPEC {
        return Ok(Address::Unspecified);
    }
    if raw.len() < SOCKADDR_IN {
        return Err(Error::Invalid);
    }
    let address = four_of(raw);
    let unspecified = family == AF_UNSPEC
        && match purpose {
            Purpose::Bind => address.ip().is_unspecified(),
            Purpose::Send => true,
            Purpose::Connect => false,
        };
    if i32::from(family) != AF_INET && !unspecified {
        return Err(EAFNOSUPPORT);
    }
    Ok(Address::Inet(address))
}

/// What the bytes of an address say to a socket of IPv6.
fn parse_six(raw: &[u8], purpose: Purpose) -> Result<Address> {
    let family = family_of(raw).ok_or(Error::Invalid)?;
    match (i32::from(family), purpose) {
        (AF_INET6, _) => {}
        (0, Purpose::Connect | Purpose::Send) => return Ok(Address::Unspecified),
        (AF_INET, Purpose::Send) => return parse_four(raw, purpose),
        (_, Purpose::Send) => return Err(Error::Invalid),
        _ if raw.len() < SOCKADDR_IN6 => return Err(Error::Invalid),
        _ => return Err(EAFNOSUPPORT),
    }
    if raw.len() < SOCKADDR_IN6 {
        return Err(Error::Invalid);
    }
    Ok(Address::Inet(six_of(raw)))
}

fn parse_netlink(raw: &[u8]) -> Result<Address> {
    if raw.len() < SOCKADDR_NL || family_of(raw).map(i32::from) != Some(AF_NETLINK) {
        return Err(Error::Invalid);
    }
    let (port, groups) = (u32::from_le_bytes(word(raw, 4)), u32::from_le_bytes(word(raw, 8)));
    Ok(Address::Netlink { port, groups })
}

impl Task<'_, '_> {
    /// What the bytes of an address say to a socket.
    pub(super) fn address_for(&self, socket: &dyn Socket, raw: &[u8], purpose: Purpose) -> Result<Address> {
        match socket.family() {
            Family::Inet => parse_four(raw, purpose),
            Family::Inet6 => parse_six(raw, purpose),
            Family::Netlink if purpose == Purpose::Connect && family_of(raw) == Some(AF_UNSPEC) => {
                Ok(Address::Unspecified)
            }
            Family::Netlink => parse_netlink(raw),
            Family::Unix => {
                let forgets = purpose == Purpose::Connect && family_of(raw) == Some(AF_UNSPEC);
                if forgets && socket.kind() == SocketKind::Datagram {
                    return Ok(Address::Unspecified);
                }
                let given = unix::parse(raw)?;
                if purpose == Purpose::Bind {
                    self.place_to_bind(socket, given)
                } else {
                    self.find_address(socket.kind(), given)
                }
            }
        }
    }
}

/// An address as a socket of `family` shows it.
pub(super) fn address_bytes(address: &Address, family: Family) -> Raw {
    match address {
        Address::Unspecified => Raw::new(),
        Address::Unix(place) => unix::address_bytes(place.as_deref().map(|place| &place.shown)),
        Address::Inet(inet) => inet_bytes(*inet, family == Family::Inet6),
        Address::Netlink { port, groups } => {
            let mut raw = Raw::from_slice(&AF_NETLINK.to_le_bytes());
            raw.extend_from_slice(&port.to_le_bytes());
            raw.extend_from_slice(&groups.to_le_bytes());
            raw
        }
    }
}

fn inet_bytes(address: SocketAddr, six: bool) -> Raw {
    let mut raw = Raw::new();
    match address::shown(address, six) {
        SocketAddr::V4(four) => {
            raw.extend_from_slice(&(AF_INET as u16).to_le_bytes());
            raw.extend_from_slice(&four.port().to_be_bytes());
            raw.extend_from_slice(&four.ip().octets());
            raw.extend_from_slice(&[0; 8]);
        }
        SocketAddr::V6(six) => {
            raw.extend_from_slice(&(AF_INET6 as u16).to_le_bytes());
            raw.extend_from_slice(&six.port().to_be_bytes());
            raw.extend_from_slice(&six.flowinfo().to_be_bytes());
            raw.extend_from_slice(&six.ip().octets());
            raw.extend_from_slice(&six.scope_id().to_le_bytes());
        }
    }
    raw
}
