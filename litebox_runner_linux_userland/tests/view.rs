//! What of the host the program sees: what others may read, what is hidden, what is given by name, and how it starts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use litebox_test_support::{NamedTest, ProgramResult, Result, fresh_dir, is_root, program_result, skip};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs `litebox run WORDS` in a directory, with more of an environment.
fn run_with(dir: &Path, environment: &[(&str, &str)], words: &[&str]) -> std::io::Result<ProgramResult> {
    let mut command = litebox_test_support::litebox();
    command.arg("run").args(words).current_dir(dir).envs(environment.iter().copied());
    program_result::run(command, b"", LIMIT)
}

fn run_in(dir: &Path, words: &[&str]) -> std::io::Result<ProgramResult> {
    run_with(dir, &[], words)
}

/// Fails unless the outcome has this status and prints exactly this.
fn expect(outcome: &ProgramResult, status: i32, stdout: &str) -> Result {
    if outcome.status == status && outcome.out() == stdout {
        return Ok(());
    }
    Err(format!("expected status {status} and stdout {stdout:?}\n{outcome}").into())
}

/// Fails unless a shell script in the sandbox prints exactly this.
fn prints(dir: &Path, options: &[&str], script: &str, stdout: &str) -> Result {
    let outcome = run_in(dir, &[options, &["--", "/bin/sh", "-c", script]].concat())?;
    expect(&outcome, 0, stdout)
}

/// A directory of the system, removed at the end.
struct SystemDir(PathBuf);

impl SystemDir {
    fn make(above: &str, name: &str) -> std::io::Result<Self> {
        let path = Path::new(above).join(format!("litebox-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
    fn file(&self, name: &str, mode: u32) -> std::io::Result<()> {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.0))?;
        fs::write(&path, "content\n")?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
}

impl Drop for SystemDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What root's sandbox may read of the default view is what anybody may.
fn the_default_view_is_what_others_may_read() -> Result {
    if !is_root() {
        return skip("only root can read what others may not");
    }
    let dir = fresh_dir("others")?;
    let denied = |path: &str| -> Result {
        let outcome = run_in(&dir, &["--", "/bin/cat", path])?;
        if outcome.status == 1 && outcome.stdout.is_empty() && outcome.err().contains("Permission denied") {
            return Ok(());
        }
        Err(format!("{path} must not be readable\n{outcome}").into())
    };
    denied("/etc/shadow")?;
    for above in ["/opt", "/etc", "/var/lib"] {
        let system = SystemDir::make(above, "others")?;
        for (name, mode) in [("open", 0o644), ("secret", 0o600), ("group", 0o640), ("closed/open", 0o644)] {
            system.file(name, mode)?;
        }
        fs::set_permissions(system.0.join("closed"), fs::Permissions::from_mode(0o750))?;
        let path = |name: &str| system.0.join(name).display().to_string();
        expect(&run_in(&dir, &["--", "/bin/cat", &path("open")])?, 0, "content\n")?;
        for name in ["secret", "group", "closed/open"] {
            denied(&path(name))?;
        }
        let listed = run_in(&dir, &["--", "/bin/ls", &path("closed")])?;
        if !listed.stdout.is_empty() || listed.status == 0 {
            return Err(format!("a closed directory was listed\n{listed}").into());
        }
        // By name there is more.
        let volume = format!("{}:/v:ro", system.0.display());
        expect(
            &run_in(&dir, &["-v", &volume, "--", "/bin/cat", "/v/secret", "/v/closed/open"])?,
            0,
            "content\ncontent\n",
        )?;
    }
    let shadow = run_in(&dir, &["-v", "/etc:ro", "--", "/bin/cat", "/etc/shadow"])?;
    if shadow.stdout != fs::read("/etc/shadow")? {
        return Err(format!("-v /etc:ro\n{shadow}").into());
    }
    Ok(())
}

/// A home is known by the passwd database whatever $HOME says; nobody gives it away by standing in it.
fn homes_are_not_given_unasked() -> Result {
    let user = std::process::Command::new("sh").args(["-c", "getent passwd $(id -u) | cut -d: -f6"]).output()?;
    let home = String::from_utf8_lossy(&user.stdout).trim().to_string();
    let mut places = vec!["/".to_string(), "/home".into(), "/var".into()];
    if Path::new(&home).is_dir() {
        places.push(home);
    }
    for place in &places {
        let outcome = run_with(Path::new(place), &[("HOME", "/nonexistent")], &["--", "/bin/pwd"])?;
        expect(&outcome, 0, "/\n")?;
        let said = outcome.err();
        let clear = said.lines().count() == 1
            && said.contains(&format!("the current directory {place} is "))
            && said.contains("-v ");
        if !clear {
            return Err(format!("in {place}: one line says that it is not given, and how it is\n{outcome}").into());
        }
        // Who says where to start, or gives it, knows.
        let outcome = run_in(Path::new(place), &["-w", "/tmp", "--", "/bin/pwd"])?;
        if outcome.out() != "/tmp\n" || !outcome.stderr.is_empty() {
            return Err(format!("-w in {place}\n{outcome}").into());
        }
    }
    let home = fresh_dir("home")?;
    let outcome = run_with(&home, &[("HOME", &home.display().to_string())], &["-v", ".:ro", "--", "/bin/pwd"])?;
    expect(&outcome, 0, &format!("{}\n", home.display()))?;
    let outcome = run_with(&home, &[("HOME", &home.display().to_string())], &["--", "/bin/pwd"])?;
    expect(&outcome, 0, "/\n")
}

/// A tree with things to be hidden.
fn secrets(name: &str) -> std::io::Result<PathBuf> {
    let dir = fresh_dir(name)?;
    for file in [".env", "a/.env", "a/b/x.pem", "secrets/key", "secrets/deep/key", "kept"] {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&dir))?;
        fs::write(path, "secret\n")?;
    }
    Ok(dir)
}

const HIDE: [&str; 6] = ["--hide", ".env", "--hide", "*.pem", "--hide", "./secrets/*"];
const LOOK: &str = "find . | sort; cat .env a/.env a/b/x.pem secrets/key secrets/deep/key 2>/dev/null; true";
const SHOWN: &str = ".\n./a\n./a/b\n./kept\n./secrets\n";

/// What is hidden is absent, in the current directory and in volumes of all kinds.
fn hidden_is_absent() -> Result {
    let dir = secrets("hidden")?;
    prints(&dir, &HIDE, LOOK, SHOWN)?;
    for access in ["ro", "cow", "rw"] {
        let volume = format!(".:/w:{access}");
        prints(&dir, &[HIDE.as_slice(), &["-v", &volume, "-w", "/w"]].concat(), LOOK, SHOWN)?;
    }
    // The place in the sandbox names it as well.
    prints(
        &dir,
        &["--hide", "/w/secrets/*", "--hide", "/w/**/.env", "--hide", "/w/a/b", "-v", ".:/w:ro", "-w", "/w"],
        LOOK,
        ".\n./a\n./kept\n./secrets\n",
    )
}

/// A program that may change the tree gets at what is hidden neither by another name nor by one in its place.
fn hidden_stays_hidden_where_all_may_be_changed() -> Result {
    let dir = secrets("hidden_rw")?;
    let script = "mv secrets s2 2>/dev/null; mv .env e 2>/dev/null; ln .env e 2>/dev/null; cp -r secrets s3; mv a a2
        (echo mine > .env) 2>/dev/null; mkdir secrets/key secrets/deep 2>/dev/null; mv kept secrets/key 2>/dev/null
        ln -s kept .env 2>/dev/null; rm -rf secrets 2>/dev/null; rm -f .env; grep -rl secret . | sort";
    let options = [HIDE.as_slice(), &["-v", ".:/w:rw", "-w", "/w"]].concat();
    prints(&dir, &options, script, "./kept\n")?;
    for file in [".env", "a2/.env", "a2/b/x.pem", "secrets/key", "secrets/deep/key"] {
        if fs::read_to_string(dir.join(file)).ok().as_deref() != Some("secret\n") {
            return Err(format!("{file} is not what it was").into());
        }
    }
    Ok(())
}

/// Programs find what packages keep outside of /usr, and what they change there stays in the sandbox.
fn state_of_packages() -> Result {
    let dir = fresh_dir("state")?;
    for place in ["/run", "/var/lib", "/var/cache", "/var/spool"] {
        let there = format!("test -d {place} && echo yes");
        prints(&dir, &[], &there, "yes\n")?;
    }
    if Path::new("/var/lib/dpkg/status").exists() {
        prints(&dir, &[], "dpkg-query -W -f '${Status}\\n' dpkg", "install ok installed\n")?;
    }
    if is_root() {
        let name = format!("/var/lib/litebox-test-{}", std::process::id());
        prints(&dir, &[], &format!("echo x > {name} && cat {name}"), "x\n")?;
        if Path::new(&name).exists() {
            return Err("/var/lib of the host was changed".into());
        }
    }
    Ok(())
}

/// The sandbox knows itself by its own name, and its host by none.
fn its_own_name() -> Result {
    let dir = fresh_dir("name")?;
    prints(&dir, &[], "getent hosts litebox | cut -d' ' -f1; cat /etc/hostname", "127.0.0.1\nlitebox\n")?;
    prints(&dir, &["--hostname", "box"], "getent hosts box | cut -d' ' -f1; cat /etc/hostname", "127.0.0.1\nbox\n")?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let found = run_in(&dir, &["--", "/bin/grep", "-w", host.trim(), "/etc/hosts", "/etc/hostname"])?;
    if host.trim() != "localhost" && !found.stdout.is_empty() {
        return Err(format!("the host's name\n{found}").into());
    }
    prints(
        &dir,
        &["--add-host", "db:10.0.0.5", "--add-host", "six:::1"],
        "getent hosts db | cut -d' ' -f1; grep -c six /etc/hosts",
        "10.0.0.5\n1\n",
    )?;
    if Path::new("/etc/resolv.conf").exists() {
        let options = ["--dns", "192.0.2.1", "--dns-search", "example.org", "--dns-option", "ndots:2"];
        prints(&dir, &options, "cat /etc/resolv.conf", "nameserver 192.0.2.1\nsearch example.org\noptions ndots:2\n")?;
    }
    Ok(())
}

/// A link of /usr or /etc that leads somewhere on the host does so in the sandbox.
fn links_lead_somewhere() -> Result {
    let dir = fresh_dir("links")?;
    let look = ["/usr/bin/find", "/usr", "/etc", "-xtype", "l"];
    let mut command = Command::new(look[0]);
    command.args(&look[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let host = program_result::run(command, b"", LIMIT)?.out();
    let sandbox = run_in(&dir, &[&["--"], look.as_slice()].concat())?.out();
    let mut more: Vec<&str> = sandbox.lines().filter(|line| !host.lines().any(|l| l == *line)).collect();
    // Those that lead where others may not look are no business of the sandbox.
    more.retain(|link| fs::canonicalize(link).is_ok_and(|to| others_may_read(&to)));
    if !more.is_empty() {
        return Err(format!("links that lead nowhere: {more:#?}").into());
    }
    Ok(())
}

fn others_may_read(path: &Path) -> bool {
    let bits = |path: &Path, bits: u32| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bits == bits);
    path.ancestors().skip(1).all(|dir| bits(dir, 0o001)) && bits(path, 0o004)
}

/// Volumes as docker's users name them.
fn volumes_by_habit() -> Result {
    let dir = fresh_dir("volumes")?;
    let data = dir.join("data").display().to_string();
    fs::write(dir.join("file"), "content\n")?;
    prints(&dir, &["-v", "./file:/foo:ro"], "cat /foo", "content\n")?;
    prints(&dir, &["-v", "./new/deep:dst:create"], "pwd; touch dst/x", &format!("{}\n", dir.display()))?;
    if !dir.join("new/deep/x").exists() {
        return Err("-v ./new/deep:dst:create".into());
    }
    prints(
        &dir,
        &["--mount", "type=bind,source=./file,target=/m/f,readonly"],
        "cat /m/f; echo 2>/dev/null > /m/f || echo ro",
        "content\nro\n",
    )?;
    prints(
        &dir,
        &["--mount", "type=tmpfs,dst=/t,tmpfs-size=64k,tmpfs-mode=700"],
        "stat -fc %b /t; stat -c %a /t",
        "16\n700\n",
    )?;
    prints(
        &dir,
        &["--tmpfs", "/t:ro,noexec,mode=755"],
        "echo 2>/dev/null > /t/x || grep -c 'noexec' /proc/mounts",
        "1\n",
    )?;
    prints(&dir, &["--shm-size", "1m"], "stat -fc %b /dev/shm", "256\n")?;
    for words in [["-v", "box:/v"], ["--mount", "type=volume,src=box,dst=/v"]] {
        let script = "cat /v/kept 2>/dev/null; echo kept > /v/kept";
        let words = [words.as_slice(), &["--", "/bin/sh", "-c", script]].concat();
        let expected = if words[0] == "-v" { "" } else { "kept\n" };
        expect(&run_with(&dir, &[("XDG_DATA_HOME", &data)], &words)?, 0, expected)?;
    }
    Ok(())
}

/// What `--read-only` leaves to be changed.
fn read_only() -> Result {
    let dir = fresh_dir("read_only")?;
    fs::create_dir(dir.join("out"))?;
    let script = "for at in . / /home/user /var/lib /var/log /mnt /run /tmp /var/tmp /dev/shm /s /o; do
        (echo x > $at/x) 2>/dev/null && echo $at; done";
    prints(
        &dir,
        &["--read-only", "--tmpfs", "/s", "-v", "./out:/o:rw"],
        script,
        "/run\n/tmp\n/var/tmp\n/dev/shm\n/s\n/o\n",
    )
}

/// Names of users and groups are those of the sandbox.
fn users_by_name() -> Result {
    let dir = fresh_dir("users")?;
    fs::write(dir.join("passwd"), "root:x:0:0::/root:/bin/sh\njoe:x:1234:1235::/srv:/bin/sh\n")?;
    fs::write(dir.join("group"), "joe:x:1235:\ncrew:x:77:ann,joe\nother:x:78:\n")?;
    let files = ["-v", "./passwd:/etc/passwd:ro", "-v", "./group:/etc/group:ro"];
    let who = "id -u; id -g; id -G; echo $HOME";
    for (options, expected) in [
        (vec!["-u", "joe"], "1234\n1235\n1235 77\n/srv\n"),
        (vec!["-u", "joe:other"], "1234\n78\n78\n/srv\n"),
        (vec!["-u", "1234"], "1234\n1235\n1235 77\n/home/user\n"),
        (vec!["-u", "5:joe", "--group-add", "crew", "--group-add", "9"], "5\n1235\n1235 9 77\n/home/user\n"),
        (vec!["-u", "joe", "-e", "HOME=/x"], "1234\n1235\n1235 77\n/x\n"),
        (vec!["-u", "6"], "6\n6\n6\n/home/user\n"),
    ] {
        prints(&dir, &[files.as_slice(), &options].concat(), who, expected)?;
    }
    Ok(())
}

fn capabilities() -> Result {
    let dir = fresh_dir("capabilities")?;
    let script = "grep -E 'CapEff|CapBnd' /proc/self/status | cut -f2; chown 5 /tmp 2>/dev/null || echo refused";
    let none = "0000000000000000\n";
    prints(&dir, &["-u", "0", "--cap-drop", "ALL"], script, &format!("{none}{none}refused\n"))?;
    let chown = "0000000000000001\n";
    let script = "grep -E 'CapEff|CapBnd' /proc/self/status | cut -f2";
    prints(&dir, &["-u", "0:0", "--cap-drop=all", "--cap-add", "CAP_CHOWN"], script, &format!("{chown}{chown}"))
}

/// `--security-opt`: a profile of calls in Docker's form, and what the program is told.
fn security_options() -> Result {
    let dir = fresh_dir("security_options")?;
    let profile = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "archMap": [
        { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] }], "syscalls": [
        { "names": ["umask"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_CHOWN"] } },
        { "names": ["chdir", "umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "excludes": { "caps": ["CAP_CHOWN"] } }] }"#;
    fs::write(dir.join("profile.json"), profile)?;
    let options = |drop: &'static str| ["-u", "0", "--cap-drop", drop, "--security-opt", "seccomp=profile.json"];
    let script = "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | cut -f2; cd /usr 2>/dev/null || echo refused";
    prints(&dir, &options("KILL"), script, "0\n2\n")?;
    prints(
        &dir,
        &[&options("CHOWN")[..], &["--security-opt", "no-new-privileges"]].concat(),
        script,
        "1\n2\nrefused\n",
    )?;
    prints(
        &dir,
        &["--security-opt", "seccomp=unconfined", "--security-opt=no-new-privileges:false"],
        script,
        "0\n0\n",
    )?;
    let outcome = run_in(&dir, &["--security-opt", "seccomp=none.json", "--", "/bin/true"])?;
    if outcome.status == 125 && outcome.err().contains("--security-opt seccomp=none.json: none.json: No such file") {
        return Ok(());
    }
    Err(format!("a profile that is not there\n{outcome}").into())
}

/// Variables from a file, as docker reads it.
fn environment_file() -> Result {
    let dir = fresh_dir("environment_file")?;
    fs::write(dir.join("env"), "# a comment\n\nA=1\n  B=two words \"quoted\"\nPASSED\nMISSING\nC=\nA=2\r\n")?;
    let words = ["--env-file", "env", "-e", "C=c", "--", "/bin/sh", "-c", "echo \"$A|$B|$PASSED|${MISSING-none}|$C\""];
    let outcome = run_with(&dir, &[("PASSED", "on")], &words)?;
    expect(&outcome, 0, "2|two words \"quoted\"|on|none|c\n")
}

fn entrypoint() -> Result {
    let dir = fresh_dir("entrypoint")?;
    expect(&run_in(&dir, &["--entrypoint", "/bin/echo", "--", "-n", "x"])?, 0, "x")?;
    expect(&run_in(&dir, &["--entrypoint", "/bin/pwd"])?, 0, &format!("{}\n", dir.display()))?;
    expect(&run_in(&dir, &["--entrypoint", "", "/bin/echo", "x"])?, 0, "x\n")
}

fn cidfile() -> Result {
    let dir = fresh_dir("cidfile")?;
    expect(&run_in(&dir, &["--cidfile", "id", "--name", "web", "-l", "a=b", "--", "/bin/true"])?, 0, "")?;
    let id = fs::read_to_string(dir.join("id"))?;
    if id.len() != 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("{id:?} is no id").into());
    }
    expect(&run_in(&dir, &["--cidfile", "id", "--", "/bin/true"])?, 125, "")
}

/// With `--init` orphans are gone when they end; without it they wait for the first program, as on Linux.
fn init() -> Result {
    let dir = fresh_dir("init")?;
    // The grandchild is an orphan, and says when it is about to end.
    let script = "import os, time
r, w = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.read(r, 1); os._exit(0)
    os._exit(0)
os.wait()
os.write(w, b'x')
def others(): return [p for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()]
def state(p):
    try: return open('/proc/%s/stat' % p).read().rsplit(') ', 1)[1][0]
    except OSError: return ''
until = time.time() + 20
while any(state(p) not in ('Z', '') for p in others()) and time.time() < until: time.sleep(0.01)
print(len(others()))";
    for (option, expected) in [(&["--init"][..], "0\n"), (&[], "1\n")] {
        let outcome = run_in(&dir, &[option, &["--", "/usr/bin/python3", "-c", script]].concat())?;
        expect(&outcome, 0, expected)?;
    }
    Ok(())
}

fn stop_signal() -> Result {
    use std::io::Read;
    let dir = fresh_dir("stop_signal")?;
    let mut command = litebox_test_support::litebox();
    let script = "trap 'echo int; exit 3' INT; echo ready; while :; do sleep 0.05; done";
    command.args(["run", "--stop-signal", "SIGINT", "--", "/bin/sh", "-c", script]).current_dir(&dir);
    let mut child = command.spawn()?;
    let mut output = child.stdout.take().ok_or("no stdout")?;
    output.read_exact(&mut [0; 6])?;
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    let (status, late) = program_result::wait(&mut child, LIMIT)?;
    let mut rest = String::new();
    output.read_to_string(&mut rest)?;
    if late.is_some() || program_result::status_code(status) != 3 || rest != "int\n" {
        return Err(format!("{status} {rest:?}").into());
    }
    Ok(())
}

fn places_from_the_current_directory() -> Result {
    let dir = fresh_dir("places")?;
    fs::create_dir_all(dir.join("sub/deep"))?;
    let shown = dir.display();
    prints(&dir, &["-w", "sub"], "pwd", &format!("{shown}/sub\n"))?;
    prints(&dir, &["-v", ".:.:rw", "-w", "./sub/deep"], "pwd; touch made", &format!("{shown}/sub/deep\n"))?;
    if !dir.join("sub/deep/made").exists() {
        return Err("-v .:.:rw".into());
    }
    prints(&dir, &["-v", "sub:/x:ro", "-w", "/x"], "ls", "deep\n")
}

macro_rules! table {
    ($($name:ident)*) => { &[$((stringify!($name), $name)),*] };
}

const TESTS: &[NamedTest] = table! {
    the_default_view_is_what_others_may_read homes_are_not_given_unasked hidden_is_absent hidden_stays_hidden_where_all_may_be_changed
    state_of_packages its_own_name links_lead_somewhere volumes_by_habit read_only users_by_name capabilities security_options
    environment_file
    entrypoint cidfile init stop_signal places_from_the_current_directory
};

fn main() {
    litebox_test_support::run_table(TESTS);
}
