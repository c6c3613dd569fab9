//! What users of this machine may do.

use lunix_core::broker::AccountId;

use super::grant::Permissions;
use super::names;
use super::template::fill_rules;
use super::users::Entry;
use crate::natsd::settings::Identity;

/// Which rule is for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Root, and the user that the server runs as: everything.
    Owner,
    /// The one that names the user.
    User,
    /// The one of a group, by its place.
    Group(usize),
    /// That of everybody.
    Everybody,
}

impl Rule {
    /// The first that fits: the owner's, the user's own, the first of a group that the user is in, everybody's. `gids` is
    /// what the kernel has said of the process; the user's other groups are looked up.
    pub(super) fn of(uid: u32, gids: &[u32], owner: u32, identity: &Identity) -> Self {
        if uid == 0 || uid == owner {
            return Self::Owner;
        }
        if identity.users.iter().any(|(named, _)| *named == uid) {
            return Self::User;
        }
        if identity.groups.is_empty() {
            return Self::Everybody;
        }
        let (mut all, user) = (gids.to_vec(), names::user(uid));
        if let Some((name, gid)) = user {
            all.push(gid);
            all.extend(names::groups_with(&name));
        }
        let group = identity.groups.iter().position(|(gid, _)| all.contains(gid));
        group.map_or(Self::Everybody, Self::Group)
    }
}

/// The user that a rule makes of a uid.
pub(super) fn entry(uid: u32, rule: Rule, identity: &Identity) -> Entry {
    let name = names::user(uid).map_or_else(|| uid.to_string(), |(name, _)| name);
    let permissions = match rule {
        Rule::Owner => Some(Permissions::default()),
        Rule::User => identity.users.iter().find(|(named, _)| *named == uid).map(|(_, rule)| rule.clone()),
        Rule::Group(at) => identity.groups.get(at).map(|(_, rule)| rule.clone()),
        Rule::Everybody => Some(identity.everybody.clone()),
    };
    let mut permissions = permissions.unwrap_or_else(Permissions::nothing);
    let values = |function: &str| match function {
        "name()" => Some(vec![names::token(&name)]),
        "uid()" => Some(vec![uid.to_string()]),
        _ => None,
    };
    if fill_rules(&mut permissions, &values).is_err() {
        permissions = Permissions::nothing();
    }
    if identity.desktop == Some(uid) {
        permissions.allow_publish("wm.exec");
    }
    Entry::new(name, AccountId::GLOBAL, permissions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits() {
        let mut identity = Identity::default();
        let all = Permissions::default();
        identity.users.push((1001, all.clone()));
        identity.groups = vec![(4_000_001, all.clone()), (4_000_002, all)];
        let rule = |uid, gids: &[u32]| Rule::of(uid, gids, 999, &identity);
        assert_eq!(rule(0, &[]), Rule::Owner);
        assert_eq!(rule(999, &[]), Rule::Owner);
        assert_eq!(rule(1001, &[4_000_001]), Rule::User);
        assert_eq!(rule(4_000_000, &[4_000_002]), Rule::Group(1));
        assert_eq!(rule(4_000_000, &[4_000_002, 4_000_001]), Rule::Group(0));
        assert_eq!(rule(4_000_000, &[]), Rule::Everybody);
    }

    #[test]
    fn what_the_shipped_rules_make_of_a_user() {
        let identity = Identity { desktop: Some(4_000_000), ..Identity::default() };
        let made = entry(4_000_000, Rule::Everybody, &identity);
        assert_eq!(made.name, "4000000");
        let publish = made.permissions.publish.allow.unwrap();
        assert!(publish.lines().any(|line| line == "user.4000000.>"));
        assert!(publish.lines().any(|line| line == "wm.exec"));
        let publish = entry(4_000_001, Rule::Everybody, &identity).permissions.publish.allow.unwrap();
        assert!(!publish.contains("wm.exec") && !publish.contains("{{"));
        assert_eq!(entry(0, Rule::Owner, &identity).permissions, Permissions::default());
    }
}
