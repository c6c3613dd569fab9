//! The table for people: docs/subjects.md.

use std::fmt::Write as _;

use super::{Body, Field, GROUPS, Shape, Type, shapes};

const HEAD: &str = "\
<!-- Made by `lunix schema --markdown`; change frontends/linux/src/schema/table.rs instead. -->

# Subjects

All that the programs say and answer. `lunix schema` prints the same as AsyncAPI 3, `lunix watch` shows it live.

- Payloads are one JSON object unless said otherwise. Unknown keys are ignored; members without a value are left out.
- A `list` request answers with the present state: subscribe, ask once, and nothing is missed.
- `<name>` stands for one token.
- Every program but `natsd` is a NATS micro-service (ADR-32): `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS` find it,
  and so does `nats micro ls`.
";

/// The reference in Markdown.
pub fn markdown() -> String {
    let mut out = String::from(HEAD);
    for group in GROUPS {
        let _ = write!(out, "\n## {}\n\n{}\n\n", group.program, group.about);
        out.push_str("| subject | direction | what | payload | answer |\n|---|---|---|---|---|\n");
        for subject in group.subjects {
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} | {} |",
                subject.address,
                subject.kind.as_str(),
                subject.about,
                link(subject.payload),
                subject.reply.map(link).unwrap_or_default()
            );
        }
        if !group.notes.is_empty() {
            out.push('\n');
        }
        for note in group.notes {
            let _ = writeln!(out, "- {note}");
        }
    }
    out.push_str("\n## Payloads\n");
    for shape in shapes() {
        let Body::Object(fields) = &shape.body else { continue };
        let _ = write!(out, "\n### {}\n\n", shape.name);
        if !shape.about.is_empty() {
            let _ = write!(out, "{}\n\n", shape.about);
        }
        out.push_str("| key | type | |\n|---|---|---|\n");
        for field in *fields {
            let _ = writeln!(out, "| `{}` | {} | {} |", field.key, kind(field), field.about);
        }
    }
    out
}

fn link(shape: &Shape) -> String {
    match &shape.body {
        Body::Nothing => String::new(),
        Body::Text => "text".into(),
        Body::Object(_) => format!("[{}](#{})", shape.name, shape.name.to_lowercase()),
        Body::List(part) => match &part.body {
            // `or` alone would bind less than `array of`.
            Body::OneOf(_) => format!("array of ({})", link(part)),
            _ => format!("array of {}", link(part)),
        },
        Body::OneOf(parts) => parts.iter().map(|part| link(part)).collect::<Vec<_>>().join(" or "),
    }
}

fn kind(field: &Field) -> String {
    let kind = match &field.kind {
        Type::Text => "string".into(),
        Type::Whole => "integer".into(),
        Type::Number => "number".into(),
        Type::Flag => "boolean".into(),
        Type::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" "),
        Type::Texts => "array of strings".into(),
        Type::Object(shape) => link(shape),
        Type::Objects(shape) => format!("array of {}", link(shape)),
        Type::Map => "object".into(),
    };
    if field.required { kind } else { format!("{kind}, optional") }
}
