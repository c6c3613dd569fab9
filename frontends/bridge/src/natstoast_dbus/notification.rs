//! A notification as both sides have it: read from D-Bus and from NATS, and written to NATS.

use std::collections::HashMap;
use std::fmt;

use lunix_core::toast::{Lines, MAX_ACTIONS, Text, Urgency};
use lunix_proto::json::{Object, Str, Value, Writer};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zbus::{Signature, Type, Variant};

use super::markup;

/// Bytes of texts, beyond which they are cut: more than natstoast shows, as markup goes.
const TITLE: usize = 512;
const BODY: usize = 8 << 10;
/// Names are left out instead, for half a name is another name; natstoast refuses longer ones.
const ICON: usize = 128;
const ID: usize = 32;
/// The key of an action, which only its sender hears again, and a tag.
const KEY: usize = 256;

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notification {
    pub(super) app: String,
    pub(super) icon: String,
    pub(super) summary: String,
    pub(super) body: String,
    pub(super) actions: Vec<Action>,
    pub(super) urgency: Urgency,
    /// `None`: as the server likes; 0: for ever.
    pub(super) timeout_ms: Option<u32>,
    /// Per cent.
    pub(super) progress: Option<u8>,
    /// An action leaves it where it is.
    pub(super) resident: bool,
    /// It is not remembered.
    pub(super) transient: bool,
}

/// What it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    /// What `toast.action` names.
    pub(super) id: String,
    /// What `ActionInvoked` names.
    pub(super) key: String,
    pub(super) label: String,
}

/// What `Notify` was called with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notify {
    pub(super) notification: Notification,
    /// The id of the one whose place it takes, or 0.
    pub(super) replaces: u32,
    /// It takes the place of the one with the same application and tag.
    pub(super) tag: Option<String>,
    /// The toast that one of us shows by it.
    pub(super) origin: Option<u32>,
}

/// The hint by which [`Notify::origin`] comes.
pub(super) const ORIGIN: &str = "x-lunix-toast";
/// Hints that are tags.
const TAGS: [&str; 2] = ["x-canonical-private-synchronous", "x-dunst-stack-tag"];

/// The arguments of `Notify`, borrowed from the message.
type Arguments<'m> = (&'m str, u32, &'m str, &'m str, &'m str, Offers<'m>, Hints<'m>, i32);

impl Notify {
    /// Reads the call. Pictures and hints that nobody here knows are passed over without being taken in.
    pub(super) fn read(message: &zbus::Message) -> Option<Self> {
        let body = message.body();
        let (app, replaces, icon, summary, text, offers, hints, timeout) =
            body.deserialize::<Arguments<'_>>().ok()?;
        let icon = if icon.is_empty() { hints.picture } else { icon };
        let summary = match is_blank(summary) {
            false => summary,
            true if is_blank(app) => "notification",
            true => app,
        };
        let actions = offers.0.into_iter().enumerate().map(|(index, (key, label))| Action {
            id: if is_name(key, ID) { key.to_owned() } else { format!("#{index}") },
            key: key.to_owned(),
            label: cut(label, TITLE),
        });
        let notification = Notification {
            app: cut(app, TITLE),
            icon: if is_name(icon, ICON) { icon.to_owned() } else { String::new() },
            summary: cut(summary, TITLE),
            body: markup::strip(&cut(text, BODY)),
            actions: actions.filter(|action| action.key.len() <= KEY).collect(),
            urgency: hints.urgency,
            // Negative: as the server likes.
            timeout_ms: u32::try_from(timeout).ok(),
            progress: hints.progress,
            resident: hints.resident,
            transient: hints.transient,
        };
        let tag = is_name(hints.tag, KEY).then(|| hints.tag.to_owned());
        Some(Self { notification, replaces, tag, origin: hints.origin })
    }
}

impl Notification {
    /// Reads a toast as `toast.show` and `toast.list` have it.
    pub(super) fn of_toast(toast: &Object<'_>) -> Option<Self> {
        let text = |object: &Object<'_>, key, most| {
            object.get(key).and_then(|value| value.as_str()).map(|text| all(text, most))
        };
        let number = |key| toast.get(key).and_then(|value| value.as_u64());
        let truth = |key| toast.get(key).and_then(|value| value.as_bool()).unwrap_or_default();
        let action = |value: Value<'_>| {
            let offer = value.as_object()?;
            let id = text(&offer, "id", ID)?;
            let label = text(&offer, "label", TITLE).unwrap_or_else(|| id.clone());
            Some(Action { key: id.clone(), id, label })
        };
        let actions = toast.get("actions").and_then(|value| value.as_array());
        Some(Self {
            app: text(toast, "app", TITLE).unwrap_or_default(),
            icon: text(toast, "icon", ICON).unwrap_or_default(),
            summary: text(toast, "summary", TITLE)?,
            body: text(toast, "body", BODY).unwrap_or_default(),
            actions: actions
                .into_iter()
                .flat_map(|actions| actions.iter())
                .take(MAX_ACTIONS)
                .filter_map(action)
                .collect(),
            urgency: text(toast, "urgency", ID)
                .and_then(|name| Urgency::from_name(&name))
                .unwrap_or_default(),
            timeout_ms: number("timeout_ms").and_then(|ms| u32::try_from(ms).ok()),
            progress: number("progress").map(percent),
            resident: truth("resident"),
            transient: truth("transient"),
        })
    }

    /// The payload of `toast.in`; `replaces` is the toast whose place it takes.
    pub(super) fn request(&self, replaces: Option<u32>) -> Vec<u8> {
        lunix::encoded::encoded(1024, |out| {
            let mut json = Writer::new(out);
            json.begin_object().key("summary").string(&self.summary);
            for (key, text) in [("body", &self.body), ("app", &self.app), ("icon", &self.icon)] {
                if !text.is_empty() {
                    json.key(key).string(text);
                }
            }
            json.key("urgency").string(self.urgency.as_str());
            let numbers = [
                ("timeout_ms", self.timeout_ms),
                ("progress", self.progress.map(u32::from)),
                ("replaces", replaces),
            ];
            for (key, number) in numbers {
                if let Some(number) = number {
                    json.key(key).number(number.into());
                }
            }
            for (key, is_so) in [("resident", self.resident), ("transient", self.transient)] {
                if is_so {
                    json.key(key).bool(true);
                }
            }
            if !self.actions.is_empty() {
                json.key("actions").begin_array();
                for action in &self.actions {
                    json.begin_object()
                        .key("id")
                        .string(&action.id)
                        .key("label")
                        .string(&action.label)
                        .end_object();
                }
                json.end_array();
            }
            json.end_object();
            json.finish()
        })
    }
}

/// The first pairs of key and label: natstoast shows no more.
struct Offers<'m>(Vec<(&'m str, &'m str)>);

/// The hints that are known.
#[derive(Default)]
struct Hints<'m> {
    urgency: Urgency,
    progress: Option<u8>,
    resident: bool,
    transient: bool,
    tag: &'m str,
    picture: &'m str,
    origin: Option<u32>,
}

/// The value of a hint. What is neither text, a whole number nor a truth is passed over where it stands.
enum Hint<'m> {
    Text(&'m str),
    Number(i64),
    Truth(bool),
    Other,
}

impl Hint<'_> {
    /// Older programs say a truth as a number.
    const fn is_true(&self) -> bool {
        matches!(self, Self::Truth(true) | Self::Number(1))
    }
}

impl Type for Offers<'_> {
    const SIGNATURE: &'static Signature = <Vec<&str>>::SIGNATURE;
}

impl Type for Hints<'_> {
    const SIGNATURE: &'static Signature = <HashMap<&str, Variant<'_>>>::SIGNATURE;
}

impl<'m> Deserialize<'m> for Offers<'m> {
    fn deserialize<D: Deserializer<'m>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'m> Visitor<'m> for Pairs {
            type Value = Offers<'m>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("keys and labels")
            }

            fn visit_seq<A: SeqAccess<'m>>(self, mut texts: A) -> Result<Offers<'m>, A::Error> {
                let mut offers = Vec::new();
                while offers.len() < MAX_ACTIONS {
                    let (Some(key), Some(label)) = (texts.next_element()?, texts.next_element()?) else {
                        break;
                    };
                    offers.push((key, label));
                }
                while texts.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Offers(offers))
            }
        }
        from.deserialize_seq(Pairs)
    }
}

impl<'m> Deserialize<'m> for Hints<'m> {
    fn deserialize<D: Deserializer<'m>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'m> Visitor<'m> for Members {
            type Value = Hints<'m>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("hints")
            }

            fn visit_map<A: MapAccess<'m>>(self, mut members: A) -> Result<Hints<'m>, A::Error> {
                let mut hints = Hints::default();
                while let Some((name, hint)) = members.next_entry::<&str, Hint<'_>>()? {
                    match (name, hint) {
                        ("urgency", Hint::Number(0)) => hints.urgency = Urgency::Low,
                        ("urgency", Hint::Number(2)) => hints.urgency = Urgency::Critical,
                        ("value", Hint::Number(value)) => {
                            hints.progress = Some(percent(value.max(0).unsigned_abs()))
                        }
                        ("resident", hint) => hints.resident = hint.is_true(),
                        ("transient", hint) => hints.transient = hint.is_true(),
                        ("image-path" | "image_path", Hint::Text(path)) => hints.picture = path,
                        (ORIGIN, Hint::Number(toast)) => hints.origin = u32::try_from(toast).ok(),
                        (name, Hint::Text(tag)) if TAGS.contains(&name) => hints.tag = tag,
                        _ => {}
                    }
                }
                Ok(hints)
            }
        }
        from.deserialize_map(Members)
    }
}

impl<'m> Deserialize<'m> for Hint<'m> {
    fn deserialize<D: Deserializer<'m>>(from: D) -> Result<Self, D::Error> {
        struct Content;
        /// A variant is a sequence of its signature and its content.
        struct Parts;

        macro_rules! numbers {
            ($($visit:ident $number:ty),*) => {
                $(fn $visit<E>(self, number: $number) -> Result<Hint<'m>, E> {
                    Ok(i64::try_from(number).map_or(Hint::Other, Hint::Number))
                })*
            };
        }

        impl<'m> Visitor<'m> for Content {
            type Value = Hint<'m>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a value")
            }

            numbers!(visit_u8 u8, visit_u16 u16, visit_u32 u32, visit_u64 u64, visit_i16 i16, visit_i32 i32, visit_i64 i64);

            fn visit_bool<E>(self, truth: bool) -> Result<Hint<'m>, E> {
                Ok(Hint::Truth(truth))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Hint<'m>, E> {
                Ok(Hint::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Hint<'m>, E> {
                Ok(Hint::Other)
            }

            fn visit_borrowed_str<E>(self, text: &'m str) -> Result<Hint<'m>, E> {
                Ok(Hint::Text(text))
            }

            fn visit_seq<A: SeqAccess<'m>>(self, mut elements: A) -> Result<Hint<'m>, A::Error> {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Hint::Other)
            }

            fn visit_map<A: MapAccess<'m>>(self, mut members: A) -> Result<Hint<'m>, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Hint::Other)
            }
        }

        impl<'m> serde::de::DeserializeSeed<'m> for Content {
            type Value = Hint<'m>;

            fn deserialize<D: Deserializer<'m>>(self, from: D) -> Result<Hint<'m>, D::Error> {
                from.deserialize_any(self)
            }
        }

        impl<'m> Visitor<'m> for Parts {
            type Value = Hint<'m>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a variant")
            }

            fn visit_seq<A: SeqAccess<'m>>(self, mut parts: A) -> Result<Hint<'m>, A::Error> {
                parts.next_element::<IgnoredAny>()?;
                Ok(parts.next_element_seed(Content)?.unwrap_or(Hint::Other))
            }
        }
        from.deserialize_any(Parts)
    }
}

/// At most `most` bytes of `text`, in whole characters.
fn cut(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned()
}

/// The same of a text in JSON.
fn all(text: Str<'_>, most: usize) -> String {
    let mut room = most;
    text.chars()
        .take_while(|character| {
            let fits = character.len_utf8() <= room;
            room = room.saturating_sub(character.len_utf8());
            fits
        })
        .collect()
}

fn is_name(name: &str, most: usize) -> bool {
    (1..=most).contains(&name.len()) && !name.contains(char::is_control)
}

/// Nothing of it can be shown.
fn is_blank(text: &str) -> bool {
    Text::from(text).printable(Lines::Joined).all(char::is_whitespace)
}

fn percent(value: u64) -> u8 {
    u8::try_from(value.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Written<'a> =
        (&'a str, u32, &'a str, &'a str, &'a str, Vec<&'a str>, HashMap<&'a str, Variant<'a>>, i32);

    fn message(arguments: &Written<'_>) -> zbus::Message {
        zbus::Message::method_call("/", "Notify").build(arguments).unwrap()
    }

    fn read(arguments: &Written<'_>) -> Notify {
        Notify::read(&message(arguments)).unwrap()
    }

    #[test]
    fn a_call_is_read_and_said_on_nats() {
        let long = "k".repeat(40);
        let hints = HashMap::from([
            ("urgency", Variant::from(2_u8)),
            ("value", Variant::from(140_i32)),
            ("x-dunst-stack-tag", Variant::from("volume")),
            ("image-path", Variant::from("/usr/share/x.png")),
            ("category", Variant::from("device")),
            ("transient", Variant::from(true)),
            ("resident", Variant::from(1_i32)),
            // Nested as deep as a picture, and more of it than anybody wants.
            ("image-data", Variant::from((1_i32, 2_i32, vec![0_u8; 1 << 16]))),
            ("nested", Variant::new(Variant::from(vec![HashMap::from([("k", 1.5_f64)])]))),
        ]);
        let actions = vec!["default", "", &long, "Long", "odd"];
        let notify = read(&("mail", 9, "", "one\u{1b}[2J", "<b>two</b>\nthree", actions, hints, 1500));
        assert_eq!((notify.replaces, notify.tag.as_deref(), notify.origin), (9, Some("volume"), None));
        let keys: Vec<&str> = notify.notification.actions.iter().map(|action| action.key.as_str()).collect();
        assert_eq!(keys, ["default", &long]);
        let request = String::from_utf8(notify.notification.request(Some(4))).unwrap();
        let expected = concat!(
            r#"{"summary":"one\u001b[2J","body":"two\nthree","app":"mail","icon":"/usr/share/x.png","urgency":"critical","#,
            r#""timeout_ms":1500,"progress":100,"replaces":4,"resident":true,"transient":true,"#,
            r##""actions":[{"id":"default","label":""},{"id":"#1","label":"Long"}]}"##
        );
        assert_eq!(request, expected);
        assert!(lunix_core::toast::decode::request(request.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_missing_wrong_or_too_long_is_no_reason_to_show_nothing() {
        let nothing = read(&("", 0, "", "", "", vec![], HashMap::new(), -1));
        assert_eq!(nothing.notification.summary, "notification");
        assert_eq!(nothing.notification.timeout_ms, None);
        assert_eq!(
            read(&("app", 0, "", " \u{7} ", "b", vec![], HashMap::new(), 0)).notification.summary,
            "app"
        );
        let hints = HashMap::from([
            ("urgency", Variant::from("high")),
            ("value", Variant::from("half")),
            (ORIGIN, Variant::from("three")),
            ("resident", Variant::from("yes")),
            ("transient", Variant::from(false)),
        ]);
        let long = "é".repeat(10_000);
        let odd = read(&(&long, 0, &long, &long, &long, vec![&long; 30], hints, 0));
        assert_eq!(
            (odd.notification.urgency, odd.notification.progress, odd.origin),
            (Urgency::Normal, None, None)
        );
        assert!(!odd.notification.resident && !odd.notification.transient);
        assert_eq!((odd.notification.icon.as_str(), odd.notification.actions.len()), ("", 0));
        assert!(odd.notification.summary.len() <= TITLE && odd.notification.body.len() <= BODY);
        let other = zbus::Message::method_call("/", "Notify").build(&("app", 0_u32)).unwrap();
        assert_eq!(Notify::read(&other), None);
    }

    #[test]
    fn bytes_that_are_no_call_are_refused() {
        let hints = HashMap::from([("urgency", Variant::from(1_u8)), ("x", Variant::from(vec![1_u32, 2]))]);
        let whole = message(&("app", 0, "icon", "summary", "body", vec!["a", "b"], hints, 5));
        let signature = whole.body().signature().clone();
        let bytes = whole.body().data().bytes().to_vec();
        let of = |bytes: &[u8]| {
            // SAFETY: what the bytes hold is what is tried.
            #[expect(unsafe_code, reason = "only zbus itself makes messages that are wrong")]
            let message = unsafe {
                zbus::Message::method_call("/", "Notify").build_raw_body(bytes, signature.clone(), vec![])
            };
            message.unwrap()
        };
        assert!(Notify::read(&of(&bytes)).is_some());
        for end in 0..bytes.len() {
            assert_eq!(Notify::read(&of(&bytes[..end])), None, "{end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                // It is taken or not, and that is all.
                drop(Notify::read(&of(&bytes)));
            }
        }
    }

    #[test]
    fn a_toast_is_read() {
        let toast = br##"{"id":3,"summary":"s","body":"b\nc","app":"a","icon":"i","urgency":"low","timeout_ms":0,"progress":7,"resident":true,
            "actions":[{"id":"ok","label":"Fine"},{"id":"no"},{"label":"?"}],"state":"shown"}"##;
        let object = lunix_proto::json::parse(toast).unwrap().as_object().unwrap();
        let read = Notification::of_toast(&object).unwrap();
        assert_eq!((read.summary.as_str(), read.body.as_str(), read.urgency), ("s", "b\nc", Urgency::Low));
        assert_eq!((read.timeout_ms, read.progress), (Some(0), Some(7)));
        assert_eq!((read.resident, read.transient), (true, false));
        let offers: Vec<_> =
            read.actions.iter().map(|action| (action.key.as_str(), action.label.as_str())).collect();
        assert_eq!(offers, [("ok", "Fine"), ("no", "no")]);
    }
}
