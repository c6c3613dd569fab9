//! What natsmount is told, on its command line and in its file.

use std::path::{Path, PathBuf};

use lunix_core::mount::Limits;
use lunix_core::time::Duration;

use super::NAME;
use super::rules::{Class, Rule};
use crate::bus::Options;
use crate::cli::{BASIC, Command, DAEMON, Flag, Hint, Matches, NATS, Style};
use crate::config::{self, Mistakes};
use crate::log::{self, Level};
use crate::start::Wrong;

/// The command line of `natsmount`.
pub static COMMAND: Command = Command {
    name: NAME,
    about: "mount volumes when their devices come, unmount them when they go",
    arguments: &[],
    flags: &[
        &[
            Flag {
                names: &["all", "a"],
                value: None,
                help: "mount every volume of every USB device that no rule is about",
                hint: Hint::None,
            },
            Flag {
                names: &["media"],
                value: Some("FOLDER"),
                help: "where folders to mount on are made [/media]",
                hint: Hint::Folder,
            },
            Flag {
                names: &["state"],
                value: Some("FOLDER"),
                help: "where it notes which of them are its own [/run/lunix/mounts]",
                hint: Hint::Folder,
            },
            Flag {
                names: &["perform"],
                value: Some("WORD"),
                help: "only do what these words say, once: how the daemon tells its children (repeatable)",
                hint: Hint::None,
            },
        ],
        NATS,
        DAEMON,
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: &[
        "Without rules (--config) and without --all it mounts nothing but what volume.mount asks for. Volumes are mounted nosuid, nodev \
         and noexec unless a rule says otherwise, and read-only where the kernel does not write safely.",
        "It publishes volume.mounted, volume.unmounted and volume.failed, and answers volume.list, volume.mount {devnode} and \
         volume.unmount {devnode or target}. `lunix schema --markdown` describes all of them.",
        "What is mounted when it ends stays mounted; when it starts again, it takes that over.",
    ],
    commands: &[],
    examples: &[
        ("natsmount --all", "mount every stick below /media"),
        ("natsmount --config natsmount.conf --check-config", "look for mistakes in rules"),
        ("lunix req volume.unmount '{\"target\": \"/media/HOLIDAY\"}'", "before pulling it out"),
    ],
};

/// What it is told.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) bus: Options,
    pub(super) media: PathBuf,
    pub(super) state: PathBuf,
    pub(super) limits: Limits,
    pub(super) rules: Vec<Rule>,
    pub(super) source: Source,
}

/// Where the rules are from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    file: Option<PathBuf>,
    all: bool,
    media_given: bool,
}

impl Settings {
    pub(super) fn from_matches(matches: &Matches) -> Result<Self, Wrong> {
        if let Some(level) = matches.text("log")?.and_then(Level::from_name) {
            log::set_level(level);
        }
        let mut bus = Options::from_matches(NAME, matches)?;
        bus.description = "volumes, mounted by rules";
        let path = |key| matches.path(key).map(Path::to_path_buf);
        let mut settings = Self {
            bus,
            media: path("media").unwrap_or_else(|| "/media".into()),
            state: path("state").unwrap_or_else(|| "/run/lunix/mounts".into()),
            limits: Limits::STANDARD,
            rules: Vec::new(),
            source: Source {
                file: path("config"),
                all: matches.has("all"),
                media_given: matches.has("media"),
            },
        };
        settings.read()?;
        for (key, path) in [("media", &settings.media), ("state", &settings.state)] {
            if !path.is_absolute() {
                return Err(matches.wrong(key, "an absolute path", &path.to_string_lossy()).into());
            }
        }
        Ok(settings)
    }

    /// Reads the rules again. What else the file says counts at the next start.
    ///
    /// # Errors
    /// All mistakes of the file; the rules are as they were.
    pub(super) fn reload(&mut self) -> Result<(), Mistakes> {
        let (media, limits) = (self.media.clone(), self.limits);
        let before = std::mem::take(&mut self.rules);
        let read = self.read();
        if (&media, limits) != (&self.media, self.limits) {
            log::line(Level::Warn, NAME, "media and timeout change only at the next start");
        }
        (self.media, self.limits) = (media, limits);
        if read.is_err() {
            self.rules = before;
        }
        read
    }

    fn read(&mut self) -> Result<(), Mistakes> {
        let Source { file, all, media_given } = self.source.clone();
        if let Some(file) = &file {
            self.read_file(file, media_given)?;
        }
        if all {
            self.rules.push(Rule::all());
        }
        Ok(())
    }

    fn read_file(&mut self, file: &Path, media_given: bool) -> Result<(), Mistakes> {
        const LEAST: Duration = Duration::from_secs(1);
        const MOST: Duration = Duration::from_secs(3600);
        let mut file = config::read(file)?;
        if let Some(media) = file.take(&["media"]) {
            let absolute =
                |text: &str| text.starts_with('/').then(|| PathBuf::from(text.trim_end_matches('/')));
            let media = media.parsed("an absolute path", absolute);
            self.media = media.filter(|_| !media_given).unwrap_or_else(|| self.media.clone());
        }
        if let Some(time) = file.duration(&["timeout"], LEAST, MOST) {
            self.limits.time = time;
        }
        if let Some(rules) = file.block(&["rules"]) {
            self.rules = Rule::take(rules, &self.media.to_string_lossy());
        }
        for remark in file.finish()? {
            log::line(Level::Warn, NAME, remark);
        }
        Ok(())
    }

    /// A rule is about block devices that are no USB devices.
    pub(super) fn wants_blocks(&self) -> bool {
        self.rules.iter().any(|rule| rule.class() == Class::Block)
    }
}
