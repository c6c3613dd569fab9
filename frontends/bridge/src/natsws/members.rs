//! A JSON object with some members replaced, and all others, known or not, as they were.

use lunix_proto::json::{Value, Writer, parse};

/// `json` without the members that are `dropped`, and with what is `added`; `None` if it is no object.
pub(super) fn replaced(
    json: &[u8],
    dropped: impl Fn(&str) -> bool,
    added: impl Fn(&mut Writer<'_>),
) -> Option<Vec<u8>> {
    let object = parse(json).ok()?.as_object()?;
    let write = |out: &mut [u8]| {
        let mut writer = Writer::new(out);
        writer.begin_object();
        for (key, value) in object.iter() {
            let key: String = key.chars().collect();
            if !dropped(&key) {
                writer.key(&key);
                put(&mut writer, value);
            }
        }
        added(&mut writer);
        writer.end_object().finish()
    };
    let mut out = vec![0; 2 * json.len() + 256];
    let len = match write(&mut out) {
        Ok(len) => len,
        Err(full) => {
            out.resize(full.needed, 0);
            write(&mut out).ok()?
        }
    };
    out.truncate(len);
    Some(out)
}

fn put<'w, 'o>(writer: &'w mut Writer<'o>, value: Value<'_>) -> &'w mut Writer<'o> {
    match value {
        Value::Null => writer.null(),
        Value::Bool(truth) => writer.bool(truth),
        Value::Number(number) => writer.raw(number.as_raw().as_bytes()),
        Value::String(text) => writer.str(text),
        Value::Array(array) => {
            writer.begin_array();
            for element in array.iter() {
                put(writer, element);
            }
            writer.end_array()
        }
        Value::Object(object) => {
            writer.begin_object();
            for (key, value) in object.iter() {
                writer.key(&key.chars().collect::<String>());
                put(writer, value);
            }
            writer.end_object()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_replaced_stays() {
        let json = br#"{"host":"a","new":{"x":[1,2.5e3,null,true,"\u00e4"]},"port":4222}"#;
        let found = replaced(
            json,
            |key| matches!(key, "host" | "port"),
            |writer| {
                writer.key("port").number(80);
            },
        );
        assert_eq!(found.unwrap(), "{\"new\":{\"x\":[1,2.5e3,null,true,\"ä\"]},\"port\":80}".as_bytes());
        assert_eq!(replaced(b"[]", |_| false, |_| ()), None);
    }
}
