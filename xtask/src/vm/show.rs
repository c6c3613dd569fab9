//! `cargo xtask vm`: the machine for a person to watch and to play with.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::board::{Boot, Flash, Running};
use super::guest::{self, Programs, READY, Role};
use super::kernel::Kernel;
use super::lunix::{Guest, MEMORY};
use super::qemu::{Machine, Qemu, page_port};
use super::stick::{Layout, Stick};
use crate::image::board::Board;
use crate::paths::Scratch;
use crate::{compile, image, paths, setup, shell};

/// What the guest does for its spectator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Daemons, live events, and the seed's first example.
    Events,
    /// A prompt; the programs are there, none runs.
    Shell,
    /// Nothing of ours: what the kernel says.
    Uevents,
}

/// What the guest runs to show what happens: the seed's first example, and everything on the bus.
const SPECTATE: &str = "\
lunix sub hardware.usb.add | while read -r line; do lunix pub toast.in 'a USB stick was plugged in!'; done &
lunix watch &
";

/// A board that somebody wants to see.
pub struct Visit {
    /// Which.
    pub board: &'static Board,
    /// MiB.
    pub memory: u32,
    /// Root comes in without being asked.
    pub login: bool,
}

/// Boots a board from its flash and stays until the user has seen enough. A reboot is one: what the guest wrote to its
/// flash is there again, and the boot loader chooses the slot.
pub fn board(visit: &Visit) -> Result<()> {
    setup::need(setup::BOARDS)?;
    let image = image::build(visit.board)?;
    let scratch = Scratch::under(&paths::target())?;
    let flash = Flash::new(visit.board, &image.flash, &scratch)?;
    let stick = Stick::make(&scratch, 1, Layout::Partition)?;
    let page = visit.board.web.then(page_port);
    let boot = Boot { board: visit.board, memory: visit.memory, append: "", page };
    let (sender, inputs) = mpsc::channel();
    listen(sender.clone());
    let raw = io::stdin().is_terminal().then(RawTerminal::enter).transpose()?;
    loop {
        let ended = sender.clone();
        let mut running = Running::start(&boot, &flash, &scratch, move |bytes| print(bytes, &ended))?;
        let slot = match running.slot {
            Some((slot, trial)) => format!(" from slot {slot}{}", if trial { ", on trial" } else { "" }),
            None => String::new(),
        };
        println!(
            "--- {} with {} MB{slot}. Its server is nats://127.0.0.1:{} on this machine.\r",
            visit.board.name, visit.memory, running.qemu.nats_port
        );
        if let Some(page) = page {
            println!("--- Its page is http://127.0.0.1:{page}/ as soon as it has started.\r");
        }
        println!("--- Ctrl-A s: stick in or out; Ctrl-A x: end; Ctrl-A Ctrl-A: Ctrl-A.\r");
        if visit.login {
            running.login_prompt()?;
            running.qemu.console.write_all(b"root\n").context("write to the guest's console")?;
        }
        type_along(&mut running.qemu, &stick, &inputs)?;
        if !running.qemu.rebooted() {
            drop(raw);
            // Whoever wants to keep it, finds it where the image is.
            fs::write(image.flash.with_extension("used"), flash.read()?)?;
            return Ok(());
        }
    }
}

/// Shows what the guest says, and passes on that it has ended.
fn print(bytes: &[u8], ended: &Sender<Input>) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
    if bytes.is_empty() {
        let _ = ended.send(Input::Ended);
    }
}

/// Boots Debian's kernel and stays until the user has seen enough. `web` is for [`Scene::Events`].
pub fn run(scene: Scene, web: bool) -> Result<()> {
    if web && scene != Scene::Events {
        bail!("vm debian --web: nothing is started that could serve a page; leave --shell or --web out");
    }
    setup::need(setup::VM)?;
    let (sender, inputs) = mpsc::channel();
    let ended = sender.clone();
    let print = move |bytes: &[u8]| print(bytes, &ended);
    if scene == Scene::Events {
        let page = web.then(page_port);
        let mut guest = Guest::boot("", SPECTATE, page, print)?;
        let stick = Stick::make(&guest.scratch, 1, Layout::Partition)?;
        let page = page.map_or(String::new(), |page| format!(" Its page is http://127.0.0.1:{page}/"));
        println!(
            "\n--- The guest's server is nats://127.0.0.1:{} on this machine.{page}\n\
             --- A USB stick goes in. Enter takes it out and in again; q and Enter, or Ctrl-C, ends it all.\n",
            guest.qemu.nats_port
        );
        return play(&mut guest.qemu, &stick, sender, &inputs);
    }
    let scratch = Scratch::new()?;
    let kernel = Kernel::fetch()?;
    let initramfs = scratch.path().join("initramfs");
    let (program, role) = match scene {
        Scene::Shell => (Some(compile::size()?), Role::Shell),
        _ => (None, Role::Uevents),
    };
    guest::write(&initramfs, &kernel, Programs { lunix: program.as_deref(), bridge: None }, &role)?;
    let image = kernel.image();
    let machine = Machine {
        kernel: &image,
        initramfs: &initramfs,
        append: "quiet",
        parts: &[],
        memory: MEMORY,
        page: None,
    };
    let mut qemu = Qemu::start(&machine, print)?;
    let stick = Stick::make(&scratch, 1, Layout::Partition)?;
    qemu.log.wait(Duration::from_secs(60), |line| line.contains(READY))?;
    if scene == Scene::Uevents {
        println!(
            "--- A USB stick goes in. Enter takes it out and in again; q and Enter, or Ctrl-C, ends it."
        );
        return play(&mut qemu, &stick, sender, &inputs);
    }
    println!("--- Ctrl-A s: stick in or out; Ctrl-A x: end; Ctrl-A Ctrl-A: Ctrl-A.\r");
    let _raw = io::stdin().is_terminal().then(RawTerminal::enter).transpose()?;
    listen(sender);
    type_along(&mut qemu, &stick, &inputs)
}

enum Input {
    /// Something was typed.
    Typed(Vec<u8>),
    /// Nothing will be typed any more.
    Closed,
    /// The machine is off.
    Ended,
}

/// Passes on what is typed, from a thread that ends with the process.
fn listen(sender: Sender<Input>) {
    thread::spawn(move || {
        let mut chunk = [0; 256];
        loop {
            let input = match io::stdin().lock().read(&mut chunk) {
                Ok(0) | Err(_) => Input::Closed,
                Ok(read) => Input::Typed(chunk[..read].to_vec()),
            };
            let last = matches!(input, Input::Closed);
            if sender.send(input).is_err() || last {
                return;
            }
        }
    });
}

/// Puts the stick in, and in and out again with every line.
fn play(qemu: &mut Qemu, stick: &Stick, sender: Sender<Input>, inputs: &Receiver<Input>) -> Result<()> {
    stick.plug(&mut qemu.qmp)?;
    let mut inside = true;
    listen(sender);
    loop {
        match inputs.recv()? {
            Input::Ended | Input::Closed => return Ok(()),
            Input::Typed(text) if text.starts_with(b"q") => return Ok(()),
            Input::Typed(_) if inside => stick.unplug(&mut qemu.qmp)?,
            Input::Typed(_) => stick.plug(&mut qemu.qmp)?,
        }
        inside = !inside;
    }
}

/// The terminal becomes the guest's.
fn type_along(qemu: &mut Qemu, stick: &Stick, inputs: &Receiver<Input>) -> Result<()> {
    const CTRL_A: u8 = 1;
    let mut inside = false;
    let mut escape = false;
    loop {
        let text = match inputs.recv()? {
            Input::Ended => return Ok(()),
            // What was piped in is worked off by the guest, which ends by itself at `exit`.
            Input::Closed => continue,
            Input::Typed(text) => text,
        };
        for byte in text {
            match (std::mem::take(&mut escape), byte) {
                (false, CTRL_A) => escape = true,
                (true, b'x') => return Ok(()),
                (true, b's') => {
                    if inside {
                        stick.unplug(&mut qemu.qmp)?;
                    } else {
                        stick.plug(&mut qemu.qmp)?;
                    }
                    inside = !inside;
                }
                _ => qemu.console.write_all(&[byte]).context("write to the guest's console")?,
            }
        }
    }
}

/// A terminal that hands every key over as it comes, until dropped.
struct RawTerminal(String);

impl RawTerminal {
    fn enter() -> Result<Self> {
        let stty = |argument: &str| {
            let mut command = Command::new("stty");
            command.args(argument.split(' ')).stdin(Stdio::inherit());
            command
        };
        let before = stty("-g").output().context("start stty")?;
        if !before.status.success() {
            bail!("stty does not know this terminal");
        }
        shell::run(&mut stty("raw -echo"))?;
        Ok(Self(String::from_utf8_lossy(&before.stdout).trim().to_owned()))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = Command::new("stty").arg(&self.0).status();
    }
}
