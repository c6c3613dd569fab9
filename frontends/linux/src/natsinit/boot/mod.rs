//! What PID 1 does before the first service and after the last. Each step notices by itself where there is nothing to do (in
//! a container, or where an initramfs has done it), says why it failed if it did, and never stops the boot.

mod clock;
mod disks;
pub(super) mod emergency;
pub(super) mod end;
mod kernel;
mod mounts;
mod network;
pub(super) mod options;
mod seed;
mod tool;
pub(super) mod watchdog;

use std::path::Path;
use std::time::Duration;

use super::files::{self, InitSettings};
use crate::log::{self, Level};
use options::Options;

/// How long a tool may take that boot waits for.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is known when the early work is done.
#[derive(Debug)]
pub(super) struct Boot {
    pub(super) settings: InitSettings,
    pub(super) options: Options,
}

impl Boot {
    /// Reads the settings and the kernel's command line; `words` are those of our own.
    pub(super) fn read(words: &[String]) -> Self {
        let (settings, mistakes) = files::load_init(Path::new(files::INIT));
        for mistake in mistakes {
            log::line(Level::Error, NAME, mistake);
        }
        // The kernel's line is there once /proc is.
        mounts::proc();
        let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        // A container sees the host's line, which is not meant for it.
        let line = if is_first_of_machine() { line.as_str() } else { "" };
        let options = Options::parse(line.split_whitespace(), words.iter().map(String::as_str));
        if let Some(level) = options.log {
            log::set_level(level);
        }
        Self { settings, options }
    }

    /// Everything up to the first service.
    pub(super) fn early(&self) {
        let Self { settings, options } = self;
        mounts::first(&settings.mounts);
        let console = options.console.as_deref().unwrap_or(&settings.console.device);
        step("console", emergency::speak_on(console, options.console.is_some()));
        step("console", emergency::never_wait());
        kernel::tables(settings);
        network::start(&settings.interfaces);
        clock::start(&settings.clock);
        disks::root(settings, options);
        for mount in &settings.mounts {
            if !mounts::is_early(&mount.target) {
                step(&mount.target.display().to_string(), disks::mount(mount, &settings.fsck));
            }
        }
        mounts::writable_tmp();
        if let Some(file) = &settings.random_seed {
            step("random seed", seed::load(file));
        }
        if options.emergency || options.single {
            log::line(Level::Warn, NAME, "a shell, as the command line asks for; boot goes on when it ends");
            emergency::shell(&settings.emergency);
        }
    }
}

/// What stands before our lines.
pub(super) const NAME: &str = "natsinit";

/// Says why a step failed. That we have no right to it, or that this kernel has no such thing, is how containers are.
fn step<E: Into<std::io::Error>>(what: &str, result: Result<(), E>) {
    if let Err(error) = result {
        let error = error.into();
        let usual = !is_first_of_machine()
            && matches!(
                error.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            );
        log::line(if usual { Level::Debug } else { Level::Warn }, NAME, format_args!("{what}: {error}"));
    }
}

/// Whether this is the first process of the machine, not of a container: what it sees as the thread of the kernel is one.
pub(super) fn is_first_of_machine() -> bool {
    std::process::id() == 1 && std::fs::read("/proc/2/comm").is_ok_and(|comm| comm == b"kthreadd\n")
}
