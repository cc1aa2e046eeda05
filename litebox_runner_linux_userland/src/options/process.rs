//! How the program starts, and who it is.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{ArgAction, Args};
use litebox_protocol::control::Separate;
use litebox_shim_linux::boot::{NameOrId, UserSpec};

/// The process that is started.
#[expect(clippy::struct_excessive_bools, reason = "they are options without values")]
#[derive(Args)]
#[command(next_help_heading = "The program")]
pub struct ProcessOptions {
    /// Set an environment variable; without a value, pass on the caller's.
    #[arg(short, long, value_name = "K[=V]")]
    pub env: Vec<OsString>,
    /// Set the environment variables of a file: K=V or K a line, # begins a comment.
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Start in this directory of the sandbox; a relative one is meant from the current directory.
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// Run as this user and group, by number or by name in the sandbox's /etc/passwd and /etc/group.
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = parse_user)]
    pub user: Option<UserSpec>,
    /// One more group that the program belongs to, by number or name.
    #[arg(long, value_name = "GROUP", value_parser = parse_group)]
    pub group_add: Vec<NameOrId>,
    /// Take this capability from the program: a name as in capabilities(7), or ALL. They are those of the sandbox's
    /// kernel; of the host's it has none.
    #[arg(long, value_name = "CAP", value_parser = parse_capability)]
    pub cap_drop: Vec<Capabilities>,
    /// Leave it this capability, whatever --cap-drop says.
    #[arg(long, value_name = "CAP", value_parser = parse_own_capability)]
    pub cap_add: Vec<Capabilities>,
    /// no-new-privileges, which the program is told; seccomp=FILE, a profile of calls as Docker and podman have them,
    /// which the sandbox's kernel keeps (unconfined: none).
    #[arg(long, value_name = "OPTION", value_parser = parse_security)]
    pub security_opt: Vec<Security>,
    /// How gladly the sandbox kills it when it has no memory left, as oom_score_adj of proc(5).
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    pub oom_score_adj: i32,
    /// Pass so many descriptors, from 3 on, to the program; what it does with them is reading and writing.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u32).range(0..=i64::from(crate::preserved::MOST)))]
    pub preserve_fds: u32,
    /// How it is scheduled: nice value, policy and I/O priority, as numbers.
    #[arg(long, value_name = "NICE,POLICY,PRIORITY", hide = true, allow_hyphen_values = true, value_parser = parse_scheduling, default_value = "0,0,0")]
    pub scheduling: Scheduling,
    /// A capability that programs it executes inherit.
    #[arg(long, value_name = "CAP", hide = true, value_parser = parse_own_capability)]
    pub cap_inherit: Vec<Capabilities>,
    /// One of those that it keeps as an ordinary user.
    #[arg(long, value_name = "CAP", hide = true, value_parser = parse_own_capability)]
    pub cap_ambient: Vec<Capabilities>,
    /// Run this program, and give it PROGRAM... as its arguments.
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<OsString>,
    /// What `uname -n` says.
    #[arg(long, value_name = "NAME", default_value = "litebox", value_parser = parse_hostname)]
    pub hostname: String,
    /// One more line of the sandbox's /etc/hosts.
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = parse_host)]
    pub add_host: Vec<Host>,
    /// A domain that its short names are looked for in.
    #[arg(long, value_name = "DOMAIN", value_parser = parse_word)]
    pub dns_search: Vec<String>,
    /// An option of its resolver, as in resolv.conf(5).
    #[arg(long, value_name = "OPTION", alias = "dns-opt", value_parser = parse_word)]
    pub dns_option: Vec<String>,
    /// Give the program the terminal that stdin is, whatever the other descriptors are. Without it that happens when
    /// stdout is the terminal, too.
    #[arg(short, long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, hide_possible_values = true)]
    pub tty: bool,
    /// Leave stdin open: it always is.
    #[arg(short, long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, hide_possible_values = true)]
    pub interactive: bool,
    /// Leave nothing behind: with -d neither the log nor how it ended; without -d it never does.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, hide_possible_values = true)]
    pub rm: bool,
    /// Reap the orphans that the program leaves, as an init process does.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, hide_possible_values = true)]
    pub init: bool,
    /// Do not keep what the program asks for at its start ($XDG_CACHE_HOME/litebox), and do without what is kept: the
    /// next start of it is slower.
    #[arg(long)]
    pub no_start_cache: bool,
    /// What SIGTERM to litebox becomes for the program: a name or number.
    #[arg(long, value_name = "SIGNAL", value_parser = parse_signal)]
    pub stop_signal: Option<i32>,
    /// Write the sandbox's random id to a file, which must not exist.
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    /// Run in the background, and print the sandbox's name: litebox exec, logs, stop and the like find it by that.
    #[arg(short, long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, hide_possible_values = true)]
    pub detach: bool,
    /// A name, by which litebox exec and the like find it.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: Option<String>,
    /// It is a container of the sandbox that --name says, under this name.
    #[arg(long, value_name = "NAME", hide = true, requires = "name")]
    pub join: Option<String>,
    /// What the container does not share with that sandbox: processes, ipc, hostname.
    #[arg(long, value_name = "PART,...", hide = true, value_delimiter = ',', value_parser = parse_separate, requires = "join")]
    pub separate: Vec<Separate>,
    /// A descriptor to which a byte is written when the program runs.
    #[arg(long, value_name = "FD", hide = true)]
    pub ready_fd: Option<i32>,
    /// A label, which litebox inspect shows.
    #[arg(short, long, value_name = "K[=V]")]
    pub label: Vec<OsString>,
}

/// Nice value, policy and I/O priority, as the calls of Linux number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduling(pub [i32; 3]);

fn parse_scheduling(text: &str) -> Result<Scheduling, String> {
    let numbers: Option<Vec<i32>> = text.split(',').map(|number| number.parse().ok()).collect();
    let numbers = numbers.and_then(|numbers| <[i32; 3]>::try_from(numbers).ok());
    numbers.map(Scheduling).ok_or_else(|| "three numbers with commas between them".into())
}

/// What containers of one sandbox may have for themselves.
pub const PARTS: [(&str, Separate); 3] =
    [("processes", Separate::PROCESSES), ("ipc", Separate::IPC), ("hostname", Separate::HOSTNAME)];

fn parse_separate(text: &str) -> Result<Separate, String> {
    let part = PARTS.iter().find(|(name, _)| *name == text);
    part.map(|(_, part)| *part).ok_or_else(|| "processes, ipc or hostname".into())
}

/// A name and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub address: IpAddr,
}

/// What `--security-opt` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Programs gain no privileges by being executed.
    NoNewPrivileges(bool),
    /// Calls are filtered by the profile in this file, or not.
    Seccomp(Option<PathBuf>),
    /// What a sandbox is anyway.
    Usual,
}

impl ProcessOptions {
    /// Whether programs may gain no privileges.
    pub fn no_new_privileges(&self) -> bool {
        let asked = |option: &Security| match option {
            Security::NoNewPrivileges(asked) => Some(*asked),
            _ => None,
        };
        self.security_opt.iter().rev().find_map(asked).unwrap_or(false)
    }
    /// The profile of calls.
    pub fn seccomp(&self) -> Option<&Path> {
        let of_calls = |option: &&Security| matches!(option, Security::Seccomp(_));
        match self.security_opt.iter().rfind(of_calls) {
            Some(Security::Seccomp(file)) => file.as_deref(),
            _ => None,
        }
    }
}

fn parse_security(text: &str) -> Result<Security, String> {
    let (name, value) = text.split_once(['=', ':']).map_or((text, None), |(name, value)| (name, Some(value)));
    match (name, value) {
        ("no-new-privileges", None | Some("true")) => Ok(Security::NoNewPrivileges(true)),
        ("no-new-privileges", Some("false")) => Ok(Security::NoNewPrivileges(false)),
        ("seccomp", Some("unconfined")) => Ok(Security::Seccomp(None)),
        ("seccomp", Some(file)) if !file.is_empty() => Ok(Security::Seccomp(Some(file.into()))),
        ("label", Some("disable")) => Ok(Security::Usual),
        _ => Err("the boundary is the same for every program, and has no switches: no-new-privileges and \
            seccomp=FILE are for what the program does in it"
            .into()),
    }
}

/// A set of capabilities, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u64);

fn parse_user(text: &str) -> Result<UserSpec, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    Ok(UserSpec { user: parse_group(user)?, group: group.map(parse_group).transpose()?, more: Vec::new() })
}

/// A user or group.
fn parse_group(text: &str) -> Result<NameOrId, String> {
    if text.is_empty() {
        return Err("a name or a number is missing, such as root or 1000:1000".into());
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let id = text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
        return id.map(NameOrId::Id).ok_or_else(|| "neither a number such as 1000 nor a name".into());
    }
    if text.contains([':', '/', '\n']) {
        return Err("neither a number such as 1000 nor a name".into());
    }
    Ok(NameOrId::Name(text.as_bytes().to_vec()))
}

fn parse_hostname(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 64 {
        return Err("must have 1 to 64 bytes".into());
    }
    parse_word(text)
}

fn parse_name(text: &str) -> Result<String, String> {
    if crate::named::directory::is_name(text) {
        return Ok(text.into());
    }
    Err("a name has 1 to 64 letters, digits, _, . and -, and begins with a letter or digit".into())
}

/// Text that may stand in a line of a file among others.
fn parse_word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
        return Err("must be one word".into());
    }
    Ok(text.into())
}

fn parse_host(text: &str) -> Result<Host, String> {
    let wrong = || "not a name and its address, such as db:10.0.0.5".to_string();
    let (name, address) = text.split_once([':', '=']).ok_or_else(wrong)?;
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if address == "host-gateway" {
        return Err("the host is not reached by an address of its own here: name the address".into());
    }
    Ok(Host { name: parse_word(name)?, address: IpAddr::from_str(address).map_err(|_| wrong())? })
}

/// Names of capabilities(7), by number.
pub const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

pub fn parse_capability(text: &str) -> Result<Capabilities, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    if name == "ALL" {
        return Ok(Capabilities(u64::MAX));
    }
    let number = CAPABILITIES.iter().position(|known| *known == name);
    number.map(|number| Capabilities(1 << number)).ok_or_else(|| "not a capability such as NET_RAW, or ALL".into())
}

/// One of those that the program may have.
fn parse_own_capability(text: &str) -> Result<Capabilities, String> {
    let given = litebox_shim_linux::boot::SANDBOX_CAPABILITIES;
    match parse_capability(text)? {
        Capabilities(u64::MAX) => Ok(Capabilities(given)),
        Capabilities(one) if one & given != 0 => Ok(Capabilities(one)),
        _ => Err("the sandbox's kernel has nothing that this capability would allow".into()),
    }
}

/// Signals by number, from 1 on.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
const SIGRTMIN: i32 = 34;
const SIGRTMAX: i32 = 64;

pub fn parse_signal(text: &str) -> Result<i32, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let named = (1..).zip(SIGNALS).find(|(_, known)| *known == name).map(|(number, _)| number);
    let relative = |prefix, base: i32, sign: i32| {
        let rest: &str = name.strip_prefix(prefix)?;
        let offset = if rest.is_empty() { 0 } else { rest.get(1..)?.parse::<i32>().ok().filter(|n| *n <= 30)? };
        Some(base + sign * offset)
    };
    let real_time = relative("RTMIN", SIGRTMIN, 1).or_else(|| relative("RTMAX", SIGRTMAX, -1));
    let number = named.or(real_time).or_else(|| name.parse().ok());
    number
        .filter(|number| (1..=SIGRTMAX).contains(number))
        .ok_or_else(|| "not a signal such as INT, SIGQUIT or 15".into())
}

#[cfg(test)]
mod tests {
    use litebox_shim_linux::boot::{NameOrId, UserSpec};

    use super::{Capabilities, parse_capability, parse_host, parse_own_capability, parse_signal, parse_user};

    #[test]
    fn users_are_names_or_numbers() {
        let spec = |user, group| Ok(UserSpec { user, group, more: Vec::new() });
        let name = |text: &str| NameOrId::Name(text.into());
        assert_eq!(parse_user("1000"), spec(NameOrId::Id(1000), None));
        assert_eq!(parse_user("root:12"), spec(name("root"), Some(NameOrId::Id(12))));
        assert_eq!(parse_user("1:adm"), spec(NameOrId::Id(1), Some(name("adm"))));
        for bad in ["", ":", "1:", ":1", "12x", "4294967295", "a:b:c", "a/b"] {
            assert!(parse_user(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signals_capabilities_and_hosts() {
        assert_eq!(["INT", "sigquit", "9", "SIGRTMIN+2"].map(parse_signal), [Ok(2), Ok(3), Ok(9), Ok(36)]);
        assert!(["", "0", "65", "SIGNAL", "RTMIN+x"].iter().all(|bad| parse_signal(bad).is_err()));
        assert_eq!(parse_capability("cap_net_raw"), Ok(Capabilities(1 << 13)));
        assert!(parse_capability("NET").is_err() && parse_own_capability("SYS_ADMIN").is_err());
        let host = parse_host("db:10.0.0.5").map(|host| (host.name, host.address.to_string()));
        assert_eq!(host, Ok(("db".into(), "10.0.0.5".into())));
        assert_eq!(parse_host("six=[::1]").map(|host| host.address.to_string()), Ok("::1".into()));
        assert!(["db", "db:", ":1.2.3.4", "a b:1.2.3.4", "db:host-gateway"].iter().all(|bad| parse_host(bad).is_err()));
    }
}
