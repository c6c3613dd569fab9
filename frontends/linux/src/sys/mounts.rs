//! Mounts of a process that has a namespace of its own. Only system calls: it may share our memory.
#![allow(unsafe_code, reason = "mount_setattr")]

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount,
    open_tree,
};

/// What is mounted here from now on stays here; what the machine mounts still comes.
///
/// # Errors
/// The namespace is not ours.
pub fn own() -> Result<(), Errno> {
    mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
}

/// A copy of what is at `path`, with all that is mounted below it, which is mounted nowhere.
///
/// # Errors
/// There is no such path, or the kernel is older than 5.2.
pub fn copy(path: &CStr) -> Result<OwnedFd, Errno> {
    // AT_RECURSIVE
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags)
}

/// Mounts a copy.
///
/// # Errors
/// There is no such path.
pub fn put(copy: &OwnedFd, path: &CStr) -> Result<(), Errno> {
    move_mount(copy.as_fd(), c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Makes everything that is mounted read-only.
///
/// # Errors
/// The kernel is older than 5.12.
pub fn read_only() -> Result<(), Errno> {
    let attributes = Attributes { set: libc::MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = libc::AT_RECURSIVE;
    // SAFETY: it reads a path and one structure of this size, which live until it returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

/// Mounts an empty file system for anybody's files. It takes a quarter of the memory at most.
///
/// # Errors
/// There is no such folder.
pub fn temporary(folder: &CStr) -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount(c"tmpfs", folder, c"tmpfs", flags, c"mode=1777,size=25%")
}

/// Mounts the processes of this namespace.
///
/// # Errors
/// There is no `/proc`, or parts of the one that is there are hidden from us.
pub fn proc() -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"proc", c"/proc", c"proc", flags, None)
}
