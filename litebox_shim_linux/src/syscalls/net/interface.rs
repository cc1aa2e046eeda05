//! What sockets tell of network devices (netdevice(7)), and whom they signal.

use core::net::{IpAddr, Ipv4Addr};

use litebox::error::errno::EADDRNOTAVAIL;
use litebox::fs::OpenFile;
use litebox::net::inet::Device;
use litebox::net::{Family, Socket};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::FcntlCommand;
use litebox_common_linux::abi::ioctl::{
    FIOGETOWN, FIOSETOWN, SIOCETHTOOL, SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFCONF, SIOCGIFDSTADDR, SIOCGIFFLAGS,
    SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFMAP, SIOCGIFMETRIC, SIOCGIFMTU, SIOCGIFNAME, SIOCGIFNETMASK, SIOCGIFTXQLEN,
    SIOCGPGRP, SIOCGSTAMP, SIOCGSTAMPNS, SIOCSPGRP,
};
use litebox_common_linux::abi::socket::IfConf;
use litebox_common_linux::argument::{Arch, UserMut};
use smallvec::SmallVec;

use super::AF_INET;
use crate::Task;
use crate::user::{UserRead, UserWrite, read_bytes, read_into, word, write_bytes};

/// Requests that tell something of one device.
const TELLING: [u32; 11] = [
    SIOCGIFFLAGS,
    SIOCGIFADDR,
    SIOCGIFDSTADDR,
    SIOCGIFBRDADDR,
    SIOCGIFNETMASK,
    SIOCGIFMETRIC,
    SIOCGIFMTU,
    SIOCGIFHWADDR,
    SIOCGIFINDEX,
    SIOCGIFTXQLEN,
    SIOCGIFMAP,
];
/// Requests that change devices, routes or neighbours: SIOCADDRT, SIOCDELRT, SIOCSIFFLAGS, ..ADDR, ..DSTADDR,
/// ..BRDADDR, ..NETMASK, ..METRIC, ..MTU, ..NAME, ..HWADDR, SIOCADDMULTI, SIOCDELMULTI, SIOCSIFTXQLEN, SIOCDARP,
/// SIOCSARP, SIOCSIFMAP.
const CHANGING: [u32; 17] = [
    0x890b, 0x890c, 0x8914, 0x8916, 0x8918, 0x891a, 0x891c, 0x891e, 0x8922, 0x8923, 0x8924, 0x8931, 0x8932, 0x8943,
    0x8953, 0x8955, 0x8971,
];

/// Those of them that have no `struct ifreq`: SIOCADDRT, SIOCDELRT, SIOCDARP, SIOCSARP.
const NOT_ABOUT_A_DEVICE: [u32; 4] = [0x890b, 0x890c, 0x8953, 0x8955];
/// Size of `struct ifreq`, and of the name in it.
const IFREQ: usize = 40;
/// The same of 32-bit programs.
const IFREQ_OF_32_BITS: usize = 32;
const NAME: usize = 16;
const SOCKADDR_IN: usize = 16;

/// What an answer writes behind the name in `struct ifreq`: no more of it is touched.
type Told = SmallVec<[u8; IFREQ - NAME]>;

/// `struct sockaddr_in` without a port.
fn address_told(ip: Ipv4Addr) -> Told {
    let mut raw = [0; SOCKADDR_IN];
    let family = (AF_INET as u16).to_le_bytes();
    for (to, from) in raw.iter_mut().zip(family.into_iter().chain([0, 0]).chain(ip.octets())) {
        *to = from;
    }
    Told::from_slice(&raw)
}

fn first_ipv4(device: &Device) -> Result<(Ipv4Addr, u8)> {
    let ipv4 = |(ip, prefix): &(IpAddr, u8)| match ip {
        IpAddr::V4(four) => Some((*four, *prefix)),
        IpAddr::V6(_) => None,
    };
    device.addresses.iter().find_map(ipv4).ok_or(EADDRNOTAVAIL)
}

fn mask_of(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

/// What is told of one device to a program with an `ifreq` of so many bytes.
fn about(device: &Device, request: u32, ifreq: usize) -> Result<Told> {
    Ok(match request {
        SIOCGIFFLAGS => Told::from_slice(&(device.flags as u16).to_le_bytes()),
        SIOCGIFADDR | SIOCGIFDSTADDR => address_told(first_ipv4(device)?.0),
        SIOCGIFNETMASK => address_told(Ipv4Addr::from_bits(mask_of(first_ipv4(device)?.1))),
        SIOCGIFBRDADDR if device.is_loopback() => address_told(Ipv4Addr::UNSPECIFIED),
        SIOCGIFBRDADDR => {
            let (ip, prefix) = first_ipv4(device)?;
            address_told(Ipv4Addr::from_bits(ip.to_bits() | !mask_of(prefix)))
        }
        SIOCGIFMTU => Told::from_slice(&device.mtu.to_le_bytes()),
        SIOCGIFINDEX => Told::from_slice(&device.index.to_le_bytes()),
        SIOCGIFTXQLEN => Told::from_slice(&1000u32.to_le_bytes()),
        SIOCGIFHWADDR => device.hardware.to_le_bytes().into_iter().chain(device.address.iter().copied()).collect(),
        SIOCGIFMETRIC => Told::from_slice(&0u32.to_le_bytes()),
        // `struct ifmap` fills all that there is.
        SIOCGIFMAP => SmallVec::from_elem(0, ifreq - NAME),
        _ => return Err(Error::NotTerminal),
    })
}

impl Task<'_, '_> {
    /// ioctl(2) of a socket that is not its own matter alone; `None`: it is.
    pub(in crate::syscalls) fn socket_ioctl(
        &self,
        fd: i32,
        file: &OpenFile,
        request: u32,
        arg: u64,
    ) -> Option<Result<usize>> {
        let socket = file.file.as_socket()?;
        match request {
            FIOSETOWN | SIOCSPGRP => Some(self.set_socket_owner(fd, arg)),
            FIOGETOWN | SIOCGPGRP => Some(self.socket_owner(fd, arg)),
            SIOCGSTAMP | SIOCGSTAMPNS => Some(Err(Error::NotFound)),
            SIOCETHTOOL => Some(Err(Error::NotSupported)),
            _ if CHANGING.contains(&request) => Some(self.refuse_change(request, arg)),
            SIOCGIFCONF | SIOCGIFNAME => Some(self.device_ioctl(socket, request, arg)),
            _ if TELLING.contains(&request) => Some(self.device_ioctl(socket, request, arg)),
            _ => None,
        }
    }

    /// The superuser of a sandbox does not administrate its network. A request about a device is read before that is
    /// looked at.
    fn refuse_change(&self, request: u32, arg: u64) -> Result<usize> {
        if !NOT_ABOUT_A_DEVICE.contains(&request) {
            let mut raw = [0u8; IFREQ];
            read_into(arg, raw.get_mut(..self.ifreq_size()).unwrap_or_default())?;
        }
        Err(Error::NotPermitted)
    }

    fn set_socket_owner(&self, fd: i32, arg: u64) -> Result<usize> {
        let owner = i32::from_le_bytes(read_bytes(arg)?);
        self.set_owner(fd, FcntlCommand::F_SETOWN, owner as usize)
    }

    fn socket_owner(&self, fd: i32, arg: u64) -> Result<usize> {
        let owner = self.owner(fd, FcntlCommand::F_GETOWN, 0)? as i32;
        write_bytes(arg, &owner.to_le_bytes())?;
        Ok(0)
    }

    fn ifreq_size(&self) -> usize {
        match self.abi() {
            Arch::X86_64 => IFREQ,
            Arch::X86 => IFREQ_OF_32_BITS,
        }
    }

    fn device_ioctl(&self, socket: &dyn Socket, request: u32, arg: u64) -> Result<usize> {
        let devices = self.kernel().network.devices();
        if request == SIOCGIFCONF {
            return self.list_devices(&devices, UserMut::new(self.abi(), arg as usize));
        }
        // Of a request only the name and 16 bytes behind it are used.
        let raw: [u8; 2 * NAME] = read_bytes(arg)?;
        if request == SIOCGIFNAME {
            let index = u32::from_le_bytes(word(&raw, NAME));
            let device = devices.iter().find(|device| device.index == index).ok_or(Error::NoDevice)?;
            write_bytes(arg, &name_of(device))?;
            return Ok(0);
        }
        let name = raw.get(..NAME).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
        let of_ipv4 = matches!(request, SIOCGIFADDR | SIOCGIFDSTADDR | SIOCGIFBRDADDR | SIOCGIFNETMASK);
        if of_ipv4 && socket.family() != Family::Inet {
            return Err(Error::NotTerminal);
        }
        let device = devices.iter().find(|device| device.name.as_bytes() == name).ok_or(Error::NoDevice)?;
        write_bytes(arg + NAME as u64, &about(device, request, self.ifreq_size())?)?;
        Ok(0)
    }

    /// SIOCGIFCONF: all addresses of IPv4, as far as there is room; without a place for them, how much they need.
    fn list_devices(&self, devices: &[Device], arg: UserMut<IfConf>) -> Result<usize> {
        let IfConf { len: room, buffer: at, .. } = arg.read()?;
        let each = self.ifreq_size();
        let with_ipv4 = devices.iter().filter_map(|device| Some((device, first_ipv4(device).ok()?.0)));
        let mut used = 0usize;
        for (device, ip) in with_ipv4 {
            let fits = usize::try_from(room).is_ok_and(|room| room >= used + each);
            if at != 0 && !fits {
                break;
            }
            if at != 0 {
                write_bytes(at + used as u64, &name_of(device))?;
                let mut told = address_told(ip);
                told.resize(each - NAME, 0);
                write_bytes(at + (used + NAME) as u64, &told)?;
            }
            used += each;
        }
        arg.cast::<i32>().write(used as i32)?;
        Ok(0)
    }
}

fn name_of(device: &Device) -> [u8; NAME] {
    let mut raw = [0; NAME];
    for (to, from) in raw.iter_mut().zip(device.name.bytes()) {
        *to = from;
    }
    raw
}
