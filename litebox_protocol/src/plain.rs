//! Text for a user's terminal: nothing in it can hide, overwrite or reorder what stands there.

use core::fmt::{Display, Formatter, Result, Write};

/// Shows a text in one line. What a terminal does not show as a character of its own is written as an escape: control
/// characters (and with them escape sequences), line and paragraph separators, characters that turn the direction of
/// writing, and those that have no width.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a str);

/// Whether a character could change how others are shown, or is not seen itself (Unicode: general categories Cc, Cf,
/// Zl, Zp, and what else is shown as nothing).
const fn is_treacherous(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for c in self.0.chars() {
            if is_treacherous(c) { Display::fmt(&c.escape_default(), f)? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::Plain;

    #[test]
    fn nothing_hides_or_turns_text() {
        let text = "a\u{1b}[2Kb\r\nc\u{202e}d\u{2028}e\u{2029}\u{2066}f\u{200b}\u{9b}g\u{feff}\u{e0041}";
        let shown = Plain(text).to_string();
        assert_eq!(
            shown,
            "a\\u{1b}[2Kb\\r\\nc\\u{202e}d\\u{2028}e\\u{2029}\\u{2066}f\\u{200b}\\u{9b}g\\u{feff}\\u{e0041}"
        );
        for usual in [
            "plain text \\ with 'signs'",
            "Gr\u{fc}\u{df}e",
            "\u{65e5}\u{672c}\u{8a9e}",
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        ] {
            assert_eq!(Plain(usual).to_string(), usual);
        }
    }
}
