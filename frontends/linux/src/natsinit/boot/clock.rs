//! What time it is before anybody knows: the hardware's clock if the kernel has not read it, and never before what is
//! known to be past.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_settime};

use super::super::files::Clock;
use super::{is_first_of_machine, step};

/// Sets the clock forward, if it stands before what must be past.
pub(super) fn start(settings: &Clock) {
    if !is_first_of_machine() {
        return;
    }
    let known = [
        settings.device.as_deref().and_then(hardware),
        // This program was not made in the future, nor was the time last seen.
        changed(Path::new("/proc/self/exe")),
        settings.file.as_deref().and_then(changed),
    ];
    let Some(least) = known.into_iter().flatten().max() else { return };
    if SystemTime::now() < least {
        step("clock", set(least));
    }
}

/// What the kernel reads of the hardware's clock.
fn hardware(device: &Path) -> Option<SystemTime> {
    let name = device.file_name()?;
    let path: PathBuf = Path::new("/sys/class/rtc").join(name).join("since_epoch");
    let seconds = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|found| found.modified()).ok()
}

fn set(time: SystemTime) -> io::Result<()> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
    let time = Timespec { tv_sec: since.as_secs().cast_signed(), tv_nsec: since.subsec_nanos().into() };
    Ok(clock_settime(ClockId::Realtime, time)?)
}

/// Notes the time that is seen last.
pub(super) fn end(settings: &Clock) {
    let Some(file) = &settings.file else { return };
    let touch = || -> io::Result<()> {
        let file: File = OpenOptions::new().create(true).append(true).open(file)?;
        file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        file.sync_all()
    };
    step("clock", touch());
}
