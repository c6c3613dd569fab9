//! Rules: which volumes are mounted, how, and under which name. The first one that fits a volume counts.

use lunix_core::mount::Facts;
use lunix_core::mount::name::Name;
use lunix_proto::json::{Object, Value};

use super::options::Options;
use crate::config::{Section, Value as Setting};

/// Rules that a file may have.
const MOST: usize = 1000;

/// Where a volume was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// In a USB device.
    Usb,
    /// In any other block device.
    Block,
}

/// What can be asked of a volume, and of the device that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Fstype,
    Label,
    Uuid,
    Devnode,
    /// A member of the device's object: `vendor`, `port`.
    Device(&'static str),
}

const FACTS: &[(&str, Fact)] = &[
    ("label", Fact::Label),
    ("uuid", Fact::Uuid),
    ("devnode", Fact::Devnode),
    ("vendor", Fact::Device("vendor")),
    ("product", Fact::Device("product")),
    ("manufacturer", Fact::Device("manufacturer")),
    ("model", Fact::Device("model")),
    ("serial", Fact::Device("serial")),
    ("port", Fact::Device("port")),
];

/// A rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    class: Class,
    /// All of these must hold; each does if one of its patterns fits.
    when: Vec<(Fact, Vec<String>)>,
    mounts: bool,
    options: Options,
    /// The name of the folder, with `$label` and the like in it.
    name: String,
}

/// What a volume is, for rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'c> {
    pub(super) class: Class,
    pub(super) facts: Facts<'c>,
    pub(super) device: Option<Object<'c>>,
}

/// How a volume is to be mounted.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) name: Name,
}

impl Rule {
    /// All volumes of USB devices, in the usual way.
    pub(super) fn all() -> Self {
        Self {
            class: Class::Usb,
            when: Vec::new(),
            mounts: true,
            options: Options::default(),
            name: "$label".into(),
        }
    }

    /// What it is about.
    pub(super) const fn class(&self) -> Class {
        self.class
    }

    /// Takes the rules from the block `rules`.
    pub(super) fn take(mut section: Section, media: &str) -> Vec<Self> {
        let mut rules = Vec::new();
        for (key, class) in [("usb", Class::Usb), ("block", Class::Block)] {
            for rule in section.list(&[key]).into_iter().flatten() {
                if rules.len() == MOST {
                    rule.note(format_args!("more than {MOST} rules"));
                    break;
                }
                if let Some(rule) = rule.block() {
                    rules.push(Self::read(rule, class, media));
                }
            }
        }
        section.end();
        rules
    }

    fn read(mut section: Section, class: Class, media: &str) -> Self {
        let mut rule = Self { class, ..Self::all() };
        if let Some(types) = section.list(&["fstype"]) {
            rule.when.push((Fact::Fstype, texts(&types)));
        }
        if let Some(mut when) = section.block(&["when"]) {
            for (key, fact) in FACTS {
                if let Some(patterns) = when.list(std::slice::from_ref(key)) {
                    rule.when.push((*fact, texts(&patterns)));
                }
            }
            when.end();
        }
        for word in section.list(&["options"]).into_iter().flatten() {
            word.parsed("an option of mount, such as ro or uid=1000", |text| rule.options.add(text));
        }
        rule.mounts = section.truth(&["mount"]).unwrap_or(true);
        if let Some(target) = section.take(&["target"]) {
            let expected = format!("a folder in {media}, such as {media}/$label");
            let below = |text: &str| {
                let name = text.strip_prefix(media).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
                (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
            };
            rule.name = target.parsed(&expected, below).unwrap_or_default();
        }
        section.end();
        rule
    }

    fn fits(&self, candidate: &Candidate<'_>) -> bool {
        self.class == candidate.class
            && self.when.iter().all(|(fact, patterns)| {
                let text = fact.of(candidate);
                patterns.iter().any(|pattern| is_like(pattern.as_bytes(), &text))
            })
    }

    fn plan(&self, candidate: &Candidate<'_>) -> Plan {
        let Facts { devnode, uuid, .. } = candidate.facts;
        let node = devnode.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let named = expanded(&self.name, candidate);
        Plan { options: self.options.clone(), name: Name::new(&[&named, uuid, node]) }
    }
}

/// What the rules want of a volume; `None` if it is to be left alone.
pub(super) fn decide(rules: &[Rule], candidate: &Candidate<'_>) -> Option<Plan> {
    let rule = rules.iter().find(|rule| rule.fits(candidate)).filter(|rule| rule.mounts)?;
    Some(rule.plan(candidate))
}

/// How a volume is mounted that somebody asks for: as the rules have it, or in the usual way.
pub(super) fn asked(rules: &[Rule], candidate: &Candidate<'_>) -> Plan {
    decide(rules, candidate).unwrap_or_else(|| Rule::all().plan(candidate))
}

fn texts(values: &[Setting]) -> Vec<String> {
    values.iter().filter_map(Setting::text).collect()
}

impl Fact {
    fn of(self, candidate: &Candidate<'_>) -> Vec<u8> {
        let Facts { devnode, fstype, label, uuid } = candidate.facts;
        match self {
            Self::Fstype => fstype.to_vec(),
            Self::Label => label.to_vec(),
            Self::Uuid => uuid.to_vec(),
            Self::Devnode => devnode.to_vec(),
            Self::Device(key) => match candidate.device.and_then(|device| device.get(key)) {
                Some(Value::String(text)) => text.chars().collect::<String>().into_bytes(),
                _ => Vec::new(),
            },
        }
    }
}

/// `$label` and the like by what they stand for.
fn expanded(name: &str, candidate: &Candidate<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('$') {
        out.extend_from_slice(before.as_bytes());
        let known = FACTS.iter().chain([&("fstype", Fact::Fstype)]);
        let found = known.filter_map(|(key, fact)| Some((fact, after.strip_prefix(key)?))).next();
        match found {
            Some((fact, tail)) => {
                out.extend(fact.of(candidate));
                rest = tail;
            }
            None => {
                out.push(b'$');
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// `*` stands for any bytes, and letters for themselves in either case.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(from) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, from));
                at += 1;
            }
            Some(other) if other.eq_ignore_ascii_case(byte) => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((after, eaten)) => {
                    star = Some((after, eaten + 1));
                    (at, from) = (after, eaten + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use lunix_proto::json;

    use super::*;
    use crate::config;

    fn rules(text: &str) -> Vec<Rule> {
        let mut file = config::parse("m.conf".as_ref(), text, &config::Machine).unwrap();
        let rules = Rule::take(file.block(&["rules"]).unwrap(), "/media");
        file.finish().unwrap();
        rules
    }

    #[test]
    fn the_first_that_fits_counts() {
        let rules = rules(
            r#"rules {
                usb: [
                    { when: { serial: "60A4*" }, mount: no }
                    { fstype: [vfat, exfat], options: [ro], when: { vendor: "0951" }, target: "/media/$vendor $label" }
                    { fstype: ext4 }
                ]
                block: { when: { label: "BACKUP*" } }
            }"#,
        );
        let device = br#"{"vendor":"0951","serial":"1"}"#;
        let object = json::parse(device).unwrap().as_object();
        let facts = Facts { devnode: b"/dev/sda1", fstype: b"vfat", label: b"backup", uuid: b"1" };
        let of = |class, facts, device| decide(&rules, &Candidate { class, facts, device });
        assert_eq!(of(Class::Usb, facts, object).unwrap().name.as_str(), "0951 backup");
        assert!(of(Class::Usb, facts, None).is_none());
        let ext4 = Facts { fstype: b"ext4", label: b"", ..facts };
        assert_eq!(of(Class::Usb, ext4, None).unwrap().name.as_str(), "1");
        assert!(of(Class::Block, facts, None).is_some());
        assert!(of(Class::Block, ext4, None).is_none());
        let spared = json::parse(br#"{"vendor":"0951","serial":"60A44C"}"#).unwrap().as_object();
        assert!(of(Class::Usb, facts, spared).is_none());
    }

    #[test]
    fn patterns() {
        for (pattern, text, yes) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("A", "a", true),
            ("**a", "ba", true),
        ] {
            assert_eq!(is_like(pattern.as_bytes(), text.as_bytes()), yes, "{pattern} {text}");
        }
    }

    #[test]
    fn every_mistake_is_told() {
        let text = "rules {\n usb: { fstipe: vfat, options: [ro, bind], target: \"/etc/x\",\n  when: { vendr: 1 }, mount: maybe }\n blok: {}\n}";
        let mut file = config::parse("m.conf".as_ref(), text, &config::Machine).unwrap();
        Rule::take(file.block(&["rules"]).unwrap(), "/media");
        let mistakes = file.finish().unwrap_err().to_string();
        let expected = [
            "m.conf:2:9: fstipe: unknown key, did you mean 'fstype'?",
            "m.conf:2:37: options: expected an option of mount, such as ro or uid=1000, found 'bind'",
            "m.conf:2:52: target: expected a folder in /media, such as /media/$label, found '/etc/x'",
            "m.conf:3:11: vendr: unknown key, did you mean 'vendor'?",
            "m.conf:3:30: mount: expected true or false, found 'maybe'",
            "m.conf:4:2: blok: unknown key, did you mean 'block'?",
        ];
        assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
    }
}
