//! `litebox syscalls`: the table of system calls, for people and for programs.

use std::fmt::Write;

use clap::Args;
use litebox_common_linux::{Arch, Call, Support, calls};
use serde_json::{Value, json};

/// Options of `litebox syscalls`.
#[derive(Args)]
pub struct Options {
    /// As JSON.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// As the page docs/syscalls.md.
    #[arg(long)]
    markdown: bool,
}

/// The list as text.
pub fn list(options: &Options) -> String {
    if options.json {
        json_list()
    } else if options.markdown {
        markdown()
    } else {
        plain()
    }
}

fn level(call: &Call) -> &'static str {
    match call.support {
        Support::Full => "full",
        Support::Partial => "partial",
        Support::Refused(_) => "refused",
        Support::Missing => "missing",
    }
}

/// The level, and with what a call that is not served fails.
fn level_and_errno(call: &Call) -> String {
    call.support.refusal().map_or_else(|| level(call).into(), |errno| format!("{}: {errno}", level(call)))
}

/// How many calls of an architecture have which level: full, partial, refused, missing.
fn counts(arch: Arch) -> [usize; 4] {
    let count = |name: &str| calls().filter(|call| call.number(arch).is_some() && level(call) == name).count();
    ["full", "partial", "refused", "missing"].map(count)
}

fn number(number: Option<u32>) -> String {
    number.map_or_else(String::new, |n| n.to_string())
}

fn plain() -> String {
    let mut out = String::new();
    for call in calls() {
        let numbers = (number(call.x86_64), number(call.x86));
        let _ = writeln!(
            out,
            "{:<28} {:>5} {:>5}  {:<18} {}",
            call.name,
            numbers.0,
            numbers.1,
            level_and_errno(&call),
            call.note
        );
    }
    for (name, arch) in [("x86-64", Arch::X86_64), ("x86", Arch::X86)] {
        let [full, partial, refused, missing] = counts(arch);
        let _ = writeln!(out, "{name}: {full} full, {partial} partial, {refused} refused, {missing} missing");
    }
    out
}

fn json_list() -> String {
    let one = |call: Call| {
        json!({
            "name": call.name,
            "family": call.family,
            "support": level(&call),
            "errno": call.support.refusal().and_then(litebox_common_linux::Errno::name),
            "x86_64": call.x86_64,
            "x86": call.x86,
            "arguments": call.arguments().map(|(name, kind)| json!({ "name": name, "type": kind })).collect::<Vec<_>>(),
            "note": call.note,
        })
    };
    format!("{:#}\n", calls().map(one).collect::<Value>())
}

fn markdown() -> String {
    let [full, partial, refused, missing] = counts(Arch::X86_64);
    let [full32, partial32, refused32, missing32] = counts(Arch::X86);
    let mut out = format!(
        "# System calls\n\n\
         Generated from the table in `litebox_common_linux/src/table.rs` by `litebox syscalls --markdown`; a test fails when\n\
         this page is stale. How to add a call: [writing-syscalls.md](writing-syscalls.md).\n\n\
         Of the {} calls that 64-bit Linux has, {full} are served in full and {partial} in part (the note says what is not as\n\
         on Linux); {refused} are refused for good (the note says why), and {missing} are missing. The last two fail with the\n\
         errno that stands beside them, and `--strace` marks them. A number without a row fails with ENOSYS. The numbers\n\
         under x86 are those of calls in the manner of 32-bit programs (`int $0x80`): of {}, {full32} are served in full and\n\
         {partial32} in part, {refused32} are refused, and {missing32} are missing.\n",
        full + partial + refused + missing,
        full32 + partial32 + refused32 + missing32
    );
    let mut family = "";
    for call in calls() {
        if call.family != family {
            family = call.family;
            let _ = write!(out, "\n## {family}\n\n| call | x86-64 | x86 | support | note |\n|---|---|---|---|---|\n");
        }
        let _ = writeln!(
            out,
            "| `{}({})` | {} | {} | {} | {} |",
            call.name,
            call.arguments().map(|(name, _)| name).collect::<Vec<_>>().join(", "),
            number(call.x86_64),
            number(call.x86),
            level_and_errno(&call),
            call.note
        );
    }
    out
}
