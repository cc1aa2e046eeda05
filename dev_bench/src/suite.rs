//! What is measured, and what was promised.

use Goal::{Most, Over, Ratio};
use RowKind::{Call, Call32, Coming, Leaving, OnVolume, Printed, Resident, Whole, Whole32};

/// How a benchmark gets its figure.
#[derive(Clone, Copy)]
pub enum RowKind {
    /// `calls NAME` times a loop of calls and prints nanoseconds of one: the name without its `cow_`.
    Call,
    /// As [`Call`], built for 32-bit x86: the name without its `_32`.
    Call32,
    /// `volume NAME` times a loop of calls on files, and prints nanoseconds of one: the name without its `rw_`.
    OnVolume,
    /// The wall time of a whole command, in milliseconds. `@` before a word: one of our guest programs.
    Whole(&'static [&'static str]),
    /// As [`Whole`], of a 32-bit program of Debian's. `%` is the directory in which `scripts/i386-programs.sh` leaves
    /// them, and stands before the program.
    Whole32(&'static [&'static str]),
    /// A command that prints the milliseconds it measured itself.
    Printed(&'static [&'static str]),
    /// A client of a server on the host: `net WHAT`.
    Leaving(&'static str),
    /// A client on the host of a server; `PORT` stands for the published port.
    Coming {
        /// The server, on the side that is measured.
        server: &'static [&'static str],
        /// The unit of the figure.
        unit: &'static str,
        /// Prints it.
        client: &'static [&'static str],
    },
    /// MiB that a waiting hello world takes, with all processes of its sandbox.
    Resident,
}

/// What was promised of a benchmark.
#[derive(Clone, Copy)]
pub enum Goal {
    /// At most this many times the bare host's figure.
    Ratio(f64),
    /// At most this much above the bare host's figure, in the benchmark's unit.
    Over(f64),
    /// At most this much, in the benchmark's unit.
    Most(f64),
}

/// Where a benchmark's working directory lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WorkDir {
    /// In memory.
    Memory,
    /// On a disk of the host; copy-on-write in the sandbox.
    Disk,
    /// On a disk of the host, which the sandbox changes.
    Volume,
}

/// One benchmark.
pub struct Benchmark {
    /// Its name.
    pub name: &'static str,
    /// How it is measured.
    pub kind: RowKind,
    /// Where.
    pub place: WorkDir,
    /// What was promised.
    pub goal: Goal,
}

impl Benchmark {
    /// The unit of its figures.
    pub fn unit(&self) -> &'static str {
        match self.kind {
            Call | Call32 | OnVolume | Leaving(_) => "ns",
            Whole(_) | Whole32(_) | Printed(_) => "ms",
            Coming { unit, .. } => unit,
            Resident => "MiB",
        }
    }
}

const fn call(name: &'static str, goal: f64) -> Benchmark {
    Benchmark { name, kind: Call, place: WorkDir::Memory, goal: Ratio(goal) }
}
const fn call32(name: &'static str, goal: f64) -> Benchmark {
    Benchmark { name, kind: Call32, place: WorkDir::Memory, goal: Ratio(goal) }
}
const fn whole(name: &'static str, goal: Goal, args: &'static [&'static str]) -> Benchmark {
    Benchmark { name, kind: Whole(args), place: WorkDir::Memory, goal }
}
const fn whole32(name: &'static str, goal: f64, args: &'static [&'static str]) -> Benchmark {
    Benchmark { name, kind: Whole32(args), place: WorkDir::Memory, goal: Ratio(goal) }
}
const fn on_disk(name: &'static str, goal: f64, kind: RowKind) -> Benchmark {
    Benchmark { name, kind, place: WorkDir::Disk, goal: Ratio(goal) }
}

const fn on_volume(name: &'static str, goal: Goal, kind: RowKind) -> Benchmark {
    Benchmark { name, kind, place: WorkDir::Volume, goal }
}

/// With an end of a connection on the host.
const fn outward(name: &'static str, goal: f64, kind: RowKind) -> Benchmark {
    Benchmark { name, kind, place: WorkDir::Memory, goal: Ratio(goal) }
}

/// Finds everything twice and prints the milliseconds of the second time.
const FIND: &str = "find /usr/lib >/dev/null; b=$EPOCHREALTIME; find /usr/lib >/dev/null; e=$EPOCHREALTIME; \
                    echo $(( (${e/./} - ${b/./}) / 1000 )).$(( (${e/./} - ${b/./}) % 1000 / 100 ))";
/// Server and clients in one place: 5,000 times SET and GET; prints the milliseconds.
const REDIS: &str = "p=$((20000 + $$ % 20000)); \
                     redis-server --port $p --bind 127.0.0.1 --save '' --dir /tmp >/dev/null & s=$!; \
                     until redis-cli -p $p ping >/dev/null 2>&1; do :; done; b=$EPOCHREALTIME; \
                     redis-benchmark -p $p -q -n 5000 -c 20 -t set,get >/dev/null; e=$EPOCHREALTIME; \
                     kill $s; wait $s; echo $(( (${e/./} - ${b/./}) / 1000 ))";
/// nginx with one worker on port `$1`, in the current directory.
macro_rules! nginx {
    () => {
        "mkdir -p n; echo hello >n/index.html; o=$PWD/n; \
         echo \"user root; daemon off; worker_processes 1; pid $o/pid; events { worker_connections 256; } \
         http { access_log off; client_body_temp_path $o/a; proxy_temp_path $o/b; fastcgi_temp_path $o/c; \
         uwsgi_temp_path $o/d; scgi_temp_path $o/e; server { listen $1; root $o; } }\" >n/conf; \
         exec /usr/sbin/nginx -c $o/conf -e $o/error"
    };
}
/// Prints the milliseconds of a thousand requests, by 32 connections to port `$1`.
macro_rules! wrk {
    () => {
        "wrk -t 1 -c 32 -d 1s http://127.0.0.1:$1/index.html | awk '/Requests.sec/ { printf \"%.3f\\n\", 1e6 / $2 }'"
    };
}
/// Both in one place.
const NGINX_AND_WRK: &str = concat!(
    "serve() { ",
    nginx!(),
    "; }; ask() { ",
    wrk!(),
    "; }; p=$((20000 + $$ % 20000)); serve $p & s=$!; \
     until (: </dev/tcp/127.0.0.1/$p) 2>/dev/null; do sleep 0.01; done; ask $p; kill $s; wait $s"
);
/// Prints the milliseconds of `$work`; `$before` and `$after` are not counted.
macro_rules! timed {
    ($before:literal, $work:literal, $after:literal) => {
        concat!(
            "set -e; ",
            $before,
            "; b=$EPOCHREALTIME; ",
            $work,
            "; e=$EPOCHREALTIME; ",
            $after,
            "; d=$(( ${e/./} - ${b/./} )); printf '%d.%03d\\n' $(( d / 1000 )) $(( d % 1000 ))"
        )
    };
}
const RW_STATUS: &str = timed!(":", "git -C repository status --short >/dev/null", ":");
const RW_COMMIT: &str = timed!(
    "cd repository; for i in {0..9}; do echo $RANDOM$RANDOM >dir$i/file0; done",
    "git -c gc.auto=0 -c user.name=bench -c user.email=bench@localhost commit -qam some",
    ":"
);
const RW_UNTAR: &str = timed!("rm -rf out; mkdir out", "tar -xf tree.tar -C out", "rm -rf out");
const RW_REMOVE: &str = timed!("rm -rf out; mkdir out; tar -xf tree.tar -C out", "rm -r out", ":");
const RW_COPY: &str = timed!("rm -rf copy", "cp -r packages copy", "rm -rf copy");
const COMMANDS: &str = "for i in {1..100}; do /bin/true; done";

/// All benchmarks, in the order of the report.
pub const ALL: &[Benchmark] = &[
    call("getpid", 0.12),
    call("getuid", 0.12),
    call("umask", 0.12),
    call("clock_gettime", 1.05),
    call("read_1_zero", 0.2),
    call("write_1_null", 0.2),
    call("pread_4k", 0.4),
    call("pread_64k", 0.8),
    call("pwrite_4k", 0.4),
    call("pwrite_random_4k", 0.6),
    call("make_write_unlink", 0.3),
    call("rename_twice", 0.4),
    on_disk("cow_pwrite_random_4k", 0.6, Call),
    on_disk("cow_make_write_unlink", 0.3, Call),
    on_disk("cow_rename_twice", 0.4, Call),
    whole("write_1g", Ratio(1.0), &["/bin/dd", "if=/dev/zero", "of=large", "bs=1M", "count=1024", "status=none"]),
    call("fstat", 0.15),
    call("stat", 0.3),
    call("open_close", 0.3),
    call("getdents_1000", 0.5),
    call("pipe_write_read", 0.3),
    call("poll_8", 0.3),
    call("epoll_wait_ready", 0.3),
    call("mmap_munmap_4k", 1.2),
    call("mmap_touch_1m", 1.1),
    call("mmap_file_touch_1m", 1.05),
    call("signal_self", 0.4),
    call("futex_wake", 0.25),
    call("pingpong_futex", 1.1),
    call("pingpong_pipe", 1.1),
    call("thread_create_join", 1.2),
    call("sched_yield", 1.1),
    call("nanosleep_0", 1.1),
    call("fork_wait", 1.15),
    call("fork_wait_64m", 1.05),
    call("posix_spawn_true", 0.9),
    call("vfork_exec_static", 0.7),
    call("pingpong_processes", 1.0),
    call("tcp_loopback_bulk", 0.3),
    call("tcp_pingpong", 0.8),
    call("tcp_connect_accept_close", 0.5),
    call("udp_pingpong", 0.8),
    call("epoll_9k_100_active", 0.7),
    Benchmark {
        name: "redis_benchmark",
        kind: Printed(&["/bin/bash", "-c", REDIS]),
        place: WorkDir::Memory,
        goal: Ratio(0.77),
    },
    Benchmark {
        name: "nginx_wrk",
        kind: Printed(&["/bin/bash", "-c", NGINX_AND_WRK]),
        place: WorkDir::Memory,
        goal: Ratio(0.83),
    },
    outward("brokered_bulk", 1.03, Leaving("bulk")),
    outward("brokered_pingpong", 1.1, Leaving("pingpong")),
    outward("brokered_connect", 1.5, Leaving("connect")),
    outward(
        "published_accept",
        1.5,
        Coming { unit: "ns", server: &["@net", "serve", "PORT"], client: &["@net", "connect", "127.0.0.1", "PORT"] },
    ),
    outward(
        "published_nginx_wrk",
        1.11,
        Coming {
            unit: "ms",
            server: &["/bin/bash", "-c", nginx!(), "nginx", "PORT"],
            client: &["/bin/bash", "-c", wrk!(), "wrk", "PORT"],
        },
    ),
    call32("getpid_32", 0.35),
    call32("int80_getpid_32", 1.6),
    call32("clock_gettime_32", 2.0),
    call32("read_1_zero_32", 0.4),
    call32("fork_wait_32", 1.15),
    call32("posix_spawn_true_32", 1.0),
    whole("hello_static", Over(1.5), &["@hello-static"]),
    Benchmark { name: "hello_resident", kind: Resident, place: WorkDir::Memory, goal: Over(8.0) },
    whole("python_pass", Ratio(1.15), &["/usr/bin/python3", "-c", "pass"]),
    whole("bash_100_commands", Ratio(0.9), &["/bin/bash", "-c", COMMANDS]),
    on_disk("find_usr_lib", 0.7, Printed(&["/bin/bash", "-c", FIND])),
    on_disk(
        "sqlite_50k_inserts",
        0.7,
        Whole(&["/usr/bin/sqlite3", "-init", "inserts.sql", "-batch", "new.db", ".exit"]),
    ),
    on_disk("gcc_1000_lines", 1.05, Whole(&["/usr/bin/gcc", "-O1", "-c", "lines.c", "-o", "lines.o"])),
    on_disk("git_status_10k_files", 0.9, Whole(&["/usr/bin/git", "-C", "repository", "status", "--short"])),
    on_volume("rw_stat", Ratio(0.6), OnVolume),
    on_volume("rw_access", Ratio(0.6), OnVolume),
    on_volume("rw_missing", Ratio(0.6), OnVolume),
    on_volume("rw_open_close", Ratio(0.8), OnVolume),
    on_volume("rw_read", Ratio(1.05), OnVolume),
    on_volume("rw_create", Ratio(1.4), OnVolume),
    on_volume("rw_rename", Ratio(1.6), OnVolume),
    on_volume("rw_unlink", Ratio(1.8), OnVolume),
    on_volume("rw_chmod", Most(10_000.0), OnVolume),
    on_volume("rw_utime", Most(10_000.0), OnVolume),
    on_volume("rw_readdir", Ratio(0.8), OnVolume),
    on_volume("rw_git_status", Ratio(0.9), Printed(&["/bin/bash", "-c", RW_STATUS])),
    on_volume("rw_git_commit", Ratio(1.3), Printed(&["/bin/bash", "-c", RW_COMMIT])),
    on_volume("rw_untar", Ratio(1.4), Printed(&["/bin/bash", "-c", RW_UNTAR])),
    on_volume("rw_remove", Ratio(1.4), Printed(&["/bin/bash", "-c", RW_REMOVE])),
    on_volume("rw_copy", Ratio(1.3), Printed(&["/bin/bash", "-c", RW_COPY])),
    on_disk("sha256sum_256m", 1.01, Whole(&["/usr/bin/sha256sum", "large"])),
    whole(
        "python_loop",
        Ratio(1.01),
        &["/usr/bin/python3", "-c", "s = 0\nfor i in range(20_000_000): s += i * i\nprint(s)"],
    ),
    whole32("bash_100_commands_32", 1.0, &["%/bin/bash", "-c", "for i in {1..100}; do %/bin/true; done"]),
    // Digits of its numbers have 15 bits: fewer rounds take as long.
    whole32(
        "python_loop_32",
        1.01,
        &["%/usr/bin/python3.11", "-S", "-c", "s = 0\nfor i in range(8_000_000): s += i * i\nprint(s)"],
    ),
];
