//! A network namespace of a test's own with a TUN device in it, made by `tun-setup.sh`.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The device.
pub const DEVICE: &str = "tun99";
/// The host's address on it, and the sandbox's.
pub const HOST: &str = "10.0.0.1";
/// See [`HOST`].
pub const SANDBOX: &str = "10.0.0.2";

/// Takes the namespace away when it is dropped.
#[derive(Debug)]
pub struct TunSpace(String);

/// Why there is none.
#[derive(Debug)]
pub enum NoTunSpace {
    /// This machine lets this user make none.
    Refused(String),
    /// It lets them, and it was not made all the same.
    Failed(String),
}

impl NoTunSpace {
    /// Ends a test for which there is none. It passes only where there can be none, whatever else may not be skipped.
    pub fn end(self) -> crate::Result {
        match self {
            Self::Refused(why) => {
                println!("skipped: {why}");
                Ok(())
            }
            Self::Failed(why) => Err(why.into()),
        }
    }
}

/// Runs it quietly; what it said when it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end()))
}

/// What keeps this user from making a namespace with a device. It is found by what the kernel says, and not by the way
/// in which a space is made.
fn refusal() -> Result<(), String> {
    run(Command::new("unshare").args(["--net", "--mount", "true"]))
        .map_err(|why| format!("this user may make no network namespace ({why})"))?;
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    device.map(drop).map_err(|error| format!("no TUN devices on this machine (/dev/net/tun: {error})"))
}

impl TunSpace {
    /// One whose device has been made with these options of `tun-setup.sh`.
    pub fn make(options: &[&str]) -> Result<Self, NoTunSpace> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        refusal().map_err(NoTunSpace::Refused)?;
        let name = format!("lb-tun-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(Command::new("ip").args(["netns", "add", &name])).map_err(NoTunSpace::Failed)?;
        let space = Self(name);
        let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/../litebox_platform_linux_userland/scripts/tun-setup.sh");
        run(Command::new("ip").args(["-n", &space.0, "link", "set", "lo", "up"])).map_err(NoTunSpace::Failed)?;
        run(space.command(setup).args(options)).map_err(NoTunSpace::Failed)?;
        Ok(space)
    }

    /// A command in the namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }

    /// `litebox run` in the namespace, with the device.
    pub fn litebox(&self, program: &[&str]) -> Command {
        let litebox = crate::litebox();
        let mut command = self.command(litebox.get_program());
        command.args(["run", "--net", &format!("tun={DEVICE}"), "--"]).args(program);
        for (name, value) in litebox.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for TunSpace {
    fn drop(&mut self) {
        // What is left of it takes nothing from anybody, and a test that failed says more.
        let _ = run(Command::new("ip").args(["netns", "del", &self.0]));
    }
}
