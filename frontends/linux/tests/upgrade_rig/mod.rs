//! A flash in a file, images made by `lunix upgrade --pack`, and a boot loader that is a function.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lunix_core::slots::environment::{COPY, Environment};
use lunix_core::slots::image::Header;
use lunix_core::slots::{Layout, Part, Slot};

/// A folder with keys and a flash, for one test.
pub struct Rig {
    pub folder: PathBuf,
    pub board: &'static str,
    layout: Layout,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Rig {
    /// A flash as erased, of `len` bytes, and the key of the maker.
    pub fn new(name: &str, board: &'static str, len: usize) -> Self {
        let folder = std::env::temp_dir().join(format!("lunix-upgrade-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("root/etc/lunix/services")).unwrap();
        fs::write(folder.join("flash"), vec![0xFF; len]).unwrap();
        let rig = Self { folder, board, layout: Layout::of_board(board).unwrap() };
        let public = rig.ok(&["--new-key", &rig.path("secret")]);
        fs::write(rig.folder.join("keys"), format!("# who may\n{} maker@example\n", public.trim())).unwrap();
        rig
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// An image of this version, signed, with a kernel and a root of its own.
    pub fn image(&self, version: &str, kernel: &[u8]) -> String {
        let services = self.folder.join("root/etc/lunix/services");
        fs::write(services.join("natstoast.toml"), format!("# of {version}\n")).unwrap();
        fs::write(self.folder.join("root/etc/issue"), "lunix\n").unwrap();
        fs::write(self.folder.join("kernel"), kernel).unwrap();
        let root: Vec<u8> = version.bytes().cycle().take(300_001).collect();
        fs::write(self.folder.join("squashfs"), root).unwrap();
        let output = self.path(&format!("{version}.img"));
        self.ok(&[
            "--pack",
            "--kernel",
            &self.path("kernel"),
            "--root",
            &self.path("squashfs"),
            "--root-folder",
            &self.path("root"),
            "--board",
            self.board,
            "--release",
            version,
            "--options",
            "console=ttyAMA0",
            "--sign",
            &self.path("secret"),
            "--output",
            &output,
        ]);
        output
    }

    /// `lunix upgrade` without the flags of a flash.
    pub fn plain(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
        command.arg("upgrade").args(arguments).env("SOURCE_DATE_EPOCH", "1700000000");
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        said(self.plain(arguments))
    }

    /// The command on the flash of this rig.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunix"));
        command.arg("upgrade").args(arguments).args(["--flash", &self.path("flash"), "--board", self.board]);
        command.args(["--keys", &self.path("keys")]).stdin(Stdio::null());
        command
    }

    /// What it says, if it works.
    pub fn works(&self, arguments: &[&str]) -> String {
        said(self.command(arguments).output().unwrap())
    }

    /// What it says on stderr, if it does not work; the flash is as it was.
    pub fn fails(&self, arguments: &[&str], code: i32) -> String {
        let before = self.flash();
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(self.flash() == before, "something was written");
        said
    }

    pub fn flash(&self) -> Vec<u8> {
        fs::read(self.folder.join("flash")).unwrap()
    }

    /// What a boot loader does: chooses, marks, and answers which slot and version it starts.
    pub fn start(&self) -> (Slot, String, bool) {
        let mut flash = self.flash();
        let area = |part| {
            let area = self.layout.area(part);
            area.offset as usize..area.end() as usize
        };
        let environment = area(Part::Environment);
        let half = environment.len() / 2;
        let copies = [environment.start, environment.start + half];
        let [a, b] = copies.map(|at| &flash[at..at + COPY as usize]);
        let headers = Slot::BOTH.map(|slot| Header::decode(&flash[area(Part::Slot(slot))]).ok());
        let boot = Environment::decode(a, b).choose(headers.map(|header| header.map(|header| header.id())));
        for (number, slot) in boot.slots.into_iter().flatten().enumerate() {
            let header = slot.of_pair(headers).unwrap();
            let base = area(Part::Slot(slot)).start;
            let whole = header.pieces().all(|piece| {
                let from = base + piece.offset as usize;
                hmac_sha256::Hash::hash(&flash[from..from + piece.len as usize]) == piece.sha256.0
            });
            if !whole {
                continue;
            }
            if let (0, Some(mark)) = (number, boot.mark) {
                for (at, byte) in (copies[mark.copy] + mark.at as usize..).zip(mark.bytes()) {
                    flash[at] &= byte;
                }
                fs::write(self.folder.join("flash"), &flash).unwrap();
            }
            return (slot, header.version.as_str().to_owned(), boot.trial && number == 0);
        }
        panic!("nothing can be started");
    }
}

fn said(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A program of this machine, if it is there.
pub fn program(name: &str) -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places).map(|folder| folder.join(name)).find(|path| Path::is_file(path))
}
