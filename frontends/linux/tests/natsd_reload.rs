//! What a running natsd does at signals: new settings, a new log file, the end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;
mod natsd_rig;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use natsd_rig::{Server, python, wait_for};

#[test]
fn a_reload_says_what_changes_and_does_it() {
    let server = Server::start("max_payload: 10\nping_interval: 1h\n");
    let mut client = server.connect();
    server.reload(
        "max_payload: 2MB\nping_interval: 1h\nclient_advertise: nats.example:77\ndebug: true\n",
        "Reloaded server configuration",
    );
    assert_eq!(
        server.log_from("Reload: "),
        [
            "[INF] Reload: client_advertise: none -> nats.example:77",
            "[INF] Reload: debug: false -> true",
            "[INF] Reload: max_payload: 10 -> 2097152",
            "[INF] Reloaded server configuration",
        ]
    );
    let info = client.line();
    for part in [r#""max_payload":2097152"#, r#""host":"nats.example","port":77"#] {
        assert!(info.starts_with("INFO {") && info.contains(part), "{info}");
    }
    client.say("SUB a 1\nPUB a 11\n01234567890");
    assert_eq!([client.line(), client.line()], ["MSG a 1 11", "01234567890"]);
    server.open();
    server.wait_for_log("Client connection created");
    server.reload("", "Reloaded server configuration");
    assert!(client.line().contains(&format!(r#""host":"127.0.0.1","port":{}"#, server.port)));
    server.reload("", "Reload: no changes");
}

#[test]
fn a_reload_with_a_mistake_changes_nothing() {
    let server = Server::start("max_payload: 10\n");
    let mut client = server.connect();
    let path = server.folder.0.join("natsd.conf");
    server.reload("max_payload: 20\nping_max: many\nwrite_deadlin: 1s\n", "write_deadlin: unknown key");
    assert_eq!(
        server.log_from("Reload: "),
        [
            "[ERR] Reload: the configuration has mistakes; nothing has changed".to_owned(),
            format!(
                "[ERR] Reload: {}:2:11: ping_max: expected a whole number from 1 to 255, found 'many'",
                path.display()
            ),
            format!(
                "[ERR] Reload: {}:3:1: write_deadlin: unknown key, did you mean 'write_deadline'?",
                path.display()
            ),
        ]
    );
    server.reload("max_payload: 20\nserver_name: other\n", "server_name: none -> other");
    assert_eq!(
        server.log_from("needs"),
        [
            "[ERR] Reload: this needs a new start; nothing has changed",
            "[ERR] Reload: server_name: none -> other"
        ]
    );
    client.sync();
    client.say("PUB a 11\n01234567890");
    assert_eq!(client.line(), "-ERR 'Maximum Payload Violation'");
    assert!(server.open().info.contains(r#""max_payload":10,"#));
}

#[test]
fn a_reload_closes_who_is_too_many_and_pings_who_was_not_pinged() {
    let server = Server::start("");
    let mut clients = [server.connect(), server.connect(), server.connect()];
    server.reload("max_connections: 2\n", "Reloaded");
    assert_eq!(server.open().info, "-ERR 'maximum connections exceeded'");
    let [first, _, last] = &mut clients;
    assert_eq!([first.line(), first.line()], ["-ERR 'maximum connections exceeded'", ""]);
    server.reload("max_connections: 2, ping_interval: 100ms, ping_max: 1\n", "Reloaded");
    assert_eq!([last.line(), last.line(), last.line()], ["PING", "-ERR 'Stale Connection'", ""]);
    // As soon as they are gone, others may come.
    wait_for("a free place", || server.try_connect().filter(|client| client.info.starts_with("INFO")));
}

#[test]
fn a_reload_moves_the_log() {
    let server = Server::start("");
    let other = server.folder.0.join("other");
    // The command line wins, so it is the flag's file that stays.
    server.reload(&format!("log_file: '{}'\ntrace: true\n", other.display()), "Reloaded");
    assert!(!other.exists());
    server.open();
    let old = server.folder.0.join("log.1");
    fs::rename(server.folder.0.join("log"), &old).unwrap();
    server.kill("-USR1");
    server.wait_for_log("File log re-opened");
    assert!(fs::read_to_string(old).unwrap().contains("Server is ready"));
    assert!(!server.log().contains("Server is ready"));
}

#[test]
fn a_reload_drops_who_is_nobody_any_more() {
    let users = |names: &[&str]| {
        let user = |name: &&str| format!("{{ user: {name}, password: secret-{name} }}");
        let users: Vec<String> = names.iter().map(user).collect();
        format!("authorization {{ users: [{}] }}\n", users.join(", "))
    };
    let server = Server::start(&users(&["ann", "bob"]));
    let log_in = |name: &str| {
        let mut client = server.open();
        client.say(&format!(
            r#"CONNECT {{"verbose":false,"pedantic":false,"protocol":1,"user":"{name}","pass":"secret-{name}"}}"#
        ));
        client.say("PING");
        assert_eq!(client.line(), "PONG");
        assert!(client.line().starts_with("INFO {"));
        client
    };
    let [mut ann, mut bob] = ["ann", "bob"].map(log_in);
    server.reload("authorization { users: [{ user: bob }, }\n", "nothing has changed");
    ann.sync();
    server.reload(&users(&["bob", "eve"]), "Reloaded server configuration");
    assert!(server.log().contains("changed"), "{}", server.log());
    assert!(!server.log().contains("secret"), "{}", server.log());
    assert_eq!([ann.line(), ann.line()], ["-ERR 'Authorization Violation'", ""]);
    bob.sync();
    log_in("eve").sync();
}

#[test]
fn a_lame_duck_tells_its_clients_and_closes_them() {
    let mut server = Server::start("lame_duck_duration: 3s\nlame_duck_grace_period: 2500ms\n");
    let mut silent = server.open();
    let mut clients = [server.connect(), server.connect()];
    server.kill("-USR2");
    for client in &mut clients {
        let info = client.line();
        assert!(info.starts_with("INFO {") && info.contains(r#""ldm":true"#), "{info}");
    }
    assert!(server.try_connect().is_none());
    // Until its time has come, each is served as before.
    let [one, two] = &mut clients;
    one.say("SUB a 1");
    one.sync();
    two.say("PUB a 2\nhi");
    assert_eq!([one.line(), one.line()], ["MSG a 1 2", "hi"]);
    assert_eq!([silent.line(), one.line(), two.line()], ["", "", ""]);
    assert_eq!(server.end(), Some(0));
    assert_eq!(
        server.log_from("Entering"),
        [
            "[INF] Entering lame duck mode, stop accepting new clients",
            "[INF] Closing existing clients",
            "[INF] Server Exiting..",
        ]
    );
    assert!(!server.folder.0.join(format!("natsd_{}.ports", server.child.id())).exists());
}

#[test]
fn a_lame_duck_without_clients_is_gone() {
    let mut server = Server::start("");
    let mut client = server.connect();
    server.kill("-USR2");
    assert!(client.line().contains(r#""ldm":true"#));
    drop(client);
    assert_eq!(server.end(), Some(0));
    let mut server = Server::start("");
    server.kill("-USR2");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn nats_py_sees_the_lame_duck() {
    let Some(python) = python("nats_py_sees_the_lame_duck") else { return };
    let mut server = Server::start("lame_duck_duration: 300ms\nlame_duck_grace_period: 100ms\n");
    let script = r#"
import asyncio, sys, nats
async def main():
    closed = asyncio.Event()
    async def say(what):
        print(what, flush=True)
    async def lame_duck():
        await say("lame duck")
    async def wrong(error):
        pass
    async def disconnected():
        await say("disconnected")
        closed.set()
    await nats.connect(sys.argv[1], allow_reconnect=False, lame_duck_mode_cb=lame_duck,
        disconnected_cb=disconnected, error_cb=wrong)
    await say("connected")
    await closed.wait()
asyncio.run(main())
"#;
    let mut child = Command::new(python)
        .args(["-c", script, &format!("nats://127.0.0.1:{}", server.port)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("connected"));
    server.kill("-USR2");
    assert_eq!(lines.next().as_deref(), Some("lame duck"));
    assert_eq!(lines.next().as_deref(), Some("disconnected"));
    assert_eq!(server.end(), Some(0));
    let _ = child.wait();
}
