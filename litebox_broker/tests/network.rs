//! The network's service as a hostile sandbox meets it: requests on its socket, against servers of the test's own.
//!
//! What needs addresses of a public network runs in network namespaces that the test makes (root only): one for the
//! service, one for the servers.
#![expect(clippy::expect_used, reason = "tests")]

#[path = "network/names.rs"]
mod names;
#[path = "network/namespaces.rs"]
#[expect(dead_code, reason = "the command's tests use all of it")]
mod namespaces;
#[path = "network/sandbox.rs"]
mod sandbox;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use litebox_broker::net::Setup;
use litebox_broker::net::policy::{Mode, Policy};
use litebox_broker::net::proxy::Proxy;
use litebox_broker::net::publish::{Port, Publish};
use litebox_broker::net::rules::Rule;
use litebox_broker::protocol::EventKind;
use litebox_protocol::net::{
    HOST_V4, HOST_V6, MAX_FIRST, NetOp, NetRequest, STATE_DONE, STATE_MORE, STATE_PENDING, Setting, TCP, UDP, mapped,
};
use proptest::prelude::*;
use rustix::io::Errno;
use zerocopy::IntoBytes;

use names::Names;
use namespaces::Namespaces;
use sandbox::Sandbox;

fn policy(allow: &str, deny: &str) -> Policy {
    let list = |text: &str| if text.is_empty() { Vec::new() } else { Rule::parse_list(text).expect("rules") };
    Policy { mode: Mode::Rules, allow: list(allow), deny: list(deny) }
}

fn setup(allow: &str) -> Setup {
    Setup { policy: policy(allow, ""), ..Setup::default() }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

fn blocking(socket: OwnedFd) -> TcpStream {
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false).expect("blocking");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("an address").port()
}

#[test]
fn the_hosts_loopback_is_reached_by_a_rule_for_its_port() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = port_of(&listener);
    let mut sandbox = Sandbox::start(setup(&format!("host:{port}")));
    let reply = sandbox.connect(1, TCP, mapped(HOST_V4), port);
    assert_eq!((reply.error, reply.state), (0, STATE_DONE));
    assert_ne!(reply.port, 0);
    let mut near = blocking(reply.socket.expect("a socket"));
    let mut far = accept(&listener);
    assert_eq!(far.peer_addr().expect("an address").port(), reply.port);
    near.write_all(b"ping").expect("written");
    let mut got = [0; 4];
    far.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"ping");
    let (code, addresses) = sandbox.resolve(2, "host", 4);
    assert_eq!((code, addresses), (0, vec![mapped(HOST_V4)]));
    assert_eq!(sandbox.resolve(3, "HOST", 6), (0, Vec::new()));
}

#[test]
fn a_connection_that_is_refused_is_told_so() {
    let port = port_of(&TcpListener::bind("127.0.0.1:0").expect("a listener"));
    let mut sandbox = Sandbox::start(setup("host:*"));
    let reply = sandbox.connect(1, TCP, mapped(HOST_V4), port);
    // The host may know at once, or tell by the socket.
    match reply.socket {
        None => assert_eq!(reply.error, Errno::CONNREFUSED.raw_os_error()),
        Some(socket) => {
            let error = TcpStream::from(socket).take_error().expect("an option").expect("an error");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
    }
}

#[test]
fn what_no_rule_allows_is_refused_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("not blocking");
    let port = port_of(&listener);
    let mut sandbox = Sandbox::start(setup("host:1,10.0.0.0/8:1,0.0.0.0/0:*"));
    let loopback = [
        mapped([127, 0, 0, 1]),
        mapped([127, 1, 2, 3]),
        mapped([0, 0, 0, 0]),
        mapped(HOST_V4),
        HOST_V6,
        [0; 16],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        // IPv4-compatible, NAT64 and 6to4 forms of 127.0.0.1.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1],
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1],
        [0x20, 2, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ];
    for (id, address) in (0..).zip(loopback) {
        for protocol in [TCP, UDP] {
            let reply = sandbox.connect(id, protocol, address, port);
            assert_eq!(reply.error, Errno::ACCESS.raw_os_error(), "{address:?} {protocol}");
            assert!(reply.socket.is_none());
        }
    }
    assert!(listener.accept().is_err());
}

#[test]
fn udp_flows_are_connected_sockets() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = server.local_addr().expect("an address").port();
    let mut sandbox = Sandbox::start(setup(&format!("host:{port}/udp")));
    assert_eq!(sandbox.connect(1, TCP, mapped(HOST_V4), port).error, Errno::ACCESS.raw_os_error());
    let flow = UdpSocket::from(sandbox.connect(2, UDP, mapped(HOST_V4), port).socket.expect("a socket"));
    flow.send(b"question").expect("sent");
    let mut buffer = [0; 16];
    let (len, from) = server.recv_from(&mut buffer).expect("a datagram");
    assert_eq!(len, 8);
    server.send_to(b"answer", from).expect("sent");
    flow.set_nonblocking(false).expect("blocking");
    assert_eq!(flow.recv(&mut buffer).expect("a datagram"), 6);
}

#[test]
fn options_are_made_before_the_connection_and_unknown_ones_are_not() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let mut sandbox = Sandbox::start(setup("host:*"));
    let settings = [
        Setting { level: libc::IPPROTO_TCP, name: libc::TCP_NODELAY, value: 1 },
        Setting { level: libc::SOL_SOCKET, name: libc::SO_MARK, value: 7 },
    ];
    let head = sandbox::connect_request(1, TCP, mapped(HOST_V4), port_of(&listener));
    let socket = sandbox.ask(head, settings.as_bytes(), None).socket.expect("a socket");
    assert!(TcpStream::from(socket).nodelay().expect("an option"));
    assert_eq!(sandbox.ask(head, &[0; 5], None).error, Errno::INVAL.raw_os_error());
    assert_eq!(sandbox.ask(head, &[0; 12 * 33], None).error, Errno::INVAL.raw_os_error());
}

#[test]
fn sockets_that_come_back_are_changed_within_the_list() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let mut sandbox = Sandbox::start(setup("host:*"));
    let near = sandbox.connect(1, TCP, mapped(HOST_V4), port_of(&listener)).socket.expect("a socket");
    let mut far = accept(&listener);
    let option =
        |op: NetOp, level, name, value| NetRequest { op: op as u32, level, name, value, ..NetRequest::default() };
    let set = option(NetOp::SetOption, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 0);
    assert_eq!(sandbox.ask(set, &[1, 0, 0, 0], Some(near.as_fd())).error, 0);
    let get = option(NetOp::GetOption, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 4);
    assert_eq!(sandbox.ask(get, &[], Some(near.as_fd())).extra, [1, 0, 0, 0]);
    let mark = option(NetOp::SetOption, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, 0);
    assert_eq!(sandbox.ask(mark, b"lo\0\0", Some(near.as_fd())).error, Errno::NOPROTOOPT.raw_os_error());
    assert_eq!(sandbox.ask(set, &[1, 0, 0, 0], None).error, Errno::BADF.raw_os_error());
    let shut = option(NetOp::Shutdown, 0, 0, 1);
    assert_eq!(sandbox.ask(shut, &[], Some(near.as_fd())).error, 0);
    assert_eq!(far.read(&mut [0; 1]).expect("an end"), 0);
}

#[test]
fn a_published_port_leads_in_while_somebody_listens() {
    let outside: SocketAddr = format!("127.0.0.1:{}", namespaces::free_port()).parse().expect("an address");
    let what = Publish::parse(&format!("{}:80", outside.port())).expect("a port");
    let ports = vec![Port::bind(what).expect("a port")];
    let mut sandbox = Sandbox::start(Setup { ports, ..Setup::default() });
    let refused = || TcpStream::connect(outside).is_err();
    let ask = |op: NetOp, id, value| NetRequest { op: op as u32, id, value, ..NetRequest::default() };
    assert!(refused());
    assert_eq!(sandbox.ask(ask(NetOp::Listen, 1, 4), &[], None).error, Errno::NOENT.raw_os_error());
    assert_eq!(sandbox.ask(ask(NetOp::Credit, 0, 4), &[], None).error, Errno::INVAL.raw_os_error());
    assert_eq!(sandbox.ask(ask(NetOp::Listen, 0, 1), &[], None).error, 0);
    let near: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(outside).expect("a connection")).collect();
    let came = sandbox.event();
    assert_eq!((came.kind, came.id), (EventKind::Accepted as u32, 0));
    // The host's loopback has its name inside.
    assert_eq!(came.address, mapped(HOST_V4));
    assert_eq!(came.port, near[0].local_addr().expect("an address").port());
    blocking(came.socket.expect("a socket")).write_all(b"x").expect("written");
    // The credit is used up.
    assert!(sandbox.has_no_event());
    assert_eq!(sandbox.ask(ask(NetOp::Credit, 0, 1), &[], None).error, 0);
    assert_eq!(sandbox.event().port, near[1].local_addr().expect("an address").port());
    assert_eq!(sandbox.ask(ask(NetOp::Unlisten, 0, 0), &[], None).error, 0);
    assert!(refused());
}

/// Only a sandbox that is in a namespace of its own publishes ports, and never on the loopback.
#[test]
fn ports_of_a_namespace_are_published_when_they_are_asked_for() {
    let port = namespaces::free_port();
    let ask = |address, port, protocol| NetRequest {
        op: NetOp::Publish as u32,
        address,
        port,
        protocol,
        ..NetRequest::default()
    };
    let anywhere = mapped([0, 0, 0, 0]);
    let error = |sandbox: &mut Sandbox, asked| sandbox.ask(asked, &[], None).error;
    let mut other = Sandbox::start(setup("0.0.0.0/0:*,host:*"));
    assert_eq!(error(&mut other, ask(anywhere, port, TCP)), Errno::ACCESS.raw_os_error());
    let policy = Policy { mode: Mode::Namespace, ..Policy::default() };
    let mut sandbox = Sandbox::start(Setup { policy, ..Setup::default() });
    let loopback = [mapped([127, 0, 0, 1]), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]];
    for address in loopback.into_iter().chain([mapped([224, 0, 0, 1])]) {
        assert_eq!(error(&mut sandbox, ask(address, port, TCP)), Errno::ADDRNOTAVAIL.raw_os_error());
    }
    // An address that is none of the host's.
    assert_eq!(error(&mut sandbox, ask(mapped([198, 51, 100, 9]), port, TCP)), Errno::ADDRNOTAVAIL.raw_os_error());
    assert_eq!(error(&mut sandbox, ask(anywhere, 0, TCP)), Errno::ADDRNOTAVAIL.raw_os_error());
    assert_eq!(error(&mut sandbox, ask(anywhere, port, 1)), Errno::PROTONOSUPPORT.raw_os_error());
    // Twice the same.
    assert_eq!([0, 0].map(|_| error(&mut sandbox, ask(anywhere, port, TCP))), [0, 0]);
    let listen = |id| NetRequest { op: NetOp::Listen as u32, id, value: 1, ..NetRequest::default() };
    assert_eq!(error(&mut sandbox, listen(1)), Errno::NOENT.raw_os_error());
    assert_eq!(error(&mut sandbox, listen(0)), 0);
    let near = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    assert_eq!(sandbox.event().port, near.local_addr().expect("an address").port());
}

#[test]
fn a_proxy_makes_connections_and_its_refusal_is_one() {
    // Where the proxy leads is none of our addresses: it is never connected to here.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let proxy = Proxy::parse(&format!("http://user:pw@127.0.0.1:{}", port_of(&listener))).expect("a proxy");
    let mut sandbox = Sandbox::start(Setup { proxy: Some(proxy), ..setup("198.51.100.9:80,198.51.100.9:53/udp") });
    for (id, answer, error) in
        [(1, "HTTP/1.1 200 Fine\r\n\r\nhello", 0), (2, "HTTP/1.1 403 No\r\n\r\n", Errno::CONNREFUSED.raw_os_error())]
    {
        let reply = sandbox.connect(id, TCP, mapped([198, 51, 100, 9]), 80);
        assert_eq!((reply.error, reply.state), (0, STATE_PENDING));
        let mut far = accept(&listener);
        let mut request = [0; 256];
        let len = far.read(&mut request).expect("a request");
        let request = String::from_utf8_lossy(&request[..len]).into_owned();
        assert!(
            request.starts_with("CONNECT 198.51.100.9:80 HTTP/1.1\r\n") && request.contains("Basic dXNlcjpwdw=="),
            "{request}"
        );
        far.write_all(answer.as_bytes()).expect("written");
        let told = sandbox.event();
        assert_eq!((told.kind, told.id, told.error), (EventKind::Connected as u32, id, error));
        if let Some(socket) = told.socket {
            let mut first = [0; 5];
            blocking(socket).read_exact(&mut first).expect("bytes");
            assert_eq!(&first, b"hello");
        }
    }
    assert_eq!(sandbox.connect(3, UDP, mapped([198, 51, 100, 9]), 53).error, Errno::ACCESS.raw_os_error());
}

#[test]
fn names_that_are_not_allowed_are_never_asked_for() {
    let names = Names::start("127.0.0.1", |name, _| {
        (name == "a.example.org").then(|| vec!["10.0.0.1".parse().expect("an address")])
    });
    let mut sandbox = Sandbox::start(Setup { servers: vec![names.at()], ..setup("a.example.org,missing.example.org") });
    for name in [
        "secret.evil.org",
        "b.example.org",
        "example.org",
        "localhost",
        "a.example.org.evil.org",
        "x",
        "",
        "..",
        "1.2.3.4",
        "a b",
    ] {
        assert_eq!(sandbox.resolve(1, name, 4), (3, Vec::new()), "{name}");
    }
    assert_eq!(sandbox.resolve(2, "missing.example.org", 4), (3, Vec::new()));
    assert_eq!(names.asked(), ["missing.example.org"]);
}

#[test]
fn names_that_lead_to_addresses_that_are_not_public_lead_nowhere() {
    let bad = ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"];
    let six = ["::1", "::ffff:127.0.0.1", "fd00::1", "fe80::1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:10.0.0.1"];
    let names = Names::start("127.0.0.1", move |_, v6| {
        let list = if v6 { six.as_slice() } else { bad.as_slice() };
        Some(list.iter().map(|text| text.parse().expect("an address")).collect())
    });
    let mut sandbox = Sandbox::start(Setup { servers: vec![names.at()], ..setup("rebind.example.org:*") });
    assert_eq!(sandbox.resolve(1, "rebind.example.org", 4), (0, Vec::new()));
    assert_eq!(sandbox.resolve(2, "rebind.example.org", 6), (0, Vec::new()));
    for text in bad.iter().chain(&six) {
        let address: std::net::IpAddr = text.parse().expect("an address");
        let bytes = match address {
            std::net::IpAddr::V4(v4) => mapped(v4.octets()),
            std::net::IpAddr::V6(v6) => v6.octets(),
        };
        assert_eq!(sandbox.connect(3, TCP, bytes, 80).error, Errno::ACCESS.raw_os_error(), "{text}");
    }
}

#[test]
fn a_server_that_does_not_answer_or_lies_is_not_believed() {
    // The first sends rubbish and replies to other questions, the second is nobody, the third answers over TCP alone.
    let liar = Names::start_lying("127.0.0.1");
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let by_tcp =
        Names::start_cutting("127.0.0.1", |_, v6| (!v6).then(|| vec!["10.0.0.7".parse().expect("an address")]));
    let servers = vec![liar.at(), nobody, by_tcp.at()];
    let mut sandbox = Sandbox::start(Setup { servers, ..setup("db.internal:80?private") });
    assert_eq!(sandbox.resolve(1, "db.internal", 4), (0, vec![mapped([10, 0, 0, 7])]));
}

/// A number may be used again once its question is answered or forgotten.
#[test]
fn questions_have_numbers_of_their_own() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let servers = vec![silent.local_addr().expect("an address")];
    let mut sandbox = Sandbox::start(Setup { servers, ..setup("a.example.org") });
    let ask = |op: NetOp, id| NetRequest { op: op as u32, id, value: 4, ..NetRequest::default() };
    assert_eq!(sandbox.ask(ask(NetOp::Resolve, 1), b"a.example.org", None).state, STATE_PENDING);
    assert_eq!(sandbox.ask(ask(NetOp::Resolve, 1), b"a.example.org", None).error, Errno::INVAL.raw_os_error());
    assert_eq!(sandbox.ask(ask(NetOp::Resolve, 1 << 63), b"a.example.org", None).error, Errno::INVAL.raw_os_error());
    assert_eq!(sandbox.ask(ask(NetOp::Forget, 1), &[], None).error, 0);
    assert_eq!(sandbox.ask(ask(NetOp::Resolve, 1), b"a.example.org", None).state, STATE_PENDING);
    // Too many at once wait for nobody.
    let errors: Vec<i32> =
        (2..400).map(|id| sandbox.ask(ask(NetOp::Resolve, id), b"a.example.org", None).error).collect();
    assert_eq!((errors.first(), errors.last()), (Some(&0), Some(&Errno::AGAIN.raw_os_error())));
    let host = TcpListener::bind("127.0.0.1:0").expect("a listener");
    assert_eq!(sandbox.connect(1000, TCP, mapped(HOST_V4), port_of(&host)).error, Errno::ACCESS.raw_os_error());
}

/// Names, TLS and public addresses, in namespaces: the service's has one link, to the servers'.
#[test]
fn a_public_network() {
    let Some(spaces) = Namespaces::make() else { return };
    let denied = ["10.77.0.1", "169.254.169.254", "203.0.113.66"];
    let servers = spaces.servers(&["198.51.100.2", "203.0.113.10", "10.77.0.1", "169.254.169.254", "203.0.113.66"]);
    let answers = |name: &str, v6: bool| match name {
        _ if v6 => Some(Vec::new()),
        "a.example.org" | "b.example.org" => Some(vec!["203.0.113.10".parse().expect("an address")]),
        "mixed.example.org" => {
            Some(["10.77.0.1", "203.0.113.10", "198.51.100.1"].map(|a| a.parse().expect("an address")).to_vec())
        }
        _ => None,
    };
    let names = spaces.inside_servers(move || Names::start("198.51.100.2", answers));
    let mut setup = setup("a.example.org,*.example.org:8443/tls,mixed.example.org:80");
    setup.policy.deny = Rule::parse_list("203.0.113.66,gist.example.org").expect("rules");
    setup.servers = vec![names.at()];
    let mut sandbox = spaces.inside_service(move || Sandbox::start(setup));
    let public = mapped([203, 0, 113, 10]);

    // Before the name is answered, its address is nobody's.
    assert_eq!(sandbox.connect(1, TCP, public, 80).error, Errno::ACCESS.raw_os_error());
    assert_eq!(sandbox.resolve(2, "A.Example.Org", 4), (0, vec![public]));
    let mut plain = blocking(sandbox.connect(3, TCP, public, 80).socket.expect("a socket"));
    plain.write_all(b"hi").expect("written");
    drop(plain);
    assert_eq!(servers.next(), ("203.0.113.10:80".parse().expect("an address"), b"hi".to_vec()));
    for port in [22, 8080] {
        assert_eq!(sandbox.connect(4, TCP, public, port).error, Errno::ACCESS.raw_os_error());
    }
    assert_eq!(sandbox.connect(4, UDP, public, 443).error, Errno::ACCESS.raw_os_error());

    // Of a mixed answer only the public part is told: neither private addresses nor the host's own.
    assert_eq!(sandbox.resolve(5, "mixed.example.org", 4), (0, vec![public]));
    for address in [[10, 77, 0, 1], [198, 51, 100, 1]] {
        assert_eq!(sandbox.connect(6, TCP, mapped(address), 80).error, Errno::ACCESS.raw_os_error());
    }

    // The first flight is looked at, piece by piece, and passed on whole.
    let hello = sandbox::client_hello("a.example.org", 3000);
    assert_eq!(sandbox.connect(7, TCP, public, 443).state, STATE_PENDING);
    let told = sandbox.event();
    assert_eq!((told.kind, told.id, told.error), (EventKind::Connected as u32, 7, 0));
    assert!(told.socket.is_none());
    let (head, tail) = hello.split_at(1500);
    assert_eq!(sandbox.first(7, head).state, STATE_MORE);
    let reply = sandbox.first(7, tail);
    assert_eq!((reply.error, reply.state), (0, STATE_DONE));
    let mut near = blocking(reply.socket.expect("a socket"));
    near.write_all(b"more").expect("written");
    drop(near);
    let expected = [hello.as_slice(), b"more"].concat();
    assert_eq!(servers.next(), ("203.0.113.10:443".parse().expect("an address"), expected));

    // Other names, none, and what is no TLS, are reset; nothing of it reaches the server.
    let unfit: [&[u8]; 4] = [
        &sandbox::client_hello("evil.org", 0),
        &sandbox::client_hello("gist.example.org", 0),
        &sandbox::client_hello("b.example.org", 0),
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for (id, bytes) in (10..).zip(unfit) {
        assert_eq!(sandbox.connect(id, TCP, public, 443).state, STATE_PENDING);
        assert_eq!(sandbox.event().error, 0);
        assert_eq!(sandbox.first(id, bytes).error, Errno::CONNRESET.raw_os_error());
        assert_eq!(sandbox.first(id, bytes).error, Errno::NOTCONN.raw_os_error());
        assert_eq!(servers.next(), ("203.0.113.10:443".parse().expect("an address"), Vec::new()));
    }
    // What would not fit into what is looked at.
    assert_eq!(sandbox.connect(20, TCP, public, 443).state, STATE_PENDING);
    assert_eq!(sandbox.event().error, 0);
    let long = sandbox::client_hello("a.example.org", 16_200);
    assert!(long.len() <= MAX_FIRST);
    assert_eq!(sandbox.first(20, &long).state, STATE_DONE);
    assert_eq!(servers.next().1, long);
    assert_eq!(sandbox.connect(21, TCP, public, 443).state, STATE_PENDING);
    assert_eq!(sandbox.event().error, 0);
    // Records of one byte each make a short handshake long.
    let stretched: Vec<u8> = long[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    let errors: Vec<i32> = stretched.chunks(4096).take(4).map(|piece| sandbox.first(21, piece).error).collect();
    assert_eq!(errors, [0, 0, 0, Errno::CONNRESET.raw_os_error()]);
    servers.next();

    // A server that refuses is told of, not one that seems to answer.
    assert_eq!(sandbox.resolve(22, "b.example.org", 4), (0, vec![public]));
    assert_eq!(sandbox.connect(22, TCP, public, 8443).state, STATE_PENDING);
    let told = sandbox.event();
    assert_eq!((told.kind, told.id, told.error), (EventKind::Connected as u32, 22, Errno::CONNREFUSED.raw_os_error()));

    // Every public address, but no other.
    let mut setup = Setup { servers: vec![names.at()], ..Setup::default() };
    setup.policy =
        Policy { mode: Mode::Public, allow: Vec::new(), deny: Rule::parse_list("203.0.113.66").expect("rules") };
    let mut sandbox = spaces.inside_service(move || Sandbox::start(setup));
    assert!(sandbox.connect(1, TCP, public, 80).socket.is_some());
    servers.next();
    for text in denied {
        let address: std::net::Ipv4Addr = text.parse().expect("an address");
        for form in forms(address.octets()) {
            assert_eq!(sandbox.connect(2, TCP, form, 80).error, Errno::ACCESS.raw_os_error(), "{text} as {form:?}");
        }
    }
    assert_eq!(sandbox.connect(3, TCP, mapped([198, 51, 100, 1]), 80).error, Errno::ACCESS.raw_os_error());
    assert!(servers.nobody_came());
}

/// An IPv4 address as itself, IPv4-compatible, by NAT64 and by 6to4.
fn forms(v4: [u8; 4]) -> [[u8; 16]; 4] {
    let [a, b, c, d] = v4;
    [
        mapped(v4),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d],
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d],
        [0x20, 2, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever is asked, there is one well-formed reply, and where no rule is, no socket.
    #[test]
    fn any_request(
        op in 0u32..13,
        id in prop_oneof![0u64..4, any::<u64>()],
        address: [u8; 16],
        port: u16,
        protocol in prop_oneof![Just(TCP), Just(UDP), any::<u8>()],
        value in prop_oneof![0u32..8, any::<u32>()],
        level in -1i32..300,
        name in -1i32..120,
        lie in prop_oneof![4 => Just(0i32), 1 => -2i32..3],
        extra in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let setup = Setup { servers: vec![SocketAddr::from(([127, 0, 0, 1], 9))], ..setup("only.example.org") };
        let mut service = litebox_broker::net::Service::new(setup);
        let extra_len = (extra.len() as u32).wrapping_add_signed(lie);
        let head =
                NetRequest { op, extra_len, id, address, port, protocol, level, name, value, ..NetRequest::default() };
        let message = [head.as_bytes(), extra.as_slice()].concat();
        for len in [message.len(), message.len() / 2] {
            let (reply, passed) = service.serve(&message[..len], None);
            prop_assert!(sandbox::is_well_formed(&reply));
            prop_assert!(passed.is_none());
        }
    }
}
