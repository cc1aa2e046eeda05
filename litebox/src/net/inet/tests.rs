//! Streams and ports among themselves.

use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use litebox_common_linux::Errno;

use super::carrier::{Inlet, Outlet, Outside, Port, StreamCarrier};
use super::{Group, Network, TcpSocket, TcpState};
use crate::event::{Events, WaitQueue};
use crate::fs::File;
use crate::io::{Dest, Source};
use crate::net::{Address, Credentials, MessageFlags, Outgoing, Settings, Shut, Socket};
use crate::{Error, Result};

const OWNER: Credentials = Credentials { pid: 1, uid: 2, gid: 3 };

fn socket(network: &Arc<Network>, ino: u64) -> Arc<TcpSocket> {
    TcpSocket::new(network, false, 0, ino)
}
fn listener(network: &Arc<Network>) -> (Arc<TcpSocket>, Address) {
    let listener = socket(network, 1);
    let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    assert_eq!(listener.bind(&Address::Inet(at)), Ok(()));
    assert_eq!(listener.listen(4, OWNER), Ok(()));
    let name = listener.name();
    (listener, name)
}
fn receive(socket: &dyn Socket) -> Result<usize> {
    socket.receive(&mut Dest::kernel(&mut [0u8; 16]), MessageFlags::empty()).map(|got| got.copied)
}
fn send(socket: &dyn Socket, bytes: &[u8]) -> Result<usize> {
    socket.send(&mut Source::kernel(bytes), &mut Outgoing::plain(OWNER))
}

#[test]
fn a_connection_nobody_asked_after_is_one() {
    let network = Network::new(None);
    let (server, name) = listener(&network);
    let client = socket(&network, 2);
    assert_eq!(client.connect(&name, OWNER, true), Err(Error::from_errno(Errno::EINPROGRESS.0)));
    assert!(client.ready().contains(Events::OUT));
    // Nor has it any time to wait for.
    assert!(!client.is_timed());
    assert_eq!(client.peer_name(), Ok(name.clone()));
    let Ok(accepted) = server.accept(3) else { panic!("nothing to accept") };
    // It ends in order, though connect(2) never said that it exists.
    drop(client);
    assert_eq!(receive(&*accepted), Ok(0));
    assert_eq!(send(&*accepted, b"x"), Ok(1));
    let client = socket(&network, 4);
    assert_eq!(client.connect(&name, OWNER, true), Err(Error::from_errno(Errno::EINPROGRESS.0)));
    assert_eq!(client.shutdown(Shut::WRITE), Ok(()));
    assert_eq!(client.tcp_state(), TcpState::FinWait2);
    assert_eq!(client.connect(&name, OWNER, true), Ok(()));
    assert_eq!(client.connect(&name, OWNER, true), Err(Error::from_errno(Errno::EISCONN.0)));
}

#[test]
fn a_port_is_free_again_when_all_that_had_it_are_gone() {
    let network = Network::new(None);
    let (server, name) = listener(&network);
    let client = socket(&network, 2);
    assert_eq!(client.connect(&name, OWNER, false), Ok(()));
    let Ok(accepted) = server.accept(3) else { panic!("nothing to accept") };
    let other = socket(&network, 4);
    drop(server);
    assert_eq!(other.bind(&name), Err(Error::from_errno(Errno::EADDRINUSE.0)));
    // The one that ends last in order is not remembered at this port.
    drop(client);
    drop(accepted);
    assert_eq!(other.bind(&name), Ok(()));
    assert_eq!(network.tcp_rows().iter().filter(|row| row.state == TcpState::TimeWait).count(), 1);
    assert_eq!(socket(&network, 5).connect(&name, OWNER, false), Err(Error::from_errno(Errno::ECONNREFUSED.0)));
}

/// A way out that leads to nobody.
struct Elsewhere([(IpAddr, u8); 1]);

impl Outside for Elsewhere {
    fn addresses(&self) -> &[(IpAddr, u8)] {
        &self.0
    }
    fn connect(
        &self,
        _ends: (SocketAddr, SocketAddr),
        _queue: &Arc<WaitQueue>,
        _options: &Settings,
    ) -> Result<Arc<dyn StreamCarrier>> {
        Err(Error::Access)
    }
    fn open(&self, _kind: Port, _local: SocketAddr, _inlet: &Arc<dyn Inlet>) -> Result<Arc<dyn Outlet>> {
        Err(Error::Access)
    }
}

#[test]
fn a_group_is_joined_where_it_leads() {
    let own = Ipv4Addr::new(10, 0, 2, 15);
    let group = |interface, local| Group { address: Ipv4Addr::new(224, 0, 0, 77).into(), interface, local };
    let (anywhere, none) = (group(0, Ipv4Addr::UNSPECIFIED), Err(Error::NoDevice));
    // The loopback device is none that the address of all groups leads to.
    let network = Network::new(None);
    assert_eq!(socket(&network, 1).membership(&anywhere, true), none);
    assert_eq!(socket(&network, 1).membership(&group(0, own), true), none);
    assert_eq!(socket(&network, 1).membership(&group(0, Ipv4Addr::LOCALHOST), true), Ok(()));
    let network = Network::new(Some(Arc::new(Elsewhere([(own.into(), 24)]))));
    let stream = socket(&network, 2);
    assert_eq!(stream.membership(&anywhere, true), Ok(()));
    assert_eq!(stream.membership(&group(0, own), true), Err(Error::from_errno(Errno::EADDRINUSE.0)));
    assert_eq!(stream.membership(&group(1, own), true), Ok(()));
    assert_eq!(stream.membership(&group(0, Ipv4Addr::new(10, 0, 2, 16)), true), none);
    assert_eq!(stream.membership(&group(3, own), true), none);
    assert_eq!(stream.membership(&anywhere, false), Ok(()));
    assert!(network.has_members(anywhere.address));
    drop(stream);
    assert!(!network.has_members(anywhere.address));
}
