//! The command `litebox` for 64-bit x86; for 32-bit x86, what carries that one and becomes it.
#![cfg_attr(target_arch = "x86", no_main)]

#[cfg(target_arch = "x86")]
mod carrier;
// Its modules lie beside it, and are the crate's.
#[cfg(target_arch = "x86_64")]
#[path = "command.rs"]
mod command;
#[cfg(target_arch = "x86_64")]
#[cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "they are all the crate's"))]
pub(crate) use command::*;

#[cfg(target_arch = "x86_64")]
fn main() -> std::process::ExitCode {
    command::main()
}
