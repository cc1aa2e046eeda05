//! What of a granted tree the sandbox is shown.
//!
//! A tree that nobody named (the default view) shows what *others* may read, whoever runs the broker: its permission
//! bits for others are checked on every directory of a path and on each file that is opened, so that root's sandbox
//! reads no more of /etc than anybody does. What `--hide` names is not there at all, in any grant: not found, not
//! listed, not to be made anew.

use rustix::io::Errno;

use crate::beneath::Result;

/// Permission bits of others (`st_mode`).
const OTHERS_READ: u32 = 0o004;
const OTHERS_SEARCH: u32 = 0o001;

/// What of a tree is shown.
#[derive(Debug, Default)]
pub struct Visibility {
    /// Only what others may read.
    pub others_only: bool,
    /// What is not there.
    pub hidden: Hidden,
}

impl Visibility {
    /// `EACCES` unless a directory with this mode may be gone through.
    pub fn check_search(&self, mode: u32) -> Result<()> {
        self.check(mode, OTHERS_SEARCH)
    }
    /// `EACCES` unless a file or directory with this mode may be read.
    pub fn check_read(&self, mode: u32) -> Result<()> {
        self.check(mode, OTHERS_READ)
    }
    fn check(&self, mode: u32, wanted: u32) -> Result<()> {
        if self.others_only && mode & wanted == 0 { Err(Errno::ACCESS) } else { Ok(()) }
    }
    /// `ENOENT` when `path`, beneath the grant, or a directory on the way is hidden.
    pub fn check_shown(&self, path: &[u8]) -> Result<()> {
        if self.hidden.hides(path) { Err(Errno::NOENT) } else { Ok(()) }
    }
}

/// Patterns of what is hidden: `*`, `?`, `[...]` and `{..,..}` stay within a component, `**` does not.
#[derive(Clone, Debug, Default)]
pub struct Hidden {
    /// For any single component.
    names: Vec<Vec<u8>>,
    /// For a whole path, without the slash in front.
    paths: Vec<Vec<u8>>,
    /// What the root of the grant is called, in the same form: on the host and in the sandbox.
    roots: Vec<Vec<u8>>,
}

impl Hidden {
    /// These patterns, for a grant whose root is called so. Slashes in front are dropped.
    pub fn new(patterns: &[Vec<u8>], roots: &[&[u8]]) -> Self {
        let plain = |path: &[u8]| path.iter().copied().skip_while(|b| *b == b'/').collect::<Vec<u8>>();
        let (paths, names) = patterns.iter().cloned().partition::<Vec<_>, _>(|pattern| pattern.contains(&b'/'));
        let mut roots: Vec<Vec<u8>> = roots.iter().map(|root| plain(root)).collect();
        roots.dedup();
        Self { names, paths: paths.iter().map(|path| plain(path)).collect(), roots }
    }
    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.paths.is_empty()
    }
    /// Whether `path`, beneath the grant, or a directory that it leads through is hidden.
    pub fn hides(&self, path: &[u8]) -> bool {
        if self.is_empty() || path.is_empty() {
            return false;
        }
        let names = || path.split(|b| *b == b'/');
        if self.names.iter().any(|pattern| names().any(|name| fast_glob::glob_match(pattern, name))) {
            return true;
        }
        !self.paths.is_empty()
            && self.roots.iter().any(|root| {
                let whole = beneath(root, path);
                ends_of_components(&whole, root.len()).any(|end| {
                    let part = whole.get(..end).unwrap_or_default();
                    self.paths.iter().any(|pattern| fast_glob::glob_match(pattern, part))
                })
            })
    }
    /// Whether something beneath the directory `path` may be hidden for where it lies, and would be shown if that
    /// directory had another name.
    pub fn may_hide_beneath(&self, path: &[u8]) -> bool {
        let concerns = |pattern: &Vec<u8>, whole: &[u8]| {
            let literal = literal_components(pattern);
            lies_beneath(whole, literal) || lies_beneath(literal, whole)
        };
        self.roots.iter().any(|root| {
            let whole = beneath(root, path);
            self.paths.iter().any(|pattern| concerns(pattern, &whole))
        })
    }
}

fn beneath(root: &[u8], path: &[u8]) -> Vec<u8> {
    if root.is_empty() { path.to_vec() } else { [root, path].join(&b'/') }
}

/// Where the components of `path` end that begin at `from` or later.
fn ends_of_components(path: &[u8], from: usize) -> impl Iterator<Item = usize> {
    let inner = path.iter().enumerate().filter(move |(at, b)| **b == b'/' && *at > from).map(|(at, _)| at);
    inner.chain([path.len()])
}

/// The components of a pattern before the first that is more than plain text.
fn literal_components(pattern: &[u8]) -> &[u8] {
    let special = pattern.iter().position(|b| b"*?[]{}\\!".contains(b));
    let Some(special) = special else { return pattern };
    let slash = pattern.get(..special).and_then(|head| head.iter().rposition(|b| *b == b'/'));
    pattern.get(..slash.unwrap_or(0)).unwrap_or_default()
}

/// Whether `path` is `directory` or lies beneath it.
fn lies_beneath(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'))
}

#[cfg(test)]
mod tests {
    use super::{Hidden, Visibility};

    fn hidden(patterns: &[&str]) -> Hidden {
        let patterns: Vec<Vec<u8>> = patterns.iter().map(|p| p.as_bytes().to_vec()).collect();
        Hidden::new(&patterns, &[b"/home/joe/work", b"/w"])
    }

    #[test]
    fn names_are_hidden_at_any_depth() {
        let hidden = hidden(&[".env", "*.pem", "id_[rd]sa"]);
        for path in [".env", "a/.env", "a/.env/b", "x.pem", "a/b/id_rsa"] {
            assert!(hidden.hides(path.as_bytes()), "{path}");
        }
        for path in ["", "env", "a/.envrc", "pem", "id_xsa"] {
            assert!(!hidden.hides(path.as_bytes()), "{path}");
        }
        assert!(!hidden.may_hide_beneath(b"a"));
    }

    #[test]
    fn paths_are_those_of_the_host_or_the_sandbox() {
        let hidden = hidden(&["/home/joe/work/secrets/*", "/w/**/key", "/elsewhere/x"]);
        for path in ["secrets/a", "secrets/a/b", "key", "deep/er/key"] {
            assert!(hidden.hides(path.as_bytes()), "{path}");
        }
        for path in ["secrets", "a/secrets/b", "x", "keys"] {
            assert!(!hidden.hides(path.as_bytes()), "{path}");
        }
        assert!(hidden.may_hide_beneath(b"secrets") && hidden.may_hide_beneath(b"any"));
    }

    #[test]
    fn directories_that_hold_nothing_hidden_may_get_another_name() {
        let hidden = hidden(&["/w/a/b/c"]);
        assert!(hidden.may_hide_beneath(b"a") && hidden.may_hide_beneath(b"a/b"));
        assert!(!hidden.may_hide_beneath(b"b") && !hidden.may_hide_beneath(b"a/x"));
    }

    #[test]
    fn bytes_that_are_no_text_are_matched() {
        let hidden = Hidden::new(&[b"k\xff*".to_vec()], &[b"/"]);
        assert!(hidden.hides(b"a/k\xff\xfe") && !hidden.hides(b"a/k"));
    }

    #[test]
    fn others_need_their_bits() {
        let view = Visibility { others_only: true, ..Visibility::default() };
        assert!(view.check_read(0o100_640).is_err() && view.check_read(0o100_604).is_ok());
        assert!(view.check_search(0o040_774).is_err() && view.check_search(0o040_711).is_ok());
        assert!(Visibility::default().check_read(0).is_ok());
    }
}
