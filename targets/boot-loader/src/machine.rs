//! QEMU's ARM `virt` as this program knows it: everything that is `unsafe`.
//!
//! | where | what |
//! |---|---|
//! | 0x0000_0000 | flash, 64 MB in blocks of 256 KiB, two chips of 16 bits side by side (Intel's command set) |
//! | 0x0900_0000 | PL011 |
//! | 0x4000_0000 | the device tree that QEMU leaves |
//! | 0x4100_0000 | the kernel, up to 8 MiB |
//! | 0x4180_0000 | the device tree that the kernel gets, up to 1 MiB |
//! | 0x41c0_0000 | this program and its stack, 2 MiB |
//!
//! So all is within the first 32 MB of RAM. A kernel unpacks itself to the beginning of RAM.

use core::arch::{asm, global_asm};
use core::fmt;
use core::ptr::{read_volatile, with_exposed_provenance, with_exposed_provenance_mut, write_volatile};
use core::slice;

use lunix_core::slots::{Area, fdt};

const FLASH_LEN: u32 = 64 << 20;
const UART: usize = 0x0900_0000;
const TREE: usize = 0x4000_0000;
const KERNEL: usize = 0x4100_0000;
const KERNEL_ROOM: u32 = 8 << 20;
const KERNEL_TREE: usize = 0x4180_0000;
const TREE_ROOM: usize = 1 << 20;

/// Both chips get the same command at once.
const PROGRAM: u32 = 0x0040_0040;
const CLEAR_STATUS: u32 = 0x0050_0050;
const READ_ARRAY: u32 = 0x00FF_00FF;
const READY: u32 = 0x0080_0080;

// The processor begins at the first byte of the flash, in supervisor mode, without caches or address translation.
global_asm!(
    ".section .start, \"ax\"",
    ".global start",
    ".arm",
    "start:",
    "cpsid if",
    "mov r0, #0",
    "ldr r1, =RAM",
    "ldr r2, =image_end",
    "1: ldmia r0!, {{r3-r6}}",
    "stmia r1!, {{r3-r6}}",
    "cmp r1, r2",
    "blo 1b",
    "mov r3, #0",
    "ldr r1, =bss_start",
    "ldr r2, =bss_end",
    "2: cmp r1, r2",
    "strlo r3, [r1], #4",
    "blo 2b",
    "ldr sp, =stack_top",
    "dsb",
    "isb",
    "ldr r0, ={main}",
    "bx r0",
    ".ltorg",
    main = sym main,
);

extern "C" fn main() -> ! {
    crate::run(&mut Machine(()));
    halt()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Without the place and the message, which would make up most of the program.
    let _ = fmt::Write::write_str(&mut Machine(()), "loader: it is at fault itself\r\n");
    halt()
}

fn halt() -> ! {
    loop {
        // SAFETY: waits for an interrupt, of which there is none.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}

/// The machine; there is one.
pub struct Machine(());

impl Machine {
    /// What the flash has there; nothing outside of it, and nothing of the loader's own part.
    pub fn flash(&self, area: Area) -> &[u8] {
        let end = area.offset.checked_add(area.len);
        if area.offset == 0 || end.is_none_or(|end| end > FLASH_LEN) {
            return &[];
        }
        // SAFETY: it is within the flash, which reads as memory, and changes only by `program`, which borrows `self` alone.
        unsafe { slice::from_raw_parts(with_exposed_provenance(area.offset as usize), area.len as usize) }
    }

    /// Clears the bits of a word of the flash that `word` has clear. Nothing outside of it, and not in the first block.
    pub fn program(&mut self, at: u32, word: u32) {
        if !at.is_multiple_of(4) || !(256 << 10..FLASH_LEN).contains(&at) {
            return;
        }
        let place: *mut u32 = with_exposed_provenance_mut(at as usize);
        // SAFETY: an aligned word of the flash, to which nobody has a reference. This code runs in RAM, so it does not matter
        // that the flash reads as its status meanwhile; it is memory again at the end.
        unsafe {
            write_volatile(place, CLEAR_STATUS);
            write_volatile(place, PROGRAM);
            write_volatile(place, word);
            while read_volatile(place) & READY != READY {}
            write_volatile(place, READ_ARRAY);
        }
    }

    /// The device tree of QEMU, and the room for the one that the kernel gets.
    pub fn device_trees(&mut self) -> Option<(&[u8], &mut [u8])> {
        // SAFETY: RAM that is there and initialised, and that nobody writes to.
        let head = unsafe { &*with_exposed_provenance::<[u8; 8]>(TREE) };
        let len = fdt::total_len(head)? as usize;
        if len > KERNEL - TREE {
            return None;
        }
        // SAFETY: as above; `len` ends before everything else that is in RAM.
        let tree = unsafe { slice::from_raw_parts(with_exposed_provenance(TREE), len) };
        // SAFETY: RAM that nothing else is in, and to which there is no other reference as long as `self` is borrowed.
        let room = unsafe { slice::from_raw_parts_mut(with_exposed_provenance_mut(KERNEL_TREE), TREE_ROOM) };
        Some((tree, room))
    }

    /// Starts the kernel that is there in the flash, with the device tree that was made; only comes back if it is too large.
    pub fn start(&mut self, kernel: Area) -> Option<()> {
        if kernel.len > KERNEL_ROOM {
            return None;
        }
        // SAFETY: RAM that nothing else is in.
        let place = unsafe {
            slice::from_raw_parts_mut(with_exposed_provenance_mut::<u8>(KERNEL), kernel.len as usize)
        };
        let bytes = self.flash(kernel);
        if bytes.len() != place.len() {
            return None;
        }
        place.copy_from_slice(bytes);
        // SAFETY: the kernel is there, whole; the registers are as its boot protocol wants them (Documentation/arch/arm/booting.rst),
        // and the caches and the address translation were never on.
        unsafe {
            asm!(
                "dsb",
                "mcr p15, 0, {zero}, c7, c5, 0",
                "isb",
                "bx {kernel}",
                zero = in(reg) 0,
                kernel = in(reg) KERNEL,
                in("r0") 0,
                in("r1") !0_u32,
                in("r2") KERNEL_TREE,
                options(noreturn),
            )
        }
    }
}

impl fmt::Write for Machine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: registers of the PL011: its flags (bit 5: no room) and its data.
            unsafe {
                while read_volatile(with_exposed_provenance::<u32>(UART + 0x18)) & 1 << 5 != 0 {}
                write_volatile(with_exposed_provenance_mut::<u32>(UART), u32::from(byte));
            }
        }
        Ok(())
    }
}
