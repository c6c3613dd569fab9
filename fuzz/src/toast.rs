//! Toasts: the machine against a naive model in virtual time, and what it reads and writes against serde_json.

use lunix_core::time::{Duration, Instant};
use lunix_core::toast::{
    Event, Input, Offer, Reason, Refusal, Request, Stage, Timeouts, Toast, Toasts, Urgency, Why, decode,
    encode,
};
use serde_json::Value;

const SHOWN: usize = 3;
const WAITING: usize = 3;
const HISTORY: usize = 4;

type Machine = Toasts<SHOWN, WAITING, HISTORY, 128>;

/// Operations of six bytes: kind, id, urgency and whether it stays and is remembered, time-out, time that passes (2).
pub fn ops(data: &[u8]) {
    let mut machine = Machine::new(Timeouts::STANDARD);
    let mut model = Model::default();
    for op in data.chunks_exact(6) {
        let &[kind, id, urgency, timeout, hours, millis] = op else { unreachable!() };
        let step = match hours {
            // Exactly to the next deadline.
            255 => model.next_deadline().map_or(0, |deadline| deadline.saturating_sub(model.now)),
            _ => u64::from(hours / 8) * 1_000 + u64::from(millis),
        };
        model.now += step;
        let now = Instant::from_micros(model.now * 1_000);
        let id = u32::from(id % 12);
        let more = urgency / 3;
        let urgency = [Urgency::Low, Urgency::Normal, Urgency::Critical][usize::from(urgency % 3)];
        let timeout_ms = [None, Some(0), Some(u32::from(timeout) * 20)][usize::from(timeout % 3)];
        let summary = if kind == 255 { String::new() } else { format!("toast {kind}") };
        let (resident, transient) = (more & 1 != 0, more & 2 != 0);
        let mut request = Request { urgency, timeout_ms, resident, transient, ..Request::new(&summary) };
        request.actions[0] = (kind % 2 == 0).then_some(Offer { id: "go".into(), label: "".into() });
        let (input, result) = match kind % 8 {
            0 | 1 => (Input::Toast(&request), model.accept(&request, &summary, None)),
            2 | 7 => {
                request.replaces = Some(id);
                (Input::Toast(&request), model.accept(&request, &summary, Some(id)))
            }
            3 => (Input::Close(id), model.close(id, Reason::Closed)),
            4 => (Input::Dismiss(id), model.close(id, Reason::Dismissed)),
            5 => (Input::Action(id, "go".into()), model.act(id)),
            6 if timeout % 2 == 0 => {
                model.announce();
                (Input::Announce, Ok(0))
            }
            _ => (Input::Tick, Ok(0)),
        };
        let bound = match input {
            Input::Toast(_) | Input::Action(..) => 3,
            Input::Close(_) | Input::Dismiss(_) => 2,
            Input::Announce | Input::Tick => 0,
        } + 2 * SHOWN;
        assert_eq!(machine.handle(now, input), result);
        let events: Vec<Event> = std::iter::from_fn(|| machine.poll()).collect();
        assert!(events.len() <= bound);
        assert_eq!(events, model.drain());
        let deadline = model.next_deadline().map(|ms| Instant::from_micros(ms * 1_000));
        assert_eq!(machine.next_deadline(), deadline);
        assert!(deadline.is_none_or(|at| at > now), "what is due is closed");
        let view = machine.view();
        assert!(view.shown().map(picture).eq(model.shown.iter().map(Entry::picture)));
        assert!(view.waiting().map(picture).eq(model.waiting.iter().map(Entry::picture)));
        let history = machine.history().map(|toast| (toast.id(), toast.stage()));
        assert!(
            history.eq(model.history.iter().rev().take(HISTORY).map(|&(id, why)| (id, Stage::Closed(why))))
        );
    }
}

fn picture(toast: Toast<'_>) -> (u32, &str, Urgency, Option<Duration>) {
    (toast.id(), toast.summary(), toast.urgency(), toast.timeout())
}

#[derive(Clone, Debug)]
struct Entry {
    id: u32,
    summary: String,
    urgency: Urgency,
    /// In milliseconds.
    timeout: Option<u64>,
    since: u64,
    offers: bool,
    resident: bool,
    transient: bool,
    show: Option<Why>,
    close: Option<Reason>,
}

impl Entry {
    fn picture(&self) -> (u32, &str, Urgency, Option<Duration>) {
        (self.id, &self.summary, self.urgency, self.timeout.map(Duration::from_millis))
    }

    fn deadline(&self) -> Option<u64> {
        self.timeout.map(|timeout| self.since + timeout)
    }
}

/// What the rules at the head of `Toasts` say, without a thought for memory.
#[derive(Default)]
struct Model {
    now: u64,
    last_id: u32,
    shown: Vec<Entry>,
    waiting: Vec<Entry>,
    history: Vec<(u32, Reason)>,
    first: Vec<Event>,
}

impl Model {
    fn find(&mut self, id: u32) -> Option<&mut Entry> {
        self.shown.iter_mut().chain(&mut self.waiting).find(|entry| entry.id == id)
    }

    fn accept(
        &mut self,
        request: &Request<'_>,
        summary: &str,
        replaces: Option<u32>,
    ) -> Result<u32, Refusal> {
        if summary.is_empty() {
            return Err(Refusal::Invalid {
                key: "summary",
                action: None,
                expected: "text that can be shown",
            });
        }
        let timeout = match (request.timeout_ms, request.urgency) {
            (Some(0), _) | (None, Urgency::Critical) => None,
            (Some(ms), _) => Some(ms.into()),
            (None, Urgency::Low) => Some(5_000),
            (None, Urgency::Normal) => Some(10_000),
        };
        let mut entry = Entry {
            id: 0,
            summary: summary.into(),
            urgency: request.urgency,
            timeout,
            since: self.now,
            offers: request.actions[0].is_some(),
            resident: request.resident,
            transient: request.transient,
            show: None,
            close: None,
        };
        let known = replaces.filter(|&id| id != 0 && id <= self.last_id);
        if let Some(id) = known {
            entry.id = id;
            let place = if let Some(old) = self.shown.iter_mut().find(|old| old.id == id) {
                entry.show = Some(Why::Replaced);
                Some(old)
            } else {
                self.waiting.iter_mut().find(|old| old.id == id)
            };
            if let Some(old) = place {
                *old = entry;
                self.first.push(Event::Closed(id, Reason::Replaced));
                return Ok(id);
            }
        }
        if self.waiting.len() == WAITING {
            return Err(Refusal::Full { shown: self.shown.len(), waiting: WAITING });
        }
        if known.is_none() {
            self.last_id += 1;
            entry.id = self.last_id;
        }
        let id = entry.id;
        if self.shown.len() < SHOWN {
            entry.show = Some(Why::New);
            self.shown.push(entry);
        } else {
            self.waiting.push(entry);
        }
        Ok(id)
    }

    fn close(&mut self, id: u32, reason: Reason) -> Result<u32, Refusal> {
        self.find(id).ok_or(Refusal::NoToast(id))?.close = Some(reason);
        Ok(id)
    }

    fn act(&mut self, id: u32) -> Result<u32, Refusal> {
        let entry = self.find(id).ok_or(Refusal::NoToast(id))?;
        if !entry.offers {
            return Err(Refusal::NoAction(id));
        }
        if !entry.resident {
            entry.close = Some(Reason::Dismissed);
        }
        self.first.push(Event::Action(id, 0));
        Ok(id)
    }

    fn announce(&mut self) {
        for entry in &mut self.shown {
            entry.show = Some(Why::Again);
        }
    }

    fn drain(&mut self) -> Vec<Event> {
        let now = self.now;
        let mut events = std::mem::take(&mut self.first);
        let mut gone = Vec::new();
        self.shown.retain(|entry| {
            let expired = entry.deadline().is_some_and(|deadline| deadline <= now);
            let reason = entry.close.or(expired.then_some(Reason::Expired));
            gone.extend(reason.map(|reason| (entry.id, reason, entry.transient)));
            reason.is_none()
        });
        self.waiting.retain(|entry| {
            gone.extend(entry.close.map(|reason| (entry.id, reason, entry.transient)));
            entry.close.is_none()
        });
        events.extend(gone.iter().map(|&(id, reason, _)| Event::Closed(id, reason)));
        let kept = gone.into_iter().filter(|(_, _, transient)| !transient);
        self.history.extend(kept.map(|(id, reason, _)| (id, reason)));
        while self.shown.len() < SHOWN && !self.waiting.is_empty() {
            let most = self.waiting.iter().map(|entry| entry.urgency).max();
            let index = self.waiting.iter().position(|entry| Some(entry.urgency) == most).unwrap();
            let mut entry = self.waiting.remove(index);
            (entry.since, entry.show) = (now, Some(Why::New));
            self.shown.push(entry);
        }
        let shows = self.shown.iter_mut().filter_map(|entry| Some(Event::Show(entry.id, entry.show.take()?)));
        events.extend(shows);
        events
    }

    fn next_deadline(&self) -> Option<u64> {
        self.shown.iter().filter_map(Entry::deadline).min()
    }
}

/// Any payload is refused or becomes a toast whose JSON serde_json reads back, clean.
pub fn json(data: &[u8]) {
    let _ = decode::id(data);
    let _ = decode::action(data);
    let request = decode::request(data);
    // Where both parsers know an object (they differ in depth and in numbers beyond f64), they must agree about it.
    if let (Ok(Value::Object(object)), Ok(_)) = (serde_json::from_slice(data), lunix_proto::json::parse(data))
    {
        let right = object.get("summary").is_some_and(Value::is_string)
            && ["body", "app", "icon"]
                .iter()
                .all(|key| object.get(*key).is_none_or(|value| value.is_null() || value.is_string()));
        assert!(right || request.is_err(), "{object:?} was taken");
        if let Ok(request) = &request {
            assert!(object["summary"].as_str().unwrap().chars().eq(request.summary.chars()));
            let number = |key: &str| object.get(key).and_then(Value::as_u64);
            assert_eq!(request.timeout_ms.map(u64::from), number("timeout_ms"));
            assert_eq!(request.replaces.map(u64::from), number("replaces"));
            assert_eq!(request.progress.map(u64::from), number("progress"));
            let truth = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or_default();
            assert_eq!((request.resident, request.transient), (truth("resident"), truth("transient")));
        }
    }
    let Ok(request) = request else { return };
    let mut machine: Toasts<1, 1, 1, 256> = Toasts::new(Timeouts::STANDARD);
    let Ok(id) = machine.handle(Instant::default(), Input::Toast(&request)) else { return };
    let toast = machine.get(id).unwrap();
    assert!(!toast.summary().is_empty());
    for text in [toast.summary(), toast.app(), toast.icon()] {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    assert!(!toast.body().chars().any(|c| c.is_control() && c != '\n'));
    let mut out = [0; 2048];
    let len = encode::show(&mut out, toast, Why::New).unwrap();
    let read: Value = serde_json::from_slice(&out[..len]).unwrap();
    assert_eq!(read["summary"], toast.summary());
    assert_eq!(read.get("body").and_then(Value::as_str).unwrap_or_default(), toast.body());
    let offers = read["actions"].as_array().map_or(0, Vec::len);
    assert_eq!(offers, request.actions.iter().flatten().count());
    // What is announced can be sent back, and says the same.
    let mut again = machine.clone();
    let sent = decode::request(&out[..len]).unwrap();
    assert_eq!(again.handle(Instant::default(), Input::Toast(&sent)).map(|id| id > 0), Ok(true));
    let second = again.view().present().last().unwrap();
    assert_eq!(
        (second.summary(), second.body(), second.urgency(), second.is_resident(), second.is_transient()),
        (toast.summary(), toast.body(), toast.urgency(), toast.is_resident(), toast.is_transient())
    );
    for room in [0, len / 2, len - 1] {
        assert_eq!(encode::show(&mut out[..room], toast, Why::New).unwrap_err().needed, len);
    }
}
