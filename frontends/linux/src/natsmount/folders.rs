//! The folders that volumes are mounted on, and the notes by which we know after a restart that they are ours.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lunix_core::mount::name::Name;

/// Folders of the same name, but for a number.
const NUMBERS: u16 = 100;
/// Bytes of a note.
const NOTE: u64 = 4 << 10;

/// Where folders and notes are.
#[derive(Debug)]
pub(super) struct Folders {
    media: PathBuf,
    notes: PathBuf,
}

impl Folders {
    /// Makes both folders where they are missing.
    ///
    /// # Errors
    /// They cannot be made, or somebody else could put links into one of them.
    pub(super) fn open(media: &Path, notes: &Path) -> io::Result<Self> {
        for (folder, mode) in [(media, 0o755), (notes, 0o700)] {
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
            DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(named)?;
            let found = fs::metadata(folder).map_err(named)?;
            if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o022 != 0 {
                return Err(named(io::Error::other("others may write there")));
            }
        }
        // What the kernel says of mounts has no links in it.
        Ok(Self { media: fs::canonicalize(media)?, notes: notes.to_path_buf() })
    }

    /// Makes a folder of this name, or of one like it, and notes that it is ours.
    pub(super) fn make(&self, name: &Name, note: &[u8]) -> io::Result<PathBuf> {
        for number in 1..=NUMBERS {
            let name = name.numbered(number);
            let folder = self.media.join(name.as_str());
            match DirBuilder::new().mode(0o755).create(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            }
            let mut own = File::options();
            own.write(true).create(true).truncate(true).mode(0o600);
            let noted = own.open(self.notes.join(name.as_str())).and_then(|mut file| file.write_all(note));
            if let Err(error) = noted {
                let _ = fs::remove_dir(&folder);
                return Err(error);
            }
            return Ok(folder);
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes a folder that we made. What is in it stays, and so does the note then.
    pub(super) fn remove(&self, target: &[u8]) -> io::Result<()> {
        let target = Path::new(OsStr::from_bytes(target));
        let Some(name) = target.strip_prefix(&self.media).ok().and_then(Path::file_name) else {
            return Ok(());
        };
        let note = self.notes.join(name);
        if !note.is_file() {
            return Ok(());
        }
        match fs::remove_dir(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::remove_file(note),
        }
    }

    /// Our folders, each with its note.
    pub(super) fn noted(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(&self.notes).into_iter().flatten().flatten();
        let read = |entry: fs::DirEntry| {
            let mut note = Vec::new();
            File::open(entry.path()).ok()?.take(NOTE).read_to_end(&mut note).ok()?;
            Some((self.media.join(entry.file_name()), note))
        };
        entries.filter_map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("lunix-folders-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn only_what_we_made_is_removed() {
        let scratch = scratch("made");
        let folders = Folders::open(&scratch.join("media"), &scratch.join("notes")).unwrap();
        let name = Name::new(&[b"A"]);
        fs::create_dir(scratch.join("media/A")).unwrap();
        let second = folders.make(&name, b"note").unwrap();
        assert!(second.ends_with("media/A-2"));
        assert_eq!(folders.noted(), [(second.clone(), b"note".to_vec())]);
        folders.remove(scratch.join("media/A").as_os_str().as_bytes()).unwrap();
        assert!(scratch.join("media/A").is_dir(), "somebody else made it");
        fs::write(second.join("file"), "kept").unwrap();
        assert!(folders.remove(second.as_os_str().as_bytes()).is_err());
        fs::remove_file(second.join("file")).unwrap();
        folders.remove(second.as_os_str().as_bytes()).unwrap();
        assert!(!second.exists() && folders.noted().is_empty());
        folders.remove(b"/etc").unwrap();
        assert!(Path::new("/etc").is_dir());
        fs::remove_dir_all(scratch).unwrap();
    }

    #[test]
    fn a_folder_that_others_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = scratch("open");
        let media = scratch.join("media");
        fs::create_dir(&media).unwrap();
        fs::set_permissions(&media, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Folders::open(&media, &scratch.join("notes")).is_err());
        fs::remove_dir_all(scratch).unwrap();
    }
}
