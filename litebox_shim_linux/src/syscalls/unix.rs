//! What is peculiar to local sockets: their addresses.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::fs::{Access, FileType, LookupFlags, NewNode};
use litebox::net::unix::{self, BoundName, Name};
use litebox::net::{Address, Credentials, Socket, SocketKind};
use litebox::{Error, Result};
use litebox_common_linux::abi::socket;

use super::file::{AT_FDCWD, creds_of};
use super::net::address::Raw;
use super::net::{EADDRINUSE, ECONNREFUSED};
use crate::Task;
use crate::user::word;

pub(super) const AF_UNSPEC: u16 = socket::AF_UNSPEC as u16;
pub(super) const AF_UNIX: u16 = socket::AF_UNIX as u16;
/// Bytes before the path in `struct sockaddr_un`.
const PATH_AT: usize = 2;
const SOCKADDR_UN: usize = 110;
/// An address as the guest gave it.
pub(super) enum Given {
    /// `AF_UNIX` and nothing more.
    Family,
    Path(Vec<u8>),
    Abstract(Vec<u8>),
}

/// What the bytes of an address say; EINVAL.
pub(super) fn parse(raw: &[u8]) -> Result<Given> {
    if raw.len() < PATH_AT || raw.len() > SOCKADDR_UN || u16::from_le_bytes(word(raw, 0)) != AF_UNIX {
        return Err(Error::Invalid);
    }
    let name = raw.get(PATH_AT..).unwrap_or_default();
    Ok(match name {
        [] => Given::Family,
        [0, rest @ ..] => Given::Abstract(rest.to_vec()),
        path => Given::Path(path.iter().copied().take_while(|b| *b != 0).collect()),
    })
}

/// An address as `struct sockaddr_un`; `None`: a socket without a name.
pub(super) fn address_bytes(address: Option<&unix::Address>) -> Raw {
    let mut raw = Raw::from_slice(&AF_UNIX.to_le_bytes());
    match address {
        Some(unix::Address::Path(path)) => {
            raw.extend_from_slice(path);
            raw.push(0);
        }
        Some(unix::Address::Abstract(name)) => {
            raw.push(0);
            raw.extend_from_slice(name);
        }
        None => {}
    }
    raw
}

fn place(shown: unix::Address, name: Name) -> Address {
    Address::Unix(Some(Arc::new(BoundName { shown, name })))
}

fn abstract_place(kind: SocketKind, name: Vec<u8>) -> Address {
    place(unix::Address::Abstract(name.clone()), Name::Abstract(kind, name))
}

impl Task<'_, '_> {
    /// Who calls, as the other end of a socket sees it.
    pub(super) fn socket_credentials(&self) -> Credentials {
        let creds = self.creds();
        Credentials { pid: self.process().pid, uid: creds.euid, gid: creds.egid }
    }

    /// The socket's place that an address stands for: ECONNREFUSED for files that are no sockets; EACCES without
    /// permission to write to it.
    pub(super) fn find_address(&self, kind: SocketKind, given: Given) -> Result<Address> {
        match given {
            Given::Family => Err(Error::Invalid),
            Given::Abstract(name) => Ok(abstract_place(kind, name)),
            Given::Path(path) => {
                let at = self.walk(AT_FDCWD, &path, LookupFlags::FOLLOW)?;
                let credentials = self.creds();
                let creds = creds_of(&credentials);
                litebox::fs::check_inode_permission(&**at.inode(), &at.rights()?, &creds, Access::WRITE)?;
                if at.inode().file_type() != FileType::Socket {
                    return Err(ECONNREFUSED);
                }
                Ok(place(unix::Address::Path(path), Name::Inode(at.inode().id())))
            }
        }
    }

    /// The place an address gives a socket that is to be bound; a path becomes a file.
    pub(super) fn place_to_bind(&self, socket: &dyn Socket, given: Given) -> Result<Address> {
        match given {
            Given::Family => Ok(Address::Unix(None)),
            _ if socket.name() != Address::Unix(None) => Err(Error::Invalid),
            Given::Abstract(name) => Ok(abstract_place(socket.kind(), name)),
            Given::Path(path) => {
                let made = self.with_origin(AT_FDCWD, &path, |vfs, from| vfs.make(from, &path, NewNode::Socket, 0o777));
                let at = made.map_err(|error| if error == Error::Exists { EADDRINUSE } else { error })?;
                Ok(place(unix::Address::Path(path), Name::Inode(at.inode().id())))
            }
        }
    }
}
