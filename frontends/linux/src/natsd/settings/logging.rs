//! What the server says about itself, and where.

use std::path::{Path, PathBuf};

use super::facts::OrNone;
use super::{Facts, Subject};
use crate::cli::{Matches, UsageError};
use crate::config::Section;

/// What the server says about itself, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The file for log lines, instead of stderr.
    pub file: Option<PathBuf>,
    /// Log lines bear the time.
    pub time: bool,
    /// Say when connections come and go, and why.
    pub debug: bool,
    /// Say what clients say.
    pub trace: bool,
}

impl Default for Logging {
    fn default() -> Self {
        Self { file: None, time: true, debug: false, trace: false }
    }
}

impl Subject for Logging {
    fn configure(&mut self, file: &mut Section) {
        self.file = file.path(&["log_file", "logfile"]).or(self.file.take());
        for (key, place) in
            [("debug", &mut self.debug), ("trace", &mut self.trace), ("logtime", &mut self.time)]
        {
            *place = file.truth(&[key]).unwrap_or(*place);
        }
        for key in ["trace_verbose", "trace_headers"] {
            self.trace |= file.truth(&[key]).unwrap_or(false);
        }
        if let Some(value) = file.take(&["logtime_utc"])
            && value.truth() == Some(false)
        {
            value.remark("the times of natsd's log are UTC");
        }
        for names in [&["logfile_size_limit", "log_size_limit"], &["logfile_max_num", "log_max_num"]] {
            if let Some(value) = file.take(names) {
                value.remark("natsd does not rotate its log: move it away, and say --signal reopen");
            }
        }
        file.ignore(&["max_traced_msg_len"]);
    }

    fn apply(&mut self, matches: &Matches) -> Result<(), UsageError> {
        self.file = matches.path("log").map(Path::to_owned).or(self.file.take());
        let turned = |names: &[&str]| names.iter().filter_map(|name| matches.truth(name)).max();
        self.debug = turned(&["debug", "DV", "DVV"]).unwrap_or(self.debug);
        self.trace = turned(&["trace", "VV", "DV", "DVV"]).unwrap_or(self.trace);
        self.time = matches.truth("logtime").unwrap_or(self.time);
        Ok(())
    }

    fn facts(&self, facts: &mut Facts) {
        facts.live("log_file", &OrNone(self.file.as_deref().map(Path::display)));
        facts.live("logtime", &self.time);
        facts.live("debug", &self.debug);
        facts.live("trace", &self.trace);
    }
}
