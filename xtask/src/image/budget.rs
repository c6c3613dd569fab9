//! `targets/<board>/budget.toml`: what an image may need, and what it needed when that was written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use super::board::Board;

/// The numbers of a file, by table and name, in the order in which they stand there.
pub type Tables = BTreeMap<String, Vec<(String, u64)>>;

/// What a part weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// As the budget calls it.
    pub name: &'static str,
    /// How much.
    pub bytes: u64,
}

/// The budget of a board.
pub fn read(board: &Board) -> Result<Tables> {
    let path = board.folder().join("budget.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

/// What stands in `table` under `name`.
pub fn of(tables: &Tables, table: &str, name: &str) -> Option<u64> {
    tables.get(table)?.iter().find(|(own, _)| own == name).map(|(_, number)| *number)
}

/// The part of TOML that tables of numbers need.
pub fn parse(text: &str) -> Result<Tables> {
    let mut tables = Tables::new();
    let mut section = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            tables.entry(section.clone()).or_default();
            continue;
        }
        let entry = line
            .split_once('=')
            .and_then(|(name, value)| Some((name.trim(), value.trim().replace('_', "").parse().ok()?)));
        match entry {
            Some((name, value)) => tables.entry(section.clone()).or_default().push((name.to_owned(), value)),
            None => bail!("line {number}: not `name = number`"),
        }
    }
    Ok(tables)
}

/// A line for each part: what it weighs, what it may, and what it weighed when `[last]` was written.
pub fn chart(sizes: &[Size], budget: &Tables) -> String {
    const WIDTH: u64 = 40;
    let widest =
        sizes.iter().filter(|size| size.name != "flash").map(|size| size.bytes).max().unwrap_or(1).max(1);
    let mut chart = format!("{:>9} {:>9} {:>9}\n", "bytes", "may be", "grew by");
    for Size { name, bytes } in sizes {
        let limit = of(budget, "flash", name).map_or(String::new(), |limit| limit.to_string());
        let last = of(budget, "last", name).unwrap_or(*bytes);
        let grew = i128::from(*bytes) - i128::from(last);
        let bar = |bytes: u64| usize::try_from((bytes * WIDTH / widest).min(WIDTH)).unwrap_or_default();
        let (same, more) = (bar(last.min(*bytes)), bar(bytes.saturating_sub(last)));
        let over =
            if of(budget, "flash", name).is_some_and(|limit| *bytes > limit) { "  TOO MUCH" } else { "" };
        let bar = "#".repeat(same) + &"+".repeat(more);
        let grew = if grew == 0 { "0".to_owned() } else { format!("{grew:+}") };
        let line = format!("{bytes:>9} {limit:>9} {grew:>9}  {name:<8} {bar}{over}");
        let _ = writeln!(chart, "{}", line.trim_end());
    }
    chart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let tables = parse("# a\n[flash]\nroot = 600_000 # b\n[last]\nroot = 1\n").unwrap();
        assert_eq!((of(&tables, "flash", "root"), of(&tables, "last", "root")), (Some(600_000), Some(1)));
        assert_eq!(of(&tables, "last", "kernel"), None);
        assert_eq!(parse("[x]\n\ny = z\n").unwrap_err().to_string(), "line 3: not `name = number`");
    }

    #[test]
    fn what_grew_is_drawn() {
        let tables = parse("[flash]\nroot = 90\n[last]\nroot = 50\nkernel = 60\n").unwrap();
        let sizes = [Size { name: "root", bytes: 100 }, Size { name: "kernel", bytes: 50 }];
        let chart = chart(&sizes, &tables);
        let lines: Vec<&str> = chart.lines().collect();
        assert_eq!(
            lines[1],
            format!("      100        90       +50  root     {}{}  TOO MUCH", "#".repeat(20), "+".repeat(20))
        );
        assert_eq!(lines[2], format!("       50                 -10  kernel   {}", "#".repeat(20)));
    }
}
