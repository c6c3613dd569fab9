//! Rows, as markdown.

/// A table whose first two columns are names.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&cell| cell.to_owned()).collect(), rows: Vec::new() }
    }

    /// A row, which is also said at once on stderr: a run is long.
    pub fn row(&mut self, load: &str, program: &str, cells: &[String]) {
        self.quiet_row(load, program, cells);
        if let Some(row) = self.rows.last() {
            eprintln!("{}", row.join(" | "));
        }
    }

    /// A row that is known only at the end.
    pub fn quiet_row(&mut self, load: &str, program: &str, cells: &[String]) {
        let mut row = vec![load.to_owned(), program.to_owned()];
        row.extend_from_slice(cells);
        self.rows.push(row);
    }

    pub fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        println!("| {} |", self.head.join(" | "));
        println!("|---|---|{}", "--:|".repeat(self.head.len() - 2));
        let mut before = "";
        for row in &self.rows {
            let name = if row[0] == before { "" } else { &row[0] };
            println!("| {name} | {} |", row[1..].join(" | "));
            before = &row[0];
        }
        println!();
    }
}

/// The middle one.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of ratios, and between what they lie.
pub fn ratio(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    format!("**{}** [{}–{}]", number(median(values.into_iter())), number(low), number(high))
}

/// Three digits that say something.
pub fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
