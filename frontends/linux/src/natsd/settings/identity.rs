//! Users of this machine, known by their uid: `identity { … }`.

use super::permissions::permissions;
use crate::config::{self, Section, Value};
use crate::natsd::auth::grant::Permissions;
use crate::natsd::auth::names;

/// Who is known without credentials, and what they may do. In subjects `{{name()}}` stands for the user's name and
/// `{{uid()}}` for its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// When clients are known by their uid.
    pub(crate) asked: Asked,
    /// The user of the desktop, who may start programs in it.
    pub(crate) desktop: Option<u32>,
    /// Users by uid.
    pub(crate) users: Vec<(u32, Permissions)>,
    /// Members of groups by gid; the first one counts.
    pub(crate) groups: Vec<(u32, Permissions)>,
    /// All other users of this machine.
    pub(crate) everybody: Permissions,
    /// Clients from elsewhere.
    pub(crate) others: Option<Permissions>,
}

/// When clients are known by their uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    /// Never.
    No,
    /// On the UNIX socket, and over loopback TCP as long as no other credentials are configured.
    Usual,
    /// Always: there is a block of rules.
    Always,
}

/// The rules that natsd brings along, in the language of its configuration.
pub(crate) const SHIPPED: &str = include_str!("identity.conf");

impl Default for Identity {
    fn default() -> Self {
        let mut identity = Self {
            asked: Asked::Usual,
            desktop: None,
            users: Vec::new(),
            groups: Vec::new(),
            everybody: Permissions::nothing(),
            others: None,
        };
        // A test makes sure that there is no mistake in it.
        if let Ok(mut file) = config::parse("identity.conf".as_ref(), SHIPPED, &config::Machine) {
            identity.configure(&mut file);
        }
        identity.asked = Asked::Usual;
        identity
    }
}

impl Identity {
    /// Takes `identity`.
    pub(super) fn configure(&mut self, file: &mut Section) {
        let Some(value) = file.take(&["identity"]) else { return };
        if !value.is_block() {
            if let Some(asked) = value.truth() {
                self.asked = if asked { Asked::Always } else { Asked::No };
            }
            return;
        }
        let Some(mut section) = value.block() else { return };
        self.asked = Asked::Always;
        if let Some(value) = section.take(&["desktop"]) {
            self.desktop = value.parsed("a user of this machine, by name or number", names::uid);
        }
        if let Some(users) = section.block(&["users"]) {
            self.users =
                named(users, "a user of this machine, by name or number", names::uid, &mut self.everybody);
        }
        if let Some(groups) = section.block(&["groups"]) {
            let mut nobody = Permissions::nothing();
            self.groups =
                named(groups, "a group of this machine, by name or number", names::gid, &mut nobody);
        }
        if let Some(value) = section.take(&["others"]) {
            self.others = access(value);
        }
        section.end();
    }
}

/// `NAME { permissions }` for each; `*` is everybody else.
fn named(
    mut section: Section,
    expected: &str,
    find: impl Fn(&str) -> Option<u32>,
    everybody: &mut Permissions,
) -> Vec<(u32, Permissions)> {
    let mut found = Vec::new();
    for value in section.take_all() {
        if value.key() == "*" {
            if let Some(rule) = access(value) {
                *everybody = rule;
            }
            continue;
        }
        let Some(id) = find(value.key()) else {
            value.note(format_args!("expected {expected}"));
            continue;
        };
        found.extend(access(value).map(|rule| (id, rule)));
    }
    found
}

/// A block of permissions, `all` or `none`.
fn access(value: Value) -> Option<Permissions> {
    if value.is_block() {
        return permissions(value);
    }
    value.parsed("a block of permissions, all or none", |text| match text.to_ascii_lowercase().as_str() {
        "all" => Some(Permissions::default()),
        "none" => Some(Permissions::nothing()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_have_no_mistake() {
        let parsed = config::parse("identity.conf".as_ref(), SHIPPED, &config::Machine);
        let mut file = parsed.map_err(|mistakes| mistakes.to_string()).unwrap();
        let mut identity = Identity { everybody: Permissions::nothing(), ..Identity::default() };
        identity.configure(&mut file);
        file.finish().unwrap();
        let Permissions { publish, subscribe, responses } = Identity::default().everybody;
        assert_eq!(identity.everybody.publish, publish);
        assert!(publish.allow.unwrap().lines().any(|line| line == "user.{{name()}}.>"));
        assert!(subscribe.allow.unwrap().lines().any(|line| line == "_INBOX.>"));
        assert!(responses.is_some());
    }

    #[test]
    fn everybody_may_look_and_only_root_may_touch() {
        let Permissions { publish, subscribe, .. } = Identity::default().everybody;
        let any = |lines: &str, subject: &str| {
            let pattern =
                |line: &str| lunix_proto::nats::subject::matches(line.as_bytes(), subject.as_bytes());
            lines.lines().any(pattern)
        };
        let allows = |rule: &crate::natsd::auth::grant::Rule, subject: &str| {
            any(rule.allow.as_deref().unwrap_or_default(), subject) && !any(&rule.deny, subject)
        };
        for (subject, may_ask) in [
            ("service.list", true),
            ("service.usage", true),
            ("service.boot", true),
            ("service.natsd.status", true),
            ("service.natsd.usage", true),
            ("system.info", true),
            ("system.usage", true),
            ("service.reload", false),
            ("service.natsd.start", false),
            ("service.natsd.stop", false),
            ("service.natsd.restart", false),
            ("service.natsd.reload", false),
            ("service.natsd.freeze", false),
            ("service.natsd.thaw", false),
            ("service.natsd.tail", false),
            ("service.natsd.log", false),
            ("service.natsd.ready", false),
            ("system.shutdown", false),
            ("system.reboot", false),
            ("system.halt", false),
            ("system.kexec", false),
            ("system.reexec", false),
            ("system.healthy", false),
            ("mqtt.clients", true),
            ("mqtt.bridge.list", true),
            ("mqtt.retained.door", false),
        ] {
            assert_eq!(allows(&publish, subject), may_ask, "{subject}");
            // Nobody else answers, and nobody reads what others ask.
            if may_ask || subject.starts_with("system") && subject != "system.healthy" {
                assert!(!allows(&subscribe, subject), "{subject}");
            }
        }
        for (subject, may_hear) in [
            ("service.natsd.ready", true),
            ("service.natsd.failed", true),
            ("service.natsd.waiting", true),
            ("service.natsd.oom", true),
            ("service.natsd.pressure", true),
            ("system.healthy", true),
            ("system.oom", true),
            ("system.pressure.memory", true),
            ("mqtt.client.connected", true),
            ("mqtt.bridge.cloud.disconnected", true),
            ("service.natsd.log", false),
            ("service.natsd.tail", false),
            ("service.natsd.stop", false),
            ("service.natsd.freeze", false),
            ("service.natsd.usage", false),
            ("service.natsd.here", false),
        ] {
            assert_eq!(allows(&subscribe, subject), may_hear, "{subject}");
        }
    }

    #[test]
    fn rules_name_users_and_groups() {
        let read = |text: &str| {
            let mut identity = Identity::default();
            let mut file = config::parse("f".as_ref(), text, &config::Machine).unwrap();
            identity.configure(&mut file);
            file.finish().map(|_| identity).map_err(|mistakes| mistakes.to_string())
        };
        let identity =
            read("identity { desktop: 1000, users { root: all, 7 { publish: a } }, others: none }").unwrap();
        assert_eq!((identity.desktop, identity.asked), (Some(1000), Asked::Always));
        assert_eq!(identity.users.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), [0, 7]);
        assert_eq!(identity.others, Some(Permissions::nothing()));
        assert_eq!(read("identity: off").unwrap().asked, Asked::No);
        assert_eq!(
            read("identity { users { no-such-user-here: all } }").unwrap_err(),
            "f:1:39: no-such-user-here: expected a user of this machine, by name or number"
        );
    }
}
