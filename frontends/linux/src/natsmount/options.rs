//! How a volume is mounted: safely, unless a rule says otherwise.

use std::ffi::CString;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::mount_flags::flag;

/// What the kernel writes to without losing what was there before. All else is mounted read-only.
const WRITABLE: &[&str] =
    &["vfat", "exfat", "ext2", "ext3", "ext4", "btrfs", "xfs", "f2fs", "ntfs3", "udf", "msdos"];

/// Words that are no flags of mount(2) and are handed to the file system.
const WORDS: &[&str] = &["flush", "quiet", "utf8", "discard", "nodiscard", "showexec", "windows_names"];

/// The options of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    flags: MountFlags,
    /// `None`: by the file system.
    read_only: Option<bool>,
    /// For the file system, with commas between.
    data: String,
}

impl Default for Options {
    fn default() -> Self {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        Self { flags, read_only: None, data: String::new() }
    }
}

impl Options {
    /// Takes in an option as `mount -o` has it; `None` if there is none of this name.
    pub(super) fn add(&mut self, word: &str) -> Option<()> {
        match flag(word) {
            Some((MountFlags::RDONLY, on)) => self.read_only = Some(on),
            Some((flag, on)) => self.flags.set(flag, on),
            None => return self.add_data(word),
        }
        Some(())
    }

    /// `uid=1000`, `flush`.
    fn add_data(&mut self, word: &str) -> Option<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
        let known = match word.split_once('=') {
            None => WORDS.contains(&word),
            Some((key, value)) => {
                !key.is_empty()
                    && !value.is_empty()
                    && [key, value].iter().all(|part| part.chars().all(plain))
            }
        };
        if known {
            if !self.data.is_empty() {
                self.data.push(',');
            }
            self.data.push_str(word);
        }
        known.then_some(())
    }

    /// As a child is told of them: words that [`Options::add`] takes.
    pub(super) fn words(&self) -> impl Iterator<Item = String> {
        let words = [
            (MountFlags::NOSUID, "nosuid", "suid"),
            (MountFlags::NODEV, "nodev", "dev"),
            (MountFlags::NOEXEC, "noexec", "exec"),
            (MountFlags::NOATIME, "noatime", ""),
            (MountFlags::RELATIME, "relatime", ""),
            (MountFlags::SYNCHRONOUS, "sync", ""),
            (MountFlags::DIRSYNC, "dirsync", ""),
        ];
        let flags = words.into_iter().map(|(flag, on, off)| if self.flags.contains(flag) { on } else { off });
        let read_only = self.read_only.map_or("", |read_only| if read_only { "ro" } else { "rw" });
        let all: Vec<String> =
            flags.chain([read_only]).chain(self.data.split(',')).map(str::to_owned).collect();
        all.into_iter().filter(|word| !word.is_empty())
    }

    /// The other way round.
    pub(super) fn from_words(words: impl Iterator<Item = Option<String>>) -> Option<Self> {
        let mut options = Self::default();
        for word in words {
            options.add(&word?)?;
        }
        Some(options)
    }

    /// Has the kernel mount it. Waits as long as the medium makes it wait.
    pub(super) fn mount(&self, devnode: &[u8], target: &[u8], fstype: &str) -> Result<(), Errno> {
        // Of the two drivers for NTFS, the one that is told of as `ntfs` may be gone, or be an alias.
        let types = if fstype == "ntfs" { &["ntfs3", "ntfs"][..] } else { &[fstype] };
        let data = CString::new(self.data.as_str()).map_err(|_| Errno::INVAL)?;
        let data = (!self.data.is_empty()).then_some(data.as_c_str());
        let read_only = self.read_only.unwrap_or(!WRITABLE.contains(&fstype));
        let mut result = Err(Errno::NODEV);
        for fstype in types {
            let mut flags = self.flags;
            flags.set(MountFlags::RDONLY, read_only);
            result = mount(devnode, target, *fstype, flags, data);
            // The medium has a switch against writing.
            if matches!(result, Err(Errno::ROFS | Errno::ACCESS)) && !read_only && self.read_only.is_none() {
                result = mount(devnode, target, *fstype, flags | MountFlags::RDONLY, data);
            }
            if result != Err(Errno::NODEV) {
                break;
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_unless_told_otherwise() {
        let mut options = Options::default();
        let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        assert_eq!((options.flags, options.read_only), (safe, None));
        for word in ["exec", "ro", "noatime", "uid=1000", "flush", "iocharset=utf8"] {
            assert_eq!(options.add(word), Some(()), "{word}");
        }
        assert_eq!(options.flags, MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME);
        assert_eq!((options.read_only, options.data.as_str()), (Some(true), "uid=1000,flush,iocharset=utf8"));
        for word in ["", "bind", "loop", "remount", "a=b,c", "uid=", "=1", "x=y z"] {
            assert_eq!(options.add(word), None, "{word}");
        }
    }
}
