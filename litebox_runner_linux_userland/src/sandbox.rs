//! Inside the boundary: the supervisor, and the first guest process it clones.

use std::io::Read;
use std::os::fd::FromRawFd;
use std::sync::Arc;

use litebox::Error;
use litebox::platform::broker_protocol::start_fd;
use litebox::platform::host;
use litebox_platform_linux_userland::{FirstProcess, Settings, start, supervise};
use litebox_shim_linux::boot::{self, FirstProgram};
use litebox_shim_linux::loader::Arguments;
use litebox_shim_linux::{Kernel, KernelConfig};

use crate::STATUS_OURS;
use crate::config::{Config, interception_of};

/// Exit statuses of `docker run` for a program that cannot be executed, and for one that is not there.
const STATUS_NOT_EXECUTABLE: i32 = 126;
const STATUS_NOT_FOUND: i32 = 127;

/// The supervisor: never returns.
pub fn run() -> ! {
    let Some(config) = read_config() else { refuse("the sandbox was started without a configuration") };
    let settings = Settings {
        arena_size: usize::try_from(config.arena_size).unwrap_or(usize::MAX >> 16),
        interception: interception_of(config.interception),
        broker: start_fd::REQUESTS,
        events: start_fd::EVENTS,
    };
    if let Err(e) = start(settings) {
        refuse(&format!("the host refuses a sandbox what it needs: {} ({:?})", e.what, e.error));
    }
    // Everything the kernel keeps is made from here on, on the shared heap.
    let program = FirstProgram {
        file: start_fd::FIRST_EXTRA,
        arguments: Arguments { argv: config.argv.clone(), envp: config.envp.clone(), path: config.path.clone() },
        uid: config.uid as u32,
        gid: config.gid as u32,
    };
    supervise(&First {
        kernel: boot::kernel(KernelConfig { hostname: "litebox".into(), ..KernelConfig::default() }),
        program,
    })
}

fn refuse(line: &str) -> ! {
    eprintln!("litebox: {line}");
    std::process::exit(i32::from(STATUS_OURS))
}

fn read_config() -> Option<Config> {
    // SAFETY: the broker leaves the configuration at this descriptor, and nothing else uses it.
    let mut file = unsafe { std::fs::File::from_raw_fd(start_fd::CONFIG) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Config::decode(&bytes)
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
            Error::NotFound => ("its interpreter is not in the sandbox", STATUS_NOT_FOUND),
            Error::TooBig => ("the arguments and environment are too long", STATUS_NOT_EXECUTABLE),
            Error::NoMemory => ("not enough memory", STATUS_NOT_EXECUTABLE),
            Error::NotExecutable => ("the file is no program for this machine", STATUS_NOT_EXECUTABLE),
            Error::BadLibrary => ("its interpreter is no program for this machine", STATUS_NOT_EXECUTABLE),
            _ => ("it cannot be loaded", STATUS_NOT_EXECUTABLE),
        };
        host().report(&format!("cannot run {name}: {why}"));
        host().exit_process(status << 8)
    }
}
