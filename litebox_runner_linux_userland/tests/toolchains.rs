//! What people keep in their home and beside their work: toolchains, virtual environments, profiles.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use litebox_test_support::{NamedTest, ProgramResult, Result, fresh_dir, program_result};

const LIMIT: Duration = Duration::from_secs(60);

/// A home with a toolchain, a Python of its own and secrets, and a place of work.
struct Scene {
    home: PathBuf,
    work: PathBuf,
}

impl Scene {
    fn make(name: &str) -> std::io::Result<Self> {
        let dir = fresh_dir(name)?;
        let (home, work) = (dir.join("home"), dir.join("work"));
        for (file, content, mode) in [
            (".cargo/bin/mytool", "#!/bin/sh\necho tool $CARGO_HOME", 0o755),
            (".cargo/credentials.toml", "token", 0o600),
            (".cargo/registry/credentials/code", "code", 0o644),
            (".pyenv/versions/3.9/bin/python3", "#!/bin/sh\necho python", 0o755),
            (".local/bin/.netrc", "token", 0o600),
            (".ssh/id", "key", 0o600),
            ("document", "private", 0o644),
        ] {
            let path = home.join(file);
            fs::create_dir_all(path.parent().unwrap_or(&home))?;
            fs::write(&path, content)?;
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        fs::create_dir_all(work.join("venv/bin"))?;
        symlink(home.join(".pyenv/versions/3.9/bin/python3"), work.join("venv/bin/python3"))?;
        let script = work.join("script");
        fs::write(&script, format!("#!{}\n", home.join(".pyenv/versions/3.9/bin/python3").display()))?;
        fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
        Ok(Self { home, work })
    }

    fn run(&self, words: &[&str]) -> std::io::Result<ProgramResult> {
        let mut command = litebox_test_support::litebox();
        let path = format!("{}/.cargo/bin:/usr/bin:/bin", self.home.display());
        command.args(words).current_dir(&self.work).env("HOME", &self.home).env("PATH", path);
        program_result::run(command, b"", LIMIT)
    }

    /// Fails unless the outcome is this; HOME and WORK stand for the two places.
    fn expect(&self, words: &[&str], status: i32, stdout: &str, stderr: &str) -> Result {
        let outcome = self.run(words)?;
        let whole = |text: &str| {
            text.replace("HOME", &self.home.display().to_string()).replace("WORK", &self.work.display().to_string())
        };
        let (stdout, stderr) = (whole(stdout), whole(stderr));
        if outcome.status == status && outcome.out() == stdout && outcome.err() == stderr {
            return Ok(());
        }
        Err(format!("{words:?}\nexpected {status}, {stdout:?}, {stderr:?}\n{outcome}").into())
    }
}

/// A program that the sandbox does not see is named, with the option that helps.
fn what_helps_is_said() -> Result {
    let scene = Scene::make("hints")?;
    scene.expect(
        &["run", "--", "venv/bin/python3"],
        127,
        "",
        "litebox: cannot run venv/bin/python3: no such program\n\
         litebox: venv/bin/python3 is a link to HOME/.pyenv/versions/3.9/bin/python3, which the sandbox does not see (add -v HOME/.pyenv/versions/3.9:ro)\n",
    )?;
    let volume = format!("{}/.pyenv/versions/3.9:ro", scene.home.display());
    let given = volume.trim_end_matches(":ro");
    let volume = format!("{given}:{given}:ro");
    scene.expect(&["run", "-v", &volume, "--", "venv/bin/python3"], 0, "python\n", "")?;
    scene.expect(
        &["run", "--", "./script"],
        127,
        "",
        "litebox: cannot run ./script: no such program\n\
         litebox: ./script is run by HOME/.pyenv/versions/3.9/bin/python3, which the sandbox does not see (add -v HOME/.pyenv/versions/3.9:ro)\n",
    )?;
    scene.expect(
        &["run", "--", "mytool"],
        127,
        "",
        "litebox: cannot run mytool: no such program\n\
         litebox: mytool is HOME/.cargo/bin/mytool on your PATH, which the sandbox does not see (add --tools, or -v HOME/.cargo:ro)\n",
    )?;
    // A program that is there says itself what it lacks.
    scene.expect(&["run", "--", "/bin/sh", "-c", "exit 127"], 127, "", "")
}

/// Toolchains are found where they lie; what they hold of secrets, and the rest of the home, is not there.
fn tools() -> Result {
    let scene = Scene::make("tools")?;
    scene.expect(&["run", "--tools", "--", "mytool"], 0, "tool HOME/.cargo\n", "")?;
    scene.expect(&["run", "--tools", "--", "venv/bin/python3"], 0, "python\n", "")?;
    scene.expect(&["run", "--tools", "-e", "CARGO_HOME=/x", "--", "mytool"], 0, "tool /x\n", "")?;
    let home = scene.home.display();
    let script = format!(
        "cd {home}; ls -A; ls -A .cargo .local/bin; cat .cargo/credentials.toml .local/bin/.netrc .ssh/id document 2>/dev/null
        cat .cargo/registry/credentials/code; echo; (echo x > .cargo/new) && cat .cargo/new"
    );
    let shown = ".cargo\n.local\n.pyenv\n.cargo:\nbin\nregistry\n\n.local/bin:\ncode\nx\n";
    scene.expect(&["run", "--tools", "--", "/bin/sh", "-c", &script], 0, shown, "")?;
    if scene.home.join(".cargo/new").exists() {
        return Err("the toolchain was changed".into());
    }
    Ok(())
}

fn profiles() -> Result {
    let scene = Scene::make("profiles")?;
    let write = |name: &str, text: &str| fs::write(scene.work.join(name), text);
    write(
        "p.toml",
        "volume = ['./script:/s:ro']\nhostname = 'box'\ncommand = ['/bin/sh', '-c', 'uname -n; ls /s']\n[env]\nA = 'b'\n",
    )?;
    scene.expect(&["run", "--profile", "p.toml"], 0, "box\n/s\n", "")?;
    scene.expect(
        &["run", "--profile=p.toml", "--hostname", "x", "-e", "B=$A", "--", "/bin/sh", "-c", "uname -n; echo $A$B"],
        0,
        "x\nb$A\n",
        "",
    )?;
    for (text, why) in [
        ("memry = '64M'", "memry is no option of litebox run (do you mean memory?)"),
        ("a = \n", "line 1: "),
        ("privileged = true", "privileged is no option of litebox run"),
        ("memory = true", "memory is a text or a number, or a list of them"),
    ] {
        write("bad.toml", text)?;
        let outcome = scene.run(&["run", "--profile", "bad.toml", "--", "/bin/true"])?;
        if outcome.status != 125 || !outcome.err().starts_with(&format!("litebox: --profile bad.toml: {why}")) {
            return Err(format!("{text}\n{outcome}").into());
        }
    }
    scene.expect(
        &["run", "--profile", "gone.toml", "--", "/bin/true"],
        125,
        "",
        "litebox: --profile gone.toml: No such file or directory (os error 2)\n",
    )
}

/// The profile of the current directory takes away and sets; what it would give has to be asked for.
fn the_profile_of_the_current_directory() -> Result {
    let scene = Scene::make("usual_profile")?;
    let file = scene.work.join("litebox.toml");
    fs::write(&file, "hide = ['script']\nhostname = 'box'\n")?;
    scene.expect(&["run", "--", "/bin/sh", "-c", "uname -n; ls"], 0, "box\nlitebox.toml\nvenv\n", "")?;
    scene.expect(&["run", "--profile", "none", "--", "/bin/uname", "-n"], 0, "litebox\n", "")?;
    fs::write(&file, "volume = ['~/document:/d:ro']\n")?;
    scene.expect(
        &["run", "--", "/bin/cat", "/d"],
        125,
        "",
        "litebox: litebox.toml: volume gives something of the host: name the profile by --profile litebox.toml if you mean it\n",
    )?;
    scene.expect(&["run", "--profile", "litebox.toml", "--", "/bin/cat", "/d"], 0, "private", "")
}

fn is_page(outcome: &ProgramResult, words: &[&str]) -> Result {
    let text = outcome.out();
    if outcome.status == 0 && outcome.stderr.is_empty() && words.iter().all(|word| text.contains(word)) {
        return Ok(());
    }
    Err(format!("{words:?}\n{outcome}").into())
}

fn completions_and_manual() -> Result {
    let scene = Scene::make("pages")?;
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef litebox"), ("fish", "complete -c litebox")] {
        is_page(&scene.run(&["completions", shell])?, &[word, "read-only"])?;
    }
    is_page(&scene.run(&["man"])?, &[".TH litebox 1", "litebox\\-run(1)"])?;
    is_page(&scene.run(&["man", "run"])?, &[".TH litebox-run 1", "\\-\\-read\\-only"])?;
    let wrong = scene.run(&["man", "jump"])?;
    if wrong.status != 125 || wrong.err() != "litebox: man jump: no such subcommand\n" {
        return Err(format!("{wrong}").into());
    }
    // The shell itself takes what is made for it.
    let bash = scene.run(&["completions", "bash"])?;
    fs::write(scene.work.join("completions"), bash.stdout)?;
    let loaded = std::process::Command::new("/bin/bash")
        .args(["-c", ". ./completions && complete -p litebox"])
        .current_dir(&scene.work)
        .output()?;
    if !loaded.status.success() {
        return Err(format!("bash: {}", String::from_utf8_lossy(&loaded.stderr)).into());
    }
    Ok(())
}

/// The doctor names what is there and what is not, and says whether a sandbox runs.
fn doctor() -> Result {
    let scene = Scene::make("doctor")?;
    is_page(
        &scene.run(&["doctor"])?,
        &[
            "FSGSBASE",
            "Syscall User Dispatch",
            "seccomp notification",
            "user namespaces",
            "Landlock",
            "cgroups",
            "/proc",
            "open files",
            "ok       a sandbox runs",
        ],
    )?;
    is_page(&scene.run(&["doctor", "--json"])?, &["\"name\": \"a sandbox runs\"", "\"state\": \"ok\""])?;
    // What surroundings take away is told.
    let helper = litebox_test_support::compile::guest(
        "host_environment.c",
        litebox_test_support::compile::Variant::Static,
        &[],
    )?;
    for (mode, line) in [
        ("container", "without  user namespaces"),
        ("nofile", "without  open files (ulimit -n)     1024: fewer"),
        ("old", "without  Landlock"),
    ] {
        let mut command = std::process::Command::new(&helper);
        command.args([mode, env!("CARGO_BIN_EXE_litebox"), "doctor"]).current_dir("/");
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let outcome = program_result::run(command, b"", LIMIT)?;
        if outcome.status == 90 {
            continue;
        }
        if !outcome.out().contains(line) || outcome.err().contains("panicked") || !Path::new("/").exists() {
            return Err(format!("{mode}: {line}\n{outcome}").into());
        }
    }
    Ok(())
}

const TESTS: &[NamedTest] = &[
    ("what_helps_is_said", what_helps_is_said),
    ("tools", tools),
    ("profiles", profiles),
    ("the_profile_of_the_current_directory", the_profile_of_the_current_directory),
    ("completions_and_manual", completions_and_manual),
    ("doctor", doctor),
];

fn main() {
    litebox_test_support::run_table(TESTS);
}
