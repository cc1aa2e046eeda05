//! `litebox run` on a terminal: what a user types and sees there, the same as when the program runs on the bare host.

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use litebox_test_support::compile::{self, Variant};
use litebox_test_support::terminal_user::TerminalUser;
use litebox_test_support::{NamedTest, Result};

const ALL: &[i32] = &[0, 1, 2];
/// A shell without the user's settings, on a terminal that readline knows.
const SHELL: &[&str] = &["/bin/bash", "--norc", "-i"];

/// The program in the sandbox.
fn boxed(options: &[&str], program: &[&str]) -> Command {
    // In the group of the session, which is made when it starts.
    let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
    command.env_clear().env("TERM", "xterm").env("PATH", "/usr/bin:/bin").arg("run");
    command.args(options).arg("--").args(program);
    command
}

fn bare(program: &[&str]) -> Command {
    let (name, arguments) = program.split_first().unwrap_or((&"", &[]));
    let mut command = Command::new(name);
    command.env_clear().env("TERM", "xterm").env("PATH", "/usr/bin:/bin").args(arguments);
    command
}

/// What happens at the terminal.
enum Step {
    /// Typed.
    Type(&'static str),
    /// Waited for.
    See(&'static str),
    /// Wait until it has taken what was typed, and waits for more.
    Rest,
    /// Another window.
    Resize(u16, u16),
}
use Step::{Resize, Rest, See, Type};

/// Does the steps at a program on the bare host, which shows that they are right, then in the sandbox, with `-t` and
/// without. It ends with the status.
fn dialogue(program: &[&str], steps: &[Step], status: i32) -> Result {
    let mut runs = vec![("bare host", bare(program))];
    if !litebox_test_support::host_only() {
        runs.push(("sandbox with -t", boxed(&["-t"], program)));
        runs.push(("sandbox", boxed(&[], program)));
    }
    for (place, command) in runs {
        let mut user = TerminalUser::start(command, ALL)?;
        let before = user.before;
        for step in steps {
            match step {
                Type(text) => user.types(text)?,
                See(text) => {
                    user.sees(text).map_err(|e| format!("{place}: {}", e.message().unwrap_or_default()))?;
                }
                Rest => user.rests().map_err(|e| format!("{place}: {}", e.message().unwrap_or_default()))?,
                Resize(rows, columns) => user.resizes(*rows, *columns)?,
            }
        }
        let (ended, shown) = user.ends()?;
        if ended != status {
            return Err(format!("{place}: status {ended} instead of {status}, shown {shown:?}").into());
        }
        if place != "bare host" && user.settings() != before {
            return Err(format!("{place}: the terminal has other settings than before").into());
        }
    }
    Ok(())
}

/// A prompt that is told from its own definition.
const PROMPT: Step = Type("PS1='<re''ady>'\n");
const READY: Step = See("<ready>");

fn job_control() -> Result {
    dialogue(
        SHELL,
        &[
            PROMPT,
            READY,
            Type("sleep 100\n"),
            See("sleep 100"),
            Rest,
            Type("\x03"),
            See("^C"),
            READY,
            Type("echo status $?\n"),
            See("\rstatus 130\r\n"),
            READY,
            Type("sleep 101\n"),
            See("sleep 101"),
            Rest,
            Type("\x1a"),
            See("^Z"),
            See("Stopped"),
            READY,
            Type("jobs\n"),
            See("Stopped"),
            See("sleep 101"),
            READY,
            Type("bg\n"),
            See("sleep 101 &"),
            READY,
            Type("jobs\n"),
            See("Running"),
            READY,
            Type("fg\n"),
            See("sleep 101"),
            Rest,
            Type("\x03"),
            READY,
            Type("cat &\n"),
            READY,
            Rest,
            // The shell may have said so already, before the prompt.
            Type("jobs\n"),
            See("Stopped"),
            READY,
            Type("fg\n"),
            See("cat\r\n"),
            Rest,
            Type("one line\n"),
            See("one line\r\none line\r\n"),
            Type("\x04"),
            READY,
            Type("sleep 102\n"),
            See("sleep 102"),
            Rest,
            Type("\x1c"),
            See("Quit"),
            READY,
            Type("exit 7\n"),
        ],
        7,
    )
}

fn line_editing() -> Result {
    dialogue(
        SHELL,
        &[
            PROMPT,
            READY,
            Type("echo wrold\x1b[D\x1b[D\x1b[D\x08\x1b[Co\x1b[C\x7fr\n"),
            READY,
            Type("ecoh gone\x15echo kept\n"),
            See("\rkept\r\n"),
            READY,
            Type("\x1b[A\n"),
            See("\rkept\r\n"),
            READY,
            Type("echo half"),
            See("half"),
            Rest,
            Type("\x03"),
            READY,
            Type("echo /usr/inc\t\n"),
            See("\r/usr/include/\r\n"),
            READY,
            Type("read -p 'name: ' name\n"),
            See("\rname: "),
            Type("wrogn\x7f\x7fng\n"),
            READY,
            Type("echo \"<$name>\"; tty </dev/tty >/dev/null && test -t 0 -a -t 1 -a -t 2 && echo all\n"),
            See("\r<wrong>\r\nall\r\n"),
            READY,
            Type("\x04"),
            See("exit"),
        ],
        0,
    )
}

fn canonical_mode() -> Result {
    let text = "stty -a | grep -o -e '-\\?icanon' -e 'intr = ^.'; read a; read b; echo \"<$a|$b>\"; stty -echo; read c; stty echo; echo \"<$c>\"; \
        stty raw -echo; dd bs=1 count=3 2>/dev/null | od -c; stty sane; stty -icanon min 0 time 2; dd bs=1 count=1 2>/dev/null | wc -c; stty sane; stty size";
    dialogue(
        &["/bin/sh", "-c", text],
        &[
            See("intr = ^C\r\nicanon\r\n"),
            Type("wrog\x7fng\n"),
            Type("two words\x17word\n"),
            See("<wrong|two word>\r\n"),
            Rest,
            Type("secret\n"),
            See("<secret>"),
            Rest,
            Type("\r\x03\x04"),
            See("\\r 003 004"),
            See("0\r\n"),
            See("24 80\r\n"),
        ],
        0,
    )
}

fn resizing() -> Result {
    let text = "n=0; trap 'stty size; n=$((n + 1))' WINCH; stty size; while [ $n -lt 2 ]; do sleep 0.05; done; exit 5";
    dialogue(
        &["/bin/sh", "-c", text],
        &[See("24 80\r\n"), Resize(40, 100), See("40 100\r\n"), Resize(10, 20), See("10 20\r\n")],
        5,
    )
}

fn pager() -> Result {
    let text = "seq 1 500 | less; echo status $?";
    dialogue(
        &["/bin/sh", "-c", text],
        &[
            See("23"),
            See(":"),
            Type(" "),
            See("46"),
            Type("G"),
            See("(END)"),
            Type("/77\n"),
            See("RETURN"),
            Rest,
            Type("?477\n"),
            See("477"),
            Type("q"),
            See("status 0"),
        ],
        0,
    )
}

fn editor() -> Result {
    let text = "dir=$(mktemp -d); vi -u NONE -N $dir/text; cat $dir/text; rm -r $dir";
    dialogue(
        &["/bin/sh", "-c", text],
        &[
            See("New"),
            Type("ifirst\x1b"),
            See("first"),
            Rest,
            Type("yyp:s/first/second/\r"),
            See("second"),
            Resize(30, 70),
            Rest,
            Type(":wq\r"),
            See("written"),
            See("first\r\nsecond\r\n"),
        ],
        0,
    )
}

fn multiplexer() -> Result {
    let text = "tmux -L litebox-test -f /dev/null new-session -x 80 -y 24 'PS1=in_tmux_ /bin/dash'; echo left $?; \
        tmux -L litebox-test attach; tmux -L litebox-test kill-server; exit 0";
    dialogue(
        &["/bin/sh", "-c", text],
        &[
            See("in_tmux_"),
            Type("echo $((6 * 7)) $TERM\n"),
            See("42 "),
            // Keys in quick succession are taken for pasted text.
            Rest,
            Type("\x02"),
            Rest,
            Type("d"),
            See("detached"),
            See("left 0"),
            See("42 "),
            See("in_tmux_"),
            Type("exit\n"),
            See("[exited]"),
        ],
        0,
    )
}

/// Everything that was written arrives, although the program ends at once.
fn output_is_complete() -> Result {
    let mut user = TerminalUser::start(boxed(&["-t"], &["/bin/sh", "-c", "seq 1 40000; exit 4"]), ALL)?;
    let shown = user.sees("\n40000\r\n")?;
    let expected = (1..=40000).map(|n| format!("{n}\r\n")).collect::<Vec<_>>().concat();
    if shown != expected {
        return Err("lines are missing or changed".into());
    }
    match user.ends()?.0 {
        4 => Ok(()),
        other => Err(format!("status {other}").into()),
    }
}

/// ^Z at the sandbox stops it for the shell outside, which has its terminal back meanwhile.
fn stops_for_the_shell_outside() -> Result {
    let mut user = TerminalUser::start(bare(SHELL), ALL)?;
    user.types("PS1='<out''side>'\n")?;
    user.sees("<outside>")?;
    let run = format!("{} run -- ", env!("CARGO_BIN_EXE_litebox"));
    let cooked = "stty -a | grep -o -e '-\\?icanon' -e '-\\?opost'\n";
    for (program, quit) in [("sleep 100", "\x03"), ("vi -u NONE -N", ":q!\r")] {
        user.types(&format!("{run}{program}\n"))?;
        user.starts()?;
        user.types("\x1a")?;
        user.sees("Stopped")?;
        user.sees("<outside>")?;
        user.types(cooked)?;
        user.sees("\ropost\r\nicanon\r\n")?;
        user.sees("<outside>")?;
        user.types("fg\n")?;
        user.sees(program)?;
        user.rests()?;
        user.types(quit)?;
        user.sees("<outside>")?;
        user.types(cooked)?;
        user.sees("\ropost\r\nicanon\r\n")?;
        user.sees("<outside>")?;
    }
    // In the background it does not touch the terminal, and when it wants to read, it gets nothing that was meant for
    // the shell.
    user.types(&format!("{run}sleep 0.5 &\n"))?;
    user.sees("<outside>")?;
    user.types("wait; echo ba''ck\n")?;
    user.sees("back\r\n")?;
    user.types("exit\n")?;
    user.ends().map(drop)
}

/// A shell outside at which the sandbox, or the same program on the bare host, is a job.
fn shell_outside() -> std::result::Result<TerminalUser, Failed> {
    let mut user = TerminalUser::start(bare(SHELL), ALL)?;
    user.types("PS1='<out''side>'\n")?;
    user.sees("<outside>")?;
    Ok(user)
}

/// In the background `cat` waits as it does on the bare host, and what is typed is for the shell.
fn waits_in_the_background() -> Result {
    let run = format!("{} run -- cat", env!("CARGO_BIN_EXE_litebox"));
    let limited = format!("{} run --timeout 60s -- cat", env!("CARGO_BIN_EXE_litebox"));
    for (program, stops) in [("cat", true), (&run, true), (&format!("{run} | cat"), true), (&limited, false)] {
        let mut user = shell_outside()?;
        user.types(&format!("{program} &\n"))?;
        user.sees("<outside>")?;
        if stops {
            // The shell may have said so already.
            let until = Instant::now() + Duration::from_secs(20);
            loop {
                user.types("jobs; echo li''sted\n")?;
                if user.sees("listed\r\n")?.contains("Stopped") {
                    break;
                }
                if Instant::now() > until {
                    return Err(format!("{program} does not stop").into());
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        user.types("echo for the sh''ell\n")?;
        user.sees("for the shell\r\n")?;
        user.types("fg\n")?;
        user.sees("cat")?;
        user.sees("\n")?;
        user.rests()?;
        user.types("for the cat\n")?;
        user.sees("for the cat\r\n")?;
        user.sees("for the cat\r\n")?;
        user.types("\x04")?;
        user.sees("<outside>")?;
        user.types("exit 5\n")?;
        if user.ends()?.0 != 5 {
            return Err("the shell did not end".into());
        }
    }
    Ok(())
}

/// After ^Z and `bg` an honest program gets nothing of what is typed; it stops when it wants to read, and goes on in
/// the foreground.
fn gets_nothing_after_bg() -> Result {
    let dir = litebox_test_support::fresh_dir("terminal_bg")?;
    let options = format!("run -v {}:/box:rw --", dir.display());
    let script = "while read line; do echo \"got $line\"; echo \"$line\" >>/box/got; done";
    for redirected in ["", " 2>/dev/null"] {
        let mut user = shell_outside()?;
        let command = format!("{} {options} /bin/sh -c '{script}'{redirected}\n", env!("CARGO_BIN_EXE_litebox"));
        user.types(&command)?;
        user.starts()?;
        user.types("one\n")?;
        user.sees("got one\r\n")?;
        user.types("\x1a")?;
        user.sees("Stopped")?;
        user.sees("<outside>")?;
        user.types("bg\n")?;
        user.sees("<outside>")?;
        for _ in 0..5 {
            user.types("echo for the sh''ell\n")?;
            user.sees("for the shell\r\n")?;
            user.sees("<outside>")?;
        }
        user.types("fg\n")?;
        user.sees("litebox")?;
        user.rests()?;
        user.types("two\n")?;
        user.sees("got two\r\n")?;
        user.types("\x04")?;
        user.sees("<outside>")?;
        let got = std::fs::read_to_string(dir.join("got"))?;
        if got != "one\ntwo\n" {
            return Err(format!("the program in the background read {got:?}").into());
        }
        std::fs::remove_file(dir.join("got"))?;
        user.types("exit\n")?;
        user.ends()?;
    }
    Ok(())
}

/// A program whose stdin is not the terminal cannot read it, and one in the background cannot, whatever it does.
fn hostile_programs_read_nothing() -> Result {
    let dir = litebox_test_support::fresh_dir("terminal_hostile")?;
    std::fs::copy(compile::guest("compromised_kernel.c", Variant::Static, &[])?, dir.join("hostile"))?;
    let litebox = env!("CARGO_BIN_EXE_litebox");
    let run = format!("{litebox} run --test-hostile -v {}:/box:rw --", dir.display());
    // Without help of the kernel's: by the descriptors that programs have, and by name.
    let honest =
        "cat <&2 >/box/stolen; cat </dev/tty >>/box/stolen; (cat <&1) >>/box/stolen; sleep 1; echo over >>/box/over";
    let mut user = shell_outside()?;
    user.types(&format!("{run} /bin/sh -c '{honest}' </dev/null &\n"))?;
    user.sees("<outside>")?;
    let until = Instant::now() + Duration::from_secs(20);
    while !dir.join("over").exists() {
        user.types("echo for the sh''ell\n")?;
        user.sees("for the shell\r\n")?;
        if Instant::now() > until {
            return Err("the program waits for the terminal".into());
        }
    }
    let stolen = std::fs::read_to_string(dir.join("stolen"))?;
    if !stolen.is_empty() {
        return Err(format!("a program without the terminal at stdin read {stolen:?}").into());
    }
    // With it: the broker is asked from the background.
    for input in ["</dev/null", ""] {
        let log = dir.join("log");
        user.types(&format!("{run} /box/hostile attack read-terminal-by-broker {input} >{} &\n", log.display()))?;
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            user.types("echo for the sh''ell\n")?;
            user.sees("for the shell\r\n")?;
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.contains("typed 0 asked 1") {
                break;
            }
            if said.contains("typed") || Instant::now() > until {
                return Err(format!("stdin {input:?}: {said:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_file(log)?;
    }
    // The host is asked: the call is refused.
    user.types(&format!("{run} /box/hostile attack read-terminal; echo status $?\n"))?;
    user.sees("refused host call read")?;
    user.sees("status 159\r\n")?;
    user.types("exit\n")?;
    user.ends().map(drop)
}

/// Settings come back whichever descriptors the terminal is at.
fn settings_come_back_from_every_descriptor() -> Result {
    let spoil = "for fd in 0 1 2; do stty -icanon -echo min 3 <&$fd 2>/dev/null; done; stty -a <&2 | grep -o -e '-icanon' >&2; exit 3";
    for wires in [&[2][..], &[1, 2], &[0, 2], ALL] {
        let mut user = TerminalUser::start(boxed(&[], &["/bin/sh", "-c", spoil]), wires)?;
        user.sees("-icanon\r\n")?;
        let (status, shown) = user.ends()?;
        if status != 3 || user.settings() != user.before {
            return Err(format!("{wires:?}: status {status}, shown {shown:?}, settings {:?}", user.settings()).into());
        }
    }
    Ok(())
}

/// What litebox says itself cannot hide or turn what stands at the terminal.
fn reports_are_plain() -> Result {
    let name = "no\u{1b}[2K\u{202e}such\u{2028}program\u{7}\r\u{200b}";
    for options in [&["--rootfs", name][..], &["--hostname", "a", "-v", name], &[name, "b"], &["-w", name], &[]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_litebox"));
        command.env_clear().arg("run").args(options).arg("--").arg(name);
        if options.first() == Some(&name) {
            command = Command::new(env!("CARGO_BIN_EXE_litebox"));
            command.env_clear().arg(name);
        }
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let treacherous = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2028}\u{200b}".contains(c);
        if said.contains(treacherous) || said.lines().count() != 1 || !said.contains("\\u{202e}") {
            return Err(format!("{options:?}: {said:?}").into());
        }
    }
    Ok(())
}

/// However the sandbox ends, the terminal is as before.
fn settings_come_back() -> Result {
    let spoil = "stty raw -echo; echo spoilt; exec sleep 100";
    for how in ["timeout", "killed", "litebox killed"] {
        let options: &[&str] = if how == "timeout" { &["-t", "--timeout", "1s"] } else { &["-t"] };
        let mut user = TerminalUser::start(boxed(options, &["/bin/sh", "-c", spoil]), ALL)?;
        let mut before = None;
        user.sees("spoilt")?;
        if user.settings()[3] & libc::ICANON != 0 {
            return Err("the terminal was never raw".into());
        }
        let signal = |pid: i32| {
            // SAFETY: no pointers.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        };
        match how {
            "killed" => {
                let children = format!("/proc/{0}/task/{0}/children", user.pid());
                let children = std::fs::read_to_string(children)?;
                // The guard is the first child, the sandbox the second.
                let sandbox = children.split_whitespace().nth(1).and_then(|pid| pid.parse().ok());
                signal(sandbox.ok_or("there is no sandbox")?);
            }
            "litebox killed" => signal(user.pid()),
            _ => {}
        }
        user.ends()?;
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let now = user.settings();
            before = Some(now);
            if now[3] & libc::ICANON != 0 && now[1] & libc::OPOST != 0 && now[3] & libc::ECHO != 0 {
                before = None;
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(left) = before {
            return Err(format!("{how}: the terminal was left as {left:?}").into());
        }
    }
    Ok(())
}

/// The user's terminal goes away: the session hears of it.
fn hang_up() -> Result {
    let dir = litebox_test_support::fresh_dir("terminal_hang_up")?;
    let volume = format!("{}:/box:rw", dir.display());
    let text = "trap 'echo hung up >/box/said; exit 3' HUP; echo there; while :; do sleep 0.1; done";
    let mut user = TerminalUser::start(boxed(&["-v", &volume], &["/bin/sh", "-c", text]), ALL)?;
    user.sees("there")?;
    let mut child = user.leaves();
    let (status, late) = litebox_test_support::program_result::wait(&mut child, Duration::from_secs(20))?;
    let said = std::fs::read_to_string(dir.join("said")).unwrap_or_default();
    if late.is_some() || litebox_test_support::program_result::status_code(status) != 3 || said != "hung up\n" {
        return Err(format!("status {status:?}, said {said:?}").into());
    }
    Ok(())
}

/// Without a terminal `-t` is an error; a terminal at stdin alone is passed on, and nobody makes it raw.
fn other_descriptors() -> Result {
    let mut user = TerminalUser::start(boxed(&["-t"], &["/bin/true"]), &[1, 2])?;
    user.sees("litebox: --tty: stdin is not a terminal\r\n")?;
    if user.ends()?.0 != 125 {
        return Err("-t without a terminal does not fail".into());
    }
    let script = "test -t 0 && read line && echo \"<$line>\"";
    let mut user = TerminalUser::start(boxed(&[], &["/bin/sh", "-c", script]), &[0, 2])?;
    user.types("some text\n")?;
    let mut text = String::new();
    user.piped().ok_or("no pipe")?.read_to_string(&mut text)?;
    if text != "<some text>\n" || user.ends()?.0 != 0 {
        return Err(format!("read {text:?}").into());
    }
    // With -t the terminal is the console, and a pipe stays a pipe.
    let script = "test -t 0 && ! test -t 1 && echo piped && echo shown >/dev/tty && tty >&2";
    let mut user = TerminalUser::start(boxed(&["-t"], &["/bin/sh", "-c", script]), &[0, 2])?;
    user.sees("shown\r\n/dev/pts/0\r\n")?;
    let mut text = String::new();
    user.piped().ok_or("no pipe")?.read_to_string(&mut text)?;
    if text != "piped\n" || user.ends()?.0 != 0 {
        return Err(format!("read {text:?}").into());
    }
    Ok(())
}

fn main() {
    let bare_and_boxed: &[NamedTest] = &[
        ("job_control", job_control),
        ("line_editing", line_editing),
        ("canonical_mode", canonical_mode),
        ("resizing", resizing),
        ("pager", pager),
        ("editor", editor),
        ("multiplexer", multiplexer),
    ];
    let boxed_alone: &[NamedTest] = &[
        ("output_is_complete", output_is_complete),
        ("stops_for_the_shell_outside", stops_for_the_shell_outside),
        ("waits_in_the_background", waits_in_the_background),
        ("gets_nothing_after_bg", gets_nothing_after_bg),
        ("hostile_programs_read_nothing", hostile_programs_read_nothing),
        ("settings_come_back_from_every_descriptor", settings_come_back_from_every_descriptor),
        ("reports_are_plain", reports_are_plain),
        ("settings_come_back", settings_come_back),
        ("hang_up", hang_up),
        ("other_descriptors", other_descriptors),
    ];
    litebox_test_support::run_table(
        &[bare_and_boxed, if litebox_test_support::host_only() { &[] } else { boxed_alone }].concat(),
    );
}
