//! A board's own kernel, from Debian's source and `targets/<board>/kernel.fragment`. Built once: it takes minutes.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, ensure};

use super::board::Board;
use crate::paths::{Scratch, cache};
use crate::{setup, shell};

/// The package of the source, and what it installs.
const PACKAGE: &str = "linux-source-6.12";
const SOURCE: &str = "/usr/src/linux-source-6.12.tar.xz";

/// Counts changes of what is done below.
const RECIPE: &str = "1";

/// What a board's kernel is made of, and where it lies in the cache.
struct Recipe {
    fragment: PathBuf,
    settings: String,
    patches: Vec<PathBuf>,
    version: String,
    dir: PathBuf,
}

fn recipe(board: &Board) -> Result<Recipe> {
    let fragment = board.folder().join("kernel.fragment");
    let settings = fs::read_to_string(&fragment).with_context(|| format!("read {}", fragment.display()))?;
    let patches = patches(board)?;
    setup::need(setup::KERNEL)?;
    if !board.cross.is_empty() {
        setup::need(setup::CROSS)?;
    }
    let version = shell::read(Command::new("dpkg-query").args(["-W", "-f", "${Version}", PACKAGE]))?;
    let compiler = shell::read(Command::new(format!("{}gcc", board.cross)).arg("--version"))?;
    let compiler = compiler.lines().next().unwrap_or_default();
    let mut hash = Fnv::default();
    [RECIPE, version.as_str(), &settings, compiler].into_iter().for_each(|text| hash.add(text.as_bytes()));
    for patch in &patches {
        hash.add(&fs::read(patch)?);
    }
    let dir = cache()?.join(format!("linux-{}-{:016x}", board.name, hash.0));
    Ok(Recipe { fragment, settings, patches, version, dir })
}

/// Whether the board's kernel is there already.
pub fn is_built(board: &Board) -> bool {
    recipe(board).is_ok_and(|recipe| recipe.dir.join("kernel").exists())
}

/// The board's kernel as its boot loader starts it: the cached one; if its source, settings and compiler have changed, or
/// there is none, it is built. The same ones make the same bytes.
pub fn build(board: &Board) -> Result<PathBuf> {
    let Recipe { fragment, settings, patches, version, dir } = recipe(board)?;
    let image = dir.join("kernel");
    // Whole as soon as it has its name: nobody waits for who builds another one.
    if image.exists() {
        return Ok(image);
    }
    // Somebody else who builds it is waited for.
    let lock = fs::File::create(cache()?.join("kernel.lock"))?;
    lock.lock()?;
    if image.exists() {
        return Ok(image);
    }
    eprintln!("image: building Linux {version} for {} (minutes, once)", board.name);
    let scratch = Scratch::under(&cache()?)?;
    shell::quiet(
        Command::new("tar").args(["-xJf", SOURCE, "--strip-components=1", "-C"]).arg(scratch.path()),
    )?;
    for patch in &patches {
        let input = fs::File::open(patch)?;
        let status =
            Command::new("patch").args(["-p1", "-s", "-d"]).arg(scratch.path()).stdin(input).status()?;
        ensure!(status.success(), "{} does not fit Linux {version}", patch.display());
    }
    let out = scratch.path().join("out");
    fs::create_dir(&out)?;
    let mut command = make(board, scratch.path(), &out);
    shell::quiet(command.arg("allnoconfig").env("KCONFIG_ALLCONFIG", &fragment))?;
    let config = fs::read_to_string(out.join(".config"))?;
    let lost = lost(&settings, &config);
    ensure!(lost.is_empty(), "{}: Linux {version} drops {}", fragment.display(), lost.join(", "));
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    shell::quiet(make(board, scratch.path(), &out).arg(format!("-j{jobs}")).arg(board.make))
        .with_context(|| format!("build the kernel for {}", board.name))?;
    let whole = scratch.path().join("whole");
    fs::create_dir(&whole)?;
    fs::copy(out.join(board.kernel), whole.join("kernel"))?;
    fs::write(whole.join("config"), config)?;
    fs::rename(&whole, &dir).with_context(|| format!("move the kernel to {}", dir.display()))?;
    Ok(image)
}

/// Builds the kernel of `board` while other things are done, with what these leave of the processors. Whoever needs it
/// meanwhile waits for it in [`build`].
pub fn ahead(board: &Board) -> Result<Ahead> {
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]).arg(env::current_exe()?).args(["image", "--kernel", board.name]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    Ok(Ahead(command.spawn().context("start chrt")?))
}

/// Kernels being built, until dropped.
pub struct Ahead(Child);

impl Drop for Ahead {
    fn drop(&mut self) {
        // With its compilers.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-KILL", "--"]).arg(format!("-{}", self.0.id())).status();
            let _ = self.0.wait();
        }
    }
}

/// What the board's kernel needs beside Debian's source, in the order of the names.
fn patches(board: &Board) -> Result<Vec<PathBuf>> {
    let mut patches: Vec<PathBuf> = fs::read_dir(board.folder())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    patches.sort();
    Ok(patches)
}

/// Nothing of this machine, of its user and of the time gets into the kernel.
fn make(board: &Board, source: &Path, out: &Path) -> Command {
    let mut command = Command::new("make");
    command.arg("-s").arg("-C").arg(source).arg(format!("O={}", out.display())).args([
        format!("ARCH={}", board.arch),
        format!("CROSS_COMPILE={}", board.cross),
        "LOCALVERSION=".to_owned(),
        "KBUILD_BUILD_TIMESTAMP=1970-01-01".to_owned(),
        "KBUILD_BUILD_USER=lunix".to_owned(),
        "KBUILD_BUILD_HOST=lunix".to_owned(),
        "KBUILD_BUILD_VERSION=1".to_owned(),
    ]);
    // What a shell that cross-compiles something else may have set.
    command.env_remove("ARCH").env_remove("CROSS_COMPILE").env_remove("MAKEFLAGS").env("LC_ALL", "C");
    command
}

/// The settings that are not in the configuration.
fn lost<'a>(settings: &'a str, config: &str) -> Vec<&'a str> {
    let wanted = settings.lines().filter(|line| line.starts_with("CONFIG_"));
    wanted.filter(|wanted| !config.lines().any(|line| line == *wanted)).collect()
}

/// FNV-1a over texts that are told apart.
pub(super) struct Fnv(pub(super) u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Fnv {
    pub(super) fn add(&mut self, text: &[u8]) {
        for byte in text.iter().copied().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_setting_is_named() {
        let settings = "# a comment\nCONFIG_A=y\nCONFIG_B=\"x\"\nCONFIG_C=y\n";
        let config = "CONFIG_A=y\n# CONFIG_C is not set\nCONFIG_B=\"x\"\n";
        assert_eq!(lost(settings, config), ["CONFIG_C=y"]);
    }
}
