//! The file that a layer is written to. It has no name until it is complete and on the disk, so nobody ever finds half
//! of it; a file of that name is replaced in one step.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// A file to be.
pub struct Target {
    file: File,
    dir: OwnedFd,
    name: OsString,
    /// What it is called until then, where files without a name are unknown.
    temporary: Option<OsString>,
}

/// A name that nobody else has, beside `name`.
pub fn temporary_name(name: &OsString) -> io::Result<OsString> {
    let mut random = [0u8; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let mut temporary = OsString::from(".");
    // Not longer than a name may be.
    temporary
        .push(String::from_utf8_lossy(name.as_encoded_bytes().get(..64).unwrap_or(name.as_encoded_bytes())).as_ref());
    temporary.push(format!(".litebox-{:016x}", u64::from_ne_bytes(random)));
    Ok(temporary)
}

/// The directory and the name of what is to be at `path`. A link is followed.
pub fn place(path: &Path) -> io::Result<(PathBuf, OsString)> {
    let real = if path.is_symlink() { fs::canonicalize(path)? } else { path.to_path_buf() };
    let name = real.file_name().ok_or(ErrorKind::InvalidInput)?.to_os_string();
    let dir = real.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((dir.to_path_buf(), name))
}

impl Target {
    /// A file to be at `path`. What is there now stays until it is replaced.
    pub fn new(path: &Path) -> io::Result<Self> {
        let (dir, name) = place(path)?;
        if fs::symlink_metadata(dir.join(&name)).is_ok_and(|meta| !meta.is_file()) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "it is there and not a file"));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&dir, flags, Mode::empty())?;
        let mode = Mode::from_raw_mode(0o666);
        let how = OFlags::RDWR | OFlags::CLOEXEC;
        let (file, temporary) = match rustix::fs::openat(&dir, ".", how | OFlags::TMPFILE, mode) {
            Ok(file) => (file, None),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
                let temporary = temporary_name(&name)?;
                let file = rustix::fs::openat(&dir, &temporary, how | OFlags::CREATE | OFlags::EXCL, mode)?;
                (file, Some(temporary))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file: file.into(), dir, name, temporary })
    }

    /// What is written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// It is complete: gives it its name.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let temporary = match self.temporary.clone() {
            Some(temporary) => temporary,
            None => self.link()?,
        };
        rustix::fs::renameat(&self.dir, &temporary, &self.dir, &self.name)?;
        self.temporary = None;
        // Where directories cannot be synced, they need not be.
        let _ = rustix::fs::fsync(&self.dir);
        Ok(())
    }

    /// Gives it a temporary name.
    fn link(&mut self) -> io::Result<OsString> {
        let temporary = temporary_name(&self.name)?;
        let by_descriptor = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match rustix::fs::linkat(CWD, &by_descriptor, &self.dir, &temporary, AtFlags::SYMLINK_FOLLOW) {
            // Without /proc, who may do so names the descriptor itself.
            Err(Errno::NOENT) => rustix::fs::linkat(&self.file, "", &self.dir, &temporary, AtFlags::EMPTY_PATH)?,
            linked => linked?,
        }
        self.temporary = Some(temporary.clone());
        Ok(temporary)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = rustix::fs::unlinkat(&self.dir, temporary, AtFlags::empty());
        }
    }
}
