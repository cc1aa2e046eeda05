//! Moments as people and programs read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use litebox_common_linux::show::date::civil;

/// Nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A moment (nanoseconds since 1970) as RFC 3339 has it, in UTC: 2026-01-31T12:00:00.000000001Z.
pub fn rfc3339(moment: u64) -> String {
    const DAY: u64 = 86_400;
    let (seconds, nanos) = (moment / 1_000_000_000, moment % 1_000_000_000);
    let (year, month, day) = civil(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// A length of time in a few words: 5 seconds, 3 minutes.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// How long ago a moment was.
pub fn ago(moment: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(moment))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{in_words, rfc3339};

    #[test]
    fn moments_are_dates() {
        let moments =
            [(0, "1970-01-01T00:00:00"), (951_782_400, "2000-02-29T00:00:00"), (1_798_761_599, "2026-12-31T23:59:59")];
        for (seconds, text) in moments {
            assert_eq!(rfc3339(seconds * 1_000_000_000), format!("{text}.000000000Z"));
        }
        assert_eq!(rfc3339(4_107_542_400_000_000_007), "2100-03-01T00:00:00.000000007Z");
        assert_eq!(
            [1, 59, 60, 7200].map(|s| in_words(Duration::from_secs(s))),
            ["1 second", "59 seconds", "1 minute", "2 hours"]
        );
    }
}
