//! Hooks: programs of the host that an engine wants run at moments of a container's life.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::config::{Hook, Spec};

/// The moments.
pub const NAMES: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// The moments before a container's start: it is there, and its program is not.
pub const EARLY: [&str; 3] = ["prestart", "createRuntime", "createContainer"];

/// Whether any are to be run before the start.
pub fn are_early(spec: &Spec) -> bool {
    EARLY.iter().any(|moment| spec.hooks.get(*moment).is_some_and(|hooks| !hooks.is_empty()))
}

/// Runs the hooks of a moment, one after the other; each reads the container's state.
pub fn run(spec: &Spec, moment: &str, state: &Value) -> Result<(), String> {
    for hook in spec.hooks.get(moment).into_iter().flatten() {
        one(hook, state).map_err(|why| format!("{moment} hook {}: {why}", hook.path.display()))?;
    }
    Ok(())
}

fn one(hook: &Hook, state: &Value) -> Result<(), String> {
    let mut command = Command::new(&hook.path);
    // Some are programs of many names: dockerd is one.
    if let Some(name) = hook.args.first() {
        command.arg0(name);
    }
    command.args(hook.args.iter().skip(1)).stdin(Stdio::piped()).env_clear();
    command.envs(hook.env.iter().filter_map(|variable| variable.split_once('=')));
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        // Not every hook reads it.
        let _ = input.write_all(state.to_string().as_bytes());
    }
    wait(child, hook.timeout.map(|seconds| Duration::from_secs(seconds.into())))
}

fn wait(mut child: Child, most: Option<Duration>) -> Result<(), String> {
    const STEP: Duration = Duration::from_millis(5);
    let since = Instant::now();
    loop {
        let ended = if most.is_some() { child.try_wait() } else { child.wait().map(Some) };
        match ended.map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string()),
            None if most.is_some_and(|most| since.elapsed() >= most) => {
                let _ = child.kill().and_then(|()| child.wait());
                return Err("it took longer than its timeout".into());
            }
            None => std::thread::sleep(STEP),
        }
    }
}
