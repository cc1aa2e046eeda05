//! What moved between two reports.

use crate::Failure;
use crate::report::Report;
use crate::side::Side;

/// Less than this is the machine's mood.
const NOISE: f64 = 1.05;

/// Prints every ratio that moved; `false` when one grew by more than `threshold`, or a figure was lost.
pub fn print(old: &Report, new: &Report, threshold: f64) -> Result<bool, Failure> {
    if threshold < 1.0 {
        return Err("--threshold is a factor of at least 1".into());
    }
    let mut good = true;
    for row in &new.rows {
        let Some(before) = old.rows.iter().find(|r| r.name == row.name).and_then(|r| r.ratio(Side::Litebox)) else {
            continue;
        };
        let Some(now) = row.ratio(Side::Litebox) else {
            println!("{:<28} {before:.2}x -> no figure  WORSE", row.name);
            good = false;
            continue;
        };
        let factor = now / before;
        let worse = factor > threshold;
        good &= !worse;
        if !(1.0 / NOISE..=NOISE).contains(&factor) {
            println!("{:<28} {before:.2}x -> {now:.2}x{}", row.name, if worse { "  WORSE" } else { "" });
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::print;
    use crate::report::{Report, Row};
    use crate::side::Side;

    fn report(figure: Option<f64>) -> Report {
        let mut medians = BTreeMap::from([(Side::Host, 100.0)]);
        medians.extend(figure.map(|own| (Side::Litebox, own)));
        let row = Row {
            name: "getpid".into(),
            unit: "ns".into(),
            goal_ratio: Some(0.12),
            goal_over: None,
            goal_most: None,
            medians,
            failures: BTreeMap::new(),
        };
        Report { machine: String::new(), kernel: String::new(), rounds: 1, sides: Vec::new(), rows: vec![row] }
    }

    #[test]
    fn only_growth_over_the_threshold_fails() {
        let judge = |old, new| print(&report(old), &report(new), 1.25).unwrap_or(false);
        assert!(judge(Some(10.0), Some(12.0)));
        assert!(!judge(Some(10.0), Some(13.0)));
        assert!(judge(Some(10.0), Some(1.0)));
        assert!(!judge(Some(10.0), None));
        assert!(judge(None, Some(13.0)));
        assert!(print(&report(None), &report(None), 0.9).is_err());
    }

    #[test]
    fn a_report_survives_the_way_to_a_file() {
        let Ok(text) = serde_json::to_string(&report(Some(11.0))) else { panic!("no JSON") };
        let back: Report = serde_json::from_str(&text).unwrap_or_else(|_| report(None));
        assert_eq!(back.rows.first().and_then(|row| row.ratio(Side::Litebox)), Some(0.11));
        assert_eq!(back.rows.first().and_then(Row::kept), Some(true));
    }
}
