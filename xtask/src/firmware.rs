//! The broker on a microcontroller: `targets/lm3s6965`, built, run in QEMU and weighed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{paths, setup, shell, toolchain};

/// What it needs of the chip, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Code, constants, and the initial values of what is in RAM.
    pub flash: u64,
    /// Static data, and the deepest that the stack has been.
    pub ram: u64,
}

/// Prints what it says and what it needs.
pub fn show() -> Result<()> {
    setup::need(setup::FIRMWARE)?;
    let (said, needs) = weigh()?;
    println!("{said}");
    println!("{:>10}  flash, of 262144", needs.flash);
    println!("{:>10}  RAM, of 65536", needs.ram);
    Ok(())
}

/// Builds and runs it. Answers what it says and what it needs.
pub fn weigh() -> Result<(String, Needs)> {
    toolchain::complete()?;
    let program = build()?;
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args(["-M", "lm3s6965evb", "-nographic", "-monitor", "none", "-serial", "none"]);
    qemu.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(&program);
    // Whatever it says before its line is QEMU's.
    let said = shell::read(&mut qemu)?;
    let said = said.trim().to_owned();
    let stack = said.rsplit_once("stack: ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    let stack: u64 = stack.with_context(|| format!("the firmware says: {said}"))?;
    let sections = shell::read(Command::new("size").arg("-A").arg(&program))?;
    let needs = needs(&sections)?;
    Ok((said, Needs { ram: needs.ram + stack, ..needs }))
}

fn build() -> Result<PathBuf> {
    let folder = paths::root().join("targets/lm3s6965");
    let target = paths::target().join("lm3s6965");
    let mut cargo = shell::cargo();
    cargo.args(["build", "--quiet", "--release", "--target", "thumbv7m-none-eabi", "--manifest-path"]);
    cargo.arg(folder.join("Cargo.toml")).arg("--target-dir").arg(&target);
    shell::run(&mut cargo)?;
    Ok(target.join("thumbv7m-none-eabi/release/lm3s6965"))
}

/// From what `size -A` prints: a name, a size and an address a line.
fn needs(sections: &str) -> Result<Needs> {
    let mut needs = Needs { flash: 0, ram: 0 };
    for line in sections.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(Ok(size))) = (words.next(), words.next().map(str::parse::<u64>)) else {
            continue;
        };
        match name {
            ".vector_table" | ".text" | ".rodata" => needs.flash += size,
            ".data" => {
                needs.flash += size;
                needs.ram += size;
            }
            ".bss" | ".uninit" => needs.ram += size,
            _ => {}
        }
    }
    if needs.flash == 0 {
        bail!("`size -A` prints no sections:\n{sections}");
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_summed() {
        let text =
            "a.elf  :\nsection size addr\n.text 100 1024\n.data 20 99\n.bss 3 9\n.comment 7 0\nTotal 130\n";
        assert_eq!(needs(text).unwrap(), Needs { flash: 120, ram: 23 });
        assert!(needs("").is_err());
    }
}
