//! The files by which others find a running server: its process id and its ports.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file that goes away with the server.
#[derive(Debug)]
pub(super) struct Sign(PathBuf);

impl Sign {
    /// The process id, bare digits.
    pub(super) fn pid(path: &Path) -> io::Result<Self> {
        fs::write(path, std::process::id().to_string())?;
        Ok(Self(path.to_owned()))
    }

    /// `PROGRAM_PID.ports` with the URLs of each service as JSON: `("nats", ["nats://127.0.0.1:4222"])`.
    /// It appears whole: those who wait for it read it at once.
    pub(super) fn ports(folder: &Path, program: &str, services: &[(&str, Vec<String>)]) -> io::Result<Self> {
        let name = format!("{program}_{}.ports", std::process::id());
        let member = |(service, urls): &(&str, Vec<String>)| {
            let urls: Vec<String> = urls.iter().map(|url| format!("\"{url}\"")).collect();
            format!("\"{service}\":[{}]", urls.join(","))
        };
        let members: Vec<String> = services.iter().map(member).collect();
        let hidden = folder.join(format!(".{name}"));
        fs::write(&hidden, format!("{{{}}}", members.join(",")))?;
        let path = folder.join(name);
        fs::rename(hidden, &path)?;
        Ok(Self(path))
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
