//! When a moment is, as strace prints it behind its numbers, in UTC.

use core::fmt::{self, Write};

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

/// ` /* 2026-01-31T12:00:00.000000001+0000 */`; nothing for moments before 1970, for that one, and far ahead.
pub(super) fn comment(out: &mut dyn Write, seconds: i64, nanos: i64) -> fmt::Result {
    const DAY: u64 = 86_400;
    let Some(since) = u64::try_from(seconds).ok().filter(|since| *since <= LAST) else { return Ok(()) };
    if since == 0 && nanos == 0 {
        return Ok(());
    }
    let (year, month, day) = civil(since / DAY);
    let (hour, minute, second) = (since % DAY / 3600, since % 3600 / 60, since % 60);
    write!(out, " /* {year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    if nanos != 0 {
        write!(out, ".{nanos:09}")?;
    }
    out.write_str("+0000 */")
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar. Years begin in March, so that leap
/// days come last; 400 of them have 146,097 days.
pub fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let days = days + 719_468;
    let day_of_era = days % ERA;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / (ERA - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (days / ERA * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::comment;

    fn shown(seconds: i64, nanos: i64) -> String {
        let mut out = String::new();
        let _ = comment(&mut out, seconds, nanos);
        out
    }

    #[test]
    fn moments_as_strace_prints_them() {
        assert_eq!(shown(1_796_032_380, 569_056_600), " /* 2026-11-30T09:53:00.569056600+0000 */");
        assert_eq!(shown(951_782_400, 0), " /* 2000-02-29T00:00:00+0000 */");
        assert_eq!(shown(1, 2), " /* 1970-01-01T00:00:01.000000002+0000 */");
        assert_eq!([shown(0, 0), shown(-1, 5), shown(i64::MAX, 0)], ["", "", ""]);
    }
}
