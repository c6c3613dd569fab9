//! Writes how long it took until services were ready.

use lunix_proto::{Full, json::Writer};

use super::table::State;
use crate::time::Instant;

/// The first start of a service. Times are those of the driver's clock; `None` has not happened yet.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a, N> {
    /// Its name.
    pub name: &'a str,
    /// It was first wanted.
    pub wanted: Option<Instant>,
    /// It first had a process; from `wanted` to here it waited for what it needs and for its turn.
    pub spawned: Option<Instant>,
    /// It was first ready, or done.
    pub ready: Option<Instant>,
    /// How it stands now.
    pub state: State,
    /// Names of what it waited for: needs, wants, and what it comes after.
    pub needs: N,
}

/// The answer of `service.boot`: when the supervisor began, when all that was wanted was ready, and each service.
///
/// As the kernel's clock starts with the kernel, `started` of a supervisor that is process 1 is the kernel's share.
///
/// ```
/// use lunix_core::supervise::{State, encode_boot::{Boot, boot}};
/// use lunix_core::time::Instant;
/// let at = |micros| Some(Instant::from_micros(micros));
/// let (wanted, spawned, ready) = (at(5), at(6), None);
/// let service = Boot { name: "a", wanted, spawned, ready, state: State::Starting, needs: ["b"].iter().copied() };
/// let mut out = [0; 256];
/// let len = boot(&mut out, Instant::from_micros(4), None, [service].into_iter())?;
/// assert_eq!(
///     &out[..len],
///     br#"{"started_us":4,"services":[{"name":"a","wanted_us":5,"spawned_us":6,"state":"starting","needs":["b"]}]}"#
/// );
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn boot<'a, N: Iterator<Item = &'a str>>(
    out: &mut [u8],
    started: Instant,
    healthy: Option<Instant>,
    services: impl Iterator<Item = Boot<'a, N>>,
) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object().key("started_us").number(started.as_micros());
    if let Some(healthy) = healthy {
        json.key("healthy_us").number(healthy.as_micros());
    }
    json.key("services").begin_array();
    for service in services {
        json.begin_object().key("name").string(service.name);
        for (key, time) in
            [("wanted_us", service.wanted), ("spawned_us", service.spawned), ("ready_us", service.ready)]
        {
            if let Some(time) = time {
                json.key(key).number(time.as_micros());
            }
        }
        json.key("state").string(service.state.as_str()).key("needs").begin_array();
        for need in service.needs {
            json.string(need);
        }
        json.end_array().end_object();
    }
    json.end_array().end_object().finish()
}
