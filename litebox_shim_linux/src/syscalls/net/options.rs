//! Options of sockets. What means nothing to a local socket is kept and told, as Linux does.

use core::time::Duration;

use litebox::net::unix::{Kind, UnixSocket};
use litebox::{Error, Result};

use super::{AF_UNIX, ENOPROTOOPT, socket_of};
use crate::Task;
use crate::user::{read_bytes, read_into, word, write_bytes};

const SOL_SOCKET: i32 = 1;
const SO_DEBUG: i32 = 1;
const SO_TYPE: i32 = 3;
const SO_ERROR: i32 = 4;
const SO_SNDBUF: i32 = 7;
const SO_RCVBUF: i32 = 8;
const SO_LINGER: i32 = 13;
const SO_REUSEPORT: i32 = 15;
const SO_PEERCRED: i32 = 17;
const SO_RCVLOWAT: i32 = 18;
const SO_SNDLOWAT: i32 = 19;
const SO_RCVTIMEO: i32 = 20;
const SO_SNDTIMEO: i32 = 21;
const SO_ACCEPTCONN: i32 = 30;
const SO_SNDBUFFORCE: i32 = 32;
const SO_RCVBUFFORCE: i32 = 33;
const SO_PROTOCOL: i32 = 38;
const SO_DOMAIN: i32 = 39;
/// SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE, SO_PASSCRED, SO_TIMESTAMP, SO_PASSSEC, SO_TIMESTAMPNS.
const SWITCHES: [i32; 9] = [2, 5, 6, 9, 10, 16, 29, 34, 35];

/// The most that SO_SNDBUF and SO_RCVBUF can be set to (net.core.wmem_max), which the kernel doubles.
const MOST_BUFFER: usize = 212_992;
const LEAST_SEND_BUFFER: usize = 4608;
const LEAST_RECEIVE_BUFFER: usize = 2304;

/// How a socket's kind is numbered.
fn kind_number(kind: Kind) -> i32 {
    match kind {
        Kind::Stream => 1,
        Kind::Datagram => 2,
        Kind::SeqPacket => 5,
    }
}

fn set_buffer(socket: &UnixSocket, sending: bool, value: i32) {
    // A negative size is a huge one.
    let size = usize::try_from(value).unwrap_or(MOST_BUFFER).min(MOST_BUFFER);
    let least = if sending { LEAST_SEND_BUFFER } else { LEAST_RECEIVE_BUFFER };
    socket.set_buffer(sending, (size * 2).max(least));
}

/// `struct timeval` as a limit; EDOM for one that is none.
fn time_limit(raw: &[u8]) -> Result<Duration> {
    const EDOM: Error = Error::Host(33);
    let (sec, usec) = (i64::from_le_bytes(word(raw, 0)), i64::from_le_bytes(word(raw, 8)));
    let micros = u32::try_from(usec).ok().filter(|micros| *micros < 1_000_000).ok_or(EDOM)?;
    // In the past: not at all, which is the shortest time there is.
    let sec = u64::try_from(sec).unwrap_or(0);
    Ok(Duration::new(sec, micros * 1000))
}

impl Task<'_, '_> {
    /// setsockopt(2)
    pub(crate) fn setsockopt(&mut self, fd: i32, level: i32, name: i32, value: u64, len: u32) -> Result<usize> {
        let len = i32::try_from(len).map_err(|_| Error::Invalid)? as usize;
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        if level != SOL_SOCKET {
            return Err(Error::NotSupported);
        }
        if len < 4 {
            return Err(Error::Invalid);
        }
        let number = i32::from_le_bytes(read_bytes(value)?);
        match name {
            SO_SNDBUF | SO_RCVBUF => set_buffer(socket, name == SO_SNDBUF, number),
            SO_SNDBUFFORCE | SO_RCVBUFFORCE => return Err(Error::NotPermitted),
            SO_RCVTIMEO | SO_SNDTIMEO => {
                let mut raw = [0u8; 16];
                if len < raw.len() {
                    return Err(Error::Invalid);
                }
                read_into(value, &mut raw)?;
                socket.set_patience(name == SO_SNDTIMEO, time_limit(&raw)?);
            }
            SO_LINGER if len < 8 => return Err(Error::Invalid),
            SO_DEBUG if number != 0 => return Err(Error::Access),
            SO_REUSEPORT if number != 0 => return Err(Error::NotSupported),
            SO_LINGER => socket.set_option(SO_LINGER as u32, number != 0),
            SO_DEBUG | SO_REUSEPORT | SO_RCVLOWAT => {}
            _ if SWITCHES.contains(&name) => socket.set_option(name as u32, number != 0),
            _ => return Err(ENOPROTOOPT),
        }
        Ok(0)
    }

    /// getsockopt(2)
    pub(crate) fn getsockopt(&mut self, fd: i32, level: i32, name: i32, value: u64, len: u64) -> Result<usize> {
        let file = self.file(fd)?;
        let socket = socket_of(&file)?;
        if level != SOL_SOCKET {
            return Err(Error::NotSupported);
        }
        let room = i32::from_le_bytes(read_bytes(len)?);
        let room = usize::try_from(room).map_err(|_| Error::Invalid)?;
        let mut raw = [0u8; 16];
        let mut put = |at: usize, number: u32| {
            if let Some(slot) = raw.get_mut(at..at + 4) {
                slot.copy_from_slice(&number.to_le_bytes());
            }
        };
        let used = match name {
            SO_PEERCRED => {
                let peer = socket.peer_credentials();
                for (at, number) in
                    [0, 4, 8].into_iter().zip(peer.map_or([0, u32::MAX, u32::MAX], |p| [p.pid as u32, p.uid, p.gid]))
                {
                    put(at, number);
                }
                12
            }
            SO_RCVTIMEO | SO_SNDTIMEO => {
                let limit = litebox::fs::File::patience(socket, name == SO_SNDTIMEO).unwrap_or_default();
                put(0, u32::try_from(limit.as_secs()).unwrap_or(u32::MAX));
                put(8, limit.subsec_micros());
                16
            }
            SO_LINGER => {
                put(0, u32::from(socket.option(SO_LINGER as u32)));
                8
            }
            _ => {
                put(0, option_number(socket, name)? as u32);
                4
            }
        };
        let used = room.min(used);
        write_bytes(value, raw.get(..used).unwrap_or_default())?;
        write_bytes(len, &(used as u32).to_le_bytes())?;
        Ok(0)
    }
}

/// An option that is one number.
fn option_number(socket: &UnixSocket, name: i32) -> Result<i32> {
    Ok(match name {
        SO_TYPE => kind_number(socket.kind()),
        SO_ERROR => socket.take_error(),
        SO_SNDBUF | SO_RCVBUF => i32::try_from(socket.buffer(name == SO_SNDBUF)).unwrap_or(i32::MAX),
        SO_DOMAIN => AF_UNIX.into(),
        SO_ACCEPTCONN => socket.is_listening().into(),
        SO_RCVLOWAT | SO_SNDLOWAT => 1,
        SO_PROTOCOL | SO_DEBUG | SO_REUSEPORT => 0,
        _ if SWITCHES.contains(&name) => socket.option(name as u32).into(),
        _ => return Err(ENOPROTOOPT),
    })
}
