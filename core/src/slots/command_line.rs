//! The kernel's command line for a slot, as the boot loader writes it.

use core::fmt::{self, Write};

use super::image::{ALIGNMENT, Header};
use super::{Area, Layout, Part, Slot};

/// The longest command line; ARM kernels take 1024 bytes with the NUL.
pub const MAX: usize = 1023;

/// The name of the MTD partition that is the root file system of the slot that runs.
pub const ROOT: &str = "root";

/// The command line of the system in `slot`: the image's own options, then the partitions of the MTD device `device` (as the
/// kernel calls it: `0.flash` for a flash from the device tree), the root file system, and which slot and board it is.
///
/// The root file system is a partition over its piece of the slot, and the first one, so it is `/dev/mtdblock0` where
/// there is no other flash.
///
/// ```
/// use lunix_core::slots::{Layout, Name, Slot, command_line, image::{Digest, Header, Lengths}};
/// let header = Header::new(
///     Name::new("arm-virt").unwrap(),
///     Name::new("0.1.0").unwrap(),
///     Name::new("console=ttyAMA0").unwrap(),
///     Lengths { kernel: 5000, root: 10000, manifest: 0 },
///     [Digest::default(); 3],
/// )?;
/// let mut bytes = [0; command_line::MAX];
/// let line = command_line::encode(&Layout::BLOCKS_256K, Slot::A, &header, "0.flash", &mut bytes).unwrap();
/// assert_eq!(
///     line,
///     "console=ttyAMA0 mtdparts=0.flash:12k@780k(root)ro,256k@0(loader)ro,512k@256k(environment),\
///      3072k@768k(slot-a),3072k@3840k(slot-b),1280k@6912k(data) root=/dev/mtdblock0 rootfstype=squashfs ro \
///      lunix.board=arm-virt lunix.slot=a"
/// );
/// # Ok::<(), lunix_core::slots::image::HeaderError>(())
/// ```
///
/// # Errors
/// [`Full`] if it does not fit into `out`.
pub fn encode<'a>(
    layout: &Layout,
    slot: Slot,
    header: &Header,
    device: &str,
    out: &'a mut [u8],
) -> Result<&'a str, Full> {
    let mut line = Line { out, len: 0 };
    line.text(layout, slot, header, device).map_err(|fmt::Error| Full)?;
    let Line { out, len } = line;
    out.get(..len).and_then(|bytes| core::str::from_utf8(bytes).ok()).ok_or(Full)
}

/// There is no room for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for the command line")
    }
}

impl core::error::Error for Full {}

struct Line<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Line<'_> {
    fn text(&mut self, layout: &Layout, slot: Slot, header: &Header, device: &str) -> fmt::Result {
        if !header.options.as_str().is_empty() {
            write!(self, "{} ", header.options)?;
        }
        write!(self, "mtdparts={device}:")?;
        let root = Area {
            offset: layout.area(Part::Slot(slot)).offset.saturating_add(header.root.offset),
            // The kernel's block devices have whole sectors only.
            len: header.root.len.checked_next_multiple_of(ALIGNMENT).unwrap_or(header.root.len),
        };
        self.partition(root, ROOT, true)?;
        for part in Part::ALL {
            self.write_str(",")?;
            self.partition(layout.area(part), part.as_str(), part == Part::Loader)?;
        }
        write!(
            self,
            " root=/dev/mtdblock0 rootfstype=squashfs ro lunix.board={} lunix.slot={slot}",
            header.board
        )
    }

    fn partition(&mut self, area: Area, name: &str, read_only: bool) -> fmt::Result {
        self.number(area.len)?;
        self.write_str("@")?;
        self.number(area.offset)?;
        write!(self, "({name}){}", if read_only { "ro" } else { "" })
    }

    fn number(&mut self, number: u32) -> fmt::Result {
        match (number % 1024, number / 1024) {
            (0, kib @ 1..) => write!(self, "{kib}k"),
            _ => write!(self, "{number}"),
        }
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place =
            self.out.get_mut(self.len..).and_then(|rest| rest.get_mut(..text.len())).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
