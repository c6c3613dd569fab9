//! Packages of Debian, unpacked for guests: nothing is installed on this machine, no script of a package runs, and no root
//! is needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::paths::{Scratch, cache};
use crate::shell;

/// Folders that are links into /usr since Debian 12, before any package is unpacked.
const MERGED: &[&str] = &["bin", "lib", "lib64", "sbin"];

/// Where its libraries are.
const LIBRARIES: &str = "lib/x86_64-linux-gnu";

/// What a program is started by.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";

/// Fetches `packages` with all that they depend on, chosen as for a machine that has none, and `alone` without that.
pub fn download(scratch: &Path, packages: &[&str], alone: &[&str]) -> Result<Vec<PathBuf>> {
    let debs = scratch.join("debs");
    fs::create_dir_all(debs.join("partial"))?;
    let status = scratch.join("status");
    fs::write(&status, "")?;
    let option = |name: &str, path: &Path| format!("{name}={}", path.display());
    shell::quiet(
        Command::new("apt-get")
            .args(["install", "--download-only", "--no-install-recommends", "-qy"])
            .args(["-o", &option("Dir::State::status", &status)])
            .args(["-o", &option("Dir::Cache::archives", &debs)])
            .args(["-o", "Debug::NoLocking=1"])
            .args(packages),
    )?;
    if !alone.is_empty() {
        shell::quiet(Command::new("apt-get").args(["download", "-q"]).args(alone).current_dir(&debs))?;
    }
    let mut packages: Vec<PathBuf> = fs::read_dir(&debs)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    packages.sort();
    ensure!(!packages.is_empty(), "apt-get fetched nothing");
    Ok(packages)
}

/// The version of `name`, as its file is called.
pub fn version<'a>(packages: &'a [PathBuf], name: &str) -> Result<&'a str> {
    packages
        .iter()
        .filter_map(|path| {
            path.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('_')?.split('_').next()
        })
        .next()
        .with_context(|| format!("apt chose no {name}"))
}

/// Makes `tree` of them, without the files that match `left_out`.
pub fn unpack(packages: &[PathBuf], tree: &Path, left_out: &[&str]) -> Result<()> {
    fs::create_dir(tree)?;
    for folder in MERGED {
        fs::create_dir_all(tree.join("usr").join(folder))?;
        symlink(format!("usr/{folder}"), tree.join(folder))?;
    }
    packages.iter().try_for_each(|package| unpack_one(package, tree, left_out))
}

/// Links to folders stay links: the packages still name files below /lib and /sbin.
fn unpack_one(package: &Path, tree: &Path, left_out: &[&str]) -> Result<()> {
    let mut dpkg = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("start dpkg-deb")?;
    let archive = dpkg.stdout.take().context("dpkg-deb has no output")?;
    let tar = Command::new("tar")
        .args(["-x", "--keep-directory-symlink", "--no-same-owner", "--wildcards"])
        .args(left_out.iter().map(|path| format!("--exclude={path}")))
        .arg("-C")
        .arg(tree)
        .stdin(archive)
        .status()
        .context("start tar")?;
    let unpacked = dpkg.wait()?.success() && tar.success();
    ensure!(unpacked, "{} is not unpacked", package.display());
    Ok(())
}

/// A tree with `program`, a path in `package`, and the libraries that it needs; nothing else. To move to a newer one, delete
/// it from the cache.
pub fn program(package: &str, program: &str) -> Result<PathBuf> {
    let prefix = format!("program-{package}-");
    let cached = fs::read_dir(cache()?)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
        .max();
    if let Some(dir) = cached {
        return Ok(dir);
    }
    eprintln!("vm: fetching {package} and what it needs (5 MB, once)");
    let scratch = Scratch::under(&cache()?)?;
    let (tree, whole) = (scratch.path().join("tree"), scratch.path().join("whole"));
    let packages = download(scratch.path(), &[package], &[])?;
    unpack(&packages, &tree, &[])?;
    // Its links are absolute, and would lead to this machine's.
    let loader = tree.join(LIBRARIES).join("ld-linux-x86-64.so.2");
    let listed = shell::read(
        Command::new(&loader)
            .arg("--library-path")
            .arg(tree.join(LIBRARIES))
            .arg("--list")
            .arg(tree.join(program)),
    )?;
    // `name => path (address)`; the kernel's own and the loader have no such path.
    let libraries = listed.lines().filter_map(|line| line.trim().split_once(" => ")).map(|(name, _)| name);
    let libraries = libraries.filter(|name| !name.contains('/')).map(|name| format!("{LIBRARIES}/{name}"));
    let copies = libraries.map(|path| (tree.join(&path), path));
    for (from, to) in copies.chain([(loader, LOADER.to_owned()), (tree.join(program), program.to_owned())]) {
        let to = whole.join(to);
        fs::create_dir_all(to.parent().context("no folder")?)?;
        fs::copy(&from, &to).with_context(|| format!("copy {}", from.display()))?;
    }
    let version = version(&packages, package)?;
    let dir = cache()?.join(format!("{prefix}{version}"));
    fs::rename(&whole, &dir).with_context(|| format!("move {program} to {}", dir.display()))?;
    Ok(dir)
}
