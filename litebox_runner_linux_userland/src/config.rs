//! What the broker tells the supervisor: fixed numbers, then strings with their lengths.

use litebox::platform::HostFd;
use litebox_platform_linux_userland::host::interception::Interception;
use litebox_platform_linux_userland::{Counted, Patching};
use litebox_shim_linux::LayerConfig;
use litebox_shim_linux::boot::{MountPlan, MountSpec, NameOrId, Source, UserSpec};

/// Everything the supervisor needs to know.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes that files in memory and shared mappings may take.
    pub arena_size: u64,
    /// How guest calls are caught.
    pub interception: u64,
    /// Whether sites are patched.
    pub patching: u64,
    /// Capabilities of the sandbox that nobody there gets.
    pub dropped_capabilities: u64,
    /// Capabilities that programs inherit, and those that they keep as an ordinary user.
    pub inherited_capabilities: [u64; 2],
    /// How gladly its programs would be killed for memory, as bits of a signed number.
    pub oom_score_adj: u64,
    /// Programs gain no privileges by being executed.
    pub no_new_privileges: u64,
    /// The filter of calls, 8 bytes for each instruction; empty: there is none.
    pub filter: Vec<u8>,
    /// Orphans are reaped (`--init`).
    pub reaps_orphans: u64,
    /// The working directory as it was asked for, option included; empty: it was not.
    pub workdir: Vec<u8>,
    /// HOME follows the user that was named.
    pub home_of_user: u64,
    /// `--memory`; 0: no limit.
    pub memory: u64,
    /// How the broker counts memory.
    pub counted: u64,
    /// Bytes of memory that the machine has.
    pub machine_memory: u64,
    /// `--disk`; 0: what `arena_size` allows.
    pub disk: u64,
    /// `--pids`; 0: no limit.
    pub pids: u64,
    /// `--ulimit`: number, soft and hard limit.
    pub limits: Vec<(u32, u64, u64)>,
    /// How calls are printed (`--strace`), as `trace` has it; empty: they are not.
    pub strace: Vec<u64>,
    /// The figures are wanted at the end (`--stats`).
    pub stats: u64,
    /// Whom changes of copy-on-write trees are told (`--save`, `--diff`), as [`layer_number`] has it; 0: nobody.
    pub layer: u64,
    /// The boundary's tests want the address of the gadget.
    pub test_hostile: u64,
    /// `F_GETFL` of descriptors 0, 1 and 2, plus one; 0: closed.
    pub streams: [u64; 3],
    /// Descriptors that it has beside them, from 3 on (`--preserve-fds`): the supervisor's number, and `F_GETFL`.
    pub preserved: Vec<(u32, u64)>,
    /// How it is scheduled: nice value, policy and I/O priority, as the calls of Linux have them.
    pub scheduling: [u64; 3],
    /// Which of them are the console, as bits; the one to write to lies above them.
    pub console: u64,
    /// Signals that whoever started litebox had it ignore: bit n - 1 for signal n.
    pub ignored: u64,
    /// More programs may be started in it.
    pub takes_programs: u64,
    /// 1: what the program is going to ask is answered ahead.
    pub ahead: u64,
    /// It has a network beside its own loopback.
    pub network: u64,
    /// Its [`OwnAddresses`](litebox_protocol::net::OwnAddresses) as bytes; empty: it is in no network namespace of its
    /// own.
    pub own_addresses: Vec<u8>,
    /// [`Published`](litebox_protocol::net::Published) ports as bytes.
    pub published: Vec<u8>,
    /// Its [`Tun`](litebox_protocol::net::Tun) device as bytes; empty: it has none.
    pub tun: Vec<u8>,
    /// The program as it was asked for.
    pub path: Vec<u8>,
    /// `uname -n`.
    pub hostname: Vec<u8>,
    /// Its arguments.
    pub argv: Vec<Vec<u8>>,
    /// Its environment, `K=V`.
    pub envp: Vec<Vec<u8>>,
    /// Where programs are looked for.
    pub search: Vec<Vec<u8>>,
    /// What it sees.
    pub mounts: MountPlan,
}

/// The number of an interception backend in the configuration.
pub fn interception_number(i: Interception) -> u64 {
    match i {
        Interception::Auto => 0,
        Interception::Sud => 1,
        Interception::Seccomp => 2,
    }
}

/// And back.
pub fn interception_of(number: u64) -> Interception {
    match number {
        1 => Interception::Sud,
        2 => Interception::Seccomp,
        _ => Interception::Auto,
    }
}

/// The number of a decision on patching in the configuration.
pub fn patching_number(patching: Patching) -> u64 {
    match patching {
        Patching::Auto => 0,
        Patching::On => 1,
        Patching::Off => 2,
    }
}

/// And back.
pub fn patching_of(number: u64) -> Patching {
    match number {
        1 => Patching::On,
        2 => Patching::Off,
        _ => Patching::Auto,
    }
}

/// The number of a way to count memory in the configuration.
pub fn counted_number(counted: Counted) -> u64 {
    match counted {
        Counted::No => 0,
        Counted::Yes => 1,
        Counted::AsSameUser => 2,
    }
}

/// And back.
pub fn counted_of(number: u64) -> Counted {
    match number {
        1 => Counted::Yes,
        2 => Counted::AsSameUser,
        _ => Counted::No,
    }
}

/// The number of a descriptor that changes are told to, with or without contents, in the configuration.
pub fn layer_number(fd: i32, contents: bool) -> u64 {
    (u64::from(fd.unsigned_abs()) + 1) << 1 | u64::from(contents)
}

/// And back.
pub fn layer_of(number: u64) -> Option<LayerConfig> {
    let fd = i32::try_from((number >> 1).checked_sub(1)?).ok()?;
    Some(LayerConfig { to: HostFd(fd), contents: number & 1 == 1 })
}

/// Kind and numbers of a source.
fn source_numbers(source: Source) -> [u64; 3] {
    match source {
        Source::Grant(n) => [0, n.into(), 0],
        Source::CopyOnWrite(n) => [1, n.into(), 0],
        Source::Memory(permissions, limit) => [2, permissions.into(), limit],
        Source::Dev => [3, 0, 0],
        Source::Proc => [4, 0, 0],
        Source::Sys => [5, 0, 0],
        Source::Pts => [6, 0, 0],
        Source::Text(n) => [7, n.into(), 0],
    }
}

fn source_of([kind, number, limit]: [u64; 3]) -> Option<Source> {
    let number = u32::try_from(number).ok()?;
    Some(match kind {
        0 => Source::Grant(number),
        1 => Source::CopyOnWrite(number),
        2 => Source::Memory(number, limit),
        3 => Source::Dev,
        4 => Source::Proc,
        5 => Source::Sys,
        6 => Source::Pts,
        7 => Source::Text(number),
        _ => return None,
    })
}

/// Numbers and strings, one after the other.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }
    fn numbers(&mut self, list: &[u64]) {
        for n in list {
            self.number(*n);
        }
    }
    fn string(&mut self, s: &[u8]) {
        self.number(s.len() as u64);
        self.0.extend_from_slice(s);
    }
    fn user(&mut self, user: &UserSpec) {
        self.name_or_id(&user.user);
        self.list(user.group.as_slice(), Self::name_or_id);
        self.list(&user.more, Self::name_or_id);
    }
    /// A number, or one past all of them and a name.
    fn name_or_id(&mut self, who: &NameOrId) {
        match who {
            NameOrId::Id(id) => self.number((*id).into()),
            NameOrId::Name(name) => {
                self.number(u64::MAX);
                self.string(name);
            }
        }
    }
    fn list<T>(&mut self, list: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.number(list.len() as u64);
        for item in list {
            one(self, item);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let (head, tail) = self.0.split_first_chunk::<8>()?;
        self.0 = tail;
        Some(u64::from_le_bytes(*head))
    }
    fn number32(&mut self) -> Option<u32> {
        self.number().and_then(|n| u32::try_from(n).ok())
    }
    fn string(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.number()?).ok()?;
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head.to_vec())
    }
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        (0..count).map(|_| one(self)).collect()
    }
    fn source(&mut self) -> Option<Source> {
        source_of([self.number()?, self.number()?, self.number()?])
    }
    fn flag(&mut self) -> Option<bool> {
        self.number().map(|n| n == 1)
    }
    fn user(&mut self) -> Option<UserSpec> {
        let user = self.name_or_id()?;
        let group = self.list(Self::name_or_id)?.pop();
        Some(UserSpec { user, group, more: self.list(Self::name_or_id)? })
    }
    fn name_or_id(&mut self) -> Option<NameOrId> {
        match self.number()? {
            u64::MAX => self.string().map(NameOrId::Name),
            id => u32::try_from(id).ok().map(NameOrId::Id),
        }
    }
}

impl Config {
    /// One that asks for nothing but this view.
    pub fn with(mounts: MountPlan) -> Self {
        Self {
            arena_size: 0,
            interception: 0,
            patching: 0,
            dropped_capabilities: 0,
            inherited_capabilities: [0; 2],
            oom_score_adj: 0,
            no_new_privileges: 0,
            filter: Vec::new(),
            reaps_orphans: 0,
            workdir: Vec::new(),
            home_of_user: 0,
            memory: 0,
            counted: 0,
            machine_memory: 0,
            disk: 0,
            pids: 0,
            limits: Vec::new(),
            strace: Vec::new(),
            stats: 0,
            layer: 0,
            test_hostile: 0,
            streams: [0; 3],
            preserved: Vec::new(),
            scheduling: [0; 3],
            console: 0,
            ignored: 0,
            takes_programs: 0,
            ahead: 0,
            network: 0,
            own_addresses: Vec::new(),
            published: Vec::new(),
            tun: Vec::new(),
            path: Vec::new(),
            hostname: Vec::new(),
            argv: Vec::new(),
            envp: Vec::new(),
            search: Vec::new(),
            mounts,
        }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.numbers(&[
            self.arena_size,
            self.interception,
            self.patching,
            self.dropped_capabilities,
            self.reaps_orphans,
            self.home_of_user,
            self.memory,
            self.counted,
            self.machine_memory,
            self.disk,
            self.pids,
            self.test_hostile,
            self.takes_programs,
            self.ahead,
            self.layer,
            self.no_new_privileges,
            self.oom_score_adj,
        ]);
        out.numbers(&self.inherited_capabilities);
        out.string(&self.filter);
        out.list(&self.limits, |out, (number, soft, hard)| out.numbers(&[(*number).into(), *soft, *hard]));
        out.list(&self.strace, |out, number| out.number(*number));
        out.number(self.stats);
        out.numbers(&self.streams);
        out.list(&self.preserved, |out, (fd, flags)| out.numbers(&[(*fd).into(), *flags]));
        out.numbers(&self.scheduling);
        out.numbers(&[self.console, self.ignored, self.network]);
        for string in [&self.own_addresses, &self.published, &self.tun, &self.path, &self.hostname, &self.workdir] {
            out.string(string);
        }
        for list in [&self.argv, &self.envp, &self.search] {
            out.list(list, |out, s| out.string(s));
        }
        let mounts = &self.mounts;
        out.numbers(&source_numbers(mounts.root));
        out.number(mounts.read_only.into());
        out.list(&mounts.links, |out, (name, target)| {
            out.string(name);
            out.string(target);
        });
        out.list(&mounts.directories, |out, (path, permissions)| {
            out.string(path);
            out.number((*permissions).into());
        });
        out.list(&mounts.mounts, |out, spec| {
            out.string(&spec.at);
            out.numbers(&source_numbers(spec.source));
            out.numbers(&[spec.read_only.into(), spec.no_exec.into(), spec.no_dev.into()]);
        });
        out.string(&mounts.workdir);
        out.user(&mounts.user);
        out.list(&mounts.texts, |out, text| out.string(text));
        out.0
    }

    /// From bytes; `None` when they are no configuration, or have more than one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Self::read(&mut reader).filter(|_| reader.0.is_empty())
    }

    fn read(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            arena_size: r.number()?,
            interception: r.number()?,
            patching: r.number()?,
            dropped_capabilities: r.number()?,
            reaps_orphans: r.number()?,
            home_of_user: r.number()?,
            memory: r.number()?,
            counted: r.number()?,
            machine_memory: r.number()?,
            disk: r.number()?,
            pids: r.number()?,
            test_hostile: r.number()?,
            takes_programs: r.number()?,
            ahead: r.number()?,
            layer: r.number()?,
            no_new_privileges: r.number()?,
            oom_score_adj: r.number()?,
            inherited_capabilities: [r.number()?, r.number()?],
            filter: r.string()?,
            limits: r.list(|r| Some((r.number32()?, r.number()?, r.number()?)))?,
            strace: r.list(Reader::number)?,
            stats: r.number()?,
            streams: [r.number()?, r.number()?, r.number()?],
            preserved: r.list(|r| Some((r.number32()?, r.number()?)))?,
            scheduling: [r.number()?, r.number()?, r.number()?],
            console: r.number()?,
            ignored: r.number()?,
            network: r.number()?,
            own_addresses: r.string()?,
            published: r.string()?,
            tun: r.string()?,
            path: r.string()?,
            hostname: r.string()?,
            workdir: r.string()?,
            argv: r.list(Reader::string)?,
            envp: r.list(Reader::string)?,
            search: r.list(Reader::string)?,
            mounts: MountPlan {
                root: r.source()?,
                read_only: r.flag()?,
                links: r.list(|r| Some((r.string()?, r.string()?)))?,
                directories: r.list(|r| Some((r.string()?, r.number32()?)))?,
                mounts: r.list(|r| {
                    let (at, source) = (r.string()?, r.source()?);
                    Some(MountSpec { at, source, read_only: r.flag()?, no_exec: r.flag()?, no_dev: r.flag()? })
                })?,
                workdir: r.string()?,
                user: r.user()?,
                texts: r.list(Reader::string)?,
                grants: Vec::new(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use litebox_shim_linux::boot::{MountPlan, MountSpec, NameOrId, Source, UserSpec};

    use super::Config;

    #[test]
    fn survives_the_way() {
        let config = Config {
            arena_size: 1 << 30,
            interception: 2,
            patching: 1,
            dropped_capabilities: 5,
            inherited_capabilities: [6, 4],
            no_new_privileges: 1,
            oom_score_adj: 500,
            filter: vec![6, 0, 0, 0, 0, 0, 0xff, 0x7f],
            reaps_orphans: 1,
            home_of_user: 0,
            workdir: b"-w sub".to_vec(),
            memory: 1 << 27,
            counted: 1,
            machine_memory: 1 << 34,
            disk: 1 << 20,
            pids: 100,
            limits: vec![(7, 64, 128)],
            test_hostile: 0,
            takes_programs: 1,
            ahead: 1,
            layer: 19,
            strace: vec![7, 0],
            stats: 1,
            streams: [1, 0, 0o2002],
            preserved: vec![(9, 0o2001)],
            scheduling: [5, 3, 2 << 13 | 4],
            console: 0x107,
            ignored: 3,
            network: 1,
            own_addresses: vec![10, 0],
            published: vec![80, 0, 6, 0],
            tun: vec![8, 0],
            path: b"/bin/true".to_vec(),
            hostname: b"box".to_vec(),
            argv: vec![b"true".to_vec(), Vec::new()],
            envp: vec![b"A=b".to_vec()],
            search: vec![b"/bin".to_vec()],
            mounts: MountPlan {
                root: Source::CopyOnWrite(3),
                read_only: true,
                links: vec![(b"/bin".to_vec(), b"usr/bin".to_vec())],
                directories: vec![(b"/home".to_vec(), 0o755)],
                mounts: vec![MountSpec {
                    at: b"/tmp".to_vec(),
                    source: Source::Memory(0o1777, 9),
                    read_only: true,
                    no_exec: false,
                    no_dev: true,
                }],
                workdir: b"/".to_vec(),
                user: UserSpec {
                    user: NameOrId::Name(b"joe".to_vec()),
                    group: Some(NameOrId::Id(7)),
                    more: vec![NameOrId::Name(b"adm".to_vec())],
                },
                texts: vec![b"127.0.0.1 localhost".to_vec()],
                grants: Vec::new(),
            },
        };
        let bytes = config.encode();
        for len in 0..bytes.len() {
            assert_eq!(Config::decode(&bytes[..len]), None);
        }
        assert_eq!(Config::decode(&[bytes.as_slice(), &[0]].concat()), None);
        assert_eq!(Config::decode(&bytes), Some(config));
    }
}
