//! JSON (RFC 8259): a reader that validates everything and copies nothing, and a writer that cannot fail to
//! make JSON.

mod scan;
mod value;
mod write;

pub use value::{Array, Chars, Elements, Members, Number, Object, Str, SyntaxError, Value, parse};
pub use write::Writer;

/// How deep arrays and objects may nest, both in what is read and in what is written.
pub const MAX_DEPTH: usize = 32;
