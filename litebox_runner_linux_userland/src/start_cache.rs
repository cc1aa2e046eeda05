//! What programs ask for at their start, from one start to the next: `$XDG_CACHE_HOME/litebox/starts`, else in
//! `~/.cache`. A file for each program holds requests ([`Requests`]), which the broker answers ahead.
//!
//! What is in a file is as good as what a guest asks: it is bounded, checked and looked up anew. So the files may be
//! old, broken, anybody's, or gone.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use litebox_broker::Grant;
use litebox_broker::ahead::{MAX_FILE, Requests};

/// Most files that are kept.
const MOST_FILES: usize = 256;

/// Where requests of one program are kept.
pub struct StartCache(PathBuf);

impl StartCache {
    /// Of the program called `program`, looked for in `search`, in a sandbox that reaches `grants`. `None`: the user
    /// has no directory for it, or there is no default view, of which alone it is.
    pub fn of(program: &[u8], search: &[Vec<u8>], workdir: &[u8], grants: &[Grant]) -> Option<Self> {
        let mut hasher = DefaultHasher::new();
        (env!("CARGO_PKG_VERSION"), program, search).hash(&mut hasher);
        if program.contains(&b'/') && !program.starts_with(b"/") {
            workdir.hash(&mut hasher);
        }
        let mut shown = 0;
        for (number, grant) in grants.iter().enumerate().filter(|(_, grant)| grant.visibility.others_only) {
            let root = grant.root_stat().unwrap_or_default();
            (number, root.dev, root.ino).hash(&mut hasher);
            shown += 1;
        }
        let name = format!("{:016x}", hasher.finish());
        directory().filter(|_| shown > 0).map(|directory| Self(directory.join(name)))
    }

    /// What is kept.
    pub fn read(&self) -> Requests {
        let read = || -> io::Result<Vec<u8>> {
            // Whatever somebody put there: nothing to wait at, nothing that leads elsewhere.
            let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
            let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.0)?;
            let mut bytes = Vec::new();
            if file.metadata()?.is_file() {
                file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        };
        Requests::parse(&read().unwrap_or_default())
    }

    /// Keeps `requests`. A file is there whole or as it was before. Nobody needs to know when that fails.
    pub fn write(&self, requests: &Requests) {
        let _ = self.try_write(&requests.encode());
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<()> {
        let directory = self.0.parent().ok_or(io::ErrorKind::NotFound)?;
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let new = self.0.with_extension(std::process::id().to_string());
        let written = write_new(&new, bytes).and_then(|()| fs::rename(&new, &self.0));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        forget_oldest(directory);
        written
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    if file.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists) {
        // Of one that was killed and had our number.
        fs::remove_file(path)?;
        file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    }
    file?.write_all(bytes)
}

fn forget_oldest(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let age = |path: &PathBuf| fs::symlink_metadata(path).and_then(|meta| meta.modified());
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    if files.len() <= MOST_FILES {
        return;
    }
    files.sort_by_cached_key(|path| age(path).unwrap_or(SystemTime::UNIX_EPOCH));
    // Half of them, so that this is not done each time.
    for path in files.iter().take(files.len() - MOST_FILES / 2) {
        let _ = fs::remove_file(path);
    }
}

fn directory() -> Option<PathBuf> {
    let given = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = given("XDG_CACHE_HOME").or_else(|| given("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("litebox/starts"))
}
