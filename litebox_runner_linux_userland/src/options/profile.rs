//! Profiles: options of `litebox run` in a file, under the names that they have on the command line.
//!
//! ```toml
//! volume = ["./out:/out:rw"]
//! memory = "512M"
//! read-only = true
//! command = ["python3", "job.py"]
//!
//! [env]
//! MODE = "test"
//! ```
//!
//! A file becomes words of a command line, in front of those that were typed: lists grow, and for everything else what
//! was typed last counts. `litebox.toml` in the current directory is taken unasked, but only what it takes away or sets
//! inside: a directory that came from elsewhere must not decide what of the host its own programs get.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Command};
use toml::{Table, Value};

/// The name of a profile that is taken unasked.
pub const USUAL: &str = "litebox.toml";

/// Options that a profile nobody named may set: they give nothing of the host.
const HARMLESS: &[&str] = &[
    "command",
    "workdir",
    "tmpfs",
    "hide",
    "read-only",
    "shm-size",
    "user",
    "group-add",
    "cap-drop",
    "entrypoint",
    "hostname",
    "add-host",
    "init",
    "stop-signal",
    "label",
    "name",
    "timeout",
    "memory",
    "pids-limit",
    "cpus",
    "ulimit",
    "disk",
    "stop-timeout",
    "interactive",
    "rm",
];
/// Options that have no place in a file.
const NOT_IN_A_FILE: [&str; 2] = ["profile", "help"];

/// What a profile adds to a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    pub options: Vec<OsString>,
    pub command: Vec<OsString>,
}

/// The profile in this file; `unasked`: nobody named it.
pub fn read(file: &Path, unasked: bool, run: &Command) -> Result<Words, String> {
    let shown = if unasked { file.display().to_string() } else { format!("--profile {}", file.display()) };
    let failed = |why: String| format!("{shown}: {why}");
    let text = std::fs::read_to_string(file).map_err(|e| failed(e.to_string()))?;
    let table: Table = text.parse().map_err(|e: toml::de::Error| failed(position(&text, &e)))?;
    words(&table, unasked, run).map_err(failed)
}

/// `litebox.toml` of the current directory, if there is one.
pub fn usual() -> Option<PathBuf> {
    let file = PathBuf::from(USUAL);
    file.is_file().then_some(file)
}

fn position(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.lines().count().max(1), error.message())
}

fn words(table: &Table, unasked: bool, run: &Command) -> Result<Words, String> {
    let mut words = Words::default();
    for (key, value) in table {
        if key == "command" {
            words.command = strings(key, value)?.into_iter().map(OsString::from).collect();
            continue;
        }
        let arg = run.get_arguments().find(|arg| arg.get_long() == Some(key) && !arg.is_hide_set());
        let arg = arg.filter(|_| !NOT_IN_A_FILE.contains(&key.as_str()));
        let Some(arg) = arg else { return Err(format!("{key} is no option of litebox run{}", similar(key, run))) };
        if unasked && !gives_nothing(key, value) {
            return Err(format!(
                "{key} gives something of the host: name the profile by --profile {USUAL} if you mean it"
            ));
        }
        let is_switch =
            arg.get_num_args().is_some_and(|range| range.min_values() == 0) && arg.get_possible_values().len() == 2;
        let takes_value = !(is_switch || matches!(arg.get_action(), ArgAction::SetTrue));
        match value {
            Value::Boolean(true) if !takes_value => words.options.push(format!("--{key}").into()),
            Value::Boolean(false) if !takes_value => {}
            _ if !takes_value => return Err(format!("{key} is true or false")),
            Value::Table(pairs) if key == "env" || key == "label" => {
                for (name, value) in pairs {
                    words.options.push(format!("--{key}={name}={}", scalar(name, value)?).into());
                }
            }
            _ => {
                let values = strings(key, value)?;
                if values.len() != 1 && !matches!(arg.get_action(), ArgAction::Append) {
                    return Err(format!("{key} has one value"));
                }
                words.options.extend(values.into_iter().map(|value| OsString::from(format!("--{key}={value}"))));
            }
        }
    }
    Ok(words)
}

/// Whether an option leaves the host where it is. A variable without a value is the caller's.
fn gives_nothing(key: &str, value: &Value) -> bool {
    match (key, value) {
        ("env", Value::Table(_)) => true,
        ("env", Value::Array(all)) => all.iter().all(|one| one.as_str().is_some_and(|text| text.contains('='))),
        ("env", one) => one.as_str().is_some_and(|text| text.contains('=')),
        ("net" | "network", one) => one.as_str() == Some("none"),
        _ => HARMLESS.contains(&key),
    }
}

fn similar(key: &str, run: &Command) -> String {
    let longs = run.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(clap::Arg::get_long);
    let near = longs.map(|long| (crate::arguments::changes(key, long), long)).min();
    near.filter(|(changes, _)| *changes <= 2).map(|(_, long)| format!(" (do you mean {long}?)")).unwrap_or_default()
}

fn strings(key: &str, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(all) => all.iter().map(|one| scalar(key, one)).collect(),
        one => scalar(key, one).map(|one| vec![one]),
    }
}

fn scalar(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        _ => Err(format!("{key} is a text or a number, or a list of them")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use toml::Table;

    use super::{Words, words};

    fn parsed(text: &str, unasked: bool) -> Result<Words, String> {
        let cli = crate::Cli::command();
        let run = cli.find_subcommand("run").ok_or("no run")?;
        words(&text.parse::<Table>().map_err(|e| e.to_string())?, unasked, run)
    }

    #[test]
    fn files_become_words() {
        let text = "volume = ['./a:/a', 'b:/b']\nmemory = '64M'\ntimeout = 5\nread-only = true\ninit = false\n\
            command = ['a', '-b']\n[env]\nA = 'x y'\nN = 3";
        let options = [
            "--env=A=x y",
            "--env=N=3",
            "--memory=64M",
            "--read-only",
            "--timeout=5",
            "--volume=./a:/a",
            "--volume=b:/b",
        ];
        let parsed = parsed(text, false).map(|mut words| {
            words.options.sort();
            words
        });
        let expected = Words { options: options.map(Into::into).to_vec(), command: vec!["a".into(), "-b".into()] };
        assert_eq!(parsed, Ok(expected));
    }

    #[test]
    fn unknown_keys_and_wrong_kinds_are_errors() {
        for bad in [
            "volumes = []",
            "profile = 'x'",
            "privileged = true",
            "memory = ['1G', '2G']",
            "init = 3",
            "rm = 'x'",
            "env = true",
            "memory = true",
        ] {
            assert!(parsed(bad, false).is_err(), "{bad}");
        }
        assert_eq!(
            parsed("memry = '1G'", false),
            Err("memry is no option of litebox run (do you mean memory?)".into())
        );
    }

    #[test]
    fn what_nobody_named_gives_nothing() {
        for good in ["memory = '64M'", "hide = ['.env']", "env = ['A=1']", "[env]\nA = '1'", "net = 'none'"] {
            assert!(parsed(good, true).is_ok(), "{good}");
        }
        for bad in [
            "volume = ['/:/host']",
            "mount = 'x'",
            "env = ['SECRET']",
            "env-file = 'x'",
            "rootfs = '/'",
            "tools = true",
            "strace = 'x'",
        ] {
            assert!(parsed(bad, true).is_err_and(|why| why.contains("gives something")), "{bad}");
            assert!(parsed(bad, false).is_ok() || bad.starts_with("mount"), "{bad}");
        }
    }
}
