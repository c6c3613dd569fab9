//! Which module drives a device: `MODALIAS` strings and the patterns of `modules.alias`.
//!
//! The kernel describes a device to user space in one string, `bus:` and then what its drivers' tables are
//! compared with; `depmod` turns these tables into patterns. [`matches()`] compares the two, [`aliases`] reads
//! the patterns' file, [`decode`] reads the identifiers of the common buses.

/// Whether `pattern` of `modules.alias` matches `modalias`, as kmod says.
///
/// `*` is any bytes, `?` any one byte, `[a-z]` one of these, `[!a-z]` or `[^a-z]` none of these, `\` takes the
/// next byte as it is; a `[` without `]` is itself. As `depmod` writes `_` for every `-` of a driver's table,
/// the two are one byte here, on both sides. The work is at most the product of the two lengths.
///
/// ```
/// use lunix_uevent::modalias::matches;
/// let stick = b"usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00";
/// assert!(matches(b"usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", stick));
/// assert!(!matches(b"usb:v*p*d*dc*dsc*dp*ic03isc*ip*in*", stick));
/// assert!(matches(b"platform:sun4i_ss", b"platform:sun4i-ss"));
/// ```
pub fn matches(pattern: &[u8], modalias: &[u8]) -> bool {
    let (mut rest, mut text) = (pattern, modalias);
    // After the last `*`: what follows it, and where in the text that was last tried.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', after)) = rest.split_first() {
            rest = after;
            retry = Some((rest, text));
            continue;
        }
        let Some((&byte, after)) = text.split_first() else {
            return rest.is_empty();
        };
        if let Some(next) = match_one(rest, byte) {
            (rest, text) = (next, after);
            continue;
        }
        let Some((again, [_, later @ ..])) = retry else {
            return false;
        };
        (rest, text) = (again, later);
        retry = Some((again, later));
    }
}

/// The pattern after its first element, if that element matches `byte`. Not for `*`.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let byte = underscore(byte);
    let (matched, rest) = match pattern {
        [] => return None,
        [b'?', rest @ ..] => (true, rest),
        [b'[', class @ ..] => match match_class(class, byte) {
            Some(outcome) => outcome,
            None => (byte == b'[', class),
        },
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (underscore(*literal) == byte, rest),
    };
    matched.then_some(rest)
}

/// Whether the class after a `[` holds `byte`, and the pattern after its `]`; `None` without `]`.
fn match_class(class: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match class {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut held = false;
    let mut first = true;
    loop {
        rest = match rest {
            [] => return None,
            [b']', rest @ ..] if !first => return Some((held != negated, rest)),
            [low, b'-', high, rest @ ..] if *high != b']' => {
                held |= (*low..=*high).contains(&byte);
                rest
            }
            [member, rest @ ..] => {
                held |= underscore(*member) == byte;
                rest
            }
        };
        first = false;
    }
}

const fn underscore(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte }
}

/// One line of `modules.alias`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias<'b> {
    /// What [`matches()`] compares with a `MODALIAS`.
    pub pattern: &'b [u8],
    /// The module's name.
    pub module: &'b [u8],
}

impl<'b> Alias<'b> {
    /// Reads `alias PATTERN MODULE`; `None` for every other line, comments and blank ones among them.
    ///
    /// ```
    /// use lunix_uevent::modalias::Alias;
    /// let alias = Alias::parse(b"alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb_storage").unwrap();
    /// assert_eq!(alias.module, b"usb_storage");
    /// assert_eq!(Alias::parse(b"# Aliases extracted from modules themselves."), None);
    /// ```
    pub fn parse(line: &'b [u8]) -> Option<Self> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(b"alias"), Some(pattern), Some(module), None) => Some(Self { pattern, module }),
            _ => None,
        }
    }

    /// Whether this line names a module for `modalias`.
    pub fn matches(&self, modalias: &[u8]) -> bool {
        matches(self.pattern, modalias)
    }
}

/// All aliases of a `modules.alias` file; other lines are passed over.
///
/// ```
/// use lunix_uevent::modalias::aliases;
/// let file = b"# comment\nalias pci:v00008086d*sv*sd*bc03sc*i* i915\nalias virtio:d00000002v* virtio_blk\n";
/// let mut modules = aliases(file).filter(|alias| alias.matches(b"virtio:d00000002v00001AF4"));
/// assert_eq!(modules.next().unwrap().module, b"virtio_blk");
/// ```
pub fn aliases(file: &[u8]) -> impl Iterator<Item = Alias<'_>> + Clone {
    file.split(|&byte| byte == b'\n').filter_map(Alias::parse)
}

/// What a `MODALIAS` says about its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modalias<'b> {
    /// An interface of a USB device.
    Usb(Usb),
    /// A PCI function.
    Pci(Pci),
    /// A HID device.
    Hid(Hid),
    /// An input device.
    Input(Input<'b>),
    /// A virtio device.
    Virtio {
        /// The kind of device, such as 2 for a disk.
        device: u32,
        /// Who defined the kind.
        vendor: u32,
    },
    /// Any other bus, or one of the above in a form that this version does not know.
    Other {
        /// What stands before the first `:`; empty if there is none.
        bus: &'b [u8],
        /// What stands after it.
        rest: &'b [u8],
    },
}

/// `usb:v…p…d…dc…dsc…dp…ic…isc…ip…in…`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usb {
    /// idVendor.
    pub vendor: u16,
    /// idProduct.
    pub product: u16,
    /// bcdDevice.
    pub release: u16,
    /// bDeviceClass, bDeviceSubClass, bDeviceProtocol.
    pub device_class: [u8; 3],
    /// bInterfaceClass, bInterfaceSubClass, bInterfaceProtocol.
    pub interface_class: [u8; 3],
    /// bInterfaceNumber; kernels before 3.5 do not say it.
    pub interface_number: Option<u8>,
}

/// `pci:v…d…sv…sd…bc…sc…i…`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pci {
    /// The vendor.
    pub vendor: u32,
    /// The vendor's number of the device.
    pub device: u32,
    /// The vendor of the board.
    pub subsystem_vendor: u32,
    /// That vendor's number of the board.
    pub subsystem_device: u32,
    /// Base class, subclass, programming interface.
    pub class: [u8; 3],
}

/// `hid:b…g…v…p…`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hid {
    /// The bus, such as 3 for USB and 5 for Bluetooth.
    pub bus: u16,
    /// The kind that the kernel's HID core found, such as 1 for generic and 4 for multitouch.
    pub group: u16,
    /// The vendor.
    pub vendor: u32,
    /// The vendor's number of the product.
    pub product: u32,
}

/// `input:b…v…p…e…-…`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'b> {
    /// The bus, such as 3 for USB and 0x11 for a PS/2 port.
    pub bus: u16,
    /// The vendor.
    pub vendor: u16,
    /// The vendor's number of the product.
    pub product: u16,
    /// The product's version.
    pub version: u16,
    /// The event types and codes, as they stand after the `-`: `e0,1,…k71,72,…`.
    pub capabilities: &'b [u8],
}

/// Reads a `MODALIAS`.
///
/// ```
/// use lunix_uevent::modalias::{Modalias, decode};
/// let Modalias::Usb(usb) = decode(b"usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00") else { panic!() };
/// assert_eq!((usb.vendor, usb.product), (0x0781, 0x5581));
/// assert_eq!(usb.interface_class, [0x08, 0x06, 0x50]);
/// let other = Modalias::Other { bus: b"acpi", rest: b"PNP0303:" };
/// assert_eq!(decode(b"acpi:PNP0303:"), other);
/// ```
pub fn decode(modalias: &[u8]) -> Modalias<'_> {
    let colon = modalias.iter().position(|&byte| byte == b':');
    let (bus, rest) = match colon {
        Some(at) => (modalias.get(..at).unwrap_or_default(), modalias.get(at + 1..).unwrap_or_default()),
        None => (&[][..], modalias),
    };
    let known = match bus {
        b"usb" => Usb::decode(rest).map(Modalias::Usb),
        b"pci" => Pci::decode(rest).map(Modalias::Pci),
        b"hid" => Hid::decode(rest).map(Modalias::Hid),
        b"input" => Input::decode(rest).map(Modalias::Input),
        b"virtio" => decode_virtio(rest),
        _ => None,
    };
    known.unwrap_or(Modalias::Other { bus, rest })
}

impl Usb {
    fn decode(rest: &[u8]) -> Option<Self> {
        let mut fields = Fields(rest);
        let [vendor, product, release] = [fields.word("v")?, fields.word("p")?, fields.word("d")?];
        let device_class = [fields.byte("dc")?, fields.byte("dsc")?, fields.byte("dp")?];
        let interface_class = [fields.byte("ic")?, fields.byte("isc")?, fields.byte("ip")?];
        let interface_number = if fields.0.is_empty() { None } else { Some(fields.byte("in")?) };
        fields.end()?;
        Some(Self { vendor, product, release, device_class, interface_class, interface_number })
    }
}

impl Pci {
    fn decode(rest: &[u8]) -> Option<Self> {
        let mut fields = Fields(rest);
        let [vendor, device] = [fields.long("v")?, fields.long("d")?];
        let [subsystem_vendor, subsystem_device] = [fields.long("sv")?, fields.long("sd")?];
        let class = [fields.byte("bc")?, fields.byte("sc")?, fields.byte("i")?];
        fields.end()?;
        Some(Self { vendor, device, subsystem_vendor, subsystem_device, class })
    }
}

impl Hid {
    fn decode(rest: &[u8]) -> Option<Self> {
        let mut fields = Fields(rest);
        let [bus, group] = [fields.word("b")?, fields.word("g")?];
        let [vendor, product] = [fields.long("v")?, fields.long("p")?];
        fields.end()?;
        Some(Self { bus, group, vendor, product })
    }
}

impl<'b> Input<'b> {
    fn decode(rest: &'b [u8]) -> Option<Self> {
        let mut fields = Fields(rest);
        let [bus, vendor] = [fields.word("b")?, fields.word("v")?];
        let [product, version] = [fields.word("p")?, fields.word("e")?];
        let capabilities = fields.0.strip_prefix(b"-")?;
        Some(Self { bus, vendor, product, version, capabilities })
    }
}

fn decode_virtio(rest: &[u8]) -> Option<Modalias<'_>> {
    let mut fields = Fields(rest);
    let (device, vendor) = (fields.long("d")?, fields.long("v")?);
    fields.end()?;
    Some(Modalias::Virtio { device, vendor })
}

/// Fields of fixed width: a tag, then hexadecimal digits.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn hex(&mut self, tag: &str, digits: usize) -> Option<u32> {
        let (digits, rest) = self.0.strip_prefix(tag.as_bytes())?.split_at_checked(digits)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, &digit| Some(number << 4 | char::from(digit).to_digit(16)?))
    }

    fn byte(&mut self, tag: &str) -> Option<u8> {
        self.hex(tag, 2)?.try_into().ok()
    }

    fn word(&mut self, tag: &str) -> Option<u16> {
        self.hex(tag, 4)?.try_into().ok()
    }

    fn long(&mut self, tag: &str) -> Option<u32> {
        self.hex(tag, 8)
    }

    fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn patterns() {
        let yes: [(&[u8], &[u8]); 17] = [
            (b"", b""),
            (b"*", b""),
            (b"**", b"ab"),
            (b"a*c*e", b"abcde"),
            (b"a*bab", b"abbabab"),
            (b"?[b-d]?", b"acx"),
            (b"[!a]", b"b"),
            (b"[^a-c]", b"d"),
            (b"[]a]", b"]"),
            (b"[a-]", b"-"),
            (b"[a_]", b"-"),
            (b"[", b"["),
            (b"[ab", b"[ab"),
            (b"\\*\\", b"*\\"),
            (b"a-b_c", b"a_b-c"),
            (b"*\xff", b"\x80\xff"),
            (
                b"cpu:type:x86,ven*fam*mod*:feature:*00EA*",
                b"cpu:type:x86,ven0000fam0019mod0011:feature:,0000,00EA\n",
            ),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern, text), "{} {}", pattern.escape_ascii(), text.escape_ascii());
        }
        let no: [(&[u8], &[u8]); 11] = [
            (b"", b"a"),
            (b"a", b""),
            (b"?", b""),
            (b"a*c", b"ab"),
            (b"*a", b"ab"),
            (b"[!a]", b"a"),
            (b"[a-c]", b"-"),
            (b"[c-a]", b"b"),
            (b"[ab]", b""),
            (b"\\*", b"a"),
            (b"a*b*c", b"acb"),
        ];
        for (pattern, text) in no {
            assert!(!matches(pattern, text), "{} {}", pattern.escape_ascii(), text.escape_ascii());
        }
    }

    #[test]
    fn a_hostile_pattern_costs_the_product_of_the_lengths() {
        let pattern = b"*a".repeat(1000);
        let text = [&b"a".repeat(2000)[..], b"b"].concat();
        assert!(!matches(&pattern, &text));
    }

    #[test]
    fn lines() {
        assert_eq!(Alias::parse(b"  alias\tp*  m \r"), Some(Alias { pattern: b"p*", module: b"m" }));
        for line in [&b""[..], b"#alias p m", b"alias p", b"alias p m x", b"options m x=1", b"aliasp m"] {
            assert_eq!(Alias::parse(line), None);
        }
        let found: Vec<_> = aliases(b"alias a b\n\nnonsense\nalias c d").collect();
        assert_eq!(found, [Alias { pattern: b"a", module: b"b" }, Alias { pattern: b"c", module: b"d" }]);
    }

    #[test]
    fn buses() {
        let bridge = Pci {
            vendor: 0x8086,
            device: 0x0d57,
            subsystem_vendor: 0x1af4,
            subsystem_device: 0x1100,
            class: [6, 4, 0],
        };
        assert_eq!(decode(b"pci:v00008086d00000D57sv00001AF4sd00001100bc06sc04i00"), Modalias::Pci(bridge));
        let mouse = Hid { bus: 3, group: 1, vendor: 0x46d, product: 0xc077 };
        assert_eq!(decode(b"hid:b0003g0001v0000046Dp0000C077"), Modalias::Hid(mouse));
        let keyboard =
            Input { bus: 0x11, vendor: 1, product: 1, version: 0xab41, capabilities: b"e0,1,k71,r" };
        assert_eq!(decode(b"input:b0011v0001p0001eAB41-e0,1,k71,r"), Modalias::Input(keyboard));
        assert_eq!(decode(b"virtio:d00000002v00001AF4"), Modalias::Virtio { device: 2, vendor: 0x1af4 });
    }

    #[test]
    fn usb_of_old_kernels_lacks_the_interface_number() {
        let old = b"usb:v1D6Bp0002d0618dc09dsc00dp01ic09isc00ip00";
        let Modalias::Usb(hub) = decode(old) else { panic!() };
        assert_eq!((hub.device_class, hub.interface_number), ([9, 0, 1], None));
    }

    #[test]
    fn unknown_forms_are_kept() {
        let other = |bus, rest| Modalias::Other { bus, rest };
        assert_eq!(decode(b"of:NspiTCbrcm,bcm2835-spi"), other(b"of", b"NspiTCbrcm,bcm2835-spi"));
        assert_eq!(decode(b"usb:v1D6Bp0002"), other(b"usb", b"v1D6Bp0002"));
        assert_eq!(decode(b"virtio:d00000002v00001AF4x"), other(b"virtio", b"d00000002v00001AF4x"));
        assert_eq!(decode(b"virtio:d0000000+v00001AF4"), other(b"virtio", b"d0000000+v00001AF4"));
        assert_eq!(decode(b"input:b0011v0001p0001eAB41"), other(b"input", b"b0011v0001p0001eAB41"));
        assert_eq!(decode(b"nothing"), other(b"", b"nothing"));
        assert_eq!(decode(b""), other(b"", b""));
    }
}
