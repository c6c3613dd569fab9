//! What natsdev tells of devices, as far as a person wants to see it.

use std::collections::BTreeMap;

use lunix_core::toast::{Lines, Text};
use lunix_proto::Full;
use lunix_proto::json::{Object, Value, Writer};

use crate::terminal;

/// Devices that are kept in mind: more than natsdev keeps, and not without end if a stranger says what it would.
const MOST: usize = 1 << 16;

/// The devices by path, so that each stands after the one that it is plugged into.
#[derive(Debug, Default)]
pub(super) struct Inventory(BTreeMap<String, Device>);

/// A device. Its texts hold nothing that a terminal obeys.
#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    pub(super) path: String,
    /// Its subsystem.
    pub(super) class: String,
    pub(super) name: String,
    /// Its node in /dev; empty if it has none.
    pub(super) node: String,
    pub(super) driver: String,
    /// What it is, in words.
    pub(super) about: String,
    pub(super) volumes: Vec<Volume>,
    /// Nodes and interfaces below a USB device, volumes left out.
    pub(super) parts: Vec<String>,
    object: Vec<u8>,
}

/// A volume of a USB device.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub(super) node: String,
    /// What it holds, in words.
    pub(super) about: String,
}

impl Inventory {
    pub(super) fn add(&mut self, device: Device) {
        if self.0.len() < MOST || self.0.contains_key(&device.path) {
            self.0.insert(device.path.clone(), device);
        }
    }

    pub(super) fn remove(&mut self, device: &Device) {
        self.0.remove(&device.path);
    }

    pub(super) fn has(&self, device: &Device) -> bool {
        self.0.contains_key(&device.path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Device> {
        self.0.values()
    }

    pub(super) fn into_devices(self) -> impl Iterator<Item = Device> {
        self.0.into_values()
    }

    /// The nearest device above `device` that is here, too.
    pub(super) fn parent(&self, device: &Device) -> Option<&Device> {
        let mut path = device.path.as_str();
        while let Some((above, _)) = path.rsplit_once('/') {
            if let Some(parent) = self.0.get(above) {
                return Some(parent);
            }
            path = above;
        }
        None
    }
}

impl Device {
    /// A device as natsdev says it; `None` if it has no path.
    pub(super) fn read(object: Object<'_>) -> Option<Self> {
        let text = |key| object.get(key).map(|value| said(&value)).unwrap_or_default();
        let path = Some(text("devpath")).filter(|path| !path.is_empty())?;
        let either =
            |own, others| Some(text(own)).filter(|name| !name.is_empty()).unwrap_or_else(|| text(others));
        let names = [either("manufacturer", "vendor_name"), either("model", "product_name")];
        let mut device = Self { path, node: text("devnode"), driver: text("driver"), ..Self::default() };
        // Of USB devices `class` is what they are for, and only they have a port.
        if object.get("port").is_some() {
            device.class = "usb".into();
            device.name = text("port");
            let ids = [text("vendor"), text("product")].join(":");
            let ids = if ids == ":" { String::new() } else { ids };
            let [vendor, product] = names;
            device.about = words([vendor, product, ids, text("class")]);
            let objects = elements(&object, "volumes").filter_map(|volume| volume.as_object());
            device.volumes = objects.map(Volume::read).collect();
            for key in ["nodes", "net", "input"] {
                for part in elements(&object, key).map(|part| said(&part)) {
                    let is_volume = device.volumes.iter().any(|volume| volume.node == part);
                    if !is_volume && part != device.node && !device.parts.contains(&part) {
                        device.parts.push(part);
                    }
                }
            }
        } else {
            device.class = text("class");
            device.name = [text("ifname"), text("name")].into_iter().find(|name| !name.is_empty())?;
            let [vendor, product] = names;
            let kinds: Vec<_> = elements(&object, "kinds").map(|kind| said(&kind)).collect();
            let is = [text("devtype"), vendor, product, kinds.join(" "), text("fstype"), text("label")];
            device.about = words(is);
        }
        device.object = copied(&Value::Object(object));
        Some(device)
    }

    /// The object as it came, in one line, with what happened to it.
    pub(super) fn json(&self, action: Option<&str>) -> String {
        let object = String::from_utf8_lossy(&self.object);
        match (action, object.strip_prefix('{')) {
            (Some(action), Some(members)) => format!("{{\"action\":\"{action}\",{members}\n"),
            _ => format!("{object}\n"),
        }
    }
}

impl Volume {
    fn read(object: Object<'_>) -> Self {
        let text = |key| object.get(key).map(|value| said(&value)).unwrap_or_default();
        let size = object.get("size").and_then(|size| size.as_u64()).map(terminal::bytes);
        let about = words([text("fstype"), text("label"), size.unwrap_or_default()]);
        Self { node: text("devnode"), about }
    }
}

fn elements<'o>(object: &Object<'o>, key: &str) -> impl Iterator<Item = Value<'o>> + use<'o> {
    object.get(key).and_then(|value| value.as_array()).into_iter().flatten()
}

/// What there is of these, with spaces between.
fn words<const N: usize>(words: [String; N]) -> String {
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn said(value: &Value<'_>) -> String {
    match value {
        Value::String(text) => Text::from(*text).printable(Lines::Joined).collect::<String>(),
        Value::Number(number) => number.as_raw().to_owned(),
        _ => String::new(),
    }
    .trim()
    .to_owned()
}

/// The value without white space.
fn copied(value: &Value<'_>) -> Vec<u8> {
    let mut out = vec![0; 1 << 10];
    loop {
        let mut json = Writer::new(&mut out);
        copy(&mut json, value);
        match json.finish() {
            Ok(len) => {
                out.truncate(len);
                return out;
            }
            Err(Full { needed }) => out.resize(needed, 0),
        }
    }
}

/// No deeper than the parser has let pass.
fn copy(json: &mut Writer<'_>, value: &Value<'_>) {
    match value {
        Value::Null => drop(json.null()),
        Value::Bool(truth) => drop(json.bool(*truth)),
        Value::Number(number) => drop(json.raw(number.as_raw().as_bytes())),
        Value::String(text) => drop(json.str(*text)),
        Value::Array(array) => {
            json.begin_array();
            array.iter().for_each(|value| copy(json, &value));
            json.end_array();
        }
        Value::Object(object) => {
            json.begin_object();
            for (key, value) in object.iter() {
                let key: String = key.chars().collect();
                copy(json.key(&key), &value);
            }
            json.end_object();
        }
    }
}

#[cfg(test)]
mod tests {
    use lunix_proto::json;

    use super::*;

    fn read(text: &str) -> Device {
        Device::read(json::parse(text.as_bytes()).unwrap().as_object().unwrap()).unwrap()
    }

    #[test]
    fn what_came_is_kept_and_what_a_terminal_obeys_is_not_shown() {
        let text = r#"{"devpath":"/devices/a","class":"net\u001b[2J","name":"a","deep":{"x":[1,2.50,null,true,"\n"]}}"#;
        let device = read(text);
        assert_eq!(device.json(None), format!("{text}\n"));
        assert_eq!(device.json(Some("add")), format!("{{\"action\":\"add\",{}\n", text.get(1..).unwrap()));
        assert_eq!(device.class, "net");
        let long = format!(r#"{{"devpath":"/d","name":"n","x":"{}"}}"#, "y".repeat(5000));
        assert_eq!(read(&long).json(None), format!("{long}\n"));
    }

    #[test]
    fn a_usb_device_and_what_is_in_it() {
        let device = read(
            r#"{"devpath":"/devices/u/2-1","vendor":"0951","product":"1666","manufacturer":"Kingston",
                "model":"DT 3.0","class":"storage","devnode":"/dev/bus/usb/002/002","port":"2-1",
                "nodes":["/dev/sda","/dev/sda1"],"net":[],"input":[],
                "volumes":[{"devnode":"/dev/sda1","fstype":"vfat","label":"HOLIDAY","uuid":"1","size":1000}]}"#,
        );
        assert_eq!((device.class.as_str(), device.name.as_str()), ("usb", "2-1"));
        assert_eq!(device.about, "Kingston DT 3.0 0951:1666 storage");
        assert_eq!(device.parts, ["/dev/sda"]);
        assert_eq!(device.volumes[0].about, "vfat HOLIDAY 1.0 kB");
    }

    #[test]
    fn what_a_device_does_not_say_of_itself_others_say() {
        let about = |members: &str| {
            read(&format!(r#"{{"devpath":"/devices/a","class":"pci","name":"a",{members}}}"#)).about
        };
        assert_eq!(
            about(r#""vendor_name":"Intel Corporation","product_name":"82540EM","model":"""#),
            "Intel Corporation 82540EM"
        );
        assert_eq!(about(r#""vendor_name":"Kingston Technology","manufacturer":"Kingston""#), "Kingston");
        assert_eq!(about(r#""kinds":["keyboard","mouse"]"#), "keyboard mouse");
        assert_eq!(about(r#""devtype":"partition","label":"A","fstype":"vfat""#), "partition vfat A");
    }

    #[test]
    fn no_path_is_no_device() {
        let object = json::parse(br#"{"class":"usb"}"#).unwrap().as_object().unwrap();
        assert!(Device::read(object).is_none());
    }
}
