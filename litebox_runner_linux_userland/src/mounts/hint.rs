//! Why a program that is on the host cannot be run, and what would help: links and interpreters that lead out of what
//! was given.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::tools::installation_of;

/// Places of the host that the sandbox sees under their own names.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub places: Vec<PathBuf>,
    /// There is another root: what is where on the host says nothing.
    pub other_root: bool,
}

impl Seen {
    fn shows(&self, path: &Path) -> bool {
        self.places.iter().any(|place| path.starts_with(place))
    }

    /// A line about `program`, which was not found in the sandbox; `None`: there is nothing to say.
    pub fn hint(&self, program: &OsStr, search: &[Vec<u8>]) -> Option<String> {
        if self.other_root {
            return None;
        }
        let here = std::env::current_dir().ok()?;
        let bytes = program.as_bytes();
        if !bytes.contains(&b'/') && !search.iter().any(|dir| exists(&Path::new(OsStr::from_bytes(dir)).join(program)))
        {
            return self.hint_of_path(program);
        }
        let path = if bytes.contains(&b'/') {
            here.join(program)
        } else {
            search.iter().map(|dir| Path::new(OsStr::from_bytes(dir)).join(program)).find(|path| exists(path))?
        };
        let real = std::fs::canonicalize(&path).ok()?;
        let shown = program.to_string_lossy();
        if !real.is_file() {
            return None;
        }
        if !self.shows(&real) {
            let what = if real == path { String::new() } else { format!("a link to {}, ", real.display()) };
            let what = if what.is_empty() { "on the host, ".to_string() } else { what };
            return Some(format!("{shown} is {what}which the sandbox does not see ({})", helps(&real)));
        }
        let interpreter = interpreter(&real)?;
        let real = std::fs::canonicalize(&interpreter).ok()?;
        if self.shows(&real) {
            return None;
        }
        let leads = if real == interpreter { String::new() } else { format!(", a link to {}", real.display()) };
        let interpreter = interpreter.display();
        Some(format!("{shown} is run by {interpreter}{leads}, which the sandbox does not see ({})", helps(&real)))
    }

    /// About a name that is on the caller's PATH and not on the sandbox's.
    fn hint_of_path(&self, program: &OsStr) -> Option<String> {
        let path = std::env::var_os("PATH")?;
        let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| exists(path))?;
        if !found.is_absolute() {
            return None;
        }
        let (shown, found) = (program.to_string_lossy(), found.display().to_string());
        if self.shows(Path::new(&found)) {
            return Some(format!("{shown} is {found} on your PATH: name it so, or pass PATH by -e PATH"));
        }
        Some(format!(
            "{shown} is {found} on your PATH, which the sandbox does not see (add --tools, or -v {}:ro)",
            installation_of(Path::new(&found)).display()
        ))
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn helps(real: &Path) -> String {
    format!("add -v {}:ro", installation_of(real).display())
}

/// What a script says behind `#!`.
fn interpreter(script: &Path) -> Option<PathBuf> {
    use std::io::Read;
    let mut head = [0u8; 256];
    let len = std::fs::File::open(script).ok()?.read(&mut head).ok()?;
    let line = head.get(..len)?.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let path = PathBuf::from(OsStr::from_bytes(line.get(..end)?));
    path.is_absolute().then_some(path)
}
