//! `natsinit --check-config`, as people and packages call it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &[u8])]) -> Self {
        let path = std::env::temp_dir().join(format!("lunix-check-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        Self(path)
    }

    /// The exit code, stdout and stderr, without the folder's own path.
    fn check(&self) -> (i32, String, String) {
        check(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn check(folder: &Path) -> (i32, String, String) {
    check_with(folder, &[])
}

fn check_with(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lunix"))
        .args(["natsinit", "--check-config", "--services"])
        .arg(folder)
        .args(words)
        .output()
        .unwrap();
    let text =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&format!("{}/", folder.display()), "");
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_the_command_line_starts_can_be_needed() {
    let file = b"command = ['natsdev']\nneeds = ['natsd', 'web']\n";
    let folder = Folder::new("given", &[("a.toml", file)]);
    let (code, _, err) = folder.check();
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = check_with(&folder.0, &["--session", "-s", "natsdev", "web=sleep 1000"]);
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn a_right_folder() {
    let folder = Folder::new(
        "right",
        &[("a.toml", b"command = ['sh', '-c', 'true']\nneeds = ['b']"), ("b.toml", b"command = ['natsdev']")],
    );
    let (code, out, err) = folder.check();
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.ends_with(": 2 services\n"), "{out}");
}

#[test]
fn every_mistake_in_all_files_at_once() {
    let folder = Folder::new(
        "wrong",
        &[
            ("a.toml", b"command = ['sh']\nneeds = ['b']"),
            ("b.toml", b"command = ['/no/such/program']\nenabeld = true\nuser = 'no-such-user'"),
            ("b.toml.d/50.toml", b"[limits]\nmemory = 'much'"),
            ("c.toml", b"command = ['sh']\nafter = ['d']"),
            ("d.toml", b"command = ['sh']\n\nneeds = ['c']"),
            ("e.toml", b"command = ['sh'\n"),
            ("f.toml", b"\xff\xfe"),
            ("ok.toml", b"command = ['sh']\nwants = ['b']"),
        ],
    );
    symlink("/nowhere", folder.0.join("g.toml")).unwrap();
    let (code, out, err) = folder.check();
    assert_eq!((code, out.as_str()), (2, ""));
    let lines: Vec<&str> = err.lines().collect();
    for (line, expected) in lines.iter().zip([
        "b.toml:1:11: command: \"/no/such/program\": No such file or directory",
        "b.toml:2:1: enabeld: unknown key, did you mean 'enabled'?",
        "b.toml:3:8: user: there is no user 'no-such-user'",
        "b.toml.d/50.toml:2:10: memory: expected a size from 4096 bytes, such as 64M, or \"unlimited\", found \"much\"",
        "c.toml:2:10: after: a ring, in which each waits for the next: c is after d (",
        "e.toml:",
        "f.toml: expected UTF-8 text, found other bytes in line 1",
        "g.toml: No such file or directory",
    ]) {
        assert!(line.starts_with(expected), "{line}\n{expected}\n\n{err}");
    }
    assert!(lines[8].ends_with(": a: left out, as it needs b"), "{err}");
    assert_eq!(lines.len(), 9, "{err}");
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let (code, out, err) = check(Path::new("/no/such/folder"));
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(err, "/no/such/folder: No such file or directory (os error 2)\n");
}

#[test]
fn what_is_shipped_is_right() {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/services");
    let (code, out, err) = check(&services.canonicalize().unwrap());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    // To be put beside those, with programs of another package and users whom an administrator makes.
    let services = services.join("../services-bridge");
    let (_, _, err) = check(&services.canonicalize().unwrap());
    let lacks = ["needs: there is no service 'natsd'", "user: there is no user '", ": no such program along"];
    let is_lack = |line: &str| lacks.iter().any(|lack| line.contains(lack));
    assert!(err.lines().all(is_lack), "{err}");
}

#[test]
fn nothing_hostile_hurts() {
    let deep = "[".repeat(60_000);
    let keys: String = (0..5000).map(|at| format!("k{at} = {at}\n")).collect();
    let dots = format!("{}x = 1", "a.".repeat(20_000));
    let deep = format!("a = {deep}");
    let braces = "a = {b=".repeat(8_000);
    let files: [(&str, &[u8]); 6] = [
        ("deep.toml", deep.as_bytes()),
        ("braces.toml", braces.as_bytes()),
        ("keys.toml", keys.as_bytes()),
        ("dots.toml", dots.as_bytes()),
        ("nul.toml", b"command = ['\\u0000']\n\0\0"),
        ("esc.toml", b"\"\\u001b[2J\\n\" = 1\ncommand = [\"\\u001b[2J\"]"),
    ];
    let folder = Folder::new("hostile", &files);
    let (code, _, err) = folder.check();
    assert_eq!(code, 2);
    for (name, _) in files {
        assert!(err.lines().any(|line| line.starts_with(name)), "{name}\n{err}");
    }
    assert!(!err.contains('\u{1b}'), "{err:?}");
}
