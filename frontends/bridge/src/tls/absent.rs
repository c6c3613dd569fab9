//! TLS where it is left out: types that cannot be made.

use tokio::net::TcpStream;

use super::Terms;
use crate::stream::Stream;

const ABSENT: &str = "TLS is not in this build";

#[derive(Debug)]
pub(crate) enum Acceptor {}

impl Acceptor {
    pub(crate) fn new(_: Terms) -> Result<Self, String> {
        Err(ABSENT.to_owned())
    }

    pub(crate) fn renew(&self) -> Result<(), String> {
        match *self {}
    }

    pub(crate) async fn accept(&self, _: TcpStream) -> Result<(Stream, Option<Shown>), String> {
        match *self {}
    }
}

pub(crate) enum Shown {}

impl Shown {
    pub(crate) fn user<'u>(&self, _: impl Iterator<Item = &'u str>) -> Option<&'u str> {
        match *self {}
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Connector {}

impl Connector {
    pub(crate) fn new(_: &lunix::bus::TlsFiles) -> Result<Self, String> {
        Err(ABSENT.to_owned())
    }

    pub(crate) async fn connect(&self, _: String, _: Stream) -> std::io::Result<Stream> {
        match *self {}
    }
}
