//! How much of the stack was ever used.

use core::ptr;

const PAINT: u32 = 0x5afe_5afe;

/// Marks what is free below the caller's frame.
#[inline(never)]
pub fn paint() {
    let mut place = cortex_m_rt::heap_start();
    // Well below this function's own frame.
    let end = cortex_m::register::msp::read() as usize - 256;
    while (place as usize) < end {
        // SAFETY: between the end of the static data and the stack pointer nothing lives: there is no heap.
        unsafe { ptr::write_volatile(place, PAINT) };
        place = place.wrapping_add(1);
    }
}

/// Bytes from the deepest place that was written since [`paint`] up to the end of the RAM.
pub fn used() -> usize {
    const END: usize = 0x2000_0000 + 64 * 1024;
    let mut place = cortex_m_rt::heap_start();
    // SAFETY: as above; the first word that is not paint belongs to the stack, and ends the search.
    while (place as usize) < END && unsafe { ptr::read_volatile(place) } == PAINT {
        place = place.wrapping_add(1);
    }
    END - place as usize
}
