//! Reads what is sent to the service.
//!
//! A payload that parses as one JSON object is that object; everything else is plain text, also text that
//! merely begins with `{`. An object is read strictly, so that a mistake is answered and not shown: a key that is
//! known must hold what it must, `null` counts as absent, unknown keys are ignored. An object without `summary`
//! is refused: it was meant for somebody else.

use super::request::{MAX_ACTIONS, Offer, Refusal, Request, Urgency};
use super::text::{Lines, Text};
use lunix_proto::json::{self, Object, Str, Value};

const STRING: &str = "a string";
const ID: &str = "the number of a toast";

/// The payload of `toast.in`. The first line of plain text that shows anything is the summary, the rest the body.
///
/// ```
/// use lunix_core::toast::{decode, Urgency};
/// let plain = decode::request(b"a USB stick was plugged in!")?;
/// assert!(plain.summary.chars().eq("a USB stick was plugged in!".chars()));
/// let object = decode::request(br#"{"summary": "copying", "urgency": "low", "progress": 40}"#)?;
/// assert_eq!((object.urgency, object.progress), (Urgency::Low, Some(40)));
/// let error = decode::request(br#"{"summary": "copying", "progress": 140}"#).unwrap_err();
/// # extern crate std;
/// assert_eq!(std::string::ToString::to_string(&error), "progress: expected a whole number, 0 to 100");
/// # Ok::<(), lunix_core::toast::Refusal>(())
/// ```
///
/// # Errors
/// Names the key and what was expected.
pub fn request(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let Some(object) = object(payload) else { return plain(payload) };
    let string = |key: &'static str| text(&object, key).map(Option::unwrap_or_default);
    Ok(Request {
        summary: text(&object, "summary")?.ok_or(Refusal::invalid("summary", STRING))?,
        body: string("body")?,
        app: string("app")?,
        icon: string("icon")?,
        urgency: urgency(&object)?,
        timeout_ms: number(&object, "timeout_ms", "milliseconds, a whole number, 0 to 4294967295")?,
        replaces: number(&object, "replaces", ID)?,
        progress: progress(&object)?,
        resident: truth(&object, "resident")?,
        transient: truth(&object, "transient")?,
        actions: actions(&object)?,
    })
}

/// The payload of `toast.close` and `toast.dismiss`: `{"id": 3}`, or `3` as text.
///
/// ```
/// use lunix_core::toast::decode;
/// assert_eq!(decode::id(br#"{"id": 3}"#), Ok(3));
/// assert_eq!(decode::id(b"3\n"), Ok(3));
/// assert!(decode::id(b"three").is_err());
/// ```
///
/// # Errors
/// There is no id in it.
pub fn id(payload: &[u8]) -> Result<u32, Refusal> {
    let missing = Refusal::invalid("id", ID);
    match json::parse(payload) {
        Ok(Value::Object(object)) => number(&object, "id", ID)?.ok_or(missing),
        Ok(value) => value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or(missing),
        Err(_) => Err(missing),
    }
}

/// The payload of `toast.action`: `{"id": 3, "action": "open"}`.
///
/// ```
/// use lunix_core::toast::decode;
/// let (id, action) = decode::action(br#"{"id": 3, "action": "open"}"#)?;
/// assert!(id == 3 && action.chars().eq("open".chars()));
/// # Ok::<(), lunix_core::toast::Refusal>(())
/// ```
///
/// # Errors
/// Names the key and what was expected.
pub fn action(payload: &[u8]) -> Result<(u32, Text<'_>), Refusal> {
    let object = object(payload).ok_or(Refusal::Payload { expected: "a JSON object" })?;
    let id = number(&object, "id", ID)?.ok_or(Refusal::invalid("id", ID))?;
    let action = text(&object, "action")?.ok_or(Refusal::invalid("action", STRING))?;
    Ok((id, action))
}

fn object(payload: &[u8]) -> Option<Object<'_>> {
    json::parse(payload).ok()?.as_object()
}

fn plain(payload: &[u8]) -> Result<Request<'_>, Refusal> {
    let payload = payload.trim_ascii();
    if payload.is_empty() {
        return Err(Refusal::Payload { expected: "text or a JSON object" });
    }
    let (mut summary, mut body) = (&b""[..], payload);
    // A line that shows nothing, be it empty or all escape sequences, is no summary.
    while !body.is_empty() && Text::from(summary).printable(Lines::Joined).all(char::is_whitespace) {
        let mut lines = body.splitn(2, |&byte| byte == b'\n');
        (summary, body) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    }
    Ok(Request { summary: summary.into(), body: body.into(), ..Request::default() })
}

fn value<'b>(object: &Object<'b>, key: &str) -> Option<Value<'b>> {
    object.get(key).filter(|value| !matches!(value, Value::Null))
}

fn string<'b>(
    object: &Object<'b>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<Str<'b>>, Refusal> {
    value(object, key).map(|value| value.as_str().ok_or(Refusal::invalid(key, expected))).transpose()
}

fn text<'b>(object: &Object<'b>, key: &'static str) -> Result<Option<Text<'b>>, Refusal> {
    Ok(string(object, key, STRING)?.map(Text::from))
}

fn number<N: TryFrom<u64>>(
    object: &Object<'_>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<N>, Refusal> {
    let fit = |value: Value<'_>| value.as_u64().and_then(|number| N::try_from(number).ok());
    value(object, key).map(|value| fit(value).ok_or(Refusal::invalid(key, expected))).transpose()
}

fn truth(object: &Object<'_>, key: &'static str) -> Result<bool, Refusal> {
    let Some(value) = value(object, key) else { return Ok(false) };
    value.as_bool().ok_or(Refusal::invalid(key, "true or false"))
}

fn urgency(object: &Object<'_>) -> Result<Urgency, Refusal> {
    const EXPECTED: &str = "low, normal or critical";
    let Some(name) = string(object, "urgency", EXPECTED)? else { return Ok(Urgency::default()) };
    [Urgency::Low, Urgency::Normal, Urgency::Critical]
        .into_iter()
        .find(|urgency| name.eq_str(urgency.as_str()))
        .ok_or(Refusal::invalid("urgency", EXPECTED))
}

fn progress(object: &Object<'_>) -> Result<Option<u8>, Refusal> {
    const EXPECTED: &str = "a whole number, 0 to 100";
    let percent = number::<u8>(object, "progress", EXPECTED)?;
    if percent.is_some_and(|percent| percent > 100) {
        Err(Refusal::invalid("progress", EXPECTED))
    } else {
        Ok(percent)
    }
}

fn actions<'b>(object: &Object<'b>) -> Result<[Option<Offer<'b>>; MAX_ACTIONS], Refusal> {
    const EXPECTED: &str = "an array of at most 6 objects {id, label}";
    let wrong = Refusal::invalid("actions", EXPECTED);
    let mut offers = [None; MAX_ACTIONS];
    let Some(value) = value(object, "actions") else { return Ok(offers) };
    for (index, element) in value.as_array().ok_or(wrong)?.iter().enumerate() {
        let place = offers.get_mut(index).ok_or(wrong)?;
        let offer = element.as_object().ok_or(wrong)?;
        let of_this = |refusal| match refusal {
            Refusal::Invalid { key, expected, .. } => {
                Refusal::Invalid { key, action: u8::try_from(index).ok(), expected }
            }
            other => other,
        };
        let id =
            text(&offer, "id").and_then(|id| id.ok_or(Refusal::invalid("id", STRING))).map_err(of_this)?;
        let label = text(&offer, "label").map_err(of_this)?.unwrap_or_default();
        *place = Some(Offer { id, label });
    }
    Ok(offers)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};

    fn said(text: Text<'_>) -> String {
        text.chars().collect()
    }

    #[test]
    fn text_is_text() {
        for plain in ["hello", "{hello}", "{\"summary\": \"cut", "[1,2]", "\"quoted\"", "42", "null"] {
            assert_eq!(said(request(plain.as_bytes()).unwrap().summary), plain);
        }
        let two = request(b"  first\nsecond\nthird\n").unwrap();
        assert_eq!((said(two.summary), said(two.body)), ("first".into(), "second\nthird".into()));
        let hidden = request(b"\x1b[2J\n\x00\r\nseen\nmore").unwrap();
        assert_eq!((said(hidden.summary), said(hidden.body)), ("seen".into(), "more".into()));
        assert_eq!(said(request(b"\xff\xfe").unwrap().summary), "\u{fffd}\u{fffd}");
        for empty in [&b""[..], b" \n\t "] {
            assert_eq!(request(empty).unwrap_err().to_string(), "expected text or a JSON object");
        }
    }

    #[test]
    fn every_key_is_read() {
        let whole = request(
            br#" {"summary":"s\u00e9","body":"b\nc","app":"a","icon":"i","urgency":"critical","timeout_ms":0,
                "replaces":7,"resident":true,"transient":false,"actions":[{"id":"ok","label":"Fine"},{"id":"no"}],"progress":100,"x":[{}]} "#,
        )
        .unwrap();
        assert_eq!(said(whole.summary), "s\u{e9}");
        assert_eq!(said(whole.body), "b\nc");
        assert_eq!((said(whole.app), said(whole.icon)), ("a".into(), "i".into()));
        assert_eq!(whole.urgency, Urgency::Critical);
        assert_eq!((whole.timeout_ms, whole.replaces, whole.progress), (Some(0), Some(7), Some(100)));
        assert_eq!((whole.resident, whole.transient), (true, false));
        let offers: std::vec::Vec<_> =
            whole.actions.iter().flatten().map(|offer| (said(offer.id), said(offer.label))).collect();
        assert_eq!(offers, [("ok".into(), "Fine".into()), ("no".into(), String::new())]);
        let nulls =
            request(br#"{"summary":"s","body":null,"actions":null,"urgency":null,"progress":null}"#).unwrap();
        assert_eq!(nulls.urgency, Urgency::Normal);
    }

    #[test]
    fn mistakes_are_named() {
        for (payload, error) in [
            (r#"{}"#, "summary: expected a string"),
            (r#"{"body":"b"}"#, "summary: expected a string"),
            (r#"{"summary":"s","transient":1}"#, "transient: expected true or false"),
            (r#"{"summary":3}"#, "summary: expected a string"),
            (r#"{"summary":"s","urgency":"high"}"#, "urgency: expected low, normal or critical"),
            (r#"{"summary":"s","urgency":2}"#, "urgency: expected low, normal or critical"),
            (
                r#"{"summary":"s","timeout_ms":"5s"}"#,
                "timeout_ms: expected milliseconds, a whole number, 0 to 4294967295",
            ),
            (
                r#"{"summary":"s","timeout_ms":-1}"#,
                "timeout_ms: expected milliseconds, a whole number, 0 to 4294967295",
            ),
            (
                r#"{"summary":"s","timeout_ms":4294967296}"#,
                "timeout_ms: expected milliseconds, a whole number, 0 to 4294967295",
            ),
            (r#"{"summary":"s","progress":101}"#, "progress: expected a whole number, 0 to 100"),
            (r#"{"summary":"s","progress":4.5}"#, "progress: expected a whole number, 0 to 100"),
            (r#"{"summary":"s","replaces":"x"}"#, "replaces: expected the number of a toast"),
            (
                r#"{"summary":"s","actions":{}}"#,
                "actions: expected an array of at most 6 objects {id, label}",
            ),
            (
                r#"{"summary":"s","actions":[1]}"#,
                "actions: expected an array of at most 6 objects {id, label}",
            ),
            (r#"{"summary":"s","actions":[{"id":"a"},{}]}"#, "actions[1].id: expected a string"),
            (r#"{"summary":"s","actions":[{"id":"a","label":1}]}"#, "actions[0].label: expected a string"),
        ] {
            assert_eq!(request(payload.as_bytes()).unwrap_err().to_string(), error, "{payload}");
        }
        let seven = [r#"{"id":"a"}"#; 7].join(",");
        let seven = std::format!(r#"{{"summary":"s","actions":[{seven}]}}"#);
        assert!(request(seven.as_bytes()).is_err());
    }

    #[test]
    fn ids_and_actions() {
        assert_eq!(id(br#"{"id":4294967295}"#), Ok(u32::MAX));
        for wrong in ["", "{}", "-1", "4294967296", r#"{"id":"3"}"#, "[3]"] {
            assert_eq!(id(wrong.as_bytes()).unwrap_err().to_string(), "id: expected the number of a toast");
        }
        assert_eq!(action(b"open").unwrap_err().to_string(), "expected a JSON object");
        assert_eq!(action(br#"{"id":1}"#).unwrap_err().to_string(), "action: expected a string");
    }
}
