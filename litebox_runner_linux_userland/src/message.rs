//! What litebox says to a user.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use litebox_protocol::plain::Plain;

use crate::STATUS_OURS;

/// Prints `text`; a reader that goes away early is no failure.
pub fn print_all(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            say(&format!("cannot write: {e}"));
            ExitCode::from(STATUS_OURS)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// A line on stderr. Nothing can be done when that is gone.
pub fn say(line: &str) {
    print_aside(&format!("litebox: {}\n", Plain(line)));
}

/// Several lines on stderr, the first of them as [`say`] has it.
pub fn say_all(text: &str) {
    let lines: Vec<String> = text.lines().map(|line| Plain(line).to_string()).collect();
    print_aside(&format!("litebox: {}\n", lines.join("\n")));
}

/// Text on stderr.
pub fn print_aside(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
