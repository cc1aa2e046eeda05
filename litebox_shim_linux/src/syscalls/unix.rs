//! What is peculiar to local sockets: their addresses, and what comes along with messages.

use alloc::sync::Arc;
use alloc::vec::Vec;

use litebox::fs::{Access, FileType, NewNode, OpenFile, WalkFlags};
use litebox::net::unix::{Address, Credentials, Name, Received, Rights, UnixSocket};
use litebox::{Error, Result};

use super::file::{AT_FDCWD, creds_of};
use super::net::{EADDRINUSE, ECONNREFUSED, ENOBUFS, ETOOMANYREFS};
use crate::Task;
use crate::user::{read_into, word, write_bytes};

pub(super) const AF_UNSPEC: u16 = 0;
pub(super) const AF_UNIX: u16 = 1;
/// Bytes before the path in `struct sockaddr_un`.
const PATH_AT: usize = 2;
const SOCKADDR_UN: usize = 110;
const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
/// Size of `struct cmsghdr`, and of `struct ucred`.
const CMSG_HEAD: usize = 16;
const UCRED: usize = 12;
/// The most descriptors one message carries (SCM_MAX_FD).
const MOST_RIGHTS: usize = 253;
/// The most bytes of control messages (net.core.optmem_max).
const MOST_CONTROL: u64 = 131_072;

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
pub(super) fn address_bytes(address: Option<&Address>) -> Vec<u8> {
    let mut raw = AF_UNIX.to_le_bytes().to_vec();
    match address {
        Some(Address::Path(path)) => {
            raw.extend_from_slice(path);
            raw.push(0);
        }
        Some(Address::Abstract(name)) => {
            raw.push(0);
            raw.extend_from_slice(name);
        }
        None => {}
    }
    raw
}

/// What comes along with a message that is sent.
pub(super) struct Ancillary {
    pub credentials: Credentials,
    pub rights: Rights,
}

/// The control messages of a receiver as they are laid out in his memory.
pub(super) struct Control {
    at: u64,
    room: usize,
    used: usize,
    /// Something did not fit.
    pub cut: bool,
}

impl Control {
    pub fn new(at: u64, len: u64) -> Self {
        let room = if at == 0 { 0 } else { usize::try_from(len).unwrap_or(usize::MAX) };
        Self { at, room, used: 0, cut: false }
    }
    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used
    }
    fn left(&self) -> usize {
        self.room - self.used
    }
    /// Writes one message, cut to the room there is.
    fn put(&mut self, kind: i32, data: &[u8]) -> Result<()> {
        if self.left() < CMSG_HEAD {
            self.cut = true;
            return Ok(());
        }
        let len = (CMSG_HEAD + data.len()).min(self.left());
        self.cut |= len < CMSG_HEAD + data.len();
        let mut raw = (len as u64).to_le_bytes().to_vec();
        raw.extend_from_slice(&SOL_SOCKET.to_le_bytes());
        raw.extend_from_slice(&kind.to_le_bytes());
        raw.extend_from_slice(data);
        raw.truncate(len);
        write_bytes(self.at + self.used as u64, &raw)?;
        self.used += len.next_multiple_of(8).min(self.left());
        Ok(())
    }
}

impl Task<'_, '_> {
    /// Who calls, as the other end of a socket sees it.
    pub(super) fn socket_credentials(&self) -> Credentials {
        let creds = self.creds();
        Credentials { pid: self.process().pid, uid: creds.euid, gid: creds.egid }
    }

    /// The name that an address stands for: ECONNREFUSED for files that are no sockets; EACCES without permission to write to it.
    pub(super) fn find_address(&self, given: Given) -> Result<Name> {
        match given {
            Given::Family => Err(Error::Invalid),
            Given::Abstract(name) => Ok(Name::Abstract(name)),
            Given::Path(path) => {
                let at = self.walk(AT_FDCWD, &path, WalkFlags::FOLLOW)?;
                let credentials = self.creds();
                litebox::fs::check_permission(&at.metadata()?, &creds_of(&credentials), Access::WRITE)?;
                if at.inode().file_type() != FileType::Socket {
                    return Err(ECONNREFUSED);
                }
                Ok(Name::Inode(at.inode().id()))
            }
        }
    }

    /// Gives a socket the name that an address stands for; a path becomes a file.
    pub(super) fn bind_to(&self, socket: &UnixSocket, given: Given) -> Result<()> {
        match given {
            Given::Family => socket.bind_free(),
            _ if socket.address().is_some() => Err(Error::Invalid),
            Given::Abstract(name) => socket.bind(Address::Abstract(name.clone()), Name::Abstract(name)),
            Given::Path(path) => {
                let made = self.with_origin(AT_FDCWD, &path, |vfs, from| vfs.make(from, &path, NewNode::Socket, 0o777));
                let at = made.map_err(|error| if error == Error::Exists { EADDRINUSE } else { error })?;
                socket.bind(Address::Path(path), Name::Inode(at.inode().id()))
            }
        }
    }

    /// Reads control messages: descriptors and credentials to send along.
    pub(super) fn read_control(&self, socket: &UnixSocket, at: u64, len: u64) -> Result<Ancillary> {
        let mut ancillary = Ancillary { credentials: self.socket_credentials(), rights: Rights::new() };
        if at == 0 || len == 0 {
            return Ok(ancillary);
        }
        let len = usize::try_from(len).ok().filter(|_| len <= MOST_CONTROL).ok_or(ENOBUFS)?;
        let mut raw = Vec::new();
        raw.try_reserve_exact(len).map_err(|_| ENOBUFS)?;
        raw.resize(len, 0);
        read_into(at, &mut raw)?;
        let mut rest = raw.as_slice();
        while rest.len() >= CMSG_HEAD {
            let size = usize::from_le_bytes(word(rest, 0));
            let data = rest.get(CMSG_HEAD..size).ok_or(Error::Invalid)?;
            let (level, kind) = (i32::from_le_bytes(word(rest, 8)), i32::from_le_bytes(word(rest, 12)));
            if level == SOL_SOCKET {
                match kind {
                    SCM_RIGHTS => self.add_rights(&mut ancillary.rights, data)?,
                    SCM_CREDENTIALS => ancillary.credentials = self.claimed_credentials(data)?,
                    _ => return Err(Error::Invalid),
                }
            }
            rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
        }
        self.check_in_flight(socket, ancillary.rights.len())?;
        Ok(ancillary)
    }

    fn add_rights(&self, rights: &mut Rights, data: &[u8]) -> Result<()> {
        let fds = data.chunks_exact(4).map(|raw| i32::from_le_bytes(word(raw, 0)));
        if rights.len() + fds.len() > MOST_RIGHTS {
            return Err(Error::Invalid);
        }
        for fd in fds {
            rights.push(self.file_or_path(fd)?);
        }
        Ok(())
    }

    /// ETOOMANYREFS: as many descriptors as the caller may have open already lie in messages.
    fn check_in_flight(&self, socket: &UnixSocket, more: usize) -> Result<()> {
        let limit = usize::try_from(self.descriptor_limit()).unwrap_or(usize::MAX);
        if more > 0 && socket.files_in_flight(limit) > limit { Err(ETOOMANYREFS) } else { Ok(()) }
    }

    /// Credentials that the caller says are his: who is not privileged may not lie.
    fn claimed_credentials(&self, data: &[u8]) -> Result<Credentials> {
        if data.len() != UCRED {
            return Err(Error::Invalid);
        }
        let pid = i32::from_le_bytes(word(data, 0));
        let (uid, gid) = (u32::from_le_bytes(word(data, 4)), u32::from_le_bytes(word(data, 8)));
        let own = self.creds();
        let honest = pid == self.process().pid
            && [own.uid, own.euid, own.suid].contains(&uid)
            && [own.gid, own.egid, own.sgid].contains(&gid);
        if !honest && own.euid != 0 {
            return Err(Error::NotPermitted);
        }
        if pid != self.process().pid && self.kernel().process(pid).is_none() {
            return Err(Error::NoProcess);
        }
        Ok(Credentials { pid, uid, gid })
    }

    /// Gives the receiver what came along with a message, as far as he has room for it.
    pub(super) fn write_control(
        &self,
        socket: &UnixSocket,
        received: &mut Received,
        control: &mut Control,
        close_on_exec: bool,
    ) -> Result<()> {
        if let Some(who) = received.credentials.filter(|_| socket.passes_credentials()) {
            let mut raw = [0u8; UCRED];
            for (slot, value) in raw.chunks_exact_mut(4).zip([who.pid as u32, who.uid, who.gid]) {
                slot.copy_from_slice(&value.to_le_bytes());
            }
            control.put(SCM_CREDENTIALS, &raw)?;
        }
        let rights = core::mem::take(&mut received.rights);
        if rights.is_empty() {
            return Ok(());
        }
        let fit = control.left().saturating_sub(CMSG_HEAD) / 4;
        let mut fds = Vec::new();
        let count = rights.len();
        for file in rights.into_iter().take(fit) {
            match self.install_received(file, close_on_exec) {
                Ok(fd) => fds.extend_from_slice(&(fd as u32).to_le_bytes()),
                Err(_) => break,
            }
        }
        let installed = fds.len() / 4;
        if installed > 0 {
            control.put(SCM_RIGHTS, &fds)?;
        }
        control.cut |= installed < count;
        Ok(())
    }

    fn install_received(&self, file: Arc<OpenFile>, close_on_exec: bool) -> Result<usize> {
        self.install(file, close_on_exec)
    }
}
