//! What all clients are told about the server.

use lunix_proto::json::Str;
use lunix_proto::nats::Info;

use super::settings::Listen;

/// What all clients are told about the server.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) headers: bool,
    pub(super) max_payload: u64,
    /// The server stops soon; clients should go elsewhere.
    pub(super) ldm: bool,
    /// The port that it listens on.
    pub(super) bound: u16,
}

/// The version of nats-server whose rules are followed. Clients decide by it what they may use.
pub(super) const LEVEL: &str = "2.15.1";

impl Identity {
    /// Says where clients reach the server: there where it listens, if nothing else is said.
    pub(super) fn advertise(&mut self, listen: &Listen) {
        let (host, port) = match &listen.client_advertise {
            Some((host, port)) => (host, port.unwrap_or(self.bound)),
            None => (&listen.host, self.bound),
        };
        host.clone_into(&mut self.host);
        self.port = port;
    }

    pub(super) fn info(&self) -> Info<'_> {
        Info {
            server_id: Str::new(&self.id),
            server_name: Str::new(&self.name),
            version: Str::new(LEVEL),
            go: Str::new("rust"),
            proto: 1,
            host: Str::new(&self.host),
            port: self.port,
            headers: self.headers,
            max_payload: self.max_payload,
            ldm: self.ldm,
            ..Info::default()
        }
    }
}
