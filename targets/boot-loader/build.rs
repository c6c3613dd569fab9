//! Tells the linker where the memory is, and that what it makes is the flash's content itself.

fn main() {
    let folder = env!("CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-arg=-T{folder}/arm-virt.ld");
    println!("cargo::rustc-link-arg=--oformat=binary");
    println!("cargo::rerun-if-changed=arm-virt.ld");
}
