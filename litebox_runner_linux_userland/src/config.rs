//! What the broker tells the supervisor: fixed numbers, then strings with their lengths.

use litebox_platform_linux_userland::interception::Interception;

/// Everything the supervisor needs to know.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Bytes that files in memory and shared mappings may take.
    pub arena_size: u64,
    /// How guest calls are caught.
    pub interception: u64,
    /// User of the first program.
    pub uid: u64,
    /// Its group.
    pub gid: u64,
    /// Path of the program as it was asked for.
    pub path: Vec<u8>,
    /// Its arguments.
    pub argv: Vec<Vec<u8>>,
    /// Its environment, `K=V`.
    pub envp: Vec<Vec<u8>>,
}

/// The number of an interception backend in the configuration.
pub fn interception_number(i: Interception) -> u64 {
    match i {
        Interception::Auto => 0,
        Interception::Sud => 1,
        Interception::Seccomp => 2,
    }
}

/// And back.
pub fn interception_of(number: u64) -> Interception {
    match number {
        1 => Interception::Sud,
        2 => Interception::Seccomp,
        _ => Interception::Auto,
    }
}

impl Config {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |out: &mut Vec<u8>, n: u64| out.extend_from_slice(&n.to_le_bytes());
        for n in [self.arena_size, self.interception, self.uid, self.gid] {
            number(&mut out, n);
        }
        let strings = |out: &mut Vec<u8>, list: &[Vec<u8>]| {
            number(out, list.len() as u64);
            for s in list {
                number(out, s.len() as u64);
                out.extend_from_slice(s);
            }
        };
        strings(&mut out, std::slice::from_ref(&self.path));
        strings(&mut out, &self.argv);
        strings(&mut out, &self.envp);
        out
    }

    /// From bytes; `None` when they are no configuration.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [arena_size, interception, uid, gid] = [(); 4].map(|()| number(&mut rest));
        let path = strings(&mut rest)?.pop()?;
        let argv = strings(&mut rest)?;
        let envp = strings(&mut rest)?;
        Some(Self { arena_size: arena_size?, interception: interception?, uid: uid?, gid: gid?, path, argv, envp })
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (head, tail) = rest.split_first_chunk::<8>()?;
    *rest = tail;
    Some(u64::from_le_bytes(*head))
}

fn strings(rest: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = number(rest)?;
    let mut list = Vec::new();
    for _ in 0..count {
        let len = usize::try_from(number(rest)?).ok()?;
        let (head, tail) = rest.split_at_checked(len)?;
        list.push(head.to_vec());
        *rest = tail;
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn survives_the_way() {
        let config = Config {
            arena_size: 1 << 30,
            interception: 2,
            uid: 1000,
            gid: 100,
            path: b"/bin/true".to_vec(),
            argv: vec![b"true".to_vec(), Vec::new()],
            envp: vec![b"A=b".to_vec()],
        };
        let bytes = config.encode();
        assert_eq!(Config::decode(&bytes), Some(config));
        for len in 0..bytes.len() {
            assert_eq!(Config::decode(&bytes[..len]), None);
        }
    }
}
