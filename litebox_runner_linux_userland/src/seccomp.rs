//! Profiles of calls: `linux.seccomp` of a config.json, and what `--security-opt seccomp=FILE` names, as Docker and
//! podman have them. The sandbox's kernel runs the filter that one becomes ([`compile`]), for the programs in it.

mod compile;

use std::path::Path;

use litebox_common_linux::seccomp::Action;
use litebox_common_linux::seccomp::bpf::Instruction;
use serde::Deserialize;

use crate::options::process::Capabilities;

/// Actions by name, as `features` tells them. What asks another program is none of them.
pub const ACTIONS: [(&str, Action); 8] = [
    ("SCMP_ACT_KILL", Action::KillThread),
    ("SCMP_ACT_KILL_THREAD", Action::KillThread),
    ("SCMP_ACT_KILL_PROCESS", Action::KillProcess),
    ("SCMP_ACT_TRAP", Action::Trap),
    ("SCMP_ACT_ERRNO", Action::Errno),
    ("SCMP_ACT_TRACE", Action::Trace),
    ("SCMP_ACT_ALLOW", Action::Allow),
    ("SCMP_ACT_LOG", Action::Log),
];

/// Comparisons by name.
pub const OPERATORS: [(&str, Operator); 7] = [
    ("SCMP_CMP_NE", Operator::NotEqual),
    ("SCMP_CMP_LT", Operator::Less),
    ("SCMP_CMP_LE", Operator::LessOrEqual),
    ("SCMP_CMP_EQ", Operator::Equal),
    ("SCMP_CMP_GE", Operator::GreaterOrEqual),
    ("SCMP_CMP_GT", Operator::Greater),
    ("SCMP_CMP_MASKED_EQ", Operator::MaskedEqual),
];

/// Architectures that programs here have.
pub const ARCHITECTURES: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];

/// Flags, none of which changes what a filter does here.
pub const FLAGS: [&str; 3] = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"];

/// How an argument is compared with a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// It is another.
    NotEqual,
    /// It is less.
    Less,
    /// It is not greater.
    LessOrEqual,
    /// It is that one.
    Equal,
    /// It is not less.
    GreaterOrEqual,
    /// It is greater.
    Greater,
    /// The bits of the number are those of a second one.
    MaskedEqual,
}

/// A profile, in the form of the runtime specification or in that of Docker.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    names: Vec<String>,
    /// As old profiles have it.
    name: Option<String>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<Condition>>,
    #[serde(default)]
    includes: Option<Case>,
    #[serde(default)]
    excludes: Option<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// When a rule counts, or does not.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Case {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// The version that the sandbox's kernel tells.
const KERNEL: (u32, u32) = (6, 1);

impl Case {
    fn has_capabilities(&self, wanted: impl Fn(u64) -> bool) -> impl Iterator<Item = bool> {
        let names = self.caps.iter().flatten();
        // One that nobody knows is one that nobody has.
        let sets = names.map(|name| crate::options::process::parse_capability(name).map_or(0, |Capabilities(one)| one));
        sets.map(wanted).collect::<Vec<_>>().into_iter()
    }
    fn is_other_arch(&self) -> bool {
        let arches = self.arches.as_deref().unwrap_or_default();
        !arches.is_empty() && !arches.iter().any(|arch| arch == "amd64")
    }
    fn is_newer(&self) -> bool {
        let version = self.min_kernel.as_deref().and_then(|version| {
            let (major, minor) = version.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        version.is_some_and(|version: (u32, u32)| version > KERNEL)
    }
}

impl Rule {
    /// Whether it counts for a program that may have these capabilities.
    fn counts(&self, capabilities: u64) -> bool {
        let has = |one: u64| one & capabilities != 0;
        let included = self
            .includes
            .as_ref()
            .is_none_or(|case| case.has_capabilities(has).all(|has| has) && !case.is_other_arch() && !case.is_newer());
        let excluded = self.excludes.as_ref().is_some_and(|case| {
            let arches = case.arches.as_deref().unwrap_or_default();
            case.has_capabilities(has).any(|has| has)
                || arches.iter().any(|arch| arch == "amd64")
                || case.min_kernel.is_some() && !case.is_newer()
        });
        included && !excluded
    }
}

/// What a filter answers for an action.
fn verdict(action: &str, number: Option<u16>) -> Result<u32, String> {
    const EPERM: u16 = 1;
    let found = ACTIONS.into_iter().find(|(name, _)| *name == action);
    let (_, found) = found.ok_or_else(|| match action {
        "SCMP_ACT_NOTIFY" => "SCMP_ACT_NOTIFY, listenerPath: nobody outside of a sandbox is asked about calls in it: \
            a listener is a file of the sandbox's kernel, which cannot be sent to a program of the host"
            .to_string(),
        _ => format!("{action}: no action such as SCMP_ACT_ERRNO"),
    })?;
    let data = if matches!(found, Action::Errno | Action::Trace) { number.unwrap_or(EPERM) } else { 0 };
    Ok(found as u32 | u32::from(data))
}

impl Profile {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
    }

    /// Whether programs of an architecture are let in at all.
    fn has_arch(&self, name: &str) -> bool {
        let own = self.architectures.iter().flatten();
        let of_map = self.arch_map.iter().flatten().filter(|map| map.architecture == "SCMP_ARCH_X86_64");
        let of_map = of_map.flat_map(|map| map.sub_architectures.iter().flatten());
        name == "SCMP_ARCH_X86_64" || own.chain(of_map).any(|arch| arch == name)
    }

    /// The filter, for a program that may have these capabilities.
    pub fn filter(&self, capabilities: u64) -> Result<Vec<Instruction>, String> {
        if let Some(flag) = self.flags.iter().flatten().find(|flag| !FLAGS.contains(&flag.as_str())) {
            return Err(format!("{flag}: no flag such as SECCOMP_FILTER_FLAG_LOG"));
        }
        compile::compile(self, capabilities)
    }
}
