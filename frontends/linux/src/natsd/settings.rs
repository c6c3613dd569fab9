//! What a server is told on its command line and in its configuration file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lunix_core::broker::Limits;

use crate::cli::{Matches, UsageError};
use crate::config::{self, Section};

/// What a server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens for TCP.
    pub host: String,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// Its name; its id if there is none.
    pub name: Option<String>,
    /// Where it listens for processes of this machine.
    pub socket: Socket,
    /// The file for its process id.
    pub pid_file: Option<PathBuf>,
    /// The folder for its ports file.
    pub ports_file_dir: Option<PathBuf>,
    /// The file for log lines, instead of stderr.
    pub log_file: Option<PathBuf>,
    /// Log lines bear the time.
    pub log_time: bool,
    /// Say when connections come and go, and why.
    pub debug: bool,
    /// Say what clients say.
    pub trace: bool,
    /// What clients may do.
    pub limits: Limits,
}

/// Where a server listens for processes of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// [`Socket::usual`], if nobody else does.
    Usual,
    /// Nowhere.
    None,
    /// There, or it does not start.
    At(PathBuf),
}

impl Socket {
    /// `$XDG_RUNTIME_DIR/natsd.sock`; for root without such a folder `/run/natsd.sock`.
    pub fn usual() -> Option<PathBuf> {
        match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(folder) if !folder.is_empty() => Some(Path::new(&folder).join("natsd.sock")),
            _ => rustix::process::geteuid().is_root().then(|| PathBuf::from("/run/natsd.sock")),
        }
    }

    fn from_text(text: &str) -> Self {
        if matches!(text, "" | "none") { Self::None } else { Self::At(PathBuf::from(text)) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let mut limits = Limits::default();
        // What waits for slow clients may take a sixteenth of the memory: 4 MiB of 64.
        let memory = usize::try_from(rustix::system::sysinfo().totalram).unwrap_or(usize::MAX);
        limits.pending_all = limits.pending_all.min((memory / 16).max(1 << 20));
        limits.pending = limits.pending.min(limits.pending_all / 2);
        Self {
            host: "127.0.0.1".to_owned(),
            port: 4222,
            name: None,
            socket: Socket::Usual,
            pid_file: None,
            ports_file_dir: None,
            log_file: None,
            log_time: true,
            debug: false,
            trace: false,
            limits,
        }
    }
}

/// What nats-server has and this build does not, by flag.
const ABSENT: [(&str, &str); 9] = [
    ("http_port", "monitoring over HTTP"),
    ("https_port", "monitoring over HTTP"),
    ("user", "users"),
    ("pass", "users"),
    ("auth", "users"),
    ("tls", "TLS"),
    ("routes", "clustering"),
    ("jetstream", "JetStream"),
    ("syslog", "syslog"),
];

impl Settings {
    /// From the command line, and from the configuration file that it names; the command line wins.
    ///
    /// # Errors
    /// One line that says what is wrong, and where.
    pub fn new(matches: &Matches) -> Result<Self, String> {
        let mut settings = Self::default();
        if let Some(path) = matches.path("config") {
            let file = config::read(path).map_err(|error| format!("natsd: {error}"))?;
            settings.configure(file).map_err(|error| format!("natsd: {error}"))?;
        }
        settings.apply(matches).map_err(|error| error.to_string())?;
        let Limits { payload, pending, .. } = settings.limits;
        if payload > pending {
            return Err(format!(
                "natsd: max_payload: expected at most max_pending ({pending}), found {payload}"
            ));
        }
        Ok(settings)
    }

    fn apply(&mut self, matches: &Matches) -> Result<(), UsageError> {
        for (flag, what) in ABSENT {
            if matches.has(flag) {
                return Err(matches.error(format_args!("--{flag}: {what}: not in this build")));
            }
        }
        if let Some(host) = matches.text("addr")? {
            host.clone_into(&mut self.host);
        }
        if let Some(port) = matches.text("port")? {
            self.port = port_number(port).ok_or_else(|| matches.wrong("port", PORT, port))?;
        }
        if let Some(name) = matches.text("name")? {
            self.name = Some(name.to_owned());
        }
        if let Some(path) = matches.text("socket")? {
            self.socket = Socket::from_text(path);
        }
        let path = |key| matches.path(key).map(Path::to_owned);
        self.pid_file = path("pid").or(self.pid_file.take());
        self.ports_file_dir = path("ports_file_dir").or(self.ports_file_dir.take());
        self.log_file = path("log").or(self.log_file.take());
        self.debug |= ["debug", "DV", "DVV"].iter().any(|flag| matches.has(flag));
        self.trace |= ["trace", "VV", "DV", "DVV"].iter().any(|flag| matches.has(flag));
        match matches.text("logtime")? {
            None => {}
            Some("true" | "1") => self.log_time = true,
            Some("false" | "0") => self.log_time = false,
            Some(other) => return Err(matches.wrong("logtime", "true or false", other)),
        }
        Ok(())
    }

    fn configure(&mut self, mut file: Section) -> Result<(), config::Error> {
        if let Some(value) = file.take(&["listen"]) {
            let text = value.text()?;
            let wrong = || value.wrong("HOST:PORT or PORT");
            let (host, port) = text.rsplit_once(':').map_or((None, text.as_str()), |(h, p)| (Some(h), p));
            self.port = port_number(port).ok_or_else(wrong)?;
            if let Some(host) = host {
                host.trim_start_matches('[').trim_end_matches(']').clone_into(&mut self.host);
            }
        }
        if let Some(value) = file.take(&["host", "net"]) {
            self.host = value.text()?;
        }
        if let Some(value) = file.take(&["port"]) {
            self.port = port_number(&value.text()?).ok_or_else(|| value.wrong(PORT))?;
        }
        if let Some(value) = file.take(&["server_name"]) {
            self.name = Some(value.text()?);
        }
        if let Some(value) = file.take(&["socket"]) {
            self.socket = Socket::from_text(&value.text()?);
        }
        for (keys, place) in [
            (&["pid_file", "pidfile"][..], &mut self.pid_file),
            (&["ports_file_dir"], &mut self.ports_file_dir),
            (&["log_file", "logfile"], &mut self.log_file),
        ] {
            if let Some(value) = file.take(keys) {
                *place = Some(PathBuf::from(value.text()?));
            }
        }
        for (key, place) in
            [("debug", &mut self.debug), ("trace", &mut self.trace), ("logtime", &mut self.log_time)]
        {
            if let Some(value) = file.take(&[key]) {
                *place = value.truth()?;
            }
        }
        self.configure_limits(&mut file)?;
        file.end()
    }

    fn configure_limits(&mut self, file: &mut Section) -> Result<(), config::Error> {
        let limits = &mut self.limits;
        for (keys, place, least) in [
            (&["max_payload"][..], &mut limits.payload, 0),
            (&["max_control_line"], &mut limits.control_line, 64),
            (&["max_pending"], &mut limits.pending, 4096),
            (&["max_pending_all"], &mut limits.pending_all, 4096),
        ] {
            if let Some(value) = file.take(keys) {
                *place = value.size(least, 1 << 30)?;
            }
        }
        // Who allows one client more allows it to all of them.
        limits.pending_all = limits.pending_all.max(limits.pending);
        for (keys, place) in [
            (&["max_connections", "max_conn"][..], &mut limits.connections),
            (&["max_subscriptions", "max_subs"], &mut limits.subscriptions),
        ] {
            if let Some(value) = file.take(keys) {
                // nats-server's 0 and -1 mean that there is no limit.
                *place = match value.integer(-1, 1 << 30)? {
                    ..=0 => u32::MAX,
                    number => u32::try_from(number).unwrap_or(u32::MAX),
                };
            }
        }
        if let Some(value) = file.take(&["ping_interval"]) {
            limits.ping_interval =
                Some(value.duration(Duration::from_millis(10), Duration::from_secs(86_400))?);
        }
        if let Some(value) = file.take(&["ping_max"]) {
            limits.ping_max = u8::try_from(value.integer(1, 255)?).unwrap_or(u8::MAX);
        }
        if let Some(value) = file.take(&["write_deadline"]) {
            limits.write_deadline = value.duration(Duration::from_millis(10), Duration::from_secs(3_600))?;
        }
        if let Some(value) = file.take(&["no_header_support"]) {
            limits.headers = !value.truth()?;
        }
        Ok(())
    }
}

const PORT: &str = "a port, or -1 for any that is free";

fn port_number(text: &str) -> Option<u16> {
    if text == "-1" { Some(0) } else { text.parse().ok().filter(|port| *port > 0) }
}
