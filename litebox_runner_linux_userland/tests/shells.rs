//! Shells and what they start: the same output, exit status and files in the sandbox as on the bare host.

use std::fs;
use std::io;
use std::path::Path;

use litebox_test_support::{Case, NamedTest, Result, find_program, skip};

/// A script run by each of these shells.
fn script(name: &str, shells: &[&str], text: &'static str) -> Result {
    for shell in shells {
        Case::new(&format!("{name}_{shell}"), shell).args(["-c", text]).timeout(60).compare()?;
    }
    Ok(())
}

const ALL: &[&str] = &["/bin/bash", "/bin/dash"];
const BASH: &[&str] = &["/bin/bash"];

macro_rules! scripts {
    ($($name:ident: $shells:ident $text:literal;)*) => {
        $(fn $name() -> Result {
            script(stringify!($name), $shells, $text)
        })*
        const SCRIPTS: &[NamedTest] = &[$((stringify!($name), $name)),*];
    };
}

scripts! {
    statuses: ALL "true; echo $?; false; echo $?; (exit 42); echo $?; /bin/sh -c 'exit 7'; echo $?; no-such-program-xyz 2>/dev/null; echo $?;
        sh -c 'kill -9 $$' 2>/dev/null; echo $?; sh -c 'kill -TERM $$' 2>/dev/null; echo $?; ! true; echo $?; true && echo and || echo or; exit 5";
    pipelines: ALL "echo one | cat; seq 1 1000 | sort -n | tail -n 3; seq 1 5 | while read n; do echo \"<$n>\"; done; yes | head -n 2;
        ls / | sort | head -n 1 | wc -l; echo a | tr a b | tr b c; (echo x; echo y >&2) 2>&1 | sort; false | true; echo $?; true | false; echo $?";
    large_pipelines: ALL "seq 1 200000 | sha256sum; head -c 5000000 /dev/zero | cat | cat | wc -c; seq 1 100000 | gzip | gunzip | tail -n 1";
    substitutions: ALL "x=$(echo hi; echo there); echo \"$x\"; echo $(echo $(echo deep)); echo `expr 1 + 2`; y=$(false); echo $?; echo \"[$(printf 'a\\n\\n')]\"";
    here_documents: ALL "cat <<X\nvalue $((6*7)) $(echo sub)\nX\ncat <<'Y'\nraw $HOME\nY\ncat <<-Z\n\ttabs\n\tZ\n";
    redirections: ALL "cd /tmp && rm -rf lbx && mkdir lbx && cd lbx; echo a >f; echo b >>f; cat <f; exec 3>g; echo three >&3; exec 3>&-; cat g;
        { echo out; echo err >&2; } >h 2>&1; cat h; wc -l <h; echo x 2>/dev/null >i; cat i; cat nothing 2>/dev/null || echo missing";
    background: ALL "sleep 0.2 & p=$!; echo started; wait $p; echo $?; (exit 3) & wait $!; echo $?; (sleep 0.1; echo late) & wait; echo done;
        sleep 10 & kill $!; wait $! 2>/dev/null; echo $?";
    traps: ALL "trap 'echo term' TERM; kill -TERM $$; trap 'echo usr1' USR1; (kill -USR1 $$); sleep 0.1; trap 'echo bye' EXIT; trap '' INT; kill -INT $$; echo still;
        (trap 'echo inner' EXIT; true); trap - TERM; echo end";
    subshells: ALL "a=1; (a=2; echo $a); echo $a; (cd /usr && pwd); (umask 077; umask); umask >/dev/null; f() { return 4; }; f; echo $?; (set -e; false; echo no); echo $?";
    executes: ALL "exec echo replaced";
    many_commands: ALL "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done; echo $i; for i in 1 2 3 4 5 6 7 8 9; do echo $i | cat; done";
    limits: ALL "ulimit -n 900; (ulimit -n 64; ulimit -n); ulimit -n; ulimit -c";
    process_substitution: BASH "diff <(echo a) <(echo b); cat <(seq 3) <(seq 2); echo text > >(cat); wait $!; while read x; do echo got $x; done < <(printf '1\\n2\\n')";
    coprocesses: BASH "coproc { read x; echo \"answer $x\"; }; echo ask >&${COPROC[1]}; read -u ${COPROC[0]} y; echo $y; wait";
    pipe_statuses: BASH "true | false | (exit 3); echo ${PIPESTATUS[@]}; set -o pipefail; false | true; echo $?; shopt -s lastpipe; echo v | read w; echo $w";
    job_control: BASH "set -m; sleep 0.3 & jobs | wc -l; wait; sleep 10 & kill -STOP %1; sleep 0.2; jobs -s | wc -l; kill -CONT %1; kill %1; wait %1 2>/dev/null; echo $?";
    wait_any: BASH "(sleep 0.3; exit 3) & (sleep 0.1; exit 2) & wait -n; echo $?; wait -n; echo $?; wait -n; echo $?";
    arrays_and_files: BASH "mapfile -t a < <(seq 1 5); echo ${#a[@]} ${a[4]}; printf '%s\\n' \"${a[@]}\" | sort -rn | xargs echo";
}

fn program(name: &str, path: &str, args: &[&str]) -> Case {
    Case::new(name, path).args(args).timeout(120)
}

fn xargs() -> Result {
    program("xargs", "/bin/sh", &["-c", "seq 1 40 | xargs -n 1 -P 4 sh -c 'echo $(( $0 * $0 ))' | sort -n"]).compare()
}

fn timeouts() -> Result {
    let text = "timeout 0.2 sleep 10; echo $?; timeout 5 true; echo $?; timeout -s KILL 0.2 sleep 10; echo $?; timeout 5 sh -c 'exit 9'; echo $?";
    program("timeouts", "/bin/bash", &["-c", text]).compare()
}

fn nohup() -> Result {
    program("nohup", "/bin/sh", &["-c", "nohup sh -c 'kill -HUP $$; echo survived' 2>/dev/null; echo $?"]).compare()
}

fn sources(dir: &Path) -> io::Result<()> {
    for part in 1..=6 {
        fs::write(dir.join(format!("part{part}.c")), format!("int part{part}(void) {{ return {part}; }}\n"))?;
    }
    let declared = (1..=6).map(|n| format!("int part{n}(void);\n")).collect::<Vec<_>>().concat();
    let sum = (1..=6).map(|n| format!("part{n}()")).collect::<Vec<_>>().join(" + ");
    let main = format!("#include <stdio.h>\n{declared}int main(void) {{ printf(\"sum %d\\n\", {sum}); return 0; }}\n");
    fs::write(dir.join("main.c"), main)?;
    let rules = "OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))\nprogram: $(OBJECTS)\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -c -o $@ $<\n";
    fs::write(dir.join("Makefile"), rules)
}

fn compile() -> Result {
    program("compile", "/bin/sh", &["-c", "gcc -O1 main.c part*.c -o program && ./program"]).prepare(sources).compare()
}

fn make() -> Result {
    let text = "make -j2 >log 2>&1; echo $?; sort log; ./program; make -j2; touch part3.c; make -j2 | sort";
    program("make", "/bin/sh", &["-c", text]).prepare(sources).compare()
}

fn git() -> Result {
    let text = "set -e
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
        export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
        git init -q -b main r; cd r; echo a >f; git add f; git commit -qm one; git checkout -qb side; echo b >g; git add g; git commit -qm two
        git checkout -q main; echo c >>f; git commit -qam three; git merge -q --no-edit side; git log --oneline --graph; git gc -q; git fsck
        cd ..; git clone -q r c; cd c; ls; git status; git log -1 --format=%H; git diff HEAD~1 --stat";
    let path = find_program(&["/usr/bin/git", "/usr/local/bin/git"]).unwrap_or_else(|| "/usr/bin/git".into());
    if !path.exists() {
        return litebox_test_support::skip("no git on this machine");
    }
    program("git", "/bin/sh", &["-c", text]).compare()
}

fn python_subprocess() -> Result {
    let text = "
import subprocess, os, signal, sys
print(subprocess.run(['echo', 'hi'], capture_output=True).stdout)
print(subprocess.run('exit 3', shell=True).returncode)
p = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(p.communicate(b'through'))
p = subprocess.Popen(['sleep', '10']); p.terminate(); print(p.wait())
try: subprocess.run(['sleep', '10'], timeout=0.2)
except subprocess.TimeoutExpired: print('expired')
print(subprocess.check_output(['sh', '-c', 'echo $X'], env={'X': 'y'}))
try: subprocess.run(['/no/such'])
except FileNotFoundError as e: print(e.errno)
p = subprocess.Popen(['sh', '-c', 'kill -9 $$']); print(p.wait())
print(subprocess.run(['sh', '-c', 'pwd'], cwd='/usr', stdout=subprocess.PIPE).stdout)
r, w = os.pipe()
if os.fork() == 0: os.write(w, b'child'); os._exit(4)
print(os.read(r, 10), os.waitstatus_to_exitcode(os.wait()[1]))
print(subprocess.run(['true'], start_new_session=True, close_fds=True).returncode)
";
    program("python_subprocess", "/usr/bin/python3", &["-c", text]).compare()
}

fn python_multiprocessing() -> Result {
    let text = "
import multiprocessing as mp
def square(x): return x * x
if __name__ == '__main__':
    ctx = mp.get_context('fork')
    with ctx.Pool(3) as pool: print(pool.map(square, range(20)))
    q = ctx.Queue()
    ps = [ctx.Process(target=q.put, args=(i,)) for i in range(4)]
    [p.start() for p in ps]; print(sorted(q.get() for _ in ps)); [p.join() for p in ps]; print([p.exitcode for p in ps])
    v = ctx.Value('i', 0)
    def add():
        for _ in range(200):
            with v.get_lock(): v.value += 1
    ps = [ctx.Process(target=add) for _ in range(3)]
    [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2, mp_context=ctx) as e: print(list(e.map(square, range(5))))
";
    program("python_multiprocessing", "/usr/bin/python3", &["-c", text]).compare()
}

fn perl_fork_server() -> Result {
    let text = "
$| = 1;
pipe(R, W);
for my $n (1..4) { my $p = fork; if (!$p) { close R; syswrite W, \"worker $n\\n\"; exit $n } push @kids, $p }
close W; print sort <R>;
my $sum = 0; for (@kids) { waitpid $_, 0; $sum += $? >> 8 } print \"sum $sum\\n\";
print `echo from a command`; system('exit 6'); print $? >> 8, \"\\n\";
open my $in, '-|', 'seq', '1', '3'; print <$in>; close $in;
local $SIG{CHLD} = sub { $seen++ }; my $p = fork; exit 0 if !$p; 1 while waitpid(-1, 0) > 0; print \"seen $seen\\n\";
";
    program("perl_fork_server", "/usr/bin/perl", &["-e", text]).compare()
}

fn busybox_shell() -> Result {
    let text = "for i in 1 2 3; do echo $i; done | busybox sort -r; x=$(busybox seq 3 | busybox wc -l); echo $x; (exit 4); echo $?";
    program("busybox_shell", "/bin/busybox", &["sh", "-c", text]).compare()
}

fn node_children() -> Result {
    let text = "
const { execSync, spawn, spawnSync } = require('child_process');
console.log(execSync('echo sync').toString().trim(), spawnSync('sh', ['-c', 'exit 5']).status);
const c = spawn('cat'); let out = '';
c.stdout.on('data', d => out += d); c.on('close', code => { console.log(out, code); });
c.stdin.end('through cat');
";
    program("node_children", "/usr/bin/node", &["-e", text]).compare()
}

fn python_start_methods() -> Result {
    let prepare = |dir: &Path| {
        fs::write(
            dir.join("methods.py"),
            "
import multiprocessing as mp
from multiprocessing import shared_memory
from concurrent.futures import ProcessPoolExecutor
def square(x): return x * x
def fill(name):
    m = shared_memory.SharedMemory(name=name); m.buf[0] = 7; m.close()
if __name__ == '__main__':
    for how in ('fork', 'spawn', 'forkserver'):
        ctx = mp.get_context(how)
        with ctx.Pool(2) as pool: print(how, pool.map(square, range(6)))
        m = shared_memory.SharedMemory(create=True, size=100)
        p = ctx.Process(target=fill, args=(m.name,)); p.start(); p.join(); print(m.buf[0], p.exitcode); m.close(); m.unlink()
        with ctx.Manager() as manager:
            d = manager.dict(); d['a'] = 1; print(dict(d))
        with ProcessPoolExecutor(2, mp_context=ctx) as e: print(list(e.map(square, range(4))))
",
        )
    };
    program("python_start_methods", "/usr/bin/python3", &["methods.py"]).prepare(prepare).expect_status(0).compare()
}

fn python_pty() -> Result {
    let text = "
import pty, os
status = pty.spawn(['/bin/sh', '-c', 'tty >/dev/null && test -t 0 && echo on a terminal; stty size; exit 3'])
print(os.waitstatus_to_exitcode(status))
";
    program("python_pty", "/usr/bin/python3", &["-c", text]).compare()
}

fn node_fork() -> Result {
    let prepare = |dir: &Path| {
        fs::write(
            dir.join("fork.js"),
            "const {fork} = require('child_process');
if (process.argv[2] === 'child') process.on('message', m => { process.send({got: m}); process.disconnect(); });
else {
  const c = fork(__filename, ['child']);
  c.on('message', m => console.log(JSON.stringify(m))); c.on('exit', code => console.log('exit', code)); c.send({a: 1});
}
",
        )
    };
    program("node_fork", "/usr/bin/node", &["fork.js"]).prepare(prepare).expect_status(0).compare()
}

fn node_cluster() -> Result {
    let prepare = |dir: &Path| {
        fs::write(
            dir.join("cluster.js"),
            "const cluster = require('cluster'), net = require('net'), path = 'cluster.sock';
if (cluster.isPrimary) {
  const w = cluster.fork();
  w.on('listening', () => { const c = net.connect(path); c.on('data', d => { console.log('' + d); c.end(); w.kill(); }); });
  w.on('exit', () => console.log('gone'));
} else net.createServer(s => s.end('from the worker')).listen(path);
",
        )
    };
    program("node_cluster", "/usr/bin/node", &["cluster.js"]).prepare(prepare).expect_status(0).compare()
}

fn expect() -> Result {
    let text = "spawn /bin/sh -c {read a; echo \"<$a>\"; exit 4}; send \"hello\\r\"; expect \"<hello>\"; expect eof; puts [lindex [wait] 3]";
    program("expect", "/usr/bin/expect", &["-c", text]).compare()
}

/// Programs that look at processes, and what of their output is the same everywhere.
fn process_tools() -> Result {
    let text = "sleep 77.7 & sleep 0.3; pgrep -f '^sleep 77.7' | wc -l; ps -o comm=,args= -p $!; ps -ef | grep -q '[s]leep 77.7' && echo listed; ps aux | head -n 1 | tr -s ' ';
        top -b -n1 -p $! | tail -n 1 | awk '{ print $NF }'; pkill -f '^sleep 77.7'; wait $!; echo $?;
        sleep 5 </etc/passwd & lsof -a -p $! -d 0 -Fn | grep passwd; kill -s TERM $!; wait $!; echo $?";
    program("process_tools", "/bin/bash", &["-c", text]).compare()
}

/// Fields and shapes of the files under /proc.
fn proc_shapes() -> Result {
    const SCRIPT: &str = include_str!("programs/proc_shapes.py");
    program("proc_shapes", "/usr/bin/python3", &["-c", SCRIPT]).expect_status(0).compare()
}

/// Servers and clients of Python's library over the loopback device.
fn python_sockets() -> Result {
    const SCRIPT: &str = include_str!("programs/python_sockets.py");
    program("python_sockets", "/usr/bin/python3", &["-c", SCRIPT]).expect_status(0).compare()
}

/// A multiplexer driven by keys, judged by what its panes show.
fn tmux_panes() -> Result {
    const SCRIPT: &str = include_str!("programs/panes.sh");
    program("tmux_panes", "/bin/bash", &["-c", SCRIPT]).timeout(100).compare()
}

fn java_processes() -> Result {
    if !litebox_test_support::compile::have("javac") {
        return skip("no javac on this machine");
    }
    let classes = litebox_test_support::fresh_dir("java_processes_classes")?;
    fs::write(classes.join("Processes.java"), include_str!("programs/Processes.java"))?;
    let status = std::process::Command::new("javac").arg("Processes.java").current_dir(&classes).status()?;
    if !status.success() {
        return Err("javac failed".into());
    }
    let dir = classes.display().to_string();
    let case = program("java_processes", "/usr/bin/java", &["-cp", &dir, "Processes"]);
    case.options(["-v", &format!("{dir}:{dir}:ro")]).timeout(120).expect_status(0).compare()
}

fn package_build() -> Result {
    let text = "umask 022; mkdir -p p/DEBIAN p/usr/share/x; echo file >p/usr/share/x/f
        printf 'Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n' >p/DEBIAN/control
        dpkg-deb --root-owner-group -b p a.deb; dpkg-deb -I a.deb | tail -n 3; dpkg-deb -x a.deb out; cat out/usr/share/x/f";
    program("package_build", "/bin/sh", &["-c", text]).compare()
}

fn main() {
    const PROGRAMS: &[NamedTest] = &[
        ("xargs", xargs),
        ("timeouts", timeouts),
        ("nohup", nohup),
        ("compile", compile),
        ("make", make),
        ("git", git),
        ("python_subprocess", python_subprocess),
        ("python_multiprocessing", python_multiprocessing),
        ("perl_fork_server", perl_fork_server),
        ("busybox_shell", busybox_shell),
        ("node_children", node_children),
        ("python_start_methods", python_start_methods),
        ("python_pty", python_pty),
        ("node_fork", node_fork),
        ("node_cluster", node_cluster),
        ("expect", expect),
        ("process_tools", process_tools),
        ("proc_shapes", proc_shapes),
        ("python_sockets", python_sockets),
        ("tmux_panes", tmux_panes),
        ("java_processes", java_processes),
        ("package_build", package_build),
    ];
    let table: Vec<NamedTest> = SCRIPTS.iter().chain(PROGRAMS).copied().collect();
    litebox_test_support::run_table(&table)
}
