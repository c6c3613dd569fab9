//! Interleaved rounds, their medians, and the table.
//!
//! What is measured is the processor time of the thread, so that a busy machine does not count as a slow decoder.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// What one turn of a case did.
#[derive(Clone, Copy)]
pub struct Work {
    pub messages: usize,
    pub bytes: usize,
}

/// Something that does a fixed amount of work. The first case of a group is what the others are compared with.
pub struct Case {
    name: String,
    turn: Box<dyn FnMut() -> Work>,
}

impl Case {
    pub fn new(name: impl Into<String>, turn: impl FnMut() -> Work + 'static) -> Self {
        Self { name: name.into(), turn: Box::new(turn) }
    }
}

/// Cases that do the same work.
pub struct Group {
    title: String,
    /// Messages and bytes a second that the first case should reach.
    goal: Option<Goal>,
    cases: Vec<Case>,
}

#[derive(Clone, Copy)]
pub enum Goal {
    Messages(f64),
    Bytes(f64),
}

/// The medians of a group.
pub struct Medians {
    title: String,
    goal: Option<Goal>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    messages: f64,
    bytes: f64,
    /// Median of the ratios of neighbouring turns: how often the first case's speed is this one's.
    ratio: f64,
}

impl Group {
    pub fn new(title: impl Into<String>, goal: Option<Goal>, cases: Vec<Case>) -> Self {
        Self { title: title.into(), goal, cases }
    }

    /// Runs every case once to warm up, then all of them by turns.
    pub fn run(mut self, rounds: usize) -> Medians {
        let mut works = Vec::new();
        for case in &mut self.cases {
            works.push((case.turn)());
        }
        let mut times = vec![Vec::new(); self.cases.len()];
        for _ in 0..rounds {
            for (case, times) in self.cases.iter_mut().zip(&mut times) {
                let start = processor_time();
                (case.turn)();
                times.push(processor_time() - start);
            }
        }
        let per_message = |case: usize, time: Duration| time.as_secs_f64() / works[case].messages as f64;
        let mut rows = Vec::new();
        for (index, case) in self.cases.into_iter().enumerate() {
            let ratio =
                |(&own, &first): (&Duration, &Duration)| per_message(index, own) / per_message(0, first);
            let seconds = median(times[index].iter().map(Duration::as_secs_f64).collect());
            rows.push(Row {
                name: case.name,
                messages: works[index].messages as f64 / seconds,
                bytes: works[index].bytes as f64 / seconds,
                ratio: median(times[index].iter().zip(&times[0]).map(ratio).collect()),
            });
        }
        Medians { title: self.title, goal: self.goal, rows }
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints Markdown.
pub fn print(groups: &[Medians]) {
    println!("| work | decoder | million messages/s | GB/s | ns/message | lunix is faster by |");
    println!("|---|---|--:|--:|--:|--:|");
    for group in groups {
        for (index, row) in group.rows.iter().enumerate() {
            let title = if index == 0 { &group.title } else { "" };
            let ratio = if index == 0 { String::new() } else { format!("{:.1} x", row.ratio) };
            let (millions, gigabytes) = (row.messages / 1e6, row.bytes / 1e9);
            let nanoseconds = 1e9 / row.messages;
            println!(
                "| {title} | {} | {millions:.2} | {gigabytes:.2} | {nanoseconds:.1} | {ratio} |",
                row.name
            );
        }
    }
    println!();
    for group in groups {
        let Some((goal, row)) = group.goal.zip(group.rows.first()) else { continue };
        let (found, wanted, unit) = match goal {
            Goal::Messages(wanted) => (row.messages / 1e6, wanted / 1e6, "million messages/s"),
            Goal::Bytes(wanted) => (row.bytes / 1e9, wanted / 1e9, "GB/s"),
        };
        let verdict = if found >= wanted { "met" } else { "MISSED" };
        println!("Goal of {wanted:.0} {unit}, {}: {verdict} ({found:.1}).", group.title);
    }
}
