//! `--hide`: patterns as they are typed, and as the broker matches them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use litebox_broker::Hidden;

use super::home;
use super::volume::Bases;

/// What is hidden, in all grants.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<Vec<u8>>);

impl Patterns {
    /// A pattern without a slash is a name at any depth; another one is a path: from the current directory, unless it
    /// begins with `/`, `~/` or `**/`.
    pub fn parse(typed: &[OsString], bases: &Bases) -> Result<Self, String> {
        typed.iter().map(|one| whole(one, bases)).collect::<Result<_, _>>().map(Self)
    }
    /// These, and more.
    #[must_use]
    pub fn and(&self, more: Vec<Vec<u8>>) -> Self {
        Self(self.0.iter().cloned().chain(more).collect())
    }
    /// For a grant of `from`, a path of the host, that is seen as `to`.
    pub fn of(&self, from: &Path, to: &Path) -> Hidden {
        if self.0.is_empty() {
            return Hidden::default();
        }
        let real = std::fs::canonicalize(from).unwrap_or_else(|_| from.to_path_buf());
        Hidden::new(&self.0, &[from, &real, to].map(|path| path.as_os_str().as_bytes()))
    }
    /// Whether a directory or file with this path, or one that it lies in, is hidden.
    pub fn hide(&self, path: &Path) -> bool {
        let path = path.as_os_str().as_bytes();
        Hidden::new(&self.0, &[b""]).hides(path.strip_prefix(b"/").unwrap_or(path))
    }
}

fn whole(typed: &OsString, bases: &Bases) -> Result<Vec<u8>, String> {
    let wrong = |why: &str| format!("--hide {}: {why}", typed.to_string_lossy());
    let mut pattern = typed.as_bytes();
    while let Some(shorter) = pattern.strip_suffix(b"/") {
        pattern = shorter;
    }
    if pattern.is_empty() {
        return Err(wrong("would hide everything"));
    }
    if pattern.starts_with(b"!") {
        return Err(wrong("a pattern names what is hidden, not what is shown"));
    }
    check_brackets(pattern).map_err(wrong)?;
    if !pattern.contains(&b'/') || pattern.starts_with(b"/") || pattern.starts_with(b"**/") {
        return Ok(pattern.to_vec());
    }
    let (base, rest) = match pattern.strip_prefix(b"~/") {
        Some(rest) => (home::own().ok_or_else(|| wrong("nobody knows where your home is"))?, rest),
        None => (bases.host.clone(), pattern),
    };
    let rest: Vec<&[u8]> = rest.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if rest.contains(&b"..".as_slice()) {
        return Err(wrong("a path must not contain .."));
    }
    let mut pattern = escaped(base.as_os_str().as_bytes());
    for part in rest {
        pattern.push(b'/');
        pattern.extend_from_slice(part);
    }
    Ok(pattern)
}

/// `path` as a pattern that matches it alone.
pub fn escaped(path: &[u8]) -> Vec<u8> {
    let special = |b: u8| b"*?[]{}\\!".contains(&b);
    path.iter().flat_map(|b| special(*b).then_some(b'\\').into_iter().chain([*b])).collect()
}

/// A pattern whose brackets do not fit together matches nothing, which nobody means.
fn check_brackets(pattern: &[u8]) -> Result<(), &'static str> {
    let (mut open_class, mut open_braces, mut bytes) = (false, 0u32, pattern.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if bytes.next().is_none() => return Err("ends in a backslash"),
            b'[' if !open_class => open_class = true,
            b']' => open_class = false,
            b'{' if !open_class => open_braces += 1,
            b'}' if !open_class => open_braces = open_braces.checked_sub(1).ok_or("has a } without a {")?,
            _ => {}
        }
    }
    match (open_class, open_braces) {
        (false, 0) => Ok(()),
        (true, _) => Err("has a [ without a ]"),
        (false, _) => Err("has a { without a }"),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use super::Patterns;
    use crate::mounts::volume::Bases;

    fn patterns(typed: &[&str]) -> Result<Patterns, String> {
        let typed: Vec<OsString> = typed.iter().map(OsString::from).collect();
        Patterns::parse(&typed, &Bases { host: "/no/w*rk".into(), sandbox: "/".into() })
    }

    #[test]
    fn paths_are_meant_from_the_current_directory() {
        let hidden = patterns(&["./secrets/*", ".env", "/etc/ssl/**"]).unwrap_or_default();
        for path in ["/no/w*rk/secrets/x", "/any/.env", "/no/w*rk/.env/y", "/etc/ssl/a/b"] {
            assert!(hidden.hide(Path::new(path)), "{path}");
        }
        for path in ["/no/work/secrets/x", "/no/w*rk/secrets", "/etc/ssl", "/secrets/x"] {
            assert!(!hidden.hide(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn what_matches_nothing_is_refused() {
        for bad in ["", "/", "!x", "a[b", "a{b", "a}b", "x\\", "../x/y"] {
            assert!(patterns(&[bad]).is_err(), "{bad}");
        }
    }
}
