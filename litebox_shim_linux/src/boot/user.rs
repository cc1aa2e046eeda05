//! Who the first program runs as: users and groups by number, or by name as the sandbox's own /etc/passwd and
//! /etc/group have them (passwd(5), group(5)).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use litebox::fs::{Access, OpenRequest};
use litebox::io::Dest;
use litebox::{Error, Result};

use super::Failure;
use super::mounts::View;

/// Most bytes of such a file that are read.
const MOST_BYTES: usize = 4 << 20;
/// Most groups that a program belongs to (NGROUPS_MAX).
const MOST_GROUPS: usize = 65_536;

/// A user or group as a user names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NameOrId {
    /// By name.
    Name(Vec<u8>),
    /// By number.
    Id(u32),
}

/// Who the program is to run as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserSpec {
    /// The user.
    pub user: NameOrId,
    /// The group; `None`: the user's own.
    pub group: Option<NameOrId>,
    /// More groups.
    pub more: Vec<NameOrId>,
}

/// Who the program runs as.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The home directory of a user that was named.
    pub home: Option<Vec<u8>>,
}

impl UserSpec {
    /// From `USER[:GROUP[:GROUP,...]]`, each a name or a number; `None`: one is neither.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(3, |b| *b == b':');
        let user = NameOrId::parse(parts.next()?)?;
        let group = parts.next().map(NameOrId::parse);
        let more = parts.next().into_iter().flat_map(|list| list.split(|b| *b == b','));
        let more = more.map(NameOrId::parse).collect::<Option<Vec<_>>>()?;
        Some(Self { user, group: group.map_or(Some(None), |group| group.map(Some))?, more })
    }
}

impl NameOrId {
    fn parse(text: &[u8]) -> Option<Self> {
        if text.first()?.is_ascii_digit() {
            let id = core::str::from_utf8(text).ok()?.parse().ok()?;
            return (id != u32::MAX).then_some(Self::Id(id));
        }
        (!text.iter().any(|b| matches!(b, b':' | b'/' | b'\n'))).then(|| Self::Name(text.to_vec()))
    }
}

/// Looks the names up in the files of the sandbox. A user by number needs none: what stands in the files of such a user
/// is taken, and without it the group has the user's number.
pub(crate) fn resolve(view: &View<'_>, spec: &UserSpec) -> Result<Identity, Failure> {
    if let UserSpec { user: NameOrId::Id(uid), group: Some(NameOrId::Id(gid)), more } = spec {
        if more.is_empty() {
            return Ok(Identity { uid: *uid, gid: *gid, ..Identity::default() });
        }
    }
    let users = read(view, b"/etc/passwd").unwrap_or_default();
    let groups = read(view, b"/etc/group").unwrap_or_default();
    let entry = lines(&users).find(|line| match &spec.user {
        NameOrId::Name(name) => field(line, 0) == name,
        NameOrId::Id(uid) => number(line, 2) == Some(*uid),
    });
    let (uid, named) = match (&spec.user, entry) {
        (NameOrId::Id(uid), _) => (*uid, false),
        (NameOrId::Name(name), None) => return Err(unknown("user", name, "/etc/passwd")),
        (NameOrId::Name(name), Some(line)) => {
            (number(line, 2).ok_or_else(|| unknown("user", name, "/etc/passwd"))?, true)
        }
    };
    let group = |group: &NameOrId| match group {
        NameOrId::Id(gid) => Ok(*gid),
        NameOrId::Name(name) => lines(&groups)
            .find(|line| field(line, 0) == name)
            .and_then(|line| number(line, 2))
            .ok_or_else(|| unknown("group", name, "/etc/group")),
    };
    let gid = match &spec.group {
        Some(named) => group(named)?,
        None => entry.and_then(|line| number(line, 3)).unwrap_or(uid),
    };
    // Who names a group means that one alone, as `docker run` has it.
    let member = entry.filter(|_| spec.group.is_none()).map(|line| field(line, 0));
    let belongs = |line: &&[u8]| member.is_some_and(|user| field(line, 3).split(|b| *b == b',').any(|m| m == user));
    let mut all: Vec<u32> = lines(&groups).filter(belongs).filter_map(|line| number(line, 2)).collect();
    for more in &spec.more {
        all.push(group(more)?);
    }
    all.sort_unstable();
    all.dedup();
    all.truncate(MOST_GROUPS);
    let home = entry.filter(|_| named).map(|line| field(line, 5).to_vec()).filter(|home| home.starts_with(b"/"));
    Ok(Identity { uid, gid, groups: all, home })
}

fn unknown(what: &str, name: &[u8], file: &str) -> Failure {
    Failure::plain(format!("--user: no {what} {} in the sandbox's {file}", String::from_utf8_lossy(name)))
}

/// Lines of a resolv.conf(5) that say how names are looked for, not where.
pub(super) fn lookup_lines(view: &View<'_>, path: &[u8]) -> Vec<u8> {
    let text = read(view, path).unwrap_or_default();
    let kept = lines(&text).filter(|line| line.starts_with(b"search ") || line.starts_with(b"options "));
    kept.flat_map(|line| [line, b"\n"].concat()).collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

fn field(line: &[u8], index: usize) -> &[u8] {
    line.split(|b| *b == b':').nth(index).unwrap_or_default()
}

fn number(line: &[u8], index: usize) -> Option<u32> {
    core::str::from_utf8(field(line, index)).ok()?.parse().ok().filter(|n| *n != u32::MAX)
}

/// A file of the sandbox, whole.
fn read(view: &View<'_>, path: &[u8]) -> Result<Vec<u8>> {
    const PIECE: usize = 16 << 10;
    let how = OpenRequest { access: Access::READ, follow: true, ..OpenRequest::default() };
    let file = view.vfs.open(&view.superuser(), path, &how)?;
    let mut content = Vec::new();
    while content.len() < MOST_BYTES {
        let len = content.len();
        content.resize(len + PIECE, 0);
        let piece = content.get_mut(len..).ok_or(Error::Io)?;
        let n = file.read_at(&mut Dest::kernel(piece), len as u64)?;
        content.truncate(len + n);
        if n == 0 {
            break;
        }
    }
    Ok(content)
}
