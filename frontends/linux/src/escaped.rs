//! Text from outside in a message.

use std::fmt::{self, Write as _};

/// Displayed with what a terminal obeys, quotes and backslashes escaped, as in the source of a program. The standard
/// library's own escapes also look up what can be seen in tables of Unicode, which would be a hundredth of the program.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'t>(pub &'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\t' => out.write_str("\\t")?,
                '\n' => out.write_str("\\n")?,
                '\r' => out.write_str("\\r")?,
                '\'' | '"' | '\\' => {
                    out.write_char('\\')?;
                    out.write_char(letter)?;
                }
                // Controls, and what changes the direction of text or cannot be seen.
                '\0'..='\x1f'
                | '\x7f'..='\u{9f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}' => write!(out, "\\u{{{:x}}}", u32::from(letter))?,
                _ => out.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_spelled() {
        for (text, shown) in [
            ("plain ä 漢 \u{1f600}", "plain ä 漢 \u{1f600}"),
            ("it's \"a\\b\"", "it\\'s \\\"a\\\\b\\\""),
            ("\t\r\n\0\x1b[1m\x7f\u{9b}", "\\t\\r\\n\\u{0}\\u{1b}[1m\\u{7f}\\u{9b}"),
            ("\u{202e}evil\u{feff}", "\\u{202e}evil\\u{feff}"),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(text in proptest::prelude::any::<String>()) {
            proptest::prop_assert!(!Escaped(&text).to_string().chars().any(char::is_control));
        }
    }
}
