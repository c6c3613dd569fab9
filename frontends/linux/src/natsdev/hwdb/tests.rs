//! Texts to a table, and what it says beside what systemd's says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lunix_core::device::hwdb::{Hwdb, plain};

use super::build;

struct Folders(PathBuf);

impl Folders {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lunix-hwdb-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn folders(&self) -> Vec<PathBuf> {
        ["etc", "usr"].iter().map(|folder| self.0.join(folder)).collect()
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(table: &[u8], name: &str) -> BTreeMap<String, String> {
    let matches = Hwdb::open(table).unwrap().lookup(name.as_bytes());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    matches.properties().map(|(key, value)| (text(key), text(value))).collect()
}

#[test]
fn later_files_and_later_lines_count() {
    let folders = Folders::new("order");
    folders.write(
        "usr/10-a.hwdb",
        "usb:v1*\n A=first\n A=second\n B=1\n\nusb:v1p2\nusb:v1p3\n A=exact\n\nusb:*\n A=any\n",
    );
    folders.write("usr/20-b.hwdb", "usb:v1p3\n B=2\n");
    folders.write("usr/30-c.hwdb", "usb:v1p3\n B=hidden\n");
    folders.write("etc/30-c.hwdb", "usb:v1p3*\n C=3\n");
    folders.write("usr/README", "nothing\n");
    let built = build(&folders.folders()).unwrap();
    assert_eq!((built.mistakes.len(), built.patterns), (0, 6));
    let text = |name: &str| {
        let said = said(&built.table, name);
        said.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(text("usb:v1p3"), "A=any B=2 C=3");
    assert_eq!(text("usb:v1p2"), "A=any B=1");
    assert_eq!(text("usb:v2"), "A=any");
    assert_eq!(text("pci:"), "");
}

#[test]
fn all_mistakes_are_said_with_their_places() {
    let folders = Folders::new("mistakes");
    folders.write("usr/10-a.hwdb", " A=1\n\nusb:*\n\nusb:1\n  A\n =1\n B=2\npci:*\n");
    folders.write("usr/20-b.hwdb", "usb:2\n A=1\n\nusb:3");
    let built = build(&folders.folders()).unwrap();
    let said: Vec<_> = built.mistakes.iter().map(|mistake| mistake.to_string()).collect();
    let path = |name: &str| folders.0.join("usr").join(name).display().to_string();
    assert_eq!(
        said,
        [
            format!("{}:1:1: expected a pattern, found a property", path("10-a.hwdb")),
            format!(
                "{}:4:1: expected a property, indented by a space, after the patterns",
                path("10-a.hwdb")
            ),
            format!("{}:6:4: expected '=' after the property's name", path("10-a.hwdb")),
            format!("{}:7:2: expected the property's name before '='", path("10-a.hwdb")),
            format!("{}:9:1: expected a property or an empty line, found a pattern", path("10-a.hwdb")),
            format!(
                "{}:4:1: expected a property, indented by a space, after the patterns",
                path("20-b.hwdb")
            ),
        ]
    );
    // What is right beside them counts.
    assert_eq!(super::tests::said(&built.table, "usb:1")["B"], "2");
    assert_eq!(super::tests::said(&built.table, "usb:2")["A"], "1");
}

/// The texts of this machine: what is said of a sample of what they know.
#[test]
fn says_what_systemd_says() {
    let texts = PathBuf::from("/usr/lib/udev/hwdb.d");
    let query = |name: &str| Command::new("systemd-hwdb").args(["query", name]).output();
    if !texts.exists() || !query("usb:v1D6Bp0002").is_ok_and(|output| !output.stdout.is_empty()) {
        return eprintln!("SKIPPED says_what_systemd_says: no table of systemd's");
    }
    let built = build(&[Path::new("/etc/udev/hwdb.d").to_path_buf(), texts.clone()]).unwrap();
    let mut names = Vec::new();
    for file in fs::read_dir(texts).unwrap().filter_map(Result::ok) {
        let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
        let patterns: Vec<_> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with([' ', '#']))
            .map(|line| line.split('#').next().unwrap_or_default().trim_end().to_owned())
            .collect();
        names.extend(patterns.iter().step_by(patterns.len() / 8 + 1).map(|pattern| {
            let (start, rest) = pattern.split_at(plain(pattern.as_bytes()));
            format!("{start}{}", rest.replace('*', "1").replace('?', "a"))
        }));
    }
    for name in &names {
        let theirs = query(name).unwrap().stdout;
        let theirs = String::from_utf8_lossy(&theirs).into_owned();
        let theirs: BTreeMap<_, _> = theirs
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(said(&built.table, name), theirs, "{name}");
    }
    assert!(names.len() > 50, "{}", names.len());
}
