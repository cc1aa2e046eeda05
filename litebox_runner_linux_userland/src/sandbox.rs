//! Inside the boundary: the supervisor, and the first guest process it clones.

use std::sync::Arc;

use litebox::Error;
use litebox::platform::host;
use litebox_common_linux::seccomp::bpf::Instruction;
use litebox_platform_linux_userland::host::call;
use litebox_platform_linux_userland::start::Used;
use litebox_platform_linux_userland::{FirstProcess, Settings, start, supervise};
use litebox_protocol::net::{OwnAddresses, Tun};
use litebox_protocol::plain::Plain;
use litebox_protocol::start_fd;
use litebox_shim_linux::boot::{self, ContainerPlan, FirstCapabilities, FirstProgram, FirstScheduling, Identity};
use litebox_shim_linux::loader::Arguments;
use litebox_shim_linux::{Kernel, KernelConfig, WayOut};
use zerocopy::FromBytes;

use crate::config::{Config, counted_of, interception_of, layer_of, patching_of};
use crate::{STATUS_OURS, streams, trace};

/// Exit statuses of `docker run` for a program that cannot be executed, and for one that is not there.
const STATUS_NOT_EXECUTABLE: i32 = 126;
const STATUS_NOT_FOUND: i32 = 127;

/// What the host said at the start under a key of the auxiliary vector, as the C library keeps it.
pub fn aux_of_libc(key: u64) -> u64 {
    // SAFETY: reads the library's copy of the vector.
    unsafe { libc::getauxval(key) }
}

/// The supervisor: never returns. `aux` knows the auxiliary vector.
pub fn run(aux: fn(u64) -> u64, used: Used) -> ! {
    let Some(config) = read_config() else { refuse("the sandbox was started without a configuration") };
    let settings = Settings {
        arena_size: usize::try_from(config.arena_size).unwrap_or(usize::MAX >> 16),
        interception: interception_of(config.interception),
        patching: patching_of(config.patching),
        broker: start_fd::REQUESTS,
        readers: start_fd::READERS,
        page: start_fd::PAGE,
        flags: start_fd::FLAGS,
        ahead: config.ahead == 1,
        events: start_fd::EVENTS,
        stats: config.stats == 1,
        counted: counted_of(config.counted),
        console: config.console != 0,
        tells: config.layer != 0,
        aux,
        program_break: used.program_break,
        stack_end: used.stack_end,
    };
    if let Err(e) = start(settings) {
        refuse(&format!("the host refuses a sandbox what it needs: {}: {}", e.what, boot::in_words(e.error)));
    }
    // A panic says where it was; the standard way to say it makes calls that are the guest's here.
    std::panic::set_hook(Box::new(|panic| host().fatal(&panic.to_string())));
    // Everything the kernel keeps is made from here on, on the shared heap.
    let mut program = program_of(&config);
    let kernel_config = KernelConfig {
        network: way_out(&config),
        test_hostile: (config.test_hostile == 1).then(|| call::gadget() as u64),
        container_plan: (config.takes_programs == 1).then_some(container_of),
        ..kernel_config_of(&config)
    };
    let kernel = match boot::kernel(kernel_config, &config.mounts) {
        Ok((kernel, identity)) => {
            program.identity = identity;
            kernel
        }
        Err(failure) => {
            let why = failure.error.map(|error| format!(": {}", boot::in_words(error))).unwrap_or_default();
            supervise(&Refused(format!("{}{why}", failure.what)));
        }
    };
    if config.home_of_user == 1 {
        boot::follow_home(&kernel, &mut program);
    }
    if let Err(error) = boot::check_workdir(&kernel, &program.workdir) {
        let (place, typed) = (String::from_utf8_lossy(&program.workdir), String::from_utf8_lossy(&config.workdir));
        let why = match error {
            Error::NotFound => format!("there is no {place} in the sandbox"),
            other => format!("{place} in the sandbox: {}", boot::in_words(other)),
        };
        supervise(&Refused(if typed.is_empty() { why } else { format!("{typed}: {why}") }));
    }
    if config.takes_programs == 1 {
        boot::keep_first(&kernel, &program);
    }
    supervise(&First { kernel, program })
}

/// What is to run first.
fn program_of(config: &Config) -> FirstProgram {
    FirstProgram {
        arguments: Arguments { argv: config.argv.clone(), envp: config.envp.clone(), path: config.path.clone() },
        search: config.search.clone(),
        identity: Identity::default(),
        capabilities: FirstCapabilities {
            dropped: config.dropped_capabilities,
            inheritable: config.inherited_capabilities[0],
            ambient: config.inherited_capabilities[1],
        },
        streams: config.streams.map(|flags| flags.checked_sub(1).map(|flags| flags as u32)),
        preserved: config.preserved.iter().map(|(fd, flags)| (*fd as i32, *flags as u32)).collect(),
        scheduling: scheduling_of(config.scheduling),
        console: streams::console_of(config.console),
        ignored: config.ignored,
        workdir: config.mounts.workdir.clone(),
    }
}

/// The part of a kernel's configuration that containers may have for themselves, too.
fn kernel_config_of(config: &Config) -> KernelConfig {
    KernelConfig {
        hostname: String::from_utf8_lossy(&config.hostname).into_owned(),
        memory_limit: (config.memory != 0).then_some(config.memory),
        machine_memory: config.machine_memory,
        disk_limit: (config.disk != 0).then_some(config.disk),
        most_tasks: config.pids,
        limits: config.limits.clone(),
        strace: trace::config_of(&config.strace),
        takes_programs: config.takes_programs == 1,
        reaps_orphans: config.reaps_orphans == 1,
        layer: layer_of(config.layer),
        oom_score_adj: config.oom_score_adj as i32,
        no_new_privileges: config.no_new_privileges == 1,
        filter: filter_of(&config.filter),
        ..KernelConfig::default()
    }
}

/// A further container, from what was sent to be its configuration.
fn container_of(bytes: &[u8]) -> Option<ContainerPlan> {
    let config = Config::decode(bytes)?;
    let (program, kernel_config) = (program_of(&config), kernel_config_of(&config));
    let follows_home = config.home_of_user == 1;
    Some(ContainerPlan { program, follows_home, config: kernel_config, mounts: config.mounts })
}

/// The instructions of a filter.
fn filter_of(bytes: &[u8]) -> Vec<Instruction> {
    let words = bytes.chunks_exact(size_of::<Instruction>());
    words.filter_map(|bytes| Instruction::read_from_bytes(bytes).ok()).collect()
}

/// How its first thread is scheduled.
fn scheduling_of([nice, policy, io_priority]: [u64; 3]) -> FirstScheduling {
    FirstScheduling { nice: nice as i32, policy: policy as i32, io_priority: io_priority as i32 }
}

/// The network that it has.
fn way_out(config: &Config) -> WayOut {
    match Tun::read_from_bytes(&config.tun) {
        Ok(tun) => WayOut::Tun(tun),
        Err(_) if config.network == 1 => {
            WayOut::Host(config.published.clone(), OwnAddresses::read_from_bytes(&config.own_addresses).ok())
        }
        Err(_) => WayOut::None,
    }
}

/// Says why, and ends the sandbox as `docker run` ends when it cannot start.
fn refuse(line: &str) -> ! {
    // Nothing can be done when stderr is gone.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("litebox: {}\n", Plain(line)).as_bytes());
    // SAFETY: ends the process.
    unsafe { libc::_exit(i32::from(STATUS_OURS)) }
}

fn read_config() -> Option<Config> {
    const PIECE: usize = 4096;
    let mut bytes = Vec::new();
    loop {
        let len = bytes.len();
        bytes.resize(len + PIECE, 0);
        // SAFETY: so many bytes may be written. A descriptor that is not open is an error.
        let n = unsafe { libc::read(start_fd::CONFIG, bytes[len..].as_mut_ptr().cast(), PIECE) };
        bytes.truncate(len + usize::try_from(n).ok()?);
        if n == 0 {
            break;
        }
    }
    // SAFETY: nobody else uses the descriptor.
    unsafe { libc::close(start_fd::CONFIG) };
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    let (grants, config) = rest.split_at_checked(usize::try_from(u64::from_ne_bytes(*len)).ok()?)?;
    let mut config = Config::decode(config)?;
    config.mounts.grants = grants.to_vec();
    Some(config)
}

/// What cannot be started: its only process says why.
struct Refused(String);

impl FirstProcess for Refused {
    fn run(&self) -> ! {
        host().report(&self.0);
        host().end_sandbox(i32::from(STATUS_OURS) << 8)
    }
}

struct First {
    kernel: Arc<Kernel>,
    program: FirstProgram,
}

impl FirstProcess for First {
    fn run(&self) -> ! {
        let Err(error) = boot::run_first(&self.kernel, &self.program);
        let name = String::from_utf8_lossy(&self.program.arguments.path);
        let (why, status) = match error {
            Error::NotFound | Error::NotDirectory => ("no such program", STATUS_NOT_FOUND),
            Error::Access | Error::NotPermitted => ("not an executable file", STATUS_NOT_EXECUTABLE),
            Error::TooBig => ("the arguments and environment are too long", STATUS_NOT_EXECUTABLE),
            Error::NoMemory => ("not enough memory", STATUS_NOT_EXECUTABLE),
            Error::NotExecutable => ("the file is no program for this machine", STATUS_NOT_EXECUTABLE),
            Error::BadLibrary => ("its interpreter is no program for this machine", STATUS_NOT_EXECUTABLE),
            other => (boot::in_words(other), STATUS_NOT_EXECUTABLE),
        };
        host().report(&format!("cannot run {name}: {why}"));
        host().end_sandbox(status << 8)
    }
}
