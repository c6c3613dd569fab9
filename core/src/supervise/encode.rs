//! Writes what the supervisor says on the bus.
//!
//! Each function but [`subject`] writes one JSON value into the caller's slice. Keys without a value are left out;
//! times are microseconds of the driver's clock.

use lunix_proto::{Full, json::Writer, nats::subject::push_token};

use super::{
    action::{Exit, Report},
    table::State,
};

/// `service.<name>.<state>`
///
/// ```
/// use lunix_core::supervise::{State, encode};
/// let mut out = [0; 64];
/// let len = encode::subject(&mut out, "my.daemon", State::Ready).unwrap();
/// assert_eq!(&out[..len], b"service.my_daemon.ready");
/// ```
///
/// # Errors
/// `out` is too short.
pub fn subject(out: &mut [u8], name: &str, state: State) -> Result<usize, Full> {
    const PREFIX: &[u8] = b"service.";
    let state = state.as_str().as_bytes();
    let fixed = PREFIX.len() + 1 + state.len();
    // A token has as many bytes as what it is made of, and at least one.
    let needed = fixed + name.len().max(1);
    let full = Full { needed };
    let out = out.get_mut(..needed).ok_or(full)?;
    let (prefix, rest) = out.split_at_mut_checked(PREFIX.len()).ok_or(full)?;
    prefix.copy_from_slice(PREFIX);
    let token = push_token(rest, name.as_bytes())?;
    let rest = rest.get_mut(token..).ok_or(full)?;
    let (dot, rest) = rest.split_first_mut().ok_or(full)?;
    *dot = b'.';
    rest.get_mut(..state.len()).ok_or(full)?.copy_from_slice(state);
    Ok(PREFIX.len() + token + 1 + state.len())
}

/// How a service stands: an event's payload, the answer of `service.<name>.status`, and an element of `service.list`.
///
/// How the last process ended is told while there is no other one: `exit_code`, or `signal`, or the `errno` of a
/// process that could not be made.
///
/// ```
/// use lunix_core::{supervise::{Exit, Report, ServiceId, State, encode}, time::Instant};
/// let report = Report {
///     service: ServiceId::new(0),
///     state: State::Backoff,
///     pid: None,
///     exit: Some(Exit::Signal(9)),
///     restarts: 2,
///     at: Instant::from_micros(77),
/// };
/// let mut out = [0; 128];
/// let len = encode::report(&mut out, "natsd", &report).unwrap();
/// assert_eq!(&out[..len], br#"{"name":"natsd","state":"backoff","signal":9,"restarts":2,"at_us":77}"#);
/// ```
///
/// # Errors
/// `out` is too short.
pub fn report(out: &mut [u8], name: &str, report: &Report) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("name").string(name).key("state").string(report.state.as_str());
    if let Some(pid) = report.pid {
        json.key("pid").number(pid.into());
    }
    if let Some(exit) = report.exit.filter(|_| report.pid.is_none()) {
        match exit {
            Exit::Code(code) => json.key("exit_code").signed(code.into()),
            Exit::Signal(signal) => json.key("signal").signed(signal.into()),
            Exit::NotSpawned(errno) => json.key("errno").signed(errno.into()),
        };
    }
    json.key("restarts").number(report.restarts.into());
    json.key("at_us").number(report.at.as_micros()).end_object();
    json.finish()
}

/// What a service has used; what cannot be told here is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all its processes, in microseconds.
    pub cpu_us: Option<u64>,
    /// Resident memory, in bytes.
    pub rss: Option<u64>,
    /// The most resident memory it ever had, in bytes.
    pub peak_rss: Option<u64>,
    /// How many processes and threads it has.
    pub pids: Option<u64>,
    /// Bytes read from storage.
    pub io_read: Option<u64>,
    /// Bytes written to storage.
    pub io_write: Option<u64>,
}

/// The answer of `service.<name>.usage`.
///
/// ```
/// use lunix_core::supervise::encode::{Usage, usage};
/// let mut out = [0; 128];
/// let len = usage(&mut out, "natsd", &Usage { rss: Some(4096), ..Usage::default() }).unwrap();
/// assert_eq!(&out[..len], br#"{"name":"natsd","rss":4096}"#);
/// ```
///
/// # Errors
/// `out` is too short.
pub fn usage(out: &mut [u8], name: &str, usage: &Usage) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("name").string(name);
    for (key, value) in [
        ("cpu_us", usage.cpu_us),
        ("rss", usage.rss),
        ("peak_rss", usage.peak_rss),
        ("pids", usage.pids),
        ("io_read", usage.io_read),
        ("io_write", usage.io_write),
    ] {
        if let Some(value) = value {
            json.key(key).number(value);
        }
    }
    json.end_object();
    json.finish()
}
