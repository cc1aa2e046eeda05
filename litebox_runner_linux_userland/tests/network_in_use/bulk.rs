//! Much traffic through connections of the host: nothing is lost, nothing is left.

use std::io::{self, Read};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::remains::Own;
use litebox_test_support::{NamedTest, Result, standstill};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::LIMIT;

const PIECE: usize = 64 << 10;
const CHUNK: usize = 64 << 20;
/// How much more memory a sandbox may take after a while of traffic than at its begin.
pub(super) const MOST_GROWTH: u64 = 8 << 20;

/// What the guest expects: `u` counts, `d` sends, `e` echoes.
async fn serve(mut stream: tokio::net::TcpStream) -> io::Result<()> {
    match stream.read_u8().await? {
        b'u' => {
            let count = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            stream.write_all(count.to_string().as_bytes()).await
        }
        b'd' => {
            let piece: Vec<u8> = (0..PIECE).map(|i| (i * 7 + (i >> 8)) as u8).collect();
            for _ in 0..CHUNK / PIECE {
                stream.write_all(&piece).await?;
            }
            Ok(())
        }
        _ => {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.map(drop)
        }
    }
}

/// Serves in a thread of its own; its port.
fn server() -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    });
    Ok(port)
}

/// Seconds of traffic and connections beside it.
fn amount() -> (u64, u64) {
    let seconds = std::env::var("LITEBOX_TEST_TRAFFIC").ok().and_then(|text| text.parse().ok());
    seconds.map_or((1, 200), |seconds| (seconds, 10_000))
}

/// Bytes that the processes of a sandbox take, what they share once.
fn memory(top: u32) -> u64 {
    let of = |pid: u32| -> Option<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().ok()
    };
    standstill::descendants(top).into_iter().filter_map(of).sum::<u64>() << 10
}

/// The same, of what runs for so many seconds: when it has settled, and near its end.
pub(super) fn memory_at_two_times(top: u32, seconds: u64) -> [u64; 2] {
    let begin = Instant::now();
    [1, 3].map(|quarters| {
        std::thread::sleep(Duration::from_secs(seconds * quarters / 4).saturating_sub(begin.elapsed()));
        memory(top)
    })
}

/// Traffic for a second, or for as long as `LITEBOX_TEST_TRAFFIC` says, beside connections that answer all the time.
fn carried() -> Result {
    let port = server()?.to_string();
    let (seconds, connections) = amount();
    let guest = compile::guest("bulk_traffic.c", Variant::Static, &[])?;
    let share = format!("{}:/traffic:ro", guest.display());
    let mut command = litebox_test_support::litebox();
    command.args(["run", "--allow-net", &format!("host:{port}"), "--ulimit", "nofile=30000:30000", "-v", &share, "--"]);
    command.args(["/traffic", "10.0.2.2", &port, &connections.to_string(), &seconds.to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // When the first is looked at, all connections are there, and the first chunks have passed.
    let seen = memory_at_two_times(child.id(), seconds);
    let (mut out, mut error) = (String::new(), String::new());
    child.stdout.take().ok_or("no pipe")?.read_to_string(&mut out)?;
    child.stderr.take().ok_or("no pipe")?.read_to_string(&mut error)?;
    let status = child.wait()?;
    println!("{error}memory: {seen:?}");
    if !status.success() || out != format!("{connections} connections, all carried\n") {
        return Err(format!("{status}: {out}{error}").into());
    }
    if seconds > 10 && seen[1] > seen[0] + MOST_GROWTH {
        return Err(format!("it grew from {} to {} bytes", seen[0], seen[1]).into());
    }
    Ok(())
}

/// Whoever talks to a sandbox whose broker is killed sees an end, and nothing of the sandbox is left.
fn killed_amid() -> Result {
    let own = Own::new("amid")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    let guest = compile::guest("bulk_traffic.c", Variant::Static, &[])?;
    let share = format!("{}:/traffic:ro", guest.display());
    let mut command = Command::new(own.program());
    command.args(["run", "--allow-net", &format!("host:{port}"), "-w", "/", "-v", &share, "--"]);
    command.args(["/traffic", "10.0.2.2", &port, "0", "60"]).current_dir("/");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut piece = vec![0; PIECE];
        let mut much = 0;
        while let Ok(n @ 1..) = stream.read(&mut piece) {
            if much < PIECE && much + n >= PIECE {
                let _ = tell.send("much came");
            }
            much += n;
        }
        let _ = tell.send("the end");
    });
    if told.recv_timeout(LIMIT)? != "much came" {
        return Err("nothing came".into());
    }
    child.kill()?;
    child.wait()?;
    if told.recv_timeout(LIMIT)? != "the end" {
        return Err("the connection has no end".into());
    }
    let left = own.left(LIMIT);
    if left.is_empty() { Ok(()) } else { Err(format!("these are left: {left:#?}").into()) }
}

pub const TESTS: &[NamedTest] = &[("much_is_carried", carried), ("killed_amid_traffic", killed_amid)];
