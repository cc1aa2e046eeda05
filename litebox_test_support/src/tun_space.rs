//! A network namespace of a test's own with a TUN device in it, made by `tun-setup.sh`.

use std::ffi::OsStr;
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

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

impl TunSpace {
    /// `None`: this machine lets this user make none, or has no TUN devices.
    pub fn make(options: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lb-tun-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        if !succeeds(Command::new("ip").args(["netns", "add", &name])) {
            return None;
        }
        let space = Self(name);
        let lo = succeeds(Command::new("ip").args(["-n", &space.0, "link", "set", "lo", "up"]));
        let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/../litebox_platform_linux_userland/scripts/tun-setup.sh");
        (lo && succeeds(space.command(setup).args(options))).then_some(space)
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
        succeeds(Command::new("ip").args(["netns", "del", &self.0]));
    }
}
