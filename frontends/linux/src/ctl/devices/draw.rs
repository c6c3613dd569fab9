//! Devices as a tree, as a table, and one by one.

use std::collections::{BTreeMap, HashMap};

use super::inventory::{Device, Inventory};
use crate::terminal::{self, Terminal};

const DIM: &str = "2";
const BOLD: &str = "1";

/// What happened to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Add,
    Remove,
    Change,
}

impl Mark {
    /// As subjects have it.
    pub(super) const fn action(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Change => "change",
        }
    }

    const fn look(self) -> (&'static str, &'static str) {
        match self {
            Self::Add => ("32", "+ "),
            Self::Remove => ("31", "- "),
            Self::Change => ("33", "~ "),
        }
    }
}

/// Text with a colour.
type Span = (&'static str, String);

/// A device and what is below it.
struct Node {
    spans: Vec<Span>,
    below: Vec<Node>,
}

/// All devices, each below the one that it is plugged into.
pub(super) fn tree(inventory: &Inventory, terminal: &Terminal) -> String {
    let mut below: HashMap<&str, Vec<&Device>> = HashMap::new();
    let mut roots = Vec::new();
    for device in inventory.iter() {
        match inventory.parent(device) {
            Some(parent) => below.entry(parent.path.as_str()).or_default().push(device),
            None => roots.push(device),
        }
    }
    let mut out = String::new();
    let mut folded: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for root in roots {
        let is_virtual =
            root.path.starts_with("/devices/virtual/") && !below.contains_key(root.path.as_str());
        if terminal.obeys && is_virtual {
            folded.entry(&root.class).or_default().push(&root.name);
        } else {
            let node = node(root, &below, &[], DEPTH);
            put(&mut out, terminal, "", &node.spans);
            branches(&mut out, terminal, "", &node.below);
        }
    }
    for (class, names) in folded {
        let names = [(BOLD, names.len().to_string()), (DIM, format!("virtual: {}", names.join(" ")))];
        let spans: Vec<_> = std::iter::once((DIM, class.to_owned())).chain(names).collect();
        put(&mut out, terminal, "", &spans);
    }
    out
}

/// How deep a tree is drawn: no hardware comes near it, and a stranger's list goes no further.
const DEPTH: usize = 64;

/// `volumes` are those of the USB devices above.
fn node(
    device: &Device,
    below: &HashMap<&str, Vec<&Device>>,
    volumes: &[(&str, &str)],
    depth: usize,
) -> Node {
    let mut spans = spans(device);
    if let Some((_, about)) = volumes.iter().find(|(node, _)| *node == device.node) {
        spans.push(("", (*about).to_owned()));
    }
    let mut inherited = volumes.to_vec();
    inherited.extend(device.volumes.iter().map(|volume| (volume.node.as_str(), volume.about.as_str())));
    let devices = below.get(device.path.as_str()).filter(|_| depth > 0);
    let mut nodes: Vec<Node> =
        devices.into_iter().flatten().map(|child| node(child, below, &inherited, depth - 1)).collect();
    // What is a device of its own in the list is said there.
    let mut listed = Vec::new();
    said_below(device, below, &mut listed, depth);
    let is_new = |part: &str| !listed.contains(&part);
    for part in device.parts.iter().filter(|part| is_new(part)) {
        nodes.push(Node { spans: vec![(BOLD, part.clone())], below: Vec::new() });
    }
    for volume in device.volumes.iter().filter(|volume| is_new(&volume.node)) {
        let spans = vec![(BOLD, volume.node.clone()), ("", volume.about.clone())];
        nodes.push(Node { spans, below: Vec::new() });
    }
    Node { spans, below: nodes }
}

/// The names under which devices below `device` are known.
fn said_below<'d>(
    device: &Device,
    below: &HashMap<&str, Vec<&'d Device>>,
    said: &mut Vec<&'d str>,
    depth: usize,
) {
    // Only USB devices say of others.
    if device.parts.is_empty() && device.volumes.is_empty() && said.is_empty() {
        return;
    }
    for child in below.get(device.path.as_str()).filter(|_| depth > 0).into_iter().flatten() {
        said.extend([child.node.as_str(), child.name.as_str()]);
        said_below(child, below, said, depth - 1);
    }
}

fn branches(out: &mut String, terminal: &Terminal, indent: &str, nodes: &[Node]) {
    for (index, node) in nodes.iter().enumerate() {
        let last = index + 1 == nodes.len();
        let (own, further) =
            if last { ("\u{2514}\u{2500} ", "   ") } else { ("\u{251c}\u{2500} ", "\u{2502}  ") };
        put(out, terminal, &format!("{indent}{own}"), &node.spans);
        branches(out, terminal, &format!("{indent}{further}"), &node.below);
    }
}

/// One device in a line.
pub(super) fn line(mark: Mark, device: &Device, terminal: &Terminal) -> String {
    let (colour, sign) = mark.look();
    let mut spans = spans(device);
    for volume in &device.volumes {
        spans.push((DIM, "\u{b7}".to_owned()));
        spans.push(("", format!("{} {}", volume.node, volume.about).trim_end().to_owned()));
    }
    let mut out = terminal.paint(colour, sign).into_owned();
    put(&mut out, &Terminal { width: terminal.width.saturating_sub(2), ..*terminal }, "", &spans);
    out
}

fn spans(device: &Device) -> Vec<Span> {
    let said = |text: &str| text.rsplit('/').next() == Some(device.name.as_str());
    let name = if said(&device.node) { &device.node } else { &device.name };
    let driver = if device.driver.is_empty() { String::new() } else { format!("({})", device.driver) };
    vec![(DIM, device.class.clone()), (BOLD, name.clone()), ("", device.about.clone()), (DIM, driver)]
}

/// A line for every device, below headings.
pub(super) fn table(inventory: &Inventory, terminal: &Terminal) -> String {
    let mut rows = vec![["CLASS", "NAME", "NODE", "DRIVER", "WHAT"].map(str::to_owned)];
    for device in inventory.iter() {
        let mut what = device.about.clone();
        for volume in &device.volumes {
            what += &format!(", {} {}", volume.node, volume.about);
        }
        let row = [&device.class, &device.name, &device.node, &device.driver, &what];
        // A cell without anything would move those after it for whoever counts words.
        rows.push(row.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell.clone() }));
    }
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = terminal::width(cell).max(*width);
        }
    }
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            let pad = if column == 4 { 0 } else { width - terminal::width(cell) };
            format!("{cell}{}", " ".repeat(pad + 1))
        });
        let line: String = cells.collect::<Vec<_>>().join(" ");
        put(&mut out, terminal, "", &[(if index == 0 { DIM } else { "" }, line.trim_end().to_owned())]);
    }
    out
}

/// A line of spans, cut to the terminal's width.
fn put(out: &mut String, terminal: &Terminal, indent: &str, spans: &[Span]) {
    let mut room = if terminal.obeys { terminal.width } else { usize::MAX };
    let mut say = |sgr: &str, text: &str| {
        let text = terminal::fit(text, room);
        room = room.saturating_sub(terminal::width(&text));
        out.push_str(&terminal.paint(sgr, &text));
    };
    say(DIM, indent);
    let mut first = true;
    for (sgr, text) in spans.iter().filter(|(_, text)| !text.is_empty()) {
        if !std::mem::take(&mut first) {
            say("", " ");
        }
        say(sgr, text);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use lunix_proto::json;

    use super::*;

    const STICK: &str = r#"{"devpath":"/devices/pci/usb2/2-1","vendor":"0951","product":"1666",
        "manufacturer":"Kingston","model":"DT","class":"storage","devnode":"/dev/bus/usb/002/002","port":"2-1",
        "nodes":["/dev/sda","/dev/sda1"],"net":[],"input":[],
        "volumes":[{"devnode":"/dev/sda1","fstype":"vfat","label":"HOLIDAY","size":1000}]}"#;

    fn inventory(objects: &[&str]) -> Inventory {
        let mut inventory = Inventory::default();
        for text in objects {
            inventory.add(Device::read(json::parse(text.as_bytes()).unwrap().as_object().unwrap()).unwrap());
        }
        inventory
    }

    fn all() -> Inventory {
        inventory(&[
            r#"{"devpath":"/devices/pci","class":"pci","name":"0000:00:14.0","driver":"xhci_hcd"}"#,
            STICK,
            r#"{"devpath":"/devices/pci/usb2/2-1/h/block/sda","class":"block","name":"sda","devnode":"/dev/sda","devtype":"disk"}"#,
            r#"{"devpath":"/devices/pci/usb2/2-1/h/block/sda/sda1","class":"block","name":"sda1","devnode":"/dev/sda1","devtype":"partition"}"#,
            r#"{"devpath":"/devices/virtual/tty/tty1","class":"tty","name":"tty1","devnode":"/dev/tty1"}"#,
            r#"{"devpath":"/devices/virtual/tty/tty2","class":"tty","name":"tty2","devnode":"/dev/tty2"}"#,
        ])
    }

    #[test]
    fn a_tree() {
        let lines = [
            "pci 0000:00:14.0 (xhci_hcd)",
            "└─ usb 2-1 Kingston DT 0951:1666 storage",
            "   └─ block /dev/sda disk",
            "      └─ block /dev/sda1 partition vfat HOLIDAY 1.0 kB",
        ];
        let whole = tree(&all(), &Terminal::PLAIN);
        assert_eq!(whole.lines().take(4).collect::<Vec<_>>(), lines);
        assert_eq!(whole.lines().skip(4).collect::<Vec<_>>(), ["tty /dev/tty1", "tty /dev/tty2"]);
        let narrow = tree(&all(), &Terminal { obeys: true, colour: false, width: 20 });
        assert_eq!(narrow.lines().next(), Some("pci 0000:00:14.0 (x\u{2026}"));
        assert_eq!(narrow.lines().nth(4), Some("tty 2 virtual: tty1\u{2026}"));
    }

    #[test]
    fn a_stick_alone_has_its_volumes_below_it() {
        let text = tree(&inventory(&[STICK]), &Terminal::PLAIN);
        let lines =
            ["usb 2-1 Kingston DT 0951:1666 storage", "├─ /dev/sda", "└─ /dev/sda1 vfat HOLIDAY 1.0 kB"];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_table_and_a_line() {
        let text = table(&all(), &Terminal::PLAIN);
        let row = "usb    2-1           /dev/bus/usb/002/002  -         Kingston DT 0951:1666 storage, \
                   /dev/sda1 vfat HOLIDAY 1.0 kB";
        assert_eq!(text.lines().nth(2), Some(row));
        assert!(text.lines().all(|line| line.split_whitespace().count() >= 5), "{text}");
        let stick = inventory(&[STICK]);
        let stick = stick.iter().next().unwrap();
        assert_eq!(
            line(Mark::Remove, stick, &Terminal::PLAIN),
            "- usb 2-1 Kingston DT 0951:1666 storage · /dev/sda1 vfat HOLIDAY 1.0 kB\n"
        );
    }

    #[test]
    fn a_list_of_endless_depth_is_cut() {
        let objects: Vec<String> = (1..200)
            .map(|depth| format!(r#"{{"devpath":"{}","class":"x","name":"n"}}"#, "/a".repeat(depth)))
            .collect();
        let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
        assert_eq!(tree(&inventory(&objects), &Terminal::PLAIN).lines().count(), DEPTH + 1);
    }
}
