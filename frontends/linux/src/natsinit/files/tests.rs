use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use lunix_core::supervise::{Kind, Readiness, Restart, Signal};

use super::super::definition::{Activation, Address, Notification, Program, Resource};
use super::super::process::PROFILES;
use super::*;

fn loaded(files: &[(&str, &str)]) -> Loaded {
    let (services, mistakes) = folder::of_texts(files);
    graph::check(services, mistakes, &World::default())
}

fn lines(loaded: &Loaded) -> Vec<String> {
    loaded.mistakes.iter().map(ToString::to_string).collect()
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.definitions.iter().map(|definition| definition.name.as_str()).collect()
}

#[track_caller]
fn one(text: &str) -> Definition {
    let mut loaded = loaded(&[("x.toml", text)]);
    assert_eq!(lines(&loaded), [""; 0]);
    loaded.definitions.remove(0)
}

/// The lines about `text` without the name of the file.
#[track_caller]
fn wrong(text: &str) -> Vec<String> {
    let loaded = loaded(&[("x.toml", text)]);
    assert!(loaded.definitions.is_empty());
    lines(&loaded).iter().map(|line| line.strip_prefix("x.toml:").unwrap_or(line).to_owned()).collect()
}

#[test]
fn the_least_file() {
    let it = one("command = ['true']");
    assert_eq!(it.program, Program::Words(vec!["true".into()]));
    assert!(it.enabled);
    assert_eq!(it.policy.restart, Restart::Always);
    assert_eq!(it.policy.readiness, Readiness::Start);
    assert_eq!(it.readiness, Notification::Start);
    assert_eq!(it.activation, Activation::None);
    assert_eq!(it.policy.start_timeout, Some(Duration::from_secs(10)));
    assert_eq!(it.limits, Default::default());
    assert_eq!(it.sandbox, Default::default());
}

#[test]
fn everything_that_a_file_can_say() {
    let text = include_str!("../../../../../docs/services.md");
    let example = text.split("```toml").find(|part| part.contains("# everything")).unwrap();
    let example = example.split("```").next().unwrap();
    let files = [("x.toml", example), ("natsd.toml", "command = ['natsd']"), ("b.toml", "command = ['b']")];
    let all = loaded(&files);
    assert_eq!(lines(&all), [""; 0]);
    let it = all.definitions.iter().find(|it| it.name == "x").unwrap();
    assert_eq!(it.description, "weather for the whole house");
    assert_eq!(it.relations.needs, ["natsd"]);
    assert_eq!(it.relations.wants, ["clock"]);
    assert_eq!(it.relations.conflicts, ["b"]);
    assert_eq!(it.readiness, Notification::Descriptor(4));
    assert_eq!(it.policy.readiness, Readiness::Notify);
    assert_eq!(it.policy.start_timeout, Some(Duration::from_secs(20)));
    assert_eq!(it.policy.restart, Restart::OnFailure);
    assert_eq!(it.policy.backoff.base, Duration::from_millis(200));
    assert_eq!(it.policy.backoff.cap, Duration::from_secs(60));
    assert_eq!(it.policy.backoff.limit, Some(5));
    assert_eq!(it.policy.backoff.stable, Duration::from_secs(30));
    assert_eq!(it.policy.kill_timeout, Duration::from_secs(3));
    assert_eq!(it.policy.stop.span(), Duration::from_secs(7));
    assert_eq!(it.policy.watchdog, Some(Duration::from_secs(30)));
    assert_eq!(it.policy.reload, Some(Signal(1)));
    assert_eq!((it.policy.kind, it.policy.stage), (Kind::Longrun, 5));
    assert_eq!(it.identity.user.as_deref(), Some("nobody"));
    assert_eq!(it.identity.groups, ["audio", "100"]);
    assert_eq!(it.identity.capabilities, Some(vec![10, 12]));
    assert!(it.identity.no_new_privileges);
    assert_eq!(it.surroundings.environment["PORT"], "8080");
    assert_eq!(it.surroundings.umask, Some(0o027));
    assert_eq!(it.limits.memory, Some(64 << 20));
    assert_eq!(it.limits.cpu_percent, Some(50));
    assert_eq!(
        it.limits.resources,
        [(Resource::Core, Some(0)), (Resource::OpenFiles, Some(1024)), (Resource::Processes, None)]
    );
    assert_eq!(it.sandbox.read_only_except.as_deref(), Some(&[PathBuf::from("/var/lib/weather")][..]));
    assert_eq!(it.sandbox.landlock.as_ref().unwrap().write, [PathBuf::from("/var/lib/weather")]);
    assert_eq!(it.output.ring, 64 << 10);
    assert_eq!(it.output.file_size, 10 << 20);
}

#[test]
fn the_other_examples_of_the_document_are_right() {
    let text = include_str!("../../../../../docs/services.md");
    let services = text.split("```toml service\n").skip(1).map(|part| part.split("```").next().unwrap());
    let mut count = 0;
    for example in services {
        let files = [("x.toml", example), ("natsd.toml", "command = ['natsd']")];
        assert_eq!(lines(&loaded(&files)), [""; 0], "{example}");
        count += 1;
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn readiness_in_all_ways() {
    let ready = |text: &str| one(&format!("command = ['x']\n[ready]\n{text}")).readiness;
    assert_eq!(ready("by = 'start'"), Notification::Start);
    assert_eq!(ready("by = 'fd'"), Notification::Descriptor(3));
    assert_eq!(ready("fd = 5"), Notification::Descriptor(5));
    assert_eq!(ready("by = 'sd_notify'"), Notification::Socket);
    assert_eq!(ready("subject = 'a.b'"), Notification::Publish("a.b".into()));
    let web = Address::Tcp(([127, 0, 0, 1], 80).into());
    assert_eq!(ready("address = 'tcp:127.0.0.1:80'"), Notification::Listens(vec![web.clone()]));
    let both = ready("address = ['tcp:127.0.0.1:80', 'unix:/run/x']");
    assert_eq!(both, Notification::Listens(vec![web, Address::Unix("/run/x".into())]));
}

#[test]
fn activation_in_all_ways() {
    let activation = |text: &str| one(&format!("command = ['x']\n[activation]\n{text}")).activation;
    let web = Address::Tcp(([0, 0, 0, 0], 80).into());
    let sockets =
        Activation::Sockets(vec![("http".into(), web.clone()), ("admin".into(), Address::Unix("/a".into()))]);
    assert_eq!(activation("sockets = { http = 'tcp:0.0.0.0:80', admin = 'unix:/a' }"), sockets);
    assert_eq!(activation("sockets = ['tcp:0.0.0.0:80']"), Activation::Sockets(vec![("x".into(), web)]));
    let minute = Duration::from_secs(60);
    let timer = Activation::Timer { first: minute, every: Some(minute) };
    assert_eq!(activation("timer = { every = '1m' }"), timer);
    assert_eq!(activation("timer.first = '1m'"), Activation::Timer { first: minute, every: None });
    let device = Activation::Device {
        class: "usb".into(),
        matches: [("vendor_id".to_owned(), "1d6b".to_owned())].into(),
    };
    assert_eq!(activation("device = { class = 'usb', matches = { vendor_id = '1d6b' } }"), device);
    assert_eq!(activation("subject = 'door.*'"), Activation::Message("door.*".into()));
}

#[test]
fn our_own_programs_are_in_this_binary() {
    assert_eq!(
        one("command = ['natsinit', '--session']").program,
        Program::Applet(vec!["natsinit".into(), "--session".into()])
    );
    #[cfg(feature = "commands")]
    assert_eq!(
        one("command = ['lunix', 'toast', 'hello']").program,
        Program::Command(vec!["toast".into(), "hello".into()])
    );
    // procps has one of that name.
    assert_eq!(one("command = ['watch', 'x']").program, Program::Words(vec!["watch".into(), "x".into()]));
}

#[test]
fn every_mistake_of_a_file_at_once() {
    let text = "comand = ['x']\nenabled = 'yes'\nneeds = 'a'\nstage = 10\nstage = 3\n\
                [ready]\nby = 'magic'\n[restart]\nwhen = 'sometimes'\nlimit = 0\n\
                [limits]\nmemory = '64X'\nnice = 20\n[stop]\nsignals = ['TRM 5s']\n\
                [limits]\n[sandbox]\nlandlock = { raed = ['x'] }\n";
    assert_eq!(
        wrong(text),
        [
            "1:1: comand: unknown key, did you mean 'command'?",
            "1:1: command: expected a program and its arguments, found nothing",
            "2:11: enabled: expected true or false, found \"yes\"",
            "3:9: needs: expected a list, such as [\"natsd\"], found \"a\"",
            "4:9: stage: expected a whole number from 0 to 9, found 10",
            "5:1: stage: this key is there already",
            "7:6: by: expected \"start\", \"fd\", \"sd_notify\", \"publish\" or \"listen\", found \"magic\"",
            "9:8: when: expected \"always\", \"on-failure\" or \"never\", found \"sometimes\"",
            "10:9: limit: expected a whole number from 1 to 65535, or \"unlimited\", found 0",
            "12:10: memory: expected a size from 4096 bytes, such as 64M, or \"unlimited\", found \"64X\"",
            "13:8: nice: expected a whole number from -20 to 19, found 20",
            "15:12: signals: expected a signal and how long to wait, such as \"TERM 5s\", found \"TRM 5s\"",
            "16:2: limits: this table is there already",
            "18:14: raed: unknown key, did you mean 'read'?",
        ]
    );
}

#[test]
fn profiles_are_those_that_there_are() {
    let said = |name: &str| format!("command = ['x']\n[sandbox]\nseccomp = '{name}'");
    for (name, _) in PROFILES {
        assert_eq!(one(&said(name)).sandbox.seccomp.as_deref(), Some(*name));
    }
    assert_eq!(wrong(&said("strct")), ["3:11: seccomp: there is no profile 'strct', did you mean 'strict'?"]);
    assert_eq!(
        wrong(&said("web")),
        ["3:11: seccomp: expected one of \"service\", \"network-client\", \"strict\", found \"web\""]
    );
}

#[test]
fn what_contradicts_itself() {
    let wrong = |text: &str| wrong(&format!("command = ['x']\n{text}"));
    assert_eq!(wrong("[ready]\nby = 'start'\nfd = 3"), ["4:6: fd: has no meaning with by = \"start\""]);
    assert_eq!(
        wrong("[ready]\nby = 'publish'"),
        ["2:1: ready: by: expected subject = \"my.subject\" beside it, found nothing"]
    );
    assert_eq!(
        wrong("[activation]\nsubject = 'a'\ntimer = { every = '1s' }"),
        ["2:1: activation: expected one of sockets, timer, device and subject, found several"]
    );
    assert_eq!(
        wrong("[reload]\nsignal = 'HUP'\ncommand = ['x']"),
        ["2:1: reload: expected a signal or a command, found both"]
    );
    assert_eq!(
        wrong("[stop]\ncommand = ['x']"),
        ["3:11: command: only a oneshot has one: a longrun is stopped by signals"]
    );
    assert_eq!(wrong("restart = { base = '5s', cap = '1s' }"), ["2:32: cap: expected no less than base"]);
    assert_eq!(wrong("log = { file_size = '1M' }"), ["2:21: file_size: has no meaning without file"]);
}

#[test]
fn syntax_does_not_hide_other_mistakes() {
    let lines = wrong("command = [\"x\"\nenabled = 3\n[limits\nnice = 'a'\nneeds = [1]\n= 5\n");
    assert!(lines.len() >= 2, "{lines:#?}");
    let lines = wrong("description = \"no end\ncommand = ['x']\nenabled = 3");
    assert!(lines.iter().any(|line| line.starts_with("1:")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("3:11: enabled")), "{lines:#?}");
}

#[test]
fn drop_ins_are_laid_over_in_order() {
    let files = [
        (
            "a.toml",
            "command = ['x']\nneeds = ['b']\n[limits]\nmemory = '1M'\npids = 5\n[environment]\nA = '1'",
        ),
        ("a.toml.d/10.toml", "needs = []\n[limits]\nmemory = '2M'\n[environment]\nB = '2'"),
        ("a.toml.d/20.toml", "[limits]\nmemory = '3M'\n[environment]\nB = '3'"),
        ("b.toml", "command = ['x']"),
    ];
    let it = loaded(&files);
    assert_eq!(lines(&it), [""; 0]);
    let a = &it.definitions[0];
    assert_eq!(a.relations.needs, [""; 0]);
    assert_eq!((a.limits.memory, a.limits.pids), (Some(3 << 20), Some(5)));
    assert_eq!(a.surroundings.environment["A"], "1");
    assert_eq!(a.surroundings.environment["B"], "3");
    let files = [("a.toml", "command = ['x']"), ("a.toml.d/z.toml", "\n  enabeld = true")];
    assert_eq!(
        lines(&loaded(&files)),
        ["a.toml.d/z.toml:2:3: enabeld: unknown key, did you mean 'enabled'?"]
    );
}

#[test]
fn what_needs_a_broken_service_is_left_out_and_said() {
    let files = [
        ("a.toml", "command = ['x']\nneeds = ['b']"),
        ("b.toml", "command = ['x']\nneeds = ['c']"),
        ("c.toml", "command = 'x'"),
        ("d.toml", "command = ['x']\nwants = ['c', 'nobody']\nafter = ['c', 'ghost']"),
        ("e.toml", "command = ['x']\nneeds = ['dd']\nconflicts = ['zzzzzz']"),
    ];
    let it = loaded(&files);
    assert_eq!(names(&it), ["d"]);
    let out: Vec<_> = it.left_out.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    let mistake = graph::MISTAKE;
    assert_eq!(out, ["a: it needs b", "b: it needs c", &format!("c: {mistake}"), &format!("e: {mistake}")]);
    assert_eq!(
        lines(&it),
        [
            "c.toml:1:11: command: expected a list, such as [\"program\", \"argument\"], found \"x\"",
            "e.toml:2:10: needs: there is no service 'dd', did you mean 'd'?",
            "e.toml:3:14: conflicts: there is no service 'zzzzzz'",
        ]
    );
}

#[test]
fn rings_are_printed() {
    let files = [
        ("a.toml", "command = ['x']\nneeds = ['b']"),
        ("b.toml", "command = ['x']\n\nafter = ['c']"),
        ("c.toml", "wants = ['a', 'd']\ncommand = ['x']"),
        ("d.toml", "command = ['x']"),
        ("e.toml", "command = ['x']\nneeds = ['a']"),
        ("self.toml", "command = ['x']\nneeds = ['self']"),
    ];
    let it = loaded(&files);
    assert_eq!(names(&it), ["d"]);
    assert_eq!(
        lines(&it),
        [
            "a.toml:2:10: needs: a ring, in which each waits for the next: \
             a needs b (a.toml:2), b is after c (b.toml:3), c wants a (c.toml:1)",
            "self.toml:2:10: needs: a ring, in which each waits for the next: self needs self (self.toml:2)",
        ]
    );
}

#[test]
fn rings_among_many_services_are_found_fast() {
    let mut files: Vec<(String, String)> = (0..1024)
        .map(|at| {
            let needs: Vec<String> = (at + 1..(at + 20).min(1024)).map(|on| format!("'s{on}'")).collect();
            (format!("s{at}.toml"), format!("command = ['x']\nneeds = [{}]", needs.join(",")))
        })
        .collect();
    let start = std::time::Instant::now();
    let borrowed: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let it = loaded(&borrowed);
    assert_eq!((it.definitions.len(), it.mistakes.len()), (1024, 0));
    println!("1024 services with 19 needs each: {:?}", start.elapsed());
    files[1023].1 = "command = ['x']\nneeds = ['s0']".into();
    let borrowed: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let it = loaded(&borrowed);
    assert_eq!(it.mistakes.len(), 1);
    assert!(it.definitions.len() > 900 || it.left_out.iter().any(|(_, why)| why.starts_with("it needs")));
    println!("with a ring: {:?}", start.elapsed());
}

#[test]
fn needs_that_conflict() {
    let files = [
        ("a.toml", "command = ['x']\nconflicts = ['b']"),
        ("b.toml", "command = ['x']"),
        ("c.toml", "command = ['x']\nneeds = ['a', 'b']"),
        ("d.toml", "command = ['x']\nneeds = ['a']\nconflicts = ['a']"),
    ];
    let it = loaded(&files);
    assert_eq!(names(&it), ["a", "b"]);
    assert_eq!(
        lines(&it),
        [
            "a.toml:2:14: conflicts: 'c' needs both this and 'b' (a.toml:2)",
            "d.toml:3:14: conflicts: it needs 'a'",
        ]
    );
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("lunix-files-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_folder_of_all_kinds_of_files() {
    let folder = scratch("kinds");
    let file = |name: &str, text: &[u8]| fs::write(folder.join(name), text).unwrap();
    file("good.toml", b"command = ['/bin/sh']");
    file("gone.toml", b"command = ['/nonexistent/program']");
    file("path.toml", b"command = ['no-such-program-anywhere']\n[environment]\nPATH='/bin'");
    file("mode.toml", format!("command = ['{}']", folder.join("good.toml").display()).as_bytes());
    file("user.toml", b"command = ['/bin/sh']\nuser = 'no-such-user'\ngroup = 'nogrp'\ngroups = ['root', 0]");
    file("bytes.toml", b"command = ['x']\n\xff");
    file("big.toml", &vec![b'#'; 70_000]);
    file("bad name.toml", b"");
    file("README", b"no service");
    file("good.toml~", b"no service");
    file(".hidden.toml", b"no service");
    fs::create_dir(folder.join("folder.toml")).unwrap();
    fs::create_dir(folder.join("alone.toml.d")).unwrap();
    fs::create_dir(folder.join("good.toml.d")).unwrap();
    fs::write(folder.join("good.toml.d/1.toml"), "description = 'over'").unwrap();
    fs::write(folder.join("good.toml.d/notes.txt"), "nothing").unwrap();
    // To open a pipe without a writer would wait for ever.
    let fifo = folder.join("fifo.toml");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::os::unix::fs::symlink("/nowhere", folder.join("link.toml")).unwrap();
    fs::set_permissions(folder.join("good.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let it = load(&folder, &[]);
    assert_eq!(names(&it), ["good"]);
    assert_eq!(it.definitions[0].description, "over");
    let lines = lines(&it).join("\n").replace(&format!("{}/", folder.display()), "");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(
        lines,
        "alone.toml.d: there is no alone.toml beside it\n\
         bad name.toml: expected NAME.toml, NAME of at most 32 letters, digits, '-' and '_'\n\
         big.toml: expected at most 65536 bytes\n\
         bytes.toml: expected UTF-8 text, found other bytes in line 2\n\
         fifo.toml: expected a file\n\
         folder.toml: expected a file\n\
         gone.toml:1:11: command: \"/nonexistent/program\": No such file or directory (os error 2)\n\
         link.toml: No such file or directory (os error 2)\n\
         mode.toml:1:11: command: \"good.toml\": is not executable\n\
         path.toml:1:11: command: \"no-such-program-anywhere\": no such program along the PATH /bin\n\
         user.toml:2:8: user: there is no user 'no-such-user'\n\
         user.toml:3:9: group: there is no group 'nogrp'"
    );
}

#[test]
fn services_without_a_file_can_be_needed() {
    let world = World::here(&["natsd".into()]);
    let file = |on: &str| format!("command = [\"natsdev\"]\nneeds = [\"{on}\"]\n");
    let (services, mistakes) = folder::of_texts(&[("a.toml", &file("natsd")), ("b.toml", &file("natds"))]);
    let it = graph::check(services, mistakes, &world);
    assert_eq!(names(&it), ["a"]);
    assert_eq!(lines(&it), ["b.toml:2:10: needs: there is no service 'natds', did you mean 'natsd'?"]);
}

#[test]
fn a_folder_that_is_not_there_has_no_services() {
    let it = load(Path::new("/nonexistent/services"), &[]);
    assert!(it.definitions.is_empty() && it.mistakes.is_empty());
}

#[test]
fn more_services_than_there_may_be() {
    let folder = scratch("many");
    for at in 0..1030 {
        fs::write(folder.join(format!("s{at:04}.toml")), "command = ['natsinit']").unwrap();
    }
    let start = std::time::Instant::now();
    let it = load(&folder, &[]);
    println!("1024 files: {:?}", start.elapsed());
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(it.definitions.len(), 1024);
    assert!(lines(&it)[0].ends_with("there may be 1024 services"));
}

#[test]
fn what_a_reload_would_change() {
    let files = |text: &'static str| {
        vec![("a.toml", text), ("same.toml", "command = ['y']"), ("z.toml", "command = ['z']")]
    };
    let before = "command = ['x']\n[limits]\nmemory = '1M'\n[restart]\nlimit = 3";
    let old = loaded(&files(before)).definitions;
    let to = |text: &'static str| diff(&old, &loaded(&files(text)).definitions);
    assert!(to(before).is_empty());
    assert_eq!(to(before).to_string(), "no service changes");
    let live = to("command = ['x']\ndescription = 'new'\n[limits]\nmemory = '2M'\n[restart]\nlimit = 4");
    assert_eq!(live.to_string(), "~ a: goes on as it runs; other description, restart, limits");
    assert!(!live.changed[0].restart);
    let restart = to("command = ['x', 'y']\n[limits]\nmemory = '1M'\nnice = 5\n[restart]\nlimit = 3");
    assert_eq!(restart.to_string(), "~ a: restarts; other command, limits");
    let new = loaded(&[("a.toml", before), ("new.toml", "command = ['n']"), ("z.toml", "command = ['Z']")]);
    let all = diff(&old, &new.definitions);
    assert_eq!(all.to_string(), "+ new: new\n- same: stops, and is gone\n~ z: restarts; other command");
    let json: serde_json::Value = serde_json::from_slice(&all.json(&[])).unwrap();
    let expected = serde_json::json!({
        "added": ["new"], "removed": ["same"],
        "changed": [{"name": "z", "keys": ["command"], "restart": true}],
    });
    assert_eq!(json, expected);
}

/// Each key alone makes a difference that has a name.
#[test]
fn no_key_is_forgotten_by_the_diff() {
    let old = one("command = ['x']");
    for key in [
        "type = 'oneshot'",
        "stage = 2",
        "watchdog = '5s'",
        "stop.signals = ['TERM 5s', 'INT 1s']",
        "reload.signal = 'HUP'",
        "description = 'd'",
        "enabled = false",
        "wants = ['q']",
        "after = ['q']",
        "user = '0'",
        "group = '0'",
        "groups = ['0']",
        "capabilities = []",
        "no_new_privileges = true",
        "environment.A = '1'",
        "directory = '/'",
        "umask = '077'",
        "terminal = '/dev/tty1'",
        "ready.by = 'sd_notify'",
        "ready.timeout = '1s'",
        "restart.when = 'never'",
        "restart.base = '1s'",
        "restart.cap = '1h'",
        "restart.limit = 'unlimited'",
        "restart.stable = '1s'",
        "stop.signals = ['INT 1s']",
        "stop.kill_timeout = '9s'",
        "reload.command = ['y']",
        "activation.subject = 'a'",
        "limits.memory = '1M'",
        "limits.memory_high = '1M'",
        "limits.cpu = '5%'",
        "limits.pids = 5",
        "limits.io_weight = 5",
        "limits.nice = 5",
        "limits.oom_score = 5",
        "limits.core = 'unlimited'",
        "limits.open_files = 5",
        "sandbox.private_tmp = true",
        "sandbox.read_only = true",
        "sandbox.writable = ['/a']",
        "sandbox.private_network = true",
        "sandbox.private_pids = true",
        "sandbox.seccomp = 'strict'",
        "sandbox.landlock = {}",
        "log.show = true",
        "log.inherit = true",
        "log.ring = '8K'",
        "log.file = '/a'",
    ] {
        let new = one(&format!("command = ['x']\n{key}"));
        let changes = diff(std::slice::from_ref(&old), &[new]);
        assert!(changes.changed.iter().any(|changed| !changed.keys.is_empty()), "{key}: {changes:?}");
    }
}

#[test]
fn the_stop_sequence() {
    let it = one("command = ['x']\n[stop]\nsignals = ['INT 2s', 'TERM']");
    let steps: Vec<_> = it.policy.stop.steps().collect();
    assert_eq!(steps, [(Signal(2), Duration::from_secs(2)), (Signal(15), Duration::from_secs(5))]);
    assert_eq!(wrong("command = ['x']\nstop.signals = ['KILL 1s']").len(), 1);
    assert_eq!(wrong("command = ['x']\nstop.signals = ['INT', 'INT', 'INT', 'INT', 'INT']").len(), 1);
}
