//! A local socket as the calls of all families see it.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::connect::EISCONN;
use super::names::Name;
use super::{CAPACITY, UnixSocket, WRITABLE};
use crate::fs::File;
use crate::io::{Dest, Source};
use crate::net::{
    Address, Credentials, Family, MessageFlags, Outgoing, Received, Setting, Settings, Shut, Socket, SocketKind,
};
use crate::{Error, Result};

/// Where a message goes, or to whom to connect.
pub(super) fn name_of(address: &Address) -> Result<&Name> {
    match address {
        Address::Unix(Some(place)) => Ok(&place.name),
        _ => Err(Error::Invalid),
    }
}

impl Socket for UnixSocket {
    fn family(&self) -> Family {
        Family::Unix
    }
    fn kind(&self) -> SocketKind {
        self.core.kind
    }
    fn protocol(&self) -> i32 {
        0
    }
    fn options(&self) -> &Settings {
        &self.options
    }
    fn option_changed(&self, of: Setting) {
        if of == Setting::PassCredentials {
            self.core.curious.store(self.options.is_on(of), Ordering::Release);
        }
        if of == Setting::SendBuffer {
            let size = usize::try_from(self.options.get(of)).unwrap_or(CAPACITY);
            self.core.outbox.limit.store(size, Ordering::Relaxed);
        }
        self.core.outbox.queue.notify(WRITABLE);
    }
    fn bind(&self, to: &Address) -> Result<()> {
        match to {
            Address::Unix(None) => self.bind_free(),
            Address::Unix(Some(place)) => self.bind_at(place.clone()),
            _ => Err(Error::Invalid),
        }
    }
    fn listen(&self, backlog: i32, owner: Credentials) -> Result<()> {
        self.start_listening(backlog, owner)
    }
    fn accept(&self, ino: u64) -> Result<Arc<dyn Socket>> {
        let socket = self.take_waiting(ino)?;
        for setting in [Setting::PassCredentials, Setting::PassSecurity, Setting::PassPidfd] {
            socket.options.set(setting, self.options.get(setting));
        }
        socket.core.curious.store(self.passes_credentials(), Ordering::Release);
        Ok(socket)
    }
    fn connect(&self, to: &Address, owner: Credentials, _at_once: bool) -> Result<()> {
        match to {
            Address::Unspecified => self.disconnect(),
            _ => self.connect_to(name_of(to)?, owner),
        }
    }
    fn shutdown(&self, how: Shut) -> Result<()> {
        self.shut(how);
        Ok(())
    }
    fn name(&self) -> Address {
        Address::Unix(self.address())
    }
    fn peer_name(&self) -> Result<Address> {
        self.peer_address().map(Address::Unix)
    }
    fn check_destination(&self) -> Result<()> {
        Err(if self.peer_address().is_ok() { EISCONN } else { Error::NotSupported })
    }
    fn send(&self, source: &mut Source<'_>, outgoing: &mut Outgoing<'_>) -> Result<usize> {
        if outgoing.flags.contains(MessageFlags::MSG_OOB) {
            return Err(Error::NotSupported);
        }
        self.send_message_or_bytes(source, outgoing)
    }
    fn receive(&self, dest: &mut Dest<'_>, flags: MessageFlags) -> Result<Received> {
        if flags.contains(MessageFlags::MSG_OOB) {
            return Err(if self.core.kind == SocketKind::Stream { Error::Invalid } else { Error::NotSupported });
        }
        let peek = flags.contains(MessageFlags::MSG_PEEK);
        let ahead = usize::try_from(self.options.get(Setting::PeekOffset)).ok();
        let got = self.receive_message_or_bytes(dest, peek, ahead.filter(|_| peek).unwrap_or(0))?;
        if let Some(ahead) = ahead {
            let ahead = if peek { ahead.saturating_add(got.copied) } else { ahead.saturating_sub(got.copied) };
            self.options.set(Setting::PeekOffset, i32::try_from(ahead).unwrap_or(i32::MAX));
        }
        Ok(got)
    }
    fn take_error(&self) -> i32 {
        self.core.error.swap(0, Ordering::AcqRel)
    }
    fn is_listening(&self) -> bool {
        self.core.link.lock().backlog.is_some()
    }
    fn peer_credentials(&self) -> Option<Credentials> {
        self.core.link.lock().peer_credentials
    }
    fn buffer(&self, sending: bool) -> usize {
        if sending {
            return self.core.outbox.limit.load(Ordering::Relaxed);
        }
        usize::try_from(self.options.get(Setting::ReceiveBuffer)).ok().filter(|size| *size > 0).unwrap_or(CAPACITY)
    }
    fn charged(&self, sending: bool) -> usize {
        if sending { self.core.outbox.used() } else { 0 }
    }
    fn into_file(self: Arc<Self>) -> Arc<dyn File> {
        self
    }
}
