//! MQTT 3.1, 3.1.1 and 5, both sides of it.
//!
//! Sections and statements in brackets are those of the OASIS Standards MQTT Version 5.0 (2019) and, where that is
//! said, MQTT Version 3.1.1 (2014). A server reads with [`ClientDecoder`] and writes [`ServerPacket`]s; a client does
//! the reverse. How topics become subjects of NATS is in [`subject`], and how
//! bridges move them in [`remap`].
//!
//! ```
//! use lunix_proto::mqtt::{ClientDecoder, ClientPacket, Connack, Limits, ReasonCode, ServerPacket, Version};
//! let mut decoder = ClientDecoder::new(Limits::default());
//! let connect = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3C\x00\x04lamp";
//! let Ok(Some((ClientPacket::Connect(connect), 18))) = decoder.decode(connect) else { panic!() };
//! assert_eq!((connect.version, connect.client_id, connect.keep_alive), (Version::V311, "lamp", 60));
//!
//! let welcome = ServerPacket::Connack(Connack { reason: ReasonCode::Success, ..Connack::default() });
//! let mut out = [0; 64];
//! let len = welcome.encode(connect.version, &mut out).unwrap();
//! assert_eq!(&out[..len], b"\x20\x02\x00\x00");
//! let Ok(Some((ClientPacket::Publish(publish), 13))) = decoder.decode(b"\x30\x0B\x00\x05light\x6F\x66\x66\x21") else { panic!() };
//! assert_eq!((publish.topic, publish.payload), ("light", &b"off!"[..]));
//! ```

mod decode;
mod encode;
mod error;
mod list;
mod packet;
mod parse;
mod property;
mod read;
mod reason;
pub mod remap;
pub mod subject;
pub mod topic;

pub use decode::{ClientDecoder, Limits, ServerDecoder};
pub use error::DecodeError;
pub use list::{List, ListIter};
pub use packet::{
    Ack, Auth, ClientPacket, Connack, Connect, Delivery, Disconnect, PacketType, Payload, Publish, Qos,
    RetainHandling, ServerPacket, Suback, Subscribe, Subscription, Unsuback, Unsubscribe, Version, Will,
};
pub use property::Property;
pub use reason::ReasonCode;
