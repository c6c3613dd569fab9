//! The store: the gateway's records in one file, by redb.
//!
//! A commit is there as a whole or not at all, also after a power cut: redb writes beside what is there, and then one page that says
//! which of both counts. A thread of its own does so, as a commit takes as long as the disk does.

mod file;

use std::io;
use std::path::{Path, PathBuf};

use lunix::log::{self, Level};
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::NAME;
use file::Roomy;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("natsmqtt");
/// What of the gateway's records is told by this number.
const VERSION: u8 = 1;
/// Sorts before all records; its value is their version.
const VERSION_KEY: &[u8] = &[0];
/// Pages that are kept in memory, in bytes.
const CACHE: usize = 1 << 20;

/// The file, open and ours alone.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// None after a failure, which leaves redb's picture of the file uncertain.
    database: Option<Database>,
    is_failing: bool,
}

impl Store {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It is damaged, no store of ours, another process's at this time, or there is no access to it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let open = || -> Result<Self, Error> {
            let mut builder = Builder::new();
            builder.set_check_integrity_on_open(true).set_cache_size(CACHE);
            let database = builder.create_with_backend(Roomy::open(path)?)?;
            let store = Self { path: path.to_owned(), database: Some(database), is_failing: false };
            store.check_version()?;
            Ok(store)
        };
        open().map_err(|error| error.at(path))
    }

    fn check_version(&self) -> Result<(), Error> {
        let database = self.database.as_ref().ok_or(Error::Damaged)?;
        let read = database.begin_read()?;
        let is_empty = match read.open_table(RECORDS) {
            Ok(records) => {
                let version = records.get(VERSION_KEY)?.ok_or(Error::Damaged)?;
                return match version.value() {
                    [VERSION] => Ok(()),
                    _ => Err(Error::Version),
                };
            }
            Err(redb::TableError::TableDoesNotExist(_)) => read.list_tables()?.next().is_none(),
            Err(error) => return Err(error.into()),
        };
        if !is_empty {
            return Err(Error::Foreign);
        }
        let write = database.begin_write()?;
        write.open_table(RECORDS)?.insert(VERSION_KEY, &[VERSION][..])?;
        Ok(write.commit()?)
    }

    /// Hands all records to `take`, in the order of their keys.
    ///
    /// # Errors
    /// The file is damaged, or `take` says so.
    pub(super) fn read(&self, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        let mut read = || -> Result<(), Error> {
            let database = self.database.as_ref().ok_or(Error::Damaged)?;
            for record in database.begin_read()?.open_table(RECORDS)?.iter()? {
                let (key, value) = record?;
                if key.value() != VERSION_KEY && !take(key.value(), value.value()) {
                    return Err(Error::Damaged);
                }
            }
            Ok(())
        };
        read().map_err(|error| error.at(&self.path))
    }

    /// Writes records, or removes those without a value: all of them, or none and `false`. That there is no way to is said once, and
    /// that there is again.
    pub(super) fn write<'r>(&mut self, records: impl Iterator<Item = (Vec<u8>, Option<&'r [u8]>)>) -> bool {
        match self.commit(records) {
            Ok(()) => {
                if std::mem::take(&mut self.is_failing) {
                    log::line(Level::Info, NAME, format_args!("{}: written again", self.path.display()));
                }
                true
            }
            Err(error) => {
                self.database = None;
                if !std::mem::replace(&mut self.is_failing, true) {
                    log::line(Level::Error, NAME, error.at(&self.path));
                }
                false
            }
        }
    }

    fn commit<'r>(
        &mut self,
        changes: impl Iterator<Item = (Vec<u8>, Option<&'r [u8]>)>,
    ) -> Result<(), Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => Builder::new().set_cache_size(CACHE).create_with_backend(Roomy::open(&self.path)?)?,
        };
        let write = self.database.insert(database).begin_write()?;
        {
            let mut records = write.open_table(RECORDS)?;
            for (key, value) in changes {
                match value {
                    Some(value) => _ = records.insert(&*key, value)?,
                    None => _ = records.remove(&*key)?,
                }
            }
        }
        Ok(write.commit()?)
    }
}

/// Why there is no store.
#[derive(Debug)]
enum Error {
    Damaged,
    Foreign,
    Version,
    InUse,
    Store(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            redb::Error::Corrupted(_) => Self::Damaged,
            redb::Error::UpgradeRequired(_) => Self::Version,
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => Self::Foreign,
            error => Self::Store(error),
        }
    }
}

impl Error {
    fn at(self, path: &Path) -> io::Error {
        let path = path.display();
        match self {
            Self::Damaged => io::Error::other(format!("store {path}: the file is damaged")),
            Self::Foreign => io::Error::other(format!("store {path}: the file is no store of natsmqtt")),
            Self::Version => {
                io::Error::other(format!("store {path}: the store is of another version of natsmqtt"))
            }
            Self::InUse => io::Error::other(format!("store {path}: another natsmqtt has it open")),
            Self::Store(error) => io::Error::other(format!("store {path}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::sync::{Arc, Mutex};

    use redb::StorageBackend;

    use super::*;

    /// A file of the test's own, that is gone after it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("natsmqtt-{}-{name}.store", std::process::id()));
            let _ = fs::remove_file(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    type Records = BTreeMap<Vec<u8>, Vec<u8>>;

    fn records(store: &Store) -> Records {
        let mut records = Records::new();
        let read = store.read(|key, value| {
            records.insert(key.to_vec(), value.to_vec());
            true
        });
        read.unwrap();
        records
    }

    fn write(store: &mut Store, number: u64, value: Option<&[u8]>) -> bool {
        store.write([(vec![1, u8::try_from(number).unwrap()], value)].into_iter())
    }

    fn refused(path: &Path) -> String {
        let before = fs::read(path).unwrap();
        let error = Store::open(path).unwrap_err().to_string();
        assert_eq!(fs::read(path).unwrap(), before, "nothing is written");
        assert!(!error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn what_is_written_is_there_and_the_file_is_ours_alone() {
        let file = Scratch::new("ours");
        let mut store = Store::open(&file.0).unwrap();
        assert!(records(&store).is_empty());
        for (number, value) in [(1, Some(&b"one"[..])), (2, Some(b"two")), (1, None), (3, None)] {
            assert!(write(&mut store, number, value));
        }
        assert!(refused(&file.0).ends_with("another natsmqtt has it open"));
        drop(store);
        let found = records(&Store::open(&file.0).unwrap());
        assert_eq!(found.into_values().collect::<Vec<_>>(), [b"two"]);
    }

    #[test]
    fn what_is_not_ours_stays_as_it_is() {
        let file = Scratch::new("foreign");
        for text in ["x", "a diary, page one\n", &"x".repeat(100_000)] {
            fs::write(&file.0, text).unwrap();
            let error = refused(&file.0);
            assert!(error.ends_with("no store of natsmqtt") || error.ends_with("damaged"), "{error}");
        }
        fs::remove_file(&file.0).unwrap();
        let other = Database::create(&file.0).unwrap();
        let write = other.begin_write().unwrap();
        write.open_table(TableDefinition::<&str, u64>::new("sales")).unwrap().insert("a", 1).unwrap();
        write.commit().unwrap();
        drop(other);
        assert!(Store::open(&file.0).unwrap_err().to_string().ends_with("no store of natsmqtt"));
    }

    #[test]
    fn damage_is_found_and_harms_nobody() {
        let file = Scratch::new("damaged");
        let mut store = Store::open(&file.0).unwrap();
        for number in 0..100 {
            assert!(write(&mut store, number, Some(&[7; 300])));
        }
        drop(store);
        let good = fs::read(&file.0).unwrap();
        let mut found = 0;
        for at in (0..good.len()).step_by(good.len() / 97) {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            fs::write(&file.0, &bad).unwrap();
            match Store::open(&file.0) {
                Ok(store) => assert_eq!(records(&store).len(), 100, "{at}: the byte is nobody's"),
                Err(error) => {
                    assert!(!error.to_string().contains('\n'), "{error}");
                    assert!(fs::read(&file.0).unwrap() == bad, "{at}: it is left as it is: {error}");
                    found += 1;
                }
            }
        }
        assert!(found > 20, "{found}");
        for length in [0, 1, 100, 4096, good.len() / 2, good.len() - 1] {
            fs::write(&file.0, &good[..length]).unwrap();
            let _ = Store::open(&file.0);
        }
    }

    /// A disk of which one can pull the plug: what was written since the last sync may be there or not.
    #[derive(Clone, Debug, Default)]
    struct Disk(Arc<Mutex<Content>>);

    #[derive(Clone, Debug, Default)]
    struct Content {
        synced: Vec<u8>,
        seen: Vec<u8>,
        unsynced: Vec<Change>,
        /// What it was after each sync, with what has been written since then, and how many commits were over.
        images: Vec<(Vec<u8>, Vec<Change>, u64)>,
        commits: u64,
    }

    #[derive(Clone, Debug)]
    enum Change {
        Length(usize),
        Write(usize, Vec<u8>),
    }

    impl Change {
        fn apply(&self, bytes: &mut Vec<u8>) {
            match self {
                Self::Length(length) => bytes.resize(*length, 0),
                Self::Write(at, data) => {
                    bytes.resize(bytes.len().max(at + data.len()), 0);
                    bytes[*at..at + data.len()].copy_from_slice(data);
                }
            }
        }
    }

    impl Content {
        fn change(&mut self, change: Change) {
            change.apply(&mut self.seen);
            self.unsynced.push(change);
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().unwrap().seen.len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let at = usize::try_from(offset).unwrap();
            out.copy_from_slice(&self.0.lock().unwrap().seen[at..at + out.len()]);
            Ok(())
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            self.0.lock().unwrap().change(Change::Length(usize::try_from(length).unwrap()));
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            let mut content = self.0.lock().unwrap();
            let image = (content.synced.clone(), std::mem::take(&mut content.unsynced), content.commits);
            content.images.push(image);
            content.synced = content.seen.clone();
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().change(Change::Write(usize::try_from(offset).unwrap(), data.to_vec()));
            Ok(())
        }
    }

    fn on(disk: Disk) -> Result<Store, Error> {
        let database = Builder::new().set_check_integrity_on_open(true).create_with_backend(disk)?;
        let store = Store { path: PathBuf::new(), database: Some(database), is_failing: false };
        store.check_version()?;
        Ok(store)
    }

    /// Commits are `number` and a value of its own each; a third of them removes another.
    fn change(store: &mut Store, number: u64) -> bool {
        match number % 3 {
            2 => write(store, number - 2, None),
            _ => write(store, number, Some(&vec![7; 50 + usize::try_from(number).unwrap() * 61 % 5000])),
        }
    }

    #[test]
    fn the_plug_may_be_pulled_at_any_write() {
        const COMMITS: u64 = 30;
        let disk = Disk::default();
        let mut store = on(disk.clone()).unwrap();
        let made = disk.0.lock().unwrap().images.len();
        let mut states = vec![Records::new()];
        for number in 0..COMMITS {
            assert!(change(&mut store, number));
            disk.0.lock().unwrap().commits = number + 1;
            states.push(records(&store));
        }
        let images = disk.0.lock().unwrap().images.clone();
        assert!(images.len() - made >= usize::try_from(COMMITS).unwrap());
        let mut random = 88_172_645_463_325_252_u64;
        let mut cuts = 0;
        for (synced, unsynced, commits) in &images[made..] {
            // All that was written up to some point, and some of what was, in any order that a disk may choose.
            for cut in 0..=unsynced.len() {
                for all in [true, false] {
                    let mut bytes = synced.clone();
                    for change in &unsynced[..cut] {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        if all || random.is_multiple_of(2) || matches!(change, Change::Length(_)) {
                            change.apply(&mut bytes);
                        }
                    }
                    let content = Content { synced: bytes.clone(), seen: bytes, ..Content::default() };
                    let store = on(Disk(Arc::new(Mutex::new(content)))).unwrap();
                    let commits = usize::try_from(*commits).unwrap();
                    let found = records(&store);
                    assert!(
                        found == states[commits] || Some(&found) == states.get(commits + 1),
                        "after {commits}"
                    );
                    cuts += 1;
                }
            }
        }
        assert!(cuts > 200, "{cuts}");
    }
}
