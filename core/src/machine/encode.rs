//! Writes what is told of the machine: one JSON document into the caller's bytes. What is not known is left out.

use lunix_proto::{Full, json::Writer};

use super::{Cpu, Hundredths, Load, Memory, Pressure, Resource, Stall};
use crate::time::Instant;

/// What a machine is: the answer of `system.info`. Texts may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Info<'a> {
    /// Its name in the network.
    pub hostname: &'a [u8],
    /// The kernel's release.
    pub kernel: &'a [u8],
    /// As `uname -m` says it.
    pub architecture: &'a [u8],
    /// What the distribution calls itself.
    pub os: &'a [u8],
    /// The version of lunix.
    pub version: &'a str,
    /// The board or the product.
    pub board: &'a [u8],
    /// Which of the slots of the flash it runs from.
    pub slot: &'a [u8],
    /// The kernel's number of this boot.
    pub boot_id: &'a [u8],
    /// Whoever answers is process 1.
    pub init: bool,
    /// Processors that are there.
    pub cpus: Option<u32>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Microseconds since boot, times of sleep included.
    pub uptime: u64,
}

/// `system.info`
///
/// ```
/// use lunix_core::machine::encode::{Info, info};
/// let mut out = [0; 128];
/// let len = info(&mut out, &Info { hostname: b"box", uptime: 7, ..Info::default() })?;
/// assert_eq!(&out[..len], br#"{"hostname":"box","init":false,"uptime_us":7}"#);
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn info(out: &mut [u8], info: &Info<'_>) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    for (key, text) in [
        ("hostname", info.hostname),
        ("kernel", info.kernel),
        ("architecture", info.architecture),
        ("os", info.os),
        ("version", info.version.as_bytes()),
        ("board", info.board),
        ("slot", info.slot),
        ("boot_id", info.boot_id),
    ] {
        if !text.is_empty() {
            json.key(key).string_bytes(text);
        }
    }
    json.key("init").bool(info.init);
    numbers(&mut json, &[("cpus", info.cpus.map(u64::from)), ("memory", info.memory)]);
    json.key("uptime_us").number(info.uptime).end_object();
    json.finish()
}

/// A file system that is mounted.
#[derive(Clone, Copy, Debug)]
pub struct Storage<'a> {
    /// Where.
    pub target: &'a [u8],
    /// What the kernel calls it.
    pub fstype: &'a [u8],
    /// Bytes in all.
    pub size: u64,
    /// Bytes that are left for ordinary users.
    pub available: u64,
    /// Nothing can be written.
    pub read_only: bool,
}

/// What the machine has used and what is left: the answer of `system.usage`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage<'a> {
    /// When.
    pub at: Instant,
    /// Processor time, how many of its ticks are a second, and how many processors there are.
    pub cpu: Option<(Cpu, u64, u32)>,
    /// Memory.
    pub memory: Memory,
    /// Load.
    pub load: Option<Load>,
    /// Processes that are there.
    pub processes: Option<u64>,
    /// Pressure, where the kernel measures it.
    pub pressure: &'a [(Resource, Pressure)],
    /// Storage.
    pub storage: &'a [Storage<'a>],
    /// Microseconds since boot, times of sleep included.
    pub uptime: u64,
}

/// `system.usage`
///
/// ```
/// use lunix_core::machine::{Cpu, encode::{Usage, usage}};
/// let cpu = Cpu { user: 3, ..Cpu::default() };
/// let mut out = [0; 256];
/// let len = usage(&mut out, &Usage { cpu: Some((cpu, 100, 2)), ..Usage::default() })?;
/// assert!(out[..len].starts_with(br#"{"at_us":0,"uptime_us":0,"cpu":{"cpus":2,"user_us":30000,"nice_us":0,"#));
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn usage(out: &mut [u8], usage: &Usage<'_>) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    json.key("at_us").number(usage.at.as_micros()).key("uptime_us").number(usage.uptime);
    if let Some((cpu, ticks_per_second, cpus)) = usage.cpu {
        let micros = |ticks: u64| ticks.saturating_mul(1_000_000).checked_div(ticks_per_second);
        json.key("cpu").begin_object().key("cpus").number(cpus.into());
        numbers(
            &mut json,
            &[
                ("user_us", micros(cpu.user)),
                ("nice_us", micros(cpu.nice)),
                ("system_us", micros(cpu.system)),
                ("idle_us", micros(cpu.idle)),
                ("iowait_us", micros(cpu.iowait)),
                ("irq_us", micros(cpu.irq)),
                ("softirq_us", micros(cpu.softirq)),
                ("steal_us", micros(cpu.steal)),
            ],
        );
        json.end_object();
    }
    let memory = &usage.memory;
    json.key("memory").begin_object();
    numbers(
        &mut json,
        &[
            ("total", memory.total),
            ("free", memory.free),
            ("available", memory.available),
            ("buffers", memory.buffers),
            ("cached", memory.cached),
            ("shared", memory.shared),
            ("slab", memory.slab),
            ("swap_total", memory.swap_total),
            ("swap_free", memory.swap_free),
        ],
    );
    json.end_object();
    if let Some(load) = usage.load {
        json.key("load").begin_object();
        averages(&mut json, ["1", "5", "15"], load.averages);
        json.key("running").number(load.running.into()).key("threads").number(load.threads.into());
        json.end_object();
    }
    numbers(&mut json, &[("processes", usage.processes)]);
    if !usage.pressure.is_empty() {
        json.key("pressure").begin_object();
        for (resource, pressure) in usage.pressure {
            json.key(resource.as_str()).begin_object();
            stalls(&mut json, pressure);
            json.end_object();
        }
        json.end_object();
    }
    json.key("storage").begin_array();
    for storage in usage.storage {
        json.begin_object().key("target").string_bytes(storage.target);
        json.key("fstype").string_bytes(storage.fstype);
        json.key("size").number(storage.size).key("available").number(storage.available);
        json.key("read_only").bool(storage.read_only).end_object();
    }
    json.end_array().end_object();
    json.finish()
}

/// `system.pressure.<resource>`, and with the name of a service `service.<name>.pressure`.
///
/// ```
/// use lunix_core::machine::{Pressure, Resource, encode, proc};
/// use lunix_core::time::Instant;
/// let read = proc::pressure(b"some avg10=16.42 avg60=6.57 avg300=0.08 total=9\n");
/// let mut out = [0; 256];
/// let len = encode::pressure(&mut out, None, Resource::Io, &read, Instant::from_micros(5))?;
/// let text = br#"{"resource":"io","some":{"avg10":16.42,"avg60":6.57,"avg300":0.08,"total_us":9},"at_us":5}"#;
/// assert_eq!(&out[..len], text);
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn pressure(
    out: &mut [u8],
    service: Option<&str>,
    resource: Resource,
    pressure: &Pressure,
    at: Instant,
) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    if let Some(name) = service {
        json.key("name").string(name);
    }
    json.key("resource").string(resource.as_str());
    stalls(&mut json, pressure);
    json.key("at_us").number(at.as_micros()).end_object();
    json.finish()
}

/// A process that was killed because memory ran out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Victim<'a> {
    /// The service that it belonged to.
    pub service: Option<&'a str>,
    /// Its id, where the kernel's log can be read.
    pub pid: Option<u32>,
    /// What it called itself.
    pub comm: &'a [u8],
    /// Its cgroup.
    pub group: &'a [u8],
    /// Bytes of memory of its own that it had.
    pub memory: Option<u64>,
    /// Memory of the whole machine was short.
    pub everywhere: Option<bool>,
    /// How many of the service's processes were killed so since its group was made.
    pub killed: Option<u64>,
    /// When.
    pub at: Instant,
}

/// `system.oom` and `service.<name>.oom`
///
/// ```
/// use lunix_core::{machine::encode::{Victim, oom}, time::Instant};
/// let victim = Victim { service: Some("web"), pid: Some(7), comm: b"hog", killed: Some(1), ..Victim::default() };
/// let mut out = [0; 128];
/// let len = oom(&mut out, &victim)?;
/// assert_eq!(&out[..len], br#"{"name":"web","pid":7,"comm":"hog","killed":1,"at_us":0}"#);
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn oom(out: &mut [u8], victim: &Victim<'_>) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    if let Some(name) = victim.service {
        json.key("name").string(name);
    }
    numbers(&mut json, &[("pid", victim.pid.map(u64::from))]);
    for (key, text) in [("comm", victim.comm), ("group", victim.group)] {
        if !text.is_empty() {
            json.key(key).string_bytes(text);
        }
    }
    numbers(&mut json, &[("memory", victim.memory)]);
    if let Some(everywhere) = victim.everywhere {
        json.key("everywhere").bool(everywhere);
    }
    numbers(&mut json, &[("killed", victim.killed)]);
    json.key("at_us").number(victim.at.as_micros()).end_object();
    json.finish()
}

/// `system.healthy`: all that was wanted at boot has settled, with so many services ready, and none failed.
///
/// # Errors
/// `out` is too short.
pub fn healthy(out: &mut [u8], ready: u64, started: Instant, at: Instant) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("ready").number(ready);
    json.key("started_us").number(started.as_micros()).key("at_us").number(at.as_micros()).end_object();
    json.finish()
}

fn numbers(json: &mut Writer<'_>, numbers: &[(&str, Option<u64>)]) {
    for (key, number) in numbers {
        if let Some(number) = number {
            json.key(key).number(*number);
        }
    }
}

fn stalls(json: &mut Writer<'_>, pressure: &Pressure) {
    for (key, stall) in [("some", pressure.some), ("full", pressure.full)] {
        let Some(Stall { averages: of, total }) = stall else { continue };
        json.key(key).begin_object();
        averages(json, ["avg10", "avg60", "avg300"], of);
        json.key("total_us").number(total).end_object();
    }
}

fn averages(json: &mut Writer<'_>, keys: [&str; 3], averages: [Hundredths; 3]) {
    for (key, average) in keys.into_iter().zip(averages) {
        decimal(json.key(key), average);
    }
}

/// `12.34`
fn decimal(json: &mut Writer<'_>, Hundredths(number): Hundredths) {
    // Ten digits of a `u32`, of which the last two stand behind the point.
    let mut text = [b'0'; 11];
    let mut rest = number;
    let mut first = text.len();
    for (at, place) in text.iter_mut().enumerate().rev() {
        if at == 8 {
            *place = b'.';
            continue;
        }
        *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if at >= 7 || *place != b'0' {
            first = at.min(7);
        }
    }
    json.raw(text.get(first..).unwrap_or_default());
}
