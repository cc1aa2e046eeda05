//! The network of a sandbox: what it may reach, and sockets for what it may.
//!
//! The sandbox asks on a socket of its own ([`message`] takes that apart), a thread of its own serves it ([`service`]),
//! and nothing that a guest does keeps that thread waiting. What is reached is decided by [`policy`], from [`rules`]
//! and what [`ranges`] says of an address; names are looked up by [`resolve`] ([`config`]: where, [`dns`]: how), and
//! [`names`] remembers which led where. [`connect`] holds connections until they may be passed on, because of the name
//! in their first flight ([`hello`]) or a [`proxy`]; [`control`] is what may be done to passed sockets; [`publish`] is
//! the way in.

pub mod config;
pub mod connect;
pub mod control;
pub mod dns;
pub mod hello;
pub mod message;
pub mod names;
pub mod policy;
pub mod proxy;
pub mod publish;
pub mod ranges;
mod report;
pub mod resolve;
pub mod routes;
pub mod rules;
pub mod service;
mod sockets;

use std::net::SocketAddr;

use policy::Policy;
use proxy::Proxy;
use publish::Port;
pub use service::Service;

/// What the user asked for.
#[derive(Default)]
pub struct Setup {
    /// What may be reached.
    pub policy: Policy,
    /// Ports that lead into the sandbox; their numbers in messages are their places here.
    pub ports: Vec<Port>,
    /// Name servers to ask instead of the host's.
    pub servers: Vec<SocketAddr>,
    /// By way of whom.
    pub proxy: Option<Proxy>,
    /// Whether refusals are said.
    pub report: bool,
}
