//! Pods: containers in the sandbox of the first. Engines say that by annotations.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::program_result::run;
use litebox_test_support::{Failed, Result, skip};

use super::{Bundle, LIMIT, rustix_id};

type Outcome<T> = std::result::Result<T, Failed>;

/// Numbers of this test run, by which neighbours find each other.
fn number(which: u32) -> String {
    (std::process::id() * 8 % 2_000_000 + which).to_string()
}

impl Bundle {
    /// One more bundle, whose containers are kept with those of this one.
    fn beside(&self, name: &str) -> Outcome<Self> {
        let bundle = Self::new(name)?.ok_or("no busybox")?;
        Ok(Self { containers: self.containers.clone(), ..bundle })
    }

    /// Puts text in place of what stands in its config.json.
    fn with(&self, from: &str, to: &str) -> Result {
        let file = self.dir.join("config.json");
        let text = fs::read_to_string(&file)?;
        if !text.contains(from) {
            return Err(format!("{from} is not in {text}").into());
        }
        Ok(fs::write(file, text.replacen(from, to, 1))?)
    }

    /// It is the first container of the pod `pod`, or one more.
    fn in_pod(&self, kind: &str, pod: &str) -> Result {
        let annotations = format!(
            r#""io.kubernetes.cri.container-type": "{kind}", "io.kubernetes.cri.sandbox-id": "{pod}", "who": "tests""#
        );
        self.with(r#""who": "tests""#, &annotations)
    }

    /// Creates and starts a container.
    fn begins(&self, id: &str) -> Outcome<Started> {
        let mut command = self.command(&["create", "--bundle", ".", "--pid-file", "pid", id]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        if !child.wait()?.success() {
            return Err(format!("create {id}: {}", fs::read_to_string(self.dir.join("log"))?).into());
        }
        self.does(&["start", id])?;
        Ok(Started { child, input })
    }
}

/// A container that runs, and its streams.
struct Started {
    child: Child,
    input: Option<ChildStdin>,
}

impl Started {
    /// What it says before this line.
    fn until(&mut self, line: &str) -> Outcome<String> {
        let mut output = BufReader::with_capacity(1, self.child.stdout.as_mut().ok_or("no stdout")?);
        let mut said = String::new();
        while !said.ends_with(&format!("{line}\n")) {
            if output.read_line(&mut said)? == 0 {
                return Err(format!("it ended: {said} {}", self.rest().unwrap_or_default()).into());
            }
        }
        Ok(said.strip_suffix(&format!("{line}\n")).unwrap_or_default().to_string())
    }
    /// What it says until its end.
    fn rest(&mut self) -> Outcome<String> {
        let mut said = String::new();
        self.child.stdout.take().ok_or("no stdout")?.read_to_string(&mut said)?;
        self.child.stderr.take().ok_or("no stderr")?.read_to_string(&mut said)?;
        Ok(said)
    }
}

/// A pod with one container, which only waits, in the host's network.
fn pod(name: &str) -> Outcome<Option<(Bundle, Started)>> {
    let Some(first) = Bundle::new(&format!("oci-pod-{name}"))? else { return Ok(None) };
    first.script("cat", false, "")?;
    first.in_pod("sandbox", "pod")?;
    let started = first.begins("pod")?;
    Ok(Some((first, started)))
}

/// These namespaces are a container's own; the others are those of [`pod`].
fn namespaces(own: &str) -> String {
    format!(r#", "linux": {{ "namespaces": [{own}] }}"#)
}

/// What one of them finds on the host.
fn looks(program: &std::path::Path, number: &str) -> Outcome<String> {
    let mut look = Command::new(program);
    look.args(["look", number]).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(run(look, b"", LIMIT)?.out())
}

/// What the host says of two that are neighbours there.
fn neighbours_on_host(program: &std::path::Path, number: &str) -> Outcome<String> {
    let mut offer = Command::new(program);
    let offer = offer.args(["offer", number]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut offer = Started { child: offer, input: None };
    offer.until("offered")?;
    let said = looks(program, number)?;
    drop(offer.child.stdin.take());
    offer.child.wait()?;
    Ok(said)
}

/// Containers of a pod find each other by 127.0.0.1, abstract names and keys, as two programs of the host do.
pub fn shares_its_sandbox() -> Result {
    if !compile::have("gcc") {
        return skip("no gcc");
    }
    let Some((first, _started)) = pod("shares")? else { return skip("no busybox") };
    let program = compile::guest("../oci/neighbours.c", Variant::Static, &[])?;
    let (offered, nowhere) = (number(0), number(1));
    let on_host = neighbours_on_host(&program, &number(2))?;
    let alone = looks(&program, &nowhere)?;

    let place = |bundle: &Bundle| fs::copy(&program, bundle.dir.join("rootfs/bin/neighbours"));
    let one = first.beside("oci-pod-shares-one")?;
    one.script(&format!("exec neighbours offer {offered}"), false, &namespaces(""))?;
    one.in_pod("container", "pod")?;
    place(&one)?;
    let mut offer = one.begins("one")?;
    offer.until("offered")?;
    let two = first.beside("oci-pod-shares-two")?;
    place(&two)?;
    // Everything is shared; then keys are not.
    let keys: String = alone.lines().skip(2).fold(String::new(), |all, line| all + line + "\n");
    let split: String = on_host.lines().take(2).fold(String::new(), |all, line| all + line + "\n") + &keys;
    for (more, wanted) in [("", &on_host), (r#"{ "type": "ipc" }"#, &split)] {
        two.script(&format!("exec neighbours look {offered}"), false, &namespaces(more))?;
        two.in_pod("container", "pod")?;
        let said = two.begins("two")?.rest()?;
        two.waits_for("two", "stopped")?;
        two.does(&["delete", "two"])?;
        if said != *wanted {
            return Err(format!("namespaces {more:?}: not\n{wanted}but\n{said}").into());
        }
    }
    drop(offer.input.take());
    one.waits_for("one", "stopped")?;
    one.does(&["delete", "one"])?;
    first.does(&["delete", "--force", "pod"])?;
    Ok(())
}

/// Each has its root, name, user, limits, calls and processes; and nothing of it is left when it has ended.
pub fn keeps_containers_apart() -> Result {
    let Some((first, _started)) = pod("apart")? else { return skip("no busybox") };
    let mounted = litebox_test_support::is_root();
    let program = compile::have("gcc").then(|| compile::guest("../oci/apart.c", Variant::Static, &[])).transpose()?;
    let own = r#"{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }"#;
    let filter = r#" "seccomp": { "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["chdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 33 }] }, "#;
    let mut all = Vec::new();
    for name in ["one", "two"] {
        let bundle = first.beside(&format!("oci-pod-apart-{name}"))?;
        bundle.script(
            "cat /data/who; hostname; id -u; ulimit -n; cd /tmp; echo $PPID; sleep 1000 & ps; cat /proc/mounts; echo up; cat; exit 5",
            false,
            &namespaces(own).replace(r#""linux": {"#, &format!(r#""linux": {{ {filter}"#)),
        )?;
        bundle.in_pod("container", "pod")?;
        bundle.with(r#""hostname": "boxed""#, &format!(r#""hostname": "host-{name}""#))?;
        let (root, rootfs) = (format!("root-{name}"), bundle.dir.join("rootfs"));
        if mounted {
            // As an engine has it: what is mounted there is taken away again.
            let busybox = fs::read(rootfs.join("bin/busybox"))?;
            let status = Command::new("mount").args(["-t", "tmpfs", &root]).arg(&rootfs).status()?;
            if !status.success() {
                return Err("mount".into());
            }
            for made in ["bin", "etc", "proc", "sys", "dev", "tmp", "data"] {
                fs::create_dir_all(rootfs.join(made))?;
            }
            fs::write(rootfs.join("bin/busybox"), busybox)?;
            fs::set_permissions(rootfs.join("bin/busybox"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            for applet in super::APPLETS {
                std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet))?;
            }
        }
        std::os::unix::fs::symlink("busybox", rootfs.join("bin/hostname"))?;
        fs::write(rootfs.join("data/who"), format!("{name}\n"))?;
        if let Some(program) = &program {
            fs::copy(program, rootfs.join("bin/apart"))?;
        }
        if name == "two" && mounted {
            bundle.with(&format!(r#""uid": {}"#, rustix_id("-u")?), r#""uid": 1000"#)?;
            bundle.with(r#""soft": 77"#, r#""soft": 66"#)?;
        }
        let started = bundle.begins(name)?;
        all.push((name, bundle, started));
    }
    let checked = apart(&mut all, mounted, program.as_deref()).and_then(|()| ends_apart(&mut all));
    for (_, bundle, _) in &all {
        let rootfs = bundle.dir.join("rootfs");
        // Nobody keeps anything of it.
        if mounted && !Command::new("umount").arg(&rootfs).status()?.success() {
            let _ = Command::new("umount").arg("-l").arg(&rootfs).status();
            checked?;
            return Err(format!("{} is in use", rootfs.display()).into());
        }
    }
    checked?;
    first.does(&["delete", "--force", "pod"])?;
    Ok(())
}

/// Lines of ps that are of a sleep.
fn sleeping(processes: &str) -> usize {
    processes.lines().filter(|line| line.ends_with(" sleep 1000")).count()
}

fn apart(all: &mut [(&str, Bundle, Started)], mounted: bool, program: Option<&std::path::Path>) -> Result {
    for (name, _, started) in all.iter_mut() {
        let said = started.until("up")?;
        let other = *name == "two" && mounted;
        let (user, limit) = if other { ("1000".into(), 66) } else { (rustix_id("-u")?, 77) };
        let wanted = format!("{name}\nhost-{name}\n{user}\n{limit}\n0\n");
        let sleeps = sleeping(&said);
        let roots = said.lines().filter(|line| line.split(' ').nth(1) == Some("/")).count();
        // Its own may not have executed its program yet.
        if !said.starts_with(&wanted) || sleeps > 1 || roots != 1 {
            return Err(format!("not {wanted:?}, {sleeps} sleeping, {roots} roots:\n{said}").into());
        }
    }
    let [(_, one, _), (_, two, _)] = all else { return Err("two containers".into()) };
    if let Some(program) = program {
        let mut outside = Command::new(program);
        outside.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (on_host, said) = (run(outside, b"", LIMIT)?.out(), two.does(&["exec", "two", "apart"])?);
        if on_host != said {
            return Err(format!("not\n{on_host}but\n{said}").into());
        }
    }
    // Whoever is started in one is in that one.
    let said = one.does(&["exec", "one", "/bin/sh", "-c", "cat /data/who; hostname; echo made > /data/made"])?;
    let made = fs::read_to_string(one.dir.join("rootfs/data/made"))?;
    if said != "one\nhost-one\n" || made != "made\n" || two.dir.join("rootfs/data/made").exists() {
        return Err(format!("exec says {said:?}").into());
    }
    two.refuses(&["pause", "two"], "pauses with it")?;
    if !two.does(&["ps", "two"])?.contains("cat") {
        return Err("ps".into());
    }
    Ok(())
}

fn ends_apart(all: &mut [(&str, Bundle, Started)]) -> Result {
    let [(_, one, _), (_, two, started)] = all else { return Err("two containers".into()) };
    // All that its own can kill is its own: the first of a container is not, and goes on without the program that it
    // waits for.
    two.oci(&["exec", "two", "/bin/sh", "-c", "kill -9 -1"])?;
    if sleeping(&one.does(&["ps", "one"])?) != 1 {
        return Err("the other container's processes are gone".into());
    }
    let errors = started.rest()?;
    if !errors.contains("can't cd to /tmp: Numerical argument out of domain") {
        return Err(format!("its calls are not filtered: {errors}").into());
    }
    two.waits_for("two", "stopped")?;
    two.does(&["delete", "two"])?;
    one.has_state("one", "running")?;
    one.does(&["delete", "--force", "one"])?;
    Ok(())
}

/// Containers end by signals, with their process, and with their pod; the pod does not end with them.
pub fn ends() -> Result {
    let Some((first, _started)) = pod("ends")? else { return skip("no busybox") };
    let one = first.beside("oci-pod-ends-one")?;
    one.script("trap 'echo told; exit 9' TERM; echo up; sleep 1000 & wait", false, &namespaces(""))?;
    one.in_pod("container", "pod")?;
    one.refuses(&["exec", "one", "true"], "does not exist")?;
    let mut started = one.begins("one")?;
    started.until("up")?;
    one.does(&["kill", "one", "TERM"])?;
    one.waits_for("one", "stopped")?;
    if started.rest()? != "told\n" {
        return Err("TERM is not told".into());
    }
    one.does(&["delete", "one"])?;
    // The engine kills what it knows.
    let mut started = one.begins("one")?;
    started.until("up")?;
    let pid = fs::read_to_string(one.dir.join("pid"))?;
    Command::new("kill").args(["-s", "KILL", &pid]).status()?;
    one.waits_for("one", "stopped")?;
    one.does(&["delete", "one"])?;
    // One that cannot be started has a reason, and leaves no trace: there can be another of that name.
    one.with(r#""/bin/sh""#, r#""/bin/nothing""#)?;
    let outcome = one.oci(&["run", "one"])?;
    if outcome.status != 127 || !outcome.err().contains("cannot run /bin/nothing: no such program") {
        return Err(format!("{outcome}").into());
    }
    one.with(r#""/bin/nothing""#, r#""/bin/sh""#)?;
    let mut started = one.begins("one")?;
    started.until("up")?;
    first.has_state("pod", "running")?;
    first.does(&["kill", "pod", "KILL"])?;
    one.waits_for("one", "stopped")?;
    one.does(&["delete", "one"])?;
    first.does(&["delete", "--force", "pod"])?;
    // Without the pod it is a sandbox of its own.
    one.with("sleep 1000 & wait", "exit 4")?;
    let outcome = one.oci(&["run", "one"])?;
    if outcome.status == 4 { Ok(()) } else { Err(format!("{outcome}").into()) }
}

/// A container has a terminal of its own, which its programs find by name.
pub fn terminal() -> Result {
    let Some((first, _started)) = pod("terminal")? else { return skip("no busybox") };
    let one = first.beside("oci-pod-terminal-one")?;
    one.script(
        "tty > /data/tty; echo console > /dev/console; test -c $(tty) && read a; echo got:$a; exit 5",
        true,
        &namespaces(""),
    )?;
    std::os::unix::fs::symlink("busybox", one.dir.join("rootfs/bin/tty"))?;
    one.in_pod("container", "pod")?;
    // The name of a socket has 107 bytes.
    let place = std::env::temp_dir().join(format!("litebox-oci-pod-{}", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&place)?;
    let created = one.oci(&["create", "--console-socket", place.to_str().ok_or("a path")?, "tty"]);
    let connection = listener.accept();
    fs::remove_file(&place)?;
    let (created, (connection, _)) = (created?, connection?);
    if created.status != 0 {
        return Err(format!("create\n{created}").into());
    }
    let mut master = super::received(&connection)?;
    one.does(&["start", "tty"])?;
    // Others of the pod do not see it.
    let said = first.does(&["exec", "pod", "/bin/sh", "-c", "echo /dev/pts/*"])?;
    if said != "/dev/pts/ptmx\n" {
        return Err(format!("the pod sees {said}").into());
    }
    master.write_all(b"word\n")?;
    let mut said = String::new();
    let mut piece = [0; 256];
    while !said.contains("console") || !said.contains("got:word") {
        let n = master.read(&mut piece)?;
        said.push_str(&String::from_utf8_lossy(piece.get(..n).unwrap_or_default()));
    }
    one.waits_for("tty", "stopped")?;
    one.does(&["delete", "tty"])?;
    first.does(&["delete", "--force", "pod"])?;
    let name = fs::read_to_string(one.dir.join("rootfs/data/tty"))?;
    if name.starts_with("/dev/pts/") { Ok(()) } else { Err(name.into()) }
}
