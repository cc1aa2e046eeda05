//! A server and its clients in Rust, by tokio: this program runs itself on the bare host and in the sandbox.

use std::io;
use std::time::Duration;

use litebox_test_support::{Case, NamedTest, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The argument that makes this program the one that is tested.
const PLAY: &str = "--play";
const CLIENTS: u8 = 100;

/// Sends back what a client sends, until it has sent all.
async fn echo(mut stream: TcpStream) -> io::Result<u64> {
    let (mut from, mut to) = stream.split();
    let copied = tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await?;
    Ok(copied)
}

async fn serve(listener: TcpListener) -> io::Result<u64> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (stream, _) = listener.accept().await?;
        clients.spawn(echo(stream));
    }
    let mut copied = 0;
    while let Some(client) = clients.join_next().await {
        copied += client.map_err(io::Error::other)??;
    }
    Ok(copied)
}

/// Whether what comes back is what was sent.
async fn ask(port: u16, number: u8) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let sent = vec![number; 1000 * usize::from(number)];
    let mut received = Vec::new();
    let (mut from, mut to) = stream.split();
    let send = async {
        to.write_all(&sent).await?;
        to.shutdown().await
    };
    tokio::try_join!(send, from.read_to_end(&mut received))?;
    Ok(received == sent)
}

async fn streams() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let server = tokio::spawn(serve(listener));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(ask(port, number));
    }
    let mut right = 0;
    while let Some(client) = clients.join_next().await {
        right += u32::from(client.map_err(io::Error::other)??);
    }
    println!("{right} clients, {} bytes", server.await.map_err(io::Error::other)??);
    let refused = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.kind());
    println!("then: {:?}", refused.map(drop));
    Ok(())
}

async fn datagrams() -> io::Result<()> {
    let (one, other) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    one.connect(other.local_addr()?).await?;
    one.send(b"datagram").await?;
    let mut buffer = [0; 32];
    let (len, from) = other.recv_from(&mut buffer).await?;
    println!("{} from the other: {}", buffer[..len].escape_ascii(), from == one.local_addr()?);
    let nothing = timeout(Duration::from_millis(20), one.recv(&mut buffer)).await;
    println!("nothing comes: {}", nothing.is_err());
    Ok(())
}

async fn pair() -> io::Result<()> {
    let (mut one, mut other) = UnixStream::pair()?;
    let writer = tokio::spawn(async move { one.write_all(&vec![7; 1 << 20]).await });
    let mut all = Vec::new();
    other.read_to_end(&mut all).await?;
    println!("a pair carries {} bytes", all.len());
    writer.await.map_err(io::Error::other)?
}

fn play() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    runtime.block_on(async {
        streams().await?;
        datagrams().await?;
        pair().await
    })
}

fn server_and_clients() -> Result {
    let program = std::env::current_exe()?;
    let grant = format!("{}:ro", program.display());
    Case::new("tokio", program).args([PLAY]).options(["-v", &grant]).timeout(60).expect_status(0).compare()
}

const TESTS: &[NamedTest] = &[("server_and_clients", server_and_clients)];

fn main() -> io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some(PLAY) {
        return play();
    }
    litebox_test_support::run_table(TESTS)
}
