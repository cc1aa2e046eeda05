//! From the words of a command line to what they mean.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Error, Parser};

use crate::options::profile;
use crate::{Cli, RunCli};

/// Parses a command line, the name of the command included. Without any words it asks for the help; `litebox PROGRAM`
/// is `litebox run PROGRAM`.
pub fn parse(mut words: Vec<OsString>) -> Result<Cli, Error> {
    if words.first().is_some_and(|name| Path::new(name).file_name() == Some("litebox-oci".as_ref())) {
        words.insert(1, "oci".into());
    }
    let Some(first) = words.get(1).cloned() else {
        words.push("--help".into());
        return Cli::try_parse_from(words);
    };
    if first == "run" {
        return parse_run(words);
    }
    if is_own_word(&first) {
        return Cli::try_parse_from(words);
    }
    let mut run = words.clone();
    run.insert(1, "run".into());
    if first.as_bytes().starts_with(b"-") || first.as_bytes().contains(&b'/') || is_program(&first) {
        return parse_run(run);
    }
    match mistyped(&first) {
        Some(meant) => Err(unknown(&first, &meant)),
        None => parse_run(run),
    }
}

/// Parses `litebox run ...`. What is wrong is said as the whole command says it.
fn parse_words(words: Vec<OsString>) -> Result<Cli, Error> {
    RunCli::try_parse_from(&words).map(Cli::from).or_else(|_| Cli::try_parse_from(words))
}

/// Parses `litebox run ...`, with what its profile adds.
fn parse_run(words: Vec<OsString>) -> Result<Cli, Error> {
    let usual = profile::usual();
    let named = words.iter().any(|word| word.as_bytes().starts_with(b"--profile"));
    if usual.is_none() && !named {
        return parse_words(words);
    }
    // What was typed may be less than a whole command line: the rest is in the file.
    let Ok(typed) = Cli::command().ignore_errors(true).try_get_matches_from(&words) else {
        return parse_words(words);
    };
    let Some(run) = typed.subcommand_matches("run") else { return parse_words(words) };
    let (file, unasked) = match (run.get_one::<PathBuf>("profile").cloned(), usual) {
        (Some(file), _) if file == Path::new("none") => return parse_words(words),
        (Some(file), _) => (file, false),
        (None, Some(file)) => (file, true),
        (None, None) => return parse_words(words),
    };
    let cli = Cli::command();
    let command = cli.find_subcommand("run").unwrap_or(&cli);
    let added = profile::read(&file, unasked, command).map_err(|why| Error::raw(ErrorKind::Io, why))?;
    let has_program = run.get_many::<OsString>("command").is_some_and(|words| words.len() > 0);
    let mut all: Vec<OsString> = words.iter().take(2).cloned().chain(added.options).collect();
    all.extend(words.into_iter().skip(2));
    if !has_program && !added.command.is_empty() {
        if !all.iter().any(|word| word == "--") {
            all.push("--".into());
        }
        all.extend(added.command);
    }
    parse_words(all)
}

/// The subcommand that a word which is neither one nor a program is likely to mean.
fn mistyped(word: &OsStr) -> Option<String> {
    let word = word.to_str()?;
    let names: Vec<String> = Cli::command().get_subcommands().map(|command| command.get_name().to_string()).collect();
    let near = |name: &String| changes(word, name) <= if name.len() < 5 { 1 } else { 2 };
    names.into_iter().find(near)
}

fn unknown(word: &OsStr, meant: &str) -> Error {
    let mut error = Error::new(ErrorKind::InvalidSubcommand).with_cmd(&Cli::command());
    error.insert(ContextKind::InvalidSubcommand, ContextValue::String(word.to_string_lossy().into()));
    let usage = ContextValue::StyledStr(Cli::command().render_usage());
    error.insert(ContextKind::Usage, usage);
    error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![meant.into()]));
    error
}

/// How many letters must be put in, left out, exchanged or swapped with their neighbour to get from one word to the
/// other (the distance of Damerau and Levenshtein, without changes of what was swapped).
pub fn changes(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let replaced = row[j] + usize::from(a != b);
            let mut least = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

/// A subcommand, or an option of litebox itself.
fn is_own_word(word: &OsStr) -> bool {
    let own = ["help", "--help", "-h", "--version", "-V"];
    own.iter().any(|own| word == *own) || Cli::command().get_subcommands().any(|command| word == command.get_name())
}

/// Whether a program of this name is where the sandbox looks first.
fn is_program(name: &OsStr) -> bool {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::changes;

    #[test]
    fn words_that_are_near() {
        let pairs = [("rnu", "run"), ("run", "run"), ("runs", "run"), ("syscals", "syscalls"), ("docter", "doctor")];
        assert_eq!(pairs.map(|(a, b)| changes(a, b)), [1, 0, 1, 1, 1]);
        assert!(changes("ls", "run") > 1 && changes("", "run") == 3);
    }
}
