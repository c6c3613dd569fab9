//! The table for programs: AsyncAPI 3.0 as JSON.
//!
//! The document describes lunix, so an event is what it *sends* and a request is what it *receives*. A subject that
//! others publish and lunix listens to is received as well.

use std::fmt::Write as _;

use lunix_proto::Full;
use lunix_proto::json::Writer;

use super::{Body, Field, GROUPS, Kind, Shape, Subject, Type, shapes};
use crate::encoded::encoded;

/// The document, indented.
pub fn asyncapi() -> String {
    indented(&String::from_utf8_lossy(&encoded(64 * 1024, write)))
}

fn write(out: &mut [u8]) -> Result<usize, Full> {
    let mut json = Writer::new(out);
    json.begin_object();
    json.key("asyncapi").string("3.0.0");
    json.key("info").begin_object();
    json.key("title").string("lunix");
    json.key("version").string(env!("CARGO_PKG_VERSION"));
    json.key("description").string("Everything in user space, said over NATS.");
    json.end_object();
    json.key("defaultContentType").string("application/json");
    json.key("servers").begin_object().key("local").begin_object();
    json.key("host").string("127.0.0.1:4222").key("protocol").string("nats").end_object().end_object();

    json.key("channels").begin_object();
    for (program, subject) in subjects() {
        json.key(&id(subject)).begin_object();
        json.key("address").string(&subject.address.replace('<', "{").replace('>', "}"));
        json.key("description").string(subject.about);
        json.key("tags").begin_array().begin_object().key("name").string(program).end_object().end_array();
        let names: Vec<_> = parameters(subject).collect();
        if !names.is_empty() {
            json.key("parameters").begin_object();
            for name in names {
                json.key(name).begin_object().key("description").string("one token").end_object();
            }
            json.end_object();
        }
        messages(&mut json, subject.payload);
        json.end_object();
        if let Some(reply) = subject.reply {
            // Wherever the request's reply subject points to.
            json.key(&format!("{}-reply", id(subject))).begin_object().key("address").null();
            messages(&mut json, reply);
            json.end_object();
        }
    }
    json.end_object();

    json.key("operations").begin_object();
    for (_, subject) in subjects() {
        json.key(&id(subject)).begin_object();
        json.key("action").string(if subject.kind == Kind::Event { "send" } else { "receive" });
        json.key("channel");
        reference(&mut json, "channels", &id(subject));
        json.key("summary").string(subject.about);
        if subject.reply.is_some() {
            json.key("reply").begin_object().key("channel");
            reference(&mut json, "channels", &format!("{}-reply", id(subject)));
            json.end_object();
        }
        json.end_object();
    }
    json.end_object();

    json.key("components").begin_object();
    json.key("messages").begin_object();
    for shape in shapes() {
        json.key(shape.name).begin_object().key("name").string(shape.name);
        let json_type = !matches!(shape.body, Body::Text | Body::Nothing);
        json.key("contentType").string(if json_type { "application/json" } else { "text/plain" });
        json.key("payload");
        reference(&mut json, "components/schemas", shape.name);
        json.end_object();
    }
    json.end_object();
    json.key("schemas").begin_object();
    for shape in shapes() {
        json.key(shape.name).begin_object();
        if !shape.about.is_empty() {
            json.key("description").string(shape.about);
        }
        body(&mut json, shape);
        json.end_object();
    }
    json.end_object().end_object();
    json.end_object();
    json.finish()
}

fn subjects() -> impl Iterator<Item = (&'static str, &'static Subject)> {
    GROUPS.iter().flat_map(|group| group.subjects.iter().map(|subject| (group.program, subject)))
}

/// `service.<name>.start` -> `service-name-start`.
fn id(subject: &Subject) -> String {
    subject.address.replace('.', "-").replace(['<', '>'], "")
}

fn parameters(subject: &Subject) -> impl Iterator<Item = &'static str> {
    subject.address.split('.').filter_map(|token| token.strip_prefix('<')?.strip_suffix('>'))
}

/// A choice of payloads is one message each.
fn messages(json: &mut Writer<'_>, shape: &Shape) {
    json.key("messages").begin_object();
    let mut one = |shape: &Shape| {
        json.key(shape.name);
        reference(json, "components/messages", shape.name);
    };
    match &shape.body {
        Body::OneOf(parts) => parts.iter().for_each(|part| one(part)),
        _ => one(shape),
    }
    json.end_object();
}

fn reference(json: &mut Writer<'_>, place: &str, name: &str) {
    json.begin_object().key("$ref").string(&format!("#/{place}/{name}")).end_object();
}

fn body(json: &mut Writer<'_>, shape: &Shape) {
    match &shape.body {
        Body::Nothing | Body::Text => {
            json.key("type").string("string");
        }
        Body::List(part) => {
            json.key("type").string("array").key("items");
            reference(json, "components/schemas", part.name);
        }
        Body::OneOf(parts) => {
            json.key("oneOf").begin_array();
            for part in *parts {
                reference(json, "components/schemas", part.name);
            }
            json.end_array();
        }
        Body::Object(fields) => {
            json.key("type").string("object").key("properties").begin_object();
            for field in *fields {
                json.key(field.key).begin_object();
                member(json, field);
                json.end_object();
            }
            json.end_object();
            if fields.iter().any(|field| field.required) {
                json.key("required").begin_array();
                for field in fields.iter().filter(|field| field.required) {
                    json.string(field.key);
                }
                json.end_array();
            }
        }
    }
}

fn member(json: &mut Writer<'_>, field: &Field) {
    if let Type::Object(shape) = &field.kind {
        // What stands beside a reference counts since JSON Schema 2019-09, which AsyncAPI 3 does not follow.
        json.key("$ref").string(&format!("#/components/schemas/{}", shape.name));
        return;
    }
    let name = match &field.kind {
        Type::Text | Type::Word(_) => "string",
        Type::Whole => "integer",
        Type::Number => "number",
        Type::Flag => "boolean",
        Type::Texts | Type::Objects(_) => "array",
        Type::Map | Type::Object(_) => "object",
    };
    json.key("type").string(name);
    match &field.kind {
        Type::Word(words) => {
            json.key("enum").begin_array();
            for word in *words {
                json.string(word);
            }
            json.end_array();
        }
        Type::Texts => {
            json.key("items").begin_object().key("type").string("string").end_object();
        }
        Type::Objects(shape) => {
            json.key("items");
            reference(json, "components/schemas", shape.name);
        }
        _ => {}
    }
    if !field.about.is_empty() {
        json.key("description").string(field.about);
    }
}

/// `json`, which has no white space outside of strings, in lines.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut string, mut escaped) = (0_usize, false, false);
    let mut chars = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        let _ = write!(out, "\n{:1$}", "", depth * 2);
    };
    while let Some(c) = chars.next() {
        if string {
            out.push(c);
            string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                if let Some(end) = chars.next_if(|&next| next == '}' || next == ']') {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => {
                string = c == '"';
                out.push(c);
            }
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        fn visit(value: &Value, document: &Value, count: &mut usize) {
            match value {
                Value::Object(object) => {
                    if let Some(Value::String(place)) = object.get("$ref") {
                        *count += 1;
                        assert!(document.pointer(place.trim_start_matches('#')).is_some(), "{place}");
                    }
                    object.values().for_each(|value| visit(value, document, count));
                }
                Value::Array(array) => array.iter().for_each(|value| visit(value, document, count)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(&asyncapi()).unwrap();
        let mut count = 0;
        visit(&document, &document, &mut count);
        assert!(count > 50, "{count}");
        let channels = document["channels"].as_object().unwrap();
        assert_eq!(channels["service-name-state"]["address"], "service.{name}.{state}");
        assert_eq!(document["operations"]["toast-in"]["action"], "receive");
    }

    #[test]
    fn indentation_changes_nothing_else() {
        let json = r#"{"a":[1,{"b":"x,{}:\"\\"}],"c":{},"d":[]}"#;
        let text = indented(json);
        assert_eq!(text.lines().count(), 10);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, serde_json::from_str::<Value>(json).unwrap());
    }
}
