//! Where a service writes, and what it reads.

use super::super::write::quote;
use super::Work;

impl Work<'_> {
    pub(super) fn output(&mut self) {
        for key in ["StandardOutput", "StandardError"] {
            let Some((directive, value)) = self.value(key) else { continue };
            let path = ["file:", "append:", "truncate:"].iter().find_map(|kind| value.strip_prefix(kind));
            match (value.as_str(), path) {
                ("journal" | "syslog" | "inherit" | "journal+console" | "syslog+console", _) => {
                    if value.ends_with("+console") {
                        self.set("log", "show", "true");
                    }
                }
                ("tty", _) => {}
                (_, Some(path)) if path.starts_with('/') => self.set("log", "file", quote(path)),
                (value, _) => self.left(directive, format_args!("'{value}': its output goes to the log")),
            }
        }
        if let Some((directive, value)) = self.value("StandardInput") {
            match value.as_str() {
                "null" => {}
                "tty" | "tty-force" | "tty-fail" => {
                    let path = self.value("TTYPath").map_or("/dev/console".to_owned(), |(_, path)| path);
                    self.set("", "terminal", quote(&path));
                    self.set("log", "inherit", "true");
                }
                value => self.left(directive, format_args!("'{value}': its input is /dev/null")),
            }
        }
    }
}
