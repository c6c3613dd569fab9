//! What a service may use.

use super::super::words;
use super::super::write::quote;
use super::Work;

impl Work<'_> {
    pub(super) fn limits(&mut self) {
        for (key, ours) in [
            ("LimitAS", "address_space"),
            ("LimitCORE", "core"),
            ("LimitDATA", "data"),
            ("LimitFSIZE", "file_size"),
            ("LimitMEMLOCK", "locked_memory"),
            ("LimitSTACK", "stack"),
        ] {
            if let Some(limit) = self.read(key, |value| hard(value, words::bytes)) {
                self.set("limits", ours, limit);
            }
        }
        let number = |text: &str| text.parse::<u32>().ok().map(u64::from);
        let seconds = |text: &str| words::span(text).flatten().map(|span| span.as_secs());
        if let Some(limit) = self.read("LimitCPU", |value| hard(value, seconds)) {
            self.set("limits", "cpu_seconds", limit);
        }
        for (key, ours) in [("LimitNOFILE", "open_files"), ("LimitNPROC", "processes")] {
            if let Some(limit) = self.read(key, |value| hard(value, number)) {
                self.set("limits", ours, limit);
            }
        }
        let whole = |value: &str| match value {
            "infinity" => Some("\"unlimited\"".to_owned()),
            value => words::bytes(value).filter(|bytes| *bytes >= 4096).map(|bytes| bytes.to_string()),
        };
        for (key, ours) in [("MemoryLimit", "memory"), ("MemoryMax", "memory"), ("MemoryHigh", "memory_high")]
        {
            if let Some(limit) = self.read(key, whole) {
                self.set("limits", ours, limit);
            }
        }
        let tasks = |value: &str| match value {
            "infinity" => Some("\"unlimited\"".to_owned()),
            value => value
                .parse::<u32>()
                .ok()
                .filter(|tasks| (1..=4 << 20).contains(tasks))
                .map(|it| it.to_string()),
        };
        if let Some(limit) = self.read("TasksMax", tasks) {
            self.set("limits", "pids", limit);
        }
        let percent = |value: &str| {
            let number = value.strip_suffix('%')?.parse::<u32>().ok()?;
            (1..=100_000).contains(&number).then(|| quote(value))
        };
        if let Some(limit) = self.read("CPUQuota", percent) {
            self.set("limits", "cpu", limit);
        }
        for (key, ours, least, most) in [
            ("IOWeight", "io_weight", 1, 10_000),
            ("Nice", "nice", -20, 19),
            ("OOMScoreAdjust", "oom_score", -1000, 1000),
        ] {
            let number = |value: &str| value.parse::<i32>().ok().filter(|it| (least..=most).contains(it));
            if let Some(number) = self.read(key, number) {
                self.set("limits", ours, number);
            }
        }
    }
}

/// The second of `SOFT:HARD`.
fn hard(value: &str, read: impl FnOnce(&str) -> Option<u64>) -> Option<String> {
    match value.rsplit(':').next()? {
        "infinity" => Some("\"unlimited\"".to_owned()),
        value => read(value).map(|limit| limit.to_string()),
    }
}
