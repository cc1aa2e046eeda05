//! Servers and clients that people run, over the loopback device, all in one sandbox: what they print must be what they
//! print on the bare host. The scripts are in `tests/programs/net`.

use std::path::Path;

use litebox_test_support::{Case, NamedTest, Result, skip};

const PRELUDE: &str = include_str!("programs/net/prelude.sh");
/// Seconds that a script may take.
const LIMIT: u64 = 120;

/// Runs a script that wants these programs, on the host and in the sandbox.
fn same(name: &str, programs: &[&str], script: &str) -> Result {
    let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin", "/sbin"];
    let is_there = |program: &str| places.iter().any(|place| Path::new(place).join(program).exists());
    if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
        return skip(&format!("no {missing} on this machine"));
    }
    let case = Case::new(name, "/bin/bash").args(["-c", &format!("{PRELUDE}{script}")]);
    case.timeout(LIMIT).expect_status(0).compare()
}

macro_rules! scripts {
    ($($name:ident: [$($program:literal),*],)*) => {
        $(fn $name() -> Result {
            let script = include_str!(concat!("programs/net/", stringify!($name), ".sh"));
            same(stringify!($name), &["python3", $($program),*], script)
        })*
        const TESTS: &[NamedTest] = &[$((stringify!($name), $name)),*];
    };
}

scripts! {
    git: ["git"],
    http: ["curl", "wget"],
    java: ["java", "javac"],
    memcached: ["memcached"],
    names: ["dnsmasq", "dig"],
    nginx: ["nginx", "curl"],
    node: ["node"],
    pip: ["pip3"],
    postgres: ["psql", "setpriv"],
    redis: ["redis-server", "redis-cli", "redis-benchmark"],
    rsync: ["rsync"],
    socat: ["socat", "nc"],
    tls: ["openssl", "curl", "wget"],
    tools: ["ping", "ip", "ss", "nc"],
}

fn main() {
    litebox_test_support::run_table(TESTS);
}
