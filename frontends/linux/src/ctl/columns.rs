//! Tables for people.

use crate::terminal::{self, Terminal};

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Numbers stand at the right.
    pub(super) right: bool,
}

/// A word of a row, and its colour.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) colour: &'static str,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, colour: "" }
    }
}

/// The title and the rows, one line each without its end. On a terminal lines are cut to its width.
pub(super) fn lines(columns: &[Column], rows: &[Vec<Cell>], terminal: &Terminal) -> Vec<String> {
    let width = |(at, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| terminal::width(&cell.text));
        cells.chain([column.title.len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
    let title = columns.iter().map(|column| Cell { text: column.title.to_owned(), colour: "2" }).collect();
    let line = |row: &Vec<Cell>| {
        let mut left = if terminal.obeys { terminal.width } else { usize::MAX };
        let mut line = String::new();
        for (at, ((cell, column), width)) in row.iter().zip(columns).zip(&widths).enumerate() {
            let gap = if at == 0 { 0 } else { 2 };
            let pad = width.saturating_sub(terminal::width(&cell.text));
            let (before, after) = if column.right { (gap + pad, 0) } else { (gap, pad) };
            let Some(room) = left.checked_sub(before).filter(|room| *room > 0) else { break };
            let text = terminal::fit(&cell.text, room);
            line.extend(std::iter::repeat_n(' ', before));
            line += &terminal.paint(cell.colour, &text);
            left = room.saturating_sub(terminal::width(&text) + after);
            // Nothing is there behind the last word.
            if at + 1 < row.len() {
                line.extend(std::iter::repeat_n(' ', after));
            }
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    };
    std::iter::once(&title).chain(rows).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_straight_with_wide_characters() {
        let columns = [Column { title: "NAME", right: false }, Column { title: "N", right: true }];
        let row = |name: &str, number: &str| vec![name.to_owned().into(), number.to_owned().into()];
        let rows = [row("\u{4e2d}\u{6587}\u{5b57}", "7"), row("a", "1234")];
        assert_eq!(
            lines(&columns, &rows, &Terminal::PLAIN),
            ["NAME       N", "\u{4e2d}\u{6587}\u{5b57}     7", "a       1234"]
        );
        let narrow = Terminal { obeys: true, colour: false, width: 7 };
        for line in lines(&columns, &rows, &narrow) {
            assert!(terminal::width(&line) <= 7, "{line}");
        }
    }
}
