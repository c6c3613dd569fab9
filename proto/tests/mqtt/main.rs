//! The MQTT codec: what bytes mean, what is refused, streams in pieces, topics and subjects, two other codecs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod golden;
mod made;
mod peers;
mod refused;
mod split;
mod subjects;

use lunix_proto::Full;
use lunix_proto::mqtt::{
    ClientDecoder, ClientPacket, Connack, Connect, DecodeError, Limits, List, Property, ServerDecoder,
    ServerPacket, Version,
};

/// What either side says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Said<'b> {
    Client(ClientPacket<'b>),
    Server(ServerPacket<'b>),
}

impl Said<'_> {
    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, Full> {
        match self {
            Said::Client(packet) => packet.encode(version, out),
            Said::Server(packet) => packet.encode(version, out),
        }
    }

    /// The packet, which every room that is too short must have foretold.
    pub(crate) fn bytes(&self, version: Version) -> Vec<u8> {
        let needed = self.encode(version, &mut []).unwrap_err().needed;
        assert_eq!(self.encode(version, &mut vec![0; needed - 1]), Err(Full { needed }));
        let mut out = vec![0; needed + 1];
        assert_eq!(self.encode(version, &mut out), Ok(needed));
        out.truncate(needed);
        out
    }
}

/// Either decoder, past the beginning of the connection.
pub(crate) enum Decoder {
    Client(ClientDecoder),
    Server(ServerDecoder),
}

impl Decoder {
    /// A client's has heard `CONNECT` with an authentication method, a server's `CONNACK`, so that all may follow.
    pub(crate) fn begun(by_server: bool, version: Version, limits: Limits) -> Self {
        if by_server {
            let mut decoder = ServerDecoder::new(version, limits);
            let hello = Said::Server(ServerPacket::Connack(Connack::default())).bytes(version);
            decoder.decode(&hello).unwrap().unwrap();
            Self::Server(decoder)
        } else {
            let mut decoder = ClientDecoder::new(limits);
            let connect =
                Connect { properties: List::of(&[Property::AuthenticationMethod("m")]), ..connect(version) };
            let hello = Said::Client(ClientPacket::Connect(connect)).bytes(version);
            decoder.decode(&hello).unwrap().unwrap();
            Self::Client(decoder)
        }
    }

    /// That reads this packet: from the beginning, if that is where it stands.
    pub(crate) fn of(said: &Said<'_>, version: Version, limits: Limits) -> Self {
        match said {
            Said::Client(ClientPacket::Connect(_)) => Self::Client(ClientDecoder::new(limits)),
            Said::Server(ServerPacket::Connack(_)) => Self::Server(ServerDecoder::new(version, limits)),
            Said::Client(_) => Self::begun(false, version, limits),
            Said::Server(_) => Self::begun(true, version, limits),
        }
    }

    pub(crate) fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<(Said<'b>, usize)>, DecodeError> {
        Ok(match self {
            Self::Client(decoder) => decoder.decode(bytes)?.map(|(packet, len)| (Said::Client(packet), len)),
            Self::Server(decoder) => decoder.decode(bytes)?.map(|(packet, len)| (Said::Server(packet), len)),
        })
    }

    pub(crate) fn needed(&self) -> usize {
        match self {
            Self::Client(decoder) => decoder.needed(),
            Self::Server(decoder) => decoder.needed(),
        }
    }
}

pub(crate) fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        client_id: "me",
        will: None,
        username: None,
        password: None,
        properties: List::EMPTY,
    }
}
