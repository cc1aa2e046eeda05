//! The scripts in `examples/` do what they show: each prints what `examples/expected/` says.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use litebox_test_support::Result;

/// The root of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Runs one example as a user would, with `litebox` on PATH.
fn example(name: &str) -> Result {
    let binary = Path::new(env!("CARGO_BIN_EXE_litebox"));
    let directory = binary.parent().ok_or("the binary has no directory")?;
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let script = format!("{ROOT}/examples/{name}.sh");
    let output = Command::new("sh").arg(script).env("PATH", path).output()?;
    let expected = fs::read_to_string(format!("{ROOT}/examples/expected/{name}"))?;
    let shown = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && shown == expected {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}\nprinted:\n{shown}\nexpected:\n{expected}\nerrors:\n{errors}", output.status).into())
}

fn main() -> std::io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(format!("{ROOT}/examples"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    let trials = names.into_iter().map(|name| Trial::test(name.clone(), move || example(&name))).collect();
    litebox_test_support::run_trials(trials)
}
