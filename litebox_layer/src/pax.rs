//! Extended headers of tar archives (pax(1)): records `LENGTH KEY=VALUE\n`, whose values may hold anything.

/// The record of a key and its value.
pub fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    records.extend_from_slice(len.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Keys and values; `None` when they are none.
pub fn parse(mut records: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut all = Vec::new();
    while !records.is_empty() {
        let digits = records.iter().position(|byte| *byte == b' ')?;
        let len: usize = std::str::from_utf8(records.get(..digits)?).ok()?.parse().ok()?;
        let record = records.get(digits + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        all.push((record.get(..equals)?, record.get(equals + 1..)?));
        records = records.get(len..)?;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::{parse, push};

    #[test]
    fn values_hold_anything_and_lengths_count_themselves() {
        for len in [0, 1, 80, 85, 86, 87, 88, 89, 90, 980, 985, 986, 987, 988, 989, 990, 9983] {
            let value = vec![b'\n'; len];
            let mut records = Vec::new();
            push(&mut records, b"path", &value);
            push(&mut records, b"SCHILY.xattr.user.a", b"b = c\n\0");
            let expected: Vec<(&[u8], &[u8])> =
                vec![(b"path", value.as_slice()), (b"SCHILY.xattr.user.a", b"b = c\n\0")];
            assert_eq!(parse(&records), Some(expected));
            for cut in 1..records.len().min(40) {
                assert_eq!(parse(&records[..records.len() - cut]).map(|all| all.len()).filter(|n| *n > 1), None);
            }
        }
    }
}
