//! What of the host the program sees.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::limits::parse_size;

/// Files.
#[derive(Args)]
#[command(next_help_heading = "Files")]
pub struct FileOptions {
    /// Give the sandbox a directory or file of the host: to be changed (rw, the default), read-only (ro), or
    /// copy-on-write (cow). create makes the directory when it is missing. A relative path is meant from the current
    /// directory; a name that is not there is a volume that LiteBox keeps.
    #[arg(short, long, value_name = "SRC[:DST][:ro|rw|cow|create]")]
    pub volume: Vec<OsString>,
    /// The same in words: type=bind,src=SRC,dst=DST[,ro], type=volume,src=NAME,dst=DST or
    /// type=tmpfs,dst=DST[,tmpfs-size=SIZE].
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub mount: Vec<OsString>,
    /// Mount an empty file system in memory.
    #[arg(long, value_name = "DST[:ro,noexec,size=SIZE,mode=MODE]")]
    pub tmpfs: Vec<OsString>,
    /// Show nothing of the host but this directory, copy-on-write, as /.
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,
    /// Write changes to the directory of --rootfs, which else stays as it is.
    #[arg(long, requires = "rootfs", conflicts_with = "read_only")]
    pub rootfs_rw: bool,
    /// Hide what matches from everything that is given: a name (.env, '*.pem') at any depth, or a path ('./secrets/*',
    /// '~/work/**/key').
    #[arg(long, value_name = "GLOB")]
    pub hide: Vec<OsString>,
    /// Give it the toolchains of your home, copy-on-write, and find their programs: cargo, pyenv, nvm, go, virtual
    /// environments and the like. Keys and passwords that they keep are hidden.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, hide_possible_values = true)]
    pub tools: bool,
    /// Let nothing be changed but /tmp, /run, /dev/shm, and volumes that are given rw or cow by name.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, hide_possible_values = true)]
    pub read_only: bool,
    /// Most bytes that /dev/shm takes.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub shm_size: Option<u64>,
}
