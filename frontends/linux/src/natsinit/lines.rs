//! The output of a child, cut into lines that can be shown safely.

/// The longest line that is shown whole; a longer one is cut into several.
const LONGEST: usize = 2048;

/// Collects bytes until a line is whole.
#[derive(Debug, Default)]
pub(super) struct Lines {
    part: Vec<u8>,
}

impl Lines {
    /// Takes bytes in, and gives each whole line to `show`.
    pub(super) fn push(&mut self, bytes: &[u8], mut show: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.part.extend_from_slice(piece);
            while self.part.len() > LONGEST {
                let rest = self.part.split_off(LONGEST);
                show(&visible(&self.part));
                self.part = rest;
            }
            if self.part.last() == Some(&b'\n') {
                self.part.pop();
                show(&visible(&self.part));
                self.part.clear();
            }
        }
    }

    /// Forgets what is not a line yet.
    pub(super) fn clear(&mut self) {
        self.part.clear();
    }

    /// The end of the output: what is left is a line, too.
    pub(super) fn end(&mut self, mut show: impl FnMut(&str)) {
        if !self.part.is_empty() {
            show(&visible(&std::mem::take(&mut self.part)));
        }
    }
}

/// Text without control characters: a child's output must not command the terminal.
fn visible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    text.trim_end_matches('\r').chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut shown) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line| shown.push(line.to_owned()));
        }
        lines.end(|line| shown.push(line.to_owned()));
        shown
    }

    #[test]
    fn lines_are_the_same_wherever_they_are_cut() {
        let text = b"one\r\n\ntwo \xff\x1b[2J\nrest";
        let whole = cut(&[text]);
        assert_eq!(whole, ["one", "", "two \u{fffd}\u{fffd}[2J", "rest"]);
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]]), whole);
        }
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let shown = cut(&[&[b'x'; 10 * LONGEST]]);
        assert_eq!(shown.len(), 10);
        assert!(shown.iter().all(|line| line.len() <= LONGEST));
    }
}
