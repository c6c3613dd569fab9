//! One gate's run: its commands, what they print, what that counts, and its time limit.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::setup::Tool;
use crate::shell;

/// A named set of checks.
pub(super) struct Gate {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// More than this means that something hangs.
    pub(super) minutes: u64,
    /// Without these programs it is skipped.
    pub(super) tools: &'static [Tool],
    /// Without these programs some of its tests are skipped, each for itself.
    pub(super) wants: &'static [Tool],
    /// Whether processes or whole systems run against each other in it, so that chance has a part in what comes out.
    pub(super) live: bool,
    pub(super) run: fn(&mut Run) -> Result<()>,
}

impl Gate {
    pub(super) const fn new(
        name: &'static str,
        about: &'static str,
        minutes: u64,
        run: fn(&mut Run) -> Result<()>,
    ) -> Self {
        Self { name, about, minutes, tools: &[], wants: &[], live: false, run }
    }

    pub(super) const fn with(mut self, tools: &'static [Tool]) -> Self {
        self.tools = tools;
        self
    }

    pub(super) const fn wanting(mut self, tools: &'static [Tool]) -> Self {
        self.wants = tools;
        self
    }

    pub(super) const fn live(mut self) -> Self {
        self.live = true;
        self
    }
}

/// Counts of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    /// Failed among all the others, and passed each time by themselves.
    pub(super) unsteady: u64,
    pub(super) skipped: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.unsteady += other.unsteady;
        self.skipped += other.skipped;
    }
}

/// How a command says what it checked. `SKIPPED name: why` on a line counts in every form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Only its exit code; the gate counts for itself.
    Silent,
    /// Rust's test harness. A test that prints `SKIPPED` ends as passed there; it counts as skipped here.
    Libtest,
    /// `ok name` and `FAILED name: why` (or `not ok name`) on lines of their own.
    Lines,
}

/// How many lines of output a failure shows.
const SHOWN: usize = 200;

/// A gate that is running.
pub(super) struct Run {
    log: File,
    verbose: bool,
    deadline: Instant,
    tally: Tally,
    tail: VecDeque<String>,
    /// What Rust's test harness says of the tests that failed.
    failures: VecDeque<String>,
    in_failures: bool,
    /// The names below the last `failures:`, and those of all results before.
    named: Vec<String>,
    failed: Vec<String>,
    notes: Vec<String>,
}

impl Run {
    pub(super) fn new(log: &Path, verbose: bool, limit: Duration) -> Result<Self> {
        Ok(Self {
            log: File::create(log).with_context(|| format!("write {}", log.display()))?,
            verbose,
            deadline: Instant::now() + limit,
            tally: Tally::default(),
            tail: VecDeque::new(),
            failures: VecDeque::new(),
            in_failures: false,
            named: Vec::new(),
            failed: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// The counts, the output that explains a failure, and what to repeat at the end of everything.
    pub(super) fn finish(self) -> (Tally, Vec<String>, Vec<String>) {
        let output = if self.failures.is_empty() { self.tail } else { self.failures };
        (self.tally, output.into(), self.notes)
    }

    /// One check more that holds.
    pub(super) fn pass(&mut self, name: &str) {
        self.tally.passed += 1;
        self.write(&format!("ok {name}"));
    }

    /// One check more that does not hold; the gate goes on.
    pub(super) fn fail(&mut self, name: &str, why: &str) {
        self.tally.failed += 1;
        self.write(&format!("FAILED {name}: {why}"));
    }

    /// One check more that this machine cannot make.
    pub(super) fn skip(&mut self, name: &str, why: &str) {
        self.tally.skipped += 1;
        let line = format!("SKIPPED {name}: {why}");
        self.write(&line);
        self.notes.push(line);
    }

    /// Said at the end of everything, and no failure.
    pub(super) fn note(&mut self, note: &str) {
        self.write(note);
        self.notes.push(note.to_owned());
    }

    /// How long the gate may still take.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// How many checks have failed so far.
    pub(super) fn failed(&self) -> u64 {
        self.tally.failed
    }

    /// The tests that failed so far, if Rust's test harness names each of them.
    pub(super) fn failed_tests(&self) -> Option<Vec<String>> {
        (self.tally.failed == self.failed.len() as u64).then(|| self.failed.clone())
    }

    /// What [`Self::failed_tests`] names, was a matter of chance: it counts as that, and is named at the end of everything.
    pub(super) fn unsteady(&mut self, how: &str) {
        self.tally.unsteady += std::mem::take(&mut self.tally.failed);
        for name in std::mem::take(&mut self.failed) {
            self.note(&format!("UNSTEADY {name}: {how}"));
        }
    }

    /// A line of output, kept for the case of a failure.
    pub(super) fn write(&mut self, line: &str) {
        if self.verbose {
            println!("{line}");
        }
        // The log is a convenience: a full disk fails the checks themselves soon enough.
        let _ = writeln!(self.log, "{line}");
        keep(&mut self.tail, line);
    }

    /// Runs a command that stands for one check.
    pub(super) fn check(&mut self, name: &str, command: &mut Command) -> Result<()> {
        match self.command(Form::Silent, command) {
            Ok(()) => self.pass(name),
            Err(e) => self.fail(name, &format!("{e:#}")),
        }
        if self.left().is_zero() { bail!("out of time") } else { Ok(()) }
    }

    /// Runs a command to its end or to the gate's. Its output is read and counted as `form` says.
    pub(super) fn command(&mut self, form: Form, command: &mut Command) -> Result<()> {
        let shown = shell::line(command);
        self.write(&format!("$ {shown}"));
        let (output, output_end) = std::io::pipe()?;
        command.stdin(Stdio::null()).stdout(output_end.try_clone()?).stderr(output_end);
        let mut child = command.spawn().with_context(|| format!("start `{shown}`"))?;
        // The command holds the writing ends; while it does, the pipe does not close.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        let mut late = false;
        loop {
            match lines.recv_timeout(if late { Duration::from_secs(5) } else { self.left() }) {
                Ok(line) => {
                    self.count(form, &line);
                    self.write(&line);
                }
                Err(RecvTimeoutError::Timeout) if !late => {
                    late = true;
                    kill_tree(child.id());
                }
                // What a grandchild that fled keeps open is not waited for.
                Err(_) => break,
            }
        }
        let status = child.wait()?;
        if late {
            bail!("`{shown}` did not end in time");
        }
        if !status.success() {
            bail!("`{shown}`: {status}");
        }
        Ok(())
    }

    fn count(&mut self, form: Form, line: &str) {
        if let Some(skipped) = line.strip_prefix("SKIPPED ") {
            self.tally.skipped += 1;
            self.notes.push(format!("SKIPPED {skipped}"));
            if form == Form::Libtest {
                self.tally.passed = self.tally.passed.saturating_sub(1);
            }
        }
        match form {
            Form::Silent => {}
            Form::Libtest => {
                self.in_failures =
                    (self.in_failures || line == "failures:") && !line.starts_with("test result:");
                if self.in_failures {
                    keep(&mut self.failures, line);
                }
                match line.strip_prefix("    ") {
                    // The list of names comes last.
                    _ if line == "failures:" => self.named.clear(),
                    Some(name) if self.in_failures => self.named.push(name.to_owned()),
                    _ => {}
                }
                if let Some((passed, failed)) = libtest_result(line) {
                    self.tally.passed += passed;
                    self.tally.failed += failed;
                    self.failed.append(&mut self.named);
                }
            }
            Form::Lines if line.starts_with("ok ") => self.tally.passed += 1,
            Form::Lines if line.starts_with("FAILED ") || line.starts_with("not ok ") => {
                self.tally.failed += 1
            }
            Form::Lines => {}
        }
    }
}

fn keep(lines: &mut VecDeque<String>, line: &str) {
    if lines.len() == SHOWN {
        lines.pop_front();
    }
    lines.push_back(line.to_owned());
}

/// `test result: ok. 7 passed; 0 failed; …`
pub(super) fn libtest_result(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number =
        |word: &str| counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok());
    Some((number("passed")?, number("failed")?))
}

/// Kills a process and everything that it started and that still hangs below it.
fn kill_tree(root: u32) {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // pid (name) state ppid …, and a name may hold anything, parentheses too.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut doomed = vec![root];
    let mut next = 0;
    while let Some(&pid) = doomed.get(next) {
        doomed.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    let _ = Command::new("kill").arg("-KILL").args(doomed.iter().map(u32::to_string)).status();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Scratch;

    fn run(limit: Duration) -> (Scratch, Run) {
        let scratch = Scratch::new().unwrap();
        let run = Run::new(&scratch.path().join("log"), false, limit).unwrap();
        (scratch, run)
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn libtest_counts_and_skips() {
        let (_scratch, mut run) = run(Duration::from_secs(60));
        let script =
            "echo 'test result: ok. 7 passed; 0 failed; 2 ignored; 0 measured'; echo 'SKIPPED x: no y'";
        run.command(Form::Libtest, &mut sh(script)).unwrap();
        let (tally, _, notes) = run.finish();
        assert_eq!(tally, Tally { passed: 6, skipped: 1, ..Tally::default() });
        assert_eq!(notes, ["SKIPPED x: no y"]);
    }

    #[test]
    fn a_failure_shows_what_explains_it() {
        let (_scratch, mut run) = run(Duration::from_secs(60));
        let script = "echo noise; echo failures:; echo 'x panicked'; echo 'test result: FAILED. 1 passed; 1 failed; 0 ignored'; echo noise";
        run.command(Form::Libtest, &mut sh(script)).unwrap();
        let (tally, output, _) = run.finish();
        assert_eq!(tally, Tally { passed: 1, failed: 1, ..Tally::default() });
        assert_eq!(output, ["failures:", "x panicked"]);
    }

    #[test]
    fn failed_tests_are_named_and_may_turn_out_to_be_unsteady() {
        let (_scratch, mut run) = run(Duration::from_secs(20));
        let script = "printf 'failures:\\n\\n---- a::b stdout ----\\n    noise\\n\\nfailures:\\n    a::b\\n    c\\n\\n'
            echo 'test result: FAILED. 3 passed; 2 failed; 0 ignored'";
        run.command(Form::Libtest, &mut sh(script)).unwrap();
        assert_eq!(run.failed_tests().unwrap(), ["a::b", "c"]);
        run.unsteady("why");
        let (tally, _, notes) = run.finish();
        assert_eq!(tally, Tally { passed: 3, unsteady: 2, ..Tally::default() });
        assert_eq!(notes, ["UNSTEADY a::b: why", "UNSTEADY c: why"]);
    }

    #[test]
    fn a_failure_without_a_name_is_not_taken_for_unsteady() {
        let (_scratch, mut run) = run(Duration::from_secs(20));
        let _ =
            run.command(Form::Libtest, &mut sh("echo 'test result: FAILED. 0 passed; 1 failed; 0 ignored'"));
        assert_eq!(run.failed_tests(), None);
    }

    #[test]
    fn lines_count_from_both_streams() {
        let (_scratch, mut run) = run(Duration::from_secs(60));
        let error = run.command(Form::Lines, &mut sh("echo ok a; echo FAILED b: c >&2; exit 3")).unwrap_err();
        assert!(error.to_string().ends_with("exit status: 3"), "{error}");
        assert_eq!(run.finish().0, Tally { passed: 1, failed: 1, ..Tally::default() });
    }

    #[test]
    fn a_hanging_tree_is_killed() {
        // For the shell to say something.
        let (_scratch, mut run) = run(Duration::from_secs(3));
        let begin = Instant::now();
        let error = run.command(Form::Silent, &mut sh("echo here; sleep 600 & sleep 600; wait")).unwrap_err();
        assert!(error.to_string().ends_with("did not end in time"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(300));
        assert_eq!(run.finish().1.last().map(String::as_str), Some("here"));
    }
}
