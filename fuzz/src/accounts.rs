//! Users and accounts: what may be said, who gets it, and what it is called there, against a model of lists.

use std::collections::BTreeMap;

use lunix_core::broker::{AccountId, Border, Input, Limits, Permissions, Responses, Subjects, User, UserId};
use lunix_proto::nats::subject::is_pattern;

use crate::broker::{Bench, Tight, id};

/// A user's account, and lists: publish allow and deny, subscribe allow and deny.
type Rules = (u32, Option<&'static str>, &'static str, Option<&'static str>, &'static str);

const A: u32 = 0;
const B: u32 = 2;
const C: u32 = 3;

const USERS: [Rules; 8] = [
    (A, None, "", None, ""),
    (B, None, "", None, ""),
    (C, None, "", None, ""),
    (A, Some("a.*\nb.>\n_R_.>"), "a.b", Some("a.>\nt.*\nb q1"), "a.b.*"),
    (A, None, "t.a", None, "a.a\nt.> q2"),
    (B, Some("s.*\na.*"), "", Some("a.*\nr.*"), "r.b"),
    (C, Some(""), "", Some(">"), "x.a\nx.*.b"),
    (C, None, "", Some("x.>\nx.> q1\nb q1\na.*"), ""),
];

/// How often a service of each border may answer; 0 for a stream.
const TIMES: u32 = 2;

const fn stream(from: &'static str, to: u32, subject: &'static str) -> Border<'static> {
    Border { from, to: AccountId::new(to), subject, service: None, asker: "" }
}

static BORDERS: [(u32, Border<'static>); 5] = [
    (A, stream("a.>", C, "x.>")),
    (A, stream("t.*", C, "")),
    (
        B,
        Border {
            from: "s.*",
            to: AccountId::new(A),
            subject: "t.$1",
            service: Some(Responses { max: TIMES, expires: None }),
            asker: "",
        },
    ),
    (B, stream("a.*.*", C, "x.$2.$1.c")),
    (C, stream("x.b.>", A, "a.>")),
];

const TOKENS: [&str; 8] = ["a", "b", "a", "b", "*", ">", "x", "a-token-in-several-chunks-of-28-bytes"];
const FIRST: [&str; 8] = ["a", "b", "s", "t", "x", "r", "*", ">"];

fn name(choices: &[u8]) -> String {
    let mut tokens = vec![FIRST[usize::from(choices[0] % 8)]];
    let more = usize::from(choices[0] / 8 % 4);
    tokens.extend(choices[1..].iter().take(more).map(|choice| TOKENS[usize::from(choice % 8)]));
    tokens.join(".")
}

#[derive(Clone, Debug)]
struct Entry {
    subject: String,
    queue: Option<String>,
}

/// A reply subject that was seen in an account, and whom it leads to.
#[derive(Clone, Debug)]
struct Exchange {
    at: u32,
    asker: u32,
    reply: String,
    left: u32,
}

#[derive(Default)]
struct Model {
    /// Each client's user.
    users: [usize; 3],
    subscriptions: BTreeMap<(usize, u8), Entry>,
    exchanges: BTreeMap<String, Exchange>,
}

/// Copies of a message: to whom, under which name.
type Copies = Vec<(usize, u8, String)>;

impl Model {
    fn rules(&self, client: usize) -> Rules {
        USERS[self.users[client]]
    }

    fn may_publish(&self, client: usize, subject: &str) -> bool {
        let (_, allow, deny, ..) = self.rules(client);
        allow.is_none_or(|allow| allow.split('\n').any(|line| matches(line, subject)))
            && !deny.split('\n').any(|line| matches(line, subject))
    }

    fn may_subscribe(&self, client: usize, subject: &str, queue: Option<&str>) -> bool {
        let (_, _, _, allow, deny) = self.rules(client);
        // What cannot be subscribed to is refused for that only if it could be allowed.
        let includes = if is_pattern(subject.as_bytes()) { covers } else { matches };
        let allowed = allow.is_none_or(|allow| {
            let lines: Vec<(&str, Option<&str>)> =
                lines(allow).filter(|(line, _)| includes(line, subject)).collect();
            match queue {
                Some(queue) if lines.iter().any(|(_, group)| group.is_some()) => {
                    lines.iter().any(|(_, group)| *group == Some(queue))
                }
                _ => lines.iter().any(|(_, group)| group.is_none()),
            }
        });
        allowed && !self.is_denied(deny, subject, queue)
    }

    fn is_denied(&self, deny: &str, subject: &str, queue: Option<&str>) -> bool {
        lines(deny).any(|(line, group)| matches(line, subject) && (group.is_none() || group == queue))
    }

    /// Who gets a message in `account` and behind its borders: what everybody gets, and of each list one.
    fn carry(
        &mut self,
        account: u32,
        subject: &str,
        path: &[usize],
        sure: &mut Copies,
        one_of: &mut Vec<Copies>,
    ) {
        let mut groups: BTreeMap<&str, Copies> = BTreeMap::new();
        for ((client, sid), entry) in &self.subscriptions {
            let (home, .., deny) = self.rules(*client);
            if home != account
                || !matches(&entry.subject, subject)
                || self.is_denied(deny, subject, entry.queue.as_deref())
            {
                continue;
            }
            let copy = (*client, *sid, subject.to_owned());
            match &entry.queue {
                Some(queue) => groups.entry(queue).or_default().push(copy),
                None => sure.push(copy),
            }
        }
        one_of.extend(groups.into_values());
        if path.len() == 3 {
            return;
        }
        if let Some(exchange) = self.exchanges.get_mut(subject)
            && exchange.at == account
            && exchange.left > 0
        {
            exchange.left -= 1;
            let Exchange { asker, reply, .. } = exchange.clone();
            self.carry(asker, &reply, &[path, &[usize::MAX]].concat(), sure, one_of);
        }
        for (index, (from, border)) in BORDERS.iter().enumerate() {
            if *from == account
                && !path.contains(&index)
                && let Some(renamed) = rename(border, subject)
            {
                self.carry(border.to.index(), &renamed, &[path, &[index]].concat(), sure, one_of);
            }
        }
    }
}

fn lines(list: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    list.split('\n').filter(|line| !line.is_empty()).map(|line| match line.split_once(' ') {
        Some((pattern, queue)) => (pattern, Some(queue)),
        None => (line, None),
    })
}

fn rename(border: &Border<'static>, subject: &str) -> Option<String> {
    if !matches(border.from, subject) {
        return None;
    }
    let tokens: Vec<&str> = subject.split('.').collect();
    let froms: Vec<&str> = border.from.split('.').collect();
    if border.subject.is_empty() {
        return Some(subject.to_owned());
    }
    let stars: Vec<&str> =
        froms.iter().zip(&tokens).filter(|(from, _)| **from == "*").map(|(_, token)| *token).collect();
    let renamed: Vec<String> = border
        .subject
        .split('.')
        .map(|token| match token {
            "$1" => stars[0].to_owned(),
            "$2" => stars[1].to_owned(),
            ">" => tokens[froms.len() - 1..].join("."),
            token => token.to_owned(),
        })
        .collect();
    Some(renamed.join("."))
}

/// Wildcards of `subject` are tokens like any others.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), subject.split('.').collect());
    let tail = pattern.last() == Some(&">");
    let fixed = pattern.len() - usize::from(tail);
    (if tail { subject.len() > fixed } else { subject.len() == fixed })
        && pattern.iter().take(fixed).zip(&subject).all(|(one, other)| *one == "*" || one == other)
}

/// All that `part` matches is matched by `whole`: a wildcard is only in a wildcard as wide.
pub(crate) fn covers(whole: &str, part: &str) -> bool {
    let (wholes, parts): (Vec<_>, Vec<_>) = (whole.split('.').collect(), part.split('.').collect());
    match (wholes.first(), parts.first()) {
        (Some(&">"), Some(_)) => true,
        (Some(_), Some(&">")) => false,
        (Some(one), Some(other)) if *one == "*" || one == other => {
            match (whole.split_once('.'), part.split_once('.')) {
                (None, None) => true,
                (Some((_, whole)), Some((_, part))) => covers(whole, part),
                _ => false,
            }
        }
        _ => false,
    }
}

fn user((account, publish, publish_deny, subscribe, subscribe_deny): Rules) -> User<'static> {
    User {
        permissions: Permissions {
            publish: Subjects { allow: publish, deny: publish_deny },
            subscribe: Subjects { allow: subscribe, deny: subscribe_deny },
            responses: None,
        },
        ..User::of(AccountId::new(account))
    }
}

/// Operations of six bytes: kind and client, sid or user, queue or reply, and a subject.
pub fn ops(data: &[u8]) {
    let mut memory = Tight::up_to(4096);
    memory.users = USERS.map(user).to_vec();
    memory.borders = &BORDERS;
    let mut bench =
        Bench::with_memory(memory, Limits { authenticate: true, ping_interval: None, ..Limits::default() });
    let mut model = Model::default();
    for client in 0..3 {
        model.users[client] = client;
        connect(&mut bench, client, client);
    }
    for op in data.chunks_exact(6) {
        let &[kind, number, extra, ref choices @ ..] = op else { unreachable!() };
        let client = usize::from(kind / 8 % 3);
        bench.flush();
        let subject = name(choices);
        match kind % 8 {
            0 | 1 => subscribe(&mut bench, &mut model, client, number % 16, extra, subject),
            2 => {
                let wide = [">", "t.*", "r.*", "x.>", "a.>", "_R_.*"][usize::from(choices[0] % 6)].to_owned();
                subscribe(&mut bench, &mut model, client, number % 16, extra, wide);
            }
            3 => {
                bench.receive(client, format!("UNSUB {}\r\n", number % 16).as_bytes());
                model.subscriptions.remove(&(client, number % 16));
            }
            4 => become_another(&mut bench, &mut model, client, usize::from(number % 8), extra % 2 == 0),
            5 if !model.exchanges.is_empty() => {
                let index = usize::from(number) % model.exchanges.len();
                let token = model.exchanges.keys().nth(index).unwrap().clone();
                publish(&mut bench, &mut model, client, &token, None);
            }
            6 => {
                let subject = ["s.a", "t.a", "a.b.b", "x.b.a"][usize::from(choices[0] % 4)];
                publish(&mut bench, &mut model, client, subject, Some("r.a"));
            }
            _ => {
                let reply = (extra % 3 == 0).then(|| format!("r.{}", TOKENS[usize::from(extra / 3 % 2)]));
                publish(&mut bench, &mut model, client, &subject, reply.as_deref());
            }
        }
        assert_eq!(bench.broker.statistics().subscriptions as usize, model.subscriptions.len());
    }
}

fn connect(bench: &mut Bench, client: usize, user: usize) {
    let line = format!("CONNECT {{\"verbose\":false,\"pedantic\":false,\"user\":\"{user}\"}}\r\n");
    bench.receive(client, line.as_bytes());
}

fn said(bench: &Bench, client: usize) -> String {
    String::from_utf8(bench.got[client].clone()).unwrap()
}

fn subscribe(bench: &mut Bench, model: &mut Model, client: usize, sid: u8, extra: u8, subject: String) {
    let queue = (!extra.is_multiple_of(3)).then(|| format!("q{}", extra % 3));
    let word = queue.as_ref().map_or(String::new(), |queue| format!(" {queue}"));
    bench.receive(client, format!("SUB {subject}{word} {sid}\r\n").as_bytes());
    let answer = said(bench, client);
    if !model.may_subscribe(client, &subject, queue.as_deref()) {
        let using = queue.map_or(String::new(), |queue| format!(" using queue \"{queue}\""));
        let expected = format!("-ERR 'Permissions Violation for Subscription to \"{subject}\"{using}'\r\n");
        assert_eq!(answer, expected);
        return;
    }
    if model.subscriptions.contains_key(&(client, sid)) {
        assert_eq!(answer, "");
        return;
    }
    if !is_pattern(subject.as_bytes()) {
        assert_eq!(answer, "-ERR 'Invalid Subject'\r\n");
        return;
    }
    assert_eq!(answer, "");
    model.subscriptions.insert((client, sid), Entry { subject, queue });
}

/// The client is somebody else, by its own will (then it begins again) or by the driver's.
fn become_another(bench: &mut Bench, model: &mut Model, client: usize, user: usize, again: bool) {
    let before = model.rules(client).0;
    model.users[client] = user;
    if again {
        connect(bench, client, user);
    } else {
        let user = UserId::new(u32::try_from(user).unwrap());
        bench.input(Input::Admitted { client: id(client), user });
    }
    let moved = model.rules(client).0 != before;
    let mut expected = Vec::new();
    let ended: Vec<_> = model
        .subscriptions
        .iter()
        .filter(|((owner, _), entry)| {
            let queue = entry.queue.as_deref();
            *owner == client && (again || moved || !model.may_subscribe(client, &entry.subject, queue))
        })
        .map(|(key, entry)| (*key, entry.clone()))
        .collect();
    for (key, Entry { subject, queue }) in ended {
        model.subscriptions.remove(&key);
        if !again && !moved {
            let using = queue.map_or(String::new(), |queue| format!(" using queue \"{queue}\""));
            let sid = key.1;
            expected.push(format!(
                "-ERR 'Permissions Violation for Subscription to \"{subject}\"{using} (sid \"{sid}\")'"
            ));
        }
    }
    let got = said(bench, client);
    let mut got: Vec<_> = got.lines().collect();
    got.sort_unstable();
    expected.sort_unstable();
    assert_eq!(got, expected);
}

fn publish(bench: &mut Bench, model: &mut Model, client: usize, subject: &str, reply: Option<&str>) {
    let word = reply.map_or(String::new(), |reply| format!(" {reply}"));
    bench.receive(client, format!("PUB {subject}{word} 0\r\n\r\n").as_bytes());
    if !model.may_publish(client, subject) {
        let expected = format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\n");
        assert_eq!(said(bench, client), expected);
        assert!((0..3).all(|other| other == client || bench.got[other].is_empty()));
        return;
    }
    let (mut sure, mut one_of) = (Copies::new(), Vec::new());
    model.carry(model.rules(client).0, subject, &[], &mut sure, &mut one_of);
    let mut got = Copies::new();
    for receiver in 0..3 {
        for line in said(bench, receiver).lines().filter(|line| !line.is_empty()) {
            let words: Vec<_> = line.split(' ').collect();
            let (subject, sid, answer) = match words[..] {
                ["MSG", subject, sid, "0"] => (subject, sid, None),
                ["MSG", subject, sid, answer, "0"] => (subject, sid, Some(answer)),
                _ => panic!("{line}"),
            };
            got.push((receiver, sid.parse().unwrap(), subject.to_owned()));
            match (reply, answer) {
                (None, None) => {}
                // A border was crossed to a service.
                (Some(reply), Some(token)) if token.starts_with("_R_.") => {
                    let exchange = Exchange { at: A, asker: B, reply: reply.to_owned(), left: TIMES };
                    model.exchanges.entry(token.to_owned()).or_insert(exchange);
                }
                (reply, answer) => assert_eq!(reply, answer),
            }
        }
    }
    got.sort_unstable();
    for members in one_of {
        let chosen = members.iter().find(|member| {
            let wanted = sure.iter().filter(|copy| copy == member).count();
            got.iter().filter(|copy| copy == member).count() > wanted
        });
        sure.push(chosen.unwrap_or_else(|| panic!("nobody of {members:?} got {subject}: {got:?}")).clone());
    }
    sure.sort_unstable();
    assert_eq!(got, sure, "{subject}");
}
