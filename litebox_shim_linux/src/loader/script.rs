//! Scripts: the `#!` line.

use alloc::vec::Vec;

use litebox::{Error, Result};

/// How much of a file's beginning is looked at, as on Linux (`BINPRM_BUF_SIZE`).
pub(super) const LINE_MAX: usize = 256;

/// What a `#!` line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    pub path: Vec<u8>,
    pub argument: Option<Vec<u8>>,
}

fn blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The interpreter that a file beginning with `head` asks for; `None`: it is no script. `head` is shorter than
/// [`LINE_MAX`] only when the file is.
pub(super) fn parse(head: &[u8]) -> Result<Option<Interpreter>> {
    let Some(line) = head.strip_prefix(b"#!") else { return Ok(None) };
    let newline = line.iter().position(|b| *b == b'\n');
    let cut = newline.is_none() && head.len() >= LINE_MAX;
    let line = line.get(..newline.unwrap_or(line.len())).unwrap_or_default();
    // The line is a C string to Linux.
    let line = line.split(|b| *b == 0).next().unwrap_or_default();
    let line = trim_start(line);
    let name_end = line.iter().position(|b| blank(*b));
    if cut && name_end.is_none() {
        // The name itself may go on.
        return Err(Error::NotExecutable);
    }
    let (path, rest) = line.split_at(name_end.unwrap_or(line.len()));
    if path.is_empty() {
        return Err(Error::NotExecutable);
    }
    let rest = trim_end(trim_start(rest));
    let argument = (!rest.is_empty()).then(|| rest.to_vec());
    Ok(Some(Interpreter { path: path.to_vec(), argument }))
}

fn trim_start(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|b| !blank(*b)).unwrap_or(line.len());
    line.get(start..).unwrap_or_default()
}

fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !blank(*b)).map_or(0, |i| i + 1);
    line.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Interpreter, LINE_MAX, parse};
    use alloc::vec::Vec;

    fn found(head: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        parse(head).ok().flatten().map(|Interpreter { path, argument }| (path, argument))
    }

    #[test]
    fn lines_as_linux_reads_them() {
        assert_eq!(parse(b"\x7fELF"), Ok(None));
        assert_eq!(found(b"#!/bin/sh\necho"), Some((b"/bin/sh".to_vec(), None)));
        assert_eq!(found(b"#! \t/bin/sh  -e -x \t\n"), Some((b"/bin/sh".to_vec(), Some(b"-e -x".to_vec()))));
        assert_eq!(found(b"#!/bin/sh"), Some((b"/bin/sh".to_vec(), None)));
        assert!(parse(b"#!\n").is_err());
        assert!(parse(b"#!   ").is_err());
        let mut long = b"#!/".to_vec();
        long.resize(LINE_MAX, b'x');
        assert!(parse(&long).is_err());
        long[100] = b' ';
        assert!(parse(&long).is_ok());
    }
}
