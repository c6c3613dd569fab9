//! The NATS client protocol, both sides of it, lexed as nats-server does.

mod connect;
mod decode;
pub mod encode;
mod fields;
pub mod header;
mod info;
pub mod leaf;
mod op;
mod scan;
pub mod subject;

pub use connect::Connect;
pub use decode::{ClientDecoder, DecodeError, Limits, ServerDecoder};
pub use fields::FieldError;
pub use info::{Info, UrlIter, Urls};
pub use op::{ClientOp, Message, Publish, ServerOp};
