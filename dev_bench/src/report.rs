//! Rows of figures, as a table and as JSON.

use std::fmt;

/// One figure on both sides.
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// On the bare host.
    pub host: f64,
    /// In the sandbox.
    pub sandbox: f64,
    /// What is promised, and whether it is kept.
    pub promise: Option<(&'static str, bool)>,
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = self.sandbox / self.host;
        write!(out, "{:<20} {:>12.2} {:>12.2} {:<4} {ratio:>7.2}x", self.name, self.host, self.sandbox, self.unit)?;
        match self.promise {
            Some((text, kept)) => write!(out, "  {text}: {}", if kept { "kept" } else { "BROKEN" }),
            None => Ok(()),
        }
    }
}

/// All rows as a JSON array; names and units hold no characters that need escaping.
pub fn json(rows: &[Row]) -> String {
    let object = |row: &Row| {
        let (name, unit, host, sandbox) = (&row.name, row.unit, row.host, row.sandbox);
        let kept = row.promise.map_or("null", |(_, kept)| if kept { "true" } else { "false" });
        format!(
            r#"  {{"name": "{name}", "unit": "{unit}", "host": {host}, "sandbox": {sandbox}, "promise_kept": {kept}}}"#
        )
    };
    format!("[\n{}\n]\n", rows.iter().map(object).collect::<Vec<_>>().join(",\n"))
}
