//! The kernel's modules as depmod and modprobe.d(5) tell of them: which one drives what, and what else it needs.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use lunix_core::device::hwdb::glob;

use crate::natsdev::device::{Root, limited};
use crate::sys::mapping::Mapping;

/// Bytes of a list of depmod's.
const LIST: u64 = 64 << 20;
/// Bytes of a file of settings.
const SETTINGS: u64 = 1 << 20;
/// Where settings are; a file hides those of its name in later folders.
const FOLDERS: [&str; 4] = ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];
/// How deep modules ask for others.
const DEPTH: u8 = 16;

/// A module to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: Vec<u8>,
    pub(super) path: PathBuf,
    pub(super) options: Vec<u8>,
}

/// The modules of the running kernel.
#[derive(Debug)]
pub(super) struct Modules {
    root: Root,
    folder: PathBuf,
    settings: Settings,
    dependencies: Mapping,
    aliases: Mapping,
}

/// What the files in modprobe.d say, and what modules say of themselves.
#[derive(Debug, Default)]
struct Settings {
    blacklist: Vec<Vec<u8>>,
    aliases: Vec<(Vec<u8>, Vec<u8>)>,
    options: Vec<(Vec<u8>, Vec<u8>)>,
    before: Vec<(Vec<u8>, Vec<u8>)>,
    after: Vec<(Vec<u8>, Vec<u8>)>,
}

/// `-` and `_` are the same in names.
fn normal(name: &[u8]) -> Vec<u8> {
    let mut inside = false;
    let normal = name.iter().map(|byte| {
        inside = *byte == b'[' || inside && *byte != b']';
        if *byte == b'-' && !inside { b'_' } else { *byte }
    });
    normal.collect()
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    let lines = std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr(b'\n', text);
        rest = end.and_then(|end| text.get(end + 1..));
        text.get(..end.unwrap_or(text.len()))
    });
    lines.filter(|line| !line.starts_with(b"#"))
}

impl Settings {
    fn read(root: &Root, softdep: &[u8]) -> Self {
        let mut files: Vec<(OsString, PathBuf)> = Vec::new();
        for folder in FOLDERS.iter().map(|folder| root.path(folder)) {
            let entries = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
            for name in
                entries.map(|entry| entry.file_name()).filter(|name| name.as_bytes().ends_with(b".conf"))
            {
                if !files.iter().any(|(known, _)| *known == name) {
                    let path = folder.join(&name);
                    files.push((name, path));
                }
            }
        }
        files.sort();
        let mut settings = Self::default();
        for (_, path) in files {
            settings.add(&limited(&path, SETTINGS).unwrap_or_default());
        }
        settings.add(softdep);
        settings
    }

    fn add(&mut self, text: &[u8]) {
        for line in lines(text) {
            let mut words = words(line);
            let (Some(key), Some(name)) = (words.next(), words.next()) else { continue };
            let name = normal(name);
            match key {
                b"blacklist" => self.blacklist.push(name),
                b"alias" => self.aliases.extend(words.next().map(|module| (name, normal(module)))),
                b"options" => self.options.push((name, words.collect::<Vec<_>>().join(&b' '))),
                // It says what is to be run instead; nothing is run for an event, so it is as if forbidden.
                b"install" => self.blacklist.push(name),
                b"softdep" => {
                    let mut list: Option<&mut Vec<_>> = None;
                    for word in words {
                        match word {
                            b"pre:" => list = Some(&mut self.before),
                            b"post:" => list = Some(&mut self.after),
                            word => list.iter_mut().for_each(|list| list.push((name.clone(), normal(word)))),
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

impl Modules {
    /// Those of the kernel `release`.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn read(root: &Root, release: &str) -> io::Result<Self> {
        let folders = ["/lib/modules", "/usr/lib/modules"].map(|folder| root.path(folder).join(release));
        let folder = folders.into_iter().find(|folder| folder.exists()).ok_or(io::ErrorKind::NotFound)?;
        let list = |name: &str| Mapping::of(&File::open(folder.join(name))?, LIST);
        let softdep = limited(&folder.join("modules.softdep"), SETTINGS).unwrap_or_default();
        Ok(Self {
            root: root.clone(),
            settings: Settings::read(root, &softdep),
            dependencies: list("modules.dep")?,
            aliases: list("modules.alias")?,
            folder,
        })
    }

    /// What is to be loaded for `name`, a module or an alias, in this order; without what is there already, and without
    /// what somebody has forbidden.
    pub(super) fn plan(&self, name: &[u8]) -> Vec<Step> {
        let (mut steps, mut begun) = (Vec::new(), Vec::new());
        for module in self.meant(&normal(name)) {
            if !self.settings.blacklist.contains(&module) {
                self.add(&module, &mut steps, &mut begun, DEPTH);
            }
        }
        steps
    }

    /// The modules that a name stands for: by the settings, by their own names, by what they say that they drive.
    fn meant(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let own = self.settings.aliases.iter().filter(|(alias, _)| glob(alias, name));
        let mut found: Vec<Vec<u8>> = own.map(|(_, module)| module.clone()).collect();
        // No module has the colon of what devices say of themselves in its name.
        if found.is_empty() && !name.contains(&b':') && self.dependency(name).is_some() {
            found.push(name.to_vec());
        }
        if !found.is_empty() {
            return found;
        }
        for line in lines(self.aliases.bytes()) {
            // Most are about other devices: that is seen before anything is made of them.
            let Some(line) = line.strip_prefix(b"alias ").filter(|line| may_fit(line, name)) else {
                continue;
            };
            let Some((alias, module)) = split_last(line) else { continue };
            if glob(&normal(alias), name) {
                let module = normal(module);
                if !found.contains(&module) {
                    found.push(module);
                }
            }
        }
        found
    }

    /// Puts a module and what it needs to the steps. `begun` has those on the way: softly, modules may need each other.
    fn add(&self, name: &[u8], steps: &mut Vec<Step>, begun: &mut Vec<Vec<u8>>, depth: u8) {
        let Some(depth) = depth.checked_sub(1) else { return };
        if self.is_loaded(name) || begun.iter().any(|other| other == name) {
            return;
        }
        let Some((path, needed)) = self.dependency(name) else { return };
        begun.push(name.to_vec());
        let wanted = |list: &[(Vec<u8>, Vec<u8>)]| -> Vec<Vec<u8>> {
            list.iter().filter(|(module, _)| module == name).map(|(_, other)| other.clone()).collect()
        };
        // What helps a module may be named by an alias.
        let meant = |list| wanted(list).iter().flat_map(|other| self.meant(other)).collect::<Vec<_>>();
        meant(&self.settings.before).iter().for_each(|other| self.add(other, steps, begun, depth));
        // depmod names the nearest first.
        for other in words(needed).collect::<Vec<_>>().iter().rev() {
            self.add(&module_name(other), steps, begun, depth);
        }
        let options = wanted(&self.settings.options).join(&b' ');
        steps.push(Step { name: name.to_vec(), path, options });
        meant(&self.settings.after).iter().for_each(|other| self.add(other, steps, begun, depth));
    }

    /// Where a module is, and what it needs.
    fn dependency(&self, name: &[u8]) -> Option<(PathBuf, &[u8])> {
        lines(self.dependencies.bytes()).find_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let (path, needed) = (line.get(..at)?, line.get(at + 1..)?);
            let file = path.rsplit(|byte| *byte == b'/').next()?;
            // Most are others: no name is made of those.
            let same = file.len() > name.len() && file.get(name.len()) == Some(&b'.');
            (same && module_name(path) == name)
                .then(|| (self.folder.join(std::ffi::OsStr::from_bytes(path)), needed))
        })
    }

    fn is_loaded(&self, name: &[u8]) -> bool {
        self.root.sys().join("module").join(std::ffi::OsStr::from_bytes(name)).exists()
    }
}

/// Whether a line that begins with an alias begins as `name` does, as far as the alias is plain.
fn may_fit(line: &[u8], name: &[u8]) -> bool {
    let mut name = name.iter();
    for byte in line {
        match (byte, name.next()) {
            (b'*' | b'?' | b'[' | b'\\', _) | (b' ', None) => return true,
            (b'-', Some(b'_')) => {}
            (byte, Some(other)) if byte == other => {}
            _ => return false,
        }
    }
    false
}

fn split_last(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().rposition(|byte| *byte == b' ')?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

/// `kernel/drivers/x/snd-hda.ko.xz` is `snd_hda`.
fn module_name(path: &[u8]) -> Vec<u8> {
    let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    normal(file.split(|byte| *byte == b'.').next().unwrap_or_default())
}
