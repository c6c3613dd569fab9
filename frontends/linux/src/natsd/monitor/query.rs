//! The target of an HTTP request: a path, and what is asked after `?`.

use std::borrow::Cow;

use crate::escaped::Escaped;

/// A request's path and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// What stands before `?`.
    pub path: &'t str,
    query: &'t str,
}

/// A parameter that is not what it should be, as nats-server words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(pub String);

impl<'t> Target<'t> {
    /// The target `text`; of an absolute one (`http://host/path`), what follows the host.
    pub fn new(text: &'t str) -> Self {
        let text = text.split_once('#').map_or(text, |(text, _)| text);
        let text = match text.split_once("://") {
            Some((_, rest)) if !text.starts_with('/') => {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            }
            _ => text,
        };
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        Self { path, query }
    }

    /// The first value of `key`; empty if there is none. Percent signs and plus signs are resolved.
    pub fn text(&self, key: &str) -> Cow<'t, str> {
        self.query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(name, _)| decode(name) == key)
            .map_or(Cow::Borrowed(""), |(_, value)| decode(value))
    }

    /// A truth value in Go's spellings; `false` if there is none.
    ///
    /// # Errors
    /// It is something else.
    pub fn truth(&self, key: &str) -> Result<bool, Wrong> {
        match &*self.text(key) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            other => Err(Wrong(format!(
                "Error decoding boolean for '{key}': strconv.ParseBool: parsing \"{}\": invalid syntax",
                Escaped(other)
            ))),
        }
    }

    /// A whole number; 0 if there is none.
    ///
    /// # Errors
    /// It is something else.
    pub fn integer(&self, key: &str) -> Result<i64, Wrong> {
        let text = self.text(key);
        if text.is_empty() {
            return Ok(0);
        }
        text.parse().map_err(|_| {
            Wrong(format!(
                "Error decoding int for '{key}': strconv.Atoi: parsing \"{}\": invalid syntax",
                Escaped(&text)
            ))
        })
    }

    /// A number without a sign; 0 if there is none.
    ///
    /// # Errors
    /// It is something else.
    pub fn number(&self, key: &str) -> Result<u64, Wrong> {
        let text = self.text(key);
        if text.is_empty() {
            return Ok(0);
        }
        text.parse().map_err(|_| {
            Wrong(format!(
                "Error decoding uint64 for '{key}': strconv.ParseUint: parsing \"{}\": invalid syntax",
                Escaped(&text)
            ))
        })
    }
}

/// Resolves `%41` and `+`. What is no such thing stays, what is not UTF-8 becomes U+FFFD.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        out.push(match (byte, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => byte,
        });
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    // Less than 16.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let target =
            Target::new("/connz?subs=detail&offset=-1&limit=7&a%63c=%24G+x%zz%4&cid=9&auth=true#top");
        assert_eq!(target.path, "/connz");
        assert_eq!(target.text("subs"), "detail");
        assert_eq!(target.text("acc"), "$G x%zz%4");
        assert_eq!(target.text("none"), "");
        assert_eq!((target.integer("offset"), target.integer("limit")), (Ok(-1), Ok(7)));
        assert_eq!(
            (target.number("cid"), target.truth("auth"), target.truth("none")),
            (Ok(9), Ok(true), Ok(false))
        );
        assert!(
            target
                .truth("subs")
                .is_err_and(|Wrong(text)| text.starts_with("Error decoding boolean for 'subs'"))
        );
        assert!(target.number("offset").is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_was_encoded_is_read_and_anything_else_is_borne(text in ".*", noise in "[%+&=?#a-f0-9/:]*") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let target = format!("/varz?a={encoded}&b=1");
            proptest::prop_assert_eq!(&*Target::new(&target).text("a"), text.as_str());
            proptest::prop_assert_eq!(Target::new(&target).integer("b"), Ok(1));
            let target = Target::new(&noise);
            let _ = (target.text("a"), target.truth("b"), target.integer("c"), target.number("d"));
        }
    }

    #[test]
    fn absolute_targets() {
        for (text, path) in [
            ("http://h:1/varz?x", "/varz"),
            ("http://h", "/"),
            ("/a?u=http://h/b", "/a"),
            ("", ""),
            ("*", "*"),
        ] {
            assert_eq!(Target::new(text).path, path);
        }
    }
}
