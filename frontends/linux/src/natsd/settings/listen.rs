//! Where the server listens, and how others find it.

use std::path::{Path, PathBuf};

use super::facts::OrNone;
use super::{Facts, Subject};
use crate::cli::{Matches, UsageError};
use crate::config::Section;

/// Where the server listens, and how others find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where it listens for TCP.
    pub host: String,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// Where clients reach it, if that is another address: `HOST` or `HOST:PORT`.
    pub client_advertise: Option<(String, Option<u16>)>,
    /// Its name; its id if there is none.
    pub name: Option<String>,
    /// Where it listens for processes of this machine.
    pub socket: Socket,
    /// The file for its process id.
    pub pid_file: Option<PathBuf>,
    /// The folder for its ports file.
    pub ports_file_dir: Option<PathBuf>,
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

impl Default for Listen {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 4222,
            client_advertise: None,
            name: None,
            socket: Socket::Usual,
            pid_file: None,
            ports_file_dir: None,
        }
    }
}

impl Subject for Listen {
    fn configure(&mut self, file: &mut Section) {
        let listen = file.take(&["listen"]);
        if let Some((host, port)) = listen.and_then(|v| v.parsed("HOST:PORT or PORT", host_port)) {
            self.port = port;
            self.host = host.unwrap_or_else(|| std::mem::take(&mut self.host));
        }
        if let Some(host) = file.text(&["host", "net"]) {
            self.host = host;
        }
        if let Some(port) = file.take(&["port"]).and_then(|value| value.parsed(PORT, port_number)) {
            self.port = port;
        }
        let advertise = file.take(&["client_advertise"]);
        self.client_advertise = advertise.and_then(|value| value.parsed(ADVERTISE, advertised));
        let name = file.take(&["server_name"]);
        let without_spaces = |name: &str| (!name.contains(' ')).then(|| name.to_owned());
        self.name = name.and_then(|value| value.parsed("a name without spaces", without_spaces));
        if let Some(path) = file.text(&["socket"]) {
            self.socket = Socket::from_text(&path);
        }
        self.pid_file = file.path(&["pid_file", "pidfile"]).or(self.pid_file.take());
        self.ports_file_dir = file.path(&["ports_file_dir"]).or(self.ports_file_dir.take());
    }

    fn apply(&mut self, matches: &Matches) -> Result<(), UsageError> {
        if let Some(host) = matches.text("addr")? {
            host.clone_into(&mut self.host);
        }
        if let Some(port) = matches.text("port")? {
            self.port = port_number(port).ok_or_else(|| matches.wrong("port", PORT, port))?;
        }
        if let Some(text) = matches.text("client_advertise")? {
            let advertised = advertised(text);
            self.client_advertise =
                Some(advertised.ok_or_else(|| matches.wrong("client_advertise", ADVERTISE, text))?);
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
        Ok(())
    }

    fn facts(&self, facts: &mut Facts) {
        facts.fixed("host", &self.host);
        facts.fixed("port", &self.port);
        let advertise = |(host, port): &(String, Option<u16>)| match port {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        facts.live("client_advertise", &OrNone(self.client_advertise.as_ref().map(advertise)));
        facts.fixed("server_name", &OrNone(self.name.as_deref()));
        match &self.socket {
            Socket::Usual => facts.fixed("socket", &"usual"),
            Socket::None => facts.fixed("socket", &"none"),
            Socket::At(path) => facts.fixed("socket", &path.display()),
        }
        facts.fixed("pid_file", &OrNone(self.pid_file.as_deref().map(Path::display)));
        facts.fixed("ports_file_dir", &OrNone(self.ports_file_dir.as_deref().map(Path::display)));
    }
}

const ADVERTISE: &str = "HOST or HOST:PORT";
const PORT: &str = "a port, or -1 for any that is free";

pub(super) fn port_number(text: &str) -> Option<u16> {
    if text == "-1" { Some(0) } else { text.parse().ok().filter(|port| *port > 0) }
}

/// `HOST:PORT`, `[::1]:PORT` or `PORT`; -1 is any port that is free.
pub(super) fn host_port(text: &str) -> Option<(Option<String>, u16)> {
    let (host, port) = text.rsplit_once(':').map_or((None, text), |(host, port)| (Some(host), port));
    let host = host.map(|host| host.trim_start_matches('[').trim_end_matches(']').to_owned());
    Some((host, port_number(port)?))
}

/// `HOST`, `HOST:PORT` or `[::1]:PORT`.
fn advertised(text: &str) -> Option<(String, Option<u16>)> {
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (bare(host), Some(port.parse().ok()?))
        }
        _ => (bare(text), None),
    };
    (!host.is_empty()).then_some((host, port))
}
