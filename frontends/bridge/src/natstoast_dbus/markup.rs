//! The markup that bodies of notifications may have [Desktop Notifications Specification 1.2: Markup]. We say that we know none,
//! and many programs send it all the same.

/// Elements of the specification, and `br`, which people write where a line feed would do.
const ELEMENTS: [&str; 6] = ["b", "i", "u", "a", "img", "br"];
const ENTITIES: [(&str, char); 5] =
    [("amp;", '&'), ("lt;", '<'), ("gt;", '>'), ("quot;", '"'), ("apos;", '\'')];
/// A longer element is none, and neither is a longer number of a character.
const LONGEST_ELEMENT: usize = 1024;
const LONGEST_NUMBER: usize = 10;

/// `body` without markup: elements go, a picture leaves the text that stands for it, entities become characters. What only
/// looks like markup stays: who asked what we know sends `a < b` as it is.
pub(super) fn strip(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find(['<', '&']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = match element(from) {
            Some((name, attributes, after)) => {
                match name {
                    "br" => out.push('\n'),
                    "img" => out.push_str(&entities(alternative(attributes).unwrap_or_default())),
                    _ => {}
                }
                after
            }
            None => {
                let (character, after) = entity(from);
                out.extend(character);
                after
            }
        };
    }
    out.push_str(rest);
    out
}

/// `text` for a server that takes its bodies for markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The element that `text` begins with: its name, its attributes, and what follows.
fn element(text: &str) -> Option<(&'static str, &str, &str)> {
    let inside = text.strip_prefix('<')?;
    let mut quote = None;
    let end = inside.bytes().take(LONGEST_ELEMENT).position(|byte| match quote {
        Some(open) => {
            quote = quote.filter(|_| byte != open);
            false
        }
        None => {
            quote = Some(byte).filter(|byte| b"\"'".contains(byte));
            byte == b'>'
        }
    })?;
    let (element, after) = inside.split_at_checked(end)?;
    let element = element.strip_prefix('/').unwrap_or(element);
    let name = element.split([' ', '\t', '\n', '/']).next()?;
    let known = ELEMENTS.into_iter().find(|known| known.eq_ignore_ascii_case(name))?;
    Some((known, element.get(name.len()..)?, after.strip_prefix('>')?))
}

/// The text that stands for a picture.
fn alternative(attributes: &str) -> Option<&str> {
    let (_, value) = attributes.split_once(" alt=")?;
    let quote = value.chars().next().filter(|quote| "\"'".contains(*quote))?;
    value.get(1..)?.split(quote).next()
}

fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (character, after) = entity(from);
        out.extend(character);
        rest = after;
    }
    out + rest
}

/// The first character of `text`, be it an entity or not, and what follows.
fn entity(text: &str) -> (Option<char>, &str) {
    let mut rest = text.chars();
    let first = rest.next();
    let after = rest.as_str();
    let named =
        ENTITIES.into_iter().find_map(|(name, character)| Some((character, after.strip_prefix(name)?)));
    match named.or_else(|| number(after)).filter(|_| first == Some('&')) {
        Some((character, after)) => (Some(character), after),
        None => (first, after),
    }
}

fn number(text: &str) -> Option<(char, &str)> {
    let (digits, after) =
        text.strip_prefix('#')?.split_once(';').filter(|(digits, _)| digits.len() < LONGEST_NUMBER)?;
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some((char::from_u32(code)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_goes_and_text_stays() {
        for (body, expected) in [
            ("plain", "plain"),
            ("<b>bold</b>, <I>italic</I> and <u>under</u>", "bold, italic and under"),
            ("<a href=\"https://a.example/?b>c\">link</a>", "link"),
            ("see <img src='x.png' alt='a &amp; b'/> here", "see a & b here"),
            ("one<br/>two<br>three", "one\ntwo\nthree"),
            (
                "1 &lt; 2 &amp;&amp; 3 &gt; 2, &quot;yes&apos; &#233; &#xe9;",
                "1 < 2 && 3 > 2, \"yes' \u{e9} \u{e9}",
            ),
            // What is no markup.
            ("a < b & c > d", "a < b & c > d"),
            (
                "<script>x</script> <bold> &copy; &#; &#x110000; &",
                "<script>x</script> <bold> &copy; &#; &#x110000; &",
            ),
            ("<b", "<b"),
            ("<a href=\"never closed>", "<a href=\"never closed>"),
            ("&amp;lt;", "&lt;"),
        ] {
            assert_eq!(strip(body), expected);
        }
    }

    #[test]
    fn what_was_escaped_is_the_same_again() {
        for text in ["a < b & c > d", "<b>", "&amp;", "é \u{1f600} <"] {
            assert_eq!(strip(&escape(text)), text);
        }
    }

    #[test]
    fn every_text_ends() {
        // All texts of five pieces that matter, and hostile ones that are long.
        let pieces = ["<", ">", "&", "b", "\"", "#x41;", "é", " alt='"];
        for mut number in 0..pieces.len().pow(5) {
            let text: String = std::iter::repeat_with(|| {
                let piece = pieces[number % pieces.len()];
                number /= pieces.len();
                piece
            })
            .take(5)
            .collect();
            assert!(strip(&text).len() <= text.len(), "{text}");
        }
        for piece in ["<", "<b", "&#", "<a \""] {
            assert_eq!(strip(&piece.repeat(4096)), piece.repeat(4096));
        }
    }
}
