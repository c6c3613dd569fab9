//! Users and groups of `/etc/passwd` and `/etc/group`, without a name service: nothing of it would be there at boot.

use std::path::Path;

/// An entry of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) id: u32,
    pub(super) group: u32,
    pub(super) home: String,
    pub(super) shell: String,
}

/// The two files, as they are now.
#[derive(Debug)]
pub(super) struct Accounts {
    users: String,
    groups: String,
}

impl Accounts {
    /// Reads `passwd` and `group` of a folder; one that cannot be read names nobody.
    pub(super) fn read(folder: &Path) -> Self {
        let read = |name| std::fs::read(folder.join(name)).unwrap_or_default();
        let text = |name| String::from_utf8_lossy(&read(name)).into_owned();
        Self { users: text("passwd"), groups: text("group") }
    }

    /// The user of this name or number. A number that is in no entry is no user.
    pub(super) fn user(&self, user: &str) -> Option<User> {
        let number = number(user);
        self.users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, id, group) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let id = self::number(id)?;
            if name.is_empty() || name.starts_with('#') || (name != user && Some(id) != number) {
                return None;
            }
            let (_, home, shell) = (fields.next(), fields.next(), fields.next());
            Some(User {
                name: name.to_owned(),
                id,
                group: self::number(group)?,
                home: home.filter(|home| !home.is_empty()).unwrap_or("/").to_owned(),
                shell: shell.filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh").to_owned(),
            })
        })
    }

    /// The number of a group by its name or number; a number need not be in the file.
    pub(super) fn group(&self, group: &str) -> Option<u32> {
        let entry = self.groups().find(|(name, ..)| *name == group).map(|(_, id, _)| id);
        entry.or_else(|| number(group))
    }

    /// The groups that list a user, with the user's own.
    pub(super) fn groups_of(&self, user: &User) -> Vec<u32> {
        let listed = self.groups().filter(|(.., members)| members.split(',').any(|name| name == user.name));
        let mut groups: Vec<u32> = std::iter::once(user.group).chain(listed.map(|(_, id, _)| id)).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.groups.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
            let name = Some(name).filter(|name| !name.is_empty() && !name.starts_with('#'))?;
            Some((name, number(id)?, fields.next().unwrap_or_default()))
        })
    }
}

/// The number of a user or group. The last one means nobody at all to the kernel.
pub(super) fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found_and_bad_lines_are_nobody() {
        let accounts = Accounts {
            users: "# x:x:5:5\n\nroot:x:0:0:root:/root:/bin/bash\nshort:x:7\nweb:x:33:34::/srv:\nbad:x:no:1::/:\n"
                .to_owned(),
            groups: "root:x:0:\nwww:x:34:\nlog:x:4:web,root\nvideo:x:44:webber,web\n".to_owned(),
        };
        let web = accounts.user("web").unwrap();
        assert_eq!((web.id, web.group, web.home.as_str(), web.shell.as_str()), (33, 34, "/srv", "/bin/sh"));
        assert_eq!(accounts.user("33"), Some(web.clone()));
        assert_eq!(accounts.groups_of(&web), [4, 34, 44]);
        for nobody in ["short", "bad", "# x", "5", "", "4294967295"] {
            assert_eq!(accounts.user(nobody), None, "{nobody}");
        }
        assert_eq!(accounts.group("log"), Some(4));
        assert_eq!(accounts.group("4711"), Some(4711));
        assert_eq!(accounts.group("nobody"), None);
        assert_eq!(accounts.group("-1"), None);
    }
}
