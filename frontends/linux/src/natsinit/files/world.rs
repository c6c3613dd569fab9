//! What the files refer to: programs, users and groups of this machine.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::escaped::Escaped;

/// Where programs are looked for if nothing else is said.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// This machine, or none at all: then everything is there.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    /// The files of accounts, as far as they can be read.
    users: Option<String>,
    groups: Option<String>,
    /// Programs are looked for, here if the service has no PATH.
    path: Option<String>,
    /// Services that are there without a file.
    pub(super) services: Vec<String>,
}

impl World {
    /// This machine, and what is started on it without a file.
    pub(super) fn here(services: &[String]) -> Self {
        Self {
            services: services.to_vec(),
            users: fs::read_to_string("/etc/passwd").ok(),
            groups: fs::read_to_string("/etc/group").ok(),
            path: Some(std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned())),
        }
    }

    /// There is a user of this name. Numbers always are.
    pub(super) fn user(&self, name: &str) -> bool {
        known(self.users.as_deref(), name)
    }

    /// There is a group of this name. Numbers always are.
    pub(super) fn group(&self, name: &str) -> bool {
        known(self.groups.as_deref(), name)
    }

    /// The program is there and can be executed; `path` is that of the service.
    pub(super) fn program(&self, program: &str, path: Option<&str>) -> Result<(), String> {
        let Some(ours) = &self.path else { return Ok(()) };
        let shown = Escaped(program);
        if program.contains('/') {
            // A path that is not absolute would depend on the service's directory.
            if !program.starts_with('/') {
                return Err(format!("expected an absolute path or a name without '/', found \"{shown}\""));
            }
            return executable(Path::new(program)).map_err(|why| format!("\"{shown}\": {why}"));
        }
        let mut why = "no such program".to_owned();
        for folder in path.unwrap_or(ours).split(':').filter(|folder| folder.starts_with('/')) {
            match executable(&Path::new(folder).join(program)) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => why = format!("{folder}: {error}"),
            }
        }
        Err(format!("\"{shown}\": {why} along the PATH {}", Escaped(path.unwrap_or(ours))))
    }
}

fn executable(program: &Path) -> io::Result<()> {
    let found = fs::metadata(program)?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no file"));
    }
    if found.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "is not executable"));
    }
    Ok(())
}

fn known(accounts: Option<&str>, name: &str) -> bool {
    let Some(accounts) = accounts else { return true };
    name.bytes().all(|byte| byte.is_ascii_digit())
        || accounts.lines().any(|line| line.split(':').next() == Some(name))
}
