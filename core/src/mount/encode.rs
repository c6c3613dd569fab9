//! Writes what is said of volumes: one JSON document into the caller's bytes. What is empty is left out.

use lunix_proto::Full;
use lunix_proto::json::Writer;

use super::{Errno, Told, Volume};

/// The subject on which this is said.
pub const fn subject(told: Told) -> &'static str {
    match told {
        Told::Mounted | Told::Again => "volume.mounted",
        Told::Unmounted => "volume.unmounted",
        Told::NotMounted(_) | Told::NotUnmounted(_) => "volume.failed",
    }
}

/// `volume.mounted`, `volume.unmounted`, `volume.failed`: the volume, where it is or was, and what went wrong.
///
/// ```
/// use lunix_core::mount::{encode, Facts, State, Told, Volume};
/// let facts = Facts { devnode: b"/dev/sda1", fstype: b"vfat", label: b"A", uuid: b"" };
/// let volume = Volume { facts, target: b"/media/A", state: State::Mounted };
/// let mut out = [0; 256];
/// let len = encode::event(&mut out, volume, Told::Mounted, "")?;
/// assert_eq!(&out[..len], br#"{"devnode":"/dev/sda1","target":"/media/A","fstype":"vfat","label":"A"}"#);
/// # Ok::<(), lunix_proto::Full>(())
/// ```
///
/// # Errors
/// `out` is too short.
pub fn event(out: &mut [u8], volume: Volume<'_>, told: Told, error: &str) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    members(&mut json, volume);
    match told {
        Told::Again => drop(json.key("again").bool(true)),
        Told::NotMounted(Errno(errno)) | Told::NotUnmounted(Errno(errno)) => {
            let action = if matches!(told, Told::NotMounted(_)) { "mount" } else { "unmount" };
            json.key("action").string(action).key("errno").number(errno.into());
            json.key("error").string(error);
        }
        Told::Mounted | Told::Unmounted => {}
    }
    json.end_object().finish()
}

/// `volume.list`: the volumes, each with its state.
///
/// # Errors
/// `out` is too short.
pub fn list<'m>(out: &mut [u8], volumes: impl Iterator<Item = Volume<'m>>) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_array();
    for volume in volumes {
        json.begin_object();
        members(&mut json, volume);
        json.key("state").string(volume.state.as_str()).end_object();
    }
    json.end_array().finish()
}

fn members(json: &mut Writer<'_>, volume: Volume<'_>) {
    json.key("devnode").string_bytes(volume.facts.devnode);
    let facts = volume.facts;
    let rest =
        [("target", volume.target), ("fstype", facts.fstype), ("label", facts.label), ("uuid", facts.uuid)];
    for (key, value) in rest.into_iter().filter(|(_, value)| !value.is_empty()) {
        json.key(key).string_bytes(value);
    }
}
