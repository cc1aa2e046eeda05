//! Lines for the user about what was refused: each once, and not without end.

use std::collections::BTreeSet;

use super::policy::Refusal;
use crate::report::say;

const MOST_LINES: usize = 100;

/// What was said.
pub struct Reports {
    wanted: bool,
    said: BTreeSet<String>,
}

impl Reports {
    /// Nothing was said yet.
    pub fn new(wanted: bool) -> Self {
        Self { wanted, said: BTreeSet::new() }
    }
    /// Says that something was refused.
    pub fn refused(&mut self, refusal: &Refusal) {
        self.line(refusal.line());
    }
    /// Says a line, if it was not said before.
    pub fn line(&mut self, line: String) {
        if !self.wanted || self.said.len() > MOST_LINES || self.said.contains(&line) {
            return;
        }
        if self.said.len() == MOST_LINES {
            say("network: further refusals are not shown");
        } else {
            say(&line);
        }
        self.said.insert(line);
    }
}
