//! Volumes that cannot be read: natsdev waits for none of them longer than it was told to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod rig;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rig::{Client, World, inside, stick};
use serde_json::{Value, json};

const VOLUME: &str = "LUNIX_TEST_VOLUME";

/// fanotify asks somebody before each read of the file, who never answers.
const LISTENER: &str = "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
FAN_CLASS_CONTENT, FAN_MARK_ADD, FAN_ACCESS_PERM, AT_FDCWD = 4, 1, 0x20000, -100
group = libc.fanotify_init(FAN_CLASS_CONTENT, os.O_RDONLY)
marked = libc.fanotify_mark(group, FAN_MARK_ADD, ctypes.c_uint64(FAN_ACCESS_PERM), AT_FDCWD, sys.argv[1].encode())
print('ready' if group >= 0 and marked == 0 else os.strerror(ctypes.get_errno()), flush=True)
sys.stdin.read()
";

/// A file whose reads hang, as long as this is there.
struct Hanging {
    listener: Child,
    folder: PathBuf,
}

impl Hanging {
    /// `Err` says why this machine cannot have one.
    fn new() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("lunix-hangs-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        File::create(folder.join("volume")).unwrap().set_len(1 << 20).unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", LISTENER]).arg(folder.join("volume"));
        let mut listener = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("python3: {error}"))?;
        let mut word = String::new();
        BufReader::new(listener.stdout.take().unwrap()).read_line(&mut word).unwrap();
        let hanging = Self { listener, folder };
        if word.trim() == "ready" { Ok(hanging) } else { Err(format!("fanotify: {}", word.trim())) }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.listener.kill();
        let _ = self.listener.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The contents of the only volume of the stick at `port`.
fn volume(client: &Client, port: &str) -> Value {
    let path = format!("/devices/pci0000:00/0000:00:02.0/usb2/{port}");
    let mut volume = client.about("hardware.usb.add", &path)["volumes"][0].take();
    volume.as_object_mut().unwrap().retain(|key, _| ["fstype", "label", "uuid"].contains(&key.as_str()));
    volume
}

#[test]
fn a_volume_whose_reads_hang_costs_its_time_and_no_more() {
    let name = "a_volume_whose_reads_hang_costs_its_time_and_no_more";
    if std::env::var_os(VOLUME).is_none() {
        // Only root outside of any namespace may ask to be asked.
        match Hanging::new() {
            Ok(hanging) => {
                let volume = hanging.folder.join("volume");
                let status = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", name, "--nocapture"])
                    .env(VOLUME, volume)
                    .status()
                    .unwrap();
                assert!(status.success());
            }
            Err(why) => eprintln!("SKIPPED {name}: {why}"),
        }
        return;
    }
    if !inside(name) {
        return;
    }
    let mut world = World::new();
    let node = |name: &str| world.folder.join("dev").join(name);
    let volume_path = PathBuf::from(std::env::var_os(VOLUME).unwrap());
    // More of them than natsdev has children at once.
    let hanging: Vec<String> = (1..=6).map(|number| format!("2-{number}")).collect();
    let disk = |number: usize| format!("sd{}", char::from(b'a' + u8::try_from(number).unwrap()));
    for number in 0..hanging.len() {
        symlink(&volume_path, node(&format!("{}1", disk(number)))).unwrap();
    }
    let (fifo, plain) = (node("sdy1"), node("sdz1"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // A swap area: the least that is recognised.
    let mut page = vec![0; 1 << 16];
    page[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    page[1028..1032].copy_from_slice(&15_u32.to_le_bytes());
    page[4086..4096].copy_from_slice(b"SWAPSPACE2");
    fs::write(&plain, page).unwrap();

    let mut client = Client::connect();
    world.start_natsdev(&["--probe-timeout", "1"]);
    let begin = Instant::now();
    for (number, port) in hanging.iter().enumerate() {
        world.plug(&stick(port, &disk(number)).0);
    }
    // It goes on meanwhile.
    client.request("natsdev.stats", "");
    assert!(begin.elapsed() < Duration::from_secs(20));
    let nothing = json!({"fstype": null, "label": null, "uuid": null});
    for port in &hanging {
        assert_eq!(volume(&client, port), nothing);
    }
    assert!(begin.elapsed() >= Duration::from_secs(1), "nothing has hung");
    // What can be read is read afterwards, and what is no volume at all keeps nobody waiting.
    world.plug(&stick("2-8", "sdy").0);
    world.plug(&stick("2-9", "sdz").0);
    assert_eq!(volume(&client, "2-8"), nothing);
    assert_eq!(volume(&client, "2-9")["fstype"], "swap");
    assert_eq!(client.list("hardware.usb.list").len(), hanging.len() + 2);
    assert_eq!(world.stop_natsdev(), Some(0));
}
