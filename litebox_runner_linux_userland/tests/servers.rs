//! Servers and clients that people run, over the loopback device, all in one sandbox: what they print must be what they
//! print on the bare host. The scripts are in `tests/programs/net`.

use std::fs;
use std::path::Path;

use litebox_test_support::{Case, NamedTest, Result, fresh_dir, skip};

const PRELUDE: &str = include_str!("programs/net/prelude.sh");
/// Seconds that a script may take.
const LIMIT: u64 = 120;

/// Runs a script that wants these programs, on the host and in the sandbox with these options.
fn same(name: &str, programs: &[&str], script: &str, options: &[&str]) -> Result {
    let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin", "/sbin"];
    let is_there = |program: &str| places.iter().any(|place| Path::new(place).join(program).exists());
    if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
        return skip(&format!("no {missing} on this machine"));
    }
    let case = Case::new(name, "/bin/bash").args(["-c", &format!("{PRELUDE}{script}")]);
    case.options(options).timeout(LIMIT).expect_status(0).compare()
}

macro_rules! scripts {
    ($($name:ident: [$($program:literal),*],)*) => {
        $(fn $name() -> Result {
            let script = include_str!(concat!("programs/net/", stringify!($name), ".sh"));
            same(stringify!($name), &["python3", $($program),*], script, &[])
        })*
        const TESTS: &[NamedTest] = &[("aiohttp", aiohttp), ("ssh", ssh), $((stringify!($name), $name)),*];
    };
}

/// Whether Python has a module of Debian's.
fn has_module(name: &str) -> bool {
    Path::new("/usr/lib/python3/dist-packages").join(name).exists()
}

/// Who has no shadow entry has a locked account, for sshd. The default view hides those of the host.
fn ssh() -> Result {
    let entries = fresh_dir("servers_ssh")?.join("shadow");
    fs::write(&entries, "root:*:20000:0:99999:7:::\n")?;
    let grant = format!("{}:/etc/shadow:ro", entries.display());
    let script = include_str!("programs/net/ssh.sh");
    same("ssh", &["python3", "sshd", "ssh", "scp", "git"], script, &["-v", &grant])
}

fn aiohttp() -> Result {
    for module in ["aiohttp", "requests"] {
        if !has_module(module) {
            return skip(&format!("no python3-{module} on this machine"));
        }
    }
    same("aiohttp", &["python3"], include_str!("programs/net/aiohttp.sh"), &[])
}

scripts! {
    chromium: ["chromium"],
    git: ["git"],
    go: ["go"],
    http: ["curl", "wget"],
    jupyter: ["jupyter-nbconvert"],
    java: ["java", "javac"],
    memcached: ["memcached"],
    names: ["dnsmasq", "dig"],
    nginx: ["nginx", "curl"],
    node: ["node"],
    npm: ["node", "npm"],
    pip: ["pip3"],
    postgres: ["psql", "setpriv"],
    redis: ["redis-server", "redis-cli", "redis-benchmark"],
    rsync: ["rsync"],
    socat: ["socat", "nc"],
    tls: ["openssl", "curl", "wget"],
    tools: ["ping", "ip", "ss", "nc"],
    wrk: ["wrk", "nginx", "curl"],
}

fn main() {
    litebox_test_support::run_table(TESTS);
}
