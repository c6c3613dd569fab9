//! The power is cut at every operation of a flash, and in it: there is always a system that starts, and the upgrade always
//! ends well in the end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

#[expect(unreachable_pub, reason = "fuzzing has it as well")]
mod nor;

use std::cell::RefCell;
use std::collections::HashSet;

use lunix_core::slots::Slot;
use lunix_core::slots::environment::{Mark, Standing};
use lunix_core::slots::upgrade::Refusal;
use nor::{Cut, Device, Fuel, Image, Started};

/// How a single operation can be cut short, see `nor`.
const VARIANTS: u32 = 4;

/// Neighbours among the first cuts get second ones far from each other: a prime, about the golden section of all of them.
const SPREAD: u32 = 383;

/// What is done with a device, over several starts.
#[derive(Clone, Copy, Debug)]
enum Story {
    /// The new system is confirmed.
    Confirmed,
    /// It never is.
    Silent,
    /// It is confirmed, and given up later.
    RolledBack,
}

struct Stage {
    old: Image,
    new: Image,
    story: Story,
}

impl Stage {
    /// From wherever the device is by now to the end of the story. Done again after each cut.
    fn play(&self, device: &mut Device) -> Result<(), Cut> {
        // Two rounds are enough: one may end with a try that was wasted.
        for _ in 0..2 {
            let started = self.start(device)?;
            if started.image == self.old.id() {
                let given_up = match self.story {
                    Story::Confirmed => false,
                    Story::Silent => device.standing() == Standing::Failed,
                    Story::RolledBack => device.standing() == Standing::Refused,
                };
                if given_up {
                    return Ok(());
                }
                assert_eq!(device.upgrade(started, &self.new, 1)?, Ok(()));
                let trial = self.start(device)?;
                assert_eq!((trial.image, trial.trial), (self.new.id(), true));
                return self.try_out(device, trial);
            }
            if started.trial || matches!(self.story, Story::RolledBack) {
                return self.try_out(device, started);
            }
            if matches!(self.story, Story::Confirmed) {
                return Ok(());
            }
        }
        panic!("it does not end");
    }

    fn try_out(&self, device: &mut Device, trial: Started) -> Result<(), Cut> {
        if trial.trial {
            // What is known to be good is not written as long as something else is on trial.
            assert_eq!(device.upgrade(trial, &self.old, 1)?, Err(Refusal::OnTrial));
        }
        match self.story {
            Story::Confirmed => {
                device.mark(Mark::Confirmed)?;
                assert_eq!(self.start(device)?, Started { trial: false, ..trial });
            }
            Story::Silent => {
                let back = self.start(device)?;
                assert_eq!((back.image, back.trial), (self.old.id(), false));
                assert_eq!(device.standing(), Standing::Failed);
            }
            Story::RolledBack => {
                device.mark(Mark::Confirmed)?;
                let confirmed = self.start(device)?;
                assert_eq!(confirmed, Started { trial: false, ..trial });
                device.mark(Mark::Refused)?;
                // Nor is it what one that was given up, and still runs, would go back to.
                assert_eq!(device.upgrade(confirmed, &self.new, 1)?, Err(Refusal::OnTrial));
                let back = self.start(device)?;
                assert_eq!((back.slot, back.image), (trial.slot.other(), self.old.id()));
            }
        }
        Ok(())
    }

    /// The boot loader starts one of the two, and the new one only on trial until it was confirmed.
    fn start(&self, device: &mut Device) -> Result<Started, Cut> {
        let started = device.start()?;
        assert!(device.is_whole(started.slot));
        assert!([self.old.id(), self.new.id()].contains(&started.image));
        if started.image == self.new.id() && !started.trial {
            assert_eq!(device.standing(), Standing::Confirmed);
        }
        Ok(started)
    }
}

/// The cuts of the story from `begin` on, or only the one that `pick` makes of how many there are: how many were made, and the
/// flashes that they left.
fn cut(
    stage: &Stage,
    begin: &Device,
    pick: Option<&dyn Fn(u32) -> u32>,
    mut each: impl FnMut(Device),
) -> u32 {
    let mut whole = Device { operations: 0, fuel: None, ..begin.clone() };
    stage.play(&mut whole).unwrap();
    let all = whole.operations * VARIANTS;
    let picked = match pick {
        Some(pick) if all > 0 => pick(all)..pick(all) + 1,
        _ => 0..all,
    };
    let mut cuts = 0;
    for number in picked {
        let (operations, variant) = (number / VARIANTS, number % VARIANTS);
        let mut device = Device { fuel: Some(Fuel { operations, variant }), ..begin.clone() };
        assert_eq!(stage.play(&mut device), Err(Cut), "the same operations, every time");
        device.fuel = None;
        cuts += 1;
        each(device);
    }
    cuts
}

/// Devices as they may be when the upgrade begins.
fn beginnings(old: &Image) -> Vec<(&'static str, Device)> {
    let mut full = Device::new(old, true);
    // The environment is written to its end, so the upgrade has to erase the other copy.
    for _ in 0..127 {
        let record = full.environment().settled(Slot::A, old.id());
        full.record(record);
    }
    vec![
        ("a new device", Device::new(old, false)),
        ("a device that was settled", Device::new(old, true)),
        ("an environment that is full", full),
    ]
}

/// A cut at every operation, and another one while it is made good.
fn cut_twice(story: Story) {
    // All second cuts are millions, which take minutes; else there is one after each first one, spread evenly over all pairs.
    let all = std::env::var_os("LUNIX_SLOTS_ALL").is_some();
    let (old, new) = (Image::new(1), Image::new(2));
    let stage = Stage { old: old.clone(), new, story };
    for (name, begin) in beginnings(&old) {
        let (mut seen, mut seconds) = (HashSet::new(), 0);
        let tried = RefCell::new(HashSet::new());
        let firsts = cut(&stage, &begin, None, |device| {
            let mut again = device.clone();
            stage.play(&mut again).unwrap();
            // What two cuts left alike is followed once.
            if seen.insert(device.nor.clone()) {
                let number = u32::try_from(seen.len()).unwrap();
                let one = |count| {
                    let one = number * SPREAD % count;
                    tried.borrow_mut().insert(one);
                    one
                };
                let pick: Option<&dyn Fn(u32) -> u32> = if all { None } else { Some(&one) };
                seconds += cut(&stage, &device, pick, |mut device| stage.play(&mut device).unwrap());
            }
        });
        let (flashes, tried) = (seen.len(), tried.into_inner().len());
        println!("{name}, {story:?}: {firsts} cuts, {flashes} flashes, {seconds} second cuts");
        // One each, unless nothing is left to be done, and among them nearly every one that there is.
        assert!(firsts >= 600 && seconds as usize + 5 >= flashes, "{firsts} cuts, {seconds} second cuts");
        assert!(all || tried * 10 >= flashes * 9, "{tried} different second cuts");
    }
}

#[test]
fn power_cuts_of_an_upgrade_that_is_confirmed() {
    cut_twice(Story::Confirmed);
}

#[test]
fn power_cuts_of_an_upgrade_that_says_nothing() {
    cut_twice(Story::Silent);
}

#[test]
fn power_cuts_of_an_upgrade_that_is_rolled_back() {
    cut_twice(Story::RolledBack);
}
