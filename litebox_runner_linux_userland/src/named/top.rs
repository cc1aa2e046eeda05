//! `litebox top`: the processes of a sandbox, as the ps(1) in it lists them.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use clap::Args;

use super::piped::Piped;
use super::status_of;

/// Options of `litebox top`.
#[derive(Args)]
pub struct Options {
    /// The sandbox.
    name: String,
    /// Options of ps(1).
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PS OPTIONS", default_value = "-ef")]
    options: Vec<OsString>,
}

/// `litebox top`.
pub fn top(options: &Options) -> u8 {
    status_of(list(options))
}

fn list(options: &Options) -> Result<String, String> {
    let words: Vec<&[u8]> =
        [&b"ps"[..]].into_iter().chain(options.options.iter().map(|word| word.as_bytes())).collect();
    let mut ps = Piped::start(&options.name, &words, false)?;
    let mut text = Vec::new();
    ps.output.read_to_end(&mut text).map_err(|e| format!("top: {e}"))?;
    ps.finish().map_err(|why| format!("top: {why}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
