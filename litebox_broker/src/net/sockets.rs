//! Sockets of the host: made here, never blocking, and only ever connected once.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::ranges::canonical;

/// A socket of this kind.
pub fn new(address: IpAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// Connects, or begins to.
pub fn connect(socket: BorrowedFd<'_>, to: SocketAddr) -> Result<(), Errno> {
    match rustix::net::connect(socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(()),
        Err(e) => Err(e),
    }
}

/// A socket that is connected, or connecting.
pub fn connected(to: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let socket = new(to.ip(), kind)?;
    connect(socket.as_fd(), to)?;
    Ok(socket)
}

/// Its own port; 0: it has none.
pub fn local_port(socket: BorrowedFd<'_>) -> u16 {
    let name = rustix::net::getsockname(socket).ok();
    name.and_then(|name| SocketAddr::try_from(name).ok()).map_or(0, |name| name.port())
}

/// Why connecting failed, if it did.
pub fn error_of(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::net::sockopt::socket_error(socket).and_then(|result| result)
}

/// Whoever is at the other end is told that the connection was broken off, instead of ended.
pub fn reset(socket: &OwnedFd) {
    // Without it the other end sees an end.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO));
}

/// An IP address in the 16 bytes of a message.
pub fn to_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// And back: IPv4 addresses have one form.
pub fn from_bytes(bytes: [u8; 16]) -> IpAddr {
    canonical(IpAddr::from(bytes))
}

/// getsockopt(2) of up to `room` bytes.
pub fn get_option(socket: BorrowedFd<'_>, level: i32, name: i32, room: usize) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0u8; room];
    let mut len = libc::socklen_t::try_from(room).map_err(|_| Errno::INVAL)?;
    // SAFETY: `value` has room for `len` bytes; both live through the call.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len) };
    check(result)?;
    value.truncate(len as usize);
    Ok(value)
}

/// getsockopt(2) of a number.
pub fn get_number(socket: BorrowedFd<'_>, level: i32, name: i32) -> Result<i32, Errno> {
    let value = get_option(socket, level, name, size_of::<i32>())?;
    value.try_into().map(i32::from_ne_bytes).map_err(|_| Errno::INVAL)
}

/// setsockopt(2).
pub fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    let len = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::INVAL)?;
    // SAFETY: `value` has `len` bytes, which are only read.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), len) })
}

fn check(result: i32) -> Result<(), Errno> {
    if result == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
}
