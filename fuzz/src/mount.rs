//! Volumes: the machine with a kernel that does what it is told, or does not; and names of folders.

use std::collections::HashMap;

use lunix_core::mount::name::{MAX_NAME, Name};
use lunix_core::mount::{Action, Errno, Facts, Input, Limits, State, Told, VolumeId, Volumes, Wish};
use lunix_core::time::{Duration, Instant};

const ROOM: usize = 3;
const NODES: [&[u8]; 5] = [b"/dev/a", b"/dev/b", b"/dev/c", b"/dev/d", b""];

/// What the kernel knows, and what it has not answered yet.
#[derive(Default)]
struct Kernel {
    mounted: HashMap<VolumeId, bool>,
    asked: Vec<(VolumeId, Action)>,
}

impl Kernel {
    fn is_mounted(&self, id: VolumeId) -> bool {
        self.mounted.get(&id).copied().unwrap_or(false)
    }

    fn is_asked(&self, id: VolumeId) -> bool {
        self.asked.iter().any(|(other, _)| *other == id)
    }

    fn drain(&mut self, volumes: &mut Volumes<ROOM>, most: usize) {
        let mut actions = 0;
        while let Some(action) = volumes.poll() {
            actions += 1;
            match action {
                Action::Mount(id) => {
                    assert!(!self.is_asked(id) && !self.is_mounted(id));
                    volumes.place(id, b"/media/x").unwrap();
                    self.asked.push((id, action));
                }
                Action::Unmount(id) | Action::Detach(id) => {
                    assert!(!self.is_asked(id) && self.is_mounted(id));
                    self.asked.push((id, action));
                }
                Action::Abandon(id) => assert!(self.is_asked(id)),
                Action::Say(id, told) => {
                    assert!(volumes.get(id).is_some());
                    match told {
                        Told::Mounted | Told::Again => assert!(self.is_mounted(id)),
                        Told::Unmounted | Told::NotMounted(_) => assert!(!self.is_mounted(id)),
                        Told::NotUnmounted(_) => assert!(self.is_mounted(id)),
                    }
                }
            }
        }
        assert!(actions <= most, "{actions} actions");
        for (id, volume) in volumes.iter() {
            let asked = self.asked.iter().find(|(other, _)| *other == id).map(|(_, action)| *action);
            match volume.state {
                State::Present | State::Theirs => assert!(asked.is_none() && !self.is_mounted(id)),
                State::Mounted => assert!(asked.is_none() && self.is_mounted(id)),
                State::Mounting => assert!(matches!(asked, Some(Action::Mount(_)))),
                State::Unmounting => assert!(matches!(asked, Some(Action::Unmount(_) | Action::Detach(_)))),
            }
        }
    }

    /// Answers the oldest question.
    fn answer(&mut self, now: Instant, volumes: &mut Volumes<ROOM>, well: bool) {
        if self.asked.is_empty() {
            return;
        }
        let (id, action) = self.asked.remove(0);
        if well {
            self.mounted.insert(id, matches!(action, Action::Mount(_)));
        }
        let input = if well { Input::Done(id) } else { Input::Failed(id, Errno(5)) };
        assert_eq!(volumes.handle(now, input), Ok(id));
        self.drain(volumes, 2);
    }
}

/// Operations of three bytes: what, of which volume, how.
pub fn ops(data: &[u8]) {
    let mut volumes: Volumes<ROOM> = Volumes::new(Limits { time: Duration::from_millis(10) });
    let mut kernel = Kernel::default();
    let mut now = Instant::from_micros(1);
    for op in data.chunks_exact(3) {
        let &[kind, which, how] = op else { unreachable!() };
        let devnode = NODES[usize::from(which) % NODES.len()];
        let id = volumes.find(devnode);
        let mut most = 2;
        match kind % 9 {
            0 => {
                let label: &[u8] = if how & 4 == 0 { b"A" } else { b"B" };
                let facts = Facts { devnode, fstype: b"ext4", label, uuid: b"" };
                let wish = [Wish::Mount, Wish::Leave, Wish::Ours(b"/media/o"), Wish::Theirs(b"/t")]
                    [usize::from(how % 4)];
                let before = id.and_then(|id| volumes.get(id)).map(|volume| volume.state);
                if let Ok(id) = volumes.handle(now, Input::Present(facts, wish))
                    && matches!(before, None | Some(State::Present | State::Theirs))
                {
                    kernel.mounted.insert(id, matches!(wish, Wish::Ours(_)));
                }
            }
            1 => drop(volumes.handle(now, Input::Gone(devnode))),
            2 => drop(volumes.handle(now, Input::Mount(devnode))),
            3 => drop(volumes.handle(now, Input::Unmount(devnode))),
            4 => kernel.answer(now, &mut volumes, true),
            5 => kernel.answer(now, &mut volumes, false),
            6 => {
                if let Some(id) = id {
                    let lost = volumes.handle(now, Input::Lost(id)).is_ok();
                    if lost {
                        kernel.mounted.insert(id, false);
                    }
                }
            }
            7 => {
                if let Some(id) = id {
                    let _ = volumes.handle(now, Input::Taken(id, b"/t"));
                }
            }
            _ => {
                now = now + Duration::from_millis(u64::from(how));
                most *= ROOM;
                let input = if which % 2 == 0 { Input::Tick } else { Input::Announce };
                assert!(volumes.handle(now, input).is_ok());
                if which % 2 == 0 {
                    assert!(volumes.next_deadline().is_none_or(|deadline| deadline > now));
                }
            }
        }
        kernel.drain(&mut volumes, most);
    }
    // When all is gone and answered, nothing is left.
    for devnode in NODES {
        let _ = volumes.handle(now, Input::Gone(devnode));
        kernel.drain(&mut volumes, 2);
    }
    while !kernel.asked.is_empty() {
        kernel.answer(now, &mut volumes, true);
    }
    let left: Vec<VolumeId> = volumes.iter().map(|(id, _)| id).collect();
    for id in left {
        kernel.mounted.insert(id, false);
        volumes.handle(now, Input::Lost(id)).unwrap();
        kernel.drain(&mut volumes, 2);
    }
    assert_eq!(volumes.iter().count(), 0);
    assert_eq!(volumes.next_deadline(), None);
}

/// A number (2 bytes), then a label: whatever it is, it is the name of one folder.
pub fn name(data: &[u8]) {
    let (number, label) = data.split_at(data.len().min(2));
    let number = number.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
    let name = Name::new(&[label, b"sda1"]).numbered(number);
    let name = name.as_str();
    assert!(!name.is_empty() && name.len() <= MAX_NAME);
    assert!(!name.contains('/') && !name.starts_with(['.', '-']) && !name.chars().any(char::is_control));
    assert_eq!(name.trim(), name);
}
