//! What starts one of the two systems of a flash: on QEMU's ARM `virt`, from the first bank of its CFI flash, without
//! `-kernel` and without firmware.
//!
//! It decides nothing itself: which slot it is says `lunix_core::slots`. A try of a slot that is on trial is marked in the
//! flash before the slot is started, so that the device finds back by itself if nobody confirms it.
#![no_std]
#![no_main]

mod machine;

use core::fmt::Write as _;

use hmac_sha256::Hash;
use lunix_core::slots::environment::{Environment, Write};
use lunix_core::slots::image::Header;
use lunix_core::slots::{Area, Layout, Part, Slot, command_line, fdt};
use machine::Machine;

/// Of the 8 MiB at the beginning of the flash, or the 16.
const LAYOUT: Layout =
    if cfg!(feature = "flash-16m") { Layout::BLOCKS_256K.doubled() } else { Layout::BLOCKS_256K };

/// As the kernel calls the flash of the device tree.
const DEVICE: &str = "0.flash";

/// Starts a system, or says why none can be.
fn run(machine: &mut Machine) {
    let headers = Slot::BOTH.map(|slot| header(machine, slot));
    let boot = environment(machine).choose(headers.map(|header| header.map(|header| header.id())));
    for (number, slot) in boot.slots.into_iter().enumerate() {
        let Some((slot, header)) = slot.and_then(|slot| Some((slot, slot.of_pair(headers)?))) else {
            continue;
        };
        if !is_whole(machine, slot, &header) {
            say(machine, format_args!("slot {slot}, {}: damaged", header.version));
            continue;
        }
        let on_trial = boot.trial && number == 0;
        if let Some(mark) = boot.mark.filter(|_| on_trial) {
            write(machine, mark);
        }
        let trial = if on_trial { ", on trial" } else { "" };
        say(machine, format_args!("slot {slot}, {}{trial}", header.version));
        if let Err(error) = start(machine, slot, &header) {
            say(machine, format_args!("slot {slot}: {error}"));
        }
    }
    say(machine, format_args!("there is no system that can be started"));
}

fn say(machine: &mut Machine, line: core::fmt::Arguments<'_>) {
    // A console that fails is none.
    let _ = writeln!(machine, "loader: {line}\r");
}

fn environment(machine: &Machine) -> Environment {
    let area = LAYOUT.area(Part::Environment);
    let half = area.len / 2;
    let copy = |offset| machine.flash(Area { offset, len: half });
    Environment::decode(copy(area.offset), copy(area.offset.saturating_add(half)))
}

fn header(machine: &Machine, slot: Slot) -> Option<Header> {
    let header = Header::decode(machine.flash(LAYOUT.area(Part::Slot(slot)))).ok()?;
    (header.len <= LAYOUT.slot).then_some(header)
}

fn is_whole(machine: &Machine, slot: Slot, header: &Header) -> bool {
    let offset = LAYOUT.area(Part::Slot(slot)).offset;
    header.pieces().all(|piece| {
        let bytes = machine.flash(Area { offset: offset.saturating_add(piece.offset), len: piece.len });
        Hash::hash(bytes) == piece.sha256.0
    })
}

fn write(machine: &mut Machine, mark: Write) {
    let area = LAYOUT.area(Part::Environment);
    let copy = if mark.copy == 1 { area.len / 2 } else { 0 };
    let mut at = area.offset.saturating_add(copy).saturating_add(mark.at);
    for word in mark.bytes().as_chunks().0 {
        machine.program(at, u32::from_le_bytes(*word));
        at = at.saturating_add(4);
    }
}

fn start(machine: &mut Machine, slot: Slot, header: &Header) -> Result<(), &'static str> {
    let mut line = [0; command_line::MAX];
    let line = command_line::encode(&LAYOUT, slot, header, DEVICE, &mut line)
        .map_err(|_| "the command line is too long")?;
    let (tree, room) = machine.device_trees().ok_or("QEMU left no device tree")?;
    fdt::with_bootargs(tree, line, room).map_err(|_| "QEMU's device tree cannot be read")?;
    let offset = LAYOUT.area(Part::Slot(slot)).offset.saturating_add(header.kernel.offset);
    machine.start(Area { offset, len: header.kernel.len }).ok_or("the kernel is too large")
}
