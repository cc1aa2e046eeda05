//! Programs that fetch something from nginx on the host's loopback, by http, TLS and HTTP/2.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use litebox_test_support::{NamedTest, Result, fresh_dir, skip};

use super::{Running, prints, python, run, wait_for};

/// A server of files.
struct Site {
    files: PathBuf,
    plain: u16,
    tls: u16,
    _server: Running,
}

fn is_there(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter().any(|place| Path::new(place).join(program).exists())
}

/// Skips where one of these programs is missing.
macro_rules! want {
    ($($program:literal),*) => {
        for program in ["nginx", "openssl", $($program),*] {
            if !is_there(program) {
                return skip(&format!("no {program} on this machine"));
            }
        }
    };
}

/// Runs a program on the host.
fn on_host(dir: &Path, program: &str, args: &[&str]) -> Result {
    let done = Command::new(program).args(args).current_dir(dir).env("HOME", dir).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr)).into())
}

fn free_port() -> io::Result<u16> {
    TcpListener::bind("127.0.0.1:0")?.local_addr().map(|address| address.port())
}

impl Site {
    /// What `make` puts into a directory is served, with a certificate (`ca.pem`) for the name `host`.
    fn start(name: &str, make: impl FnOnce(&Path) -> Result) -> std::result::Result<Self, libtest_mimic::Failed> {
        let dir = fresh_dir(&format!("network_{name}"))?;
        let files = dir.join("files");
        fs::create_dir_all(&files)?;
        make(&files)?;
        let subject = ["-subj", "/CN=host", "-addext", "subjectAltName=DNS:host"];
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"];
        let rest = ["req", "-x509", "-days", "2", "-out", "files/ca.pem"];
        on_host(&dir, "openssl", &[&rest[..], &key, &subject].concat())?;
        let (plain, tls) = (free_port()?, free_port()?);
        let at = dir.display();
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let places = places.map(|place| format!("{place}_temp_path {at}/{place};\n")).concat();
        let config = format!(
            "user root;\ndaemon off;\npid {at}/pid;\nerror_log {at}/error;\nevents {{ worker_connections 64; }}\n\
             http {{\naccess_log off;\n{places}server {{\nlisten 127.0.0.1:{plain};\nlisten 127.0.0.1:{tls} ssl http2;\n\
             ssl_certificate {at}/files/ca.pem;\nssl_certificate_key {at}/key.pem;\nroot {at}/files;\n}}\n}}\n"
        );
        fs::write(dir.join("nginx.conf"), config)?;
        let mut server = Command::new("nginx");
        let conf = dir.join("nginx.conf");
        server.arg("-c").arg(&conf).arg("-e").arg(dir.join("error")).env("PATH", "/usr/sbin:/usr/bin:/bin");
        let server = Running::start(server)?;
        wait_for(plain)?;
        wait_for(tls)?;
        Ok(Self { files, plain, tls, _server: server })
    }
    fn rules(&self) -> String {
        format!("host:{},host:{}", self.plain, self.tls)
    }
    /// Runs a script in the sandbox, with the server's files at /files, `$PLAIN` and `$TLS`.
    fn script(&self, script: &str, expected: &str) -> Result {
        let (rules, files) = (self.rules(), format!("{}:/files:ro", self.files.display()));
        let (plain, tls) = (format!("PLAIN=http://host:{}", self.plain), format!("TLS=https://host:{}", self.tls));
        let options = ["--allow-net", &rules, "-v", &files, "-w", "/tmp", "-e", &plain, "-e", &tls, "-e", "HOME=/tmp"];
        prints(&run(&options, &["/bin/sh", "-c", script])?, expected)
    }
}

/// Numbers, too many for one write.
fn numbers(dir: &Path) -> Result {
    let numbers: Vec<String> = (0..100_000).map(|n| n.to_string() + "\n").collect();
    Ok(fs::write(dir.join("numbers"), numbers.concat())?)
}

/// curl: TLS against a certificate of one's own, HTTP/2, many at once; a certificate that is not known is refused.
fn curl() -> Result {
    want!("curl");
    let site = Site::start("curl", numbers)?;
    site.script(
        r#"f() { curl -sS --cacert /files/ca.pem "$@"; }
        f "$PLAIN/numbers" | cmp - /files/numbers && echo http
        f --http2 -o got -w '%{http_version} %{http_code}\n' "$TLS/numbers"; cmp got /files/numbers
        f --http1.1 -o got -w '%{http_version} %{http_code}\n' "$TLS/numbers"; cmp got /files/numbers
        f --http2 --parallel "$TLS/numbers?[1-20]" 2>/dev/null | wc -c
        curl -s "$TLS/numbers"; echo "unknown: $?""#,
        "http\n2 200\n1.1 200\n11777800\nunknown: 60\n",
    )
}

fn wget() -> Result {
    want!("wget");
    let site = Site::start("wget", numbers)?;
    site.script(
        r#"wget -q --ca-certificate=/files/ca.pem -O got "$TLS/numbers" && cmp got /files/numbers && echo same
        wget -q -c -O part "$PLAIN/nothing"; echo "missing: $?""#,
        "same\nmissing: 8\n",
    )
}

/// git clones and fetches from a repository that is only files.
fn git() -> Result {
    want!("git");
    let site = Site::start("git", |dir| {
        let git = |args: &[&str]| on_host(dir, "git", args);
        git(&["init", "-q", "-b", "main", "work"])?;
        numbers(&dir.join("work"))?;
        git(&["-C", "work", "add", "."])?;
        let names = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        git(&[&["-C", "work"], &names[..], &["commit", "-q", "-m", "Numbers"]].concat())?;
        git(&["clone", "-q", "--bare", "work", "repository.git"])?;
        git(&["-C", "repository.git", "update-server-info"])
    })?;
    site.script(
        r#"export GIT_SSL_CAINFO=/files/ca.pem
        git clone -q "$PLAIN/repository.git" a && git -C a log --format=%s && cmp a/numbers /files/work/numbers
        git clone -q "$TLS/repository.git" b && git -C b fetch -q && git -C b status --short --branch"#,
        "Numbers\n## main...origin/main\n",
    )
}

/// A wheel with one module, as an index has it.
const WHEEL: &str = r"
import os, zipfile
os.makedirs('simple/counts')
w = zipfile.ZipFile('simple/counts/counts-1.0-py3-none-any.whl', 'w')
w.writestr('counts.py', 'def up_to(n): return list(range(n))\n')
w.writestr('counts-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\nName: counts\nVersion: 1.0\n')
w.writestr('counts-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
w.writestr('counts-1.0.dist-info/RECORD', '')
w.close()
open('simple/counts/index.html', 'w').write('<a href=counts-1.0-py3-none-any.whl>counts-1.0-py3-none-any.whl</a>')
";

/// pip installs from an index.
fn pip() -> Result {
    want!("pip3");
    let Some(python) = python() else { return skip("no python3 on this machine") };
    let site = Site::start("pip", |dir| on_host(dir, &python, &["-c", WHEEL]))?;
    site.script(
        r#"python3 -m pip install -q --disable-pip-version-check --no-cache-dir --cert /files/ca.pem \
            --index-url "$TLS/simple/" --target there counts 2>errors || cat errors
        PYTHONPATH=there python3 -c 'import counts; print(counts.up_to(3))'"#,
        "[0, 1, 2]\n",
    )
}

fn node() -> Result {
    want!("node");
    let site = Site::start("node", numbers)?;
    site.script(
        r#"NODE_EXTRA_CA_CERTS=/files/ca.pem node -e '
        const get = async url => { const r = await fetch(url); return [r.status, (await r.text()).length] };
        const all = [process.env.PLAIN, process.env.TLS].map(at => get(at + "/numbers"));
        Promise.all(all.concat(get(process.env.TLS + "/nothing"))).then(r => console.log(r.map(r => r[0]).join(" "),
            r[0][1], r[1][1]))'"#,
        "200 200 404 588890 588890\n",
    )
}

const JAVA: &str = r#"
import java.net.URI;
import java.net.http.*;
class Fetch {
    public static void main(String[] args) throws Exception {
        var client = HttpClient.newHttpClient();
        var request = HttpRequest.newBuilder(URI.create(args[0])).build();
        var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body().length());
    }
}
"#;

fn java() -> Result {
    want!("java", "javac");
    let site = Site::start("java", |dir| {
        fs::write(dir.join("Fetch.java"), JAVA)?;
        on_host(dir, "javac", &["Fetch.java"])?;
        numbers(dir)
    })?;
    site.script(r#"java -Xshare:auto -XX:TieredStopAtLevel=1 -cp /files Fetch "$PLAIN/numbers""#, "200 588890\n")
}

pub const TESTS: &[NamedTest] = &[
    ("curl_to_the_host", curl),
    ("wget_to_the_host", wget),
    ("git_to_the_host", git),
    ("pip_to_the_host", pip),
    ("node_to_the_host", node),
    ("java_to_the_host", java),
];
