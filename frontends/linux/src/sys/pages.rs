//! Memory straight from the kernel, to which it goes back whole: what an allocator does with long blocks of short life
//! differs from libc to libc, and what lies between them keeps them. And what the allocator keeps all the same, and code
//! that has done its work.

#![allow(unsafe_code, reason = "mmap, munmap, madvise, malloc_trim")]

use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::{NonNull, null_mut, slice_from_raw_parts_mut};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use rustix::param::page_size;

/// Zeroed pages of its own.
#[derive(Debug)]
pub struct Pages(NonNull<[u8]>);

// SAFETY: it is the only owner of its mapping, which is bound to no thread.
unsafe impl Send for Pages {}

impl Pages {
    /// At least one byte, of which the kernel gives real pages as they are written to. Ends the program, as any allocation,
    /// where it has none.
    pub fn new(len: usize) -> Self {
        // SAFETY: an anonymous mapping where the kernel likes, so over none that is in use.
        let start =
            unsafe { mmap_anonymous(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
        let start = start.unwrap_or(null_mut()).cast::<u8>();
        match NonNull::new(slice_from_raw_parts_mut(start, len)) {
            Some(pages) => Self(pages),
            None => handle_alloc_error(Layout::new::<u8>()),
        }
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is readable, initialised by the kernel, and ours alone as long as `self` is.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and writable.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: nobody else has the mapping, which is as long as it was made.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), self.0.len()) };
    }
}

/// Has the allocator give the kernel what it keeps. musl's does so by itself.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, and moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has the kernel take the pages of this program's code and constants out of our memory. They stay in its cache for as long
/// as it likes, and each is there again when it is used: what only the start needs is not.
pub fn let_go_of_code() {
    unsafe extern "C" {
        // The linker's: where the file is mapped, and where its code ends. What can be written to lies behind that.
        static __executable_start: u8;
        static etext: u8;
    }
    let (start, end) = (&raw const __executable_start, &raw const etext);
    let len = end.addr().saturating_sub(start.addr()) / page_size() * page_size();
    // SAFETY: between the two is only what the file holds and nobody has written to, which comes back as it was.
    let _ = unsafe { madvise(start.cast_mut().cast(), len, Advice::LinuxDontNeed) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_constants_come_back() {
        static TEXT: &[u8; 4096] = &[7; 4096];
        for _ in 0..3 {
            let_go_of_code();
            assert!(TEXT.iter().all(|byte| *byte == 7));
            assert_eq!(format!("{:?}", Some(12)), "Some(12)");
        }
    }

    #[test]
    fn it_is_zero_and_can_be_written_to() {
        let mut pages = Pages::new(100_000);
        assert!(pages.iter().all(|byte| *byte == 0));
        assert_eq!(pages.len(), 100_000);
        pages.fill(7);
        assert!(pages.iter().all(|byte| *byte == 7));
    }
}
