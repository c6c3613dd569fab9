//! Text from strangers, made fit for a screen: no control character and no escape sequence survives.
//!
//! What a terminal would take as a command is recognised by the grammar of ECMA-48 and removed whole,
//! so that no half of a colour code stays behind as rubbish:
//!
//! | state      | input                              | next     | yields                  |
//! |------------|------------------------------------|----------|-------------------------|
//! | ground     | ESC                                | escape   |                         |
//! |            | CSI (U+009B)                       | csi      |                         |
//! |            | DCS SOS OSC PM APC (C1)            | string   |                         |
//! |            | LF, NEL, U+2028, U+2029            | ground   | new line, or space      |
//! |            | TAB                                | ground   | space                   |
//! |            | other C0, C1, DEL, bidi overrides  | ground   |                         |
//! |            | anything else                      | ground   | itself                  |
//! | escape     | `[`                                | csi      |                         |
//! |            | `P` `X` `]` `^` `_`                | string   |                         |
//! |            | U+0020..U+002F                     | escape   |                         |
//! |            | U+0030..U+007E                     | ground   |                         |
//! | csi        | U+0020..U+003F                     | csi      |                         |
//! |            | U+0040..U+007E                     | ground   |                         |
//! | string     | BEL, ST, CAN, SUB                  | ground   |                         |
//! |            | ESC                                | escape   |                         |
//! |            | LF                                 | (ground) | as in ground            |
//! |            | anything else                      | string   |                         |
//! | escape,csi | anything else                      | (ground) | as in ground            |
//!
//! A line feed ends a string sequence, so an unterminated one can hide the rest of its line and no more.

use lunix_proto::json::Str;

/// Text as it arrived: bytes that should be UTF-8, or the inside of a JSON string.
///
/// ```
/// use lunix_core::toast::Text;
/// assert!(Text::from("caf\u{e9}").chars().eq("caf\u{e9}".chars()));
/// assert!(Text::from(&b"a\xffb"[..]).chars().eq("a\u{fffd}b".chars()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Text<'b>(Source<'b>);

#[derive(Clone, Copy, Debug)]
enum Source<'b> {
    Bytes(&'b [u8]),
    Json(Str<'b>),
}

impl<'b> Text<'b> {
    /// The characters; bytes that are not UTF-8 become U+FFFD.
    pub fn chars(&self) -> impl Iterator<Item = char> + Clone + use<'b> {
        let (bytes, json) = match self.0 {
            Source::Bytes(bytes) => (Some(bytes), None),
            Source::Json(string) => (None, Some(string)),
        };
        let lossy = bytes.unwrap_or_default().utf8_chunks().flat_map(|chunk| {
            chunk.valid().chars().chain((!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER))
        });
        lossy.chain(json.into_iter().flat_map(|string| string.chars()))
    }

    /// The characters that may be shown; see [`Printable`].
    pub fn printable(&self, lines: Lines) -> Printable<impl Iterator<Item = char> + Clone + use<'b>> {
        Printable::new(self.chars(), lines)
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self(Source::Bytes(&[]))
    }
}

impl<'b> From<&'b [u8]> for Text<'b> {
    fn from(bytes: &'b [u8]) -> Self {
        Self(Source::Bytes(bytes))
    }
}

impl<'b> From<&'b str> for Text<'b> {
    fn from(text: &'b str) -> Self {
        Self(Source::Bytes(text.as_bytes()))
    }
}

impl<'b> From<Str<'b>> for Text<'b> {
    fn from(string: Str<'b>) -> Self {
        Self(Source::Json(string))
    }
}

/// What becomes of line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Each becomes a space.
    Joined,
    /// Each becomes one `\n`.
    Kept,
}

/// Drops everything from a stream of characters that a terminal would obey instead of show.
///
/// What it yields holds no control character but, with [`Lines::Kept`], `\n`.
///
/// ```
/// use lunix_core::toast::{Lines, Printable};
/// let hostile = "\u{1b}]0;owned\u{7}all \u{1b}[31mred\u{1b}[m\r\n\u{9b}2Jgone";
/// assert!(Printable::new(hostile.chars(), Lines::Joined).eq("all red gone".chars()));
/// ```
#[derive(Clone, Debug)]
pub struct Printable<I> {
    chars: I,
    state: State,
    lines: Lines,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    Escape,
    Csi,
    String,
}

impl<I: Iterator<Item = char>> Printable<I> {
    /// Filters `chars`.
    pub const fn new(chars: I, lines: Lines) -> Self {
        Self { chars, state: State::Ground, lines }
    }

    fn ground(&mut self, c: char) -> Option<char> {
        self.state = State::Ground;
        match c {
            '\u{1b}' => self.state = State::Escape,
            '\u{9b}' => self.state = State::Csi,
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => self.state = State::String,
            '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                return Some(if self.lines == Lines::Kept { '\n' } else { ' ' });
            }
            '\t' => return Some(' '),
            // Embeddings, overrides and isolates would reorder what stands beside the text.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {}
            c if c.is_control() => {}
            c => return Some(c),
        }
        None
    }

    fn step(&mut self, c: char) -> Option<char> {
        match (self.state, c) {
            (State::Escape, '[') => self.state = State::Csi,
            (State::Escape, 'P' | 'X' | ']' | '^' | '_') => self.state = State::String,
            (State::Escape, ' '..='/') | (State::Csi, ' '..='?') => {}
            (State::Escape, '0'..='~') | (State::Csi, '@'..='~') => self.state = State::Ground,
            (State::String, '\u{7}' | '\u{9c}' | '\u{18}' | '\u{1a}') => self.state = State::Ground,
            (State::String, '\u{1b}') => self.state = State::Escape,
            (State::String, c) if c != '\n' => {}
            (_, c) => return self.ground(c),
        }
        None
    }
}

impl<I: Iterator<Item = char>> Iterator for Printable<I> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        loop {
            let c = self.chars.next()?;
            if let Some(shown) = self.step(c) {
                return Some(shown);
            }
        }
    }
}

/// Writes `chars` into `out` without the white space around them; what does not fit is cut at a
/// character and ends in `…`. Returns the length.
pub(super) fn store(out: &mut [u8], chars: impl Iterator<Item = char>) -> usize {
    const ELLIPSIS: char = '\u{2026}';
    let mut chars = chars.skip_while(|c| c.is_whitespace());
    let mut end = 0_usize; // of everything written
    let mut solid = 0; // of the last character that is not white space
    let mut room_left = 0_usize; // of the last such that still leaves room for the ellipsis
    while let Some(c) = chars.next() {
        let Some(room) = out.get_mut(end..end.saturating_add(c.len_utf8())) else {
            // White space at the end is dropped, so it cannot be what overflows.
            if c.is_whitespace() && chars.all(char::is_whitespace) {
                return solid;
            }
            let Some(room) = out.get_mut(room_left..room_left.saturating_add(ELLIPSIS.len_utf8())) else {
                return 0;
            };
            ELLIPSIS.encode_utf8(room);
            return room_left.saturating_add(ELLIPSIS.len_utf8());
        };
        c.encode_utf8(room);
        end = end.saturating_add(c.len_utf8());
        if !c.is_whitespace() {
            solid = end;
            if end.saturating_add(ELLIPSIS.len_utf8()) <= out.len() {
                room_left = end;
            }
        }
    }
    solid
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec;

    fn shown(text: &str, lines: Lines) -> String {
        Text::from(text).printable(lines).collect()
    }

    #[test]
    fn escape_sequences_vanish_whole() {
        for (hostile, left) in [
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("a\x1b]8;;http://x\x1b\\b\x1b]8;;\x07c", "abc"),
            ("a\x1bPq#0;2;0;0;0\x1b\\b", "ab"),
            ("a\x1b(0b\x1b#8c", "abc"),
            ("a\x1b[31", "a"),
            ("a\x1b[\u{e9}b", "a\u{e9}b"),
            ("a\x1b\x1b[2Jb", "ab"),
            ("a\u{9d}0;title\u{9c}b", "ab"),
            ("a\u{9b}Hb\x7f\x08c", "abc"),
            ("a\x1b]no end\nb", "a\nb"),
            ("a\x1b[3\nb", "a\nb"),
            ("one\r\ntwo\u{2028}three\tx", "one\ntwo\nthree x"),
            ("exe\u{202e}gpj", "exegpj"),
        ] {
            assert_eq!(shown(hostile, Lines::Kept), left, "{hostile:?}");
        }
    }

    #[test]
    fn emoji_and_combining_characters_stay() {
        let text = "e\u{301} \u{1f469}\u{200d}\u{1f4bb} \u{5e9}\u{5dc}";
        assert_eq!(shown(text, Lines::Joined), text);
    }

    #[test]
    fn cuts_at_a_character_with_an_ellipsis() {
        let cut = |text: &str, room: usize| {
            let mut out = vec![0; room];
            let len = store(&mut out, text.chars());
            String::from(core::str::from_utf8(&out[..len]).unwrap())
        };
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello!", 5), "he\u{2026}");
        assert_eq!(cut("hello   ", 5), "hello");
        assert_eq!(cut("  hello", 5), "hello");
        assert_eq!(cut("a b cdefgh", 5), "a\u{2026}");
        assert_eq!(cut("\u{e9}\u{e9}\u{e9}\u{e9}", 7), "\u{e9}\u{e9}\u{2026}");
        assert_eq!(cut("hello", 2), "");
        assert_eq!(cut("hi", 2), "hi");
        assert_eq!(cut("", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_a_terminal_obeys_is_left(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text: String = Text::from(&bytes[..]).printable(Lines::Kept).collect();
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
            let again: String = Text::from(&text[..]).printable(Lines::Kept).collect();
            prop_assert_eq!(again, text);
        }

        #[test]
        fn store_never_writes_more_than_its_room(text in "\\PC{0,40}", room in 0usize..60) {
            let mut out = vec![0; room];
            let len = store(&mut out, text.chars());
            let kept = core::str::from_utf8(&out[..len]).unwrap();
            if kept != text.trim() {
                prop_assert!(text.trim().len() > room);
                let start = kept.trim_end_matches('\u{2026}');
                prop_assert!(text.trim().starts_with(start));
            }
        }
    }
}
