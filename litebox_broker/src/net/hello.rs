//! The name in a TLS ClientHello: the only thing of what the guest sends that the broker looks into.
//!
//! One function over the bytes that came so far (RFC 8446, sections 4.1.2 and 5.1; RFC 6066, section 3). The handshake
//! message may be spread over records, and records over writes.

/// What the first bytes of a connection say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hello {
    /// A ClientHello for this name, in lower case.
    Name(String),
    /// A ClientHello that has not come whole.
    Incomplete,
    /// No ClientHello, or one without a name, or one that is broken.
    Unfit,
}

const RECORD_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const NAME_OF_HOST: u8 = 0;
/// Longest record in clear text.
const MOST_IN_RECORD: usize = 1 << 14;
/// Longest handshake message that is looked at.
const MOST_IN_HELLO: usize = 1 << 14;

/// Reads numbers and vectors from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }
    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }
    /// A vector behind its length, which has so many bytes.
    fn vector(&mut self, bytes: usize) -> Option<Self> {
        let len = self.number(bytes)?;
        self.take(len).map(Reader)
    }
}

/// Looks for the name in the first bytes of a connection.
pub fn look(bytes: &[u8]) -> Hello {
    match handshake(bytes) {
        Ok(Some(message)) => name_in(&message).map_or(Hello::Unfit, Hello::Name),
        Ok(None) => Hello::Incomplete,
        Err(()) => Hello::Unfit,
    }
}

/// The body of the first handshake message, put together of its records; `None`: more is to come.
fn handshake(bytes: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let mut records = Reader(bytes);
    let mut message: Vec<u8> = Vec::new();
    while !records.0.is_empty() {
        let Some(kind) = records.byte() else { return Ok(None) };
        if kind != RECORD_HANDSHAKE {
            return Err(());
        }
        match records.take(2) {
            Some([3, _]) => {}
            None if records.0.first().is_none_or(|major| *major == 3) => return Ok(None),
            Some(_) | None => return Err(()),
        }
        let Some(len) = records.number(2) else { return Ok(None) };
        if len == 0 || len > MOST_IN_RECORD {
            return Err(());
        }
        let part = records.0.get(..len).unwrap_or(records.0);
        let whole = part.len() == len;
        message.extend_from_slice(part);
        records.0 = records.0.get(part.len()..).unwrap_or_default();
        let mut reader = Reader(&message);
        if reader.byte().is_some_and(|kind| kind != CLIENT_HELLO) {
            return Err(());
        }
        if let Some(wanted) = reader.number(3) {
            if wanted > MOST_IN_HELLO {
                return Err(());
            }
            if let Some(body) = reader.take(wanted) {
                return Ok(Some(body.to_vec()));
            }
        }
        if !whole {
            return Ok(None);
        }
    }
    Ok(None)
}

/// The name in the body of a ClientHello. More than one is refused: servers do not agree which counts.
fn name_in(body: &[u8]) -> Option<String> {
    let mut hello = Reader(body);
    // Version and random.
    hello.take(2 + 32)?;
    let _session = hello.vector(1)?;
    let _ciphers = hello.vector(2)?;
    let _compressions = hello.vector(1)?;
    let mut extensions = hello.vector(2)?;
    if !hello.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut extension = extensions.vector(2)?;
        if kind != usize::from(EXTENSION_SERVER_NAME) {
            continue;
        }
        let mut names = extension.vector(2)?;
        if !extension.0.is_empty() {
            return None;
        }
        while !names.0.is_empty() {
            let kind = names.byte()?;
            let name = names.vector(2)?;
            if kind != NAME_OF_HOST || found.is_some() {
                return None;
            }
            found = Some(super::rules::normal_name(core::str::from_utf8(name.0).ok()?).ok()?);
        }
    }
    found
}

#[cfg(test)]
#[path = "hello/tests.rs"]
mod tests;
