//! Options of `docker run` that a sandbox without containers, daemon or images cannot serve. Each is refused with the
//! reason and what to do instead, so that a command line typed by habit never runs with less than it says.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// One such option.
struct Row {
    long: &'static str,
    takes_value: bool,
    /// Values that ask for what a sandbox is anyway.
    taken: &'static [&'static str],
    why: &'static str,
}

const fn flag(long: &'static str, why: &'static str) -> Row {
    Row { long, takes_value: false, taken: &[], why }
}

const fn value(long: &'static str, taken: &'static [&'static str], why: &'static str) -> Row {
    Row { long, takes_value: true, taken, why }
}

const NO_DAEMON: &str = "there is no daemon that would do it: use systemd, or a loop in the shell";
const NO_LOG: &str = "the log of a sandbox in the background is read by litebox logs; else redirect stdout and stderr";
const NO_HEALTH: &str = "there is no daemon that would look after it";
const NO_CONTAINERS: &str = "there are no other containers: name the files it shares by -v";
const OWN_KERNEL: &str = "the program has a kernel of its own, and never shares the host's";

const ROWS: &[Row] = &[
    flag(
        "privileged",
        "there is no privilege to give: the program never talks to the host's kernel. What it needs of the host is named by -v",
    ),
    value("device", &[], "devices of the host are not given; /dev has null, zero, full, random, tty and ptmx"),
    value("device-cgroup-rule", &[], "devices of the host are not given"),
    value("gpus", &[], "graphics processors of the host are not given"),
    value("detach-keys", &[], "the sandbox runs in the foreground, or in the background: nothing is detached from it"),
    value("restart", &["no"], NO_DAEMON),
    value("ipc", &["", "private", "none"], OWN_KERNEL),
    value("pid", &["", "private"], OWN_KERNEL),
    value("uts", &["", "private"], OWN_KERNEL),
    value("userns", &[""], "the program has users of its own: say who it is by -u"),
    value("cgroupns", &["", "private"], OWN_KERNEL),
    value("cgroup-parent", &[], "start litebox in that cgroup, by systemd-run --slice"),
    value("runtime", &[], "litebox is the runtime"),
    value("isolation", &["default"], "there is one kind of isolation"),
    value("sysctl", &[], "settings of the sandbox's kernel are fixed"),
    value("storage-opt", &[], "files live in memory or in what -v names"),
    value("volumes-from", &[], NO_CONTAINERS),
    value("volume-driver", &["local"], "volumes are directories of this host"),
    value("link", &[], "there are no other containers to be reached by name: use --add-host"),
    value("log-driver", &["none"], NO_LOG),
    value("log-opt", &[], NO_LOG),
    value("health-cmd", &[], NO_HEALTH),
    value("health-interval", &[], NO_HEALTH),
    value("health-retries", &[], NO_HEALTH),
    value("health-start-period", &[], NO_HEALTH),
    value("health-timeout", &[], NO_HEALTH),
    flag("no-healthcheck", ""),
    value("pull", &["never", "missing"], "there are no images to pull: name an unpacked one by --rootfs DIR"),
    value("platform", &["linux/amd64", "linux/x86_64", "linux"], "programs run on this processor: linux/amd64"),
    value("sig-proxy", &["true"], "signals always go to the program: end the line with & and nohup to keep them away"),
    value("expose", &[], "a port is reached when it is published, not when it is exposed"),
    value("attach", &["stdin", "stdout", "stderr"], "the program's streams are those of litebox"),
    value("label-file", &[], "labels are for --label"),
    value("annotation", &[], "annotations are for engines; labels are for --label"),
    flag("oom-kill-disable", "the sandbox's own memory is what --memory says, and the host's is the host's"),
];

/// Which of them was asked for, and why it is refused.
pub struct Refused(pub Option<String>);

impl Args for Refused {
    fn augment_args(command: Command) -> Command {
        ROWS.iter().fold(command, |command, row| {
            let arg = Arg::new(row.long).long(row.long).hide(true);
            command.arg(if row.takes_value {
                arg.action(ArgAction::Append).num_args(1)
            } else {
                // `--privileged=true`, as scripts write it.
                arg.action(ArgAction::Append).num_args(0..=1).require_equals(true).default_missing_value("true")
            })
        })
    }
    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Refused {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        for row in ROWS {
            if matches.value_source(row.long) != Some(ValueSource::CommandLine) || row.why.is_empty() {
                continue;
            }
            let mut values = matches.get_many::<String>(row.long).into_iter().flatten();
            if !row.takes_value {
                if values.all(|value| value == "false") {
                    continue;
                }
                return Ok(Self(Some(format!("--{}: {}", row.long, row.why))));
            }
            if let Some(value) = values.find(|value| !row.taken.contains(&value.as_str())) {
                return Ok(Self(Some(format!("--{} {value}: {}", row.long, row.why))));
            }
        }
        Ok(Self(None))
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
