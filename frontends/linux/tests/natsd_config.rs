//! natsd's configuration as its operator writes it: mistakes, meanings, and the same files read by nats-server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;
mod natsd_rig;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use natsd_rig::{Folder, LUNIX, Server, natsd};

#[test]
fn all_mistakes_are_said_at_once() {
    let folder = Folder::new();
    folder.file("sub.conf", "write_deadline: soon\n");
    let text = "\
listen: nowhere
ping_interval: lots
include 'sub.conf'
  ping_max: 0
gateway { name: x }
cluster { port: -1 }
lame_duck_duration: 1s
lame_duck_grace_period: 2s
jetstream: enabled
max_pending: 8KB
server_tags: [a, [b]]
prot: 1
unset: $LUNIX_NO_SUCH_VARIABLE
";
    let path = folder.file("c.conf", text);
    let (code, said) = natsd(&["-t", "-c", path.to_str().unwrap()]);
    let said = said.replace(&format!("{}/", folder.0.display()), "");
    assert_eq!(code, 2);
    assert_eq!(
        said,
        "\
c.conf:1:9: listen: expected HOST:PORT or PORT, found 'nowhere'
c.conf:2:16: ping_interval: expected a duration from 10ms to 86400s, such as 30s, found 'lots'
c.conf:4:13: ping_max: expected a whole number from 1 to 255, found '0'
c.conf:5:9: gateway: natsd has no gateways; it joins a cluster as a leaf node
c.conf:6:17: port: natsd has no clusters; it joins one as a leaf node
c.conf:7:21: lame_duck_duration: expected at least lame_duck_grace_period (2s), found '1s'
c.conf:9:12: jetstream: natsd has no JetStream; as a leaf node it reaches that of a cluster
c.conf:10:14: max_pending: expected at least max_payload (1048576), found '8KB'
c.conf:11:18: server_tags: expected text, found a list
c.conf:12:1: prot: unknown key, did you mean 'port'?
c.conf:13:1: unset: unknown key
c.conf:13:8: $LUNIX_NO_SUCH_VARIABLE: expected a variable that is set before, or in the environment
sub.conf:1:17: write_deadline: expected a duration from 10ms to 3600s, such as 30s, found 'soon'
"
    );
}

#[test]
fn what_suites_and_shared_files_have_is_taken() {
    let folder = Folder::new();
    let text = r#"
{
    "host": "127.0.0.1", "port": -1, "server_name": "a",
    "jetstream": false,
    "cluster": { "name": "c" },
    "server_tags": ["One", "two"],
    "websocket": { "port": -1, "no_tls": true },
    "connect_error_reports": 1, "reconnect_error_reports": 1,
    "disable_sublist_cache": true, "prof_port": -1, "max_traced_msg_len": 100,
}
"#;
    let path = folder.file("c.json", text);
    assert_eq!(
        natsd(&["-t", "-c", path.to_str().unwrap()]),
        (0, "natsd: the configuration is good\n".to_owned())
    );
    for text in
        ["jetstream {}", "jetstream: disabled", "jetstream { enabled: false, max_mem: 1G }", "cluster {}"]
    {
        let path = folder.file("c.conf", text);
        let (code, said) = natsd(&["-t", "-c", path.to_str().unwrap()]);
        assert_eq!(code, 0, "{text}: {said}");
    }
    // A variable's name may be a setting's, as in a configuration of nats-server's own tests.
    let shared = "authorization { PASS: word, users: [{ user: a, password: $PASS }] }
        leafnodes { remotes: [{ url: [\"leafnode://a:1\", \"leaf://b\"] }, { url: c }] }";
    let path = folder.file("shared.conf", shared);
    assert_eq!(natsd(&["-t", "-c", path.to_str().unwrap()]).0, 0);
    let path = folder.file("alone.conf", "authorization { PASS: word }");
    let (code, said) = natsd(&["-t", "-c", path.to_str().unwrap()]);
    assert!(code == 2 && said.contains("PASS: expected a user for this password"), "{said}");
    let server = Server::start("websocket { port: -1 }\nclient_advertise: '[fd00::1]:99'\nserver_name: me\n");
    assert!(server.log().contains("websocket: natsd has no WebSocket listener; natsws is one"));
    let info = server.open().info;
    assert!(info.contains(r#""server_name":"me""#), "{info}");
    assert!(info.contains(r#""host":"fd00::1","port":99"#), "{info}");
}

#[test]
fn the_command_line_wins() {
    let server = Server::start_with(
        "server_name: file\nclient_advertise: file\nlogtime: true\n",
        &["-client_advertise=flag", "--server_name", "flag", "-T=false"],
    );
    let info = server.open().info;
    assert!(info.contains(r#""server_name":"flag""#) && info.contains(r#""host":"flag""#), "{info}");
    server.wait_for_log("] [INF] Server is ready");
    assert!(server.log().contains(&format!("[{}] [INF] Server is ready\n", server.child.id())));
}

#[test]
fn addresses_of_every_kind_are_listened_on() {
    for (host, first) in [("0.0.0.0", "nats://127.0.0.1:"), ("localhost", "nats://127.0.0.1:")] {
        let server = Server::start_with("", &["-a", host]);
        let ports = server.folder.0.join(format!("natsd_{}.ports", server.child.id()));
        let text = fs::read_to_string(ports).unwrap();
        assert!(text.starts_with(&format!("{{\"nats\":[\"{first}{}\"", server.port)), "{text}");
        let info = server.open().info;
        assert!(info.contains(&format!(r#""host":"{host}","port":{}"#, server.port)), "{info}");
    }
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("SKIPPED addresses_of_every_kind_are_listened_on: no IPv6");
    }
    let server = Server::start_with("", &["-a", "::"]);
    server.open();
    std::net::TcpStream::connect(("::1", server.port)).unwrap();
    server.wait_for_log(&format!("Listening for client connections on [::]:{}", server.port));
}

/// Runs inside a namespace of processes of its own, where nobody else's server is found.
#[test]
fn a_signal_finds_the_only_server() {
    let inside = |script: &str| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "sh", "-c", script])
            .env("LUNIX", LUNIX)
            .stderr(Stdio::piped())
            .output()
            .unwrap()
    };
    if !inside("true").status.success() {
        return eprintln!(
            "SKIPPED a_signal_finds_the_only_server: no user and process namespace (unshare -Urpf)"
        );
    }
    let folder = Folder::new();
    let dir = folder.0.display();
    let start = |name: &str| {
        format!(
            "$LUNIX natsd -p -1 --socket none --ports_file_dir {dir} -l {dir}/{name} & {name}=$!; \
            until grep -qs ready {dir}/{name}; do sleep 0.01; done; "
        )
    };
    let output = inside("$LUNIX natsd --signal reload");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "natsd: no natsd processes running\n");
    let output = inside(&format!("{} $LUNIX natsd -sl ldm && wait $one", start("one")));
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read_to_string(folder.0.join("one")).unwrap().contains("Entering lame duck mode"));
    let both = format!(
        "{} {} $LUNIX natsd -sl ldm; code=$?; kill $two $three; exit $code",
        start("two"),
        start("three")
    );
    let output = inside(&both);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("natsd: multiple natsd processes running: "), "{said}");
}

/// Whether nats-server 2.15.1 and natsd take a file, and why if they do not agree.
const TABLE: &[(&str, bool, bool)] = &[
    // The forms of pairs.
    ("port: 4222", true, true),
    ("port = 4222", true, true),
    ("port 4222", true, true),
    ("port=4222;debug:true", true, true),
    ("port=4222,debug true,", true, true),
    ("port\n\n4222", true, true),
    ("port\n: 4222", true, true),
    ("port:\n4222", false, false),
    ("port: 4222 debug: true", false, false),
    ("port", false, false),
    ("port:", false, false),
    (": 4222", false, false),
    ("PORT: 4222, Server_Name: x", true, true),
    ("'port': 4222, \"server_name\" = x", true, true),
    ("port: 1, port: 2", true, true),
    ("unknown: 1", false, false),
    // Comments.
    ("# x\nport: 4222 # y\n// z\nserver_name: a // b", true, true),
    ("server_name: a#b", true, true),
    ("server_name: \"a\"#b", true, true),
    ("server_name: #b", true, true),
    ("port: 4222 / b", false, false),
    // Text.
    ("server_name: 'a\"b'", true, true),
    (r#"server_name: "a\"b\x41\t\\""#, true, true),
    (r#"server_name: "a\q""#, false, false),
    (r#"server_name: "a\x4""#, false, false),
    (r"server_name: a\x20b", false, false),
    ("server_name: \"a\nb\"", true, true),
    ("server_name: \"a", false, false),
    ("server_name: 'a", false, false),
    ("server_name: (\na\n)\n", true, true),
    ("server_name: (a)\n", false, false),
    ("server_name: a b", false, false),
    ("server_name: a{b[c", true, true),
    ("server_name: it's", false, false),
    ("server_name: 2016-05-04T18:53:41Z", false, true), // A date is no text to nats-server; here all is text.
    ("server_name: 12345", false, true),                // The same for numbers,
    ("server_name: true", false, true),                 // and for truth.
    ("server_name: 'a b'", false, false),
    ("client_advertise: a.b:1", true, true),
    // Numbers and units.
    ("max_payload: 64k", true, true),
    ("max_payload: 64KB", true, true),
    ("max_payload: 1MiB", true, true),
    ("max_payload: 64xb", false, false),
    ("max_payload: '64KB'", false, true), // In quotes it is text to nats-server; here quotes change nothing.
    ("max_payload: 1e3", false, false),
    ("max_payload: 10g", false, false),
    ("port: -1", true, true),
    ("port: 4222.5", false, false),
    ("max_connections: -1, max_subscriptions: 0", true, true),
    ("ping_interval: '1m30s'", true, true),
    ("ping_interval: 1m30s", true, true),
    ("ping_interval: 120", false, true), // Bare seconds are deprecated there, which -t takes for a mistake.
    ("ping_interval: 1 day", false, false),
    ("ping_interval: \"1x\"", false, false),
    ("write_deadline: \"5s\"", true, true),
    ("lame_duck_duration: '45s', lame_duck_grace_period: '5s'", true, true),
    ("lame_duck_duration: '1s', lame_duck_grace_period: '0s'", false, true), // Shorter ones are useful in tests.
    // Not seen by -t, only by a start.
    ("lame_duck_duration: '30s', lame_duck_grace_period: '50s'", true, false),
    ("debug: on, trace: off, logtime: yes", true, true),
    ("debug: TRUE", true, true),
    ("debug: maybe", false, false),
    ("debug: 1", false, false),
    // Lists.
    ("server_tags: [a, b]", true, true),
    ("server_tags: [a,b,]", true, true),
    ("server_tags: [a\nb # c\n 'd'\n]", true, true),
    ("server_tags: [a b]", false, false),
    ("server_tags: [a,,b]", false, false),
    ("server_tags: [a", false, false),
    ("server_tags: a", true, true),
    ("server_tags: []", true, true),
    // Blocks.
    ("cluster {}", true, true),
    ("cluster {\n}\n", true, true),
    ("cluster: {name: x}", true, true),
    ("cluster {name: x", false, false),
    ("cluster {name: x no_advertise: true}", false, false),
    ("cluster {name: x, name: y;\n}", true, true),
    ("cluster{}", false, true),    // A key ends where a block begins.
    ("port: 4222 }", true, false), // What was never opened cannot be closed.
    ("port: 4222\n}", true, false),
    // JSON.
    ("{\"port\": 4222, \"server_name\": \"x\"}", true, true),
    ("{\n  \"port\": 4222,\n  \"debug\": true\n}\n", true, true),
    ("{\"server_tags\": [\"a\", \"b\"]}", true, true),
    // Variables.
    ("p: 4222\nport: $p", true, true),
    ("p: abc\nserver_name: $p, p: def", false, false),
    ("port: $p\np: 4222", false, false),
    ("port: $LUNIX_TEST_PORT", true, true),
    ("port: $LUNIX_TEST_NONE", false, false),
    ("server_name: '$p'", true, true),
    ("server_name: $2a$11$abc", true, true),
    ("t: [a, b]\nserver_tags: $t", true, true),
    ("p: 4222\nx { p: 1 }\nport: $p", false, false),
    ("port: $LUNIX_TEST_LOOP", false, false),
    ("server_tags: $LUNIX_TEST_LIST", false, true), // Lists of the environment are of no use there.
    // Files.
    ("include good.conf", true, true),
    ("include 'good.conf'\nport: 1", true, true),
    ("INCLUDE \"good.conf\"", true, true),
    ("include none.conf", false, false),
    ("include bad.conf", false, false),
    ("cluster {\n include name.conf\n}", true, true),
    ("include vars.conf\nport: $included", true, true),
    ("included: 1\ninclude uses.conf", false, false),
    // What there is of nats-server's.
    ("connect_error_reports: 1, reconnect_error_reports: 2, disable_sublist_cache: true", true, true),
    ("no_header_support: true", true, true),
    ("max_control_line: 1KB, max_pending: 2MB, max_payload: 1MB", true, true),
    ("max_payload: 8MB, max_pending: 1MB", true, false), // Not seen by -t.
    ("listen: '127.0.0.1:4222'", true, true),
    ("listen: 127.0.0.1:4222", true, true),
    ("listen: 4222", true, true),
    ("listen: '[::1]:4222'", true, true),
    ("listen: a:b", false, false),
    ("net: localhost", true, true),
    ("log_file: x, logfile_size_limit: 1MB, logtime_utc: true", true, true),
    ("pid_file: x, ports_file_dir: y", true, true),
    ("prof_port: 0", true, true),
    ("jetstream: false", true, true),
    ("jetstream: disabled", true, true),
    ("jetstream: true", true, false), // There is none.
    ("gateway { name: x, port: -1 }", true, false),
    ("mqtt { port: -1 }\nserver_name: x\njetstream {}", true, false),
];

#[test]
fn the_same_files_are_good_and_bad_to_nats_server() {
    let folder = Folder::new();
    folder.file("good.conf", "server_name: included\n");
    folder.file("bad.conf", "server_name: [\n");
    folder.file("name.conf", "name: x");
    folder.file("vars.conf", "included: 4222\n");
    folder.file("uses.conf", "port: $included\n");
    let check = |program: &str, first: &[&str], path: &Path| {
        let output = Command::new(program)
            .args(first)
            .args(["-t", "-c"])
            .arg(path)
            .env("LUNIX_TEST_PORT", "4222")
            .env("LUNIX_TEST_LOOP", "$LUNIX_TEST_LOOP")
            .env("LUNIX_TEST_LIST", "[a, b]")
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    };
    let reference = std::env::var("NATS_SERVER").ok();
    if reference.is_none() {
        eprintln!("SKIPPED the_same_files_are_good_and_bad_to_nats_server: only natsd, no $NATS_SERVER");
    }
    let mut wrong = String::new();
    for (text, theirs, ours) in TABLE {
        let path = folder.file("c.conf", text);
        let found = check(LUNIX, &["natsd"], &path);
        if found.0 != *ours {
            wrong += &format!("natsd {text:?}: {}", found.1);
        }
        if let Some(reference) = &reference {
            let found = check(reference, &[], &path);
            if found.0 != *theirs {
                wrong += &format!("nats-server {text:?}: {}", found.1);
            }
        }
    }
    assert_eq!(wrong, "");
}
