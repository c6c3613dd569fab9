//! Bridges of natsmqtt to mosquitto and to each other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic anywhere")]

#[path = "mqtt_rig/brokers.rs"]
mod brokers;
mod mqtt_rig;

use std::io::Read as _;
use std::process::{Command, Stdio};

use brokers::{Folder, Line, Listener, Program, free_port, listener, mosquitto, natsmqtt, payload, publish};
use lunix::natsd::Server;
use mqtt_rig::{Nats, natsd};

const VERSIONS: [&str; 2] = ["5", "3.1.1"];

#[test]
fn both_ways_with_other_names_and_no_echo() {
    let folder = Folder::new("both");
    let Some((broker, port)) = mosquitto(&folder, "") else { return };
    let server = natsd("-1");
    for version in VERSIONS {
        let path = folder.file(
            "natsmqtt.conf",
            &format!(
                "bridges: [ {{ name: cloud, address: 'mqtt://127.0.0.1:{port}', version: {version}, client_id: 'c{version}'\n\
                 clean_session: true, topics: [\n\
                 {{ pattern: '#', local: 'home/', remote: 'site/1/', direction: both, qos: 2 }}\n\
                 {{ local: 'a/+/b/#', remote: 'x/+/#', direction: both, qos: 1 }} ] }} ]\n"
            ),
        );
        let mut nats = listener(&server, "home.>");
        nats.say("SUB a.> 2\r\nSUB mqtt.bridge.*.connected 3");
        nats.flush();
        let (_gateway, _) = natsmqtt(&server, &path);
        let (line, body) = nats.message();
        assert!(line.starts_with("MSG mqtt.bridge.cloud.connected"), "{line}");
        assert_eq!(body, format!("{{\"name\":\"cloud\",\"address\":\"mqtt://127.0.0.1:{port}\"}}"));
        // Until the broker has the subscriptions.
        broker.says(&format!("Sending SUBACK to c{version}"));
        let there = Listener::start(port, &broker, "#", &[]);

        publish(port, "site/1/lamp", "on", &["-q", "2"]);
        assert_eq!(there.next(), "site/1/lamp=on q2 r0");
        let (line, body) = nats.message();
        assert!(line.starts_with("HMSG home.lamp 1 "), "{line}");
        let header = format!("NATS/1.0\r\nNmqtt-Pub: 2\r\nNmqtt-Path: 127.0.0.1:{port}\r\n\r\non");
        assert_eq!(body, header);
        publish(port, "x/7/deep/er", "1", &["-q", "2"]);
        assert_eq!(there.next(), "x/7/deep/er=1 q2 r0");
        assert!(nats.message().0.starts_with("HMSG a.7.b.deep.er 2 "));

        nats.say("PUB home.temp 2\r\n17");
        assert!(nats.message().0.starts_with("MSG home.temp "));
        assert_eq!(there.next(), "site/1/temp=17 q2 r0");
        nats.say("HPUB a.k.b 29 30\r\nNATS/1.0\r\nNmqtt-Retain: 1\r\n\r\n2");
        assert!(nats.message().0.starts_with("HMSG a.k.b "));
        assert_eq!(there.next(), "x/k=2 q1 r0");
        // Nothing came back: this is what is next.
        publish(port, "site/1/last", "!", &[]);
        assert_eq!(there.next(), "site/1/last=! q0 r0");
        assert!(nats.message().0.starts_with("HMSG home.last "), "an echo");
        // It is retained there.
        let late = Listener::start(port, &broker, "x/k", &[]);
        assert_eq!(late.next(), "x/k=2 q1 r1");
        publish(port, "x/k", "", &["-r", "-q", "1"]);
    }
}

/// Numbers up to `count`, each once and in order; with `again` some of them may come again.
fn expect_numbers(count: usize, again: bool, mut next: impl FnMut() -> String) {
    let mut expected = 0;
    while expected < count {
        let number: usize = next().parse().unwrap();
        if number == expected {
            expected += 1;
        } else {
            assert!(again && number < expected, "{number} instead of {expected}");
        }
    }
}

#[test]
fn a_broker_that_is_killed_misses_nothing() {
    let folder = Folder::new("killed");
    let persistent = format!("persistence true\npersistence_location {}/\n", folder.0.display());
    let Some((mut broker, port)) = mosquitto(&folder, &persistent) else { return };
    let line = Line::new(&[]);
    line.lead_to(port);
    for version in VERSIONS {
        let server = natsd("-1");
        let path = folder.file(
            "natsmqtt.conf",
            &format!(
                "bridges: [ {{ name: cloud, address: '127.0.0.1:{}', version: {version}, client_id: 'k{version}'\n\
                 restart_timeout: 1s, topics: [ {{ pattern: 'out/+', direction: out, qos: 2 }}\n\
                 {{ pattern: 'in/+', direction: in, qos: 2 }} ] }} ]\n",
                line.port
            ),
        );
        let mut nats = listener(&server, "in.>");
        let mut events = listener(&server, "mqtt.bridge.>");
        let (_gateway, _) = natsmqtt(&server, &path);
        assert!(events.message().0.contains(".connected"));
        broker.says(&format!("Sending SUBACK to k{version}"));
        // It keeps what comes for it, and its session, on the disk when it ends well.
        let there = Listener::start(line.port, &broker, "out/+", &["-c", "-V", "mqttv311"]);
        for number in 0..50 {
            nats.say(&format!("PUB out.x {}\r\n{number}", number.to_string().len()));
        }
        nats.flush();
        broker.signal("-TERM");
        let (subject, body) = events.message();
        assert!(subject.contains("mqtt.bridge.cloud.disconnected"), "{subject}");
        assert!(body.contains("\"reason\":\""), "{body}");
        for number in 50..100 {
            nats.say(&format!("PUB out.x {}\r\n{number}", number.to_string().len()));
        }
        nats.flush();
        let Some((again, port)) = mosquitto(&folder, &persistent) else { return };
        broker = again;
        line.lead_to(port);
        assert!(events.message().0.contains(".connected"));
        expect_numbers(100, false, || {
            let line = there.next();
            line.split('=').nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned()
        });
        drop(there);

        for number in 0..20 {
            publish(line.port, "in/1", &number.to_string(), &["-q", "2"]);
        }
        expect_numbers(20, false, || payload(&nats.message().1).to_owned());
    }
}

#[test]
fn over_a_line_that_breaks_each_comes_once() {
    let folder = Folder::new("frail");
    let Some((broker, port)) = mosquitto(&folder, "") else { return };
    for version in VERSIONS {
        let server = natsd("-1");
        let line = Line::new(&[500, 400, 600, 700]);
        line.lead_to(port);
        let path = folder.file(
            "natsmqtt.conf",
            &format!(
                "bridges: [ {{ name: cloud, address: '127.0.0.1:{}', version: {version}, client_id: 'f{version}', restart_timeout: 1s\n\
                 topics: [ {{ pattern: 'out/+', direction: out, qos: 2 }}, {{ pattern: 'in/+', direction: in, qos: 2 }} ] }} ]\n",
                line.port
            ),
        );
        let mut nats = listener(&server, "in.>");
        let (gateway, _) = natsmqtt(&server, &path);
        broker.says(&format!("Sending SUBACK to f{version}"));
        let there = Listener::start(port, &broker, "out/+", &[]);
        for number in 0..100 {
            nats.say(&format!("PUB out.1 {}\r\n{number}", number.to_string().len()));
        }
        for number in 0..30 {
            publish(port, "in/1", &number.to_string(), &["-q", "2"]);
        }
        expect_numbers(100, false, || {
            let line = there.next();
            line.split('=').nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned()
        });
        expect_numbers(30, false, || payload(&nats.message().1).to_owned());
        // Four times it has broken.
        (0..5).for_each(|_| _ = gateway.says("bridge cloud: connected"));
    }
}

#[test]
fn nats_that_is_killed_misses_nothing_of_qos_1() {
    let folder = Folder::new("nats");
    let Some((broker, port)) = mosquitto(&folder, "") else { return };
    let server = natsd("-1");
    let nats_port = server.address().port().to_string();
    let path = folder.file(
        "natsmqtt.conf",
        &format!(
            "bridges: [ {{ name: cloud, address: '127.0.0.1:{port}', client_id: n, topics: [ {{ pattern: 'in/+', direction: in, qos: 1 }} ] }} ]\n"
        ),
    );
    let mut nats = listener(&server, "in.>");
    let (gateway, _) = natsmqtt(&server, &path);
    broker.says("Sending SUBACK to n");
    publish(port, "in/1", "there", &["-q", "1"]);
    assert_eq!(payload(&nats.message().1), "there");
    server.shutdown().unwrap();
    let pid = gateway.child.id().to_string();
    for number in 0..10 {
        publish(port, "in/1", &number.to_string(), &["-q", "1"]);
    }
    drop(nats);
    // It sleeps until somebody listens.
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, pid.as_str()]).status().unwrap().success());
    signal("-STOP");
    let server = natsd(&nats_port);
    let mut nats = listener(&server, "in.>");
    signal("-CONT");
    expect_numbers(10, true, || payload(&nats.message().1).to_owned());
    drop(server);
}

#[test]
fn what_is_retained_comes_and_goes() {
    let folder = Folder::new("retained");
    let Some((broker, port)) = mosquitto(&folder, "") else { return };
    for version in VERSIONS {
        let server = natsd("-1");
        publish(port, "in/lamp", "on", &["-r", "-q", "1"]);
        let path = folder.file(
            "natsmqtt.conf",
            &format!(
                "bridges: [ {{ name: cloud, address: '127.0.0.1:{port}', version: {version}, client_id: 'r{version}', clean_session: true\n\
                 topics: [ {{ pattern: 'in/#', direction: in, qos: 1 }}, {{ pattern: 'out/#', qos: 1 }} ] }} ]\n"
            ),
        );
        let mut nats = listener(&server, "in.>");
        let (gateway, local) = natsmqtt(&server, &path);
        let (line, body) = nats.message();
        assert!(line.starts_with("HMSG in.lamp ") && body.contains("Nmqtt-Retain: 1"), "{line} {body}");
        // The gateway has heard it, too, before it is asked.
        nats.say("SUB kept 3\r\nPUB mqtt.retained.in.lamp kept 0\r\n");
        assert_eq!(payload(&nats.message().1), "on");
        // Devices here get it, too.
        let kept = Command::new("mosquitto_sub")
            .args(["-p", &local.to_string(), "-t", "in/+", "-C", "1", "-W", "30", "-F", "%t=%p r%r"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&kept.stdout), "in/lamp=on r1\n");

        publish(local, "out/lamp", version, &["-r", "-q", "1"]);
        let there = Listener::start(port, &broker, "out/lamp", &[]);
        // It is there already, or comes now.
        let line = there.next();
        assert!(line.starts_with(&format!("out/lamp={version} q1")), "{line}");
        nats.say("SUB found 2\r\nPUB mqtt.bridge.list found 0\r\n");
        let (_, list) = nats.message();
        assert!(list.contains("\"name\":\"cloud\",\"connected\":true"), "{list}");
        drop(gateway);
        publish(port, "out/lamp", "", &["-r", "-q", "1"]);
    }
}

/// An authority, a certificate that it has signed for 127.0.0.1, and one for a client.
fn certificates(folder: &Folder) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    let authority = params.self_signed(&key).unwrap();
    folder.file("ca.pem", &authority.pem());
    let issuer = Issuer::new(params, key);
    for (name, names) in [("server", vec!["127.0.0.1".to_owned()]), ("client", vec!["me".to_owned()])] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        folder.file(&format!("{name}.pem"), &params.signed_by(&key, &issuer).unwrap().pem());
        folder.file(&format!("{name}.key"), &key.serialize_pem());
    }
}

#[cfg(feature = "tls")]
#[test]
fn certificates_of_both_sides() {
    let folder = Folder::new("tls");
    certificates(&folder);
    let at = folder.0.display();
    let keys = format!(
        "cafile {at}/ca.pem\ncertfile {at}/server.pem\nkeyfile {at}/server.key\nrequire_certificate true\nuse_identity_as_username true\n"
    );
    let Some((broker, port)) = mosquitto(&folder, &keys) else { return };
    let server = natsd("-1");
    let config = |tls: &str| {
        let text = format!(
            "bridges: [ {{ name: cloud, address: 'mqtts://127.0.0.1:{port}', client_id: t, restart_timeout: 1s, tls {{ {tls} }}\n\
             topics: [ {{ pattern: 'a', direction: both, qos: 1 }} ] }} ]\n"
        );
        folder.file("natsmqtt.conf", &text)
    };
    let (gateway, _) = natsmqtt(&server, &config(&format!("ca_file: '{at}/ca.pem'")));
    gateway.says("bridge cloud: mqtts://127.0.0.1");
    drop(gateway);
    let shown = format!("ca_file: '{at}/ca.pem', cert_file: '{at}/client.pem', key_file: '{at}/client.key'");
    let (gateway, _) = natsmqtt(&server, &config(&shown));
    gateway.says("bridge cloud: connected to mqtts://127.0.0.1");
    broker.says("Sending SUBACK to t");
    let mut nats = listener(&server, "a");
    let told = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "a", "-m", "1", "-q", "1"])
        .arg("--cafile")
        .arg(folder.0.join("ca.pem"))
        .arg("--cert")
        .arg(folder.0.join("client.pem"))
        .arg("--key")
        .arg(folder.0.join("client.key"))
        .status()
        .unwrap();
    assert!(told.success());
    assert_eq!(payload(&nats.message().1), "1");
}

/// natsmqtts of which each is a bridge to the next one, in a ring.
fn ring(folder: &Folder, size: usize) -> (Vec<Server>, Vec<Program>) {
    let servers: Vec<Server> = (0..size).map(|_| natsd("-1")).collect();
    let lines: Vec<Line> = (0..size).map(|_| Line::new(&[])).collect();
    let programs: Vec<Program> = (0..size)
        .map(|at| {
            let text = format!(
                "bridges: [ {{ name: next, client_id: 'from-{at}', address: '127.0.0.1:{}', restart_timeout: 1s\n\
                 topics: [ {{ pattern: '#', direction: both, qos: 1 }} ] }} ]\n",
                lines[(at + 1) % size].port
            );
            let (program, port) = natsmqtt(&servers[at], &folder.file(&format!("ring-{at}.conf"), &text));
            lines[at].lead_to(port);
            program
        })
        .collect();
    for program in &programs {
        program.says("bridge next: connected");
    }
    (servers, programs)
}

#[test]
fn in_a_ring_one_message_stays_one_message() {
    for size in [2, 3] {
        let folder = Folder::new(&format!("ring{size}"));
        let (servers, _programs) = ring(&folder, size);
        let mut clients: Vec<Nats> = servers.iter().map(|server| listener(server, "ring.>")).collect();
        for (from, client) in clients.iter_mut().enumerate() {
            for (number, payload) in ["1", "2", "2", "3"].iter().enumerate() {
                client.say(&format!("PUB ring.{from}.{number} 1\r\n{payload}"));
            }
        }
        // Everywhere each comes once: four of each site, in order.
        for (at, client) in clients.iter_mut().enumerate() {
            let mut came = vec![Vec::new(); size];
            for _ in 0..4 * size {
                let (line, body) = client.message();
                let subject = line.split(' ').nth(1).unwrap().to_owned();
                let from: usize = subject.split('.').nth(1).unwrap().parse().unwrap();
                came[from].push(format!("{}={}", subject.rsplit('.').next().unwrap(), payload(&body)));
            }
            for of_one in came {
                assert_eq!(of_one, ["0=1", "1=2", "2=2", "3=3"], "at {at} of {size}");
            }
        }
        // The same, twice from the same site, are two.
        clients[0].say("PUB ring.0.same 1\r\nx\r\nPUB ring.0.same 1\r\nx\r\nPUB ring.0.last 1\r\nx");
        for client in &mut clients {
            let subjects: Vec<String> =
                (0..3).map(|_| client.message().0.split(' ').nth(1).unwrap().to_owned()).collect();
            assert_eq!(subjects, ["ring.0.same", "ring.0.same", "ring.0.last"], "of {size}");
        }
        // What goes round would have come by now, or comes before this.
        for (at, server) in servers.iter().enumerate() {
            let mut nats = Nats::connect(server);
            nats.say(&format!("PUB ring.end.{at} 1\r\nx"));
            nats.flush();
        }
        for client in &mut clients {
            let mut ends: Vec<String> =
                (0..size).map(|_| client.message().0.split(' ').nth(1).unwrap().to_owned()).collect();
            ends.sort();
            let expected: Vec<String> = (0..size).map(|at| format!("ring.end.{at}")).collect();
            assert_eq!(ends, expected);
        }
    }
}

#[test]
fn mosquittos_own_bridge_is_not_echoed() {
    let folder = Folder::new("theirs");
    let server = natsd("-1");
    let empty = folder.file("natsmqtt.conf", "");
    let (_gateway, local) = natsmqtt(&server, &empty);
    for version in ["mqttv311", "mqttv50"] {
        let keys = format!(
            "connection b{version}\naddress 127.0.0.1:{local}\nbridge_protocol_version {version}\ntopic # both 1\nnotifications false\n"
        );
        let Some((broker, port)) = mosquitto(&folder, &keys) else { return };
        broker.says("Received SUBACK");
        let mut nats = listener(&server, "t");
        let there = Listener::start(port, &broker, "t", &[]);
        publish(port, "t", "1", &["-q", "1"]);
        assert_eq!((payload(&nats.message().1), there.next().as_str()), ("1", "t=1 q1 r0"));
        nats.say("PUB t 1\r\n2");
        assert_eq!(payload(&nats.message().1), "2");
        assert_eq!(there.next(), "t=2 q1 r0", "an echo");
        publish(port, "t", "3", &["-q", "1"]);
        assert_eq!(payload(&nats.message().1), "3", "an echo");
    }
}

#[test]
fn bridges_of_both_brokers_do_not_go_round() {
    let folder = Folder::new("round");
    let server = natsd("-1");
    let line = Line::new(&[]);
    let text = format!(
        "bridges: [ {{ name: m, client_id: ours, address: '127.0.0.1:{}', restart_timeout: 1s\n\
         topics: [ {{ pattern: 't/+', direction: both, qos: 1 }} ] }} ]\n",
        line.port
    );
    let mut nats = listener(&server, "t.>");
    let (gateway, local) = natsmqtt(&server, &folder.file("natsmqtt.conf", &text));
    let keys = format!(
        "connection theirs\naddress 127.0.0.1:{local}\nbridge_protocol_version mqttv50\ntopic t/+ both 1\nnotifications false\n"
    );
    let Some((broker, port)) = mosquitto(&folder, &keys) else { return };
    broker.says("Received SUBACK");
    line.lead_to(port);
    gateway.says("bridge m: connected");
    broker.says("Sending SUBACK to ours");
    // A broker that is no natsmqtt brings back what came to it by its own bridge, once.
    for number in 0..20 {
        nats.say(&format!("PUB t.x {}\r\n{number}", number.to_string().len()));
    }
    let mut came = vec![0; 20];
    while came.iter().any(|count| *count < 2) {
        let number: usize = payload(&nats.message().1).parse().unwrap();
        came[number] += 1;
    }
    assert_eq!(came, [2; 20]);
}

#[test]
fn the_end_is_said_to_the_broker() {
    let folder = Folder::new("end");
    let Some((broker, port)) = mosquitto(&folder, "") else { return };
    let server = natsd("-1");
    let path = folder.file(
        "natsmqtt.conf",
        &format!(
            "bridges: [ {{ name: cloud, addresses: ['127.0.0.1:{}', '127.0.0.1:{port}'], client_id: e, notification_topic: 'bridges/e'\n\
             topics: [ {{ pattern: 'a' }} ] }} ]\n",
            free_port()
        ),
    );
    let (mut gateway, _) = natsmqtt(&server, &path);
    gateway.says("bridge cloud: connected");
    let there = Listener::start(port, &broker, "bridges/e", &[]);
    // It is there already, or comes now.
    assert!(there.next().starts_with("bridges/e=1 q0 "));
    gateway.signal("-TERM");
    assert_eq!(there.next(), "bridges/e=0 q0 r0");
    broker.says("Received DISCONNECT from e");
}

#[test]
fn bad_rules_are_refused_at_start() {
    let folder = Folder::new("bad");
    let path = folder.file(
        "natsmqtt.conf",
        "bridges: [\n{ name: a, address: 'x', topics: [ { local: 'a/+', remote: 'b/#' } ] }\n{ name: b, topics: [ { pattern: 'a', qos: 7 } ] }\n]\n",
    );
    let checked = Command::new(env!("CARGO_BIN_EXE_lunix-bridge"))
        .args(["natsmqtt", "--check-config", "--config"])
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut checked = checked;
    checked.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(checked.wait().unwrap().code(), Some(2), "{said}");
    assert!(said.contains("natsmqtt.conf:2:") && said.contains("expected the same wildcards"), "{said}");
    assert!(said.contains("natsmqtt.conf:3:") && said.contains("qos: expected a whole number"), "{said}");
}
