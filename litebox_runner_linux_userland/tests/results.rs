//! What stays of a sandbox: `--save`, `--diff`, `litebox diff` and `litebox apply`.
//!
//! A script of changes runs on the host in one copy of a tree, and in a sandbox over another one. What was saved there
//! is brought onto a third copy, which then has to be what the host's became.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use litebox_test_support::program_result::{ProgramResult, compare_trees, finish, run};
use litebox_test_support::{NamedTest, Result, fresh_dir, is_root, skip};

const LIMIT: Duration = Duration::from_secs(60);

/// Changes of every kind. The tree is that of [`tree`].
const CHANGES: &str = "
    echo new > new; echo more >> changed; rm gone; mv moved renamed
    chmod 750 mode; chmod 640 dir/deep/file
    mkdir -p made/a/b; echo x > made/a/b/file; ln made/a/b/file made/link; ln kept linked
    rm -r replaced; echo file > replaced; rm file; mkdir file; echo in > file/in
    rm -r again; mkdir again; echo new > again/new
    mv dir2 dir3; echo y > dir3/new; rm dir3/two
    ln -s nowhere symlink; mkfifo fifo; : > emptied
    truncate -s 5M sparse; echo end >> sparse; printf x | dd of=sparse bs=1 seek=1000000 conv=notrunc 2>/dev/null
    touch -d '2001-02-03 04:05:06.789' old new; mkdir 'with space' .hidden; echo z > \"$(printf 'two\\nlines')\"
    long=$(printf '%0200d' 0); mkdir -p $long/$long; echo deep > $long/$long/$long
    echo a >> hard1
";

/// What the changes are made in.
fn tree(dir: &Path) -> std::io::Result<()> {
    let dirs = ["dir/deep", "dir2/sub", "replaced/sub", "again/old", "mode", "untouched/sub"];
    dirs.iter().try_for_each(|name| fs::create_dir_all(dir.join(name)))?;
    let files = [
        "changed",
        "gone",
        "moved",
        "kept",
        "file",
        "emptied",
        "old",
        "sparse",
        "dir/deep/file",
        "dir2/one",
        "dir2/two",
        "dir2/sub/three",
        "replaced/sub/file",
        "again/same",
        "again/old/file",
        "untouched/file",
        "hard1",
    ];
    files.iter().try_for_each(|name| fs::write(dir.join(name), format!("{name}\n")))?;
    fs::hard_link(dir.join("hard1"), dir.join("untouched/sub/hard2"))
}

/// The same tree twice, in a directory of the test: for the sandbox, and for the host.
fn trees(name: &str) -> std::io::Result<std::path::PathBuf> {
    let dir = fresh_dir(name)?;
    tree(&dir.join("box"))?;
    let copied = Command::new("cp").args(["-a", "box", "host"]).current_dir(&dir).status()?;
    if copied.success() { Ok(dir) } else { Err(std::io::Error::other("cp -a")) }
}

fn litebox(dir: &Path, words: &[&str]) -> std::io::Result<ProgramResult> {
    let mut command = litebox_test_support::litebox();
    command.args(words).current_dir(dir);
    run(command, b"", LIMIT)
}

/// Fails unless the outcome has this status.
fn expect(outcome: &ProgramResult, status: i32) -> Result {
    if outcome.status == status { Ok(()) } else { Err(format!("expected status {status}\n{outcome}").into()) }
}

fn same<T: PartialEq + std::fmt::Debug>(got: &T, expected: &T) -> Result {
    if got == expected { Ok(()) } else { Err(format!("expected {expected:?}\n     got {got:?}").into()) }
}

/// Runs the script of changes on the host.
fn on_the_host(dir: &Path, script: &str) -> Result {
    let status = Command::new("sh").args(["-ec", script]).current_dir(dir).status()?;
    if status.success() { Ok(()) } else { Err("the script fails on the host".into()) }
}

/// Nothing but these names is in a directory.
fn holds(dir: &Path, names: &[&str]) -> Result {
    let mut found: Vec<String> = Vec::new();
    for entry in fs::read_dir(dir)? {
        found.push(entry?.file_name().to_string_lossy().into());
    }
    found.sort();
    same(&found, &names.iter().map(ToString::to_string).collect())
}

fn what_is_saved_is_what_was_changed() -> Result {
    let dir = trees("saved")?;
    for file in ["layer.tar", "layer.tar.zst"] {
        let file = format!("../{file}");
        expect(&litebox(&dir.join("box"), &["run", "--save", &file, "sh", "-ec", CHANGES])?, 0)?;
    }
    // The tree itself was not changed.
    let fresh = fresh_dir("saved-fresh")?;
    tree(&fresh)?;
    compare_trees(&fresh, &dir.join("box"))?;
    on_the_host(&dir.join("host"), CHANGES)?;
    for file in ["layer.tar", "layer.tar.zst"] {
        let applied = dir.join(format!("applied-{file}"));
        Command::new("cp").args(["-a", "box"]).arg(&applied).current_dir(&dir).status()?;
        let outcome = litebox(&applied, &["apply", &format!("../{file}")])?;
        expect(&outcome, 0)?;
        same(&outcome.err(), &String::new())?;
        compare_trees(&dir.join("host"), &applied)?;
        let old = fs::metadata(applied.join("old"))?;
        same(&(old.mtime(), old.mtime_nsec()), &times(&dir.join("host/old"))?)?;
        let sparse = fs::metadata(applied.join("sparse"))?;
        if sparse.blocks() * 512 > 1 << 20 {
            return Err(format!("the holes were filled: {} blocks", sparse.blocks()).into());
        }
        same(&fs::metadata(applied.join("hard1"))?.ino(), &fs::metadata(applied.join("untouched/sub/hard2"))?.ino())?;
        same(&fs::metadata(applied.join("kept"))?.ino(), &fs::metadata(applied.join("linked"))?.ino())?;
    }
    Ok(())
}

fn times(path: &Path) -> std::io::Result<(i64, i64)> {
    fs::metadata(path).map(|meta| (meta.mtime(), meta.mtime_nsec()))
}

/// Owners, modes and attributes, where the host lets us set them.
fn owners_and_attributes() -> Result {
    let dir = trees("owners")?;
    let script = "import os
os.chown('changed', 1234, 5678)
os.chmod('changed', 0o4711)
os.setxattr('kept', 'user.colour', b'red\\n= \\0blue')
os.setxattr('mode', 'user.empty', b'')
os.symlink('x', 'link')
os.chown('link', 4294967, 2200000, follow_symlinks=False)
open('far', 'w')
os.utime('far', ns=(-1500000000, -1500000000))";
    let python = litebox_test_support::find_program(&["/usr/bin/python3", "/usr/local/bin/python3"]);
    let Some(python) = python.filter(|_| is_root()) else { return skip("only root sets owners, and by python3") };
    let python = python.display().to_string();
    expect(&litebox(&dir.join("box"), &["run", "--save", "../layer.tar", &python, "-c", script])?, 0)?;
    let applied = dir.join("box");
    expect(&litebox(&applied, &["apply", "../layer.tar"])?, 0)?;
    let check = "import os
s = os.lstat('changed'); l = os.lstat('link')
print(s.st_uid, s.st_gid, oct(s.st_mode), l.st_uid, l.st_gid, os.readlink('link'), os.lstat('far').st_mtime_ns)
print(os.getxattr('kept', 'user.colour'), os.getxattr('mode', 'user.empty'))";
    let outcome = Command::new(python).args(["-c", check]).current_dir(&applied).output()?;
    same(
        &String::from_utf8_lossy(&outcome.stdout).into_owned(),
        &"1234 5678 0o104711 4294967 2200000 x -1500000000\nb'red\\n= \\x00blue' b''\n".to_string(),
    )
}

/// `docker diff` by its rules: letters, order, directories of what came or went.
fn listings() -> Result {
    let dir = trees("listed")?;
    let here = dir.join("box");
    let shown = here.display();
    let script = "rm gone; echo x > new; echo y >> changed; mv moved dir/; chmod 700 mode; rm -r again; mkdir again
        echo z > again/same; rm -r dir2; echo a >> untouched/file; echo tmp > tmp; rm tmp; cat kept >/dev/null
        : >> old; rm file; mkdir file";
    let outcome = litebox(&here, &["run", "--diff", "--save", "../layer.tar", "sh", "-ec", script])?;
    expect(&outcome, 0)?;
    let expected = [
        "C ",
        "C /again",
        "D /again/old",
        "C /again/same",
        "C /changed",
        "C /dir",
        "A /dir/moved",
        "D /dir2",
        "C /file",
        "D /gone",
        "C /mode",
        "D /moved",
        "A /new",
        "C /untouched/file",
    ];
    let line = |line: &&str| format!("{} {shown}{}\n", &line[..1], &line[2..]);
    let expected: String = expected.iter().map(line).collect();
    same(&outcome.err(), &expected)?;
    same(&litebox(&dir, &["diff", "layer.tar"])?.out(), &expected)?;
    // In a file, and without anything that changed.
    expect(&litebox(&here, &["run", "--diff=../list", "sh", "-c", "rm gone"])?, 0)?;
    same(&fs::read_to_string(dir.join("list"))?, &format!("C {shown}\nD {shown}/gone\n"))?;
    let outcome = litebox(&here, &["run", "--diff", "cat", "kept"])?;
    same(&(outcome.out(), outcome.err()), &("kept\n".to_string(), String::new()))
}

/// A whole root: what is mounted in it is no change, its own paths count from /.
fn a_whole_root() -> Result {
    let dir = fresh_dir("whole-root")?;
    let root = dir.join("root");
    for name in ["bin", "etc", "lib", "lib64"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n")?;
    let busybox = litebox_test_support::find_program(&["/bin/busybox", "/usr/bin/busybox"]);
    let Some(busybox) = busybox else { return skip("no busybox") };
    fs::copy(busybox, root.join("bin/busybox"))?;
    let words = ["run", "--rootfs", "root", "--diff", "--save", "layer.tar", "/bin/busybox", "sh", "-c"];
    let outcome = litebox(&dir, &[words.as_slice(), &["echo x > /etc/new; echo y > /tmp/no; :"]].concat())?;
    expect(&outcome, 0)?;
    same(&outcome.err(), &"C /etc\nA /etc/new\n".to_string())?;
    let outcome = litebox(&dir, &[words.as_slice(), &["mkdir /srv; rm /etc/passwd"]].concat())?;
    same(&outcome.err(), &"C /etc\nD /etc/passwd\nA /srv\n".to_string())?;
    expect(&litebox(&dir, &["apply", "layer.tar", "root"])?, 0)?;
    holds(&root, &["bin", "etc", "lib", "lib64", "srv"])?;
    holds(&root.join("etc"), &[])
}

/// A layer that is laid out has its whiteouts as files.
fn laid_out() -> Result {
    let dir = trees("laid-out")?;
    let script = "rm gone; rm -r again; mkdir again; echo x > new";
    expect(&litebox(&dir.join("box"), &["run", "--save", "../out", "sh", "-c", script])?, 0)?;
    let out = dir.join("out").join(dir.join("box").strip_prefix("/")?);
    holds(&out, &[".wh.gone", "again", "new"])?;
    holds(&out.join("again"), &[".wh..wh..opq", ".wh.old", ".wh.same"])?;
    holds(&dir, &["box", "host", "out"])?;
    let again = litebox(&dir.join("box"), &["run", "--save", "../out", "true"])?;
    same(&(again.status, again.err()), &(125, "litebox: --save ../out: the directory is not empty\n".to_string()))
}

/// Starts a sandbox that makes a file and goes on, and waits for that.
fn started(
    dir: &Path,
    options: &[&str],
    script: &str,
) -> std::result::Result<std::process::Child, Box<dyn std::error::Error>> {
    let mut command = litebox_test_support::litebox();
    command.arg("run").args(options).args(["sh", "-c", &format!("echo x > made; echo ready; {script}")]);
    let mut child = command.current_dir(dir).spawn()?;
    let mut ready = [0; 6];
    child.stdout.as_mut().ok_or("no stdout")?.read_exact(&mut ready)?;
    Ok(child)
}

/// The changes are saved however the program ends, with what it left behind killed.
fn also_after_a_timeout_or_a_signal() -> Result {
    let dir = trees("ended")?;
    let here = dir.join("box");
    let made = format!("C {shown}\nA {shown}/made\n", shown = here.display());
    let save = ["--save", "../layer.tar"];
    // By itself, with somebody left who ignores every signal.
    let leaves = "(trap '' TERM HUP; while :; do sleep 0.1; done) & exit 3";
    expect(&finish(started(&here, &save, leaves).map_err(|e| e.to_string())?, LIMIT)?, 3)?;
    same(&litebox(&dir, &["diff", "layer.tar"])?.out(), &made)?;
    for (trap, status) in [(":", 143), ("trap '' TERM", 124)] {
        fs::remove_file(dir.join("layer.tar"))?;
        let options = [save.as_slice(), &["--timeout", "3s", "--stop-timeout", "100ms"]].concat();
        let options = if status == 124 { options.as_slice() } else { save.as_slice() };
        let child = started(&here, options, &format!("{trap}; sleep 1000 & while :; do sleep 0.1; done"))
            .map_err(|e| e.to_string())?;
        if status == 143 {
            Command::new("kill").arg(child.id().to_string()).status()?;
        }
        expect(&finish(child, LIMIT)?, status)?;
        same(&litebox(&dir, &["diff", "layer.tar"])?.out(), &made)?;
    }
    Ok(())
}

/// Where the whole sandbox is killed nothing is saved, and what was there stays.
fn a_sandbox_that_is_killed_saves_nothing() -> Result {
    let dir = trees("killed")?;
    let here = dir.join("box");
    fs::write(dir.join("layer.tar"), "before")?;
    let child = started(&here, &["--save", "../layer.tar"], "exec sleep 1000").map_err(|e| e.to_string())?;
    let supervisor = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id()))?;
    let mut kill = Command::new("kill");
    kill.arg("-KILL").args(supervisor.split_whitespace());
    kill.status()?;
    let outcome = finish(child, LIMIT)?;
    expect(&outcome, 70)?;
    let line = "nothing was saved to ../layer.tar: the sandbox was killed before it told what it changed";
    if !outcome.err().contains(line) {
        return Err(format!("{outcome}").into());
    }
    same(&fs::read_to_string(dir.join("layer.tar"))?, &"before".to_string())?;
    // litebox itself: no half file.
    let mut child = started(&here, &["--save", "../layer.tar"], "exec sleep 1000").map_err(|e| e.to_string())?;
    child.kill()?;
    child.wait()?;
    same(&fs::read_to_string(dir.join("layer.tar"))?, &"before".to_string())?;
    holds(&dir, &["box", "host", "layer.tar"])
}

/// Places where nothing can be saved are known before anything runs.
fn places_that_cannot_be() -> Result {
    let dir = trees("places-to-save")?;
    let here = dir.join("box");
    fs::create_dir(here.join("layer.tar"))?;
    for (place, why) in [
        ("/proc/x.tar", "/proc/x.tar: no such file or directory"),
        ("nowhere/x.tar", "nowhere/x.tar: no such file or directory"),
        ("layer.tar", "layer.tar: it is there and not a file"),
        ("kept", "kept: it is a file: a layer is saved as .tar, .tar.zst, or in a new directory"),
        ("x.tar.gz", "x.tar.gz: a layer is saved as .tar or .tar.zst"),
    ] {
        let outcome = litebox(&here, &["run", "--save", place, "sh", "-c", "echo ran"])?;
        let line = format!("litebox: --save {why}\n");
        same(&(outcome.status, outcome.out(), outcome.err()), &(125, String::new(), line))?;
    }
    Ok(())
}

/// No room: the program's status stays, or is 125; what was there stays.
fn no_room() -> Result {
    let dir = trees("no-room")?;
    let here = dir.join("box");
    fs::write(dir.join("layer.tar"), "before")?;
    let words = |script| ["run", "--disk", "1M", "--save", "../layer.tar", "sh", "-c", script];
    // What lies below counts when it has to be told: 100 MB that only got another mode.
    fs::write(here.join("large"), vec![1u8; 100 << 20])?;
    let outcome = litebox(&here, &words("chmod 600 large"))?;
    let line = "litebox: nothing was saved to ../layer.tar: the changes take more than --disk allows\n";
    same(&(outcome.status, outcome.err()), &(125, line.to_string()))?;
    expect(&litebox(&here, &words("chmod 600 large; exit 7"))?, 7)?;
    same(&fs::read_to_string(dir.join("layer.tar"))?, &"before".to_string())?;
    holds(&dir, &["box", "host", "layer.tar"])
}

/// A disk that is full: nothing of the file is left.
fn a_full_disk() -> Result {
    let dir = trees("full-disk")?;
    fs::create_dir(dir.join("disk"))?;
    let script = format!(
        "mount -t tmpfs -o size=512k none ../disk || exit 99
        {} run --save ../disk/layer.tar sh -c 'head -c 4000000 /dev/zero | tr \\\\0 y > big'
        echo status $?; ls -A ../disk; : > ../disk/file && echo room",
        litebox_test_support::program().display()
    );
    let mut command = Command::new("unshare");
    command.args(if is_root() { ["-m"].as_slice() } else { ["-Urm"].as_slice() }).args(["sh", "-c", &script]);
    command.current_dir(dir.join("box")).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let outcome = run(command, b"", LIMIT)?;
    if outcome.status == 99 || outcome.err().contains("unshare") {
        return skip("nobody can mount here");
    }
    let line = "litebox: nothing was saved to ../disk/layer.tar: no space left on device\n";
    same(&(outcome.out(), outcome.err()), &("status 125\nroom\n".to_string(), line.to_string()))
}

/// One entry of a layer that somebody else wrote, by the bytes of its header.
fn entry(path: &str, kind: u8, target: &str, content: &[u8]) -> Vec<u8> {
    let mut block = vec![0u8; 512];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(157, target);
    put(257, "ustar\x0000");
    block[156] = kind;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend_from_slice(content);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

/// Whatever a layer says, nothing outside of the directory is touched, nor is a link followed.
fn layers_stay_beneath() -> Result {
    let dir = fresh_dir("beneath")?;
    let target = dir.join("target");
    fs::create_dir_all(dir.join("outside"))?;
    fs::write(dir.join("outside/file"), "mine")?;
    let dir_link = |target: &Path| symlink("../outside", target.join("link"));
    let cases: [(&str, Vec<u8>, bool); 11] = [
        ("up", entry("../outside/file", b'0', "", b"theirs"), false),
        ("up in the middle", entry("a/../../outside/file", b'0', "", b"theirs"), false),
        ("absolute", entry("/outside/file", b'0', "", b"theirs"), true),
        ("by a link that is there", entry("link/file", b'0', "", b"theirs"), false),
        ("by its own link", [entry("l", b'2', "../outside", b""), entry("l/file", b'0', "", b"x")].concat(), false),
        ("through a file link", [entry("l", b'2', "../outside/file", b""), entry("l", b'0', "", b"x")].concat(), true),
        ("a hard link", entry("h", b'1', "../outside/file", b""), false),
        ("a hard link by a link", entry("h", b'1', "link/file", b""), false),
        ("whiteout by a link", entry("link/.wh.file", b'0', "", b""), false),
        ("whiteout of the link", entry(".wh.link", b'0', "", b""), true),
        ("whiteout of ..", entry(".wh...", b'0', "", b""), false),
    ];
    for (name, layer, passes) in cases {
        let _ = fs::remove_dir_all(&target);
        fs::create_dir(&target)?;
        dir_link(&target)?;
        fs::write(dir.join("layer.tar"), &layer)?;
        let outcome = litebox(&dir, &["apply", "layer.tar", "target"])?;
        if (outcome.status == 0) != passes {
            return Err(format!("{name}: {outcome}").into());
        }
        same(&fs::read_to_string(dir.join("outside/file"))?, &"mine".to_string())?;
        same(&fs::metadata(dir.join("outside/file"))?.nlink(), &1)?;
        holds(&dir.join("outside"), &["file"])?;
    }
    // Opaque directories whose mark comes late, and no layer at all.
    fs::create_dir_all(target.join("o/old"))?;
    let layer =
        [entry("o/", b'5', "", b""), entry("o/new", b'0', "", b"x"), entry("o/.wh..wh..opq", b'0', "", b"")].concat();
    fs::write(dir.join("layer.tar"), layer)?;
    expect(&litebox(&dir, &["apply", "layer.tar", "target"])?, 0)?;
    holds(&target.join("o"), &["new"])?;
    fs::write(dir.join("layer.tar"), [7; 1024])?;
    let outcome = litebox(&dir, &["apply", "layer.tar", "target"])?;
    expect(&outcome, 125)?;
    if !outcome.err().starts_with("litebox: apply layer.tar: not a layer") {
        return Err(format!("{outcome}").into());
    }
    Ok(())
}

/// Without the superuser's rights a layer is applied as far as that goes.
fn set_id_bits_need_their_owner() -> Result {
    if !is_root() {
        return skip("only root becomes somebody else");
    }
    let dir = fresh_dir("set-id")?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))?;
    let mut layer = entry("program", b'0', "", b"x");
    layer[100..107].copy_from_slice(b"0004755");
    layer[148..156].copy_from_slice(b"        ");
    let sum: u32 = layer[..512].iter().map(|byte| u32::from(*byte)).sum();
    layer[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    fs::write(dir.join("layer.tar"), layer)?;
    let program = litebox_test_support::program();
    let reachable = dir.join("litebox");
    fs::copy(program, &reachable)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&reachable);
    command.args(["apply", "layer.tar"]).current_dir(&dir);
    let outcome = run(command, b"", LIMIT);
    fs::remove_file(reachable)?;
    if outcome.as_ref().map_or(true, |outcome| outcome.status == 127 || outcome.err().contains("cannot execute")) {
        return skip("no setpriv, or the directory cannot be reached by others");
    }
    expect(&outcome?, 0)?;
    same(&(fs::metadata(dir.join("program"))?.mode() & 0o7777), &0o755)
}

/// One change deep in a tree that nobody has looked at otherwise.
fn one_change_in_many_files() -> Result {
    let dir = trees("many")?;
    for n in 0..3000 {
        let at = dir.join(format!("box/many/{}", n % 30));
        fs::create_dir_all(&at)?;
        fs::write(at.join(n.to_string()), "x")?;
    }
    let outcome = litebox(&dir.join("box"), &["run", "--diff", "sh", "-c", "echo x >> many/3/3"])?;
    same(&outcome.err(), &format!("C {}/box/many/3/3\n", dir.display()))
}

macro_rules! table {
    ($($name:ident)*) => { &[$((stringify!($name), $name)),*] };
}

const TESTS: &[NamedTest] = table! {
    what_is_saved_is_what_was_changed owners_and_attributes listings a_whole_root laid_out also_after_a_timeout_or_a_signal
    a_sandbox_that_is_killed_saves_nothing places_that_cannot_be no_room a_full_disk layers_stay_beneath set_id_bits_need_their_owner
    one_change_in_many_files
};

fn main() {
    litebox_test_support::run_table(TESTS);
}
