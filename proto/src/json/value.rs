//! Values that borrow from a validated text.
//!
//! What these types hold was validated by [`parse`] before they came to be. They find their parts by looking
//! for the next quote, comma or bracket again, so that reading costs no memory; whoever asks for members in a
//! loop walks over [`Object::iter`] once instead of calling [`Object::get`] often.

use core::fmt::Write as _;

use super::scan::{document, split_value, trim_start, unicode_escape};
use crate::Full;
use crate::out::Out;

/// The text is no JSON, or nests deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// How many bytes of it could begin a JSON text.
    pub at: usize,
}

impl core::fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "no JSON from byte {} on", self.at)
    }
}

impl core::error::Error for SyntaxError {}

/// Any JSON value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'b> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number<'b>),
    /// A string.
    String(Str<'b>),
    /// An array.
    Array(Array<'b>),
    /// An object.
    Object(Object<'b>),
}

/// Parses and validates a whole document; only white space may follow its value.
///
/// Strict: UTF-8 throughout, surrogates only in pairs, at most [`MAX_DEPTH`](super::MAX_DEPTH) levels. Linear in
/// the bytes, on a stack of fixed size.
///
/// ```
/// use lunix_proto::json;
/// let toast = json::parse(br#" {"summary": "USB", "urgency": "low", "timeout_ms": 500} "#).unwrap();
/// let toast = toast.as_object().unwrap();
/// assert!(toast.get("summary").unwrap().as_str().unwrap().eq_str("USB"));
/// assert_eq!(toast.get("timeout_ms").unwrap().as_u64(), Some(500));
/// assert_eq!(json::parse(b"[1,]").unwrap_err().at, 3);
/// ```
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, SyntaxError> {
    // A valid document always holds a value.
    Value::first(document(bytes)?).map(|(value, _)| value).ok_or(SyntaxError { at: 0 })
}

impl<'b> Value<'b> {
    /// The value that a validated text begins with, and what follows it.
    fn first(text: &'b str) -> Option<(Self, &'b str)> {
        let (value, rest) = split_value(text)?;
        let inner = || value.get(1..value.len().saturating_sub(1)).unwrap_or_default();
        let value = match value.as_bytes().first()? {
            b'"' => Self::String(Str { text: inner(), escaped: true }),
            b'{' => Self::Object(Object { text: trim_start(inner()) }),
            b'[' => Self::Array(Array { text: trim_start(inner()) }),
            b'n' => Self::Null,
            b't' => Self::Bool(true),
            b'f' => Self::Bool(false),
            _ => Self::Number(Number { text: value }),
        };
        Some((value, rest))
    }

    /// The string, if it is one.
    pub const fn as_str(&self) -> Option<Str<'b>> {
        if let Self::String(string) = *self { Some(string) } else { None }
    }

    /// The object, if it is one.
    pub const fn as_object(&self) -> Option<Object<'b>> {
        if let Self::Object(object) = *self { Some(object) } else { None }
    }

    /// The array, if it is one.
    pub const fn as_array(&self) -> Option<Array<'b>> {
        if let Self::Array(array) = *self { Some(array) } else { None }
    }

    /// The number, if it is one and [`Number::as_u64`] has it.
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }

    /// The number, if it is one and [`Number::as_i64`] has it.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Number(number) = self { number.as_i64() } else { None }
    }

    /// The boolean, if it is one.
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = *self { Some(truth) } else { None }
    }

    /// Whether it is `null`.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// A number, kept as its text: no precision is lost that the reader does not give up.
///
/// ```
/// use lunix_proto::json::{Value, parse};
/// let Ok(Value::Number(number)) = parse(b"12.50") else { panic!() };
/// assert_eq!((number.as_raw(), number.as_f64(), number.as_u64()), ("12.50", 12.5, None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'b> {
    text: &'b str,
}

impl<'b> Number<'b> {
    /// The number as it was written.
    pub const fn as_raw(&self) -> &'b str {
        self.text
    }

    /// The number, if it is written as an integer (no `.`, no exponent) that fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.text.parse().ok()
    }

    /// The number, if it is written as an integer (no `.`, no exponent) that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.text.parse().ok()
    }

    /// The nearest floating-point number; infinite beyond their range.
    pub fn as_f64(&self) -> f64 {
        // What JSON calls a number is one to Rust.
        self.text.parse().unwrap_or(f64::NAN)
    }
}

/// A string: validated JSON that may hold escapes, or any text that is yet to be escaped.
///
/// Two are equal if they say the same, however it is written.
///
/// ```
/// use lunix_proto::json::{Str, parse};
/// let text = parse(br#""a\tb \ud83d\ude00""#).unwrap().as_str().unwrap();
/// assert_eq!(text, Str::new("a\tb \u{1F600}"));
/// assert_eq!(text.as_plain(), None);
/// let mut room = [0; 16];
/// assert_eq!(text.unescape(&mut room), Ok("a\tb \u{1F600}"));
/// ```
#[derive(Clone, Copy, Default)]
pub struct Str<'b> {
    text: &'b str,
    escaped: bool,
}

impl<'b> Str<'b> {
    /// The empty string.
    pub const EMPTY: Self = Self::new("");

    /// A string to be written; whatever must be escaped will be.
    pub const fn new(text: &'b str) -> Self {
        Self { text, escaped: false }
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Its characters, escapes resolved.
    pub fn chars(&self) -> Chars<'b> {
        Chars { text: self.text, escaped: self.escaped }
    }

    /// Whether it says `text`, escapes resolved.
    pub fn eq_str(&self, text: &str) -> bool {
        match self.as_plain() {
            Some(plain) => plain == text,
            None => self.chars().eq(text.chars()),
        }
    }

    /// Copies it into `out`, escapes resolved.
    pub fn unescape<'o>(&self, out: &'o mut [u8]) -> Result<&'o str, Full> {
        let mut cursor = Out::new(out);
        for char in self.chars() {
            cursor.put(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
        let needed = cursor.finish()?;
        let bytes: &'o [u8] = out;
        bytes.get(..needed).and_then(|bytes| core::str::from_utf8(bytes).ok()).ok_or(Full { needed })
    }

    /// The text itself, if it holds no escapes.
    pub fn as_plain(&self) -> Option<&'b str> {
        (!self.escaped || !self.text.contains('\\')).then_some(self.text)
    }
}

impl PartialEq for Str<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.chars().eq(other.chars())
    }
}

impl Eq for Str<'_> {}

impl PartialEq<str> for Str<'_> {
    fn eq(&self, other: &str) -> bool {
        self.eq_str(other)
    }
}

impl PartialEq<&str> for Str<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.eq_str(other)
    }
}

impl<'b> From<&'b str> for Str<'b> {
    fn from(text: &'b str) -> Self {
        Self::new(text)
    }
}

impl core::fmt::Display for Str<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.chars().try_for_each(|char| f.write_char(char))
    }
}

impl core::fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_char('"')?;
        self.chars().flat_map(char::escape_debug).try_for_each(|char| f.write_char(char))?;
        f.write_char('"')
    }
}

/// The iterator that [`Str::chars`] returns.
#[derive(Clone, Debug)]
pub struct Chars<'b> {
    text: &'b str,
    escaped: bool,
}

impl Iterator for Chars<'_> {
    type Item = char;

    #[inline]
    fn next(&mut self) -> Option<char> {
        let mut chars = self.text.chars();
        let char = chars.next()?;
        if char != '\\' || !self.escaped {
            self.text = chars.as_str();
            return Some(char);
        }
        let (char, len) = match chars.next()? {
            'b' => ('\u{8}', 2),
            'f' => ('\u{C}', 2),
            'n' => ('\n', 2),
            'r' => ('\r', 2),
            't' => ('\t', 2),
            'u' => {
                let (char, len) = unicode_escape(self.text.as_bytes());
                // Never a half of a pair: the text is validated.
                (char.unwrap_or(char::REPLACEMENT_CHARACTER), len)
            }
            itself => (itself, 2),
        };
        self.text = self.text.get(len..).unwrap_or_default();
        Some(char)
    }
}

impl core::iter::FusedIterator for Chars<'_> {}

/// An array.
///
/// ```
/// let urls = lunix_proto::json::parse(br#"["a:1", "b:2"]"#).unwrap().as_array().unwrap();
/// assert_eq!(urls.iter().filter_map(|url| url.as_str()?.as_plain()).last(), Some("b:2"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Array<'b> {
    text: &'b str,
}

impl<'b> Array<'b> {
    /// Its elements in order.
    pub const fn iter(&self) -> Elements<'b> {
        Elements { rest: self.text }
    }
}

impl PartialEq for Array<'_> {
    /// Element by element.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'b> IntoIterator for Array<'b> {
    type Item = Value<'b>;
    type IntoIter = Elements<'b>;

    fn into_iter(self) -> Elements<'b> {
        self.iter()
    }
}

/// The iterator that [`Array::iter`] returns.
#[derive(Clone, Debug)]
pub struct Elements<'b> {
    rest: &'b str,
}

impl<'b> Iterator for Elements<'b> {
    type Item = Value<'b>;

    fn next(&mut self) -> Option<Value<'b>> {
        let (value, rest) = Value::first(self.rest)?;
        self.rest = after_comma(rest);
        Some(value)
    }
}

impl core::iter::FusedIterator for Elements<'_> {}

/// An object.
///
/// ```
/// let object = lunix_proto::json::parse(br#"{"a": 1, "a": [2]}"#).unwrap().as_object().unwrap();
/// assert_eq!(object.iter().count(), 2);
/// assert!(object.get("a").unwrap().as_array().is_some());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Object<'b> {
    text: &'b str,
}

impl<'b> Object<'b> {
    /// Its members in order, duplicates included.
    pub const fn iter(&self) -> Members<'b> {
        Members { rest: self.text }
    }

    /// The value of `key`; of several the last. Walks over the whole object.
    pub fn get(&self, key: &str) -> Option<Value<'b>> {
        self.iter().filter(|(name, _)| name.eq_str(key)).last().map(|(_, value)| value)
    }
}

impl PartialEq for Object<'_> {
    /// Member by member, in order.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'b> IntoIterator for Object<'b> {
    type Item = (Str<'b>, Value<'b>);
    type IntoIter = Members<'b>;

    fn into_iter(self) -> Members<'b> {
        self.iter()
    }
}

/// The iterator that [`Object::iter`] returns.
#[derive(Clone, Debug)]
pub struct Members<'b> {
    rest: &'b str,
}

impl<'b> Iterator for Members<'b> {
    type Item = (Str<'b>, Value<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = Value::first(self.rest)?;
        let rest = trim_start(rest).strip_prefix(':')?;
        let (value, rest) = Value::first(trim_start(rest))?;
        self.rest = after_comma(rest);
        Some((key.as_str()?, value))
    }
}

impl core::iter::FusedIterator for Members<'_> {}

/// The next element or member; empty after the last.
fn after_comma(rest: &str) -> &str {
    trim_start(trim_start(rest).strip_prefix(',').unwrap_or_default())
}
