//! A real kernel in QEMU, with hardware plugged in and out: Debian's kernel, an initramfs made here, no
//! KVM, no root.

pub mod debian;
pub mod guest;
pub mod initramfs;
pub mod kernel;
pub mod lunix;
pub mod part;
pub mod qemu;
pub mod qmp;
pub mod rooted;
pub mod show;
pub mod stick;
