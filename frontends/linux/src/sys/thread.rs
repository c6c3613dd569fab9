//! Threads that nobody waits for. Those of the standard library can be joined, found and scoped, and name themselves with
//! `snprintf`: 20 KB of program for what is here in one call.
#![allow(unsafe_code, reason = "pthread_create")]

use std::ffi::{CStr, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

type Work = Box<dyn FnOnce() + Send>;

struct Begin {
    name: &'static CStr,
    work: Work,
}

/// Runs `work` on a thread of its own, with a stack of `stack` bytes and a name of at most 15 letters.
///
/// # Errors
/// The process may have no more threads or memory.
pub fn spawn(name: &'static CStr, stack: usize, work: Work) -> io::Result<()> {
    let begin = Box::into_raw(Box::new(Begin { name, work }));
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are initialised before they are used, and destroyed once. `begin` is a box that the thread
    // takes back; what is in it may be sent to it.
    let error = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack);
        let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, begin.cast());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    };
    if error == 0 {
        return Ok(());
    }
    // SAFETY: no thread has begun that would take it.
    drop(unsafe { Box::from_raw(begin) });
    Err(io::Error::from_raw_os_error(error))
}

extern "C" fn run(begin: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` gives each thread a box of this type, once.
    let Begin { name, work } = *unsafe { Box::from_raw(begin.cast::<Begin>()) };
    // Only those who look at the process see it.
    let _ = rustix::thread::set_name(name);
    work();
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn it_runs_under_its_name() {
        let (sender, receiver) = channel();
        let work = move || {
            let name = rustix::thread::name().unwrap();
            sender.send((name, std::thread::current().id())).unwrap();
        };
        spawn(c"a thread", 64 << 10, Box::new(work)).unwrap();
        let (name, id) = receiver.recv().unwrap();
        assert_eq!(name.as_c_str(), c"a thread");
        assert_ne!(id, std::thread::current().id());
    }

    #[test]
    fn a_stack_that_cannot_be_had_is_an_error() {
        let (sender, receiver) = channel::<()>();
        let work = move || drop(sender);
        assert!(spawn(c"none", usize::MAX / 4, Box::new(work)).is_err());
        assert!(receiver.recv().is_err(), "the work was dropped");
    }
}
