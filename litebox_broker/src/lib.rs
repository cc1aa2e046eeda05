//! The trusted process of a sandbox: it starts the sandbox, serves its requests, watches its limits and reports its
//! end.
//!
//! It holds the user's authority, so it is small, parses nothing but fixed-layout messages, and maps nothing of the
//! sandbox's memory but one page for messages ([`request_page`]).
//! - [`launch`] starts the supervisor with nothing but what it needs and runs [`server`] until the end.
//! - [`session`] serves requests, which [`request_channel`] and [`socket`] bring, and [`replies`] go back: [`message`]
//!   takes them apart, [`beneath`] resolves paths, in [`file_systems`] with files of users alone, [`files`], [`lookup`]
//!   and [`list`] read, [`change`] writes; [`visibility`] is what of a tree is shown. [`spin`]: looking for the next
//!   one before falling asleep.
//! - [`ahead`] answers what a program is going to ask, by what it asked for when it was started last.
//! - [`control`] is what the user does with it meanwhile: more programs, signals, pauses.
//! - [`net`] is the network: policy, names, connections, published ports.
//! - [`keeping`] has a thread take what the sandbox tells of its changes at its end.
//! - [`terminal`] is the user's terminal, lent to the sandbox and given back; [`hearing`] is whether that one still
//!   hears what it is told.
//! - [`confine`] is what happens to the supervisor before its first instruction; [`process`] signals and ends it, and
//!   [`guard`] when the broker cannot any more.
//! - [`limits`] keeps the time it may take, [`memory`] the memory, as [`usage`] counts it. [`cgroup`] does both where
//!   the host lets it, [`processors`] chooses where the sandbox runs. [`report`]: what the user is told, which nobody
//!   waits for.

pub mod ahead;
pub mod beneath;
pub mod cgroup;
pub mod change;
mod change_flag;
pub mod confine;
pub mod control;
pub mod file_systems;
pub mod files;
pub mod guard;
pub mod hearing;
pub mod host_calls;
pub mod keeping;
mod last_directory;
pub mod launch;
pub mod limits;
pub mod list;
pub mod lookup;
pub mod memory;
pub mod message;
pub mod net;
pub mod process;
pub mod processors;
pub mod replies;
pub mod report;
pub mod request_channel;
pub mod request_page;
pub mod server;
pub mod session;
pub mod signals;
pub mod socket;
pub mod spin;
pub mod terminal;
pub mod usage;
pub mod visibility;
pub mod walk;
pub mod watches;

pub use litebox_protocol as protocol;

pub use beneath::{Access, Grant};
pub use keeping::{Keeper, Stage};
pub use launch::{Launch, SandboxEnd, run};
pub use limits::{EndedBy, Limits};
pub use terminal::Terminal;
pub use visibility::{Hidden, Visibility};
