//! A board in QEMU, booted from its own flash. Where the board's boot loader is not in the flash, this side does what it
//! would do: it chooses the slot, marks the try, and takes the kernel out of the flash.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lunix_core::slots::{Part, Slot};

use super::qemu::{Qemu, forward};
use crate::free_port::free_port;
use crate::image::board::Board;
use crate::image::flash;
use crate::nats;
use crate::paths::Scratch;

/// What is started.
pub struct Boot<'a> {
    /// Which board.
    pub board: &'static Board,
    /// MiB.
    pub memory: u32,
    /// Added to the kernel's command line.
    pub append: &'a str,
    /// The port of 127.0.0.1 behind which the guest's page is.
    pub page: Option<u16>,
}

/// A flash that outlives the machine in which it is.
pub struct Flash {
    board: &'static Board,
    file: PathBuf,
}

/// Bytes of QEMU's bank of flash.
const BANK: u64 = 64 << 20;

impl Flash {
    /// A copy of `image` for a machine to write to.
    pub fn new(board: &'static Board, image: &Path, scratch: &Scratch) -> Result<Self> {
        let file = scratch.path().join(format!("{}.flash", board.name));
        fs::copy(image, &file).with_context(|| format!("copy {}", image.display()))?;
        if board.arch == "arm" {
            OpenOptions::new().write(true).open(&file)?.set_len(BANK)?;
        }
        Ok(Self { board, file })
    }

    /// What is in it.
    pub fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = fs::read(&self.file)?;
        bytes.truncate(usize::try_from(self.board.layout()?.len())?);
        Ok(bytes)
    }

    /// Whether the flash has a boot loader of its own.
    fn has_loader(&self) -> Result<bool> {
        let area = self.board.layout()?.area(Part::Loader);
        let bytes = self.read()?;
        let loader = bytes.get(usize::try_from(area.offset)?..usize::try_from(area.end())?);
        Ok(loader.is_some_and(|loader| loader.iter().any(|byte| *byte != 0xFF)))
    }
}

/// A running board.
pub struct Running {
    /// The machine.
    pub qemu: Qemu,
    /// Which slot runs, and whether on trial, if this side has chosen it.
    pub slot: Option<(Slot, bool)>,
    /// When it was switched on.
    pub begin: Instant,
    commands: u32,
}

/// From power-on to the prompt, on an emulated processor of a busy machine.
const LOGIN: Duration = Duration::from_secs(240);

/// For what a command may take.
const ANSWER: Duration = Duration::from_secs(120);

impl Running {
    /// Switches it on.
    pub fn start(
        boot: &Boot,
        flash: &Flash,
        scratch: &Scratch,
        watch: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<Self> {
        let nats_port = free_port();
        let network = format!("user,id=net{}", forward(nats_port, boot.page));
        let file = flash.file.display();
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        add(&["-m", &boot.memory.to_string(), "-device", "virtio-rng-pci"]);
        let arm = boot.board.arch == "arm";
        let own_loader = arm && flash.has_loader()?;
        let program = if arm {
            let unit = if own_loader { 0 } else { 1 };
            // Without large physical addresses the kernel reaches nothing above 4 GiB.
            add(&["-machine", "virt,highmem=off", "-cpu", "cortex-a15"]);
            add(&["-drive", &format!("if=pflash,unit={unit},format=raw,file={file}")]);
            add(&["-netdev", &network, "-device", "virtio-net-device,netdev=net"]);
            "qemu-system-arm"
        } else {
            add(&["-machine", "q35", "-cpu", "max"]);
            add(&["-drive", &format!("if=none,id=flash,format=raw,file={file}")]);
            add(&["-device", "virtio-blk-pci,drive=flash"]);
            add(&["-netdev", &network, "-device", "virtio-net-pci,netdev=net"]);
            "qemu-system-x86_64"
        };
        let mut slot = None;
        if !own_loader {
            let mut bytes = flash.read()?;
            let before = bytes.clone();
            let start = flash::start(boot.board, &mut bytes)?;
            if bytes != before {
                OpenOptions::new().write(true).open(&flash.file)?.write_all(&bytes)?;
            }
            let kernel = scratch.path().join("kernel");
            fs::write(&kernel, &start.kernel)?;
            // QEMU starts a kernel by itself only from the second bank on. On a busy host its timer's first ticks may come too
            // late for the check that a PC's kernel makes.
            let line = if arm { moved(&start.command_line) } else { start.command_line + " no_timer_check" };
            add(&["-kernel", &kernel.display().to_string(), "-append", &format!("{line} {}", boot.append)]);
            slot = Some((start.slot, start.trial));
        }
        let begin = Instant::now();
        let qemu = Qemu::launch(program, &arguments, nats_port, watch)?;
        Ok(Self { qemu, slot, begin, commands: 0 })
    }

    /// Cuts the power and switches it on again.
    pub fn cut(&mut self, boot: &Boot, flash: &Flash, scratch: &Scratch) -> Result<()> {
        // Two machines cannot have one flash.
        self.qemu.end();
        *self = Self::start(boot, flash, scratch, |_| {})?;
        Ok(())
    }

    /// Waits for the prompt of `login`.
    pub fn login_prompt(&self) -> Result<Duration> {
        self.qemu.log.prompt(LOGIN, |line| line.ends_with(" login: ")).with_context(|| self.console())?;
        Ok(self.begin.elapsed())
    }

    /// Comes in as root. What the console says by itself must not get in between afterwards.
    pub fn login(&mut self) -> Result<()> {
        self.login_prompt()?;
        self.qemu.console.write_all(b"root\n")?;
        // `login` throws away what is typed before.
        self.qemu.log.prompt(LOGIN, |line| line.contains(":/root# ")).with_context(|| self.console())?;
        self.run("stty -echo; dmesg -n 1").map(drop)
    }

    /// Runs a line in the guest's shell, and returns what it printed; fails if it did.
    pub fn run(&mut self, line: &str) -> Result<Vec<String>> {
        self.commands += 1;
        let (begin, end) = (format!("<{}>", self.commands), format!("</{}>", self.commands));
        let script = format!("echo '{begin}'; {line}; echo '{end}'$?\n");
        self.qemu.console.write_all(script.as_bytes()).context("write to the guest's console")?;
        let (said, status) = self
            .qemu
            .log
            .between(ANSWER, &begin, &end)
            .with_context(|| format!("`{line}`; {}", self.console()))?;
        if status != "0" {
            bail!("`{line}` ended with {status}: {}", said.join("\n"));
        }
        Ok(said)
    }

    /// A client of the guest's server.
    pub fn client(&self) -> Result<nats::Client> {
        nats::Client::connect(self.qemu.nats_port, ANSWER)
    }

    /// The last of what the guest wrote, for showing after a failure.
    pub fn console(&self) -> String {
        let lines = self.qemu.log.tail(60);
        lines.iter().fold("the guest's console:\n".to_owned(), |text, line| text + "  > " + line + "\n")
    }
}

/// The command line with all partitions one bank further on.
fn moved(line: &str) -> String {
    let mut words = line.split(' ').map(|word| {
        let Some(parts) = word.strip_prefix("mtdparts=") else { return word.to_owned() };
        let mut moved = String::from("mtdparts=");
        for (at, piece) in parts.split('@').enumerate() {
            if at == 0 {
                moved += piece;
                continue;
            }
            let digits = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
            let (number, rest) = piece.split_at(digits);
            let (unit, rest) = rest.strip_prefix('k').map_or((1, rest), |rest| (1024, rest));
            moved += &format!("@{}{rest}", number.parse::<u64>().unwrap_or_default() * unit + BANK);
        }
        moved
    });
    let first = words.next().unwrap_or_default();
    words.fold(first, |line, word| line + " " + &word)
}

#[cfg(test)]
mod tests {
    #[test]
    fn partitions_are_moved() {
        assert_eq!(
            super::moved("quiet mtdparts=0.flash:12k@780k(root)ro,256k@0(loader)ro root=/dev/mtdblock0"),
            "quiet mtdparts=0.flash:12k@67907584(root)ro,256k@67108864(loader)ro root=/dev/mtdblock0"
        );
    }
}
