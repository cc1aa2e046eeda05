//! The control protocol: what the host's user asks of a running sandbox, on the `SOCK_SEQPACKET` socket that its broker
//! serves (`docs/protocol.md`). Clients are programs of the same user. The sandbox cannot reach the socket.
//!
//! A message is a [`Head`] and the bytes that its kind names. A call has one reply; what becomes of programs is told
//! unasked. The body of a [`Call::Start`] reaches the sandbox's kernel as it came, so both parse it by
//! [`Start::parse`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{GrantInfo, Stat};

/// Version of this protocol. A broker refuses every other.
pub const VERSION: u32 = 1;
/// Longest message.
pub const MAX_MESSAGE: usize = 128 << 10;
/// Most programs that run at once in one sandbox because somebody started them so.
pub const MAX_PROGRAMS: usize = 4096;
/// Descriptors that come with a [`Call::Start`]: what the program reads, writes, and writes errors to.
pub const STREAMS: usize = 3;
/// Most directories that are granted to one container.
pub const MAX_GRANTS: usize = 1024;
/// Longest name of a container.
pub const MAX_NAME: usize = 128;
/// The number of the sandbox's first program in calls that name one.
pub const FIRST_PROGRAM: u32 = 0;

/// Head of a message, both ways. Fields that a kind does not name are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Head {
    /// A [`Call`], or from the broker a [`Told`].
    pub kind: u32,
    /// Which program: the client's own number of it, not zero; or [`FIRST_PROGRAM`].
    pub id: u32,
    /// As the kind says.
    pub value: u64,
    /// As the kind says.
    pub extra: u32,
    /// Bytes that follow.
    pub len: u32,
}

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Call {
    /// The first message. `value`: the [`VERSION`]. Answered by [`Told::Hello`].
    Hello = 1,
    /// Start a program under the number `id`. The body is a [`StartHead`] and strings ([`Start`]); [`STREAMS`]
    /// descriptors come along.
    Start = 2,
    /// Send the signal `value` to program `id`. With `id` 0 and a body: to the first program of the container of that
    /// name.
    Signal = 3,
    /// The terminal of program `id` has `value >> 16` rows and `value & 0xffff` columns.
    Resize = 4,
    /// End the sandbox: its first program is asked to end and killed after `value` milliseconds; `u64::MAX`: after the
    /// time it was started with.
    Stop = 5,
    /// Stop all processes of the sandbox, until [`Call::Resume`].
    Pause = 6,
    /// They go on.
    Resume = 7,
    /// What it uses: [`Told::Figures`].
    Figures = 8,
    /// Tell when it ends: [`Told::Over`].
    Wait = 9,
    /// Grant a directory to the container that is about to be started as program `id`: the descriptor that comes along
    /// leads there. `value` and `extra` are those of [`GrantInfo`]: `access` and `image`. The body, if there is one, is
    /// the name of the one file in it that is granted. Answered by [`Told::Granted`].
    Grant = 10,
}

/// What the broker says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Told {
    /// `value`: the broker's process id; `extra`: [`STATE_RUNNING`] or [`STATE_PAUSED`].
    Hello = 1,
    /// A call was done, or refused: `extra` is an errno, `value` the call's kind, `id` as there.
    Done = 2,
    /// Program `id` runs; `value`: its process id in the sandbox.
    Started = 3,
    /// Program `id` ended with the wait(2) status `value`, or could not be started: then the reason follows.
    Ended = 4,
    /// The sandbox has ended with the exit status `value`; what the user was told follows.
    Over = 5,
    /// A [`Figures`] follows.
    Figures = 6,
    /// A directory was granted for `id`; a [`Granted`] follows.
    Granted = 7,
}

/// What was granted to a container, as it stands in the body of its [`Call::Start`] again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Granted {
    /// The grant's number.
    pub number: u32,
    /// Zero.
    pub reserved: u32,
    /// What it allows.
    pub info: GrantInfo,
    /// Metadata of its root.
    pub root: Stat,
}

/// In [`Told::Hello`]: its processes run.
pub const STATE_RUNNING: u32 = 1;
/// In [`Told::Hello`]: they are paused.
pub const STATE_PAUSED: u32 = 2;

/// What a sandbox uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Figures {
    /// Bytes of memory of its processes, the sandbox's own kernel included.
    pub memory: u64,
    /// Its limit in bytes; 0: none.
    pub memory_limit: u64,
    /// CPU time of its processes that live, in nanoseconds.
    pub cpu: u64,
    /// Processes of the host.
    pub processes: u64,
    /// Nanoseconds since it was started.
    pub age: u64,
}

impl Call {
    /// From the number in a message.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::Start,
            3 => Self::Signal,
            4 => Self::Resize,
            5 => Self::Stop,
            6 => Self::Pause,
            7 => Self::Resume,
            8 => Self::Figures,
            9 => Self::Wait,
            10 => Self::Grant,
            _ => return None,
        })
    }
}

impl Told {
    /// From the number in a message.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::Done,
            3 => Self::Started,
            4 => Self::Ended,
            5 => Self::Over,
            6 => Self::Figures,
            7 => Self::Granted,
            _ => return None,
        })
    }
}

/// What a [`Call::Start`] starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum What {
    /// The program that the arguments name.
    Program = 0,
    /// Nothing: what was changed in copy-on-write trees is written to the second descriptor, as [`crate::layer`] has
    /// it, while the programs of the sandbox stand still. The arguments mean nothing.
    Save = 1,
    /// A container and its first program, which the [`View`] says. The arguments name the program to those who list
    /// what runs.
    Container = 2,
}

impl What {
    /// From the number in a message.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Program),
            1 => Some(Self::Save),
            2 => Some(Self::Container),
            _ => None,
        }
    }
}

bitflags::bitflags! {
    /// How a program is started.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct StartFlags: u32 {
        /// It has a terminal: what is read from the first descriptor was typed, what it shows is written to the second.
        const TERMINAL = 1;
        /// It is a program of a container of this sandbox: a string behind the working directory names which.
        const IN_CONTAINER = 2;
    }

    /// What a container has for itself. What it has not, it shares with the sandbox.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Separate: u32 {
        /// Its programs see no processes but its own, whose end is its end.
        const PROCESSES = 1;
        /// System V IPC and POSIX message queues.
        const IPC = 2;
        /// The host name.
        const HOSTNAME = 4;
    }
}

/// Head of the body of a [`Call::Start`]. Strings follow, each its length (32 bits) and its bytes, none of them zero:
/// the user (as `USER[:GROUP[:GROUP,...]]`; empty: the first program's), the working directory (empty: likewise), the
/// container ([`StartFlags::IN_CONTAINER`]), then the arguments, then variables of the environment, which are put over
/// the first program's: `K=V` sets one, `K` removes it. For a [`What::Container`] a [`View`] is the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StartHead {
    /// A [`What`].
    pub what: u32,
    /// [`StartFlags`].
    pub flags: u32,
    /// Rows of the terminal.
    pub rows: u16,
    /// Columns of the terminal.
    pub columns: u16,
    /// Number of arguments.
    pub arguments: u32,
    /// Number of variables.
    pub variables: u32,
    /// Zero.
    pub reserved: u32,
}

/// The body of a [`Call::Start`], taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start<'a> {
    /// What to start.
    pub what: What,
    /// How.
    pub flags: StartFlags,
    /// Rows and columns of the terminal.
    pub window: (u16, u16),
    /// Who runs it.
    pub user: &'a [u8],
    /// Where it starts.
    pub workdir: &'a [u8],
    /// The container that it is a program of; `None`: of the sandbox itself.
    pub container: Option<&'a [u8]>,
    /// Its arguments.
    pub arguments: Strings<'a>,
    /// Variables of its environment.
    pub variables: Strings<'a>,
    /// Of a container: what it sees, and how it runs.
    pub view: Option<View<'a>>,
}

/// What a container sees, and how its first program runs: [`ViewHead`], a [`Granted`] for each of its directories, and
/// the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// What it does not share.
    pub separate: Separate,
    /// What was granted to it, in the order in which the configuration numbers it.
    pub grants: &'a [u8],
    /// As the supervisor finds it at the start of a sandbox.
    pub config: &'a [u8],
}

/// Head of a [`View`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ViewHead {
    /// [`Separate`].
    pub separate: u32,
    /// How many directories.
    pub grants: u32,
}

impl<'a> View<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = ViewHead::read_from_prefix(bytes).ok()?;
        let separate = Separate::from_bits(head.separate)?;
        let count = usize::try_from(head.grants).ok().filter(|count| *count <= MAX_GRANTS)?;
        let (grants, config) = rest.split_at_checked(count.checked_mul(size_of::<Granted>())?)?;
        Some(Self { separate, grants, config })
    }
    /// What was granted.
    pub fn granted(&self) -> impl Iterator<Item = Granted> + use<'a> {
        self.grants.chunks_exact(size_of::<Granted>()).filter_map(|bytes| Granted::read_from_bytes(bytes).ok())
    }
}

/// Strings of a message, whose lengths were checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings<'a> {
    bytes: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (string, rest) = string(self.bytes)?;
        self.bytes = rest;
        Some(string)
    }
}

/// The string that `bytes` begin with, and what follows it. `None`: there is none, or there are zeros in it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (string, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    (!string.contains(&0)).then_some((string, rest))
}

/// So many strings, and what follows them.
fn strings(bytes: &[u8], count: u32) -> Option<(Strings<'_>, &[u8])> {
    let mut rest = bytes;
    for _ in 0..count {
        rest = string(rest)?.1;
    }
    Some((Strings { bytes, left: count }, rest))
}

impl<'a> Start<'a> {
    /// Takes the body of a message apart; `None`: it is none. Nothing may be left over.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let (head, rest) = StartHead::read_from_prefix(body).ok()?;
        let flags = StartFlags::from_bits(head.flags)?;
        let (user, rest) = string(rest)?;
        let (workdir, rest) = string(rest)?;
        let (container, rest) = if flags.contains(StartFlags::IN_CONTAINER) {
            string(rest).map(|(name, rest)| (Some(name), rest))?
        } else {
            (None, rest)
        };
        let (arguments, rest) = strings(rest, head.arguments)?;
        let (variables, rest) = strings(rest, head.variables)?;
        let what = What::from_number(head.what).filter(|_| head.reserved == 0 && head.arguments > 0)?;
        let view = match what {
            What::Container => Some(View::parse(rest)?),
            What::Program | What::Save if rest.is_empty() => None,
            What::Program | What::Save => return None,
        };
        let named = container.is_some_and(|name| (1..=MAX_NAME).contains(&name.len()));
        // A container has a name; what is saved is the sandbox's.
        if named != container.is_some() || !named && what == What::Container || named && what == What::Save {
            return None;
        }
        let window = (head.rows, head.columns);
        Some(Self { what, flags, window, user, workdir, container, arguments, variables, view })
    }
}

/// A message taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its head.
    pub head: Head,
    /// What follows it.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// From the bytes of one message; `None`: its length is not what it says.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = Head::read_from_prefix(bytes).ok()?;
        (bytes.len() <= MAX_MESSAGE && body.len() == head.len as usize).then_some(Self { head, body })
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests")]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::{Call, Granted, Head, Message, Separate, Start, StartFlags, StartHead, Told, ViewHead, What};
    use zerocopy::IntoBytes;

    fn body(head: StartHead, strings: &[&[u8]]) -> Vec<u8> {
        let mut body = head.as_bytes().to_vec();
        for string in strings {
            body.extend_from_slice(&(string.len() as u32).to_le_bytes());
            body.extend_from_slice(string);
        }
        body
    }

    const HEAD: StartHead =
        StartHead { what: 0, flags: 1, rows: 24, columns: 80, arguments: 2, variables: 1, reserved: 0 };
    const STRINGS: [&[u8]; 5] = [b"joe", b"", b"ls", b"-l", b"A=b"];

    #[test]
    fn a_start_is_taken_apart() {
        let body = body(HEAD, &STRINGS);
        let start = Start::parse(&body).expect("a start");
        assert_eq!((start.what, start.flags, start.window), (What::Program, StartFlags::TERMINAL, (24, 80)));
        assert_eq!((start.user, start.workdir), (&b"joe"[..], &b""[..]));
        assert_eq!(start.arguments.collect::<Vec<_>>(), [b"ls", b"-l"]);
        assert_eq!(start.variables.collect::<Vec<_>>(), [b"A=b"]);
        for len in 0..body.len() {
            assert_eq!(Start::parse(&body[..len]), None, "{len}");
        }
        assert_eq!(Start::parse(&[body.as_slice(), b"x"].concat()), None);
    }

    #[test]
    fn what_is_no_start_is_none() {
        let bad = [
            StartHead { what: 99, ..HEAD },
            StartHead { flags: 1 << 31, ..HEAD },
            StartHead { reserved: 1, ..HEAD },
            StartHead { arguments: u32::MAX, ..HEAD },
            StartHead { variables: 2, ..HEAD },
            StartHead { arguments: 0, variables: 3, ..HEAD },
        ];
        for head in bad {
            assert_eq!(Start::parse(&body(head, &STRINGS)), None, "{head:?}");
        }
        assert_eq!(Start::parse(&body(HEAD, &[b"", b"", b"a\0b", b"", b""])), None);
    }

    #[test]
    fn a_container_has_a_name_and_a_view() {
        let head = StartHead { what: 2, flags: 2, variables: 0, arguments: 1, ..HEAD };
        let named = |name: &[u8], view: &[u8]| [body(head, &[b"", b"", name, b"ls"]).as_slice(), view].concat();
        let granted = Granted { number: 7, ..Granted::default() };
        let view = [ViewHead { separate: 5, grants: 1 }.as_bytes(), granted.as_bytes(), b"config"].concat();
        let whole = named(b"web", &view);
        let start = Start::parse(&whole).expect("a start");
        assert_eq!((start.what, start.container), (What::Container, Some(&b"web"[..])));
        let seen = start.view.expect("a view");
        assert_eq!(seen.separate, Separate::PROCESSES | Separate::HOSTNAME);
        assert_eq!((seen.config, seen.granted().collect::<Vec<_>>()), (&b"config"[..], Vec::from([granted])));
        assert_eq!(Start::parse(&named(b"", &view)), None);
        assert_eq!(Start::parse(&named(&[b'a'; 129], &view)), None);
        assert_eq!(Start::parse(&named(b"web", b"")), None);
        for head in [ViewHead { separate: 8, grants: 0 }, ViewHead { separate: 0, grants: u32::MAX }] {
            assert_eq!(Start::parse(&named(b"web", head.as_bytes())), None, "{head:?}");
        }
        let without = body(StartHead { flags: 0, ..head }, &[b"", b"", b"ls"]);
        assert_eq!(Start::parse(&[without.as_slice(), &view].concat()), None);
        let exec = body(StartHead { what: 0, ..head }, &[b"", b"", b"web", b"ls"]);
        assert_eq!(Start::parse(&exec).expect("a start").container, Some(&b"web"[..]));
        assert_eq!(Start::parse(&body(StartHead { what: 1, ..head }, &[b"", b"", b"web", b"ls"])), None);
    }

    #[test]
    fn messages_say_how_long_they_are() {
        let head = Head { kind: Call::Hello as u32, len: 2, ..Head::default() };
        let bytes = [head.as_bytes(), b"ab"].concat();
        assert_eq!(Message::parse(&bytes), Some(Message { head, body: b"ab" }));
        assert_eq!(Message::parse(&bytes[..bytes.len() - 1]), None);
        for n in 0..32 {
            assert!(Call::from_number(n).is_none_or(|call| call as u32 == n));
            assert!(Told::from_number(n).is_none_or(|told| told as u32 == n));
        }
    }
}
