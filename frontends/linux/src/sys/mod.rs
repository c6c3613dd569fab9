//! What no safe crate asks the kernel for: the only modules of this program with `unsafe`.

#[cfg(feature = "natsinit")]
pub mod ended;
pub mod evdev;
#[cfg(feature = "natsinit")]
pub mod group;
pub mod interfaces;
#[cfg(feature = "natsinit")]
pub mod landlock;
#[cfg(feature = "natsinit")]
pub mod launch;
pub mod local_time;
pub mod machine;
pub mod mapping;
#[cfg(feature = "natsinit")]
pub mod mounts;
#[cfg(feature = "upgrade")]
pub mod mtd;
pub mod pages;
pub mod peer;
pub mod resume;
#[cfg(feature = "natsinit")]
pub mod seccomp;
pub mod shared;
pub mod signals;
pub mod spawn;
mod tcp_table;
pub mod thread;
pub mod uevent;
