//! From a profile to a filter.
//!
//! For each architecture a list of numbers, in order, each with its verdict; runs of numbers with one verdict are one
//! comparison. Of a call for which there are rules about arguments, these are looked at first, in the order in which
//! they stand. What passes with any argument costs nothing then: the kernel knows it beforehand.

use std::collections::BTreeMap;

use litebox_common_linux::seccomp::bpf::{Compare, Instruction, MOST_INSTRUCTIONS, Program};
use litebox_common_linux::seccomp::{ARCH_AT, Action, NUMBER_AT, argument_at, audit_arch};
use litebox_common_linux::{Arch, Errno, calls};

use super::{Condition, OPERATORS, Operator, Profile, Rule, verdict};

/// From here on numbers are those of x32.
const X32: u32 = 0x4000_0000;
const NO_SUCH_CALL: u32 = Action::Errno as u32 | Errno::ENOSYS.0 as u32;
const KILL: u32 = Action::KillThread as u32;
const MOST_ARGUMENTS: u32 = 6;

/// What becomes of a call.
#[derive(Default)]
struct Call {
    /// Where all conditions of one hold, its verdict counts.
    cases: Vec<(Vec<Checked>, u32)>,
    /// Else this, if it is there.
    otherwise: Option<u32>,
}

/// A condition about an argument.
#[derive(Clone, Copy)]
struct Checked {
    index: u32,
    operator: Operator,
    value: u64,
    second: u64,
}

impl Checked {
    fn of(condition: &Condition) -> Result<Self, String> {
        let found = OPERATORS.into_iter().find(|(name, _)| *name == condition.op);
        let (_, operator) = found.ok_or_else(|| format!("{}: no comparison such as SCMP_CMP_EQ", condition.op))?;
        if condition.index >= MOST_ARGUMENTS {
            return Err(format!("args: index {}: calls have arguments 0 to 5", condition.index));
        }
        Ok(Self { index: condition.index, operator, value: condition.value, second: condition.value_two })
    }
}

/// Where a comparison leads.
#[derive(Clone, Copy)]
enum To {
    Next,
    Holds,
    Fails,
}

#[derive(Clone, Copy)]
enum Step {
    Do(Instruction),
    Branch(Compare, u32, To, To),
}

/// A condition step by step. Of a 32-bit call only the low half of an argument counts.
fn steps(condition: &Checked, arch: Arch) -> Vec<Step> {
    use To::{Fails, Holds, Next};
    let (low, high) = (condition.value as u32, (condition.value >> 32) as u32);
    let at = argument_at(condition.index);
    let load = |offset| Step::Do(Instruction::load(offset));
    let ends = |compare, yes, no| vec![load(at), Step::Branch(compare, low, yes, no)];
    let (mut begin, end) = match condition.operator {
        Operator::Equal => (vec![Step::Branch(Compare::Equal, high, Next, Fails)], ends(Compare::Equal, Holds, Fails)),
        Operator::NotEqual => {
            (vec![Step::Branch(Compare::Equal, high, Next, Holds)], ends(Compare::Equal, Fails, Holds))
        }
        Operator::Greater => (ordered(high, Holds, Fails), ends(Compare::Greater, Holds, Fails)),
        Operator::GreaterOrEqual => (ordered(high, Holds, Fails), ends(Compare::GreaterOrEqual, Holds, Fails)),
        Operator::LessOrEqual => (ordered(high, Fails, Holds), ends(Compare::Greater, Fails, Holds)),
        Operator::Less => (ordered(high, Fails, Holds), ends(Compare::GreaterOrEqual, Fails, Holds)),
        Operator::MaskedEqual => {
            // The value is the mask.
            let wanted = condition.value & condition.second;
            let (wanted_low, wanted_high) = (wanted as u32, (wanted >> 32) as u32);
            let and = |mask| Step::Do(Instruction::and(mask));
            let begin = vec![and(high), Step::Branch(Compare::Equal, wanted_high, Next, Fails)];
            (begin, vec![load(at), and(low), Step::Branch(Compare::Equal, wanted_low, Holds, Fails)])
        }
    };
    if arch == Arch::X86 {
        return end;
    }
    begin.insert(0, load(at + 4));
    begin.extend(end);
    begin
}

/// The upper halves decide, unless they are the same.
fn ordered(high: u32, greater: To, less: To) -> Vec<Step> {
    vec![Step::Branch(Compare::Greater, high, greater, To::Next), Step::Branch(Compare::Equal, high, To::Next, less)]
}

/// A verdict for when all conditions hold; behind it goes on what comes when one does not.
fn case(conditions: &[Checked], verdict: u32, arch: Arch) -> Vec<Instruction> {
    let parts: Vec<Vec<Step>> = conditions.iter().map(|condition| steps(condition, arch)).collect();
    let len = parts.iter().map(Vec::len).sum::<usize>();
    let mut code = Vec::with_capacity(len + 1);
    let mut end_of_part = 0;
    for part in parts {
        end_of_part += part.len();
        for step in part {
            let behind = code.len() + 1;
            // Six conditions of six steps at most.
            let skip = |to| match to {
                To::Next => 0,
                To::Holds => (end_of_part - behind) as u8,
                To::Fails => (len + 1 - behind) as u8,
            };
            code.push(match step {
                Step::Do(instruction) => instruction,
                Step::Branch(compare, k, yes, no) => Instruction::branch(compare, k, skip(yes), skip(no)),
            });
        }
    }
    code.push(Instruction::ret(verdict));
    code
}

/// Numbers of a call by its name in profiles. Those that nobody knows are ignored, as other runtimes do.
fn numbers(name: &str, arch: Arch) -> impl Iterator<Item = u32> {
    let name = name.to_string();
    calls().filter(move |call| is_called(call.name, &name, arch)).filter_map(move |call| call.number(arch))
}

/// What only 32-bit programs have is called in the table by what sets it apart; profiles call it as the program does.
fn is_called(row: &str, name: &str, arch: Arch) -> bool {
    let plain = || row.strip_suffix("16").or_else(|| row.strip_prefix("old_")).or_else(|| row.strip_suffix('_'));
    row == name || arch == Arch::X86 && plain() == Some(name)
}

/// The cases of a rule. Where one argument is named twice, each of its conditions is a case of its own.
fn cases(rule: &Rule) -> Result<Vec<Vec<Checked>>, String> {
    let conditions = rule.args.iter().flatten().map(Checked::of).collect::<Result<Vec<_>, _>>()?;
    let twice = |one: &Checked| conditions.iter().filter(|other| other.index == one.index).count() > 1;
    Ok(match conditions.as_slice() {
        [] => Vec::new(),
        list if list.iter().any(twice) => list.iter().map(|one| vec![*one]).collect(),
        list => vec![list.to_vec()],
    })
}

fn calls_of(profile: &Profile, capabilities: u64, arch: Arch) -> Result<BTreeMap<u32, Call>, String> {
    let mut table = BTreeMap::<u32, Call>::new();
    for rule in profile.syscalls.iter().flatten().filter(|rule| rule.counts(capabilities)) {
        let (verdict, cases) = (verdict(&rule.action, rule.errno_ret)?, cases(rule)?);
        for number in rule.names.iter().chain(&rule.name).flat_map(|name| numbers(name, arch)) {
            let call = table.entry(number).or_default();
            if cases.is_empty() {
                call.otherwise.get_or_insert(verdict);
            }
            call.cases.extend(cases.iter().map(|case| (case.clone(), verdict)));
        }
    }
    Ok(table)
}

/// The numbers of one architecture. The accumulator holds the number.
fn block(table: &BTreeMap<u32, Call>, arch: Arch, default: u32) -> Vec<Instruction> {
    let mut code = Vec::new();
    let mut plain: Option<(u32, u32, u32)> = None;
    for (number, call) in table {
        let verdict = call.otherwise.unwrap_or(default);
        if call.cases.is_empty() {
            plain = match plain {
                Some((first, last, same)) if last + 1 == *number && same == verdict => Some((first, *number, verdict)),
                other => {
                    code.extend(other.into_iter().flat_map(run));
                    Some((*number, *number, verdict))
                }
            };
            continue;
        }
        let mut about: Vec<_> =
            call.cases.iter().flat_map(|(conditions, verdict)| case(conditions, *verdict, arch)).collect();
        about.push(Instruction::ret(verdict));
        code.extend([Instruction::branch(Compare::Equal, *number, 1, 0), Instruction::jump(about.len() as u32)]);
        code.append(&mut about);
    }
    code.extend(plain.into_iter().flat_map(run));
    code.push(Instruction::ret(default));
    code
}

/// Numbers from the first to the last with one verdict.
fn run((first, last, verdict): (u32, u32, u32)) -> Vec<Instruction> {
    let ret = Instruction::ret(verdict);
    if first == last {
        return vec![Instruction::branch(Compare::Equal, first, 0, 1), ret];
    }
    vec![
        Instruction::branch(Compare::GreaterOrEqual, first, 0, 2),
        Instruction::branch(Compare::Greater, last, 1, 0),
        ret,
    ]
}

/// The filter of a profile, for a program that may have these capabilities.
pub fn compile(profile: &Profile, capabilities: u64) -> Result<Vec<Instruction>, String> {
    let default = verdict(&profile.default_action, profile.default_errno_ret)?;
    let lets_pass = [Action::Allow as u32, Action::Log as u32].contains(&default);
    let mut code = vec![Instruction::load(ARCH_AT)];
    for (name, arch) in [("SCMP_ARCH_X86_64", Arch::X86_64), ("SCMP_ARCH_X86", Arch::X86)] {
        if !profile.has_arch(name) {
            continue;
        }
        let table = calls_of(profile, capabilities, arch)?;
        let mut part = vec![Instruction::load(NUMBER_AT)];
        let mut from = |number, verdict| {
            part.extend([Instruction::branch(Compare::GreaterOrEqual, number, 0, 1), Instruction::ret(verdict)]);
        };
        if arch == Arch::X86_64 {
            from(X32, if profile.has_arch("SCMP_ARCH_X32") { NO_SUCH_CALL } else { KILL });
        }
        // Calls that came after the profile was written: programs know what to do without.
        if let Some((last, _)) = table.last_key_value().filter(|_| !lets_pass) {
            from(last + 1, NO_SUCH_CALL);
        }
        part.extend(block(&table, arch, default));
        code.push(Instruction::branch(Compare::Equal, audit_arch(arch), 1, 0));
        code.push(Instruction::jump(part.len() as u32));
        code.append(&mut part);
    }
    code.push(Instruction::ret(KILL));
    match Program::new(&code) {
        Some(Ok(_)) => Ok(code),
        _ => Err(format!("the profile becomes {} instructions; {MOST_INSTRUCTIONS} are the most", code.len())),
    }
}

#[cfg(test)]
mod tests {
    use litebox_common_linux::Arch;
    use litebox_common_linux::seccomp::Data;
    use litebox_common_linux::seccomp::bpf::Program;

    use super::super::Profile;

    const NONE: u64 = 0;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    type Holds = fn(u64) -> bool;

    /// What becomes of a call by its number, with these first arguments.
    fn ask(text: &str, capabilities: u64, arch: Arch, number: u32, first: &[u64]) -> Option<u32> {
        let profile: Profile = serde_json::from_str(text).ok()?;
        let program = Program::new(&profile.filter(capabilities).ok()?)?.ok()?;
        let mut arguments = [0; 6];
        arguments[..first.len()].copy_from_slice(first);
        Some(program.run(&Data { number, arch, instruction_pointer: 0, arguments }.words()))
    }
    fn one(rule: &str) -> String {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["read"], "action": "SCMP_ACT_ERRNO", {rule}}}]}}"#
        )
    }

    #[test]
    fn names_numbers_and_defaults() {
        let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [{"names": ["read", "write", "open", "close", "getuid", "no_such_call", "mmap"],
                "action": "SCMP_ACT_ALLOW"}, {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS"},
                {"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}"#;
        let ask = |arch, number| ask(text, NONE, arch, number, &[]);
        for number in [0, 1, 2, 3, 102] {
            assert_eq!(ask(Arch::X86_64, number), Some(ALLOW), "{number}");
        }
        assert_eq!([ask(Arch::X86_64, 62), ask(Arch::X86_64, 246)], [Some(0x8000_0000), Some(ERRNO + 1)]);
        assert_eq!([4, 101, 103, 200].map(|number| ask(Arch::X86_64, number)), [Some(ERRNO + 38); 4]);
        // Newer than all that are named, and those of x32.
        assert_eq!([ask(Arch::X86_64, 900), ask(Arch::X86_64, 0x4000_0001)], [Some(ERRNO + 38), Some(0)]);
        // getuid and mmap of old are called so, too.
        assert_eq!([3, 4, 24, 90].map(|number| ask(Arch::X86, number)), [Some(ALLOW); 4]);
        assert_eq!(ask(Arch::X86, 0), Some(ERRNO + 38));
    }

    #[test]
    fn an_architecture_that_is_not_named_kills() {
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#;
        assert_eq!(ask(text, NONE, Arch::X86_64, 5000, &[]), Some(ALLOW));
        assert_eq!(ask(text, NONE, Arch::X86, 3, &[]), Some(0));
    }

    #[test]
    fn every_comparison_has_64_bits() {
        const BIG: u64 = 5 << 32 | 7;
        let values = [0, 6, 7, 8, 5 << 32, BIG - 1, BIG, BIG + 1, 4 << 32 | 9, 6 << 32 | 1, u64::MAX];
        let holds: [(&str, Holds); 6] = [
            ("NE", |a| a != BIG),
            ("LT", |a| a < BIG),
            ("LE", |a| a <= BIG),
            ("EQ", |a| a == BIG),
            ("GE", |a| a >= BIG),
            ("GT", |a| a > BIG),
        ];
        for (name, holds) in holds {
            let text = one(&format!(r#""args": [{{"index": 1, "value": {BIG}, "op": "SCMP_CMP_{name}"}}]"#));
            for value in values {
                let wanted = if holds(value) { ERRNO + 1 } else { ALLOW };
                assert_eq!(ask(&text, NONE, Arch::X86_64, 0, &[9, value]), Some(wanted), "{name} {value:#x}");
            }
        }
        let text = one(r#""args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]"#);
        for (value, wanted) in [(0x11, ERRNO + 1), (0x1000_0000, ALLOW), (1 << 40 | 1, ERRNO + 1)] {
            assert_eq!(ask(&text, NONE, Arch::X86_64, 0, &[value]), Some(wanted), "{value:#x}");
        }
    }

    #[test]
    fn conditions_hold_together_unless_they_are_about_one_argument() {
        let condition = |index, value| format!(r#"{{"index": {index}, "value": {value}, "op": "SCMP_CMP_EQ"}}"#);
        let both = one(&format!(r#""args": [{}, {}]"#, condition(0, 1), condition(2, 3)));
        let either = one(&format!(r#""args": [{}, {}, {}]"#, condition(0, 1), condition(0, 2), condition(2, 3)));
        for (first, wanted, wanted_either) in
            [([1, 0, 3], true, true), ([1, 0, 4], false, true), ([2, 0, 3], false, true), ([5, 0, 5], false, false)]
        {
            let verdict = |holds| Some(if holds { ERRNO + 1 } else { ALLOW });
            assert_eq!(ask(&both, NONE, Arch::X86_64, 0, &first), verdict(wanted));
            assert_eq!(ask(&either, NONE, Arch::X86_64, 0, &first), verdict(wanted_either));
        }
    }

    #[test]
    fn rules_for_capabilities_and_kernels() {
        const SYS_CHROOT: u64 = 1 << 18;
        let with = one(r#""includes": {"caps": ["CAP_SYS_CHROOT"]}"#);
        let without = one(r#""excludes": {"caps": ["CAP_SYS_CHROOT"]}"#);
        for (capabilities, holds) in [(SYS_CHROOT, true), (NONE, false)] {
            assert_eq!(ask(&with, capabilities, Arch::X86_64, 0, &[]) != Some(ALLOW), holds);
            assert_eq!(ask(&without, capabilities, Arch::X86_64, 0, &[]) == Some(ALLOW), holds);
        }
        for (rule, holds) in [
            (r#""includes": {"minKernel": "4.8"}"#, true),
            (r#""includes": {"minKernel": "7.0"}"#, false),
            (r#""includes": {"arches": ["s390x"]}"#, false),
            (r#""includes": {"arches": ["amd64", "x32"]}"#, true),
        ] {
            assert_eq!(ask(&one(rule), NONE, Arch::X86_64, 0, &[]) != Some(ALLOW), holds, "{rule}");
        }
    }

    #[test]
    fn mistakes_are_said() {
        let why = |text: &str| {
            let profile = serde_json::from_str::<Profile>(text).map_err(|e| e.to_string());
            profile.and_then(|profile| profile.filter(NONE)).err().unwrap_or_default()
        };
        assert!(why(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#).contains("nobody outside"));
        assert!(why(r#"{"defaultAction": "ALLOW"}"#).contains("no action"));
        assert!(why(r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}"#).contains("no flag"));
        let argument = |rest: &str| why(&one(&format!(r#""args": [{{"value": 1, {rest}}}]"#)));
        assert!(argument(r#""index": 6, "op": "SCMP_CMP_EQ""#).contains("arguments 0 to 5"));
        assert!(argument(r#""index": 0, "op": "EQ""#).contains("no comparison"));
    }
}
