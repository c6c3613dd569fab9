//! Users and groups by name, from `/etc/passwd` and `/etc/group`. A static program has no other way to know them.

use std::fs;

/// The uid of a user, who may be a number.
pub(crate) fn uid(name: &str) -> Option<u32> {
    number(name, "/etc/passwd")
}

/// The gid of a group, which may be a number.
pub(crate) fn gid(name: &str) -> Option<u32> {
    number(name, "/etc/group")
}

fn number(name: &str, file: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let text = fs::read_to_string(file).ok()?;
    let found = text.lines().map(fields).find(|[found, ..]| *found == name);
    found.and_then(|[_, _, number, _]| number.parse().ok())
}

/// A user's name and first group.
pub(super) fn user(uid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let found = text.lines().map(fields).find(|[_, _, number, _]| number.parse() == Ok(uid));
    found.and_then(|[name, _, _, gid]| Some((name.to_owned(), gid.parse().ok()?)))
}

/// The groups that a user is listed in.
pub(super) fn groups_with(name: &str) -> Vec<u32> {
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    text.lines()
        .map(fields)
        .filter(|[_, _, _, members]| members.split(',').any(|member| member == name))
        .filter_map(|[_, _, gid, _]| gid.parse().ok())
        .collect()
}

/// The first four fields, which are what both files are about.
fn fields(line: &str) -> [&str; 4] {
    let mut fields = line.split(':');
    [(); 4].map(|()| fields.next().unwrap_or_default())
}

/// A name as a token of a subject: what a token cannot hold is replaced.
pub(super) fn token(name: &str) -> String {
    let bad = |char: char| char.is_whitespace() || char.is_control() || matches!(char, '.' | '*' | '>');
    name.chars().map(|char| if bad(char) { '_' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_everywhere() {
        assert_eq!((uid("root"), gid("root"), user(0)), (Some(0), Some(0), Some(("root".to_owned(), 0))));
        assert_eq!((uid("1234"), uid("no such user")), (Some(1234), None));
        assert_eq!(token("a.b c>"), "a_b_c_");
    }
}
