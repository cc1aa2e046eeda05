//! One test per file of `tests/guests/*.c`: the same output and exit status in the sandbox as on the bare host.
//!
//! A guest prints facts that are the same on any Linux: names of errors, results; no pids, addresses or times. Lines at
//! the top of the file steer its test. Each guest is run as a 32-bit program too, unless a line says why it cannot be.
//! ```c
//! //@ variants: static dynamic musl m32 (default: static)
//! //@ 64-bit only: why                  (what a 32-bit program does not have)
//! //@ flags: -pthread -lm               (of the compiler)
//! //@ options: --tmpfs /scratch         (of litebox run)
//! //@ args: one two
//! //@ stdin: a line
//! //@ timeout: 20                       (seconds)
//! //@ files: dir/one two=dir/one      (in the working directory: a file that holds its path, another name of it)
//! //@ tree                              (the working directory is writable and compared afterwards)
//! //@ volumes: memory cow rw            (what the working directory is, a test for each; default: cow)
//! //@ helper                            (another test runs it)
//! //@ host: /proc/net/udplite           (compared only where Linux has this file: not every version does)
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use litebox_common_linux::calls;
use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{Case, skip};

#[derive(Clone, Default)]
struct Directives {
    variants: Vec<Variant>,
    flags: Vec<String>,
    options: Vec<String>,
    args: Vec<String>,
    stdin: Option<String>,
    timeout: Option<u64>,
    files: Vec<String>,
    tree: bool,
    volumes: Vec<Volume>,
    helper: bool,
    host: Option<String>,
    only_64_bit: bool,
}

/// What lies behind the working directory in the sandbox.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Volume {
    Memory,
    CopyOnWrite,
    Writable,
}

impl Volume {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "memory" => Self::Memory,
            "cow" => Self::CopyOnWrite,
            "rw" => Self::Writable,
            _ => return None,
        })
    }
    /// What it adds to the name of a test.
    fn suffix(self) -> &'static str {
        match self {
            Self::Memory => "_memory",
            Self::CopyOnWrite => "",
            Self::Writable => "_rw",
        }
    }
}

impl Directives {
    fn read(path: &Path) -> Result<Self, Failed> {
        let mut found = Self::default();
        for line in fs::read_to_string(path)?.lines().filter_map(|line| line.strip_prefix("//@ ")) {
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            let words = || value.split_whitespace().map(String::from);
            match key.trim() {
                "variants" => {
                    let parse = |word: String| Variant::parse(&word).ok_or_else(|| format!("no variant {word}"));
                    found.variants = words().map(parse).collect::<Result<_, _>>()?;
                }
                "flags" => found.flags = words().collect(),
                "options" => found.options = words().collect(),
                "args" => found.args = words().collect(),
                "stdin" => found.stdin = Some(format!("{}\n", value.trim())),
                "timeout" => found.timeout = Some(value.trim().parse()?),
                "files" => found.files = words().collect(),
                "tree" => found.tree = true,
                "volumes" => {
                    let parse = |word: String| Volume::parse(&word).ok_or_else(|| format!("no volume {word}"));
                    found.volumes = words().map(parse).collect::<Result<_, _>>()?;
                }
                "helper" => found.helper = true,
                "host" => found.host = Some(value.trim().to_owned()),
                "64-bit only" if value.trim().len() > 10 => found.only_64_bit = true,
                other => return Err(format!("{}: unknown directive {other}", path.display()).into()),
            }
        }
        if found.variants.is_empty() {
            found.variants.push(Variant::Static);
        }
        let is_32_bit = found.variants.iter().any(|variant| variant.is_32_bit());
        if is_32_bit && found.only_64_bit {
            return Err(format!("{}: 32-bit and 64-bit only", path.display()).into());
        }
        if !is_32_bit && !found.only_64_bit {
            found.variants.push(Variant::M32);
        }
        if found.volumes.is_empty() {
            found.volumes.push(if found.tree { Volume::Writable } else { Volume::CopyOnWrite });
        }
        Ok(found)
    }

    /// Each test of the guest. What lies behind a directory does not see how wide a program is: one volume does.
    fn kinds(&self) -> Vec<(Variant, Volume)> {
        let volumes = |variant: Variant| if variant.is_32_bit() { &self.volumes[..1] } else { &self.volumes[..] };
        self.variants
            .iter()
            .flat_map(|&variant| volumes(variant).iter().map(move |&volume| (variant, volume)))
            .collect()
    }
}

fn run(
    name: &str,
    file: &str,
    variant: Variant,
    volume: Volume,
    directives: &Directives,
) -> litebox_test_support::Result {
    if let Some(missing) = variant.missing() {
        return skip(&missing);
    }
    if let Some(path) = directives.host.as_ref().filter(|path| !Path::new(path).exists()) {
        println!("not compared: the host's Linux has no {path}");
        return Ok(());
    }
    let binary = compile::guest(file, variant, &directives.flags)?;
    let mut case = Case::guest(name, &binary).args(&directives.args).options(&directives.options);
    case = case.files(directives.files.iter().cloned());
    if let Some(text) = &directives.stdin {
        case = case.stdin(text.as_bytes());
    }
    match volume {
        Volume::Memory => case = case.in_memory(),
        Volume::CopyOnWrite => {}
        Volume::Writable => case = case.with_tree(),
    }
    case.timeout(directives.timeout.unwrap_or(20)).compare()
}

/// Served calls that no guest makes, and why.
const MADE_BY_NONE: &[(&str, &str)] = &[("sync", "on the bare host it writes back the files of everybody")];

/// What a C source calls, and the numbers of calls that it names; neither comments nor texts count.
fn calls_in_code(source: &str, into: &mut BTreeSet<String>) {
    let mut rest = source;
    let mut word = String::new();
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        if letter.is_ascii_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        let whole = std::mem::take(&mut word);
        if letter == '(' || whole.starts_with("SYS_") {
            into.insert(whole);
        }
        let end = match letter {
            '/' if rest.starts_with('/') => rest.find('\n'),
            '/' if rest.starts_with('*') => rest.find("*/"),
            '"' => end_of_text(rest),
            '\'' if rest.starts_with("\"'") => Some(2),
            _ => Some(0),
        };
        rest = &rest[end.unwrap_or(rest.len())..];
    }
}

/// Where the text behind a quotation mark ends.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A served call that no guest names is one that nothing compares with Linux.
fn every_served_call_is_named_by_a_guest() -> litebox_test_support::Result {
    let mut named = BTreeSet::new();
    for entry in fs::read_dir(compile::sources())? {
        calls_in_code(&fs::read_to_string(entry?.path())?, &mut named);
    }
    let is_named = |name: &str| named.contains(name) || named.contains(&format!("SYS_{name}"));
    let is_excused = |name: &str| MADE_BY_NONE.iter().any(|&(excused, _)| excused == name);
    // Those that only 32-bit programs have are named by their numbers.
    let served = || calls().filter(|call| call.support.refusal().is_none() && call.x86_64.is_some());
    let unnamed: Vec<&str> =
        served().map(|call| call.name).filter(|name| !is_named(name) && !is_excused(name)).collect();
    if !unnamed.is_empty() {
        return Err(format!("served, and named by no file of tests/guests: {}", unnamed.join(" ")).into());
    }
    let stale: Vec<&str> = MADE_BY_NONE.iter().map(|&(name, _)| name).filter(|name| is_named(name)).collect();
    if stale.is_empty() { Ok(()) } else { Err(format!("excused, but named by a guest: {}", stale.join(" ")).into()) }
}

/// The numbers of calls that a source makes as 32-bit programs do: `call32(195, ...)`.
fn numbers_of_calls(source: &str) -> impl Iterator<Item = u32> {
    let calls = source.split("call32(").skip(1);
    calls.filter_map(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok())
}

/// The same of the calls that only 32-bit programs have.
fn every_served_call_of_32_bit_programs_is_made_by_a_guest() -> litebox_test_support::Result {
    // No argument of it can be wrong; compat_signals.c returns from handlers by it.
    const MADE_BY_HANDLERS: &str = "sigreturn";
    let mut made = BTreeSet::new();
    for entry in fs::read_dir(compile::sources())? {
        made.extend(numbers_of_calls(&fs::read_to_string(entry?.path())?));
    }
    let served = calls().filter(|call| call.support.refusal().is_none() && call.x86_64.is_none());
    let missing: Vec<&str> = served
        .filter(|call| call.name != MADE_BY_HANDLERS && call.x86.is_some_and(|number| !made.contains(&number)))
        .map(|call| call.name)
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("served, and made by no guest: {}", missing.join(" ")).into()) }
}

fn collect() -> Result<Vec<Trial>, Failed> {
    let mut trials = vec![
        Trial::test("every_served_call_is_named_by_a_guest", every_served_call_is_named_by_a_guest),
        Trial::test(
            "every_served_call_of_32_bit_programs_is_made_by_a_guest",
            every_served_call_of_32_bit_programs_is_made_by_a_guest,
        ),
    ];
    for entry in fs::read_dir(compile::sources())? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "c") {
            continue;
        }
        let directives = Directives::read(&path)?;
        if directives.helper {
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = file.trim_end_matches(".c").to_owned();
        for (variant, volume) in directives.kinds() {
            let suffix = if directives.tree { "" } else { volume.suffix() };
            let name = format!("guest_{stem}_{}{suffix}", variant.name());
            let (test_name, file, directives) = (name.clone(), file.clone(), directives.clone());
            trials.push(Trial::test(name, move || run(&test_name, &file, variant, volume, &directives)));
        }
    }
    trials.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(trials)
}

fn main() {
    match collect() {
        Ok(trials) => litebox_test_support::run_trials(trials),
        Err(error) => {
            eprintln!("guests: {}", error.message().unwrap_or("failed"));
            std::process::exit(101);
        }
    }
}
