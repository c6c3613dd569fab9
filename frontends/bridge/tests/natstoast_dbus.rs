//! `natstoast-dbus` as desktops see it: `notify-send`, D-Bus's own programs, another notification server, and who means no good.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

mod dbus_rig;

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use dbus_rig::{Machine, Session, desktop, has};
use lunix_proto::json;
use zbus::Variant;

const SERVER: &str = "is the notification server of this session";
const CLIENT: &str = "toasts are shown by the notification server";

/// The value of a key, as it stands in the JSON text.
fn value(text: &str, key: &str) -> String {
    let object = json::parse(text.as_bytes()).unwrap().as_object().unwrap();
    match object.get(key) {
        Some(json::Value::String(text)) => text.chars().collect(),
        Some(json::Value::Number(number)) => number.as_raw().to_owned(),
        other => format!("{other:?}"),
    }
}

/// A toast that no machine is too slow for.
fn lasting(summary: &str) -> String {
    format!(r#"{{"summary":"{summary}","timeout_ms":0}}"#)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[test]
fn what_a_program_shows_is_a_toast_and_it_hears_what_becomes_of_it() {
    if !has("notify-send is a toast", &["dbus-daemon", "dbus-send", "dbus-monitor", "notify-send"]) {
        return;
    }
    let (session, machine) = (Session::start(), Machine::start());
    let desktop = machine.desktop(&session, &[], SERVER);
    let (signals, mut nats) = (session.signals(), machine.nats());
    nats.subscribe("toast.*");
    let flags = ["-p", "-a", "mail", "-i", "mail-unread", "-u", "critical", "-t", "0", "-h", "int:value:40"];
    let shown = session.notify_send(&[&flags[..], &["Two new", "<b>from</b> you &amp; me"]].concat());
    let id = text(&shown.stdout);
    assert_ne!(id, "0");
    let toast = nats.next("toast.show");
    let expected = [
        ("summary", "Two new"),
        ("body", "from you & me"),
        ("app", "mail"),
        ("icon", "mail-unread"),
        ("urgency", "critical"),
        ("timeout_ms", "0"),
        ("progress", "40"),
    ];
    for (key, expected) in expected {
        assert_eq!(value(&toast, key), expected, "{toast}");
    }
    // One that takes its place, by its number; then by tags.
    let again = session.notify_send(&["-p", "-a", "mail", "-t", "0", "-r", &id, "Three new"]);
    assert_eq!(text(&again.stdout), id);
    let replaced = nats.next("toast.show");
    assert_eq!(
        (value(&replaced, "id"), value(&replaced, "summary")),
        (value(&toast, "id"), "Three new".into())
    );
    let volume = |level: &str| {
        let tag = "string:x-canonical-private-synchronous:volume";
        text(
            &session
                .notify_send(&["-p", "-t", "0", "-h", tag, "-h", &format!("int:value:{level}"), "Volume"])
                .stdout,
        )
    };
    let tagged = volume("30");
    assert_eq!(volume("60"), tagged);
    assert_ne!(tagged, id);
    // Whom nobody knows is a new one.
    let other = text(&session.notify_send(&["-p", "-r", "4000", "-t", "1", "short"]).stdout);
    assert!(![id.as_str(), &tagged, "4000"].contains(&other.as_str()), "{other}");
    // How they end: by itself, by its program, by a person.
    let closed = |id: &str, why: &str| ("NotificationClosed".to_owned(), vec![id.to_owned(), why.to_owned()]);
    assert_eq!(signals.signal(), closed(&other, "1"));
    assert!(session.close(&tagged).status.success());
    assert_eq!(signals.signal(), closed(&tagged, "3"));
    nats.publish("toast.dismiss", &value(&toast, "id"));
    assert_eq!(signals.signal(), closed(&id, "2"));
    let unknown = session.close(&id);
    assert!(text(&unknown.stderr).contains("org.freedesktop.DBus.Error.InvalidArgs"), "{unknown:?}");
    desktop.program.signal("-TERM");
    assert_eq!(desktop.end().0, Some(0));
}

#[test]
fn a_toasts_action_is_heard_by_who_offers_it() {
    if !has("actions over D-Bus", &["dbus-daemon", "notify-send", "dbus-monitor"]) {
        return;
    }
    let (session, machine) = (Session::start(), Machine::start());
    let _desktop = machine.desktop(&session, &["--own"], SERVER);
    let (signals, mut nats) = (session.signals(), machine.nats());
    nats.subscribe("toast.show");
    let mut asks = session.command("notify-send");
    asks.args(["--wait", "-t", "0", "-A", "yes=Yes, please", "-A", "no=No", "Update?"])
        .stdout(Stdio::piped());
    let asks = asks.spawn().unwrap();
    let toast = nats.next("toast.show");
    assert!(
        toast.contains(r#""actions":[{"id":"yes","label":"Yes, please"},{"id":"no","label":"No"}]"#),
        "{toast}"
    );
    nats.publish("toast.action", &format!(r#"{{"id":{},"action":"yes"}}"#, value(&toast, "id")));
    assert_eq!(text(&asks.wait_with_output().unwrap().stdout), "yes");
    let (invoked, closed) = (signals.signal(), signals.signal());
    assert_eq!((invoked.0.as_str(), invoked.1[1].as_str()), ("ActionInvoked", "yes"));
    assert_eq!((closed.0.as_str(), closed.1[1].as_str()), ("NotificationClosed", "2"));
}

#[test]
fn one_that_is_resident_stays_and_one_that_is_transient_is_forgotten() {
    if !has("hints over D-Bus", &["dbus-daemon", "gdbus", "dbus-monitor"]) {
        return;
    }
    let (session, machine) = (Session::start(), Machine::start());
    let _desktop = machine.desktop(&session, &[], SERVER);
    let (signals, mut nats) = (session.signals(), machine.nats());
    nats.subscribe("toast.show");
    let notify = |summary: &str, hints: &str| {
        let to = ["-d", "org.freedesktop.Notifications", "-o", "/org/freedesktop/Notifications"];
        let method = ["-m", "org.freedesktop.Notifications.Notify", "player", "0", ""];
        let mut call = session.command("gdbus");
        call.args(["call", "-e"]).args(to).args(method).args([summary, "", "['next', 'Next']", hints, "0"]);
        let output = call.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // (uint32 3,)
        text(&output.stdout).split([' ', ',']).nth(1).unwrap().to_owned()
    };
    let stays = notify("stays", "{'resident': <true>, 'transient': <true>}");
    let toast = nats.next("toast.show");
    assert!(toast.contains(r#""resident":true,"transient":true"#), "{toast}");
    let next = format!(r#"{{"id":{},"action":"next"}}"#, value(&toast, "id"));
    for _ in 0..2 {
        nats.publish("toast.action", &next);
        assert_eq!(signals.signal(), ("ActionInvoked".to_owned(), vec![stays.clone(), "next".to_owned()]));
    }
    nats.publish("toast.dismiss", &value(&toast, "id"));
    assert_eq!(signals.signal(), ("NotificationClosed".to_owned(), vec![stays, "2".to_owned()]));
    let plain = notify("plain", "{'resident': <false>}");
    let toast = nats.next("toast.show");
    assert!(!toast.contains("resident") && !toast.contains("transient"), "{toast}");
    nats.publish("toast.action", &format!(r#"{{"id":{},"action":"next"}}"#, value(&toast, "id")));
    assert_eq!(signals.signal().0, "ActionInvoked");
    assert_eq!(signals.signal(), ("NotificationClosed".to_owned(), vec![plain, "2".to_owned()]));
    let history = nats.until_answered("toast.history");
    assert!(history.contains("plain") && !history.contains("stays"), "{history}");
}

#[test]
fn toasts_are_shown_by_the_server_that_is_there() {
    if !has("toasts on another notification server", &["dbus-daemon", "notify-send"]) {
        return;
    }
    // What shows toasts here is a lunix, too, of another NATS server: that of a board is `from`, that of the desktop `to`.
    let (session, from, to) = (Session::start(), Machine::start(), Machine::start());
    let server = to.desktop(&session, &[], SERVER);
    let client = from.desktop(&session, &[], CLIENT);
    let (mut there, mut here) = (from.nats(), to.nats());
    here.subscribe("toast.*");
    there.subscribe("toast.*");
    let ask = r#"{"summary":"Hot","body":"75 < 80 & rising","app":"board","urgency":"critical",
        "actions":[{"id":"off","label":"Turn it off"}],"progress":75,"transient":true}"#;
    there.publish("toast.in", ask);
    let first = there.next("toast.show");
    let shown = here.next("toast.show");
    for key in ["summary", "body", "app", "urgency", "timeout_ms", "progress", "transient"] {
        assert_eq!(value(&shown, key), value(&first, key));
    }
    // It changes, somebody chooses, and it is gone on both.
    there.publish(
        "toast.in",
        &format!(
            r#"{{"summary":"Hotter","timeout_ms":0,"replaces":{},"actions":[{{"id":"off"}}]}}"#,
            value(&first, "id")
        ),
    );
    assert_eq!(value(&here.next("toast.show"), "summary"), "Hotter");
    here.publish("toast.action", &format!(r#"{{"id":{},"action":"off"}}"#, value(&shown, "id")));
    let action = there.next("toast.action");
    assert_eq!((value(&action, "id"), value(&action, "action")), (value(&first, "id"), "off".to_owned()));
    assert_eq!(value(&there.next("toast.closed"), "reason"), "dismissed");
    // One is put away there, one is taken back here.
    there.publish("toast.in", &lasting("put away"));
    let shown = value(&here.next("toast.show"), "id");
    here.publish("toast.dismiss", &shown);
    let closed = there.next("toast.closed");
    assert_eq!(value(&closed, "reason"), "dismissed");
    there.publish("toast.in", &lasting("taken back"));
    assert_eq!(value(&here.next("toast.show"), "summary"), "taken back");
    there.publish("toast.close", &(value(&closed, "id").parse::<u32>().unwrap() + 1).to_string());
    assert_eq!(value(&here.next("toast.closed"), "reason"), "closed");
    // When that one goes, the place is ours, and notifications come here.
    drop(server);
    client.find(SERVER);
    assert!(session.notify_send(&["to the board"]).status.success());
    assert_eq!(value(&there.next("toast.show"), "summary"), "taken back");
    assert_eq!(value(&there.next("toast.show"), "summary"), "to the board");
}

#[test]
fn the_session_bus_starts_it_for_the_first_notification() {
    if !has("activation", &["dbus-daemon", "notify-send"]) {
        return;
    }
    // As packages install it, but for where the program is.
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/desktop/org.freedesktop.Notifications.service");
    let program = format!("{} natstoast-dbus", env!("CARGO_BIN_EXE_lunix-bridge"));
    let service = std::fs::read_to_string(file).unwrap().replace("/usr/bin/natstoast-dbus", &program);
    let folder = std::env::temp_dir().join(format!("natstoast-dbus-{}", std::process::id()));
    let services = folder.join("dbus-1/services");
    std::fs::create_dir_all(&services).unwrap();
    std::fs::write(services.join("org.freedesktop.Notifications.service"), service).unwrap();
    let machine = Machine::start();
    let session = Session::with(&[("XDG_DATA_HOME", folder.to_str().unwrap()), ("NATS_URL", &machine.url())]);
    let mut nats = machine.nats();
    nats.subscribe("toast.show");
    let sent = session.notify_send(&["the first"]);
    assert!(sent.status.success(), "{sent:?}");
    assert_eq!(value(&nats.next("toast.show"), "summary"), "the first");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn nothing_goes_round_in_circles() {
    if !has("no circles", &["dbus-daemon", "notify-send"]) {
        return;
    }
    let (session, machine) = (Session::start(), Machine::start());
    let _server = machine.desktop(&session, &[], SERVER);
    let client = machine.desktop(&session, &["--forward"], CLIENT);
    let mut nats = machine.nats();
    nats.subscribe("toast.show");
    nats.publish("toast.in", &lasting("once"));
    client.find("none are shown there again");
    assert!(session.notify_send(&["-t", "0", "twice"]).status.success());
    nats.publish("toast.in", &lasting("thrice"));
    let shown: Vec<String> = (0..3).map(|_| value(&nats.next("toast.show"), "summary")).collect();
    assert_eq!(shown, ["once", "twice", "thrice"]);
    let list = nats.until_answered("toast.list");
    assert_eq!(list.matches("\"state\"").count(), 3, "{list}");
}

#[test]
fn who_cannot_be_there_says_so_in_a_line() {
    let nowhere = |address: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunix-bridge"));
        command
            .arg("natstoast-dbus")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env("XDG_RUNTIME_DIR", "/nowhere");
        command.envs(address.map(|address| ("DBUS_SESSION_BUS_ADDRESS", address)));
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, line) = nowhere(None);
    assert_eq!((code, line.lines().count()), (Some(1), 1), "{line}");
    assert!(line.contains("there is no session bus: $DBUS_SESSION_BUS_ADDRESS is not set"), "{line}");
    let (code, line) = nowhere(Some("unix:path=/nowhere/bus"));
    assert_eq!((code, line.lines().count()), (Some(1), 1), "{line}");
    assert!(line.contains("session bus: "), "{line}");
    if !has("the end of the session bus", &["dbus-daemon", "notify-send"]) {
        return;
    }
    let (session, machine) = (Session::start(), Machine::bare());
    let first = machine.desktop(&session, &["--own"], SERVER);
    let (code, lines) = desktop(&session, &["--own", "--nats", &machine.url()]).end();
    assert_eq!(code, Some(1));
    assert!(
        lines.iter().any(|line| line.contains("another program's, which does not give way")),
        "{lines:?}"
    );
    let failed = session.notify_send(&["to nobody"]);
    assert!(text(&failed.stderr).contains("there is no natstoast"), "{failed:?}");
    drop(session.daemon);
    let (code, lines) = first.end();
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
    assert!(lines[0].contains("the session bus has gone away"), "{lines:?}");
}

#[tokio::test]
async fn pictures_and_floods_take_no_memory() {
    if !has("a flood over D-Bus", &["dbus-daemon"]) {
        return;
    }
    let (session, machine) = (Session::start(), Machine::start());
    let desktop = machine.desktop(&session, &[], SERVER);
    let connection = zbus::connection::Builder::address(session.address.as_str()).build().await.unwrap();
    let call = async |summary: String, picture: Option<usize>| {
        let mut hints = HashMap::new();
        hints.extend(picture.map(|bytes| ("image-data", Variant::from((1_i32, vec![0_u8; bytes])))));
        let arguments = ("flood", 0_u32, "", summary.as_str(), "", vec![""; 50], hints, 0_i32);
        let service = "org.freedesktop.Notifications";
        let called = connection.call_method(
            Some(service),
            "/org/freedesktop/Notifications",
            Some(service),
            "Notify",
            &arguments,
        );
        called
            .await
            .map(|answer| answer.body().deserialize::<u32>().unwrap())
            .map_err(|error| error.to_string())
    };
    let before = peak(desktop.program.0.id());
    for _ in 0..4 {
        call("picture".into(), Some(2 << 20)).await.unwrap();
    }
    call("x".repeat(4 << 20), None).await.unwrap();
    let (mut shown, mut refused) = (0, 0);
    for number in 0..100 {
        match call(number.to_string(), None).await {
            Ok(_) => shown += 1,
            Err(error) => {
                assert!(error.contains("ExcessNotificationGeneration: too many toasts"), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((shown, refused), (64 - 5, 100 - 59));
    // A message is held while it is read, and no part of it afterwards.
    let grown = peak(desktop.program.0.id()) - before;
    println!("{before} KiB, and {grown} KiB more");
    assert!(grown < 24 << 10, "{grown} KiB");
}

#[test]
fn idle_it_sleeps() {
    if !has("an idle natstoast-dbus", &["dbus-daemon", "notify-send"]) {
        return;
    }
    let (session, machine) = (Session::start(), Machine::start());
    let server = machine.desktop(&session, &[], SERVER);
    let other = Machine::start();
    let client = other.desktop(&session, &[], CLIENT);
    assert!(session.notify_send(&["-t", "0", "stays"]).status.success());
    let pids = [server.program.0.id(), client.program.0.id()];
    let mut tries = 0;
    // What is done still, such as a connection's first exchange, is over sooner or later.
    loop {
        let before = pids.map(switches);
        std::thread::sleep(Duration::from_secs(2));
        let after = pids.map(switches);
        if before == after {
            break;
        }
        tries += 1;
        assert!(tries < 10, "{before:?} context switches, then {after:?}");
    }
}

/// How often it has run.
fn switches(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: std::fs::DirEntry| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let count = |line: &str| {
            line.split_once("ctxt_switches:").and_then(|(_, count)| count.trim().parse::<u64>().ok())
        };
        status.lines().filter_map(count).sum::<u64>()
    };
    tasks.map(|task| of(task.unwrap())).sum()
}

/// The most memory that it has had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
