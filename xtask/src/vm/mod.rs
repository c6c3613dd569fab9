//! A real kernel in QEMU, with hardware plugged in and out: Debian's kernel, an initramfs made here, no
//! KVM, no root.

pub mod guest;
pub mod initramfs;
pub mod kernel;
pub mod lunix;
pub mod qemu;
pub mod qmp;
pub mod show;
pub mod stick;
