//! `litebox oci`: the life of containers by the command line of an OCI runtime, without an engine. Bundles are made
//! here, with busybox in their roots.

#[path = "oci/pods.rs"]
mod pods;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use litebox_test_support::program_result::{ProgramResult, run};
use litebox_test_support::{NamedTest, Result, find_program, fresh_dir, skip};

const LIMIT: Duration = Duration::from_secs(60);

/// A bundle, and where its containers are.
struct Bundle {
    dir: PathBuf,
    containers: PathBuf,
}

/// What a root needs.
const APPLETS: [&str; 6] = ["sh", "cat", "sleep", "echo", "ps", "id"];

impl Bundle {
    /// `None`: this machine has no busybox.
    fn new(name: &str) -> std::io::Result<Option<Self>> {
        let Some(busybox) = find_program(&["/bin/busybox", "/usr/bin/busybox"]) else { return Ok(None) };
        let dir = fresh_dir(name)?;
        let root = dir.join("rootfs");
        for made in ["bin", "etc", "proc", "sys", "dev", "tmp", "data"] {
            fs::create_dir_all(root.join(made))?;
        }
        fs::copy(busybox, root.join("bin/busybox"))?;
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet))?;
        }
        Ok(Some(Self { containers: dir.join("containers"), dir }))
    }

    /// Writes its config.json: a shell that runs `script`, and `more` members.
    fn script(&self, script: &str, terminal: bool, more: &str) -> std::io::Result<()> {
        let (user, group) = (rustix_id("-u")?, rustix_id("-g")?);
        let script = script.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let text = format!(
            r#"{{ "ociVersion": "1.0.2", "root": {{ "path": "rootfs" }}, "hostname": "boxed",
                "process": {{ "terminal": {terminal}, "cwd": "/data", "user": {{ "uid": {user}, "gid": {group} }},
                    "env": ["PATH=/bin", "COLOUR=red"], "args": ["/bin/sh", "-c", "{script}"],
                    "rlimits": [{{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 88 }}] }},
                "annotations": {{ "who": "tests" }},
                "mounts": [{{ "destination": "/proc", "type": "proc", "source": "proc" }},
                    {{ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=65536k"] }}]
                {more} }}"#
        );
        fs::write(self.dir.join("config.json"), text)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = litebox_test_support::litebox();
        command.args(["oci", "--root"]).arg(&self.containers);
        command.arg("--log").arg(self.dir.join("log")).args(["--log-format", "json"]).args(arguments);
        command.current_dir(&self.dir);
        command
    }
    fn oci(&self, arguments: &[&str]) -> std::io::Result<ProgramResult> {
        run(self.command(arguments), b"", LIMIT)
    }
    /// The command has to succeed: what it printed.
    fn does(&self, arguments: &[&str]) -> std::result::Result<String, Box<dyn std::error::Error>> {
        let outcome = self.oci(arguments)?;
        if outcome.status == 0 { Ok(outcome.out()) } else { Err(format!("{arguments:?}\n{outcome}").into()) }
    }
    /// The command has to fail, and to say this.
    fn refuses(&self, arguments: &[&str], why: &str) -> Result {
        let outcome = self.oci(arguments)?;
        if outcome.status != 0 && outcome.err().contains(why) {
            return Ok(());
        }
        Err(format!("{arguments:?} does not say {why:?}\n{outcome}").into())
    }
    /// What `state` says, in one line.
    fn has_state(&self, id: &str, what: &str) -> Result {
        let text = self.does(&["state", id])?;
        if text.contains(what) { Ok(()) } else { Err(format!("{what} is not in {text}").into()) }
    }
    /// Creates a container, whose output comes by a pipe.
    fn create(&self, id: &str) -> std::result::Result<Child, Box<dyn std::error::Error>> {
        let mut command = self.command(&["create", "--bundle", ".", "--pid-file", "pid", id]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if child.wait()?.success() {
            return Ok(child);
        }
        let mut text = String::new();
        child.stderr.take().ok_or("no stderr")?.read_to_string(&mut text)?;
        Err(format!("create: {text}").into())
    }
    fn waits_for(&self, id: &str, what: &str) -> Result {
        let since = Instant::now();
        loop {
            match self.has_state(id, what) {
                Err(why) if since.elapsed() > LIMIT => return Err(why),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
                Ok(()) => return Ok(()),
            }
        }
    }
}

fn rustix_id(which: &str) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&Command::new("id").arg(which).output()?.stdout).trim().to_string())
}

fn lines(child: &mut Child) -> std::result::Result<BufReader<std::process::ChildStdout>, Box<dyn std::error::Error>> {
    Ok(BufReader::new(child.stdout.take().ok_or("no stdout")?))
}

/// From create to delete: states, what the program sees, what it writes to its root, exec, pause, kill.
fn lifecycle() -> Result {
    let Some(bundle) = Bundle::new("oci-lifecycle")? else { return skip("no busybox") };
    bundle.script(
        "echo $COLOUR $(ulimit -n) $PWD $(cat /proc/sys/kernel/hostname); echo kept > /data/file; echo up; cat",
        false,
        "",
    )?;
    // What stays open is the container's input.
    let mut command = bundle.command(&["create", "--bundle", ".", "--pid-file", "pid", "one"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().ok_or("no stdin")?;
    if !child.wait()?.success() {
        return Err(format!("create: {}", fs::read_to_string(bundle.dir.join("log"))?).into());
    }
    let mut output = lines(&mut child)?;
    let pid = fs::read_to_string(bundle.dir.join("pid"))?;
    bundle.has_state("one", "\"status\": \"created\"")?;
    bundle.has_state("one", &format!("\"pid\": {pid}"))?;
    bundle.has_state("one", "\"who\": \"tests\"")?;
    bundle.refuses(&["create", "one"], "already exists")?;
    bundle.refuses(&["exec", "one", "true"], "does not run")?;
    bundle.does(&["start", "one"])?;
    bundle.refuses(&["start", "one"], "it is running")?;
    let mut said = String::new();
    while !said.ends_with("up\n") {
        if output.read_line(&mut said)? == 0 {
            return Err(format!("it ended: {said}").into());
        }
    }
    if said != "red 77 /data boxed\nup\n" {
        return Err(format!("the program says {said:?}").into());
    }
    if fs::read_to_string(bundle.dir.join("rootfs/data/file"))? != "kept\n" {
        return Err("what it writes to its root is not there".into());
    }
    beside(&bundle)?;
    bundle.does(&["pause", "one"])?;
    bundle.has_state("one", "\"status\": \"paused\"")?;
    bundle.refuses(&["pause", "one"], "it is paused")?;
    bundle.does(&["resume", "one"])?;
    bundle.refuses(&["delete", "one"], "it is running")?;
    input.write_all(b"typed\n")?;
    said.clear();
    output.read_line(&mut said)?;
    bundle.does(&["kill", "one", "KILL"])?;
    bundle.waits_for("one", "\"status\": \"stopped\"")?;
    bundle.does(&["delete", "one"])?;
    bundle.refuses(&["state", "one"], "container one does not exist")?;
    bundle.does(&["delete", "--force", "one"])?;
    let left: Vec<_> = fs::read_dir(bundle.dir.join("containers"))?.collect();
    if said != "typed\n" || !left.is_empty() {
        return Err(format!("{said:?}, {left:?}").into());
    }
    let log = fs::read_to_string(bundle.dir.join("log"))?;
    if log.lines().all(|line| !line.contains("\"msg\":\"container one does not exist\"")) {
        return Err(format!("--log has {log}").into());
    }
    Ok(())
}

/// What is done beside the container's first program.
fn beside(bundle: &Bundle) -> Result {
    let said =
        bundle.does(&["exec", "-e", "A=b", "--cwd", "/etc", "one", "/bin/sh", "-c", "echo $A $PWD; cat /data/file"])?;
    if said != "b /etc\nkept\n" {
        return Err(format!("exec says {said:?}").into());
    }
    let outcome = bundle.oci(&["exec", "one", "/bin/sh", "-c", "exit 7"])?;
    if outcome.status != 7 {
        return Err(format!("exec\n{outcome}").into());
    }
    let file = r#"{ "args": ["/bin/sh", "-c", "echo $C"], "cwd": "/", "env": ["PATH=/bin", "C=d"], "user": { "uid": 0, "gid": 0, "additionalGids": [1234, 5678] } }"#;
    let file = file.replace("echo $C", "echo $C $(id -G)");
    fs::write(bundle.dir.join("process.json"), file)?;
    if bundle.does(&["exec", "--process", "process.json", "one"])? != "d 0 1234 5678\n" {
        return Err("exec --process".into());
    }
    let (table, names) = (bundle.does(&["list"])?, bundle.does(&["list", "-q"])?);
    if !table.contains("running") || names != "one\n" || !bundle.does(&["ps", "one"])?.contains("cat") {
        return Err(format!("list, ps\n{table}{names}").into());
    }
    Ok(())
}

/// The engine is sent the terminal; what is typed there reaches the program.
fn console() -> Result {
    let Some(bundle) = Bundle::new("oci-console")? else { return skip("no busybox") };
    bundle.script("read a; echo got:$a; exit 5", true, "")?;
    // The name of a socket has 107 bytes.
    let place = std::env::temp_dir().join(format!("litebox-oci-{}", std::process::id()));
    let listener = UnixListener::bind(&place)?;
    let created = bundle.oci(&["create", "--console-socket", place.to_str().ok_or("a path")?, "tty"]);
    let connection = listener.accept();
    fs::remove_file(&place)?;
    let (created, (connection, _)) = (created?, connection?);
    if created.status != 0 {
        return Err(format!("create\n{created}").into());
    }
    let mut master = received(&connection)?;
    bundle.does(&["start", "tty"])?;
    master.write_all(b"word\n")?;
    let mut said = String::new();
    let mut piece = [0; 256];
    while !said.contains("got:word") {
        let n = master.read(&mut piece)?;
        said.push_str(&String::from_utf8_lossy(piece.get(..n).unwrap_or_default()));
    }
    bundle.waits_for("tty", "stopped")?;
    bundle.does(&["delete", "tty"])?;
    Ok(())
}

/// The descriptor that comes by a socket.
fn received(socket: &std::os::unix::net::UnixStream) -> std::result::Result<fs::File, Box<dyn std::error::Error>> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 64];
    recvmsg(socket, &mut [std::io::IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            return Ok(descriptors.next().ok_or("no descriptor")?.into());
        }
    }
    Err("no terminal came".into())
}

/// Hooks run at their moments, and read the state; one that fails leaves no container.
fn hooks() -> Result {
    let Some(bundle) = Bundle::new("oci-hooks")? else { return skip("no busybox") };
    let log = bundle.dir.join("hooks");
    let hook = bundle.dir.join("hook");
    fs::write(
        &hook,
        format!("#!/bin/sh\necho \"$1 $W $(grep -o '\"status\":\"[a-z]*\"')\" >> {}\n[ $1 != bad ]\n", log.display()),
    )?;
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
    let one = |moment: &str, word: &str| {
        format!(
            r#""{moment}": [{{ "path": "{}", "args": ["hook", "{word}"], "env": ["W=w", "PATH=/usr/bin:/bin"] }}]"#,
            hook.display()
        )
    };
    let moments = ["createRuntime", "poststart", "poststop"].map(|moment| one(moment, moment)).join(", ");
    bundle.script("exit 3", false, &format!(r#", "hooks": {{ {moments} }}"#))?;
    let outcome = bundle.oci(&["run", "hooked"])?;
    let said = fs::read_to_string(&log)?;
    let wanted = "createRuntime w \"status\":\"created\"\npoststart w \"status\":\"";
    if outcome.status != 3 || !said.starts_with(wanted) || !said.ends_with("poststop w \"status\":\"stopped\"\n") {
        return Err(format!("{said}\n{outcome}").into());
    }
    bundle.script("exit 3", false, &format!(r#", "hooks": {{ {} }}"#, one("createRuntime", "bad")))?;
    bundle.refuses(&["create", "hooked"], "createRuntime hook")?;
    bundle.refuses(&["state", "hooked"], "does not exist")
}

/// What cannot be done is said before anything is made.
fn refusals() -> Result {
    let Some(bundle) = Bundle::new("oci-refusals")? else { return skip("no busybox") };
    bundle.refuses(&["create", "x"], "config.json")?;
    bundle.script("exit 0", true, "")?;
    bundle.refuses(&["create", "x"], "--console-socket")?;
    bundle.script("exit 0", false, "")?;
    bundle.refuses(&["create", "../x"], "container id")?;
    bundle.refuses(&["create", "--preserve-fds", "9", "x"], "--preserve-fds 9: descriptor 3 is not open")?;
    bundle.refuses(&["kill", "x"], "container x does not exist")?;
    // One that was never started.
    bundle.create("never")?;
    bundle.does(&["kill", "never", "KILL"])?;
    bundle.waits_for("never", "stopped")?;
    bundle.does(&["delete", "never"])?;
    // By its own name, and with what it starts itself.
    let named = bundle.dir.join("litebox-oci");
    fs::copy(litebox_test_support::program(), &named)?;
    let mut command = Command::new(&named);
    command.arg("--root").arg(bundle.dir.join("containers")).args(["run", "--bundle"]).arg(&bundle.dir).arg("named");
    let outcome = run(command, b"", LIMIT)?;
    if outcome.status != 0 {
        return Err(format!("litebox-oci\n{outcome}").into());
    }
    let text = bundle.does(&["features"])?;
    if !text.contains("createRuntime") || !bundle.does(&["--version"])?.contains("spec: 1.0.2") {
        return Err(format!("features: {text}").into());
    }
    Ok(())
}

/// Descriptors that the caller of `create` has open are those of the program, once it is started.
fn preserved_descriptors() -> Result {
    let Some(bundle) = Bundle::new("oci-preserved")? else { return skip("no busybox") };
    bundle.script("cat <&3; echo written >&4; ls /proc/self/fd", false, "")?;
    std::os::unix::fs::symlink("busybox", bundle.dir.join("rootfs/bin/ls"))?;
    fs::write(bundle.dir.join("given"), "given\n")?;
    let script = "exec 3<given 4>taken 5>other; exec \"$@\"";
    let create = bundle.command(&["run", "--preserve-fds", "2", "one"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).arg(create.get_program()).args(create.get_args()).current_dir(&bundle.dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = run(command, b"", LIMIT)?;
    let taken = fs::read_to_string(bundle.dir.join("taken"))?;
    // The last is the directory's that ls reads.
    if outcome.out() != "given\n0\n1\n2\n3\n4\n5\n" || taken != "written\n" {
        return Err(format!("{taken:?}\n{outcome}").into());
    }
    Ok(())
}

/// `process.scheduler` and `process.ioPriority` are what the program finds; errors are worded as runc's.
fn scheduling() -> Result {
    let Some(bundle) = Bundle::new("oci-scheduling")? else { return skip("no busybox") };
    std::os::unix::fs::symlink("busybox", bundle.dir.join("rootfs/bin/ionice"))?;
    bundle.script("ionice -p $$; set -- $(cat /proc/self/stat); eval echo \"\\${19} \\${41}\"", false, "")?;
    let file = bundle.dir.join("config.json");
    let config = fs::read_to_string(&file)?;
    let with = |member: &str| fs::write(&file, config.replacen("\"cwd\"", &format!("{member}, \"cwd\""), 1));
    with(
        r#""scheduler": { "policy": "SCHED_BATCH", "nice": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"] },
            "ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 4 }"#,
    )?;
    let outcome = bundle.oci(&["run", "batch"])?;
    // Those that it starts itself are scheduled as usual, but for the nice value.
    if outcome.out() != "best-effort: prio 4\n7 0\n" {
        return Err(format!("batch\n{outcome}").into());
    }
    with(r#""scheduler": { "policy": "SCHED_IDLE" }"#)?;
    let outcome = bundle.oci(&["run", "idle"])?;
    if outcome.out() != "none: prio 0\n0 5\n" {
        return Err(format!("idle\n{outcome}").into());
    }
    for (member, why) in [
        (
            r#""scheduler": { "policy": "SCHED_FIFO", "priority": 3 }"#,
            "error setting scheduler: operation not permitted",
        ),
        (r#""scheduler": { "policy": "SCHED_BATCH", "nice": 20 }"#, "invalid scheduler.nice: 20"),
        (r#""scheduler": { "policy": "SCHED_FAST" }"#, "invalid scheduler policy: SCHED_FAST"),
        (r#""scheduler": { "policy": "SCHED_OTHER", "period": 1 }"#, "can only be specified for SchedDeadline policy"),
        (
            r#""scheduler": { "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_X"] }"#,
            "invalid scheduler flag: SCHED_FLAG_X",
        ),
        (r#""ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 8 }"#, "invalid ioPriority.Priority: 8"),
        (r#""ioPriority": { "class": "BEST" }"#, "invalid ioPriority.Class: \"BEST\""),
    ] {
        with(member)?;
        bundle.refuses(&["create", "x"], why)?;
    }
    Ok(())
}

/// What engines hide is hidden in the root and in what is mounted, through links, too.
fn hidden_paths() -> Result {
    let Some(bundle) = Bundle::new("oci-hidden")? else { return skip("no busybox") };
    let (root, given) = (bundle.dir.join("rootfs"), bundle.dir.join("given"));
    for dir in [root.join("data/secrets"), root.join("data/fixed"), given.join("keys")] {
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("file"), "text\n")?;
    }
    std::os::unix::fs::symlink("/data/secrets", root.join("data/link"))?;
    bundle.script(
        "cat /data/secrets/file /mnt/keys/file; ls /mnt; cat /data/fixed/file; echo x > /data/fixed/file; echo x > /data/new; cat /data/new",
        false,
        r#", "linux": { "maskedPaths": ["/data/link", "/proc/kcore", "/nothing", "/mnt/keys/file"],
            "readonlyPaths": ["/data/fixed", "/proc/sys", "/sys/firmware"] }"#,
    )?;
    let config = fs::read_to_string(bundle.dir.join("config.json"))?;
    let mount = r#""mounts": [{ "destination": "/mnt", "type": "bind", "source": "given", "options": ["rbind"] }, "#;
    fs::write(bundle.dir.join("config.json"), config.replacen(r#""mounts": ["#, mount, 1))?;
    let outcome = bundle.oci(&["run", "hidden"])?;
    let errors = outcome.err();
    let told = errors.contains("can't open '/data/secrets/file'") && errors.contains("Read-only file system");
    if outcome.out() != "keys\ntext\nx\n" || !told || errors.contains("/mnt/keys") {
        return Err(format!("{outcome}").into());
    }
    let kept = fs::read_to_string(given.join("keys/file"))? + &fs::read_to_string(root.join("data/fixed/file"))?;
    if kept != "text\ntext\n" {
        return Err(format!("the host's files are {kept:?}").into());
    }
    Ok(())
}

/// `linux.seccomp`: of the first program and of those that come later.
fn filtered_calls() -> Result {
    let Some(bundle) = Bundle::new("oci-seccomp")? else { return skip("no busybox") };
    let rules = |action: &str| {
        format!(
            r#", "linux": {{ "seccomp": {{ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": [
                {{ "names": ["chdir", "no_such_call"], "action": "{action}", "errnoRet": 33 }},
                {{ "names": ["kill"], "action": "SCMP_ACT_ERRNO",
                    "args": [{{ "index": 1, "value": 0, "op": "SCMP_CMP_EQ" }}] }}] }} }}"#
        )
    };
    bundle.script("exit 0", false, &rules("SCMP_ACT_NOTIFY"))?;
    bundle.refuses(&["create", "asks"], "linux.seccomp: SCMP_ACT_NOTIFY")?;
    let says = |text: &str, what: &[&str]| match what.iter().find(|what| !text.contains(**what)) {
        None => Ok(()),
        Some(what) => Err(format!("{what:?} is not in {text}")),
    };
    bundle.script("cat /proc/self/status; cd /tmp; kill -0 $$; cat", false, &rules("SCMP_ACT_ERRNO"))?;
    let mut command = bundle.command(&["create", "filtered"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (input, mut output, mut errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    child.wait()?;
    bundle.does(&["start", "filtered"])?;
    let outcome = bundle.oci(&["exec", "filtered", "/bin/sh", "-c", "cat /proc/self/status; cd /tmp"])?;
    says(&outcome.out(), &["Seccomp:\t2\nSeccomp_filters:\t1\n"])?;
    says(&outcome.err(), &["can't cd to /tmp: Numerical argument out of domain"])?;
    drop(input);
    let (mut said, mut complained) = (String::new(), String::new());
    output.as_mut().ok_or("no stdout")?.read_to_string(&mut said)?;
    errors.as_mut().ok_or("no stderr")?.read_to_string(&mut complained)?;
    says(&said, &["NoNewPrivs:\t0\n", "Seccomp:\t2\n"])?;
    says(&complained, &["can't cd to /tmp: Numerical argument out of domain", "Operation not permitted"])?;
    bundle.waits_for("filtered", "stopped")?;
    bundle.does(&["delete", "filtered"])?;
    Ok(())
}

/// What options of mounts show in /proc/mounts, and what they forbid; how gladly the program would be killed.
fn mount_options() -> Result {
    let Some(bundle) = Bundle::new("oci-mounts")? else { return skip("no busybox") };
    let given = bundle.dir.join("given");
    fs::create_dir_all(&given)?;
    fs::copy(bundle.dir.join("rootfs/bin/busybox"), given.join("echo"))?;
    let script = "cat /proc/mounts /proc/self/oom_score_adj; /mnt/echo executed; echo x > /mnt/new; /own/echo is not";
    bundle.script(script, false, r#", "linux": { "rootfsPropagation": "private" }"#)?;
    let config = fs::read_to_string(bundle.dir.join("config.json"))?;
    let mounts = r#""mounts": [
        { "destination": "/mnt", "type": "bind", "source": "given", "options": ["rbind", "rprivate", "nosuid", "noexec", "nodev", "ro"] },
        { "destination": "/own", "type": "bind", "source": "given", "options": ["bind", "rw"] },
        { "destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec", "size=1m"] }, "#;
    let config = config.replacen(r#""mounts": ["#, mounts, 1);
    fs::write(bundle.dir.join("config.json"), config.replacen(r#""rlimits""#, r#""oomScoreAdj": 321, "rlimits""#, 1))?;
    let outcome = bundle.oci(&["run", "mounts"])?;
    let (said, errors) = (outcome.out(), outcome.err());
    let shown = [" /mnt ", " /own ", " /scratch "].map(|place| {
        let line = said.lines().find(|line| line.contains(place));
        line.and_then(|line| line.split(' ').nth(3)).unwrap_or("none").to_string()
    });
    let wanted = ["ro,nosuid,nodev,noexec,relatime", "rw,nosuid,nodev,relatime", "rw,nosuid,nodev,noexec,relatime"];
    let told = errors.contains("/mnt/echo: Permission denied") && errors.contains("Read-only file system");
    let ends = said.ends_with("321\nis not\n");
    if shown == wanted && told && ends { Ok(()) } else { Err(format!("{shown:?}\n{outcome}").into()) }
}

/// All sets of capabilities, and that none are gained.
fn capabilities() -> Result {
    let Some(bundle) = Bundle::new("oci-capabilities")? else { return skip("no busybox") };
    bundle.script("cat /proc/self/status", false, "")?;
    let config = fs::read_to_string(bundle.dir.join("config.json"))?;
    let more = r#""noNewPrivileges": true, "capabilities": {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_ADMIN"], "effective": ["CAP_KILL"],
        "permitted": ["CAP_KILL"], "inheritable": ["CAP_KILL", "CAP_SYS_ADMIN"], "ambient": ["CAP_KILL"] }, "rlimits""#;
    let text = config.replacen("\"rlimits\"", more, 1);
    // As the superuser all that is left is permitted, as somebody else what is ambient.
    for (user, sets) in [(0, ["20", "2021", "2021", "2021", "20"]), (1000, ["20", "20", "20", "2021", "20"])] {
        let own = format!("\"uid\": {}", rustix_id("-u")?);
        fs::write(bundle.dir.join("config.json"), text.replacen(&own, &format!("\"uid\": {user}"), 1))?;
        let outcome = bundle.oci(&["run", "limited"])?;
        let names = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
        let lines = names.iter().zip(sets).map(|(name, set)| format!("{name}:\t{set:0>16}\n"));
        let wanted = lines.collect::<Vec<_>>().concat();
        if !outcome.out().contains(&format!("{wanted}NoNewPrivs:\t1\n")) {
            return Err(format!("{user}: not\n{wanted}{outcome}").into());
        }
    }
    Ok(())
}

/// The container's process is where engines look for the container: with its root, and nothing of the host.
fn process_for_engines() -> Result {
    let Some(bundle) = Bundle::new("oci-process")? else { return skip("no busybox") };
    bundle.script("cat", false, "")?;
    let mut command = bundle.command(&["create", "--pid-file", "pid", "seen"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let input = child.stdin.take().ok_or("no stdin")?;
    if !child.wait()?.success() {
        return Err(format!("create: {}", fs::read_to_string(bundle.dir.join("log"))?).into());
    }
    let pid = fs::read_to_string(bundle.dir.join("pid"))?;
    let own = fs::read_link("/proc/self/ns/mnt")?;
    let place = PathBuf::from(format!("/proc/{pid}"));
    let apart = fs::read_link(place.join("ns/mnt"))? != own;
    let seen = place.join("root/bin/busybox").exists() && !place.join("root/usr").exists();
    let processes = fs::read_dir(place.join("root/proc"))?.count();
    bundle.does(&["start", "seen"])?;
    // Whatever is wanted of it can be done at once.
    if bundle.does(&["exec", "seen", "/bin/echo", "at once"])? != "at once\n" {
        return Err("exec at once".into());
    }
    let before = bundle.oci(&["events", "--stats", "seen"])?;
    // It passes on what it is sent, and ends as the program does.
    let told = Command::new("kill").args(["-s", "INT", &pid]).status()?;
    bundle.waits_for("seen", "stopped")?;
    drop(input);
    bundle.does(&["delete", "seen"])?;
    if !before.out().contains("\"usage\"") || !told.success() {
        return Err(format!("events\n{before}").into());
    }
    if !apart {
        println!("skipped: this host allows no mount namespaces");
        return Ok(());
    }
    if seen && processes == 0 { Ok(()) } else { Err(format!("seen: {seen}, processes: {processes}").into()) }
}

/// In a network namespace that an engine made: what listens is reached there, and what is there is reached.
fn network_namespace() -> Result {
    let Some(bundle) = Bundle::new("oci-network")? else { return skip("no busybox") };
    bundle.script(
        "busybox wget -q -O - http://10.77.0.3:81/there; echo here > /data/here; busybox ip address show eth0 | busybox grep -o 10.77.0.2/24; exec busybox httpd -f -p 80 -h /data",
        false,
        r#", "linux": { "namespaces": [{ "type": "network", "path": "/proc/self/ns/net" }] }"#,
    )?;
    fs::create_dir(bundle.dir.join("served"))?;
    fs::write(bundle.dir.join("served/there"), "there\n")?;
    let script = r#"
        ip link set lo up && ip link add d0 type veth peer name d1 && ip address add 10.77.0.2/24 dev d0 &&
            ip address add 10.77.0.3/24 dev d0 && ip link set d0 up && ip link set d1 up || exit 99
        busybox httpd -f -p 10.77.0.3:81 -h served & server=$!
        "$@" create web < /dev/null > out 2>&1 && "$@" start web
        tries=0
        until busybox wget -q -O - http://10.77.0.2/here; do
            tries=$((tries + 1)); [ $tries -lt 600 ] || break; sleep 0.05
        done 2> /dev/null
        "$@" kill web KILL; "$@" delete --force web; kill $server; cat out"#;
    let mut command = Command::new("unshare");
    command.arg(if litebox_test_support::is_root() { "-n" } else { "-Urn" }).args(["sh", "-c", script, "sh"]);
    command.arg(litebox_test_support::program()).args(["oci", "--root"]).arg(bundle.dir.join("containers"));
    command.current_dir(&bundle.dir).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = run(command, b"", LIMIT)?;
    if outcome.status == 99 || outcome.err().contains("unshare") {
        println!("skipped: nobody can make a network device here");
        return Ok(());
    }
    if outcome.out() == "here\nthere\n10.77.0.2/24\n" { Ok(()) } else { Err(format!("{outcome}").into()) }
}

const TESTS: &[NamedTest] = &[
    ("lifecycle", lifecycle),
    ("console", console),
    ("hooks", hooks),
    ("refusals", refusals),
    ("hidden_paths", hidden_paths),
    ("preserved_descriptors", preserved_descriptors),
    ("scheduling", scheduling),
    ("filtered_calls", filtered_calls),
    ("mount_options", mount_options),
    ("capabilities", capabilities),
    ("process_for_engines", process_for_engines),
    ("network_namespace", network_namespace),
    ("pod_shares_its_sandbox", pods::shares_its_sandbox),
    ("pod_keeps_containers_apart", pods::keeps_containers_apart),
    ("pod_ends", pods::ends),
    ("pod_terminal", pods::terminal),
];

fn main() {
    litebox_test_support::run_table(TESTS)
}
