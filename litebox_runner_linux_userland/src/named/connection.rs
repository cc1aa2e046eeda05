//! A connection to the broker of a sandbox: the client's side of the control protocol (`docs/protocol.md`).

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox_broker::Grant;
use litebox_broker::control::client::{is_same_user, receive, send};
use litebox_protocol::control::{Call, Figures, Granted, Head, MAX_MESSAGE, Message, StartHead, Told, VERSION};
use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::directory::{Directory, State};

/// A connection.
pub struct Connection {
    name: String,
    socket: OwnedFd,
    /// The broker's process id.
    pub broker: i32,
    /// All processes of the sandbox stand still.
    pub paused: bool,
    /// What was told while something else was waited for.
    kept: VecDeque<Heard>,
    buffer: Vec<u8>,
}

/// What the broker tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A call of this kind was done, or refused with an errno.
    Done(u32, u32),
    /// A program runs.
    Started,
    /// A program ended with this wait(2) status, or could not be started.
    Ended(i32, String),
    /// The sandbox has ended with this exit status.
    Over(u8),
    /// What it uses.
    Figures(Figures),
    /// Something was granted.
    Granted(Granted),
}

/// What is to be started.
#[derive(Default)]
pub struct Start<'a> {
    pub head: StartHead,
    pub user: &'a [u8],
    pub workdir: &'a [u8],
    /// Empty: the sandbox itself.
    pub container: &'a [u8],
    pub arguments: &'a [Vec<u8>],
    pub variables: &'a [Vec<u8>],
    /// Of a container that is to come.
    pub view: &'a [u8],
}

impl Start<'_> {
    fn encode(&self) -> Option<Vec<u8>> {
        let (arguments, variables) =
            (u32::try_from(self.arguments.len()).ok()?, u32::try_from(self.variables.len()).ok()?);
        let mut body = StartHead { arguments, variables, ..self.head }.as_bytes().to_vec();
        let lists = self.arguments.iter().chain(self.variables).map(Vec::as_slice);
        let container = Some(self.container).filter(|name| !name.is_empty());
        for string in [self.user, self.workdir].into_iter().chain(container).chain(lists) {
            body.extend_from_slice(&u32::try_from(string.len()).ok()?.to_le_bytes());
            body.extend_from_slice(string);
        }
        body.extend_from_slice(self.view);
        (body.len() + size_of::<Head>() <= MAX_MESSAGE).then_some(body)
    }
}

impl Connection {
    /// To the sandbox of this name, which must run.
    pub fn open(name: &str) -> Result<Self, String> {
        let directory = Directory::open(name)?;
        match directory.state() {
            State::Running => Self::to(&directory),
            State::Ended => Err(format!("the sandbox {name} has ended")),
            State::Stale => {
                Err(format!("the sandbox {name} was killed, and does not run any more (litebox rm {name})"))
            }
        }
    }

    /// To a sandbox that runs.
    pub fn to(directory: &Directory) -> Result<Self, String> {
        let name = directory.name.clone();
        let failed = |e: Errno| match e {
            Errno::CONNREFUSED | Errno::NOENT | Errno::CONNRESET | Errno::PIPE => {
                format!("the sandbox {name} is starting or has just ended")
            }
            other => format!("the sandbox {name}: {other}"),
        };
        let socket = directory.connect().map_err(failed)?;
        if !is_same_user(socket.as_fd()) {
            return Err(format!("the sandbox {name} is somebody else's"));
        }
        let mut connection = Self {
            name: name.clone(),
            socket,
            broker: 0,
            paused: false,
            kept: VecDeque::new(),
            buffer: vec![0; MAX_MESSAGE],
        };
        let hello = Head { kind: Call::Hello as u32, value: VERSION.into(), ..Head::default() };
        connection.send(hello, &[], &[])?;
        let (head, _) = connection.receive_message(true)?.ok_or_else(|| connection.is_gone())?;
        if Told::from_number(head.kind) != Some(Told::Hello) {
            return Err(format!("the sandbox {name} speaks another protocol: it was started by another litebox"));
        }
        connection.broker = i32::try_from(head.value).unwrap_or(0);
        connection.paused = head.extra == litebox_protocol::control::STATE_PAUSED;
        Ok(connection)
    }

    fn is_gone(&self) -> String {
        format!("the sandbox {} has ended", self.name)
    }

    /// What to wait for before [`Connection::next_now`].
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn send(&self, head: Head, body: &[u8], passed: &[BorrowedFd<'_>]) -> Result<(), String> {
        send(self.socket.as_fd(), head, body, passed, true).map_err(|e| match e {
            Errno::PIPE | Errno::CONNRESET => self.is_gone(),
            other => format!("the sandbox {}: {other}", self.name),
        })
    }

    /// The next message; `None`: there is none now (without `wait`).
    fn receive_message(&mut self, wait: bool) -> Result<Option<(Head, Vec<u8>)>, String> {
        let len = loop {
            match receive(self.socket.as_fd(), &mut self.buffer, wait) {
                Ok((0, _)) | Err(Errno::CONNRESET) => return Err(self.is_gone()),
                Ok((len, _)) => break len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !wait => return Ok(None),
                Err(e) => return Err(format!("the sandbox {}: {e}", self.name)),
            }
        };
        let message = Message::parse(self.buffer.get(..len).unwrap_or_default());
        let message = message.ok_or_else(|| format!("the sandbox {} speaks another protocol", self.name))?;
        Ok(Some((message.head, message.body.to_vec())))
    }

    fn hear(&mut self, wait: bool) -> Result<Option<Heard>, String> {
        loop {
            let Some((head, body)) = self.receive_message(wait)? else { return Ok(None) };
            return Ok(Some(match Told::from_number(head.kind) {
                Some(Told::Done) => Heard::Done(u32::try_from(head.value).unwrap_or(0), head.extra),
                Some(Told::Started) => Heard::Started,
                Some(Told::Ended) => {
                    Heard::Ended(head.value as u32 as i32, String::from_utf8_lossy(&body).into_owned())
                }
                Some(Told::Over) => Heard::Over(u8::try_from(head.value).unwrap_or(u8::MAX)),
                Some(Told::Figures) => Heard::Figures(Figures::read_from_bytes(&body).unwrap_or_default()),
                Some(Told::Granted) => Heard::Granted(Granted::read_from_bytes(&body).unwrap_or_default()),
                // Of a later version.
                Some(Told::Hello) | None => continue,
            }));
        }
    }

    /// What is told next.
    pub fn next(&mut self) -> Result<Heard, String> {
        if let Some(kept) = self.kept.pop_front() {
            return Ok(kept);
        }
        self.hear(true)?.ok_or_else(|| self.is_gone())
    }

    /// What was told, if anything was.
    pub fn next_now(&mut self) -> Result<Option<Heard>, String> {
        match self.kept.pop_front() {
            Some(kept) => Ok(Some(kept)),
            None => self.hear(false),
        }
    }

    /// Makes a call, and waits until it is done.
    pub fn call(&mut self, call: Call, id: u32, value: u64) -> Result<Result<(), Errno>, String> {
        self.send(Head { kind: call as u32, id, value, ..Head::default() }, &[], &[])?;
        self.wait_done(call)
    }

    /// Grants something to the container that is about to be started as program `id`.
    pub fn grant(&mut self, id: u32, grant: &Grant) -> Result<Granted, String> {
        let (directory, file) = grant.parts();
        let (value, extra) = (grant.access.number().into(), grant.image.into());
        let head = Head { kind: Call::Grant as u32, id, value, extra, len: 0 };
        self.send(head, file.unwrap_or_default(), &[directory])?;
        loop {
            match self.hear(true)?.ok_or_else(|| self.is_gone())? {
                Heard::Granted(granted) => return Ok(granted),
                Heard::Done(kind, error) if kind == Call::Grant as u32 => {
                    let error = Errno::from_raw_os_error(error as i32);
                    return Err(format!("the sandbox {} takes no more directories: {error}", self.name));
                }
                other => self.kept.push_back(other),
            }
        }
    }

    /// Sends a signal to the first program of a container.
    pub fn signal_container(&mut self, container: &str, signal: i32) -> Result<Result<(), Errno>, String> {
        let head = Head { kind: Call::Signal as u32, value: u64::from(signal.unsigned_abs()), ..Head::default() };
        self.send(head, container.as_bytes(), &[])?;
        self.wait_done(Call::Signal)
    }

    fn wait_done(&mut self, call: Call) -> Result<Result<(), Errno>, String> {
        loop {
            let heard = self.hear(true)?.ok_or_else(|| self.is_gone())?;
            match heard {
                Heard::Done(kind, error) if kind == call as u32 => {
                    return Ok(if error == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(error as i32)) });
                }
                other => self.kept.push_back(other),
            }
        }
    }

    /// Says something that nobody waits for.
    pub fn tell(&self, call: Call, id: u32, value: u64) -> Result<(), String> {
        self.send(Head { kind: call as u32, id, value, ..Head::default() }, &[], &[])
    }

    /// Has a program started, with these streams.
    pub fn start(&mut self, id: u32, start: &Start<'_>, streams: [BorrowedFd<'_>; 3]) -> Result<(), String> {
        let body = start
            .encode()
            .ok_or("the arguments, the environment and what else is asked for are too long (128 KiB together)")?;
        self.send(Head { kind: Call::Start as u32, id, ..Head::default() }, &body, &streams)?;
        self.wait_done(Call::Start)?.map_err(|e| match e {
            Errno::BUSY => format!("the sandbox {} is paused (litebox unpause {})", self.name, self.name),
            Errno::AGAIN => format!("the sandbox {} runs as many programs as it can", self.name),
            other => format!("the sandbox {}: {other}", self.name),
        })
    }

    /// What it uses.
    pub fn figures(&mut self) -> Result<Figures, String> {
        self.tell(Call::Figures, 0, 0)?;
        loop {
            match self.hear(true)?.ok_or_else(|| self.is_gone())? {
                Heard::Figures(figures) => return Ok(figures),
                other => self.kept.push_back(other),
            }
        }
    }

    /// Waits for the end of the sandbox: its exit status.
    pub fn wait_over(&mut self) -> Result<u8, String> {
        self.tell(Call::Wait, 0, 0)?;
        loop {
            if let Heard::Over(status) = self.next()? {
                return Ok(status);
            }
        }
    }
}
