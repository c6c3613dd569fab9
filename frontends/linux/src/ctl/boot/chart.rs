//! A boot as a chart in a terminal.

use super::super::known::{self, or_dash};
use super::record::{Entry, Record};
use crate::terminal::{self, Terminal};

/// Columns of the longest name that is shown whole.
const NAME: usize = 24;
/// What stands behind the bars.
const NUMBERS: usize = 24;
/// Columns of bars, at least and at most.
const BARS: (usize, usize) = (20, 120);

/// The chart, its summary, and what came later.
pub(super) fn draw(record: &Record, terminal: &Terminal) -> String {
    let names = record.services.iter().map(|entry| terminal::width(&entry.name));
    let name = names.chain(["natsinit".len()]).max().unwrap_or_default().min(NAME);
    let bars = terminal.width.saturating_sub(name + NUMBERS + 4).clamp(BARS.0, BARS.1);
    let place = |time: u64| {
        let at = u128::from(time.saturating_sub(record.begin)) * bars as u128 / u128::from(record.length());
        usize::try_from(at).unwrap_or(bars).min(bars)
    };
    let mut out = String::new();
    let mut line = |title: &str, bar: String, took: &str, at: &str, mark: bool| {
        let title = terminal::fit(title, name);
        let pad = name.saturating_sub(terminal::width(&title));
        let star = if mark { "*" } else { " " };
        let colour = if mark { "1" } else { "" };
        out += &format!("{}{:pad$} {star}{bar} {took:>10} {at:>12}\n", terminal.paint(colour, &title), "");
    };
    let head = format!("{:<bars$}", terminal.paint("2", ""));
    line("", head, "TOOK", "READY AT", false);
    if record.begin < record.started {
        let bar = bar(terminal, bars, [0, 0, place(record.started)], "2", '\u{2588}');
        line("kernel", bar, &known::span(record.started), &known::span(record.started), true);
    }
    for entry in &record.services {
        line(
            &entry.name,
            row(entry, record, terminal, bars, &place),
            &took(entry),
            &ready(entry, record),
            entry.critical,
        );
    }
    out += &summary(record, terminal);
    for entry in &record.later {
        let what = match entry.took() {
            Some(took) => format!("later: {} took {}", entry.name, known::span(took)),
            None => format!("later: {} {}", entry.name, entry.state),
        };
        out += &terminal.paint("2", &what);
        out.push('\n');
    }
    out
}

fn took(entry: &Entry) -> String {
    entry.took().map_or_else(|| entry.state.clone(), known::span)
}

fn ready(entry: &Entry, record: &Record) -> String {
    or_dash(entry.ready, |ready| known::span(ready.saturating_sub(record.begin)))
}

/// Dots while it waited, and a bar for its start.
fn row(
    entry: &Entry,
    record: &Record,
    terminal: &Terminal,
    bars: usize,
    place: &impl Fn(u64) -> usize,
) -> String {
    let wanted = entry.wanted.unwrap_or(record.started);
    let spawned = entry.spawned.unwrap_or(record.end);
    let (end, fill) = match entry.ready {
        Some(ready) => (ready, '\u{2588}'),
        // It is on its way still, or will never be ready.
        None => (record.end, '\u{2592}'),
    };
    let colour = match (entry.ready, entry.critical) {
        (None, _) => known::colour(&entry.state),
        (_, true) => "33",
        _ => "32",
    };
    bar(terminal, bars, [place(wanted), place(spawned), place(end)], colour, fill)
}

/// Blanks to the first place, dots to the second, the bar to the third, at least one of it.
fn bar(
    terminal: &Terminal,
    bars: usize,
    [from, begin, end]: [usize; 3],
    colour: &'static str,
    fill: char,
) -> String {
    let begin = begin.min(bars.saturating_sub(1));
    let end = end.clamp(begin + 1, bars.max(begin + 1));
    let from = from.min(begin);
    let repeat = |letter: char, count: usize| std::iter::repeat_n(letter, count).collect::<String>();
    let dots = repeat('\u{b7}', begin - from);
    let filled = repeat(fill, end - begin);
    format!(
        "{}{}{}{}",
        repeat(' ', from),
        terminal.paint("2", &dots),
        terminal.paint(colour, &filled),
        repeat(' ', bars.saturating_sub(end))
    )
}

fn summary(record: &Record, terminal: &Terminal) -> String {
    let services = record.end.saturating_sub(record.started);
    let total = match record.begin < record.started {
        true => format!(
            "total {}: kernel {}, services {}",
            known::span(record.length()),
            known::span(record.started),
            known::span(services)
        ),
        false => format!("total {}", known::span(services)),
    };
    let open = record.services.iter().filter(|entry| entry.ready.is_none()).count();
    let open = if open > 0 { format!("; {open} not ready") } else { String::new() };
    let chain = record.chain();
    let chain = if chain.is_empty() { String::new() } else { format!("* {}\n", chain.join(" -> ")) };
    format!("{}\n{chain}", terminal.paint("1", &(total + &open)))
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::BOOTED;
    use super::*;

    #[test]
    fn a_chart_shows_who_waited_and_who_took_long() {
        let record = Record::read(BOOTED, false).unwrap();
        let terminal = Terminal { width: 100, ..Terminal::PLAIN };
        let text = draw(&record, &terminal);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        let count = |name: &str, letter: char| line(name).chars().filter(|c| *c == letter).count();
        // 59.5 of 80 ms.
        let bars = 100 - 9 - NUMBERS - 4;
        assert!(count("<natsdev>", '\u{2588}').abs_diff(bars * 595 / 800) <= 1, "{text}");
        assert!(line("<natsdev>").contains("59 ms") && line("<natsdev>").contains(" *"), "{text}");
        assert!(count("toast", '\u{b7}') > bars / 2, "{text}");
        assert!(line("slow").contains("starting") && count("slow", '\u{2592}') > bars / 2, "{text}");
        assert_eq!(count("fast", '\u{2588}'), 1);
        assert!(text.contains("total 80 ms; 1 not ready\n* natsd -> <natsdev> -> toast\n"), "{text}");
        assert!(text.contains("later: late took 1.0 ms\nlater: off stopped\n"), "{text}");
        assert!(text.lines().all(|line| terminal::width(line) <= 100), "{text}");
    }

    #[test]
    fn the_kernel_has_its_share() {
        let text = draw(&Record::read(BOOTED, true).unwrap(), &Terminal::PLAIN);
        let line = text.lines().find(|line| line.starts_with("kernel")).unwrap();
        assert!(line.contains("400 ms") && line.contains('\u{2588}'), "{text}");
        assert!(text.contains("total 480 ms: kernel 400 ms, services 80 ms; 1 not ready"), "{text}");
    }

    #[test]
    fn narrow_and_strange_records_are_drawn() {
        for width in [0, 1, 10, 40, 1000] {
            let terminal = Terminal { obeys: true, colour: true, width };
            for init in [false, true] {
                draw(&Record::read(BOOTED, init).unwrap(), &terminal);
                draw(&Record::read(br#"{"started_us":5,"services":[]}"#, init).unwrap(), &terminal);
            }
        }
    }
}
