//! Files of the host that the sandbox holds a descriptor of, and trees of the host that it was granted.
//!
//! - `file`: an open file, read and written through its descriptor; the standard streams too.
//! - `streams`: who waits for the standard streams.
//! - `client`: the requests to the broker.
//! - `tree`: the file system over a granted tree; `node`: its inodes; `attributes`, `open`, `change`: what is done to
//!   them.
//! - `listing`: what is known of whole directories of a tree that nobody changes; `changes`, `flag`, `remembered`,
//!   `untouched`, `whole`: what is known of one that others change.

mod attributes;
mod change;
mod changes;
mod client;
mod file;
mod flag;
mod listing;
mod node;
mod open;
mod remembered;
mod streams;
#[cfg(test)]
mod tests;
mod tree;
mod untouched;
mod whole;

pub use client::{Granted, grants};
pub use file::HostFile;
pub(crate) use file::is_terminal;
pub use node::HostNode;
pub use streams::Streams;
pub use tree::HostFs;
