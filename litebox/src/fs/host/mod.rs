//! Files of the host that the sandbox holds a descriptor of: what the broker opened, and the standard streams.

mod file;

pub use file::HostFile;
