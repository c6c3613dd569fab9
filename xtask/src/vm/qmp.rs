//! QEMU's monitor protocol: one JSON object a line, answers and events mixed.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A monitor connection. Every wait is bounded.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    /// What was read of a line that is not there as a whole yet.
    partial: Vec<u8>,
    events: VecDeque<Value>,
}

/// QEMU answers a command at once; more than this means that it is gone.
const ANSWER: Duration = Duration::from_secs(60);

impl Qmp {
    /// Reads the greeting and leaves negotiation mode.
    pub fn new(stream: UnixStream) -> Result<Self> {
        let mut qmp = Self { reader: BufReader::new(stream), partial: Vec::new(), events: VecDeque::new() };
        let greeting = qmp.message(Instant::now() + ANSWER)?.context("QEMU's monitor does not greet")?;
        if greeting.get("QMP").is_none() {
            bail!("this is no QMP greeting: {greeting}");
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and returns what it returns. Events that arrive meanwhile are kept.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.reader.get_mut(), "{line}").with_context(|| format!("send {command} to QEMU"))?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let Some(mut message) = self.message(deadline)? else { bail!("QEMU does not answer {command}") };
            if let Some(error) = message.get("error") {
                bail!("QEMU refuses {line}: {}", error["desc"].as_str().unwrap_or("?"));
            }
            if message.get("return").is_some() {
                return Ok(message["return"].take());
            }
            self.keep(message);
        }
    }

    /// Waits for an event of this name that `wanted` accepts; other events are kept for later calls.
    pub fn wait_event(
        &mut self,
        name: &str,
        limit: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let at = self.events.iter().position(|event| event["event"] == name && wanted(&event["data"]));
            if let Some(event) = at.and_then(|at| self.events.remove(at)) {
                return Ok(event);
            }
            match self.message(deadline)? {
                Some(message) => self.keep(message),
                None => bail!("QEMU did not say {name} within {limit:?}"),
            }
        }
    }

    fn keep(&mut self, message: Value) {
        /// Nobody waits for most events; the oldest go first.
        const KEPT: usize = 256;
        if message.get("event").is_some() {
            if self.events.len() == KEPT {
                self.events.pop_front();
            }
            self.events.push_back(message);
        }
    }

    /// The next line, or `None` at the deadline.
    fn message(&mut self, deadline: Instant) -> Result<Option<Value>> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.reader.get_ref().set_read_timeout(Some(left))?;
            match self.reader.read_until(b'\n', &mut self.partial) {
                Ok(0) => bail!("QEMU has gone"),
                Ok(_) if self.partial.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.partial);
                    return serde_json::from_slice(&line).map(Some).context("QEMU's monitor sent no JSON");
                }
                Ok(_) => bail!("QEMU has gone in the middle of a line"),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("read QEMU's monitor"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A monitor that greets, then answers each line it gets with the next of `script`.
    fn fake(script: &'static [&'static str]) -> UnixStream {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            theirs.write_all(b"{\"QMP\": {}}\r\n").unwrap();
            let mut reader = BufReader::new(theirs.try_clone().unwrap());
            for answer in script {
                reader.read_line(&mut String::new()).unwrap();
                theirs.write_all(answer.as_bytes()).unwrap();
            }
        });
        ours
    }

    #[test]
    fn events_before_an_answer_are_kept() {
        let script = &[
            "{\"return\": {}}\r\n",
            "{\"event\": \"A\", \"data\": {\"n\": 1}}\r\n{\"event\": \"A\", \"data\": {\"n\": 2}}\r\n{\"return\": 7}\r\n",
        ];
        let mut qmp = Qmp::new(fake(script)).unwrap();
        assert_eq!(qmp.execute("x", json!({})).unwrap(), 7);
        let second = qmp.wait_event("A", Duration::from_secs(60), |data| data["n"] == 2).unwrap();
        assert_eq!(second["data"]["n"], 2);
        assert_eq!(qmp.wait_event("A", Duration::from_secs(60), |_| true).unwrap()["data"]["n"], 1);
        assert!(qmp.wait_event("A", Duration::from_millis(20), |_| true).is_err());
    }

    #[test]
    fn a_refusal_carries_its_reason() {
        let script =
            &["{\"return\": {}}\r\n", "{\"error\": {\"class\": \"X\", \"desc\": \"no such bus\"}}\r\n"];
        let error = Qmp::new(fake(script)).unwrap().execute("device_add", json!({})).unwrap_err();
        assert!(error.to_string().ends_with("no such bus"), "{error}");
    }
}
