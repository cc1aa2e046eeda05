//! Sockets.
//!
//! - `socket`: what every socket can do ([`Socket`]), and what goes over one. `address`, `options`: what all families
//!   share; `queue`: bytes on their way; `account`: what they cost; `file`: a socket as an open file.
//! - `inet`: IPv4 and IPv6. `unix`: local sockets. `netlink`: what the kernel says of its own accord.

mod account;
pub mod address;
mod file;
pub mod inet;
pub mod netlink;
pub mod options;
pub mod queue;
pub mod socket;
pub mod unix;

pub use address::Address;
pub use litebox_common_linux::abi::socket::MessageFlags;
pub use options::{Setting, Settings};
pub use socket::{
    Credentials, Family, Outgoing, PacketInfo, PacketOptions, QueuedError, Received, Shut, Socket, SocketKind,
};
