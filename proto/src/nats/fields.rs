//! Structs that are JSON objects on the wire: the one list of a struct's fields that is read and written by.

use crate::json::{Str, Value, Writer};

/// What is wrong with the JSON of `CONNECT` or `INFO`; nats-server closes without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// It is no JSON object.
    Syntax,
    /// The value of this key has the wrong type.
    Type(&'static str),
}

impl core::fmt::Display for FieldError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Syntax => f.write_str("no JSON object"),
            Self::Type(key) => write!(f, "the value of \"{key}\" has the wrong type"),
        }
    }
}

impl core::error::Error for FieldError {}

/// What a field can hold.
pub(super) trait Field<'b>: Sized {
    fn read(value: Value<'b>) -> Option<Self>;
    fn write(&self, json: &mut Writer<'_>);
    /// Whether it says as much as no field at all.
    fn is_omissible(&self) -> bool;
}

impl<'b> Field<'b> for bool {
    fn read(value: Value<'b>) -> Option<Self> {
        value.as_bool()
    }

    fn write(&self, json: &mut Writer<'_>) {
        json.bool(*self);
    }

    fn is_omissible(&self) -> bool {
        !*self
    }
}

impl<'b> Field<'b> for Str<'b> {
    fn read(value: Value<'b>) -> Option<Self> {
        value.as_str()
    }

    fn write(&self, json: &mut Writer<'_>) {
        json.str(*self);
    }

    fn is_omissible(&self) -> bool {
        self.is_empty()
    }
}

impl<'b> Field<'b> for i64 {
    fn read(value: Value<'b>) -> Option<Self> {
        value.as_i64()
    }

    fn write(&self, json: &mut Writer<'_>) {
        json.signed(*self);
    }

    fn is_omissible(&self) -> bool {
        *self == 0
    }
}

impl<'b> Field<'b> for u64 {
    fn read(value: Value<'b>) -> Option<Self> {
        value.as_u64()
    }

    fn write(&self, json: &mut Writer<'_>) {
        json.number(*self);
    }

    fn is_omissible(&self) -> bool {
        *self == 0
    }
}

impl<'b> Field<'b> for u16 {
    fn read(value: Value<'b>) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }

    fn write(&self, json: &mut Writer<'_>) {
        json.number(u64::from(*self));
    }

    fn is_omissible(&self) -> bool {
        *self == 0
    }
}

/// The longest key of any struct.
pub(super) const MAX_KEY: usize = 16;

/// Reads a struct from, and writes it to, an object whose keys are the names of its fields.
macro_rules! json_object {
    ($type:ident, always: $($always:ident)*, unless_empty: $($unless_empty:ident)*) => {
        impl<'b> $type<'b> {
            /// Reads the fields that `json` has; the others stay as they are, and so does everything on error.
            ///
            /// Go's rules: keys are known whatever their case, unknown ones are ignored, of several the last one
            /// wins, and `null` is as good as no key or no object.
            fn read(&mut self, json: &'b [u8]) -> Result<(), FieldError> {
                const { $(assert!(stringify!($always).len() <= MAX_KEY);)* }
                const { $(assert!(stringify!($unless_empty).len() <= MAX_KEY);)* }
                let value = parse(json).map_err(|_| FieldError::Syntax)?;
                if value.is_null() {
                    return Ok(());
                }
                let object = value.as_object().ok_or(FieldError::Syntax)?;
                let mut new = *self;
                for (key, value) in object {
                    let mut room = [0; MAX_KEY];
                    let Ok(len) = key.unescape(&mut room).map(str::len) else { continue };
                    room.make_ascii_lowercase();
                    if value.is_null() {
                        continue;
                    }
                    let key = room.get(..len).unwrap_or_default();
                    $(if key == stringify!($always).as_bytes() {
                        new.$always = Field::read(value).ok_or(FieldError::Type(stringify!($always)))?;
                    })*
                    $(if key == stringify!($unless_empty).as_bytes() {
                        new.$unless_empty = Field::read(value).ok_or(FieldError::Type(stringify!($unless_empty)))?;
                    })*
                }
                *self = new;
                Ok(())
            }

            /// Writes the JSON and returns its length. False, zero and empty fields that no peer misses are
            /// omitted.
            pub fn write(&self, out: &mut [u8]) -> Result<usize, Full> {
                let mut json = Writer::new(out);
                json.begin_object();
                $(Field::write(&self.$always, json.key(stringify!($always)));)*
                $(if !self.$unless_empty.is_omissible() {
                    Field::write(&self.$unless_empty, json.key(stringify!($unless_empty)));
                })*
                json.end_object().finish()
            }
        }
    };
}
pub(super) use json_object;
