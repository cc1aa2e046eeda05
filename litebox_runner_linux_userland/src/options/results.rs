//! What stays of a program when it has ended.

use std::path::PathBuf;

use clap::Args;

/// Results.
#[derive(Args)]
#[command(next_help_heading = "Results")]
pub struct ResultOptions {
    /// List at the end what the program changed in copy-on-write directories, as `docker diff` does (A new, C changed,
    /// D gone): on stderr, or in a file.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub diff: Option<PathBuf>,
    /// Save at the end what the program changed in copy-on-write directories, as a layer of an OCI image: in a file, or
    /// laid out in a new directory. Also when its time was over. `litebox apply` brings it onto a directory.
    #[arg(long, value_name = "FILE.tar[.zst]|DIR")]
    pub save: Option<PathBuf>,
}
