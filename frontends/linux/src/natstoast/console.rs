//! Toasts on a terminal as boxes, on a pipe as lines.
//!
//! Boxes are only ever appended, so the terminal can be shared with a shell. A toast that replaces the one in the
//! last box is drawn over it: that is how progress bars move.

use std::fmt::Write as _;

use lunix_core::toast::{Reason, Toast, Urgency, Why};

use crate::terminal::{Terminal, fit, width, wrap};

/// A box is no wider: longer lines are hard to read.
const WIDEST: usize = 72;
/// Narrower terminals get plain lines.
const NARROWEST: usize = 24;
const BODY_LINES: usize = 8;
const DIM: &str = "2";

/// Turns what happens into text.
#[derive(Debug)]
pub(super) struct Console {
    terminal: Terminal,
    /// The toast in the last box, if nothing was said since, and the widths of its lines.
    last: Option<(u32, Vec<usize>)>,
}

impl Console {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self { terminal, last: None }
    }

    /// The window has another size.
    pub(super) fn resize(&mut self, terminal: Terminal) {
        self.terminal = terminal;
    }

    /// A toast is shown. `clock` is the wall clock's time, `HH:MM:SS`.
    pub(super) fn show(&mut self, toast: Toast<'_>, why: Why, clock: &str) -> String {
        if why == Why::Again {
            return String::new(); // Whoever looks here has seen it.
        }
        if !self.is_fancy() {
            return self.show_line(toast, clock);
        }
        let lines = self.boxed(toast, clock);
        let mut out = String::new();
        if let Some((id, widths)) = self.last.take()
            && id == toast.id()
        {
            // A terminal that became narrower has wrapped the old lines.
            let rows: usize = widths.iter().map(|wide| wide.div_ceil(self.terminal.width).max(1)).sum();
            let _ = write!(out, "\x1b[{rows}A\r\x1b[J");
        }
        for (line, _) in &lines {
            out.push_str(line);
            out.push('\n');
        }
        self.last = Some((toast.id(), lines.into_iter().map(|(_, wide)| wide).collect()));
        out
    }

    /// A toast is gone.
    pub(super) fn closed(&mut self, id: u32, reason: Reason, clock: &str) -> String {
        if !self.is_fancy() {
            return format!("{clock} closed {id} {}\n", reason.as_str());
        }
        // The box tells enough of one that ran its time, or whose successor follows.
        if matches!(reason, Reason::Expired | Reason::Replaced) {
            return String::new();
        }
        self.last = None;
        let line = format!("  #{id} {}", reason.as_str());
        format!("{}\n", self.terminal.paint(DIM, &line))
    }

    fn is_fancy(&self) -> bool {
        self.terminal.obeys && self.terminal.width >= NARROWEST
    }

    fn show_line(&self, toast: Toast<'_>, clock: &str) -> String {
        let mut line = format!("{clock} show {} {} ", toast.id(), toast.urgency().as_str());
        if !toast.app().is_empty() {
            let _ = write!(line, "{}: ", toast.app());
        }
        line.push_str(toast.summary());
        for part in toast.body().split('\n').filter(|part| !part.trim().is_empty()) {
            let _ = write!(line, " / {}", part.trim());
        }
        if let Some(percent) = toast.progress() {
            let _ = write!(line, " {percent}%");
        }
        for (id, label) in toast.actions() {
            let _ = write!(line, " [{id}={label}]");
        }
        line.push('\n');
        line
    }

    /// The lines of a box, each with its width.
    fn boxed(&self, toast: Toast<'_>, clock: &str) -> Vec<(String, usize)> {
        let (frame, title) = match toast.urgency() {
            Urgency::Low => (DIM, ""),
            Urgency::Normal => ("36", "1"),
            Urgency::Critical => ("1;31", "1;31"),
        };
        let paint = |sgr: &str, text: &str| self.terminal.paint(sgr, text).into_owned();
        let outer = self.terminal.width.min(WIDEST);
        let inner = outer - 4;
        let mut lines = Vec::new();

        // Where it is narrow, who speaks matters more than when.
        let clock = if outer < 36 && !toast.app().is_empty() { "" } else { clock };
        let head =
            if toast.app().is_empty() { String::new() } else { fit(toast.app(), inner / 2).into_owned() };
        let gap = |text: &str| if text.is_empty() { 0 } else { width(text) + 2 };
        let rule = "\u{2500}".repeat(outer.saturating_sub(4 + gap(&head) + gap(clock)));
        let spaced = |text: &str| if text.is_empty() { String::new() } else { format!(" {text} ") };
        let top = [
            paint(frame, "\u{256d}\u{2500}"),
            paint(title, &spaced(&head)),
            paint(frame, &rule),
            paint(DIM, &spaced(clock)),
            paint(frame, "\u{2500}\u{256e}"),
        ];
        lines.push((top.concat(), outer));

        let mut row = |text: &str, sgr: &str| {
            let pad = " ".repeat(inner.saturating_sub(width(text)));
            let side = paint(frame, "\u{2502}");
            lines.push((format!("{side} {}{pad} {side}", paint(sgr, text)), outer));
        };
        for line in wrap(toast.summary(), inner) {
            row(&line, title);
        }
        if !toast.body().is_empty() {
            let body = wrap(toast.body(), inner);
            for (index, line) in body.iter().take(BODY_LINES).enumerate() {
                let cut = index + 1 == BODY_LINES && body.len() > BODY_LINES;
                row(if cut { "\u{2026}" } else { line }, "");
            }
        }
        if let Some(percent) = toast.progress() {
            row(&bar(percent, inner), frame);
        }
        let offers: Vec<String> = toast
            .actions()
            .map(|(id, label)| if id == label { format!("[{id}]") } else { format!("[{id}] {label}") })
            .collect();
        if !offers.is_empty() {
            for line in wrap(&offers.join("  "), inner) {
                row(&line, title);
            }
        }
        let number = format!(" #{} ", toast.id());
        let rule = "\u{2500}".repeat(outer.saturating_sub(3 + width(&number)));
        let bottom =
            [paint(frame, &format!("\u{2570}{rule}")), paint(DIM, &number), paint(frame, "\u{2500}\u{256f}")];
        lines.push((bottom.concat(), outer));
        lines
    }
}

/// `█████▌░░░░  55 %`, in eighths of a column.
fn bar(percent: u8, columns: usize) -> String {
    const PARTS: [&str; 8] =
        ["", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}"];
    let room = columns.saturating_sub(6);
    let eighths = room * 8 * usize::from(percent.min(100)) / 100;
    let part = PARTS.get(eighths % 8).copied().unwrap_or_default();
    let full = eighths / 8;
    let empty = room.saturating_sub(full + usize::from(!part.is_empty()));
    format!("{}{part}{} {percent:>3} %", "\u{2588}".repeat(full), "\u{2591}".repeat(empty))
}

#[cfg(test)]
mod tests {
    use lunix_core::time::Instant;
    use lunix_core::toast::{Input, Offer, Request, Timeouts, Toasts};

    use super::*;

    type Few = Toasts<4, 4, 4, 512>;

    fn toast(request: &Request<'_>) -> (Few, u32) {
        let mut toasts = Few::new(Timeouts::STANDARD);
        let id = toasts.handle(Instant::default(), Input::Toast(request)).unwrap();
        while toasts.poll().is_some() {}
        (toasts, id)
    }

    fn terminal(width: usize) -> Terminal {
        Terminal { obeys: true, colour: false, width }
    }

    fn copying() -> Request<'static> {
        let mut request = Request::new("Copying to the stick");
        (request.app, request.body, request.progress) = ("usb".into(), "holiday.tar\n12 MB".into(), Some(50));
        request.actions[0] = Some(Offer { id: "stop".into(), label: "Stop it".into() });
        request
    }

    #[test]
    fn a_box() {
        let (toasts, id) = toast(&copying());
        let text = Console::new(terminal(38)).show(toasts.get(id).unwrap(), Why::New, "12:00:01");
        let expected = [
            "╭─ usb ─────────────────── 12:00:01 ─╮",
            "│ Copying to the stick               │",
            "│ holiday.tar                        │",
            "│ 12 MB                              │",
            "│ ██████████████░░░░░░░░░░░░░░  50 % │",
            "│ [stop] Stop it                     │",
            "╰─────────────────────────────── #1 ─╯",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line() {
        let (toasts, id) = toast(&copying());
        let mut console = Console::new(Terminal::PLAIN);
        assert_eq!(
            console.show(toasts.get(id).unwrap(), Why::New, "12:00:01"),
            "12:00:01 show 1 normal usb: Copying to the stick / holiday.tar / 12 MB 50% [stop=Stop it]\n"
        );
        assert_eq!(console.closed(id, Reason::Expired, "12:00:02"), "12:00:02 closed 1 expired\n");
        assert_eq!(console.show(toasts.get(id).unwrap(), Why::Again, "12:00:03"), "");
    }

    #[test]
    fn progress_is_drawn_over_the_last_box_only() {
        let (mut toasts, id) = toast(&copying());
        let mut console = Console::new(terminal(40));
        let first = console.show(toasts.get(id).unwrap(), Why::New, "12:00:01");
        let rows = first.lines().count();
        let second = console.show(toasts.get(id).unwrap(), Why::Replaced, "12:00:02");
        assert!(second.starts_with(&format!("\x1b[{rows}A\r\x1b[J╭")), "{second:?}");
        // Narrower by half: each old line has become two.
        console.resize(terminal(25));
        let third = console.show(toasts.get(id).unwrap(), Why::Replaced, "12:00:03");
        assert!(third.starts_with(&format!("\x1b[{}A", rows * 2)), "{third:?}");
        let other = toasts.handle(Instant::default(), Input::Toast(&Request::new("other"))).unwrap();
        assert!(console.show(toasts.get(other).unwrap(), Why::New, "12:00:04").starts_with('╭'));
        assert!(console.show(toasts.get(id).unwrap(), Why::Replaced, "12:00:05").starts_with('╭'));
    }

    #[test]
    fn bars() {
        assert_eq!(bar(0, 16), "░░░░░░░░░░   0 %");
        assert_eq!(bar(55, 16), "█████▌░░░░  55 %");
        assert_eq!(bar(100, 16), "██████████ 100 %");
        assert!((0..=100).all(|percent| width(&bar(percent, 40)) == 40));
    }

    #[test]
    fn every_width_holds() {
        let wide = "\u{4e2d}\u{6587} and a_word_that_is_longer_than_any_line_can_be".repeat(3);
        let request =
            Request { body: wide.as_str().into(), app: wide.as_str().into(), ..Request::new(&wide) };
        let (toasts, id) = toast(&request);
        for columns in NARROWEST..100 {
            let text = Console::new(terminal(columns)).show(toasts.get(id).unwrap(), Why::New, "12:00:01");
            let outer = columns.min(WIDEST);
            assert!(text.lines().all(|line| width(line) == outer), "{columns}\n{text}");
        }
    }
}
