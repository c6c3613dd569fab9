//! The supervisors: what each needs to be told to run the same services, each as its manual would have it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::doze;

#[derive(Clone, Debug)]
pub struct Rival {
    pub kind: Kind,
    /// The program; of finit, the folder that its packages were unpacked to.
    pub path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// With natsd as one more service, which is another process of the same binary.
    Natsinit,
    Busybox,
    Finit,
    Runit,
    S6,
    Dinit,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Natsinit, Self::Busybox, Self::Finit, Self::Runit, Self::S6, Self::Dinit];

    pub fn name(self) -> &'static str {
        match self {
            Self::Natsinit => "natsinit",
            Self::Busybox => "busybox init",
            Self::Finit => "finit",
            Self::Runit => "runit",
            Self::S6 => "s6",
            Self::Dinit => "dinit",
        }
    }

    /// What of the command line names its program.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Natsinit => "--lunix",
            Self::Busybox => "--busybox",
            Self::Finit => "--finit",
            Self::Runit => "--runsvdir",
            Self::S6 => "--s6-svscan",
            Self::Dinit => "--dinit",
        }
    }
}

impl Rival {
    /// Bytes of the programs that keep running.
    pub fn size(&self) -> io::Result<u64> {
        let beside = |name: &str| self.path.with_file_name(name);
        let files = match self.kind {
            Kind::Natsinit | Kind::Busybox | Kind::Dinit => vec![self.path.clone()],
            Kind::Finit => vec![self.path.join("sbin/finit")],
            Kind::Runit => vec![self.path.clone(), beside("runsv")],
            Kind::S6 => vec![self.path.clone(), beside("s6-supervise")],
        };
        files.iter().map(|file| Ok(fs::metadata(file)?.len())).sum()
    }

    /// Writes into `root`, which is laid over an empty tree, what makes it run `services` services; the words that
    /// start it there.
    pub fn prepare(&self, root: &Path, services: usize) -> io::Result<Vec<String>> {
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap_or(root))?;
            fs::write(&path, text)?;
            fs::set_permissions(&path, Permissions::from_mode(0o755))
        };
        let all = || (0..services).map(|service| (doze::name(service), doze::command(service)));
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let scripts = |folder: &str| {
            all().try_for_each(|(name, command)| {
                write(&format!("{folder}/{name}/run"), &format!("#!/bin/sh\nexec {command}\n"))
            })
        };
        fs::create_dir_all(root.join("srv"))?;
        // Under its own name, for some are several programs.
        let name = self.path.file_name().unwrap_or_default();
        if self.kind != Kind::Finit {
            fs::copy(&self.path, root.join("srv").join(name))?;
        }
        let program = format!("/srv/{}", name.to_string_lossy());
        let program = program.as_str();
        match self.kind {
            Kind::Natsinit => {
                let server = "command = [\"natsd\", \"-a\", \"127.0.0.1\"]\nready = { by = \"sd_notify\" }\nstage = 1\n";
                write("etc/lunix/services/natsd.toml", server)?;
                for (name, command) in all() {
                    let command: Vec<&str> = command.split(' ').collect();
                    write(&format!("etc/lunix/services/{name}.toml"), &format!("command = {command:?}\n"))?;
                }
                Ok(words(&[program, "natsinit"]))
            }
            Kind::Busybox => {
                let lines: String = all().map(|(_, command)| format!("::respawn:{command}\n")).collect();
                write("etc/inittab", &lines)?;
                Ok(words(&[program, "init"]))
            }
            Kind::Finit => {
                let lines: String = all()
                    .map(|(name, command)| format!("service [2] name:{name} {command} -- doze\n"))
                    .collect();
                write("etc/finit.conf", "runlevel 2\n")?;
                write("etc/finit.d/doze.conf", &lines)?;
                copy(&self.path, &root.join("srv/finit"))?;
                let libraries = "LD_LIBRARY_PATH=/srv/finit/usr/lib/x86_64-linux-gnu";
                Ok(words(&["/usr/bin/env", libraries, "/srv/finit/sbin/finit"]))
            }
            Kind::Runit => {
                scripts("srv/services")?;
                Ok(words(&[program, "-P", "/srv/services"]))
            }
            Kind::S6 => {
                scripts("srv/services")?;
                Ok(words(&[program, "-c", "2000", "/srv/services"]))
            }
            Kind::Dinit => {
                write("etc/dinit.d/boot", "type = internal\nwaits-for.d = all\n")?;
                for (name, command) in all() {
                    let text = format!("type = process\ncommand = {command}\nrestart = true\n");
                    write(&format!("etc/dinit.d/{name}"), &text)?;
                    write(&format!("etc/dinit.d/all/{name}"), "")?;
                }
                Ok(words(&[program, "--container", "-q", "-d", "/etc/dinit.d", "boot"]))
            }
        }
    }
}

/// A folder with all that is in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
