//! A boot as a picture: SVG 1.1 without scripts, legible on light and on dark.

use std::fmt::Write as _;

use super::super::known;
use super::record::{Entry, Record};

const ROW: usize = 22;
const HEAD: usize = 56;
const NAMES: usize = 180;
const BARS: usize = 640;
const NUMBERS: usize = 100;

const STYLE: &str = "\
text{font:13px sans-serif;fill:#222}.dim{fill:#666}.grid{stroke:#888;stroke-opacity:.3}.wait{stroke:#888;stroke-dasharray:2 3}\
.bar{fill:#3b82c4}.critical{fill:#d9822b}.open{fill:#888}.kernel{fill:#777}\
@media (prefers-color-scheme:dark){text{fill:#eee}.dim{fill:#aaa}}";

/// The picture.
pub(super) fn draw(record: &Record) -> String {
    let kernel = usize::from(record.begin < record.started);
    let rows = record.services.len() + kernel;
    let (width, height) = (NAMES + BARS + NUMBERS, HEAD + rows * ROW + 16);
    let place = |time: u64| {
        let at =
            u128::from(time.saturating_sub(record.begin)) * BARS as u128 * 10 / u128::from(record.length());
        // Tenths of a pixel.
        NAMES as f64 + f64::from(u32::try_from(at).unwrap_or(u32::MAX).min(BARS as u32 * 10)) / 10.0
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n",
        escaped(&title(record))
    );
    let _ = writeln!(out, "<text x=\"8\" y=\"20\">{}</text>", escaped(&title(record)));
    let step = step(record.length());
    // At most some ten lines, however long it took.
    for number in 0..=record.length() / step {
        let time = number * step;
        let x = place(record.begin + time);
        let bottom = height - 16;
        let _ =
            write!(out, "<line class=\"grid\" x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\"/>", HEAD - 8);
        let _ =
            writeln!(out, "<text class=\"dim\" x=\"{x}\" y=\"{}\">{}</text>", HEAD - 14, known::span(time));
    }
    let mut y = HEAD;
    if kernel > 0 {
        let took = known::span(record.started);
        bar(&mut out, y, "kernel", "kernel", [place(0), place(0), place(record.started)], &took);
        y += ROW;
    }
    for entry in &record.services {
        service(&mut out, y, entry, record, &place);
        y += ROW;
    }
    out += "</svg>\n";
    out
}

fn title(record: &Record) -> String {
    let chain = record.chain().join(" \u{2192} ");
    let total = known::span(record.length());
    if chain.is_empty() { format!("Boot: {total}") } else { format!("Boot: {total}. {chain}") }
}

fn service(out: &mut String, y: usize, entry: &Entry, record: &Record, place: &impl Fn(u64) -> f64) {
    let wanted = entry.wanted.unwrap_or(record.started);
    let spawned = entry.spawned.unwrap_or(record.end);
    let class = match (entry.ready, entry.critical) {
        (None, _) => "open",
        (_, true) => "critical",
        _ => "bar",
    };
    let places = [place(wanted), place(spawned), place(entry.ready.unwrap_or(record.end))];
    let took = entry.took().map_or_else(|| entry.state.clone(), known::span);
    bar(out, y, &entry.name, class, places, &took);
}

/// A row: its name, dashes while it waited, its bar, and how long that is.
fn bar(out: &mut String, y: usize, name: &str, class: &str, [from, begin, end]: [f64; 3], took: &str) {
    let (middle, text) = (y + ROW / 2, y + 15);
    let wide = (end - begin).max(1.5);
    let _ =
        write!(out, "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>", NAMES - 8, escaped(name));
    if begin > from {
        let _ = write!(
            out,
            "<line class=\"wait\" x1=\"{from}\" y1=\"{middle}\" x2=\"{begin}\" y2=\"{middle}\"/>"
        );
    }
    let (top, tall) = (y + 3, ROW - 6);
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{begin}\" y=\"{top}\" width=\"{wide:.1}\" height=\"{tall}\" rx=\"2\"/>"
    );
    let x = begin + wide + 6.0;
    let _ = writeln!(out, "<text class=\"dim\" x=\"{x:.1}\" y=\"{text}\">{}</text>", escaped(took));
}

/// The distance of lines: 1, 2 or 5 times a power of ten, of which there are some ten in `length`.
fn step(length: u64) -> u64 {
    let mut step = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let step = step.saturating_mul(factor);
            if length / step <= 10 {
                return step;
            }
        }
        step = step.saturating_mul(10);
    }
}

/// Text as XML 1.0 takes it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            // No escape of these is allowed, either.
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::BOOTED;
    use super::*;

    #[test]
    fn it_is_well_formed_and_holds_no_strange_elements() {
        for (payload, init) in
            [(BOOTED, true), (BOOTED, false), (&br#"{"started_us":5,"services":[]}"#[..], true)]
        {
            let text = draw(&Record::read(payload, init).unwrap());
            let known = ["svg", "title", "style", "text", "line", "rect"];
            let mut open = Vec::new();
            for tag in text.split('<').skip(1) {
                let (tag, _) = tag.split_once('>').unwrap();
                let name: String =
                    tag.trim_start_matches('/').chars().take_while(|c| c.is_alphabetic()).collect();
                assert!(known.contains(&name.as_str()), "{tag}");
                if tag.starts_with('/') {
                    assert_eq!(open.pop(), Some(name));
                } else if !tag.ends_with('/') {
                    open.push(name);
                }
            }
            assert!(open.is_empty());
        }
        let text = draw(&Record::read(BOOTED, true).unwrap());
        assert!(text.contains("&lt;natsdev&gt;") && !text.contains("<natsdev>"), "{text}");
        assert!(text.matches("class=\"critical\"").count() == 3 && text.contains("kernel"), "{text}");
    }

    #[test]
    fn lines_are_at_round_times() {
        for (length, expected) in
            [(1, 1), (10, 1), (11, 2), (480_000, 50_000), (u64::MAX, 2_000_000_000_000_000_000)]
        {
            assert_eq!(step(length), expected, "{length}");
        }
        assert_eq!(escaped("a<b>&\"'\u{1}"), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}");
    }
}
