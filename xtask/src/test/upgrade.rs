//! A board that is upgraded over the network: a system that works is kept, one that does not start, or does not get well, is not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::gate::Run;
use super::image::ready_boards;
use super::offer::offer;
use crate::image::{self, Image, flash};
use crate::paths::{Scratch, target};
use crate::shell;
use crate::vm::board::{Boot, Flash, Running};

/// MiB.
const MEMORY: u32 = 64;

/// Until a system on trial is healthy and confirmed, or has given up, on an emulated processor.
const TRIAL: Duration = Duration::from_secs(240);

/// Services of a system that cannot become healthy, as one of them does not do what it should.
const ILL: &str = "\
mkdir /data/services && cd /data/services && cp /etc/lunix/services/nats*.toml . && \
sed 's/\"--watch-trial\"/\"--watch-trial\", \"--within\", \"8s\"/' /etc/lunix/services/trial.toml > trial.toml && \
echo 'type = \"oneshot\"' > ill.toml && echo 'command = [\"false\"]' >> ill.toml && cd && sync";

pub(super) fn check(run: &mut Run) -> Result<()> {
    for board in ready_boards(run, "upgrade") {
        let image = image::build(board)?;
        if let Err(e) = upgrade(run, &image) {
            run.fail(board.name, &format!("{e:#}"));
        }
    }
    Ok(())
}

/// Boots `image`, and puts a newer one over it, then one that cannot start, and one that is never healthy.
fn upgrade(run: &mut Run, image: &Image) -> Result<()> {
    let scratch = Scratch::under(&target())?;
    let mut machine = Machine::new(image, &scratch)?;
    run.write(&machine.running.run("lunix upgrade --status")?.join("\n"));

    let newer = machine.image(image, "999.0.1", &image.root, image.board.options)?;
    let (plan, took) = machine.apply(&newer)?;
    plan.iter().for_each(|line| run.write(line));
    run.note(&format!("{}: an upgrade is fetched, checked and written in {:.1} s", image.board.name, took));
    machine.restart()?;
    ensure!(machine.slot()? == "b", "the new system was not tried");
    machine.confirmed()?;
    machine.restart()?;
    ensure!(machine.slot()? == "b", "the new system was confirmed, and is not started any more");
    run.pass(&format!("{}: a newer system is tried, confirmed and kept", image.board.name));

    let empty = scratch.path().join("empty");
    fs::write(&empty, vec![0; 64 << 10])?;
    let broken = machine.image(image, "999.0.2", &empty, image.board.options)?;
    machine.apply(&broken)?;
    machine.switch_on()?;
    machine.running.qemu.log.wait(TRIAL, |line| line.contains("Kernel panic")).context("it did not fail")?;
    machine.restart()?;
    ensure!(machine.slot()? == "b", "the system before did not come back");
    let status = machine.running.run("lunix upgrade --status")?;
    status.iter().for_each(|line| run.write(line));
    ensure!(
        status.iter().any(|line| line.contains("999.0.2") && line.contains("not confirmed")),
        "{status:?}"
    );
    run.pass(&format!("{}: the one before a system that does not start comes back", image.board.name));

    let options = format!("{} lunix.services=/data/services", image.board.options);
    let ill = machine.image(image, "999.0.3", &image.root, &options)?;
    machine.running.run(ILL)?;
    machine.apply(&ill)?;
    machine.switch_on()?;
    let begin = Instant::now();
    let reset = |data: &serde_json::Value| data["reason"] == "guest-reset";
    let why = |line: &str| line.contains("the system on trial was not healthy in time");
    let said = machine.running.qemu.log.wait(TRIAL, why);
    let last = machine.running.qemu.log.tail(30).join("\n");
    said.with_context(|| format!("it does not say why it restarts:\n{last}"))?;
    machine.running.qemu.qmp.wait_event("SHUTDOWN", TRIAL, reset).context("it did not restart")?;
    run.note(&format!(
        "{}: a system that may take 8 s to be healthy has restarted by itself after {:.1} s",
        image.board.name,
        begin.elapsed().as_secs_f64()
    ));
    machine.restart()?;
    ensure!(machine.slot()? == "b", "the system before did not come back");
    run.pass(&format!("{}: a system that does not get well restarts into the one before", image.board.name));
    Ok(())
}

struct Machine<'a> {
    boot: Boot<'a>,
    flash: Flash,
    running: Running,
    scratch: &'a Scratch,
    /// The words that make it take the images.
    trust: String,
    secret: Option<std::path::PathBuf>,
    maker: std::path::PathBuf,
}

impl<'a> Machine<'a> {
    fn new(image: &'a Image, scratch: &'a Scratch) -> Result<Self> {
        let boot = Boot { board: image.board, memory: MEMORY, append: "", page: None };
        let flash = Flash::new(image.board, &image.flash, scratch)?;
        let mut running = Running::start(&boot, &flash, scratch, |_| {})?;
        running.login()?;
        let mut machine = Self {
            boot,
            flash,
            running,
            scratch,
            trust: "--force-unsigned".to_owned(),
            secret: None,
            maker: image.made.programs.lunix.clone(),
        };
        // Only a program of this machine's own kind can sign here.
        if image.board.cross.is_empty() {
            let secret = scratch.path().join("secret");
            let public = shell::read(machine.lunix().arg("--new-key").arg(&secret))?;
            let public = public.lines().last().unwrap_or_default().to_owned();
            machine.secret = Some(secret);
            machine.trust = "--keys /data/keys".to_owned();
            machine.running.run(&format!("echo '{public}' > /data/keys && sync"))?;
        }
        Ok(machine)
    }

    fn lunix(&self) -> Command {
        let mut command = Command::new(&self.maker);
        command.arg("upgrade");
        command
    }

    /// A signed image of the same kernel with this version, root and options.
    fn image(&self, image: &Image, version: &str, root: &Path, options: &str) -> Result<Vec<u8>> {
        let manifest = image.root.with_file_name("manifest");
        let parts = flash::Parts { options, kernel: &image.made.kernel, root, manifest: &manifest };
        let bytes = flash::slot(image.board, version, &parts)?;
        let Some(secret) = &self.secret else { return Ok(bytes) };
        let file = self.scratch.path().join("image");
        fs::write(&file, bytes)?;
        shell::run(self.lunix().arg("--sign").arg(secret).arg(&file))?;
        Ok(fs::read(&file)?)
    }

    /// Fetches and writes `image`; what the plan says, and the seconds that it took.
    fn apply(&mut self, image: &[u8]) -> Result<(Vec<String>, f64)> {
        let address = offer(image.to_vec())?;
        let trust = &self.trust;
        let plan = self.running.run(&format!("lunix upgrade {address} --plan {trust}"))?;
        let begin = Instant::now();
        self.running.run(&format!("lunix upgrade {address} --apply {trust}"))?;
        Ok((plan, begin.elapsed().as_secs_f64()))
    }

    fn switch_on(&mut self) -> Result<()> {
        self.running.cut(&self.boot, &self.flash, self.scratch)
    }

    fn restart(&mut self) -> Result<()> {
        self.switch_on()?;
        self.running.login()
    }

    /// Which one runs.
    fn slot(&mut self) -> Result<String> {
        let said = self.running.run("tr ' ' '\\n' < /proc/cmdline | sed -n 's/^lunix.slot=//p'")?;
        said.into_iter().find(|line| matches!(line.as_str(), "a" | "b")).context("no lunix.slot")
    }

    /// Waits until the system on trial is confirmed.
    fn confirmed(&mut self) -> Result<()> {
        let deadline = Instant::now() + TRIAL;
        loop {
            let status = self.running.run("lunix upgrade --status")?;
            if status.iter().any(|line| line.contains("confirmed") && !line.contains("not confirmed")) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "it was not confirmed: {status:?}");
            thread::sleep(Duration::from_secs(1));
        }
    }
}
