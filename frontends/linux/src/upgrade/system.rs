//! The device as it stands: its flash, what is in the slots, and which of them runs.

use std::fs;
use std::path::Path;

use lunix_core::slots::environment::{Environment, Standing};
use lunix_core::slots::image::Header;
use lunix_core::slots::{Layout, Part, Slot};

use super::Failure;
use super::flash::Flash;
use super::source;
use crate::cli::Matches;

/// What the boot loader said to the kernel.
const COMMAND_LINE: &str = "/proc/cmdline";

/// A device.
#[derive(Debug)]
pub(super) struct System {
    pub(super) flash: Flash,
    pub(super) board: String,
    pub(super) environment: Environment,
    /// What is in the slots, if their headers are whole.
    pub(super) headers: [Option<Header>; 2],
    /// The slot that runs; `None` only for a file with nothing in it.
    pub(super) running: Option<Slot>,
}

impl System {
    /// The machine, or the file that `--flash` names.
    ///
    /// # Errors
    /// There is no such flash, or it cannot be read.
    pub(super) fn open(matches: &Matches, write: bool) -> Result<Self, Failure> {
        let given = matches.text("slot")?.and_then(Slot::of);
        let (flash, board, running) = match matches.path("flash") {
            Some(path) => {
                let board = matches.text("board")?;
                let board = board.ok_or_else(|| matches.error("--board is missing, which --flash needs"))?;
                let layout = Layout::of_board(board)
                    .ok_or_else(|| matches.wrong("board", "x86_64 or arm-virt", board))?;
                let flash = Flash::of_file(path, layout, write).map_err(Failure::new)?;
                (flash, board.to_owned(), given)
            }
            None => {
                if given.is_some() {
                    return Err(matches.error("--slot is for --flash; this machine knows what runs").into());
                }
                let flash = Flash::of_machine(write).map_err(Failure::new)?;
                let (board, slot) = started(Path::new(COMMAND_LINE)).map_err(Failure::new)?;
                (flash, board, Some(slot))
            }
        };
        let environment = flash.environment().map_err(Failure::new)?;
        let mut headers = [None; 2];
        for (header, slot) in headers.iter_mut().zip(Slot::BOTH) {
            *header = flash.header(slot).map_err(Failure::new)?;
        }
        let running = running.or_else(|| headers.iter().any(Option::is_some).then(|| environment.good()));
        Ok(Self { flash, board, environment, headers, running })
    }

    /// The header of a slot.
    pub(super) fn header(&self, slot: Slot) -> Option<Header> {
        slot.of_pair(self.headers)
    }

    /// Whether a slot has an image whose parts have their hashes.
    pub(super) fn is_whole(&self, slot: Slot) -> bool {
        self.header(slot).is_some_and(|header| {
            header.pieces().all(|piece| {
                source::hash(&piece, |at, out| self.flash.read(Part::Slot(slot), at, out))
                    .is_ok_and(|hash| hash == piece.sha256.0)
            })
        })
    }

    /// Whether the system that runs is on trial.
    pub(super) fn is_on_trial(&self) -> bool {
        self.environment.record().is_some_and(|record| self.running == Some(record.good.other()))
            && matches!(self.environment.standing(), Standing::Trial(_) | Standing::Failed)
    }

    /// The slot that is started next, and whether on trial.
    pub(super) fn next(&self) -> (Option<Slot>, bool) {
        let boot = self.environment.choose(self.headers.map(|header| header.map(|header| header.id())));
        let first = boot.slots.into_iter().flatten().find(|slot| self.is_whole(*slot));
        (first, boot.trial && first == boot.slots.into_iter().flatten().next())
    }
}

/// The board and the slot on the kernel's command line.
fn started(path: &Path) -> Result<(String, Slot), String> {
    let line = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let word = |key: &str| line.split_ascii_whitespace().rev().find_map(|word| word.strip_prefix(key));
    let board = word("lunix.board=").ok_or_else(|| format!("{}: lunix.board= is missing", path.display()))?;
    let slot = word("lunix.slot=").and_then(Slot::of);
    let slot = slot.ok_or_else(|| format!("{}: expected lunix.slot=a or b", path.display()))?;
    Ok((board.to_owned(), slot))
}
