//! Terminals of containers: their master's side goes to the engine by `--console-socket`.

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Makes a terminal, and sends its master's side to whoever listens on the socket. The other side.
pub fn open(socket: &Path) -> Result<File, String> {
    make(socket).map_err(|e| format!("--console-socket {}: {e}", socket.display()))
}

fn make(socket: &Path) -> std::io::Result<File> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let path = Path::new(std::ffi::OsStr::new(name.to_str().unwrap_or_default()));
    let slave = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path)?;
    let engine = UnixStream::connect(socket)?;
    let descriptors = [master.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(&engine, &[IoSlice::new(name.as_bytes())], &mut control, SendFlags::empty())?;
    Ok(slave)
}
