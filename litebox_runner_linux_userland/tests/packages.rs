//! What people install: the packages that `scripts/package.sh` makes hold a `litebox` that runs, and the GitHub Action
//! of `action.yml` runs a step's commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use litebox_test_support::{NamedTest, Result, fresh_dir, program, skip};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What a command prints; an error when it fails.
fn printed(command: &mut Command) -> std::result::Result<String, libtest_mimic::Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// The file in `dir` whose name ends so.
fn ending(dir: &Path, end: &str) -> std::result::Result<PathBuf, libtest_mimic::Failed> {
    let mut paths = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    let found = paths.find(|path| path.to_string_lossy().ends_with(end));
    found.ok_or_else(|| format!("nothing in {} ends with {end}", dir.display()).into())
}

fn runs(litebox: &Path) -> Result {
    let said = printed(Command::new(litebox).args(["run", "-w", "/", "--", "echo", "it runs"]).current_dir("/"))?;
    if said == "it runs\n" { Ok(()) } else { Err(format!("{}: {said:?}", litebox.display()).into()) }
}

fn packages() -> Result {
    for tool in ["dpkg-deb", "strip", "sha256sum", "python3", "git"] {
        if !["/usr/bin", "/usr/local/bin"].iter().any(|place| Path::new(place).join(tool).exists()) {
            return skip(&format!("no {tool} on this machine"));
        }
    }
    let dir = fresh_dir("packages")?;
    let made = dir.join("made");
    printed(Command::new(format!("{ROOT}/scripts/package.sh")).arg(program()).arg(&made))?;
    let sums = printed(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(&made))?;
    if sums.lines().filter(|line| line.ends_with(": OK")).count() != 3 {
        return Err(format!("checksums: {sums}").into());
    }

    printed(Command::new("tar").arg("-xzf").arg(ending(&made, ".tar.gz")?).arg("-C").arg(&dir))?;
    let unpacked = ending(&dir, "-linux-gnu")?;
    runs(&unpacked.join("litebox"))?;
    for file in ["litebox.1", "completions/litebox.bash", "LICENSE-MIT", "README.md"] {
        if fs::metadata(unpacked.join(file))?.len() == 0 {
            return Err(format!("{file} is empty").into());
        }
    }

    let root = dir.join("deb");
    printed(Command::new("dpkg-deb").arg("-x").arg(ending(&made, ".deb")?).arg(&root))?;
    runs(&root.join("usr/bin/litebox"))?;
    let features = printed(Command::new(root.join("usr/bin/litebox-oci")).arg("features"))?;
    if !features.contains("ociVersion") {
        return Err(format!("litebox-oci features: {features}").into());
    }

    let target = dir.join("wheel");
    let mut install = Command::new("/usr/bin/python3");
    install.args(["-m", "pip", "install", "--quiet", "--no-index", "--root-user-action", "ignore", "--target"]);
    printed(install.arg(&target).arg(ending(&made, ".whl")?))?;
    runs(&target.join("bin/litebox"))
}

/// The commands of a step of the action: the indented block behind its `run: |`.
fn step(action: &str, name: &str) -> Option<String> {
    let (_, step) = action.split_once(&format!("- name: {name}\n"))?;
    let (_, block) = step.split_once("run: |\n")?;
    Some(block.lines().map_while(|line| line.strip_prefix("        ")).collect::<Vec<_>>().join("\n"))
}

fn action() -> Result {
    let dir = fresh_dir("action")?;
    fs::write(dir.join("secret file"), "secret")?;
    let action = fs::read_to_string(format!("{ROOT}/action.yml"))?;
    let commands = step(&action, "Run").ok_or("the action has no step Run")?;
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &commands]).current_dir(&dir);
    command.env("LITEBOX_BINARY", program()).env("LITEBOX_OPTIONS", "--hide 'secret file' -v ./out:./out:create");
    command.env("LITEBOX_COMMANDS", "ls\necho made > out/file\necho made > gone\nfalse | true\necho not reached");
    let output = command.output()?;
    let shown = String::from_utf8_lossy(&output.stdout);
    let kept = fs::read_to_string(dir.join("out/file"))?;
    if output.status.code() == Some(1) && shown == "out\n" && kept == "made\n" && !dir.join("gone").exists() {
        return Ok(());
    }
    Err(format!("{}\n{shown}{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

const TESTS: &[NamedTest] = &[("packages", packages), ("action", action)];

fn main() {
    litebox_test_support::run_table(TESTS);
}
