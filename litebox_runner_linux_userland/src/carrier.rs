//! The executable for i686: it carries the one for x86-64 (`build.rs`), writes it into memory and becomes it.
//!
//! A kernel of 32 bits would share 4 GiB with its guest and could run no 64-bit program, on hosts that all run those.
//! Nothing of Rust's start happens here: signals, descriptors, arguments and environment are handed on as they came.

use std::ffi::{c_char, c_int};
use std::fs::File;
use std::io::{Error, Result, Write};
use std::os::fd::{AsRawFd, FromRawFd};

/// The executable for x86-64.
static CARRIED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/litebox"));

/// Exit status for failures of litebox itself, as `docker run` has it.
const STATUS_OURS: c_int = 125;
/// memfd_create(2): to be executed, whatever the host's default is. Kernels before 6.3 do not know it.
const MFD_EXEC: libc::c_uint = 0x10;

/// The C library's start ends here.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, arguments: *const *const c_char, environment: *const *const c_char) -> c_int {
    let why = match in_memory() {
        // SAFETY: both lists are the C library's, complete and ended by a null.
        Ok(file) => unsafe {
            libc::fexecve(file.as_raw_fd(), arguments, environment);
            Error::last_os_error()
        },
        Err(error) => error,
    };
    let line = if why.raw_os_error() == Some(libc::ENOEXEC) {
        "litebox: this host runs no 64-bit programs, and litebox for 32-bit x86 starts one\n".into()
    } else {
        format!("litebox: cannot start the 64-bit program that this one carries: {why}\n")
    };
    // Whoever closed stderr hears nothing.
    drop(std::io::stderr().write_all(line.as_bytes()));
    STATUS_OURS
}

/// A file in memory with the executable, closed by what it becomes.
fn in_memory() -> Result<File> {
    let mut file = create(MFD_EXEC).or_else(|_| create(0))?;
    let limit = FileSize::raise();
    let written = file.write_all(CARRIED);
    limit.restore();
    written.map(|()| file)
}

fn create(more: libc::c_uint) -> Result<File> {
    // SAFETY: the name is a constant; a descriptor that was made is ours.
    unsafe {
        match libc::memfd_create(c"litebox".as_ptr(), libc::MFD_CLOEXEC | more) {
            -1 => Err(Error::last_os_error()),
            fd => Ok(File::from_raw_fd(fd)),
        }
    }
}

/// The limit of files' sizes (`ulimit -f`), which counts for files in memory too and kills whoever passes it.
struct FileSize(Option<libc::rlimit64>);

impl FileSize {
    /// Lets files grow as far as can be had.
    fn raise() -> Self {
        let mut found = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads into, and from, structures of ours.
        let raised = unsafe {
            libc::getrlimit64(libc::RLIMIT_FSIZE, &raw mut found) == 0
                && found.rlim_cur != found.rlim_max
                && libc::setrlimit64(libc::RLIMIT_FSIZE, &libc::rlimit64 { rlim_cur: found.rlim_max, ..found }) == 0
        };
        Self(raised.then_some(found))
    }

    /// As it was.
    fn restore(self) {
        if let Some(found) = self.0 {
            // SAFETY: reads from a structure of ours. It goes down again, which nobody is refused.
            unsafe { libc::setrlimit64(libc::RLIMIT_FSIZE, &raw const found) };
        }
    }
}
