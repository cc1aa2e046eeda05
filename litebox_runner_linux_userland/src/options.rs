//! What `litebox run` can be told, by what it is about. The names are those of `docker run` where that has one.
//!
//! - [`files`]: what of the host the program sees; [`process`]: how it starts, and who it is;
//!   [`results`]: what stays of it; [`debug`].
//! - [`profile`]: the same in a file.
//! - [`refused`]: what `docker run` has and a sandbox cannot give, each with the reason.

pub mod debug;
#[cfg(test)]
mod docker_lines;
pub mod files;
pub mod process;
pub mod profile;
pub mod refused;
pub mod results;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::limits::Bounds;
use crate::network::NetworkOptions;

/// Options of `litebox run`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pub files: files::FileOptions,
    #[command(flatten)]
    pub process: process::ProcessOptions,
    #[command(flatten)]
    pub network: NetworkOptions,
    #[command(flatten)]
    pub limits: Bounds,
    #[command(flatten)]
    pub results: results::ResultOptions,
    #[command(flatten)]
    pub debug: debug::DebugOptions,
    #[command(flatten)]
    pub refused: refused::Refused,
    /// Take options from this file first, where they have the same names (memory = "512M"). `none`: from no file, not
    /// even from litebox.toml of the current directory, which is taken unasked as far as it gives nothing of the host.
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// The program and its arguments.
    #[arg(required_unless_present = "entrypoint", trailing_var_arg = true, value_name = "PROGRAM")]
    pub command: Vec<OsString>,
}

impl Options {
    /// The program with its arguments: with `--entrypoint`, that one, and the rest are its arguments.
    pub fn command(&self) -> Vec<OsString> {
        let entrypoint = self.process.entrypoint.iter().filter(|program| !program.is_empty());
        entrypoint.chain(&self.command).cloned().collect()
    }
}
