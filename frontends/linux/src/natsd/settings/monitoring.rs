//! Where the server tells about itself.

use super::facts::OrNone;
use super::listen::{host_port, port_number};
use super::{Facts, Subject};
use crate::cli::{Matches, UsageError};
use crate::config::Section;

/// Where the server tells about itself over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// Where it listens; where it listens for clients if there is none.
    pub host: Option<String>,
    /// The port; 0 for any that is free, none for no HTTP at all.
    pub port: Option<u16>,
    /// It speaks TLS, by the certificate that clients are shown.
    pub secure: bool,
    /// What stands before all paths: empty, or it begins with a slash and does not end with one.
    pub base_path: String,
    /// How many closed connections are remembered.
    pub closed: usize,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self { host: None, port: None, secure: false, base_path: String::new(), closed: 128 }
    }
}

const PORT: &str = "a port, or -1 for any that is free";

impl Subject for Monitoring {
    fn configure(&mut self, file: &mut Section) {
        if !cfg!(feature = "monitoring") {
            file.ignore(&["http_base_path", "max_closed_clients"]);
            return file
                .left_out(&["http", "http_port", "monitor_port", "https", "https_port"], "monitoring is");
        }
        let http = file.take(&["http"]);
        if let Some((host, port)) = http.and_then(|value| value.parsed("HOST:PORT or PORT", host_port)) {
            self.port = Some(port);
            self.host = host.or(self.host.take());
        }
        let port = file.take(&["http_port", "monitor_port"]);
        self.port = port.and_then(|value| value.parsed(PORT, port_number)).or(self.port);
        let https = file.take(&["https"]);
        let place = https.as_ref().and_then(|value| value.parsed("HOST:PORT or PORT", host_port));
        let secure = file.take(&["https_port"]);
        let port = secure.as_ref().and_then(|value| value.parsed(PORT, port_number));
        if let Some(value) = https.or(secure) {
            if self.port.is_some() {
                value.note("expected either HTTP or HTTPS");
            }
            self.secure = true;
            self.port = port.or(place.as_ref().map(|(_, port)| *port));
            self.host = place.and_then(|(host, _)| host).or(self.host.take());
        }
        if let Some(path) = file.text(&["http_base_path"]) {
            self.base_path = base(&path);
        }
        if let Some(number) = file.integer(&["max_closed_clients"], 0, 1 << 20) {
            self.closed = usize::try_from(number).unwrap_or(0);
        }
    }

    fn apply(&mut self, matches: &Matches) -> Result<(), UsageError> {
        if let Some(port) = matches.text("http_port")? {
            if !cfg!(feature = "monitoring") {
                return Err(matches.error(format_args!("--http_port: monitoring is not in this build")));
            }
            self.port = Some(port_number(port).ok_or_else(|| matches.wrong("http_port", PORT, port))?);
            self.secure = false;
        }
        if let Some(port) = matches.text("https_port")? {
            self.port = Some(port_number(port).ok_or_else(|| matches.wrong("https_port", PORT, port))?);
            self.secure = true;
        }
        Ok(())
    }

    fn facts(&self, facts: &mut Facts) {
        facts.fixed("http_host", &OrNone(self.host.as_deref()));
        facts.fixed("http_port", &OrNone(self.port));
        facts.fixed("https", &self.secure);
        facts.fixed("http_base_path", &self.base_path);
        facts.fixed("max_closed_clients", &self.closed);
    }
}

/// `a/b/` becomes `/a/b`.
fn base(path: &str) -> String {
    let path = path.trim_matches('/');
    if path.is_empty() { String::new() } else { format!("/{path}") }
}
