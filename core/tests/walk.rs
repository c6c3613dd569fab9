//! The walk of ARCHITECTURE.md: one USB stick from the kernel's bytes to the toast on the screen, through every
//! room, with no I/O at all. The numbers are the chapter's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::collections::VecDeque;

use lunix_core::broker::{self, Action, Arrays, Broker, ClientId, Peer, Progress};
use lunix_core::device::usb::{self, Attribute, Contents, Fact, Tracker};
use lunix_core::device::{Happening, subject};
use lunix_core::time::Instant;
use lunix_core::toast::{self, Timeouts, Toasts};
use lunix_proto::json;
use lunix_proto::nats::{self, ServerDecoder, ServerOp, encode};
use lunix_uevent::{Action as Kernel, Uevent};

const NOW: Instant = Instant::from_micros(1_000_000);

/// What the kernel said when a stick was plugged in (`uevent/tests/captures`), in its order.
const PLUGGED_IN: [&[u8]; 17] = [
    include_bytes!("../../uevent/tests/captures/usb-01-add-usb_device.bin"),
    include_bytes!("../../uevent/tests/captures/usb-02-add-usb_interface.bin"),
    include_bytes!("../../uevent/tests/captures/usb-03-add-workqueue.bin"),
    include_bytes!("../../uevent/tests/captures/usb-04-add-scsi_host.bin"),
    include_bytes!("../../uevent/tests/captures/usb-05-add-scsi_host.bin"),
    include_bytes!("../../uevent/tests/captures/usb-06-bind-usb_interface.bin"),
    include_bytes!("../../uevent/tests/captures/usb-07-bind-usb_device.bin"),
    include_bytes!("../../uevent/tests/captures/usb-08-add-scsi_target.bin"),
    include_bytes!("../../uevent/tests/captures/usb-09-add-scsi_device.bin"),
    include_bytes!("../../uevent/tests/captures/usb-10-add-scsi_disk.bin"),
    include_bytes!("../../uevent/tests/captures/usb-11-change-scsi_device.bin"),
    include_bytes!("../../uevent/tests/captures/usb-12-add-scsi_device.bin"),
    include_bytes!("../../uevent/tests/captures/usb-13-add-bsg.bin"),
    include_bytes!("../../uevent/tests/captures/usb-14-add-bdi.bin"),
    include_bytes!("../../uevent/tests/captures/usb-15-add-block_disk.bin"),
    include_bytes!("../../uevent/tests/captures/usb-16-add-block_partition.bin"),
    include_bytes!("../../uevent/tests/captures/usb-17-bind-scsi_device.bin"),
];

#[test]
fn one_event_walks_the_whole_house() {
    // 1. The kernel says what it has to say; natsdev's socket receives datagrams.
    // 2. `uevent` reads each without copying it.
    let first = Uevent::parse(PLUGGED_IN[0]).unwrap();
    assert_eq!((first.action(), first.subsystem()), (Kernel::Add, &b"usb"[..]));

    // 3. `core::device` decides when the dozen kernel devices are one stick that can be used.
    let (hardware_add, stick) = when_the_stick_is_ready();
    assert_eq!(hardware_add, "hardware.usb.add");

    // 4. Subject and JSON become bytes on natsdev's connection.
    let mut wire = [0; 2048];
    let len = encode::publish(&mut wire, hardware_add.as_bytes(), None, b"", &stick).unwrap();
    let from_natsdev = &wire[..len];
    assert!(from_natsdev.starts_with(b"PUB hardware.usb.add "));

    // 5. natsd's broker reads them, finds who listens, and says what to send to whom.
    let mut server = Server::new();
    let natsdev = server.accept();
    let example = server.accept();
    let natstoast = server.accept();
    server.receive(example, b"CONNECT {}\r\nSUB hardware.usb.add 1\r\n");
    server.receive(natstoast, b"CONNECT {}\r\nSUB toast.in 1\r\n");
    server.receive(natsdev, b"CONNECT {\"verbose\":false}\r\n");
    server.receive(natsdev, from_natsdev);

    // 6. The seed's example hears of the stick and asks for a toast.
    let (subject, payload) = server.delivered(example);
    assert_eq!(subject, b"hardware.usb.add");
    let json::Value::Object(heard) = json::parse(&payload).unwrap() else { panic!() };
    assert!(
        matches!(heard.get("model"), Some(json::Value::String(model)) if model.eq_str("QEMU USB HARDDRIVE"))
    );
    server.receive(example, b"PUB toast.in 27\r\na USB stick was plugged in!\r\n");

    // 7. natstoast's connection carries it on; `core::toast` decides that it is shown now, and for how long.
    let (subject, payload) = server.delivered(natstoast);
    assert_eq!(subject, toast::subject::IN.as_bytes());
    let request = toast::decode::request(&payload).unwrap();
    let mut toasts: Toasts<4, 8, 8, 512> = Toasts::new(Timeouts::STANDARD);
    let id = toasts.handle(NOW, toast::Input::Toast(&request)).unwrap();
    assert_eq!(toasts.poll(), Some(toast::Event::Show(id, toast::Why::New)));

    // 8. `toast.show` is said, for every other presenter that listens.
    let mut show = [0; 256];
    let len = toast::encode::show(&mut show, toasts.get(id).unwrap(), toast::Why::New).unwrap();
    assert!(json::parse(&show[..len]).is_ok());

    // 9. What a presenter shows.
    let shown: Vec<_> = toasts.view().shown().map(|toast| toast.summary().to_owned()).collect();
    assert_eq!(shown, ["a USB stick was plugged in!"]);
}

/// Feeds the captured events to the tracker and answers its questions as natsdev does from /sys.
fn when_the_stick_is_ready() -> (String, Vec<u8>) {
    let (mut slots, mut bytes) = ([usb::Slot::EMPTY; 4], [0; 8192]);
    let mut tracker = Tracker::new(&mut slots, &mut bytes, usb::Config::default());
    let mut said = Vec::new();
    for (index, datagram) in PLUGGED_IN.iter().enumerate() {
        let event = Uevent::parse(datagram).unwrap();
        tracker.handle(NOW, usb::Input::Event(&event)).unwrap();
        // The disk exists from its own event on.
        let has_disk = index >= 14;
        while let Some(action) = tracker.poll() {
            match action {
                usb::Action::Inspect { device, .. } => {
                    tracker.handle(NOW, usb::Input::Look(device)).unwrap();
                    for fact in what_sys_says(has_disk) {
                        tracker.handle(NOW, usb::Input::Found(device, fact)).unwrap();
                    }
                    tracker.handle(NOW, usb::Input::Looked(device)).unwrap();
                }
                usb::Action::ProbeVolume { probe, devnode } => {
                    assert_eq!(devnode, b"/dev/sda1");
                    let contents = Contents { fstype: b"vfat", label: b"HOLIDAY", uuid: b"1234-ABCD" };
                    tracker.handle(NOW, usb::Input::Probed(probe, contents)).unwrap();
                }
                usb::Action::Announce { device, happening } => {
                    assert_eq!(happening, Happening::Add);
                    let mut subject = [0; 64];
                    let len = subject::hardware(b"usb", happening, &mut subject).unwrap();
                    let mut payload = [0; 1024];
                    let written = tracker.encode(device, false, &mut payload).unwrap();
                    said.push((
                        String::from_utf8(subject[..len].to_vec()).unwrap(),
                        payload[..written].to_vec(),
                    ));
                }
            }
        }
    }
    assert_eq!(said.len(), 1, "one stick, one announcement");
    said.remove(0)
}

fn what_sys_says(has_disk: bool) -> Vec<Fact<'static>> {
    let mut facts = vec![
        Fact::Attribute(Attribute::Vendor, b"46f4\n"),
        Fact::Attribute(Attribute::Product, b"0001\n"),
        Fact::Attribute(Attribute::Model, b"QEMU USB HARDDRIVE\n"),
        Fact::Bound,
        Fact::Interface { class: 8, bound: true },
        Fact::Unit { disk: true },
    ];
    if has_disk {
        facts.extend([
            Fact::Disk,
            Fact::Node(b"/dev/sda"),
            Fact::Node(b"/dev/sda1"),
            Fact::Volume { devnode: b"/dev/sda1", size: 1 << 24 },
        ]);
    }
    facts
}

/// The tables of a server as small as a microcontroller's.
type Tiny = Arrays<16, 8, 1, 8, 4>;

/// A driver of the broker whose connections are vectors.
struct Server {
    broker: Broker<Tiny>,
    sent: Vec<VecDeque<u8>>,
}

impl Server {
    fn new() -> Self {
        Self { broker: Broker::new(Tiny::EMPTY, broker::Limits::default(), 7), sent: Vec::new() }
    }

    fn accept(&mut self) -> ClientId {
        let client = ClientId::new(self.sent.len() as u32);
        self.sent.push(VecDeque::new());
        let mut turn = self.broker.handle(NOW, broker::Input::Opened { client, peer: Peer::Local });
        while turn.poll().is_some() {}
        client
    }

    fn receive(&mut self, client: ClientId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut turn = self.broker.handle(NOW, broker::Input::Received { client, bytes });
            while let Some(action) = turn.poll() {
                if let Action::Deliver(delivery) = action {
                    let mut head = [0; 256];
                    let len = delivery.encode_head(&mut head).unwrap();
                    let ring = &mut self.sent[delivery.to().index() as usize];
                    ring.extend(head[..len].iter().chain(delivery.body()));
                }
            }
            match turn.progress() {
                Progress::Consumed(len) => bytes = &bytes[len..],
                Progress::Waits => panic!("nobody is asked"),
                Progress::Needs(more) => panic!("{more} bytes needed"),
            }
        }
    }

    /// The message at the head of a client's connection, as its decoder sees it.
    fn delivered(&mut self, client: ClientId) -> (Vec<u8>, Vec<u8>) {
        let ring = &mut self.sent[client.index() as usize];
        let mut decoder = ServerDecoder::new(nats::Limits::default());
        let (op, len) = decoder.decode(ring.make_contiguous()).unwrap().expect("a whole message");
        let ServerOp::Msg(message) = op else { panic!("{op:?}") };
        let found = (message.subject.to_vec(), message.payload().to_vec());
        ring.drain(..len);
        found
    }
}
