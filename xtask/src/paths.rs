//! Where things are: the repository, the cache of what is fetched, and scratch directories.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process};

use anyhow::{Context, Result};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the repository")
}

/// Cargo's output directory.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// What was fetched from outside, keyed by version; deleting it costs only time.
///
/// `$LUNIX_CACHE`, else `$XDG_CACHE_HOME/lunix`, else `~/.cache/lunix`.
pub fn cache() -> Result<PathBuf> {
    let dir = match (env::var_os("LUNIX_CACHE"), env::var_os("XDG_CACHE_HOME")) {
        (Some(own), _) => PathBuf::from(own),
        (None, Some(xdg)) => PathBuf::from(xdg).join("lunix"),
        (None, None) => env::home_dir().context("no home directory: set LUNIX_CACHE")?.join(".cache/lunix"),
    };
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(dir)
}

/// A directory that is removed with its contents when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new one under `parent`, on the same file system as whatever is renamed out of it.
    pub fn under(parent: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let name = format!(".lunix-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let dir = parent.join(name);
            match fs::create_dir(&dir) {
                Ok(()) => return Ok(Self(dir)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e).with_context(|| format!("create {}", dir.display())),
            }
        }
    }

    /// Makes a new one where the system keeps temporary files.
    pub fn new() -> Result<Self> {
        Self::under(&env::temp_dir())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing useful can be done about a directory that will not go.
        let _ = fs::remove_dir_all(&self.0);
    }
}
