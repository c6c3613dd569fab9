//! Machines in QEMU, with hardware plugged in and out, without KVM and without root: the boards of `targets/` from their
//! flash, and Debian's kernel with an initramfs made here.

pub mod board;
pub mod debian;
pub mod guest;
pub mod initramfs;
pub mod kernel;
pub mod lunix;
pub mod packages;
pub mod part;
pub mod qemu;
pub mod qmp;
pub mod rooted;
pub mod show;
pub mod stick;
