//! Files as memory.

#![allow(unsafe_code, reason = "mmap, munmap")]

use std::fs::File;
use std::io;
use std::ptr::{NonNull, null_mut, slice_from_raw_parts_mut};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A file's bytes as they were when it was mapped. For files that are replaced and never written to in place: who cuts one
/// short that is mapped has this program killed.
#[derive(Debug)]
pub struct Mapping(Option<NonNull<[u8]>>);

// SAFETY: it is the only owner of its mapping, which is bound to no thread, and nobody can write to it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// All of a file that has at most `limit` bytes.
    ///
    /// # Errors
    /// It is larger, or no file that can be mapped.
    pub fn of(file: &File, limit: u64) -> io::Result<Self> {
        let size = file.metadata()?.len();
        if size > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let len = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if len == 0 {
            return Ok(Self(None));
        }
        // SAFETY: a mapping where the kernel likes, so over none that is in use.
        let start = unsafe { mmap(null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, file, 0) }?;
        Ok(Self(NonNull::new(slice_from_raw_parts_mut(start.cast(), len))))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: the mapping is readable and as long as `self`; files of this kind do not change in place.
            Some(bytes) => unsafe { bytes.as_ref() },
            None => &[],
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some(bytes) = self.0 {
            // SAFETY: nobody else has the mapping, which is as long as it was made.
            let _ = unsafe { munmap(bytes.as_ptr().cast(), bytes.len()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_after_it_was_replaced() {
        let path = std::env::temp_dir().join(format!("lunix-mapping-{}", std::process::id()));
        std::fs::write(&path, "old").unwrap();
        let mapping = Mapping::of(&File::open(&path).unwrap(), 3).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mapping.bytes(), b"old");
        std::fs::write(&path, "").unwrap();
        assert_eq!(Mapping::of(&File::open(&path).unwrap(), 3).unwrap().bytes(), b"");
        std::fs::write(&path, "long").unwrap();
        assert!(Mapping::of(&File::open(&path).unwrap(), 3).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
