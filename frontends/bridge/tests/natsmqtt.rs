//! natsmqtt as its users see it: mosquitto's programs, sockets, signals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

mod mqtt_rig;

use std::io::Read as _;
use std::num::NonZeroU16;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lunix_proto::mqtt::{
    ClientPacket, Connect, Delivery, List, Property, Publish, Qos, ReasonCode, Version, Will,
};
use mqtt_rig::{Client, Gateway, Nats, PATIENCE, message, natsd, subscribe};

const ONE: NonZeroU16 = NonZeroU16::MIN;

/// A program of mosquitto's, if it is installed.
fn mosquitto(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        println!("SKIPPED {name}: not installed");
        return None;
    }
    Some(Command::new(name))
}

#[test]
fn temperature0_in_every_version_and_both_ways() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let (Some(_), Some(_)) = (mosquitto("mosquitto_pub"), mosquitto("mosquitto_sub")) else { return };
    let mut nats = Nats::connect(&server);
    nats.say("SUB temperature0 1");
    nats.flush();
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let port = gateway.port();
        let common = ["-V", version, "-p", &port, "-t", "temperature0", "-q", "2"];
        let published = Command::new("mosquitto_pub").args(common).args(["-m", "17"]).status().unwrap();
        assert!(published.success());
        let (line, body) = nats.message();
        assert!(line.starts_with("HMSG temperature0 1 "), "{line}");
        assert_eq!(body, "NATS/1.0\r\nNmqtt-Pub: 2\r\n\r\n17");

        let mut listener = Command::new("mosquitto_sub")
            .args(common)
            .args(["-C", "1", "-W", "60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It does not say when it has subscribed: until it hears something, it is said again.
        while listener.try_wait().unwrap().is_none() {
            nats.say("PUB temperature0 2\r\n18");
            assert_eq!(nats.message().1, "18");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut told = String::new();
        listener.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(told, "18\n", "{version}");
    }
}

#[test]
fn nats_reads_what_is_retained() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let mut client = gateway.client("lamp", Version::V5);
    let ClientPacket::Publish(lamp) =
        message("lamp/1", "on", Delivery::AtLeastOnce { packet_id: ONE, dup: false })
    else {
        panic!()
    };
    client.say(ClientPacket::Publish(Publish { retain: true, ..lamp }));
    assert!(client.next().unwrap().starts_with("Puback"));
    let mut nats = Nats::connect(&server);
    nats.say("SUB answers 1");
    for (subject, answer) in [
        ("lamp.1", "NATS/1.0\r\nNmqtt-Pub: 1\r\nNmqtt-Retain: 1\r\n\r\non"),
        ("lamp.2", "NATS/1.0\r\nStatus: 404\r\n\r\n"),
    ] {
        nats.say(&format!("PUB mqtt.retained.{subject} answers 0\r\n"));
        assert_eq!(nats.message().1, answer, "{subject}");
    }
    nats.say("SUB found 2\r\nPUB $SRV.PING.natsmqtt found 0\r\n");
    assert!(nats.message().1.contains("\"name\":\"natsmqtt\""));
}

#[test]
fn what_is_said_while_nats_is_away_arrives_when_it_is_back() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let port = server.address().port().to_string();
    let (mut sensor, mut heater) =
        (gateway.client("sensor", Version::V311), gateway.client("heater", Version::V311));
    subscribe(&mut heater, "t/+", Qos::AtLeastOnce);
    server.shutdown().unwrap();
    sensor.say(ClientPacket::Pingreq);
    assert_eq!(sensor.next().as_deref(), Some("Pingresp"));
    // The gateway may not know yet that the server is gone, and then cannot be certain: the connection ends, and the client says it
    // again, as clients do.
    let payload = message("t/1", "17", Delivery::AtLeastOnce { packet_id: ONE, dup: false });
    sensor.say(payload);
    let server = natsd(&port);
    let answer = sensor.next();
    if answer.is_none() {
        sensor = gateway.client("sensor", Version::V311);
        sensor.say(payload);
        assert!(sensor.next().unwrap().starts_with("Puback"));
    }
    assert_eq!(heater.next().as_deref(), Some("Publish t/1=17"));
    drop(server);
}

#[test]
fn users_and_passwords() {
    let server = natsd("-1");
    let path = std::env::temp_dir().join(format!("natsmqtt-users-{}.conf", std::process::id()));
    let hash = "$2b$04$VvP1PXke4a0s0scKte18z.jiaqOEnUd0t7q.GZ5kWp6nNQHz/xopm";
    std::fs::write(&path, format!("users: [{{ user: hashed, password: \"{hash}\" }}]\n")).unwrap();
    let gateway = Gateway::start(&server, &["--config", path.to_str().unwrap(), "--user", "plain:pass"]);
    for (user, password, admitted) in [
        ("plain", "pass", true),
        ("plain", "pasS", false),
        ("hashed", "secret", true),
        ("hashed", "other", false),
        ("nobody", "pass", false),
    ] {
        let connect = Connect {
            username: Some(user),
            password: Some(password.as_bytes()),
            ..Client::hello("c", Version::V5)
        };
        let mut client = Client::connect(&gateway, &connect);
        let answer = client.next().unwrap();
        let reason = if admitted { "reason: Success" } else { "reason: BadUserNameOrPassword" };
        assert!(answer.contains(reason), "{user}: {answer}");
        assert!(admitted || client.next().is_none());
    }
    let mut client = Client::connect(&gateway, &Client::hello("c", Version::V311));
    assert!(client.next().unwrap().contains("NotAuthorized"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn its_rights_are_lent_to_nobody_else() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED its_rights_are_lent_to_nobody_else: only root can be somebody else");
        return;
    }
    let Some(_) = mosquitto("mosquitto_pub") else { return };
    let server = natsd("-1");
    for (flags, admitted) in [(&[][..], false), (&["--anonymous"], true)] {
        let gateway = Gateway::start(&server, flags);
        let publish = |uid| {
            let args = ["-p", &gateway.port(), "-t", "who", "-m", "x", "-q", "1"];
            Command::new("mosquitto_pub").args(args).uid(uid).gid(uid).output().unwrap()
        };
        let (ours, theirs) = (publish(0), publish(65534));
        assert!(ours.status.success());
        let said = String::from_utf8_lossy(&theirs.stderr).into_owned();
        assert_eq!(theirs.status.success(), admitted, "{said}");
        assert!(admitted || said.contains("not authorised"), "{said}");
    }
}

#[test]
fn who_is_silent_for_longer_than_promised_is_gone_and_its_will_is_said() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let mut listener = gateway.client("listener", Version::V5);
    subscribe(&mut listener, "wills/#", Qos::AtLeastOnce);
    let will = Will {
        topic: "wills/1",
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: List::EMPTY,
    };
    let connect = Connect { keep_alive: 1, will: Some(will), ..Client::hello("silent", Version::V5) };
    let mut silent = Client::connect(&gateway, &connect);
    assert!(silent.next().unwrap().starts_with("Connack"));
    assert!(silent.next().unwrap().contains("KeepAliveTimeout"));
    assert_eq!(silent.next(), None);
    assert_eq!(listener.next().as_deref(), Some("Publish wills/1=gone"));
}

#[test]
fn the_end_is_said_to_everybody() {
    let server = natsd("-1");
    let mut gateway = Gateway::start(&server, &[]);
    let mut client = gateway.client("c", Version::V5);
    gateway.signal("-TERM");
    assert!(client.next().unwrap().contains("ServerShuttingDown"));
    assert_eq!(client.next(), None);
    assert!(gateway.child.wait().unwrap().success());
}

/// The next event of a client, as what it is and its object.
fn event(nats: &mut Nats) -> (String, serde_json::Value) {
    let (line, body) = nats.message();
    let subject = line.split(' ').nth(1).unwrap().to_owned();
    (subject, serde_json::from_str(&body).unwrap())
}

#[test]
fn nats_hears_of_clients() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &["--user", "ann:secret"]);
    let mut nats = Nats::connect(&server);
    nats.say("SUB mqtt.client.> 1");
    nats.flush();
    let connect = Connect {
        username: Some("ann"),
        password: Some(b"secret"),
        keep_alive: 30,
        ..Client::hello("lamp", Version::V311)
    };
    let mut lamp = Client::connect(&gateway, &connect);
    assert!(lamp.next().unwrap().contains("reason: Success"));
    let (subject, client) = event(&mut nats);
    assert_eq!(subject, "mqtt.client.connected");
    assert_eq!((&client["client"], &client["user"]), (&"lamp".into(), &"ann".into()));
    assert_eq!((&client["protocol"], &client["keep_alive"]), (&"3.1.1".into(), &30.into()));
    assert_eq!(client["address"], lamp.socket().local_addr().unwrap().to_string());
    assert_eq!((&client["connected"], &client["clean"]), (&true.into(), &true.into()));

    // Who is refused was never connected.
    let mut stranger = Client::connect(&gateway, &Connect { password: Some(b"guess"), ..connect });
    assert!(stranger.next().unwrap().contains("BadUserNameOrPassword"));
    drop(stranger);
    let mut nobody = Nats::connect(&server);
    nobody.say("SUB answers 1\r\nPUB mqtt.clients answers 0\r\n");
    let listed: Vec<serde_json::Value> = serde_json::from_str(&nobody.message().1).unwrap();
    assert_eq!(listed, [client]);
    nobody.say("PUB mqtt.clients answers 2\r\n[]");
    assert_eq!(
        nobody.message().1,
        "NATS/1.0\r\nNats-Service-Error-Code: 400\r\nNats-Service-Error: expected an object\r\n\r\n"
    );

    let said = lamp.socket().try_clone().unwrap();
    said.shutdown(std::net::Shutdown::Both).unwrap();
    let (subject, client) = event(&mut nats);
    assert_eq!(subject, "mqtt.client.disconnected");
    assert_eq!((&client["connected"], &client["reason"]), (&false.into(), &"the connection was lost".into()));
}

#[test]
fn a_server_that_comes_back_hears_who_is_connected() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let port = server.address().port().to_string();
    let _lamp = gateway.client("lamp", Version::V5);
    // It sleeps until somebody listens.
    gateway.signal("-STOP");
    server.shutdown().unwrap();
    let server = natsd(&port);
    let mut nats = Nats::connect(&server);
    nats.say("SUB mqtt.client.connected 1");
    nats.flush();
    gateway.signal("-CONT");
    let (_, client) = event(&mut nats);
    assert_eq!((&client["client"], &client["again"]), (&"lamp".into(), &true.into()));
}

#[test]
fn no_method_of_authentication_is_known() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &["--user", "ann:secret"]);
    let method = [Property::AuthenticationMethod("SCRAM-SHA-1"), Property::AuthenticationData(b"n,,n=ann")];
    let hello = Connect { properties: List::of(&method), ..Client::hello("c", Version::V5) };
    let named = Connect { username: Some("ann"), password: Some(b"secret"), ..hello };
    for connect in [hello, named] {
        let mut client = Client::connect(&gateway, &connect);
        let answer = client.next().unwrap();
        assert!(answer.contains("reason: BadAuthenticationMethod"), "{answer}");
        assert!(answer.contains("there is no authentication beyond"), "{answer}");
        assert_eq!(client.next(), None);
    }
    // Who named none must not authenticate further [MQTT-4.12.0-6].
    let connect = Connect { properties: List::EMPTY, ..named };
    let mut client = Client::connect(&gateway, &connect);
    assert!(client.next().unwrap().contains("reason: Success"));
    let auth = lunix_proto::mqtt::Auth { reason: ReasonCode::Reauthenticate, properties: List::of(&method) };
    client.say(ClientPacket::Auth(auth));
    let answer = client.next().unwrap();
    assert!(answer.starts_with("Disconnect") && answer.contains("reason: ProtocolError"), "{answer}");
    assert_eq!(client.next(), None);
}

#[test]
fn the_kernel_asks_after_who_says_nothing() {
    let server = natsd("-1");
    let gateway = Gateway::start(&server, &[]);
    let client = gateway.client("silent", Version::V311);
    // Its half of the connection, by both ports; the field after the queues is the timer: 02 is keepalive's, and only while
    // its last words are not acknowledged it is another.
    let address = client.socket().local_addr().unwrap();
    let ports = (format!(":{}", gateway.hex_port()), format!(":{:04X}", address.port()));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let fields = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let mut ours = fields.filter(|line| line[1].ends_with(&ports.0) && line[2].ends_with(&ports.1));
        if ours.any(|line| line[5].starts_with("02:")) {
            break;
        }
        assert!(Instant::now() < deadline, "{ports:?}:\n{table}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
