//! `$SYS`: who may see it sees what nats-server says, by the same subjects and with the same keys and types.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod natsd_peer;

use std::path::Path;
use std::time::Duration;

use natsd_peer::{Client, Message, Server, reference, same_shape, wait_for};
use serde_json::{Value, json};

const CONFIG: &str = "
server_name: one
accounts: {
  $SYS: { users: [{user: sys, password: sys}] }
  A: { users: [
    {user: a, password: a}
    {user: some, password: some, permissions: {
      publish: {allow: [\"x.>\", \"$SYS.REQ.USER.INFO\"], deny: x.y}, subscribe: [\"_INBOX.>\"] }}
  ] }
}";

/// A client that is `user`, with the password of the same name.
fn login(server: &Server, user: &str) -> Client {
    server.connect(&format!(r#""user":"{user}","pass":"{user}","name":"{user}'s","lang":"test""#))
}

fn id(server: &Server) -> String {
    server.json("/varz")["server_id"].as_str().unwrap().to_owned()
}

/// The servers to look at: ours, and nats-server where there is one.
fn servers() -> Vec<Server> {
    let other = reference().map(|path| Server::other(Path::new(&path), CONFIG));
    std::iter::once(Server::natsd(CONFIG)).chain(other).collect()
}

/// What each server says, compared.
fn compare(what: &str, values: &[Value]) {
    if let [ours, theirs] = values {
        same_shape(what, ours, theirs, &EXCEPT);
    }
}

/// Ours has no features to be switched, was built from no commit that others know, asks nobody for a round-trip time
/// without being asked, and imports nothing from the system's account.
const EXCEPT: [&str; 8] = [
    ".server.feature_flags",
    ".feature_flags",
    ".data.git_commit",
    ".data.feature_flags.",
    ".client.rtt",
    ".data.imports",
    ".data.exports",
    ".data.is_system",
];

/// The next message to one of `subjects`.
fn wait(client: &mut Client, subject: &str) -> Message {
    loop {
        let message = client.message();
        if message.subject == subject {
            return message;
        }
    }
}

#[test]
fn events_tell_who_comes_and_goes() {
    let mut said: [Vec<Value>; 4] = Default::default();
    for server in servers() {
        let mut system = login(&server, "sys");
        system.say("SUB $SYS.ACCOUNT.*.CONNECT 1\nSUB $SYS.ACCOUNT.*.DISCONNECT 2\nSUB $SYS.SERVER.> 3");
        system.sync();
        let mut client = login(&server, "a");
        let came = wait(&mut system, "$SYS.ACCOUNT.A.CONNECT").json();
        assert_eq!(came["type"], "io.nats.server.advisory.v1.client_connect");
        assert_eq!(came["server"]["name"], "one");
        let told = &came["client"];
        for (key, value) in
            [("acc", "A"), ("user", "a"), ("name", "a's"), ("lang", "test"), ("host", "127.0.0.1")]
        {
            assert_eq!(told[key], value, "{key}");
        }
        client.say("SUB x 1\nPUB x 5\nhello");
        client.message();
        drop(client);
        let went = wait(&mut system, "$SYS.ACCOUNT.A.DISCONNECT").json();
        assert_eq!(went["reason"], "Client Closed");
        assert_eq!((&went["sent"], &went["received"]["msgs"]), (&json!({"msgs": 1, "bytes": 5}), &1.into()));
        assert_eq!(went["client"]["id"], told["id"]);
        assert_ne!(went["id"], came["id"]);

        let mut wrong = server.open();
        wrong.say(r#"CONNECT {"user":"a","pass":"b","lang":"test","verbose":false}"#);
        while !wrong.line().is_empty() {}
        let refused = wait(&mut system, &format!("$SYS.SERVER.{}.CLIENT.AUTH.ERR", id(&server))).json();
        assert_eq!(refused["reason"], "Authentication Failure");

        system.say("SUB $SYS.SERVER.ACCOUNT.A.CONNS 4");
        system.sync();
        let _client = login(&server, "a");
        let count = wait(&mut system, "$SYS.SERVER.ACCOUNT.A.CONNS").json();
        assert_eq!((&count["acc"], &count["conns"]), (&"A".into(), &1.into()));
        for (list, value) in said.iter_mut().zip([came, went, refused, count]) {
            list.push(value);
        }
    }
    for (what, values) in ["connect", "disconnect", "refused", "connections"].iter().zip(&said) {
        compare(what, values);
    }
}

#[test]
fn the_system_asks_and_is_told() {
    let servers = servers();
    let mut clients: Vec<(Client, Client)> =
        servers.iter().map(|server| (login(server, "sys"), login(server, "a"))).collect();
    clients.iter_mut().for_each(|(_, client)| {
        client.say("SUB x.* q 1\nSUB y 2\nPUB y 2\nhi");
        client.message();
        client.sync();
    });
    let mut ask = |what: &str, payload: &str| -> Vec<Value> {
        let each = servers.iter().zip(&mut clients).map(|(server, (system, _))| {
            let id = server.json("/varz")["server_id"].as_str().unwrap().to_owned();
            system.request(&format!("$SYS.REQ.{}", what.replace("ME", &id)), payload).json()
        });
        let answers: Vec<Value> = each.collect();
        compare(&format!("{what} {payload}"), &answers);
        answers
    };
    for what in [
        "IDZ", "STATSZ", "HEALTHZ", "VARZ", "CONNZ", "SUBSZ", "LEAFZ", "ROUTEZ", "GATEWAYZ", "ACCOUNTZ",
        "JSZ",
    ] {
        ask(&format!("SERVER.ME.{what}"), "");
        ask(&format!("SERVER.PING.{what}"), "{\"server_name\":\"on\"}");
    }
    ask("SERVER.PING", "");
    for what in ["CONNZ", "SUBSZ", "INFO", "CONNS", "STATZ", "LEAFZ"] {
        ask(&format!("ACCOUNT.A.{what}"), "");
    }
    ask("ACCOUNT.PING.STATZ", "");
    for answer in ask("SERVER.PING.CONNZ", r#"{"acc":"A","auth":true,"subscriptions_detail":true}"#) {
        let connection = &answer["data"]["connections"][0];
        assert_eq!((&connection["authorized_user"], &connection["account"]), (&"a".into(), &"A".into()));
        assert_eq!(connection["subscriptions_list_detail"].as_array().unwrap().len(), 2);
    }
    for answer in ask("SERVER.PING.SUBSZ", r#"{"subscriptions":true,"account":"A","test":"x.y"}"#) {
        assert_eq!(
            (&answer["data"]["total"], &answer["data"]["subscriptions_list"][0]["qgroup"]),
            (&1.into(), &"q".into())
        );
    }
    for answer in ask("ACCOUNT.A.STATZ", "") {
        assert_eq!(answer["data"]["account_statz"][0]["received"]["bytes"], 2);
    }
    for (what, payload, code) in [
        ("SERVER.PING.CONNZ", "{bad", 400),
        ("SERVER.PING.CONNZ", r#"{"limit":"x"}"#, 400),
        ("SERVER.PING.CONNZ", "[]", 400),
        ("SERVER.ME.KICK", r#"{"cid":999}"#, 500),
        ("SERVER.ME.LDM", r#"{"cid":999}"#, 500),
    ] {
        for answer in ask(what, payload) {
            assert_eq!(answer["error"]["code"], code, "{what} {payload}");
        }
    }
    // What is wrong with options, both word in the same way; nats-server adds an empty `data`.
    let each = clients
        .iter_mut()
        .map(|(system, _)| system.request("$SYS.REQ.SERVER.PING.CONNZ", r#"{"sort":"bad"}"#).json());
    each.for_each(|answer| {
        assert_eq!(answer["error"], json!({"code": 500, "description": "invalid sorting option: bad"}));
    });
}

#[test]
fn the_system_gives_orders() {
    for server in servers() {
        let id = id(&server);
        let mut system = login(&server, "sys");
        let mut client = server.connect(r#""user":"a","pass":"a","protocol":1"#);
        client.sync();
        let listed = system.request("$SYS.REQ.ACCOUNT.A.CONNZ", "").json();
        let cid = &listed["data"]["connections"][0]["cid"];
        let done =
            system.request(&format!("$SYS.REQ.SERVER.{id}.LDM"), &json!({ "cid": cid }).to_string()).json();
        assert_eq!(done.get("error"), None);
        let line = wait_for(|| Some(client.line()).filter(|line| line.contains("\"ldm\":true")));
        assert!(line.starts_with("INFO {"));
        let kick = format!("$SYS.REQ.SERVER.{id}.KICK");
        assert_eq!(system.request(&kick, &json!({ "cid": cid }).to_string()).json().get("error"), None);
        while !client.line().is_empty() {}
        assert_eq!(system.request(&format!("$SYS.REQ.SERVER.{id}.RELOAD"), "").json().get("error"), None);
        assert_eq!(server.json("/connz?state=closed&sort=stop")["connections"][0]["reason"], "Kicked");
    }
}

#[test]
fn others_are_told_about_themselves_only() {
    let mut infos = Vec::new();
    for server in servers() {
        let id = id(&server);
        let mut client = login(&server, "a");
        let me = client.request("$SYS.REQ.USER.INFO", "").json();
        assert_eq!((&me["data"]["user"], &me["data"]["account"]), (&"a".into(), &"A".into()));
        let _system = login(&server, "sys");
        for subject in ["$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ"] {
            let told = client.request(subject, r#"{"acc":"$SYS"}"#).json();
            assert_eq!(told["data"]["total"], 1, "{subject}");
            assert_eq!(told["data"]["connections"][0]["name"], "a's");
        }
        let told = client.request("$SYS.REQ.ACCOUNT.PING.STATZ", "").json();
        assert_eq!(told["data"]["account_statz"].as_array().unwrap().len(), 1);
        // There is nobody who would answer anything else, and nothing is heard.
        let mut asker = server.connect(r#""user":"a","pass":"a","no_responders":true"#);
        for subject in [
            "$SYS.REQ.SERVER.PING".to_owned(),
            format!("$SYS.REQ.SERVER.{id}.VARZ"),
            format!("$SYS.REQ.SERVER.{id}.KICK"),
            "$SYS.REQ.ACCOUNT.A.INFO".to_owned(),
        ] {
            asker.say(&format!("SUB r.no 1\nPUB {subject} r.no 0\n"));
            let status = wait_for(|| Some(asker.line()).filter(|line| line.starts_with("NATS/1.0")));
            assert_eq!(status, "NATS/1.0 503", "{subject}");
        }
        client.say("SUB $SYS.> all");
        client.sync();
        drop(login(&server, "a"));
        drop(login(&server, "sys"));
        client.say("PUB $SYS.mark 0\n");
        assert_eq!(client.message().subject, "$SYS.mark");
        let mut some = login(&server, "some");
        let mut info = some.request("$SYS.REQ.USER.INFO", "").json();
        // nats-server lists them in no steady order.
        for list in ["/data/permissions/publish/allow", "/data/permissions/subscribe/allow"] {
            info.pointer_mut(list).and_then(Value::as_array_mut).unwrap().sort_by_key(Value::to_string);
        }
        infos.push(info);
    }
    compare("a user with permissions", &infos);
    assert_eq!(infos[0]["data"]["permissions"]["publish"]["deny"], json!(["x.y"]));
    for info in &infos {
        assert_eq!(info["data"]["permissions"], infos[0]["data"]["permissions"]);
    }
}

#[test]
fn statistics_are_said_while_somebody_listens_and_the_end_is_said() {
    let mut ends = Vec::new();
    for mut server in servers() {
        let id = id(&server);
        let mut system = login(&server, "sys");
        system.say(&format!("SUB $SYS.SERVER.*.STATSZ 1\nSUB $SYS.SERVER.{id}.SHUTDOWN 2"));
        for _ in 0..2 {
            let statistics = wait(&mut system, &format!("$SYS.SERVER.{id}.STATSZ")).json();
            assert_eq!(statistics["statsz"]["connections"], 1);
        }
        let pid = server.child.id().to_string();
        assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
        let end = wait(&mut system, &format!("$SYS.SERVER.{id}.SHUTDOWN")).json();
        assert_eq!(end["id"], id.as_str());
        ends.push(end);
        server.child.wait().unwrap();
    }
    compare("the end", &ends);
}

#[test]
fn a_message_is_followed_to_whom_it_goes() {
    let mut told = Vec::new();
    for server in servers() {
        let (mut one, mut two) = (login(&server, "a"), login(&server, "a"));
        one.say("SUB foo.* 1\nSUB foo.> crew 2\nSUB traces 3");
        one.sync();
        for only in ["", "Nats-Trace-Only: true\n"] {
            let header =
                format!("NATS/1.0\nNats-Trace-Dest: traces\n{only}A: 1\nA: 2\n\n").replace('\n', "\r\n");
            let (len, body) = (header.len(), header.replace("\r\n", "\n"));
            two.say(&format!("HPUB foo.bar {len} {}\n{body}hi", len + 2));
            let mut got = Vec::new();
            let trace = loop {
                let message = one.message();
                if message.subject == "traces" {
                    break message.json();
                }
                got.push(message.payload);
            };
            assert_eq!(got, if only.is_empty() { &["hi", "hi"][..] } else { &[] });
            assert_eq!(trace["request"]["msgsize"], len + 2);
            assert_eq!(trace["request"]["header"]["A"], json!(["1", "2"]));
            let mut events = trace["events"].as_array().unwrap().clone();
            assert_eq!((&events[0]["type"], &events[0]["subj"]), (&json!("in"), &json!("foo.bar")));
            assert_eq!((&events[0]["acc"], &events[0]["name"]), (&json!("A"), &json!("a's")));
            let mut ways: Vec<_> = events.drain(1..).map(|event| event["sub"].to_string()).collect();
            ways.sort();
            assert_eq!(ways, ["\"foo.*\"", "\"foo.>\""]);
            told.push(trace);
        }
    }
    compare("a trace", &[told[0].clone(), told.get(2).cloned().unwrap_or_else(|| told[0].clone())]);
}

#[test]
fn lame_duck_mode_is_said() {
    let server = Server::natsd(&format!("{CONFIG}\nlame_duck_duration: 2s, lame_duck_grace_period: 1s"));
    let id = id(&server);
    let mut system = login(&server, "sys");
    system.say("SUB $SYS.SERVER.> 1");
    system.sync();
    let pid = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-USR2", &pid]).status().unwrap().success());
    assert_eq!(wait(&mut system, &format!("$SYS.SERVER.{id}.LAMEDUCK")).json()["id"], id.as_str());
}

#[test]
fn nothing_wakes_it_where_nobody_listens() {
    // Who looks for the next message for a while sleeps as soundly afterwards.
    let server = Server::natsd(&format!("{CONFIG}\nbusy_poll: 1ms"));
    let mut system = login(&server, "sys");
    system.say("SUB $SYS.ACCOUNT.> 1");
    system.sync();
    let _client = login(&server, "a");
    wait(&mut system, "$SYS.ACCOUNT.A.CONNECT");
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    // It has gone to sleep for good once the number stays; that it stays is what is looked at.
    let mut before = switches();
    wait_for(|| {
        // The time to say who one is ends after two seconds, also for those who have said it.
        std::thread::sleep(Duration::from_secs(3));
        let now = switches();
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
    std::thread::sleep(Duration::from_secs(11));
    assert_eq!(switches(), before);
}
