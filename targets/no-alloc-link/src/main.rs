//! Holds every public function of the library crates, and has no allocator: see `README.md`.
#![no_std]
#![no_main]

mod generic;

use core::hint::black_box;
use core::panic::PanicInfo;

include!(concat!(env!("OUT_DIR"), "/references.rs"));

fn one(function: *const ()) {
    black_box(function);
}

/// Where the linker begins.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    references();
    generic::references();
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
