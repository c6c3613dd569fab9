//! What a service sees of the machine.

use super::super::words;
use super::super::write::list;
use super::Work;

impl Work<'_> {
    pub(super) fn sandbox(&mut self) {
        for (key, ours) in [
            ("PrivateTmp", "private_tmp"),
            ("PrivateNetwork", "private_network"),
            ("PrivatePIDs", "private_pids"),
        ] {
            let on = |value: &str| if value == "disconnected" { Some(true) } else { words::truth(value) };
            if let Some(true) = self.read(key, on) {
                self.set("sandbox", ours, "true");
            }
        }
        let mut writable: Vec<String> = Vec::new();
        for key in ["ReadWritePaths", "ReadWriteDirectories"] {
            for directive in self.unit.all("Service", key) {
                for path in directive.value.split_ascii_whitespace() {
                    let path = path.trim_start_matches(['-', '+']);
                    match self.units.names.expand(path) {
                        Ok(path) if path.starts_with('/') => writable.push(path),
                        _ => self.left(directive, format_args!("'{path}' is no absolute path")),
                    }
                }
            }
        }
        for (key, above) in [
            ("RuntimeDirectory", "/run"),
            ("StateDirectory", "/var/lib"),
            ("CacheDirectory", "/var/cache"),
            ("LogsDirectory", "/var/log"),
        ] {
            for directive in self.unit.all("Service", key) {
                for name in directive.value.split_ascii_whitespace() {
                    let name = name.split(':').next().unwrap_or_default();
                    let name = self.units.names.expand(name).unwrap_or_default();
                    self.left(directive, format_args!("{above}/{name} must be there: make it in a oneshot"));
                    writable.push(format!("{above}/{name}"));
                }
            }
        }
        let Some((directive, value)) = self.value("ProtectSystem") else { return };
        match value.as_str() {
            "strict" => {
                writable.sort();
                writable.dedup();
                self.set("sandbox", "read_only", "true");
                if !writable.is_empty() {
                    self.set("sandbox", "writable", list(writable));
                }
            }
            value if words::truth(value) == Some(false) => {}
            value => self.left(
                directive,
                format_args!(
                    "'{value}': write sandbox.writable, the folders that it needs, and all else is read-only"
                ),
            ),
        }
    }
}
