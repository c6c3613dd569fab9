//! Memory that outlives the program: a memfd, which a program that takes our place maps again.
#![allow(unsafe_code, reason = "mmap, munmap, and memory that a signal handler reads, too")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, copy_nonoverlapping, null_mut};
use std::sync::atomic::AtomicU32;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes at a fixed place, zero at first. Pages that were never written take no memory.
#[derive(Debug)]
pub struct Shared {
    start: NonNull<u8>,
    len: usize,
    fd: OwnedFd,
}

// SAFETY: the mapping is bound to no thread; all access is through `&self` by copies, and by atomic words.
unsafe impl Send for Shared {}
// SAFETY: as above; nobody has a reference into it but to atomic words.
unsafe impl Sync for Shared {}

impl Shared {
    /// New memory of `len` bytes.
    ///
    /// # Errors
    /// The kernel has no memory or descriptor left.
    pub fn new(name: &str, len: usize) -> io::Result<Self> {
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&fd, len as u64)?;
        // Nobody can cut it short under our hands.
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Self::map(fd, len)
    }

    /// The memory behind a descriptor that came from the program before us.
    ///
    /// # Errors
    /// It is none that [`Shared::new`] has made.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let sealed = rustix::fs::fcntl_get_seals(&fd)?.contains(SealFlags::SHRINK);
        let len = usize::try_from(fstat(&fd)?.st_size).unwrap_or_default();
        if !sealed || len == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
        Self::map(fd, len)
    }

    fn map(fd: OwnedFd, len: usize) -> io::Result<Self> {
        // SAFETY: a mapping where the kernel likes, so over none that is in use.
        let start =
            unsafe { mmap(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len, fd })
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none, which is never so.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes in; does nothing where they do not fit.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        if at.checked_add(bytes.len()).is_some_and(|end| end <= self.len) {
            // SAFETY: the range lies within the mapping, which is writable, and `bytes` is no part of it.
            unsafe { copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(at), bytes.len()) };
        }
    }

    /// Copies bytes out; leaves `out` as it is where there are not so many.
    pub fn read(&self, at: usize, out: &mut [u8]) {
        if at.checked_add(out.len()).is_some_and(|end| end <= self.len) {
            // SAFETY: the range lies within the mapping, which is readable, and `out` is no part of it.
            unsafe { copy_nonoverlapping(self.start.as_ptr().add(at), out.as_mut_ptr(), out.len()) };
        }
    }

    /// The word at a place that is a multiple of four.
    pub fn word(&self, at: usize) -> Option<&AtomicU32> {
        if !at.is_multiple_of(4) || at.checked_add(4).is_none_or(|end| end > self.len) {
            return None;
        }
        // SAFETY: it lies within the mapping, which begins at a page, so it is aligned; `read` and `write` are not used
        // for places that are used as words.
        Some(unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(at).cast()) })
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: nobody else has the mapping, which is as long as it was made.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_was_written_is_there_for_the_next_one() {
        let one = Shared::new("test", 8192).unwrap();
        one.write(5000, b"hello");
        one.write(8190, b"too long");
        one.word(4096).unwrap().store(7, Ordering::Relaxed);
        assert!(one.word(8192).is_none() && one.word(2).is_none());
        let two = Shared::adopt(one.as_fd().try_clone_to_owned().unwrap()).unwrap();
        drop(one);
        let mut out = [0; 5];
        two.read(5000, &mut out);
        assert_eq!(&out, b"hello");
        two.read(usize::MAX, &mut out);
        assert_eq!(two.word(4096).unwrap().load(Ordering::Relaxed), 7);
        let mut end = [1; 2];
        two.read(8190, &mut end);
        assert_eq!(end, [0, 0]);
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Shared::adopt(file.into()).is_err());
    }
}
