//! A seed of randomness that is kept from one boot to the next.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::rand::{GetRandomFlags, getrandom};

use super::is_first_of_machine;
use crate::sys::machine;

/// Bytes of a seed: as many as the kernel's pool takes in.
const LENGTH: usize = 512;
/// What is shorter is no seed.
const LEAST: usize = 32;

/// Credits the seed of the boot before, which is gone by then, and keeps a new one at once: a seed is never used twice, and
/// a machine that loses its power has one, too.
///
/// # Errors
/// The file cannot be read, replaced or credited. That there is none is how a first boot is.
pub(super) fn load(file: &Path) -> io::Result<()> {
    if !is_first_of_machine() {
        return Ok(());
    }
    let mut seed = Vec::new();
    match File::open(file) {
        Ok(open) => {
            let private = open.metadata()?.permissions().mode() & 0o077 == 0;
            open.take(LENGTH as u64).read_to_end(&mut seed)?;
            fs::remove_file(file)?;
            sync_folder(file)?;
            let pool = OpenOptions::new().write(true).open("/dev/urandom")?;
            if private && seed.len() >= LEAST {
                machine::add_randomness(&pool, &seed)?;
            } else {
                (&pool).write_all(&seed)?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    save(file)
}

/// Keeps a seed for the next boot. Before the kernel has gathered enough there is none that could be credited.
///
/// # Errors
/// The file cannot be written.
pub(super) fn save(file: &Path) -> io::Result<()> {
    let mut seed = [0; LENGTH];
    let mut filled = 0;
    while let Some(room) = seed.get_mut(filled..).filter(|room| !room.is_empty()) {
        match getrandom(room, GetRandomFlags::NONBLOCK) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("new");
    let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    open.write_all(&seed)?;
    open.sync_all()?;
    fs::rename(&new, file)?;
    sync_folder(file)
}

fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_new_and_private() {
        let folder = std::env::temp_dir().join(format!("lunix-seed-{}", std::process::id()));
        let file = folder.join("state/seed");
        save(&file).unwrap();
        let one = fs::read(&file).unwrap();
        save(&file).unwrap();
        let two = fs::read(&file).unwrap();
        assert!(one.len() == LENGTH && two.len() == LENGTH && one != two);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(&folder).unwrap();
    }
}
