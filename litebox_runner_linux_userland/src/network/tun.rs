//! `--net tun=NAME`: a TUN device that exists already, opened for the sandbox. Who made it, and what the host does with
//! its packets, is not decided here.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use litebox_protocol::net::Tun;

const DEVICE: &str = "/dev/net/tun";
/// The longest name of a network device, with its end.
const NAME_SIZE: usize = 16;
/// How it can be made.
const SETUP: &str = "litebox_platform_linux_userland/scripts/tun-setup.sh";
/// Length of the header that precedes each packet (`struct virtio_net_hdr_v1`).
const HEADER: libc::c_int = 12;

/// An opened device, and what the sandbox is told of it; its descriptor is not the sandbox's yet.
#[derive(Debug)]
pub struct Opened {
    pub descriptor: OwnedFd,
    pub tun: Tun,
}

/// `struct ifreq`, as far as it is used here.
#[repr(C)]
struct Request {
    name: [u8; NAME_SIZE],
    value: libc::c_int,
    rest: [u8; 20],
}

impl Request {
    fn new(name: &str, value: libc::c_int) -> Self {
        let mut request = Self { name: [0; NAME_SIZE], value, rest: [0; 20] };
        request.name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        request
    }
}

/// Opens the device with this name.
pub fn open(name: &str) -> Result<Opened, String> {
    let failed = |why: String| format!("--net tun={name}: {why}");
    if name.is_empty() || name.len() >= NAME_SIZE || name.contains(['/', ' ']) {
        return Err(failed("not a name of a network device".into()));
    }
    // A name that nobody has would make a device, where that is allowed.
    let flags = std::fs::read_to_string(format!("/sys/class/net/{name}/tun_flags"));
    let known = flags.ok().or_else(|| exists(name).then(String::new));
    if known.is_none() {
        return Err(failed(format!("there is no such TUN device (sudo {SETUP} {name} makes one)")));
    }
    let device = attach(name).map_err(|e| failed(explain(&e)))?;
    let mtu = mtu(name).map_err(|e| failed(format!("its longest packet: {e}")))?;
    let (v4, v6) = addresses(name);
    if v4.is_none() && v6.is_none() {
        return Err(failed(format!("it has no address (sudo {SETUP} {name} gives it one)")));
    }
    let mut tun = Tun { mtu, ..Tun::default() };
    if let Some((host, prefix)) = v4 {
        tun.v4 = Ipv4Addr::from_bits(beside(host.to_bits().into(), 32, prefix) as u32).octets();
        tun.prefix_v4 = prefix;
    }
    if let Some((host, prefix)) = v6 {
        tun.v6 = Ipv6Addr::from_bits(beside(host.to_bits(), 128, prefix)).octets();
        tun.prefix_v6 = prefix;
    }
    Ok(Opened { descriptor: device.into(), tun })
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EBUSY) => "another program uses it".into(),
        Some(libc::EPERM) => format!("it is another user's ({SETUP} gives it to whoever calls sudo)"),
        Some(libc::EINVAL) => "it is no TUN device".into(),
        Some(libc::ENOENT) => format!("there is no {DEVICE} (modprobe tun)"),
        Some(libc::EACCES) => format!("{DEVICE}: permission denied"),
        _ => error.to_string(),
    }
}

fn exists(name: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(name) else { return false };
    // SAFETY: a C string.
    unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn attach(name: &str) -> io::Result<File> {
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
    const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;
    const IFF_TUN_NO_PI_VNET_HDR: libc::c_int = 0x0001 | 0x1000 | 0x4000;
    /// CSUM, TSO4, TSO6: the host completes checksums and cuts long segments, and passes what it did not cut.
    const OFFLOADS: libc::c_ulong = 1 | 2 | 4;
    let device = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE)?;
    let request = Request::new(name, IFF_TUN_NO_PI_VNET_HDR);
    // SAFETY: the host reads and writes one struct ifreq, and reads one number.
    unsafe {
        checked(libc::ioctl(device.as_raw_fd(), TUNSETIFF, &raw const request))?;
        checked(libc::ioctl(device.as_raw_fd(), TUNSETVNETHDRSZ, &HEADER))?;
        checked(libc::ioctl(device.as_raw_fd(), TUNSETOFFLOAD, OFFLOADS))?;
    }
    Ok(device)
}

fn mtu(name: &str) -> io::Result<u32> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let mut request = Request::new(name, 0);
    // SAFETY: the host reads and writes one struct ifreq.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) })?;
    Ok(u32::try_from(request.value).unwrap_or(1500))
}

/// The device's first address of IPv4, and of IPv6 beyond the link, with the lengths of their prefixes.
#[expect(clippy::type_complexity, reason = "two of a kind")]
fn addresses(name: &str) -> (Option<(Ipv4Addr, u32)>, Option<(Ipv6Addr, u32)>) {
    let mut list = std::ptr::null_mut();
    // SAFETY: the library stores the list, which is freed below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return (None, None);
    }
    let (mut four, mut six) = (None, None);
    let mut next = list;
    // SAFETY: the list's entries are valid until it is freed, and its end is null.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: the name is a C string.
        if unsafe { CStr::from_ptr(entry.ifa_name) }.to_bytes() != name.as_bytes() {
            continue;
        }
        // SAFETY: both are null or socket addresses of the list.
        let (own, mask) = unsafe { (address(entry.ifa_addr), address(entry.ifa_netmask)) };
        match (own, mask) {
            (Some(IpAddr::V4(own)), Some(IpAddr::V4(mask))) => four = four.or(Some((own, mask.to_bits().count_ones()))),
            (Some(IpAddr::V6(own)), Some(IpAddr::V6(mask))) if !own.is_unicast_link_local() => {
                six = six.or(Some((own, mask.to_bits().count_ones())));
            }
            _ => {}
        }
    }
    // SAFETY: the list that was given.
    unsafe { libc::freeifaddrs(list) };
    (four, six)
}

/// # Safety
/// `at` is null or a socket address as its family says.
unsafe fn address(at: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller's promise.
    unsafe {
        match i32::from(at.as_ref()?.sa_family) {
            libc::AF_INET => {
                let raw = at.cast::<libc::sockaddr_in>().read_unaligned().sin_addr.s_addr;
                Some(Ipv4Addr::from(raw.to_ne_bytes()).into())
            }
            libc::AF_INET6 => {
                Some(Ipv6Addr::from(at.cast::<libc::sockaddr_in6>().read_unaligned().sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

/// The sandbox's address beside the device's: the next one of its network, or the one before it where that would be the
/// last.
fn beside(host: u128, bits: u32, prefix: u32) -> u128 {
    let places = bits.saturating_sub(prefix);
    let last = 1u128.checked_shl(places).unwrap_or(0).wrapping_sub(1);
    // A network of two has no last one that means all.
    let most = if places > 1 { last.wrapping_sub(1) } else { last };
    if host & last < most { host + 1 } else { host.saturating_sub(1) }
}

#[cfg(test)]
mod tests {
    use super::{beside, open};

    #[test]
    fn the_sandbox_is_the_devices_neighbour() {
        let four = |d: u128| 10 << 24 | d;
        assert_eq!(beside(four(1), 32, 24), four(2));
        assert_eq!(beside(four(254), 32, 24), four(253));
        assert_eq!(beside(four(1), 32, 30), four(2));
        assert_eq!(beside(four(2), 32, 30), four(1));
        assert_eq!(beside(four(4), 32, 31), four(5));
        assert_eq!(beside(four(5), 32, 31), four(4));
        assert_eq!(beside(0xfd << 120 | 1, 128, 64), 0xfd << 120 | 2);
    }

    #[test]
    fn devices_that_are_none_are_named() {
        for name in ["", "a/b", "a name", "sixteen-letters-", "lbnonesuch0"] {
            assert!(open(name).is_err_and(|why| why.starts_with(&format!("--net tun={name}: "))), "{name}");
        }
        // lo is there, and is none.
        assert!(open("lo").is_err_and(|why| why.contains("tun=lo")));
    }
}
