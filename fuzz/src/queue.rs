//! The queue of events against a model that remembers everything.

use std::collections::BTreeMap;

use lunix_core::device::queue::{EventId, Pushed, Queue, QueueError, Slot};
use lunix_uevent::Builder;

const PATHS: [&str; 8] = [
    "/devices/a",
    "/devices/a/b",
    "/devices/a/b/c",
    "/devices/ab",
    "/devices/x/c",
    "/devices/y",
    "/devices/y/z",
    "/devices/y-z",
];
const ACTIONS: [&str; 4] = ["add", "remove", "change", "move"];

/// An event of the model.
#[derive(Clone, Debug)]
struct Event {
    message: Vec<u8>,
    paths: Vec<&'static str>,
    node: Option<u8>,
    seqnum: u64,
    begun: bool,
}

impl Event {
    /// What must not be handled at the same time. The queue may keep apart more than that, but these it has to.
    fn is_related(&self, other: &Self) -> bool {
        let below = |one: &str, two: &str| {
            one.strip_prefix(two).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let meet =
            self.paths.iter().any(|one| other.paths.iter().any(|two| below(one, two) || below(two, one)));
        // Both of two former paths are left already.
        let only_old = self.paths.len() > 1 && other.paths.len() > 1;
        (meet && !only_old) || (self.node.is_some() && self.node == other.node)
    }
}

/// Operations: push, begin, done.
pub fn device_queue(data: &[u8]) {
    let (mut slots, mut bytes) = ([Slot::EMPTY; 6], [0; 640]);
    let mut queue = Queue::new(&mut slots, &mut bytes);
    let mut model: BTreeMap<usize, Event> = BTreeMap::new();
    let mut running: Vec<(EventId, usize)> = Vec::new();
    let mut arrivals = 0;
    for op in data.chunks_exact(4) {
        let &[kind, path, what, seqnum] = op else { unreachable!() };
        match kind % 4 {
            0 | 1 => {
                let event = event(path, what, u64::from(seqnum));
                arrivals += 1;
                match queue.push(&event.message) {
                    Ok(Pushed::Waits) => drop(model.insert(arrivals, event)),
                    Ok(Pushed::Merged) => {
                        let same = |other: &&Event| !other.begun && other.paths[0] == event.paths[0];
                        assert!(model.values().any(|other| same(&other)), "merged with nothing");
                    }
                    Err(QueueError::Full) => assert!(!model.is_empty(), "full of nothing"),
                    Err(QueueError::Malformed) => unreachable!(),
                }
            }
            2 => {
                if let Some(id) = queue.begin() {
                    begin(&queue, id, &mut model, &mut running);
                }
            }
            _ if !running.is_empty() => {
                let (id, arrival) = running.remove(usize::from(what) % running.len());
                assert!(queue.done(id) && !queue.done(id));
                model.remove(&arrival);
            }
            _ => {}
        }
        assert_eq!(queue.len(), model.len());
    }
    // Whatever waits, its turn comes.
    while !model.is_empty() {
        while let Some(id) = queue.begin() {
            begin(&queue, id, &mut model, &mut running);
        }
        let (id, arrival) = running.pop().expect("something can always begin");
        assert!(queue.done(id));
        model.remove(&arrival);
    }
    assert!(queue.is_empty());
}

fn begin(
    queue: &Queue<'_>,
    id: EventId,
    model: &mut BTreeMap<usize, Event>,
    running: &mut Vec<(EventId, usize)>,
) {
    let message = queue.message(id);
    // Of the same message several times, the first one begins.
    let found = model.iter().find(|(_, event)| !event.begun && event.message == message);
    let (&arrival, event) = found.expect("it was pushed");
    let event = event.clone();
    for (other_arrival, other) in model.iter().filter(|(other, _)| **other != arrival) {
        let before = (other.seqnum, *other_arrival) < (event.seqnum, arrival);
        assert!(!event.is_related(other) || (!other.begun && !before), "{event:?} beside {other:?}");
    }
    model.get_mut(&arrival).expect("it is there").begun = true;
    running.push((id, arrival));
}

fn event(path: u8, what: u8, seqnum: u64) -> Event {
    let action = ACTIONS[usize::from(what) % ACTIONS.len()];
    let mut paths = vec![PATHS[usize::from(path) % PATHS.len()]];
    let node = (what & 0x30 == 0x30).then_some(what >> 6);
    let mut message = vec![0; 512];
    let seqnum_text = seqnum.to_string();
    let mut builder =
        Builder::new(&mut message, action.as_bytes(), paths[0].as_bytes()).var("SUBSYSTEM", "s");
    if action == "move" {
        paths.push(PATHS[usize::from(path / 8) % PATHS.len()]);
        builder = builder.var("DEVPATH_OLD", paths[1]);
    }
    if let Some(node) = node {
        builder = builder.var("DEVNAME", node.to_string());
    }
    let len = builder.var("SEQNUM", seqnum_text).finish().expect("room");
    message.truncate(len);
    Event { message, paths, node, seqnum, begun: false }
}
