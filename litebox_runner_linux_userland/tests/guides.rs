//! The pages of `docs/guides` do what they show: their `sh` blocks are run one after the other, and print the `text`
//! blocks that follow them.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use litebox_test_support::{Result, fresh_dir};

const GUIDES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guides");

/// One block of commands, and what stands below it.
struct Step<'a> {
    commands: String,
    printed: Option<Vec<&'a str>>,
}

/// The blocks of a page that are run.
fn steps(page: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match (kind, steps.last_mut()) {
            ("sh", _) => steps.push(Step { commands: block.join("\n"), printed: None }),
            ("text", Some(step)) => step.printed = Some(block),
            _ => {}
        }
    }
    steps
}

fn guide(name: &str) -> Result {
    let page = fs::read_to_string(Path::new(GUIDES).join(name))?;
    let dir = fresh_dir(&format!("guide_{name}"))?;
    let state = fresh_dir(&format!("guide_{name}_state"))?;
    let binary = litebox_test_support::program();
    let directory = binary.parent().ok_or("the binary has no directory")?;
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    for Step { commands, printed } in steps(&page) {
        let mut command = Command::new("bash");
        command.args(["-e", "-c", &commands]).current_dir(&dir).env("PATH", &path).env("XDG_RUNTIME_DIR", &state);
        let output = command.output()?;
        let shown = String::from_utf8_lossy(&output.stdout);
        let right = printed.is_none_or(|printed| shown.lines().eq(printed));
        if !output.status.success() || !right {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}\n{commands}\nprinted:\n{shown}\nerrors:\n{errors}", output.status).into());
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(GUIDES)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| name != "README.md"));
    }
    names.sort();
    let trials = names.into_iter().map(|name| Trial::test(name.clone(), move || guide(&name))).collect();
    litebox_test_support::run_trials(trials)
}
