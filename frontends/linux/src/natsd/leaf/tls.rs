//! TLS between leaf nodes and hubs: begun by who connects, after the hub's `INFO` or, with `handshake_first`, before it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use lunix_core::broker::ClientId;
use lunix_core::time::Instant;

use crate::natsd::server::{Server, Token};
use crate::natsd::settings::{First, Remote, Tls};
use crate::natsd::tls::Connector;
use crate::natsd::transport::Transport;
use crate::reactor::{Reactor, Ready};

/// A connection to a hub as it begins.
///
/// # Errors
/// What is wrong with the certificates.
pub(super) fn first(
    remote: &Remote,
    host: Option<&str>,
    address: SocketAddr,
    socket: OwnedFd,
    now: Instant,
) -> Result<Transport, String> {
    match &remote.tls {
        Some(tls) if tls.first == First::Always => {
            let name = host.map_or_else(|| address.ip().to_string(), str::to_owned);
            Ok(Transport::Tls(Box::new(Connector::new(tls)?.connect(socket, &name, now)?)))
        }
        _ => Ok(Transport::Plain(socket)),
    }
}

impl Server {
    /// Goes on in TLS with a hub, which is what it says it is by a certificate for `host`.
    pub(super) fn begin_tls(
        &mut self,
        reactor: &mut Reactor<Token>,
        client: ClientId,
        tls: Option<&Tls>,
        host: &str,
    ) -> Result<(), String> {
        let Some(connection) = self.wires.connection(client.index()) else { return Ok(()) };
        let Transport::Plain(socket) = &connection.transport else { return Ok(()) };
        let connector = Connector::new(tls.unwrap_or(&Tls::default()))?;
        let socket = socket.try_clone().map_err(|error| error.to_string())?;
        let transport = Transport::Tls(Box::new(connector.connect(socket, host, reactor.now())?));
        reactor.remove(connection.key, &connection.transport);
        let token = Token::Client(client.index());
        connection.key = reactor.add(&transport, token, Ready::READ).map_err(|error| error.to_string())?;
        connection.transport = transport;
        self.wires.soil(client.index());
        Ok(())
    }
}
