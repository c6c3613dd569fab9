//! What `lunix top` shows, made of two looks.

use std::cmp::Reverse;
use std::collections::HashMap;

use lunix_core::time::Instant;
use lunix_proto::json::{Object, Value};

use super::super::columns::{self, Cell, Column};
use super::super::known::{self, Service, Usage, or_dash};
use crate::terminal::{self, Terminal};

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Cpu,
    Memory,
    Io,
    Tasks,
    Name,
}

impl Sort {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "io" => Self::Io,
            "tasks" => Self::Tasks,
            "name" => Self::Name,
            _ => return None,
        })
    }
}

/// The last two looks.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) sort: Sort,
    note: String,
    head: Vec<String>,
    /// Busy and all time of the processors at the last look, in microseconds.
    cpu: Option<(u64, u64)>,
    services: Vec<Service>,
    usages: HashMap<String, Sample>,
    processes: Option<HashMap<String, Process>>,
}

/// What somebody has used, and since when it is compared.
#[derive(Clone, Debug, Default)]
struct Sample {
    usage: Usage,
    at: Instant,
    /// Tenths of a per cent of one processor.
    cpu: Option<u64>,
    /// Bytes a second.
    io: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Process {
    sample: Sample,
    pid: u64,
    command: String,
}

impl Sample {
    fn new(usage: Usage, at: Instant, before: Option<&Self>) -> Self {
        let mut sample = Self { usage, at, cpu: None, io: None };
        let Some(before) = before else { return sample };
        let micros = u64::try_from(at.since(before.at).as_micros()).unwrap_or(u64::MAX);
        let rate = |now: Option<u64>, then: Option<u64>, scale: u64| {
            // Less than before: it is another process, or another group.
            let more = now?.checked_sub(then?)?;
            u64::try_from(u128::from(more) * u128::from(scale) / u128::from(micros.max(1))).ok()
        };
        sample.cpu = rate(sample.usage.cpu, before.usage.cpu, 1_000);
        let moved = |usage: &Usage| Some(usage.read?.saturating_add(usage.written?));
        sample.io = rate(moved(&sample.usage), moved(&before.usage), 1_000_000);
        sample
    }
}

impl Picture {
    pub(super) fn new(sort: Sort) -> Self {
        Self {
            sort,
            note: String::new(),
            head: Vec::new(),
            cpu: None,
            services: Vec::new(),
            usages: HashMap::new(),
            processes: None,
        }
    }

    /// Something to say above the table; nothing takes it back.
    pub(super) fn note(&mut self, text: &str) {
        text.clone_into(&mut self.note);
    }

    /// `system.usage`
    pub(super) fn machine(&mut self, object: &Object<'_>) {
        let part = |key| object.get(key).and_then(|value| value.as_object());
        let whole = |object: Option<&Object<'_>>, key: &str| object?.get(key)?.as_u64();
        let mut first = Vec::new();
        if let Some(up) = object.get("uptime_us").and_then(|value| value.as_u64()) {
            first.push(format!("up {}", known::age(up)));
        }
        if let Some(cpu) = part("cpu") {
            let of = |key| whole(Some(&cpu), key).unwrap_or_default();
            let idle = of("idle_us").saturating_add(of("iowait_us"));
            let busy = ["user_us", "nice_us", "system_us", "irq_us", "softirq_us", "steal_us"];
            let busy = busy.into_iter().map(of).fold(0_u64, u64::saturating_add);
            let all = busy.saturating_add(idle);
            let cpus = of("cpus");
            let used = self.cpu.and_then(|(busy_before, all_before)| {
                let all = all.checked_sub(all_before).filter(|all| *all > 0)?;
                Some(u128::from(busy.checked_sub(busy_before)?) * 1_000 / u128::from(all))
            });
            self.cpu = Some((busy, all));
            let used = or_dash(used, |tenths| format!("{}.{} %", tenths / 10, tenths % 10));
            first.push(format!("cpu {used} of {cpus}"));
        }
        if let Some(load) = part("load") {
            let of = |key: &str| match load.get(key) {
                Some(Value::Number(number)) => number.as_raw().to_owned(),
                _ => "-".to_owned(),
            };
            first.push(format!("load {} {} {}", of("1"), of("5"), of("15")));
        }
        if let Some(count) = object.get("processes").and_then(|value| value.as_u64()) {
            first.push(format!("{count} processes"));
        }
        let mut second = Vec::new();
        if let Some(memory) = part("memory") {
            let of = |key| or_dash(whole(Some(&memory), key), terminal::bytes);
            second.push(format!("memory {} available of {}", of("available"), of("total")));
            if whole(Some(&memory), "swap_total").is_some_and(|total| total > 0) {
                second.push(format!("swap {} free of {}", of("swap_free"), of("swap_total")));
            }
        }
        if let Some(pressure) = part("pressure") {
            let of = |key: &str| {
                let some = pressure.get(key)?.as_object()?.get("some")?.as_object()?;
                match some.get("avg10")? {
                    Value::Number(number) => Some(format!("{key} {}", number.as_raw())),
                    _ => None,
                }
            };
            let parts: Vec<_> = ["cpu", "memory", "io"].into_iter().filter_map(of).collect();
            second.push(format!("pressure {} %", parts.join(" ")));
        }
        self.head = [first, second]
            .into_iter()
            .filter(|parts| !parts.is_empty())
            .map(|parts| parts.join("  "))
            .collect();
    }

    /// `service.list`
    pub(super) fn services(&mut self, objects: &[Object<'_>]) {
        self.services = objects.iter().filter_map(Service::read).collect();
    }

    /// `service.usage`
    pub(super) fn usages(&mut self, objects: &[Object<'_>], at: Instant) {
        let before = std::mem::take(&mut self.usages);
        for usage in objects.iter().map(Usage::read) {
            let name = usage.name.clone();
            let sample = Sample::new(usage, at, before.get(&name));
            self.usages.insert(name, sample);
        }
    }

    /// `ps.list`
    pub(super) fn processes(&mut self, objects: &[Object<'_>], at: Instant) {
        let before = self.processes.take().unwrap_or_default();
        let read = |object: &Object<'_>| {
            let pid = object.get("pid")?.as_u64()?;
            let start = object.get("start_us").and_then(|value| value.as_u64()).unwrap_or_default();
            // A number is given again, but not at the same time.
            let key = format!("{pid} {start}");
            let command = Some(known::text(object, "cmdline")).filter(|line| !line.is_empty());
            let command = command.unwrap_or_else(|| known::text(object, "comm"));
            let sample =
                Sample::new(Usage::read(object), at, before.get(&key).map(|process| &process.sample));
            Some((key, Process { sample, pid, command }))
        };
        self.processes = Some(objects.iter().filter_map(read).collect());
    }

    /// All of it in at most `rows` lines.
    pub(super) fn lines(&self, terminal: &Terminal, rows: usize) -> Vec<String> {
        let width = if terminal.obeys { terminal.width } else { usize::MAX };
        let mut lines: Vec<String> =
            self.head.iter().map(|line| terminal::fit(line, width).into_owned()).collect();
        if !self.note.is_empty() {
            lines.push(terminal.paint("33", &terminal::fit(&self.note, width)).into_owned());
        }
        lines.push(String::new());
        let services = self.service_lines(terminal);
        let processes = self.process_lines(terminal);
        let left = rows.saturating_sub(lines.len());
        // Services have at least half of the room.
        let room = left.saturating_sub(processes.len() + 1).max(left / 2);
        let room = if processes.is_empty() { left } else { room };
        let hidden = services.len().saturating_sub(room);
        lines.extend(services.into_iter().take(room));
        if hidden > 0 {
            lines.pop();
            lines.push(terminal.paint("2", &format!("\u{2026} {} more", hidden + 1)).into_owned());
        }
        if !processes.is_empty() {
            lines.push(String::new());
            lines.extend(processes);
        }
        lines.truncate(rows);
        lines
    }

    fn service_lines(&self, terminal: &Terminal) -> Vec<String> {
        let none = Sample::default();
        let mut rows: Vec<_> = self
            .services
            .iter()
            .map(|service| (service, self.usages.get(&service.name).unwrap_or(&none)))
            .collect();
        rows.sort_by(|(a, of_a), (b, of_b)| {
            self.key(of_a).cmp(&self.key(of_b)).then_with(|| a.name.cmp(&b.name))
        });
        let columns = [
            Column { title: "SERVICE", right: false },
            Column { title: "STATE", right: false },
            Column { title: "PID", right: true },
            Column { title: "CPU %", right: true },
            Column { title: "MEMORY", right: true },
            Column { title: "TASKS", right: true },
            Column { title: "IO/s", right: true },
            Column { title: "RESTARTS", right: true },
        ];
        let row = |(service, sample): &(&Service, &Sample)| -> Vec<Cell> {
            vec![
                service.name.clone().into(),
                Cell { text: service.state.clone(), colour: service.colour() },
                or_dash(service.pid, |pid| pid.to_string()).into(),
                or_dash(sample.cpu, tenths).into(),
                or_dash(sample.usage.rss, terminal::bytes).into(),
                or_dash(sample.usage.pids, |pids| pids.to_string()).into(),
                or_dash(sample.io, terminal::bytes).into(),
                service.restarts.to_string().into(),
            ]
        };
        columns::lines(&columns, &rows.iter().map(row).collect::<Vec<_>>(), terminal)
    }

    fn process_lines(&self, terminal: &Terminal) -> Vec<String> {
        let Some(processes) = &self.processes else { return Vec::new() };
        let mut rows: Vec<_> = processes.values().collect();
        rows.sort_by_key(|process| (self.key(&process.sample), process.pid));
        let columns = [
            Column { title: "PID", right: true },
            Column { title: "CPU %", right: true },
            Column { title: "MEMORY", right: true },
            Column { title: "COMMAND", right: false },
        ];
        let row = |process: &&Process| -> Vec<Cell> {
            vec![
                process.pid.to_string().into(),
                or_dash(process.sample.cpu, tenths).into(),
                or_dash(process.sample.usage.rss, terminal::bytes).into(),
                process.command.clone().into(),
            ]
        };
        columns::lines(&columns, &rows.iter().map(row).collect::<Vec<_>>(), terminal)
    }

    /// The smallest comes first.
    fn key(&self, sample: &Sample) -> Reverse<Option<u64>> {
        Reverse(match self.sort {
            Sort::Cpu => sample.cpu,
            Sort::Memory => sample.usage.rss,
            Sort::Io => sample.io,
            Sort::Tasks => sample.usage.pids,
            Sort::Name => None,
        })
    }
}

fn tenths(tenths: u64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use lunix_proto::json;

    use super::*;

    fn take(text: &str, take: impl FnOnce(&[Object<'_>])) {
        take(&known::objects(text.as_bytes()).unwrap());
    }

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let mut picture = Picture::new(Sort::Cpu);
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        take(
            r#"[{"name":"a","state":"ready","pid":7,"restarts":0},{"name":"b","state":"ready","pid":8,"restarts":1},
                {"name":"\u4e2d\u001b[2J","state":"failed","restarts":9}]"#,
            |objects| picture.services(objects),
        );
        let usage = |a: u64, b: u64| {
            format!(
                r#"[{{"name":"a","cpu_us":{a},"rss":2000,"io_read":0,"io_write":{a}}},{{"name":"b","cpu_us":{b},"rss":1000}}]"#
            )
        };
        take(&usage(1_000, 5_000), |objects| picture.usages(objects, at(0)));
        take(&usage(101_000, 255_000), |objects| picture.usages(objects, at(500)));
        let lines = picture.lines(&Terminal::PLAIN, usize::MAX);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[2]), ["b", "ready", "8", "50.0", "1.0", "kB", "-", "-", "1"]);
        assert_eq!(words(&lines[3]), ["a", "ready", "7", "20.0", "2.0", "kB", "-", "200.0", "kB", "0"]);
        assert_eq!(words(&lines[4]), ["\u{4e2d}", "failed", "-", "-", "-", "-", "-", "9"]);
        picture.sort = Sort::Memory;
        assert!(picture.lines(&Terminal::PLAIN, usize::MAX)[2].starts_with("a "));
        picture.sort = Sort::Name;
        assert!(picture.lines(&Terminal::PLAIN, usize::MAX)[2].starts_with("a "));
        // Another process of that name has used less.
        take(&usage(1_000, 255_000), |objects| picture.usages(objects, at(1_000)));
        picture.sort = Sort::Cpu;
        let lines = picture.lines(&Terminal::PLAIN, usize::MAX);
        assert_eq!(words(&lines[2])[3], "0.0");
        assert_eq!(words(&lines[3])[..4], ["a", "ready", "7", "-"]);
    }

    #[test]
    fn it_fits_the_window() {
        let mut picture = Picture::new(Sort::Cpu);
        let services: Vec<_> =
            (0..50).map(|number| format!(r#"{{"name":"s{number}","state":"ready","restarts":0}}"#)).collect();
        take(&format!("[{}]", services.join(",")), |objects| picture.services(objects));
        let terminal = Terminal { obeys: true, colour: false, width: 30 };
        for rows in [1, 2, 3, 10, 24, 100] {
            let lines = picture.lines(&terminal, rows);
            assert!(
                lines.len() <= rows && lines.iter().all(|line| terminal::width(line) <= 30),
                "{lines:#?}"
            );
        }
        let processes: Vec<_> =
            (1..99).map(|pid| format!(r#"{{"pid":{pid},"comm":"c","cmdline":"","rss":1}}"#)).collect();
        take(&format!("[{}]", processes.join(",")), |objects| picture.processes(objects, Instant::default()));
        let lines = picture.lines(&terminal, 24);
        assert_eq!(lines.len(), 24);
        assert!(lines.iter().any(|line| line.contains("COMMAND")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with('\u{2026}')), "{lines:#?}");
    }

    #[test]
    fn the_head_says_how_the_machine_is() {
        let mut picture = Picture::new(Sort::Cpu);
        let usage = |user: u64| {
            format!(
                r#"{{"uptime_us":7200000000,"cpu":{{"cpus":2,"user_us":{user},"idle_us":1000}},"memory":{{"total":64000000,"available":32000000}},
                "load":{{"1":0.52,"5":1.00,"15":"x"}},"pressure":{{"io":{{"some":{{"avg10":1.50}}}}}},"processes":12}}"#
            )
        };
        for text in [usage(0), usage(250)] {
            picture.machine(&json::parse(text.as_bytes()).unwrap().as_object().unwrap());
        }
        let lines = picture.lines(&Terminal::PLAIN, usize::MAX);
        assert_eq!(lines[0], "up 2:00 h  cpu 100.0 % of 2  load 0.52 1.00 -  12 processes");
        assert_eq!(lines[1], "memory 32.0 MB available of 64.0 MB  pressure io 1.50 %");
    }
}
