//! The boot loader of `targets/boot-loader` in QEMU, with systems that `lunix upgrade` wrote.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod upgrade_rig;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use upgrade_rig::{Rig, program};

const QEMU: &str = "qemu-system-arm";
const TARGET: &str = "armv7a-none-eabi";

/// Bytes of a bank of the flash.
const BANK: usize = 64 << 20;

/// A kernel: says `text` and the device tree that it was given on the serial line, and switches the machine off.
fn kernel(text: &str) -> Vec<u8> {
    const CODE: [u32; 15] = [
        0xE3A0_3409, // mov r3, #0x09000000: the PL011
        0xE28F_4030, // add r4, pc, #48: the text
        0xE4D4_5001, // 1: ldrb r5, [r4], #1
        0xE355_0000, // cmp r5, #0
        0x1583_5000, // strne r5, [r3]
        0x1AFF_FFFB, // bne 1b
        0xE592_7004, // ldr r7, [r2, #4]: bytes of the device tree
        0xE6BF_7F37, // rev r7, r7
        0xE4D2_5001, // 2: ldrb r5, [r2], #1
        0xE583_5000, // str r5, [r3]
        0xE257_7001, // subs r7, r7, #1
        0x1AFF_FFFB, // bne 2b
        0xE300_0008, // movw r0, #8
        0xE348_0400, // movt r0, #0x8400: SYSTEM_OFF of PSCI
        0xE140_0070, // hvc #0
    ];
    let mut bytes: Vec<u8> = CODE.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}

/// The loader, built; or why it cannot be.
fn loader() -> Result<PathBuf, String> {
    program(QEMU).ok_or(format!("no {QEMU}"))?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../targets/boot-loader");
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    if !installed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(TARGET)) {
        return Err(format!("no Rust target {TARGET} (rustup target add {TARGET})"));
    }
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot-loader");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(folder)
        .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
        .arg(&output);
    // What this test's own build was told does not concern it.
    cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    assert!(cargo.status().unwrap().success(), "the boot loader does not build");
    Ok(output.join(TARGET).join("release/boot-loader"))
}

/// What the machine says on its serial line until it is switched off.
fn power_on(rig: &Rig, memory: &str) -> String {
    let drive = format!("if=pflash,format=raw,unit=0,file={}", rig.path("flash"));
    let output = Command::new("timeout")
        .args(["60", QEMU, "-M", "virt", "-cpu", "cortex-a15", "-m", memory, "-display", "none"])
        .args(["-monitor", "none", "-net", "none", "-serial", "stdio", "-drive", &drive])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn both_systems_start_from_the_flash() {
    let loader = match loader() {
        Ok(loader) => fs::read(loader).unwrap(),
        Err(why) => {
            println!("SKIPPED both_systems_start_from_the_flash: {why}");
            return;
        }
    };
    println!("the boot loader has {} bytes", loader.len());
    assert!(loader.len() <= 64 << 10);
    let rig = Rig::new("loader", "arm-virt", BANK);
    let mut flash = rig.flash();
    flash[..loader.len()].copy_from_slice(&loader);
    fs::write(rig.path("flash"), flash).unwrap();

    let old = rig.image("0.1.0", &kernel("the old system\r\n"));
    rig.works(&["--install", &old]);
    let said = power_on(&rig, "64");
    assert!(said.starts_with("loader: slot a, 0.1.0\r\nthe old system\r\n"), "{said}");
    let line = "console=ttyAMA0 mtdparts=0.flash:296k@776k(root)ro,256k@0(loader)ro,512k@256k(environment),\
                3072k@768k(slot-a),3072k@3840k(slot-b),1280k@6912k(data) root=/dev/mtdblock0 rootfstype=squashfs ro \
                lunix.board=arm-virt lunix.slot=a\0";
    assert!(said.contains(line), "{said}");

    // A try in 32 MB, which the loader marks; nobody confirms it, so the next start is the old one.
    let new = rig.image("0.2.0", &kernel("the new system\r\n"));
    rig.works(&[&new, "--apply"]);
    let said = power_on(&rig, "32");
    assert!(said.starts_with("loader: slot b, 0.2.0, on trial\r\nthe new system\r\n"), "{said}");
    assert!(said.contains("lunix.slot=b\0"), "{said}");
    assert!(rig.works(&["--status"]).contains("slot b    0.2.0, was tried and not confirmed\n"));
    assert!(power_on(&rig, "64").starts_with("loader: slot a, 0.1.0\r\nthe old system\r\n"));

    // One that is confirmed, then damaged: the other one starts.
    rig.works(&[&new, "--apply"]);
    power_on(&rig, "64");
    rig.works(&["--confirm", "--slot", "b"]);
    assert!(power_on(&rig, "64").starts_with("loader: slot b, 0.2.0\r\nthe new system\r\n"));
    let mut flash = rig.flash();
    flash[(256 + 512 + 3072) * 1024 + 9000] ^= 0x10;
    fs::write(rig.path("flash"), flash).unwrap();
    let said = power_on(&rig, "64");
    assert!(
        said.starts_with("loader: slot b, 0.2.0: damaged\r\nloader: slot a, 0.1.0\r\nthe old system"),
        "{said}"
    );
}
