//! Real programs of the machine: the same stdout and exit status in the sandbox as on the bare host.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use litebox_test_support::{Case, NamedTest, Result, find_program, skip};

/// Here chromium makes a directory of its own when root runs it, and no sandbox shows what only root may read.
const CHROMIUM: &str = "/usr/lib/chromium";

/// A file of text lines in a fixed, well mixed order.
fn lines(dir: &Path, name: &str, count: u64) -> io::Result<()> {
    let mut out = io::BufWriter::new(fs::File::create(dir.join(name))?);
    let mut state = 42_u64;
    for _ in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        writeln!(out, "{:08x} line", state >> 32)?;
    }
    out.flush()
}

/// A small tree with directories, a hard link, a symbolic link and an empty file.
fn tree(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir.join("tree/deep/deeper"))?;
    lines(dir, "tree/a.txt", 1000)?;
    lines(dir, "tree/deep/b.txt", 10)?;
    fs::write(dir.join("tree/deep/deeper/empty"), "")?;
    fs::hard_link(dir.join("tree/a.txt"), dir.join("tree/deep/hard"))?;
    std::os::unix::fs::symlink("../a.txt", dir.join("tree/deep/soft"))
}

fn numbers(dir: &Path) -> io::Result<()> {
    fs::write(dir.join("numbers"), (1..=2000).map(|n| format!("{n} {}\n", n * n)).collect::<Vec<_>>().concat())?;
    fs::write(dir.join("data.json"), r#"{"list": [3, 1, 2], "nested": {"text": "h\u00e9llo", "no": null}}"#)
}

/// A file of 256 MB, sparse on disk: what counts is reading and hashing it.
fn large(dir: &Path) -> io::Result<()> {
    fs::File::create(dir.join("large"))?.set_len(256 << 20)
}

fn program(name: &str, path: &str, args: &[&str]) -> Case {
    Case::new(name, path).args(args)
}

macro_rules! programs {
    ($($name:ident: $path:literal $args:tt $(.$method:ident($($value:expr),*))*;)*) => {
        $(fn $name() -> Result {
            program(stringify!($name), $path, &$args)$(.$method($($value),*))*.compare()
        })*
        const PROGRAMS: &[NamedTest] = &[$((stringify!($name), $name)),*];
    };
}

programs! {
    true_: "/usr/bin/true" [].expect_status(0);
    false_: "/usr/bin/false" [].expect_status(1);
    echo: "/usr/bin/echo" ["-e", "a\\tb"];
    ls_usr_bin: "/usr/bin/ls" ["-la", "/usr/bin"];
    ls_missing: "/usr/bin/ls" ["no-such-file"].with_stderr();
    cat_file: "/usr/bin/cat" ["numbers", "-"].prepare(numbers).stdin("from stdin\n");
    cat_stdin: "/usr/bin/cat" [].stdin(vec![b'x'; 3_000_000]);
    head: "/usr/bin/head" ["-n", "3", "numbers"].prepare(numbers);
    wc: "/usr/bin/wc" ["numbers"].prepare(numbers);
    sort_1m: "/usr/bin/sort" ["lines"].prepare(|dir| lines(dir, "lines", 1_000_000)).timeout(150);
    sort_one_thread: "/usr/bin/sort" ["--parallel=1", "-u", "lines"].prepare(|dir| lines(dir, "lines", 100_000));
    find_usr_lib: "/usr/bin/find" ["/usr/lib", "-path", CHROMIUM, "-prune", "-o", "-print"].timeout(120);
    find_with_metadata: "/usr/bin/find" [
        "/usr/lib", "-path", CHROMIUM, "-prune", "-o", "-printf", "%y %m %n %s %U %i %T@ %l %p\\n"
    ].timeout(120);
    grep_recursive: "/usr/bin/grep" ["-r", "-c", "00", "tree"].prepare(tree);
    grep_usr_lib_python: "/usr/bin/grep" ["-rnI", "EWOULDBLOCK", "/usr/lib/python3", "/usr/lib/python3.11"];
    grep_usr_include: "/usr/bin/grep" ["-r", "-l", "EWOULDBLOCK", "/usr/include"];
    sha256sum_256mb: "/usr/bin/sha256sum" ["large"].prepare(large).timeout(150);
    tar_create: "/usr/bin/tar" ["--sort=name", "--mtime=@0", "-cf", "tree.tar", "tree"].prepare(tree).with_tree();
    tar_extract: "/usr/bin/tar" ["-xvf", "tree.tar"].prepare(tar_file).with_tree();
    gzip: "/usr/bin/gzip" ["-n", "-k", "numbers"].prepare(numbers).with_tree();
    gzip_stdin: "/usr/bin/gzip" ["-n", "-c"].stdin(vec![b'z'; 1_000_000]);
    cp_recursive: "/usr/bin/cp" ["-r", "tree", "copy"].prepare(tree).with_tree();
    cp_archive: "/usr/bin/cp" ["-a", "tree", "copy"].prepare(tree).with_tree();
    mv: "/usr/bin/mv" ["-v", "tree/a.txt", "tree/deep", "moved-to"].prepare(tree_and_dir).with_tree();
    mv_directory: "/usr/bin/mv" ["tree", "renamed"].prepare(tree).with_tree();
    ln_symbolic: "/usr/bin/ln" ["-s", "target", "link"].with_tree();
    ln_hard: "/usr/bin/ln" ["tree/a.txt", "hard"].prepare(tree).with_tree();
    touch: "/usr/bin/touch" ["-d", "2001-02-03 04:05:06", "new"].with_tree();
    chmod: "/usr/bin/chmod" ["-v", "640", "tree/a.txt"].prepare(tree).with_tree();
    mkdir: "/usr/bin/mkdir" ["-pv", "x/y/z"].with_tree();
    rm_recursive: "/usr/bin/rm" ["-r", "tree"].prepare(tree).with_tree();
    stat: "/usr/bin/stat" ["-c", "%n %s %F %a %h", "tree", "tree/a.txt", "tree/deep/soft"].prepare(tree).with_tree();
    stat_usr: "/usr/bin/stat" ["-c", "%n %s %F %a %h %Y", "/usr/bin/env", "/etc/passwd"];
    du: "/usr/bin/du" ["-b", "tree/a.txt"].prepare(tree).with_tree();
    du_usr_include: "/usr/bin/du" ["-a", "/usr/include"];
    du_usr_share: "/usr/bin/du" ["-ab", "/usr/share/doc"].timeout(120);
    dd: "/usr/bin/dd" ["if=numbers", "of=copy", "bs=100", "count=7", "skip=2", "status=none"].prepare(numbers).with_tree();
    split: "/usr/bin/split" ["-l", "300", "numbers", "part-"].prepare(numbers).with_tree();
    sed_in_place: "/usr/bin/sed" ["-i", "s/1/one/g", "numbers"].prepare(numbers).with_tree();
    awk: "/usr/bin/awk" ["{ sum += $2 } END { print NR, sum }", "numbers"].prepare(numbers);
    jq: "/usr/bin/jq" [".list | sort, length", "data.json"].prepare(numbers);
    bc: "/usr/bin/bc" ["-l"].stdin("scale=50\n4*a(1)\n2^200\n");
    openssl_digest: "/usr/bin/openssl" ["dgst", "-sha512", "numbers"].prepare(numbers);
    perl: "/usr/bin/perl" ["-e", "my %h; while (<>) { $h{substr $_, 0, 1}++ } print \"$_ $h{$_}\\n\" for sort keys %h", "numbers"].prepare(numbers);
    sqlite3: "/usr/bin/sqlite3" ["base.db", "create table t(a, b); insert into t values (1, 'x'), (2, 'y'); select sum(a), group_concat(b) from t;"].with_stderr();
    date_utc: "/usr/bin/date" ["-u", "-d", "@86400", "+%F %T"];
    env: "/usr/bin/env" ["-i", "A=1", "/usr/bin/env"];
    sleep: "/usr/bin/sleep" ["0.2"];
    id_version: "/usr/bin/id" ["--version"];
    valgrind_memcheck: "/usr/bin/valgrind" ["-q", "--error-exitcode=9", "/usr/bin/ls", "-d", "/"].timeout(60);
    valgrind_cachegrind: "/usr/bin/valgrind" ["-q", "--tool=cachegrind", "--cachegrind-out-file=/dev/null", "/usr/bin/sort", "numbers"]
        .prepare(numbers).timeout(60);
    java_version: "/usr/bin/java" ["-version"].with_stderr().timeout(120).expect_status(0);
    node_files: "/usr/bin/node" ["-e", NODE_FILES].with_tree().timeout(120);
    node_zlib: "/usr/bin/node" ["-e", "const z=require('zlib');const b=Buffer.alloc(1<<20,'abc');console.log(z.gunzipSync(z.gzipSync(b)).equals(b))"].timeout(120);
    node_workers: "/usr/bin/node" ["-e", NODE_WORKERS].timeout(120);
    node_under_load: "/usr/bin/node" ["-e", NODE_LOAD].timeout(120);
    node_timers: "/usr/bin/node" ["-e", "setTimeout(()=>console.log('b'),20);setImmediate(()=>console.log('a'));const i=setInterval(()=>{console.log('c');clearInterval(i)},40)"].timeout(120);
}

const NODE_FILES: &str = "const fs=require('fs');fs.mkdirSync('d/e',{recursive:true});fs.writeFileSync('d/e/f','text');\
    fs.promises.readFile('d/e/f','utf8').then(t=>{console.log(t,fs.readdirSync('d'));fs.rmSync('d',{recursive:true})})";
const NODE_WORKERS: &str = "const {Worker}=require('worker_threads');let n=0,s=0;for(let i=1;i<=4;i++){const w=new Worker(\
    'const {parentPort,workerData}=require(\"worker_threads\");parentPort.postMessage(workerData*workerData)',\
    {eval:true,workerData:i});w.on('message',m=>{s+=m});w.on('exit',()=>{if(++n==4)console.log(s)})}";
/// Threads that compile code while they make calls.
const NODE_LOAD: &str = "const {Worker}=require('worker_threads');const code=`const fs=require('fs');const {parentPort}=require('worker_threads');\
    let h=7;for(let r=0;r<300;r++){const f=new Function('x','return x*'+(r%7)+'+'+r);for(let i=0;i<3000;i++)h=(Math.imul(h,31)+f(i))|0;\
    h+=fs.readFileSync('/etc/passwd').length>0?1:0;fs.statSync('/usr')}parentPort.postMessage(h)`;let left=4,all=[];\
    for(let i=0;i<4;i++)new Worker(code,{eval:true}).on('message',h=>{all.push(h);if(!--left)console.log(all.every(x=>x===all[0]),all[0])})";

fn tree_and_dir(dir: &Path) -> io::Result<()> {
    tree(dir)?;
    fs::create_dir(dir.join("moved-to"))
}

fn tar_file(dir: &Path) -> io::Result<()> {
    tree(dir)?;
    let mut command = std::process::Command::new("tar");
    let status = command.args(["--sort=name", "-cf", "tree.tar", "tree"]).current_dir(dir).status()?;
    if !status.success() {
        return Err(io::Error::other("tar failed"));
    }
    fs::remove_dir_all(dir.join("tree"))
}

fn busybox(name: &str, args: &[&str]) -> Result {
    let Some(path) = find_program(&["/usr/bin/busybox", "/bin/busybox"]) else {
        return skip("no busybox on this machine");
    };
    Case::new(name, path).args(args).prepare(tree).with_tree().compare()
}

macro_rules! busybox {
    ($($name:ident $args:tt;)*) => {
        $(fn $name() -> Result { busybox(stringify!($name), &$args) })*
        const BUSYBOX: &[NamedTest] = &[$((stringify!($name), $name)),*];
    };
}

busybox! {
    busybox_cat ["cat", "tree/a.txt"];
    busybox_sha1sum ["sha1sum", "tree/a.txt"];
    busybox_find ["find", "tree/deep/deeper"];
    busybox_cp ["cp", "-r", "tree", "copy"];
    busybox_sed ["sed", "-i", "s/line/LINE/", "tree/a.txt"];
    busybox_awk ["awk", "END { print NR }", "tree/a.txt"];
    busybox_sort ["sort", "-r", "tree/a.txt"];
    busybox_rm ["rm", "-r", "tree"];
    busybox_shell ["sh", "-c", "for i in 1 2 3; do echo $i; done; cd tree && [ -f a.txt ] && exit 9"];
}

/// Debian's interpreter: `python3` in PATH may be a shell script that chooses among several.
fn python(name: &str, script: &str) -> Result {
    let case = Case::new(name, "/usr/bin/python3").args(["-c", script]);
    case.with_tree().expect_status(0).timeout(120).compare()
}

macro_rules! python {
    ($($name:ident $script:literal;)*) => {
        $(fn $name() -> Result { python(stringify!($name), $script) })*
        const PYTHON: &[NamedTest] = &[$((stringify!($name), $name)),*];
    };
}

python! {
    python_hello "print('hello')";
    python_json "import json\nprint(json.dumps(json.loads('{\"a\": [1, 2.5, null]}'), sort_keys=True))";
    python_re "import re\nprint(re.sub(r'(\\w+) (\\w+)', r'\\2 \\1', 'one two three four'))";
    python_hashlib "import hashlib\nfor n in ('md5', 'sha256', 'blake2b'): print(n, hashlib.new(n, b'x' * 100000).hexdigest())";
    python_sqlite3 "import sqlite3\nc = sqlite3.connect('base.db')\nc.execute('create table t(a)')\nc.executemany('insert into t values (?)', [(i,) for i in range(1000)])\nc.commit()\nprint(c.execute('select sum(a), count(*) from t').fetchone())\nc.execute('delete from t where a % 2')\nc.commit()\nprint(c.execute('pragma integrity_check').fetchone())";
    python_mmap "import mmap\nopen('f', 'wb').write(b'a' * 10000)\nwith open('f', 'r+b') as f:\n    m = mmap.mmap(f.fileno(), 0)\n    m[5000:5003] = b'xyz'\n    m.flush()\n    print(m.find(b'xyz'), len(m))\n    m.close()\nprint(open('f', 'rb').read().count(b'a'))";
    python_tempfile "import tempfile, os\nwith tempfile.TemporaryFile() as f:\n    f.write(b'abc'); f.seek(1); print(f.read())\nwith tempfile.TemporaryDirectory(dir='.') as d:\n    open(d + '/x', 'w').close(); print(os.listdir(d))\nprint(os.listdir('.'))";
    python_shutil "import shutil, os\nos.makedirs('a/b/c')\nopen('a/b/f', 'w').write('text')\nshutil.copytree('a', 'copy')\nshutil.move('copy/b', 'moved')\nshutil.make_archive('z', 'zip', 'a')\nprint(sorted(os.listdir('.')), open('moved/f').read())\nos.remove('z.zip')\nshutil.rmtree('a')";
    python_walk "import os\nfor top in ('/usr/share/doc', '/etc'):\n    n = 0\n    for d, dirs, files in os.walk(top): n += len(dirs) + len(files)\n    print(top, n > 10)\nprint(sorted(os.listdir('/usr/bin'))[:20])";
    python_threads "import threading, queue\nq, out, lock = queue.Queue(), [], threading.Lock()\ndef work():\n    while True:\n        n = q.get()\n        if n is None: return\n        with lock: out.append(n * n)\nts = [threading.Thread(target=work) for _ in range(8)]\n[t.start() for t in ts]\n[q.put(n) for n in range(2000)]\n[q.put(None) for _ in ts]\n[t.join() for t in ts]\nprint(sum(out), len(out))";
    python_alarm "import signal, time\nhits = []\nsignal.signal(signal.SIGALRM, lambda s, f: hits.append(s))\nsignal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)\nwhile len(hits) < 3: time.sleep(1)\nsignal.alarm(0)\nprint(hits[:3])";
    python_asyncio "import asyncio\nasync def job(n):\n    await asyncio.sleep(0.01 * (5 - n)); print(n); return n\nasync def main():\n    print(await asyncio.gather(*[job(n) for n in range(5)]))\nasyncio.run(main())";
    python_kill "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *a: print('usr1'))\nos.kill(os.getpid(), signal.SIGUSR1)\nprint(signal.sigtimedwait([], 0))";
}

fn python_killed_by_signal() -> Result {
    let case = Case::new("python_killed_by_signal", "/usr/bin/python3");
    case.args(["-c", "import os; os.kill(os.getpid(), 9)"]).expect_status(137).compare()
}

/// `yes` ends by SIGPIPE when the reader of its output goes away.
fn yes_head() -> Result {
    use std::process::{Command, Stdio};
    let mut runs = vec![Command::new("/usr/bin/yes")];
    if !litebox_test_support::host_only() {
        let mut sandboxed = litebox_test_support::litebox();
        sandboxed.args(["run", "--", "/usr/bin/yes"]);
        runs.push(sandboxed);
    }
    for mut command in runs {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = child.stdout.take().ok_or("no stdout")?;
        let first = io::BufRead::lines(io::BufReader::new(output)).take(3).collect::<io::Result<Vec<_>>>()?;
        let (status, late) =
            litebox_test_support::program_result::wait(&mut child, std::time::Duration::from_secs(20))?;
        let status = litebox_test_support::program_result::status_code(status);
        if late.is_some() || status != 141 || first != ["y", "y", "y"] {
            return Err(format!("{command:?}: status {status}, read {first:?}").into());
        }
    }
    Ok(())
}

fn java_threads() -> Result {
    let source = "class Main { public static void main(String[] a) throws Exception { var p = \
        java.util.concurrent.Executors.newFixedThreadPool(4); var f = p.submit(() -> 42); System.out.println(\"hello \" + f.get()); \
        p.shutdown(); var sum = new java.util.concurrent.atomic.AtomicLong(); Thread[] t = new Thread[8]; \
        for (int i = 0; i < 8; i++) { t[i] = new Thread(() -> { for (int n = 0; n < 1000; n++) { \
        if (new java.io.File(\"/usr/none/\" + n).exists()) sum.addAndGet(1); sum.addAndGet(new int[1000 + n].length); } }); t[i].start(); } \
        for (var x : t) x.join(); System.out.println(\"joined \" + sum); } }";
    if !litebox_test_support::compile::have("javac") {
        return skip("no javac on this machine");
    }
    let classes = litebox_test_support::fresh_dir("java_threads_classes")?;
    fs::write(classes.join("Main.java"), source)?;
    let status = std::process::Command::new("javac").arg("Main.java").current_dir(&classes).status()?;
    if !status.success() {
        return Err("javac failed".into());
    }
    let dir = classes.display().to_string();
    let case = Case::new("java_threads", "/usr/bin/java").args(["-cp", &dir, "Main"]);
    case.options(["-v", &format!("{dir}:{dir}:ro")]).timeout(120).expect_stdout("hello 42\njoined 11996000\n").compare()
}

fn main() {
    let mut table = [PROGRAMS, BUSYBOX, PYTHON].concat();
    table.push(("python_killed_by_signal", python_killed_by_signal));
    table.push(("yes_head", yes_head));
    table.push(("java_threads", java_threads));
    litebox_test_support::run_table(&table);
}
