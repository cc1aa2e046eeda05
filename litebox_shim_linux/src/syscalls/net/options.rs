//! Options of sockets. `table`: those that are one number; `inet`: those of TCP and IP that are more. What means
//! nothing to a socket is kept and told, as Linux does.

mod inet;
mod table;

use core::time::Duration;

use litebox::error::errno::EDOM;
use litebox::net::{Family, Setting, Socket, SocketKind};
use litebox::{Error, Result};
use litebox_common_linux::abi::layout::{Field, Layout, Layouts};
use litebox_common_linux::abi::socket::SOL_SOCKET;
use litebox_common_linux::abi::socket_option::{
    IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, SO_ACCEPTCONN, SO_BINDTODEVICE,
    SO_BPF_EXTENSIONS, SO_BSDCOMPAT, SO_BUF_LOCK, SO_BUSY_POLL, SO_COOKIE, SO_DEBUG, SO_DOMAIN, SO_ERROR,
    SO_INCOMING_NAPI_ID, SO_LINGER, SO_MARK, SO_MAX_PACING_RATE, SO_MEMINFO, SO_PEEK_OFF, SO_PEERCRED, SO_PEERNAME,
    SO_PREFER_BUSY_POLL, SO_PRIORITY, SO_PROTOCOL, SO_RCVBUF, SO_RCVBUFFORCE, SO_RCVLOWAT, SO_RCVTIMEO_NEW,
    SO_RCVTIMEO_OLD, SO_REUSEPORT, SO_SNDBUF, SO_SNDBUFFORCE, SO_SNDLOWAT, SO_SNDTIMEO_NEW, SO_SNDTIMEO_OLD,
    SO_TIMESTAMP_NEW, SO_TIMESTAMP_OLD, SO_TIMESTAMPNS_NEW, SO_TIMESTAMPNS_OLD, SO_TYPE,
};
use litebox_common_linux::abi::time::{Timeval, TimevalX86, TimevalX86_64};
use litebox_common_linux::argument::UserRef;
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::address::address_bytes;
use super::{ENOPROTOOPT, ENOTCONN, socket_of};
use crate::Task;
use crate::task::credentials::Capability;
use crate::user::{UserRead, read_bytes, read_into, word, write_bytes};

/// The most that SO_SNDBUF and SO_RCVBUF can be set to (net.core.wmem_max), which the kernel doubles.
const MOST_BUFFER: usize = 4 << 20;
/// The highest low-water mark of a TCP socket that never set SO_RCVBUF: half of what tcp_rmem allows.
const MOST_LOWAT: i32 = 16 << 20;
const LEAST_SEND_BUFFER: usize = 4608;
const LEAST_RECEIVE_BUFFER: usize = 2304;
/// The longest value that is read.
const LONGEST: usize = 288;

/// The value of an option.
pub(super) type Value = SmallVec<[u8; 32]>;

fn number(value: i32) -> Value {
    Value::from_slice(&value.to_le_bytes())
}

fn numbers(values: &[i32]) -> Value {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// How a socket's kind is numbered.
pub(super) fn kind_number(kind: SocketKind) -> i32 {
    match kind {
        SocketKind::Stream => 1,
        SocketKind::Datagram => 2,
        SocketKind::Raw => 3,
        SocketKind::SeqPacket => 5,
    }
}

fn family_number(family: Family) -> i32 {
    match family {
        Family::Unix => super::AF_UNIX.into(),
        Family::Inet => super::AF_INET,
        Family::Inet6 => super::AF_INET6,
        Family::Netlink => super::AF_NETLINK,
    }
}

fn set_buffer(socket: &dyn Socket, sending: bool, value: i32) {
    // A negative size is a huge one.
    let size = usize::try_from(value).unwrap_or(MOST_BUFFER).min(MOST_BUFFER);
    let least = if sending { LEAST_SEND_BUFFER } else { LEAST_RECEIVE_BUFFER };
    let setting = if sending { Setting::SendBuffer } else { Setting::ReceiveBuffer };
    change(socket, setting, i32::try_from((size * 2).max(least)).unwrap_or(i32::MAX));
}

fn change(socket: &dyn Socket, setting: Setting, value: i32) {
    socket.options().set(setting, value);
    socket.option_changed(setting);
}

/// As a limit; EDOM for one that is none.
fn time_limit(Timeval { sec, usec }: Timeval) -> Result<Duration> {
    let micros = u32::try_from(usec).ok().filter(|micros| *micros < 1_000_000).ok_or(EDOM)?;
    // In the past: not at all, which is the shortest time there is.
    Ok(u64::try_from(sec).map_or(Duration::from_micros(1), |sec| Duration::new(sec, micros * 1000)))
}

/// The layout of the time in an option: that of `struct timeval`, or with 64 bits for everybody.
fn layouts_of_limit(name: i32, layouts: Layouts) -> Layouts {
    if matches!(name, SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW) { Layouts::X86_64 } else { layouts }
}

/// What a caller gives as the value of an option.
struct Given {
    at: u64,
    len: usize,
    layouts: Layouts,
}

impl Given {
    fn number(&self) -> Result<i32> {
        if self.len < 4 {
            return Err(Error::Invalid);
        }
        Ok(i32::from_le_bytes(read_bytes(self.at)?))
    }
    /// Of IP's options, one byte will do.
    fn short_number(&self) -> Result<i32> {
        match self.len {
            0 => Ok(0),
            1..4 => Ok(read_bytes::<1>(self.at)?[0].into()),
            _ => self.number(),
        }
    }
    fn bytes(&self) -> Result<Value> {
        let mut raw = Value::from_elem(0, self.len.min(LONGEST));
        read_into(self.at, &mut raw)?;
        Ok(raw)
    }
}

impl Task<'_, '_> {
    /// setsockopt(2)
    pub(crate) fn setsockopt(&mut self, fd: i32, level: i32, name: i32, value: u64, len: u32) -> Result<usize> {
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        let len = i32::try_from(len).map_err(|_| Error::Invalid)? as usize;
        let given = Given { at: value, len, layouts: self.abi().into() };
        match level {
            SOL_SOCKET => self.set_common(socket, name, &given)?,
            _ if !has_level(socket, level) => return Err(unknown_level(socket, ENOPROTOOPT)),
            _ => inet::set(socket, level, name, &given)?,
        }
        Ok(0)
    }

    fn may_tune(&self) -> bool {
        self.creds().can(Capability::NetAdmin)
    }

    fn set_common(&self, socket: &dyn Socket, name: i32, given: &Given) -> Result<()> {
        if name == SO_BINDTODEVICE {
            return bind_to_device(socket, given);
        }
        let value = given.number()?;
        match name {
            SO_SNDBUF | SO_RCVBUF => set_buffer(socket, name == SO_SNDBUF, value),
            SO_SNDBUFFORCE | SO_RCVBUFFORCE | SO_MARK if !self.may_tune() => return Err(Error::NotPermitted),
            SO_SNDBUFFORCE | SO_RCVBUFFORCE => set_buffer(socket, name == SO_SNDBUFFORCE, value),
            SO_RCVTIMEO_OLD | SO_SNDTIMEO_OLD | SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW => {
                let layouts = layouts_of_limit(name, given.layouts);
                if given.len < Timeval::size(layouts) {
                    return Err(Error::Invalid);
                }
                let time = UserRef::<Timeval>::with_layouts(layouts, given.at as usize).read()?;
                let sending = matches!(name, SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW);
                socket.options().set_io_timeout(sending, time_limit(time)?);
            }
            SO_LINGER => {
                let raw = given.bytes()?;
                if raw.len() < 8 {
                    return Err(Error::Invalid);
                }
                if value != 0 {
                    socket.options().set(Setting::LingerSeconds, i32::from_le_bytes(word(&raw, 4)));
                }
                change(socket, Setting::LingerOn, (value != 0).into());
            }
            SO_DEBUG if value != 0 && !self.may_tune() => return Err(Error::Access),
            SO_DEBUG => socket.options().set(Setting::Debug, (value != 0).into()),
            SO_PRIORITY if !(0..=6).contains(&value) && !self.may_tune() => return Err(Error::NotPermitted),
            SO_PRIORITY => socket.options().set(Setting::Priority, value),
            SO_RCVLOWAT => {
                let most = match (socket.kind(), socket.protocol(), socket.options().get(Setting::ReceiveBuffer)) {
                    (SocketKind::Stream, IPPROTO_TCP, 0) => MOST_LOWAT,
                    (SocketKind::Stream, IPPROTO_TCP, set) => set / 2,
                    _ => i32::MAX,
                };
                let value = if value < 0 { most } else { value.clamp(1, most) };
                change(socket, Setting::ReceiveLowat, value);
            }
            SO_BUSY_POLL if value > socket.options().get(Setting::BusyPoll) && !self.may_tune() => {
                return Err(Error::NotPermitted);
            }
            SO_PREFER_BUSY_POLL if value != 0 && !self.may_tune() => return Err(Error::NotPermitted),
            SO_PEEK_OFF if socket.family() == Family::Netlink => return Err(Error::NotSupported),
            // Linux lets everybody say that they do not want it.
            SO_REUSEPORT if value == 0 => socket.options().set(Setting::ReusePort, 0),
            SO_TIMESTAMP_OLD | SO_TIMESTAMPNS_OLD | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW => {
                set_stamps(socket, name, value != 0);
            }
            SO_BUF_LOCK if value & !3 != 0 => return Err(Error::Invalid),
            SO_BUF_LOCK | SO_BSDCOMPAT | SO_MAX_PACING_RATE => {}
            _ => {
                let row = table::find(socket, SOL_SOCKET, name)?.ok_or(ENOPROTOOPT)?;
                change(socket, row.setting, row.kept(value)?);
            }
        }
        Ok(())
    }

    /// getsockopt(2)
    pub(crate) fn getsockopt(&mut self, fd: i32, level: i32, name: i32, value: u64, len: u64) -> Result<usize> {
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        if level != SOL_SOCKET && !has_level(socket, level) {
            return Err(unknown_level(socket, Error::NotSupported));
        }
        let room = i32::from_le_bytes(read_bytes(len)?);
        let room = usize::try_from(room).map_err(|_| Error::Invalid)?;
        let told = match level {
            SOL_SOCKET => common_value(socket, name, self.abi().into())?,
            _ => inet::value(socket, level, name, room)?,
        };
        let used = room.min(told.len());
        write_bytes(value, told.get(..used).unwrap_or_default())?;
        write_bytes(len, &(used as u32).to_le_bytes())?;
        Ok(0)
    }
}

/// Whether a socket has options of a level.
fn has_level(socket: &dyn Socket, level: i32) -> bool {
    match socket.family() {
        Family::Unix => false,
        Family::Netlink => level == inet::SOL_NETLINK,
        Family::Inet | Family::Inet6 => match level {
            IPPROTO_IP => true,
            IPPROTO_IPV6 => socket.family() == Family::Inet6,
            IPPROTO_TCP => socket.kind() == SocketKind::Stream,
            IPPROTO_UDP | IPPROTO_UDPLITE => matches!(socket.protocol(), IPPROTO_UDP | IPPROTO_UDPLITE),
            _ => false,
        },
    }
}

/// What is said of a level that a socket does not have; `inet`: by those of IPv4.
fn unknown_level(socket: &dyn Socket, inet: Error) -> Error {
    match socket.family() {
        Family::Unix => Error::NotSupported,
        Family::Netlink | Family::Inet6 => ENOPROTOOPT,
        Family::Inet => inet,
    }
}

/// SO_BINDTODEVICE: there is `lo`, and the number of no other.
fn bind_to_device(socket: &dyn Socket, given: &Given) -> Result<()> {
    let raw = given.bytes()?;
    let name = raw.split(|byte| *byte == 0).next().unwrap_or_default();
    let index = match name {
        b"" => 0,
        name => inet::interface_of(name).ok_or(Error::NoDevice)?,
    };
    change(socket, Setting::Interface, index);
    Ok(())
}

/// SO_TIMESTAMP and its kin: of one socket, one of them is on.
fn set_stamps(socket: &dyn Socket, name: i32, on: bool) {
    let options = socket.options();
    options.set(Setting::Timestamp, (on && matches!(name, SO_TIMESTAMP_OLD | SO_TIMESTAMP_NEW)).into());
    options.set(Setting::TimestampNanos, (on && matches!(name, SO_TIMESTAMPNS_OLD | SO_TIMESTAMPNS_NEW)).into());
    options.set(Setting::TimestampNew, (on && matches!(name, SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW)).into());
}

/// Whether it is this one.
fn stamps(socket: &dyn Socket, name: i32) -> bool {
    let options = socket.options();
    let kind =
        if matches!(name, SO_TIMESTAMP_OLD | SO_TIMESTAMP_NEW) { Setting::Timestamp } else { Setting::TimestampNanos };
    let new = matches!(name, SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW);
    options.is_on(kind) && options.is_on(Setting::TimestampNew) == new
}

/// An option of SOL_SOCKET.
fn common_value(socket: &dyn Socket, name: i32, layouts: Layouts) -> Result<Value> {
    let options = socket.options();
    Ok(match name {
        SO_TYPE => number(kind_number(socket.kind())),
        SO_ERROR => number(socket.take_error()),
        SO_SNDBUF | SO_RCVBUF => number(i32::try_from(socket.buffer(name == SO_SNDBUF)).unwrap_or(i32::MAX)),
        SO_DOMAIN => number(family_number(socket.family())),
        SO_PROTOCOL => number(socket.protocol()),
        SO_ACCEPTCONN => number(socket.is_listening().into()),
        SO_SNDLOWAT => number(1),
        SO_RCVLOWAT => number(options.get(Setting::ReceiveLowat)),
        SO_DEBUG => number(options.get(Setting::Debug)),
        SO_PRIORITY => number(options.get(Setting::Priority)),
        SO_REUSEPORT => number(options.get(Setting::ReusePort)),
        SO_BSDCOMPAT | SO_INCOMING_NAPI_ID => number(0),
        SO_BPF_EXTENSIONS => number(64),
        SO_BUF_LOCK => {
            let set = |setting| i32::from(options.get(setting) != 0);
            number(set(Setting::SendBuffer) | set(Setting::ReceiveBuffer) << 1)
        }
        SO_PEERCRED => {
            let peer = socket.peer_credentials();
            peer.map_or_else(|| numbers(&[0, -1, -1]), |p| numbers(&[p.pid, p.uid as i32, p.gid as i32]))
        }
        SO_PEERNAME => match socket.peer_name() {
            Ok(peer) if socket.family() != Family::Netlink => address_bytes(&peer, socket.family()),
            Ok(_) => return Err(Error::Invalid),
            Err(_) => return Err(ENOTCONN),
        },
        SO_RCVTIMEO_OLD | SO_SNDTIMEO_OLD | SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW => {
            let sending = matches!(name, SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW);
            // The shortest time there is stands for none at all.
            let limit = options.io_timeout(sending).filter(|limit| limit.as_micros() > 1).unwrap_or_default();
            match layouts_of_limit(name, layouts) {
                Layouts::X86_64 => Value::from_slice(Field::<TimevalX86_64>::raw(Timeval::from(limit)).as_bytes()),
                _ => Value::from_slice(Field::<TimevalX86>::raw(Timeval::from(limit)).as_bytes()),
            }
        }
        SO_TIMESTAMP_OLD | SO_TIMESTAMPNS_OLD | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW => {
            number(stamps(socket, name).into())
        }
        SO_LINGER => numbers(&[options.get(Setting::LingerOn), options.get(Setting::LingerSeconds)]),
        SO_BINDTODEVICE => Value::from_slice(inet::interface_name(options.get(Setting::Interface))),
        SO_MAX_PACING_RATE => Value::from_slice(&u64::MAX.to_le_bytes()),
        SO_COOKIE => Value::from_slice(&litebox::fs::File::inode(socket).id().ino.to_le_bytes()),
        SO_MEMINFO => {
            let size = |size: usize| i32::try_from(size).unwrap_or(i32::MAX);
            let [received, sent] = [false, true].map(|sending| size(socket.charged(sending)));
            numbers(&[received, size(socket.buffer(false)), sent, size(socket.buffer(true)), 0, 0, 0, 0, 0])
        }
        SO_PEEK_OFF if socket.family() == Family::Netlink => return Err(Error::NotSupported),
        _ => {
            let row = table::find(socket, SOL_SOCKET, name)?.ok_or(ENOPROTOOPT)?;
            number(options.get(row.setting))
        }
    })
}
