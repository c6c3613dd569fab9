//! What all clients are told about the server.

use lunix_proto::json::Str;
use lunix_proto::nats::Info;

/// What all clients are told about the server.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) headers: bool,
    pub(super) max_payload: u64,
}

/// The version of nats-server whose rules are followed. Clients decide by it what they may use.
pub(super) const LEVEL: &str = "2.15.1";

impl Identity {
    pub(super) fn info(&self) -> Info<'_> {
        Info {
            server_id: Str::new(&self.id),
            server_name: Str::new(&self.name),
            version: Str::new(LEVEL),
            proto: 1,
            host: Str::new(&self.host),
            port: self.port,
            headers: self.headers,
            max_payload: self.max_payload,
            ..Info::default()
        }
    }
}
