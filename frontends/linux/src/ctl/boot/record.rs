//! What natsinit says of a boot.

use lunix_proto::json::{self, Object};

use super::super::known;

/// Where natsinit does not say when all was ready, what was wanted so much later, in microseconds, is no part of the boot.
const BOOT: u64 = 10_000_000;

/// The first starts of services, those of the boot in the order of their processes. Times are microseconds of natsinit's
/// clock.
#[derive(Debug)]
pub(super) struct Record {
    /// When the chart begins: with the kernel, or with natsinit where that is not process 1.
    pub(super) begin: u64,
    /// When natsinit began.
    pub(super) started: u64,
    /// When the last service of the boot was ready, or has at least a process.
    pub(super) end: u64,
    pub(super) services: Vec<Entry>,
    /// Those that were first wanted afterwards, and those that never were.
    pub(super) later: Vec<Entry>,
}

/// A service's first start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) wanted: Option<u64>,
    pub(super) spawned: Option<u64>,
    pub(super) ready: Option<u64>,
    pub(super) state: String,
    pub(super) needs: Vec<String>,
    /// A link of the chain that took longest.
    pub(super) critical: bool,
}

impl Record {
    pub(super) fn read(payload: &[u8], init: bool) -> Option<Self> {
        let object = json::parse(payload).ok()?.as_object()?;
        let started = object.get("started_us")?.as_u64()?;
        let healthy = object.get("healthy_us").and_then(|value| value.as_u64());
        let limit = healthy.unwrap_or_else(|| started.saturating_add(BOOT));
        let list = object.get("services")?.as_array()?;
        let entries = list.iter().filter_map(|value| Entry::read(&value.as_object()?, started));
        let (mut services, later): (Vec<_>, Vec<_>) =
            entries.partition(|entry| entry.wanted.is_some_and(|wanted| wanted <= limit));
        services.sort_by(|a, b| {
            let key = |entry: &Entry| (entry.spawned.unwrap_or(u64::MAX), entry.ready.unwrap_or(u64::MAX));
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        mark(&mut services);
        let last = |entry: &Entry| entry.ready.or(entry.spawned).or(entry.wanted);
        let end = services.iter().filter_map(last).chain([started]).max()?;
        Some(Self { begin: if init { 0 } else { started }, started, end, services, later })
    }

    /// From the chart's begin to the end, at least one microsecond.
    pub(super) fn length(&self) -> u64 {
        self.end.saturating_sub(self.begin).max(1)
    }

    /// The names of the chain that took longest, the first one first.
    pub(super) fn chain(&self) -> Vec<&str> {
        self.services.iter().filter(|entry| entry.critical).map(|entry| entry.name.as_str()).collect()
    }
}

impl Entry {
    /// Times before `started` are none of this boot.
    fn read(object: &Object<'_>, started: u64) -> Option<Self> {
        let time = |key| object.get(key).and_then(|value| value.as_u64()).filter(|time| *time >= started);
        let name = Some(known::text(object, "name")).filter(|name| !name.is_empty())?;
        Some(Self {
            name,
            wanted: time("wanted_us"),
            spawned: time("spawned_us"),
            ready: time("ready_us"),
            state: known::text(object, "state"),
            needs: known::texts(object, "needs"),
            critical: false,
        })
    }

    /// From its process to its readiness.
    pub(super) fn took(&self) -> Option<u64> {
        self.ready?.checked_sub(self.spawned?)
    }
}

/// Marks what was ready last, what that waited for longest, and so on.
fn mark(services: &mut [Entry]) {
    let mut next = (0..services.len()).max_by_key(|at| services.get(*at).and_then(|entry| entry.ready));
    while let Some(entry) = next.and_then(|at| services.get_mut(at)) {
        // A ring cannot be, but strangers say what they like.
        if entry.ready.is_none() || std::mem::replace(&mut entry.critical, true) {
            return;
        }
        let (needs, spawned) = (entry.needs.clone(), entry.spawned);
        let before =
            |entry: &Entry| needs.contains(&entry.name) && entry.ready.is_some() && entry.ready <= spawned;
        next = services
            .iter()
            .enumerate()
            .filter(|(_, entry)| before(entry))
            .max_by_key(|(_, entry)| entry.ready)
            .map(|(at, _)| at);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const BOOTED: &[u8] = br#"{"started_us":400000,"healthy_us":480000,"services":[
        {"name":"late","wanted_us":99000000,"spawned_us":99000000,"ready_us":99001000,"state":"ready","needs":[]},
        {"name":"natsd","wanted_us":401000,"spawned_us":402000,"ready_us":410000,"state":"ready","needs":[]},
        {"name":"fast","wanted_us":401000,"spawned_us":402500,"ready_us":403000,"state":"ready","needs":[]},
        {"name":"<natsdev>","wanted_us":401000,"spawned_us":410500,"ready_us":470000,"state":"ready","needs":["natsd","fast"]},
        {"name":"toast","wanted_us":401000,"spawned_us":470500,"ready_us":480000,"state":"ready","needs":["<natsdev>"]},
        {"name":"slow","wanted_us":401000,"spawned_us":411000,"state":"starting","needs":["natsd"]},
        {"name":"off","state":"stopped","needs":[]}]}"#;

    #[test]
    fn the_chain_that_took_longest() {
        let record = Record::read(BOOTED, true).unwrap();
        assert_eq!(record.chain(), ["natsd", "<natsdev>", "toast"]);
        assert_eq!((record.begin, record.end, record.length()), (0, 480_000, 480_000));
        let names = |entries: &[Entry]| entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&record.services), ["natsd", "fast", "<natsdev>", "slow", "toast"]);
        assert_eq!(names(&record.later), ["late", "off"]);
        assert_eq!(Record::read(BOOTED, false).unwrap().length(), 80_000);
    }

    #[test]
    fn what_strangers_say_ends() {
        let ring = br#"{"started_us":1,"services":[
            {"name":"a","wanted_us":2,"spawned_us":3,"ready_us":3,"needs":["b"]},
            {"name":"b","wanted_us":2,"spawned_us":3,"ready_us":3,"needs":["a"]},
            {"name":"old","wanted_us":0,"spawned_us":18446744073709551615,"ready_us":2,"needs":[7]}, 5]}"#;
        let record = Record::read(ring, false).unwrap();
        assert_eq!(record.services.len(), 2);
        assert_eq!(record.length(), 2);
        assert!(Record::read(b"{}", true).is_none() && Record::read(b"[", true).is_none());
        let empty = Record::read(br#"{"started_us":5,"services":[]}"#, false).unwrap();
        assert_eq!((empty.length(), empty.chain().len()), (1, 0));
    }
}
