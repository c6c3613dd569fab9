//! Who a service is, and where it works.

use std::collections::BTreeSet;

use super::super::unit::Directive;
use super::super::words;
use super::super::write::{list, quote};
use super::Work;

impl Work<'_> {
    pub(super) fn identity(&mut self) {
        let mut user = false;
        if let Some((_, name)) = self.value("User") {
            user = name != "root" && name != "0";
            self.set("", "user", quote(&name));
        }
        if let Some((_, name)) = self.value("Group") {
            self.set("", "group", quote(&name));
        }
        let groups = self.unit.all("Service", "SupplementaryGroups");
        let groups: Vec<&str> = groups.iter().flat_map(|it| it.value.split_ascii_whitespace()).collect();
        if !groups.is_empty() {
            self.set("", "groups", list(groups));
        }
        if let Some(true) = self.read("NoNewPrivileges", words::truth) {
            self.set("", "no_new_privileges", "true");
        }
        let ambient = capabilities(self.unit.all("Service", "AmbientCapabilities"));
        let bounding = self.unit.all("Service", "CapabilityBoundingSet");
        match ambient {
            Some(kept) => self.set("", "capabilities", list(kept)),
            // A user has none, and the list would give it some.
            None if user => {}
            None => {
                let empty = self.unit.has_empty("Service", "CapabilityBoundingSet");
                if let Some(kept) = capabilities(bounding).or(empty.then(Vec::new)) {
                    self.set("", "capabilities", list(kept));
                }
            }
        }
        if let Some((directive, path)) = self.value("WorkingDirectory") {
            match path.strip_prefix('-').unwrap_or(&path) {
                "~" => self.left(directive, "write the user's home"),
                path => self.set("", "directory", quote(path)),
            }
        }
        if let Some(umask) =
            self.read("UMask", |value| u32::from_str_radix(value, 8).ok().filter(|it| *it <= 0o777))
        {
            self.set("", "umask", format_args!("\"{umask:03o}\""));
        }
    }
}

/// The capabilities that are left; `None` if nothing was said.
fn capabilities(directives: Vec<&Directive>) -> Option<Vec<String>> {
    let (first, _) = directives.split_first()?;
    let all = crate::natsinit::files::CAPABILITIES;
    let mut kept: BTreeSet<String> = BTreeSet::new();
    if first.value.starts_with('~') {
        kept.extend(all.iter().map(|name| (*name).to_owned()));
    }
    for directive in directives {
        let (without, names) = match directive.value.strip_prefix('~') {
            Some(names) => (true, names),
            None => (false, directive.value.as_str()),
        };
        for name in names.split_ascii_whitespace() {
            let name = name.to_ascii_lowercase();
            let name = name.strip_prefix("cap_").unwrap_or(&name);
            if without {
                kept.remove(name);
            } else if all.contains(&name) {
                kept.insert(name.to_owned());
            }
        }
    }
    Some(kept.into_iter().collect())
}
