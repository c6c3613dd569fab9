//! What stands at the other end of stdout, and text that fits there.

use std::borrow::Cow;
use std::os::fd::AsFd;

use lunix_core::toast::{Lines, Text};
use unicode_width::UnicodeWidthChar;

/// What an output can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// It obeys escape sequences: a terminal, and not `TERM=dumb`.
    pub obeys: bool,
    /// Colours are wanted: it obeys, and `NO_COLOR` is unset or empty.
    pub colour: bool,
    /// Columns; 80 where nobody knows.
    pub width: usize,
}

impl Terminal {
    /// Plain text: a pipe, a file, a log.
    pub const PLAIN: Self = Self { obeys: false, colour: false, width: 80 };

    /// Asks the kernel and the environment about `output`.
    pub fn of(output: impl AsFd) -> Self {
        let Ok(size) = rustix::termios::tcgetwinsize(&output) else { return Self::PLAIN };
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let obeys = set("TERM").is_some_and(|term| term != "dumb");
        let width = Some(usize::from(size.ws_col)).filter(|&columns| columns > 0).unwrap_or(80);
        Self { obeys, colour: obeys && set("NO_COLOR").is_none(), width }
    }

    /// `text` in a colour (the parameters of SGR, as `1;36`), or as it is.
    pub fn paint<'t>(&self, sgr: &str, text: &'t str) -> Cow<'t, str> {
        if !self.colour || sgr.is_empty() || text.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(format!("\x1b[{sgr}m{text}\x1b[0m"))
    }
}

/// Bytes from strangers as one line that no terminal obeys.
pub fn one_line(bytes: &[u8]) -> String {
    Text::from(bytes).printable(Lines::Joined).collect()
}

/// The columns that `text` takes, character by character: what a terminal that joins emoji shows in fewer columns
/// counts as it would elsewhere.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// A number of bytes in decimal units, as disks are sold: `16.0 GB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = "B";
    let mut tenths = u128::from(count) * 10;
    for larger in UNITS {
        if tenths < 10_000 {
            break;
        }
        tenths = (tenths + 500) / 1_000;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

/// `text` cut to `columns`, with `…` where something is missing.
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let room = columns.saturating_sub(1);
    let end = text.char_indices().find_map(|(at, c)| {
        used += c.width().unwrap_or(0);
        (used > room).then_some(at)
    });
    let kept = end.and_then(|end| text.get(..end)).unwrap_or_default();
    Cow::Owned(if columns == 0 { String::new() } else { format!("{}\u{2026}", kept.trim_end()) })
}

/// `text` in lines of at most `columns`, broken between words where that is possible.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        let mut used = 0;
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let wide = width(word);
            if used > 0 && used + 1 + wide > columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            if wide <= columns {
                line.push_str(word);
                used += wide;
                continue;
            }
            for c in word.chars() {
                let wide = c.width().unwrap_or(0);
                if used > 0 && used + wide > columns {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push(c);
                used += wide;
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_plain() {
        let (pipe, _other) = rustix::pipe::pipe().unwrap();
        assert_eq!(Terminal::of(&pipe), Terminal::PLAIN);
        assert_eq!(Terminal::PLAIN.paint("31", "red"), "red");
        let colours = Terminal { obeys: true, colour: true, width: 80 };
        assert_eq!(colours.paint("31", "red"), "\x1b[31mred\x1b[0m");
    }

    #[test]
    fn what_is_too_wide_is_cut() {
        assert_eq!(fit("hello", 5), "hello");
        assert_eq!(fit("hello!", 5), "hell\u{2026}");
        assert_eq!(fit("hell o!", 6), "hell\u{2026}");
        assert_eq!(fit("\u{4e2d}\u{6587}\u{5b57}", 4), "\u{4e2d}\u{2026}");
        assert_eq!(fit("ab", 0), "");
        assert_eq!(fit("ab", 1), "\u{2026}");
    }

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_449, "1.4 kB"),
            (999_940, "999.9 kB"),
            (999_999, "1.0 MB"),
            (16_008_609_792, "16.0 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn words_wrap_and_long_ones_break() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one\n\ntwo", 7), ["one", "", "two"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrap("\u{4e2d}\u{6587}\u{5b57}", 4), ["\u{4e2d}\u{6587}", "\u{5b57}"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("\u{4e2d}", 1), ["\u{4e2d}"]);
    }

    #[test]
    fn strangers_cannot_move_the_cursor() {
        assert_eq!(one_line(b"a\x1b[2Jb\r\nc\xff"), "ab c\u{fffd}");
    }
}
